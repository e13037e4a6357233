//! `trailhound demo`: the whole way on a bundled scenario, offline.
//!
//! Writes a small estate's raw logs as AWS lays them out, runs the detections
//! over them as `trailhound detect` would, and tells what they found in order of
//! time. The story comes from the alerts, never from what the generator knows.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use trailhound_detections::{Alert, Asked, Catalog, Outcome, Severity};
use trailhound_query::Session;

use crate::cli::Common;
use crate::execute::{Settings, Statement, execute, wants_color};
use crate::failure::{Exit, Failure};
use crate::output::Format;
use crate::output::destination::Destination;
use crate::scenario::{self, Estate, Written};
use crate::summary::program;
use crate::text::{self, shell_quote, visible};

const EXAMPLES: &str = "\
Examples:
  The story:
    $ trailhound demo

  A query of your own over the same logs:
    $ trailhound demo --sql \"SELECT ecs_service_name, sum(bytes) AS bytes FROM vpc_flow GROUP BY 1 ORDER BY 2 DESC\"

  Keep the raw logs, to look at them with any tool:
    $ trailhound demo --keep trailhound-demo

  A larger estate over two days:
    $ trailhound demo --services 20 --hours 48";

/// Arguments of `trailhound demo`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Keep the raw logs in this folder; without it nothing is left behind
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,

    /// Run a query over the scenario's logs in place of the detections
    #[arg(long, value_name = "QUERY")]
    pub sql: Option<String>,

    /// Another seed gives other names, addresses and times
    #[arg(long, value_name = "N", default_value_t = Estate::default().seed)]
    pub seed: u64,

    /// ECS services of the estate
    #[arg(long, value_name = "N", default_value_t = Estate::default().services, value_parser = clap::value_parser!(u32).range(1..=40))]
    pub services: u32,

    /// Hours that the logs cover
    #[arg(long, value_name = "N", default_value_t = Estate::default().hours, value_parser = clap::value_parser!(u32).range(12..=744))]
    pub hours: u32,

    /// Leave the intrusion out: what is then found is noise
    #[arg(long)]
    pub quiet_day: bool,
}

/// Writes the logs, runs the detections, tells the story.
///
/// # Errors
/// The folder cannot be written, or the query given is wrong.
pub async fn run(args: Args, common: &Common) -> Result<ExitCode> {
    let estate = Estate {
        seed: args.seed,
        services: args.services,
        hours: args.hours,
        intrusion: !args.quiet_day,
        ..Estate::default()
    };
    // Removed when it goes out of scope, also on an error.
    let temporary;
    let folder = match &args.keep {
        Some(folder) => {
            make_empty(folder)?;
            folder.as_path()
        }
        None => {
            temporary = tempfile::Builder::new()
                .prefix("trailhound-demo-")
                .tempdir()
                .context("cannot make a temporary folder")?;
            temporary.path()
        }
    };
    let started = Instant::now();
    let written = scenario::write(&estate, folder)
        .with_context(|| format!("cannot write logs to {}", folder.display()))?;
    let writing = started.elapsed();
    let common = Common {
        from: tables_in(folder)?,
        ..common.clone()
    };
    let session = super::open(&common).await?;
    if let Some(sql) = &args.sql {
        return query(&session, sql).await;
    }
    let catalog = Catalog::embedded()?;
    let entries = catalog.select(&[])?;
    let rules: Vec<_> = entries.iter().map(|entry| &entry.rule).collect();
    let started = Instant::now();
    let mut outcome = trailhound_detections::evaluate::run(&session, &rules, Asked::default()).await?;
    super::detect::whole(&outcome)?;
    outcome
        .alerts
        .retain(|alert| alert.severity >= Severity::SHOWN_MIN);
    let hunting = started.elapsed();
    let window =
        terminal_size::terminal_size().map_or(100, |(columns, _)| usize::from(columns.0).clamp(60, 160));
    let color = std::io::stdout().is_terminal() && wants_color();
    let story = Story {
        estate: &estate,
        written: &written,
        outcome: &outcome,
        rules: rules.len(),
        window,
        color,
    };
    print(&story.text(writing, hunting))?;
    print(&hunts(&outcome, args.keep.as_deref(), &common))?;
    Ok(Exit::Done.into())
}

