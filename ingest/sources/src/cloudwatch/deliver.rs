//! Events as deliveries: one a stream and page, in the words of a subscription filter.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_sdk_cloudwatchlogs::types;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, future, stream};
use serde::Serialize;
use trailhound_ingest::error::Error;

use super::group::Group;
use super::position;
use crate::source::{Body, Delivery, ReadVersion, Receipt};

/// A log group as CloudWatch Logs describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogGroup {
    /// Its name.
    pub name: String,
    /// Its ARN, without `:*` at the end. None if groups may not be described.
    pub arn: Option<String>,
}

impl LogGroup {
    /// The account that owns it.
    pub fn owner(&self) -> Option<&str> {
        self.arn
            .as_deref()?
            .split(':')
            .nth(4)
            .filter(|owner| !owner.is_empty())
    }

    /// The table of its events, if its name leaves no doubt.
    fn table(&self) -> Option<&'static str> {
        let cluster = self
            .name
            .strip_prefix("/aws/ecs/containerinsights/")?
            .strip_suffix("/performance")?;
        (!cluster.is_empty() && !cluster.contains('/')).then_some("container_insights")
    }
}

/// An event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its stream.
    pub stream: String,
    /// Its id. A live tail gives none.
    pub id: String,
    /// When it happened, milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// When CloudWatch Logs took it, milliseconds since the epoch.
    pub ingestion_ms: Option<i64>,
    /// Its text.
    pub message: String,
}

impl From<types::FilteredLogEvent> for Event {
    fn from(event: types::FilteredLogEvent) -> Self {
        Event {
            stream: event.log_stream_name.unwrap_or_default(),
            id: event.event_id.unwrap_or_default(),
            timestamp_ms: event.timestamp.unwrap_or_default(),
            ingestion_ms: event.ingestion_time,
            message: event.message.unwrap_or_default(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    message_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    log_group: &'a str,
    log_stream: &'a str,
    subscription_filters: [&'a str; 0],
    log_events: Vec<DocumentEvent<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentEvent<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingestion_time: Option<i64>,
    message: &'a str,
}

/// Makes deliveries and numbers them.
#[derive(Debug, Default)]
pub struct Maker {
    number: u64,
}

impl Maker {
    /// The new events of a page, counted in their group's streams.
    pub fn page(
        &mut self,
        group: &mut Group,
        events: Vec<Event>,
        is_many: bool,
        now_ms: i64,
    ) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for events in by_stream(events) {
            let stream = events[0].stream.clone();
            let counter = group.streams.entry(stream.clone()).or_default();
            let lines_before = counter.events;
            counter.events += events.len() as u64;
            counter.seen_ms = now_ms;
            let recent = position::recents(
                events.iter().map(|event| (&*event.id, event.timestamp_ms)),
                &group.log_group.name,
                is_many,
                &stream,
                counter.events,
            );
            let name = format!("cwl://{}/{stream}", group.log_group.name);
            let mut delivery = self.delivery(&group.log_group, &events, name, lines_before);
            delivery.receipt.recent = recent;
            deliveries.push(delivery);
        }
        deliveries
    }

    /// One delivery; `events` are of one stream, and at least one.
    pub fn delivery(
        &mut self,
        group: &LogGroup,
        events: &[Event],
        name: String,
        lines_before: u64,
    ) -> Delivery {
        let body = body(group, events);
        self.number += 1;
        Delivery {
            name: name.into(),
            version: None,
            read_version: ReadVersion::default(),
            table: group.table(),
            options: BTreeMap::new(),
            lines_before,
            bytes: Some(body.len() as u64),
            delivered_at: events
                .iter()
                .filter_map(|event| event.ingestion_ms)
                .max()
                .map(|ms| ms.saturating_mul(1000)),
            body: opener(body),
            receipt: Receipt {
                number: self.number,
                ..Receipt::default()
            },
        }
    }
}

/// Events of each stream, in the order in which they came.
pub fn by_stream(events: Vec<Event>) -> Vec<Vec<Event>> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut streams: Vec<Vec<Event>> = Vec::new();
    for event in events {
        let place = *places.entry(event.stream.clone()).or_insert(streams.len());
        if place == streams.len() {
            streams.push(Vec::new());
        }
        streams[place].push(event);
    }
    streams
}

fn body(group: &LogGroup, events: &[Event]) -> Bytes {
    let document = Document {
        message_type: "DATA_MESSAGE",
        owner: group.owner(),
        log_group: &group.name,
        log_stream: events.first().map_or("", |event| &event.stream),
        subscription_filters: [],
        log_events: events
            .iter()
            .map(|event| DocumentEvent {
                id: &event.id,
                timestamp: event.timestamp_ms,
                ingestion_time: event.ingestion_ms,
                message: &event.message,
            })
            .collect(),
    };
    // Text and numbers only: there is nothing that JSON could not say.
    serde_json::to_vec(&document).unwrap_or_default().into()
}

fn opener(body: Bytes) -> Body {
    Arc::new(move || {
        let body = body.clone();
        future::ready(Ok(stream::iter([Ok::<_, Error>(body)]).boxed())).boxed()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(stream: &str, id: &str) -> Event {
        Event {
            stream: stream.into(),
            id: id.into(),
            timestamp_ms: 1_763_622_309_123,
            ingestion_ms: Some(1_763_622_310_000),
            message: "say \"hello\"\n".into(),
        }
    }

    #[test]
    fn events_are_told_as_a_subscription_filter_tells_them() {
        let group = LogGroup {
            name: "/ecs/web".into(),
            arn: Some("arn:aws:logs:eu-west-1:111122223333:log-group:/ecs/web".into()),
        };
        let body = body(&group, &[event("s", "1")]);
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            r#"{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"/ecs/web","logStream":"s","subscriptionFilters":[],"logEvents":[{"id":"1","timestamp":1763622309123,"ingestionTime":1763622310000,"message":"say \"hello\"\n"}]}"#
        );
    }

    #[test]
    fn streams_are_parted_and_keep_their_order() {
        let events = vec![event("b", "1"), event("a", "2"), event("b", "3")];
        let parted: Vec<Vec<String>> = by_stream(events)
            .into_iter()
            .map(|events| events.into_iter().map(|event| event.id).collect())
            .collect();
        assert_eq!(parted, [vec!["1", "3"], vec!["2"]]);
    }

    #[test]
    fn only_sure_groups_name_their_table() {
        let table = |name: &str| {
            let group = LogGroup {
                name: name.into(),
                arn: None,
            };
            group.table()
        };
        assert_eq!(
            table("/aws/ecs/containerinsights/prod/performance"),
            Some("container_insights")
        );
        assert_eq!(table("/aws/ecs/containerinsights/prod/application"), None);
        assert_eq!(table("/aws/ecs/containerinsights//performance"), None);
        assert_eq!(table("/ecs/web"), None);
    }
}
