//! `trailhound baseline show`: what is normal for a workload or principal.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use trailhound_detections::baseline::{Definition, read};

use super::{Opened, Where, amount, day, plots};
use crate::failure::Exit;
use crate::output::destination::Destination;
use crate::summary::plural;
use crate::text::{fit, visible};
use crate::when::show_count;

/// Arguments of `trailhound baseline show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Workload or principal, or a part of its name that only it has; without it all of them are listed
    #[arg(value_name = "ENTITY")]
    pub entity: Option<String>,

    /// This baseline only; may be given several times
    #[arg(long, value_name = "NAME")]
    pub baseline: Vec<String>,

    /// As of this version [default: the one in force]
    #[arg(long, value_name = "N")]
    pub as_of: Option<i64>,

    /// Subjects to show of each measure, those seen on most days first
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,

    /// One JSON object a row
    #[arg(long)]
    pub json: bool,

    /// Where the lake lies.
    #[command(flatten)]
    pub at: Where,
}

/// Shows it.
///
/// # Errors
/// Nothing was learnt, or not about this entity.
pub async fn run(args: Args) -> Result<ExitCode> {
    let opened = super::open(&args.at).await?;
    super::need_versions(&opened)?;
    if let Some(version) = args.as_of {
        opened.existing(version).await?;
    }
    let definitions = opened.selected(&args.baseline)?;
    let mut out = Destination::stdout();
    match &args.entity {
        None => entities(&opened, &definitions, &args, &mut out).await?,
        Some(name) => {
            let entity = super::entity_named(&opened, &definitions, args.as_of, name).await?;
            one(&opened, &definitions, &entity, &args, &mut out).await?;
        }
    }
    out.commit()?;
    Ok(Exit::Done.into())
}

async fn entities(
    opened: &Opened,
    definitions: &[Definition],
    args: &Args,
    out: &mut Destination,
) -> Result<()> {
    for definition in definitions {
        let Some(version) = opened.version_of(definition, args.as_of) else {
            continue;
        };
        let entities = read::entities(&opened.session, definition, version).await?;
        if !args.json && !entities.is_empty() {
            writeln!(
                out,
                "{} {}: {}",
                definition.code, definition.name, definition.title
            )?;
        }
        for entity in entities {
            if args.json {
                let line = serde_json::json!({
                    "baseline": definition.name, "version": version, "entity": entity.name,
                    "norms": entity.rows, "ripe": entity.ripe,
                });
                writeln!(out, "{line}")?;
            } else {
                writeln!(
                    out,
                    "  {}  {}, {} ripe",
                    visible(&entity.name),
                    plural(entity.rows.unsigned_abs(), "norm"),
                    show_count(entity.ripe.unsigned_abs())
                )?;
            }
        }
    }
    Ok(())
}

async fn one(
    opened: &Opened,
    definitions: &[Definition],
    entity: &str,
    args: &Args,
    out: &mut Destination,
) -> Result<()> {
    if !args.json {
        writeln!(out, "{}", visible(entity))?;
    }
    for definition in definitions {
        let Some(version) = opened.version_of(definition, args.as_of) else {
            continue;
        };
        let rows = read::norms(&opened.session, definition, version, Some(entity)).await?;
        if rows.is_empty() {
            continue;
        }
        if args.json {
            for row in &rows {
                writeln!(out, "{}", object(definition, version, row))?;
            }
            continue;
        }
        writeln!(
            out,
            "\n{} {}, version {version}: {}",
            definition.code, definition.name, definition.title
        )?;
        let mut measures: BTreeMap<&str, Vec<&read::Row>> = BTreeMap::new();
        for row in &rows {
            measures.entry(&row.measure).or_default().push(row);
        }
        for (measure, rows) in measures {
            let about = definition
                .measures
                .get(measure)
                .map_or("", |measure| measure.about.as_str());
            writeln!(out, "\n  {measure}: {about}")?;
            if rows.iter().any(|row| row.hour_of_week.is_some()) {
                hours(definition, measure, &rows, out)?;
            } else {
                subjects(definition, measure, rows, args.limit, out)?;
            }
        }
    }
    Ok(())
}

