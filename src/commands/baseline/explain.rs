//! `trailhound baseline explain`: what a value is compared with, in words and numbers.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use trailhound_detections::baseline::norms::hour_of_week;
use trailhound_detections::baseline::read::{self, Row, Sample};
use trailhound_detections::baseline::{Definition, Kind, Norm};

use super::{Opened, Where, amount, day, hour_name, plots};
use crate::failure::{Exit, Failure};
use crate::output::destination::Destination;
use crate::summary::plural;
use crate::text::visible;
use crate::when::{When, show_time, size};

/// Arguments of `trailhound baseline explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Workload or principal, or a part of its name that only it has
    #[arg(value_name = "ENTITY")]
    pub entity: String,

    /// What was measured or seen, such as bytes_out, out or api
    #[arg(value_name = "MEASURE")]
    pub measure: String,

    /// What of the entity: a peer such as db:5432/6, an API action, an image
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,

    /// The hour that is in question [default: the last one that was sampled]
    #[arg(long, value_name = "TIME")]
    pub at: Option<When>,

    /// The value in question [default: the sample of that hour]
    #[arg(long, value_name = "AMOUNT", value_parser = number)]
    pub value: Option<f64>,

    /// As of this version [default: the one in force]
    #[arg(long, value_name = "N")]
    pub as_of: Option<i64>,

    /// Samples to list
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub limit: usize,

    /// Where the lake lies.
    #[command(flatten)]
    pub place: Where,
}

/// A number, or a size such as 500MB.
fn number(text: &str) -> Result<f64, String> {
    if let Ok(value) = text.parse::<f64>()
        && value.is_finite()
        && value >= 0.0
    {
        return Ok(value);
    }
    size(text)
        .map(|bytes| bytes as f64)
        .map_err(|_| "expected a number, or a size such as 500MB".to_owned())
}

/// Explains.
///
/// # Errors
/// There is no such measure, or nothing was learnt about the entity.
pub async fn run(args: Args) -> Result<ExitCode> {
    let opened = super::open(&args.place).await?;
    super::need_versions(&opened)?;
    if let Some(version) = args.as_of {
        opened.existing(version).await?;
    }
    let definition = with_measure(&opened, &args.measure)?;
    let version = opened.version_of(&definition, args.as_of).ok_or_else(|| {
        Failure::wrong_use(format!("{} was not built yet", definition.name))
            .with_help("`trailhound baseline build`")
    })?;
    let known = [definition.clone()];
    let entity = super::entity_named(&opened, &known, args.as_of, &args.entity).await?;
    let rows = read::norms(&opened.session, &definition, version, Some(&entity)).await?;
    let rows: Vec<Row> = rows
        .into_iter()
        .filter(|row| row.measure == args.measure)
        .collect();
    let mut out = Destination::stdout();
    match definition.kind {
        Kind::Seen => seen(&opened, &definition, version, &entity, &rows, &args, &mut out)?,
        Kind::Measured => measured(&opened, &definition, version, &entity, &rows, &args, &mut out).await?,
    }
    out.commit()?;
    Ok(Exit::Done.into())
}

/// The baseline that has a measure.
fn with_measure(opened: &Opened, measure: &str) -> Result<Definition> {
    if let Some(found) = opened
        .definitions
        .iter()
        .find(|definition| definition.measures.contains_key(measure))
    {
        return Ok(found.clone());
    }
    let names: Vec<&str> = opened
        .definitions
        .iter()
        .flat_map(|definition| definition.measures.keys().map(String::as_str))
        .collect();
    let failure = Failure::wrong_use(format!("no baseline measures {}", visible(measure)));
    Err(failure
        .with_help(trailhound_query::error::meant(measure, &names))
        .into())
}

