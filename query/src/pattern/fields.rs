//! Space-delimited patterns: over columns that are fields of a line, and over the
//! text of a message.

use std::convert::Infallible;

use trailhound_ingest::column::{Column, Kind};
use trailhound_ingest::formats::format_named;

use super::cursor::fault;
use super::sql::{Cell, conjuncts, name};
use super::syntax::{Comparison, Expr, Field, FieldKind};
use crate::error::{Error, nearest};

/// Fields of the default flow log format, which are the first columns of the table.
const DEFAULT_FIELDS: usize = 14;

/// The conditions of a pattern over `vpc_flow`.
pub(super) fn of_columns(pattern: &str, fields: &[Field], format: &str) -> Result<Vec<String>, Error> {
    let columns = format_named(format).map_or(&[][..], |format| format.columns());
    let named = fields
        .iter()
        .filter(|field| field.kind != FieldKind::Rest)
        .count();
    let has_rest = named < fields.len();
    if has_rest && named > DEFAULT_FIELDS {
        let message = format!("these are {named} fields, and the default format has {DEFAULT_FIELDS}");
        let at = fields.last().map_or(0..0, |field| field.at.clone());
        return Err(
            fault(pattern, at, message).with_help("leave out the ... and use the names of the fields")
        );
    }
    let by_position = has_rest || named == DEFAULT_FIELDS;
    let mut conditions = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let FieldKind::Named {
            name: field_name,
            test: Some(test),
        } = &field.kind
        else {
            continue;
        };
        let column = if by_position {
            let is_after_rest = fields[..index].iter().any(|field| field.kind == FieldKind::Rest);
            let from_end = fields.len() - index;
            columns.get(if is_after_rest {
                DEFAULT_FIELDS - from_end
            } else {
                index
            })
        } else {
            column_named(columns, field_name)
        };
        let Some(column) = column else {
            return Err(unknown_field(pattern, field, field_name, columns, named));
        };
        let is_number = matches!(column.kind, Kind::Int | Kind::Long | Kind::Double);
        add(
            &mut conditions,
            &Cell {
                sql: name(column.name),
                is_number,
                has_dash: true,
            },
            test,
        );
    }
    Ok(conditions)
}

/// The conditions of a pattern over messages.
pub(super) fn of_message(fields: &[Field], column: &str) -> Vec<String> {
    let rest = fields.iter().position(|field| field.kind == FieldKind::Rest);
    let (operator, named) = match rest {
        Some(_) => (">=", fields.len() - 1),
        None => ("=", fields.len()),
    };
    let mut conditions = Vec::new();
    // At least none is no condition.
    if rest.is_none() || named > 0 {
        conditions.push(format!("log_field_count({column}) {operator} {named}"));
    }
    for (index, field) in fields.iter().enumerate() {
        let FieldKind::Named { test: Some(test), .. } = &field.kind else {
            continue;
        };
        let number = match rest {
            Some(rest) if index > rest => format!("-{}", fields.len() - index),
            _ => (index + 1).to_string(),
        };
        let sql = format!("log_field({column}, {number})");
        add(
            &mut conditions,
            &Cell {
                sql,
                is_number: false,
                has_dash: false,
            },
            test,
        );
    }
    conditions
}

fn add(conditions: &mut Vec<String>, cell: &Cell, test: &Expr<Comparison>) {
    let made: Result<Vec<String>, Infallible> = conjuncts(test, &mut |comparison| Ok(cell.test(comparison)));
    match made {
        Ok(made) => conditions.extend(made),
        Err(never) => match never {},
    }
}

/// The column of a flow log field, by its name with hyphens or underscores.
fn column_named(columns: &'static [Column], field: &str) -> Option<&'static Column> {
    let field = field.replace('-', "_").to_ascii_lowercase();
    columns
        .iter()
        .find(|column| column.name == field && !matches!(column.kind, Kind::Time | Kind::Json))
}

fn unknown_field(pattern: &str, field: &Field, name: &str, columns: &[Column], named: usize) -> Error {
    let message = format!("flow logs have no field {name}");
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let why =
        format!("names are free in a pattern of {DEFAULT_FIELDS} fields or with ..., and this has {named}");
    fault(pattern, field.at.clone(), message).with_help(match nearest(&name.replace('-', "_"), &names) {
        Some(near) => format!("did you mean {near}? {why}"),
        None => why,
    })
}
