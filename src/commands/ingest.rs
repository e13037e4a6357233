//! `trailhound ingest`: sources into the lake, once or for good.

mod live;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::task::JoinSet;
use trailhound_ingest::formats::{FORMATS, format_named};
use trailhound_lake::{Lake, State, WriterSettings};
use trailhound_pipeline::{Settings, Watch};
use trailhound_query::{Error, ErrorKind};
use trailhound_sources::{Resume, SourceAddress, SourceOptions};

use crate::cli::OptionArg;
use crate::config::{Config, SourceSection};
use crate::failure::{Exit, Failure};
use crate::interrupt;
use crate::lakes::Place;
use crate::when::{self, When};

use live::Live;

const EXAMPLES: &str = "\
Examples:
  A folder of logs, copied as it lies in a bucket:
    $ trailhound ingest AWSLogs/

  A bucket, the last week, and what comes in from now on:
    $ trailhound ingest s3://org-logs/AWSLogs/ --since 7d --follow

  Objects that a queue announces, within seconds, into a lake on S3:
    $ trailhound ingest sqs://trail-notices --follow --lake s3://security-lake/trailhound

  All streams of a log group:
    $ trailhound ingest cwl:///ecs/web --since 24h

  What trailhound.toml lists:
    $ trailhound ingest --config trailhound.toml";

/// Memory for rows that are on their way, unless said otherwise.
const MEMORY_BYTES_DEFAULT: usize = 384 << 20;

/// Runs of rows that a writer holds: one that fills and those that are encoded.
const RUNS_A_WRITER: usize = 3;

/// First wait before a source that failed is opened again; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// Arguments of `trailhound ingest`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// A path, -, s3://BUCKET/PREFIX, sqs://QUEUE or cwl://GROUP [default: those of the configuration]
    #[arg(value_name = "SOURCE")]
    pub source: Vec<String>,

    /// The lake, a folder or an s3:// URL [default: ./lake]
    #[arg(long, value_name = "WHERE")]
    pub lake: Option<String>,

    /// Folder that remembers what was taken [default: beside the lake]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Go on as more comes in, until Ctrl-C
    #[arg(long)]
    pub follow: bool,

    /// The table that all objects belong to [default: recognised by name and content]
    #[arg(long, value_name = "TABLE", value_parser = table)]
    pub table: Option<&'static str>,

    /// Set an option of a table's format, such as vpc_flow.fields='srcaddr dstaddr bytes'
    #[arg(long, value_name = "TABLE.NAME=VALUE", value_parser = crate::cli::parse_option)]
    pub option: Vec<OptionArg>,

    /// Only objects and events from this moment on, as far as their names and times tell
    ///
    /// A duration back from now (90m, 24h, 7d, 1d12h), a date (2026-11-01) or a time
    /// (2026-11-01T00:00, 2026-11-01T00:00:00Z, RFC 3339). UTC unless it says otherwise.
    #[arg(long, value_name = "TIME")]
    pub since: Option<When>,

    /// Only objects and events before this moment; written as for --since
    #[arg(long, value_name = "TIME")]
    pub until: Option<When>,

    /// Most requests a second to CloudWatch Logs
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,

    /// Take CloudWatch events as they come in by live tail: quicker, but lines may be left out
    #[arg(long)]
    pub live_tail: bool,

    /// Endpoint of AWS-compatible services, in place of AWS's own
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,

    /// Settings, and sources when none is named [default: trailhound.toml if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Memory for rows that are on their way [default: 384MiB]
    #[arg(long, value_name = "SIZE", value_parser = when::size)]
    pub memory: Option<usize>,

    /// Exit with 3 if any record was rejected, or any object skipped
    #[arg(long)]
    pub strict: bool,

    /// Leave out progress and the report at the end; errors are still shown
    #[arg(long, short)]
    pub quiet: bool,
}

