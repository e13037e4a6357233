//! A row of a rule's output becomes a finding.

use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::alert::{Finding, Record};
use crate::error::{Error, Result};
use crate::message::{harmless, plain};
use crate::rule::{RESERVED, Rule};
use crate::severity::Severity;

/// Most characters of one value that an alert carries; the record has the rest.
const SAMPLE_CHARS_MAX: usize = 2000;

/// The findings of a batch of `rule`'s output.
///
/// # Errors
/// A reserved column holds what it must not: no time, a severity that is none.
pub fn findings(rule: &Rule, batch: &RecordBatch) -> Result<Vec<Finding>> {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(&mut bytes);
    writer
        .write(batch)
        .and_then(|()| writer.finish())
        .map_err(|error| Error::query(&rule.file, error))?;
    serde_json::Deserializer::from_slice(&bytes)
        .into_iter::<Map<String, Value>>()
        .map(|row| finding(rule, row.map_err(|error| Error::query(&rule.file, error))?))
        .collect()
}

fn finding(rule: &Rule, mut row: Map<String, Value>) -> Result<Finding> {
    let wrong = |reason: String| Error::rule(&rule.file, rule.sql_line, reason);
    let event_time = time(&row, "event_time").map_err(wrong)?;
    let first_seen = time(&row, "first_seen").map_err(wrong)?.or(event_time);
    let last_seen = time(&row, "last_seen")
        .map_err(wrong)?
        .or(event_time)
        .or(first_seen);
    let (Some(first_seen), Some(last_seen)) = (first_seen, last_seen) else {
        return Err(wrong(
            "a row has no time: event_time, first_seen and last_seen are NULL".to_owned(),
        ));
    };
    let severity = match row.get("severity") {
        None | Some(Value::Null) => rule.severity,
        Some(value) => plain(value).parse::<Severity>().map_err(wrong)?,
    };
    let risk = match row.get("risk").and_then(Value::as_f64) {
        Some(risk) => risk.clamp(0.0, 100.0) as u8,
        // A row that is worse than its rule also weighs more.
        None if severity != rule.severity => severity.risk(),
        None => rule.risk.unwrap_or(severity.risk()),
    };
    let records = records(rule, &row);
    let count = row
        .get("count")
        .and_then(Value::as_u64)
        .unwrap_or(1)
        .max(records.len() as u64);
    row.insert("count".to_owned(), count.into());
    row.insert("severity".to_owned(), severity.name().into());
    let message = rule.message.render(&row);
    row.retain(|name, _| !RESERVED.contains(&name.as_str()));
    let row = match harmless(Value::Object(row), SAMPLE_CHARS_MAX) {
        Value::Object(row) => row,
        _ => Map::new(),
    };
    let entity = rule
        .entity
        .iter()
        .map(|column| row.get(column).map_or_else(|| "-".to_owned(), plain))
        .collect();
    let impact = rule
        .impact
        .iter()
        .filter_map(|column| Some((column.clone(), row.get(column)?.clone())))
        .filter(|(_, value)| !value.is_null())
        .collect();
    Ok(Finding {
        first_seen,
        last_seen,
        count,
        severity,
        risk,
        entity,
        message,
        impact,
        records,
        sample: row,
    })
}

fn time(row: &Map<String, Value>, column: &str) -> Result<Option<DateTime<Utc>>, String> {
    match row.get(column) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let text = plain(value);
            match DateTime::parse_from_rfc3339(&text) {
                Ok(time) => Ok(Some(time.to_utc())),
                Err(_) => Err(format!("{column} is no timestamp with a time zone: {text:?}")),
            }
        }
    }
}

/// The records of `evidence`, or the one that `_source` and `_line` name.
fn records(rule: &Rule, row: &Map<String, Value>) -> Vec<Record> {
    let text = |map: &Map<String, Value>, key: &str| {
        map.get(key)
            .filter(|value| !value.is_null())
            .map(|value| harmless(value.clone(), SAMPLE_CHARS_MAX))
            .map(|value| plain(&value))
    };
    let record = |map: &Map<String, Value>, table: String| {
        Some(Record {
            table,
            source: text(map, "_source")?,
            line: map.get("_line")?.as_i64()?,
            event_id: text(map, "event_id"),
        })
    };
    match row.get("evidence") {
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_object)
            .filter_map(|item| record(item, text(item, "table")?))
            .collect(),
        _ => rule
            .reads
            .first()
            .and_then(|table| record(row, table.clone()))
            .into_iter()
            .collect(),
    }
}
