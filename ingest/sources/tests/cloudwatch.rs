//! CloudWatch Logs through the SDK, against a server in this process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use futures::StreamExt;
use proptest::prelude::*;
use serde_json::Value;
use trailhound_aws::Aws;
use trailhound_ingest::error::Error;
use trailhound_sources::cloudwatch::{CloudWatch, CloudWatchOptions};
use trailhound_sources::{Delivery, Outcome, Receipt, Resume, Source, Step};
use trailhound_test_aws::logs::{Logs, Serving, now_ms};

/// What a pipeline keeps between two runs.
#[derive(Default)]
struct Saved {
    resume: Resume,
}

impl Saved {
    /// As after a commit.
    fn settle(&mut self, receipt: &Receipt) {
        if let Some(position) = &receipt.position {
            self.resume.position = Some(position.clone());
        }
        self.resume.recent.extend(receipt.recent.iter().cloned());
        if let Some(before) = receipt.forget_before {
            self.resume.recent.retain(|recent| recent.time >= before);
        }
    }
}

/// All events that came, by `_source`: line, id and message.
#[derive(Default)]
struct Taken(BTreeMap<String, Vec<(u64, String, String)>>);

impl Taken {
    async fn take(&mut self, delivery: &Delivery) -> Value {
        let chunks: Vec<_> = (delivery.body)().await.unwrap().collect().await;
        let bytes: Vec<u8> = chunks
            .into_iter()
            .flat_map(|chunk| chunk.unwrap().to_vec())
            .collect();
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let lines = self.0.entry(delivery.name.to_string()).or_default();
        for (line, event) in (delivery.lines_before + 1..).zip(document["logEvents"].as_array().unwrap()) {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            lines.push((line, text("id"), text("message")));
        }
        document
    }

    fn ids(&self) -> Vec<String> {
        self.0.values().flatten().map(|(_, id, _)| id.clone()).collect()
    }

    /// Each event of `groups` came once, and lines count from 1 without gaps.
    fn assert_complete(&self, logs: &Logs, groups: &[&str]) {
        let mut wanted: Vec<String> = groups
            .iter()
            .flat_map(|group| logs.events(group))
            .map(|event| event.id)
            .collect();
        let mut ids = self.ids();
        wanted.sort();
        ids.sort();
        let unique: HashSet<&String> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "an event came twice");
        assert_eq!(ids.len(), wanted.len(), "events are missing");
        assert_eq!(ids, wanted);
        for (name, lines) in &self.0 {
            let numbers: Vec<u64> = lines.iter().map(|(line, ..)| *line).collect();
            let expected: Vec<u64> = (1..=lines.len() as u64).collect();
            assert_eq!(numbers, expected, "lines of {name}");
        }
    }
}

async fn open(
    serving: &Serving,
    address: &str,
    options: CloudWatchOptions,
    resume: Resume,
) -> Result<CloudWatch, Error> {
    trailhound_test_aws::credentials();
    let aws = Aws::load(Some(&serving.endpoint()), address).await?;
    CloudWatch::open(address, &aws, options, resume).await
}

fn options() -> CloudWatchOptions {
    CloudWatchOptions {
        rate: 2000.0,
        poll: Duration::from_millis(30),
        ..CloudWatchOptions::default()
    }
}

/// Reads to the end.
async fn drain(source: &CloudWatch) -> Taken {
    let mut taken = Taken::default();
    while let Step::Delivery(delivery) = source.next().await.unwrap() {
        taken.take(&delivery).await;
        source
            .settle(vec![(delivery.receipt, Outcome::Taken)])
            .await
            .unwrap();
    }
    taken
}

fn requests(logs: &Logs, operation: &str) -> usize {
    logs.requests()
        .iter()
        .filter(|seen| seen.operation == operation)
        .count()
}

