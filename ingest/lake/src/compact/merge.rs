//! Several files to new ones, in the order of time, without the rows to leave out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;
use chrono::Utc;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};
use trailhound_ingest::error::{Error, ErrorKind};

use super::read::{Batches, Source};
use super::{CompactOptions, new_path};
use crate::writer::file::FileEncoder;
use crate::writer::run::Run;
use crate::writer::{at, cannot_encode, cannot_put};
use crate::{DataFile, TableSpec};

/// Rows that are put together at a time.
const ROWS: usize = 8192;

/// One of the files that are merged.
struct Input {
    batches: Batches,
    batch: RecordBatch,
    /// The next row of the batch.
    at: usize,
    /// The batch's first row, in the file.
    start: u32,
    /// Rows of the file to leave out, ascending, and how many of them are behind.
    dropped: Vec<u32>,
    behind: usize,
}

impl Input {
    /// Goes on to a row that stays. False: the file is at its end; none of its batch may be in use
    /// if `at` is at the batch's end.
    async fn seek(&mut self) -> Result<bool, Error> {
        loop {
            while self.at < self.batch.num_rows() {
                let row = self.start + self.at as u32;
                if self.dropped.get(self.behind) != Some(&row) {
                    return Ok(true);
                }
                self.behind += 1;
                self.at += 1;
            }
            self.start += self.batch.num_rows() as u32;
            self.at = 0;
            match self.batches.try_next().await? {
                Some(batch) => self.batch = batch,
                None => return Ok(false),
            }
        }
    }

    /// The row's time; no time comes last.
    fn time(&self, column: usize) -> i64 {
        let times = self
            .batch
            .column(column)
            .as_primitive::<TimestampMicrosecondType>();
        if times.is_valid(self.at) {
            times.value(self.at)
        } else {
            i64::MAX
        }
    }

    /// Whether no later row of the batch stays: the next step reads another batch.
    fn is_last_of_batch(&self) -> bool {
        let rows = self.start + self.at as u32 + 1..self.start + self.batch.num_rows() as u32;
        // Both ascend: all of them are dropped if that many are left to drop, up to the last one.
        let left = &self.dropped[self.behind..];
        left.partition_point(|&row| row < rows.end) == rows.len()
    }
}

/// Merges `files` of one day. If it fails, what was put is deleted.
pub(super) async fn merge(
    source: &Source,
    files: &[DataFile],
    dropped: &HashMap<String, Vec<u32>>,
    day: &str,
    options: &CompactOptions,
) -> Result<Vec<DataFile>, Error> {
    let spec = &source.spec;
    let column = |name: &str| {
        spec.schema.index_of(name).map_err(|_| {
            Error::new(
                ErrorKind::Failed,
                format!("table {} has no column {name}", spec.name),
            )
        })
    };
    let (time, ingested) = (column(spec.time)?, column("_ingested_at")?);
    let mut inputs = Vec::new();
    let mut has = vec![false; spec.schema.fields().len()];
    for file in files {
        let (batches, theirs) = source.open(file, None).await?;
        for (has, theirs) in has.iter_mut().zip(theirs) {
            *has |= theirs;
        }
        inputs.push(Input {
            batches,
            batch: RecordBatch::new_empty(Arc::clone(&spec.schema)),
            at: 0,
            start: 0,
            dropped: dropped.get(&file.path).cloned().unwrap_or_default(),
            behind: 0,
        });
    }
    let columns: Vec<usize> = (0..has.len()).filter(|&column| has[column]).collect();
    let mut output = Output {
        source,
        day,
        options,
        columns,
        order: (time, ingested),
        run: Run::new(Arc::clone(&spec.schema)),
        file: None,
        done: Vec::new(),
    };
    match pour(&mut inputs, time, &mut output).await {
        Ok(()) => Ok(output.done),
        Err(error) => {
            output.give_up().await;
            Err(error)
        }
    }
}

/// All rows, by time, into the output.
async fn pour(inputs: &mut [Input], time: usize, output: &mut Output<'_>) -> Result<(), Error> {
    let mut queue = BinaryHeap::new();
    for (number, input) in inputs.iter_mut().enumerate() {
        if input.seek().await? {
            queue.push(Reverse((input.time(time), number)));
        }
    }
    let mut picked: Vec<(usize, usize)> = Vec::with_capacity(ROWS);
    while let Some(Reverse((_, number))) = queue.pop() {
        let input = &inputs[number];
        picked.push((number, input.at));
        // A batch must not go while rows of it are picked.
        if input.is_last_of_batch() || picked.len() >= ROWS {
            let rows = together(inputs, &mut picked)?;
            output.push(&rows).await?;
        }
        let input = &mut inputs[number];
        input.at += 1;
        if input.seek().await? {
            queue.push(Reverse((input.time(time), number)));
        }
    }
    if !picked.is_empty() {
        let rows = together(inputs, &mut picked)?;
        output.push(&rows).await?;
    }
    output.finish().await
}

