//! Claims of flow records: which interface was there, with which address, and
//! whose it was by the record's own fields.
//!
//! Each record has its interface's own address on one side. With the direction
//! it is known which side; without, two records with different peers tell, since
//! only the own address is in both: the method `vpc_flow:pair`.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use arrow::array::RecordBatch;

use super::claim::{About, Claim, Field, Seen, Texts, Times};
use super::claims::Origins;
use crate::near::Near;

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

/// Second candidate of records that contradict each other.
pub(super) const NEITHER: &str = "-";

const HOUR_MICROS: i64 = 3_600_000_000;

/// Longest window that is believed: aggregation takes 10 minutes at most.
const WINDOW_MICROS_MAX: i64 = 20 * 60_000_000;

/// Records of one interface, one task, one hour and one address family.
#[derive(Debug)]
struct Group {
    parts: [Option<Box<str>>; PARTS.len()],
    hour: i64,
    v6: bool,
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
#[derive(Debug, Default)]
pub(super) struct Flows {
    groups: Vec<Group>,
    /// Hash of what mostly tells groups apart, to their places.
    places: HashMap<u64, Vec<usize>>,
    hasher: RandomState,
}

impl Flows {
    /// Adds the records of a batch.
    pub fn see(&mut self, batch: &RecordBatch) {
        let starts = Times::new(batch, "event_time");
        let ends = Times::new(batch, "end_time");
        let (sources, targets) = (Texts::new(batch, "srcaddr"), Texts::new(batch, "dstaddr"));
        let directions = Texts::new(batch, "flow_direction");
        let columns = PARTS.map(|(name, _)| Texts::new(batch, name));
        let mut origins = Origins::new(batch);
        // Columns that say nothing in this batch are the same for all of its records.
        let telling: Vec<usize> = (0..OWN).filter(|&part| columns[part].says_something()).collect();
        let mut near = Near::new();
        for row in 0..batch.num_rows() {
            let Some(start) = starts.at(row) else { continue };
            let Some(interface) = columns[0].at(row) else {
                continue;
            };
            // Windows without data are coarse, and reach beyond an interface's life.
            let Some((source, target)) = sources.at(row).zip(targets.at(row)) else {
                continue;
            };
            let own = match directions.at(row) {
                Some("egress") => Some(source),
                Some("ingress") => Some(target),
                _ => None,
            };
            // A colon is among the first five characters of every address of version 6.
            let v6 = source.as_bytes().iter().take(5).any(|byte| *byte == b':');
            let hour = start.div_euclid(HOUR_MICROS);
            let slot = Near::slot(Some(interface), hour);
            let is_near = |group: &Group| {
                group.hour == hour
                    && group.v6 == v6
                    && group.parts[OWN].as_deref() == own
                    && telling
                        .iter()
                        .all(|&part| group.parts[part].as_deref() == columns[part].at(row))
            };
            let place = match near.get(slot) {
                Some(place) if is_near(&self.groups[place]) => place,
                _ => {
                    let mut parts = columns.map(|column| column.at(row));
                    parts[OWN] = own;
                    self.place(hour, v6, &parts, || origins.seen(row, start, start))
                }
            };
            near.set(slot, place);
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

    fn is(&self, place: usize, hour: i64, v6: bool, parts: &[Option<&str>; PARTS.len()]) -> bool {
        let group = &self.groups[place];
        group.hour == hour
            && group.v6 == v6
            && group
                .parts
                .iter()
                .zip(parts)
                .all(|(mine, other)| mine.as_deref() == *other)
    }

    fn place(
        &mut self,
        hour: i64,
        v6: bool,
        parts: &[Option<&str>; PARTS.len()],
        seen: impl FnOnce() -> Seen,
    ) -> usize {
        let hash = self.hasher.hash_one((hour, v6, parts[0], parts[1]));
        if let Some(places) = self.places.get(&hash)
            && let Some(&place) = places.iter().find(|&&place| self.is(place, hour, v6, parts))
        {
            return place;
        }
        self.groups.push(Group {
            parts: parts.map(|part| part.map(Box::from)),
            hour,
            v6,
            own: Own::Any,
            seen: seen(),
        });
        let place = self.groups.len() - 1;
        self.places.entry(hash).or_default().push(place);
        place
    }

    /// Joins what another one saw.
    pub fn join(&mut self, other: Flows) {
        for group in other.groups {
            let parts: [Option<&str>; PARTS.len()] = std::array::from_fn(|part| group.parts[part].as_deref());
            let place = self.place(group.hour, group.v6, &parts, || group.seen.clone());
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
            for ((_, field), part) in PARTS.iter().zip(&group.parts) {
                claim = claim.with(*field, part.as_deref());
            }
            claim = match &group.own {
                Own::Any => claim,
                Own::One(first, second) => claim
                    .with(Field::Address, Some(first))
                    .with(Field::OtherAddress, second.as_deref()),
                Own::None => claim.with(Field::OtherAddress, Some(NEITHER)),
            };
            (claim, group.seen.clone())
        })
    }
}
