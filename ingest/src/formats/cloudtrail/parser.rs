//! Documents, one after the other: records, envelopes, and the objects and arrays around records.

use std::ops::Range;

use arrow::array::RecordBatch;

use super::columns::COLUMNS;
use super::record::{Class, Record, Walked, looks_like_record, no_record, quoted};
use super::resync;
use super::row::{Row, Text};
use crate::block::Block;
use crate::formats::{Parser, Progress, Refusal, Setup};
use crate::json::{self, Elements, Fault, Kind, What};
use crate::rows::Rows;
use crate::tally::Tally;

/// Most bytes of input under one batch. Columns point into the input, so that a
/// batch holds on to it: a few thousand records of 256 kB would be gigabytes.
pub(super) const BATCH_BYTES_MAX: usize = 32 << 20;

/// Bytes at the head of an object among which a record must be found before text
/// that is not JSON counts as a bad line and not as a file of another kind.
const HEAD_BYTES: usize = 64 << 10;

/// Bytes that are checked for UTF-8 at once: enough to be fast, few enough to
/// still lie in the cache when they are parsed.
const UTF8_BYTES: usize = 64 << 10;

/// Where in the stream the parser is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the first record: the object may still turn out to be another kind of file.
    Head,
    /// Between documents.
    Between,
    /// Between documents, right after an array: text that follows is one reject, not one per line.
    AfterArray,
    /// In an array, before an element.
    Array(Array),
    /// In the object around `Records`, after the array.
    Wrapper,
    /// In a record that is too large, up to the next line that begins with an object.
    SkipLine,
    /// In an element that is too large, up to the next that looks like a record.
    SkipElement(Array),
}

/// What is known of the array that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Array {
    /// It is `Records` of an object.
    pub(super) wrapped: bool,
    /// No element has come yet.
    pub(super) first: bool,
    /// No record has come in the whole object yet.
    pub(super) head: bool,
}

/// What one step of the parser came to.
pub(super) enum Step {
    /// The position moved on, or the place changed.
    Went,
    /// Only more input can tell how to go on.
    NeedsInput,
}

/// What comes after a document, or after an element of an array.
pub(super) enum Follow {
    /// The next one, here.
    Next(usize),
    /// The end of the array, whose bracket is here.
    Close(usize),
    /// The end of the input.
    End,
    /// Only more input can tell.
    Wait,
    /// Something else, from here on.
    Junk(usize),
}

/// The block under way.
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    /// First byte that is not consumed.
    pub(super) pos: usize,
    /// Nothing comes after these bytes.
    pub(super) last: bool,
    pub(super) tally: &'a mut Tally,
}

impl Input<'_> {
    /// Goes over white space. Returns the byte behind it.
    #[inline]
    pub(super) fn next_byte(&mut self) -> Option<u8> {
        self.pos = json::skip_space(self.bytes, self.pos);
        self.bytes.get(self.pos).copied()
    }
}

/// Parses one object.
pub(super) struct CloudTrailParser {
    rows: Rows,
    row: Row,
    pub(super) record: Record,
    pub(super) place: Place,
    line: u64,
    batch_rows: usize,
    /// Bytes consumed since the last flush.
    batch_bytes: usize,
    /// Up to here the open block is known to be UTF-8, from the record under way on.
    utf8_to: usize,
}

