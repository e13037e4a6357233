//! The report as Markdown. Texts of logs become code, or lose what would be markup.

use std::fmt::Write;

use super::super::{amount, day, hour_name, plots};
use super::{CHANGES_MAX, Report};
use crate::text::visible;
use crate::when::{show_count, show_time};

/// Text in a cell of a table that cannot be markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in visible(text).chars() {
        if matches!(
            character,
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '&' | '!'
        ) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// The text.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _ = write_all(&mut out, report);
    out
}

fn write_all(out: &mut String, report: &Report) -> std::fmt::Result {
    write!(
        out,
        "# What is normal here\n\nEvidence for NIST CSF DE.AE-1, a baseline of network operations and expected data flows. \
         Made {} from {}. Version in force: {}{}.\n\n## Baselines in force\n\n\
         | baseline | what it holds | version | window | days | samples | excluded | entities | norms | ripe |\n\
         |---|---|--:|---|--:|--:|--:|--:|--:|--:|\n",
        show_time(&report.made_at),
        cell(&report.lake),
        report.frozen.unwrap_or(report.latest),
        if report.frozen.is_some() { ", frozen" } else { "" },
    )?;
    for part in &report.parts {
        let Some(facts) = &part.facts else {
            writeln!(
                out,
                "| {} | {} | - | not built | | | | | | |",
                part.definition.name, part.definition.title
            )?;
            continue;
        };
        let count = |number: i64| show_count(number.unsigned_abs());
        writeln!(
            out,
            "| {} {} | {} | {} | {} to {} | {} | {} | {} | {} | {} | {} |",
            part.definition.code,
            part.definition.name,
            part.definition.title,
            facts.version,
            facts.window.from,
            facts.window.to.pred_opt().unwrap_or(facts.window.to),
            count(facts.days),
            count(facts.samples),
            count(facts.excluded),
            show_count(part.entities as u64),
            count(facts.norms),
            count(facts.ripe),
        )?;
    }
    out.push_str("\n## Coverage\n\nHours of each day that were seen well enough to learn from.\n\n```\n");
    for (date, seen) in &report.coverage {
        let few = match seen.blind {
            0 => String::new(),
            blind => format!("  {blind} h too little to train"),
        };
        let excluded = match seen.excluded {
            0 => String::new(),
            excluded => format!("  {} samples excluded", show_count(excluded.unsigned_abs())),
        };
        writeln!(
            out,
            "{date}  {:<24}  {:>2} h{few}{excluded}",
            plots::bar(seen.seen as f64, 24.0, 24),
            seen.seen
        )?;
    }
    out.push_str("```\n\n## Bytes sent by hour of the week\n\n```\n");
    for (entity, rows) in &report.weeks {
        writeln!(out, "{}", visible(entity).replace('`', "'"))?;
        for line in plots::week(&rows.iter().collect::<Vec<_>>()) {
            writeln!(out, "{line}")?;
        }
    }
    out.push_str("```\n\n## Drift\n\n");
    drift(out, report)?;
    out.push_str("\n## Approvals\n\n| when | version | what | who | why |\n|---|--:|---|---|---|\n");
    for said in &report.approvals {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            show_time(&said.at),
            said.version,
            cell(&said.action),
            cell(&said.name),
            cell(&said.reason)
        )?;
    }
    out.push_str("\n## Exceptions\n\nHours in which an alert was raised do not train.\n\n| rule | alerts | hours | entities |\n|---|--:|--:|--:|\n");
    for (rule, alerts, hours, entities) in &report.exceptions {
        writeln!(out, "| {} | {alerts} | {hours} | {entities} |", cell(rule))?;
    }
    Ok(())
}

fn drift(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(since) = report.since else {
        out.push_str("There is no earlier version to compare with.\n");
        return Ok(());
    };
    match &report.last_report {
        Some(last) if last.version == since => {
            writeln!(
                out,
                "Since the last report, of {}, version {since}.\n",
                show_time(&last.at)
            )?;
        }
        _ => writeln!(out, "Since version {since}.\n")?,
    }
    for part in &report.parts {
        let Some((_, changed)) = &part.drift else { continue };
        writeln!(
            out,
            "- {} {}: {} new, {} gone, {} medians moved",
            part.definition.code,
            part.definition.name,
            changed.new.len(),
            changed.gone.len(),
            changed.moved.len()
        )?;
        for (sign, rows) in [("new", &changed.new), ("gone", &changed.gone)] {
            for row in rows.iter().take(CHANGES_MAX) {
                writeln!(
                    out,
                    "  - {sign}: {} {} {}, {} to {}",
                    cell(&row.entity),
                    cell(&row.measure),
                    cell(row.subject.as_deref().unwrap_or("")),
                    day(row.first_seen),
                    day(row.last_seen)
                )?;
            }
        }
        for (old, new) in changed.moved.iter().take(CHANGES_MAX) {
            let (Some(before), Some(after)) = (&old.norm, &new.norm) else {
                continue;
            };
            writeln!(
                out,
                "  - moved: {} {} {}, median {} to {}{}",
                cell(&new.entity),
                cell(&new.measure),
                cell(new.subject.as_deref().unwrap_or("")),
                amount(&part.definition, &new.measure, before.median),
                amount(&part.definition, &new.measure, after.median),
                new.hour_of_week
                    .map_or(String::new(), |hour| format!(", at most on {}", hour_name(hour))),
            )?;
        }
    }
    Ok(())
}
