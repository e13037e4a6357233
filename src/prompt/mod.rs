//! The prompt: type a query, see its rows, type the next.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use trailhound_query::{EnrichmentNote, Report, Session};

use crate::cli::Common;
use crate::commands::sql::Args;
use crate::execute::{End, Settings, Statement, execute, screen};
use crate::failure;
use crate::output::destination::Destination;
use crate::output::{Format, say};
use crate::summary;
use crate::text::{did_you_mean, visible};
use crate::when::show_count;

pub mod command;
pub mod complete;
mod editor;
mod functions;
mod listing;
mod words;

use command::Command;
use complete::{Column, Vocabulary};
use editor::{Editor, Input, line_command};
use listing::Listing;

const PROMPT: &str = "trailhound> ";

/// Runs the prompt until its user leaves.
///
/// # Errors
/// The terminal cannot be used.
pub async fn run(session: Session, args: &Args, common: &Common) -> Result<ExitCode> {
    let mut prompt = Prompt {
        session,
        format: args.format,
        next_output: common.output.clone(),
        settings: Settings {
            expanded: args.expanded,
            all_columns: false,
            timing: true,
            pager: true,
            progress: !common.quiet,
            more: "\\x for one row per page, \\columns all, or \\format ndjson",
        },
        quiet: common.quiet,
        last: String::new(),
        noted: Report::default(),
        noted_enrichment: Vec::new(),
    };
    let mut editor = Editor::new().context("cannot use the terminal")?;
    if !common.quiet {
        prompt.greet();
    }
    loop {
        editor.learn(prompt.vocabulary().await);
        // Waiting for a key blocks, and the session's own tasks want to go on.
        let (input, returned) = tokio::task::spawn_blocking(move || (editor.read(PROMPT), editor)).await?;
        editor = returned;
        match input? {
            Input::Cleared => {}
            Input::Left => break,
            Input::Text(text) if text.trim().is_empty() => {}
            Input::Text(text) => {
                // Nobody wants to recall these two.
                if !matches!(command::parse(&text), Ok(Command::Quit | Command::Edit)) {
                    editor.remember(&text);
                }
                if prompt.enter(&text, &mut editor).await == Next::Leave {
                    break;
                }
            }
        }
    }
    if !common.quiet {
        let report = prompt.session.report();
        summary::lines(&prompt.session, &report, None)
            .iter()
            .for_each(|line| say(line));
        if let Some(next) = summary::next_command(&report, common) {
            say(&format!("next: {next}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Stay,
    Leave,
}

struct Prompt {
    session: Session,
    /// The form of results, if one was asked for.
    format: Option<Format>,
    /// Where the next result goes, if not to the screen.
    next_output: Option<PathBuf>,
    settings: Settings,
    quiet: bool,
    /// The last statements, for `\e`.
    last: String,
    /// What the user has been told of rejects and skipped files.
    noted: Report,
    /// And of files about addresses.
    noted_enrichment: Vec<EnrichmentNote>,
}

impl Prompt {
    fn greet(&self) {
        let tables = self.session.raw_tables();
        let names: Vec<_> = tables
            .iter()
            .map(|table| visible(table.name()).into_owned())
            .collect();
        let version = env!("CARGO_PKG_VERSION");
        match names.is_empty() {
            true => say(&format!(
                "trailhound {version}, without tables: name some with --from. \\? for help"
            )),
            false => say(&format!(
                "trailhound {version}, with {}. \\d describes them, \\? helps",
                names.join(", ")
            )),
        }
    }

    async fn vocabulary(&self) -> Vocabulary {
        let tables = self
            .session
            .tables()
            .await
            .into_iter()
            .map(|table| complete::Table {
                name: table.name,
                columns: table
                    .columns
                    .into_iter()
                    .map(|column| Column::new(column.name, column.values))
                    .collect(),
            });
        Vocabulary {
            tables: tables.collect(),
            functions: functions::names(&self.session),
        }
    }

    /// Acts on one input. Errors are told, and the prompt goes on.
    async fn enter(&mut self, text: &str, editor: &mut Editor) -> Next {
        let outcome = if let Some(line) = line_command(text) {
            match command::parse(line) {
                Ok(Command::Quit) => return Next::Leave,
                Ok(command) => self.obey(command, editor).await,
                Err(why) => {
                    say(&why);
                    Ok(())
                }
            }
        } else {
            self.last = text.to_string();
            self.run(Statement::all(text, None)).await
        };
        if let Err(error) = outcome {
            failure::report(&error);
        }
        Next::Stay
    }

    async fn run(&mut self, statements: Vec<Statement>) -> Result<()> {
        for statement in statements {
            let output = self.next_output.take();
            let format = Format::choose(self.format.filter(|_| output.is_none()), output.as_deref())
                .or_else(|error| self.format.filter(|_| output.is_some()).ok_or(error))?;
            let mut out = match &output {
                Some(file) => Destination::file(file)?,
                None => screen(format, &self.settings),
            };
            let end = execute(&self.session, &statement, format, &self.settings, &mut out).await;
            match end {
                Ok(End::Interrupted) => {
                    drop(out);
                    say("cancelled");
                    return Ok(());
                }
                Ok(End::Complete) => {
                    out.commit()?;
                    if let Some(file) = &output {
                        say(&format!("written to {}", visible(&file.to_string_lossy())));
                    }
                }
                Ok(End::Closed) => drop(out),
                Err(error) => {
                    drop(out);
                    return Err(error);
                }
            }
            self.note_losses();
        }
        Ok(())
    }

    /// Says what a query could not use, when it happens and once.
    fn note_losses(&mut self) {
        let report = self.session.report();
        let losses = |report: &Report| {
            let rejected: u64 = report
                .tables
                .iter()
                .map(|table| table.sum(|object| object.rejected))
                .sum();
            let skipped: usize = report
                .tables
                .iter()
                .map(|table| table.skipped().count() + table.unreachable().count())
                .sum();
            (rejected, skipped)
        };
        let (rejected, skipped) = losses(&report);
        if losses(&self.noted) != (rejected, skipped) && !self.quiet {
            let mut parts = Vec::new();
            if rejected > 0 {
                parts.push(format!("{} rejected (\\rejects)", show_count(rejected)));
            }
            if skipped > 0 {
                let files = if skipped == 1 { "file" } else { "files" };
                parts.push(format!(
                    "{} {files} not used (\\summary)",
                    show_count(skipped as u64)
                ));
            }
            say(&parts.join(", "));
        }
        self.noted = report;
        let notes = self.session.enrichment().notes();
        if !self.quiet {
            let new = notes.iter().filter(|note| !self.noted_enrichment.contains(note));
            new.for_each(|note| say(&crate::enrich::words(note)));
        }
        self.noted_enrichment = notes;
    }

    async fn obey(&mut self, command: Command, editor: &mut Editor) -> Result<()> {
        match command {
            Command::Describe(name) => self.describe(name.as_deref()).await,
            Command::Functions(part) => {
                functions::listing(&self.session, part.as_deref()).show(&self.settings)
            }
            Command::Expanded(on) => switch(&mut self.settings.expanded, on, "one row per page"),
            Command::AllColumns(on) => switch(&mut self.settings.all_columns, on, "all columns"),
            Command::Timing(on) => switch(&mut self.settings.timing, on, "timing"),
            Command::Pager(on) => switch(&mut self.settings.pager, on, "pager"),
            Command::Output(None) => {
                self.next_output = None;
                say("the next result goes to the screen");
                Ok(())
            }
            Command::Output(Some(file)) => {
                let file = from_home(file);
                // Refused now, not after the query.
                Format::choose(self.format, Some(Path::new(&file)))?;
                say(&format!("the next result goes to {}", visible(&file)));
                self.next_output = Some(file.into());
                Ok(())
            }
            Command::Include(file) => {
                let file = from_home(file);
                let text = std::fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {}", visible(&file)))?;
                self.run(Statement::all(&text, Some(file.into()))).await
            }
            Command::Format(None) => {
                say(&format!(
                    "results are shown as {}",
                    self.format.unwrap_or(Format::Table).name()
                ));
                Ok(())
            }
            Command::Format(Some(format)) => {
                self.format = Some(format);
                say(&format!("results are shown as {}", format.name()));
                Ok(())
            }
            Command::Rejects => self.run(Statement::all(summary::REJECTS_QUERY, None)).await,
            Command::Summary => {
                let report = self.session.report();
                let lines = summary::lines(&self.session, &report, None);
                lines.iter().for_each(|line| say(line));
                if lines.is_empty() {
                    say("nothing was read yet");
                }
                Ok(())
            }
            Command::Profile(what) => self.run(Statement::all(&format!("SUMMARIZE {what}"), None)).await,
            Command::Edit => self.edit(editor).await,
            Command::Help => {
                say(&command::help());
                Ok(())
            }
            Command::Quit => Ok(()),
        }
    }

    async fn describe(&self, name: Option<&str>) -> Result<()> {
        let tables = self.session.tables().await;
        let Some(name) = name else {
            return Listing::tables(&tables).show(&self.settings);
        };
        match tables.iter().find(|table| table.name == name.trim_matches('"')) {
            Some(table) => Listing::columns(table).show(&self.settings),
            None => {
                let close = did_you_mean(name, tables.iter().map(|table| table.name.as_str()));
                let close = close
                    .map(|close| format!("; did you mean {close}?"))
                    .unwrap_or_default();
                say(&format!("there is no table {}{close}", visible(name)));
                Ok(())
            }
        }
    }

    async fn edit(&mut self, editor: &mut Editor) -> Result<()> {
        let file = tempfile::Builder::new()
            .prefix("trailhound-")
            .suffix(".sql")
            .tempfile()?;
        std::fs::write(file.path(), &self.last)?;
        let command = std::env::var("VISUAL")
            .or_else(|_| std::env::var("EDITOR"))
            .unwrap_or_else(|_| "vi".into());
        let path = crate::text::shell_quote(&file.path().to_string_lossy()).into_owned();
        // Through a shell: $EDITOR may hold arguments.
        let status = tokio::process::Command::new("sh")
            .arg("-c")
            .arg(format!("{command} {path}"))
            .status()
            .await;
        let status = status.with_context(|| format!("cannot start the editor {}", visible(&command)))?;
        let text = std::fs::read_to_string(file.path())?;
        if !status.success() || text.trim().is_empty() || text.trim() == self.last.trim() {
            say("nothing to run: the query is as it was");
            return Ok(());
        }
        editor.remember(&text);
        say(text.trim_end());
        self.last = text.clone();
        self.run(Statement::all(&text, None)).await
    }
}

fn switch(setting: &mut bool, on: Option<bool>, name: &str) -> Result<()> {
    *setting = on.unwrap_or(!*setting);
    say(&format!("{name}: {}", if *setting { "on" } else { "off" }));
    Ok(())
}

/// The path with `~/` replaced, as a shell would have done.
fn from_home(path: String) -> String {
    match (path.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{}/{rest}", home.trim_end_matches('/')),
        _ => path,
    }
}
