//! Errors as people see them: what is wrong, where in the SQL, what to try;
//! and the exit code that they end in.

use std::path::PathBuf;
use std::process::ExitCode;

use trailhound_query::{Error, ErrorKind, Span};

use crate::output::{is_broken_pipe, say};
use crate::text::{fit, visible, width};

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is done.
    Done = 0,
    /// Detections found something, with `--fail-on`.
    Findings = 1,
    /// The arguments, the SQL, the configuration or a rule is wrong.
    WrongUse = 2,
    /// Some input was rejected, with `--strict`.
    Rejected = 3,
    /// A source or a destination could not be reached.
    Unreachable = 4,
    /// Stopped by Ctrl-C: 128 and the number of the signal, as shells have it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error that knows its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong.
    pub message: String,
    /// What to try.
    pub help: Option<String>,
}

impl Failure {
    /// The caller asked for something that makes no sense.
    pub fn wrong_use(message: impl Into<String>) -> Self {
        Failure {
            exit: Exit::WrongUse,
            message: message.into(),
            help: None,
        }
    }

    /// Adds what to try.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A statement that failed, with its text, so that the place can be shown.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct StatementFailure {
    /// What is wrong.
    pub error: Error,
    /// The statement.
    pub sql: String,
    /// The file that it stands in.
    pub file: Option<PathBuf>,
    /// The line of the file that it begins on, counted from 1.
    pub first_line: usize,
}

/// Says what went wrong on standard error; the exit code is what is returned.
///
/// A reader that has had enough, as `head` does, is no failure.
pub fn report(error: &anyhow::Error) -> ExitCode {
    say_error(error).into()
}

/// As [`report`], for a command that goes on and ends in the worst of several codes.
pub fn say_error(error: &anyhow::Error) -> Exit {
    if error.chain().any(is_broken_pipe) {
        return Exit::Done;
    }
    let window = terminal_size::terminal_size().map_or(100, |(columns, _)| usize::from(columns.0));
    for line in lines(error, window) {
        say(&line);
    }
    exit_code(error)
}

/// What [`report`] says, for a window of so many columns.
pub fn lines(error: &anyhow::Error, window: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(failure) = error.downcast_ref::<StatementFailure>() {
        lines.push(format!("error: {}", visible(failure.error.message())));
        lines.extend(place(failure, window));
        lines.extend(failure.error.help().map(help));
    } else if let Some(error) = error.downcast_ref::<Error>() {
        lines.push(format!("error: {}", visible(error.message())));
        lines.extend(error.help().map(help));
    } else {
        // The causes in one line: what was being done, then why it failed.
        let mut causes: Vec<String> = Vec::new();
        for cause in error.chain() {
            let cause = cause.to_string();
            // Some errors repeat their cause in their own text.
            if !causes.last().is_some_and(|last| last.contains(&cause)) {
                causes.push(cause);
            }
        }
        lines.push(format!("error: {}", visible(&causes.join(": "))));
        lines.extend(
            error
                .downcast_ref::<Failure>()
                .and_then(|failure| failure.help.as_deref())
                .map(help),
        );
    }
    lines
}

fn help(text: &str) -> String {
    format!("  help: {}", visible(text))
}

/// The exit code that an error ends in.
pub fn exit_code(error: &anyhow::Error) -> Exit {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.exit;
    }
    let query_error = error
        .downcast_ref::<StatementFailure>()
        .map(|failure| &failure.error);
    if let Some(error) = query_error.or(error.downcast_ref::<Error>()) {
        return match error.kind() {
            ErrorKind::Unreachable => Exit::Unreachable,
            _ => Exit::WrongUse,
        };
    }
    if error.chain().any(|cause| cause.is::<std::io::Error>()) {
        return Exit::Unreachable;
    }
    Exit::WrongUse
}

/// The line of the SQL that an error is in, and a mark under the place.
fn place(failure: &StatementFailure, window: usize) -> Vec<String> {
    let Some(Span { line, column, length }) = failure.error.span() else {
        return in_file(failure, failure.first_line).into_iter().collect();
    };
    // The end of the text may be told as a line or column of its own.
    let Some(text) = failure.sql.split('\n').nth(line.saturating_sub(1)) else {
        return in_file(failure, failure.first_line).into_iter().collect();
    };
    let number = (failure.first_line + line - 1).to_string();
    let before: String = text.chars().take(column.saturating_sub(1)).collect();
    let marked: String = text
        .chars()
        .skip(column.saturating_sub(1))
        .take(length.max(1))
        .collect();
    let before = visible(&before).replace('␉', " ");
    let mut shown = visible(text).replace('␉', " ");
    let mut indent = width(&before);
    // Of a long line the part around the place.
    let room = window.saturating_sub(number.len() + 4).max(20);
    if width(&shown) > room && indent > room / 2 {
        let skip = indent - room / 2;
        let cut: String = shown.chars().skip(skip).collect();
        shown = format!("…{cut}");
        indent = room / 2 + 1;
    }
    let mark = "^".repeat(width(&visible(&marked)).clamp(1, room.saturating_sub(indent).max(1)));
    let margin = " ".repeat(number.len());
    let mut lines: Vec<String> = in_file(failure, failure.first_line + line - 1)
        .into_iter()
        .collect();
    lines.push(format!("{margin} |"));
    lines.push(format!("{number} | {}", fit(&shown, room)));
    lines.push(format!("{margin} | {}{mark}", " ".repeat(indent)));
    lines
}

fn in_file(failure: &StatementFailure, line: usize) -> Option<String> {
    let file = failure.file.as_ref()?;
    Some(format!("  in {}, line {line}", visible(&file.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_in_one_line() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such \x1b[1m file");
        let error = anyhow::Error::from(io).context("cannot read x");
        assert_eq!(lines(&error, 80), ["error: cannot read x: no such ␛[1m file"]);
        assert_eq!(exit_code(&error), Exit::Unreachable);
    }

    #[test]
    fn help_follows() {
        let error = anyhow::Error::from(Failure::wrong_use("bad").with_help("good"));
        assert_eq!(lines(&error, 80), ["error: bad", "  help: good"]);
        assert_eq!(exit_code(&error), Exit::WrongUse);
    }

    #[tokio::test]
    async fn the_place_is_marked() {
        let session = trailhound_query::Session::open(Default::default()).await.unwrap();
        let shown = async |sql: &str| {
            let error = session.query(sql).await.err().unwrap();
            let failure = StatementFailure {
                error,
                sql: sql.into(),
                file: Some("q.sql".into()),
                first_line: 7,
            };
            lines(&failure.into(), 60)
        };
        assert_eq!(
            shown("SELECT 1,\n\tsrcadr FROM (SELECT 1 AS srcaddr)").await,
            [
                "error: there is no column srcadr",
                "  in q.sql, line 8",
                "  |",
                "8 |  srcadr FROM (SELECT 1 AS srcaddr)",
                "  |  ^^^^^^",
                "  help: did you mean srcaddr?"
            ]
        );
        let long = format!(
            "SELECT '{}', '漢', srcadr FROM (SELECT 1 AS srcaddr)",
            "x".repeat(200)
        );
        let lines = shown(&long).await;
        assert!(lines.iter().all(|line| width(line) <= 60), "{lines:#?}");
        let at = lines[3].find("srcadr").unwrap();
        assert_eq!(width(&lines[3][..at]), lines[4].find('^').unwrap(), "{lines:#?}");
    }
}
