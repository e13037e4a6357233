//! Claims of flow records: which interface was there, with which address, and
//! whose it was by the record's own fields.
//!
//! Each record has its interface's own address on one side. With the direction
//! it is known which side; without, two records with different peers tell, since
//! only the own address is in both: the method `vpc_flow:pair`.

use ahash::HashMap;
use arrow::array::RecordBatch;

use super::claim::{About, Claim, Field, Seen, Texts, Times};
use super::claims::Origins;
use crate::intern::{Interner, NULL};

/// Text columns that a group of records shares, each with the fact that it is.
/// The last is the interface's own address, where the direction tells it.
const PARTS: [(&str, Field); 13] = [
    ("interface_id", Field::Interface),
    ("ecs_task_id", Field::Task),
    ("instance_id", Field::Instance),
    ("vpc_id", Field::Vpc),
    ("subnet_id", Field::Subnet),
    ("account_id", Field::Account),
    ("region", Field::Region),
    ("interface_type", Field::InterfaceType),
    ("ecs_cluster_name", Field::Cluster),
    ("ecs_service_name", Field::Service),
    ("ecs_task_definition_arn", Field::TaskDefinition),
    ("ecs_container_instance_arn", Field::ContainerInstance),
    ("", Field::Address),
];

const OWN: usize = PARTS.len() - 1;

/// Columns of `vpc_flow` that are looked at.
pub(super) const COLUMNS: &[&str] = &[
    "event_time",
    "end_time",
    "interface_id",
    "srcaddr",
    "dstaddr",
    "flow_direction",
    "ecs_task_id",
    "instance_id",
    "vpc_id",
    "subnet_id",
    "account_id",
    "region",
    "interface_type",
    "ecs_cluster_name",
    "ecs_service_name",
    "ecs_task_definition_arn",
    "ecs_container_instance_arn",
    "_source",
    "_line",
];

/// Method of claims whose address was found by comparing records. Such claims of
/// one interface have to agree.
pub(super) const PAIR: &str = "vpc_flow:pair";

/// Second candidate of records that contradict each other, of version 4 and of version 6.
pub(super) const NEITHER: [&str; 2] = ["-", "-v6"];

const HOUR_MICROS: i64 = 3_600_000_000;

/// Longest window that is believed: aggregation takes 10 minutes at most.
const WINDOW_MICROS_MAX: i64 = 20 * 60_000_000;

/// What the records of a group have in common: [`PARTS`] by number, hour, address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    parts: [u32; PARTS.len()],
    hour: i64,
    v6: bool,
}

/// Records of one interface, one task, one hour and one address family.
#[derive(Debug)]
struct Group {
    key: Key,
    own: Own,
    seen: Seen,
}

/// Which addresses can be the interface's own, where the direction does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Own {
    /// No record had addresses.
    Any,
    /// One of these; the second is None once it is known.
    One(Box<str>, Option<Box<str>>),
    /// Records contradict each other.
    None,
}

impl Own {
    /// Keeps what `others` allows as well.
    fn meet(&mut self, others: (&str, Option<&str>)) {
        let allowed = |address: &str| address == others.0 || Some(address) == others.1;
        match self {
            Own::Any => {
                let second = others.1.filter(|second| *second != others.0);
                // In order, so that a pair is the same whichever side came first.
                let (low, high) = match second {
                    Some(second) if second < others.0 => (second, Some(others.0)),
                    second => (others.0, second),
                };
                *self = Own::One(low.into(), high.map(Box::from));
            }
            Own::One(first, second) => {
                let keeps_second = second.as_deref().is_some_and(allowed);
                match (allowed(first), keeps_second) {
                    (true, true) => {}
                    (true, false) => *second = None,
                    (false, true) => *self = Own::One(second.take().unwrap_or_default(), None),
                    (false, false) => *self = Own::None,
                }
            }
            Own::None => {}
        }
    }
}

/// The flow records seen so far, in groups.
#[derive(Debug)]
pub(super) struct Flows {
    texts: [Interner; PARTS.len()],
    groups: Vec<Group>,
    places: HashMap<Key, usize>,
    /// The place that each interface's latest record had, by the number of its text.
    near: Vec<usize>,
}

impl Default for Flows {
    fn default() -> Self {
        Flows {
            texts: std::array::from_fn(|_| Interner::default()),
            groups: Vec::new(),
            places: HashMap::default(),
            near: Vec::new(),
        }
    }
}

