//! `bit_count(bits)`

use super::{Body, Function, Group, Type, int};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "bit_count",
    group: Group::Detections,
    arguments: &[int("bits")],
    gives: Type::Int,
    about: "How many bits of a whole number are set: minutes in a row of `coverage`, or in `bit_or(minutes)` of \
            several.",
    example: ("bit_count(11)", "3"),
    body: Body::Scalar(|arguments| {
        let bits = arguments.int(0);
        arguments.to_int(|row| bits.at(row).map(|bits| i64::from(bits.count_ones())))
    }),
};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::super::Arguments;
    use super::*;

    #[test]
    fn bits_are_counted_and_null_stays_null() {
        let bits = Int64Array::from(vec![Some(0), Some(0b1011), None, Some(-1)]);
        let Body::Scalar(compute) = FUNCTION.body else {
            panic!("it gives a value a row")
        };
        let counts = compute(&Arguments::of(vec![(Arc::new(bits), false)], 4));
        assert_eq!(
            counts.as_primitive::<Int64Type>(),
            &Int64Array::from(vec![Some(0), Some(3), None, Some(64)])
        );
    }
}
