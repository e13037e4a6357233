//! What the table shows of each kind of event.

use proptest::prelude::*;

use super::*;
use crate::formats::documents::testing::{
    any_stream, check_documents, check_stream, column_names, read, refusal, subscription,
};

const TASK: &str = r#"{"version":"0","id":"e1","detail-type":"ECS Task State Change","source":"aws.ecs","account":"111122223333","time":"2025-11-20T07:00:00Z","region":"eu-west-1","resources":["arn:aws:ecs:eu-west-1:111122223333:task/prod/0f9de17a6465404e8b1b2356dc13c2f8"],"detail":{"attachments":[{"id":"a","type":"sdi","status":"ATTACHED","details":[]},{"id":"b","type":"eni","status":"ATTACHED","details":[{"name":"subnetId","value":"subnet-1"},{"name":"networkInterfaceId","value":"eni-0a1b"},{"name":"macAddress","value":"0a:00:00:00:00:01"},{"name":"privateIPv4Address","value":"10.0.0.9"}]}],"availabilityZone":"eu-west-1a","clusterArn":"arn:aws:ecs:eu-west-1:111122223333:cluster/prod","containers":[{"name":"app","image":"nginx","networkInterfaces":[{"privateIpv4Address":"10.0.0.9"}]}],"createdAt":"2025-11-20T06:59:00.1Z","startedAt":"2025-11-20T06:59:59Z","desiredStatus":"RUNNING","lastStatus":"RUNNING","enableExecuteCommand":true,"group":"service:web","launchType":"FARGATE","overrides":{"containerOverrides":[{"name":"app"}],"taskRoleArn":"arn:aws:iam::111122223333:role/admin"},"startedBy":"ecs-svc/1","taskArn":"arn:aws:ecs:eu-west-1:111122223333:task/prod/0f9de17a6465404e8b1b2356dc13c2f8","taskDefinitionArn":"arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7","updatedAt":"2025-11-20T07:00:00.5Z","version":4}}"#;
const INSTANCE: &str = r#"{"version":"0","id":"e2","detail-type":"ECS Container Instance State Change","source":"aws.ecs","account":"111122223333","time":"2025-11-20T07:01:00Z","region":"eu-west-1","resources":["arn:aws:ecs:eu-west-1:111122223333:container-instance/prod/c1"],"detail":{"agentConnected":false,"clusterArn":"arn:aws:ecs:eu-west-1:111122223333:cluster/prod","containerInstanceArn":"arn:aws:ecs:eu-west-1:111122223333:container-instance/prod/c1","ec2InstanceId":"i-0a1b","status":"DRAINING","version":14801}}"#;
const ACTION: &str = r#"{"version":"0","id":"e3","detail-type":"ECS Service Action","source":"aws.ecs","account":"111122223333","time":"2025-11-20T07:02:00Z","region":"eu-west-1","resources":["arn:aws:ecs:eu-west-1:111122223333:service/prod/web"],"detail":{"eventType":"ERROR","eventName":"SERVICE_TASK_PLACEMENT_FAILURE","clusterArn":"arn:aws:ecs:eu-west-1:111122223333:cluster/prod","reason":"RESOURCE:CPU","createdAt":"2025-11-20T07:02:00.7Z"}}"#;
const DEPLOYMENT: &str = r#"{"version":"0","id":"e4","detail-type":"ECS Deployment State Change","source":"aws.ecs","account":"111122223333","time":"2025-11-20T07:03:00Z","region":"eu-west-1","resources":["arn:aws:ecs:eu-west-1:111122223333:service/prod/web"],"detail":{"eventType":"INFO","eventName":"SERVICE_DEPLOYMENT_COMPLETED","deploymentId":"ecs-svc/1","updatedAt":"2025-11-20T07:02:59Z","reason":"ECS deployment \"ecs-svc/1\" completed."}}"#;
const RECORDS: &[&str] = &[TASK, INSTANCE, ACTION, DEPLOYMENT];

