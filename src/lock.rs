//! Locks that make sure that a thing is done once at a time. The system frees them when the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use anyhow::{Context, Result};

use crate::failure::Failure;

/// Takes the lock of a file, and makes file and folder if they are not there. `what` is done under it.
///
/// # Errors
/// Somebody has it, or the file cannot be made.
pub fn take(path: &Path, what: &str) -> Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: making the folder of the lock", folder.display()))?;
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("{}: opening the lock", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let failure = Failure::wrong_use(format!("{}: another {what} is under way", path.display()));
            Err(failure
                .with_help("wait for it; if it does not run any more, its lock is free by itself")
                .into())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{}: taking the lock", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/on/the/way.lock");
        let first = take(&path, "build").unwrap();
        let error = take(&path, "build").unwrap_err();
        assert!(
            error.to_string().contains("another build is under way"),
            "{error}"
        );
        drop(first);
        take(&path, "build").unwrap();
    }
}
