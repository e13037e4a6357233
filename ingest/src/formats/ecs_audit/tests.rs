//! What the table shows of each line, and which lines could be forged.

use proptest::prelude::*;

use super::*;
use crate::formats::documents::testing::{Outcome, Way, column_names, read, read_as, refusal};

const GOOD: &str = r#"2025-11-20T07:05:09Z 200 172.17.0.5:43210 "/v2/credentials" "aws-sdk-go/1.44 (go1.19; linux)" arn:aws:ecs:eu-west-1:111122223333:task/prod/0f9de17a6465404e8b1b2356dc13c2f8 GetCredentials 2 prod arn:aws:ecs:eu-west-1:111122223333:container-instance/prod/c1"#;
const EXECUTION: &str = r#"2025-11-20T07:05:10Z 200 [fd00:ec2::5]:43211 "/v1/credentials" "curl/8" arn:aws:ecs:eu-west-1:111122223333:task/t1 GetCredentialsExecutionRole 2 - -"#;
const UNKNOWN: &str = r#"2025-11-20T07:05:11Z 400 172.17.0.5:43212 "/v2/credentials" "curl/8" - "#;
const DOWN: &str = r#"2025-11-20T07:05:12Z 503 172.17.0.5:43213 "/v1/credentials" "" arn:aws:ecs:eu-west-1:111122223333:task/t1 "#;
const LIMITED: &str = r#"2025-11-20T07:05:13Z 429 - "/v4/abc/task stats" "-" - "#;
const LINES: &[&str] = &[GOOD, EXECUTION, UNKNOWN, DOWN, LIMITED];

#[test]
fn every_form_of_line_is_a_row() {
    let expected: [&[&str]; 5] = [
        &[
            "account_id=111122223333",
            "audit_version=2",
            "cluster=prod",
            "container_instance_arn=arn:aws:ecs:eu-west-1:111122223333:container-instance/prod/c1",
            "credentials_version=2",
            "event_time=2025-11-20T07:05:09Z",
            "forgeable=false",
            "path=/v2/credentials",
            "region=eu-west-1",
            "request_type=GetCredentials",
            "source_address=172.17.0.5",
            "source_port=43210",
            "status=200",
            "task_arn=arn:aws:ecs:eu-west-1:111122223333:task/prod/0f9de17a6465404e8b1b2356dc13c2f8",
            "task_id=0f9de17a6465404e8b1b2356dc13c2f8",
            "user_agent=aws-sdk-go/1.44 (go1.19; linux)",
        ],
        &[
            "account_id=111122223333",
            "audit_version=2",
            "credentials_version=1",
            "event_time=2025-11-20T07:05:10Z",
            "forgeable=false",
            "path=/v1/credentials",
            "region=eu-west-1",
            "request_type=GetCredentialsExecutionRole",
            "source_address=fd00:ec2::5",
            "source_port=43211",
            "status=200",
            "task_arn=arn:aws:ecs:eu-west-1:111122223333:task/t1",
            "task_id=t1",
            "user_agent=curl/8",
        ],
        &[
            "credentials_version=2",
            "event_time=2025-11-20T07:05:11Z",
            "forgeable=false",
            "path=/v2/credentials",
            "source_address=172.17.0.5",
            "source_port=43212",
            "status=400",
            "user_agent=curl/8",
        ],
        &[
            "account_id=111122223333",
            "credentials_version=1",
            "event_time=2025-11-20T07:05:12Z",
            "forgeable=false",
            "path=/v1/credentials",
            "region=eu-west-1",
            "source_address=172.17.0.5",
            "source_port=43213",
            "status=503",
            "task_arn=arn:aws:ecs:eu-west-1:111122223333:task/t1",
            "task_id=t1",
            "user_agent=",
        ],
        &[
            "event_time=2025-11-20T07:05:13Z",
            "forgeable=false",
            "path=/v4/abc/task stats",
            "status=429",
        ],
    ];
    for (name, text) in [
        ("lines", LINES.join("\n")),
        ("with an end", LINES.join("\n") + "\n"),
        ("of Windows", format!("{}\r\n", LINES.join("\r\n"))),
        // Tools that copy lines take the space at their end away.
        (
            "trimmed",
            LINES
                .iter()
                .map(|line| line.trim_end())
                .collect::<Vec<_>>()
                .join("\n"),
        ),
    ] {
        let outcome = read_lines(text.as_bytes());
        assert_eq!(outcome.rejects, [], "{name}");
        for (row, expected) in expected.iter().enumerate() {
            assert_eq!(outcome.cells(row), *expected, "{name}");
        }
        assert_eq!(outcome.column("_line"), ["1", "2", "3", "4", "5"], "{name}");
    }
}

