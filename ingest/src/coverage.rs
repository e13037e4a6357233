//! Which minutes were seen: rows of the table `coverage`.
//!
//! One row tells of one hour of one source, account, Region and, for flow logs,
//! interface, as far as one commit brought it. Minutes are 60 bits, so that rows
//! of later commits join by `|` and a gap is a zero.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Builder, RecordBatch, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};

use crate::column::{TIMESTAMP, timestamp_type};
use crate::intern::{Interner, NULL};

const MINUTE_MICROS: i64 = 60_000_000;
const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;

/// Minutes that one record can cover at most: the longest aggregation interval of
/// flow logs is 10 minutes, and a transit gateway's record may lag by as much. A
/// record that claims more is not believed to the end.
const WINDOW_MINUTES_MAX: i64 = 20;

/// Schema of the table `coverage`.
pub fn coverage_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8View, true);
    let long = |name| Field::new(name, DataType::Int64, true);
    let time = |name| Field::new(name, timestamp_type(), true);
    Arc::new(Schema::new(vec![
        time("event_time"),
        text("table_name"),
        text("source"),
        text("account_id"),
        text("region"),
        text("interface_id"),
        long("minutes"),
        long("records"),
        long("nodata"),
        long("skipdata"),
        time("first_event"),
        time("last_event"),
        time("delivered_at"),
        time("_ingested_at"),
    ]))
}

/// Columns of [`coverage_schema`] with their meaning, for the reference page.
pub const COVERAGE_COLUMNS: &[(&str, &str)] = &[
    ("event_time", "The hour that the row tells of, by its start."),
    ("table_name", "Table that the records went to."),
    ("source", "Source as it was given to `ingest`."),
    ("account_id", "Account that the records belong to."),
    ("region", "Region that the records belong to."),
    ("interface_id", "Network interface, for flow logs."),
    (
        "minutes",
        "Minutes of the hour that were seen: bit 0 is minute 0.",
    ),
    ("records", "Records in the hour."),
    ("nodata", "Flow log records that say: no traffic in this window."),
    ("skipdata", "Flow log records that say: traffic was not recorded."),
    ("first_event", "Earliest event of the hour."),
    ("last_event", "Latest event of the hour."),
    (
        "delivered_at",
        "When the source got the latest object or event of the hour.",
    ),
    (
        "_ingested_at",
        "When trailhound read it. The commit follows within seconds.",
    ),
];

/// What one hour of one key came to.
#[derive(Debug, Clone, Copy)]
struct Hour {
    minutes: u64,
    records: i64,
    nodata: i64,
    skipdata: i64,
    first: i64,
    last: i64,
    delivered: Option<i64>,
}

/// Columns that tell whom an hour belongs to.
const PARTS: [&str; 3] = ["account_id", "region", "interface_id"];

/// Where the interface stands among them.
const INTERFACE: usize = 2;

/// Whom an hour belongs to: the table and the texts, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    table: usize,
    parts: [u32; 3],
}

/// Collects what batches cover, until it is written with them.
#[derive(Debug, Default)]
pub struct Coverage {
    tables: Vec<&'static str>,
    texts: [Interner; 3],
    keys: Vec<Key>,
    places: HashMap<Key, usize>,
    /// The place that each interface's latest record had, by the number of its text + 1.
    near: Vec<usize>,
    hours: Vec<((usize, i64), Hour)>,
    /// Where an hour stands in `hours`.
    hour_places: HashMap<(usize, i64), usize>,
    /// Each key's latest hour, and where it stands: the next record mostly belongs there.
    latest: Vec<(i64, usize)>,
}

impl Coverage {
    /// Adds the records of a batch of `table`. `delivered_at` is when the source
    /// got them, microseconds since the epoch.
    pub fn see(&mut self, table: &'static str, batch: &RecordBatch, delivered_at: Option<i64>) {
        let times = |name: &str| {
            batch
                .column_by_name(name)
                .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        };
        let texts = |name: &str| {
            batch
                .column_by_name(name)
                .and_then(|column| column.as_string_view_opt())
        };
        let Some(starts) = times("event_time") else {
            return;
        };
        let ends = times("end_time");
        let status = texts("log_status");
        // Only flow logs come for each interface anew.
        let known = if table == "vpc_flow" {
            PARTS.len()
        } else {
            INTERFACE
        };
        let mut codes: [Vec<u32>; 3] = Default::default();
        for (part, name) in PARTS.iter().enumerate().take(known) {
            if let Some(column) = texts(name) {
                self.texts[part].push(column, &mut codes[part]);
            }
        }
        let table = self.table(table);
        for row in 0..batch.num_rows() {
            if starts.is_null(row) {
                continue;
            }
            let parts = [0, 1, 2].map(|part: usize| codes[part].get(row).copied().unwrap_or(NULL));
            let place = self.near(Key { table, parts });
            let start = starts.value(row);
            let end = end_at(ends, row, start);
            self.mark(place, start, end, delivered_at, text_at(status, row));
        }
    }

