//! What is done to a trail, and what the report says.

use chrono::TimeDelta;
use trailhound_verify::{Gap, GapKind, Kind, Report, State, Window};

use crate::trail::{BUCKET, REGION, TWO, Trail, at, good_keys, gzip, keys, log_key};

/// Objects that are not valid, by their keys; and gaps as (kind, from, until, digests), a plain beginning left out.
type Odd = (Vec<(String, State)>, Vec<(GapKind, String, String, u64)>);

fn odd(report: &Report) -> Odd {
    let objects = report
        .objects
        .iter()
        .filter(|object| object.state != State::Valid);
    let key = |name: &str| name.strip_prefix(&format!("s3://{BUCKET}/")).unwrap().to_owned();
    let time = |time: Option<chrono::DateTime<chrono::Utc>>| {
        time.map_or_else(String::new, |time| time.format("%H:%M").to_string())
    };
    let gaps = report.gaps.iter().filter(|gap| gap.kind != GapKind::Beginning);
    (
        objects.map(|object| (key(&object.name), object.state)).collect(),
        gaps.map(|gap: &Gap| (gap.kind, time(gap.from), time(Some(gap.until)), gap.digests))
            .collect(),
    )
}

fn states(keys: &[&String], state: State) -> Vec<(String, State)> {
    keys.iter().map(|key| ((*key).clone(), state)).collect()
}

fn gap(kind: GapKind, from: &str, until: &str, digests: u64) -> Vec<(GapKind, String, String, u64)> {
    vec![(kind, from.to_owned(), until.to_owned(), digests)]
}

#[tokio::test]
async fn an_intact_chain_is_proven() {
    let trail = Trail::new(true, true).await;
    let report = trail.check(Some(&good_keys())).await;
    assert_eq!(odd(&report), (vec![], vec![]));
    assert!(report.is_proven() && !report.has_alarms());
    assert_eq!(
        report.counts(Kind::Digest).into_iter().collect::<Vec<_>>(),
        [(State::Valid, 6)]
    );
    assert_eq!(
        report.counts(Kind::Log).into_iter().collect::<Vec<_>>(),
        [(State::Valid, 10)]
    );
    let [chain] = &report.chains[..] else {
        panic!("one chain")
    };
    assert_eq!((chain.digests, chain.empty, chain.logs), (6, 1, 10));
    assert_eq!(
        (chain.start, chain.end),
        (Some(at("2026-11-02T00:05:31Z")), Some(at("2026-11-02T06:05:31Z")))
    );
    assert_eq!(report.gaps[0].kind, GapKind::Beginning);
    let log = report
        .objects
        .iter()
        .find(|object| object.kind == Kind::Log)
        .unwrap();
    assert_eq!(log.name, format!("s3://{BUCKET}/{}", trail.logs[0][0]));
    assert_eq!(
        log.digest.as_deref(),
        Some(&*format!("s3://{BUCKET}/{}", trail.digests[0]))
    );
    assert_eq!(
        (log.digest_end, &*log.region),
        (Some(at("2026-11-02T01:05:31Z")), REGION)
    );
}

#[tokio::test]
async fn a_copy_without_metadata_lacks_only_its_newest_signature() {
    let trail = Trail::new(true, false).await;
    let report = trail.check(Some(&good_keys())).await;
    let newest = [&trail.digests[5], &trail.logs[5][0], &trail.logs[5][1]];
    assert_eq!(odd(&report), (states(&newest, State::Unsigned), vec![]));
    assert!(!report.is_proven() && !report.has_alarms());
}

#[tokio::test]
async fn without_signatures_hashes_are_checked_all_the_same() {
    let trail = Trail::new(false, false).await;
    let report = trail.check(Some(&good_keys())).await;
    assert_eq!(
        report.counts(Kind::Digest).into_iter().collect::<Vec<_>>(),
        [(State::Unsigned, 6)]
    );
    assert_eq!(
        report.counts(Kind::Log).into_iter().collect::<Vec<_>>(),
        [(State::Unsigned, 10)]
    );
    trail
        .edit(&trail.digests[3], "hashValue\":\"", "hashValue\":\"0")
        .await;
    let report = trail.check(None).await;
    assert_eq!(report.counts(Kind::Digest)[&State::Modified], 1);
    assert_eq!(
        report.counts(Kind::Log).into_iter().collect::<Vec<_>>(),
        [(State::Modified, 1), (State::Unsigned, 8), (State::Unproven, 1)]
    );
}

#[tokio::test]
async fn one_byte_of_a_log() {
    let trail = Trail::new(true, true).await;
    trail.edit(&trail.logs[1][0], "Records", "Recordz").await;
    let report = trail.check(Some(&good_keys())).await;
    assert_eq!(
        odd(&report),
        (states(&[&trail.logs[1][0]], State::Modified), vec![])
    );
    assert!(report.has_alarms());
}

