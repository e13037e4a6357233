//! The prompt's line commands: `\d`, `\x` and so on.
//!
//! [`COMMANDS`] is the one list of them: parsing, completion and help are made
//! from it.

use crate::output::Format;
use clap::ValueEnum;

/// A line command with its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// All tables, or the columns of one.
    Describe(Option<String>),
    /// The functions whose names contain this.
    Functions(Option<String>),
    /// One page per row, or a table.
    Expanded(Option<bool>),
    /// All columns, however wide, or those that fit.
    AllColumns(Option<bool>),
    /// Say how long queries take.
    Timing(Option<bool>),
    /// Write the next result to a file.
    Output(Option<String>),
    /// Run the statements of a file.
    Include(String),
    /// The form of results; without one, say which it is.
    Format(Option<Format>),
    /// What did not parse, by reason.
    Rejects,
    /// What was read so far.
    Summary,
    /// One row of statistics per column of a table or query.
    Profile(String),
    /// Use a pager or not.
    Pager(Option<bool>),
    /// Write the last query anew in `$EDITOR`.
    Edit,
    /// The list of commands.
    Help,
    /// Leave.
    Quit,
}

/// What a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// `on` or `off`; without either it changes over.
    Switch,
    /// A table, or a query too.
    Table,
    /// A file.
    File,
    /// The name of a format.
    Format,
    /// Any text.
    Text,
}

/// A command as its users know it.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name, without the backslash.
    pub name: &'static str,
    /// How its argument is written.
    pub argument: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What it does.
    pub about: &'static str,
}

const fn entry(name: &'static str, argument: &'static str, takes: Takes, about: &'static str) -> Entry {
    Entry {
        name,
        argument,
        takes,
        about,
    }
}

/// All commands, in the order of the help.
pub const COMMANDS: &[Entry] = &[
    entry(
        "d",
        "[TABLE]",
        Takes::Table,
        "list tables, or the columns of one and what they mean",
    ),
    entry(
        "df",
        "[TEXT]",
        Takes::Text,
        "list functions, or those with TEXT in their names",
    ),
    entry(
        "profile",
        "TABLE|QUERY",
        Takes::Table,
        "statistics of every column; the same as SUMMARIZE",
    ),
    entry(
        "rejects",
        "",
        Takes::Nothing,
        "what did not parse, by reason, with an example",
    ),
    entry(
        "summary",
        "",
        Takes::Nothing,
        "what was read, kept, rejected and skipped so far",
    ),
    entry(
        "x",
        "[on|off]",
        Takes::Switch,
        "one row per page in place of a table",
    ),
    entry(
        "columns",
        "[all|fit]",
        Takes::Switch,
        "show all columns, or those that fit the window",
    ),
    entry(
        "format",
        "[FORMAT]",
        Takes::Format,
        "form of results: table, ndjson, json, csv, parquet, arrow",
    ),
    entry("o", "[FILE]", Takes::File, "write the next result to FILE"),
    entry("i", "FILE", Takes::File, "run the statements of FILE"),
    entry(
        "e",
        "",
        Takes::Nothing,
        "write the last query anew in $EDITOR, and run it",
    ),
    entry("pager", "[on|off]", Takes::Switch, "use a pager for long results"),
    entry(
        "timing",
        "[on|off]",
        Takes::Switch,
        "say how long each query takes",
    ),
    entry("?", "", Takes::Nothing, "this list"),
    entry("help", "", Takes::Nothing, "this list"),
    entry("q", "", Takes::Nothing, "leave; Ctrl-D does too"),
];

/// The entry that `word` names in full or by a prefix of it that no other has.
///
/// # Errors
/// There is none, or several; the message says which.
pub fn find(word: &str) -> Result<&'static Entry, String> {
    if let Some(entry) = COMMANDS.iter().find(|entry| entry.name == word) {
        return Ok(entry);
    }
    let matching: Vec<_> = COMMANDS
        .iter()
        .filter(|entry| !word.is_empty() && entry.name.starts_with(word))
        .collect();
    match matching.as_slice() {
        [entry] => Ok(entry),
        [] => {
            let shown = crate::text::visible(word);
            let close = crate::text::did_you_mean(word, COMMANDS.iter().map(|entry| entry.name));
            let close = close.filter(|_| word.len() > 1);
            let close = close
                .map(|name| format!("; did you mean \\{name}?"))
                .unwrap_or_default();
            Err(format!(
                "there is no command \\{shown}{close} (\\? lists them all)"
            ))
        }
        several => {
            let names: Vec<_> = several.iter().map(|entry| format!("\\{}", entry.name)).collect();
            Err(format!("\\{word} may be {}", names.join(" or ")))
        }
    }
}

