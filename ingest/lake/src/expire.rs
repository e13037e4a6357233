//! Old days out of a table, and files that no version needs out of the store.
//!
//! Two steps: a commit takes the files of old days out of the table, and once
//! no version younger than the grace period shows a file, it is deleted. Files
//! that are younger than that are never touched, whether the table shows them
//! or not: they may belong to an ingest that is about to commit them.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStoreExt};
use serde::Deserialize;
use trailhound_ingest::error::{Error, ErrorKind};

use crate::compact::no_table;
use crate::spec::EVENT_DATE;
use crate::writer::at;
use crate::{DataFile, Lake, Replaced};

/// What to take out of a table.
#[derive(Debug, Clone)]
pub struct ExpireOptions {
    /// Days before this one go, as `2026-11-01`; none: only files that nobody needs.
    pub before: Option<String>,
    /// How long a file stays after the last version that shows it, and after it was written.
    pub grace: Duration,
    /// Only count.
    pub dry_run: bool,
}

impl Default for ExpireOptions {
    fn default() -> Self {
        ExpireOptions {
            before: None,
            // Queries and ingests end within hours; a week lets a mistake be undone.
            grace: Duration::from_secs(7 * 86_400),
            dry_run: false,
        }
    }
}

impl ExpireOptions {
    /// Keeps the last `days` days, today included.
    #[must_use]
    pub fn keep_days(mut self, days: u32, today: chrono::NaiveDate) -> Self {
        let back = chrono::Days::new(u64::from(days.saturating_sub(1)));
        self.before = today
            .checked_sub_days(back)
            .map(|day| day.format("%Y-%m-%d").to_string());
        self
    }
}

/// What came of it; with `dry_run`, what would have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// Days that left the table.
    pub days: u64,
    /// Files that left the table.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them; on disk until the grace period is over.
    pub bytes: u64,
    /// Files that were deleted.
    pub deleted_files: u64,
    /// Bytes of them.
    pub deleted_bytes: u64,
}

/// Times that the days are read anew because someone else replaced a file of them.
const TRIES_MAX: usize = 5;

/// Takes days out of a table, then deletes files that no version of the grace
/// period shows. `now` is the time that the grace is counted back from.
///
/// # Errors
/// There is no such table; the store cannot be reached; others replaced files
/// of the same days again and again.
pub async fn expire(
    lake: &Lake,
    table: &str,
    options: &ExpireOptions,
    now: DateTime<Utc>,
) -> Result<Expired, Error> {
    let mut expired = Expired::default();
    if let Some(before) = &options.before {
        remove_days(lake, table, before, options.dry_run, &mut expired).await?;
    }
    vacuum(lake, table, options, now, &mut expired).await?;
    Ok(expired)
}

async fn remove_days(
    lake: &Lake,
    table: &str,
    before: &str,
    dry_run: bool,
    expired: &mut Expired,
) -> Result<(), Error> {
    for _ in 0..TRIES_MAX {
        let snapshot = lake.snapshot(table).await?.ok_or_else(|| no_table(lake, table))?;
        let old: Vec<DataFile> = snapshot
            .files
            .iter()
            .filter(|file| file.event_date.as_deref().is_some_and(|day| day < before))
            .cloned()
            .collect();
        let replaced = if dry_run || old.is_empty() {
            None
        } else {
            Some(lake.replace(table, &old, &[], true).await?)
        };
        if let Some(Replaced::Conflict(gone)) = replaced {
            tracing::info!(
                table,
                gone,
                "a file was replaced by someone else: reading the table anew"
            );
            continue;
        }
        expired.files = old.len() as u64;
        expired.rows = old.iter().map(|file| file.rows).sum();
        expired.bytes = old.iter().map(|file| file.size).sum();
        expired.days = old
            .iter()
            .map(|file| &file.event_date)
            .collect::<HashSet<_>>()
            .len() as u64;
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Failed,
        format!("table {table}: files of days before {before} were replaced {TRIES_MAX} times meanwhile"),
    )
    .with_help("try again when nobody compacts this table"))
}

