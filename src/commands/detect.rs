//! `trailhound detect`: rules over raw logs, alerts out.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use chrono::{DateTime, SubsecRound, Utc};
use clap::ValueEnum;
use trailhound_detections::{Alert, Asked, Catalog, Outcome, Rule, Severity, evaluate, ocsf};
use trailhound_query::Session;

use super::alert_table;
use super::rules::failure;
use crate::cli::Common;
use crate::execute::wants_color;
use crate::failure::{Exit, Failure};
use crate::output::destination::Destination;
use crate::output::{Format as RowFormat, say};
use crate::progress::Progress;
use crate::summary::{self, plural};
use crate::text::{shell_quote, visible};
use crate::when::{When, show_count, show_time};

mod job;

const EXAMPLES: &str = "\
Examples:
  All rules over the logs of a bucket, copied as it lies:
    $ trailhound detect --from vpc_flow='AWSLogs/*/vpcflowlogs/' --from cloudtrail='AWSLogs/*/CloudTrail/'

  Two rules, the last day, and an exit code that a script can act on:
    $ trailhound detect --from cloudtrail=AWSLogs/ --since 24h --rule trail-stop --rule cred-offnet --fail-on high

  Findings for a SIEM that reads OCSF:
    $ trailhound detect --from cloudtrail=AWSLogs/ --format ocsf --output findings.ndjson

  From cron or a systemd timer: what came into the lake since the last run, no alert twice, one line at the end:
    $ trailhound detect --job hourly --quiet --lake /srv/lake --output alerts.ndjson

  With rules of your own, or changed ones, beside those in the program:
    $ trailhound detect --from vpc_flow=logs/ --rules my-rules/";

/// Arguments of `trailhound detect`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Run this rule only; may be given several times
    #[arg(long = "rule", value_name = "ID")]
    pub rule: Vec<String>,

    /// Add the rules of a folder; one with the id of ours takes its place
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,

    /// Leave out alerts below this severity [default: low; informational with --rule]
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    pub min_severity: Option<Severity>,

    /// Exit with 1 if there is an alert of this severity or above
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    pub fail_on: Option<Severity>,

    /// Go on where the last run of this name ended: rules that are due, over what came into the lake since, and no
    /// alert twice
    ///
    /// What a job has seen and told is kept beside the lake, under its name. With --quiet a run says one line.
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,

    /// Form of the alerts [default: by the ending of --output; table on a terminal, ndjson elsewhere]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<Format>,
}

/// The form of alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for reading, as wide as the window
    Table,
    /// One alert per line
    Ndjson,
    /// One JSON array of alerts
    Json,
    /// One OCSF 1.5 Detection Finding per line
    Ocsf,
}

fn severity(text: &str) -> Result<Severity, String> {
    text.parse()
}

