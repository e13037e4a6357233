//! Logs of containers (and whatever else writes to CloudWatch Logs): one row for each event.
//!
//! They come in three shapes, told apart by content:
//! - lines, as an export to S3 writes them (`2025-11-20T07:05:09.123Z message`)
//!   and as `aws logs tail` prints them; a line that does not begin with a time
//!   belongs to the event before it;
//! - envelopes, as a subscription filter delivers them: JSON documents, one behind
//!   the other, also packed into `awslogs.data` as a Lambda function gets them;
//! - output of `aws logs filter-log-events` and `get-log-events`, whole, as the
//!   bare list, or as one event on each line.
//!
//! `_line` is the line of the object on which the event begins, so an editor finds
//! it; in JSON it is the number of the event, counting control messages and
//! rejects too.
//!
//! A message is kept as it is, less the line end behind it: control characters
//! stay, and whoever shows them makes them visible.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::block::Block;
use crate::column::Column;
use crate::column::Kind::{Json, Text as Txt, Time};
use crate::formats::{Format, OptionError, OptionInfo, Parser, Progress, Refusal, Setup, Timeline};
use crate::json;
use crate::rows::Rows;
use crate::tally::Tally;

mod envelope;
mod export;
mod multiline;
mod refusal;
mod stream;

use envelope::Documents;
use export::Lines;
use multiline::{Held, Joiner};
use stream::{Origin, Place, Stream};

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column::new("event_time", Time, "timestamp", "When the event was logged: the log driver's time, not one in the message. Of joined events the first's."),
    Column::new("log_group", Txt, "logGroup", "Log group. Exports and output of `aws logs` do not name it."),
    Column::new("log_stream", Txt, "logStream", "Log stream. Of an export its folder, where dashes stand for the slashes of the name."),
    Column::new("stream_prefix", Txt, "", "Prefix that the task definition sets, from the stream's name `prefix/container/task-id`. Of an export only if neither prefix nor container have dashes."),
    Column::new("container_name", Txt, "", "Container in its task definition, from the stream's name; see `stream_prefix`."),
    Column::new("task_id", Txt, "", "ECS task, from the stream's name. NULL where the stream is a Docker container id."),
    Column::new("message", Txt, "message", "What was logged, with line feeds within, without the one at its end."),
    Column::new("event_id", Txt, "id", "Id that CloudWatch Logs gave, the same however often an event is delivered. Exports do not have it."),
    Column::new("ingestion_time", Time, "ingestionTime", "When CloudWatch Logs took the event in. Only in output of `aws logs`."),
    Column::new("account_id", Txt, "owner", "Account of the log group; from the object's path if the log does not tell."),
    Column::new("region", Txt, "", "Region, if the object's path tells."),
    Column::new("subscription_filters", Json, "subscriptionFilters", "Names of the subscription filters that delivered the event."),
    Column::new("extra", Json, "", "All other members of envelope and event, such as `policyLevel` and `extractedFields`."),
];

const EVENT_TIME: usize = 0;
const LOG_GROUP: usize = 1;
const LOG_STREAM: usize = 2;
const STREAM_PREFIX: usize = 3;
const CONTAINER_NAME: usize = 4;
const TASK_ID: usize = 5;
const MESSAGE: usize = 6;
const EVENT_ID: usize = 7;
const INGESTION_TIME: usize = 8;
const ACCOUNT_ID: usize = 9;
const REGION: usize = 10;
const SUBSCRIPTION_FILTERS: usize = 11;
const EXTRA: usize = 12;

/// An event must begin within so many bytes of an object of lines: exports may
/// begin with the rest of an event, other texts may have times anywhere.
const FIRST_EVENT_WITHIN_BYTES: usize = 64 << 10;

/// Bytes of messages at which a batch is cut even if it has few rows: events
/// may have a megabyte each.
const BATCH_MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Events of CloudWatch Logs, foremost of containers that log with `awslogs`.
#[derive(Debug)]
pub struct ContainerLogs;

