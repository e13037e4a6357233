//! The objects that a queue announces.
//!
//! A message is deleted once all objects that it announced are safe. Until then its
//! time is extended; what fails goes back to the queue, whose own policy decides
//! when it is dead. Messages that are no notices are never touched.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName, QueueAttributeName,
};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_ingest::notices::{Notice, Object, notices};

use crate::calls::{Calls, Refused};
use crate::keys::is_no_log;
use crate::object::{Found, delivery, unquoted};
use crate::open::SourceOptions;
use crate::source::{Delivery, Outcome, Receipt, Source, Step};

/// Messages in one request: AWS's own limit.
const BATCH: usize = 10;

/// A message that failed is shown again after this, doubled with each receive.
const AGAIN_SECONDS: u32 = 5;

/// And after this at the latest.
const AGAIN_SECONDS_MAX: u32 = 900;

/// Ids of foreign messages that are remembered, so that each counts once.
const FOREIGN_MAX: usize = 10_000;

/// A queue as a source.
pub struct Sqs {
    shared: Arc<Shared>,
    follow: bool,
    wait: Duration,
    messages_max: usize,
    ready: Mutex<Ready>,
    heartbeat: JoinHandle<()>,
}

/// What waits to be handed out.
#[derive(Default)]
struct Ready {
    deliveries: VecDeque<Delivery>,
    is_idle_told: bool,
}

/// What the heartbeat needs too.
struct Shared {
    calls: Arc<Calls>,
    url: String,
    visibility: i32,
    flight: std::sync::Mutex<Flight>,
    landed: Notify,
}

/// Messages under way.
#[derive(Default)]
struct Flight {
    number: u64,
    messages: HashMap<String, InFlight>,
    /// Message of each delivery that is not settled.
    deliveries: HashMap<u64, String>,
    /// Handles of messages that are done, until the queue knows.
    done: Vec<String>,
    foreign: HashSet<String>,
    foreign_count: u64,
}

struct InFlight {
    handle: String,
    open: HashSet<u64>,
    is_failed: bool,
    receives: u32,
}

impl Sqs {
    /// The queue of a name or a URL.
    ///
    /// # Errors
    /// It is not there, or cannot be reached.
    pub async fn open(name: &str, queue: &str, options: &SourceOptions) -> Result<Self, Error> {
        let region = region_of(queue);
        let endpoint = options.endpoint_url.as_deref();
        let calls = Arc::new(Calls::open(name, endpoint, options.patience, region).await?);
        let url = if queue.contains("://") {
            queue.to_owned()
        } else {
            let found = calls
                .send("GetQueueUrl", |clients| {
                    clients.sqs.get_queue_url().queue_name(queue).send()
                })
                .await;
            let found = match found {
                Ok(found) => found,
                Err(refused) => return Err(sqs_error(&calls, queue, &refused).await),
            };
            found.queue_url().unwrap_or_default().to_owned()
        };
        let attributes = calls
            .send("GetQueueAttributes", |clients| {
                clients
                    .sqs
                    .get_queue_attributes()
                    .queue_url(&url)
                    .attribute_names(QueueAttributeName::VisibilityTimeout)
                    .send()
            })
            .await;
        let attributes = match attributes {
            Ok(attributes) => attributes,
            Err(refused) => return Err(sqs_error(&calls, queue, &refused).await),
        };
        let visibility = attributes
            .attributes()
            .and_then(|all| all.get(&QueueAttributeName::VisibilityTimeout)?.parse().ok())
            .unwrap_or(30);
        // A queue may show messages again at once; under way they must not come twice.
        let visibility = i32::max(visibility, 1);
        let shared = Arc::new(Shared {
            calls,
            url,
            visibility,
            flight: std::sync::Mutex::default(),
            landed: Notify::new(),
        });
        Ok(Sqs {
            heartbeat: tokio::spawn(heartbeat(shared.clone())),
            shared,
            follow: options.follow,
            wait: options.wait.min(Duration::from_secs(20)),
            messages_max: options.messages_max.max(1),
            ready: Mutex::default(),
        })
    }

