//! Through a network that resets, cuts, delays and refuses: nothing lost, nothing doubled.

use std::collections::BTreeMap;

use trailhound_pipeline::Settings;
use trailhound_test_aws::faults::{Proxy, Rates};
use trailhound_test_aws::logs::now_ms;
use trailhound_test_aws::serve;

use crate::yard::{Yard, notice, options, small_batches, texts};

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket() {
    let yard = Yard::new();
    let keys = yard.put_flows(120);
    let aws = serve(&yard.buckets());
    aws.buckets.page(10);
    let proxy = Proxy::start(aws.url(), 21, Rates::all(0.4));
    yard.take_in("s3://logs", &options(proxy.url()), small_batches())
        .await;
    yard.check_flows("s3://logs/", &keys).await;
    let made = proxy.made();
    println!("{made:?}");
    assert!(made.requests_failed() > 20, "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue() {
    let yard = Yard::new();
    let keys = yard.put_flows(80);
    let aws = serve(&yard.buckets());
    aws.queues.create("q");
    aws.queues.visibility("q", 3);
    aws.queues.chaos("q", 5, 0.3);
    for key in &keys {
        aws.queues.send("q", notice(key, None));
    }
    let proxy = Proxy::start(aws.url(), 8, Rates::all(0.3));
    let options = trailhound_sources::SourceOptions {
        wait: std::time::Duration::from_secs(5),
        ..options(proxy.url())
    };
    yard.take_in("sqs://q", &options, small_batches()).await;
    yard.check_flows("s3://logs/", &keys).await;
    let counts = aws.queues.counts("q");
    assert_eq!(counts.visible + counts.in_flight, 0, "{counts:?}");
    let made = proxy.made();
    println!("{made:?}, {} doubles", aws.queues.doubles("q"));
    assert!(made.requests_failed() > 20, "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_group() {
    let yard = Yard::new();
    let aws = serve(&yard.buckets());
    let start = now_ms() - 3_600_000;
    for number in 0..1500 {
        let stream = format!("web/app/{}", number % 4);
        aws.logs.put(
            "/ecs/web",
            &stream,
            start + number * 400,
            &format!("line {number}"),
            100,
            0,
        );
    }
    aws.logs.behave(|behaviour| {
        behaviour.page_events = 40;
        behaviour.empty_every = 5;
    });
    let proxy = Proxy::start(aws.url(), 13, Rates::all(0.3));
    let settings = Settings {
        table: None,
        ..small_batches()
    };
    yard.take_in("cwl:///ecs/web", &options(proxy.url()), settings)
        .await;
    let mut found = BTreeMap::new();
    for batch in yard.batches("container_logs").await {
        for id in texts(&batch, "event_id") {
            *found.entry(id).or_insert(0) += 1;
        }
    }
    let expected: BTreeMap<String, i32> = aws
        .logs
        .events("/ecs/web")
        .into_iter()
        .map(|event| (event.id, 1))
        .collect();
    assert_eq!(found, expected);
    let made = proxy.made();
    println!("{made:?}");
    assert!(made.requests_failed() > 5, "{made:?}");
}
