//! What an object is: a record, an envelope around records, or something else.

use std::ops::Range;

use super::record::Object;
use super::value::{quoted, time_of};
use super::{Class, Context, Shape};
use crate::json;

/// Most keys that a reason lists.
const KEYS_LISTED_MAX: usize = 8;

/// What an object is, and where what it envelops lies.
#[derive(Debug)]
pub(super) enum Envelope {
    /// A record of the format.
    Record,
    /// An object around records, which are the value here.
    Inside(Range<usize>, Context),
    /// An event of CloudWatch Logs.
    LogEvent,
    /// Events of CloudWatch Logs in the array here.
    LogEvents(Range<usize>, Context),
    /// A probe, or another object that nobody would miss.
    Pass,
    /// An object without members.
    Empty,
    /// Another kind of object: if the log begins with it, all of it is.
    Foreign(String),
    /// No record, and why.
    Reject(String),
    /// No record, and nothing known; why.
    Unknown(String),
}

/// What `object` is, to the format and else by what all formats know.
pub(super) fn envelope(shape: &Shape, object: &Object<'_>) -> Envelope {
    match (shape.class)(object) {
        Class::Record => Envelope::Record,
        Class::Pass => Envelope::Pass,
        Class::Reject(reason) => Envelope::Reject(reason),
        Class::Inside(path) => match object.span(path) {
            Some(value) => Envelope::Inside(value, told_by(object)),
            None => Envelope::Reject(format!("`{path}` is missing")),
        },
        Class::Unknown => known_envelope(shape, object),
    }
}

/// What an EventBridge event tells about the record inside.
fn told_by(object: &Object<'_>) -> Context {
    if !object.has("detail-type") {
        return Context::default();
    }
    Context {
        account: object.text("account").map(Into::into),
        region: object.text("region").map(Into::into),
        time: object.raw("time").and_then(time_of),
    }
}

fn known_envelope(shape: &Shape, object: &Object<'_>) -> Envelope {
    let noun = shape.noun;
    if object.is_empty() {
        return Envelope::Empty;
    }
    if let Some(kind) = object.raw("messageType") {
        return match (kind, object.span("logEvents")) {
            (b"\"CONTROL_MESSAGE\"", _) => Envelope::Pass,
            (b"\"DATA_MESSAGE\"", Some(events)) if object.bytes()[events.start] == b'[' => {
                let context = Context {
                    account: object.text("owner").map(Into::into),
                    ..Context::default()
                };
                Envelope::LogEvents(events, context)
            }
            (b"\"DATA_MESSAGE\"", _) => {
                Envelope::Reject("CloudWatch Logs subscription message without a logEvents array".to_owned())
            }
            (other, _) => Envelope::Reject(format!(
                "CloudWatch Logs subscription message of unknown type {}",
                quoted(&String::from_utf8_lossy(other))
            )),
        };
    }
    if object.text("message").is_some() && object.raw("timestamp").and_then(time_of).is_some() {
        return Envelope::LogEvent;
    }
    if object.text("Type").as_deref() == Some("Notification")
        && let Some(message) = object.span("Message")
    {
        return Envelope::Inside(message, Context::default());
    }
    if let Some(list) = shape.lists.iter().find(|list| object.has(list)) {
        let kind = object
            .raw(list)
            .map_or("null", |raw| json::Kind::of(raw).in_words());
        return Envelope::Reject(format!("{list} is {kind}, not an array"));
    }
    match foreign(object) {
        Some(Foreign::File(what)) => Envelope::Foreign(format!("{what}, not {noun}")),
        Some(Foreign::Record(what)) => Envelope::Unknown(format!("{what}, not {noun}")),
        None => Envelope::Unknown(no_record(noun, object)),
    }
}

