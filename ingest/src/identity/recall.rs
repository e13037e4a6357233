//! Who the sides of many flow records were.
//!
//! An answer holds for a stretch of time, until somebody comes or goes: so it is looked up once for each
//! address and stretch, and remembered.

use std::net::IpAddr;

use arrow::array::{Array, ArrayRef, TimestampMicrosecondArray};

use super::codes::{Codes, Known, NONE};
use super::entity::{Answer, Certainty, Kind, Method, is_private};
use super::ledger::{Entities, Ledger, Sides, stranger, stretch};

/// Different addresses after which what is remembered is forgotten: an attacker can send from any number.
const ADDRESSES_MAX: usize = 1 << 17;

/// Columns of a batch of flow records; those that a log lacks are none. Texts are `Utf8View`, or dictionaries
/// with `UInt32` keys, which cost less.
#[derive(Debug, Clone, Copy)]
pub struct FlowColumns<'a> {
    /// Start of the window.
    pub time: &'a TimestampMicrosecondArray,
    /// Interface.
    pub interface: Option<&'a ArrayRef>,
    /// Source address.
    pub source: Option<&'a ArrayRef>,
    /// Destination address.
    pub target: Option<&'a ArrayRef>,
    /// `ingress` or `egress`.
    pub direction: Option<&'a ArrayRef>,
    /// VPC of the interface.
    pub vpc: Option<&'a ArrayRef>,
    /// Task of the interface, by the record's ECS fields.
    pub task: Option<&'a ArrayRef>,
    /// Range of AWS that the source address is in.
    pub source_range: Option<&'a ArrayRef>,
    /// Range of AWS that the destination address is in.
    pub target_range: Option<&'a ArrayRef>,
}

/// Answers of one ledger that are remembered.
#[derive(Debug, Default)]
pub struct Recall {
    known: Answers,
    interface: Codes,
    addresses: [Codes; 2],
    ranges: [Codes; 2],
    direction: Codes,
    vpc: Codes,
    task: Codes,
}

/// What is known of the texts of each column.
#[derive(Debug, Default)]
struct Answers {
    interfaces: Known<Interface>,
    /// Places among the holders: there are many more addresses than own ones.
    addresses: Known<u32>,
    holders: Holders,
    /// Whether a range is of AWS's own services: `EC2` is any customer's.
    ranges: Known<bool>,
    /// The side that is the interface's.
    directions: Known<Option<usize>>,
    /// Where addresses are looked for.
    vpcs: Known<Option<u32>>,
    /// Whose interfaces are, by the record's ECS fields.
    tasks: Known<Option<Answer>>,
}

#[derive(Debug, Default)]
struct Interface {
    held: Held<Answer>,
    place: Option<u32>,
    /// Where its addresses are looked for.
    scope: Option<u32>,
    /// When its owner may change.
    moments: Box<[i64]>,
}

/// Answers about addresses. First those about what is no address, and about strangers' addresses.
#[derive(Debug)]
struct Holders(Vec<Holder>);

/// Who has an address, in one line of the cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Holder {
    /// The answer, and that where the record says that the address is of AWS's own services.
    held: Held<[Answer; 2]>,
    /// Where it was looked for.
    network: Option<u32>,
    /// Whether that makes a difference.
    is_own: bool,
    /// None for strangers, who are always the same.
    named: Option<Box<Named>>,
}

/// An address that logs name.
#[derive(Debug)]
struct Named {
    address: IpAddr,
    /// When its holder may change.
    moments: Vec<i64>,
}

/// An answer and from when until when it holds; the end is not included. By default it never does.
#[derive(Debug, Clone, Copy, Default)]
struct Held<A> {
    from: i64,
    to: i64,
    answer: A,
}

impl<A> Held<A> {
    /// Whether it holds.
    #[inline]
    fn at(&self, time: i64) -> bool {
        (self.from <= time) & (time < self.to)
    }
}

/// A record: the numbers of its texts.
#[derive(Debug, Clone, Copy)]
struct Record {
    time: i64,
    interface: u32,
    addresses: [u32; 2],
    ranges: [u32; 2],
    direction: u32,
    vpc: u32,
    task: u32,
}

/// Places of the two sides of a record.
const SIDES: [usize; 2] = [SOURCE, TARGET];
const SOURCE: usize = 0;
const TARGET: usize = 1;

