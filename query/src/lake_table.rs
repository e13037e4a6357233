//! A table of the lake: the Parquet files of one snapshot, scanned as they lie.
//!
//! The snapshot becomes a plain Parquet scan over its files, which any engine
//! that runs the plan can read. Days are pruned by the folders, files by the
//! statistics of the Delta log, row groups by Parquet's own and by bloom filters.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::NaiveDate;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, Result, ScalarValue, Statistics, project_schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use serde_json::Value;
use trailhound_lake::spec::EVENT_DATE;
use trailhound_lake::{DataFile, Lake, Snapshot};

use crate::dictionaries::{DictionaryReaders, with_dictionaries};

/// A table of the lake at one version.
#[derive(Debug)]
pub struct LakeTable {
    store: ObjectStoreUrl,
    snapshot: Snapshot,
    table_schema: TableSchema,
    /// Folder of the table in its store.
    root: Path,
}

impl LakeTable {
    /// The table `name` of `lake` as `snapshot` has it.
    ///
    /// # Errors
    /// The lake's root is no URL of a store.
    pub fn new(lake: &Lake, name: &str, snapshot: Snapshot) -> Result<Self> {
        let mut base = lake.root().clone();
        base.set_path("");
        let fields: Vec<FieldRef> = snapshot.schema.fields().iter().cloned().collect();
        let (partition, columns): (Vec<_>, Vec<_>) =
            fields.into_iter().partition(|field| field.name() == EVENT_DATE);
        Ok(LakeTable {
            store: ObjectStoreUrl::parse(base.as_str())?,
            table_schema: TableSchema::builder(Arc::new(Schema::new(columns)))
                .with_table_partition_cols(partition)
                .build(),
            root: lake.path_of(name),
            snapshot,
        })
    }

    /// Number of files, and their bytes.
    pub fn size(&self) -> (usize, u64) {
        let files = &self.snapshot.files;
        (files.len(), files.iter().map(|file| file.size).sum())
    }

    /// Rows, by the log.
    pub fn rows(&self) -> u64 {
        self.snapshot.files.iter().map(|file| file.rows).sum()
    }

    /// The files whose day satisfies the filters that look at the day only.
    fn prune(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&DataFile>> {
        let filters: Vec<Expr> = filters
            .iter()
            .filter(|filter| only_day(filter))
            .cloned()
            .collect();
        let files: Vec<&DataFile> = self.snapshot.files.iter().collect();
        let Some(filter) = conjunction(filters) else {
            return Ok(files);
        };
        // The engine qualifies columns with the table's name; the folders have no table.
        let filter = datafusion::logical_expr::expr_rewriter::unnormalize_col(filter);
        let schema = Arc::new(Schema::new(vec![Field::new(EVENT_DATE, DataType::Date32, true)]));
        let days: Date32Array = files.iter().map(|file| day(file)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(days) as ArrayRef])?;
        let physical = state.create_physical_expr(filter, &DFSchema::try_from(schema)?)?;
        let keep = physical.evaluate(&batch)?.into_array(files.len())?;
        let keep = keep.as_boolean();
        Ok(files
            .into_iter()
            .zip(keep.iter())
            .filter(|(_, keep)| *keep == Some(true))
            .map(|(file, _)| file)
            .collect())
    }

