//! What the ledger makes of logs: tiny ones, read by the formats' own parsers.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::formats::{Setup, format_named};
use crate::reader::{Limits, read_all};

const TASK_A: &str = "0f9de17a6465404e8b1b2356dc13c2f8";
const TASK_B: &str = "1f9de17a6465404e8b1b2356dc13c2f8";
const TASK_C: &str = "2f9de17a6465404e8b1b2356dc13c2f8";
const INSTANCE: &str = "i-0123456789abcdef0";

fn read(table: &str, text: &str) -> RecordBatch {
    let format = format_named(table).unwrap();
    let parser = format.parser(Setup::whole(format, "log")).unwrap();
    let (mut batches, tally) = read_all(parser, Limits::default(), text.as_bytes().to_vec()).unwrap();
    assert_eq!((tally.rejected, batches.len()), (0, 1), "{text}");
    batches.remove(0)
}

/// Microseconds of a time on 20 November 2025.
fn at(time: &str) -> i64 {
    ecs::time_of(&format!("2025-11-20T{time}Z")).unwrap()
}

/// A day's time as logs write it.
fn iso(time: &str) -> String {
    format!("2025-11-20T{time}Z")
}

/// A state change of a task: (task, interface, address), when, when created and stopped.
fn task_event(
    task: &str,
    net: Option<(&str, &str)>,
    time: &str,
    created: &str,
    stopped: Option<&str>,
) -> serde_json::Value {
    let details: Vec<_> = net
        .iter()
        .flat_map(|(eni, address)| {
            [
                json!({"name": "subnetId", "value": "subnet-1"}),
                json!({"name": "networkInterfaceId", "value": eni}),
                json!({"name": "privateIPv4Address", "value": address}),
            ]
        })
        .collect();
    let service = if task == TASK_B { "pay" } else { "web" };
    let status = if stopped.is_some() { "STOPPED" } else { "RUNNING" };
    let mut detail = json!({
        "attachments": [{"id": "b", "type": "eni", "status": "ATTACHED", "details": details}],
        "clusterArn": "arn:aws:ecs:eu-west-1:111122223333:cluster/prod",
        "containers": [{"name": "app", "image": format!("{service}:3"), "imageDigest": "sha256:1"}, {"name": "aws-gd-agent"}],
        "createdAt": iso(created), "group": format!("service:{service}"), "launchType": "FARGATE", "lastStatus": status,
        "taskArn": format!("arn:aws:ecs:eu-west-1:111122223333:task/prod/{task}"),
        "taskDefinitionArn": format!("arn:aws:ecs:eu-west-1:111122223333:task-definition/{service}:7"),
    });
    if let Some(stopped) = stopped {
        detail["stoppedAt"] = json!(iso(stopped));
    }
    if net.is_none() {
        detail["launchType"] = json!("EC2");
        detail["containerInstanceArn"] =
            json!("arn:aws:ecs:eu-west-1:111122223333:container-instance/prod/c1");
    }
    event(time, detail)
}

fn event(time: &str, detail: serde_json::Value) -> serde_json::Value {
    json!({"version": "0", "id": format!("{time}{detail}"), "detail-type": "ECS Task State Change", "source": "aws.ecs",
        "account": "111122223333", "time": iso(time), "region": "eu-west-1", "resources": [], "detail": detail})
}

fn events(events: &[serde_json::Value]) -> RecordBatch {
    let lines: Vec<String> = events.iter().map(|event| event.to_string()).collect();
    read("ecs_events", &lines.join("\n"))
}

fn api(
    time: &str,
    name: &str,
    identity: serde_json::Value,
    request: serde_json::Value,
    answer: serde_json::Value,
) -> serde_json::Value {
    json!({"eventVersion": "1.11", "eventID": format!("{time}{name}"), "eventTime": iso(time), "eventName": name,
        "eventSource": "ec2.amazonaws.com", "awsRegion": "eu-west-1", "recipientAccountId": "111122223333",
        "sourceIPAddress": "10.0.0.9", "userIdentity": identity, "requestParameters": request, "responseElements": answer})
}

fn calls(records: &[serde_json::Value]) -> RecordBatch {
    read("cloudtrail", &json!({ "Records": records }).to_string())
}

const HEADER: &str = "interface-id srcaddr dstaddr start end vpc-id subnet-id flow-direction instance-id ecs-task-id ecs-service-name\n";

/// Flow records: interface, source, destination, time, direction.
fn flows(records: &[(&str, &str, &str, &str, &str)]) -> RecordBatch {
    let lines: Vec<String> = records
        .iter()
        .map(|(eni, source, target, time, direction)| {
            let start = at(time) / 1_000_000;
            format!(
                "{eni} {source} {target} {start} {} vpc-1 subnet-1 {direction} - - -",
                start + 50
            )
        })
        .collect();
    read("vpc_flow", &format!("{HEADER}{}", lines.join("\n")))
}

