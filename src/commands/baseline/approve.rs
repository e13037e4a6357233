//! `trailhound baseline approve`: who looked at a version, and which one rules keep to.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use chrono::Utc;
use trailhound_detections::baseline::books::{self, Approval};

use super::Where;
use crate::failure::{Exit, Failure};
use crate::output::destination::Destination;
use crate::text::visible;

/// Arguments of `trailhound baseline approve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of the version, as `list` shows it
    #[arg(value_name = "VERSION")]
    pub number: i64,

    /// Who approves
    #[arg(long, value_name = "NAME")]
    pub name: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,

    /// Rules keep to this version, whatever is built later
    #[arg(long, conflicts_with = "release")]
    pub freeze: bool,

    /// Rules follow the latest version again
    #[arg(long)]
    pub release: bool,

    /// Where the lake lies.
    #[command(flatten)]
    pub at: Where,
}

/// Approves.
///
/// # Errors
/// There is no such version, or no longer; name or reason is empty.
pub async fn run(args: Args) -> Result<ExitCode> {
    for (option, text) in [("--name", &args.name), ("--reason", &args.reason)] {
        if text.trim().is_empty() || text.len() > 1000 {
            return Err(Failure::wrong_use(format!("{option} must be a text of up to 1000 bytes")).into());
        }
    }
    let opened = super::open(&args.at).await?;
    opened.existing(args.number).await?;
    if args.release && opened.in_force.frozen != Some(args.number) {
        let failure = Failure::wrong_use(format!("version {} is not frozen", args.number));
        return Err(match opened.in_force.frozen {
            Some(frozen) => failure.with_help(format!("version {frozen} is")),
            None => failure.with_help("none is: rules follow the latest version"),
        }
        .into());
    }
    let action = match (args.freeze, args.release) {
        (true, _) => "freeze",
        (_, true) => "release",
        _ => "approve",
    };
    let approval = Approval {
        at: Utc::now(),
        version: args.number,
        action: action.to_owned(),
        name: args.name.trim().to_owned(),
        reason: args.reason.trim().to_owned(),
    };
    books::say(&opened.lake, &approval).await?;
    let mut out = Destination::stdout();
    let done = match action {
        "freeze" => "approved and frozen: rules keep to it",
        "release" => "released: rules follow the latest version",
        _ => "approved",
    };
    writeln!(
        out,
        "version {} {done}, by {}",
        args.number,
        visible(&approval.name)
    )?;
    out.commit()?;
    Ok(Exit::Done.into())
}
