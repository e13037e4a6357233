//! A raw table: the objects of one location, read by one log format.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{CreateExternalTable, Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use trailhound_ingest::reject::rejects_schema;

use crate::location::{Object, Objects};
use crate::log_format::LogFormat;
use crate::log_source::{LogSource, SourceName};
use crate::session::RawTables;
use crate::stores::Stores;

/// A table over raw log objects.
#[derive(Debug)]
pub struct LogTable {
    name: Arc<str>,
    format: LogFormat,
    store: ObjectStoreUrl,
    files: Vec<Object>,
    table_schema: TableSchema,
    /// Hive partition columns, all text, as the folders have them.
    partitions: Vec<String>,
}

impl LogTable {
    /// A table of `objects`.
    ///
    /// # Errors
    /// The location has no usable store URL.
    pub fn new(name: &str, format: LogFormat, objects: Objects) -> Result<Self> {
        let schema = format.format.schema();
        // Folders that all objects share in kind; a name that the format itself has stays the format's.
        let mut partitions: Vec<String> = Vec::new();
        if let Some(first) = objects.files.first() {
            partitions = first
                .partitions
                .iter()
                .map(|(key, _)| key.clone())
                .filter(|key| schema.column_with_name(key).is_none())
                .collect();
            partitions.dedup();
            partitions.retain(|key| {
                objects
                    .files
                    .iter()
                    .all(|file| file.partitions.iter().any(|(other, _)| other == key))
            });
        }
        let fields: Vec<FieldRef> = partitions
            .iter()
            .map(|key| Arc::new(Field::new(key, DataType::Utf8, false)))
            .collect();
        Ok(LogTable {
            name: name.into(),
            format,
            store: ObjectStoreUrl::parse(objects.base.as_str())?,
            files: objects.files,
            table_schema: TableSchema::builder(schema)
                .with_table_partition_cols(fields)
                .build(),
            partitions,
        })
    }

    /// Name of the table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The format it is read by.
    pub fn format(&self) -> &LogFormat {
        &self.format
    }

    /// Names of the objects.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| &*file.name)
    }

    /// Compressed bytes of all objects.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.meta.size).sum()
    }

    /// A scan that gives the rejects of the table's objects.
    ///
    /// # Errors
    /// The plan cannot be made.
    pub fn scan_rejects(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = TableSchema::builder(rejects_schema()).build();
        let source = LogSource::rejects(self.format.clone(), Arc::clone(&self.name), schema);
        let files = self.files.iter().map(|file| partitioned(file, &[])).collect();
        self.plan(state, Arc::new(source), files, projection, limit)
    }

    fn plan(
        &self,
        state: &dyn Session,
        source: Arc<dyn FileSource>,
        files: Vec<PartitionedFile>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_batch_size(Some(state.config().batch_size()))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn value_of<'a>(file: &'a Object, key: &str) -> &'a str {
        file.partitions
            .iter()
            .find(|(other, _)| other == key)
            .map_or("", |(_, value)| value)
    }

    fn partition_schema(&self) -> Schema {
        Schema::new(
            self.partitions
                .iter()
                .map(|key| Field::new(key, DataType::Utf8, false))
                .collect::<Vec<_>>(),
        )
    }

    fn only_partitions(&self, filter: &Expr) -> bool {
        !self.partitions.is_empty()
            && !filter.is_volatile()
            && filter
                .column_refs()
                .iter()
                .all(|column| self.partitions.contains(&column.name))
    }

    /// The objects whose folders satisfy the filters that look at folders only.
    fn prune(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&Object>> {
        let filters: Vec<Expr> = filters
            .iter()
            .filter(|filter| self.only_partitions(filter))
            .cloned()
            .collect();
        let Some(filter) = conjunction(filters) else {
            return Ok(self.files.iter().collect());
        };
        // The engine qualifies columns with the table's name; the folders have no table.
        let filter = datafusion::logical_expr::expr_rewriter::unnormalize_col(filter);
        let schema = Arc::new(self.partition_schema());
        let columns: Vec<ArrayRef> = self
            .partitions
            .iter()
            .map(|key| {
                let values: StringArray = self
                    .files
                    .iter()
                    .map(|file| Some(Self::value_of(file, key)))
                    .collect();
                Arc::new(values) as ArrayRef
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.files.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?;
        let physical = state.create_physical_expr(filter, &DFSchema::try_from(schema)?)?;
        let keep = physical.evaluate(&batch)?.into_array(self.files.len())?;
        let keep = keep.as_boolean();
        Ok(self
            .files
            .iter()
            .zip(keep.iter())
            .filter(|(_, keep)| *keep == Some(true))
            .map(|(file, _)| file)
            .collect())
    }
}

/// Makes [`LogTable`]s for `CREATE EXTERNAL TABLE ... STORED AS`, the same as `--from` does.
#[derive(Debug)]
pub struct LogTableFactory {
    /// The format, with default options.
    pub format: LogFormat,
    /// Where locations are listed.
    pub stores: Arc<Stores>,
    /// Where the table is added, so that its rejects can be queried.
    pub raw: Arc<RawTables>,
}

#[async_trait]
impl TableProviderFactory for LogTableFactory {
    async fn create(
        &self,
        _state: &dyn Session,
        command: &CreateExternalTable,
    ) -> Result<Arc<dyn TableProvider>> {
        let mut format = self.format.clone();
        for (name, value) in &command.options {
            let name = name.strip_prefix("format.").unwrap_or(name);
            format.options.insert(name.to_owned(), value.clone());
        }
        format.check_options()?;
        let name = command.name.table();
        let external = |error: crate::Error| DataFusionError::External(Box::new(error));
        let mut all: Option<Objects> = None;
        for location in &command.locations {
            let from = crate::From {
                table: name.to_owned(),
                format: format.format.name().to_owned(),
                location: location.strip_prefix("file://").unwrap_or(location).to_owned(),
            };
            let objects = from.objects(&self.stores).await.map_err(external)?;
            match &mut all {
                None => all = Some(objects),
                Some(all) if all.base == objects.base => all.files.extend(objects.files),
                Some(_) => {
                    return plan_err!("all locations of {name} must be in one bucket, or all be local");
                }
            }
        }
        let Some(objects) = all else {
            return plan_err!("table {name} has no location");
        };
        let table = Arc::new(LogTable::new(name, format, objects)?);
        self.raw.add(Arc::clone(&table));
        Ok(table)
    }
}

fn partitioned(file: &Object, partitions: &[String]) -> PartitionedFile {
    let values = partitions
        .iter()
        .map(|key| ScalarValue::from(LogTable::value_of(file, key)))
        .collect();
    PartitionedFile::new_from_meta(file.meta.clone())
        .with_partition_values(values)
        .with_extension(SourceName(Arc::clone(&file.name)))
}

#[async_trait]
impl TableProvider for LogTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table_schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match self.only_partitions(filter) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Unsupported,
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
        let files = self
            .prune(state, filters)?
            .into_iter()
            .map(|file| partitioned(file, &self.partitions))
            .collect();
        let source = LogSource::rows(
            self.format.clone(),
            Arc::clone(&self.name),
            self.table_schema.clone(),
        );
        self.plan(state, Arc::new(source), files, projection, limit)
    }
}
