//! The rules as a collection: house rules, every case of every page, what goes
//! wrong and how it is said, and the alert as it leaves.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop right there"
)]

mod baselines;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use trailhound_detections::{Alert, Asked, Catalog, ErrorKind, Outcome, Rule, cases, evaluate, lint, ocsf};
use trailhound_query::{From, Options, Session};

#[tokio::test]
async fn the_rules_keep_the_house_rules() {
    let problems = lint::problems(&Catalog::embedded().unwrap()).await.unwrap();
    assert!(problems.is_empty(), "{}", lines(&problems));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_every_rule() {
    let catalog = Catalog::embedded().unwrap();
    let running: Vec<_> = catalog
        .entries()
        .cloned()
        .map(|entry| tokio::spawn(async move { cases::run(&entry).await.unwrap() }))
        .collect();
    let mut failed = Vec::new();
    for rule in running {
        for verdict in rule.await.unwrap().iter().filter(|verdict| !verdict.passed()) {
            failed.push(format!("{}:{}: {}", verdict.file, verdict.line, verdict.case));
            failed.extend(verdict.difference().iter().map(|line| format!("    {line}")));
        }
    }
    assert!(
        failed.is_empty(),
        "cases that came out otherwise:\n{}",
        failed.join("\n")
    );
}

/// One probe of each of 25 ports, and one API call: enough for an alert of each shape.
fn logs(folder: &Path) -> Vec<From> {
    let mut flows = String::from(
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n",
    );
    for port in 1..=25 {
        let start = 1_763_622_000 + port;
        flows.push_str(&format!(
            "2 111122223333 eni-0a1b 10.0.0.7 10.0.0.5 40000 {port} 6 1 40 {start} {start} REJECT OK\n"
        ));
    }
    let call = r#"{"eventVersion":"1.11","eventTime":"2025-11-20T07:10:00Z","eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","userAgent":"evil\u001b[2J","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:x","arn":"arn:aws:sts::111122223333:assumed-role/app/x","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE"},"requestParameters":{"name":"org-audit"},"eventID":"0e1d2c3b-0000-4000-8000-000000000001","readOnly":false,"recipientAccountId":"111122223333"}"#;
    let from = |table: &str, file: &str, text: &str| {
        let path = folder.join(file);
        fs::write(&path, text).unwrap();
        From {
            table: table.into(),
            format: table.into(),
            location: path.display().to_string(),
        }
    };
    vec![
        from("vpc_flow", "flow.log", &flows),
        from("cloudtrail", "trail.json", call),
    ]
}

async fn run(from: Vec<From>, rules: &[&Rule], memory_bytes: Option<usize>) -> (Outcome, Session) {
    let mut options = Options {
        from,
        ..Options::default()
    };
    options.memory_bytes = memory_bytes.unwrap_or(options.memory_bytes);
    let session = Session::open(options).await.unwrap();
    let outcome = evaluate::run(&session, rules, Asked::default()).await.unwrap();
    (outcome, session)
}

/// The folder's name changes with every run; nothing else may.
fn settled(text: &str, folder: &Path) -> String {
    text.replace(&folder.display().to_string(), "DIR")
}

#[tokio::test]
async fn alerts_as_they_leave() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::embedded().unwrap();
    let rules: Vec<&Rule> = catalog.entries().map(|entry| &entry.rule).collect();
    let (outcome, _) = run(logs(folder.path()), &rules, None).await;
    // The version of a rule changes with its text, and is tested there.
    let alerts: Vec<Alert> = outcome
        .alerts
        .iter()
        .cloned()
        .map(|mut alert| {
            alert.rule_version = "0123456789ab".into();
            alert.evidence.records.truncate(2);
            alert
        })
        .collect();
    assert_eq!(
        outcome.alerts.iter().map(|alert| alert.count).collect::<Vec<_>>(),
        [25, 1]
    );
    for (name, text) in [
        (
            "alerts_ndjson",
            alerts.iter().map(Alert::to_json).collect::<Vec<_>>().join("\n"),
        ),
        (
            "alerts_ocsf",
            alerts
                .iter()
                .map(|a| serde_json::to_string_pretty(&ocsf::finding(a)).unwrap())
                .collect::<Vec<_>>()
                .join("\n"),
        ),
    ] {
        assert!(!text.contains('\u{1b}'), "log text must not steer a terminal");
        let text = settled(&text, folder.path()).replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(name, text);
    }
    let silent: BTreeMap<&str, &str> = outcome
        .not_run
        .iter()
        .map(|rule| (rule.rule.as_str(), rule.why.as_str()))
        .collect();
    assert_eq!(silent.get("imds-ssrf-log"), Some(&"needs container_logs"));
    assert!(silent.values().all(|why| why.starts_with("needs ")), "{silent:?}");
}

