//! Building: which days have news, their samples, and a version of norms from them.
//!
//! Each day is on disk before the next one begins, and a version shows only when all of
//! it is there. So whoever stops a build loses at most the day it was at, and the next
//! build goes on there. A build without news changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Days, NaiveDate, Utc};
use trailhound_ingest::baselines::{BASELINES, DAYS, EXCEPTIONS, VERSIONS};
use trailhound_ingest::error::Error;
use trailhound_lake::Lake;
use trailhound_query::session::MEMORY_BYTES_DEFAULT;
use trailhound_query::{Options, Session};

use super::books::{self, Day, Version};
use super::definition::Definition;
use super::exceptions::{self, Exception};
use super::norms::{self, Norms, Window};
use super::samples::{self, Excluded, Hour};
use super::store;

/// Versions whose rows are kept, beside those that someone approved or froze.
const VERSIONS_KEPT: usize = 30;

/// How to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Where S3 lies, if not at AWS.
    pub endpoint_url: Option<String>,
    /// Memory that queries may use, in bytes.
    pub memory_bytes: usize,
    /// Files read at once; by default one for each core.
    pub partitions: Option<usize>,
    /// Sample every day of the window anew, whether it has news or not.
    pub anew: bool,
    /// Stop after so many days, as a crash would; for tests.
    pub days_max: Option<usize>,
    /// The clock.
    pub now: fn() -> DateTime<Utc>,
}

impl Default for BuildOptions {
    fn default() -> Self {
        BuildOptions {
            endpoint_url: None,
            memory_bytes: MEMORY_BYTES_DEFAULT,
            partitions: None,
            anew: false,
            days_max: None,
            now: Utc::now,
        }
    }
}

/// What a build came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Built {
    /// Days that were sampled, with the number of baselines each.
    pub days: BTreeMap<NaiveDate, usize>,
    /// Samples of these days that train.
    pub samples: u64,
    /// Samples of these days that do not.
    pub excluded: u64,
    /// Hours of these days that were seen too little, of the worst baseline.
    pub blind_hours: u64,
    /// Exceptions that were not known before.
    pub exceptions: usize,
    /// The new version; none without news.
    pub version: Option<i64>,
    /// Its baselines.
    pub baselines: Vec<Version>,
    /// Records of the lake that are dated after the clock's day, whose days wait.
    pub future_days: usize,
}

/// What came of a day so far. The time alone would not do: of two workers the one that read
/// its logs first may commit them last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Arrived {
    latest: i64,
    records: i64,
}

/// What a lake covers on one day.
#[derive(Debug, Clone, Default)]
struct Covered {
    /// Latest arrival of each table's logs, microseconds since the epoch, and their records.
    arrived: BTreeMap<String, Arrived>,
    /// Table, hour and minutes.
    minutes: Vec<(String, i64, i64)>,
}

/// Brings all baselines up to date. `told` hears of each day before it is sampled.
///
/// # Errors
/// The lake has no logs, cannot be reached, or a baseline's query fails.
pub async fn build(
    lake: &Lake,
    definitions: &[Definition],
    exceptions: &[Exception],
    options: &BuildOptions,
    mut told: impl FnMut(NaiveDate, usize, usize),
) -> Result<Built, Error> {
    let mut built = Built::default();
    let session = open(lake, options).await?;
    if !session.lake_tables().contains_key("coverage") {
        return Err(
            Error::wrong_use(format!("{}: there are no logs to learn from", lake.root()))
                .with_help("`trailhound ingest SOURCE` takes some"),
        );
    }
    built.exceptions = keep_exceptions(lake, &session, exceptions, options).await?;
    let session = open(lake, options).await?;
    let excluded = books::exceptions(&session).await?;
    let known = books::days(&session).await?;
    let today = (options.now)().date_naive();
    let covered = coverage(&session).await?;
    built.future_days = covered.range(today..).filter(|(day, _)| **day > today).count();
    let covered: BTreeMap<NaiveDate, Covered> =
        covered.into_iter().filter(|(day, _)| *day <= today).collect();

    let due = due(definitions, &covered, &known, &excluded, options.anew);
    let total = due.len();
    for (number, (day, definitions)) in due.iter().enumerate() {
        if options.days_max.is_some_and(|most| number >= most) {
            return Ok(built);
        }
        told(*day, number + 1, total);
        let covered = &covered[day];
        sample_day(lake, *day, definitions, covered, &excluded, options, &mut built).await?;
    }
    publish(lake, definitions, options, &mut built).await?;
    Ok(built)
}

async fn open(lake: &Lake, options: &BuildOptions) -> Result<Session, Error> {
    Session::open(Options {
        lake: Some(lake.clone()),
        endpoint_url: options.endpoint_url.clone(),
        memory_bytes: options.memory_bytes,
        partitions: options.partitions,
        ..Options::default()
    })
    .await
}