impl Recall {
    /// Who the sides of each record were; nobody for a record without time. `ledger` has to be the same at
    /// every call.
    pub fn sides(&mut self, ledger: &Ledger, columns: &FlowColumns<'_>, mut told: impl FnMut(Sides)) {
        if self.known.addresses.len() > ADDRESSES_MAX {
            *self = Recall::default();
        }
        let rows = columns.time.len();
        self.see(ledger, columns, rows);
        // As long as the loop is: no place has to be checked in it.
        let cut = |codes| Codes::rows(codes, rows);
        let (interfaces, directions) = (cut(&self.interface), cut(&self.direction));
        let (vpcs, tasks) = (cut(&self.vpc), cut(&self.task));
        let [sources, targets] = self.addresses.each_ref().map(cut);
        let [source_ranges, target_ranges] = self.ranges.each_ref().map(cut);
        for row in 0..rows {
            if columns.time.is_null(row) {
                told(Sides::default());
                continue;
            }
            let record = Record {
                time: columns.time.value(row),
                interface: interfaces[row],
                addresses: [sources[row], targets[row]],
                ranges: [source_ranges[row], target_ranges[row]],
                direction: directions[row],
                vpc: vpcs[row],
                task: tasks[row],
            };
            let sides = self.known.known_sides(&record);
            told(sides.unwrap_or_else(|| self.known.sides(ledger, &record)));
        }
    }

    /// Numbers the texts of a batch.
    fn see(&mut self, ledger: &Ledger, columns: &FlowColumns<'_>, rows: usize) {
        let known = &mut self.known;
        let of_interface = |id: &str| Interface::new(ledger, id);
        self.interface
            .see(columns.interface, rows, &mut known.interfaces, of_interface);
        let holders = &mut known.holders;
        let mut of_address = |text: &str| holders.place(ledger, text);
        for (codes, column) in self.addresses.iter_mut().zip([columns.source, columns.target]) {
            codes.see(column, rows, &mut known.addresses, &mut of_address);
        }
        let ranges = [columns.source_range, columns.target_range];
        for (codes, column) in self.ranges.iter_mut().zip(ranges) {
            codes.see(column, rows, &mut known.ranges, |range| range != "EC2");
        }
        let of_direction = |direction: &str| match direction {
            "egress" => Some(SOURCE),
            "ingress" => Some(TARGET),
            _ => None,
        };
        self.direction
            .see(columns.direction, rows, &mut known.directions, of_direction);
        let of_vpc = |vpc: &str| ledger.scopes.get(vpc).copied();
        self.vpc.see(columns.vpc, rows, &mut known.vpcs, of_vpc);
        let of_task = |id: &str| {
            ledger.tasks.get(id).map(|task| Answer {
                entity: task.entity,
                certainty: Certainty::Certain,
                method: Method::EcsFields,
            })
        };
        self.task.see(columns.task, rows, &mut known.tasks, of_task);
    }
}

impl Answers {
    /// The sides of a record that tells which one is the interface's, if both answers hold. Nearly all do.
    #[inline]
    fn known_sides(&self, record: &Record) -> Option<Sides> {
        let own = (*self.directions.of(record.direction))?;
        let other = 1 - own;
        let interface = self.interfaces.of(record.interface);
        let owner = match self.tasks.of(record.task) {
            Some(answer) => *answer,
            None if interface.held.at(record.time) => interface.held.answer,
            None => return None,
        };
        let holder = self.holders.of(*self.addresses.of(record.addresses[other]));
        let network = (*self.vpcs.of(record.vpc)).or(interface.scope);
        let is_elsewhere = holder.is_own & (holder.network != network);
        if is_elsewhere | !holder.held.at(record.time) | (record.addresses[own] == NONE) {
            return None;
        }
        // Which addresses are in a range is hard to foretell: a place, so that nothing waits for it.
        let in_range = *self.ranges.of(record.ranges[other]);
        let holder = holder.held.answer[usize::from(in_range)];
        Some(match own {
            SOURCE => Sides {
                source: Some(owner),
                target: Some(holder),
            },
            _ => Sides {
                source: Some(holder),
                target: Some(owner),
            },
        })
    }

    /// The sides of any record; what is looked up is remembered.
    #[cold]
    fn sides(&mut self, ledger: &Ledger, record: &Record) -> Sides {
        let told = *self.directions.of(record.direction);
        let mut sides = [None; 2];
        match told.or_else(|| self.own_side(ledger, record)) {
            Some(own) => {
                let owner = self.owner(ledger, record, own);
                sides[own] = owner.or_else(|| self.holder(ledger, record, own));
                sides[1 - own] = self.holder(ledger, record, 1 - own);
            }
            None => sides = SIDES.map(|side| self.holder(ledger, record, side)),
        }
        let [source, target] = sides;
        Sides { source, target }
    }

