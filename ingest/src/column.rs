//! The columns of a table: one list gives schema, header mapping and reference page.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Time zone of every timestamp column.
pub const TIMESTAMP: &str = "UTC";

/// The one timestamp type of all tables: microseconds, UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(TIMESTAMP.into()))
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, as the log has it.
    Text,
    /// A JSON object or array as text, to be queried with `->` and `->>`.
    Json,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// 64-bit float.
    Double,
    /// true or false.
    Bool,
    /// Microseconds since the epoch, UTC.
    Time,
}

impl Kind {
    /// The Arrow type of the column.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Text | Kind::Json => DataType::Utf8View,
            Kind::Int => DataType::Int32,
            Kind::Long => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Bool => DataType::Boolean,
            Kind::Time => timestamp_type(),
        }
    }
}

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name in SQL.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Where the value comes from: the log's own field name or path.
    pub from: &'static str,
    /// Meaning, unit and values, for the reference page.
    pub about: &'static str,
    /// The values that it takes, if they are few and known; for completion.
    pub values: &'static [&'static str],
}

impl Column {
    /// A column; `from` is the log's own name of the field.
    pub const fn new(name: &'static str, kind: Kind, from: &'static str, about: &'static str) -> Self {
        Column {
            name,
            kind,
            from,
            about,
            values: &[],
        }
    }

    /// The same column, known to take these values.
    pub const fn one_of(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }
}

/// Columns that every table of records ends with.
pub const PROVENANCE: &[Column] = &[
    Column::new(
        "_source",
        Kind::Text,
        "",
        "Object or stream that the record was read from.",
    ),
    Column::new(
        "_line",
        Kind::Long,
        "",
        "Line or record number in `_source`, counted from 1.",
    ),
    Column::new("_ingested_at", Kind::Time, "", "When trailhound read the record."),
];

/// `columns` followed by [`PROVENANCE`], as an Arrow schema.
pub fn table_schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .iter()
            .chain(PROVENANCE)
            .map(|column| Field::new(column.name, column.kind.data_type(), true))
            .collect::<Vec<_>>(),
    ))
}
