//! Bad input of each kind: a clear message, the right exit code, no panic.

use std::process::Command;

use super::{Desk, HEADER, Run, flows};

const COUNT: &str = "SELECT count(*) AS n FROM vpc_flow";

#[test]
fn a_missing_path() {
    let desk = Desk::new();
    desk.run(&["sql", "--from", "vpc_flow=no/such.log", COUNT])
        .refuses(2, &["no/such.log", "vpc_flow"]);
}

#[test]
fn an_empty_glob_and_an_empty_folder() {
    let desk = Desk::new();
    desk.run(&["sql", "--from", "vpc_flow=*.log.gz", COUNT])
        .refuses(2, &["no files match *.log.gz"]);
    std::fs::create_dir(desk.path("empty")).unwrap();
    desk.run(&["sql", "--from", "vpc_flow=empty", COUNT])
        .refuses(2, &["no files match empty"]);
}

#[cfg(unix)]
#[test]
fn an_unreadable_file() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new();
    desk.write_gz("logs/a.log.gz", &flows());
    desk.write_gz("logs/b.log.gz", &flows());
    std::fs::set_permissions(desk.path("logs/b.log.gz"), std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(desk.path("logs/b.log.gz")).is_ok() {
        println!("skipped: root reads everything");
        return;
    }
    let run = desk.run(&["sql", "--from", "vpc_flow=logs", COUNT]);
    run.refuses(4, &["b.log.gz", "ermission denied"]);
    // The other file's records are not lost.
    assert_eq!(run.out, "{\"n\":4}\n");
}

#[test]
fn a_folder_of_mixed_formats() {
    let desk = Desk::new();
    desk.write("logs/README.md", "# Logs\n");
    desk.write("logs/x.json", "{\"Records\":[]}");
    let run = desk.sql(&[COUNT]);
    assert_eq!(run.rows()[0]["n"], 4);
    for word in [
        "1 of 3 files read",
        "skipped logs/README.md: ",
        "skipped logs/x.json: ",
        "2 files skipped",
    ] {
        assert!(run.err.contains(word), "no {word:?} in:\n{}", run.err);
    }
    desk.sql(&["--strict", COUNT]).refuses(3, &["2 files skipped"]);
}

#[test]
fn a_gz_that_is_not_gzip() {
    let desk = Desk::new();
    desk.write("a.log.gz", "\u{1}\u{2}\u{3} no log at all");
    desk.run(&["sql", "--from", "vpc_flow=a.log.gz", COUNT])
        .refuses(2, &["no file of table vpc_flow could be used", "a.log.gz"]);
    // A plain log with the wrong ending is a log all the same.
    desk.write("b.log.gz", flows());
    assert_eq!(
        desk.run(&["sql", "--from", "vpc_flow=b.log.gz", COUNT]).rows()[0]["n"],
        4
    );
}

#[test]
fn a_cut_off_gzip_keeps_what_came_before() {
    let desk = Desk::new();
    desk.write_gz(
        "whole.log.gz",
        &flows().replace("NODATA\n", &format!("NODATA\n{}", lines(5000))),
    );
    let bytes = std::fs::read(desk.path("whole.log.gz")).unwrap();
    desk.write("cut.log.gz", &bytes[..bytes.len() / 2]);
    let run = desk.run(&["sql", "--from", "vpc_flow=cut.log.gz", COUNT]);
    let rows = run.rows()[0]["n"].as_u64().unwrap();
    assert!(rows > 500 && rows < 5004, "{rows}");
    assert!(run.err.contains("1 rejected"), "{}", run.err);
}

fn lines(count: u32) -> String {
    let line = |i: u32| {
        format!(
            "2 1 eni-1 10.0.0.{} 10.0.1.1 {i} 443 6 1 {} 1793491200 1793491260 ACCEPT OK\n",
            i % 256,
            i * 7919 % 100_003
        )
    };
    (0..count).map(line).collect()
}

#[test]
fn broken_lines_are_rejects_and_their_neighbours_rows() {
    let desk = Desk::new();
    desk.write(
        "logs/broken.log",
        format!("{HEADER}\nnot a record\n{}", flows().lines().nth(1).unwrap()),
    );
    let run = desk.sql(&[COUNT]);
    assert_eq!(run.rows()[0]["n"], 5);
    assert!(
        run.err.contains("1 rejected (SELECT * FROM rejects)"),
        "{}",
        run.err
    );
    let rejects = desk
        .sql(&["SELECT raw, _source, _line, table_name FROM rejects"])
        .rows();
    assert_eq!(rejects.len(), 1);
    assert_eq!(rejects[0]["raw"], "not a record");
    assert_eq!(rejects[0]["_source"], "logs/broken.log");
    assert_eq!(rejects[0]["_line"], 2);
    desk.sql(&["--strict", COUNT])
        .refuses(3, &["strict: 1 record rejected, 0 files skipped"]);
}

