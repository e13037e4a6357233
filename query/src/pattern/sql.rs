//! Pieces of SQL: literals that nothing can break out of, conditions, their joints.

use super::syntax::{Comparison, Expr, Op, Value, matches_wildcards, number};

/// Most digits of a number that a 64-bit float holds exactly.
const EXACT_DIGITS_MAX: usize = 15;

/// What text is read as where its order matters. To a float `nan` and `inf` would
/// be numbers, and an id of 19 digits its neighbour.
const DECIMAL: &str = "DECIMAL(38, 9)";

/// Names that SQL takes for keywords where a column is expected.
const KEYWORDS: &[&str] = &["end", "start", "type"];

/// A table or column.
pub(super) fn name(name: &str) -> String {
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty();
    match is_plain && !KEYWORDS.contains(&name) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// A string as SQL writes it.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The right side of `LIKE` for text in which `*` stands for any text.
fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '*' => pattern.push('%'),
            '%' | '_' | '\\' => pattern.extend(['\\', character]),
            other => pattern.push(other),
        }
    }
    literal(&pattern)
}

/// A number of a pattern as SQL writes it.
pub(super) fn numeral(text: &str) -> String {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.to_string();
    }
    let value = number(text).unwrap_or_default();
    let size = value.abs();
    match size == 0.0 || (1e-6..1e15).contains(&size) {
        true => format!("{value:?}"),
        false => format!("{value:e}"),
    }
}

/// Whether a number is an id: more digits than numbers of JSON are exact to.
pub(super) fn is_id(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() > EXACT_DIGITS_MAX
}

/// A test of text: `=`, `!=`, wildcards, regular expressions. NULL gives NULL,
/// which no pattern turns into a match.
pub(super) fn text_test(text: &str, op: Op, value: &Value) -> String {
    let is = op == Op::Eq;
    match value {
        Value::Text(value) if value.contains('*') => {
            format!("{text} {} {}", if is { "LIKE" } else { "NOT LIKE" }, like(value))
        }
        Value::Text(value) | Value::Number(value) => {
            format!("{text} {} {}", if is { "=" } else { "<>" }, literal(value))
        }
        Value::Regex(value) => format!(
            "{}regexp_like({text}, {})",
            if is { "" } else { "NOT " },
            literal(value)
        ),
    }
}

/// A field of a line, as SQL reads it.
#[derive(Debug)]
pub(super) struct Cell {
    /// Its value.
    pub(super) sql: String,
    /// Whether the value is a number; else it is text.
    pub(super) is_number: bool,
    /// Whether NULL stands for the `-` of the log.
    pub(super) has_dash: bool,
}

impl Cell {
    /// A condition on the field.
    pub(super) fn test(&self, test: &Comparison) -> String {
        let (sql, op) = (&self.sql, test.op);
        let text = if self.is_number {
            format!("CAST({sql} AS VARCHAR)")
        } else {
            sql.clone()
        };
        let is = op == Op::Eq;
        match &test.value {
            Value::Number(value) if op.is_order() || !self.is_text(value) => {
                let left = if self.is_number {
                    sql.clone()
                } else {
                    format!("TRY_CAST({sql} AS {DECIMAL})")
                };
                // What is no number is not this number either.
                let operator = if op == Op::Ne {
                    "IS DISTINCT FROM"
                } else {
                    op.text()
                };
                format!("{left} {operator} {}", numeral(value))
            }
            Value::Text(value) if self.has_dash && value == "-" => {
                format!("{sql} IS {}NULL", if is { "" } else { "NOT " })
            }
            Value::Text(value)
                if self.is_number && value.parse::<i64>().is_ok_and(|n| n.to_string() == *value) =>
            {
                format!("{sql} {} {value}", if is { "=" } else { "IS DISTINCT FROM" })
            }
            Value::Text(value) if value.contains('*') => {
                let plain = text_test(&text, op, &test.value);
                // NULL has to fare as `-` would.
                match self.has_dash && matches_wildcards(value, "-") == is {
                    true => format!("({plain} OR {sql} IS NULL)"),
                    false => plain,
                }
            }
            Value::Text(value) | Value::Number(value) if !is && self.has_dash => {
                format!("{text} IS DISTINCT FROM {}", literal(value))
            }
            Value::Regex(_) if self.has_dash => text_test(&format!("coalesce({text}, '-')"), op, &test.value),
            value => text_test(&text, op, value),
        }
    }

    /// Whether a number is compared with the field as text: its digits are what
    /// the log writes, and an id with more of them than a float holds stays exact.
    fn is_text(&self, value: &str) -> bool {
        !self.is_number && value.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// The conditions that all have to hold, each made by `test`.
pub(super) fn conjuncts<T, E>(
    expr: &Expr<T>,
    test: &mut dyn FnMut(&T) -> Result<String, E>,
) -> Result<Vec<String>, E> {
    match expr {
        Expr::And(parts) => parts.iter().map(|part| joined(part, test)).collect(),
        other => Ok(vec![joined(other, test)?]),
    }
}

/// One condition, in parentheses if it is several.
fn joined<T, E>(expr: &Expr<T>, test: &mut dyn FnMut(&T) -> Result<String, E>) -> Result<String, E> {
    let (parts, joint) = match expr {
        Expr::Test(one) => return test(one),
        Expr::And(parts) => (parts, " AND "),
        Expr::Or(parts) => (parts, " OR "),
    };
    let parts: Vec<String> = parts
        .iter()
        .map(|part| joined(part, test))
        .collect::<Result<_, E>>()?;
    Ok(format!("({})", parts.join(joint)))
}
