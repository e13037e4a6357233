//! `bowley_skew(x)`, an aggregate

use datafusion::common::ScalarValue;

use super::sketch_aggregate::udaf;
use super::{Body, Function, Group, Type, double};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "bowley_skew",
    group: Group::Statistics,
    arguments: &[double("x")],
    gives: Type::Double,
    about: "An aggregate: skewness by the quartiles, (Q3 + Q1 - 2 Q2) / (Q3 - Q1), from -1 to 1 and near 0 for \
            intervals of a beacon. 0 if all quartiles are one value. NULL and NaN are left out; with an infinite \
            quartile it is what it tends to: 1, -1 or, with both, 0. NULL without a value. As exact as \
            `quantile_sketch`.",
    example: (
        "bowley_skew(x) FROM (VALUES (1), (2), (3), (4), (9)) AS t(x)",
        "0.0",
    ),
    body: Body::Aggregate(|| udaf(&FUNCTION, |sketch| ScalarValue::Float64(sketch.bowley_skew()))),
};

#[cfg(test)]
mod tests {
    use super::super::sketch::Sketch;

    #[test]
    fn skews() {
        for (values, expected) in [
            (&[60.0, 60.0, 60.0, 60.0, 60.0][..], 0.0),
            (&[1.0, 2.0, 3.0, 8.0, 9.0], 2.0 / 3.0),
            (&[1.0, 2.0, 7.0, 8.0, 9.0], -2.0 / 3.0),
            (&[1.0, 1.0, 1.0, 5.0, 9.0], 1.0),
        ] {
            let mut sketch = Sketch::default();
            values.iter().for_each(|value| sketch.add(*value));
            let skew = sketch.bowley_skew().unwrap();
            assert!((skew - expected).abs() < 1e-12, "{values:?}: {skew}");
        }
    }
}
