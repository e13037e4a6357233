//! The credential audit log of the ECS agent: who asked which role's keys on an instance.
//!
//! ```text
//! <time> <status> <address:port> "<path>" "<user agent>" <task ARN> GetCredentials 2 <cluster> <container instance ARN>
//! <time> <status> <address:port> "<path>" "<user agent>" <task ARN or ->␠
//! ```
//!
//! Requests that failed (400 for an id that is unknown, 503, and 429 for too
//! many requests on any metadata path) have the short form, which ends with a
//! space. The form does not depend on how the file is called, so that rotated
//! files (`audit.log.2025-11-20-07`, `audit.log.3`) read alike. Of numbered
//! files the higher number is the newer.
//!
//! The agent puts path and user agent in quotes but does not escape what is in
//! them, and a client writes the user agent, and the path of a 429, as it likes.
//! Lines are therefore parsed from both ends: time, status and address from the
//! front, ARNs from the back. The column `forgeable` says where that is not
//! enough:
//! - the quoted parts have quotes of their own, so that the line could be split
//!   in another way;
//! - or a line before had a quoted part that did not end: a path can hold a line
//!   feed, and with it whole lines. All lines are under suspicion from there up
//!   to the one that does not parse and ends it, or the end of the object.

use std::ops::Range;

use arrow::array::RecordBatch;

use super::{Format, OptionError, Parser, Progress, Refusal, Setup, Timeline};
use crate::block::Block;
use crate::column::Column;
use crate::column::Kind::{Bool, Int, Text, Time};
use crate::rows::Rows;
use crate::tally::Tally;

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column::new("event_time", Time, "", "When the agent answered, to the second."),
    Column::new("status", Int, "", "Status of the answer: 200, 400 for an id that is unknown, 429 for too many requests, 503."),
    Column::new("source_address", Text, "", "Address that asked: of a container in bridge mode its own, else the instance's."),
    Column::new("source_port", Int, "", "Port that asked."),
    Column::new("path", Text, "", "What was asked for, `/v1/credentials` or `/v2/credentials` without the id; of a 429 any path. The client chooses the latter."),
    Column::new("credentials_version", Int, "", "1 or 2, from `path`; NULL for other paths."),
    Column::new("user_agent", Text, "", "What the client says it is. The client chooses this text."),
    Column::new("task_arn", Text, "", "Task whose keys were asked for; NULL if the agent does not know."),
    Column::new("task_id", Text, "", "End of that ARN, as flow logs and log streams call the task."),
    Column::new("request_type", Text, "", "Whose keys: the task role's, or the execution role's. NULL for requests that failed.").one_of(&["GetCredentials", "GetCredentialsExecutionRole"]),
    Column::new("audit_version", Int, "", "Version of the log's form, 2. NULL for requests that failed."),
    Column::new("cluster", Text, "", "Name of the cluster. NULL for requests that failed."),
    Column::new("container_instance_arn", Text, "", "Container instance. NULL for requests that failed."),
    Column::new("account_id", Text, "", "Account, from the ARNs."),
    Column::new("region", Text, "", "Region, from the ARNs."),
    Column::new("forgeable", Bool, "", "Whether the client may have written more of the line than path and user agent: their text has quotes of its own, or a line before leaves a quote open. Then nothing in the line but time and status is certain, and behind an open quote not even these."),
];

const EVENT_TIME: usize = 0;
const STATUS: usize = 1;
const SOURCE_ADDRESS: usize = 2;
const SOURCE_PORT: usize = 3;
const PATH: usize = 4;
const CREDENTIALS_VERSION: usize = 5;
const USER_AGENT: usize = 6;
const TASK_ARN: usize = 7;
const TASK_ID: usize = 8;
const REQUEST_TYPE: usize = 9;
const AUDIT_VERSION: usize = 10;
const CLUSTER: usize = 11;
const CONTAINER_INSTANCE_ARN: usize = 12;
const ACCOUNT_ID: usize = 13;
const REGION: usize = 14;
const FORGEABLE: usize = 15;

