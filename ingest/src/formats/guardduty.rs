//! GuardDuty findings: one row each time a finding was published, first or again.
//!
//! They come as lines of JSON (exports to S3), as EventBridge events with the
//! finding in `detail`, and as lists (`aws guardduty get-findings`), all told
//! apart by content. Exports and events begin keys with a small letter, the API
//! with a capital one; both give the same columns.

use crate::column::{Column, Kind};
use crate::formats::documents::{self, Class, Shape, Spec, Take, Value};
use crate::formats::{Format, OptionError, Parser, Setup, Timeline};
use crate::json;

use Kind::{Bool, Double, Int, Json, Long, Text, Time};

/// Paths as exports write them; [`both_cases`] adds those of the API.
#[rustfmt::skip]
const SPECS: &[Spec] = &[
    Spec::first("event_time", Time, &["updatedAt", "service.eventLastSeen"], "When this version of the finding was published. GuardDuty joins what happens again to the finding that is there."),
    Spec::at("finding_id", Text, "id", "Id of the finding, the same in all its versions."),
    Spec::at("arn", Text, "arn", "ARN of the finding, with its detector."),
    Spec::at("account_id", Text, "accountId", "Account in which it happened."),
    Spec::at("region", Text, "region", "Region in which it was found."),
    Spec::at("partition", Text, "partition", "`aws`, `aws-cn` or `aws-us-gov`."),
    Spec::at("type", Text, "type", "Kind of finding: `Purpose:Resource/Family.Mechanism!Artifact`. Those from flow logs do not see IPv6."),
    Spec::at("title", Text, "title", "The finding in a sentence."),
    Spec::at("description", Text, "description", "The finding in a few sentences."),
    Spec::at("severity", Double, "severity", "From 1.0 to 10.0."),
    Spec::made("severity_label", Text, &["severity", "Severity"], label, "`Low` below 4, `Medium` below 7, `High` below 9, else `Critical`.").one_of(&["Low", "Medium", "High", "Critical"]),
    Spec::at("created_at", Time, "createdAt", "When the first version was published."),
    Spec::at("updated_at", Time, "updatedAt", "When this version was published."),
    Spec::at("resource_type", Text, "resource.resourceType", "What is in danger, such as `Instance`, `AccessKey` or `ECSCluster`."),
    Spec::at("instance_id", Text, "resource.instanceDetails.instanceId", "EC2 instance in danger."),
    Spec::at("access_key_id", Text, "resource.accessKeyDetails.accessKeyId", "Access key that was used."),
    Spec::at("principal_id", Text, "resource.accessKeyDetails.principalId", "Unique id of the key's owner; `ROLE_ID:session` for sessions."),
    Spec::at("user_name", Text, "resource.accessKeyDetails.userName", "Name of the user or role that owns the key."),
    Spec::at("ecs_cluster_arn", Text, "resource.ecsClusterDetails.arn", "ECS cluster in danger."),
    Spec::at("ecs_task_arn", Text, "resource.ecsClusterDetails.taskDetails.arn", "ECS task in danger."),
    Spec::made("task_id", Text, &["resource.ecsClusterDetails.taskDetails.arn", "Resource.EcsClusterDetails.TaskDetails.Arn"], task_id, "Id of the ECS task, the last part of its ARN; joins with the other tables."),
    Spec::at("action_type", Text, "service.action.actionType", "Which of the actions below it was: `NETWORK_CONNECTION`, `AWS_API_CALL`, `DNS_REQUEST`, `PORT_PROBE` and others."),
    Spec::at("api", Text, "service.action.awsApiCallAction.api", "API that was called."),
    Spec::first("remote_ip", Text, REMOTE_IP, "Address at the other end: of the connection, the caller or the first prober."),
    Spec::at("remote_port", Int, "service.action.networkConnectionAction.remotePortDetails.port", "Port at the other end of the connection."),
    Spec::first("local_port", Int, &["service.action.networkConnectionAction.localPortDetails.port", "service.action.portProbeAction.portProbeDetails[0].localPortDetails.port"], "Port on the resource's side, or the first that was probed."),
    Spec::first("protocol", Text, &["service.action.networkConnectionAction.protocol", "service.action.dnsRequestAction.protocol"], "Protocol by name: `TCP`, `UDP`, `ICMP`."),
    Spec::at("direction", Text, "service.action.networkConnectionAction.connectionDirection", "`INBOUND`, `OUTBOUND` or `UNKNOWN`."),
    Spec::at("domain", Text, "service.action.dnsRequestAction.domain", "Name that was looked up."),
    Spec::first("blocked", Bool, &["service.action.networkConnectionAction.blocked", "service.action.portProbeAction.blocked", "service.action.dnsRequestAction.blocked"], "Whether a security group or network ACL stopped it."),
    Spec::at("count", Long, "service.count", "How many times it has been seen so far."),
    Spec::at("first_seen", Time, "service.eventFirstSeen", "When it was seen for the first time."),
    Spec::at("last_seen", Time, "service.eventLastSeen", "When it was seen for the last time."),
    Spec::at("archived", Bool, "service.archived", "Whether it was archived, by somebody or by a suppression rule."),
    Spec::made("sample", Bool, &["service.additionalInfo", "Service.AdditionalInfo"], sample, "Whether GuardDuty made it up, on request, as a sample."),
    Spec::at("resource", Json, "resource", "What is in danger, whole."),
    Spec::at("service", Json, "service", "What happened, whole: action, evidence, runtime details."),
    Spec::extra("All other members of the finding as one JSON object, as they were written."),
];

