//! The session's ledger, built when it is first asked for.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::execution::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use tokio::sync::OnceCell;
use trailhound_ingest::identity::{Certainty, Claims, ENTITY_COLUMNS, Ledger, METHODS, SOURCES};

use super::{CLAIMS, Source};

/// Gives the engine's state, unless the session is closed.
pub(super) type State = Box<dyn Fn() -> Option<SessionState> + Send + Sync>;

/// Builds the ledger of a session, once.
pub struct Identity {
    state: State,
    sources: Vec<Source>,
    now: i64,
    resolved: OnceCell<Arc<Resolved>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("sources", &self.sources.len())
            .field("built", &self.resolved.initialized())
            .finish()
    }
}

/// A ledger, with what it answers as columns to take from.
#[derive(Debug)]
pub struct Resolved {
    /// The ledger.
    pub ledger: Ledger,
    /// The claims of the session's raw tables.
    pub(super) claims: RecordBatch,
    /// The columns of all entities, in the order of [`ENTITY_COLUMNS`].
    pub(super) entities: Vec<ArrayRef>,
    /// Names of certainties, in their order.
    pub(super) certainties: ArrayRef,
    /// Names of methods, in their order.
    pub(super) methods: ArrayRef,
}

impl Identity {
    pub(super) fn new(state: State, sources: Vec<Source>, now: i64) -> Self {
        Identity {
            state,
            sources,
            now,
            resolved: OnceCell::new(),
        }
    }

    /// Whether there is anything that a ledger could be made of.
    pub(super) fn has_sources(&self) -> bool {
        !self.sources.is_empty()
    }

    /// The ledger. The first to ask waits for all claims to be read.
    ///
    /// # Errors
    /// A table that claims come from cannot be read.
    pub async fn resolve(&self) -> Result<Arc<Resolved>> {
        self.resolved
            .get_or_try_init(|| self.build())
            .await
            .map(Arc::clone)
    }

    async fn build(&self) -> Result<Arc<Resolved>> {
        let Some(state) = (self.state)() else {
            return exec_err!("making the identity ledger: the session is closed");
        };
        let mut claims = Claims::default();
        for source in &self.sources {
            claims.join(read_claims(source, &state).await?);
        }
        let mut written = Vec::new();
        for source in self.sources.iter().filter(|source| source.format == CLAIMS) {
            written.extend(read_all(source, &state).await?);
        }
        let ledger = Ledger::build(&claims, &written);
        let texts = |names: &mut dyn Iterator<Item = &'static str>| -> ArrayRef {
            Arc::new(names.map(Some).collect::<StringViewArray>())
        };
        let entities = (0..ENTITY_COLUMNS.len())
            .map(|column| {
                let values: StringViewArray = ledger
                    .entities()
                    .iter()
                    .map(|entity| entity.texts()[column])
                    .collect();
                Arc::new(values) as ArrayRef
            })
            .collect();
        Ok(Arc::new(Resolved {
            claims: claims.batch(self.now),
            entities,
            certainties: texts(&mut Certainty::ALL.iter().map(|certainty| certainty.name())),
            methods: texts(&mut METHODS.iter().map(|(name, _)| *name)),
            ledger,
        }))
    }
}

/// What the records of a table claim; nothing if it is none that claims come from.
async fn read_claims(source: &Source, state: &SessionState) -> Result<Claims> {
    let Some((format, columns)) = SOURCES.iter().find(|(format, _)| *format == source.format) else {
        return Ok(Claims::default());
    };
    let schema = source.whole.schema();
    let places: Vec<usize> = columns
        .iter()
        .chain(["_source", "_line"].iter().filter(|name| !columns.contains(name)))
        .filter_map(|column| schema.index_of(column).ok())
        .collect();
    let plan = source.whole.scan(state, Some(&places), &[], None).await?;
    let mut parts = Vec::new();
    for partition in 0..partitions(&plan) {
        let mut stream = plan.execute(partition, state.task_ctx())?;
        let format: &'static str = format;
        parts.push(SpawnedTask::spawn(async move {
            let mut claims = Claims::default();
            while let Some(batch) = stream.next().await {
                claims.see(format, &batch?);
            }
            Ok::<_, DataFusionError>(claims)
        }));
    }
    let mut claims = Claims::default();
    for part in parts {
        let part = part
            .join()
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        claims.join(part?);
    }
    Ok(claims)
}

async fn read_all(source: &Source, state: &SessionState) -> Result<Vec<RecordBatch>> {
    let plan = source.whole.scan(state, None, &[], None).await?;
    datafusion::physical_plan::collect(plan, state.task_ctx()).await
}

fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.properties().partitioning.partition_count()
}
