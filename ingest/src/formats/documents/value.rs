//! JSON values as values of columns.

use std::borrow::Cow;
use std::ops::Range;

use crate::column::Kind;
use crate::json;
use crate::rows::Rows;

/// Longest piece of a log's own text that a reason quotes, in characters.
const QUOTED_CHARS_MAX: usize = 40;

/// Whole numbers up to here are exact in a 64-bit float.
const FLOAT_EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Numbers below are seconds, below the next milliseconds, then microseconds, then
/// nanoseconds: each unit from March 1973 to the year 5138.
const SECONDS_BELOW: i64 = 100_000_000_000;
const MILLIS_BELOW: i64 = 100_000_000_000_000;
const MICROS_BELOW: i64 = 100_000_000_000_000_000;

/// A value that a function made, see [`super::Take::Made`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    /// A raw JSON value, which becomes what the column holds.
    Raw(&'a [u8]),
    /// Text.
    Text(Cow<'a, str>),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// true or false.
    Bool(bool),
}

impl Value<'_> {
    /// Sets a column of `kind` to it; what the kind cannot hold leaves it NULL.
    pub(super) fn put(&self, rows: &mut Rows, column: usize, kind: Kind) {
        match (kind, self) {
            (Kind::Text, Value::Raw(raw)) => match json::string(raw) {
                Some(text) => rows.set_text(column, &text),
                None => rows.set_text(column, &String::from_utf8_lossy(raw)),
            },
            (Kind::Json, Value::Raw(raw)) => rows.set_text(column, &String::from_utf8_lossy(raw)),
            (_, Value::Raw(raw)) => put_scalar(rows, column, kind, raw),
            (Kind::Text | Kind::Json, Value::Text(text)) => rows.set_text(column, text),
            (Kind::Int | Kind::Long, Value::Int(value)) => rows.set_int(column, *value),
            (Kind::Double, Value::Double(value)) => rows.set_double(column, *value),
            (Kind::Bool, Value::Bool(value)) => rows.set_bool(column, *value),
            _ => {}
        }
    }
}

/// The text that spans point into.
#[derive(Clone, Copy)]
pub(super) enum Text<'a> {
    /// The open block: columns can point into it.
    Block(&'a [u8]),
    /// Text that was unescaped out of the block: columns need a copy.
    Copied(&'a str),
}

impl<'a> Text<'a> {
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Text::Block(bytes) => bytes,
            Text::Copied(text) => text.as_bytes(),
        }
    }

    /// Sets a column to `span` as it is written.
    fn put(self, rows: &mut Rows, column: usize, span: Range<usize>) {
        match self {
            Text::Block(bytes) => rows.set_span(column, bytes, span.start, span.end),
            Text::Copied(text) => rows.set_text(column, text.get(span).unwrap_or_default()),
        }
    }

    /// Sets a column of `kind` to the value at `span`.
    pub(super) fn put_value(self, rows: &mut Rows, column: usize, kind: Kind, span: Range<usize>) {
        let raw = &self.bytes()[span.clone()];
        match kind {
            Kind::Json => self.put(rows, column, span),
            Kind::Text => match json::between_quotes(raw) {
                None => self.put(rows, column, span),
                Some(inner) if memchr::memchr(b'\\', inner).is_some() => {
                    rows.set_text(column, &json::unescape(inner));
                }
                Some(_) => self.put(rows, column, span.start + 1..span.end - 1),
            },
            _ => put_scalar(rows, column, kind, raw),
        }
    }
}

/// Sets a column that holds no text to a raw value, if it can hold that.
fn put_scalar(rows: &mut Rows, column: usize, kind: Kind, raw: &[u8]) {
    match kind {
        Kind::Int | Kind::Long => {
            if let Some(value) = integer(raw) {
                rows.set_int(column, value);
            }
        }
        Kind::Double => {
            if let Some(value) = double(raw) {
                rows.set_double(column, value);
            }
        }
        Kind::Bool => {
            if let Some(value) = json::boolean(raw) {
                rows.set_bool(column, value);
            }
        }
        Kind::Time => {
            if let Some(micros) = time_of(raw) {
                rows.set_time(column, micros);
            }
        }
        Kind::Text | Kind::Json => {}
    }
}

