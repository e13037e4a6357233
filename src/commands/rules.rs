//! `trailhound rules`: the detections as files: list, show, test and check them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::json;
use trailhound_detections::cases::{self, Verdict};
use trailhound_detections::page::Expected;
use trailhound_detections::{Catalog, Entry, Error, ErrorKind, lint};

use crate::cli::Common;
use crate::failure::{Exit, Failure};
use crate::output::say;
use crate::summary::plural;
use crate::text::{fit, visible, width};

const EXAMPLES: &str = "\
Examples:
  What is looked for?
    $ trailhound rules list

  One rule: what it says, its SQL, what to do when it fires
    $ trailhound rules show cred-offnet

  Test and check rules of your own
    $ trailhound rules test --rules my-rules/
    $ trailhound rules lint --rules my-rules/";

/// Arguments of `trailhound rules`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// What to do with the rules.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with rules.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// List all rules
    List {
        /// Add the rules of a folder; one with the id of ours takes its place
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
        /// Form of the list [default: table on a terminal, ndjson elsewhere]
        #[arg(long, value_enum, value_name = "FORMAT")]
        format: Option<Format>,
    },
    /// Show a rule: front matter, SQL, and the page for whoever gets its alerts
    Show {
        /// The rule
        #[arg(value_name = "ID")]
        id: String,
        /// Add the rules of a folder; one with the id of ours takes its place
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
    },
    /// Run the cases of the rules' pages: raw log lines in, alerts out
    Test {
        /// Rules to test [default: all]
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// Test the rules of this folder in place of ours
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
        /// Write what comes out into the pages, to be read as a diff before it is kept
        #[arg(long, requires = "rules")]
        update: bool,
    },
    /// Check the rules: ids, tables, columns, techniques, pages
    Lint {
        /// Check the rules of this folder in place of ours
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
    },
}

/// The form of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for reading
    Table,
    /// One rule per line
    Ndjson,
    /// One JSON array
    Json,
}

/// Does what was asked.
///
/// # Errors
/// A rule is wrong or does not exist, a case fails, or a file cannot be reached.
pub async fn run(args: Args, _common: &Common) -> Result<ExitCode> {
    match args.action {
        Action::List { rules, format } => list(&all(rules.as_deref())?, format),
        Action::Show { id, rules } => show(&all(rules.as_deref())?, &id),
        Action::Test { ids, rules, update } => test(&own(rules.as_deref())?, &ids, update).await,
        Action::Lint { rules } => check(&own(rules.as_deref())?).await,
    }
}

/// A failure with the exit code that fits an error about rules.
pub fn failure(error: Error) -> Failure {
    let exit = match error.kind() {
        ErrorKind::Io => Exit::Unreachable,
        ErrorKind::Rule | ErrorKind::Query => Exit::WrongUse,
    };
    Failure {
        exit,
        message: error.to_string(),
        help: None,
    }
}

/// The program's rules, and those of the folder.
fn all(folder: Option<&Path>) -> Result<Catalog> {
    let catalog = match folder {
        Some(folder) => Catalog::with_folder(folder),
        None => Catalog::embedded(),
    };
    Ok(catalog.map_err(failure)?)
}

/// The rules of the folder alone, if there is one.
fn own(folder: Option<&Path>) -> Result<Catalog> {
    let catalog = match folder {
        Some(folder) => Catalog::folder(folder),
        None => Catalog::embedded(),
    };
    Ok(catalog.map_err(failure)?)
}

fn list(catalog: &Catalog, format: Option<Format>) -> Result<ExitCode> {
    let on_terminal = std::io::stdout().is_terminal();
    let format = format.unwrap_or(if on_terminal {
        Format::Table
    } else {
        Format::Ndjson
    });
    let objects: Vec<String> = catalog
        .entries()
        .map(|entry| describe(entry).to_string())
        .collect();
    let text = match format {
        Format::Table => {
            let window = terminal_size::terminal_size().map_or(100, |(columns, _)| usize::from(columns.0));
            list_table(catalog, window)
        }
        Format::Ndjson => objects.iter().map(|object| format!("{object}\n")).collect(),
        Format::Json => format!("[{}]\n", objects.join(",\n")),
    };
    print(&text)?;
    Ok(Exit::Done.into())
}

fn describe(entry: &Entry) -> serde_json::Value {
    let rule = &entry.rule;
    json!({
        "id": rule.id,
        "title": rule.title,
        "kind": rule.kind().name(),
        "severity": rule.severity,
        "attack": rule.attack,
        "csf": rule.csf,
        "reads": rule.reads,
        "misses": rule.misses,
        "false_positives": rule.false_positives,
        "cases": entry.page.as_ref().map_or(0, |page| page.cases.len()),
        "version": rule.version,
        "file": rule.file,
    })
}

