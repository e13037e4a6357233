//! What checking came to: chains, objects, gaps; also as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewBuilder, TimestampMicrosecondBuilder};
use chrono::{DateTime, Utc};
use trailhound_ingest::column::TIMESTAMP;
use trailhound_ingest::object_digests::object_digests_schema;

use crate::digest::ChainId;

/// What is known of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Proven: its content is what AWS signed.
    Valid,
    /// Its content is not what the digest says, or it lies under another name.
    Modified,
    /// A digest names it, and it is not here.
    Missing,
    /// It agrees with the digests, and no signature is known for them.
    Unsigned,
    /// The signature is not over this content, or not by a key in use at that time.
    /// For a log: it agrees with a digest of that kind.
    WrongSignature,
    /// There is a signature, and the key to check it is not in the list.
    NoKey,
    /// It could not be read to its end.
    Unreadable,
    /// A log that agrees with its digest, which itself is modified or outside of the chain.
    Unproven,
    /// A log that no digest names.
    NotCovered,
    /// A log delivered after the newest digest: the next one is to name it.
    Pending,
}

impl State {
    /// All of them.
    pub const ALL: [State; 10] = [
        State::Valid,
        State::Modified,
        State::Missing,
        State::Unsigned,
        State::WrongSignature,
        State::NoKey,
        State::Unreadable,
        State::Unproven,
        State::NotCovered,
        State::Pending,
    ];

    /// Its name, as the column `state` has it.
    pub fn name(self) -> &'static str {
        match self {
            State::Valid => "valid",
            State::Modified => "modified",
            State::Missing => "missing",
            State::Unsigned => "unsigned",
            State::WrongSignature => "wrong-signature",
            State::NoKey => "no-key",
            State::Unreadable => "unreadable",
            State::Unproven => "unproven",
            State::NotCovered => "not-covered",
            State::Pending => "pending",
        }
    }

    /// Whether it shows that something was changed, removed or forged. The
    /// others lack proof, which is not the same.
    pub fn is_alarm(self) -> bool {
        matches!(
            self,
            State::Modified | State::Missing | State::WrongSignature | State::Unreadable | State::Unproven
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A digest file.
    Digest,
    /// A log file.
    Log,
}

/// One object and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectState {
    /// Its name, as `_source` shows it. Of a missing one: where it should lie.
    pub name: String,
    /// Digest or log.
    pub kind: Kind,
    /// What is known.
    pub state: State,
    /// Name of the digest that names it; for a digest the next one. None where there is none.
    pub digest: Option<Arc<str>>,
    /// Account.
    pub account: Arc<str>,
    /// Region.
    pub region: Arc<str>,
    /// The hour of the digest that names it, or its own: start...
    pub digest_start: Option<DateTime<Utc>>,
    /// ...and end.
    pub digest_end: Option<DateTime<Utc>>,
    /// Why, unless it is valid.
    pub reason: Option<String>,
}

/// The digests of one trail in one account and Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Whose.
    pub id: ChainId,
    /// Digests found in the window.
    pub digests: u64,
    /// Of these, digests over an hour without a log file.
    pub empty: u64,
    /// Log files that they name.
    pub logs: u64,
    /// Start of the oldest digest that could be read.
    pub start: Option<DateTime<Utc>>,
    /// End of the newest.
    pub end: Option<DateTime<Utc>>,
}

/// Why a time has no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapKind {
    /// Digests that were there are not here: the next one names one, or the hours before it are empty.
    MissingDigests,
    /// The chain begins here: logging or validation was switched on for the first time.
    Beginning,
    /// The chain begins anew: logging or validation had been stopped.
    Restart,
    /// Two digests follow each other, and yet the time between them is in neither.
    Uncovered,
    /// The trail wrote to another bucket before.
    OtherBucket,
    /// The newest digest is older than it should be.
    Overdue,
}

impl GapKind {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            GapKind::MissingDigests => "missing-digests",
            GapKind::Beginning => "beginning",
            GapKind::Restart => "restart",
            GapKind::Uncovered => "uncovered",
            GapKind::OtherBucket => "other-bucket",
            GapKind::Overdue => "overdue",
        }
    }

    /// Whether it shows that something was removed. A beginning or a restart is
    /// what AWS itself wrote down.
    pub fn is_alarm(self) -> bool {
        matches!(
            self,
            GapKind::MissingDigests | GapKind::Uncovered | GapKind::Overdue
        )
    }
}

