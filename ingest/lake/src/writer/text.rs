//! A text column of a run: each distinct value once, and a number for each row.

use arrow::array::{Array, StringViewArray};
use trailhound_ingest::intern::Interner;
pub(super) use trailhound_ingest::intern::NULL;

/// Distinct values from which on a column must repeat itself to be worth looking values up.
const UNIQUE_AFTER: usize = 16 << 10;

/// Bytes of a column's texts whose room is kept for the next run.
const ROOM_BYTES_MAX: usize = 4 << 20;

/// Values of a text column, in the order in which they came.
#[derive(Debug)]
pub(super) struct Text {
    /// The number of each row's value, or [`NULL`].
    pub codes: Vec<u32>,
    texts: Interner,
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
            texts: Interner::new(unique),
        }
    }

    /// A column of no rows in the room of this one, unless that is large: it would be held while
    /// another run fills as much again.
    pub fn clear(&mut self) {
        self.codes.clear();
        match self.texts.held() > ROOM_BYTES_MAX {
            true => self.texts = Interner::new(self.texts.is_blind()),
            false => self.texts.clear(),
        }
        self.nulls = false;
    }

    /// Whether the column turned out to hardly repeat a value, so that the next
    /// run need not find that out again.
    pub fn is_unique(&self) -> bool {
        self.texts.is_blind()
    }

    /// Whether a row has no value.
    pub fn has_nulls(&self) -> bool {
        self.nulls
    }

    /// Number of values that [`Text::codes`] refers to.
    pub fn values(&self) -> usize {
        self.texts.len()
    }

    /// The value with number `code`.
    #[inline]
    pub fn value(&self, code: u32) -> &[u8] {
        self.texts.value(code)
    }

    /// Bytes of memory.
    pub fn held(&self) -> usize {
        self.codes.len() * 4 + self.texts.held()
    }

    /// Appends NULLs.
    pub fn push_nulls(&mut self, rows: usize) {
        self.codes.resize(self.codes.len() + rows, NULL);
        self.nulls |= rows > 0;
    }

    /// Appends the values of `array`.
    pub fn push(&mut self, array: &StringViewArray) {
        self.nulls |= array.null_count() > 0;
        self.texts.push(array, &mut self.codes);
        let values = self.texts.len();
        if !self.texts.is_blind() && values > UNIQUE_AFTER && values * 2 > self.codes.len() {
            self.texts.go_blind();
        }
    }
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
