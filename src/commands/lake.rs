//! `trailhound lake`: what the lake holds, and looking after it.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chrono::Utc;
use trailhound_lake::{CompactOptions, ExpireOptions, Lake, compact, expire, stats};

use crate::failure::{Exit, Failure};
use crate::lakes::Where;
use crate::output::destination::Destination;
use crate::summary::plural;
use crate::text::visible;
use crate::when::{self, show_bytes, show_count, show_time};

const EXAMPLES: &str = "\
Examples:
  What is in it?
    $ trailhound lake stats

  Once a day: merge small files, and join what was delivered twice:
    $ trailhound lake compact

  Keep flow logs for 90 days, and see first what would go:
    $ trailhound lake expire --table vpc_flow --keep 90d --dry-run";

/// Arguments of `trailhound lake`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// The tables that are meant, and where they lie.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// Where the lake lies.
    #[command(flatten)]
    pub at: Where,

    /// This table only; may be given several times
    #[arg(long, value_name = "TABLE")]
    pub table: Vec<String>,
}

/// What can be done with a lake.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Tables with their days, rows, files and sizes
    Stats {
        /// The tables.
        #[command(flatten)]
        which: Which,
        /// One JSON object a table
        #[arg(long)]
        json: bool,
    },
    /// Merge small files, and leave one row of each record that was delivered several times
    Compact {
        /// The tables.
        #[command(flatten)]
        which: Which,
        /// Size of a merged file [default: 128MiB]
        #[arg(long, value_name = "SIZE", value_parser = when::size)]
        target: Option<usize>,
    },
    /// Take old days out of tables, and delete files that no version needs any more
    Expire {
        /// The tables.
        #[command(flatten)]
        which: Which,
        /// Keep so many days, such as 90d; without it only files that nobody needs go
        #[arg(long, value_name = "DURATION")]
        keep: Option<String>,
        /// How long a file stays after the last version that shows it
        #[arg(long, value_name = "DURATION", default_value = "7d")]
        grace: String,
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
}

/// Looks after the lake.
///
/// # Errors
/// There is no lake, or it cannot be reached.
pub async fn run(args: Args) -> Result<ExitCode> {
    let mut out = Destination::stdout();
    match args.action {
        Action::Stats { which, json } => {
            let lake = open(&which).await?;
            show_stats(&lake, &which, json, &mut out).await?;
        }
        Action::Compact { which, target } => {
            let lake = open(&which).await?;
            let mut options = CompactOptions::default();
            if let Some(bytes) = target {
                options.target_bytes = bytes as u64;
            }
            for table in tables(&lake, &which).await? {
                compact_one(&lake, &table, &options, &mut out).await?;
            }
        }
        Action::Expire {
            which,
            keep,
            grace,
            dry_run,
        } => {
            let options = expire_options(keep.as_deref(), &grace, dry_run, &which)?;
            let lake = open(&which).await?;
            for table in tables(&lake, &which).await? {
                expire_one(&lake, &table, &options, &mut out).await?;
            }
        }
    }
    out.commit()?;
    Ok(Exit::Done.into())
}

async fn open(which: &Which) -> Result<Lake> {
    let (_, place) = which.at.place()?;
    Ok(place.read().await?)
}

/// The tables that are asked for, which all exist.
async fn tables(lake: &Lake, which: &Which) -> Result<Vec<String>> {
    let there = lake.table_names().await?;
    if which.table.is_empty() {
        return Ok(there);
    }
    for table in &which.table {
        if !there.contains(table) {
            let failure = Failure::wrong_use(format!("the lake has no table {}", visible(table)));
            return Err(failure.with_help(format!("it has {}", there.join(", "))).into());
        }
    }
    Ok(which.table.clone())
}

async fn show_stats(lake: &Lake, which: &Which, json: bool, out: &mut Destination) -> Result<()> {
    let wanted = tables(lake, which).await?;
    for table in stats(lake).await? {
        if !wanted.contains(&table.table) {
            continue;
        }
        if json {
            let line = serde_json::json!({
                "table": table.table, "version": table.version, "rows": table.rows, "files": table.files,
                "bytes": table.bytes, "days": table.days, "first_day": table.first_day,
                "last_day": table.last_day, "small_files": table.small_files,
                "last_commit": table.last_commit.map(|time| time.to_rfc3339()),
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let days = match (&table.first_day, &table.last_day) {
            (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
            (Some(day), _) => day.clone(),
            _ => "no day".to_owned(),
        };
        writeln!(
            out,
            "{}: {}, {days}, {}, {} ({} small), version {}{}",
            table.table,
            plural(table.rows, "row"),
            show_bytes(table.bytes),
            plural(table.files, "file"),
            show_count(table.small_files),
            table.version,
            table
                .last_commit
                .map(|time| format!(" of {}", show_time(&time)))
                .unwrap_or_default()
        )?;
    }
    Ok(())
}

async fn compact_one(
    lake: &Lake,
    table: &str,
    options: &CompactOptions,
    out: &mut Destination,
) -> Result<()> {
    let done = compact(lake, table, options).await?;
    if done.files_before == 0 {
        writeln!(out, "{table}: nothing to merge")?;
    } else {
        writeln!(
            out,
            "{table}: {} became {}, {} became {}, {} left out",
            plural(done.files_before, "file"),
            show_count(done.files_after),
            show_bytes(done.bytes_before),
            show_bytes(done.bytes_after),
            plural(done.doubles, "double"),
        )?;
    }
    // The log of the merged versions need not be read again by anyone.
    lake.checkpoint(table).await?;
    Ok(())
}

fn expire_options(keep: Option<&str>, grace: &str, dry_run: bool, which: &Which) -> Result<ExpireOptions> {
    let duration = |name: &str, text: &str| {
        when::duration(text).ok_or_else(|| {
            Failure::wrong_use(format!("{name} {text}: expected a duration such as 90d or 12h"))
        })
    };
    let mut options = ExpireOptions {
        grace: duration("--grace", grace)?.to_std().unwrap_or(Duration::MAX),
        dry_run,
        ..ExpireOptions::default()
    };
    if let Some(text) = keep {
        if which.table.is_empty() {
            let failure = Failure::wrong_use("--keep is for the tables that are named");
            return Err(failure.with_help("say which with --table TABLE").into());
        }
        let days = duration("--keep", text)?.num_days();
        if days < 1 {
            return Err(Failure::wrong_use(format!("--keep {text}: at least one day is kept")).into());
        }
        let days = u32::try_from(days).unwrap_or(u32::MAX);
        options = options.keep_days(days, Utc::now().date_naive());
    }
    Ok(options)
}

async fn expire_one(lake: &Lake, table: &str, options: &ExpireOptions, out: &mut Destination) -> Result<()> {
    let done = expire(lake, table, options, Utc::now()).await?;
    let (left, deleted) = match options.dry_run {
        true => ("would leave", "would be deleted"),
        false => ("left", "deleted"),
    };
    writeln!(
        out,
        "{table}: {} of {} {left} the table; {} {deleted} ({})",
        plural(done.rows, "row"),
        plural(done.days, "day"),
        plural(done.deleted_files, "file"),
        show_bytes(done.deleted_bytes)
    )?;
    if !options.dry_run {
        lake.checkpoint(table).await?;
        lake.clean_log(table).await?;
    }
    Ok(())
}
