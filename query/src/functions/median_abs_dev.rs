//! `median_abs_dev(x)`, an aggregate

use datafusion::common::ScalarValue;

use super::sketch_aggregate::udaf;
use super::{Body, Function, Group, Type, double};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "median_abs_dev",
    group: Group::Statistics,
    arguments: &[double("x")],
    gives: Type::Double,
    about: "An aggregate: the median of the distances from the median (MAD), a measure of scatter that a few wild \
            values do not move. NULL and NaN are left out; infinities count as values. NULL without a value, or if \
            the median itself is infinite. As exact as `quantile_sketch`.",
    example: (
        "median_abs_dev(x) FROM (VALUES (1), (2), (3), (4), (1000)) AS t(x)",
        "1.0",
    ),
    body: Body::Aggregate(|| udaf(&FUNCTION, |sketch| ScalarValue::Float64(sketch.median_abs_dev()))),
};

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::robust_z::robust_z;
    use super::super::sketch::Sketch;

    fn baseline(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
        let mut sketch = Sketch::default();
        values.into_iter().for_each(|value| sketch.add(value));
        (sketch.quantile(0.5).unwrap(), sketch.median_abs_dev().unwrap())
    }

    proptest! {
        /// An attacker who spoils a fifth of the samples neither hides an outlier
        /// nor makes an outlier of what is usual.
        #[test]
        fn a_fifth_of_the_samples_at_infinity_does_not_move_the_verdict(
            center in 10.0..1e9f64,
            scatter in vec(-1.0..1.0f64, 60..300),
            wild in prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
        ) {
            const OUTLIER: f64 = 5.0;
            let width = 0.5 * center;
            let clean: Vec<f64> = scatter.iter().map(|part| center + part * width).collect();
            let kept = clean.len() - clean.len() / 5;
            let spoiled = clean[..kept].iter().copied().chain(vec![wild; clean.len() - kept]);
            let (usual, unusual) = (center, center + 25.0 * width);
            for (median, mad) in [baseline(clean.iter().copied()), baseline(spoiled)] {
                prop_assert!(robust_z(usual, median, mad, 0.0).unwrap().abs() < OUTLIER);
                prop_assert!(robust_z(unusual, median, mad, 0.0).unwrap() >= OUTLIER);
            }
        }
    }
}
