//! What the key of an object tells: whose it is, what log, of which day.
//!
//! ```text
//! [any/prefix/]AWSLogs/[o-abc/]111122223333/CloudTrail/eu-west-1/2026/11/21/[07/]name.json.gz
//! [any/prefix/]AWSLogs/aws-account-id=.../aws-service=.../aws-region=.../year=/month=/day=/[hour=/]name
//! [any/prefix/]2026/11/21/[07/]name
//! ```
//!
//! Keys are read, never trusted: nothing here becomes a path on this machine.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};

/// What a key, or the beginning of one, tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFacts<'a> {
    /// Organisation of an organisation trail, such as `o-exampleorgid`.
    pub organisation: Option<&'a str>,
    /// Account that the log is about: 12 digits.
    pub account: Option<&'a str>,
    /// Region that the log is about.
    pub region: Option<&'a str>,
    /// Folder of the service: `CloudTrail`, `vpcflowlogs`, `GuardDuty`...
    pub service: Option<&'a str>,
    /// Day of the folder, else of the file's name.
    pub day: Option<NaiveDate>,
    /// Hour of the folder, 0 to 23.
    pub hour: Option<u32>,
    /// Bytes of the key before the folder of the year: objects below it are in
    /// the order of time.
    pub lane: Option<usize>,
    /// Whether folders are called `year=2026` and the like.
    pub is_hive: bool,
    /// Last of the folders that were understood.
    pub level: Level,
}

/// How deep in the layout a prefix ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is known yet.
    #[default]
    Outside,
    /// At `AWSLogs/`, or an organisation's folder in it: accounts follow.
    Logs,
    /// At an account: services follow.
    Account,
    /// At a service: Regions follow.
    Service,
    /// At a Region: years follow.
    Region,
    /// At a year.
    Year,
    /// At a month.
    Month,
    /// At a day: hours or objects follow.
    Day,
    /// At an hour: objects follow.
    Hour,
}

/// Services whose folders are divided by Region and by days of two digits.
const SERVICES: &[&str] = &[
    "CloudTrail",
    "CloudTrail-Aggregated",
    "CloudTrail-Digest",
    "CloudTrail-Insight",
    "CloudTrail-NetworkActivity",
    "GuardDuty",
    "vpcflowlogs",
];

/// Reads a key, or a prefix that ends with `/`.
pub fn read_key(key: &str) -> KeyFacts<'_> {
    let mut facts = KeyFacts::default();
    let (mut year, mut month) = (None, None);
    let mut begin = 0;
    while let Some(length) = key[begin..].find('/') {
        let folder = &key[begin..begin + length];
        match step(&mut facts, folder) {
            Found::Nothing => {}
            Found::Lost => {
                // A folder that does not belong: what came before was no layout.
                if facts.level >= Level::Year {
                    (facts.lane, facts.day, facts.hour) = (None, None, None);
                }
                facts.level = Level::Outside;
            }
            Found::Year(number) => {
                (year, facts.lane) = (Some(number), Some(begin));
            }
            Found::Month(number) => month = Some(number),
            Found::Day(number) => {
                let day = year.zip(month);
                facts.day = day.and_then(|(year, month)| NaiveDate::from_ymd_opt(year, month, number));
            }
        }
        if facts.level == Level::Region {
            facts.lane = Some(begin + length + 1);
        }
        begin += length + 1;
    }
    if facts.day.is_none() {
        facts.day = day_of_name(&key[begin..]);
    }
    facts
}

enum Found {
    Nothing,
    Lost,
    Year(i32),
    Month(u32),
    Day(u32),
}