fn ledger(batches: &[(&str, RecordBatch)]) -> Ledger {
    let mut claims = Claims::default();
    for (table, batch) in batches {
        claims.see(table, batch);
    }
    Ledger::build(&claims, [])
}

/// Task or instance or kind, certainty, method.
fn who(ledger: &Ledger, answer: Answer) -> String {
    let entity = ledger.entity(answer.entity);
    let name = entity
        .task_id
        .as_deref()
        .or(entity.instance_id.as_deref())
        .or(entity.service.as_deref());
    let name = name.or(entity.kind.map(Kind::name)).unwrap_or("nobody");
    format!("{name} {} {}", answer.certainty.name(), answer.method.name())
}

fn address(ledger: &Ledger, address: &str, time: &str) -> String {
    who(
        ledger,
        ledger.address_at(address.parse().unwrap(), Some("vpc-1"), at(time)),
    )
}

/// One address, first task A's, then task B's, whose stop was never told.
fn reused() -> Vec<(&'static str, RecordBatch)> {
    let (a, b) = (Some(("eni-a", "10.0.0.9")), Some(("eni-b", "10.0.0.9")));
    vec![
        (
            "ecs_events",
            events(&[
                task_event(TASK_A, a, "10:01:00", "10:00:00", None),
                task_event(TASK_A, a, "11:00:10", "10:00:00", Some("11:00:00")),
                task_event(TASK_B, b, "12:01:00", "12:00:00", None),
            ]),
        ),
        (
            "vpc_flow",
            flows(&[("eni-b", "10.0.0.9", "10.0.0.77", "13:00:00", "egress")]),
        ),
    ]
}

#[test]
fn an_address_is_whose_it_was_then() {
    let ledger = ledger(&reused());
    let answers = [
        "09:40:00", "09:55:00", "10:30:00", "11:05:00", "11:30:00", "12:30:00", "13:30:00",
    ];
    let answers = answers.map(|time| address(&ledger, "10.0.0.9", time));
    let expected = [
        "private unknown not_named".to_owned(),
        format!("{TASK_A} likely edge"),
        format!("{TASK_A} certain address"),
        format!("{TASK_A} likely edge"),
        "private unknown not_named".to_owned(),
        format!("{TASK_B} certain address"),
        format!("{TASK_B} likely not_seen_then"),
    ];
    assert_eq!(answers, expected);
    let entity = ledger.entity(ledger.task(TASK_A, at("10:30:00")).entity).clone();
    let texts = entity.texts().map(|text| text.unwrap_or("NULL"));
    assert_eq!(
        texts,
        [TASK_A, "web", "prod", "web:7", "web:3", "NULL", "NULL", "task"]
    );
    assert_eq!(
        who(&ledger, ledger.task(TASK_A, at("20:00:00"))),
        format!("{TASK_A} likely task_outside_life")
    );
    assert_eq!(
        who(&ledger, ledger.task("x", 0)),
        "nobody unknown task_not_in_logs"
    );
}

#[test]
fn another_vpc_with_the_same_addresses_does_not_answer() {
    let other = "interface-id srcaddr dstaddr start end vpc-id flow-direction ecs-task-id\n";
    let (start, end) = (at("10:20:00") / 1_000_000, at("10:50:00") / 1_000_000);
    let other = format!("{other}eni-z 10.0.0.9 10.0.0.1 {start} {end} vpc-2 egress {TASK_C}\n");
    let mut logs = reused();
    logs.push(("vpc_flow", read("vpc_flow", &other)));
    let ledger = ledger(&logs);
    let here = ledger.address_at("10.0.0.9".parse().unwrap(), Some("vpc-2"), at("10:30:00"));
    assert_eq!(who(&ledger, here), format!("{TASK_C} certain address"));
    assert_eq!(
        address(&ledger, "10.0.0.9", "10:30:00"),
        format!("{TASK_A} certain address")
    );
    let unknown = ledger.address_at("10.0.0.9".parse().unwrap(), None, at("10:30:00"));
    assert_eq!(unknown.certainty, Certainty::Ambiguous);
}

