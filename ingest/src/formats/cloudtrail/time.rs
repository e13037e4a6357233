//! The times that CloudTrail writes, as microseconds since the epoch.

/// Parses `2023-07-10T12:03:25Z`, the compact `20131102T010628Z` of old session
/// contexts, and whatever else RFC 3339 allows (fractions, offsets).
#[inline]
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    if let Ok(
        &[
            y0,
            y1,
            y2,
            y3,
            b'-',
            m0,
            m1,
            b'-',
            d0,
            d1,
            b'T',
            h0,
            h1,
            b':',
            i0,
            i1,
            b':',
            s0,
            s1,
            b'Z',
        ],
    ) = <&[u8; 20]>::try_from(text)
    {
        return micros([y0, y1, y2, y3, m0, m1, d0, d1, h0, h1, i0, i1, s0, s1]);
    }
    parse_rare(text)
}

#[cold]
fn parse_rare(text: &[u8]) -> Option<i64> {
    if let Ok(&[y0, y1, y2, y3, m0, m1, d0, d1, b'T', h0, h1, i0, i1, s0, s1, b'Z']) =
        <&[u8; 16]>::try_from(text)
    {
        return micros([y0, y1, y2, y3, m0, m1, d0, d1, h0, h1, i0, i1, s0, s1]);
    }
    let time = chrono::DateTime::parse_from_rfc3339(std::str::from_utf8(text).ok()?).ok()?;
    Some(time.timestamp_micros())
}

/// Microseconds since the epoch of the digits `YYYYMMDDhhmmss`.
#[inline]
fn micros(digits: [u8; 14]) -> Option<i64> {
    let mut values = [0i64; 14];
    let mut highest = 0;
    for (value, digit) in values.iter_mut().zip(digits) {
        let digit = digit.wrapping_sub(b'0');
        highest = highest.max(digit);
        *value = i64::from(digit);
    }
    let [y0, y1, y2, y3, m0, m1, d0, d1, h0, h1, i0, i1, s0, s1] = values;
    let (year, month, day) = (y0 * 1000 + y1 * 100 + y2 * 10 + y3, m0 * 10 + m1, d0 * 10 + d1);
    let (hour, minute, second) = (h0 * 10 + h1, i0 * 10 + i1, s0 * 10 + s1);
    let sound = highest < 10
        && (1..=12).contains(&month)
        && day >= 1
        && day <= days_in_month(year, month)
        && hour < 24
        && minute < 60
        && second < 60;
    sound.then(|| ((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000)
}

#[inline]
fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
#[inline]
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_parse_or_do_not() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2023-07-10T12:03:25Z", Some(1_688_990_605_000_000)),
            ("20131102T010628Z", Some(1_383_354_388_000_000)),
            ("2023-07-10T12:03:25.5Z", Some(1_688_990_605_500_000)),
            ("2023-07-10T14:03:25+02:00", Some(1_688_990_605_000_000)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2023-07-10T24:03:25Z", None),
            ("2023-07-10T12:03:2xZ", None),
            ("2023-07-10T12:03:25", None),
            ("2023-07-10", None),
            ("1688990605", None),
            ("", None),
            ("2023-07-10T12:03:2\u{fc}", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn dates_agree_with_chrono(seconds in -62_000_000_000i64..253_000_000_000) {
            let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap();
            prop_assert_eq!(parse(time.format("%Y-%m-%dT%H:%M:%SZ").to_string().as_bytes()), Some(seconds * 1_000_000));
            prop_assert_eq!(parse(time.format("%Y%m%dT%H%M%SZ").to_string().as_bytes()), Some(seconds * 1_000_000));
        }
    }
}
