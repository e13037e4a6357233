//! What went wrong, in words that help to mend it: shared by all crates above.

/// Who can do something about an error; it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The SQL, a path, or a setting is wrong.
    WrongUse,
    /// A file, bucket or server could not be reached.
    Unreachable,
    /// More memory or time was needed than was given.
    Limit,
    /// Anything else that failed on the way.
    Failed,
}

/// A place in the SQL text, or in a filter pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Characters that the place is long, at least 1.
    pub length: usize,
}

/// An error that people read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    span: Option<Span>,
    help: Option<String>,
}

impl Error {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            span: None,
            help: None,
        }
    }

    /// The caller asked for something that makes no sense.
    pub fn wrong_use(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::WrongUse, message)
    }

    /// Adds what to try.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds where in the text the reason stands, if that is known.
    #[must_use]
    pub fn with_span(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = span.into();
        self
    }

    /// Who can do something about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where in the SQL, if the error has a place there.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// What to try, such as "did you mean srcaddr?".
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}
