//! One connection while it is stitched: what was added, and what that says.

use std::hash::{Hash, Hasher};

use super::address::Address;
use super::record::{Action, Direction, Record, TCP};

/// TCP flags of a flow log.
pub mod flag {
    /// FIN.
    pub const FIN: u16 = 1;
    /// SYN.
    pub const SYN: u16 = 2;
    /// RST.
    pub const RST: u16 = 4;
    /// ACK, which a flow log only has together with SYN.
    pub const ACK: u16 = 16;
}

/// Clocks of two interfaces may differ by this, in microseconds.
pub const SKEW: i64 = 10_000_000;

/// From here on ports are given to clients.
const EPHEMERAL: u16 = 32_768;

/// Ports below this are services'.
const WELL_KNOWN: u16 = 1_024;

/// The five-tuple with its ends in order, and the action: the same for both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The end that sorts first, the other end, then ports, protocol and action.
    words: [u64; 5],
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for &word in &self.words {
            state.write_u64(word);
        }
    }
}

fn words(address: &Address) -> (u64, u64) {
    let number = u128::from_be_bytes(*address);
    ((number >> 64) as u64, number as u64)
}

impl Key {
    /// The key of a record, and its way: 0 from the end that sorts first, 1 to it.
    pub fn of(record: &Record) -> (Key, usize) {
        let from = (words(&record.src), record.srcport);
        let to = (words(&record.dst), record.dstport);
        let way = usize::from(from > to);
        let (low, high) = if way == 0 { (from, to) } else { (to, from) };
        let last = u64::from(low.1)
            | u64::from(high.1) << 16
            | u64::from(record.protocol) << 32
            | (record.action as u64) << 40;
        let words = [low.0.0, low.0.1, high.0.0, high.0.1, last];
        (Key { words }, way)
    }

    /// Address of an end: 0 is the one that sorts first.
    pub fn address(&self, end: usize) -> Address {
        let (high, low) = (self.words[2 * end], self.words[2 * end + 1]);
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }

    /// Port of an end.
    pub fn port(&self, end: usize) -> u16 {
        (self.words[4] >> (16 * end)) as u16
    }

    /// IANA protocol number.
    pub fn protocol(&self) -> u8 {
        (self.words[4] >> 32) as u8
    }

    /// ACCEPT or REJECT.
    pub fn action(&self) -> Action {
        match (self.words[4] >> 40) as u8 {
            1 => Action::Accept,
            2 => Action::Reject,
            _ => Action::Unknown,
        }
    }
}

/// What one interface logged of a connection, by way.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Number of the interface.
    pub interface: u32,
    /// Number of the interface with its workload, by the latest record.
    pub who: u32,
    /// Bytes.
    pub bytes: [i64; 2],
    /// Packets.
    pub packets: [i64; 2],
    /// Records.
    pub records: [u32; 2],
    /// Last packet.
    pub end: [i64; 2],
    /// Whether the interface was seen to be at this end.
    pub is_at: [bool; 2],
}

impl Seen {
    fn new(interface: u32, who: u32) -> Self {
        Seen {
            interface,
            who,
            bytes: [0; 2],
            packets: [0; 2],
            records: [0; 2],
            end: [i64::MIN; 2],
            is_at: [false; 2],
        }
    }

    fn add(&mut self, record: &Record, way: usize) {
        self.who = record.who;
        self.bytes[way] = self.bytes[way].saturating_add(record.bytes);
        self.packets[way] = self.packets[way].saturating_add(record.packets);
        self.records[way] = self.records[way].saturating_add(1);
        self.end[way] = self.end[way].max(record.end);
        match record.direction {
            Direction::Egress => self.is_at[way] = true,
            Direction::Ingress => self.is_at[1 - way] = true,
            Direction::Unknown => {}
        }
    }
}

/// How long silence may last, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Unless one of the others holds.
    pub idle: i64,
    /// For TCP that both sides take part in.
    pub tcp_idle: i64,
    /// After an end.
    pub linger: i64,
}

/// The interfaces whose records count, by way.
pub type Counting = [Option<u32>; 2];

