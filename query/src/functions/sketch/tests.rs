//! The sketch against values sorted whole, in any order and any parts.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn sketch(values: &[f64]) -> Sketch {
    let mut sketch = Sketch::default();
    values.iter().for_each(|value| sketch.add(*value));
    sketch
}

/// By definition, from all values.
fn exact_quantile(values: &[f64], q: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = q * (values.len() - 1) as f64;
    let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
    low + (high - low) * rank.fract()
}

fn exact_mad(values: &[f64]) -> f64 {
    let median = exact_quantile(values, 0.5);
    let distances: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    exact_quantile(&distances, 0.5)
}

/// Numbers without a pattern, the same in each run.
fn noise(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    })
}

fn near(found: f64, exact: f64, error: f64) -> bool {
    (found - exact).abs() <= error * exact.abs() + 1e-9
}

#[test]
fn few_values_are_exact() {
    let values = [3.0, -1.5, 0.0, 1e300, 7.25, -0.0, 1e-300];
    for q in [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0] {
        let (found, exact) = (sketch(&values).quantile(q).unwrap(), exact_quantile(&values, q));
        assert!(near(found, exact, 1e-15), "{q}: {found} and {exact}");
    }
    assert_eq!(sketch(&[1.0, 2.0, 3.0, 4.0, 100.0]).median_abs_dev(), Some(1.0));
    assert_eq!(sketch(&[1.0, 2.0, 4.0]).quantile(0.75), Some(3.0));
    assert_eq!(sketch(&values).count(), 7);
}

#[test]
fn no_values_give_none() {
    for values in [&[][..], &[f64::NAN, f64::NAN]] {
        let mut sketch = sketch(values);
        assert_eq!(sketch.quantile(0.5), None);
        assert_eq!(sketch.median_abs_dev(), None);
        assert_eq!(sketch.bowley_skew(), None);
        assert_eq!(sketch.count(), 0);
    }
    for q in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(sketch(&[1.0]).quantile(q), None);
    }
}

#[test]
fn infinities_are_values_and_never_make_nan() {
    let inf = f64::INFINITY;
    assert_eq!(sketch(&[1.0, 2.0, inf]).quantile(0.5), Some(2.0));
    assert_eq!(sketch(&[1.0, inf]).quantile(0.5), Some(1.0));
    assert_eq!(sketch(&[-inf, 1.0]).quantile(0.5), Some(1.0));
    assert_eq!(sketch(&[-inf, inf]).quantile(0.5), Some(-inf));
    assert_eq!(sketch(&[inf, inf, 1.0]).median_abs_dev(), None);
    assert_eq!(sketch(&[1.0, 2.0, 3.0, inf, -inf]).median_abs_dev(), Some(1.0));
    assert_eq!(sketch(&[1.0, 1.0, 1.0, inf, inf]).bowley_skew(), Some(1.0));
    assert_eq!(sketch(&[-inf, -inf, 1.0, inf, inf]).bowley_skew(), Some(0.0));
    assert_eq!(
        sketch(&[f64::MIN, f64::MIN, 0.0, f64::MAX, f64::MAX]).bowley_skew(),
        Some(0.0)
    );
    assert_eq!(sketch(&[5.0; 9]).bowley_skew(), Some(0.0));
}

/// The bound that the reference page names.
#[test]
fn many_values_are_as_near_as_the_page_says() {
    for (factor, error) in [(6e4f64, 0.004), (3e9, 0.008), (1e19, 0.016)] {
        let values: Vec<f64> = noise(7).take(200_000).map(|u| 1.7 * factor.powf(u)).collect();
        let mut sketch = sketch(&values);
        assert!(sketch.to_bytes().len() < 6 * SKETCH_BUCKETS_MAX);
        for q in [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999] {
            let (found, exact) = (sketch.quantile(q).unwrap(), exact_quantile(&values, q));
            assert!(near(found, exact, error), "{factor} {q}: {found} and {exact}");
        }
        assert_eq!(sketch.quantile(0.0), Some(exact_quantile(&values, 0.0)));
        assert_eq!(sketch.quantile(1.0), Some(exact_quantile(&values, 1.0)));
        assert!(near(
            sketch.median_abs_dev().unwrap(),
            exact_mad(&values),
            3.0 * error
        ));
    }
}

