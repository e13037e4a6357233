//! `trailhound baseline list`: what is in force, which versions there are, who approved them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use trailhound_detections::baseline::Version;
use trailhound_detections::baseline::books;

use super::{Opened, Where};
use crate::failure::Exit;
use crate::output::destination::Destination;
use crate::text::visible;
use crate::when::{show_count, show_time};

/// Arguments of `trailhound baseline list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the lake lies.
    #[command(flatten)]
    pub at: Where,

    /// All versions, and what was said about them
    #[arg(long)]
    pub versions: bool,

    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Lists.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn run(args: Args) -> Result<ExitCode> {
    let opened = super::open(&args.at).await?;
    let mut out = Destination::stdout();
    match (args.versions, args.json) {
        (true, json) => versions(&opened, json, &mut out).await?,
        (false, true) => {
            for definition in &opened.definitions {
                let version = opened.version_of(definition, None);
                let facts = version.and_then(|version| opened.facts(definition, version));
                writeln!(
                    out,
                    "{}",
                    object(definition.name, &definition.title, facts, &opened)
                )?;
            }
        }
        (false, false) => in_force(&opened, &mut out)?,
    }
    out.commit()?;
    Ok(Exit::Done.into())
}

fn object(name: &str, title: &str, facts: Option<&Version>, opened: &Opened) -> serde_json::Value {
    serde_json::json!({
        "baseline": name, "title": title, "version": facts.map(|facts| facts.version),
        "frozen": opened.in_force.frozen.is_some(),
        "window_from": facts.map(|facts| facts.window.from.to_string()),
        "window_to": facts.map(|facts| facts.window.to.to_string()),
        "days": facts.map(|facts| facts.days), "samples": facts.map(|facts| facts.samples),
        "excluded": facts.map(|facts| facts.excluded), "entities": facts.map(|facts| facts.entities),
        "norms": facts.map(|facts| facts.norms), "ripe": facts.map(|facts| facts.ripe),
        "built_at": facts.map(|facts| facts.built_at.to_rfc3339()),
    })
}

fn in_force(opened: &Opened, out: &mut Destination) -> Result<()> {
    writeln!(
        out,
        "{:<4} {:<11} {:>7} {:>5} {:>9} {:>9} {:>9} {:>9}  {:<16} title",
        "", "baseline", "version", "days", "samples", "excluded", "entities", "norms", "state"
    )?;
    for definition in &opened.definitions {
        let version = opened.version_of(definition, None);
        let Some(facts) = version.and_then(|version| opened.facts(definition, version)) else {
            writeln!(
                out,
                "{:<4} {:<11} {:>7} {:>5} {:>9} {:>9} {:>9} {:>9}  {:<16} {}",
                definition.code, definition.name, "-", "-", "-", "-", "-", "-", "not built", definition.title
            )?;
            continue;
        };
        let state = match (facts.norms, facts.ripe) {
            (0, _) => "no logs".to_owned(),
            (_, 0) => format!("learning, {}/{} d", facts.days, definition.ripe_days),
            (norms, ripe) => format!("{}% ripe", ripe * 100 / norms),
        };
        let count = |number: i64| show_count(number.unsigned_abs());
        writeln!(
            out,
            "{:<4} {:<11} {:>7} {:>5} {:>9} {:>9} {:>9} {:>9}  {:<16} {}",
            definition.code,
            definition.name,
            facts.version,
            facts.days,
            count(facts.samples),
            count(facts.excluded),
            count(facts.entities),
            count(facts.norms),
            state,
            definition.title,
        )?;
    }
    if let Some(frozen) = opened.in_force.frozen {
        writeln!(out, "frozen at version {frozen}: rules see nothing newer")?;
    }
    if opened.versions.is_empty() {
        writeln!(out, "nothing was learnt yet: `trailhound baseline build`")?;
    }
    Ok(())
}

async fn versions(opened: &Opened, json: bool, out: &mut Destination) -> Result<()> {
    let kept = books::kept(&opened.lake, &opened.versions).await?;
    let mut builds: BTreeMap<i64, Vec<&Version>> = BTreeMap::new();
    for version in &opened.versions {
        builds.entry(version.version).or_default().push(version);
    }
    for (number, parts) in builds {
        let said: Vec<_> = opened
            .approvals
            .iter()
            .filter(|approval| approval.version == number)
            .collect();
        let names: Vec<&str> = parts.iter().map(|part| part.baseline.as_str()).collect();
        let (norms, ripe) = parts.iter().fold((0, 0), |(norms, ripe), part| {
            (norms + part.norms, ripe + part.ripe)
        });
        let window = parts[0].window;
        if json {
            let said: Vec<_> = said
                .iter()
                .map(|said| {
                    serde_json::json!({
                        "at": said.at.to_rfc3339(), "action": said.action, "name": said.name, "reason": said.reason,
                    })
                })
                .collect();
            let line = serde_json::json!({
                "version": number, "baselines": names, "window_from": window.from.to_string(),
                "window_to": window.to.to_string(), "norms": norms, "ripe": ripe,
                "built_at": parts[0].built_at.to_rfc3339(), "kept": kept.contains(&number), "approvals": said,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        writeln!(
            out,
            "{number}: {}, built {}, days {} to {}, {} norms, {} ripe{}",
            names.join(", "),
            show_time(&parts[0].built_at),
            window.from,
            window.to.pred_opt().unwrap_or(window.to),
            show_count(norms.unsigned_abs()),
            show_count(ripe.unsigned_abs()),
            if kept.contains(&number) {
                ""
            } else {
                "; its rows are gone"
            }
        )?;
        for said in said {
            writeln!(
                out,
                "    {} {} by {}: {}",
                show_time(&said.at),
                visible(&said.action),
                visible(&said.name),
                visible(&said.reason)
            )?;
        }
    }
    Ok(())
}
