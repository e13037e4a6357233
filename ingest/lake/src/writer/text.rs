//! A text column of a run: each distinct value once, and a number for each row.

use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, StringViewArray};
use arrow::buffer::Buffer;

/// In place of a value's number where the row has none.
pub(super) const NULL: u32 = u32::MAX;

/// Longest text that a view holds in itself.
const INLINE_MAX: u32 = 12;

/// Distinct values from which on a column must repeat itself to be worth looking values up.
const UNIQUE_AFTER: usize = 16 << 10;

/// Where a value lies in the column's bytes.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    length: u32,
}

/// Values of a text column, in the order in which they came.
#[derive(Debug)]
pub(super) struct Text {
    /// The number of each row's value, or [`NULL`].
    pub codes: Vec<u32>,
    places: Vec<Place>,
    bytes: Vec<u8>,
    /// What tells a value from others in the table: the view of a short one,
    /// length, prefix and hash of a long one. Empty once values are not looked up.
    keys: Vec<u128>,
    /// Open addressing: a value's number + 1, or 0. Empty once values are not looked up.
    slots: Vec<u32>,
    /// Log text is chosen by strangers: without a secret they could choose it to collide.
    seed: u64,
    /// Nearly every value is new: they are appended without a look.
    unique: bool,
    nulls: bool,
}

impl Text {
    /// A column of `rows` NULLs with room for `room` rows. `unique`: see [`Text::is_unique`].
    pub fn nulls(rows: usize, room: usize, unique: bool) -> Self {
        let mut codes = Vec::with_capacity(room.max(rows));
        codes.resize(rows, NULL);
        Text {
            codes,
            nulls: rows > 0,
            places: Vec::new(),
            bytes: Vec::new(),
            keys: Vec::new(),
            slots: if unique { Vec::new() } else { vec![0; 1024] },
            seed: RandomState::new().hash_one(0u64),
            unique,
        }
    }

    /// Whether the column turned out to hardly repeat a value, so that the next
    /// run need not find that out again.
    pub fn is_unique(&self) -> bool {
        self.unique
    }

    /// Whether a row has no value.
    pub fn has_nulls(&self) -> bool {
        self.nulls
    }

    /// Number of values that [`Text::codes`] refers to.
    pub fn values(&self) -> usize {
        self.places.len()
    }

    /// The value with number `code`.
    #[inline]
    pub fn value(&self, code: u32) -> &[u8] {
        let place = self.places[code as usize];
        &self.bytes[place.offset as usize..][..place.length as usize]
    }

    /// Bytes of memory.
    pub fn held(&self) -> usize {
        self.codes.len() * 4
            + self.places.len() * 16
            + self.keys.len() * 16
            + self.slots.len() * 4
            + self.bytes.len()
    }

    /// Appends NULLs.
    pub fn push_nulls(&mut self, rows: usize) {
        self.codes.resize(self.codes.len() + rows, NULL);
        self.nulls |= rows > 0;
    }

    /// Appends the values of `array`.
    pub fn push(&mut self, array: &StringViewArray) {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        self.nulls |= nulls.is_some();
        let buffers = array.data_buffers();
        // Equal views of one array are equal text: a constant column costs one look-up.
        let mut last = (0, NULL);
        let mut code_of = |this: &mut Self, view: u128| {
            if last.1 == NULL || last.0 != view {
                last = (view, this.code_of(view, buffers));
            }
            last.1
        };
        let mut codes = std::mem::take(&mut self.codes);
        match nulls {
            None => codes.extend(array.views().iter().map(|&view| code_of(self, view))),
            Some(nulls) => {
                codes.extend(array.views().iter().zip(nulls).map(|(&view, valid)| match valid {
                    true => code_of(self, view),
                    false => NULL,
                }));
            }
        }
        self.codes = codes;
        if !self.unique && self.places.len() > UNIQUE_AFTER && self.places.len() * 2 > self.codes.len() {
            self.unique = true;
            self.keys = Vec::new();
            self.slots = Vec::new();
        }
    }

