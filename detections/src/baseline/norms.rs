//! Norms of a window, made from the samples that train.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Builder, Int32Builder, Int64Builder, RecordBatch, StringViewBuilder,
};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_query::Session;

use super::columns::times;
use super::definition::{Definition, Kind};
use super::samples::midnight;
use super::statistics::Norm;
use super::store;

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;
const HOURS_PER_WEEK: i64 = 168;

/// 1970-01-01 was a Thursday: three days after the Monday of its week.
const HOURS_INTO_WEEK_AT_EPOCH: i64 = 72;

/// Days of history from which each hour of the week stands for itself; before that
/// the days of the week are taken together.
const DAYS_FOR_HOUR_OF_WEEK: i64 = 28;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Hour of the week in UTC; 0 is Monday 00:00.
pub fn hour_of_week(micros: i64) -> i64 {
    (micros.div_euclid(HOUR_MICROS) + HOURS_INTO_WEEK_AT_EPOCH).rem_euclid(HOURS_PER_WEEK)
}

/// Norms of one build.
#[derive(Debug, Default)]
pub struct Norms {
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Their number.
    pub rows: u64,
    /// The ripe ones among them.
    pub ripe: u64,
    /// Samples behind them.
    pub samples: u64,
    /// Samples of the window that do not train.
    pub excluded: u64,
    /// Days of the window that have samples.
    pub days: u64,
    /// Different entities.
    pub entities: u64,
}

/// The stretch that norms are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First day.
    pub from: NaiveDate,
    /// The day after the last one.
    pub to: NaiveDate,
}

/// What is known of an entity in the window.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// First and last sample, microseconds since the epoch.
    first: i64,
    last: i64,
}

/// One sample of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Start of the hour or day, microseconds since the epoch.
    pub time: i64,
    /// How much.
    pub value: f64,
}

/// Samples of one entity, measure and subject.
#[derive(Debug, Default)]
struct Group {
    entity: String,
    measure: String,
    subject: Option<String>,
    samples: Vec<Sample>,
    count: i64,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
}

/// A norm of some hours of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooled {
    /// Hour of the week that it is of; none if it is of all.
    pub hour_of_week: Option<i64>,
    /// What was taken together.
    pub grain: &'static str,
    /// The numbers.
    pub norm: Norm,
    /// Different days among the samples.
    pub days: usize,
    /// Whether there were enough samples.
    pub enough: bool,
}

/// Makes the norms of a baseline over a window. `days` are those that were sampled.
///
/// # Errors
/// The samples cannot be read.
pub async fn norms(
    session: &Session,
    definition: &Definition,
    window: Window,
    days: &BTreeSet<NaiveDate>,
    version: i64,
    built_at: DateTime<Utc>,
) -> Result<Norms, Error> {
    let within = format!(
        "event_time >= TIMESTAMP '{}T00:00:00Z' AND event_time < TIMESTAMP '{}T00:00:00Z'",
        window.from, window.to
    );
    let table = definition.samples;
    let mut made = Norms {
        days: days.range(window.from..window.to).count() as u64,
        excluded: count(
            session,
            &format!("SELECT count(*) AS n FROM {table} WHERE {within} AND excluded IS NOT NULL"),
        )
        .await?,
        ..Norms::default()
    };
    let known = entities(session, table, &within).await?;
    made.entities = known.len() as u64;
    let sql = format!(
        "SELECT entity, measure, subject, event_time, value, count, first_seen, last_seen FROM {table} \
         WHERE {within} AND excluded IS NULL ORDER BY entity, measure, subject, event_time"
    );
    let mut rows = Rows::new(definition, window, days, known, version, built_at);
    let mut group = Group::default();
    let mut stream = session.query(&sql).await?.stream;
    while let Some(batch) = stream.try_next().await? {
        let text = |name: &str| batch[name].as_string_view().clone();
        let time = |name: &str| batch[name].as_primitive::<TimestampMicrosecondType>().clone();
        let (entities, measures, subjects) = (text("entity"), text("measure"), text("subject"));
        let (at, first, last) = (time("event_time"), time("first_seen"), time("last_seen"));
        let values = batch["value"].as_primitive::<Float64Type>();
        let counts = batch["count"].as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let subject = subjects.is_valid(row).then(|| subjects.value(row));
            let same = group.entity == entities.value(row)
                && group.measure == measures.value(row)
                && group.subject.as_deref() == subject;
            if !same {
                rows.add(&std::mem::take(&mut group))?;
                group.entity = entities.value(row).to_owned();
                group.measure = measures.value(row).to_owned();
                group.subject = subject.map(str::to_owned);
            }
            if values.is_valid(row) && at.is_valid(row) {
                group.samples.push(Sample {
                    time: at.value(row),
                    value: values.value(row),
                });
            }
            group.count += if counts.is_valid(row) {
                counts.value(row)
            } else {
                0
            };
            if first.is_valid(row) {
                let time = first.value(row);
                group.first_seen = Some(group.first_seen.map_or(time, |earlier| earlier.min(time)));
            }
            if last.is_valid(row) {
                group.last_seen = group.last_seen.max(Some(last.value(row)));
            }
        }
    }
    rows.add(&group)?;
    rows.finish(made)
}

