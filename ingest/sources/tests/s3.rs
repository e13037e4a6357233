//! Buckets: what is listed, what is resumed, what is read, and what goes wrong.

use std::time::Duration;

use trailhound_ingest::error::ErrorKind;
use trailhound_sources::{Outcome, Resume, SourceOptions, is_gone, open};
use trailhound_test_aws::faults::{Proxy, Rates};
use trailhound_test_aws::s3::serve;

use crate::servers::{all, error, names, next, opened, options, put, text};

/// Two accounts, two Regions, two layouts, ten days, and digests beside them.
fn estate(root: &std::path::Path) -> usize {
    let mut logs = 0;
    for day in 1..=10 {
        for account in ["111122223333", "444455556666"] {
            for region in ["eu-west-1", "us-east-1"] {
                for part in 0..5 {
                    let key =
                        format!("AWSLogs/o-org/{account}/CloudTrail/{region}/2026/11/{day:02}/{part}.json");
                    put(root, "logs", &key, &key);
                    logs += 1;
                }
                let digest =
                    format!("AWSLogs/o-org/{account}/CloudTrail-Digest/{region}/2026/11/{day:02}/d.json.gz");
                put(root, "logs", &digest, "digest");
            }
            let hive = format!(
                "hive/AWSLogs/aws-account-id={account}/aws-service=vpcflowlogs/aws-region=eu-west-1/\
                 year=2026/month=11/day={day:02}/hour=07/x.log"
            );
            put(root, "logs", &hive, &hive);
            logs += 1;
        }
    }
    logs
}

#[tokio::test]
async fn all_of_a_bucket_once_and_no_digest() {
    let root = tempfile::tempdir().unwrap();
    let logs = estate(root.path());
    let (server, buckets) = serve(root.path());
    buckets.page(50);
    let source = opened("s3://logs", &options(server.url())).await;
    let found = all(&*source).await.unwrap();
    assert_eq!(found.len(), logs);
    assert!(found.keys().all(|name| !name.contains("Digest")));
    assert!(found.iter().all(|(name, text)| name.ends_with(text.as_str())));
    // 220 logs and 40 digests in pages of 50.
    assert_eq!((server.lists(), server.gets()), (6, logs));
}

#[tokio::test]
async fn days_are_pruned_in_the_listing() {
    let root = tempfile::tempdir().unwrap();
    estate(root.path());
    let (server, buckets) = serve(root.path());
    buckets.page(10);
    let days = |address: &'static str| {
        let options = SourceOptions {
            since: Some("2026-11-04T00:00:00Z".parse().unwrap()),
            until: Some("2026-11-05T12:00:00Z".parse().unwrap()),
            ..options(server.url())
        };
        async move { names(&*opened(address, &options).await).await }
    };
    let found = days("s3://logs").await;
    // Two days: five parts in four lanes, and one in each of two.
    assert_eq!(found.len(), 2 * (4 * 5 + 2));
    assert!(
        found.iter().all(|(name, _)| name.contains("/04/")
            || name.contains("/05/")
            || name.contains("day=04/")
            || name.contains("day=05/")),
        "{found:?}"
    );
    // 15 folders on the way (root, AWSLogs, o-org, 2 accounts, 4 services less 2 of digests, and 2 + 6
    // of hive), and at most two pages in each of six lanes. Listed whole it would be 26 pages.
    let lists = server.lists();
    assert!(lists <= 27, "{lists}");
    server.forget();
    // One lane of 50 objects: the page that has both days, and one that shows the end.
    assert_eq!(
        days("s3://logs/AWSLogs/o-org/111122223333/CloudTrail/eu-west-1/")
            .await
            .len(),
        10
    );
    assert!(server.lists() <= 2, "{}", server.lists());
}

#[tokio::test]
async fn a_run_goes_on_where_it_stopped() {
    let root = tempfile::tempdir().unwrap();
    let logs = estate(root.path());
    let (server, buckets) = serve(root.path());
    buckets.page(20);
    let options = options(server.url());
    let source = opened("s3://logs", &options).await;
    let mut first = Vec::new();
    for _ in 0..150 {
        first.push(next(&*source).await.unwrap().unwrap());
    }
    server.forget();
    let resume = |position: Option<String>| Resume {
        position,
        ..Resume::default()
    };
    let position = first[149].receipt.position.clone();
    let source = open("s3://logs", &options, resume(position.clone()))
        .await
        .unwrap();
    let rest = names(&*source).await;
    assert_eq!(rest.len(), logs - 150);
    assert!(rest.iter().all(|(name, _)| name.as_str() > &*first[149].name));
    // 70 logs are left, and no digest.
    assert!(server.lists() <= 5, "{}", server.lists());
    // After the last one a new run looks at everything again.
    let last = rest.last().unwrap().1.position.clone();
    assert!(last.as_ref().unwrap().contains("complete"), "{last:?}");
    let source = open("s3://logs", &options, resume(last)).await.unwrap();
    assert_eq!(names(&*source).await.len(), logs);
    // A position of other days is none.
    let since = SourceOptions {
        since: Some("2026-11-10T00:00:00Z".parse().unwrap()),
        ..options.clone()
    };
    let source = open("s3://logs", &since, Resume::default()).await.unwrap();
    let of_a_day = next(&*source).await.unwrap().unwrap().receipt.position;
    let source = open("s3://logs", &options, resume(of_a_day)).await.unwrap();
    assert_eq!(names(&*source).await.len(), logs);
    assert!(position.unwrap().contains("after"));
}