#[tokio::test]
async fn the_same_logs_give_the_same_alerts_and_are_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::embedded().unwrap();
    let rules: Vec<&Rule> = catalog.entries().map(|entry| &entry.rule).collect();
    let (first, session) = run(logs(folder.path()), &rules, None).await;
    let (second, _) = run(logs(folder.path()), &rules, None).await;
    assert_eq!(first, second);
    // All rules, two tables, 26 rows: each row was parsed once; the 25 flow records once more for the
    // connections that are made of them, and all rows once more for the ledger of own addresses.
    let rows = session
        .ledger()
        .live()
        .rows
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(rows, 26 + 25 + 26);
}

#[tokio::test]
async fn what_does_not_fit_in_memory_is_held_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flow.log");
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    let logs = logs(folder.path());
    text.push_str(&fs::read_to_string(&path).unwrap());
    for n in 0..200_000 {
        let start = 1_763_622_000 + n % 600;
        text.push_str(&format!(
            "2 111122223333 eni-0a1b 10.1.{}.{} 10.0.0.9 {} 443 6 9 900 {start} {start} ACCEPT OK\n",
            n % 250,
            n % 251,
            1024 + n % 60_000
        ));
    }
    fs::write(&path, text).unwrap();
    let catalog = Catalog::embedded().unwrap();
    let rule = &catalog.get("net-scan-vertical").unwrap().rule;
    let (roomy, _) = run(vec![logs[0].clone()], &[rule], Some(1 << 30)).await;
    let (tight, _) = run(vec![logs[0].clone()], &[rule], Some(64 << 20)).await;
    assert_eq!(roomy.alerts, tight.alerts);
    assert_eq!(roomy.alerts.len(), 1);
    let ours = format!("trailhound-{}-", std::process::id());
    let left: Vec<_> = fs::read_dir(std::env::temp_dir())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with(&ours) && name.ends_with(".parquet"))
        .collect();
    assert!(left.is_empty(), "temporary files are left: {left:?}");
}

const GOOD: &str = r#"-- id = "mine"
-- title = "Mine"
-- severity = "low"
-- attack = ["T1046"]
-- csf = ["DE.CM-1"]
-- reads = ["vpc_flow"]
-- entity = ["srcaddr"]
-- quiet = "1h"
-- message = "{srcaddr}"
-- misses = "Much."
-- false_positives = "Many."

SELECT event_time, srcaddr, _source, _line
FROM vpc_flow
WHERE dstport = 23
"#;

/// What the catalogue of a folder with these files says, in the words of an error.
async fn said(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let text = match Catalog::folder(folder.path()) {
        Err(error) => error.to_string(),
        Ok(catalog) => lines(&lint::problems(&catalog).await.unwrap()),
    };
    settled(&text, folder.path())
}