/// How a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It was silent for too long.
    Idle,
    /// Its ports are used anew.
    Reused,
    /// Too many were open.
    Limit,
    /// The data ends.
    DataEnds,
}

/// How it ended, in the words of the column `ending`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both sides said FIN, or the only one that was heard.
    Fin,
    /// One side broke it off.
    Rst,
    /// By silence.
    Idle,
    /// By a SYN of the next.
    Reused,
    /// It did not: too many were open.
    Limit,
    /// It did not, as far as the data goes.
    Open,
}

/// How the initiator was told, in the words of the column `initiator_by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A SYN without ACK, or its answer.
    Flags,
    /// Its port is a client's, the other a service's.
    Port,
    /// It was heard first, which is a guess.
    First,
}

/// A connection that is open.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its five-tuple.
    pub key: Key,
    /// First packet.
    pub start: i64,
    /// Last packet.
    pub end: i64,
    /// Object and line of its first record.
    pub evidence: (u32, i64),
    /// Way of its first record.
    pub first_way: usize,
    /// Flags by way; none if no record has them.
    pub flags: [Option<u16>; 2],
    /// Longest time that one record spans.
    pub longest: i64,
    /// Whether silence before it shows that it begins here.
    pub begins_after_silence: bool,
    /// Whose records count.
    pub counting: Counting,
    /// When it is looked at next, in the tracker's units.
    pub due: i64,
    /// Nearly always there is one interface, or two.
    first: Seen,
    more: Vec<Seen>,
}

impl Connection {
    /// A connection that begins with `record`. `counting` is that of its forerunner
    /// on the same five-tuple, if nothing but a SYN parts them.
    pub fn new(key: Key, way: usize, record: &Record, interface: u32, counting: Counting) -> Self {
        let mut connection = Connection {
            key,
            start: record.start,
            end: record.end,
            evidence: (record.source, record.line),
            first_way: way,
            flags: [None; 2],
            longest: 0,
            begins_after_silence: false,
            counting,
            due: i64::MAX,
            first: Seen::new(interface, record.who),
            more: Vec::new(),
        };
        connection.add(way, record, interface);
        connection
    }

    /// Adds a record that belongs to it.
    pub fn add(&mut self, way: usize, record: &Record, interface: u32) {
        self.start = self.start.min(record.start);
        self.end = self.end.max(record.end);
        self.longest = self.longest.max(record.end - record.start);
        if let Some(flags) = record.flags {
            self.flags[way] = Some(self.flags[way].unwrap_or(0) | flags);
        }
        self.counting[way].get_or_insert(interface);
        if self.first.interface == interface {
            self.first.add(record, way);
        } else if let Some(seen) = self.more.iter_mut().find(|seen| seen.interface == interface) {
            seen.add(record, way);
        } else {
            let mut seen = Seen::new(interface, record.who);
            seen.add(record, way);
            self.more.push(seen);
        }
    }

    /// All interfaces, in the order they came.
    pub fn seen(&self) -> impl Iterator<Item = &Seen> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn by(&self, interface: u32) -> Option<&Seen> {
        self.seen().find(|seen| seen.interface == interface)
    }

    /// What the interface that counts for `way` saw of it.
    pub fn counted(&self, way: usize) -> Option<&Seen> {
        self.counting[way].and_then(|interface| self.by(interface))
    }

    fn is_tcp(&self) -> bool {
        self.key.protocol() == TCP
    }

    fn has(&self, way: usize, flag: u16) -> bool {
        self.flags[way].is_some_and(|flags| flags & flag != 0)
    }

    fn is_heard(&self, way: usize) -> bool {
        self.counting[way].is_some() && self.seen().any(|seen| seen.records[way] > 0)
    }

    /// RST, or FIN from every side that was heard.
    fn ending(&self) -> Option<Ending> {
        if !self.is_tcp() {
            return None;
        }
        if self.has(0, flag::RST) || self.has(1, flag::RST) {
            return Some(Ending::Rst);
        }
        let (fins, heard) = (
            [self.has(0, flag::FIN), self.has(1, flag::FIN)],
            [self.is_heard(0), self.is_heard(1)],
        );
        let all = (0..2).all(|way| fins[way] || !heard[way]);
        (all && (fins[0] || fins[1])).then_some(Ending::Fin)
    }