#[tokio::test]
async fn pages_end_at_10000_events_and_1_mb_and_may_be_empty() {
    let logs = Logs::new();
    let start = now_ms() - 3_600_000;
    for number in 0..25_000 {
        logs.put(
            "flows",
            &format!("eni-{}-all", number % 3),
            start + number / 10,
            "2 - eni",
            100,
            0,
        );
    }
    for number in 0..30 {
        logs.put(
            "flows",
            "large",
            start + 10_000 + number,
            &"x".repeat(100_000),
            100,
            0,
        );
    }
    logs.behave(|behaviour| behaviour.empty_every = 3);
    let serving = logs.serve().await.unwrap();
    let source = open(&serving, "cwl://flows", options(), Resume::default())
        .await
        .unwrap();
    let taken = drain(&source).await;
    taken.assert_complete(&logs, &["flows"]);
    for lines in taken.0.values() {
        let messages = lines.iter().map(|(_, id, _)| id);
        assert!(messages.is_sorted(), "events of a stream keep their order");
    }
    assert_eq!(taken.0.len(), 4);
    assert!(taken.0.contains_key("cwl://flows/eni-0-all"));
}

#[tokio::test]
async fn a_run_that_stops_after_any_delivery_goes_on_where_it_was() {
    let logs = Logs::new();
    let start = now_ms() - 5_400_000;
    for number in 0..400 {
        let stream = format!("stream {}", number % 7);
        logs.put(
            "/ecs/web",
            &stream,
            start + number * 13_000,
            &format!("line {number}"),
            500,
            0,
        );
    }
    logs.behave(|behaviour| {
        behaviour.page_events = 23;
        behaviour.empty_every = 4;
    });
    let serving = logs.serve().await.unwrap();
    let (mut saved, mut taken, mut runs) = (Saved::default(), Taken::default(), 0);
    loop {
        let since = CloudWatchOptions {
            since_ms: Some(start),
            ..options()
        };
        let source = open(&serving, "cwl:///ecs/web", since, saved.resume.clone())
            .await
            .unwrap();
        let Step::Delivery(delivery) = source.next().await.unwrap() else {
            break;
        };
        runs += 1;
        taken.take(&delivery).await;
        saved.settle(&delivery.receipt);
    }
    taken.assert_complete(&logs, &["/ecs/web"]);
    assert!(runs > 100, "{runs} runs");
}

#[tokio::test]
async fn late_events_are_found_in_the_look_back() {
    let logs = Logs::new();
    logs.create_group("g");
    let serving = logs.serve().await.unwrap();
    let start = now_ms();
    let follow = CloudWatchOptions {
        follow: true,
        lookback: Duration::from_secs(3),
        until_ms: Some(start + 2000),
        ..options()
    };
    let source = open(&serving, "cwl://g", follow, Resume::default())
        .await
        .unwrap();
    for number in 0..100_i64 {
        // Some are taken at once and shown late, some are taken late.
        let (late, hidden) = match number % 4 {
            0 => (0, 0),
            1 => (0, 2000),
            2 => (1800, 0),
            _ => (700, 700),
        };
        logs.put(
            "g",
            &format!("s{}", number % 2),
            start + number * 20,
            "x",
            late,
            hidden,
        );
    }
    let mut taken = Taken::default();
    let (mut idle, mut late) = (0, 0);
    loop {
        match source.next().await.unwrap() {
            Step::Delivery(delivery) => {
                let newest = taken.ids().iter().max().cloned().unwrap_or_default();
                let document = taken.take(&delivery).await;
                late += usize::from(document["logEvents"][0]["id"].as_str().unwrap() < &*newest);
            }
            Step::Idle => idle += 1,
            Step::End => break,
        }
    }
    taken.assert_complete(&logs, &["g"]);
    assert_eq!(taken.ids().len(), 100);
    assert!(idle > 5, "{idle} times idle");
    assert!(late > 5, "{late} deliveries came behind newer ones");
}