fn seen(
    opened: &Opened,
    definition: &Definition,
    version: i64,
    entity: &str,
    rows: &[Row],
    args: &Args,
    out: &mut Destination,
) -> Result<()> {
    let about = &definition.measures[&args.measure].about;
    writeln!(out, "{} {}: {about}", visible(entity), args.measure)?;
    writeln!(out, "baseline {}, version {version}", definition.name)?;
    let window = opened
        .facts(definition, version)
        .map(|facts| (facts.window, facts.days));
    if let Some((window, days)) = window {
        writeln!(
            out,
            "compared with {} from {} to {}",
            plural(days.unsigned_abs(), "day"),
            window.from,
            window.to.pred_opt().unwrap_or(window.to)
        )?;
    }
    let known_since = rows.iter().filter_map(|row| row.first_seen).min();
    let ripe = rows.iter().any(|row| row.state == "ripe");
    let maturity = match (known_since, ripe) {
        (Some(since), true) => format!("known since {}, ripe", day(Some(since))),
        (Some(since), false) => format!(
            "known since {}, still learning: it needs {} days",
            day(Some(since)),
            definition.ripe_days
        ),
        (None, _) => format!("nothing of this kind was seen of {} so far", visible(entity)),
    };
    writeln!(out, "{maturity}")?;
    let Some(subject) = &args.subject else {
        writeln!(out, "{} known:", plural(rows.len() as u64, "subject"))?;
        for row in rows.iter().take(args.limit) {
            writeln!(
                out,
                "  {}  {}, {} to {}",
                visible(row.subject.as_deref().unwrap_or("")),
                plural(row.days.unsigned_abs(), "day"),
                day(row.first_seen),
                day(row.last_seen)
            )?;
        }
        return Ok(());
    };
    let verdict = match rows.iter().find(|row| row.subject.as_deref() == Some(subject)) {
        Some(row) if row.state == "expired" => format!(
            "{} was last seen {}, more than {} days before the end: it counts as new again",
            visible(subject),
            day(row.last_seen),
            definition.expire_days
        ),
        Some(row) => format!(
            "{} is known: seen on {}, {} to {}, {}",
            visible(subject),
            plural(row.days.unsigned_abs(), "day"),
            day(row.first_seen),
            day(row.last_seen),
            plural(row.count.unsigned_abs(), "record")
        ),
        None if ripe => format!("{} is new: it was never seen in this time", visible(subject)),
        None => format!(
            "{} was never seen, but too little is known of the entity to call it new",
            visible(subject)
        ),
    };
    writeln!(out, "{verdict}")?;
    Ok(())
}

async fn measured(
    opened: &Opened,
    definition: &Definition,
    version: i64,
    entity: &str,
    rows: &[Row],
    args: &Args,
    out: &mut Destination,
) -> Result<()> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.subject == args.subject).collect();
    if rows.is_empty() {
        let failure = Failure::wrong_use(format!(
            "{} of {} was never measured",
            args.measure,
            visible(entity)
        ));
        return Err(failure
            .with_help("`trailhound baseline show ENTITY` lists what was; --subject says of what")
            .into());
    }
    let facts = opened.facts(definition, version);
    let Some(window) = facts.map(|facts| facts.window) else {
        return Err(
            Failure::wrong_use(format!("version {version} of {} is not known", definition.name)).into(),
        );
    };
    let samples = read::samples(&opened.session, definition, entity, &args.measure, window).await?;
    let samples: Vec<Sample> = samples
        .into_iter()
        .filter(|sample| sample.subject == args.subject)
        .collect();
    let hour = match args.at {
        Some(when) => when
            .resolve(Utc::now())
            .ok_or_else(|| Failure::wrong_use("--at lies before the calendar begins"))?,
        None => samples.last().map_or_else(Utc::now, |sample| sample.time),
    };
    let hour = hour.duration_trunc(TimeDelta::hours(1)).unwrap_or(hour);
    let there = samples.iter().find(|sample| sample.time == hour);
    let value = args.value.or(there.map(|sample| sample.value));
    let bin = hour_of_week(hour.timestamp_micros());
    let row = rows
        .iter()
        .find(|row| row.hour_of_week == Some(bin))
        .or(rows.iter().find(|row| row.hour_of_week.is_none()));
    let Some((row, norm)) = row.and_then(|row| Some((row, row.norm.as_ref()?))) else {
        return Err(Failure::wrong_use(format!("there is no norm for {}", hour_name(bin))).into());
    };
    let shown = |value: f64| amount(definition, &args.measure, value);

    let about = &definition.measures[&args.measure].about;
    writeln!(
        out,
        "{} {}{}: {about}",
        visible(entity),
        args.measure,
        args.subject
            .as_ref()
            .map_or(String::new(), |subject| format!(" of {}", visible(subject)))
    )?;
    writeln!(
        out,
        "baseline {}, version {version}, {}",
        definition.name, row.state
    )?;
    match value {
        Some(value) => verdict(definition, args, norm, value, hour, out)?,
        None => writeln!(
            out,
            "{}: no sample of this hour, and no --value to judge",
            show_time(&hour)
        )?,
    }
    if let Some(reason) = there.and_then(|sample| sample.excluded.as_deref()) {
        writeln!(out, "the hour itself does not train: {}", visible(reason))?;
    }
    writeln!(
        out,
        "compared with {} of {}, {}",
        plural(row.samples.unsigned_abs(), "sample"),
        plural(row.days.unsigned_abs(), "day"),
        match row.grain.as_str() {
            "hour_of_week" => format!("{} and the hours beside it, of each week", hour_name(bin)),
            "hour_of_day" => format!("{:02}:00 and the hours beside it, of every day", bin % 24),
            _ => "all hours together".to_owned(),
        }
    )?;
    writeln!(
        out,
        "  median {}, half of them {} to {}, nine of ten {} to {}, the most {}",
        shown(norm.median),
        shown(norm.p25),
        shown(norm.p75),
        shown(norm.p05),
        shown(norm.p95),
        shown(norm.max)
    )?;
    writeln!(
        out,
        "  typical distance from the median {}; differences below {} do not count",
        shown(norm.mad),
        shown(norm.unit)
    )?;
    list(definition, args, &samples, row, bin, out)
}