    /// Messages so far that are no notices. They are left in the queue.
    pub fn foreign(&self) -> u64 {
        self.shared.flight().foreign_count
    }

    /// Messages that are under way.
    pub fn in_flight(&self) -> usize {
        self.shared.flight().messages.len()
    }

    /// Asks for messages once. Tells whether some came that were not known as foreign.
    async fn receive(&self, ready: &mut Ready, wait: Duration) -> Result<bool, Error> {
        let shared = &self.shared;
        let answer = shared
            .calls
            .send("ReceiveMessage", |clients| {
                clients
                    .sqs
                    .receive_message()
                    .queue_url(&shared.url)
                    .max_number_of_messages(BATCH as i32)
                    .visibility_timeout(shared.visibility)
                    .wait_time_seconds(wait.as_secs() as i32)
                    .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
                    .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
                    .send()
            })
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(refused) => return Err(sqs_error(&shared.calls, &shared.url, &refused).await),
        };
        let mut is_news = false;
        for message in answer.messages.unwrap_or_default() {
            is_news |= self.take(ready, message).await;
        }
        shared.tell_done().await?;
        Ok(is_news)
    }

    /// Takes one message in. False: it is foreign, and known as such.
    async fn take(&self, ready: &mut Ready, message: Message) -> bool {
        let shared = &self.shared;
        let id = message.message_id.clone().unwrap_or_default();
        let handle = message.receipt_handle.clone().unwrap_or_default();
        let attribute = |name| {
            message
                .attributes
                .as_ref()
                .and_then(|all| all.get(&name))
                .cloned()
        };
        let receives = attribute(MessageSystemAttributeName::ApproximateReceiveCount);
        let sent = attribute(MessageSystemAttributeName::SentTimestamp);
        if let Some(known) = shared.flight().messages.get_mut(&id) {
            // Its time ran out while it was under way. The new handle is the one that counts.
            known.handle = handle;
            return true;
        }
        let announced = match notices(message.body.as_deref().unwrap_or_default().as_bytes()) {
            Ok(announced) => announced,
            Err(error) => return shared.leave(&id, &error.to_string()),
        };
        let mut is_failed = false;
        let mut objects = Vec::new();
        for notice in announced {
            match notice {
                Notice::Object(object) if !is_no_log(&object.key) => objects.push(object),
                Notice::Object(_) | Notice::Test | Notice::Ignored(_) => {}
                Notice::Broken(error) => {
                    is_failed = true;
                    shared.leave(&id, &error.to_string());
                }
            }
        }
        let mut found = Vec::with_capacity(objects.len());
        for object in objects {
            found.push(shared.found(object, sent.as_deref()).await);
        }
        let mut flight = shared.flight();
        if found.is_empty() {
            if !is_failed {
                flight.done.push(handle);
            }
            return true;
        }
        let mut open = HashSet::new();
        for found in found {
            flight.number += 1;
            let number = flight.number;
            open.insert(number);
            flight.deliveries.insert(number, id.clone());
            let receipt = Receipt {
                number,
                ..Receipt::default()
            };
            ready
                .deliveries
                .push_back(delivery(&shared.calls, found, receipt));
        }
        flight.messages.insert(
            id,
            InFlight {
                handle,
                open,
                is_failed,
                receives: receives.and_then(|count| count.parse().ok()).unwrap_or(1),
            },
        );
        true
    }
}

impl Drop for Sqs {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

impl Shared {
    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a message alone that is no notice. Tells whether it is a new one.
    fn leave(&self, id: &str, reason: &str) -> bool {
        let mut flight = self.flight();
        if flight.foreign.len() >= FOREIGN_MAX {
            flight.foreign.clear();
        }
        if !flight.foreign.insert(id.to_owned()) {
            return false;
        }
        flight.foreign_count += 1;
        if flight.foreign_count == 1 {
            tracing::warn!(
                source = self.calls.name,
                message = id,
                reason,
                "not a notice of an object: it and its like are left to the queue's dead-letter policy"
            );
        } else {
            tracing::debug!(
                source = self.calls.name,
                message = id,
                reason,
                "not a notice of an object"
            );
        }
        true
    }

