//! The checker itself: right, missing, wrong, and wrong with certainty.

use super::*;

const TRUTH: &str = r#"{"kind":"estate","start":1000,"end":9000,"attacks_from":5000,"services":4,"aggregation":60,"seed":1,"account":"1"}
{"kind":"owner","interface":"eni-a","address":"10.0.0.1","from":1000,"to":2000,"owner":"task","workload":"cart","service":true,"task":"t1"}
{"kind":"owner","interface":"eni-b","address":"10.0.0.1","from":2010,"to":null,"owner":"task","workload":"orders","service":true,"task":"t2"}
{"kind":"owner","interface":"eni-c","address":"10.0.0.2","from":1000,"to":null,"owner":"task","workload":"nightly","service":false,"task":"t3"}
{"kind":"owner","interface":"eni-d","address":"10.0.0.3","address6":"2001:db8::3","from":1000,"to":null,"owner":"task","workload":"search","service":true,"task":"t4"}
{"kind":"owner","interface":"eni-h","address":"10.0.0.9","from":1000,"to":null,"owner":"instance"}
"#;

fn report(rows: &[&str]) -> Report {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(crate::truth::FILE), TRUTH).unwrap();
    let truth = Truth::read(folder.path()).unwrap();
    check_rows(&truth, rows.join("\n").as_bytes()).unwrap()
}

fn row(source: &str, time: &str, service: &str, certainty: &str, task: &str) -> String {
    format!(
        r#"{{"interface_id":"eni-x","srcaddr":"{source}","dstaddr":"8.8.8.8","start_time":{time},"src_service":{service},"src_certainty":"{certainty}","dst_service":null,"dst_certainty":"unknown","src_task_id":{task},"dst_task_id":null}}"#
    )
}

#[test]
fn an_address_belongs_to_who_had_it_then() {
    let early = row("10.0.0.1", "1500", "\"cart\"", "certain", "\"t1\"");
    let late = row(
        "10.0.0.1",
        "\"1970-01-01T00:33:40Z\"",
        "\"orders\"",
        "certain",
        "null",
    );
    let both = report(&[&early, &late]);
    assert_eq!((both.awsvpc, both.awsvpc_right, both.wrong_certain()), (2, 2, 0));
    assert!(both.passed(), "{both}");
}

#[test]
fn the_former_owner_is_wrong_and_fails_when_certain() {
    let guess = report(&[&row("10.0.0.1", "2020", "\"cart\"", "likely", "null")]);
    assert_eq!((guess.awsvpc_right, guess.wrong_certain()), (0, 0));
    let sure = report(&[&row("10.0.0.1", "2020", "\"cart\"", "certain", "null")]);
    assert_eq!((sure.awsvpc_right, sure.wrong_certain()), (0, 1));
    assert!(sure.samples[0].contains("orders"), "{:?}", sure.samples);
    assert!(!sure.passed());
}

#[test]
fn one_wrong_answer_among_many_fails_only_if_certain() {
    let right = row("10.0.0.1", "1500", "\"cart\"", "certain", "\"t1\"");
    let unknown = row("10.0.0.1", "1500", "null", "unknown", "null");
    let sure = row("10.0.0.1", "1500", "\"orders\"", "certain", "\"t1\"");
    let mut rows = vec![right.as_str(); 999];
    rows.push(&unknown);
    assert!(report(&rows).passed());
    rows[999] = &sure;
    assert!(!report(&rows).passed());
    // Two in a thousand unknown are too few right.
    assert!(!report(&[&rows[..198], &[unknown.as_str(); 2]].concat()).passed());
}

#[test]
fn jobs_have_no_service_and_shared_interfaces_none_for_certain() {
    let job = report(&[&row("10.0.0.2", "1500", "null", "certain", "\"t3\"")]);
    assert_eq!(job.awsvpc_right, 1);
    let wrong = report(&[&row("10.0.0.2", "1500", "null", "certain", "\"t1\"")]);
    assert_eq!(wrong.wrong_certain(), 1);
    let shared = report(&[&row("10.0.0.9", "1500", "\"cart\"", "certain", "null")]);
    assert_eq!(shared.wrong_certain(), 1);
    let hedged = report(&[&row("10.0.0.9", "1500", "null", "ambiguous", "null")]);
    assert_eq!((hedged.wrong_certain(), hedged.awsvpc), (0, 0));
}

#[test]
fn an_interface_has_both_of_its_addresses() {
    let both =
        ["10.0.0.3", "2001:db8::3"].map(|address| row(address, "1500", "\"search\"", "certain", "\"t4\""));
    let right = report(&[&both[0], &both[1]]);
    assert_eq!((right.awsvpc, right.awsvpc_right), (2, 2));
    assert_eq!((right.over_v6, right.over_v6_right), (1, 1));
    assert_eq!(right.kinds["task of a service, as peer, IPv6"].right, 1);
    // Its own records name the interface, whichever address they are about.
    let itself = both[1].replace("eni-x", "eni-d");
    assert_eq!(
        report(&[&itself]).kinds["task of a service, itself, IPv6"].right,
        1
    );
}

#[test]
fn what_ipv6_lacks_does_not_drown_in_ipv4() {
    let right = row("10.0.0.3", "1500", "\"search\"", "certain", "\"t4\"");
    let unknown = row("2001:db8::3", "1500", "null", "unknown", "null");
    let mut rows = vec![right.as_str(); 999];
    rows.push(&unknown);
    let drowned = report(&rows);
    assert!(
        drowned.percent() > RIGHT_PERCENT_MIN && !drowned.passed(),
        "{drowned}"
    );
}

#[test]
fn strangers_have_no_service() {
    let claimed = report(&[&row("9.9.9.9", "1500", "\"cart\"", "certain", "null")]);
    assert_eq!(claimed.wrong_certain(), 1);
}

#[test]
fn times_come_in_several_forms() {
    for text in [
        "1500",
        "1500000000000000",
        "\"1970-01-01T00:25:00Z\"",
        "\"1970-01-01 00:25:00\"",
        "\"1970-01-01T00:25:00.000\"",
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        let expected = if text.len() == 16 { 1_500_000_000 } else { 1500 };
        assert_eq!(seconds(&value), Some(expected), "{text}");
    }
}
