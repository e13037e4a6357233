//! From files to rows that count: the normal way, and the way after a crash.

use std::sync::Arc;

use futures::future::try_join_all;
use object_store::ObjectStoreExt;
use trailhound_ingest::baselines::table_named;
use trailhound_ingest::error::{Error, ErrorKind};

use crate::commit::Committed;
use crate::failpoint::reach;
use crate::lake::chain;
use crate::state::{Intent, Prepared, Settlement, State};
use crate::{DataFile, Lake, TableSpec, spec};

/// What was found at the start of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Batches that were already in the lake, in all their tables.
    pub landed: usize,
    /// Batches that were committed now, in one table at least.
    pub committed: usize,
    /// Batches whose files were not complete: their input is read again.
    pub abandoned: usize,
    /// The state was behind the lake, as if it came from a backup: input since
    /// then may be read a second time.
    pub behind: bool,
}

/// Brings a source's unfinished batches to their end. To be called before the
/// source is read.
///
/// # Errors
/// The lake cannot be reached, or a file of a batch is gone.
pub async fn recover(lake: &Lake, state: &Arc<State>, source: &str) -> Result<Recovered, Error> {
    let mut recovered = Recovered::default();
    let name = source.to_owned();
    let pending = blocking(state, move |state| state.pending(&name)).await?;
    for prepared in pending {
        let tables = tables_of(&prepared)?;
        let committed = try_join_all(
            tables
                .iter()
                .map(|(spec, files)| recover_table(lake, spec, files, &prepared)),
        )
        .await?;
        match committed.iter().all(|committed| committed.landed_before) {
            true => recovered.landed += 1,
            false => recovered.committed += 1,
        }
        blocking(state, move |state| state.finish(&prepared)).await?;
    }
    let name = source.to_owned();
    recovered.abandoned = blocking(state, move |state| state.abandon_begun(&name)).await?;
    recovered.behind = catch_up(lake, state, source).await?;
    if recovered.behind {
        tracing::warn!(
            source,
            "the lake knows later batches than the state: was it restored from a backup?"
        );
    }
    Ok(recovered)
}

/// Commits the files of one table, unless that was done. They are looked for
/// first: a commit that names a missing file would break the table for everyone.
async fn recover_table(
    lake: &Lake,
    spec: &TableSpec,
    files: &[DataFile],
    prepared: &Prepared,
) -> Result<Committed, Error> {
    if let Some(snapshot) = lake.snapshot(spec.name).await?
        && snapshot
            .transaction(&prepared.txn.app_id)
            .await?
            .is_some_and(|stored| stored >= prepared.txn.version)
    {
        return Ok(Committed {
            version: snapshot.version,
            landed_before: true,
        });
    }
    let root = lake.path_of(spec.name);
    for file in files {
        let path = file
            .path
            .split('/')
            .fold(root.clone(), |path, part| path.join(part));
        match lake.store().head(&path).await {
            Ok(meta) if meta.size == file.size => {}
            Ok(meta) => {
                return Err(damaged(
                    &path,
                    &format!("it has {} bytes, not {}", meta.size, file.size),
                ));
            }
            Err(object_store::Error::NotFound { .. }) => return Err(damaged(&path, "it is gone")),
            Err(error) => {
                return Err(Error::new(
                    ErrorKind::Unreachable,
                    format!(
                        "{path}: looking for a file of an unfinished batch: {}",
                        chain(&error)
                    ),
                ));
            }
        }
    }
    lake.append(spec, files, &prepared.txn).await
}

fn damaged(path: &object_store::path::Path, why: &str) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("{path}: a file of an unfinished batch cannot be committed: {why}"),
    )
    .with_help("put the file back, or start with an empty --state: what was taken before is then read again")
}

/// Makes sure that the next number is new to every table. Returns whether it was not.
async fn catch_up(lake: &Lake, state: &Arc<State>, source: &str) -> Result<bool, Error> {
    let app_id = state.app_id(source);
    let mut highest = 0;
    // Baselines are not taken from a source.
    for name in spec::table_names().filter(|name| table_named(name).is_none()) {
        if let Some(snapshot) = lake.snapshot(name).await? {
            highest = highest.max(snapshot.transaction(&app_id).await?.unwrap_or(0));
        }
    }
    let source = source.to_owned();
    blocking(state, move |state| state.raise_number(&source, highest + 1)).await
}

/// Brings a batch into the lake. Its files are written and on disk. When this
/// returns, the source may be told.
///
/// # Errors
/// The state cannot be written, or the lake not be reached. The batch may be in
/// the lake or not; [`recover`] finds out and ends it.
pub async fn publish(
    lake: &Lake,
    state: &Arc<State>,
    intent: Intent,
    tables: Vec<(TableSpec, Vec<DataFile>)>,
    settlement: Settlement,
) -> Result<Vec<Committed>, Error> {
    let tables: Vec<(TableSpec, Vec<DataFile>)> = tables
        .into_iter()
        .filter(|(_, files)| !files.is_empty())
        .collect();
    let named = tables
        .iter()
        .map(|(spec, files)| (spec.name.to_owned(), files.clone()))
        .collect::<Vec<_>>();
    let prepared = blocking(state, move |state| state.prepare(&intent, &named, &settlement)).await?;
    reach("intent-prepared");
    let committed = try_join_all(tables.iter().map(async |(spec, files)| {
        let committed = lake.append(spec, files, &prepared.txn).await?;
        reach("commit-landed");
        match committed.landed_before {
            false => Ok(committed),
            // The number was just made: only a second copy of this state can have used it.
            true => Err(Error::new(
                ErrorKind::Failed,
                format!(
                    "table {}: batch {} of {} was committed by someone else with a copy of this state",
                    spec.name, prepared.txn.version, prepared.intent.source
                ),
            )
            .with_help("give each worker a --state of its own, and do not copy it")),
        }
    }))
    .await?;
    reach("commits-done");
    blocking(state, move |state| state.finish(&prepared)).await?;
    reach("intent-finished");
    Ok(committed)
}

/// The tables of a batch, with their files.
fn tables_of(prepared: &Prepared) -> Result<Vec<(TableSpec, Vec<DataFile>)>, Error> {
    prepared
        .tables
        .iter()
        .map(|(name, files)| match spec::spec(name) {
            Some(spec) => Ok((spec, files.clone())),
            None => Err(Error::wrong_use(format!(
                "the state has a batch for the table {name}, which this version of trailhound does not know"
            ))
            .with_help("finish it with the newer version that began it")),
        })
        .collect()
}

/// Runs `work` on the state off the async threads: it waits for the disk.
async fn blocking<T: Send + 'static>(
    state: &Arc<State>,
    work: impl FnOnce(&State) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let state = Arc::clone(state);
    tokio::task::spawn_blocking(move || work(&state))
        .await
        .map_err(|error| Error::new(ErrorKind::Failed, format!("the state: {error}")))?
}
