//! The log formats: one file each, one line each in [`FORMATS`].

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::block::Block;
use crate::column::{Column, table_schema};
use crate::tally::Tally;

pub mod vpc_flow;
pub mod cloudtrail;
pub mod container_logs;
pub(crate) mod documents;
pub mod ecs_events;
pub mod ecs_audit;
pub mod container_insights;
pub mod guardduty;
pub mod security_hub;
pub mod xray_segments;
pub mod host_flow;

/// Every format, in the order of the reference page.
pub const FORMATS: &[&dyn Format] = &[
    &vpc_flow::VpcFlow,
    &cloudtrail::CloudTrail,
    &container_logs::ContainerLogs,
    &ecs_events::EcsEvents,
    &ecs_audit::EcsAudit,
    &container_insights::ContainerInsights,
    &guardduty::GuardDuty,
    &security_hub::SecurityHub,
    &xray_segments::XRaySegments,
    &host_flow::HostFlow,
];

/// The format of a table, by the table's name.
pub fn format_named(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// A log format: what its table looks like, and how to parse it.
pub trait Format: Send + Sync + std::fmt::Debug {
    /// Name of the table, also after `STORED AS`.
    fn name(&self) -> &'static str;

    /// What the log is and what it cannot show, for the reference page.
    fn about(&self) -> &'static str;

    /// The table's columns, without the provenance columns that all tables share.
    fn columns(&self) -> &'static [Column];

    /// Settings that change how an object is read.
    fn options(&self) -> &'static [OptionInfo] {
        &[]
    }

    /// How its records show on the one timeline of all tables, the view `events`.
    fn timeline(&self) -> Timeline {
        Timeline {
            who: "NULL",
            what: "NULL",
            place: "NULL",
            from: "NULL",
        }
    }

    /// A parser for one object.
    ///
    /// # Errors
    /// When an option's value makes no sense.
    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError>;

    /// Rows of an object that holds Parquet in place of text, brought to this
    /// table's columns. `lines_before` is the number of records before the batch.
    ///
    /// # Errors
    /// The format has no Parquet form, or the columns are not its own.
    fn columnar(
        &self,
        batch: &RecordBatch,
        lines_before: u64,
        setup: &Setup,
        tally: &mut Tally,
    ) -> Result<RecordBatch, Refusal> {
        let _ = (batch, lines_before, setup, tally);
        Err(Refusal::new(format!(
            "a Parquet file: {} has no Parquet form",
            self.name()
        )))
    }

    /// Whether [`Self::columnar`] needs the file's column `name`.
    fn columnar_wants(&self, name: &str, setup: &Setup) -> bool {
        let _ = (name, setup);
        true
    }

    /// Schema of the table: [`Self::columns`] and the provenance columns.
    fn schema(&self) -> SchemaRef {
        table_schema(self.columns())
    }
}

/// SQL expressions, over a format's columns, that place a record on a timeline.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    /// Who acted: principal, service, container.
    pub who: &'static str,
    /// What was done.
    pub what: &'static str,
    /// Where it was done, or to what.
    pub place: &'static str,
    /// Where it came from: an address.
    pub from: &'static str,
}

/// A setting of a format.
#[derive(Debug, Clone, Copy)]
pub struct OptionInfo {
    /// Its name.
    pub name: &'static str,
    /// What it does and which values it takes.
    pub about: &'static str,
}

/// An option whose name or value makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("option {name} of {format}: {reason}")]
pub struct OptionError {
    /// The format that refused it.
    pub format: &'static str,
    /// The option.
    pub name: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// What a parser is told before the first byte.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Columns to build, as ascending indices into [`Format::schema`].
    pub projection: Arc<[usize]>,
    /// The object's name, as `_source` will show it. Its folders may tell
    /// account, Region or stream where the records do not.
    pub source: Arc<str>,
    /// Rows at which a batch is cut.
    pub batch_rows: usize,
    /// Value of `_ingested_at`, microseconds since the epoch.
    pub ingested_at: i64,
    /// Settings of the format.
    pub options: BTreeMap<String, String>,
}

impl Setup {
    /// A setup for all columns of `format` and default options.
    pub fn whole(format: &dyn Format, source: &str) -> Self {
        Setup {
            projection: (0..format.schema().fields().len()).collect(),
            source: source.into(),
            batch_rows: 8192,
            ingested_at: 0,
            options: BTreeMap::new(),
        }
    }
}

/// Why a parser stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A batch is complete: flush, then parse on in the same block.
    BatchFull,
    /// No whole record is left in the block.
    NeedsInput,
}

/// The object does not hold records of this format at all.
///
/// It is skipped and named in the summary; a single bad record is a reject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// What the object is instead, and what to try.
    pub reason: String,
}

impl Refusal {
    /// A refusal for `reason`.
    pub fn new(reason: impl Into<String>) -> Self {
        Refusal {
            reason: reason.into(),
        }
    }
}

/// Turns the blocks of one object into batches.
///
/// The caller gives blocks in order. Bytes that were not consumed come again at
/// the front of the next block.
pub trait Parser: Send {
    /// Takes whole records from `block`, moving `block.pos` over them, until the
    /// batch is full or no whole record is left. `last` says that nothing
    /// follows this block, so its end is the end of a record too. Records that
    /// do not parse go to `tally`; row counts and event times too.
    ///
    /// # Errors
    /// The object holds another kind of data.
    fn parse(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Result<Progress, Refusal>;

    /// The record at `block.pos` is larger than the caller can hold: reject it,
    /// consume the block, and skip to the next record boundary in what follows.
    fn skip_oversized(&mut self, block: &mut Block, tally: &mut Tally);

    /// Rows since the last flush.
    fn rows(&self) -> usize;

    /// The rows since the last flush, as a batch of the projected columns.
    fn flush(&mut self) -> RecordBatch;

    /// Records seen so far, headers and rejects included: the number of the last one.
    fn line(&self) -> u64;
}
