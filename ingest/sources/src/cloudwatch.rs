//! CloudWatch Logs: `cwl://log-group[/stream-prefix]`, or `cwl://prefix*` for many groups.
//!
//! FilterLogEvents selects by the time of an event, and events come in late. So
//! windows over event time are read, and the last of them again and again, as far
//! back as the look-back says; the ids of events in there are remembered, and each
//! event is handed out once. An event that comes in later than the look-back is
//! missed; what is learnt from ingestion times widens it, within bounds.
//!
//! ```text
//! ----------------|== look-back ==|-- up to 2 h ahead
//!              settled           now
//!  handed out once |  read again, known by id
//! ```

mod address;
mod calls;
mod deliver;
mod group;
mod position;
mod rate;
mod tail;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};
use trailhound_aws::Aws;
use trailhound_ingest::error::Error;

use crate::source::{Delivery, Outcome, Receipt, Resume, Source, Step};
use address::Address;
use calls::{Calls, Page};
use deliver::Maker;
use group::{Group, Window};
use position::{Memory, Position};
use tail::Tail;

pub use deliver::LogGroup;

/// Without `since`, this much is read of what was logged before: a group may go
/// back for years.
const SINCE_DEFAULT_MS: i64 = 24 * 3600 * 1000;

/// CloudWatch Logs takes events whose time is up to this far ahead.
const AHEAD_MS: i64 = 2 * 3600 * 1000;

/// Groups of a prefix are listed anew this often.
const LIST_EVERY: Duration = Duration::from_secs(300);

/// How log groups are read.
#[derive(Debug, Clone)]
pub struct CloudWatchOptions {
    /// Go on with events as they come in.
    pub follow: bool,
    /// Events from this time on, milliseconds since the epoch. None: those of the
    /// last 24 hours. A position that is resumed goes before.
    pub since_ms: Option<i64>,
    /// Events before this time, milliseconds since the epoch.
    pub until_ms: Option<i64>,
    /// How late events may come in and still be read.
    pub lookback: Duration,
    /// How far the look-back may be widened when events come in later than it.
    pub lookback_max: Duration,
    /// Most requests in a second, of all groups that one process reads in one Region.
    pub rate: f64,
    /// Time between two reads of a group that is followed.
    pub poll: Duration,
    /// Take events as they come in by StartLiveTail: quick, and lossy.
    pub live_tail: bool,
    /// The services lie at an address of one's own: no name is put before it.
    pub custom_endpoint: bool,
}

impl Default for CloudWatchOptions {
    fn default() -> Self {
        CloudWatchOptions {
            follow: false,
            since_ms: None,
            until_ms: None,
            lookback: Duration::from_secs(15 * 60),
            lookback_max: Duration::from_secs(2 * 3600),
            // AWS's lowest quota for FilterLogEvents, by account and Region.
            rate: 5.0,
            poll: Duration::from_secs(5),
            live_tail: false,
            custom_endpoint: false,
        }
    }
}

/// Log groups of one address.
pub struct CloudWatch {
    name: String,
    mode: Mode,
}

enum Mode {
    Filter(Box<Mutex<Filter>>),
    Tail(Box<Mutex<Tail>>),
}

/// What is read by FilterLogEvents.
struct Filter {
    name: String,
    address: Address,
    calls: Arc<Calls>,
    options: CloudWatchOptions,
    groups: Vec<Group>,
    memory: Memory,
    maker: Maker,
    /// First event time that is read of a group without a position.
    since_ms: i64,
    /// Last event time that is read, if there is one.
    last_ms: Option<i64>,
    window: Option<(usize, Window)>,
    pending: VecDeque<Delivery>,
    said_idle: bool,
    list_at: Instant,
    /// Positions of groups that were not found this time: kept as they are.
    others: Position,
}

impl CloudWatch {
    /// Opens `address`: `cwl://log-group`, `cwl://log-group/stream-prefix` or
    /// `cwl://prefix*`.
    ///
    /// # Errors
    /// The address makes no sense, no group has this name, the position is not one
    /// of this source, or CloudWatch Logs cannot be reached.
    pub async fn open(
        address: &str,
        aws: &Aws,
        options: CloudWatchOptions,
        resume: Resume,
    ) -> Result<Self, Error> {
        let options = CloudWatchOptions {
            custom_endpoint: options.custom_endpoint || aws.endpoint_url().is_some(),
            ..options
        };
        let place = format!("{} {}", aws.region(), aws.endpoint_url().unwrap_or_default());
        let config = aws_sdk_cloudwatchlogs::config::Builder::from(aws.sdk());
        Self::with_config(address, config, &place, options, resume).await
    }

