//! What every source does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use trailhound_ingest::error::{Error, ErrorKind};

/// A place that logs come from.
///
/// All methods take `&self`: the pipeline waits for the next delivery and
/// acknowledges earlier ones at the same time. `next` is called by one task, and
/// is never dropped half-way except when the run ends.
#[async_trait]
pub trait Source: Send + Sync {
    /// Its address as the user gave it, such as `s3://bucket/prefix`. Positions
    /// and the columns of `coverage` go by this name.
    fn name(&self) -> &str;

    /// The next delivery. Waits for one if the source is followed. Transient
    /// faults are retried inside, with back-off; each retry is logged.
    ///
    /// # Errors
    /// The source cannot be reached, or its address makes no sense.
    async fn next(&self) -> Result<Step, Error>;

    /// What came of deliveries. Called after the commit that shows their rows.
    /// Called again with the same receipts after a failure; must bear it.
    ///
    /// # Errors
    /// The source cannot be told. The rows are safe all the same.
    async fn settle(&self, outcomes: Vec<(Receipt, Outcome)>) -> Result<(), Error>;
}

/// What [`Source::next`] came to.
pub enum Step {
    /// Something to read.
    Delivery(Box<Delivery>),
    /// Nothing for now: what was handed out may be committed without waiting for
    /// more. Only a followed source says so; the next call waits.
    Idle,
    /// There is nothing more, and there will not be.
    End,
}

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its records are in the lake or in `rejects`, or it was taken before, or it is
    /// gone: the source need not keep it.
    Taken,
    /// It is of no kind that trailhound reads. A queue keeps its notice, as its own
    /// policy says; a source that looks for itself does not hand out the same content again.
    Refused {
        /// What it is.
        reason: String,
    },
    /// It could not be read this time. A queue shows it again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// One object, or a piece of a stream.
pub struct Delivery {
    /// Its name, as `_source` shows it: a path, `s3://bucket/key`, `cwl://group/stream`.
    pub name: Arc<str>,
    /// Tells this content from another under the same name: an ETag, or size and
    /// time of change. None: a piece that cannot come twice.
    pub version: Option<String>,
    /// What its last opened body is a version of, if that is another content than
    /// `version` says: it was replaced between notice and reading. To be asked
    /// after `body`; what was read is known by this version from then on.
    pub read_version: ReadVersion,
    /// The table that it belongs to, if the source knows.
    pub table: Option<&'static str>,
    /// Settings of the table's format, beyond those that the user gave.
    pub options: BTreeMap<String, String>,
    /// Records of `name` that came in earlier pieces: `_line` goes on from here.
    pub lines_before: u64,
    /// Compressed bytes, if known before it is read.
    pub bytes: Option<u64>,
    /// When the source got it, microseconds since the epoch: an object's time of
    /// change, an event's ingestion time.
    pub delivered_at: Option<i64>,
    /// Its bytes. Opened when there is room to read it.
    pub body: Body,
    /// To be given back when its rows are safe.
    pub receipt: Receipt,
}

/// The version that a body turned out to have, shared between the two.
#[derive(Debug, Clone, Default)]
pub struct ReadVersion(Arc<Mutex<Option<String>>>);

impl ReadVersion {
    /// The other version, if there was one.
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Said by the source, before the first byte.
    pub fn set(&self, version: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = version;
    }
}

/// Opens the bytes of a delivery. May be called again after a failure.
pub type Body = Arc<
    dyn Fn() -> BoxFuture<'static, Result<BoxStream<'static, Result<Bytes, Error>>, Error>> + Send + Sync,
>;

/// What a source needs to know a delivery by, and to go on after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Number that the source gave it, ascending in the order handed out.
    pub number: u64,
    /// Where to resume once this delivery and all before it are committed.
    pub position: Option<Position>,
    /// Things to remember beside the position, to know them if they come again.
    pub recent: Vec<Recent>,
    /// Forget what was remembered with a time before this.
    pub forget_before: Option<i64>,
}

/// How far a source is, in its own words (JSON).
pub type Position = String;

/// Something that a source remembers, such as the id of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// What it is known by.
    pub key: String,
    /// A time in the source's own unit, by which it is forgotten.
    pub time: i64,
}

/// What a source is given at its start.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// The last committed position.
    pub position: Option<Position>,
    /// What it asked to remember.
    pub recent: Vec<Recent>,
}

const GONE: &str = "was deleted before it could be read";

/// The error of a body whose object is not there any more: no later attempt can
/// read it, so that a pipeline notes it and lets it go.
pub fn gone(name: &str) -> Error {
    Error::new(ErrorKind::Failed, format!("{name} {GONE}"))
}

/// Whether a body failed for good because its object was deleted.
pub fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::Failed && error.message().ends_with(GONE)
}
