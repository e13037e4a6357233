//! A threat list: addresses, networks and ranges, one a line, among comments.
//!
//! ```text
//! # Last updated: 2026-11-20 07:05:09 UTC
//! 198.51.100.7
//! 203.0.113.0/24 ; a reference
//! 192.0.2.10-192.0.2.20
//! 2001:db8::/32, more, columns
//! ```

use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use super::ranges::{Ranges, Unsorted};
use crate::error::Error;
use crate::functions::parse_address;

/// Lines at the top of a list in which its date may stand.
const HEADER_LINES: usize = 200;

/// What a comment calls the date of a list. "Expires" is none of them.
const DATE_WORDS: &[&str] = &["updated", "modified", "generated", "file date"];

/// The set of addresses of a list, and how old it is.
#[derive(Debug)]
pub struct ThreatList {
    name: String,
    as_of: DateTime<Utc>,
    ranges: Ranges<()>,
    left_out: Option<(usize, usize)>,
}

/// The name of the list in a file: the file's, without its ending.
pub(super) fn name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or(file.as_os_str());
    stem.to_string_lossy().into_owned()
}

impl ThreatList {
    /// Reads a list.
    ///
    /// # Errors
    /// It cannot be read, or has lines but none with an address.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let bytes = super::read(file)?;
        let changed = std::fs::metadata(file).and_then(|about| about.modified());
        let changed = DateTime::<Utc>::from(changed.unwrap_or(SystemTime::UNIX_EPOCH));
        ThreatList::parse(name(file), &bytes, changed).map_err(|reason| {
            Error::wrong_use(format!("{}: not a list of addresses: {reason}", file.display())).with_help(
                "a list has an address, a network or a range at the start of each line; # begins a comment",
            )
        })
    }

    /// Reads the bytes of a list that was changed at that moment.
    fn parse(name: String, bytes: &[u8], changed: DateTime<Utc>) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let mut ranges = Unsorted::default();
        let (mut said, mut left_out) = (None, None::<(usize, usize)>);
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            let comment = line.iter().position(|byte| matches!(byte, b'#' | b';'));
            let comment = if line.starts_with(b"//") { Some(0) } else { comment };
            if let Some(at) = comment.filter(|_| index < HEADER_LINES) {
                said = said.max(date(&String::from_utf8_lossy(&line[at..])));
            }
            let entry = line[..comment.unwrap_or(line.len())].trim_ascii();
            if entry.is_empty() {
                continue;
            }
            if !std::str::from_utf8(entry).is_ok_and(|entry| add(&mut ranges, entry)) {
                let (lines, first) = left_out.unwrap_or((0, index + 1));
                left_out = Some((lines + 1, first));
            }
        }
        match left_out {
            Some((_, first)) if ranges.len() == 0 => {
                Err(format!("line {first} begins with none, and no other does"))
            }
            _ => Ok(ThreatList {
                name,
                as_of: said.unwrap_or(changed),
                ranges: ranges.sort(),
                left_out,
            }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its date: what a comment at its top says, else when the file was changed.
    pub fn as_of(&self) -> DateTime<Utc> {
        self.as_of
    }

    /// Whether it holds an address.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.ranges.find(address).is_some()
    }

    /// How many lines are no addresses, and the number of the first of them.
    pub fn left_out(&self) -> Option<(usize, usize)> {
        self.left_out
    }
}

/// Adds what a line begins with; false if that is nothing to add.
fn add(ranges: &mut Unsorted<()>, entry: &str) -> bool {
    let end = entry
        .find(|c: char| c.is_ascii_whitespace() || matches!(c, ',' | '|' | '-'))
        .unwrap_or(entry.len());
    let (word, rest) = entry.split_at(end);
    if let Some(address) = parse_address(word.trim_matches('"')) {
        // "first - last", with blanks or without.
        if let Some(rest) = rest.trim_start().strip_prefix('-') {
            let last = rest.split_ascii_whitespace().next().and_then(parse_address);
            return last.is_some_and(|last| ranges.add(address, last, ()));
        }
        return ranges.add(address, address, ());
    }
    let word = word.trim_matches('"');
    if let Some((address, bits)) = word.split_once('/') {
        let network = address.parse::<IpAddr>().ok().zip(bits.parse().ok());
        return network.is_some_and(|(address, bits)| ranges.add_network(address, bits, ()));
    }
    // An address with a port. IPv6 addresses have more colons than one.
    let address = word
        .split_once(':')
        .and_then(|(address, _)| parse_address(address));
    address.is_some_and(|address| ranges.add(address, address, ()))
}

