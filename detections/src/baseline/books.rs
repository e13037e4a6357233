//! What was built, what is in force, and who said so: the small tables beside samples and norms.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, NaiveDate, Utc};
use trailhound_ingest::baselines::{APPROVALS, BASELINES, DAYS, EXCEPTIONS, VERSIONS};
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_lake::Lake;
use trailhound_query::Session;

use super::columns::Columns;
use super::exceptions::Exception;
use super::norms::Window;
use super::samples::{long, midnight};
use super::store;

/// One baseline of one build.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Number of the build.
    pub version: i64,
    /// Name of the baseline.
    pub baseline: String,
    /// Hash of its file.
    pub definition: String,
    /// Days that it is made from.
    pub window: Window,
    /// Days among them that have samples.
    pub days: i64,
    /// Samples that train.
    pub samples: i64,
    /// Samples that do not.
    pub excluded: i64,
    /// Rows.
    pub norms: i64,
    /// Ripe ones among them.
    pub ripe: i64,
    /// Different entities.
    pub entities: i64,
    /// When it was built.
    pub built_at: DateTime<Utc>,
}

/// A day that was sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// The day.
    pub day: NaiveDate,
    /// Name of the baseline.
    pub baseline: String,
    /// Hash of its file.
    pub definition: String,
    /// Latest arrival of logs that is in the samples, microseconds since the epoch.
    pub logs_until: i64,
    /// Records of that day in the tables that the baseline reads.
    pub records: i64,
    /// Samples that train.
    pub samples: i64,
    /// Samples that do not.
    pub excluded: i64,
    /// Hours that were seen well enough.
    pub hours_seen: i64,
    /// Hours that were not.
    pub hours_blind: i64,
    /// When it was sampled, microseconds since the epoch.
    pub built_at: i64,
}

/// What somebody said about a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// When.
    pub at: DateTime<Utc>,
    /// Which version.
    pub version: i64,
    /// `approve`, `freeze`, `release` or `report`.
    pub action: String,
    /// Who.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The versions that rules see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InForce {
    /// The version that everything stands still at, if one was frozen.
    pub frozen: Option<i64>,
    /// The version of each baseline, by its name.
    pub versions: BTreeMap<String, i64>,
}

impl InForce {
    /// Works it out from what was built and said.
    pub fn of(versions: &[Version], approvals: &[Approval]) -> Self {
        let mut frozen = None;
        for approval in approvals {
            match approval.action.as_str() {
                "freeze" => frozen = Some(approval.version),
                "release" => frozen = None,
                _ => {}
            }
        }
        let mut in_force = BTreeMap::new();
        for version in versions {
            if frozen.is_none_or(|frozen| version.version <= frozen) {
                let latest = in_force
                    .entry(version.baseline.clone())
                    .or_insert(version.version);
                *latest = version.version.max(*latest);
            }
        }
        InForce {
            frozen,
            versions: in_force,
        }
    }

    /// Reads it from the lake of a session; empty without one.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub async fn read(session: &Session) -> Result<Self, Error> {
        Ok(InForce::of(&versions(session).await?, &approvals(session).await?))
    }

    /// The version of a table of norms; none if it is no such table or there is none.
    pub fn of_table(&self, table: &str) -> Option<i64> {
        let baseline = BASELINES.iter().find(|baseline| baseline.norms == table)?;
        self.versions.get(baseline.name).copied()
    }
}

/// Rows of one of these tables, in order of the time at which they were written.
async fn rows(session: &Session, table: &str) -> Result<Vec<RecordBatch>, Error> {
    if !session.lake_tables().contains_key(table) {
        return Ok(Vec::new());
    }
    let schema = store::schema(table)?;
    let sql = format!("SELECT * FROM {table} ORDER BY _ingested_at, event_time");
    let batches = session.query(&sql).await?.collect().await?;
    batches
        .iter()
        .map(|batch| store::fitted(batch, &schema, table))
        .collect()
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> String {
    let column: Option<&StringViewArray> = batch
        .column_by_name(column)
        .and_then(|column| column.as_string_view_opt());
    column
        .filter(|column| column.is_valid(row))
        .map_or(String::new(), |column| column.value(row).to_owned())
}

fn micros(batch: &RecordBatch, column: &str, row: usize) -> i64 {
    batch
        .column_by_name(column)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .filter(|column| column.is_valid(row))
        .map_or(0, |column| column.value(row))
}

fn moment(batch: &RecordBatch, column: &str, row: usize) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros(batch, column, row)).unwrap_or_default()
}

