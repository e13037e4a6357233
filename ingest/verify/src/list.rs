//! What lies in the bucket or folder: digests by chain, logs by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use trailhound_ingest::error::{Error, ErrorKind};

use crate::digest::{ChainId, DigestName, LogName, file_name};

/// A bucket or a folder.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where it is read from.
    pub store: Arc<dyn ObjectStore>,
    /// Everything below it is looked at.
    pub prefix: Path,
    /// What stands before a path of the store in `_source`: `s3://bucket`, or a folder.
    pub root: String,
}

impl Place {
    /// The name of `path`, as `_source` shows it.
    pub fn name(&self, path: &str) -> String {
        if self.root.is_empty() || self.root.ends_with('/') {
            format!("{}{path}", self.root)
        } else {
            format!("{}/{path}", self.root)
        }
    }
}

/// Which digests to check: those that cover some of this time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    /// From this time on.
    pub since: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
}

/// Time that a digest covers, at most.
pub(crate) const HOUR: TimeDelta = TimeDelta::hours(1);
/// Names of logs give the minute only.
pub(crate) const MINUTE: TimeDelta = TimeDelta::minutes(1);

impl Window {
    fn holds_digest(&self, end: DateTime<Utc>) -> bool {
        !self.is_before(end) && self.until.is_none_or(|until| end - HOUR < until)
    }

    /// Whether a digest with this end lies before the window.
    pub(crate) fn is_before(&self, end: DateTime<Utc>) -> bool {
        self.since.is_some_and(|since| end < since)
    }

    fn holds_log(&self, delivered: DateTime<Utc>) -> bool {
        self.since.is_none_or(|since| delivered >= since)
            && self.until.is_none_or(|until| delivered + MINUTE <= until)
    }
}

/// What was found, before anything is read.
#[derive(Debug)]
pub struct Found {
    pub(crate) window: Window,
    pub(crate) chains: BTreeMap<ChainId, FoundChain>,
    /// By the last part of the key: copies keep that, whatever folder they lie in.
    pub(crate) logs: HashMap<String, Vec<FoundLog>>,
    pub(crate) foreign: u64,
}

/// The digests of one chain.
#[derive(Debug, Default)]
pub(crate) struct FoundChain {
    /// In the window, by end and name.
    pub digests: BTreeMap<(DateTime<Utc>, String), Path>,
    /// The first one after the window: it has the hash and the signature of the last one in it.
    pub witness: Option<(DateTime<Utc>, Path)>,
}

#[derive(Debug)]
pub(crate) struct FoundLog {
    pub path: Path,
    pub delivered: DateTime<Utc>,
    pub in_window: bool,
    /// A digest names it.
    pub named: bool,
}

impl Found {
    /// Lists the place. Takes about 200 bytes of memory an object in the window.
    ///
    /// # Errors
    /// It cannot be listed.
    pub async fn list(place: &Place, window: Window) -> Result<Found, Error> {
        let mut found = Found {
            window,
            chains: BTreeMap::new(),
            logs: HashMap::new(),
            foreign: 0,
        };
        let mut objects = place.store.list(Some(&place.prefix));
        while let Some(object) = objects.try_next().await.map_err(|error| {
            let name = place.name(place.prefix.as_ref());
            Error::new(
                ErrorKind::Unreachable,
                format!("{name}: listing digests and logs: {error}"),
            )
            .with_help("check that the place exists and that s3:ListBucket is allowed there")
        })? {
            found.add(object.location);
        }
        Ok(found)
    }

    fn add(&mut self, path: Path) {
        let name = file_name(path.as_ref()).to_owned();
        if let Some(DigestName { chain, end }) = DigestName::parse(&name) {
            let home = format!(
                "{}/CloudTrail-Digest/{}/{}/{name}",
                chain.account,
                chain.region,
                end.format("%Y/%m/%d")
            );
            let chain = self.chains.entry(chain).or_default();
            if self.window.holds_digest(end) {
                // A second copy of a digest is passed over; the one in its own folder counts.
                match chain.digests.get(&(end, name.clone())) {
                    Some(known) if known.as_ref().ends_with(&home) || !path.as_ref().ends_with(&home) => {
                        self.foreign += 1;
                    }
                    known => {
                        self.foreign += u64::from(known.is_some());
                        chain.digests.insert((end, name), path);
                    }
                }
            } else if !self.window.is_before(end)
                && chain.witness.as_ref().is_none_or(|(other, _)| end < *other)
            {
                chain.witness = Some((end, path));
            }
        } else if let Some(log) = LogName::parse(&name) {
            // A digest at the edge of the window may name logs from a little outside of it.
            let near = Window {
                since: self.window.since.map(|since| since - HOUR * 2),
                until: self.window.until.map(|until| until + HOUR * 2),
            };
            if near.holds_log(log.delivered) {
                self.logs.entry(name).or_default().push(FoundLog {
                    path,
                    delivered: log.delivered,
                    in_window: self.window.holds_log(log.delivered),
                    named: false,
                });
            }
        } else {
            self.foreign += 1;
        }
    }

    /// Home Regions of the trails: their keys are needed.
    pub fn home_regions(&self) -> Vec<String> {
        let mut regions: Vec<String> = self.chains.keys().map(|id| id.home_region.clone()).collect();
        regions.sort_unstable();
        regions.dedup();
        regions
    }

    /// Start of the oldest digest: keys in use since then are needed. None if there is no digest.
    pub fn oldest(&self) -> Option<DateTime<Utc>> {
        let ends = self
            .chains
            .values()
            .filter_map(|chain| chain.digests.keys().next());
        ends.map(|(end, _)| *end - HOUR).min()
    }

    /// How many digests there are to check.
    pub fn digests(&self) -> u64 {
        self.chains.values().map(|chain| chain.digests.len() as u64).sum()
    }

    /// Marks the log `key` as named by a digest and gives where it lies.
    pub(crate) fn name_log(&mut self, key: &str) -> Option<Path> {
        let logs = self.logs.get_mut(file_name(key))?;
        let own = logs.iter().position(|log| log.path.as_ref().ends_with(key));
        let log = &mut logs[own.unwrap_or(0)];
        log.named = true;
        Some(log.path.clone())
    }
}
