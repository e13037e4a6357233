//! CSV as RFC 4180 has it, with cells that no spreadsheet takes for a formula.

use std::borrow::Cow;
use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::cells::{Cell, Cells, NestedOptions, tidy, tidy_schema};
use crate::text::visible;

/// Writes a header line and one line per row.
///
/// NULL is an empty cell, an empty text is `""`; alone in its line NULL is `""` too.
pub struct Csv<W: Write> {
    out: W,
    schema: SchemaRef,
    line: String,
    on_terminal: bool,
}

impl<W: Write> Csv<W> {
    /// A writer for batches of `schema`; on a terminal, control characters in
    /// the cells are made visible.
    ///
    /// # Errors
    /// The header cannot be written.
    pub fn new(schema: &SchemaRef, out: W, on_terminal: bool) -> Result<Self, ArrowError> {
        let mut csv = Csv {
            out,
            schema: tidy_schema(schema),
            line: String::new(),
            on_terminal,
        };
        let names: Vec<_> = csv
            .schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        for (column, name) in names.iter().enumerate() {
            csv.push(column, &Cell::Text(name.into()));
        }
        csv.end_line()?;
        Ok(csv)
    }

    fn push(&mut self, column: usize, cell: &Cell) {
        if column > 0 {
            self.line.push(',');
        }
        let text = match cell {
            Cell::Null => return,
            Cell::Number(number) => return self.line.push_str(number),
            Cell::Text(text) => guarded(text),
        };
        let text = if self.on_terminal {
            visible(&text)
        } else {
            Cow::Borrowed(&*text)
        };
        if needs_quotes(&text) {
            self.line.push('"');
            self.line.push_str(&text.replace('"', "\"\""));
            self.line.push('"');
        } else {
            self.line.push_str(&text);
        }
    }

    fn end_line(&mut self) -> Result<(), ArrowError> {
        if self.line.is_empty() && self.schema.fields().len() == 1 {
            // Readers skip empty lines, and then a row would be missing.
            self.line.push_str("\"\"");
        }
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())?;
        self.line.clear();
        Ok(())
    }
}

impl<W: Write> super::Writer for Csv<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let batch = tidy(batch, &self.schema)?;
        let nested: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| NestedOptions::new(column.data_type()))
            .collect();
        let mut columns = Vec::new();
        for (column, nested) in batch.columns().iter().zip(&nested) {
            columns.push(Cells::new(column.as_ref(), nested)?);
        }
        for row in 0..batch.num_rows() {
            for (column, cells) in columns.iter_mut().enumerate() {
                self.push(column, &cells.cell(row));
            }
            self.end_line()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ArrowError> {
        Ok(self.out.flush()?)
    }
}

/// `text` with an apostrophe before it if a spreadsheet would compute it.
/// The full-width forms are folded to the plain ones by some.
fn guarded(text: &str) -> Cow<'_, str> {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            Cow::Owned(format!("'{text}"))
        }
        _ => Cow::Borrowed(text),
    }
}

/// Also for what other dialects take for a separator: a cell must not become
/// two in a spreadsheet that cuts at `;` or tabs, the second one unguarded.
fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.contains([',', '"', '\n', '\r', ';', '\t', '|'])
        || text.starts_with(' ')
        || text.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Writer as _;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    fn csv(columns: Vec<(&str, ArrayRef)>, on_terminal: bool) -> String {
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let mut out = Vec::new();
        let mut writer = Csv::new(&batch.schema(), &mut out, on_terminal).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn texts(texts: Vec<Option<&str>>) -> String {
        csv(vec![("t", Arc::new(StringArray::from(texts)))], false)
    }

    #[test]
    fn formulas_are_only_text() {
        assert_eq!(
            texts(vec![
                Some("=1+1"),
                Some("+1"),
                Some("-1"),
                Some("@SUM(A1)"),
                Some("\t=1"),
                Some("\r=1"),
                Some("a=1"),
                Some("=cmd|' /C calc'!A0"),
                Some("\"=1"),
                Some("x;=1"),
            ]),
            "t\n'=1+1\n'+1\n'-1\n'@SUM(A1)\n\"'\t=1\"\n\"'\r=1\"\na=1\n\"'=cmd|' /C calc'!A0\"\n\"\"\"=1\"\n\"x;=1\"\n"
        );
    }

    #[test]
    fn numbers_are_left_alone() {
        assert_eq!(
            csv(
                vec![("n", Arc::new(Int64Array::from(vec![Some(-5), None])))],
                false
            ),
            "n\n-5\n\"\"\n"
        );
        assert_eq!(
            csv(vec![("v", super::super::cells::tests::union())], false),
            "v\n\"\"\n9007199254740993\n'=a\n\"{\"\"b\"\":1}\"\n"
        );
    }

    #[test]
    fn quoted_as_the_rfc_says() {
        assert_eq!(
            texts(vec![
                Some("a,b"),
                Some("say \"hi\""),
                Some("two\nlines"),
                Some(""),
                None,
                Some("plain")
            ]),
            "t\n\"a,b\"\n\"say \"\"hi\"\"\"\n\"two\nlines\"\n\"\"\n\"\"\nplain\n"
        );
    }

    #[test]
    fn headers_are_cells_too() {
        assert_eq!(
            csv(vec![("=1", Arc::new(Int64Array::from(vec![1])))], false),
            "'=1\n1\n"
        );
    }

    #[test]
    fn a_terminal_sees_escapes_but_does_not_obey_them() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a\x1b[2J"]));
        assert_eq!(csv(vec![("t", Arc::clone(&column))], true), "t\na␛[2J\n");
        assert_eq!(csv(vec![("t", column)], false), "t\na\x1b[2J\n");
    }
}
