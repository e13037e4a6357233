//! Who the sides of many flow records were.
//!
//! An answer holds for a stretch of time, until somebody comes or goes: so it is looked up once for each
//! address and stretch, and remembered. Texts are compared by number, or by view where one batch is enough.

use std::net::IpAddr;

use arrow::array::{Array, StringViewArray, TimestampMicrosecondArray};
use arrow::buffer::NullBuffer;

use super::entity::{Answer, Certainty, Kind, Method, is_private};
use super::ledger::{Ledger, Sides};
use super::memo::{Held, Memo, Question};
use crate::intern::{Interner, exact_key};

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
    vpcs: Column<Option<u32>>,
    tasks: Column<Option<u32>>,
    /// Whose interfaces are, by interface and task, and whose addresses are, by address and network.
    memo: Memo,
    /// Number of the batch, from 1.
    batch: u64,
}

/// Distinct texts of a column, and what is known of each.
#[derive(Debug)]
struct Column<T> {
    texts: Interner,
    known: Vec<T>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Column {
            texts: Interner::default(),
            known: Vec::new(),
        }
    }
}

impl<T> Column<T> {
    /// What is known of a row's text; what is new is made known.
    fn get(&mut self, column: Texts<'_>, row: usize, know: impl FnOnce(&str) -> T) -> Option<&mut T> {
        let array = column.array?;
        let code = self.texts.code_at(array, row) as usize;
        if code == self.known.len() {
            self.known.push(know(array.value(row)));
        }
        // No text has the greatest number.
        self.known.get_mut(code)
    }
}

#[derive(Debug)]
struct Address {
    held: Held,
    /// Where it was looked for.
    network: Option<u32>,
    parsed: Option<IpAddr>,
}

impl Address {
    fn new(text: &str) -> Self {
        Address {
            held: Held::default(),
            network: None,
            parsed: text.parse().ok(),
        }
    }
}

#[derive(Debug)]
struct Interface {
    place: Option<u32>,
    scope: Option<u32>,
    held: Held,
}

impl Interface {
    fn new(ledger: &Ledger, id: &str) -> Self {
        let place = ledger.places.get(id).copied();
        Interface {
            place,
            scope: place.and_then(|place| ledger.interfaces[place as usize].scope),
            held: Held::default(),
        }
    }
}

/// A column of texts.
#[derive(Clone, Copy)]
struct Texts<'a> {
    /// None if no row has a text.
    array: Option<&'a StringViewArray>,
    views: &'a [u128],
    nulls: Option<&'a NullBuffer>,
}

/// The view of no text: no length is as great.
const NO_TEXT: u128 = u128::MAX;

impl<'a> Texts<'a> {
    fn new(column: Option<&'a StringViewArray>) -> Self {
        let array = column.filter(|column| column.null_count() < column.len());
        Texts {
            array,
            views: array.map_or(&[], |array| array.views()),
            nulls: array.and_then(|array| array.nulls()),
        }
    }

    /// What stands for the text in a row: in one column, equal views are equal text.
    #[inline]
    fn view(&self, row: usize) -> u128 {
        let Some(view) = self.views.get(row) else {
            return NO_TEXT;
        };
        match self.nulls {
            None => *view,
            // Without a branch: which rows have a text is hard to foretell.
            Some(nulls) => view | u128::from(nulls.is_valid(row)).wrapping_sub(1),
        }
    }

    /// What tells the text of a view from all others, whatever batch they are of, if it is short.
    #[inline]
    fn exact(&self, view: u128) -> Option<u128> {
        exact_key(view, self.array?.data_buffers())
    }

    fn at(&self, row: usize) -> Option<&'a str> {
        let array = self.array?;
        array.is_valid(row).then(|| array.value(row))
    }
}

/// Where a view's text lies: what tells views of long texts apart. None for others.
#[inline]
fn place(view: u128) -> Option<u64> {
    let (length, buffer, offset) = (view as u32, (view >> 64) as u32, (view >> 96) as u64);
    if view == NO_TEXT {
        return Some(u64::MAX);
    }
    let fits = (13..u32::from(u16::MAX)).contains(&length) && buffer < u32::from(u16::MAX);
    fits.then(|| offset << 32 | u64::from(buffer) << 16 | u64::from(length))
}

