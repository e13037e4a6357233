//! Where things are written: file names, gzip, and times as text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::DateTime;

use crate::deflate::gzip;

/// Counts what it writes below one folder.
#[derive(Debug)]
pub(crate) struct Output {
    root: PathBuf,
    pub files: u64,
    pub bytes: u64,
}

impl Output {
    pub fn new(root: &Path) -> Output {
        Output {
            root: root.to_path_buf(),
            files: 0,
            bytes: 0,
        }
    }

    /// Writes one object, compressed.
    pub fn put_gzip(&mut self, key: &str, text: &[u8]) -> io::Result<()> {
        self.put(key, &gzip(text))
    }

    /// Writes one object. `key` is an S3 key: `/` separates.
    pub fn put(&mut self, key: &str, body: &[u8]) -> io::Result<()> {
        let path = self.root.join(key);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, body)?;
        self.files += 1;
        self.bytes += body.len() as u64;
        Ok(())
    }
}

/// `2026-11-17T15:04:05Z`
pub(crate) fn iso(seconds: i64) -> String {
    format(seconds, "%Y-%m-%dT%H:%M:%SZ")
}

/// `2026-11-17T15:04:05.123Z`, as in the details of ECS events.
pub(crate) fn iso_ms(seconds: i64, ms: u64) -> String {
    format!("{}.{ms:03}Z", format(seconds, "%Y-%m-%dT%H:%M:%S"))
}

/// `20261117T1504Z`, as in the names of log files.
pub(crate) fn compact(seconds: i64) -> String {
    format(seconds, "%Y%m%dT%H%MZ")
}

/// `2026/11/17`, as in the folders of log files.
pub(crate) fn day(seconds: i64) -> String {
    format(seconds, "%Y/%m/%d")
}

/// Times by a `strftime` pattern.
pub(crate) fn format(seconds: i64, pattern: &str) -> String {
    DateTime::from_timestamp(seconds, 0)
        .unwrap_or_default()
        .format(pattern)
        .to_string()
}
