//! `trailhound verify`: CloudTrail logs against the digests that AWS signed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use chrono::Utc;
use clap::ValueEnum;
use object_store::ObjectStore;
use trailhound_lake::{Settlement, State, Writer, WriterSettings, publish, recover, spec};
use trailhound_query::Error;
use trailhound_verify::{
    Found, Gap, Keys, Kind, ObjectState, Place as Logs, Report, Settings, Window, object_states_batch,
    verify_found,
};
use url::Url;

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::lakes::Place;
use crate::output::destination::Destination;
use crate::output::say;
use crate::summary::plural;
use crate::text::visible;
use crate::when::{When, show_bytes, show_count, show_time};

const EXAMPLES: &str = "\
Examples:
  The last month of a bucket, with the keys that AWS publishes:
    $ trailhound verify s3://org-logs/AWSLogs/ --since 31d

  A copy on this machine, with keys saved by `aws cloudtrail list-public-keys`:
    $ trailhound verify AWSLogs/ --keys keys.json

  Keep the outcome in the lake, to join it with records:
    $ trailhound verify s3://org-logs/AWSLogs/ --lake ./lake";

/// Objects and gaps that are named one by one.
const NAMED_MAX: usize = 50;

/// Objects that become rows at a time.
const BATCH_OBJECTS: usize = 8192;

/// Arguments of `trailhound verify`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// A folder or s3://BUCKET/PREFIX with logs and digests, as CloudTrail lays them out
    #[arg(value_name = "WHERE")]
    pub location: String,

    /// Public keys as `aws cloudtrail list-public-keys` prints them [default: asked of AWS, for a bucket]
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,

    /// Only digests from this moment on, written as for `trailhound sql`
    #[arg(long, value_name = "TIME")]
    pub since: Option<When>,

    /// Only digests before this moment
    #[arg(long, value_name = "TIME")]
    pub until: Option<When>,

    /// Exit with 1 if something was changed or removed, or if not all is proven
    #[arg(long, value_enum, value_name = "WHAT")]
    pub fail_on: Option<FailOn>,

    /// Keep the outcome in this lake, as the table object_digests
    #[arg(long, value_name = "WHERE")]
    pub lake: Option<String>,

    /// Folder of the lake's state [default: beside the lake]
    #[arg(long, value_name = "DIR", requires = "lake")]
    pub state: Option<PathBuf>,

    /// Endpoint of AWS-compatible services, in place of AWS's own
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,

    /// Settings [default: trailhound.toml if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// One JSON object for each log and digest, in place of the report
    #[arg(long)]
    pub json: bool,
}

/// What makes the exit code 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Something was changed, removed or forged
    Alarm,
    /// Not every object is proven to be as AWS delivered it
    Unproven,
}

/// Checks the logs and says what came of it.
///
/// # Errors
/// The logs, the keys or the lake cannot be read, or there is no digest.
pub async fn run(args: Args) -> Result<ExitCode> {
    let config = Config::load(args.config.as_deref())?;
    let endpoint = args
        .endpoint_url
        .as_deref()
        .or(config.aws.endpoint_url.as_deref());
    let now = Utc::now();
    let resolve = |when: Option<When>| when.and_then(|when| when.resolve(now));
    let window = Window {
        since: resolve(args.since),
        until: resolve(args.until),
    };
    let (logs, remote) = logs(&args.location, endpoint).await?;
    let found = Found::list(&logs, window).await?;
    if found.digests() == 0 {
        let failure = Failure::wrong_use(format!("{}: there is no digest", visible(&args.location)));
        return Err(failure
            .with_help("digests lie in a folder CloudTrail-Digest beside the logs, if the trail has log file validation on; name the folder above both")
            .into());
    }
    let keys = match (&args.keys, remote) {
        (Some(file), _) => Some(keys_of(file)?),
        (None, true) => Some(keys_of_aws(&found, endpoint).await?),
        (None, false) => None,
    };
    let settings = Settings {
        now: remote.then_some(now),
        ..Settings::default()
    };
    let report = verify_found(&logs, found, keys.as_ref(), &settings, &|_| {}).await;
    let mut out = Destination::stdout();
    match args.json {
        true => write_json(&report, &mut out)?,
        false => write_report(&report, keys.is_some(), &mut out)?,
    }
    out.commit()?;
    if let Some(lake) = &args.lake {
        let place = Place::of(Some(lake), args.endpoint_url.as_deref(), &config);
        let state = args.state.clone().unwrap_or_else(|| place.state());
        keep(&report, &args.location, &place, &state).await?;
    }
    let failed = match args.fail_on {
        Some(FailOn::Alarm) => report.has_alarms(),
        Some(FailOn::Unproven) => !report.is_proven(),
        None => false,
    };
    Ok(if failed { Exit::Findings } else { Exit::Done }.into())
}