/// The columns of a batch; source and target in this order.
struct Columns<'a> {
    time: &'a TimestampMicrosecondArray,
    interface: Texts<'a>,
    addresses: [Texts<'a>; 2],
    ranges: [Texts<'a>; 2],
    direction: Texts<'a>,
    vpc: Texts<'a>,
    task: Texts<'a>,
}

impl<'a> Columns<'a> {
    fn new(columns: &FlowColumns<'a>) -> Self {
        Columns {
            time: columns.time,
            interface: Texts::new(columns.interface),
            addresses: [columns.source, columns.target].map(Texts::new),
            ranges: [columns.source_range, columns.target_range].map(Texts::new),
            direction: Texts::new(columns.direction),
            vpc: Texts::new(columns.vpc),
            task: Texts::new(columns.task),
        }
    }
}

/// A row of a batch.
#[derive(Clone, Copy)]
struct Record<'a> {
    columns: &'a Columns<'a>,
    row: usize,
    time: i64,
    /// That of its VPC, where addresses are looked for; else it is that of its interface.
    network: Option<u32>,
}

/// Places of the two sides of a record.
const SIDES: [usize; 2] = [SOURCE, TARGET];
const SOURCE: usize = 0;
const TARGET: usize = 1;

/// In place of a side: the column of interfaces.
const INTERFACE: usize = 2;

/// Views of the two directions.
const EGRESS: u128 = short_view(b"egress");
const INGRESS: u128 = short_view(b"ingress");

/// The view of a text that it holds in itself: its length, then its bytes.
const fn short_view(text: &[u8]) -> u128 {
    let mut view = text.len() as u128;
    let mut place = 0;
    while place < text.len() {
        view |= (text[place] as u128) << (32 + 8 * place);
        place += 1;
    }
    view
}

impl Recall {
    /// Who the sides of each record were; nobody for a record without time. `ledger` has to be the same at
    /// every call.
    pub fn sides(&mut self, ledger: &Ledger, columns: &FlowColumns<'_>, mut told: impl FnMut(Sides)) {
        if self.addresses.texts.len() > ADDRESSES_MAX {
            *self = Recall::default();
        }
        self.batch += 1;
        let columns = Columns::new(columns);
        let mut vpc = (NO_TEXT, None);
        for row in 0..columns.time.len() {
            if columns.time.is_null(row) {
                told(Sides::default());
                continue;
            }
            if columns.vpc.view(row) != vpc.0 {
                vpc = (columns.vpc.view(row), self.network(ledger, &columns, row));
            }
            let record = Record {
                columns: &columns,
                row,
                time: columns.time.value(row),
                network: vpc.1,
            };
            let direction = columns.direction.view(row);
            // Which of the two it is cannot be foretold: a number, so that nothing waits for it.
            let own = match direction == EGRESS || direction == INGRESS {
                true => Some(usize::from(direction == INGRESS)),
                false => self.own_side(ledger, record),
            };
            let mut sides = [None; 2];
            match own {
                Some(own) => {
                    let owner = self.owner(ledger, record, own);
                    sides[own] = owner.or_else(|| self.holder(ledger, record, own));
                    sides[1 - own] = self.holder(ledger, record, 1 - own);
                }
                None => sides = SIDES.map(|side| self.holder(ledger, record, side)),
            }
            let [source, target] = sides;
            told(Sides { source, target });
        }
    }

    /// The number of one of these columns in this batch.
    #[inline]
    fn views_of(&self, column: usize) -> u64 {
        3 * self.batch + column as u64
    }

    /// Whose the record's interface was. Its own address is not in question.
    #[inline]
    fn whose_interface(&self, record: Record<'_>) -> Question {
        let Record { columns, row, .. } = record;
        match place(columns.task.view(row)) {
            Some(task) => Question {
                text: columns.interface.view(row),
                other: task,
                views_of: self.views_of(INTERFACE),
            },
            None => Question::NOTHING,
        }
    }

    /// Whose the address on a side was. Without a VPC it depends on the interface as well.
    #[inline]
    fn whose_address(&self, record: Record<'_>, side: usize) -> Question {
        let Record { columns, row, .. } = record;
        let view = columns.addresses[side].view(row);
        let Some(network) = record.network.filter(|_| view != NO_TEXT) else {
            return Question::NOTHING;
        };
        let exact = columns.addresses[side].exact(view);
        Question {
            text: exact.unwrap_or(view),
            other: u64::from(network),
            views_of: exact.map_or(self.views_of(side), |_| 0),
        }
    }

