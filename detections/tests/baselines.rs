//! Baselines over small lakes: what is learnt from which days, and what happens when things go wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use trailhound_detections::baseline::books::{self, Approval, InForce};
use trailhound_detections::baseline::exceptions::Exception;
use trailhound_detections::baseline::read::{self, Row};
use trailhound_detections::baseline::samples::midnight;
use trailhound_detections::baseline::{BuildOptions, Built, Definition, Kind, Level, build};
use trailhound_detections::{Asked, Rule, evaluate};
use trailhound_ingest::coverage::Coverage;
use trailhound_ingest::formats::{Setup, format_named};
use trailhound_ingest::reader::{Limits, read_all};
use trailhound_lake::{Lake, Txn, Writer, WriterSettings, spec};
use trailhound_query::{Options, Session};

/// A Monday.
const FIRST: &str = "2026-06-01";

const HEADER: &str = "account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action \
                      log-status tcp-flags flow-direction ecs-service-name subnet-id\n";

fn first() -> NaiveDate {
    FIRST.parse().unwrap()
}

fn nth(day: u64) -> NaiveDate {
    first().checked_add_days(Days::new(day)).unwrap()
}

/// What a test day holds.
#[derive(Clone)]
struct DayOfLogs {
    /// Bytes that `web` sends to `db` in each hour; none for an hour of which nothing was seen.
    bytes: [Option<u64>; 24],
    /// Further connections of `web`, all day: peer and port.
    peers: Vec<(&'static str, u16)>,
    /// Hours in which the interface of `web` lost records.
    skipped: Vec<usize>,
}

/// An ordinary day: much by day, little by night.
fn ordinary() -> DayOfLogs {
    let mut bytes = [Some(2_000_000); 24];
    for (hour, bytes) in bytes.iter_mut().enumerate().take(18).skip(8) {
        *bytes = Some(40_000_000 + hour as u64 * 100_000);
    }
    DayOfLogs {
        bytes,
        peers: vec![("198.51.100.7", 443)],
        skipped: Vec::new(),
    }
}

fn lines(day: NaiveDate, logs: &DayOfLogs) -> String {
    let mut text = HEADER.to_owned();
    let start = midnight(day).timestamp();
    for (hour, bytes) in logs.bytes.iter().enumerate() {
        let Some(bytes) = bytes else { continue };
        let start = start + hour as i64 * 3600;
        for quarter in 0..4 {
            let (from, to) = (start + quarter * 900, start + quarter * 900 + 899);
            writeln!(text, "1 eni-db - - - - - - - {from} {to} - NODATA - - - subnet-b").unwrap();
        }
        if logs.skipped.contains(&hour) {
            writeln!(
                text,
                "1 eni-web - - - - - - - {start} {} - SKIPDATA - - - -",
                start + 59
            )
            .unwrap();
        }
        let to = start + 59;
        writeln!(
            text,
            "1 eni-web 10.0.0.5 10.0.1.9 40001 5432 6 10 {bytes} {start} {to} ACCEPT OK 2 egress web subnet-a\n\
             1 eni-db 10.0.0.5 10.0.1.9 40001 5432 6 10 {bytes} {start} {to} ACCEPT OK 2 ingress db subnet-b\n\
             1 eni-db 10.0.1.9 10.0.0.5 5432 40001 6 10 500 {start} {to} ACCEPT OK 18 egress db subnet-b"
        )
        .unwrap();
        for (peer, port) in &logs.peers {
            writeln!(
                text,
                "1 eni-web 10.0.0.5 {peer} 40002 {port} 6 10 900 {start} {to} ACCEPT OK 2 egress web subnet-a"
            )
            .unwrap();
        }
    }
    text
}

/// Takes lines into a lake as `ingest` does: rows, and what they cover.
async fn take(lake: &Lake, text: &str, at: DateTime<Utc>) {
    let format = format_named("vpc_flow").unwrap();
    let parser = format.parser(Setup::whole(format, "x")).unwrap();
    let (batches, tally) = read_all(parser, Limits::default(), text.as_bytes().to_vec()).unwrap();
    assert_eq!(tally.rejected, 0);
    let mut coverage = Coverage::default();
    for batch in &batches {
        coverage.see("vpc_flow", batch, None);
    }
    let covered = coverage.batch("test", at.timestamp_micros());
    for (name, batches) in [("vpc_flow", batches), ("coverage", vec![covered])] {
        let table = spec::spec(name).unwrap();
        let mut writer = Writer::new(
            table.clone(),
            WriterSettings::default(),
            Arc::clone(lake.store()),
            lake.path_of(name),
        );
        for batch in batches {
            writer.push(batch).await.unwrap();
        }
        let files = writer.finish().await.unwrap();
        let txn = Txn {
            app_id: format!("test/{name}"),
            version: at.timestamp_micros(),
        };
        lake.append(&table, &files, &txn).await.unwrap();
    }
}

async fn take_days(lake: &Lake, days: impl IntoIterator<Item = (u64, DayOfLogs)>) {
    for (day, logs) in days {
        take(lake, &lines(nth(day), &logs), arrival()).await;
    }
}

/// Each call is a little later.
fn arrival() -> DateTime<Utc> {
    std::thread::sleep(std::time::Duration::from_millis(1));
    Utc::now()
}

fn definitions(names: &[&str]) -> Vec<Definition> {
    names
        .iter()
        .map(|name| Definition::named(name).unwrap())
        .collect()
}

async fn built(lake: &Lake) -> Built {
    built_with(lake, &[], BuildOptions::default()).await
}

async fn built_with(lake: &Lake, exceptions: &[Exception], options: BuildOptions) -> Built {
    let definitions = definitions(&["edges", "volumes"]);
    build(lake, &definitions, exceptions, &options, |_, _, _| {})
        .await
        .unwrap()
}

async fn session(lake: &Lake) -> Session {
    Session::open(Options {
        lake: Some(lake.clone()),
        ..Options::default()
    })
    .await
    .unwrap()
}

/// The norms of a baseline as they are in force.
async fn norms(lake: &Lake, baseline: &str) -> Vec<Row> {
    let session = session(lake).await;
    let in_force = InForce::read(&session).await.unwrap();
    let definition = Definition::named(baseline).unwrap();
    read::norms(&session, &definition, in_force.versions[baseline], None)
        .await
        .unwrap()
}

fn lake_in(folder: &Path) -> Lake {
    Lake::local(folder).unwrap()
}

fn subjects(rows: &[Row], entity: &str, measure: &str) -> BTreeMap<String, String> {
    rows.iter()
        .filter(|row| row.entity == entity && row.measure == measure)
        .map(|row| (row.subject.clone().unwrap_or_default(), row.state.clone()))
        .collect()
}

fn hour<'a>(rows: &'a [Row], measure: &str, hour: i64) -> &'a Row {
    rows.iter()
        .find(|row| row.entity == "web" && row.measure == measure && row.hour_of_week == Some(hour))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_teaches_peers_ports_and_volumes() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(folder.path());
    take_days(&lake, (0..15).map(|day| (day, ordinary()))).await;
    let done = built(&lake).await;
    assert_eq!(
        (done.version, done.days.len(), done.blind_hours),
        (Some(1), 15, 0)
    );

    let edges = norms(&lake, "edges").await;
    let out = subjects(&edges, "web", "out");
    assert_eq!(
        out.keys().collect::<Vec<_>>(),
        ["198.51.100.0/24:443/6", "db:5432/6"]
    );
    assert!(out.values().all(|state| state == "ripe"));
    assert_eq!(
        subjects(&edges, "db", "in_internal").keys().collect::<Vec<_>>(),
        [":5432/6"]
    );

    let volumes = norms(&lake, "volumes").await;
    let noon = hour(&volumes, "bytes_out", 12);
    let norm = noon.norm.unwrap();
    assert_eq!(
        (noon.grain.as_str(), noon.samples, noon.days),
        ("hour_of_day", 45, 15)
    );
    assert!((41e6..42e6).contains(&norm.median), "{norm:?}");
    assert_eq!(norm.level(45e6), Level::Ordinary);
    assert_eq!(norm.level(2e9), Level::Extreme);
    assert!((2e6..2.1e6).contains(&hour(&volumes, "bytes_out", 3).norm.unwrap().median));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_news_there_is_no_version_and_with_late_logs_one_day_is_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(folder.path());
    take_days(&lake, (0..3).map(|day| (day, ordinary()))).await;
    assert_eq!(built(&lake).await.version, Some(1));
    let again = built(&lake).await;
    assert_eq!((again.version, again.days.len()), (None, 0));

    // Late logs of the second day bring a peer that nobody knew.
    let mut late = ordinary();
    late.peers = vec![("192.0.2.77", 8443)];
    take_days(&lake, [(1, late)]).await;
    let more = built(&lake).await;
    assert_eq!(more.version, Some(2));
    assert_eq!(more.days.keys().collect::<Vec<_>>(), [&nth(1)]);
    let edges = norms(&lake, "edges").await;
    assert!(subjects(&edges, "web", "out").contains_key("192.0.2.0/24:8443/6"));
}

