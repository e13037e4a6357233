//! Parquet and Arrow files: written as the rows come, never held whole.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::cells::{portable, portable_schema, tidy, tidy_schema};

/// Bytes of a row group at which it is written out: what bounds the memory.
const ROW_GROUP_BYTES_MAX: usize = 64 << 20;

/// Writes a Parquet file, compressed with zstd.
pub struct Parquet<W: Write + Send> {
    writer: ArrowWriter<W>,
    tidy: SchemaRef,
    schema: SchemaRef,
}

impl<W: Write + Send> Parquet<W> {
    /// A writer for batches of `schema`.
    ///
    /// # Errors
    /// A column's type has no Parquet form, or the file cannot be begun.
    pub fn new(schema: &SchemaRef, out: W) -> Result<Self, ArrowError> {
        let tidy = tidy_schema(schema);
        let schema = portable_schema(&tidy);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by(concat!("trailhound ", env!("CARGO_PKG_VERSION")).to_string())
            .build();
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties))?;
        Ok(Parquet { writer, tidy, schema })
    }
}

impl<W: Write + Send> super::Writer for Parquet<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.writer
            .write(&portable(&tidy(batch, &self.tidy)?, &self.schema)?)?;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES_MAX {
            self.writer.flush()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ArrowError> {
        self.writer.finish()?;
        Ok(self.writer.inner_mut().flush()?)
    }
}

/// Writes an Arrow IPC file.
pub struct ArrowFile<W: Write> {
    writer: FileWriter<W>,
    tidy: SchemaRef,
    schema: SchemaRef,
}

impl<W: Write> ArrowFile<W> {
    /// A writer for batches of `schema`.
    ///
    /// # Errors
    /// The file cannot be begun.
    pub fn new(schema: &SchemaRef, out: W) -> Result<Self, ArrowError> {
        let tidy = tidy_schema(schema);
        let schema = portable_schema(&tidy);
        let writer = FileWriter::try_new(out, &schema)?;
        Ok(ArrowFile { writer, tidy, schema })
    }
}

impl<W: Write> super::Writer for ArrowFile<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.writer
            .write(&portable(&tidy(batch, &self.tidy)?, &self.schema)?)
    }

    fn finish(&mut self) -> Result<(), ArrowError> {
        self.writer.finish()?;
        Ok(self.writer.get_mut().flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Writer as _;
    use arrow::array::{ArrayRef, AsArray, StringViewArray};
    use arrow::datatypes::DataType;
    use std::io::Cursor;
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec![
            "a",
            "longer than twelve bytes",
            "=c",
            "d",
        ]));
        RecordBatch::try_from_iter([("s", views), ("v", crate::output::cells::tests::union())]).unwrap()
    }

    fn check(read: &RecordBatch) {
        assert_eq!(read.schema().field(0).data_type(), &DataType::Utf8);
        assert_eq!(
            read.column(0).as_string::<i32>().value(1),
            "longer than twelve bytes"
        );
        assert_eq!(read.column(1).as_string::<i32>().value(1), "9007199254740993");
        assert!(read.column(1).is_null(0));
    }

    #[test]
    fn parquet_reads_back() {
        let mut file = Vec::new();
        let mut writer = Parquet::new(&batch().schema(), &mut file).unwrap();
        writer.write(&batch()).unwrap();
        writer.finish().unwrap();
        drop(writer);
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes_of(file));
        check(&reader.unwrap().build().unwrap().next().unwrap().unwrap());
    }

    fn bytes_of(file: Vec<u8>) -> std::fs::File {
        use std::io::{Seek, Write};
        let mut temporary = tempfile::tempfile().unwrap();
        temporary.write_all(&file).unwrap();
        temporary.rewind().unwrap();
        temporary
    }

    #[test]
    fn arrow_reads_back() {
        let mut file = Vec::new();
        let mut writer = ArrowFile::new(&batch().schema(), &mut file).unwrap();
        writer.write(&batch()).unwrap();
        writer.finish().unwrap();
        drop(writer);
        let mut reader = arrow::ipc::reader::FileReader::try_new(Cursor::new(file), None).unwrap();
        check(&reader.next().unwrap().unwrap());
    }
}
