//! Reads texts with a format as the reader does, for the tests of the formats.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use crate::block::Block;
use crate::formats::{Format, Progress, Setup};
use crate::tally::Tally;

/// Rows as column name to text (NULL left out), and rejects as (line, reason, raw).
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<BTreeMap<String, String>>,
    pub(crate) rejects: Vec<(u64, String, String)>,
    pub(crate) passed: u64,
}

impl Outcome {
    /// A column, `NULL` where it is.
    pub(crate) fn column(&self, name: &str) -> Vec<&str> {
        let cells = self.rows.iter().map(|row| row.get(name));
        cells.map(|cell| cell.map_or("NULL", String::as_str)).collect()
    }

    pub(crate) fn reasons(&self) -> Vec<&str> {
        let rejects = self.rejects.iter();
        rejects.map(|(_, reason, _)| reason.as_str()).collect()
    }

    /// `name=value` of all columns of a row that are not NULL and not provenance.
    pub(crate) fn cells(&self, row: usize) -> Vec<String> {
        let cells = self.rows[row].iter().filter(|(name, _)| !name.starts_with('_'));
        cells.map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn add(&mut self, batch: &RecordBatch) {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let columns = schema.fields().iter().zip(batch.columns());
            let cells = columns
                .filter(|(_, column)| !column.is_null(row))
                .map(|(field, column)| (field.name().clone(), cell(column, row)));
            self.rows.push(cells.collect());
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

/// How a text is read.
#[derive(Debug, Clone)]
pub(crate) struct Way<'a> {
    /// The columns asked for; all if none is named.
    pub(crate) columns: &'a [&'a str],
    pub(crate) batch_rows: usize,
    /// Bytes that each block has more than the one before left over, over and over.
    pub(crate) sizes: &'a [usize],
    /// Bytes that may be left over.
    pub(crate) rest_max: usize,
    pub(crate) source: &'a str,
    pub(crate) options: &'a [(&'a str, &'a str)],
}

impl Default for Way<'_> {
    fn default() -> Self {
        Way {
            columns: &[],
            batch_rows: 8192,
            sizes: &[usize::MAX],
            rest_max: usize::MAX,
            source: "test",
            options: &[],
        }
    }
}

/// Parses `bytes` as the reader does.
///
/// # Errors
/// The reason of a refusal.
pub(crate) fn read_as(format: &dyn Format, bytes: &[u8], way: &Way<'_>) -> Result<Outcome, String> {
    let mut setup = Setup::whole(format, way.source);
    setup.batch_rows = way.batch_rows;
    for (name, value) in way.options {
        setup.options.insert((*name).to_owned(), (*value).to_owned());
    }
    if !way.columns.is_empty() {
        let schema = format.schema();
        let mut projection: Vec<usize> = way
            .columns
            .iter()
            .map(|name| schema.index_of(name).unwrap())
            .collect();
        projection.sort_unstable();
        setup.projection = projection.into();
    }
    let mut parser = format.parser(setup).unwrap();
    let (mut tally, mut outcome) = (Tally::default(), Outcome::default());
    let (mut held, mut at) = (Vec::new(), 0);
    let mut sizes = way.sizes.iter().cycle();
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
        if block.rest().len() >= way.rest_max {
            parser.skip_oversized(&mut block, &mut tally);
        }
        held = block.rest().to_vec();
    }
    outcome.add(&parser.flush());
    assert_eq!(tally.rows, outcome.rows.len() as u64);
    // Lines that are passed have a number, documents that are passed have none.
    let records = tally.rows + tally.rejected;
    assert!(
        parser.line() == records || parser.line() == records + tally.passed,
        "every record is a row or a reject: {tally:?}"
    );
    outcome.passed = tally.passed;
    let rejects = tally.rejects.into_iter();
    outcome.rejects = rejects
        .map(|reject| (reject.line, reject.reason, reject.raw))
        .collect();
    Ok(outcome)
}

/// Parses a text in one block and in many, which must not make a difference.
pub(crate) fn read(format: &dyn Format, text: &str) -> Outcome {
    let outcome = read_as(format, text.as_bytes(), &Way::default()).unwrap();
    let splits: [(usize, &[usize]); 3] = [(1, &[usize::MAX]), (8192, &[13]), (2, &[7, 1, 400])];
    for (batch_rows, sizes) in splits {
        let way = Way {
            batch_rows,
            sizes,
            ..Way::default()
        };
        let again = read_as(format, text.as_bytes(), &way).unwrap();
        assert_eq!(
            again, outcome,
            "blocks of {sizes:?} bytes, batches of {batch_rows} rows"
        );
    }
    outcome
}

