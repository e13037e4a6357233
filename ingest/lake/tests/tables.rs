//! Making tables, changing their columns, refusing what is newer, checkpoints.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use trailhound_ingest::error::ErrorKind;
use trailhound_lake::{Committed, Lake, Replaced, TableSpec, Txn};
use url::Url;

use crate::common::{file, spec};

fn lake() -> Lake {
    Lake::new(
        Url::parse("memory:///some/lake").unwrap(),
        Arc::new(InMemory::new()),
    )
}

fn txn(worker: &str, version: i64) -> Txn {
    Txn {
        app_id: format!("trailhound/{worker}/s"),
        version,
    }
}

/// `spec` with its columns changed.
fn with_fields(spec: &TableSpec, change: impl Fn(&mut Vec<Arc<Field>>)) -> TableSpec {
    let mut fields = spec.schema.fields().to_vec();
    change(&mut fields);
    TableSpec {
        schema: Arc::new(Schema::new(fields)),
        ..spec.clone()
    }
}

/// Writes a version of the log by hand.
async fn log(lake: &Lake, table: &str, version: u64, lines: &str) {
    let path = lake
        .path_of(table)
        .join("_delta_log")
        .join(format!("{version:020}.json"));
    lake.store().put(&path, lines.to_owned().into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_shown() {
    let lake = lake();
    assert!(lake.snapshot("cloudtrail").await.unwrap().is_none());
    assert_eq!(lake.table_names().await.unwrap(), Vec::<String>::new());
    let spec = spec("cloudtrail");
    let files = [
        file("a", 10),
        trailhound_lake::DataFile {
            event_date: None,
            path: "event_date=__HIVE_DEFAULT_PARTITION__/b.parquet".to_owned(),
            ..file("b", 20)
        },
    ];
    let committed = lake.append(&spec, &files, &txn("w", 1)).await.unwrap();
    assert_eq!(
        committed,
        Committed {
            version: 1,
            landed_before: false
        }
    );
    let again = lake.append(&spec, &files, &txn("w", 1)).await.unwrap();
    assert_eq!(
        again,
        Committed {
            version: 1,
            landed_before: true
        }
    );

    // Another process knows the same.
    let other = Lake::new(lake.root().clone(), Arc::clone(lake.store()));
    let snapshot = other.snapshot("cloudtrail").await.unwrap().unwrap();
    let mut found = snapshot.files.to_vec();
    found.sort_by_key(|file| file.size);
    assert_eq!(found, files);
    assert_eq!(snapshot.transaction("trailhound/w/s").await.unwrap(), Some(1));
    assert_eq!(snapshot.transaction("trailhound/x/s").await.unwrap(), None);
    assert_eq!(other.table_names().await.unwrap(), ["cloudtrail"]);
    let mut fields: Vec<_> = spec
        .schema
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect();
    fields.push(("event_date".to_owned(), DataType::Date32));
    let shown: Vec<_> = snapshot
        .schema
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect();
    assert_eq!(shown, fields);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_creators_both_succeed() {
    for _ in 0..20 {
        let lake = lake();
        let tasks: Vec<_> = (0..4)
            .map(|worker| {
                let lake = Lake::new(lake.root().clone(), Arc::clone(lake.store()));
                tokio::spawn(async move {
                    let files = [file(&format!("part-{worker}"), 1)];
                    lake.append(&spec("vpc_flow"), &files, &txn(&worker.to_string(), 1))
                        .await
                        .unwrap()
                })
            })
            .collect();
        let mut versions = Vec::new();
        for task in tasks {
            versions.push(task.await.unwrap().version);
        }
        versions.sort_unstable();
        assert_eq!(versions, [1, 2, 3, 4]);
        assert_eq!(lake.snapshot("vpc_flow").await.unwrap().unwrap().files.len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_columns_are_added_and_old_files_stay() {
    let lake = lake();
    let new = spec("vpc_flow");
    let old = with_fields(&new, |fields| {
        fields.retain(|field| field.name() != "pkt_srcaddr");
    });
    lake.append(&old, &[file("old", 1)], &txn("w", 1)).await.unwrap();
    let before = lake.snapshot("vpc_flow").await.unwrap().unwrap();
    assert!(before.schema.field_with_name("pkt_srcaddr").is_err());
    lake.append(&new, &[file("new", 2)], &txn("w", 2)).await.unwrap();
    let after = lake.snapshot("vpc_flow").await.unwrap().unwrap();
    assert_eq!(
        after.schema.field_with_name("pkt_srcaddr").unwrap().data_type(),
        &DataType::Utf8View
    );
    assert_eq!(after.schema.fields().last().unwrap().name(), "event_date");
    assert_eq!(after.files.len(), 2);
    // An older worker goes on beside it, and takes nothing away.
    lake.append(&old, &[file("late", 3)], &txn("v", 1)).await.unwrap();
    let late = lake.snapshot("vpc_flow").await.unwrap().unwrap();
    assert_eq!((late.files.len(), &late.schema), (3, &after.schema));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_type_is_refused() {
    let lake = lake();
    let ours = spec("vpc_flow");
    let theirs = with_fields(&ours, |fields| {
        for field in fields.iter_mut().filter(|field| field.name() == "srcport") {
            *field = Arc::new(Field::new("srcport", DataType::Utf8View, true));
        }
    });
    lake.append(&theirs, &[file("a", 1)], &txn("w", 1)).await.unwrap();
    let error = lake
        .append(&ours, &[file("b", 1)], &txn("w", 2))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongUse);
    assert!(
        error.message().contains("its column srcport is string"),
        "{error}"
    );
    assert_eq!(lake.snapshot("vpc_flow").await.unwrap().unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_delta_needs_is_refused() {
    let reader = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["timeTravelBackwards"],"writerFeatures":["timeTravelBackwards"]}}"#;
    let writer = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["appendOnly","rowsOfGold"]}}"#;
    let version = r#"{"protocol":{"minReaderVersion":9,"minWriterVersion":9}}"#;
    let vectors = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#;
    for (protocol, readable) in [
        (reader, false),
        (writer, true),
        (version, false),
        (vectors, false),
    ] {
        let lake = lake();
        lake.append(&spec("vpc_flow"), &[file("a", 1)], &txn("w", 1))
            .await
            .unwrap();
        log(&lake, "vpc_flow", 2, protocol).await;
        let lake = Lake::new(lake.root().clone(), Arc::clone(lake.store()));
        let error = lake
            .append(&spec("vpc_flow"), &[file("b", 1)], &txn("w", 2))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongUse, "{protocol}: {error}");
        assert!(error.message().contains("does not know"), "{error}");
        assert_eq!(lake.snapshot("vpc_flow").await.is_ok(), readable, "{protocol}");
        let next = lake
            .path_of("vpc_flow")
            .join("_delta_log")
            .join("00000000000000000003.json");
        assert!(
            lake.store().head(&next).await.is_err(),
            "{protocol}: something was written"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_replaced_once() {
    let lake = lake();
    let spec = spec("vpc_flow");
    let (a, b) = (file("a", 1), file("b", 2));
    lake.append(&spec, &[a.clone(), b.clone()], &txn("w", 1))
        .await
        .unwrap();
    let compactor = Lake::new(lake.root().clone(), Arc::clone(lake.store()));
    compactor.snapshot("vpc_flow").await.unwrap();
    // An append in between is no conflict.
    lake.append(&spec, &[file("c", 3)], &txn("w", 2)).await.unwrap();
    let merged = [file("ab", 3)];
    let replaced = compactor
        .replace("vpc_flow", &[a.clone(), b.clone()], &merged, false)
        .await
        .unwrap();
    assert_eq!(
        replaced,
        Replaced::Committed(Committed {
            version: 3,
            landed_before: false
        })
    );
    let mut paths: Vec<_> = lake
        .snapshot("vpc_flow")
        .await
        .unwrap()
        .unwrap()
        .files
        .iter()
        .map(|file| file.size)
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, [3, 3]);
    // Whoever comes later with the same files is told.
    let late = lake
        .replace("vpc_flow", std::slice::from_ref(&b), &[file("b2", 2)], false)
        .await
        .unwrap();
    assert_eq!(late, Replaced::Conflict(b.path.clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_says_what_the_log_says() {
    let lake = lake();
    let spec = spec("vpc_flow");
    for number in 1..=30 {
        lake.append(
            &spec,
            &[file(&format!("part-{number}"), number)],
            &txn("w", number as i64),
        )
        .await
        .unwrap();
    }
    assert_eq!(lake.checkpoint("vpc_flow").await.unwrap(), Some(30));
    assert_eq!(lake.checkpoint("vpc_flow").await.unwrap(), Some(30));
    assert_eq!(lake.checkpoint("cloudtrail").await.unwrap(), None);
    // All that came before may go: the checkpoint stands for it.
    for version in 0..30 {
        let path = lake
            .path_of("vpc_flow")
            .join("_delta_log")
            .join(format!("{version:020}.json"));
        lake.store().delete(&path).await.unwrap();
    }
    for lake in [Lake::new(lake.root().clone(), Arc::clone(lake.store())), lake] {
        let snapshot = lake.snapshot("vpc_flow").await.unwrap().unwrap();
        assert_eq!((snapshot.version, snapshot.files.len()), (30, 30));
        assert_eq!(snapshot.transaction("trailhound/w/s").await.unwrap(), Some(30));
        assert!(
            snapshot
                .files
                .iter()
                .all(|file| file.rows == 1 && file.event_date.is_some())
        );
        let again = lake
            .append(&spec, &[file("part-30", 30)], &txn("w", 30))
            .await
            .unwrap();
        assert!(again.landed_before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn young_logs_are_not_cleaned() {
    let lake = lake();
    for number in 1..=3 {
        lake.append(&spec("vpc_flow"), &[file("a", 1)], &txn("w", number))
            .await
            .unwrap();
    }
    lake.checkpoint("vpc_flow").await.unwrap();
    assert_eq!(lake.clean_log("vpc_flow").await.unwrap(), 0);
    assert_eq!(lake.snapshot("vpc_flow").await.unwrap().unwrap().version, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_is_an_error_with_help() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::local(&folder.path().join("lake"))
        .unwrap()
        .with_retry(trailhound_lake::Retry {
            give_up_after: std::time::Duration::from_millis(50),
            ..trailhound_lake::Retry::default()
        });
    // A file stands where the log's folder should be.
    std::fs::write(folder.path().join("lake/vpc_flow"), "no folder").unwrap();
    let error = lake
        .append(&spec("vpc_flow"), &[file("a", 1)], &txn("w", 1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.help().unwrap().contains("nothing is lost"), "{error}");
    assert_eq!(
        Lake::open_local(&folder.path().join("none")).unwrap_err().kind(),
        ErrorKind::WrongUse
    );
}
