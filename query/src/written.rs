//! Files that people write, CSV or Parquet, given as `--from TABLE=FILE`.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::prelude::{CsvReadOptions, DataFrame, ParquetReadOptions, SessionContext};

use crate::error::Error;
use crate::location::From;
use crate::stores::Stores;

/// One file.
pub(crate) struct Written {
    /// Its name, as it is shown.
    pub name: Arc<str>,
    /// Its rows. Of CSV all columns are text: nothing is inferred, for a port may be `*`, and an
    /// account id is no number.
    pub rows: DataFrame,
}

impl Written {
    /// The names of its columns.
    pub fn columns(&self) -> Vec<&str> {
        let fields = self.rows.schema().fields().iter();
        fields.map(|field| field.name().as_str()).collect()
    }
}

/// One table of all files at `from`, each with the rows that `shape` makes of it.
///
/// # Errors
/// There is no file, one cannot be read, or `shape` refuses it.
pub(crate) async fn table(
    context: &SessionContext,
    from: &From,
    stores: &Stores,
    shape: impl Fn(Written) -> Result<DataFrame, Error>,
) -> Result<Arc<dyn TableProvider>, Error> {
    let wrong = |error: DataFusionError| crate::error::explain(&error, "", &[]);
    let objects = from.objects(stores).await?;
    let mut all: Option<DataFrame> = None;
    for object in &objects.files {
        let mut url = objects.base.clone();
        url.set_path(&format!("/{}", object.meta.location));
        let rows = if object.name.ends_with(".parquet") {
            let options = ParquetReadOptions::default();
            context.read_parquet(url.as_str(), options).await
        } else {
            let end = object.name.rsplit_once('.').map_or("", |(_, end)| end);
            let extension = format!(".{end}");
            let options = CsvReadOptions::new()
                .has_header(true)
                .schema_infer_max_records(0)
                .file_extension(&extension);
            context.read_csv(url.as_str(), options).await
        };
        let rows = shape(Written {
            name: Arc::clone(&object.name),
            rows: rows.map_err(wrong)?,
        })?;
        all = Some(match all {
            None => rows,
            Some(before) => before.union_by_name(rows).map_err(wrong)?,
        });
    }
    match all {
        Some(rows) => Ok(rows.into_view()),
        None => Err(Error::wrong_use(format!(
            "no files match {} for table {}",
            from.location, from.table
        ))),
    }
}
