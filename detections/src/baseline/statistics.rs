//! Robust statistics of a handful of samples: what is usual, and how far off a value is.
//!
//! Nothing here uses a mean. A fifth of the samples may be anything at all, and what was
//! in the middle of them before is still ordinary: see the property test.

/// Makes a MAD comparable to the standard deviation of normally distributed values.
const NORMAL: f64 = 0.6745;

/// Least spread on the logarithmic scale: a tenth more or less is nothing. (A tenth of the
/// *logarithm* of the median would let a gigabyte grow eightfold and more before it counts.)
const SPREAD_MIN: f64 = 0.095_310_179_804_324_87;

/// z from which a value is unusual, and one that is extreme.
const Z_UNUSUAL: f64 = 3.0;
const Z_EXTREME: f64 = 6.0;

/// A value that is extreme is at least so many times p95.
const EXTREME_TIMES: f64 = 3.0;

/// How unusual a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Within the range of nine samples in ten, or close to it.
    Ordinary,
    /// Outside of it, and three robust deviations off.
    Unusual,
    /// Six robust deviations off, and three times what 95% of the samples stay below.
    Extreme,
}

impl Level {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Level::Ordinary => "ordinary",
            Level::Unusual => "unusual",
            Level::Extreme => "extreme",
        }
    }
}

/// What is usual, of one quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Samples behind it, at least 1.
    pub samples: usize,
    /// Half of the samples lie below.
    pub median: f64,
    /// Median of the distances from the median.
    pub mad: f64,
    /// Amount below which differences do not count.
    pub unit: f64,
    /// The median on the scale ln(1 + value / unit).
    pub center: f64,
    /// How far samples spread on that scale; above 0.
    pub spread: f64,
    /// 5% of the samples lie below.
    pub p05: f64,
    /// 25%.
    pub p25: f64,
    /// 75%.
    pub p75: f64,
    /// 95%.
    pub p95: f64,
    /// 99.5%.
    pub p995: f64,
    /// The largest sample.
    pub max: f64,
}

impl Norm {
    /// The norm of samples; none if there is none that is a number. Quantities are
    /// amounts: what is below 0 counts as 0, and what is infinite as very large.
    pub fn of(samples: impl IntoIterator<Item = f64>, unit: f64) -> Option<Self> {
        let mut values: Vec<f64> = samples
            .into_iter()
            .filter(|value| !value.is_nan())
            .map(bounded)
            .collect();
        if values.is_empty() {
            return None;
        }
        let unit = if unit.is_finite() && unit > 0.0 { unit } else { 1.0 };
        values.sort_by(f64::total_cmp);
        let median = median_of_sorted(&values);
        let center = scaled(median, unit);
        let (p25, p75) = (quantile(&values, 0.25), quantile(&values, 0.75));
        let quartiles = (scaled(p75, unit) - scaled(p25, unit)) / 2.0;
        let mad_scaled = median_of(values.iter().map(|value| (scaled(*value, unit) - center).abs()));
        Some(Norm {
            samples: values.len(),
            median,
            mad: median_of(values.iter().map(|value| (value - median).abs())),
            unit,
            center,
            // Where more than half of the samples are alike the MAD is 0, however the others lie.
            spread: mad_scaled.max(quartiles).max(SPREAD_MIN),
            p05: quantile(&values, 0.05),
            p25,
            p75,
            p95: quantile(&values, 0.95),
            p995: quantile(&values, 0.995),
            max: values[values.len() - 1],
        })
    }

    /// How far a value is from the median, in robust standard deviations. Always a finite number.
    pub fn z(&self, value: f64) -> f64 {
        if value.is_nan() {
            return 0.0;
        }
        NORMAL * (scaled(bounded(value), self.unit) - self.center) / self.spread
    }

    /// How unusual a value is.
    pub fn level(&self, value: f64) -> Level {
        let value = if value.is_nan() {
            self.median
        } else {
            bounded(value)
        };
        let distance = self.z(value).abs();
        if (self.p05..=self.p95).contains(&value) || distance < Z_UNUSUAL {
            return Level::Ordinary;
        }
        if distance < Z_EXTREME || (value > self.p95 && value / EXTREME_TIMES < self.p95) {
            return Level::Unusual;
        }
        Level::Extreme
    }
}

fn bounded(value: f64) -> f64 {
    value.clamp(0.0, f64::MAX)
}

fn scaled(value: f64, unit: f64) -> f64 {
    (value / unit).min(f64::MAX).ln_1p()
}

fn median_of(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    median_of_sorted(&values)
}

fn median_of_sorted(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values[middle],
        // Halves, as the sum of two finite numbers may be greater than any.
        _ => values[middle - 1] / 2.0 + values[middle] / 2.0,
    }
}

