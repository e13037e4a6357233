//! The command line: arguments and their help. Nothing here reads a file.
//!
//! Help, man pages and shell completions are all made from these structs.
//! Every example in them is parsed by a test, so none can go stale.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};
use trailhound_query::From;

use crate::commands::{
    baseline, completions, config, coverage, demo, detect, ingest, lake, man, rules, sql, verify, who,
};
use crate::enrich::EnrichArg;
use crate::when::{self, When};

/// Hunts through AWS VPC flow logs, CloudTrail and container logs with SQL.
#[derive(Debug, Parser)]
#[command(
    name = "trailhound",
    version,
    about,
    long_about = "Hunts through AWS VPC flow logs, CloudTrail and container logs with SQL, and raises alerts.\n\n\
        Raw log files are read where they lie, gzip, zstd or plain: there is nothing to import.",
    after_long_help = EXAMPLES,
    arg_required_else_help = true,
    subcommand_required = true,
    propagate_version = true,
    infer_subcommands = true,
    max_term_width = 100,
    styles = STYLES,
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  See an intrusion found in bundled raw logs, offline:
    $ trailhound demo

  Who was refused most often?
    $ trailhound sql --from vpc_flow='logs/*.log.gz' \"SELECT srcaddr, count(*) AS n FROM vpc_flow WHERE action = 'REJECT' GROUP BY srcaddr ORDER BY n DESC LIMIT 10\"

  Look around by hand:
    $ trailhound sql --from cloudtrail='AWSLogs/*/CloudTrail/**/*.json.gz'

  Run all detections over the last week:
    $ trailhound detect --from cloudtrail=AWSLogs/ --since 7d

Exit codes:
  0  done
  1  findings, only with --fail-on
  2  wrong use, SQL, configuration or rule
  3  some input was rejected, only with --strict
  4  a source or a destination could not be reached";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole way on a bundled scenario: raw logs, detections, alerts, the story
    Demo(demo::Args),
    /// Query raw logs or the lake with SQL: one query, a file of them, or a prompt
    Sql(Over<sql::Args>),
    /// Take logs into the lake: from files, S3, SQS, CloudWatch Logs; once or for good
    Ingest(Box<ingest::Args>),
    /// Run detections over raw logs or the lake
    Detect(Over<detect::Args>),
    /// Tell everything about a principal, key, address, task or interface
    Who(Over<who::Args>),
    /// List, show, check and test detections
    Rules(rules::Args),
    /// Learn what is normal, and show, compare, explain and approve it
    Baseline(Box<baseline::Args>),
    /// Show which minutes were seen, and which were not
    Coverage(Over<coverage::Args>),
    /// Check CloudTrail logs against their digests: was anything changed or removed?
    Verify(verify::Args),
    /// Look after the lake: sizes, merging of small files, retention
    Lake(lake::Args),
    /// Show the settings in force, or check a file of them
    Config(config::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write all of them
    Man(man::Args),
}

/// The arguments of a command that reads logs: its own, and the common ones.
#[derive(Debug, Args)]
pub struct Over<A: Args> {
    /// The command's own arguments.
    #[command(flatten)]
    pub args: A,
    /// Those of all commands that read logs.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of every command that reads logs.
#[derive(Debug, Clone, Default, Args)]
pub struct Common {
    /// Read a table from a file, a folder, a glob or a URL; may be given several times
    #[arg(long, short = 'F', value_name = "TABLE=WHERE", long_help = from_help(), help_heading = INPUT)]
    pub from: Vec<From>,

    /// The lake, a folder or an s3:// URL [default: ./lake if it is there and --from gives no logs]
    #[arg(long, value_name = "WHERE", help_heading = INPUT)]
    pub lake: Option<String>,

    /// Settings [default: trailhound.toml if it is there]
    #[arg(long, value_name = "FILE", help_heading = INPUT)]
    pub config: Option<PathBuf>,

    /// Set an option of a table's format, such as vpc_flow.fields='srcaddr dstaddr bytes'
    #[arg(long, value_name = "TABLE.NAME=VALUE", value_parser = parse_option, help_heading = INPUT)]
    pub option: Vec<OptionArg>,

    /// Use a file that says more about addresses
    #[arg(long, value_name = "KIND=FILE", long_help = crate::enrich::help(), help_heading = INPUT)]
    pub enrich: Vec<EnrichArg>,

    /// Only records at or after this moment
    ///
    /// A duration back from now (90m, 24h, 7d, 1d12h), a date (2026-11-01) or a time
    /// (2026-11-01T00:00, 2026-11-01T00:00:00Z, RFC 3339). UTC unless it says otherwise.
    #[arg(long, value_name = "TIME", help_heading = INPUT)]
    pub since: Option<When>,

