//! The report at the end of a run: what was read, kept, rejected and skipped,
//! the time it covers, and what to try next.

use std::time::Duration;

use trailhound_query::{Report, Session, TableReport};

use crate::cli::Common;
use crate::failure::{Exit, Failure};
use crate::output::say;
use crate::text::{shell_quote, visible};
use crate::when::{show_bytes, show_count, show_duration, show_micros};

/// Most files that are named one by one.
const NAMED_MAX: usize = 20;

/// Counts what did not parse, by reason, with one example of each.
pub const REJECTS_QUERY: &str = "SELECT table_name, reason, count(*) AS n, min(_source) AS example_source, min(raw) AS example \
     FROM rejects GROUP BY table_name, reason ORDER BY n DESC";

/// The lines of the report; none if nothing was read. `elapsed` is how long
/// reading took, where that is known.
pub fn lines(session: &Session, report: &Report, elapsed: Option<Duration>) -> Vec<String> {
    let mut lines = Vec::new();
    let raw = session.raw_tables();
    for table in &report.tables {
        let files = raw
            .iter()
            .find(|raw| raw.name() == table.table)
            .map(|raw| raw.sources().count());
        lines.push(counts(table, files));
        lines.extend(span(table));
        named(&mut lines, "skipped", table.skipped());
        named(&mut lines, "could not read", table.unreachable());
    }
    // Tables are read at the same time, so that only all of them have a rate.
    let (bytes, inflated) = report.tables.iter().fold((0, 0), |sum, table| {
        (
            sum.0 + table.sum(|o| o.bytes_in),
            sum.1 + table.sum(|o| o.bytes_out),
        )
    });
    if bytes > 0 {
        let mut line = format!("read {}", show_bytes(bytes));
        if inflated > bytes {
            line.push_str(&format!(" ({} inflated)", show_bytes(inflated)));
        }
        if let Some(elapsed) = elapsed.filter(|elapsed| !elapsed.is_zero()) {
            let rate = bytes as f64 / elapsed.as_secs_f64();
            line.push_str(&format!(
                " in {}, {}/s",
                show_duration(elapsed),
                show_bytes(rate as u64)
            ));
        }
        lines.push(line);
    }
    lines.extend(session.enrichment().notes().iter().map(crate::enrich::words));
    lines
}

fn counts(table: &TableReport, files: Option<usize>) -> String {
    let (skipped, unreachable) = (table.skipped().count(), table.unreachable().count());
    let read = table.objects.len() - skipped - unreachable;
    let mut line = match files {
        Some(files) if files != read => format!(
            "{}: {read} of {} read",
            visible(&table.table),
            plural(files as u64, "file")
        ),
        _ => format!("{}: {} read", visible(&table.table), plural(read as u64, "file")),
    };
    let rejected = table.sum(|object| object.rejected);
    line.push_str(&format!(", {}", plural(table.sum(|object| object.rows), "row")));
    line.push_str(&format!(", {} rejected", show_count(rejected)));
    if rejected > 0 {
        line.push_str(" (SELECT * FROM rejects)");
    }
    if skipped > 0 {
        line.push_str(&format!(", {} skipped", plural(skipped as u64, "file")));
    }
    let partly = table
        .objects
        .iter()
        .filter(|object| object.outcome == trailhound_query::Outcome::Read { complete: false })
        .count();
    if partly > 0 {
        line.push_str(&format!(
            ", {} in part, as the query needed no more",
            plural(partly as u64, "file")
        ));
    }
    line
}

/// The time that the rows cover: nothing found means little without it.
fn span(table: &TableReport) -> Option<String> {
    let (first, last) = (table.first()?, table.last()?);
    let mut line = format!("  covers {} to {}", show_micros(first), show_micros(last));
    let seen: i64 = table.minutes.iter().map(|(start, end)| end - start + 1).sum();
    if let (Some((start, _)), Some((_, end))) = (table.minutes.first(), table.minutes.last()) {
        let whole = end - start + 1;
        line.push_str(&format!(
            ", events in {} of {}",
            show_count(seen as u64),
            plural(whole as u64, "minute")
        ));
    }
    Some(line)
}

fn named<'a>(lines: &mut Vec<String>, what: &str, files: impl Iterator<Item = (&'a str, &'a str)>) {
    let files: Vec<_> = files.collect();
    for (file, reason) in files.iter().take(NAMED_MAX) {
        lines.push(format!("  {what} {}: {}", visible(file), visible(reason)));
    }
    if files.len() > NAMED_MAX {
        lines.push(format!(
            "  ... and {} more {what}",
            show_count((files.len() - NAMED_MAX) as u64)
        ));
    }
}

/// A count and its noun: `1 file`, `1,234 files`.
pub fn plural(count: u64, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        show_count(count),
        if count == 1 { "" } else { "s" }
    )
}

