//! Raw files as tables: where they lie, how they are packed, and what is wrong with them.

use std::io::Write;
use std::path::Path;

use arrow::util::display::array_value_to_string;
use tempfile::TempDir;
use trailhound_query::{ErrorKind, From, Options, Outcome, Session};

pub const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

/// A flow record that is told from others by its source port.
pub fn line(srcport: u32) -> String {
    format!(
        "2 111122223333 eni-1 10.0.0.1 203.0.113.9 {srcport} 443 6 10 100 1763622000 1763622060 ACCEPT OK"
    )
}

pub fn flow_log(ports: std::ops::Range<u32>) -> String {
    let lines: Vec<String> = ports.map(line).collect();
    format!("{HEADER}\n{}\n", lines.join("\n"))
}

pub fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

pub async fn open(from: &[(&str, String)]) -> Session {
    Session::open(options(from)).await.unwrap()
}

pub fn options(from: &[(&str, String)]) -> Options {
    let from = from
        .iter()
        .map(|(table, location)| format!("{table}={location}").parse::<From>().unwrap())
        .collect();
    Options {
        from,
        ..Options::default()
    }
}

/// The rows of an answer, values joined by `|`.
pub async fn rows(session: &Session, sql: &str) -> Vec<String> {
    let batches = session.query(sql).await.unwrap().collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let values: Vec<String> = batch
                .columns()
                .iter()
                .map(|column| array_value_to_string(column, row).unwrap())
                .collect();
            rows.push(values.join("|"));
        }
    }
    rows
}

/// A new folder. Not a hidden one, as the crate makes them: the engine lists no hidden files.
pub fn folder_of_its_own() -> TempDir {
    tempfile::Builder::new().prefix("trailhound-").tempdir().unwrap()
}

fn at(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_string_lossy().into_owned()
}

