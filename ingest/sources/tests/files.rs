//! Files of this machine.

use std::time::Duration;

use trailhound_ingest::error::ErrorKind;
use trailhound_sources::{SourceOptions, is_gone};

use crate::servers::{all, error, names, next, opened, text};

fn options() -> SourceOptions {
    SourceOptions {
        poll: Duration::from_millis(50),
        ..SourceOptions::default()
    }
}

fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join("logs").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
    root
}

#[tokio::test]
async fn a_file_a_folder_and_patterns() {
    let root = folder(&[
        "a.log", "x/b.log", "x/y/c.gz", ".hidden", "x/d.tmp", "x/e.part", ".git/f",
    ]);
    // Links that lead back.
    std::os::unix::fs::symlink(root.path().join("logs"), root.path().join("logs/x/loop")).unwrap();
    std::os::unix::fs::symlink("/absent", root.path().join("logs/nowhere")).unwrap();
    let at = |path: &str| root.path().join("logs").join(path).display().to_string();
    for (address, expected) in [
        (at("a.log"), vec!["a.log"]),
        (at(""), vec!["a.log", "x/b.log", "x/y/c.gz"]),
        (at("*.log"), vec!["a.log"]),
        (at("x/**/*"), vec!["a.log", "x/b.log", "x/y/c.gz"]),
        (at("*/*.log"), vec!["x/b.log"]),
    ] {
        let found = all(&*opened(&address, &options()).await).await.unwrap();
        let mut texts: Vec<&str> = found.values().map(String::as_str).collect();
        texts.sort_unstable();
        assert_eq!(texts, expected, "{address}");
    }
}

#[tokio::test]
async fn new_and_changed_files_once_they_are_still() {
    let root = folder(&["a"]);
    let logs = root.path().join("logs");
    let source = opened(
        logs.to_str().unwrap(),
        &SourceOptions {
            follow: true,
            ..options()
        },
    )
    .await;
    let first = next(&*source).await.unwrap().unwrap();
    assert_eq!(text(&first).await.unwrap(), "a");
    let path = logs.join("b");
    let writer = std::thread::spawn(move || {
        for part in 0..20 {
            std::fs::write(&path, "x".repeat(part + 1)).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let second = next(&*source).await.unwrap().unwrap();
    assert_eq!(text(&second).await.unwrap(), "x".repeat(20));
    writer.join().unwrap();
    std::fs::write(logs.join("a"), "changed").unwrap();
    let third = next(&*source).await.unwrap().unwrap();
    assert_eq!(
        (&third.name, text(&third).await.unwrap().as_str()),
        (&first.name, "changed")
    );
    assert_ne!(third.version, first.version);
}

#[tokio::test]
async fn replaced_and_deleted_before_they_are_read() {
    let root = folder(&["a", "b"]);
    let logs = root.path().join("logs");
    let source = opened(logs.to_str().unwrap(), &options()).await;
    let (a, b) = (
        next(&*source).await.unwrap().unwrap(),
        next(&*source).await.unwrap().unwrap(),
    );
    std::fs::write(logs.join("a"), "other").unwrap();
    std::fs::remove_file(logs.join("b")).unwrap();
    assert_eq!(text(&a).await.unwrap(), "other");
    assert!(a.read_version.get().unwrap().starts_with("5-"));
    assert!(is_gone(&text(&b).await.unwrap_err()));
}

#[tokio::test]
async fn days_by_the_path() {
    let lane = "AWSLogs/111122223333/vpcflowlogs/eu-west-1/2026/11";
    let files: Vec<String> = (1..=5).map(|day| format!("{lane}/{day:02}/x.log.gz")).collect();
    let root = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let source = opened(
        root.path().to_str().unwrap(),
        &SourceOptions {
            since: Some("2026-11-02T00:00:00Z".parse().unwrap()),
            until: Some("2026-11-03T00:00:00Z".parse().unwrap()),
            ..options()
        },
    )
    .await;
    let found = names(&*source).await;
    assert_eq!(found.len(), 2);
    assert!(found[0].0.contains("/02/") && found[1].0.contains("/03/"));
}

#[tokio::test]
async fn what_is_not_there() {
    for (address, message) in [
        ("/absent/x.log", "cannot read /absent/x.log: No such file"),
        ("/absent/*.log", "no file matches /absent/*.log"),
    ] {
        let error = error(address, &options()).await;
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.message().starts_with(message), "{error}");
    }
}