/// The smallest sample that so large a part of them does not exceed.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64 - 1e-9).ceil().max(1.0) as usize;
    sorted[rank.min(sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amounts() -> impl Strategy<Value = Vec<f64>> {
        let amount = prop_oneof![
            Just(0.0),
            Just(1e6),
            0.0..10.0f64,
            1e3..1e9f64,
            (0.0..30.0f64).prop_map(f64::exp),
        ];
        proptest::collection::vec(amount, 1..200)
    }

    proptest! {
        /// A fifth of the samples goes to infinity, or to nothing. What lay in the middle half stays ordinary.
        #[test]
        fn a_fifth_of_the_samples_may_be_anything(
            samples in amounts(),
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 40),
            up in any::<bool>(),
            unit in prop_oneof![Just(1.0), Just(1e6)],
        ) {
            let before = Norm::of(samples.iter().copied(), unit).unwrap();
            let mut moved = samples.clone();
            let mut places: Vec<usize> = (0..samples.len()).collect();
            for pick in picks.iter().take(samples.len() / 5) {
                let place = places.swap_remove(pick.index(places.len()));
                moved[place] = if up { f64::INFINITY } else { f64::NEG_INFINITY };
            }
            let after = Norm::of(moved, unit).unwrap();
            for value in samples.iter().filter(|value| (before.p25..=before.p75).contains(*value)) {
                prop_assert_eq!(before.level(*value), Level::Ordinary);
                prop_assert_eq!(after.level(*value), Level::Ordinary, "{} in {:?}", value, after);
            }
        }

        #[test]
        fn nothing_is_ever_not_a_number(samples in proptest::collection::vec(any::<f64>(), 1..50), value in any::<f64>()) {
            if let Some(norm) = Norm::of(samples, 1.0) {
                let Norm { median, mad, center, spread, p05, p25, p75, p95, p995, max, .. } = norm;
                for number in [median, mad, center, spread, p05, p25, p75, p95, p995, max, norm.z(value)] {
                    prop_assert!(number.is_finite(), "{:?}", norm);
                }
                prop_assert!(spread > 0.0);
                prop_assert!(p05 <= p25 && p25 <= median && median <= p75 && p75 <= p95 && p95 <= p995 && p995 <= max
                    || norm.samples < 4, "{:?}", norm);
                norm.level(value);
            }
        }

        #[test]
        fn more_is_never_less_unusual(samples in amounts(), more in 1.0..100.0f64) {
            let norm = Norm::of(samples, 1.0).unwrap();
            let above = norm.p95.max(norm.median);
            prop_assert!(norm.level(above * (1.0 + more)) >= norm.level(above));
        }
    }

    #[test]
    fn one_sample_and_no_variance_are_defined() {
        let one = Norm::of([100.0], 1.0).unwrap();
        assert_eq!(
            (one.median, one.mad, one.max, one.samples),
            (100.0, 0.0, 100.0, 1)
        );
        assert_eq!(one.level(105.0), Level::Ordinary);
        assert_eq!(one.level(100_000.0), Level::Extreme);
        let same = Norm::of([5e6; 50], 1e6).unwrap();
        assert_eq!(same.level(5.2e6), Level::Ordinary);
        assert_eq!(same.level(1e9), Level::Extreme);
        assert!(Norm::of([], 1.0).is_none());
        assert!(Norm::of([f64::NAN], 1.0).is_none());
    }

    #[test]
    fn small_amounts_do_not_count() {
        // A service that is silent at night sends 200 kB; the unit is 1 MB.
        let silent = Norm::of([0.0; 30], 1e6).unwrap();
        assert_eq!(silent.level(200_000.0), Level::Ordinary);
        assert_eq!(silent.level(500e6), Level::Extreme);
    }

    #[test]
    fn a_day_of_ten_times_the_volume_stands_out_and_does_not_teach() {
        let usual = (0..28).map(|day| 1e8 + f64::from(day % 5) * 1e6);
        let norm = Norm::of(usual.clone().chain([1e9]), 1e6).unwrap();
        assert_eq!(norm.level(1e9), Level::Extreme);
        assert_eq!(norm.median, Norm::of(usual, 1e6).unwrap().median);
    }

    #[test]
    fn quantiles_are_samples() {
        let norm = Norm::of((1..=100).map(f64::from), 1.0).unwrap();
        assert_eq!(
            (
                norm.p05,
                norm.p25,
                norm.median,
                norm.p75,
                norm.p95,
                norm.p995,
                norm.max
            ),
            (5.0, 25.0, 50.5, 75.0, 95.0, 100.0, 100.0)
        );
        assert_eq!(norm.mad, 25.0);
    }
}