/// Says the report and the next command on standard error.
pub fn print(session: &Session, report: &Report, common: &Common, elapsed: Duration) {
    let lines = lines(session, report, Some(elapsed));
    lines.iter().for_each(|line| say(line));
    if let Some(next) = next_command(report, common) {
        say(&format!("next: {next}"));
    }
}

/// What was read, once the scans of a query that was ended early have said so:
/// they are only told to stop, and note what they did when they do.
pub async fn settled_report(session: &Session) -> Report {
    let report = session.report();
    if report.tables.iter().any(|table| !is_all(session, table)) {
        tokio::time::sleep(SETTLE).await;
        return session.report();
    }
    report
}

/// Long enough for a thread that is not busy, short enough for people.
const SETTLE: Duration = Duration::from_millis(20);

/// Whether the report knows of every file of the table.
fn is_all(session: &Session, table: &TableReport) -> bool {
    let raw = session.raw_tables();
    let files = raw
        .iter()
        .find(|raw| raw.name() == table.table)
        .map(|raw| raw.sources().count());
    files.is_none_or(|files| table.objects.len() >= files)
}

/// As [`outcome`], for queries that may end before they opened every file.
///
/// # Errors
/// A table has no file that could be used, or a file could not be read.
pub fn outcome_so_far(session: &Session, report: &Report, strict: bool) -> Result<Exit, Failure> {
    judge(report, strict, |table| is_all(session, table))
}

/// How the reading went: the exit code, where it went at all.
///
/// # Errors
/// A table has no file that could be used, or a file could not be read.
pub fn outcome(report: &Report, strict: bool) -> Result<Exit, Failure> {
    judge(report, strict, |_| true)
}

fn judge(report: &Report, strict: bool, is_all: impl Fn(&TableReport) -> bool) -> Result<Exit, Failure> {
    for table in &report.tables {
        let name = visible(&table.table);
        if table.nothing_usable()
            && is_all(table)
            && let Some((file, reason)) = table.skipped().next()
        {
            let message = format!(
                "no file of table {name} could be used: {}: {}",
                visible(file),
                visible(reason)
            );
            return Err(Failure {
                exit: Exit::WrongUse,
                message,
                help: None,
            });
        }
        if let Some((file, reason)) = table.unreachable().next() {
            let count = plural(table.unreachable().count() as u64, "file");
            let message = format!(
                "{count} of table {name} could not be read: {}: {}",
                visible(file),
                visible(reason)
            );
            return Err(Failure {
                exit: Exit::Unreachable,
                message,
                help: None,
            });
        }
    }
    let rejected: u64 = report
        .tables
        .iter()
        .map(|table| table.sum(|object| object.rejected))
        .sum();
    let skipped: usize = report.tables.iter().map(|table| table.skipped().count()).sum();
    if strict && (rejected > 0 || skipped > 0) {
        say(&format!(
            "strict: {} rejected, {} skipped",
            plural(rejected, "record"),
            plural(skipped as u64, "file")
        ));
        return Ok(Exit::Rejected);
    }
    Ok(Exit::Done)
}

/// The command worth trying next, so written that it works as printed.
pub fn next_command(report: &Report, common: &Common) -> Option<String> {
    if report
        .tables
        .iter()
        .all(|table| table.sum(|object| object.rows + object.rejected) == 0)
    {
        return None;
    }
    let input = input_arguments(common);
    if report
        .tables
        .iter()
        .any(|table| table.sum(|object| object.rejected) > 0)
    {
        return Some(format!("{} sql{input} {}", program(), shell_quote(REJECTS_QUERY)));
    }
    (!common.from.is_empty()).then(|| format!("{} detect{input}", program()))
}

/// The arguments that give a command the same input, each after a blank.
pub fn input_arguments(common: &Common) -> String {
    let mut arguments = Vec::new();
    for from in &common.from {
        let table = if from.table == from.format {
            from.table.clone()
        } else {
            format!("{}:{}", from.table, from.format)
        };
        arguments.push(format!("--from {table}={}", shell_quote(&from.location)));
    }
    if let Some(lake) = &common.lake {
        arguments.push(format!("--lake {}", shell_quote(lake)));
    }
    for option in &common.option {
        arguments.push(format!(
            "--option {}.{}={}",
            option.table,
            option.name,
            shell_quote(&option.value)
        ));
    }
    for arg in &common.enrich {
        let file = arg.file.to_string_lossy();
        arguments.push(format!("--enrich {}={}", arg.kind.name(), shell_quote(&file)));
    }
    for (name, when) in [("--since", common.since), ("--until", common.until)] {
        arguments.extend(when.map(|when| format!("{name} {when}")));
    }
    arguments.extend(
        common
            .endpoint_url
            .iter()
            .map(|url| format!("--endpoint-url {}", shell_quote(url))),
    );
    arguments.iter().map(|argument| format!(" {argument}")).collect()
}

