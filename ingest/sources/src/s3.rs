//! The objects of a bucket: listed once, and looked for as they come.
//!
//! Folders of accounts, services and Regions are found first. Below a Region, keys
//! come in the order of time, so that a listing starts at the first day wanted and
//! stops after the last: no object before or after is listed, however many there are.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use trailhound_ingest::error::Error;

use crate::calls::{Calls, s3_error};
use crate::keys::{Level, Range, day_before, day_folder, is_no_log, read_key};
use crate::object::{Found, delivery, unquoted};
use crate::open::SourceOptions;
use crate::source::{Outcome, Receipt, Resume, Source, Step};

/// Folders that are not known to be a layout are entered so deep to look for one.
const DEPTH_MAX: usize = 5;

/// More folders than this beside each other are listed as one.
const FOLDERS_MAX: usize = 100;

/// New accounts and Regions are looked for this often, or at each full pass.
const DISCOVER_EVERY: Duration = Duration::from_secs(300);

/// Versions that are remembered, at 32 bytes each. Beyond, objects are announced
/// again, and the pipeline knows them.
const SEEN_MAX: usize = 2_000_000;

/// A bucket's objects below a prefix as a source.
pub struct S3 {
    calls: Arc<Calls>,
    bucket: String,
    prefix: String,
    follow: bool,
    poll: Duration,
    full_pass: Duration,
    days: Range,
    hashers: [RandomState; 2],
    state: Mutex<State>,
    given: std::sync::Mutex<Given>,
}

/// What was handed out.
#[derive(Default)]
struct Given {
    seen: HashSet<(u64, u64)>,
    unsettled: HashMap<u64, (u64, u64)>,
}

struct State {
    number: u64,
    pass: Option<Pass>,
    ready: VecDeque<Found>,
    /// What is listed: prefixes, and objects beside folders, in the order of keys.
    plan: Vec<Part>,
    discovered: Option<Instant>,
    full_due: Instant,
    /// Where the first full pass starts: a run before this one was there.
    after: Option<String>,
    /// The first pass after a complete one goes back to its day.
    back_to: Option<NaiveDate>,
    is_idle_told: bool,
    /// Requests of the last look, by which the next one waits.
    requests: u32,
}

/// One part of the plan.
#[derive(Debug, Clone)]
enum Part {
    Object(Found),
    Below(String),
}

/// A way through the plan.
struct Pass {
    is_full: bool,
    began: DateTime<Utc>,
    first: Option<NaiveDate>,
    after: Option<String>,
    parts: VecDeque<Part>,
    token: Option<String>,
}

/// Where a run is. It holds for the days that it was asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Position {
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<NaiveDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<NaiveDate>,
}

/// A page of a listing.
#[derive(Default)]
struct Page {
    objects: Vec<Found>,
    folders: Vec<String>,
    token: Option<String>,
}

impl S3 {
    /// The objects of `bucket` whose keys begin with `prefix`.
    ///
    /// # Errors
    /// There are no credentials or no Region.
    pub async fn open(
        name: &str,
        bucket: &str,
        prefix: &str,
        options: &SourceOptions,
        resume: &Resume,
    ) -> Result<Self, Error> {
        let calls = Calls::open(name, options.endpoint_url.as_deref(), options.patience, None).await?;
        let days = Range::new(options.since, options.until);
        // A position that cannot be read, or is of other days, is none: all is listed anew.
        let before: Position = resume
            .position
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
            .filter(|before: &Position| {
                let then = Range {
                    first: before.first,
                    last: before.last,
                };
                then.covers(&days)
            })
            .unwrap_or_default();
        let now = Utc::now();
        let complete = before.complete.filter(|_| options.follow);
        let ago = complete.map(|time| (now - time).to_std().unwrap_or_default());
        Ok(S3 {
            calls: Arc::new(calls),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            follow: options.follow,
            poll: options.poll,
            full_pass: options.full_pass,
            days,
            hashers: [RandomState::new(), RandomState::new()],
            state: Mutex::new(State {
                number: 0,
                pass: None,
                ready: VecDeque::new(),
                plan: Vec::new(),
                discovered: None,
                full_due: Instant::now()
                    + ago.map_or(Duration::ZERO, |ago| options.full_pass.saturating_sub(ago)),
                after: before.after,
                back_to: complete.map(|time| day_before(time.date_naive())),
                is_idle_told: false,
                requests: 0,
            }),
            given: std::sync::Mutex::default(),
        })
    }