    /// Only records before this moment; written as for --since
    #[arg(long, value_name = "TIME", help_heading = INPUT)]
    pub until: Option<When>,

    /// Endpoint of an S3-compatible store, in place of AWS's own
    #[arg(long, value_name = "URL", help_heading = INPUT)]
    pub endpoint_url: Option<String>,

    /// Exit with 3 if any line or record was rejected, or any file skipped
    #[arg(long, help_heading = INPUT)]
    pub strict: bool,

    /// Write the result to a file, under its name only once it is complete
    #[arg(long, short, value_name = "FILE", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,

    /// Leave out progress and the report at the end; errors are still shown
    #[arg(long, short, help_heading = OUTPUT)]
    pub quiet: bool,

    /// Memory that queries may use before they spill to disk or stop [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_memory, help_heading = LIMITS)]
    pub memory: Option<usize>,

    /// Threads to use [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = LIMITS)]
    pub threads: Option<u16>,
}

const INPUT: &str = "Input";
const OUTPUT: &str = "Output";
const LIMITS: &str = "Limits";

/// Least memory that a query can do anything useful with.
const MEMORY_BYTES_MIN: usize = 16_000_000;

/// `--option TABLE.NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionArg {
    /// Name of the table.
    pub table: String,
    /// Name of the option.
    pub name: String,
    /// Its value.
    pub value: String,
}

fn from_help() -> String {
    let tables: Vec<_> = trailhound_ingest::formats::FORMATS
        .iter()
        .map(|format| format.name())
        .collect();
    format!(
        "Read a table from a file, a folder, a glob or a URL; may be given several times\n\n\
         TABLE is one of {}; NAME:TABLE gives it another name, so that one kind of log can be read from two \
         places. WHERE is a path, a folder (read with everything below it), a glob (quote it, so that the \
         shell leaves it alone), or an s3:// URL.\n\n\
         Tables that you write yourself, as CSV with a header: {}. The pages of the detections that need them say \
         what stands in them.",
        tables.join(", "),
        trailhound_query::declared::DECLARED
            .iter()
            .map(|declared| format!(
                "{} ({})",
                declared.name,
                declared
                    .columns
                    .iter()
                    .map(|(name, ..)| *name)
                    .collect::<Vec<_>>()
                    .join(",")
            ))
            .collect::<Vec<_>>()
            .join(", ")
    )
}

/// Parses `--option`.
///
/// # Errors
/// It is not of the form.
pub fn parse_option(text: &str) -> Result<OptionArg, String> {
    let parsed = text.split_once('=').and_then(|(key, value)| {
        let (table, name) = key.split_once('.')?;
        (is_name(table) && is_name(name)).then(|| OptionArg {
            table: table.into(),
            name: name.into(),
            value: value.into(),
        })
    });
    parsed.ok_or_else(|| "expected TABLE.NAME=VALUE, such as vpc_flow.fields='srcaddr dstaddr bytes'".into())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn parse_memory(text: &str) -> Result<usize, String> {
    let bytes = when::size(text)?;
    if bytes < MEMORY_BYTES_MIN {
        let least = when::show_bytes(MEMORY_BYTES_MIN as u64);
        return Err(format!("queries need at least {least}"));
    }
    Ok(bytes)
}

/// Parses the arguments, runs the command, and says how it went.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    crate::logging::start();
    let threads = match &command {
        Command::Sql(Over { common, .. })
        | Command::Detect(Over { common, .. })
        | Command::Who(Over { common, .. })
        | Command::Coverage(Over { common, .. }) => common.threads,
        _ => None,
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // As large as the main thread's: planning walks expressions by recursion.
    runtime.thread_stack_size(8 << 20);
    if let Some(threads) = threads {
        runtime.worker_threads(threads.into());
    }
    let outcome = match runtime.enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(command));
            // Threads that still read for a query nobody waits for must not hold up the exit.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error.into()),
    };
    outcome.unwrap_or_else(|error| crate::failure::report(&error))
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let common = Common::default();
    match command {
        Command::Demo(args) => demo::run(args, &common).await,
        Command::Sql(over) => sql::run(over.args, &over.common).await,
        Command::Detect(over) => detect::run(over.args, &over.common).await,
        Command::Who(over) => who::run(over.args, &over.common).await,
        Command::Ingest(args) => ingest::run(*args).await,
        Command::Rules(args) => rules::run(args, &common).await,
        Command::Baseline(args) => baseline::run(*args).await,
        Command::Coverage(over) => coverage::run(over.args, &over.common).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Lake(args) => lake::run(args).await,
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(args, &common).await,
        Command::Man(args) => man::run(args, &common).await,
    }
}
