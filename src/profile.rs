//! `SUMMARIZE`: one row of statistics for each column of a table or query.
//!
//! All columns are measured in one pass, with bounded memory: counts of distinct
//! values and medians are estimates, and so are common values where a column
//! has more distinct ones than fit.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, UInt64Type};
use datafusion::execution::FunctionRegistry;
use futures::StreamExt;
use trailhound_query::session::sql_type;
use trailhound_query::{Answer, Error, ErrorKind, Session};

mod common_values;

use common_values::common_values;

/// Longest text that is counted as a value of its own, and shown as the least
/// or greatest one, in characters.
const VALUE_CHARS_MAX: usize = 120;

/// The query whose columns a `SUMMARIZE` statement asks about; `None` if `sql`
/// is another statement.
///
/// `SUMMARIZE t`, `SUMMARIZE SELECT ...` and `SUMMARIZE (SELECT ...)` are known.
/// A query keeps its place in the text, so that the places of errors stay right.
pub fn target(sql: &str) -> Option<String> {
    let start = skip_blanks(sql, 0);
    let end = word_end(sql, start);
    if !sql[start..end].eq_ignore_ascii_case("summarize") {
        return None;
    }
    let rest = sql[end..].trim().trim_end_matches(';').trim_end();
    let begin = skip_blanks(sql, end);
    let first = &sql[begin..word_end(sql, begin)];
    let is = |keyword: &str| first.eq_ignore_ascii_case(keyword);
    if is("select") || is("with") || is("values") || sql[begin..].starts_with('(') {
        let blank: String = sql[..begin]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        return Some(
            format!("{blank}{}", &sql[begin..])
                .trim_end()
                .trim_end_matches(';')
                .to_owned(),
        );
    }
    let name = if is("table") {
        rest[rest.to_lowercase().find("table").unwrap_or(0) + 5..].trim()
    } else {
        rest
    };
    Some(format!("SELECT * FROM {name}"))
}

/// The first byte at or after `from` that is neither blank nor comment.
fn skip_blanks(sql: &str, mut from: usize) -> usize {
    loop {
        let rest = &sql[from..];
        let blanks = rest.len() - rest.trim_start().len();
        from += blanks;
        let rest = &sql[from..];
        let comment = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            return from;
        };
        from += comment;
    }
}

fn word_end(sql: &str, start: usize) -> usize {
    sql[start..]
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .map_or(sql.len(), |length| start + length)
}

/// One row of statistics for each column that `query` gives, as [`target`] cut
/// it from a `SUMMARIZE` statement.
///
/// # Errors
/// The query is wrong, or fails on its way. Places in it are places in `query`.
pub async fn profile(session: &Session, query: &str) -> Result<Answer, Error> {
    let context = session.context();
    if context.udaf("common_values").is_err() {
        context.register_udaf(common_values());
    }
    // Planned by itself first, so that its faults are told as its own.
    let planned = context.sql(query).await;
    let planned =
        planned.map_err(|error| trailhound_query::error::explain(&error, query, &session.table_names()))?;
    let columns = planned.schema().as_arrow().clone();
    let schema = answer_schema();
    let rows = match statement(query, &columns) {
        Some(sql) => {
            let mut stream = session.query(&sql).await?.stream;
            let schema = Arc::clone(&schema);
            let pivoted = async move {
                let mut measured = None;
                while let Some(batch) = stream.next().await {
                    measured = measured.or(Some(batch?).filter(|batch| batch.num_rows() == 1));
                }
                pivot(&columns, measured.as_ref(), &schema)
            };
            futures::stream::once(pivoted).boxed()
        }
        None => futures::stream::empty().boxed(),
    };
    Ok(Answer { schema, stream: rows })
}

fn answer_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("column", DataType::Utf8, true),
        Field::new("type", DataType::Utf8, true),
        Field::new("nulls_pct", DataType::Float64, true),
        Field::new("distinct", DataType::UInt64, true),
        Field::new("min", DataType::Utf8, true),
        Field::new("max", DataType::Utf8, true),
        Field::new("mean", DataType::Float64, true),
        Field::new("median", DataType::Float64, true),
        Field::new("common", DataType::Utf8, true),
    ]))
}

