//! The values of a column in the encodings of Parquet that are used here.

use std::borrow::Cow;
use std::ops::Range;

use parquet::basic::Encoding;

use super::pack::{Delta, bits, differences, runs_and_bits};
use super::text::Text;

/// Values of one column, without the NULLs, in one encoding.
pub(super) trait Values {
    /// How many.
    fn len(&self) -> usize;
    /// Their encoding.
    fn encoding(&self) -> Encoding;
    /// Appends some of them, encoded.
    fn encode(&self, range: Range<usize>, out: &mut Vec<u8>);
    /// Least and most of some of them as Parquet writes values; none if there are none, or if they say nothing.
    fn bounds(&self, range: Range<usize>) -> Option<(Vec<u8>, Vec<u8>)>;
    /// Whether `a` is not above `b`, both as bounds are.
    fn ordered(&self, a: &[u8], b: &[u8]) -> bool;
    /// The dictionary page, and how many values are in it.
    fn dictionary(&self) -> Option<(&[u8], usize)> {
        None
    }
    /// Bytes of some of them, if they can be long.
    fn plain_bytes(&self, _range: Range<usize>) -> usize {
        0
    }
}

/// A number of a fixed width.
pub(super) trait Number: Copy + Ord {
    /// Widened.
    fn wide(self) -> i64;
    /// Narrowed again.
    fn narrow(wide: i64) -> Self;
    /// As Parquet writes it.
    fn bytes(self) -> Vec<u8>;
}

impl Number for i32 {
    fn wide(self) -> i64 {
        i64::from(self)
    }
    fn narrow(wide: i64) -> Self {
        wide as i32
    }
    fn bytes(self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
}

impl Number for i64 {
    fn wide(self) -> i64 {
        self
    }
    fn narrow(wide: i64) -> Self {
        wide
    }
    fn bytes(self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
}

/// Whether number `a` is not above number `b`, as bytes of either width.
fn number_ordered(a: &[u8], b: &[u8]) -> bool {
    let wide = |bytes: &[u8]| match bytes.len() {
        4 => i64::from(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
        8 => {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            i64::from_le_bytes(word)
        }
        _ => 0,
    };
    wide(a) <= wide(b)
}

/// Places in a sorted dictionary.
pub(super) struct Numbered<'a> {
    places: Cow<'a, [u32]>,
    width: u8,
    /// The dictionary page.
    page: Cow<'a, [u8]>,
    /// Where in the page each value starts, and where the last one ends.
    starts: Cow<'a, [u32]>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Number,
    Text,
    /// Text whose least and most say nothing.
    LongText,
}

impl<'a> Numbered<'a> {
    /// `places` in `dictionary`, which ascends.
    pub fn numbers<T: Number>(places: Vec<u32>, dictionary: &[T]) -> Self {
        let page: Vec<u8> = dictionary.iter().flat_map(|value| value.bytes()).collect();
        let starts = (0..=dictionary.len())
            .map(|number| (number * size_of::<T>()) as u32)
            .collect();
        Numbered::new(places, page, starts, Kind::Number)
    }

    /// `places` in `dictionary`, which ascends; `bounded`: its least and most are worth telling.
    pub fn texts<'t>(places: Vec<u32>, dictionary: impl Iterator<Item = &'t [u8]>, bounded: bool) -> Self {
        let mut page = Vec::new();
        let mut starts = vec![0];
        for value in dictionary {
            page.extend_from_slice(&(value.len() as u32).to_le_bytes());
            page.extend_from_slice(value);
            starts.push(page.len() as u32);
        }
        let kind = if bounded { Kind::Text } else { Kind::LongText };
        Numbered::new(places, page, starts, kind)
    }

    fn new(places: Vec<u32>, page: Vec<u8>, starts: Vec<u32>, kind: Kind) -> Self {
        Numbered {
            width: bits((starts.len() as u32).saturating_sub(2)),
            places: places.into(),
            page: page.into(),
            starts: starts.into(),
            kind,
        }
    }

    /// The same with places of whole bytes: larger, but what repeats shows to a compressor.
    pub fn in_whole_bytes(&'a self) -> Numbered<'a> {
        Numbered {
            width: self.width.next_multiple_of(8),
            places: Cow::Borrowed(&self.places),
            page: Cow::Borrowed(&self.page),
            starts: Cow::Borrowed(&self.starts),
            kind: self.kind,
        }
    }

    fn value(&self, place: u32) -> Vec<u8> {
        let length = if self.kind == Kind::Number { 0 } else { 4 };
        let start = self.starts[place as usize] as usize + length;
        self.page[start..self.starts[place as usize + 1] as usize].to_vec()
    }
}

impl Values for Numbered<'_> {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn encoding(&self) -> Encoding {
        Encoding::RLE_DICTIONARY
    }

    fn encode(&self, range: Range<usize>, out: &mut Vec<u8>) {
        out.push(self.width);
        runs_and_bits(&self.places[range], self.width, out);
    }

