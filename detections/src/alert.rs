//! An alert: what a rule found, about whom, and the records that show it.
//!
//! A [`Finding`] is one row of a rule's output. Findings of one entity that lie
//! close together become one [`Alert`] (see [`crate::dedup`]). An alert owns no
//! clock and no random number: the same logs give the same alert, byte for byte,
//! so whoever receives it twice can tell.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::coverage::Coverage;
use crate::message::visible;
use crate::rule::{Rule, hex};
use crate::severity::Severity;

/// Most records that an alert lists; `count` shows that there were more.
/// A hundred is enough to start from, and keeps an alert within what sinks take.
pub const EVIDENCE_RECORDS_MAX: usize = 100;

/// One row of a rule's output.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Time of the first record behind it.
    pub first_seen: DateTime<Utc>,
    /// Time of the last.
    pub last_seen: DateTime<Utc>,
    /// Records behind it.
    pub count: u64,
    /// How bad it is.
    pub severity: Severity,
    /// 0 to 100.
    pub risk: u8,
    /// Values of the rule's entity columns.
    pub entity: Vec<String>,
    /// The line that a person reads first.
    pub message: String,
    /// Values of the rule's impact columns.
    pub impact: Map<String, Value>,
    /// The records behind it, as far as they are listed.
    pub records: Vec<Record>,
    /// All other columns of the row.
    pub sample: Map<String, Value>,
}

/// Where a record lies, and its id if the log gives it one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Record {
    /// Table that it is a row of.
    pub table: String,
    /// Object or stream.
    #[serde(rename = "_source")]
    pub source: String,
    /// Line or record number in it, counted from 1.
    #[serde(rename = "_line")]
    pub line: i64,
    /// The log's own id of the record; listed apart in the alert.
    #[serde(skip)]
    pub event_id: Option<String>,
}

/// What is delivered. The order of the fields is the order in the JSON, which is stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// 32 hex digits over rule, entity and start: the same alert has the same id.
    pub id: String,
    /// Id of the rule.
    pub rule: String,
    /// Title of the rule.
    pub title: String,
    /// How bad it is: the worst of its findings.
    pub severity: Severity,
    /// Where it stands.
    pub status: Status,
    /// Time of the first record.
    #[serde(serialize_with = "rfc3339")]
    pub first_seen: DateTime<Utc>,
    /// Time of the last record.
    #[serde(serialize_with = "rfc3339")]
    pub last_seen: DateTime<Utc>,
    /// Records behind it, listed or not.
    pub count: u64,
    /// Whom it is about.
    pub entity: Entity,
    /// The line that a person reads first.
    pub message: String,
    /// ATT&CK technique ids.
    pub attack: Vec<String>,
    /// NIST CSF subcategories.
    pub csf: Vec<String>,
    /// 0 to 100.
    pub risk: u8,
    /// What was or may be hurt.
    pub impact: Map<String, Value>,
    /// What shows it.
    pub evidence: Evidence,
    /// How much of the time was seen at all.
    pub coverage: Coverage,
    /// Version of the rule's file.
    pub rule_version: String,
}

/// Life of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has looked yet.
    New,
}

/// Whom an alert is about: the rule's entity columns and their values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Entity {
    /// Names of the columns, joined by `, `.
    #[serde(rename = "type")]
    pub kind: String,
    /// Their values, joined likewise.
    pub id: String,
}

/// The records behind an alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// Ids that the logs themselves give, of the listed records.
    pub event_ids: Vec<String>,
    /// Where the records lie, up to [`EVIDENCE_RECORDS_MAX`].
    pub records: Vec<Record>,
    /// The columns of the most telling row.
    pub sample: Map<String, Value>,
}

impl Alert {
    /// The alert for one episode of a rule, as [`crate::dedup::episodes`] returns it.
    pub fn new(rule: &Rule, episode: Finding, coverage: Coverage) -> Self {
        let records = episode.records;
        let mut event_ids: Vec<String> = records
            .iter()
            .filter_map(|record| record.event_id.as_deref())
            .map(|id| visible(id).into_owned())
            .collect();
        event_ids.sort();
        event_ids.dedup();
        Alert {
            id: fingerprint(&rule.id, &episode.entity, episode.first_seen),
            rule: rule.id.clone(),
            title: rule.title.clone(),
            severity: episode.severity,
            status: Status::New,
            first_seen: episode.first_seen,
            last_seen: episode.last_seen,
            count: episode.count,
            entity: Entity {
                kind: rule.entity.join(", "),
                id: episode.entity.join(", "),
            },
            message: episode.message,
            attack: rule.attack.clone(),
            csf: rule.csf.clone(),
            risk: episode.risk,
            impact: episode.impact,
            evidence: Evidence {
                event_ids,
                records,
                sample: episode.sample,
            },
            coverage,
            rule_version: rule.version.clone(),
        }
    }

    /// The alert as one line of NDJSON, without the line end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an alert holds only text, numbers and maps with text keys")
    }
}

/// Puts alerts in reading order: by time, and by all else where the time is the same.
pub fn sort(alerts: &mut [Alert]) {
    alerts.sort_by(|a, b| {
        (a.first_seen, &a.rule, &a.entity, &a.id).cmp(&(b.first_seen, &b.rule, &b.entity, &b.id))
    });
}

/// The parts are written with their lengths, so no two lists run into each other.
fn fingerprint(rule: &str, entity: &[String], first_seen: DateTime<Utc>) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part(rule);
    for value in entity {
        part(value);
    }
    hash.update(first_seen.timestamp_micros().to_be_bytes());
    hex(&hash.finalize()[..16])
}

/// A time as alerts write it: RFC 3339, UTC, as many decimals as it has.
pub fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

pub(crate) fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time_text(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_rule_entity_and_start() {
        let start = DateTime::UNIX_EPOCH;
        let entity = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        let id = fingerprint("r", &entity(&["a", "b"]), start);
        assert_eq!(id.len(), 32);
        assert_eq!(id, fingerprint("r", &entity(&["a", "b"]), start));
        for other in [
            fingerprint("r2", &entity(&["a", "b"]), start),
            fingerprint("r", &entity(&["ab"]), start),
            fingerprint(
                "r",
                &entity(&["a", "b"]),
                start + chrono::TimeDelta::microseconds(1),
            ),
        ] {
            assert_ne!(id, other);
        }
    }
}
