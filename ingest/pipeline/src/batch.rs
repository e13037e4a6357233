//! What is committed together: the rows of whole objects, one writer a table.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tokio::sync::Mutex;
use trailhound_ingest::coverage::Coverage;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_ingest::identity::Claims;
use trailhound_lake::{DataFile, Lake, TableSpec, Writer, WriterSettings, spec};
use trailhound_sources::{Delivery, Outcome, Receipt};

use crate::settings::Settings;
use crate::watch::Counts;

/// The writers of a batch, shared by the objects that are read into it.
#[derive(Clone)]
pub struct Sink {
    lake: Lake,
    settings: WriterSettings,
    writers: Arc<Mutex<BTreeMap<&'static str, Arc<Mutex<Writer>>>>>,
}

impl Sink {
    fn new(lake: &Lake, settings: WriterSettings) -> Self {
        Sink {
            lake: lake.clone(),
            settings,
            writers: Arc::default(),
        }
    }

    /// Hands rows to the table's writer. Waits while that is busy.
    ///
    /// # Errors
    /// The rows could not be written.
    pub async fn push(&self, table: &'static str, batch: RecordBatch) -> Result<(), Error> {
        let writer = {
            let mut writers = self.writers.lock().await;
            match writers.get(table) {
                Some(writer) => Arc::clone(writer),
                None => {
                    let root = self.lake.path_of(table);
                    let writer = Writer::new(spec_of(table)?, self.settings, Arc::clone(self.lake.store()), root);
                    let writer = Arc::new(Mutex::new(writer));
                    writers.insert(table, Arc::clone(&writer));
                    writer
                }
            }
        };
        writer.lock().await.push(batch).await
    }

    /// All writers. Nobody else may hold the sink's writers any more.
    async fn take(&self) -> Vec<(&'static str, Writer)> {
        let writers = std::mem::take(&mut *self.writers.lock().await);
        writers
            .into_iter()
            .filter_map(|(table, writer)| Some((table, Arc::into_inner(writer)?.into_inner())))
            .collect()
    }
}

/// A batch under way.
pub struct Batch {
    sink: Sink,
    began: Option<Instant>,
    quiet: bool,
    settings: Settings,
    /// Committed counts to be, by table.
    pub counts: BTreeMap<&'static str, Counts>,
    coverage: Coverage,
    claims: Claims,
    /// Deliveries whose rows are in it, or that need no reading, in no order.
    pub done: Vec<(Box<Delivery>, Outcome)>,
    /// (name, version) of the objects that it makes taken.
    pub takes: Vec<(String, String)>,
    seen: HashSet<(Arc<str>, String)>,
    bytes: u64,
}

impl Batch {
    /// An empty batch.
    pub fn new(lake: &Lake, settings: &Settings) -> Self {
        Batch {
            sink: Sink::new(lake, settings.writer),
            began: None,
            quiet: false,
            settings: settings.clone(),
            counts: BTreeMap::new(),
            coverage: Coverage::default(),
            claims: Claims::default(),
            done: Vec::new(),
            takes: Vec::new(),
            seen: HashSet::new(),
            bytes: 0,
        }
    }

    /// Where the objects that are read for it put their rows.
    pub fn sink(&self) -> Sink {
        self.sink.clone()
    }

    /// Notes that a delivery is taken up. False: it already is, under the same version.
    pub fn admit(&mut self, delivery: &Delivery) -> bool {
        self.began.get_or_insert_with(Instant::now);
        match &delivery.version {
            Some(version) => self.seen.insert((Arc::clone(&delivery.name), version.clone())),
            None => true,
        }
    }

    /// Notes an object that was read to its end.
    pub fn add(
        &mut self,
        delivery: Box<Delivery>,
        table: &'static str,
        counts: Counts,
        coverage: Coverage,
        claims: Claims,
    ) {
        let version = delivery.read_version.get().or_else(|| delivery.version.clone());
        if let Some(version) = version {
            self.takes.push((delivery.name.to_string(), version));
        }
        self.bytes += counts.bytes_in;
        self.counts.entry(table).or_default().add(&counts);
        self.coverage.join(coverage);
        self.claims.join(claims);
        self.done.push((delivery, Outcome::Taken));
    }

    /// Whether nothing was taken up.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Whether it is time to commit by rows or bytes.
    pub fn is_full(&self) -> bool {
        let rows: u64 = self.counts.values().map(|counts| counts.rows).sum();
        rows >= self.settings.batch_rows_max || self.bytes >= self.settings.batch_bytes_max
    }

    /// Notes that the source has nothing more for now.
    pub fn quiet(&mut self) {
        self.quiet = true;
    }

    /// How long until it is time to commit by age; none if nothing was taken up yet.
    pub fn time_left(&self) -> Option<Duration> {
        let age_max = match self.quiet {
            true => self.settings.quiet_age_max.min(self.settings.batch_age_max),
            false => self.settings.batch_age_max,
        };
        Some(age_max.saturating_sub(self.began?.elapsed()))
    }

    /// Finishes all files. Nothing of them is visible yet.
    ///
    /// # Errors
    /// A file could not be written.
    pub async fn write(&self, source: &str, now: i64) -> Result<Vec<(TableSpec, Vec<DataFile>)>, Error> {
        if self.coverage.rows() > 0 {
            self.sink.push("coverage", self.coverage.batch(source, now)).await?;
        }
        if !self.claims.is_empty() {
            self.sink.push("identity_claims", self.claims.batch(now)).await?;
        }
        let mut tables = Vec::new();
        for (table, writer) in self.sink.take().await {
            tables.push((spec_of(table)?, writer.finish().await?));
        }
        Ok(tables)
    }

    /// Gives up all files.
    pub async fn abort(&self) {
        for (_, writer) in self.sink.take().await {
            writer.abort().await;
        }
    }

    /// Receipts and outcomes, to be told to the source.
    pub fn outcomes(&self) -> Vec<(Receipt, Outcome)> {
        self.done
            .iter()
            .map(|(delivery, outcome)| (delivery.receipt.clone(), outcome.clone()))
            .collect()
    }
}

fn spec_of(table: &str) -> Result<TableSpec, Error> {
    spec::spec(table).ok_or_else(|| Error::new(ErrorKind::Failed, format!("the lake has no table {table}")))
}
