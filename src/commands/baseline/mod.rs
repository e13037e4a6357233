//! `trailhound baseline`: what is normal, learnt from the lake, shown, compared, explained and approved.

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use trailhound_detections::baseline::books::{self, Approval, InForce, Version};
use trailhound_detections::baseline::{Definition, read};
use trailhound_lake::Lake;
use trailhound_query::{Options, Session};

use crate::failure::Failure;
use crate::lakes::Where;
use crate::text::visible;
use crate::when::{show_bytes, show_count};

mod approve;
mod build;
mod diff;
mod explain;
mod list;
mod plots;
mod propose;
mod report;
mod show;

const EXAMPLES: &str = "\
Examples:
  Learn from what the lake has; once a day, from cron or a systemd timer:
    $ trailhound baseline build

  Leave out the hours in which something was wrong:
    $ trailhound baseline build --alerts alerts.ndjson

  What is there, and since when?
    $ trailhound baseline list

  What is normal for one service: whom it calls, on which ports, how much at which hour?
    $ trailhound baseline show web

  Why would half a gigabyte at that hour be unusual?
    $ trailhound baseline explain web bytes_out --at 2026-11-17T03:00Z --value 500MB

  What did a week change?
    $ trailhound baseline diff 7 14

  Say that someone looked at it, and keep rules at it:
    $ trailhound baseline approve 14 --name 'Ada Roth' --reason 'Review of November' --freeze

  Profiles of services, to be read, corrected and given to `detect`:
    $ trailhound baseline propose --output profiles.csv

  Evidence for an auditor, in one file:
    $ trailhound baseline report --output baselines.html";

/// Arguments of `trailhound baseline`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with baselines.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Learn from the days of the lake that have news, and make a version of it
    Build(build::Args),
    /// Show the baselines in force, their versions and approvals
    List(list::Args),
    /// Show what is normal for a workload or principal, or which there are
    Show(show::Args),
    /// Show what changed from one version to another
    Diff(diff::Args),
    /// Show what a value is compared with, and how unusual it is
    Explain(explain::Args),
    /// Approve a version with name and reason; freeze it, or release it again
    Approve(approve::Args),
    /// Propose service profiles, as CSV, from the connections that were learnt
    Propose(propose::Args),
    /// Write the evidence: one HTML or Markdown file
    Report(report::Args),
}

/// Does it.
///
/// # Errors
/// There is no lake, it cannot be reached, or an argument makes no sense.
pub async fn run(args: Args) -> Result<ExitCode> {
    match args.action {
        Action::Build(args) => build::run(args).await,
        Action::List(args) => list::run(args).await,
        Action::Show(args) => show::run(args).await,
        Action::Diff(args) => diff::run(args).await,
        Action::Explain(args) => explain::run(args).await,
        Action::Approve(args) => approve::run(args).await,
        Action::Propose(args) => propose::run(args).await,
        Action::Report(args) => report::run(args).await,
    }
}

/// The lake and what is known of its baselines.
struct Opened {
    lake: Lake,
    session: Session,
    definitions: Vec<Definition>,
    versions: Vec<Version>,
    approvals: Vec<Approval>,
    in_force: InForce,
}

impl Opened {
    /// The version of a baseline that is in force at `version`, or now.
    fn version_of(&self, definition: &Definition, at: Option<i64>) -> Option<i64> {
        match at {
            None => self.in_force.versions.get(definition.name).copied(),
            Some(at) => self
                .versions
                .iter()
                .filter(|version| version.baseline == definition.name && version.version <= at)
                .map(|version| version.version)
                .max(),
        }
    }

    /// What one version of one baseline came to.
    fn facts(&self, definition: &Definition, version: i64) -> Option<&Version> {
        self.versions
            .iter()
            .find(|known| known.baseline == definition.name && known.version == version)
    }

    /// The definitions that were asked for, or all.
    fn selected(&self, names: &[String]) -> Result<Vec<Definition>> {
        match names {
            [] => Ok(self.definitions.clone()),
            names => Ok(names
                .iter()
                .map(|name| Definition::named(name))
                .collect::<Result<_, _>>()?),
        }
    }

