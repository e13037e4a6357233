//! Results on their way out: which form, and where to.
//!
//! Rows come in as Arrow batches and leave as they come: no form holds a whole
//! result in memory.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use clap::ValueEnum;

pub mod cells;
pub mod columnar;
pub mod csv;
pub mod destination;
pub mod json;
pub mod pager;

use destination::Destination;

/// The form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for reading, cut to the width of the window
    Table,
    /// One JSON object per line
    Ndjson,
    /// One JSON array of objects
    Json,
    /// Comma-separated, with a header, safe from formulas
    Csv,
    /// A Parquet file, compressed with zstd
    Parquet,
    /// An Arrow IPC file
    Arrow,
}

/// Endings of file names, and what they ask for.
const ENDINGS: &[(&str, Format)] = &[
    ("ndjson", Format::Ndjson),
    ("jsonl", Format::Ndjson),
    ("json", Format::Json),
    ("csv", Format::Csv),
    ("parquet", Format::Parquet),
    ("arrow", Format::Arrow),
    ("txt", Format::Table),
];

impl Format {
    /// Its name, as `--format` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Ndjson => "ndjson",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
        }
    }

    /// Whether the form is for programs only.
    pub fn is_binary(self) -> bool {
        matches!(self, Format::Parquet | Format::Arrow)
    }

    /// The form to write in: the one asked for, else the one that the file's
    /// name asks for, else a table for eyes and NDJSON for programs.
    ///
    /// # Errors
    /// The file's name does not tell, or a binary form would go to a terminal.
    pub fn choose(asked: Option<Format>, file: Option<&Path>) -> Result<Format> {
        let on_terminal = file.is_none() && std::io::stdout().is_terminal();
        let format = match (asked, file) {
            (Some(format), _) => format,
            (None, None) if on_terminal => Format::Table,
            (None, None) => Format::Ndjson,
            (None, Some(file)) => Format::of_file(file)?,
        };
        if format.is_binary() && on_terminal {
            bail!(
                "{} is a binary format and standard output is a terminal: write it to a file, with \
                 --output FILE, or \\o FILE at the prompt",
                format.name()
            );
        }
        Ok(format)
    }

    fn of_file(file: &Path) -> Result<Format> {
        let Some(ending) = file.extension() else {
            return Ok(Format::Ndjson);
        };
        let ending = ending.to_string_lossy().to_lowercase();
        let known = ENDINGS.iter().find(|(known, _)| *known == ending);
        known.map(|(_, format)| *format).with_context(|| {
            let known: Vec<_> = ENDINGS.iter().map(|(known, _)| format!(".{known}")).collect();
            format!(
                "the ending .{} of {} does not tell a format: use one of {}, or add --format",
                crate::text::visible(&ending),
                crate::text::visible(&file.to_string_lossy()),
                known.join(" ")
            )
        })
    }
}

/// Takes the batches of one result.
pub trait Writer {
    /// Writes one batch.
    ///
    /// # Errors
    /// The batch cannot be written.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError>;

    /// Writes what is left: nothing may follow.
    ///
    /// # Errors
    /// The end cannot be written.
    fn finish(&mut self) -> Result<(), ArrowError>;
}

/// A writer of `format`, which is not [`Format::Table`], for batches of `schema`.
///
/// # Errors
/// The format cannot hold such columns, or writing fails.
pub fn writer<'a>(
    format: Format,
    schema: &SchemaRef,
    out: &'a mut Destination,
) -> Result<Box<dyn Writer + 'a>, ArrowError> {
    let on_terminal = out.is_terminal();
    // The writers make many small writes, a terminal's line buffer would
    // make a system call of each line.
    let out = BufWriter::with_capacity(64 << 10, out);
    Ok(match format {
        Format::Ndjson | Format::Table => Box::new(json::Ndjson::new(schema, out)),
        Format::Json => Box::new(json::Json::new(schema, out)),
        Format::Csv => Box::new(csv::Csv::new(schema, out, on_terminal)?),
        Format::Parquet => Box::new(columnar::Parquet::new(schema, out)?),
        Format::Arrow => Box::new(columnar::ArrowFile::new(schema, out)?),
    })
}

/// Whether `error` only says that the reader of our output has had enough, as
/// `head` does.
pub fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::BrokenPipe;
        }
        if let Some(ArrowError::IoError(_, error)) = error.downcast_ref::<ArrowError>() {
            return error.kind() == std::io::ErrorKind::BrokenPipe;
        }
        next = error.source();
    }
    false
}

/// Says something on standard error; that it cannot be said is no failure.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_tells_the_format() {
        let of = |name: &str| Format::choose(None, Some(Path::new(name))).map_err(|error| error.to_string());
        assert_eq!(of("a.csv"), Ok(Format::Csv));
        assert_eq!(of("a.b/c.JSONL"), Ok(Format::Ndjson));
        assert_eq!(of("/dev/null"), Ok(Format::Ndjson));
        assert!(of("a.xlsx").unwrap_err().contains(".ndjson .jsonl .json .csv"));
        assert!(of("a.csv.gz").is_err());
        assert_eq!(
            Format::choose(Some(Format::Arrow), Some(Path::new("a.xlsx"))).unwrap(),
            Format::Arrow
        );
    }

    #[test]
    fn a_closed_pipe_is_found_in_the_chain() {
        let pipe = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&pipe()));
        assert!(is_broken_pipe(&ArrowError::from(pipe())));
        assert!(is_broken_pipe(
            anyhow::Error::from(ArrowError::from(pipe()))
                .context("writing")
                .as_ref()
        ));
        assert!(!is_broken_pipe(&ArrowError::DivideByZero));
    }
}