/// A time that no digest of a chain covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose.
    pub chain: ChainId,
    /// Why.
    pub kind: GapKind,
    /// From when, if that is known.
    pub from: Option<DateTime<Utc>>,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Digests that should be there, one an hour; 0 where none is expected.
    pub digests: u64,
    /// Name of the digest after it, or before it if it is the end.
    pub beside: String,
}

/// What checking came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// By account, Region and trail.
    pub chains: Vec<Chain>,
    /// By name, digests first. About 400 bytes an object: this is what memory grows with.
    pub objects: Vec<ObjectState>,
    /// By chain, newest first.
    pub gaps: Vec<Gap>,
    /// Objects that are neither a log nor a digest, by their names. They are left alone.
    pub foreign: u64,
    /// Uncompressed bytes that were hashed.
    pub bytes: u64,
}

impl Report {
    /// How many objects of `kind` there are in each state; states without any are left out.
    pub fn counts(&self, kind: Kind) -> BTreeMap<State, u64> {
        let mut counts = BTreeMap::new();
        for object in self.objects.iter().filter(|object| object.kind == kind) {
            *counts.entry(object.state).or_default() += 1;
        }
        counts
    }

    /// Whether anything was found changed, removed or forged.
    pub fn has_alarms(&self) -> bool {
        self.objects.iter().any(|object| object.state.is_alarm())
            || self.gaps.iter().any(|gap| gap.kind.is_alarm())
    }

    /// Whether there are digests, and all of them and all their logs are proven.
    pub fn is_proven(&self) -> bool {
        !self.chains.is_empty()
            && !self.has_alarms()
            && self
                .objects
                .iter()
                .all(|object| matches!(object.state, State::Valid | State::Pending))
    }
}

/// The objects as rows of `object_digests`; `ingested_at` in microseconds since the epoch.
/// Call it piece by piece: a batch is built in memory.
pub fn object_states_batch(objects: &[ObjectState], ingested_at: i64) -> RecordBatch {
    let texts = |get: &dyn Fn(&ObjectState) -> Option<String>| -> ArrayRef {
        let mut column = StringViewBuilder::with_capacity(objects.len());
        for object in objects {
            column.append_option(get(object));
        }
        Arc::new(column.finish())
    };
    let times = |get: &dyn Fn(&ObjectState) -> Option<i64>| -> ArrayRef {
        let mut column = TimestampMicrosecondBuilder::with_capacity(objects.len()).with_timezone(TIMESTAMP);
        for object in objects {
            column.append_option(get(object));
        }
        Arc::new(column.finish())
    };
    let micros = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_micros());
    let columns = vec![
        texts(&|object| Some(object.name.clone())),
        texts(&|object| Some(object.state.name().to_owned())),
        texts(&|object| object.digest.as_deref().map(str::to_owned)),
        texts(&|object| Some(object.account.to_string())),
        texts(&|object| Some(object.region.to_string())),
        times(&|object| micros(object.digest_start)),
        times(&|object| micros(object.digest_end)),
        texts(&|object| object.reason.clone()),
        times(&|_| Some(ingested_at)),
    ];
    RecordBatch::try_new(object_digests_schema(), columns).expect("the columns are those of the schema")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::TimestampMicrosecondType;

    #[test]
    fn objects_as_rows() {
        let end = DateTime::from_timestamp(1_793_491_200, 0);
        let object = ObjectState {
            name: "s3://b/log".to_owned(),
            kind: Kind::Log,
            state: State::NotCovered,
            digest: None,
            account: "111122223333".into(),
            region: "eu-west-1".into(),
            digest_start: None,
            digest_end: end,
            reason: Some("no digest names it".to_owned()),
        };
        let batch = object_states_batch(&[object], 7);
        assert_eq!((batch.num_rows(), batch.num_columns()), (1, 9));
        assert_eq!(batch["state"].as_string_view().value(0), "not-covered");
        assert!(batch["digest_source"].is_null(0) && batch["digest_start"].is_null(0));
        let time = |name| {
            batch
                .column_by_name(name)
                .unwrap()
                .as_primitive::<TimestampMicrosecondType>()
                .value(0)
        };
        assert_eq!(
            (time("digest_end"), time("_ingested_at")),
            (1_793_491_200_000_000, 7)
        );
        assert_eq!(object_states_batch(&[], 0).num_rows(), 0);
    }

    #[test]
    fn names_of_states_differ() {
        let mut names: Vec<_> = State::ALL.iter().map(|state| state.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), State::ALL.len());
    }
}
