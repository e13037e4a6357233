//! Events as JSON: what a subscription filter delivers, and what `aws logs` prints.
//!
//! An envelope names account, group and stream for all of its events, so it is
//! read when it is whole; it is a few megabytes at most. The output of
//! `aws logs filter-log-events` has no such bound and nothing to say about all
//! events, so it is read event by event.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::refusal;
use super::stream::{Origin, Stream};
use super::{Event, Progressed, Sink, Text, push_compact};
use crate::block::Block;
use crate::formats::Refusal;
use crate::json::{self, What, skip_space};
use crate::tally::Tally;

/// Most bytes that the content of one `awslogs.data` may inflate to. Lambda gets
/// 6 MB of base64 at most, which is less than this for any real log.
const UNWRAPPED_BYTES_MAX: u64 = 64 << 20;

/// A timestamp below is in seconds: in milliseconds it would be before March 1973,
/// and test tools do send seconds.
const SECONDS_BELOW: i64 = 100_000_000_000;

/// The last millisecond of the year 9999.
const MILLIS_MAX: i64 = 253_402_300_799_999;

/// With or without padding: tools disagree on it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How envelopes usually begin; tells a new document where the one before broke.
pub const ENVELOPE_START: &[u8] = b"{\"messageType\"";

/// Bytes kept while the end of an oversized record is searched: enough to see
/// that a brace begins a record.
const CONTEXT_BYTES: usize = 64;

/// Reads events from a sequence of JSON documents.
#[derive(Debug)]
pub struct Documents {
    state: State,
    /// The bytes are the block's, so columns may point into them.
    in_block: bool,
    /// Something of this object was taken: it can no longer be refused.
    begun: bool,
    unwrapped: Option<Box<Unwrapped>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between two documents.
    Between,
    /// In a list of events.
    Events(List),
    /// Behind the list of events of a document.
    Behind,
    /// In an oversized record, in a list or not.
    Skipping(Option<List>),
}

/// What a list of events is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// A subscription envelope, which names the stream.
    Envelope,
    /// Output of `aws logs`: the events name their streams.
    Output,
    /// Nothing: `aws logs ... --query events`.
    Bare,
}

/// Documents that were wrapped in another.
#[derive(Debug)]
struct Unwrapped {
    documents: Documents,
    bytes: Vec<u8>,
    pos: usize,
}

/// How far a document was walked.
enum Walked {
    /// To its end.
    Whole(usize),
    /// Into its list of events, which is not tied to what else the document says.
    List(usize),
    /// To a list called `Records`.
    Records(usize),
}

/// Members of an object: name without its quotes, value.
type Members = Vec<(Range<usize>, Range<usize>)>;

impl Documents {
    /// A reader for the documents of one object.
    pub fn new() -> Self {
        Documents {
            state: State::Between,
            in_block: true,
            begun: false,
            unwrapped: None,
        }
    }

    /// Takes the next event or document, if it is whole. Events, control
    /// messages and rejects are counted in `sink.line`.
    ///
    /// # Errors
    /// The first document is of another kind.
    pub fn step(
        &mut self,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        sink: &mut Sink,
        tally: &mut Tally,
    ) -> Result<Progressed, Refusal> {
        if let Some(inner) = &mut self.unwrapped {
            let inner = &mut **inner;
            match inner
                .documents
                .step(&inner.bytes, &mut inner.pos, true, sink, tally)
            {
                Ok(Progressed::Yes) => return Ok(Progressed::Yes),
                Ok(Progressed::No) => {}
                Err(refusal) => {
                    reject(sink, tally, format!("in awslogs.data: {refusal}"), &inner.bytes);
                }
            }
            self.unwrapped = None;
            *pos += 1;
            return Ok(Progressed::Yes);
        }
        if !matches!(self.state, State::Skipping(_)) {
            *pos = skip_space(bytes, *pos);
        }
        match self.state {
            State::Between => self.between(bytes, pos, last, sink, tally),
            State::Events(list) => Ok(self.in_list(list, bytes, pos, last, sink, tally)),
            State::Behind => Ok(self.behind(bytes, pos, last, sink, tally)),
            State::Skipping(list) => Ok(self.skip(list, bytes, pos, last)),
        }
    }

