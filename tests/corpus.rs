//! Nothing is silently lost: rows + rejects + passed = lines, on every file there is.
//!
//! `TRAILHOUND_CORPUS` names a folder of real logs to count too. Without it the
//! test says that it skipped them.

use std::path::{Path, PathBuf};

use trailhound_ingest::formats::{FORMATS, Setup};
use trailhound_ingest::reader::{Limits, read_all};

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, files)
        } else {
            files.push(path)
        }
    }
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut text = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes)
            .read_to_end(&mut text)
            .unwrap();
    } else {
        text.extend_from_slice(bytes);
    }
    text
}

/// Records in a flow log: lines, or the events of CloudWatch's JSON documents.
/// A control message counts as one, and so does what is no document.
fn flow_records(text: &[u8]) -> u64 {
    let lines = text.split(|&byte| byte == b'\n').count() as u64 - u64::from(text.ends_with(b"\n"));
    if !text.trim_ascii_start().starts_with(b"{") {
        return lines;
    }
    let documents = serde_json::Deserializer::from_slice(text).into_iter::<serde_json::Value>();
    let events = |document: &serde_json::Value| {
        let events = document.get("logEvents").or_else(|| document.get("events"));
        events
            .and_then(|events| events.as_array())
            .map_or(1, |events| events.len() as u64)
    };
    documents
        .map(|document| document.as_ref().map_or(1, events))
        .sum()
}

/// Reads a file with every format, in one block and in small ones.
fn count(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let mut lines = Vec::new();
    for format in FORMATS {
        let setup = Setup::whole(*format, &path.to_string_lossy());
        let read = |limits: Limits| read_all(format.parser(setup.clone()).unwrap(), limits, bytes.clone());
        let small = Limits {
            block_bytes: 4096,
            ..Limits::default()
        };
        match (read(Limits::default()), read(small)) {
            (Ok((batches, tally)), Ok((_, again))) => {
                let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
                assert_eq!(rows as u64, tally.rows, "{} as {}", path.display(), format.name());
                assert_eq!(
                    (tally.rows, tally.rejected, tally.passed),
                    (again.rows, again.rejected, again.passed),
                    "{} as {} in small blocks",
                    path.display(),
                    format.name()
                );
                if format.name() == "vpc_flow" {
                    assert_eq!(
                        tally.rows + tally.rejected + tally.passed,
                        flow_records(&inflated(&bytes)),
                        "{}",
                        path.display()
                    );
                }
                lines.push(format!(
                    "{}: {} rows, {} rejects",
                    format.name(),
                    tally.rows,
                    tally.rejected
                ));
            }
            (Err(_), Err(_)) => {}
            (one, other) => {
                let shown = |read: &Result<_, trailhound_ingest::formats::Refusal>| match read {
                    Ok(_) => "read".to_owned(),
                    Err(refusal) => format!("refused: {refusal}"),
                };
                panic!(
                    "{} as {}: {} whole, {} in small blocks",
                    path.display(),
                    format.name(),
                    shown(&one),
                    shown(&other)
                );
            }
        }
    }
    lines
}

#[test]
fn generated_logs_are_counted_to_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let estate = trailhound::scenario::Estate {
        hours: 12,
        services: 2,
        flows_per_service_hour: 20,
        calls_per_hour: 40,
        log_lines_per_service_hour: 40,
        intrusion: true,
        ..Default::default()
    };
    trailhound::scenario::write(&estate, folder.path()).unwrap();
    let mut files = Vec::new();
    files_below(folder.path(), &mut files);
    let read = files.iter().filter(|file| !count(file).is_empty()).count();
    assert!(read > 20, "{read} of {} files were read", files.len());
}

#[test]
fn a_corpus_is_counted_to_the_line() {
    let Some(folder) = std::env::var_os("TRAILHOUND_CORPUS") else {
        println!("skipped: TRAILHOUND_CORPUS names no folder of real logs");
        return;
    };
    let mut files = Vec::new();
    files_below(Path::new(&folder), &mut files);
    assert!(
        !files.is_empty(),
        "TRAILHOUND_CORPUS names a folder with files in it"
    );
    for file in files {
        println!("{}: {}", file.display(), count(&file).join("; "));
    }
}
