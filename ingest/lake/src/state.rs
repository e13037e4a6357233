//! What a worker knows for itself: what it means to commit, what it took, how far each source is.
//!
//! SQLite with a write-ahead log, synced at each commit. One worker, one state.
//!
//! ```text
//! begin   writing    files are being written; nothing refers to them yet
//! prepare prepared   the files, and what they stand for, under a transaction number; objects are taken
//! finish  (gone)     position and what the source remembers are now so
//! ```

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use trailhound_ingest::error::{Error, ErrorKind};

use crate::DataFile;
use crate::commit::Txn;
use crate::store::{Disk, Fsync};

/// Version of the tables below. A state with a higher one is not touched.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE worker (id TEXT NOT NULL);
CREATE TABLE sources (
    source TEXT PRIMARY KEY,
    position TEXT,
    next_txn INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE TABLE recent (
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (source, key)
) WITHOUT ROWID;
CREATE INDEX recent_by_time ON recent (source, time);
CREATE TABLE taken (
    object TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (object, version)
) WITHOUT ROWID;
CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    txn INTEGER,
    prepared TEXT
);
-- Numbers must reach the lake in their order: a later one that landed vouches for all before it.
CREATE UNIQUE INDEX one_prepared ON intents (source) WHERE prepared IS NOT NULL;
";

/// The state of one worker. Calls are short but touch the disk.
#[derive(Debug)]
pub struct State {
    connection: Mutex<Connection>,
    worker: String,
    /// Objects that a source is reading at this moment.
    claimed: Mutex<HashSet<(String, String)>>,
    /// Held until the end.
    _lock: File,
}

/// A batch that is on its way to the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its number in the state.
    pub id: i64,
    /// The source that it is of.
    pub source: String,
}

/// What becomes true once a batch is in the lake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Objects and their versions that are taken with it.
    pub takes: Vec<(String, String)>,
    /// Where the source goes on; none to leave that as it is.
    pub position: Option<String>,
    /// What the source wants to remember: key and time.
    pub recent: Vec<(String, i64)>,
    /// What the source remembers from before this time is forgotten.
    pub forget_before: Option<i64>,
}

/// A batch whose files are written, and that is to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What it was begun as.
    pub intent: Intent,
    /// The number that each of its commits carries.
    pub txn: Txn,
    /// Tables, and their new files.
    pub tables: Vec<(String, Vec<DataFile>)>,
    /// What becomes true with it.
    pub settlement: Settlement,
}

/// How [`Prepared`] is kept.
#[derive(Serialize, Deserialize)]
struct Payload {
    tables: Vec<(String, Vec<DataFile>)>,
    settlement: Settlement,
}

/// How far a source is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resumed {
    /// The last position that is committed.
    pub position: Option<String>,
    /// What it asked to remember: key and time.
    pub recent: Vec<(String, i64)>,
}

