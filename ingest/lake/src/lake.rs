//! A lake: a folder of Delta tables, and what each of them holds now.

use std::collections::{BTreeSet, HashMap};
use std::path::Path as FsPath;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use deltalake_core::logstore::{LogStore, StorageConfig, default_logstore};
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use trailhound_ingest::error::{Error, ErrorKind};
use url::Url;

use crate::DataFile;
use crate::commit::Retry;
use crate::head::Head;
use crate::store::Durable;
use crate::{spec, table};

/// A lake. Clones share what is known of its tables.
#[derive(Debug, Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Url,
    store: Arc<dyn ObjectStore>,
    retry: Retry,
    tables: Mutex<HashMap<String, Arc<Table>>>,
}

/// What a lake keeps of one of its tables.
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) log: Arc<dyn LogStore>,
    /// One commit at a time from this process: its sources do not fight each other.
    pub(crate) commits: tokio::sync::Mutex<()>,
    /// The last version seen.
    pub(crate) head: Mutex<Option<Head>>,
    files: Mutex<Option<Snapshot>>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish()
    }
}

/// A table at one version.
#[derive(Clone)]
pub struct Snapshot {
    /// The version, from 0.
    pub version: u64,
    /// Its columns, text as `Utf8View`; `event_date` (`Date32`) is the last one.
    pub schema: SchemaRef,
    /// The files that make it up, in no order.
    pub files: Arc<Vec<DataFile>>,
    head: Head,
    table: Arc<Table>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("table", &self.table.name)
            .field("version", &self.version)
            .field("files", &self.files.len())
            .finish()
    }
}

impl Snapshot {
    /// The last transaction number that `app_id` committed here, as of this version.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn transaction(&self, app_id: &str) -> Result<Option<i64>, Error> {
        self.head.transaction(&self.table, app_id).await
    }
}

impl Lake {
    /// A lake at `root`, such as `s3://bucket/lake` or `file:///srv/lake`, in a
    /// store whose "/" is the root of the bucket, or of the file system.
    pub fn new(mut root: Url, store: Arc<dyn ObjectStore>) -> Self {
        if !root.path().ends_with('/') {
            root.set_path(&format!("{}/", root.path()));
        }
        Lake {
            inner: Arc::new(Inner {
                root,
                store,
                retry: Retry::default(),
                tables: Mutex::default(),
            }),
        }
    }

