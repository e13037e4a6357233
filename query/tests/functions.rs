//! The SQL functions from outside: their examples, their `.slt` files, and files about addresses.

use std::path::Path;
use std::time::Instant;

use chrono::{DateTime, Utc};
use sqllogictest::{DBOutput, DefaultColumnType, Runner};
use tempfile::TempDir;
use trailhound_query::functions::FUNCTIONS;
use trailhound_query::{EnrichmentFiles, EnrichmentKind, EnrichmentNote, Error, ErrorKind, Options, Session};

use crate::files::{flow_log, gzip, options, rows};

mod fixtures;

/// When the tests run: lists have their age at this moment.
fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-21T00:00:00Z")
        .unwrap()
        .to_utc()
}

async fn open(enrichment: EnrichmentFiles) -> Result<Session, Error> {
    Session::open(Options {
        enrichment,
        now: now(),
        ..Options::default()
    })
    .await
}

/// A session as sqllogictest drives one.
struct Engine(Session);

#[async_trait::async_trait]
impl sqllogictest::AsyncDB for Engine {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let answer = self.0.query(sql).await?;
        let types: Vec<DefaultColumnType> = answer
            .schema
            .fields()
            .iter()
            .map(|field| match field.data_type() {
                kind if kind.is_integer() => DefaultColumnType::Integer,
                kind if kind.is_floating() => DefaultColumnType::FloatingPoint,
                kind if kind.is_string() => DefaultColumnType::Text,
                _ => DefaultColumnType::Any,
            })
            .collect();
        let mut rows = Vec::new();
        for batch in answer.collect().await? {
            for row in 0..batch.num_rows() {
                let show = |column: &arrow::array::ArrayRef| match column.is_null(row) {
                    true => "NULL".to_owned(),
                    false => match arrow::util::display::array_value_to_string(column, row).unwrap() {
                        text if text.is_empty() => "(empty)".to_owned(),
                        text => text,
                    },
                };
                rows.push(batch.columns().iter().map(show).collect());
            }
        }
        Ok(match types.is_empty() {
            true => DBOutput::StatementComplete(0),
            false => DBOutput::Rows { types, rows },
        })
    }

    async fn shutdown(&mut self) {}
}

