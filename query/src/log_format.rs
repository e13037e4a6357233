//! Every log format as a DataFusion [`FileFormat`]: `STORED AS VPC_FLOW` and its siblings.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{GetExt, Result, Statistics, plan_datafusion_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_plan::ExecutionPlan;
use object_store::{ObjectMeta, ObjectStore};
use trailhound_ingest::formats::{Format, Setup};

use crate::ledger::SharedLedger;
use crate::log_source::LogSource;

/// A log format with its options, bound to the ledger of a session.
#[derive(Debug, Clone)]
pub struct LogFormat {
    /// The format.
    pub format: &'static dyn Format,
    /// Its options.
    pub options: BTreeMap<String, String>,
    /// Where scans report to.
    pub ledger: SharedLedger,
    /// Value of `_ingested_at`, microseconds since the epoch.
    pub ingested_at: i64,
}

impl LogFormat {
    /// Checks the options before any object is read.
    ///
    /// # Errors
    /// An option does not exist or its value makes no sense.
    pub fn check_options(&self) -> Result<()> {
        let mut setup = Setup::whole(self.format, "");
        setup.options = self.options.clone();
        self.format
            .parser(setup)
            .map(|_| ())
            .map_err(|error| plan_datafusion_err!("{error}"))
    }
}

#[async_trait]
impl FileFormat for LogFormat {
    fn get_ext(&self) -> String {
        String::new() // Told by content: names of log objects end in .log.gz, .json.gz, .gz or nothing.
    }

    fn get_ext_with_compression(&self, _compression: &FileCompressionType) -> Result<String> {
        Ok(String::new())
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        None
    }

    async fn infer_schema(
        &self,
        _state: &dyn Session,
        _store: &Arc<dyn ObjectStore>,
        _objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        Ok(self.format.schema())
    }

    async fn infer_stats(
        &self,
        _state: &dyn Session,
        _store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        _object: &ObjectMeta,
    ) -> Result<Statistics> {
        Ok(Statistics::new_unknown(&table_schema))
    }

    async fn create_physical_plan(
        &self,
        _state: &dyn Session,
        conf: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(DataSourceExec::from_data_source(conf))
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(LogSource::rows(
            self.clone(),
            self.format.name().into(),
            table_schema,
        ))
    }
}

/// Makes [`LogFormat`]s for `CREATE EXTERNAL TABLE ... STORED AS`.
#[derive(Debug)]
pub struct LogFormatFactory(pub LogFormat);

impl GetExt for LogFormatFactory {
    fn get_ext(&self) -> String {
        self.0.format.name().to_owned()
    }
}

impl FileFormatFactory for LogFormatFactory {
    fn create(
        &self,
        _state: &dyn Session,
        format_options: &HashMap<String, String>,
    ) -> Result<Arc<dyn FileFormat>> {
        let mut format = self.0.clone();
        for (name, value) in format_options {
            let name = name.strip_prefix("format.").unwrap_or(name);
            format.options.insert(name.to_owned(), value.clone());
        }
        format.check_options()?;
        Ok(Arc::new(format))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(self.0.clone())
    }
}
