//! Attacks: one for each network detection of the catalogue, at three strengths.
//!
//! Each has a workload of its own on its day, so that an alert can be told to
//! belong to it. Attacks add connections, take records away, or both; ordinary
//! traffic stays as it is without them.

mod beacon;
mod east_west;
mod outward;
mod scan;
mod silence;

use std::collections::{BTreeSet, HashSet};
use std::net::Ipv4Addr;

use crate::flow::{Connection, Mute, Party};
use crate::network;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::truth::Attack;
use crate::workloads::{Mode, Role};

/// Entities that the truth lists of one attack at most.
const ENTITIES_MAX: usize = 60;

/// A detection's attack.
pub(crate) struct Kind {
    /// Id of the detection.
    pub rule: &'static str,
    /// How long one task should live for it, by strength.
    pub seconds: [i64; 3],
    /// Which workloads it can come from.
    pub needs: Needs,
    pub act: fn(&mut Stage<'_>),
}

/// What a workload must be like to be attacked so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Any,
    /// It handles card data.
    Cde,
    /// It does not.
    NotCde,
    /// It calls S3 on ordinary days.
    Worker,
}

/// All of them: one list a family, one file a family.
fn kinds() -> impl Iterator<Item = &'static Kind> {
    [
        outward::KINDS,
        beacon::KINDS,
        scan::KINDS,
        east_west::KINDS,
        silence::KINDS,
    ]
    .into_iter()
    .flatten()
}

/// One attack, ready to be played.
#[derive(Debug)]
pub(crate) struct Implant {
    pub truth: Attack,
    /// In the order of their start.
    pub connections: Vec<Connection>,
    /// Windows that AWS skips: interface, from, to.
    pub skips: Vec<(usize, i64, i64)>,
    pub mutes: Vec<Mute>,
    /// Addresses that a threat list knows.
    pub listed: Vec<u32>,
}

/// Where one attack is put together.
pub(crate) struct Stage<'a> {
    pub plan: &'a Plan,
    pub rng: Rng,
    pub strength: u8,
    pub workload: usize,
    /// The task that it comes from, as long as it lives.
    pub task: usize,
    /// When it begins.
    pub at: i64,
    pub connections: Vec<Connection>,
    pub skips: Vec<(usize, i64, i64)>,
    pub mutes: Vec<Mute>,
    pub listed: Vec<u32>,
    pub detail: String,
    entities: BTreeSet<String>,
}

