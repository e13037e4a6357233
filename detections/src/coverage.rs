//! Which part of the time was watched at all.
//!
//! "Nothing found" means little without it. A gap is a stretch of at least
//! [`GAP_MINUTES_MIN`] minutes in which a table has no event at all: logging was
//! off, files are missing, or truly nothing happened. The logs cannot tell which.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::alert::rfc3339;

/// Shortest stretch without events that counts as a gap, in minutes. Flow logs
/// and CloudTrail come in batches of five to ten minutes; less would be noise.
pub const GAP_MINUTES_MIN: i64 = 15;

/// The time that a rule could see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Start of the time asked for, or of the data.
    #[serde(serialize_with = "rfc3339")]
    pub from: DateTime<Utc>,
    /// Its end.
    #[serde(serialize_with = "rfc3339")]
    pub to: DateTime<Utc>,
    /// Stretches without any event, in order.
    pub gaps: Vec<Gap>,
}

/// A stretch without events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Its start.
    #[serde(serialize_with = "rfc3339")]
    pub from: DateTime<Utc>,
    /// Its end.
    #[serde(serialize_with = "rfc3339")]
    pub to: DateTime<Utc>,
}

impl Coverage {
    /// The coverage of a table between `from` and `to`, given the minutes since
    /// the epoch in which it has events, as ascending ranges with both ends included.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>, minutes: &[(i64, i64)]) -> Self {
        let mut gaps = Vec::new();
        let mut seen_to = from;
        for &(first, last) in minutes {
            push_gap(&mut gaps, seen_to, minute(first).min(to));
            seen_to = seen_to.max(minute(last + 1));
        }
        push_gap(&mut gaps, seen_to, to);
        Coverage { from, to, gaps }
    }

    /// The coverage of a rule that reads several tables: a gap in one is a gap.
    pub fn all(parts: &[Coverage]) -> Option<Self> {
        let from = parts.iter().map(|part| part.from).min()?;
        let to = parts.iter().map(|part| part.to).max()?;
        let mut all: Vec<Gap> = parts.iter().flat_map(|part| part.gaps.iter().cloned()).collect();
        for part in parts {
            // Where one table begins later or ends earlier than another, it saw nothing.
            push_gap(&mut all, from, part.from);
            push_gap(&mut all, part.to, to);
        }
        all.sort_by_key(|gap| (gap.from, gap.to));
        let mut gaps: Vec<Gap> = Vec::new();
        for gap in all {
            match gaps.last_mut() {
                Some(last) if gap.from <= last.to => last.to = last.to.max(gap.to),
                _ => gaps.push(gap),
            }
        }
        Some(Coverage { from, to, gaps })
    }

    /// Minutes from start to end, and those of them that lie in gaps.
    pub fn minutes(&self) -> (i64, i64) {
        let gaps: TimeDelta = self.gaps.iter().map(|gap| gap.to - gap.from).sum();
        (whole_minutes(self.to - self.from), whole_minutes(gaps))
    }
}

fn push_gap(gaps: &mut Vec<Gap>, from: DateTime<Utc>, to: DateTime<Utc>) {
    if to - from >= TimeDelta::minutes(GAP_MINUTES_MIN) {
        gaps.push(Gap { from, to });
    }
}

/// Minutes are rounded up, so that a single event covers one and not none.
fn whole_minutes(delta: TimeDelta) -> i64 {
    (delta.num_seconds() + 59) / 60
}

fn minute(number: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(number.saturating_mul(60), 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(coverage: &Coverage) -> Vec<(i64, i64)> {
        coverage
            .gaps
            .iter()
            .map(|gap| (gap.from.timestamp() / 60, gap.to.timestamp() / 60))
            .collect()
    }

    #[test]
    fn short_silences_are_no_gaps() {
        let coverage = Coverage::new(minute(0), minute(100), &[(0, 30), (45, 60), (76, 99)]);
        assert_eq!(gaps(&coverage), [(61, 76)]);
        assert_eq!(coverage.minutes(), (100, 15));
    }

    #[test]
    fn silence_before_and_after_the_data_counts() {
        let coverage = Coverage::new(minute(0), minute(200), &[(50, 60)]);
        assert_eq!(gaps(&coverage), [(0, 50), (61, 200)]);
    }

    #[test]
    fn no_data_is_one_gap() {
        assert_eq!(gaps(&Coverage::new(minute(0), minute(60), &[])), [(0, 60)]);
    }

    #[test]
    fn a_gap_in_one_table_is_a_gap_of_the_rule() {
        let one = Coverage::new(minute(0), minute(100), &[(0, 10), (40, 99)]);
        let other = Coverage::new(minute(30), minute(90), &[(30, 50), (70, 89)]);
        let all = Coverage::all(&[one, other]).unwrap();
        assert_eq!(gaps(&all), [(0, 40), (51, 70)]);
        assert_eq!(Coverage::all(&[]), None);
    }
}
