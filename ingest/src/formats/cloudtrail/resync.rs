//! Where to go on after text that is not what it should be.
//!
//! What is found never depends on where blocks happen to end: as long as more
//! input could change the answer, the answer is to wait for it.

use super::record::looks_like_record;
use crate::json::{self, What};

/// Where parsing can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// At this byte, where an object begins.
    Object(usize),
    /// At this byte, where `{"Records":[` begins another document.
    Document(usize),
    /// At this byte at the latest, but only more input can tell.
    Wait(usize),
    /// Nowhere.
    Nowhere,
}

/// Finds the next record of an array in `bytes[from..]`, after a record that is broken.
///
/// It is an object that follows a comma or the bracket of an array, is valid
/// from end to end, and has a key that records have: the objects inside a
/// broken record are not taken for records.
pub(super) fn next_element(bytes: &[u8], from: usize, last: bool) -> Resume {
    next_object(bytes, from, bytes.len(), last, |before| {
        matches!(before, b',' | b'[')
    })
}

/// Finds the next record that follows another one directly, with neither a comma
/// nor a newline, and begins before `to`.
fn next_document_on_line(bytes: &[u8], from: usize, to: usize, last: bool) -> Resume {
    next_object(bytes, from, to, last, |before| before == b'}')
}

fn next_object(bytes: &[u8], from: usize, to: usize, last: bool, may_follow: impl Fn(u8) -> bool) -> Resume {
    let mut pos = from;
    while let Some(offset) = bytes.get(pos..to).and_then(|rest| memchr::memchr(b'{', rest)) {
        let brace = pos + offset;
        pos = brace + 1;
        let separator = before(bytes, from, brace);
        // Behind a document or at the beginning of a line: requests can have a member `Records` too.
        if separator.is_none_or(|at| matches!(bytes[at], b'}' | b']') || bytes[brace - 1] == b'\n') {
            match records_object(bytes, brace) {
                Head::Records => return Resume::Document(brace),
                Head::Unfinished if !last => return Resume::Wait(separator.unwrap_or(brace)),
                Head::Unfinished | Head::Other => {}
            }
        }
        let Some(separator) = separator.filter(|&at| may_follow(bytes[at])) else {
            continue;
        };
        match json::skip_value(bytes, brace) {
            Ok(_) if looks_like_record(bytes, brace) => return Resume::Object(brace),
            Ok(end) => pos = end,
            Err(fault) if fault.what == What::End && !last => return Resume::Wait(separator),
            Err(_) => {}
        }
    }
    Resume::Nowhere
}

/// Last byte of `bytes[from..to]` that is not white space.
fn before(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    bytes[from..to]
        .iter()
        .rposition(|byte| !byte.is_ascii_whitespace())
        .map(|offset| from + offset)
}

/// Whether `{"Records":[` begins at `pos`.
pub(super) fn begins_records(bytes: &[u8], pos: usize) -> bool {
    records_object(bytes, pos) == Head::Records
}

#[derive(Debug, PartialEq, Eq)]
enum Head {
    Records,
    Unfinished,
    Other,
}

/// How the text at `brace` reads: `{"Records":[`, with white space or without.
fn records_object(bytes: &[u8], brace: usize) -> Head {
    let mut pos = brace;
    for token in [&b"{"[..], b"\"Records\"", b":", b"["] {
        pos = json::skip_space(bytes, pos);
        let rest = bytes.get(pos..).unwrap_or_default();
        if rest.len() < token.len() && token.starts_with(rest) {
            return Head::Unfinished;
        }
        if !rest.starts_with(token) {
            return Head::Other;
        }
        pos += token.len();
    }
    Head::Records
}

/// Where the broken document that begins at `start` ends and the next line or
/// document begins; None if only more input can tell.
pub(super) fn end_of_document(bytes: &[u8], start: usize, last: bool) -> Option<usize> {
    let line_end = match memchr::memchr(b'\n', &bytes[start..]) {
        Some(offset) => start + offset,
        None if last => bytes.len(),
        None => return None,
    };
    // Objects that are printed over several lines leave their lines open. The
    // next one begins where a line begins, the objects inside are indented.
    let end = if is_open(&bytes[start..line_end]) {
        next_line_with_value(bytes, line_end, last)?
    } else {
        line_end
    };
    match next_document_on_line(bytes, start + 1, end, last) {
        Resume::Object(next) | Resume::Document(next) => Some(next),
        Resume::Wait(_) => None,
        Resume::Nowhere => Some(end),
    }
}

/// Whether the object or array that a line begins goes on in the next line.
fn is_open(line: &[u8]) -> bool {
    matches!(line.trim_ascii_end().last(), Some(b'{' | b'[' | b',' | b':'))
}

/// First line after `from` that begins with a brace or a bracket, or the end of
/// the input; None if only more input can tell.
pub(super) fn next_line_with_value(bytes: &[u8], from: usize, last: bool) -> Option<usize> {
    let found = memchr::memchr_iter(b'\n', &bytes[from..])
        .map(|offset| from + offset + 1)
        .find(|&line| bytes.get(line).is_none_or(|byte| matches!(byte, b'{' | b'[')));
    match found {
        Some(line) if line < bytes.len() => Some(line),
        _ => last.then_some(bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_found_by_its_surroundings_and_its_keys() {
        for (text, last, expected) in [
            (r#"x},{"eventID":"1"}]"#, false, Resume::Object(3)),
            (r#"x}, [ {"eventTime":"1"}]"#, false, Resume::Object(6)),
            (r#"x:{"eventID":"1"}]"#, false, Resume::Nowhere),
            (r#"x,{"ARN":"1"},{"eventVersion":"1"}"#, false, Resume::Object(14)),
            (
                r#"x,{"ARN":"1","in":{"eventVersion":"1"}}"#,
                false,
                Resume::Nowhere,
            ),
            (r#"x,{"eventID":"1""#, false, Resume::Wait(1)),
            (r#"x,{"eventID":"1""#, true, Resume::Nowhere),
            (r#"x,{"eventID" "1"},{"eventID":"2"}"#, false, Resume::Object(18)),
            ("x}]}\n{ \"Records\" :[", false, Resume::Document(5)),
            ("x}]}\n{\"Reco", false, Resume::Wait(3)),
            ("x}]}\n{\"Reco", true, Resume::Nowhere),
            ("", false, Resume::Nowhere),
        ] {
            assert_eq!(next_element(text.as_bytes(), 0, last), expected, "{text}");
        }
    }

    #[test]
    fn a_broken_document_ends_with_its_line_or_where_the_next_one_begins() {
        for (text, last, expected) in [
            ("{bad}\n{}", false, Some(5)),
            ("{bad}", false, None),
            ("{bad}", true, Some(5)),
            ("{bad}{\"eventID\":\"1\"}\n", false, Some(5)),
            ("{bad}{\"eventID\":\"1\"", false, None),
            ("{\n \"a\":bad,\n {\n}\n}\n{\n}", false, Some(19)),
            ("{\n \"a\":bad,\n {\n}\n}\n", false, None),
            ("{\n \"a\":bad,\n {\n}\n}\n", true, Some(19)),
            ("{\"a\":1,\n{\"eventID\":\"1\"}\n", false, Some(8)),
        ] {
            assert_eq!(end_of_document(text.as_bytes(), 0, last), expected, "{text}");
        }
    }
}
