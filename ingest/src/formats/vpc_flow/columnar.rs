//! Flow logs as Parquet: the file's own columns brought to the table's.
//!
//! AWS writes names with underscores. Its pages disagree on the width of
//! integers, readers that rewrite the files make floats of them, and absent
//! values are NULL or `-`: all of these are accepted.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};
use arrow::util::display::array_value_to_string;

use super::{
    COLUMNS, NULL, PathHints, VpcFlow, column_of, micros, number_array, see_starts, source_of, value_max,
};
use crate::column::Kind::{Int, Json, Long, Text, Time};
use crate::column::TIMESTAMP;
use crate::formats::{Format, Refusal, Setup};
use crate::tally::Tally;
use crate::text::constant_text;

/// Whether the file's column `name` is read: numbers always, since they decide
/// which records are sound; text only if the query asks for it.
pub fn wants(name: &str, setup: &Setup) -> bool {
    let extra = || {
        setup
            .projection
            .iter()
            .any(|&index| COLUMNS.get(index).is_some_and(|c| c.name == "extra"))
    };
    match column_of(name) {
        Some(column) => matches!(COLUMNS[column].kind, Int | Long) || setup.projection.contains(&column),
        None => extra(),
    }
}

/// See [`Format::columnar`].
pub fn rows(
    batch: &RecordBatch,
    lines_before: u64,
    setup: &Setup,
    tally: &mut Tally,
) -> Result<RecordBatch, Refusal> {
    let schema = batch.schema();
    let known = schema
        .fields()
        .iter()
        .filter(|field| column_of(field.name()).is_some())
        .count();
    if known == 0 && !schema.fields().is_empty() {
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .take(6)
            .map(|field| field.name().as_str())
            .collect();
        return Err(Refusal::new(format!(
            "not a flow log: its Parquet columns are {} ...",
            names.join(", ")
        )));
    }
    let mut numbers: Vec<(usize, Vec<i64>)> = Vec::new();
    let mut faults: Vec<Option<String>> = vec![None; batch.num_rows()];
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        let Some(column) =
            column_of(field.name()).filter(|&column| matches!(COLUMNS[column].kind, Int | Long))
        else {
            continue;
        };
        let most = value_max(column);
        let values = integers(array).map_err(|kind| {
            Refusal::new(format!(
                "not a flow log: its Parquet column {} holds {kind}",
                field.name()
            ))
        })?;
        let values = values
            .into_iter()
            .enumerate()
            .map(|(row, value)| match value {
                Value::Null => NULL,
                Value::Number(number) if (0..=most).contains(&number) => number,
                Value::Number(_) | Value::Other => {
                    let shown = array_value_to_string(array, row).unwrap_or_default();
                    let fault = || format!("{} is {shown:?}, not a number from 0 to {most}", field.name());
                    faults[row].get_or_insert_with(fault);
                    NULL
                }
            })
            .collect();
        numbers.push((column, values));
    }
    let mut lines: Vec<i64> = (1..=batch.num_rows() as i64)
        .map(|line| lines_before as i64 + line)
        .collect();
    let mut batch = batch.clone();
    if faults.iter().any(Option::is_some) {
        for (row, fault) in faults.iter().enumerate() {
            if let Some(fault) = fault {
                tally.reject(
                    lines[row] as u64,
                    fault.as_str(),
                    shown_row(&batch, row).as_bytes(),
                );
            }
        }
        let sound: BooleanArray = faults.iter().map(|fault| Some(fault.is_none())).collect();
        batch = filter_record_batch(&batch, &sound).map_err(|error| Refusal::new(error.to_string()))?;
        let keep = |values: &mut Vec<i64>| {
            let mut faults = faults.iter();
            values.retain(|_| faults.next().is_some_and(Option::is_none));
        };
        keep(&mut lines);
        numbers.iter_mut().for_each(|(_, values)| keep(values));
    }
    tally.rows += batch.num_rows() as u64;
    if let Some((_, starts)) = numbers
        .iter()
        .find(|(column, _)| COLUMNS[*column].name == "start")
    {
        see_starts(starts, tally);
    }
    project(&batch, &numbers, lines, setup)
}

