//! Compacting and expiring: every record stays once, whoever else is at work.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{NaiveDate, Utc};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trailhound_lake::{
    CompactOptions, Compacted, DataFile, ExpireOptions, Expired, Lake, Txn, Writer, WriterSettings, compact,
    expire, spec, stats,
};

const NOON: i64 = 1_793_534_400_000_000;
const DAY: i64 = 86_400_000_000;

/// A record of any table: time, key column's value, source, line, time of ingest.
type Record = (i64, Option<String>, String, i64, i64);

/// The text column that tells records of a table apart, or might.
fn text_column(table: &str) -> &'static str {
    if table == "cloudtrail" {
        "event_id"
    } else {
        "interface_id"
    }
}

fn batch(table: &str, records: &[Record]) -> RecordBatch {
    let times = |at: fn(&Record) -> i64| -> ArrayRef {
        let values = records.iter().map(at);
        Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
    };
    let texts: StringViewArray = records.iter().map(|record| record.1.as_deref()).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("event_time", times(|record| record.0), true),
        (text_column(table), Arc::new(texts) as ArrayRef, true),
        (
            "_source",
            Arc::new(StringViewArray::from_iter_values(
                records.iter().map(|record| &record.2),
            )),
            true,
        ),
        (
            "_line",
            Arc::new(Int64Array::from_iter_values(
                records.iter().map(|record| record.3),
            )),
            true,
        ),
        ("_ingested_at", times(|record| record.4), true),
    ])
    .unwrap()
}

async fn write(lake: &Lake, table: &str, records: &[Record]) -> Vec<DataFile> {
    let (store, root) = (Arc::clone(lake.store()), lake.path_of(table));
    let mut writer = Writer::new(spec::spec(table).unwrap(), WriterSettings::default(), store, root);
    writer.push(batch(table, records)).await.unwrap();
    writer.finish().await.unwrap()
}

async fn ingest(lake: &Lake, table: &str, version: i64, records: &[Record]) {
    let files = write(lake, table, records).await;
    let txn = Txn {
        app_id: "test".to_owned(),
        version,
    };
    lake.append(&spec::spec(table).unwrap(), &files, &txn)
        .await
        .unwrap();
}

/// All records of a table, by time, source and line; each file must be in the order of time.
async fn records(lake: &Lake, table: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for file in lake.snapshot(table).await.unwrap().unwrap().files.iter() {
        let path = file
            .path
            .split('/')
            .fold(lake.path_of(table), |path, part| path.join(part));
        let bytes = lake.store().get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes.len() as u64, file.size);
        let before = records.len();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)
            .unwrap()
            .build()
            .unwrap()
        {
            let batch = batch.unwrap();
            let at = |name: &str| batch.column_by_name(name).unwrap();
            let time = |name: &str| at(name).as_primitive::<TimestampMicrosecondType>().clone();
            let (times, ingested) = (time("event_time"), time("_ingested_at"));
            let texts = batch
                .column_by_name(text_column(table))
                .map(|column| column.as_string::<i32>());
            for row in 0..batch.num_rows() {
                records.push((
                    times.value(row),
                    texts
                        .filter(|texts| texts.is_valid(row))
                        .map(|texts| texts.value(row).to_owned()),
                    at("_source").as_string::<i32>().value(row).to_owned(),
                    at("_line").as_primitive::<Int64Type>().value(row),
                    ingested.value(row),
                ));
            }
        }
        assert_eq!((records.len() - before) as u64, file.rows);
        assert!(records[before..].is_sorted_by_key(|record| record.0));
    }
    records.sort();
    records
}