/// Bytes at the head of an object among which an entry must begin before others
/// count as bad lines and not as a file of another kind.
const HEAD_BYTES: usize = 64 << 10;

/// Most bytes of input under one batch. Columns point into the input, so that a
/// batch holds on to it, and a user agent may have a megabyte.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// Longest piece of a first line that a refusal shows, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// The credential audit log of the ECS agent.
#[derive(Debug, Clone, Copy)]
pub struct EcsAudit;

impl Format for EcsAudit {
    fn name(&self) -> &'static str {
        "ecs_audit"
    }

    fn about(&self) -> &'static str {
        "Credential audit log of the ECS agent (/var/log/ecs/audit.log on the instance): one row for each request for \
         the keys of a task's roles, failed ones too. Not in it: Fargate, agents with the log switched off, requests \
         to the instance's own metadata service, and metadata that is read without exceeding the rate limit. User \
         agent and some paths are written by the client, without escaping: see `forgeable`."
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn timeline(&self) -> Timeline {
        Timeline {
            who: "coalesce(task_arn, container_instance_arn)",
            what: "coalesce(request_type, path) || ' ' || cast(status AS varchar)",
            place: "coalesce(container_instance_arn, cluster)",
            from: "source_address",
        }
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        Ok(Box::new(EcsAuditParser {
            rows: Rows::new(COLUMNS, &setup),
            batch_rows: setup.batch_rows.max(1),
            batch_bytes: 0,
            line: 0,
            is_head: true,
            is_skipping: false,
            is_quote_open: false,
        }))
    }
}

struct EcsAuditParser {
    rows: Rows,
    batch_rows: usize,
    /// Bytes consumed since the last flush.
    batch_bytes: usize,
    line: u64,
    /// Nothing was taken yet: the object may still be of another kind.
    is_head: bool,
    /// In a line that is too large.
    is_skipping: bool,
    /// A line before left a quoted part open.
    is_quote_open: bool,
}

