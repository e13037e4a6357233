//! Who the sides of many flow records were.
//!
//! An answer holds for a stretch of time, until somebody comes or goes: so it is looked up once for each
//! address and stretch, and remembered. Texts are compared by number.

use std::net::IpAddr;

use arrow::array::{Array, StringViewArray, TimestampMicrosecondArray};

use super::entity::{Answer, Certainty, Kind, Method, is_private};
use super::ledger::{Ledger, Sides};
use crate::intern::{Interner, NULL};

/// Different addresses after which what is remembered is forgotten: an attacker can send from any number.
const ADDRESSES_MAX: usize = 1 << 17;

/// Columns of a batch of flow records; those that a log lacks are none.
#[derive(Debug, Clone, Copy)]
pub struct FlowColumns<'a> {
    /// Start of the window.
    pub time: &'a TimestampMicrosecondArray,
    /// Interface.
    pub interface: Option<&'a StringViewArray>,
    /// Source address.
    pub source: Option<&'a StringViewArray>,
    /// Destination address.
    pub target: Option<&'a StringViewArray>,
    /// `ingress` or `egress`.
    pub direction: Option<&'a StringViewArray>,
    /// VPC of the interface.
    pub vpc: Option<&'a StringViewArray>,
    /// Task of the interface, by the record's ECS fields.
    pub task: Option<&'a StringViewArray>,
    /// Range of AWS that the source address is in.
    pub source_range: Option<&'a StringViewArray>,
    /// Range of AWS that the destination address is in.
    pub target_range: Option<&'a StringViewArray>,
}

/// Answers of one ledger that are remembered.
#[derive(Debug, Default)]
pub struct Recall {
    addresses: Column<Address>,
    interfaces: Column<Interface>,
    directions: Column<Option<bool>>,
    vpcs: Column<Option<u32>>,
    tasks: Column<Option<u32>>,
    /// Whether a range is one of AWS's own services.
    ranges: Column<bool>,
}

/// Distinct texts of a column, and what is known of each.
#[derive(Debug, Default)]
struct Column<T> {
    texts: Interner,
    known: Vec<T>,
}

impl<T> Column<T> {
    /// Numbers of the texts; those that are new are made known.
    fn codes(&mut self, array: Option<&StringViewArray>, know: impl Fn(&str) -> T) -> Codes {
        let mut codes = Vec::new();
        if let Some(array) = array {
            self.texts.push(array, &mut codes);
            for code in self.known.len()..self.texts.len() {
                self.known
                    .push(know(self.texts.text(code as u32).unwrap_or_default()));
            }
        }
        Codes(codes)
    }

    #[inline]
    fn get(&mut self, code: Option<u32>) -> Option<&mut T> {
        code.and_then(|code| self.known.get_mut(code as usize))
    }
}

/// Numbers of a column's texts; empty if there is no such column.
struct Codes(Vec<u32>);

impl Codes {
    #[inline]
    fn at(&self, row: usize) -> Option<u32> {
        self.0.get(row).copied().filter(|&code| code != NULL)
    }
}

/// An answer and from when until when it holds; the end is not included.
#[derive(Debug, Clone, Copy)]
struct Held {
    from: i64,
    to: i64,
    answer: Answer,
}

impl Held {
    #[inline]
    fn at(held: &Option<Held>, time: i64) -> Option<Answer> {
        held.filter(|held| held.from <= time && time < held.to)
            .map(|held| held.answer)
    }
}

#[derive(Debug, Default)]
struct Address {
    parsed: Option<IpAddr>,
    /// In which network it was looked for.
    scope: Option<u32>,
    held: Option<Held>,
}

#[derive(Debug, Default)]
struct Interface {
    place: Option<u32>,
    scope: Option<u32>,
    held: Option<Held>,
}