impl Format for ContainerLogs {
    fn name(&self) -> &'static str {
        "container_logs"
    }

    fn about(&self) -> &'static str {
        "Events of CloudWatch Logs, as containers write them with the awslogs driver: exports to S3, subscription \
         envelopes, output of aws logs. Not in these logs: what a non-blocking driver dropped when its buffer was \
         full, and what a paused subscription skipped. Exports are not sorted. Envelopes may be delivered twice: \
         event_id tells. In exports a message whose second line begins with such a time looks like two events."
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn timeline(&self) -> Timeline {
        Timeline {
            who: "coalesce(container_name, log_stream)",
            what: "message",
            place: "coalesce(task_id, log_group)",
            from: "NULL",
        }
    }

    fn options(&self) -> &'static [OptionInfo] {
        &[
            OptionInfo {
                name: "multiline_pattern",
                about: "Regular expression that is found in the first line of every event. Events in which it is not \
                        found are joined to the one before them in their stream, up to 262,118 bytes and within one \
                        object. As awslogs-multiline-pattern of the log driver.",
            },
            OptionInfo {
                name: "datetime_format",
                about: "The same, as a time format such as `\\[%b %d, %Y %H:%M:%S\\]`, which the log driver calls \
                        awslogs-datetime-format, with its table of sequences. Not together with multiline_pattern.",
            },
        ]
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        let refuse = |name: &str, reason: String| OptionError {
            format: "container_logs",
            name: name.to_owned(),
            reason,
        };
        let mut joiner = None;
        for (name, value) in &setup.options {
            let pattern = match name.as_str() {
                "multiline_pattern" => multiline::pattern(value),
                "datetime_format" => multiline::datetime_pattern(value),
                _ => Err(
                    "there is no such option; there are `multiline_pattern` and `datetime_format`".to_owned(),
                ),
            };
            let pattern = pattern.map_err(|reason| refuse(name, reason))?;
            if joiner.replace(Joiner::new(pattern)).is_some() {
                return Err(refuse(
                    name,
                    "`multiline_pattern` and `datetime_format` exclude each other".to_owned(),
                ));
            }
        }
        Ok(Box::new(ContainerLogsParser::new(&setup, joiner)))
    }
}

/// Whether a step of a reader took anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progressed {
    Yes,
    /// Nothing whole is left in the block.
    No,
}

/// Text of an event.
#[derive(Debug)]
enum Text<'a> {
    /// A part of the block.
    Span(Range<usize>),
    /// The inside of a JSON string, unescaped only if somebody asks for it.
    Escaped(&'a [u8]),
    /// From elsewhere.
    Own(&'a str),
}

impl Text<'_> {
    fn into_string(self, bytes: &[u8]) -> String {
        match self {
            Text::Span(span) => String::from_utf8_lossy(&bytes[span]).into_owned(),
            Text::Escaped(inner) => json::unescape(inner).into_owned(),
            Text::Own(text) => text.to_owned(),
        }
    }

    fn set(&self, rows: &mut Rows, column: usize, bytes: &[u8]) {
        match self {
            Text::Span(span) => rows.set_span(column, bytes, span.start, span.end),
            Text::Escaped(inner) if rows.wants(column) => rows.set_text(column, &json::unescape(inner)),
            Text::Escaped(_) => {}
            Text::Own(text) => rows.set_text(column, text),
        }
    }

    fn len(&self) -> usize {
        match self {
            Text::Span(span) => span.len(),
            Text::Escaped(inner) => inner.len(),
            Text::Own(text) => text.len(),
        }
    }
}

/// One event, as far as it is its own.
#[derive(Debug)]
struct Event<'a> {
    line: u64,
    /// Microseconds since the epoch.
    time: i64,
    ingested: Option<i64>,
    message: Text<'a>,
    id: Option<Text<'a>>,
    /// Members without a column: name with quotes, value as JSON.
    extra: Vec<(&'a str, &'a str)>,
}

/// Makes rows of events.
struct Sink {
    rows: Rows,
    joiner: Option<Joiner>,
    /// What the object's path tells.
    place: Place,
    origin: Arc<Origin>,
    /// Lines or records so far; each reader counts its own.
    line: u64,
    batch_rows: usize,
    message_bytes: usize,
}

impl Sink {
    /// All that follows comes from here.
    fn enter(&mut self, origin: Origin) {
        self.origin = Arc::new(origin);
    }

    /// What follows comes from the stream that `stream` makes of `name`.
    fn enter_stream(&mut self, name: &str, stream: impl FnOnce(String) -> Stream) {
        if self.origin.stream_name() != Some(name) {
            Arc::make_mut(&mut self.origin).stream = Some(stream(name.to_owned()));
        }
    }

    /// What follows comes from a stream that is not known.
    fn leave_stream(&mut self) {
        if self.origin.stream.is_some() {
            Arc::make_mut(&mut self.origin).stream = None;
        }
    }

    /// Whether the batch has room for a row, once what waits for it is in.
    fn has_room(&mut self) -> bool {
        let is_full =
            |sink: &Sink| sink.rows.len() >= sink.batch_rows || sink.message_bytes >= BATCH_MESSAGE_BYTES_MAX;
        while !is_full(self) {
            match self.joiner.as_mut().and_then(Joiner::pop) {
                Some(held) => self.write_held(&held),
                None => return true,
            }
        }
        false
    }