impl Parser for EcsAuditParser {
    fn parse(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Result<Progress, Refusal> {
        if self.is_head && !check_head(block, last)? {
            return Ok(Progress::NeedsInput);
        }
        self.is_head = false;
        let rows_before = self.rows.len();
        self.rows.open(block);
        let progress = self.run(block, last, tally);
        if self.rows.len() > rows_before {
            // A block without rows is not held on to.
            self.rows.close(block);
        }
        Ok(progress)
    }

    fn skip_oversized(&mut self, block: &mut Block, tally: &mut Tally) {
        if !self.is_skipping {
            let rest = block.rest();
            self.is_quote_open |= begins_entry(rest);
            self.line += 1;
            tally.reject(self.line, format!("line larger than {} bytes", rest.len()), rest);
        }
        self.is_head = false;
        self.is_skipping = true;
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

/// Refuses an object in whose head no line begins an entry.
/// False: only more input can tell.
fn check_head(block: &Block, last: bool) -> Result<bool, Refusal> {
    let rest = block.rest();
    let head = &rest[..rest.len().min(HEAD_BYTES)];
    // The end of a line is not asked for: a client can make it as long as it likes.
    if !head.split(|&byte| byte == b'\n').any(begins_entry) {
        if !last && rest.len() < HEAD_BYTES {
            return Ok(false);
        }
        if !head.trim_ascii().is_empty() {
            return Err(refusal(head));
        }
    }
    Ok(true)
}

impl EcsAuditParser {
    fn run(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Progress {
        loop {
            if self.rows.len() >= self.batch_rows
                || (self.batch_bytes >= BATCH_BYTES_MAX && !self.rows.is_empty())
            {
                return Progress::BatchFull;
            }
            let start = block.pos;
            let (end, next) = match memchr::memchr(b'\n', block.rest()) {
                Some(length) => (start + length, start + length + 1),
                None if last && !block.rest().is_empty() => (block.bytes().len(), block.bytes().len()),
                None => return Progress::NeedsInput,
            };
            self.batch_bytes += next - start;
            if self.is_skipping {
                self.is_skipping = false;
            } else {
                self.line += 1;
                self.take_line(block.bytes(), start, end, tally);
            }
            block.pos = next;
        }
    }

    fn take_line(&mut self, bytes: &[u8], start: usize, end: usize, tally: &mut Tally) {
        let line = without_line_end(&bytes[start..end]);
        if line.trim_ascii().is_empty() {
            tally.passed += 1;
            return;
        }
        match Entry::of_line(line) {
            Ok(entry) => {
                tally.rows += 1;
                tally.see(entry.time);
                self.write(&entry, bytes, start);
                self.rows.end_row(self.line);
            }
            Err(reason) => {
                // Either this line opens a quoted part, or it ends the one that is open.
                self.is_quote_open = begins_entry(line);
                tally.reject(self.line, reason, line);
            }
        }
    }

    /// Sets the columns; the line of `entry` begins at `start` in the block.
    fn write(&mut self, entry: &Entry<'_>, bytes: &[u8], start: usize) {
        let is_forgeable = self.is_quote_open || entry.is_ambiguous;
        let rows = &mut self.rows;
        let line = entry.line;
        rows.set_time(EVENT_TIME, entry.time);
        rows.set_int(STATUS, entry.status);
        rows.set_bool(FORGEABLE, is_forgeable);
        let mut set = |column: usize, span: &Range<usize>| {
            if !rows.wants(column) || &line[span.clone()] == b"-" {
                return;
            }
            // A client may send what is no UTF-8. That must not keep its line out of the table.
            match simdutf8::basic::from_utf8(&line[span.clone()]) {
                Ok(_) => rows.set_span(column, bytes, start + span.start, start + span.end),
                Err(_) => rows.set_text(column, &String::from_utf8_lossy(&line[span.clone()])),
            }
        };
        set(PATH, &entry.path);
        set(USER_AGENT, &entry.user_agent);
        set(TASK_ARN, &entry.task_arn);
        if let Some(id) = end_of_arn(line, &entry.task_arn) {
            set(TASK_ID, &id);
        }
        let (address, port) = address_and_port(line, &entry.source);
        set(SOURCE_ADDRESS, &address);
        let mut place = place_of_arn(line, &entry.task_arn);
        if let Some(details) = &entry.details {
            set(REQUEST_TYPE, &details.request_type);
            set(CLUSTER, &details.cluster);
            set(CONTAINER_INSTANCE_ARN, &details.container_instance_arn);
            place = place.or_else(|| place_of_arn(line, &details.container_instance_arn));
        }
        if let Some((region, account)) = place {
            set(REGION, &region);
            set(ACCOUNT_ID, &account);
        }
        if let Some(port) = port {
            rows.set_int(SOURCE_PORT, port);
        }
        if let Some(details) = &entry.details {
            rows.set_int(AUDIT_VERSION, details.version);
        }
        match &line[entry.path.clone()] {
            b"/v1/credentials" => rows.set_int(CREDENTIALS_VERSION, 1),
            path if path == b"/v2/credentials" || path.starts_with(b"/v2/credentials/") => {
                rows.set_int(CREDENTIALS_VERSION, 2);
            }
            _ => {}
        }
    }
}

/// One line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry<'a> {
    line: &'a [u8],
    /// Microseconds since the epoch.
    time: i64,
    status: i64,
    source: Range<usize>,
    path: Range<usize>,
    user_agent: Range<usize>,
    /// The quoted parts have quotes of their own.
    is_ambiguous: bool,
    task_arn: Range<usize>,
    /// What only requests have that did not fail.
    details: Option<Details>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    request_type: Range<usize>,
    version: i64,
    cluster: Range<usize>,
    container_instance_arn: Range<usize>,
}

impl<'a> Entry<'a> {
    /// Takes a line apart, from both ends.
    fn of_line(line: &'a [u8]) -> Result<Self, &'static str> {
        let front = Front::of_line(line)?;
        if line.get(front.end) != Some(&b'"') {
            return Err("expected a path in quotes after the address");
        }
        let (quoted_end, task_arn, details) = back(line)?;
        let quoted = line.get(front.end..quoted_end).unwrap_or_default();
        // `"path" "agent"` at the least.
        let (path, user_agent) =
            split_quoted(quoted).ok_or("expected a path and a user agent, each in quotes")?;
        let quotes = quoted.iter().filter(|&&byte| byte == b'"').count();
        let shift = |part: Range<usize>| front.end + part.start..front.end + part.end;
        Ok(Entry {
            line,
            time: front.time,
            status: front.status,
            source: front.source,
            path: shift(path),
            user_agent: shift(user_agent),
            is_ambiguous: quotes > 4,
            task_arn,
            details,
        })
    }
}

/// What a line begins with.
struct Front {
    time: i64,
    status: i64,
    source: Range<usize>,
    /// Where the quoted parts begin.
    end: usize,
}

impl Front {
    fn of_line(line: &[u8]) -> Result<Self, &'static str> {
        let mut spaces = memchr::memchr_iter(b' ', line);
        let mut next = |what| spaces.next().ok_or(what);
        let time_end = next("expected a time, a status and an address")?;
        let time = std::str::from_utf8(&line[..time_end])
            .ok()
            .and_then(|time| chrono::DateTime::parse_from_rfc3339(time).ok())
            .ok_or("expected a time such as 2025-11-20T07:05:09Z at the beginning")?;
        let status_end = next("expected a status after the time")?;
        let status = match line[time_end + 1..status_end] {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => [a, b, c]
                .iter()
                .fold(0, |status, digit| status * 10 + i64::from(digit - b'0')),
            _ => return Err("expected a status of three digits after the time"),
        };
        let source_end = next("expected an address after the status")?;
        if source_end == status_end + 1 || memchr::memchr(b'"', &line[..source_end]).is_some() {
            return Err("expected an address after the status");
        }
        Ok(Front {
            time: time.timestamp_micros(),
            status,
            source: status_end + 1..source_end,
            end: source_end + 1,
        })
    }
}

/// What a line ends with: where the quoted parts end, the task, and the details if it has them.
fn back(line: &[u8]) -> Result<(usize, Range<usize>, Option<Details>), &'static str> {
    // Only the short form ends with a space, but tools that copy lines may cut it off.
    let is_short = line.ends_with(b" ");
    let end = line.trim_ascii_end().len();
    let mut words = WordsFromBack { line, end };
    if !is_short
        && let (
            Some(container_instance_arn),
            Some(cluster),
            Some(version),
            Some(request_type),
            Some(task_arn),
        ) = (
            words.next(),
            words.next(),
            words.next(),
            words.next(),
            words.next(),
        )
        && line[..words.end].ends_with(b"\"")
        && line[request_type.clone()].iter().all(u8::is_ascii_alphabetic)
        && let Some(version) = number(&line[version])
    {
        let details = Details {
            request_type,
            version,
            cluster,
            container_instance_arn,
        };
        return Ok((words.end, task_arn, Some(details)));
    }
    let mut words = WordsFromBack { line, end };
    match words.next() {
        Some(task_arn) if line[..words.end].ends_with(b"\"") => Ok((words.end, task_arn, None)),
        _ => Err(
            "expected, after the quotes, a task, and either nothing or a type, a version, a cluster and a \
                  container instance",
        ),
    }
}

/// Words without quotes, each with one space before it, from the end of a line on.
struct WordsFromBack<'a> {
    line: &'a [u8],
    /// What is left, without the space behind it.
    end: usize,
}

impl Iterator for WordsFromBack<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let space = memchr::memrchr(b' ', &self.line[..self.end])?;
        let word = space + 1..self.end;
        if word.is_empty() || memchr::memchr(b'"', &self.line[word.clone()]).is_some() {
            return None;
        }
        self.end = space;
        Some(word)
    }
}

