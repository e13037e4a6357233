//! What is committed together: the rows of whole objects, one writer a table.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tokio::sync::Mutex;
use trailhound_ingest::coverage::Coverage;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_ingest::identity::Claims as IdentityClaims;
use trailhound_lake::{DataFile, Lake, State, TableSpec, Writer, WriterSettings, spec};
use trailhound_sources::{Delivery, Outcome, Receipt};

use crate::claims::{Claims, Content};
use crate::settings::Settings;
use crate::watch::Counts;

/// Writers by table.
type Writers = BTreeMap<&'static str, Arc<Mutex<Writer>>>;

/// The writers of a batch, shared by the objects that are read into it.
#[derive(Clone)]
pub struct Sink {
    lake: Lake,
    settings: WriterSettings,
    writers: Arc<Mutex<Writers>>,
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
                    let writer = Writer::new(
                        spec_of(table)?,
                        self.settings,
                        Arc::clone(self.lake.store()),
                        root,
                    );
                    let writer = Arc::new(Mutex::new(writer));
                    writers.insert(table, Arc::clone(&writer));
                    writer
                }
            }
        };
        writer.lock().await.push(batch).await
    }

    /// Another one of the same lake, without rows.
    fn beside(&self) -> Self {
        Sink::new(&self.lake, self.settings)
    }

    /// Finishes the files of all tables. Nothing of them is visible yet.
    async fn finish(&self) -> Result<Vec<(TableSpec, Vec<DataFile>)>, Error> {
        let mut tables = Vec::new();
        for (table, writer) in self.take().await {
            tables.push((spec_of(table)?, writer.finish().await?));
        }
        Ok(tables)
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

/// Deliveries of a batch, at most. Those that bring no rows take memory too.
const DELIVERIES_MAX: usize = 20_000;

/// A batch under way.
pub struct Batch {
    sink: Sink,
    claims: Arc<Claims>,
    began: Option<Instant>,
    quiet: bool,
    settings: Settings,
    /// Committed counts to be, by table.
    pub counts: BTreeMap<&'static str, Counts>,
    coverage: Coverage,
    identity: IdentityClaims,
    done: Vec<Done>,
    /// Deliveries of a content that another one of the batch brings.
    twins: Vec<(Box<Delivery>, Content)>,
    outcomes: HashMap<Content, Outcome>,
    /// (name, version) of the objects that it makes taken.
    pub takes: Vec<(String, String)>,
    bytes: u64,
}

/// A delivery that needs no more reading.
struct Done {
    delivery: Box<Delivery>,
    outcome: Outcome,
    /// Rows or rejects of it are in the batch.
    has_rows: bool,
}

impl Batch {
    /// An empty batch.
    pub fn new(lake: &Lake, state: &Arc<State>, settings: &Settings) -> Self {
        Batch {
            sink: Sink::new(lake, settings.writer),
            claims: Arc::new(Claims::new(state)),
            began: None,
            quiet: false,
            settings: settings.clone(),
            counts: BTreeMap::new(),
            coverage: Coverage::default(),
            identity: IdentityClaims::default(),
            done: Vec::new(),
            twins: Vec::new(),
            outcomes: HashMap::new(),
            takes: Vec::new(),
            bytes: 0,
        }
    }

    /// Where the objects that are read for it put their rows.
    pub fn sink(&self) -> Sink {
        self.sink.clone()
    }

    /// What it reads. Held until the batch is done with.
    pub fn claims(&self) -> Arc<Claims> {
        Arc::clone(&self.claims)
    }

    /// Notes that something was taken up: the batch ages from here on.
    pub fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    /// Notes an object that was read to its end.
    pub fn add(
        &mut self,
        delivery: Box<Delivery>,
        table: &'static str,
        counts: Counts,
        coverage: Coverage,
        identity: IdentityClaims,
    ) {
        let version = delivery.read_version.get().or_else(|| delivery.version.clone());
        if let Some(version) = version {
            self.takes.push((delivery.name.to_string(), version));
        }
        self.bytes += counts.bytes_in;
        self.counts.entry(table).or_default().add(&counts);
        self.coverage.join(coverage);
        self.identity.join(identity);
        self.end(delivery, Outcome::Taken, true);
    }

    /// Notes a delivery that brings no rows.
    pub fn pass(&mut self, delivery: Box<Delivery>, outcome: Outcome) {
        self.end(delivery, outcome, false);
    }

    /// Notes a delivery of a content that another one of the batch brings, or not.
    pub fn twin(&mut self, delivery: Box<Delivery>, version: String) {
        let content = (Arc::clone(&delivery.name), version);
        self.twins.push((delivery, content));
    }

    fn end(&mut self, delivery: Box<Delivery>, outcome: Outcome, has_rows: bool) {
        for version in delivery
            .version
            .iter()
            .cloned()
            .chain(delivery.read_version.get())
        {
            let content = (Arc::clone(&delivery.name), version);
            self.outcomes.insert(content, outcome.clone());
        }
        self.done.push(Done {
            delivery,
            outcome,
            has_rows,
        });
    }

    /// All is read: what came of an object came of its twins.
    pub fn close(&mut self) {
        for (delivery, content) in std::mem::take(&mut self.twins) {
            let outcome = self
                .outcomes
                .get(&content)
                .cloned()
                .unwrap_or_else(|| Outcome::Failed {
                    reason: "another notice of it was not read either".to_owned(),
                });
            self.pass(delivery, outcome);
        }
    }

    /// Whether nothing was taken up.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Whether it is time to commit by rows, bytes or deliveries.
    pub fn is_full(&self) -> bool {
        let rows: u64 = self
            .counts
            .values()
            .map(|counts| counts.rows + counts.rejected)
            .sum();
        rows >= self.settings.batch_rows_max
            || self.bytes >= self.settings.batch_bytes_max
            || self.done.len() + self.twins.len() >= DELIVERIES_MAX
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
        // The rows first: while they are encoded, what they cover and claim is put together.
        let rows = self.sink.finish();
        let notes = async {
            let notes = self.sink.beside();
            if self.coverage.rows() > 0 {
                notes.push("coverage", self.coverage.batch(source, now)).await?;
            }
            if !self.identity.is_empty() {
                notes.push("identity_claims", self.identity.batch(now)).await?;
            }
            notes.finish().await
        };
        let (rows, notes) = futures::join!(rows, notes);
        let mut tables = rows?;
        tables.extend(notes?);
        Ok(tables)
    }

    /// Gives up all files. The deliveries whose rows were in them, in the order of
    /// the source, to be read again; and all others, with what came of them.
    pub async fn abort(mut self) -> (Vec<Box<Delivery>>, Vec<(Box<Delivery>, Outcome)>) {
        for (_, writer) in self.sink.take().await {
            writer.abort().await;
        }
        let (again, kept): (Vec<Done>, Vec<Done>) = self.done.into_iter().partition(|done| done.has_rows);
        let again = again.into_iter().map(|done| done.delivery);
        let mut again: Vec<_> = again
            .chain(self.twins.drain(..).map(|(delivery, _)| delivery))
            .collect();
        again.sort_by_key(|delivery| delivery.receipt.number);
        let kept = kept.into_iter().map(|done| (done.delivery, done.outcome));
        (again, kept.collect())
    }

    /// Receipts of what is taken with it.
    pub fn taken(&self) -> Vec<&Receipt> {
        let taken = self.done.iter().filter(|done| done.outcome == Outcome::Taken);
        taken.map(|done| &done.delivery.receipt).collect()
    }

    /// When the source got the latest object whose rows are in it, microseconds since the epoch.
    pub fn delivered_last(&self) -> Option<i64> {
        let with_rows = self.done.iter().filter(|done| done.has_rows);
        with_rows.filter_map(|done| done.delivery.delivered_at).max()
    }

    /// Receipts and outcomes, to be told to the source.
    pub fn outcomes(&self) -> Vec<(Receipt, Outcome)> {
        self.done
            .iter()
            .map(|done| (done.delivery.receipt.clone(), done.outcome.clone()))
            .collect()
    }
}

fn spec_of(table: &str) -> Result<TableSpec, Error> {
    spec::spec(table).ok_or_else(|| Error::new(ErrorKind::Failed, format!("the lake has no table {table}")))
}
