//! The operator that puts identity beside each record, a batch at a time.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase,
    FilterPushdownPropagation,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use trailhound_ingest::identity::Recall;

use super::columns::Logs;
use super::dictionary::Texts;
use super::resolved::{Identity, Resolved};

/// Where a column of the output comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Output {
    /// This column of the input.
    Input(usize),
    /// This column of identity.
    Identity(usize),
}

/// Adds columns of identity to its input. Rows and their order stay.
#[derive(Debug, Clone)]
pub(super) struct IdentifyExec {
    input: Arc<dyn ExecutionPlan>,
    logs: Logs,
    outputs: Arc<[Output]>,
    schema: SchemaRef,
    identity: Arc<Identity>,
    properties: Arc<PlanProperties>,
}

impl IdentifyExec {
    /// Over `input`, whose records are of these logs.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        logs: Logs,
        outputs: Vec<Output>,
        schema: SchemaRef,
        identity: Arc<Identity>,
    ) -> Self {
        let below = input.properties();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(below.partitioning.partition_count()),
            below.emission_type,
            below.boundedness,
        );
        IdentifyExec {
            input,
            logs,
            outputs: outputs.into(),
            schema,
            identity,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for IdentifyExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Identity(column) => Some(self.logs.columns()[*column].0),
                Output::Input(_) => None,
            })
            .collect();
        write!(f, "IdentifyExec: columns=[{}]", names.join(", "))
    }
}

impl ExecutionPlan for IdentifyExec {
    fn name(&self) -> &str {
        "IdentifyExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    // The order stays, but is not told: columns lie elsewhere in the input, and the
    // engine would hand a sort down by their places here.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(IdentifyExec::new(
            children.swap_remove(0),
            self.logs,
            self.outputs.to_vec(),
            Arc::clone(&self.schema),
            Arc::clone(&self.identity),
        )))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (identity, logs) = (Arc::clone(&self.identity), self.logs);
        let (outputs, schema) = (Arc::clone(&self.outputs), Arc::clone(&self.schema));
        let batches = futures::stream::once(async move {
            let resolved = identity.resolve().await?;
            let mut recall = Recall::default();
            let mut texts: Vec<Texts> = outputs.iter().map(|_| Texts::default()).collect();
            Ok::<_, DataFusionError>(input.map(move |batch| {
                identify(
                    &batch?,
                    logs,
                    &outputs,
                    &schema,
                    &resolved,
                    &mut recall,
                    &mut texts,
                )
            }))
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            batches,
        )))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        // Filters on columns that the input does not have, or has as dictionaries, stay above.
        let schema = self.input.schema();
        let is_same = |place: usize| !matches!(schema.field(place).data_type(), DataType::Dictionary(..));
        let columns = self
            .outputs
            .iter()
            .enumerate()
            .filter_map(|(column, output)| match output {
                Output::Input(place) if is_same(*place) => Some(column),
                _ => None,
            });
        let child = ChildFilterDescription::from_child_with_allowed_indices(
            &parent_filters,
            columns.collect(),
            &self.input,
        )?;
        Ok(FilterDescription::new().with_child(child))
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(child_pushdown_result))
    }
}

fn identify(
    batch: &RecordBatch,
    logs: Logs,
    outputs: &[Output],
    schema: &SchemaRef,
    resolved: &Resolved,
    recall: &mut Recall,
    texts: &mut [Texts],
) -> Result<RecordBatch> {
    let asked: Vec<usize> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Identity(column) => Some(*column),
            Output::Input(_) => None,
        })
        .collect();
    let mut made = logs.compute(batch, &asked, resolved, recall)?.into_iter();
    let columns = outputs
        .iter()
        .zip(texts)
        .filter_map(|(output, texts)| match output {
            Output::Input(place) => Some(texts.of(batch.column(*place))),
            Output::Identity(_) => made.next().map(Ok),
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}
