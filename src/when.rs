//! Times, durations and sizes as people write them, and as they like to read them.
//!
//! The clock is an argument everywhere, so `24h` means the same moment for all
//! options of one run, and tests need no clock at all.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, Utc};

/// What a time option accepts, for its refusal and its help.
pub const ACCEPTED: &str = "a duration back from now (90m, 24h, 7d, 1d12h), a date (2026-11-01), \
     or a time (2026-11-01T00:00, 2026-11-01T00:00:00Z, RFC 3339); UTC unless it says otherwise";

/// A moment given by `--since` or `--until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long before now.
    Ago(TimeDelta),
    /// A moment of its own.
    At(DateTime<Utc>),
}

impl When {
    /// The moment, given the present one; `None` before the calendar begins.
    pub fn resolve(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            When::Ago(ago) => now.checked_sub_signed(ago),
            When::At(at) => Some(at),
        }
    }
}

impl std::fmt::Display for When {
    /// As `--since` reads it back.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            When::At(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            When::Ago(ago) if ago.is_zero() => f.write_str("now"),
            When::Ago(ago) => {
                let mut left = ago.num_seconds();
                for (unit, seconds) in UNITS {
                    if left >= seconds {
                        write!(f, "{}{unit}", left / seconds)?;
                        left %= seconds;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Units of durations and their seconds, from large to small.
const UNITS: [(char, i64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("now") {
            return Ok(When::Ago(TimeDelta::zero()));
        }
        moment(text)
            .map(When::At)
            .or_else(|| duration(text).map(When::Ago))
            .ok_or_else(|| format!("expected {ACCEPTED}"))
    }
}

/// A date or a time; UTC where it names no zone.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    // RFC 3339 wants seconds; people leave them out, and write zones such as +01:00 even then.
    for format in [
        "%Y-%m-%dT%H:%M%#z",
        "%Y-%m-%d %H:%M%#z",
        "%Y-%m-%d %H:%M:%S%.f%#z",
    ] {
        if let Ok(time) = DateTime::parse_from_str(text, format) {
            return Some(time.to_utc());
        }
    }
    let plain = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    for format in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
    ] {
        if let Ok(time) = NaiveDateTime::parse_from_str(plain, format) {
            return Some(time.and_utc());
        }
    }
    // Not `plain`: a date with a zone is no date.
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    date.and_hms_opt(0, 0, 0).map(|time| time.and_utc())
}

/// A duration such as `90m`, `24h`, `7d` or `1d12h`; units from large to small.
pub fn duration(text: &str) -> Option<TimeDelta> {
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next()?;
        let at = units.iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(units[at].1)?)?;
        units = &units[at + 1..];
        rest = &tail[unit.len_utf8()..];
    }
    (!text.is_empty())
        .then(|| TimeDelta::try_seconds(total))
        .flatten()
}

/// A size such as `512MB`, `1GB` or `2GiB`, in bytes.
///
/// # Errors
/// The text is no size; the message says what would be.
pub fn size(text: &str) -> Result<usize, String> {
    const EXPECTED: &str = "expected a size such as 512MB, 1GB or 2GiB";
    let text = text.trim();
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| EXPECTED.to_string())?;
    let scale: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        "tib" => 1_099_511_627_776.0,
        _ => return Err(EXPECTED.to_string()),
    };
    let bytes = number * scale;
    if bytes >= 1.0 && bytes < usize::MAX as f64 {
        Ok(bytes as usize)
    } else {
        Err(EXPECTED.to_string())
    }
}

/// A moment given in microseconds since the epoch: `2026-11-01 12:34:56Z`,
/// with a fraction only where there is one.
pub fn show_micros(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => show_time(&time),
        None => format!("{micros} µs"),
    }
}

/// A moment as tables show it: RFC 3339 with a blank in the middle, which
/// RFC 3339 allows and eyes like.
pub fn show_time(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
        .replacen('T', " ", 1)
}

