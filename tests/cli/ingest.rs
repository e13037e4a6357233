//! `trailhound ingest` and what works on its lake.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Desk, HEADER, flows};

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write_gz("logs/flows.log.gz", &flows());
    desk.write("logs/broken.log", format!("{HEADER}\n2 not a flow record\n"));
    desk.write(
        "logs/trail.json",
        r#"{"Records":[{"eventVersion":"1.08","eventTime":"2026-11-01T00:00:00Z","eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com","awsRegion":"eu-west-1","recipientAccountId":"111122223333","eventID":"e-1"}]}"#,
    );
    desk.write("logs/picture.png", [0x89, b'P', b'N', b'G', 0, 1, 2, 3]);
    desk
}

#[test]
fn a_folder_of_mixed_logs_is_taken_in_and_asked() {
    let desk = desk();
    let run = desk.run(&["ingest", "logs"]);
    assert_eq!(run.code, 0, "{}", run.err);
    for line in [
        "cloudtrail: 1 row from 1 object, 0 rejected",
        "vpc_flow: 4 rows from 2 objects, 1 rejected (SELECT * FROM rejects)",
        "  skipped logs/picture.png: no log format reads it",
        "1 commit to ./lake",
    ] {
        assert!(run.err.contains(line), "no {line:?} in:\n{}", run.err);
    }
    // The default lake, as it is there.
    let rows = desk.run(&[
        "sql",
        "SELECT count(*) AS n, sum(bytes) AS b, min(_line) AS l, count(DISTINCT event_date) AS d FROM vpc_flow",
    ]);
    assert_eq!(
        rows.rows(),
        [json!({"n": 4, "b": 9_007_199_254_741_073_i64, "l": 2, "d": 1})]
    );
    let rejects = desk.run(&["sql", "SELECT table_name, _source, _line FROM rejects"]);
    assert_eq!(
        rejects.rows(),
        [json!({"table_name": "vpc_flow", "_source": "logs/broken.log", "_line": 2})]
    );
    let events = desk.run(&["sql", "SELECT count(*) AS n FROM events"]);
    assert_eq!(events.rows(), [json!({"n": 5})]);
}

#[test]
fn what_was_taken_is_not_taken_again_and_what_is_new_is() {
    let desk = desk();
    assert_eq!(desk.run(&["ingest", "logs"]).code, 0);
    desk.write_gz("logs/more.log.gz", &flows().replace("eni-", "eni-9"));
    let run = desk.run(&["ingest", "logs"]);
    assert!(run.err.contains("3 objects taken before"), "{}", run.err);
    assert!(run.err.contains("vpc_flow: 4 rows from 1 object"), "{}", run.err);
    let rows = desk.run(&["sql", "SELECT count(*) AS n FROM vpc_flow"]);
    assert_eq!(rows.rows(), [json!({"n": 8})]);
    // Changed content under a known name is new content.
    desk.write_gz(
        "logs/more.log.gz",
        &format!("{}\n", flows().replace("eni-", "eni-77")),
    );
    desk.run(&["ingest", "logs"]);
    let rows = desk.run(&["sql", "SELECT count(*) AS n FROM vpc_flow"]);
    assert_eq!(rows.rows(), [json!({"n": 12})]);
}

#[test]
fn a_day_of_which_there_is_nothing_is_empty() {
    let desk = desk();
    desk.run(&["ingest", "logs"]);
    for sql in [
        "SELECT interface_id, count(*) FROM vpc_flow WHERE event_date = '1999-01-01' GROUP BY 1",
        "SELECT interface_id FROM vpc_flow WHERE event_date = '1999-01-01' ORDER BY 1",
    ] {
        let run = desk.run(&["sql", sql]);
        assert_eq!((run.code, run.rows().len()), (0, 0), "{sql}: {}", run.err);
    }
    let rows = desk.run(&[
        "sql",
        "SELECT count(*) AS n FROM vpc_flow WHERE event_date = '1999-01-01'",
    ]);
    assert_eq!(rows.rows(), [json!({"n": 0})]);
}

#[test]
fn one_aggregate_does_not_narrow_what_another_sees() {
    let desk = desk();
    for day in 0..6 {
        let start = 1_793_491_200 + day * 86_400;
        desk.write(
            &format!("logs/day-{day}.log"),
            format!(
                "{HEADER}\n2 111122223333 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 {day} {start} {start} ACCEPT OK\n"
            ),
        );
        desk.run(&["ingest", "logs"]);
    }
    let rows = desk.run(&[
        "sql",
        "--threads",
        "1",
        "SELECT min(coalesce(bytes, 0)) AS least, max(start_time) AS last FROM vpc_flow WHERE interface_id = 'eni-1'",
    ]);
    assert_eq!(rows.rows(), [json!({"least": 0, "last": "2026-11-06T00:00:00Z"})]);
}

