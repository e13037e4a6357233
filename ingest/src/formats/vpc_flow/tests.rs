//! Tests of the flow log parser.

use super::*;
use crate::reader::{Limits, read_all};
use arrow::array::AsArray;
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
const LINE: &str =
    "2 111122223333 eni-0a1b 203.0.113.12 10.0.0.5 49152 443 6 10 840 1763622000 1763622060 ACCEPT OK";

fn read_with(text: impl AsRef<[u8]>, setup: Setup, limits: Limits) -> Result<(RecordBatch, Tally), Refusal> {
    let parser = VpcFlow.parser(setup.clone()).expect("options are right");
    let (batches, tally) = read_all(parser, limits, text.as_ref().to_vec())?;
    let whole = VpcFlow.schema();
    let schema = Arc::new(whole.project(&setup.projection).unwrap());
    let batch = concat_batches(&schema, &batches).unwrap();
    assert_eq!(batch.num_rows() as u64, tally.rows);
    Ok((batch, tally))
}

fn read(text: impl AsRef<[u8]>) -> (RecordBatch, Tally) {
    read_with(text, Setup::whole(&VpcFlow, "test.log"), Limits::default()).expect("a flow log")
}

fn text_at(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let array = batch.column_by_name(column).unwrap().as_string_view();
    array.is_valid(row).then(|| array.value(row).to_owned())
}

fn reasons(tally: &Tally) -> Vec<String> {
    tally
        .rejects
        .iter()
        .map(|reject| format!("{}: {}", reject.line, reject.reason))
        .collect()
}

use arrow::array::Array;

#[test]
fn a_default_record_is_typed() {
    let (batch, tally) = read(format!("{HEADER}\n{LINE}\n"));
    assert_eq!((tally.rows, tally.rejected, tally.passed), (1, 0, 1));
    assert_eq!(text_at(&batch, "srcaddr", 0).as_deref(), Some("203.0.113.12"));
    assert_eq!(text_at(&batch, "action", 0).as_deref(), Some("ACCEPT"));
    assert_eq!(text_at(&batch, "vpc_id", 0), None);
    assert_eq!(
        batch
            .column_by_name("dstport")
            .unwrap()
            .as_primitive::<Int32Type>()
            .value(0),
        443
    );
    assert_eq!(
        batch
            .column_by_name("bytes")
            .unwrap()
            .as_primitive::<Int64Type>()
            .value(0),
        840
    );
    let time = batch
        .column_by_name("event_time")
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>()
        .value(0);
    assert_eq!(time, 1_763_622_000_000_000);
    assert_eq!((tally.first, tally.last), (Some(time), Some(time)));
    assert_eq!(
        batch
            .column_by_name("_line")
            .unwrap()
            .as_primitive::<Int64Type>()
            .value(0),
        2
    );
}

#[test]
fn absent_is_null_and_nodata_is_a_row() {
    let (batch, tally) = read(format!(
        "{HEADER}\n2 111122223333 eni-0a1b - - - - - - - 1763622000 1763622060 - NODATA\n"
    ));
    assert_eq!(tally.rows, 1);
    for column in ["srcaddr", "srcport", "bytes", "action"] {
        assert!(batch.column_by_name(column).unwrap().is_null(0), "{column}");
    }
    assert_eq!(text_at(&batch, "log_status", 0).as_deref(), Some("NODATA"));
}

