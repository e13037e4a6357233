//! Runs the cases of a page: raw text in a temporary folder, the real parser, the real SQL.

use std::fs;
use std::path::Path;

use chrono::DateTime;
use trailhound_query::{EnrichmentFiles, From, Options, Session};

use crate::catalog::Entry;
use crate::error::{Error, Result};
use crate::evaluate::{self, Asked};
use crate::learnt;
use crate::page::{Case, Expected, Log};
use crate::rule::Rule;

/// A block that is no log but the file behind the SQL function of this name.
pub const THREAT_LIST: &str = "threat_list";

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Id of the rule.
    pub rule: String,
    /// Heading of the case.
    pub case: String,
    /// File of the page.
    pub file: String,
    /// Line of the heading.
    pub line: usize,
    /// What the page wants.
    pub expected: Vec<Expected>,
    /// What the rule gave, in order of time.
    pub got: Vec<Expected>,
    /// Lines of the logs that did not parse. A case about a rule should have none.
    pub rejected: u64,
}

impl Verdict {
    /// Whether the rule did what the page says.
    pub fn passed(&self) -> bool {
        self.expected == self.got && self.rejected == 0
    }

    /// What differs, one line each: `-` was expected, `+` came.
    pub fn difference(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.rejected > 0 {
            lines.push(format!("! {} of the log lines did not parse", self.rejected));
        }
        let missing = self.expected.iter().filter(|alert| !self.got.contains(alert));
        let extra = self.got.iter().filter(|alert| !self.expected.contains(alert));
        lines.extend(missing.map(|alert| format!("- {alert}")));
        lines.extend(extra.map(|alert| format!("+ {alert}")));
        if lines.is_empty() && !self.passed() {
            lines.push("! the same alerts, but in another order or number".to_owned());
        }
        lines
    }
}

/// Runs all cases of a rule, in order.
///
/// # Errors
/// The rule is wrong, or the temporary folder cannot be written.
pub async fn run(entry: &Entry) -> Result<Vec<Verdict>> {
    let Some(page) = &entry.page else {
        return Ok(Vec::new());
    };
    let mut verdicts = Vec::new();
    for case in &page.cases {
        let (got, rejected) = run_case(&entry.rule, case).await?;
        verdicts.push(Verdict {
            rule: entry.rule.id.clone(),
            case: case.name.clone(),
            file: page.file.clone(),
            line: case.line,
            expected: case.alerts.clone(),
            got,
            rejected,
        });
    }
    Ok(verdicts)
}

async fn run_case(rule: &Rule, case: &Case) -> Result<(Vec<Expected>, u64)> {
    let folder = tempfile::tempdir().map_err(|error| Error::io("temporary folder", error))?;
    let mut from: Vec<From> = Vec::new();
    let mut enrichment = EnrichmentFiles::default();
    let learnt: Vec<&Log> = case.logs.iter().filter(|log| log.learnt).collect();
    let lake = match learnt.is_empty() {
        true => None,
        false => Some(learnt::lake(&folder.path().join("lake"), rule, &learnt).await?),
    };
    for log in case.logs.iter().filter(|log| !log.learnt) {
        // A folder for each table, so that one location holds all of its files.
        let root = folder.path().join(&log.table);
        write(&root.join(&log.path), &log.text)?;
        if log.table == THREAT_LIST {
            enrichment.threat_lists.push(root.join(&log.path));
            continue;
        }
        if !from.iter().any(|known| known.table == log.table) {
            from.push(From {
                table: log.table.clone(),
                format: log.table.clone(),
                location: root.display().to_string(),
            });
        }
    }
    let options = Options {
        from,
        enrichment,
        lake,
        now: DateTime::UNIX_EPOCH,
        ..Options::default()
    };
    let failed =
        |error: trailhound_query::Error| Error::query(&rule.file, format!("case {:?}: {error}", case.name));
    let session = Session::open(options).await.map_err(failed)?;
    let outcome = evaluate::run(&session, &[rule], Asked::default()).await?;
    if let Some(failed) = outcome.failed.first() {
        return Err(Error::query(
            &rule.file,
            format!("case {:?}: {}", case.name, failed.why),
        ));
    }
    let rejected = session
        .report()
        .tables
        .iter()
        .map(|table| table.sum(|object| object.rejected))
        .sum();
    let got = outcome
        .alerts
        .into_iter()
        .map(|alert| Expected {
            severity: alert.severity,
            message: alert.message,
        })
        .collect();
    Ok((got, rejected))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = match path.parent() {
        Some(folder) => fs::create_dir_all(folder).and_then(|()| fs::write(path, text)),
        None => fs::write(path, text),
    };
    written.map_err(|error| Error::io(path.display(), error))
}
