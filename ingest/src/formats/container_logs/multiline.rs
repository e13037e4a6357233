//! Joins events that a program wrote as lines of one, by the stream's configured pattern.
//!
//! The `awslogs` driver does this itself when it is told to. Where it was not,
//! a stack trace is as many events as it has lines, and the same setting given
//! here joins them again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use regex::Regex;

use super::stream::Origin;

/// A joined event stops growing here: where the driver cuts, too.
pub const EVENT_BYTES_MAX: usize = 262_118;

/// Streams that may have an unfinished event at the same time. Beyond it the
/// event that began first is taken for finished.
const STREAMS_MAX: usize = 4096;

/// Bytes that unfinished events may hold together; see [`STREAMS_MAX`].
const HELD_BYTES_MAX: usize = 32 << 20;

/// A pattern from the option `multiline_pattern`.
///
/// # Errors
/// It is not a regular expression.
pub fn pattern(text: &str) -> Result<Regex, String> {
    if text.is_empty() {
        return Err("it is empty; leave the option out to keep events as they are".into());
    }
    Regex::new(text).map_err(|error| error.to_string())
}

/// A pattern from the option `datetime_format`.
///
/// What is not a `%` sequence is part of the pattern as it stands, so brackets
/// and dots mean what they mean in regular expressions, as with the driver.
///
/// # Errors
/// What comes out is not a regular expression.
pub fn datetime_pattern(format: &str) -> Result<Regex, String> {
    let mut text = String::new();
    let mut chars = format.chars().peekable();
    while let Some(char) = chars.next() {
        match chars.peek() {
            Some(&sequence) if char == '%' && sequence != '\n' => {
                chars.next();
                text.push_str(sequence_pattern(sequence));
            }
            _ => text.push(char),
        }
    }
    pattern(&text)
}

/// The driver's table, with its slips: commas count as digits of days and hours,
/// no day of the year ends in 0 below 100, `%Z` does not match `UTC`, and
/// sequences that it does not know vanish. To repair them would be to split
/// other events than the driver does.
fn sequence_pattern(sequence: char) -> &'static str {
    match sequence {
        'a' => "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
        'A' => "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
        'w' => "[0-6]",
        'd' => "(?:0[1-9]|[12,][0-9]|3[01,])",
        'b' => "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
        'B' => "(?:January|February|March|April|May|June|July|August|September|October|November|December)",
        'm' => "(?:0[1-9]|1[0-2])",
        'Y' => "[0-9]{4}",
        'y' => "[0-9]{2}",
        'H' => "(?:[01,][0-9]|2[0-3])",
        'I' => "(?:0[0-9]|1[0-2])",
        'p' => "[AP,]M",
        'M' | 'S' => "[0-5][0-9]",
        'f' => "[0-9]{6}",
        'z' => "[+-][0-9]{4}",
        'Z' => "[A-Z]{1,4}T",
        'j' => "(?:0[0-9][1-9]|[12,][0-9][0-9]|3[0-5][0-9]|36[0-6])",
        'L' => r"\.[0-9]{3}",
        _ => "",
    }
}

/// An event that may still grow, or waits to become a row.
#[derive(Debug)]
pub struct Held {
    /// Number of its first event.
    pub line: u64,
    /// Time of its first event, microseconds since the epoch.
    pub time: i64,
    /// Ingestion time of its first event.
    pub ingested: Option<i64>,
    /// The messages, joined.
    pub message: String,
    /// Id of its first event.
    pub id: Option<String>,
    /// Members of its first event that have no column, as JSON.
    pub extra: Option<String>,
    /// Where it comes from.
    pub origin: Arc<Origin>,
}

/// Joins the events of each stream.
#[derive(Debug)]
pub struct Joiner {
    first_line: Regex,
    growing: HashMap<Key, Held>,
    growing_bytes: usize,
    finished: VecDeque<Held>,
}

/// Log group and stream.
type Key = (Option<String>, Option<String>);

fn key_of(origin: &Origin) -> Key {
    (origin.group.clone(), origin.stream_name().map(str::to_owned))
}

impl Joiner {
    /// Events begin where `first_line` is found in the first line of a message.
    pub fn new(first_line: Regex) -> Self {
        Joiner {
            first_line,
            growing: HashMap::new(),
            growing_bytes: 0,
            finished: VecDeque::new(),
        }
    }

    /// Takes the next event of its stream. True: it begins a row of its own.
    pub fn add(&mut self, event: Held) -> bool {
        let key = key_of(&event.origin);
        let first_line = event.message.split('\n').next().unwrap_or_default();
        let starts = self.first_line.is_match(first_line);
        if let Some(held) = self.growing.get_mut(&key)
            && !starts
            && held.message.len() + 1 + event.message.len() <= EVENT_BYTES_MAX
        {
            let before = held.message.len();
            // Some writers end each event with a line feed of its own.
            if !held.message.ends_with('\n') {
                held.message.push('\n');
            }
            held.message.push_str(&event.message);
            self.growing_bytes += held.message.len() - before;
        } else {
            self.growing_bytes += event.message.len();
            if let Some(before) = self.growing.insert(key, event) {
                self.finish(before);
            }
            self.keep_within_bounds();
            return true;
        }
        self.keep_within_bounds();
        false
    }

    fn finish(&mut self, held: Held) {
        self.growing_bytes -= held.message.len();
        self.finished.push_back(held);
    }

    fn keep_within_bounds(&mut self) {
        while self.growing.len() > STREAMS_MAX || self.growing_bytes > HELD_BYTES_MAX {
            let oldest = self
                .growing
                .values()
                .min_by_key(|held| held.line)
                .map(|held| key_of(&held.origin));
            let Some(held) = oldest.and_then(|key| self.growing.remove(&key)) else {
                return;
            };
            self.finish(held);
        }
    }

