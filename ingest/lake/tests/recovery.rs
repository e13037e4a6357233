//! Stops at each step, and what the next start makes of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path as FsPath;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use trailhound_lake::failpoint::{STEPS, VARIABLE, reach};
use trailhound_lake::{DataFile, Intent, Lake, Recovered, Settlement, State, TableSpec, publish, recover};

use crate::common::{contents, put, spec};

const SOURCE: &str = "test://source";
const FOLDER: &str = "TRAILHOUND_TEST_FOLDER";

fn open(folder: &FsPath) -> (Lake, Arc<State>) {
    let lake = Lake::local(&folder.join("lake")).unwrap();
    (lake, Arc::new(open_state(&folder.join("state"))))
}

/// A state that was closed a moment ago. A process that another test starts
/// holds all locks of this one until it has become another program.
fn open_state(folder: &FsPath) -> State {
    let mut tries = 0;
    loop {
        match State::open(folder) {
            Ok(state) => return state,
            Err(error) if tries == 200 || !error.message().contains("uses this state") => panic!("{error}"),
            Err(_) => tries += 1,
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn settlement(object: &str) -> Settlement {
    Settlement {
        takes: vec![(object.to_owned(), "1".to_owned())],
        position: Some(format!("after {object}")),
        recent: vec![(object.to_owned(), 7)],
        forget_before: None,
    }
}

async fn write(lake: &Lake, object: &str) -> Vec<(TableSpec, Vec<DataFile>)> {
    let name = format!("part-{}", uuid::Uuid::new_v4());
    vec![
        (
            spec("vpc_flow"),
            vec![put(lake, "vpc_flow", &name, &format!("rows of {object}")).await],
        ),
        (
            spec("rejects"),
            vec![put(lake, "rejects", &name, &format!("rejects of {object}")).await],
        ),
    ]
}

/// Takes `object` as the pipeline does, unless it is taken.
async fn take(lake: &Lake, state: &Arc<State>, object: &str) {
    if state.is_taken(object, "1").unwrap() {
        return;
    }
    let intent = state.begin(SOURCE).unwrap();
    reach("intent-begun");
    let tables = write(lake, object).await;
    reach("files-written");
    publish(lake, state, intent, tables, settlement(object))
        .await
        .unwrap();
    reach("settled");
}

/// After a start and another read of the source, `a` and `b` are there once.
async fn goes_on(folder: &FsPath) -> Recovered {
    let (lake, state) = open(folder);
    let recovered = recover(&lake, &state, SOURCE).await.unwrap();
    assert_eq!(state.pending(SOURCE).unwrap(), vec![]);
    take(&lake, &state, "a").await;
    take(&lake, &state, "b").await;
    for (table, what) in [("vpc_flow", "rows"), ("rejects", "rejects")] {
        let expected: BTreeMap<String, usize> =
            ["a", "b"].map(|object| (format!("{what} of {object}"), 1)).into();
        assert_eq!(contents(&lake, table).await, expected);
    }
    let resumed = state.resume(SOURCE).unwrap();
    assert_eq!(resumed.position.as_deref(), Some("after b"));
    assert_eq!(resumed.recent, [("a".to_owned(), 7), ("b".to_owned(), 7)]);
    recovered
}

/// Not a test by itself: the process that dies in `every_step_of_a_real_process`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dying_child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let (lake, state) = open(FsPath::new(&folder));
    take(&lake, &state, "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_a_real_process() {
    let steps = STEPS
        .iter()
        .map(|step| (*step).to_owned())
        .chain(["commit-landed:2".to_owned()]);
    for step in steps {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "recovery::dying_child"])
            .env(FOLDER, folder.path())
            .env(VARIABLE, &step)
            .output()
            .unwrap();
        assert!(!child.status.success(), "{step}: {child:?}");
        let recovered = goes_on(folder.path()).await;
        let found = (recovered.landed, recovered.committed, recovered.abandoned);
        let expected = match step.as_str() {
            "intent-begun" | "files-written" => (0, 0, 1),
            // The two tables are committed at the same time: the second may be there or not.
            "commit-landed" => {
                assert!(found == (0, 1, 0) || found == (1, 0, 0), "{step}: {found:?}");
                continue;
            }
            "intent-prepared" => (0, 1, 0),
            "commit-landed:2" | "commits-done" => (1, 0, 0),
            _ => (0, 0, 0),
        };
        assert_eq!(found, expected, "{step}");
        assert!(!recovered.behind);
    }
}

/// Polls `future` at most `polls` times. Returns whether it came to its end.
async fn poll_for(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_at_every_wait() {
    let mut polls = 1;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let (lake, state) = open(folder.path());
        let done = poll_for(polls, take(&lake, &state, "a")).await;
        // What runs in another thread goes on after the drop.
        while Arc::strong_count(&state) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop((lake, state));
        goes_on(folder.path()).await;
        if done {
            break;
        }
        polls += 1;
    }
    assert!(polls > 10, "only {polls} places to drop it at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_file_is_never_committed() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, state) = open(folder.path());
    let intent = state.begin(SOURCE).unwrap();
    let tables = write(&lake, "a").await;
    let named: Vec<_> = tables
        .iter()
        .map(|(spec, files)| (spec.name.to_owned(), files.clone()))
        .collect();
    state.prepare(&intent, &named, &settlement("a")).unwrap();
    std::fs::remove_file(folder.path().join("lake/vpc_flow").join(&named[0].1[0].path)).unwrap();
    let error = recover(&lake, &state, SOURCE).await.unwrap_err();
    assert!(error.message().contains("it is gone"), "{error}");
    assert_eq!(
        lake.snapshot("vpc_flow")
            .await
            .unwrap()
            .map(|snapshot| snapshot.version),
        None
    );
    assert_eq!(state.pending(SOURCE).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_from_a_backup_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, state) = open(folder.path());
    drop(state);
    // The backup: before anything was taken.
    let backup = folder.path().join("backup");
    std::fs::create_dir(&backup).unwrap();
    for name in ["ingest.sqlite", "ingest.sqlite-wal"] {
        let from = folder.path().join("state").join(name);
        if from.exists() {
            std::fs::copy(from, backup.join(name)).unwrap();
        }
    }
    let (_, state) = open(folder.path());
    take(&lake, &state, "a").await;
    drop(state);
    let state = Arc::new(State::open(&backup).unwrap());
    assert!(recover(&lake, &state, SOURCE).await.unwrap().behind);
    take(&lake, &state, "b").await;
    assert_eq!(contents(&lake, "vpc_flow").await.get("rows of b"), Some(&1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_on_one_lake() {
    let folder = tempfile::tempdir().unwrap();
    let workers: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|worker| {
            let path = folder.path().to_owned();
            tokio::spawn(async move {
                let lake = Lake::local(&path.join("lake")).unwrap();
                let state = Arc::new(State::open(&path.join(worker)).unwrap());
                for number in 0..10 {
                    take(&lake, &state, &format!("{worker} {number}")).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let lake = Lake::open_local(&folder.path().join("lake")).unwrap();
    let found = contents(&lake, "vpc_flow").await;
    assert_eq!(found.len(), 20);
    assert!(found.values().all(|&count| count == 1), "{found:?}");
}

#[test]
fn one_state_one_instance() {
    let folder = tempfile::tempdir().unwrap();
    let first = State::open(folder.path()).unwrap();
    let error = State::open(folder.path()).unwrap_err();
    assert!(
        error
            .message()
            .contains(&format!("the process {} uses this state", std::process::id())),
        "{error}"
    );
    let worker = first.worker().to_owned();
    drop(first);
    assert_eq!(open_state(folder.path()).worker(), worker);
}

#[test]
fn a_newer_state_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(State::open(folder.path()).unwrap());
    rusqlite::Connection::open(folder.path().join("ingest.sqlite"))
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = loop {
        match State::open(folder.path()).unwrap_err() {
            // See `open_state`.
            error if error.message().contains("uses this state") => std::thread::yield_now(),
            error => break error,
        }
    };
    assert!(
        error
            .message()
            .contains("a newer trailhound wrote this state (version 99"),
        "{error}"
    );
}

#[test]
fn one_prepared_batch_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    let begin = |source: &str| -> Intent { state.begin(source).unwrap() };
    let (first, second, other) = (begin("s"), begin("s"), begin("t"));
    let none = Settlement::default();
    let prepared = state.prepare(&first, &[], &none).unwrap();
    state.prepare(&second, &[], &none).unwrap_err();
    state.prepare(&other, &[], &none).unwrap();
    state.finish(&prepared).unwrap();
    state.finish(&prepared).unwrap();
    assert_eq!(
        state.prepare(&second, &[], &none).unwrap().txn.version,
        prepared.txn.version + 1
    );
}

#[test]
fn sources_forget_what_they_ask_to() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    for (recent, forget_before) in [(vec![("x", 1), ("y", 2)], None), (vec![("z", 3)], Some(2))] {
        let intent = state.begin("s").unwrap();
        let settlement = Settlement {
            recent: recent
                .into_iter()
                .map(|(key, time)| (key.to_owned(), time))
                .collect(),
            forget_before,
            ..Settlement::default()
        };
        let prepared = state.prepare(&intent, &[], &settlement).unwrap();
        state.finish(&prepared).unwrap();
    }
    let resumed = state.resume("s").unwrap();
    assert_eq!(resumed.recent, [("y".to_owned(), 2), ("z".to_owned(), 3)]);
    assert_eq!(resumed.position, None);
    assert_eq!(state.resume("t").unwrap().recent, []);
}