fn write(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn packing_is_told_by_the_first_bytes_and_not_by_the_name() {
    let folder = folder_of_its_own();
    write(&folder, "a.log.gz", gzip(&flow_log(0..10)));
    write(&folder, "b.log", flow_log(10..20));
    write(&folder, "c.gz", flow_log(20..30));
    write(
        &folder,
        "d",
        zstd::encode_all(flow_log(30..40).as_bytes(), 1).unwrap(),
    );
    write(
        &folder,
        "deep/e.log.gz",
        [gzip(&flow_log(40..45)), gzip(&flow_log(45..50))].concat(),
    );
    write(&folder, "_SUCCESS", "");
    for location in [at(&folder, ""), at(&folder, "**/*")] {
        let session = open(&[("vpc_flow", location)]).await;
        assert_eq!(
            rows(
                &session,
                "SELECT count(*), count(DISTINCT srcport), sum(bytes) FROM vpc_flow"
            )
            .await,
            ["50|50|5000"]
        );
        assert_eq!(
            session
                .report()
                .table("vpc_flow")
                .unwrap()
                .sum(|object| object.rows),
            50
        );
    }
}

#[tokio::test]
async fn a_cut_off_gzip_costs_the_record_it_ends_in() {
    let folder = folder_of_its_own();
    let whole = gzip(&flow_log(0..5000));
    write(&folder, "cut.log.gz", &whole[..whole.len() / 2]);
    write(&folder, "sound.log.gz", gzip(&flow_log(5000..5010)));
    let session = open(&[("vpc_flow", at(&folder, ""))]).await;
    let ports = rows(
        &session,
        "SELECT srcport FROM vpc_flow WHERE srcport < 5000 ORDER BY srcport",
    )
    .await;
    assert!(ports.len() > 1000, "{}", ports.len());
    assert_eq!(
        ports.last().unwrap(),
        &(ports.len() - 1).to_string(),
        "all before the cut, and nothing else"
    );
    assert_eq!(
        rows(&session, "SELECT count(*) FROM vpc_flow WHERE srcport >= 5000").await,
        ["10"]
    );
    let rejects = rows(&session, "SELECT reason, _line FROM rejects").await;
    assert_eq!(rejects.len(), 1, "{rejects:?}");
    assert!(
        rejects[0].starts_with("gzip data is cut off after ")
            && rejects[0].ends_with(&format!("|{}", ports.len() + 2)),
        "{rejects:?}"
    );
}

#[tokio::test]
async fn a_folder_of_mixed_kinds_gives_each_table_its_own() {
    let folder = folder_of_its_own();
    write(&folder, "flow.log.gz", gzip(&flow_log(0..3)));
    write(
        &folder,
        "trail.json",
        r#"{"Records":[{"eventVersion":"1.08","eventTime":"2026-11-01T00:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","eventID":"e-1","awsRegion":"eu-west-1"}]}"#,
    );
    write(
        &folder,
        "app/000000.gz",
        gzip("2026-11-01T00:00:00.000Z hello\n  more\n"),
    );
    write(&folder, "notes.txt", "not a log at all");
    let everything = at(&folder, "");
    let session = open(&[
        ("vpc_flow", everything.clone()),
        ("cloudtrail", everything.clone()),
        ("container_logs", everything),
    ])
    .await;
    assert_eq!(rows(&session, "SELECT count(*) FROM vpc_flow").await, ["3"]);
    assert_eq!(
        rows(&session, "SELECT event_name FROM cloudtrail").await,
        ["GetObject"]
    );
    assert_eq!(
        rows(&session, "SELECT message FROM container_logs").await,
        ["hello\n  more"]
    );
    let report = session.report();
    for table in ["vpc_flow", "cloudtrail", "container_logs"] {
        let skipped: Vec<_> = report.table(table).unwrap().skipped().collect();
        assert_eq!(skipped.len(), 3, "{table}: {skipped:?}");
    }
    assert_eq!(rows(&session, "SELECT count(*) FROM rejects").await, ["0"]);
    assert_eq!(
        rows(
            &session,
            "SELECT \"table\", count(*) FROM events GROUP BY 1 ORDER BY 1"
        )
        .await,
        ["cloudtrail|1", "container_logs|1", "vpc_flow|3"]
    );
}

#[tokio::test]
async fn hive_folders_are_columns_and_prune() {
    let folder = folder_of_its_own();
    for (month, ports) in [("10", 0..5), ("11", 5..9)] {
        write(
            &folder,
            &format!("year=2026/month={month}/x.log"),
            flow_log(ports),
        );
    }
    let session = open(&[("vpc_flow", at(&folder, ""))]).await;
    assert_eq!(
        rows(
            &session,
            "SELECT month, count(*) FROM vpc_flow GROUP BY 1 ORDER BY 1"
        )
        .await,
        ["10|5", "11|4"]
    );
    let session = open(&[("vpc_flow", at(&folder, ""))]).await;
    assert_eq!(
        rows(
            &session,
            "SELECT count(*) FROM vpc_flow WHERE month = '11' AND srcport > 5"
        )
        .await,
        ["3"]
    );
    assert_eq!(
        session.report().table("vpc_flow").unwrap().objects.len(),
        1,
        "the other folder is not opened"
    );
}

#[tokio::test]
async fn external_tables_read_the_same_formats() {
    let folder = folder_of_its_own();
    write(&folder, "logs/a.log.gz", gzip(&flow_log(0..7)));
    write(&folder, "bare/b.log", line(1));
    write(&folder, "bare/bad.log", "2 x");
    let session = open(&[]).await;
    rows(
        &session,
        &format!(
            "CREATE EXTERNAL TABLE x STORED AS VPC_FLOW LOCATION '{}/'",
            at(&folder, "logs")
        ),
    )
    .await;
    assert_eq!(
        rows(&session, "SELECT count(*), min(_line) FROM x").await,
        ["7|2"]
    );
    rows(
        &session,
        &format!(
            "CREATE EXTERNAL TABLE y STORED AS VPC_FLOW LOCATION '{}/' OPTIONS ('format.fields' 'default')",
            at(&folder, "bare")
        ),
    )
    .await;
    assert_eq!(rows(&session, "SELECT dstport FROM y").await, ["443"]);
    assert_eq!(
        rows(&session, "SELECT reason FROM rejects").await,
        ["expected 14 fields, found 2"]
    );
    let absent = "CREATE EXTERNAL TABLE a STORED AS VPC_FLOW LOCATION '/nowhere/at/all'";
    assert!(
        session
            .query(absent)
            .await
            .err()
            .unwrap()
            .message()
            .contains("no file or folder /nowhere"),
        "by name"
    );
    let wrong = format!(
        "CREATE EXTERNAL TABLE z STORED AS VPC_FLOW LOCATION '{}/' OPTIONS ('format.colour' 'red')",
        at(&folder, "bare")
    );
    let error = session
        .query(&wrong)
        .await
        .err()
        .expect("there is no such option");
    assert!(error.message().contains("colour"), "{error}");
}

#[tokio::test]
async fn a_limit_stops_the_reading() {
    let folder = folder_of_its_own();
    write(&folder, "a.log", flow_log(0..60_000));
    let session = open(&[("vpc_flow", at(&folder, ""))]).await;
    assert_eq!(
        rows(&session, "SELECT srcport FROM vpc_flow LIMIT 3").await,
        ["0", "1", "2"]
    );
    let report = session.report();
    let object = &report.table("vpc_flow").unwrap().objects[0];
    assert!(
        object.rows < 60_000 && object.outcome == Outcome::Read { complete: false },
        "{object:?}"
    );
}

#[tokio::test]
async fn columns_come_in_the_order_of_the_query() {
    let folder = folder_of_its_own();
    write(&folder, "a.log", flow_log(5..6));
    let session = open(&[("vpc_flow", at(&folder, "a.log"))]).await;
    assert_eq!(
        rows(
            &session,
            "SELECT _line, bytes, srcaddr, bytes + srcport, account_id FROM vpc_flow"
        )
        .await,
        ["2|100|10.0.0.1|105|111122223333"]
    );
}

#[tokio::test]
async fn since_and_until_cut_at_event_time() {
    let folder = folder_of_its_own();
    write(
        &folder,
        "a.log",
        "start bytes\n1763622000 1\n1763622060 2\n1763622120 4\n",
    );
    let mut options = options(&[("vpc_flow", at(&folder, "a.log"))]);
    options.since = chrono::DateTime::from_timestamp(1_763_622_060, 0);
    options.until = chrono::DateTime::from_timestamp(1_763_622_120, 0);
    let session = Session::open(options).await.unwrap();
    assert_eq!(rows(&session, "SELECT sum(bytes) FROM vpc_flow").await, ["2"]);
}

#[tokio::test]
async fn mistakes_are_named() {
    let folder = folder_of_its_own();
    write(&folder, "a.log", flow_log(0..1));
    let wrong = [
        (
            format!("vpc_flow={}", at(&folder, "missing")),
            "there is no file or folder",
        ),
        (format!("vpc_flow={}", at(&folder, "*.nothing")), "no files match"),
        (
            format!("vpc_flows={}", at(&folder, "a.log")),
            "there is no log format vpc_flows",
        ),
        ("vpc_flow=gopher://x/y".to_owned(), "nothing here reads gopher"),
    ];
    for (from, words) in wrong {
        let options = Options {
            from: vec![from.parse().unwrap()],
            ..Options::default()
        };
        let error = Session::open(options).await.err().expect("a mistake");
        assert!(error.message().contains(words), "{error}");
        assert_eq!(error.kind(), ErrorKind::WrongUse);
    }
    let session = open(&[("vpc_flow", at(&folder, "a.log"))]).await;
    for (sql, message, help) in [
        (
            "SELECT srcadr FROM vpc_flow",
            "there is no column srcadr",
            Some("did you mean srcaddr?"),
        ),
        (
            "SELECT 1 FROM vpcflow",
            "there is no table vpcflow",
            Some("did you mean vpc_flow?"),
        ),
        (
            "SELECT is_privat_ip('x')",
            "there is no function is_privat_ip",
            Some("did you mean is_private_ip?"),
        ),
        ("SELECT srcaddr FRM vpc_flow", "SQL: ", None),
    ] {
        let error = session.query(sql).await.err().expect("a mistake");
        assert!(error.message().starts_with(message), "{error}");
        assert_eq!((error.help(), error.kind()), (help, ErrorKind::WrongUse), "{sql}");
        assert!(error.span().is_some(), "{sql} has a place");
    }
    let long = format!(
        "SELECT '{}'",
        "x".repeat(trailhound_query::session::SQL_BYTES_MAX)
    );
    assert!(
        session
            .query(&long)
            .await
            .err()
            .unwrap()
            .message()
            .contains("the most is")
    );
}

#[tokio::test]
async fn a_file_that_goes_away_is_named_and_the_others_are_read() {
    let folder = folder_of_its_own();
    write(&folder, "a.log", flow_log(0..2));
    write(&folder, "b.log", flow_log(2..4));
    let session = open(&[("vpc_flow", at(&folder, ""))]).await;
    std::fs::remove_file(Path::new(&at(&folder, "a.log"))).unwrap();
    assert_eq!(rows(&session, "SELECT count(*) FROM vpc_flow").await, ["2"]);
    let report = session.report();
    let gone: Vec<_> = report.table("vpc_flow").unwrap().unreachable().collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(gone[0].0.ends_with("a.log"));
}

#[tokio::test]
async fn memory_is_bounded_by_configuration() {
    let folder = folder_of_its_own();
    write(&folder, "a.log", flow_log(0..60_000));
    let mut options = options(&[("vpc_flow", at(&folder, ""))]);
    options.memory_bytes = 2_000_000;
    let session = Session::open(options).await.unwrap();
    // A join holds one side in memory.
    let join =
        "SELECT count(*) FROM vpc_flow a JOIN vpc_flow b ON a.srcaddr || a.srcport = b.srcaddr || b.srcport";
    let answer = session.query(join).await.unwrap();
    let error = answer.collect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert_eq!(
        rows(&session, "SELECT count(*) FROM vpc_flow").await,
        ["60000"],
        "the session lives on"
    );
}

/// DataFusion #22229: thousands of operators once overflowed the stack.
#[test]
fn deep_expressions_do_not_end_the_process() {
    // The stack of a program's main thread, where statements are planned.
    let planner = std::thread::Builder::new().stack_size(8 << 20).spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let session = open(&[]).await;
            let chain = |length: usize| format!("SELECT 1{}", "+1".repeat(length));
            assert_eq!(rows(&session, &chain(500)).await, ["501"]);
            let error = session.query(&chain(20_000)).await.err().expect("too deep");
            assert!(error.message().contains("operators"), "{error}");
            let nested = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
            let error = session.query(&nested).await.err().expect("too deep");
            assert_eq!(error.kind(), ErrorKind::WrongUse, "{error}");
        });
    });
    planner.unwrap().join().unwrap();
}