/// Writes down the exceptions that are new, and says how many.
async fn keep_exceptions(
    lake: &Lake,
    session: &Session,
    exceptions: &[Exception],
    options: &BuildOptions,
) -> Result<usize, Error> {
    if exceptions.is_empty() {
        return Ok(0);
    }
    let known: BTreeSet<Exception> = books::exceptions(session)
        .await?
        .into_iter()
        .map(|(known, _)| known)
        .collect();
    let new: Vec<Exception> = exceptions
        .iter()
        .filter(|row| !known.contains(row))
        .cloned()
        .collect();
    if !new.is_empty() {
        let now = (options.now)();
        store::append(
            lake,
            EXCEPTIONS,
            &[exceptions::batch(&new, now)?],
            now.timestamp_micros(),
        )
        .await?;
    }
    Ok(new.len())
}

/// What the lake covers, by day.
async fn coverage(session: &Session) -> Result<BTreeMap<NaiveDate, Covered>, Error> {
    let sql = "SELECT table_name, event_time, bit_or(minutes) AS minutes, max(_ingested_at) AS arrived, \
               sum(records) AS records \
               FROM coverage GROUP BY table_name, event_time ORDER BY event_time, table_name";
    let mut days: BTreeMap<NaiveDate, Covered> = BTreeMap::new();
    for batch in session.query(sql).await?.collect().await? {
        let tables = batch["table_name"].as_string_view();
        let hours = batch["event_time"].as_primitive::<TimestampMicrosecondType>();
        let minutes = batch["minutes"].as_primitive::<Int64Type>();
        let arrived = batch["arrived"].as_primitive::<TimestampMicrosecondType>();
        let records = batch["records"].as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let Some(hour) = DateTime::from_timestamp_micros(hours.value(row)) else {
                continue;
            };
            let day = days.entry(hour.date_naive()).or_default();
            let table = tables.value(row).to_owned();
            let known = day.arrived.entry(table.clone()).or_default();
            known.latest = arrived.value(row).max(known.latest);
            known.records += records.value(row);
            day.minutes.push((table, hours.value(row), minutes.value(row)));
        }
    }
    Ok(days)
}

/// The days to sample, and for which baselines.
fn due<'a>(
    definitions: &'a [Definition],
    covered: &BTreeMap<NaiveDate, Covered>,
    known: &BTreeMap<(String, NaiveDate), Day>,
    excluded: &[(Exception, i64)],
    anew: bool,
) -> BTreeMap<NaiveDate, Vec<&'a Definition>> {
    let mut latest_exception: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    for (exception, added) in excluded {
        if let Some(hour) = DateTime::from_timestamp_micros(exception.hour) {
            let latest = latest_exception.entry(hour.date_naive()).or_insert(*added);
            *latest = (*added).max(*latest);
        }
    }
    let mut due: BTreeMap<NaiveDate, Vec<&Definition>> = BTreeMap::new();
    let last = covered.keys().next_back().copied();
    for definition in definitions {
        for (day, covered) in covered {
            let Some(arrived) = arrived(definition, covered) else {
                continue;
            };
            let oldest =
                last.and_then(|last| last.checked_sub_days(Days::new(definition.window_days.into())));
            if oldest.is_some_and(|oldest| *day <= oldest) {
                continue;
            }
            let fresh = known
                .get(&(definition.name.to_owned(), *day))
                .is_some_and(|known| {
                    known.definition == definition.hash
                        && known.logs_until >= arrived.latest
                        && known.records == arrived.records
                        && latest_exception
                            .get(day)
                            .is_none_or(|added| *added <= known.built_at)
                });
            if anew || !fresh {
                due.entry(*day).or_default().push(definition);
            }
        }
    }
    due
}

/// What came of a day that a baseline reads; none if it reads nothing of that day.
fn arrived(definition: &Definition, covered: &Covered) -> Option<Arrived> {
    definition
        .reads
        .iter()
        .filter_map(|table| covered.arrived.get(table).copied())
        .reduce(|one, other| Arrived {
            latest: one.latest.max(other.latest),
            records: one.records + other.records,
        })
}

async fn sample_day(
    lake: &Lake,
    day: NaiveDate,
    definitions: &[&Definition],
    covered: &Covered,
    excluded: &[(Exception, i64)],
    options: &BuildOptions,
    built: &mut Built,
) -> Result<(), Error> {
    // What arrives while the day is read makes it due again.
    let session = samples::open_day(lake, day, definitions, options).await?;
    let start = samples::midnight(day).timestamp_micros();
    let end = start + 24 * 3_600_000_000;
    let excluded: BTreeSet<Excluded> = excluded
        .iter()
        .filter(|(exception, _)| (start..end).contains(&exception.hour))
        .map(|(exception, _)| Excluded {
            hour: exception.hour,
            entity: exception.entity.clone(),
            reason: "alerted".to_owned(),
        })
        .collect();
    let excluded: Vec<Excluded> = excluded.into_iter().collect();
    let mut days = Vec::new();
    let mut blind_hours = 0;
    for definition in definitions {
        let hours: Vec<Hour> = samples::hours_seen(definition, &covered.minutes);
        let blind = hours.iter().filter(|hour| hour.blind).count();
        let now = (options.now)();
        let arrived = arrived(definition, covered).unwrap_or_default();
        let sampled = samples::sample(&session, definition, &hours, &excluded, now).await?;
        let number = now.timestamp_micros();
        store::replace_day(lake, definition.samples, day, &sampled.batches, number).await?;
        built.samples += sampled.trained;
        built.excluded += sampled.excluded;
        blind_hours = blind_hours.max(blind as u64);
        days.push(Day {
            day,
            baseline: definition.name.to_owned(),
            definition: definition.hash.clone(),
            logs_until: arrived.latest,
            records: arrived.records,
            samples: sampled.trained as i64,
            excluded: sampled.excluded as i64,
            hours_seen: (hours.len() - blind) as i64,
            hours_blind: blind as i64,
            built_at: number,
        });
    }
    built.blind_hours += blind_hours;
    let number = (options.now)().timestamp_micros();
    store::append(lake, DAYS, &[books::days_batch(&days)?], number).await?;
    built.days.insert(day, definitions.len());
    Ok(())
}

