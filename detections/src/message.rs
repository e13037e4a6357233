//! Texts of alerts: templates with `{columns}`, and log text made harmless.
//!
//! Whatever comes out of a log passes [`visible`] before it becomes part of an
//! alert, so that no terminal, file or sink behind it is ever steered by a log line.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Most characters that one value contributes to a message; the whole is in the sample.
const VALUE_CHARS_MAX: usize = 200;

/// A message with `{column}` placeholders; `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Column(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A brace without its partner, or a placeholder that is no column name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    plain.push(c);
                }
                '}' => {
                    return Err(format!(
                        "message {text:?} has a `}}` without `{{`; write `}}}}` for a brace"
                    ));
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(c) if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
                            _ => {
                                return Err(format!(
                                    "message {text:?} has a placeholder that is no column name"
                                ));
                            }
                        }
                    }
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Column(name));
                }
                c => plain.push(c),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template { pieces })
    }

    /// The columns that it names.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Column(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The message for one row. The values are made visible here.
    pub fn render(&self, row: &Map<String, Value>) -> String {
        let mut message = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => message.push_str(text),
                Piece::Column(name) => {
                    let text = row.get(name).map_or_else(|| "-".to_owned(), plain);
                    message.push_str(&visible(&capped(&text, VALUE_CHARS_MAX)));
                }
            }
        }
        message
    }
}

/// A value as a person would write it: no quotes, lists with commas, NULL as `-`.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// `text` cut to `chars_max` characters, with a mark that shows the cut.
pub fn capped(text: &str, chars_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars_max) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

/// `text` in one line, with everything that could steer a terminal or hide from
/// a reader shown: escape as `␛`, a line feed as `␊`, a direction override as `\u{202e}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0'..='\x1f' => shown.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
            '\x7f' => shown.push('␡'),
            c if is_hidden(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Every text inside `value` cut to `chars_max` characters and made visible.
pub fn harmless(value: Value, chars_max: usize) -> Value {
    match value {
        Value::String(text) => Value::String(visible(&capped(&text, chars_max)).into_owned()),
        Value::Array(items) => items.into_iter().map(|item| harmless(item, chars_max)).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (visible(&key).into_owned(), harmless(value, chars_max)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn columns_are_filled_in() {
        let template = Template::parse("{who} did {n} {{things}} to {what}").unwrap();
        assert_eq!(template.columns().collect::<Vec<_>>(), ["who", "n", "what"]);
        let filled = template.render(&row(json!({"who": "ann", "n": 3, "what": ["a", "b"]})));
        assert_eq!(filled, "ann did 3 {things} to a, b");
        assert_eq!(template.render(&Map::new()), "- did - {things} to -");
    }

    #[test]
    fn broken_templates_are_refused() {
        for text in ["{", "{a", "a}", "{a b}", "{a{b}}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn log_text_cannot_steer_a_terminal() {
        let template = Template::parse("{x}").unwrap();
        let evil = "\u{1b}]0;pwned\u{7}\r\nline\u{9b}31m \u{202e}gpj.exe";
        let shown = template.render(&row(json!({ "x": evil })));
        assert_eq!(shown, "␛]0;pwned␇␍␊line\\u{9b}31m \\u{202e}gpj.exe");
        assert!(!shown.chars().any(is_hidden));
    }

    #[test]
    fn long_values_are_cut() {
        let template = Template::parse("{x}").unwrap();
        let shown = template.render(&row(json!({ "x": "é".repeat(500) })));
        assert_eq!(shown.chars().count(), VALUE_CHARS_MAX + 1);
        assert!(shown.ends_with('…'));
    }
}