    fn between(
        &mut self,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        sink: &mut Sink,
        tally: &mut Tally,
    ) -> Result<Progressed, Refusal> {
        let start = *pos;
        match bytes.get(start) {
            None => Ok(Progressed::No),
            Some(b'{') => self.document(bytes, pos, last, sink, tally),
            Some(b'[') => match bytes.get(skip_space(bytes, start + 1)) {
                Some(b'{' | b']') => {
                    *pos = start + 1;
                    self.begin_list(List::Bare, Origin::default(), sink);
                    Ok(Progressed::Yes)
                }
                None if !last => Ok(Progressed::No),
                _ => Ok(self.resync(
                    "a list of something else than events",
                    bytes,
                    pos,
                    last,
                    sink,
                    tally,
                )),
            },
            Some(_) => Ok(self.resync("text between two documents", bytes, pos, last, sink, tally)),
        }
    }

    fn begin_list(&mut self, list: List, origin: Origin, sink: &mut Sink) {
        self.begun = true;
        self.state = State::Events(list);
        sink.enter(origin);
    }

    /// Walks the document at `pos` up to its list of events, or to its end.
    fn document(
        &mut self,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        sink: &mut Sink,
        tally: &mut Tally,
    ) -> Result<Progressed, Refusal> {
        let start = *pos;
        let mut members = Members::new();
        let fault = match self.walk(bytes, start, &mut members) {
            Ok(Walked::Whole(end)) => {
                return self.whole_document(bytes, start..end, &members, pos, sink, tally);
            }
            Ok(Walked::List(inside)) => {
                *pos = inside;
                self.begin_list(List::Output, Origin::default(), sink);
                return Ok(Progressed::Yes);
            }
            Ok(Walked::Records(list)) => return Err(refusal::of_records(&bytes[list..])),
            Err(What::End) if !last => return Ok(Progressed::No),
            Err(fault) => fault,
        };
        let reason = format!("a document that does not parse: {fault}");
        Ok(self.resync(&reason, bytes, pos, last, sink, tally))
    }

    /// Walks the document at `start` up to what has to be known of it.
    fn walk(&self, bytes: &[u8], start: usize, members: &mut Members) -> Result<Walked, What> {
        let mut walker = json::Members::new(bytes, start).map_err(|fault| fault.what)?;
        while let Some(name) = walker.next_key().map_err(|fault| fault.what)? {
            match &bytes[name.clone()] {
                b"events" if walker.peek() == b'[' && find(bytes, members, "messageType").is_none() => {
                    return Ok(Walked::List(walker.pos() + 1));
                }
                // A trail file is one document of any size: do not wait for its end.
                b"Records" if walker.peek() == b'[' && !self.begun => {
                    return Ok(Walked::Records(walker.pos()));
                }
                _ => members.push((name, walker.skip().map_err(|fault| fault.what)?)),
            }
        }
        Ok(Walked::Whole(walker.pos()))
    }

