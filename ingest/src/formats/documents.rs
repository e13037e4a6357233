//! What formats have in common whose records are JSON objects.
//!
//! Documents one per line, one behind the other, printed over many lines, in
//! bare arrays or in a list such as `{"events":[...]}` all read the same way and
//! may follow each other in one stream. So do records inside envelopes: of
//! CloudWatch Logs (subscriptions, `aws logs filter-log-events`, lines of an
//! export to S3), of SNS, and whatever a format itself says is one, such as the
//! `detail` of an EventBridge event.
//!
//! A format says what it is in a [`Shape`]: its columns, each with the path of
//! its value, and a function that tells its records from other objects.
//!
//! ```ignore
//! const SPECS: &[Spec] = &[
//!     Spec::at("event_time", Kind::Time, "time", "When it happened."),
//!     Spec::at("account_id", Kind::Text, "account", "Account."),
//!     Spec::at("image", Kind::Text, "detail.containers[0].image", "Image of the first container."),
//!     Spec::first("name", Kind::Text, &["serviceName", "service"], "Name of the service."),
//!     Spec::made("task_id", Kind::Text, &["detail.taskArn"], |found| last_part(found[0]?), "Id of the task."),
//!     Spec::extra("All other members."),
//! ];
//!
//! static SHAPE: Shape = Shape {
//!     noun: "an ECS event",
//!     specs: SPECS,
//!     class: |object| match object.text("source").as_deref() {
//!         Some("aws.ecs") => Class::Record,
//!         _ => Class::Unknown,
//!     },
//!     marks: &["detail-type"],
//!     lists: &["events"],
//!     constants: &[("version", "\"0\"")],
//! };
//!
//! const COLUMNS: [Column; SPECS.len()] = columns(SPECS);   // for Format::columns
//! fn parser(...) { Ok(documents::parser(&SHAPE, &setup)) } // for Format::parser
//! ```
//!
//! The first column is `event_time`, and a record without one is a reject
//! (a time that the envelope tells will do). `account_id` and `region` come from
//! the envelope or the object's path where the record does not tell.
//!
//! Every record is checked from end to end whatever the query asks for, so that
//! rows and rejects are always the same; only columns that are asked for are
//! built. Of two members with one key the first counts.
//!
//! A record that is broken is one reject. Between lines the next record begins
//! at the next line, inside an array at the next object that is valid and looks
//! like a record, which [`Shape::marks`] tell.

use std::borrow::Cow;
use std::ops::Range;

use arrow::array::RecordBatch;

use super::{Parser, Progress, Refusal, Setup};
use crate::block::Block;
use crate::column::{Column, Kind};
use crate::json::{self, Elements, Fault, What};
use crate::rows::Rows;
use crate::tally::Tally;

mod kinds;
mod record;
mod resync;
mod value;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use kinds::Envelope;
use record::{Record, Walked};
use resync::Resume;
use value::Text;

pub(crate) use record::Object;
pub(crate) use value::{Value, quoted, time_of};

/// Most bytes of input under one batch. Columns point into the input, so that a
/// batch holds on to it.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// Bytes at the head of an object among which a record must be found before what
/// is none counts as a reject and not as a file of another kind.
const HEAD_BYTES: usize = 64 << 10;

/// Bytes of a `Records` array that tell what it holds.
const RECORDS_HEAD_BYTES: usize = 4 << 10;

/// Envelopes inside each other; a real one has three at most.
const ENVELOPES_MAX: usize = 6;

/// What a format is.
pub(crate) struct Shape {
    /// What a record is called in reasons, with its article: `an ECS event`.
    pub noun: &'static str,
    /// The columns, the first of them `event_time`.
    pub specs: &'static [Spec],
    /// What an object is, told by its members.
    pub class: fn(&Object<'_>) -> Class,
    /// Keys that records have and objects inside them have not: behind a broken
    /// record, an object that has one of them is the next.
    pub marks: &'static [&'static str],
    /// Members of a document whose arrays hold records (or objects around them),
    /// which are taken one by one, however many there are.
    pub lists: &'static [&'static str],
    /// Members (and their raw values) that tell nothing and are left out of
    /// `extra`, such as the `version` of the format.
    pub constants: &'static [(&'static str, &'static str)],
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Class {
    /// A record of the format.
    Record,
    /// An object around records, which are the value at this path: an object, an
    /// array of objects, or a string that holds JSON.
    Inside(&'static str),
    /// No record, and nothing that anybody would miss.
    Pass,
    /// No record, although records may well follow, and why.
    Reject(String),
    /// None of these: known envelopes are tried.
    Unknown,
}

/// A column and where its value comes from.
pub(crate) struct Spec {
    /// The column.
    pub column: Column,
    /// How it gets its value.
    pub take: Take,
}

/// How a column gets its value from a record. Paths are keys from the record's
/// root with dots between them: `detail.taskArn`, `containers[0].name`. A dot
/// that is part of a key is written `\.`.
#[derive(Clone, Copy)]
pub(crate) enum Take {
    /// The value at this path.
    Path(&'static str),
    /// The first of these that is there and not null.
    First(&'static [&'static str]),
    /// What the function makes of the raw values at these paths; null counts as missing.
    Made(&'static [&'static str], Make),
    /// All members at the top of the record that no other column holds.
    Extra,
}

