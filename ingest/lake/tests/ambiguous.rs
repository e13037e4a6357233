//! Commits against a store that lands them and answers with an error, or does
//! not land them and says that they are there.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use trailhound_lake::{Lake, Retry, Txn};
use url::Url;

use crate::common::{adds, file, spec};

/// A store whose answers to commits cannot be trusted.
#[derive(Debug)]
struct Unsure {
    inner: InMemory,
    random: AtomicU64,
    /// Errors of puts that landed, and of those that did not.
    landed: AtomicU64,
    not_landed: AtomicU64,
    /// Reads that failed.
    unread: AtomicU64,
}

impl Unsure {
    fn new(seed: u64) -> Self {
        Unsure {
            inner: InMemory::new(),
            random: AtomicU64::new(seed),
            landed: AtomicU64::new(0),
            not_landed: AtomicU64::new(0),
            unread: AtomicU64::new(0),
        }
    }

    /// The next number of a fixed sequence (SplitMix64).
    fn random(&self) -> u64 {
        let mut z = self
            .random
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
            .wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

fn generic(text: &str) -> Error {
    Error::Generic {
        store: "Unsure",
        source: text.to_owned().into(),
    }
}

fn is_commit(path: &Path) -> bool {
    path.as_ref().contains("_delta_log/") && path.as_ref().ends_with(".json")
}

impl fmt::Display for Unsure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsure")
    }
}

#[async_trait]
impl ObjectStore for Unsure {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let answer = match is_commit(location) {
            true => self.random() % 10,
            false => 9,
        };
        if answer < 3 {
            let landed = self.inner.put_opts(location, payload, opts).await;
            self.landed
                .fetch_add(u64::from(landed.is_ok()), Ordering::Relaxed);
            return Err(match answer {
                0 => generic("500 Internal Server Error"),
                1 => generic("operation timed out"),
                // The retry of a client library that met its own file: 412.
                _ => Error::AlreadyExists {
                    path: location.to_string(),
                    source: "412 Precondition Failed".into(),
                },
            });
        }
        if answer < 6 {
            self.not_landed.fetch_add(1, Ordering::Relaxed);
            return Err(match answer {
                3 => generic("503 Slow Down"),
                4 => generic("connection reset"),
                // Two conditional puts at once: 409, and neither may be there.
                _ => Error::AlreadyExists {
                    path: location.to_string(),
                    source: "409 Conflict".into(),
                },
            });
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if is_commit(location) && self.random().is_multiple_of(2000) {
            self.unread.fetch_add(1, Ordering::Relaxed);
            return Err(generic("500 Internal Server Error"));
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// What is to happen when a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// As trailhound does.
    Ours,
    /// Planted: commits again, under a new number.
    Again,
    /// Planted: takes "exists already" for its own commit.
    Believes,
}

/// What is in the table and should not be, or the other way round.
#[derive(Debug, PartialEq, Eq)]
struct Faults {
    lost: usize,
    doubled: usize,
}

/// `commits` by four workers on two lakes over one store, each of one file.
async fn run(caller: Caller, commits: usize, seed: u64) -> Faults {
    const WORKERS: usize = 4;
    let store = Arc::new(Unsure::new(seed));
    let root = Url::parse("memory:///lake/").unwrap();
    let patience = Retry {
        give_up_after: match caller {
            Caller::Ours => Duration::from_secs(600),
            _ => Duration::ZERO,
        },
        first_wait: Duration::from_micros(200),
        longest_wait: Duration::from_millis(2),
    };
    // Two lakes: as from two processes, which share no lock.
    let lakes: Vec<Lake> = (0..2)
        .map(|_| Lake::new(root.clone(), Arc::clone(&store) as Arc<dyn ObjectStore>).with_retry(patience))
        .collect();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let lake = lakes[worker % 2].clone();
            tokio::spawn(async move {
                let spec = spec("vpc_flow");
                let mut number = 0;
                for commit in (worker..commits).step_by(WORKERS) {
                    let files = [file(&format!("part-{commit:06}"), 1)];
                    loop {
                        number += 1;
                        let txn = Txn {
                            app_id: format!("trailhound/test/{worker}"),
                            version: number,
                        };
                        match lake.append(&spec, &files, &txn).await {
                            Ok(_) => break,
                            Err(error)
                                if caller == Caller::Believes
                                    && error.message().contains("existing table version") =>
                            {
                                break;
                            }
                            Err(_) if caller != Caller::Ours => {}
                            Err(error) => panic!("commit {commit}: {error}"),
                        }
                    }
                    if commit % 200 == 199 && caller == Caller::Ours {
                        // A read can fail here too; the next one comes soon.
                        let _ = lake.checkpoint("vpc_flow").await;
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let table = Path::from("lake/vpc_flow");
    let adds = adds(&store.inner, &table).await;
    let plain = Lake::new(root, Arc::new(store.inner.fork()));
    let shown = plain.snapshot("vpc_flow").await.unwrap().unwrap();
    if caller == Caller::Ours {
        assert_eq!(shown.files.len(), adds.len());
    }
    eprintln!(
        "{caller:?}: {commits} commits, version {}; errors of puts: {} landed, {} not; reads failed: {}",
        shown.version,
        store.landed.load(Ordering::Relaxed),
        store.not_landed.load(Ordering::Relaxed),
        store.unread.load(Ordering::Relaxed),
    );
    Faults {
        lost: commits - adds.len(),
        doubled: adds.values().filter(|&&count| count > 1).count(),
    }
}

fn commits() -> usize {
    std::env::var("TRAILHOUND_COMMITS").map_or(500, |commits| commits.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commit_is_lost_or_doubled() {
    assert_eq!(
        run(Caller::Ours, commits(), 1).await,
        Faults { lost: 0, doubled: 0 }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_harness_sees_doubled_commits() {
    let faults = run(Caller::Again, 100, 2).await;
    assert!(faults.doubled > 0, "{faults:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_harness_sees_lost_commits() {
    let faults = run(Caller::Believes, 100, 3).await;
    assert!(faults.lost > 0, "{faults:?}");
}