async fn vacuum(
    lake: &Lake,
    table: &str,
    options: &ExpireOptions,
    now: DateTime<Utc>,
    expired: &mut Expired,
) -> Result<(), Error> {
    let grace = chrono::Duration::from_std(options.grace).map_err(|_| {
        Error::wrong_use("the grace period is longer than time itself").with_help("give some days")
    })?;
    let cutoff = now - grace;
    let root = lake.path_of(table);
    let failed = |error: object_store::Error| {
        Error::new(
            ErrorKind::Unreachable,
            format!("table {table}: cannot delete old files: {error}"),
        )
    };
    // In this order: what is committed after the list was made is younger than the cutoff.
    let found: Vec<ObjectMeta> = lake
        .store()
        .list(Some(&root))
        .try_filter(|file| {
            let name = file
                .location
                .prefix_match(&root)
                .and_then(|mut parts| parts.next());
            let is_ours = name.is_some_and(|name| name.as_ref().starts_with(EVENT_DATE))
                && file.location.as_ref().ends_with(".parquet");
            std::future::ready(is_ours && file.last_modified < cutoff)
        })
        .try_collect()
        .await
        .map_err(failed)?;
    let snapshot = lake.snapshot(table).await?.ok_or_else(|| no_table(lake, table))?;
    let mut needed: HashSet<_> = snapshot.files.iter().map(|file| at(&root, &file.path)).collect();
    for path in removed_since(lake, table, cutoff).await? {
        needed.insert(at(&root, &path));
    }
    let free: Vec<ObjectMeta> = found
        .into_iter()
        .filter(|file| !needed.contains(&file.location))
        .collect();
    expired.deleted_files = free.len() as u64;
    expired.deleted_bytes = free.iter().map(|file| file.size).sum();
    if !options.dry_run {
        let locations = futures::stream::iter(free.into_iter().map(|file| Ok(file.location))).boxed();
        let mut deleted = lake.store().delete_stream(locations);
        while let Some(result) = deleted.next().await {
            match result {
                // Someone else vacuums, too.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(())
}

/// Files that a version younger than `cutoff` took out of the table: versions of the grace period show them.
async fn removed_since(lake: &Lake, table: &str, cutoff: DateTime<Utc>) -> Result<Vec<String>, Error> {
    #[derive(Deserialize)]
    struct Line {
        remove: Option<Remove>,
    }
    #[derive(Deserialize)]
    struct Remove {
        path: String,
    }
    let failed = |why: &dyn std::fmt::Display| {
        Error::new(
            ErrorKind::Unreachable,
            format!("table {table}: cannot read its log: {why}"),
        )
    };
    let log = lake.path_of(table).join("_delta_log");
    let entries: Vec<ObjectMeta> = lake
        .store()
        .list(Some(&log))
        .try_filter(|entry| {
            let commit = entry.location.as_ref().ends_with(".json");
            std::future::ready(commit && entry.last_modified >= cutoff)
        })
        .try_collect()
        .await
        .map_err(|error| failed(&error))?;
    let mut removed = Vec::new();
    for entry in entries {
        let read = async { lake.store().get(&entry.location).await?.bytes().await };
        let commit = read.await.map_err(|error| failed(&error))?;
        let text = str::from_utf8(&commit).map_err(|error| failed(&error))?;
        for line in text.lines().filter(|line| line.contains("\"remove\"")) {
            let line: Line = serde_json::from_str(line).map_err(|error| failed(&error))?;
            removed.extend(line.remove.map(|remove| {
                match remove.path.contains('%') {
                    // The log holds paths as parts of a URL.
                    true => object_store::path::Path::from_url_path(&remove.path)
                        .map_or(remove.path, |path| path.to_string()),
                    false => remove.path,
                }
            }));
        }
    }
    Ok(removed)
}
