//! House rules that a compiler does not know.

use std::path::{Path, PathBuf};

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in [
        "src",
        "ingest",
        "query",
        "detections",
        "benches",
        "tests",
        "examples",
    ] {
        walk(&root.join(folder), &mut files);
    }
    assert!(files.len() > 50, "the walk finds the sources");
    files
}

/// A newcomer reads the first line of a file first.
#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|path| {
            !std::fs::read_to_string(path)
                .unwrap()
                .trim_start()
                .starts_with("//!")
        })
        .collect();
    assert!(
        silent.is_empty(),
        "these files do not begin with a //! line: {silent:?}"
    );
}

/// What is longer than this has more than one purpose.
#[test]
fn no_file_is_a_maze() {
    const LINES_MAX: usize = 1200;
    let long: Vec<_> = sources()
        .into_iter()
        .map(|path| (std::fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .collect();
    assert!(
        long.is_empty(),
        "these files have more than {LINES_MAX} lines: {long:?}"
    );
}

/// One Arrow: two in the lock file cannot exchange batches.
#[test]
fn there_is_one_arrow() {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    for package in ["arrow", "parquet", "datafusion", "object_store"] {
        assert_eq!(
            lock.matches(&format!("name = \"{package}\"\n")).count(),
            1,
            "{package} in Cargo.lock"
        );
    }
}

/// Dependencies point against the data: src -> detections -> query -> ingest.
#[test]
fn layers_point_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = |member: &str| std::fs::read_to_string(root.join(member).join("Cargo.toml")).unwrap();
    for (member, forbidden) in [
        (
            "ingest",
            &["trailhound-query", "trailhound-detections", "datafusion", "tokio"][..],
        ),
        ("ingest/lake", &["datafusion", "trailhound-sources", "aws-sdk-s3"][..]),
        ("ingest/sources", &["datafusion", "trailhound-lake"][..]),
        ("ingest/pipeline", &["datafusion", "aws-sdk-s3"][..]),
        ("query", &["trailhound-detections", "trailhound-sources", "trailhound-pipeline"][..]),
    ] {
        let manifest = manifest(member);
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        for name in forbidden {
            assert!(
                !dependencies.contains(&format!("{name}.workspace")),
                "{member} must not depend on {name}"
            );
        }
    }
}

/// Unfinished work is said in the open, not in the code.
#[test]
fn nothing_is_left_to_do() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        for mark in marks {
            assert!(!text.contains(mark), "{} holds {mark}", path.display());
        }
    }
}
