//! Filter patterns in place of SQL: run, explained, refused.

use super::Desk;

const REJECTED: &str = "[..., action = REJECT, status]";

#[test]
fn a_pattern_finds_records() {
    let rows = Desk::new().sql(&["--pattern", REJECTED]).rows();
    let ports: Vec<_> = rows.iter().map(|row| row["dstport"].clone()).collect();
    assert_eq!(ports, [22, 23]);
}

#[test]
fn a_pattern_may_begin_with_a_hyphen_or_be_empty() {
    let desk = Desk::new();
    desk.write(
        "app.log",
        "2026-11-01T00:00:00.000Z ERROR timeout\n2026-11-01T00:00:01.000Z ERROR 500\n",
    );
    let messages = |pattern: &str| {
        let run = desk.run(&["sql", "--from", "container_logs=app.log", "--pattern", pattern]);
        let rows = run.rows();
        let messages: Vec<String> = rows.iter().map(|row| row["message"].to_string()).collect();
        messages.join(" ")
    };
    assert_eq!(messages("-timeout ERROR"), "\"ERROR 500\"");
    assert_eq!(messages(""), "\"ERROR timeout\" \"ERROR 500\"");
}

#[test]
fn explain_shows_the_sql_and_reads_nothing() {
    let desk = Desk::new();
    let sql = "SELECT * FROM vpc_flow\nWHERE action = 'REJECT'\n";
    for source in [["--table", "vpc_flow"], ["--from", "vpc_flow=nowhere"]] {
        let run = desk.run(&[&["sql", "--explain", "--pattern", REJECTED][..], &source].concat());
        assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, sql, ""));
    }
    let run = desk.sql(&[sql]);
    assert_eq!(run.rows().len(), 2);
}

#[test]
fn the_table_is_chosen_where_there_are_several() {
    let desk = Desk::new();
    let two = ["--from", "other:vpc_flow=logs", "--pattern", REJECTED];
    desk.sql(&two)
        .refuses(2, &["the pattern may be about vpc_flow or other", "--table"]);
    assert_eq!(
        desk.sql(&[&two[..], &["--table", "other"]].concat()).rows().len(),
        2
    );
    desk.sql(&["--table", "cloudtrail", "--pattern", REJECTED])
        .refuses(2, &["no --from gives the table cloudtrail"]);
    desk.run(&["sql", "--pattern", REJECTED])
        .refuses(2, &["no table to search", "--from vpc_flow="]);
    desk.sql(&["--pattern", REJECTED, "SELECT 1"])
        .refuses(2, &["cannot be used with"]);
    desk.sql(&["--explain", "SELECT 1"])
        .refuses(2, &["cannot be used with"]);
    desk.sql(&["--explain"]).refuses(2, &["--pattern"]);
}

#[test]
fn the_place_of_an_error_is_marked() {
    let run = Desk::new().sql(&["--pattern", "[a, b > many]"]);
    assert_eq!(run.code, 2);
    let expected = "error: > compares numbers, and this is none\n  \
                    |\n1 | [a, b > many]\n  |         ^^^^\n";
    assert_eq!(run.err, expected);
}
