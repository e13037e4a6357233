//! `detect --job`: a scheduled run goes on where the last one ended, and says nothing twice.
//!
//! What is new is told by when it was taken in, not by its own time: an object that arrives a day late
//! is looked at, too. A rule looks back from the earliest new event by its window, so it meets records
//! that it has judged before; an alert whose episode was told is left out unless it became worse.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use trailhound_detections::{Alert, Asked, Outcome, Rule, Severity, evaluate};
use trailhound_query::Session;

use super::by_severity;
use crate::cli::Common;
use crate::commands::rules::failure;
use crate::config::Config;
use crate::failure::Failure;
use crate::lakes::Place;
use crate::lock;
use crate::summary::plural;
use crate::when::{When, show_count, show_time};

/// Clocks of several ingesters may differ so much, and a commit may follow the reading so late. What
/// was taken in within this time before the last run's latest is looked at again.
const SLACK: TimeDelta = TimeDelta::minutes(10);

/// How long an episode is remembered after its last record.
const TOLD_DAYS: i64 = 60;

/// Form of the file that remembers.
const FORMAT: u32 = 1;

/// What a job remembers.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    format: u32,
    /// By rule.
    rules: BTreeMap<String, Seen>,
    /// By rule and entity.
    told: BTreeMap<String, BTreeMap<String, Told>>,
}

/// How far a rule has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Latest moment at which something was taken in that it has looked at, microseconds since the epoch.
    taken_in: i64,
    /// Latest event that it has looked at, likewise.
    event: i64,
}

/// An episode that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    last_seen: DateTime<Utc>,
    severity: Severity,
}

/// A job and its lock.
#[derive(Debug)]
pub struct Job {
    name: String,
    path: PathBuf,
    state: State,
    _lock: File,
}

/// What was taken in since some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct News {
    first_event: i64,
    last_event: i64,
    taken_in: i64,
}

/// What came of a job's run.
pub struct Run {
    /// Of all rules that were due, with the alerts that were not told before.
    pub outcome: Outcome,
    /// Alerts that were.
    pub known: usize,
    /// Alerts below the least severity that is wanted.
    pub hidden: usize,
    /// Rules that were due, and that there are.
    pub due: (usize, usize),
    /// The events that were looked at because they, or what followed them, are new.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Job {
    /// Opens the job of this name beside the lake, and takes its lock.
    ///
    /// # Errors
    /// The name is no name, another run is under way, or its file cannot be read.
    pub fn open(name: &str, common: &Common) -> Result<Self> {
        let config = Config::load(common.config.as_deref())?;
        if common.since.is_some() || common.until.is_some() {
            return Err(
                Failure::wrong_use("--job knows what is new; --since and --until say otherwise")
                    .with_help("leave them out, or leave --job out")
                    .into(),
            );
        }
        let place = Place::of(common.lake.as_deref(), common.endpoint_url.as_deref(), &config);
        let folder = config.lake.state.clone().unwrap_or_else(|| place.state());
        Job::open_in(&folder, name)
    }

