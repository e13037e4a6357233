//! One reading of a raw table, for all rules together.
//!
//! Inflating and parsing logs is most of the work, so it is done once: the rows
//! and columns that any rule needs ([`crate::needs`]) are read in one pass and
//! held while the rules run over them. Few rows are held in memory, many go to
//! temporary Parquet files, so memory is bounded however much is read. Reading the
//! files again costs a fraction of parsing the logs again.
//!
//! A held table has all columns of the raw one by name. One that no rule needs
//! is not there; to ask for it is a mistake of this crate, and fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session as EngineSession, TableProvider};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, col};
use datafusion::physical_plan::{ExecutionPlan, execute_stream_partitioned};
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionContext};
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tempfile::TempPath;

use crate::needs::Needs;

/// Part of the session's memory that held rows may take before they go to a file.
const HELD_MEMORY_PART: usize = 4;

/// Rows of a row group of a temporary file: what is read at once.
const ROW_GROUP_ROWS: usize = 128 << 10;

/// Memory for held rows of a session without a limit, in bytes.
const HELD_BYTES_MAX: usize = 256 << 20;

/// Rows of one table, read once.
#[derive(Debug)]
pub struct Held {
    /// The raw table's schema.
    schema: SchemaRef,
    /// For each column of it, the column of `inner`, if it is held.
    place: Vec<Option<usize>>,
    inner: Arc<dyn TableProvider>,
    /// Removed when the last user is gone.
    files: Vec<TempPath>,
}

impl Held {
    /// Whether it was too much for memory.
    pub fn is_in_files(&self) -> bool {
        !self.files.is_empty()
    }
}

/// Reads what `needs` asks for of a table of `context`, and of that only the rows for which
/// `only` holds.
///
/// # Errors
/// The table cannot be read, or a temporary file not be written.
pub async fn hold(context: &SessionContext, table: &str, needs: &Needs, only: Option<Expr>) -> Result<Held> {
    let frame = context.table(table).await?;
    let frame = match only {
        Some(only) => frame.filter(only)?,
        None => frame,
    };
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    let wanted: Vec<usize> = (0..schema.fields().len())
        .filter(|&index| needs.columns.contains(schema.field(index).name()))
        .collect();
    let frame = match needs.condition() {
        Some(condition) => frame.filter(condition)?,
        None => frame,
    };
    // A rule that only counts rows needs none of the columns, but a row needs one.
    let columns = if wanted.is_empty() { &[0][..] } else { &wanted[..] };
    let frame = frame.select(
        columns
            .iter()
            .map(|&index| col(format!("\"{}\"", schema.field(index).name()))),
    )?;
    let mut place = vec![None; schema.fields().len()];
    for (slot, &index) in columns.iter().enumerate() {
        place[index] = Some(slot);
    }
    let held_schema: SchemaRef = Arc::new(schema.project(columns)?);
    let plan = frame.create_physical_plan().await?;
    let (inner, files) = read(context, plan, &held_schema).await?;
    Ok(Held {
        schema,
        place,
        inner,
        files,
    })
}

/// Runs a query and keeps its rows, in memory or in files as [`hold`] does.
///
/// # Errors
/// The query fails, or a temporary file cannot be written.
pub async fn keep(context: &SessionContext, frame: DataFrame) -> Result<Held> {
    // The plan's schema, not the query's: types may still change while it is planned. That a
    // column is never null may hold for the query and not for its batches.
    let plan = frame.create_physical_plan().await?;
    let fields: Vec<Field> = plan
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let (inner, files) = read(context, plan, &schema).await?;
    Ok(Held {
        place: (0..schema.fields().len()).map(Some).collect(),
        schema,
        inner,
        files,
    })
}

/// Reads all parts of a query side by side.
async fn read(
    context: &SessionContext,
    plan: Arc<dyn ExecutionPlan>,
    schema: &SchemaRef,
) -> Result<(Arc<dyn TableProvider>, Vec<TempPath>)> {
    let room = Arc::new(Room {
        bytes: AtomicUsize::new(0),
        bytes_max: memory_max(context),
    });
    let mut tasks = Vec::new();
    for mut stream in execute_stream_partitioned(plan, context.task_ctx())? {
        let (room, schema) = (Arc::clone(&room), Arc::clone(schema));
        tasks.push(SpawnedTask::spawn(async move {
            let mut rows = Rows::default();
            while let Some(batch) = stream.try_next().await? {
                rows.add(compact(&batch, &schema)?, &room)?;
            }
            Ok::<_, DataFusionError>(rows)
        }));
    }
    let mut parts = Vec::new();
    for task in tasks {
        let rows = task
            .await
            .map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
        parts.push(rows);
    }
    close(context, schema, parts).await
}

/// How much the parts of a table hold together.
struct Room {
    bytes: AtomicUsize,
    bytes_max: usize,
}

/// The rows of one part so far: batches in memory, or a file that they were all moved to.
#[derive(Default)]
struct Rows {
    held: Vec<RecordBatch>,
    file: Option<(ArrowWriter<std::fs::File>, TempPath)>,
}

impl Rows {
    fn add(&mut self, batch: RecordBatch, room: &Room) -> Result<()> {
        if let Some((writer, _)) = &mut self.file {
            writer.write(&batch)?;
            return Ok(());
        }
        let size = batch.get_array_memory_size();
        self.held.push(batch);
        if room.bytes.fetch_add(size, Relaxed) + size > room.bytes_max {
            self.spill()?;
        }
        Ok(())
    }

