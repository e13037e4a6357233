//! `trailhound coverage`: which minutes were seen, as a calendar.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use arrow::array::{Array, AsArray, StringViewArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use trailhound_query::Session;

use crate::cli::Common;
use crate::execute::{Settings, Statement, execute, screen};
use crate::failure::{Exit, Failure};
use crate::output::destination::Destination;
use crate::output::{Format, say};
use crate::text::visible;
use crate::when::{show_count, show_duration};

const EXAMPLES: &str = "\
Examples:
  The last seven days that the lake has:
    $ trailhound coverage

  A month of it, as rows for a program:
    $ trailhound coverage --lake s3://security-lake/trailhound --days 31 --format ndjson";

/// Shortest stretch without records that is named as a gap, in minutes: flow
/// logs and CloudTrail come in pieces of five to ten.
const GAP_MINUTES_MIN: i64 = 15;

/// Gaps that are named one by one for each row of the calendar.
const GAPS_NAMED_MAX: usize = 5;

/// Arguments of `trailhound coverage`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Days to show, up to the last one that has records
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=366))]
    pub days: u16,

    /// Form of the result [default: by the ending of --output; table on a terminal, ndjson elsewhere]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<Format>,
}

/// Shows what was seen.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn run(args: Args, common: &Common) -> Result<ExitCode> {
    let session = super::open(common).await?;
    if !session.lake_tables().contains_key("coverage") {
        let failure = Failure::wrong_use("there is no lake that knows what was seen");
        return Err(failure
            .with_help("`trailhound ingest SOURCE` makes one; over raw files, `trailhound sql` says at its end what they cover")
            .into());
    }
    let format = Format::choose(args.format, common.output.as_deref())?;
    let last = last_day(&session).await?;
    let Some(last) = last else {
        say("nothing was seen yet");
        return Ok(Exit::Done.into());
    };
    let first = last - TimeDelta::days(i64::from(args.days) - 1);
    if format != Format::Table {
        return rows(&session, first, format, common).await;
    }
    let hours = seen(&session, first).await?;
    let mut out = match &common.output {
        Some(file) => Destination::file(file)?,
        None => Destination::stdout(),
    };
    for line in calendar(&hours, first, last) {
        use std::io::Write;
        writeln!(out, "{line}")?;
    }
    out.commit()?;
    Ok(Exit::Done.into())
}

async fn last_day(session: &Session) -> Result<Option<NaiveDate>> {
    let answer = session.query("SELECT max(event_time) AS t FROM coverage").await?;
    let batches = answer.collect().await?;
    let last = batches.iter().find_map(|batch| {
        let times = batch.column(0).as_primitive_opt::<TimestampMicrosecondType>()?;
        (batch.num_rows() > 0 && times.is_valid(0)).then(|| times.value(0))
    });
    Ok(last
        .and_then(DateTime::from_timestamp_micros)
        .map(|time| time.date_naive()))
}

/// Rows of one hour a source, table, account and Region, for programs.
async fn rows(session: &Session, first: NaiveDate, format: Format, common: &Common) -> Result<ExitCode> {
    let sql = format!(
        "SELECT table_name, source, account_id, region, event_time AS hour, \
         bit_count(bit_or(minutes)) AS minutes_seen, sum(records) AS records, sum(nodata) AS nodata, \
         sum(skipdata) AS skipdata, count(DISTINCT interface_id) AS interfaces, max(delivered_at) AS delivered_at, \
         max(_ingested_at) AS ingested_at FROM coverage WHERE event_time >= TIMESTAMP '{first}' \
         GROUP BY table_name, source, account_id, region, event_time ORDER BY 1, 2, 3, 4, 5"
    );
    let settings = Settings {
        expanded: false,
        all_columns: false,
        timing: false,
        pager: true,
        progress: !common.quiet,
        more: "--format ndjson",
    };
    let mut out = match &common.output {
        Some(file) => Destination::file(file)?,
        None => screen(format, &settings),
    };
    let statement = Statement {
        sql,
        file: None,
        first_line: 1,
    };
    execute(session, &statement, format, &settings, &mut out).await?;
    out.commit()?;
    Ok(Exit::Done.into())
}