/// Takes one folder in.
fn step<'a>(facts: &mut KeyFacts<'a>, folder: &'a str) -> Found {
    if folder == "AWSLogs" {
        *facts = KeyFacts {
            level: Level::Logs,
            ..KeyFacts::default()
        };
        return Found::Nothing;
    }
    let (name, value) = match folder.split_once('=') {
        Some((name, value)) => (name, value),
        None => ("", folder),
    };
    let is_plain = name.is_empty();
    match facts.level {
        Level::Logs if is_plain && folder.starts_with("o-") => facts.organisation = Some(folder),
        Level::Logs if (is_plain || name == "aws-account-id") && is_account(value) => {
            (facts.account, facts.level) = (Some(value), Level::Account);
            facts.is_hive = !is_plain;
        }
        Level::Account if is_plain || name == "aws-service" => {
            (facts.service, facts.level) = (Some(value), Level::Service);
        }
        Level::Service if (is_plain || name == "aws-region") && is_region(value) => {
            (facts.region, facts.level) = (Some(value), Level::Region);
        }
        // Copies often lack the folders above the service.
        Level::Outside if SERVICES.contains(&folder) => {
            (facts.service, facts.level) = (Some(folder), Level::Service);
        }
        Level::Outside | Level::Logs | Level::Account | Level::Service | Level::Region => {
            match number(value, 4).filter(|year| (2000..=2100).contains(year)) {
                Some(year) if is_plain || name == "year" => {
                    facts.is_hive = !is_plain;
                    facts.level = Level::Year;
                    return Found::Year(year as i32);
                }
                _ => return Found::Lost,
            }
        }
        Level::Year => match number(value, 2).filter(|month| (1..=12).contains(month)) {
            Some(month) if is_plain || name == "month" => {
                facts.level = Level::Month;
                return Found::Month(month);
            }
            _ => return Found::Lost,
        },
        Level::Month => match number(value, 2).filter(|day| (1..=31).contains(day)) {
            Some(day) if is_plain || name == "day" => {
                facts.level = Level::Day;
                return Found::Day(day);
            }
            _ => return Found::Lost,
        },
        Level::Day => {
            if let Some(hour) = number(value, 2).filter(|hour| *hour < 24)
                && (is_plain || name == "hour")
            {
                (facts.hour, facts.level) = (Some(hour), Level::Hour);
            }
        }
        Level::Hour => {}
    }
    Found::Nothing
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn is_account(text: &str) -> bool {
    number(text.get(..6).unwrap_or_default(), 6).is_some()
        && number(text.get(6..).unwrap_or_default(), 6).is_some()
}

/// `eu-west-1`, `us-gov-east-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let last = parts.last().copied().unwrap_or_default();
    parts.len() >= 3
        && !last.is_empty()
        && last.len() <= 2
        && last.bytes().all(|byte| byte.is_ascii_digit())
        && parts[..parts.len() - 1].iter().all(is_word)
}

/// The day in a name such as `..._20261121T0705Z_x.json.gz`.
fn day_of_name(name: &str) -> Option<NaiveDate> {
    name.split(['_', '.', '-']).find_map(|part| {
        let (day, time) = part.split_once('T')?;
        let digits = time.strip_suffix('Z').unwrap_or(time);
        if !matches!(digits.len(), 4 | 6) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        number(day, 8)?;
        NaiveDate::parse_from_str(day, "%Y%m%d").ok()
    })
}

impl KeyFacts<'_> {
    /// The table that the folder of the service stands for, if it stands for one.
    pub fn table(&self) -> Option<&'static str> {
        match self.service? {
            "CloudTrail" | "CloudTrail-Insight" | "CloudTrail-NetworkActivity" => Some("cloudtrail"),
            "vpcflowlogs" => Some("vpc_flow"),
            "GuardDuty" => Some("guardduty"),
            _ => None,
        }
    }

    /// Whether objects here are CloudTrail's digests: hashes of logs, not logs.
    pub fn is_digest(&self) -> bool {
        self.service == Some("CloudTrail-Digest")
    }

    /// Whether objects below this prefix come in the order of time, and `lane`
    /// says where that begins.
    pub fn is_in_order(&self) -> bool {
        let is_divided = self.service.is_none_or(|service| SERVICES.contains(&service));
        self.lane.is_some() && self.level >= Level::Region && is_divided
    }
}

