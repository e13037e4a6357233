//! Queues: every shape of notice, and what is deleted when.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trailhound_ingest::error::ErrorKind;
use trailhound_sources::{Outcome, SourceOptions};
use trailhound_test_aws::faults::{Proxy, Rates};
use trailhound_test_aws::{Aws, serve};

use crate::servers::{all, error, next, opened, options, put, text};

fn s3_event(keys: &[&str]) -> Value {
    let record = |key: &&str| {
        json!({"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
            "eventTime": "2026-11-20T07:05:09.123Z", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "logs"}, "object": {"key": key.replace(' ', "+").replace('=', "%3D")}}})
    };
    json!({"Records": keys.iter().map(record).collect::<Vec<_>>()})
}

fn bridge(key: &str) -> Value {
    json!({"version": "0", "id": "1", "detail-type": "Object Created", "source": "aws.s3",
        "account": "111122223333", "time": "2026-11-20T07:05:10Z", "region": "eu-west-1",
        "detail": {"version": "0", "bucket": {"name": "logs"}, "object": {"key": key, "size": 5}}})
}

fn sns(message: &Value) -> Value {
    json!({"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-west-1:111122223333:t",
        "Message": message.to_string(), "Timestamp": "2026-11-20T07:05:10.000Z"})
}

fn aws(objects: &[&str]) -> (tempfile::TempDir, Aws) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("logs")).unwrap();
    for key in objects {
        put(root.path(), "logs", key, key);
    }
    let aws = serve(root.path());
    aws.queues.create("q");
    (root, aws)
}

#[tokio::test]
async fn every_shape_of_notice() {
    let keys = ["a b/year=2026/1", "2", "3", "4", "5", "6"];
    let (_root, aws) = aws(&keys);
    for message in [
        s3_event(&keys[..2]),
        sns(&s3_event(&keys[2..3])),
        bridge(keys[3]),
        json!({"s3Bucket": "logs", "s3ObjectKey": [keys[4]]}),
        sns(&json!({"s3Bucket": "logs", "s3ObjectKey": [keys[5]]})),
        json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "logs"}),
        s3_event(&["AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/11/20/d.json.gz"]),
    ] {
        aws.queues.send("q", message.to_string());
    }
    for address in ["sqs://q", "sqs://sqs.eu-west-1.amazonaws.com/111122223333/q"] {
        let source = opened(address, &options(aws.url())).await;
        let found = all(&*source).await.unwrap();
        if address == "sqs://q" {
            let mut expected = keys.map(|key| format!("s3://logs/{key}"));
            expected.sort();
            assert_eq!(found.keys().cloned().collect::<Vec<_>>(), expected);
            assert!(found.iter().all(|(name, text)| name.ends_with(text.as_str())));
        } else {
            assert!(found.is_empty());
        }
    }
    let counts = aws.queues.counts("q");
    assert_eq!((counts.visible, counts.in_flight, counts.deleted), (0, 0, 7));
    // The digest was not read, and not even asked for.
    assert_eq!(aws.server.count(|asked| asked.path.contains("Digest")), 0);
}

#[tokio::test]
async fn deleted_after_the_last_object_is_settled_and_not_before() {
    let (_root, aws) = aws(&["1", "2"]);
    aws.queues.send("q", s3_event(&["1", "2"]).to_string());
    let source = opened("sqs://q", &options(aws.url())).await;
    let one = next(&*source).await.unwrap().unwrap();
    let other = next(&*source).await.unwrap().unwrap();
    assert!(one.version.is_some(), "asked for, where the notice does not say");
    source
        .settle(vec![(one.receipt.clone(), Outcome::Taken)])
        .await
        .unwrap();
    assert_eq!(aws.queues.counts("q").deleted, 0);
    // The same once more does no harm.
    source.settle(vec![(one.receipt, Outcome::Taken)]).await.unwrap();
    assert_eq!(aws.queues.counts("q").in_flight, 1);
    source
        .settle(vec![(other.receipt, Outcome::Taken)])
        .await
        .unwrap();
    assert_eq!(aws.queues.counts("q").deleted, 1);
}

#[tokio::test]
async fn a_slow_reader_keeps_its_messages() {
    let (_root, aws) = aws(&["1"]);
    aws.queues.visibility("q", 2);
    aws.queues.send("q", s3_event(&["1"]).to_string());
    let source = opened("sqs://q", &options(aws.url())).await;
    let delivery = next(&*source).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(aws.queues.counts("q").in_flight, 1);
    source
        .settle(vec![(delivery.receipt, Outcome::Taken)])
        .await
        .unwrap();
    assert!(next(&*source).await.unwrap().is_none());
    assert_eq!(aws.queues.received("q").len(), 1);
    assert!(aws.queues.extended("q") >= 6, "{}", aws.queues.extended("q"));
}

