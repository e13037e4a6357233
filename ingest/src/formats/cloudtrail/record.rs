//! One JSON object: where its members lie, and what kind of record it is.

use std::ops::Range;

use super::fields::Field::{self, *};
use super::time;
use crate::json::{self, Fault, Members};

/// Longest piece of a log's own text that a reason quotes, in characters.
const QUOTED_CHARS_MAX: usize = 40;

/// Most keys that a reason lists.
const KEYS_LISTED_MAX: usize = 8;

/// Where a value lies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    /// The bytes that lie there.
    #[inline]
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start..self.end]
    }
}

impl From<Range<usize>> for Span {
    #[inline]
    fn from(range: Range<usize>) -> Self {
        Span {
            start: range.start,
            end: range.end,
        }
    }
}

/// How far [`Record::walk`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walked {
    /// To the end of the object.
    Whole {
        /// Where it ends.
        end: usize,
    },
    /// To the bracket of a `Records` array, which is read element by element.
    Records {
        /// Where the bracket is.
        bracket: usize,
    },
    /// To a member that says that this object is of another kind.
    Foreign(&'static str),
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Class {
    /// A CloudTrail record.
    Event,
    /// An EventBridge envelope around the record at this place.
    EventBridge(Range<usize>),
    /// A CloudWatch Logs subscription envelope around the events in the array at this place.
    Subscription(Range<usize>),
    /// A subscription's probe, without events.
    Control,
    /// Another kind of object: if the log begins with it, all of it is.
    Foreign(&'static str),
    /// None of these, and why.
    Unknown(String),
}

pub(super) const DIGEST: &str = "CloudTrail digest file, not events";
pub(super) const CONFIG: &str = "AWS Config snapshot or history, not CloudTrail events";
pub(super) const S3_NOTICE: &str =
    "S3 event notifications, not CloudTrail events: they name the objects to read";
pub(super) const S3_TEST: &str = "S3 test notification, not CloudTrail events";

/// The members of one object. Kept from record to record, so that none allocates.
pub(super) struct Record {
    /// Fields that have a span.
    seen: u64,
    spans: [Span; Field::COUNT],
    others: Vec<Range<usize>>,
    start: usize,
    members: usize,
    inside: Inside,
}

/// What the columns that are built need beyond the top-level members with a column of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inside {
    /// Members of `userIdentity`.
    pub(super) identity: bool,
    /// Members of `additionalEventData`.
    pub(super) additional: bool,
    /// Members without a column of their own.
    pub(super) others: bool,
}

impl Record {
    /// Room for records, of which `inside` will be looked at.
    pub(super) fn new(inside: Inside) -> Self {
        Record {
            seen: 0,
            spans: [Span::default(); Field::COUNT],
            others: Vec::new(),
            start: 0,
            members: 0,
            inside,
        }
    }

    /// Notes where the members of the object at `start` lie, and checks all of it.
    ///
    /// `document` says that the object stands by itself: then it may also be the
    /// object around `Records`, or the head of another kind of file, and
    /// the walk ends where that shows. Of two members with one key the first
    /// counts, the other goes to `extra`.
    pub(super) fn walk(&mut self, bytes: &[u8], start: usize, document: bool) -> Result<Walked, Fault> {
        self.seen = 0;
        self.start = start;
        self.members = 0;
        self.others.clear();
        let mut members = Members::new(bytes, start)?;
        while let Some(key) = members.next_key()? {
            self.members += 1;
            let field = Field::of_record(&bytes[key.clone()]).filter(|&field| !self.has(field));
            let value = match field {
                Some(UserIdentity) if self.inside.identity && members.peek() == b'{' => {
                    self.walk_identity(bytes, &mut members)?
                }
                Some(AdditionalEventData) if self.inside.additional && members.peek() == b'{' => {
                    self.walk_members(bytes, &mut members, Field::of_additional)?
                }
                Some(Records) if document && members.peek() == b'[' => {
                    return Ok(Walked::Records {
                        bracket: members.pos(),
                    });
                }
                Some(DigestStartTime) if document && !self.is_event() => return Ok(Walked::Foreign(DIGEST)),
                Some(ConfigurationItems) if document && !self.is_event() => {
                    return Ok(Walked::Foreign(CONFIG));
                }
                _ => members.skip()?,
            };
            if field.is_none_or(|field| !field.has_column()) && self.inside.others {
                self.others.push(key.start - 1..value.end);
            }
            if let Some(field) = field {
                self.set(field, value);
            }
        }
        if !self.is_aggregated() {
            // Members of these names mean something in aggregated events only.
            self.seen &= !(AccountId.bit() | SmallEventId.bit());
        }
        Ok(Walked::Whole { end: members.pos() })
    }

    fn walk_identity(&mut self, bytes: &[u8], outside: &mut Members<'_>) -> Result<Range<usize>, Fault> {
        let start = outside.pos();
        let mut members = outside.enter()?;
        let mut sessions = 0;
        while let Some(key) = members.next_key()? {
            let key = &bytes[key];
            if key == b"sessionContext" && members.peek() == b'{' && sessions == 0 {
                sessions += 1;
                self.walk_session(bytes, &mut members)?;
            } else {
                let value = members.skip()?;
                self.set_first(Field::of_identity(key), value);
            }
        }
        outside.leave(&members);
        Ok(start..members.pos())
    }

    fn walk_session(&mut self, bytes: &[u8], outside: &mut Members<'_>) -> Result<(), Fault> {
        let mut members = outside.enter()?;
        let (mut issuers, mut attributes) = (0, 0);
        while let Some(key) = members.next_key()? {
            let key = &bytes[key];
            if key == b"sessionIssuer" && members.peek() == b'{' && issuers == 0 {
                issuers += 1;
                self.walk_members(bytes, &mut members, Field::of_issuer)?;
            } else if key == b"attributes" && members.peek() == b'{' && attributes == 0 {
                attributes += 1;
                self.walk_members(bytes, &mut members, Field::of_attributes)?;
            } else {
                let value = members.skip()?;
                self.set_first(Field::of_session(key), value);
            }
        }
        outside.leave(&members);
        Ok(())
    }

    /// Notes the members of an object that has no objects of interest inside.
    #[inline(always)]
    fn walk_members(
        &mut self,
        bytes: &[u8],
        outside: &mut Members<'_>,
        field_of: fn(&[u8]) -> Option<Field>,
    ) -> Result<Range<usize>, Fault> {
        let start = outside.pos();
        let mut members = outside.enter()?;
        while let Some(key) = members.next_key()? {
            let value = members.skip()?;
            self.set_first(field_of(&bytes[key]), value);
        }
        outside.leave(&members);
        Ok(start..members.pos())
    }

    #[inline]
    fn set(&mut self, field: Field, value: Range<usize>) {
        self.seen |= field.bit();
        self.spans[field as usize] = value.into();
    }

    #[inline]
    fn set_first(&mut self, field: Option<Field>, value: Range<usize>) {
        if let Some(field) = field
            && !self.has(field)
        {
            self.set(field, value);
        }
    }

    #[inline]
    pub(super) fn has(&self, field: Field) -> bool {
        self.seen & field.bit() != 0
    }

    /// The value of a field, if the record has it.
    #[inline]
    pub(super) fn span(&self, field: Field) -> Option<Span> {
        self.has(field).then(|| self.spans[field as usize])
    }

    /// The value of a field, if the record has it and it is not null.
    #[inline]
    pub(super) fn value(&self, field: Field, bytes: &[u8]) -> Option<Span> {
        self.span(field).filter(|span| bytes[span.start] != b'n')
    }

    /// The raw value of a field, `b""` if the record does not have it.
    pub(super) fn raw<'a>(&self, field: Field, bytes: &'a [u8]) -> &'a [u8] {
        self.span(field).map_or(b"", |span| span.of(bytes))
    }

    /// Whether the object has what only CloudTrail records have.
    fn is_event(&self) -> bool {
        const NAMED: u64 = EventName.bit() | EventSource.bit() | EventId.bit();
        const TIMED: u64 = EventTime.bit() | SmallEventId.bit();
        self.seen & NAMED != 0 || self.has(TimeWindow) && self.seen & TIMED != 0
    }

    fn is_aggregated(&self) -> bool {
        self.has(TimeWindow) && !self.has(EventId)
    }

    /// Whether the object has no members at all.
    pub(super) fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// Members, each with its key, that have no column of their own; none if the
    /// column for them is not built.
    pub(super) fn others(&self) -> &[Range<usize>] {
        &self.others
    }

    /// What the object is whose members were walked last.
    pub(super) fn class(&self, bytes: &[u8]) -> Class {
        if self.has(S3) && self.raw(EventSource, bytes) == b"\"aws:s3\"" {
            return Class::Foreign(S3_NOTICE);
        }
        if self.is_event() {
            return Class::Event;
        }
        self.class_of_other(bytes)
    }

    #[cold]
    fn class_of_other(&self, bytes: &[u8]) -> Class {
        if let (Some(name), Some(detail)) = (json::string(self.raw(DetailType, bytes)), self.span(Detail)) {
            if !name.ends_with("via CloudTrail") {
                return Class::Unknown(format!(
                    "EventBridge event of type {}, not a CloudTrail record",
                    quoted(&name)
                ));
            }
            if bytes[detail.start] != b'{' {
                return Class::Unknown("the detail of this EventBridge event is not an object".to_owned());
            }
            return Class::EventBridge(detail.start..detail.end);
        }
        if self.has(MessageType) {
            let events = self.span(LogEvents);
            return match (self.raw(MessageType, bytes), events) {
                (b"\"CONTROL_MESSAGE\"", _) => Class::Control,
                (b"\"DATA_MESSAGE\"", Some(events)) if bytes[events.start] == b'[' => {
                    Class::Subscription(events.start..events.end)
                }
                (b"\"DATA_MESSAGE\"", _) => Class::Unknown(
                    "CloudWatch Logs subscription message without a logEvents array".to_owned(),
                ),
                (other, _) => Class::Unknown(format!(
                    "CloudWatch Logs subscription message of unknown type {}",
                    quoted(&String::from_utf8_lossy(other))
                )),
            };
        }
        if let Some(records) = self.span(Records) {
            let kind = json::Kind::of(records.of(bytes)).in_words();
            return Class::Unknown(format!("Records is {kind}, not an array"));
        }
        if self.raw(S3TestEvent, bytes) == b"\"s3:TestEvent\"" {
            return Class::Foreign(S3_TEST);
        }
        if self.has(DigestStartTime) {
            return Class::Foreign(DIGEST);
        }
        if self.has(ConfigurationItems) {
            return Class::Foreign(CONFIG);
        }
        Class::Unknown(no_record(bytes, self.start))
    }

    /// The time of the event, in microseconds since the epoch.
    ///
    /// # Errors
    /// Why it cannot be told.
    #[inline]
    pub(super) fn event_time(&self, bytes: &[u8]) -> Result<i64, String> {
        if let Some(span) = self.span(EventTime)
            && let Some(micros) = time_of(span.of(bytes))
        {
            return Ok(micros);
        }
        self.event_time_elsewhere(bytes)
    }

    #[cold]
    fn event_time_elsewhere(&self, bytes: &[u8]) -> Result<i64, String> {
        let (name, span) = if let Some(span) = self.span(EventTime) {
            ("eventTime", span)
        } else if let Some(window) = self.span(TimeWindow) {
            let start = json::member(bytes, window.start, b"windowStart");
            (
                "timeWindow.windowStart",
                start.ok_or("timeWindow.windowStart is missing")?.into(),
            )
        } else if let Some(span) = self.span(Timestamp) {
            ("@timestamp", span)
        } else {
            return Err("eventTime is missing".to_owned());
        };
        let raw = span.of(bytes);
        time_of(raw).ok_or_else(|| {
            format!(
                "{name} {} is not a time such as 2023-07-10T12:03:25Z",
                quoted(&String::from_utf8_lossy(raw))
            )
        })
    }
}

