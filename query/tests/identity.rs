//! The identity ledger in SQL, over tiny raw logs.

use std::path::Path;

use tempfile::TempDir;
use trailhound_query::{Options, Session};

use crate::files::{open, options, rows};

const TASK: &str = "0f9de17a6465404e8b1b2356dc13c2f8";

/// Start and end of a window on 20 November 2025, seconds since the epoch.
const START: i64 = 1_763_634_600; // 10:30:00

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn events(dir: &Path) -> String {
    let task = format!(
        r#"{{"version":"0","id":"e1","detail-type":"ECS Task State Change","source":"aws.ecs","account":"111122223333","time":"2025-11-20T10:10:00Z","region":"eu-west-1","resources":[],"detail":{{"attachments":[{{"id":"b","type":"eni","status":"ATTACHED","details":[{{"name":"subnetId","value":"subnet-1"}},{{"name":"networkInterfaceId","value":"eni-a"}},{{"name":"privateIPv4Address","value":"10.0.0.9"}}]}}],"clusterArn":"arn:aws:ecs:eu-west-1:111122223333:cluster/prod","containers":[{{"name":"app","image":"web:3"}}],"createdAt":"2025-11-20T10:00:00Z","startedAt":"2025-11-20T10:01:00Z","stoppedAt":"2025-11-20T11:00:00Z","lastStatus":"STOPPED","group":"service:web","launchType":"FARGATE","taskArn":"arn:aws:ecs:eu-west-1:111122223333:task/prod/{TASK}","taskDefinitionArn":"arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7"}}}}"#
    );
    write(dir, "events.json", &task)
}

fn flows(dir: &Path) -> String {
    let header = "interface-id srcaddr dstaddr srcport dstport protocol start end vpc-id subnet-id flow-direction tcp-flags";
    let end = START + 60;
    let (late, later) = (START + 86_400, START + 86_460);
    let text = format!(
        "{header}\n\
         eni-a 10.0.0.9 52.1.2.3 50000 443 6 {START} {end} vpc-1 subnet-1 egress 2\n\
         eni-b 10.0.0.9 10.0.0.20 50001 5432 6 {START} {end} vpc-1 subnet-1 ingress 0\n\
         eni-b 10.0.0.9 10.0.0.20 50001 5432 6 {late} {later} vpc-1 subnet-1 ingress 0\n"
    );
    write(dir, "flow.log", &text)
}

fn calls(dir: &Path) -> String {
    let call = |id: &str, role: &str, source: &str| {
        format!(
            r#"{{"eventVersion":"1.11","eventID":"{id}","eventTime":"2025-11-20T10:20:00Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","awsRegion":"eu-west-1","sourceIPAddress":"{source}","recipientAccountId":"111122223333","userIdentity":{{"type":"AssumedRole","principalId":"AROA:{TASK}","accessKeyId":"ASIA{id}","accountId":"111122223333","arn":"arn:aws:sts::111122223333:assumed-role/{role}/{TASK}","sessionContext":{{"sessionIssuer":{{"type":"Role","arn":"arn:aws:iam::111122223333:role/{role}","userName":"{role}"}},"attributes":{{"creationDate":"2025-11-20T10:05:00Z"}}}}}}}}"#
        )
    };
    let by_ecs = format!(
        r#"{{"eventVersion":"1.11","eventID":"0","eventTime":"2025-11-20T10:05:00Z","eventName":"AssumeRole","eventSource":"sts.amazonaws.com","awsRegion":"eu-west-1","sourceIPAddress":"ecs-tasks.amazonaws.com","recipientAccountId":"111122223333","userIdentity":{{"type":"AWSService","invokedBy":"ecs-tasks.amazonaws.com"}},"requestParameters":{{"roleArn":"arn:aws:iam::111122223333:role/web","roleSessionName":"{TASK}"}},"responseElements":{{"credentials":{{"accessKeyId":"ASIA1","expiration":"Nov 20, 2025, 4:05:00 PM"}}}}}}"#
    );
    let records = [
        by_ecs,
        call("1", "web", "10.0.0.9"),
        call("2", "admin", "52.7.7.7"),
    ];
    write(
        dir,
        "trail.json",
        &format!("{{\"Records\":[{}]}}", records.join(",")),
    )
}

