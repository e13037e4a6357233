//! What a set of rules needs of a table: which columns, and which rows at all.
//!
//! Nobody writes this down. The engine's own optimizer has already pushed every
//! condition of a rule down to the scans and dropped the columns that it does
//! not use; here that is read off the optimized plan. Of several rules the
//! columns are united and the conditions joined by OR, so what is read once
//! serves all of them.
//!
//! A condition is only ever *weakened*: parts with parameters (`$window_start`)
//! or with anything that is not a plain expression over the table are left out,
//! so a row that some rule could use is never lost.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::utils::{conjunction, disjunction, split_conjunction};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};

/// What is needed of one table.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Names of the columns.
    pub columns: BTreeSet<String>,
    /// One condition for each scan; none if some scan wants every row.
    conditions: Option<Vec<Expr>>,
    scans: usize,
}

impl Needs {
    /// The condition that every useful row fulfils; none if all rows are useful.
    pub fn condition(&self) -> Option<Expr> {
        disjunction(self.conditions.clone()?)
    }

    /// The same of every row.
    pub fn of_all_rows(&self) -> Needs {
        Needs {
            conditions: None,
            ..self.clone()
        }
    }

    fn add(&mut self, scan: &TableScan, condition: Option<Expr>) {
        self.columns.extend(
            scan.projected_schema
                .fields()
                .iter()
                .map(|field| field.name().clone()),
        );
        self.conditions = match (condition, self.conditions.take()) {
            (Some(condition), None) if self.scans == 0 => Some(vec![condition]),
            (Some(condition), Some(mut others)) => {
                if !others.contains(&condition) {
                    others.push(condition);
                }
                Some(others)
            }
            _ => None,
        };
        self.scans += 1;
    }
}

/// Adds what an optimized plan needs of each table it scans.
///
/// # Errors
/// The plan cannot be walked.
pub fn collect(plan: &LogicalPlan, needs: &mut BTreeMap<String, Needs>) -> Result<(), DataFusionError> {
    descend(plan, Vec::new(), needs)
}

