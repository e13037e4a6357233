//! A CloudWatch Logs server: AWS JSON 1.1 over HTTP, with the traps of the real one.
//!
//! Pages end at 10,000 events or about 1 MB and may be empty in between, tokens
//! run out, requests are throttled, and events become visible later than their
//! timestamps suggest.

mod filter;
mod live;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{ACCOUNT, REGION};

/// What the server answers with.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A server that keeps its groups in memory. Clones are the same server.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<State>>);

/// An event as the server keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its stream.
    pub stream: String,
    /// When it happened, milliseconds since the epoch.
    pub timestamp: i64,
    /// When CloudWatch Logs took it, milliseconds since the epoch.
    pub ingestion: i64,
    /// Before this time, milliseconds since the epoch, nobody is shown it.
    pub visible: i64,
    /// Its id: 56 digits.
    pub id: String,
    /// Its text.
    pub message: String,
}

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Most events of a page. AWS: 10,000.
    pub page_events: usize,
    /// Most bytes of a page, counted as AWS does: message and 26 more an event.
    pub page_bytes: usize,
    /// Every so many pages is an empty one with a token; 0 or 1: none.
    pub empty_every: u64,
    /// More requests in a second than this are throttled.
    pub rate_max: Option<u32>,
    /// Throttle this many requests more.
    pub throttle: u32,
    /// Answer this many requests more with 500.
    pub fail: u32,
    /// Events of one update of a live tail; more are sampled. AWS: 500.
    pub tail_events: usize,
    /// Close a live tail after so many updates; 0: never.
    pub tail_updates: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            page_events: 10_000,
            page_bytes: 1 << 20,
            empty_every: 0,
            rate_max: None,
            throttle: 0,
            fail: 0,
            tail_events: 500,
            tail_updates: 0,
        }
    }
}

/// A request that the server saw.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// What was asked, such as `FilterLogEvents`.
    pub operation: String,
    /// Whether it was throttled or failed on purpose.
    pub refused: bool,
    /// Its body.
    pub body: Value,
}

#[derive(Default)]
struct State {
    /// Events by group, sorted by timestamp, ingestion time and id.
    groups: BTreeMap<String, Vec<Event>>,
    behaviour: Behaviour,
    seen: Vec<Seen>,
    pages: u64,
    events: u64,
    tokens_since: u64,
}

/// A server that listens, until this is dropped.
pub struct Serving {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// Where it listens, such as `http://127.0.0.1:4567`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

impl Logs {
    /// A server without groups.
    pub fn new() -> Self {
        Logs::default()
    }

    /// Makes a group, if there is none of this name.
    pub fn create_group(&self, group: &str) {
        self.state().groups.entry(group.to_owned()).or_default();
    }

    /// Removes a group with its events.
    pub fn delete_group(&self, group: &str) {
        self.state().groups.remove(group);
    }

    /// Puts an event, `late_ms` after it happened, and shows it `hidden_ms` after
    /// that. Returns its id.
    pub fn put(
        &self,
        group: &str,
        stream: &str,
        timestamp: i64,
        message: &str,
        late_ms: i64,
        hidden_ms: i64,
    ) -> String {
        let mut state = self.state();
        state.events += 1;
        let id = format!("{:022}{:034}", timestamp, state.events);
        let event = Event {
            stream: stream.to_owned(),
            timestamp,
            ingestion: timestamp + late_ms,
            visible: timestamp + late_ms + hidden_ms,
            id: id.clone(),
            message: message.to_owned(),
        };
        let events = state.groups.entry(group.to_owned()).or_default();
        let at = events.partition_point(|other| filter::order(other) <= filter::order(&event));
        events.insert(at, event);
        id
    }

    /// Changes how the server behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state().behaviour);
    }

