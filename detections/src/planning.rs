//! From a rule's SQL to a plan, and what a rule may and must contain.
//!
//! A rule is planned over empty tables with the right columns before it is run
//! over any data. So a rule that names an unknown table or column, or that does
//! not give what its front matter promises, is refused before any log is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::CatalogProviderList;
use datafusion::catalog::{
    CatalogProvider, MemTable, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    TableProvider,
};
use datafusion::common::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use trailhound_ingest::baselines;
use trailhound_ingest::formats::FORMATS;
use trailhound_ingest::reject::rejects_schema;
use trailhound_query::declared::DECLARED;
use trailhound_query::{connections, functions};

use crate::error::{Error, Result};
use crate::rule::{RESERVED, Rule};

/// Tables that a user may have, and rules may use where they exist: name and columns.
const OPTIONAL: &[(&str, &[&str])] = &[("own_addresses", &["address"])];

/// Tables by name.
pub type Tables = BTreeMap<String, Arc<dyn TableProvider>>;

/// The schema of every table that rules can read.
pub fn known_schemas() -> BTreeMap<String, SchemaRef> {
    let logs = FORMATS
        .iter()
        .map(|format| (format.name().to_owned(), format.schema()));
    let optional = OPTIONAL
        .iter()
        .map(|(name, columns)| ((*name).to_owned(), text_schema(columns)));
    let declared = DECLARED
        .iter()
        .map(|declared| (declared.name.to_owned(), declared.schema()));
    let rejects = ("rejects".to_owned(), rejects_schema());
    let connections = (connections::NAME.to_owned(), connections::schema());
    let baselines =
        baselines::table_names().filter_map(|name| Some((name.to_owned(), baselines::schema(name)?)));
    logs.chain(optional)
        .chain(declared)
        .chain([rejects, connections])
        .chain(baselines)
        .collect()
}

fn text_schema(columns: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .iter()
            .map(|column| Field::new(*column, DataType::Utf8View, true))
            .collect::<Vec<_>>(),
    ))
}

/// An engine without any data of its own, to check rules with.
///
/// # Errors
/// The engine refuses its functions.
pub fn bare_state() -> Result<SessionState> {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.collect_spans = true;
    let mut context = SessionContext::new_with_config(config);
    functions::register_all(&mut context).map_err(Error::catalog)?;
    Ok(context.state())
}

/// A context with the functions and limits of `state`, and exactly these tables.
///
/// # Errors
/// The engine refuses a table.
pub fn context_with(state: SessionState, tables: &Tables) -> Result<SessionContext, DataFusionError> {
    let names = &state.config().options().catalog;
    let (catalog_name, schema_name) = (names.default_catalog.clone(), names.default_schema.clone());
    let catalogs = Arc::new(MemoryCatalogProviderList::new());
    let catalog = Arc::new(MemoryCatalogProvider::new());
    catalog.register_schema(&schema_name, Arc::new(MemorySchemaProvider::new()))?;
    catalogs.register_catalog(catalog_name, catalog);
    let state = SessionStateBuilder::new_from_existing(state)
        .with_catalog_list(catalogs)
        .build();
    let context = SessionContext::new_with_state(state);
    for (name, provider) in tables {
        context.register_table(name.as_str(), Arc::clone(provider))?;
    }
    Ok(context)
}

/// Empty tables of these schemas.
///
/// # Errors
/// The engine refuses a schema.
pub fn empty_tables(schemas: &BTreeMap<String, SchemaRef>) -> Result<Tables, DataFusionError> {
    schemas
        .iter()
        .map(|(name, schema)| Ok((name.clone(), empty_table(schema)?)))
        .collect()
}

/// An empty table.
///
/// # Errors
/// The engine refuses the schema.
pub fn empty_table(schema: &SchemaRef) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    Ok(Arc::new(MemTable::try_new(Arc::clone(schema), vec![vec![]])?))
}

/// The query of a rule, as parsed.
///
/// # Errors
/// It is no SQL, or no query.
pub fn query_of(context: &SessionContext, rule: &Rule) -> Result<Box<ast::Query>> {
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state
        .sql_to_statement(&rule.sql, &dialect)
        .map_err(|error| sql_error(rule, &error, &[]))?;
    if let Statement::Statement(statement) = statement
        && let ast::Statement::Query(query) = *statement
    {
        return Ok(query);
    }
    let reason = "a rule is a query: it does not create, write or set anything";
    Err(Error::rule(&rule.file, rule.sql_line, reason))
}

/// Plans a rule and checks that tables, columns and front matter agree.
///
/// # Errors
/// They do not; the error names the rule's file and line.
pub async fn plan(context: &SessionContext, rule: &Rule) -> Result<LogicalPlan> {
    let state = context.state();
    let wrong = |error: DataFusionError| sql_error(rule, &error, &context_tables(context));
    let query = query_of(context, rule)?;
    check_keep(rule, &query)?;
    let statement = Statement::Statement(Box::new(ast::Statement::Query(query)));
    let used = state.resolve_table_references(&statement).map_err(wrong)?;
    check_tables(rule, &used, context)?;
    let plan = state.statement_to_plan(statement).await.map_err(wrong)?;
    check_output(rule, &plan)?;
    Ok(plan)
}