/// Why a text is refused, whatever is asked for and however it is split.
pub(crate) fn refusal(format: &dyn Format, text: &str) -> String {
    let refusal = read_as(format, text.as_bytes(), &Way::default()).unwrap_err();
    let way = Way {
        columns: &["event_time"],
        sizes: &[3],
        ..Way::default()
    };
    assert_eq!(read_as(format, text.as_bytes(), &way).unwrap_err(), refusal);
    refusal
}

/// The event of a CloudWatch Logs subscription with these messages.
pub(crate) fn subscription(messages: &[&str]) -> String {
    let events: Vec<serde_json::Value> = messages
        .iter()
        .map(|message| serde_json::json!({"id": "1", "timestamp": 1_700_000_000_000_i64, "message": message}))
        .collect();
    serde_json::json!({
        "messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "g", "logStream": "s",
        "subscriptionFilters": ["f"], "logEvents": events,
    })
    .to_string()
}

/// The output of `aws logs filter-log-events` with these messages.
pub(crate) fn filtered(messages: &[&str]) -> String {
    let events: Vec<serde_json::Value> = messages
        .iter()
        .map(|message| {
            serde_json::json!({
                "logStreamName": "s", "timestamp": 1_700_000_000_000_i64, "message": message,
                "ingestionTime": 1_700_000_000_000_i64, "eventId": "1",
            })
        })
        .collect();
    serde_json::json!({"events": events, "searchedLogStreams": []}).to_string()
}

/// A JSON text, printed over several lines.
pub(crate) fn printed(text: &str) -> String {
    serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(text).unwrap()).unwrap()
}

/// What must hold of the records of every format whose records are JSON.
///
/// `records` are small, valid and different; each reads the same in every shape
/// and envelope, in every split and projection, and next to broken ones.
pub(crate) fn check_documents(format: &dyn Format, records: &[&str]) {
    let all = |parts: &[String]| parts.concat();
    let each = |make: &dyn Fn(&str) -> String| records.iter().map(|record| make(record)).collect::<Vec<_>>();
    let whole = read(format, &records.join("\n"));
    assert_eq!(whole.rejects, [], "{}", format.name());
    assert_eq!(whole.rows.len(), records.len());
    for (shape, text) in [
        ("lines", all(&each(&|record| format!("{record}\n")))),
        ("lines of Windows", all(&each(&|record| format!("{record}\r\n")))),
        ("concatenated", records.concat()),
        ("an array", format!("[{}]", records.join(","))),
        ("an array of lines", format!("[\n{}\n]\n", records.join(",\n"))),
        ("a subscription", subscription(records)),
        ("subscriptions", all(&each(&|record| subscription(&[record])))),
        ("filter-log-events", filtered(records)),
        (
            "an export",
            all(&each(&|record| format!("2025-11-20T07:05:09.123Z {record}\n"))),
        ),
        (
            "SNS",
            all(&each(&|record| {
                serde_json::json!({"Type": "Notification", "Message": record}).to_string()
            })),
        ),
    ] {
        let mut outcome = read(format, &text);
        // The envelope tells more than the record.
        for (row, plain) in outcome.rows.iter_mut().zip(&whole.rows) {
            if !plain.contains_key("account_id") && shape.contains("subscription") {
                assert_eq!(
                    row.remove("account_id").as_deref(),
                    Some("111122223333"),
                    "{shape}"
                );
            }
        }
        assert_eq!(outcome, whole, "{} as {shape}", format.name());
    }
    for text in [
        all(&each(&|record| printed(record) + "\n")),
        format!("[\n{}\n]", each(&printed).join(",\n")),
    ] {
        let outcome = read(format, &text);
        assert_eq!(
            (outcome.rows.len(), outcome.rejects),
            (records.len(), vec![]),
            "printed"
        );
    }
    for nothing in ["", " \n", "{}", "[]", "[\n]\n", ""] {
        let outcome = read(format, nothing);
        assert_eq!((outcome.rows, outcome.rejects), (vec![], vec![]), "{nothing:?}");
    }
    check_broken(format, records, &whole);
    check_oversized(format, records, &whole);
}

/// Rows without their numbers.
fn unnumbered(rows: &[BTreeMap<String, String>]) -> Vec<BTreeMap<String, String>> {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        row.remove("_line");
    }
    rows
}

