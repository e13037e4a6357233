//! Builds batches row by row, for formats whose records are JSON or free text.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Array, Int64Builder, RecordBatch,
    RecordBatchOptions, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{Schema, SchemaRef};

use crate::block::Block;
use crate::column::{Column, Kind, PROVENANCE, TIMESTAMP, table_schema};
use crate::formats::Setup;
use crate::text::{Stretches, TextColumn, constant_text};

/// The rows of the batch under way, for the projected columns only.
///
/// A row is a series of `set_*` calls, in any order, ended by [`Rows::end_row`]:
/// columns that were not set are NULL; of two values the first stays.
pub struct Rows {
    schema: SchemaRef,
    /// Column of the table to place in `columns`, or `NOT_WANTED`.
    slots: Vec<usize>,
    columns: Vec<Builder>,
    /// Projected columns that all rows of the object share, and `_line`.
    provenance: Vec<(usize, Provenance)>,
    order: Vec<Place>,
    lines: Vec<i64>,
    rows: usize,
    stretches: Stretches,
    source: Arc<str>,
    ingested_at: i64,
}

const NOT_WANTED: usize = usize::MAX;

#[derive(Clone, Copy)]
enum Place {
    Built(usize),
    Provenance(usize),
}

#[derive(Clone, Copy)]
enum Provenance {
    Source,
    Line,
    IngestedAt,
}

enum Builder {
    Text(TextColumn),
    Int(Int32Builder),
    Long(Int64Builder),
    Double(Float64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::Json => Builder::Text(TextColumn::default()),
            Kind::Int => Builder::Int(Int32Builder::new()),
            Kind::Long => Builder::Long(Int64Builder::new()),
            Kind::Double => Builder::Double(Float64Builder::new()),
            Kind::Bool => Builder::Bool(BooleanBuilder::new()),
            Kind::Time => Builder::Time(TimestampMicrosecondBuilder::new().with_timezone(TIMESTAMP)),
        }
    }

    fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match self {
            Builder::Text(column) => column.len(),
            Builder::Int(builder) => builder.len(),
            Builder::Long(builder) => builder.len(),
            Builder::Double(builder) => builder.len(),
            Builder::Bool(builder) => builder.len(),
            Builder::Time(builder) => builder.len(),
        }
    }

    fn push_null(&mut self) {
        match self {
            Builder::Text(column) => column.push_null(),
            Builder::Int(builder) => builder.append_null(),
            Builder::Long(builder) => builder.append_null(),
            Builder::Double(builder) => builder.append_null(),
            Builder::Bool(builder) => builder.append_null(),
            Builder::Time(builder) => builder.append_null(),
        }
    }

    fn finish(&mut self, stretches: &Stretches) -> ArrayRef {
        match self {
            Builder::Text(column) => column.finish(stretches),
            Builder::Int(builder) => Arc::new(builder.finish()),
            Builder::Long(builder) => Arc::new(builder.finish()),
            Builder::Double(builder) => Arc::new(builder.finish()),
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::Time(builder) => Arc::new(builder.finish()),
        }
    }
}

impl Rows {
    /// No rows yet, of a table with `columns`.
    pub fn new(columns: &[Column], setup: &Setup) -> Self {
        let whole = table_schema(columns);
        let mut rows = Rows {
            schema: Arc::new(Schema::empty()),
            slots: vec![NOT_WANTED; columns.len()],
            columns: Vec::new(),
            provenance: Vec::new(),
            order: Vec::new(),
            lines: Vec::new(),
            rows: 0,
            stretches: Stretches::default(),
            source: Arc::clone(&setup.source),
            ingested_at: setup.ingested_at,
        };
        let mut fields = Vec::new();
        for &index in setup.projection.iter() {
            fields.push(Arc::clone(&whole.fields()[index]));
            if let Some(column) = columns.get(index) {
                rows.slots[index] = rows.columns.len();
                rows.order.push(Place::Built(rows.columns.len()));
                rows.columns.push(Builder::new(column.kind));
            } else {
                let which = match PROVENANCE[index - columns.len()].name {
                    "_source" => Provenance::Source,
                    "_line" => Provenance::Line,
                    _ => Provenance::IngestedAt,
                };
                rows.order.push(Place::Provenance(rows.provenance.len()));
                rows.provenance.push((index, which));
            }
        }
        rows.schema = Arc::new(Schema::new(fields));
        rows
    }