    fn open_in(folder: &Path, name: &str) -> Result<Self> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
            return Err(Failure::wrong_use(
                "a job's name has up to 64 letters, digits, - and _, and no others",
            )
            .into());
        }
        let lock = lock::take(&folder.join(format!("detect-{name}.lock")), "run of this job")?;
        let path = folder.join(format!("detect-{name}.json"));
        let state = match std::fs::read(&path) {
            Ok(bytes) => read(&path, &bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error).with_context(|| format!("{}: reading the job", path.display())),
        };
        Ok(Job {
            name: name.to_owned(),
            path,
            state,
            _lock: lock,
        })
    }

    /// Runs the rules that are due over what is new, for alerts of at least some severity.
    ///
    /// # Errors
    /// There is no lake, it cannot be read, or a rule fails.
    pub async fn run(&mut self, rules: &[&Rule], least: Severity, common: &Common) -> Result<Run> {
        let session = crate::commands::open(common).await?;
        if !session.raw_tables().is_empty() || session.lake_tables().is_empty() {
            return Err(Failure::wrong_use("a job looks at what came into a lake")
                .with_help("fill one with `trailhound ingest`, and name it with --lake; --from is for tables that you declare")
                .into());
        }
        let mut news: BTreeMap<Option<i64>, Option<News>> = BTreeMap::new();
        let mut groups: BTreeMap<i64, Vec<&Rule>> = BTreeMap::new();
        let mut run = Run {
            outcome: Outcome {
                alerts: Vec::new(),
                ran: Vec::new(),
                not_run: Vec::new(),
                failed: Vec::new(),
                covered: BTreeMap::new(),
            },
            known: 0,
            hidden: 0,
            due: (0, rules.len()),
            span: None,
        };
        let mut reached: Vec<(&str, Seen)> = Vec::new();
        for &rule in rules {
            let seen = self.state.rules.get(&rule.id).copied();
            let after = seen.map(|seen| seen.taken_in);
            let found = match news.get(&after) {
                Some(known) => *known,
                None => *news.entry(after).or_insert(news_after(&session, after).await?),
            };
            let Some(found) = found.filter(|found| is_due(rule, seen, found)) else {
                continue;
            };
            let back = rule.window.unwrap_or_default().num_microseconds().unwrap_or(0);
            let since = found.first_event.saturating_sub(back);
            groups.entry(since).or_default().push(rule);
            let time = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap_or_default();
            let (first, last) = (time(found.first_event), time(found.last_event));
            let span = run.span.get_or_insert((first, last));
            *span = (span.0.min(first), span.1.max(last));
            reached.push((
                &rule.id,
                Seen {
                    taken_in: found.taken_in,
                    event: found.last_event,
                },
            ));
        }
        run.due.0 = reached.len();
        drop(session);
        for (since, rules) in groups {
            let since = DateTime::from_timestamp_micros(since).unwrap_or_default();
            let common = Common {
                since: Some(When::At(since)),
                ..common.clone()
            };
            let session = crate::commands::open(&common).await?;
            let asked = Asked {
                since: Some(since),
                until: None,
            };
            let outcome = evaluate::run(&session, &rules, asked).await.map_err(failure)?;
            let quiet: BTreeMap<&str, TimeDelta> =
                rules.iter().map(|rule| (rule.id.as_str(), rule.quiet)).collect();
            for alert in outcome.alerts {
                let quiet = quiet.get(alert.rule.as_str()).copied().unwrap_or_default();
                if alert.severity < least {
                    run.hidden += 1;
                } else if self.is_news(&alert, quiet) {
                    run.outcome.alerts.push(alert);
                } else {
                    run.known += 1;
                }
            }
            run.outcome.ran.extend(outcome.ran);
            run.outcome.not_run.extend(outcome.not_run);
            run.outcome.failed.extend(outcome.failed);
            run.outcome.covered.extend(outcome.covered);
        }
        trailhound_detections::alert::sort(&mut run.outcome.alerts);
        // A rule that broke off has seen nothing: the next run gives it the same once more.
        let failed: BTreeSet<&str> = run.outcome.failed.iter().map(|failed| &*failed.rule).collect();
        for (rule, seen) in reached.into_iter().filter(|(rule, _)| !failed.contains(rule)) {
            self.state.rules.insert(rule.to_owned(), seen);
        }
        Ok(run)
    }

    /// Whether an alert was not told before, or is worse than what was told. It counts as told from now on.
    fn is_news(&mut self, alert: &Alert, quiet: TimeDelta) -> bool {
        let told = self.state.told.entry(alert.rule.clone()).or_default();
        let now = Told {
            last_seen: alert.last_seen,
            severity: alert.severity,
        };
        match told.get_mut(&alert.entity.id) {
            // Windows cut episodes, so the same one may begin at another moment in each run.
            Some(before) if alert.first_seen <= before.last_seen + quiet => {
                let is_worse = now.severity > before.severity;
                before.last_seen = before.last_seen.max(now.last_seen);
                before.severity = before.severity.max(now.severity);
                is_worse
            }
            _ => {
                told.insert(alert.entity.id.clone(), now);
                true
            }
        }
    }

    /// Remembers what was done. Whatever was not told before this may be told twice, but not lost.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(mut self) -> Result<()> {
        let latest = self.state.rules.values().map(|seen| seen.event).max();
        if let Some(latest) = latest.and_then(DateTime::from_timestamp_micros) {
            let oldest = latest - TimeDelta::days(TOLD_DAYS);
            for told in self.state.told.values_mut() {
                told.retain(|_, told| told.last_seen >= oldest);
            }
            self.state.told.retain(|_, told| !told.is_empty());
        }
        self.state.format = FORMAT;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let write = || -> Result<()> {
            let mut file = NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut file, &self.state)?;
            file.flush()?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            File::open(folder)?.sync_all()?;
            Ok(())
        };
        write().with_context(|| format!("{}: keeping the state of the job", self.path.display()))
    }

    /// One line about a run, fit for the subject of a mail.
    pub fn summary(&self, run: &Run, took: std::time::Duration) -> String {
        let mut parts = vec![format!(
            "job {}: {}{}",
            self.name,
            plural(run.outcome.alerts.len() as u64, "new alert"),
            match run.outcome.alerts.is_empty() {
                true => String::new(),
                false => format!(" ({})", by_severity(&run.outcome.alerts)),
            }
        )];
        if run.hidden > 0 {
            parts.push(format!("{} not shown", show_count(run.hidden as u64)));
        }
        if run.known > 0 {
            parts.push(format!("{} told before", show_count(run.known as u64)));
        }
        match run.span {
            Some((first, last)) => {
                parts.push(format!("events {} to {}", show_time(&first), show_time(&last)));
                parts.push(format!(
                    "{} of {} due",
                    run.due.0,
                    plural(run.due.1 as u64, "rule")
                ));
                if !run.outcome.not_run.is_empty() {
                    parts.push(format!("{} not run", run.outcome.not_run.len()));
                }
                if !run.outcome.failed.is_empty() {
                    parts.push(format!("{} FAILED", run.outcome.failed.len()));
                }
            }
            None => parts.push("nothing new came in".to_owned()),
        }
        parts.push(crate::when::show_duration(took));
        parts.join("; ")
    }
}