    fn packets(&self, way: usize) -> i64 {
        self.seen().map(|seen| seen.packets[way]).max().unwrap_or(0)
    }

    /// Whether both sides take part, so that silence alone means little.
    fn is_established(&self) -> bool {
        let heard = self.is_heard(0) && self.is_heard(1);
        heard || self.packets(0).max(self.packets(1)) > 8
    }

    /// How much silence it is allowed.
    pub fn allowed(&self, patience: Patience) -> i64 {
        let has_flags = self.flags[0].is_some() || self.flags[1].is_some();
        if self.ending().is_some() {
            patience.linger
        } else if self.is_tcp() && has_flags && self.is_established() && self.key.action() != Action::Reject {
            patience.tcp_idle
        } else {
            patience.idle
        }
    }

    /// Whether `record` is the first of another connection on the same ports. If so,
    /// whose records count for that one.
    pub fn is_followed_by(&self, way: usize, record: &Record, interface: u32) -> Option<Counting> {
        if !self.is_tcp() || record.flags.is_none_or(|flags| flags & flag::SYN == 0) {
            return None;
        }
        let ended = [flag::FIN, flag::RST]
            .iter()
            .any(|&flag| self.has(0, flag) || self.has(1, flag));
        // A SYN that is sent again looks the same, until the other side was heard and answered.
        let established = self.has(0, flag::SYN)
            && self.has(1, flag::SYN)
            && self.packets(0).min(self.packets(1)) >= 2
            && self.packets(0).max(self.packets(1)) >= 3
            && record.start > self.end;
        if !ended && !established {
            return None;
        }
        let own = self.by(interface).map_or(i64::MIN, |seen| seen.end[way]);
        // Without a record of its own that way, this is the first of the same handshake.
        let is_later = own != i64::MIN && own < record.start;
        if self.counting[way] == Some(interface) && is_later {
            // Every record of this interface is in one of the two, so it goes on counting.
            return Some(self.counting);
        }
        // The other direction, or the other end, may just be next to log what is already there.
        let skew = if own == i64::MIN { SKEW } else { 0 };
        (record.start > self.end.saturating_add(skew)).then_some([None; 2])
    }

    /// The end that began, and how that is known.
    pub fn initiator(&self) -> (usize, Told) {
        const OPENS: u16 = flag::SYN | flag::ACK;
        let opened = |way: usize| self.flags[way].is_some_and(|flags| flags & OPENS == flag::SYN);
        let answered = |way: usize| self.flags[way].is_some_and(|flags| flags & OPENS == OPENS);
        if self.is_tcp() {
            for way in 0..2 {
                if (opened(way) && !opened(1 - way)) || (answered(1 - way) && !answered(way)) {
                    return (way, Told::Flags);
                }
            }
        }
        let ports = [self.key.port(0), self.key.port(1)];
        let is_service = |end: usize| {
            let (own, other) = (ports[end], ports[1 - end]);
            own != 0 && (own < WELL_KNOWN && other >= WELL_KNOWN || own < EPHEMERAL && other >= EPHEMERAL)
        };
        match (is_service(0), is_service(1)) {
            (true, false) => (1, Told::Port),
            (false, true) => (0, Told::Port),
            _ => (self.first_way, Told::First),
        }
    }

    /// How it ended, given how it was closed.
    pub fn ended(&self, closing: Closing) -> Ending {
        match (self.ending(), closing) {
            (Some(ending), _) => ending,
            (None, Closing::Idle) => Ending::Idle,
            (None, Closing::Reused) => Ending::Reused,
            (None, Closing::Limit) => Ending::Limit,
            (None, Closing::DataEnds) => Ending::Open,
        }
    }

    /// Whether its begin was seen.
    pub fn has_begin(&self) -> bool {
        let has_flags = self.is_tcp() && (self.flags[0].is_some() || self.flags[1].is_some());
        match has_flags {
            true => self.has(0, flag::SYN) || self.has(1, flag::SYN),
            false => self.begins_after_silence,
        }
    }
}
