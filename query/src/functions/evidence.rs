//! `evidence(table, _source, _line [, event_id])`, an aggregate: the records behind a group.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StringViewArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};

use super::scalar::signature;
use super::{Body, Function, Group, Type, int, text};

/// Most records that evidence names. Who needs more has a query to find them;
/// an alert's `count` says how many there were.
pub const EVIDENCE_RECORDS_MAX: usize = 100;

static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("table", DataType::Utf8View, true),
        Field::new("_source", DataType::Utf8View, true),
        Field::new("_line", DataType::Int64, true),
        Field::new("event_id", DataType::Utf8View, true),
    ])
});

fn item_field() -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(FIELDS.clone()), true))
}

/// The type of the list.
pub fn list_type() -> DataType {
    DataType::List(item_field())
}

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "evidence",
    group: Group::Detections,
    arguments: &[
        text("table"),
        text("_source"),
        int("_line"),
        text("event_id").optional(),
    ],
    gives: Type::Records,
    about: "An aggregate: the records behind a group, as a list of up to 100 structures, the first by object and \
            line, whatever the order in which they came.",
    example: (
        "evidence('vpc_flow', name, line) FROM (VALUES ('b.log', 7), ('a.log', 9)) AS t(name, line)",
        "[{table: vpc_flow, _source: a.log, _line: 9, event_id: }, {table: vpc_flow, _source: b.log, _line: 7, \
         event_id: }]",
    ),
    body: Body::Aggregate(evidence),
};

fn evidence() -> AggregateUDF {
    AggregateUDF::from(Evidence {
        signature: signature(FUNCTION.arguments),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Evidence {
    signature: Signature,
}

impl AggregateUDFImpl for Evidence {
    fn name(&self) -> &str {
        "evidence"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(list_type())
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Records::default()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format!("{}[records]", args.name),
            list_type(),
            true,
        ))])
    }
}

/// Table, object, line, event id: the order of the fields is the order of the list.
type Record = (String, String, i64, Option<String>);

#[derive(Debug, Default)]
struct Records(BTreeSet<Record>);

impl Records {
    fn insert(&mut self, table: &str, source: &str, line: i64, event_id: Option<&str>) {
        if self.0.len() >= EVIDENCE_RECORDS_MAX
            && let Some(last) = self.0.last()
            && (last.0.as_str(), last.1.as_str(), last.2) <= (table, source, line)
        {
            return;
        }
        self.0.insert((
            table.to_owned(),
            source.to_owned(),
            line,
            event_id.map(str::to_owned),
        ));
        if self.0.len() > EVIDENCE_RECORDS_MAX {
            self.0.pop_last();
        }
    }

    fn insert_rows(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let text = |column: &ArrayRef| cast(column, &DataType::Utf8View);
        let (tables, sources) = (text(&columns[0])?, text(&columns[1])?);
        let lines = cast(&columns[2], &DataType::Int64)?;
        let ids = columns.get(3).map(text).transpose()?;
        let (tables, sources) = (tables.as_string_view(), sources.as_string_view());
        let lines = lines.as_primitive::<Int64Type>();
        for row in 0..lines.len() {
            if tables.is_null(row) || sources.is_null(row) || lines.is_null(row) {
                continue;
            }
            let id = ids
                .as_ref()
                .map(|ids| ids.as_string_view())
                .filter(|ids| ids.is_valid(row));
            self.insert(
                tables.value(row),
                sources.value(row),
                lines.value(row),
                id.map(|ids| ids.value(row)),
            );
        }
        Ok(())
    }

    fn list(&self) -> ScalarValue {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(
                self.0
                    .iter()
                    .map(|record| Some(&record.0))
                    .collect::<StringViewArray>(),
            ),
            Arc::new(
                self.0
                    .iter()
                    .map(|record| Some(&record.1))
                    .collect::<StringViewArray>(),
            ),
            Arc::new(self.0.iter().map(|record| record.2).collect::<Int64Array>()),
            Arc::new(
                self.0
                    .iter()
                    .map(|record| record.3.as_ref())
                    .collect::<StringViewArray>(),
            ),
        ];
        let records = StructArray::new(FIELDS.clone(), columns, None);
        let offsets = OffsetBuffer::from_lengths([self.0.len()]);
        ScalarValue::List(Arc::new(ListArray::new(
            item_field(),
            offsets,
            Arc::new(records),
            None,
        )))
    }
}

impl Accumulator for Records {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.insert_rows(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.insert_rows(list.as_struct().columns())?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.list()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.list())
    }

    fn size(&self) -> usize {
        let text: usize = self
            .0
            .iter()
            .map(|r| r.0.len() + r.1.len() + r.3.as_ref().map_or(0, String::len))
            .sum();
        size_of::<Self>() + self.0.len() * size_of::<Record>() + text
    }
}
