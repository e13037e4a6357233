//! `trailhound who`: everything about one principal, key, address, task or interface.

mod questions;
mod risky;
mod subject;
mod timeline;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimestampMicrosecondType};
use std::sync::Arc;
use trailhound_query::Session;

use crate::cli::Common;
use crate::execute::wants_color;
use crate::failure::{Exit, Failure};
use crate::output::destination::Destination;
use crate::output::json::Ndjson;
use crate::output::{Format, Writer, say};
use crate::render::{Layout, Table};
use crate::summary;
use crate::text::{shell_quote, visible};
use crate::when::{show_bytes, show_count, show_micros};

use questions::{Drawn, Question, questions};
use subject::{Kind, Subject};

const EXAMPLES: &str = "\
Examples:
  What was done with this key, from where, and what else?
    $ trailhound who ASIAQNZGKIQY56JQ7WML --since 7d

  An address, over raw logs:
    $ trailhound who 203.0.113.7 --from vpc_flow=logs/ --from cloudtrail=AWSLogs/

  A task, with the queries behind each answer:
    $ trailhound who 1dc5c17a422b4dc4b493371970c6c4d6 --queries";

/// Bars of a timeline at most.
const TIMELINE_WIDTH: usize = 72;

/// Arguments of `trailhound who`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// An ARN, an access key, an IP address, a task, an interface, an instance, or the name of a session
    #[arg(value_name = "SUBJECT")]
    pub subject: String,

    /// Show the query behind each answer, ready to paste
    #[arg(long, help_heading = "Output")]
    pub queries: bool,

    /// Form of the result [default: table on a terminal, ndjson elsewhere]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<Format>,
}

/// Asks every table about the subject, and shows what they know.
///
/// # Errors
/// An argument makes no sense, there are no logs, or they cannot be read.
pub async fn run(args: Args, common: &Common) -> Result<ExitCode> {
    let subject = Subject::of(&args.subject);
    if subject.name.is_empty() {
        return Err(Failure::wrong_use("SUBJECT is empty")
            .with_help("name an ARN, an access key, an address, a task or an interface")
            .into());
    }
    let format = Format::choose(args.format, common.output.as_deref())?;
    if !matches!(format, Format::Table | Format::Ndjson) {
        return Err(
            Failure::wrong_use(format!("who does not answer as {}", format.name()))
                .with_help(
                    "--format table or --format ndjson; the queries behind it give every form: --queries",
                )
                .into(),
        );
    }
    let session = super::open(common).await?;
    let started = Instant::now();
    let asked = questions(&subject, &session.table_names());
    if asked.is_empty() {
        let message = format!("none of the tables can know an {}", subject.kind.words());
        return Err(Failure::wrong_use(message)
            .with_help("name more logs with --from TABLE=PATH, or a lake with --lake")
            .into());
    }
    let mut out = match &common.output {
        Some(file) => Destination::file(file)?,
        None => Destination::stdout(),
    };
    if format == Format::Table {
        writeln!(out, "{} {}", subject.kind.words(), visible(&subject.name))?;
    }
    let mut silent = Vec::new();
    for question in &asked {
        let answer = tokio::select! {
            answer = ask(&session, question) => answer?,
            () = crate::interrupt::heard() => return Ok(Exit::Interrupted.into()),
        };
        if answer.num_rows() == 0 {
            silent.push(question);
            continue;
        }
        match format {
            Format::Table => draw(question, &answer, &args, common, &mut out)?,
            _ => print(question, &answer, &mut out)?,
        }
    }
    if format == Format::Table {
        close(&subject, &asked, &silent, &mut out)?;
    }
    out.commit()?;
    if !common.quiet {
        let report = session.report_with_lake().await?;
        summary::lines(&session, &report, Some(started.elapsed()))
            .iter()
            .for_each(|line| say(line));
    }
    Ok(Exit::Done.into())
}

/// The answer as one batch; the rows are few by the query.
async fn ask(session: &Session, question: &Question) -> Result<RecordBatch> {
    let answer = session.query(&question.sql).await?;
    let schema = Arc::clone(&answer.schema);
    let batches = answer.collect().await?;
    let batch = arrow::compute::concat_batches(&schema, &batches)?;
    Ok(match question.drawn {
        Drawn::Calls => with_meanings(&batch)?,
        _ => batch,
    })
}