    /// As [`CloudWatch::open`], with the SDK's configuration. All sources of one
    /// process that name the same `place` share one cap on requests.
    ///
    /// # Errors
    /// As [`CloudWatch::open`].
    pub async fn with_config(
        address: &str,
        config: aws_sdk_cloudwatchlogs::config::Builder,
        place: &str,
        options: CloudWatchOptions,
        resume: Resume,
    ) -> Result<Self, Error> {
        if !(options.rate.is_finite() && options.rate > 0.0) {
            return Err(Error::wrong_use(format!(
                "{address}: a rate of {} requests per second",
                options.rate
            ))
            .with_help("give a rate above 0, such as 5"));
        }
        let parsed = Address::parse(address)?;
        let calls = Arc::new(Calls::new(address, config, rate::shared(place, options.rate)));
        let (parsed, found) = parsed.resolve(&calls).await?;
        let name = address.to_owned();
        let mode = if options.live_tail {
            let tail = Tail::new(&name, parsed, found, calls, options)?;
            Mode::Tail(Box::new(Mutex::new(tail)))
        } else {
            let filter = Filter::new(&name, parsed, found, calls, options, resume)?;
            Mode::Filter(Box::new(Mutex::new(filter)))
        };
        Ok(CloudWatch { name, mode })
    }
}

#[async_trait]
impl Source for CloudWatch {
    fn name(&self) -> &str {
        &self.name
    }

    async fn next(&self) -> Result<Step, Error> {
        match &self.mode {
            Mode::Filter(filter) => filter.lock().await.next().await,
            Mode::Tail(tail) => tail.lock().await.next().await,
        }
    }

    async fn settle(&self, outcomes: Vec<(Receipt, Outcome)>) -> Result<(), Error> {
        // Nothing is kept at AWS, and the position travels with the receipts.
        for (receipt, outcome) in outcomes {
            if let Outcome::Failed { reason } = outcome {
                warn!(
                    source = self.name,
                    delivery = receipt.number,
                    reason,
                    "log events were not taken: they come again at the next start from an earlier position"
                );
            }
        }
        Ok(())
    }
}

impl Filter {
    fn new(
        name: &str,
        address: Address,
        found: Vec<LogGroup>,
        calls: Arc<Calls>,
        options: CloudWatchOptions,
        resume: Resume,
    ) -> Result<Self, Error> {
        let now = now_ms();
        let since_ms = options.since_ms.unwrap_or(now - SINCE_DEFAULT_MS);
        let last_ms = match (options.until_ms, options.follow) {
            (Some(until), _) => Some(until - 1),
            (None, true) => None,
            (None, false) => Some(now + AHEAD_MS),
        };
        let (others, memory) = position::resume(name, &resume)?;
        let mut filter = Filter {
            name: name.to_owned(),
            maker: Maker::default(),
            address,
            calls,
            options,
            groups: Vec::new(),
            memory,
            since_ms,
            last_ms,
            window: None,
            pending: VecDeque::new(),
            said_idle: true,
            list_at: Instant::now() + LIST_EVERY,
            others,
        };
        filter.add(found);
        Ok(filter)
    }

    /// Takes up groups that are not known yet.
    fn add(&mut self, found: Vec<LogGroup>) {
        for log_group in found {
            if self
                .groups
                .iter()
                .any(|group| group.log_group.name == log_group.name)
            {
                continue;
            }
            let resumed = self.others.groups.remove(&log_group.name);
            let is_new = resumed.is_none();
            let group = Group::new(log_group, resumed, self.since_ms, &self.options);
            if is_new && self.options.since_ms.is_none() {
                info!(
                    source = self.name,
                    group = group.log_group.name,
                    from = time(group.settled_ms),
                    "reads the last 24 hours and what comes; say --since for more"
                );
            } else {
                info!(
                    source = self.name,
                    group = group.log_group.name,
                    from = time(group.settled_ms),
                    "reads events from here"
                );
            }
            self.groups.push(group);
        }
    }

