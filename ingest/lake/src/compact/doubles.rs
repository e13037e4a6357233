//! Rows that tell of a record that another row tells of, too.
//!
//! First the keys alone are read, as hashes of 128 bits. Only rows whose key
//! comes twice are looked at closer.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use futures::TryStreamExt;
use trailhound_ingest::error::{Error, ErrorKind};

use super::read::Source;
use crate::DataFile;

/// Where a record of its own stands.
const PROVENANCE: [&str; 3] = ["_source", "_line", "_ingested_at"];

/// A row whose key comes more than once. Sorted, the row that stays comes first of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Suspect {
    key: u128,
    /// Hash of what must agree, too; 0 if the key is enough.
    content: u128,
    ingested_at: i64,
    /// Decides between rows of the same moment, by what they hold: the same in every process.
    rank: u64,
    file: u32,
    row: u32,
}

/// The rows to leave out, by the file's path; ascending.
pub(super) async fn find(
    source: &Source,
    files: &[DataFile],
    keys_max: usize,
) -> Result<HashMap<String, Vec<u32>>, Error> {
    if source.spec.key.is_empty() {
        return Ok(HashMap::new()); // Rows that agree in nothing in particular are not doubles.
    }
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let passes = rows.div_ceil(keys_max.max(1) as u64).max(1) as u128;
    let hashing = Hashing::new();
    let mut dropped: HashMap<String, Vec<u32>> = HashMap::new();
    for pass in 0..passes {
        let repeated = repeated(source, files, &hashing, |key| key % passes == pass).await?;
        if repeated.is_empty() {
            continue;
        }
        let mut suspects = suspects(source, files, &hashing, &repeated).await?;
        if source.spec.key.contains(&"_source") {
            add_content(source, files, &hashing, &mut suspects).await?;
        }
        suspects.sort_unstable();
        for pair in suspects.windows(2) {
            if (pair[0].key, pair[0].content) == (pair[1].key, pair[1].content) {
                let path = &files[pair[1].file as usize].path;
                dropped.entry(path.clone()).or_default().push(pair[1].row);
            }
        }
    }
    for rows in dropped.values_mut() {
        rows.sort_unstable();
    }
    Ok(dropped)
}

/// Keys that come more than once, ascending.
async fn repeated(
    source: &Source,
    files: &[DataFile],
    hashing: &Hashing,
    ours: impl Fn(u128) -> bool,
) -> Result<Vec<u128>, Error> {
    let mut keys = Vec::new();
    for file in files {
        let (mut batches, _) = source.open(file, Some(source.spec.key)).await?;
        while let Some(batch) = batches.try_next().await? {
            keys.extend(
                hashing
                    .keys(&batch, source.spec.key)
                    .into_iter()
                    .flatten()
                    .filter(|key| ours(*key)),
            );
        }
    }
    keys.sort_unstable();
    let mut repeated: Vec<u128> = keys
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
        .collect();
    repeated.dedup();
    Ok(repeated)
}

/// The rows that have one of these keys, by file and row.
async fn suspects(
    source: &Source,
    files: &[DataFile],
    hashing: &Hashing,
    repeated: &[u128],
) -> Result<Vec<Suspect>, Error> {
    let wanted: Vec<&str> = source.spec.key.iter().copied().chain(PROVENANCE).collect();
    let mut suspects = Vec::new();
    for (number, file) in (0..).zip(files) {
        let (mut batches, _) = source.open(file, Some(&wanted)).await?;
        let mut start = 0;
        while let Some(batch) = batches.try_next().await? {
            for (row, key) in hashing.keys(&batch, source.spec.key).into_iter().enumerate() {
                let Some(key) = key.filter(|key| repeated.binary_search(key).is_ok()) else {
                    continue;
                };
                suspects.push(Suspect {
                    key,
                    content: 0,
                    ingested_at: ingested_at(&batch, row),
                    rank: rank(&batch, row),
                    file: number,
                    row: start + row as u32,
                });
            }
            start += batch.num_rows() as u32;
        }
    }
    Ok(suspects)
}

