//! One object, from its bytes to rows in the batch's writers.
//!
//! A small object is held until it is parsed to its end, so that one that turns
//! out unreadable leaves nothing behind. A large one streams into the writers;
//! if it breaks off it is read again, and what was given before is not given twice.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use chrono::Utc;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use trailhound_ingest::coverage::Coverage;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_ingest::formats::{Format, Setup, format_named};
use trailhound_ingest::identity::Claims as IdentityClaims;
use trailhound_ingest::reader::{Limits, Reader, Step};
use trailhound_ingest::recognise::{LOOK_BYTES, recognise};
use trailhound_ingest::reject::{Reject, rejects_batch};
use trailhound_ingest::tally::Tally;
use trailhound_sources::{Delivery, is_gone};

use crate::batch::Sink;
use crate::claims::{Claim, Claims};
use crate::settings::Settings;
use crate::watch::{Counts, Watch};

/// Most first bytes that are looked at to tell what an object is, compressed as they lie.
const HEAD_BYTES_MAX: usize = 4 << 20;

/// Rows in a batch of records: as many as the parsers are fastest with.
const BATCH_ROWS: usize = 8192;

/// How the reading of an object ended.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one an object, and it is moved twice"
)]
pub enum Read {
    /// Its records are rows or rejects.
    Whole {
        /// Table that the rows went to.
        table: &'static str,
        /// What was read.
        counts: Counts,
        /// The minutes that it covers.
        coverage: Coverage,
        /// What its records say of addresses, tasks and sessions.
        identity: IdentityClaims,
    },
    /// It holds something else.
    Refused {
        /// What it is, and what to try.
        reason: String,
    },
    /// It is no longer there.
    Gone {
        /// What the source said.
        reason: String,
    },
    /// It holds by now what was taken before.
    Known,
    /// It holds by now what another delivery of the batch brings.
    Twin {
        /// Version of that.
        version: String,
    },
    /// It holds by now what another source is reading.
    Elsewhere,
    /// It could not be read. If `stained`, some of its rows are in the writers.
    Failed {
        /// Why.
        reason: String,
        /// Whether the batch must be given up for it.
        stained: bool,
    },
}

/// What an object gave so far, over all attempts.
#[derive(Debug, Default, Clone, Copy)]
struct Given {
    rows: u64,
    rejects: u64,
}

impl Given {
    fn is_nothing(&self) -> bool {
        self.rows + self.rejects == 0
    }
}

/// Why an attempt ended early.
pub enum Broken {
    /// The source's bytes ended in an error: worth another attempt.
    Source(Error),
    /// More rejects than are kept: worth one more attempt, block by block.
    TooManyRejects,
    /// It holds something else.
    Refused(String),
    /// Another content lies there than that of which rows were given.
    Replaced,
    /// Another content lies there than was announced, and it need not be read here.
    NotOurs(Claim, String),
    /// The lake could not take it.
    Lake(Error),
}

/// Reads `delivery` into `sink`.
///
/// # Errors
/// The writers failed: the lake cannot be written.
pub async fn read(
    delivery: &Delivery,
    sink: &Sink,
    claims: &Claims,
    settings: &Settings,
    watch: &Watch,
) -> Result<Read, Error> {
    let mut object = Object {
        delivery,
        sink,
        claims,
        version: delivery.version.clone(),
        settings,
        watch,
        ingested_at: Utc::now().timestamp_micros(),
        given: Given::default(),
        by_blocks: false,
    };
    let mut attempt = 1;
    loop {
        let broken = match object.attempt().await {
            Ok(read) => return Ok(read),
            Err(broken) => broken,
        };
        match broken {
            Broken::Lake(error) => return Err(error),
            Broken::Refused(reason) if object.given.is_nothing() => return Ok(Read::Refused { reason }),
            Broken::Refused(reason) => {
                return Ok(Read::Failed {
                    reason,
                    stained: true,
                });
            }
            Broken::Replaced => {
                return Ok(Read::Failed {
                    reason: "it was replaced while it was read".to_owned(),
                    stained: true,
                });
            }
            Broken::NotOurs(Claim::Twin, version) => return Ok(Read::Twin { version }),
            Broken::NotOurs(Claim::Elsewhere, _) => return Ok(Read::Elsewhere),
            Broken::NotOurs(..) => return Ok(Read::Known),
            Broken::TooManyRejects => object.by_blocks = true,
            Broken::Source(error) if is_gone(&error) => {
                let reason = error.message().to_owned();
                return Ok(match object.given.is_nothing() {
                    true => Read::Gone { reason },
                    false => Read::Failed {
                        reason,
                        stained: true,
                    },
                });
            }
            Broken::Source(error) if attempt < settings.attempts_max => {
                tracing::warn!(object = %delivery.name, attempt, reason = error.message(), "reading again");
                tokio::time::sleep(settings.attempt_wait * 2u32.pow(attempt - 1)).await;
                attempt += 1;
            }
            Broken::Source(error) => {
                return Ok(Read::Failed {
                    reason: error.message().to_owned(),
                    stained: !object.given.is_nothing(),
                });
            }
        }
    }
}