/// Makes a value of the raw values at some paths.
pub(crate) type Make = for<'a> fn(&[Option<&'a [u8]>]) -> Option<Value<'a>>;

impl Spec {
    /// A column that holds the value at `path`.
    pub(crate) const fn at(name: &'static str, kind: Kind, path: &'static str, about: &'static str) -> Self {
        Spec {
            column: Column::new(name, kind, path, about),
            take: Take::Path(path),
        }
    }

    /// A column that holds the first of the values at `paths`.
    pub(crate) const fn first(
        name: &'static str,
        kind: Kind,
        paths: &'static [&'static str],
        about: &'static str,
    ) -> Self {
        Spec {
            column: Column::new(name, kind, paths[0], about),
            take: Take::First(paths),
        }
    }

    /// A column that holds what `make` makes of the values at `paths`.
    pub(crate) const fn made(
        name: &'static str,
        kind: Kind,
        paths: &'static [&'static str],
        make: Make,
        about: &'static str,
    ) -> Self {
        Spec {
            column: Column::new(name, kind, paths[0], about),
            take: Take::Made(paths, make),
        }
    }

    /// The column `extra`.
    pub(crate) const fn extra(about: &'static str) -> Self {
        Spec {
            column: Column::new("extra", Kind::Json, "", about),
            take: Take::Extra,
        }
    }

    /// The same, its column known to take these values.
    pub(crate) const fn one_of(mut self, values: &'static [&'static str]) -> Self {
        self.column = self.column.one_of(values);
        self
    }

    /// The paths that its value comes from.
    fn paths(&self) -> Vec<String> {
        match self.take {
            Take::Path(path) => vec![path.to_owned()],
            Take::First(paths) | Take::Made(paths, _) => paths.iter().map(|&path| path.to_owned()).collect(),
            Take::Extra => Vec::new(),
        }
    }
}

/// The columns alone.
pub(crate) const fn columns<const N: usize>(specs: &[Spec]) -> [Column; N] {
    let mut columns = [specs[0].column; N];
    let mut index = 0;
    while index < N {
        columns[index] = specs[index].column;
        index += 1;
    }
    columns
}

/// A parser for one object of records of this shape.
pub(crate) fn parser(shape: &'static Shape, setup: &Setup) -> Box<dyn Parser> {
    parser_with_paths(shape, setup, |_| None)
}

/// The same, with other paths for the columns for which `paths` has some: for
/// formats whose mapping is a setting. Functions of [`Take::Made`] get the values
/// at these paths then; [`Take::Extra`] stays what it is.
pub(crate) fn parser_with_paths(
    shape: &'static Shape,
    setup: &Setup,
    paths: impl Fn(&Column) -> Option<Vec<String>>,
) -> Box<dyn Parser> {
    let columns: Vec<Column> = shape.specs.iter().map(|spec| spec.column).collect();
    let rows = Rows::new(&columns, setup);
    Box::new(DocumentsParser {
        shape,
        record: Record::new(shape, &rows, paths),
        rows,
        origin: Context::of_path(&setup.source),
        batch_rows: setup.batch_rows.max(1),
        batch_bytes: 0,
        line: 0,
        place: Place::Head,
    })
}

/// What is told around a record, for what the record itself does not tell.
#[derive(Debug, Clone, Default)]
struct Context {
    account: Option<String>,
    region: Option<String>,
    /// Microseconds since the epoch.
    time: Option<i64>,
}

