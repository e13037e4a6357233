//! Each distinct text of a column once, under a number.
//!
//! Comparing and hashing numbers instead of texts is what makes work on every record cheap. Texts are
//! looked up by their view: a short one is told by it, of a long one it has length and prefix.

use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, StringViewArray, make_view};
use arrow::buffer::Buffer;

/// In place of a text's number where there is none.
pub const NULL: u32 = u32::MAX;

/// Longest text that a view holds in itself.
const INLINE_MAX: u32 = 12;

/// Longest text that a key holds in itself: any IPv4 address.
const EXACT_MAX: u32 = 15;

/// First byte of the key of a longer text, where those of others have their length.
const LONG: u8 = u8::MAX;

/// Where a text lies among the bytes.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    length: u32,
}

/// Distinct texts, in the order in which they came.
#[derive(Debug)]
pub struct Interner {
    places: Vec<Place>,
    bytes: Vec<u8>,
    /// What tells a text from others: length and text of a short one, prefix and hash of a long
    /// one. Empty once texts are not looked up.
    keys: Vec<u128>,
    /// Open addressing: a text's number + 1, or 0. Empty once texts are not looked up.
    slots: Vec<u32>,
    /// Log text is chosen by strangers: without a secret they could choose it to collide.
    seed: u64,
    /// Every text is taken for a new one.
    blind: bool,
}

impl Default for Interner {
    fn default() -> Self {
        Interner::new(false)
    }
}

impl Interner {
    /// No texts. A `blind` one appends without a look: for columns that hardly repeat a text.
    pub fn new(blind: bool) -> Self {
        Interner {
            places: Vec::new(),
            bytes: Vec::new(),
            keys: Vec::new(),
            slots: Vec::new(),
            seed: RandomState::new().hash_one(0u64),
            blind,
        }
    }

    /// Forgets all texts, and keeps their room for the next ones.
    pub fn clear(&mut self) {
        self.places.clear();
        self.bytes.clear();
        self.keys.clear();
        self.slots.fill(0);
    }

    /// Looks no text up any more: each is a new one from now on.
    pub fn go_blind(&mut self) {
        self.blind = true;
        self.keys = Vec::new();
        self.slots = Vec::new();
    }

    /// Whether texts are taken for new ones without a look.
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The text with number `code`.
    #[inline]
    pub fn value(&self, code: u32) -> &[u8] {
        let place = self.places[code as usize];
        &self.bytes[place.offset as usize..][..place.length as usize]
    }

    /// The text with number `code`; none for [`NULL`].
    pub fn text(&self, code: u32) -> Option<&str> {
        (code != NULL).then(|| std::str::from_utf8(self.value(code)).unwrap_or_default())
    }

    /// All texts, by their numbers.
    pub fn array(&self) -> StringViewArray {
        (0..self.len() as u32).map(|code| self.text(code)).collect()
    }

    /// Bytes of memory.
    pub fn held(&self) -> usize {
        self.places.len() * 16 + self.keys.len() * 16 + self.slots.len() * 4 + self.bytes.len()
    }

