//! Rows of baseline tables into the lake: a day replaced as a whole, or a version added.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use chrono::NaiveDate;
use trailhound_ingest::baselines;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_lake::{DataFile, Lake, Replaced, TableSpec, Txn, Writer, WriterSettings, spec};

/// How often a day is tried while others change the table.
const TRIES_MAX: usize = 5;

/// Schema of a baseline table.
///
/// # Errors
/// It is none.
pub fn schema(table: &str) -> Result<SchemaRef, Error> {
    baselines::schema(table)
        .ok_or_else(|| Error::new(ErrorKind::Failed, format!("{table} is no table of a baseline")))
}

/// The batch with exactly the columns of `schema`, in their types; what it lacks is NULL.
///
/// # Errors
/// A column cannot become the type that it should have.
pub fn fitted(batch: &RecordBatch, schema: &SchemaRef, about: &str) -> Result<RecordBatch, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Failed, format!("{about}: {error}"));
    let columns = schema
        .fields()
        .iter()
        .map(|field| -> Result<ArrayRef, Error> {
            match batch.column_by_name(field.name()) {
                Some(column) => cast(column, field.data_type())
                    .map_err(|error| wrong(&format!("column {}: {error}", field.name()))),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            }
        })
        .collect::<Result<Vec<_>, Error>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| wrong(&error))
}

fn table_spec(table: &str) -> Result<TableSpec, Error> {
    spec::spec(table).ok_or_else(|| Error::new(ErrorKind::Failed, format!("the lake knows no table {table}")))
}

async fn write(lake: &Lake, table: &TableSpec, batches: &[RecordBatch]) -> Result<Vec<DataFile>, Error> {
    let mut writer = Writer::new(
        table.clone(),
        WriterSettings::default(),
        Arc::clone(lake.store()),
        lake.path_of(table.name),
    );
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        if let Err(error) = writer.push(batch.clone()).await {
            writer.abort().await;
            return Err(error);
        }
    }
    writer.finish().await
}

/// Adds rows once: a second call with the same number changes nothing.
///
/// # Errors
/// The lake cannot be reached.
pub async fn append(lake: &Lake, table: &str, batches: &[RecordBatch], number: i64) -> Result<(), Error> {
    let table = table_spec(table)?;
    let files = write(lake, &table, batches).await?;
    let txn = Txn {
        app_id: app_id(table.name),
        version: number,
    };
    lake.append(&table, &files, &txn).await?;
    Ok(())
}

/// Under which name the rows of a table are numbered.
pub fn app_id(table: &str) -> String {
    format!("trailhound/baseline/{table}")
}

/// Puts `batches`, all of one day, in the place of that day's rows, in one commit.
///
/// # Errors
/// The lake cannot be reached, or others change the same day again and again.
pub async fn replace_day(
    lake: &Lake,
    table: &str,
    day: NaiveDate,
    batches: &[RecordBatch],
    number: i64,
) -> Result<(), Error> {
    let table = table_spec(table)?;
    let date = day.to_string();
    let add = write(lake, &table, batches).await?;
    for _ in 0..TRIES_MAX {
        let Some(snapshot) = lake.snapshot(table.name).await? else {
            let txn = Txn {
                app_id: app_id(table.name),
                version: number,
            };
            lake.append(&table, &add, &txn).await?;
            return Ok(());
        };
        let old: Vec<DataFile> = snapshot
            .files
            .iter()
            .filter(|file| file.event_date.as_deref() == Some(date.as_str()))
            .cloned()
            .collect();
        if old.is_empty() && add.is_empty() {
            return Ok(());
        }
        match lake.replace(table.name, &old, &add, true).await? {
            Replaced::Committed(_) => return Ok(()),
            Replaced::Conflict(_) => {}
        }
    }
    Err(Error::new(
        ErrorKind::Failed,
        format!(
            "table {}: files of {day} were replaced {TRIES_MAX} times meanwhile",
            table.name
        ),
    )
    .with_help("try again when nobody compacts this table; what was built before is kept"))
}

/// Takes the rows of versions out that `keep` does not want. Files with rows of several
/// versions, as compaction makes them, stay until it wants none of them.
///
/// # Errors
/// The lake cannot be reached.
pub async fn prune(lake: &Lake, table: &str, keep: impl Fn(i64) -> bool) -> Result<u64, Error> {
    let Some(snapshot) = lake.snapshot(table).await? else {
        return Ok(0);
    };
    let old: Vec<DataFile> = snapshot
        .files
        .iter()
        .filter(|file| versions(file).is_some_and(|(first, last)| !(first..=last).any(&keep)))
        .cloned()
        .collect();
    if old.is_empty() {
        return Ok(0);
    }
    // A conflict means that someone merged them just now: the next build prunes again.
    lake.replace(table, &old, &[], true).await?;
    Ok(old.len() as u64)
}

/// The first and the last version in a file, by its statistics.
pub fn versions(file: &DataFile) -> Option<(i64, i64)> {
    let stats: serde_json::Value = serde_json::from_str(&file.stats).ok()?;
    Some((
        stats["minValues"]["version"].as_i64()?,
        stats["maxValues"]["version"].as_i64()?,
    ))
}
