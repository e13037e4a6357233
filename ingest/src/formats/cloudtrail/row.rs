//! The row that a record becomes: only the columns that the query asks for.

use super::columns::{SPECS, Take};
use super::fields::Field::{self, *};
use super::record::{Inside, Record, Span, time_of};
use crate::json;
use crate::rows::Rows;

/// The text that spans point into.
#[derive(Clone, Copy)]
pub(super) enum Text<'a> {
    /// The open block: columns can point into it.
    Block(&'a [u8]),
    /// Text that was unescaped out of the block: columns need a copy.
    Copied(&'a str),
}

impl<'a> Text<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Text::Block(bytes) => bytes,
            Text::Copied(text) => text.as_bytes(),
        }
    }

    /// Sets a column to `start..end` as it is written.
    #[inline]
    fn put(self, rows: &mut Rows, column: usize, start: usize, end: usize) {
        match self {
            Text::Block(bytes) => rows.set_span(column, bytes, start, end),
            Text::Copied(text) => rows.set_text(column, text.get(start..end).unwrap_or_default()),
        }
    }

    /// Sets a column to the text of the value at `span`: strings without quotes
    /// and escapes, other values as they are written.
    #[inline]
    fn put_text(self, rows: &mut Rows, column: usize, span: Span) {
        match json::between_quotes(span.of(self.bytes())) {
            None => self.put(rows, column, span.start, span.end),
            Some(_) => self.put_inner(
                rows,
                column,
                Span {
                    start: span.start + 1,
                    end: span.end - 1,
                },
            ),
        }
    }

    /// Sets a column to the text between the quotes of a string.
    #[inline]
    fn put_inner(self, rows: &mut Rows, column: usize, span: Span) {
        let inner = span.of(self.bytes());
        match memchr::memchr(b'\\', inner) {
            None => self.put(rows, column, span.start, span.end),
            Some(_) => rows.set_text(column, &json::unescape(inner)),
        }
    }
}

/// Writes rows.
pub(super) struct Row {
    /// Each column that is built, by number, and what it takes.
    columns: Vec<(usize, Take)>,
    /// Kept from row to row, so that none allocates.
    extra: String,
}

impl Row {
    /// A row of the columns that `rows` builds.
    pub(super) fn new(rows: &Rows) -> Self {
        let columns = SPECS.iter().enumerate().filter(|&(column, _)| rows.wants(column));
        Row {
            columns: columns.map(|(column, spec)| (column, spec.take)).collect(),
            extra: String::new(),
        }
    }

    /// What the columns need of the members inside members.
    pub(super) fn looks_into(&self) -> Inside {
        let identity = |take: &Take| match take {
            Take::RoleArn | Take::SessionName | Take::Mfa | Take::SessionCreated => true,
            Take::Text(fields) => fields.iter().any(|field| field.is_inside()),
            Take::TextNotEmpty(field) | Take::Json(field) | Take::Bool(field) => field.is_inside(),
            Take::EventTime | Take::EventCategory | Take::Extra => false,
        };
        let takes = || self.columns.iter().map(|(_, take)| take);
        Inside {
            identity: takes().any(identity),
            additional: takes().any(|take| matches!(take, Take::Mfa)),
            others: takes().any(|take| matches!(take, Take::Extra)),
        }
    }

