//! `trailhound baseline`: from logs to what is normal, and what is said of it.

use serde_json::Value;

use super::{Desk, Run};

const HEADER: &str = "account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action \
                      log-status tcp-flags flow-direction ecs-service-name";

/// A Monday, seconds since the epoch.
const FIRST: i64 = 1_780_272_000;

/// `web` calls `db` and an address outside all day; on the first day only, it calls another one as well.
fn day(number: i64) -> String {
    let mut text = format!("{HEADER}\n");
    for hour in 0..24 {
        let from = FIRST + (number * 24 + hour) * 3600;
        let to = from + 59;
        // That nothing else happened was seen, too.
        for interface in ["eni-web", "eni-db"] {
            for quarter in 0..4 {
                let (from, to) = (from + quarter * 900, from + quarter * 900 + 899);
                text += &format!("1 {interface} - - - - - - - {from} {to} - NODATA - - -\n");
            }
        }
        let mut line = |interface: &str, ends: &str, bytes: i64, flags: u8, way: &str, service: &str| {
            text +=
                &format!("1 {interface} {ends} 6 10 {bytes} {from} {to} ACCEPT OK {flags} {way} {service}\n");
        };
        let bytes = 2_000_000 + hour * 1000;
        line(
            "eni-web",
            "10.0.0.5 10.0.1.9 40001 5432",
            bytes,
            2,
            "egress",
            "web",
        );
        line(
            "eni-db",
            "10.0.0.5 10.0.1.9 40001 5432",
            bytes,
            2,
            "ingress",
            "db",
        );
        line("eni-db", "10.0.1.9 10.0.0.5 5432 40001", 500, 18, "egress", "db");
        line(
            "eni-web",
            "10.0.0.5 198.51.100.7 40002 443",
            900,
            2,
            "egress",
            "web",
        );
        if number == 0 {
            line(
                "eni-web",
                "10.0.0.5 203.0.113.9 40003 8443",
                900,
                2,
                "egress",
                "web",
            );
        }
    }
    text
}

/// A desk whose lake has `days` days.
fn desk(days: i64) -> Desk {
    let desk = Desk::new();
    for number in 0..days {
        desk.write_gz(&format!("logs/day-{number}.log.gz"), &day(number));
    }
    let run = desk.run(&["ingest", "logs"]);
    assert_eq!(run.code, 0, "{}", run.err);
    desk
}

fn build(desk: &Desk) -> Run {
    let run = desk.run(&[
        "baseline",
        "build",
        "--baseline",
        "edges",
        "--baseline",
        "volumes",
    ]);
    assert_eq!(run.code, 0, "{}", run.err);
    run
}

#[test]
fn what_was_learnt_is_listed_shown_and_proposed() {
    let desk = desk(3);
    let run = build(&desk);
    assert!(
        run.out.starts_with("baselines version 1: 2 baselines built"),
        "{}",
        run.out
    );
    assert!(
        run.out.contains("3 days (2026-06-01 to 2026-06-03)"),
        "{}",
        run.out
    );
    assert!(build(&desk).out.starts_with("baselines: nothing new"));

    let rows = desk
        .run(&["baseline", "show", "web", "--baseline", "edges", "--json"])
        .rows();
    let subjects: Vec<&str> = rows
        .iter()
        .filter(|row| row["measure"] == "out")
        .filter_map(|row| row["subject"].as_str())
        .collect();
    for subject in ["db:5432/6", "198.51.100.0/24:443/6", "203.0.113.0/24:8443/6"] {
        assert!(subjects.contains(&subject), "{subjects:?}");
    }
    assert!(rows.iter().all(|row| row["entity"] == "web"));

    // The address of one day is no habit, unless that is asked for.
    let propose = |arguments: &[&str]| {
        let run = desk.run(&[&["baseline", "propose"], arguments].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        run.out
    };
    let head = "service,direction,peer,port,protocol\n";
    let habits = "web,out,198.51.100.0/24,443,tcp\nweb,out,db,5432,tcp\n";
    assert_eq!(propose(&[]), format!("{head}db,in,private,5432,tcp\n{habits}"));
    assert_eq!(propose(&["web"]), format!("{head}{habits}"));
    assert!(propose(&["--min-days", "1"]).contains("web,out,203.0.113.0/24,8443,tcp"));

    let run = desk.run(&["baseline", "propose", "-o", "profiles.csv"]);
    assert_eq!((run.code, run.out.as_str()), (0, ""));
    assert!(
        run.err.contains("--from service_profiles=profiles.csv"),
        "{}",
        run.err
    );
    // What is proposed is what rules read: nothing of the same logs breaks it, but the address of one day.
    let run = desk.run(&[
        "detect",
        "--rule",
        "net-profile-breach",
        "--from",
        "service_profiles=profiles.csv",
        "--since",
        "2026-06-01",
        "--until",
        "2026-06-04",
        "--format",
        "ndjson",
    ]);
    let alerts: Vec<Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(alerts.len(), 1, "{}{}", run.out, run.err);
    assert!(alerts[0].to_string().contains("203.0.113"), "{}", alerts[0]);
}

#[test]
fn versions_are_compared_explained_and_approved() {
    let desk = desk(2);
    build(&desk);
    let later = day(2).replace(
        "10.0.0.5 198.51.100.7 40002 443",
        "10.0.0.5 192.0.2.44 40002 8080",
    );
    desk.write_gz("logs/day-2.log.gz", &later);
    assert_eq!(desk.run(&["ingest", "logs"]).code, 0);
    assert!(build(&desk).out.starts_with("baselines version 2"));

    let changes = desk.run(&["baseline", "diff", "1", "2", "--json"]).rows();
    assert!(
        changes
            .iter()
            .any(|change| change["change"] == "new" && change["subject"] == "192.0.2.0/24:8080/6"),
        "{changes:?}"
    );

    let run = desk.run(&["baseline", "explain", "web", "bytes_out", "--value", "500MB"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(
        run.out.contains("bytes_out") && run.out.contains("median"),
        "{}",
        run.out
    );

    let approve = |arguments: &[&str]| {
        desk.run(
            &[
                &[
                    "baseline",
                    "approve",
                    "--name",
                    "Ada\u{1b}[2J Roth",
                    "--reason",
                    "June",
                ],
                arguments,
            ]
            .concat(),
        )
    };
    let run = approve(&["1", "--freeze"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(
        run.out.starts_with("version 1 approved and frozen") && !run.out.contains('\u{1b}'),
        "{}",
        run.out
    );
    approve(&["9"]).refuses(2, &["version 9"]);
    approve(&["2", "--release"]).refuses(2, &["version 2 is not frozen", "version 1 is"]);

    let run = desk.run(&["baseline", "report", "-o", "evidence.html"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let page = std::fs::read_to_string(desk.path("evidence.html")).unwrap();
    assert!(page.contains("Roth") && page.contains("June") && !page.contains('\u{1b}'));
    // One file that needs nothing else.
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http") && !page.contains("@import"));
}

#[test]
fn what_is_not_there_is_said() {
    let desk = desk(1);
    desk.run(&["baseline", "show", "web"])
        .refuses(2, &["baseline build"]);
    desk.run(&["baseline", "propose"]).refuses(2, &["baseline build"]);
    build(&desk);
    desk.run(&["baseline", "propose", "nobody"])
        .refuses(2, &["nobody"]);
    desk.run(&["baseline", "show", "web", "--as-of", "7"])
        .refuses(2, &["version 7"]);
}