#[test]
fn sides_of_a_flow_record() {
    let mut logs = reused();
    logs.push((
        "vpc_flow",
        flows(&[("eni-c", "10.0.0.50", "10.0.0.9", "10:30:00", "egress")]),
    ));
    let ledger = ledger(&logs);
    // Source, destination, direction, task, the source's range.
    let sides = |fields: [&str; 5]| {
        let [source, target, direction, task, range] = fields;
        let start = at("10:30:00") / 1_000_000;
        let line = format!(
            "eni-a {source} {target} {start} {} {direction} {task} {range}",
            start + 60
        );
        let header = "interface-id srcaddr dstaddr start end flow-direction ecs-task-id pkt-src-aws-service";
        let batch = read("vpc_flow", &format!("{header}\n{line}\n"));
        let sides = sides(&ledger, &mut Recall::default(), &batch)[0];
        [sides.source, sides.target].map(|side| side.map_or(String::new(), |side| who(&ledger, side)))
    };
    let expected = [
        "interface unknown owner_not_in_logs".to_owned(),
        format!("{TASK_A} certain interface"),
    ];
    assert_eq!(
        sides(["10.0.0.50", "10.0.0.9", "-", "-", "-"]),
        expected,
        "which side is the interface's own follows from its address"
    );
    // The record's own fields win, and count for the interface's side only.
    let [source, target] = sides(["52.1.2.3", "10.0.0.9", "ingress", TASK_B, "EC2"]);
    assert_eq!(target, format!("{TASK_B} certain ecs_fields"));
    assert_eq!(source, "public unknown not_named", "EC2 is any customer");
    let [source, _] = sides(["52.1.2.3", "10.0.0.9", "ingress", TASK_B, "S3"]);
    assert_eq!(source, "aws_service likely aws_range");
    assert_eq!(sides(["-", "-", "ingress", TASK_B, "S3"]), ["", ""]);
}

#[test]
fn flow_records_without_direction_tell_an_address_together() {
    let one = flows(&[("eni-q", "10.0.0.1", "10.0.0.2", "10:00:00", "-")]);
    let two = flows(&[("eni-q", "10.0.0.3", "10.0.0.2", "10:10:00", "-")]);
    assert!(!ledger(&[("vpc_flow", one.clone())]).is_own_address("10.0.0.2".parse().unwrap()));
    let both = ledger(&[("vpc_flow", one), ("vpc_flow", two)]);
    let own =
        ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|address| both.is_own_address(address.parse().unwrap()));
    assert_eq!(own, [false, true, false]);
}

#[test]
fn a_task_seen_only_in_flow_records_and_a_dual_stack_one() {
    let start = at("10:00:00") / 1_000_000;
    let line = |source: &str| {
        format!(
            "eni-f {source} 2001:db8::1 {start} {} vpc-1 subnet-1 egress {INSTANCE} {TASK_A} web\n",
            start + 60
        )
    };
    let text = format!("{HEADER}{}{}", line("10.0.0.8"), line("2001:DB8:0::8"));
    let ledger = ledger(&[("vpc_flow", read("vpc_flow", &text))]);
    for own in ["10.0.0.8", "2001:db8::8"] {
        assert_eq!(
            address(&ledger, own, "10:00:30"),
            format!("{TASK_A} certain address")
        );
    }
    let answer = ledger.interface_at("eni-f", at("10:00:00")).unwrap();
    assert_eq!(ledger.entity(answer.entity).service.as_deref(), Some("web"));
}

#[test]
fn tasks_that_share_an_interface_are_ambiguous() {
    let instance = json!({"containerInstanceArn": "arn:aws:ecs:eu-west-1:111122223333:container-instance/prod/c1",
        "ec2InstanceId": INSTANCE, "status": "ACTIVE", "agentConnected": true});
    let start = at("10:30:00") / 1_000_000;
    let flow =
        format!("{HEADER}eni-h 10.0.1.5 10.0.0.2 {start} {start} vpc-1 subnet-1 egress {INSTANCE} - -\n");
    let ledger = ledger(&[
        (
            "ecs_events",
            events(&[
                task_event(TASK_A, None, "11:00:00", "10:00:00", Some("11:00:00")),
                event("09:00:00", instance),
            ]),
        ),
        ("vpc_flow", read("vpc_flow", &flow)),
    ]);
    let at_noon = |time| who(&ledger, ledger.interface_at("eni-h", at(time)).unwrap());
    assert_eq!(
        at_noon("10:30:00"),
        format!("{INSTANCE} ambiguous shared_interface")
    );
    assert_eq!(at_noon("11:30:00"), format!("{INSTANCE} certain interface"));
    let entity = ledger.entity(ledger.interface_at("eni-h", at("10:30:00")).unwrap().entity);
    assert_eq!((entity.kind, &entity.task_id), (Some(Kind::Shared), &None));
}

#[test]
fn overlapping_claims_tell_what_they_share() {
    let net = Some(("eni-1", "10.0.0.9"));
    let other = Some(("eni-2", "10.0.0.9"));
    let both = [
        task_event(TASK_A, net, "10:01:00", "10:00:00", Some("11:00:00")),
        task_event(TASK_C, other, "10:01:00", "10:00:00", Some("11:00:00")),
    ];
    let found = ledger(&[("ecs_events", events(&both))]);
    assert_eq!(
        address(&found, "10.0.0.9", "10:30:00"),
        "web ambiguous several_holders"
    );
    let different = [
        both[0].clone(),
        task_event(TASK_B, other, "10:01:00", "10:00:00", Some("11:00:00")),
    ];
    let found = ledger(&[("ecs_events", events(&different))]);
    assert_eq!(
        address(&found, "10.0.0.9", "10:30:00"),
        "interface ambiguous several_holders"
    );
}