    /// What a notice says of an object. CloudTrail's own do not say which version: it is asked for.
    async fn found(&self, object: Object, sent: Option<&str>) -> Found {
        let mut found = Found {
            tag: object.etag.as_deref().map(unquoted),
            bytes: object.size,
            changed: sent.and_then(|time| Some(time.parse::<i64>().ok()? * 1000)),
            bucket: object.bucket,
            key: object.key,
        };
        if found.tag.is_none() {
            let head = self
                .calls
                .send("HeadObject", |clients| {
                    let request = clients.s3.head_object();
                    request.bucket(&found.bucket).key(&found.key).send()
                })
                .await;
            // If it cannot be asked for, it cannot be read either, and reading says why.
            if let Ok(head) = head {
                found.tag = head.e_tag().map(unquoted);
                found.bytes = head
                    .content_length()
                    .and_then(|length| u64::try_from(length).ok());
            }
        }
        found
    }

    /// Deletes the messages that are done.
    async fn tell_done(&self) -> Result<(), Error> {
        loop {
            let batch: Vec<String> = {
                let mut flight = self.flight();
                let count = flight.done.len().min(BATCH);
                flight.done.drain(..count).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            let entries: Vec<_> = batch
                .iter()
                .enumerate()
                .filter_map(|(index, handle)| {
                    let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
                    entry.receipt_handle(handle).build().ok()
                })
                .collect();
            let answer = self
                .calls
                .send("DeleteMessageBatch", |clients| {
                    let request = clients.sqs.delete_message_batch().queue_url(&self.url);
                    request.set_entries(Some(entries.clone())).send()
                })
                .await;
            match answer {
                Ok(answer) => {
                    for failed in answer.failed() {
                        let reason = failed.message().unwrap_or(failed.code());
                        tracing::warn!(
                            source = self.calls.name,
                            reason,
                            "a message could not be deleted: it will come again"
                        );
                    }
                }
                Err(refused) => {
                    self.flight().done.extend(batch);
                    return Err(sqs_error(&self.calls, &self.url, &refused).await);
                }
            }
        }
    }

    /// Sets the time until messages are shown again: handles and seconds.
    async fn show_after(&self, changes: &[(String, i32)]) {
        for batch in changes.chunks(BATCH) {
            let entries: Vec<_> = batch
                .iter()
                .enumerate()
                .filter_map(|(index, (handle, seconds))| {
                    ChangeMessageVisibilityBatchRequestEntry::builder()
                        .id(index.to_string())
                        .receipt_handle(handle)
                        .visibility_timeout(*seconds)
                        .build()
                        .ok()
                })
                .collect();
            let answer = self
                .calls
                .send("ChangeMessageVisibilityBatch", |clients| {
                    let request = clients.sqs.change_message_visibility_batch().queue_url(&self.url);
                    request.set_entries(Some(entries.clone())).send()
                })
                .await;
            if let Err(refused) = answer {
                // They come again earlier than they should. The pipeline knows what it has.
                tracing::warn!(
                    source = self.calls.name,
                    reason = refused.reason,
                    "cannot extend messages"
                );
            }
        }
    }
}

/// Extends the time of all messages under way, three times as often as needed.
async fn heartbeat(shared: Arc<Shared>) {
    let mut beat = tokio::time::interval(Duration::from_secs(shared.visibility as u64) / 3);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    beat.tick().await;
    loop {
        beat.tick().await;
        let handles: Vec<(String, i32)> = {
            let flight = shared.flight();
            let handles = flight.messages.values().map(|message| message.handle.clone());
            handles.map(|handle| (handle, shared.visibility)).collect()
        };
        shared.show_after(&handles).await;
    }
}

#[async_trait]
impl Source for Sqs {
    fn name(&self) -> &str {
        &self.shared.calls.name
    }

