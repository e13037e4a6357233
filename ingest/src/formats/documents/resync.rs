//! Where to go on after text that is not what it should be.
//!
//! What is found never depends on where blocks happen to end: as long as more
//! input could change the answer, the answer is to wait for it.

use super::Shape;
use crate::json::{self, Members, What};

/// Keys of the envelopes that all formats know.
const ENVELOPE_KEYS: &[&[u8]] = &[b"messageType", b"detail-type", b"ingestionTime"];

/// A time before a document ends within so many bytes.
const TIME_BYTES_MAX: usize = 40;

/// Where parsing can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// At this byte, where an object begins.
    Object(usize),
    /// At this byte, where another document begins.
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
/// broken record are not taken for records. One that begins a line without a
/// comma before is a document.
pub(super) fn next_element(shape: &Shape, bytes: &[u8], from: usize, last: bool) -> Resume {
    next_object(shape, bytes, from, bytes.len(), last, |before| {
        matches!(before, b',' | b'[')
    })
}

/// Whether a record, or what envelops one, begins in `bytes[from..]`. In an export
/// to S3 it follows a time, which ends with `Z`.
///
/// `is_whole` says that no more is known: else an object that is not complete yet
/// may turn out to be something else, with what looks like records inside, and
/// None says that only more input can tell.
pub(super) fn has_record(shape: &Shape, bytes: &[u8], from: usize, is_whole: bool) -> Option<bool> {
    let found = next_object(shape, bytes, from, bytes.len(), is_whole, |before| {
        matches!(before, b',' | b'[' | b'}' | b'Z')
    });
    match found {
        Resume::Object(_) | Resume::Document(_) => Some(true),
        Resume::Nowhere if is_whole => Some(false),
        Resume::Nowhere | Resume::Wait(_) => None,
    }
}

fn next_object(
    shape: &Shape,
    bytes: &[u8],
    from: usize,
    to: usize,
    last: bool,
    may_follow: impl Fn(u8) -> bool,
) -> Resume {
    let mut pos = from;
    while let Some(offset) = bytes.get(pos..to).and_then(|rest| memchr::memchr(b'{', rest)) {
        let brace = pos + offset;
        pos = brace + 1;
        let separator = before(bytes, from, brace);
        let is_line_start = brace > 0 && bytes[brace - 1] == b'\n';
        let keep = separator.unwrap_or(brace.saturating_sub(1).max(from));
        // Behind a document or at the beginning of a line: records can have members of these names too.
        if is_line_start || separator.is_none_or(|at| matches!(bytes[at], b'}' | b']')) {
            match list_object(shape, bytes, brace) {
                Head::List => return Resume::Document(brace),
                Head::Unfinished if !last => return Resume::Wait(keep),
                Head::Unfinished | Head::Other => {}
            }
        }
        let follows = separator.is_some_and(|at| may_follow(bytes[at]));
        if !follows && !is_line_start {
            continue;
        }
        match json::skip_value(bytes, brace) {
            Ok(_) if looks_like_record(shape, bytes, brace) && follows => return Resume::Object(brace),
            Ok(_) if looks_like_record(shape, bytes, brace) => return Resume::Document(brace),
            Ok(end) => pos = end,
            Err(fault) if fault.what == What::End && !last => return Resume::Wait(keep),
            Err(_) => {}
        }
    }
    Resume::Nowhere
}

/// Whether the valid object at `start` has a key of its own that records, or
/// the envelopes around them, have.
fn looks_like_record(shape: &Shape, bytes: &[u8], start: usize) -> bool {
    let Ok(mut members) = Members::new(bytes, start) else {
        return false;
    };
    while let Ok(Some(key)) = members.next_key() {
        let key = &bytes[key];
        if shape.marks.iter().any(|mark| mark.as_bytes() == key)
            || ENVELOPE_KEYS.contains(&key)
            || members.peek() == b'[' && shape.is_list(key)
        {
            return true;
        }
        if members.skip().is_err() {
            return false;
        }
    }
    false
}