impl Parser for CloudTrailParser {
    fn parse(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Result<Progress, Refusal> {
        let rows_before = self.rows.len();
        self.rows.open(block);
        self.utf8_to = block.pos;
        let mut input = Input {
            bytes: block.bytes(),
            pos: block.pos,
            last,
            tally,
        };
        let progress = self.run(&mut input);
        block.pos = input.pos;
        if self.rows.len() > rows_before {
            // A block without rows is not held on to.
            self.rows.close(block);
        }
        progress
    }

    fn skip_oversized(&mut self, block: &mut Block, tally: &mut Tally) {
        let rest = block.rest();
        let place = match self.place {
            Place::Array(array) | Place::SkipElement(array) => Place::SkipElement(array),
            Place::Head | Place::Between | Place::AfterArray | Place::Wrapper | Place::SkipLine => {
                Place::SkipLine
            }
        };
        if place != self.place {
            self.place = place;
            self.reject(tally, format!("record larger than {} bytes", rest.len()), rest);
        }
        block.pos = block.bytes().len();
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn flush(&mut self) -> RecordBatch {
        self.batch_bytes = 0;
        self.rows.flush()
    }

    fn line(&self) -> u64 {
        self.line
    }
}

impl CloudTrailParser {
    /// A parser before the first byte.
    pub(super) fn new(setup: &Setup) -> Self {
        let rows = Rows::new(&COLUMNS, setup);
        let row = Row::new(&rows);
        CloudTrailParser {
            record: Record::new(row.looks_into()),
            row,
            rows,
            place: Place::Head,
            line: 0,
            batch_rows: setup.batch_rows.max(1),
            batch_bytes: 0,
            utf8_to: 0,
        }
    }

    fn run(&mut self, input: &mut Input<'_>) -> Result<Progress, Refusal> {
        loop {
            let heavy = self.batch_bytes >= BATCH_BYTES_MAX && !self.rows.is_empty();
            if heavy || self.rows.len() >= self.batch_rows {
                return Ok(Progress::BatchFull);
            }
            let before = input.pos;
            let step = match self.place {
                Place::Head | Place::Between | Place::AfterArray => self.document(input)?,
                Place::Array(array) => self.element(array, input)?,
                Place::Wrapper => self.member_behind(input),
                Place::SkipLine => self.skip_line(input),
                Place::SkipElement(array) => self.skip_element(array, input),
            };
            self.batch_bytes += input.pos - before;
            if let Step::NeedsInput = step {
                return Ok(Progress::NeedsInput);
            }
        }
    }

    /// Takes the next document: a record, an envelope, or the beginning of an array.
    fn document(&mut self, input: &mut Input<'_>) -> Result<Step, Refusal> {
        let bytes = input.bytes;
        let head = self.place == Place::Head;
        match input.next_byte() {
            None => return Ok(Step::NeedsInput),
            Some(b'{') => {}
            Some(b'[') => {
                return match bytes.get(json::skip_space(bytes, input.pos + 1)) {
                    None if !input.last => Ok(Step::NeedsInput),
                    None | Some(b'{' | b']') => {
                        input.pos += 1;
                        self.place = Place::Array(Array {
                            wrapped: false,
                            first: true,
                            head,
                        });
                        Ok(Step::Went)
                    }
                    Some(_) => self.no_document(input),
                };
            }
            Some(_) => return self.no_document(input),
        }
        let start = input.pos;
        let reason = match self.record.walk(bytes, start, true) {
            Ok(Walked::Records { bracket }) => {
                input.pos = bracket + 1;
                self.place = Place::Array(Array {
                    wrapped: true,
                    first: true,
                    head,
                });
                return Ok(Step::Went);
            }
            Ok(Walked::Whole { end }) => match after_document(bytes, end, input.last) {
                Follow::Wait => return Ok(Step::NeedsInput),
                Follow::Junk(junk) => Reason::Fault(Fault {
                    pos: junk,
                    what: What::Trailing,
                }),
                Follow::Next(next) | Follow::Close(next) => {
                    return self.take_document(start..end, next, input);
                }
                Follow::End => return self.take_document(start..end, bytes.len(), input),
            },
            Ok(Walked::Foreign(what)) if head => return Err(Refusal::new(what)),
            // Behind records it is a reject: the rows are there already.
            Ok(Walked::Foreign(what)) => Reason::Foreign(what),
            Err(fault) if fault.what == What::End && !input.last => return Ok(Step::NeedsInput),
            // The place of a fault must not depend on which columns are looked for.
            Err(fault) => Reason::Fault(json::skip_value(bytes, start).err().unwrap_or(fault)),
        };
        let Some(end) = resync::end_of_document(bytes, start, input.last) else {
            return Ok(Step::NeedsInput);
        };
        let reason = match reason {
            Reason::Fault(fault) => in_words(fault, start, bytes, end),
            Reason::Foreign(what) => what.to_owned(),
        };
        self.reject(input.tally, reason, &bytes[start..end]);
        self.place = Place::Between;
        input.pos = end;
        Ok(Step::Went)
    }

    /// Takes the document at `span`, and goes on at `next`.
    #[inline]
    fn take_document(
        &mut self,
        span: Range<usize>,
        next: usize,
        input: &mut Input<'_>,
    ) -> Result<Step, Refusal> {
        let head = std::mem::replace(&mut self.place, Place::Between) == Place::Head;
        if self.record.is_empty() {
            input.tally.passed += 1;
        } else {
            self.take(input.bytes, span, head, input.tally)?;
        }
        input.pos = next;
        Ok(Step::Went)
    }

    /// Rejects text where a document should begin, or refuses the object if it begins with such text.
    fn no_document(&mut self, input: &mut Input<'_>) -> Result<Step, Refusal> {
        let (bytes, start) = (input.bytes, input.pos);
        if self.place == Place::Head {
            let whole = input.last || bytes.len() - start >= HEAD_BYTES;
            let head = &bytes[start..bytes.len().min(start + HEAD_BYTES)];
            match (head_has_record(head), whole) {
                (true, _) => {}
                (false, true) => return Err(Refusal::new(not_json(head))),
                (false, false) => return Ok(Step::NeedsInput),
            }
        }
        let (end, reason) = if self.place == Place::AfterArray {
            (
                resync::next_line_with_value(bytes, start, input.last),
                "unexpected text after the records",
            )
        } else {
            let newline = memchr::memchr(b'\n', &bytes[start..]).map(|offset| start + offset);
            (newline.or(input.last.then_some(bytes.len())), "not a JSON object")
        };
        let Some(end) = end else {
            return Ok(Step::NeedsInput);
        };
        self.reject(input.tally, reason, &bytes[start..end]);
        self.place = Place::Between;
        input.pos = end;
        Ok(Step::Went)
    }

    fn skip_line(&mut self, input: &mut Input<'_>) -> Step {
        if let Some(line) = resync::next_line_with_value(input.bytes, input.pos, input.last) {
            input.pos = line;
            self.place = Place::Between;
            return Step::Went;
        }
        // A newline at the very end may belong to the line that is looked for.
        let newline = input.bytes[input.pos..].ends_with(b"\n");
        input.pos = input.bytes.len() - usize::from(newline);
        Step::NeedsInput
    }

    /// Takes the object that was walked last: a row, a reject, or an envelope of several.
    ///
    /// `head` says that it is the first of the whole input.
    #[inline]
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        span: Range<usize>,
        head: bool,
        tally: &mut Tally,
    ) -> Result<(), Refusal> {
        match self.record.class(bytes) {
            Class::Event => self.take_event(bytes, span, tally),
            Class::EventBridge(detail) => match self.record.walk(bytes, detail.start, false) {
                Ok(_) if self.record.class(bytes) == Class::Event => self.take_event(bytes, detail, tally),
                _ => {
                    let reason = format!(
                        "detail of an EventBridge event: {}",
                        no_record(bytes, detail.start)
                    );
                    self.reject(tally, reason, &bytes[span]);
                }
            },
            Class::Subscription(events) => self.take_subscription(bytes, events, tally),
            Class::Control => tally.passed += 1,
            Class::Foreign(what) if head => return Err(Refusal::new(what)),
            Class::Foreign(what) => self.reject(tally, what, &bytes[span]),
            Class::Unknown(reason) => self.reject(tally, reason, &bytes[span]),
        }
        Ok(())
    }

    /// Makes a row of the record that was walked last and lies in the block.
    #[inline]
    fn take_event(&mut self, bytes: &[u8], span: Range<usize>, tally: &mut Tally) {
        let checked = self.check_utf8(bytes, &span);
        match checked.and_then(|()| self.record.event_time(bytes)) {
            Ok(micros) => self.push_row(Text::Block(bytes), micros, tally),
            Err(reason) => self.reject(tally, reason, &bytes[span]),
        }
    }

    fn push_row(&mut self, text: Text<'_>, micros: i64, tally: &mut Tally) {
        self.line += 1;
        tally.rows += 1;
        tally.see(micros);
        self.row.write(&self.record, text, micros, &mut self.rows);
        self.rows.end_row(self.line);
    }

    /// Takes the records of a CloudWatch Logs envelope; each is JSON text in a string.
    fn take_subscription(&mut self, bytes: &[u8], events: Range<usize>, tally: &mut Tally) {
        let Ok(mut elements) = Elements::new(bytes, events.start) else {
            return;
        };
        while let Ok(Some(event)) = elements.next_element() {
            let inner = match message_of(bytes, event.start) {
                Ok(inner) => inner,
                Err(reason) => {
                    self.reject(tally, reason, &bytes[event]);
                    continue;
                }
            };
            let message = json::unescape(inner);
            if let Err(reason) = self.take_message(&message, tally) {
                self.reject(tally, reason, message.as_bytes());
            }
        }
    }

    fn take_message(&mut self, message: &str, tally: &mut Tally) -> Result<(), String> {
        let bytes = message.as_bytes();
        let span = json::whole_value(bytes)
            .map_err(|fault| format!("message of a log event is not a JSON record: {fault}"))?;
        let is_object = Kind::of(&bytes[span.clone()]) == Kind::Object;
        let walked = is_object && self.record.walk(bytes, span.start, false).is_ok();
        if !walked || self.record.class(bytes) != Class::Event {
            return Err(no_record(bytes, span.start));
        }
        let micros = self.record.event_time(bytes)?;
        self.push_row(Text::Copied(message), micros, tally);
        Ok(())
    }

    /// Checks that a record is UTF-8. Most calls find it checked together with its neighbours.
    #[inline]
    fn check_utf8(&mut self, bytes: &[u8], span: &Range<usize>) -> Result<(), String> {
        if span.end <= self.utf8_to {
            Ok(())
        } else {
            self.check_more_utf8(bytes, span)
        }
    }

    #[inline(never)]
    fn check_more_utf8(&mut self, bytes: &[u8], span: &Range<usize>) -> Result<(), String> {
        let from = self.utf8_to.max(span.start);
        let to = bytes.len().min(span.end.max(from + UTF8_BYTES));
        self.utf8_to = match simdutf8::compat::from_utf8(&bytes[from..to]) {
            Ok(_) => to,
            Err(error) => from + error.valid_up_to(),
        };
        if span.end <= self.utf8_to {
            return Ok(());
        }
        Err(format!("invalid UTF-8 at byte {}", self.utf8_to - span.start))
    }

    #[cold]
    pub(super) fn reject(&mut self, tally: &mut Tally, reason: impl Into<String>, raw: &[u8]) {
        self.line += 1;
        tally.reject(self.line, reason, raw.trim_ascii_end());
    }
}

/// Why a document is rejected.
enum Reason {
    Fault(Fault),
    Foreign(&'static str),
}

/// What comes after the document that ends at `end`. Another one may follow at
/// once; on the rest of the line nothing else may.
fn after_document(bytes: &[u8], end: usize, last: bool) -> Follow {
    let spaces = bytes[end..]
        .iter()
        .take_while(|&&byte| matches!(byte, b' ' | b'\t' | b'\r'));
    let next = end + spaces.count();
    match bytes.get(next) {
        None if last => Follow::End,
        None => Follow::Wait,
        Some(b'\n' | b'{' | b'[') => Follow::Next(next),
        Some(_) => Follow::Junk(next),
    }
}

/// The message of the log event at `start`, still escaped, and UTF-8.
fn message_of(bytes: &[u8], start: usize) -> Result<&[u8], String> {
    let message = json::member(bytes, start, b"message").ok_or("log event without a message")?;
    let inner = json::between_quotes(&bytes[message]).ok_or("message of a log event is not a string")?;
    match simdutf8::compat::from_utf8(inner) {
        Ok(_) => Ok(inner),
        Err(error) => Err(format!(
            "invalid UTF-8 at byte {} of the message",
            error.valid_up_to()
        )),
    }
}

/// The reason for a reject of `bytes[start..end]`, with the place counted from its start.
#[cold]
pub(super) fn in_words(fault: Fault, start: usize, bytes: &[u8], end: usize) -> String {
    let at = fault.pos - start;
    match bytes.get(fault.pos) {
        _ if fault.what == What::End && bytes[end..].trim_ascii().is_empty() => {
            format!("cut off at byte {at}, inside a record")
        }
        Some(&found) if found.is_ascii() => {
            format!(
                "{} at byte {at}, found '{}'",
                fault.what,
                char::from(found).escape_default()
            )
        }
        _ => format!("{} at byte {at}", fault.what),
    }
}

/// Whether a line after the first of `head` is a record or begins an array of them.
fn head_has_record(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head)
        .map(|newline| newline + 1)
        .any(|line| {
            head.get(line) == Some(&b'{')
                && (json::skip_value(head, line).is_ok() && looks_like_record(head, line)
                    || resync::begins_records(head, line))
        })
}

/// Why an object that begins with `head` is refused.
fn not_json(head: &[u8]) -> String {
    let first_line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let shown = quoted(&String::from_utf8_lossy(first_line));
    let mut words = first_line.split(|&byte| byte == b' ');
    let flow_log = match (words.next(), words.next()) {
        (Some(b"version"), Some(_)) => true,
        (Some([b'2'..=b'9']), Some(account)) => account.len() == 12 && account.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let hint = if flow_log {
        "; it looks like a VPC flow log: read it as vpc_flow"
    } else {
        ""
    };
    format!("not CloudTrail JSON: it begins with {shown}{hint}")
}