fn lines(dir: &Path) -> String {
    let text = format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"/ecs/web","logStream":"web/app/{TASK}","subscriptionFilters":["x"],"logEvents":[{{"id":"1","timestamp":{START}000,"message":"hello"}}]}}"#
    );
    write(dir, "lines.json", &text)
}

fn all(dir: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("ecs_events", events(dir)),
        ("vpc_flow", flows(dir)),
        ("cloudtrail", calls(dir)),
        ("container_logs", lines(dir)),
    ]
}

#[tokio::test]
async fn flow_records_are_whose_they_were() {
    let dir = TempDir::new().unwrap();
    let session = open(&all(dir.path())).await;
    let sql = "SELECT srcport, src_service, src_task_definition, src_image, src_kind, src_certainty, src_method, \
               dst_kind, dst_certainty, initiator, initiator_method FROM vpc_flow_identified ORDER BY event_time, srcport";
    assert_eq!(
        rows(&session, sql).await,
        [
            "50000|web|web:7|web:3|task|certain|interface|public|unknown|src|tcp_flags",
            "50001|web|web:7|web:3|task|certain|address|interface|unknown|src|ports",
            "50001||||private|unknown|not_named|interface|unknown|src|ports",
        ]
    );
}

#[tokio::test]
async fn filters_and_projections_of_a_view_are_those_of_its_table() {
    let dir = TempDir::new().unwrap();
    let session = open(&all(dir.path())).await;
    let count = |sql: &'static str| async { rows(&session, sql).await };
    assert_eq!(count("SELECT count(*) FROM vpc_flow_identified").await, ["3"]);
    assert_eq!(
        count("SELECT srcport FROM vpc_flow_identified WHERE dstport = 443").await,
        ["50000"]
    );
    let both = "SELECT dstport, src_role, dst_task_id FROM vpc_flow_identified f WHERE f.src_service = 'web' AND f.dstport = 5432 LIMIT 5";
    assert_eq!(count(both).await, ["5432|arn:aws:iam::111122223333:role/web|"]);
    let limited = "SELECT count(*) FROM (SELECT src_kind FROM vpc_flow_identified LIMIT 2)";
    assert_eq!(count(limited).await, ["2"]);
    let grouped = "SELECT src_service, sum(1) FROM vpc_flow_identified GROUP BY 1 ORDER BY 1 NULLS LAST";
    assert_eq!(count(grouped).await, ["web|2", "|1"]);
}

#[tokio::test]
async fn calls_and_lines_have_a_task() {
    let dir = TempDir::new().unwrap();
    let session = open(&all(dir.path())).await;
    let sql = "SELECT event_id, session_service, session_certainty, session_method, source_kind FROM cloudtrail_identified ORDER BY event_id";
    assert_eq!(
        rows(&session, sql).await,
        [
            "0||||aws_service",
            "1|web|certain|issued_by_ecs|own",
            "2||unknown|role_differs|foreign",
        ]
    );
    let sql = "SELECT message, task_service, task_cluster, task_image, task_certainty FROM container_logs_identified";
    assert_eq!(rows(&session, sql).await, ["hello|web|prod|web:3|certain"]);
}

