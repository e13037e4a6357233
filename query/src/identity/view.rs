//! A table with who it was beside each record.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::columns::Logs;
use super::operator::{IdentifyExec, Output};
use super::resolved::Identity;
use crate::lake_table::LakeTable;

/// A view such as `vpc_flow_identified`: the columns of its table, then those of identity.
#[derive(Debug)]
pub(super) struct Identified {
    base: Arc<dyn TableProvider>,
    logs: Logs,
    identity: Arc<Identity>,
    schema: SchemaRef,
}

impl Identified {
    /// The view over `base`, which is of these logs.
    pub fn new(base: Arc<dyn TableProvider>, logs: Logs, identity: Arc<Identity>) -> Self {
        let mut fields: Vec<FieldRef> = base.schema().fields().iter().cloned().collect();
        fields.extend(
            logs.columns()
                .iter()
                .map(|(name, _)| Arc::new(Field::new(*name, DataType::Utf8View, true))),
        );
        Identified {
            base,
            logs,
            identity,
            schema: Arc::new(Schema::new(fields)),
        }
    }
}

#[async_trait]
impl TableProvider for Identified {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let base = self.base.schema();
        filters
            .iter()
            .map(|filter| {
                let of_base = |filter: &Expr| {
                    filter
                        .column_refs()
                        .iter()
                        .all(|column| base.index_of(&column.name).is_ok())
                };
                match of_base(filter) {
                    true => Ok(self.base.supports_filters_pushdown(&[*filter])?.remove(0)),
                    false => Ok(TableProviderFilterPushDown::Unsupported),
                }
            })
            .collect()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let base = self.base.schema();
        let own = base.fields().len();
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        // The engine qualifies columns with the view's name, which the base table does not have.
        let filters = unnormalize_cols(filters.iter().cloned());
        if wanted.iter().all(|&column| column < own) {
            return self.base.scan(state, Some(wanted), &filters, limit).await;
        }
        let asked: Vec<usize> = wanted
            .iter()
            .filter(|&&column| column >= own)
            .map(|column| column - own)
            .collect();
        let mut below: Vec<usize> = wanted.iter().copied().filter(|&column| column < own).collect();
        below.extend(
            self.logs
                .needs(&asked)
                .filter_map(|name| base.index_of(name).ok()),
        );
        below.sort_unstable();
        below.dedup();
        // What is filtered is read as the filter was planned: as text.
        let mut dictionaries = self.logs.dictionaries().to_vec();
        dictionaries.retain(|name| !filters.iter().any(|filter| names(filter, name)));
        let input = match self.base.downcast_ref::<LakeTable>() {
            Some(lake) if !dictionaries.is_empty() => {
                lake.scan_dictionaries(state, Some(&below), &filters, limit, &dictionaries)?
            }
            _ => self.base.scan(state, Some(&below), &filters, limit).await?,
        };
        let outputs = wanted
            .iter()
            .map(|&column| match below.binary_search(&column) {
                Ok(place) if column < own => Output::Input(place),
                _ => Output::Identity(column - own),
            })
            .collect();
        let schema = Arc::new(self.schema.project(wanted)?);
        Ok(Arc::new(IdentifyExec::new(
            input,
            self.logs,
            outputs,
            schema,
            Arc::clone(&self.identity),
        )))
    }
}

/// Whether an expression is about a column.
fn names(filter: &Expr, name: &str) -> bool {
    filter.column_refs().iter().any(|column| column.name == name)
}
