//! What the tests of commits share: pretended files, and counting them.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use trailhound_lake::{DataFile, Lake, TableSpec, spec};

pub const DAY: &str = "2026-11-01";

/// The table `name` of ours.
pub fn spec(name: &str) -> TableSpec {
    spec::spec(name).unwrap()
}

/// What the log says of a file with one row.
pub fn file(name: &str, size: u64) -> DataFile {
    DataFile {
        path: format!("event_date={DAY}/{name}.parquet"),
        event_date: Some(DAY.to_owned()),
        size,
        rows: 1,
        modified: 1_793_491_200_000,
        stats: r#"{"numRecords":1,"minValues":{},"maxValues":{},"nullCount":{}}"#.to_owned(),
    }
}

/// Puts a file with `content` into the store, as a writer would.
pub async fn put(lake: &Lake, table: &str, name: &str, content: &str) -> DataFile {
    let file = file(name, content.len() as u64);
    let path = file
        .path
        .split('/')
        .fold(lake.path_of(table), |path, part| path.join(part));
    lake.store().put(&path, content.to_owned().into()).await.unwrap();
    file
}

/// What the files of a table hold, and how often.
pub async fn contents(lake: &Lake, table: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let Some(snapshot) = lake.snapshot(table).await.unwrap() else {
        return counts;
    };
    for file in snapshot.files.iter() {
        let path = file
            .path
            .split('/')
            .fold(lake.path_of(table), |path, part| path.join(part));
        let bytes = lake.store().get(&path).await.unwrap().bytes().await.unwrap();
        *counts
            .entry(String::from_utf8(bytes.to_vec()).unwrap())
            .or_default() += 1;
    }
    counts
}

/// How often each file was added, by all commits of the log. Reading a table
/// would hide a file that was added twice under one name.
pub async fn adds(store: &dyn ObjectStore, table: &Path) -> BTreeMap<String, usize> {
    let log = table.clone().join("_delta_log");
    let commits: Vec<_> = store
        .list(Some(&log))
        .try_filter(|meta| futures::future::ready(meta.location.as_ref().ends_with(".json")))
        .try_collect()
        .await
        .unwrap();
    let mut counts = BTreeMap::new();
    let mut texts = futures::stream::iter(commits)
        .map(async |meta| store.get(&meta.location).await.unwrap().bytes().await.unwrap())
        .buffered(8);
    while let Some(text) = texts.next().await {
        for line in std::str::from_utf8(&text).unwrap().lines() {
            let action: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(path) = action["add"]["path"].as_str() {
                *counts.entry(path.to_owned()).or_default() += 1;
            }
        }
    }
    counts
}
