//! The walk: every chain from its newest digest to its oldest, and every log that they name.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use object_store::path::Path;
use tokio::task::JoinHandle;
use trailhound_ingest::error::Error;

use crate::digest::{ChainId, Digest, DigestName, LogFile, file_name};
use crate::keys::Keys;
use crate::list::{Found, FoundChain, HOUR, MINUTE, Place, Window};
use crate::read::{Content, Unread, read, unhex};
use crate::report::{Chain, Gap, GapKind, Kind, ObjectState, Report, State};
use crate::uncovered;

/// Digest files beyond this are refused: one names a log in about 400 bytes, and is held in memory.
const DIGEST_BYTES_MAX: u64 = 64 << 20;
/// A digest is written some time after its hour, and signed with the key of that moment.
const SIGNING_DELAY: TimeDelta = TimeDelta::hours(2);

/// How to go about it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Objects that are read at the same time.
    pub reads_max: usize,
    /// Uncompressed bytes of a log beyond which it is given up. CloudTrail's own limit is 50 MB.
    pub log_bytes_max: u64,
    /// The present, if the place is one that CloudTrail writes to now: an overdue
    /// digest is then noticed without a log beside it. None for a copy.
    pub now: Option<DateTime<Utc>>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            reads_max: 16,
            log_bytes_max: 1 << 30,
            now: None,
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Digests read.
    pub digests: u64,
    /// Digests to read.
    pub digests_total: u64,
    /// Logs read.
    pub logs: u64,
    /// Uncompressed bytes hashed.
    pub bytes: u64,
}