    fn bounds(&self, range: Range<usize>) -> Option<(Vec<u8>, Vec<u8>)> {
        if self.kind == Kind::LongText {
            return None;
        }
        let places = &self.places[range];
        let least = places.iter().copied().min()?;
        let most = places.iter().copied().max()?;
        Some((self.value(least), self.value(most)))
    }

    fn ordered(&self, a: &[u8], b: &[u8]) -> bool {
        match self.kind {
            Kind::Number => number_ordered(a, b),
            _ => a <= b,
        }
    }

    fn dictionary(&self) -> Option<(&[u8], usize)> {
        Some((&self.page, self.starts.len() - 1))
    }
}

/// Numbers as differences from one to the next.
pub(super) struct Deltas<T>(pub Vec<T>);

impl<T: Number + Delta> Values for Deltas<T> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn encoding(&self) -> Encoding {
        Encoding::DELTA_BINARY_PACKED
    }

    fn encode(&self, range: Range<usize>, out: &mut Vec<u8>) {
        differences(&self.0[range], out);
    }

    fn bounds(&self, range: Range<usize>) -> Option<(Vec<u8>, Vec<u8>)> {
        let values = &self.0[range];
        let (mut least, mut most) = (*values.first()?, *values.first()?);
        for &value in values {
            least = least.min(value);
            most = most.max(value);
        }
        Some((least.bytes(), most.bytes()))
    }

    fn ordered(&self, a: &[u8], b: &[u8]) -> bool {
        number_ordered(a, b)
    }
}

/// Floating-point numbers as they are.
pub(super) struct Doubles(pub Vec<f64>);

impl Values for Doubles {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn encoding(&self) -> Encoding {
        Encoding::PLAIN
    }

    fn encode(&self, range: Range<usize>, out: &mut Vec<u8>) {
        out.extend(self.0[range].iter().flat_map(|value| value.to_le_bytes()));
    }

    /// None if there is one that is not a number. Zero has two signs: the bounds take in both.
    fn bounds(&self, range: Range<usize>) -> Option<(Vec<u8>, Vec<u8>)> {
        let values = &self.0[range];
        if values.is_empty() || values.iter().any(|value| value.is_nan()) {
            return None;
        }
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = if least == 0.0 { -0.0 } else { least };
        let most = if most == 0.0 { 0.0 } else { most };
        Some((least.to_le_bytes().to_vec(), most.to_le_bytes().to_vec()))
    }

    fn ordered(&self, a: &[u8], b: &[u8]) -> bool {
        let wide = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().unwrap_or_default());
        wide(a).total_cmp(&wide(b)).is_le()
    }
}

/// True and false, a bit each.
pub(super) struct Bools(pub Vec<bool>);

impl Values for Bools {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn encoding(&self) -> Encoding {
        Encoding::PLAIN
    }

    fn encode(&self, range: Range<usize>, out: &mut Vec<u8>) {
        for bits in self.0[range].chunks(8) {
            out.push(
                (0..)
                    .zip(bits)
                    .fold(0, |byte, (at, &bit)| byte | u8::from(bit) << at),
            );
        }
    }

    fn bounds(&self, range: Range<usize>) -> Option<(Vec<u8>, Vec<u8>)> {
        let values = &self.0[range];
        let least = values.iter().copied().min()?;
        let most = values.iter().copied().max()?;
        Some((vec![u8::from(least)], vec![u8::from(most)]))
    }

    fn ordered(&self, a: &[u8], b: &[u8]) -> bool {
        a <= b
    }
}

/// Texts one after the other, for columns that hardly repeat one.
pub(super) struct PlainTexts<'a> {
    pub text: &'a Text,
    /// The run's numbers of the values.
    pub codes: Vec<u32>,
    /// Whether least and most are worth telling.
    pub bounded: bool,
}

impl Values for PlainTexts<'_> {
    fn len(&self) -> usize {
        self.codes.len()
    }

    fn encoding(&self) -> Encoding {
        Encoding::PLAIN
    }

    fn encode(&self, range: Range<usize>, out: &mut Vec<u8>) {
        for &code in &self.codes[range] {
            let value = self.text.value(code);
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(value);
        }
    }

    fn bounds(&self, range: Range<usize>) -> Option<(Vec<u8>, Vec<u8>)> {
        if !self.bounded {
            return None;
        }
        let values = || {
            self.codes[range.clone()]
                .iter()
                .map(|&code| self.text.value(code))
        };
        Some((values().min()?.to_vec(), values().max()?.to_vec()))
    }

    fn ordered(&self, a: &[u8], b: &[u8]) -> bool {
        a <= b
    }

    fn plain_bytes(&self, range: Range<usize>) -> usize {
        self.codes[range]
            .iter()
            .map(|&code| self.text.value(code).len() + 4)
            .sum()
    }
}
