//! The tables that hold what is normal: samples of each day, norms made from them, and who approved what.
//!
//! Every baseline has two tables of one form: `baseline_NAME_samples`, replaced a
//! day at a time, and `baseline_NAME`, to which each build adds its rows under a
//! number of its own.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::column::timestamp_type;

/// A baseline's name, the table of its norms, and that of its samples.
pub struct Tables {
    /// Name on the command line.
    pub name: &'static str,
    /// Table of its norms.
    pub norms: &'static str,
    /// Table of its samples.
    pub samples: &'static str,
}

macro_rules! tables {
    ($($name:literal),* $(,)?) => {
        &[$(Tables {
            name: $name,
            norms: concat!("baseline_", $name),
            samples: concat!("baseline_", $name, "_samples"),
        }),*]
    };
}

/// All baselines. A test holds this list and the files of SQL together.
pub const BASELINES: &[Tables] = tables![
    "edges",
    "volumes",
    "series",
    "principals",
    "addresses",
    "deployers",
    "templates",
    "inventory",
];

/// What each build came to.
pub const VERSIONS: &str = "baseline_versions";
/// Which days were sampled, with which logs.
pub const DAYS: &str = "baseline_days";
/// Hours that do not train.
pub const EXCEPTIONS: &str = "baseline_exceptions";
/// Who approved, froze or released which version.
pub const APPROVALS: &str = "baseline_approvals";

/// What a table is for, for those that hold no norms or samples.
pub const BOOKS: &[&str] = &[VERSIONS, DAYS, EXCEPTIONS, APPROVALS];

/// Name, type and meaning of a column.
type ColumnRow = (&'static str, Kind, &'static str);

/// Type of a column.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Long,
    Int,
    Double,
    Time,
}

const BUILT_AT: ColumnRow = ("_ingested_at", Kind::Time, "When the row was made.");

const SAMPLES: &[ColumnRow] = &[
    (
        "event_time",
        Kind::Time,
        "Start of the hour that was measured, or of the day in which something was seen.",
    ),
    (
        "entity",
        Kind::Text,
        "Workload or principal, never a bare address of a peer.",
    ),
    (
        "subject",
        Kind::Text,
        "What was seen or measured of it, such as a peer; NULL for the whole of it.",
    ),
    ("measure", Kind::Text, "Which quantity."),
    ("value", Kind::Double, "How much."),
    ("count", Kind::Long, "Records behind it."),
    ("first_seen", Kind::Time, "Earliest of them."),
    ("last_seen", Kind::Time, "Latest of them."),
    (
        "excluded",
        Kind::Text,
        "Why it does not train: `alerted`, `blind` (too few minutes were seen), `skipdata`; NULL if it does.",
    ),
    BUILT_AT,
];

const NORMS: &[ColumnRow] = &[
    ("event_time", Kind::Time, "Last moment of the window."),
    (
        "version",
        Kind::Long,
        "Number of the build, one for all baselines.",
    ),
    ("entity", Kind::Text, "Workload or principal."),
    ("subject", Kind::Text, "What of it; NULL for the whole."),
    ("measure", Kind::Text, "Which quantity."),
    (
        "hour_of_week",
        Kind::Int,
        "Hour of the week in UTC, 0 is Monday 00:00, that the row is the norm of; NULL if it is of all hours.",
    ),
    (
        "grain",
        Kind::Text,
        "What was compared: `hour_of_week`, `hour_of_day` or `all` hours; `days` for what is only seen.",
    ),
    ("window_from", Kind::Time, "First day that samples were taken of."),
    ("window_to", Kind::Time, "End of the last one."),
    ("samples", Kind::Long, "Samples behind the numbers."),
    ("days", Kind::Long, "Different days among them."),
    ("first_seen", Kind::Time, "Earliest record."),
    ("last_seen", Kind::Time, "Latest record."),
    ("count", Kind::Long, "Records."),
    ("median", Kind::Double, "Half of the samples lie below."),
    ("mad", Kind::Double, "Median of the distances from the median."),
    (
        "unit",
        Kind::Double,
        "Amount below which differences do not count; the scale of `center` is ln(1 + value / unit).",
    ),
    ("center", Kind::Double, "ln(1 + median / unit)."),
    (
        "spread",
        Kind::Double,
        "MAD on that scale, at least ln(1.1) and at least a half of the distance of the quartiles; never 0. \
         A value's z is 0.6745 (ln(1 + value / unit) - center) / spread.",
    ),
    ("p05", Kind::Double, "5% of the samples lie below."),
    ("p25", Kind::Double, "25%."),
    ("p75", Kind::Double, "75%."),
    ("p95", Kind::Double, "95%."),
    ("p995", Kind::Double, "99.5%."),
    ("max", Kind::Double, "The largest sample."),
    (
        "state",
        Kind::Text,
        "`learning` until there is enough, then `ripe`; `expired` if it was not seen for long.",
    ),
    BUILT_AT,
];

