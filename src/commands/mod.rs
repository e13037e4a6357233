//! The commands: one module each, with its `Args` and its `run`.

use std::path::Path;

use anyhow::Result;
use trailhound_lake::Lake;
use trailhound_query::{From, Options, Session};

use crate::cli::Common;
use crate::config::Config;
use crate::failure::Failure;
use crate::lakes::Place;
use crate::when::When;

pub mod alert_table;
pub mod baseline;
pub mod completions;
pub mod demo;
pub mod config;
pub mod coverage;
pub mod detect;
pub mod ingest;
pub mod lake;
pub mod man;
pub mod rules;
pub mod sql;
pub mod verify;
pub mod who;

/// The lake that the arguments or the configuration name; else the default one,
/// if it is there and no raw logs are given.
///
/// # Errors
/// A lake that was named is not there, or cannot be reached.
pub async fn lake(common: &Common, config: &Config) -> Result<Option<Lake>> {
    // What people declare goes with any logs, those of the lake too.
    let no_logs = !common.from.iter().any(From::is_log);
    let named = common.lake.is_some() || (config.lake.path.is_some() && no_logs);
    let there = no_logs && Path::new(crate::lakes::DEFAULT).is_dir();
    if !named && !there {
        return Ok(None);
    }
    let place = Place::of(common.lake.as_deref(), common.endpoint_url.as_deref(), config);
    Ok(Some(place.read().await?))
}

/// Opens a session over the input that the arguments name.
///
/// # Errors
/// An argument makes no sense, or nothing lies where it points.
pub async fn open(common: &Common) -> Result<Session> {
    let config = Config::load(common.config.as_deref())?;
    let mut options = Options {
        lake: lake(common, &config).await?,
        from: common.from.clone(),
        enrichment: crate::enrich::files(&config.enrich, &common.enrich),
        endpoint_url: common.endpoint_url.clone(),
        partitions: common.threads.map(usize::from),
        ..Options::default()
    };
    let moment = |name: &str, when: Option<When>| match when.map(|when| when.resolve(options.now)) {
        Some(None) => Err(Failure::wrong_use(format!(
            "{name} lies before the calendar begins"
        ))),
        Some(moment) => Ok(moment),
        None => Ok(None),
    };
    let (since, until) = (moment("--since", common.since)?, moment("--until", common.until)?);
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        let message = format!("--since {since} is not before --until {until}: no record can lie between");
        return Err(Failure::wrong_use(message).into());
    }
    (options.since, options.until) = (since, until);
    options.format_options = common
        .option
        .iter()
        .map(|o| (o.table.clone(), o.name.clone(), o.value.clone()))
        .collect();
    if let Some(bytes) = common.memory {
        options.memory_bytes = bytes;
    }
    Ok(Session::open(options).await?)
}
