//! The open connections: records in by time, closed connections out.
//!
//! Who has been silent for too long is found by a calendar: each connection
//! stands under the time at which it would be closed, rounded. When that time
//! comes it is closed or, if it was heard since, written down anew. So a record
//! costs one look-up, however many connections are open.

use std::collections::{BTreeMap, HashMap};

use super::connection::{Closing, Connection, Key, Patience};
use super::fold::Fold;
use super::record::Record;

/// Width of a day in the calendar, in microseconds.
const DAY: i64 = 16_000_000;

/// A connection that is over, and why.
#[derive(Debug, Clone)]
pub struct Closed {
    /// The connection.
    pub connection: Connection,
    /// What closed it.
    pub closing: Closing,
}

/// All open connections.
#[derive(Debug)]
pub struct Tracker {
    patience: Patience,
    slots: Vec<Option<Connection>>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32, Fold>,
    /// Slots by the day they are due. A slot that was written down anew, or given
    /// to another connection, is found here at the old place too, and passed over.
    calendar: BTreeMap<i64, Vec<u32>>,
    /// Start of the first record of all.
    first: Option<i64>,
    /// The latest time of any record.
    latest: i64,
}

impl Tracker {
    /// Bytes that one open connection takes, in all tables together.
    pub const CONNECTION_BYTES: usize = size_of::<Option<Connection>>()
        // The table of keys is filled to between 7/16 and 7/8; calendar and second interfaces.
        + 2 * (size_of::<Key>() + 8)
        + 96;

    /// None open yet.
    pub fn new(patience: Patience) -> Self {
        Tracker {
            patience,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::default(),
            calendar: BTreeMap::new(),
            first: None,
            latest: i64::MIN,
        }
    }

    /// Number of open connections.
    pub fn open(&self) -> usize {
        self.by_key.len()
    }

    /// Adds a record; none may have started after it. What that closes goes to `closed`.
    pub fn push(&mut self, record: &Record, interface: u32, closed: &mut Vec<Closed>) {
        let first = *self.first.get_or_insert(record.start);
        self.latest = self.latest.max(record.end);
        self.close_silent(record.start, closed);
        let (key, way) = Key::of(record);
        let mut counting = [None; 2];
        let mut is_next = false;
        if let Some(&slot) = self.by_key.get(&key)
            && let Some(connection) = &mut self.slots[slot as usize]
        {
            let silence = record.start - connection.end;
            let closing = if silence > connection.allowed(self.patience) {
                Some(Closing::Idle)
            } else if let Some(after) = connection.is_followed_by(way, record, interface) {
                counting = after;
                Some(Closing::Reused)
            } else {
                None
            };
            let Some(closing) = closing else {
                connection.add(way, record, interface);
                let due = day_of(connection.end.saturating_add(connection.allowed(self.patience)));
                // Later it is found to be not due yet; only earlier has to be written down.
                if due < connection.due {
                    connection.due = due;
                    self.calendar.entry(due).or_default().push(slot);
                }
                return;
            };
            is_next = true;
            self.close(slot, closing, closed);
        }
        let mut connection = Connection::new(key, way, record, interface, counting);
        connection.begins_after_silence = is_next || record.start.saturating_sub(first) > self.patience.idle;
        connection.due = day_of(connection.end.saturating_add(connection.allowed(self.patience)));
        let due = connection.due;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(connection);
                slot
            }
            None => {
                self.slots.push(Some(connection));
                (self.slots.len() - 1) as u32
            }
        };
        self.by_key.insert(key, slot);
        self.calendar.entry(due).or_default().push(slot);
    }

    /// Closes connections until at most `open_max` are left, those first that
    /// would have timed out first.
    pub fn shrink(&mut self, open_max: usize, closed: &mut Vec<Closed>) {
        while self.open() > open_max {
            let Some((day, slots)) = self.calendar.pop_first() else {
                return;
            };
            let mut slots = slots.into_iter();
            for slot in slots.by_ref() {
                if !self.is_due(slot, day) {
                    continue;
                }
                self.close(slot, Closing::Limit, closed);
                if self.open() <= open_max {
                    break;
                }
            }
            let rest: Vec<u32> = slots.collect();
            if !rest.is_empty() {
                self.calendar.entry(day).or_default().extend(rest);
            }
        }
    }

    /// Closes all that are left, at the end of the data.
    pub fn finish(&mut self, closed: &mut Vec<Closed>) {
        self.close_silent(self.latest, closed);
        for slot in std::mem::take(&mut self.slots).into_iter().flatten() {
            let silence = self.latest - slot.end;
            let closing = match silence > slot.allowed(self.patience) {
                true => Closing::Idle,
                false => Closing::DataEnds,
            };
            closed.push(Closed {
                connection: slot,
                closing,
            });
        }
        self.by_key.clear();
        self.calendar.clear();
        self.free.clear();
    }

    fn close_silent(&mut self, now: i64, closed: &mut Vec<Closed>) {
        let today = day_of(now);
        while let Some(entry) = self.calendar.first_entry() {
            if *entry.key() >= today {
                return;
            }
            let (day, slots) = entry.remove_entry();
            for slot in slots {
                if self.is_due(slot, day) {
                    self.close(slot, Closing::Idle, closed);
                }
            }
        }
    }

    /// Whether the connection in `slot` stands under `day` and is silent since. If
    /// it was heard later, it is written down anew under a day up to which it may be silent.
    fn is_due(&mut self, slot: u32, day: i64) -> bool {
        let Some(connection) = &mut self.slots[slot as usize] else {
            return false;
        };
        if connection.due != day {
            return false;
        }
        let due = day_of(connection.end.saturating_add(connection.allowed(self.patience)));
        if due > day {
            connection.due = due;
            self.calendar.entry(due).or_default().push(slot);
            return false;
        }
        true
    }

    fn close(&mut self, slot: u32, closing: Closing, closed: &mut Vec<Closed>) {
        if let Some(connection) = self.slots[slot as usize].take() {
            self.by_key.remove(&connection.key);
            self.free.push(slot);
            closed.push(Closed { connection, closing });
        }
    }
}

/// The day of the calendar that a time is in. A day is only looked at when it is over.
fn day_of(time: i64) -> i64 {
    time.div_euclid(DAY)
}
