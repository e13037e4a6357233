//! Detections from outside: alerts out, exit codes, silence that says what it means, wrong rules.

use serde_json::Value;

use super::{Desk, HEADER};

/// Twenty-five refused ports within one minute, from inside.
fn scan() -> String {
    let probes = (1..=25).map(|port| {
        let start = 1_793_491_200 + port;
        format!("2 123456789012 eni-1 10.0.0.7 10.0.0.5 40000 {port} 6 1 40 {start} {start} REJECT OK\n")
    });
    format!("{HEADER}\n{}", probes.collect::<String>())
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write_gz("logs/a.log.gz", &scan());
    desk
}

const FROM: [&str; 3] = ["detect", "--from", "vpc_flow=logs"];

fn detect(desk: &Desk, arguments: &[&str]) -> super::Run {
    desk.run(&[&FROM[..], arguments].concat())
}

const RULE: &str = r#"-- id = "any-flow"
-- title = "Any flow"
-- severity = "low"
-- attack = ["T1046"]
-- csf = ["DE.CM-1"]
-- reads = ["vpc_flow"]
-- entity = ["srcaddr"]
-- quiet = "1h"
-- message = "{srcaddr} to {dstport}"
-- misses = "Nothing."
-- false_positives = "All."

SELECT event_time, srcaddr, dstport, _source, _line
FROM vpc_flow
"#;

/// Rules that need nothing but flow logs: the others do not run here.
fn rules_on_flows() -> usize {
    let catalog = trailhound_detections::Catalog::embedded().unwrap();
    let is_flow = |table: &String| table == "vpc_flow" || table == "connections";
    catalog
        .entries()
        .filter(|entry| entry.rule.reads.iter().all(is_flow))
        .count()
}

#[test]
fn an_alert_shows_its_records_and_the_next_step() {
    let run = detect(&desk(), &[]);
    let alerts = run.rows();
    assert_eq!(alerts.len(), 1, "{}", run.out);
    assert_eq!(alerts[0]["rule"], "net-scan-vertical");
    assert_eq!(alerts[0]["count"], 25);
    assert_eq!(alerts[0]["evidence"]["records"][0]["_line"], 2);
    for word in [
        "vpc_flow: 1 file read, 25 rows, 0 rejected",
        &format!("1 alert (1 high) from {} rules", rules_on_flows()),
        "not run: imds-ssrf-log (needs container_logs)",
        "WHERE _source = ",
    ] {
        assert!(run.err.contains(word), "no {word:?} in:\n{}", run.err);
    }
}

