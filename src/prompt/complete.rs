//! What may stand at the cursor: tables, columns, functions, keywords, values.
//!
//! Pure: a text, a place in it and a vocabulary in, candidates out. The editor
//! and the session are elsewhere.

use crate::statements::{Kind, Token, tokens};

use super::command::{COMMANDS, Takes};
use super::words::{KEYWORDS, RESERVED, VALUES};

/// All names that can be completed.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// The tables, in the order of `\d`.
    pub tables: Vec<Table>,
    /// Names of functions.
    pub functions: Vec<String>,
}

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns in order.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its values, if they are few and known.
    pub values: Vec<String>,
}

/// Candidates for what begins at `start`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// First byte of the text that a candidate replaces; the cursor is its end.
    pub start: usize,
    /// The candidates, best first.
    pub candidates: Vec<String>,
    /// Complete as a file name instead.
    pub is_file: bool,
}

impl Completion {
    fn of(start: usize, candidates: Vec<String>) -> Self {
        Completion {
            start,
            candidates,
            is_file: false,
        }
    }
}

impl Column {
    /// A column with the values that its format names, or else those known here.
    pub fn new(name: String, values: &[&str]) -> Self {
        let known = VALUES
            .iter()
            .find(|(column, _)| *column == name)
            .map_or(&[][..], |(_, values)| values);
        let values = if values.is_empty() { known } else { values };
        Column {
            name,
            values: values.iter().map(|value| value.to_string()).collect(),
        }
    }
}

/// Words that a table's name follows.
const BEFORE_TABLES: &[&str] = &["from", "join", "table", "describe", "summarize"];

/// Candidates at byte `at` of `text`.
pub fn complete(text: &str, at: usize, vocabulary: &Vocabulary) -> Completion {
    if text.trim_start().starts_with('\\') {
        return complete_command(&text[..at], vocabulary);
    }
    // Only the statement that the cursor is in counts, but all of it: the FROM
    // that tells which columns there are comes after the cursor as a rule.
    let all = tokens(text);
    let before = all.iter().filter(|token| token.start < at).count();
    let is_end = |token: &Token| token.kind == Kind::Mark(';');
    let first = all[..before]
        .iter()
        .rposition(|token| is_end(token) && token.end <= at)
        .map_or(0, |found| found + 1);
    let last = all[before..]
        .iter()
        .position(is_end)
        .map_or(all.len(), |found| before + found);
    let statement = &all[first..last];
    let here = before - first;

    let at_cursor = here
        .checked_sub(1)
        .map(|index| statement[index])
        .filter(|token| token.end >= at);
    match at_cursor.map(|token| token.kind) {
        // An open text swallows what follows, so look at the names before it only.
        Some(Kind::Text { closed: false }) => complete_value(text, &statement[..here], at, vocabulary),
        Some(Kind::Text { closed: true }) if at_cursor.is_some_and(|token| token.end > at) => {
            complete_value(text, &statement[..here], at, vocabulary)
        }
        Some(Kind::Comment { .. } | Kind::Number | Kind::Text { .. } | Kind::QuotedName { .. }) => {
            Completion::of(at, Vec::new())
        }
        Some(Kind::Word) => complete_name(text, statement, here - 1, at, vocabulary),
        _ => complete_name(text, statement, here, at, vocabulary),
    }
}

