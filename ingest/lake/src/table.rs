//! The Delta side of a table: its first version, its columns, and what of Delta is understood.

use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef, TimeUnit};
use delta_kernel::actions::{Metadata, Protocol};
use delta_kernel::engine::arrow_conversion::TryIntoArrow;
use delta_kernel::schema::{DataType, PrimitiveType, StructField, StructType};
use deltalake_core::kernel::{Action, MetadataExt, new_metadata};
use trailhound_ingest::column::timestamp_type;
use trailhound_ingest::error::{Error, ErrorKind};

use crate::TableSpec;
use crate::spec::EVENT_DATE;

/// Properties of a new table.
const PROPERTIES: &[(&str, &str)] = &[
    // Checkpoints and cleaning are jobs of their own: never in the way of a commit.
    ("delta.checkpointInterval", "100"),
    ("delta.enableExpiredLogCleanup", "false"),
    // How long a query may still read what compaction has replaced.
    ("delta.deletedFileRetentionDuration", "interval 7 days"),
    ("delta.logRetentionDuration", "interval 30 days"),
    // Our files bring statistics of every column; other writers should not stop at 32.
    ("delta.dataSkippingNumIndexedCols", "-1"),
];

/// Features of the Delta protocol that change nothing for us, whoever switched them on.
const FEATURES: &[&str] = &["appendOnly", "invariants", "timestampNtz", "vacuumProtocolCheck"];

/// Whether `name` can be a table's folder and its name in SQL.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The actions of version 0.
pub(crate) fn first_actions(spec: &TableSpec) -> Result<Vec<Action>, Error> {
    let broken = |error: &dyn std::error::Error| {
        Error::new(
            ErrorKind::Failed,
            format!("table {}: its columns: {error}", spec.name),
        )
    };
    let mut fields = delta_fields(spec)?;
    fields.push(StructField::nullable(EVENT_DATE, DataType::DATE));
    let schema = StructType::try_new(fields).map_err(|error| broken(&error))?;
    let metadata = new_metadata(&schema, [EVENT_DATE], PROPERTIES.iter().copied())
        .and_then(|metadata| metadata.with_name(spec.name.to_owned()))
        .map_err(|error| broken(&error))?;
    // What every reader of Delta understands: no features.
    let protocol: Protocol =
        serde_json::from_value(serde_json::json!({ "minReaderVersion": 1, "minWriterVersion": 2 }))
            .map_err(|error| broken(&error))?;
    Ok(vec![Action::Protocol(protocol), Action::Metadata(metadata)])
}

/// The table's metadata with the columns of `spec` that it lacks; none if it has them all.
///
/// # Errors
/// A column has another type, or the table is not partitioned by day.
pub(crate) fn evolved(
    spec: &TableSpec,
    metadata: &Metadata,
    schema: &StructType,
) -> Result<Option<Metadata>, Error> {
    if metadata.partition_columns() != [EVENT_DATE] {
        return Err(Error::wrong_use(format!(
            "table {}: it is partitioned by {:?}, not by {EVENT_DATE}",
            spec.name,
            metadata.partition_columns()
        ))
        .with_help("it was not made by trailhound: give another lake with --lake"));
    }
    let mut fields: Vec<StructField> = schema.fields().cloned().collect();
    let before = fields.len();
    for field in delta_fields(spec)? {
        match fields
            .iter()
            .find(|have| have.name().eq_ignore_ascii_case(field.name()))
        {
            Some(have) if have.data_type() == field.data_type() => {}
            Some(have) => {
                return Err(Error::wrong_use(format!(
                    "table {}: its column {} is {}, and {} is to be written",
                    spec.name,
                    field.name(),
                    have.data_type(),
                    field.data_type()
                ))
                .with_help(
                    "another version of trailhound wrote it: use that version, or another lake with --lake",
                ));
            }
            None => fields.push(field),
        }
    }
    if fields.len() == before {
        return Ok(None);
    }
    // The day stays last.
    fields.sort_by_key(|field| field.name() == EVENT_DATE);
    let broken = |error: &dyn std::error::Error| {
        Error::new(
            ErrorKind::Failed,
            format!("table {}: its new columns: {error}", spec.name),
        )
    };
    let schema = StructType::try_new(fields).map_err(|error| broken(&error))?;
    metadata
        .clone()
        .with_schema(&schema)
        .map(Some)
        .map_err(|error| broken(&error))
}