fn hours(definition: &Definition, measure: &str, rows: &[&read::Row], out: &mut Destination) -> Result<()> {
    let norms: Vec<_> = rows.iter().filter_map(|row| row.norm.as_ref()).collect();
    let extreme = |pick: fn(f64, f64) -> f64, of: fn(&trailhound_detections::baseline::Norm) -> f64| {
        norms.iter().map(|norm| of(norm)).reduce(pick).unwrap_or(0.0)
    };
    let shown = |value: f64| amount(definition, measure, value);
    writeln!(
        out,
        "    median of an hour {} to {}, 95% at most {}, most ever {}",
        shown(extreme(f64::min, |norm| norm.median)),
        shown(extreme(f64::max, |norm| norm.median)),
        shown(extreme(f64::max, |norm| norm.p95)),
        shown(extreme(f64::max, |norm| norm.max)),
    )?;
    let mut grains: BTreeMap<&str, usize> = BTreeMap::new();
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *grains.entry(&row.grain).or_default() += 1;
        *states.entry(&row.state).or_default() += 1;
    }
    let list = |counts: &BTreeMap<&str, usize>| -> String {
        let parts: Vec<String> = counts
            .iter()
            .map(|(name, count)| match counts.len() {
                1 => visible(name).into_owned(),
                _ => format!("{} ({count} hours)", visible(name)),
            })
            .collect();
        parts.join(", ")
    };
    let fewest = rows.iter().map(|row| row.samples).min().unwrap_or(0);
    writeln!(
        out,
        "    by {}, at least {} each; {}",
        list(&grains).replace('_', " "),
        plural(fewest.unsigned_abs(), "sample"),
        list(&states)
    )?;
    for line in plots::week(rows) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn subjects(
    definition: &Definition,
    measure: &str,
    mut rows: Vec<&read::Row>,
    limit: usize,
    out: &mut Destination,
) -> Result<()> {
    rows.sort_by(|a, b| {
        b.days
            .cmp(&a.days)
            .then(b.count.cmp(&a.count))
            .then(a.subject.cmp(&b.subject))
    });
    let most = rows.iter().map(|row| row.days).max().unwrap_or(0);
    for row in rows.iter().take(limit) {
        let subject = row.subject.as_deref().unwrap_or("all of it");
        let amount = row.norm.as_ref().map_or(String::new(), |norm| {
            format!(
                "  median {}, 95% at most {}",
                amount(definition, measure, norm.median),
                amount(definition, measure, norm.p95)
            )
        });
        writeln!(
            out,
            "    {:<44} {:>4} d {:<8} {} to {}, {}{amount}{}",
            fit(&visible(subject), 44),
            row.days,
            plots::bar(row.days as f64, most as f64, 8),
            day(row.first_seen),
            day(row.last_seen),
            plural(row.count.unsigned_abs(), "record"),
            if row.state == "ripe" {
                String::new()
            } else {
                format!("  ({})", visible(&row.state))
            },
        )?;
    }
    if rows.len() > limit {
        writeln!(
            out,
            "    and {} more: --limit {}",
            show_count((rows.len() - limit) as u64),
            rows.len()
        )?;
    }
    Ok(())
}

fn object(definition: &Definition, version: i64, row: &read::Row) -> serde_json::Value {
    let number = |of: fn(&trailhound_detections::baseline::Norm) -> f64| row.norm.as_ref().map(of);
    serde_json::json!({
        "baseline": definition.name, "version": version, "entity": row.entity, "subject": row.subject,
        "measure": row.measure, "hour_of_week": row.hour_of_week, "grain": row.grain, "samples": row.samples,
        "days": row.days, "first_seen": row.first_seen.map(|time| time.to_rfc3339()),
        "last_seen": row.last_seen.map(|time| time.to_rfc3339()), "count": row.count,
        "median": number(|norm| norm.median), "mad": number(|norm| norm.mad), "unit": number(|norm| norm.unit),
        "center": number(|norm| norm.center), "spread": number(|norm| norm.spread),
        "p05": number(|norm| norm.p05), "p25": number(|norm| norm.p25), "p75": number(|norm| norm.p75),
        "p95": number(|norm| norm.p95), "p995": number(|norm| norm.p995), "max": number(|norm| norm.max),
        "state": row.state,
    })
}