/// Completes a name; `index` is its token, or where one would be.
fn complete_name(
    text: &str,
    statement: &[Token],
    index: usize,
    at: usize,
    vocabulary: &Vocabulary,
) -> Completion {
    let start = statement
        .get(index)
        .filter(|token| token.start < at)
        .map_or(at, |token| token.start);
    let typed = &text[start..at];
    let previous = index.checked_sub(1).map(|previous| statement[previous]);
    let named = named_tables(text, statement, vocabulary);
    let mut found = Candidates::new(typed);

    if previous.is_some_and(|token| token.kind == Kind::Mark('.') && token.end == start) {
        let owner = index.checked_sub(2).and_then(|owner| statement[owner].name(text));
        let table = named
            .iter()
            .find(|(alias, table)| Some(alias) == owner.as_ref() || Some(&table.name) == owner.as_ref());
        // Before the FROM is typed, the owner may be any table.
        let all = vocabulary.tables.iter().filter(|_| named.is_empty());
        for column in table
            .iter()
            .map(|(_, table)| *table)
            .chain(all)
            .flat_map(|table| &table.columns)
        {
            found.offer(&quoted_if_needed(&column.name));
        }
        return Completion::of(start, found.done());
    }
    if previous.is_some_and(|token| BEFORE_TABLES.iter().any(|word| token.is(text, word))) {
        for table in &vocabulary.tables {
            found.offer(&quoted_if_needed(&table.name));
        }
        return Completion::of(start, found.done());
    }
    if !named.is_empty() {
        for (_, table) in &named {
            table
                .columns
                .iter()
                .for_each(|column| found.offer(&quoted_if_needed(&column.name)));
        }
    }
    if !typed.is_empty() {
        let keywords =
            |found: &mut Candidates| KEYWORDS.iter().for_each(|keyword| found.offer_keyword(keyword));
        // At the start of a statement nothing but a keyword makes sense.
        if index == 0 {
            keywords(&mut found);
            return Completion::of(start, found.done());
        }
        vocabulary
            .functions
            .iter()
            .for_each(|function| found.offer(&format!("{function}(")));
        keywords(&mut found);
        vocabulary
            .tables
            .iter()
            .for_each(|table| found.offer(&quoted_if_needed(&table.name)));
        if named.is_empty() {
            for table in &vocabulary.tables {
                table
                    .columns
                    .iter()
                    .for_each(|column| found.offer(&quoted_if_needed(&column.name)));
            }
        }
    }
    Completion::of(start, found.done())
}

/// Tables that the statement names, with what it calls them.
fn named_tables<'a>(text: &str, statement: &[Token], vocabulary: &'a Vocabulary) -> Vec<(String, &'a Table)> {
    let mut named: Vec<(String, &Table)> = Vec::new();
    for (index, token) in statement.iter().enumerate() {
        let Some(name) = token.name(text) else { continue };
        let Some(table) = vocabulary.tables.iter().find(|table| table.name == name) else {
            continue;
        };
        let after_from = index.checked_sub(1).is_some_and(|previous| {
            let previous = statement[previous];
            previous.kind == Kind::Mark(',') || BEFORE_TABLES.iter().any(|word| previous.is(text, word))
        });
        if !after_from {
            continue;
        }
        let mut rest = statement[index + 1..].iter();
        let mut next = rest.next();
        if next.is_some_and(|token| token.is(text, "as")) {
            next = rest.next();
        }
        let alias = next
            .and_then(|token| token.name(text))
            .filter(|alias| !is_keyword(alias))
            .unwrap_or(name);
        named.push((alias, table));
    }
    named
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS
        .iter()
        .any(|keyword| keyword.split(' ').any(|part| part.eq_ignore_ascii_case(word)))
        || ["inner", "right", "full", "cross", "natural", "outer"].contains(&word)
}

/// Completes the text that the last of `before` has begun, if the column that
/// it is compared with has few values.
fn complete_value(text: &str, before: &[Token], at: usize, vocabulary: &Vocabulary) -> Completion {
    let nothing = Completion::of(at, Vec::new());
    let Some((open, rest)) = before.split_last() else {
        return nothing;
    };
    let start = open.start + 1;
    if start > at {
        return nothing;
    }
    let Some(name) = compared_column(text, rest) else {
        return nothing;
    };
    // Tables that the statement names come first: two tables may have such a column.
    let named = named_tables(text, rest, vocabulary);
    let tables = named.iter().map(|(_, table)| *table).chain(&vocabulary.tables);
    let mut columns = tables.flat_map(|table| &table.columns);
    let Some(column) = columns.find(|column| column.name == name && !column.values.is_empty()) else {
        return nothing;
    };
    let typed = text[start..at].to_lowercase();
    let closed = text[at..].starts_with('\'');
    let quote = if closed { "" } else { "'" };
    let fitting = column
        .values
        .iter()
        .filter(|value| value.to_lowercase().starts_with(&typed));
    Completion::of(
        start,
        fitting
            .map(|value| format!("{}{quote}", value.replace('\'', "''")))
            .collect(),
    )
}