#[tokio::test]
async fn a_log_compressed_anew_or_not_at_all_is_the_same_log() {
    let trail = Trail::new(true, true).await;
    let (first, second) = (&trail.logs[1][0], &trail.logs[1][1]);
    let text = trail.get(first).await.0;
    trail.put(first, gzip(&text, 0)).await;
    let text = trail.get(second).await.0;
    trail.put(second, text).await;
    assert_eq!(odd(&trail.check(Some(&good_keys())).await), (vec![], vec![]));
}

#[tokio::test]
async fn a_log_cut_off_is_unreadable() {
    let trail = Trail::new(true, true).await;
    let text = trail.get(&trail.logs[4][1]).await.0;
    let whole = gzip(&text, 6);
    trail
        .put(&trail.logs[4][1], whole[..whole.len() - 9].to_vec())
        .await;
    let report = trail.check(Some(&good_keys())).await;
    assert_eq!(
        odd(&report),
        (states(&[&trail.logs[4][1]], State::Unreadable), vec![])
    );
}

#[tokio::test]
async fn a_log_deleted() {
    let trail = Trail::new(true, true).await;
    trail.delete(&trail.logs[3][1]).await;
    let report = trail.check(Some(&good_keys())).await;
    assert_eq!(
        odd(&report),
        (states(&[&trail.logs[3][1]], State::Missing), vec![])
    );
}

#[tokio::test]
async fn a_digest_deleted() {
    let trail = Trail::new(true, true).await;
    trail.delete(&trail.digests[3]).await;
    let report = trail.check(Some(&good_keys())).await;
    let mut expected = states(&[&trail.digests[3]], State::Missing);
    expected.extend(states(&[&trail.logs[3][0], &trail.logs[3][1]], State::NotCovered));
    assert_eq!(
        odd(&report),
        (expected, gap(GapKind::MissingDigests, "03:05", "04:05", 1))
    );
}

#[tokio::test]
async fn two_digests_deleted_side_by_side() {
    let trail = Trail::new(true, true).await;
    for digest in &trail.digests[3..5] {
        trail.delete(digest).await;
    }
    let report = trail.check(Some(&good_keys())).await;
    let logs: Vec<_> = trail.logs[3..5].iter().flatten().collect();
    let mut expected = states(&[&trail.digests[4]], State::Missing);
    expected.extend(states(&logs, State::NotCovered));
    assert_eq!(
        odd(&report),
        (expected, gap(GapKind::MissingDigests, "03:05", "05:05", 2))
    );
}

#[tokio::test]
async fn the_oldest_and_the_newest_digests_deleted() {
    let trail = Trail::new(true, true).await;
    trail.delete(&trail.digests[0]).await;
    for digest in &trail.digests[3..] {
        trail.delete(digest).await;
    }
    let report = trail.check(Some(&good_keys())).await;
    let logs: Vec<_> = trail.logs[3..].iter().flatten().collect();
    let mut expected = states(&[&trail.digests[0]], State::Missing);
    expected.extend(states(&[&trail.logs[0][0], &trail.logs[0][1]], State::NotCovered));
    expected.extend(states(&logs, State::NotCovered));
    let mut gaps = gap(GapKind::MissingDigests, "00:05", "01:05", 1);
    gaps.extend(gap(GapKind::Overdue, "03:05", "05:35", 1));
    assert_eq!(odd(&report), (expected, gaps));
}

#[tokio::test]
async fn a_digest_modified() {
    for metadata in [true, false] {
        let trail = Trail::new(true, metadata).await;
        trail
            .edit(
                &trail.digests[3],
                "\"logFiles\":[{\"s3Bucket\"",
                "\"logFiles\":[{\"x\":1,\"s3Bucket\"",
            )
            .await;
        let report = trail.check(Some(&good_keys())).await;
        let (mut objects, gaps) = odd(&report);
        if !metadata {
            objects.retain(|(key, _)| *key != trail.digests[5] && !trail.logs[5].contains(key));
        }
        let mut expected = states(&[&trail.digests[3]], State::Modified);
        expected.extend(states(&[&trail.logs[3][0], &trail.logs[3][1]], State::Unproven));
        assert_eq!((objects, gaps), (expected, vec![]));
    }
}

#[tokio::test]
async fn the_newest_digest_of_a_copy_cannot_blame_a_proven_one() {
    let trail = Trail::new(true, false).await;
    trail
        .edit(
            &trail.digests[5],
            "previousDigestHashValue\":\"",
            "previousDigestHashValue\":\"0",
        )
        .await;
    let report = trail.check(Some(&good_keys())).await;
    let mut expected = states(&[&trail.digests[5]], State::Modified);
    expected.extend(states(&[&trail.logs[5][0], &trail.logs[5][1]], State::Unproven));
    assert_eq!(odd(&report), (expected, vec![]));
}

