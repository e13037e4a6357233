//! A place in a pattern that moves on, and errors that point into it.

use std::ops::Range;

use crate::error::{Error, Span};

/// The rest of a pattern.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Regular expressions so far.
    pub(super) regexes: usize,
    /// Wildcards in selectors so far.
    pub(super) wildcards: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Cursor {
            text,
            at: 0,
            regexes: 0,
            wildcards: 0,
        }
    }

    /// The place, in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The text from here on.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Moves over blanks.
    pub(super) fn skip_blank(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// Moves over `text`, if that is what follows.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let follows = self.rest().starts_with(text);
        if follows {
            self.at += text.len();
        }
        follows
    }

    /// Moves over a keyword, in any case, if it is what follows as a word of its own.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let follows = rest
            .get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
            && !rest[word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if follows {
            self.at += word.len();
        }
        follows
    }

    /// Moves over characters that are accepted.
    pub(super) fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !accept(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// Moves behind the next `end` and gives what stands before it; `None`, and no
    /// move, if there is none.
    pub(super) fn take_until(&mut self, end: char) -> Option<&'a str> {
        let taken = &self.rest()[..self.rest().find(end)?];
        self.at += taken.len() + end.len_utf8();
        Some(taken)
    }

    /// What stands between `open`, which is what follows, and the next `close`
    /// that no backslash escapes; escaped quotes and backslashes are resolved.
    pub(super) fn quoted(&mut self, quote: char) -> Result<String, Error> {
        let start = self.at;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            match character {
                '\\' if next == Some(quote) || next == Some('\\') => {
                    text.extend(next);
                    characters.next();
                }
                _ if character == quote => {
                    self.at += at + quote.len_utf8();
                    return Ok(text);
                }
                _ => text.push(character),
            }
        }
        Err(self.fault(
            start..start + quote.len_utf8(),
            format!("the text that begins here has no closing {quote}"),
        ))
    }

    /// An error about a place in the pattern.
    pub(super) fn fault(&self, at: Range<usize>, message: impl Into<String>) -> Error {
        fault(self.text, at, message)
    }

    /// An error about what follows.
    pub(super) fn unexpected(&self, expected: &str) -> Error {
        let rest = self.rest();
        let found: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let length = found.len().max(self.peek().map_or(0, char::len_utf8));
        let message = match &rest[..length] {
            "" => format!("expected {expected}, and the pattern ends"),
            found => format!("expected {expected}, found {found}"),
        };
        self.fault(self.at..self.at + length, message)
    }
}

/// An error about the bytes `at` of `pattern`.
pub(super) fn fault(pattern: &str, at: Range<usize>, message: impl Into<String>) -> Error {
    let before = &pattern[..at.start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let here = pattern[at].lines().next().unwrap_or_default();
    Error::wrong_use(message).with_span(Span {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        length: here.chars().count().max(1),
    })
}