/// All builds, oldest first.
///
/// # Errors
/// The table cannot be read.
pub async fn versions(session: &Session) -> Result<Vec<Version>, Error> {
    let mut all = Vec::new();
    for batch in rows(session, VERSIONS).await? {
        for row in 0..batch.num_rows() {
            all.push(Version {
                version: long(&batch, "version", row),
                baseline: text(&batch, "baseline", row),
                definition: text(&batch, "definition", row),
                window: Window {
                    from: moment(&batch, "window_from", row).date_naive(),
                    to: moment(&batch, "window_to", row).date_naive(),
                },
                days: long(&batch, "days", row),
                samples: long(&batch, "samples", row),
                excluded: long(&batch, "excluded", row),
                norms: long(&batch, "norms", row),
                ripe: long(&batch, "ripe", row),
                entities: long(&batch, "entities", row),
                built_at: moment(&batch, "_ingested_at", row),
            });
        }
    }
    all.sort_by_key(|version| version.version);
    Ok(all)
}

/// The rows of builds.
///
/// # Errors
/// They do not fit the table.
pub fn versions_batch(versions: &[Version]) -> Result<RecordBatch, Error> {
    let end = |version: &Version| midnight(version.window.to).timestamp_micros();
    let rows = Columns(versions);
    let columns = vec![
        rows.times(|version| end(version) - 1),
        rows.numbers(|version| version.version),
        rows.texts(|version| &version.baseline),
        rows.texts(|version| &version.definition),
        rows.times(|version| midnight(version.window.from).timestamp_micros()),
        rows.times(end),
        rows.numbers(|version| version.days),
        rows.numbers(|version| version.samples),
        rows.numbers(|version| version.excluded),
        rows.numbers(|version| version.norms),
        rows.numbers(|version| version.ripe),
        rows.numbers(|version| version.entities),
        rows.times(|version| version.built_at.timestamp_micros()),
    ];
    RecordBatch::try_new(store::schema(VERSIONS)?, columns).map_err(failed)
}

/// The last sampling of each day of each baseline.
///
/// # Errors
/// The table cannot be read.
pub async fn days(session: &Session) -> Result<BTreeMap<(String, NaiveDate), Day>, Error> {
    let mut all = BTreeMap::new();
    for batch in rows(session, DAYS).await? {
        for row in 0..batch.num_rows() {
            let day = Day {
                day: moment(&batch, "event_time", row).date_naive(),
                baseline: text(&batch, "baseline", row),
                definition: text(&batch, "definition", row),
                logs_until: micros(&batch, "logs_until", row),
                records: long(&batch, "records", row),
                samples: long(&batch, "samples", row),
                excluded: long(&batch, "excluded", row),
                hours_seen: long(&batch, "hours_seen", row),
                hours_blind: long(&batch, "hours_blind", row),
                built_at: micros(&batch, "_ingested_at", row),
            };
            // In order of writing: the last one counts.
            all.insert((day.baseline.clone(), day.day), day);
        }
    }
    Ok(all)
}

/// The rows of days.
///
/// # Errors
/// They do not fit the table.
pub fn days_batch(days: &[Day]) -> Result<RecordBatch, Error> {
    let rows = Columns(days);
    let columns = vec![
        rows.times(|day| midnight(day.day).timestamp_micros()),
        rows.texts(|day| &day.baseline),
        rows.texts(|day| &day.definition),
        rows.times(|day| day.logs_until),
        rows.numbers(|day| day.records),
        rows.numbers(|day| day.samples),
        rows.numbers(|day| day.excluded),
        rows.numbers(|day| day.hours_seen),
        rows.numbers(|day| day.hours_blind),
        rows.times(|day| day.built_at),
    ];
    RecordBatch::try_new(store::schema(DAYS)?, columns).map_err(failed)
}