fn list_table(catalog: &Catalog, window: usize) -> String {
    let rows: Vec<[String; 5]> =
        std::iter::once(["ID", "SEVERITY", "READS", "ATT&CK", "TITLE"].map(str::to_owned))
            .chain(catalog.entries().map(|Entry { rule, .. }| {
                [
                    rule.id.clone(),
                    rule.severity.to_string(),
                    rule.reads.join(", "),
                    rule.attack.join(" "),
                    rule.title.clone(),
                ]
            }))
            .collect();
    let columns: Vec<usize> = (0..4)
        .map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, columns) in row.iter().zip(&columns) {
            let _ = write!(line, "{cell:columns$}  ");
        }
        line.push_str(&row[4]);
        let _ = writeln!(text, "{}", fit(line.trim_end(), window.max(40)));
    }
    text
}

fn show(catalog: &Catalog, id: &str) -> Result<ExitCode> {
    let entries = catalog.select(&[id.to_owned()]).map_err(failure)?;
    for entry in entries {
        let rule = &entry.rule;
        let mut text = String::new();
        let _ = writeln!(text, "{}: {}\n", rule.id, rule.title);
        let techniques: Vec<String> = rule.attack.iter().map(|id| technique(id)).collect();
        let mut facts = vec![
            ("severity", rule.severity.to_string()),
            ("kind", rule.kind().name().to_owned()),
            ("reads", rule.tables().collect::<Vec<_>>().join(", ")),
            ("ATT&CK", techniques.join("; ")),
            ("NIST CSF", rule.csf.join(", ")),
            ("alerts per", rule.entity.join(", ")),
            ("misses", rule.misses.clone()),
            ("mistakes", rule.false_positives.clone()),
            ("file", rule.file.clone()),
            ("version", rule.version.clone()),
        ];
        if let Some(page) = &entry.page {
            facts.push(("cases", page.cases.len().to_string()));
        }
        for (name, value) in facts {
            let _ = writeln!(text, "{name:10}  {value}");
        }
        let _ = writeln!(text, "\n{}", rule.sql);
        if let Some(page) = &entry.page {
            let _ = writeln!(text, "\n{}", page.text.trim_end());
        }
        // A folder's files are somebody's text too.
        let shown: String = crate::text::visible_lines(&text)
            .map(|line| format!("{line}\n"))
            .collect();
        print(shown.trim_end_matches('\n'))?;
        print("\n")?;
    }
    Ok(Exit::Done.into())
}

fn technique(id: &str) -> String {
    use trailhound_detections::attack;
    let name = attack::technique(id).map_or("", |known| &known.name);
    format!("{id} {name}")
}

async fn test(catalog: &Catalog, ids: &[String], update: bool) -> Result<ExitCode> {
    let (mut passed, mut failed) = (0, 0);
    for entry in catalog.select(ids).map_err(failure)? {
        let Some(page) = &entry.page else {
            say(&format!("{}: no page, so no cases", visible(&entry.rule.file)));
            continue;
        };
        let verdicts = cases::run(entry).await.map_err(failure)?;
        for verdict in &verdicts {
            print(&tell(verdict))?;
        }
        passed += verdicts.iter().filter(|verdict| verdict.passed()).count();
        failed += verdicts.iter().filter(|verdict| !verdict.passed()).count();
        if update && verdicts.iter().any(|verdict| !verdict.passed()) {
            let got: Vec<Vec<Expected>> = verdicts.iter().map(|verdict| verdict.got.clone()).collect();
            let cannot = || format!("cannot write {}", visible(&page.file));
            std::fs::write(&page.file, page.with_alerts(&got)).with_context(cannot)?;
            say(&format!("{}: expectations rewritten", visible(&page.file)));
        }
    }
    print(&format!("{passed} passed, {failed} failed\n"))?;
    Ok(if failed == 0 || update {
        Exit::Done.into()
    } else {
        Exit::WrongUse.into()
    })
}

fn tell(verdict: &Verdict) -> String {
    let word = if verdict.passed() { "ok    " } else { "FAILED" };
    let mut text = format!("{word}  {}: {}\n", verdict.rule, visible(&verdict.case));
    if !verdict.passed() {
        let _ = writeln!(text, "        {}:{}", visible(&verdict.file), verdict.line);
    }
    for line in verdict.difference() {
        let _ = writeln!(text, "        {}", visible(&line));
    }
    text
}

async fn check(catalog: &Catalog) -> Result<ExitCode> {
    let problems = lint::problems(catalog).await.map_err(failure)?;
    let mut by_file: BTreeMap<&str, usize> = BTreeMap::new();
    for problem in &problems {
        say(&visible(&problem.to_string()));
        *by_file.entry(problem.file().unwrap_or_default()).or_default() += 1;
    }
    let rules = catalog.entries().count();
    if problems.is_empty() {
        print(&format!("{}, no problems\n", plural(rules as u64, "rule")))?;
        return Ok(Exit::Done.into());
    }
    let (rules, problems) = (
        plural(rules as u64, "rule"),
        plural(problems.len() as u64, "problem"),
    );
    say(&format!(
        "{rules}, {problems} in {}",
        plural(by_file.len() as u64, "file")
    ));
    Ok(Exit::WrongUse.into())
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}
