//! House rules for the collection: what a single rule cannot check of itself.

use trailhound_query::connections;

use crate::cases::THREAT_LIST;
use crate::catalog::{Catalog, Entry};
use crate::error::{Error, Result};
use crate::planning;

/// Sections that every page has, before its cases: what an analyst needs first.
pub const SECTIONS: &[&str] = &["First look", "False positives", "What it misses"];

/// Everything that is wrong with the rules, in order of their ids.
///
/// # Errors
/// The engine cannot be set up at all.
pub async fn problems(catalog: &Catalog) -> Result<Vec<Error>> {
    let empty = planning::empty_tables(&planning::known_schemas()).map_err(Error::catalog)?;
    let context = planning::context_with(planning::bare_state()?, &empty).map_err(Error::catalog)?;
    let mut problems = Vec::new();
    for entry in catalog.entries() {
        problems.extend(planning::plan(&context, &entry.rule).await.err());
        problems.extend(page_problems(entry));
    }
    Ok(problems)
}

fn page_problems(entry: &Entry) -> Vec<Error> {
    let rule = &entry.rule;
    let Some(page) = &entry.page else {
        return vec![Error::rule(
            &rule.file,
            1,
            "there is no page beside it: write one with the same name and .md",
        )];
    };
    let mut problems = Vec::new();
    let mut problem = |line: usize, reason: String| problems.push(Error::rule(&page.file, line, reason));
    if page.title != rule.title {
        problem(1, format!("the page's title is not the rule's: {:?}", rule.title));
    }
    for section in SECTIONS {
        if !page.sections.iter().any(|known| known == section) {
            problem(1, format!("the section `## {section}` is missing"));
        }
    }
    if !page.cases.iter().any(|case| !case.alerts.is_empty()) {
        problem(1, "no case fires: show one that does".to_owned());
    }
    if !page.cases.iter().any(|case| case.alerts.is_empty()) {
        problem(1, "no case is silent: show the near miss".to_owned());
    }
    for (nth, case) in page.cases.iter().enumerate() {
        if page.cases[..nth].iter().any(|other| other.name == case.name) {
            problem(case.line, format!("two cases are called {:?}", case.name));
        }
        for log in &case.logs {
            // Connections are made of flow logs, so those are what such a rule's cases show.
            let is_source = |table: &str| table == connections::NAME && log.table == connections::SOURCE;
            let is_list = log.table == THREAT_LIST && rule.sql.contains("threat_list(");
            if !is_list && !rule.tables().any(|table| table == log.table || is_source(table)) {
                problem(
                    case.line,
                    format!("the case has {} logs, which the rule does not read", log.table),
                );
            }
        }
    }
    problems
}