    /// Appends the number of each row's text to `codes`.
    pub fn push(&mut self, array: &StringViewArray, codes: &mut Vec<u32>) {
        let buffers = array.data_buffers();
        // Equal views of one array are equal text: a constant column costs one look-up.
        let mut last = (0, NULL);
        let mut recent = Recent::default();
        let mut code_of = |this: &mut Self, view: u128| {
            if last.1 == NULL || last.0 != view {
                last = (view, recent.code(view, || this.code_of(view, buffers)));
            }
            last.1
        };
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => codes.extend(array.views().iter().map(|&view| code_of(self, view))),
            Some(nulls) => {
                let start = codes.len();
                codes.resize(start + array.len(), NULL);
                let rows = codes[start..].iter_mut().zip(array.views()).zip(nulls);
                for ((code, &view), _) in rows.filter(|(_, valid)| *valid) {
                    *code = code_of(self, view);
                }
            }
        }
    }

    /// The number of a text.
    pub fn code(&mut self, text: Option<&str>) -> u32 {
        match text.map(str::as_bytes) {
            None => NULL,
            Some(text) => {
                let view = make_view(text, 0, 0);
                match text.len() <= INLINE_MAX as usize {
                    true => self.intern(view, text),
                    false => self.intern(self.key(view, text), text),
                }
            }
        }
    }

    /// The numbers that another one's texts have here, by their numbers there.
    pub fn adopt(&mut self, other: &Interner) -> Vec<u32> {
        (0..other.len() as u32)
            .map(|code| self.code(other.text(code)))
            .collect()
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
        self.intern(self.key(view, text), text)
    }

    /// The key of a text that its view does not hold.
    #[inline]
    fn key(&self, view: u128, text: &[u8]) -> u128 {
        if text.len() <= EXACT_MAX as usize {
            return exact(text);
        }
        let prefix = (view as u64 & !0xff) | u64::from(LONG);
        u128::from(prefix) | u128::from(self.hash(text)) << 64
    }

    /// Hash of a text longer than a key holds.
    #[inline]
    fn hash(&self, text: &[u8]) -> u64 {
        let mut hash = self.seed ^ text.len() as u64;
        let (chunks, _) = text[..text.len() - 1].as_chunks::<16>();
        for chunk in chunks {
            hash = mix(hash ^ word(chunk, 0), word(chunk, 8) ^ STIR);
        }
        // The last 16 bytes, which overlap with what was taken.
        let end = text.len() - 8;
        mix(hash ^ word(text, end - 8), word(text, end) ^ STIR)
    }

    #[inline]
    fn intern(&mut self, key: u128, text: &[u8]) -> u32 {
        if self.blind {
            return self.append(text);
        }
        if self.slots.is_empty() {
            self.slots = vec![0; 1024];
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
            if self.keys[code as usize] == key && (key as u8 != LONG || self.value(code) == text) {
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

/// The key of a text that no view holds, but a key does.
#[inline]
fn exact(text: &[u8]) -> u128 {
    let length = text.len();
    // Two words that overlap, put next to each other.
    let rest = word(text, length - 8) >> (8 * (16 - length));
    (u128::from(word(text, 0)) | u128::from(rest) << 64) << 8 | length as u128
}

/// Views of one array that came of late, and their texts' numbers: columns that were read from a dictionary
/// have the same view for the same text, however long.
struct Recent {
    entries: [(u128, u32); 1 << Recent::BITS],
    /// Hits less misses: where hardly a view comes twice, it is not worth looking.
    worth: i32,
}

impl Default for Recent {
    fn default() -> Self {
        Recent {
            entries: [(0, NULL); 1 << Recent::BITS],
            worth: 0,
        }
    }
}

impl Recent {
    const BITS: u32 = 9;

    /// Misses that outnumber the hits at which it gives up.
    const PATIENCE: i32 = 256;

    #[inline]
    fn code(&mut self, view: u128, look_up: impl FnOnce() -> u32) -> u32 {
        if self.worth < -Self::PATIENCE {
            return look_up();
        }
        let slot = (view as u64 ^ (view >> 64) as u64).wrapping_mul(STIR) >> (64 - Self::BITS);
        let entry = &mut self.entries[slot as usize];
        if entry.0 == view && entry.1 != NULL {
            self.worth += 1;
        } else {
            self.worth -= 1;
            *entry = (view, look_up());
        }
        entry.1
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

    #[test]
    fn a_text_has_one_number_however_it_comes() {
        let long = "a text that no view holds in itself";
        let array = StringViewArray::from(vec![Some("short"), None, Some(long), Some(""), Some("short")]);
        let mut texts = Interner::default();
        let mut codes = Vec::new();
        texts.push(&array, &mut codes);
        assert_eq!(codes, [0, NULL, 1, 2, 0]);
        assert_eq!(
            [texts.code(Some(long)), texts.code(Some("")), texts.code(None)],
            [1, 2, NULL]
        );
        let mut other = Interner::default();
        other.code(Some("another"));
        assert_eq!(other.adopt(&texts), [1, 2, 3]);
        assert_eq!((other.text(2), other.text(NULL)), (Some(long), None));
    }
}
