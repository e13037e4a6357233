//! Results as tables for reading: as wide as the window, not wider.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use crate::output::Writer;
use crate::output::cells::{Cell, Cells, NestedOptions, is_number, tidy, tidy_schema};
use crate::text::{fit, visible, visible_lines, width};
use crate::when::{show_count, show_duration};

mod plan;

use plan::{Plan, Want};

/// Rows that the widths of the columns are measured on.
const ROWS_MEASURED_MAX: usize = 1000;

/// Longest time that rows are held back to be measured: a query that finds
/// one row a minute should show it.
const HOLD_MAX: Duration = Duration::from_secs(1);

/// Width of the padding where there is no window to fit into: a column of long
/// texts would otherwise fill the file with blanks.
const PADDING_MAX: usize = 60;

const GAP: &str = "  ";

/// How a table is drawn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// Columns of the window; without one, nothing is cut.
    pub window: Option<usize>,
    /// Show all columns, however wide the lines become.
    pub all_columns: bool,
    /// Show each row as a page of its own: one line per column.
    pub expanded: bool,
    /// Use colours.
    pub color: bool,
    /// Say how long it took.
    pub timing: bool,
    /// How to see the columns that were left out.
    pub more: &'static str,
}

/// Writes a table.
pub struct Table<W: Write> {
    out: W,
    layout: Layout,
    schema: SchemaRef,
    /// Batches that wait for the columns to be measured.
    held: Vec<RecordBatch>,
    held_since: Option<Instant>,
    plan: Option<Plan>,
    rows: u64,
    started: Instant,
}

impl<W: Write> Table<W> {
    /// A table for batches of `schema`; its clock starts at `started`.
    pub fn new(schema: &SchemaRef, out: W, mut layout: Layout, started: Instant) -> Self {
        // The answer to EXPLAIN is text of many lines, which no cell can show.
        let names: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        layout.expanded |= names == ["plan_type", "plan"];
        Table {
            out,
            layout,
            schema: tidy_schema(schema),
            held: Vec::new(),
            held_since: None,
            plan: None,
            rows: 0,
            started,
        }
    }

    fn held_rows(&self) -> usize {
        self.held.iter().map(RecordBatch::num_rows).sum()
    }

    /// Draws the header and what was held back.
    fn begin(&mut self) -> Result<(), ArrowError> {
        let held = std::mem::take(&mut self.held);
        let plan = Plan::new(&self.measure(&held)?, self.layout.window, self.layout.all_columns);
        self.draw_header(&plan)?;
        for batch in &held {
            self.draw(batch, &plan)?;
        }
        self.plan = Some(plan);
        Ok(())
    }

    fn measure(&self, batches: &[RecordBatch]) -> Result<Vec<Want>, ArrowError> {
        let mut wants: Vec<_> = self
            .schema
            .fields()
            .iter()
            .map(|field| {
                let data_type = field.data_type();
                Want {
                    header: width(&visible(field.name())),
                    cells: 0,
                    // A number or a time that is cut is another one.
                    rigid: is_number(data_type) || is_time(data_type),
                    right: is_number(data_type),
                    empty: true,
                }
            })
            .collect();
        let mut left = ROWS_MEASURED_MAX;
        for batch in batches {
            let rows = batch.num_rows().min(left);
            left -= rows;
            for ((column, want), field) in batch.columns().iter().zip(&mut wants).zip(self.schema.fields()) {
                let nested = NestedOptions::new(field.data_type());
                let mut cells = Cells::new(column.as_ref(), &nested)?;
                for row in 0..rows {
                    let cell = cells.cell(row);
                    want.empty &= cell == Cell::Null;
                    want.cells = want.cells.max(width(&shown(&cell, field.data_type())));
                }
            }
        }
        Ok(wants)
    }

    fn draw_header(&mut self, plan: &Plan) -> io::Result<()> {
        let (mut names, mut rule) = (String::new(), String::new());
        for (at, column) in plan.columns.iter().enumerate() {
            let last = at + 1 == plan.columns.len();
            let name = match column.index {
                Some(index) => visible(self.schema.field(index).name()),
                None => Cow::Borrowed("…"),
            };
            pad(
                &mut names,
                &self.cut(name, column.width),
                column.width,
                column.right,
                last,
            );
            rule.push_str(&"─".repeat(column.width));
            if !last {
                names.push_str(GAP);
                rule.push_str(GAP);
            }
        }
        let (bold, dim, plain) = self.colors();
        writeln!(self.out, "{bold}{names}{plain}\n{dim}{rule}{plain}")
    }

    fn draw(&mut self, batch: &RecordBatch, plan: &Plan) -> Result<(), ArrowError> {
        let nested: Vec<_> = self
            .schema
            .fields()
            .iter()
            .map(|field| NestedOptions::new(field.data_type()))
            .collect();
        let mut columns = Vec::new();
        for (column, nested) in batch.columns().iter().zip(&nested) {
            columns.push(Cells::new(column.as_ref(), nested)?);
        }
        let (_, dim, plain) = self.colors();
        let mut line = String::new();
        for row in 0..batch.num_rows() {
            line.clear();
            for (at, column) in plan.columns.iter().enumerate() {
                let last = at + 1 == plan.columns.len();
                let Some(index) = column.index else {
                    line.push_str(dim);
                    line.push('…');
                    line.push_str(plain);
                    line.push_str(if last { "" } else { GAP });
                    continue;
                };
                let cell = columns[index].cell(row);
                let text = shown(&cell, self.schema.field(index).data_type());
                let right = matches!(cell, Cell::Number(_)) || column.right;
                let is_null = cell == Cell::Null;
                // A line that is too long can be seen; a number that lost digits cannot.
                let text = if right || is_time(self.schema.field(index).data_type()) {
                    text
                } else {
                    self.cut(text, column.width)
                };
                line.push_str(if is_null { dim } else { "" });
                pad(&mut line, &text, column.width, right, last);
                line.push_str(if is_null { plain } else { "" });
                line.push_str(if last { "" } else { GAP });
            }
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn cut<'a>(&self, text: Cow<'a, str>, columns: usize) -> Cow<'a, str> {
        if self.layout.window.is_none() || width(&text) <= columns {
            return text;
        }
        Cow::Owned(fit(&text, columns).into_owned())
    }