/// How this program was called, so that a printed command works in the same place.
pub fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    // Found by the shell's search path: its name is enough.
    if called.contains('/') {
        shell_quote(&called).into_owned()
    } else {
        "trailhound".to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trailhound_query::{ObjectReport, Outcome};

    fn object(source: &str, outcome: Outcome, rows: u64, rejected: u64) -> ObjectReport {
        let day = 86_400_000_000;
        ObjectReport {
            source: source.into(),
            outcome,
            rows,
            rejected,
            passed: 1,
            bytes_in: 1000,
            bytes_out: 10_000,
            first: Some(20_000 * day),
            last: Some(20_001 * day),
            minutes: vec![(28_800_000, 28_800_009)],
        }
    }

    fn report(objects: Vec<ObjectReport>) -> Report {
        let minutes = vec![(28_800_000, 28_800_009), (28_801_430, 28_801_439)];
        Report {
            tables: vec![TableReport {
                table: "vpc_flow".into(),
                objects,
                minutes,
            }],
        }
    }

    async fn session() -> Session {
        Session::open(Default::default()).await.unwrap()
    }

    #[tokio::test]
    async fn the_report_names_counts_time_and_skipped_files() {
        let skipped = Outcome::Skipped {
            reason: "not a flow log \x1b[2J".into(),
        };
        let report = report(vec![
            object("a.log", Outcome::Read { complete: true }, 1234, 2),
            object("b.log", skipped, 0, 0),
        ]);
        assert_eq!(
            lines(&session().await, &report, Some(Duration::from_secs(2))),
            [
                "vpc_flow: 1 file read, 1,234 rows, 2 rejected (SELECT * FROM rejects), 1 file skipped",
                "  covers 2024-10-04 00:00:00Z to 2024-10-05 00:00:00Z, events in 20 of 1,440 minutes",
                "  skipped b.log: not a flow log ␛[2J",
                "read 2.0 kB (20 kB inflated) in 2.0 s, 1.0 kB/s",
            ]
        );
    }

    #[test]
    fn what_was_read_decides_the_exit_code() {
        let skipped = || object("b", Outcome::Skipped { reason: "no".into() }, 0, 0);
        let read = || object("a", Outcome::Read { complete: true }, 5, 0);
        let unreachable = object(
            "c",
            Outcome::Unreachable {
                reason: "denied".into(),
            },
            0,
            0,
        );
        assert_eq!(
            outcome(&report(vec![read(), skipped()]), false).unwrap(),
            Exit::Done
        );
        assert_eq!(
            outcome(&report(vec![read(), skipped()]), true).unwrap(),
            Exit::Rejected
        );
        let error = outcome(&report(vec![skipped()]), false).unwrap_err();
        assert_eq!(
            (error.exit, error.message.as_str()),
            (Exit::WrongUse, "no file of table vpc_flow could be used: b: no")
        );
        let error = outcome(&report(vec![read(), unreachable]), false).unwrap_err();
        assert_eq!(error.exit, Exit::Unreachable);
    }

    #[tokio::test]
    async fn long_lists_are_cut() {
        let skipped = Outcome::Skipped { reason: "no".into() };
        let report = report(
            (0..25)
                .map(|i| object(&format!("{i}.log"), skipped.clone(), 0, 0))
                .collect(),
        );
        let lines = lines(&session().await, &report, None);
        assert_eq!(
            lines.iter().filter(|line| line.starts_with("  skipped ")).count(),
            NAMED_MAX
        );
        assert!(
            lines.contains(&"  ... and 5 more skipped".to_string()),
            "{lines:#?}"
        );
    }

    #[test]
    fn the_next_command_is_quoted_for_the_shell() {
        let common = Common {
            from: vec![
                "vpc_flow=my logs/*.gz".parse().unwrap(),
                "old:vpc_flow=x".parse().unwrap(),
            ],
            since: Some("24h".parse().unwrap()),
            ..Common::default()
        };
        assert_eq!(
            input_arguments(&common),
            " --from vpc_flow='my logs/*.gz' --from old:vpc_flow=x --since 1d"
        );
        let clean = report(vec![object("a", Outcome::Read { complete: true }, 5, 0)]);
        assert!(
            next_command(&clean, &common)
                .unwrap()
                .contains(" detect --from vpc_flow='my logs/*.gz'")
        );
        let dirty = report(vec![object("a", Outcome::Read { complete: true }, 5, 1)]);
        let next = next_command(&dirty, &common).unwrap();
        assert!(
            next.contains(" sql --from") && next.contains("'SELECT table_name, reason"),
            "{next}"
        );
        assert_eq!(next_command(&Report::default(), &common), None);
    }
}
