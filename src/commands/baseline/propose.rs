//! `trailhound baseline propose`: service profiles for people to read, from the connections that were learnt.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use datafusion::common::ScalarValue;
use futures::TryStreamExt;

use super::Where;
use crate::failure::{Exit, Failure};
use crate::output::destination::Destination;
use crate::output::{self, Format, say};
use crate::summary::plural;
use crate::text::visible;

/// Arguments of `trailhound baseline propose`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Service, or a part of its name that only it has; without it all of them
    #[arg(value_name = "SERVICE")]
    pub service: Option<String>,

    /// Leave out what was seen on fewer days
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub min_days: u32,

    /// As of this version [default: the one in force]
    #[arg(long, value_name = "N")]
    pub as_of: Option<i64>,

    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Where the lake lies.
    #[command(flatten)]
    pub at: Where,
}

/// What baseline holds the connections.
const EDGES: &str = "edges";

/// Writes the rows.
///
/// # Errors
/// Nothing was learnt, not about this service, or the file cannot be written.
pub async fn run(args: Args) -> Result<ExitCode> {
    let opened = super::open(&args.at).await?;
    super::need_versions(&opened)?;
    if let Some(version) = args.as_of {
        opened.existing(version).await?;
    }
    let definitions = opened.selected(&[EDGES.to_owned()])?;
    let version = definitions
        .first()
        .and_then(|edges| opened.version_of(edges, args.as_of))
        .ok_or_else(|| Failure::wrong_use("no connections were learnt from this lake yet"))?;
    let service = match &args.service {
        Some(name) => Some(super::entity_named(&opened, &definitions, args.as_of, name).await?),
        None => None,
    };
    let parameters = [("service", ScalarValue::Utf8View(service))];
    let answer = opened
        .session
        .query_with(&proposal(version, args.min_days), &parameters)
        .await?;
    let mut out = match &args.output {
        Some(path) => Destination::file(path)?,
        None => Destination::stdout(),
    };
    let mut rows = 0;
    let mut writer = output::writer(Format::Csv, &answer.schema, &mut out)?;
    let mut batches = answer.stream;
    while let Some(batch) = batches.try_next().await? {
        rows += batch.num_rows();
        writer.write(&batch)?;
    }
    writer.finish()?;
    drop(writer);
    out.commit()?;
    if let Some(path) = &args.output {
        let path = path.display().to_string();
        let path = visible(&path);
        say(&format!(
            "{} in {path}, from version {version}; read them before rules trust them: --from service_profiles={path}",
            plural(rows as u64, "row"),
        ));
    }
    Ok(Exit::Done.into())
}

/// The rows of `service_profiles` that learnt connections come to. Interfaces are no services.
fn proposal(version: i64, min_days: u32) -> String {
    format!(
        r"SELECT
            entity AS service,
            CASE measure WHEN 'out' THEN 'out' ELSE 'in' END AS direction,
            CASE measure
                WHEN 'out' THEN regexp_replace(subject, ':[0-9]+/[0-9]+$', '')
                WHEN 'in_internal' THEN 'private'
                ELSE '*'
            END AS peer,
            regexp_replace(subject, '^.*:([0-9]+)/[0-9]+$', '\1') AS port,
            CASE split_part(subject, '/', -1) WHEN '6' THEN 'tcp' ELSE 'udp' END AS protocol
        FROM baseline_edges
        WHERE version = {version} AND measure <> 'protocol' AND state <> 'expired' AND days >= {min_days}
          AND entity NOT LIKE 'eni-%'
          AND split_part(subject, '/', -1) IN ('6', '17')
          AND ($service IS NULL OR entity = $service)
        ORDER BY service, direction, peer, CAST(port AS INT), protocol"
    )
}