fn record(second: i64, text: Option<&str>, source: &str, line: i64, ingested_at: i64) -> Record {
    (
        NOON + second * 1_000_000,
        text.map(str::to_owned),
        source.to_owned(),
        line,
        NOON + ingested_at,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_records_delivered_twice_the_one_that_was_read_first_stays() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::local(folder.path()).unwrap();
    // The same events in the trail of the organisation and in that of the account.
    ingest(
        &lake,
        "cloudtrail",
        1,
        &[
            record(1, Some("a"), "org/1", 1, 20),
            record(3, Some("b"), "org/1", 2, 20),
            record(2, None, "org/1", 3, 20),
        ],
    )
    .await;
    ingest(
        &lake,
        "cloudtrail",
        2,
        &[
            record(3, Some("b"), "account/1", 1, 10),
            record(4, Some("c"), "account/1", 2, 10),
            record(2, None, "account/1", 3, 10),
            record(4, Some("c"), "account/1", 4, 10),
        ],
    )
    .await;
    ingest(&lake, "cloudtrail", 3, &[record(1, Some("a"), "org/1", 1, 30)]).await;
    // Another day, alone and without doubles: left as it is.
    let mut elsewhere = record(0, Some("a"), "org/1", 1, 40);
    elsewhere.0 += 3 * DAY;
    ingest(&lake, "cloudtrail", 4, std::slice::from_ref(&elsewhere)).await;

    let before = stats(&lake).await.unwrap();
    assert_eq!(
        (
            before[0].files,
            before[0].rows,
            before[0].small_files,
            before[0].days
        ),
        (4, 9, 3, 2)
    );
    let compacted = compact(&lake, "cloudtrail", &CompactOptions::default())
        .await
        .unwrap();
    assert_eq!(
        Compacted {
            bytes_before: 0,
            bytes_after: 0,
            ..compacted
        },
        Compacted {
            days: 1,
            files_before: 3,
            files_after: 1,
            rows: 5,
            doubles: 3,
            ..Compacted::default()
        }
    );
    let left = records(&lake, "cloudtrail").await;
    // Of the two lines with one id in one object at one moment, which one stays is open, but one does.
    let of_c = left
        .iter()
        .find(|record| record.1.as_deref() == Some("c"))
        .unwrap()
        .clone();
    assert!(of_c.3 == 2 || of_c.3 == 4);
    assert_eq!(
        left,
        [
            record(1, Some("a"), "org/1", 1, 20),
            record(2, None, "account/1", 3, 10),
            record(2, None, "org/1", 3, 20),
            record(3, Some("b"), "account/1", 1, 10),
            of_c,
            elsewhere,
        ]
    );
    // Done is done.
    let again = compact(&lake, "cloudtrail", &CompactOptions::default())
        .await
        .unwrap();
    assert_eq!(again, Compacted::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_table_without_a_key_all_stay() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::local(folder.path()).unwrap();
    let table = spec::spec("coverage").unwrap();
    assert_eq!(table.key, &[] as &[&str]);
    for version in 1..=3 {
        let times = TimestampMicrosecondArray::from_iter_values([NOON, NOON]).with_timezone("UTC");
        let batch = RecordBatch::try_from_iter([("event_time", Arc::new(times) as ArrayRef)]).unwrap();
        let (store, root) = (Arc::clone(lake.store()), lake.path_of(table.name));
        let mut writer = Writer::new(table.clone(), WriterSettings::default(), store, root);
        writer.push(batch).await.unwrap();
        let files = writer.finish().await.unwrap();
        let app_id = "test".to_owned();
        lake.append(&table, &files, &Txn { app_id, version })
            .await
            .unwrap();
    }
    let compacted = compact(&lake, "coverage", &CompactOptions::default())
        .await
        .unwrap();
    assert_eq!(
        (compacted.files_after, compacted.rows, compacted.doubles),
        (1, 6, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_read_twice_is_one_only_if_it_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::local(folder.path()).unwrap();
    ingest(
        &lake,
        "vpc_flow",
        1,
        &[
            record(1, Some("eni-1"), "x", 1, 0),
            record(2, Some("eni-2"), "x", 2, 0),
        ],
    )
    .await;
    // The object came again, and then another one was put under its name.
    ingest(
        &lake,
        "vpc_flow",
        2,
        &[
            record(1, Some("eni-1"), "x", 1, 5),
            record(2, Some("eni-2"), "x", 2, 5),
        ],
    )
    .await;
    ingest(
        &lake,
        "vpc_flow",
        3,
        &[record(1, Some("eni-9"), "x", 1, 7), record(2, None, "x", 2, 7)],
    )
    .await;
    // Several passes over the keys come to the same.
    let options = CompactOptions {
        keys_max: 1,
        ..CompactOptions::default()
    };
    let compacted = compact(&lake, "vpc_flow", &options).await.unwrap();
    assert_eq!(
        (compacted.doubles, compacted.rows, compacted.files_after),
        (2, 4, 1)
    );
    assert_eq!(
        records(&lake, "vpc_flow").await,
        [
            record(1, Some("eni-1"), "x", 1, 0),
            record(1, Some("eni-9"), "x", 1, 7),
            record(2, None, "x", 2, 7),
            record(2, Some("eni-2"), "x", 2, 0),
        ]
    );
}

/// Rows of many batches and row groups, with doubles among them and large files that only lose rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_files_are_rewritten_only_for_doubles_and_merged_ones_are_cut_to_size() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::local(folder.path()).unwrap();
    let ids = |from: i64, to: i64| -> Vec<Record> {
        (from..to)
            .map(|n| {
                record(
                    n * 37 % 30_000,
                    Some(&format!("{:032x}", n as u128 * 0x9e37_79b9_7f4a_7c15_1234_5678)),
                    "o",
                    n,
                    n,
                )
            })
            .collect()
    };
    ingest(&lake, "cloudtrail", 1, &ids(0, 30_000)).await;
    ingest(&lake, "cloudtrail", 2, &ids(30_000, 60_000)).await;
    for part in 0..5 {
        // The last 500 of the first file come again, in parts.
        ingest(
            &lake,
            "cloudtrail",
            3 + part,
            &ids(29_500 + part * 100, 29_600 + part * 100),
        )
        .await;
    }
    let large = lake
        .snapshot("cloudtrail")
        .await
        .unwrap()
        .unwrap()
        .files
        .iter()
        .map(|file| file.size)
        .max()
        .unwrap();
    let options = CompactOptions {
        target_bytes: large,
        files_max: 3,
        writer: WriterSettings {
            row_group_rows_max: 7000,
            ..WriterSettings::default()
        },
        ..CompactOptions::default()
    };
    let compacted = compact(&lake, "cloudtrail", &options).await.unwrap();
    assert_eq!(compacted.doubles, 500);
    let left = records(&lake, "cloudtrail").await;
    let mut all = ids(0, 60_000);
    // Those that came again were read at the same moment: by what they hold they are the same.
    all.sort();
    assert_eq!(left.len(), all.len());
    assert!(left == all);
    // The large file without doubles was not touched.
    let files = lake.snapshot("cloudtrail").await.unwrap().unwrap().files;
    assert!(
        files
            .iter()
            .any(|file| file.path.contains("/part-") && file.rows == 30_000)
    );
    assert_eq!(compact(&lake, "cloudtrail", &options).await.unwrap().doubles, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingest_and_two_who_compact_at_once_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::local(folder.path()).unwrap();
    const COMMITS: i64 = 25;
    ingest(&lake, "cloudtrail", 0, &[record(0, Some("0"), "first", 0, 0)]).await;
    let appending = {
        let lake = lake.clone();
        tokio::spawn(async move {
            for n in 1..=COMMITS {
                // Each commit brings one new event, and the one before it again.
                let (new, old) = (n.to_string(), (n - 1).to_string());
                ingest(
                    &lake,
                    "cloudtrail",
                    n,
                    &[
                        record(n, Some(&new), "first", n, n),
                        record(n - 1, Some(&old), "again", n, n),
                    ],
                )
                .await;
            }
        })
    };
    let compacting = |lake: Lake| {
        tokio::spawn(async move {
            let mut doubles = 0;
            for _ in 0..12 {
                // Files may be replaced by the other one again and again: then it says so, and nothing is lost.
                if let Ok(compacted) = compact(&lake, "cloudtrail", &CompactOptions::default()).await {
                    doubles += compacted.doubles;
                }
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            doubles
        })
    };
    // The second one knows nothing of the first but what is in the log.
    let (a, b) = (
        compacting(lake.clone()),
        compacting(Lake::open_local(folder.path()).unwrap()),
    );
    appending.await.unwrap();
    a.await.unwrap();
    b.await.unwrap();
    compact(&lake, "cloudtrail", &CompactOptions::default())
        .await
        .unwrap();
    let left = records(&lake, "cloudtrail").await;
    let expected: Vec<Record> = (0..=COMMITS)
        .map(|n| record(n, Some(&n.to_string()), "first", n, n))
        .collect();
    assert_eq!(left, expected);
}

async fn parquet_files(lake: &Lake, table: &str) -> Vec<String> {
    let found: Vec<_> = lake
        .store()
        .list(Some(&lake.path_of(table)))
        .try_collect()
        .await
        .unwrap();
    let mut names: Vec<String> = found
        .into_iter()
        .filter_map(|file| file.location.filename().map(str::to_owned))
        .filter(|name| name.ends_with(".zstd.parquet"))
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_days_leave_the_table_at_once_and_the_store_after_the_grace() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::local(folder.path()).unwrap();
    let days: Vec<Record> = (0..4)
        .map(|day| {
            let mut record = record(0, Some("x"), "o", day, 0);
            record.0 += day * DAY;
            record
        })
        .collect();
    ingest(&lake, "vpc_flow", 1, &days).await;
    // Written by an ingest that has not committed yet.
    let intended = write(&lake, "vpc_flow", &[days[3].clone()]).await;
    assert_eq!(parquet_files(&lake, "vpc_flow").await.len(), 5);

    let now = Utc::now();
    let options = ExpireOptions::default().keep_days(2, NaiveDate::from_ymd_opt(2026, 11, 4).unwrap());
    assert_eq!(options.before.as_deref(), Some("2026-11-03"));
    let counted = expire(
        &lake,
        "vpc_flow",
        &ExpireOptions {
            dry_run: true,
            ..options.clone()
        },
        now,
    )
    .await
    .unwrap();
    assert_eq!(
        (counted.days, counted.files, counted.rows, counted.deleted_files),
        (2, 2, 2, 0)
    );
    assert_eq!(records(&lake, "vpc_flow").await.len(), 4);

    let expired = expire(&lake, "vpc_flow", &options, now).await.unwrap();
    assert_eq!(expired, counted);
    assert_eq!(records(&lake, "vpc_flow").await, days[2..]);
    // Versions of the last week still show them, and the intended file is young.
    assert_eq!(parquet_files(&lake, "vpc_flow").await.len(), 5);
    let soon = now + chrono::Duration::days(6);
    assert_eq!(
        expire(&lake, "vpc_flow", &options, soon).await.unwrap(),
        Expired::default()
    );

    // It is committed, late; then the week is over.
    let txn = Txn {
        app_id: "late".to_owned(),
        version: 1,
    };
    lake.append(&spec::spec("vpc_flow").unwrap(), &intended, &txn)
        .await
        .unwrap();
    let orphan = write(&lake, "vpc_flow", &[days[2].clone()]).await;
    let later = now + chrono::Duration::days(8);
    let expired = expire(&lake, "vpc_flow", &options, later).await.unwrap();
    assert_eq!((expired.files, expired.deleted_files), (0, 3));
    let left = parquet_files(&lake, "vpc_flow").await;
    assert_eq!(left.len(), 3);
    assert!(!left.iter().any(|name| orphan[0].path.ends_with(name.as_str())));
    assert_eq!(records(&lake, "vpc_flow").await.len(), 3);
}

/// What compacting leaves behind goes once no version of the grace period needs it, not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_files_stay_while_a_version_of_the_grace_period_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::local(folder.path()).unwrap();
    for n in 1..=3 {
        ingest(&lake, "vpc_flow", n, &[record(n, Some("x"), "o", n, 0)]).await;
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let before_compacting = Utc::now();
    compact(&lake, "vpc_flow", &CompactOptions::default())
        .await
        .unwrap();
    let grace = Duration::from_secs(3600);
    let options = ExpireOptions {
        grace,
        ..ExpireOptions::default()
    };
    // The three are older than the grace, but were taken out of the table within it.
    let hour = chrono::Duration::seconds(3600);
    let expired = expire(&lake, "vpc_flow", &options, before_compacting + hour)
        .await
        .unwrap();
    assert_eq!(expired.deleted_files, 0);
    assert_eq!(parquet_files(&lake, "vpc_flow").await.len(), 4);
    let expired = expire(&lake, "vpc_flow", &options, Utc::now() + hour + hour)
        .await
        .unwrap();
    assert_eq!(expired.deleted_files, 3);
    assert_eq!(records(&lake, "vpc_flow").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::local(folder.path()).unwrap();
    let error = compact(&lake, "guardduty", &CompactOptions::default())
        .await
        .unwrap_err();
    assert!(error.message().ends_with("has no table guardduty"), "{error}");
    let error = expire(&lake, "guardduty", &ExpireOptions::default(), Utc::now())
        .await
        .unwrap_err();
    assert!(error.message().ends_with("has no table guardduty"), "{error}");
    assert_eq!(stats(&lake).await.unwrap(), []);
}
