//! `trailhound completions`: a completion script, made from the arguments.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Common};

const EXAMPLES: &str = "\
Examples:
  bash, for this user:
    $ trailhound completions bash > ~/.local/share/bash-completion/completions/trailhound

  zsh, into a folder of $fpath:
    $ trailhound completions zsh > ~/.zfunc/_trailhound

  fish:
    $ trailhound completions fish > ~/.config/fish/completions/trailhound.fish";

/// Arguments of `trailhound completions`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The shell
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// It cannot be written.
pub async fn run(args: Args, _common: &Common) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "trailhound", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
