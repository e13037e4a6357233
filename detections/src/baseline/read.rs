//! Reading norms and samples back, for people: to show, compare and explain.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use trailhound_ingest::error::Error;
use trailhound_query::Session;

use super::definition::Definition;
use super::norms::Window;
use super::samples::long;
use super::statistics::Norm;
use super::store;

/// A row of norms.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Workload or principal.
    pub entity: String,
    /// What of it.
    pub subject: Option<String>,
    /// Which quantity.
    pub measure: String,
    /// Hour of the week, 0 is Monday 00:00 UTC; none for all hours.
    pub hour_of_week: Option<i64>,
    /// What was compared.
    pub grain: String,
    /// Samples behind it.
    pub samples: i64,
    /// Different days among them.
    pub days: i64,
    /// Earliest record.
    pub first_seen: Option<DateTime<Utc>>,
    /// Latest record.
    pub last_seen: Option<DateTime<Utc>>,
    /// Records.
    pub count: i64,
    /// The numbers, of what is measured.
    pub norm: Option<Norm>,
    /// `learning`, `ripe` or `expired`.
    pub state: String,
}

/// A sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Start of the hour or day.
    pub time: DateTime<Utc>,
    /// What of the entity.
    pub subject: Option<String>,
    /// How much.
    pub value: f64,
    /// Why it does not train.
    pub excluded: Option<String>,
}

/// An entity of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Its name.
    pub name: String,
    /// Rows of it.
    pub rows: i64,
    /// Ripe ones among them.
    pub ripe: i64,
}

fn text_value(text: &str) -> ScalarValue {
    ScalarValue::Utf8View(Some(text.to_owned()))
}

/// The rows of a version, of one entity or of all, in order of measure, subject and hour.
///
/// # Errors
/// The table cannot be read.
pub async fn norms(
    session: &Session,
    definition: &Definition,
    version: i64,
    entity: Option<&str>,
) -> Result<Vec<Row>, Error> {
    if !session.lake_tables().contains_key(definition.norms) {
        return Ok(Vec::new());
    }
    let table = definition.norms;
    let schema = store::schema(table)?;
    let order = "ORDER BY entity, measure, subject, hour_of_week";
    let answer = match entity {
        Some(entity) => {
            let sql = format!("SELECT * FROM {table} WHERE version = {version} AND entity = $entity {order}");
            session
                .query_with(&sql, &[("entity", text_value(entity))])
                .await?
        }
        None => {
            let sql = format!("SELECT * FROM {table} WHERE version = {version} {order}");
            session.query(&sql).await?
        }
    };
    let mut rows = Vec::new();
    for batch in answer.collect().await? {
        let batch = store::fitted(&batch, &schema, table)?;
        rows.extend((0..batch.num_rows()).map(|row| norm_row(&batch, row)));
    }
    Ok(rows)
}

fn norm_row(batch: &RecordBatch, row: usize) -> Row {
    let hour = batch["hour_of_week"].as_primitive::<Int32Type>();
    Row {
        entity: text(batch, "entity", row).unwrap_or_default(),
        subject: text(batch, "subject", row),
        measure: text(batch, "measure", row).unwrap_or_default(),
        hour_of_week: hour.is_valid(row).then(|| hour.value(row).into()),
        grain: text(batch, "grain", row).unwrap_or_default(),
        samples: long(batch, "samples", row),
        days: long(batch, "days", row),
        first_seen: time(batch, "first_seen", row),
        last_seen: time(batch, "last_seen", row),
        count: long(batch, "count", row),
        norm: numbers(batch, row),
        state: text(batch, "state", row).unwrap_or_default(),
    }
}

fn numbers(batch: &RecordBatch, row: usize) -> Option<Norm> {
    let number = |name: &str| {
        let column = batch[name].as_primitive::<Float64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    Some(Norm {
        samples: long(batch, "samples", row).unsigned_abs() as usize,
        median: number("median")?,
        mad: number("mad")?,
        unit: number("unit")?,
        center: number("center")?,
        spread: number("spread")?,
        p05: number("p05")?,
        p25: number("p25")?,
        p75: number("p75")?,
        p95: number("p95")?,
        p995: number("p995")?,
        max: number("max")?,
    })
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column = batch[column].as_string_view();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

fn time(batch: &RecordBatch, column: &str, row: usize) -> Option<DateTime<Utc>> {
    let column = batch[column].as_primitive::<TimestampMicrosecondType>();
    column
        .is_valid(row)
        .then(|| DateTime::from_timestamp_micros(column.value(row)))
        .flatten()
}

/// The entities of a version, by name.
///
/// # Errors
/// The table cannot be read.
pub async fn entities(
    session: &Session,
    definition: &Definition,
    version: i64,
) -> Result<Vec<Entity>, Error> {
    if !session.lake_tables().contains_key(definition.norms) {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT entity, count(*) AS rows, sum(CASE WHEN state = 'ripe' THEN 1 ELSE 0 END) AS ripe FROM {} \
         WHERE version = {version} GROUP BY entity ORDER BY entity",
        definition.norms
    );
    let mut entities = Vec::new();
    for batch in session.query(&sql).await?.collect().await? {
        entities.extend((0..batch.num_rows()).map(|row| Entity {
            name: text(&batch, "entity", row).unwrap_or_default(),
            rows: long(&batch, "rows", row),
            ripe: long(&batch, "ripe", row),
        }));
    }
    Ok(entities)
}

/// The samples of one measure of an entity in a window, oldest first, also those that do not train.
///
/// # Errors
/// The table cannot be read.
pub async fn samples(
    session: &Session,
    definition: &Definition,
    entity: &str,
    measure: &str,
    window: Window,
) -> Result<Vec<Sample>, Error> {
    if !session.lake_tables().contains_key(definition.samples) {
        return Ok(Vec::new());
    }
    let table = definition.samples;
    let sql = format!(
        "SELECT * FROM {table} WHERE entity = $entity AND measure = $measure \
         AND event_time >= TIMESTAMP '{}T00:00:00Z' AND event_time < TIMESTAMP '{}T00:00:00Z' \
         ORDER BY event_time, subject",
        window.from, window.to
    );
    let parameters = [("entity", text_value(entity)), ("measure", text_value(measure))];
    let schema = store::schema(table)?;
    let mut samples = Vec::new();
    for batch in session.query_with(&sql, &parameters).await?.collect().await? {
        let batch = store::fitted(&batch, &schema, table)?;
        let values = batch["value"].as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            samples.push(Sample {
                time: time(&batch, "event_time", row).unwrap_or_default(),
                subject: text(&batch, "subject", row),
                value: if values.is_valid(row) {
                    values.value(row)
                } else {
                    0.0
                },
                excluded: text(&batch, "excluded", row),
            });
        }
    }
    Ok(samples)
}

/// What changed from one version to another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// Seen in the second and not in the first.
    pub new: Vec<Row>,
    /// Seen in the first and not, or no longer, in the second.
    pub gone: Vec<Row>,
    /// Median of all hours that moved by more than both versions' spread: before and after.
    pub moved: Vec<(Row, Row)>,
}

