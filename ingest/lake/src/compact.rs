//! Small files to large ones, and one row of each record that was delivered twice.
//!
//! ```text
//! day -> keys of all files -> doubles -> files that hold one, and small files -> merged by time -> one commit each
//! ```
//!
//! Ingest goes on meanwhile: a commit only replaces files that it has read, and
//! if one of them is gone by then, nothing is changed and the day is read anew.
//! Which of several doubles stays depends on the rows alone, not on the files
//! that they lie in, so that two who compact at once agree on it.

mod doubles;
mod merge;
mod read;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use trailhound_ingest::error::{Error, ErrorKind};

use crate::spec::{self, EVENT_DATE};
use crate::writer::{self, WriterSettings};
use crate::{DataFile, Lake, Replaced, TableSpec};

/// What to compact, and to what size.
#[derive(Debug, Clone)]
pub struct CompactOptions {
    /// Bytes that a merged file is to have; files under half of it are small.
    pub target_bytes: u64,
    /// Only days from this one on, as `2026-11-01`.
    pub since: Option<String>,
    /// Only days before this one.
    pub until: Option<String>,
    /// Most files that are read at the same time: each holds a batch and its compressed columns.
    pub files_max: usize,
    /// Keys that are compared at the same time, 16 bytes each; a day with more is read several times.
    pub keys_max: usize,
    /// How the new files are written.
    pub writer: WriterSettings,
}

impl Default for CompactOptions {
    fn default() -> Self {
        CompactOptions {
            target_bytes: 128 << 20,
            since: None,
            until: None,
            files_max: 32,
            keys_max: 4 << 20,
            writer: WriterSettings::default(),
        }
    }
}

/// What compacting a table came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Days of which a file was replaced.
    pub days: u64,
    /// Files that were replaced.
    pub files_before: u64,
    /// Files that took their place.
    pub files_after: u64,
    /// Bytes of the files that were replaced.
    pub bytes_before: u64,
    /// Bytes of the files that took their place.
    pub bytes_after: u64,
    /// Rows of the files that took their place.
    pub rows: u64,
    /// Rows that were left out because another one tells of the same record.
    pub doubles: u64,
    /// Times that a day was read anew because someone else replaced a file of it.
    pub conflicts: u64,
}

/// A name that tells that a file's rows were compared with those of its day.
const COMPACTED: &str = "compact-";

/// Times that a day is tried while others replace its files.
const TRIES_MAX: u64 = 5;

/// Merges the small files of each day of a table, and leaves one row of each
/// record that was delivered twice: rows that agree in [`TableSpec::key`], and,
/// where the key only says where a row was read, in everything but the time of
/// ingest. The one that was read first stays.
///
/// # Errors
/// There is no such table, or it is not one of ours; the store cannot be
/// reached; others replaced the same files again and again.
pub async fn compact(lake: &Lake, table: &str, options: &CompactOptions) -> Result<Compacted, Error> {
    let mut result = Compacted::default();
    let snapshot = lake.snapshot(table).await?.ok_or_else(|| no_table(lake, table))?;
    let days: Vec<String> = by_day(&snapshot.files)
        .into_keys()
        .filter(|day| options.since.as_ref().is_none_or(|since| day >= since))
        .filter(|day| options.until.as_ref().is_none_or(|until| day < until))
        .collect();
    for day in days {
        let (mut tries, before) = (0, result.files_before);
        while !compact_day(lake, table, &day, options, &mut result).await? {
            result.conflicts += 1;
            tries += 1;
            if tries == TRIES_MAX {
                return Err(Error::new(
                    ErrorKind::Failed,
                    format!("table {table}: files of {day} were replaced {TRIES_MAX} times while they were compacted"),
                )
                .with_help("compact a table from one place at a time"));
            }
        }
        result.days += u64::from(result.files_before > before);
    }
    Ok(result)
}

pub(crate) fn no_table(lake: &Lake, table: &str) -> Error {
    Error::wrong_use(format!("{} has no table {table}", lake.root()))
        .with_help("`trailhound lake stats` lists the tables that are there")
}

fn by_day(files: &[DataFile]) -> BTreeMap<String, Vec<DataFile>> {
    let mut days: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
    for file in files {
        // Rows without a day are not ours: our writer gives every row one.
        if let Some(day) = &file.event_date {
            days.entry(day.clone()).or_default().push(file.clone());
        }
    }
    days
}