#[tokio::test]
async fn a_followed_bucket_shows_new_and_late_objects_once() {
    let root = tempfile::tempdir().unwrap();
    let lane = "AWSLogs/111122223333/CloudTrail/eu-west-1";
    let today = chrono::Utc::now().format("%Y/%m/%d");
    put(root.path(), "logs", &format!("{lane}/2020/01/01/old.json"), "old");
    put(root.path(), "logs", &format!("{lane}/{today}/b.json"), "b");
    let (server, _) = serve(root.path());
    let options = SourceOptions {
        follow: true,
        full_pass: Duration::from_secs(2),
        ..options(server.url())
    };
    let source = opened("s3://logs", &options).await;
    let read = async || {
        let delivery = next(&*source).await.unwrap().unwrap();
        let body = text(&delivery).await.unwrap();
        source
            .settle(vec![(delivery.receipt, Outcome::Taken)])
            .await
            .unwrap();
        body
    };
    assert_eq!([read().await, read().await], ["old", "b"]);
    // Before the last key of today, and after it.
    put(root.path(), "logs", &format!("{lane}/{today}/a.json"), "a");
    assert_eq!(read().await, "a");
    put(root.path(), "logs", &format!("{lane}/{today}/c.json"), "c");
    assert_eq!(read().await, "c");
    // Years late: the next full pass finds it.
    put(
        root.path(),
        "logs",
        &format!("{lane}/2020/01/01/late.json"),
        "late",
    );
    assert_eq!(read().await, "late");
    // Another content under a known key.
    put(root.path(), "logs", &format!("{lane}/{today}/a.json"), "a, again");
    assert_eq!(read().await, "a, again");
}

#[tokio::test]
async fn replaced_and_deleted_between_list_and_read() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "logs", "a", "before");
    put(root.path(), "logs", "b", "gone soon");
    let (server, _) = serve(root.path());
    let source = opened("s3://logs", &options(server.url())).await;
    let (one, other) = (
        next(&*source).await.unwrap().unwrap(),
        next(&*source).await.unwrap().unwrap(),
    );
    put(root.path(), "logs", "a", "after");
    std::fs::remove_file(root.path().join("logs/b")).unwrap();
    assert_eq!(one.read_version.get(), None);
    assert_eq!(text(&one).await.unwrap(), "after");
    let version = one.read_version.get().unwrap();
    assert_ne!(Some(&version), one.version.as_ref());
    let again = opened("s3://logs", &options(server.url())).await;
    let listed = next(&*again).await.unwrap().unwrap();
    assert_eq!(listed.version, Some(version));
    text(&listed).await.unwrap();
    assert_eq!(listed.read_version.get(), None);
    let error = text(&other).await.unwrap_err();
    assert!(is_gone(&error));
    assert_eq!(error.message(), "s3://logs/b was deleted before it could be read");
}

#[tokio::test]
async fn every_object_comes_whole_through_faults() {
    let root = tempfile::tempdir().unwrap();
    for object in 0..60 {
        let line = format!("line of object {object}\n");
        put(
            root.path(),
            "logs",
            &format!("{object:03}.log"),
            &line.repeat(1 + object * 300),
        );
    }
    let (server, buckets) = serve(root.path());
    buckets.page(7);
    let proxy = Proxy::start(server.url(), 7, Rates::all(0.4));
    let source = opened("s3://logs", &options(proxy.url())).await;
    let found = all(&*source).await.unwrap();
    assert_eq!(found.len(), 60);
    for (object, text) in found.values().enumerate() {
        let line = format!("line of object {object}\n");
        assert_eq!(*text, line.repeat(1 + object * 300), "{object}");
    }
    let made = proxy.made();
    println!("{made:?}");
    assert!(
        made.requests_failed() > 10 && made.truncate > 0 && made.expired > 0,
        "{made:?}"
    );
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let root = tempfile::tempdir().unwrap();
    for bucket in ["denied", "elsewhere"] {
        put(root.path(), bucket, "x", "x");
    }
    let (server, buckets) = serve(root.path());
    buckets.deny("denied");
    buckets.move_to("elsewhere", "eu-north-1");
    let options = options(server.url());
    for (address, message, help) in [
        (
            "s3://denied/p",
            "s3://denied/p: access is denied",
            "reading needs s3:ListBucket",
        ),
        (
            "s3://elsewhere",
            "s3://elsewhere: bucket elsewhere lies in eu-north-1, not in eu-west-1",
            "set AWS_REGION=eu-north-1",
        ),
        (
            "s3://absent/p/",
            "s3://absent/p/: there is no bucket absent",
            "check the name",
        ),
    ] {
        let error = error(address, &options).await;
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unreachable, message));
        assert!(error.help().unwrap().starts_with(help), "{error:?}");
    }
    let nobody = SourceOptions {
        endpoint_url: Some("http://127.0.0.1:9".to_owned()),
        patience: Duration::from_millis(200),
        ..options
    };
    let error = error("s3://logs", &nobody).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.message().contains("onnection refused"), "{error}");
}