    fn given(&self) -> std::sync::MutexGuard<'_, Given> {
        self.given
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn list(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        start_after: Option<&str>,
        token: Option<&str>,
    ) -> Result<Page, Error> {
        let answer = self
            .calls
            .send("ListObjectsV2", |clients| {
                clients
                    .s3
                    .list_objects_v2()
                    .bucket(&self.bucket)
                    .prefix(prefix)
                    .set_delimiter(delimiter.map(str::to_owned))
                    .set_start_after(start_after.map(str::to_owned))
                    .set_continuation_token(token.map(str::to_owned))
                    .send()
            })
            .await;
        let output = match answer {
            Ok(output) => output,
            Err(refused) => {
                let region = self.calls.clients().await.region;
                return Err(s3_error(&self.calls.name, &self.bucket, &region, &refused));
            }
        };
        let folders = output.common_prefixes();
        let folders = folders
            .iter()
            .filter_map(|folder| folder.prefix().map(str::to_owned));
        let objects = output.contents().iter().filter_map(|object| {
            let changed = object.last_modified().copied();
            Some(Found {
                bucket: self.bucket.clone(),
                key: object.key()?.to_owned(),
                tag: object.e_tag().map(unquoted),
                bytes: object.size().and_then(|size| u64::try_from(size).ok()),
                changed: changed.map(|time| (time.as_nanos() / 1000) as i64),
            })
        });
        Ok(Page {
            folders: folders.collect(),
            objects: objects.collect(),
            token: output
                .next_continuation_token()
                .filter(|_| output.is_truncated() == Some(true))
                .map(str::to_owned),
        })
    }

    /// What there is to list, in the order of keys.
    async fn discover(&self) -> Result<Vec<Part>, Error> {
        let is_whole = self.days == Range::default() && !self.follow;
        if is_whole {
            return Ok(vec![Part::Below(self.prefix.clone())]);
        }
        let mut plan = Vec::new();
        self.enter(self.prefix.clone(), 0, &mut plan).await?;
        plan.sort_by(|one, other| one.key().cmp(other.key()));
        Ok(plan)
    }

