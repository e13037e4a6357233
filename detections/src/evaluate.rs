//! Rules over a session: findings, episodes, alerts.
//!
//! ```text
//! plan every rule over empty tables   needs: columns and conditions of all of them
//!   -> read every table once          held: only the rows that some rule can use
//!   -> run every rule over the held   row: findings -> dedup -> alerts
//! ```
//!
//! So a table is inflated and parsed once, however many rules read it; the rules
//! themselves run over the few rows that are left. A rule whose table is not
//! there is not run, and one that breaks off leaves the others alone; both are
//! said: silence must not look like an all-clear.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::TryStreamExt;
use trailhound_ingest::baselines;
use trailhound_query::declared::declared_named;
use trailhound_query::error::ErrorKind;
use trailhound_query::{Session, connections};

use crate::alert::{self, Alert, Finding};
use crate::baseline::InForce;
use crate::coverage::Coverage;
use crate::dedup;
use crate::error::{Error, Result};
use crate::held;
use crate::needs::{self, Needs};
use crate::planning::{self, Tables};
use crate::row;
use crate::rule::Rule;
use crate::shared;

/// Most rows that a rule may give in one run. A rule with more is no detection
/// but a list, and would take memory without end.
pub const FINDINGS_MAX: usize = 100_000;

/// The stretch of time that was asked for; where an end is open, that of the data.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Its start.
    pub since: Option<DateTime<Utc>>,
    /// Its end, not included.
    pub until: Option<DateTime<Utc>>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The alerts in order of time.
    pub alerts: Vec<Alert>,
    /// The rules that ran, in the order they were given.
    pub ran: Vec<Ran>,
    /// Those that did not.
    pub not_run: Vec<NotRun>,
    /// Those that broke off, so that what they would have found is not known.
    pub failed: Vec<NotRun>,
    /// What was seen of each table, by name.
    pub covered: BTreeMap<String, Coverage>,
}

/// A rule that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its id.
    pub rule: String,
    /// Rows that it gave.
    pub findings: usize,
    /// Alerts that these became.
    pub alerts: usize,
    /// Why its silence means less than it seems to.
    pub remark: Option<String>,
}

/// A rule that did not run, or not to its end: the engine gave up on it, or it gave rows that are no findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRun {
    /// Its id.
    pub rule: String,
    /// What it lacks, or what went wrong, with the rule's file.
    pub why: String,
}

/// Runs `rules` over the tables of `session`.
///
/// # Errors
/// A rule is wrong by itself, whatever the data, or a table cannot be read.
pub async fn run(session: &Session, rules: &[&Rule], asked: Asked) -> Result<Outcome> {
    let (rules, not_run) = runnable(session, rules);
    let (state, needs) = plan_all(session, &rules).await?;
    let (tables, unbuilt, is_large) = hold_all(session, &needs, &rules).await?;
    let covered = coverage(session, &needs, asked).await?;
    let mut outcome = Outcome {
        alerts: Vec::new(),
        ran: Vec::new(),
        not_run,
        failed: Vec::new(),
        covered,
    };
    let mut judged = Vec::new();
    for rule in rules {
        let parts: Vec<Coverage> = rule
            .reads
            .iter()
            .filter_map(|table| outcome.covered.get(table).cloned())
            .collect();
        match Coverage::all(&parts) {
            Some(coverage) => judged.push((rule, coverage)),
            None => outcome.not_run.push(NotRun {
                rule: rule.id.clone(),
                why: format!("no records in {}", rule.reads.join(", ")),
            }),
        }
    }
    // Most steps of a rule keep one core busy, so as many rules run at once as there are cores: but not over
    // what did not fit in memory, where two together may want more than there is.
    let at_once = match is_large {
        true => 1,
        false => state.config().target_partitions(),
    };
    let start = |rule: &Rule, coverage: &Coverage| {
        let context = planning::context_with(state.clone(), &tables).map_err(Error::catalog)?;
        let (rule, coverage) = (rule.clone(), coverage.clone());
        Ok::<_, Error>(SpawnedTask::spawn(async move {
            findings(&context, &rule, &coverage).await
        }))
    };
    let mut next = judged.iter();
    let mut running = VecDeque::new();
    let mut results = Vec::with_capacity(judged.len());
    for (rule, coverage) in &judged {
        while running.len() < at_once
            && let Some((rule, coverage)) = next.next()
        {
            running.push_back(start(rule, coverage)?);
        }
        let result = match running.pop_front() {
            Some(task) => ended(rule, task).await,
            None => Ok(Vec::new()),
        };
        results.push(result.map(|findings| judge(rule, coverage, findings, &unbuilt)));
    }
    for ((rule, coverage), mut result) in judged.iter().zip(results) {
        // What was too much beside another one may do by itself.
        if result.is_err() && at_once > 1 {
            let again = ended(rule, start(rule, coverage)?).await;
            result = again.map(|findings| judge(rule, coverage, findings, &unbuilt));
        }
        match result {
            Ok((ran, alerts)) => {
                outcome.ran.push(ran);
                outcome.alerts.extend(alerts);
            }
            Err(error) => outcome.failed.push(NotRun {
                rule: rule.id.clone(),
                why: error.to_string(),
            }),
        }
    }
    alert::sort(&mut outcome.alerts);
    Ok(outcome)
}

