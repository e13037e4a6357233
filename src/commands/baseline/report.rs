//! `trailhound baseline report`: evidence that a baseline of network operations and data flows exists and is
//! looked after (NIST CSF DE.AE-1), in one file that needs nothing else.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use trailhound_detections::baseline::books::{self, Approval, Version};
use trailhound_detections::baseline::read::{self, Difference, Row};
use trailhound_detections::baseline::{Definition, Kind};

use super::{Opened, Where};
use crate::failure::{Exit, Failure};
use crate::output::destination::Destination;
use crate::output::say;

mod html;
mod markdown;

/// Workloads of which the week is drawn.
const WEEKS_MAX: usize = 24;

/// Lines of each kind of change that are listed; the count is of all.
const CHANGES_MAX: usize = 100;

/// Arguments of `trailhound baseline report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file: .html or .md [default: Markdown on standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Compare with this version [default: that of the last report, else the oldest that is kept]
    #[arg(long, value_name = "N")]
    pub since: Option<i64>,

    /// Do not write down that a report was made, so that the next one compares with the same version
    #[arg(long)]
    pub dry_run: bool,

    /// Who makes the report
    #[arg(long, value_name = "NAME", default_value = "trailhound")]
    pub name: String,

    /// Where the lake lies.
    #[command(flatten)]
    pub at: Where,
}

/// One baseline of a report.
struct Part {
    definition: Definition,
    facts: Option<Version>,
    /// Rules' view of it changed so much since the version before.
    drift: Option<(i64, Difference)>,
    entities: usize,
}

/// One day of a report.
#[derive(Debug, Clone, Copy, Default)]
struct Coverage {
    seen: i64,
    blind: i64,
    excluded: i64,
}

/// Everything that a report says.
struct Report {
    made_at: DateTime<Utc>,
    lake: String,
    frozen: Option<i64>,
    latest: i64,
    since: Option<i64>,
    last_report: Option<Approval>,
    parts: Vec<Part>,
    coverage: BTreeMap<NaiveDate, Coverage>,
    approvals: Vec<Approval>,
    /// Rule, alerts, hours and entities.
    exceptions: Vec<(String, usize, usize, usize)>,
    /// Workload, measure, and its hours.
    weeks: Vec<(String, Vec<Row>)>,
}

/// Writes the report.
///
/// # Errors
/// Nothing was learnt yet, or the file cannot be written.
pub async fn run(args: Args) -> Result<ExitCode> {
    let ending = args
        .output
        .as_ref()
        .and_then(|path| path.extension())
        .map(|ending| ending.to_string_lossy().to_lowercase());
    let as_html = match (ending.as_deref(), &args.output) {
        (Some("html" | "htm"), _) => true,
        (Some("md"), _) | (None, None) => false,
        _ => {
            return Err(Failure::wrong_use("a report is written as HTML or Markdown")
                .with_help("give a name that ends in .html or .md")
                .into());
        }
    };
    let opened = super::open(&args.at).await?;
    super::need_versions(&opened)?;
    if let Some(since) = args.since {
        opened.existing(since).await?;
    }
    let report = gather(&opened, args.since).await?;
    let text = if as_html {
        html::page(&report)
    } else {
        markdown::text(&report)
    };
    let mut out = match &args.output {
        Some(file) => Destination::file(file)?,
        None => Destination::stdout(),
    };
    out.write_all(text.as_bytes())?;
    out.commit()?;
    if let Some(file) = &args.output {
        say(&format!(
            "{}: baselines of version {}",
            file.display(),
            report.latest
        ));
    }
    if !args.dry_run && args.output.is_some() {
        let approval = Approval {
            at: report.made_at,
            version: report.latest,
            action: "report".to_owned(),
            name: args.name.trim().to_owned(),
            reason: "a report was made".to_owned(),
        };
        books::say(&opened.lake, &approval).await?;
    }
    Ok(Exit::Done.into())
}

async fn gather(opened: &Opened, since: Option<i64>) -> Result<Report> {
    let last_report = opened
        .approvals
        .iter()
        .rfind(|approval| approval.action == "report")
        .cloned();
    let latest = opened.in_force.versions.values().copied().max().unwrap_or(0);
    let kept = books::kept(&opened.lake, &opened.versions).await?;
    let since = since
        .or(last_report.as_ref().map(|report| report.version))
        .or(kept.first().copied())
        .filter(|since| *since < latest);
    let mut parts = Vec::new();
    let mut weeks = Vec::new();
    for definition in &opened.definitions {
        let version = opened.version_of(definition, None);
        let facts = version
            .and_then(|version| opened.facts(definition, version))
            .cloned();
        let mut part = Part {
            definition: definition.clone(),
            entities: facts
                .as_ref()
                .map_or(0, |facts| facts.entities.unsigned_abs() as usize),
            facts,
            drift: None,
        };
        if let Some(version) = version {
            let rows = read::norms(&opened.session, definition, version, None).await?;
            let before = since.and_then(|since| opened.version_of(definition, Some(since)));
            if let Some(before) = before.filter(|before| *before < version && kept.contains(before)) {
                let old = read::norms(&opened.session, definition, before, None).await?;
                part.drift = Some((before, read::difference(&old, &rows)));
            }
            if definition.kind == Kind::Measured && definition.measures.contains_key("bytes_out") {
                weeks = busiest(rows, "bytes_out");
            }
        }
        parts.push(part);
    }
    let mut coverage: BTreeMap<NaiveDate, Coverage> = BTreeMap::new();
    for day in books::days(&opened.session).await?.into_values() {
        let entry = coverage.entry(day.day).or_default();
        entry.seen = entry.seen.max(day.hours_seen);
        entry.blind = entry.blind.max(day.hours_blind);
        entry.excluded += day.excluded;
    }
    Ok(Report {
        made_at: Utc::now().trunc_subsecs(0),
        lake: opened.lake.root().to_string(),
        frozen: opened.in_force.frozen,
        latest,
        since,
        last_report,
        parts,
        coverage,
        approvals: opened.approvals.clone(),
        exceptions: exceptions(opened).await?,
        weeks,
    })
}

/// The entities that have the highest median of an hour, with the rows of their week.
fn busiest(rows: Vec<Row>, measure: &str) -> Vec<(String, Vec<Row>)> {
    let mut by_entity: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows
        .into_iter()
        .filter(|row| row.measure == measure && row.subject.is_none())
    {
        by_entity.entry(row.entity.clone()).or_default().push(row);
    }
    let most = |rows: &[Row]| {
        rows.iter()
            .filter_map(|row| row.norm.as_ref())
            .map(|norm| norm.median)
            .fold(0.0, f64::max)
    };
    let mut sorted: Vec<(String, Vec<Row>)> = by_entity.into_iter().collect();
    sorted.sort_by(|a, b| most(&b.1).total_cmp(&most(&a.1)));
    sorted.truncate(WEEKS_MAX);
    sorted
}

async fn exceptions(opened: &Opened) -> Result<Vec<(String, usize, usize, usize)>> {
    use std::collections::BTreeSet;
    type Sets = (BTreeSet<String>, BTreeSet<i64>, BTreeSet<String>);
    let mut rules: BTreeMap<String, Sets> = BTreeMap::new();
    for (exception, _) in books::exceptions(&opened.session).await? {
        let (alerts, hours, entities) = rules.entry(exception.rule).or_default();
        alerts.insert(exception.alert);
        hours.insert(exception.hour);
        entities.insert(exception.entity);
    }
    Ok(rules
        .into_iter()
        .map(|(rule, (alerts, hours, entities))| (rule, alerts.len(), hours.len(), entities.len()))
        .collect())
}
