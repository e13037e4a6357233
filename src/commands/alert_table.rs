//! Alerts as a table that a person likes to read.
//!
//! Time, severity and rule stand in front, the message has what is left of the
//! window and wraps below itself. The entity comes last and on a line of its
//! own, as it is long and the message mostly names it too.

use chrono::SubsecRound;
use trailhound_detections::{Alert, Severity};

use crate::text::{fit, visible, width};
use crate::when::show_time;

/// Least columns for a message beside the others; with less it goes below them.
const MESSAGE_COLUMNS_MIN: usize = 30;

/// The alerts in their order, for a window of so many columns; nothing for no alerts.
pub fn table(alerts: &[&Alert], window: usize, color: bool) -> String {
    let Some(rule_columns) = alerts.iter().map(|alert| width(&alert.rule)).max() else {
        return String::new();
    };
    let severity_columns = alerts
        .iter()
        .map(|alert| alert.severity.name().len())
        .max()
        .unwrap_or(0)
        .max("SEVERITY".len());
    let rule_columns = rule_columns.max("RULE".len());
    let time_columns = "2026-01-01 00:00:00Z".len();
    let before = time_columns + severity_columns + rule_columns + 6;
    let is_beside = window >= before + MESSAGE_COLUMNS_MIN;
    let indent = if is_beside { before } else { 4.min(window / 4) };
    let room = window.saturating_sub(indent).max(8);

    let head = format!(
        "{:time_columns$}  {:severity_columns$}  {:rule_columns$}",
        "TIME", "SEVERITY", "RULE"
    );
    let mut text = match is_beside {
        true => paint(&format!("{head}  MESSAGE"), "1", color),
        false => paint(head.trim_end(), "1", color),
    };
    text.push('\n');
    for alert in alerts {
        let severity = format!("{:severity_columns$}", alert.severity.name());
        let front = format!(
            "{:time_columns$}  {}  {:rule_columns$}",
            show_time(&alert.first_seen.trunc_subsecs(0)),
            paint(&severity, tint(alert.severity), color),
            alert.rule,
        );
        let mut lines = wrap(&visible(&alert.message), room).into_iter();
        match is_beside {
            true => text.push_str(&format!("{front}  {}\n", lines.next().unwrap_or_default())),
            false => text.push_str(&format!("{}\n", front.trim_end())),
        }
        for line in lines {
            text.push_str(&format!("{:indent$}{line}\n", ""));
        }
        let mut about = alert.entity.id.clone();
        if alert.count > 1 {
            let last = show_time(&alert.last_seen.trunc_subsecs(0));
            about = format!(
                "{about}, {} records to {last}",
                crate::when::show_count(alert.count)
            );
        }
        text.push_str(&format!(
            "{:indent$}{}\n",
            "",
            paint(&fit(&visible(&about), room), "2", color)
        ));
    }
    text
}

fn tint(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "1;31",
        Severity::High => "31",
        Severity::Medium => "33",
        Severity::Low => "36",
        Severity::Informational => "2",
    }
}

fn paint(text: &str, style: &str, color: bool) -> String {
    match color {
        true => format!("\x1b[{style}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

/// Words in lines of at most `columns`; a word that is longer is cut into pieces.
fn wrap(message: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in message.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for letter in word.chars() {
            line.push(letter);
            if width(&line) > columns {
                line.pop();
                lines.push(std::mem::take(&mut line));
                line.push(letter);
            }
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta};
    use trailhound_detections::alert::{Entity, Evidence, Status};
    use trailhound_detections::coverage::Coverage;

    fn alert(message: &str) -> Alert {
        let at = DateTime::UNIX_EPOCH;
        Alert {
            id: String::new(),
            rule: "net-scan-vertical".into(),
            title: String::new(),
            severity: Severity::High,
            status: Status::New,
            first_seen: at,
            last_seen: at + TimeDelta::minutes(5),
            count: 1200,
            entity: Entity {
                kind: "srcaddr".into(),
                id: "10.0.0.7".into(),
            },
            message: message.into(),
            attack: Vec::new(),
            csf: Vec::new(),
            risk: 30,
            impact: serde_json::Map::new(),
            evidence: Evidence {
                event_ids: Vec::new(),
                records: Vec::new(),
                sample: serde_json::Map::new(),
            },
            coverage: Coverage {
                from: at,
                to: at,
                gaps: Vec::new(),
            },
            rule_version: String::new(),
        }
    }

    #[test]
    fn it_fits_every_window() {
        let evil = alert(
            "10.0.0.7 tried \u{1b}[2J many ports of a host with averyveryverylongnamethatnobodywouldwritebyhand 漢字漢字漢字",
        );
        for window in 30..200 {
            let shown = table(&[&evil], window, false);
            assert!(!shown.contains('\u{1b}'));
            // The columns in front need their room; all else bends.
            let front = "1970-01-01 00:00:00Z  high      net-scan-vertical".len();
            for line in shown.lines() {
                assert!(width(line) <= window.max(front), "{window}: {line:?}");
            }
        }
    }

    #[test]
    fn colour_is_only_for_those_who_want_it() {
        let one = alert("it happened");
        assert!(table(&[&one], 100, true).contains("\x1b[31mhigh"));
        assert_eq!(
            table(&[&one], 100, false),
            "TIME                  SEVERITY  RULE               MESSAGE\n\
             1970-01-01 00:00:00Z  high      net-scan-vertical  it happened\n\
             \x20                                                  10.0.0.7, 1,200 records to 1970-01-01 00:05:00Z\n"
        );
        assert_eq!(table(&[], 100, true), "");
    }
}