/// One broken record is one reject and harms no neighbour.
fn check_broken(format: &dyn Format, records: &[&str], whole: &Outcome) {
    let first = records[0];
    let broken = [
        "{\"a\":nul}".to_owned(),
        first[..first.len() - 1].to_owned(),
        first[..first.len() / 2].to_owned(),
        format!("{}x", &first[..first.len() - 1]),
        first.replacen(':', " ", 1),
        first.replacen('"', "", 1),
        "12".to_owned(),
        "{\"unknown\":1}".to_owned(),
        format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000)),
        "{\"a\":\"\u{1}\"}".to_owned(),
    ];
    for broken in &broken {
        for at in 0..=records.len() {
            let mut records = records.to_vec();
            records.insert(at, broken);
            let outcome = read(format, &records.join("\n"));
            assert_eq!(
                unnumbered(&outcome.rows),
                unnumbered(&whole.rows),
                "{broken} at {at}"
            );
            assert_eq!(
                outcome.rejects.len(),
                1,
                "{broken} at {at}: {:?}",
                outcome.reasons()
            );
            assert_eq!(outcome.rejects[0].0, at as u64 + 1, "{broken} at {at}");
            assert!(
                outcome.rejects[0]
                    .2
                    .starts_with(&broken[..broken.len().min(1000)]),
                "{broken} at {at}"
            );
        }
    }
}

/// A record that is too large is skipped up to the next.
fn check_oversized(format: &dyn Format, records: &[&str], whole: &Outcome) {
    let longest = records
        .iter()
        .map(|record| record.len())
        .max()
        .unwrap_or_default();
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(longest * 6));
    for (before, between, after) in [("", "\n", "\n"), ("[", ",", "]")] {
        for at in 1..=records.len() {
            let mut records = records.to_vec();
            records.insert(at, &large);
            let text = format!("{before}{}{after}", records.join(between));
            let way = Way {
                sizes: &[97],
                rest_max: longest * 3,
                ..Way::default()
            };
            let outcome = read_as(format, text.as_bytes(), &way).unwrap();
            assert_eq!(unnumbered(&outcome.rows), unnumbered(&whole.rows), "at {at}");
            assert_eq!(outcome.rejects.len(), 1, "{:?}", outcome.reasons());
            assert!(
                outcome.reasons()[0].starts_with("record larger than "),
                "{:?}",
                outcome.reasons()
            );
        }
    }
}

/// Streams of these records with envelopes, broken ones and other text in between.
pub(crate) fn any_stream(records: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = (
        prop::sample::select(records),
        0..12u8,
        prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "", " ", ",", "]\n", "[", "}\n"]),
        any::<prop::sample::Index>(),
    );
    prop::collection::vec(piece, 0..6).prop_map(|pieces| {
        let mut stream = Vec::new();
        for (record, shape, behind, at) in pieces {
            let text = match shape {
                0 => subscription(&[record, record]),
                1 => filtered(&[record, "no JSON"]),
                2 => format!("[{record},{record}]"),
                3 => printed(record),
                4 => record[..record.len() / 2].to_owned(),
                5 => record.replacen('}', "", 1),
                6 => "{\"unknown\":[{}]}".to_owned(),
                7 => "text".to_owned(),
                _ => record.to_owned(),
            };
            let mut bytes = text.into_bytes();
            if shape == 8 {
                let at = at.index(bytes.len());
                bytes[at] = 0xff;
            }
            stream.extend(bytes);
            stream.extend(behind.as_bytes());
        }
        stream
    })
}

/// Reads a stream in other blocks and batches, and asks for some columns only.
pub(crate) fn check_stream(
    format: &dyn Format,
    stream: &[u8],
    sizes: &[usize],
    batch_rows: usize,
    columns: &[&str],
) {
    let whole = read_as(format, stream, &Way::default());
    let way = Way {
        sizes,
        batch_rows,
        ..Way::default()
    };
    assert_eq!(read_as(format, stream, &way), whole, "in blocks of {sizes:?}");
    if columns.is_empty() {
        return;
    }
    let way = Way {
        columns,
        ..Way::default()
    };
    let projected = whole.map(|mut outcome| {
        for row in &mut outcome.rows {
            row.retain(|name, _| columns.contains(&name.as_str()));
        }
        outcome
    });
    assert_eq!(read_as(format, stream, &way), projected, "asked for {columns:?}");
}

/// Names of all columns of a format, to draw a projection from.
pub(crate) fn column_names(format: &dyn Format) -> Vec<&'static str> {
    let columns = format.columns().iter().map(|column| column.name);
    columns.chain(["_source", "_line", "_ingested_at"]).collect()
}
