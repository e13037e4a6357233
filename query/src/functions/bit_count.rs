//! `bit_count(bits)`: how many bits of a whole number are set.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

/// The function: minutes of `coverage` are 60 bits, and this counts them.
pub fn bit_count() -> ScalarUDF {
    create_udf(
        "bit_count",
        vec![DataType::Int64],
        DataType::Int64,
        Volatility::Immutable,
        Arc::new(count),
    )
}

fn count(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let counts: Int64Array = arrays[0]
        .as_primitive::<Int64Type>()
        .unary(|bits| i64::from(bits.count_ones()));
    Ok(ColumnarValue::Array(Arc::new(counts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_and_null_stays_null() {
        let bits = Int64Array::from(vec![Some(0), Some(0b1011), None, Some(-1)]);
        let counts = count(&[ColumnarValue::Array(Arc::new(bits))]).unwrap();
        let counts = counts.into_array(4).unwrap();
        assert_eq!(
            counts.as_primitive::<Int64Type>(),
            &Int64Array::from(vec![Some(0), Some(3), None, Some(64)])
        );
    }
}