#[tokio::test]
async fn failures_and_foreign_messages_go_to_the_dead() {
    let (_root, aws) = aws(&["1"]);
    aws.queues.create("dead");
    aws.queues.redrive("q", "dead", 1);
    aws.queues.visibility("q", 1);
    aws.queues.send("q", "order number 5");
    aws.queues.send("q", s3_event(&["1"]).to_string());
    let options = SourceOptions {
        follow: true,
        ..options(aws.url())
    };
    let source = opened("sqs://q", &options).await;
    let delivery = next(&*source).await.unwrap().unwrap();
    let failed = Outcome::Failed {
        reason: "the disk is full".to_owned(),
    };
    source.settle(vec![(delivery.receipt, failed)]).await.unwrap();
    let began = Instant::now();
    while aws.queues.counts("dead").visible < 2 && began.elapsed() < Duration::from_secs(20) {
        let _ = tokio::time::timeout(Duration::from_secs(2), source.next()).await;
    }
    assert_eq!(aws.queues.counts("dead").visible, 2);
    let counts = aws.queues.counts("q");
    assert_eq!((counts.visible, counts.in_flight, counts.deleted), (0, 0, 0));
}

#[tokio::test]
async fn foreign_messages_do_not_keep_a_run_from_its_end() {
    let (_root, aws) = aws(&["1"]);
    aws.queues.visibility("q", 1);
    aws.queues.send("q", "order number 5");
    aws.queues.send("q", s3_event(&["1"]).to_string());
    let source = opened("sqs://q", &options(aws.url())).await;
    assert_eq!(all(&*source).await.unwrap().len(), 1);
    let counts = aws.queues.counts("q");
    assert_eq!((counts.visible + counts.in_flight, counts.deleted), (1, 1));
}

#[tokio::test]
async fn messages_under_way_are_bounded() {
    let keys: Vec<String> = (0..30).map(|key| key.to_string()).collect();
    let (_root, aws) = aws(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    for key in &keys {
        aws.queues.send("q", s3_event(&[key]).to_string());
    }
    let options = SourceOptions {
        messages_max: 10,
        ..options(aws.url())
    };
    let source = opened("sqs://q", &options).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(next(&*source).await.unwrap().unwrap());
    }
    assert!(
        tokio::time::timeout(Duration::from_secs(2), next(&*source))
            .await
            .is_err()
    );
    assert_eq!(aws.queues.counts("q").in_flight, 10);
    let outcomes = held
        .into_iter()
        .map(|delivery| (delivery.receipt, Outcome::Taken));
    source.settle(outcomes.collect()).await.unwrap();
    assert_eq!(all(&*source).await.unwrap().len(), 20);
    assert_eq!(aws.queues.counts("q").deleted, 30);
}

#[tokio::test]
async fn nothing_is_lost_through_faults_doubles_and_disorder() {
    let keys: Vec<String> = (0..80).map(|key| format!("{key:03}")).collect();
    let (_root, aws) = aws(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    aws.queues.visibility("q", 3);
    aws.queues.chaos("q", 11, 0.3);
    for key in &keys {
        aws.queues.send("q", s3_event(&[key]).to_string());
    }
    assert!(aws.queues.doubles("q") > 10);
    let proxy = Proxy::start(aws.url(), 5, Rates::all(0.3));
    let options = SourceOptions {
        wait: Duration::from_secs(5),
        ..options(proxy.url())
    };
    let source = opened("sqs://q", &options).await;
    let mut found = HashSet::new();
    while let Some(delivery) = next(&*source).await.unwrap() {
        let body = text(&delivery).await.unwrap();
        assert!(delivery.name.ends_with(&body) && body.len() == 3);
        found.insert(body);
        source
            .settle(vec![(delivery.receipt, Outcome::Taken)])
            .await
            .unwrap();
    }
    assert_eq!(found.len(), 80);
    let counts = aws.queues.counts("q");
    assert_eq!(counts.visible + counts.in_flight, 0, "{counts:?}");
    println!("{:?}, {} doubles", proxy.made(), aws.queues.doubles("q"));
    assert!(proxy.made().requests_failed() > 20);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let (_root, aws) = aws(&[]);
    aws.queues.create("denied");
    aws.queues.deny("denied");
    let options = options(aws.url());
    for (address, message, help) in [
        (
            "sqs://absent",
            "sqs://absent: there is no queue absent in eu-west-1",
            "check its name",
        ),
        (
            "sqs://denied",
            "sqs://denied: access is denied",
            "reading a queue needs sqs:ReceiveMessage",
        ),
    ] {
        let error = error(address, &options).await;
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unreachable, message));
        assert!(error.help().unwrap().starts_with(help), "{error:?}");
    }
}