fn session(role: &str, name: &str, key: &str, delivery: Option<&str>) -> serde_json::Value {
    let mut context = json!({"sessionIssuer": {"type": "Role", "arn": format!("arn:aws:iam::111122223333:role/{role}"),
        "accountId": "111122223333", "userName": role}, "attributes": {"creationDate": iso("10:10:00"), "mfaAuthenticated": "false"}});
    if let Some(delivery) = delivery {
        context["ec2RoleDelivery"] = json!(delivery);
    }
    json!({"type": "AssumedRole", "principalId": format!("AROA:{name}"), "accessKeyId": key, "accountId": "111122223333",
        "arn": format!("arn:aws:sts::111122223333:assumed-role/{role}/{name}"), "sessionContext": context})
}

fn assume(by: serde_json::Value, role: &str, name: &str, key: &str) -> serde_json::Value {
    api(
        "10:10:00",
        "AssumeRole",
        by,
        json!({"roleArn": format!("arn:aws:iam::111122223333:role/{role}"), "roleSessionName": name}),
        json!({"credentials": {"accessKeyId": key, "expiration": "Nov 20, 2025, 4:10:00 PM"}}),
    )
}

#[test]
fn a_session_is_not_whose_name_it_bears() {
    let ecs = json!({"type": "AWSService", "invokedBy": "ecs-tasks.amazonaws.com"});
    let person =
        json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/eve", "accountId": "111122223333"});
    let used = |role: &str, name: &str, key: &str, delivery| {
        api(
            "10:20:00",
            "GetObject",
            session(role, name, key, delivery),
            json!(null),
            json!(null),
        )
    };
    let definition = api(
        "09:00:00",
        "RegisterTaskDefinition",
        person.clone(),
        json!({}),
        json!({"taskDefinition": {"taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7",
            "taskRoleArn": "arn:aws:iam::111122223333:role/web"}}),
    );
    let mut logs = reused();
    logs.push((
        "cloudtrail",
        calls(&[
            definition,
            assume(ecs, "web", TASK_A, "ASIA1"),
            used("web", TASK_A, "ASIA1", None),
            used("web", TASK_A, "ASIA2", None),
            used("admin", TASK_A, "ASIA3", None),
            assume(person, "web", TASK_A, "ASIA4"),
            used("web", TASK_A, "ASIA4", None),
            used("host", INSTANCE, "ASIA5", Some("2.0")),
            used("host", INSTANCE, "ASIA6", None),
            used("host", "alice", "ASIA7", None),
            used("pay", TASK_B, "ASIA8", None),
        ]),
    ));
    let ledger = ledger(&logs);
    let answers: Vec<String> = (1..=8)
        .map(|key| {
            who(
                &ledger,
                ledger
                    .session(Some(&format!("ASIA{key}")), None, None, None)
                    .unwrap(),
            )
        })
        .collect();
    let expected = [
        format!("{TASK_A} certain issued_by_ecs"),
        format!("{TASK_A} likely role_and_name"),
        "nobody unknown role_differs".to_owned(),
        "nobody unknown opened_by_another".to_owned(),
        format!("{INSTANCE} certain ec2_role_delivery"),
        "nobody unknown name_alone".to_owned(),
        "nobody unknown no_workload".to_owned(),
        "nobody unknown name_alone".to_owned(),
    ];
    assert_eq!(answers, expected);
    let table = ledger.role_sessions();
    let expiries = table["valid_to"].as_primitive::<TimestampMicrosecondType>();
    assert!(expiries.iter().flatten().all(|expiry| expiry == at("16:10:00")));
    let role = ledger.entity(ledger.task(TASK_A, 0).entity).role.clone();
    assert_eq!(role.as_deref(), Some("arn:aws:iam::111122223333:role/web"));
}