#[tokio::test]
async fn throttling_and_faults_are_waited_out_and_the_rate_is_kept_by_all_groups() {
    let logs = Logs::new();
    let start = now_ms() - 600_000;
    for number in 0..60 {
        logs.put("a", "s", start + number, "x", 0, 0);
        logs.put("b", "s", start + number, "x", 0, 0);
    }
    logs.behave(|behaviour| {
        behaviour.page_events = 4;
        behaviour.rate_max = Some(25);
        behaviour.throttle = 3;
        behaviour.fail = 2;
    });
    let serving = logs.serve().await.unwrap();
    let slow = CloudWatchOptions {
        rate: 20.0,
        since_ms: Some(start),
        ..options()
    };
    let one = open(&serving, "cwl://a", slow.clone(), Resume::default())
        .await
        .unwrap();
    let other = open(&serving, "cwl://b", slow, Resume::default()).await.unwrap();
    let (one, other) = tokio::join!(drain(&one), drain(&other));
    assert_eq!((one.ids().len(), other.ids().len()), (60, 60));
    let seen = logs.requests();
    let refused = seen.iter().filter(|seen| seen.refused).count();
    assert_eq!(refused, 5, "beyond those refused on purpose none was");
    let most = seen
        .iter()
        .map(|first| {
            let second =
                |at: &Instant| *at >= first.at && at.duration_since(first.at) < Duration::from_secs(1);
            seen.iter().filter(|seen| second(&seen.at)).count()
        })
        .max();
    assert!(
        most.is_some_and(|most| (10..=22).contains(&most)),
        "at most {most:?} requests in a second"
    );
}

#[tokio::test]
async fn an_expired_token_begins_the_window_anew() {
    let logs = Logs::new();
    let start = now_ms() - 3_600_000;
    for number in 0..100 {
        logs.put("g", "s", start + number, "x", 0, 0);
    }
    logs.behave(|behaviour| behaviour.page_events = 10);
    let serving = logs.serve().await.unwrap();
    let source = open(&serving, "cwl://g", options(), Resume::default())
        .await
        .unwrap();
    let mut taken = Taken::default();
    let mut expired = 0;
    while let Step::Delivery(delivery) = source.next().await.unwrap() {
        taken.take(&delivery).await;
        if expired < 3 {
            expired += 1;
            logs.expire_tokens();
        }
    }
    taken.assert_complete(&logs, &["g"]);
}

#[tokio::test]
async fn a_prefix_reads_all_its_groups_and_a_path_the_longest_one() {
    let logs = Logs::new();
    let start = now_ms() - 1_000_000;
    let groups: Vec<String> = (0..60).map(|number| format!("/ecs/service-{number}")).collect();
    for group in &groups {
        for number in 0..5 {
            // The same stream and time in each: only the group tells them apart.
            logs.put(group, "app/web/1", start + number * 1000, group, 10, 0);
        }
    }
    logs.put("/other", "s", start, "not wanted", 0, 0);
    logs.put("/ecs/service-1/sub", "api/1", start, "wanted", 0, 0);
    logs.put("/ecs/service-1/sub", "job/1", start, "not wanted", 0, 0);
    let serving = logs.serve().await.unwrap();

    let source = open(&serving, "cwl:///ecs/service-*", options(), Resume::default())
        .await
        .unwrap();
    let taken = drain(&source).await;
    let mut names: Vec<&str> = groups.iter().map(String::as_str).collect();
    names.push("/ecs/service-1/sub");
    taken.assert_complete(&logs, &names);

    let source = open(
        &serving,
        "cwl:///ecs/service-1/sub/api",
        options(),
        Resume::default(),
    )
    .await
    .unwrap();
    let taken = drain(&source).await;
    assert_eq!(
        taken.0.keys().collect::<Vec<_>>(),
        ["cwl:///ecs/service-1/sub/api/1"]
    );

    let source = open(
        &serving,
        "cwl:///ecs/service-7/app/",
        options(),
        Resume::default(),
    )
    .await
    .unwrap();
    assert_eq!(drain(&source).await.ids().len(), 5);
}