    fn table(&mut self, name: &'static str) -> usize {
        match self.tables.iter().position(|known| *known == name) {
            Some(table) => table,
            None => {
                self.tables.push(name);
                self.tables.len() - 1
            }
        }
    }

    /// The place of a key, which mostly is that of its interface's latest record.
    fn near(&mut self, key: Key) -> usize {
        let slot = key.parts[INTERFACE].wrapping_add(1) as usize;
        if let Some(&place) = self.near.get(slot)
            && self.keys.get(place) == Some(&key)
        {
            return place;
        }
        let place = self.place(key);
        if self.near.len() <= slot {
            self.near.resize(slot + 1, usize::MAX);
        }
        self.near[slot] = place;
        place
    }

    fn place(&mut self, key: Key) -> usize {
        let next = self.keys.len();
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.keys.push(key);
            self.latest.push((i64::MIN, 0));
        }
        place
    }

    /// A key's table and texts.
    fn names(&self, key: Key) -> (&'static str, [Option<&str>; 3]) {
        let text = |part: usize| self.texts[part].text(key.parts[part]);
        (self.tables[key.table], [0, 1, 2].map(text))
    }

    fn mark(&mut self, place: usize, start: i64, end: i64, delivered: Option<i64>, status: Option<&str>) {
        let (first_minute, last_minute) = (start.div_euclid(MINUTE_MICROS), end.div_euclid(MINUTE_MICROS));
        let hour = start.div_euclid(HOUR_MICROS);
        let entry = self.hour(place, hour, start);
        entry.records += 1;
        entry.first = entry.first.min(start);
        entry.last = entry.last.max(start);
        entry.delivered = entry.delivered.max(delivered);
        match status {
            Some("NODATA") => entry.nodata += 1,
            Some("SKIPDATA") => {
                // Traffic went by unseen: the window is not covered.
                entry.skipdata += 1;
                return;
            }
            _ => {}
        }
        if last_minute.div_euclid(60) == hour {
            let length = (last_minute - first_minute + 1) as u32;
            entry.minutes |= ((1 << length) - 1) << first_minute.rem_euclid(60);
            return;
        }
        for minute in first_minute..=last_minute {
            let entry = self.hour(place, minute.div_euclid(60), minute * MINUTE_MICROS);
            entry.minutes |= 1 << minute.rem_euclid(60);
            entry.delivered = entry.delivered.max(delivered);
        }
    }

    fn hour(&mut self, place: usize, hour: i64, time: i64) -> &mut Hour {
        let (latest, at) = self.latest[place];
        if latest == hour {
            return &mut self.hours[at].1;
        }
        let next = self.hours.len();
        let at = *self.hour_places.entry((place, hour)).or_insert(next);
        if at == next {
            self.hours.push((
                (place, hour),
                Hour {
                    minutes: 0,
                    records: 0,
                    nodata: 0,
                    skipdata: 0,
                    first: time,
                    last: time,
                    delivered: None,
                },
            ));
        }
        self.latest[place] = (hour, at);
        &mut self.hours[at].1
    }

    /// Rows that it would make.
    pub fn rows(&self) -> usize {
        self.hours.len()
    }

    /// Joins what another one saw.
    pub fn join(&mut self, other: Coverage) {
        let tables: Vec<usize> = other.tables.iter().map(|name| self.table(name)).collect();
        let texts = [0, 1, 2].map(|part: usize| self.texts[part].adopt(&other.texts[part]));
        let place = |key: &Key| {
            let known = |part: usize| texts[part].get(key.parts[part] as usize);
            self.place(Key {
                table: tables[key.table],
                parts: [0, 1, 2].map(|part| known(part).copied().unwrap_or(NULL)),
            })
        };
        let places: Vec<usize> = other.keys.iter().map(place).collect();
        for ((place, hour), seen) in other.hours {
            let entry = self.hour(places[place], hour, seen.first);
            entry.minutes |= seen.minutes;
            entry.records += seen.records;
            entry.nodata += seen.nodata;
            entry.skipdata += seen.skipdata;
            entry.first = entry.first.min(seen.first);
            entry.last = entry.last.max(seen.last);
            entry.delivered = entry.delivered.max(seen.delivered);
        }
    }

    /// The rows, in order of time, table and key. `source` is the source's
    /// address; `ingested_at` is microseconds since the epoch.
    pub fn batch(&self, source: &str, ingested_at: i64) -> RecordBatch {
        type Names<'a> = (&'static str, [Option<&'a str>; 3]);
        let mut rows: Vec<(i64, Names, &Hour)> = self
            .hours
            .iter()
            .map(|((place, hour), seen)| (*hour, self.names(self.keys[*place]), seen))
            .collect();
        rows.sort_unstable_by_key(|(hour, names, _)| (*hour, *names));
        let texts = |text: &dyn Fn(&Names) -> Option<String>| -> ArrayRef {
            let mut builder = StringViewBuilder::new().with_deduplicate_strings();
            rows.iter()
                .for_each(|(_, names, _)| builder.append_option(text(names)));
            Arc::new(builder.finish())
        };
        let longs = |value: &dyn Fn(&Hour) -> i64| -> ArrayRef {
            let mut builder = Int64Builder::new();
            rows.iter()
                .for_each(|(.., hour)| builder.append_value(value(hour)));
            Arc::new(builder.finish())
        };
        let times = |value: &dyn Fn(i64, &Hour) -> Option<i64>| -> ArrayRef {
            let mut builder = TimestampMicrosecondBuilder::new().with_timezone(TIMESTAMP);
            rows.iter()
                .for_each(|(hour, _, seen)| builder.append_option(value(*hour, seen)));
            Arc::new(builder.finish())
        };
        let columns: Vec<ArrayRef> = vec![
            times(&|hour, _| Some(hour * HOUR_MICROS)),
            texts(&|names| Some(names.0.to_owned())),
            Arc::new(StringViewArray::from(vec![source; rows.len()])),
            texts(&|names| names.1[0].map(str::to_owned)),
            texts(&|names| names.1[1].map(str::to_owned)),
            texts(&|names| names.1[2].map(str::to_owned)),
            longs(&|hour| hour.minutes as i64),
            longs(&|hour| hour.records),
            longs(&|hour| hour.nodata),
            longs(&|hour| hour.skipdata),
            times(&|_, hour| Some(hour.first)),
            times(&|_, hour| Some(hour.last)),
            times(&|_, hour| hour.delivered),
            times(&|_, _| Some(ingested_at)),
        ];
        RecordBatch::try_new(coverage_schema(), columns).expect("columns are built to this schema")
    }
}