#[test]
fn an_address_that_was_taken_away_ends_and_its_interface_does_not() {
    let admin = json!({"type": "IAMUser", "accountId": "111122223333"});
    let call = |time, name, request, answer| api(time, name, admin.clone(), request, answer);
    let eni = "eni-a";
    let records = [
        call(
            "08:00:00",
            "CreateNetworkInterface",
            json!({}),
            json!({"networkInterface": {"networkInterfaceId": eni, "privateIpAddress": "10.0.0.1", "vpcId": "vpc-1"}}),
        ),
        call(
            "09:00:00",
            "AssignPrivateIpAddresses",
            json!({"networkInterfaceId": eni}),
            json!({"networkInterfaceId": eni, "assignedPrivateIpAddressesSet":
                {"assignedPrivateIpAddressSetType": [], "items": [{"privateIpAddress": "10.0.0.2"}]}}),
        ),
        call(
            "09:00:00",
            "AssignIpv6Addresses",
            json!({"AssignIpv6AddressesRequest": {"NetworkInterfaceId": eni, "Ipv6Addresses": [
                {"tag": 1, "content": "2001:db8::1"}, {"tag": 2, "content": "2001:db8::2"}]}}),
            json!({"AssignIpv6AddressesResponse": {"networkInterfaceId": eni,
                "assignedIpv6Addresses": {"item": ["2001:db8::1", "2001:db8::2", "2001:db8::3"]}}}),
        ),
        call(
            "12:00:00",
            "UnassignPrivateIpAddresses",
            json!({"networkInterfaceId": eni, "privateIpAddressesSet": {"items": [{"privateIpAddress": "10.0.0.2"}]}}),
            json!({"_return": true}),
        ),
        call(
            "12:00:00",
            "UnassignIpv6Addresses",
            json!({"UnassignIpv6AddressesRequest":
                {"NetworkInterfaceId": eni, "Ipv6Addresses": {"tag": 1, "content": "2001:db8::1"}}}),
            json!(null),
        ),
        call(
            "12:00:00",
            "UnassignIpv6Addresses",
            json!(null),
            json!({"networkInterfaceId": eni, "unassignedIpv6Addresses": {"item": "2001:db8::2"}}),
        ),
        call(
            "16:00:00",
            "AttachNetworkInterface",
            json!({"networkInterfaceId": eni, "instanceId": INSTANCE}),
            json!({}),
        ),
    ];
    let found = ledger(&[("cloudtrail", calls(&records))]);
    let named = |address: &str, time| {
        let answer = found.address_at(address.parse().unwrap(), Some("vpc-1"), at(time));
        answer.method != Method::NotNamed
    };
    let addresses = [
        "10.0.0.1",
        "10.0.0.2",
        "2001:db8::1",
        "2001:db8::2",
        "2001:db8::3",
    ];
    assert_eq!(addresses.map(|address| named(address, "11:30:00")), [true; 5]);
    let later = addresses.map(|address| named(address, "15:00:00"));
    assert_eq!(later, [true, false, false, false, true]);
}

#[test]
fn gateways_endpoints_and_public_addresses_by_their_calls() {
    let admin =
        json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/a", "accountId": "111122223333"});
    let interface = |id: &str, address: &str| json!({"networkInterfaceId": id, "privateIpAddress": address, "subnetId": "subnet-1", "vpcId": "vpc-1"});
    let records = [
        api(
            "08:00:00",
            "AllocateAddress",
            admin.clone(),
            json!({}),
            json!({"publicIp": "52.0.0.1", "allocationId": "eipalloc-1"}),
        ),
        api(
            "08:00:00",
            "AllocateAddress",
            admin.clone(),
            json!({}),
            json!({"publicIp": "52.0.0.2", "allocationId": "eipalloc-2"}),
        ),
        api(
            "18:00:00",
            "ReleaseAddress",
            admin.clone(),
            json!({"allocationId": "eipalloc-2"}),
            json!({}),
        ),
        api(
            "08:01:00",
            "CreateNatGateway",
            admin.clone(),
            json!({}),
            json!({"CreateNatGatewayResponse": {"natGateway":
            {"natGatewayId": "nat-1", "vpcId": "vpc-1", "subnetId": "subnet-1", "natGatewayAddressSet": {"item":
                {"allocationId": "eipalloc-1", "networkInterfaceId": "eni-n", "privateIp": "10.0.0.200"}}}}}),
        ),
        api(
            "08:02:00",
            "CreateVpcEndpoint",
            admin.clone(),
            json!({}),
            json!({"CreateVpcEndpointResponse": {"vpcEndpoint":
            {"vpcEndpointId": "vpce-1", "vpcId": "vpc-1", "networkInterfaceIdSet": {"item": [{"content": "eni-e"}]}}}}),
        ),
        api(
            "08:03:00",
            "CreateNetworkInterface",
            admin.clone(),
            json!({}),
            json!({"networkInterface": interface("eni-e", "10.0.0.201")}),
        ),
        api(
            "08:04:00",
            "RunInstances",
            admin.clone(),
            json!({}),
            json!({"instancesSet": {"items": [{"instanceId": INSTANCE,
            "networkInterfaceSet": {"items": [interface("eni-i", "10.0.0.202")]}}]}}),
        ),
        api(
            "20:00:00",
            "DeleteNetworkInterface",
            admin.clone(),
            json!({"networkInterfaceId": "eni-i"}),
            json!({"_return": true}),
        ),
        json!({"eventVersion": "1.11", "eventID": "failed", "eventTime": iso("08:05:00"), "eventName": "CreateNetworkInterface",
            "errorCode": "Client.UnauthorizedOperation", "responseElements": {"networkInterface": interface("eni-x", "10.0.0.203")}}),
    ];
    let found = ledger(&[("cloudtrail", calls(&records))]);
    let source = |address: &str, time: &str| found.call_source(Some(address), None, at(time)).0;
    let answers = [
        source("52.0.0.1", "12:00:00"),
        source("52.0.0.2", "12:00:00"),
        source("52.0.0.2", "19:00:00"),
        source("10.0.0.201", "12:00:00"),
        source("10.0.0.202", "12:00:00"),
        source("10.0.0.203", "12:00:00"),
        source("ecs.amazonaws.com", "12:00:00"),
        found
            .call_source(Some("10.9.9.9"), Some("vpce-9"), at("12:00:00"))
            .0,
        found.call_source(None, None, 0).0,
    ];
    assert_eq!(
        answers,
        [
            "nat",
            "own",
            "foreign",
            "endpoint",
            "own",
            "unknown",
            "aws_service",
            "endpoint",
            "unknown"
        ]
    );
    let gone = ["19:59:00", "20:20:00"].map(|time| address(&found, "10.0.0.202", time));
    assert_eq!(
        gone,
        [
            format!("{INSTANCE} certain address"),
            "private unknown not_named".to_owned()
        ]
    );
    let own = found.own_addresses();
    let addresses: Vec<_> = own["address"].as_string_view().iter().flatten().collect();
    assert_eq!(addresses.len(), 5, "{addresses:?}");
}

