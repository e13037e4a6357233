//! Batches in, sorted Parquet files in the store out: one a day and run.
//!
//! ```text
//! push -> run (columns, dictionaries) -> full? -> thread: sort, split by day, encode -> store
//! ```
//!
//! Nothing that the writer puts into the store is part of the table until
//! someone commits it: what [`Writer::finish`] returns is what to commit.

pub(crate) mod run;
mod text;
mod pack;
mod values;
mod chunk;
pub(crate) mod file;

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use chrono::{Days, NaiveDate, Utc};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::task::{JoinError, JoinHandle};
use trailhound_ingest::error::{Error, ErrorKind};

use self::file::{Encoded, FileEncoder};
use self::run::{Picked, Run};
use crate::spec::EVENT_DATE;
use crate::{DataFile, TableSpec};

/// How much a writer holds, and how hard it compresses.
#[derive(Debug, Clone, Copy)]
pub struct WriterSettings {
    /// Rows after which a run is sorted and written. More make larger files and
    /// fewer of them; memory grows with them.
    pub run_rows_max: usize,
    /// Bytes that a run may hold before it is written.
    pub run_bytes_max: usize,
    /// Rows of a row group: the unit that readers skip by statistics and read at once.
    pub row_group_rows_max: usize,
    /// Runs that are encoded and put at the same time; [`Writer::push`] waits beyond that.
    pub encodes_max: usize,
    /// Threads that share the columns of one run.
    pub encode_threads: usize,
    /// Level of zstd, 1 to 22.
    pub zstd_level: i32,
}

impl Default for WriterSettings {
    fn default() -> Self {
        WriterSettings {
            // Twice as many write files of the same size a row, and take 100 MB more.
            run_rows_max: 1 << 19,
            run_bytes_max: 96 << 20,
            row_group_rows_max: 1 << 20,
            encodes_max: 1,
            encode_threads: 2,
            zstd_level: 1,
        }
    }
}

/// Writes the rows of one table.
#[derive(Debug)]
pub struct Writer {
    context: Context,
    run: Run,
    /// The room of a run that was written, for the next one.
    spare: Option<Run>,
    /// Bytes that the run holds.
    held: usize,
    encodes: Vec<JoinHandle<Encodes>>,
    written: Vec<DataFile>,
}

/// What every run's encoding needs.
#[derive(Debug, Clone)]
struct Context {
    spec: Arc<TableSpec>,
    settings: WriterSettings,
    store: Arc<dyn ObjectStore>,
    root: Path,
}

/// What came of one run.
#[derive(Debug)]
struct Encodes {
    /// Its files that were put.
    files: Vec<DataFile>,
    /// What stopped the rest.
    result: Result<(), Error>,
    /// Its room.
    room: Option<Run>,
}

