//! What can go wrong with rules and their evaluation, and where.

use std::fmt;

/// An error of this crate: its kind, the file and line it is about, and the reason in words.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    file: Option<String>,
    line: Option<usize>,
    reason: String,
}

/// Kinds of [`Error`], for whoever picks the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A rule, its page or the catalogue is wrong: whoever wrote it must act.
    Rule,
    /// A rule file or folder could not be read, or a temporary file not written.
    Io,
    /// The query engine failed while it ran a rule.
    Query,
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A rule is wrong in `file` at `line`, counted from 1.
    pub fn rule(file: &str, line: usize, reason: impl fmt::Display) -> Self {
        Error {
            kind: ErrorKind::Rule,
            file: Some(file.to_owned()),
            line: Some(line),
            reason: reason.to_string(),
        }
    }

    /// The collection of rules is wrong as a whole.
    pub fn catalog(reason: impl fmt::Display) -> Self {
        Error {
            kind: ErrorKind::Rule,
            file: None,
            line: None,
            reason: reason.to_string(),
        }
    }

    /// Reading or writing `file` failed.
    pub fn io(file: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Error {
            kind: ErrorKind::Io,
            file: Some(file.to_string()),
            line: None,
            reason: reason.to_string(),
        }
    }

    /// Running the rule of `file` failed.
    pub fn query(file: &str, reason: impl fmt::Display) -> Self {
        Error {
            kind: ErrorKind::Query,
            file: Some(file.to_owned()),
            line: None,
            reason: reason.to_string(),
        }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file that it is about.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line in [`Self::file`], counted from 1.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            write!(f, " ")?;
        }
        write!(f, "{}", self.reason)
    }
}

impl std::error::Error for Error {}