struct Object<'a> {
    delivery: &'a Delivery,
    sink: &'a Sink,
    claims: &'a Claims,
    /// What is read, or about to be: claimed.
    version: Option<String>,
    settings: &'a Settings,
    watch: &'a Watch,
    ingested_at: i64,
    given: Given,
    by_blocks: bool,
}

impl Object<'_> {
    async fn attempt(&mut self) -> Result<Read, Broken> {
        let mut input = (self.delivery.body)().await.map_err(Broken::Source)?;
        self.check_version()?;
        let mut head = Head::of(&mut input).await.map_err(Broken::Source)?;
        // One document may be the whole object, and longer than the first look.
        let format = loop {
            match self.format(&head) {
                Err(Broken::Refused(_)) if !head.whole && head.bytes.len() < HEAD_BYTES_MAX => {
                    head = head.longer(&mut input).await.map_err(Broken::Source)?;
                }
                found => break found?,
            }
        };
        let setup = self.setup(format);
        if head.bytes.starts_with(b"PAR1") {
            return crate::columnar::read(format, setup, head, input, self.output(format)).await;
        }
        let parser = format
            .parser(setup)
            .map_err(|error| Broken::Refused(error.to_string()))?;
        // What is there in one piece is inflated in one go, at half the cost.
        if head.bytes.starts_with(&GZIP) && !head.whole {
            head = head
                .up_to(WHOLE_BYTES_MAX, &mut input)
                .await
                .map_err(Broken::Source)?;
        }
        let mut reader = match self.by_blocks {
            true => Reader::for_rejects(parser, Limits::default()),
            false => Reader::new(parser, Limits::default()),
        };
        let mut output = self.output(format);
        let mut held = Some(head.bytes);
        let mut more = !head.whole;
        loop {
            let step = reader
                .next_batch()
                .map_err(|refusal| Broken::Refused(refusal.reason))?;
            let rejects = reader.tally.take_rejects();
            output.rejected += rejects.len() as u64;
            if output.rejected < reader.tally.rejected {
                return Err(Broken::TooManyRejects);
            }
            output.count(&reader.tally);
            output.rejects(&rejects).await?;
            match step {
                Step::Batch(batch) => output.rows(batch).await?,
                Step::Rejects => {}
                Step::Done => break,
                // One chunk is held back, so that the reader learns with the last bytes
                // that they are the last: only then can it inflate an object in one go.
                Step::NeedsInput if more => {
                    let next = input.try_next().await.map_err(Broken::Source)?;
                    more = next.is_some();
                    if let Some(chunk) = std::mem::replace(&mut held, next) {
                        reader.push(chunk);
                    }
                    if !more && held.is_none() {
                        reader.end();
                    }
                }
                Step::NeedsInput => {
                    if let Some(chunk) = held.take() {
                        reader.push(chunk);
                    }
                    reader.end();
                }
            }
        }
        output.finish(&reader.tally).await
    }

    /// What lies there may be another content than was announced: it counts as what it is.
    fn check_version(&mut self) -> Result<(), Broken> {
        let found = self.delivery.read_version.get();
        let found = found.or_else(|| self.delivery.version.clone());
        if found == self.version {
            return Ok(());
        }
        if !self.given.is_nothing() {
            return Err(Broken::Replaced);
        }
        if let Some(version) = &found {
            let claim = self
                .claims
                .claim(&self.delivery.name, version)
                .map_err(Broken::Lake)?;
            // Claimed by this delivery itself, if the announced content is back.
            if claim != Claim::Ours && found != self.delivery.version {
                return Err(Broken::NotOurs(claim, version.clone()));
            }
        }
        self.version = found;
        Ok(())
    }

    fn format(&self, head: &Head) -> Result<&'static dyn Format, Broken> {
        let known = self.settings.table.or(self.delivery.table);
        if let Some(table) = known {
            return format_named(table)
                .ok_or_else(|| Broken::Refused(format!("there is no log format {table}")));
        }
        if head.bytes.starts_with(b"PAR1") {
            return format_named("vpc_flow").ok_or_else(|| Broken::Refused(String::new()));
        }
        recognise(&head.bytes, head.whole).ok_or_else(|| {
            Broken::Refused("no log format reads it; if it is one, say which with --table".to_owned())
        })
    }

    fn setup(&self, format: &'static dyn Format) -> Setup {
        let mut options = self.settings.options_of(format.name());
        options.extend(self.delivery.options.clone());
        Setup {
            batch_rows: BATCH_ROWS,
            ingested_at: self.ingested_at,
            options,
            ..Setup::whole(format, &self.delivery.name)
        }
    }

    fn output(&mut self, format: &'static dyn Format) -> Output<'_> {
        Output {
            table: format.name(),
            delivery: self.delivery,
            sink: self.sink,
            watch: self.watch,
            ingested_at: self.ingested_at,
            skip: self.given,
            given: &mut self.given,
            held: Some(Vec::new()),
            held_bytes_max: self.settings.held_bytes_max,
            bytes_out: 0,
            counted: (0, 0),
            rejected: 0,
            coverage: Coverage::default(),
            identity: IdentityClaims::default(),
        }
    }
}

