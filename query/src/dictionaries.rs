//! Parquet whose text is read as the dictionaries that it lies in.
//!
//! Which Arrow type a column is read as, the reader takes from a hint in the file's metadata. So that is what
//! is told otherwise here: files that lack a column, or have others besides, need nothing else.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataBuilder};

/// Dictionaries of texts, as Parquet's reader gives them.
pub(crate) fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

/// A schema in which the texts of these columns are dictionaries.
pub(crate) fn with_dictionaries(schema: &Schema, columns: &[&str]) -> Schema {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 | DataType::Utf8View if columns.contains(&field.name().as_str()) => {
            Arc::new(field.as_ref().clone().with_data_type(dictionary_type()))
        }
        _ => Arc::clone(field),
    };
    let fields: Vec<Arc<Field>> = schema.fields().iter().map(field).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// Opens files so that the texts of these columns are read as dictionaries.
#[derive(Debug)]
pub(crate) struct DictionaryReaders {
    readers: DefaultParquetFileReaderFactory,
    columns: Arc<[&'static str]>,
}

impl DictionaryReaders {
    /// Over the files of `store`.
    pub fn new(store: Arc<dyn ObjectStore>, columns: &[&'static str]) -> Self {
        DictionaryReaders {
            readers: DefaultParquetFileReaderFactory::new(store),
            columns: columns.into(),
        }
    }
}

impl ParquetFileReaderFactory for DictionaryReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        partitioned_file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let reader =
            self.readers
                .create_reader(partition_index, partitioned_file, metadata_size_hint, metrics)?;
        Ok(Box::new(DictionaryReader {
            reader,
            columns: Arc::clone(&self.columns),
        }))
    }
}

struct DictionaryReader {
    reader: Box<dyn AsyncFileReader + Send>,
    columns: Arc<[&'static str]>,
}

impl AsyncFileReader for DictionaryReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.reader.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.reader.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let metadata = self.reader.get_metadata(options).await?;
            Ok(Arc::new(hinted(&metadata, &self.columns)?))
        }
        .boxed()
    }
}

/// A file's metadata with the hint that these columns are dictionaries.
fn hinted(metadata: &ParquetMetaData, columns: &[&str]) -> ParquetResult<ParquetMetaData> {
    let file = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    let hint = KeyValue::new(
        ARROW_SCHEMA_META_KEY.to_owned(),
        encode_arrow_schema(&with_dictionaries(&schema, columns)),
    );
    let others = file.key_value_metadata().into_iter().flatten();
    let others = others.filter(|entry| entry.key != ARROW_SCHEMA_META_KEY).cloned();
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        Some(others.chain([hint]).collect()),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    Ok(ParquetMetaDataBuilder::new(file)
        .set_row_groups(metadata.row_groups().to_vec())
        .set_column_index(metadata.column_index().cloned())
        .set_offset_index(metadata.offset_index().cloned())
        .build())
}
