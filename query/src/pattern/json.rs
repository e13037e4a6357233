//! JSON patterns: over a table of records, whose members are columns, and over
//! messages that are JSON documents.
//!
//! A condition on a member that is not there gives NULL, and nothing in a pattern
//! turns NULL into a match; so SQL's three values do what AWS does.

use std::convert::Infallible;

use trailhound_ingest::column::{Column, Kind};
use trailhound_ingest::formats::format_named;

use super::cursor::fault;
use super::selector::{Selector, Step};
use super::sql::{conjuncts, is_id, literal, name, numeral, text_test};
use super::syntax::{Check, Comparison, Expr, JsonTest, Op, Value};
use crate::error::Error;

/// The column with all members that no other column names.
const EXTRA: &str = "extra";

/// Where a selector leads in a table.
enum Target<'a> {
    /// To a column that holds just this member.
    Column(&'a Column),
    /// Into the JSON of a column.
    Document(&'a str, &'a [Step]),
}

/// The conditions of a pattern over messages.
pub(super) fn of_message(expr: &Expr<JsonTest>, column: &str) -> Vec<String> {
    // A message that is no document has no members, but must not match for that.
    let mut conditions = vec![format!("json_length({column}) IS NOT NULL")];
    let made: Result<Vec<String>, Infallible> = conjuncts(expr, &mut |test| {
        Ok(document_test(column, &test.selector.steps, &test.check))
    });
    match made {
        Ok(made) => conditions.extend(made),
        Err(never) => match never {},
    }
    conditions
}

/// The conditions of a pattern over a table of records. Columns called `inexact`
/// are passed over.
pub(super) fn of_record(
    pattern: &str,
    expr: &Expr<JsonTest>,
    format: &str,
    inexact: &[&str],
) -> Result<Vec<String>, Error> {
    let columns = format_named(format).map_or(&[][..], |format| format.columns());
    conjuncts(expr, &mut |test| {
        let refuse = |message: String| fault(pattern, test.at.clone(), message);
        match target(columns, inexact, &test.selector) {
            Ok(Target::Document(column, steps)) => Ok(document_test(column, steps, &test.check)),
            Ok(Target::Column(column)) => column_test(column, &test.check).ok_or_else(|| {
                refuse(format!(
                    "{} is {}, of which this is never true",
                    test.selector,
                    kind(column)
                ))
            }),
            Err(why) => Err(refuse(why)),
        }
    })
}

fn target<'a>(columns: &'a [Column], inexact: &[&str], selector: &'a Selector) -> Result<Target<'a>, String> {
    let steps = &selector.steps;
    let Some(Step::Key(first)) = steps.first() else {
        return Err("a record is a JSON object: name one of its members".to_owned());
    };
    let is_at = |column: &&Column, steps: &[Step]| {
        let is_step = |(step, part): (&Step, &str)| matches!(step, Step::Key(key) if key == part);
        column.from.split('.').count() == steps.len() && steps.iter().zip(column.from.split('.')).all(is_step)
    };
    let exact = || {
        columns
            .iter()
            .filter(|column| !column.from.is_empty() && !inexact.contains(&column.name))
    };
    if let Some(column) = exact().find(|column| column.kind != Kind::Json && is_at(column, steps)) {
        return Ok(Target::Column(column));
    }
    match exact().find(|column| is_at(column, &steps[..1])) {
        Some(column) if column.kind == Kind::Json => Ok(Target::Document(column.name, &steps[1..])),
        Some(column) => Err(format!("{first} is {}, and has no members", kind(column))),
        None => Ok(Target::Document(EXTRA, steps)),
    }
}

fn kind(column: &Column) -> &'static str {
    match column.kind {
        Kind::Bool => "true or false",
        Kind::Int | Kind::Long | Kind::Double => "a number",
        Kind::Json => "JSON",
        Kind::Text | Kind::Time => "text",
    }
}