    /// Takes the next event; `bytes` are the block's.
    fn event(&mut self, bytes: &[u8], event: Event<'_>, tally: &mut Tally) {
        let time = event.time;
        let begins = match &mut self.joiner {
            None => {
                let extra = self
                    .rows
                    .wants(EXTRA)
                    .then(|| merged(&self.origin, &event.extra))
                    .flatten();
                let origin = Arc::clone(&self.origin);
                self.write(bytes, &origin, &event, extra.as_deref());
                true
            }
            Some(joiner) => joiner.add(Held {
                line: event.line,
                time,
                ingested: event.ingested,
                extra: merged(&self.origin, &event.extra),
                message: event.message.into_string(bytes),
                id: event.id.map(|id| id.into_string(bytes)),
                origin: Arc::clone(&self.origin),
            }),
        };
        // Counted when it begins: a row that still grows is lost by no end of the input.
        if begins {
            tally.rows += 1;
            tally.see(time);
        }
    }

    fn write_held(&mut self, held: &Held) {
        let event = Event {
            line: held.line,
            time: held.time,
            ingested: held.ingested,
            message: Text::Own(&held.message),
            id: held.id.as_deref().map(Text::Own),
            extra: Vec::new(),
        };
        self.write(&[], &held.origin, &event, held.extra.as_deref());
    }

    fn write(&mut self, bytes: &[u8], origin: &Origin, event: &Event<'_>, extra: Option<&str>) {
        self.message_bytes += event.message.len();
        let rows = &mut self.rows;
        let stream = origin.stream.as_ref();
        rows.set_time(EVENT_TIME, event.time);
        event.message.set(rows, MESSAGE, bytes);
        if let Some(id) = &event.id {
            id.set(rows, EVENT_ID, bytes);
        }
        if let Some(ingested) = event.ingested {
            rows.set_time(INGESTION_TIME, ingested);
        }
        for (column, value) in [
            (LOG_GROUP, origin.group.as_deref()),
            (LOG_STREAM, origin.stream_name()),
            (STREAM_PREFIX, stream.and_then(Stream::prefix)),
            (CONTAINER_NAME, stream.and_then(Stream::container)),
            (TASK_ID, stream.and_then(Stream::task)),
            (
                ACCOUNT_ID,
                origin.account.as_deref().or(self.place.account.as_deref()),
            ),
            (REGION, self.place.region.as_deref()),
            (SUBSCRIPTION_FILTERS, origin.filters.as_deref()),
            (EXTRA, extra),
        ] {
            if let Some(value) = value {
                rows.set_text(column, value);
            }
        }
        rows.end_row(event.line);
    }
}

/// Members of document and event as one object; where both have one, the event's.
fn merged(origin: &Origin, event: &[(&str, &str)]) -> Option<String> {
    let of_origin = origin
        .extra
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut object = String::new();
    for (name, value) in of_origin
        .filter(|(name, _)| event.iter().all(|(other, _)| other != name))
        .chain(event.iter().copied())
    {
        object.push(if object.is_empty() { '{' } else { ',' });
        object.push_str(name);
        object.push(':');
        push_compact(&mut object, value);
    }
    (!object.is_empty()).then(|| object + "}")
}

/// Appends JSON without the white space that printing has put into it: the same
/// value is to be the same text, however it came.
fn push_compact(to: &mut String, json: &str) {
    let mut in_string = false;
    let mut is_escaped = false;
    to.extend(json.chars().filter(|&char| {
        if in_string {
            in_string = is_escaped || char != '"';
            is_escaped = char == '\\' && !is_escaped;
            true
        } else {
            in_string = char == '"';
            !matches!(char, ' ' | '\t' | '\n' | '\r')
        }
    }));
}

/// What the object holds.
enum Content {
    /// Too few bytes were seen to tell.
    Untold,
    Lines(Lines),
    Documents(Documents),
}

struct ContainerLogsParser {
    content: Content,
    sink: Sink,
    /// The last call ended because the batch is full, so more calls follow.
    is_batch_full: bool,
}

impl ContainerLogsParser {
    fn new(setup: &Setup, joiner: Option<Joiner>) -> Self {
        ContainerLogsParser {
            content: Content::Untold,
            sink: Sink {
                rows: Rows::new(COLUMNS, setup),
                joiner,
                place: Place::of(&setup.source),
                origin: Arc::default(),
                line: 0,
                batch_rows: setup.batch_rows.max(1),
                message_bytes: 0,
            },
            is_batch_full: false,
        }
    }

