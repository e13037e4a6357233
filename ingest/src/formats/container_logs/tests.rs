//! Tests of the container log parser, through its public face.

use super::*;
use crate::reader::{Limits, read_all};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use std::io::Write;

const TASK: &str = "0f9de17a6465404e8b1b2356dc13c2f8";
const ACCOUNT: &str = "111122223333";
/// 2025-11-20T07:05:09.123Z
const MILLIS: i64 = 1_763_622_309_123;

fn stamp(millis: i64) -> String {
    chrono::DateTime::from_timestamp_millis(millis)
        .unwrap()
        .format("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

fn setup(source: &str) -> Setup {
    Setup::whole(&ContainerLogs, source)
}

fn with_option(name: &str, value: &str) -> Setup {
    let mut setup = setup("x");
    setup.options.insert(name.to_owned(), value.to_owned());
    setup
}

fn cell(column: &ArrayRef, row: usize) -> String {
    match column.data_type() {
        _ if column.is_null(row) => "-".to_owned(),
        DataType::Utf8View => column.as_string_view().value(row).to_owned(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        _ => stamp(column.as_primitive::<TimestampMicrosecondType>().value(row) / 1000),
    }
}

/// Every row as text; what is NULL is `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parsed {
    rows: Vec<Vec<String>>,
    rejects: Vec<(u64, String, String, u64)>,
    passed: u64,
    seen: (Option<i64>, Option<i64>, Vec<(i64, i64)>),
    projection: Vec<usize>,
}

impl Parsed {
    fn new(setup: &Setup, batches: &[RecordBatch], tally: &Tally) -> Self {
        let schema = Arc::new(ContainerLogs.schema().project(&setup.projection).unwrap());
        let batch = concat_batches(&schema, batches).unwrap();
        assert_eq!(batch.num_rows() as u64, tally.rows);
        assert_eq!(tally.rejects.len() as u64, tally.rejected);
        Parsed {
            rows: (0..batch.num_rows())
                .map(|row| batch.columns().iter().map(|column| cell(column, row)).collect())
                .collect(),
            rejects: tally
                .rejects
                .iter()
                .map(|reject| {
                    (
                        reject.line,
                        reject.reason.clone(),
                        reject.raw.clone(),
                        reject.raw_bytes,
                    )
                })
                .collect(),
            passed: tally.passed,
            seen: (tally.first, tally.last, tally.minutes()),
            projection: setup.projection.to_vec(),
        }
    }

    /// The values of one column.
    fn column(&self, name: &str) -> Vec<&str> {
        let index = ContainerLogs.schema().index_of(name).unwrap();
        let place = self
            .projection
            .iter()
            .position(|&projected| projected == index)
            .unwrap();
        self.rows.iter().map(|row| row[place].as_str()).collect()
    }

    /// `_line: message` of each row.
    fn events(&self) -> Vec<String> {
        let lines = self.column("_line");
        lines
            .iter()
            .zip(self.column("message"))
            .map(|(line, message)| format!("{line}: {message}"))
            .collect()
    }

    fn reasons(&self) -> Vec<String> {
        self.rejects
            .iter()
            .map(|(line, reason, ..)| format!("{line}: {reason}"))
            .collect()
    }
}

fn read_with(bytes: impl AsRef<[u8]>, setup: &Setup, limits: Limits) -> Result<Parsed, Refusal> {
    let parser = ContainerLogs.parser(setup.clone()).expect("options are right");
    let (batches, tally) = read_all(parser, limits, bytes.as_ref().to_vec())?;
    Ok(Parsed::new(setup, &batches, &tally))
}

fn read(bytes: impl AsRef<[u8]>) -> Parsed {
    read_with(bytes, &setup("x"), Limits::default()).expect("container logs")
}

/// Reads `bytes` in blocks that end at `cuts`.
fn read_cut(bytes: &[u8], cuts: &[usize], setup: &Setup) -> Result<Parsed, Refusal> {
    let mut parser = ContainerLogs.parser(setup.clone()).expect("options are right");
    let mut tally = Tally::default();
    let mut batches = Vec::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&bytes.len()]) {
        let last = end == bytes.len();
        let mut block = Block::new(bytes[start..end.max(start)].to_vec());
        while parser.parse(&mut block, last, &mut tally)? == Progress::BatchFull {
            batches.push(parser.flush());
        }
        start += block.pos;
        if last {
            assert_eq!(start, bytes.len(), "all is taken");
            break;
        }
    }
    batches.push(parser.flush());
    for batch in &batches {
        assert!(batch.num_rows() <= setup.batch_rows);
    }
    Ok(Parsed::new(setup, &batches, &tally))
}

fn envelope(stream: &str, events: &[(i64, &str)]) -> String {
    let events: Vec<_> = events
        .iter()
        .enumerate()
        .map(|(id, (time, message))| serde_json::json!({"id": id.to_string(), "timestamp": time, "message": message}))
        .collect();
    serde_json::json!({
        "messageType": "DATA_MESSAGE", "owner": ACCOUNT, "logGroup": "/ecs/web", "logStream": stream,
        "subscriptionFilters": ["all"], "logEvents": events,
    })
    .to_string()
}