    fn draw_pages(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let (bold, dim, plain) = self.colors();
        let names: Vec<_> = self
            .schema
            .fields()
            .iter()
            .map(|field| visible(field.name()).into_owned())
            .collect();
        let widest = names.iter().map(|name| width(name)).max().unwrap_or(0);
        let rule = self.layout.window.unwrap_or(80).min(80);
        let nested: Vec<_> = self
            .schema
            .fields()
            .iter()
            .map(|field| NestedOptions::new(field.data_type()))
            .collect();
        let mut columns = Vec::new();
        for (column, nested) in batch.columns().iter().zip(&nested) {
            columns.push(Cells::new(column.as_ref(), nested)?);
        }
        for row in 0..batch.num_rows() {
            let title = format!("── row {} ", show_count(self.rows + row as u64 + 1));
            writeln!(
                self.out,
                "{dim}{title}{}{plain}",
                "─".repeat(rule.saturating_sub(width(&title)))
            )?;
            for (column, cells) in columns.iter_mut().enumerate() {
                let blank = " ".repeat(widest - width(&names[column]));
                write!(self.out, "{bold}{}{plain}{blank}{GAP}", names[column])?;
                let data_type = self.schema.field(column).data_type();
                match cells.cell(row) {
                    Cell::Null => writeln!(self.out, "{dim}NULL{plain}")?,
                    cell if is_time(data_type) => writeln!(self.out, "{}", shown(&cell, data_type))?,
                    cell => {
                        for (at, line) in visible_lines(cell.text().trim_end_matches('\n')).enumerate() {
                            let indent = if at == 0 { 0 } else { widest + GAP.len() };
                            writeln!(self.out, "{:indent$}{line}", "")?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Starts of bold and dim text, and the end of both.
    fn colors(&self) -> (&'static str, &'static str, &'static str) {
        if self.layout.color {
            ("\x1b[1m", "\x1b[2m", "\x1b[0m")
        } else {
            ("", "", "")
        }
    }

    fn draw_footer(&mut self) -> io::Result<()> {
        let (_, dim, plain) = self.colors();
        let (elided, empty) = self
            .plan
            .as_ref()
            .map_or((0, 0), |plan| (plan.elided, plan.elided_empty));
        if elided > 0 {
            let columns = if elided == 1 { "column" } else { "columns" };
            // Only the measured rows are known to be empty there.
            let where_empty = if self.rows > ROWS_MEASURED_MAX as u64 {
                " in the first rows"
            } else {
                ""
            };
            let empty = if empty > 0 {
                format!(" ({empty} empty{where_empty})")
            } else {
                String::new()
            };
            writeln!(
                self.out,
                "{dim}… {elided} more {columns}{empty}: {}{plain}",
                self.layout.more
            )?;
        }
        let rows = if self.rows == 1 { "row" } else { "rows" };
        write!(self.out, "{dim}{} {rows}", show_count(self.rows))?;
        if self.layout.timing {
            write!(self.out, " in {}", show_duration(self.started.elapsed()))?;
        }
        writeln!(self.out, "{plain}")
    }
}

impl<W: Write> Writer for Table<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        if batch.num_rows() == 0 || self.schema.fields().is_empty() {
            return Ok(());
        }
        let batch = tidy(batch, &self.schema)?;
        let rows = batch.num_rows() as u64;
        if self.layout.expanded {
            self.draw_pages(&batch)?;
        } else if let Some(plan) = self.plan.take() {
            let drawn = self.draw(&batch, &plan);
            self.plan = Some(plan);
            drawn?;
        } else {
            self.held.push(batch);
            let since = *self.held_since.get_or_insert_with(Instant::now);
            if self.held_rows() >= ROWS_MEASURED_MAX || since.elapsed() > HOLD_MAX {
                self.begin()?;
            }
        }
        self.rows += rows;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ArrowError> {
        // Statements such as CREATE answer with no columns at all.
        if !self.schema.fields().is_empty() {
            if !self.layout.expanded && self.plan.is_none() {
                self.begin()?;
            }
            self.draw_footer()?;
        }
        Ok(self.out.flush()?)
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..))
}

/// A cell as it is drawn, before it is cut.
fn shown<'a>(cell: &'a Cell, data_type: &DataType) -> Cow<'a, str> {
    match cell {
        Cell::Null => Cow::Borrowed("NULL"),
        Cell::Text(text) if is_time(data_type) => Cow::Owned(text.replacen('T', " ", 1)),
        Cell::Number(text) | Cell::Text(text) => visible(text),
    }
}

fn pad(line: &mut String, text: &str, columns: usize, right: bool, last: bool) {
    let blank = columns.saturating_sub(width(text));
    if right {
        line.push_str(&" ".repeat(blank));
    }
    line.push_str(text);
    if !right && !last {
        line.push_str(&" ".repeat(blank));
    }
}

#[cfg(test)]
mod tests;
