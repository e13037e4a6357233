//! The identified views over a lake, whose texts are read as dictionaries.

use super::Desk;

/// Queries that filter, join and sort by columns that are dictionaries below the view, and by those that are not.
const QUERIES: &[&str] = &[
    "SELECT event_time, interface_id, srcaddr, srcport, dstaddr, dstport, flow_direction, vpc_id, ecs_task_id, \
     pkt_src_aws_service, pkt_dst_aws_service, src_task_id, src_kind, src_certainty, src_method, dst_task_id, dst_kind, \
     dst_certainty, dst_method, initiator FROM vpc_flow_identified \
     ORDER BY event_time, interface_id, srcaddr, srcport, dstaddr, dstport, bytes LIMIT 300",
    "SELECT src_service, dst_service, src_method, dst_method, dst_kind, count(*) AS n, sum(bytes) AS b, \
     count(DISTINCT srcaddr) AS s, min(dstaddr) AS d FROM vpc_flow_identified \
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
    "SELECT srcaddr, src_service, count(*) AS n FROM vpc_flow_identified WHERE srcaddr LIKE '10.%' \
     AND flow_direction = 'egress' GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT dstaddr, dst_kind, count(*) AS n FROM vpc_flow_identified \
     WHERE pkt_dst_aws_service IS NOT NULL AND dst_kind = 'aws_service' GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT interface_id, ecs_task_id, src_certainty, count(*) AS n FROM vpc_flow_identified \
     WHERE src_certainty = 'certain' OR interface_id < 'eni-4' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    // The engine hands what it learns from the other side of a join, and from a sort, down to the scan.
    "SELECT f.srcaddr, f.dst_service, count(*) AS n FROM vpc_flow_identified f \
     JOIN (SELECT DISTINCT dstaddr AS a FROM vpc_flow WHERE dstport = 443 ORDER BY a LIMIT 5) w ON f.dstaddr = w.a \
     GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT dstaddr, src_service, dst_kind FROM vpc_flow_identified WHERE src_service IS NOT NULL \
     ORDER BY dstaddr DESC, src_service LIMIT 3",
];

#[test]
fn a_lake_is_identified_as_its_raw_logs_are() {
    let desk = Desk::new();
    desk.estate();
    let ingested = desk.run(&["ingest", "estate"]);
    assert_eq!(ingested.code, 0, "{}", ingested.err);
    let raw = [
        "sql",
        "--from",
        "vpc_flow=estate/AWSLogs/*/vpcflowlogs",
        "--from",
        "cloudtrail=estate/AWSLogs/*/CloudTrail",
    ];
    let lake = ["sql", "--lake", "lake"];
    let afternoon = ["--since", "2026-11-17T12:00:00Z"];
    for (within, queries) in [(&[][..], QUERIES), (&afternoon, &QUERIES[1..3])] {
        for query in queries {
            let ask = |source: &[&str]| desk.run(&[source, within, &[query]].concat()).rows();
            let (raw, lake) = (ask(&raw), ask(&lake));
            assert_eq!(lake, raw, "{within:?} {query}");
            assert!(!lake.is_empty(), "{within:?} {query}");
        }
    }
    // What is filtered stays text, so that files and row groups without it are passed over.
    let filtered = "EXPLAIN SELECT src_service FROM vpc_flow_identified WHERE srcaddr = '10.20.10.1'";
    let plan = desk.run(&[&lake[..], &["--format", "json", filtered]].concat());
    assert!(
        plan.out.contains("pruning_predicate=srcaddr_null_count"),
        "{}",
        plan.out
    );
}
