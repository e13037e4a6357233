//! Commits: each once, whatever the store answers.
//!
//! A put can land and still fail: with 5xx, with 409 or 412 on a retry that met
//! its own file, or with no answer at all. So no error is believed. After each
//! one the log is read again, and the transaction number in it decides.
//!
//! A put that is still on its way cannot land later: it aims at one version
//! number, and the next try either takes that number or finds it taken.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deltalake_core::kernel::transaction::{CommitData, TransactionError};
use deltalake_core::kernel::{Action, Add, Remove, Transaction};
use deltalake_core::logstore::CommitOrBytes;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use tokio::time::Instant;
use trailhound_ingest::error::{Error, ErrorKind};

use crate::head::Head;
use crate::lake::{Lake, Table, chain};
use crate::spec::EVENT_DATE;
use crate::{DataFile, TableSpec, table};

/// The number of a commit, by which it is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// Who commits: `trailhound/WORKER/SOURCE`.
    pub app_id: String,
    /// Ascending with each commit of this `app_id`.
    pub version: i64,
}

/// A commit that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The version of the table that shows it, or one after it.
    pub version: u64,
    /// It was in the log before this call began.
    pub landed_before: bool,
}

/// What came of replacing files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// Done.
    Committed(Committed),
    /// This file is no longer part of the table: someone else replaced it.
    /// Nothing was changed.
    Conflict(String),
}

/// How long a commit is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// No further try after this time.
    pub give_up_after: Duration,
    /// Wait after the first failure; doubled with each one.
    pub first_wait: Duration,
    /// Longest wait.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            give_up_after: Duration::from_secs(120),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(10),
        }
    }
}

/// What one look at the log, or one try, came to.
enum Try<T> {
    Done(T),
    /// The outcome is not known, or someone was faster.
    Again(Error),
    /// It cannot be done, however often it is tried.
    Refused(Error),
}

impl Lake {
    /// Adds files to a table, once: a second call with the same number changes
    /// nothing. The table is made, or gets the columns that it lacks, with it.
    ///
    /// # Errors
    /// The store could not be reached for as long as [`Retry`] says (the commit
    /// may have landed even so: call again); or the table is not ours to write to.
    pub async fn append(&self, spec: &TableSpec, files: &[DataFile], txn: &Txn) -> Result<Committed, Error> {
        let table = self.table(spec.name)?;
        let _one_at_a_time = table.commits.lock().await;
        let mut tries = Tries::new(self.retry());
        loop {
            let landed_before = tries.count == 0;
            match append_once(&table, spec, files, txn, landed_before).await {
                Try::Done(committed) => return Ok(committed),
                Try::Refused(error) => return Err(error),
                Try::Again(error) => tries.wait(&table, error).await?,
            }
        }
    }

    /// Puts the files `add` into the place of `remove`, in one commit. Commits
    /// of others in between do no harm unless they removed one of the files.
    /// `data_change` says whether the rows differ, other than in their order.
    ///
    /// # Errors
    /// The store could not be reached, the table does not exist, or it is not
    /// ours to write to.
    pub async fn replace(
        &self,
        table: &str,
        remove: &[DataFile],
        add: &[DataFile],
        data_change: bool,
    ) -> Result<Replaced, Error> {
        let table = self.table(table)?;
        let _one_at_a_time = table.commits.lock().await;
        let mut tries = Tries::new(self.retry());
        loop {
            match replace_once(&table, remove, add, data_change, tries.count > 0).await {
                Try::Done(replaced) => return Ok(replaced),
                Try::Refused(error) => return Err(error),
                Try::Again(error) => tries.wait(&table, error).await?,
            }
        }
    }
}

async fn append_once(
    table: &Table,
    spec: &TableSpec,
    files: &[DataFile],
    txn: &Txn,
    landed_before: bool,
) -> Try<Committed> {
    let head = match table.refresh().await {
        Ok(head) => head,
        Err(error) => return unread(error),
    };
    let Some(head) = head else {
        return match table::first_actions(spec) {
            // Whoever was first, the table is there at the next look.
            Ok(actions) => match create(table, actions).await {
                Ok(()) => Box::pin(append_once(table, spec, files, txn, landed_before)).await,
                Err(error) => Try::Again(error),
            },
            Err(error) => Try::Refused(error),
        };
    };
    match head.transaction(table, &txn.app_id).await {
        Ok(Some(stored)) if stored >= txn.version => {
            return Try::Done(Committed {
                version: head.version(),
                landed_before,
            });
        }
        Ok(_) => {}
        Err(error) => return Try::Again(error),
    }
    if let Err(error) = table::check_writable(&table.name, head.protocol()) {
        return Try::Refused(error);
    }
    let mut actions = match table::evolved(spec, head.metadata(), &head.schema()) {
        Ok(metadata) => metadata.map(Action::Metadata).into_iter().collect::<Vec<_>>(),
        Err(error) => return Try::Refused(error),
    };
    actions.extend(files.iter().map(|file| Action::Add(add_action(file, true))));
    let transaction = Transaction::new_with_last_update(
        &txn.app_id,
        txn.version,
        Some(chrono::Utc::now().timestamp_millis()),
    );
    let operation = DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: Some(vec![EVENT_DATE.to_owned()]),
        predicate: None,
    };
    let data = CommitData::new(actions, operation, HashMap::new(), vec![transaction]);
    match write(table, &head, &data).await {
        Ok(version) => Try::Done(Committed {
            version,
            landed_before: false,
        }),
        Err(error) => Try::Again(error),
    }
}

