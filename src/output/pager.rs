//! A pager for what does not fit the window.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// Used where `$PAGER` says nothing: lines uncut, colours kept, nothing cleared.
const DEFAULT: &str = "less -SRFX";

/// Collects output until it is longer than the window, then hands it to a pager.
pub struct Pager {
    command: String,
    /// Lines that fit the window.
    lines_max: usize,
    lines: usize,
    held: Vec<u8>,
    child: Option<Child>,
    /// The pager could not be started: everything goes to standard output.
    passed_by: bool,
}

impl Pager {
    /// The pager that `$PAGER` names, for a window of so many lines; `None` if
    /// it names none.
    pub fn from_environment(window_lines: usize) -> Option<Self> {
        let command = match std::env::var("PAGER") {
            Ok(command) if command.trim().is_empty() || command.trim() == "cat" => return None,
            Ok(command) => command,
            Err(_) => DEFAULT.to_string(),
        };
        // Two lines for the prompt that follows.
        Some(Pager::new(command, window_lines.saturating_sub(2).max(1)))
    }

    fn new(command: String, lines_max: usize) -> Self {
        Pager {
            command,
            lines_max,
            lines: 0,
            held: Vec::new(),
            child: None,
            passed_by: false,
        }
    }

    /// Whether writing `bytes` would put something on the screen.
    pub fn shows_with(&self, bytes: &[u8]) -> bool {
        self.is_open() || self.lines + count_lines(bytes) > self.lines_max
    }

    fn is_open(&self) -> bool {
        self.child.is_some() || self.passed_by
    }

    fn open(&mut self) -> io::Result<()> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            command.env("LESS", "SRFX");
        }
        match command.spawn() {
            Ok(child) => self.child = Some(child),
            Err(_) => self.passed_by = true,
        }
        let held = std::mem::take(&mut self.held);
        self.pass_on(&held)
    }

    fn pass_on(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.child.as_mut().and_then(|child| child.stdin.as_mut()) {
            Some(stdin) => stdin.write_all(bytes),
            None => io::stdout().write_all(bytes),
        }
    }

    /// Shows what is held and waits until the pager is left.
    ///
    /// # Errors
    /// What was held cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        let written = if held.is_empty() {
            Ok(())
        } else {
            self.pass_on(&held)
        };
        written.and_then(|()| io::stdout().flush())
        // Dropping waits for the pager.
    }
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_open() {
            self.pass_on(bytes)?;
        } else {
            self.held.extend_from_slice(bytes);
            self.lines += count_lines(bytes);
            if self.lines > self.lines_max {
                self.open()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.child.as_mut().and_then(|child| child.stdin.as_mut()) {
            Some(stdin) => stdin.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for Pager {
    /// The pager has the terminal until it ends: nobody may write before that.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_for_what_is_longer_than_the_window() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("paged");
        let command = format!("cat > {}", crate::text::shell_quote(&file.to_string_lossy()));
        let mut pager = Pager::new(command, 3);
        assert!(!pager.shows_with(b"1\n2\n3\n"));
        pager.write_all(b"1\n2\n3\n").unwrap();
        assert!(pager.child.is_none());
        assert!(pager.shows_with(b"4\n"));
        pager.write_all(b"4\n").unwrap();
        pager.write_all(b"5\n").unwrap();
        pager.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "1\n2\n3\n4\n5\n");
    }

    #[test]
    fn a_pager_that_is_left_early_is_a_closed_pipe() {
        let mut pager = Pager::new("exit 0".into(), 0);
        let line = [b'\n'; 1 << 16];
        let error = (0..100).find_map(|_| pager.write_all(&line).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
