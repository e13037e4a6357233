//! Aggregates over a [`Sketch`]: partial results are sketches, so they merge in any order.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};

use super::scalar::signature;
use super::sketch::Sketch;
use super::{Function, Type};

/// What an aggregate makes of the sketch of all values.
pub type Finish = fn(&mut Sketch) -> ScalarValue;

/// The aggregate of `function`: over numbers, or over sketches if these are its argument.
pub fn udaf(function: &'static Function, finish: Finish) -> AggregateUDF {
    AggregateUDF::from(SketchAggregate {
        function,
        finish,
        signature: signature(function.arguments),
    })
}

#[derive(Debug)]
struct SketchAggregate {
    function: &'static Function,
    finish: Finish,
    signature: Signature,
}

// Two functions are the same if they have one name.
impl PartialEq for SketchAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for SketchAggregate {}

impl Hash for SketchAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl AggregateUDFImpl for SketchAggregate {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.function.gives.arrow())
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Values {
            sketch: Sketch::default(),
            finish: self.finish,
            of_sketches: self.function.arguments[0].type_ == Type::Sketch,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format!("{}[sketch]", args.name);
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }
}

#[derive(Debug)]
struct Values {
    sketch: Sketch,
    finish: Finish,
    of_sketches: bool,
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if self.of_sketches {
            return self.merge_batch(values);
        }
        let values = cast(&values[0], &DataType::Float64)?;
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            self.sketch.add(value);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let states = cast(&states[0], &DataType::BinaryView)?;
        for bytes in states.as_binary_view().iter().flatten() {
            // Bytes that are no sketch count as NULL does.
            if let Some(sketch) = Sketch::from_bytes(bytes) {
                self.sketch.merge(&sketch);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.sketch.to_bytes()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok((self.finish)(&mut self.sketch))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.sketch.size()
    }
}