    fn whole_document(
        &mut self,
        bytes: &[u8],
        document: Range<usize>,
        members: &Members,
        pos: &mut usize,
        sink: &mut Sink,
        tally: &mut Tally,
    ) -> Result<Progressed, Refusal> {
        let find = |name| find(bytes, members, name);
        *pos = document.end;
        let raw = &bytes[document.clone()];
        if let (Some(wrapped), true) = (find("awslogs"), self.in_block) {
            self.begun = true;
            match unwrap(&bytes[wrapped], UNWRAPPED_BYTES_MAX) {
                Ok(bytes) => {
                    // The closing brace stays until all that was wrapped is read:
                    // a block that is used up says that nothing is left to ask for.
                    *pos -= 1;
                    let documents = Documents {
                        in_block: false,
                        ..Documents::new()
                    };
                    self.unwrapped = Some(Box::new(Unwrapped {
                        documents,
                        bytes,
                        pos: 0,
                    }));
                }
                Err(reason) => reject(sink, tally, format!("awslogs.data: {reason}"), raw),
            }
        } else if find("messageType").is_some_and(|kind| &bytes[kind] == b"\"CONTROL_MESSAGE\"") {
            // A probe of whether the destination can be reached.
            self.begun = true;
            sink.line += 1;
            tally.passed += 1;
        } else if let Some(events) = find("logEvents").filter(|events| bytes[events.start] == b'[') {
            match origin(bytes, members) {
                Ok(origin) => {
                    *pos = events.start + 1;
                    self.begin_list(List::Envelope, origin, sink);
                }
                Err(reason) => {
                    self.begun = true;
                    reject(sink, tally, reason, raw);
                }
            }
        } else if find("message").is_some()
            && find("timestamp").is_some_and(|time| bytes[time.start].is_ascii_digit())
        {
            // One event of `aws logs`, taken out of its list by another tool.
            self.begin_list(List::Bare, Origin::default(), sink);
            self.state = State::Between;
            self.take_event(List::Bare, bytes, document, sink, tally);
        } else if self.begun || find("messageType").or(find("logEvents")).is_some() {
            self.begun = true;
            reject(sink, tally, "a document without logEvents", raw);
        } else {
            let names = members
                .iter()
                .map(|(name, _)| json::unescape(&bytes[name.clone()]));
            return Err(refusal::of_document(names));
        }
        Ok(Progressed::Yes)
    }

    fn in_list(
        &mut self,
        list: List,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        sink: &mut Sink,
        tally: &mut Tally,
    ) -> Progressed {
        while let Some(b',') = bytes.get(*pos) {
            *pos = skip_space(bytes, *pos + 1);
        }
        match bytes.get(*pos) {
            Some(b']') => {
                *pos += 1;
                self.state = if list == List::Bare {
                    State::Between
                } else {
                    State::Behind
                };
                return Progressed::Yes;
            }
            None if last => {
                self.state = State::Between;
                reject(sink, tally, "a list of events that is cut off", b"");
                return Progressed::Yes;
            }
            None => return Progressed::No,
            Some(_) => {}
        }
        let start = *pos;
        let fault = match whole_value(bytes, start, last) {
            Ok(end) => {
                *pos = end;
                self.take_event(list, bytes, start..end, sink, tally);
                return Progressed::Yes;
            }
            Err(What::End) if !last => return Progressed::No,
            Err(fault) => fault,
        };
        let Some((at, next)) = next_record(Some(list), bytes, start + 1, last) else {
            return Progressed::No;
        };
        self.state = next;
        *pos = at;
        reject(
            sink,
            tally,
            format!("an event that does not parse: {fault}"),
            &bytes[start..at],
        );
        Progressed::Yes
    }

    fn take_event(&self, list: List, bytes: &[u8], event: Range<usize>, sink: &mut Sink, tally: &mut Tally) {
        match self.event(list, bytes, event.clone()) {
            Ok((stream, mut event)) => {
                if list != List::Envelope {
                    match stream {
                        Some(name) => sink.enter_stream(&name, Stream::named),
                        None => sink.leave_stream(),
                    }
                }
                sink.line += 1;
                event.line = sink.line;
                sink.event(bytes, event, tally);
            }
            Err(reason) => reject(sink, tally, reason, &bytes[event]),
        }
    }

