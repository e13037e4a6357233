//! `log_field(text, number)` and `log_field_count(text)`

use super::{Body, Function, Group, Type, int, text};

/// See [`Function::about`].
pub const FIELD: Function = Function {
    name: "log_field",
    group: Group::Records,
    arguments: &[text("text"), int("number")],
    gives: Type::Text,
    about: "A field of a line, counted from 1, or with a minus from the end. Fields stand between blanks; text in \
            [...] or \"...\" is one field, without these marks. NULL if there are fewer.",
    example: (
        "log_field('10.0.0.1 - [20/Nov/2025:07:05:09 +0000] \"GET / HTTP/1.1\" 200', 4)",
        "GET / HTTP/1.1",
    ),
    body: Body::Scalar(|arguments| {
        let (line, number) = (arguments.text(0), arguments.int(1));
        arguments.to_text(|row| field(line.at(row)?, number.at(row)?))
    }),
};

/// See [`Function::about`].
pub const COUNT: Function = Function {
    name: "log_field_count",
    group: Group::Records,
    arguments: &[text("text")],
    gives: Type::Int,
    about: "How many fields log_field finds in a line.",
    example: ("log_field_count('10.0.0.1 - \"GET / HTTP/1.1\" 200')", "4"),
    body: Body::Scalar(|arguments| {
        let line = arguments.text(0);
        arguments.to_int(|row| i64::try_from(fields(line.at(row)?).count()).ok())
    }),
};

fn field(line: &str, number: i64) -> Option<&str> {
    let index = match usize::try_from(number) {
        Ok(number) => number.checked_sub(1)?,
        Err(_) => fields(line)
            .count()
            .checked_sub(usize::try_from(number.unsigned_abs()).ok()?)?,
    };
    fields(line).nth(index)
}

/// The fields of a line.
fn fields(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let (field, length) = match rest.chars().next()? {
            '[' => enclosed(rest, ']'),
            '"' => enclosed(rest, '"'),
            _ => None,
        }
        .unwrap_or_else(|| {
            let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (&rest[..length], length)
        });
        rest = &rest[length..];
        Some(field)
    })
}

/// What stands between the mark that `rest` begins with and the next `close`, and
/// the length with both marks; none unless a blank or the end follows.
fn enclosed(rest: &str, close: char) -> Option<(&str, usize)> {
    let end = 1 + rest[1..].find(close)?;
    let behind = &rest[end + 1..];
    (behind.is_empty() || behind.starts_with(char::is_whitespace)).then(|| (&rest[1..end], end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (line, expected) in [
            ("", &[][..]),
            ("  a  b\tc ", &["a", "b", "c"]),
            ("a [b c] \"d e\" f", &["a", "b c", "d e", "f"]),
            ("[] \"\"", &["", ""]),
            ("[open b", &["[open", "b"]),
            ("\"open b", &["\"open", "b"]),
            ("[INFO]: up", &["[INFO]:", "up"]),
            ("\"a b\"c d", &["\"a", "b\"c", "d"]),
            ("é [漢 字] 'x y'", &["é", "漢 字", "'x", "y'"]),
        ] {
            assert_eq!(fields(line).collect::<Vec<_>>(), expected, "{line:?}");
        }
    }

    #[test]
    fn numbers() {
        for (number, expected) in [
            (1, Some("a")),
            (3, Some("c")),
            (4, None),
            (0, None),
            (-1, Some("c")),
            (-3, Some("a")),
            (-4, None),
            (i64::MIN, None),
        ] {
            assert_eq!(field("a b c", number), expected, "{number}");
        }
    }
}