    /// Moves the rows to a file.
    fn spill(&mut self) -> Result<()> {
        let Some(first) = self.held.first() else {
            return Ok(());
        };
        // Whose it is: a process that was killed leaves its file.
        let (file, path) = tempfile::Builder::new()
            .prefix(&format!("trailhound-{}-", std::process::id()))
            .suffix(".parquet")
            .tempfile()
            .map_err(temporary)?
            .into_parts();
        // Level 1: the file is read a few times and thrown away. Few read it in part: no statistics.
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let mut writer = ArrowWriter::try_new(file, first.schema(), Some(properties))?;
        for batch in self.held.drain(..) {
            writer.write(&batch)?;
        }
        self.file = Some((writer, path));
        Ok(())
    }
}

async fn close(
    context: &SessionContext,
    schema: &SchemaRef,
    mut parts: Vec<Rows>,
) -> Result<(Arc<dyn TableProvider>, Vec<TempPath>)> {
    if parts.iter().all(|part| part.file.is_none()) {
        // As many parts as there are cores, so that the rules run on all of them.
        let count = context.copied_config().target_partitions().max(1);
        let mut partitions = vec![Vec::new(); count];
        let held = parts.into_iter().flat_map(|part| part.held);
        for (nth, batch) in held.enumerate() {
            partitions[nth % count].push(batch);
        }
        let table = MemTable::try_new(Arc::clone(schema), partitions)?;
        return Ok((Arc::new(table), Vec::new()));
    }
    let mut paths = Vec::new();
    for part in &mut parts {
        part.spill()?;
        if let Some((writer, path)) = part.file.take() {
            writer.close()?;
            paths.push(path);
        }
    }
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let options = ParquetReadOptions::default().schema(schema);
    Ok((context.read_parquet(names, options).await?.into_view(), paths))
}

/// The batch with text that owns its bytes: views into the decompressed blocks
/// would keep all of those in memory for the few rows that are held.
fn compact(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
            _ => Arc::clone(column),
        })
        .collect();
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn memory_max(context: &SessionContext) -> usize {
    match context.runtime_env().memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => bytes / HELD_MEMORY_PART,
        _ => HELD_BYTES_MAX,
    }
}

fn temporary(error: io::Error) -> DataFusionError {
    DataFusionError::IoError(io::Error::new(
        error.kind(),
        format!("cannot write a temporary file: {error}"),
    ))
}

#[async_trait]
impl TableProvider for Held {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn EngineSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize>;
        let asked = match projection {
            Some(asked) => asked,
            None => {
                all = (0..self.schema.fields().len()).collect();
                &all
            }
        };
        let inner: Vec<usize> = asked
            .iter()
            .map(|&index| {
                self.place[index].ok_or_else(|| {
                    let name = self.schema.field(index).name();
                    DataFusionError::Internal(format!("column {name} is not held, yet a rule asks for it"))
                })
            })
            .collect::<Result<_>>()?;
        // The engine qualifies columns with this table's name, which the inner one does not have.
        let filters = unnormalize_cols(filters.iter().cloned());
        self.inner.scan(state, Some(&inner), &filters, limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::prelude::SessionConfig;
    use std::collections::BTreeSet;

    /// A context with this much memory, and a table of 40,000 rows.
    fn context(memory_bytes: usize) -> SessionContext {
        let pool = Arc::new(GreedyMemoryPool::new(memory_bytes));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(pool)
            .build_arc()
            .unwrap();
        let context = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("text", DataType::Utf8View, true),
            Field::new("unused", DataType::Int64, true),
        ]));
        let batches = (0..5).map(|part| {
            let numbers: Vec<i64> = (part * 8000..(part + 1) * 8000).collect();
            let texts = numbers
                .iter()
                .map(|n| Some(format!("a text that is long enough, {n}")));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(numbers.clone())),
                Arc::new(texts.collect::<StringViewArray>()),
                Arc::new(Int64Array::from(numbers)),
            ];
            RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
        });
        let table = MemTable::try_new(Arc::clone(&schema), vec![batches.collect()]).unwrap();
        context.register_table("t", Arc::new(table)).unwrap();
        context
    }

    fn needs() -> Needs {
        let mut needs = Needs::default();
        needs.columns = BTreeSet::from(["n".to_owned(), "text".to_owned()]);
        needs
    }

    #[tokio::test]
    async fn rows_are_the_same_in_memory_and_in_a_file() {
        let mut answers = Vec::new();
        for (memory_bytes, in_file) in [(1 << 30, false), (4 << 20, true)] {
            let context = context(memory_bytes);
            let held = hold(&context, "t", &needs(), None).await.unwrap();
            assert_eq!(held.is_in_files(), in_file);
            let path = held.files.first().map(|path| path.to_path_buf());
            context.register_table("held", Arc::new(held)).unwrap();
            let sql = "SELECT count(*) AS rows, sum(n) AS total, max(text) AS last FROM held WHERE n >= 1000";
            answers.push(context.sql(sql).await.unwrap().collect().await.unwrap());
            drop(context);
            assert!(
                path.is_none_or(|path| !path.exists()),
                "the file must go with its last user"
            );
        }
        assert_eq!(answers[0], answers[1]);
    }

    #[tokio::test]
    async fn a_column_that_is_not_held_is_refused_and_not_null() {
        let context = context(1 << 30);
        let held = hold(&context, "t", &needs(), None).await.unwrap();
        context.register_table("held", Arc::new(held)).unwrap();
        let error = context
            .sql("SELECT unused FROM held")
            .await
            .unwrap()
            .collect()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("column unused is not held"), "{error}");
    }
}
