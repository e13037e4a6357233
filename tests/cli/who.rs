//! `trailhound who`.

use super::Desk;

/// A desk with the demo's logs, whose credentials thief calls from outside.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.estate();
    desk
}

const INPUT: [&str; 4] = [
    "--from",
    "cloudtrail=estate/AWSLogs/*/CloudTrail",
    "--from",
    "vpc_flow=estate/AWSLogs/*/vpcflowlogs",
];

fn who(desk: &Desk, more: &[&str]) -> super::Run {
    desk.run(&[&["who"], more, &INPUT[..]].concat())
}

#[test]
fn a_session_is_told_from_its_first_call_to_its_last() {
    let desk = desk();
    let calls = desk.run(&[
        &["sql"],
        &INPUT[..],
        &["SELECT session_name, source_ip_address AS ip, count(*) AS n FROM cloudtrail WHERE event_name = 'StopLogging' \
           GROUP BY session_name, ip"],
    ]
    .concat());
    let (session, address) = (
        calls.rows()[0]["session_name"].clone(),
        calls.rows()[0]["ip"].clone(),
    );
    let told = who(&desk, &[session.as_str().unwrap(), "--format", "table"]);
    assert_eq!(told.code, 0, "{}", told.err);
    for part in [
        "API calls",
        "StopLogging",
        "blinds CloudTrail",
        "Calls over time",
        "a bar is",
        "chosen by whoever",
    ] {
        assert!(told.out.contains(part), "no {part:?} in:\n{}", told.out);
    }
    // The same in numbers, and each query works as it is printed.
    let rows = who(&desk, &[session.as_str().unwrap(), "--format", "ndjson"]).rows();
    let total = rows.iter().find(|row| row["about"] == "API calls").unwrap()["calls"]
        .as_i64()
        .unwrap();
    let by_name: i64 = rows
        .iter()
        .filter(|row| row["about"] == "What was called")
        .map(|row| row["calls"].as_i64().unwrap())
        .sum();
    assert!(total > 0 && by_name <= total, "{total} and {by_name}");
    let shown = who(
        &desk,
        &[address.as_str().unwrap(), "--format", "table", "--queries"],
    );
    let query = shown
        .out
        .lines()
        .find(|line| line.contains("FROM cloudtrail"))
        .unwrap();
    let sql = query.rsplit_once(" sql").unwrap().1;
    assert!(sql.contains("source_ip_address"), "{query}");
}

#[test]
fn what_is_not_there_is_said() {
    let desk = desk();
    let told = who(&desk, &["198.18.0.99", "--format", "table"]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(
        told.out.contains("nothing in the logs that were read"),
        "{}",
        told.out
    );
    assert!(told.out.contains("Not visible in these logs"), "{}", told.out);
    desk.run(&["who", "198.18.0.99"])
        .refuses(2, &["none of the tables can know", "--from"]);
    desk.run(&["who", " ", INPUT[0], INPUT[1]])
        .refuses(2, &["SUBJECT is empty"]);
    desk.run(&["who", "alice", INPUT[0], INPUT[1], "--format", "csv"])
        .refuses(2, &["--format ndjson"]);
}