fn verdict(
    definition: &Definition,
    args: &Args,
    norm: &Norm,
    value: f64,
    hour: DateTime<Utc>,
    out: &mut Destination,
) -> Result<()> {
    let z = norm.z(value);
    let times = match norm.p95 > 0.0 {
        true => format!(", {:.1} times what 95% stay below", value / norm.p95),
        false => ", where 95% are nothing at all".to_owned(),
    };
    writeln!(
        out,
        "{}: {} is {}: {:.1} robust deviations {} the median{times}",
        show_time(&hour),
        amount(definition, &args.measure, value),
        norm.level(value).name(),
        z.abs(),
        if z < 0.0 { "below" } else { "above" },
    )?;
    Ok(())
}

/// The samples that the norm was made from, and those beside them that do not train.
fn list(
    definition: &Definition,
    args: &Args,
    samples: &[Sample],
    row: &Row,
    bin: i64,
    out: &mut Destination,
) -> Result<()> {
    let near = |sample: &&Sample| {
        let other = hour_of_week(sample.time.timestamp_micros());
        let (distance, around) = match row.grain.as_str() {
            "hour_of_week" => ((other - bin).rem_euclid(168), 168),
            "hour_of_day" => ((other - bin).rem_euclid(24), 24),
            _ => return true,
        };
        distance <= 1 || distance == around - 1
    };
    let compared: Vec<&Sample> = samples.iter().filter(near).collect();
    let most = compared.iter().map(|sample| sample.value).fold(0.0, f64::max);
    let skipped = compared.len().saturating_sub(args.limit);
    if skipped > 0 {
        writeln!(
            out,
            "  the last {} of {}:",
            args.limit,
            plural(compared.len() as u64, "sample")
        )?;
    }
    for sample in compared.iter().skip(skipped) {
        writeln!(
            out,
            "  {}  {:>10}  {}{}",
            sample.time.format("%a %Y-%m-%d %H:%M"),
            amount(definition, &args.measure, sample.value),
            plots::bar(sample.value, most, 30),
            sample.excluded.as_deref().map_or(String::new(), |why| format!(
                "  (does not train: {})",
                visible(why)
            ))
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_numbers_or_sizes() {
        assert_eq!(number("500MB").unwrap(), 5e8);
        assert_eq!(number("1.5").unwrap(), 1.5);
        assert!(number("inf").is_err());
        assert!(number("-1").is_err());
    }
}
