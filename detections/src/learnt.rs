//! A lake that has learnt from the logs of a case: real rows, real coverage, real baselines.

use std::path::Path;
use std::sync::Arc;

use trailhound_ingest::coverage::Coverage;
use trailhound_ingest::error::Error as IngestError;
use trailhound_ingest::formats::{Setup, format_named};
use trailhound_ingest::reader::{Limits, read_all};
use trailhound_lake::{Lake, Txn, Writer, WriterSettings, spec};

use crate::baseline::{BuildOptions, Definition, build};
use crate::error::{Error, Result};
use crate::page::Log;
use crate::rule::Rule;

/// Makes the lake in a folder, as `ingest` and `baseline build` would, with the baselines that a rule reads.
///
/// # Errors
/// A log does not parse, or the folder cannot be written.
pub(crate) async fn lake(folder: &Path, rule: &Rule, logs: &[&Log]) -> Result<Lake> {
    let failed = |error: IngestError| Error::query("learnt logs", error);
    let lake = Lake::local(folder).map_err(failed)?;
    let mut coverage = Coverage::default();
    for (number, log) in (1..).zip(logs) {
        let wrong = |reason: String| Error::query(&log.path, reason);
        let format = format_named(&log.table)
            .ok_or_else(|| wrong(format!("{} is no kind of log that can be learnt from", log.table)))?;
        let parser = format
            .parser(Setup::whole(format, log.path.as_str()))
            .map_err(|error| wrong(error.to_string()))?;
        let (batches, tally) = read_all(parser, Limits::default(), log.text.clone().into_bytes())
            .map_err(|error| wrong(error.to_string()))?;
        if tally.rejected > 0 {
            return Err(wrong(format!("{} of its lines did not parse", tally.rejected)));
        }
        for batch in &batches {
            coverage.see(format.name(), batch, None);
        }
        append(&lake, format.name(), number, batches)
            .await
            .map_err(failed)?;
    }
    let seen = coverage.batch("case", 0);
    append(&lake, "coverage", 1, vec![seen]).await.map_err(failed)?;
    let mut definitions = Definition::all().map_err(failed)?;
    definitions.retain(|known| {
        rule.tables()
            .any(|table| table == known.norms || table == known.samples)
    });
    build(&lake, &definitions, &[], &BuildOptions::default(), |_, _, _| ())
        .await
        .map_err(failed)?;
    Ok(lake)
}

async fn append(
    lake: &Lake,
    table: &'static str,
    version: i64,
    batches: Vec<arrow::array::RecordBatch>,
) -> std::result::Result<(), IngestError> {
    let Some(spec) = spec::spec(table) else {
        return Ok(());
    };
    let (store, root) = (Arc::clone(lake.store()), lake.path_of(table));
    let mut writer = Writer::new(spec.clone(), WriterSettings::default(), store, root);
    for batch in batches {
        writer.push(batch).await?;
    }
    let files = writer.finish().await?;
    let app_id = format!("case/{table}");
    lake.append(&spec, &files, &Txn { app_id, version }).await?;
    Ok(())
}