fn slt_files() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions");
    let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn slt_files_hold() {
    let mut failures = Vec::new();
    for file in slt_files() {
        let folder = TempDir::new().unwrap();
        let files = fixtures::files(folder.path());
        let mut runner = Runner::new(|| async { Ok(Engine(open(files.clone()).await?)) });
        runner.with_column_validator(sqllogictest::strict_column_validator);
        if let Err(error) = runner.run_file_async(&file).await {
            failures.push(error.to_string());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// A function's file says what it gives for NULL and for what it cannot read.
#[test]
fn every_function_has_cases() {
    let texts: Vec<String> = slt_files()
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for function in FUNCTIONS {
        let call = format!("{}(", function.name);
        assert!(
            texts.iter().any(|text| text.contains(&call)),
            "no .slt file in query/tests/functions calls {}",
            function.name
        );
    }
}

/// What the reference page says is so.
#[tokio::test]
async fn examples_are_true() {
    let folder = TempDir::new().unwrap();
    let session = open(fixtures::files(folder.path())).await.unwrap();
    for function in FUNCTIONS {
        let (call, expected) = function.example;
        assert_eq!(
            rows(&session, &format!("SELECT {call}")).await,
            [expected],
            "{call}"
        );
        assert!(call.contains(function.name), "{call}");
    }
}

/// Partial results of several files, read at once, come to what one reader finds.
#[tokio::test]
async fn aggregates_merge_over_partitions() {
    let folder = TempDir::new().unwrap();
    for part in 0..7u32 {
        let log = flow_log(part * 5000..part * 5000 + 1000 * (part + 1));
        std::fs::write(folder.path().join(format!("{part}.log.gz")), gzip(&log)).unwrap();
    }
    let from = [("vpc_flow", folder.path().display().to_string())];
    let sql = "SELECT quantile_sketch(srcport), median_abs_dev(srcport), bowley_skew(srcport), \
               sketch_count(quantile_sketch(srcport)) FROM vpc_flow";
    let mut found = Vec::new();
    for partitions in [1, 2, 7] {
        let options = Options {
            partitions: Some(partitions),
            ..options(&from)
        };
        let session = Session::open(options).await.unwrap();
        found.push(rows(&session, sql).await);
        // By the engine's own aggregates, which keep all values.
        let near = "SELECT abs(sketch_quantile(quantile_sketch(srcport), 0.9) / percentile_cont(0.9) WITHIN GROUP \
                    (ORDER BY CAST(srcport AS DOUBLE)) - 1) < 0.004, \
                    abs(sketch_quantile(quantile_sketch(srcport), 0.5) / median(CAST(srcport AS DOUBLE)) - 1) < 0.004, \
                    count(*) = sketch_count(quantile_sketch(srcport)) FROM vpc_flow";
        assert_eq!(rows(&session, near).await, ["true|true|true"]);
        let by_day = "SELECT sketch_merge(s) = (SELECT quantile_sketch(srcport) FROM vpc_flow) FROM \
                      (SELECT quantile_sketch(srcport) AS s FROM vpc_flow GROUP BY srcport % 5)";
        assert_eq!(rows(&session, by_day).await, ["true"]);
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
    assert!(found[0][0].ends_with("|28000"), "{:?}", found[0][0].len());
}

#[tokio::test]
async fn without_files_the_answer_is_null_and_noted_once() {
    let session = open(EnrichmentFiles::default()).await.unwrap();
    assert_eq!(rows(&session, "SELECT is_private_ip('10.0.0.1')").await, ["true"]);
    assert_eq!(session.enrichment().notes(), []);
    let sql = "SELECT geo_country(a) IS NULL AS one, geo_country(a) IS NULL AS two, ip_aws_service(a) IS NULL, \
               ip_aws_region(a) IS NULL, threat_list(a) IS NULL, threat_list_age_days(a) IS NULL \
               FROM (VALUES ('81.2.69.160'), ('198.51.100.7')) AS t(a)";
    assert_eq!(rows(&session, sql).await, ["true|true|true|true|true|true"; 2]);
    let missing = [
        EnrichmentKind::AwsRanges,
        EnrichmentKind::GeoIp,
        EnrichmentKind::ThreatList,
    ];
    assert_eq!(session.enrichment().notes(), missing.map(EnrichmentNote::Missing));
    assert_eq!(
        rows(
            &session,
            "SELECT ip_asn('81.2.69.160') IS NULL, ip_as_org('x') IS NULL"
        )
        .await,
        ["true|true"]
    );
    assert_eq!(session.enrichment().notes().len(), 4);
}

#[tokio::test]
async fn files_that_are_no_use_are_errors_and_not_null() {
    let folder = TempDir::new().unwrap();
    let good = fixtures::files(folder.path());
    let page = fixtures::write(folder.path(), "page.html", "<html>\n<p>Not found</p>\n");
    let cases = [
        (
            "geo_country",
            EnrichmentFiles {
                geoip: Some(page.clone()),
                ..good.clone()
            },
            "not a MaxMind database",
        ),
        (
            "geo_country",
            EnrichmentFiles {
                geoip: good.asn.clone(),
                ..good.clone()
            },
            "not one of countries",
        ),
        (
            "ip_asn",
            EnrichmentFiles {
                asn: good.geoip.clone(),
                ..good.clone()
            },
            "not one of autonomous systems",
        ),
        (
            "ip_aws_service",
            EnrichmentFiles {
                aws_ranges: Some(page.clone()),
                ..good.clone()
            },
            "not AWS's ip-ranges.json",
        ),
        (
            "threat_list",
            EnrichmentFiles {
                threat_lists: vec![page.clone()],
                ..good.clone()
            },
            "not a list of addresses",
        ),
    ];
    for (function, files, reason) in cases {
        let session = open(files).await.unwrap();
        // Nothing is read for a query that does not ask for it.
        assert_eq!(rows(&session, "SELECT luhn('1')").await, ["false"]);
        for sql in [
            format!("SELECT {function}('81.2.69.160')"),
            format!("SELECT {function}(a) FROM (VALUES ('81.2.69.160'), ('x')) AS t(a)"),
        ] {
            let answer = match session.query(&sql).await {
                Ok(answer) => answer.collect().await.map(drop),
                Err(error) => Err(error),
            };
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongUse, "{error}");
            assert!(error.message().contains(reason), "{sql}: {error}");
        }
    }
    let missing = EnrichmentFiles {
        asn: Some(folder.path().join("none.mmdb")),
        ..EnrichmentFiles::default()
    };
    let error = open(missing).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.message().contains("none.mmdb: cannot read it"), "{error}");
    std::fs::create_dir(folder.path().join("more")).unwrap();
    let twice = vec![
        good.threat_lists[0].clone(),
        fixtures::write(&folder.path().join("more"), "tor-exits.csv", "192.0.2.1\n"),
    ];
    let error = open(EnrichmentFiles {
        threat_lists: twice,
        ..good
    })
    .await
    .err()
    .unwrap();
    assert!(
        error.message().contains("two threat lists are named tor-exits"),
        "{error}"
    );
}

#[tokio::test]
async fn lines_left_out_of_a_list_are_noted() {
    let folder = TempDir::new().unwrap();
    let session = open(fixtures::files(folder.path())).await.unwrap();
    assert_eq!(session.enrichment().notes(), []);
    assert_eq!(
        rows(&session, "SELECT threat_list('203.0.113.15')").await,
        ["tor-exits"]
    );
    let note = EnrichmentNote::LinesLeftOut {
        list: "tor-exits".to_owned(),
        lines: 1,
        first: 6,
    };
    assert_eq!(session.enrichment().notes(), [note]);
}

/// A million lines, addresses and networks mixed: what is on the list is found, and nothing else.
#[tokio::test]
async fn a_list_with_a_million_lines() {
    let folder = TempDir::new().unwrap();
    let mut list = String::with_capacity(20 << 20);
    let address = |bits: u32| std::net::Ipv4Addr::from_bits(bits);
    // Every other /31 is listed: as an address and its neighbour, or as a network; not in order.
    let place = |number: u32| 0x2000_0000 + (u64::from(number) * 7919 % 1_000_000) as u32 * 4;
    for number in 0..1_000_000u32 {
        if number % 1000 == 0 {
            list.push_str("# a thousand more\n");
        }
        match number % 2 {
            0 => list.push_str(&format!("{}\n", address(place(number)))),
            _ => list.push_str(&format!("{}/31\tseen\n", address(place(number)))),
        }
    }
    let file = fixtures::write(folder.path(), "many.txt", &list);
    let session = open(EnrichmentFiles {
        threat_lists: vec![file],
        ..EnrichmentFiles::default()
    })
    .await
    .unwrap();
    let started = Instant::now();
    // By SQL: addresses from numbers, on the list or three behind, where none is.
    let sql = "SELECT count(threat_list(listed)), count(threat_list(free)), count(*) FROM (SELECT \
               ip_normalize(CAST(536870912 + value * 4 AS VARCHAR)) AS listed, \
               ip_normalize(CAST(536870915 + value * 4 AS VARCHAR)) AS free \
               FROM generate_series(0, 999999, 10) AS t(value))";
    assert_eq!(rows(&session, sql).await, ["100000|0|100000"]);
    println!(
        "a million lines read and 200,000 addresses looked up in {:?}",
        started.elapsed()
    );
    assert_eq!(session.enrichment().notes(), []);
}
