//! What is remembered between two runs: how far each group is, how many events its
//! streams had, and the ids of those that may come again.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};
use trailhound_ingest::error::Error;

use crate::source::{Recent, Resume};

/// Version of the JSON.
const VERSION: u32 = 1;

/// How far all groups are, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    version: u32,
    /// By name.
    pub groups: BTreeMap<String, GroupPosition>,
}

/// How far one group is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPosition {
    /// All events before this time were handed out, milliseconds since the epoch.
    pub through_ms: i64,
    /// Look-back as it was widened, milliseconds.
    pub lookback_ms: i64,
    /// Streams by name.
    pub streams: BTreeMap<String, Counter>,
}

/// How many events a stream had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Events handed out.
    pub events: u64,
    /// When it was last seen, by the clock: milliseconds since the epoch.
    pub seen_ms: i64,
}

impl Position {
    /// As a source's position.
    pub fn to_json(&self) -> String {
        let position = Position {
            version: VERSION,
            groups: self.groups.clone(),
        };
        // Text and numbers only: there is nothing that JSON could not say.
        serde_json::to_string(&position).unwrap_or_default()
    }
}

/// Ids of events that were handed out, as hashes: there may be millions.
#[derive(Debug, Default)]
pub struct Memory {
    seeds: [RandomState; 2],
    /// Time of the event by its hash.
    seen: HashMap<u128, i64>,
    forgotten_before: i64,
}

impl Memory {
    /// Whether this event is seen for the first time. It is no more from then on.
    pub fn is_new(&mut self, id: &str, group: Option<&str>, time: i64) -> bool {
        let hash = self.hash(&event_key(id, group));
        self.seen.insert(hash, time).is_none()
    }

    /// Forgets events before `time`.
    pub fn forget_before(&mut self, time: i64) {
        if time > self.forgotten_before {
            self.forgotten_before = time;
            self.seen.retain(|_, event| *event >= time);
        }
    }

    fn hash(&self, key: &str) -> u128 {
        let [high, low] = &self.seeds;
        (u128::from(high.hash_one(key)) << 64) | u128::from(low.hash_one(key))
    }
}

/// What an event is remembered by. Ids are only known to be unique in a group.
pub fn event_key(id: &str, group: Option<&str>) -> String {
    match group {
        Some(group) => format!("{id} {group}"),
        None => id.to_owned(),
    }
}

/// What the count of a stream is remembered by until the next position.
pub fn counter_key(events: u64, group: &str, stream: &str) -> String {
    // Names of groups have no spaces; those of streams may.
    format!("#{events} {group} {stream}")
}

/// Takes up what was remembered. Counts that are newer than the position go into it.
///
/// # Errors
/// The position is not one of this kind of source.
pub fn resume(source: &str, resume: &Resume) -> Result<(Position, Memory), Error> {
    let mut position = match &resume.position {
        Some(text) => serde_json::from_str(text)
            .ok()
            .filter(|position: &Position| position.version == VERSION)
            .ok_or_else(|| {
                Error::wrong_use(format!(
                    "{source}: its saved position is not one of CloudWatch Logs: {text}"
                ))
                .with_help("it was saved by another version: use that one, or another --state")
            })?,
        None => Position::default(),
    };
    let mut memory = Memory::default();
    for recent in &resume.recent {
        let counter = recent.key.strip_prefix('#').and_then(|rest| {
            let mut parts = rest.splitn(3, ' ');
            Some((parts.next()?.parse::<u64>().ok()?, parts.next()?, parts.next()?))
        });
        let Some((events, group, stream)) = counter else {
            let hash = memory.hash(&recent.key);
            memory.seen.insert(hash, recent.time);
            continue;
        };
        // Without a position of its group it is kept until the group is taken up.
        let group = position
            .groups
            .entry(group.to_owned())
            .or_insert_with(|| GroupPosition {
                through_ms: i64::MIN,
                ..GroupPosition::default()
            });
        let counter = group.streams.entry(stream.to_owned()).or_default();
        counter.events = counter.events.max(events);
        counter.seen_ms = counter.seen_ms.max(super::now_ms());
    }
    Ok((position, memory))
}

/// What to remember of events of one stream.
pub fn recents<'a>(
    events: impl Iterator<Item = (&'a str, i64)>,
    group: &str,
    is_many: bool,
    stream: &str,
    count: u64,
) -> Vec<Recent> {
    let mut last = i64::MIN;
    let mut recents: Vec<Recent> = events
        .map(|(id, time)| {
            last = last.max(time);
            Recent {
                key: event_key(id, is_many.then_some(group)),
                time,
            }
        })
        .collect();
    recents.push(Recent {
        key: counter_key(count, group, stream),
        time: last,
    });
    recents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(key: &str, time: i64) -> Recent {
        Recent {
            key: key.to_owned(),
            time,
        }
    }

    #[test]
    fn counts_behind_the_position_are_found_again() {
        let mut position = Position::default();
        let mut group = GroupPosition {
            through_ms: 5,
            lookback_ms: 7,
            ..GroupPosition::default()
        };
        let counter = Counter {
            events: 3,
            seen_ms: 9,
        };
        group.streams.insert("a b".into(), counter);
        position.groups.insert("/g".into(), group);
        let given = Resume {
            position: Some(position.to_json()),
            recent: vec![
                recent("42", 6),
                recent(&counter_key(8, "/g", "a b"), 6),
                recent(&counter_key(5, "/g", "a b"), 6),
                recent(&counter_key(2, "/new", "s"), 6),
            ],
        };
        let (position, mut memory) = resume("cwl:///g", &given).unwrap();
        assert_eq!(position.groups["/g"].through_ms, 5);
        assert_eq!(position.groups["/g"].streams["a b"].events, 8);
        assert_eq!(position.groups["/new"].streams["s"].events, 2);
        assert!(!memory.is_new("42", None, 6));
        assert!(
            memory.is_new("42", Some("/g"), 6),
            "the same id in another group is another event"
        );
        assert!(memory.is_new("43", None, 6));
        memory.forget_before(7);
        assert!(memory.seen.is_empty());
    }

    #[test]
    fn a_foreign_position_is_refused() {
        for text in ["", "{}", r#"{"version":2,"groups":{}}"#, r#"{"key":"x"}"#] {
            let given = Resume {
                position: Some(text.to_owned()),
                recent: Vec::new(),
            };
            let error = resume("cwl://g", &given).unwrap_err();
            assert!(error.message().contains("saved position"), "{error}");
        }
    }
}
