//! What each table of the lake looks like and how its files are laid out.

use arrow::datatypes::{Schema, SchemaRef};
use trailhound_ingest::baselines;
use trailhound_ingest::coverage::coverage_schema;
use trailhound_ingest::formats::{FORMATS, format_named};
use trailhound_ingest::identity::claims_schema;
use trailhound_ingest::object_digests::object_digests_schema;
use trailhound_ingest::reject::rejects_schema;

/// The partition column of every table: the UTC day of `event_time`, or of
/// `_ingested_at` where a record has no time of its own.
pub const EVENT_DATE: &str = "event_date";

/// A table of the lake.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Its name, which is also its folder.
    pub name: &'static str,
    /// Its columns, without [`EVENT_DATE`].
    pub schema: SchemaRef,
    /// The column that gives the day, and by which rows are sorted in a file.
    pub time: &'static str,
    /// Columns that get a bloom filter: many values, asked for one at a time.
    pub bloom: &'static [&'static str],
    /// Columns that together tell one record from another. Two rows that agree
    /// in them all are one record delivered twice. None: no row is a double.
    pub key: &'static [&'static str],
}

/// Layout of a format's table: (table, bloom filters, key). What is not listed
/// has no bloom filters and is told apart by where it was read.
const LAYOUTS: &[(&str, &[&str], &[&str])] = &[
    (
        "vpc_flow",
        &["interface_id", "srcaddr", "dstaddr"],
        PROVENANCE_KEY,
    ),
    (
        "cloudtrail",
        &["event_id", "access_key_id", "source_ip_address", "principal_id"],
        &["event_id"],
    ),
    ("container_logs", &["task_id", "event_id"], PROVENANCE_KEY),
    ("ecs_events", &["event_id"], &["event_id"]),
    ("coverage", &[], &[]),
    ("object_digests", &[], &[]),
    ("identity_claims", &[], &[]),
];

const PROVENANCE_KEY: &[&str] = &["_source", "_line"];

/// The table `name`; none if the lake has no such table.
pub fn spec(name: &str) -> Option<TableSpec> {
    let (name, schema, time) = match name {
        "rejects" => ("rejects", rejects_schema(), "_ingested_at"),
        "coverage" => ("coverage", coverage_schema(), "event_time"),
        "identity_claims" => ("identity_claims", claims_schema(), "event_time"),
        "object_digests" => ("object_digests", object_digests_schema(), "digest_end"),
        _ => match baselines::table_named(name) {
            Some(table) => return Some(baseline_spec(table)),
            None => {
                let format = format_named(name)?;
                (format.name(), format.schema(), "event_time")
            }
        },
    };
    let layout = LAYOUTS.iter().find(|(table, ..)| *table == name);
    Some(TableSpec {
        name,
        schema,
        time,
        bloom: layout.map_or(&[], |layout| layout.1),
        key: layout.map_or(PROVENANCE_KEY, |layout| layout.2),
    })
}

/// A table of baselines: small, and no row of it is a double.
fn baseline_spec(table: &'static str) -> TableSpec {
    TableSpec {
        name: table,
        schema: baselines::schema(table).unwrap_or_else(|| std::sync::Arc::new(Schema::empty())),
        time: "event_time",
        bloom: &[],
        key: &[],
    }
}

/// Names of all tables that a lake can have.
pub fn table_names() -> impl Iterator<Item = &'static str> {
    FORMATS
        .iter()
        .map(|format| format.name())
        .chain(["rejects", "coverage", "object_digests", "identity_claims"])
        .chain(baselines::table_names())
}