/// Statistics of each column, in the order of [`statement`].
const MEASURES: usize = 7;

/// One statement that measures all columns in one row; `None` without columns.
fn statement(query: &str, columns: &Schema) -> Option<String> {
    if columns.fields().is_empty() {
        return None;
    }
    let mut sql = String::from("SELECT count(*)");
    for (index, field) in columns.fields().iter().enumerate() {
        let (column, data_type) = (format!("c{index}"), field.data_type());
        let text = format!("CAST({column} AS VARCHAR)");
        let is_float = data_type.is_floating();
        let is_text = matches!(
            data_type,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        );
        // What a JSON operator gives, or a list, has no order and no text in SQL.
        let is_plain = !data_type.is_nested();
        let null = || "NULL".to_owned();
        let measures: [String; MEASURES] = [
            format!("count({column})"),
            format!("approx_distinct({})", if is_float { &text } else { &column }),
            if is_plain {
                edge("min", &column, data_type, is_text)
            } else {
                null()
            },
            if is_plain {
                edge("max", &column, data_type, is_text)
            } else {
                null()
            },
            if data_type.is_numeric() {
                format!("avg(CAST({column} AS DOUBLE))")
            } else {
                null()
            },
            if data_type.is_numeric() {
                format!("approx_median(CAST({column} AS DOUBLE))")
            } else {
                null()
            },
            if is_plain {
                format!("common_values({text})")
            } else {
                null()
            },
        ];
        for (measure, expression) in measures.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(sql, ", {expression} AS m{index}_{measure}");
        }
    }
    let names: Vec<String> = (0..columns.fields().len())
        .map(|index| format!("c{index}"))
        .collect();
    // The line breaks keep a comment at the end of the query from swallowing what follows.
    let _ = write!(sql, "\nFROM (\n{query}\n) AS measured({})", names.join(", "));
    Some(sql)
}

fn edge(function: &str, column: &str, data_type: &DataType, is_text: bool) -> String {
    match data_type {
        DataType::Boolean => format!("CAST({function}(CAST({column} AS INT)) = 1 AS VARCHAR)"),
        _ if is_text => format!("left({function}({column}), {VALUE_CHARS_MAX})"),
        _ => format!("CAST({function}({column}) AS VARCHAR)"),
    }
}

/// The one measured row as one row for each column.
fn pivot(
    columns: &Schema,
    measured: Option<&RecordBatch>,
    schema: &Arc<Schema>,
) -> Result<RecordBatch, Error> {
    let failed = |error: arrow::error::ArrowError| Error::new(ErrorKind::Failed, error.to_string());
    let cell = |index: usize, measure: usize, to: &DataType| -> Result<Option<ArrayRef>, Error> {
        let Some(batch) = measured else { return Ok(None) };
        let array = cast(batch.column(1 + index * MEASURES + measure), to).map_err(failed)?;
        Ok(array.is_valid(0).then_some(array))
    };
    let rows = measured.map_or(0, |batch| batch.column(0).as_primitive::<Int64Type>().value(0));
    let (mut names, mut types) = (Vec::new(), Vec::new());
    let (mut nulls, mut distinct, mut means, mut medians) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut least, mut greatest, mut common) = (Vec::new(), Vec::new(), Vec::new());
    for (index, field) in columns.fields().iter().enumerate() {
        let text = |measure| {
            cell(index, measure, &DataType::Utf8).map(|a| a.map(|a| a.as_string::<i32>().value(0).to_owned()))
        };
        let double = |measure| {
            cell(index, measure, &DataType::Float64)
                .map(|a| a.map(|a| a.as_primitive::<Float64Type>().value(0)))
        };
        let count = |measure| {
            cell(index, measure, &DataType::UInt64)
                .map(|a| a.map(|a| a.as_primitive::<UInt64Type>().value(0)))
        };
        names.push(Some(field.name().clone()));
        types.push(Some(type_name(field.data_type())));
        let present = count(0)?.unwrap_or(0);
        // Two digits are as many as anyone reads.
        let percent = |part: f64| (part * 10_000.0 / rows as f64).round() / 100.0;
        nulls.push((rows > 0).then(|| percent(rows as f64 - present as f64)));
        // The estimate may pass the number of values, which nothing else can.
        distinct.push(count(1)?.map(|estimate| estimate.min(present)));
        least.push(text(2)?);
        greatest.push(text(3)?);
        means.push(double(4)?.map(rounded));
        medians.push(double(5)?.map(rounded));
        common.push(text(6)?);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(names)),
        Arc::new(StringArray::from(types)),
        Arc::new(Float64Array::from(nulls)),
        Arc::new(UInt64Array::from(distinct)),
        Arc::new(StringArray::from(least)),
        Arc::new(StringArray::from(greatest)),
        Arc::new(Float64Array::from(means)),
        Arc::new(Float64Array::from(medians)),
        Arc::new(StringArray::from(common)),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(failed)
}