    /// Which side is the interface's, where the record does not tell: the one whose address it has.
    fn own_side(&self, ledger: &Ledger, record: &Record) -> Option<usize> {
        let place = self.interfaces.of(record.interface).place?;
        let own = &ledger.interfaces[place as usize].addresses;
        let has = record.addresses.map(|address| {
            let named = self.holders.of(*self.addresses.of(address)).named.as_ref();
            named.is_some_and(|named| own.contains(&named.address))
        });
        match has {
            [true, false] => Some(SOURCE),
            [false, true] => Some(TARGET),
            _ => None,
        }
    }

    /// Whose the record's interface was; nobody if no log names it, or if that side has no address.
    fn owner(&mut self, ledger: &Ledger, record: &Record, own: usize) -> Option<Answer> {
        if record.addresses[own] == NONE {
            return None;
        }
        if let Some(answer) = *self.tasks.of(record.task) {
            return Some(answer);
        }
        let interface = self.interfaces.of_mut(record.interface);
        let place = interface.place?;
        if !interface.held.at(record.time) {
            interface.held = owner(ledger, place, &interface.moments, record.time);
        }
        Some(interface.held.answer)
    }

    /// Whose the address was; nobody if there is none.
    fn holder(&mut self, ledger: &Ledger, record: &Record, side: usize) -> Option<Answer> {
        // Without a VPC it depends on the interface.
        let network = (*self.vpcs.of(record.vpc)).or(self.interfaces.of(record.interface).scope);
        let holder = self.holders.of_mut(*self.addresses.of(record.addresses[side]));
        let is_elsewhere = holder.is_own & (holder.network != network);
        if is_elsewhere | !holder.held.at(record.time) {
            holder.held = holder_of(ledger, holder.named.as_ref()?, network, record.time);
            holder.network = network;
        }
        let in_range = *self.ranges.of(record.ranges[side]);
        Some(holder.held.answer[usize::from(in_range)])
    }
}

impl Interface {
    fn new(ledger: &Ledger, id: &str) -> Self {
        let Some(&place) = ledger.places.get(id) else {
            return Interface::default();
        };
        Interface {
            held: Held::default(),
            place: Some(place),
            scope: ledger.interfaces[place as usize].scope,
            moments: ledger.moments_of_interface(place).into(),
        }
    }
}

impl Default for Holders {
    fn default() -> Self {
        let stranger = |kind| Holder {
            held: Held {
                from: i64::MIN,
                to: i64::MAX,
                answer: both(stranger(kind)),
            },
            ..Holder::default()
        };
        Holders(vec![
            Holder::default(),
            stranger(Kind::Private),
            stranger(Kind::Public),
        ])
    }
}

impl Holders {
    fn of(&self, place: u32) -> &Holder {
        &self.0[place as usize]
    }

    #[inline]
    fn of_mut(&mut self, place: u32) -> &mut Holder {
        &mut self.0[place as usize]
    }

    /// The place of an address' holder.
    fn place(&mut self, ledger: &Ledger, text: &str) -> u32 {
        match text.parse() {
            Err(_) => 0,
            Ok(address) if ledger.is_own_address(address) => {
                self.0.push(Holder {
                    // A public address is the same everywhere.
                    is_own: ledger.addresses.contains_key(&address),
                    named: Some(Box::new(Named {
                        address,
                        moments: ledger.moments_of_address(address),
                    })),
                    ..Holder::default()
                });
                self.0.len() as u32 - 1
            }
            Ok(address) => 1 + u32::from(!is_private(address)),
        }
    }
}

/// What a record that names a range of AWS's own services adds to the answer about an address.
fn in_range(answer: Answer) -> Answer {
    let is_public = answer.entity == Entities::of_kind(Kind::Public);
    match is_public && answer.method == Method::NotNamed {
        true => Answer {
            entity: Entities::of_kind(Kind::AwsService),
            certainty: Certainty::Likely,
            method: Method::AwsRange,
        },
        false => answer,
    }
}

/// An answer, and what it becomes where the record names a range of AWS's own services.
fn both(answer: Answer) -> [Answer; 2] {
    [answer, in_range(answer)]
}

fn owner(ledger: &Ledger, place: u32, moments: &[i64], time: i64) -> Held<Answer> {
    let (from, to) = stretch(moments, time);
    Held {
        from,
        to,
        answer: ledger.owner_at(place, time),
    }
}

fn holder_of(ledger: &Ledger, named: &Named, scope: Option<u32>, time: i64) -> Held<[Answer; 2]> {
    let (from, to) = stretch(&named.moments, time);
    Held {
        from,
        to,
        answer: both(ledger.address_in(named.address, scope, time)),
    }
}