#[test]
fn every_form_holds_the_same_alerts() {
    let desk = desk();
    let array = detect(&desk, &["--format", "json"]).out;
    let array: Value = serde_json::from_str(&array).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 1);
    let finding: Value = serde_json::from_str(&detect(&desk, &["--format", "ocsf"]).out).unwrap();
    assert_eq!(finding["class_uid"], 2004);
    assert_eq!(finding["metadata"]["uid"], array[0]["id"]);
    let table = detect(&desk, &["--format", "table"]).out;
    assert!(
        table.starts_with("TIME ") && table.contains("10.0.0.7 tried 25 ports"),
        "{table}"
    );
    assert!(
        !table.contains('\u{1b}'),
        "no colour where no terminal is: {table}"
    );
    assert_eq!(detect(&desk, &["-o", "alerts.json"]).out, "");
    let file = std::fs::read_to_string(desk.path("alerts.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), array);
}

#[test]
fn the_exit_code_tells_scripts() {
    let desk = desk();
    assert_eq!(detect(&desk, &["--fail-on", "critical"]).code, 0);
    assert_eq!(detect(&desk, &["--fail-on", "high"]).code, 1);
    // What is not shown counts all the same.
    let hidden = detect(&desk, &["--fail-on", "high", "--min-severity", "critical"]);
    assert_eq!((hidden.code, hidden.out.as_str()), (1, ""));
    detect(&desk, &["--fail-on", "severe"]).refuses(2, &["unknown severity"]);
}

#[test]
fn silence_says_what_was_watched() {
    let desk = desk();
    let run = detect(&desk, &["--since", "2026-11-02", "--until", "2026-11-03"]);
    assert_eq!((run.code, run.out.as_str()), (0, ""));
    for word in [
        &format!("nothing found by {} rules", rules_on_flows()),
        "vpc_flow watched from 2026-11-02 00:00:00Z to 2026-11-03 00:00:00Z: 1,440 minutes, 1,440 of them in 1 gap",
        "not run: cred-imdsv1",
        "(needs cloudtrail)",
    ] {
        assert!(run.err.contains(word), "no {word:?} in:\n{}", run.err);
    }
}

#[test]
fn wrong_use_is_refused_before_any_log_is_read() {
    let desk = desk();
    desk.run(&["detect"])
        .refuses(2, &["there are no logs to look at", "--from TABLE=PATH"]);
    detect(&desk, &["--rule", "net-scan-vertcal"]).refuses(2, &["did you mean net-scan-vertical?"]);
    detect(&desk, &["-o", "alerts.csv"]).refuses(2, &["alerts are not written as csv"]);
    detect(&desk, &["--rules", "none"]).refuses(4, &["none: ", "No such file"]);
}

#[test]
fn a_wrong_rule_is_named_with_file_and_line() {
    let desk = desk();
    desk.write("mine/a.sql", RULE);
    assert_eq!(
        detect(&desk, &["--rules", "mine", "--rule", "any-flow"])
            .rows()
            .len(),
        1
    );
    desk.write("mine/b.sql", RULE);
    detect(&desk, &["--rules", "mine"]).refuses(
        2,
        &["mine/b.sql:1: the id any-flow is taken: mine/a.sql has it too"],
    );
    desk.write("mine/b.sql", "-- id = \n\nSELECT 1\n");
    detect(&desk, &["--rules", "mine"]).refuses(2, &["mine/b.sql:1: "]);
    std::fs::remove_file(desk.path("mine/b.sql")).unwrap();
    desk.write("mine/a.sql", RULE.replace("FROM vpc_flow", "FROM vpc_flows"));
    for arguments in [
        &["detect", "--from", "vpc_flow=logs", "--rules", "mine"][..],
        &["rules", "lint", "--rules", "mine"],
    ] {
        desk.run(arguments).refuses(
            2,
            &["mine/a.sql:14: there is no table vpc_flows; did you mean vpc_flow?"],
        );
    }
}

/// No interface is a number: in what it gives, or in what it looks for.
const BREAKING: [(&str, &str); 2] = [
    ("dstport,", "CAST(interface_id AS BIGINT) AS dstport,"),
    (
        "FROM vpc_flow",
        "FROM vpc_flow WHERE CAST(interface_id AS BIGINT) > 0",
    ),
];

#[test]
fn a_rule_that_breaks_off_leaves_the_others_alone() {
    let desk = desk();
    desk.write("mine/a.sql", RULE);
    for (sound, breaking) in BREAKING {
        let rule = RULE.replace("any-flow", "broken").replace(sound, breaking);
        desk.write("mine/b.sql", rule);
        let chosen = ["--rules", "mine", "--rule", "any-flow", "--rule", "broken"];
        let run = detect(&desk, &chosen);
        assert_eq!(run.code, 2, "{}", run.err);
        let alert: Value = serde_json::from_str(&run.out).expect("one alert");
        assert_eq!(alert["rule"], "any-flow");
        for word in ["1 rule broke off", ": broken: mine/b.sql", "from 1 rule"] {
            assert!(run.err.contains(word), "no {word:?} in:\n{}", run.err);
        }
    }
}

/// The lake's coverage is by hours: a stretch that begins inside of the only one has records all the same.
#[test]
fn a_stretch_of_the_lake_may_begin_inside_an_hour() {
    let desk = desk();
    desk.run(&["ingest", "logs"]);
    desk.write("mine/a.sql", RULE.replace("quiet = \"1h\"", "quiet = \"1s\""));
    let alerts = |since: &str| {
        let lake = [
            "detect", "--lake", "lake", "--rules", "mine", "--rule", "any-flow", "--since", since,
        ];
        desk.run(&lake).rows().len()
    };
    let [all, some] = ["2026-11-01T00:00:01Z", "2026-11-01T00:00:20Z"].map(alerts);
    assert!(all > 0 && some > 0, "{all} and {some}");
    assert_eq!(alerts("2026-11-01T00:00:26Z"), 0);
}

#[test]
fn a_job_gives_a_rule_that_broke_off_the_same_once_more() {
    let desk = desk();
    desk.run(&["ingest", "logs"]);
    let job = [
        "detect", "--lake", "lake", "--job", "night", "--rules", "mine", "--quiet",
    ];
    let job = [&job[..], &["--rule", "any-flow"]].concat();
    let (sound, breaking) = BREAKING[0];
    desk.write("mine/a.sql", RULE.replace(sound, breaking));
    for _ in 0..2 {
        let run = desk.run(&job);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{}", run.err);
        assert!(run.err.contains("1 FAILED"), "{}", run.err);
    }
    desk.write("mine/a.sql", RULE);
    let run = desk.run(&job);
    assert_eq!((run.code, run.rows().len()), (0, 1), "{}", run.err);
}

#[test]
fn rules_are_listed_shown_and_tested() {
    let desk = Desk::new();
    let listed = desk.run(&["rules", "list"]).rows();
    let ids: Vec<&str> = listed.iter().filter_map(|rule| rule["id"].as_str()).collect();
    assert!(
        ids.len() >= 12 && ids.contains(&"cred-offnet") && ids.is_sorted(),
        "{ids:?}"
    );
    let shown = desk.run(&["rules", "show", "trail-stop"]).out;
    assert!(shown.contains("T1685.002 Disable or Modify Cloud Log") && shown.contains("## First look"));
    let tested = desk.run(&["rules", "test", "trail-stop"]);
    assert!(tested.out.ends_with("4 passed, 0 failed\n"), "{}", tested.out);
}

#[test]
fn a_failing_case_shows_the_difference_and_can_be_rewritten() {
    let desk = Desk::new();
    desk.write("mine/a.sql", RULE);
    let page = "# Any flow\n\n## It fires\n\n```vpc_flow\n2 1 eni-1 10.0.0.7 10.0.0.5 40000 22 6 1 40 1793491200 1793491260 REJECT OK\n```\n\
                ```alerts\nhigh: 10.0.0.7 to 23\n```\n";
    desk.write("mine/a.md", page);
    let run = desk.run(&["rules", "test", "--rules", "mine"]);
    assert_eq!(run.code, 2);
    for word in [
        "FAILED  any-flow: It fires",
        "mine/a.md:3",
        "- high: 10.0.0.7 to 23",
        "+ low: 10.0.0.7 to 22",
    ] {
        assert!(run.out.contains(word), "no {word:?} in:\n{}", run.out);
    }
    assert_eq!(
        desk.run(&["rules", "test", "--rules", "mine", "--update"]).code,
        0
    );
    assert_eq!(desk.run(&["rules", "test", "--rules", "mine"]).code, 0);
    let rewritten = std::fs::read_to_string(desk.path("mine/a.md")).unwrap();
    assert_eq!(
        rewritten,
        page.replace("high: 10.0.0.7 to 23", "low: 10.0.0.7 to 22")
    );
}