#[test]
fn wrong_sql_is_marked_where_it_is_wrong() {
    let desk = Desk::new();
    desk.sql(&["SELECT srcadr FROM vpc_flow"]).refuses(
        2,
        &[
            "error: there is no column srcadr",
            "1 | SELECT srcadr FROM vpc_flow\n  |        ^^^^^^\n",
            "did you mean srcaddr?",
        ],
    );
    desk.sql(&["SELECT 1\nFROM vpc_flw"]).refuses(
        2,
        &["2 | FROM vpc_flw\n  |      ^^^^^^^\n", "did you mean vpc_flow?"],
    );
    desk.sql(&["SELECT FROM WHERE"])
        .refuses(2, &["error: ", "1 | SELECT FROM WHERE", "^"]);
    desk.sql(&["SELECT cuont(*) FROM vpc_flow"]).refuses(
        2,
        &[
            "there is no function cuont",
            "1 | SELECT cuont(*)",
            "did you mean",
        ],
    );
    desk.sql(&["SELECT 'open"]).refuses(2, &["error: "]);
}

#[test]
fn wrong_sql_in_a_file_is_named_with_its_line() {
    let desk = Desk::new();
    desk.write(
        "hunt.sql",
        "SELECT 1;\n\n-- second\nSELECT srcadr\nFROM (SELECT 1 AS srcaddr);\n",
    );
    desk.run(&["sql", "-f", "hunt.sql"])
        .refuses(2, &["in hunt.sql, line 4", "4 | SELECT srcadr"]);
    desk.write("binary.sql", b"SELECT \xff\xfe");
    desk.run(&["sql", "-f", "binary.sql"])
        .refuses(2, &["binary.sql is not UTF-8 text: byte 7"]);
}

#[test]
fn bad_dates_and_sizes_are_refused_at_once() {
    let desk = Desk::new();
    // No such path either: the date is looked at first.
    for bad in ["yesterday-ish", "24x", "2026-13-01", "11/01/2026", ""] {
        desk.run(&["sql", "--from", "vpc_flow=none", "--since", bad, COUNT])
            .refuses(
                2,
                &[
                    "--since",
                    "a duration back from now (90m, 24h, 7d",
                    "2026-11-01T00:00:00Z",
                ],
            );
    }
    desk.run(&["sql", "--memory", "lots", "SELECT 1"])
        .refuses(2, &["512MB, 1GB or 2GiB"]);
    desk.run(&["sql", "--memory", "1kB", "SELECT 1"])
        .refuses(2, &["at least 16 MB"]);
    desk.run(&["sql", "--threads", "0", "SELECT 1"])
        .refuses(2, &["1..=1024"]);
}

/// The engine by itself keeps a table for each group, of 512 places and beyond what `--memory` sees.
#[test]
fn distinct_texts_of_many_groups_take_little_memory() {
    let desk = Desk::new();
    let line = |n: u32| {
        format!(
            "2 1 eni-{n} 10.0.0.{} 10.0.0.5 1 2 6 1 40 1793491200 1793491260 ACCEPT OK\n",
            n % 200
        )
    };
    let lines: String = (0..60_000).map(line).collect();
    desk.write("a.log", format!("{HEADER}\n{lines}"));
    let sql = "SELECT count(*) AS n FROM (SELECT interface_id, count(DISTINCT srcaddr) AS a, count(DISTINCT dstaddr) AS b \
               FROM vpc_flow GROUP BY interface_id) WHERE a = 1 AND b = 1";
    let arguments = ["sql", "--memory", "256MB", "--from", "vpc_flow=a.log", sql];
    let limited = "ulimit -v 2000000 && exec \"$0\" \"$@\"";
    let run = Run::of(
        Command::new("sh")
            .args(["-c", limited, env!("CARGO_BIN_EXE_trailhound")])
            .args(arguments)
            .current_dir(desk.path("")),
    );
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "{\"n\":60000}\n"),
        "{}",
        run.err
    );
}

#[test]
fn tables_and_options_that_make_no_sense() {
    let desk = Desk::new();
    desk.write("a.log", flows());
    desk.run(&["sql", "--from", "a.log", "SELECT 1"])
        .refuses(2, &["TABLE=PATH"]);
    desk.run(&["sql", "--from", "vpc_flow=", "SELECT 1"])
        .refuses(2, &["nothing follows"]);
    desk.run(&["sql", "--from", "vpc_flo=a.log", "SELECT 1"])
        .refuses(2, &["vpc_flo", "did you mean vpc_flow?"]);
    desk.run(&["sql", "--option", "fields=x", "SELECT 1"])
        .refuses(2, &["TABLE.NAME=VALUE"]);
    desk.run(&["sql", "--option", "vpc_flow.fields=x", "SELECT 1"])
        .refuses(2, &["no --from gives"]);
    desk.run(&["sqll"])
        .refuses(2, &["unrecognized subcommand 'sqll'", "'sql'"]);
    desk.run(&["sql", "--formt", "csv", "SELECT 1"])
        .refuses(2, &["--format"]);
}

#[test]
fn output_that_cannot_be_written() {
    let desk = Desk::new();
    desk.sql(&["-o", "no/such/folder/x.csv", COUNT])
        .refuses(4, &["cannot write to no/such/folder/x.csv"]);
    desk.sql(&["-o", "logs", COUNT])
        .refuses(2, &["cannot write to logs: it is a folder"]);
    desk.sql(&["-o", "x.xlsx", COUNT])
        .refuses(2, &[".xlsx", "add --format"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_not_a_crash() {
    let desk = Desk::new();
    let sql = "SELECT value FROM generate_series(1, 1000000)";
    desk.run(&["sql", "-o", "/dev/full", "--format", "ndjson", sql])
        .refuses(4, &["No space left"]);
}