#[tokio::test]
async fn a_missing_group_is_named_with_those_that_are_near() {
    let logs = Logs::new();
    for group in ["/ecs/web", "/ecs/payments", "flows"] {
        logs.create_group(group);
    }
    let serving = logs.serve().await.unwrap();
    let fails = async |address: &str| {
        open(&serving, address, options(), Resume::default())
            .await
            .err()
            .unwrap()
    };
    let error = fails("cwl://ecs/paymets").await;
    assert_eq!(
        error.message(),
        "cwl://ecs/paymets: there is no log group ecs/paymets"
    );
    assert!(
        error
            .help()
            .unwrap()
            .starts_with("did you mean cwl:///ecs/payments"),
        "{:?}",
        error.help()
    );
    let error = fails("cwl://zzz*").await;
    assert_eq!(error.message(), "cwl://zzz*: there is no log group zzz");
    let error = fails("cwl://").await;
    assert_eq!(error.message(), "cwl://: no log group is named");
}

#[tokio::test]
async fn a_group_that_is_deleted_ends_its_source_but_not_a_prefix() {
    let logs = Logs::new();
    let start = now_ms() - 60_000;
    logs.put("a/1", "s", start, "x", 0, 0);
    logs.put("a/2", "s", start, "x", 0, 0);
    let serving = logs.serve().await.unwrap();
    let one = open(&serving, "cwl://a/1", options(), Resume::default())
        .await
        .unwrap();
    let many = open(&serving, "cwl://a/*", options(), Resume::default())
        .await
        .unwrap();
    logs.delete_group("a/1");
    let error = one.next().await.err().unwrap();
    assert_eq!(error.message(), "cwl://a/1: there is no log group a/1");
    assert_eq!(drain(&many).await.0.keys().collect::<Vec<_>>(), ["cwl://a/2/s"]);
}

#[tokio::test]
async fn since_and_until_bound_event_time() {
    let logs = Logs::new();
    let start = now_ms() - 40 * 3_600_000;
    for hour in 0..40 {
        logs.put("g", "s", start + hour * 3_600_000, &hour.to_string(), 0, 0);
    }
    let serving = logs.serve().await.unwrap();
    let hours = async |since: Option<i64>, until: Option<i64>| -> Vec<i64> {
        let bounded = CloudWatchOptions {
            since_ms: since,
            until_ms: until,
            ..options()
        };
        let source = open(&serving, "cwl://g", bounded, Resume::default())
            .await
            .unwrap();
        let taken = drain(&source).await;
        taken
            .0
            .values()
            .flatten()
            .map(|(_, _, text)| text.parse().unwrap())
            .collect()
    };
    let at = |hour: i64| Some(start + hour * 3_600_000);
    assert_eq!(hours(at(3), at(6)).await, [3, 4, 5]);
    assert_eq!(hours(at(37), None).await, [37, 38, 39]);
    assert_eq!(
        hours(None, at(18)).await,
        [17],
        "without since: the last 24 hours"
    );
}

#[tokio::test]
async fn the_body_is_what_the_formats_read() {
    let logs = Logs::new();
    let start = now_ms() - 60_000;
    let group = "/aws/ecs/containerinsights/prod/performance";
    let id = logs.put(group, "AgentTelemetry-i-1", start, "{\"Type\":\"Task\"}", 1500, 0);
    let serving = logs.serve().await.unwrap();
    let source = open(&serving, &format!("cwl://{group}"), options(), Resume::default())
        .await
        .unwrap();
    let Step::Delivery(delivery) = source.next().await.unwrap() else {
        panic!("no delivery");
    };
    assert_eq!(delivery.table, Some("container_insights"));
    assert_eq!(delivery.delivered_at, Some((start + 1500) * 1000));
    let document = Taken::default().take(&delivery).await;
    assert_eq!(document["owner"], trailhound_test_aws::ACCOUNT);
    assert_eq!(document["logGroup"], group);
    let event = &document["logEvents"][0];
    assert_eq!(event["id"], id);
    assert_eq!(event["timestamp"], start);
    assert_eq!(event["ingestionTime"], start + 1500);
}