/// What a rule gave in the end.
async fn ended(rule: &Rule, task: SpawnedTask<Result<Vec<Finding>>>) -> Result<Vec<Finding>> {
    task.await.map_err(|error| Error::query(&rule.file, error))?
}

/// Alerts of what a rule gave.
fn judge(
    rule: &Rule,
    coverage: &Coverage,
    findings: Vec<Finding>,
    unbuilt: &BTreeSet<String>,
) -> (Ran, Vec<Alert>) {
    let count = findings.len();
    let episodes = dedup::episodes(rule.quiet, findings);
    let ran = Ran {
        rule: rule.id.clone(),
        findings: count,
        alerts: episodes.len(),
        remark: remark(rule, coverage, unbuilt),
    };
    let alert = |episode| Alert::new(rule, episode, coverage.clone());
    (ran, episodes.into_iter().map(alert).collect())
}

/// Rules whose tables are there, and the others with what they lack.
fn runnable<'a>(session: &Session, rules: &[&'a Rule]) -> (Vec<&'a Rule>, Vec<NotRun>) {
    let there = session.table_names();
    let known = planning::known_schemas();
    let mut run = Vec::new();
    let mut not_run = Vec::new();
    for &rule in rules {
        // A table that nobody knows is a mistake of the rule, found when it is planned.
        let missing: Vec<&str> = rule
            .reads
            .iter()
            .map(String::as_str)
            // To say that connections are missing would help nobody: they are made of flow logs.
            .map(|table| {
                if table == connections::NAME {
                    connections::SOURCE
                } else {
                    table
                }
            })
            .filter(|table| !there.iter().any(|name| name == table) && known.contains_key(*table))
            .collect();
        if missing.is_empty() {
            run.push(rule);
        } else {
            not_run.push(NotRun {
                rule: rule.id.clone(),
                why: format!("needs {}{}", missing.join(" and "), how_to_declare(&missing)),
            });
        }
    }
    (run, not_run)
}

/// How the user gives those of the missing tables that no log holds.
fn how_to_declare(missing: &[&str]) -> String {
    let given: Vec<String> = missing
        .iter()
        .filter(|name| declared_named(name).is_some())
        .map(|name| format!("--from {name}=FILE.csv"))
        .collect();
    match given.is_empty() {
        true => String::new(),
        false => format!("; what you declare is given with {}", given.join(" ")),
    }
}

/// Plans all rules over empty tables: mistakes show before any log is read.
async fn plan_all(session: &Session, rules: &[&Rule]) -> Result<(SessionState, BTreeMap<String, Needs>)> {
    let mut schemas = planning::known_schemas();
    for name in session.table_names() {
        // A lake's baseline may be of an older form: rules are planned over today's.
        if baselines::table_named(&name).is_some() {
            continue;
        }
        if let Ok(provider) = session.context().table_provider(name.as_str()).await {
            schemas.insert(name, provider.schema());
        }
    }
    let empty = planning::empty_tables(&schemas).map_err(Error::catalog)?;
    let state = session.context().state();
    let context = planning::context_with(state.clone(), &empty).map_err(Error::catalog)?;
    let mut needs = BTreeMap::new();
    for rule in rules {
        let plan = planning::plan(&context, rule).await?;
        context
            .state()
            .optimize(&plan)
            .and_then(|plan| needs::collect(&plan, &mut needs))
            .map_err(|error| planning::sql_error(rule, &error, &[]))?;
    }
    Ok((state, needs))
}