fn check_keep(rule: &Rule, query: &ast::Query) -> Result<()> {
    let steps = query.with.iter().flat_map(|with| &with.cte_tables);
    let names: Vec<&str> = steps.map(|cte| cte.alias.name.value.as_str()).collect();
    match rule.keep.iter().find(|kept| !names.contains(&kept.as_str())) {
        None => Ok(()),
        Some(kept) => Err(Error::rule(
            &rule.file,
            rule.line_of_key("keep"),
            format!("`keep` names {kept}, which is no step of the query"),
        )),
    }
}

fn check_tables(
    rule: &Rule,
    used: &[datafusion::common::TableReference],
    context: &SessionContext,
) -> Result<()> {
    for name in rule.tables() {
        if !context.table_exist(name).unwrap_or(false) {
            let key = if rule.reads.iter().any(|needed| needed == name) {
                "reads"
            } else {
                "optional"
            };
            return Err(Error::rule(
                &rule.file,
                rule.line_of_key(key),
                unknown_table(name, context),
            ));
        }
    }
    for table in used {
        let name = table.table();
        if !context.table_exist(table.clone()).unwrap_or(false) {
            return Err(Error::rule(
                &rule.file,
                rule.line_in_sql(name),
                unknown_table(name, context),
            ));
        }
        if !rule.tables().any(|known| known == name) {
            return Err(Error::rule(
                &rule.file,
                rule.line_in_sql(name),
                format!("the SQL uses the table {name}, which is not in `reads`"),
            ));
        }
    }
    for name in &rule.reads {
        if !used.iter().any(|table| table.table() == name) {
            let reason = format!("`reads` names {name}, which the SQL does not use");
            return Err(Error::rule(&rule.file, rule.line_of_key("reads"), reason));
        }
    }
    Ok(())
}

fn unknown_table(name: &str, context: &SessionContext) -> String {
    let known = context_tables(context);
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    match trailhound_query::error::nearest(name, &names) {
        Some(near) => format!("there is no table {name}; did you mean {near}?"),
        None => format!("there is no table {name}; there are {}", names.join(", ")),
    }
}

/// The front matter may only promise what the query gives.
fn check_output(rule: &Rule, plan: &LogicalPlan) -> Result<()> {
    let schema = plan.schema();
    let has = |name: &str| schema.fields().iter().any(|field| field.name() == name);
    let missing = |key: &str, reason: String| Err(Error::rule(&rule.file, rule.line_of_key(key), reason));
    for (key, columns) in [("entity", &rule.entity), ("impact", &rule.impact)] {
        for column in columns {
            if !has(column) {
                return missing(
                    key,
                    format!("`{key}` names {column}, which the query does not give"),
                );
            }
            if RESERVED.contains(&column.as_str()) {
                return missing(
                    key,
                    format!("`{key}` names {column}, which has a meaning of its own"),
                );
            }
        }
    }
    for column in rule.message.columns() {
        if !has(column) && column != "count" {
            return missing(
                "message",
                format!("the message uses {{{column}}}, which the query does not give"),
            );
        }
    }
    let has_time = has("event_time") || (has("first_seen") && has("last_seen"));
    let has_records = has("evidence") || (has("_source") && has("_line"));
    if !has_time {
        return Err(Error::rule(
            &rule.file,
            rule.sql_line,
            "the query must give event_time, or first_seen and last_seen",
        ));
    }
    if !has_records {
        return Err(Error::rule(
            &rule.file,
            rule.sql_line,
            "the query must give evidence(...) as evidence, or _source and _line: an alert shows its records",
        ));
    }
    Ok(())
}

/// An engine's error in the terms of the rule's file.
pub fn sql_error(rule: &Rule, error: &DataFusionError, tables: &[String]) -> Error {
    let error = trailhound_query::error::explain(error, &rule.sql, tables);
    let line = rule.sql_line + error.span().map_or(0, |span| span.line.saturating_sub(1));
    let help = error.help().map_or(String::new(), |help| format!("; {help}"));
    let reason = format!("{}{help}", error.message());
    match error.kind() {
        trailhound_query::ErrorKind::WrongUse => Error::rule(&rule.file, line, reason),
        _ => Error::query(&rule.file, reason),
    }
}

fn context_tables(context: &SessionContext) -> Vec<String> {
    let config = context.copied_config();
    let names = &config.options().catalog;
    let schema = context
        .catalog(&names.default_catalog)
        .and_then(|catalog| catalog.schema(&names.default_schema));
    let mut tables = schema.map_or_else(Vec::new, |schema| schema.table_names());
    tables.sort();
    tables
}