/// What an object is that is of another kind.
enum Foreign {
    /// One of a file of its own.
    File(&'static str),
    /// A record or event, among which others may be ours.
    Record(String),
}

fn foreign(object: &Object<'_>) -> Option<Foreign> {
    /// Keys that tell together, and what they tell.
    const FILES: &[(&[&str], &str)] = &[
        (&["digestStartTime"], "a CloudTrail digest"),
        (&["configurationItems"], "an AWS Config snapshot or history"),
        (&["Event", "Bucket"], "an S3 test notification"),
        (&["containerDefinitions"], "an ECS task definition"),
        (&["Statement"], "an IAM policy"),
        (
            &["awslogs"],
            "what a Lambda function gets of CloudWatch Logs: unpack its data first",
        ),
        (&["searchedLogStreams"], "output of aws logs without its events"),
        (&["queryId"], "an answer of CloudWatch Logs Insights"),
    ];
    /// The same for records: table that reads them, what they are.
    const RECORDS: &[(&[&str], &str)] = &[
        (
            &["eventVersion", "eventSource"],
            "a CloudTrail record (read it as cloudtrail)",
        ),
        (
            &["schemaVersion", "accountId", "severity"],
            "a GuardDuty finding (read it as guardduty)",
        ),
        (
            &["SchemaVersion", "AwsAccountId"],
            "a Security Hub finding (read it as security_hub)",
        ),
        (&["class_uid", "metadata"], "an OCSF event"),
        (
            &["trace_id", "start_time"],
            "an X-Ray segment (read it as xray_segments)",
        ),
        (
            &["Type", "ClusterName", "Timestamp"],
            "a Container Insights event (read it as container_insights)",
        ),
    ];
    let has_all = |keys: &[&str]| keys.iter().all(|key| object.has(key));
    if let Some(raw) = object.raw("detail-type") {
        return Some(match (json::string(raw), object.text("source").as_deref()) {
            (Some(kind), Some("aws.ecs")) => Foreign::Record(format!(
                "an EventBridge event {} (read it as ecs_events)",
                quoted(&kind)
            )),
            (Some(kind), _) => Foreign::Record(format!("an EventBridge event {}", quoted(&kind))),
            (None, _) => Foreign::File("an event pattern of EventBridge"),
        });
    }
    if let Some((_, what)) = FILES.iter().find(|(keys, _)| has_all(keys)) {
        return Some(Foreign::File(what));
    }
    RECORDS
        .iter()
        .find(|(keys, _)| has_all(keys))
        .map(|(_, what)| Foreign::Record((*what).to_owned()))
}

/// Why an object is no record: the keys that it has instead.
fn no_record(noun: &str, object: &Object<'_>) -> String {
    let mut keys: Vec<String> = object
        .keys()
        .take(KEYS_LISTED_MAX + 1)
        .map(|key| quoted(&json::unescape(key)))
        .collect();
    if keys.len() > KEYS_LISTED_MAX {
        keys.pop();
        keys.push("...".to_owned());
    }
    format!("not {noun}: it has the keys {}", keys.join(", "))
}

/// Where the message of a CloudWatch Logs event lies, and its time, in microseconds since the epoch.
pub(super) fn message(bytes: &[u8], event: Range<usize>) -> Result<(Range<usize>, Option<i64>), String> {
    let message = json::member(bytes, event.start, b"message")
        .ok_or_else(|| "log event without a message".to_owned())?;
    let time = json::member(bytes, event.start, b"timestamp").and_then(|span| time_of(&bytes[span]));
    Ok((message, time))
}

/// Says what a `Records` array that begins with `head` holds instead.
pub(super) fn of_records(noun: &str, head: &[u8]) -> String {
    let has = |text: &str| memchr::memmem::find(head, text.as_bytes()).is_some();
    let what = if has("\"aws:s3\"") || has("\"aws:sqs\"") || has("\"aws:sns\"") || has("\"aws:kinesis\"") {
        "a notification of AWS about other data"
    } else {
        "CloudTrail records (read them as cloudtrail)"
    };
    format!("{what}, not {noun}")
}

/// Says what an object is that begins with `head`, which is not JSON.
pub(super) fn of_text(noun: &str, head: &[u8]) -> String {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let what = match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16 text: convert it to UTF-8",
        [b'P', b'A', b'R', b'1', ..] => "a Parquet file",
        [b'P', b'K', 3, 4, ..] => "a zip archive: unpack it",
        [0x1f, 0x8b, ..] => "gzip within gzip: unpack it once",
        _ if words.len() > 1 && matches!(words[0], b"version" | b"account-id")
            || words.len() >= 14 && words[2].starts_with(b"eni-") =>
        {
            "a VPC flow log: read it as vpc_flow"
        }
        _ if line.contains(&0) || simdutf8::basic::from_utf8(line).is_err() => "binary data",
        _ => {
            let shown = quoted(&String::from_utf8_lossy(line));
            return format!("not JSON with {noun} in it: it begins with {shown}");
        }
    };
    format!("not JSON with {noun} in it but {what}")
}