const REMOTE_IP: &[&str] = &[
    "service.action.networkConnectionAction.remoteIpDetails.ipAddressV4",
    "service.action.networkConnectionAction.remoteIpDetails.ipAddressV6",
    "service.action.awsApiCallAction.remoteIpDetails.ipAddressV4",
    "service.action.awsApiCallAction.remoteIpDetails.ipAddressV6",
    "service.action.portProbeAction.portProbeDetails[0].remoteIpDetails.ipAddressV4",
    "service.action.portProbeAction.portProbeDetails[0].remoteIpDetails.ipAddressV6",
    "service.action.kubernetesApiCallAction.remoteIpDetails.ipAddressV4",
    "service.action.kubernetesApiCallAction.remoteIpDetails.ipAddressV6",
    "service.action.rdsLoginAttemptAction.remoteIpDetails.ipAddressV4",
    "service.action.rdsLoginAttemptAction.remoteIpDetails.ipAddressV6",
];

const COLUMNS: [Column; SPECS.len()] = documents::columns(SPECS);

static SHAPE: Shape = Shape {
    noun: "a GuardDuty finding",
    specs: SPECS,
    class: |object| {
        let has_all = |keys: &[&str]| keys.iter().all(|key| object.has(key));
        if has_all(&["id", "type", "accountId", "severity"])
            || has_all(&["Id", "Type", "AccountId", "Severity"])
        {
            Class::Record
        } else if object.text("source").as_deref() == Some("aws.guardduty")
            && object.text("detail-type").as_deref() == Some("GuardDuty Finding")
        {
            Class::Inside("detail")
        } else {
            Class::Unknown
        }
    },
    marks: &["schemaVersion", "SchemaVersion", "detail-type"],
    lists: &["findings", "Findings", "events"],
    constants: &[("schemaVersion", "\"2.0\""), ("SchemaVersion", "\"2.0\"")],
};

/// GuardDuty findings.
#[derive(Debug, Clone, Copy)]
pub struct GuardDuty;

impl Format for GuardDuty {
    fn name(&self) -> &'static str {
        "guardduty"
    }

    fn about(&self) -> &'static str {
        "GuardDuty findings, from exports to S3, EventBridge and `aws guardduty get-findings`. One row for each time a \
         finding was published: what goes on gives new versions of one finding, every six hours unless configured \
         otherwise, so count `finding_id` and not rows. What GuardDuty finds in flow logs leaves out IPv6. Samples \
         are findings too: `sample` tells."
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn timeline(&self) -> Timeline {
        Timeline {
            who: "coalesce(user_name, task_id, instance_id, principal_id)",
            what: "\"type\"",
            place: "coalesce(ecs_task_arn, instance_id, access_key_id, resource_type)",
            from: "remote_ip",
        }
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        Ok(documents::parser_with_paths(&SHAPE, &setup, both_cases))
    }
}