fn table(text: &str) -> Result<&'static str, String> {
    format_named(text).map(|format| format.name()).ok_or_else(|| {
        let names: Vec<&str> = FORMATS.iter().map(|format| format.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

/// One source, with all that was said of it.
#[derive(Debug, Clone)]
struct Job {
    /// As it was written; positions go by it.
    name: String,
    address: SourceAddress,
    options: SourceOptions,
    settings: Settings,
}

/// Takes in all sources, each on its own.
///
/// # Errors
/// An argument makes no sense, or the lake or its state cannot be had.
pub async fn run(args: Args) -> Result<ExitCode> {
    crate::memory::keep_buffers();
    let config = Config::load(args.config.as_deref())?;
    let jobs = jobs(&args, &config)?;
    let place = Place::of(args.lake.as_deref(), args.endpoint_url.as_deref(), &config);
    let folder = args.state.clone().or(config.lake.state.clone());
    let state = Arc::new(State::open(&folder.unwrap_or_else(|| place.state()))?);
    let lake = place.write().await?;
    let started = Instant::now();
    let (stop, stopping) = watch::channel(false);
    let mut live = Live::start(&jobs, args.quiet);
    let mut running = JoinSet::new();
    let mut watches = Vec::new();
    for job in jobs {
        let watch = Arc::new(Watch::default());
        live.add(job.name.clone(), Arc::clone(&watch));
        watches.push((job.name.clone(), Arc::clone(&watch)));
        let (lake, state, stopping) = (lake.clone(), Arc::clone(&state), stopping.clone());
        running.spawn(async move {
            let outcome = follow(&job, &lake, &state, &watch, stopping).await;
            (job.name.clone(), outcome)
        });
    }
    let mut failures = Vec::new();
    let mut interrupted = false;
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                None => break,
                Some(Ok((_, Ok(())))) => {}
                Some(Ok((source, Err(error)))) => {
                    tracing::error!(source, error = error.message(), "the source ended");
                    failures.push(error);
                }
                Some(Err(error)) => return Err(error.into()),
            },
            () = asked_to_stop() => {
                if interrupted {
                    // Twice: at once. The next run finishes what is under way.
                    live.stop();
                    return Ok(Exit::Interrupted.into());
                }
                interrupted = true;
                tracing::info!("finishing the batch under way; once more to stop at once");
                let _ = stop.send(true);
            }
        }
    }
    live.stop();
    Ok(report::end(&args, &place, &watches, failures, started.elapsed()))
}

/// Ctrl-C, or the signal by which service managers stop a program.
async fn asked_to_stop() {
    let terminated = async {
        #[cfg(unix)]
        if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            signal.recv().await;
            return;
        }
        std::future::pending().await
    };
    tokio::select! {
        () = interrupt::heard() => {}
        () = terminated => {}
    }
}