/// How a gzip member begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Compressed bytes of an object that are gathered before it is inflated. AWS's log objects are smaller;
/// of a larger one this much is held, and it is inflated as it comes.
const WHOLE_BYTES_MAX: usize = 12 << 20;

/// The first bytes of an object.
pub struct Head {
    /// As they lie, compressed.
    pub bytes: Bytes,
    /// Nothing follows.
    pub whole: bool,
}

impl Head {
    async fn of(input: &mut BoxStream<'static, Result<Bytes, Error>>) -> Result<Head, Error> {
        let nothing = Head {
            bytes: Bytes::new(),
            whole: false,
        };
        nothing.up_to(LOOK_BYTES, input).await
    }

    /// Eight times as much of the object.
    async fn longer(self, input: &mut BoxStream<'static, Result<Bytes, Error>>) -> Result<Head, Error> {
        let length = self.bytes.len() * 8;
        self.up_to(length, input).await
    }

    /// At least `length` bytes, if there are as many.
    async fn up_to(
        self,
        length: usize,
        input: &mut BoxStream<'static, Result<Bytes, Error>>,
    ) -> Result<Head, Error> {
        let mut held = self.bytes.len();
        let mut chunks = vec![self.bytes];
        let mut whole = false;
        while held < length && !whole {
            match input.try_next().await? {
                Some(next) => {
                    held += next.len();
                    chunks.push(next);
                }
                None => whole = true,
            }
        }
        // One chunk is often all that there is, and then nothing is copied.
        chunks.retain(|chunk| !chunk.is_empty());
        let bytes = match chunks.len() {
            0 | 1 => chunks.pop().unwrap_or_default(),
            _ => Bytes::from(chunks.concat()),
        };
        Ok(Head { bytes, whole })
    }
}

/// Where the rows and rejects of one attempt go.
pub struct Output<'a> {
    table: &'static str,
    delivery: &'a Delivery,
    sink: &'a Sink,
    watch: &'a Watch,
    ingested_at: i64,
    /// What earlier attempts gave, and this one leaves out.
    skip: Given,
    given: &'a mut Given,
    /// Batches that wait for the object's end; none once it streams.
    held: Option<Vec<(&'static str, RecordBatch)>>,
    held_bytes_max: u64,
    bytes_out: u64,
    counted: (u64, u64),
    /// Rejects taken from the tally.
    pub rejected: u64,
    coverage: Coverage,
    identity: IdentityClaims,
}

