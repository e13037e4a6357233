//! An object that is Parquet in place of text, such as flow logs can be.
//!
//! Parquet begins at its end, so the object is put into a file first: memory
//! stays small whatever its size. Corrupt Parquet has made readers panic
//! (arrow-rs #9705): a panic costs the object, not the run.

use std::fs::File;
use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use tokio::sync::mpsc;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_ingest::formats::{Format, Setup};
use trailhound_ingest::tally::Tally;

use crate::object::{Broken, Head, Output, Read};

/// Batches between the thread that reads and the task that writes.
const BATCHES_AHEAD: usize = 4;

/// Reads the rest of an object that begins with `head`.
pub async fn read(
    format: &'static dyn Format,
    setup: Setup,
    head: Head,
    mut input: BoxStream<'static, Result<Bytes, Error>>,
    mut output: Output<'_>,
) -> Result<Read, Broken> {
    let local = |error: std::io::Error| {
        Broken::Lake(
            Error::new(
                ErrorKind::Failed,
                format!("holding a Parquet object in a temporary file: {error}"),
            )
            .with_help("free some space in the temporary folder, or name another one with TMPDIR"),
        )
    };
    let mut tally = Tally::default();
    let mut file = tempfile::tempfile().map_err(local)?;
    file.write_all(&head.bytes).map_err(local)?;
    tally.bytes_in += head.bytes.len() as u64;
    while let Some(chunk) = input.try_next().await.map_err(Broken::Source)? {
        file.write_all(&chunk).map_err(local)?;
        tally.bytes_in += chunk.len() as u64;
    }
    file.rewind().map_err(local)?;

    let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD);
    let wanted = setup.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| rows_of(file, format, &wanted, &sender)));
        outcome.unwrap_or_else(|_| Err("its reader gave up".to_owned()))
    });
    let mut lines = 0;
    while let Some(batch) = batches.recv().await {
        let rows = format
            .columnar(&batch, lines, &setup, &mut tally)
            .map_err(|refusal| Broken::Refused(refusal.reason))?;
        lines += batch.num_rows() as u64;
        let rejects = tally.take_rejects();
        output.rejected += rejects.len() as u64;
        output.count(&tally);
        output.rejects(&rejects).await?;
        output.rows(rows).await?;
    }
    let ended = reading.await.unwrap_or_else(|error| Err(error.to_string()));
    if let Err(reason) = ended {
        // What cannot be read of the object is one reject, after what could.
        tally.reject(lines + 1, format!("damaged Parquet: {reason}"), b"");
        output.rejects(&tally.take_rejects()).await?;
    }
    output.finish(&tally).await
}

fn rows_of(
    file: File,
    format: &'static dyn Format,
    setup: &Setup,
    sender: &mpsc::Sender<RecordBatch>,
) -> Result<(), String> {
    let reader = open(file, format, setup).map_err(|error| error.to_string())?;
    for batch in reader {
        let batch = batch.map_err(|error| error.to_string())?;
        if sender.blocking_send(batch).is_err() {
            return Ok(()); // Nobody wants the rest.
        }
    }
    Ok(())
}

fn open(
    file: File,
    format: &'static dyn Format,
    setup: &Setup,
) -> parquet::errors::Result<ParquetRecordBatchReader> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let names = builder.schema().fields().iter().map(|field| field.name().clone());
    let wanted: Vec<usize> = names
        .enumerate()
        .filter(|(_, name)| format.columnar_wants(name, setup))
        .map(|(index, _)| index)
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    builder
        .with_projection(mask)
        .with_batch_size(setup.batch_rows)
        .build()
}
