//! `hour_of_week(time)`

use super::{Argument, Body, Function, Group, Type};

const MICROS_PER_HOUR: i64 = 3_600_000_000;
const HOURS_PER_WEEK: i64 = 168;

/// 1970-01-01 was a Thursday: three days after the Monday of its week.
const HOURS_INTO_WEEK_AT_EPOCH: i64 = 3 * 24;

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "hour_of_week",
    group: Group::Time,
    arguments: &[Argument::new("time", Type::Time)],
    gives: Type::Int,
    about: "The hour of the week in UTC, from 0 (Monday 00:00) to 167 (Sunday 23:00): the 168 bins in which people and \
            jobs have their habits.",
    example: ("hour_of_week(TIMESTAMP '2026-11-22 23:59:59')", "167"),
    body: Body::Scalar(|arguments| {
        let time = arguments.time(0);
        arguments.to_int(|row| time.at(row).map(hour_of_week))
    }),
};

fn hour_of_week(micros: i64) -> i64 {
    (micros.div_euclid(MICROS_PER_HOUR) + HOURS_INTO_WEEK_AT_EPOCH).rem_euclid(HOURS_PER_WEEK)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, Timelike};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_the_calendar_has_it(micros in -100_000_000_000_000_000..100_000_000_000_000_000i64) {
            let time = DateTime::from_timestamp_micros(micros).unwrap();
            let expected = time.weekday().num_days_from_monday() * 24 + time.hour();
            prop_assert_eq!(hour_of_week(micros), i64::from(expected));
        }
    }

    #[test]
    fn the_ends_of_time_are_hours_too() {
        for micros in [i64::MIN, i64::MAX] {
            assert!((0..168).contains(&hour_of_week(micros)));
        }
    }
}
