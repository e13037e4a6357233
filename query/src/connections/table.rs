//! The table that a session shows.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{
    Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, cast, col, lit,
};
use datafusion::physical_plan::ExecutionPlan;

use super::names::{Names, WORKLOAD};
use super::pack::{NEEDED, PackExec};
use super::settings::Settings;
use super::stitch::StitchExec;
use super::{SOURCE, columns, pushdown};

/// `connections` over a table of flow records.
#[derive(Debug)]
pub struct ConnectionsTable {
    records: Arc<dyn TableProvider>,
    schema: SchemaRef,
}

impl ConnectionsTable {
    /// The connections of `records`, which has columns of `vpc_flow`. Those that
    /// it lacks are NULL.
    pub fn new(records: Arc<dyn TableProvider>) -> Self {
        ConnectionsTable {
            records,
            schema: columns::schema(),
        }
    }

    /// The columns of a record that the stage of packing reads, with NULL for those
    /// that `wanted`, the query's own columns, have no use for.
    fn record_columns(&self, wanted: &SchemaRef) -> Result<Vec<Expr>> {
        let has = |name: &str| wanted.column_with_name(name).is_some();
        let there = self.records.schema();
        NEEDED
            .iter()
            .map(|&name| (name, !name.starts_with('_') || has(name)))
            .chain(WORKLOAD.iter().map(|&name| (name, has(name))))
            .map(|(name, is_wanted)| {
                let data_type = match name {
                    "start_time" | "end_time" => trailhound_ingest::column::timestamp_type(),
                    "srcport" | "dstport" | "protocol" | "tcp_flags" => DataType::Int32,
                    "bytes" | "packets" | "_line" => DataType::Int64,
                    _ => DataType::Utf8View,
                };
                Ok(match there.column_with_name(name) {
                    Some((_, field)) if is_wanted && *field.data_type() == data_type => col(quoted(name)),
                    Some(_) if is_wanted => cast(col(quoted(name)), data_type).alias(name),
                    _ => lit(ScalarValue::try_from(&data_type)?).alias(name),
                })
            })
            .collect()
    }
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

#[async_trait]
impl TableProvider for ConnectionsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match pushdown::on_records(filter) {
                // A record of either end passes; which end it is shows when it is stitched.
                Some(_) => TableProviderFilterPushDown::Inexact,
                None => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let mut records =
            LogicalPlanBuilder::scan(SOURCE, provider_as_source(Arc::clone(&self.records)), None)?;
        for filter in filters.iter().filter_map(pushdown::on_records) {
            records = records.filter(filter)?;
        }
        let records = records.project(self.record_columns(&schema)?)?.build()?;
        let records = state.create_physical_plan(&records).await?;
        let names = Arc::new(Names::default());
        let settings = state
            .config_options()
            .extensions
            .get::<Settings>()
            .cloned()
            .unwrap_or_default();
        let packed = Arc::new(PackExec::new(records, Arc::clone(&names)));
        Ok(Arc::new(StitchExec::new(packed, names, settings, schema)))
    }
}
