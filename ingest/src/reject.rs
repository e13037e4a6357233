//! Lines and records that did not parse: data, not errors.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringViewBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::column::{TIMESTAMP, timestamp_type};

/// Most bytes of the raw text that a reject keeps; the rest is cut.
/// Enough to recognise and repair a line, small enough to hold thousands.
pub const REJECT_RAW_BYTES_MAX: usize = 4096;

/// One line or record that did not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Line or record number in the object, counted from 1.
    pub line: u64,
    /// What is wrong with it, in words.
    pub reason: String,
    /// The raw text, invalid UTF-8 replaced, cut at [`REJECT_RAW_BYTES_MAX`].
    pub raw: String,
    /// Length of the raw text before the cut, in bytes.
    pub raw_bytes: u64,
}

impl Reject {
    /// A reject for `raw`, cut to size.
    pub fn new(line: u64, reason: impl Into<String>, raw: &[u8]) -> Self {
        let mut kept = &raw[..raw.len().min(REJECT_RAW_BYTES_MAX)];
        // Do not cut a character in two: the lossy conversion would show a
        // replacement that was never in the log.
        if kept.len() < raw.len() {
            let cut = (kept.len().saturating_sub(3)..=kept.len())
                .rev()
                .find(|&i| i == 0 || (raw[i] & 0xC0) != 0x80);
            kept = &raw[..cut.unwrap_or(kept.len())];
        }
        Reject {
            line,
            reason: reason.into(),
            raw: String::from_utf8_lossy(kept).into_owned(),
            raw_bytes: raw.len() as u64,
        }
    }
}

/// Schema of the table `rejects`.
pub fn rejects_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("table_name", DataType::Utf8View, false),
        Field::new("reason", DataType::Utf8View, false),
        Field::new("raw", DataType::Utf8View, false),
        Field::new("raw_bytes", DataType::Int64, false),
        Field::new("_source", DataType::Utf8View, false),
        Field::new("_line", DataType::Int64, false),
        Field::new("_ingested_at", timestamp_type(), false),
    ]))
}

/// The rejects of one object as rows of the table `rejects`.
///
/// `ingested_at` is microseconds since the epoch.
pub fn rejects_batch(table: &str, source: &str, ingested_at: i64, rejects: &[Reject]) -> RecordBatch {
    let mut tables = StringViewBuilder::new();
    let mut reasons = StringViewBuilder::new();
    let mut raws = StringViewBuilder::new();
    let mut lengths = Int64Builder::new();
    let mut sources = StringViewBuilder::new();
    let mut lines = Int64Builder::new();
    let mut times = TimestampMicrosecondBuilder::new().with_timezone(TIMESTAMP);
    for reject in rejects {
        tables.append_value(table);
        reasons.append_value(&reject.reason);
        raws.append_value(&reject.raw);
        lengths.append_value(reject.raw_bytes as i64);
        sources.append_value(source);
        lines.append_value(reject.line as i64);
        times.append_value(ingested_at);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(tables.finish()),
        Arc::new(reasons.finish()),
        Arc::new(raws.finish()),
        Arc::new(lengths.finish()),
        Arc::new(sources.finish()),
        Arc::new(lines.finish()),
        Arc::new(times.finish()),
    ];
    RecordBatch::try_new(rejects_schema(), columns).expect("columns are built to this schema")
}