/// Splits `"path" "agent"`. If more than one split is possible the path is the
/// one that the agent itself writes, else the shortest.
fn split_quoted(quoted: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    const BETWEEN: &[u8] = b"\" \"";
    let inside = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let at = memchr::memmem::find(inside, BETWEEN)?;
    Some((1..1 + at, 1 + at + BETWEEN.len()..1 + inside.len()))
}

/// Whether a line begins as an entry, up to its first quote. If it does not parse
/// then, a line feed was in its quoted parts, and what follows is the client's.
fn begins_entry(line: &[u8]) -> bool {
    Front::of_line(line).is_ok_and(|front| line.get(front.end) == Some(&b'"'))
}

fn number(digits: &[u8]) -> Option<i64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    digits.parse().ok()
}

/// `10.0.0.1:4000` or `[fd00::1]:4000`, taken apart; the address alone if it has no port.
fn address_and_port(line: &[u8], source: &Range<usize>) -> (Range<usize>, Option<i64>) {
    let colon = memchr::memrchr(b':', &line[source.clone()]).map(|colon| source.start + colon);
    let port = colon
        .and_then(|colon| number(&line[colon + 1..source.end]))
        .filter(|port| *port <= i64::from(u16::MAX));
    let mut address = match (colon, port) {
        (Some(colon), Some(_)) => source.start..colon,
        _ => source.clone(),
    };
    if line[address.clone()].starts_with(b"[") && line[address.clone()].ends_with(b"]") {
        address = address.start + 1..address.end - 1;
    }
    (address, port)
}