/// The batch with a column that says what risky calls can mean.
fn with_meanings(batch: &RecordBatch) -> Result<RecordBatch> {
    let Some(names) = batch.column_by_name("event_name") else {
        return Ok(batch.clone());
    };
    let names = cast(names, &DataType::Utf8View)?;
    let meanings: StringViewArray = names
        .as_string_view()
        .iter()
        .map(|name| name.and_then(risky::risk_of))
        .collect();
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("can_mean", DataType::Utf8View, true)));
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns.push(Arc::new(meanings));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// One answer for a person.
fn draw(
    question: &Question,
    answer: &RecordBatch,
    args: &Args,
    common: &Common,
    out: &mut Destination,
) -> Result<()> {
    writeln!(out, "\n{}", question.title)?;
    if args.queries {
        let input = summary::input_arguments(common);
        writeln!(
            out,
            "  {} sql{input} {}",
            summary::program(),
            shell_quote(&question.sql)
        )?;
    }
    if question.drawn == Drawn::Timeline {
        if let Some(lines) = timeline(question, answer)? {
            writeln!(out, "{lines}")?;
        }
        return Ok(());
    }
    let layout = Layout {
        window: (!out.is_file())
            .then(|| terminal_size::terminal_size().map_or(120, |(columns, _)| usize::from(columns.0))),
        color: out.is_terminal() && wants_color(),
        more: "--format ndjson",
        ..Layout::default()
    };
    let mut table = Table::new(answer.schema_ref(), &mut *out, layout, Instant::now());
    table.write(answer)?;
    table.finish()?;
    Ok(())
}

/// Bars over time, and what they stand for.
fn timeline(question: &Question, answer: &RecordBatch) -> Result<Option<String>> {
    let times = answer["time"].as_primitive::<TimestampMicrosecondType>();
    let amounts = cast(&answer["n"], &DataType::Float64)?;
    let amounts = amounts.as_primitive::<Float64Type>();
    let points: Vec<(i64, f64)> = (0..answer.num_rows())
        .filter(|&row| times.is_valid(row) && amounts.is_valid(row))
        .map(|row| (times.value(row), amounts.value(row)))
        .collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Ok(None);
    };
    let most = points.iter().map(|point| point.1).fold(0.0, f64::max) as u64;
    let most = match question.table {
        "vpc_flow" => show_bytes(most),
        _ => show_count(most),
    };
    Ok(timeline::bars(&points, TIMELINE_WIDTH).map(|(bars, hours)| {
        let unit = match hours {
            1 => "an hour".to_owned(),
            hours => format!("{hours} hours"),
        };
        format!(
            "  {bars}\n  {} to {}; a bar is {unit}, most in an hour {most}",
            show_micros(first.0),
            show_micros(last.0)
        )
    }))
}

/// One answer for a program: its rows, each with the question's title.
fn print(question: &Question, answer: &RecordBatch, out: &mut Destination) -> Result<()> {
    let titles: StringViewArray =
        std::iter::repeat_n(Some(question.title.as_str()), answer.num_rows()).collect();
    let mut fields = vec![Arc::new(Field::new("about", DataType::Utf8View, false))];
    fields.extend(answer.schema().fields().iter().cloned());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(titles)];
    columns.extend(answer.columns().iter().cloned());
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut writer = Ndjson::new(batch.schema_ref(), &mut *out);
    writer.write(&batch)?;
    writer.finish()?;
    Ok(())
}

/// What nothing was found of, and what these logs cannot show.
fn close(subject: &Subject, asked: &[Question], silent: &[&Question], out: &mut Destination) -> Result<()> {
    if silent.len() == asked.len() {
        writeln!(out, "\nnothing in the logs that were read")?;
    } else if !silent.is_empty() {
        let titles: Vec<String> = silent
            .iter()
            .map(|question| format!("{} ({})", question.title, question.table))
            .collect();
        writeln!(out, "\nnothing of: {}", titles.join(", "))?;
    }
    let unseen = match subject.kind {
        Kind::Task | Kind::Instance => {
            "A session's name is chosen by whoever assumes the role: calls under it need not be its own."
        }
        Kind::Address | Kind::Interface => {
            "Not visible in these logs: traffic to the instance metadata address, to Amazon's DNS and time servers."
        }
        Kind::AccessKey => {
            "Not visible in these logs: data events of services that the trail does not select."
        }
        Kind::Role | Kind::Principal | Kind::Name => return Ok(()),
    };
    writeln!(out, "{unseen}")?;
    Ok(())
}