#[test]
fn an_inventory_is_another_source() {
    let column = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let inventory = RecordBatch::try_from_iter([
        ("address", column(["10.0.7.7", "52.9.9.9"])),
        ("interface_id", column(["eni-7", ""])),
        ("vpc_id", column(["vpc-1", ""])),
        (
            "task_id",
            column([&format!("arn:aws:ecs:eu-west-1:1:task/prod/{TASK_A}"), ""]),
        ),
        ("service", column(["web", ""])),
        ("resource_id", column(["", "nat-3"])),
        ("valid_to", column(["2025-11-20T12:00:00Z", ""])),
        ("unheard_of", column(["", ""])),
    ])
    .unwrap();
    let found = ledger(&[("inventory", inventory)]);
    assert_eq!(
        address(&found, "10.0.7.7", "11:00:00"),
        format!("{TASK_A} certain address")
    );
    assert_eq!(
        address(&found, "10.0.7.7", "12:11:00"),
        "private unknown not_named"
    );
    assert_eq!(found.call_source(Some("52.9.9.9"), None, at("11:00:00")).0, "nat");
}

#[test]
fn addresses_of_version_6_in_an_inventory_are_used_again_too() {
    let column = |values: [&str; 3]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let arn = |task: &str| format!("arn:aws:ecs:eu-west-1:1:task/prod/{task}");
    let inventory = RecordBatch::try_from_iter([
        (
            "address",
            column(["2600:1f18::7", "2600:1f18::7", "2600:1f18::9"]),
        ),
        ("interface_id", column(["eni-7", "eni-8", ""])),
        ("vpc_id", column(["vpc-1", "vpc-1", ""])),
        ("task_id", column([&arn(TASK_A), &arn(TASK_B), ""])),
        ("resource_id", column(["", "", "nat-6"])),
        (
            "valid_from",
            column(["2025-11-20T08:00:00Z", "2025-11-20T12:00:00Z", ""]),
        ),
        ("valid_to", column(["2025-11-20T11:00:00Z", "", ""])),
    ])
    .unwrap();
    let found = ledger(&[("inventory", inventory)]);
    let owners = ["10:00:00", "13:00:00"].map(|time| address(&found, "2600:1f18::7", time));
    assert_eq!(
        owners,
        [
            format!("{TASK_A} certain address"),
            format!("{TASK_B} certain address")
        ]
    );
    assert_eq!(
        found.call_source(Some("2600:1f18::9"), None, at("11:00:00")).0,
        "nat"
    );
}

#[test]
fn contradictions_of_one_family_leave_the_other_its_address() {
    let records = [
        ("eni-q", "10.0.0.1", "10.0.0.2", "10:00:00", "-"),
        ("eni-q", "10.0.0.3", "10.0.0.2", "10:10:00", "-"),
        ("eni-q", "2001:db8::1", "2001:db8::2", "10:00:00", "-"),
        ("eni-q", "2001:db8::3", "2001:db8::4", "10:10:00", "-"),
    ];
    let found = ledger(&[("vpc_flow", flows(&records))]);
    let own = ["10.0.0.2", "2001:db8::1", "2001:db8::4"]
        .map(|address| found.is_own_address(address.parse().unwrap()));
    assert_eq!(own, [true, false, false]);
}

/// Everything that a ledger says, for comparison.
fn everything(ledger: &Ledger) -> Vec<RecordBatch> {
    vec![
        ledger.task_history(),
        ledger.eni_history(),
        ledger.own_addresses(),
        ledger.role_sessions(),
    ]
}