/// Reads a line that begins with a backslash.
///
/// # Errors
/// There is no such command, or not with such an argument.
pub fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim().trim_start_matches('\\');
    let (word, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    // People end lines with `;` out of habit.
    let argument = argument.trim().trim_end_matches(';').trim_end();
    let entry = find(word.trim_end_matches(';'))?;
    let given = (!argument.is_empty()).then(|| argument.to_string());
    let needed = || {
        given
            .clone()
            .ok_or_else(|| format!("\\{} needs {}", entry.name, entry.argument))
    };
    if entry.takes == Takes::Nothing && given.is_some() {
        return Err(format!("\\{} takes no argument", entry.name));
    }
    Ok(match entry.name {
        "d" => Command::Describe(given),
        "df" => Command::Functions(given),
        "profile" => Command::Profile(needed()?),
        "rejects" => Command::Rejects,
        "summary" => Command::Summary,
        "x" => Command::Expanded(switch(entry, argument)?),
        "columns" => Command::AllColumns(switch(entry, argument)?),
        "format" => Command::Format(given.as_deref().map(format).transpose()?),
        "o" => Command::Output(given),
        "i" => Command::Include(needed()?),
        "e" => Command::Edit,
        "pager" => Command::Pager(switch(entry, argument)?),
        "timing" => Command::Timing(switch(entry, argument)?),
        "q" => Command::Quit,
        _ => Command::Help,
    })
}

fn switch(entry: &Entry, argument: &str) -> Result<Option<bool>, String> {
    match argument {
        "" => Ok(None),
        "on" | "all" => Ok(Some(true)),
        "off" | "fit" => Ok(Some(false)),
        _ => Err(format!("\\{} takes {}", entry.name, entry.argument)),
    }
}

fn format(name: &str) -> Result<Format, String> {
    Format::from_str(name, true).map_err(|_| {
        let names: Vec<_> = Format::value_variants()
            .iter()
            .map(|format| format.name())
            .collect();
        let close = crate::text::did_you_mean(name, names.iter().copied());
        let close = close
            .map(|name| format!("; did you mean {name}?"))
            .unwrap_or_default();
        format!("the formats are {}{close}", names.join(", "))
    })
}

/// The list of commands, as `\?` shows it.
pub fn help() -> String {
    let mut text = String::from(
        "A query ends with ; or with an empty line. Tab completes, Up recalls, Ctrl-R searches,\n\
         Ctrl-C stops a query or clears the line.\n\n",
    );
    for entry in COMMANDS {
        let usage = format!("\\{} {}", entry.name, entry.argument);
        text.push_str(&format!("  {usage:<22}{}\n", entry.about));
    }
    text.push_str("\nA prefix is enough where it is the only one: \\su is \\summary.");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_unique_prefixes() {
        assert_eq!(parse("\\d"), Ok(Command::Describe(None)));
        assert_eq!(
            parse("\\d vpc_flow;"),
            Ok(Command::Describe(Some("vpc_flow".into())))
        );
        assert_eq!(parse("\\df json"), Ok(Command::Functions(Some("json".into()))));
        assert_eq!(parse("\\su"), Ok(Command::Summary));
        assert_eq!(parse("\\rej"), Ok(Command::Rejects));
        assert_eq!(parse("\\co all"), Ok(Command::AllColumns(Some(true))));
        assert_eq!(parse("\\x"), Ok(Command::Expanded(None)));
        assert_eq!(parse("\\x off"), Ok(Command::Expanded(Some(false))));
        assert_eq!(parse("\\format CSV"), Ok(Command::Format(Some(Format::Csv))));
        assert_eq!(
            parse("\\pr SELECT 1, 2"),
            Ok(Command::Profile("SELECT 1, 2".into()))
        );
        assert_eq!(parse("\\q;"), Ok(Command::Quit));
        assert_eq!(parse("\\?"), Ok(Command::Help));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(parse("\\p").unwrap_err(), "\\p may be \\profile or \\pager");
        assert_eq!(
            parse("\\sumary").unwrap_err(),
            "there is no command \\sumary; did you mean \\summary? (\\? lists them all)"
        );
        assert_eq!(
            parse("\\zzz").unwrap_err(),
            "there is no command \\zzz (\\? lists them all)"
        );
        assert_eq!(
            parse("\\").unwrap_err(),
            "there is no command \\ (\\? lists them all)"
        );
        assert_eq!(parse("\\i").unwrap_err(), "\\i needs FILE");
        assert_eq!(parse("\\x maybe").unwrap_err(), "\\x takes [on|off]");
        assert_eq!(parse("\\q now").unwrap_err(), "\\q takes no argument");
        assert!(parse("\\format cvs").unwrap_err().ends_with("did you mean csv?"));
    }

    #[test]
    fn every_command_is_in_the_help_and_parses() {
        for entry in COMMANDS {
            assert!(help().contains(entry.about));
            let line = format!(
                "\\{}{}",
                entry.name,
                if entry.argument == "FILE" { " f" } else { "" }
            );
            let line = if entry.name == "profile" {
                "\\profile t".into()
            } else {
                line
            };
            assert!(parse(&line).is_ok(), "{line}");
        }
    }
}
