//! `json_any(document, selector, operator, value)`

use std::str::FromStr;

use regex::Regex;
use serde_json::Value;

use super::arguments::Last;
use super::{Body, Function, Group, Type, text};
use crate::pattern::{Selector, Step, matches_wildcards, number};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "json_any",
    group: Group::Records,
    arguments: &[
        text("document"),
        text("selector"),
        text("operator"),
        text("value"),
    ],
    gives: Type::Bool,
    about: "Whether any of the values that a selector such as $.items[*].id or $.tags.* hits in a JSON document \
            compares so. Operators: = and != with * for any text; < <= > >= between numbers; ~ and !~ for regular \
            expressions; is, with null, true, false or anything. Only strings, numbers and booleans compare.",
    example: (
        r#"json_any('{"items":[{"port":22},{"port":80}]}', '$.items[*].port', '=', '80')"#,
        "true",
    ),
    body: Body::Scalar(|arguments| {
        let (document, selector) = (arguments.text(0), arguments.text(1));
        let (operator, value) = (arguments.text(2), arguments.text(3));
        let mut last = Last::default();
        arguments.to_bool(|row| {
            let given = [selector.at(row)?, operator.at(row)?, value.at(row)?];
            // A query has the test as literals, and compiling it takes longer than using it.
            let test = last.of(given, |[selector, operator, value]| {
                Test::new(selector, operator, value)
            });
            test.as_ref()?.any(document.at(row)?)
        })
    }),
};

/// A selector and what has to be true of a value that it hits.
#[derive(Debug)]
struct Test {
    selector: Selector,
    check: Check,
}

#[derive(Debug)]
enum Check {
    Equals(String, Option<f64>),
    Differs(String, Option<f64>),
    Order(fn(&f64, &f64) -> bool, f64),
    Matches(Regex),
    MatchesNot(Regex),
    IsNull,
    IsBool(bool),
    IsAnything,
}

impl Test {
    fn new(selector: &str, operator: &str, value: &str) -> Option<Test> {
        let check = match (operator, value) {
            ("=", _) => Check::Equals(value.to_owned(), number(value)),
            ("!=", _) => Check::Differs(value.to_owned(), number(value)),
            ("<", _) => Check::Order(f64::lt, number(value)?),
            ("<=", _) => Check::Order(f64::le, number(value)?),
            (">", _) => Check::Order(f64::gt, number(value)?),
            (">=", _) => Check::Order(f64::ge, number(value)?),
            ("~", _) => Check::Matches(Regex::new(value).ok()?),
            ("!~", _) => Check::MatchesNot(Regex::new(value).ok()?),
            ("is", "null") => Check::IsNull,
            ("is", "true") => Check::IsBool(true),
            ("is", "false") => Check::IsBool(false),
            ("is", "anything") => Check::IsAnything,
            _ => return None,
        };
        Some(Test {
            selector: Selector::from_str(selector).ok()?,
            check,
        })
    }

    fn any(&self, document: &str) -> Option<bool> {
        let document: Value = serde_json::from_str(document).ok()?;
        Some(self.hits(&document, &self.selector.steps))
    }

    fn hits(&self, value: &Value, steps: &[Step]) -> bool {
        let Some((step, steps)) = steps.split_first() else {
            return self.holds(value);
        };
        match (step, value) {
            (Step::Key(key), Value::Object(members)) => members.get(key).is_some_and(|v| self.hits(v, steps)),
            (Step::Index(index), Value::Array(elements)) => {
                let element = usize::try_from(*index).ok().and_then(|index| elements.get(index));
                element.is_some_and(|v| self.hits(v, steps))
            }
            (Step::AnyKey, Value::Object(members)) => members.values().any(|v| self.hits(v, steps)),
            (Step::AnyIndex, Value::Array(elements)) => elements.iter().any(|v| self.hits(v, steps)),
            _ => false,
        }
    }

    fn holds(&self, value: &Value) -> bool {
        let equals = |known: &str, known_number: Option<f64>, text: &str| {
            matches_wildcards(known, text) || (known_number.is_some() && known_number == number(text))
        };
        let text = match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let text_is = |test: &dyn Fn(&str) -> bool| text.as_deref().is_some_and(test);
        match &self.check {
            Check::Equals(known, number) => text_is(&|text| equals(known, *number, text)),
            Check::Differs(known, number) => text_is(&|text| !equals(known, *number, text)),
            Check::Order(order, known) => value.as_f64().is_some_and(|value| order(&value, known)),
            Check::Matches(regex) => text_is(&|text| regex.is_match(text)),
            Check::MatchesNot(regex) => text_is(&|text| !regex.is_match(text)),
            Check::IsNull => value.is_null(),
            Check::IsBool(known) => value.as_bool() == Some(*known),
            Check::IsAnything => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(document: &str, selector: &str, operator: &str, value: &str) -> Option<bool> {
        Test::new(selector, operator, value)?.any(document)
    }

    #[test]
    fn values() {
        let document =
            r#"{"a":[{"n":1,"s":"one"},{"n":"2","s":null},{"s":true,"o":{"x":"y"}}],"b":{"c":"d","e":[1]}}"#;
        for (selector, operator, value, expected) in [
            ("$.a[*].n", "=", "1", Some(true)),
            ("$.a[*].n", "=", "1.0", Some(true)),
            ("$.a[*].n", "=", "2", Some(true)),
            ("$.a[*].n", ">", "1", Some(false)),
            ("$.a[*].n", ">=", "1", Some(true)),
            ("$.a[*].n", ">=", "one", None),
            ("$.a[0].s", "=", "o*e", Some(true)),
            ("$.a[0].s", "!=", "o*e", Some(false)),
            ("$.a[*].s", "!=", "one", Some(true)),
            ("$.a[*].missing", "!=", "one", Some(false)),
            ("$.a[*].o", "!=", "one", Some(false)),
            ("$.a[*].o", "is", "anything", Some(true)),
            ("$.a[*].s", "is", "null", Some(true)),
            ("$.a[*].s", "is", "true", Some(true)),
            ("$.a[*].s", "is", "false", Some(false)),
            ("$.a[*].s", "is", "maybe", None),
            ("$.b.*", "=", "d", Some(true)),
            ("$.b.*", "~", "^[d-f]$", Some(true)),
            ("$.b.*", "!~", "^[d-f]$", Some(false)),
            ("$.b.*", "~", "(", None),
            ("b", "=", "d", None),
        ] {
            assert_eq!(
                any(document, selector, operator, value),
                expected,
                "{selector} {operator} {value}"
            );
        }
        assert_eq!(any("not JSON", "$.a", "=", "1"), None);
    }
}