fn any_record() -> impl Strategy<Value = (&'static str, String)> {
    let clock = (0u32..24, 0u32..60).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}:00"));
    let task = prop::sample::select(vec![TASK_A, TASK_B, TASK_C]);
    let eni = prop::sample::select(vec!["eni-1", "eni-2", "eni-3"]);
    let address = prop::sample::select(vec!["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1"]);
    let direction = prop::sample::select(vec!["-", "ingress", "egress"]);
    let net = prop::option::weighted(0.8, (eni.clone(), address.clone()));
    let event = (
        task.clone(),
        net,
        clock.clone(),
        clock.clone(),
        prop::option::of(clock.clone()),
    )
        .prop_map(|(task, net, time, created, stopped)| {
            (
                "ecs_events",
                task_event(task, net, &time, &created, stopped.as_deref()).to_string(),
            )
        });
    let flow = (
        eni.clone(),
        address.clone(),
        address.clone(),
        clock.clone(),
        direction,
        prop::option::of(task.clone()),
    )
        .prop_map(|(eni, source, target, time, direction, task)| {
            let start = at(&time) / 1_000_000;
            let task = task.unwrap_or("-");
            let line = format!(
                "{eni} {source} {target} {start} {} vpc-1 - {direction} {INSTANCE} {task} -",
                start + 60
            );
            ("vpc_flow", line)
        });
    let key = prop::sample::select(vec!["ASIA1", "ASIA2"]);
    let call = (clock.clone(), task, key, eni, address, 0..5).prop_map(|(time, task, key, eni, address, kind)| {
        let eve = json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/eve", "accountId": "111122223333"});
        let ecs = json!({"type": "AWSService", "invokedBy": "ecs-tasks.amazonaws.com"});
        let record = match kind {
            0 => api(&time, "GetObject", session("web", task, key, None), json!(null), json!(null)),
            1 => assume(ecs, "web", task, key),
            2 => assume(eve, "web", task, key),
            3 => api(&time, "DeleteNetworkInterface", eve, json!({"networkInterfaceId": eni}), json!({"_return": true})),
            _ => api(&time, "CreateNetworkInterface", eve, json!({}),
                json!({"networkInterface": {"networkInterfaceId": eni, "privateIpAddress": address, "vpcId": "vpc-1"}})),
        };
        ("cloudtrail", record.to_string())
    });
    prop_oneof![event, flow, call]
}

fn batch_of(table: &str, records: &[String]) -> RecordBatch {
    match table {
        "vpc_flow" => read(table, &format!("{HEADER}{}", records.join("\n"))),
        "cloudtrail" => read(table, &format!("{{\"Records\":[{}]}}", records.join(","))),
        _ => read(table, &records.join("\n")),
    }
}

/// The record's line in its object differs with how records are cut into objects:
/// here each record is an object of its own.
fn one_by_one(records: &[(&str, String)]) -> Vec<(&'static str, RecordBatch)> {
    let tables = ["ecs_events", "vpc_flow", "cloudtrail"];
    records
        .iter()
        .map(|(table, record)| {
            let table = tables.into_iter().find(|other| other == table).unwrap();
            (table, batch_of(table, std::slice::from_ref(record)))
        })
        .collect()
}

/// The sides of a batch's records.
fn sides(ledger: &Ledger, recall: &mut Recall, batch: &RecordBatch) -> Vec<Sides> {
    let text = |name: &str| batch.column_by_name(name);
    let columns = FlowColumns {
        time: batch["event_time"].as_primitive::<TimestampMicrosecondType>(),
        interface: text("interface_id"),
        source: text("srcaddr"),
        target: text("dstaddr"),
        direction: text("flow_direction"),
        vpc: text("vpc_id"),
        task: text("ecs_task_id"),
        source_range: text("pkt_src_aws_service"),
        target_range: text("pkt_dst_aws_service"),
    };
    let mut told = Vec::new();
    recall.sides(ledger, &columns, |sides| told.push(sides));
    told
}

/// A line of a flow log under [`ASKED`], of strangers too, in any network.
fn any_asked() -> impl Strategy<Value = String> {
    let eni = prop::sample::select(vec!["eni-1", "eni-2", "eni-9", "-"]);
    let address = prop::sample::select(vec![
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.77",
        "2001:db8::1",
        "203.0.113.9",
        "203.0.113.10",
        "-",
    ]);
    let vpc = prop::sample::select(vec!["vpc-1", "vpc-2", "-"]);
    let direction = prop::sample::select(vec!["-", "ingress", "egress"]);
    let task = prop::sample::select(vec!["-", "-", TASK_A, TASK_C]);
    let range = prop::sample::select(vec!["-", "EC2", "S3"]);
    let ends = (address.clone(), range.clone(), address, range);
    (eni, ends, vpc, direction, task, 0i64..1440).prop_map(|(eni, ends, vpc, direction, task, minute)| {
        let (source, source_range, target, target_range) = ends;
        let start = at("00:00:00") / 1_000_000 + 60 * minute;
        let end = start + 60;
        format!(
            "{eni} {source} {target} {start} {end} {vpc} {direction} {task} {source_range} {target_range}"
        )
    })
}