    /// A scan in which the texts of these columns are dictionaries, which cost less to read and to look up.
    /// `filters` name none of them.
    ///
    /// # Errors
    /// The filters cannot be understood.
    pub fn scan_dictionaries(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
        columns: &[&'static str],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = with_dictionaries(self.table_schema.file_schema(), columns);
        let table_schema = TableSchema::builder(Arc::new(schema))
            .with_table_partition_cols(self.table_schema.table_partition_cols().clone())
            .build();
        let store = state.runtime_env().object_store(&self.store)?;
        let readers = Arc::new(DictionaryReaders::new(store, columns));
        let source = ParquetSource::new(table_schema).with_parquet_file_reader_factory(readers);
        self.plan(state, source, projection, filters, limit)
    }

    /// The scan of the files that can have something to these filters.
    fn plan(
        &self,
        state: &dyn Session,
        source: ParquetSource,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table_schema = source.table_schema().clone();
        let files: Vec<PartitionedFile> = self
            .prune(state, filters)?
            .into_iter()
            .map(|file| self.partitioned(file, table_schema.file_schema()))
            .collect();
        if files.is_empty() {
            // A scan of no files has no partitions, and grouping refuses to work on that.
            let schema = project_schema(table_schema.table_schema(), projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let options = state.config_options().execution.parquet.clone();
        let source = source.with_table_parquet_options(datafusion::config::TableParquetOptions {
            global: options,
            ..Default::default()
        });
        let mut known = Statistics::new_unknown(table_schema.table_schema());
        let rows = files.iter().filter_map(|file| file.statistics.as_ref());
        known.num_rows = rows.fold(Precision::Exact(0), |sum, file| sum.add(&file.num_rows));
        if files.iter().any(|file| file.statistics.is_none()) {
            known.num_rows = Precision::Absent;
        }
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_batch_size(Some(state.config().batch_size()))
            .with_statistics(known)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn partitioned(&self, file: &DataFile, schema: &SchemaRef) -> PartitionedFile {
        let location = file
            .path
            .split('/')
            .fold(self.root.clone(), |path, part| path.join(part));
        let meta = ObjectMeta {
            location,
            last_modified: chrono::DateTime::from_timestamp_millis(file.modified).unwrap_or_default(),
            size: file.size,
            e_tag: None,
            version: None,
        };
        let day = day(file);
        let partitioned =
            PartitionedFile::new_from_meta(meta).with_partition_values(vec![ScalarValue::Date32(day)]);
        match day {
            // The engine would take it for granted that the day is not NULL.
            None => partitioned,
            Some(_) => {
                let statistics = statistics(file, schema);
                partitioned.with_statistics(Arc::new(statistics))
            }
        }
    }
}

/// Days since the epoch.
fn day(file: &DataFile) -> Option<i32> {
    let date: NaiveDate = file.event_date.as_deref()?.parse().ok()?;
    Some(date.signed_duration_since(NaiveDate::default()).num_days() as i32)
}

fn only_day(filter: &Expr) -> bool {
    let columns = filter.column_refs();
    !filter.is_volatile() && !columns.is_empty() && columns.iter().all(|column| column.name == EVENT_DATE)
}

/// What the Delta log says of a file's columns, in the engine's terms. Bounds of
/// text may be cut, so they are no exact values.
fn statistics(file: &DataFile, schema: &SchemaRef) -> Statistics {
    let stats: Value = serde_json::from_str(&file.stats).unwrap_or_default();
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let bound = |kind: &str| match scalar(&stats[kind][field.name()], field.data_type()) {
                Some(value) if matches!(value, ScalarValue::Utf8View(_)) => Precision::Inexact(value),
                Some(value) => Precision::Exact(value),
                None => Precision::Absent,
            };
            ColumnStatistics {
                min_value: bound("minValues"),
                max_value: bound("maxValues"),
                null_count: match stats["nullCount"][field.name()].as_u64() {
                    Some(count) => Precision::Exact(count as usize),
                    None => Precision::Absent,
                },
                ..ColumnStatistics::new_unknown()
            }
        })
        .collect();
    Statistics {
        num_rows: Precision::Exact(file.rows as usize),
        total_byte_size: Precision::Inexact(file.size as usize),
        column_statistics: columns,
    }
}

fn scalar(value: &Value, data_type: &DataType) -> Option<ScalarValue> {
    match (data_type, value) {
        (DataType::Int32, value) => Some(ScalarValue::Int32(Some(value.as_i64()?.try_into().ok()?))),
        (DataType::Int64, value) => Some(ScalarValue::Int64(Some(value.as_i64()?))),
        (DataType::Utf8View, Value::String(text)) => Some(ScalarValue::Utf8View(Some(text.clone()))),
        (DataType::Timestamp(_, zone), Value::String(text)) => {
            let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
            Some(ScalarValue::TimestampMicrosecond(
                Some(time.timestamp_micros()),
                zone.clone(),
            ))
        }
        _ => None,
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table_schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match only_day(filter) {
                true => TableProviderFilterPushDown::Exact,
                // The optimizer hands these to the Parquet scan itself.
                false => TableProviderFilterPushDown::Inexact,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = ParquetSource::new(self.table_schema.clone());
        self.plan(state, source, projection, filters, limit)
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(self.table_schema.table_schema());
        statistics.num_rows = Precision::Exact(self.rows() as usize);
        Some(statistics)
    }
}

/// The engine's view of a lake's store.
pub fn register(runtime: &datafusion::execution::runtime_env::RuntimeEnv, lake: &Lake) {
    let mut base = lake.root().clone();
    base.set_path("");
    let store: Arc<dyn ObjectStore> = Arc::clone(lake.store());
    runtime.register_object_store(&base, store);
}