/// Runs the rules and writes the alerts.
///
/// # Errors
/// An argument or a rule is wrong, or input or output cannot be reached.
pub async fn run(args: Args, common: &Common) -> Result<ExitCode> {
    let format = choose(args.format, common.output.as_deref())?;
    let catalog = match &args.rules {
        Some(folder) => Catalog::with_folder(folder),
        None => Catalog::embedded(),
    };
    let catalog = catalog.map_err(failure)?;
    let entries = catalog.select(&args.rule).map_err(failure)?;
    let rules: Vec<&Rule> = entries.iter().map(|entry| &entry.rule).collect();
    if let Some(name) = &args.job {
        return scheduled(name, &args, &rules, format, common).await;
    }
    let (common, asked) = fix_moments(common);
    let session = super::open(&common).await?;
    if session.raw_tables().is_empty() && session.lake_tables().is_empty() {
        let failure = Failure::wrong_use("there are no logs to look at");
        return Err(failure
            .with_help("name some with --from TABLE=PATH, take some into a lake with `trailhound ingest`, or see `trailhound demo`")
            .into());
    }
    // What cannot be written is better refused before the work than after it.
    let mut out = match &common.output {
        Some(file) => Destination::file(file)?,
        None => Destination::stdout(),
    };
    let started = Instant::now();
    let progress = match common.quiet {
        false => Progress::start(&session, ""),
        true => Progress::default(),
    };
    let outcome = tokio::select! {
        outcome = evaluate::run(&session, &rules, asked) => outcome,
        () = crate::interrupt::heard() => {
            progress.stop();
            return Ok(Exit::Interrupted.into());
        }
    };
    progress.stop();
    let elapsed = started.elapsed();
    let outcome = outcome.map_err(failure)?;
    let least = least_shown(args.min_severity, &args.rule);
    let shown: Vec<&Alert> = outcome
        .alerts
        .iter()
        .filter(|alert| alert.severity >= least)
        .collect();
    write(&shown, format, &mut out)?;
    let report = session.report();
    let read = summary::outcome(&report, common.strict);
    // Alerts over half of the input must not pass for all of them.
    if read.is_ok() || !out.is_file() {
        out.commit()?;
    }
    if !common.quiet {
        summary::lines(&session, &report, Some(elapsed))
            .iter()
            .for_each(|line| say(line));
        verdict(&outcome, &shown).iter().for_each(|line| say(line));
        if let Some(next) = next_command(&shown, &session, &common) {
            say(&format!("next: {next}"));
        }
    }
    let exit = read?;
    whole(&outcome)?;
    match fails(&args, &outcome.alerts) {
        true => Ok(Exit::Findings.into()),
        false => Ok(exit.into()),
    }
}

/// Fails if a rule broke off. The others' alerts are written by then.
pub(super) fn whole(outcome: &Outcome) -> Result<(), Failure> {
    if outcome.failed.is_empty() {
        return Ok(());
    }
    let count = plural(outcome.failed.len() as u64, "rule");
    let why: Vec<String> = outcome
        .failed
        .iter()
        .map(|failed| format!("{}: {}", failed.rule, failed.why))
        .collect();
    let message = format!(
        "{count} broke off, and what would have been found is not known: {}",
        why.join("; ")
    );
    Err(Failure::wrong_use(message).with_help(
        "where memory ran out, give more with --memory, or a shorter stretch with --since and --until",
    ))
}

/// Runs the rules as a job: see [`job`].
async fn scheduled(
    name: &str,
    args: &Args,
    rules: &[&Rule],
    format: Format,
    common: &Common,
) -> Result<ExitCode> {
    let started = Instant::now();
    let mut job = job::Job::open(name, common)?;
    let mut out = match &common.output {
        Some(file) => Destination::file(file)?,
        None => Destination::stdout(),
    };
    let least = least_shown(args.min_severity, &args.rule);
    let run = tokio::select! {
        run = job.run(rules, least, common) => run?,
        () = crate::interrupt::heard() => {
            say("stopped; the next run of the job looks at the same once more");
            return Ok(Exit::Interrupted.into());
        }
    };
    let alerts: Vec<&Alert> = run.outcome.alerts.iter().collect();
    write(&alerts, format, &mut out)?;
    // First the alerts, then the memory of them: a crash between the two tells them again, none is lost.
    out.commit()?;
    let line = job.summary(&run, started.elapsed());
    job.keep()?;
    if !common.quiet && run.span.is_some() {
        verdict(&run.outcome, &alerts).iter().for_each(|line| say(line));
    }
    say(&line);
    whole(&run.outcome)?;
    match fails(args, &run.outcome.alerts) {
        true => Ok(Exit::Findings.into()),
        false => Ok(Exit::Done.into()),
    }
}

/// Whether an alert is as bad as `--fail-on` says.
fn fails(args: &Args, alerts: &[Alert]) -> bool {
    let worst = alerts.iter().map(|alert| alert.severity).max();
    matches!((args.fail_on, worst), (Some(limit), Some(worst)) if worst >= limit)
}