fn is_due(rule: &Rule, seen: Option<Seen>, found: &News) -> bool {
    let every = rule.every.unwrap_or_default().num_microseconds().unwrap_or(0);
    // News of the past are due at once: the clock of events has passed them already.
    seen.is_none_or(|seen| found.last_event - seen.event >= every || found.last_event <= seen.event)
}

/// What came in after a moment, as `coverage` has it; none if nothing did.
async fn news_after(session: &Session, after: Option<i64>) -> Result<Option<News>> {
    if !session.lake_tables().contains_key("coverage") {
        return Ok(None);
    }
    let slack = SLACK.num_microseconds().unwrap_or(0);
    let (from, beyond) = match after {
        Some(after) => (after.saturating_sub(slack), after),
        None => (i64::MIN / 2, i64::MIN / 2),
    };
    let sql = format!(
        "SELECT min(coalesce(first_event, event_time)) AS first_event, max(coalesce(last_event, event_time)) AS last_event, \
         max(_ingested_at) AS taken_in FROM coverage \
         WHERE CAST(_ingested_at AS BIGINT) > {from}"
    );
    for batch in session.query(&sql).await?.collect().await? {
        let value = |name: &str| {
            let column = batch[name].as_primitive::<TimestampMicrosecondType>();
            (batch.num_rows() > 0 && column.is_valid(0)).then(|| column.value(0))
        };
        if let (Some(first_event), Some(last_event), Some(taken_in)) =
            (value("first_event"), value("last_event"), value("taken_in"))
        {
            // Within the slack, but nothing later: what was there is still all there is.
            return Ok((taken_in > beyond).then_some(News {
                first_event,
                last_event,
                taken_in,
            }));
        }
    }
    Ok(None)
}

