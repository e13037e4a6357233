//! What the parser makes of each shape of input, and what it must never do.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use super::columns::{SPECS, Take};
use super::parser::BATCH_BYTES_MAX;
use super::{CloudTrail, record};
use crate::block::Block;
use crate::formats::{Format, Progress, Setup};
use crate::tally::Tally;

/// Rows as column name to text (NULL left out), and rejects as (line, reason, raw).
#[derive(Debug, Clone, PartialEq, Default)]
struct Outcome {
    rows: Vec<BTreeMap<String, String>>,
    rejects: Vec<(u64, String, String)>,
    passed: u64,
}

impl Outcome {
    fn column(&self, name: &str) -> Vec<&str> {
        self.rows
            .iter()
            .map(|row| row.get(name).map_or("NULL", String::as_str))
            .collect()
    }

    fn reasons(&self) -> Vec<&str> {
        self.rejects
            .iter()
            .map(|(_, reason, _)| reason.as_str())
            .collect()
    }

    fn add(&mut self, batch: &RecordBatch) {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let cells = schema
                .fields()
                .iter()
                .zip(batch.columns())
                .filter(|(_, column)| !column.is_null(row));
            self.rows.push(
                cells
                    .map(|(field, column)| (field.name().clone(), cell(column, row)))
                    .collect(),
            );
        }
    }
}

fn cell(column: &ArrayRef, row: usize) -> String {
    match column.as_any().downcast_ref::<TimestampMicrosecondArray>() {
        Some(times) => {
            let time = chrono::DateTime::from_timestamp_micros(times.value(row)).unwrap();
            time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
        }
        None => array_value_to_string(column, row).unwrap(),
    }
}

/// Parses `bytes` as the reader does: blocks of whatever `sizes` says (over and
/// over), each with the unconsumed rest of the one before, which may grow up to `rest_max`.
fn read_as(
    bytes: &[u8],
    columns: &[&str],
    batch_rows: usize,
    sizes: &[usize],
    rest_max: usize,
) -> Result<Outcome, String> {
    let mut setup = Setup::whole(&CloudTrail, "test");
    setup.batch_rows = batch_rows;
    if !columns.is_empty() {
        let schema = CloudTrail.schema();
        let mut projection: Vec<usize> = columns
            .iter()
            .map(|name| schema.index_of(name).unwrap())
            .collect();
        projection.sort_unstable();
        setup.projection = projection.into();
    }
    let mut parser = CloudTrail.parser(setup).unwrap();
    let (mut tally, mut outcome) = (Tally::default(), Outcome::default());
    let (mut held, mut at) = (Vec::new(), 0);
    let mut sizes = sizes.iter().cycle();
    loop {
        let take = sizes.next().copied().unwrap_or(usize::MAX).min(bytes.len() - at);
        held.extend_from_slice(&bytes[at..at + take]);
        at += take;
        let last = at == bytes.len();
        let mut block = Block::new(held.clone());
        while parser
            .parse(&mut block, last, &mut tally)
            .map_err(|refusal| refusal.reason)?
            == Progress::BatchFull
        {
            assert!(parser.rows() > 0, "an empty batch is never full");
            outcome.add(&parser.flush());
        }
        if last {
            break;
        }
        if block.rest().len() >= rest_max {
            parser.skip_oversized(&mut block, &mut tally);
            assert!(block.rest().is_empty());
        }
        held = block.rest().to_vec();
    }
    outcome.add(&parser.flush());
    assert_eq!(tally.rows, outcome.rows.len() as u64);
    assert_eq!(tally.rows + tally.rejected, parser.line());
    outcome.passed = tally.passed;
    outcome.rejects = tally
        .rejects
        .into_iter()
        .map(|reject| (reject.line, reject.reason, reject.raw))
        .collect();
    Ok(outcome)
}

/// Parses a text in one block and in many, which must not make a difference.
fn read(text: &str) -> Outcome {
    let outcome = read_as(text.as_bytes(), &[], 8192, &[usize::MAX], usize::MAX).unwrap();
    for (batch_rows, sizes) in [(1, vec![usize::MAX]), (8192, vec![1]), (2, vec![7, 1, 40])] {
        let again = read_as(text.as_bytes(), &[], batch_rows, &sizes, usize::MAX).unwrap();
        assert_eq!(
            again, outcome,
            "blocks of {sizes:?} bytes, batches of {batch_rows} rows"
        );
    }
    outcome
}

fn refusal(text: &str) -> String {
    let refusal = read_as(text.as_bytes(), &[], 8192, &[usize::MAX], usize::MAX).unwrap_err();
    assert_eq!(
        read_as(text.as_bytes(), &["event_name"], 8192, &[1], usize::MAX).unwrap_err(),
        refusal
    );
    refusal
}

/// A small record.
fn record(name: &str) -> String {
    format!(
        r#"{{"eventVersion":"1.08","eventTime":"2023-07-10T12:03:25Z","eventName":"{name}","resources":[{{"ARN":"a"}},{{"ARN":"b"}}]}}"#
    )
}

/// The same, printed over several lines.
fn printed(name: &str) -> String {
    serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(&record(name)).unwrap()).unwrap()
}