/// The least severity to show.
fn least_shown(asked: Option<Severity>, rules: &[String]) -> Severity {
    asked.unwrap_or(match rules.is_empty() {
        true => Severity::SHOWN_MIN,
        false => Severity::Informational,
    })
}

fn choose(asked: Option<Format>, file: Option<&Path>) -> Result<Format> {
    if let Some(format) = asked {
        return Ok(format);
    }
    match RowFormat::choose(None, file)? {
        RowFormat::Table => Ok(Format::Table),
        RowFormat::Ndjson => Ok(Format::Ndjson),
        RowFormat::Json => Ok(Format::Json),
        other => {
            let message = format!("alerts are not written as {}", other.name());
            Err(Failure::wrong_use(message)
                .with_help("use a name that ends in .ndjson, .json or .txt, or add --format")
                .into())
        }
    }
}

/// The moments of `--since` and `--until`, once for the session and for the rules.
fn fix_moments(common: &Common) -> (Common, Asked) {
    let now = Utc::now();
    let moment = |when: Option<When>| {
        when.and_then(|when| when.resolve(now))
            .map(|at| at.trunc_subsecs(0))
    };
    let asked = Asked {
        since: moment(common.since),
        until: moment(common.until),
    };
    let fixed = |when: Option<When>, at: Option<DateTime<Utc>>| at.map(When::At).or(when);
    let common = Common {
        since: fixed(common.since, asked.since),
        until: fixed(common.until, asked.until),
        ..common.clone()
    };
    (common, asked)
}

fn write(alerts: &[&Alert], format: Format, out: &mut Destination) -> Result<()> {
    let mut text = String::new();
    match format {
        Format::Table => {
            let window = match out.is_file() {
                true => 100,
                false => terminal_size::terminal_size().map_or(100, |(columns, _)| usize::from(columns.0)),
            };
            text = alert_table::table(alerts, window, out.is_terminal() && wants_color());
        }
        Format::Ndjson => alerts.iter().for_each(|alert| {
            text.push_str(&alert.to_json());
            text.push('\n');
        }),
        Format::Ocsf => alerts.iter().for_each(|alert| {
            text.push_str(&ocsf::finding(alert).to_string());
            text.push('\n');
        }),
        Format::Json => {
            let items: Vec<String> = alerts.iter().map(|alert| alert.to_json()).collect();
            text = format!("[{}]\n", items.join(",\n"));
        }
    }
    out.write_all(text.as_bytes()).context("cannot write the alerts")
}

/// What was found, what was watched, and what was not: the last lines of a run.
fn verdict(outcome: &Outcome, shown: &[&Alert]) -> Vec<String> {
    let mut lines = Vec::new();
    let ran = outcome.ran.len();
    lines.push(match outcome.alerts.len() {
        0 => format!("nothing found by {}", plural(ran as u64, "rule")),
        count => {
            let hidden = match count - shown.len() {
                0 => String::new(),
                hidden => format!(", {} of them not shown", show_count(hidden as u64)),
            };
            format!(
                "{} ({}){hidden} from {}",
                plural(count as u64, "alert"),
                by_severity(&outcome.alerts),
                plural(ran as u64, "rule")
            )
        }
    });
    for (table, coverage) in &outcome.covered {
        let (minutes, silent) = coverage.minutes();
        // The report has the times already; what is missing or empty is said again.
        if silent == 0 && !outcome.alerts.is_empty() {
            continue;
        }
        let mut line = format!(
            "  {} watched from {} to {}: {}",
            visible(table),
            show_time(&coverage.from.trunc_subsecs(0)),
            show_time(&coverage.to.trunc_subsecs(0)),
            plural(minutes as u64, "minute"),
        );
        if silent > 0 {
            line.push_str(&format!(
                ", {} of them in {} without any event",
                show_count(silent as u64),
                plural(coverage.gaps.len() as u64, "gap")
            ));
        }
        lines.push(line);
    }
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for rule in &outcome.not_run {
        missing.entry(&rule.why).or_default().push(&rule.rule);
    }
    lines.extend(
        missing
            .iter()
            .map(|(why, rules)| format!("  not run: {} ({why})", rules.join(", "))),
    );
    let mut remarks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for ran in &outcome.ran {
        if let Some(remark) = &ran.remark {
            remarks.entry(remark).or_default().push(&ran.rule);
        }
    }
    lines.extend(
        remarks
            .iter()
            .map(|(remark, rules)| format!("  {}: {remark}", rules.join(", "))),
    );
    lines
}

