//! Scans log objects: bytes from the object store, through a reader, to batches.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::RecordBatch;
use bytes::Bytes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_datasource::projection::{ProjectionOpener, SplitProjection};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt};
use trailhound_ingest::formats::Setup;
use trailhound_ingest::reader::{Limits, Reader, Step};
use trailhound_ingest::reject::rejects_batch;

use crate::ledger::Outcome;
use crate::log_format::LogFormat;
use crate::parquet::ParquetScan;

/// Largest object that is fetched in one piece. Its inflated size is capped too,
/// by the reader; larger objects are streamed.
const FETCH_WHOLE_BYTES_MAX: u64 = 16 << 20;

/// Bytes of one read of a local file that is streamed.
const FILE_CHUNK_BYTES: usize = 256 << 10;

/// The name that `_source` shows for an object, where it is not the URL.
#[derive(Debug, Clone)]
pub struct SourceName(pub Arc<str>);

/// What a scan gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gives {
    Rows,
    Rejects,
}

/// A scan over objects of one log format.
#[derive(Debug, Clone)]
pub struct LogSource {
    format: LogFormat,
    /// Name of the table, for the ledger and for rejects.
    table: Arc<str>,
    gives: Gives,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl LogSource {
    /// A scan that gives the records of the objects.
    pub fn rows(format: LogFormat, table: Arc<str>, table_schema: TableSchema) -> Self {
        LogSource::new(format, table, table_schema, Gives::Rows)
    }

    /// A scan that gives what did not parse, as rows of the table `rejects`.
    pub fn rejects(format: LogFormat, table: Arc<str>, table_schema: TableSchema) -> Self {
        LogSource::new(format, table, table_schema, Gives::Rejects)
    }

    fn new(format: LogFormat, table: Arc<str>, table_schema: TableSchema, gives: Gives) -> Self {
        LogSource {
            format,
            table,
            gives,
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            batch_rows: 8192,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl FileSource for LogSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let batch_rows = base_config
            .limit
            .map_or(self.batch_rows, |limit| self.batch_rows.min(limit.max(1)));
        let opener = Arc::new(LogOpener {
            source: LogSource {
                batch_rows,
                ..self.clone()
            },
            store: object_store,
            base: base_config.object_store_url.as_str().to_owned(),
        });
        ProjectionOpener::try_new(self.projection.clone(), opener, self.table_schema.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(LogSource {
            batch_rows: batch_size,
            ..self.clone()
        })
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(LogSource {
            projection,
            ..self.clone()
        })))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        self.format.format.name()
    }

    fn supports_repartitioning(&self) -> bool {
        false // A gzip stream has no place to begin in the middle.
    }

    fn fmt_extra(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", log_format={}", self.format.format.name())
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.projection.source.iter(), f)
    }
}

struct LogOpener {
    source: LogSource,
    store: Arc<dyn ObjectStore>,
    base: String,
}

impl FileOpener for LogOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let name: Arc<str> = match file.extension::<SourceName>() {
            Some(SourceName(name)) => Arc::clone(name),
            None => self.name_of(&file).into(),
        };
        let scan = &self.source;
        let projection = match scan.gives {
            Gives::Rows => scan.projection.file_indices.clone(),
            Gives::Rejects => Vec::new(),
        };
        // The reader wants ascending columns; what it gives is put back in order.
        let mut ascending = projection.clone();
        ascending.sort_unstable();
        let order: Vec<usize> = projection
            .iter()
            .filter_map(|index| ascending.iter().position(|other| other == index))
            .collect();
        let order = (ascending != projection).then_some(order);
        let setup = Setup {
            projection: ascending.into(),
            source: Arc::clone(&name),
            batch_rows: scan.batch_rows,
            ingested_at: scan.format.ingested_at,
            options: scan.format.options.clone(),
        };
        if file.object_meta.location.as_ref().ends_with(".parquet") {
            let rejects = (scan.gives == Gives::Rejects).then(|| scan.projection.file_indices.clone());
            let scan = ParquetScan::new(
                scan.format.clone(),
                Arc::clone(&scan.table),
                setup,
                rejects,
                order,
            );
            let store = Arc::clone(&self.store);
            return Ok(Box::pin(async move {
                Ok(scan.batches(store, file.object_meta).await)
            }));
        }
        let parser = scan
            .format
            .format
            .parser(setup)
            .map_err(|error| exec_datafusion_err!("{error}"))?;
        let mut scan = ObjectScan {
            reader: match scan.gives {
                Gives::Rows => Reader::new(parser, Limits::default()),
                Gives::Rejects => Reader::for_rejects(parser, Limits::default()),
            },
            source: scan.clone(),
            name,
            order,
            complete: false,
            refused: None,
            counted: (0, 0),
        };
        let store = Arc::clone(&self.store);
        Ok(Box::pin(async move {
            let (path, size) = (file.object_meta.location.clone(), file.object_meta.size);
            let result = match store.get(&path).await {
                Ok(result) => result,
                Err(error) => {
                    scan.unreachable(&error);
                    return Ok(futures::stream::empty().boxed());
                }
            };
            let input = match result.payload {
                GetResultPayload::File(file, _) => file_chunks(file, size),
                GetResultPayload::Stream(stream) if size <= FETCH_WHOLE_BYTES_MAX => {
                    let chunks: Vec<Bytes> = stream.try_collect().await?;
                    let whole = Bytes::from(chunks.concat());
                    futures::stream::once(async move { Ok(whole) }).boxed()
                }
                GetResultPayload::Stream(stream) => stream.map_err(DataFusionError::from).boxed(),
            };
            Ok(scan.batches(input))
        }))
    }
}