fn text_at(column: Option<&StringViewArray>, row: usize) -> Option<&str> {
    column.and_then(|column| column.is_valid(row).then(|| column.value(row)))
}

/// The last moment that a record covers: its own end if it has one, which is
/// after its start and within reason.
fn end_at(ends: Option<&TimestampMicrosecondArray>, row: usize, start: i64) -> i64 {
    let end = ends.and_then(|ends| ends.is_valid(row).then(|| ends.value(row)));
    end.unwrap_or(start)
        .clamp(start, start.saturating_add(WINDOW_MINUTES_MAX * MINUTE_MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Setup, format_named};
    use crate::reader::{Limits, read_all};

    fn flow(lines: &str) -> RecordBatch {
        let header = "account-id interface-id region start end log-status\n";
        let format = format_named("vpc_flow").unwrap();
        let parser = format.parser(Setup::whole(format, "x")).unwrap();
        let text = format!("{header}{lines}");
        let (mut batches, tally) = read_all(parser, Limits::default(), text.into_bytes()).unwrap();
        assert_eq!(tally.rejected, 0);
        batches.remove(0)
    }

    #[test]
    fn windows_mark_their_minutes_also_over_the_hour() {
        let mut coverage = Coverage::default();
        let batch = flow(
            "1 eni-a eu-west-1 0 59 OK\n1 eni-a eu-west-1 600 719 NODATA\n\
             1 eni-a eu-west-1 3540 3660 OK\n1 eni-a eu-west-1 1200 1260 SKIPDATA\n1 eni-b eu-west-1 60 61 OK\n",
        );
        coverage.see("vpc_flow", &batch, Some(5));
        let rows = coverage.batch("s3://b", 7);
        let minutes = rows["minutes"].as_primitive::<arrow::datatypes::Int64Type>();
        let bits = |bits: &[u32]| bits.iter().fold(0i64, |set, bit| set | 1 << bit);
        assert_eq!(
            minutes.value(0),
            bits(&[0, 10, 11, 59]),
            "eni-a, first hour; SKIPDATA is no coverage"
        );
        assert_eq!(minutes.value(1), bits(&[1]), "eni-b");
        assert_eq!(minutes.value(2), bits(&[0, 1]), "eni-a, second hour");
        let long = |name: &str, row| {
            rows[name]
                .as_primitive::<arrow::datatypes::Int64Type>()
                .value(row)
        };
        assert_eq!(
            (long("records", 0), long("nodata", 0), long("skipdata", 0)),
            (4, 1, 1)
        );
        assert_eq!(
            long("records", 2),
            0,
            "a record counts in the hour that it begins in"
        );
    }

    #[test]
    fn parts_join_to_the_whole() {
        let batch =
            flow("1 eni-a r 0 59 OK\n1 eni-a r 600 719 OK\n2 eni-a r 3540 3660 OK\n1 eni-b r 60 61 OK\n");
        let mut whole = Coverage::default();
        whole.see("vpc_flow", &batch, None);
        let mut parts = Coverage::default();
        for row in 0..batch.num_rows() {
            let mut part = Coverage::default();
            part.see("vpc_flow", &batch.slice(row, 1), None);
            parts.join(part);
        }
        assert_eq!(parts.batch("s", 1), whole.batch("s", 1));
    }

    #[test]
    fn a_window_without_end_is_not_believed() {
        let mut coverage = Coverage::default();
        coverage.see("vpc_flow", &flow("1 eni-a r 0 4000000000 OK\n"), None);
        assert_eq!(coverage.rows(), 1);
    }
}
