//! Lists for reading: what tables, columns and functions there are. The last
//! column is prose, and wraps where a table would cut it.

use std::io::Write;

use anyhow::Result;
use trailhound_query::{ColumnInfo, TableInfo};

use crate::execute::{Settings, screen, wants_color};
use crate::output::{Format, is_broken_pipe};
use crate::text::{visible, width};
use crate::when::{show_bytes, show_count};

/// Narrowest prose that is worth reading.
const PROSE_MIN: usize = 24;

/// A list: the names of its columns, and its rows.
pub struct Listing {
    /// Names of the columns.
    pub header: Vec<&'static str>,
    /// The rows, each with as many texts.
    pub rows: Vec<Vec<String>>,
}

impl Listing {
    /// All tables.
    pub fn tables(tables: &[TableInfo]) -> Self {
        let row = |table: &TableInfo| {
            let files = table
                .objects
                .map(|(count, bytes)| format!("{} ({})", show_count(count as u64), show_bytes(bytes)));
            vec![
                table.name.clone(),
                files.unwrap_or_default(),
                table.columns.len().to_string(),
                table.about.clone(),
            ]
        };
        Listing {
            header: vec!["table", "files", "columns", "about"],
            rows: tables.iter().map(row).collect(),
        }
    }

    /// The columns of a table.
    pub fn columns(table: &TableInfo) -> Self {
        let row = |column: &ColumnInfo| vec![column.name.clone(), column.data_type.clone(), meaning(column)];
        Listing {
            header: vec!["column", "type", "meaning"],
            rows: table.columns.iter().map(row).collect(),
        }
    }

    /// Shows the list, through the pager if it is long.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn show(&self, settings: &Settings) -> Result<()> {
        let window = terminal_size::terminal_size().map_or(80, |(columns, _)| usize::from(columns.0));
        let mut out = screen(Format::Table, settings);
        match out.write_all(self.text(window, wants_color()).as_bytes()) {
            Ok(()) => out.commit(),
            Err(error) if is_broken_pipe(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn text(&self, window: usize, color: bool) -> String {
        let (bold, plain) = if color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let last = self.header.len() - 1;
        let widest = |column: usize| {
            let cells = self.rows.iter().map(|row| width(&visible(&row[column])));
            cells.max().unwrap_or(0).max(width(self.header[column]))
        };
        let widths: Vec<usize> = (0..last).map(widest).collect();
        let indent = widths.iter().sum::<usize>() + 2 * last;
        let room = window.saturating_sub(indent + 1).max(PROSE_MIN);
        let mut text = String::new();
        let mut push = |cells: &[&str], before: &str, after: &str| {
            for (cell, columns) in cells.iter().zip(&widths) {
                let cell = visible(cell);
                text.push_str(&format!(
                    "{before}{cell}{after}{:1$}  ",
                    "",
                    columns - width(&cell)
                ));
            }
            for (index, line) in wrapped(&visible(cells[last]), room).iter().enumerate() {
                let indent = if index == 0 { 0 } else { indent };
                text.push_str(&format!("{:indent$}{before}{line}{after}\n", ""));
            }
        };
        push(&self.header, bold, plain);
        for row in &self.rows {
            push(&row.iter().map(String::as_str).collect::<Vec<_>>(), "", "");
        }
        text
    }
}

/// What a column means and which values it has, each said once.
fn meaning(column: &ColumnInfo) -> String {
    if column.values.iter().all(|value| column.about.contains(value)) {
        return column.about.clone();
    }
    format!("{} One of {}.", column.about, column.values.join(", "))
}

/// `text` in lines of at most `room` columns, cut at blanks; at least one line.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| width(line));
        if line > 0 && line + 1 + width(word) > room {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_wraps_beside_the_names() {
        let listing = Listing {
            header: vec!["column", "type", "meaning"],
            rows: vec![
                vec![
                    "srcaddr".into(),
                    "text".into(),
                    "Source address, as the interface saw it.".into(),
                ],
                vec!["x".into(), "int".into(), String::new()],
            ],
        };
        assert_eq!(
            listing.text(42, false),
            "column   type  meaning\n\
             srcaddr  text  Source address, as the\n\
             \u{20}              interface saw it.\n\
             x        int   \n"
        );
    }

    #[test]
    fn values_are_named_once() {
        let column = |about: &str| ColumnInfo {
            name: "action".into(),
            data_type: "text".into(),
            about: about.into(),
            values: &["ACCEPT", "REJECT"],
        };
        assert_eq!(meaning(&column("ACCEPT or REJECT.")), "ACCEPT or REJECT.");
        assert_eq!(
            meaning(&column("What was done.")),
            "What was done. One of ACCEPT, REJECT."
        );
    }
}
