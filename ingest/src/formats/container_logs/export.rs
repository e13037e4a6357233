//! Events as lines of text: exports to S3, and what `aws logs tail` prints.
//!
//! A line that begins with a time begins an event. All lines up to the next one
//! belong to it: neither writer escapes line feeds within a message.

use chrono::NaiveDate;

use super::stream::Stream;
use super::{Event, Progressed, Sink, Text};
use crate::block::Block;
use crate::tally::Tally;

/// Most bytes that are needed to see whether a line begins with a time.
pub const STAMP_BYTES_MAX: usize = 34;

/// Who wrote the lines, which says how their times look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `2025-11-20T07:05:09.123Z message`, by an export to S3.
    Export,
    /// `2025-11-20T07:05:09.123000+00:00 stream message`, by `aws logs tail`.
    Tail,
}

/// What a line begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A time in microseconds since the epoch, and the bytes that it takes
    /// with the space behind it.
    Time(i64, usize),
    /// Something else: the line goes on with the event before it.
    Other,
    /// More bytes are needed to tell.
    Unknown,
}

impl Style {
    /// What the line at the front of `bytes` begins with; `last` says that
    /// nothing follows `bytes`.
    pub fn start(self, bytes: &[u8], last: bool) -> Start {
        if !bytes.first().is_none_or(u8::is_ascii_digit) {
            return Start::Other;
        }
        if bytes.len() < STAMP_BYTES_MAX && !last && !bytes.contains(&b'\n') {
            return Start::Unknown;
        }
        let Some(seconds) = bytes.first_chunk::<19>().and_then(seconds) else {
            return Start::Other;
        };
        let fraction = |digits: usize| match bytes.get(19..20 + digits) {
            Some([b'.', rest @ ..]) => number(rest),
            _ => None,
        };
        let (micros, zone, zone_start) = match self {
            Style::Export => match fraction(3) {
                Some(millis) => (millis * 1000, &b"Z"[..], 23),
                None => return Start::Other,
            },
            // Python leaves out a fraction of zero.
            Style::Tail => match fraction(6) {
                Some(micros) => (micros, &b"+00:00"[..], 26),
                None => (0, &b"+00:00"[..], 19),
            },
        };
        let end = zone_start + zone.len();
        if bytes.get(zone_start..end) != Some(zone) {
            return Start::Other;
        }
        let length = match bytes.get(end) {
            Some(b' ') => end + 1,
            Some(b'\n' | b'\r') | None => end,
            Some(_) => return Start::Other,
        };
        Start::Time(seconds * 1_000_000 + micros, length)
    }
}

/// Seconds since the epoch of `2025-11-20T07:05:09`.
fn seconds(text: &[u8; 19]) -> Option<i64> {
    if [text[4], text[7], text[10], text[13], text[16]] != *b"--T::" {
        return None;
    }
    let part = |range: std::ops::Range<usize>| number(&text[range]);
    let date = NaiveDate::from_ymd_opt(part(0..4)? as i32, part(5..7)? as u32, part(8..10)? as u32)?;
    let time = date.and_hms_opt(part(11..13)? as u32, part(14..16)? as u32, part(17..19)? as u32)?;
    Some(time.and_utc().timestamp())
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// More bytes are needed to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeedsMore;

/// Where the first event begins, and who wrote it; `None` if no event begins
/// within `reach` bytes.
pub fn find_first(bytes: &[u8], last: bool, reach: usize) -> Result<Option<(usize, Style)>, NeedsMore> {
    let mut at = 0;
    while at < bytes.len().min(reach) {
        for style in [Style::Export, Style::Tail] {
            match style.start(&bytes[at..], last) {
                Start::Time(..) => return Ok(Some((at, style))),
                Start::Unknown => return Err(NeedsMore),
                Start::Other => {}
            }
        }
        match memchr::memchr(b'\n', &bytes[at..]) {
            Some(length) => at += length + 1,
            None if last || bytes.len() >= reach => return Ok(None),
            None => return Err(NeedsMore),
        }
    }
    if last || bytes.len() >= reach {
        Ok(None)
    } else {
        Err(NeedsMore)
    }
}

/// Reads events from lines.
#[derive(Debug)]
pub struct Lines {
    style: Style,
    /// Bytes at the front of the rest of the block that hold no end of the event.
    scanned: usize,
    skipping: Option<Skipping>,
}

/// Where in an oversized event the rest of the block begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skipping {
    AtLineStart,
    WithinLine,
}

impl Lines {
    /// A reader for the lines of one object.
    pub fn new(style: Style) -> Self {
        Lines {
            style,
            scanned: 0,
            skipping: None,
        }
    }