/// A condition on a column that holds just the member; none if it is never true.
fn column_test(column: &Column, check: &Check) -> Option<String> {
    let sql = name(column.name);
    let is_number = matches!(column.kind, Kind::Int | Kind::Long | Kind::Double);
    let text = match column.kind {
        Kind::Text | Kind::Json => sql.clone(),
        // As records write it.
        Kind::Time => format!("to_char({sql}, '%Y-%m-%dT%H:%M:%SZ')"),
        Kind::Int | Kind::Long | Kind::Double | Kind::Bool => format!("CAST({sql} AS VARCHAR)"),
    };
    Some(match check {
        Check::IsNull | Check::NotExists => format!("{sql} IS NULL"),
        Check::IsBool(value) if column.kind == Kind::Bool => {
            format!("{sql} IS {}", if *value { "TRUE" } else { "FALSE" })
        }
        Check::IsBool(_) => return None,
        Check::Compare(Comparison {
            op,
            value: Value::Number(value),
        }) if is_number => {
            format!(
                "{sql} {} {}",
                if *op == Op::Ne { "<>" } else { op.text() },
                numeral(value)
            )
        }
        Check::Compare(comparison) if comparison.op.is_order() => return None,
        Check::Compare(comparison) => text_test(&text, comparison.op, &comparison.value),
    })
}

/// A condition on a member somewhere in the JSON of a column.
fn document_test(column: &str, steps: &[Step], check: &Check) -> String {
    if steps.is_empty() {
        return root_test(column, check);
    }
    let selector = Selector {
        steps: steps.to_vec(),
    };
    if selector.has_wildcard() {
        return any_test(column, &selector, check);
    }
    let keys: Vec<String> = steps.iter().map(step_sql).collect();
    let all = format!("{column}, {}", keys.join(", "));
    let (last, before) = keys
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last, before));
    let way: String = before.iter().map(|key| format!("->{key}")).collect();
    let text = format!("({column}{way}->>{last})");
    match check {
        Check::IsNull => format!("json_get_json({all}) = 'null'"),
        Check::IsBool(value) => format!("json_get_json({all}) = '{value}'"),
        Check::NotExists => format!("json_contains({all}) IS NOT TRUE"),
        Check::Compare(Comparison {
            op,
            value: Value::Number(value),
        }) if op.is_order() => {
            // The function reads numbers out of strings too, and those have no order.
            format!(
                "(json_get_float({all}) {} {} AND json_get_str({all}) IS NULL)",
                op.text(),
                numeral(value)
            )
        }
        Check::Compare(Comparison {
            op,
            value: Value::Number(value),
        }) if !is_id(value) => match op {
            Op::Eq => format!("json_get_float({all}) = {}", numeral(value)),
            _ => {
                let differs = format!("json_get_float({all}) IS DISTINCT FROM {}", numeral(value));
                format!("({text} IS NOT NULL AND json_length({all}) IS NULL AND {differs})")
            }
        },
        Check::Compare(comparison) => {
            let test = text_test(&text, comparison.op, &comparison.value);
            match is_scalar_only(comparison) {
                true => test,
                // Objects and arrays have text too, but match nothing.
                false => format!("({test} AND json_length({all}) IS NULL)"),
            }
        }
    }
}

/// Whether a comparison cannot be true of the text of an object or an array.
fn is_scalar_only(comparison: &Comparison) -> bool {
    match (&comparison.op, &comparison.value) {
        (Op::Eq, Value::Text(text)) => !text.starts_with(['{', '[', '*']),
        (Op::Eq, Value::Number(_)) => true,
        _ => false,
    }
}

/// A condition on the whole JSON of a column: an object or an array, so no value.
fn root_test(column: &str, check: &Check) -> String {
    match check {
        Check::IsNull | Check::NotExists => format!("{column} IS NULL"),
        Check::IsBool(value) => format!("{column} = '{value}'"),
        Check::Compare(comparison) => {
            format!(
                "({} AND json_length({column}) IS NULL)",
                text_test(column, comparison.op, &comparison.value)
            )
        }
    }
}

/// A condition on one of the values that a selector hits.
fn any_test(column: &str, selector: &Selector, check: &Check) -> String {
    let call = |operator: &str, value: &str| {
        format!(
            "json_any({column}, {}, '{operator}', {})",
            literal(&selector.to_string()),
            literal(value)
        )
    };
    match check {
        Check::IsNull => call("is", "null"),
        Check::IsBool(value) => call("is", &value.to_string()),
        Check::NotExists => format!("{} IS NOT TRUE", call("is", "anything")),
        Check::Compare(comparison) => match &comparison.value {
            Value::Number(value) | Value::Text(value) => call(comparison.op.text(), value),
            Value::Regex(value) => call(if comparison.op == Op::Eq { "~" } else { "!~" }, value),
        },
    }
}

fn step_sql(step: &Step) -> String {
    match step {
        Step::Key(key) => literal(key),
        Step::Index(index) => index.to_string(),
        Step::AnyKey | Step::AnyIndex => "'*'".to_owned(),
    }
}
