//! The report as one HTML file: no script, nothing from elsewhere, light, dark and on paper.
//!
//! Every text that may come from a log goes through [`escape`].

use std::fmt::Write;

use trailhound_detections::baseline::norms::Window;
use trailhound_detections::baseline::read::Row;

use super::super::{amount, day, hour_name};
use super::{CHANGES_MAX, Part, Report};
use crate::text::visible;
use crate::when::{show_bytes, show_count, show_time};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1a1f27;--soft:#5a6472;--line:#d5dae1;--back:#fff;--card:#f5f7f9;--mark:#1f5fa8;--warn:#a4480c;--bad:#a01c2c;--good:#216e39}
@media (prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#9aa5b4;--line:#343c48;--back:#14181e;--card:#1c222a;--mark:#79b0f0;--warn:#e59a5c;--bad:#f08a95;--good:#79c88f}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:2rem 1.25rem 4rem;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.7rem;margin:0 0 .25rem}h2{font-size:1.2rem;margin:2.5rem 0 .75rem;border-bottom:1px solid var(--line);padding-bottom:.25rem}h3{font-size:1rem;margin:1.5rem 0 .4rem}
p{margin:.4rem 0}.soft{color:var(--soft)}.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.75rem;margin:1.25rem 0}
.fact{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.6rem .8rem}.fact b{display:block;font-size:1.25rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}code{font:.85em/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
.ripe{color:var(--good)}.learning{color:var(--warn)}.gone{color:var(--bad)}.new{color:var(--mark)}
.weeks{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:1rem}figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.6rem .8rem;break-inside:avoid}
figcaption{font-size:.85rem;margin-bottom:.3rem;overflow-wrap:anywhere}svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font:9px system-ui,sans-serif}
.cell{fill:var(--mark)}.frame{fill:none;stroke:var(--line)}.seen{fill:var(--mark)}.blind{fill:var(--warn)}.none{fill:var(--line)}
@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--back:#fff;--card:#fff;--mark:#1f5fa8;--warn:#a4480c;--bad:#a01c2c;--good:#216e39}body{max-width:none;padding:0;font-size:10.5pt}h2{break-after:avoid}tr,.fact{break-inside:avoid}table{font-size:8pt}th,td{padding:.2em .35em}.scroll{overflow:visible}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}";

/// Text that cannot be markup, with what cannot be seen made visible.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in visible(text).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// The page.
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _ = write_page(&mut out, report);
    out
}

fn write_page(out: &mut String, report: &Report) -> std::fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Baselines, version {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>What is normal here</h1>\n\
         <p class=\"soft\">Evidence for NIST CSF DE.AE-1, a baseline of network operations and expected data flows. \
         Made {} from <code>{}</code>.</p>\n",
        report.latest,
        show_time(&report.made_at),
        escape(&report.lake)
    )?;
    facts(out, report)?;
    in_force(out, report)?;
    coverage(out, report)?;
    weeks(out, report)?;
    drift(out, report)?;
    approvals(out, report)?;
    exceptions(out, report)?;
    out.push_str("</body>\n</html>\n");
    Ok(())
}

fn facts(out: &mut String, report: &Report) -> std::fmt::Result {
    let (norms, ripe) = report
        .parts
        .iter()
        .filter_map(|part| part.facts.as_ref())
        .fold((0, 0), |(norms, ripe), facts| {
            (norms + facts.norms, ripe + facts.ripe)
        });
    let blind: i64 = report.coverage.values().map(|day| day.blind).sum();
    let last = report
        .approvals
        .iter()
        .rfind(|approval| approval.action != "report");
    out.push_str("<div class=\"facts\">\n");
    let mut fact = |name: &str, value: &str| writeln!(out, "<div class=\"fact\"><b>{value}</b>{name}</div>");
    fact(
        "version in force",
        &match report.frozen {
            Some(frozen) => format!("{frozen}, frozen"),
            None => report.latest.to_string(),
        },
    )?;
    fact("days learnt from", &show_count(report.coverage.len() as u64))?;
    fact(
        "norms, of which ripe",
        &format!(
            "{} / {}",
            show_count(norms.unsigned_abs()),
            show_count(ripe.unsigned_abs())
        ),
    )?;
    fact(
        "hours seen too little to train",
        &show_count(blind.unsigned_abs()),
    )?;
    fact(
        "last approval",
        &last.map_or("none".to_owned(), |said| {
            format!("{} by {}", said.at.format("%Y-%m-%d"), escape(&said.name))
        }),
    )?;
    out.push_str("</div>\n");
    Ok(())
}

fn days(window: Window) -> String {
    format!("{} to {}", window.from, window.to.pred_opt().unwrap_or(window.to))
}

