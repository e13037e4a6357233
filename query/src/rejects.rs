//! The table `rejects`: what did not parse in the raw tables of a session.
//!
//! It holds nothing: a query on it reads the objects again and keeps the rejects
//! in place of the rows, so that no amount of bad input fills the memory.

use std::sync::{Arc, Weak};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use trailhound_ingest::reject::rejects_schema;

use crate::session::RawTables;

/// The table `rejects`.
#[derive(Debug)]
pub struct RejectsTable {
    /// The session's raw tables. Weak, since the session holds this table.
    pub raw: Weak<RawTables>,
}

#[async_trait]
impl TableProvider for RejectsTable {
    fn schema(&self) -> SchemaRef {
        rejects_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let tables = self.raw.upgrade().map(|raw| raw.all()).unwrap_or_default();
        let mut scans = Vec::new();
        for table in tables {
            scans.push(table.scan_rejects(state, projection, limit)?);
        }
        match scans.len() {
            0 => {
                let schema = match projection {
                    Some(indices) => Arc::new(rejects_schema().project(indices)?),
                    None => rejects_schema(),
                };
                Ok(Arc::new(EmptyExec::new(schema)))
            }
            1 => Ok(scans.remove(0)),
            _ => UnionExec::try_new(scans),
        }
    }
}