fn by_severity(alerts: &[Alert]) -> String {
    let count = |severity| alerts.iter().filter(|alert| alert.severity == severity).count();
    let parts: Vec<String> = Severity::ALL
        .into_iter()
        .rev()
        .map(|severity| (count(severity), severity))
        .filter(|(count, _)| *count > 0)
        .map(|(count, severity)| format!("{} {severity}", show_count(count as u64)))
        .collect();
    parts.join(", ")
}

/// The records behind the worst alert.
fn next_command(alerts: &[&Alert], session: &Session, common: &Common) -> Option<String> {
    // Of the worst the first.
    let alert = alerts.iter().rev().max_by_key(|alert| alert.severity)?;
    let record = alert.evidence.records.first()?;
    let text = |value: &str| format!("'{}'", value.replace('\'', "''"));
    let condition = match alert.evidence.event_ids.first() {
        Some(id) => format!("event_id = {}", text(id)),
        None => format!("_source = {} AND _line = {}", text(&record.source), record.line),
    };
    // A table of another name, or one that is gone, has nothing to show.
    let is_raw = session
        .raw_tables()
        .iter()
        .any(|table| table.name() == record.table);
    if !is_raw && !session.lake_tables().contains_key(&record.table) {
        return None;
    }
    let sql = format!("SELECT * FROM {} WHERE {condition}", record.table);
    let input = summary::input_arguments(common);
    Some(format!(
        "{} sql -x{input} {}",
        summary::program(),
        shell_quote(&sql)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_says_what_was_watched_and_what_was_not() {
        let at = |minute: i64| DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minute);
        let coverage = trailhound_detections::coverage::Coverage::new(at(0), at(90), &[(0, 30), (60, 89)]);
        let outcome = Outcome {
            alerts: Vec::new(),
            ran: vec![trailhound_detections::Ran {
                rule: "one".into(),
                findings: 0,
                alerts: 0,
                remark: Some("still learning".into()),
            }],
            not_run: vec![trailhound_detections::NotRun {
                rule: "two".into(),
                why: "needs vpc_flow".into(),
            }],
            failed: Vec::new(),
            covered: BTreeMap::from([("cloudtrail".to_owned(), coverage)]),
        };
        assert_eq!(
            verdict(&outcome, &[]),
            [
                "nothing found by 1 rule",
                "  cloudtrail watched from 1970-01-01 00:00:00Z to 1970-01-01 01:30:00Z: 90 minutes, 29 of them in 1 gap \
                 without any event",
                "  not run: two (needs vpc_flow)",
                "  one: still learning",
            ]
        );
    }

    #[test]
    fn a_rule_that_was_asked_for_shows_all_that_it_finds() {
        let rule = ["net-beacon".to_owned()];
        assert_eq!(least_shown(None, &[]), Severity::Low);
        assert_eq!(least_shown(None, &rule), Severity::Informational);
        assert_eq!(least_shown(Some(Severity::High), &rule), Severity::High);
    }

    #[test]
    fn the_form_follows_the_name() {
        let of = |name: &str| choose(None, Some(Path::new(name)));
        assert_eq!(of("a.json").unwrap(), Format::Json);
        assert!(
            of("a.parquet")
                .unwrap_err()
                .to_string()
                .contains("not written as parquet")
        );
    }
}
