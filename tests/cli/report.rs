//! The report at the end of a run.

use std::process::Command;

use super::{Desk, flows, text};

#[test]
fn it_says_what_was_read_and_which_time_it_covers() {
    let run = Desk::new().sql(&["SELECT * FROM vpc_flow"]);
    assert_eq!(run.code, 0);
    let lines: Vec<_> = run.err.lines().collect();
    assert_eq!(lines[0], "vpc_flow: 1 file read, 4 rows, 0 rejected");
    assert_eq!(
        lines[1],
        "  covers 2026-11-01 00:00:00Z to 2026-11-01 00:10:00Z, events in 2 of 11 minutes"
    );
    assert!(
        lines[2].starts_with("read ") && lines[2].contains(" inflated) in ") && lines[2].ends_with("B/s"),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].starts_with("next: ") && lines[3].ends_with(" detect --from vpc_flow=logs"),
        "{}",
        lines[3]
    );
    assert_eq!(lines.len(), 4);
}

#[test]
fn it_says_nothing_where_nothing_was_read_or_quiet_is_asked() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["sql", "SELECT 1"]).err, "");
    desk.write("logs/notes.txt", "not a log\n");
    let run = desk.sql(&["--quiet", "SELECT count(*) AS n FROM vpc_flow"]);
    assert_eq!((run.err.as_str(), run.rows().len()), ("", 1));
}

/// NULL for want of a file must not pass for "unknown".
#[test]
fn it_says_once_which_file_a_function_wanted() {
    let desk = Desk::new();
    let geo = "SELECT geo_country(a) AS c FROM (VALUES ('81.2.69.160'), ('81.2.69.161')) AS t(a)";
    let both = format!("{geo}; {geo}");
    let run = desk.run(&["sql", &both]);
    assert_eq!((run.code, run.rows().len()), (0, 4));
    assert_eq!(run.err.matches("geo_country gave NULL").count(), 1, "{}", run.err);
    assert!(run.err.contains("--enrich geoip=FILE"), "{}", run.err);

    desk.write("lists/tor-exits.txt", "# updated 2026-11-01\n198.51.100.0/24\n");
    desk.write("t.toml", "[enrich]\nthreat_lists = [\"lists/tor-exits.txt\"]\n");
    let listed = "SELECT threat_list('198.51.100.7') AS l";
    for arguments in [
        ["--enrich", "threat_list=lists/tor-exits.txt"],
        ["--config", "t.toml"],
    ] {
        let run = desk.run(&["sql", arguments[0], arguments[1], listed]);
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        assert_eq!(run.rows()[0]["l"], "tor-exits");
    }
    let run = desk.run(&["sql", "--enrich", "geoip=lists/tor-exits.txt", geo]);
    assert_eq!(run.code, 2, "{}", run.err);
    assert!(
        run.err.contains("lists/tor-exits.txt: not a MaxMind database"),
        "{}",
        run.err
    );
    assert_eq!(desk.run(&["sql", "--enrich", "geoip=none.mmdb", geo]).code, 4);
}

#[test]
fn a_query_that_needs_less_reads_less_and_says_so() {
    let run = Desk::new().sql(&["SELECT srcaddr FROM vpc_flow LIMIT 1"]);
    assert!(
        run.err.contains("in part, as the query needed no more"),
        "{}",
        run.err
    );
}

#[test]
fn a_query_that_ends_early_does_not_judge_what_it_did_not_open() {
    let desk = Desk::new();
    desk.write("logs/a.txt", "not a log\n");
    for i in 0..8 {
        desk.write_gz(&format!("logs/b{i}.log.gz"), &flows());
    }
    for _ in 0..5 {
        let run = desk.sql(&["--threads", "2", "SELECT srcaddr FROM vpc_flow LIMIT 1"]);
        assert_eq!((run.code, run.out.lines().count()), (0, 1), "{}", run.err);
    }
}

#[test]
fn skipped_files_are_named_up_to_a_limit() {
    let desk = Desk::new();
    for i in 0..25 {
        desk.write(&format!("logs/note{i:02}\u{202e}.txt"), "not a log\n");
    }
    let run = desk.sql(&["SELECT count(*) AS n FROM vpc_flow"]);
    assert_eq!(run.rows()[0]["n"], 4);
    assert_eq!(run.err.matches("  skipped logs/note").count(), 20);
    assert!(run.err.contains("  ... and 5 more skipped"), "{}", run.err);
    assert!(
        run.err.contains(r"note00\u{202e}.txt") && !run.err.contains('\u{202e}'),
        "{}",
        run.err
    );
}

#[cfg(unix)]
#[test]
fn the_next_command_works_as_printed() {
    let desk = Desk::new();
    desk.write("it's here/a b.log", format!("{}broken\n", flows()));
    let from = format!("vpc_flow={}", text(&desk.path("it's here/a b.log")));
    let run = desk.run(&[
        "sql",
        "--from",
        &from,
        "--since",
        "2026-10-01",
        "SELECT count(*) FROM vpc_flow",
    ]);
    let next = run
        .err
        .lines()
        .find_map(|line| line.strip_prefix("next: "))
        .unwrap();
    let output = Command::new("sh")
        .arg("-c")
        .arg(next)
        .current_dir(desk.path("."))
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        out.contains("\"n\":1") && out.contains("\"example\":\"broken\""),
        "{next}\n{out}"
    );
}
