//! Log objects that are Parquet in place of text, such as flow logs can be.
//!
//! The columns are brought to the table's by the format itself. Corrupt Parquet
//! has made readers panic (arrow-rs #9705): a panic costs the object, not the query.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use datafusion::common::Result;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{
    AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use trailhound_ingest::formats::Setup;
use trailhound_ingest::reject::rejects_batch;
use trailhound_ingest::tally::Tally;

use crate::ledger::Outcome;
use crate::log_format::LogFormat;

/// The scan of one Parquet object. Reports to the ledger when it ends.
pub struct ParquetScan {
    /// The format that knows the columns.
    pub format: LogFormat,
    /// Name of the table.
    pub table: Arc<str>,
    /// What the format is told.
    pub setup: Setup,
    /// Whether rejects are asked for, in place of rows, and which of their columns.
    pub rejects: Option<Vec<usize>>,
    /// Places of the query's columns among those of `setup`, if they differ.
    pub order: Option<Vec<usize>>,
    tally: Tally,
    lines: u64,
    outcome: Outcome,
}

impl ParquetScan {
    /// A scan that has not begun.
    pub fn new(
        format: LogFormat,
        table: Arc<str>,
        setup: Setup,
        rejects: Option<Vec<usize>>,
        order: Option<Vec<usize>>,
    ) -> Self {
        let outcome = Outcome::Read { complete: false };
        ParquetScan {
            format,
            table,
            setup,
            rejects,
            order,
            tally: Tally::default(),
            lines: 0,
            outcome,
        }
    }

    /// The rows (or rejects) of the object.
    pub async fn batches(
        mut self,
        store: Arc<dyn ObjectStore>,
        meta: ObjectMeta,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        self.tally.bytes_in = meta.size;
        let opened = AssertUnwindSafe(self.open(store, meta)).catch_unwind().await;
        match opened {
            Ok(Ok(stream)) => self.read(stream),
            Ok(Err(error)) => {
                self.outcome = Outcome::Skipped {
                    reason: format!("damaged Parquet: {error}"),
                };
                futures::stream::empty().boxed()
            }
            Err(_) => {
                self.outcome = Outcome::Skipped {
                    reason: "damaged Parquet: its reader gave up".to_owned(),
                };
                futures::stream::empty().boxed()
            }
        }
    }

    async fn open(
        &self,
        store: Arc<dyn ObjectStore>,
        meta: ObjectMeta,
    ) -> Result<ParquetRecordBatchStream<ObjectReader>, ParquetError> {
        let reader = ObjectReader { store, meta };
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
        let names = builder.schema().fields().iter().map(|field| field.name().clone());
        let wanted: Vec<usize> = names
            .enumerate()
            .filter(|(_, name)| self.format.format.columnar_wants(name, &self.setup))
            .map(|(index, _)| index)
            .collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        builder
            .with_projection(mask)
            .with_batch_size(self.setup.batch_rows)
            .build()
    }

    fn read(self, stream: ParquetRecordBatchStream<ObjectReader>) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::try_unfold((self, stream), |(mut scan, mut stream)| async move {
            loop {
                let next = match AssertUnwindSafe(stream.next()).catch_unwind().await {
                    Ok(Some(Ok(batch))) => batch,
                    Ok(None) => {
                        scan.finish();
                        return Ok(None);
                    }
                    Ok(Some(Err(error))) => {
                        return scan.damaged(stream, &format!("damaged Parquet: {error}"));
                    }
                    Err(_) => return scan.damaged(stream, "damaged Parquet: its reader gave up"),
                };
                if let Some(batch) = scan.convert(&next)? {
                    return Ok(Some((batch, (scan, stream))));
                }
                if matches!(scan.outcome, Outcome::Skipped { .. }) {
                    return Ok(None);
                }
            }
        })
        .boxed()
    }

    /// Notes that the object was read to its end.
    fn finish(&mut self) {
        self.outcome = Outcome::Read { complete: true };
    }

    /// The table's rows of a batch of the file; none if there is nothing to give.
    fn convert(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let rows = self
            .format
            .format
            .columnar(batch, self.lines, &self.setup, &mut self.tally);
        self.lines += batch.num_rows() as u64;
        let rejects = self.tally.take_rejects();
        let rows = match rows {
            Ok(rows) => rows,
            Err(refusal) => {
                self.outcome = Outcome::Skipped {
                    reason: refusal.reason,
                };
                return Ok(None);
            }
        };
        match (&self.rejects, &self.order) {
            (Some(_), _) if rejects.is_empty() => Ok(None),
            (Some(columns), _) => {
                let batch = rejects_batch(&self.table, &self.setup.source, self.setup.ingested_at, &rejects);
                Ok(Some(batch.project(columns)?))
            }
            (None, Some(order)) => Ok(Some(rows.project(order)?)),
            (None, None) => Ok(Some(rows)),
        }
    }

    /// What cannot be read of the object is one reject, after what could.
    #[expect(clippy::type_complexity, reason = "the state of the stream above")]
    fn damaged(
        mut self,
        stream: ParquetRecordBatchStream<ObjectReader>,
        reason: &str,
    ) -> Result<Option<(RecordBatch, (Self, ParquetRecordBatchStream<ObjectReader>))>> {
        self.tally.reject(self.lines + 1, reason, b"");
        let rejects = self.tally.take_rejects();
        let Some(columns) = &self.rejects else {
            return Ok(None);
        };
        let batch = rejects_batch(&self.table, &self.setup.source, self.setup.ingested_at, &rejects);
        let batch = batch.project(columns)?;
        Ok(Some((batch, (self, stream))))
    }
}

impl Drop for ParquetScan {
    fn drop(&mut self) {
        self.format
            .ledger
            .note(&self.table, &self.setup.source, self.outcome.clone(), &self.tally);
    }
}

/// The bytes of an object, as the Parquet reader asks for them.
struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    meta: ObjectMeta,
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: std::ops::Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        Box::pin(async move {
            let bytes = self.store.get_range(&self.meta.location, range).await;
            bytes.map_err(|error| ParquetError::External(Box::new(error)))
        })
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        Box::pin(async move {
            let size = self.meta.size;
            Ok(Arc::new(
                ParquetMetaDataReader::new().load_and_finish(self, size).await?,
            ))
        })
    }
}
