//! The engine's `count`, but for distinct texts in groups.
//!
//! The engine keeps a table of its own for each group, 512 places from the start, and does not count them as
//! memory: 33 kB a group, which `--memory` does not see. One such count becomes two steps of grouping, but
//! beside others it does not. Here texts of all groups are kept together.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::count::Count as Engine;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};

use super::distinct_texts::DistinctTexts;

/// The function, in place of the engine's.
pub(super) fn count() -> AggregateUDF {
    AggregateUDF::from(Count {
        engine: Engine::new(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Count {
    engine: Engine,
}

/// The type of the texts, if it is distinct texts that are counted.
fn texts<'a>(args: &AccumulatorArgs<'a>) -> Option<&'a DataType> {
    match args.expr_fields {
        [field] if args.is_distinct => {
            Some(field.data_type()).filter(|texts| matches!(texts, DataType::Utf8 | DataType::Utf8View))
        }
        _ => None,
    }
}

impl AggregateUDFImpl for Count {
    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        texts(&args).is_some() || self.engine.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        match texts(&args) {
            Some(texts) => Ok(Box::new(DistinctTexts::new(texts.clone()))),
            None => self.engine.create_groups_accumulator(args),
        }
    }

    // All else is the engine's.

    fn name(&self) -> &str {
        self.engine.name()
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.engine.return_type(types)
    }

    fn is_nullable(&self) -> bool {
        self.engine.is_nullable()
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.engine.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.engine.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.engine.create_sliding_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.engine.reverse_expr()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.engine.default_value(data_type)
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.engine.value_from_stats(args)
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.engine.set_monotonicity(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.engine.documentation()
    }
}