/// How long something took or lasts, in two units at most.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.as_millis() == 0 => format!("{} µs", duration.as_micros()),
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => two_units(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two_units(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two_units(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

fn two_units(large: u64, large_name: &str, small: u64, small_name: &str) -> String {
    if small == 0 {
        format!("{large} {large_name}")
    } else {
        format!("{large} {large_name} {small} {small_name}")
    }
}

/// A number of bytes in decimal units, three digits of it.
pub fn show_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["kB", "MB", "GB", "TB", "PB"].into_iter();
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut name = "B";
    while value >= 999.5 {
        let Some(next) = units.next() else { break };
        (value, name) = (value / 1000.0, next);
    }
    if value < 10.0 {
        format!("{value:.1} {name}")
    } else {
        format!("{value:.0} {name}")
    }
}

/// A count with its thousands apart: `1,234,567`.
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> String {
        let now = DateTime::parse_from_rfc3339("2026-11-08T12:00:00Z")
            .unwrap()
            .to_utc();
        match text.parse::<When>() {
            Ok(when) => when.resolve(now).map_or("before the calendar".into(), |time| {
                time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
            }),
            Err(why) => why,
        }
    }

    #[test]
    fn durations_count_back_from_now() {
        assert_eq!(at("24h"), "2026-11-07T12:00:00Z");
        assert_eq!(at("7d"), "2026-11-01T12:00:00Z");
        assert_eq!(at("90m"), "2026-11-08T10:30:00Z");
        assert_eq!(at("1w"), "2026-11-01T12:00:00Z");
        assert_eq!(at("1d12h"), "2026-11-07T00:00:00Z");
        assert_eq!(at(" 30s "), "2026-11-08T11:59:30Z");
        assert_eq!(at("now"), "2026-11-08T12:00:00Z");
        assert_eq!(at("0s"), "2026-11-08T12:00:00Z");
    }

    #[test]
    fn dates_and_times_are_utc_unless_they_say_otherwise() {
        for text in [
            "2026-11-01",
            "2026-11-01T00:00",
            "2026-11-01T00:00Z",
            "2026-11-01T00:00:00",
            "2026-11-01T00:00:00Z",
            "2026-11-01 00:00",
            "2026-11-01 00:00:00Z",
            "2026-11-01T01:00+01:00",
            "2026-11-01T01:00:00+01:00",
            "2026-10-31 23:00:00-01:00",
        ] {
            assert_eq!(at(text), "2026-11-01T00:00:00Z", "{text}");
        }
        assert_eq!(at("2026-11-01T00:00:00.25Z"), "2026-11-01T00:00:00.250Z");
    }

    #[test]
    fn shown_as_they_are_read() {
        for text in [
            "24h",
            "90m",
            "1d12h",
            "10d",
            "0s",
            "2026-11-01",
            "2026-11-01T01:00:00.5+01:00",
        ] {
            let when: When = text.parse().unwrap();
            assert_eq!(when.to_string().parse(), Ok(when), "{when}");
        }
        assert_eq!("36h".parse::<When>().unwrap().to_string(), "1d12h");
    }

    #[test]
    fn bad_ones_are_refused_with_what_is_accepted() {
        for text in [
            "",
            "x",
            "24",
            "24x",
            "h",
            "1h1d",
            "-5h",
            "1.5h",
            "7D",
            "2026-13-01",
            "2026-02-30",
            "2026-11-01Z",
            "11/01/2026",
            "20261101",
            "2026-11-01T25:00",
            "yesterdayish",
            "99999999999999999999d",
            "１h",
            "5m5m",
            "9223372036854775807s9",
        ] {
            assert!(text.parse::<When>().is_err(), "{text} gave {}", at(text));
        }
        assert!(at("24x").contains("24h, 7d"));
        // Accepted as a duration, yet older than any calendar.
        assert_eq!(at("200000000d"), "before the calendar");
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1GB"), Ok(1_000_000_000));
        assert_eq!(size("512 mb"), Ok(512_000_000));
        assert_eq!(size("2GiB"), Ok(2_147_483_648));
        assert_eq!(size("1.5k"), Ok(1500));
        assert_eq!(size("64"), Ok(64));
        for text in ["", "GB", "1XB", "-1GB", "0", "1e9", "1..5GB", "99999999999TB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shown_short_and_round() {
        assert_eq!(show_bytes(999), "999 B");
        assert_eq!(show_bytes(1000), "1.0 kB");
        assert_eq!(show_bytes(48_123_456), "48 MB");
        assert_eq!(show_bytes(999_999), "1.0 MB");
        assert_eq!(show_count(0), "0");
        assert_eq!(show_count(999), "999");
        assert_eq!(show_count(1_234_567), "1,234,567");
        assert_eq!(show_duration(Duration::from_micros(1_420_000)), "1.4 s");
        assert_eq!(show_duration(Duration::from_millis(340)), "340 ms");
        assert_eq!(show_duration(Duration::from_secs(185)), "3 min 5 s");
        assert_eq!(show_duration(Duration::from_secs(86_400)), "1 d");
        assert_eq!(show_micros(1_793_491_200_000_000), "2026-11-01 00:00:00Z");
        assert_eq!(show_micros(1_793_491_200_250_000), "2026-11-01 00:00:00.250Z");
        assert_eq!(show_micros(i64::MAX), "9223372036854775807 µs");
    }
}