/// Walks down to the scans. `conditions` hold for every row of `plan` that is of
/// use above it, and are in terms of its columns.
fn descend(plan: &LogicalPlan, mut conditions: Vec<Expr>, needs: &mut BTreeMap<String, Needs>) -> Result<()> {
    plan.apply_subqueries(|subquery| {
        descend(subquery, Vec::new(), needs)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    match plan {
        LogicalPlan::Filter(filter) => {
            let parts = split_conjunction(&filter.predicate)
                .into_iter()
                .filter(|part| is_plain(part));
            conditions.extend(parts.cloned().map(unnormalize_col));
            descend(&filter.input, conditions, needs)
        }
        // The optimizer computes what is used twice below the conditions on it.
        LogicalPlan::Projection(projection) => {
            let conditions = conditions
                .into_iter()
                .filter_map(|part| below(part, &projection.expr))
                .collect();
            descend(&projection.input, conditions, needs)
        }
        LogicalPlan::SubqueryAlias(alias) => descend(&alias.input, conditions, needs),
        LogicalPlan::TableScan(scan) => {
            let parts = scan.filters.iter().filter(|part| is_plain(part));
            conditions.extend(parts.cloned().map(unnormalize_col));
            needs
                .entry(scan.table_name.table().to_owned())
                .or_default()
                .add(scan, conjunction(conditions));
            Ok(())
        }
        // Below anything else rows are joined, counted or cut, so nothing is known of them.
        other => {
            for input in other.inputs() {
                descend(input, Vec::new(), needs)?;
            }
            Ok(())
        }
    }
}

/// A condition on the columns of a projection, in terms of the columns that it is made of.
fn below(condition: Expr, projected: &[Expr]) -> Option<Expr> {
    let mut is_known = true;
    let rewritten = condition.transform(|expr| {
        let Expr::Column(column) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let found = projected
            .iter()
            .find(|candidate| candidate.qualified_name().1 == column.name);
        Ok(match found {
            // Not to be looked into again: a column may be made of one with its own name.
            Some(made_of) => Transformed::new(
                unnormalize_col(made_of.clone().unalias()),
                true,
                TreeNodeRecursion::Jump,
            ),
            None => {
                is_known = false;
                Transformed::no(expr)
            }
        })
    });
    let rewritten = rewritten.ok()?.data;
    (is_known && is_plain(&rewritten)).then_some(rewritten)
}

/// Whether a condition means the same outside of its plan.
fn is_plain(part: &Expr) -> bool {
    let mut plain = !part.is_volatile();
    let walked = part.apply(|expr| {
        plain &= !matches!(
            expr,
            Expr::Placeholder(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::ScalarSubquery(_)
                | Expr::OuterReferenceColumn(..)
        );
        Ok(TreeNodeRecursion::Continue)
    });
    plain && walked.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning;
    use crate::rule::Rule;

    async fn needs_of(rules: &[(&str, &str)]) -> BTreeMap<String, Needs> {
        let empty = planning::empty_tables(&planning::known_schemas()).unwrap();
        let context = planning::context_with(planning::bare_state().unwrap(), &empty).unwrap();
        let mut needs = BTreeMap::new();
        for (front, sql) in rules {
            let text = format!(
                "-- id = \"x\"\n-- title = \"x\"\n-- severity = \"low\"\n-- attack = [\"T1046\"]\n-- csf = [\"DE.CM-1\"]\n\
                 -- reads = [\"vpc_flow\"]\n-- entity = [\"srcaddr\"]\n-- quiet = \"1h\"\n-- message = \"x\"\n\
                 -- misses = \"x\"\n-- false_positives = \"x\"\n{front}\n{sql}"
            );
            let rule = Rule::parse("x.sql", &text).unwrap();
            let plan = planning::plan(&context, &rule).await.unwrap();
            collect(&context.state().optimize(&plan).unwrap(), &mut needs).unwrap();
        }
        needs
    }

    const COLUMNS: &str = "event_time, srcaddr, _source, _line";

    #[tokio::test]
    async fn columns_are_united_and_conditions_joined_by_or() {
        let one = format!("SELECT {COLUMNS} FROM vpc_flow WHERE dstport = 22");
        let two =
            format!("SELECT {COLUMNS}, bytes FROM vpc_flow f WHERE f.bytes > 5 AND f.action = 'ACCEPT'");
        let needs = needs_of(&[("", &one), ("", &two), ("", &one)]).await;
        let flows = &needs["vpc_flow"];
        let columns: Vec<&str> = flows.columns.iter().map(String::as_str).collect();
        assert_eq!(
            columns,
            [
                "_line",
                "_source",
                "action",
                "bytes",
                "dstport",
                "event_time",
                "srcaddr"
            ]
        );
        let condition = flows.condition().unwrap().to_string();
        assert_eq!(condition.matches("dstport = ").count(), 1, "{condition}");
        assert!(
            condition.contains(" OR bytes > ") && condition.contains(" AND action = "),
            "{condition}"
        );
        assert!(
            !condition.contains("f."),
            "the condition must stand alone: {condition}"
        );
    }

    #[tokio::test]
    async fn a_rule_that_wants_every_row_gets_every_row() {
        let some = format!("SELECT {COLUMNS} FROM vpc_flow WHERE dstport = 22");
        let all = format!("SELECT {COLUMNS} FROM vpc_flow");
        for order in [
            [("", some.as_str()), ("", all.as_str())],
            [("", all.as_str()), ("", some.as_str())],
        ] {
            assert!(needs_of(&order).await["vpc_flow"].condition().is_none());
        }
    }

    #[tokio::test]
    async fn what_the_optimizer_computes_first_is_looked_through() {
        let sql = "SELECT event_time, extra ->> 'a' AS srcaddr, _source, _line FROM vpc_flow \
                   WHERE dstport = 22 AND (extra ->> 'a') LIKE 'x%'";
        let condition = needs_of(&[("", sql)]).await["vpc_flow"]
            .condition()
            .unwrap()
            .to_string();
        assert!(
            condition.contains("dstport = ") && condition.contains("json_as_text(extra, "),
            "{condition}"
        );
        assert!(!condition.contains("extracted"), "{condition}");
    }

    #[tokio::test]
    async fn parameters_do_not_narrow() {
        let front = "-- every = \"5m\"\n-- window = \"1h\"";
        let sql = format!(
            "SELECT {COLUMNS} FROM vpc_flow WHERE dstport = 22 AND event_time >= $window_start AND event_time < $window_end"
        );
        let condition = needs_of(&[(front, &sql)]).await["vpc_flow"]
            .condition()
            .unwrap()
            .to_string();
        assert!(
            condition.contains("dstport") && !condition.contains("event_time"),
            "{condition}"
        );
    }

    #[tokio::test]
    async fn a_table_that_is_used_twice_serves_both_uses() {
        let sql = "WITH a AS (SELECT * FROM vpc_flow WHERE dstport = 22), b AS (SELECT * FROM vpc_flow WHERE dstport = 23) \
                   SELECT a.event_time, a.srcaddr, a._source, a._line FROM a JOIN b ON a.srcaddr = b.srcaddr";
        let condition = needs_of(&[("", sql)]).await["vpc_flow"]
            .condition()
            .unwrap()
            .to_string();
        assert!(
            condition.contains("dstport = Int32(22)") && condition.contains(" OR "),
            "{condition}"
        );
    }

    #[tokio::test]
    async fn our_own_rules_narrow_what_they_read() {
        let empty = planning::empty_tables(&planning::known_schemas()).unwrap();
        let context = planning::context_with(planning::bare_state().unwrap(), &empty).unwrap();
        for entry in crate::Catalog::embedded().unwrap().entries() {
            let mut needs = BTreeMap::new();
            let plan = planning::plan(&context, &entry.rule).await.unwrap();
            collect(&context.state().optimize(&plan).unwrap(), &mut needs).unwrap();
            for table in &entry.rule.reads {
                let need = &needs[table.as_str()];
                if need.condition().is_none() {
                    println!("{}", context.state().optimize(&plan).unwrap().display_indent());
                }
                assert!(
                    need.condition().is_some(),
                    "{} reads every row of {table}",
                    entry.rule.id
                );
            }
        }
    }
}
