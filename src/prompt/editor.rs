//! The line editor: history, completion, colours, and when a statement is done.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, CompletionType, Config, Context, Helper};

use super::complete::{Vocabulary, complete};
use super::words::KEYWORDS;
use crate::execute::wants_color;
use crate::output::say;
use crate::statements::{Kind, is_complete, tokens};
use crate::text::visible;

/// Entries of the history that are kept.
const HISTORY_ENTRIES_MAX: usize = 2000;

/// What the user entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A line command, or statements.
    Text(String),
    /// Ctrl-C: the line is thrown away.
    Cleared,
    /// Ctrl-D.
    Left,
}

/// A line editor with a history.
pub struct Editor {
    inner: rustyline::Editor<Assistant, FileHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    /// An editor that keeps its history in the user's state folder. That it
    /// cannot be kept is said, and is no failure.
    ///
    /// # Errors
    /// The terminal cannot be used.
    pub fn new() -> rustyline::Result<Self> {
        let config = Config::builder()
            .max_history_size(HISTORY_ENTRIES_MAX)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .color_mode(if wants_color() {
                ColorMode::Enabled
            } else {
                ColorMode::Disabled
            })
            .build();
        let mut inner = rustyline::Editor::with_config(config)?;
        inner.set_helper(Some(Assistant::new()));
        let mut history = history_file(|name| std::env::var_os(name).map(PathBuf::from));
        if let Some(file) = &history
            && let Err(error) = open_history(&mut inner, file)
        {
            say(&format!(
                "the history is not kept: {}: {error}",
                visible(&file.to_string_lossy())
            ));
            history = None;
        }
        Ok(Editor { inner, history })
    }

    /// What can be completed from now on.
    pub fn learn(&mut self, vocabulary: Vocabulary) {
        if let Some(assistant) = self.inner.helper_mut() {
            assistant.vocabulary = vocabulary;
        }
    }

    /// Waits for the next input.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn read(&mut self, prompt: &str) -> rustyline::Result<Input> {
        let styled = format!("\x1b[1;32m{prompt}\x1b[0m");
        match self.inner.readline(&(prompt, styled.as_str())) {
            Ok(text) => Ok(Input::Text(text)),
            Err(ReadlineError::Interrupted) => Ok(Input::Cleared),
            Err(ReadlineError::Eof) => Ok(Input::Left),
            Err(error) => Err(error),
        }
    }

    /// Adds to the history, on disk too: what was typed before a crash is
    /// what one wants back after it.
    pub fn remember(&mut self, text: &str) {
        let is_new = self.inner.add_history_entry(text.trim_end()).unwrap_or(false);
        if let Some(file) = self.history.as_ref().filter(|_| is_new)
            && self.inner.append_history(file).is_err()
        {
            say("the history is no longer kept: its file cannot be written");
            self.history = None;
        }
    }
}

fn open_history(inner: &mut rustyline::Editor<Assistant, FileHistory>, file: &Path) -> rustyline::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if file.exists() {
        inner.load_history(file)?;
    } else {
        // Also shows at once whether it can be written.
        inner.save_history(file)?;
    }
    Ok(())
}

/// Where the history lies, by the XDG base directory specification.
fn history_file(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The specification says to ignore relative paths.
    let state = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(variable("HOME")?.join(".local/state")))?;
    Some(state.join("trailhound/history"))
}

/// What the editor asks while a line is typed.
struct Assistant {
    vocabulary: Vocabulary,
    files: FilenameCompleter,
}

impl Assistant {
    fn new() -> Self {
        Assistant {
            vocabulary: Vocabulary::default(),
            files: FilenameCompleter::new(),
        }
    }
}