    /// Takes the next event, if it is whole. Lines are counted in `sink.line`.
    pub fn step(&mut self, block: &mut Block, last: bool, sink: &mut Sink, tally: &mut Tally) -> Progressed {
        if self.skipping.is_some() && !self.skip(block, last, sink) {
            return Progressed::No;
        }
        let Some(length) = self.event_length(block.rest(), last) else {
            return Progressed::No;
        };
        if length == 0 {
            return Progressed::No;
        }
        self.scanned = 0;
        self.take(block, length, sink, tally);
        Progressed::Yes
    }

    /// Bytes up to the next line that begins with a time.
    fn event_length(&mut self, rest: &[u8], last: bool) -> Option<usize> {
        while let Some(found) = memchr::memchr(b'\n', &rest[self.scanned..]) {
            let newline = self.scanned + found;
            match self.style.start(&rest[newline + 1..], last) {
                Start::Time(..) => return Some(newline + 1),
                Start::Other => self.scanned = newline + 1,
                Start::Unknown => {
                    self.scanned = newline;
                    return None;
                }
            }
        }
        self.scanned = rest.len();
        last.then_some(rest.len())
    }

    /// Takes the event of `length` bytes at the front of the block.
    fn take(&self, block: &mut Block, length: usize, sink: &mut Sink, tally: &mut Tally) {
        let (start, end) = (block.pos, block.pos + length);
        block.pos = end;
        let bytes = block.bytes();
        let line = sink.line + 1;
        sink.line += line_count(&bytes[start..end]);
        let valid = valid_lines(&bytes[start..end]);
        if valid > 0 {
            self.emit(bytes, start, start + valid, line, sink, tally);
        }
        if valid < length {
            // The lines before it are what they were; those behind it belong to
            // an event of which a part is lost.
            let bad_line = line + line_count(&bytes[start..start + valid]);
            tally.reject(
                bad_line,
                "a line that is not valid UTF-8",
                without_line_end(&bytes[start + valid..end]),
            );
        }
    }

    /// Makes a row of the event in `bytes[start..end]`, which is valid UTF-8.
    fn emit(&self, bytes: &[u8], start: usize, end: usize, line: u64, sink: &mut Sink, tally: &mut Tally) {
        let Start::Time(time, length) = self.style.start(&bytes[start..end], true) else {
            debug_assert!(false, "an event begins with a time");
            return;
        };
        let mut begin = start + length;
        let end = (start + without_line_end(&bytes[start..end]).len()).max(begin);
        if self.style == Style::Tail {
            let name = memchr::memchr2(b' ', b'\n', &bytes[begin..end]).unwrap_or(end - begin);
            sink.enter_stream(
                &String::from_utf8_lossy(&bytes[begin..begin + name]),
                Stream::named,
            );
            begin = (begin + name + 1).min(end);
        }
        let event = Event {
            line,
            time,
            ingested: None,
            message: Text::Span(begin..end),
            id: None,
            extra: Vec::new(),
        };
        sink.event(bytes, event, tally);
    }

    /// Skips the rest of an oversized event. False: its end is not in the block.
    fn skip(&mut self, block: &mut Block, last: bool, sink: &mut Sink) -> bool {
        while let Some(skipping) = self.skipping {
            if skipping == Skipping::AtLineStart {
                match self.style.start(block.rest(), last) {
                    Start::Time(..) => {
                        self.skipping = None;
                        return true;
                    }
                    Start::Unknown => return false,
                    Start::Other => {}
                }
            }
            match memchr::memchr(b'\n', block.rest()) {
                Some(length) => {
                    block.pos += length + 1;
                    sink.line += 1;
                    self.skipping = Some(Skipping::AtLineStart);
                }
                None => {
                    block.pos = block.bytes().len();
                    self.skipping = Some(Skipping::WithinLine);
                    return false;
                }
            }
        }
        true
    }

    /// Rejects the event at the front of the block, and goes on behind it.
    pub fn skip_oversized(&mut self, block: &mut Block, sink: &mut Sink, tally: &mut Tally) {
        if self.skipping.is_none() {
            let reason = format!("an event of more than {} bytes", block.rest().len());
            tally.reject(sink.line + 1, reason, block.rest());
        }
        // Its first line begins with a time, so the search starts within it.
        self.scanned = 0;
        self.skipping = Some(Skipping::WithinLine);
        self.skip(block, false, sink);
    }
}

/// Lines in `bytes`; a last one without a line feed counts.
pub fn line_count(bytes: &[u8]) -> u64 {
    let newlines = memchr::memchr_iter(b'\n', bytes).count() as u64;
    newlines + u64::from(bytes.last().is_some_and(|&byte| byte != b'\n'))
}

