//! `trailhound baseline build`: brings what is normal up to date.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use trailhound_detections::baseline::exceptions::{self, Exception};
use trailhound_detections::baseline::{BuildOptions, Built, Definition, build};

use super::Where;
use crate::failure::{Exit, Failure};
use crate::lock;
use crate::output::destination::Destination;
use crate::output::say;
use crate::summary::plural;
use crate::when::{self, show_count, show_duration};

/// Largest file of alerts that is read.
const ALERTS_BYTES_MAX: u64 = 1 << 30;

/// Arguments of `trailhound baseline build`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the lake lies.
    #[command(flatten)]
    pub at: Where,

    /// Build this baseline only; may be given several times
    #[arg(long, value_name = "NAME")]
    pub baseline: Vec<String>,

    /// Alerts as `detect --format ndjson` writes them: their hours do not train (medium and above)
    #[arg(long, value_name = "FILE")]
    pub alerts: Vec<PathBuf>,

    /// Sample all days of the window anew, not only those with news
    #[arg(long)]
    pub anew: bool,

    /// Folder of the lock [default: beside the lake]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Memory that queries may use before they spill to disk or stop [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = when::size)]
    pub memory: Option<usize>,

    /// Say only the last line
    #[arg(long, short)]
    pub quiet: bool,
}

/// Builds.
///
/// # Errors
/// There is no lake, another build is under way, or a query fails.
pub async fn run(args: Args) -> Result<ExitCode> {
    let definitions = match args.baseline.as_slice() {
        [] => Definition::all()?,
        names => names
            .iter()
            .map(|name| Definition::named(name))
            .collect::<Result<_, _>>()?,
    };
    let exceptions = read_alerts(&args.alerts)?;
    let (config, place) = args.at.place()?;
    let lake = place.read().await?;
    let folder = args
        .state
        .clone()
        .or(config.lake.state.clone())
        .unwrap_or_else(|| place.state());
    let _lock = lock::take(&folder.join("baseline.lock"), "build")?;
    let mut options = BuildOptions {
        endpoint_url: place.endpoint_url.clone(),
        anew: args.anew,
        ..BuildOptions::default()
    };
    if let Some(bytes) = args.memory {
        options.memory_bytes = bytes;
    }
    let started = Instant::now();
    let quiet = args.quiet;
    let told = |day: chrono::NaiveDate, number: usize, total: usize| {
        if !quiet {
            say(&format!("{day}: sampling, {number} of {total}"));
        }
    };
    let built = tokio::select! {
        built = build(&lake, &definitions, &exceptions, &options, told) => built?,
        () = crate::interrupt::heard() => {
            say("stopped; the days that were sampled are kept, and the next build goes on there");
            return Ok(Exit::Interrupted.into());
        }
    };
    let mut out = Destination::stdout();
    writeln!(out, "{}", summary(&built, started.elapsed()))?;
    out.commit()?;
    Ok(Exit::Done.into())
}

/// One line, fit for the subject of a mail.
fn summary(built: &Built, took: std::time::Duration) -> String {
    let mut parts = vec![match built.version {
        Some(version) => {
            let norms: i64 = built.baselines.iter().map(|version| version.norms).sum();
            let ripe: i64 = built.baselines.iter().map(|version| version.ripe).sum();
            format!(
                "baselines version {version}: {} built, {} of {} ripe",
                plural(built.baselines.len() as u64, "baseline"),
                show_count(ripe.unsigned_abs()),
                plural(norms.unsigned_abs(), "norm"),
            )
        }
        None => "baselines: nothing new".to_owned(),
    }];
    if let (Some((first, _)), Some((last, _))) = (built.days.first_key_value(), built.days.last_key_value()) {
        let range = if first == last {
            first.to_string()
        } else {
            format!("{first} to {last}")
        };
        parts.push(format!(
            "{} ({range}), {}",
            plural(built.days.len() as u64, "day"),
            plural(built.samples, "sample")
        ));
    }
    if built.excluded > 0 {
        parts.push(format!("{} excluded from training", show_count(built.excluded)));
    }
    if built.blind_hours > 0 {
        parts.push(format!(
            "{} seen too little to train",
            plural(built.blind_hours, "hour")
        ));
    }
    if built.exceptions > 0 {
        parts.push(format!(
            "{} new from alerts",
            plural(built.exceptions as u64, "exception")
        ));
    }
    if built.future_days > 0 {
        parts.push(format!(
            "{} of the future left alone: is a clock wrong?",
            plural(built.future_days as u64, "day")
        ));
    }
    parts.push(show_duration(took));
    parts.join("; ")
}

fn read_alerts(files: &[PathBuf]) -> Result<Vec<Exception>> {
    let mut all = Vec::new();
    for file in files {
        let shown = file.display();
        let bytes = std::fs::metadata(file)
            .with_context(|| format!("{shown}: reading the alerts"))?
            .len();
        if bytes > ALERTS_BYTES_MAX {
            return Err(Failure::wrong_use(format!(
                "{shown}: {bytes} bytes are too many for a file of alerts"
            ))
            .into());
        }
        let text = std::fs::read_to_string(file).with_context(|| format!("{shown}: reading the alerts"))?;
        all.extend(exceptions::of_alerts(&shown.to_string(), &text)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_one_line() {
        let took = std::time::Duration::from_secs(2);
        assert_eq!(summary(&Built::default(), took), "baselines: nothing new; 2.0 s");
        let day: chrono::NaiveDate = "2026-11-17".parse().unwrap();
        let built = Built {
            days: [(day, 8)].into(),
            samples: 1200,
            excluded: 3,
            blind_hours: 1,
            version: Some(7),
            ..Built::default()
        };
        assert_eq!(
            summary(&built, took),
            "baselines version 7: 0 baselines built, 0 of 0 norms ripe; 1 day (2026-11-17), 1,200 samples; \
             3 excluded from training; 1 hour seen too little to train; 2.0 s"
        );
    }
}