const VERSIONS_COLUMNS: &[ColumnRow] = &[
    ("event_time", Kind::Time, "Last moment of the window."),
    ("version", Kind::Long, "Number of the build."),
    ("baseline", Kind::Text, "Name of the baseline."),
    ("definition", Kind::Text, "Hash of the baseline's file."),
    ("window_from", Kind::Time, "First day that samples were taken of."),
    ("window_to", Kind::Time, "End of the last one."),
    ("days", Kind::Long, "Days with samples."),
    ("samples", Kind::Long, "Samples that train."),
    ("excluded", Kind::Long, "Samples that do not."),
    ("norms", Kind::Long, "Rows of the version."),
    ("ripe", Kind::Long, "Ripe ones among them."),
    ("entities", Kind::Long, "Different entities."),
    BUILT_AT,
];

const DAYS_COLUMNS: &[ColumnRow] = &[
    ("event_time", Kind::Time, "The day."),
    ("baseline", Kind::Text, "Name of the baseline."),
    (
        "definition",
        Kind::Text,
        "Hash of the baseline's file that made the samples.",
    ),
    (
        "logs_until",
        Kind::Time,
        "Latest arrival of logs that is in the samples.",
    ),
    (
        "records",
        Kind::Long,
        "Records of that day in the tables that the baseline reads.",
    ),
    ("samples", Kind::Long, "Samples that train."),
    ("excluded", Kind::Long, "Samples that do not."),
    (
        "hours_seen",
        Kind::Long,
        "Hours of the day that were seen well enough.",
    ),
    (
        "hours_blind",
        Kind::Long,
        "Hours of the day that were seen too little to train.",
    ),
    BUILT_AT,
];

const EXCEPTIONS_COLUMNS: &[ColumnRow] = &[
    ("event_time", Kind::Time, "The hour that does not train."),
    ("entity", Kind::Text, "Whose hour."),
    ("reason", Kind::Text, "Why: `alerted`."),
    ("rule", Kind::Text, "Rule that raised the alert."),
    ("alert", Kind::Text, "Id of the alert."),
    BUILT_AT,
];

const APPROVALS_COLUMNS: &[ColumnRow] = &[
    ("event_time", Kind::Time, "When."),
    ("version", Kind::Long, "Version that it is about."),
    (
        "action",
        Kind::Text,
        "`approve`, `freeze`, `release` or `report`.",
    ),
    ("name", Kind::Text, "Who."),
    ("reason", Kind::Text, "Why."),
    BUILT_AT,
];

fn columns_of(table: &str) -> Option<&'static [ColumnRow]> {
    match table {
        VERSIONS => return Some(VERSIONS_COLUMNS),
        DAYS => return Some(DAYS_COLUMNS),
        EXCEPTIONS => return Some(EXCEPTIONS_COLUMNS),
        APPROVALS => return Some(APPROVALS_COLUMNS),
        _ => {}
    }
    BASELINES.iter().find_map(|baseline| {
        if baseline.norms == table {
            return Some(NORMS);
        }
        (baseline.samples == table).then_some(SAMPLES)
    })
}

/// Schema of one of the tables; none if it is not one of them.
pub fn schema(table: &str) -> Option<SchemaRef> {
    let fields: Vec<Field> = columns_of(table)?
        .iter()
        .map(|(name, kind, _)| {
            let data_type = match kind {
                Kind::Text => DataType::Utf8View,
                Kind::Long => DataType::Int64,
                Kind::Int => DataType::Int32,
                Kind::Double => DataType::Float64,
                Kind::Time => timestamp_type(),
            };
            Field::new(*name, data_type, true)
        })
        .collect();
    Some(Arc::new(Schema::new(fields)))
}

/// Columns of one of the tables: name, type in the terms of SQL, meaning; for the reference page.
pub fn columns(table: &str) -> Vec<(&'static str, &'static str, &'static str)> {
    let of = |kind: Kind| match kind {
        Kind::Text => "text",
        Kind::Long => "bigint",
        Kind::Int => "int",
        Kind::Double => "double",
        Kind::Time => "timestamp",
    };
    columns_of(table)
        .unwrap_or_default()
        .iter()
        .map(|(name, kind, about)| (*name, of(*kind), *about))
        .collect()
}

/// Names of all of these tables.
pub fn table_names() -> impl Iterator<Item = &'static str> {
    BASELINES
        .iter()
        .flat_map(|baseline| [baseline.norms, baseline.samples])
        .chain(BOOKS.iter().copied())
}

/// The name of a table as it is kept for good; none if it is not one of these.
pub fn table_named(name: &str) -> Option<&'static str> {
    table_names().find(|table| *table == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_time_and_says_when_it_was_made() {
        for table in table_names() {
            let schema = schema(table).unwrap();
            assert_eq!(schema.field(0).name(), "event_time", "{table}");
            let last = schema.fields().last().unwrap();
            assert_eq!(last.name(), "_ingested_at", "{table}");
            assert_eq!(columns(table).len(), schema.fields().len());
        }
        assert!(schema("baseline_nothing").is_none());
    }

    #[test]
    fn no_two_tables_share_a_name() {
        let names: std::collections::BTreeSet<&str> = table_names().collect();
        assert_eq!(names.len(), BASELINES.len() * 2 + BOOKS.len());
    }
}
