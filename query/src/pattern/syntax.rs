//! What a filter pattern says: the tree that parsing makes.

use std::ops::Range;

use super::selector::Selector;

/// A whole pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    /// The empty pattern: every event.
    All,
    /// Terms anywhere in the text.
    Terms(Terms),
    /// Fields of a line, in order.
    Fields(Vec<Field>),
    /// Conditions on a JSON document.
    Json(Expr<JsonTest>),
}

/// Terms of an unstructured pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Terms {
    /// A regular expression, alone.
    Regex(String),
    /// Words and phrases.
    Words {
        /// Those that have to be there, every one.
        all: Vec<String>,
        /// Those of which one has to be there.
        any: Vec<String>,
        /// Those that must not be there.
        none: Vec<String>,
    },
}

/// One entry of a space-delimited pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// Where its name, or the `...`, stands in the pattern.
    pub(super) at: Range<usize>,
    /// What it is.
    pub(super) kind: FieldKind,
}

/// What an entry of a space-delimited pattern is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FieldKind {
    /// `...`: any number of fields.
    Rest,
    /// A field with or without a condition.
    Named {
        /// Its name, which is free.
        name: String,
        /// Its condition.
        test: Option<Expr<Comparison>>,
    },
}

/// Conditions joined by `&&` and `||`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr<T> {
    /// All of them.
    And(Vec<Expr<T>>),
    /// One of them at least.
    Or(Vec<Expr<T>>),
    /// A condition.
    Test(T),
}

/// An operator and a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparison {
    /// The operator.
    pub(super) op: Op,
    /// The right side: a number, if the operator is about order.
    pub(super) value: Value,
}

/// A condition on a JSON document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonTest {
    /// What it is about.
    pub(super) selector: Selector,
    /// Where the selector stands in the pattern.
    pub(super) at: Range<usize>,
    /// What has to be true of it.
    pub(super) check: Check,
}

/// What has to be true of a value in a JSON document.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Check {
    /// It compares so.
    Compare(Comparison),
    /// It is `null`.
    IsNull,
    /// It is this boolean.
    IsBool(bool),
    /// It is not there.
    NotExists,
}

/// The operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl Op {
    /// As patterns and SQL both write it, except that SQL has `<>` for `!=`.
    pub(super) fn text(self) -> &'static str {
        match self {
            Op::Eq => "=",
            Op::Ne => "!=",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
        }
    }

    /// Whether the operator is about order, which only numbers have.
    pub(super) fn is_order(self) -> bool {
        !matches!(self, Op::Eq | Op::Ne)
    }
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A number without quotes, as it was written.
    Number(String),
    /// Text, in which `*` stands for any text.
    Text(String),
    /// A regular expression, as Rust's `regex` understands it.
    Regex(String),
}

/// The value of `text`, if that is a number as JSON and patterns write them.
/// Narrower than `f64::from_str`, to which `inf` and `nan` are numbers too.
pub(crate) fn number(text: &str) -> Option<f64> {
    let begins = text
        .trim_start_matches(['+', '-'])
        .starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if !begins || !plain {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Whether `pattern`, in which `*` stands for any text, matches all of `text`.
pub(crate) fn matches_wildcards(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    // What stands between two stars is taken where it comes first: a later place
    // leaves less for those that follow.
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "ac", true),
            ("a*a", "a", false),
            ("*b*b*", "abcb", true),
            ("*b*b*b*", "abcb", false),
            ("a", "ab", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches_wildcards(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn numbers() {
        for text in ["1", "-1", "+1", "1.5", ".5", "1e3", "1E-3"] {
            assert!(number(text).is_some(), "{text}");
        }
        for text in [
            "", "-", ".", "e3", "inf", "nan", "1e999", "10.0.0.1", "1_000", "0x1", "--1",
        ] {
            assert!(number(text).is_none(), "{text}");
        }
    }
}
