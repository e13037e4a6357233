//! What came of one object: rows, rejects, bytes, and the time that it covers.

use crate::reject::Reject;

/// Width of one mark of [`Tally::minutes`], in seconds.
const MARK_SECONDS: i64 = 60;

/// Most rejects of one object that are kept with their text; more are counted.
/// A file of another kind altogether would otherwise fill memory with rejects.
pub const REJECTS_KEPT_MAX: usize = 10_000;

/// Counts of one object, filled while it is parsed.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Records that became rows.
    pub rows: u64,
    /// Records that became rejects, kept ones and others.
    pub rejected: u64,
    /// Records left out by design, such as header lines and control messages.
    pub passed: u64,
    /// The rejects themselves, up to [`REJECTS_KEPT_MAX`], until they are taken.
    pub rejects: Vec<Reject>,
    /// Earliest event time, microseconds since the epoch.
    pub first: Option<i64>,
    /// Latest event time, microseconds since the epoch.
    pub last: Option<i64>,
    /// Bytes read, compressed as they lay.
    pub bytes_in: u64,
    /// Bytes after decompression.
    pub bytes_out: u64,
    /// Keep every reject with its text, for a reader that takes them after each block.
    pub keep_all_rejects: bool,
    minutes: Minutes,
    kept: usize,
}

impl Tally {
    /// Counts a record that did not parse.
    pub fn reject(&mut self, line: u64, reason: impl Into<String>, raw: &[u8]) {
        self.rejected += 1;
        if self.keep_all_rejects || self.kept < REJECTS_KEPT_MAX {
            self.kept += 1;
            self.rejects.push(Reject::new(line, reason, raw));
        }
    }

    /// Takes the rejects kept so far, and makes room for more.
    pub fn take_rejects(&mut self) -> Vec<Reject> {
        self.kept = 0;
        std::mem::take(&mut self.rejects)
    }

    /// Notes the event time of a row, in microseconds since the epoch.
    #[inline]
    pub fn see(&mut self, micros: i64) {
        self.first = Some(self.first.map_or(micros, |first| first.min(micros)));
        self.last = Some(self.last.map_or(micros, |last| last.max(micros)));
        self.minutes.mark(micros.div_euclid(MARK_SECONDS * 1_000_000));
    }

    /// Minutes in which at least one event lies, as ascending ranges of
    /// minutes since the epoch, both ends included.
    pub fn minutes(&self) -> Vec<(i64, i64)> {
        self.minutes.ranges()
    }
}

/// A set of minutes. Logs are nearly sorted, so most marks repeat the last one.
#[derive(Debug, Clone, Default)]
struct Minutes {
    last: Option<i64>,
    set: std::collections::BTreeSet<i64>,
}

impl Minutes {
    #[inline]
    fn mark(&mut self, minute: i64) {
        if self.last != Some(minute) {
            self.last = Some(minute);
            self.set.insert(minute);
        }
    }

    fn ranges(&self) -> Vec<(i64, i64)> {
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for &minute in &self.set {
            match ranges.last_mut() {
                Some((_, end)) if *end + 1 == minute => *end = minute,
                _ => ranges.push((minute, minute)),
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_join_into_ranges() {
        let mut tally = Tally::default();
        for second in [0, 59, 60, 600, 661] {
            tally.see(second * 1_000_000);
        }
        assert_eq!(tally.minutes(), [(0, 1), (10, 11)]);
        assert_eq!((tally.first, tally.last), (Some(0), Some(661_000_000)));
    }

    #[test]
    fn rejects_beyond_the_cap_are_still_counted() {
        let mut tally = Tally::default();
        for line in 0..REJECTS_KEPT_MAX as u64 + 5 {
            tally.reject(line, "bad", b"x");
        }
        assert_eq!(tally.rejects.len(), REJECTS_KEPT_MAX);
        assert_eq!(tally.rejected, REJECTS_KEPT_MAX as u64 + 5);
    }
}