/// The time in a raw value, in microseconds since the epoch.
#[inline]
pub(super) fn time_of(raw: &[u8]) -> Option<i64> {
    time::parse(json::between_quotes(raw)?)
}

/// Whether the valid object at `start` has a key of its own that CloudTrail
/// records, or the envelopes around them, have.
pub(super) fn looks_like_record(bytes: &[u8], start: usize) -> bool {
    let Ok(mut members) = Members::new(bytes, start) else {
        return false;
    };
    while let Ok(Some(key)) = members.next_key() {
        let field = Field::of_record(&bytes[key]);
        if matches!(
            field,
            Some(EventTime | EventVersion | EventId | SmallEventId | DetailType | MessageType | Records)
        ) {
            return true;
        }
        if members.skip().is_err() {
            return false;
        }
    }
    false
}

/// Why the valid object at `start` is no record: the keys that it has instead.
#[cold]
pub(super) fn no_record(bytes: &[u8], start: usize) -> String {
    let mut keys = Vec::new();
    if let Ok(mut members) = Members::new(bytes, start) {
        while let Ok(Some(key)) = members.next_key() {
            if keys.len() == KEYS_LISTED_MAX {
                keys.push("...".to_owned());
                break;
            }
            keys.push(quoted(&json::unescape(&bytes[key])));
            if members.skip().is_err() {
                break;
            }
        }
    }
    match keys.len() {
        0 => "not a CloudTrail record: an object without keys".to_owned(),
        _ => format!("not a CloudTrail record: it has the keys {}", keys.join(", ")),
    }
}

/// A piece of log text for a reason: short, and with nothing that controls a terminal.
#[cold]
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(QUOTED_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        short.push_str("...");
    }
    if text.starts_with('"') {
        short.replace("\\\"", "\"")
    } else {
        format!("\"{short}\"")
    }
}
