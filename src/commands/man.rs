//! `trailhound man`: manual pages, made from the arguments.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::{Cli, Common};
use crate::text::visible;

const EXAMPLES: &str = "\
Examples:
  Read the main page:
    $ trailhound man | man -l -

  Install the pages of all commands for this user:
    $ trailhound man --dir ~/.local/share/man/man1";

/// Arguments of `trailhound man`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Write the pages of all commands to this folder; it is made if need be
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Prints the main page, or writes all of them.
///
/// # Errors
/// A page cannot be written.
pub async fn run(args: Args, _common: &Common) -> Result<ExitCode> {
    let mut command = Cli::command();
    command.build();
    match args.dir {
        None => std::io::stdout().write_all(&page(&command)?)?,
        Some(dir) => {
            std::fs::create_dir_all(&dir)
                .with_context(|| format!("cannot make the folder {}", visible(&dir.to_string_lossy())))?;
            write_pages(&command, &dir)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

/// One page per command, named as `man` looks them up: `trailhound-rules-test.1`.
fn write_pages(command: &clap::Command, dir: &Path) -> Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_string();
    let path = dir.join(format!("{name}.1"));
    let page = page(&command.clone().name(name))?;
    std::fs::write(&path, page)
        .with_context(|| format!("cannot write {}", visible(&path.to_string_lossy())))?;
    for subcommand in command
        .get_subcommands()
        .filter(|subcommand| subcommand.get_name() != "help")
    {
        write_pages(subcommand, dir)?;
    }
    Ok(())
}