const ASKED: &str = "interface-id srcaddr dstaddr start end vpc-id flow-direction ecs-task-id pkt-src-aws-service \
                     pkt-dst-aws-service\n";

/// A batch whose texts are dictionaries.
fn with_dictionaries(batch: &RecordBatch) -> RecordBatch {
    let dictionary = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| match field.data_type() {
        DataType::Utf8View => (field.name(), cast(column, &dictionary).unwrap()),
        _ => (field.name(), Arc::clone(column)),
    });
    RecordBatch::try_from_iter(columns).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn texts_and_dictionaries_are_answered_like_each_record_alone(
        records in prop::collection::vec(any_record(), 1..14),
        asked in prop::collection::vec(any_asked(), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let ledger = ledger(&one_by_one(&records));
        let read = |lines: &[String]| read("vpc_flow", &format!("{ASKED}{}", lines.join("\n")));
        let alone: Vec<Sides> = asked
            .iter()
            .map(|line| sides(&ledger, &mut Recall::default(), &read(std::slice::from_ref(line)))[0])
            .collect();
        let texts = read(&asked);
        let mut recall = Recall::default();
        prop_assert_eq!(&sides(&ledger, &mut recall, &texts), &alone);
        // Two batches with the same dictionary, then texts again.
        let dictionaries = with_dictionaries(&texts);
        let cut = cut.index(asked.len());
        let parts = [dictionaries.slice(0, cut), dictionaries.slice(cut, asked.len() - cut)];
        for mut recall in [recall, Recall::default()] {
            let told: Vec<Sides> = parts.iter().flat_map(|part| sides(&ledger, &mut recall, part)).collect();
            prop_assert_eq!(&told, &alone);
            prop_assert_eq!(&sides(&ledger, &mut recall, &texts), &alone);
        }
    }

    /// What is remembered is what would be looked up, around every moment at which something changes too.
    #[test]
    fn remembered_answers_are_those_of_the_ledger(
        records in prop::collection::vec(any_record(), 1..14),
        asked in prop::collection::vec((any_record(), -700i64..700), 1..40),
    ) {
        let ledger = ledger(&one_by_one(&records));
        let mut recall = Recall::default();
        for (table, record) in asked.iter().map(|(record, _)| record).chain(&records) {
            if *table != "vpc_flow" {
                continue;
            }
            for shift in asked.iter().map(|(_, shift)| *shift).chain([0, 1, -1, 599, 600, 601, -599, -600, -601]) {
                let mut fields: Vec<String> = record.split(' ').map(str::to_owned).collect();
                for field in &mut fields[3..5] {
                    *field = (field.parse::<i64>().unwrap() + shift).to_string();
                }
                let batch = batch_of("vpc_flow", &[fields.join(" ")]);
                let looked_up = sides(&ledger, &mut Recall::default(), &batch);
                prop_assert_eq!(sides(&ledger, &mut recall, &batch), looked_up);
            }
        }
    }

    #[test]
    fn order_repetition_and_cuts_make_no_difference(
        records in prop::collection::vec(any_record(), 1..14),
        shuffled in any::<prop::sample::Index>().prop_flat_map(|_| Just(())).prop_perturb(|(), mut random| random.random::<u64>()),
    ) {
        let batches = one_by_one(&records);
        let whole = ledger(&batches);
        // Another order, some twice, in several collectors that are joined or written and read again.
        let mut order: Vec<usize> = (0..batches.len()).chain(0..batches.len() / 2).collect();
        let mut state = shuffled | 1;
        let mut next = || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; state as usize };
        for place in (1..order.len()).rev() {
            order.swap(place, next() % (place + 1));
        }
        let (mut joined, mut written) = (Claims::default(), Vec::new());
        let mut part = Claims::default();
        for place in order {
            let (table, batch) = &batches[place];
            part.see(table, batch);
            match next() % 4 {
                0 => joined.join(std::mem::take(&mut part)),
                1 => written.push(std::mem::take(&mut part).batch(1)),
                _ => {}
            }
        }
        joined.join(part);
        let other = Ledger::build(&joined, &written);
        prop_assert_eq!(everything(&other), everything(&whole));
        for hour in 0..24 {
            let time = at(&format!("{hour:02}:15:00"));
            for address in ["10.0.0.1", "10.0.0.2", "2001:db8::1"] {
                let address = address.parse().unwrap();
                let [one, two] = [&other, &whole].map(|ledger| who(ledger, ledger.address_at(address, Some("vpc-1"), time)));
                prop_assert_eq!(one, two);
            }
        }
    }
}