#[tokio::test(flavor = "multi_thread")]
async fn day_by_day_comes_to_the_same_as_all_at_once() {
    let one = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (one, other) = (lake_in(one.path()), lake_in(other.path()));
    let mut days: Vec<(u64, DayOfLogs)> = (0..6).map(|day| (day, ordinary())).collect();
    days[2].1.bytes[9] = Some(900_000_000);
    days[4].1.peers.push(("203.0.113.9", 22));
    for (number, day) in [3, 0, 5, 2, 1, 4].into_iter().enumerate() {
        take_days(&one, [days[day].clone()]).await;
        assert_eq!(built(&one).await.version, Some(number as i64 + 1));
    }
    take_days(&other, days).await;
    built(&other).await;
    for baseline in ["edges", "volumes"] {
        assert_eq!(
            norms(&one, baseline).await,
            norms(&other, baseline).await,
            "{baseline}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_was_stopped_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(folder.path());
    take_days(&lake, (0..4).map(|day| (day, ordinary()))).await;
    let stopped = BuildOptions {
        days_max: Some(3),
        ..BuildOptions::default()
    };
    let half = built_with(&lake, &[], stopped).await;
    assert_eq!((half.version, half.days.len()), (None, 3));
    let rest = built(&lake).await;
    assert_eq!(
        (rest.version, rest.days.keys().collect::<Vec<_>>()),
        (Some(1), vec![&nth(3)])
    );
    assert_eq!(subjects(&norms(&lake, "edges").await, "web", "out").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerted_blind_and_skipped_hours_do_not_train() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(folder.path());
    let mut odd = ordinary();
    odd.bytes[3] = Some(5_000_000_000);
    odd.bytes[20] = Some(5_000_000_000);
    odd.skipped = vec![20];
    odd.peers.push(("203.0.113.9", 22));
    take_days(&lake, (0..14).map(|day| (day, ordinary())).chain([(14, odd)])).await;
    // Of one hour only a quarter was seen, with a burst in it.
    let start = midnight(nth(15)).timestamp();
    let few = format!(
        "{HEADER}1 eni-web 10.0.0.5 10.0.1.9 40001 5432 6 10 9000000000 {start} {} ACCEPT OK 2 egress web subnet-a\n",
        start + 600
    );
    take(&lake, &few, arrival()).await;
    let alerts: Vec<Exception> = (0..24)
        .filter(|hour| *hour != 20)
        .map(|hour| Exception {
            hour: (midnight(nth(14)) + TimeDelta::hours(hour)).timestamp_micros(),
            entity: "web".to_owned(),
            rule: "net-x".to_owned(),
            alert: "a1".to_owned(),
        })
        .collect();
    let done = built_with(&lake, &alerts, BuildOptions::default()).await;
    assert_eq!((done.exceptions, done.blind_hours), (23, 1));

    let volumes = norms(&lake, "volumes").await;
    for bin in [3, 20, 0] {
        let norm = hour(&volumes, "bytes_out", bin).norm.unwrap();
        assert!(norm.max < 100e6, "hour {bin}: {norm:?}");
    }
    // The peer of that day was seen in an hour without an alert, too.
    let edges = norms(&lake, "edges").await;
    let peer = edges
        .iter()
        .find(|row| row.subject.as_deref() == Some("203.0.113.0/24:22/6"))
        .unwrap();
    assert_eq!(peer.count, 1, "{peer:?}");

    // Kept for good: without the alerts the day is still built as before.
    let anew = BuildOptions {
        anew: true,
        ..BuildOptions::default()
    };
    let again = built_with(&lake, &[], anew).await;
    assert_eq!(again.excluded, done.excluded);
    let session = session(&lake).await;
    let definition = Definition::named("volumes").unwrap();
    let versions = books::versions(&session).await.unwrap();
    let samples = read::samples(
        &session,
        &definition,
        "web",
        "bytes_out",
        versions.last().unwrap().window,
    )
    .await
    .unwrap();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in samples.iter().filter_map(|sample| sample.excluded.as_deref()) {
        *reasons.entry(sample).or_default() += 1;
    }
    assert_eq!(
        reasons,
        BTreeMap::from([("alerted", 23), ("blind", 1), ("skipdata", 1)])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_months_are_defined() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(folder.path());
    // No logs at all, then a lake of one hour, then a gap of three weeks, a day of ten times the volume, and one of the future.
    let error = build(
        &lake,
        &definitions(&["edges"]),
        &[],
        &BuildOptions::default(),
        |_, _, _| {},
    )
    .await
    .unwrap_err();
    assert!(error.message().contains("no logs to learn from"), "{error}");
    let mut short = ordinary();
    short.bytes[1..].fill(None);
    take_days(&lake, [(0, short)]).await;
    built(&lake).await;
    let first = norms(&lake, "volumes").await;
    // Hours of the week have no norms of their own yet.
    let rows: Vec<_> = first
        .iter()
        .filter(|row| row.entity == "web" && row.measure == "bytes_out")
        .map(|row| {
            (
                row.hour_of_week,
                row.grain.as_str(),
                row.samples,
                row.state.as_str(),
            )
        })
        .collect();
    assert_eq!(rows, [(None, "all", 1, "learning")]);

    let mut tenfold = ordinary();
    tenfold.bytes.iter_mut().flatten().for_each(|bytes| *bytes *= 10);
    take_days(&lake, (21..50).map(|day| (day, ordinary()))).await;
    take_days(&lake, [(50, tenfold)]).await;
    let ahead = (Utc::now().date_naive() - first_day()).num_days() as u64 + 3;
    take_days(&lake, [(ahead, ordinary())]).await;
    let done = built(&lake).await;
    assert_eq!((done.future_days, done.days.len()), (1, 30));
    let volumes = norms(&lake, "volumes").await;
    let noon = hour(&volumes, "bytes_out", 12);
    assert_eq!(
        (noon.grain.as_str(), noon.state.as_str()),
        ("hour_of_week", "ripe")
    );
    assert_eq!(noon.norm.unwrap().level(412e6), Level::Extreme, "{noon:?}");
    for row in &volumes {
        let norm = row.norm.unwrap();
        for number in [
            norm.median,
            norm.mad,
            norm.center,
            norm.spread,
            norm.p05,
            norm.p995,
            norm.max,
        ] {
            assert!(number.is_finite(), "{row:?}");
        }
    }
}

fn first_day() -> NaiveDate {
    first()
}

const RULE: &str = r#"-- id = "new-peer"
-- title = "A peer that was never seen"
-- severity = "medium"
-- attack = ["T1071"]
-- csf = ["DE.AE-1"]
-- reads = ["vpc_flow"]
-- optional = ["baseline_edges"]
-- entity = ["workload"]
-- quiet = "24h"
-- message = "{workload} called port {port}"
-- misses = "Much."
-- false_positives = "Releases."

SELECT f.event_time, f._source, f._line, f.ecs_service_name AS workload, f.dstport AS port
FROM vpc_flow f
INNER JOIN (SELECT DISTINCT entity FROM baseline_edges WHERE state = 'ripe') known ON known.entity = f.ecs_service_name
LEFT JOIN baseline_edges b
    ON b.entity = f.ecs_service_name AND b.measure = 'out' AND b.subject LIKE concat('%:', f.dstport, '/6')
WHERE f.flow_direction = 'egress' AND f.tcp_flags & 18 = 2 AND b.entity IS NULL
"#;

async fn alerts(lake: &Lake, day: u64) -> (usize, Option<String>) {
    let session = Session::open(Options {
        lake: Some(lake.clone()),
        since: Some(midnight(nth(day))),
        until: Some(midnight(nth(day + 1))),
        ..Options::default()
    })
    .await
    .unwrap();
    let rule = Rule::parse("x.sql", RULE).unwrap();
    let outcome = evaluate::run(&session, &[&rule], Asked::default()).await.unwrap();
    (outcome.ran[0].findings, outcome.ran[0].remark.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_compare_with_the_version_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(folder.path());
    take_days(&lake, (0..14).map(|day| (day, ordinary()))).await;
    let (found, remark) = alerts(&lake, 13).await;
    assert_eq!(found, 0);
    assert!(remark.unwrap().contains("no baseline_edges yet"));
    built(&lake).await;
    assert_eq!(alerts(&lake, 13).await, (0, None));

    // A new peer is found, as long as it was not learnt.
    let mut other = ordinary();
    other.peers.push(("203.0.113.9", 2222));
    take_days(&lake, [(14, other)]).await;
    assert_eq!(alerts(&lake, 14).await.0, 24);
    assert_eq!(built(&lake).await.version, Some(2));
    assert_eq!(alerts(&lake, 14).await.0, 0);

    // Frozen at the first version, it is found again.
    let said = Approval {
        at: Utc::now(),
        version: 1,
        action: "freeze".to_owned(),
        name: "Ada".to_owned(),
        reason: "review".to_owned(),
    };
    books::say(&lake, &said).await.unwrap();
    assert_eq!(alerts(&lake, 14).await.0, 24);
    let session = session(&lake).await;
    let versions = books::versions(&session).await.unwrap();
    assert_eq!(
        books::kept(&lake, &versions)
            .await
            .unwrap()
            .into_iter()
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_runs_over_a_lake_that_has_nothing_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(folder.path());
    take_days(&lake, [(0, ordinary())]).await;
    let all = Definition::all().unwrap();
    let done = build(&lake, &all, &[], &BuildOptions::default(), |_, _, _| {})
        .await
        .unwrap();
    let built: Vec<&str> = done
        .baselines
        .iter()
        .map(|version| version.baseline.as_str())
        .collect();
    assert_eq!(built, ["edges", "volumes", "addresses"]);
    // And over empty tables, so that each query is planned here.
    let session = Session::open(Options::default()).await.unwrap();
    for format in trailhound_ingest::formats::FORMATS {
        let empty = datafusion::datasource::MemTable::try_new(format.schema(), vec![vec![]]).unwrap();
        session
            .context()
            .register_table(format.name(), Arc::new(empty))
            .unwrap();
    }
    for definition in &all {
        let answer = session.query(&definition.sql).await.unwrap();
        let names: Vec<&String> = answer.schema.fields().iter().map(|field| field.name()).collect();
        for column in [
            "event_time",
            "entity",
            "subject",
            "measure",
            "value",
            "count",
            "first_seen",
            "last_seen",
        ] {
            assert!(
                names.iter().any(|name| *name == column),
                "{}: {names:?}",
                definition.name
            );
        }
        assert!(
            definition.kind == Kind::Seen || definition.measures.values().all(|measure| measure.unit > 0.0)
        );
    }
}
