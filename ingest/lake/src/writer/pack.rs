//! Parquet's two packings of integers: runs and bits for levels and dictionary
//! numbers, differences for numbers that lie close together.
//!
//! The parquet crate keeps its own to itself, behind encoders that look every
//! value up again.

/// Bits that `value` needs.
pub(super) fn bits(value: u32) -> u8 {
    (32 - value.leading_zeros()) as u8
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends `values` in the hybrid of repeated runs and bit-packed groups, `width` bits each.
pub(super) fn runs_and_bits(values: &[u32], width: u8, out: &mut Vec<u8>) {
    let mut literal = 0;
    let mut at = 0;
    while at + 8 <= values.len() {
        let first = values[at];
        if values[at + 7] != first || values[at + 1..at + 7].iter().any(|&value| value != first) {
            at += 8;
            continue;
        }
        let run = values[at..].iter().take_while(|&&value| value == first).count();
        bit_groups(&values[literal..at], width, out);
        self::run(first, run, width, out);
        at += run;
        literal = at;
    }
    bit_groups(&values[literal..], width, out);
}

/// Appends `value`, repeated `count` times.
pub(super) fn run(value: u32, count: usize, width: u8, out: &mut Vec<u8>) {
    varint((count as u64) << 1, out);
    out.extend_from_slice(&value.to_le_bytes()[..usize::from(width.div_ceil(8))]);
}

/// Groups of eight, the last one filled up with zeros.
fn bit_groups(values: &[u32], width: u8, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(8);
    varint((groups as u64) << 1 | 1, out);
    let end = out.len() + groups * usize::from(width);
    out.reserve(groups * usize::from(width) + 8);
    match width {
        8 => out.extend(values.iter().map(|&value| value as u8)),
        16 => {
            for &value in values {
                out.extend_from_slice(&(value as u16).to_le_bytes());
            }
        }
        _ => {
            let mut pending = 0u64;
            let mut held = 0u32;
            for &value in values {
                pending |= u64::from(value) << held;
                held += u32::from(width);
                if held >= 32 {
                    out.extend_from_slice(&(pending as u32).to_le_bytes());
                    pending >>= 32;
                    held -= 32;
                }
            }
            out.extend_from_slice(&pending.to_le_bytes()[..held.div_ceil(8) as usize]);
        }
    }
    out.resize(end, 0);
}

/// Values in a block of differences, and in each of its four parts.
const BLOCK: usize = 128;
const PART: usize = 32;

/// An integer that is stored as differences, computed in its own width.
pub(super) trait Delta: Copy {
    /// `self - before`, wrapped around.
    fn minus(self, before: Self) -> i64;
    /// As it is.
    fn wide(self) -> i64;
    /// `delta - least`, in the type's own width.
    fn above(delta: i64, least: i64) -> u64;
}

impl Delta for i32 {
    fn minus(self, before: Self) -> i64 {
        i64::from(self.wrapping_sub(before))
    }
    fn wide(self) -> i64 {
        i64::from(self)
    }
    fn above(delta: i64, least: i64) -> u64 {
        u64::from((delta as i32).wrapping_sub(least as i32) as u32)
    }
}

impl Delta for i64 {
    fn minus(self, before: Self) -> i64 {
        self.wrapping_sub(before)
    }
    fn wide(self) -> i64 {
        self
    }
    fn above(delta: i64, least: i64) -> u64 {
        delta.wrapping_sub(least) as u64
    }
}

/// Appends `values` as DELTA_BINARY_PACKED.
pub(super) fn differences<T: Delta>(values: &[T], out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / PART) as u64, out);
    varint(values.len() as u64, out);
    let Some(&first) = values.first() else {
        varint(0, out);
        return;
    };
    varint(zigzag(first.wide()), out);
    let mut deltas = [0i64; BLOCK];
    let mut at = 1;
    while at < values.len() {
        let count = (values.len() - at).min(BLOCK);
        let mut least = i64::MAX;
        for (delta, pair) in deltas.iter_mut().zip(values[at - 1..at + count].windows(2)) {
            *delta = pair[1].minus(pair[0]);
            least = least.min(*delta);
        }
        varint(zigzag(least), out);
        let widths = out.len();
        out.extend_from_slice(&[0; BLOCK / PART]);
        for (number, part) in deltas[..count].chunks(PART).enumerate() {
            let mut above = [0u64; PART];
            let mut all = 0;
            for (above, &delta) in above.iter_mut().zip(part) {
                *above = T::above(delta, least);
                all |= *above;
            }
            let width = (64 - all.leading_zeros()) as u8;
            out[widths + number] = width;
            bit_part(&above, width, out);
        }
        at += count;
    }
}

fn bit_part(values: &[u64; PART], width: u8, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mut pending = 0u128;
    let mut held = 0u32;
    for &value in values {
        pending |= u128::from(value) << held;
        held += u32::from(width);
        if held >= 64 {
            out.extend_from_slice(&(pending as u64).to_le_bytes());
            pending >>= 64;
            held -= 64;
        }
    }
    // 32 values of any width end on a multiple of 32 bits.
    out.extend_from_slice(&(pending as u64).to_le_bytes()[..(held / 8) as usize]);
}