impl Flows {
    /// Adds the records of a batch.
    pub fn see(&mut self, batch: &RecordBatch) {
        let starts = Times::new(batch, "event_time");
        let ends = Times::new(batch, "end_time");
        let (sources, targets) = (Texts::new(batch, "srcaddr"), Texts::new(batch, "dstaddr"));
        let directions = Texts::new(batch, "flow_direction");
        let mut codes: [Vec<u32>; OWN] = std::array::from_fn(|_| Vec::new());
        for (part, codes) in codes.iter_mut().enumerate() {
            if let Some(column) = Texts::new(batch, PARTS[part].0).column() {
                self.texts[part].push(column, codes);
            }
        }
        let mut origins = Origins::new(batch);
        for row in 0..batch.num_rows() {
            let Some(start) = starts.at(row) else { continue };
            let mut parts = [NULL; PARTS.len()];
            for (part, codes) in parts.iter_mut().zip(&codes) {
                *part = codes.get(row).copied().unwrap_or(NULL);
            }
            if parts[0] == NULL {
                continue;
            }
            // Windows without data are coarse, and reach beyond an interface's life.
            let Some((source, target)) = sources.at(row).zip(targets.at(row)) else {
                continue;
            };
            // A colon is among the first five characters of every address of version 6.
            let v6 = source.as_bytes().iter().take(5).any(|byte| *byte == b':');
            let hour = start.div_euclid(HOUR_MICROS);
            let own = match directions.at(row) {
                Some("egress") => Some(source),
                Some("ingress") => Some(target),
                _ => None,
            };
            let place = self.near(Key { parts, hour, v6 }, own, || origins.seen(row, start, start));
            let end = ends
                .at(row)
                .unwrap_or(start)
                .clamp(start, start.saturating_add(WINDOW_MICROS_MAX));
            let group = &mut self.groups[place];
            if start <= group.seen.first {
                group.seen.join(&origins.seen(row, start, end));
            }
            group.seen.last = group.seen.last.max(end);
            if own.is_none() {
                group.own.meet((source, Some(target)));
            }
        }
    }

    /// The place of a key, which mostly is that of its interface's latest record. `own` is what
    /// the key does not have yet: the number of the own address.
    fn near(&mut self, mut key: Key, own: Option<&str>, seen: impl FnOnce() -> Seen) -> usize {
        let slot = key.parts[0] as usize;
        if let Some(group) = self.near.get(slot).and_then(|&place| self.groups.get(place)) {
            key.parts[OWN] = group.key.parts[OWN];
            if group.key == key && self.texts[OWN].text(key.parts[OWN]) == own {
                return self.near[slot];
            }
        }
        key.parts[OWN] = self.texts[OWN].code(own);
        let place = self.place(key, seen);
        if self.near.len() <= slot {
            self.near.resize(slot + 1, usize::MAX);
        }
        self.near[slot] = place;
        place
    }

    fn place(&mut self, key: Key, seen: impl FnOnce() -> Seen) -> usize {
        let next = self.groups.len();
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.groups.push(Group {
                key,
                own: Own::Any,
                seen: seen(),
            });
        }
        place
    }

    /// Joins what another one saw.
    pub fn join(&mut self, other: Flows) {
        let texts: [Vec<u32>; PARTS.len()] =
            std::array::from_fn(|part| self.texts[part].adopt(&other.texts[part]));
        for group in &other.groups {
            let parts = std::array::from_fn(|part| {
                let known = texts[part].get(group.key.parts[part] as usize);
                known.copied().unwrap_or(NULL)
            });
            let place = self.place(Key { parts, ..group.key }, || group.seen.clone());
            let mine = &mut self.groups[place];
            mine.seen.join(&group.seen);
            match &group.own {
                Own::Any => {}
                Own::One(first, second) => mine.own.meet((first, second.as_deref())),
                Own::None => mine.own = Own::None,
            }
        }
    }

    /// Whether no record was seen.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// One claim a group.
    pub fn claims(&self) -> impl Iterator<Item = (Claim, Seen)> {
        self.groups.iter().map(|group| {
            let method = match group.own {
                Own::Any => "vpc_flow",
                _ => PAIR,
            };
            let mut claim = Claim::new(About::Interface, method);
            for (part, (_, field)) in PARTS.iter().enumerate() {
                claim = claim.with(*field, self.texts[part].text(group.key.parts[part]));
            }
            claim = match &group.own {
                Own::Any => claim,
                Own::One(first, second) => claim
                    .with(Field::Address, Some(first))
                    .with(Field::OtherAddress, second.as_deref()),
                Own::None => claim.with(Field::OtherAddress, Some(NEITHER[usize::from(group.key.v6)])),
            };
            (claim, group.seen.clone())
        })
    }
}