#[test]
fn a_job_goes_on_where_it_ended_and_says_nothing_twice() {
    let desk = Desk::new();
    desk.estate();
    desk.run(&["ingest", "estate/AWSLogs"]);
    let job = ["detect", "--lake", "lake", "--job", "night", "--quiet"];
    let first = desk.run(&job);
    assert_eq!(first.code, 0, "{}", first.err);
    assert!(first.rows().len() >= 10, "{}", first.out);
    assert!(first.err.starts_with("job night: "), "{}", first.err);
    assert_eq!(first.err.lines().count(), 1, "{}", first.err);
    // Nothing new: nothing is looked at.
    let second = desk.run(&job);
    assert_eq!(second.rows().len(), 0, "{}", second.out);
    assert!(second.err.contains("nothing new came in"), "{}", second.err);
    // What comes in later brings its own alerts and none of those that were told.
    desk.run(&["ingest", "estate/exportedlogs"]);
    let third = desk.run(&job);
    let told: Vec<_> = first.rows().iter().map(|alert| alert["id"].clone()).collect();
    assert!(!third.rows().is_empty(), "{}", third.err);
    assert!(
        third.rows().iter().all(|alert| !told.contains(&alert["id"])),
        "{}",
        third.out
    );
    // All in all they are those of one look at everything.
    let all = desk.run(&["detect", "--lake", "lake", "--quiet"]);
    assert_eq!(all.rows().len(), first.rows().len() + third.rows().len());
    desk.run(&["detect", "--job", "night", "--since", "1d"])
        .refuses(2, &["--job knows what is new"]);
}

#[test]
fn detections_find_the_same_in_the_lake_as_in_the_files() {
    let desk = Desk::new();
    desk.estate();
    let files = desk.run(&[
        "detect",
        "--from",
        "vpc_flow=estate/AWSLogs/*/vpcflowlogs",
        "--from",
        "cloudtrail=estate/AWSLogs/*/CloudTrail",
        "--from",
        "container_logs=estate/exportedlogs",
    ]);
    let ingest = desk.run(&["ingest", "estate"]);
    assert_eq!(ingest.code, 0, "{}", ingest.err);
    let lake = desk.run(&["detect", "--lake", "lake"]);
    let told = |run: &super::Run| -> Vec<_> {
        let alerts = run.rows().into_iter();
        alerts
            .map(|alert| {
                let records = alert["evidence"]["records"].as_array().unwrap().len();
                (
                    alert["rule"].clone(),
                    alert["entity"].clone(),
                    alert["count"].clone(),
                    records,
                )
            })
            .collect()
    };
    let (files, lake) = (told(&files), told(&lake));
    assert!(files.len() >= 12, "{} alerts", files.len());
    assert_eq!(files, lake);
    // The same minutes are covered.
    let coverage = desk.run(&["coverage", "--format", "ndjson"]);
    assert!(coverage.rows().len() > 20, "{}", coverage.out);
}

#[test]
fn coverage_is_a_calendar() {
    let desk = desk();
    desk.run(&["ingest", "logs"]);
    let run = desk.run(&["coverage", "--format", "table", "--days", "2"]);
    assert!(run.out.contains("vpc_flow  account 123456789012"), "{}", run.out);
    // CloudTrail comes first; the flow logs' day is the last line of its kind.
    let day = run
        .out
        .lines()
        .rfind(|line| line.contains("2026-11-01  ░"))
        .unwrap_or_default();
    assert!(day.ends_with("0%        4"), "{}", run.out);
    assert!(
        run.out
            .contains("2026-10-31  ························    0%        0"),
        "{}",
        run.out
    );
    Desk::new().run(&["coverage"]).refuses(
        2,
        &["there is no lake that knows what was seen", "trailhound ingest"],
    );
}