/// Makes a version of the baselines that have samples newer than their last version.
async fn publish(
    lake: &Lake,
    definitions: &[Definition],
    options: &BuildOptions,
    built: &mut Built,
) -> Result<(), Error> {
    let session = open(lake, options).await?;
    let days = books::days(&session).await?;
    let versions = books::versions(&session).await?;
    let mut next = versions.iter().map(|version| version.version).max().unwrap_or(0);
    for baseline in BASELINES {
        // Rows of a build that stopped before its version showed: their number is used up.
        if let Some(snapshot) = lake.snapshot(baseline.norms).await? {
            next = next.max(
                snapshot
                    .transaction(&store::app_id(baseline.norms))
                    .await?
                    .unwrap_or(0),
            );
        }
    }
    let number = next + 1;
    let mut made = Vec::new();
    for definition in definitions {
        let own: Vec<&Day> = days
            .values()
            .filter(|day| day.baseline == definition.name)
            .collect();
        let newest = own.iter().map(|day| day.built_at).max();
        let last = versions
            .iter()
            .filter(|version| version.baseline == definition.name)
            .map(|version| version.built_at.timestamp_micros())
            .max();
        let Some(newest) = newest else { continue };
        if last.is_some_and(|last| last >= newest) || !session.lake_tables().contains_key(definition.samples)
        {
            continue;
        }
        let sampled: BTreeSet<NaiveDate> = own.iter().map(|day| day.day).collect();
        let Some(window) = window(definition, &sampled) else {
            continue;
        };
        let built_at = (options.now)();
        let norms = norms::norms(&session, definition, window, &sampled, number, built_at).await?;
        if norms.rows > 0 {
            store::append(lake, definition.norms, &norms.batches, number).await?;
        }
        made.push(version_of(definition, window, &norms, number, built_at));
    }
    if made.is_empty() {
        return Ok(());
    }
    store::append(lake, VERSIONS, &[books::versions_batch(&made)?], number).await?;
    built.version = Some(number);
    built.baselines = made;
    forget(lake, options).await
}

fn window(definition: &Definition, days: &BTreeSet<NaiveDate>) -> Option<Window> {
    let last = *days.last()?;
    let from = last
        .checked_sub_days(Days::new(u64::from(definition.window_days) - 1))
        .unwrap_or(last);
    Some(Window {
        from: from.max(*days.first()?),
        to: last.succ_opt()?,
    })
}

fn version_of(
    definition: &Definition,
    window: Window,
    norms: &Norms,
    number: i64,
    built_at: DateTime<Utc>,
) -> Version {
    Version {
        version: number,
        baseline: definition.name.to_owned(),
        definition: definition.hash.clone(),
        window,
        days: norms.days as i64,
        samples: norms.samples as i64,
        excluded: norms.excluded as i64,
        norms: norms.rows as i64,
        ripe: norms.ripe as i64,
        entities: norms.entities as i64,
        built_at,
    }
}

/// Takes the rows of old versions out of the lake. What is approved or in force stays.
async fn forget(lake: &Lake, options: &BuildOptions) -> Result<(), Error> {
    let session = open(lake, options).await?;
    let versions = books::versions(&session).await?;
    let approvals = books::approvals(&session).await?;
    let in_force = books::InForce::of(&versions, &approvals);
    for baseline in BASELINES {
        let mut own: Vec<i64> = versions
            .iter()
            .filter(|version| version.baseline == baseline.name)
            .map(|version| version.version)
            .collect();
        own.sort_unstable_by(|a, b| b.cmp(a));
        if own.len() <= VERSIONS_KEPT {
            continue;
        }
        let recent: BTreeSet<i64> = own.iter().take(VERSIONS_KEPT).copied().collect();
        // Of a baseline without news in an approved build, its version before that is what was approved.
        let approved: BTreeSet<i64> = approvals
            .iter()
            .filter(|approval| matches!(approval.action.as_str(), "approve" | "freeze" | "report"))
            .filter_map(|approval| own.iter().copied().find(|version| *version <= approval.version))
            .collect();
        let current = in_force.versions.get(baseline.name).copied();
        let keep = |version: i64| {
            recent.contains(&version) || approved.contains(&version) || current == Some(version)
        };
        store::prune(lake, baseline.norms, keep).await?;
    }
    Ok(())
}