/// Whether a column of `kind` can hold the raw value; what it cannot goes to `extra`.
pub(super) fn holds(kind: Kind, raw: &[u8]) -> bool {
    match kind {
        Kind::Text | Kind::Json => true,
        Kind::Int => integer(raw).is_some_and(|value| i32::try_from(value).is_ok()),
        Kind::Long => integer(raw).is_some(),
        Kind::Double => double(raw).is_some(),
        Kind::Bool => json::boolean(raw).is_some(),
        Kind::Time => time_of(raw).is_some(),
    }
}

/// The text of a number, also one that the log has put in quotes.
fn number(raw: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(json::between_quotes(raw).unwrap_or(raw)).ok()?;
    // The standard library also reads `inf`, `nan` and `+1`.
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        .then_some(text)
}

/// A whole number, also `12.0` and `"12"`.
fn integer(raw: &[u8]) -> Option<i64> {
    let text = number(raw)?;
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        (value.fract() == 0.0 && value.abs() <= FLOAT_EXACT_MAX).then_some(value as i64)
    })
}

fn double(raw: &[u8]) -> Option<f64> {
    number(raw)?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The time that a raw value tells, in microseconds since the epoch: RFC 3339, or
/// a number of seconds, milliseconds, microseconds or nanoseconds, by its size.
pub(crate) fn time_of(raw: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(json::between_quotes(raw).unwrap_or(raw)).ok()?;
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    number(raw)?;
    if let Ok(whole) = text.parse::<i64>() {
        return match whole {
            ..0 => None,
            0..SECONDS_BELOW => Some(whole * 1_000_000),
            SECONDS_BELOW..MILLIS_BELOW => Some(whole * 1000),
            MILLIS_BELOW..MICROS_BELOW => Some(whole),
            MICROS_BELOW.. => Some(whole / 1000),
        };
    }
    let value: f64 = text.parse().ok()?;
    let scale = match value {
        ..0.0 => return None,
        _ if value < SECONDS_BELOW as f64 => 1e6,
        _ if value < MILLIS_BELOW as f64 => 1e3,
        _ if value < MICROS_BELOW as f64 => 1.0,
        _ if value < i64::MAX as f64 => 1e-3,
        _ => return None,
    };
    Some((value * scale).round() as i64)
}

/// A piece of log text for a reason: short, and with nothing that controls a terminal.
#[cold]
pub(crate) fn quoted(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(QUOTED_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        short.push_str("...");
    }
    if text.starts_with('"') {
        short.replace("\\\"", "\"")
    } else {
        format!("\"{short}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_times_by_their_size() {
        for (raw, expected) in [
            ("\"2020-01-23T17:57:58.103Z\"", Some(1_579_802_278_103_000)),
            ("\"2020-01-23T18:57:58+01:00\"", Some(1_579_802_278_000_000)),
            ("1579802278", Some(1_579_802_278_000_000)),
            ("1579802278.103", Some(1_579_802_278_103_000)),
            ("1478293361.271", Some(1_478_293_361_271_000)),
            ("1.5798022E9", Some(1_579_802_200_000_000)),
            ("1579802278103", Some(1_579_802_278_103_000)),
            ("\"1579802278103\"", Some(1_579_802_278_103_000)),
            ("1579802278103000", Some(1_579_802_278_103_000)),
            ("1579802278103000999", Some(1_579_802_278_103_000)),
            ("0", Some(0)),
            ("-1", None),
            ("-1.5", None),
            ("1e30", None),
            ("99999999999999999999", None),
            ("\"2020-01-23\"", None),
            ("\"\"", None),
            ("\"inf\"", None),
            ("null", None),
            ("true", None),
            ("{}", None),
        ] {
            assert_eq!(time_of(raw.as_bytes()), expected, "{raw}");
        }
    }

    #[test]
    fn kinds_hold_what_they_can() {
        use Kind::*;
        for (raw, held) in [
            ("1", &[Int, Long, Double, Time][..]),
            ("\"256\"", &[Int, Long, Double, Time]),
            ("1.0", &[Int, Long, Double, Time]),
            ("1.5", &[Double, Time]),
            ("4294967296", &[Long, Double, Time]),
            ("-3", &[Int, Long, Double]),
            ("9223372036854775808", &[Double]),
            ("true", &[Bool]),
            ("\"false\"", &[Bool]),
            ("\"nan\"", &[]),
            ("{}", &[]),
        ] {
            for kind in [Int, Long, Double, Bool, Time] {
                assert_eq!(
                    holds(kind, raw.as_bytes()),
                    held.contains(&kind),
                    "{raw} as {kind:?}"
                );
            }
        }
    }
}