impl Context {
    /// What the object's name tells: `AWSLogs/<account>/<service>/<Region>/`.
    fn of_path(path: &str) -> Self {
        let mut folders = path.split('/').skip_while(|&folder| folder != "AWSLogs").skip(1);
        let account = folders
            .next()
            .filter(|folder| folder.len() == 12 && folder.bytes().all(|byte| byte.is_ascii_digit()));
        let region = folders.nth(1).filter(|folder| {
            folder.matches('-').count() >= 2 && folder.ends_with(|c: char| c.is_ascii_digit())
        });
        Context {
            account: account.map(str::to_owned),
            region: region.filter(|_| account.is_some()).map(str::to_owned),
            time: None,
        }
    }
}

/// Where in the stream the parser is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first record: the object may still turn out to be another kind of file.
    Head,
    /// Between documents.
    Between,
    /// Between documents, right after an array: text that follows is one reject, not one per line.
    AfterArray,
    /// In an array, before an element.
    Array(Array),
    /// In the object around a list, after the array.
    Wrapper,
    /// In a record that is too large, up to the next line that begins with an object.
    SkipLine,
    /// In an element that is too large, up to the next that looks like a record.
    SkipElement {
        /// The array is a member of an object.
        wrapped: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Array {
    /// The array is a member of an object.
    wrapped: bool,
    /// No element has come yet.
    first: bool,
    /// No record has come in the whole object yet.
    head: bool,
}

impl Array {
    fn going_on(self) -> Place {
        Place::Array(Array {
            first: false,
            head: false,
            ..self
        })
    }
}

/// What one step of [`DocumentsParser::run`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The position moved on, or the place changed.
    Went,
    /// Only more input can tell how to go on.
    NeedsInput,
}