    /// The event in `bytes[span]`, and the stream that it names.
    fn event<'a>(
        &self,
        list: List,
        bytes: &'a [u8],
        span: Range<usize>,
    ) -> Result<(Option<Cow<'a, str>>, Event<'a>), String> {
        if bytes[span.start] != b'{' {
            return Err("an event that is not an object".into());
        }
        // Once for all: what is cut out below begins and ends at ASCII characters.
        simdutf8::basic::from_utf8(&bytes[span.clone()]).map_err(|_| "an event that is not valid UTF-8")?;
        let (mut time, mut message, mut stream, mut id, mut ingested) = (None, None, None, None, None);
        let mut extra = Vec::new();
        for (name, value) in members(bytes, span.start) {
            let raw = &bytes[value.clone()];
            match &bytes[name.clone()] {
                _ if raw == b"null" => {}
                b"timestamp" => time = Some(micros(raw).map_err(|fault| format!("its timestamp {fault}"))?),
                b"message" => message = Some(self.text(bytes, value).ok_or("its message is not text")?),
                b"id" | b"eventId" if raw[0] == b'"' => id = self.text(bytes, value),
                b"logStreamName" if raw[0] == b'"' && list != List::Envelope => stream = json::string(raw),
                b"ingestionTime" if micros(raw).is_ok() => ingested = micros(raw).ok(),
                _ => extra.push(extra_member(bytes, name, value)?),
            }
        }
        let time = time.ok_or("an event without timestamp")?;
        let message = message.ok_or("an event without message")?;
        Ok((
            stream,
            Event {
                line: 0,
                time,
                ingested,
                message,
                id,
                extra,
            },
        ))
    }

    /// The text of a string; None for other values.
    fn text<'a>(&self, bytes: &'a [u8], value: Range<usize>) -> Option<Text<'a>> {
        let inner = json::between_quotes(&bytes[value.clone()])?;
        Some(if self.in_block && memchr::memchr(b'\\', inner).is_none() {
            Text::Span(value.start + 1..value.end - 1)
        } else {
            Text::Escaped(inner)
        })
    }

    fn behind(
        &mut self,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        sink: &mut Sink,
        tally: &mut Tally,
    ) -> Progressed {
        // An envelope's members were read before its events; of those of
        // `aws logs` none is about an event.
        let fault = match bytes.get(*pos) {
            Some(b'}') => {
                *pos += 1;
                self.state = State::Between;
                return Progressed::Yes;
            }
            Some(b',') => match next_member(bytes, *pos + 1, last) {
                Ok(end) => {
                    *pos = end;
                    return Progressed::Yes;
                }
                Err(fault) => fault,
            },
            Some(_) => What::CommaOrBrace,
            None => What::End,
        };
        if fault == What::End && !last {
            return Progressed::No;
        }
        let reason = format!("a document that does not parse behind its events: {fault}");
        self.resync(&reason, bytes, pos, last, sink, tally)
    }

    /// Rejects what is at `pos` up to where the next document is likely to begin.
    fn resync(
        &mut self,
        reason: &str,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        sink: &mut Sink,
        tally: &mut Tally,
    ) -> Progressed {
        let start = *pos;
        let Some((at, next)) = next_record(None, bytes, start + 1, last) else {
            return Progressed::No;
        };
        self.begun = true;
        self.state = next;
        *pos = at;
        reject(sink, tally, reason, &bytes[start.min(at)..at]);
        Progressed::Yes
    }

    fn skip(&mut self, list: Option<List>, bytes: &[u8], pos: &mut usize, last: bool) -> Progressed {
        match next_record(list, bytes, *pos, last) {
            Some((at, next)) => {
                *pos = at;
                self.state = next;
                Progressed::Yes
            }
            None => {
                *pos = bytes.len().saturating_sub(CONTEXT_BYTES).max(*pos);
                Progressed::No
            }
        }
    }

    /// Rejects the record at the front of the block, and goes on behind it.
    pub fn skip_oversized(&mut self, block: &mut Block, sink: &mut Sink, tally: &mut Tally) {
        self.begun = true;
        let list = match self.state {
            State::Events(list) => Some(list),
            State::Skipping(list) => list,
            State::Between | State::Behind => None,
        };
        if !matches!(self.state, State::Skipping(_)) {
            let kind = if list.is_some() { "an event" } else { "a document" };
            let size = block.rest().len();
            reject(
                sink,
                tally,
                format!("{kind} of more than {size} bytes"),
                block.rest(),
            );
        }
        self.state = State::Skipping(list);
        let mut pos = (block.pos + 1).min(block.bytes().len());
        self.skip(list, block.bytes(), &mut pos, false);
        block.pos = pos;
    }
}

