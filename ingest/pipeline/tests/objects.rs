//! Objects that break off, vanish, change, or are no logs.

use std::time::{Duration, Instant};

use trailhound_pipeline::Settings;
use trailhound_sources::{Outcome, SourceOptions};
use trailhound_test_aws::serve;

use crate::stand_in::{AsSource, StandIn};
use crate::yard::{Yard, flows, notice, options, small_batches};

/// Objects stream into the files from their first rows on.
fn streaming() -> Settings {
    Settings {
        held_bytes_max: 0,
        batch_rows_max: 1 << 20,
        attempts_max: 2,
        ..small_batches()
    }
}

/// Records enough for several batches of rows, so that some are given before the end.
const LARGE: usize = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_breaks_off_spoils_no_batch() {
    let yard = Yard::new();
    let keys = yard.put_flows(10);
    yard.put("0004-large.log", flows(50, LARGE));
    yard.put("0008-large.log", flows(80, LARGE));
    let folder = yard.buckets().join("logs").display().to_string();
    let state = yard.state();
    let stand_in = StandIn::new(yard.open(&state, &folder, &SourceOptions::default()).await);
    // Both break off for good, in the same batch.
    stand_in.breaks("0004-large.log", usize::MAX, 2_500_000);
    stand_in.breaks("0008-large.log", usize::MAX, 2_000_000);
    let source = std::sync::Arc::new(AsSource(stand_in.clone()));
    let settings = Settings {
        objects_at_once: 20,
        ..streaming()
    };
    let summary = yard.start(source, state, yard.lake(), settings).end().await;
    yard.check_flows(&format!("{folder}/"), &keys).await;
    assert_eq!(summary.failed_count, 2, "{:?}", summary.failed);
    for name in ["0004-large.log", "0008-large.log"] {
        let outcomes = stand_in.outcomes(name);
        assert!(
            matches!(outcomes.as_slice(), [Outcome::Failed { .. }]),
            "{outcomes:?}"
        );
    }
    assert_eq!(stand_in.outcomes("0003.log"), [Outcome::Taken]);
    // The others were in files that were given up, and were read again.
    assert!(stand_in.reads.lock().unwrap().values().sum::<usize>() > 10 + 2 * 2);
    // The next run finds them mended.
    let summary = yard
        .take_in(&folder, &SourceOptions::default(), streaming())
        .await;
    assert_eq!((summary.known, summary.total().rows), (10, 2 * LARGE as u64));
    assert_eq!(yard.lines("vpc_flow").await.len(), 60 + 2 * LARGE);
    assert!(yard.lines("vpc_flow").await.values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_before_a_break_is_not_given_twice() {
    let yard = Yard::new();
    yard.put("large.log", flows(1, LARGE));
    let folder = yard.buckets().join("logs").display().to_string();
    let state = yard.state();
    let stand_in = StandIn::new(yard.open(&state, &folder, &SourceOptions::default()).await);
    stand_in.breaks("large.log", 1, 2_500_000);
    let source = std::sync::Arc::new(AsSource(stand_in.clone()));
    yard.start(source, state, yard.lake(), streaming()).end().await;
    let lines = yard.lines("vpc_flow").await;
    assert!(
        lines.len() == LARGE && lines.values().all(|count| *count == 1),
        "{}",
        lines.len()
    );
    assert_eq!(yard.lines("rejects").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_replaced_counts_as_what_was_read() {
    for together in [true, false] {
        let yard = Yard::new();
        let aws = serve(&yard.buckets());
        aws.queues.create("q");
        yard.put("a.log", flows(1, 6));
        let options = options(aws.url());
        // The notice says the first content's tag; another lies there when it is read, and is announced as well.
        aws.queues
            .send("q", notice("a.log", Some("0123456789abcdef0123456789abcdef")));
        if together {
            aws.queues.send("q", notice("a.log", None));
            aws.queues
                .send("q", notice("a.log", Some("fedcba9876543210fedcba9876543210")));
        }
        yard.take_in("sqs://q", &options, small_batches()).await;
        if !together {
            for tag in [None, Some("fedcba9876543210fedcba9876543210")] {
                aws.queues.send("q", notice("a.log", tag));
                let summary = yard.take_in("sqs://q", &options, small_batches()).await;
                assert_eq!((summary.known, summary.total().rows), (1, 0), "{tag:?}");
            }
        }
        assert_eq!(
            yard.numbers("bytes").await,
            (1_000_000..1_000_006).collect::<Vec<_>>()
        );
        let counts = aws.queues.counts("q");
        assert_eq!((counts.visible, counts.in_flight, counts.deleted), (0, 0, 3));
        // A new content under the old key is another matter.
        yard.put("a.log", flows(2, 6));
        aws.queues.send("q", notice("a.log", None));
        yard.take_in("sqs://q", &options, small_batches()).await;
        assert_eq!(yard.numbers("bytes").await.len(), 12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_gone_is_noted_and_let_go() {
    let yard = Yard::new();
    let keys = yard.put_flows(2);
    let aws = serve(&yard.buckets());
    aws.queues.create("q");
    for key in ["gone.log", "0000.log", "0001.log"] {
        aws.queues.send("q", notice(key, None));
    }
    let summary = yard
        .take_in("sqs://q", &options(aws.url()), small_batches())
        .await;
    yard.check_flows("s3://logs/", &keys).await;
    assert_eq!(summary.skipped_count, 1, "{:?}", summary.skipped);
    assert_eq!(summary.skipped[0].0, "s3://logs/gone.log");
    let counts = aws.queues.counts("q");
    assert_eq!((counts.visible, counts.in_flight, counts.deleted), (0, 0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_messages_and_poison_are_left_to_the_queue() {
    let yard = Yard::new();
    let keys = yard.put_flows(5);
    yard.put(
        "picture.bin",
        [0x89, b'P', b'N', b'G', 13, 10, 26, 10, 0, 0, 0, 0],
    );
    let aws = serve(&yard.buckets());
    aws.queues.create("q");
    aws.queues.create("dead");
    aws.queues.redrive("q", "dead", 1);
    aws.queues.visibility("q", 6);
    aws.queues.send("q", "order number 5");
    aws.queues.send("q", notice("picture.bin", None));
    for key in &keys {
        aws.queues.send("q", notice(key, None));
    }
    let options = SourceOptions {
        follow: true,
        ..options(aws.url())
    };
    let settings = Settings {
        table: None,
        ..small_batches().following()
    };
    let state = yard.state();
    let source = yard.open(&state, "sqs://q", &options).await;
    let running = yard.start(source, state, yard.lake(), settings);
    let began = Instant::now();
    while aws.queues.counts("dead").visible < 2 && began.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(aws.queues.counts("dead").visible, 2);
    yard.wait_for(30, Duration::from_secs(20)).await;
    let summary = running.stop().await;
    yard.check_flows("s3://logs/", &keys).await;
    let counts = aws.queues.counts("q");
    assert_eq!(
        (counts.visible, counts.in_flight, counts.deleted),
        (0, 0, 5),
        "{counts:?}"
    );
    assert_eq!(summary.skipped[0].0, "s3://logs/picture.bin");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_log_is_not_read_at_every_look() {
    let yard = Yard::new();
    yard.put(
        "picture.bin",
        [0x89, b'P', b'N', b'G', 13, 10, 26, 10, 0, 0, 0, 0],
    );
    let aws = serve(&yard.buckets());
    let options = SourceOptions {
        follow: true,
        ..options(aws.url())
    };
    let settings = Settings {
        table: None,
        quiet_age_max: Duration::from_millis(50),
        ..small_batches()
    };
    let state = yard.state();
    let stand_in = StandIn::new(yard.open(&state, "s3://logs", &options).await);
    let source = std::sync::Arc::new(AsSource(stand_in.clone()));
    let running = yard.start(source, state, yard.lake(), settings);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(running.stop().await.skipped_count, 1);
    assert_eq!(stand_in.reads.lock().unwrap().values().sum::<usize>(), 1);
}
