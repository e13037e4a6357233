//! What came of an ingest: the last lines on standard error, and the exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use trailhound_pipeline::{Summary, Watch};
use trailhound_query::Error;

use super::Args;
use crate::failure::{Exit, say_error};
use crate::lakes::{DEFAULT, Place};
use crate::output::say;
use crate::summary::{REJECTS_QUERY, plural, program};
use crate::text::{shell_quote, visible};
use crate::when::{show_bytes, show_count, show_duration, show_micros};

/// Objects that are named one by one.
const NAMED_MAX: usize = 20;

/// Says what came of all sources; the exit code is the worst of theirs.
pub fn end(
    args: &Args,
    place: &Place,
    watches: &[(String, Arc<Watch>)],
    failures: Vec<Error>,
    elapsed: Duration,
) -> ExitCode {
    let summaries: Vec<(&str, Summary)> = watches
        .iter()
        .map(|(name, watch)| (name.as_str(), watch.summary()))
        .collect();
    if !args.quiet {
        for (name, summary) in &summaries {
            if watches.len() > 1 {
                say(&format!("{}:", visible(name)));
            }
            lines(summary).iter().for_each(|line| say(line));
        }
        say(&totals(&summaries, place, elapsed));
        if let Some(next) = next_command(&summaries, place) {
            say(&format!("next: {next}"));
        }
    }
    let unread: u64 = summaries.iter().map(|(_, summary)| summary.failed_count).sum();
    let rejected: u64 = summaries
        .iter()
        .map(|(_, summary)| summary.total().rejected)
        .sum();
    let skipped: u64 = summaries.iter().map(|(_, summary)| summary.skipped_count).sum();
    let mut exit = Exit::Done;
    if args.strict && rejected + skipped > 0 {
        exit = Exit::Rejected;
    }
    if unread > 0 {
        exit = Exit::Unreachable;
    }
    for error in failures {
        exit = say_error(&error.into());
    }
    exit.into()
}

fn lines(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    for (table, counts) in &summary.tables {
        let mut line = format!(
            "{table}: {} from {}, {} rejected",
            plural(counts.rows, "row"),
            plural(counts.objects, "object"),
            show_count(counts.rejected)
        );
        if counts.rejected > 0 {
            line.push_str(" (SELECT * FROM rejects)");
        }
        lines.push(line);
        if let (Some(first), Some(last)) = (counts.first, counts.last) {
            lines.push(format!(
                "  covers {} to {}",
                show_micros(first),
                show_micros(last)
            ));
        }
    }
    if summary.known > 0 {
        lines.push(format!("{} taken before", plural(summary.known, "object")));
    }
    named(&mut lines, "skipped", &summary.skipped, summary.skipped_count);
    named(
        &mut lines,
        "could not read",
        &summary.failed,
        summary.failed_count,
    );
    lines
}

fn named(lines: &mut Vec<String>, what: &str, objects: &[(String, String)], count: u64) {
    for (name, reason) in objects.iter().take(NAMED_MAX) {
        lines.push(format!("  {what} {}: {}", visible(name), visible(reason)));
    }
    let more = count.saturating_sub(NAMED_MAX as u64);
    if more > 0 {
        lines.push(format!("  {what} {} more", show_count(more)));
    }
}

fn totals(summaries: &[(&str, Summary)], place: &Place, elapsed: Duration) -> String {
    let bytes: u64 = summaries
        .iter()
        .map(|(_, summary)| summary.total().bytes_in)
        .sum();
    let commits: u64 = summaries.iter().map(|(_, summary)| summary.commits).sum();
    if commits == 0 {
        return format!("nothing new for {}", visible(&place.location));
    }
    format!(
        "read {} in {}; {} to {}",
        show_bytes(bytes),
        show_duration(elapsed),
        plural(commits, "commit"),
        visible(&place.location)
    )
}

/// The command worth trying next, so written that it works as printed.
fn next_command(summaries: &[(&str, Summary)], place: &Place) -> Option<String> {
    let mut at = String::new();
    if place.location != DEFAULT {
        at.push_str(&format!(" --lake {}", shell_quote(&place.location)));
    }
    if let Some(endpoint) = &place.endpoint_url {
        at.push_str(&format!(" --endpoint-url {}", shell_quote(endpoint)));
    }
    let total = |count: fn(&Summary) -> u64| -> u64 { summaries.iter().map(|(_, s)| count(s)).sum() };
    if total(|summary| summary.total().rejected) > 0 {
        return Some(format!("{} sql{at} {}", program(), shell_quote(REJECTS_QUERY)));
    }
    (total(|summary| summary.total().rows) > 0).then(|| format!("{} detect{at}", program()))
}