/// Digits that a reader needs: an estimate has no more, and a table has no room.
fn rounded(value: f64) -> f64 {
    if value.abs() < 1.0 {
        value
    } else {
        (value * 1000.0).round() / 1000.0
    }
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        // The full name lists all that a JSON value may be.
        DataType::Union(..) => "json".to_owned(),
        other => sql_type(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summarize_is_told_from_other_statements() {
        assert_eq!(target("SELECT 1"), None);
        assert_eq!(target("summarized"), None);
        assert_eq!(
            target("SUMMARIZE vpc_flow;").as_deref(),
            Some("SELECT * FROM vpc_flow")
        );
        assert_eq!(target("summarize table t").as_deref(), Some("SELECT * FROM t"));
        assert_eq!(
            target("-- so\nSUMMARIZE \"My Table\"").as_deref(),
            Some("SELECT * FROM \"My Table\"")
        );
        assert_eq!(
            target("SUMMARIZE SELECT a FROM t;").as_deref(),
            Some("          SELECT a FROM t")
        );
        assert_eq!(
            target("SUMMARIZE\n(SELECT a\nFROM t)").as_deref(),
            Some("         \n(SELECT a\nFROM t)")
        );
        assert_eq!(
            target("SUMMARIZE WITH x AS (SELECT 1) SELECT * FROM x").as_deref(),
            Some("          WITH x AS (SELECT 1) SELECT * FROM x")
        );
    }

    #[tokio::test]
    async fn a_query_is_profiled_in_one_row_per_column() {
        let session = Session::open(trailhound_query::Options::default()).await.unwrap();
        let query = target(
            "SUMMARIZE SELECT column1 AS n, column2 AS s, column1 > 1 AS b, now() AS t, [1] AS l, NULL AS z \
             FROM (VALUES (1, 'x'), (2, 'y'), (3, 'y'), (NULL, '=z')) -- done",
        );
        let rows = profile(&session, &query.unwrap())
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        assert_eq!(rows[0].num_rows(), 6);
        let text = |column: usize, row: usize| {
            let column = rows[0].column(column).as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let nulls = rows[0].column(2).as_primitive::<Float64Type>();
        assert_eq!((nulls.value(0), nulls.value(1)), (25.0, 0.0));
        assert_eq!((text(4, 0), text(5, 0)), (Some("1".into()), Some("3".into())));
        assert_eq!(rows[0].column(6).as_primitive::<Float64Type>().value(0), 2.0);
        assert_eq!(text(8, 1).as_deref(), Some(r#"{"y":2,"=z":1,"x":1}"#));
        assert_eq!(
            (text(4, 2).as_deref(), text(5, 2).as_deref()),
            (Some("false"), Some("true"))
        );
        assert_eq!(text(8, 4), None);
        assert_eq!(nulls.value(5), 100.0);
    }

    #[tokio::test]
    async fn faults_are_those_of_the_query() {
        let session = Session::open(trailhound_query::Options::default()).await.unwrap();
        let query = target("SUMMARIZE SELECT srcadr FROM (SELECT 1 AS srcaddr)").unwrap();
        let error = profile(&session, &query).await.err().unwrap();
        assert_eq!(error.span().map(|span| (span.line, span.column)), Some((1, 18)));
        assert!(error.help().unwrap().contains("srcaddr"));
    }
}