#[tokio::test]
async fn a_live_tail_reconnects_and_gives_no_positions() {
    let logs = Logs::new();
    logs.put("g", "old", now_ms() - 1000, "from before", 0, 0);
    logs.behave(|behaviour| {
        behaviour.tail_events = 10;
        behaviour.tail_updates = 4;
    });
    let serving = logs.serve().await.unwrap();
    let tail = CloudWatchOptions {
        live_tail: true,
        until_ms: Some(now_ms() + 4000),
        ..options()
    };
    let source = open(&serving, "cwl://g", tail, Resume::default()).await.unwrap();
    let writer = {
        let logs = logs.clone();
        tokio::spawn(async move {
            for number in 0..300 {
                logs.put("g", "s", now_ms(), &number.to_string(), 0, 0);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    };
    let mut taken = Taken::default();
    loop {
        match source.next().await.unwrap() {
            Step::Delivery(delivery) => {
                assert_eq!(delivery.receipt.position, None);
                assert!(
                    delivery.name.starts_with("cwl://g/s#live-session-"),
                    "{}",
                    delivery.name
                );
                taken.take(&delivery).await;
            }
            Step::Idle => {}
            Step::End => break,
        }
    }
    writer.await.unwrap();
    let sessions = requests(&logs, "StartLiveTail");
    assert!(sessions >= 2, "{sessions} sessions");
    let messages: Vec<&String> = taken.0.values().flatten().map(|(_, _, text)| text).collect();
    let unique: HashSet<&&String> = messages.iter().collect();
    assert_eq!(unique.len(), messages.len());
    assert!(
        (10..300).contains(&messages.len()),
        "{} of 300 came",
        messages.len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_delays_and_stops_each_event_comes_once(
        arrivals in prop::collection::vec((0..1200_i64, 0..3_usize, 0..4_usize, 0..900_i64, 0..900_i64), 50..150),
        stops in prop::collection::vec(1..12_usize, 1..12),
        page_events in 1..20_usize,
        empty_every in 1..4_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(random_run(arrivals, stops, page_events, empty_every));
    }
}

async fn random_run(
    arrivals: Vec<(i64, usize, usize, i64, i64)>,
    stops: Vec<usize>,
    page_events: usize,
    empty_every: u64,
) {
    let logs = Logs::new();
    let groups = ["g/0", "g/1", "g/2"];
    for group in groups {
        logs.create_group(group);
    }
    logs.behave(|behaviour| {
        behaviour.page_events = page_events;
        behaviour.empty_every = empty_every;
    });
    let start = now_ms();
    // Visible between 1.2 s before and 2 s after the start.
    for (offset, group, stream, late, hidden) in arrivals {
        logs.put(
            groups[group],
            &format!("s{stream}"),
            start + offset - 1000,
            "x",
            late,
            hidden,
        );
    }
    let serving = logs.serve().await.unwrap();
    let (mut saved, mut taken) = (Saved::default(), Taken::default());
    let mut stops = stops.into_iter();
    loop {
        let follow = CloudWatchOptions {
            follow: true,
            since_ms: Some(start - 2000),
            until_ms: Some(start + 300),
            lookback: Duration::from_millis(2500),
            ..options()
        };
        let source = open(&serving, "cwl://g/*", follow, saved.resume.clone())
            .await
            .unwrap();
        // Some deliveries are settled together, and the last before a stop not at all.
        let stop = stops.next().unwrap_or(usize::MAX);
        let mut held: HashMap<u64, Delivery> = HashMap::new();
        let mut count = 0;
        let ended = loop {
            match source.next().await.unwrap() {
                Step::Delivery(delivery) => {
                    count += 1;
                    if count == stop {
                        break false;
                    }
                    held.insert(delivery.receipt.number, *delivery);
                }
                Step::Idle => {}
                Step::End => break true,
            }
        };
        let mut numbers: Vec<u64> = held.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let delivery = &held[&number];
            taken.take(delivery).await;
            saved.settle(&delivery.receipt);
        }
        if ended {
            break;
        }
    }
    taken.assert_complete(&logs, &groups);
}