/// The picked rows of the inputs' batches.
fn together(inputs: &[Input], picked: &mut Vec<(usize, usize)>) -> Result<RecordBatch, Error> {
    let batches: Vec<&RecordBatch> = inputs.iter().map(|input| &input.batch).collect();
    let rows = interleave_record_batch(&batches, picked)
        .map_err(|error| Error::new(ErrorKind::Failed, format!("cannot merge rows: {error}")))?;
    picked.clear();
    Ok(rows)
}

/// The files that are made.
struct Output<'a> {
    source: &'a Source,
    day: &'a str,
    options: &'a CompactOptions,
    /// Columns that the files have.
    columns: Vec<usize>,
    /// Columns of time and of ingest.
    order: (usize, usize),
    run: Run,
    file: Option<File>,
    done: Vec<DataFile>,
}

/// A file under way.
struct File {
    encoder: FileEncoder,
    upload: Upload,
}

/// Where its bytes go.
struct Upload {
    path: String,
    /// What was not sent yet: small files are put in one piece.
    held: Vec<u8>,
    parts: Option<WriteMultipart>,
    size: u64,
}

/// Bytes from which on a file is sent in parts.
const PARTS_FROM: usize = 16 << 20;

/// Parts that are under way at the same time.
const PARTS_MAX: usize = 4;

impl Output<'_> {
    async fn push(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        self.run.push(rows)?;
        let settings = &self.options.writer;
        if self.run.rows() >= settings.row_group_rows_max || self.run.held() >= settings.run_bytes_max {
            self.row_group().await?;
        }
        Ok(())
    }

    /// Encodes the rows held, and ends the file if it is large enough.
    async fn row_group(&mut self) -> Result<(), Error> {
        let next = self.run.next();
        let run = std::mem::replace(&mut self.run, next);
        let spec: TableSpec = self.source.spec.clone();
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let settings = &self.options.writer;
                let encoder =
                    FileEncoder::new(&spec, &self.columns, settings.zstd_level, settings.encode_threads)
                        .map_err(|error| cannot_encode(spec.name, &error))?;
                File {
                    encoder,
                    upload: Upload {
                        path: new_path(self.day),
                        held: Vec::new(),
                        parts: None,
                        size: 0,
                    },
                }
            }
        };
        let (time, ingested) = self.order;
        let file = tokio::task::spawn_blocking(move || {
            let mut file = file;
            let order = run.order(time, ingested);
            file.encoder
                .row_group(&run, &order.pick(0..run.rows()))
                .map_err(|error| cannot_encode(spec.name, &error))?;
            Ok::<_, Error>(file)
        })
        .await
        .map_err(|error| {
            Error::new(
                ErrorKind::Failed,
                format!("encoding a file stopped short: {error}"),
            )
        })??;
        let file = self.file.insert(file);
        let bytes = file.encoder.take();
        file.upload.send(self.source, bytes).await?;
        if file.encoder.size() as u64 >= self.options.target_bytes {
            self.end_file().await?;
        }
        Ok(())
    }

    async fn end_file(&mut self) -> Result<(), Error> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        let encoded = file
            .encoder
            .finish()
            .map_err(|error| cannot_encode(self.source.spec.name, &error))?;
        file.upload.send(self.source, encoded.bytes).await?;
        let file = file.upload;
        let target = at(&self.source.root, &file.path);
        match file.parts {
            Some(parts) => parts.finish().await.map(drop),
            None => self
                .source
                .store
                .put(&target, Bytes::from(file.held).into())
                .await
                .map(drop),
        }
        .map_err(|error| cannot_put(&target, &error))?;
        self.done.push(DataFile {
            path: file.path,
            event_date: Some(self.day.to_owned()),
            size: file.size,
            rows: encoded.rows,
            modified: Utc::now().timestamp_millis(),
            stats: encoded.stats,
        });
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Error> {
        if self.run.rows() > 0 {
            self.row_group().await?;
        }
        self.end_file().await
    }

    /// Deletes what was made.
    async fn give_up(mut self) {
        if let Some(parts) = self.file.take().and_then(|file| file.upload.parts)
            && let Err(error) = parts.abort().await
        {
            tracing::warn!(%error, "an upload that nobody needs could not be given up");
        }
        discard(self.source, &self.done).await;
    }
}

impl Upload {
    /// Sends bytes, or holds them while they are few.
    async fn send(&mut self, source: &Source, bytes: Vec<u8>) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        self.held.extend_from_slice(&bytes);
        if self.parts.is_none() && self.held.len() < PARTS_FROM {
            return Ok(());
        }
        let target = at(&source.root, &self.path);
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None => WriteMultipart::new(
                source
                    .store
                    .put_multipart(&target)
                    .await
                    .map_err(|error| cannot_put(&target, &error))?,
            ),
        };
        let sent = parts.wait_for_capacity(PARTS_MAX).await;
        if sent.is_ok() {
            parts.write(&std::mem::take(&mut self.held));
        }
        self.parts = Some(parts);
        sent.map_err(|error| cannot_put(&target, &error))
    }
}

/// Deletes files that are in no version of the table.
pub(super) async fn discard(source: &Source, files: &[DataFile]) {
    for file in files {
        let path: Path = at(&source.root, &file.path);
        if let Err(error) = source.store.delete(&path).await {
            tracing::warn!(%path, %error, "a file that nobody needs could not be deleted");
        }
    }
}
