//! `trailhound baseline diff`: what changed from one version to another.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use trailhound_detections::baseline::read;

use super::{Where, amount, day, hour_name};
use crate::failure::{Exit, Failure};
use crate::output::destination::Destination;
use crate::summary::plural;
use crate::text::visible;

/// Arguments of `trailhound baseline diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The earlier version
    #[arg(value_name = "FROM")]
    pub from: i64,

    /// The later version [default: the one in force]
    #[arg(value_name = "TO")]
    pub to: Option<i64>,

    /// This baseline only; may be given several times
    #[arg(long, value_name = "NAME")]
    pub baseline: Vec<String>,

    /// This workload or principal only
    #[arg(long, value_name = "ENTITY")]
    pub entity: Option<String>,

    /// Lines of each kind
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,

    /// One JSON object a change
    #[arg(long)]
    pub json: bool,

    /// Where the lake lies.
    #[command(flatten)]
    pub at: Where,
}

/// Compares.
///
/// # Errors
/// A version is not there, or the lake cannot be read.
pub async fn run(args: Args) -> Result<ExitCode> {
    let opened = super::open(&args.at).await?;
    super::need_versions(&opened)?;
    opened.existing(args.from).await?;
    if let Some(to) = args.to {
        opened.existing(to).await?;
        if to <= args.from {
            return Err(
                Failure::wrong_use(format!("version {to} is not later than version {}", args.from))
                    .with_help("give the earlier version first")
                    .into(),
            );
        }
    }
    let mut out = Destination::stdout();
    let mut changes = 0;
    for definition in opened.selected(&args.baseline)? {
        let (Some(from), Some(to)) = (
            opened.version_of(&definition, Some(args.from)),
            opened.version_of(&definition, args.to),
        ) else {
            continue;
        };
        if from >= to {
            continue;
        }
        let entity = args.entity.as_deref();
        let before = read::norms(&opened.session, &definition, from, entity).await?;
        let after = read::norms(&opened.session, &definition, to, entity).await?;
        let changed = read::difference(&before, &after);
        let count = changed.new.len() + changed.gone.len() + changed.moved.len();
        changes += count;
        if count == 0 {
            continue;
        }
        if !args.json {
            writeln!(
                out,
                "{} {}, version {from} to {to}",
                definition.code, definition.name
            )?;
        }
        for (sign, kind, rows) in [("+", "new", &changed.new), ("-", "gone", &changed.gone)] {
            for row in rows.iter().take(if args.json { usize::MAX } else { args.limit }) {
                if args.json {
                    let line = serde_json::json!({
                        "baseline": definition.name, "change": kind, "entity": row.entity, "measure": row.measure,
                        "subject": row.subject, "days": row.days,
                        "first_seen": row.first_seen.map(|time| time.to_rfc3339()),
                        "last_seen": row.last_seen.map(|time| time.to_rfc3339()),
                    });
                    writeln!(out, "{line}")?;
                    continue;
                }
                writeln!(
                    out,
                    "  {sign} {}  {} {}  {} to {}",
                    visible(&row.entity),
                    visible(&row.measure),
                    visible(row.subject.as_deref().unwrap_or("")),
                    day(row.first_seen),
                    day(row.last_seen),
                )?;
            }
            more(rows.len(), &args, &mut out)?;
        }
        for (old, new) in changed
            .moved
            .iter()
            .take(if args.json { usize::MAX } else { args.limit })
        {
            let (Some(old_norm), Some(norm)) = (&old.norm, &new.norm) else {
                continue;
            };
            if args.json {
                let line = serde_json::json!({
                    "baseline": definition.name, "change": "moved", "entity": new.entity, "measure": new.measure,
                    "subject": new.subject, "hour_of_week": new.hour_of_week,
                    "median_before": old_norm.median, "median_after": norm.median,
                });
                writeln!(out, "{line}")?;
                continue;
            }
            let shown = |value: f64| amount(&definition, &new.measure, value);
            writeln!(
                out,
                "  ~ {}  {} {} median {} -> {}{}",
                visible(&new.entity),
                visible(&new.measure),
                visible(new.subject.as_deref().unwrap_or("")),
                shown(old_norm.median),
                shown(norm.median),
                new.hour_of_week
                    .map_or(String::new(), |hour| format!(", at most on {}", hour_name(hour))),
            )?;
        }
        more(changed.moved.len(), &args, &mut out)?;
    }
    if changes == 0 && !args.json {
        writeln!(out, "nothing changed that matters")?;
    }
    out.commit()?;
    Ok(Exit::Done.into())
}

fn more(count: usize, args: &Args, out: &mut Destination) -> Result<()> {
    if count > args.limit && !args.json {
        writeln!(
            out,
            "    and {} like this: --limit {count}",
            plural((count - args.limit) as u64, "more line")
        )?;
    }
    Ok(())
}
