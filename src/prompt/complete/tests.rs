//! The `|` in each text is the cursor.

use super::*;

fn vocabulary() -> Vocabulary {
    let column = |name: &str, values: &[&str]| Column::new(name.into(), values);
    let flow = vec![
        column("srcaddr", &[]),
        column("srcport", &[]),
        column("action", &["ACCEPT", "REJECT"]),
        column("end", &[]),
    ];
    let trail = vec![
        column("source_ip_address", &[]),
        column("event_name", &[]),
        column("principal_type", &["Root", "IAMUser"]),
        column("event_type", &[]),
    ];
    Vocabulary {
        tables: vec![
            Table {
                name: "vpc_flow".into(),
                columns: flow,
            },
            Table {
                name: "cloudtrail".into(),
                columns: trail,
            },
        ],
        functions: vec!["count".into(), "sum".into(), "concat".into()],
    }
}

/// Candidates at the `|` of `text`, and what they would replace.
fn at(text: &str) -> (String, Vec<String>) {
    let at = text.find('|').unwrap();
    let text = text.replacen('|', "", 1);
    let completion = complete(&text, at, &vocabulary());
    (text[completion.start..at].to_string(), completion.candidates)
}

fn candidates(text: &str) -> Vec<String> {
    at(text).1
}

#[test]
fn tables_after_from_and_join() {
    assert_eq!(candidates("SELECT * FROM |"), ["vpc_flow", "cloudtrail"]);
    assert_eq!(at("select * from vp|"), ("vp".into(), vec!["vpc_flow".into()]));
    assert_eq!(candidates("SELECT * FROM vpc_flow JOIN cl|"), ["cloudtrail"]);
    assert_eq!(candidates("SUMMARIZE |"), ["vpc_flow", "cloudtrail"]);
}

#[test]
fn columns_of_the_named_tables_come_first() {
    assert_eq!(candidates("SELECT s| FROM vpc_flow")[..2], ["srcaddr", "srcport"]);
    assert!(candidates("SELECT s| FROM vpc_flow").contains(&"sum(".to_string()));
    assert!(!candidates("SELECT s| FROM vpc_flow").contains(&"source_ip_address".to_string()));
    assert!(candidates("SELECT sou|").contains(&"source_ip_address".to_string()));
    assert_eq!(
        candidates("SELECT | FROM vpc_flow"),
        ["srcaddr", "srcport", "action", "\"end\""]
    );
    assert_eq!(candidates("SELECT e| FROM vpc_flow")[0], "\"end\"");
}

#[test]
fn columns_of_an_alias() {
    assert_eq!(
        candidates("SELECT f.s| FROM vpc_flow f WHERE 1"),
        ["srcaddr", "srcport"]
    );
    assert_eq!(
        candidates("SELECT c.e| FROM vpc_flow f, cloudtrail AS c"),
        ["event_name", "event_type"]
    );
    assert_eq!(candidates("SELECT vpc_flow.a| FROM vpc_flow WHERE x"), ["action"]);
    assert_eq!(candidates("SELECT x.a| FROM vpc_flow f"), [""; 0]);
    assert_eq!(candidates("SELECT x.e|"), ["\"end\"", "event_name", "event_type"]);
}

#[test]
fn other_statements_do_not_count() {
    assert_eq!(
        candidates("SELECT 1 FROM vpc_flow; SELECT | FROM cloudtrail; SELECT 2")[0],
        "source_ip_address"
    );
}

#[test]
fn values_of_short_enums() {
    assert_eq!(at("WHERE action = 'R|"), ("R".into(), vec!["REJECT'".into()]));
    assert_eq!(
        candidates("SELECT 1 FROM vpc_flow WHERE action = '|"),
        ["ACCEPT'", "REJECT'"]
    );
    assert_eq!(candidates("WHERE action <> 're|'"), ["REJECT"]);
    assert_eq!(
        candidates("WHERE f.action IN ('ACCEPT', '|"),
        ["ACCEPT'", "REJECT'"]
    );
    assert_eq!(candidates("WHERE principal_type NOT IN ('r|"), ["Root'"]);
    assert_eq!(candidates("WHERE action LIKE 'a|"), ["ACCEPT'"]);
    assert_eq!(
        candidates("SELECT 1 FROM cloudtrail WHERE event_type = 'AwsV|"),
        ["AwsVpceEvent'"]
    );
    assert_eq!(candidates("WHERE srcaddr = '|"), [""; 0]);
    assert_eq!(candidates("SELECT action('|"), [""; 0]);
    assert_eq!(candidates("SELECT '|"), [""; 0]);
}

#[test]
fn keywords_in_the_case_of_the_typist() {
    assert_eq!(candidates("sel|"), ["select"]);
    assert_eq!(candidates("SEL|"), ["SELECT"]);
    assert_eq!(candidates("SELECT 1 FROM vpc_flow wh|"), ["where", "when"]);
    assert_eq!(candidates("SELECT co| FROM vpc_flow"), ["count(", "concat("]);
}

#[test]
fn line_commands_and_their_arguments() {
    assert_eq!(candidates("\\d|"), ["\\d", "\\df"]);
    assert_eq!(candidates("\\d vp|"), ["vpc_flow"]);
    assert_eq!(candidates("\\format n|"), ["ndjson"]);
    assert_eq!(candidates("\\columns |"), ["all", "fit"]);
    assert_eq!(candidates("\\x o|"), ["on", "off"]);
    assert!(complete("\\o some", 7, &vocabulary()).is_file);
}

#[test]
fn nothing_in_comments_and_numbers_and_never_a_panic() {
    assert_eq!(candidates("SELECT 1 -- se|"), [""; 0]);
    assert_eq!(candidates("SELECT 12|"), [""; 0]);
    let text = "SELECT 'é', \"ü.x\" FROM vpc_flow f WHERE f.action IN ('A', (;\\d $a$ /* x";
    for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
        complete(text, at, &vocabulary());
        complete(&text[..at], at, &vocabulary());
    }
}