/// Whom a part of the calendar is about: table, account, Region.
type Key = (String, String, String);

/// What was seen in an hour.
#[derive(Debug, Clone, Copy, Default)]
struct Hour {
    minutes: u64,
    records: u64,
    skipdata: u64,
    /// Sum of the seconds from event to reading, of so many rows.
    lag: (i64, i64),
}

async fn seen(session: &Session, first: NaiveDate) -> Result<BTreeMap<Key, BTreeMap<i64, Hour>>> {
    let sql = format!(
        "SELECT table_name, account_id, region, event_time, bit_or(minutes) AS minutes, sum(records) AS records, \
         sum(skipdata) AS skipdata, max(last_event) AS last_event, max(_ingested_at) AS ingested \
         FROM coverage WHERE event_time >= TIMESTAMP '{first}' GROUP BY 1, 2, 3, 4"
    );
    let mut seen: BTreeMap<Key, BTreeMap<i64, Hour>> = BTreeMap::new();
    for batch in session.query(&sql).await?.collect().await? {
        let text = |name: &str, row: usize| -> String {
            let column: Option<&StringViewArray> = batch[name].as_string_view_opt();
            let value = column.and_then(|column| column.is_valid(row).then(|| column.value(row)));
            value.unwrap_or("-").to_owned()
        };
        let time = |name: &str| batch[name].as_primitive::<TimestampMicrosecondType>().clone();
        let long = |name: &str| batch[name].as_primitive::<Int64Type>().clone();
        let (hours, last, read) = (time("event_time"), time("last_event"), time("ingested"));
        let (minutes, records, skipdata) = (long("minutes"), long("records"), long("skipdata"));
        for row in 0..batch.num_rows() {
            let key = (
                text("table_name", row),
                text("account_id", row),
                text("region", row),
            );
            let hour = hours.value(row) / 3_600_000_000;
            let lag = (read.value(row) - last.value(row)) / 1_000_000;
            seen.entry(key).or_default().insert(
                hour,
                Hour {
                    minutes: minutes.value(row) as u64,
                    records: records.value(row) as u64,
                    skipdata: skipdata.value(row) as u64,
                    lag: (lag, 1),
                },
            );
        }
    }
    Ok(seen)
}

/// The calendar: a line a day, a cell an hour.
fn calendar(seen: &BTreeMap<Key, BTreeMap<i64, Hour>>, first: NaiveDate, last: NaiveDate) -> Vec<String> {
    let mut lines = Vec::new();
    for ((table, account, region), hours) in seen {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!(
            "{}  account {}  {}",
            visible(table),
            visible(account),
            visible(region)
        ));
        lines.push(format!(
            "  {:<10}  0     6     12    18      seen  records",
            "UTC"
        ));
        let mut day = first;
        while day <= last {
            lines.push(line_of(day, hours));
            let Some(next) = day.succ_opt() else { break };
            day = next;
        }
        lines.extend(gaps(hours));
        lines.extend(lag(hours));
    }
    if !lines.is_empty() {
        lines.push(String::new());
        lines.push("█ every minute  ▓ most  ▒ half  ░ few  · none; a minute without records may be quiet or unseen: these logs cannot tell".to_owned());
    }
    lines
}

fn hour_of(day: NaiveDate) -> i64 {
    day.signed_duration_since(NaiveDate::default()).num_days() * 24
}