    /// Adds what is below `prefix` to the plan.
    fn enter<'a>(
        &'a self,
        prefix: String,
        depth: usize,
        plan: &'a mut Vec<Part>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let facts = read_key(&prefix);
            if facts.is_digest() {
                return Ok(());
            }
            let is_layout = facts.level != Level::Outside;
            let is_other = facts.level == Level::Region && !facts.is_in_order();
            if facts.is_in_order() || is_other || (!is_layout && depth >= DEPTH_MAX) {
                plan.push(Part::Below(prefix));
                return Ok(());
            }
            let mut page = self.list(&prefix, Some("/"), None, None).await?;
            if !is_layout && (page.token.is_some() || page.folders.len() > FOLDERS_MAX) {
                plan.push(Part::Below(prefix));
                return Ok(());
            }
            loop {
                plan.extend(page.objects.into_iter().map(Part::Object));
                for folder in page.folders {
                    self.enter(folder, depth + 1, plan).await?;
                }
                let Some(token) = page.token else { return Ok(()) };
                page = self.list(&prefix, Some("/"), None, Some(&token)).await?;
            }
        })
    }

    /// Starts a pass through all, or from the day before today on.
    async fn begin(&self, state: &mut State) -> Result<(), Error> {
        let is_full = Instant::now() >= state.full_due;
        let is_old = state
            .discovered
            .is_none_or(|time| time.elapsed() >= DISCOVER_EVERY);
        // Objects beside folders are known from the discovery only.
        let has_objects = state.plan.iter().any(|part| matches!(part, Part::Object(_)));
        if is_full || is_old || has_objects || state.plan.is_empty() {
            state.plan = self.discover().await?;
            state.discovered = Some(Instant::now());
        }
        let began = Utc::now();
        let first = if is_full {
            self.days.first
        } else {
            let day = state.back_to.take().unwrap_or(day_before(began.date_naive()));
            Some(self.days.first.map_or(day, |first| first.max(day)))
        };
        state.requests = 0;
        state.pass = Some(Pass {
            is_full,
            began,
            first,
            after: if is_full { state.after.take() } else { None },
            parts: state.plan.iter().cloned().collect(),
            token: None,
        });
        Ok(())
    }

    /// Takes the pass a page further. Ends it when there is nothing left.
    async fn go_on(&self, state: &mut State) -> Result<(), Error> {
        let Some(pass) = &mut state.pass else {
            return Ok(());
        };
        let Some(part) = pass.parts.front().cloned() else {
            if pass.is_full {
                state.full_due = Instant::now() + self.full_pass;
            }
            state.pass = None;
            return Ok(());
        };
        let after = pass.after.as_deref().unwrap_or_default();
        let is_behind = match &part {
            Part::Object(found) => found.key.as_str() <= after,
            Part::Below(prefix) => prefix.as_str() < after && !after.starts_with(prefix.as_str()),
        };
        if is_behind {
            pass.parts.pop_front();
            return Ok(());
        }
        let prefix = match part {
            Part::Object(found) => {
                pass.parts.pop_front();
                state
                    .ready
                    .extend(Some(found).filter(|found| self.is_wanted(found)));
                return Ok(());
            }
            Part::Below(prefix) => prefix,
        };
        let facts = read_key(&prefix);
        let lane = facts.lane.filter(|_| facts.is_in_order());
        let day = lane
            .zip(pass.first)
            .map(|(lane, day)| format!("{}{}", &prefix[..lane], day_folder(day, facts.is_hive)));
        let start = day
            .into_iter()
            .chain(pass.after.clone().filter(|after| after.starts_with(&prefix)))
            .max();
        let page = self
            .list(&prefix, None, start.as_deref(), pass.token.as_deref())
            .await?;
        state.requests += 1;
        let mut is_past = false;
        for found in page.objects {
            // Below a lane all that follows is of later days.
            let of = read_key(&found.key);
            is_past =
                lane.is_some() && of.lane == lane && of.day > self.days.last && self.days.last.is_some();
            if is_past {
                break;
            }
            if self.is_wanted(&found) {
                state.ready.push_back(found);
            }
        }
        pass.token = page.token.filter(|_| !is_past);
        if pass.token.is_none() {
            pass.parts.pop_front();
        }
        Ok(())
    }

    /// Whether an object is a log of the days wanted that was not handed out yet.
    fn is_wanted(&self, found: &Found) -> bool {
        let changed = found.changed.and_then(DateTime::from_timestamp_micros);
        !is_no_log(&found.key)
            && found.bytes != Some(0)
            && self.days.has_key(&found.key, changed)
            && !(self.follow && self.given().seen.contains(&self.print(found)))
    }

    /// A fingerprint of key and version.
    fn print(&self, found: &Found) -> (u64, u64) {
        let of = |hasher: &RandomState| hasher.hash_one((&found.key, &found.tag));
        (of(&self.hashers[0]), of(&self.hashers[1]))
    }

    fn hand_out(&self, state: &mut State, found: Found) -> Step {
        state.number += 1;
        state.is_idle_told = false;
        let full = state.pass.as_ref().filter(|pass| pass.is_full);
        let ends = state.ready.is_empty() && full.is_some_and(|pass| pass.parts.is_empty());
        let position = full.map(|pass| Position {
            after: Some(found.key.clone()).filter(|_| !ends),
            complete: Some(pass.began).filter(|_| ends),
            first: self.days.first,
            last: self.days.last,
        });
        if self.follow {
            let print = self.print(&found);
            let mut given = self.given();
            if given.seen.len() >= SEEN_MAX {
                given.seen.clear();
            }
            given.seen.insert(print);
            given.unsettled.insert(state.number, print);
        }
        let receipt = Receipt {
            number: state.number,
            position: position.and_then(|position| serde_json::to_string(&position).ok()),
            ..Receipt::default()
        };
        Step::Delivery(Box::new(delivery(&self.calls, found, receipt)))
    }
}

impl Part {
    fn key(&self) -> &str {
        match self {
            Part::Object(found) => &found.key,
            Part::Below(prefix) => prefix,
        }
    }
}

#[async_trait]
impl Source for S3 {
    fn name(&self) -> &str {
        &self.calls.name
    }

    async fn next(&self) -> Result<Step, Error> {
        let mut state = self.state.lock().await;
        if state.discovered.is_none() {
            self.begin(&mut state).await?;
        }
        loop {
            // One is held back: the last of a pass must be known as the last.
            while state.ready.len() < 2 && state.pass.as_ref().is_some_and(|pass| !pass.parts.is_empty()) {
                self.go_on(&mut state).await?;
            }
            if let Some(found) = state.ready.pop_front() {
                return Ok(self.hand_out(&mut state, found));
            }
            if state.pass.is_some() {
                self.go_on(&mut state).await?;
                continue;
            }
            if !self.follow {
                return Ok(Step::End);
            }
            if !state.is_idle_told {
                state.is_idle_told = true;
                return Ok(Step::Idle);
            }
            // Large listings are looked at less often, so that requests stay few.
            tokio::time::sleep(self.poll * state.requests.max(1)).await;
            self.begin(&mut state).await?;
        }
    }

    async fn settle(&self, outcomes: Vec<(Receipt, Outcome)>) -> Result<(), Error> {
        let mut given = self.given();
        for (receipt, outcome) in outcomes {
            let Some(print) = given.unsettled.remove(&receipt.number) else {
                continue;
            };
            if let Outcome::Failed { .. } = outcome {
                // The next look finds it anew.
                given.seen.remove(&print);
            }
        }
        Ok(())
    }
}
