//! The ledger's own tables: histories of tasks, interfaces, addresses and sessions.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use trailhound_ingest::identity::{
    ENI_HISTORY_COLUMNS, OWN_ADDRESSES_COLUMNS, ROLE_SESSIONS_COLUMNS, TASK_HISTORY_COLUMNS, claims_schema,
    table_schema,
};

use super::resolved::{Identity, Resolved};

/// A table of the ledger.
#[derive(Debug, Clone)]
pub(super) struct History {
    which: Which,
    schema: SchemaRef,
    identity: Arc<Identity>,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Claims,
    Tasks,
    Interfaces,
    Sessions,
    Addresses,
}

impl Which {
    const LEDGER: [Which; 4] = [Which::Tasks, Which::Interfaces, Which::Sessions, Which::Addresses];

    fn name(self) -> &'static str {
        match self {
            Which::Claims => "identity_claims",
            Which::Tasks => "task_history",
            Which::Interfaces => "eni_history",
            Which::Sessions => "role_sessions",
            Which::Addresses => "own_addresses",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Which::Claims => "What records say about addresses, interfaces, tasks and sessions.",
            Which::Tasks => "ECS tasks by all logs: service, images, role, interface, from when to when.",
            Which::Interfaces => "Network interfaces and their addresses: whose, from when to when.",
            Which::Sessions => "Role sessions: whose they are, and how sure that is.",
            Which::Addresses => {
                "Addresses of the account: private and public, what has them, from when to when."
            }
        }
    }

    fn columns(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Which::Claims => trailhound_ingest::identity::CLAIM_COLUMNS,
            Which::Tasks => TASK_HISTORY_COLUMNS,
            Which::Interfaces => ENI_HISTORY_COLUMNS,
            Which::Sessions => ROLE_SESSIONS_COLUMNS,
            Which::Addresses => OWN_ADDRESSES_COLUMNS,
        }
    }

    fn rows(self, resolved: &Resolved) -> RecordBatch {
        match self {
            Which::Claims => resolved.claims.clone(),
            Which::Tasks => resolved.ledger.task_history(),
            Which::Interfaces => resolved.ledger.eni_history(),
            Which::Sessions => resolved.ledger.role_sessions(),
            Which::Addresses => resolved.ledger.own_addresses(),
        }
    }
}

/// What a history is; none for other tables.
pub(super) fn about(table: &str) -> Option<&'static str> {
    find(table).map(Which::about)
}

/// The columns of a history; none for other tables.
pub(super) fn columns(table: &str) -> Option<&'static [(&'static str, &'static str)]> {
    find(table).map(Which::columns)
}

fn find(table: &str) -> Option<Which> {
    Which::LEDGER.into_iter().find(|which| which.name() == table)
}

/// The tables; with the claims, unless the lake has them.
pub(super) fn all(identity: &Arc<Identity>, with_claims: bool) -> Vec<History> {
    let claims = with_claims.then_some(Which::Claims);
    Which::LEDGER
        .into_iter()
        .chain(claims)
        .map(|which| History {
            which,
            schema: match which {
                Which::Claims => claims_schema(),
                which => table_schema(which.columns()),
            },
            identity: Arc::clone(identity),
        })
        .collect()
}

impl History {
    /// Its name in SQL.
    pub fn name(&self) -> &'static str {
        self.which.name()
    }
}

impl PartitionStream for History {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (identity, which) = (Arc::clone(&self.identity), self.which);
        let rows = futures::stream::once(async move { Ok(which.rows(&*identity.resolve().await?)) });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

#[async_trait]
impl TableProvider for History {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partition: Arc<dyn PartitionStream> = Arc::new(self.clone());
        let schema = Arc::clone(&self.schema);
        let plan = StreamingTableExec::try_new(schema, vec![partition], projection, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}