fn line_of(day: NaiveDate, hours: &BTreeMap<i64, Hour>) -> String {
    let start = hour_of(day);
    let mut line = format!("  {day}  ");
    let (mut minutes, mut records, mut skipdata) = (0, 0, 0);
    for hour in start..start + 24 {
        let seen = hours.get(&hour).copied().unwrap_or_default();
        line.push(match seen.minutes.count_ones() {
            60 => '█',
            40..60 => '▓',
            20..40 => '▒',
            1..20 => '░',
            _ => '·',
        });
        minutes += seen.minutes.count_ones();
        records += seen.records;
        skipdata += seen.skipdata;
    }
    // Rounded down: 100% is every minute.
    line.push_str(&format!(
        "  {:>3}%  {:>7}",
        minutes * 100 / 1440,
        show_count(records)
    ));
    if skipdata > 0 {
        line.push_str(&format!(
            "  {} SKIPDATA: traffic was not recorded",
            show_count(skipdata)
        ));
    }
    line
}

/// Stretches without a record, between the first and the last minute that has one.
fn gaps(hours: &BTreeMap<i64, Hour>) -> Vec<String> {
    let mut gaps: Vec<(i64, i64)> = Vec::new();
    let mut before: Option<i64> = None;
    for (hour, seen) in hours {
        for minute in (0..60).filter(|bit| seen.minutes & (1 << bit) != 0) {
            let minute = hour * 60 + minute;
            if let Some(before) = before
                && minute - before > GAP_MINUTES_MIN
            {
                gaps.push((before + 1, minute));
            }
            before = Some(minute);
        }
    }
    // The longest ones matter, in their order.
    let count = gaps.len();
    gaps.sort_by_key(|(from, to)| from - to);
    gaps.truncate(GAPS_NAMED_MAX);
    gaps.sort_unstable();
    let mut lines: Vec<String> = gaps
        .iter()
        .map(|(from, to)| {
            format!(
                "  gap {} to {}, {} minutes",
                minute(*from),
                minute(*to),
                show_count((to - from) as u64)
            )
        })
        .collect();
    if count > GAPS_NAMED_MAX {
        lines.push(format!("  and {} shorter gaps", count - GAPS_NAMED_MAX));
    }
    lines
}

fn minute(minute: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp(minute * 60, 0).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M").to_string()
}

/// How long after an hour's last event it was read, at the median.
fn lag(hours: &BTreeMap<i64, Hour>) -> Option<String> {
    let mut lags: Vec<i64> = hours
        .values()
        .filter(|hour| hour.lag.1 > 0)
        .map(|hour| hour.lag.0)
        .collect();
    lags.sort_unstable();
    let median = *lags.get(lags.len() / 2)?;
    let shown = show_duration(std::time::Duration::from_secs(median.max(0).unsigned_abs()));
    Some(format!(
        "  read {shown} after the last event of an hour, at the median"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(minutes: u64, records: u64) -> Hour {
        Hour {
            minutes,
            records,
            skipdata: 0,
            lag: (90, 1),
        }
    }

    #[test]
    fn days_are_lines_and_hours_are_cells() {
        let day: NaiveDate = "2026-11-01".parse().unwrap();
        let start = hour_of(day);
        let all = (1u64 << 60) - 1;
        let hours = BTreeMap::from([
            (start, hour(all, 1200)),
            (start + 1, hour(0x3ff, 10)),
            (start + 23, hour(all, 5)),
        ]);
        let seen = BTreeMap::from([(("cloudtrail".into(), "1".into(), "eu-west-1".into()), hours)]);
        let lines = calendar(&seen, day, day);
        assert_eq!(lines[0], "cloudtrail  account 1  eu-west-1");
        assert_eq!(lines[2], "  2026-11-01  █░·····················█    9%    1,215");
        assert_eq!(
            lines[3],
            "  gap 2026-11-01 01:10 to 2026-11-01 23:00, 1,310 minutes"
        );
        assert_eq!(
            lines[4],
            "  read 1 min 30 s after the last event of an hour, at the median"
        );
    }

    #[test]
    fn many_gaps_are_summed_up() {
        let hours: BTreeMap<i64, Hour> = (0..20).map(|at| (at, hour(1, 1))).collect();
        let lines = gaps(&hours);
        assert_eq!(lines.len(), GAPS_NAMED_MAX + 1);
        assert_eq!(lines.last().unwrap(), "  and 14 shorter gaps");
    }
}
