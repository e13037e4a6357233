//! Each source to the lake and back to its acknowledgement; stops; and going on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use trailhound_pipeline::Settings;
use trailhound_sources::SourceOptions;
use trailhound_test_aws::logs::now_ms;
use trailhound_test_aws::serve;

use crate::yard::{Yard, notice, options, small_batches, texts};

#[tokio::test(flavor = "multi_thread")]
async fn files() {
    let yard = Yard::new();
    let keys = yard.put_flows(40);
    let folder = yard.buckets().join("logs").display().to_string();
    let summary = yard
        .take_in(&folder, &SourceOptions::default(), small_batches())
        .await;
    yard.check_flows(&format!("{folder}/"), &keys).await;
    let total = summary.total();
    assert_eq!(
        (total.objects, total.rows, total.rejected, summary.known),
        (40, 240, 40, 0)
    );
    assert!(summary.commits >= 4, "{} commits", summary.commits);
    // Nothing is new the second time, and nothing is committed.
    let summary = yard
        .take_in(&folder, &SourceOptions::default(), small_batches())
        .await;
    assert_eq!(
        (summary.total().objects, summary.known, summary.commits),
        (0, 40, 0)
    );
    yard.check_flows(&format!("{folder}/"), &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket() {
    let yard = Yard::new();
    let keys = yard.put_flows(40);
    let aws = serve(&yard.buckets());
    aws.buckets.page(7);
    let options = options(aws.url());
    yard.take_in("s3://logs", &options, small_batches()).await;
    yard.check_flows("s3://logs/", &keys).await;
    aws.server.forget();
    let summary = yard.take_in("s3://logs", &options, small_batches()).await;
    assert_eq!((summary.known, summary.commits, aws.server.gets()), (40, 0, 0));
    yard.check_flows("s3://logs/", &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_doubled_notices_in_disorder() {
    let yard = Yard::new();
    let keys = yard.put_flows(60);
    let aws = serve(&yard.buckets());
    aws.queues.create("q");
    aws.queues.chaos("q", 3, 0.4);
    for key in &keys {
        aws.queues.send("q", notice(key, None));
    }
    assert!(aws.queues.doubles("q") > 10);
    let summary = yard
        .take_in("sqs://q", &options(aws.url()), small_batches())
        .await;
    yard.check_flows("s3://logs/", &keys).await;
    assert!(summary.known > 0, "doubles were known");
    let counts = aws.queues.counts("q");
    assert_eq!((counts.visible, counts.in_flight), (0, 0), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_groups() {
    let yard = Yard::new();
    let aws = serve(&yard.buckets());
    let start = now_ms() - 3_600_000;
    let put = |from: i64, to: i64| {
        // A page of the later ones is longer than what is looked at to tell its table.
        let filler = "x".repeat(if from > 0 { 8000 } else { 0 });
        for number in from..to {
            let stream = format!("web/app/{}", number % 3);
            aws.logs.put(
                "/ecs/web",
                &stream,
                start + number * 500,
                &format!("line {number} {filler}"),
                100,
                0,
            );
        }
    };
    put(0, 900);
    aws.logs.behave(|behaviour| behaviour.page_events = 70);
    let settings = Settings {
        table: None,
        ..small_batches()
    };
    let address = "cwl:///ecs/web";
    yard.take_in(address, &options(aws.url()), settings.clone()).await;
    put(900, 1300);
    yard.take_in(address, &options(aws.url()), settings.clone()).await;
    let summary = yard.take_in(address, &options(aws.url()), settings).await;
    assert_eq!(summary.commits, 0);
    let found: Vec<String> = yard
        .batches("container_logs")
        .await
        .iter()
        .flat_map(|batch| texts(batch, "event_id"))
        .collect();
    let expected: BTreeSet<String> = aws
        .logs
        .events("/ecs/web")
        .into_iter()
        .map(|event| event.id)
        .collect();
    assert_eq!(found.len(), 1300);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    let lines = yard.lines("container_logs").await;
    assert!(
        lines.values().all(|count| *count == 1) && lines.len() == 1300,
        "lines count on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_or_broken_off_goes_on() {
    let yard = Yard::new();
    let keys = yard.put_flows(150);
    let aws = serve(&yard.buckets());
    aws.buckets.page(10);
    let options = options(aws.url());
    let mut dead = 0;
    for round in 0..8 {
        let state = yard.state();
        let source = yard.open(&state, "s3://logs", &options).await;
        let running = yard.start(source, state, yard.lake(), small_batches());
        let began = Instant::now();
        let wait = Duration::from_millis(60 + 70 * round);
        while began.elapsed() < wait && !running.task.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if round % 2 == 0 {
            running.stop().await;
        } else {
            // As if it died: whatever is under way is dropped where it stands.
            running.task.abort();
            dead += usize::from(running.task.await.is_err());
        }
    }
    assert!(dead > 0, "no run was broken off");
    yard.take_in("s3://logs", &options, small_batches()).await;
    yard.check_flows("s3://logs/", &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_show_soon_after_an_object_is_put() {
    let yard = Yard::new();
    let aws = serve(&yard.buckets());
    aws.queues.create("q");
    let options = SourceOptions {
        follow: true,
        wait: Duration::from_secs(20),
        ..options(aws.url())
    };
    let state = yard.state();
    let source = yard.open(&state, "sqs://q", &options).await;
    let running = yard.start(source, state, yard.lake(), Settings::default().following());
    let mut took = Vec::new();
    for number in 0..10 {
        let key = format!("AWSLogs/111122223333/vpcflowlogs/eu-west-1/2026/11/20/{number}.log");
        let put = Instant::now();
        yard.put(&key, crate::yard::flows(number, 6));
        aws.queues.send("q", notice(&key, None));
        yard.wait_for(6 * (number + 1), Duration::from_secs(30)).await;
        took.push(put.elapsed());
    }
    running.stop().await;
    took.sort();
    println!(
        "from put to rows visible: median {:?}, most {:?}",
        took[5], took[9]
    );
}
