//! Patterns and the SQL that they become; that this SQL does what AWS does is
//! tested over real tables in `tests/pattern.rs`.

use super::*;

mod refusals;

/// The conditions of the SQL, one on each line.
fn conditions(pattern: &str, format: &str) -> Vec<String> {
    let sql = to_sql(pattern, "t", format).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    let rest = sql.strip_prefix("SELECT * FROM t").unwrap();
    rest.split('\n')
        .skip(1)
        .map(|line| line[6..].to_owned())
        .collect()
}

fn one(pattern: &str, format: &str) -> String {
    conditions(pattern, format).join(" & ")
}

#[test]
fn fields_of_flow_logs() {
    let flow = |field: &str| {
        one(
            &format!("[v, a, e, s, d, {field}, dp, p, pk, b, st, en, ac, ls]"),
            "vpc_flow",
        )
    };
    for (field, expected) in [
        ("x", ""),
        ("x = 80", "srcport = 80"),
        ("x=80||x=8080", "(srcport = 80 OR srcport = 8080)"),
        ("x > 1 && x <= 1e3", "srcport > 1 & srcport <= 1000.0"),
        (
            "x=1 || x>=3 && x!=5",
            "(srcport = 1 OR (srcport >= 3 AND srcport IS DISTINCT FROM 5))",
        ),
        (
            "(x=1 || x=2) && x!=2",
            "(srcport = 1 OR srcport = 2) & srcport IS DISTINCT FROM 2",
        ),
        ("x = \"22\"", "srcport = 22"),
        ("x = \"022\"", "CAST(srcport AS VARCHAR) = '022'"),
        ("x = 8*", "CAST(srcport AS VARCHAR) LIKE '8%'"),
        ("x = -", "srcport IS NULL"),
        ("x != \"-\"", "srcport IS NOT NULL"),
        ("x = *", "(CAST(srcport AS VARCHAR) LIKE '%' OR srcport IS NULL)"),
        (
            "x != %^8%",
            "NOT regexp_like(coalesce(CAST(srcport AS VARCHAR), '-'), '^8')",
        ),
    ] {
        assert_eq!(flow(field), expected, "{field}");
    }
    for (pattern, expected) in [
        ("[..., a = REJECT, s]", "action = 'REJECT'"),
        (
            "[v, a != 123456789012, ...]",
            "account_id IS DISTINCT FROM '123456789012'",
        ),
        ("[v, a > 5, ...]", "TRY_CAST(account_id AS DECIMAL(38, 9)) > 5"),
        ("[v, a, e, s = 10.0.2.*, ...]", "srcaddr LIKE '10.0.2.%'"),
        (
            "[v, a, e, s != 10.0.2.*, ...]",
            "(srcaddr NOT LIKE '10.0.2.%' OR srcaddr IS NULL)",
        ),
        ("[v, a, e, s != *-*, ...]", "srcaddr NOT LIKE '%-%'"),
        ("[v, a, e, s = \"it's_50%\", ...]", "srcaddr = 'it''s_50%'"),
        ("[v, a, e, s = \"_%\\\\*\", ...]", "srcaddr LIKE '\\_\\%\\\\%'"),
        ("[..., e > 5, action, status]", "\"end\" > 5"),
        (
            "[flow-direction = egress, tcp_flags = 2]",
            "flow_direction = 'egress' & tcp_flags = 2",
        ),
        ("[...]", ""),
        ("[nothing]", ""),
    ] {
        assert_eq!(one(pattern, "vpc_flow"), expected, "{pattern}");
    }
}

#[test]
fn positions_are_those_of_the_default_format() {
    let format = trailhound_ingest::formats::format_named("vpc_flow").unwrap();
    let names: Vec<&str> = format
        .columns()
        .iter()
        .take(14)
        .map(|column| column.from)
        .collect();
    let default = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
                   action log-status";
    assert_eq!(names.join(" "), default);
}

#[test]
fn fields_of_messages() {
    for (pattern, expected) in [
        ("[...]", ""),
        ("[a, b]", "log_field_count(message) = 2"),
        (
            "[a = x, ...]",
            "log_field_count(message) >= 1 & log_field(message, 1) = 'x'",
        ),
        (
            "[a, ..., s = 4*, b]",
            "log_field_count(message) >= 3 & log_field(message, -2) LIKE '4%'",
        ),
        (
            "[s = 404]",
            "log_field_count(message) = 1 & log_field(message, 1) = '404'",
        ),
        (
            "[s != 404]",
            "log_field_count(message) = 1 & log_field(message, 1) <> '404'",
        ),
        (
            "[s >= 400]",
            "log_field_count(message) = 1 & TRY_CAST(log_field(message, 1) AS DECIMAL(38, 9)) >= 400",
        ),
        (
            "[s = \"-\"]",
            "log_field_count(message) = 1 & log_field(message, 1) = '-'",
        ),
        (
            "[s = %a|b%]",
            "log_field_count(message) = 1 & regexp_like(log_field(message, 1), 'a|b')",
        ),
    ] {
        assert_eq!(one(pattern, "container_logs"), expected, "{pattern}");
    }
}

