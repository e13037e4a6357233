//! The newest version of a table's log: read once, then kept up to date.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::Int64Type;
use delta_kernel::actions::{Metadata, Protocol};
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::scan::StatsOptions;
use delta_kernel::schema::StructType;
use delta_kernel::{Engine, SnapshotRef};
use object_store::path::Path;
use trailhound_ingest::error::{Error, ErrorKind};

use crate::lake::{Table, chain, lock};
use crate::spec::EVENT_DATE;
use crate::{DataFile, table};

/// Commits that are read one by one for their transaction numbers; beyond that
/// the log is searched anew.
const TAIL_COMMITS_MAX: u64 = 16;

/// One version of a table, without its files.
#[derive(Clone)]
pub(crate) struct Head {
    kernel: SnapshotRef,
    /// Transaction numbers that were asked for, as of this version.
    transactions: Arc<Mutex<HashMap<String, Option<i64>>>>,
}

impl Head {
    pub(crate) fn version(&self) -> u64 {
        self.kernel.version()
    }

    pub(crate) fn schema(&self) -> Arc<StructType> {
        self.kernel.schema()
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        self.kernel.table_configuration().metadata()
    }

    pub(crate) fn protocol(&self) -> &Protocol {
        self.kernel.table_configuration().protocol()
    }

    pub(crate) fn kernel(&self) -> &SnapshotRef {
        &self.kernel
    }

    /// Whether it is the same version of the same table. A table that was
    /// deleted and made anew has another id.
    pub(crate) fn is(&self, other: &Head) -> bool {
        self.version() == other.version() && self.metadata().id() == other.metadata().id()
    }

    /// The last transaction number of `app_id`.
    pub(crate) async fn transaction(&self, table: &Table, app_id: &str) -> Result<Option<i64>, Error> {
        if let Some(known) = lock(&self.transactions).get(app_id) {
            return Ok(*known);
        }
        let (kernel, id) = (Arc::clone(&self.kernel), app_id.to_owned());
        let number = table
            .blocking("reading transaction numbers", move |engine| {
                kernel.get_app_id_version(&id, engine)
            })
            .await?;
        lock(&self.transactions).insert(app_id.to_owned(), number);
        Ok(number)
    }

    /// Its files.
    pub(crate) async fn files(&self, table: &Table) -> Result<Vec<DataFile>, Error> {
        let kernel = Arc::clone(&self.kernel);
        let batches = table
            .blocking("listing its files", move |engine| {
                let scan = kernel
                    .scan_builder()
                    .with_stats(StatsOptions::json_only())
                    .without_row_transforms()
                    .build()?;
                scan.scan_metadata(engine)?
                    .map(|metadata| {
                        let selected = metadata?.scan_files.apply_selection_vector()?;
                        let data = ArrowEngineData::try_from_engine_data(selected)?;
                        Ok(data.record_batch().clone())
                    })
                    .collect::<delta_kernel::DeltaResult<Vec<RecordBatch>>>()
            })
            .await?;
        let mut files = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for batch in &batches {
            files_of(batch, &mut files)
                .ok_or_else(|| table.failed("listing its files", "the log has an unexpected shape"))?;
        }
        Ok(files)
    }
}

/// The files in one batch of the kernel's scan; none if a column is missing.
fn files_of(batch: &RecordBatch, files: &mut Vec<DataFile>) -> Option<()> {
    let paths = batch.column_by_name("path")?.as_string_opt::<i32>()?;
    let sizes = batch.column_by_name("size")?.as_primitive_opt::<Int64Type>()?;
    let modified = batch
        .column_by_name("modificationTime")?
        .as_primitive_opt::<Int64Type>()?;
    let stats = batch.column_by_name("stats")?.as_string_opt::<i32>()?;
    let constants: &StructArray = batch.column_by_name("fileConstantValues")?.as_struct_opt()?;
    let partitions = constants.column_by_name("partitionValues")?.as_map_opt()?;
    for row in 0..batch.num_rows() {
        let stats = match stats.is_valid(row) {
            true => stats.value(row).to_owned(),
            false => String::new(),
        };
        files.push(DataFile {
            path: decode(paths.value(row)),
            event_date: day_of(&partitions.value(row)),
            size: u64::try_from(sizes.value(row)).unwrap_or(0),
            rows: rows_of(&stats),
            modified: modified.value(row),
            stats,
        });
    }
    Some(())
}

/// The day in a map of partition values.
fn day_of(entries: &StructArray) -> Option<String> {
    let keys = entries.column(0).as_string_opt::<i32>()?;
    let values = entries.column(1).as_string_opt::<i32>()?;
    let at = (0..keys.len()).find(|&at| keys.value(at) == EVENT_DATE)?;
    (values.is_valid(at) && !values.value(at).is_empty()).then(|| values.value(at).to_owned())
}