    fn run(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Result<Progress, Refusal> {
        let mut is_end_told = false;
        loop {
            if !self.sink.has_room() {
                return Ok(Progress::BatchFull);
            }
            let progressed = match &mut self.content {
                Content::Untold => self.tell(block, last, tally)?,
                Content::Lines(lines) => lines.step(block, last, &mut self.sink, tally),
                Content::Documents(documents) => {
                    let mut pos = block.pos;
                    let progressed = documents.step(block.bytes(), &mut pos, last, &mut self.sink, tally)?;
                    block.pos = pos;
                    progressed
                }
            };
            match (progressed, &mut self.sink.joiner) {
                (Progressed::Yes, _) => {}
                (Progressed::No, Some(joiner)) if last && !is_end_told => {
                    joiner.end();
                    is_end_told = true;
                }
                (Progressed::No, _) => return Ok(Progress::NeedsInput),
            }
        }
    }

    /// Tells what the object holds, from its front.
    fn tell(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Result<Progressed, Refusal> {
        if self.sink.place.is_write_test {
            return Err(Refusal::new(
                "not logs: the object with which CloudWatch Logs tries an export's bucket",
            ));
        }
        let rest = block.rest();
        match export::find_first(rest, last, FIRST_EVENT_WITHIN_BYTES) {
            Err(export::NeedsMore) => return Ok(Progressed::No),
            Ok(Some((at, style))) => {
                self.begin_lines(block, at, style, tally);
            }
            Ok(None) if looks_like_json(rest) => self.content = Content::Documents(Documents::new()),
            Ok(None) if rest.trim_ascii().is_empty() && last => {
                block.pos = block.bytes().len();
                return Ok(Progressed::No);
            }
            Ok(None) => return Err(refusal::of_content(rest)),
        }
        Ok(Progressed::Yes)
    }

    /// The object is lines, of which the first that begins an event is at `at`.
    fn begin_lines(&mut self, block: &mut Block, at: usize, style: export::Style, tally: &mut Tally) {
        let before = &block.rest()[..at];
        if !before.trim_ascii().is_empty() {
            let raw = export::without_line_end(before);
            tally.reject(1, "continuation line before the first event", raw);
        }
        self.sink.line += export::line_count(before);
        block.pos += at;
        let stream = self.sink.place.folder.clone().map(Stream::of_folder);
        self.sink.enter(Origin {
            stream,
            ..Origin::default()
        });
        self.content = Content::Lines(Lines::new(style));
    }
}

fn looks_like_json(bytes: &[u8]) -> bool {
    let start = json::skip_space(bytes, 0);
    let next = bytes.get(json::skip_space(bytes, start + 1));
    let begins_like_json = match bytes.get(start) {
        Some(b'{') => matches!(next, Some(b'"' | b'}')),
        Some(b'[') => matches!(next, Some(b'{' | b']')),
        _ => false,
    };
    // What is broken at its first byte costs one document, not the object.
    let head = &bytes[..bytes.len().min(FIRST_EVENT_WITHIN_BYTES)];
    begins_like_json || memchr::memmem::find(head, envelope::ENVELOPE_START).is_some()
}

impl Parser for ContainerLogsParser {
    fn parse(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Result<Progress, Refusal> {
        let rows_before = self.sink.rows.len();
        self.sink.rows.open(block);
        let outcome = self.run(block, last, tally);
        if self.sink.rows.len() > rows_before {
            self.sink.rows.close(block);
        }
        self.is_batch_full = outcome == Ok(Progress::BatchFull);
        outcome
    }

    fn skip_oversized(&mut self, block: &mut Block, tally: &mut Tally) {
        match &mut self.content {
            Content::Untold => {
                // The caller holds less than it takes to be sure: be content with that.
                // Only if it still is one record too large, this is called again.
                if self.tell(block, true, tally).is_err() {
                    self.begin_lines(block, 0, export::Style::Export, tally);
                }
            }
            Content::Lines(lines) => lines.skip_oversized(block, &mut self.sink, tally),
            Content::Documents(documents) => documents.skip_oversized(block, &mut self.sink, tally),
        }
    }

    /// Events that still grow are rows too, unless more input is sure to come:
    /// of an object that is cut off no end is ever told.
    fn rows(&self) -> usize {
        let held = self.sink.joiner.as_ref().map_or(0, Joiner::len);
        self.sink.rows.len() + if self.is_batch_full { 0 } else { held }
    }

    fn flush(&mut self) -> RecordBatch {
        if !self.is_batch_full
            && let Some(mut joiner) = self.sink.joiner.take()
        {
            joiner.end();
            while let Some(held) = joiner.pop() {
                self.sink.write_held(&held);
            }
            self.sink.joiner = Some(joiner);
        }
        self.sink.message_bytes = 0;
        self.is_batch_full = false;
        self.sink.rows.flush()
    }

    fn line(&self) -> u64 {
        self.sink.line
    }
}

#[cfg(test)]
mod tests;