/// Times and counters have little scatter on a great base: buckets follow the values.
#[test]
fn a_great_base_does_not_hide_small_scatter() {
    let values: Vec<f64> = noise(11).take(100_000).map(|u| 1.7e9 + 1000.0 * u).collect();
    let (found, exact) = (sketch(&values).median_abs_dev().unwrap(), exact_mad(&values));
    assert!(near(found, exact, 0.01), "{found} and {exact}");
}

/// Values of all sizes and both signs, some often, with and without infinities.
fn any_values(count: usize) -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        4 => -1e6..1e6f64,
        2 => (-300.0..300.0f64).prop_map(|e| 10f64.powf(e)),
        2 => (0..20i32).prop_map(f64::from),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(f64::NAN),
        1 => any::<f64>(),
    ];
    vec(value, 0..count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The heart of it: parts, their order and the way they are stored change nothing.
    #[test]
    fn parts_merge_in_any_order_to_the_same_bytes(
        values in any_values(7000),
        cuts in vec(0.0..1.0f64, 0..6),
        turn in 0usize..6,
    ) {
        let whole = sketch(&values).to_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| (cut * values.len() as f64) as usize).collect();
        cuts.extend([0, values.len()]);
        cuts.sort_unstable();
        let mut parts: Vec<Sketch> = cuts.windows(2).map(|cut| sketch(&values[cut[0]..cut[1]])).collect();
        let count = parts.len();
        parts.rotate_left(turn % count);
        if turn % 2 == 1 {
            parts.reverse();
        }
        let mut merged = Sketch::default();
        for part in &mut parts {
            let stored = part.to_bytes();
            let read = Sketch::from_bytes(&stored);
            prop_assert!(read.is_some());
            merged.merge(&read.unwrap());
        }
        prop_assert_eq!(merged.to_bytes(), whole);
    }

    #[test]
    fn results_are_never_nan(values in any_values(3000), q in 0.0..=1.0f64) {
        let mut sketch = sketch(&values);
        for result in [sketch.quantile(q), sketch.median_abs_dev(), sketch.bowley_skew()] {
            prop_assert!(result.is_none_or(|value| !value.is_nan()));
        }
    }

    #[test]
    fn quantiles_of_few_values_are_exact(values in vec(-1e9..1e9f64, 1..200), q in 0.0..=1.0f64) {
        let mut sketch = sketch(&values);
        prop_assert!(near(sketch.quantile(q).unwrap(), exact_quantile(&values, q), 1e-9));
        prop_assert!((sketch.median_abs_dev().unwrap() - exact_mad(&values)).abs() <= 1e-6);
    }

    #[test]
    fn bytes_that_are_no_sketch_do_no_harm(bytes in vec(any::<u8>(), 0..200), at in any::<usize>(), bit in 0..8u8) {
        if let Some(mut sketch) = Sketch::from_bytes(&bytes) {
            let _ = (sketch.quantile(0.5), sketch.median_abs_dev(), sketch.bowley_skew());
        }
        let values: Vec<f64> = bytes.iter().map(|byte| f64::from(*byte)).collect();
        let mut stored = sketch(&values).to_bytes();
        let at = at % stored.len();
        stored[at] ^= 1 << bit;
        if let Some(mut sketch) = Sketch::from_bytes(&stored) {
            let results = [sketch.quantile(0.5), sketch.median_abs_dev(), sketch.bowley_skew()];
            prop_assert!(results.iter().flatten().all(|value| !value.is_nan()));
        }
    }
}