    async fn next(&self) -> Result<Step, Error> {
        let mut ready = self.ready.lock().await;
        loop {
            if let Some(delivery) = ready.deliveries.pop_front() {
                ready.is_idle_told = false;
                return Ok(Step::Delivery(Box::new(delivery)));
            }
            let landed = self.shared.landed.notified();
            let in_flight = self.in_flight();
            if in_flight >= self.messages_max {
                if !ready.is_idle_told {
                    ready.is_idle_told = true;
                    return Ok(Step::Idle);
                }
                let _ = tokio::time::timeout(Duration::from_secs(1), landed).await;
                continue;
            }
            // What is under way should not wait for a queue that is empty.
            let is_short = in_flight > 0 && self.follow && !ready.is_idle_told;
            let wait = if is_short {
                Duration::from_secs(1)
            } else {
                self.wait
            };
            let is_news = self.receive(&mut ready, wait).await?;
            if !ready.deliveries.is_empty() {
                continue;
            }
            if !self.follow && !is_news {
                return Ok(Step::End);
            }
            if self.follow && !ready.is_idle_told {
                ready.is_idle_told = true;
                return Ok(Step::Idle);
            }
        }
    }

    async fn settle(&self, outcomes: Vec<(Receipt, Outcome)>) -> Result<(), Error> {
        let mut again: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        {
            let mut flight = self.shared.flight();
            for (receipt, outcome) in outcomes {
                let Some(id) = flight.deliveries.remove(&receipt.number) else {
                    continue;
                };
                let Some(message) = flight.messages.get_mut(&id) else {
                    continue;
                };
                message.open.remove(&receipt.number);
                if let Outcome::Failed { reason } | Outcome::Refused { reason } = outcome {
                    message.is_failed = true;
                    tracing::warn!(
                        source = self.shared.calls.name,
                        message = id,
                        reason,
                        "goes back to the queue"
                    );
                }
                if message.open.is_empty()
                    && let Some(message) = flight.messages.remove(&id)
                {
                    if message.is_failed {
                        let doubled = AGAIN_SECONDS << message.receives.saturating_sub(1).min(16);
                        let seconds = doubled.min(AGAIN_SECONDS_MAX);
                        again.entry(seconds).or_default().push(message.handle);
                    } else {
                        flight.done.push(message.handle);
                    }
                }
            }
        }
        self.shared.landed.notify_waiters();
        let again: Vec<(String, i32)> = again
            .into_iter()
            .flat_map(|(seconds, handles)| handles.into_iter().map(move |handle| (handle, seconds as i32)))
            .collect();
        self.shared.show_after(&again).await;
        self.shared.tell_done().await
    }
}

/// The Region in a queue's URL.
fn region_of(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split('/').next()?;
    let region = host.strip_prefix("sqs.")?.split_once(".amazonaws.com")?.0;
    (!region.is_empty()).then_some(region)
}

async fn sqs_error(calls: &Calls, queue: &str, refused: &Refused) -> Error {
    let region = calls.clients().await.region;
    let unreachable = |message: String| Error::new(ErrorKind::Unreachable, message);
    let name = &calls.name;
    match refused.code.as_str() {
        "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => {
            unreachable(format!("{name}: there is no queue {queue} in {region}"))
                .with_help("check its name, account and Region; a URL says all three")
        }
        "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => unreachable(
            format!("{name}: the credentials are not accepted: {}", refused.reason),
        )
        .with_help("check AWS_PROFILE, or sign in anew"),
        code if code.starts_with("AccessDenied") || refused.status == 403 => {
            unreachable(format!("{name}: access is denied")).with_help(
                "reading a queue needs sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility, \
                 sqs:GetQueueAttributes and, by name, sqs:GetQueueUrl",
            )
        }
        _ => unreachable(format!("{name}: {}", refused.reason))
            .with_help("check the network and --endpoint-url"),
    }
}