/// Reads every table that the rules need, once.
///
/// Gives also the baselines that a rule asks for and that nobody has built, and whether a table was
/// too large for memory.
async fn hold_all(
    session: &Session,
    needs: &BTreeMap<String, Needs>,
    rules: &[&Rule],
) -> Result<(Tables, BTreeSet<String>, bool)> {
    let mut tables = Tables::new();
    let mut is_large = false;
    let mut unbuilt: BTreeSet<String> = needs
        .keys()
        .filter(|name| baselines::table_named(name).is_some())
        .cloned()
        .collect();
    // Optional tables that the user does not have are empty.
    let schemas = planning::known_schemas();
    for name in rules.iter().flat_map(|rule| rule.tables()) {
        if let Some(schema) = schemas.get(name) {
            tables.insert(
                name.to_owned(),
                planning::empty_table(schema).map_err(Error::catalog)?,
            );
        }
    }
    let in_force = InForce::read(session)
        .await
        .map_err(|error| Error::query("baselines", error))?;
    for (name, needs) in needs {
        if !session.context().table_exist(name.as_str()).unwrap_or(false) {
            continue;
        }
        let mut only = None;
        if let Some(baseline) = baselines::table_named(name) {
            let version = in_force.of_table(baseline);
            let is_norms = baselines::BASELINES.iter().any(|known| known.norms == baseline);
            if !is_readable(session, baseline).await || (is_norms && version.is_none()) {
                continue;
            }
            only = version.map(|version| col("version").eq(lit(version)));
        }
        let began = Instant::now();
        let explained = |error| trailhound_query::error::explain(&error, "", &[]);
        let held = held::hold(session.context(), name, needs, only.clone()).await;
        let held = match held.map_err(explained) {
            // What one rule looks for fails on some record: it will break off by itself, and the others have all rows.
            Err(error) if error.kind() == ErrorKind::Failed && needs.condition().is_some() => {
                held::hold(session.context(), name, &needs.of_all_rows(), only)
                    .await
                    .map_err(explained)
            }
            held => held,
        };
        let held = held.map_err(|error| Error::query(name, error))?;
        tracing::debug!(table = %name, ms = began.elapsed().as_millis(), "read");
        is_large |= held.is_in_files();
        tables.insert(name.clone(), Arc::new(held));
        unbuilt.remove(name);
    }
    Ok((tables, unbuilt, is_large))
}

/// Whether a lake's table of baselines has all columns that rules may ask for. One of an older
/// form has not; until the next build it counts as absent.
async fn is_readable(session: &Session, table: &str) -> bool {
    let Ok(provider) = session.context().table_provider(table).await else {
        return false;
    };
    let there = provider.schema();
    baselines::schema(table).is_some_and(|wanted| {
        wanted.fields().iter().all(|field| {
            there
                .field_with_name(field.name())
                .is_ok_and(|own| own.data_type() == field.data_type())
        })
    })
}

/// What the reading of the tables showed about the time they cover.
async fn coverage(
    session: &Session,
    needs: &BTreeMap<String, Needs>,
    asked: Asked,
) -> Result<BTreeMap<String, Coverage>> {
    let report = session
        .report_with_lake()
        .await
        .map_err(|error| Error::query("coverage", error))?;
    let micros = |time: Option<i64>| time.and_then(DateTime::from_timestamp_micros);
    let mut covered = BTreeMap::new();
    for name in needs.keys() {
        // What is made of another table covers what that covers.
        let from = if name == connections::NAME {
            connections::SOURCE
        } else {
            name
        };
        let Some(table) = report.table(from) else { continue };
        // The last event is inside of the stretch, so the stretch ends at the next full second.
        let last = micros(table.last()).map(|last| last.trunc_subsecs(0) + TimeDelta::seconds(1));
        let (from, to) = (asked.since.or(micros(table.first())), asked.until.or(last));
        if let (Some(from), Some(to)) = (from, to)
            && table.first().is_some()
        {
            covered.insert(name.clone(), Coverage::new(from, to.max(from), &table.minutes));
        }
    }
    Ok(covered)
}

