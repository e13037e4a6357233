//! The local file system as a store that survives a power cut.
//!
//! `object_store` 0.13 does not sync. Here a file is synced before it gets its
//! name, and the folder before the call returns: what was acknowledged is on
//! disk, and what has a name is whole.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    UploadPart,
};

const STORE: &str = "Durable";

/// How things are made to last. Tests put in their own, to cut the power.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Makes the content of a file last.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_file(&self, path: &FsPath) -> std::io::Result<()>;

    /// Makes the names in a folder last.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_folder(&self, path: &FsPath) -> std::io::Result<()>;
}

/// The operating system's `fsync`.
#[derive(Debug, Clone, Copy)]
pub struct Fsync;

impl Disk for Fsync {
    fn sync_file(&self, path: &FsPath) -> std::io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_folder(&self, path: &FsPath) -> std::io::Result<()> {
        // Elsewhere a folder cannot be opened, and its names last without it.
        if cfg!(unix) {
            File::open(path)?.sync_all()?;
        }
        Ok(())
    }
}

/// [`LocalFileSystem`], with every write on disk before it returns.
#[derive(Debug)]
pub struct Durable {
    inner: LocalFileSystem,
    disk: Arc<dyn Disk>,
}

impl Default for Durable {
    fn default() -> Self {
        Durable::new()
    }
}

impl Durable {
    /// A store whose "/" is the root of the file system.
    pub fn new() -> Self {
        Durable::with_disk(Arc::new(Fsync))
    }

    /// The same, made to last by `disk`.
    pub fn with_disk(disk: Arc<dyn Disk>) -> Self {
        Durable {
            inner: LocalFileSystem::new(),
            disk,
        }
    }

    /// Runs `work` with the path of `location`, off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        location: &Path,
        work: impl FnOnce(&dyn Disk, PathBuf) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.inner.path_to_filesystem(location)?;
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || work(disk.as_ref(), path))
            .await
            .map_err(|source| Error::JoinError { source })?
    }
}

impl fmt::Display for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE}({})", self.inner)
    }
}

fn failed(what: &str, path: &FsPath, error: std::io::Error) -> Error {
    Error::Generic {
        store: STORE,
        source: std::io::Error::new(error.kind(), format!("{what} {}: {error}", path.display())).into(),
    }
}

/// Makes `folder` and what is missing above it, each name synced in its parent.
fn make_folder(disk: &dyn Disk, folder: &FsPath) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folder(disk, parent)?;
    }
    match std::fs::create_dir(folder) {
        // Whoever made it at the same time may not have synced it yet.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match folder.parent() {
        Some(parent) => disk.sync_folder(parent),
        None => Ok(()),
    }
}

fn sync_names(disk: &dyn Disk, path: &FsPath) -> Result<()> {
    match path.parent() {
        Some(folder) => disk
            .sync_folder(folder)
            .map_err(|error| failed("syncing", folder, error)),
        None => Ok(()),
    }
}

fn make_parent(disk: &dyn Disk, path: &FsPath) -> Result<()> {
    match path.parent() {
        Some(folder) => make_folder(disk, folder).map_err(|error| failed("making", folder, error)),
        None => Ok(()),
    }
}

/// The name that a file has until it is whole. `LocalFileSystem` lists no such names.
fn staged(path: &FsPath) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    // The process id keeps two processes apart.
    name.push(format!("#{}{number:010}", std::process::id()));
    name.into()
}

fn write_staged(disk: &dyn Disk, staged: &FsPath, payload: &PutPayload) -> std::io::Result<String> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(staged)?;
    for bytes in payload {
        file.write_all(bytes)?;
    }
    let meta = file.metadata()?;
    drop(file);
    disk.sync_file(staged)?;
    Ok(e_tag(&meta))
}

/// As `LocalFileSystem` makes it: so that what was put and what is read agree.
fn e_tag(meta: &std::fs::Metadata) -> String {
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(meta);
    #[cfg(not(unix))]
    let inode = 0;
    let micros = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_micros());
    format!("{inode:x}-{micros:x}-{:x}", meta.len())
}

/// A file under its own name and on disk, or not there at all.
fn put(disk: &dyn Disk, path: &FsPath, payload: &PutPayload, create: bool) -> Result<PutResult> {
    make_parent(disk, path)?;
    let staged = staged(path);
    let written = write_staged(disk, &staged, payload)
        .map_err(|error| failed("writing", path, error))
        .and_then(|e_tag| {
            let named = match create {
                // A link fails if the name is taken; a rename would take it over.
                true => std::fs::hard_link(&staged, path),
                false => std::fs::rename(&staged, path),
            };
            named.map_err(|source| match source.kind() {
                ErrorKind::AlreadyExists => Error::AlreadyExists {
                    path: path.display().to_string(),
                    source: source.into(),
                },
                _ => failed("naming", path, source),
            })?;
            Ok(e_tag)
        });
    if create || written.is_err() {
        // What stays behind is never listed.
        let _ = std::fs::remove_file(&staged);
    }
    let e_tag = written?;
    sync_names(disk, path)?;
    Ok(PutResult {
        e_tag: Some(e_tag),
        version: None,
    })
}

#[async_trait]
impl ObjectStore for Durable {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "`put_opts` with mode `PutMode::Update`".into(),
                    implementer: STORE.into(),
                });
            }
        };
        self.blocking(location, move |disk, path| put(disk, &path, &payload, create))
            .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self
            .blocking(location, |disk, path| make_parent(disk, &path).map(|()| path))
            .await?;
        Ok(Box::new(Upload {
            inner: self.inner.put_multipart_opts(location, opts).await?,
            path,
            disk: Arc::clone(&self.disk),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.blocking(to, |disk, to| make_parent(disk, &to)).await?;
        let create = matches!(options.mode, CopyMode::Create);
        let copied = self.inner.copy_opts(from, to, options).await;
        // A copy that was there before is made to last too: whoever made it may not have come so far.
        if copied.is_ok() || create {
            self.blocking(to, |disk, to| match to.exists() {
                true => {
                    disk.sync_file(&to)
                        .map_err(|error| failed("syncing", &to, error))?;
                    sync_names(disk, &to)
                }
                false => Ok(()),
            })
            .await?;
        }
        copied
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.blocking(to, |disk, to| make_parent(disk, &to)).await?;
        self.blocking(from, |disk, from| {
            disk.sync_file(&from).map_err(|source| match source.kind() {
                ErrorKind::NotFound => Error::NotFound {
                    path: from.display().to_string(),
                    source: source.into(),
                },
                _ => failed("syncing", &from, source),
            })
        })
        .await?;
        self.inner.rename_opts(from, to, options).await?;
        self.blocking(to, |disk, to| sync_names(disk, &to)).await?;
        self.blocking(from, |disk, from| sync_names(disk, &from)).await
    }
}

/// An upload that is on disk once it is complete.
#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let (disk, path) = (Arc::clone(&self.disk), self.path.clone());
        tokio::task::spawn_blocking(move || {
            disk.sync_file(&path)
                .map_err(|error| failed("syncing", &path, error))?;
            sync_names(disk.as_ref(), &path)
        })
        .await
        .map_err(|source| Error::JoinError { source })??;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
