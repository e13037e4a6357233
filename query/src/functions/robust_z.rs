//! `robust_z(x, median, mad [, floor])`

use super::{Body, Function, Group, Type, double};

/// Makes a MAD comparable to the standard deviation of normally distributed values.
const NORMAL: f64 = 0.6745;

/// Least scatter, as a part of the median: series that hardly move would else
/// find every change unusual.
const SCATTER_OF_MEDIAN_MIN: f64 = 0.1;

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "robust_z",
    group: Group::Statistics,
    arguments: &[
        double("x"),
        double("median"),
        double("mad"),
        double("floor").optional(),
    ],
    gives: Type::Double,
    about: "How far a value lies from a median, in robust standard deviations: 0.6745 (x - median) / max(mad, 10% of \
            the median, floor). An infinite x is infinitely far. If all three scales are 0, 0 where x is the median \
            and else infinite: give a floor. NULL if a value is NaN, or if median, mad or floor is infinite or mad \
            negative. Never NaN.",
    example: ("robust_z(200, 100, 20)", "3.3725"),
    body: Body::Scalar(|arguments| {
        let (x, median, mad) = (arguments.double(0), arguments.double(1), arguments.double(2));
        let floor = (arguments.count() > 3).then(|| arguments.double(3));
        arguments.to_double(|row| {
            let floor = match &floor {
                Some(floor) => floor.at(row)?,
                None => 0.0,
            };
            robust_z(x.at(row)?, median.at(row)?, mad.at(row)?, floor)
        })
    }),
};

/// See [`FUNCTION`].
pub fn robust_z(x: f64, median: f64, mad: f64, floor: f64) -> Option<f64> {
    let baseline = median.is_finite() && mad.is_finite() && floor.is_finite() && mad >= 0.0;
    if x.is_nan() || !baseline {
        return None;
    }
    let scatter = mad.max(SCATTER_OF_MEDIAN_MIN * median.abs()).max(floor);
    // Halves, as the difference of two finite numbers may be greater than any.
    let half = x / 2.0 - median / 2.0;
    if half == 0.0 {
        return Some(0.0);
    }
    if scatter <= 0.0 {
        return Some(half * f64::INFINITY);
    }
    Some(2.0 * (NORMAL * half / scatter))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scales() {
        let inf = f64::INFINITY;
        for (x, median, mad, floor, expected) in [
            (110.0, 100.0, 20.0, 0.0, Some(0.33725)),
            (110.0, 100.0, 1.0, 0.0, Some(0.6745)),
            (110.0, -100.0, 1.0, 0.0, Some(0.6745 * 21.0)),
            (5.0, 0.0, 0.0, 10.0, Some(0.33725)),
            (5.0, 0.0, 0.0, 0.0, Some(inf)),
            (-5.0, 0.0, 0.0, 0.0, Some(-inf)),
            (0.0, 0.0, 0.0, 0.0, Some(0.0)),
            (inf, 100.0, 20.0, 0.0, Some(inf)),
            (-inf, 100.0, 20.0, 0.0, Some(-inf)),
            (1.0, inf, 20.0, 0.0, None),
            (1.0, 100.0, inf, 0.0, None),
            (1.0, 100.0, -1.0, 0.0, None),
            (f64::NAN, 100.0, 20.0, 0.0, None),
            (1.0, 100.0, 20.0, f64::NAN, None),
        ] {
            let found = robust_z(x, median, mad, floor);
            let same = match (found, expected) {
                (Some(found), Some(expected)) => found == expected || (found - expected).abs() < 1e-9,
                (found, expected) => found == expected,
            };
            assert!(same, "{x} {median} {mad} {floor}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn never_nan(x in any::<f64>(), median in any::<f64>(), mad in any::<f64>(), floor in any::<f64>()) {
            prop_assert!(robust_z(x, median, mad, floor).is_none_or(|z| !z.is_nan()));
        }
    }
}