#[tokio::test]
async fn two_digests_exchanged() {
    let trail = Trail::new(true, true).await;
    trail.swap(&trail.digests[2], &trail.digests[3]).await;
    let report = trail.check(Some(&good_keys())).await;
    let mut expected = states(&[&trail.digests[2], &trail.digests[3]], State::Modified);
    // A digest under another's name is not believed: what it names is named by none.
    expected.extend(states(&[&trail.logs[3][0], &trail.logs[3][1]], State::NotCovered));
    assert_eq!(odd(&report), (expected, vec![]));
}

#[tokio::test]
async fn wrong_expired_and_missing_keys() {
    let trail = Trail::new(true, true).await;
    let year = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    for (keys, state) in [
        (Some(keys("one", TWO, year.0, year.1)), State::WrongSignature),
        (
            Some(keys("one", crate::trail::ONE, year.0, "2026-11-01T00:00:00Z")),
            State::WrongSignature,
        ),
        (Some(keys("two", TWO, year.0, year.1)), State::NoKey),
        (None, State::NoKey),
    ] {
        let report = trail.check(keys.as_ref()).await;
        assert_eq!(
            report.counts(Kind::Digest).into_iter().collect::<Vec<_>>(),
            [(state, 6)]
        );
        assert_eq!(
            report.counts(Kind::Log).into_iter().collect::<Vec<_>>(),
            [(state, 10)]
        );
    }
}

#[tokio::test]
async fn logging_that_was_stopped_is_a_restart() {
    let mut trail = Trail::empty(true, true);
    trail.restarts.push(5);
    trail.hours(0..3).await;
    trail.hours(5..7).await;
    let report = trail.check(Some(&good_keys())).await;
    assert_eq!(odd(&report), (vec![], gap(GapKind::Restart, "03:05", "05:05", 0)));
    assert!(report.is_proven());
}

#[tokio::test]
async fn time_between_two_linked_digests_is_uncovered() {
    let mut trail = Trail::empty(true, true);
    trail.hours(0..2).await;
    trail.hours(4..5).await;
    let report = trail.check(Some(&good_keys())).await;
    assert_eq!(
        odd(&report),
        (vec![], gap(GapKind::Uncovered, "02:05", "04:05", 2))
    );
    // Late files come when they come.
    let mut trail = Trail::empty(true, true);
    trail.suffix = "_backfill";
    trail.hours(0..2).await;
    trail.hours(4..5).await;
    let report = trail.check(Some(&good_keys())).await;
    assert_eq!(odd(&report), (vec![], vec![]));
    assert!(report.chains[0].id.backfill);
}

#[tokio::test]
async fn logs_of_the_hour_are_pending_and_foreign_files_left_alone() {
    let trail = Trail::new(true, true).await;
    let late = at("2026-11-02T06:20:00Z");
    let inside = at("2026-11-02T03:59:00Z");
    trail.log(late).await;
    trail.log(inside).await;
    for key in [
        "AWSLogs/readme.txt",
        "AWSLogs/111122223333/CloudTrail-Digest/notes.json.gz",
    ] {
        trail.put(key, b"hello".to_vec()).await;
    }
    let report = trail.check(Some(&good_keys())).await;
    let expected = vec![
        (log_key(inside), State::NotCovered),
        (log_key(late), State::Pending),
    ];
    assert_eq!(odd(&report), (expected, vec![]));
    assert_eq!(report.foreign, 2);
}

#[tokio::test]
async fn a_window_asks_the_next_digest_for_its_last_signature() {
    let trail = Trail::new(true, false).await;
    let window = Window {
        since: Some(at("2026-11-02T01:30:00Z")),
        until: Some(at("2026-11-02T01:30:00Z") + TimeDelta::hours(2)),
    };
    let report = trail.check_in(Some(&good_keys()), window).await;
    assert_eq!(odd(&report), (vec![], vec![]));
    assert_eq!(report.counts(Kind::Digest)[&State::Valid], 3);
    assert_eq!(report.counts(Kind::Log)[&State::Valid], 4);
}

#[tokio::test]
async fn an_empty_place_is_not_proven() {
    let trail = Trail::empty(true, true);
    trail.log(at("2026-11-02T06:20:00Z")).await;
    let report = trail.check(Some(&good_keys())).await;
    assert!(report.chains.is_empty() && !report.is_proven());
    assert_eq!(
        report.counts(Kind::Log).into_iter().collect::<Vec<_>>(),
        [(State::NotCovered, 1)]
    );
}
