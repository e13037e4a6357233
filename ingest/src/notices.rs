//! Notices that an object was written: what arrives on a queue before a log does.
//!
//! The body of a message goes in, the objects that it announces come out. S3
//! announces objects in three ways (itself, through SNS, through EventBridge),
//! CloudTrail has a fourth of its own, and each may lie in a list of messages as
//! `aws sqs receive-message` prints it or a Lambda function gets it. Which one it
//! is, the content tells; nobody has to configure it.
//!
//! This is a pure function: nothing is fetched, acknowledged or deleted here, and
//! a key is only text. Messages are few and small beside the logs that they
//! announce, so a tree of each is built and thrown away.

use std::fmt;

use serde_json::{Map, Value};

/// Largest body that is read: the most that a Lambda function is given. One
/// message of a queue ends at 1 MiB.
pub const BODY_BYTES_MAX: usize = 6 << 20;

/// Most notices in one body. Lambda takes 10,000 messages at once, of one object each.
const NOTICES_MAX: usize = 100_000;

/// Longest name of a bucket: 63 characters today, 255 for the oldest of us-east-1.
const BUCKET_BYTES_MAX: usize = 255;

/// Longest key of an object, in bytes of UTF-8, by S3's own rule.
const KEY_BYTES_MAX: usize = 1024;

/// Most texts inside each other. A list of messages, of SNS notifications, of S3
/// events has two; no service adds more.
const LAYERS_MAX: usize = 4;

/// Most characters of a foreign text that a reason repeats.
const QUOTED_CHARS_MAX: usize = 64;

/// What CloudTrail publishes when its topic is configured.
const CLOUDTRAIL_TEST: &str = "CloudTrail validation message.";

/// What one message, or one record of it, says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An object was written.
    Object(Object),
    /// The sender tried whether messages arrive. Nothing was written.
    Test,
    /// Something else happened, of which no log comes. Why, in words.
    Ignored(String),
    /// One of several that cannot be read. Its neighbours can, so the message
    /// must neither be dropped nor hold them up.
    Broken(NoticeError),
}

/// An object that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// Bucket that it lies in.
    pub bucket: String,
    /// Its key, decoded: as S3 wants it in a request.
    pub key: String,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Its entity tag: with bucket and key, the identity of what was written.
    pub etag: Option<String>,
    /// Its version, in buckets that keep them.
    pub version_id: Option<String>,
    /// Orders the events of one key, as hexadecimal numbers of any length.
    pub sequencer: Option<String>,
    /// Region of the bucket.
    pub region: Option<String>,
    /// What happened: `ObjectCreated:Put`, or `Object Created` from EventBridge.
    pub event_name: Option<String>,
}

/// A body that announces nothing, and why it cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct NoticeError {
    /// Where in the body, such as `Messages[2].Body.Records[0].s3`.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

/// Reads the body of a message, or a list of messages.
///
/// A list of which only some elements can be read gives [`Notice::Broken`] for
/// the others.
///
/// # Errors
/// Nothing in the body can be read as a notice.
pub fn notices(body: &[u8]) -> Result<Vec<Notice>, NoticeError> {
    let place = Place::root();
    if body.len() > BODY_BYTES_MAX {
        return Err(place.wrong(format!(
            "{} bytes, and notices have at most {BODY_BYTES_MAX}",
            body.len()
        )));
    }
    let mut found = Found::default();
    text(body, &place, 0, &mut found)?;
    if found.is_too_many {
        return Err(place.wrong(format!("announces more than {NOTICES_MAX} objects")));
    }
    let is_broken = |notice: &Notice| matches!(notice, Notice::Broken(_));
    if found.notices.iter().all(is_broken)
        && let Some(Notice::Broken(error)) = found.notices.first()
    {
        return Err(error.clone());
    }
    Ok(found.notices)
}

/// The notices so far.
#[derive(Default)]
struct Found {
    notices: Vec<Notice>,
    is_too_many: bool,
}

impl Found {
    fn push(&mut self, notice: Notice) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(notice);
        } else {
            self.is_too_many = true;
        }
    }
}

/// Where in the body something lies: steps from there to the root, linked so that
/// only an error spells them out.
#[derive(Clone, Copy)]
struct Place<'a> {
    outside: Option<&'a Place<'a>>,
    step: Step,
}

