//! What a run has done so far: for progress lines, and for the summary at its end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Objects that a summary names one by one; more are counted.
const NAMED_MAX: usize = 50;

/// Running totals of one source. Shared with whoever shows them.
#[derive(Debug, Default)]
pub struct Watch {
    /// Objects whose rows are in the lake.
    pub objects: AtomicU64,
    /// Objects that were taken before, and so were not read again.
    pub known: AtomicU64,
    /// Records that became rows: read, not all of them committed yet.
    pub rows: AtomicU64,
    /// Records that became rejects.
    pub rejected: AtomicU64,
    /// Compressed bytes read.
    pub bytes_in: AtomicU64,
    /// Rows that are committed.
    pub committed: AtomicU64,
    /// Commits, counted once for all tables of a batch; batches without rows make none.
    pub commits: AtomicU64,
    /// Latest event time, microseconds since the epoch; 0 for none.
    pub last_event: AtomicI64,
    /// Milliseconds from the source's getting the latest object to its commit.
    pub lag_ms: AtomicI64,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    tables: BTreeMap<&'static str, Counts>,
    skipped: Vec<(String, String)>,
    skipped_count: u64,
    failed: Vec<(String, String)>,
    failed_count: u64,
}

/// Counts of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects.
    pub objects: u64,
    /// Records that became rows.
    pub rows: u64,
    /// Records that became rejects.
    pub rejected: u64,
    /// Records left out by design: header lines, control messages, blank lines.
    pub passed: u64,
    /// Compressed bytes.
    pub bytes_in: u64,
    /// Earliest event time, microseconds since the epoch.
    pub first: Option<i64>,
    /// Latest event time, microseconds since the epoch.
    pub last: Option<i64>,
}

impl Counts {
    /// Adds another table's or object's.
    pub fn add(&mut self, other: &Counts) {
        self.objects += other.objects;
        self.rows += other.rows;
        self.rejected += other.rejected;
        self.passed += other.passed;
        self.bytes_in += other.bytes_in;
        self.first = match (self.first, other.first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.last = self.last.max(other.last);
    }
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Committed counts by table.
    pub tables: BTreeMap<&'static str, Counts>,
    /// Objects that were taken before.
    pub known: u64,
    /// Commits.
    pub commits: u64,
    /// Objects that hold something else, with what they are; the first of them.
    pub skipped: Vec<(String, String)>,
    /// All objects that hold something else.
    pub skipped_count: u64,
    /// Objects that could not be read, with the reason; the first of them.
    pub failed: Vec<(String, String)>,
    /// All objects that could not be read.
    pub failed_count: u64,
}

impl Summary {
    /// Sum over the tables.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.tables.values().for_each(|counts| total.add(counts));
        total
    }
}

impl Watch {
    fn rest(&self) -> std::sync::MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a commit brought, by table.
    pub(crate) fn commit(&self, tables: &BTreeMap<&'static str, Counts>) {
        let mut rest = self.rest();
        for (table, counts) in tables {
            rest.tables.entry(table).or_default().add(counts);
            self.objects.fetch_add(counts.objects, Relaxed);
            self.committed.fetch_add(counts.rows, Relaxed);
            self.last_event.fetch_max(counts.last.unwrap_or(0), Relaxed);
        }
        let has_rows = tables.values().any(|counts| counts.rows + counts.rejected > 0);
        self.commits.fetch_add(u64::from(has_rows), Relaxed);
    }

    /// Notes an object that holds something else.
    pub(crate) fn skip(&self, name: &str, reason: &str) {
        let mut rest = self.rest();
        rest.skipped_count += 1;
        if rest.skipped.len() < NAMED_MAX {
            rest.skipped.push((name.to_owned(), reason.to_owned()));
        }
    }

    /// Notes an object that could not be read.
    pub(crate) fn fail(&self, name: &str, reason: &str) {
        let mut rest = self.rest();
        rest.failed_count += 1;
        if rest.failed.len() < NAMED_MAX {
            rest.failed.push((name.to_owned(), reason.to_owned()));
        }
    }

    /// What was done so far.
    pub fn summary(&self) -> Summary {
        let rest = self.rest();
        Summary {
            tables: rest.tables.clone(),
            known: self.known.load(Relaxed),
            commits: self.commits.load(Relaxed),
            skipped: rest.skipped.clone(),
            skipped_count: rest.skipped_count,
            failed: rest.failed.clone(),
            failed_count: rest.failed_count,
        }
    }
}
