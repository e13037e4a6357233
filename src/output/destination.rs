//! Where a result goes: standard output, a pager, or a file that gets its name
//! only once it is complete.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use super::pager::Pager;
use crate::text::visible;

/// Where a result goes.
pub struct Destination {
    to: To,
    before_first: Option<Box<dyn FnOnce() + Send>>,
    has_shown: bool,
}

enum To {
    Stdout {
        /// Whether it was redirected to a file: nobody sees it then.
        is_file: bool,
    },
    Pager(Pager),
    /// Written under another name in the same folder, then renamed.
    File {
        file: NamedTempFile,
        path: PathBuf,
    },
    /// A device or a named pipe: there is nothing to rename.
    Device(File),
}

impl Destination {
    fn new(to: To) -> Self {
        Destination {
            to,
            before_first: None,
            has_shown: false,
        }
    }

    /// Standard output.
    pub fn stdout() -> Self {
        Destination::new(To::Stdout {
            is_file: stdout_is_file(),
        })
    }

    /// A pager, which stays out of the way of what fits the window.
    pub fn pager(pager: Pager) -> Self {
        Destination::new(To::Pager(pager))
    }

    /// A file. What was there stays until [`Self::commit`].
    ///
    /// # Errors
    /// The folder does not exist or cannot be written to.
    pub fn file(path: &Path) -> Result<Self> {
        let shown = path.to_string_lossy();
        let shown = visible(&shown);
        let found = std::fs::metadata(path).ok();
        if found.as_ref().is_some_and(|found| found.is_dir()) {
            bail!("cannot write to {shown}: it is a folder");
        }
        let cannot = || format!("cannot write to {shown}");
        let to = if found.is_some_and(|found| !found.is_file()) {
            To::Device(OpenOptions::new().write(true).open(path).with_context(cannot)?)
        } else {
            // Through a link, so that the rename replaces the file and not the link.
            let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
            let name = path
                .file_name()
                .with_context(|| format!("cannot write to {shown}: it names no file"))?;
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            let prefix = format!(".{}.part-", name.to_string_lossy());
            let mut builder = tempfile::Builder::new();
            builder.prefix(&prefix);
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                // As any new file, less the umask: temporary ones are private otherwise.
                builder.permissions(std::fs::Permissions::from_mode(0o666));
            }
            To::File {
                file: builder.tempfile_in(folder).with_context(cannot)?,
                path,
            }
        };
        Ok(Destination::new(to))
    }

    /// Calls `then` before the first byte becomes visible, if any ever does:
    /// progress must be gone by then.
    pub fn before_first(&mut self, then: impl FnOnce() + Send + 'static) {
        self.before_first = Some(Box::new(then));
    }

    /// Whether anything was written, other than what a pager holds back.
    pub fn has_shown(&self) -> bool {
        self.has_shown
    }

    /// Whether it is a file, which does not exist until [`Self::commit`].
    pub fn is_file(&self) -> bool {
        matches!(self.to, To::File { .. })
    }

    /// Whether a person reads it as it comes.
    pub fn is_terminal(&self) -> bool {
        match &self.to {
            To::Stdout { .. } => io::stdout().is_terminal(),
            To::Pager(_) => true,
            To::File { .. } | To::Device(_) => false,
        }
    }

    /// Ends the output: the file gets its name, the pager its time.
    ///
    /// # Errors
    /// The file cannot be renamed, or what was held back cannot be written.
    pub fn commit(mut self) -> Result<()> {
        match self.to {
            To::Stdout { .. } => io::stdout().flush()?,
            To::Pager(pager) => {
                if let Some(before_first) = self.before_first.take() {
                    before_first();
                }
                pager.finish()?;
            }
            To::File { mut file, path } => {
                let cannot = || format!("cannot write to {}", visible(&path.to_string_lossy()));
                file.flush().with_context(cannot)?;
                file.persist(&path)
                    .map_err(|error| error.error)
                    .with_context(cannot)?;
            }
            To::Device(mut file) => file.flush()?,
        }
        Ok(())
    }
}

#[cfg(unix)]
fn stdout_is_file() -> bool {
    use std::os::fd::AsFd;
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    stdout
        .and_then(|stdout| stdout.metadata())
        .is_ok_and(|metadata| metadata.is_file())
}

#[cfg(not(unix))]
fn stdout_is_file() -> bool {
    false
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let on_screen = match &self.to {
            To::Stdout { is_file } => !is_file,
            To::Pager(pager) => pager.shows_with(bytes),
            To::File { .. } | To::Device(_) => false,
        };
        if on_screen && let Some(before_first) = self.before_first.take() {
            before_first();
        }
        self.has_shown |= on_screen || !matches!(self.to, To::Pager(_));
        match &mut self.to {
            To::Stdout { .. } => io::stdout().write(bytes),
            To::Pager(pager) => pager.write(bytes),
            To::File { file, .. } => file.write(bytes),
            To::Device(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Stdout { .. } => io::stdout().flush(),
            To::Pager(pager) => pager.flush(),
            To::File { file, .. } => file.flush(),
            To::Device(file) => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_file_appears_only_when_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        std::fs::write(&path, "old").unwrap();
        let mut destination = Destination::file(&path).unwrap();
        destination.write_all(b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        drop(destination);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["out.csv"]);

        let mut destination = Destination::file(&path).unwrap();
        destination.write_all(b"new").unwrap();
        destination.commit().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["out.csv"]);
    }

    #[test]
    fn what_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| {
            Destination::file(path)
                .err()
                .map(|error| format!("{error:#}"))
                .unwrap_or_default()
        };
        assert!(refused(folder.path()).contains("it is a folder"));
        assert!(refused(&folder.path().join("no/such/out.csv")).contains("No such file"));
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_links_stay_what_they_are() {
        use std::os::unix::fs::FileTypeExt;
        let mut destination = Destination::file(Path::new("/dev/null")).unwrap();
        destination.write_all(b"x").unwrap();
        destination.commit().unwrap();
        assert!(
            std::fs::metadata("/dev/null")
                .unwrap()
                .file_type()
                .is_char_device()
        );

        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.csv"), folder.path().join("link.csv"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut destination = Destination::file(&link).unwrap();
        destination.write_all(b"new").unwrap();
        destination.commit().unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
    }
}
