//! CloudWatch Logs filter patterns, translated to SQL.
//!
//! ```text
//! "[a, b = 80, ...]" -> parse: Pattern -> fields, json, terms: conditions -> SELECT * FROM table WHERE ...
//! ```
//!
//! The first character tells the family, as it does at AWS:
//!
//! - `[` **space-delimited**: a condition for each field of a line. Over
//!   `vpc_flow` names are free and positions count, as long as the pattern has the
//!   14 fields of the default format or an ellipsis; with another number of fields
//!   the names have to be those of the flow log. A field that the log gives as `-`
//!   is NULL in the table and `-` for the pattern. Over a table of messages the
//!   fields are what `log_field` makes of the message.
//! - `{` **JSON**: conditions on members of a record, which become columns where a
//!   column holds exactly that member, or of a message that is a JSON document.
//! - anything else **unstructured**: terms in a message.
//!
//! What AWS documents is followed, and what it refuses is refused. Where its
//! pages are silent:
//!
//! - A term is found anywhere in a message, also within a word.
//! - A term on a member that is not there, or is null, does not match, `!=`
//!   included; people found the same of the service.
//! - `= 400` and `!= 400` also take the string `"400"` for that number; `<` and
//!   its siblings take only numbers.
//! - `= "400"` also takes the number 400: a value is compared by its text.
//! - A column cannot tell null from absent, so over a table of records `IS NULL`
//!   and `NOT EXISTS` on a member that has a column are true of both. An empty
//!   access key counts as absent.
//! - Text in `[...]` or `"..."` is one field without these marks if a blank
//!   follows them, and runs of blanks are one.

use crate::error::Error;

mod syntax;
mod cursor;
mod selector;
mod regex;
mod parse;
mod sql;
mod fields;
mod json;
mod terms;

pub(crate) use selector::{Selector, Step};
pub use sql::literal;
pub(crate) use syntax::{matches_wildcards, number};

use syntax::Pattern;

/// Longest pattern in characters, which is AWS's own limit.
pub const PATTERN_CHARS_MAX: usize = 1024;

/// Tables whose rows are free text, and the column that holds it.
const MESSAGE_TABLES: &[(&str, &str)] = &[("container_logs", "message")];

/// Tables whose rows are JSON records: the columns' `from` is the path in the
/// record, and `extra` has what no column names. With each the columns that are
/// more, or less, than the member that they are made from.
const RECORD_TABLES: &[(&str, &[&str])] = &[(
    "cloudtrail",
    &[
        "principal_name",
        "account_id",
        "role_arn",
        "session_name",
        "mfa",
        "session_created",
        "region",
    ],
)];

/// The one table whose rows are lines of space-delimited fields.
const FIELD_TABLE: &str = "vpc_flow";

/// The SQL that asks `table`, whose log format is `format`, what `pattern` asks
/// CloudWatch Logs.
///
/// # Errors
/// The pattern is malformed, or of a family that does not fit the format. The
/// error's span is a place in the pattern.
pub fn to_sql(pattern: &str, table: &str, format: &str) -> Result<String, Error> {
    let message = MESSAGE_TABLES
        .iter()
        .find(|(name, _)| *name == format)
        .map(|(_, column)| *column);
    let record = RECORD_TABLES
        .iter()
        .find(|(name, _)| *name == format)
        .map(|(_, inexact)| *inexact);
    let conditions = match (parse::parse(pattern)?, message, record) {
        (Pattern::All, ..) => Vec::new(),
        (Pattern::Terms(found), Some(column), _) => terms::conditions(&found, column),
        (Pattern::Fields(found), Some(column), _) => fields::of_message(&found, column),
        (Pattern::Fields(found), ..) if format == FIELD_TABLE => fields::of_columns(pattern, &found, format)?,
        (Pattern::Json(found), Some(column), _) => json::of_message(&found, column),
        (Pattern::Json(found), _, Some(inexact)) => json::of_record(pattern, &found, format, inexact)?,
        (found, ..) => return Err(misfit(&found, format, record.is_some())),
    };
    let mut text = format!("SELECT * FROM {}", sql::name(table));
    for (index, condition) in conditions.iter().enumerate() {
        text.push_str(if index == 0 { "\nWHERE " } else { "\n  AND " });
        text.push_str(condition);
    }
    Ok(text)
}

/// A pattern of a family that says nothing about the rows of this format.
fn misfit(pattern: &Pattern, format: &str, is_record: bool) -> Error {
    let what = match pattern {
        Pattern::Fields(_) => "a pattern in [...] is about the fields of a line, and",
        Pattern::Json(_) => "a pattern in {...} is about the members of a JSON document, and",
        Pattern::Terms(_) | Pattern::All => "a pattern of words searches the text of a message, and",
    };
    let has = match (is_record, format == FIELD_TABLE) {
        (true, _) => format!("{format} is a table of JSON records"),
        (_, true) => format!("{format} is a table of lines with named fields"),
        _ => format!("{format} is neither messages, nor lines, nor records that patterns know"),
    };
    let help = match (is_record, format == FIELD_TABLE) {
        (true, _) => "name a member: { $.eventName = \"StopLogging\" }",
        (_, true) => "give conditions to fields: [..., action = REJECT, status]",
        _ => "ask in SQL",
    };
    Error::wrong_use(format!("{what} {has}")).with_help(help)
}

#[cfg(test)]
mod tests;