/// The paths of a column, each also with keys that begin with a capital letter.
fn both_cases(column: &Column) -> Option<Vec<String>> {
    let spec = SPECS.iter().find(|spec| spec.column.name == column.name)?;
    let paths = match &spec.take {
        Take::Path(path) => std::slice::from_ref(path),
        Take::First(paths) => paths,
        // These name both themselves.
        Take::Made(..) | Take::Extra => return None,
    };
    Some(
        paths
            .iter()
            .flat_map(|&path| [path.to_owned(), capitalised(path)])
            .collect(),
    )
}

/// `service.eventLastSeen` as `Service.EventLastSeen`.
fn capitalised(path: &str) -> String {
    let mut begins = true;
    path.chars()
        .map(|char| {
            let changed = if begins { char.to_ascii_uppercase() } else { char };
            begins = char == '.';
            changed
        })
        .collect()
}

fn label<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    let raw = found.iter().flatten().next()?;
    let text = json::between_quotes(raw).unwrap_or(raw);
    let severity: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let label = match severity {
        0.0..4.0 => "Low",
        4.0..7.0 => "Medium",
        7.0..9.0 => "High",
        9.0.. => "Critical",
        _ => return None,
    };
    Some(Value::Text(label.into()))
}

fn task_id<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    let arn = json::string(found.iter().flatten().next()?)?;
    let id = arn.rsplit('/').next().filter(|id| !id.is_empty())?;
    Some(Value::Text(id.to_owned().into()))
}