impl Output<'_> {
    /// Notes the reader's counts, for progress and for what may be held.
    pub fn count(&mut self, tally: &Tally) {
        self.bytes_out = tally.bytes_out;
        self.watch
            .bytes_in
            .fetch_add(tally.bytes_in.saturating_sub(self.counted.0), Relaxed);
        self.watch
            .rows
            .fetch_add(tally.rows.saturating_sub(self.counted.1), Relaxed);
        self.counted = (tally.bytes_in, tally.rows);
    }

    /// Takes rows.
    pub async fn rows(&mut self, batch: RecordBatch) -> Result<(), Broken> {
        let batch = renumbered(batch, self.delivery.lines_before).map_err(Broken::Lake)?;
        self.coverage.see(self.table, &batch, self.delivery.delivered_at);
        self.identity.see(self.table, &batch);
        let skipped = self.skip.rows.min(batch.num_rows() as u64);
        self.skip.rows -= skipped;
        let rest = batch.num_rows() - skipped as usize;
        if rest > 0 {
            let batch = batch.slice(skipped as usize, rest);
            self.put(self.table, batch).await?;
        }
        Ok(())
    }

    /// Takes rejects.
    pub async fn rejects(&mut self, rejects: &[Reject]) -> Result<(), Broken> {
        let skipped = self.skip.rejects.min(rejects.len() as u64);
        self.skip.rejects -= skipped;
        let rejects = &rejects[skipped as usize..];
        if rejects.is_empty() {
            return Ok(());
        }
        let batch = rejects_batch(self.table, &self.delivery.name, self.ingested_at, rejects);
        let batch = renumbered(batch, self.delivery.lines_before).map_err(Broken::Lake)?;
        self.put("rejects", batch).await
    }

    async fn put(&mut self, table: &'static str, batch: RecordBatch) -> Result<(), Broken> {
        match &mut self.held {
            Some(held) if self.bytes_out <= self.held_bytes_max => held.push((table, batch)),
            _ => {
                self.release().await?;
                self.give(table, batch).await?;
            }
        }
        Ok(())
    }

    /// Gives what was held; from here on the object streams.
    async fn release(&mut self) -> Result<(), Broken> {
        for (table, batch) in self.held.take().into_iter().flatten() {
            self.give(table, batch).await?;
        }
        Ok(())
    }

    async fn give(&mut self, table: &'static str, batch: RecordBatch) -> Result<(), Broken> {
        let count = batch.num_rows() as u64;
        self.sink.push(table, batch).await.map_err(Broken::Lake)?;
        match table {
            "rejects" => self.given.rejects += count,
            _ => self.given.rows += count,
        }
        Ok(())
    }

    /// The object is read to its end.
    pub async fn finish(mut self, tally: &Tally) -> Result<Read, Broken> {
        self.count(tally);
        self.release().await?;
        self.watch.rejected.fetch_add(tally.rejected, Relaxed);
        Ok(Read::Whole {
            table: self.table,
            counts: Counts {
                objects: 1,
                rows: tally.rows,
                rejected: tally.rejected,
                passed: tally.passed,
                bytes_in: tally.bytes_in,
                first: tally.first,
                last: tally.last,
            },
            coverage: self.coverage,
            identity: self.identity,
        })
    }
}

/// The batch with `_line` counted on from earlier pieces of the same stream.
fn renumbered(batch: RecordBatch, lines_before: u64) -> Result<RecordBatch, Error> {
    let Some((index, _)) = batch.schema().column_with_name("_line") else {
        return Ok(batch);
    };
    if lines_before == 0 {
        return Ok(batch);
    }
    let offset = lines_before as i64;
    let lines: Int64Array = batch
        .column(index)
        .as_primitive::<Int64Type>()
        .unary(|line| line + offset);
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns[index] = Arc::new(lines);
    RecordBatch::try_new(batch.schema(), columns)
        .map_err(|error| Error::new(ErrorKind::Failed, format!("numbering lines: {error}")))
}