/// Where the logs lie, and whether that is S3.
async fn logs(location: &str, endpoint: Option<&str>) -> Result<(Logs, bool)> {
    if !location.starts_with("s3://") {
        let path = Path::new(location);
        let folder = path
            .canonicalize()
            .map_err(|error| Failure::wrong_use(format!("{}: {error}", visible(location))))?;
        let store = object_store::local::LocalFileSystem::new_with_prefix(&folder)
            .with_context(|| visible(location).into_owned())?;
        return Ok((
            Logs {
                store: Arc::new(store),
                prefix: object_store::path::Path::default(),
                root: location.trim_end_matches('/').to_owned(),
            },
            false,
        ));
    }
    let url = Url::parse(location)
        .map_err(|error| Failure::wrong_use(format!("{}: {error}", visible(location))))?;
    let store: Arc<dyn ObjectStore> = trailhound_aws::store(&url, endpoint).await?;
    Ok((
        Logs {
            store,
            prefix: object_store::path::Path::from_url_path(url.path())
                .with_context(|| visible(location).into_owned())?,
            root: format!("s3://{}", url.host_str().unwrap_or_default()),
        },
        true,
    ))
}

fn keys_of(file: &Path) -> Result<Keys> {
    let name = file.to_string_lossy();
    let bytes = std::fs::read(file)
        .map_err(|error| Failure::wrong_use(format!("{}: cannot read it: {error}", visible(&name))))?;
    Ok(Keys::from_json(&bytes, &name)?)
}

/// The keys of every Region that signed a digest.
async fn keys_of_aws(found: &Found, endpoint: Option<&str>) -> Result<Keys> {
    let aws = trailhound_aws::Aws::load(endpoint, "the public keys of CloudTrail").await?;
    let since = found.oldest().unwrap_or_else(Utc::now);
    Ok(Keys::from_aws(&aws, &found.home_regions(), since).await?)
}

fn write_json(report: &Report, out: &mut Destination) -> Result<()> {
    use std::io::Write;
    for object in &report.objects {
        let kind = match object.kind {
            Kind::Digest => "digest",
            Kind::Log => "log",
        };
        let line = serde_json::json!({
            "_source": object.name, "kind": kind, "state": object.state.name(), "digest_source": object.digest,
            "account_id": object.account, "region": object.region,
            "digest_start": object.digest_start.map(|time| time.to_rfc3339()),
            "digest_end": object.digest_end.map(|time| time.to_rfc3339()), "reason": object.reason,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn write_report(report: &Report, with_keys: bool, out: &mut Destination) -> Result<()> {
    use std::io::Write;
    for (kind, name) in [(Kind::Digest, "digests"), (Kind::Log, "logs")] {
        let counts: Vec<String> = report
            .counts(kind)
            .iter()
            .map(|(state, count)| format!("{} {}", show_count(*count), state.name()))
            .collect();
        writeln!(
            out,
            "{name}: {}",
            if counts.is_empty() {
                "none".to_owned()
            } else {
                counts.join(", ")
            }
        )?;
    }
    let alarms: Vec<&ObjectState> = report
        .objects
        .iter()
        .filter(|object| object.state.is_alarm())
        .collect();
    for object in alarms.iter().take(NAMED_MAX) {
        writeln!(
            out,
            "  {} {}: {}",
            object.state.name(),
            visible(&object.name),
            visible(object.reason.as_deref().unwrap_or_default())
        )?;
    }
    if alarms.len() > NAMED_MAX {
        writeln!(
            out,
            "  and {} more (--json lists all)",
            show_count((alarms.len() - NAMED_MAX) as u64)
        )?;
    }
    for gap in report.gaps.iter().take(NAMED_MAX) {
        writeln!(out, "  {}", gap_line(gap))?;
    }
    let chains = plural(report.chains.len() as u64, "chain");
    let verdict = match (report.has_alarms(), report.is_proven()) {
        (true, _) => "something was changed, removed or forged",
        (false, true) => "every log is as AWS delivered it",
        (false, false) if !with_keys => "no sign of change; without keys (--keys FILE) that is no proof",
        (false, false) => "no sign of change, but not every object is proven",
    };
    writeln!(out, "{chains}, {} read: {verdict}", show_bytes(report.bytes))?;
    Ok(())
}

fn gap_line(gap: &Gap) -> String {
    let from = gap.from.map_or("?".to_owned(), |time| show_time(&time));
    format!("{} {from} to {}", gap.kind.name(), show_time(&gap.until))
}

/// Writes the states of all objects into the lake.
async fn keep(report: &Report, location: &str, place: &Place, state: &Path) -> Result<()> {
    let lake = place.write().await?;
    let state = Arc::new(State::open(state)?);
    let source = format!("verify {location}");
    recover(&lake, &state, &source).await?;
    let table = spec::spec("object_digests")
        .ok_or_else(|| Error::wrong_use("the lake has no table object_digests"))?;
    let intent = state.begin(&source)?;
    let root = lake.path_of(table.name);
    let mut writer = Writer::new(
        table.clone(),
        WriterSettings::default(),
        Arc::clone(lake.store()),
        root,
    );
    let now = Utc::now().timestamp_micros();
    for objects in report.objects.chunks(BATCH_OBJECTS) {
        writer.push(object_states_batch(objects, now)).await?;
    }
    let files = writer.finish().await?;
    publish(&lake, &state, intent, vec![(table, files)], Settlement::default()).await?;
    say(&format!(
        "{} kept in the table object_digests of {}",
        plural(report.objects.len() as u64, "state"),
        visible(&place.location)
    ));
    Ok(())
}
