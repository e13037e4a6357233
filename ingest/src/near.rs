//! Where a key that was seen a moment ago has its place.
//!
//! Log records of one interface come again and again, though rarely next to each other. A slot that is
//! told by a few bytes of the key, and a comparison, answer most look-ups without hashing whole keys.

/// Keys that can be told apart; a collision only costs a look-up.
const SLOTS: usize = 1024;

const EMPTY: u32 = u32::MAX;

/// A small memory of places, by slot.
#[derive(Debug)]
pub(crate) struct Near {
    places: Vec<u32>,
}

impl Near {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Near {
            places: vec![EMPTY; SLOTS],
        }
    }

    /// The slot of a key: what tells it apart mostly stands at its end.
    #[inline]
    pub fn slot(text: Option<&str>, salt: i64) -> usize {
        let bytes = text.unwrap_or_default().as_bytes();
        let word = match bytes.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last),
            None => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        let stirred = (word ^ (salt as u64).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (stirred >> (64 - SLOTS.trailing_zeros())) as usize
    }

    /// The place that was remembered there; somebody else's, if keys collide.
    #[inline]
    pub fn get(&self, slot: usize) -> Option<usize> {
        let place = self.places[slot];
        (place != EMPTY).then_some(place as usize)
    }

    /// Remembers a place.
    #[inline]
    pub fn set(&mut self, slot: usize, place: usize) {
        self.places[slot] = u32::try_from(place).unwrap_or(EMPTY);
    }
}