    /// Sets the columns from `record`, whose spans lie in `text`, all of it valid
    /// UTF-8. `micros` is the time of the event.
    #[inline]
    pub(super) fn write(&mut self, record: &Record, text: Text<'_>, micros: i64, rows: &mut Rows) {
        let bytes = text.bytes();
        for &(column, take) in &self.columns {
            match take {
                Take::Text(fields) => {
                    if let Some(span) = fields.iter().find_map(|&field| record.value(field, bytes)) {
                        text.put_text(rows, column, span);
                    }
                }
                Take::TextNotEmpty(field) => {
                    if let Some(span) = record
                        .value(field, bytes)
                        .filter(|span| span.of(bytes) != b"\"\"")
                    {
                        text.put_text(rows, column, span);
                    }
                }
                Take::Json(field) => {
                    if let Some(span) = record.value(field, bytes) {
                        text.put(rows, column, span.start, span.end);
                    }
                }
                Take::Bool(field) => {
                    if let Some(value) = json::boolean(record.raw(field, bytes)) {
                        rows.set_bool(column, value);
                    }
                }
                Take::EventTime => rows.set_time(column, micros),
                Take::RoleArn => {
                    if record.raw(IssuerType, bytes) == b"\"Role\""
                        && let Some(span) = record.value(IssuerArn, bytes)
                    {
                        text.put_text(rows, column, span);
                    }
                }
                Take::SessionName => {
                    if let Some(span) = session_name(record, bytes) {
                        text.put_inner(rows, column, span);
                    }
                }
                Take::Mfa => {
                    if let Some(value) = mfa(record, bytes) {
                        rows.set_bool(column, value);
                    }
                }
                Take::SessionCreated => {
                    if let Some(created) = time_of(record.raw(CreationDate, bytes)) {
                        rows.set_time(column, created);
                    }
                }
                Take::EventCategory => match record.value(EventCategory, bytes) {
                    Some(span) => text.put_text(rows, column, span),
                    None => {
                        if let Some(category) = derived_category(record, bytes) {
                            rows.set_text(column, category);
                        }
                    }
                },
                Take::Extra => {
                    write_extra(record, bytes, &mut self.extra);
                    if !self.extra.is_empty() {
                        rows.set_text(column, &self.extra);
                    }
                }
            }
        }
    }
}

fn mfa(record: &Record, bytes: &[u8]) -> Option<bool> {
    json::boolean(record.raw(MfaAuthenticated, bytes)).or(match record.raw(MfaUsed, bytes) {
        b"\"Yes\"" => Some(true),
        b"\"No\"" => Some(false),
        _ => None,
    })
}

/// The category of a record that does not name it.
fn derived_category(record: &Record, bytes: &[u8]) -> Option<&'static str> {
    if record.has(TimeWindow) || record.raw(EventType, bytes) == b"\"AwsAggregatedEvent\"" {
        Some("Aggregated")
    } else if record.raw(EventType, bytes) == b"\"AwsCloudTrailInsight\"" {
        Some("Insight")
    } else if json::boolean(record.raw(ManagementEvent, bytes)) == Some(true) {
        Some("Management")
    } else {
        None
    }
}

/// The end of `arn:aws:sts::111122223333:assumed-role/role/session`, else of `AROA...:session`.
fn session_name(record: &Record, bytes: &[u8]) -> Option<Span> {
    let end_of = |field: Field, begins: fn(&[u8]) -> Option<usize>| {
        let span = record.span(field)?;
        let inner = json::between_quotes(span.of(bytes))?;
        let from = begins(inner).filter(|&from| from < inner.len())?;
        Some(Span {
            start: span.start + 1 + from,
            end: span.end - 1,
        })
    };
    if let Some(span) = end_of(UserArn, session_in_arn) {
        return Some(span);
    }
    if record.raw(UserType, bytes) != b"\"AssumedRole\"" {
        return None;
    }
    end_of(UserPrincipalId, |id| Some(memchr::memchr(b':', id)? + 1))
}

/// Where the session's name begins in an assumed-role ARN.
fn session_in_arn(arn: &[u8]) -> Option<usize> {
    let resource = memchr::memchr_iter(b':', arn).nth(4)? + 1;
    let role = arn[resource..].strip_prefix(b"assumed-role/")?;
    Some(arn.len() - role.len() + memchr::memrchr(b'/', role)? + 1)
}

/// Makes `extra` the JSON object of all members that no column holds, or nothing.
fn write_extra(record: &Record, bytes: &[u8], extra: &mut String) {
    extra.clear();
    let mut push = |key: &str, raw: &[u8]| {
        extra.push(if extra.is_empty() { '{' } else { ',' });
        extra.push_str(key);
        extra.push_str(&String::from_utf8_lossy(raw));
    };
    // Aggregated events have columns for these two, other records do not.
    let used = [record.span(AccountId), record.span(SmallEventId)];
    for other in record.others() {
        if !used.iter().flatten().any(|used| used.end == other.end) {
            push("", &bytes[other.clone()]);
        }
    }
    for (field, key) in [
        (ReadOnly, "\"readOnly\":"),
        (ManagementEvent, "\"managementEvent\":"),
        (SessionCredentialFromConsole, "\"sessionCredentialFromConsole\":"),
    ] {
        if let Some(span) = record.value(field, bytes)
            && json::boolean(span.of(bytes)).is_none()
        {
            push(key, span.of(bytes));
        }
    }
    if !extra.is_empty() {
        extra.push('}');
    }
}
