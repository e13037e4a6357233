//! What the parser makes of each shape of input, and what it must never do.

use proptest::prelude::*;

use super::testing::{
    Outcome, Way, any_stream, check_documents, check_stream, column_names, printed, read, read_as, refusal,
    subscription,
};
use super::*;
use crate::formats::{Format, OptionError};

#[rustfmt::skip]
const SPECS: &[Spec] = &[
    Spec::first("event_time", Kind::Time, &["when", "meta.when"], ""),
    Spec::at("name", Kind::Text, "name", ""),
    Spec::at("size", Kind::Int, "size", ""),
    Spec::at("share", Kind::Double, "share", ""),
    Spec::at("is_new", Kind::Bool, "is_new", ""),
    Spec::at("inner", Kind::Text, "meta.inner.name", ""),
    Spec::at("second", Kind::Text, "list[1].name", ""),
    Spec::at("deep", Kind::Long, "list[0].list[2]", ""),
    Spec::at("dotted", Kind::Text, r"a\.b", ""),
    Spec::first("either", Kind::Text, &["one", "two"], ""),
    Spec::at("meta", Kind::Json, "meta", ""),
    Spec::made("length", Kind::Long, &["name", "size"], length, ""),
    Spec::at("account_id", Kind::Text, "account", ""),
    Spec::at("region", Kind::Text, "region", ""),
    Spec::extra(""),
];

fn length<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    Some(Value::Int(found[0]?.len() as i64 - 2))
}

const COLUMNS: [Column; SPECS.len()] = columns(SPECS);

static SHAPE: Shape = Shape {
    noun: "a thing",
    specs: SPECS,
    class: |object| {
        if object.has("name") && object.has("when") {
            Class::Record
        } else if object.text("source").as_deref() == Some("things") {
            Class::Inside("detail.things")
        } else if object.has("header") {
            Class::Pass
        } else {
            Class::Unknown
        }
    },
    marks: &["when"],
    lists: &["events", "Things"],
    constants: &[("v", "1")],
};

#[derive(Debug)]
struct Things;

impl Format for Things {
    fn name(&self) -> &'static str {
        "things"
    }

    fn about(&self) -> &'static str {
        ""
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        Ok(parser(&SHAPE, &setup))
    }
}

const A: &str = r#"{"when":"2025-11-20T07:00:00Z","name":"A","list":[{"x":{"y":1}},{"name":"b"}]}"#;
const B: &str =
    r#"{"when":1763622001,"name":"B","meta":{"when":1,"inner":{"name":"i"}},"account":"444455556666"}"#;
const C: &str = r#"{"v":1,"when":1763622002123,"name":"C \" \u00e9","size":3}"#;
const RECORDS: &[&str] = &[A, B, C];

fn names(outcome: &Outcome) -> Vec<&str> {
    outcome.column("name")
}

#[test]
fn shapes_envelopes_and_broken_neighbours_make_no_difference() {
    check_documents(&Things, RECORDS);
}

