//! Which input of a join is held in memory.
//!
//! A join holds its left input and streams the right one past it. Which one is
//! smaller the engine tells from statistics, and where a filter or a grouping is
//! in between it takes the input's for the result's: a handful of suspects that
//! were grouped out of a day of records then count as much as the day, and the day
//! is held. Here the shape of the plan decides: what groups is small, what passes
//! records on is not.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::union::UnionExec;

/// Rows of a table that nobody has counted: raw logs, of which there may be any number.
const ROWS_UNKNOWN: f64 = 1e8;

/// Part of the rows that pass a filter: it says that something is left out, and not how much.
const PASS: f64 = 0.5;

/// Groups for each row.
const GROUPS: f64 = 0.02;

/// The builder, with joins that hold what is small: this rule before the engine decides how joins are
/// run, and the engine's own way of choosing sides off, as it would undo this one.
pub fn with_build_side(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    let config = builder.config().get_or_insert_default();
    config.options_mut().optimizer.join_reordering = false;
    let mut rules = PhysicalOptimizer::new().rules;
    let joins = rules.iter().position(|rule| rule.name() == "join_selection");
    rules.insert(joins.unwrap_or(0), Arc::new(BuildSide));
    builder.with_physical_optimizer_rules(rules)
}

/// Puts the smaller input of each join to the left.
#[derive(Debug)]
struct BuildSide;

impl PhysicalOptimizerRule for BuildSide {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            Ok(match swapped(&plan)? {
                Some(swapped) => Transformed::yes(swapped),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "build_side"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The join with its inputs the other way round, if that is better and possible.
fn swapped(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let is_better = || matches!(plan.children()[..], [left, right] if rows(left) > rows(right));
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        // A NULL-aware anti join is bound to its sides.
        let can = join.join_type().supports_swap() && !join.null_aware && is_better();
        return can.then(|| join.swap_inputs(*join.partition_mode())).transpose();
    }
    if let Some(join) = plan.downcast_ref::<CrossJoinExec>() {
        return is_better().then(|| join.swap_inputs()).transpose();
    }
    match plan.downcast_ref::<NestedLoopJoinExec>() {
        Some(join) if join.join_type().supports_swap() && is_better() => join.swap_inputs().map(Some),
        _ => Ok(None),
    }
}

/// About how many rows a plan gives: good enough to tell a few from many.
fn rows(plan: &Arc<dyn ExecutionPlan>) -> f64 {
    let children = plan.children();
    let below = || children.iter().map(|child| rows(child));
    let most = || below().fold(0.0, f64::max);
    if children.is_empty() {
        let counted = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
        let counted = counted
            .ok()
            .and_then(|counted| counted.num_rows.get_value().copied());
        return counted.map_or(ROWS_UNKNOWN, |rows| rows as f64);
    }
    let rows = if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        match aggregate.mode() {
            // The final one of the two counts.
            AggregateMode::Partial => most(),
            _ if aggregate.group_expr().is_empty() => 1.0,
            _ => most() * GROUPS,
        }
    } else if plan.is::<FilterExec>() {
        most() * PASS
    } else if plan.is::<UnionExec>() {
        below().sum()
    } else if let (Some(join), [left, right]) = (plan.downcast_ref::<HashJoinExec>(), &children[..]) {
        match join.join_type() {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => rows(left),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => rows(right),
            _ => most(),
        }
    } else {
        most()
    };
    plan.fetch().map_or(rows, |fetch| rows.min(fetch as f64))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::MemTable;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    fn context() -> SessionContext {
        let builder = SessionStateBuilder::new()
            .with_config(SessionConfig::new().with_target_partitions(2))
            .with_default_features();
        let context = SessionContext::new_with_state(with_build_side(builder).build());
        let schema = Arc::new(Schema::new(vec![
            Field::new("k", DataType::Int64, true),
            Field::new("v", DataType::Int64, true),
        ]));
        let values: Vec<i64> = (0..5000).collect();
        let keys = Int64Array::from_iter_values(values.iter().map(|value| value % 100));
        let columns = vec![Arc::new(keys) as _, Arc::new(Int64Array::from(values)) as _];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let table = MemTable::try_new(schema, vec![vec![batch.clone()], vec![batch]]).unwrap();
        context.register_table("records", Arc::new(table)).unwrap();
        context
    }

    const SUSPECTS: &str =
        "WITH suspects AS (SELECT k, max(v) AS most FROM records GROUP BY k HAVING max(v) > 4990) ";

    /// Rows of the query, and below which join, as the plan says, the records are first.
    async fn told(query: &str) -> (Vec<RecordBatch>, String) {
        let frame = context().sql(&format!("{SUSPECTS}{query}")).await.unwrap();
        let plan = frame.clone().create_physical_plan().await.unwrap();
        let text = displayable(plan.as_ref()).indent(false).to_string();
        (frame.collect().await.unwrap(), text)
    }

    #[tokio::test]
    async fn what_groups_is_held_whichever_way_it_is_written() {
        for (query, expected) in [
            (
                "SELECT count(*) AS n FROM records r JOIN suspects s ON s.k = r.k AND s.most > r.v",
                882,
            ),
            (
                "SELECT count(*) AS n FROM suspects s JOIN records r ON s.k = r.k AND s.most > r.v",
                882,
            ),
            (
                "SELECT count(s.most) AS n FROM records r LEFT JOIN suspects s ON s.k = r.k AND s.most > r.v",
                882,
            ),
            (
                "SELECT count(*) AS n FROM records WHERE k IN (SELECT k FROM suspects WHERE most > 0)",
                900,
            ),
        ] {
            let (batches, plan) = told(query).await;
            let n = batches[0]
                .column(0)
                .as_any()
                .downcast_ref::<Int64Array>()
                .unwrap()
                .value(0);
            assert_eq!(n, expected, "{query}");
            // What stands first below the join is held.
            let held = plan.split_once("HashJoinExec").unwrap().1;
            let (grouped, records) = (held.find("AggregateExec"), held.rfind("DataSourceExec"));
            assert!(grouped < records && grouped.is_some(), "{plan}");
        }
    }

    #[tokio::test]
    async fn the_same_holds_without_equal_columns() {
        let (batches, plan) =
            told("SELECT count(*) AS n FROM records r CROSS JOIN (SELECT max(k) AS m FROM records) AS one WHERE r.v > one.m").await;
        assert_eq!(batches[0].num_rows(), 1);
        let held = plan.split_once("JoinExec").unwrap().1;
        assert!(
            held.find("AggregateExec") < held.rfind("DataSourceExec"),
            "{plan}"
        );
    }
}
