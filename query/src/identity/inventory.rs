//! `--from inventory=FILE`: a CSV or Parquet file of addresses that the user knows.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::prelude::{SessionContext, lit};
use trailhound_ingest::identity::INVENTORY_COLUMNS;

use crate::error::{Error, explain, meant};
use crate::location::From;
use crate::stores::Stores;
use crate::written;

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
    written::table(context, from, stores, |file| {
        check(&file.name, &file.columns())?;
        let source = lit(file.name.to_string());
        file.rows
            .with_column("_source", source)
            .map_err(|error| explain(&error, "", &[]))
    })
    .await
}

fn check(file: &str, columns: &[&str]) -> Result<(), Error> {
    let known: Vec<&str> = INVENTORY_COLUMNS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = columns.iter().find(|column| !known.contains(*column)) {
        let error = Error::wrong_use(format!(
            "the inventory {file} has a column {unknown:?}, which is none of an inventory"
        ));
        return Err(error.with_help(meant(unknown, &known)));
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