impl State {
    /// The state in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// Another instance holds it, something newer wrote it, or the folder cannot be written to.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let refused = |error: std::io::Error| {
            Error::wrong_use(format!(
                "{}: the state cannot be kept here: {error}",
                dir.display()
            ))
            .with_help("give another folder with --state, or the rights to write to this one")
        };
        std::fs::create_dir_all(dir).map_err(refused)?;
        let lock = take_lock(dir).map_err(|error| error.unwrap_or_else(refused))?;
        let path = dir.join("ingest.sqlite");
        let broken = |error: rusqlite::Error| {
            Error::new(
                ErrorKind::Failed,
                format!("{}: opening the state: {error}", path.display()),
            )
        };
        let mut connection = Connection::open(&path).map_err(broken)?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(broken)?;
        let version: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(broken)?;
        if version > VERSION {
            return Err(Error::wrong_use(format!(
                "{}: a newer trailhound wrote this state (version {version}, this one knows {VERSION})",
                path.display()
            ))
            .with_help("use that version, or another folder with --state"));
        }
        connection
            .pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
            .map_err(broken)?;
        connection
            .pragma_update(None, "synchronous", "full")
            .map_err(broken)?;
        if version == 0 {
            create(&mut connection).map_err(broken)?;
            // SQLite syncs its files, but not that they are there.
            for folder in [Some(dir), dir.parent()].into_iter().flatten() {
                if !folder.as_os_str().is_empty() {
                    Fsync.sync_folder(folder).map_err(refused)?;
                }
            }
        }
        let worker = connection
            .query_row("SELECT id FROM worker", [], |row| row.get(0))
            .map_err(broken)?;
        Ok(State {
            connection: Mutex::new(connection),
            worker,
            claimed: Mutex::default(),
            _lock: lock,
        })
    }

    /// The worker's own id, made once and kept.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// Under which name a source's commits are numbered.
    pub fn app_id(&self, source: &str) -> String {
        format!("trailhound/{}/{source}", self.worker)
    }

    /// Where a source goes on.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn resume(&self, source: &str) -> Result<Resumed, Error> {
        self.read("reading how far a source is", |connection| {
            let position = connection
                .query_row("SELECT position FROM sources WHERE source = ?", [source], |row| {
                    row.get(0)
                })
                .optional()?
                .flatten();
            let recent = connection
                .prepare_cached("SELECT key, time FROM recent WHERE source = ? ORDER BY time, key")?
                .query_map([source], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            Ok(Resumed { position, recent })
        })
    }

    /// Says that a source is about to read this version of an object. False: one
    /// already is, perhaps another source. Not kept on disk: it ends with the process.
    pub fn claim(&self, object: &str, version: &str) -> bool {
        self.claimed().insert((object.to_owned(), version.to_owned()))
    }

    /// Gives a claim back, once the object is taken or given up.
    pub fn release(&self, object: &str, version: &str) {
        self.claimed().remove(&(object.to_owned(), version.to_owned()));
    }

    fn claimed(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this version of an object was taken: it is in the lake, or in a
    /// batch that is written down and will be.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn is_taken(&self, object: &str, version: &str) -> Result<bool, Error> {
        Ok(self.are_taken(&[(object, version)])?[0])
    }

    /// The same for many objects, in their order.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn are_taken(&self, objects: &[(&str, &str)]) -> Result<Vec<bool>, Error> {
        self.read("looking for taken objects", |connection| {
            let mut query =
                connection.prepare_cached("SELECT 1 FROM taken WHERE object = ? AND version = ?")?;
            objects
                .iter()
                .map(|(object, version)| query.exists(params![object, version]))
                .collect()
        })
    }

    /// Says that files of a batch are about to be written.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn begin(&self, source: &str) -> Result<Intent, Error> {
        self.write("beginning a batch", |connection| {
            connection.execute("INSERT INTO intents (source) VALUES (?)", [source])?;
            Ok(Intent {
                id: connection.last_insert_rowid(),
                source: source.to_owned(),
            })
        })
    }

    /// Says what a batch holds, now that its files are on disk. From here on it
    /// will be committed, by this process or the next. A source has one such
    /// batch at a time.
    ///
    /// # Errors
    /// The state cannot be written, or an earlier batch of the source is not finished.
    pub fn prepare(
        &self,
        intent: &Intent,
        tables: &[(String, Vec<DataFile>)],
        settlement: &Settlement,
    ) -> Result<Prepared, Error> {
        let payload = Payload {
            tables: tables.to_vec(),
            settlement: settlement.clone(),
        };
        let text = serde_json::to_string(&payload).map_err(|error| {
            Error::new(
                ErrorKind::Failed,
                format!("writing down a batch of {}: {error}", intent.source),
            )
        })?;
        let txn = self.write("writing down a batch", |connection| {
            connection.execute(
                "INSERT INTO sources (source) VALUES (?) ON CONFLICT DO NOTHING",
                [&intent.source],
            )?;
            let txn: i64 = connection.query_row(
                "UPDATE sources SET next_txn = next_txn + 1 WHERE source = ? RETURNING next_txn - 1",
                [&intent.source],
                |row| row.get(0),
            )?;
            let changed = connection.execute(
                "UPDATE intents SET txn = ?, prepared = ? WHERE id = ? AND source = ? AND prepared IS NULL",
                params![txn, text, intent.id, intent.source],
            )?;
            if changed != 1 {
                return Err(rusqlite::Error::StatementChangedRows(changed));
            }
            // From here on the batch will land, whatever comes: another source that
            // has the same object must not take it as well.
            take(connection, settlement)?;
            Ok(txn)
        })?;
        Ok(Prepared {
            intent: intent.clone(),
            txn: Txn {
                app_id: self.app_id(&intent.source),
                version: txn,
            },
            tables: payload.tables,
            settlement: payload.settlement,
        })
    }

    /// Says that all tables show a batch. A second time changes nothing.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn finish(&self, prepared: &Prepared) -> Result<(), Error> {
        let (source, settlement) = (&prepared.intent.source, &prepared.settlement);
        self.write("finishing a batch", |connection| {
            if connection.execute("DELETE FROM intents WHERE id = ?", [prepared.intent.id])? == 0 {
                return Ok(());
            }
            take(connection, settlement)?;
            if let Some(position) = &settlement.position {
                connection.execute(
                    "UPDATE sources SET position = ? WHERE source = ?",
                    [position, source],
                )?;
            }
            let mut remember = connection
                .prepare_cached("INSERT OR REPLACE INTO recent (source, key, time) VALUES (?, ?, ?)")?;
            for (key, time) in &settlement.recent {
                remember.execute(params![source, key, time])?;
            }
            if let Some(time) = settlement.forget_before {
                connection.execute(
                    "DELETE FROM recent WHERE source = ? AND time < ?",
                    params![source, time],
                )?;
            }
            Ok(())
        })
    }

    /// Batches of a source that are to be committed, oldest first.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn pending(&self, source: &str) -> Result<Vec<Prepared>, Error> {
        let rows: Vec<(i64, i64, String)> = self.read("looking for unfinished batches", |connection| {
            connection
                .prepare_cached(
                    "SELECT id, txn, prepared FROM intents WHERE source = ? AND prepared IS NOT NULL ORDER BY txn",
                )?
                .query_map([source], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })?;
        rows.into_iter()
            .map(|(id, txn, text)| {
                let payload: Payload = serde_json::from_str(&text).map_err(|error| {
                    Error::new(
                        ErrorKind::Failed,
                        format!("the state: reading the unfinished batch {id} of {source}: {error}"),
                    )
                })?;
                Ok(Prepared {
                    intent: Intent {
                        id,
                        source: source.to_owned(),
                    },
                    txn: Txn {
                        app_id: self.app_id(source),
                        version: txn,
                    },
                    tables: payload.tables,
                    settlement: payload.settlement,
                })
            })
            .collect()
    }

    /// Forgets a batch that was begun and not written down. Its files, if any,
    /// belong to nothing; `lake expire` removes them.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn abandon(&self, intent: &Intent) -> Result<(), Error> {
        self.write("giving up a batch", |connection| {
            connection.execute(
                "DELETE FROM intents WHERE id = ? AND prepared IS NULL",
                [intent.id],
            )?;
            Ok(())
        })
    }

    /// Forgets all batches of a source that were begun and not written down. Returns how many.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn abandon_begun(&self, source: &str) -> Result<usize, Error> {
        self.write("giving up batches", |connection| {
            connection.execute(
                "DELETE FROM intents WHERE source = ? AND prepared IS NULL",
                [source],
            )
        })
    }

    /// Makes the next number of a source at least `next`. Returns whether it was
    /// lower: then the lake knows more of this worker than its state does.
    pub(crate) fn raise_number(&self, source: &str, next: i64) -> Result<bool, Error> {
        self.write("counting transactions", |connection| {
            connection.execute(
                "INSERT INTO sources (source) VALUES (?) ON CONFLICT DO NOTHING",
                [source],
            )?;
            let raised = connection.execute(
                "UPDATE sources SET next_txn = ?2 WHERE source = ?1 AND next_txn < ?2",
                params![source, next],
            )?;
            Ok(raised > 0)
        })
    }

    fn read<T>(
        &self,
        doing: &str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        work(&self.connection()).map_err(|error| broken(doing, &error))
    }

    /// Runs `work` in one transaction: all of it lasts, or none.
    fn write<T>(
        &self,
        doing: &str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let run = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run(&mut self.connection()).map_err(|error| broken(doing, &error))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic half-way left a transaction that SQLite rolls back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute(
        "INSERT INTO worker (id) VALUES (?)",
        [uuid::Uuid::new_v4().to_string()],
    )?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Marks the objects of a batch as taken.
fn take(connection: &Connection, settlement: &Settlement) -> rusqlite::Result<()> {
    let mut take =
        connection.prepare_cached("INSERT OR IGNORE INTO taken (object, version) VALUES (?, ?)")?;
    for (object, version) in &settlement.takes {
        take.execute([object, version])?;
    }
    Ok(())
}

/// The lock of a state, with this process's id in it for whoever comes second.
fn take_lock(dir: &Path) -> Result<File, LockError> {
    let path = dir.join("ingest.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(LockError::Disk)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another process".to_owned(),
                id => format!("the process {id}"),
            };
            return Err(LockError::Held(
                Error::wrong_use(format!("{}: {holder} uses this state", dir.display()))
                    .with_help("wait until it is done, or give this one another folder with --state"),
            ));
        }
        Err(TryLockError::Error(error)) => return Err(LockError::Disk(error)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
    written.map_err(LockError::Disk)?;
    Ok(file)
}

enum LockError {
    Held(Error),
    Disk(std::io::Error),
}

impl LockError {
    fn unwrap_or_else(self, disk: impl FnOnce(std::io::Error) -> Error) -> Error {
        match self {
            LockError::Held(error) => error,
            LockError::Disk(error) => disk(error),
        }
    }
}

fn broken(doing: &str, error: &rusqlite::Error) -> Error {
    let message = format!("the state: {doing}: {error}");
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => {
            Error::new(ErrorKind::Failed, message).with_help("make room on the disk; nothing is lost")
        }
        _ => Error::new(ErrorKind::Failed, message),
    }
}