fn project(
    batch: &RecordBatch,
    numbers: &[(usize, Vec<i64>)],
    lines: Vec<i64>,
    setup: &Setup,
) -> Result<RecordBatch, Refusal> {
    let rows = batch.num_rows();
    let hints = PathHints::of(&setup.source);
    let file_schema = batch.schema();
    let text_of = |index: usize| -> Option<ArrayRef> {
        let at = file_schema
            .fields()
            .iter()
            .position(|field| column_of(field.name()) == Some(index))?;
        text(batch.column(at))
    };
    let whole = VpcFlow.schema();
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for &index in setup.projection.iter() {
        let field = Arc::clone(&whole.fields()[index]);
        let column = match COLUMNS.get(index).map(|column| (column.kind, column.name)) {
            Some((Json, _)) => extra(batch),
            Some((Text, name)) => text_of(index).unwrap_or_else(|| {
                let hint = match name {
                    "account_id" => hints.account_id.as_deref(),
                    "region" => hints.region.as_deref(),
                    _ => None,
                };
                constant_text(hint, rows)
            }),
            Some((kind, _)) => {
                let from = source_of(index);
                let mut values = match numbers.iter().find(|(column, _)| Some(*column) == from) {
                    Some((_, values)) => values.clone(),
                    None => vec![NULL; rows],
                };
                if kind == Time {
                    values.iter_mut().for_each(|value| *value = micros(*value));
                }
                number_array(kind, values)
            }
            None => match field.name().as_str() {
                "_source" => constant_text(Some(&setup.source), rows),
                "_line" => Arc::new(Int64Array::from(lines.clone())),
                _ => Arc::new(
                    TimestampMicrosecondArray::from(vec![setup.ingested_at; rows]).with_timezone(TIMESTAMP),
                ),
            },
        };
        fields.push(field);
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|error| Refusal::new(error.to_string()))
}

enum Value {
    Null,
    Number(i64),
    Other,
}

/// The values of a column that should hold integers; or what it holds instead.
fn integers(array: &ArrayRef) -> Result<Vec<Value>, String> {
    let values = |array: &ArrayRef, value: &dyn Fn(&ArrayRef, usize) -> Value| -> Vec<Value> {
        (0..array.len())
            .map(|row| {
                if array.is_null(row) {
                    Value::Null
                } else {
                    value(array, row)
                }
            })
            .collect()
    };
    let wide = |data_type: &DataType| cast(array, data_type).map_err(|error| error.to_string());
    Ok(match array.data_type() {
        DataType::Null => values(array, &|_, _| Value::Null),
        data_type if data_type.is_integer() => values(&wide(&DataType::Int64)?, &|array, row| {
            Value::Number(array.as_primitive::<Int64Type>().value(row))
        }),
        data_type if data_type.is_floating() => values(&wide(&DataType::Float64)?, &|array, row| {
            let number = array.as_primitive::<Float64Type>().value(row);
            match number {
                number if number.is_nan() => Value::Null,
                // Integers above this are not exact in a float.
                number if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 => {
                    Value::Number(number as i64)
                }
                _ => Value::Other,
            }
        }),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => values(
            &wide(&DataType::Utf8View)?,
            &|array, row| match array.as_string_view().value(row) {
                "-" | "" => Value::Null,
                text => text.parse().map_or(Value::Other, Value::Number),
            },
        ),
        other => return Err(other.to_string()),
    })
}

/// A column as text, `-` as NULL.
fn text(array: &ArrayRef) -> Option<ArrayRef> {
    let array = cast(array, &DataType::Utf8View).ok()?;
    let values = array.as_string_view();
    let values: StringViewArray = values
        .iter()
        .map(|value| value.filter(|value| *value != "-"))
        .collect();
    Some(Arc::new(values))
}