/// The table's spec, with the columns that it has now: perhaps more than this version knows.
fn spec_of(table: &str, schema: &Schema) -> Result<TableSpec, Error> {
    let spec = spec::spec(table).ok_or_else(|| {
        Error::wrong_use(format!(
            "table {table} was not written by trailhound: its key is not known"
        ))
        .with_help("compact it with the program that writes it")
    })?;
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .filter(|field| field.name() != EVENT_DATE)
        .cloned()
        .collect();
    let known = |kind: &DataType| {
        matches!(
            kind,
            DataType::Utf8View | DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Boolean
        ) || kind == &trailhound_ingest::column::timestamp_type()
    };
    if let Some(field) = fields.iter().find(|field| !known(field.data_type())) {
        return Err(Error::wrong_use(format!(
            "table {table}: column {} is {}, which this version cannot write",
            field.name(),
            field.data_type()
        ))
        .with_help("compact it with the newer trailhound that writes it"));
    }
    Ok(TableSpec {
        schema: Arc::new(Schema::new(fields)),
        ..spec
    })
}

/// Compacts one day. False: someone else replaced a file; nothing of that was changed.
async fn compact_day(
    lake: &Lake,
    table: &str,
    day: &str,
    options: &CompactOptions,
    result: &mut Compacted,
) -> Result<bool, Error> {
    // Merged files may be small still, if there were very many: until there is nothing to do.
    loop {
        let snapshot = lake.snapshot(table).await?.ok_or_else(|| no_table(lake, table))?;
        let spec = spec_of(table, &snapshot.schema)?;
        let mut files = by_day(&snapshot.files).remove(day).unwrap_or_default();
        // By time, so that merged files overlap little.
        files.sort_by_cached_key(|file| (least_time(&spec, file), file.path.clone()));
        let fresh = files.iter().any(|file| !file.path.contains(COMPACTED));
        let source = read::Source::new(lake, table, &spec);
        let dropped = if fresh {
            doubles::find(&source, &files, options.keys_max).await?
        } else {
            HashMap::new()
        };
        let groups = groups(&files, &dropped, options);
        if groups.is_empty() {
            return Ok(true);
        }
        for group in groups {
            let merged = merge::merge(&source, &group, &dropped, day, options).await?;
            let lost: usize = group
                .iter()
                .filter_map(|file| dropped.get(&file.path))
                .map(Vec::len)
                .sum();
            match lake.replace(table, &group, &merged, lost > 0).await? {
                Replaced::Committed(_) => {
                    result.files_before += group.len() as u64;
                    result.files_after += merged.len() as u64;
                    result.bytes_before += group.iter().map(|file| file.size).sum::<u64>();
                    result.bytes_after += merged.iter().map(|file| file.size).sum::<u64>();
                    result.rows += merged.iter().map(|file| file.rows).sum::<u64>();
                    result.doubles += lost as u64;
                }
                Replaced::Conflict(gone) => {
                    tracing::info!(
                        table,
                        day,
                        gone,
                        "a file was replaced by someone else: reading the day anew"
                    );
                    merge::discard(&source, &merged).await;
                    return Ok(false);
                }
            }
        }
    }
}

/// Files that are read into new ones together: small ones side by side, and each large one that holds doubles.
fn groups(
    files: &[DataFile],
    dropped: &HashMap<String, Vec<u32>>,
    options: &CompactOptions,
) -> Vec<Vec<DataFile>> {
    let mut groups = Vec::new();
    let mut small: Vec<DataFile> = Vec::new();
    let mut bytes = 0;
    for file in files {
        let holds_doubles = dropped.contains_key(&file.path);
        if file.size * 2 >= options.target_bytes {
            if holds_doubles {
                groups.push(vec![file.clone()]);
            }
            continue;
        }
        if !small.is_empty()
            && (bytes + file.size > options.target_bytes || small.len() >= options.files_max.max(2))
        {
            groups.push(std::mem::take(&mut small));
            bytes = 0;
        }
        bytes += file.size;
        small.push(file.clone());
    }
    groups.push(small);
    groups.retain(|group| group.len() > 1 || group.iter().any(|file| dropped.contains_key(&file.path)));
    groups
}

/// The least time of a file, as its statistics have it; a text that compares.
fn least_time(spec: &TableSpec, file: &DataFile) -> String {
    let stats: serde_json::Value = serde_json::from_str(&file.stats).unwrap_or_default();
    stats["minValues"][spec.time]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// A path for a merged file.
fn new_path(day: &str) -> String {
    writer::new_path(day).replace("/part-", &format!("/{COMPACTED}"))
}
