//! `--from inventory=FILE`: a CSV or Parquet file of addresses that the user knows.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionContext, lit};
use trailhound_ingest::identity::INVENTORY_COLUMNS;

use crate::error::{Error, nearest};
use crate::location::From;
use crate::stores::Stores;

/// The table of an inventory file. Other columns than the known ones are refused:
/// one that is misspelt would go unnoticed.
///
/// # Errors
/// The file cannot be read, or its columns are wrong.
pub(crate) async fn open(
    context: &SessionContext,
    from: &From,
    stores: &Stores,
) -> Result<Arc<dyn TableProvider>, Error> {
    let objects = from.objects(stores).await?;
    let wrong = |error: datafusion::common::DataFusionError| crate::error::explain(&error, "", &[]);
    let mut parts = Vec::new();
    for object in &objects.files {
        let mut url = objects.base.clone();
        url.set_path(&format!("/{}", object.meta.location));
        let frame = match object.name.ends_with(".parquet") {
            true => {
                let options = ParquetReadOptions::default();
                context.read_parquet(url.as_str(), options).await
            }
            false => {
                let (_, extension) = object.name.rsplit_once('.').unwrap_or(("", ""));
                let extension = format!(".{extension}");
                // All columns as text: an account id is no number.
                let options = CsvReadOptions::new()
                    .has_header(true)
                    .schema_infer_max_records(0)
                    .file_extension(&extension);
                context.read_csv(url.as_str(), options).await
            }
        };
        let frame = frame.map_err(wrong)?;
        check(
            &object.name,
            frame.schema().fields().iter().map(|field| field.name().as_str()),
        )?;
        parts.push(
            frame
                .with_column("_source", lit(object.name.to_string()))
                .map_err(wrong)?,
        );
    }
    let mut parts = parts.into_iter();
    let Some(mut all) = parts.next() else {
        return Err(Error::wrong_use(format!(
            "no files match {} for table {}",
            from.location, from.table
        )));
    };
    for part in parts {
        all = all.union_by_name(part).map_err(wrong)?;
    }
    Ok(all.into_view())
}

fn check<'a>(file: &str, columns: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let known: Vec<&str> = INVENTORY_COLUMNS.iter().map(|(name, _)| *name).collect();
    let columns: Vec<&str> = columns.collect();
    if let Some(unknown) = columns.iter().find(|column| !known.contains(*column)) {
        let error = Error::wrong_use(format!(
            "the inventory {file} has a column {unknown:?}, which is none of an inventory"
        ));
        return Err(match nearest(unknown, &known) {
            Some(near) => error.with_help(format!("did you mean {near}?")),
            None => error.with_help(format!("there are {}", known.join(", "))),
        });
    }
    if !columns.contains(&"address") && !columns.contains(&"interface_id") {
        return Err(Error::wrong_use(format!(
            "the inventory {file} has neither address nor interface_id"
        ))
        .with_help(format!(
            "give at least one of them; there are {}",
            known.join(", ")
        )));
    }
    Ok(())
}