/// A folder of ours: new, empty, or left by an earlier demo, never anything else.
fn make_empty(folder: &Path) -> Result<()> {
    let cannot = || format!("cannot make the folder {}", folder.display());
    if folder.exists() {
        let entries = folder.read_dir().with_context(cannot)?;
        for entry in entries {
            let name = entry.with_context(cannot)?.file_name();
            if name != "AWSLogs" && name != "exportedlogs" {
                let message = format!(
                    "{} is not empty: it holds {}",
                    folder.display(),
                    name.to_string_lossy()
                );
                return Err(Failure::wrong_use(message)
                    .with_help("name a new folder with --keep")
                    .into());
            }
        }
        for name in ["AWSLogs", "exportedlogs"] {
            let part = folder.join(name);
            if part.exists() {
                std::fs::remove_dir_all(&part).with_context(cannot)?;
            }
        }
    }
    std::fs::create_dir_all(folder).with_context(cannot)
}

/// The three tables, as the files lie.
fn tables_in(folder: &Path) -> Result<Vec<trailhound_query::From>> {
    let at = |table: &str, below: &str| {
        let location = folder.join(below).to_string_lossy().into_owned();
        trailhound_query::From {
            table: table.to_owned(),
            format: table.to_owned(),
            location,
        }
    };
    Ok(vec![
        at("vpc_flow", "AWSLogs/*/vpcflowlogs"),
        at("cloudtrail", "AWSLogs/*/CloudTrail"),
        at("container_logs", "exportedlogs"),
    ])
}

async fn query(session: &Session, sql: &str) -> Result<ExitCode> {
    let format = if std::io::stdout().is_terminal() {
        Format::Table
    } else {
        Format::Ndjson
    };
    let settings = Settings {
        expanded: false,
        all_columns: false,
        timing: true,
        pager: true,
        progress: false,
        more: "--keep DIR, then `trailhound sql -x`",
    };
    let mut out = crate::execute::screen(format, &settings);
    for statement in Statement::all(sql, None) {
        execute(session, &statement, format, &settings, &mut out).await?;
    }
    let _: &Destination = &out;
    Ok(Exit::Done.into())
}

fn print(text: &str) -> Result<()> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

struct Story<'a> {
    estate: &'a Estate,
    written: &'a Written,
    outcome: &'a Outcome,
    rules: usize,
    window: usize,
    color: bool,
}

impl Story<'_> {
    fn text(&self, writing: Duration, hunting: Duration) -> String {
        let (estate, written) = (self.estate, self.written);
        let mut text = String::new();
        let until = estate.start + chrono::TimeDelta::hours(estate.hours.into());
        let _ = writeln!(
            text,
            "A small estate: {} ECS services in one account, {} to {} UTC. Raw logs as AWS writes them:\n\
             {} VPC flow records, {} CloudTrail events, {} container log lines in {} gzip files ({:.1} s).\n",
            estate.services,
            estate.start.format("%Y-%m-%d %H:%M"),
            until.format("%Y-%m-%d %H:%M"),
            grouped(written.vpc_flow),
            grouped(written.cloudtrail),
            grouped(written.container_logs),
            written.files,
            writing.as_secs_f64(),
        );
        let alerts = &self.outcome.alerts;
        if alerts.is_empty() {
            text.push_str("No detection found anything.\n");
        } else {
            let _ = writeln!(text, "What {} detections found, in order of time:\n", self.rules);
            for alert in alerts {
                self.line(&mut text, alert);
            }
        }
        let mut counts: Vec<String> = Vec::new();
        let mut severities: Vec<Severity> = alerts.iter().map(|alert| alert.severity).collect();
        severities.sort_unstable();
        severities.dedup();
        for severity in severities.iter().rev() {
            let count = alerts.iter().filter(|alert| alert.severity == *severity).count();
            counts.push(format!("{count} {severity}"));
        }
        let _ = writeln!(
            text,
            "\n{} alerts ({}) from {} rules in {:.1} s.",
            alerts.len(),
            if counts.is_empty() {
                "none".to_owned()
            } else {
                counts.join(", ")
            },
            self.outcome.ran.len(),
            hunting.as_secs_f64(),
        );
        for (table, coverage) in &self.outcome.covered {
            let _ = writeln!(
                text,
                "{table} covers {} to {}{}",
                short(coverage.from),
                short(coverage.to),
                match coverage.gaps.len() {
                    0 => String::new(),
                    1 => ", with one gap".to_owned(),
                    gaps => format!(", with {gaps} gaps"),
                }
            );
        }
        text
    }

    /// `15:04  high      net-scan-vertical  message`, the message wrapped below itself.
    fn line(&self, text: &mut String, alert: &Alert) {
        const RULE_COLUMNS: usize = 22;
        let indent = 7 + 10 + RULE_COLUMNS;
        let message = visible(&alert.message).into_owned();
        let mut lines = wrap(&message, self.window.saturating_sub(indent).max(24)).into_iter();
        let severity = format!("{:<10}", alert.severity.to_string());
        let severity = match (self.color, alert.severity) {
            (true, Severity::Critical) => format!("\x1b[1;31m{severity}\x1b[0m"),
            (true, Severity::High) => format!("\x1b[31m{severity}\x1b[0m"),
            (true, Severity::Medium) => format!("\x1b[33m{severity}\x1b[0m"),
            _ => severity,
        };
        let first = lines.next().unwrap_or_default();
        let time = alert.first_seen.format("%H:%M");
        let _ = writeln!(text, "{time}  {severity}{:<RULE_COLUMNS$} {first}", alert.rule);
        for line in lines {
            let _ = writeln!(text, "{:indent$} {line}", "");
        }
    }
}

