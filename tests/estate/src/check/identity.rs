//! Identified flow records against who really had the addresses.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use chrono::{DateTime, NaiveDateTime};
use serde::Deserialize;
use serde_json::Value;

use crate::truth::{Owner, Truth};

/// Share of the flow records of awsvpc tasks that must have the right service.
pub const RIGHT_PERCENT_MIN: f64 = 99.5;
/// Wrong answers that the report shows.
const SAMPLES_MAX: usize = 10;

/// A row of the answers, as `trailhound sql --format ndjson` writes it.
#[derive(Debug, Deserialize)]
struct Row {
    interface_id: Option<String>,
    srcaddr: Option<String>,
    dstaddr: Option<String>,
    start_time: Option<Value>,
    src_service: Option<String>,
    src_certainty: Option<String>,
    src_task_id: Option<String>,
    dst_service: Option<String>,
    dst_certainty: Option<String>,
    dst_task_id: Option<String>,
}

/// One end of a record.
struct End<'a> {
    address: &'a str,
    service: Option<&'a str>,
    task: Option<&'a str>,
    certain: bool,
}

/// What an end turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    /// No answer, where there was one to give.
    Missing,
    Wrong,
}

/// Ends of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ends that were right; for what is no task, that none was named.
    pub right: u64,
    /// Ends of a task without an answer.
    pub missing: u64,
    /// Ends that were wrong.
    pub wrong: u64,
    /// Those of the wrong ones that were called certain.
    pub wrong_certain: u64,
}

/// What the check found.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows read.
    pub rows: u64,
    /// Rows without addresses: `NODATA` and `SKIPDATA`.
    pub idle: u64,
    /// Rows with a task in awsvpc mode at one end at least.
    pub awsvpc: u64,
    /// Those of them where every such end has the right service.
    pub awsvpc_right: u64,
    /// Those of all that went over IPv6: few enough to drown in the rest.
    pub over_v6: u64,
    /// Those of them where every such end has the right service.
    pub over_v6_right: u64,
    /// By what an end really was, and whether the record is that of its own interface.
    pub kinds: BTreeMap<&'static str, Tally>,
    /// The first wrong answers that were called certain.
    pub samples: Vec<String>,
}

impl Report {
    /// Percent of the records of awsvpc tasks that have the right service; 0 without such records.
    pub fn percent(&self) -> f64 {
        percent(self.awsvpc_right, self.awsvpc)
    }

    /// The same of those over IPv6; none without such records.
    pub fn percent_v6(&self) -> Option<f64> {
        (self.over_v6 > 0).then(|| percent(self.over_v6_right, self.over_v6))
    }

    /// Wrong answers that were called certain.
    pub fn wrong_certain(&self) -> u64 {
        self.kinds.values().map(|tally| tally.wrong_certain).sum()
    }

    /// Whether that is good enough.
    pub fn passed(&self) -> bool {
        let enough = |percent: f64| percent >= RIGHT_PERCENT_MIN;
        enough(self.percent()) && self.percent_v6().is_none_or(enough) && self.wrong_certain() == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} rows, {} without addresses, {} of tasks in awsvpc mode",
            self.rows, self.idle, self.awsvpc
        )?;
        writeln!(out, "{:.3}% of these have the right service", self.percent())?;
        if let Some(percent) = self.percent_v6() {
            writeln!(out, "{percent:.3}% of the {} over IPv6", self.over_v6)?;
        }
        writeln!(
            out,
            "{:<32} {:>12} {:>10} {:>10} {:>14}",
            "what it was", "right", "missing", "wrong", "wrong, certain"
        )?;
        for (kind, tally) in &self.kinds {
            writeln!(
                out,
                "{kind:<32} {:>12} {:>10} {:>10} {:>14}",
                tally.right, tally.missing, tally.wrong, tally.wrong_certain
            )?;
        }
        for sample in &self.samples {
            writeln!(out, "wrong and certain: {sample}")?;
        }
        let verdict = if self.passed() { "passed" } else { "failed" };
        writeln!(
            out,
            "{verdict}: at least {RIGHT_PERCENT_MIN}% right, and nothing wrong that was certain"
        )
    }
}

/// Reads the answers in `answers` and holds them against the truth in `folder`.
///
/// # Errors
/// A file cannot be read, or a line of the answers is not such a row.
pub fn check(folder: &Path, answers: &Path) -> Result<Report> {
    let truth = Truth::read(folder)?;
    let file = File::open(answers).with_context(|| format!("opening {}", answers.display()))?;
    check_rows(&truth, BufReader::with_capacity(1 << 20, file))
        .with_context(|| format!("checking {}", answers.display()))
}

fn check_rows(truth: &Truth, mut rows: impl BufRead) -> Result<Report> {
    let own: HashMap<&str, &Owner> = truth
        .owners
        .iter()
        .map(|owner| (owner.interface.as_str(), owner))
        .collect();
    let mut report = Report::default();
    let mut line = String::new();
    while rows.read_line(&mut line)? > 0 {
        if !line.trim().is_empty() {
            report.rows += 1;
            let row = serde_json::from_str(&line)
                .with_context(|| format!("line {} is not a row of vpc_flow_identified", report.rows))?;
            see(truth, &own, &row, &mut report)
                .with_context(|| format!("line {}: {}", report.rows, line.trim()))?;
        }
        line.clear();
    }
    Ok(report)
}