/// `numRecords`, without building a tree of the statistics of all columns.
fn rows_of(stats: &str) -> u64 {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stats {
        num_records: Option<u64>,
    }
    serde_json::from_str::<Stats>(stats)
        .ok()
        .and_then(|stats| stats.num_records)
        .unwrap_or(0)
}

/// The log holds paths as parts of a URL.
fn decode(path: &str) -> String {
    match path.contains('%') {
        true => Path::from_url_path(path).map_or_else(|_| path.to_owned(), |path| path.to_string()),
        false => path.to_owned(),
    }
}

impl Table {
    /// The newest version; none if there is no table.
    pub(crate) async fn refresh(&self) -> Result<Option<Head>, Error> {
        let known = lock(&self.head).clone();
        let head = match known {
            Some(known) => match self.advance(known).await {
                Ok(head) => Some(head),
                // Its log may have been cleaned, or the table made anew.
                Err(_) => self.load_at(None).await?,
            },
            None => self.load_at(None).await?,
        };
        if let Some(head) = &head {
            table::check_readable(&self.name, head.protocol(), head.metadata())?;
        }
        *lock(&self.head) = head.clone();
        Ok(head)
    }

    /// The newest version, or a given one, from nothing.
    pub(crate) async fn load_at(&self, version: Option<u64>) -> Result<Option<Head>, Error> {
        let url = self.log.root_url().to_string();
        let loaded = self
            .blocking("reading its log", move |engine| {
                let mut builder = delta_kernel::Snapshot::builder_for(url);
                if let Some(version) = version {
                    builder = builder.at_version(version);
                }
                match builder.build(engine) {
                    Ok(kernel) => Ok(Some(kernel)),
                    Err(error) if is_missing(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        Ok(loaded.map(|kernel| Head {
            kernel,
            transactions: Arc::default(),
        }))
    }

    /// The newest version, from one that is known.
    async fn advance(&self, known: Head) -> Result<Head, Error> {
        let old = Arc::clone(&known.kernel);
        let kernel = self
            .blocking("reading the end of its log", move |engine| {
                delta_kernel::Snapshot::builder_from(old).build(engine)
            })
            .await?;
        if kernel.version() == known.version() {
            return Ok(Head { kernel, ..known });
        }
        let transactions = match kernel.version() - known.version() <= TAIL_COMMITS_MAX {
            true => self.tail(&known, kernel.version()).await,
            false => None,
        };
        Ok(Head {
            kernel,
            transactions: Arc::new(Mutex::new(transactions.unwrap_or_default())),
        })
    }

    /// The numbers known at `known`, and what the commits since then made of them.
    async fn tail(&self, known: &Head, until: u64) -> Option<HashMap<String, Option<i64>>> {
        #[derive(serde::Deserialize)]
        struct Line {
            txn: Option<Txn>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Txn {
            app_id: String,
            version: i64,
        }
        let mut numbers = lock(&known.transactions).clone();
        for version in known.version() + 1..=until {
            let commit = self.log.read_commit_entry(version).await.ok()??;
            // All other actions are passed over, without reading their statistics.
            for line in std::str::from_utf8(&commit)
                .ok()?
                .lines()
                .filter(|line| line.contains("\"txn\""))
            {
                if let Some(txn) = serde_json::from_str::<Line>(line).ok()?.txn {
                    numbers.insert(txn.app_id, Some(txn.version));
                }
            }
        }
        Some(numbers)
    }

    /// Runs `work` of the kernel, which blocks, with an engine over the store.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&dyn Engine) -> delta_kernel::DeltaResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let engine = self.log.engine(None);
        match tokio::task::spawn_blocking(move || work(engine.as_ref())).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.refused(doing, &error)),
            Err(error) => Err(self.failed(doing, &error.to_string())),
        }
    }

    fn refused(&self, doing: &str, error: &delta_kernel::Error) -> Error {
        let text = chain(error);
        match error {
            delta_kernel::Error::Unsupported(_) | delta_kernel::Error::InvalidProtocol(_) => {
                table::newer(&self.name, &text)
            }
            _ => self.failed(doing, &text),
        }
    }

    pub(crate) fn failed(&self, doing: &str, why: &str) -> Error {
        Error::new(
            ErrorKind::Unreachable,
            format!("table {}: {doing}: {why}", self.log.root_url()),
        )
    }
}

/// Whether the error says that there is no table. There is no variant for it.
fn is_missing(error: &delta_kernel::Error) -> bool {
    let text = error.to_string();
    text.contains("No files in log segment") || text.contains("Path does not exist")
}
