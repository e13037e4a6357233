//! Alerts against the attacks that were put in: what was caught, how soon, and
//! what was called out that is no attack.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv6Addr;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::identity::seconds;
use crate::truth::{Attack, Truth};

/// An alert belongs to an attack up to this long before it (a window that the
/// attack begins in) ...
const BEFORE_SECONDS: i64 = 3600;
/// ... and after its end: what looks at a whole day says so on the next.
const AFTER_SECONDS: i64 = 26 * 3600;

/// The parts of an alert that are compared.
#[derive(Debug, Deserialize)]
struct Alert {
    rule: String,
    severity: String,
    first_seen: Value,
    last_seen: Value,
    entity: Entity,
    #[serde(default)]
    message: String,
    #[serde(default)]
    evidence: Value,
}

#[derive(Debug, Deserialize)]
struct Entity {
    id: Value,
}

/// How one attack fared.
#[derive(Debug, Clone)]
pub struct Caught {
    /// The attack.
    pub attack: Attack,
    /// Seconds from its start to the last evidence of the first alert of its own rule.
    pub after_seconds: Option<i64>,
    /// Alerts of its own rule.
    pub own: u64,
    /// Alerts of other rules about it.
    pub neighbours: u64,
}

/// What the check found.
#[derive(Debug)]
pub struct Report {
    /// Every attack.
    pub attacks: Vec<Caught>,
    /// Alerts read.
    pub alerts: u64,
    /// Alerts that match no attack, after the learning time: by severity.
    pub false_alerts: BTreeMap<String, u64>,
    /// The same, by rule and severity.
    pub false_by_rule: BTreeMap<(String, String), u64>,
    /// Alerts that match no attack, while baselines were still learning.
    pub early: u64,
    /// Days after the learning time.
    pub days: f64,
    /// ECS services.
    pub services: u32,
}

impl Report {
    /// Alerts of these severities that match no attack, a day and 50 services.
    pub fn false_rate(&self, severities: &[&str]) -> f64 {
        let count: u64 = severities
            .iter()
            .map(|severity| self.false_alerts.get(*severity).copied().unwrap_or_default())
            .sum();
        count as f64 / self.days.max(f64::MIN_POSITIVE) / (f64::from(self.services) / 50.0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} alerts, {} attacks", self.alerts, self.attacks.len())?;
        writeln!(
            out,
            "{:<28} {:>8} {:>8} {:>12} {:>7} {:>11}  attack",
            "rule", "strength", "caught", "after", "alerts", "neighbours"
        )?;
        for caught in &self.attacks {
            let Attack {
                rule,
                strength,
                variant,
                detail,
                ..
            } = &caught.attack;
            let after = match caught.after_seconds {
                Some(after) => format!("{after} s"),
                None => "-".to_owned(),
            };
            let yes = if caught.after_seconds.is_some() {
                "yes"
            } else {
                "NO"
            };
            let what = if variant.is_empty() { detail } else { variant };
            writeln!(
                out,
                "{rule:<28} {strength:>8} {yes:>8} {after:>12} {:>7} {:>11}  {what}",
                caught.own, caught.neighbours
            )?;
        }
        let by_strength = |strength: u8| {
            let of: Vec<_> = self
                .attacks
                .iter()
                .filter(|caught| caught.attack.strength == strength)
                .collect();
            (
                of.iter().filter(|caught| caught.after_seconds.is_some()).count(),
                of.len(),
            )
        };
        for strength in 1..=3 {
            let (caught, all) = by_strength(strength);
            if all > 0 {
                writeln!(out, "strength {strength}: {caught} of {all} caught")?;
            }
        }
        writeln!(
            out,
            "alerts that match no attack, over {:.1} days after learning:",
            self.days
        )?;
        for severity in ["informational", "low", "medium", "high", "critical"] {
            let count = self.false_alerts.get(severity).copied().unwrap_or_default();
            let rate = self.false_rate(&[severity]);
            writeln!(
                out,
                "  {severity:<14} {count:>8}  {rate:.3} a day and 50 services"
            )?;
        }
        for ((rule, severity), count) in &self.false_by_rule {
            writeln!(out, "  {rule:<30} {severity:<10} {count:>8}")?;
        }
        writeln!(out, "  while learning {:>8}", self.early)?;
        let rate = self.false_rate(&["medium", "high", "critical"]);
        writeln!(out, "medium or above: {rate:.3} a day and 50 services")
    }
}