#[test]
fn fields_come_in_any_order_and_unknown_ones_are_kept() {
    let (batch, _) =
        read("bytes weather ecs-task-id start\n7 sunny 0123456789abcdef 1763622000\n8 - - 1763622001\n");
    assert_eq!(
        text_at(&batch, "extra", 0).as_deref(),
        Some(r#"{"weather":"sunny"}"#)
    );
    assert_eq!(text_at(&batch, "extra", 1), None);
    assert_eq!(
        text_at(&batch, "ecs_task_id", 0).as_deref(),
        Some("0123456789abcdef")
    );
    assert_eq!(
        batch
            .column_by_name("bytes")
            .unwrap()
            .as_primitive::<Int64Type>()
            .values(),
        &[7, 8]
    );
}

#[test]
fn a_bad_line_costs_itself_only() {
    let bad = [
        (
            "2 111122223333 eni-0a1b 203.0.113.12",
            "3: expected 14 fields, found 4",
        ),
        (
            &LINE.replace("443", "70000"),
            "3: dstport is 70000, above the most that it can be, 65535",
        ),
        (&LINE.replace("840", "8x0"), "3: bytes is \"8x0\", not a number"),
        (&LINE.replace(" 840", " "), "3: bytes is empty"),
        (
            &LINE.replace("840", "99999999999999999999"),
            "3: bytes is 99999999999999999999, above the most that it can be, 9223372036854775807",
        ),
        (&LINE.replace("840", "-5"), "3: bytes is \"-5\", not a number"),
    ];
    for (line, reason) in bad {
        let (batch, tally) = read(format!("{HEADER}\n{LINE}\n{line}\n{LINE}\n"));
        assert_eq!(batch.num_rows(), 2, "{line}");
        assert_eq!(reasons(&tally), [reason]);
        assert_eq!(tally.rejects[0].raw, line);
    }
    let (batch, tally) = read(
        [
            HEADER.as_bytes(),
            b"\n",
            LINE.as_bytes(),
            b"\n2 \xff\n",
            LINE.as_bytes(),
        ]
        .concat(),
    );
    assert_eq!((batch.num_rows(), tally.rejected), (2, 1));
    let invalid = LINE
        .replace("ACCEPT", "ACC\u{1}")
        .into_bytes()
        .iter()
        .map(|&b| if b == 1 { 0xff } else { b })
        .collect::<Vec<_>>();
    let (batch, tally) = read([HEADER.as_bytes(), b"\n", &invalid, b"\n", LINE.as_bytes()].concat());
    assert_eq!(
        (batch.num_rows(), reasons(&tally)),
        (1, vec!["2: not valid UTF-8".to_owned()])
    );
}

#[test]
fn line_endings_blank_lines_and_a_missing_last_newline() {
    let (batch, tally) = read(format!("\u{feff}{HEADER}\r\n{LINE}\r\n\r\n{LINE}"));
    assert_eq!((batch.num_rows(), tally.rejected, tally.passed), (2, 0, 2));
    assert_eq!(text_at(&batch, "log_status", 0).as_deref(), Some("OK"));
}

#[test]
fn a_header_in_mid_file_counts_from_there() {
    let (batch, tally) = read(format!(
        "{HEADER}\n{LINE}\nbytes srcaddr start\n5 192.0.2.1 1763622000\n"
    ));
    assert_eq!((tally.rows, tally.rejected, tally.passed), (2, 0, 2));
    assert_eq!(text_at(&batch, "srcaddr", 1).as_deref(), Some("192.0.2.1"));
    assert_eq!(text_at(&batch, "action", 1), None);
}

#[test]
fn a_doubled_header_name_rejects_its_lines() {
    let (_, tally) = read(format!("srcaddr srcaddr start\na b 1\n{HEADER}\n{LINE}\n"));
    assert_eq!(tally.rows, 1);
    assert_eq!(
        reasons(&tally),
        [
            "1: the header names srcaddr twice",
            "2: its header line is unusable: the header names srcaddr twice"
        ]
    );
}

#[test]
fn objects_of_another_kind_are_refused_with_a_hint() {
    for (text, words) in [
        (LINE, "--option vpc_flow.fields="),
        ("{\"Records\":[]}", "begins like JSON"),
        ("once upon a time\n", "names no flow log fields"),
        ("\u{0}\u{0}\u{0}\n", "names no flow log fields"),
    ] {
        let refusal = read_with(text, Setup::whole(&VpcFlow, ""), Limits::default()).unwrap_err();
        assert!(refusal.reason.contains(words), "{}", refusal.reason);
    }
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(HEADER.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let refusal = read_with(utf16, Setup::whole(&VpcFlow, ""), Limits::default()).unwrap_err();
    assert!(refusal.reason.contains("UTF-16"), "{}", refusal.reason);
}

#[test]
fn the_fields_of_a_headerless_object_can_be_given() {
    for fields in [
        "default",
        HEADER,
        &HEADER
            .split(' ')
            .map(|name| format!("${{{name}}}"))
            .collect::<Vec<_>>()
            .join(" "),
    ] {
        let mut setup = Setup::whole(&VpcFlow, "");
        setup.options.insert("fields".into(), fields.into());
        let (batch, _) = read_with(format!("{LINE}\n{LINE}\n"), setup, Limits::default()).unwrap();
        assert_eq!(batch.num_rows(), 2);
    }
    let mut setup = Setup::whole(&VpcFlow, "");
    setup.options.insert("fields".into(), "nothing known".into());
    assert!(VpcFlow.parser(setup).is_err());
}

#[test]
fn records_delivered_by_cloudwatch_are_read_from_their_documents() {
    let event = |message: &str| format!(r#"{{"id":"1","timestamp":1763622000000,"message":"{message}"}}"#);
    let envelope = |kind: &str, events: &[String]| {
        format!(
            r#"{{"messageType":"{kind}","owner":"111122223333","logGroup":"flows","logStream":"eni-1-all","logEvents":[{}]}}"#,
            events.join(",")
        )
    };
    let text = [
        envelope("CONTROL_MESSAGE", &[]).replace("\"logEvents\":[]", "\"other\":1"),
        envelope("DATA_MESSAGE", &[event(LINE), event("2 too short"), event(LINE)]),
        r#"{"broken":"#.to_owned()
            + "\n"
            + &format!(
                r#"{{"events":[{}],"searchedLogStreams":[]}}"#,
                event(&format!("{LINE}\\n"))
            ),
    ]
    .join("\n");
    for block_bytes in [1, 100, 1 << 20] {
        let limits = Limits {
            block_bytes,
            ..Limits::default()
        };
        let (batch, tally) = read_with(&text, Setup::whole(&VpcFlow, ""), limits).unwrap();
        assert_eq!(
            (tally.rows, tally.rejected, tally.passed),
            (3, 2, 1),
            "{:?}",
            tally.rejects
        );
        assert_eq!(text_at(&batch, "srcaddr", 2).as_deref(), Some("203.0.113.12"));
        assert_eq!(tally.rejects[0].reason, "expected 14 fields, found 3");
        assert!(
            tally.rejects[1].reason.starts_with("not a JSON document"),
            "{:?}",
            tally.rejects[1]
        );
    }
    let mut setup = Setup::whole(&VpcFlow, "");
    setup.options.insert("fields".into(), "srcaddr bytes".into());
    let text = envelope("DATA_MESSAGE", &[event("10.0.0.1 7")]);
    let (batch, _) = read_with(text, setup, Limits::default()).unwrap();
    assert_eq!(text_at(&batch, "srcaddr", 0).as_deref(), Some("10.0.0.1"));
}

#[test]
fn the_path_tells_account_and_region_where_the_lines_do_not() {
    for path in [
        "b/AWSLogs/111122223333/vpcflowlogs/eu-west-1/2026/11/20/x.log.gz",
        "b/AWSLogs/aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=eu-west-1/year=2026/x.log.gz",
    ] {
        let (batch, _) = read_with(
            "bytes start\n1 2\n",
            Setup::whole(&VpcFlow, path),
            Limits::default(),
        )
        .unwrap();
        assert_eq!(text_at(&batch, "account_id", 0).as_deref(), Some("111122223333"));
        assert_eq!(text_at(&batch, "region", 0).as_deref(), Some("eu-west-1"));
    }
}

#[test]
fn milliseconds_are_recognised_and_nonsense_is_no_time() {
    let (batch, _) = read("start\n1763622000123\n999999999999999999\n");
    let times = batch
        .column_by_name("start_time")
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.value(0), 1_763_622_000_123_000);
    assert!(times.is_null(1));
}

#[test]
fn a_line_beyond_the_cap_costs_itself_only() {
    let limits = Limits {
        block_bytes: 256,
        record_bytes_max: 4096,
        whole_bytes_max: 0,
    };
    let text = format!("{HEADER}\n{LINE}\n{}\n{LINE}\n", "x".repeat(100_000));
    let (batch, tally) = read_with(text, Setup::whole(&VpcFlow, ""), limits).unwrap();
    assert_eq!((batch.num_rows(), tally.rejected), (2, 1));
    assert!(
        tally.rejects[0].reason.starts_with("a line of more than"),
        "{}",
        tally.rejects[0].reason
    );
}

#[test]
fn many_bad_lines_do_not_end_a_block_early() {
    let bad = LINE.replace("443", "70000");
    let text = format!("{HEADER}\n{}{LINE}\n", format!("{bad}\n").repeat(30_000));
    let limits = Limits {
        block_bytes: 100_000,
        record_bytes_max: 200_000,
        whole_bytes_max: 0,
    };
    let (batch, tally) = read_with(text, Setup::whole(&VpcFlow, ""), limits).unwrap();
    assert_eq!((batch.num_rows(), tally.rejected), (1, 30_000));
    assert_eq!(
        batch
            .column_by_name("_line")
            .unwrap()
            .as_primitive::<Int64Type>()
            .value(0),
        30_002
    );
}

/// A line of `HEADER`'s fields, mostly right.
fn line() -> impl Strategy<Value = String> {
    let number =
        |most: u64| prop_oneof![9 => (0..most).prop_map(|n| n.to_string()), 1 => Just("-".to_owned())];
    let address = prop_oneof![
        "10\\.[0-9]{1,2}\\.0\\.[1-9]",
        "2001:db8::[0-9a-f]{1,4}",
        Just("-".to_owned())
    ];
    let good = (
        (address.clone(), address, number(65536), number(65536), number(256), number(1 << 40), number(1 << 60)),
        (1_700_000_000u64..1_800_000_000, prop_oneof![Just("ACCEPT"), Just("REJECT"), Just("-")]),
    )
        .prop_map(|((src, dst, srcport, dstport, protocol, packets, bytes), (start, action))| {
            format!("2 111122223333 eni-1 {src} {dst} {srcport} {dstport} {protocol} {packets} {bytes} {start} {} {action} OK", start + 60)
        });
    prop_oneof![12 => good, 1 => "[a-z0-9 ]{1,40}".prop_filter("no header", |line| !Header::looks_like(line.as_bytes()))]
}

/// The good lines printed back from their columns.
fn print(batch: &RecordBatch) -> Vec<String> {
    let names: Vec<String> = HEADER.split(' ').map(|name| name.replace('-', "_")).collect();
    let options = arrow::util::display::FormatOptions::default().with_null("-");
    let columns: Vec<_> = names
        .iter()
        .map(|name| {
            arrow::util::display::ArrayFormatter::try_new(batch.column_by_name(name).unwrap(), &options)
                .unwrap()
        })
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn printing_and_parsing_are_inverse_and_nothing_is_lost(lines in prop::collection::vec(line(), 1..40)) {
        let text = format!("{HEADER}\n{}\n", lines.join("\n"));
        let (batch, tally) = read(&text);
        prop_assert_eq!(tally.rows + tally.rejected, lines.len() as u64);
        let rejected: BTreeSet<u64> = tally.rejects.iter().map(|reject| reject.line).collect();
        let good: Vec<&String> =
            lines.iter().enumerate().filter(|(i, _)| !rejected.contains(&(*i as u64 + 2))).map(|(_, line)| line).collect();
        let printed = print(&batch);
        prop_assert_eq!(printed.iter().collect::<Vec<_>>(), good);
    }

    #[test]
    fn any_split_gives_the_same_rows(
        lines in prop::collection::vec(line(), 1..40), block_bytes in 1usize..600, batch_rows in 1usize..20,
    ) {
        let text = format!("{HEADER}\n{}", lines.join("\n"));
        let (expected, expected_tally) = read(&text);
        let mut setup = Setup::whole(&VpcFlow, "test.log");
        setup.batch_rows = batch_rows;
        let limits = Limits { block_bytes, ..Limits::default() };
        let (batch, tally) = read_with(&text, setup, limits).unwrap();
        prop_assert_eq!(batch, expected);
        prop_assert_eq!(tally.rejects, expected_tally.rejects);
        prop_assert_eq!((tally.first, tally.last), (expected_tally.first, expected_tally.last));
    }

    #[test]
    fn a_projected_parse_equals_the_full_parse(
        lines in prop::collection::vec(line(), 1..40), wanted in prop::collection::btree_set(0usize..COLUMNS.len() + 3, 0..8),
    ) {
        let text = format!("{HEADER}\n{}\n", lines.join("\n"));
        let (expected, expected_tally) = read(&text);
        let projection: Vec<usize> = wanted.into_iter().collect();
        let mut setup = Setup::whole(&VpcFlow, "test.log");
        setup.projection = projection.clone().into();
        let (batch, tally) = read_with(&text, setup, Limits::default()).unwrap();
        prop_assert_eq!(batch, expected.project(&projection).unwrap());
        prop_assert_eq!(tally.rejects, expected_tally.rejects);
    }

    #[test]
    fn a_changed_line_changes_only_itself(
        lines in prop::collection::vec(line(), 2..20), at in any::<prop::sample::Index>(), noise in "[ -~]{0,60}",
    ) {
        prop_assume!(!Header::looks_like(noise.as_bytes()));
        let at = at.index(lines.len());
        let mut changed = lines.clone();
        changed[at] = noise;
        let others = |lines: &[String]| {
            let (batch, _) = read(format!("{HEADER}\n{}\n", lines.join("\n")));
            let numbers = batch.column_by_name("_line").unwrap().as_primitive::<Int64Type>().values().to_vec();
            print(&batch).into_iter().zip(numbers).filter(|(_, line)| *line != at as i64 + 2).collect::<Vec<_>>()
        };
        prop_assert_eq!(others(&changed), others(&lines));
    }
}
