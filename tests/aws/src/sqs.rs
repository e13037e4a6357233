//! An SQS server: AWS JSON 1.0, visibility time-outs that run, long polling, and a
//! dead-letter queue. It doubles and reorders messages when asked to, as real
//! standard queues may.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use s3s::crypto::{Checksum, Md5};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::server::{Answer, Failure, Server, answer, failure, locked};
use crate::{ACCOUNT, REGION};

/// A server of SQS alone.
pub fn serve() -> (Server, Queues) {
    let queues = Queues::default();
    let served = queues.clone();
    let server = Server::start(Arc::new(move |request, _| {
        let queues = served.clone();
        Box::pin(async move { queues.answer(request).await })
    }));
    (server, queues)
}

/// The queues of a server.
#[derive(Debug, Clone, Default)]
pub struct Queues {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<String, Queue>,
    number: u64,
}

#[derive(Debug)]
struct Queue {
    visibility: Duration,
    redrive: Option<(String, u32)>,
    messages: Vec<Message>,
    deleted: Vec<String>,
    received: Vec<String>,
    extended: usize,
    chaos: Option<Chaos>,
    is_denied: bool,
}

#[derive(Debug)]
struct Chaos {
    random: fastrand::Rng,
    doubled: f64,
    is_reordered: bool,
    doubles: usize,
}

#[derive(Debug, Clone)]
struct Message {
    id: String,
    body: String,
    sent: SystemTime,
    receives: u32,
    handle: Option<String>,
    hidden_until: Option<Instant>,
}

/// How many messages of a queue are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// To be had now.
    pub visible: usize,
    /// Received, and not to be seen until their time is up.
    pub in_flight: usize,
    /// Deleted, each delete counted once.
    pub deleted: usize,
}

impl Queues {
    /// Makes a queue with a visibility time-out of 30 s. Returns its URL.
    pub fn create(&self, name: &str) -> String {
        let queue = Queue {
            visibility: Duration::from_secs(30),
            redrive: None,
            messages: Vec::new(),
            deleted: Vec::new(),
            received: Vec::new(),
            extended: 0,
            chaos: None,
            is_denied: false,
        };
        locked(&self.state).queues.insert(name.to_owned(), queue);
        url_of(name)
    }