impl<'a> Stage<'a> {
    fn new(plan: &'a Plan, rng: Rng, strength: u8, (workload, task, at): Place) -> Stage<'a> {
        let mut stage = Stage {
            plan,
            rng,
            strength,
            workload,
            task,
            at,
            connections: Vec::new(),
            skips: Vec::new(),
            mutes: Vec::new(),
            listed: Vec::new(),
            detail: String::new(),
            entities: BTreeSet::new(),
        };
        stage.entities.insert(plan.workloads[workload].name.clone());
        stage.names_task(task);
        stage
    }

    /// One of three values, by strength.
    pub fn by<T: Copy>(&self, values: [T; 3]) -> T {
        values[usize::from(self.strength) - 1]
    }

    /// A public address that nothing else in the estate talks to.
    pub fn foreign(&mut self) -> Party {
        Party::Outside(network::stranger(&mut self.rng))
    }

    /// The interface that the attack comes from at `time`: its task's, or that
    /// of the task that took its place.
    pub fn host(&mut self, time: i64) -> Option<usize> {
        let task = &self.plan.tasks[self.task];
        if task.running <= time && time < task.stopping {
            return Some(task.eni);
        }
        let next = self.plan.oldest_task(self.workload, time)?;
        self.names_task(next);
        Some(self.plan.tasks[next].eni)
    }

    /// A TCP connection from the attacked workload, or `None` while it has no task.
    pub fn open(&mut self, at: i64, seconds: i64, to: Party, port: u16) -> Option<Connection> {
        let host = self.host(at)?;
        let left = match self.plan.enis[host].owner {
            crate::plan::Owner::Task(task) => self.plan.tasks[task].stopping - at,
            _ => seconds,
        };
        Some(Connection::tcp(
            at,
            seconds.min(left),
            Party::Eni(host),
            to,
            port,
            &mut self.rng,
        ))
    }

    /// Adds a connection, and both of its ends to what an alert may name.
    pub fn add(&mut self, connection: Connection) {
        for party in [connection.from, connection.to] {
            self.names_party(party);
        }
        self.connections.push(connection);
    }

    /// Adds a TCP connection of this size from the attacked workload.
    pub fn send(&mut self, at: i64, seconds: i64, to: Party, port: u16, (up, down): (u64, u64)) {
        if let Some(connection) = self.open(at, seconds, to, port) {
            self.add(connection.sized(up, down));
        }
    }

    pub fn names_task(&mut self, task: usize) {
        let known = &self.plan.tasks[task];
        self.name(known.id.clone());
        self.names_party(Party::Eni(known.eni));
    }

    fn names_party(&mut self, party: Party) {
        match party {
            Party::Eni(eni) => {
                let eni = &self.plan.enis[eni];
                let (id, address) = (eni.id.clone(), Ipv4Addr::from(eni.address).to_string());
                let address6 = eni.address6.map(|address| address.to_string());
                if let crate::plan::Owner::Task(task) = eni.owner {
                    let task = &self.plan.tasks[task];
                    let name = self.plan.workloads[task.workload].name.clone();
                    self.name(task.id.clone());
                    self.name(name);
                }
                self.name(id);
                self.name(address);
                if let Some(address6) = address6 {
                    self.name(address6);
                }
            }
            Party::Outside(address) | Party::Vacant(address) => {
                self.name(Ipv4Addr::from(address).to_string());
            }
        }
    }

    fn name(&mut self, entity: String) {
        if self.entities.len() < ENTITIES_MAX {
            self.entities.insert(entity);
        }
    }

    fn finish(mut self, rule: &str, variant: String) -> Implant {
        self.connections.sort_by_key(|connection| connection.at);
        let ends = self.connections.iter().map(|c| (c.at, c.at + c.seconds));
        let gaps = self.mutes.iter().map(|mute| (mute.from, mute.until));
        let skipped = self.skips.iter().map(|(_, from, to)| (*from, *to));
        let spans: Vec<(i64, i64)> = ends.chain(gaps).chain(skipped).collect();
        let from = spans.iter().map(|span| span.0).min().unwrap_or(self.at);
        let to = spans.iter().map(|span| span.1).max().unwrap_or(self.at);
        Implant {
            truth: Attack {
                rule: rule.to_owned(),
                strength: self.strength,
                variant,
                from,
                to,
                workload: self.plan.workloads[self.workload].name.clone(),
                entities: self.entities.into_iter().collect(),
                detail: self.detail,
            },
            connections: self.connections,
            skips: self.skips,
            mutes: self.mutes,
            listed: self.listed,
        }
    }
}

/// All attacks that the options ask for, in the order of their start.
pub(crate) fn implants(plan: &Plan) -> Vec<Implant> {
    let options = &plan.options;
    let mut places = Places::new(plan);
    let mut all = Vec::new();
    if options.attacks {
        for strength in 1..=3 {
            if options.strength.is_some_and(|only| only != strength) {
                continue;
            }
            for (number, kind) in kinds().enumerate() {
                let salt = number as u64 * 8 + u64::from(strength);
                let mut rng = Rng::stream(options.seed, "attack", salt);
                let seconds = kind.seconds[usize::from(strength) - 1];
                let Some(place) = places.choose(kind.needs, seconds, &mut rng) else {
                    continue;
                };
                let mut stage = Stage::new(plan, rng, strength, place);
                (kind.act)(&mut stage);
                all.push(stage.finish(kind.rule, String::new()));
            }
        }
    }
    if options.beacons {
        for (number, cell) in beacon::grid().enumerate() {
            let mut rng = Rng::stream(options.seed, "beacon cell", number as u64);
            // Long enough for the slowest to be seen often.
            let Some(place) = places.choose(Needs::Any, 20 * 3600, &mut rng) else {
                continue;
            };
            let mut stage = Stage::new(plan, rng, 2, place);
            beacon::cell(&mut stage, cell);
            all.push(stage.finish("net-beacon", cell.to_string()));
        }
    }
    all.sort_by_key(|implant| implant.truth.from);
    all
}

/// Workload, task and time of an attack.
type Place = (usize, usize, i64);

/// Chooses workload, task and time so that attacks stay out of each other's way.
struct Places<'a> {
    plan: &'a Plan,
    /// Workload and day that are taken.
    used: HashSet<(usize, i64)>,
    /// Attacks that each workload has had.
    load: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(plan: &'a Plan) -> Places<'a> {
        Places {
            plan,
            used: HashSet::new(),
            load: vec![0; plan.workloads.len()],
        }
    }

    fn choose(&mut self, needs: Needs, seconds: i64, rng: &mut Rng) -> Option<Place> {
        let plan = self.plan;
        let from = plan.options.attacks_from();
        let last = plan.options.end() - seconds.min(86_400) - 3600;
        let fits = |workload: usize| {
            let known = &plan.workloads[workload];
            known.mode == Mode::Awsvpc
                && known.role != Role::Batch
                && match needs {
                    Needs::Any => true,
                    Needs::Cde => known.cde,
                    Needs::NotCde => !known.cde,
                    Needs::Worker => known.role == Role::Worker,
                }
        };
        let mut best: Option<((usize, i64), Place)> = None;
        for _ in 0..600 {
            let workload = rng.below(plan.workloads.len() as u64) as usize;
            let at = rng.range(from + 3600, last.max(from + 3601));
            if !fits(workload) {
                continue;
            }
            let Some(task) = plan.oldest_task(workload, at) else {
                continue;
            };
            let lives = (plan.tasks[task].stopping.min(plan.options.end()) - at).min(seconds);
            let day = at.div_euclid(86_400);
            let days = day..=(at + seconds.min(86_400)).div_euclid(86_400);
            let taken = days.filter(|day| self.used.contains(&(workload, *day))).count();
            let rank = (taken * 1000 + self.load[workload], -lives);
            // A task that lives long enough goes first, then a workload with few attacks.
            let rank = if lives < seconds {
                (rank.0 + 100_000, rank.1)
            } else {
                rank
            };
            if best.as_ref().is_none_or(|(known, _)| rank < *known) {
                best = Some((rank, (workload, task, at)));
            }
        }
        let (_, place) = best?;
        let (workload, _, at) = place;
        self.load[workload] += 1;
        for day in at.div_euclid(86_400)..=(at + seconds.min(86_400)).div_euclid(86_400) {
            self.used.insert((workload, day));
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_of_each() {
        let mut rules: Vec<_> = kinds().map(|kind| kind.rule).collect();
        rules.sort_unstable();
        let all = rules.len();
        rules.dedup();
        assert_eq!((all, rules.len()), (25, 25), "{rules:?}");
        assert!(rules.iter().all(|rule| rule.starts_with("net-")));
    }
}