async fn count(session: &Session, sql: &str) -> Result<u64, Error> {
    let batches = session.query(sql).await?.collect().await?;
    Ok(batches
        .first()
        .map_or(0, |batch| super::samples::long(batch, "n", 0).unsigned_abs()))
}

async fn entities(session: &Session, table: &str, within: &str) -> Result<HashMap<String, Known>, Error> {
    let sql = format!(
        "SELECT entity, min(event_time) AS first, max(event_time) AS last FROM {table} WHERE {within} GROUP BY entity"
    );
    let mut known = HashMap::new();
    for batch in session.query(&sql).await?.collect().await? {
        let names = batch["entity"].as_string_view();
        let first = batch["first"].as_primitive::<TimestampMicrosecondType>();
        let last = batch["last"].as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            known.insert(
                names.value(row).to_owned(),
                Known {
                    first: first.value(row),
                    last: last.value(row),
                },
            );
        }
    }
    Ok(known)
}

/// The norms of one series: of each hour of the week, or of all hours together, also where there are
/// enough samples for nothing: most such series are of workloads that live for minutes.
pub fn pools(
    samples: &[Sample],
    unit: f64,
    by_hour: bool,
    span_days: i64,
    samples_min: usize,
) -> Vec<Pooled> {
    let of = |hour_of_week, grain, picked: &[Sample]| -> Option<Pooled> {
        let days: BTreeSet<i64> = picked
            .iter()
            .map(|sample| sample.time.div_euclid(DAY_MICROS))
            .collect();
        Some(Pooled {
            hour_of_week,
            grain,
            norm: Norm::of(picked.iter().map(|sample| sample.value), unit)?,
            days: days.len(),
            enough: picked.len() >= samples_min,
        })
    };
    let all = of(None, "all", samples);
    if !by_hour || samples.len() < samples_min {
        return all.into_iter().collect();
    }
    let mut by_bin: Vec<Vec<Sample>> = vec![Vec::new(); HOURS_PER_WEEK as usize];
    for sample in samples {
        by_bin[hour_of_week(sample.time) as usize].push(*sample);
    }
    // An hour and its neighbours: a job that starts a little late is no news.
    let around = |hour: i64, week: bool| -> Vec<Sample> {
        let days = if week { 0..1 } else { 0..7 };
        days.flat_map(|day| [-1, 0, 1].map(|shift| (hour + day * 24 + shift).rem_euclid(HOURS_PER_WEEK)))
            .flat_map(|bin| by_bin[bin as usize].iter().copied())
            .collect()
    };
    let daily: Vec<Option<Pooled>> = (0..24)
        .map(|hour| of(None, "hour_of_day", &around(hour, false)))
        .collect();
    (0..HOURS_PER_WEEK)
        .filter_map(|hour| {
            let weekly = (span_days >= DAYS_FOR_HOUR_OF_WEEK)
                .then(|| of(Some(hour), "hour_of_week", &around(hour, true)))
                .flatten();
            // The finest that has enough; all of them together have.
            let mut candidates = [weekly, daily[(hour % 24) as usize].clone(), all.clone()]
                .into_iter()
                .flatten();
            let pooled = candidates.find(|pooled| pooled.enough)?;
            Some(Pooled {
                hour_of_week: Some(hour),
                ..pooled
            })
        })
        .collect()
}

/// Rows of norms as they are made.
struct Rows<'a> {
    definition: &'a Definition,
    window: Window,
    days: &'a BTreeSet<NaiveDate>,
    known: HashMap<String, Known>,
    version: i64,
    built_at: DateTime<Utc>,
    batches: Vec<RecordBatch>,
    rows: Vec<Row>,
    made: u64,
    ripe: u64,
    samples: u64,
}

