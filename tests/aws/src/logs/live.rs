//! StartLiveTail: an event stream with an update now and then.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::{Body, Event, Logs, now_ms, refuse};
use crate::{ACCOUNT, REGION};

/// Time between two updates. AWS sends one a second.
const UPDATE_EVERY: Duration = Duration::from_millis(100);

struct Session {
    logs: Logs,
    groups: Vec<String>,
    prefixes: Vec<String>,
    /// Ids of events that were sent, or were there before the session.
    sent: HashSet<String>,
    updates: u64,
    begun: bool,
}

impl Logs {
    pub(super) fn start_live_tail(&self, body: &Value) -> Response<Body> {
        let strings = |name: &str| -> Vec<String> {
            let list = body[name].as_array().into_iter().flatten();
            list.filter_map(|value| value.as_str().map(str::to_owned))
                .collect()
        };
        let arns = strings("logGroupIdentifiers");
        if arns.is_empty() || arns.len() > 10 {
            return refuse(400, "InvalidParameterException", "between 1 and 10 log groups");
        }
        let mut groups = Vec::new();
        for arn in &arns {
            let name = arn.strip_prefix(&format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:"));
            match name.filter(|name| !name.ends_with('*') && self.group(name).is_ok()) {
                Some(name) => groups.push(name.to_owned()),
                None => {
                    return refuse(
                        400,
                        "ResourceNotFoundException",
                        &format!("no group has ARN {arn}"),
                    );
                }
            }
        }
        let prefixes = strings("logStreamNamePrefixes");
        if !prefixes.is_empty() && groups.len() > 1 {
            return refuse(
                400,
                "InvalidParameterException",
                "stream prefixes with several groups",
            );
        }
        let now = now_ms();
        let sent = groups.iter().flat_map(|group| self.events(group));
        let sent = sent
            .filter(|event| event.visible <= now)
            .map(|event| event.id)
            .collect();
        let session = Session {
            logs: self.clone(),
            groups,
            prefixes,
            sent,
            updates: 0,
            begun: false,
        };
        let frames = stream::unfold(session, |mut session| async move {
            let bytes = session.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(bytes)), session))
        });
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        let value = hyper::header::HeaderValue::from_static("application/vnd.amazon.eventstream");
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, value);
        response
    }
}

impl Session {
    async fn next(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            let arns = self.groups.iter().map(|group| arn(group));
            let start = json!({"requestId": "r", "sessionId": format!("session-{}", now_ms()),
                "logGroupIdentifiers": arns.collect::<Vec<_>>()});
            return Some(frame("sessionStart", &start));
        }
        let behaviour = self.logs.state().behaviour.clone();
        if behaviour.tail_updates > 0 && self.updates >= behaviour.tail_updates {
            return None;
        }
        tokio::time::sleep(UPDATE_EVERY).await;
        self.updates += 1;
        let now = now_ms();
        let mut new: Vec<(String, Event)> = Vec::new();
        for group in &self.groups {
            for event in self.logs.events(group) {
                let wanted = self.prefixes.is_empty()
                    || self
                        .prefixes
                        .iter()
                        .any(|prefix| event.stream.starts_with(prefix));
                if wanted && event.visible <= now && self.sent.insert(event.id.clone()) {
                    new.push((arn(group), event));
                }
            }
        }
        let sampled = new.len() > behaviour.tail_events;
        new.truncate(behaviour.tail_events);
        let results: Vec<Value> = new
            .iter()
            .map(|(arn, event)| {
                json!({"logGroupIdentifier": arn, "logStreamName": event.stream, "message": event.message,
                    "timestamp": event.timestamp, "ingestionTime": event.ingestion})
            })
            .collect();
        let update = json!({"sessionMetadata": {"sampled": sampled}, "sessionResults": results});
        Some(frame("sessionUpdate", &update))
    }
}

fn arn(group: &str) -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}")
}

/// An event as a frame of `vnd.amazon.eventstream`.
fn frame(kind: &'static str, payload: &Value) -> Bytes {
    let header =
        |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let message = Message::new(Bytes::from(payload.to_string()))
        .add_header(header(":message-type", "event"))
        .add_header(header(":event-type", kind))
        .add_header(header(":content-type", "application/json"));
    let mut bytes = Vec::new();
    // Headers this short always fit.
    aws_smithy_eventstream::frame::write_message_to(&message, &mut bytes).unwrap_or_default();
    Bytes::from(bytes)
}
