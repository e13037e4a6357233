//! `trailhound sql`: one query, a file of them, or a prompt.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use trailhound_ingest::formats::format_named;
use trailhound_query::{Session, pattern};

use crate::cli::Common;
use crate::execute::{End, Settings, Statement, execute, screen};
use crate::failure::{Exit, Failure, StatementFailure};
use crate::output::Format;
use crate::output::destination::Destination;
use crate::text::visible;
use crate::{prompt, summary};

const EXAMPLES: &str = "\
Examples:
  No input is needed to try it:
    $ trailhound sql \"SELECT is_private_ip('10.0.0.7') AS private\"

  Which addresses were refused most often?
    $ trailhound sql --from vpc_flow='logs/*.log.gz' \"SELECT srcaddr, count(*) AS n FROM vpc_flow WHERE action = 'REJECT' GROUP BY srcaddr ORDER BY n DESC LIMIT 10\"

  What is in these files, column by column?
    $ trailhound sql --from cloudtrail=AWSLogs/ \"SUMMARIZE cloudtrail\"

  The last day of changes to ECS, as CSV:
    $ trailhound sql --from cloudtrail=AWSLogs/ --since 24h --output changes.csv \"SELECT * FROM cloudtrail WHERE event_source = 'ecs.amazonaws.com' AND NOT read_only\"

  A flow log without a header line:
    $ trailhound sql --from vpc_flow=flows.txt --option vpc_flow.fields='srcaddr dstaddr dstport action' \"SELECT * FROM vpc_flow\"

  A CloudWatch filter pattern in place of SQL, and the SQL that it becomes:
    $ trailhound sql --from vpc_flow=logs/ --pattern '[..., dstport = 80 || dstport = 8080, protocol, packets, bytes >= 400, start, end, action = REJECT, status]'
    $ trailhound sql --table cloudtrail --explain --pattern '{ $.eventName = \"StopLogging\" && $.errorCode NOT EXISTS }'

  What did not parse, and why?
    $ trailhound sql --from vpc_flow=logs/ \"SELECT reason, raw, _source, _line FROM rejects\"

  Look around by hand; \\? lists what the prompt can do:
    $ trailhound sql --from vpc_flow=logs/ --from cloudtrail=AWSLogs/";

/// Arguments of `trailhound sql`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The query; without one, a prompt, or SQL from standard input
    ///
    /// Several statements may be given, with `;` between them.
    #[arg(value_name = "QUERY", conflicts_with = "file")]
    pub query: Option<String>,

    /// Read the statements from a file; - is standard input
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Ask with a filter pattern of CloudWatch Logs in place of SQL
    ///
    /// [a, b = 80, ...] has a condition for each field of a line. Over vpc_flow positions count and names are
    /// free, as long as there are the 14 fields of the default format or an ellipsis; else the names have to be
    /// those of the flow log. { $.a.b = "x" } is about members of a JSON record or message, and
    /// ERROR -timeout or ?A ?B about words in a message. What it means is what AWS documents.
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true, conflicts_with_all = ["query", "file"])]
    pub pattern: Option<String>,

    /// Table that the pattern is about; needed if there are several --from
    #[arg(long, value_name = "TABLE", requires = "pattern", conflicts_with_all = ["query", "file"])]
    pub table: Option<String>,

    /// Show the SQL that the pattern becomes, and do not run it; needs no --from if --table names a kind of log
    #[arg(long, requires = "pattern", conflicts_with_all = ["query", "file"])]
    pub explain: bool,

    /// Form of the result [default: by the ending of --output; table on a terminal, ndjson elsewhere]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<Format>,

    /// One page per row in place of a table
    #[arg(long, short = 'x', help_heading = "Output")]
    pub expanded: bool,
}

/// Runs the query, the file or the prompt.
///
/// # Errors
/// An argument or a statement is wrong, or input or output cannot be reached.
pub async fn run(args: Args, common: &Common) -> Result<ExitCode> {
    if args.explain {
        return explain(&args, common);
    }
    let Some(statements) = statements(&args, common)? else {
        let session = super::open(common).await?;
        return prompt::run(session, &args, common).await;
    };
    let format = Format::choose(args.format, common.output.as_deref())?;
    let settings = Settings {
        expanded: args.expanded,
        all_columns: false,
        timing: !common.quiet,
        pager: true,
        progress: !common.quiet,
        more: "-x for one row per page, or --format ndjson",
    };
    let session = super::open(common).await?;
    let mut out = match &common.output {
        Some(file) => Destination::file(file)?,
        None => screen(format, &settings),
    };
    let started = Instant::now();
    let end = run_all(&session, &statements, format, &settings, &mut out).await;
    let elapsed = started.elapsed();
    let to_pipe = !out.is_terminal() && !out.is_file();
    if matches!(end, Ok(End::Closed)) && to_pipe {
        return Ok(Exit::Done.into());
    }
    let report = summary::settled_report(&session).await;
    let outcome = summary::outcome_so_far(&session, &report, common.strict);
    // A result without its input must not pass for one.
    let is_whole = matches!(end, Ok(End::Complete)) && outcome.as_ref().err().is_none_or(|_| !out.is_file());
    if is_whole {
        out.commit()?
    } else {
        drop(out)
    }
    if !common.quiet {
        summary::print(&session, &report, common, elapsed);
    }
    match end? {
        End::Interrupted => Ok(Exit::Interrupted.into()),
        End::Complete | End::Closed => Ok(outcome?.into()),
    }
}