#[tokio::test]
async fn histories_are_tables_and_addresses_are_known() {
    let dir = TempDir::new().unwrap();
    let session = open(&all(dir.path())).await;
    let sql = "SELECT service, interface_id, valid_from, valid_to, certainty FROM task_history";
    assert_eq!(
        rows(&session, sql).await,
        ["web|eni-a|2025-11-20T10:00:00Z|2025-11-20T11:00:00Z|certain"]
    );
    let sql = "SELECT address, interface_id, service FROM eni_history ORDER BY interface_id";
    assert_eq!(
        rows(&session, sql).await,
        ["10.0.0.9|eni-a|web", "10.0.0.20|eni-b|"]
    );
    let sql = "SELECT count(*) > 5 FROM identity_claims WHERE _source LIKE '%events.json' OR method LIKE 'cloudtrail%' OR claim = 'interface'";
    assert_eq!(rows(&session, sql).await, ["true"]);
    let sql = "SELECT is_own_address(srcaddr), is_own_address(dstaddr), is_own_address('no') FROM vpc_flow WHERE srcport = 50000";
    assert_eq!(rows(&session, sql).await, ["true|false|"]);
    let sql = "SELECT count(*) FROM vpc_flow WHERE is_own_address(dstaddr)";
    assert_eq!(rows(&session, sql).await, ["2"]);
    let documented = session.tables().await;
    for name in [
        "vpc_flow_identified",
        "eni_history",
        "own_addresses",
        "role_sessions",
        "task_history",
        "identity_claims",
    ] {
        let table = documented.iter().find(|table| table.name == name).unwrap();
        assert!(!table.about.is_empty(), "{name}");
        for column in &table.columns {
            assert!(!column.about.is_empty(), "{name}.{}", column.name);
        }
    }
}

#[tokio::test]
async fn what_began_before_the_time_asked_for_is_known() {
    let dir = TempDir::new().unwrap();
    let narrow = Options {
        since: Some("2025-11-20T10:29:00Z".parse().unwrap()),
        until: Some("2025-11-20T10:40:00Z".parse().unwrap()),
        ..options(&all(dir.path()))
    };
    let session = Session::open(narrow).await.unwrap();
    let sql = "SELECT src_service FROM vpc_flow_identified WHERE srcport = 50000";
    assert_eq!(rows(&session, sql).await, ["web"]);
    assert_eq!(
        rows(&session, "SELECT count(*) FROM vpc_flow_identified").await,
        ["2"]
    );
}

#[tokio::test]
async fn views_are_over_tables_that_are_there() {
    let dir = TempDir::new().unwrap();
    let session = open(&[("container_logs", lines(dir.path()))]).await;
    assert!(
        !session
            .table_names()
            .iter()
            .any(|name| name.ends_with("_identified") || name == "eni_history")
    );
    let session = open(&[("mine:vpc_flow", flows(dir.path()))]).await;
    let names = session.table_names();
    assert!(names.contains(&"mine_identified".to_owned()), "{names:?}");
    assert_eq!(
        rows(
            &session,
            "SELECT count(*) FROM mine_identified WHERE src_kind = 'interface'"
        )
        .await,
        ["3"]
    );
}

#[tokio::test]
async fn an_inventory_tells_what_logs_do_not() {
    let dir = TempDir::new().unwrap();
    let text = "address,vpc_id,resource_id,account_id\n10.0.0.20,vpc-1,nat-7,012345678901\n";
    let inventory = write(dir.path(), "known.csv", text);
    let session = open(&[("vpc_flow", flows(dir.path())), ("inventory", inventory)]).await;
    let sql =
        "SELECT account_id, kind FROM own_addresses WHERE address = '10.0.0.20' AND account_id IS NOT NULL";
    assert_eq!(rows(&session, sql).await, ["012345678901|nat"]);
    let wrong = write(dir.path(), "wrong.csv", "adress,vpc_id\n10.0.0.20,vpc-1\n");
    let error = Session::open(options(&[("inventory", wrong)]))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("adress"), "{error}");
    let wrong = write(dir.path(), "none.csv", "vpc_id\nvpc-1\n");
    let error = Session::open(options(&[("inventory", wrong)]))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("neither address nor interface_id"), "{error}");
}

/// `BLESS=1` writes the page anew.
#[test]
fn the_reference_page_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/identity.md");
    let page = trailhound_query::identity::reference_page();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/reference/identity.md is not that of the code: run this test with BLESS=1"
    );
}