    /// The same lake, with another patience in commits. What is known of its tables is not shared.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Lake {
            inner: Arc::new(Inner {
                root: self.inner.root.clone(),
                store: Arc::clone(&self.inner.store),
                retry,
                tables: Mutex::default(),
            }),
        }
    }

    /// A lake in a folder, which is made if it is not there, to write to.
    ///
    /// # Errors
    /// The folder cannot be made, or not be written to.
    pub fn local(path: &FsPath) -> Result<Self, Error> {
        let refused = |error: std::io::Error| {
            Error::wrong_use(format!(
                "{}: the lake cannot be written to: {error}",
                path.display()
            ))
            .with_help("give another folder with --lake, or the rights to write to this one")
        };
        std::fs::create_dir_all(path).map_err(refused)?;
        // Asked now, so that a whole batch is not read first in vain.
        let probe = path.join(format!(".writable-{}", uuid::Uuid::new_v4()));
        std::fs::write(&probe, []).map_err(refused)?;
        std::fs::remove_file(&probe).map_err(refused)?;
        Lake::open_local(path)
    }

    /// A lake in a folder that is there, to read.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn open_local(path: &FsPath) -> Result<Self, Error> {
        let missing = |why: &str| {
            Error::wrong_use(format!("{}: no lake here: {why}", path.display()))
                .with_help("`trailhound ingest SOURCE --lake DIR` makes one")
        };
        let path = path.canonicalize().map_err(|error| missing(&error.to_string()))?;
        let root = Url::from_directory_path(&path).map_err(|()| missing("not a path"))?;
        if !path.is_dir() {
            return Err(missing("not a folder"));
        }
        Ok(Lake::new(root, Arc::new(Durable::new())))
    }

    /// Where it lies; ends with "/".
    pub fn root(&self) -> &Url {
        &self.inner.root
    }

    /// The store; its "/" is the root of the bucket, or of the file system.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.inner.store
    }

    pub(crate) fn retry(&self) -> Retry {
        self.inner.retry
    }

    /// Where a table lies; ends with "/".
    pub fn url_of(&self, table: &str) -> Url {
        let mut url = self.inner.root.clone();
        url.set_path(&format!("{}{table}/", self.inner.root.path()));
        url
    }

    /// Where a table lies in the [`store`](Lake::store).
    pub fn path_of(&self, table: &str) -> Path {
        path_in_store(&self.url_of(table))
    }

    /// The tables that the lake has, in alphabetical order: ours, and what else
    /// is a Delta table in its folder.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn table_names(&self) -> Result<Vec<String>, Error> {
        let root = path_in_store(&self.inner.root);
        let listed = self
            .store()
            .list_with_delimiter(Some(&root))
            .await
            .map_err(|error| self.unreachable("listing the tables", &error))?;
        let folders: Vec<String> = listed
            .common_prefixes
            .iter()
            .filter_map(|folder| folder.filename())
            // Not ours to show: a name that SQL and paths could not bear.
            .filter(|name| table::is_name(name))
            .map(str::to_owned)
            .collect();
        let mut names = BTreeSet::new();
        for name in folders {
            let log = self.path_of(&name).join("_delta_log");
            match self.store().list(Some(&log)).next().await {
                Some(Ok(_)) => {
                    names.insert(name);
                }
                Some(Err(object_store::Error::NotFound { .. })) | None => {}
                Some(Err(error)) => {
                    return Err(self.unreachable(&format!("listing the table {name}"), &error));
                }
            }
        }
        Ok(names.into_iter().collect())
    }

    /// A table as it is now; none if the lake does not have it. What was read
    /// before is kept: a call without news costs one listing of the log's end.
    ///
    /// # Errors
    /// The store cannot be reached, or the table was made by something newer.
    pub async fn snapshot(&self, table: &str) -> Result<Option<Snapshot>, Error> {
        let table = self.table(table)?;
        let Some(head) = table.refresh().await? else {
            return Ok(None);
        };
        let known = lock(&table.files).clone();
        if let Some(known) = known
            && known.head.is(&head)
        {
            return Ok(Some(Snapshot { head, ..known }));
        }
        let snapshot = Snapshot {
            version: head.version(),
            schema: table::arrow_schema(head.schema())?,
            files: Arc::new(head.files(&table).await?),
            head,
            table: Arc::clone(&table),
        };
        *lock(&table.files) = Some(snapshot.clone());
        Ok(Some(snapshot))
    }

    /// What is kept of a table.
    pub(crate) fn table(&self, name: &str) -> Result<Arc<Table>, Error> {
        if !table::is_name(name) {
            return Err(
                Error::wrong_use(format!("{name:?} is no name of a table")).with_help(format!(
                    "tables of a lake: {}",
                    spec::table_names().collect::<Vec<_>>().join(", ")
                )),
            );
        }
        let mut tables = lock(&self.inner.tables);
        if let Some(table) = tables.get(name) {
            return Ok(Arc::clone(table));
        }
        let url = self.url_of(name);
        let store = Arc::clone(self.store());
        let prefixed = Arc::new(PrefixStore::new(Arc::clone(&store), path_in_store(&url)));
        let table = Arc::new(Table {
            name: name.to_owned(),
            log: default_logstore(prefixed, store, &url, &StorageConfig::default()),
            commits: tokio::sync::Mutex::default(),
            head: Mutex::default(),
            files: Mutex::default(),
        });
        tables.insert(name.to_owned(), Arc::clone(&table));
        Ok(table)
    }

    fn unreachable(&self, doing: &str, error: &dyn std::error::Error) -> Error {
        Error::new(
            ErrorKind::Unreachable,
            format!("{}: {doing}: {}", self.root(), chain(error)),
        )
    }
}

fn path_in_store(url: &Url) -> Path {
    Path::from_url_path(url.path()).unwrap_or_else(|_| Path::from(url.path()))
}

/// A lock that outlives a panic: what is kept here is only what was read.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error and what caused it, in one line, nothing twice.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
