//! Live tail: events within a second, and no promise that all of them come.
//!
//! CloudWatch Logs shows at most 500 events in a second and says that it left out
//! others; what comes in between two sessions is not shown at all, and events have
//! no ids. So there is no position, and each session's streams have names of their own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatchlogs::operation::start_live_tail::StartLiveTailOutput;
use aws_sdk_cloudwatchlogs::types::{LiveTailSessionLogEvent, StartLiveTailResponseStream};
use tokio::time::Instant;
use tracing::{info, warn};
use trailhound_aws::chain_of;
use trailhound_ingest::error::Error;

use super::address::Address;
use super::calls::Calls;
use super::deliver::{Event, LogGroup, Maker, by_stream};
use super::rate::back_off;
use super::{CloudWatchOptions, now_ms};
use crate::source::{Delivery, Step};

/// AWS's bound for one session.
const GROUPS_MAX: usize = 10;

/// That lines are left out is said again after this time.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// A session that lasted this long counts as one that worked.
const LASTED: Duration = Duration::from_secs(10);

/// Groups that are tailed.
pub struct Tail {
    name: String,
    groups: Vec<LogGroup>,
    stream_prefix: Option<String>,
    calls: Arc<Calls>,
    options: CloudWatchOptions,
    maker: Maker,
    session: Option<Session>,
    pending: VecDeque<Delivery>,
    said_idle: bool,
    /// Sessions in a row that ended at once.
    short_sessions: u32,
    /// Updates that left out lines, since it was last said.
    sampled: u64,
    said_at: Option<Instant>,
}

struct Session {
    output: StartLiveTailOutput,
    id: String,
    began: Instant,
    /// Events by group and stream.
    counts: HashMap<String, u64>,
}

impl Tail {
    /// A tail of `groups`, not yet begun.
    ///
    /// # Errors
    /// There are too many groups for one session, or their ARNs are not known.
    pub fn new(
        name: &str,
        address: Address,
        groups: Vec<LogGroup>,
        calls: Arc<Calls>,
        options: CloudWatchOptions,
    ) -> Result<Self, Error> {
        if groups.len() > GROUPS_MAX {
            return Err(Error::wrong_use(format!(
                "{name}: a live tail shows at most {GROUPS_MAX} log groups, and these are {}",
                groups.len()
            ))
            .with_help("name fewer groups, or read them without --live-tail"));
        }
        if let Some(group) = groups.iter().find(|group| group.arn.is_none()) {
            return Err(Error::wrong_use(format!(
                "{name}: the ARN of log group {} is not known",
                group.name
            ))
            .with_help("a live tail needs logs:DescribeLogGroups: allow it, or read without --live-tail"));
        }
        warn!(
            source = name,
            "live tail is lossy: CloudWatch Logs shows at most 500 events in a second, and nothing of what comes \
             while there is no session; read without --live-tail to get every event"
        );
        Ok(Tail {
            name: name.to_owned(),
            groups,
            stream_prefix: address.stream_prefix().map(str::to_owned),
            calls,
            options,
            maker: Maker::default(),
            session: None,
            pending: VecDeque::new(),
            said_idle: true,
            short_sessions: 0,
            sampled: 0,
            said_at: None,
        })
    }

    /// The next events of any of the groups.
    ///
    /// # Errors
    /// No session can be begun.
    pub async fn next(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(delivery) = self.pending.pop_front() {
                self.said_idle = false;
                return Ok(Step::Delivery(Box::new(delivery)));
            }
            if self.options.until_ms.is_some_and(|until| now_ms() >= until) {
                return Ok(Step::End);
            }
            let Some(session) = &mut self.session else {
                self.begin().await?;
                continue;
            };
            let ended = match session.output.response_stream.recv().await {
                Ok(Some(StartLiveTailResponseStream::SessionStart(start))) => {
                    session.id = start.session_id.unwrap_or_default();
                    continue;
                }
                Ok(Some(StartLiveTailResponseStream::SessionUpdate(update))) => {
                    let sampled = update.session_metadata.is_some_and(|metadata| metadata.sampled);
                    let events = update.session_results.unwrap_or_default();
                    let shown = events.len();
                    self.take(events);
                    self.say_sampled(sampled, shown);
                    if self.pending.is_empty() && !self.said_idle {
                        self.said_idle = true;
                        return Ok(Step::Idle);
                    }
                    continue;
                }
                // Something newer than this program.
                Ok(Some(_)) => continue,
                Ok(None) => "it was closed".to_owned(),
                Err(error) => chain_of(&error),
            };
            self.end(&ended).await;
        }
    }

    async fn begin(&mut self) -> Result<(), Error> {
        let arns: Vec<String> = self.groups.iter().filter_map(|group| group.arn.clone()).collect();
        let output = self
            .calls
            .tail(&arns, self.stream_prefix.as_deref(), self.options.custom_endpoint)
            .await?;
        info!(
            source = self.name,
            groups = arns.len(),
            "a live tail session began"
        );
        self.session = Some(Session {
            output,
            id: now_ms().to_string(),
            began: Instant::now(),
            counts: HashMap::new(),
        });
        Ok(())
    }

    async fn end(&mut self, reason: &str) {
        let lasted = self
            .session
            .take()
            .is_some_and(|session| session.began.elapsed() >= LASTED);
        self.short_sessions = if lasted { 0 } else { self.short_sessions + 1 };
        warn!(
            source = self.name,
            reason, "a live tail session ended: begins another; what comes in between is missing"
        );
        tokio::time::sleep(back_off(self.short_sessions)).await;
    }

    fn take(&mut self, events: Vec<LiveTailSessionLogEvent>) {
        let Some(session) = &mut self.session else {
            return;
        };
        let mut by_group: Vec<Vec<Event>> = vec![Vec::new(); self.groups.len()];
        for event in events {
            let identifier = event.log_group_identifier.unwrap_or_default();
            // AWS names the group by its ARN here, and by account and name there.
            let is_it = |group: &LogGroup| {
                group.arn.as_deref() == Some(&*identifier)
                    || group.name == identifier
                    || identifier
                        .split_once(':')
                        .is_some_and(|(_, name)| name == group.name)
            };
            let place = self.groups.iter().position(is_it).unwrap_or_default();
            by_group[place].push(Event {
                stream: event.log_stream_name.unwrap_or_default(),
                id: String::new(),
                timestamp_ms: event.timestamp.unwrap_or_default(),
                ingestion_ms: event.ingestion_time,
                message: event.message.unwrap_or_default(),
            });
        }
        for (group, events) in self.groups.iter().zip(by_group) {
            for events in by_stream(events) {
                // Lines of a session are not those of the whole stream.
                let name = format!("cwl://{}/{}#live-{}", group.name, events[0].stream, session.id);
                let count = session.counts.entry(name.clone()).or_default();
                let before = *count;
                *count += events.len() as u64;
                self.pending
                    .push_back(self.maker.delivery(group, &events, name, before));
            }
        }
    }

    fn say_sampled(&mut self, sampled: bool, shown: usize) {
        self.sampled += u64::from(sampled);
        if self.sampled > 0 && self.said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            warn!(
                source = self.name,
                updates = self.sampled,
                shown,
                "live tail is being sampled: lines are left out"
            );
            self.sampled = 0;
            self.said_at = Some(Instant::now());
        }
    }
}
