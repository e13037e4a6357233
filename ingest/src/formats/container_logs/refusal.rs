//! Says what an object is that holds no container logs.

use std::borrow::Cow;

use crate::formats::Refusal;

/// Most bytes of a first line or name that a refusal shows.
const SHOWN_CHARS_MAX: usize = 60;

/// Refuses a text or binary object that begins with `head`.
pub fn of_content(head: &[u8]) -> Refusal {
    let line = head
        .trim_ascii_start()
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let looks_like = match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "UTF-16 text: convert it to UTF-8, as with iconv -f UTF-16 -t UTF-8"
        }
        [b'P', b'A', b'R', b'1', ..] => "a Parquet file",
        [b'P', b'K', 3, 4, ..] => "a zip archive: unpack it",
        [0x1f, 0x8b, ..] => "gzip within gzip: unpack it once",
        _ if words
            .iter()
            .any(|word| matches!(*word, b"account-id" | b"interface-id" | b"srcaddr")) =>
        {
            "a flow log (its first line is the header): try --from vpc_flow=..."
        }
        _ if words.len() >= 14 && words[2].starts_with(b"eni-") => {
            "a flow log without its header line: try --from vpc_flow=..."
        }
        _ if begins_with_short_time(line) => {
            "text whose times have no zone, as aws logs tail --format short prints: use --format detailed"
        }
        _ if simdutf8::basic::from_utf8(line).is_err() || line.contains(&0) => "binary data",
        _ => {
            let shown: String = String::from_utf8_lossy(line)
                .chars()
                .take(SHOWN_CHARS_MAX)
                .collect();
            return Refusal::new(format!(
                "not container logs: no line begins with a time like 2025-11-20T07:05:09.123Z and it is not \
                 JSON; it begins with {shown:?}"
            ));
        }
    };
    Refusal::new(format!("not container logs: {looks_like}"))
}

/// `2025-11-20T07:05:09 text`
fn begins_with_short_time(line: &[u8]) -> bool {
    let shape = b"dddd-dd-ddTdd:dd:dd ";
    line.len() >= shape.len()
        && line.iter().zip(shape).all(|(byte, form)| {
            if *form == b'd' {
                byte.is_ascii_digit()
            } else {
                byte == form
            }
        })
}

/// Refuses a document whose first member is a list called `Records`.
pub fn of_records(list: &[u8]) -> Refusal {
    let head = &list[..list.len().min(4096)];
    let has = |text: &str| memchr::memmem::find(head, text.as_bytes()).is_some();
    Refusal::new(
        if has("\"aws:s3\"") || has("\"aws:sqs\"") || has("\"aws:kinesis\"") || has("\"aws:sns\"") {
            "not container logs: a notification of AWS about other data"
        } else if has("\"PartitionKey\"") {
            "not container logs: records of a Kinesis stream; each Data is base64 of gzip of an envelope"
        } else {
            "not container logs: CloudTrail records: try --from cloudtrail=..."
        },
    )
}

/// Refuses a JSON document with members of these names.
pub fn of_document<'a>(names: impl Iterator<Item = Cow<'a, str>>) -> Refusal {
    /// A name that tells, and what it tells.
    const KINDS: &[(&str, &str)] = &[
        ("digestStartTime", "a CloudTrail digest: try trailhound verify"),
        ("Records", "CloudTrail records: try --from cloudtrail=..."),
        ("Events", "events of aws cloudtrail lookup-events"),
        ("eventSource", "a CloudTrail record: try --from cloudtrail=..."),
        ("detail-type", "an event of EventBridge"),
        ("searchedLogStreams", "output of aws logs without its events"),
        ("queryId", "an answer of CloudWatch Logs Insights"),
        (
            "results",
            "an answer of CloudWatch Logs Insights: use aws logs filter-log-events",
        ),
        ("Statement", "an IAM policy"),
        ("StreamDescription", "a description of a Kinesis stream"),
        ("stream", "logs of Docker's json-file driver"),
    ];
    let names: Vec<Cow<'a, str>> = names.collect();
    let kind = KINDS
        .iter()
        .find(|(name, _)| names.iter().any(|found| found == name));
    Refusal::new(match kind {
        Some((_, kind)) => format!("not container logs: {kind}"),
        None => {
            let shown: String = names.join(", ").chars().take(SHOWN_CHARS_MAX).collect();
            format!("not container logs: JSON without logEvents or events; its members are {shown:?}")
        }
    })
}