const CONTROL: &str = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1763622309123,"message":"CWL CONTROL MESSAGE: Checking health of destination."}]}"#;

/// One event of `aws logs filter-log-events`.
fn output_event(stream: &str, time: i64, message: &str) -> String {
    serde_json::json!({
        "logStreamName": stream, "timestamp": time, "message": message, "ingestionTime": time + 5,
        "eventId": format!("e{time}"),
    })
    .to_string()
}

fn wrapped(documents: &str) -> String {
    use base64::Engine;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(documents.as_bytes()).unwrap();
    let data = base64::engine::general_purpose::STANDARD.encode(gzip.finish().unwrap());
    format!("{{\"awslogs\":{{\"data\":\"{data}\"}}}}")
}

#[test]
fn lines_of_an_export_are_events() {
    let at = stamp(MILLIS);
    for (text, events, reasons) in [
        (format!("{at} one\n{at} two\n"), vec!["1: one", "2: two"], vec![]),
        (format!("{at} one\n{at} two"), vec!["1: one", "2: two"], vec![]),
        (
            format!("{at} one\r\n{at} two\r\n"),
            vec!["1: one", "2: two"],
            vec![],
        ),
        (
            format!("{at} one\n  at x\n\tat y\n{at} two\n"),
            vec!["1: one\n  at x\n\tat y", "4: two"],
            vec![],
        ),
        // Exports of Lambda: each message has a line feed of its own.
        (
            format!("{at} one\n\n{at} two\n\n"),
            vec!["1: one\n", "3: two\n"],
            vec![],
        ),
        (
            format!("{at} \n{at}\n{at} \r\n"),
            vec!["1: ", "2: ", "3: "],
            vec![],
        ),
        (format!("{at}  two spaces \n"), vec!["1:  two spaces "], vec![]),
        (
            format!("{at} a\0b\u{1b}[31m\u{7}\n"),
            vec!["1: a\0b\u{1b}[31m\u{7}"],
            vec![],
        ),
        (
            format!("{at} {at} own time\n"),
            vec![&*format!("1: {at} own time")],
            vec![],
        ),
        (format!("{at} {{\"a\":1}}\n"), vec!["1: {\"a\":1}"], vec![]),
        (format!("{at} mark\n"), vec!["1: mark"], vec![]),
        (
            format!("\n\n{at} blank before\n"),
            vec!["3: blank before"],
            vec![],
        ),
        (
            format!("left\nover\n{at} one\n"),
            vec!["3: one"],
            vec!["1: continuation line before the first event"],
        ),
        (
            format!("{{\"left\": \"over\"}}\n{at} one\n"),
            vec!["2: one"],
            vec!["1: continuation line before the first event"],
        ),
        (String::new(), vec![], vec![]),
        (" \n\r\n".to_owned(), vec![], vec![]),
    ] {
        let parsed = read(&text);
        assert_eq!(parsed.events(), events, "{text:?}");
        assert_eq!(parsed.reasons(), reasons, "{text:?}");
    }
}

#[test]
fn a_line_that_is_not_utf8_costs_what_is_behind_it_in_its_event() {
    let at = stamp(MILLIS);
    let text = [
        format!("{at} one\n").as_bytes(),
        format!("{at} tw").as_bytes(),
        b"\xff\n  at x\n",
        format!("{at} three\n  at y\n").as_bytes(),
        b"  \xff\xfe\r\n  at z\r\n",
        format!("{at} four\n").as_bytes(),
        b"2025-\xff1-20T07:05:09.123Z five\n",
        format!("{at} six\n").as_bytes(),
    ]
    .concat();
    let parsed = read(&text);
    assert_eq!(
        parsed.events(),
        ["1: one", "4: three\n  at y", "8: four", "10: six"]
    );
    let raws: Vec<_> = parsed
        .rejects
        .iter()
        .map(|(line, _, raw, _)| (*line, raw.as_str()))
        .collect();
    let second = format!("{at} tw\u{fffd}\n  at x");
    let expected = [
        (2, second.as_str()),
        (6, "  \u{fffd}\u{fffd}\r\n  at z"),
        (9, "2025-\u{fffd}1-20T07:05:09.123Z five"),
    ];
    assert_eq!(raws, expected);
    assert!(
        parsed
            .reasons()
            .iter()
            .all(|reason| reason.ends_with(": a line that is not valid UTF-8"))
    );
}

#[test]
fn the_path_names_stream_account_and_region() {
    let text = format!("{} one\n", stamp(MILLIS));
    let export = "c13b4cb4-0c5a-4f5d-8f3c-1f1c7e3a9b2d";
    let stream = format!("web-app-{TASK}");
    let source = format!("s3://logs/{ACCOUNT}/eu-central-1/{export}/{stream}/000000.gz");
    let parsed = read_with(&text, &setup(&source), Limits::default()).unwrap();
    for (column, value) in [
        ("event_time", "2025-11-20T07:05:09.123Z"),
        ("log_group", "-"),
        ("log_stream", &stream),
        ("stream_prefix", "web"),
        ("container_name", "app"),
        ("task_id", TASK),
        ("account_id", ACCOUNT),
        ("region", "eu-central-1"),
        ("_source", &source),
    ] {
        assert_eq!(parsed.column(column), [value], "{column}");
    }
    for column in ["log_stream", "task_id", "account_id", "region"] {
        assert_eq!(read(&text).column(column), ["-"], "{column}");
    }
}