fn short(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Words in lines of at most `columns`; a longer word is a line of its own.
fn wrap(message: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in message.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && text::width(line) + 1 + text::width(word) > columns {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Three questions that the alerts raise, as commands that work as printed.
fn hunts(outcome: &Outcome, kept: Option<&Path>, common: &Common) -> String {
    let value = |rule: &str, column: &str| {
        let alert = outcome.alerts.iter().find(|alert| alert.rule == rule)?;
        alert.evidence.sample.get(column)?.as_str().map(sql_quote)
    };
    let mut hunts: Vec<(&str, String)> = Vec::new();
    if let Some(session) = value("cred-offnet", "session_name") {
        hunts.push((
            "What was done with the credentials, and from where?",
            format!(
                "SELECT event_time, source_ip_address, event_name, error_code FROM cloudtrail \
                 WHERE session_name = {session} ORDER BY event_time DESC LIMIT 30"
            ),
        ));
    }
    if let Some(peer) = value("net-new-external-peer", "dstaddr") {
        hunts.push((
            "How much went to the new peer, hour by hour?",
            format!(
                "SELECT date_trunc('hour', start_time) AS hour, ecs_service_name, count(*) AS records, \
                 sum(bytes) AS bytes FROM vpc_flow WHERE dstaddr = {peer} GROUP BY 1, 2 ORDER BY 1"
            ),
        ));
    }
    hunts.push((
        "What did the container say when the metadata address was asked for?",
        "SELECT event_time, container_name, message FROM container_logs \
         WHERE percent_decode(message) LIKE '%/credentials%' ORDER BY event_time LIMIT 20"
            .to_owned(),
    ));
    hunts.push((
        "Who changed ECS, and how often?",
        "SELECT role_arn, event_name, count(*) AS n FROM cloudtrail WHERE event_source = 'ecs.amazonaws.com' \
         AND NOT read_only GROUP BY 1, 2 ORDER BY 3 LIMIT 20"
            .to_owned(),
    ));
    hunts.truncate(3);
    let mut text = String::from("\nThree hunts to try next:\n");
    for (question, sql) in hunts {
        let command = match kept {
            Some(_) => format!(
                "{} sql{} {}",
                program(),
                crate::summary::input_arguments(common),
                shell_quote(&sql)
            ),
            None => format!("{} demo --sql {}", program(), shell_quote(&sql)),
        };
        let _ = writeln!(text, "\n  {question}\n  {command}");
    }
    let _ = match kept {
        Some(folder) => writeln!(text, "\nThe raw logs are in {}.", folder.display()),
        None => writeln!(
            text,
            "\nTo keep the raw logs: {} demo --keep trailhound-demo",
            program()
        ),
    };
    text
}

fn sql_quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_words_wrapped() {
        assert_eq!(
            (grouped(7), grouped(1234), grouped(1_234_567)),
            ("7".into(), "1,234".into(), "1,234,567".into())
        );
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("extraordinarily long", 4), ["extraordinarily", "long"]);
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.txt"), "x").unwrap();
        assert!(
            make_empty(folder.path())
                .unwrap_err()
                .to_string()
                .contains("thesis.txt")
        );
        let own = tempfile::tempdir().unwrap();
        std::fs::create_dir(own.path().join("AWSLogs")).unwrap();
        make_empty(own.path()).unwrap();
        assert!(!own.path().join("AWSLogs").exists());
    }
}
