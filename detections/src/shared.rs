//! Steps of a rule that are used more than once, computed once.
//!
//! The engine puts the text of a `WITH` step wherever its name stands. A step that
//! sums up a day of records and is named five times would read that day five
//! times. So the steps that are small and named more than once are run first, in
//! their order, and kept as tables while the rule runs.
//!
//! A step is small if it groups, or only reads what is small. One that passes
//! records on stays part of those that use it, as it may be as large as the day. Where
//! a rule knows that it passes on few, it names it in `keep`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Query, SelectItem, SetExpr, TableFactor};

/// A step to run first, and under which name to keep its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name in the rule.
    pub name: String,
    /// Its query.
    pub sql: String,
}

/// The steps of a query to run first, and the query that is left.
///
/// `keep` names steps that are small though they do not look it. `taken` says whether a table of that name
/// is there already: such a step stays where it is.
pub fn split(query: &Query, keep: &[String], taken: impl Fn(&str) -> bool) -> (Vec<Step>, String) {
    let Some(with) = &query.with else {
        return (Vec::new(), query.to_string());
    };
    let mut uses = BTreeMap::new();
    count_names(query, &mut uses);
    let mut small = BTreeSet::new();
    let mut left = with.clone();
    left.cte_tables.clear();
    let mut steps = Vec::new();
    for cte in &with.cte_tables {
        let name = &cte.alias.name.value;
        if keep.contains(name) || is_small(&cte.query, &small) {
            small.insert(name.clone());
            let is_plain = cte.alias.columns.is_empty() && cte.query.with.is_none() && !with.recursive;
            if is_plain && uses.get(name).is_some_and(|&uses| uses > 1) && !taken(name) {
                let mut alone = (*cte.query).clone();
                alone.with = (!left.cte_tables.is_empty()).then(|| left.clone());
                steps.push(Step {
                    name: name.clone(),
                    sql: alone.to_string(),
                });
                continue;
            }
        }
        left.cte_tables.push(cte.clone());
    }
    let mut rest = query.clone();
    rest.with = (!left.cte_tables.is_empty()).then_some(left);
    (steps, rest.to_string())
}

/// How often each name stands where a table can.
fn count_names(query: &Query, uses: &mut BTreeMap<String, usize>) {
    let _: ControlFlow<()> = ast::visit_relations(query, |name| {
        *uses.entry(name.to_string()).or_default() += 1;
        ControlFlow::Continue(())
    });
}

fn is_small(query: &Query, small: &BTreeSet<String>) -> bool {
    is_small_set(&query.body, small)
}

fn is_small_set(set: &SetExpr, small: &BTreeSet<String>) -> bool {
    match set {
        SetExpr::Query(query) => is_small(query, small),
        SetExpr::SetOperation { left, right, .. } => is_small_set(left, small) && is_small_set(right, small),
        SetExpr::Values(_) => true,
        SetExpr::Select(select) => {
            let groups = match &select.group_by {
                ast::GroupByExpr::All(_) => true,
                ast::GroupByExpr::Expressions(by, _) => !by.is_empty(),
            };
            let factors = select.from.iter().flat_map(|from| {
                std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
            });
            groups
                || select.distinct.is_some()
                || is_one_row(&select.projection)
                || factors.into_iter().all(|factor| is_small_factor(factor, small))
        }
        _ => false,
    }
}

fn is_small_factor(factor: &TableFactor, small: &BTreeSet<String>) -> bool {
    match factor {
        TableFactor::Table { name, .. } => small.contains(&name.to_string()),
        TableFactor::Derived { subquery, .. } => is_small(subquery, small),
        _ => false,
    }
}

/// Whether only totals are asked for, such as `min(start_time) AS since`.
fn is_one_row(projection: &[SelectItem]) -> bool {
    !projection.is_empty()
        && projection.iter().all(|item| {
            let text = item.to_string().to_lowercase();
            ["min(", "max(", "sum(", "count("]
                .iter()
                .any(|total| text.starts_with(total))
                && !text.contains(" over ")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn names(sql: &str) -> (Vec<String>, String) {
        let statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        let ast::Statement::Query(query) = &statements[0] else {
            panic!("not a query: {sql}")
        };
        let (steps, rest) = split(query, &["kept".to_owned()], |name| name == "t");
        (steps.into_iter().map(|step| step.name).collect(), rest)
    }

    #[test]
    fn a_step_that_groups_and_is_used_twice_is_run_first() {
        let (first, rest) = names(
            "WITH f AS (SELECT a, b FROM t), g AS (SELECT a, count(*) AS n FROM f GROUP BY a), \
             h AS (SELECT * FROM g WHERE n > 1) \
             SELECT * FROM h JOIN g ON g.a = h.a JOIN f ON f.a = g.a",
        );
        assert_eq!(first, ["g"]);
        assert!(
            rest.contains("f AS (") && rest.contains("h AS (") && !rest.contains("g AS ("),
            "{rest}"
        );
    }

    #[test]
    fn what_reads_small_steps_is_small_and_what_passes_records_on_is_not() {
        let (first, _) = names(
            "WITH f AS (SELECT a FROM t), g AS (SELECT a, count(*) AS n FROM f GROUP BY a), \
             h AS (SELECT a, n + 1 AS m FROM g), s AS (SELECT min(a) AS since FROM f), \
             x AS (SELECT f.a FROM f JOIN g ON g.a = f.a) \
             SELECT * FROM h JOIN h AS i ON h.a = i.a JOIN x ON x.a = h.a JOIN x AS y ON y.a = h.a CROSS JOIN s CROSS JOIN s AS z",
        );
        assert_eq!(first, ["g", "h", "s"]);
    }

    #[test]
    fn a_rule_can_say_that_a_step_is_small() {
        let (first, _) = names(
            "WITH kept AS (SELECT a, b FROM t WHERE a = 1), g AS (SELECT a, b FROM kept) \
             SELECT * FROM kept JOIN g ON g.a = kept.a JOIN g AS h ON h.a = kept.a",
        );
        assert_eq!(first, ["kept", "g"]);
    }

    #[test]
    fn a_step_with_the_name_of_a_table_stays() {
        let (first, rest) =
            names("WITH t AS (SELECT a FROM u GROUP BY a) SELECT * FROM t JOIN t AS v ON v.a = t.a");
        assert!(first.is_empty() && rest.contains("t AS ("), "{rest}");
    }
}
