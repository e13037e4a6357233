//! A lake that is slow holds up the source; a source that is quiet still shows its rows.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::sync::watch;
use trailhound_lake::{Durable, Lake, WriterSettings};
use trailhound_pipeline::Settings;
use trailhound_sources::SourceOptions;

use crate::stand_in::{AsSource, Gated, StandIn};
use crate::yard::{Yard, flows, has_files, small_batches};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lake_that_stands_still_stops_the_source() {
    for objects_at_once in [1, 3] {
        let yard = Yard::new();
        let keys = yard.put_flows(60);
        let folder = yard.buckets().join("logs").display().to_string();
        let (open, gate) = watch::channel(false);
        let root = yard.lake().root().clone();
        let lake = Lake::new(root, Arc::new(Gated::new(Arc::new(Durable::new()), gate)));
        let state = yard.state();
        let stand_in = StandIn::new(yard.open(&state, &folder, &SourceOptions::default()).await);
        let settings = Settings {
            objects_at_once,
            batch_rows_max: 1 << 20,
            // Two objects fill a run.
            writer: WriterSettings {
                run_rows_max: 12,
                ..WriterSettings::default()
            },
            ..small_batches()
        };
        let running = yard.start(Arc::new(AsSource(stand_in.clone())), state, lake, settings);
        // It goes on until nothing moves any more.
        let mut before = usize::MAX;
        while stand_in.handed_out.load(SeqCst) != before {
            before = stand_in.handed_out.load(SeqCst);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        // One run is being written and one is full: 4 objects. The feed holds 4 and hands one on.
        let most = 4 + objects_at_once + 5;
        assert!((4..=most).contains(&before), "{before} handed out");
        open.send(true).unwrap();
        running.end().await;
        yard.check_flows(&format!("{folder}/"), &keys).await;
        assert_eq!(stand_in.open.most.load(SeqCst), objects_at_once);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_source_shows_its_rows() {
    let yard = Yard::new();
    let folder = yard.buckets().join("logs").display().to_string();
    let options = SourceOptions {
        follow: true,
        poll: Duration::from_millis(50),
        ..SourceOptions::default()
    };
    let state = yard.state();
    let source = yard.open(&state, &folder, &options).await;
    let settings = Settings {
        batch_rows_max: 1 << 20,
        batch_age_max: Duration::from_secs(600),
        quiet_age_max: Duration::from_millis(300),
        ..small_batches()
    };
    let running = yard.start(source, state, yard.lake(), settings);
    for number in 0..3 {
        yard.put(&format!("{number:04}.log"), flows(number, 6));
        yard.wait_for(6 * (number + 1), Duration::from_secs(30)).await;
    }
    assert_eq!(running.stop().await.commits, 3);
    assert!(has_files(&yard.folder.path().join("lake/vpc_flow")));
}