fn see(truth: &Truth, own: &HashMap<&str, &Owner>, row: &Row, report: &mut Report) -> Result<()> {
    let (Some(srcaddr), Some(dstaddr)) = (row.srcaddr.as_deref(), row.dstaddr.as_deref()) else {
        report.idle += 1;
        return Ok(());
    };
    let time = row
        .start_time
        .as_ref()
        .and_then(seconds)
        .context("no start_time that is a time")?;
    let certain = |certainty: &Option<String>| certainty.as_deref() == Some("certain");
    let ends = [
        End {
            address: srcaddr,
            service: named(&row.src_service),
            task: named(&row.src_task_id),
            certain: certain(&row.src_certainty),
        },
        End {
            address: dstaddr,
            service: named(&row.dst_service),
            task: named(&row.dst_task_id),
            certain: certain(&row.dst_certainty),
        },
    ];
    let own = row.interface_id.as_deref().and_then(|id| own.get(id)).copied();
    let v6 = srcaddr.contains(':');
    let (mut tasks, mut right) = (0, 0);
    for end in ends {
        let (owner, of_itself) = match own {
            Some(own) if own.addresses().any(|address| address == end.address) => (Some(own), true),
            _ => (truth.owner(end.address, time), false),
        };
        let verdict = judge(&end, owner);
        if owner.is_some_and(|owner| owner.owner == "task") {
            tasks += 1;
            right += u64::from(verdict == Verdict::Right);
        }
        let tally = report.kinds.entry(kind(owner, of_itself, v6)).or_default();
        match verdict {
            Verdict::Right => tally.right += 1,
            Verdict::Missing => tally.missing += 1,
            Verdict::Wrong => tally.wrong += 1,
        }
        if verdict == Verdict::Wrong && end.certain {
            tally.wrong_certain += 1;
            if report.samples.len() < SAMPLES_MAX {
                report.samples.push(format!(
                    "{} at {time} seen by {}: {:?} {:?}, and it was {}",
                    end.address,
                    row.interface_id.as_deref().unwrap_or("-"),
                    end.service,
                    end.task,
                    in_words(owner)
                ));
            }
        }
    }
    if tasks > 0 {
        report.awsvpc += 1;
        report.awsvpc_right += u64::from(tasks == right);
        if v6 {
            report.over_v6 += 1;
            report.over_v6_right += u64::from(tasks == right);
        }
    }
    Ok(())
}

fn percent(part: u64, all: u64) -> f64 {
    match all {
        0 => 0.0,
        all => part as f64 * 100.0 / all as f64,
    }
}

fn judge(end: &End<'_>, owner: Option<&Owner>) -> Verdict {
    let Some(owner) = owner.filter(|owner| owner.owner == "task") else {
        // An instance that tasks share has several services, so none may be
        // named with certainty; a guess that says so is no mistake.
        let shared = owner.is_some_and(|owner| owner.owner == "instance");
        return match end.service.or(end.task) {
            None => Verdict::Right,
            Some(_) if shared && !end.certain => Verdict::Right,
            Some(_) => Verdict::Wrong,
        };
    };
    let workload = owner.workload.as_deref().unwrap_or_default();
    let task_right = end.task.map(|task| Some(task) == owner.task.as_deref());
    let service_right = match end.service {
        Some(service) if owner.service => Some(service == workload),
        // Tasks of a job have no service; their family is as good a name.
        Some(name) => Some(name.strip_prefix("family:").unwrap_or(name) == workload),
        None if owner.service => None,
        None => task_right,
    };
    match (service_right, task_right) {
        (_, Some(false)) | (Some(false), _) => Verdict::Wrong,
        (Some(true), _) => Verdict::Right,
        // Certain that there is no service, where there is one.
        (None, _) if end.certain => Verdict::Wrong,
        (None, _) => Verdict::Missing,
    }
}

fn kind(owner: Option<&Owner>, of_itself: bool, v6: bool) -> &'static str {
    match (
        owner.map(|owner| (owner.owner.as_str(), owner.service)),
        of_itself,
    ) {
        (Some(("task", true)), true) if v6 => "task of a service, itself, IPv6",
        (Some(("task", true)), false) if v6 => "task of a service, as peer, IPv6",
        (Some(("task", true)), true) => "task of a service, itself",
        (Some(("task", true)), false) => "task of a service, as peer",
        (Some(("task", false)), true) => "task of a job, itself",
        (Some(("task", false)), false) => "task of a job, as peer",
        (Some(("instance", _)), _) => "instance with many tasks",
        (Some(_), _) => "other interface",
        (None, _) => "nothing of the estate",
    }
}

fn in_words(owner: Option<&Owner>) -> String {
    match owner {
        Some(Owner {
            owner,
            workload: Some(workload),
            task: Some(task),
            ..
        }) => format!("{owner} {task} of {workload}"),
        Some(owner) => format!("{} {}", owner.owner, owner.interface),
        None => "nothing of the estate".to_owned(),
    }
}

fn named(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty() && *text != "-")
}

/// Seconds since the epoch of a time as text, or as a number of seconds or smaller units.
pub(crate) fn seconds(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => DateTime::parse_from_rfc3339(text)
            .map(|time| time.timestamp())
            .or_else(|_| {
                let text = text.trim_end_matches('Z').replace(' ', "T");
                NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f")
                    .map(|time| time.and_utc().timestamp())
            })
            .ok(),
        Value::Number(number) => {
            let mut seconds = number.as_i64()?;
            while seconds > 100_000_000_000 {
                seconds /= 1000;
            }
            Some(seconds)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
