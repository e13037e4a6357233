//! Two sources that have the same objects: each object is taken by one of them.

use std::sync::Arc;
use std::time::Duration;

use trailhound_pipeline::Settings;
use trailhound_test_aws::serve;

use crate::stand_in::{AsSource, StandIn};
use crate::yard::{Yard, notice, options, small_batches};

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_and_the_queue_that_announces_it() {
    let yard = Yard::new();
    let keys = yard.put_flows(80);
    let aws = serve(&yard.buckets());
    aws.queues.create("q");
    aws.queues.chaos("q", 9, 0.2);
    for key in &keys {
        aws.queues.send("q", notice(key, None));
    }
    let options = options(aws.url());
    let (state, lake) = (yard.state(), yard.lake());
    let bucket = yard.open(&state, "s3://logs", &options).await;
    let queue = yard.open(&state, "sqs://q", &options).await;
    let first = yard.start(bucket, state.clone(), lake.clone(), small_batches());
    let second = yard.start(queue, state.clone(), lake, small_batches());
    let (first, second) = (first.end().await, second.end().await);
    yard.check_flows("s3://logs/", &keys).await;
    assert_eq!(first.total().objects + second.total().objects, 80);
    let counts = aws.queues.counts("q");
    assert_eq!((counts.visible, counts.in_flight), (0, 0), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_source_gives_up_the_other_takes() {
    let yard = Yard::new();
    let keys = yard.put_flows(3);
    let aws = serve(&yard.buckets());
    let options = options(aws.url());
    let (state, lake) = (yard.state(), yard.lake());
    let failing = StandIn::new(yard.open(&state, "s3://logs", &options).await);
    failing.breaks("0001.log", usize::MAX, 10);
    let sound = yard.open(&state, "s3://logs/", &options).await;
    let settings = Settings {
        attempt_wait: Duration::from_millis(300),
        objects_at_once: 10,
        ..small_batches()
    };
    let first = yard.start(
        Arc::new(AsSource(failing.clone())),
        state.clone(),
        lake.clone(),
        settings.clone(),
    );
    while failing.reads.lock().unwrap().len() < 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let second = yard.start(sound, state, lake, settings);
    let (first, second) = (first.end().await, second.end().await);
    yard.check_flows("s3://logs/", &keys).await;
    assert_eq!((first.failed_count, first.total().objects), (1, 2));
    assert_eq!((second.known, second.total().objects), (2, 1));
}