/// Compares two versions' rows.
pub fn difference(before: &[Row], after: &[Row]) -> Difference {
    type Key<'a> = (&'a str, &'a str, Option<&'a str>);
    let key = |row: &'_ Row| -> (String, String, Option<String>) {
        (row.entity.clone(), row.measure.clone(), row.subject.clone())
    };
    let seen = |rows: &[Row]| -> BTreeMap<(String, String, Option<String>), Row> {
        rows.iter()
            .filter(|row| row.norm.is_none() && row.state != "expired")
            .map(|row| (key(row), row.clone()))
            .collect()
    };
    let (first, second) = (seen(before), seen(after));
    let without = |rows: &BTreeMap<_, Row>, others: &BTreeMap<_, Row>| -> Vec<Row> {
        rows.iter()
            .filter(|(key, _)| !others.contains_key(*key))
            .map(|(_, row)| row.clone())
            .collect()
    };
    let mut hours: BTreeMap<(Key<'_>, Option<i64>), &Row> = BTreeMap::new();
    for row in before.iter().filter(|row| row.norm.is_some()) {
        let key: Key<'_> = (&row.entity, &row.measure, row.subject.as_deref());
        hours.insert((key, row.hour_of_week), row);
    }
    // Of all hours of a series the one that moved the most stands for it.
    let mut moved: BTreeMap<Key<'_>, (f64, &Row, &Row)> = BTreeMap::new();
    for row in after {
        let key: Key<'_> = (&row.entity, &row.measure, row.subject.as_deref());
        let Some(old) = hours.get(&(key, row.hour_of_week)) else {
            continue;
        };
        let (Some(old_norm), Some(norm)) = (&old.norm, &row.norm) else {
            continue;
        };
        let distance = (norm.center - old_norm.center).abs() / old_norm.spread.max(norm.spread);
        if distance > 1.0 && moved.get(&key).is_none_or(|(most, ..)| distance > *most) {
            moved.insert(key, (distance, old, row));
        }
    }
    let mut moved: Vec<(f64, &Row, &Row)> = moved.into_values().collect();
    moved.sort_by(|a, b| b.0.total_cmp(&a.0));
    Difference {
        new: without(&second, &first),
        gone: without(&first, &second),
        moved: moved
            .into_iter()
            .map(|(_, before, after)| (before.clone(), after.clone()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(entity: &str, subject: Option<&str>, values: Option<&[f64]>) -> Row {
        Row {
            entity: entity.to_owned(),
            subject: subject.map(str::to_owned),
            measure: "m".to_owned(),
            hour_of_week: None,
            grain: "days".to_owned(),
            samples: 1,
            days: 1,
            first_seen: None,
            last_seen: None,
            count: 1,
            norm: values.and_then(|values| Norm::of(values.iter().copied(), 1.0)),
            state: "ripe".to_owned(),
        }
    }

    #[test]
    fn new_gone_and_moved_are_told_apart() {
        let before = [
            row("web", Some("db:5432/6"), None),
            row("web", Some("cache:6379/6"), None),
            row("web", None, Some(&[10.0, 11.0, 12.0])),
            row("api", None, Some(&[10.0, 11.0, 12.0])),
        ];
        let mut expired = row("web", Some("cache:6379/6"), None);
        expired.state = "expired".to_owned();
        let after = [
            row("web", Some("db:5432/6"), None),
            expired,
            row("web", Some("198.51.100.0/24:443/6"), None),
            row("web", None, Some(&[100.0, 110.0, 120.0])),
            row("api", None, Some(&[10.0, 11.0, 13.0])),
        ];
        let changed = difference(&before, &after);
        let names =
            |rows: &[Row]| -> Vec<String> { rows.iter().filter_map(|row| row.subject.clone()).collect() };
        assert_eq!(names(&changed.new), ["198.51.100.0/24:443/6"]);
        assert_eq!(names(&changed.gone), ["cache:6379/6"]);
        assert_eq!(changed.moved.len(), 1);
        assert_eq!(changed.moved[0].1.entity, "web");
        assert_eq!(difference(&after, &after), Difference::default());
    }
}
