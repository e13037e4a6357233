//! The samples of one day: a baseline's query over that day, then what must not train.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use datafusion::catalog::MemTable;
use datafusion::common::DataFusionError;
use trailhound_ingest::column::timestamp_type;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_ingest::formats::format_named;
use trailhound_lake::Lake;
use trailhound_query::{Options, Session};

use super::build::BuildOptions;
use super::columns::{Columns, times};
use super::definition::{Definition, Kind};
use super::store;

/// Minutes of an hour of flow logs that must be seen for it to train. Their records cover
/// every minute of their windows; other logs only show when something happened.
const FLOW_MINUTES_MIN: u32 = 45;

/// One hour that was seen at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    /// Its start, microseconds since the epoch.
    pub start: i64,
    /// Whether so little of it was seen that it must not train.
    pub blind: bool,
}

/// An hour of an entity that must not train.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excluded {
    /// Start of the hour, microseconds since the epoch.
    pub hour: i64,
    /// Whose.
    pub entity: String,
    /// Why.
    pub reason: String,
}

/// What came of a day.
#[derive(Debug, Clone, Default)]
pub struct Sampled {
    /// The rows, in the form of the table of samples.
    pub batches: Vec<RecordBatch>,
    /// Rows that train.
    pub trained: u64,
    /// Rows that do not.
    pub excluded: u64,
}

/// Midnight at the start of a day.
pub fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// A session over one day of the lake, with empty tables for those that it lacks.
///
/// # Errors
/// The lake cannot be read.
pub async fn open_day(
    lake: &Lake,
    day: NaiveDate,
    definitions: &[&Definition],
    options: &BuildOptions,
) -> Result<Session, Error> {
    let session = Session::open(Options {
        lake: Some(lake.clone()),
        since: Some(midnight(day)),
        until: Some(midnight(day) + TimeDelta::days(1)),
        endpoint_url: options.endpoint_url.clone(),
        memory_bytes: options.memory_bytes,
        partitions: options.partitions,
        ..Options::default()
    })
    .await?;
    let there = session.table_names();
    for table in definitions.iter().flat_map(|definition| &definition.reads) {
        if there.contains(table) || session.context().table_exist(table.as_str()).unwrap_or(false) {
            continue;
        }
        if let Some(format) = format_named(table) {
            register(&session, table, format.schema(), Vec::new())?;
        }
    }
    Ok(session)
}

/// The samples of a baseline for the day of `session`.
///
/// # Errors
/// The query fails.
pub async fn sample(
    session: &Session,
    definition: &Definition,
    hours: &[Hour],
    excluded: &[Excluded],
    built_at: DateTime<Utc>,
) -> Result<Sampled, Error> {
    let schema = store::schema(definition.samples)?;
    let about = format!("baseline {}", definition.name);
    let raw = session
        .query(&definition.sql)
        .await
        .map_err(|error| in_baseline(definition, &error))?
        .collect()
        .await
        .map_err(|error| in_baseline(definition, &error))?;
    let raw = raw
        .iter()
        .map(|batch| store::fitted(batch, &schema, &about))
        .collect::<Result<Vec<_>, Error>>()?;
    register(session, "_samples_raw", Arc::clone(&schema), raw)?;
    let hour_batch = hours_batch(hours)?;
    register(session, "_samples_hours", hour_batch.schema(), vec![hour_batch])?;
    let excluded_batch = excluded_batch(excluded)?;
    register(
        session,
        "_samples_excluded",
        excluded_batch.schema(),
        vec![excluded_batch],
    )?;
    let made = session.query(&around(definition)).await?.collect().await;
    for table in ["_samples_raw", "_samples_hours", "_samples_excluded"] {
        session.context().deregister_table(table).map_err(engine)?;
    }
    let mut sampled = Sampled::default();
    for batch in made? {
        let batch = store::fitted(&batch, &schema, &about)?;
        let batch = stamped(&batch, built_at)?;
        let excluded = (batch.num_rows() - batch["excluded"].null_count()) as u64;
        sampled.excluded += excluded;
        sampled.trained += batch.num_rows() as u64 - excluded;
        sampled.batches.push(batch);
    }
    Ok(sampled)
}

