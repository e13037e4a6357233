//! What a session has read: counts by object, and the minutes that are covered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use trailhound_ingest::tally::Tally;

/// How the reading of an object ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its rows were read: all of them, or as many as the query needed.
    Read {
        /// Whether it was read to its end.
        complete: bool,
    },
    /// It holds something else, so none of it was read.
    Skipped {
        /// What it is instead, and what to try.
        reason: String,
    },
    /// It could not be read.
    Unreachable {
        /// What the system said.
        reason: String,
    },
}

/// Counts of one object.
#[derive(Debug, Clone)]
pub struct ObjectReport {
    /// The object, as `_source` shows it.
    pub source: String,
    /// How reading it ended.
    pub outcome: Outcome,
    /// Records that became rows.
    pub rows: u64,
    /// Records that became rejects.
    pub rejected: u64,
    /// Records left out by design: header lines, control messages, blank lines.
    pub passed: u64,
    /// Bytes as they lie, compressed.
    pub bytes_in: u64,
    /// Bytes after decompression.
    pub bytes_out: u64,
    /// Earliest event time, microseconds since the epoch.
    pub first: Option<i64>,
    /// Latest event time, microseconds since the epoch.
    pub last: Option<i64>,
    /// Ranges of minutes since the epoch that hold events, both ends included.
    pub minutes: Vec<(i64, i64)>,
}

/// Counts of one table.
#[derive(Debug, Clone, Default)]
pub struct TableReport {
    /// Name of the table.
    pub table: String,
    /// Its objects, by name.
    pub objects: Vec<ObjectReport>,
    /// Ranges of minutes since the epoch that hold events, both ends included.
    pub minutes: Vec<(i64, i64)>,
}

impl TableReport {
    /// Sum of a count over the objects.
    pub fn sum(&self, count: impl Fn(&ObjectReport) -> u64) -> u64 {
        self.objects.iter().map(count).sum()
    }

    /// Earliest event time, microseconds since the epoch.
    pub fn first(&self) -> Option<i64> {
        self.objects.iter().filter_map(|object| object.first).min()
    }

    /// Latest event time, microseconds since the epoch.
    pub fn last(&self) -> Option<i64> {
        self.objects.iter().filter_map(|object| object.last).max()
    }

    /// Objects that hold something else, with what they are.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, &str)> {
        self.objects.iter().filter_map(|object| match &object.outcome {
            Outcome::Skipped { reason } => Some((object.source.as_str(), reason.as_str())),
            _ => None,
        })
    }

    /// Objects that could not be read, with the reason.
    pub fn unreachable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.objects.iter().filter_map(|object| match &object.outcome {
            Outcome::Unreachable { reason } => Some((object.source.as_str(), reason.as_str())),
            _ => None,
        })
    }

    /// Whether no object of the table could be used.
    pub fn nothing_usable(&self) -> bool {
        !self.objects.is_empty()
            && self
                .objects
                .iter()
                .all(|object| !matches!(object.outcome, Outcome::Read { .. }))
    }
}

/// Everything that a session has read so far.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// By table, in the order of their names.
    pub tables: Vec<TableReport>,
}

impl Report {
    /// The report of a table.
    pub fn table(&self, name: &str) -> Option<&TableReport> {
        self.tables.iter().find(|table| table.table == name)
    }
}

/// Collects what the scans of a session report.
///
/// An object that is scanned twice counts once: the more complete scan stays.
#[derive(Debug, Default)]
pub struct Ledger {
    objects: Mutex<BTreeMap<(String, String), ObjectReport>>,
    live: Live,
}

/// Running totals for progress displays.
#[derive(Debug, Default)]
pub struct Live {
    /// Compressed bytes read so far, repeated scans included.
    pub bytes_in: std::sync::atomic::AtomicU64,
    /// Rows read so far, repeated scans included.
    pub rows: std::sync::atomic::AtomicU64,
}

impl Ledger {
    /// Running totals.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Notes what a scan made of an object.
    pub fn note(&self, table: &str, source: &str, outcome: Outcome, tally: &Tally) {
        let report = ObjectReport {
            source: source.to_owned(),
            outcome,
            rows: tally.rows,
            rejected: tally.rejected,
            passed: tally.passed,
            bytes_in: tally.bytes_in,
            bytes_out: tally.bytes_out,
            first: tally.first,
            last: tally.last,
            minutes: tally.minutes(),
        };
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (table.to_owned(), source.to_owned());
        let keep_old = objects.get(&key).is_some_and(|old| {
            is_final(&old.outcome) && !is_final(&report.outcome) || old.rows > report.rows
        });
        if !keep_old {
            objects.insert(key, report);
        }
    }

    /// What was read so far.
    pub fn report(&self) -> Report {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = Report::default();
        for ((table, _), object) in objects.iter() {
            if report.tables.last().is_none_or(|last| last.table != *table) {
                report.tables.push(TableReport {
                    table: table.clone(),
                    ..TableReport::default()
                });
            }
            if let Some(last) = report.tables.last_mut() {
                last.objects.push(object.clone());
            }
        }
        for table in &mut report.tables {
            table.minutes = join(
                table
                    .objects
                    .iter()
                    .flat_map(|object| object.minutes.iter().copied())
                    .collect(),
            );
        }
        report
    }
}

fn is_final(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Read { complete: false })
}

/// Ranges, joined where they touch or overlap, ascending.
fn join(mut ranges: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some((_, last)) if start <= *last + 1 => *last = end.max(*last),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// A ledger shared by a session and its scans.
pub type SharedLedger = Arc<Ledger>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_complete_scan_of_an_object_stays() {
        let ledger = Ledger::default();
        let tally = |rows| {
            let mut tally = Tally::default();
            tally.rows = rows;
            tally
        };
        ledger.note("t", "a", Outcome::Read { complete: true }, &tally(10));
        ledger.note("t", "a", Outcome::Read { complete: false }, &tally(3));
        ledger.note("t", "b", Outcome::Read { complete: false }, &tally(1));
        ledger.note("t", "b", Outcome::Read { complete: true }, &tally(2));
        assert_eq!(ledger.report().table("t").unwrap().sum(|object| object.rows), 12);
    }

    #[test]
    fn ranges_join() {
        assert_eq!(
            join(vec![(5, 6), (1, 2), (3, 3), (6, 9), (20, 21)]),
            [(1, 3), (5, 9), (20, 21)]
        );
    }
}