    async fn next(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(delivery) = self.pending.pop_front() {
                self.said_idle = false;
                return Ok(Step::Delivery(Box::new(delivery)));
            }
            if self.window.is_none() {
                self.list_anew().await?;
                let now = Instant::now();
                let next = (0..self.groups.len())
                    .filter(|&index| !self.groups[index].done)
                    .min_by_key(|&index| self.groups[index].due);
                let Some(index) = next else {
                    if self.options.follow && self.address.is_many() && self.last_ms.is_none() {
                        // No group yet, or none any more: one may come.
                        if !self.said_idle {
                            self.said_idle = true;
                            return Ok(Step::Idle);
                        }
                        tokio::time::sleep_until(self.list_at).await;
                        continue;
                    }
                    return Ok(Step::End);
                };
                let due = self.groups[index].due;
                if due > now {
                    if !self.said_idle {
                        self.said_idle = true;
                        return Ok(Step::Idle);
                    }
                    tokio::time::sleep_until(due).await;
                }
                let window = self.groups[index].window(now_ms(), self.last_ms);
                self.window = Some((index, window));
            }
            self.read_page().await?;
        }
    }

    /// Reads the next page of the window under way.
    async fn read_page(&mut self) -> Result<(), Error> {
        let Some((index, window)) = &mut self.window else {
            return Ok(());
        };
        let index = *index;
        let group = &mut self.groups[index];
        let page = self
            .calls
            .filter(
                &group.log_group.name,
                self.address.stream_prefix(),
                (window.start_ms, window.end_ms),
                window.token.as_deref(),
            )
            .await?;
        let (events, token) = match page {
            Page::Events { events, token } => (events, token),
            Page::TokenExpired => {
                info!(
                    source = self.name,
                    group = group.log_group.name,
                    "the token of a page ran out: reads its window again"
                );
                window.token = None;
                return Ok(());
            }
            Page::Missing => {
                let name = group.log_group.name.clone();
                if !self.address.is_many() {
                    return Err(address::missing(&self.name, &name, &[]));
                }
                warn!(
                    source = self.name,
                    group = name,
                    "the log group was deleted: goes on without it"
                );
                (group.done, group.gone) = (true, true);
                self.window = None;
                return Ok(());
            }
        };
        let is_many = self.address.is_many();
        let group_name = is_many.then_some(&*group.log_group.name);
        let mut new = Vec::new();
        for event in events {
            let lateness = event.ingestion_ms.map_or(0, |at| at - event.timestamp_ms);
            if self.memory.is_new(&event.id, group_name, event.timestamp_ms) {
                window.lateness_ms = window.lateness_ms.max(lateness);
                window.events += 1;
                new.push(event);
            }
        }
        let deliveries = self.maker.page(group, new, is_many, now_ms());
        window.token = token;
        let is_last_page = window.token.is_none();
        self.pending.extend(deliveries);
        if let Some(last) = self.pending.back_mut() {
            // All of the page travels with its last delivery; what came before is known
            // by id until then.
            let mut position = self.others.clone();
            let here = self.groups.iter().filter(|group| !group.gone);
            position
                .groups
                .extend(here.map(|group| (group.log_group.name.clone(), group.position())));
            last.receipt.position = Some(position.to_json());
            last.receipt.forget_before = settled(&self.groups);
        }
        if is_last_page && let Some((index, window)) = self.window.take() {
            self.finish(index, &window);
        }
        Ok(())
    }

    fn finish(&mut self, index: usize, window: &Window) {
        let now = now_ms();
        let group = &mut self.groups[index];
        group.finish(&self.name, window, self.last_ms, &self.options);
        group.forget_streams(now);
        if let Some(settled) = settled(&self.groups) {
            self.memory.forget_before(settled);
        }
    }

    async fn list_anew(&mut self) -> Result<(), Error> {
        if self.options.follow && self.address.is_many() && Instant::now() >= self.list_at {
            let found = self.address.list(&self.calls).await?;
            self.add(found);
            self.list_at = Instant::now() + LIST_EVERY;
        }
        Ok(())
    }
}

/// Events before this time do not come again, whichever their group.
fn settled(groups: &[Group]) -> Option<i64> {
    let here = groups.iter().filter(|group| !group.gone);
    here.map(|group| group.settled_ms).min()
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// A time as people read it.
fn time(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map_or_else(
        || ms.to_string(),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    )
}