    /// The number of the text that a view tells of.
    #[inline]
    fn code_of(&mut self, view: u128, buffers: &[Buffer]) -> u32 {
        let length = view as u32;
        if length <= INLINE_MAX {
            let short = view.to_le_bytes();
            return self.intern(view, &short[4..4 + length as usize]);
        }
        let buffer = &buffers[(view >> 64) as u32 as usize];
        let text = &buffer[(view >> 96) as usize..][..length as usize];
        let key = (view as u64) as u128 | (self.hash(text) as u128) << 64;
        self.intern(key, text)
    }

    /// Hash of a text longer than a view holds.
    #[inline]
    fn hash(&self, text: &[u8]) -> u64 {
        let mut hash = self.seed ^ text.len() as u64;
        let (chunks, _) = text[..text.len() - 1].as_chunks::<16>();
        for chunk in chunks {
            hash = mix(hash ^ word(chunk, 0), word(chunk, 8) ^ STIR);
        }
        // The last 16 bytes, which overlap with what was taken; or of 13 to 15, both ends.
        let end = text.len() - 8;
        mix(hash ^ word(text, end.saturating_sub(8)), word(text, end) ^ STIR)
    }

    #[inline]
    fn intern(&mut self, key: u128, text: &[u8]) -> u32 {
        if self.unique {
            return self.append(text);
        }
        let hash = mix(key as u64 ^ self.seed, (key >> 64) as u64 ^ STIR);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.slots[slot];
            if entry == 0 {
                break;
            }
            let code = entry - 1;
            if self.keys[code as usize] == key && (key as u32 <= INLINE_MAX || self.value(code) == text) {
                return code;
            }
            slot = (slot + 1) & mask;
        }
        let code = self.append(text);
        self.keys.push(key);
        self.slots[slot] = code + 1;
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        }
        code
    }

    fn append(&mut self, text: &[u8]) -> u32 {
        let code = self.places.len() as u32;
        self.places.push(Place {
            offset: self.bytes.len() as u64,
            length: text.len() as u32,
        });
        self.bytes.extend_from_slice(text);
        code
    }

    fn grow(&mut self) {
        let slots = self.slots.len() * 4;
        let mask = slots - 1;
        self.slots = vec![0; slots];
        for (code, &key) in self.keys.iter().enumerate() {
            let mut slot = mix(key as u64 ^ self.seed, (key >> 64) as u64 ^ STIR) as usize & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = code as u32 + 1;
        }
    }
}

/// An odd number without a pattern: digits of the golden ratio.
const STIR: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b | 1);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewBuilder;

    #[test]
    fn equal_texts_share_a_number_and_others_do_not() {
        let mut texts: Vec<String> = Vec::new();
        for length in 0..80 {
            for last in ["a", "b"] {
                for first in ["x", "y"] {
                    texts.push(format!("{first}{}{last}", "-".repeat(length)));
                }
            }
        }
        texts.push(String::new());
        let mut builder = StringViewBuilder::new();
        for _ in 0..3 {
            for text in &texts {
                builder.append_value(text);
            }
            builder.append_null();
        }
        let array = builder.finish();
        let mut column = Text::nulls(2, 0, false);
        for _ in 0..2 {
            column.push(&array);
        }
        assert_eq!(column.values(), texts.len());
        assert_eq!(column.codes[..2], [NULL, NULL]);
        for (row, &code) in column.codes[2..].iter().enumerate() {
            match texts.get(row % (texts.len() + 1)) {
                Some(text) => assert_eq!(column.value(code), text.as_bytes()),
                None => assert_eq!(code, NULL),
            }
        }
    }

    #[test]
    fn a_column_of_new_values_is_no_longer_looked_up() {
        let mut column = Text::nulls(0, 0, false);
        for part in 0..4 {
            let mut builder = StringViewBuilder::new();
            for row in 0..UNIQUE_AFTER / 2 {
                builder.append_value(format!("value number {part} {row}"));
            }
            column.push(&builder.finish());
        }
        assert!(column.is_unique());
        assert_eq!(column.values(), UNIQUE_AFTER * 2);
        assert_eq!(
            column.value(column.codes[UNIQUE_AFTER * 2 - 1]),
            format!("value number 3 {}", UNIQUE_AFTER / 2 - 1).as_bytes()
        );
    }
}
