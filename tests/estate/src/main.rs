//! The command `estate`: generate an estate, and hold answers against its truth.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};
use trailhound_test_estate::{Options, check, generate};

#[derive(Debug, Parser)]
#[command(about = "Generates an ECS estate whose truth is known, and checks answers against it")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write logs and truth into a new folder.
    Generate {
        /// Folder to write, empty or absent.
        dir: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// Hold identified flow records against the truth; fails under 99.5% or at a wrong answer that was certain.
    CheckIdentity {
        /// Folder that `generate` wrote.
        dir: PathBuf,
        /// Rows as NDJSON: interface_id, srcaddr, dstaddr, start_time, and of `src_` and `dst_`: service, certainty, task_id.
        answers: PathBuf,
    },
    /// Hold alerts against the attacks that were put in.
    CheckAlerts {
        /// Folder that `generate` wrote.
        dir: PathBuf,
        /// Alerts as NDJSON.
        alerts: PathBuf,
    },
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Generate { dir, options } => {
            let begun = Instant::now();
            let summary = generate(&dir, &options)?;
            println!(
                "{} days, {} tasks, {} flow records ({} bytes of text) and {} idle lines",
                options.days, summary.tasks, summary.flow_records, summary.flow_bytes, summary.idle_lines
            );
            println!(
                "{} ECS events ({} dropped), {} CloudTrail records, {} attacks",
                summary.ecs_events, summary.dropped_events, summary.cloudtrail, summary.attacks
            );
            println!(
                "{} files, {} bytes, in {:.1} s",
                summary.files,
                summary.bytes,
                begun.elapsed().as_secs_f64()
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::CheckIdentity { dir, answers } => {
            let report = check::identity::check(&dir, &answers)?;
            print!("{report}");
            Ok(if report.passed() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::CheckAlerts { dir, alerts } => {
            print!("{}", check::alerts::check(&dir, &alerts)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}
