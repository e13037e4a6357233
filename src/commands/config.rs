//! `trailhound config`: the settings in force, and whether a file of them is right.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::config::Config;
use crate::failure::Exit;
use crate::output::say;
use crate::text::visible;

const EXAMPLES: &str = "\
Examples:
  What is in force here, with the environment's settings over the file's:
    $ trailhound config show

  Is this file right?
    $ trailhound config validate /etc/trailhound.toml";

/// Arguments of `trailhound config`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with settings.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Print the settings in force
    Show {
        /// The file [default: trailhound.toml if it is there]
        file: Option<PathBuf>,
    },
    /// Check a file; exit with 2 if it is wrong
    Validate {
        /// The file [default: trailhound.toml]
        file: Option<PathBuf>,
    },
}

/// Shows or checks settings.
///
/// # Errors
/// The file cannot be read, or is wrong.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.action {
        Action::Show { file } => {
            let config = Config::load(file.as_deref())?;
            let text = toml::to_string(&config).context("writing the settings")?;
            for line in text.lines() {
                println!("{}", visible(line));
            }
        }
        Action::Validate { file } => {
            let name = file.clone().unwrap_or_else(|| crate::config::DEFAULT_FILE.into());
            let config = Config::load(Some(&name))?;
            for source in &config.source {
                trailhound_sources::SourceAddress::parse(&source.address)?;
            }
            let sources = crate::summary::plural(config.source.len() as u64, "source");
            say(&format!(
                "{} is right: {sources}",
                visible(&name.to_string_lossy())
            ));
        }
    }
    Ok(Exit::Done.into())
}
