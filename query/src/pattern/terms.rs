//! Unstructured patterns over the text of a message.

use super::sql::{literal, text_test};
use super::syntax::{Op, Terms, Value};

/// The conditions that all have to hold.
pub(super) fn conditions(terms: &Terms, column: &str) -> Vec<String> {
    let has = |term: &String| format!("strpos({column}, {}) > 0", literal(term));
    let has_not = |term: &String| format!("strpos({column}, {}) = 0", literal(term));
    match terms {
        Terms::Regex(regex) => vec![text_test(column, Op::Eq, &Value::Regex(regex.clone()))],
        Terms::Words { all, any, none } => {
            let mut conditions: Vec<String> = all.iter().map(has).chain(none.iter().map(has_not)).collect();
            match any.len() {
                0 => {}
                1 => conditions.extend(any.iter().map(has)),
                _ => conditions.push(format!(
                    "({})",
                    any.iter().map(has).collect::<Vec<_>>().join(" OR ")
                )),
            }
            conditions
        }
    }
}
