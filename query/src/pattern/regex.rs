//! `%...%`: what regular expressions of patterns may hold, and how Rust writes them.

use std::ops::Range;

/// Characters that stand for themselves, besides letters and digits.
const SYMBOLS: &str = ":_#=@/;,-";

/// Characters that mean something.
const OPERATORS: &str = "^$?[]{}|*+.";

/// The expression as Rust's `regex` takes it; else what is wrong, and where in it.
pub(super) fn translate(text: &str) -> Result<String, (Range<usize>, String)> {
    let mut rust = String::with_capacity(text.len());
    let mut in_class = false;
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let mut length = character.len_utf8();
        let rest = &text[at + length..];
        let refuse = |length: usize, why: &str| Err((at..at + length, why.to_owned()));
        match character {
            '(' | ')' => return refuse(1, "regular expressions of patterns have no parentheses"),
            '\\' => match escape(rest) {
                Some(escaped) => {
                    length += escaped.len();
                    rust.push('\\');
                    rust.push_str(escaped);
                }
                None => {
                    let shown = 1 + rest.chars().next().map_or(0, char::len_utf8);
                    return refuse(
                        shown,
                        "regular expressions of patterns know \\d \\D \\s \\S \\w \\W \\xhh and escaped symbols",
                    );
                }
            },
            '[' if in_class => rust.push_str("\\["),
            '[' => {
                in_class = true;
                rust.push('[');
                if rest.starts_with('^') {
                    length += 1;
                    rust.push('^');
                }
                // The first bracket of a class is one of its members.
                if text[at + length..].starts_with(']') {
                    length += 1;
                    rust.push_str("\\]");
                }
            }
            // To Rust this takes one class from another.
            '-' if in_class && rest.starts_with('-') => {
                return refuse(2, "write \\- for a hyphen in a class");
            }
            ' ' => return refuse(1, "write \\s for a blank in a regular expression"),
            _ if !character.is_ascii() => return refuse(length, "regular expressions of patterns are ASCII"),
            _ if character.is_ascii_alphanumeric()
                || SYMBOLS.contains(character)
                || OPERATORS.contains(character) =>
            {
                in_class &= character != ']';
                rust.push(character);
            }
            _ => {
                let why =
                    format!("{character} is not among the characters of regular expressions: {SYMBOLS}");
                return refuse(length, &why);
            }
        }
        at += length;
    }
    match ::regex::Regex::new(&rust) {
        Ok(_) => Ok(rust),
        Err(error) => {
            // The last line says what is wrong, those above it draw where.
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default();
            let last = last.strip_prefix("error: ").unwrap_or(last);
            Err((0..text.len(), format!("this is no regular expression: {last}")))
        }
    }
}

/// What follows a backslash, if that is an escape that AWS documents.
fn escape(rest: &str) -> Option<&str> {
    let bytes = rest.as_bytes();
    match bytes.first()? {
        b'd' | b'D' | b's' | b'S' | b'w' | b'W' => Some(&rest[..1]),
        b'x' if bytes.len() > 2 && bytes[1..3].iter().all(u8::is_ascii_hexdigit) => Some(&rest[..3]),
        // With a backslash these are parentheses still, or to Rust the edges of a word.
        b'(' | b')' | b'<' | b'>' => None,
        byte if byte.is_ascii_punctuation() => Some(&rest[..1]),
        _ => None,
    }
}
