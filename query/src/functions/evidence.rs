//! `evidence(table, _source, _line [, event_id])`, an aggregate: the records behind a group.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature};

use super::first_records::{FirstRecords, OneGroup};
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

/// The parts of a record, in the order by which records are sorted.
pub(super) fn fields() -> Fields {
    FIELDS.clone()
}

/// The records of the list.
pub(super) fn item_field() -> FieldRef {
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
        Ok(Box::new(OneGroup::default()))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(FirstRecords::default()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format!("{}[records]", args.name),
            list_type(),
            true,
        ))])
    }
}
