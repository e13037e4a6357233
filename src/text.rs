//! Text from logs on its way to a person: control characters made visible.
//!
//! Whoever can write a log line can write terminal escapes into it. Nothing
//! from a log, a file name or a server reaches a terminal without passing here.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `text` in one line, with every character that steers a terminal or hides
/// from the eye replaced by one that shows itself: escape as `␛`, a line feed as
/// `␊`, a right-to-left override as `\u{202e}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) || !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        push_visible(&mut shown, character);
    }
    Cow::Owned(shown)
}

/// As [`visible`], but lines stay lines and tabs become blanks: for text that
/// has the width of the window to itself.
pub fn visible_lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        match line.contains('\t') {
            true => Cow::Owned(visible(&line.replace('\t', "    ")).into_owned()),
            false => visible(line),
        }
    })
}

fn push_visible(shown: &mut String, character: char) {
    match character {
        '\0'..='\x1f' => shown.push(char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}')),
        '\x7f' => shown.push('␡'),
        _ if is_hidden(character) => {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", character as u32);
        }
        _ => shown.push(character),
    }
}

/// Whether a character steers the terminal, reorders its neighbours, or takes
/// no room of its own and so hides.
pub fn is_hidden(character: char) -> bool {
    match character {
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => true,
        ' '..='~' => false,
        // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
        '\u{ad}' | '\u{61c}' | '\u{180e}' => true,
        // Zero-width marks, line and paragraph separators, bidirectional
        // embeddings, overrides and isolates, invisible operators, byte order mark.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        // Interlinear marks and tags.
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

/// Columns that `text` takes on a terminal.
pub fn width(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        UnicodeWidthStr::width(text)
    }
}

/// `text` cut to `columns` terminal columns, with `…` where something is missing.
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let (mut used, mut end) = (0, 0);
    for (at, character) in text.char_indices() {
        used += UnicodeWidthChar::width(character).unwrap_or(0);
        if used + 1 > columns {
            break;
        }
        end = at + character.len_utf8();
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

/// `argument` as a POSIX shell reads it back.
pub fn shell_quote(argument: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:@%+,".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return Cow::Borrowed(argument);
    }
    // SQL is full of single quotes: within double ones it stays readable, if nothing
    // in it has a meaning there. (`!` has one only for interactive shells.)
    if argument.contains('\'') && !argument.contains(['"', '$', '`', '\\', '!']) {
        return Cow::Owned(format!("\"{argument}\""));
    }
    Cow::Owned(format!("'{}'", argument.replace('\'', r"'\''")))
}

/// Which of `known` was most likely meant by `word`, if any is close enough.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // A third of the letters may be wrong: enough for slips, too little for other words.
    let most = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|name| (edits(&word, &name.to_lowercase()), name))
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Single-character edits, a swap of neighbours being one, that turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_become_visible() {
        assert_eq!(visible("plain text, ünïcödé, 漢字"), "plain text, ünïcödé, 漢字");
        assert_eq!(visible("\x1b[31mred\x1b[0m"), "␛[31mred␛[0m");
        assert_eq!(visible("a\nb\tc\r\0\x7f"), "a␊b␉c␍␀␡");
        assert_eq!(visible("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(visible("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
        assert_eq!(visible("pay\u{200b}pal\u{feff}"), "pay\\u{200b}pal\\u{feff}");
        assert_eq!(visible("\u{e0041}"), "\\u{e0041}");
    }

    #[test]
    fn no_control_character_survives() {
        let all: String = (0..=0x10ffff).filter_map(char::from_u32).collect();
        assert!(!visible(&all).chars().any(|c| c.is_control()));
        for line in visible_lines(&all) {
            assert!(!line.chars().any(is_hidden));
        }
    }

    #[test]
    fn lines_stay_lines() {
        let lines: Vec<_> = visible_lines("one\r\n\ttwo\x1b[2J\nthree").collect();
        assert_eq!(lines, ["one", "    two␛[2J", "three"]);
    }

    #[test]
    fn cut_to_fit() {
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("longer", 5), "long…");
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(fit("漢字漢字", 4), "漢…");
        assert_eq!(fit("abc", 1), "…");
        assert_eq!(width(&fit("漢字漢字", 4)), 3);
    }

    #[test]
    fn quoted_for_the_shell() {
        assert_eq!(shell_quote("logs/2026/a.log.gz"), "logs/2026/a.log.gz");
        assert_eq!(shell_quote("vpc_flow=logs/*.gz"), "'vpc_flow=logs/*.gz'");
        assert_eq!(shell_quote("it's"), "\"it's\"");
        assert_eq!(shell_quote("it's $1"), r"'it'\''s $1'");
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("$(reboot)"), "'$(reboot)'");
    }

    #[test]
    fn slips_are_recognised() {
        let known = ["srcaddr", "dstaddr", "srcport", "action"];
        assert_eq!(did_you_mean("srcadr", known), Some("srcaddr"));
        assert_eq!(did_you_mean("SRCPROT", known), Some("srcport"));
        assert_eq!(did_you_mean("acton", known), Some("action"));
        assert_eq!(did_you_mean("user", known), None);
    }
}