fn read(path: &Path, bytes: &[u8]) -> Result<State> {
    let state: State = serde_json::from_slice(bytes).map_err(|error| {
        Failure::wrong_use(format!("{}: this is no state of a job: {error}", path.display()))
            .with_help("restore it, or remove it: then the job begins anew and tells everything once more")
    })?;
    if state.format > FORMAT {
        return Err(Failure::wrong_use(format!(
            "{}: a newer trailhound wrote it, in form {}; this one knows {FORMAT}",
            path.display(),
            state.format
        ))
        .with_help("use that version")
        .into());
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(entity: &str, first: i64, last: i64, severity: Severity) -> Alert {
        let entry = trailhound_detections::Catalog::embedded().unwrap();
        let rules = entry.select(&["net-beacon".to_owned()]).unwrap();
        let at = |hour: i64| DateTime::UNIX_EPOCH + TimeDelta::hours(hour);
        let finding = trailhound_detections::alert::Finding {
            first_seen: at(first),
            last_seen: at(last),
            count: 1,
            severity,
            risk: 1,
            entity: vec![entity.to_owned()],
            message: String::new(),
            impact: serde_json::Map::new(),
            records: Vec::new(),
            sample: serde_json::Map::new(),
        };
        let coverage = trailhound_detections::coverage::Coverage::new(at(first), at(last), &[]);
        Alert::new(&rules[0].rule, finding, coverage)
    }

    #[test]
    fn an_episode_is_told_once_and_again_only_when_it_is_worse() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = Job::open_in(folder.path(), "night").unwrap();
        let quiet = TimeDelta::hours(2);
        assert!(job.is_news(&alert("a", 0, 5, Severity::Low), quiet));
        assert!(job.is_news(&alert("b", 0, 5, Severity::Low), quiet));
        // The same episode, as a later window cuts it.
        assert!(!job.is_news(&alert("a", 4, 7, Severity::Low), quiet));
        assert!(job.is_news(&alert("a", 6, 8, Severity::High), quiet));
        assert!(!job.is_news(&alert("a", 9, 9, Severity::Medium), quiet));
        // After more than the quiet time it is another one.
        assert!(job.is_news(&alert("a", 12, 12, Severity::Low), quiet));
    }

    #[test]
    fn what_was_told_is_remembered_by_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = Job::open_in(folder.path(), "night").unwrap();
        let error = Job::open_in(folder.path(), "night").unwrap_err();
        assert!(error.to_string().contains("another run of this job"), "{error}");
        assert!(job.is_news(&alert("a", 0, 5, Severity::Low), TimeDelta::zero()));
        job.keep().unwrap();
        let mut job = Job::open_in(folder.path(), "night").unwrap();
        assert!(!job.is_news(&alert("a", 1, 5, Severity::Low), TimeDelta::zero()));
        // Another job has a memory of its own.
        let mut other = Job::open_in(folder.path(), "day").unwrap();
        assert!(other.is_news(&alert("a", 1, 5, Severity::Low), TimeDelta::zero()));
    }

    #[test]
    fn names_and_files_that_are_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Job::open_in(folder.path(), "../x").is_err());
        std::fs::write(folder.path().join("detect-a.json"), "{").unwrap();
        let error = Job::open_in(folder.path(), "a").unwrap_err();
        assert!(error.to_string().contains("no state of a job"), "{error}");
        std::fs::write(
            folder.path().join("detect-b.json"),
            r#"{"format":2,"rules":{},"told":{}}"#,
        )
        .unwrap();
        let error = Job::open_in(folder.path(), "b").unwrap_err();
        assert!(error.to_string().contains("a newer trailhound"), "{error}");
    }
}