fn lines(errors: &[trailhound_detections::Error]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn a_wrong_rule_is_refused_with_file_and_line() {
    let page = "# Mine\n## First look\n## False positives\n## What it misses\n## Fires\n```vpc_flow\n2\n```\n```alerts\nlow: a\n```\n## Silent\n```vpc_flow\n2\n```\n```alerts\n```\n";
    assert_eq!(said(&[("a.sql", GOOD), ("a.md", page)]).await, "");
    for (from, to, expected) in [
        ("-- id = \"mine\"", "-- id = mine", "DIR/a.sql:1: "),
        ("\"low\"", "\"bad\"", "DIR/a.sql:3: unknown variant `bad`"),
        (
            "FROM vpc_flow",
            "FROM vpc_flows",
            "DIR/a.sql:14: there is no table vpc_flows; did you mean vpc_flow?",
        ),
        (
            "[\"vpc_flow\"]",
            "[\"cloudtrail\"]",
            "DIR/a.sql:14: the SQL uses the table vpc_flow, which is not in `reads`",
        ),
        (
            "[\"vpc_flow\"]",
            "[\"vpc_flow\", \"dns\"]",
            "DIR/a.sql:6: there is no table dns; there are ",
        ),
        (
            "[\"vpc_flow\"]",
            "[\"vpc_flow\", \"cloudtrail\"]",
            "DIR/a.sql:6: `reads` names cloudtrail, which the SQL does not use",
        ),
        (
            "dstport = 23",
            "dstprt = 23",
            "DIR/a.sql:15: there is no column dstprt; did you mean dstport?",
        ),
        ("WHERE", "WHER", "DIR/a.sql:15: SQL: "),
        (
            "[\"srcaddr\"]",
            "[\"source\"]",
            "DIR/a.sql:7: `entity` names source, which the query does not give",
        ),
        (
            "-- quiet",
            "-- keep = [\"step\"]\n-- quiet",
            "DIR/a.sql:8: `keep` names step, which is no step of the query",
        ),
        (
            "\"{srcaddr}\"",
            "\"{who}\"",
            "DIR/a.sql:9: the message uses {who}, which the query does not give",
        ),
        (
            "event_time, ",
            "",
            "DIR/a.sql:13: the query must give event_time, or first_seen and last_seen",
        ),
        (
            ", _line",
            "",
            "DIR/a.sql:13: the query must give evidence(...) as evidence, or _source and _line",
        ),
        (
            "SELECT",
            "CREATE TABLE x AS SELECT",
            "DIR/a.sql:13: a rule is a query",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let text = said(&[("a.sql", &GOOD.replacen(from, to, 1)), ("a.md", page)]).await;
        assert!(text.starts_with(expected), "{from} -> {to}: {text}");
    }
}

#[tokio::test]
async fn two_files_with_one_id_are_both_named() {
    let text = said(&[("a.sql", GOOD), ("b.sql", GOOD)]).await;
    assert_eq!(text, "DIR/b.sql:1: the id mine is taken: DIR/a.sql has it too");
}

#[tokio::test]
async fn a_page_must_be_there_and_whole() {
    assert!(
        said(&[("a.sql", GOOD)])
            .await
            .contains("a.sql:1: there is no page beside it")
    );
    let text = said(&[
        ("a.sql", GOOD),
        ("a.md", "# Other\n```vpc_flow\n2\n```\n```alerts\n```\n"),
    ])
    .await;
    for part in [
        "DIR/a.md:1: the page's title",
        "`## First look` is missing",
        "no case fires",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_folders_rule_takes_the_place_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("x.sql"),
        GOOD.replace("\"mine\"", "\"trail-stop\""),
    )
    .unwrap();
    fs::write(folder.path().join("y.sql"), GOOD).unwrap();
    let catalog = Catalog::with_folder(folder.path()).unwrap();
    assert_eq!(catalog.get("trail-stop").unwrap().rule.title, "Mine");
    assert_eq!(
        catalog.entries().count(),
        Catalog::embedded().unwrap().entries().count() + 1
    );
    let nothing = Catalog::with_folder(&folder.path().join("none")).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::Io);
    let unknown = catalog
        .select(&["trail-stopp".to_owned()])
        .unwrap_err()
        .to_string();
    assert_eq!(unknown, "there is no rule trail-stopp; did you mean trail-stop?");
}

#[tokio::test]
async fn an_own_table_is_used_where_there_is_one() {
    // The optional table of cred-offnet is empty unless the session has it; both must plan and run.
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::embedded().unwrap();
    let rule = &catalog.get("cred-offnet").unwrap().rule;
    let from = vec![logs(folder.path())[1].clone()];
    let session = Session::open(Options {
        from,
        ..Options::default()
    })
    .await
    .unwrap();
    let outcome = evaluate::run(&session, &[rule], Asked::default()).await.unwrap();
    assert_eq!(outcome.ran.len(), 1);
    session
        .context()
        .sql("CREATE OR REPLACE VIEW own_addresses AS SELECT '203.0.113.0/24' AS address")
        .await
        .unwrap();
    let outcome = evaluate::run(&session, &[rule], Asked::default()).await.unwrap();
    assert_eq!(outcome.ran.len(), 1);
}