/// Whether an object holds no log: a folder's marker, a digest, a file that
/// CloudWatch Logs writes to try a bucket.
pub fn is_no_log(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    name.is_empty()
        || name == "aws-logs-write-test"
        || name.contains("_CloudTrail-Digest_")
        || read_key(key).is_digest()
}

/// The folder of a day, as it stands below a lane.
pub fn day_folder(day: NaiveDate, is_hive: bool) -> String {
    let (year, month, day) = (day.year(), day.month(), day.day());
    if is_hive {
        format!("year={year:04}/month={month:02}/day={day:02}/")
    } else {
        format!("{year:04}/{month:02}/{day:02}/")
    }
}

/// Days of folders to be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// The first, inclusive.
    pub first: Option<NaiveDate>,
    /// The last, inclusive.
    pub last: Option<NaiveDate>,
}

/// Records of the last minutes before midnight lie in the folder of the next day.
const LATE: TimeDelta = TimeDelta::hours(1);

impl Range {
    /// The days in whose folders records from `since` to `until` lie.
    pub fn new(since: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Self {
        Range {
            first: since.map(|time| time.date_naive()),
            last: until.map(|time| (time.checked_add_signed(LATE).unwrap_or(time)).date_naive()),
        }
    }

    /// Whether `day` is one of them.
    pub fn has(&self, day: NaiveDate) -> bool {
        self.first.is_none_or(|first| day >= first) && self.last.is_none_or(|last| day <= last)
    }

    /// Whether a key is to be read, by the date in it. `changed` is the time of its
    /// last change: without a date in the key, what was written before the first
    /// day holds nothing of it.
    pub fn has_key(&self, key: &str, changed: Option<DateTime<Utc>>) -> bool {
        match (read_key(key).day, changed) {
            (Some(day), _) => self.has(day),
            (None, Some(changed)) => self.first.is_none_or(|first| changed.date_naive() >= first),
            (None, None) => true,
        }
    }

    /// Whether all of `other` is in here.
    pub fn covers(&self, other: &Range) -> bool {
        let first = self
            .first
            .is_none_or(|mine| other.first.is_some_and(|first| first >= mine));
        let last = self
            .last
            .is_none_or(|mine| other.last.is_some_and(|last| last <= mine));
        first && last
    }
}

/// The day before `day`.
pub fn day_before(day: NaiveDate) -> NaiveDate {
    day.checked_sub_days(Days::new(1)).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Option<NaiveDate> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn every_layout() {
        for (key, organisation, account, service, region, of, hour, table) in [
            (
                "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/21/111122223333_CloudTrail_eu-west-1_20261121T0705Z_abc.json.gz",
                None,
                Some("111122223333"),
                Some("CloudTrail"),
                Some("eu-west-1"),
                day("2026-11-21"),
                None,
                Some("cloudtrail"),
            ),
            (
                "a/b/AWSLogs/o-exampleorgid/111122223333/CloudTrail-Insight/us-gov-east-1/2026/01/02/x.json.gz",
                Some("o-exampleorgid"),
                Some("111122223333"),
                Some("CloudTrail-Insight"),
                Some("us-gov-east-1"),
                day("2026-01-02"),
                None,
                Some("cloudtrail"),
            ),
            (
                "AWSLogs/111122223333/vpcflowlogs/eu-west-1/2026/11/21/07/x.log.gz",
                None,
                Some("111122223333"),
                Some("vpcflowlogs"),
                Some("eu-west-1"),
                day("2026-11-21"),
                Some(7),
                Some("vpc_flow"),
            ),
            (
                "p/AWSLogs/aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=eu-west-1/year=2026/month=11/day=21/hour=23/x.parquet",
                None,
                Some("111122223333"),
                Some("vpcflowlogs"),
                Some("eu-west-1"),
                day("2026-11-21"),
                Some(23),
                Some("vpc_flow"),
            ),
            (
                "AWSLogs/111122223333/GuardDuty/eu-west-1/2026/11/21/u.jsonl.gz",
                None,
                Some("111122223333"),
                Some("GuardDuty"),
                Some("eu-west-1"),
                day("2026-11-21"),
                None,
                Some("guardduty"),
            ),
            (
                "CloudTrail/eu-west-1/2026/11/21/x.json.gz",
                None,
                None,
                Some("CloudTrail"),
                Some("eu-west-1"),
                day("2026-11-21"),
                None,
                Some("cloudtrail"),
            ),
            (
                "firehose/2026/11/21/07/x",
                None,
                None,
                None,
                None,
                day("2026-11-21"),
                Some(7),
                None,
            ),
            (
                "flat/111122223333_CloudTrail_eu-west-1_20261121T0705Z_abc.json.gz",
                None,
                None,
                None,
                None,
                day("2026-11-21"),
                None,
                None,
            ),
            (
                "exportedlogs/0a1b/app-web-1/000000.gz",
                None,
                None,
                None,
                None,
                None,
                None,
                None,
            ),
            ("2026/13/01/x", None, None, None, None, None, None, None),
            ("2026/02/31/x", None, None, None, None, None, None, None),
        ] {
            let facts = read_key(key);
            assert_eq!(
                (
                    facts.organisation,
                    facts.account,
                    facts.service,
                    facts.region,
                    facts.day,
                    facts.hour,
                    facts.table()
                ),
                (organisation, account, service, region, of, hour, table),
                "{key}"
            );
        }
    }

    #[test]
    fn what_holds_no_log() {
        for key in [
            "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/11/21/x.json.gz",
            "copied/111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20261121T070000Z.json.gz",
            "exportedlogs/aws-logs-write-test",
            "AWSLogs/",
            "",
        ] {
            assert!(is_no_log(key), "{key}");
        }
        assert!(!is_no_log(
            "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/21/x.json.gz"
        ));
    }

    #[test]
    fn lanes_begin_before_the_year() {
        for (prefix, lane) in [
            (
                "AWSLogs/111122223333/CloudTrail/eu-west-1/",
                Some("AWSLogs/111122223333/CloudTrail/eu-west-1/"),
            ),
            (
                "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/",
                Some("AWSLogs/111122223333/CloudTrail/eu-west-1/"),
            ),
            ("firehose/2026/", Some("firehose/")),
            ("AWSLogs/111122223333/Config/eu-west-1/2026/11/5/", None),
            ("AWSLogs/111122223333/", None),
            ("x/", None),
        ] {
            let facts = read_key(prefix);
            let lane = lane.map(str::len);
            assert_eq!(facts.lane.filter(|_| facts.is_in_order()), lane, "{prefix}");
        }
    }

    #[test]
    fn days_reach_an_hour_past_the_end() {
        let time = |text: &str| Some(text.parse().unwrap());
        let days = Range::new(time("2026-11-05T10:00:00Z"), time("2026-11-07T23:30:00Z"));
        assert_eq!((days.first, days.last), (day("2026-11-05"), day("2026-11-08")));
        assert!(days.has_key("2026/11/08/x", None));
        assert!(!days.has_key("2026/11/09/x", None));
        assert!(!days.has_key("x", time("2026-11-04T00:00:00Z")));
        assert!(Range::default().covers(&days) && !days.covers(&Range::default()) && days.covers(&days));
    }

    proptest! {
        #[test]
        fn any_text_is_a_key(key in ".{0,80}") {
            let facts = read_key(&key);
            prop_assert!(facts.lane.is_none_or(|lane| key.is_char_boundary(lane)));
        }

        #[test]
        fn the_order_of_keys_in_a_lane_is_the_order_of_days(
            first in 0u64..20_000, second in 0u64..20_000, is_hive in any::<bool>(),
        ) {
            let start: NaiveDate = "2000-01-01".parse().unwrap();
            let (first, second) = (start + Days::new(first), start + Days::new(second));
            let (one, other) = (day_folder(first, is_hive), day_folder(second, is_hive));
            prop_assert_eq!(one.cmp(&other), first.cmp(&second));
            let key = format!("AWSLogs/111122223333/vpcflowlogs/eu-west-1/{one}x");
            prop_assert_eq!(read_key(&key).day, Some(first));
        }
    }
}