/// An event about these members, of a type that does not exist yet.
fn event(resource: &str, detail: &str) -> String {
    format!(
        r#"{{"detail-type":"ECS New","source":"aws.ecs","time":"2025-11-20T07:00:00Z","resources":["{resource}"],"detail":{detail}}}"#
    )
}

#[test]
fn it_reads_like_every_format_of_documents() {
    check_documents(&EcsEvents, RECORDS);
}

#[test]
fn each_kind_of_event_shows_its_columns() {
    let outcome = read(&EcsEvents, &RECORDS.join("\n"));
    let expected: [&[&str]; 4] = [
        &[
            "account_id=111122223333",
            "availability_zone=eu-west-1a",
            "cluster_arn=arn:aws:ecs:eu-west-1:111122223333:cluster/prod",
            r#"containers=[{"name":"app","image":"nginx","networkInterfaces":[{"privateIpv4Address":"10.0.0.9"}]}]"#,
            "created_at=2025-11-20T06:59:00.100Z",
            "desired_status=RUNNING",
            "detail_type=ECS Task State Change",
            "detail_version=4",
            "enable_execute_command=true",
            "eni_id=eni-0a1b",
            "event_id=e1",
            "event_time=2025-11-20T07:00:00Z",
            "group_name=service:web",
            "last_status=RUNNING",
            "launch_type=FARGATE",
            "mac_address=0a:00:00:00:00:01",
            "private_ip=10.0.0.9",
            "region=eu-west-1",
            r#"resources=["arn:aws:ecs:eu-west-1:111122223333:task/prod/0f9de17a6465404e8b1b2356dc13c2f8"]"#,
            "service_name=web",
            "source=aws.ecs",
            "started_at=2025-11-20T06:59:59Z",
            "started_by=ecs-svc/1",
            "subnet_id=subnet-1",
            "task_arn=arn:aws:ecs:eu-west-1:111122223333:task/prod/0f9de17a6465404e8b1b2356dc13c2f8",
            "task_definition_arn=arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7",
            "task_id=0f9de17a6465404e8b1b2356dc13c2f8",
            "task_role_arn=arn:aws:iam::111122223333:role/admin",
            "updated_at=2025-11-20T07:00:00.500Z",
        ],
        &[
            "account_id=111122223333",
            "agent_connected=false",
            "cluster_arn=arn:aws:ecs:eu-west-1:111122223333:cluster/prod",
            "container_instance_arn=arn:aws:ecs:eu-west-1:111122223333:container-instance/prod/c1",
            "detail_type=ECS Container Instance State Change",
            "detail_version=14801",
            "event_id=e2",
            "event_time=2025-11-20T07:01:00Z",
            "instance_id=i-0a1b",
            "last_status=DRAINING",
            "region=eu-west-1",
            r#"resources=["arn:aws:ecs:eu-west-1:111122223333:container-instance/prod/c1"]"#,
            "source=aws.ecs",
        ],
        &[
            "account_id=111122223333",
            "cluster_arn=arn:aws:ecs:eu-west-1:111122223333:cluster/prod",
            "created_at=2025-11-20T07:02:00.700Z",
            "detail_type=ECS Service Action",
            "event_id=e3",
            "event_name=SERVICE_TASK_PLACEMENT_FAILURE",
            "event_time=2025-11-20T07:02:00Z",
            "event_type=ERROR",
            "reason=RESOURCE:CPU",
            "region=eu-west-1",
            r#"resources=["arn:aws:ecs:eu-west-1:111122223333:service/prod/web"]"#,
            "service_name=web",
            "source=aws.ecs",
        ],
        &[
            "account_id=111122223333",
            "cluster_arn=arn:aws:ecs:eu-west-1:111122223333:cluster/prod",
            "deployment_id=ecs-svc/1",
            "detail_type=ECS Deployment State Change",
            "event_id=e4",
            "event_name=SERVICE_DEPLOYMENT_COMPLETED",
            "event_time=2025-11-20T07:03:00Z",
            "event_type=INFO",
            r#"reason=ECS deployment "ecs-svc/1" completed."#,
            "region=eu-west-1",
            r#"resources=["arn:aws:ecs:eu-west-1:111122223333:service/prod/web"]"#,
            "service_name=web",
            "source=aws.ecs",
            "updated_at=2025-11-20T07:02:59Z",
        ],
    ];
    for (row, expected) in expected.iter().enumerate() {
        let cells: Vec<String> = outcome
            .cells(row)
            .into_iter()
            .filter(|cell| !cell.starts_with("detail="))
            .collect();
        assert_eq!(cells, *expected);
    }
    let detail = DEPLOYMENT
        .split_once(r#""detail":"#)
        .unwrap()
        .1
        .strip_suffix('}')
        .unwrap();
    assert_eq!(outcome.column("detail")[3], detail);
}

#[test]
fn arns_tell_what_members_do_not() {
    for (resource, detail, column, expected) in [
        ("arn:aws:ecs:r:1:service/web", "{}", "service_name", "web"),
        ("arn:aws:ecs:r:1:service/web", "{}", "cluster_arn", "NULL"),
        (
            "arn:aws:ecs:r:1:service/prod/web",
            "{}",
            "cluster_arn",
            "arn:aws:ecs:r:1:cluster/prod",
        ),
        (
            "arn:aws:ecs:r:1:service/web",
            r#"{"service":"a","serviceName":"b"}"#,
            "service_name",
            "a",
        ),
        (
            "arn:aws:ecs:r:1:service/web",
            r#"{"serviceName":"b"}"#,
            "service_name",
            "b",
        ),
        (
            "arn:aws:ecs:r:1:task/t1",
            r#"{"group":"service:c","serviceName":"b"}"#,
            "service_name",
            "c",
        ),
        (
            "arn:aws:ecs:r:1:task/t1",
            r#"{"group":"family:c"}"#,
            "service_name",
            "NULL",
        ),
        (
            "arn:aws:ecs:r:1:task/t1",
            r#"{"group":"family:c"}"#,
            "group_name",
            "family:c",
        ),
        ("arn:aws:ecs:r:1:task/t1", "{}", "task_id", "t1"),
        ("arn:aws:ecs:r:1:task/prod/t1", "{}", "task_id", "t1"),
        (
            "arn:aws:ecs:r:1:task/prod/t1",
            "{}",
            "task_arn",
            "arn:aws:ecs:r:1:task/prod/t1",
        ),
        (
            "arn:aws:ecs:r:1:task/prod/t1",
            r#"{"taskArn":null}"#,
            "task_id",
            "t1",
        ),
        ("arn:aws:ecs:r:1:task-definition/a:1", "{}", "task_id", "NULL"),
        (
            "arn:aws:ecs:r:1:container-instance/c1",
            "{}",
            "container_instance_arn",
            "arn:aws:ecs:r:1:container-instance/c1",
        ),
        ("", r#"{"taskArn":1}"#, "task_id", "NULL"),
        ("", r#"{"taskArn":"x/"}"#, "task_id", "NULL"),
        ("", "{}", "cluster_arn", "NULL"),
    ] {
        let outcome = read(&EcsEvents, &event(resource, detail));
        assert_eq!(outcome.column(column), [expected], "{resource} {detail}");
        assert_eq!(outcome.column("detail_type"), ["ECS New"]);
    }
}

#[test]
fn addresses_come_in_several_spellings() {
    let attachment = |name: &str| {
        format!(
            r#"{{"attachments":[{{}},1,{{"details":[3,{{"name":"x"}},{{"name":"{name}","value":"10.0.0.9"}}]}}]}}"#
        )
    };
    for (detail, expected) in [
        (attachment("privateIPv4Address"), "10.0.0.9"),
        (attachment("privateIpv4Address"), "10.0.0.9"),
        (attachment("privateIPv6Address"), "NULL"),
        (r#"{"containers":[{"networkInterfaces":[]},{"networkInterfaces":[{"privateIpv4Address":"10.0.0.8"}]}]}"#.to_owned(), "10.0.0.8"),
        (r#"{"containers":[{"networkInterfaces":[{"privateIPv4Address":"10.0.0.8"}]}]}"#.to_owned(), "10.0.0.8"),
        (r#"{"attachments":{},"containers":[{"networkInterfaces":1}]}"#.to_owned(), "NULL"),
        (r#"{"attachments":[{"details":{"name":"privateIPv4Address","value":"x"}}]}"#.to_owned(), "NULL"),
    ] {
        assert_eq!(read(&EcsEvents, &event("", &detail)).column("private_ip"), [expected], "{detail}");
    }
}

#[test]
fn unknown_members_are_kept_and_first_ones_count() {
    let text = r#"{"version":"1","detail-type":"ECS New","detail-type":"B","source":"aws.ecs","time":"2025-11-20T07:00:00Z","replay-name":"r","detail":{"lastStatus":"A","lastStatus":"B","new":[1],"version":"x"},"detail":{"desiredStatus":"C"}}"#;
    assert_eq!(
        read(&EcsEvents, text).cells(0),
        [
            r#"detail={"lastStatus":"A","lastStatus":"B","new":[1],"version":"x"}"#,
            "detail_type=ECS New",
            "event_time=2025-11-20T07:00:00Z",
            r#"extra={"version":"1","detail-type":"B","replay-name":"r","detail":{"desiredStatus":"C"}}"#,
            "last_status=A",
            "source=aws.ecs",
        ]
    );
}

#[test]
fn other_events_are_rejects_and_other_files_refused() {
    let other = |kind: &str, source: &str, detail: &str| {
        format!(
            r#"{{"detail-type":"{kind}","source":"{source}","time":"2025-11-20T07:00:00Z","detail":{detail}}}"#
        )
    };
    for (text, expected) in [
        (
            other("EC2 Instance State-change Notification", "aws.ec2", "{}"),
            r#"EventBridge event "EC2 Instance State-change Notification" of "aws.ec2", not an ECS event"#,
        ),
        (
            other("AWS API Call via CloudTrail", "aws.ecs", "{}"),
            "an API call that CloudTrail recorded: read it as cloudtrail",
        ),
        (
            other("ECS New", "aws.ecs", "[]"),
            "the detail of this ECS event is an array",
        ),
        (
            other("ECS New", "aws.ecs", "null"),
            "this ECS event has no detail",
        ),
        (
            r#"{"detail-type":"ECS New","source":"aws.ecs","time":"today","detail":{}}"#.to_owned(),
            r#"time "today" is not a time"#,
        ),
    ] {
        for text in [
            text.clone(),
            format!("{text}\n{TASK}"),
            format!("[{text},{TASK}]"),
            subscription(&[&text]),
        ] {
            assert_eq!(read(&EcsEvents, &text).reasons(), [expected], "{text}");
        }
    }
    let untimed = r#"{"detail-type":"ECS New","source":"aws.ecs","detail":{}}"#;
    assert_eq!(read(&EcsEvents, untimed).reasons(), ["time is missing"]);
    assert_eq!(
        read(&EcsEvents, &subscription(&[untimed])).column("event_time"),
        ["2023-11-14T22:13:20Z"]
    );
    for (text, expected) in [
        (
            r#"{"source":["aws.ecs"],"detail-type":["ECS Service Action"]}"#,
            "an event pattern of EventBridge, not an ECS event",
        ),
        (
            r#"{"containerDefinitions":[],"family":"web"}"#,
            "an ECS task definition, not an ECS event",
        ),
        (
            r#"{"tasks":[],"failures":[]}"#,
            r#"not an ECS event: it has the keys "tasks", "failures""#,
        ),
        (
            r#"{"Records":[{"eventSource":"aws:s3"}]}"#,
            "a notification of AWS about other data, not an ECS event",
        ),
        (
            "hello\n",
            r#"not JSON with an ECS event in it: it begins with "hello""#,
        ),
    ] {
        assert_eq!(refusal(&EcsEvents, text), expected, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn neither_blocks_nor_projection_make_a_difference(
        stream in any_stream(RECORDS),
        sizes in prop::collection::vec(1usize..300, 1..4),
        batch_rows in 1usize..4,
        columns in prop::sample::subsequence(column_names(&EcsEvents), 0..6),
    ) {
        check_stream(&EcsEvents, &stream, &sizes, batch_rows, &columns);
    }
}