fn in_force(out: &mut String, report: &Report) -> std::fmt::Result {
    out.push_str(
        "<h2>Baselines in force</h2>\n<div class=\"scroll\"><table>\n<tr><th>Baseline<th>What it holds<th class=\"n\">Version\
         <th>Window<th class=\"n\">Days<th class=\"n\">Samples<th class=\"n\">Excluded<th class=\"n\">Entities<th class=\"n\">Norms<th>State\n",
    );
    for part in &report.parts {
        let definition = &part.definition;
        write!(
            out,
            "<tr><td>{} <b>{}</b><td>{}. <span class=\"soft\">{}</span>",
            escape(&definition.code),
            definition.name,
            escape(&definition.title),
            escape(&definition.about)
        )?;
        let Some(facts) = &part.facts else {
            out.push_str("<td class=\"n\">-<td>-<td class=\"n\">-<td class=\"n\">-<td class=\"n\">-<td class=\"n\">-<td class=\"n\">-<td>not built\n");
            continue;
        };
        let (class, state) = match (facts.norms, facts.ripe) {
            (0, _) => ("soft", "no logs".to_owned()),
            (_, 0) => (
                "learning",
                format!("learning, {} of {} days", facts.days, definition.ripe_days),
            ),
            (norms, ripe) => ("ripe", format!("{}% ripe", ripe * 100 / norms)),
        };
        let count = |number: i64| show_count(number.unsigned_abs());
        writeln!(
            out,
            "<td class=\"n\">{}<td>{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"{class}\">{state}",
            facts.version,
            days(facts.window),
            count(facts.days),
            count(facts.samples),
            count(facts.excluded),
            count(part.entities as i64),
            count(facts.norms),
        )?;
    }
    out.push_str("</table></div>\n");
    Ok(())
}

fn coverage(out: &mut String, report: &Report) -> std::fmt::Result {
    let (Some((first, _)), Some((last, _))) = (
        report.coverage.first_key_value(),
        report.coverage.last_key_value(),
    ) else {
        return Ok(());
    };
    let count = (*last - *first).num_days() + 1;
    let width = (900.0 / count as f64).clamp(2.0, 24.0);
    let total = width * count as f64;
    write!(
        out,
        "<h2>Coverage</h2>\n<p>Hours of each day that were seen well enough to learn from, of 24. Days without a bar have no logs; \
         what was not seen was not learnt from.</p>\n<figure><figcaption>{first} to {last}: \
         <span class=\"new\">seen</span>, <span class=\"learning\">seen too little</span></figcaption>\n\
         <svg viewBox=\"0 0 {total:.0} 84\" style=\"max-width:{total:.0}px\" role=\"img\" aria-label=\"hours seen by day\">\n\
         <rect class=\"frame\" x=\"0\" y=\"0\" width=\"{total:.0}\" height=\"72\"/>\n"
    )?;
    for (day, seen) in &report.coverage {
        let x = (*day - *first).num_days() as f64 * width;
        let height = seen.seen as f64 * 3.0;
        let blind = seen.blind as f64 * 3.0;
        writeln!(
            out,
            "<g><title>{day}: {} h seen, {} h too little, {} samples excluded</title>\
             <rect class=\"seen\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>\
             <rect class=\"blind\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{blind:.1}\"/></g>",
            seen.seen,
            seen.blind,
            seen.excluded,
            72.0 - height,
            width * 0.85,
            72.0 - height - blind,
            width * 0.85,
        )?;
    }
    writeln!(out, "<text x=\"0\" y=\"82\">{first}</text></svg></figure>")?;
    Ok(())
}

fn weeks(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.weeks.is_empty() {
        return Ok(());
    }
    out.push_str(
        "<h2>Bytes sent by hour of the week</h2>\n<p class=\"soft\">The median of each hour, UTC, of the workloads that send the \
         most; the darkest cell is the workload's own busiest hour.</p>\n<div class=\"weeks\">\n",
    );
    for (entity, rows) in &report.weeks {
        week(out, entity, rows)?;
    }
    out.push_str("</div>\n");
    Ok(())
}

fn week(out: &mut String, entity: &str, rows: &[Row]) -> std::fmt::Result {
    let median = |row: &Row| row.norm.as_ref().map_or(0.0, |norm| norm.median);
    let most = rows.iter().map(median).fold(0.0, f64::max);
    let samples = rows.iter().map(|row| row.samples).min().unwrap_or(0);
    write!(
        out,
        "<figure><figcaption><b>{}</b>, at most {} an hour; at least {samples} samples a cell</figcaption>\n\
         <svg viewBox=\"0 0 316 98\" role=\"img\" aria-label=\"median bytes sent by hour of the week\">\n",
        escape(entity),
        show_bytes(most as u64)
    )?;
    for (number, name) in ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        .iter()
        .enumerate()
    {
        writeln!(out, "<text x=\"0\" y=\"{}\">{name}</text>", number * 12 + 9)?;
    }
    for row in rows {
        let (Some(hour), value) = (row.hour_of_week, median(row)) else {
            continue;
        };
        let part = if most > 0.0 {
            (value / most).clamp(0.0, 1.0)
        } else {
            0.0
        };
        writeln!(
            out,
            "<rect class=\"cell\" x=\"{}\" y=\"{}\" width=\"11\" height=\"11\" fill-opacity=\"{:.2}\"><title>{}: {}</title></rect>",
            26 + (hour % 24) * 12,
            hour / 24 * 12,
            0.06 + 0.94 * part,
            hour_name(hour),
            show_bytes(value as u64)
        )?;
    }
    for hour in [0, 6, 12, 18] {
        writeln!(out, "<text x=\"{}\" y=\"95\">{hour:02}</text>", 26 + hour * 12)?;
    }
    out.push_str("</svg></figure>\n");
    Ok(())
}

