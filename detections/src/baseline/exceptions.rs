//! Hours that must not train, because something was wrong in them.
//!
//! They come from alerts as `trailhound detect --format ndjson` writes them, and are kept in
//! the lake, so that a day that is built again leaves them out again.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use serde_json::Value;
use trailhound_ingest::baselines::EXCEPTIONS;
use trailhound_ingest::error::{Error, ErrorKind};

use super::columns::Columns;
use super::store;

const HOUR_MICROS: i64 = 3_600_000_000;

/// Hours of one alert that are taken: a longer one is no episode but a state.
const HOURS_MAX: i64 = 31 * 24;

/// An hour of an entity in which an alert was raised.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exception {
    /// Start of the hour, microseconds since the epoch.
    pub hour: i64,
    /// Whose.
    pub entity: String,
    /// Rule that raised the alert.
    pub rule: String,
    /// Its id.
    pub alert: String,
}

/// The exceptions in a text of alerts, one JSON object a line.
///
/// Alerts below medium do not count: to see something for the first time is how it is learnt. What an alert is about are
/// its entity and every short text in its sample, such as the workload's name.
///
/// # Errors
/// A line is no alert; the error names `file` and the line.
pub fn of_alerts(file: &str, text: &str) -> Result<Vec<Exception>, Error> {
    let mut found = BTreeSet::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let wrong = |reason: &str| {
            Error::wrong_use(format!("{file}:{}: {reason}", number + 1))
                .with_help("give alerts as `trailhound detect --format ndjson` writes them")
        };
        let alert: Value = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        let (Some(rule), Some(id), Some(severity)) = (
            alert["rule"].as_str(),
            alert["id"].as_str(),
            alert["severity"].as_str(),
        ) else {
            return Err(wrong("this is no alert: it lacks rule, id or severity"));
        };
        if !matches!(severity, "medium" | "high" | "critical") {
            continue;
        }
        let time = |key: &str| -> Result<i64, Error> {
            let time = alert[key]
                .as_str()
                .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
            time.map(|time| time.timestamp_micros())
                .ok_or_else(|| wrong(&format!("{key} is no time")))
        };
        let first = time("first_seen")?.div_euclid(HOUR_MICROS);
        let last = time("last_seen")?.div_euclid(HOUR_MICROS);
        for entity in entities(&alert) {
            for hour in (first..=last.max(first)).take(HOURS_MAX as usize) {
                found.insert(Exception {
                    hour: hour * HOUR_MICROS,
                    entity: entity.clone(),
                    rule: rule.to_owned(),
                    alert: id.to_owned(),
                });
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// Everything that the alert may be about.
fn entities(alert: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut add = |text: &str| {
        if !text.is_empty() && text.len() <= 512 {
            names.insert(text.to_owned());
        }
    };
    if let Some(id) = alert["entity"]["id"].as_str() {
        add(id);
        id.split([' ', ',', '|']).for_each(&mut add);
    }
    for part in [&alert["evidence"]["sample"], &alert["impact"]] {
        for value in part.as_object().into_iter().flat_map(|object| object.values()) {
            if let Some(text) = value.as_str() {
                add(text);
            }
        }
    }
    names
}

/// The rows of exceptions.
///
/// # Errors
/// They do not fit the table.
pub fn batch(exceptions: &[Exception], now: DateTime<Utc>) -> Result<RecordBatch, Error> {
    let rows = Columns(exceptions);
    let columns = vec![
        rows.times(|row| row.hour),
        rows.texts(|row| &row.entity),
        rows.texts(|_| "alerted"),
        rows.texts(|row| &row.rule),
        rows.texts(|row| &row.alert),
        rows.times(|_| now.timestamp_micros()),
    ];
    RecordBatch::try_new(store::schema(EXCEPTIONS)?, columns)
        .map_err(|error| Error::new(ErrorKind::Failed, format!("keeping exceptions: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: &str = r#"{"id":"ab","rule":"net-x","severity":"high","first_seen":"2026-11-01T01:59:00Z","last_seen":"2026-11-01T02:10:00Z","entity":{"type":"workload","id":"web"},"impact":{},"evidence":{"sample":{"dstaddr":"10.0.0.1","n":3}}}"#;

    #[test]
    fn each_hour_of_an_alert_is_an_exception_of_all_that_it_is_about() {
        let found = of_alerts("a.ndjson", &format!("{ALERT}\n\n")).unwrap();
        let hours: BTreeSet<i64> = found.iter().map(|row| row.hour / HOUR_MICROS % 24).collect();
        let entities: BTreeSet<&str> = found.iter().map(|row| row.entity.as_str()).collect();
        assert_eq!(hours, BTreeSet::from([1, 2]));
        assert_eq!(entities, BTreeSet::from(["10.0.0.1", "web"]));
    }

    #[test]
    fn low_alerts_are_how_things_are_learnt() {
        let low = ALERT.replace("\"high\"", "\"low\"");
        assert_eq!(of_alerts("a", &low).unwrap(), []);
    }

    #[test]
    fn what_is_no_alert_is_refused_by_line() {
        let error = of_alerts("a.ndjson", &format!("{ALERT}\n{{}}")).unwrap_err();
        assert!(
            error.message().starts_with("a.ndjson:2: this is no alert"),
            "{error}"
        );
    }
}