    /// Changes the visibility time-out, in whole seconds.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn visibility(&self, name: &str, seconds: u64) {
        self.with(name, |queue| queue.visibility = Duration::from_secs(seconds));
    }

    /// After `receives` receives a message goes to the queue `dead`.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn redrive(&self, name: &str, dead: &str, receives: u32) {
        self.with(name, |queue| queue.redrive = Some((dead.to_owned(), receives)));
    }

    /// From now on messages are doubled at this rate, and received in any order.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn chaos(&self, name: &str, seed: u64, doubled: f64) {
        self.with(name, |queue| {
            queue.chaos = Some(Chaos {
                random: fastrand::Rng::with_seed(seed),
                doubled,
                is_reordered: true,
                doubles: 0,
            });
        });
    }

    /// From now on every request for the queue is denied.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn deny(&self, name: &str) {
        self.with(name, |queue| queue.is_denied = true);
    }

    /// Puts a message into a queue. Returns its id.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn send(&self, name: &str, body: impl Into<String>) -> String {
        let body = body.into();
        let mut state = locked(&self.state);
        let first = state.message(body.clone());
        let second = state.message(body);
        let id = first.id.clone();
        let queue = state.queues.get_mut(name).expect("a queue of this name");
        queue.messages.push(first);
        if let Some(chaos) = &mut queue.chaos
            && chaos.random.f64() < chaos.doubled
        {
            chaos.doubles += 1;
            queue.messages.push(second);
        }
        drop(state);
        self.changed.notify_waiters();
        id
    }

    /// Where the messages of a queue are.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn counts(&self, name: &str) -> Counts {
        self.with(name, |queue| {
            let now = Instant::now();
            let hidden = queue.messages.iter().filter(|message| message.is_hidden(now));
            let in_flight = hidden.count();
            Counts {
                visible: queue.messages.len() - in_flight,
                in_flight,
                deleted: queue.deleted.len(),
            }
        })
    }

    /// Ids of the messages that were deleted, in that order.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn deleted(&self, name: &str) -> Vec<String> {
        self.with(name, |queue| queue.deleted.clone())
    }

    /// Ids of the messages as they were received, each time anew.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn received(&self, name: &str) -> Vec<String> {
        self.with(name, |queue| queue.received.clone())
    }

    /// How often the time of a message in flight was changed.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn extended(&self, name: &str) -> usize {
        self.with(name, |queue| queue.extended)
    }

    /// Messages that were doubled by [`Self::chaos`].
    ///
    /// # Panics
    /// There is no such queue.
    pub fn doubles(&self, name: &str) -> usize {
        self.with(name, |queue| {
            queue.chaos.as_ref().map_or(0, |chaos| chaos.doubles)
        })
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Queue) -> T) -> T {
        act(locked(&self.state)
            .queues
            .get_mut(name)
            .expect("a queue of this name"))
    }

    /// Answers one request.
    ///
    /// # Errors
    /// The request could not be read.
    pub async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Failure> {
        let target = request.headers().get("x-amz-target");
        let target = target
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = request.into_body().collect().await.map_err(failure)?.to_bytes();
        let input: Value = serde_json::from_slice(&body)?;
        let operation = target.strip_prefix("AmazonSQS.").unwrap_or_default();
        Ok(match self.operation(operation, &input).await {
            Ok(output) => answer(StatusCode::OK, &JSON, output.to_string()),
            Err(fault) => fault.answer(),
        })
    }

    async fn operation(&self, operation: &str, input: &Value) -> Result<Value, Fault> {
        match operation {
            "GetQueueUrl" => {
                let name = text(input, "QueueName")?;
                locked(&self.state).queue(name)?;
                Ok(json!({"QueueUrl": url_of(name)}))
            }
            "GetQueueAttributes" => {
                let mut state = locked(&self.state);
                let queue = state.queue(name_of(input)?)?;
                Ok(json!({"Attributes": {
                    "VisibilityTimeout": queue.visibility.as_secs().to_string(),
                    "ApproximateNumberOfMessages": queue.messages.len().to_string(),
                }}))
            }
            "SendMessage" => {
                let (name, body) = (name_of(input)?, text(input, "MessageBody")?);
                locked(&self.state).queue(name)?;
                let id = self.send(name, body);
                Ok(json!({"MessageId": id, "MD5OfMessageBody": md5(body)}))
            }
            "ReceiveMessage" => self.receive(input).await,
            "DeleteMessage" => locked(&self.state).queue(name_of(input)?)?.delete(input),
            "DeleteMessageBatch" => locked(&self.state).batch(input, Queue::delete),
            "ChangeMessageVisibility" => {
                let changed = locked(&self.state).queue(name_of(input)?)?.change(input);
                self.changed.notify_waiters();
                changed
            }
            "ChangeMessageVisibilityBatch" => {
                let changed = locked(&self.state).batch(input, Queue::change);
                self.changed.notify_waiters();
                changed
            }
            other => Err(Fault::new("InvalidAction", format!("no operation {other}"))),
        }
    }

    async fn receive(&self, input: &Value) -> Result<Value, Fault> {
        let name = name_of(input)?;
        let wait = input["WaitTimeSeconds"].as_u64().unwrap_or(0);
        if wait > 20 {
            return Err(Fault::new(
                "InvalidParameterValue",
                "WaitTimeSeconds is at most 20",
            ));
        }
        let until = Instant::now() + Duration::from_secs(wait);
        loop {
            let changed = self.changed.notified();
            let next = {
                let mut state = locked(&self.state);
                let messages = state.take(name, input)?;
                if !messages.is_empty() {
                    return Ok(json!({"Messages": messages}));
                }
                state.queue(name)?.next_visible()
            };
            if Instant::now() >= until {
                return Ok(json!({}));
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(next.unwrap_or(until).min(until)) => {}
            }
        }
    }
}

impl State {
    fn message(&mut self, body: String) -> Message {
        self.number += 1;
        Message {
            id: format!("00000000-0000-4000-8000-{:012}", self.number),
            body,
            sent: SystemTime::now(),
            receives: 0,
            handle: None,
            hidden_until: None,
        }
    }

    fn queue(&mut self, name: &str) -> Result<&mut Queue, Fault> {
        let queue = self.queues.get_mut(name).ok_or_else(|| Fault {
            code: "QueueDoesNotExist",
            message: "The specified queue does not exist.".to_owned(),
            status: StatusCode::BAD_REQUEST,
        })?;
        if queue.is_denied {
            return Err(Fault {
                code: "AccessDeniedException",
                message: format!("no identity-based policy allows the action on {name}"),
                status: StatusCode::FORBIDDEN,
            });
        }
        Ok(queue)
    }