/// Where the record after a broken one begins, and what it is: the next line
/// that begins with a brace or the next envelope, and within a list the next
/// brace behind a comma or at a line's start, if a name follows. Texts in JSON
/// hold no bare line feeds and no bare quotes, so hardly any looks like it.
/// `None`: it is not in the bytes; never if they are the `last`.
fn next_record(list: Option<List>, bytes: &[u8], from: usize, last: bool) -> Option<(usize, State)> {
    let mut at = from;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'{', rest)) {
        at += found;
        let rest = &bytes[at..];
        let is_line_start = at > 0 && bytes[at - 1] == b'\n';
        if is_line_start || rest.starts_with(ENVELOPE_START) {
            return Some((at, State::Between));
        }
        if !last && ENVELOPE_START.starts_with(rest) {
            return None;
        }
        if let Some(list) = list {
            let before = bytes[..at]
                .iter()
                .rev()
                .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
            let behind = bytes.get(skip_space(bytes, at + 1));
            if behind.is_none() && !last {
                return None;
            }
            if matches!(before, Some(b',' | b'\n')) && behind == Some(&b'"') {
                return Some((at, State::Events(list)));
            }
        }
        at += 1;
    }
    last.then_some((bytes.len(), State::Between))
}

fn reject(sink: &mut Sink, tally: &mut Tally, reason: impl Into<String>, raw: &[u8]) {
    sink.line += 1;
    tally.reject(sink.line, reason, raw.trim_ascii_end());
}

/// The end of the value at `start`. A number at the end of the block may go on.
fn whole_value(bytes: &[u8], start: usize, last: bool) -> Result<usize, What> {
    match json::skip_value(bytes, start) {
        Ok(end) if end == bytes.len() && !last && !matches!(bytes[end - 1], b'}' | b']' | b'"') => {
            Err(What::End)
        }
        Ok(end) => Ok(end),
        Err(fault) => Err(fault.what),
    }
}

/// The end of the member whose name begins at `start` or behind space there.
fn next_member(bytes: &[u8], start: usize, last: bool) -> Result<usize, What> {
    let name = skip_space(bytes, start);
    if bytes.get(name).is_some_and(|&byte| byte != b'"') {
        return Err(What::Key);
    }
    let colon = skip_space(bytes, whole_value(bytes, name, last)?);
    match bytes.get(colon) {
        Some(b':') => whole_value(bytes, skip_space(bytes, colon + 1), last),
        Some(_) => Err(What::Colon),
        None => Err(What::End),
    }
}

/// Members of an object that was walked before, so it is whole and sound.
fn members(bytes: &[u8], object: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut walker = json::Members::new(bytes, object).ok();
    std::iter::from_fn(move || {
        let walker = walker.as_mut()?;
        let name = walker.next_key().ok()??;
        Some((name, walker.skip().ok()?))
    })
}

/// The value of the last member called `name`: of two, JSON readers take the last.
fn find(bytes: &[u8], members: &Members, name: &str) -> Option<Range<usize>> {
    let found = members
        .iter()
        .rev()
        .find(|(found, _)| &bytes[found.clone()] == name.as_bytes());
    found.map(|(_, value)| value.clone())
}

/// A member that has no column: its name with the quotes, and its value.
fn extra_member(bytes: &[u8], name: Range<usize>, value: Range<usize>) -> Result<(&str, &str), String> {
    let text = |range: Range<usize>| {
        simdutf8::basic::from_utf8(&bytes[range]).map_err(|_| "a member is not valid UTF-8".to_owned())
    };
    Ok((text(name.start - 1..name.end + 1)?, text(value)?))
}