/// What is done with the rows of a baseline's query.
fn around(definition: &Definition) -> String {
    let reasons = "(SELECT event_time, entity, min(reason) AS reason FROM _samples_excluded GROUP BY event_time, entity)";
    if definition.kind == Kind::Seen {
        // That something was there stays true however little else was seen.
        return format!(
            "SELECT date_trunc('day', r.event_time) AS event_time, r.entity, r.subject, r.measure, \
             sum(r.value) AS value, sum(r.count) AS count, min(r.first_seen) AS first_seen, \
             max(r.last_seen) AS last_seen, a.reason AS excluded \
             FROM _samples_raw r LEFT JOIN {reasons} a ON a.event_time = r.event_time AND a.entity = r.entity \
             WHERE r.entity IS NOT NULL AND r.subject IS NOT NULL \
             GROUP BY 1, 2, 3, 4, 9"
        );
    }
    let fill = match definition.fill {
        true => {
            "UNION ALL SELECT h.event_time, k.entity, k.subject, k.measure, 0.0, 0, NULL, NULL, NULL \
             FROM (SELECT DISTINCT entity, subject, measure FROM _samples_raw) k \
             CROSS JOIN _samples_hours h WHERE NOT h.blind"
        }
        false => "",
    };
    format!(
        "SELECT s.event_time, s.entity, s.subject, s.measure, s.value, s.count, s.first_seen, s.last_seen, \
         coalesce(a.reason, s.excluded, CASE WHEN h.blind THEN 'blind' END) AS excluded \
         FROM (SELECT event_time, entity, subject, measure, sum(value) AS value, sum(count) AS count, \
         min(first_seen) AS first_seen, max(last_seen) AS last_seen, max(excluded) AS excluded \
         FROM (SELECT event_time, entity, subject, measure, value, count, first_seen, last_seen, excluded \
         FROM _samples_raw {fill}) GROUP BY event_time, entity, subject, measure) s \
         LEFT JOIN _samples_hours h ON h.event_time = s.event_time \
         LEFT JOIN {reasons} a ON a.event_time = s.event_time AND a.entity = s.entity \
         WHERE s.entity IS NOT NULL AND s.value IS NOT NULL AND NOT isnan(s.value)"
    )
}

fn stamped(batch: &RecordBatch, built_at: DateTime<Utc>) -> Result<RecordBatch, Error> {
    let mut columns = batch.columns().to_vec();
    if let Some(last) = columns.last_mut() {
        *last = times(vec![Some(built_at.timestamp_micros()); batch.num_rows()]);
    }
    RecordBatch::try_new(batch.schema(), columns).map_err(failed)
}

fn hours_batch(hours: &[Hour]) -> Result<RecordBatch, Error> {
    let schema = Schema::new(vec![
        Field::new("event_time", timestamp_type(), true),
        Field::new("blind", DataType::Boolean, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Columns(hours).times(|hour| hour.start),
        Arc::new(BooleanArray::from(
            hours.iter().map(|hour| hour.blind).collect::<Vec<_>>(),
        )),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).map_err(failed)
}

fn excluded_batch(excluded: &[Excluded]) -> Result<RecordBatch, Error> {
    let text = |name| Field::new(name, DataType::Utf8View, true);
    let schema = Schema::new(vec![
        Field::new("event_time", timestamp_type(), true),
        text("entity"),
        text("reason"),
    ]);
    let rows = Columns(excluded);
    let columns = vec![
        rows.times(|row| row.hour),
        rows.texts(|row| &row.entity),
        rows.texts(|row| &row.reason),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).map_err(failed)
}

/// The hours of a day, with the minutes of them that were seen in the tables that a baseline reads.
pub fn hours_seen(definition: &Definition, minutes: &[(String, i64, i64)]) -> Vec<Hour> {
    let mut seen = std::collections::BTreeMap::<i64, bool>::new();
    for (table, start, bits) in minutes {
        if !definition.reads.contains(table) || *bits == 0 {
            continue;
        }
        let enough = match table.as_str() {
            "vpc_flow" => bits.count_ones() >= FLOW_MINUTES_MIN,
            _ => true,
        };
        let blind = seen.entry(*start).or_insert(true);
        *blind &= !enough;
    }
    seen.into_iter()
        .map(|(start, blind)| Hour { start, blind })
        .collect()
}

fn register(
    session: &Session,
    name: &str,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<(), Error> {
    let table = MemTable::try_new(schema, vec![batches]).map_err(engine)?;
    session
        .context()
        .register_table(name, Arc::new(table))
        .map_err(engine)?;
    Ok(())
}

/// Numbers of a column, 0 for NULL.
pub fn long(batch: &RecordBatch, column: &str, row: usize) -> i64 {
    use arrow::array::{Array, AsArray};
    batch
        .column_by_name(column)
        .and_then(|column| column.as_primitive_opt::<arrow::datatypes::Int64Type>())
        .map_or(
            0,
            |column: &Int64Array| if column.is_null(row) { 0 } else { column.value(row) },
        )
}

fn in_baseline(definition: &Definition, error: &Error) -> Error {
    let error_text = format!("baseline {}: {}", definition.name, error.message());
    Error::new(error.kind(), error_text)
}

fn engine(error: DataFusionError) -> Error {
    trailhound_query::error::explain(&error, "", &[])
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Failed, format!("making samples: {error}"))
}