    /// Hands out what is visible, and moves what was seen too often.
    fn take(&mut self, name: &str, input: &Value) -> Result<Vec<Value>, Fault> {
        let most = input["MaxNumberOfMessages"].as_u64().unwrap_or(1);
        if !(1..=10).contains(&most) {
            return Err(Fault::new(
                "InvalidParameterValue",
                "MaxNumberOfMessages is 1 to 10",
            ));
        }
        let now = Instant::now();
        let mut number = self.number;
        let queue = self.queue(name)?;
        let visibility = input["VisibilityTimeout"]
            .as_u64()
            .map_or(queue.visibility, Duration::from_secs);
        let mut dead = Vec::new();
        if let Some((_, receives)) = queue.redrive {
            queue.messages.retain(|message| {
                let is_dead = message.receives >= receives && !message.is_hidden(now);
                if is_dead {
                    dead.push(message.clone());
                }
                !is_dead
            });
        }
        if let Some(chaos) = queue.chaos.as_mut().filter(|chaos| chaos.is_reordered) {
            chaos.random.shuffle(&mut queue.messages);
        }
        let mut taken = Vec::new();
        for message in &mut queue.messages {
            if taken.len() as u64 == most {
                break;
            }
            if message.is_hidden(now) {
                continue;
            }
            number += 1;
            let handle = format!("handle-{number}");
            message.receives += 1;
            message.handle = Some(handle.clone());
            message.hidden_until = Some(now + visibility);
            queue.received.push(message.id.clone());
            let sent = message
                .sent
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_millis();
            taken.push(json!({
                "MessageId": message.id, "ReceiptHandle": handle,
                "MD5OfBody": md5(&message.body), "Body": message.body,
                "Attributes": {
                    "ApproximateReceiveCount": message.receives.to_string(),
                    "SentTimestamp": sent.to_string(),
                },
            }));
        }
        let redrive = queue.redrive.clone();
        self.number = number;
        if let Some((name, _)) = redrive {
            for message in &mut dead {
                message.hidden_until = None;
            }
            self.queue(&name)?.messages.extend(dead);
        }
        Ok(taken)
    }

    fn batch(
        &mut self,
        input: &Value,
        act: impl Fn(&mut Queue, &Value) -> Result<Value, Fault>,
    ) -> Result<Value, Fault> {
        let queue = self.queue(name_of(input)?)?;
        let entries = input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !(1..=10).contains(&entries.len()) {
            return Err(Fault::new(
                "TooManyEntriesInBatchRequest",
                "a batch has 1 to 10 entries",
            ));
        }
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for entry in entries {
            match act(queue, entry) {
                Ok(_) => good.push(json!({"Id": entry["Id"]})),
                Err(fault) => bad.push(json!({
                    "Id": entry["Id"], "SenderFault": true, "Code": fault.code, "Message": fault.message,
                })),
            }
        }
        Ok(json!({"Successful": good, "Failed": bad}))
    }
}

impl Queue {
    fn delete(&mut self, input: &Value) -> Result<Value, Fault> {
        let handle = text(input, "ReceiptHandle")?;
        if let Some(at) = self.messages.iter().position(|message| message.has(handle)) {
            let message = self.messages.remove(at);
            self.deleted.push(message.id);
        } else if !handle.starts_with("handle-") {
            return Err(Fault::new("ReceiptHandleIsInvalid", "no such receipt handle"));
        }
        // As at AWS: a handle of a message that is gone, or was received anew, is accepted in vain.
        Ok(json!({}))
    }

    fn change(&mut self, input: &Value) -> Result<Value, Fault> {
        let handle = text(input, "ReceiptHandle")?;
        let seconds = input["VisibilityTimeout"].as_u64().unwrap_or(0);
        let now = Instant::now();
        let message = self.messages.iter_mut().find(|message| message.has(handle));
        let Some(message) = message.filter(|message| message.is_hidden(now)) else {
            return Err(Fault::new("MessageNotInflight", "the message is not in flight"));
        };
        message.hidden_until = Some(now + Duration::from_secs(seconds));
        self.extended += 1;
        Ok(json!({}))
    }

    fn next_visible(&self) -> Option<Instant> {
        self.messages
            .iter()
            .filter_map(|message| message.hidden_until)
            .min()
    }
}

impl Message {
    fn has(&self, handle: &str) -> bool {
        self.handle.as_deref() == Some(handle)
    }

    fn is_hidden(&self, now: Instant) -> bool {
        self.hidden_until.is_some_and(|until| until > now)
    }
}

const JSON: [(&str, &str); 1] = [("content-type", "application/x-amz-json-1.0")];

#[derive(Debug)]
struct Fault {
    code: &'static str,
    message: String,
    status: StatusCode,
}

impl Fault {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Fault {
            code,
            message: message.into(),
            status: StatusCode::BAD_REQUEST,
        }
    }

    fn answer(&self) -> Answer {
        error(self.status, self.code, &self.message)
    }
}

/// An error as JSON services write it.
pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": message});
    answer(status, &JSON, body.to_string())
}

fn url_of(name: &str) -> String {
    format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}")
}

fn name_of(input: &Value) -> Result<&str, Fault> {
    let url = text(input, "QueueUrl")?;
    Ok(url.rsplit('/').next().unwrap_or_default())
}

fn text<'a>(input: &'a Value, name: &str) -> Result<&'a str, Fault> {
    input[name]
        .as_str()
        .ok_or_else(|| Fault::new("MissingParameter", format!("{name} is missing")))
}

fn md5(body: &str) -> String {
    let sum = Md5::checksum(body.as_bytes());
    AsRef::<[u8]>::as_ref(&sum)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