/// Takes a source in; one that is followed is opened again after a fault.
async fn follow(
    job: &Job,
    lake: &Lake,
    state: &Arc<State>,
    watch: &Arc<Watch>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Error> {
    let mut wait = RETRY_FIRST;
    loop {
        let began = Instant::now();
        let error = match take_in(job, lake, state, watch, stopping.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let passing = error.kind() == ErrorKind::Unreachable;
        if !job.options.follow || !passing || *stopping.borrow() {
            return Err(error);
        }
        if began.elapsed() > RETRY_LAST {
            wait = RETRY_FIRST;
        }
        tracing::warn!(
            source = job.name,
            error = error.message(),
            wait_s = wait.as_secs(),
            "opening it again"
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stopping.wait_for(|stop| *stop) => return Err(error),
        }
        wait = (wait * 2).min(RETRY_LAST);
    }
}

async fn take_in(
    job: &Job,
    lake: &Lake,
    state: &Arc<State>,
    watch: &Arc<Watch>,
    stopping: watch::Receiver<bool>,
) -> Result<(), Error> {
    // Unfinished batches first: they may move the position.
    trailhound_lake::recover(lake, state, &job.name).await?;
    let resumed = state.resume(&job.name)?;
    let resume = Resume {
        position: resumed.position,
        recent: resumed
            .recent
            .into_iter()
            .map(|(key, time)| trailhound_sources::Recent { key, time })
            .collect(),
    };
    let source = trailhound_sources::open(&job.name, &job.options, resume).await?;
    trailhound_pipeline::run(source.into(), lake, state, &job.settings, watch, stopping).await
}

/// The sources of the command line, or of the configuration.
fn jobs(args: &Args, config: &Config) -> Result<Vec<Job>> {
    let named: Vec<SourceSection> = args
        .source
        .iter()
        .map(|address| SourceSection {
            address: address.clone(),
            table: None,
            follow: args.follow,
            options: BTreeMap::new(),
        })
        .collect();
    let sections = match named.is_empty() {
        true => config.source.clone(),
        false => named,
    };
    if sections.is_empty() {
        return Err(Failure::wrong_use("there is nothing to take in")
            .with_help("name a source, such as s3://BUCKET/PREFIX, or list some in trailhound.toml")
            .into());
    }
    let now = Utc::now();
    let (since, until) = (
        moment("--since", args.since, now)?,
        moment("--until", args.until, now)?,
    );
    let memory = match (&args.memory, &config.ingest.memory) {
        (Some(bytes), _) => *bytes,
        (None, Some(text)) => when::size(text)
            .map_err(|error| Failure::wrong_use(format!("ingest.memory = {text:?}: {error}")))?,
        (None, None) => MEMORY_BYTES_DEFAULT,
    };
    let writer = writer_settings(memory, sections.len());
    let mut jobs: Vec<Job> = Vec::new();
    for section in sections {
        let address = SourceAddress::parse(&section.address)?;
        let name = section.address.clone();
        if jobs.iter().any(|job| job.address == address) {
            let message = format!("{name} is named twice");
            return Err(Failure::wrong_use(message).into());
        }
        let options = SourceOptions {
            follow: section.follow || args.follow,
            since,
            until,
            endpoint_url: args
                .endpoint_url
                .clone()
                .or_else(|| config.aws.endpoint_url.clone()),
            rate: args.rate.or(config.ingest.rate),
            live_tail: args.live_tail,
            ..SourceOptions::default()
        };
        let own = section.table.as_deref().map(table).transpose();
        let own = own.map_err(|error| {
            Failure::wrong_use(format!("source {name}: no table {:?}: {error}", section.table))
        })?;
        let mut settings = Settings {
            table: args.table.or(own),
            writer,
            ..Settings::default()
        };
        if options.follow {
            settings = settings.following();
        }
        if let Some(rows) = config.ingest.batch_rows {
            settings.batch_rows_max = rows.max(1);
        }
        if let Some(age) = &config.ingest.batch_age {
            let age = when::duration(age).and_then(|age| age.to_std().ok());
            settings.batch_age_max = age.ok_or_else(|| {
                Failure::wrong_use(format!(
                    "ingest.batch_age = {:?}: expected a duration such as 60s",
                    config.ingest.batch_age
                ))
            })?;
        }
        for option in &args.option {
            let key = (option.table.clone(), option.name.clone());
            settings.format_options.insert(key, option.value.clone());
        }
        for (name, value) in section.options {
            let Some(table) = settings.table else {
                let message = format!("source {name}: options need its table");
                return Err(Failure::wrong_use(message)
                    .with_help("say which with table = \"...\"")
                    .into());
            };
            settings.format_options.insert((table.to_owned(), name), value);
        }
        check_options(&settings)?;
        jobs.push(Job {
            name,
            address,
            options,
            settings,
        });
    }
    Ok(jobs)
}

/// Options that make no sense are refused before anything is read.
fn check_options(settings: &Settings) -> Result<(), Failure> {
    let tables: std::collections::BTreeSet<&str> = settings
        .format_options
        .keys()
        .map(|(table, _)| table.as_str())
        .collect();
    for name in tables {
        let Some(format) = format_named(name) else {
            return Err(Failure::wrong_use(format!(
                "--option {name}...: there is no log format {name}"
            )));
        };
        let setup = trailhound_ingest::formats::Setup {
            options: settings.options_of(name),
            ..trailhound_ingest::formats::Setup::whole(format, "")
        };
        format
            .parser(setup)
            .map_err(|error| Failure::wrong_use(error.to_string()))?;
    }
    Ok(())
}

/// How rows are held, so that all sources together stay within `memory` bytes.
fn writer_settings(memory: usize, sources: usize) -> WriterSettings {
    let default = WriterSettings::default();
    let share = memory / sources.max(1) / RUNS_A_WRITER;
    WriterSettings {
        run_bytes_max: share.clamp(4 << 20, default.run_bytes_max),
        ..default
    }
}

fn moment(name: &str, when: Option<When>, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Failure> {
    match when.map(|when| when.resolve(now)) {
        Some(None) => Err(Failure::wrong_use(format!(
            "{name} lies before the calendar begins"
        ))),
        Some(moment) => Ok(moment),
        None => Ok(None),
    }
}
