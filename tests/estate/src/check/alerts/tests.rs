//! The checker itself: caught, missed, a neighbour's alert, a false one.

use super::*;

const TRUTH: &str = r#"{"kind":"estate","start":0,"end":864000,"attacks_from":432000,"services":25,"aggregation":60,"seed":1,"account":"1"}
{"kind":"attack","rule":"net-beacon","strength":2,"from":500000,"to":540000,"workload":"cart","entities":["cart","10.0.0.1","eni-a","7.7.7.7"],"detail":"d"}
{"kind":"attack","rule":"net-mining","strength":1,"from":600000,"to":602000,"workload":"orders","entities":["orders","10.0.0.2"],"detail":"d"}
"#;

fn alert(rule: &str, severity: &str, at: (i64, i64), entity: &str) -> String {
    format!(
        r#"{{"id":"x","rule":"{rule}","severity":"{severity}","first_seen":{},"last_seen":{},"entity":{{"type":"service","id":"{entity}"}},"message":"m","evidence":{{}}}}"#,
        at.0, at.1
    )
}

fn report(alerts: &[String]) -> Report {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(crate::truth::FILE), TRUTH).unwrap();
    let truth = Truth::read(folder.path()).unwrap();
    check_lines(&truth, alerts.join("\n").as_bytes()).unwrap()
}

#[test]
fn an_attack_is_caught_by_its_own_rule_at_its_time() {
    let report = report(&[
        alert("net-beacon", "medium", (500_000, 530_000), "10.0.0.1,7.7.7.7,443"),
        alert("net-beacon", "medium", (500_000, 520_000), "cart"),
    ]);
    assert_eq!(report.attacks[0].after_seconds, Some(20_000));
    assert_eq!(report.attacks[0].own, 2);
    assert_eq!(report.attacks[1].after_seconds, None);
    assert!(report.false_alerts.is_empty());
    assert!(report.to_string().contains("strength 1: 0 of 1 caught"));
}

#[test]
fn another_rule_about_it_is_a_neighbour_not_a_catch() {
    let report = report(&[alert("net-long-conn", "low", (500_000, 520_000), "eni-a")]);
    assert_eq!((report.attacks[0].own, report.attacks[0].neighbours), (0, 1));
    assert_eq!(report.attacks[0].after_seconds, None);
    assert!(report.false_alerts.is_empty());
}

#[test]
fn addresses_of_ipv6_are_words() {
    for text in [
        r#"{"id":"2001:db8::1"}"#,
        "from 2001:db8::1: refused",
        "2001:db8::1,443",
    ] {
        assert!(words(text).iter().any(|word| word == "2001:db8::1"), "{text}");
    }
    assert_eq!(words("at 10:20"), ["at", "10", "20"]);
}

#[test]
fn what_matches_nothing_is_false() {
    let report = report(&[
        alert("net-beacon", "medium", (500_000, 520_000), "10.0.0.11"),
        alert("net-beacon", "high", (10, 20), "cart"),
        alert("net-mining", "High", (800_000, 800_100), "orders"),
    ]);
    assert_eq!(report.early, 1);
    assert_eq!(report.false_alerts["medium"], 1);
    assert_eq!(report.false_alerts["high"], 1);
    // Five days, half of fifty services.
    assert!((report.false_rate(&["medium", "high", "critical"]) - 2.0 / 5.0 * 2.0).abs() < 1e-9);
}