/// Reads lines in one block and in many, which must not make a difference.
fn read_lines(bytes: &[u8]) -> Outcome {
    let outcome = read_as(&EcsAudit, bytes, &Way::default()).unwrap();
    for (sizes, batch_rows) in [(&[1][..], 1), (&[7, 100], 2)] {
        let way = Way {
            sizes,
            batch_rows,
            ..Way::default()
        };
        assert_eq!(
            read_as(&EcsAudit, bytes, &way).unwrap(),
            outcome,
            "in blocks of {sizes:?}"
        );
    }
    outcome
}

#[test]
fn quotes_within_quotes_make_a_line_forgeable() {
    let front = r#"2025-11-20T07:05:09Z 200 172.17.0.5:1 "/v2/credentials" "#;
    let limited = "2025-11-20T07:05:09Z 429 172.17.0.5:1 ";
    let back = " arn:aws:ecs:r:1:task/t GetCredentials 2 c arn:aws:ecs:r:1:container-instance/i";
    // A line, its path, user agent, task and cluster, and whether it could be forged.
    for (line, path, agent, task, cluster, forgeable) in [
        (
            format!(r#"{front}"a b - c""#) + back,
            "/v2/credentials",
            "a b - c",
            "t",
            "c",
            false,
        ),
        (
            format!(r#"{front}"-""#) + back,
            "/v2/credentials",
            "NULL",
            "t",
            "c",
            false,
        ),
        // The client says that it is another task, and the truth comes behind it.
        (
            format!(r#"{front}"x" arn:aws:ecs:r:1:task/other GetCredentials 2 c i""#) + back,
            "/v2/credentials",
            r#"x" arn:aws:ecs:r:1:task/other GetCredentials 2 c i"#,
            "t",
            "c",
            true,
        ),
        // The same in a request that failed.
        (
            format!(r#"{front}"x" arn:aws:ecs:r:1:task/other GetCredentials 2 c i" - "#),
            "/v2/credentials",
            r#"x" arn:aws:ecs:r:1:task/other GetCredentials 2 c i"#,
            "NULL",
            "NULL",
            true,
        ),
        (
            format!(r#"{front}"a" "b""#) + back,
            "/v2/credentials",
            r#"a" "b"#,
            "t",
            "c",
            true,
        ),
        (
            format!(r#"{front}"a"b""#) + back,
            "/v2/credentials",
            r#"a"b"#,
            "t",
            "c",
            true,
        ),
        (
            format!(r#"{front}""""#) + back,
            "/v2/credentials",
            r#"""#,
            "t",
            "c",
            true,
        ),
        (
            format!(r#"{limited}"/v4/" "x" "y" - "#),
            "/v4/",
            r#"x" "y"#,
            "NULL",
            "NULL",
            true,
        ),
        (
            format!(r#"{limited}"/v4/"x" "y" - "#),
            r#"/v4/"x"#,
            "y",
            "NULL",
            "NULL",
            true,
        ),
        (
            format!(r#"{limited}"/v2/credentials/x" "y" - "#),
            "/v2/credentials/x",
            "y",
            "NULL",
            "NULL",
            false,
        ),
    ] {
        let outcome = read_lines(line.as_bytes());
        assert_eq!(outcome.rejects, [], "{line}");
        let cells =
            ["path", "user_agent", "task_id", "cluster", "forgeable"].map(|name| outcome.column(name)[0]);
        assert_eq!(
            cells,
            [
                path,
                agent,
                task,
                cluster,
                if forgeable { "true" } else { "false" }
            ],
            "{line}"
        );
    }
}

#[test]
fn lines_behind_an_open_quote_are_forgeable() {
    let opening = r#"2025-11-20T07:05:09Z 429 172.17.0.5:1 "/v4/"#;
    let closing = r#"x" "curl/8" - "#;
    let text = [
        GOOD, opening, EXECUTION, GOOD, closing, GOOD, "noise", GOOD, opening,
    ]
    .join("\n");
    let outcome = read_lines(text.as_bytes());
    assert_eq!(outcome.column("_line"), ["1", "3", "4", "6", "8"]);
    assert_eq!(
        outcome.column("forgeable"),
        ["false", "true", "true", "false", "false"]
    );
    let lines: Vec<u64> = outcome.rejects.iter().map(|(line, ..)| *line).collect();
    assert_eq!(lines, [2, 5, 7, 9]);
    // A line feed right behind the address's quote is enough, and so is one in the user agent.
    for opening in [
        r#"2025-11-20T07:05:09Z 429 - ""#,
        r#"2025-11-20T07:05:09Z 200 1.2.3.4:5 "/v1/credentials" "a"#,
    ] {
        let outcome = read_lines([opening, GOOD].join("\n").as_bytes());
        assert_eq!(outcome.column("forgeable"), ["true"], "{opening}");
    }
}

#[test]
fn what_does_not_parse_is_a_reject() {
    let no_back = "expected, after the quotes, a task, and either nothing or a type, a version, a cluster and a \
                   container instance";
    for (line, expected) in [
        ("x", "expected a time, a status and an address"),
        (
            "today 200 - ",
            "expected a time such as 2025-11-20T07:05:09Z at the beginning",
        ),
        (
            "2025-13-20T07:05:09Z 200 - ",
            "expected a time such as 2025-11-20T07:05:09Z at the beginning",
        ),
        ("2025-11-20T07:05:09Z 200", "expected a status after the time"),
        (
            "2025-11-20T07:05:09Z 20 - \"a\" \"b\" - ",
            "expected a status of three digits after the time",
        ),
        (
            "2025-11-20T07:05:09Z 200 -",
            "expected an address after the status",
        ),
        (
            "2025-11-20T07:05:09Z 200  \"a\" \"b\" - ",
            "expected an address after the status",
        ),
        (
            "2025-11-20T07:05:09Z 200 \"a b\" \"b\" - ",
            "expected an address after the status",
        ),
        (
            "2025-11-20T07:05:09Z 200 - /v1 \"b\" - ",
            "expected a path in quotes after the address",
        ),
        ("2025-11-20T07:05:09Z 200 - \"a\" b - ", no_back),
        (
            "2025-11-20T07:05:09Z 200 - \"a\" - ",
            "expected a path and a user agent, each in quotes",
        ),
        (
            "2025-11-20T07:05:09Z 200 - \" - ",
            "expected a path and a user agent, each in quotes",
        ),
        ("2025-11-20T07:05:09Z 200 - \"a\" \"b\"", no_back),
        (
            "2025-11-20T07:05:09Z 200 - \"a\" \"b\" t GetCredentials 2 c",
            no_back,
        ),
        (
            "2025-11-20T07:05:09Z 200 - \"a\" \"b\" t GetCredentials x c i",
            no_back,
        ),
        (
            "2025-11-20T07:05:09Z 200 - \"a\" \"b\" t Get-Credentials 2 c i",
            no_back,
        ),
        (
            "2025-11-20T07:05:09Z 200 - \"a\" \"b\" t GetCredentials 2 c i more",
            no_back,
        ),
        ("2025-11-20T07:05:09Z 200 - \"a\" \"b\" t  2 c i", no_back),
    ] {
        let outcome = read_lines([GOOD, line, UNKNOWN].join("\n").as_bytes());
        assert_eq!(outcome.reasons(), [expected], "{line}");
        assert_eq!(outcome.rejects[0].0, 2, "{line}");
        assert_eq!(outcome.column("status"), ["200", "400"], "{line}");
    }
}

#[test]
fn no_text_of_a_client_keeps_its_line_out() {
    let mut line = GOOD.as_bytes().to_vec();
    let agent = memchr::memmem::find(&line, b"aws-sdk").unwrap();
    line[agent..agent + 3].copy_from_slice(b"\xff\0\x1b");
    let outcome = read_lines(&line);
    assert_eq!(outcome.rejects, []);
    assert!(outcome.column("user_agent")[0].starts_with("\u{fffd}\0\u{1b}-sdk"));
    let empty = read_lines(format!("\n{GOOD}\n\r\n \n").as_bytes());
    assert_eq!(
        (empty.rows.len(), empty.passed, empty.column("_line")),
        (1, 3, vec!["2"])
    );
    for nothing in ["", "\n", " \r\n"] {
        assert_eq!(read(&EcsAudit, nothing).rows, []);
    }
}

#[test]
fn other_files_are_refused() {
    for (text, expected) in [
        ("{\"a\":1}\n", "it is JSON"),
        (
            "level=info time=2025-11-20T07:05:09Z msg=\"x\"\n",
            "it is the agent's own log (ecs-agent.log), which stands beside audit.log",
        ),
        (
            "version account-id interface-id srcaddr\n",
            "it is a VPC flow log: read it as vpc_flow",
        ),
        ("\0\0", "it is binary data"),
        (
            "2025-11-20T07:05:09Z GET /\nb\n",
            "no line is an entry; the first is \"2025-11-20T07:05:09Z GET /\" (expected a status of three digits after the time)",
        ),
    ] {
        assert_eq!(
            refusal(&EcsAudit, text),
            format!("not an audit log of the ECS agent: {expected}"),
            "{text}"
        );
    }
}

#[test]
fn a_first_line_without_end_does_not_hide_the_others() {
    let first = format!(
        "2025-11-20T07:05:09Z 400 - \"/v2/credentials\" \"{}\" - ",
        "x".repeat(HEAD_BYTES)
    );
    let outcome = read_as(&EcsAudit, [&first, GOOD].join("\n").as_bytes(), &Way::default()).unwrap();
    assert_eq!(outcome.column("status"), ["400", "200"]);
}

#[test]
fn a_line_that_is_too_large_is_skipped() {
    let large = format!("2025-11-20T07:05:09Z 400 - \"/v4/\" \"{}\" - ", "x".repeat(3000));
    let way = Way {
        sizes: &[97],
        rest_max: 1000,
        ..Way::default()
    };
    let outcome = read_as(&EcsAudit, [GOOD, &large, UNKNOWN].join("\n").as_bytes(), &way).unwrap();
    assert_eq!(outcome.column("_line"), ["1", "3"]);
    assert_eq!(outcome.rejects.len(), 1);
    assert!(
        outcome.reasons()[0].starts_with("line larger than 1"),
        "{:?}",
        outcome.reasons()
    );
}

/// Lines, whole, broken, or with text of a client's choice.
fn any_log() -> impl Strategy<Value = Vec<u8>> {
    let line = (
        prop::sample::select(LINES),
        0..8u8,
        any::<prop::sample::Index>(),
        prop::sample::select(b"\" \n\r-\xff\0:x".to_vec()),
    );
    prop::collection::vec(line, 0..8).prop_map(|lines| {
        let mut log = Vec::new();
        for (line, change, at, byte) in lines {
            let at = at.index(line.len());
            match change {
                0 => log.extend(&line.as_bytes()[..at]),
                1 => log.extend(&line.as_bytes()[at..]),
                2 => {
                    log.extend(&line.as_bytes()[..at]);
                    log.push(byte);
                    log.extend(&line.as_bytes()[at..]);
                }
                3 => {}
                _ => log.extend(line.as_bytes()),
            }
            log.push(b'\n');
        }
        log
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn neither_blocks_nor_projection_make_a_difference(
        log in any_log(),
        sizes in prop::collection::vec(1usize..300, 1..4),
        batch_rows in 1usize..4,
        columns in prop::sample::subsequence(column_names(&EcsAudit), 0..6),
    ) {
        crate::formats::documents::testing::check_stream(&EcsAudit, &log, &sizes, batch_rows, &columns);
        let lines = log.iter().filter(|&&byte| byte == b'\n').count() as u64;
        if let Ok(outcome) = read_as(&EcsAudit, &log, &Way::default()) {
            prop_assert_eq!(outcome.rows.len() as u64 + outcome.rejects.len() as u64 + outcome.passed, lines);
        }
    }

    /// Whatever client and agent write, the line comes back, or says that it may not.
    #[test]
    fn what_is_printed_is_parsed(agent in "[ -~]{0,40}", path in "/[ -~]{0,20}", status in 100i64..600, is_short in any::<bool>()) {
        let task = "arn:aws:ecs:r:111122223333:task/t";
        let back = if is_short { "" } else { "GetCredentials 2 c arn:aws:ecs:r:111122223333:container-instance/i" };
        let line = format!("2025-11-20T07:05:09Z {status} 10.0.0.1:80 \"{path}\" \"{agent}\" {task} {back}");
        let entry = Entry::of_line(line.as_bytes()).unwrap();
        prop_assert_eq!((entry.status, entry.details.is_none()), (status, is_short));
        prop_assert_eq!(&line[entry.task_arn.clone()], task);
        prop_assert_eq!(entry.is_ambiguous, agent.contains('"') || path.contains('"'));
        if !entry.is_ambiguous {
            prop_assert_eq!((&line[entry.path.clone()], &line[entry.user_agent.clone()]), (path.as_str(), agent.as_str()));
        }
    }
}