    /// Which side is the interface's, where the record does not tell: the one whose address it has.
    fn own_side(&mut self, ledger: &Ledger, record: Record<'_>) -> Option<usize> {
        let interface = self.interface(ledger, record)?;
        let own = &ledger.interfaces[interface.place? as usize].addresses;
        let has = record.columns.addresses.map(|column| {
            let address = self.addresses.get(column, record.row, Address::new);
            let parsed = address.and_then(|address| address.parsed);
            parsed.is_some_and(|address| own.contains(&address))
        });
        match has {
            [true, false] => Some(SOURCE),
            [false, true] => Some(TARGET),
            _ => None,
        }
    }

    fn interface(&mut self, ledger: &Ledger, record: Record<'_>) -> Option<&mut Interface> {
        let column = record.columns.interface;
        self.interfaces
            .get(column, record.row, |id| Interface::new(ledger, id))
    }

    /// The network of a row's VPC.
    fn network(&mut self, ledger: &Ledger, columns: &Columns<'_>, row: usize) -> Option<u32> {
        let of_vpc = |vpc: &str| ledger.scopes.get(vpc).copied();
        *self.vpcs.get(columns.vpc, row, of_vpc)?
    }

    /// Whose the record's interface was; nobody if no log names it, or if that side has no address.
    #[inline]
    fn owner(&mut self, ledger: &Ledger, record: Record<'_>, own: usize) -> Option<Answer> {
        if record.columns.addresses[own].view(record.row) == NO_TEXT {
            return None;
        }
        let question = self.whose_interface(record);
        self.memo.get(&question, record.time).or_else(|| {
            let held = self.look_owner_up(ledger, record)?;
            self.memo.put(question, held);
            Some(held.answer)
        })
    }

    fn look_owner_up(&mut self, ledger: &Ledger, record: Record<'_>) -> Option<Held> {
        let task = record.columns.task;
        let of_task = |id: &str| ledger.tasks.get(id).map(|task| task.entity);
        if let Some(Some(entity)) = self.tasks.get(task, record.row, of_task) {
            return Some(Held::always(Answer {
                entity: *entity,
                certainty: Certainty::Certain,
                method: Method::EcsFields,
            }));
        }
        let interface = self.interface(ledger, record)?;
        let place = interface.place?;
        if !interface.held.at(record.time) {
            interface.held = owner(ledger, place, record.time);
        }
        Some(interface.held)
    }

    /// Whose the address was; nobody if there is none.
    #[inline]
    fn holder(&mut self, ledger: &Ledger, record: Record<'_>, side: usize) -> Option<Answer> {
        let question = self.whose_address(record, side);
        let known = self.memo.get(&question, record.time);
        let answer = known.or_else(|| {
            let held = self.look_holder_up(ledger, record, side)?;
            self.memo.put(question, held);
            Some(held.answer)
        })?;
        Some(with_range(ledger, record, side, answer))
    }

    fn look_holder_up(&mut self, ledger: &Ledger, record: Record<'_>, side: usize) -> Option<Held> {
        let network = match record.network {
            None => self.interface(ledger, record).and_then(|known| known.scope),
            known => known,
        };
        let column = record.columns.addresses[side];
        let known = self.addresses.get(column, record.row, Address::new)?;
        if known.network != network || !known.held.at(record.time) {
            known.held = holder(ledger, known.parsed?, network, record.time);
            known.network = network;
        }
        Some(known.held)
    }
}

/// The answer about an address, or what the record says of it if no log names it: `EC2` is any customer's, but
/// other ranges are AWS's own services.
#[inline]
fn with_range(ledger: &Ledger, record: Record<'_>, side: usize, answer: Answer) -> Answer {
    let Record { columns, row, .. } = record;
    if columns.ranges[side].view(row) == NO_TEXT || answer.method != Method::NotNamed {
        return answer;
    }
    let address: Option<IpAddr> = columns.addresses[side].at(row).and_then(|text| text.parse().ok());
    let is_public = address.is_some_and(|address| !is_private(address));
    match is_public && columns.ranges[side].at(row) != Some("EC2") {
        true => Answer {
            entity: ledger.entities.of_kind(Kind::AwsService),
            certainty: Certainty::Likely,
            method: Method::AwsRange,
        },
        false => answer,
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