/// Bytes up to the first line that is not valid UTF-8.
fn valid_lines(bytes: &[u8]) -> usize {
    if simdutf8::basic::from_utf8(bytes).is_ok() {
        return bytes.len();
    }
    let mut valid = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if simdutf8::basic::from_utf8(line).is_err() {
            break;
        }
        valid += line.len();
    }
    valid
}

/// `bytes` without the `\n` or `\r\n` at its end.
pub fn without_line_end(bytes: &[u8]) -> &[u8] {
    match bytes {
        [rest @ .., b'\r', b'\n'] | [rest @ .., b'\n'] => rest,
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_of_the_writer_begin_events() {
        let time = 1_763_622_309_123_000;
        for (style, line, expected) in [
            (
                Style::Export,
                "2025-11-20T07:05:09.123Z text",
                Start::Time(time, 25),
            ),
            (Style::Export, "2025-11-20T07:05:09.123Z ", Start::Time(time, 25)),
            (Style::Export, "2025-11-20T07:05:09.123Z", Start::Time(time, 24)),
            (
                Style::Export,
                "2025-11-20T07:05:09.123Z\r\n",
                Start::Time(time, 24),
            ),
            (
                Style::Export,
                "2024-02-29T00:00:00.000Z x",
                Start::Time(1_709_164_800_000_000, 25),
            ),
            (
                Style::Export,
                "1969-12-31T23:59:59.999Z x",
                Start::Time(-1000, 25),
            ),
            // Lambda for Node.js: a message that begins with a time of its own.
            (Style::Export, "2025-11-20T07:05:09.123Z\tid\tINFO", Start::Other),
            (Style::Export, "2025-02-29T00:00:00.000Z x", Start::Other),
            (Style::Export, "2025-11-20T24:00:00.000Z x", Start::Other),
            (Style::Export, "2025-11-20T07:05:09Z x", Start::Other),
            (Style::Export, "2025-11-20T07:05:09.123456Z x", Start::Other),
            (Style::Export, "2025-11-20T07:05:09.123+00:00 x", Start::Other),
            (Style::Export, "2025-11-20 07:05:09.123Z x", Start::Other),
            (Style::Export, " 2025-11-20T07:05:09.123Z x", Start::Other),
            (Style::Export, "+025-11-20T07:05:09.123Z x", Start::Other),
            (Style::Export, "", Start::Other),
            (
                Style::Tail,
                "2025-11-20T07:05:09.123000+00:00 s text",
                Start::Time(time, 33),
            ),
            (
                Style::Tail,
                "2025-11-20T07:05:09+00:00 s text",
                Start::Time(1_763_622_309_000_000, 26),
            ),
            (Style::Tail, "2025-11-20T07:05:09.123Z text", Start::Other),
            (Style::Tail, "2025-11-20T07:05:09.123000+01:00 s", Start::Other),
        ] {
            assert_eq!(style.start(line.as_bytes(), true), expected, "{line}");
            // With fewer bytes it is the same, or not known yet.
            for cut in 0..line.len() {
                let start = style.start(&line.as_bytes()[..cut], false);
                assert!(
                    start == expected || start == Start::Unknown,
                    "{line} at {cut}: {start:?}"
                );
            }
            let followed = format!("{line}\nmore of the object, so that nothing waits for bytes");
            if !line.ends_with('\n') {
                assert_eq!(style.start(followed.as_bytes(), false), expected, "{line}");
            }
        }
    }

    #[test]
    fn the_first_event_is_found_within_reach() {
        let event = "2025-11-20T07:05:09.123Z x\n";
        for (text, reach, expected) in [
            (event.to_owned(), 100, Some((0, Style::Export))),
            (format!("left\nover\n{event}"), 100, Some((10, Style::Export))),
            (format!("left\nover\n{event}"), 11, Some((10, Style::Export))),
            (format!("left\nover\n{event}"), 10, None),
            (
                "2025-11-20T07:05:09+00:00 s x".to_owned(),
                100,
                Some((0, Style::Tail)),
            ),
            ("no times".to_owned(), 100, None),
            (String::new(), 100, None),
        ] {
            assert_eq!(find_first(text.as_bytes(), true, reach), Ok(expected), "{text:?}");
            for cut in 0..text.len() {
                let found = find_first(&text.as_bytes()[..cut], false, reach);
                assert!(
                    found == Ok(expected) || found == Err(NeedsMore),
                    "{text:?} at {cut}: {found:?}"
                );
            }
        }
    }
}
