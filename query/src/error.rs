//! What DataFusion says, in words that help to mend it.

use datafusion::common::{DataFusionError, SchemaError};
pub use trailhound_ingest::error::{Error, ErrorKind, Span};

/// An error that DataFusion found in `sql`, or while running it. `tables`
/// are the names that exist, for suggestions.
pub fn explain(error: &DataFusionError, sql: &str, tables: &[String]) -> Error {
    let root = innermost(error);
    let result = match root {
        DataFusionError::SQL(parse_error, _) => {
            let message = match parse_error.as_ref() {
                datafusion::logical_expr::sqlparser::parser::ParserError::TokenizerError(text)
                | datafusion::logical_expr::sqlparser::parser::ParserError::ParserError(text) => text.clone(),
                other => other.to_string(),
            };
            let (message, span) = split_location(&message);
            Error::wrong_use(format!("SQL: {message}")).with_span(span)
        }
        DataFusionError::SchemaError(schema_error, _) => schema_fault(schema_error, sql),
        DataFusionError::ResourcesExhausted(text) => Error::new(ErrorKind::Limit, first_line(text))
            .with_help("give the query more with --memory, or select fewer columns or less time"),
        DataFusionError::ObjectStore(error) => Error::new(ErrorKind::Unreachable, error.to_string()),
        DataFusionError::IoError(error) => Error::new(ErrorKind::Unreachable, error.to_string()),
        DataFusionError::Plan(text) => plan_fault(text, sql, tables),
        // Our own errors travel through the engine like this.
        DataFusionError::External(inner) if inner.is::<Error>() => inner
            .downcast_ref::<Error>()
            .cloned()
            .unwrap_or_else(|| Error::new(ErrorKind::Failed, inner.to_string())),
        other => Error::new(ErrorKind::Failed, first_line(&other.strip_backtrace())),
    };
    match result.span() {
        Some(_) => result,
        None => result.with_span(diagnostic_span(error)),
    }
}

/// The error under its wrappers.
fn innermost(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => innermost(inner),
        DataFusionError::Shared(inner) => innermost(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, innermost),
        other => other,
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// "... at Line: 1, Column: 8" as the text before it and the place.
fn split_location(text: &str) -> (String, Option<Span>) {
    let Some(at) = text.rfind(" at Line: ") else {
        return (text.to_owned(), None);
    };
    let mut numbers = text[at..]
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse::<usize>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(line), Some(column)) if line > 0 && column > 0 => (
            text[..at].to_owned(),
            Some(Span {
                line,
                column,
                length: 1,
            }),
        ),
        _ => (text[..at].to_owned(), None),
    }
}

fn diagnostic_span(error: &DataFusionError) -> Option<Span> {
    let span = error.diagnostic()?.span?;
    let same_line = span.start.line == span.end.line && span.end.column > span.start.column;
    (span.start.line > 0).then(|| Span {
        line: span.start.line as usize,
        column: span.start.column as usize,
        length: if same_line {
            (span.end.column - span.start.column) as usize
        } else {
            1
        },
    })
}

fn schema_fault(error: &SchemaError, sql: &str) -> Error {
    let SchemaError::FieldNotFound { field, valid_fields } = error else {
        return Error::wrong_use(error.to_string());
    };
    let result = Error::wrong_use(format!("there is no column {}", field.name()))
        .with_span(find_word(sql, field.name()));
    let names: Vec<&str> = valid_fields.iter().map(|column| column.name()).collect();
    match nearest(field.name(), &names) {
        Some(name) => result.with_help(format!("did you mean {name}?")),
        None if names.is_empty() => result,
        None => {
            let mut shown: Vec<&str> = names.iter().copied().take(12).collect();
            if names.len() > shown.len() {
                shown.push("...");
            }
            result.with_help(format!("there are {}", shown.join(", ")))
        }
    }
}

fn plan_fault(text: &str, sql: &str, tables: &[String]) -> Error {
    let message = first_line(text);
    if let Some(name) = message
        .strip_prefix("table '")
        .and_then(|rest| rest.strip_suffix("' not found"))
    {
        let name = name.rsplit('.').next().unwrap_or(name);
        let names: Vec<&str> = tables.iter().map(String::as_str).collect();
        let result = Error::wrong_use(format!("there is no table {name}")).with_span(find_word(sql, name));
        return match tables.is_empty() {
            true => result.with_help("name one with --from TABLE=PATH"),
            false => result.with_help(meant(name, &names)),
        };
    }
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        // "Invalid function 'foo'.\nDid you mean 'bar'?"
        let name = rest.split('\'').next().unwrap_or(rest);
        let result = Error::wrong_use(format!("there is no function {name}")).with_span(find_word(sql, name));
        let near = text
            .split("Did you mean '")
            .nth(1)
            .and_then(|rest| rest.split('\'').next());
        return match near {
            Some(near) => result.with_help(format!("did you mean {near}?")),
            None => result,
        };
    }
    Error::wrong_use(message)
}

/// The candidate that `name` was most likely meant to be.
pub fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), *candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// What to try where `name` is none of the `candidates`: the one that was meant, or all of them.
pub fn meant(name: &str, candidates: &[&str]) -> String {
    match nearest(name, candidates) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", candidates.join(", ")),
    }
}

/// Where `word` stands in `sql` as a word of its own, outside of string literals.
fn find_word(sql: &str, word: &str) -> Option<Span> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    for (index, line) in sql.lines().enumerate() {
        let lower = line.to_lowercase();
        let word_lower = word.to_lowercase();
        let mut from = 0;
        while let Some(found) = lower[from..].find(&word_lower) {
            let at = from + found;
            let end = at + word_lower.len();
            let free = !lower[..at].chars().next_back().is_some_and(is_part)
                && !lower[end..].chars().next().is_some_and(is_part)
                && lower[..at].matches('\'').count().is_multiple_of(2);
            if free && !word_lower.is_empty() {
                let column = lower[..at].chars().count() + 1;
                return Some(Span {
                    line: index + 1,
                    column,
                    length: word.chars().count().max(1),
                });
            }
            from = end.max(at + 1);
            if from >= lower.len() || !lower.is_char_boundary(from) {
                break;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_as_words() {
        let sql = "SELECT 'srcadr', my_srcadr\nFROM t WHERE srcadr = 1";
        assert_eq!(
            find_word(sql, "srcadr"),
            Some(Span {
                line: 2,
                column: 14,
                length: 6
            })
        );
        assert_eq!(find_word(sql, "missing"), None);
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_not() {
        assert_eq!(
            nearest("srcadr", &["dstaddr", "srcaddr", "action"]),
            Some("srcaddr")
        );
        assert_eq!(nearest("zzz", &["dstaddr", "srcaddr"]), None);
    }

    #[test]
    fn locations_are_cut_from_parser_messages() {
        let (text, span) = split_location("Expected: x, found: y at Line: 2, Column: 7");
        assert_eq!(
            (text.as_str(), span),
            (
                "Expected: x, found: y",
                Some(Span {
                    line: 2,
                    column: 7,
                    length: 1
                })
            )
        );
    }
}