    /// Starts on a block: spans given from now on lie in it, at or after its position.
    pub fn open(&mut self, block: &Block) {
        self.stretches.open(block);
    }

    /// Ends work on the block; `block.pos` is past the last span given.
    pub fn close(&mut self, block: &Block) {
        self.stretches.close(block);
    }

    /// Whether the query asks for column number `column` of the table.
    #[inline]
    pub fn wants(&self, column: usize) -> bool {
        self.slots[column] != NOT_WANTED
    }

    #[inline]
    fn builder(&mut self, column: usize) -> Option<(&mut Builder, &Stretches)> {
        let slot = self.slots[column];
        if slot == NOT_WANTED || self.columns[slot].len() > self.rows {
            return None;
        }
        Some((&mut self.columns[slot], &self.stretches))
    }

    /// Sets a text column to `bytes[start..end]` of the open block, which must be valid UTF-8.
    #[inline]
    pub fn set_span(&mut self, column: usize, bytes: &[u8], start: usize, end: usize) {
        if let Some((Builder::Text(text), stretches)) = self.builder(column) {
            text.push_span(stretches, bytes, start, end);
        }
    }

    /// Sets a text column to text that does not lie in the block.
    pub fn set_text(&mut self, column: usize, value: &str) {
        if let Some((Builder::Text(text), _)) = self.builder(column) {
            text.push_owned(value);
        }
    }

    /// Sets an integer column of either width; a value that does not fit is NULL.
    #[inline]
    pub fn set_int(&mut self, column: usize, value: i64) {
        match self.builder(column) {
            Some((Builder::Int(builder), _)) => builder.append_option(i32::try_from(value).ok()),
            Some((Builder::Long(builder), _)) => builder.append_value(value),
            _ => {}
        }
    }

    /// Sets a floating-point column.
    pub fn set_double(&mut self, column: usize, value: f64) {
        if let Some((Builder::Double(builder), _)) = self.builder(column) {
            builder.append_value(value);
        }
    }

    /// Sets a boolean column.
    #[inline]
    pub fn set_bool(&mut self, column: usize, value: bool) {
        if let Some((Builder::Bool(builder), _)) = self.builder(column) {
            builder.append_value(value);
        }
    }

    /// Sets a time column, in microseconds since the epoch.
    #[inline]
    pub fn set_time(&mut self, column: usize, micros: i64) {
        if let Some((Builder::Time(builder), _)) = self.builder(column) {
            builder.append_value(micros);
        }
    }

    /// Ends the row; `line` is its number in the object.
    pub fn end_row(&mut self, line: u64) {
        self.rows += 1;
        for builder in &mut self.columns {
            if builder.len() < self.rows {
                builder.push_null();
            }
        }
        self.lines.push(line as i64);
    }

    /// Rows since the last flush.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows since the last flush.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows since the last flush. The block must be closed.
    pub fn flush(&mut self) -> RecordBatch {
        let built: Vec<ArrayRef> = self
            .columns
            .iter_mut()
            .map(|builder| builder.finish(&self.stretches))
            .collect();
        let lines = std::mem::take(&mut self.lines);
        let columns = self
            .order
            .iter()
            .map(|place| match *place {
                Place::Built(slot) => Arc::clone(&built[slot]),
                Place::Provenance(slot) => {
                    provenance_column(self.provenance[slot].1, &self.source, &lines, self.ingested_at)
                }
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.stretches.clear();
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("columns are built to the schema, one value a row")
    }
}

fn provenance_column(which: Provenance, source: &str, lines: &[i64], ingested_at: i64) -> ArrayRef {
    match which {
        Provenance::Source => constant_text(Some(source), lines.len()),
        Provenance::Line => Arc::new(Int64Array::from(lines.to_vec())),
        Provenance::IngestedAt => {
            Arc::new(TimestampMicrosecondArray::from(vec![ingested_at; lines.len()]).with_timezone(TIMESTAMP))
        }
    }
}
