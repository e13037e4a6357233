//! Patterns that are refused: what is said, where it points, what to write.

use super::*;
use crate::error::Span;

/// The message, the part of the pattern that it points to, and the help.
fn refusal(pattern: &str, format: &str) -> (String, String, String) {
    let error = to_sql(pattern, "t", format).expect_err(pattern);
    let part = error
        .span()
        .map_or(String::new(), |Span { line, column, length }| {
            let line = pattern.split('\n').nth(line - 1).unwrap();
            line.chars().skip(column - 1).take(length).collect()
        });
    (
        error.message().to_owned(),
        part,
        error.help().unwrap_or_default().to_owned(),
    )
}

#[test]
fn refusals_point_into_the_pattern() {
    for (pattern, format, message, part) in [
        (
            "[a, b",
            "vpc_flow",
            "expected one of = != < > <= >=, and the pattern ends",
            "",
        ),
        ("[a, b = ]", "vpc_flow", "expected a value, found ]", "]"),
        (
            "[a,, b]",
            "vpc_flow",
            "expected the name of a field, or ..., found ,",
            ",",
        ),
        ("[a == 1]", "vpc_flow", "there is no such operator", "=="),
        (
            "[bytes > x]",
            "vpc_flow",
            "> compares numbers, and this is none",
            "x",
        ),
        (
            "[bytes > \"5\"]",
            "vpc_flow",
            "> compares numbers, and this is none",
            "\"5\"",
        ),
        (
            "[bytes = 'x']",
            "vpc_flow",
            "text of patterns stands in double quotes",
            "'",
        ),
        ("[a = 1 || b = 2]", "vpc_flow", "b is another field", "b"),
        (
            "[..., a, ...]",
            "vpc_flow",
            "a second ... leaves open which field is which",
            "...",
        ),
        (
            "[a] x",
            "vpc_flow",
            "expected the end of the pattern, found x",
            "x",
        ),
        (
            "[é, (srcadr = 1)]",
            "vpc_flow",
            "flow logs have no field srcadr",
            "srcadr",
        ),
        (
            "[a = \"x]",
            "vpc_flow",
            "the text that begins here has no closing \"",
            "\"",
        ),
        (
            "[a = %x]",
            "vpc_flow",
            "the regular expression that begins here has no closing %",
            "%",
        ),
        (
            "[a = %(x)%]",
            "vpc_flow",
            "regular expressions of patterns have no parentheses",
            "(",
        ),
        (
            "[a = %a b%]",
            "vpc_flow",
            "write \\s for a blank in a regular expression",
            " ",
        ),
        (
            "[a = %é%]",
            "vpc_flow",
            "regular expressions of patterns are ASCII",
            "é",
        ),
        (
            "[a = %x!%]",
            "vpc_flow",
            "! is not among the characters of regular expressions: :_#=@/;,-",
            "!",
        ),
        (
            "[a = %\\bx%]",
            "vpc_flow",
            "regular expressions of patterns know \\d \\D \\s \\S \\w \\W \\xhh and escaped symbols",
            "\\b",
        ),
        (
            "[a = %*%]",
            "vpc_flow",
            "this is no regular expression: repetition operator missing expression",
            "*",
        ),
        (
            "[a=%a%, b=%b%, c=%c%]",
            "vpc_flow",
            "a pattern takes 2 regular expressions at most",
            "%c%",
        ),
        (
            "{ eventName = x }",
            "cloudtrail",
            "expected a selector, found eventName",
            "eventName",
        ),
        ("{ $ = x }", "cloudtrail", "$ alone is the whole document", "$"),
        (
            "{ $.a EXISTS }",
            "cloudtrail",
            "patterns have NOT EXISTS, but no EXISTS",
            "EXISTS",
        ),
        (
            "{ $.a IS NOT NULL }",
            "cloudtrail",
            "patterns have IS, but no IS NOT",
            "IS NOT",
        ),
        (
            "{ $.a IS 5 }",
            "cloudtrail",
            "expected NULL, TRUE or FALSE, found 5",
            "5",
        ),
        (
            "{ $.a = x AND $.b = y }",
            "cloudtrail",
            "expected && or ||, or }, found AND",
            "AND",
        ),
        (
            "{ ($.a = x }",
            "cloudtrail",
            "expected && or ||, or ), found }",
            "}",
        ),
        (
            "{ $.a[*].b[*] = x }",
            "cloudtrail",
            "a selector takes one wildcard at most",
            "$.a[*].b[*]",
        ),
        (
            "{ $.a[*]=1 && $.b[*]=1 && $.c[*]=1 && $.d.* = 1 }",
            "cloudtrail",
            "a pattern takes 3 wildcards in its selectors at most",
            "$.d.*",
        ),
        (
            "{ $.* = x }",
            "cloudtrail",
            "a record is a JSON object: name one of its members",
            "$.*",
        ),
        (
            "{ $.eventName.x = y }",
            "cloudtrail",
            "eventName is text, and has no members",
            "$.eventName.x",
        ),
        (
            "{ $.eventName > 5 }",
            "cloudtrail",
            "$.eventName is text, of which this is never true",
            "$.eventName",
        ),
        (
            "{ $.a.@b = 5 }",
            "cloudtrail",
            "expected the name of a member, found @",
            "@",
        ),
        (
            "{ $.a\n = é\n && 5 }",
            "cloudtrail",
            "expected a selector, found 5",
            "5",
        ),
        (
            "foo.bar",
            "container_logs",
            ". has to stand in double quotes",
            ".",
        ),
        (
            "A %x%",
            "container_logs",
            "expected a term: a regular expression stands alone, found %",
            "%",
        ),
        ("A -", "container_logs", "nothing follows this mark", "-"),
        (
            "ERROR",
            "vpc_flow",
            "a pattern of words searches the text of a message, and vpc_flow is a table of lines with named fields",
            "",
        ),
        (
            "[a]",
            "cloudtrail",
            "a pattern in [...] is about the fields of a line, and cloudtrail is a table of JSON records",
            "",
        ),
        (
            "{$.a=1}",
            "vpc_flow",
            "a pattern in {...} is about the members of a JSON document, and vpc_flow is a table of lines with named fields",
            "",
        ),
    ] {
        let (found, place, _) = refusal(pattern, format);
        assert_eq!((found.as_str(), place.as_str()), (message, part), "{pattern}");
    }
    let many = format!("[{}, ...]", vec!["f"; 15].join(", "));
    assert_eq!(
        refusal(&many, "vpc_flow").0,
        "these are 15 fields, and the default format has 14"
    );
    assert!(
        refusal(&"x".repeat(1025), "container_logs")
            .0
            .contains("1025 characters")
    );
    let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(33), ")".repeat(33));
    assert_eq!(
        refusal(&deep, "cloudtrail").0,
        "more than 32 parentheses inside each other"
    );
}

#[test]
fn refusals_say_what_to_write() {
    for (pattern, format, help) in [
        ("?foo.bar", "container_logs", "write \"foo.bar\""),
        ("[a > \"5\"]", "vpc_flow", "without quotes it is: 5"),
        (
            "{ $.a.b EXISTS }",
            "cloudtrail",
            "write $.a.b = \"*\" for a value that is there",
        ),
        (
            "[srcadr = 1]",
            "vpc_flow",
            "did you mean srcaddr? names are free in a pattern of 14 fields or with ..., and this has 1",
        ),
    ] {
        assert_eq!(refusal(pattern, format).2, help, "{pattern}");
    }
}