/// One row of norms, without what is the same in all.
struct Row {
    entity: Arc<str>,
    subject: Option<Arc<str>>,
    measure: Arc<str>,
    pooled: Option<Pooled>,
    samples: i64,
    days: i64,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    count: i64,
    state: &'static str,
}

impl<'a> Rows<'a> {
    fn new(
        definition: &'a Definition,
        window: Window,
        days: &'a BTreeSet<NaiveDate>,
        known: HashMap<String, Known>,
        version: i64,
        built_at: DateTime<Utc>,
    ) -> Self {
        Rows {
            definition,
            window,
            days,
            known,
            version,
            built_at,
            batches: Vec::new(),
            rows: Vec::new(),
            made: 0,
            ripe: 0,
            samples: 0,
        }
    }

    fn add(&mut self, group: &Group) -> Result<(), Error> {
        let (Some(first), Some(known)) = (group.samples.first(), self.known.get(&group.entity).copied())
        else {
            return Ok(());
        };
        self.samples += group.samples.len() as u64;
        let end = midnight(self.window.to).timestamp_micros();
        let expire = i64::from(self.definition.expire_days) * DAY_MICROS;
        // Days that were looked at since the entity is known, not days that went by.
        let since =
            DateTime::from_timestamp_micros(known.first).map_or(self.window.from, |time| time.date_naive());
        let looked = self.days.range(since..self.window.to).count() as u32;
        let old_enough = looked >= self.definition.ripe_days;
        let last = group.samples.last().map_or(first.time, |sample| sample.time);
        let template =
            |pooled: Option<Pooled>, samples: usize, days: usize, enough: bool, expired: bool| Row {
                entity: group.entity.as_str().into(),
                subject: group.subject.as_deref().map(Arc::from),
                measure: group.measure.as_str().into(),
                pooled,
                samples: samples as i64,
                days: days as i64,
                first_seen: group.first_seen,
                last_seen: group.last_seen,
                count: group.count,
                state: match (expired, old_enough && enough) {
                    (true, _) => "expired",
                    (false, true) => "ripe",
                    (false, false) => "learning",
                },
            };
        match self.definition.kind {
            Kind::Seen => {
                let days: BTreeSet<i64> = group
                    .samples
                    .iter()
                    .map(|sample| sample.time.div_euclid(DAY_MICROS))
                    .collect();
                let expired = end - last > expire;
                let row = template(None, group.samples.len(), days.len(), true, expired);
                self.push(row)?;
            }
            Kind::Measured => {
                let expired = end - known.last > expire;
                let span = (end - known.first) / DAY_MICROS;
                let unit = self.definition.unit(&group.measure);
                let least = self.definition.samples_min;
                // One day tells no hour from another: most that live no longer are never seen again.
                let by_hour = self.definition.hours && known.last - known.first >= DAY_MICROS;
                for pooled in pools(&group.samples, unit, by_hour, span, least) {
                    let (samples, days, enough) = (pooled.norm.samples, pooled.days, pooled.enough);
                    let row = template(Some(pooled), samples, days, enough, expired);
                    self.push(row)?;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, row: Row) -> Result<(), Error> {
        self.made += 1;
        self.ripe += u64::from(row.state == "ripe");
        self.rows.push(row);
        if self.rows.len() >= BATCH_ROWS {
            self.cut()?;
        }
        Ok(())
    }

    fn finish(mut self, made: Norms) -> Result<Norms, Error> {
        self.cut()?;
        Ok(Norms {
            batches: self.batches,
            rows: self.made,
            ripe: self.ripe,
            samples: self.samples,
            ..made
        })
    }

    fn cut(&mut self) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let window = self.window;
        let all = |time: i64| times(vec![Some(time); rows.len()]);
        let long = |of: &dyn Fn(&Row) -> i64| -> ArrayRef {
            let mut builder = Int64Builder::with_capacity(rows.len());
            rows.iter().for_each(|row| builder.append_value(of(row)));
            Arc::new(builder.finish())
        };
        let text = |of: &dyn Fn(&Row) -> Option<&str>| -> ArrayRef {
            let mut builder = StringViewBuilder::new().with_deduplicate_strings();
            rows.iter().for_each(|row| builder.append_option(of(row)));
            Arc::new(builder.finish())
        };
        let double = |of: &dyn Fn(&Norm) -> f64| -> ArrayRef {
            let mut builder = Float64Builder::with_capacity(rows.len());
            rows.iter()
                .for_each(|row| builder.append_option(row.pooled.as_ref().map(|pooled| of(&pooled.norm))));
            Arc::new(builder.finish())
        };
        let mut hours = Int32Builder::with_capacity(rows.len());
        for row in &rows {
            let hour = row.pooled.as_ref().and_then(|pooled| pooled.hour_of_week);
            hours.append_option(hour.map(|hour| hour as i32));
        }
        let start = midnight(window.from).timestamp_micros();
        let end = midnight(window.to).timestamp_micros();
        let version = self.version;
        let columns: Vec<ArrayRef> = vec![
            all(end - 1),
            long(&|_| version),
            text(&|row| Some(&row.entity)),
            text(&|row| row.subject.as_deref()),
            text(&|row| Some(&row.measure)),
            Arc::new(hours.finish()),
            text(&|row| Some(row.pooled.as_ref().map_or("days", |pooled| pooled.grain))),
            all(start),
            all(end),
            long(&|row| row.samples),
            long(&|row| row.days),
            times(rows.iter().map(|row| row.first_seen).collect()),
            times(rows.iter().map(|row| row.last_seen).collect()),
            long(&|row| row.count),
            double(&|norm| norm.median),
            double(&|norm| norm.mad),
            double(&|norm| norm.unit),
            double(&|norm| norm.center),
            double(&|norm| norm.spread),
            double(&|norm| norm.p05),
            double(&|norm| norm.p25),
            double(&|norm| norm.p75),
            double(&|norm| norm.p95),
            double(&|norm| norm.p995),
            double(&|norm| norm.max),
            text(&|row| Some(row.state)),
            all(self.built_at.timestamp_micros()),
        ];
        let batch = RecordBatch::try_new(store::schema(self.definition.norms)?, columns)
            .map_err(|error| Error::new(ErrorKind::Failed, format!("making norms: {error}")))?;
        self.batches.push(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 2026-11-02.
    const MONDAY: i64 = 1_793_577_600_000_000;

    fn hourly(days: i64, value: impl Fn(i64, i64) -> f64) -> Vec<Sample> {
        (0..days * 24)
            .map(|hour| Sample {
                time: MONDAY + hour * HOUR_MICROS,
                value: value(hour / 24, hour % 24),
            })
            .collect()
    }

    #[test]
    fn the_week_begins_on_monday() {
        assert_eq!(hour_of_week(MONDAY), 0);
        assert_eq!(hour_of_week(MONDAY - 1), 167);
        assert_eq!(hour_of_week(MONDAY + 7 * DAY_MICROS + HOUR_MICROS), 1);
    }

    #[test]
    fn weekdays_differ_from_the_weekend_after_four_weeks() {
        let samples = hourly(35, |day, _| if day % 7 < 5 { 100.0 } else { 10.0 });
        let pools = pools(&samples, 1.0, true, 35, 8);
        assert_eq!(pools.len(), 168);
        assert_eq!((pools[12].grain, pools[12].norm.median), ("hour_of_week", 100.0));
        assert_eq!(pools[6 * 24 + 12].norm.median, 10.0);
        // Five weeks, and an hour on either side.
        assert_eq!((pools[12].norm.samples, pools[12].days), (15, 5));
    }

    #[test]
    fn before_that_the_days_are_taken_together() {
        let samples = hourly(10, |_, hour| if hour == 3 { 50.0 } else { 1.0 });
        let pools = pools(&samples, 1.0, true, 10, 8);
        assert!(
            pools
                .iter()
                .all(|pooled| pooled.grain == "hour_of_day" && pooled.enough)
        );
        assert_eq!((pools[3].norm.samples, pools[3].norm.max), (30, 50.0));
        assert_eq!(pools[8 * 24 % 168 + 12].norm.max, 1.0);
    }

    #[test]
    fn too_few_samples_are_taken_together_and_said_to_be_few() {
        let samples = &hourly(1, |_, _| 5.0)[..3];
        let few = pools(samples, 1.0, true, 1, 8);
        assert_eq!(few.len(), 1);
        assert!(few[0].grain == "all" && !few[0].enough);
        assert_eq!(pools(&[], 1.0, true, 1, 8), []);
    }

    #[test]
    fn a_month_with_a_gap_falls_back_where_it_has_nothing() {
        // Nothing on any Wednesday.
        let samples: Vec<Sample> = hourly(35, |_, hour| hour as f64)
            .into_iter()
            .filter(|sample| !(48..72).contains(&hour_of_week(sample.time)))
            .collect();
        let pools = pools(&samples, 1.0, true, 35, 8);
        assert_eq!(pools[12].grain, "hour_of_week");
        assert_eq!((pools[60].grain, pools[60].norm.median), ("hour_of_day", 12.0));
    }
}