/// The columns that the table does not know, as JSON objects.
fn extra(batch: &RecordBatch) -> ArrayRef {
    let schema = batch.schema();
    let unknown: Vec<(&str, ArrayRef)> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .filter(|(field, _)| column_of(field.name()).is_none())
        .filter_map(|(field, array)| Some((field.name().as_str(), text(array)?)))
        .collect();
    let values: StringViewArray = (0..batch.num_rows())
        .map(|row| {
            let object: serde_json::Map<String, serde_json::Value> = unknown
                .iter()
                .filter(|(_, array)| array.is_valid(row))
                .map(|(name, array)| ((*name).to_owned(), array.as_string_view().value(row).into()))
                .collect();
            (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
        })
        .collect();
    Arc::new(values)
}

/// A row as a person can read it, for a reject.
fn shown_row(batch: &RecordBatch, row: usize) -> String {
    let schema = batch.schema();
    let values = schema.fields().iter().zip(batch.columns());
    values
        .map(|(field, array)| {
            format!(
                "{}={}",
                field.name(),
                array_value_to_string(array, row).unwrap_or_default()
            )
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array, StringArray};
    use arrow::datatypes::{Field, Int32Type};

    fn read(columns: Vec<(&str, ArrayRef)>) -> (Result<RecordBatch, Refusal>, Tally) {
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
            .collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        let mut tally = Tally::default();
        let result = rows(&batch, 10, &Setup::whole(&VpcFlow, "x.parquet"), &mut tally);
        (result, tally)
    }

    #[test]
    fn every_width_and_spelling_of_absent() {
        let ports: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![Some(443), None])),
            Arc::new(Int64Array::from(vec![Some(443), None])),
            Arc::new(Float64Array::from(vec![Some(443.0), None])),
            Arc::new(Float64Array::from(vec![443.0, f64::NAN])),
            Arc::new(StringArray::from(vec!["443", "-"])),
        ];
        for port in ports {
            let actions: ArrayRef = Arc::new(StringArray::from(vec!["ACCEPT", "-"]));
            let (batch, tally) = read(vec![("dstport", port), ("action", actions)]);
            let batch = batch.unwrap();
            let dstport = batch
                .column_by_name("dstport")
                .unwrap()
                .as_primitive::<Int32Type>();
            assert_eq!((dstport.value(0), dstport.is_null(1)), (443, true));
            assert!(batch.column_by_name("action").unwrap().is_null(1));
            assert_eq!(
                batch
                    .column_by_name("_line")
                    .unwrap()
                    .as_primitive::<Int64Type>()
                    .values(),
                &[11, 12]
            );
            assert_eq!((tally.rows, tally.rejected), (2, 0));
        }
    }

    #[test]
    fn values_that_are_no_numbers_cost_their_row() {
        let port: ArrayRef = Arc::new(Float64Array::from(vec![443.0, 0.5, 70_000.0, 80.0]));
        let weather: ArrayRef = Arc::new(StringArray::from(vec!["sun", "sun", "sun", "rain"]));
        let (batch, tally) = read(vec![("dstport", port), ("weather", weather)]);
        assert_eq!((tally.rows, tally.rejected), (2, 2));
        assert_eq!(
            tally.rejects[0].reason,
            "dstport is \"0.5\", not a number from 0 to 65535"
        );
        assert_eq!(
            (tally.rejects[0].line, tally.rejects[0].raw.as_str()),
            (12, "dstport=0.5 weather=sun")
        );
        let extra = batch.unwrap().column_by_name("extra").unwrap().clone();
        assert_eq!(extra.as_string_view().value(1), r#"{"weather":"rain"}"#);
    }

    #[test]
    fn other_tables_are_refused() {
        let (result, _) = read(vec![("city", Arc::new(StringArray::from(vec!["Turin"])))]);
        assert!(
            result
                .unwrap_err()
                .reason
                .contains("its Parquet columns are city")
        );
    }
}