async fn replace_once(
    table: &Table,
    remove: &[DataFile],
    add: &[DataFile],
    data_change: bool,
    tried: bool,
) -> Try<Replaced> {
    let head = match table.refresh().await {
        Ok(Some(head)) => head,
        Ok(None) => return Try::Refused(table.failed("replacing files", "there is no such table")),
        Err(error) => return unread(error),
    };
    if let Err(error) = table::check_writable(&table.name, head.protocol()) {
        return Try::Refused(error);
    }
    let files = match head.files(table).await {
        Ok(files) => files,
        Err(error) => return Try::Again(error),
    };
    let present: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let done = |version| {
        Try::Done(Replaced::Committed(Committed {
            version,
            landed_before: false,
        }))
    };
    let gone = remove.iter().find(|file| !present.contains(file.path.as_str()));
    if tried {
        // Names of files are used once: if one of ours shows, our commit landed.
        let landed = match add.first() {
            Some(file) => present.contains(file.path.as_str()),
            None => gone.is_some(),
        };
        if landed {
            return done(head.version());
        }
    }
    if let Some(gone) = gone {
        return Try::Done(Replaced::Conflict(gone.path.clone()));
    }
    let now = chrono::Utc::now().timestamp_millis();
    let actions = remove
        .iter()
        .map(|file| Action::Remove(remove_action(file, now, data_change)))
        .chain(add.iter().map(|file| Action::Add(add_action(file, data_change))))
        .collect();
    let operation = match data_change {
        false => DeltaOperation::Optimize {
            predicate: None,
            target_size: 0,
        },
        true => DeltaOperation::Delete { predicate: None },
    };
    let data = CommitData::new(actions, operation, HashMap::new(), Vec::new());
    match write(table, &head, &data).await {
        Ok(version) => done(version),
        Err(error) => Try::Again(error),
    }
}

/// What to do when the log could not be read.
fn unread<T>(error: Error) -> Try<T> {
    match error.kind() {
        // Something newer made the table: it will not go away.
        ErrorKind::WrongUse => Try::Refused(error),
        _ => Try::Again(error),
    }
}

/// Writes version 0. That someone else did is as good.
async fn create(table: &Table, actions: Vec<Action>) -> Result<(), Error> {
    let operation = DeltaOperation::Write {
        mode: SaveMode::ErrorIfExists,
        partition_by: Some(vec![EVENT_DATE.to_owned()]),
        predicate: None,
    };
    let data = CommitData::new(actions, operation, HashMap::new(), Vec::new());
    match put(table, 0, &data).await {
        Ok(()) | Err(TransactionError::VersionAlreadyExists(_)) => Ok(()),
        Err(error) => Err(table.failed("making it", &chain(&error))),
    }
}

/// Writes the version after `head`.
async fn write(table: &Table, head: &Head, data: &CommitData) -> Result<u64, Error> {
    let version = head.version() + 1;
    match put(table, version, data).await {
        Ok(()) => Ok(version),
        Err(error) => Err(table.failed(&format!("writing version {version}"), &chain(&error))),
    }
}

async fn put(table: &Table, version: u64, data: &CommitData) -> Result<(), TransactionError> {
    let bytes = data.get_bytes()?;
    table
        .log
        .write_commit_entry(version, CommitOrBytes::LogBytes(bytes), uuid::Uuid::new_v4())
        .await
}

fn partition(file: &DataFile) -> HashMap<String, Option<String>> {
    HashMap::from([(EVENT_DATE.to_owned(), file.event_date.clone())])
}

fn add_action(file: &DataFile, data_change: bool) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: partition(file),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        modification_time: file.modified,
        data_change,
        stats: (!file.stats.is_empty()).then(|| file.stats.clone()),
        ..Add::default()
    }
}

fn remove_action(file: &DataFile, now: i64, data_change: bool) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change,
        deletion_timestamp: Some(now),
        extended_file_metadata: Some(true),
        partition_values: Some(partition(file)),
        size: i64::try_from(file.size).ok(),
        ..Remove::default()
    }
}

/// How often it was tried, and how long it may go on.
struct Tries {
    retry: Retry,
    since: Instant,
    wait: Duration,
    count: u32,
}

impl Tries {
    fn new(retry: Retry) -> Self {
        Tries {
            retry,
            since: Instant::now(),
            wait: retry.first_wait,
            count: 0,
        }
    }

    /// Waits before the next try, or gives up with what the last one said.
    async fn wait(&mut self, table: &Table, error: Error) -> Result<(), Error> {
        self.count += 1;
        // Half of it by chance, so that two workers do not meet again and again.
        let wait = self.wait.mul_f64(0.5 + chance() / 2.0);
        if self.since.elapsed() + wait > self.retry.give_up_after {
            return Err(Error::new(
                ErrorKind::Unreachable,
                format!(
                    "table {}: the commit did not come through in {} tries: {}",
                    table.name,
                    self.count,
                    error.message()
                ),
            )
            .with_help("nothing is lost: the same command goes on where this one stopped"));
        }
        tracing::debug!(
            table = table.name,
            tries = self.count,
            error = error.message(),
            "commit again"
        );
        tokio::time::sleep(wait).await;
        self.wait = (self.wait * 2).min(self.retry.longest_wait);
        Ok(())
    }
}

/// A number from 0 to 1, good enough to wait by.
fn chance() -> f64 {
    let (bits, _) = uuid::Uuid::new_v4().as_u64_pair();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
