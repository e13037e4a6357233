//! Plots of characters: a week by its hours, and single amounts as bars.

use trailhound_detections::baseline::read::Row;

const STEPS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One character of eight heights; anything above nothing is seen.
fn step(value: f64, most: f64) -> char {
    if value.is_nan() || value <= 0.0 || most <= 0.0 {
        return STEPS[0];
    }
    let height = (value / most * 8.0).ceil().clamp(1.0, 8.0);
    STEPS[height as usize]
}

/// A bar of up to `width` characters.
pub fn bar(value: f64, most: f64, width: usize) -> String {
    if value.is_nan() || value <= 0.0 || most <= 0.0 {
        return String::new();
    }
    let length = (value / most * width as f64).round().clamp(1.0, width as f64);
    "█".repeat(length as usize)
}

/// Lines of a week: one a day, one character an hour, the height its median. The last
/// line names the hours.
pub fn week(rows: &[&Row]) -> Vec<String> {
    let mut medians = [f64::NAN; 168];
    for row in rows {
        if let (Some(hour), Some(norm)) = (row.hour_of_week, &row.norm) {
            medians[hour.rem_euclid(168) as usize] = norm.median;
        }
    }
    let most = medians
        .iter()
        .copied()
        .filter(|value| !value.is_nan())
        .fold(0.0, f64::max);
    let mut lines: Vec<String> = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        .iter()
        .zip(medians.chunks(24))
        .map(|(day, hours)| {
            let cells: String = hours.iter().map(|median| step(*median, most)).collect();
            format!("    {day} │{cells}│")
        })
        .collect();
    // A week of which all days are alike is one line.
    if lines.windows(2).all(|pair| pair[0][7..] == pair[1][7..]) {
        lines.truncate(1);
        lines[0] = lines[0].replace("Mon", "day");
    }
    lines.push("         0     6     12    18    UTC".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use trailhound_detections::baseline::Norm;

    use super::*;

    #[test]
    fn bars_keep_their_width_and_show_the_least() {
        assert_eq!(bar(0.0, 10.0, 10), "");
        assert_eq!(bar(0.001, 10.0, 10), "█");
        assert_eq!(bar(10.0, 10.0, 10).chars().count(), 10);
        assert_eq!(bar(f64::NAN, 10.0, 10), "");
        assert_eq!(step(5.0, 0.0), ' ');
    }

    #[test]
    fn a_week_of_equal_days_is_one_line() {
        let row = |hour: i64, value: f64| Row {
            entity: String::new(),
            subject: None,
            measure: String::new(),
            hour_of_week: Some(hour),
            grain: String::new(),
            samples: 1,
            days: 1,
            first_seen: None,
            last_seen: None,
            count: 1,
            norm: Norm::of([value], 1.0),
            state: String::new(),
        };
        let same: Vec<Row> = (0..168).map(|hour| row(hour, (hour % 24) as f64)).collect();
        assert_eq!(week(&same.iter().collect::<Vec<_>>()).len(), 2);
        let other: Vec<Row> = (0..168).map(|hour| row(hour, hour as f64)).collect();
        assert_eq!(week(&other.iter().collect::<Vec<_>>()).len(), 8);
    }
}