/// The rows of the rule. What it names twice is computed once, and kept in the context, which is its own.
async fn findings(context: &SessionContext, rule: &Rule, coverage: &Coverage) -> Result<Vec<Finding>> {
    let wrong = |error| planning::sql_error(rule, &error, &[]);
    let began = Instant::now();
    let query = planning::query_of(context, rule)?;
    let (steps, rest) = shared::split(&query, &rule.keep, |name| {
        context.table_exist(name).unwrap_or(true)
    });
    for step in steps {
        let frame = bound(context, &step.sql, rule, coverage).await?;
        let held = held::keep(context, frame).await.map_err(wrong)?;
        tracing::debug!(rule = %rule.id, step = %step.name, ms = began.elapsed().as_millis(), "kept");
        context
            .register_table(step.name.as_str(), Arc::new(held))
            .map_err(wrong)?;
    }
    let frame = bound(context, &rest, rule, coverage).await?;
    let mut stream = frame.execute_stream().await.map_err(wrong)?;
    let mut findings = Vec::new();
    while let Some(batch) = stream.try_next().await.map_err(wrong)? {
        let batch: RecordBatch = batch;
        findings.extend(row::findings(rule, &batch)?);
        if findings.len() > FINDINGS_MAX {
            let reason = format!("gives more than {FINDINGS_MAX} rows: too broad for a detection");
            return Err(Error::query(&rule.file, reason));
        }
    }
    tracing::debug!(rule = %rule.id, findings = findings.len(), ms = began.elapsed().as_millis(), "ran");
    Ok(findings)
}

/// A query of the rule with its parameters.
async fn bound(context: &SessionContext, sql: &str, rule: &Rule, coverage: &Coverage) -> Result<DataFrame> {
    let wrong = |error| planning::sql_error(rule, &error, &[]);
    let frame = context.sql(sql).await.map_err(wrong)?;
    let parameters = parameters(rule, coverage);
    match parameters.is_empty() {
        true => Ok(frame),
        false => frame
            .with_param_values(ParamValues::from(parameters))
            .map_err(wrong),
    }
}

fn parameters(rule: &Rule, coverage: &Coverage) -> Vec<(String, ScalarValue)> {
    let time = |time: DateTime<Utc>| {
        ScalarValue::TimestampMicrosecond(Some(time.timestamp_micros()), Some("UTC".into()))
    };
    let mut parameters = Vec::new();
    if rule.window.is_some() {
        parameters.push(("window_start".to_owned(), time(coverage.from)));
        parameters.push(("window_end".to_owned(), time(coverage.to)));
    }
    if let Some(learn) = rule.learn {
        let nanos = learn.num_nanoseconds().unwrap_or(i64::MAX);
        let interval = IntervalMonthDayNano::new(0, 0, nanos);
        parameters.push((
            "learn".to_owned(),
            ScalarValue::IntervalMonthDayNano(Some(interval)),
        ));
    }
    parameters
}

/// What keeps a rule from judging, though it ran: neither baselines nor enough of a window.
fn remark(rule: &Rule, coverage: &Coverage, unbuilt: &BTreeSet<String>) -> Option<String> {
    let compares = |table: &&str| baselines::table_named(table).is_some();
    let lacks: Vec<&str> = rule.tables().filter(|table| unbuilt.contains(*table)).collect();
    let has_learnt = lacks.is_empty() && rule.tables().any(|table| compares(&table));
    match rule.learn {
        _ if has_learnt => None,
        Some(learn) => {
            let has = coverage.to - coverage.from;
            (has <= learn).then(|| {
                let (learn, has) = (span(learn), span(has));
                format!("still learning: it needs more than {learn} of history, the data has {has}")
            })
        }
        None => (!lacks.is_empty()).then(|| {
            format!(
                "still learning: there is no {} yet; `trailhound baseline build` makes it from the lake",
                lacks.join(" and ")
            )
        }),
    }
}

/// A length of time in its largest whole unit.
fn span(length: TimeDelta) -> String {
    match length.num_minutes() {
        minutes if minutes >= 2880 => format!("{} days", minutes / 1440),
        minutes if minutes >= 120 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}