fn drift(out: &mut String, report: &Report) -> std::fmt::Result {
    out.push_str("<h2>Drift</h2>\n");
    match (report.since, &report.last_report) {
        (None, _) => out.push_str("<p>There is no earlier version to compare with.</p>\n"),
        (Some(since), Some(last)) if last.version == since => {
            writeln!(
                out,
                "<p>Since the last report, of {}, version {since}.</p>",
                show_time(&last.at)
            )?;
        }
        (Some(since), _) => writeln!(out, "<p>Since version {since}.</p>")?,
    }
    let mut any = false;
    for part in &report.parts {
        any |= drift_of(out, part)?;
    }
    if report.since.is_some() && !any {
        out.push_str("<p>Nothing changed that matters.</p>\n");
    }
    Ok(())
}

fn drift_of(out: &mut String, part: &Part) -> Result<bool, std::fmt::Error> {
    let Some((_, changed)) = &part.drift else {
        return Ok(false);
    };
    if changed.new.is_empty() && changed.gone.is_empty() && changed.moved.is_empty() {
        return Ok(false);
    }
    write!(
        out,
        "<h3>{} {}</h3>\n<p class=\"soft\">{} new, {} gone, {} medians moved{}</p>\n<div class=\"scroll\"><table>\n\
         <tr><th><th>Entity<th>What<th>Of it<th>When or how much\n",
        escape(&part.definition.code),
        part.definition.name,
        changed.new.len(),
        changed.gone.len(),
        changed.moved.len(),
        match changed.new.len().max(changed.gone.len()).max(changed.moved.len()) > CHANGES_MAX {
            true => format!("; the first {CHANGES_MAX} of each are listed"),
            false => String::new(),
        }
    )?;
    for (class, rows) in [("new", &changed.new), ("gone", &changed.gone)] {
        for row in rows.iter().take(CHANGES_MAX) {
            writeln!(
                out,
                "<tr><td class=\"{class}\">{class}<td><code>{}</code><td>{}<td><code>{}</code><td>{} to {}",
                escape(&row.entity),
                escape(&row.measure),
                escape(row.subject.as_deref().unwrap_or("")),
                day(row.first_seen),
                day(row.last_seen)
            )?;
        }
    }
    for (old, new) in changed.moved.iter().take(CHANGES_MAX) {
        let shown = |row: &Row| {
            row.norm.as_ref().map_or("-".to_owned(), |norm| {
                amount(&part.definition, &row.measure, norm.median)
            })
        };
        writeln!(
            out,
            "<tr><td class=\"learning\">moved<td><code>{}</code><td>{}<td><code>{}</code><td>{} to {}{}",
            escape(&new.entity),
            escape(&new.measure),
            escape(new.subject.as_deref().unwrap_or("")),
            shown(old),
            shown(new),
            new.hour_of_week
                .map_or(String::new(), |hour| format!(", at most on {}", hour_name(hour))),
        )?;
    }
    out.push_str("</table></div>\n");
    Ok(true)
}

fn approvals(out: &mut String, report: &Report) -> std::fmt::Result {
    out.push_str("<h2>Approvals</h2>\n");
    if report.approvals.is_empty() {
        out.push_str("<p>Nobody has approved a version yet.</p>\n");
        return Ok(());
    }
    out.push_str(
        "<div class=\"scroll\"><table>\n<tr><th>When<th class=\"n\">Version<th>What<th>Who<th>Why\n",
    );
    for said in &report.approvals {
        writeln!(
            out,
            "<tr><td>{}<td class=\"n\">{}<td>{}<td>{}<td>{}",
            show_time(&said.at),
            said.version,
            escape(&said.action),
            escape(&said.name),
            escape(&said.reason)
        )?;
    }
    out.push_str("</table></div>\n");
    Ok(())
}

fn exceptions(out: &mut String, report: &Report) -> std::fmt::Result {
    out.push_str("<h2>Exceptions</h2>\n");
    if report.exceptions.is_empty() {
        out.push_str("<p>No hour was left out because of an alert.</p>\n");
        return Ok(());
    }
    out.push_str(
        "<p>Hours in which an alert was raised do not train.</p>\n<div class=\"scroll\"><table>\n\
         <tr><th>Rule<th class=\"n\">Alerts<th class=\"n\">Hours<th class=\"n\">Entities\n",
    );
    for (rule, alerts, hours, entities) in &report.exceptions {
        writeln!(
            out,
            "<tr><td><code>{}</code><td class=\"n\">{alerts}<td class=\"n\">{hours}<td class=\"n\">{entities}",
            escape(rule)
        )?;
    }
    out.push_str("</table></div>\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_log_becomes_markup() {
        assert_eq!(
            escape("<script>alert('x')</script>\"&\u{1b}[31m"),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;".to_owned() + &escape("\u{1b}[31m")
        );
        assert!(!escape("\u{1b}[31m").contains('\u{1b}'));
    }
}