/// The column before `=`, `<>`, `LIKE` or `IN (..., `.
fn compared_column(text: &str, before: &[Token]) -> Option<String> {
    let mut rest = before;
    let mut in_list = false;
    loop {
        let (last, earlier) = rest.split_last()?;
        match last.kind {
            Kind::Mark('=' | '<' | '>' | '!') => {}
            Kind::Mark(',') | Kind::Text { closed: true } => in_list = true,
            Kind::Mark('(') => in_list = true,
            Kind::Word
                if ["like", "ilike", "not", "in"]
                    .iter()
                    .any(|word| last.is(text, word)) => {}
            Kind::Word | Kind::QuotedName { .. } => {
                // `f('a', '` is no list of values of a column named f.
                let listed = !in_list
                    || before[earlier.len() + 1..]
                        .iter()
                        .any(|token| token.is(text, "in"));
                return last
                    .name(text)
                    .filter(|_| listed && earlier.len() + 1 < before.len());
            }
            _ => return None,
        }
        rest = earlier;
    }
}

fn complete_command(text: &str, vocabulary: &Vocabulary) -> Completion {
    let line_start = text.len() - text.trim_start().len();
    let line = &text[line_start..];
    let Some(space) = line.find(char::is_whitespace) else {
        let typed = &line[1..];
        let names = COMMANDS.iter().filter(|entry| entry.name.starts_with(typed));
        return Completion::of(
            line_start,
            names.map(|entry| format!("\\{}", entry.name)).collect(),
        );
    };
    let start = text.rfind(char::is_whitespace).map_or(0, |space| space + 1);
    let mut found = Candidates::new(&text[start..]);
    let takes = super::command::find(&line[1..space]).map_or(Takes::Nothing, |entry| entry.takes);
    match takes {
        Takes::Table => vocabulary
            .tables
            .iter()
            .for_each(|table| found.offer(&table.name)),
        Takes::Text => vocabulary
            .functions
            .iter()
            .for_each(|function| found.offer(function)),
        Takes::Switch if line.starts_with("\\c") => ["all", "fit"].iter().for_each(|word| found.offer(word)),
        Takes::Switch => ["on", "off"].iter().for_each(|word| found.offer(word)),
        Takes::Format => {
            let formats = ["table", "ndjson", "json", "csv", "parquet", "arrow"];
            formats.iter().for_each(|word| found.offer(word));
        }
        Takes::File => {
            return Completion {
                start,
                candidates: Vec::new(),
                is_file: true,
            };
        }
        Takes::Nothing => {}
    }
    Completion::of(start, found.done())
}

/// Candidates that begin with what was typed, each once.
struct Candidates {
    typed: String,
    upper: bool,
    found: Vec<String>,
}

impl Candidates {
    fn new(typed: &str) -> Self {
        // Keywords follow the case of what was typed of them.
        let upper = !typed.chars().any(char::is_lowercase);
        Candidates {
            typed: typed.to_lowercase(),
            upper,
            found: Vec::new(),
        }
    }

    fn offer(&mut self, candidate: &str) {
        let plain = candidate.trim_start_matches('"').to_lowercase();
        if plain.starts_with(&self.typed) && !self.found.iter().any(|found| found == candidate) {
            self.found.push(candidate.to_string());
        }
    }

    fn offer_keyword(&mut self, keyword: &str) {
        let keyword = if self.upper {
            keyword.to_string()
        } else {
            keyword.to_lowercase()
        };
        self.offer(&keyword);
    }

    fn done(self) -> Vec<String> {
        self.found
    }
}

fn quoted_if_needed(name: &str) -> String {
    let plain = name
        .chars()
        .enumerate()
        .all(|(at, c)| c.is_ascii_lowercase() || c == '_' || (at > 0 && c.is_ascii_digit()));
    // `start` and `type` work bare; only these do not.
    let reserved = RESERVED.contains(&name) && !matches!(name, "start" | "type");
    if plain && !reserved && !name.is_empty() {
        name.to_string()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests;