impl Helper for Assistant {}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let completion = complete(line, at, &self.vocabulary);
        if completion.is_file {
            return self.files.complete_path(line, at);
        }
        let pair = |text: String| Pair {
            display: text.trim_end_matches(['(', '\'']).to_string(),
            replacement: text,
        };
        Ok((
            completion.start,
            completion.candidates.into_iter().map(pair).collect(),
        ))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        let done = line_command(input).is_some() || is_complete(input);
        Ok(if done {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

/// The line command of the input: all of it, or its last line, where someone
/// wants to leave or look something up in the middle of a query.
pub fn line_command(input: &str) -> Option<&str> {
    if input.trim_start().starts_with('\\') {
        return Some(input.trim());
    }
    let (before, last) = input.trim_end_matches('\n').rsplit_once('\n')?;
    let is_open = tokens(before).last().is_some_and(|token| {
        matches!(
            token.kind,
            Kind::Text { closed: false }
                | Kind::QuotedName { closed: false }
                | Kind::Comment { closed: false }
        )
    });
    (last.trim_start().starts_with('\\') && !is_open).then_some(last.trim())
}

/// Text that is only shown: nothing accepts it into the line.
struct Note(&'static str);

impl Hint for Note {
    fn display(&self) -> &str {
        self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assistant {
    type Hint = Note;

    /// Newcomers press Enter and see nothing happen: say what would.
    fn hint(&self, line: &str, at: usize, _context: &Context<'_>) -> Option<Note> {
        let waits = at == line.len() && line.ends_with('\n') && !line.trim().is_empty();
        (waits && is_complete(line))
            .then_some(Note("  (Enter again runs it; so does ; at the end of a line)"))
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _at: usize) -> Cow<'l, str> {
        if !wants_color() || line_command(line).is_some() {
            return Cow::Borrowed(line);
        }
        let mut shown = String::with_capacity(line.len() * 2);
        let mut end = 0;
        for token in tokens(line) {
            shown.push_str(&line[end..token.start]);
            let text = token.text(line);
            let color = match token.kind {
                Kind::Word if is_keyword(text) => "\x1b[1;34m",
                Kind::Text { .. } => "\x1b[32m",
                Kind::Number => "\x1b[36m",
                Kind::Comment { .. } => "\x1b[2m",
                _ => "",
            };
            shown.push_str(color);
            shown.push_str(text);
            shown.push_str(if color.is_empty() { "" } else { "\x1b[0m" });
            end = token.end;
        }
        shown.push_str(&line[end..]);
        Cow::Owned(shown)
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if wants_color() {
            Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
        } else {
            Cow::Borrowed(hint)
        }
    }

    fn highlight_char(&self, _line: &str, _at: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS
        .iter()
        .any(|keyword| keyword.split(' ').any(|part| part.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_lies_in_the_state_folder() {
        let with = |state: Option<&str>, home: Option<&str>| {
            let state = state.map(PathBuf::from);
            let home = home.map(PathBuf::from);
            history_file(|name| {
                if name == "HOME" {
                    home.clone()
                } else {
                    state.clone()
                }
            })
        };
        assert_eq!(with(Some("/s"), Some("/h")), Some("/s/trailhound/history".into()));
        assert_eq!(
            with(Some("relative"), Some("/h")),
            Some("/h/.local/state/trailhound/history".into())
        );
        assert_eq!(with(None, None), None);
    }

    #[test]
    fn a_history_that_cannot_be_kept_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let mut inner = rustyline::Editor::new().unwrap();
        assert!(open_history(&mut inner, &folder.path().join("file/history")).is_err());
        assert!(open_history(&mut inner, &folder.path().join("new/history")).is_ok());
    }

    #[test]
    fn line_commands_are_lines_of_their_own() {
        assert_eq!(line_command(" \\d vpc_flow"), Some("\\d vpc_flow"));
        assert_eq!(line_command("SELECT 1\n\\q"), Some("\\q"));
        assert_eq!(line_command("SELECT '\n\\q"), None);
        assert_eq!(line_command("SELECT 1 \\q"), None);
        assert_eq!(line_command("SELECT 1\n"), None);
    }

    #[test]
    fn colours_keep_the_text() {
        let assistant = Assistant::new();
        for line in [
            "SELECT 'a', 1 -- b",
            "select \"x\" from t;",
            "'open",
            "  ",
            "漢 = '字'",
        ] {
            let shown = assistant.highlight(line, 0).into_owned();
            let mut plain = shown;
            for color in ["\x1b[1;34m", "\x1b[32m", "\x1b[36m", "\x1b[2m", "\x1b[0m"] {
                plain = plain.replace(color, "");
            }
            assert_eq!(plain, line);
        }
    }
}