/// Lists `place` and checks what lies there: [`Found::list`] and [`verify_found`] in one.
///
/// # Errors
/// The place cannot be listed. An object that cannot be read is part of the report.
pub async fn verify(
    place: &Place,
    keys: Option<&Keys>,
    window: Window,
    settings: &Settings,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report, Error> {
    let found = Found::list(place, window).await?;
    Ok(verify_found(place, found, keys, settings, progress).await)
}

/// Checks what was found: signatures, chains, and the content of every log.
/// Without `keys` signatures are not checked. `progress` is called after every object.
pub async fn verify_found(
    place: &Place,
    mut found: Found,
    keys: Option<&Keys>,
    settings: &Settings,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Report {
    let chains = std::mem::take(&mut found.chains);
    let mut report = Report {
        foreign: found.foreign,
        ..Report::default()
    };
    let digests_total = chains.values().map(|chain| chain.digests.len() as u64).sum();
    let mut done = Progress {
        digests_total,
        ..Progress::default()
    };
    let mut ends = uncovered::Ends::default();
    for (id, digests) in chains {
        let mut walk = Walk::new(place, &mut found, keys, settings, &id, &digests);
        walk.run(digests, &mut done, progress).await;
        let Walk {
            chain,
            objects,
            gaps,
            newest,
            ..
        } = walk;
        ends.add(&id, newest);
        report.objects.extend(objects);
        report.gaps.extend(gaps);
        if chain.digests > 0 {
            report.chains.push(chain);
        }
    }
    uncovered::add(&mut report, place, &found, &ends, settings.now);
    report
        .objects
        .sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    report.bytes = done.bytes;
    report
}

/// What the digest just walked over says of the one before it.
struct Newer {
    name: Arc<str>,
    start: DateTime<Utc>,
    state: State,
    /// Where its object is in the list; none for a witness.
    object: Option<usize>,
    previous: Previous,
}

enum Previous {
    /// There is none.
    Beginning,
    Named(Named),
    /// It could not be read.
    Unknown,
}

struct Named {
    key: String,
    other_bucket: bool,
    hash: Option<String>,
    signature: Option<String>,
}

/// A log that is being read, and which object of the list it is.
type Reading = JoinHandle<(usize, Result<Content, Unread>)>;

struct Walk<'a> {
    place: &'a Place,
    found: &'a mut Found,
    keys: Option<&'a Keys>,
    settings: &'a Settings,
    account: Arc<str>,
    region: Arc<str>,
    /// Names of the digests that are here.
    here: HashSet<String>,
    chain: Chain,
    objects: Vec<ObjectState>,
    gaps: Vec<Gap>,
    newest: Option<DateTime<Utc>>,
    newer: Option<Newer>,
    reading: FuturesUnordered<Reading>,
    /// Hash that each object of the list should have, and the state of the digest that says so.
    expected: Vec<Option<(String, State)>>,
    /// Digests that turned out modified only when the one before them was read.
    disproved: HashSet<Arc<str>>,
}

impl<'a> Walk<'a> {
    fn new(
        place: &'a Place,
        found: &'a mut Found,
        keys: Option<&'a Keys>,
        settings: &'a Settings,
        id: &ChainId,
        digests: &FoundChain,
    ) -> Self {
        Walk {
            place,
            found,
            keys,
            settings,
            account: id.account.as_str().into(),
            region: id.region.as_str().into(),
            here: digests.digests.keys().map(|(_, name)| name.clone()).collect(),
            chain: Chain {
                id: id.clone(),
                digests: 0,
                empty: 0,
                logs: 0,
                start: None,
                end: None,
            },
            objects: Vec::new(),
            gaps: Vec::new(),
            newest: None,
            newer: None,
            reading: FuturesUnordered::new(),
            expected: Vec::new(),
            disproved: HashSet::new(),
        }
    }

    async fn run(
        &mut self,
        digests: FoundChain,
        done: &mut Progress,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) {
        let window = digests.digests.into_iter().rev();
        let witness = digests.witness.map(|(end, path)| (end, path, false));
        let order = witness
            .into_iter()
            .chain(window.map(|((end, _), path)| (end, path, true)));
        let store = &self.place.store;
        let mut contents = futures::stream::iter(order)
            .map(|(end, path, in_window)| {
                let read = tokio::spawn(read(Arc::clone(store), path.clone(), true, DIGEST_BYTES_MAX));
                async move { (end, path, in_window, joined(read.await)) }
            })
            // Few: each holds a whole digest.
            .buffered(self.settings.reads_max.clamp(1, 8));
        while let Some((end, path, in_window, content)) = contents.next().await {
            if in_window {
                done.digests += 1;
            }
            done.bytes += content.as_ref().map_or(0, |content| content.bytes);
            let logs = self.digest(end, &path, in_window, content);
            for (digest, log) in logs {
                while self.reading.len() >= self.settings.reads_max.max(1) {
                    self.take_log(done, progress).await;
                }
                self.start_log(&digest, log);
            }
            progress(*done);
        }
        while !self.reading.is_empty() {
            self.take_log(done, progress).await;
        }
        self.end_of_chain();
        for object in &mut self.objects {
            let by = object.digest.as_ref().filter(|_| object.kind == Kind::Log);
            if by.is_some_and(|digest| self.disproved.contains(digest))
                && !matches!(object.state, State::Modified | State::Missing | State::Unreadable)
            {
                (object.state, object.reason) = (State::Unproven, agrees_with(State::Modified));
            }
        }
    }

    /// Judges one digest. Gives the logs it names, each with the digest's own entry.
    fn digest(
        &mut self,
        end: DateTime<Utc>,
        path: &Path,
        in_window: bool,
        content: Result<Content, Unread>,
    ) -> Vec<(Entry, LogFile)> {
        let name: Arc<str> = self.place.name(path.as_ref()).into();
        self.newest = self.newest.max(Some(end));
        let parsed = match content {
            Ok(content) => Digest::parse(&content.kept).map(|digest| (digest, content)),
            Err(Unread::Missing) => Err("it was listed, and then gone".to_owned()),
            Err(Unread::Unreadable(reason)) => Err(reason),
        };
        let moved = parsed
            .as_ref()
            .ok()
            .filter(|(digest, _)| file_name(&digest.digest_s3_object) != file_name(path.as_ref()));
        let verdict = match (&parsed, moved) {
            (Err(reason), _) => Err((State::Unreadable, reason.clone())),
            (_, Some((digest, _))) => Err((
                State::Modified,
                format!("it was written as {}: moved or renamed", digest.digest_s3_object),
            )),
            (Ok((digest, content)), None) => Ok((digest, content)),
        };
        let (digest, content) = match verdict {
            Ok(good) => good,
            Err((state, reason)) => {
                self.between(end, path);
                let object = in_window.then(|| {
                    self.push_digest(&name, state, Some(reason), end - HOUR, end);
                    self.objects.len() - 1
                });
                self.newer = Some(Newer {
                    name,
                    start: end - HOUR,
                    state,
                    object,
                    previous: Previous::Unknown,
                });
                return Vec::new();
            }
        };
        let linked = self.between(digest.end(), path);
        let (state, reason) = self.judge(digest, content, linked);
        if in_window {
            self.push_digest(&name, state, reason, digest.digest_start_time, digest.end());
            self.chain.empty += u64::from(digest.log_files.is_empty());
            self.chain.logs += digest.log_files.len() as u64;
            self.chain.start = Some(digest.digest_start_time);
            self.chain.end = self.chain.end.max(Some(digest.end()));
        }
        let entry = Entry {
            name: Arc::clone(&name),
            state,
            start: digest.digest_start_time,
            end: digest.end(),
            path: path.clone(),
            key: digest.digest_s3_object.clone(),
            bucket: digest.digest_s3_bucket.clone(),
        };
        if linked != Link::Beside {
            self.newer = Some(Newer {
                name,
                start: digest.digest_start_time,
                state,
                object: in_window.then(|| self.objects.len() - 1),
                previous: previous_of(digest),
            });
        }
        if !in_window {
            for log in &digest.log_files {
                self.found.name_log(&log.s3_object);
            }
            return Vec::new();
        }
        let logs = parsed.map(|(digest, _)| digest.log_files).unwrap_or_default();
        logs.into_iter().map(|log| (entry.clone(), log)).collect()
    }

    /// Compares with what the newer digest says, and notes what lies between the two.
    fn between(&mut self, end: DateTime<Utc>, path: &Path) -> Link {
        let Some(newer) = self.newer.take() else {
            return Link::Newest;
        };
        let mut missing = None;
        let (link, gap) = match &newer.previous {
            Previous::Named(named) if file_name(&named.key) == file_name(path.as_ref()) => {
                let pause = newer.start - end > MINUTE && !self.chain.id.backfill;
                (Link::Named, pause.then_some(GapKind::Uncovered))
            }
            Previous::Named(named) if self.here.contains(file_name(&named.key)) => (Link::Beside, None),
            Previous::Named(named) if named.other_bucket => (Link::Unknown, Some(GapKind::OtherBucket)),
            Previous::Named(named) => {
                missing = Some(named.key.clone());
                (Link::Unknown, Some(GapKind::MissingDigests))
            }
            Previous::Beginning => (Link::Unknown, Some(GapKind::Restart)),
            Previous::Unknown => {
                let pause = newer.start - end > HOUR / 2 && !self.chain.id.backfill;
                (Link::Unknown, pause.then_some(GapKind::MissingDigests))
            }
        };
        if let Some(kind) = gap {
            self.gap(kind, Some(end), newer.start, &newer.name);
        }
        if let Some(key) = missing {
            self.missing_digest(&key, path, &newer);
        }
        self.newer = Some(newer);
        link
    }

    fn gap(&mut self, kind: GapKind, from: Option<DateTime<Utc>>, until: DateTime<Utc>, beside: &str) {
        let hours = from.map_or(1, |from| ((until - from).num_minutes() + 30) / 60);
        let expected = matches!(kind, GapKind::MissingDigests | GapKind::Uncovered);
        self.gaps.push(Gap {
            chain: self.chain.id.clone(),
            kind,
            from,
            until,
            digests: if expected { hours.max(1) as u64 } else { 0 },
            beside: beside.to_owned(),
        });
    }

    /// `near` is the path of a digest of this chain: the missing one lay in a folder beside it.
    fn missing_digest(&mut self, key: &str, near: &Path, newer: &Newer) {
        let end = DigestName::parse(key).map(|name| name.end);
        let near_key = DigestName::parse(near.as_ref()).map(|_| near.as_ref());
        let name = match near_key.and_then(|near| near.find("AWSLogs/").zip(key.find("AWSLogs/"))) {
            Some((here, there)) => format!("{}{}", &near.as_ref()[..here], &key[there..]),
            None => key.to_owned(),
        };
        self.expected.push(None);
        self.objects.push(ObjectState {
            name: self.place.name(&name),
            kind: Kind::Digest,
            state: State::Missing,
            digest: Some(Arc::clone(&newer.name)),
            account: Arc::clone(&self.account),
            region: Arc::clone(&self.region),
            digest_start: None,
            digest_end: end,
            reason: Some("the next digest names it".to_owned()),
        });
    }

    fn push_digest(
        &mut self,
        name: &Arc<str>,
        state: State,
        reason: Option<String>,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) {
        self.chain.digests += 1;
        self.expected.push(None);
        self.objects.push(ObjectState {
            name: name.to_string(),
            kind: Kind::Digest,
            state,
            digest: self.newer.as_ref().map(|newer| Arc::clone(&newer.name)),
            account: Arc::clone(&self.account),
            region: Arc::clone(&self.region),
            digest_start: Some(start),
            digest_end: Some(end),
            reason,
        });
    }

    /// The state of a digest that could be read and lies where it should.
    fn judge(&mut self, digest: &Digest, content: &Content, link: Link) -> (State, Option<String>) {
        let said = match (&self.newer, link) {
            (Some(newer), Link::Named) => match &newer.previous {
                Previous::Named(named) => Some((newer, named)),
                _ => None,
            },
            _ => None,
        };
        // A copy has lost the metadata. The next digest has the signature too.
        let signature = content
            .metadata("signature")
            .or_else(|| said.and_then(|(_, named)| named.signature.as_deref()));
        let own = self.check_signature(digest, content, signature);
        let hash = said.and_then(|(newer, named)| Some((newer, named.hash.as_deref()?)));
        let Some((newer, hash)) = hash else {
            return match own {
                (State::Valid, _) => own,
                _ if link == Link::Beside => (
                    State::Unproven,
                    Some("no digest names it as the one before".to_owned()),
                ),
                own => own,
            };
        };
        let agrees = hash.eq_ignore_ascii_case(&content.hash);
        match (agrees, own.0, newer.state) {
            // What is signed says what the content of this one is.
            (true, State::Unsigned | State::NoKey, State::Valid) => (State::Valid, None),
            (true, ..) => own,
            // This one is proven, so it is the other one that was changed.
            (false, State::Valid, other) if other != State::Valid => {
                self.disprove();
                own
            }
            (false, ..) => {
                let reason = "its content is not what the next digest says";
                (State::Modified, Some(reason.to_owned()))
            }
        }
    }

    /// The newer digest has a wrong hash of one that is proven.
    fn disprove(&mut self) {
        let Some(newer) = &mut self.newer else { return };
        newer.state = State::Modified;
        self.disproved.insert(Arc::clone(&newer.name));
        if let Some(object) = newer.object.and_then(|index| self.objects.get_mut(index)) {
            object.state = State::Modified;
            object.reason = Some("it has a wrong hash of the digest before, which is proven".to_owned());
        }
    }

    fn check_signature(
        &self,
        digest: &Digest,
        content: &Content,
        signature: Option<&str>,
    ) -> (State, Option<String>) {
        let Some(signature) = signature else {
            let reason = "no signature: neither in the object's metadata nor in a newer digest";
            return (State::Unsigned, Some(reason.to_owned()));
        };
        let wrong = |reason: String| (State::WrongSignature, Some(reason));
        if digest
            .digest_signature_algorithm
            .as_deref()
            .is_some_and(|name| name != "SHA256withRSA")
        {
            return wrong("its signature is of a kind that AWS does not use".to_owned());
        }
        let fingerprint = &digest.digest_public_key_fingerprint;
        let Some(keys) = self.keys else {
            return (State::NoKey, Some("no keys were given".to_owned()));
        };
        let Some(key) = keys.get(fingerprint) else {
            return (
                State::NoKey,
                Some(format!("the key {fingerprint} is not among those given")),
            );
        };
        // A backfill digest is signed long after its hour; when, stands in the metadata.
        let signed_at = if self.chain.id.backfill {
            let text = content.metadata("backfill-generation-timestamp");
            text.and_then(|text| DateTime::parse_from_rfc3339(text).ok())
                .map(|time| (time.to_utc() - HOUR, time.to_utc() + HOUR))
        } else {
            Some((digest.digest_start_time, digest.end() + SIGNING_DELAY))
        };
        if signed_at.is_some_and(|(from, until)| !key.was_in_use(from, until)) {
            return wrong(format!("the key {fingerprint} was not in use at that time"));
        }
        let text = digest.signed_text(&content.hash);
        match unhex(signature) {
            Some(signature) if key.verifies(text.as_bytes(), &signature) => (State::Valid, None),
            _ => wrong("the signature is not over this content".to_owned()),
        }
    }

    /// Begins to read a log, if it is here.
    fn start_log(&mut self, digest: &Entry, log: LogFile) {
        let path = self.found.name_log(&log.s3_object);
        let index = self.objects.len();
        let name = match &path {
            Some(path) => self.place.name(path.as_ref()),
            None => self.place.name(&digest.place_of(&log.s3_object)),
        };
        let known_algorithm = log.hash_algorithm == "SHA-256";
        let (state, reason) = match &path {
            None if log.s3_bucket != digest.bucket => (
                State::Missing,
                format!("the digest that names it has it in s3://{}", log.s3_bucket),
            ),
            None => (State::Missing, "a digest names it".to_owned()),
            Some(_) if !known_algorithm => (
                State::Unreadable,
                format!("its hash is of the kind {:?}", log.hash_algorithm),
            ),
            Some(_) => (State::Unreadable, String::new()), // Until it is read.
        };
        self.objects.push(ObjectState {
            name,
            kind: Kind::Log,
            state,
            digest: Some(Arc::clone(&digest.name)),
            account: Arc::clone(&self.account),
            region: Arc::clone(&self.region),
            digest_start: Some(digest.start),
            digest_end: Some(digest.end),
            reason: Some(reason),
        });
        self.expected.push(Some((log.hash_value, digest.state)));
        if let Some(path) = path.filter(|_| known_algorithm) {
            let (store, bytes_max) = (Arc::clone(&self.place.store), self.settings.log_bytes_max);
            self.reading.push(tokio::spawn(async move {
                (index, read(store, path, false, bytes_max).await)
            }));
        }
    }

    /// Waits for one of the logs under way.
    async fn take_log(&mut self, done: &mut Progress, progress: &(dyn Fn(Progress) + Send + Sync)) {
        let Some(Ok((index, content))) = self.reading.next().await else {
            return; // A task that was ended: its object stays unreadable.
        };
        done.logs += 1;
        done.bytes += content.as_ref().map_or(0, |content| content.bytes);
        let expected = self.expected[index].take();
        let object = &mut self.objects[index];
        (object.state, object.reason) = match (content, expected) {
            (Err(Unread::Missing), _) => (State::Missing, Some("a digest names it".to_owned())),
            (Err(Unread::Unreadable(reason)), _) => (State::Unreadable, Some(reason)),
            (Ok(content), Some((hash, by))) if hash.eq_ignore_ascii_case(&content.hash) => {
                let state = if by == State::Modified {
                    State::Unproven
                } else {
                    by
                };
                (state, agrees_with(by))
            }
            (Ok(_), _) => {
                let reason = "its content is not what the digest says";
                (State::Modified, Some(reason.to_owned()))
            }
        };
        progress(*done);
    }

    /// What lies before the oldest digest.
    fn end_of_chain(&mut self) {
        let Some(newer) = self.newer.take() else { return };
        match &newer.previous {
            Previous::Unknown => {}
            Previous::Beginning => self.gap(GapKind::Beginning, None, newer.start, &newer.name),
            Previous::Named(named) => {
                let end = DigestName::parse(&named.key).map(|name| name.end);
                if end.is_some_and(|end| self.found.window.is_before(end))
                    || self.here.contains(file_name(&named.key))
                {
                    return;
                }
                let from = end.map(|end| end - HOUR);
                if named.other_bucket {
                    self.gap(GapKind::OtherBucket, from, newer.start, &newer.name);
                } else {
                    self.gap(GapKind::MissingDigests, from, newer.start, &newer.name);
                    let near = newer.name.strip_prefix(&self.place.name("")).unwrap_or_default();
                    self.missing_digest(&named.key, &Path::from(near), &newer);
                }
            }
        }
    }
}

/// How a digest hangs on the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// There is no newer one.
    Newest,
    /// The newer one names it.
    Named,
    /// The newer one names another, which is here: this one lies beside the chain.
    Beside,
    /// The newer one does not say.
    Unknown,
}