/// The date that a comment gives the list.
fn date(comment: &str) -> Option<DateTime<Utc>> {
    let lower = comment.to_ascii_lowercase();
    if !DATE_WORDS.iter().any(|word| lower.contains(word)) {
        return None;
    }
    // The words may be followed by a colon, and the time has colons of its own.
    let starts = comment.char_indices().map(|(at, _)| at).filter(|at| {
        let before = comment[..*at].chars().next_back();
        before.is_some_and(|c| c.is_whitespace() || c == ':') && !comment[*at..].starts_with([' ', ':'])
    });
    starts.filter_map(|at| moment(comment[at..].trim_end())).next()
}

/// A moment in one of the forms that lists use.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text)) {
        return Some(moment.to_utc());
    }
    let plain = text.trim_end_matches("UTC").trim_end_matches("GMT").trim_end();
    for form in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S"] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(plain, form) {
            return Some(moment.and_utc());
        }
    }
    // As `date` prints it.
    if let Ok(moment) = NaiveDateTime::parse_from_str(text, "%a %b %e %H:%M:%S UTC %Y") {
        return Some(moment.and_utc());
    }
    let day = NaiveDate::parse_from_str(plain, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &[u8]) -> Result<ThreatList, String> {
        ThreatList::parse("list".to_owned(), text, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn all_forms_of_entries() {
        let text = b"\xEF\xBB\xBF# a list\r\n\r\n198.51.100.7\r\n  203.0.113.0/24 ; SBL1\r\n192.0.2.10-192.0.2.20\n\
            192.0.2.30 - 192.0.2.31 # two\n2001:db8::/32,more,columns\n\"100.64.0.1\",x\n198.18.0.1:443\n::ffff:198.19.0.1\n\
            // other\n; more\n2001:db9::7\n198.51.100.9|x";
        let list = list(text).unwrap();
        for (address, held) in [
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("203.0.113.0", true),
            ("203.0.113.255", true),
            ("203.0.114.0", false),
            ("192.0.2.9", false),
            ("192.0.2.10", true),
            ("192.0.2.20", true),
            ("192.0.2.21", false),
            ("192.0.2.31", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::7", true),
            ("2001:db9::8", false),
            ("100.64.0.1", true),
            ("198.18.0.1", true),
            ("198.19.0.1", true),
            ("198.51.100.9", true),
        ] {
            assert_eq!(list.holds(address.parse().unwrap()), held, "{address}");
        }
        assert_eq!(list.left_out(), None);
    }

    #[test]
    fn lines_that_are_no_addresses_are_counted() {
        let text =
            b"ip,seen\n198.51.100.7,1\nevil.example\n10.0.0.0/33\n\xFF\xFE\n1.2.3.4-1.2.3.3\n1.2.3.5-x\n";
        let list = list(text).unwrap();
        assert_eq!(list.left_out(), Some((6, 1)));
        assert!(list.holds("198.51.100.7".parse().unwrap()));
        assert!(!list.holds("1.2.3.4".parse().unwrap()));
    }

    #[test]
    fn what_holds_no_address_at_all_is_no_list() {
        for text in [
            &b"<html>\n<body>404</body>\n"[..],
            b"\x1f\x8b\x08\x00\x01",
            b"# x\n{}",
        ] {
            assert!(list(text).is_err());
        }
        for text in [&b""[..], b"\n\n", b"# nothing today\n"] {
            assert!(!list(text).unwrap().holds("1.2.3.4".parse().unwrap()));
        }
    }

    #[test]
    fn dates() {
        for (comment, expected) in [
            (
                "# Last updated: 2026-11-20 07:05:09 UTC",
                Some("2026-11-20T07:05:09Z"),
            ),
            (
                "; Last-Modified: Fri, 20 Nov 2026 07:05:09 GMT",
                Some("2026-11-20T07:05:09Z"),
            ),
            ("; Expires: Fri, 20 Nov 2026 07:05:09 GMT", None),
            (
                "# This File Date: Fri Nov 20 07:05:09 UTC 2026",
                Some("2026-11-20T07:05:09Z"),
            ),
            (
                "# Generated 2026-11-20T08:05:09+01:00",
                Some("2026-11-20T07:05:09Z"),
            ),
            ("# generated on 2026-11-20", Some("2026-11-20T00:00:00Z")),
            ("# updated daily", None),
            ("# 2026-11-20", None),
        ] {
            let expected = expected.map(|text| DateTime::parse_from_rfc3339(text).unwrap().to_utc());
            assert_eq!(date(comment), expected, "{comment}");
        }
        let with = list(b"# Last updated: 2026-11-20 07:05:09 UTC\n1.2.3.4\n").unwrap();
        assert_eq!(with.as_of().to_rfc3339(), "2026-11-20T07:05:09+00:00");
        assert_eq!(list(b"1.2.3.4\n").unwrap().as_of(), DateTime::UNIX_EPOCH);
    }
}