#[derive(Clone, Copy)]
enum Step {
    Root,
    Member(&'static str),
    Element(usize),
}

impl<'a> Place<'a> {
    fn root() -> Self {
        Place {
            outside: None,
            step: Step::Root,
        }
    }

    fn member(&'a self, name: &'static str) -> Place<'a> {
        Place {
            outside: Some(self),
            step: Step::Member(name),
        }
    }

    fn element(&'a self, index: usize) -> Place<'a> {
        Place {
            outside: Some(self),
            step: Step::Element(index),
        }
    }

    fn wrong(&self, reason: impl Into<String>) -> NoticeError {
        NoticeError {
            place: self.to_string(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outside) = self.outside {
            outside.fmt(f)?;
        }
        match self.step {
            Step::Root => f.write_str("message"),
            Step::Member(name) => write!(f, ".{name}"),
            Step::Element(index) => write!(f, "[{index}]"),
        }
    }
}

/// Reads a text: the body itself, or the body of a message inside it.
fn text(json: &[u8], place: &Place<'_>, layer: usize, found: &mut Found) -> Result<(), NoticeError> {
    if layer > LAYERS_MAX {
        return Err(place.wrong(format!("more than {LAYERS_MAX} messages inside each other")));
    }
    if json.trim_ascii() == CLOUDTRAIL_TEST.as_bytes() {
        found.push(Notice::Test);
        return Ok(());
    }
    match serde_json::from_slice(json) {
        Ok(value) => message(&value, place, layer, found),
        Err(error) => Err(place.wrong(format!("not JSON: {error}"))),
    }
}

/// Reads one JSON value, told by the members that it has.
fn message(value: &Value, place: &Place<'_>, layer: usize, found: &mut Found) -> Result<(), NoticeError> {
    let object = match value {
        Value::Object(object) => object,
        Value::Array(elements) => {
            each(elements, place, found, |element, place, found| {
                message(element, place, layer, found)
            });
            return Ok(());
        }
        _ => return Err(place.wrong(format!("expected an object, found {}", in_words(value)))),
    };
    if let Some(list) = object.get("Messages") {
        let place = place.member("Messages");
        each(elements(list, &place)?, &place, found, |element, place, found| {
            message(element, place, layer, found)
        });
        return Ok(());
    }
    if let Some(list) = object.get("Records") {
        let place = place.member("Records");
        each(elements(list, &place)?, &place, found, |element, place, found| {
            record(element, place, layer, found)
        });
        return Ok(());
    }
    for name in ["Body", "body"] {
        if let Some(body) = object.get(name) {
            let place = place.member(name);
            return text(string(body, &place)?.as_bytes(), &place, layer + 1, found);
        }
    }
    if let (Some(Value::String(kind)), Some(_)) = (object.get("Type"), object.get("Message")) {
        return notification(kind, object, place, layer, found);
    }
    if object.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        found.push(Notice::Test);
        return Ok(());
    }
    if object.contains_key("s3ObjectKey") {
        return cloudtrail(object, place, found);
    }
    if object.contains_key("detail-type") {
        found.push(event_bridge(object, place)?);
        return Ok(());
    }
    if object.contains_key("s3") {
        found.push(s3_record(object, place)?);
        return Ok(());
    }
    Err(place.wrong(format!("not a notice of an object: it has {}", keys(object))))
}

/// Reads each of `elements`; one that fails becomes [`Notice::Broken`].
fn each(
    elements: &[Value],
    place: &Place<'_>,
    found: &mut Found,
    mut read: impl FnMut(&Value, &Place<'_>, &mut Found) -> Result<(), NoticeError>,
) {
    for (index, element) in elements.iter().enumerate() {
        if found.is_too_many {
            return;
        }
        if let Err(error) = read(element, &place.element(index), found) {
            found.push(Notice::Broken(error));
        }
    }
}

/// Reads an element of `Records`, the one name that S3, Lambda and CloudTrail share.
fn record(value: &Value, place: &Place<'_>, layer: usize, found: &mut Found) -> Result<(), NoticeError> {
    let Value::Object(object) = value else {
        return Err(place.wrong(format!("expected an object, found {}", in_words(value))));
    };
    if object.contains_key("s3") {
        found.push(s3_record(object, place)?);
        return Ok(());
    }
    if let Some(Value::Object(sns)) = object.get("Sns") {
        let place = place.member("Sns");
        let kind = sns.get("Type").and_then(Value::as_str).unwrap_or("Notification");
        return notification(kind, sns, &place, layer, found);
    }
    if let Some(body) = object.get("body") {
        let place = place.member("body");
        return text(string(body, &place)?.as_bytes(), &place, layer + 1, found);
    }
    if object.contains_key("eventName") && object.contains_key("eventTime") {
        return Err(place.wrong("a CloudTrail record itself, not the notice of a file of them"));
    }
    Err(place.wrong(format!("not a notice of an object: it has {}", keys(object))))
}

/// Reads what SNS wraps around a message, unless the subscription says raw delivery.
fn notification(
    kind: &str,
    sns: &Map<String, Value>,
    place: &Place<'_>,
    layer: usize,
    found: &mut Found,
) -> Result<(), NoticeError> {
    if kind != "Notification" {
        found.push(Notice::Ignored(format!("SNS message of type {}", quoted(kind))));
        return Ok(());
    }
    let place = place.member("Message");
    let message = string(sns.get("Message").unwrap_or(&Value::Null), &place)?;
    text(message.as_bytes(), &place, layer + 1, found)
}

/// Reads one record of an S3 event.
fn s3_record(record: &Map<String, Value>, place: &Place<'_>) -> Result<Notice, NoticeError> {
    // S3 promises that what it adds raises the minor version only.
    if let Some(version) = record.get("eventVersion") {
        let version = string(version, &place.member("eventVersion"))?;
        if version.split('.').next() != Some("2") {
            return Err(place.member("eventVersion").wrong(format!(
                "S3 events of version {} are not known, only of 2.x",
                quoted(version)
            )));
        }
    }
    let name = string(
        record.get("eventName").unwrap_or(&Value::Null),
        &place.member("eventName"),
    )?;
    // Stores that speak S3 write the name as it stands in the configuration.
    let name = name.strip_prefix("s3:").unwrap_or(name);
    if !name.starts_with("ObjectCreated:") {
        return Ok(Notice::Ignored(format!("S3 event {}", quoted(name))));
    }
    let place = place.member("s3");
    let s3 = record.get("s3");
    let object = member_of(s3, "object");
    let key = required(object, "key", &place.member("object"))?;
    let key = form_decoded(key).ok_or_else(|| {
        place
            .member("object")
            .member("key")
            .wrong(format!("not form-encoded UTF-8: {}", quoted(key)))
    })?;
    let mut announced = named(
        required(member_of(s3, "bucket"), "name", &place.member("bucket"))?,
        &key,
        &place,
    )?;
    announced.size = member_of(object, "size").and_then(Value::as_u64);
    announced.etag = optional(object, "eTag");
    announced.version_id = optional(object, "versionId");
    announced.sequencer = optional(object, "sequencer");
    announced.region = record.get("awsRegion").and_then(Value::as_str).map(str::to_owned);
    announced.event_name = Some(name.to_owned());
    Ok(Notice::Object(announced))
}

/// Reads an EventBridge event.
fn event_bridge(event: &Map<String, Value>, place: &Place<'_>) -> Result<Notice, NoticeError> {
    let kind = string(
        event.get("detail-type").unwrap_or(&Value::Null),
        &place.member("detail-type"),
    )?;
    let source = event.get("source").and_then(Value::as_str).unwrap_or_default();
    if source != "aws.s3" {
        // Whatever it is, it went astray: an error keeps it where somebody finds it.
        return Err(place.wrong(format!(
            "EventBridge event {} of {}, not a notice of an object",
            quoted(kind),
            quoted(source)
        )));
    }
    if kind != "Object Created" {
        return Ok(Notice::Ignored(format!("EventBridge event {}", quoted(kind))));
    }
    let place = place.member("detail");
    let detail = event.get("detail");
    let object = member_of(detail, "object");
    // Not encoded here, other than in S3's own events.
    let key = required(object, "key", &place.member("object"))?;
    let mut announced = named(
        required(member_of(detail, "bucket"), "name", &place.member("bucket"))?,
        key,
        &place,
    )?;
    announced.size = member_of(object, "size").and_then(Value::as_u64);
    announced.etag = optional(object, "etag");
    announced.version_id = optional(object, "version-id");
    announced.sequencer = optional(object, "sequencer");
    announced.region = event.get("region").and_then(Value::as_str).map(str::to_owned);
    announced.event_name = Some(kind.to_owned());
    Ok(Notice::Object(announced))
}

/// Reads what CloudTrail publishes to the topic of a trail: keys as they are.
fn cloudtrail(message: &Map<String, Value>, place: &Place<'_>, found: &mut Found) -> Result<(), NoticeError> {
    let bucket = string(
        message.get("s3Bucket").unwrap_or(&Value::Null),
        &place.member("s3Bucket"),
    )?;
    let place = place.member("s3ObjectKey");
    let list = message.get("s3ObjectKey").unwrap_or(&Value::Null);
    let keys = elements(list, &place)?;
    if keys.is_empty() {
        found.push(Notice::Ignored("CloudTrail notice without keys".to_owned()));
    }
    each(keys, &place, found, |key, place, found| {
        let announced = named(bucket, string(key, place)?, place)?;
        found.push(Notice::Object(announced));
        Ok(())
    });
    Ok(())
}

/// An object of this name, if a bucket and an object can have it.
fn named(bucket: &str, key: &str, place: &Place<'_>) -> Result<Object, NoticeError> {
    for (what, name, bytes_max) in [("bucket", bucket, BUCKET_BYTES_MAX), ("key", key, KEY_BYTES_MAX)] {
        if name.is_empty() {
            return Err(place.wrong(format!("the name of the {what} is empty")));
        }
        if name.len() > bytes_max {
            return Err(place.wrong(format!(
                "the name of the {what} has {} bytes, and S3 allows {bytes_max}",
                name.len()
            )));
        }
    }
    Ok(Object {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        ..Object::default()
    })
}

/// Undoes form encoding: `+` is a space, `%` and two digits a byte. None if it is
/// none: a key that was taken as it is would be that of another object.
fn form_decoded(encoded: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => (digit(bytes.next())? * 16 + digit(bytes.next())?) as u8,
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn member_of<'a>(value: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    value?.get(name)
}

/// The string `name` of `object`, if it is there and says something.
fn optional(object: Option<&Value>, name: &str) -> Option<String> {
    let text = member_of(object, name)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// The string `name` of `object`, which lies at `place`.
fn required<'a>(
    object: Option<&'a Value>,
    name: &'static str,
    place: &Place<'_>,
) -> Result<&'a str, NoticeError> {
    string(
        member_of(object, name).unwrap_or(&Value::Null),
        &place.member(name),
    )
}

fn string<'a>(value: &'a Value, place: &Place<'_>) -> Result<&'a str, NoticeError> {
    value
        .as_str()
        .ok_or_else(|| place.wrong(format!("expected a string, found {}", in_words(value))))
}

fn elements<'a>(value: &'a Value, place: &Place<'_>) -> Result<&'a [Value], NoticeError> {
    value
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| place.wrong(format!("expected an array, found {}", in_words(value))))
}