fn ingested_at(batch: &RecordBatch, row: usize) -> i64 {
    batch
        .column_by_name("_ingested_at")
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .filter(|times| times.is_valid(row))
        .map_or(i64::MAX, |times| times.value(row))
}

/// A number made of where the row was read.
fn rank(batch: &RecordBatch, row: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(sources) = batch
        .column_by_name("_source")
        .and_then(|column| column.as_string_view_opt())
        && sources.is_valid(row)
    {
        sources.value(row).hash(&mut hasher);
    }
    if let Some(lines) = batch
        .column_by_name("_line")
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
    {
        lines.value(row).hash(&mut hasher);
    }
    hasher.finish()
}

/// Reads the suspects whole, and notes a hash of all but the time of ingest.
async fn add_content(
    source: &Source,
    files: &[DataFile],
    hashing: &Hashing,
    suspects: &mut [Suspect],
) -> Result<(), Error> {
    let schema = &source.spec.schema;
    let told: Vec<usize> = (0..schema.fields().len())
        .filter(|&column| schema.field(column).name() != "_ingested_at")
        .collect();
    let failed = |error: arrow::error::ArrowError| {
        Error::new(
            ErrorKind::Failed,
            format!("cannot compare rows of {}: {error}", source.spec.name),
        )
    };
    let fields = told
        .iter()
        .map(|&column| SortField::new(schema.field(column).data_type().clone()))
        .collect();
    let converter = RowConverter::new(fields).map_err(failed)?;
    // They came file by file, row by row.
    for part in suspects.chunk_by_mut(|a, b| a.file == b.file) {
        let (mut batches, _) = source.open(&files[part[0].file as usize], None).await?;
        let (mut start, mut next) = (0, 0);
        while let Some(batch) = batches.try_next().await? {
            let end = start + batch.num_rows() as u32;
            let count = part[next..]
                .iter()
                .take_while(|suspect| suspect.row < end)
                .count();
            let ours = &mut part[next..next + count];
            next += count;
            if !ours.is_empty() {
                let picked: UInt32Array = ours.iter().map(|suspect| suspect.row - start).collect();
                let picked = take_record_batch(&batch, &picked).map_err(failed)?;
                let columns: Vec<ArrayRef> =
                    told.iter().map(|&column| picked.column(column).clone()).collect();
                let rows = converter.convert_columns(&columns).map_err(failed)?;
                for (suspect, row) in ours.iter_mut().zip(rows.iter()) {
                    suspect.content = hashing.hash(|hasher| row.as_ref().hash(hasher));
                }
            }
            start = end;
        }
    }
    Ok(())
}

/// 128 bits with a secret of this run: whoever writes logs cannot make two keys collide.
struct Hashing([RandomState; 2]);

impl Hashing {
    fn new() -> Self {
        Hashing([RandomState::new(), RandomState::new()])
    }

    fn hash(&self, feed: impl Fn(&mut DefaultHasher)) -> u128 {
        let half = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            feed(&mut hasher);
            u128::from(hasher.finish())
        };
        half(&self.0[0]) << 64 | half(&self.0[1])
    }

    /// The hash of each row's key; none if a part of it is NULL: then it tells nothing.
    fn keys(&self, batch: &RecordBatch, key: &[&str]) -> Vec<Option<u128>> {
        let columns: Option<Vec<&ArrayRef>> = key.iter().map(|name| batch.column_by_name(name)).collect();
        let Some(columns) = columns else {
            return vec![None; batch.num_rows()];
        };
        (0..batch.num_rows())
            .map(|row| {
                if columns.iter().any(|column| column.is_null(row)) {
                    return None;
                }
                Some(self.hash(|hasher| {
                    for column in &columns {
                        match column.data_type() {
                            DataType::Utf8View => column.as_string_view().value(row).hash(hasher),
                            DataType::Int64 => column.as_primitive::<Int64Type>().value(row).hash(hasher),
                            _ => {}
                        }
                    }
                }))
            })
            .collect()
    }
}