/// Shows the SQL of the pattern. No log is opened.
fn explain(args: &Args, common: &Common) -> Result<ExitCode> {
    if let Some(sql) = translated(args, common)? {
        let mut out = match &common.output {
            Some(file) => Destination::file(file)?,
            None => Destination::stdout(),
        };
        writeln!(out, "{sql}")?;
        out.commit()?;
    }
    Ok(Exit::Done.into())
}

/// The SQL of the pattern, if there is one.
fn translated(args: &Args, common: &Common) -> Result<Option<String>> {
    let Some(text) = &args.pattern else {
        return Ok(None);
    };
    let (table, format) = pattern_table(args, common)?;
    if format_named(format).is_none() {
        return Err(Failure::wrong_use(format!("there is no log format {}", visible(format))).into());
    }
    let sql = pattern::to_sql(text, table, format).map_err(|error| StatementFailure {
        error,
        sql: text.clone(),
        file: None,
        first_line: 1,
    })?;
    Ok(Some(sql))
}

/// The table that the pattern is about, and its log format.
fn pattern_table<'a>(args: &'a Args, common: &'a Common) -> Result<(&'a str, &'a str)> {
    let names: Vec<&str> = common.from.iter().map(|from| from.table.as_str()).collect();
    let named = |name: &str| common.from.iter().find(|from| from.table == name);
    let failure = match (&args.table, common.from.as_slice()) {
        (Some(table), _) => match named(table) {
            Some(from) => return Ok((&from.table, &from.format)),
            // To see the SQL the kind of log is enough.
            None if args.explain => return Ok((table, table)),
            None => Failure::wrong_use(format!("no --from gives the table {}", visible(table)))
                .with_help(format!("add --from {}=WHERE", visible(table))),
        },
        (None, [from]) => return Ok((&from.table, &from.format)),
        (None, []) => Failure::wrong_use("the pattern has no table to search")
            .with_help("give one, such as --from vpc_flow='logs/*.log.gz'"),
        (None, _) => Failure::wrong_use(format!("the pattern may be about {}", names.join(" or ")))
            .with_help("choose one with --table"),
    };
    Err(failure.into())
}

async fn run_all(
    session: &Session,
    statements: &[Statement],
    format: Format,
    settings: &Settings,
    out: &mut Destination,
) -> Result<End> {
    for statement in statements {
        let end = execute(session, statement, format, settings, out).await?;
        if end != End::Complete {
            return Ok(end);
        }
    }
    Ok(End::Complete)
}

/// What to run; `None` asks for the prompt.
fn statements(args: &Args, common: &Common) -> Result<Option<Vec<Statement>>> {
    if let Some(sql) = translated(args, common)? {
        return Ok(Some(vec![Statement {
            sql,
            file: None,
            first_line: 1,
        }]));
    }
    let is_stdin = |file: &Path| file == Path::new("-");
    let statements = match (&args.query, &args.file) {
        (Some(query), _) => Statement::all(query, None),
        (None, Some(file)) if !is_stdin(file) => {
            let shown = file.to_string_lossy();
            let cannot = || format!("cannot read {}", visible(&shown));
            let bytes = std::fs::read(file).with_context(cannot)?;
            Statement::all(&utf8(bytes, &shown)?, Some(file.clone()))
        }
        (None, None) if std::io::stdin().is_terminal() => {
            if std::io::stdout().is_terminal() {
                return Ok(None);
            }
            let failure =
                Failure::wrong_use("there is no query, and the prompt needs a terminal to write to");
            return Err(failure
                .with_help("give the query as an argument, with -f, or on standard input")
                .into());
        }
        (None, _) => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .context("cannot read standard input")?;
            Statement::all(&utf8(bytes, "standard input")?, None)
        }
    };
    if statements.is_empty() {
        let failure = Failure::wrong_use("there is no statement to run");
        return Err(failure.with_help("trailhound sql \"SELECT 1\"").into());
    }
    Ok(Some(statements))
}

fn utf8(bytes: Vec<u8>, name: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::wrong_use(format!(
            "{} is not UTF-8 text: byte {at} is not part of a character",
            visible(name)
        ))
        .into()
    })
}
