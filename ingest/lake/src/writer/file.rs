//! Rows to one Parquet file, row group by row group, and what the Delta log says of it.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Schema};
use chrono::DateTime;
use parquet::arrow::ArrowSchemaConverter;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use serde_json::{Map, Value, json};

use super::chunk::{Chunk, Packer};
use super::run::{Picked, Run};
use crate::TableSpec;

/// Where the file's bytes gather until they are taken.
#[derive(Debug, Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Makes one file.
pub(crate) struct FileEncoder {
    writer: SerializedFileWriter<Sink>,
    sink: Sink,
    /// Columns of the table that the file has, by number.
    columns: Vec<Written>,
    level: i32,
    threads: usize,
    rows: u64,
}

struct Written {
    number: usize,
    name: String,
    kind: DataType,
    bloom: bool,
    nulls: u64,
    /// None before the first row group; then, whether there is one.
    bounds: Option<Option<(Value, Value)>>,
}

/// A file's last bytes, and what it holds.
pub(crate) struct Encoded {
    /// Bytes that were not taken before.
    pub bytes: Vec<u8>,
    /// Rows.
    pub rows: u64,
    /// Delta's statistics, as JSON.
    pub stats: String,
}

impl FileEncoder {
    /// A file of `spec`'s table with some of its columns, encoded on `threads` threads.
    pub fn new(spec: &TableSpec, columns: &[usize], level: i32, threads: usize) -> Result<Self> {
        let fields: Vec<_> = columns
            .iter()
            .map(|&number| spec.schema.fields()[number].clone())
            .collect();
        let schema = ArrowSchemaConverter::new().convert(&Schema::new(fields.clone()))?;
        let sorting = fields
            .iter()
            .position(|field| field.name() == spec.time)
            .map(|column| {
                vec![SortingColumn {
                    column_idx: column as i32,
                    descending: false,
                    nulls_first: false,
                }]
            });
        let properties = WriterProperties::builder().set_sorting_columns(sorting).build();
        let sink = Sink::default();
        let writer = SerializedFileWriter::new(sink.clone(), schema.root_schema_ptr(), Arc::new(properties))?;
        Ok(FileEncoder {
            writer,
            sink,
            columns: columns
                .iter()
                .zip(fields)
                .map(|(&number, field)| Written {
                    number,
                    name: field.name().clone(),
                    kind: field.data_type().clone(),
                    bloom: spec.bloom.contains(&field.name().as_str()),
                    nulls: 0,
                    bounds: None,
                })
                .collect(),
            level,
            threads,
            rows: 0,
        })
    }

    /// Appends a row group of the picked rows. Other columns than the file's must be NULL in them.
    pub fn row_group(&mut self, run: &Run, rows: &Picked<'_>) -> Result<()> {
        let chunks = self.pack(run, rows)?;
        let mut group = self.writer.next_row_group()?;
        for (chunk, column) in chunks.into_iter().zip(&mut self.columns) {
            group.append_column(&chunk.bytes, chunk.close)?;
            column.take_in(chunk.bounds, chunk.nulls, rows.len() as u64);
        }
        group.close()?;
        self.rows += rows.len() as u64;
        Ok(())
    }