impl LogOpener {
    /// The object's URL; for local files, the plain path.
    fn name_of(&self, file: &PartitionedFile) -> String {
        let path = &file.object_meta.location;
        match self.base.strip_prefix("file://") {
            Some(root) => format!("{root}{path}"),
            None => format!("{}/{path}", self.base.trim_end_matches('/')),
        }
    }
}

/// A local file as the reader likes it: whole if it is small, else in chunks.
///
/// The reads block, as DataFusion's own file readers do: they are short, and a
/// scan's task has nothing else to do meanwhile.
fn file_chunks(mut file: std::fs::File, size: u64) -> BoxStream<'static, Result<Bytes>> {
    use std::io::Read;
    let chunk_bytes = if size <= FETCH_WHOLE_BYTES_MAX {
        size as usize
    } else {
        FILE_CHUNK_BYTES
    };
    let mut first = true;
    futures::stream::iter(std::iter::from_fn(move || {
        // One byte more than the size, so that a file which has not grown ends here.
        let mut chunk = Vec::with_capacity(chunk_bytes + 1);
        let read = (&mut file).take(chunk_bytes as u64 + 1).read_to_end(&mut chunk);
        match read {
            Ok(0) if !first => None,
            Ok(_) => {
                first = false;
                Some(Ok(Bytes::from(chunk)))
            }
            Err(error) => Some(Err(DataFusionError::IoError(error))),
        }
    }))
    .boxed()
}

/// The scan of one object. Reports to the ledger when it ends, also when the
/// query needs no more of it.
struct ObjectScan {
    reader: Reader,
    source: LogSource,
    name: Arc<str>,
    order: Option<Vec<usize>>,
    complete: bool,
    refused: Option<Outcome>,
    counted: (u64, u64),
}

impl ObjectScan {
    fn unreachable(&mut self, error: &object_store::Error) {
        self.refused = Some(Outcome::Unreachable {
            reason: reason_of(error),
        });
    }

    fn batches(self, input: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<RecordBatch>> {
        // One chunk is held back, so that the reader learns with the last bytes
        // that they are the last: only then can it inflate an object in one go.
        let state = (self, input, None::<Bytes>, true);
        futures::stream::try_unfold(state, |(mut scan, mut input, mut held, mut more)| async move {
            loop {
                match scan.step()? {
                    Some(Step::Batch(batch)) => return Ok(Some((batch, (scan, input, held, more)))),
                    Some(Step::Done) | None => return Ok(None),
                    Some(Step::Rejects) => continue,
                    Some(Step::NeedsInput) => {}
                }
                while more {
                    let next = input.try_next().await?;
                    more = next.is_some();
                    if let Some(chunk) = std::mem::replace(&mut held, next) {
                        scan.reader.push(chunk);
                        break;
                    }
                }
                if !more && held.is_none() {
                    scan.reader.end();
                }
            }
        })
        .boxed()
    }

    /// The next step of the reader; none once the object was refused.
    fn step(&mut self) -> Result<Option<Step>> {
        if self.refused.is_some() {
            return Ok(None);
        }
        loop {
            let step = self.reader.next_batch();
            self.count();
            let rejects = self.reader.tally.take_rejects();
            match step {
                Err(refusal) => {
                    self.refused = Some(Outcome::Skipped {
                        reason: refusal.reason,
                    });
                    return Ok(None);
                }
                Ok(step) => {
                    if matches!(step, Step::Done) {
                        self.complete = true;
                    }
                    if self.source.gives == Gives::Rejects {
                        if !rejects.is_empty() {
                            let batch = rejects_batch(
                                &self.source.table,
                                &self.name,
                                self.source.format.ingested_at,
                                &rejects,
                            );
                            let projected = batch.project(&self.source.projection.file_indices)?;
                            return Ok(Some(Step::Batch(projected)));
                        }
                        if let Step::Batch(_) | Step::Rejects = step {
                            continue; // Rows are not asked for.
                        }
                        return Ok(Some(step));
                    }
                    return Ok(Some(match (step, &self.order) {
                        (Step::Batch(batch), Some(order)) => Step::Batch(batch.project(order)?),
                        (step, _) => step,
                    }));
                }
            }
        }
    }

    fn count(&mut self) {
        let (bytes, rows) = (self.reader.tally.bytes_in, self.reader.tally.rows);
        let live = self.source.format.ledger.live();
        live.bytes_in.fetch_add(bytes - self.counted.0, Relaxed);
        live.rows.fetch_add(rows - self.counted.1, Relaxed);
        self.counted = (bytes, rows);
    }
}

impl Drop for ObjectScan {
    fn drop(&mut self) {
        let outcome = self.refused.take().unwrap_or(Outcome::Read {
            complete: self.complete,
        });
        self.source
            .format
            .ledger
            .note(&self.source.table, &self.name, outcome, &self.reader.tally);
    }
}

/// What an object store says, without its wrapping.
fn reason_of(error: &object_store::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