/// The id at the end of `arn:aws:ecs:region:account:task/cluster/id`.
fn end_of_arn(line: &[u8], arn: &Range<usize>) -> Option<Range<usize>> {
    let slash = memchr::memrchr(b'/', &line[arn.clone()])?;
    let id = arn.start + slash + 1..arn.end;
    (!id.is_empty()).then_some(id)
}

/// Region and account of `arn:aws:ecs:region:account:...`.
fn place_of_arn(line: &[u8], arn: &Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
    if !line[arn.clone()].starts_with(b"arn:") {
        return None;
    }
    let mut colons = memchr::memchr_iter(b':', &line[arn.clone()]).map(|colon| arn.start + colon);
    let (region, account) = (colons.nth(2)? + 1, colons.next()? + 1);
    let end = colons.next()?;
    Some((region..account - 1, account..end))
        .filter(|(region, account)| !region.is_empty() && !account.is_empty())
}

fn without_line_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Refuses an object that begins with `head`.
fn refusal(head: &[u8]) -> Refusal {
    let line = head
        .trim_ascii_start()
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let what = match line {
        [b'{' | b'[', ..] => "it is JSON",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16: convert it to UTF-8",
        _ if line.starts_with(b"level=") || memchr::memmem::find(line, b" msg=").is_some() => {
            "it is the agent's own log (ecs-agent.log), which stands beside audit.log"
        }
        _ if words.len() >= 14 && words[2].starts_with(b"eni-") || words.contains(&&b"srcaddr"[..]) => {
            "it is a VPC flow log: read it as vpc_flow"
        }
        _ if line.contains(&0) || simdutf8::basic::from_utf8(line).is_err() => "it is binary data",
        _ => {
            let shown: String = String::from_utf8_lossy(line)
                .chars()
                .take(SHOWN_CHARS_MAX)
                .collect();
            let reason = Entry::of_line(without_line_end(line)).err().unwrap_or_default();
            return Refusal::new(format!(
                "not an audit log of the ECS agent: no line is an entry; the first is {shown:?} ({reason})"
            ));
        }
    };
    Refusal::new(format!("not an audit log of the ECS agent: {what}"))
}

#[cfg(test)]
mod tests;
