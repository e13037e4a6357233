//! Tables as they come out.

use super::*;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};

const PLAIN: Layout = Layout {
    window: Some(60),
    all_columns: false,
    expanded: false,
    color: false,
    timing: false,
    more: "look elsewhere",
};

fn table(layout: Layout, columns: Vec<(&str, ArrayRef)>) -> String {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let mut out = Vec::new();
    let mut table = Table::new(&batch.schema(), &mut out, layout, Instant::now());
    table.write(&batch).unwrap();
    table.finish().unwrap();
    drop(table);
    String::from_utf8(out).unwrap()
}

fn texts(texts: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

#[test]
fn numbers_to_the_right_texts_to_the_left() {
    let shown = table(
        PLAIN,
        vec![
            ("who", texts(&[Some("10.0.0.1"), None])),
            (
                "bytes",
                Arc::new(Int64Array::from(vec![Some(5), Some(1_234_567)])),
            ),
            (
                "at",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![1_793_491_200_000_000, 0]).with_timezone("UTC"),
                ),
            ),
        ],
    );
    assert_eq!(
        shown,
        "\
who         bytes  at
────────  ───────  ────────────────────
10.0.0.1        5  2026-11-01 00:00:00Z
NULL      1234567  1970-01-01 00:00:00Z
2 rows
"
    );
}

#[test]
fn long_cells_are_cut_and_controls_shown() {
    let long = "x".repeat(100);
    let shown = table(
        PLAIN,
        vec![
            ("a", texts(&[Some("one\ntwo\x1b[31m")])),
            ("b", texts(&[Some(&long)])),
        ],
    );
    assert!(shown.contains("one␊two␛[31m  xxx"), "{shown}");
    assert!(shown.lines().all(|line| width(line) <= 60), "{shown}");
    assert!(shown.contains("x…\n"));
}

#[test]
fn without_a_window_nothing_is_cut() {
    let long = "x".repeat(1000);
    let shown = table(
        Layout {
            window: None,
            ..PLAIN
        },
        vec![
            ("a", texts(&[Some(&long), Some("b")])),
            ("c", texts(&[Some("d"), Some("d")])),
        ],
    );
    assert!(shown.contains(&format!("{long}  d\n")), "{shown}");
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("b ") && line.len() < 100)
    );
}

#[test]
fn columns_left_out_are_counted() {
    let cells: ArrayRef = texts(&[Some("0123456789012345678")]);
    let columns: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"]
        .iter()
        .map(|name| (*name, Arc::clone(&cells)))
        .collect();
    let shown = table(PLAIN, columns);
    assert!(
        shown.contains("… 4 more columns: look elsewhere\n1 row\n"),
        "{shown}"
    );
    assert!(shown.lines().all(|line| width(line) <= 60), "{shown}");
}

#[test]
fn expanded_rows_keep_their_lines() {
    let layout = Layout {
        expanded: true,
        window: Some(20),
        ..PLAIN
    };
    let shown = table(
        layout,
        vec![
            ("a", texts(&[Some("one\ntwo\x07")])),
            ("long_name", texts(&[None])),
        ],
    );
    assert_eq!(
        shown,
        "── row 1 ───────────\na          one\n           two␇\nlong_name  NULL\n1 row\n"
    );
}

#[test]
fn rows_after_the_measured_ones_keep_the_columns() {
    let many: Vec<_> = (0..ROWS_MEASURED_MAX as i64).collect();
    let first = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(many)) as ArrayRef)]).unwrap();
    let wide =
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![i64::MAX])) as ArrayRef)]).unwrap();
    let mut out = Vec::new();
    let mut table = Table::new(&first.schema(), &mut out, PLAIN, Instant::now());
    table.write(&first).unwrap();
    table.write(&wide).unwrap();
    table.finish().unwrap();
    drop(table);
    let shown = String::from_utf8(out).unwrap();
    // A number is never cut, even where that breaks the line.
    assert!(
        shown.contains("9223372036854775807\n1,001 rows"),
        "{}",
        &shown[shown.len() - 100..]
    );
}

#[test]
fn no_rows_are_said_and_no_columns_are_not() {
    assert_eq!(table(PLAIN, vec![("a", texts(&[]))]), "a\n─\n0 rows\n");
    assert_eq!(
        {
            let batch = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
            let mut out = Vec::new();
            let mut table = Table::new(&batch.schema(), &mut out, PLAIN, Instant::now());
            table.write(&batch).unwrap();
            table.finish().unwrap();
            drop(table);
            out
        },
        b""
    );
}
