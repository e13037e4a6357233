//! Findings that belong together become one episode, and an episode one alert.
//!
//! Rows of one entity belong together while each starts within the rule's
//! `quiet` time after the last record so far. Everything here is a function of
//! the findings alone: their order does not matter, and no clock is asked.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::alert::{EVIDENCE_RECORDS_MAX, Finding, Record};

/// Joins the findings of one rule into episodes, in order of entity and time.
pub fn episodes(quiet: TimeDelta, findings: Vec<Finding>) -> Vec<Finding> {
    let mut by_entity: BTreeMap<Vec<String>, Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        by_entity.entry(finding.entity.clone()).or_default().push(finding);
    }
    let mut episodes = Vec::new();
    for mut rows in by_entity.into_values() {
        // Rows of equal times must come in the same order on every run, so that
        // the same one gives message and sample.
        rows.sort_by(|a, b| {
            (a.first_seen, a.last_seen, &a.message, &a.records).cmp(&(
                b.first_seen,
                b.last_seen,
                &b.message,
                &b.records,
            ))
        });
        let mut open: Option<Episode> = None;
        for row in rows {
            match &mut open {
                Some(episode) if row.first_seen <= episode.told.last_seen + quiet => episode.join(row),
                _ => episodes.extend(open.replace(Episode::start(row)).map(Episode::close)),
            }
        }
        episodes.extend(open.map(Episode::close));
    }
    episodes
}

/// Findings joined so far. `told` is the one whose message is shown, with the
/// times of all of them.
struct Episode {
    told: Finding,
    /// How strong the told finding was on its own.
    strength: (crate::Severity, u8, u64),
    /// Records that are known one by one. It keeps a few more than are shown,
    /// since what is shown is the first by place, not by arrival.
    records: BTreeSet<Record>,
    /// Records that are only known by number.
    unlisted: u64,
}

impl Episode {
    fn start(finding: Finding) -> Self {
        let mut episode = Episode {
            strength: strength(&finding),
            told: finding,
            records: BTreeSet::new(),
            unlisted: 0,
        };
        let records = std::mem::take(&mut episode.told.records);
        episode.list(records, episode.told.count);
        episode
    }

    fn join(&mut self, mut finding: Finding) {
        let records = std::mem::take(&mut finding.records);
        self.list(records, finding.count);
        let first_seen = self.told.first_seen.min(finding.first_seen);
        let last_seen = self.told.last_seen.max(finding.last_seen);
        let stronger = strength(&finding);
        // Only a truly stronger row takes over: among equals the first one tells the story.
        if stronger > self.strength {
            self.strength = stronger;
            self.told = finding;
        }
        self.told.first_seen = first_seen;
        self.told.last_seen = last_seen;
    }

    /// Adds the records of one row. A row may count more than it lists, and rows
    /// may list the same record; only what is listed can be recognised.
    fn list(&mut self, records: Vec<Record>, count: u64) {
        let listed: BTreeSet<Record> = records.into_iter().collect();
        self.unlisted += count.saturating_sub(listed.len() as u64);
        self.records.extend(listed);
    }

    fn close(self) -> Finding {
        let count = self.records.len() as u64 + self.unlisted;
        let records = self.records.into_iter().take(EVIDENCE_RECORDS_MAX).collect();
        let mut finding = self.told;
        finding.count = count;
        finding.records = records;
        finding
    }
}

fn strength(finding: &Finding) -> (crate::Severity, u8, u64) {
    (finding.severity, finding.risk, finding.count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Severity;
    use chrono::DateTime;
    use serde_json::Map;

    fn record(line: i64) -> Record {
        Record {
            table: "t".into(),
            source: "s".into(),
            line,
            event_id: None,
        }
    }

    fn finding(entity: &str, minutes: (i64, i64), lines: impl IntoIterator<Item = i64>) -> Finding {
        let records: Vec<Record> = lines.into_iter().map(record).collect();
        let time = |minute: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minute);
        Finding {
            first_seen: time(minutes.0),
            last_seen: time(minutes.1),
            count: records.len() as u64,
            severity: Severity::Low,
            risk: 3,
            entity: vec![entity.to_owned()],
            message: format!("from minute {}", minutes.0),
            impact: Map::new(),
            records,
            sample: Map::new(),
        }
    }

    fn hour(findings: Vec<Finding>) -> Vec<Finding> {
        episodes(TimeDelta::hours(1), findings)
    }

    #[test]
    fn rows_within_the_quiet_time_are_one_alert() {
        let merged = hour(vec![
            finding("a", (0, 5), [1]),
            finding("a", (65, 70), [2]),
            finding("a", (131, 140), [3]),
        ]);
        assert_eq!(merged.len(), 2);
        assert_eq!(merged[0].last_seen, DateTime::UNIX_EPOCH + TimeDelta::minutes(70));
        assert_eq!((merged[0].count, merged[1].count), (2, 1));
        assert_eq!(merged[0].records, [record(1), record(2)]);
    }

    #[test]
    fn entities_stay_apart() {
        assert_eq!(
            hour(vec![finding("a", (0, 0), [1]), finding("b", (0, 0), [1])]).len(),
            2
        );
    }

    #[test]
    fn a_row_inside_an_older_one_does_not_shorten_it() {
        let merged = hour(vec![
            finding("a", (0, 100), [1]),
            finding("a", (5, 6), [2]),
            finding("a", (155, 155), [3]),
        ]);
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].count, 3);
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let rows = vec![
            finding("a", (0, 5), [1, 2]),
            finding("a", (7, 9), [3]),
            finding("b", (1, 2), [4]),
        ];
        let mut reversed = rows.clone();
        reversed.reverse();
        assert_eq!(hour(rows), hour(reversed));
    }

    #[test]
    fn the_same_record_is_counted_once() {
        let merged = hour(vec![finding("a", (0, 5), [1, 2]), finding("a", (3, 9), [2, 3])]);
        assert_eq!(merged[0].count, 3);
    }

    #[test]
    fn the_count_shows_that_the_list_was_cut() {
        let merged = hour(vec![finding("a", (0, 5), 1..=80), finding("a", (6, 9), 81..=160)]);
        assert_eq!(merged[0].records.len(), EVIDENCE_RECORDS_MAX);
        assert_eq!(merged[0].count, 160);
        let mut counted = finding("a", (0, 5), 1..=100);
        counted.count = 5000;
        assert_eq!(hour(vec![counted])[0].count, 5000);
    }

    #[test]
    fn the_worst_row_tells_the_story_of_all() {
        let mut worse = finding("a", (10, 11), [2]);
        worse.severity = Severity::High;
        let merged = hour(vec![
            finding("a", (0, 5), [1]),
            worse,
            finding("a", (20, 30), [3]),
        ]);
        assert_eq!(merged[0].severity, Severity::High);
        assert_eq!(merged[0].message, "from minute 10");
        assert_eq!(merged[0].first_seen, DateTime::UNIX_EPOCH);
        assert_eq!(merged[0].last_seen, DateTime::UNIX_EPOCH + TimeDelta::minutes(30));
    }

    #[test]
    fn the_first_of_equals_tells_the_story() {
        let merged = hour(vec![finding("a", (0, 5), [1]), finding("a", (6, 7), [2])]);
        assert_eq!(merged[0].message, "from minute 0");
    }
}