/// The columns of `spec` as Delta knows them. All may be null: whoever adds a
/// column later has no value for the rows before.
fn delta_fields(spec: &TableSpec) -> Result<Vec<StructField>, Error> {
    spec.schema
        .fields()
        .iter()
        .map(|field| Ok(StructField::nullable(field.name(), delta_type(spec, field)?)))
        .collect()
}

fn delta_type(spec: &TableSpec, field: &Field) -> Result<DataType, Error> {
    Ok(match field.data_type() {
        ArrowType::Utf8View | ArrowType::Utf8 | ArrowType::LargeUtf8 => DataType::STRING,
        ArrowType::Int32 => DataType::INTEGER,
        ArrowType::Int64 => DataType::LONG,
        ArrowType::Float64 => DataType::DOUBLE,
        ArrowType::Boolean => DataType::BOOLEAN,
        ArrowType::Date32 => DataType::DATE,
        ArrowType::Timestamp(TimeUnit::Microsecond, Some(_)) => DataType::TIMESTAMP,
        other => {
            return Err(Error::new(
                ErrorKind::Failed,
                format!(
                    "table {}: no Delta type for column {} ({other})",
                    spec.name,
                    field.name()
                ),
            ));
        }
    })
}

/// A table's columns in Arrow's types, `event_date` last.
pub(crate) fn arrow_schema(schema: Arc<StructType>) -> Result<SchemaRef, Error> {
    let mut fields = schema
        .fields()
        .map(|field| {
            let data_type = match field.data_type() {
                DataType::Primitive(PrimitiveType::String) => ArrowType::Utf8View,
                DataType::Primitive(PrimitiveType::Timestamp) => timestamp_type(),
                other => other
                    .try_into_arrow()
                    .map_err(|error: arrow::error::ArrowError| {
                        Error::new(ErrorKind::Failed, format!("column {}: {error}", field.name()))
                    })?,
            };
            Ok(Field::new(field.name(), data_type, field.is_nullable()))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    fields.sort_by_key(|field| field.name() == EVENT_DATE);
    Ok(Arc::new(Schema::new(fields)))
}

/// Whether a table's rows can be read right: its protocol as JSON is looked at,
/// so that features without a name in the library are seen too.
///
/// # Errors
/// It needs something that this version does not know.
pub(crate) fn check_readable(name: &str, protocol: &Protocol, metadata: &Metadata) -> Result<(), Error> {
    check(name, protocol, "minReaderVersion", "readerFeatures", &[1, 3])?;
    match metadata.configuration().get("delta.columnMapping.mode") {
        Some(mode) if mode != "none" => Err(newer(name, "it maps columns to other names")),
        _ => Ok(()),
    }
}

/// Whether rows can be added to a table.
///
/// # Errors
/// It needs something that this version does not know.
pub(crate) fn check_writable(name: &str, protocol: &Protocol) -> Result<(), Error> {
    check(name, protocol, "minWriterVersion", "writerFeatures", &[1, 2, 7])
}

fn check(
    name: &str,
    protocol: &Protocol,
    version_key: &str,
    features_key: &str,
    known: &[i64],
) -> Result<(), Error> {
    let protocol = serde_json::to_value(protocol)
        .map_err(|error| Error::new(ErrorKind::Failed, format!("table {name}: its protocol: {error}")))?;
    let version = protocol[version_key].as_i64().unwrap_or(i64::MAX);
    if !known.contains(&version) {
        return Err(newer(name, &format!("{version_key} {version}")));
    }
    let features = protocol[features_key].as_array().map_or(&[][..], Vec::as_slice);
    match features
        .iter()
        .filter_map(|feature| feature.as_str())
        .find(|feature| !FEATURES.contains(feature))
    {
        Some(feature) => Err(newer(name, &format!("the feature {feature}"))),
        None => Ok(()),
    }
}

/// A table needs `what` of Delta.
pub(crate) fn newer(name: &str, what: &str) -> Error {
    Error::wrong_use(format!(
        "table {name}: it needs something of Delta Lake that this version of trailhound does not know: {what}"
    ))
    .with_help("use a newer trailhound, or another lake with --lake; nothing was written")
}