/// What an envelope says about all of its events.
fn origin(bytes: &[u8], members: &Members) -> Result<Origin, String> {
    let mut origin = Origin::default();
    for (name, value) in members.iter().cloned() {
        // Of the events each is checked by itself.
        if &bytes[name.clone()] == b"logEvents" {
            continue;
        }
        let (quoted, raw) = extra_member(bytes, name.clone(), value)?;
        // Some tools turn an account number into a number.
        let text = || json::string(raw.as_bytes()).unwrap_or(raw.into()).into_owned();
        match &bytes[name] {
            _ if raw == "null" => {}
            b"owner" => origin.account = Some(text()),
            b"logGroup" => origin.group = Some(text()),
            b"logStream" => origin.stream = Some(Stream::named(text())),
            b"subscriptionFilters" => push_compact(origin.filters.insert(String::new()), raw),
            b"messageType" => {}
            _ => origin.extra.push((quoted.to_owned(), raw.to_owned())),
        }
    }
    Ok(origin)
}

/// Microseconds since the epoch of a timestamp in milliseconds, or in seconds.
fn micros(value: &[u8]) -> Result<i64, &'static str> {
    let digits = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("is not a whole number");
    }
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse::<i64>().ok());
    match number {
        Some(seconds) if seconds < SECONDS_BELOW => Ok(seconds * 1_000_000),
        Some(millis) if millis <= MILLIS_MAX => Ok(millis * 1000),
        _ => Err("is beyond the calendar"),
    }
}

/// The documents in the value of `awslogs`, as Lambda gets it; `most` bytes of them.
fn unwrap(awslogs: &[u8], most: u64) -> Result<Vec<u8>, String> {
    let data = json::member(awslogs, 0, b"data").and_then(|data| json::string(&awslogs[data]));
    let data = data.ok_or("it is missing")?;
    let packed = BASE64
        .decode(data.as_bytes())
        .map_err(|error| format!("not base64: {error}"))?;
    let mut bytes = Vec::new();
    if packed.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(packed.as_slice())
            .take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("gzip: {error}"))?;
    } else {
        bytes = packed;
    }
    if bytes.len() as u64 > most {
        return Err(format!("more than {most} bytes when inflated"));
    }
    if bytes.trim_ascii().is_empty() {
        return Err("it is empty".into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn timestamps_are_milliseconds_unless_they_are_seconds() {
        for (value, expected) in [
            ("1763622309123", Ok(1_763_622_309_123_000)),
            ("\"1763622309123\"", Ok(1_763_622_309_123_000)),
            ("1763622309", Ok(1_763_622_309_000_000)),
            ("99999999999", Ok(99_999_999_999_000_000)),
            ("100000000000", Ok(100_000_000_000_000)),
            ("0", Ok(0)),
            ("253402300799999", Ok(253_402_300_799_999_000)),
            ("253402300800000", Err("is beyond the calendar")),
            ("99999999999999999999", Err("is beyond the calendar")),
            ("-1", Err("is not a whole number")),
            ("1.5", Err("is not a whole number")),
            ("\"\"", Err("is not a whole number")),
            ("\"2025-11-20T07:05:09Z\"", Err("is not a whole number")),
            ("null", Err("is not a whole number")),
        ] {
            assert_eq!(micros(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn what_is_unwrapped_is_bounded() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&[b' '; 5000]).unwrap();
        let data = BASE64.encode(gzip.finish().unwrap());
        let wrapped = format!("{{\"data\":\"{data}\"}}");
        assert_eq!(
            unwrap(wrapped.as_bytes(), 4999),
            Err("more than 4999 bytes when inflated".to_owned())
        );
        assert_eq!(unwrap(wrapped.as_bytes(), 5000), Err("it is empty".to_owned()));
        for (wrapped, reason) in [
            ("{}", "it is missing"),
            ("[]", "it is missing"),
            ("{\"data\":1}", "it is missing"),
            ("{\"data\":\"\"}", "it is empty"),
            ("{\"data\":\"?\"}", "not base64: Invalid symbol 63, offset 0."),
        ] {
            assert_eq!(
                unwrap(wrapped.as_bytes(), 99),
                Err(reason.to_owned()),
                "{wrapped}"
            );
        }
        let cut = &data[..data.len() / 2];
        let reason = unwrap(format!("{{\"data\":\"{cut}\"}}").as_bytes(), 9999).unwrap_err();
        assert!(reason.starts_with("gzip: "), "{reason}");
    }
}