fn escaped(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn every_shape_gives_the_same_rows() {
    let (a, b, c) = (record("A"), record("B"), record("C"));
    let (pa, pb, pc) = (printed("A"), printed("B"), printed("C"));
    let bridge = |detail: &str, kind: &str| {
        format!(
            r#"{{"version":"0","id":"1","detail-type":"{kind}","source":"aws.s3","account":"111122223333","time":"2023-07-10T12:03:26Z","region":"eu-west-1","resources":[],"detail":{detail}}}"#
        )
    };
    let logs = |messages: &[&str]| {
        let events: Vec<String> = messages
            .iter()
            .map(|message| {
                format!(
                    r#"{{"id":"1","timestamp":1688990605000,"message":{}}}"#,
                    escaped(message)
                )
            })
            .collect();
        format!(
            r#"{{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"g","logStream":"s","subscriptionFilters":["f"],"logEvents":[{}]}}"#,
            events.join(",")
        )
    };
    let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1688990605000,"message":"CWL CONTROL MESSAGE: Checking health of destination"}]}"#;
    for (shape, text, passed) in [
        ("a trail file", format!(r#"{{"Records":[{a},{b},{c}]}}"#), 0),
        ("with a newline", format!("{{\"Records\":[{a},{b},{c}]}}\n"), 0),
        (
            "printed",
            format!("{{\n \"Records\" : [\n{pa}\n,\n {pb}, {pc}\n ]\n}}\n"),
            0,
        ),
        (
            "members around",
            format!(r#"{{"v":{{"x":[1]}},"Records":[{a},{b},{c}],"next":null,"n":12}}"#),
            0,
        ),
        (
            "two arrays",
            format!(r#"{{"Records":[{a}],"Records":[{b},{c}]}}"#),
            0,
        ),
        (
            "an empty array before",
            format!("{{\"Records\":[]}}\n{{\"Records\":[{a},{b},{c}]}}"),
            0,
        ),
        ("lines", format!("{a}\n{b}\n{c}\n"), 0),
        ("lines of Windows", format!("{a}\r\n{b}\r\n\r\n{c}"), 0),
        (
            "lines with empty objects",
            format!("{{}}\n{a}\n{{ }}\n{b}\n{c}\n"),
            2,
        ),
        ("no lines", format!("{a}{b} {c}"), 0),
        ("an array", format!("[{a},{b},{c}]"), 0),
        (
            "an array, printed",
            format!("[\n  {pa},\n  {pb},\n  {pc}\n]\n"),
            0,
        ),
        ("arrays", format!("[{a}]\n[]\n[{b},{c}]"), 0),
        ("printed records", format!("{pa}\n{pb}\n{pc}\n"), 0),
        ("printed, no newline", format!("{pa}{pb} {pc}"), 0),
        (
            "files in one",
            format!("{{\"Records\":[{a}]}}{{\"Records\":[{b}]}}\n[{c}]"),
            0,
        ),
        (
            "EventBridge",
            [
                (&a, "AWS API Call via CloudTrail"),
                (&b, "AWS Console Signin via CloudTrail"),
                (&c, "Amazon API Call via CloudTrail"),
            ]
            .map(|(detail, kind)| bridge(detail, kind))
            .join("\n"),
            0,
        ),
        (
            "EventBridge, printed, in an array",
            format!("[{},\n{b},{c}]", bridge(&pa, "AWS API Call via CloudTrail")),
            0,
        ),
        (
            "CloudWatch Logs",
            format!("{control}{}{control}{}", logs(&[&a, &pb]), logs(&[&c])),
            2,
        ),
        (
            "CloudWatch Logs, lines",
            format!("{}\n{control}\n{}\n{}", logs(&[&a, &b]), logs(&[]), logs(&[&c])),
            1,
        ),
        (
            "all at once",
            format!("{a}\n{}\n{{\"Records\":[{c}]}}", logs(&[&b])),
            0,
        ),
    ] {
        let outcome = read(&text);
        assert_eq!(outcome.rejects, [], "{shape}");
        assert_eq!(outcome.column("event_name"), ["A", "B", "C"], "{shape}");
        assert_eq!(outcome.column("_line"), ["1", "2", "3"], "{shape}");
        assert_eq!(outcome.passed, passed, "{shape}");
        let resources: Vec<serde_json::Value> = outcome
            .column("resources")
            .iter()
            .map(|json| serde_json::from_str(json).unwrap())
            .collect();
        assert_eq!(
            resources,
            vec![serde_json::json!([{"ARN": "a"}, {"ARN": "b"}]); 3],
            "{shape}"
        );
    }
    for nothing in ["", " \n", "{}", "{\"Records\":[]}", "[]", "[\n]\n", ""] {
        let outcome = read(nothing);
        assert_eq!((outcome.rows, outcome.rejects), (vec![], vec![]), "{nothing:?}");
    }
}

/// Of one record with these members, `name=value` of all columns that are not NULL, but for those that `record` sets.
fn columns_of(members: &str) -> Vec<String> {
    let text = format!(r#"{{"eventTime":"2023-07-10T12:03:25Z","eventName":"N",{members}}}"#);
    let outcome = read(&text);
    assert_eq!(outcome.rejects, [], "{members}");
    let message = format!(
        r#"{{"messageType":"DATA_MESSAGE","logEvents":[{{"message":{}}}]}}"#,
        serde_json::to_string(&text).unwrap()
    );
    assert_eq!(read(&message), outcome, "inside an envelope: {members}");
    let known = ["event_name", "event_time", "_source", "_line", "_ingested_at"];
    outcome.rows[0]
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn members_become_columns() {
    let cases: &[(&str, &[&str])] = &[
        (
            r#""eventSource":"s3.amazonaws.com","awsRegion":"eu-west-1""#,
            &[
                "aws_region=eu-west-1",
                "event_source=s3.amazonaws.com",
                "region=eu-west-1",
            ],
        ),
        (
            r#""sourceIPAddress":"192.0.2.7","userAgent":"aws-cli/2""#,
            &["source_ip_address=192.0.2.7", "user_agent=aws-cli/2"],
        ),
        (
            r#""errorCode":"AccessDenied","errorMessage":"no""#,
            &["error_code=AccessDenied", "error_message=no"],
        ),
        (
            r#""eventID":"e","requestID":"r","sharedEventID":"s""#,
            &["event_id=e", "request_id=r", "shared_event_id=s"],
        ),
        (
            r#""vpcEndpointId":"vpce-1","vpcEndpointAccountId":"111122223333""#,
            &["vpc_endpoint_account_id=111122223333", "vpc_endpoint_id=vpce-1"],
        ),
        (
            r#""eventVersion":"1.11","apiVersion":"2016","eventType":"AwsApiCall""#,
            &["api_version=2016", "event_type=AwsApiCall", "event_version=1.11"],
        ),
        (
            r#""recipientAccountId":"111122223333""#,
            &["account_id=111122223333", "recipient_account_id=111122223333"],
        ),
        // Booleans, with quotes or without, and what is none.
        (
            r#""readOnly":true,"managementEvent":false"#,
            &["management_event=false", "read_only=true"],
        ),
        (
            r#""sessionCredentialFromConsole":"true""#,
            &["session_credential_from_console=true"],
        ),
        (
            r#""readOnly":"maybe","managementEvent":1,"x":2"#,
            &[r#"extra={"x":2,"readOnly":"maybe","managementEvent":1}"#],
        ),
        (r#""readOnly":null"#, &[]),
        // JSON columns are raw text, and null is NULL.
        (
            r#""requestParameters":{ "a" : [1, 2.0] },"responseElements":null,"resources":[{"ARN":"\u0061"}]"#,
            &[
                r#"request_parameters={ "a" : [1, 2.0] }"#,
                r#"resources=[{"ARN":"\u0061"}]"#,
            ],
        ),
        (
            r#""tlsDetails":{},"serviceEventDetails":{"k":1},"insightDetails":{"s":2},"addendum":{"r":3}"#,
            &[
                r#"addendum={"r":3}"#,
                r#"insight_details={"s":2}"#,
                r#"service_event_details={"k":1}"#,
                "tls_details={}",
            ],
        ),
        // Text that is escaped, of another type, or empty.
        (
            r#""userAgent":"a\"\\\/\n\u00e9\ud83d\ude00\ud800x","errorCode":"""#,
            &["error_code=", "user_agent=a\"\\/\n\u{e9}\u{1f600}\u{fffd}x"],
        ),
        (
            r#""userAgent":7,"errorCode":{"a":[]},"errorMessage":null"#,
            &[r#"error_code={"a":[]}"#, "user_agent=7"],
        ),
        // What no column names, and what comes twice.
        (
            r#""edgeDeviceDetails":{"a": 1},"eventContext":null,"errorCode":"first","errorCode":"second","k\"":[]"#,
            &[
                "error_code=first",
                r#"extra={"edgeDeviceDetails":{"a": 1},"eventContext":null,"errorCode":"second","k\"":[]}"#,
            ],
        ),
        (
            r#""accountId":"1","eventId":"2","detail":{},"@version":"1""#,
            &[r#"extra={"accountId":"1","eventId":"2","detail":{},"@version":"1"}"#],
        ),
        // Identities.
        (
            r#""userIdentity":{"type":"IAMUser","principalId":"AIDA","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","accessKeyId":"","userName":"ann","invokedBy":"signin.amazonaws.com"},"recipientAccountId":"444455556666""#,
            &[
                "account_id=111122223333",
                "invoked_by=signin.amazonaws.com",
                "principal_arn=arn:aws:iam::111122223333:user/ann",
                "principal_id=AIDA",
                "principal_name=ann",
                "principal_type=IAMUser",
                "recipient_account_id=444455556666",
                r#"user_identity={"type":"IAMUser","principalId":"AIDA","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","accessKeyId":"","userName":"ann","invokedBy":"signin.amazonaws.com"}"#,
            ],
        ),
        (
            r#""userIdentity":{"type":"AssumedRole","principalId":"AROA:task","arn":"arn:aws:sts::111122223333:assumed-role/web/task","accessKeyId":"ASIA","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/app/web","userName":"web"},"attributes":{"creationDate":"20131102T010628Z","mfaAuthenticated":"false"},"sourceIdentity":"ann","ec2RoleDelivery":"2.0"}}"#,
            &[
                "access_key_id=ASIA",
                "ec2_role_delivery=2.0",
                "mfa=false",
                "principal_arn=arn:aws:sts::111122223333:assumed-role/web/task",
                "principal_id=AROA:task",
                "principal_name=web",
                "principal_type=AssumedRole",
                "role_arn=arn:aws:iam::111122223333:role/app/web",
                "session_created=2013-11-02T01:06:28Z",
                "session_name=task",
                "source_identity=ann",
                r#"user_identity={"type":"AssumedRole","principalId":"AROA:task","arn":"arn:aws:sts::111122223333:assumed-role/web/task","accessKeyId":"ASIA","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/app/web","userName":"web"},"attributes":{"creationDate":"20131102T010628Z","mfaAuthenticated":"false"},"sourceIdentity":"ann","ec2RoleDelivery":"2.0"}}"#,
            ],
        ),
        (r#""userIdentity":null"#, &[]),
        (r#""userIdentity":"x""#, &[r#"user_identity="x""#]),
        (
            r#""additionalEventData":{"MFAUsed":"Yes"}"#,
            &[r#"additional_event_data={"MFAUsed":"Yes"}"#, "mfa=true"],
        ),
        (
            r#""additionalEventData":{"MFAUsed":"?"}"#,
            &[r#"additional_event_data={"MFAUsed":"?"}"#],
        ),
        // Categories that the record does not name.
        (
            r#""eventCategory":"NetworkActivity","managementEvent":true"#,
            &["event_category=NetworkActivity", "management_event=true"],
        ),
        (
            r#""managementEvent":true"#,
            &["event_category=Management", "management_event=true"],
        ),
        (
            r#""eventType":"AwsCloudTrailInsight","managementEvent":true"#,
            &[
                "event_category=Insight",
                "event_type=AwsCloudTrailInsight",
                "management_event=true",
            ],
        ),
        (
            r#""eventCategory":null,"eventType":"AwsApiCall""#,
            &["event_type=AwsApiCall"],
        ),
    ];
    for (members, expected) in cases {
        assert_eq!(columns_of(members), *expected, "{members}");
    }
}

#[test]
fn session_names_come_from_the_arn_or_the_principal() {
    for (kind, arn, principal, expected) in [
        (
            "AssumedRole",
            "arn:aws:sts::111122223333:assumed-role/r/s",
            "AROA:other",
            "s",
        ),
        (
            "AssumedRole",
            "arn:aws:sts::111122223333:assumed-role/r",
            "AROA:other",
            "other",
        ),
        (
            "AssumedRole",
            "arn:aws:sts::111122223333:assumed-role/r/",
            "AROA:a:b",
            "a:b",
        ),
        ("AssumedRole", "", "AROA", "NULL"),
        (
            "IAMUser",
            "arn:aws:iam::111122223333:user/path/ann",
            "AIDA:x",
            "NULL",
        ),
        (
            "AssumedRole",
            r"arn:aws:sts::111122223333:assumed-role\/r\/s\u0041",
            "AROA:x",
            "x",
        ),
        (
            "AssumedRole",
            r"arn:aws:sts::111122223333:assumed-role/r/s\u0041",
            "AROA:x",
            "sA",
        ),
    ] {
        let text = format!(
            r#"{{"eventTime":"2023-07-10T12:03:25Z","eventID":"1","userIdentity":{{"type":"{kind}","principalId":"{principal}","arn":"{arn}"}}}}"#
        );
        assert_eq!(
            read(&text).column("session_name"),
            [expected],
            "{arn} {principal}"
        );
    }
}

#[test]
fn aggregated_events_and_insights_are_rows() {
    let aggregated = r#"{"eventVersion":"1.0","accountId":"111122223333","eventId":"e1","eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","awsRegion":"eu-west-1","eventSource":"s3.amazonaws.com","timeWindow":{"windowStart":"2025-11-20T07:00:00Z","windowEnd":"2025-11-20T07:05:00Z","windowSize":"PT5M"},"summary":{"primaryDimension":{"dimension":"eventName"},"details":[]}}"#;
    let insight = r#"{"eventVersion":"1.07","eventTime":"2019-11-14T00:51:00Z","awsRegion":"us-east-1","eventID":"e2","eventType":"AwsCloudTrailInsight","recipientAccountId":"111122223333","sharedEventID":"s","insightDetails":{"state":"Start"}}"#;
    let outcome = read(&format!(
        "{aggregated}\n{insight}\n{}",
        aggregated.replace(r#""eventCategory":"Aggregated","#, "")
    ));
    assert_eq!(outcome.rejects, []);
    assert_eq!(
        outcome.column("event_time"),
        [
            "2025-11-20T07:00:00Z",
            "2019-11-14T00:51:00Z",
            "2025-11-20T07:00:00Z"
        ]
    );
    assert_eq!(outcome.column("event_id"), ["e1", "e2", "e1"]);
    assert_eq!(outcome.column("account_id"), ["111122223333"; 3]);
    assert_eq!(
        outcome.column("event_category"),
        ["Aggregated", "Insight", "Aggregated"]
    );
    assert_eq!(outcome.column("event_name"), ["NULL"; 3]);
    assert_eq!(
        outcome.column("extra")[0],
        r#"{"timeWindow":{"windowStart":"2025-11-20T07:00:00Z","windowEnd":"2025-11-20T07:05:00Z","windowSize":"PT5M"},"summary":{"primaryDimension":{"dimension":"eventName"},"details":[]}}"#
    );
}

#[test]
fn records_from_logstash_keep_their_time() {
    let outcome = read(r#"{"eventID":"1","@timestamp":"2020-09-14T00:44:22.000Z","@version":"1"}"#);
    assert_eq!(outcome.column("event_time"), ["2020-09-14T00:44:22Z"]);
    assert_eq!(
        outcome.column("extra"),
        [r#"{"@timestamp":"2020-09-14T00:44:22.000Z","@version":"1"}"#]
    );
}

#[test]
fn what_is_no_record_is_a_reject() {
    let deep = format!(
        r#"{{"eventID":"1","eventTime":"2023-07-10T12:03:25Z","a":{}1{}}}"#,
        "[".repeat(128),
        "]".repeat(128)
    );
    for (text, reason) in [
        (
            r#"{"a":1,"b\n":2}"#,
            r#"not a CloudTrail record: it has the keys "a", "b\n""#,
        ),
        (r#"[{}]"#, "not a CloudTrail record: an object without keys"),
        (r#"["x"]"#, ""),
        (
            r#"{"eventTime":"2023-07-10T12:03:25Z"}"#,
            r#"not a CloudTrail record: it has the keys "eventTime""#,
        ),
        (r#"{"eventID":"1"}"#, "eventTime is missing"),
        (
            r#"{"eventID":"1","eventTime":null}"#,
            r#"eventTime "null" is not a time such as 2023-07-10T12:03:25Z"#,
        ),
        (
            r#"{"eventID":"1","eventTime":"2023-02-30T12:03:25Z"}"#,
            r#"eventTime "2023-02-30T12:03:25Z" is not a time such as 2023-07-10T12:03:25Z"#,
        ),
        (
            r#"{"eventID":"1","eventTime":1688990605}"#,
            r#"eventTime "1688990605" is not a time such as 2023-07-10T12:03:25Z"#,
        ),
        (
            r#"{"eventSource":"x","timeWindow":{}}"#,
            "timeWindow.windowStart is missing",
        ),
        (
            r#"{"eventSource":"x","timeWindow":{"windowStart":"x"}}"#,
            r#"timeWindow.windowStart "x" is not a time such as 2023-07-10T12:03:25Z"#,
        ),
        (r#"{"Records":{"a":1}}"#, "Records is an object, not an array"),
        (r#"{"Records":null}"#, "Records is null, not an array"),
        (
            r#"{"detail-type":"ECS Task State Change","detail":{}}"#,
            r#"EventBridge event of type "ECS Task State Change", not a CloudTrail record"#,
        ),
        (
            r#"{"detail-type":"AWS API Call via CloudTrail","detail":[]}"#,
            "the detail of this EventBridge event is not an object",
        ),
        (
            r#"{"detail-type":"AWS API Call via CloudTrail","detail":{"a":1}}"#,
            r#"detail of an EventBridge event: not a CloudTrail record: it has the keys "a""#,
        ),
        (
            r#"{"messageType":"OTHER","logEvents":[]}"#,
            r#"CloudWatch Logs subscription message of unknown type "OTHER""#,
        ),
        (
            r#"{"messageType":"DATA_MESSAGE","logEvents":{}}"#,
            "CloudWatch Logs subscription message without a logEvents array",
        ),
        (
            r#"{"messageType":"DATA_MESSAGE","logEvents":[{"id":"1"}]}"#,
            "log event without a message",
        ),
        (
            r#"{"messageType":"DATA_MESSAGE","logEvents":[{"message":1}]}"#,
            "message of a log event is not a string",
        ),
        (
            r#"{"messageType":"DATA_MESSAGE","logEvents":[{"message":"plain"}]}"#,
            "message of a log event is not a JSON record: expected a value at byte 0",
        ),
        (
            r#"{"messageType":"DATA_MESSAGE","logEvents":[{"message":"[]"}]}"#,
            "not a CloudTrail record: an object without keys",
        ),
        (
            r#"{"eventID":"1" "eventTime":1}"#,
            "expected ',' or '}' after a member at byte 15, found '\\\"'",
        ),
        (
            r#"{"eventID":"1"} x"#,
            "unexpected text after the value at byte 16, found 'x'",
        ),
        (r#"{"eventID":"1"#, "cut off at byte 13, inside a record"),
        (r#"{"eventID":"1","#, "cut off at byte 15, inside a record"),
        (&deep, "nested deeper than 128 levels at byte 181, found '['"),
    ] {
        if reason.is_empty() {
            assert!(refusal(text).starts_with("not CloudTrail JSON"), "{text}");
            continue;
        }
        let outcome = read(text);
        assert_eq!(outcome.rows, [], "{text}");
        assert_eq!(outcome.reasons(), [reason], "{text}");
    }
}

#[test]
fn other_kinds_of_files_are_refused() {
    let notice = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1","eventTime":"2023-07-10T12:03:25.000Z","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}"#;
    for (text, reason) in [
        (
            r#"{"awsAccountId":"111122223333","digestStartTime":"2023-07-10T12:00:00Z","logFiles":[]}"#,
            record::DIGEST,
        ),
        (
            r#"{"fileVersion":"1.0","configSnapshotId":"x","configurationItems":[{"#,
            record::CONFIG,
        ),
        (notice, record::S3_NOTICE),
        (
            r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2023-07-10T12:03:25.000Z","Bucket":"b"}"#,
            record::S3_TEST,
        ),
        (
            "2 111122223333 eni-1 192.0.2.1 198.51.100.1 1 2 6 1 40 1688990605 1688990665 ACCEPT OK\n",
            r#"not CloudTrail JSON: it begins with "2 111122223333 eni-1 192.0.2.1 198.51.10..."; it looks like a VPC flow log: read it as vpc_flow"#,
        ),
        (
            "version account-id interface-id\n2 1 2\n",
            r#"not CloudTrail JSON: it begins with "version account-id interface-id"; it looks like a VPC flow log: read it as vpc_flow"#,
        ),
        (
            "\u{1b}[2J <html>",
            r#"not CloudTrail JSON: it begins with "\u{1b}[2J <html>""#,
        ),
        (
            "[INFO] started\n",
            r#"not CloudTrail JSON: it begins with "[INFO] started""#,
        ),
        ("\"text\"", r#"not CloudTrail JSON: it begins with "text""#),
    ] {
        assert_eq!(refusal(text), reason, "{text}");
    }
    // Behind records they are rejects: the rows are there already.
    let outcome = read(&format!(
        "{}\n{notice}\n{}\n",
        record("A"),
        r#"{"digestStartTime":1,"logFiles":[]}"#
    ));
    assert_eq!(outcome.column("event_name"), ["A"]);
    assert_eq!(outcome.reasons(), [record::S3_NOTICE, record::DIGEST]);
}

#[test]
fn a_bad_record_harms_no_other() {
    let (a, b, c) = (record("A"), record("B"), record("C"));
    let (pa, pb) = (printed("A"), printed("B"));
    let broken = b.replace(r#""eventName":"#, r#""eventName""#);
    let unclosed = &b[..b.len() - 1];
    let in_list = &b[..b.find(r#",{"ARN":"b"#).unwrap() + 1];
    for (shape, text, names, rejects) in [
        (
            "a bad line",
            format!("{a}\n{broken}\n{c}\n"),
            "A C",
            vec![(2, broken.as_str())],
        ),
        (
            "a line that is no JSON",
            format!("{a}\nnonsense\n{c}\n"),
            "A C",
            vec![(2, "nonsense")],
        ),
        (
            "the first line",
            format!("# comment\n{a}\n{c}\n"),
            "A C",
            vec![(1, "# comment")],
        ),
        (
            "the first line before a file",
            format!("# comment\n{{\"Records\":[{a},{c}]}}"),
            "A C",
            vec![(1, "# comment")],
        ),
        (
            "two bad lines",
            format!("{broken}\n{unclosed}\n{a}\n"),
            "A",
            vec![(1, &broken), (2, unclosed)],
        ),
        (
            "a line without its brace",
            format!("{a}\n{unclosed}\n{c}\n"),
            "A C",
            vec![(2, unclosed)],
        ),
        (
            "a line cut inside a list",
            format!("{in_list}\n{a}\n{c}\n"),
            "A C",
            vec![(1, in_list)],
        ),
        (
            "the same at the end",
            format!("{a}\n{in_list}\n{c}\n"),
            "A C",
            vec![(2, in_list)],
        ),
        ("no lines", format!("{a}{broken}{c}"), "A C", vec![(2, &broken)]),
        (
            "printed",
            format!("{}\n{pb}\n", pa.replace("\": ", "\"")),
            "B",
            vec![(1, &pa.replace("\": ", "\""))],
        ),
        (
            "an element",
            format!(r#"{{"Records":[{a},{broken},{c}]}}"#),
            "A C",
            vec![(2, &broken)],
        ),
        (
            "the first element",
            format!(r#"[{broken}, {a},{c}]"#),
            "A C",
            vec![(1, &broken)],
        ),
        (
            "an element without its brace",
            format!(r#"[{a},{unclosed},{c}]"#),
            "A C",
            vec![(2, unclosed)],
        ),
        (
            "a brace too many",
            format!("[{a}}},\n{{\"x\":1}},{c}]"),
            "C",
            vec![(1, &format!("{a}}}")), (2, r#"{"x":1}"#)],
        ),
        (
            "an element that ends early",
            format!("[{a},{},{c}]", b.replace(r#""1.08","#, r#""1.08"},"#)),
            "A C",
            vec![(2, &b.replace(r#""1.08","#, r#""1.08"},"#))],
        ),
        ("a comma too many", format!("[{a},]\n{c}"), "A C", vec![(2, "]")]),
        (
            "elements that are no objects",
            format!("[{a},null,\"x\",{c}]"),
            "A C",
            vec![(2, "null"), (3, "\"x\"")],
        ),
        (
            "the last element",
            format!("[{a},{broken}]"),
            "A",
            vec![(2, &format!("{broken}]"))],
        ),
        (
            "the last element of a file before another file",
            format!("{{\"Records\":[{a},{broken}]}}\n{{\"Records\":[{c}]}}"),
            "A C",
            vec![(2, &format!("{broken}]}}"))],
        ),
        (
            "cut off in a record",
            format!(r#"{{"Records":[{a},{unclosed}"#),
            "A",
            vec![(2, unclosed)],
        ),
        (
            "cut off between records",
            format!(r#"{{"Records":[{a},"#),
            "A",
            vec![(2, "")],
        ),
        (
            "cut off behind a record",
            format!(r#"{{"Records":[{a}"#),
            "A",
            vec![(2, "")],
        ),
        (
            "cut off behind the array",
            format!(r#"{{"Records":[{a}]"#),
            "A",
            vec![(2, "")],
        ),
        (
            "a cut-off line",
            format!("{a}\n{unclosed}"),
            "A",
            vec![(2, unclosed)],
        ),
        (
            "text behind the records",
            format!("{{\"Records\":[{a}]}}\nsome\nmore\n"),
            "A",
            vec![(2, "some\nmore")],
        ),
        ("text behind an array", format!("[{a}] x"), "A", vec![(2, "x")]),
        (
            "text behind Records",
            format!(r#"{{"Records":[{a}] x}}"#),
            "A",
            vec![(2, "x}")],
        ),
        (
            "a bad member behind Records",
            format!("{{\"Records\":[{a}],\"x\":y}}\n{c}"),
            "A C",
            vec![(2, ",\"x\":y}")],
        ),
    ] {
        let outcome = read(&text);
        assert_eq!(
            outcome.column("event_name").join(" "),
            names,
            "{shape}: {:?}",
            outcome.rejects
        );
        let found: Vec<(u64, &str)> = outcome
            .rejects
            .iter()
            .map(|(line, _, raw)| (*line, raw.as_str()))
            .collect();
        assert_eq!(found, rejects, "{shape}");
    }
    for (text, reason) in [
        (
            format!(r#"{{"Records":[{a},"#),
            "file ends before the Records array is closed",
        ),
        (
            format!(r#"{{"Records":[{a}]"#),
            "file ends before the object around Records is closed",
        ),
        (format!("[{a}"), "file ends before the array is closed"),
    ] {
        assert_eq!(read(&text).reasons(), [reason]);
    }
}

#[test]
fn invalid_utf8_costs_one_record() {
    let bad = [b"{\"eventID\":\"1\",\"eventTime\":\"2023-07-10T12:03:25Z\",\"x\":\"\xff\"}".as_slice()];
    for (before, between, after) in [("", "\n", ""), ("[", ",", "]"), ("{\"Records\":[", " ,\n", "]}")] {
        let (a, c) = (record("\u{e9}"), record("\u{1f600}"));
        let text = [
            before.as_bytes(),
            a.as_bytes(),
            between.as_bytes(),
            bad[0],
            between.as_bytes(),
            c.as_bytes(),
            after.as_bytes(),
        ]
        .concat();
        for sizes in [usize::MAX, 1, 50] {
            let outcome = read_as(&text, &[], 8192, &[sizes], usize::MAX).unwrap();
            assert_eq!(outcome.column("event_name"), ["\u{e9}", "\u{1f600}"]);
            assert_eq!(outcome.reasons(), ["invalid UTF-8 at byte 55"]);
        }
    }
}

#[test]
fn records_of_an_endless_array_are_taken_one_by_one() {
    let records: Vec<String> = (0..500).map(|number| record(&number.to_string())).collect();
    for text in [
        format!("{{\"Records\":[{}]}}", records.join(",")),
        format!("[{}]", records.join(" ,\n")),
    ] {
        // What is left of a block is never more than the record that it ends in.
        let outcome = read_as(text.as_bytes(), &["_line"], 64, &[300], 300).unwrap();
        assert_eq!((outcome.rows.len(), outcome.rejects), (500, vec![]));
    }
}

#[test]
fn a_head_without_records_is_refused_however_long_the_object_is() {
    let text = format!("{}{}\n", "no record here\n".repeat(5000), record("too late"));
    assert!(text.len() > 64 << 10);
    for size in [4096, usize::MAX] {
        let refusal = read_as(text.as_bytes(), &[], 8192, &[size], usize::MAX).unwrap_err();
        assert_eq!(refusal, r#"not CloudTrail JSON: it begins with "no record here""#);
    }
    let text = format!("{}{}\n", "no record here\n".repeat(3), record("A"));
    assert_eq!(read(&text).column("_line"), ["4"]);
}

#[test]
fn a_message_that_is_not_utf8_costs_one_record() {
    let good = escaped(&record("A"));
    let text = format!(
        r#"{{"messageType":"DATA_MESSAGE","logEvents":[{{"message":{good}}},{{"message":"X"}},{{"message":{good}}}]}}"#
    );
    let bytes: Vec<u8> = text
        .bytes()
        .map(|byte| if byte == b'X' { 0xff } else { byte })
        .collect();
    let outcome = read_as(&bytes, &[], 8192, &[usize::MAX], usize::MAX).unwrap();
    assert_eq!(outcome.column("_line"), ["1", "3"]);
    assert_eq!(outcome.reasons(), ["invalid UTF-8 at byte 0 of the message"]);
}

#[test]
fn an_oversized_record_is_skipped_up_to_the_next() {
    let (a, c) = (record("A"), record("C"));
    let huge = record(&"x".repeat(5000));
    for (text, names) in [
        (format!("{a}\n{huge}\n{c}\n"), "A C"),
        (format!("{{\"Records\":[{a},{huge},{c}]}}"), "A C"),
        (format!("{{\"Records\":[{a},{huge}]}}\n"), "A"),
        (format!("{a}\n{huge}"), "A"),
        (format!("[{huge} , {c}]\n{a}"), "C A"),
        (
            format!("{{\"Records\":[{a}],\"x\":\"{}\"}}\n{c}", "x".repeat(5000)),
            "A C",
        ),
    ] {
        for size in [1, 3, 300] {
            let outcome = read_as(text.as_bytes(), &[], 8192, &[size], 2000).unwrap();
            assert_eq!(outcome.column("event_name").join(" "), names, "blocks of {size}");
            assert_eq!(outcome.rejects.len(), 1, "{:?}", outcome.reasons());
            assert!(
                outcome.rejects[0].1.starts_with("record larger than 2"),
                "{:?}",
                outcome.reasons()
            );
        }
    }
}

#[test]
fn batches_are_cut_by_bytes_too() {
    let line = format!("{}\n", record(&"x".repeat(1 << 20)));
    let mut parser = CloudTrail.parser(Setup::whole(&CloudTrail, "test")).unwrap();
    let mut tally = Tally::default();
    for _ in 0..BATCH_BYTES_MAX / line.len() {
        let mut block = Block::new(line.clone());
        assert_eq!(
            parser.parse(&mut block, false, &mut tally),
            Ok(Progress::NeedsInput)
        );
    }
    let mut block = Block::new(line);
    assert_eq!(
        parser.parse(&mut block, false, &mut tally),
        Ok(Progress::BatchFull)
    );
    assert_eq!(parser.flush().num_rows() as u64, tally.rows);
}

#[test]
fn every_column_takes_what_its_kind_can_hold() {
    for spec in SPECS {
        let kind = match spec.take {
            Take::Text(_)
            | Take::TextNotEmpty(_)
            | Take::RoleArn
            | Take::SessionName
            | Take::EventCategory => crate::column::Kind::Text,
            Take::Json(_) | Take::Extra => crate::column::Kind::Json,
            Take::Bool(_) | Take::Mfa => crate::column::Kind::Bool,
            Take::EventTime | Take::SessionCreated => crate::column::Kind::Time,
        };
        assert_eq!(spec.column.kind, kind, "{}", spec.column.name);
        assert!(spec.column.about.ends_with('.'), "{}", spec.column.name);
    }
}

/// Records with all that could matter: nesting, escapes, odd types, second members, and none at all.
fn any_record() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        4 => "[a-zA-Z0-9:/. -]{0,40}".prop_map(|text| escaped(&text)),
        2 => any::<String>().prop_map(|text| escaped(&text)),
        1 => prop::sample::select(vec!["null", "true", "false", "-1.5e3", "{}", "[ ]", "\"\\ud800\\u0041\"", "\"true\""])
            .prop_map(str::to_owned),
        1 => prop::sample::select(vec![r#"{"a":[{"b":1},{"b":"}],{"}]}"#, r#"[{"ARN":"x"},{"ARN":"y"}]"#]).prop_map(str::to_owned),
    ];
    let key = prop::sample::select(vec![
        "eventName",
        "eventSource",
        "eventID",
        "awsRegion",
        "userAgent",
        "readOnly",
        "managementEvent",
        "eventCategory",
        "eventType",
        "accountId",
        "resources",
        "requestParameters",
        "additionalEventData",
        "userIdentity",
        "other",
        "détail",
    ]);
    let time = prop_oneof![9 => Just("\"2023-07-10T12:03:25Z\"".to_owned()), 1 => value.clone()];
    (prop::collection::vec((key, value), 0..10), time, any::<bool>()).prop_map(|(members, time, spaced)| {
        let (comma, colon) = if spaced { (" , ", " : ") } else { (",", ":") };
        let members: Vec<String> = std::iter::once(format!("\"eventTime\"{colon}{time}"))
            .chain(
                members
                    .iter()
                    .map(|(key, value)| format!("\"{key}\"{colon}{value}")),
            )
            .collect();
        format!("{{{}}}", members.join(comma))
    })
}

/// Streams of records in one of the shapes, each perhaps damaged.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let shape = prop::sample::select(vec![
        ("", "\n", "\n"),
        ("", "", ""),
        ("[", ",", "]"),
        ("{\"Records\":[", ",\n ", "]}\n"),
        ("", "\n\n", ""),
    ]);
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 0..3);
    (prop::collection::vec(any_record(), 0..6), shape, damage).prop_map(
        |(records, (before, between, after), damage)| {
            let mut bytes = format!("{before}{}{after}", records.join(between)).into_bytes();
            for (index, byte, how) in damage {
                if bytes.is_empty() {
                    continue;
                }
                let at = index.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes[at] = b"{}[],:\"\n\\"[usize::from(byte) % 9],
                    2 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at),
                }
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_make_no_difference(stream in any_stream(), sizes in prop::collection::vec(1usize..200, 1..5), batch_rows in 1usize..4) {
        let whole = read_as(&stream, &[], 8192, &[usize::MAX], usize::MAX);
        let split = read_as(&stream, &[], batch_rows, &sizes, usize::MAX);
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn a_projection_is_the_projected_whole(stream in any_stream(), names in prop::sample::subsequence(
        CloudTrail.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>(), 1..6,
    )) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let projected = read_as(&stream, &names, 8192, &[usize::MAX], usize::MAX);
        let mut whole = read_as(&stream, &[], 8192, &[usize::MAX], usize::MAX);
        if let Ok(whole) = &mut whole {
            for row in &mut whole.rows {
                row.retain(|name, _| names.contains(&name.as_str()));
            }
        }
        prop_assert_eq!(projected, whole);
    }

    #[test]
    fn a_corrupt_line_changes_only_itself(
        records in prop::collection::vec(any_record(), 2..6),
        which in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let which = which.index(records.len());
        let mut lines: Vec<Vec<u8>> = records.iter().map(|record| record.clone().into_bytes()).collect();
        let place = place.index(lines[which].len());
        lines[which][place] = if byte == b'\n' { b' ' } else { byte };
        // A record in front, so that the object is never refused.
        lines.insert(0, record("first").into_bytes());
        let before = read_as(format!("{}\n{}", record("first"), records.join("\n")).as_bytes(), &[], 8192, &[usize::MAX], usize::MAX).unwrap();
        let after = read_as(&lines.join(&b'\n'), &[], 8192, &[usize::MAX], usize::MAX).unwrap();
        let line = which as u64 + 2;
        let others = |outcome: &Outcome| {
            let mut outcome = outcome.clone();
            outcome.rows.retain(|row| row["_line"] != line.to_string());
            outcome.rejects.retain(|reject| reject.0 != line);
            outcome
        };
        prop_assert_eq!(after.rows.len() + after.rejects.len(), lines.len());
        prop_assert_eq!(others(&before), others(&after));
    }

    #[test]
    fn any_bytes_end_well(bytes in prop::collection::vec(prop::sample::select(b"{}[]:,\"\\ \n\te1-.tunx\xff\0".to_vec()), 0..200), size in 1usize..50) {
        let whole = read_as(&bytes, &[], 8192, &[usize::MAX], usize::MAX);
        prop_assert_eq!(&whole, &read_as(&bytes, &[], 1, &[size], usize::MAX));
        let head = [record("A").as_bytes(), b"\n", &bytes].concat();
        let _ = read_as(&head, &[], 1, &[size], 60);
    }
}