/// Reads the alerts in `alerts` and holds them against the truth in `folder`.
///
/// # Errors
/// A file cannot be read, or a line is not an alert.
pub fn check(folder: &Path, alerts: &Path) -> Result<Report> {
    let truth = Truth::read(folder)?;
    let file = File::open(alerts).with_context(|| format!("opening {}", alerts.display()))?;
    check_lines(&truth, BufReader::new(file)).with_context(|| format!("checking {}", alerts.display()))
}

fn check_lines(truth: &Truth, lines: impl BufRead) -> Result<Report> {
    let mut report = Report {
        attacks: truth
            .attacks
            .iter()
            .map(|attack| Caught {
                attack: attack.clone(),
                after_seconds: None,
                own: 0,
                neighbours: 0,
            })
            .collect(),
        alerts: 0,
        false_alerts: BTreeMap::new(),
        false_by_rule: BTreeMap::new(),
        early: 0,
        days: (truth.estate.end - truth.estate.attacks_from) as f64 / 86_400.0,
        services: truth.estate.services,
    };
    for (number, line) in lines.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        report.alerts += 1;
        let alert: Alert =
            serde_json::from_str(&line).with_context(|| format!("line {} is not an alert", number + 1))?;
        see(truth, &alert, &mut report).with_context(|| format!("line {}", number + 1))?;
    }
    Ok(report)
}

fn see(truth: &Truth, alert: &Alert, report: &mut Report) -> Result<()> {
    let first = seconds(&alert.first_seen).context("first_seen is no time")?;
    let last = seconds(&alert.last_seen).context("last_seen is no time")?;
    let mut text = words(&alert.entity.id.to_string());
    // A rule may name the service only, and the peer in its message or its sample.
    text.extend(words(&alert.message));
    text.extend(words(&alert.evidence["sample"].to_string()));
    let names = words(&alert.entity.id.to_string());
    let mut matched = false;
    for caught in &mut report.attacks {
        let attack = &caught.attack;
        let at_the_time = first <= attack.to + AFTER_SECONDS && last >= attack.from - BEFORE_SECONDS;
        if !at_the_time {
            continue;
        }
        let known = |word: &String| attack.entities.iter().any(|entity| entity == word);
        let own = alert.rule == attack.rule;
        // Of its own rule, any name will do; of another, the entity itself.
        if own && text.iter().any(known) {
            caught.own += 1;
            let after = (last.min(attack.to + AFTER_SECONDS) - attack.from).max(0);
            caught.after_seconds = Some(caught.after_seconds.map_or(after, |known| known.min(after)));
            matched = true;
        } else if !own && names.iter().any(known) {
            caught.neighbours += 1;
            matched = true;
        }
    }
    if matched {
        return Ok(());
    }
    if last < truth.estate.attacks_from {
        report.early += 1;
        return Ok(());
    }
    let severity = alert.severity.to_lowercase();
    *report.false_alerts.entry(severity.clone()).or_default() += 1;
    *report
        .false_by_rule
        .entry((alert.rule.clone(), severity))
        .or_default() += 1;
    Ok(())
}

/// The words of a text, where addresses, ids and names are one word each.
fn words(text: &str) -> Vec<String> {
    // Colons part words, and are in addresses of IPv6: such a word may be followed by one.
    let v6 = text
        .split(|letter: char| !(letter.is_ascii_hexdigit() || letter == ':'))
        .flat_map(|word| [Some(word), word.strip_suffix(':')])
        .flatten()
        .filter(|word| word.parse::<Ipv6Addr>().is_ok());
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_')))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| !word.is_empty())
        .chain(v6)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