impl Recall {
    /// Who the sides of each record were; nobody for a record without time. `ledger` has to be the same at
    /// every call.
    pub fn sides(&mut self, ledger: &Ledger, columns: &FlowColumns<'_>, mut told: impl FnMut(Sides)) {
        if self.addresses.texts.len() > ADDRESSES_MAX {
            *self = Recall::default();
        }
        let address = |text: &str| Address {
            parsed: text.parse().ok(),
            scope: None,
            held: None,
        };
        let sources = self.addresses.codes(columns.source, address);
        let targets = self.addresses.codes(columns.target, address);
        let interfaces = self.interfaces.codes(columns.interface, |id| {
            let place = ledger.places.get(id).copied();
            Interface {
                place,
                scope: place.and_then(|place| ledger.interfaces[place as usize].scope),
                held: None,
            }
        });
        let directions = self.directions.codes(columns.direction, |text| match text {
            "egress" => Some(true),
            "ingress" => Some(false),
            _ => None,
        });
        let vpcs = self
            .vpcs
            .codes(columns.vpc, |vpc| ledger.scopes.get(vpc).copied());
        let tasks = self
            .tasks
            .codes(columns.task, |id| ledger.tasks.get(id).map(|task| task.entity));
        // `EC2` is any customer's address.
        let source_ranges = self.ranges.codes(columns.source_range, |range| range != "EC2");
        let target_ranges = self.ranges.codes(columns.target_range, |range| range != "EC2");
        for row in 0..columns.time.len() {
            if columns.time.is_null(row) {
                told(Sides::default());
                continue;
            }
            let time = columns.time.value(row);
            let (source, target) = (sources.at(row), targets.at(row));
            let interface = interfaces.at(row);
            let known = self.interfaces.get(interface);
            let (place, own_scope) = known.map_or((None, None), |known| (known.place, known.scope));
            let own_is_source = match self.directions.get(directions.at(row)) {
                Some(Some(is_source)) => Some(*is_source),
                _ => place.and_then(|place| {
                    let own = &ledger.interfaces[place as usize].addresses;
                    let mut has = |address: Option<u32>| {
                        let parsed = self.addresses.get(address).and_then(|known| known.parsed);
                        parsed.is_some_and(|address| own.contains(&address))
                    };
                    match (has(source), has(target)) {
                        (true, false) => Some(true),
                        (false, true) => Some(false),
                        _ => None,
                    }
                }),
            };
            let scope = self.vpcs.get(vpcs.at(row)).and_then(|scope| *scope).or(own_scope);
            let mut side = |address: Option<u32>, own: bool, range: Option<u32>| {
                let known = self.addresses.get(address)?;
                let parsed = known.parsed?;
                if own {
                    if let Some(Some(entity)) = self.tasks.get(tasks.at(row)) {
                        return Some(Answer {
                            entity: *entity,
                            certainty: Certainty::Certain,
                            method: Method::EcsFields,
                        });
                    }
                    if let Some((place, interface)) = place.zip(self.interfaces.get(interface)) {
                        return Some(Held::at(&interface.held, time).unwrap_or_else(|| {
                            let held = interface.held.insert(owner(ledger, place, time));
                            held.answer
                        }));
                    }
                }
                let remembered = Held::at(&known.held, time).filter(|_| known.scope == scope);
                let answer = remembered.unwrap_or_else(|| {
                    known.scope = scope;
                    known.held.insert(holder(ledger, parsed, scope, time)).answer
                });
                let of_aws = self.ranges.get(range).is_some_and(|of_aws| *of_aws);
                match answer.method {
                    Method::NotNamed if of_aws && !is_private(parsed) => Some(Answer {
                        entity: ledger.entities.of_kind(Kind::AwsService),
                        certainty: Certainty::Likely,
                        method: Method::AwsRange,
                    }),
                    _ => Some(answer),
                }
            };
            told(Sides {
                source: side(source, own_is_source == Some(true), source_ranges.at(row)),
                target: side(target, own_is_source == Some(false), target_ranges.at(row)),
            });
        }
    }
}

fn owner(ledger: &Ledger, place: u32, time: i64) -> Held {
    let (from, to) = ledger.stretch_of_interface(place, time);
    Held {
        from,
        to,
        answer: ledger.owner_at(place, time),
    }
}

fn holder(ledger: &Ledger, address: IpAddr, scope: Option<u32>, time: i64) -> Held {
    let (from, to) = ledger.stretch_of_address(address, time);
    Held {
        from,
        to,
        answer: ledger.address_in(address, scope, time),
    }
}