#[test]
fn digests_are_verified_and_kept() {
    let desk = Desk::new();
    desk.estate();
    let run = desk.run(&["verify", "estate", "--lake", "lake", "--fail-on", "alarm"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.out.contains("no sign of change; without keys"), "{}", run.out);
    let log = std::fs::read_dir(desk.path("estate/AWSLogs"))
        .unwrap()
        .flatten()
        .flat_map(|account| walk(&account.path().join("CloudTrail")))
        .next()
        .unwrap();
    std::fs::remove_file(&log).unwrap();
    let run = desk.run(&["verify", "estate", "--lake", "lake", "--fail-on", "alarm"]);
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    assert!(
        run.out.contains("something was changed, removed or forged"),
        "{}",
        run.out
    );
    let rows = desk.run(&[
        "sql",
        "SELECT count(*) FILTER (WHERE state = 'missing') AS missing, count(DISTINCT _ingested_at) AS runs FROM object_digests",
    ]);
    assert_eq!(rows.rows(), [json!({"missing": 1, "runs": 2})]);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => files.extend(walk(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

#[test]
fn standard_input_is_a_source() {
    let desk = Desk::new();
    let mut child = desk
        .command()
        .args(["ingest", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(flows().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let rows = desk.run(&["sql", "SELECT count(*) AS n, min(_source) AS s FROM vpc_flow"]);
    assert_eq!(rows.rows(), [json!({"n": 4, "s": "stdin"})]);
}

#[test]
fn followed_files_show_within_seconds_and_sources_do_not_stop_each_other() {
    let desk = Desk::new();
    desk.write_gz("a/one.log.gz", &flows());
    desk.write(
        "trailhound.toml",
        "[[source]]\naddress = \"a\"\nfollow = true\n\n[[source]]\naddress = \"nowhere\"\n",
    );
    let mut child = desk
        .command()
        .args(["ingest"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let count = |expected: i64| {
        let started = Instant::now();
        loop {
            let run = desk.run(&["sql", "--lake", "lake", "SELECT count(*) AS n FROM vpc_flow"]);
            if run.code == 0 && run.rows() == [json!({"n": expected})] {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{}", run.err);
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    count(4);
    desk.write_gz("a/two.log.gz", &flows());
    count(8);
    // Ctrl-C: it ends by itself, and says what came of the other source.
    let pid = pid_of(&child);
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "it does not end");
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("nowhere"), "{said}");
    assert_ne!(
        status.code(),
        Some(0),
        "a source that is not there is an error: {said}"
    );
    count(8);
}

fn pid_of(child: &std::process::Child) -> String {
    child.id().to_string()
}

#[test]
fn bad_input_is_refused_with_what_to_try() {
    let desk = desk();
    desk.run(&["ingest"])
        .refuses(2, &["there is nothing to take in", "trailhound.toml"]);
    desk.run(&["ingest", "gopher://x"])
        .refuses(2, &["there is no source gopher://", "s3://bucket"]);
    desk.run(&["ingest", "nowhere"]).refuses(4, &["nowhere"]);
    desk.run(&["ingest", "logs", "--table", "vpc_flows"])
        .refuses(2, &["vpc_flow"]);
    desk.run(&["ingest", "logs", "--lake", "gs://b/x"])
        .refuses(2, &["gs://b/x: a lake cannot lie there"]);
    desk.run(&["sql", "--lake", "elsewhere", "SELECT 1"])
        .refuses(2, &["no lake here", "trailhound ingest"]);
    desk.write("wrong.toml", "[lake]\npaht = \"x\"\n");
    desk.run(&["ingest", "logs", "--config", "wrong.toml"])
        .refuses(2, &["wrong.toml:2: unknown field `paht`"]);
    desk.run(&["config", "validate", "wrong.toml"])
        .refuses(2, &["wrong.toml:2"]);
    desk.run(&["ingest", "logs", "--strict"])
        .refuses(3, &["1 rejected"]);
}

#[test]
fn a_bucket_without_credentials_says_so() {
    let desk = Desk::new();
    let run = super::Run::of(
        desk.command()
            .args(["ingest", "s3://no-such-bucket/x"])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_CONFIG_FILE", "/nonexistent")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY"),
    );
    run.refuses(4, &["s3://no-such-bucket", "no AWS credentials", "AWS_PROFILE"]);
}

#[test]
fn a_lake_is_looked_after() {
    let desk = desk();
    for part in ["a", "b", "c"] {
        desk.write_gz(&format!("parts/{part}.log.gz"), &flows());
        assert_eq!(desk.run(&["ingest", "parts"]).code, 0);
    }
    let stats = desk.run(&["lake", "stats", "--json", "--table", "vpc_flow"]);
    assert_eq!(
        (stats.rows()[0]["rows"].clone(), stats.rows()[0]["files"].clone()),
        (json!(12), json!(3))
    );
    let run = desk.run(&["lake", "compact", "--table", "vpc_flow"]);
    assert!(
        run.out.contains("vpc_flow: 3 files became 1,"),
        "{}{}",
        run.out,
        run.err
    );
    let stats = desk.run(&["lake", "stats", "--json", "--table", "vpc_flow"]);
    assert_eq!(
        (stats.rows()[0]["rows"].clone(), stats.rows()[0]["files"].clone()),
        (json!(12), json!(1))
    );
    let run = desk.run(&[
        "lake", "expire", "--table", "vpc_flow", "--keep", "1d", "--grace", "0s",
    ]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("12 rows of 1 day left the table"), "{}", run.out);
    let rows = desk.run(&["sql", "SELECT count(*) AS n FROM vpc_flow"]);
    assert_eq!(rows.rows(), [json!({"n": 0})]);
    desk.run(&["lake", "expire", "--keep", "1d"])
        .refuses(2, &["--keep is for the tables that are named"]);
}