#[test]
fn tail_names_the_stream_on_each_line() {
    let text = format!(
        "2025-11-20T07:05:09.123000+00:00 web/app/{TASK} one\n  more\n\
         2025-11-20T07:05:10+00:00 other two words\n2025-11-20T07:05:10.500000+00:00 other\n"
    );
    let parsed = read(text);
    assert_eq!(parsed.events(), ["1: one\n  more", "3: two words", "4: "]);
    assert_eq!(
        parsed.column("log_stream"),
        [&*format!("web/app/{TASK}"), "other", "other"]
    );
    assert_eq!(parsed.column("container_name"), ["app", "-", "-"]);
    assert_eq!(parsed.column("event_time")[2], "2025-11-20T07:05:10.500Z");
}

#[test]
fn envelopes_fill_every_column_that_they_can() {
    let document = format!(
        r#"{{"logEvents":[
             {{"id":"35311576111948622874033876462979853992919938886093242368","timestamp":{MILLIS},
               "message":"say \"hi\"\n","extractedFields": {{ "a \" b": "1 2" }}}},
             {{"message":"plain","timestamp":1763622309,"id":7,"x":null,"policyLevel":"mine"}}],
           "owner":"{ACCOUNT}","logGroup":"/ecs/web","logStream":"web/app/{TASK}","messageType":"DATA_MESSAGE",
           "subscriptionFilters": [ "a",
             "b c" ],"policyLevel":"ACCOUNT_LEVEL_POLICY"}}"#
    );
    let parsed = read_with(document, &setup("us-east-1/x.gz"), Limits::default()).unwrap();
    let stream = format!("web/app/{TASK}");
    for (column, values) in [
        (
            "event_time",
            ["2025-11-20T07:05:09.123Z", "2025-11-20T07:05:09.000Z"],
        ),
        ("log_group", ["/ecs/web"; 2]),
        ("log_stream", [stream.as_str(); 2]),
        ("stream_prefix", ["web"; 2]),
        ("container_name", ["app"; 2]),
        ("task_id", [TASK; 2]),
        ("message", ["say \"hi\"\n", "plain"]),
        (
            "event_id",
            ["35311576111948622874033876462979853992919938886093242368", "-"],
        ),
        ("ingestion_time", ["-"; 2]),
        ("account_id", [ACCOUNT; 2]),
        ("region", ["us-east-1"; 2]),
        ("subscription_filters", [r#"["a","b c"]"#; 2]),
        (
            "extra",
            [
                r#"{"policyLevel":"ACCOUNT_LEVEL_POLICY","extractedFields":{"a \" b":"1 2"}}"#,
                r#"{"id":7,"policyLevel":"mine"}"#,
            ],
        ),
        ("_line", ["1", "2"]),
    ] {
        assert_eq!(parsed.column(column), values, "{column}");
    }
    assert_eq!(parsed.reasons(), [""; 0]);
}

#[test]
fn documents_follow_each_other_with_or_without_lines() {
    let one = envelope("s", &[(MILLIS, "a"), (MILLIS, "b")]);
    let two = envelope("t", &[(MILLIS, "c")]);
    let pretty: serde_json::Value = serde_json::from_str(&one).unwrap();
    for (text, events, passed) in [
        (format!("{one}{two}"), vec!["1: a", "2: b", "3: c"], 0),
        (format!("{one}\n{two}\n"), vec!["1: a", "2: b", "3: c"], 0),
        (
            format!("{pretty:#}\r\n{CONTROL}\n{two}"),
            vec!["1: a", "2: b", "4: c"],
            1,
        ),
        (format!("{CONTROL}{CONTROL}"), vec![], 2),
        (envelope("s", &[]), vec![], 0),
        (wrapped(&one), vec!["1: a", "2: b"], 0),
        (
            format!("{}\n{CONTROL}{two}", wrapped(&format!("{one}{CONTROL}{two}"))),
            vec!["1: a", "2: b", "4: c", "6: c"],
            2,
        ),
        (two.clone(), vec!["1: c"], 0),
    ] {
        let parsed = read(&text);
        assert_eq!(parsed.events(), events, "{text}");
        assert_eq!((parsed.passed, parsed.reasons()), (passed, vec![]), "{text}");
    }
}

#[test]
fn output_of_aws_logs_is_read_in_all_its_shapes() {
    let stream = format!("web/app/{TASK}");
    let (a, b) = (
        output_event(&stream, MILLIS, "a\"b"),
        output_event("s", MILLIS + 1, "c"),
    );
    let filter = format!(r#"{{"events":[{a},{b}],"searchedLogStreams":[{{"x":[1]}}],"nextToken":"t"}}"#);
    let pretty: serde_json::Value = serde_json::from_str(&filter).unwrap();
    for text in [
        filter.clone(),
        format!("{pretty:#}\n"),
        format!(r#"{{"searchedLogStreams":[],"events":[{a},{b}]}}"#),
        format!("[{a},{b}]"),
        format!("[\n  {a},\n  {b}\n]\n"),
        format!("{a}\n{b}\n"),
    ] {
        let parsed = read(&text);
        assert_eq!(parsed.events(), ["1: a\"b", "2: c"], "{text}");
        assert_eq!(parsed.column("container_name"), ["app", "-"]);
        assert_eq!(parsed.column("log_stream"), [stream.as_str(), "s"]);
        assert_eq!(
            parsed.column("event_id"),
            [format!("e{MILLIS}"), format!("e{}", MILLIS + 1)]
        );
        assert_eq!(parsed.column("ingestion_time")[0], "2025-11-20T07:05:09.128Z");
        assert_eq!(parsed.column("extra"), ["-", "-"]);
        assert_eq!(parsed.reasons(), [""; 0]);
    }
    let get = r#"{"events":[{"timestamp":1763622309123,"message":"m","ingestionTime":1}],"nextForwardToken":"f/1"}"#;
    assert_eq!(read(get).column("log_stream"), ["-"]);
    assert_eq!(read("{\"events\":[]}\n[]").events(), [""; 0]);
    // Pages, one behind the other.
    assert_eq!(read(format!("{filter}\n{filter}")).events().len(), 4);
}

#[test]
fn what_does_not_parse_costs_no_neighbour() {
    let one = envelope("s", &[(MILLIS, "a")]);
    let two = envelope("t", &[(MILLIS, "b")]);
    let broken = one.replace("\"owner\":", "\"owner\"");
    let event = output_event("s", MILLIS, "c");
    for (text, events, reasons) in [
        (
            format!("{one}\n{broken}\n{two}"),
            vec!["1: a", "3: b"],
            vec!["2: a document that does not parse: expected ':' after a key"],
        ),
        (
            format!("{broken}{two}"),
            vec!["2: b"],
            vec!["1: a document that does not parse: expected ':' after a key"],
        ),
        (
            format!("{one}{}", &two[..two.len() - 1]),
            vec!["1: a"],
            vec!["2: a document that does not parse: the text ends inside a value"],
        ),
        // A quote is lost: all that follows looks like the wrong side of a string.
        (
            format!("{}\n{two}", one.replace("\"all\"", "\"all")),
            vec!["2: b"],
            vec!["1: a document that does not parse: expected ',' or ']' after an element"],
        ),
        (
            format!("{}{two}", one.replace("]}", "}")),
            vec!["2: b"],
            vec!["1: a document that does not parse: expected ',' or ']' after an element"],
        ),
        (
            format!("{one} oops {two}"),
            vec!["1: a", "3: b"],
            vec!["2: text between two documents"],
        ),
        (
            format!("{one}\noops\n{two}"),
            vec!["1: a", "3: b"],
            vec!["2: text between two documents"],
        ),
        (
            format!("\0{one}"),
            vec!["2: a"],
            vec!["1: text between two documents"],
        ),
        (
            format!("{one}\n[1]\n{two}"),
            vec!["1: a", "3: b"],
            vec!["2: a list of something else than events"],
        ),
        (
            format!("{one}{{\"a\":1}}{two}"),
            vec!["1: a", "3: b"],
            vec!["2: a document without logEvents"],
        ),
        (
            one.replace("[{\"id", "[7,{},{\"message\":\"m\"},{\"timestamp\":1},{\"id"),
            vec!["5: a"],
            vec![
                "1: an event that is not an object",
                "2: an event without timestamp",
                "3: an event without timestamp",
                "4: an event without message",
            ],
        ),
        (
            one.replace("\"a\"", "null")
                .replace('}', "},{\"timestamp\":\"x\"},{\"timestamp\":9,\"message\":{}}")
                .replace("]},{\"timestamp\":\"x\"},{\"timestamp\":9,\"message\":{}}", "]}"),
            vec![],
            vec![
                "1: an event without message",
                "2: its timestamp is not a whole number",
                "3: its message is not text",
            ],
        ),
        (
            format!("{{\"events\":[{event},{{\"timestamp\":1,\"mess\"}},{event}],\"nextToken\":\"\"}}"),
            vec!["1: c", "3: c"],
            vec!["2: an event that does not parse: expected ':' after a key"],
        ),
        (
            format!(
                "{{\"events\":[\n    {event},\n    {{\"timestamp\":1,\n    \"mess\"}},\n    {event}\n]}}\n{one}"
            ),
            vec!["1: c", "3: c", "4: a"],
            vec!["2: an event that does not parse: expected ':' after a key"],
        ),
        (
            format!("{{\"events\":[{event},{{\"timestamp\":1,\"mess\n{one}"),
            vec!["1: c", "3: a"],
            vec!["2: an event that does not parse: control character in a string"],
        ),
        (
            format!("{{\"events\":[{event},{{\"timestamp\":1"),
            vec!["1: c"],
            vec!["2: an event that does not parse: the text ends inside a value"],
        ),
        (
            format!("{{\"events\":[{event},"),
            vec!["1: c"],
            vec!["2: a list of events that is cut off"],
        ),
        (
            format!("{{\"events\":[{event}],\"next"),
            vec!["1: c"],
            vec!["2: a document that does not parse behind its events: the text ends inside a value"],
        ),
        (
            format!("{{\"events\":[{event}] 1}}\n{one}"),
            vec!["1: c", "3: a"],
            vec!["2: a document that does not parse behind its events: expected ',' or '}' after a member"],
        ),
        (
            format!("{}{one}", wrapped("plain text")),
            vec!["2: a"],
            vec!["1: text between two documents"],
        ),
        (
            format!("{}{one}", wrapped("{\"a\":1}")),
            vec!["2: a"],
            vec![
                "1: in awslogs.data: not container logs: JSON without logEvents or events; its members are \"a\"",
            ],
        ),
        (
            wrapped(&wrapped(&one)),
            vec![],
            vec![
                "1: in awslogs.data: not container logs: JSON without logEvents or events; its members are \"awslogs\"",
            ],
        ),
        (
            r#"{"awslogs":{"data":"?"}}"#.to_owned(),
            vec![],
            vec!["1: awslogs.data: not base64: Invalid symbol 63, offset 0."],
        ),
    ] {
        let parsed = read(&text);
        assert_eq!(parsed.events(), events, "{text}");
        assert_eq!(parsed.reasons(), reasons, "{text}");
    }
}

#[test]
fn an_event_that_is_not_utf8_costs_itself() {
    let mut text = envelope("s", &[(MILLIS, "a"), (MILLIS, "b?"), (MILLIS, "c")]).into_bytes();
    let at = text.iter().position(|&byte| byte == b'?').unwrap();
    text[at] = 0xff;
    let parsed = read(&text);
    assert_eq!(parsed.events(), ["1: a", "3: c"]);
    assert_eq!(parsed.reasons(), ["2: an event that is not valid UTF-8"]);
    let at = text.iter().position(|&byte| byte == b'w').unwrap();
    text[at] = 0xff;
    assert_eq!(read(&text).reasons(), ["1: a member is not valid UTF-8"]);
}

#[test]
fn other_data_is_refused_with_a_hint() {
    let far = format!("{}{} one\n", "no time\n".repeat(9000), stamp(MILLIS));
    for (bytes, hint) in [
        (
            &b"version account-id interface-id srcaddr\n2 1 eni-1 10.0.0.1\n"[..],
            "its first line is the header",
        ),
        (
            b"2 111122223333 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 40 1 2 ACCEPT OK\n",
            "without its header line",
        ),
        (
            br#"{"Records":[{"eventVersion":"1.11","awsRegion":"us-east-1"#,
            "try --from cloudtrail",
        ),
        (
            br#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3"}]}"#,
            "a notification of AWS",
        ),
        (
            br#"{"Records":[{"SequenceNumber":"1","Data":"H4sI","PartitionKey":"x"}]}"#,
            "a Kinesis stream",
        ),
        (
            br#"{"awsAccountId":"111122223333","digestStartTime":"x"}"#,
            "a CloudTrail digest",
        ),
        (
            br#"{"version":"0","id":"x","detail-type":"ECS Task State Change"}"#,
            "an event of EventBridge",
        ),
        (
            br#"{"log":"x\n","stream":"stdout","time":"x"}"#,
            "Docker's json-file driver",
        ),
        (br#"{"level":"info","msg":"x"}"#, "its members are \"level, msg\""),
        (
            br#"{"timestamp":"2025-11-20","message":"x"}"#,
            "its members are \"timestamp, message\"",
        ),
        (b"2025-11-20T07:05:09 short\n", "use --format detailed"),
        (b"plain text\nmore\n", "it begins with \"plain text\""),
        (b"\xff\xfe2\x000\x00", "UTF-16"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"\x1f\x8b\x08\x00", "gzip within gzip"),
        (b"\x7fELF\x00\x01", "binary data"),
        (b"{ not json", "not JSON"),
        (b"[2025] started", "not JSON"),
        (far.as_bytes(), "no line begins with a time"),
    ] {
        // Straight to the parser: the reader would unpack some of these.
        let refusal = read_cut(bytes, &[], &setup("x")).unwrap_err();
        assert!(refusal.reason.contains(hint), "{refusal}");
    }
    let refusal = read_with(
        "Permission Check Successful",
        &setup("s3://b/p/aws-logs-write-test"),
        Limits::default(),
    );
    assert!(refusal.unwrap_err().reason.contains("tries an export's bucket"));
    // Near enough to the front it is an export that begins with the end of an event.
    assert_eq!(read(&far[far.len() - 8000..]).rows.len(), 1);
    // A trail file is refused at its first bytes, however large it is.
    let refusal = read_cut(
        &[&b"{\"Records\":[{\"a\":\""[..], &[b'x'; 70_000]].concat(),
        &[66_000],
        &setup("x"),
    );
    assert!(refusal.unwrap_err().reason.contains("CloudTrail"));
}

#[test]
fn a_record_larger_than_memory_allows_costs_itself() {
    let at = stamp(MILLIS);
    let long = "x".repeat(3000);
    let (event, last) = (output_event("s", MILLIS, "c"), output_event("s", MILLIS, "d"));
    let long_event = output_event("s", MILLIS, &long);
    let (one, two) = (envelope("s", &[(MILLIS, "a")]), envelope("s", &[(MILLIS, "b")]));
    let long_envelope = envelope("s", &[(MILLIS, &long)]);
    for (text, events, reason) in [
        (
            format!("{at} one\n{at} {long}\n{at} three\n"),
            ["1: one", "3: three"],
            "2: an event of more than",
        ),
        (
            format!("{at} one\n{at} x\n{}\n{at} three\n", "y\n".repeat(1500)),
            ["1: one", "1504: three"],
            "2: an event of more than",
        ),
        (
            format!("{{\"events\":[{event},{long_event},{last}]}}"),
            ["1: c", "3: d"],
            "2: an event of more than",
        ),
        (
            format!("{{\"events\":[\n    {event},\n    {long_event},\n    {last}\n]}}"),
            ["1: c", "3: d"],
            "2: an event of more than",
        ),
        (
            format!("{one}{long_envelope}{two}"),
            ["1: a", "3: b"],
            "2: a document of more than",
        ),
        (
            format!("{one}\n{long_envelope}\n{two}\n"),
            ["1: a", "3: b"],
            "2: a document of more than",
        ),
    ] {
        for block_bytes in [64, 100, 997] {
            // The limit lies above what it takes to tell lines from documents only in real life.
            let limits = Limits {
                block_bytes,
                record_bytes_max: 1000,
                whole_bytes_max: 0,
            };
            let parsed = read_with(&text, &setup("x"), limits).unwrap();
            assert_eq!(parsed.events(), events, "{text}");
            assert_eq!(parsed.rejects.len(), 1, "{:?}", parsed.rejects);
            assert!(parsed.reasons()[0].starts_with(reason), "{:?}", parsed.reasons());
        }
    }
}

#[test]
fn events_join_by_pattern() {
    let at = stamp(MILLIS);
    let text = format!("{at} E one\n{at}   at x\n{at}   at y\n  z\n{at} E two\n{at} \n");
    for setup in [
        with_option("multiline_pattern", "^E"),
        with_option("datetime_format", "^E%Q"),
    ] {
        let parsed = read_with(&text, &setup, Limits::default()).unwrap();
        assert_eq!(parsed.events(), ["1: E one\n  at x\n  at y\n  z", "5: E two\n"]);
    }
    let output: Vec<_> = [("a", "E1"), ("b", "E2"), ("a", " x"), ("b", " y"), ("a", "E3")]
        .iter()
        .zip(0..)
        .map(|((stream, message), offset)| output_event(stream, MILLIS + offset, message))
        .collect();
    let parsed = read_with(
        format!("[{}]", output.join(",")),
        &with_option("multiline_pattern", "^E"),
        Limits::default(),
    )
    .unwrap();
    assert_eq!(parsed.events(), ["1: E1\n x", "2: E2\n y", "5: E3"]);
    assert_eq!(parsed.column("log_stream"), ["a", "b", "a"]);
    assert_eq!(parsed.column("event_id")[0], format!("e{MILLIS}"));
    assert_eq!(parsed.column("event_time")[0], at);
}

#[test]
fn joined_events_survive_an_object_that_is_cut_off() {
    let at = stamp(MILLIS);
    let text: String = (0..3000)
        .map(|number| format!("{at}   number {}\n", number * 7919 % 9973))
        .collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let bytes = gzip.finish().unwrap();
    let setup = with_option("multiline_pattern", "^E");
    let limits = Limits {
        block_bytes: 1000,
        ..Limits::default()
    };
    let parsed = read_with(&bytes[..bytes.len() / 2], &setup, limits).unwrap();
    assert_eq!(parsed.rows.len(), 1);
    let lines = parsed.column("message")[0].lines().count() as u64;
    assert!(lines > 1000, "{lines}");
    // No line is lost between the rows and the reject of the cut-off end.
    assert_eq!(parsed.rejects.len(), 1);
    assert_eq!(parsed.rejects[0].0, lines + 1);
}

#[test]
fn options_are_checked() {
    let reason = |setup: Setup| ContainerLogs.parser(setup).err().unwrap().to_string();
    assert!(reason(with_option("multiline", "x")).contains("there is no such option"));
    assert!(reason(with_option("multiline_pattern", "(")).contains("unclosed group"));
    assert!(reason(with_option("multiline_pattern", "")).contains("it is empty"));
    assert!(reason(with_option("datetime_format", "[%Y")).contains("unclosed character class"));
    let mut both = with_option("multiline_pattern", "x");
    both.options.insert("datetime_format".to_owned(), "%Y".to_owned());
    assert!(reason(both).contains("exclude each other"));
}

#[test]
fn column_numbers_name_the_columns_that_they_say() {
    for (index, name) in [
        (EVENT_TIME, "event_time"),
        (LOG_GROUP, "log_group"),
        (LOG_STREAM, "log_stream"),
        (STREAM_PREFIX, "stream_prefix"),
        (CONTAINER_NAME, "container_name"),
        (TASK_ID, "task_id"),
        (MESSAGE, "message"),
        (EVENT_ID, "event_id"),
        (INGESTION_TIME, "ingestion_time"),
        (ACCOUNT_ID, "account_id"),
        (REGION, "region"),
        (SUBSCRIPTION_FILTERS, "subscription_filters"),
        (EXTRA, "extra"),
    ] {
        assert_eq!(COLUMNS[index].name, name);
    }
}

#[test]
fn a_batch_of_long_messages_is_cut_early() {
    let message = "x".repeat(200_000);
    let text: String = (0..100)
        .map(|_| format!("{} {message}\n", stamp(MILLIS)))
        .collect();
    let parser = ContainerLogs.parser(setup("x")).unwrap();
    let (batches, tally) = read_all(parser, Limits::default(), text).unwrap();
    assert_eq!(tally.rows, 100);
    assert!(batches.len() > 1 && batches.iter().all(|batch| batch.num_rows() < 90));
}

/// Pieces of an object of lines, good and bad.
fn line_pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        4 => (0..90_000i64, "[ -~é\t\0]{0,12}")
            .prop_map(|(offset, text)| format!("{} {text}\n", stamp(MILLIS + offset)).into_bytes()),
        2 => "[ -~é]{0,8}\r?\n".prop_map(String::into_bytes),
        1 => Just(b"E first\xff\n".to_vec()),
        1 => Just(format!("{}\r\n", stamp(MILLIS)).into_bytes()),
        1 => Just(b"2025-11-20T07:05".to_vec()),
        1 => Just(b"{\"messageType\":".to_vec()),
    ];
    prop::collection::vec(piece, 0..12)
}

/// Pieces of an object of documents, good and bad.
fn document_pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let message = "[ -~é\n]{0,8}";
    let piece = prop_oneof![
        3 => (prop::collection::vec((0..90_000i64, message), 0..4), any::<bool>()).prop_map(|(events, pretty)| {
            let events: Vec<_> = events.iter().map(|(offset, text)| (MILLIS + offset, text.as_str())).collect();
            let document = envelope("a/b/c", &events);
            if pretty {
                format!("{:#}", serde_json::from_str::<serde_json::Value>(&document).unwrap()).into_bytes()
            } else {
                document.into_bytes()
            }
        }),
        3 => prop::collection::vec(("[ab]", 0..90_000i64, message), 0..4).prop_map(|events| {
            let events: Vec<_> =
                events.iter().map(|(stream, offset, text)| output_event(stream, MILLIS + offset, text)).collect();
            format!("{{\"events\":[{}],\"nextToken\":12}}", events.join(",\n  ")).into_bytes()
        }),
        2 => Just(b"\n".to_vec()),
        1 => Just(CONTROL.as_bytes().to_vec()),
        1 => Just(output_event("b", MILLIS, "E bare").into_bytes()),
        1 => Just(wrapped(CONTROL).into_bytes()),
        1 => Just(wrapped(&envelope("s", &[(MILLIS, "E wrapped\n"), (MILLIS, "w")])).into_bytes()),
        1 => Just(b"{\"events\":[{\"timestamp\":1,\"message\":\"\xff\"},12,3, {\"a\":".to_vec()),
        1 => Just(b"{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[1,{}".to_vec()),
        1 => Just(b"[{\"a\":tru},\n {\"b\"}".to_vec()),
        1 => Just(b"junk \xff \"{\" ,{ ".to_vec()),
        1 => Just(b"{\"a\":12}".to_vec()),
    ];
    prop::collection::vec(piece, 0..8)
}

/// An object of either kind. Documents come behind so much space that their kind
/// is told before the first of them is seen: else small objects would be one block.
fn object() -> impl Strategy<Value = (Vec<u8>, usize)> {
    prop_oneof![
        line_pieces().prop_map(|pieces| (pieces.concat(), 0)),
        document_pieces().prop_map(|pieces| {
            let space = FIRST_EVENT_WITHIN_BYTES + 1;
            let mut bytes = envelope("first", &[]).into_bytes();
            bytes.resize(bytes.len() + space, b' ');
            let start = bytes.len();
            (bytes.into_iter().chain(pieces.concat()).collect(), start)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn blocks_and_batches_may_end_anywhere(
        (bytes, start) in object(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        batch_rows in 1..5usize,
        joins in any::<bool>(),
    ) {
        let mut setup = if joins { with_option("multiline_pattern", "^E") } else { setup("x") };
        let whole = read_cut(&bytes, &[], &setup);
        setup.batch_rows = batch_rows;
        let mut cuts: Vec<_> = cuts.iter().map(|cut| start + cut.index(bytes.len() - start + 1)).collect();
        cuts.sort_unstable();
        cuts.retain(|&cut| cut < bytes.len());
        prop_assert_eq!(read_cut(&bytes, &cuts, &setup), whole);
    }

    #[test]
    fn projection_changes_nothing_else(
        (bytes, _) in object(),
        columns in prop::sample::subsequence((0..COLUMNS.len() + 3).collect::<Vec<_>>(), 0..8),
        joins in any::<bool>(),
    ) {
        let mut setup = if joins { with_option("multiline_pattern", "^E") } else { setup("x") };
        let whole = read_cut(&bytes, &[], &setup);
        setup.projection = columns.clone().into();
        let projected = read_cut(&bytes, &[], &setup);
        let expected = whole.map(|mut parsed| {
            for row in &mut parsed.rows {
                *row = columns.iter().map(|&column| row[column].clone()).collect();
            }
            parsed.projection = columns;
            parsed
        });
        prop_assert_eq!(projected, expected);
    }

    #[test]
    fn what_is_printed_as_lines_is_read_back(
        events in prop::collection::vec((0..90_000i64, "[ -~é\t\0]{0,9}(\n[a-z ]{0,5}){0,2}"), 1..8),
    ) {
        let text: String =
            events.iter().map(|(offset, message)| format!("{} {message}\n", stamp(MILLIS + offset))).collect();
        let parsed = read(text);
        let times: Vec<_> = events.iter().map(|(offset, _)| stamp(MILLIS + offset)).collect();
        let messages: Vec<_> = events.iter().map(|(_, message)| message.as_str()).collect();
        prop_assert_eq!(parsed.column("event_time"), times);
        prop_assert_eq!(parsed.column("message"), messages);
        prop_assert_eq!(parsed.rejects, []);
    }

    #[test]
    fn what_is_printed_as_json_is_read_back(
        events in prop::collection::vec((0..90_000i64, any::<String>()), 1..6),
        as_output in any::<bool>(),
        packed in any::<bool>(),
    ) {
        let text = if as_output {
            let events: Vec<_> =
                events.iter().map(|(offset, message)| output_event("s", MILLIS + offset, message)).collect();
            format!("{{\"events\":[{}]}}", events.join(","))
        } else {
            let events: Vec<_> =
                events.iter().map(|(offset, message)| (MILLIS + offset, message.as_str())).collect();
            envelope("s", &events)
        };
        let parsed = read(if packed { wrapped(&text) } else { text });
        let messages: Vec<_> = events.iter().map(|(_, message)| message.as_str()).collect();
        prop_assert_eq!(parsed.column("message"), messages);
        prop_assert_eq!(parsed.rejects, []);
    }

    #[test]
    fn a_corrupt_line_changes_its_event_only(
        events in prop::collection::vec((0..90_000i64, "[a-z ]{0,9}(\n[a-z ]{0,5}){0,2}"), 2..6),
        hit in any::<prop::sample::Index>(),
    ) {
        let printed: Vec<_> =
            events.iter().map(|(offset, message)| format!("{} {message}\n", stamp(MILLIS + offset))).collect();
        let mut bytes = printed.concat().into_bytes();
        let at = hit.index(bytes.len());
        let victim = printed
            .iter()
            .scan(0, |end, event| { *end += event.len(); Some(*end) })
            .position(|end| at < end)
            .unwrap();
        let before = read(&bytes);
        bytes.insert(at, 0xff);
        let after = read(&bytes);
        let victims_line = before.column("_line")[victim].to_owned();
        let without = |parsed: &Parsed| -> Vec<_> {
            parsed.events().into_iter().filter(|event| !event.starts_with(&format!("{victims_line}: "))).collect()
        };
        prop_assert_eq!(without(&after), without(&before));
        prop_assert_eq!(after.rejects.len(), 1);
    }

    #[test]
    fn a_corrupt_document_changes_itself_only(
        counts in prop::collection::vec(0..3usize, 2..5),
        hit in any::<prop::sample::Index>(),
    ) {
        let documents: Vec<_> = counts
            .iter()
            .zip('a'..)
            .map(|(&count, name)| envelope(&name.to_string(), &vec![(MILLIS, "text"); count]) + "\n")
            .collect();
        let mut bytes = documents.concat().into_bytes();
        let at = hit.index(bytes.len());
        let victim = documents
            .iter()
            .scan(0, |end, document| { *end += document.len(); Some(*end) })
            .position(|end| at < end)
            .unwrap();
        bytes.insert(at, 0xff);
        let parsed = read(&bytes);
        for (index, (&count, name)) in counts.iter().zip('a'..).enumerate() {
            let rows = parsed.column("log_stream").iter().filter(|&&stream| stream == name.to_string()).count();
            prop_assert!(rows == count || (index == victim && rows < count));
        }
        prop_assert_eq!(parsed.rejects.len(), 1);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(
        prop_oneof![Just(b'{'), Just(b'"'), Just(b'\n'), Just(b','), Just(b'['), Just(0xff), any::<u8>()], 0..60,
    ), first in prop::sample::select(vec!["", "{\"events\":[", "{\"messageType\":", "2025-11-20T07:05:09.123Z "])) {
        let _ = read_cut(&[first.as_bytes(), &bytes].concat(), &[], &setup("x"));
    }
}