#[test]
fn json_of_records() {
    for (test, expected) in [
        (
            "$.eventName = \"StopLogging\" && $.errorCode NOT EXISTS",
            "event_name = 'StopLogging' & error_code IS NULL",
        ),
        (
            "($.eventName = A*) || ($.eventName = B)",
            "(event_name LIKE 'A%' OR event_name = 'B')",
        ),
        ("$.errorCode != \"x\"", "error_code <> 'x'"),
        ("$.userIdentity.arn = *bob", "principal_arn LIKE '%bob'"),
        (
            "$.userIdentity.accountId = 123456789012",
            "json_get_float(user_identity, 'accountId') = 123456789012",
        ),
        (
            "$.recipientAccountId = 123456789012",
            "recipient_account_id = '123456789012'",
        ),
        ("$.readOnly IS FALSE", "read_only IS FALSE"),
        ("$.readOnly = \"true\"", "CAST(read_only AS VARCHAR) = 'true'"),
        (
            "$.eventTime = \"2025-11-20T*\"",
            "to_char(event_time, '%Y-%m-%dT%H:%M:%SZ') LIKE '2025-11-20T%'",
        ),
        ("$.awsRegion = %^eu-%", "regexp_like(aws_region, '^eu-')"),
        (
            "$.requestParameters.a.b[2] = \"o'c\"",
            "(request_parameters->'a'->'b'->>2) = 'o''c'",
        ),
        (
            "$.requestParameters.a != x",
            "((request_parameters->>'a') <> 'x' AND json_length(request_parameters, 'a') IS NULL)",
        ),
        (
            "$.requestParameters.a.b NOT EXISTS",
            "json_contains(request_parameters, 'a', 'b') IS NOT TRUE",
        ),
        (
            "$.requestParameters.a IS NULL",
            "json_get_json(request_parameters, 'a') = 'null'",
        ),
        (
            "$.requestParameters.a IS TRUE",
            "json_get_json(request_parameters, 'a') = 'true'",
        ),
        (
            "$.requestParameters.n >= 1e-3",
            "(json_get_float(request_parameters, 'n') >= 0.001 AND json_get_str(request_parameters, 'n') IS NULL)",
        ),
        ("$.requestParameters IS NULL", "request_parameters IS NULL"),
        (
            "$.requestParameters = \"*\"",
            "(request_parameters LIKE '%' AND json_length(request_parameters) IS NULL)",
        ),
        (
            "$.resources[*].ARN = *secret*",
            "json_any(resources, '$[*].ARN', '=', '*secret*')",
        ),
        (
            "$.resources[*].ARN NOT EXISTS",
            "json_any(resources, '$[*].ARN', 'is', 'anything') IS NOT TRUE",
        ),
        (
            "$.['requestParameters'].['a.b'] = 1",
            "json_get_float(request_parameters, 'a.b') = 1",
        ),
        ("$.['userIdentity.arn'] = x", "(extra->>'userIdentity.arn') = 'x'"),
        ("$.newMember.x = x", "(extra->'newMember'->>'x') = 'x'"),
    ] {
        assert_eq!(one(&format!("{{ {test} }}"), "cloudtrail"), expected, "{test}");
    }
}

#[test]
fn json_of_messages() {
    for (test, expected) in [
        ("$.level = ERROR", "(message->>'level') = 'ERROR'"),
        (
            "$.level = *",
            "((message->>'level') LIKE '%' AND json_length(message, 'level') IS NULL)",
        ),
        (
            "$.a = 12345678901234567890",
            "(message->>'a') = '12345678901234567890'",
        ),
        (
            "$.a != 400",
            "((message->>'a') IS NOT NULL AND json_length(message, 'a') IS NULL AND \
             json_get_float(message, 'a') IS DISTINCT FROM 400)",
        ),
        ("$.* = %x%", "json_any(message, '$.*', '~', 'x')"),
        ("$.a[*] != %x%", "json_any(message, '$.a[*]', '!~', 'x')"),
    ] {
        let expected = format!("json_length(message) IS NOT NULL & {expected}");
        assert_eq!(one(&format!("{{{test}}}"), "container_logs"), expected, "{test}");
    }
}

#[test]
fn terms_of_messages() {
    let has = |term: &str| format!("strpos(message, '{term}') > 0");
    let has_not = |term: &str| format!("strpos(message, '{term}') = 0");
    for (pattern, expected) in [
        ("", String::new()),
        ("  ", String::new()),
        ("\" \"", String::new()),
        ("ERROR", has("ERROR")),
        ("A B", format!("{} & {}", has("A"), has("B"))),
        ("A -B", format!("{} & {}", has("A"), has_not("B"))),
        ("-\"a b\"", has_not("a b")),
        ("?A ?\"b c\"", format!("({} OR {})", has("A"), has("b c"))),
        ("?A", has("A")),
        ("?A ?B C", has("C")),
        ("?A -C", has_not("C")),
        ("\"it's \\\"so\\\"\"", has("it''s \"so\"")),
        (
            "%ERROR|5\\d\\d%",
            "regexp_like(message, 'ERROR|5\\d\\d')".to_owned(),
        ),
    ] {
        assert_eq!(one(pattern, "container_logs"), expected, "{pattern}");
    }
    assert_eq!(to_sql(" ", "flows", "vpc_flow").unwrap(), "SELECT * FROM flows");
    assert_eq!(
        to_sql("", "x\"; DROP", "vpc_flow").unwrap(),
        "SELECT * FROM \"x\"\"; DROP\""
    );
}

#[test]
fn any_text_is_a_pattern_or_refused() {
    let seeds = [
        "[a = \"x\\\" y\", ..., b >= 4 && b != %a[^]b]\\d%]",
        "{ ($.a['é'].* = \"*\" || $.b[0] IS NULL) && $.c NOT EXISTS }",
        "?a -\"b\\\\\" é",
    ];
    for seed in seeds {
        for (at, _) in seed.char_indices() {
            for text in [
                seed[..at].to_owned(),
                seed[at..].to_owned(),
                format!("{}é{}", &seed[..at], &seed[at..]),
            ] {
                for format in ["vpc_flow", "cloudtrail", "container_logs", "rejects"] {
                    let _ = to_sql(&text, "t", format);
                }
            }
        }
    }
}