    /// Makes all tokens that were given out invalid, as after 24 hours.
    pub fn expire_tokens(&self) {
        self.state().tokens_since += 1;
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The events of a group, visible or not.
    pub fn events(&self, group: &str) -> Vec<Event> {
        self.state().groups.get(group).cloned().unwrap_or_default()
    }

    /// Listens on a port of its own.
    ///
    /// # Errors
    /// There is no port to be had.
    pub async fn serve(&self) -> std::io::Result<Serving> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let logs = self.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let logs = logs.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let logs = logs.clone();
                        async move { Ok::<_, Infallible>(logs.answer(request).await) }
                    });
                    // A client that hangs up is no fault of the server.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Serving { address, task })
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let target = request
            .headers()
            .get("x-amz-target")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        match request.into_body().collect().await {
            Ok(body) => self.handle(&target, body.to_bytes()).await,
            Err(error) => refuse(400, "SerializationException", &error.to_string()),
        }
    }

    /// Answers one request. `target` is its header `x-amz-target`, such as
    /// `Logs_20140328.FilterLogEvents`.
    pub async fn handle(&self, target: &str, body: Bytes) -> Response<Body> {
        let operation = target.strip_prefix("Logs_20140328.").unwrap_or_default();
        let Ok(body) = serde_json::from_slice::<Value>(&body) else {
            return refuse(400, "SerializationException", "the body is not JSON");
        };
        if let Some(refusal) = self.refusal(operation, &body) {
            return refusal;
        }
        let answer = match operation {
            "FilterLogEvents" => self.filter_log_events(&body),
            "DescribeLogGroups" => self.describe_log_groups(&body),
            "DescribeLogStreams" => self.describe_log_streams(&body),
            "CreateLogGroup" => {
                self.create_group(text(&body, "logGroupName"));
                Ok(json!({}))
            }
            // Streams come to be with their first event.
            "CreateLogStream" => self.group(text(&body, "logGroupName")).map(|_| json!({})),
            "PutLogEvents" => self.put_log_events(&body),
            "StartLiveTail" => return self.start_live_tail(&body),
            _ => Err(Fault("UnknownOperationException", operation.to_owned())),
        };
        match answer {
            Ok(answer) => json_response(200, &answer),
            Err(Fault(kind, message)) => refuse(400, kind, &message),
        }
    }

    /// The answer to a request that is throttled or fails on purpose.
    fn refusal(&self, operation: &str, body: &Value) -> Option<Response<Body>> {
        let mut state = self.state();
        let now = Instant::now();
        let recent = state
            .seen
            .iter()
            .rev()
            .take_while(|seen| now.duration_since(seen.at).as_millis() < 1000)
            .filter(|seen| !seen.refused)
            .count();
        let behaviour = &mut state.behaviour;
        let throttled =
            behaviour.throttle > 0 || behaviour.rate_max.is_some_and(|max| recent >= max as usize);
        let failed = !throttled && behaviour.fail > 0;
        behaviour.throttle = behaviour.throttle.saturating_sub(1);
        if failed {
            behaviour.fail -= 1;
        }
        state.seen.push(Seen {
            at: now,
            operation: operation.to_owned(),
            refused: throttled || failed,
            body: body.clone(),
        });
        if throttled {
            Some(refuse(400, "ThrottlingException", "Rate exceeded"))
        } else if failed {
            Some(refuse(500, "ServiceUnavailableException", "try again"))
        } else {
            None
        }
    }

    fn put_log_events(&self, body: &Value) -> Answer {
        let group = text(body, "logGroupName");
        self.group(group)?;
        for event in body["logEvents"].as_array().into_iter().flatten() {
            let timestamp = event["timestamp"].as_i64().unwrap_or_default();
            let late = now_ms() - timestamp;
            self.put(
                group,
                text(body, "logStreamName"),
                timestamp,
                text(event, "message"),
                late,
                0,
            );
        }
        Ok(json!({"nextSequenceToken": "0"}))
    }

    fn describe_log_groups(&self, body: &Value) -> Answer {
        let (prefix, pattern) = (
            text(body, "logGroupNamePrefix"),
            text(body, "logGroupNamePattern"),
        );
        if !prefix.is_empty() && !pattern.is_empty() {
            return Err(Fault(
                "InvalidParameterException",
                "prefix and pattern".to_owned(),
            ));
        }
        let limit = body["limit"].as_u64().unwrap_or(50).min(50) as usize;
        let after = text(body, "nextToken");
        let state = self.state();
        let mut names = state
            .groups
            .keys()
            .filter(|name| name.starts_with(prefix) && name.to_lowercase().contains(&pattern.to_lowercase()))
            .filter(|name| name.as_str() > after);
        let page: Vec<&String> = names.by_ref().take(limit).collect();
        let groups: Vec<Value> = page.iter().map(|name| describe_group(name)).collect();
        let mut answer = json!({"logGroups": groups});
        if names.next().is_some() {
            answer["nextToken"] = json!(page.last());
        }
        Ok(answer)
    }

    fn describe_log_streams(&self, body: &Value) -> Answer {
        let (state, group) = (self.state(), text(body, "logGroupName"));
        let events = state.groups.get(group).ok_or_else(|| not_found(group))?;
        let mut streams: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
        for event in events {
            let (first, last, ingested) =
                streams
                    .entry(&event.stream)
                    .or_insert((event.timestamp, event.timestamp, event.ingestion));
            *first = event.timestamp.min(*first);
            *last = event.timestamp.max(*last);
            *ingested = event.ingestion.max(*ingested);
        }
        let prefix = text(body, "logStreamNamePrefix");
        let streams: Vec<Value> = streams
            .into_iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, (first, last, ingested))| {
                json!({"logStreamName": name, "firstEventTimestamp": first,
                    "lastEventTimestamp": last, "lastIngestionTime": ingested})
            })
            .collect();
        Ok(json!({"logStreams": streams}))
    }

    /// Refuses a group that does not exist.
    fn group(&self, group: &str) -> Result<(), Fault> {
        if self.state().groups.contains_key(group) {
            Ok(())
        } else {
            Err(not_found(group))
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exception: its name and its message.
struct Fault(&'static str, String);

type Answer = Result<Value, Fault>;

fn not_found(group: &str) -> Fault {
    let message = format!("The specified log group does not exist: {group}");
    Fault("ResourceNotFoundException", message)
}

fn describe_group(name: &str) -> Value {
    let arn = format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}");
    json!({"logGroupName": name, "arn": format!("{arn}:*"), "logGroupArn": arn, "creationTime": 0})
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_default()
}

fn refuse(status: u16, kind: &str, message: &str) -> Response<Body> {
    json_response(status, &json!({"__type": kind, "message": message}))
}

fn json_response(status: u16, body: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    let mut response = Response::new(body);
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    let value = hyper::header::HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, value);
    response
}
