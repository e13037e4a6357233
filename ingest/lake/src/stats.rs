//! What the tables of a lake hold, told from their logs: no data file is opened.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use trailhound_ingest::error::{Error, ErrorKind};

use crate::{DataFile, Lake};

/// A file under this size is better merged with others.
const SMALL_BYTES: u64 = 64 << 20;

/// One table, as its log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStats {
    /// Its name.
    pub table: String,
    /// Its newest version.
    pub version: u64,
    /// Files that make it up.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// First day that has rows, as `2026-11-01`.
    pub first_day: Option<String>,
    /// Last day that has rows.
    pub last_day: Option<String>,
    /// Days that have rows.
    pub days: u64,
    /// Files under 64 MiB that share their day with another such file: what compacting would merge.
    pub small_files: u64,
    /// Bytes of a file, on average.
    pub mean_file_bytes: u64,
    /// When the newest version was written.
    pub last_commit: Option<DateTime<Utc>>,
}

/// All tables of the lake, by name.
///
/// # Errors
/// The store cannot be reached, or a table was written by something newer.
pub async fn stats(lake: &Lake) -> Result<Vec<TableStats>, Error> {
    let mut all = Vec::new();
    for table in lake.table_names().await? {
        let Some(snapshot) = lake.snapshot(&table).await? else {
            continue;
        };
        let last_commit = last_commit(lake, &table, snapshot.version).await?;
        all.push(table_stats(table, snapshot.version, &snapshot.files, last_commit));
    }
    Ok(all)
}

fn table_stats(
    table: String,
    version: u64,
    files: &[DataFile],
    last_commit: Option<DateTime<Utc>>,
) -> TableStats {
    let bytes: u64 = files.iter().map(|file| file.size).sum();
    let mut days: Vec<(&str, u64)> = Vec::new();
    let mut dated: Vec<&DataFile> = files.iter().filter(|file| file.event_date.is_some()).collect();
    dated.sort_by(|a, b| a.event_date.cmp(&b.event_date));
    for file in dated {
        let Some(day) = file.event_date.as_deref() else {
            continue;
        };
        if days.last().is_none_or(|(last, _)| *last != day) {
            days.push((day, 0));
        }
        if let Some((_, small)) = days.last_mut() {
            *small += u64::from(file.size < SMALL_BYTES);
        }
    }
    TableStats {
        table,
        version,
        files: files.len() as u64,
        rows: files.iter().map(|file| file.rows).sum(),
        bytes,
        first_day: days.first().map(|(day, _)| (*day).to_owned()),
        last_day: days.last().map(|(day, _)| (*day).to_owned()),
        days: days.len() as u64,
        small_files: days
            .iter()
            .map(|(_, small)| *small)
            .filter(|small| *small > 1)
            .sum(),
        mean_file_bytes: bytes.checked_div(files.len() as u64).unwrap_or(0),
        last_commit,
    }
}

/// When a version's entry in the log was written.
async fn last_commit(lake: &Lake, table: &str, version: u64) -> Result<Option<DateTime<Utc>>, Error> {
    let log = lake.path_of(table).join("_delta_log");
    let before = log.clone().join(format!("{version:019}"));
    let name = format!("{version:020}.json");
    let entries: Vec<_> = lake
        .store()
        .list_with_offset(Some(&log), &before)
        .try_collect()
        .await
        .map_err(|error| {
            Error::new(
                ErrorKind::Unreachable,
                format!("table {table}: cannot list its log: {error}"),
            )
        })?;
    let entry = entries
        .iter()
        .find(|entry| entry.location.filename() == Some(&name));
    Ok(entry.map(|entry| entry.last_modified))
}