impl Writer {
    /// A writer of `spec`'s table, whose folder in `store` is `table_root`.
    pub fn new(
        spec: TableSpec,
        settings: WriterSettings,
        store: Arc<dyn ObjectStore>,
        table_root: Path,
    ) -> Self {
        Writer {
            run: Run::new(spec.schema.clone()),
            context: Context {
                spec: Arc::new(spec),
                settings,
                store,
                root: table_root,
            },
            spare: None,
            held: 0,
            encodes: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Takes a batch. Its columns are found by name; those that the table has
    /// and the batch lacks are NULL. The batch's buffers are let go before this
    /// returns. Works on this thread, about a millisecond for 8192 rows, and
    /// waits while too many runs are being encoded.
    ///
    /// # Errors
    /// A column has another type than the table's, or a run that was full could not be written.
    pub async fn push(&mut self, batch: RecordBatch) -> Result<(), Error> {
        self.run.push(&batch)?;
        drop(batch);
        self.held = self.run.held();
        let settings = &self.context.settings;
        if self.run.rows() >= settings.run_rows_max || self.held >= settings.run_bytes_max {
            self.write_run().await?;
        }
        Ok(())
    }

    /// Rows that are held and in no file yet; those of runs under way not counted.
    pub fn rows_held(&self) -> usize {
        self.run.rows()
    }

    /// Bytes of memory that the rows held take; runs under way not counted.
    pub fn bytes_held(&self) -> usize {
        self.held
    }

    /// Sends the run off to be encoded, once there is room for it.
    async fn write_run(&mut self) -> Result<(), Error> {
        while self.encodes.len() >= self.context.settings.encodes_max.max(1) {
            self.wait_for_one().await?;
        }
        let next = self.spare.take().unwrap_or_else(|| self.run.next());
        let run = Arc::new(std::mem::replace(&mut self.run, next));
        self.held = 0;
        self.encodes.push(tokio::spawn(write(self.context.clone(), run)));
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<(), Error> {
        if self.encodes.is_empty() {
            return Ok(());
        }
        let encodes = self.encodes.remove(0).await.map_err(panicked)?;
        self.written.extend(encodes.files);
        self.spare = encodes.room;
        encodes.result
    }

    /// Writes what is held and gives all files, ready to be committed.
    ///
    /// # Errors
    /// A file could not be encoded or put; what was put before is deleted.
    pub async fn finish(mut self) -> Result<Vec<DataFile>, Error> {
        match self.write_all().await {
            Ok(()) => Ok(std::mem::take(&mut self.written)),
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    async fn write_all(&mut self) -> Result<(), Error> {
        if self.run.rows() > 0 {
            self.write_run().await?;
        }
        while !self.encodes.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(())
    }

    /// Gives up: waits for runs under way and deletes every file that was put.
    /// What cannot be deleted is left to `lake expire`.
    pub async fn abort(mut self) {
        for encode in std::mem::take(&mut self.encodes) {
            if let Ok(encodes) = encode.await {
                self.written.extend(encodes.files);
            }
        }
        for file in &self.written {
            let path = at(&self.context.root, &file.path);
            if let Err(error) = self.context.store.delete(&path).await {
                tracing::warn!(%path, %error, "a file that nobody needs could not be deleted");
            }
        }
    }
}

/// A file's place in the store.
pub(crate) fn at(root: &Path, path: &str) -> Path {
    path.split('/').fold(root.clone(), |path, part| path.join(part))
}

fn panicked(error: JoinError) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("encoding a file stopped short: {error}"),
    )
}

/// Sorts a run and writes a file for each of its days, one after the other.
async fn write(context: Context, run: Arc<Run>) -> Encodes {
    let mut files = Vec::new();
    let result = write_days(&context, Arc::clone(&run), &mut files).await;
    let room = Arc::into_inner(run).map(Run::cleared);
    Encodes { files, result, room }
}

async fn write_days(context: &Context, run: Arc<Run>, files: &mut Vec<DataFile>) -> Result<(), Error> {
    let time = context.column(context.spec.time)?;
    let ingested = context.column("_ingested_at")?;
    let sorting = Arc::clone(&run);
    let order = tokio::task::spawn_blocking(move || Arc::new(sorting.order(time, ingested)))
        .await
        .map_err(panicked)?;
    for (day, stretch) in order.days.clone() {
        let (spec, settings) = (Arc::clone(&context.spec), context.settings);
        let (run, order) = (Arc::clone(&run), Arc::clone(&order));
        let encoded =
            tokio::task::spawn_blocking(move || encode(&spec, &settings, &run, order.pick(stretch)))
                .await
                .map_err(panicked)?
                .map_err(|error| cannot_encode(context.spec.name, &error))?;
        files.push(context.put(day, encoded).await?);
    }
    Ok(())
}

pub(crate) fn cannot_encode(table: &str, error: &parquet::errors::ParquetError) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("cannot encode rows of table {table} as Parquet: {error}"),
    )
}

fn encode(
    spec: &TableSpec,
    settings: &WriterSettings,
    run: &Run,
    rows: Picked<'_>,
) -> parquet::errors::Result<Encoded> {
    let mut columns: Vec<usize> = (0..spec.schema.fields().len())
        .filter(|&column| !run.is_nothing(column, &rows))
        .collect();
    if columns.is_empty() {
        // A file cannot be without columns, even if its rows are.
        columns.push(0);
    }
    let mut file = FileEncoder::new(spec, &columns, settings.zstd_level, settings.encode_threads)?;
    for part in rows.parts(settings.row_group_rows_max) {
        file.row_group(run, &part)?;
    }
    file.finish()
}

impl Context {
    fn column(&self, name: &str) -> Result<usize, Error> {
        self.spec.schema.index_of(name).map_err(|_| {
            Error::new(
                ErrorKind::Failed,
                format!(
                    "table {} has no column {name}, which its files are sorted by",
                    self.spec.name
                ),
            )
        })
    }

    async fn put(&self, day: i32, encoded: Encoded) -> Result<DataFile, Error> {
        let event_date = date(day);
        let path = new_path(&event_date);
        let size = encoded.bytes.len() as u64;
        let target = at(&self.root, &path);
        self.store
            .put(&target, Bytes::from(encoded.bytes).into())
            .await
            .map_err(|error| cannot_put(&target, &error))?;
        Ok(DataFile {
            path,
            event_date: Some(event_date),
            size,
            rows: encoded.rows,
            modified: Utc::now().timestamp_millis(),
            stats: encoded.stats,
        })
    }
}

pub(crate) fn cannot_put(path: &Path, error: &object_store::Error) -> Error {
    Error::new(ErrorKind::Unreachable, format!("cannot write {path}: {error}"))
        .with_help("is there room left, and may this user write there?")
}

/// A path that no file has had, below the table's folder.
pub(crate) fn new_path(event_date: &str) -> String {
    format!(
        "{EVENT_DATE}={event_date}/part-{}.zstd.parquet",
        uuid::Uuid::new_v4()
    )
}

/// A day as the partition column has it.
fn date(day: i32) -> String {
    let epoch = NaiveDate::default();
    let days = Days::new(u64::from(day.unsigned_abs()));
    let date = if day < 0 {
        epoch.checked_sub_days(days)
    } else {
        epoch.checked_add_days(days)
    };
    date.unwrap_or(epoch).format("%Y-%m-%d").to_string()
}
