//! What the tests share: logs to take in, a lake to take them into, and a count of what is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tokio::sync::watch;
use trailhound_ingest::error::Error;
use trailhound_lake::{Lake, State};
use trailhound_pipeline::{Settings, Summary, Watch, run};
use trailhound_sources::{Recent, Resume, Source, SourceOptions};

/// The header of a flow log object.
pub const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

/// Number and line of a record, or of a reject: how often it is there.
pub type Lines = BTreeMap<(String, i64), usize>;

/// A folder with buckets, a lake and a state.
pub struct Yard {
    pub folder: tempfile::TempDir,
}

/// How a run is told to stop, and what it did.
pub struct Running {
    pub stop: watch::Sender<bool>,
    pub watch: Arc<Watch>,
    pub task: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Waits for its end.
    pub async fn end(self) -> Summary {
        self.task.await.unwrap().unwrap();
        self.watch.summary()
    }

    /// Asks it to stop, and waits for its end.
    pub async fn stop(self) -> Summary {
        self.stop.send(true).unwrap();
        self.end().await
    }
}

impl Yard {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("buckets/logs")).unwrap();
        Yard { folder }
    }

    /// The folder of which each folder is a bucket.
    pub fn buckets(&self) -> PathBuf {
        self.folder.path().join("buckets")
    }

    pub fn lake(&self) -> Lake {
        Lake::local(&self.folder.path().join("lake")).unwrap()
    }

    /// The state, once whoever had it has let go of it.
    pub fn state(&self) -> Arc<State> {
        let mut tries = 0;
        loop {
            match State::open(&self.folder.path().join("state")) {
                Ok(state) => return Arc::new(state),
                Err(error) => assert!(tries < 500, "{error}"),
            }
            tries += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Puts an object into the bucket `logs`, whole.
    pub fn put(&self, key: &str, text: impl AsRef<[u8]>) {
        let path = self.buckets().join("logs").join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let other = self.folder.path().join("put.in-progress");
        std::fs::write(&other, text).unwrap();
        std::fs::rename(other, path).unwrap();
    }

    /// Puts `count` objects of flow logs: 6 records and a line that is none in each.
    pub fn put_flows(&self, count: usize) -> Vec<String> {
        (0..count)
            .map(|number| {
                let key = format!("{number:04}.log");
                self.put(&key, flows(number, 6));
                key
            })
            .collect()
    }

    /// Opens the source, going on where the state says.
    pub async fn open(&self, state: &State, address: &str, options: &SourceOptions) -> Arc<dyn Source> {
        let resumed = state.resume(address).unwrap();
        let recent = resumed.recent.into_iter();
        let resume = Resume {
            position: resumed.position,
            recent: recent.map(|(key, time)| Recent { key, time }).collect(),
        };
        let source = trailhound_sources::open(address, options, resume).await;
        source.unwrap().into()
    }

    /// Starts a run.
    pub fn start(
        &self,
        source: Arc<dyn Source>,
        state: Arc<State>,
        lake: Lake,
        settings: Settings,
    ) -> Running {
        let (stop, stopping) = watch::channel(false);
        let totals = Arc::new(Watch::default());
        let shared = Arc::clone(&totals);
        let task =
            tokio::spawn(async move { run(source, &lake, &state, &settings, &shared, stopping).await });
        Running {
            stop,
            watch: totals,
            task,
        }
    }

    /// Takes in all that an address has.
    pub async fn take_in(&self, address: &str, options: &SourceOptions, settings: Settings) -> Summary {
        let state = self.state();
        trailhound_lake::recover(&self.lake(), &state, address)
            .await
            .unwrap();
        let source = self.open(&state, address, options).await;
        self.start(source, state, self.lake(), settings).end().await
    }

    /// All lines of a table, by object and line, and how often each is there.
    pub async fn lines(&self, table: &str) -> Lines {
        let mut lines = Lines::new();
        for batch in self.batches(table).await {
            let sources = texts(&batch, "_source");
            let numbers = batch["_line"].as_primitive::<Int64Type>();
            for (source, line) in sources.into_iter().zip(numbers.iter()) {
                *lines.entry((source, line.unwrap())).or_default() += 1;
            }
        }
        lines
    }

    /// A number column of the flow logs, sorted.
    pub async fn numbers(&self, column: &str) -> Vec<i64> {
        let batches = self.batches("vpc_flow").await;
        let mut numbers: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch[column].as_primitive::<Int64Type>().values().to_vec())
            .collect();
        numbers.sort();
        numbers
    }

    /// What the files of a table hold: read as files, not by our own reader of lakes.
    pub async fn batches(&self, table: &str) -> Vec<RecordBatch> {
        let Some(snapshot) = self.lake().snapshot(table).await.unwrap() else {
            return Vec::new();
        };
        let root = self.folder.path().join("lake").join(table);
        let mut batches = Vec::new();
        for file in snapshot.files.iter() {
            let file = std::fs::File::open(root.join(&file.path)).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)
                .unwrap()
                .build()
                .unwrap();
            batches.extend(reader.map(|batch| batch.unwrap()));
        }
        batches
    }

    /// Every line of the objects of [`Self::put_flows`] is there once: as a row, or as a reject.
    pub async fn check_flows(&self, prefix: &str, keys: &[String]) {
        let (mut rows, mut rejects) = (Lines::new(), Lines::new());
        for key in keys {
            let name = format!("{prefix}{key}");
            rows.extend((2..=7).map(|line| ((name.clone(), line), 1)));
            rejects.insert((name, 8), 1);
        }
        assert_same(&self.lines("vpc_flow").await, &rows, "rows");
        assert_same(&self.lines("rejects").await, &rejects, "rejects");
    }

    /// Waits until the lake has as many rows of flow logs.
    pub async fn wait_for(&self, rows: usize, at_most: Duration) {
        let began = Instant::now();
        while self.lines("vpc_flow").await.len() < rows {
            assert!(
                began.elapsed() < at_most,
                "{rows} rows are not there after {at_most:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A column of text, none of which is NULL.
pub fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = cast(&batch[column], &DataType::Utf8).unwrap();
    let texts = column.as_string::<i32>().iter();
    texts.map(|text| text.unwrap().to_owned()).collect()
}

/// Names the first lines that are missing, doubled or too much.
pub fn assert_same(found: &Lines, expected: &Lines, what: &str) {
    let of = |lines: &Lines, key: &(String, i64)| lines.get(key).copied().unwrap_or(0);
    let wrong: Vec<String> = expected
        .keys()
        .chain(found.keys())
        .filter(|key| of(found, key) != of(expected, key))
        .take(5)
        .map(|key| format!("{key:?}: {} in place of {}", of(found, key), of(expected, key)))
        .collect();
    assert!(wrong.is_empty(), "{what}: {wrong:?}");
    assert_eq!(found.len(), expected.len(), "{what}");
}

/// A flow log object: `count` records of which each is another one, and a line that is none.
pub fn flows(number: usize, count: usize) -> String {
    let mut text = format!("{HEADER}\n");
    for line in 0..count {
        let start = 1_793_491_200 + number * 60 + line;
        text.push_str(&format!(
            "2 111122223333 eni-{number:05} 10.0.0.1 10.0.0.2 {} 443 6 1 {} {start} {} ACCEPT OK\n",
            line % 60_000,
            number * 1_000_000 + line,
            start + 59
        ));
    }
    text.push_str(&format!("2 object {number} has no record here\n"));
    text
}

/// Options for tests: quick, and at the servers of the test.
pub fn options(url: &str) -> SourceOptions {
    trailhound_test_aws::credentials();
    SourceOptions {
        endpoint_url: Some(url.to_owned()),
        poll: Duration::from_millis(50),
        patience: Duration::from_secs(30),
        wait: Duration::from_secs(2),
        rate: Some(500.0),
        ..SourceOptions::default()
    }
}

/// Settings by which a few objects already make several batches.
pub fn small_batches() -> Settings {
    Settings {
        table: Some("vpc_flow"),
        objects_at_once: 3,
        batch_rows_max: 50,
        attempt_wait: Duration::from_millis(20),
        ..Settings::default()
    }
}

/// What S3 tells a queue of an object.
pub fn notice(key: &str, tag: Option<&str>) -> String {
    let mut object = json!({"key": key, "size": 1});
    if let Some(tag) = tag {
        object["eTag"] = Value::from(tag);
    }
    let record = json!({"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
        "eventTime": "2026-11-20T07:05:09.123Z", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "logs"}, "object": object}});
    json!({"Records": [record]}).to_string()
}

/// Whether a file is below a folder.
pub fn has_files(folder: &Path) -> bool {
    folder
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
}
