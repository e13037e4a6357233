//! A line of bars over time.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const HOUR_MICROS: i64 = 3_600_000_000;

/// Bars for (microseconds since the epoch, amount), in order of time, at most
/// `width` of them; and the hours that one bar stands for. An hour without an
/// amount is a blank.
pub fn bars(points: &[(i64, f64)], width: usize) -> Option<(String, i64)> {
    let (first, last) = (points.first()?.0, points.last()?.0);
    let hours = (last - first).div_euclid(HOUR_MICROS) + 1;
    let hours_a_bar = hours.div_euclid(width.max(1) as i64) + i64::from(hours % width.max(1) as i64 != 0);
    let mut sums = vec![0.0f64; ((hours - 1) / hours_a_bar + 1) as usize];
    for (time, amount) in points {
        let at = (time - first).div_euclid(HOUR_MICROS) / hours_a_bar;
        sums[at as usize] += amount.max(0.0);
    }
    let most = sums.iter().copied().fold(0.0, f64::max);
    let drawn = sums
        .iter()
        .map(|&sum| match sum {
            0.0 => ' ',
            sum => BARS[((sum / most * 8.0).ceil() as usize).clamp(1, 8) - 1],
        })
        .collect();
    Some((drawn, hours_a_bar))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_joined_until_they_fit() {
        let at = |hour: i64, amount: f64| (hour * HOUR_MICROS, amount);
        assert_eq!(bars(&[at(0, 1.0), at(2, 8.0)], 10), Some(("▁ █".to_owned(), 1)));
        let (drawn, hours) = bars(&[at(0, 1.0), at(99, 1.0)], 10).unwrap();
        assert_eq!((drawn.chars().count(), hours), (10, 10));
        assert_eq!(bars(&[], 10), None);
    }
}