    /// Nothing follows: what was still growing is finished, in order.
    pub fn end(&mut self) {
        let mut rest: Vec<Held> = self.growing.drain().map(|(_, held)| held).collect();
        rest.sort_unstable_by_key(|held| held.line);
        self.growing_bytes = 0;
        self.finished.extend(rest);
    }

    /// The next event that is finished.
    pub fn pop(&mut self) -> Option<Held> {
        self.finished.pop_front()
    }

    /// Events that are not popped yet.
    pub fn len(&self) -> usize {
        self.growing.len() + self.finished.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::Stream;
    use super::*;

    fn event(line: u64, stream: &str, message: &str) -> Held {
        Held {
            line,
            time: line as i64,
            ingested: None,
            message: message.to_owned(),
            id: None,
            extra: None,
            origin: Arc::new(Origin {
                stream: Some(Stream::named(stream)),
                ..Origin::default()
            }),
        }
    }

    fn joined(pattern_text: &str, events: impl IntoIterator<Item = Held>) -> Vec<(u64, String)> {
        let mut joiner = Joiner::new(pattern(pattern_text).unwrap());
        let begun = events
            .into_iter()
            .map(|event| joiner.add(event))
            .filter(|&begins| begins)
            .count();
        joiner.end();
        let rows: Vec<_> = std::iter::from_fn(|| joiner.pop())
            .map(|held| (held.line, held.message))
            .collect();
        assert_eq!(begun, rows.len());
        assert_eq!(joiner.len(), 0);
        rows
    }

    #[test]
    fn lines_join_up_to_the_next_match_in_their_stream() {
        let rows = joined(
            "^[A-Z]",
            [
                event(1, "a", "  left over"),
                event(2, "a", "  and more"),
                event(3, "a", "Error"),
                event(4, "b", "Bad"),
                event(5, "a", "  at x"),
                event(6, "b", "  at y\n"),
                event(7, "b", "  at z"),
                event(8, "a", "Next\n  line"),
            ],
        );
        let expected = [
            (1, "  left over\n  and more"),
            (3, "Error\n  at x"),
            (4, "Bad\n  at y\n  at z"),
            (8, "Next\n  line"),
        ];
        assert_eq!(rows, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn the_pattern_is_looked_for_in_the_first_line_only() {
        let rows = joined("^E", [event(1, "a", "E1"), event(2, "a", " x\nE2")]);
        assert_eq!(rows, [(1, "E1\n x\nE2".to_owned())]);
    }

    #[test]
    fn an_event_stops_growing_where_the_driver_cuts() {
        let half = "x".repeat(EVENT_BYTES_MAX / 2);
        let rows = joined(
            "^E",
            [
                event(1, "a", &half),
                event(2, "a", &half[1..]),
                event(3, "a", "y"),
                event(4, "a", "z"),
            ],
        );
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].1.len(), EVENT_BYTES_MAX);
        assert_eq!(rows[1], (3, "y\nz".to_owned()));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let streams = (1..=STREAMS_MAX as u64 + 3).map(|line| event(line, &line.to_string(), "E"));
        let mut joiner = Joiner::new(pattern("^E").unwrap());
        streams.for_each(|event| assert!(joiner.add(event)));
        assert_eq!(joiner.pop().map(|held| held.line), Some(1));
        assert_eq!(joiner.growing.len(), STREAMS_MAX);

        let long = "x".repeat(EVENT_BYTES_MAX);
        let mut joiner = Joiner::new(pattern("^E").unwrap());
        for line in 1..=200 {
            joiner.add(event(line, &line.to_string(), &long));
            assert!(joiner.growing_bytes <= HELD_BYTES_MAX);
        }
        assert_eq!(joiner.len(), 200);
    }

    #[test]
    fn datetime_formats_match_as_the_driver_matches() {
        for (format, line, matches) in [
            (r"%Y-%m-%d %H:%M:%S%L", "2025-11-20 07:05:09.123 up", true),
            (r"%Y-%m-%d %H:%M:%S%L", "at 2025-11-20 07:05:09.123", true),
            (r"%Y-%m-%d %H:%M:%S%L", "2025-11-20 07:05:09,123", false),
            (r"\[%b %d, %Y %H:%M:%S\]", "[Nov 20, 2025 07:05:09] up", true),
            (r"\[%b %d, %Y %H:%M:%S\]", "Nov 20, 2025 07:05:09 up", false),
            ("%a %A", "Thu Thursday", true),
            ("^%d$", ",5", true),
            ("^%d$", "00", false),
            ("^%d$", "3,", true),
            ("^%H$", ",5", true),
            ("^%H$", "24", false),
            ("^%I %p$", "12 PM", true),
            ("^%I %p$", "12 ,M", true),
            ("^%Z$", "CEST", true),
            ("^%Z$", "UTC", false),
            ("^%z$", "+0100", true),
            ("^%z$", "+01:00", false),
            ("^%z$", "Z", false),
            ("^%j$", "019", true),
            ("^%j$", "010", false),
            ("^%j$", "366", true),
            ("^%f$", "123456", true),
            ("^%f$", "123", false),
            ("^%w%y$", "625", true),
            ("^%B$", "November", true),
            ("^x%Q%%y$", "xy", true),
            ("100%$", "100%", true),
            // A digit of another script is no digit to the driver.
            ("^%Y$", "٢٠٢٥", false),
        ] {
            let pattern = datetime_pattern(format).unwrap();
            assert_eq!(pattern.is_match(line), matches, "{format} on {line}: {pattern}");
        }
        assert!(datetime_pattern("[%Y").is_err());
        assert!(datetime_pattern("%Q").is_err());
        assert!(pattern("(").is_err());
    }
}