/// Exports have `{"sample":true}`, the API has that as a string in `Value`.
fn sample<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    let info = found.iter().flatten().next()?;
    let says = |object: &[u8]| {
        let value = json::member(object, json::skip_space(object, 0), b"sample")?;
        json::boolean(&object[value])
    };
    let within = |key| json::string(&info[json::member(info, 0, key)?]);
    let inner = || within(b"value").or_else(|| within(b"Value"));
    let is_sample = says(info).or_else(|| says(inner()?.as_bytes()));
    Some(Value::Bool(is_sample.unwrap_or(false)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::documents::testing::{
        any_stream, check_documents, check_stream, column_names, printed, read, refusal,
    };
    use proptest::prelude::*;

    const NETWORK: &str = r#"{"schemaVersion":"2.0","accountId":"111122223333","region":"eu-west-1","partition":"aws","id":"f1","arn":"arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/f1","type":"UnauthorizedAccess:EC2/SSHBruteForce","resource":{"resourceType":"Instance","instanceDetails":{"instanceId":"i-0abc"}},"service":{"serviceName":"guardduty","action":{"actionType":"NETWORK_CONNECTION","networkConnectionAction":{"connectionDirection":"INBOUND","protocol":"TCP","localPortDetails":{"port":22,"portName":"SSH"},"remotePortDetails":{"port":46717},"remoteIpDetails":{"ipAddressV4":"198.51.100.7"},"blocked":false}},"resourceRole":"TARGET","count":74,"eventFirstSeen":"2025-11-20T06:00:00Z","eventLastSeen":"2025-11-20T07:00:00.000Z","archived":false,"additionalInfo":{"sample":true}},"severity":2.0,"createdAt":"2025-11-20T06:05:00.123Z","updatedAt":"2025-11-20T07:05:00.456Z","title":"[SAMPLE] SSH","description":"d","confidence":3}"#;
    const API_CALL: &str = r#"{"schemaVersion":"2.0","accountId":"111122223333","region":"eu-west-1","id":"f2","type":"Persistence:IAMUser/AnomalousBehavior","resource":{"resourceType":"AccessKey","accessKeyDetails":{"accessKeyId":"ASIAEXAMPLE","principalId":"AROAEXAMPLE:s","userName":"deploy","userType":"AssumedRole"}},"service":{"action":{"actionType":"AWS_API_CALL","awsApiCallAction":{"api":"CreateUser","serviceName":"iam.amazonaws.com","remoteIpDetails":{"ipAddressV4":"203.0.113.9"}}},"count":1,"eventLastSeen":"2025-11-20T08:00:00Z","additionalInfo":{}},"severity":9,"title":"t"}"#;
    const RUNTIME: &str = r#"{"schemaVersion":"2.0","accountId":"111122223333","region":"eu-west-1","id":"f3","type":"Execution:Runtime/ReverseShell","resource":{"resourceType":"ECSCluster","ecsClusterDetails":{"name":"prod","arn":"arn:aws:ecs:eu-west-1:111122223333:cluster/prod","taskDetails":{"arn":"arn:aws:ecs:eu-west-1:111122223333:task/prod/0123456789abcdef0123456789abcdef"}}},"service":{"action":{"actionType":"DNS_REQUEST","dnsRequestAction":{"domain":"c2.example.com","protocol":"UDP","blocked":true}},"runtimeDetails":{"process":{"name":"bash"}}},"severity":8.0,"updatedAt":"2025-11-20T09:00:00Z"}"#;
    const RECORDS: &[&str] = &[NETWORK, API_CALL, RUNTIME];

    /// The same finding, as the API gives it.
    fn of_api(text: &str) -> String {
        fn capitalise(value: serde_json::Value) -> serde_json::Value {
            match value {
                serde_json::Value::Object(members) => members
                    .into_iter()
                    .map(|(key, value)| (capitalised(&key), capitalise(value)))
                    .collect(),
                other => other,
            }
        }
        capitalise(serde_json::from_str(text).unwrap()).to_string()
    }

    #[test]
    fn findings_fill_the_columns() {
        let outcome = read(&GuardDuty, &RECORDS.join("\n"));
        assert_eq!(outcome.rejects, []);
        for (column, expected) in [
            (
                "event_time",
                [
                    "2025-11-20T07:05:00.456Z",
                    "2025-11-20T08:00:00Z",
                    "2025-11-20T09:00:00Z",
                ],
            ),
            (
                "type",
                [
                    "UnauthorizedAccess:EC2/SSHBruteForce",
                    "Persistence:IAMUser/AnomalousBehavior",
                    "Execution:Runtime/ReverseShell",
                ],
            ),
            ("severity", ["2.0", "9.0", "8.0"]),
            ("severity_label", ["Low", "Critical", "High"]),
            ("resource_type", ["Instance", "AccessKey", "ECSCluster"]),
            ("instance_id", ["i-0abc", "NULL", "NULL"]),
            ("access_key_id", ["NULL", "ASIAEXAMPLE", "NULL"]),
            ("principal_id", ["NULL", "AROAEXAMPLE:s", "NULL"]),
            ("user_name", ["NULL", "deploy", "NULL"]),
            (
                "ecs_cluster_arn",
                ["NULL", "NULL", "arn:aws:ecs:eu-west-1:111122223333:cluster/prod"],
            ),
            ("task_id", ["NULL", "NULL", "0123456789abcdef0123456789abcdef"]),
            (
                "action_type",
                ["NETWORK_CONNECTION", "AWS_API_CALL", "DNS_REQUEST"],
            ),
            ("api", ["NULL", "CreateUser", "NULL"]),
            ("remote_ip", ["198.51.100.7", "203.0.113.9", "NULL"]),
            ("remote_port", ["46717", "NULL", "NULL"]),
            ("local_port", ["22", "NULL", "NULL"]),
            ("protocol", ["TCP", "NULL", "UDP"]),
            ("direction", ["INBOUND", "NULL", "NULL"]),
            ("domain", ["NULL", "NULL", "c2.example.com"]),
            ("blocked", ["false", "NULL", "true"]),
            ("count", ["74", "1", "NULL"]),
            ("first_seen", ["2025-11-20T06:00:00Z", "NULL", "NULL"]),
            ("archived", ["false", "NULL", "NULL"]),
            ("sample", ["true", "false", "NULL"]),
            ("extra", [r#"{"confidence":3}"#, "NULL", "NULL"]),
        ] {
            assert_eq!(outcome.column(column), expected, "{column}");
        }
    }

    #[test]
    fn the_api_gives_the_same_columns() {
        let of_exports = read(&GuardDuty, &RECORDS.join("\n"));
        let found: Vec<String> = RECORDS.iter().map(|record| of_api(record)).collect();
        for list in ["Findings", "findings"] {
            let outcome = read(
                &GuardDuty,
                &printed(&format!("{{\"{list}\":[{}]}}", found.join(","))),
            );
            assert_eq!(outcome.rejects, []);
            // What is free text of its own in `additionalInfo`, the API does not rewrite.
            for column in COLUMNS
                .iter()
                .filter(|column| column.kind != Json && column.name != "sample")
            {
                assert_eq!(
                    outcome.column(column.name),
                    of_exports.column(column.name),
                    "{}",
                    column.name
                );
            }
        }
        let info = r#"{"Id":"f","Type":"t","AccountId":"111122223333","Severity":4,"UpdatedAt":"2025-11-20T09:00:00Z","Service":{"AdditionalInfo":{"Type":"default","Value":"{\"sample\":true}"}}}"#;
        let outcome = read(&GuardDuty, info);
        assert_eq!(
            (outcome.column("sample"), outcome.column("severity_label")),
            (vec!["true"], vec!["Medium"])
        );
    }

    #[test]
    fn events_tell_what_the_finding_does_not() {
        let event = |kind: &str| {
            format!(
                r#"{{"version":"0","id":"1","detail-type":"{kind}","source":"aws.guardduty","account":"444455556666","time":"2025-11-20T09:00:05Z","region":"eu-west-1","resources":[],"detail":{{"id":"f","type":"t","accountId":null,"severity":5}}}}"#
            )
        };
        let outcome = read(&GuardDuty, &event("GuardDuty Finding"));
        assert_eq!(
            outcome.cells(0),
            [
                "account_id=444455556666",
                "event_time=2025-11-20T09:00:05Z",
                "finding_id=f",
                "region=eu-west-1",
                "severity=5.0",
                "severity_label=Medium",
                "type=t",
            ]
        );
        let other = event("GuardDuty Malware Protection Object Scan Result");
        let outcome = read(&GuardDuty, &format!("{NETWORK}\n{other}\n"));
        assert_eq!((outcome.rows.len(), outcome.rejects.len()), (1, 1));
        assert!(refusal(&GuardDuty, &other).contains("an EventBridge event \"GuardDuty Malware"));
    }

    #[test]
    fn findings_without_a_time_are_rejects_and_other_logs_are_refused() {
        let outcome = read(
            &GuardDuty,
            r#"{"id":"f","type":"t","accountId":"1","severity":5,"service":{}}"#,
        );
        assert_eq!(outcome.reasons(), ["updatedAt is missing"]);
        for (text, reason) in [
            (
                r#"{"SchemaVersion":"2018-10-08","Id":"x","AwsAccountId":"1"}"#,
                "a Security Hub finding (read it as security_hub), not a GuardDuty finding",
            ),
            (r#"{"Records":[{"eventVersion":"1.08"}]}"#, "CloudTrail records"),
            (
                r#"{"detectors":["d"]}"#,
                "not a GuardDuty finding: it has the keys \"detectors\"",
            ),
        ] {
            assert!(
                refusal(&GuardDuty, text).starts_with(reason),
                "{}",
                refusal(&GuardDuty, text)
            );
        }
    }

    #[test]
    fn severities_have_labels_by_their_ranges() {
        for (raw, expected) in [
            ("1.0", Some("Low")),
            ("3.9", Some("Low")),
            ("4", Some("Medium")),
            ("6.9", Some("Medium")),
            ("7.0", Some("High")),
            ("8.9", Some("High")),
            ("9.0", Some("Critical")),
            ("\"10\"", Some("Critical")),
            ("-1", None),
            ("\"high\"", None),
            ("{}", None),
        ] {
            let label = label(&[None, Some(raw.as_bytes())]);
            assert_eq!(label, expected.map(|text| Value::Text(text.into())), "{raw}");
        }
    }

    #[test]
    fn records_read_the_same_in_every_shape() {
        check_documents(&GuardDuty, RECORDS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn splits_and_projections_change_nothing(
            stream in any_stream(RECORDS),
            sizes in prop::collection::vec(1usize..300, 1..4),
            batch_rows in 1usize..4,
            columns in prop::sample::subsequence(column_names(&GuardDuty), 0..6),
        ) {
            check_stream(&GuardDuty, &stream, &sizes, batch_rows, &columns);
        }
    }
}
