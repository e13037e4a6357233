//! Checkpoints and cleaning of the log: jobs of their own, never part of a commit.

use std::collections::HashSet;

use deltalake_core::checkpoints::cleanup_expired_logs_for;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use trailhound_ingest::error::Error;

use crate::DataFile;
use crate::lake::{Lake, Table, chain};

/// For how long versions of a table can be looked back at, days.
const LOG_DAYS: i64 = 30;

impl Lake {
    /// Writes a checkpoint of a table, so that readers need not read its log
    /// from the beginning, and reads it back. Returns its version; none if
    /// there is no such table.
    ///
    /// # Errors
    /// It could not be written, or does not say what the log says. Then it is
    /// taken away again: the table is as it was.
    pub async fn checkpoint(&self, table: &str) -> Result<Option<u64>, Error> {
        let table = self.table(table)?;
        let Some(head) = table.refresh().await? else {
            return Ok(None);
        };
        let version = head.version();
        let before = head.files(&table).await?;
        let kernel = head.kernel().clone();
        table
            .blocking("writing a checkpoint", move |engine| {
                kernel.checkpoint(engine, None).map(drop)
            })
            .await?;
        let after = match reread(&table, version).await {
            Ok(after) => after,
            Err(error) => {
                take_back(&table, version).await?;
                return Err(error);
            }
        };
        if !same(&before, &after) {
            take_back(&table, version).await?;
            return Err(table.failed(
                "reading its checkpoint back",
                &format!(
                    "{} files in the log, {} in the checkpoint",
                    before.len(),
                    after.len()
                ),
            ));
        }
        // From here on the log is read from the checkpoint.
        *crate::lake::lock(&table.head) = None;
        Ok(Some(version))
    }

    /// Deletes what of a table's log is older than 30 days and no longer needed
    /// by any version since. Returns how many files.
    ///
    /// # Errors
    /// The store could not be reached. What is deleted was not needed.
    pub async fn clean_log(&self, table: &str) -> Result<usize, Error> {
        let table = self.table(table)?;
        let Some(head) = table.refresh().await? else {
            return Ok(0);
        };
        let cutoff = chrono::Utc::now() - chrono::Duration::days(LOG_DAYS);
        let cleaned = cleanup_expired_logs_for(
            head.version(),
            table.log.as_ref(),
            cutoff.timestamp_millis(),
            None,
        )
        .await
        .map_err(|error| table.failed("cleaning its log", &chain(&error)))?;
        *crate::lake::lock(&table.head) = None;
        Ok(cleaned)
    }
}

/// The files at `version`, read from nothing, by the checkpoint.
async fn reread(table: &Table, version: u64) -> Result<Vec<DataFile>, Error> {
    let head = table
        .load_at(Some(version))
        .await?
        .ok_or_else(|| table.failed("reading its checkpoint back", "there is no table any more"))?;
    if head.kernel().log_segment().checkpoint_version != Some(version) {
        return Err(table.failed("reading its checkpoint back", "it is not found"));
    }
    head.files(table).await
}

fn same(before: &[DataFile], after: &[DataFile]) -> bool {
    let paths = |files: &[DataFile]| -> HashSet<(String, u64, u64)> {
        files
            .iter()
            .map(|file| (file.path.clone(), file.size, file.rows))
            .collect()
    };
    before.len() == after.len() && paths(before) == paths(after)
}

/// Deletes a checkpoint. The hint goes first: it must not point to nothing.
async fn take_back(table: &Table, version: u64) -> Result<(), Error> {
    let store = table.log.object_store(None);
    let checkpoint = Path::from(format!("_delta_log/{version:020}.checkpoint.parquet"));
    for path in [Path::from("_delta_log/_last_checkpoint"), checkpoint] {
        match store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => {
                return Err(table.failed(&format!("taking {path} back"), &chain(&error)));
            }
        }
    }
    Ok(())
}
