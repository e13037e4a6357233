//! Reads the files of a table, batch by batch, in the table's own types.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use trailhound_ingest::error::{Error, ErrorKind};

use crate::writer::at;
use crate::{DataFile, Lake, TableSpec};

/// Rows of a batch: small, since one is held for each file that is merged.
const BATCH_ROWS: usize = 4096;

/// A table whose files are read.
pub(super) struct Source {
    pub store: Arc<dyn ObjectStore>,
    pub root: Path,
    pub spec: TableSpec,
}

/// Batches of one file.
pub(super) type Batches = BoxStream<'static, Result<RecordBatch, Error>>;

impl Source {
    /// A table of a lake.
    pub fn new(lake: &Lake, table: &str, spec: &TableSpec) -> Self {
        Source {
            store: Arc::clone(lake.store()),
            root: lake.path_of(table),
            spec: spec.clone(),
        }
    }

    /// The columns of `wanted` (all, if none are named) of a file, in the table's order; those that the
    /// file does not have are NULL. Also, which columns of the table the file has.
    pub async fn open(
        &self,
        file: &DataFile,
        wanted: Option<&[&str]>,
    ) -> Result<(Batches, Vec<bool>), Error> {
        let path = at(&self.root, &file.path);
        let failed = {
            let path = path.clone();
            move |error: ParquetError| {
                Error::new(ErrorKind::Unreachable, format!("cannot read {path}: {error}"))
            }
        };
        let mut reader = Object {
            store: Arc::clone(&self.store),
            path: path.clone(),
            size: file.size,
        };
        let found = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new())
            .await
            .map_err(&failed)?;
        let table = &self.spec.schema;
        // Text as views, which are what the writer takes; a column unknown to the table stays what it is.
        let fields: Vec<_> = found
            .schema()
            .fields()
            .iter()
            .map(|field| match table.field_with_name(field.name()) {
                Ok(ours) => Arc::new(field.as_ref().clone().with_data_type(ours.data_type().clone())),
                Err(_) => Arc::clone(field),
            })
            .collect();
        let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
        let typed = ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options).map_err(&failed)?;
        let columns = found.schema().fields();
        let has: Vec<bool> = table
            .fields()
            .iter()
            .map(|field| columns.find(field.name()).is_some())
            .collect();
        let target: SchemaRef = match wanted {
            None => Arc::clone(table),
            Some(names) => Arc::new(Schema::new(
                table
                    .fields()
                    .iter()
                    .filter(|field| names.contains(&field.name().as_str()))
                    .cloned()
                    .collect::<Vec<_>>(),
            )),
        };
        let mask = columns
            .iter()
            .enumerate()
            .filter(|(_, field)| target.field_with_name(field.name()).is_ok())
            .map(|(index, _)| index);
        let mask = ProjectionMask::roots(typed.parquet_schema(), mask);
        let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, typed)
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(&failed)?;
        let batches = stream
            .map_err(failed)
            .and_then(move |batch| std::future::ready(aligned(&batch, &target)))
            .boxed();
        Ok((batches, has))
    }
}

/// An object of a known size, as the Parquet reader wants it.
struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

fn unread(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { self.store.get_range(&self.path, range).await.map_err(unread) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(unread) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            let metadata = ParquetMetaDataReader::new().load_and_finish(self, size).await?;
            Ok(Arc::new(metadata))
        }
        .boxed()
    }
}

/// A batch with all columns of `schema`, in its order.
fn aligned(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let rows = batch.num_rows();
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), rows),
        })
        .collect();
    // A column that a file lacks is NULL, whatever the table says.
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    RecordBatch::try_new_with_options(
        Arc::new(Schema::new(fields)),
        columns,
        &RecordBatchOptions::new().with_row_count(Some(rows)),
    )
    .map_err(|error| {
        Error::new(
            ErrorKind::Failed,
            format!("a file does not fit its table: {error}"),
        )
    })
}