/// All that was said about versions, oldest first.
///
/// # Errors
/// The table cannot be read.
pub async fn approvals(session: &Session) -> Result<Vec<Approval>, Error> {
    let mut all = Vec::new();
    for batch in rows(session, APPROVALS).await? {
        for row in 0..batch.num_rows() {
            all.push(Approval {
                at: moment(&batch, "event_time", row),
                version: long(&batch, "version", row),
                action: text(&batch, "action", row),
                name: text(&batch, "name", row),
                reason: text(&batch, "reason", row),
            });
        }
    }
    Ok(all)
}

/// Writes down what somebody said about a version.
///
/// # Errors
/// The lake cannot be reached.
pub async fn say(lake: &Lake, approval: &Approval) -> Result<(), Error> {
    let at = approval.at.timestamp_micros();
    let rows = Columns(std::slice::from_ref(approval));
    let columns = vec![
        rows.times(|_| at),
        rows.numbers(|approval| approval.version),
        rows.texts(|approval| &approval.action),
        rows.texts(|approval| &approval.name),
        rows.texts(|approval| &approval.reason),
        rows.times(|_| at),
    ];
    let batch = RecordBatch::try_new(store::schema(APPROVALS)?, columns).map_err(failed)?;
    store::append(lake, APPROVALS, &[batch], at).await
}

/// All exceptions, and when each was added, microseconds since the epoch.
///
/// # Errors
/// The table cannot be read.
pub async fn exceptions(session: &Session) -> Result<Vec<(Exception, i64)>, Error> {
    let mut all = Vec::new();
    for batch in rows(session, EXCEPTIONS).await? {
        for row in 0..batch.num_rows() {
            let exception = Exception {
                hour: micros(&batch, "event_time", row),
                entity: text(&batch, "entity", row),
                rule: text(&batch, "rule", row),
                alert: text(&batch, "alert", row),
            };
            all.push((exception, micros(&batch, "_ingested_at", row)));
        }
    }
    Ok(all)
}

/// Versions whose rows are still in the lake.
///
/// # Errors
/// The lake cannot be reached.
pub async fn kept(lake: &Lake, versions: &[Version]) -> Result<BTreeSet<i64>, Error> {
    let mut kept = BTreeSet::new();
    for baseline in BASELINES {
        let Some(snapshot) = lake.snapshot(baseline.norms).await? else {
            continue;
        };
        let ranges: Vec<(i64, i64)> = snapshot.files.iter().filter_map(store::versions).collect();
        kept.extend(
            versions
                .iter()
                .filter(|version| version.baseline == baseline.name)
                .map(|version| version.version)
                .filter(|version| {
                    ranges
                        .iter()
                        .any(|(first, last)| (first..=last).contains(&version))
                }),
        );
    }
    // A build that found nothing normal at all has no rows, and is still a build.
    kept.extend(
        versions
            .iter()
            .filter(|version| version.norms == 0)
            .map(|version| version.version),
    );
    Ok(kept)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("keeping the books of baselines: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: i64, baseline: &str) -> Version {
        let day = NaiveDate::default();
        Version {
            version,
            baseline: baseline.to_owned(),
            definition: String::new(),
            window: Window { from: day, to: day },
            days: 0,
            samples: 0,
            excluded: 0,
            norms: 0,
            ripe: 0,
            entities: 0,
            built_at: DateTime::default(),
        }
    }

    fn said(action: &str, version: i64) -> Approval {
        Approval {
            at: DateTime::default(),
            version,
            action: action.to_owned(),
            name: "A".to_owned(),
            reason: "B".to_owned(),
        }
    }

    #[test]
    fn the_latest_is_in_force_until_one_is_frozen() {
        let versions = [
            version(1, "edges"),
            version(1, "volumes"),
            version(2, "edges"),
            version(3, "edges"),
        ];
        let latest = InForce::of(&versions, &[said("approve", 1)]);
        assert_eq!(
            (
                latest.of_table("baseline_edges"),
                latest.of_table("baseline_volumes")
            ),
            (Some(3), Some(1))
        );
        assert_eq!(latest.of_table("baseline_series"), None);
        let frozen = InForce::of(&versions, &[said("freeze", 2)]);
        assert_eq!(
            (frozen.frozen, frozen.of_table("baseline_edges")),
            (Some(2), Some(2))
        );
        let released = InForce::of(&versions, &[said("freeze", 2), said("release", 2)]);
        assert_eq!(released, latest);
    }
}