fn in_words(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The first few keys of an object, for a reason.
fn keys(object: &Map<String, Value>) -> String {
    let mut names: Vec<String> = object.keys().take(6).map(|key| quoted(key)).collect();
    match object.len() {
        0 => return "no keys".to_owned(),
        7.. => names.push("...".to_owned()),
        _ => {}
    }
    format!("the keys {}", names.join(", "))
}

/// A piece of foreign text for a reason: short, and with nothing that controls a terminal.
fn quoted(text: &str) -> String {
    let short: String = text
        .chars()
        .take(QUOTED_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    let dots = if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        "..."
    } else {
        ""
    };
    format!("\"{short}{dots}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const KEY: &str = "AWSLogs/111122223333/a b+c/ü%41.gz";

    /// As S3 writes keys in its events.
    fn form_encoded(key: &str) -> String {
        let mut encoded = String::new();
        for byte in key.bytes() {
            match byte {
                b' ' => encoded.push('+'),
                b'/' | b'-' | b'_' | b'.' | b'*' => encoded.push(byte.into()),
                _ if byte.is_ascii_alphanumeric() => encoded.push(byte.into()),
                _ => encoded.push_str(&format!("%{byte:02X}")),
            }
        }
        encoded
    }

    fn s3_event(key: &str, name: &str, version: &str) -> Value {
        json!({"Records": [{
            "eventVersion": version, "eventSource": "aws:s3", "awsRegion": "eu-west-1",
            "eventTime": "2025-11-20T07:05:09.123Z", "eventName": name,
            "userIdentity": {"principalId": "AWS:AROAEXAMPLE"},
            "requestParameters": {"sourceIPAddress": "192.0.2.1"},
            "s3": {"s3SchemaVersion": "1.0", "configurationId": "logs",
                "bucket": {"name": "logs", "arn": "arn:aws:s3:::logs"},
                "object": {"key": form_encoded(key), "size": 1234, "eTag": "abc", "versionId": "v1", "sequencer": "0A1B"}},
        }]})
    }

    fn bridge_event(key: &str, kind: &str, source: &str) -> Value {
        json!({"version": "0", "id": "1", "detail-type": kind, "source": source, "account": "111122223333",
            "time": "2025-11-20T07:05:10Z", "region": "eu-west-1", "resources": ["arn:aws:s3:::logs"],
            "detail": {"version": "0", "bucket": {"name": "logs"},
                "object": {"key": key, "size": 1234, "etag": "abc", "version-id": "v1", "sequencer": "0A1B"},
                "request-id": "R", "requester": "delivery.logs.amazonaws.com", "reason": "PutObject"}})
    }

    fn cloudtrail_message(keys: &[&str]) -> Value {
        json!({"s3Bucket": "logs", "s3ObjectKey": keys})
    }

    fn sns(message: &str) -> Value {
        json!({"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-west-1:111122223333:logs",
            "Subject": "Amazon S3 Notification", "Message": message, "Timestamp": "2025-11-20T07:05:10.000Z",
            "SignatureVersion": "1", "Signature": "x", "SigningCertURL": "https://sns.example.com/c.pem",
            "UnsubscribeURL": "https://sns.example.com/u"})
    }

    /// Every way in which the message may be wrapped.
    fn wrapped(message: &Value) -> Vec<(&'static str, String)> {
        let raw = message.to_string();
        let notification = sns(&raw).to_string();
        let lambda = |body: &str| {
            json!({"Records": [{"messageId": "1", "receiptHandle": "h", "body": body, "attributes": {},
                "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:111122223333:q", "awsRegion": "eu-west-1"}]})
        };
        let received =
            |body: &str| json!({"Messages": [{"MessageId": "1", "ReceiptHandle": "h", "Body": body}]});
        vec![
            ("raw", raw.clone()),
            ("printed", serde_json::to_string_pretty(message).unwrap()),
            ("SNS", notification.clone()),
            ("Lambda", lambda(&raw).to_string()),
            ("Lambda, SNS", lambda(&notification).to_string()),
            (
                "Lambda from SNS",
                json!({"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": sns(&raw)}]})
                    .to_string(),
            ),
            ("received", received(&raw).to_string()),
            ("received, SNS", received(&notification).to_string()),
            ("one message", received(&raw)["Messages"][0].to_string()),
            ("array", format!("[{raw}]")),
        ]
    }

    fn object(key: &str, event_name: &str) -> Object {
        Object {
            bucket: "logs".to_owned(),
            key: key.to_owned(),
            size: Some(1234),
            etag: Some("abc".to_owned()),
            version_id: Some("v1".to_owned()),
            sequencer: Some("0A1B".to_owned()),
            region: Some("eu-west-1".to_owned()),
            event_name: Some(event_name.to_owned()),
        }
    }

    fn plain(key: &str) -> Notice {
        Notice::Object(Object {
            bucket: "logs".to_owned(),
            key: key.to_owned(),
            ..Object::default()
        })
    }

    #[test]
    fn every_notice_reads_the_same_in_every_wrapping() {
        let ignored = |why: &str| vec![Notice::Ignored(why.to_owned())];
        for (message, expected) in [
            (
                s3_event(KEY, "ObjectCreated:Put", "2.1"),
                vec![Notice::Object(object(KEY, "ObjectCreated:Put"))],
            ),
            (
                s3_event(KEY, "s3:ObjectCreated:CompleteMultipartUpload", "2.3"),
                vec![Notice::Object(object(
                    KEY,
                    "ObjectCreated:CompleteMultipartUpload",
                ))],
            ),
            (
                s3_event(KEY, "ObjectRemoved:Delete", "2.1"),
                ignored("S3 event \"ObjectRemoved:Delete\""),
            ),
            (
                s3_event(KEY, "LifecycleExpiration:Delete", "2.3"),
                ignored("S3 event \"LifecycleExpiration:Delete\""),
            ),
            (
                bridge_event(KEY, "Object Created", "aws.s3"),
                vec![Notice::Object(object(KEY, "Object Created"))],
            ),
            (
                bridge_event(KEY, "Object Deleted", "aws.s3"),
                ignored("EventBridge event \"Object Deleted\""),
            ),
            (cloudtrail_message(&[KEY, "k2"]), vec![plain(KEY), plain("k2")]),
            (cloudtrail_message(&[]), ignored("CloudTrail notice without keys")),
            (
                json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2025-11-20T07:05:09.123Z",
                    "Bucket": "logs", "RequestId": "R", "HostId": "H"}),
                vec![Notice::Test],
            ),
        ] {
            for (wrapping, body) in wrapped(&message) {
                assert_eq!(
                    notices(body.as_bytes()),
                    Ok(expected.clone()),
                    "{wrapping}: {body}"
                );
            }
        }
    }

    #[test]
    fn the_tests_of_sns_and_cloudtrail_announce_nothing() {
        assert_eq!(
            notices(sns(CLOUDTRAIL_TEST).to_string().as_bytes()),
            Ok(vec![Notice::Test])
        );
        assert_eq!(notices(CLOUDTRAIL_TEST.as_bytes()), Ok(vec![Notice::Test]));
        let mut confirmation = sns("You have chosen to subscribe to the topic.");
        confirmation["Type"] = "SubscriptionConfirmation".into();
        assert_eq!(
            notices(confirmation.to_string().as_bytes()),
            Ok(vec![Notice::Ignored(
                "SNS message of type \"SubscriptionConfirmation\"".to_owned()
            )])
        );
        assert_eq!(notices(b"{\"Messages\":[]}"), Ok(vec![]));
    }

    #[test]
    fn a_broken_message_leaves_its_neighbours_alone() {
        let good = s3_event("k", "ObjectCreated:Put", "2.1").to_string();
        let body = json!({"Messages": [{"Body": good}, {"Body": "{"}, {"Body": good}]}).to_string();
        let read = notices(body.as_bytes()).unwrap();
        let [Notice::Object(_), Notice::Broken(error), Notice::Object(_)] = &read[..] else {
            panic!("{read:?}")
        };
        assert_eq!(error.place, "message.Messages[1].Body");
    }

    #[test]
    fn what_is_no_notice_says_what_it_is() {
        let mut seven = String::from("\"x\"");
        for _ in 0..7 {
            seven = sns(&seven).to_string();
        }
        for (body, place, reason) in [
            (String::new(), "message", "not JSON: EOF"),
            (
                "2 111122223333 eni-1".to_owned(),
                "message",
                "not JSON: trailing characters",
            ),
            ("\"x\"".to_owned(), "message", "expected an object, found a string"),
            ("{}".to_owned(), "message", "not a notice of an object: it has no keys"),
            (
                "{\"a\\u001b\":1}".to_owned(),
                "message",
                "not a notice of an object: it has the keys \"a\\u{1b}\"",
            ),
            (
                "{\"Records\":5}".to_owned(),
                "message.Records",
                "expected an array, found a number",
            ),
            (
                r#"{"Records":[{"eventVersion":"1.08","eventTime":"2025-11-20T07:05:09Z","eventName":"GetRole"}]}"#.to_owned(),
                "message.Records[0]",
                "a CloudTrail record itself",
            ),
            (
                s3_event("k", "ObjectCreated:Put", "3.0").to_string(),
                "message.Records[0].eventVersion",
                "S3 events of version \"3.0\" are not known",
            ),
            (
                s3_event("k", "ObjectCreated:Put", "21.0").to_string(),
                "message.Records[0].eventVersion",
                "S3 events of version",
            ),
            (
                s3_event("k", "ObjectCreated:Put", "2.1").to_string().replace("\"k\"", "\"%4\""),
                "message.Records[0].s3.object.key",
                "not form-encoded UTF-8: \"%4\"",
            ),
            (
                s3_event("k", "ObjectCreated:Put", "2.1").to_string().replace("\"k\"", "\"%FF\""),
                "message.Records[0].s3.object.key",
                "not form-encoded UTF-8",
            ),
            (
                s3_event("", "ObjectCreated:Put", "2.1").to_string(),
                "message.Records[0].s3",
                "the name of the key is empty",
            ),
            (
                s3_event(&"k".repeat(1025), "ObjectCreated:Put", "2.1").to_string(),
                "message.Records[0].s3",
                "the name of the key has 1025 bytes",
            ),
            (
                bridge_event("k", "GuardDuty Finding", "aws.guardduty").to_string(),
                "message",
                "EventBridge event \"GuardDuty Finding\" of \"aws.guardduty\"",
            ),
            (
                r#"{"s3Bucket":"logs","s3ObjectKey":"k"}"#.to_owned(),
                "message.s3ObjectKey",
                "expected an array, found a string",
            ),
            (
                r#"{"s3ObjectKey":["k"]}"#.to_owned(),
                "message.s3Bucket",
                "expected a string, found nothing",
            ),
            (
                seven,
                "message.Message.Message.Message.Message.Message",
                "more than 4 messages inside each other",
            ),
        ] {
            let error = notices(body.as_bytes()).unwrap_err();
            assert_eq!(error.place, place, "{body}: {error}");
            assert!(error.reason.starts_with(reason), "{body}: {error}");
        }
    }

    #[test]
    fn a_body_costs_bounded_memory() {
        let large = vec![b' '; BODY_BYTES_MAX + 1];
        assert!(
            notices(&large)
                .unwrap_err()
                .reason
                .contains("notices have at most")
        );
        let many = format!(
            "{{\"s3Bucket\":\"b\",\"s3ObjectKey\":[{}\"k\"]}}",
            "\"k\",".repeat(NOTICES_MAX)
        );
        assert!(
            notices(many.as_bytes())
                .unwrap_err()
                .reason
                .contains("more than 100000 objects")
        );
        let deep = "[".repeat(100_000);
        assert!(notices(deep.as_bytes()).is_err());
    }

    /// Something like a notice: the right words, in any order.
    fn likely() -> impl Strategy<Value = Value> {
        let word = prop::sample::select(vec![
            "Records",
            "Messages",
            "Body",
            "body",
            "Sns",
            "Message",
            "Type",
            "Notification",
            "s3",
            "object",
            "key",
            "bucket",
            "name",
            "size",
            "detail",
            "detail-type",
            "Object Created",
            "source",
            "aws.s3",
            "eventName",
            "ObjectCreated:Put",
            "eventVersion",
            "2.1",
            "s3Bucket",
            "s3ObjectKey",
            "Event",
            "%4",
            "k+k",
        ]);
        let leaf = prop_oneof![
            word.clone().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
            word.clone()
                .prop_map(|word| format!("{{\"{word}\":[{{}}]}}").into()),
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((word.clone(), inner), 0..5).prop_map(|members| {
                    Value::Object(
                        members
                            .into_iter()
                            .map(|(name, value)| (name.to_owned(), value))
                            .collect(),
                    )
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = notices(&bytes);
        }

        #[test]
        fn anything_like_a_notice_is_read_or_refused(value in likely()) {
            let _ = notices(value.to_string().as_bytes());
        }

        #[test]
        fn a_cut_or_changed_notice_is_read_or_refused(
            which in 0usize..10, cut in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let (_, body) = &wrapped(&s3_event(KEY, "ObjectCreated:Put", "2.1"))[which];
            let mut bytes = body.clone().into_bytes();
            let at = cut.index(bytes.len());
            prop_assert!(notices(&bytes[..at]).is_err());
            bytes[at] = byte;
            let _ = notices(&bytes);
        }

        #[test]
        fn keys_of_any_characters_come_out_as_they_went_in(
            key in any::<String>().prop_filter("keys have 1 to 1,024 bytes", |key| (1..=KEY_BYTES_MAX).contains(&key.len())),
        ) {
            for message in [
                s3_event(&key, "ObjectCreated:Put", "2.1"),
                bridge_event(&key, "Object Created", "aws.s3"),
                cloudtrail_message(&[&key]),
            ] {
                for (wrapping, body) in wrapped(&message) {
                    let read = notices(body.as_bytes()).unwrap();
                    let [Notice::Object(object)] = &read[..] else { panic!("{wrapping}: {read:?}") };
                    prop_assert_eq!(&object.key, &key, "{}", wrapping);
                }
            }
        }
    }
}