#[test]
fn lists_and_envelopes_of_the_format_are_read_too() {
    let inside = |things: &str| {
        format!(
            r#"{{"source":"things","detail-type":"T","account":"111122223333","region":"r","time":"2025-11-20T07:00:00Z","detail":{{"things":{things}}}}}"#
        )
    };
    let text = |text: &str| serde_json::to_string(text).unwrap();
    let all = format!("[{A},{B},{C}]");
    for (shape, text, passed) in [
        ("a list", format!(r#"{{"Things":{all}}}"#), 0),
        (
            "a printed list",
            printed(&format!(
                r#"{{"before":{{"x":[{{}}]}},"Things":{all},"next":null,"n":12}}"#
            )),
            0,
        ),
        (
            "two lists",
            format!(r#"{{"Things":[{A}],"Things":[{B}],"events":[{C}]}}"#),
            0,
        ),
        (
            "documents with lists",
            format!("{{\"Things\":[{A}]}}{{ \"events\" :[]}}\n{{\"Things\":[{B},{C}]}}"),
            0,
        ),
        ("an envelope", inside(&all), 0),
        (
            "envelopes",
            format!("{}{}\n{}", inside(A), inside("[]"), inside(&format!("[{B},{C}]"))),
            1,
        ),
        (
            "text in an envelope",
            format!("{}{}{C}", inside(&text(A)), inside(&text(B))),
            0,
        ),
        (
            "envelopes in a list",
            format!(r#"{{"Things":[{},{},{C}]}}"#, inside(A), inside(B)),
            0,
        ),
        (
            "envelopes in a message",
            subscription(&[&inside(&text(A)), &inside(&format!("[{B},{C}]"))]),
            0,
        ),
        (
            "headers and probes",
            format!(
                "{{\"header\":1}}\n{A}\n{{\"header\":1}}{B}\n{{\"messageType\":\"CONTROL_MESSAGE\"}}\n{{}}{C}"
            ),
            4,
        ),
    ] {
        let outcome = read(&Things, &text);
        assert_eq!(outcome.rejects, [], "{shape}");
        assert_eq!(names(&outcome), ["A", "B", "C \" é"], "{shape}");
        assert_eq!(outcome.column("_line"), ["1", "2", "3"], "{shape}");
        assert_eq!(outcome.passed, passed, "{shape}");
    }
    let outcome = read(&Things, &inside(&format!("[{A},{B}]")));
    assert_eq!(outcome.column("account_id"), ["111122223333", "444455556666"]);
    assert_eq!(outcome.column("region"), ["r", "r"]);
}

#[test]
fn values_become_what_their_column_holds() {
    let cases: &[(&str, &[&str])] = &[
        (
            r#""size":"7","share":1e2,"is_new":"true""#,
            &["is_new=true", "share=100.0", "size=7"],
        ),
        (
            r#""size":4294967296,"share":"x","is_new":1"#,
            &[r#"extra={"size":4294967296,"share":"x","is_new":1}"#],
        ),
        (r#""size":null,"meta":null"#, &[]),
        (
            r#""list":[{"list":[0,1,2]},{"name":"b"},{"name":"c"}]"#,
            &[
                "deep=2",
                r#"extra={"list":[{"list":[0,1,2]},{"name":"b"},{"name":"c"}]}"#,
                "second=b",
            ],
        ),
        (r#""list":[[],"x"]"#, &[r#"extra={"list":[[],"x"]}"#]),
        (r#""a.b":1,"a":{"b":2}"#, &["dotted=1", r#"extra={"a":{"b":2}}"#]),
        (r#""one":null,"two":"2""#, &["either=2"]),
        (
            r#""one":{"x":1},"two":"2""#,
            &[r#"either={"x":1}"#, r#"extra={"two":"2"}"#],
        ),
        (
            r#""meta":{"inner":1,"inner":{"name":"x"}}"#,
            &[r#"meta={"inner":1,"inner":{"name":"x"}}"#],
        ),
        (
            r#""meta":{"inner":{"name":"x","name":"y"}},"meta":{"inner":{"name":"z"}}"#,
            &[
                r#"extra={"meta":{"inner":{"name":"z"}}}"#,
                "inner=x",
                r#"meta={"inner":{"name":"x","name":"y"}}"#,
            ],
        ),
        (r#""v":1,"v":2"#, &[r#"extra={"v":2}"#]),
        (
            r#""new":"\ud800","new":[ 1 ]"#,
            &[r#"extra={"new":"\ud800","new":[ 1 ]}"#],
        ),
        (r#""region":"\ud800""#, &["region=\u{fffd}"]),
    ];
    for (members, expected) in cases {
        let text = format!(r#"{{"when":0,"name":"N",{members}}}"#);
        let outcome = read(&Things, &text);
        assert_eq!(outcome.rejects, [], "{members}");
        let known = ["event_time=1970-01-01T00:00:00Z", "length=1", "name=N"];
        let cells: Vec<String> = outcome
            .cells(0)
            .into_iter()
            .filter(|cell| !known.contains(&cell.as_str()))
            .collect();
        assert_eq!(cells, *expected, "{members}");
        let message = read(&Things, &subscription(&[&text]));
        let mut row = message.rows[0].clone();
        row.remove("account_id");
        assert_eq!(row, outcome.rows[0], "inside a message: {members}");
    }
}

#[test]
fn a_broken_element_harms_no_other() {
    // A broken element, and the reason.
    for (broken, expected) in [
        (r#"{"when":1,"name":x}"#, "expected a value at byte 17, found 'x'"),
        (
            r#"{"when":1,"name":"x"}}"#,
            "unexpected text after the value at byte 21, found '}'",
        ),
        (
            r#"{"when":1,"name":"x"},"more":1}"#,
            "unexpected text after the value at byte 21, found ','",
        ),
        (
            r#"{"when":1,"name":"x" "more":{"name":1}}"#,
            "expected ',' or '}' after a member at byte 21, found '\\\"'",
        ),
        (
            r#"{"when":1,"list":[{"name":1},{"name":2},x]}"#,
            "expected a value at byte 40, found 'x'",
        ),
        ("12", "not a thing but a number"),
        (r#"[{"when":1}]"#, "not a thing but an array"),
        ("{}", "not a thing: {}"),
        (r#"{"name":"x"}"#, r#"not a thing: it has the keys "name""#),
        ("tru", "expected a value at byte 3, found ','"),
    ] {
        for text in [
            format!("[{A},{broken},{B}]\n{C}"),
            format!("{{\"Things\":[{A},{broken},{B}]}}\n{C}"),
            format!("{{\"Things\":[\n  {A},\n  {broken},\n  {B}\n], \"more\":1}}{C}"),
        ] {
            let outcome = read(&Things, &text);
            assert_eq!(outcome.reasons(), [expected], "{text}");
            assert_eq!(names(&outcome), ["A", "B", "C \" é"], "{text}");
            assert_eq!(outcome.rejects[0].2, broken, "{text}");
        }
    }
}

#[test]
fn what_ends_too_early_is_one_reject() {
    for (text, expected, rows) in [
        (format!("[{A},"), "file ends before the array is closed", 1),
        (format!("[{A}"), "file ends before the array is closed", 1),
        (
            format!("{{\"Things\":[{A}]"),
            "file ends before the object around the records is closed",
            1,
        ),
        (
            format!("{{\"Things\":[{A}],\"x\":"),
            "cut off at byte 5, inside a record",
            1,
        ),
        (
            format!("{A}\n{}", &B[..20]),
            "cut off at byte 20, inside a record",
            1,
        ),
        (
            format!("[{A},{}", &B[..20]),
            "cut off at byte 20, inside a record",
            1,
        ),
        (
            format!("[{A},]\n{B}"),
            "expected a record after ',', found ']'",
            2,
        ),
        (
            format!("[{A}] x {B}\n{C}"),
            "unexpected text after the records",
            2,
        ),
        (
            format!("{A} x\n{B}"),
            "unexpected text after the value at byte 79, found 'x'",
            1,
        ),
        (
            format!("{{\"Things\":[{A}] x}}\n{B}"),
            "expected ',' or '}' after a member at byte 0, found 'x'",
            2,
        ),
        (
            format!("{{\"Things\":{{}}}}\n{B}"),
            "Things is an object, not an array",
            1,
        ),
        (format!("text\n{A}"), "not a JSON object", 1),
        (
            format!("2025-11-20T07:00:00Z text\n2025-11-20T07:00:00Z {A}"),
            "not a JSON object",
            1,
        ),
        (
            format!("2025-11-20T07:00:00Z {{\"a\":\n2025-11-20T07:00:00Z {A}"),
            "expected ',' or '}' after a member at byte 10, found '-'",
            1,
        ),
        (
            format!("{A}\n{{\"Records\":[{{\"eventSource\":\"aws:s3\"}}]}}\n{B}"),
            "a notification of AWS about other data, not a thing",
            2,
        ),
        (
            format!("{A}\n{{\"digestStartTime\":1}}"),
            "a CloudTrail digest, not a thing",
            1,
        ),
        (
            format!("{{\"a\":1}}\n{A}"),
            r#"not a thing: it has the keys "a""#,
            1,
        ),
        (
            format!("[{{\"a\":1}},{A}]"),
            r#"not a thing: it has the keys "a""#,
            1,
        ),
        (
            format!("{A}{{\"messageType\":\"X\"}}"),
            r#"CloudWatch Logs subscription message of unknown type "X""#,
            1,
        ),
        (
            format!("{A}{{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":1}}"),
            "CloudWatch Logs subscription message without a logEvents array",
            1,
        ),
        (
            format!("{A}{{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[{{}}]}}"),
            "log event without a message",
            1,
        ),
        (
            format!("{A}{{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[{{\"message\":1}}]}}"),
            "the message is not a string",
            1,
        ),
        (
            format!("{A}{{\"source\":\"things\",\"detail\":{{}}}}"),
            "`detail.things` is missing",
            1,
        ),
        (
            format!("{A}{{\"source\":\"things\",\"detail\":{{\"things\":1}}}}"),
            "a number inside an envelope, not a thing",
            1,
        ),
        (
            format!("{A}{{\"when\":\"soon\",\"name\":\"\"}}"),
            r#"when "soon" is not a time"#,
            1,
        ),
    ] {
        let outcome = read(&Things, &text);
        assert_eq!(outcome.reasons(), [expected], "{text}");
        assert_eq!(outcome.rows.len(), rows, "{text}");
    }
}

#[test]
fn envelopes_end_somewhere() {
    let mut text = A.to_owned();
    for _ in 0..ENVELOPES_MAX + 2 {
        text = serde_json::json!({"Type": "Notification", "Message": text}).to_string();
    }
    assert_eq!(
        read(&Things, &text).reasons(),
        ["too many envelopes inside each other"]
    );
}

#[test]
fn other_kinds_of_files_are_refused() {
    for (text, expected) in [
        (r#"{"a":1}{"b":2}"#, r#"not a thing: it has the keys "a""#),
        (
            r#"[{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}]"#,
            r#"not a thing: it has the keys "a", "b", "c", "d", "e", "f", "g", "h", ..."#,
        ),
        (r#"{"digestStartTime":"x"}"#, "a CloudTrail digest, not a thing"),
        (
            r#"{"Records":[{"eventVersion":"1.08"}]}"#,
            "CloudTrail records (read them as cloudtrail), not a thing",
        ),
        (
            r#"{"eventVersion":"1.08","eventSource":"x"}"#,
            "a CloudTrail record (read it as cloudtrail), not a thing",
        ),
        (
            r#"{"detail-type":"X","source":"aws.ecs"}"#,
            r#"an EventBridge event "X" (read it as ecs_events), not a thing"#,
        ),
        ("hello", r#"not JSON with a thing in it: it begins with "hello""#),
        ("\0\0", "not JSON with a thing in it but binary data"),
        ("PAR1", "not JSON with a thing in it but a Parquet file"),
        (
            "version account-id\n",
            "not JSON with a thing in it but a VPC flow log: read it as vpc_flow",
        ),
    ] {
        assert_eq!(refusal(&Things, text), expected, "{text}");
    }
    let late = format!("{{\"a\":1}}\n{}{A}", " ".repeat(HEAD_BYTES));
    assert_eq!(refusal(&Things, &late), r#"not a thing: it has the keys "a""#);
}

#[test]
fn invalid_utf8_costs_one_record() {
    for shape in [
        format!("{A}\n{B}\n{C}"),
        format!("[{A},{B},{C}]"),
        subscription(&[A, "B!", C]),
    ] {
        let mut bytes = shape.into_bytes();
        let at = memchr::memmem::find(&bytes, b"B").unwrap();
        bytes[at] = 0xff;
        let outcome = read_as(&Things, &bytes, &Way::default()).unwrap();
        assert_eq!(names(&outcome), ["A", "C \" é"]);
        assert!(
            outcome.reasons()[0].starts_with("invalid UTF-8 at byte "),
            "{:?}",
            outcome.reasons()
        );
    }
}

#[test]
fn batches_are_cut_by_bytes_too() {
    let large = format!(r#"{{"when":0,"name":"{}"}}"#, "x".repeat(BATCH_BYTES_MAX / 4));
    let text = [large.as_str(); 9].join("\n");
    let mut parser = parser(&SHAPE, &Setup::whole(&Things, "test"));
    let mut block = Block::new(text.into_bytes());
    let (mut tally, mut rows) = (Tally::default(), Vec::new());
    while parser.parse(&mut block, true, &mut tally) == Ok(Progress::BatchFull) {
        rows.push(parser.flush().num_rows());
    }
    rows.push(parser.flush().num_rows());
    assert_eq!(rows, [4, 4, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn neither_blocks_nor_projection_make_a_difference(
        stream in any_stream(RECORDS),
        sizes in prop::collection::vec(1usize..200, 1..5),
        batch_rows in 1usize..4,
        columns in prop::sample::subsequence(column_names(&Things), 0..6),
    ) {
        check_stream(&Things, &stream, &sizes, batch_rows, &columns);
    }

    #[test]
    fn a_corrupt_line_changes_only_itself(
        lines in prop::collection::vec(prop::sample::select(RECORDS), 1..5),
        at in any::<prop::sample::Index>(),
        offset in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"{}[]:,\"\\ 1x\0\xff".to_vec()),
    ) {
        let at = at.index(lines.len());
        let whole = read_as(&Things, lines.join("\n").as_bytes(), &Way::default()).unwrap();
        let mut corrupt: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        let offset = offset.index(corrupt[at].len());
        corrupt[at][offset] = byte;
        // A file of one line that is no record is another kind of file.
        if let Ok(outcome) = read_as(&Things, &corrupt.join(&b'\n'), &Way::default()) {
            let others = |outcome: &Outcome, line: &str| -> Vec<_> {
                outcome.rows.iter().filter(|row| row["_line"] != line).cloned().collect()
            };
            let line = (at + 1).to_string();
            // What the line has become may be more than one record or none.
            if outcome.rows.len() + outcome.rejects.len() == lines.len() {
                prop_assert_eq!(others(&outcome, &line), others(&whole, &line));
            }
            let kept = outcome.rows.iter().filter(|row| whole.rows.iter().any(|other| other["name"] == row["name"])).count();
            prop_assert!(kept + 1 >= lines.len());
        }
    }

    #[test]
    fn any_bytes_end_well(
        bytes in prop::collection::vec(prop::sample::select(b"{}[]:,\"\\ \n\te1-.tunx\xff\0".to_vec()), 0..200),
        sizes in prop::collection::vec(1usize..50, 1..3),
        rest_max in 20usize..100,
    ) {
        let way = Way { sizes: &sizes, rest_max, ..Way::default() };
        let _ = read_as(&Things, &[A.as_bytes(), b"\n", &bytes].concat(), &way);
        check_stream(&Things, &bytes, &sizes, 2, &[]);
    }
}