    /// A version that was built and whose rows are still there.
    ///
    /// # Errors
    /// There is no such version, or no longer.
    async fn existing(&self, version: i64) -> Result<()> {
        let mut numbers: Vec<i64> = self.versions.iter().map(|version| version.version).collect();
        numbers.dedup();
        if !numbers.contains(&version) {
            let failure = Failure::wrong_use(format!("there is no version {version} of the baselines"));
            return Err(match (numbers.first(), numbers.last()) {
                (Some(first), Some(last)) => failure.with_help(format!(
                    "versions {first} to {last} were built; `trailhound baseline list --versions` shows them"
                )),
                _ => failure.with_help("none was built yet: `trailhound baseline build`"),
            }
            .into());
        }
        let kept = books::kept(&self.lake, &self.versions).await?;
        if !kept.contains(&version) {
            let first = kept.first().map_or(String::new(), |first| {
                format!("; the oldest that is kept is {first}")
            });
            let failure = Failure::wrong_use(format!(
                "version {version} is gone: it was built, but its rows are no longer kept"
            ));
            return Err(failure
                .with_help(format!(
                    "approve versions that are to be kept while they are there{first}"
                ))
                .into());
        }
        Ok(())
    }
}

async fn open(at: &Where) -> Result<Opened> {
    let (_, place) = at.place()?;
    let lake = place.read().await?;
    let session = Session::open(Options {
        lake: Some(lake.clone()),
        endpoint_url: at.endpoint_url.clone(),
        ..Options::default()
    })
    .await?;
    let versions = books::versions(&session).await?;
    let approvals = books::approvals(&session).await?;
    Ok(Opened {
        in_force: InForce::of(&versions, &approvals),
        lake,
        session,
        definitions: Definition::all()?,
        versions,
        approvals,
    })
}

/// Fails if nothing was built yet.
fn need_versions(opened: &Opened) -> Result<()> {
    if opened.versions.is_empty() {
        return Err(Failure::wrong_use("nothing was learnt from this lake yet")
            .with_help("`trailhound baseline build` does")
            .into());
    }
    Ok(())
}

/// The entity that a name means: itself, or the only one that has it in its name.
///
/// # Errors
/// There is none, or there are several.
async fn entity_named(
    opened: &Opened,
    definitions: &[Definition],
    at: Option<i64>,
    name: &str,
) -> Result<String> {
    let mut known = std::collections::BTreeSet::new();
    for definition in definitions {
        if let Some(version) = opened.version_of(definition, at) {
            let entities = read::entities(&opened.session, definition, version).await?;
            known.extend(entities.into_iter().map(|entity| entity.name));
        }
    }
    if known.contains(name) {
        return Ok(name.to_owned());
    }
    let near: Vec<&String> = known.iter().filter(|entity| entity.contains(name)).collect();
    if let [only] = near[..] {
        return Ok(only.clone());
    }
    let failure = Failure::wrong_use(format!("nothing was learnt about {}", visible(name)));
    let shown: Vec<_> = near.iter().take(8).map(|entity| visible(entity)).collect();
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    Err(
        match (shown.is_empty(), trailhound_query::error::nearest(name, &names)) {
            (false, _) => failure.with_help(format!("it could be {}", shown.join(", "))),
            (true, Some(near)) => failure.with_help(format!("did you mean {}?", visible(near))),
            (true, None) => failure.with_help("`trailhound baseline show` lists all that there is"),
        }
        .into(),
    )
}

/// An amount in the terms of its measure.
fn amount(definition: &Definition, measure: &str, value: f64) -> String {
    let shown = definition
        .measures
        .get(measure)
        .and_then(|measure| measure.shown.as_deref());
    match shown {
        Some("bytes") => show_bytes(value as u64),
        _ if value.fract() == 0.0 && value < 1e15 => show_count(value as u64),
        _ if value < 1e15 => format!("{value:.2}"),
        _ => format!("{value:.1e}"),
    }
}

/// A day, as people write it.
fn day(time: Option<DateTime<Utc>>) -> String {
    time.map_or("-".to_owned(), |time| time.format("%Y-%m-%d").to_string())
}

/// An hour of the week in words.
fn hour_name(hour: i64) -> String {
    const DAYS: [&str; 7] = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    let day = DAYS[(hour.rem_euclid(168) / 24) as usize];
    format!("{day} {:02}:00", hour.rem_euclid(24))
}