/// A digest, as its logs need to know it.
#[derive(Clone)]
struct Entry {
    name: Arc<str>,
    state: State,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    path: Path,
    key: String,
    bucket: String,
}

impl Entry {
    /// Where the object `key` should lie: as far from `key` as this digest is from its own.
    fn place_of(&self, key: &str) -> String {
        let path = self.path.as_ref();
        let common = path
            .rsplit('/')
            .zip(self.key.rsplit('/'))
            .take_while(|(a, b)| a == b)
            .map(|(part, _)| part.len() + 1)
            .sum::<usize>();
        let here = &path[..(path.len() + 1).saturating_sub(common).min(path.len())];
        let there = &self.key[..(self.key.len() + 1).saturating_sub(common).min(self.key.len())];
        match key.strip_prefix(there) {
            Some(rest) => format!("{here}{rest}"),
            None => key.to_owned(),
        }
    }
}

fn previous_of(digest: &Digest) -> Previous {
    match (
        &digest.previous_digest_s3_bucket,
        &digest.previous_digest_s3_object,
    ) {
        (bucket, Some(key)) => Previous::Named(Named {
            other_bucket: bucket
                .as_ref()
                .is_some_and(|bucket| *bucket != digest.digest_s3_bucket),
            key: key.clone(),
            hash: digest.previous_digest_hash_value.clone(),
            signature: digest.previous_digest_signature.clone(),
        }),
        (_, None) => Previous::Beginning,
    }
}

fn agrees_with(digest: State) -> Option<String> {
    let digest = match digest {
        State::Valid => return None,
        State::Unsigned => "has no signature",
        State::NoKey => "could not be checked without its key",
        State::WrongSignature => "has a wrong signature",
        State::Unproven => "is outside of the chain",
        _ => "was modified",
    };
    Some(format!("it agrees with a digest that {digest}"))
}

fn joined<T>(result: Result<Result<T, Unread>, tokio::task::JoinError>) -> Result<T, Unread> {
    result.unwrap_or_else(|error| Err(Unread::Unreadable(error.to_string())))
}
