//! Which table an object belongs to, by its content.
//!
//! Each format is tried on the object's first bytes. The formats themselves know
//! best what they can read: there is no second list of signs to keep in step.

use bytes::Bytes;

use crate::decode::HEAD_BYTES;
use crate::formats::{FORMATS, Format, Setup};
use crate::reader::{Limits, Reader, Step};
use crate::tally::Tally;

/// First bytes that are looked at, compressed as they lie: enough for some whole
/// records of every format but the largest findings.
pub const LOOK_BYTES: usize = 64 << 10;

/// Formats that would read other formats' objects too, and so are asked last,
/// and those that need settings before they can read anything.
const LAST: &[&str] = &["container_logs"];
const NEVER: &[&str] = &["host_flow"];

/// The format of an object that begins with `head`. `whole` says that nothing
/// follows.
///
/// None: no format reads it, or more bytes are needed to tell.
pub fn recognise(head: &Bytes, whole: bool) -> Option<&'static dyn Format> {
    if head.len() < HEAD_BYTES && !whole {
        return None;
    }
    let mut formats: Vec<&'static dyn Format> = FORMATS
        .iter()
        .copied()
        .filter(|format| !NEVER.contains(&format.name()))
        .collect();
    formats.sort_by_key(|format| LAST.contains(&format.name()));
    let mut best: Option<(&'static dyn Format, u64, u64)> = None;
    // What has no record at all, or none that can be read: a header line or an empty list still tells.
    let is_blank = head.trim_ascii().is_empty();
    let mut framed: Option<&'static dyn Format> = None;
    for format in formats {
        let Some(tally) = try_on(format, head, whole) else {
            continue;
        };
        let (rows, rejected) = (tally.rows, tally.rejected);
        if rows == 0 {
            let is_empty = whole && rejected == 0;
            if !is_blank && (tally.passed > 0 || is_empty) {
                framed = framed.or(Some(format));
            }
            continue;
        }
        if rejected == 0 {
            return Some(format);
        }
        // The share of records that it can read, without division.
        let better = best.is_none_or(|(_, other_rows, other_rejected)| {
            rows * (other_rows + other_rejected) > other_rows * (rows + rejected)
        });
        if better {
            best = Some((format, rows, rejected));
        }
    }
    best.map(|(format, ..)| format).or(framed)
}

/// What the first bytes come to when they are read as `format`; none if it refuses them.
fn try_on(format: &'static dyn Format, head: &Bytes, whole: bool) -> Option<Tally> {
    let setup = Setup {
        projection: [].into(),
        ..Setup::whole(format, "")
    };
    let parser = format.parser(setup).ok()?;
    let limits = Limits {
        block_bytes: LOOK_BYTES,
        ..Limits::default()
    };
    let mut reader = Reader::new(parser, limits);
    reader.push(head.clone());
    if whole {
        reader.end();
    }
    // A highly compressed head holds a great deal: some batches tell enough.
    for _ in 0..16 {
        match reader.next_batch() {
            Err(_) => return None,
            Ok(Step::Batch(_)) => {}
            Ok(Step::Rejects | Step::NeedsInput | Step::Done) => break,
        }
    }
    Some(reader.tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(text: &str) -> Option<&'static str> {
        recognise(&Bytes::copy_from_slice(text.as_bytes()), true).map(|format| format.name())
    }

    #[test]
    fn content_tells() {
        let flow =
            "version account-id interface-id srcaddr dstaddr\n2 123456789012 eni-1 10.0.0.1 10.0.0.2\n";
        assert_eq!(name_of(flow), Some("vpc_flow"));
        let trail = r#"{"Records":[{"eventVersion":"1.08","eventTime":"2026-11-01T00:00:00Z","eventName":"X","eventSource":"ec2.amazonaws.com","awsRegion":"eu-west-1","eventID":"a"}]}"#;
        assert_eq!(name_of(trail), Some("cloudtrail"));
        assert_eq!(
            name_of("2026-11-01T00:00:00.000Z hello\n2026-11-01T00:00:01.000Z world\n"),
            Some("container_logs")
        );
        let event = r#"{"version":"0","id":"e1","detail-type":"ECS Task State Change","source":"aws.ecs","account":"1","time":"2026-11-01T00:00:00Z","region":"eu-west-1","resources":[],"detail":{"lastStatus":"RUNNING","taskArn":"arn:aws:ecs:eu-west-1:1:task/c/t"}}"#;
        assert_eq!(name_of(event), Some("ecs_events"));
        assert_eq!(name_of("\u{0}\u{1}\u{2} nothing of ours"), None);
        assert_eq!(name_of(""), None);
    }

    #[test]
    fn a_frame_without_a_record_tells_too() {
        let header = "version account-id interface-id srcaddr dstaddr\n";
        assert_eq!(name_of(header), Some("vpc_flow"));
        assert_eq!(
            name_of(&format!("{header}2 not a flow record\n")),
            Some("vpc_flow")
        );
        assert_eq!(name_of(r#"{"Records":[]}"#), Some("cloudtrail"));
        for other in ["\n\n", "hello world\n", "\u{89}PNG\r\n\u{1a}\n\u{0}\u{0}\r\n\r\n"] {
            assert_eq!(name_of(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_beginning_of_a_long_object_is_enough() {
        let line = "2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 40 1763622000 1763622060 ACCEPT OK\n";
        let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";
        let text = format!("{header}{}", line.repeat(20_000));
        let head = Bytes::copy_from_slice(&text.as_bytes()[..LOOK_BYTES]);
        let format = recognise(&head, false).map(|format| format.name());
        assert_eq!(format, Some("vpc_flow"));
    }
}