/// What comes after an element of an array, or after a document.
enum Follow {
    /// The next element or document, here.
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

struct DocumentsParser {
    shape: &'static Shape,
    rows: Rows,
    record: Record,
    /// What the object's path tells about all of its records.
    origin: Context,
    batch_rows: usize,
    /// Bytes consumed since the last flush.
    batch_bytes: usize,
    line: u64,
    place: Place,
}

impl Parser for DocumentsParser {
    fn parse(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Result<Progress, Refusal> {
        let rows_before = self.rows.len();
        let mut pos = block.pos;
        self.rows.open(block);
        let progress = self.run(block.bytes(), &mut pos, last, tally);
        block.pos = pos;
        if self.rows.len() > rows_before {
            // A block without rows is not held on to.
            self.rows.close(block);
        }
        progress
    }

    fn skip_oversized(&mut self, block: &mut Block, tally: &mut Tally) {
        let rest = block.rest();
        let place = match self.place {
            Place::Array(Array { wrapped, .. }) => Place::SkipElement { wrapped },
            Place::Head | Place::Between | Place::AfterArray | Place::Wrapper => Place::SkipLine,
            skipping @ (Place::SkipLine | Place::SkipElement { .. }) => skipping,
        };
        if place != self.place {
            self.reject(tally, format!("record larger than {} bytes", rest.len()), rest);
        }
        self.place = place;
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

impl DocumentsParser {
    fn run(
        &mut self,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        tally: &mut Tally,
    ) -> Result<Progress, Refusal> {
        loop {
            if self.rows.len() >= self.batch_rows
                || (self.batch_bytes >= BATCH_BYTES_MAX && !self.rows.is_empty())
            {
                return Ok(Progress::BatchFull);
            }
            let before = *pos;
            let step = match self.place {
                Place::Head | Place::Between | Place::AfterArray => self.document(bytes, pos, last, tally)?,
                Place::Array(array) => self.element(array, bytes, pos, last, tally)?,
                Place::Wrapper => self.wrapper(bytes, pos, last, tally),
                Place::SkipLine => self.skip_line(bytes, pos, last),
                Place::SkipElement { wrapped } => self.skip_element(wrapped, bytes, pos, last),
            };
            self.batch_bytes += *pos - before;
            if step == Step::NeedsInput {
                return Ok(Progress::NeedsInput);
            }
        }
    }

    /// Takes the next document: a record, an envelope, or the beginning of an array.
    fn document(
        &mut self,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        tally: &mut Tally,
    ) -> Result<Step, Refusal> {
        let head = self.place == Place::Head;
        *pos = json::skip_space(bytes, *pos);
        let start = *pos;
        match bytes.get(start) {
            None => return Ok(Step::NeedsInput),
            Some(b'{') => {}
            Some(b'[') => match bytes.get(json::skip_space(bytes, start + 1)) {
                None if !last => return Ok(Step::NeedsInput),
                None | Some(b'{' | b']') => {
                    *pos = start + 1;
                    self.open_array(false, head);
                    return Ok(Step::Went);
                }
                Some(_) => return self.no_document(bytes, pos, last, tally),
            },
            Some(b'0'..=b'9') => {
                return match resync::time_before_document(&bytes[start..], last) {
                    Resume::Object(document) => {
                        *pos = start + document;
                        Ok(Step::Went)
                    }
                    Resume::Wait(_) => Ok(Step::NeedsInput),
                    _ => self.no_document(bytes, pos, last, tally),
                };
            }
            Some(_) => return self.no_document(bytes, pos, last, tally),
        }
        let fault = match self.record.walk(bytes, start, true) {
            Ok(Walked::List { bracket }) => {
                *pos = bracket + 1;
                self.open_array(true, head);
                return Ok(Step::Went);
            }
            Ok(Walked::Records { bracket }) if head => {
                let known = &bytes[bracket..bytes.len().min(bracket + RECORDS_HEAD_BYTES)];
                return if last || known.len() == RECORDS_HEAD_BYTES {
                    Err(Refusal::new(kinds::of_records(self.shape.noun, known)))
                } else {
                    Ok(Step::NeedsInput)
                };
            }
            // Records of something else behind ours: one document, and one reject.
            Ok(Walked::Records { .. }) => match json::skip_value(bytes, start) {
                Ok(end) => match after_document(bytes, end, last) {
                    Follow::Wait => return Ok(Step::NeedsInput),
                    Follow::Junk(junk) => Fault {
                        pos: junk,
                        what: What::Trailing,
                    },
                    follow => {
                        let known = &bytes[start..end.min(start + RECORDS_HEAD_BYTES)];
                        let reason = kinds::of_records(self.shape.noun, known);
                        self.reject(tally, reason, &bytes[start..end]);
                        self.place = Place::Between;
                        *pos = follow.place(bytes);
                        return Ok(Step::Went);
                    }
                },
                Err(fault) => fault,
            },
            Ok(Walked::Whole { end }) => match after_document(bytes, end, last) {
                Follow::Wait => return Ok(Step::NeedsInput),
                Follow::Junk(junk) => Fault {
                    pos: junk,
                    what: What::Trailing,
                },
                follow => {
                    if head && self.check_head(bytes, start..end, last)? == Step::NeedsInput {
                        return Ok(Step::NeedsInput);
                    }
                    self.place = Place::Between;
                    let context = self.origin.clone();
                    self.take(Text::Block(bytes), start..end, true, &context, 0, tally);
                    *pos = follow.place(bytes);
                    return Ok(Step::Went);
                }
            },
            Err(fault) => fault,
        };
        if fault.what == What::End && !last {
            return Ok(Step::NeedsInput);
        }
        let Some(end) = resync::end_of_document(self.shape, bytes, start, last) else {
            return Ok(Step::NeedsInput);
        };
        self.reject(tally, reason(fault, start, bytes, end), &bytes[start..end]);
        self.place = Place::Between;
        *pos = end;
        Ok(Step::Went)
    }

    fn open_array(&mut self, wrapped: bool, head: bool) {
        self.place = Place::Array(Array {
            wrapped,
            first: true,
            head,
        });
    }

    /// Refuses the whole object if what it begins with, which was walked last, is
    /// of another kind, and nothing behind it is a record either.
    fn check_head(&self, bytes: &[u8], span: Range<usize>, last: bool) -> Result<Step, Refusal> {
        let reason = match self.record.envelope(self.shape, bytes) {
            Envelope::Foreign(reason) => return Err(Refusal::new(reason)),
            Envelope::Unknown(reason) => reason,
            _ => return Ok(Step::Went),
        };
        let window = &bytes[..bytes.len().min(span.start + HEAD_BYTES)];
        let is_whole = last || window.len() - span.start == HEAD_BYTES;
        match resync::has_record(self.shape, window, span.end, is_whole) {
            Some(true) => Ok(Step::Went),
            Some(false) => Err(Refusal::new(reason)),
            None => Ok(Step::NeedsInput),
        }
    }

    /// Rejects text where a document should begin, or refuses the object if it begins with such text.
    fn no_document(
        &mut self,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        tally: &mut Tally,
    ) -> Result<Step, Refusal> {
        let start = *pos;
        if self.place == Place::Head {
            let head = &bytes[start..bytes.len().min(start + HEAD_BYTES)];
            match resync::has_record(self.shape, head, 0, last || head.len() == HEAD_BYTES) {
                Some(true) => {}
                Some(false) => return Err(Refusal::new(kinds::of_text(self.shape.noun, head))),
                None => return Ok(Step::NeedsInput),
            }
        }
        let end = if self.place == Place::AfterArray {
            resync::next_line_with_value(bytes, start, last)
        } else {
            memchr::memchr(b'\n', &bytes[start..])
                .map(|offset| start + offset)
                .or(last.then_some(bytes.len()))
        };
        let Some(end) = end else {
            return Ok(Step::NeedsInput);
        };
        let reason = if self.place == Place::AfterArray {
            "unexpected text after the records"
        } else {
            "not a JSON object"
        };
        self.reject(tally, reason, &bytes[start..end]);
        self.place = Place::Between;
        *pos = end;
        Ok(Step::Went)
    }

    /// Takes the next element of an array, or the array's end.
    fn element(
        &mut self,
        array: Array,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        tally: &mut Tally,
    ) -> Result<Step, Refusal> {
        *pos = json::skip_space(bytes, *pos);
        let start = *pos;
        let end = match bytes.get(start) {
            None if last => {
                self.reject(tally, "file ends before the array is closed", b"");
                self.place = Place::Between;
                return Ok(Step::Went);
            }
            None => return Ok(Step::NeedsInput),
            Some(b']') => {
                if !array.first {
                    self.reject(tally, "expected a record after ',', found ']'", b"]");
                }
                *pos = start + 1;
                self.close_array(array.wrapped);
                return Ok(Step::Went);
            }
            Some(b'{') => self.record.walk(bytes, start, false).map(|walked| match walked {
                Walked::Whole { end } => end,
                Walked::List { bracket } | Walked::Records { bracket } => bracket,
            }),
            Some(_) => json::skip_value(bytes, start),
        };
        let is_object = bytes[start] == b'{';
        let fault = match end {
            Ok(end) => match after_element(bytes, end, is_object, last) {
                Follow::Wait => return Ok(Step::NeedsInput),
                Follow::Junk(junk) => Fault {
                    pos: junk,
                    what: What::Trailing,
                },
                follow => {
                    if array.head
                        && is_object
                        && self.check_head(bytes, start..end, last)? == Step::NeedsInput
                    {
                        return Ok(Step::NeedsInput);
                    }
                    self.place = array.going_on();
                    if is_object {
                        let context = self.origin.clone();
                        self.take(Text::Block(bytes), start..end, false, &context, 0, tally);
                    } else {
                        let raw = &bytes[start..end];
                        let kind = json::Kind::of(raw).in_words();
                        self.reject(tally, format!("not {} but {kind}", self.shape.noun), raw);
                    }
                    self.follow(follow, bytes, pos, array.wrapped);
                    return Ok(Step::Went);
                }
            },
            Err(fault) if fault.what == What::End && !last => return Ok(Step::NeedsInput),
            Err(fault) => fault,
        };
        Ok(self.broken_element(fault, array, bytes, pos, last, tally))
    }

    /// Rejects the element at `pos` and finds where the next one begins.
    fn broken_element(
        &mut self,
        fault: Fault,
        array: Array,
        bytes: &[u8],
        pos: &mut usize,
        last: bool,
        tally: &mut Tally,
    ) -> Step {
        let start = *pos;
        if fault.what == What::Trailing {
            // Nothing but braces too many: the separator behind them is still the array's own.
            let braces = bytes[fault.pos..]
                .iter()
                .take_while(|&&byte| byte == b'}' || byte.is_ascii_whitespace());
            let end = fault.pos + braces.count();
            if end == bytes.len() && !last {
                return Step::NeedsInput;
            }
            match after_element(bytes, end, true, last) {
                Follow::Wait => return Step::NeedsInput,
                Follow::Junk(_) => {}
                follow => {
                    self.reject(tally, reason(fault, start, bytes, end), &bytes[start..end]);
                    self.place = array.going_on();
                    self.follow(follow, bytes, pos, array.wrapped);
                    return Step::Went;
                }
            }
        }
        if fault.what == What::End {
            // Cut off: what is inside a record that has no end is not looked for records.
            self.reject(tally, reason(fault, start, bytes, bytes.len()), &bytes[start..]);
            self.place = Place::Between;
            *pos = bytes.len();
            return Step::Went;
        }
        let (end, place) = match resync::next_element(self.shape, bytes, start + 1, last) {
            Resume::Object(next) => (next, array.going_on()),
            Resume::Document(next) => (next, Place::Between),
            Resume::Wait(_) => return Step::NeedsInput,
            Resume::Nowhere if !last => return Step::NeedsInput,
            Resume::Nowhere => (bytes.len(), Place::Between),
        };
        let raw = bytes[start..end].trim_ascii_end();
        let raw = raw.strip_suffix(b",").unwrap_or(raw);
        self.reject(tally, reason(fault, start, bytes, end), raw);
        self.place = place;
        *pos = end;
        Step::Went
    }

    /// Goes over what separates an element from the next.
    fn follow(&mut self, follow: Follow, bytes: &[u8], pos: &mut usize, wrapped: bool) {
        if let Follow::Close(bracket) = follow {
            *pos = bracket + 1;
            self.close_array(wrapped);
        } else {
            *pos = follow.place(bytes);
        }
    }

    fn close_array(&mut self, wrapped: bool) {
        self.place = if wrapped {
            Place::Wrapper
        } else {
            Place::AfterArray
        };
    }

    /// Goes over one member behind a list, or the end of the object.
    fn wrapper(&mut self, bytes: &[u8], pos: &mut usize, last: bool, tally: &mut Tally) -> Step {
        *pos = json::skip_space(bytes, *pos);
        let start = *pos;
        let fault = match bytes.get(start) {
            None if last => {
                self.place = Place::Between;
                self.reject(
                    tally,
                    "file ends before the object around the records is closed",
                    b"",
                );
                return Step::Went;
            }
            None => return Step::NeedsInput,
            Some(b'}') => {
                *pos = start + 1;
                self.place = Place::AfterArray;
                return Step::Went;
            }
            Some(b',') => match member_after(bytes, start) {
                Ok((key, value))
                    if bytes.get(value) == Some(&b'[') && self.shape.is_list(&bytes[key.clone()]) =>
                {
                    *pos = value + 1;
                    self.open_array(true, false);
                    return Step::Went;
                }
                Ok((_, value)) => match json::skip_value(bytes, value) {
                    // A number could go on in the next block.
                    Ok(end) if end < bytes.len() || last => {
                        *pos = end;
                        return Step::Went;
                    }
                    Ok(_) => return Step::NeedsInput,
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            },
            Some(_) => Fault {
                pos: start,
                what: What::CommaOrBrace,
            },
        };
        if fault.what == What::End && !last {
            return Step::NeedsInput;
        }
        let Some(end) = resync::next_line_with_value(bytes, start, last) else {
            return Step::NeedsInput;
        };
        self.reject(
            tally,
            reason(fault, start, bytes, end),
            bytes[start..end].trim_ascii_end(),
        );
        self.place = Place::Between;
        *pos = end;
        Step::Went
    }

    fn skip_line(&mut self, bytes: &[u8], pos: &mut usize, last: bool) -> Step {
        match resync::next_line_with_value(bytes, *pos, last) {
            Some(line) => {
                *pos = line;
                self.place = Place::Between;
                Step::Went
            }
            None => {
                // A newline at the very end may belong to the line that is looked for.
                *pos = bytes.len() - usize::from(bytes[*pos..].ends_with(b"\n"));
                Step::NeedsInput
            }
        }
    }

    fn skip_element(&mut self, wrapped: bool, bytes: &[u8], pos: &mut usize, last: bool) -> Step {
        let array = Array {
            wrapped,
            first: false,
            head: false,
        };
        match resync::next_element(self.shape, bytes, *pos, last) {
            Resume::Object(next) => {
                *pos = next;
                self.place = array.going_on();
            }
            Resume::Document(next) => {
                *pos = next;
                self.place = Place::Between;
            }
            Resume::Wait(separator) => {
                *pos = separator;
                return Step::NeedsInput;
            }
            Resume::Nowhere if last => {
                *pos = bytes.len();
                self.place = Place::Between;
            }
            Resume::Nowhere => {
                // A comma or newline at the very end may come before the element that is looked for.
                let rest = bytes[*pos..].trim_ascii_end();
                *pos = if rest.ends_with(b",") || rest.ends_with(b"[") {
                    *pos + rest.len() - 1
                } else {
                    bytes.len() - usize::from(bytes[*pos..].ends_with(b"\n"))
                };
                return Step::NeedsInput;
            }
        }
        Step::Went
    }

    /// Takes the object that was walked last: a row, a reject, or an envelope of several.
    ///
    /// `document` says that it stands by itself and not in an array.
    fn take(
        &mut self,
        text: Text<'_>,
        span: Range<usize>,
        document: bool,
        around: &Context,
        level: usize,
        tally: &mut Tally,
    ) {
        let bytes = text.bytes();
        let raw = &bytes[span.clone()];
        if level > ENVELOPES_MAX {
            return self.reject(tally, "too many envelopes inside each other", raw);
        }
        match self.record.envelope(self.shape, bytes) {
            Envelope::Record => self.take_record(text, span, around, tally),
            Envelope::Pass => tally.passed += 1,
            Envelope::Empty if document => tally.passed += 1,
            Envelope::Empty => self.reject(tally, format!("not {}: {{}}", self.shape.noun), raw),
            Envelope::Inside(value, told) => {
                self.take_inside(text, value, span, &told.or(around), level + 1, tally);
            }
            Envelope::LogEvent => self.take_event(text, span, around, level + 1, tally),
            Envelope::LogEvents(events, told) => {
                let context = told.or(around);
                let mut elements = Elements::new(bytes, events.start);
                while let Ok(Some(event)) = elements.as_mut().map_or(Ok(None), Elements::next_element) {
                    self.take_event(text, event, &context, level + 1, tally);
                }
            }
            Envelope::Foreign(reason) | Envelope::Reject(reason) | Envelope::Unknown(reason) => {
                self.reject(tally, reason, raw);
            }
        }
    }

    /// Takes an event of CloudWatch Logs, whose message is JSON.
    fn take_event(
        &mut self,
        text: Text<'_>,
        event: Range<usize>,
        around: &Context,
        level: usize,
        tally: &mut Tally,
    ) {
        match kinds::message(text.bytes(), event.clone()) {
            Ok((message, time)) => {
                let context = Context {
                    time,
                    ..Context::default()
                };
                self.take_message(text, message, event, &context.or(around), level, tally);
            }
            Err(reason) => self.reject(tally, reason, &text.bytes()[event]),
        }
    }

    /// Takes what is inside an envelope: an object, objects in an array, or JSON in a string.
    fn take_inside(
        &mut self,
        text: Text<'_>,
        value: Range<usize>,
        envelope: Range<usize>,
        context: &Context,
        level: usize,
        tally: &mut Tally,
    ) {
        let bytes = text.bytes();
        match json::Kind::of(&bytes[value.clone()]) {
            json::Kind::Object => self.take_value(text, value, context, level, tally),
            json::Kind::String => self.take_message(text, value, envelope, context, level, tally),
            json::Kind::Array => {
                let mut any = false;
                let mut elements = Elements::new(bytes, value.start);
                while let Ok(Some(element)) = elements.as_mut().map_or(Ok(None), Elements::next_element) {
                    any = true;
                    self.take_value(text, element, context, level, tally);
                }
                if !any {
                    tally.passed += 1;
                }
            }
            other => {
                let reason = format!("{} inside an envelope, not {}", other.in_words(), self.shape.noun);
                self.reject(tally, reason, &bytes[envelope]);
            }
        }
    }

    /// Takes a valid value that lies inside an envelope.
    fn take_value(
        &mut self,
        text: Text<'_>,
        value: Range<usize>,
        context: &Context,
        level: usize,
        tally: &mut Tally,
    ) {
        let bytes = text.bytes();
        let kind = json::Kind::of(&bytes[value.clone()]);
        if kind != json::Kind::Object {
            let reason = format!("not {} but {}", self.shape.noun, kind.in_words());
            return self.reject(tally, reason, &bytes[value]);
        }
        match self.record.walk(bytes, value.start, false) {
            Ok(_) => self.take(text, value, false, context, level, tally),
            // The value was checked together with its envelope.
            Err(fault) => self.reject(tally, fault.to_string(), &bytes[value]),
        }
    }

    /// Takes the JSON text in the string at `message`, which is the message of `event`.
    fn take_message(
        &mut self,
        text: Text<'_>,
        message: Range<usize>,
        event: Range<usize>,
        context: &Context,
        level: usize,
        tally: &mut Tally,
    ) {
        let bytes = text.bytes();
        let Some(inner) = json::between_quotes(&bytes[message]) else {
            return self.reject(tally, "the message is not a string", &bytes[event]);
        };
        if let Err(error) = simdutf8::compat::from_utf8(inner) {
            let reason = format!("invalid UTF-8 at byte {} of the message", error.valid_up_to());
            return self.reject(tally, reason, &bytes[event]);
        }
        let message: Cow<'_, str> = json::unescape(inner);
        match json::whole_value(message.as_bytes()) {
            Ok(span) => self.take_value(Text::Copied(&message), span, context, level, tally),
            Err(fault) => {
                let reason = format!("the message is not JSON: {fault}");
                self.reject(tally, reason, message.as_bytes());
            }
        }
    }

    /// Makes a row of the record that was walked last.
    fn take_record(&mut self, text: Text<'_>, span: Range<usize>, context: &Context, tally: &mut Tally) {
        let bytes = text.bytes();
        let raw = &bytes[span];
        if let Text::Block(_) = text
            && let Err(error) = simdutf8::compat::from_utf8(raw)
        {
            return self.reject(
                tally,
                format!("invalid UTF-8 at byte {}", error.valid_up_to()),
                raw,
            );
        }
        match self.record.event_time(bytes, context.time) {
            Ok(micros) => {
                self.line += 1;
                tally.rows += 1;
                tally.see(micros);
                self.record.write(text, micros, context, &mut self.rows);
                self.rows.end_row(self.line);
            }
            Err(reason) => self.reject(tally, reason, raw),
        }
    }

    #[cold]
    fn reject(&mut self, tally: &mut Tally, reason: impl Into<String>, raw: &[u8]) {
        self.line += 1;
        tally.reject(self.line, reason, raw.trim_ascii_end());
    }
}

impl Context {
    /// The same, with what `other` tells where this does not.
    fn or(self, other: &Context) -> Context {
        Context {
            account: self.account.or_else(|| other.account.clone()),
            region: self.region.or_else(|| other.region.clone()),
            time: self.time.or(other.time),
        }
    }
}

impl Shape {
    fn is_list(&self, key: &[u8]) -> bool {
        self.lists.iter().any(|list| list.as_bytes() == key)
    }
}

impl Follow {
    /// Where to go on.
    fn place(self, bytes: &[u8]) -> usize {
        match self {
            Follow::Next(at) | Follow::Close(at) => at,
            Follow::End | Follow::Wait | Follow::Junk(_) => bytes.len(),
        }
    }
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

/// What comes after the element that ends at `end`.
fn after_element(bytes: &[u8], end: usize, is_object: bool, last: bool) -> Follow {
    let next = json::skip_space(bytes, end);
    match bytes.get(next) {
        None if last => Follow::End,
        None => Follow::Wait,
        Some(b']') => Follow::Close(next),
        Some(b',') => {
            let element = json::skip_space(bytes, next + 1);
            match bytes.get(element) {
                None if !last => Follow::Wait,
                // A key: the object was closed too early, and its members go on.
                Some(b'"') if is_object => Follow::Junk(next),
                _ => Follow::Next(element),
            }
        }
        Some(_) => Follow::Junk(next),
    }
}

/// The key behind the comma at `comma`, and where its value begins.
fn member_after(bytes: &[u8], comma: usize) -> Result<(Range<usize>, usize), Fault> {
    let expect = |pos: usize, byte: u8, what: What| match bytes.get(pos) {
        Some(&found) if found == byte => Ok(pos),
        Some(_) => Err(Fault { pos, what }),
        None => Err(Fault { pos, what: What::End }),
    };
    let quote = expect(json::skip_space(bytes, comma + 1), b'"', What::Key)?;
    let end = json::skip_value(bytes, quote)?;
    let colon = expect(json::skip_space(bytes, end), b':', What::Colon)?;
    Ok((quote + 1..end - 1, json::skip_space(bytes, colon + 1)))
}

/// The reason for a reject of `bytes[start..end]`, with the place counted from its start.
#[cold]
fn reason(fault: Fault, start: usize, bytes: &[u8], end: usize) -> String {
    let at = fault.pos - start;
    match bytes.get(fault.pos) {
        _ if fault.what == What::End && bytes[end..].trim_ascii().is_empty() => {
            format!("cut off at byte {at}, inside a record")
        }
        Some(&found) => {
            let shown = if found.is_ascii() {
                char::from(found).escape_debug().to_string()
            } else {
                format!("\\x{found:x}")
            };
            format!("{} at byte {at}, found '{shown}'", fault.what)
        }
        None => format!("{} at byte {at}", fault.what),
    }
}