/// Last byte of `bytes[from..to]` that is not white space.
fn before(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    bytes[from..to]
        .iter()
        .rposition(|byte| !byte.is_ascii_whitespace())
        .map(|offset| from + offset)
}

#[derive(Debug, PartialEq, Eq)]
enum Head {
    List,
    Unfinished,
    Other,
}

/// How the text at `brace` reads: `{"events":[` or whatever the list is called.
fn list_object(shape: &Shape, bytes: &[u8], brace: usize) -> Head {
    let mut best = Head::Other;
    for list in shape.lists {
        match list_head(list.as_bytes(), bytes, brace) {
            Head::List => return Head::List,
            Head::Unfinished => best = Head::Unfinished,
            Head::Other => {}
        }
    }
    best
}

fn list_head(list: &[u8], bytes: &[u8], brace: usize) -> Head {
    let mut pos = brace;
    for (token, may_be_spaced) in [
        (&b"{"[..], false),
        (b"\"", true),
        (list, false),
        (b"\"", false),
        (b":", true),
        (b"[", true),
    ] {
        if may_be_spaced {
            pos = json::skip_space(bytes, pos);
        }
        let rest = bytes.get(pos..).unwrap_or_default();
        if rest.len() < token.len() && token.starts_with(rest) {
            return Head::Unfinished;
        }
        if !rest.starts_with(token) {
            return Head::Other;
        }
        pos += token.len();
    }
    Head::List
}

/// Where the document begins that a time and a space precede, as lines of an
/// export to S3 have it: `2025-11-20T07:05:09.123Z {"Type":...`.
pub(super) fn time_before_document(bytes: &[u8], last: bool) -> Resume {
    let head = &bytes[..bytes.len().min(TIME_BYTES_MAX)];
    let Some(space) = head.iter().position(|&byte| matches!(byte, b' ' | b'\n')) else {
        return if last || head.len() == TIME_BYTES_MAX {
            Resume::Nowhere
        } else {
            Resume::Wait(0)
        };
    };
    let time = std::str::from_utf8(&head[..space]).ok();
    let is_time = time.is_some_and(|time| chrono::DateTime::parse_from_rfc3339(time).is_ok());
    match head.get(space + 1) {
        _ if !is_time || head[space] != b' ' => Resume::Nowhere,
        Some(b'{') => Resume::Object(space + 1),
        None if !last && head.len() < TIME_BYTES_MAX => Resume::Wait(0),
        _ => Resume::Nowhere,
    }
}

/// Where the broken document that begins at `start` ends and the next line or
/// document begins; None if only more input can tell.
pub(super) fn end_of_document(shape: &Shape, bytes: &[u8], start: usize, last: bool) -> Option<usize> {
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
    // Another document may follow directly, with neither a comma nor a newline.
    match next_object(shape, bytes, start + 1, end, last, |before| before == b'}') {
        Resume::Object(next) | Resume::Document(next) => Some(next),
        Resume::Wait(_) => None,
        Resume::Nowhere => Some(end),
    }
}

/// Whether the object or array that a line begins goes on in the next line.
fn is_open(line: &[u8]) -> bool {
    matches!(line.trim_ascii_end().last(), Some(b'{' | b'[' | b',' | b':'))
}

/// First line after `from` that begins with a brace or a bracket, or with a time
/// and then a brace, or the end of the input; None if only more input can tell.
pub(super) fn next_line_with_value(bytes: &[u8], from: usize, last: bool) -> Option<usize> {
    for newline in memchr::memchr_iter(b'\n', &bytes[from..]) {
        let line = from + newline + 1;
        match bytes.get(line) {
            Some(b'{' | b'[') => return Some(line),
            Some(b'0'..=b'9') => match time_before_document(&bytes[line..], last) {
                Resume::Object(_) => return Some(line),
                Resume::Wait(_) => return None,
                Resume::Document(_) | Resume::Nowhere => {}
            },
            _ => {}
        }
    }
    last.then_some(bytes.len())
}
