//! One statement, from its text to its rows on their way out.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trailhound_query::{Answer, Session};

use crate::failure::{Failure, StatementFailure};
use crate::interrupt;
use crate::output::destination::Destination;
use crate::output::pager::Pager;
use crate::output::{Format, Writer, is_broken_pipe, writer};
use crate::profile::{profile, target as profile_target};
use crate::progress::Progress;
use crate::render::{Layout, Table};

/// Batches that may wait for the output: enough to keep both sides busy.
const BATCHES_AHEAD: usize = 2;

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// One page per row in place of a table.
    pub expanded: bool,
    /// All columns of a table, however wide.
    pub all_columns: bool,
    /// Say how long a query took.
    pub timing: bool,
    /// Use a pager where the result is longer than the window.
    pub pager: bool,
    /// Show progress, if there is a terminal for it.
    pub progress: bool,
    /// How to see the columns that a table leaves out.
    pub more: &'static str,
}

/// A statement and where it stands.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Its text.
    pub sql: String,
    /// The file that it comes from.
    pub file: Option<PathBuf>,
    /// The line that it begins on, counted from 1.
    pub first_line: usize,
}

impl Statement {
    /// The statements of a text, each with its place.
    pub fn all(text: &str, file: Option<PathBuf>) -> Vec<Statement> {
        let statements = crate::statements::statements(text).into_iter();
        statements
            .map(|s| Statement {
                sql: s.text.to_owned(),
                file: file.clone(),
                first_line: s.line,
            })
            .collect()
    }

    fn failed(&self, error: trailhound_query::Error, sql: &str) -> StatementFailure {
        StatementFailure {
            error,
            sql: sql.to_owned(),
            file: self.file.clone(),
            first_line: self.first_line,
        }
    }
}

/// How a statement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All rows are written.
    Complete,
    /// Ctrl-C.
    Interrupted,
    /// The reader of the output has had enough.
    Closed,
}

/// Standard output or, for a table on a terminal, the pager.
pub fn screen(format: Format, settings: &Settings) -> Destination {
    let window = terminal_size::terminal_size();
    match (window, std::io::stdout().is_terminal()) {
        (Some((_, lines)), true) if format == Format::Table && settings.pager => {
            Pager::from_environment(lines.0.into()).map_or_else(Destination::stdout, Destination::pager)
        }
        _ => Destination::stdout(),
    }
}

/// Runs `statement` and writes its rows to `out`.
///
/// Ctrl-C ends the statement, not the program.
///
/// # Errors
/// The statement is wrong or fails, or its rows cannot be written.
pub async fn execute(
    session: &Session,
    statement: &Statement,
    format: Format,
    settings: &Settings,
    out: &mut Destination,
) -> Result<End> {
    let progress = match settings.progress && !out.has_shown() {
        true => Progress::start(session, &statement.sql),
        false => Progress::default(),
    };
    out.before_first({
        let progress = progress.clone();
        move || progress.stop()
    });
    let end = tokio::select! {
        end = run(session, statement, format, settings, out) => end,
        () = interrupt::heard() => Ok(End::Interrupted),
    };
    progress.stop();
    match end {
        Err(error) if error.chain().any(is_broken_pipe) => Ok(End::Closed),
        end => end,
    }
}

async fn run(
    session: &Session,
    statement: &Statement,
    format: Format,
    settings: &Settings,
    out: &mut Destination,
) -> Result<End> {
    let started = Instant::now();
    let profiled = profile_target(&statement.sql);
    let sql = profiled.as_deref().unwrap_or(&statement.sql);
    let answer = match profiled {
        Some(_) => profile(session, sql).await,
        None => session.query(sql).await,
    };
    let Answer { schema, mut stream } = answer.map_err(|error| statement.failed(error, sql))?;
    if schema.fields().is_empty() {
        // Statements that define something: run them, there is nothing to show.
        while let Some(batch) = stream.next().await {
            batch.map_err(|error| statement.failed(error, sql))?;
        }
        return Ok(End::Complete);
    }
    if format.is_binary() && out.has_shown() {
        let message = format!(
            "one {} file holds one result, and this is the second",
            format.name()
        );
        return Err(Failure::wrong_use(message)
            .with_help("run the statements one by one")
            .into());
    }
    let layout = layout(settings, out);
    let mut writer: Box<dyn Writer> = match format {
        Format::Table => Box::new(Table::new(&schema, &mut *out, layout, started)),
        _ => writer(format, &schema, out)?,
    };
    let (mut batches, _reading) = read_ahead(stream);
    while let Some(batch) = batches.recv().await {
        writer.write(&batch.map_err(|error| statement.failed(error, sql))?)?;
    }
    writer.finish()?;
    Ok(End::Complete)
}

type Batch = Result<arrow::array::RecordBatch, trailhound_query::Error>;

/// Reads the stream in a task of its own: whoever waits for its rows can then
/// hear Ctrl-C at any time, however busy the query is.
fn read_ahead(mut stream: futures::stream::BoxStream<'static, Batch>) -> (mpsc::Receiver<Batch>, Reading) {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let task = tokio::spawn(async move {
        while let Some(batch) = stream.next().await {
            if sender.send(batch).await.is_err() {
                break;
            }
        }
        // First the scans, so that what they read is known when the rows end.
        drop(stream);
    });
    (receiver, Reading(task))
}

/// Ends the query when it is dropped.
struct Reading(JoinHandle<()>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn layout(settings: &Settings, out: &Destination) -> Layout {
    let on_terminal = out.is_terminal();
    let window = terminal_size::terminal_size().map(|(columns, _)| usize::from(columns.0));
    Layout {
        window: window.filter(|_| on_terminal),
        all_columns: settings.all_columns,
        expanded: settings.expanded,
        color: on_terminal && wants_color(),
        timing: settings.timing && on_terminal,
        more: settings.more,
    }
}

/// Whether the environment has nothing against colours.
pub fn wants_color() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}
