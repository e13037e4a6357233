//! What the lake's tables cover, from its table `coverage`.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use crate::error::Error;
use crate::ledger::{ObjectReport, Outcome, TableReport};
use crate::session::Session;

/// Hours in order, so that their minutes are ascending.
const QUERY: &str = "SELECT table_name, event_time, bit_or(minutes) AS minutes, sum(records) AS records, \
     min(first_event) AS first_event, max(last_event) AS last_event \
     FROM coverage GROUP BY table_name, event_time ORDER BY table_name, event_time";

const MINUTE_MICROS: i64 = 60_000_000;

/// One report a table, as if the lake were one object that was read whole.
///
/// # Errors
/// The table cannot be read.
pub async fn reports(session: &Session) -> Result<Vec<TableReport>, Error> {
    let mut tables: BTreeMap<String, TableReport> = BTreeMap::new();
    for batch in session.query(QUERY).await?.collect().await? {
        let names = batch["table_name"].as_string_view();
        let hours = batch["event_time"].as_primitive::<TimestampMicrosecondType>();
        let minutes = batch["minutes"].as_primitive::<Int64Type>();
        let records = batch["records"].as_primitive::<Int64Type>();
        let first = batch["first_event"].as_primitive::<TimestampMicrosecondType>();
        let last = batch["last_event"].as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let name = names.value(row);
            let table = tables.entry(name.to_owned()).or_insert_with(|| TableReport {
                table: name.to_owned(),
                objects: vec![empty()],
                minutes: Vec::new(),
            });
            let object = &mut table.objects[0];
            object.rows += records.value(row) as u64;
            object.first = Some(object.first.map_or(first.value(row), |time| time.min(first.value(row))));
            object.last = object.last.max(Some(last.value(row)));
            let start = hours.value(row).div_euclid(MINUTE_MICROS);
            for minute in (0..60).filter(|bit| minutes.value(row) & (1 << bit) != 0) {
                mark(&mut table.minutes, start + minute);
            }
        }
    }
    Ok(tables.into_values().collect())
}

fn empty() -> ObjectReport {
    ObjectReport {
        source: "lake".to_owned(),
        outcome: Outcome::Read { complete: true },
        rows: 0,
        rejected: 0,
        passed: 0,
        bytes_in: 0,
        bytes_out: 0,
        first: None,
        last: None,
        minutes: Vec::new(),
    }
}

/// Adds a minute that is not before the last one.
fn mark(ranges: &mut Vec<(i64, i64)>, minute: i64) {
    match ranges.last_mut() {
        Some((_, end)) if *end + 1 == minute => *end = minute,
        _ => ranges.push((minute, minute)),
    }
}