    /// All columns, on as many threads as allowed; each takes the next column that nobody has.
    fn pack(&self, run: &Run, rows: &Picked<'_>) -> Result<Vec<Chunk>> {
        let schema = self.writer.schema_descr();
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, Chunk)>> {
            let mut packer = Packer::new(self.level)?;
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(column) = self.columns.get(at) else {
                    return Ok(done);
                };
                let chunk = packer.pack(
                    &run.columns[column.number],
                    rows,
                    &schema.column(at),
                    column.bloom,
                )?;
                done.push((at, chunk));
            }
        };
        let mut chunks = std::thread::scope(|scope| -> Result<Vec<(usize, Chunk)>> {
            let others: Vec<_> = (1..self.threads).map(|_| scope.spawn(work)).collect();
            let mut chunks = work()?;
            for other in others {
                let theirs = other
                    .join()
                    .map_err(|_| ParquetError::General("a thread that encoded columns panicked".into()))?;
                chunks.extend(theirs?);
            }
            Ok(chunks)
        })?;
        chunks.sort_by_key(|(at, _)| *at);
        Ok(chunks.into_iter().map(|(_, chunk)| chunk).collect())
    }

    /// Bytes since the last time, for an upload in parts.
    pub fn take(&self) -> Vec<u8> {
        self.sink.take()
    }

    /// Bytes of the file so far.
    pub fn size(&self) -> usize {
        self.writer.bytes_written()
    }

    /// Writes the footer.
    pub fn finish(self) -> Result<Encoded> {
        let FileEncoder {
            writer,
            sink,
            columns,
            rows,
            ..
        } = self;
        writer.close()?;
        Ok(Encoded {
            bytes: sink.take(),
            rows,
            stats: stats(&columns, rows),
        })
    }
}

impl Written {
    fn take_in(&mut self, bounds: Option<(Vec<u8>, Vec<u8>)>, nulls: u64, rows: u64) {
        self.nulls += nulls;
        if nulls == rows {
            return;
        }
        let theirs = bounds.and_then(|(least, most)| self.readable(&least, &most));
        self.bounds = Some(match (self.bounds.take(), theirs) {
            (None, theirs) => theirs,
            (Some(Some(ours)), Some(theirs)) => Some((
                if below(&theirs.0, &ours.0) {
                    theirs.0
                } else {
                    ours.0
                },
                if below(&ours.1, &theirs.1) {
                    theirs.1
                } else {
                    ours.1
                },
            )),
            _ => None,
        });
    }

    /// Bounds as Delta's JSON has them.
    fn readable(&self, least: &[u8], most: &[u8]) -> Option<(Value, Value)> {
        let long = |bytes: &[u8]| Some(i64::from_le_bytes(bytes.try_into().ok()?));
        let int = |bytes: &[u8]| Some(i32::from_le_bytes(bytes.try_into().ok()?));
        let text = |bytes: &[u8]| Some(str::from_utf8(bytes).ok()?.to_owned());
        Some(match self.kind {
            DataType::Int32 => (json!(int(least)?), json!(int(most)?)),
            DataType::Int64 => (json!(long(least)?), json!(long(most)?)),
            DataType::Timestamp(..) => (
                json!(instant(long(least)?.div_euclid(1000))?),
                json!(instant(-(-i128::from(long(most)?)).div_euclid(1000) as i64)?),
            ),
            DataType::Utf8View => (json!(text(least)?), json!(text(most)?)),
            // Delta keeps none for truth values, and floating-point text would have to be exact.
            _ => return None,
        })
    }
}

/// A time as Delta's statistics have it: whole milliseconds, which all its readers take.
fn instant(millis: i64) -> Option<String> {
    let time = DateTime::from_timestamp_millis(millis)?;
    let text = time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    // Years beyond four digits come with a sign, which not all readers take.
    (text.len() == "2026-11-01T00:00:00.000Z".len()).then_some(text)
}

fn below(a: &Value, b: &Value) -> bool {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a < b,
        // Times compare as their text, which has a fixed width.
        _ => a.as_str() < b.as_str(),
    }
}

fn stats(columns: &[Written], rows: u64) -> String {
    let mut least = Map::new();
    let mut most = Map::new();
    let mut nulls = Map::new();
    for column in columns {
        if let Some(Some((min, max))) = &column.bounds {
            least.insert(column.name.clone(), min.clone());
            most.insert(column.name.clone(), max.clone());
        }
        nulls.insert(column.name.clone(), json!(column.nulls));
    }
    json!({ "numRecords": rows, "minValues": least, "maxValues": most, "nullCount": nulls }).to_string()
}
