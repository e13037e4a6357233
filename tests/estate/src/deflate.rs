//! gzip in this crate's own code.
//!
//! Tests run unoptimised, except for this crate: there the usual compressor
//! takes thirteen times as long as all of the generator, and to optimise it
//! means to build everything that depends on it again. This is the simplest
//! form of RFC 1951: the last place of the next eight or four bytes, and the
//! fixed codes.

const WINDOW: usize = 32_768;
const MATCH_MAX: usize = 258;
const HASH_BITS: u32 = 15;

/// gzip with no time and no name in its header, so equal text gives equal bytes.
pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = Bits {
        bytes: Vec::with_capacity(text.len() / 4 + 64),
        held: 0,
        count: 0,
    };
    // Magic, deflate, no flags, no time, fastest, Unix.
    out.bytes.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3]);
    // The last block, of fixed codes.
    out.push(0b011, 3);
    deflate(text, &mut out);
    out.end();
    out.bytes.extend_from_slice(&crc32(text).to_le_bytes());
    out.bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.bytes
}

struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        self.held |= u64::from(bits) << self.count;
        self.count += count;
        if self.count >= 32 {
            self.bytes.extend_from_slice(&(self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.count -= 32;
        }
    }

    fn end(&mut self) {
        while self.count > 0 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count = self.count.saturating_sub(8);
        }
    }
}

/// Huffman codes go in with their highest bit first, all else with the lowest.
fn reversed(code: u32, count: u32) -> u32 {
    code.reverse_bits() >> (32 - count)
}

/// The fixed code of a literal or a length.
fn symbol(value: u32) -> (u32, u32) {
    match value {
        0..=143 => (reversed(0x30 + value, 8), 8),
        144..=255 => (reversed(0x190 + value - 144, 9), 9),
        256..=279 => (reversed(value - 256, 7), 7),
        _ => (reversed(0xc0 + value - 280, 8), 8),
    }
}

fn deflate(text: &[u8], out: &mut Bits) {
    let codes: Vec<(u32, u32)> = (0..288).map(symbol).collect();
    let mut by_eight = vec![u32::MAX; 1 << HASH_BITS];
    let mut by_four = vec![u32::MAX; 1 << HASH_BITS];
    let mut at = 0;
    while at < text.len() {
        let (mut length, mut distance) = (0, 0);
        if let Some(next) = text.get(at..at + 8) {
            let next = u64::from_le_bytes([
                next[0], next[1], next[2], next[3], next[4], next[5], next[6], next[7],
            ]);
            let eight = (next.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS)) as usize;
            let four = ((next as u32).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize;
            for place in [&mut by_eight[eight], &mut by_four[four]] {
                let before = std::mem::replace(place, at as u32) as usize;
                if before < at && at - before <= WINDOW && length < 8 {
                    let found = common(&text[before..], &text[at..]);
                    if found > length {
                        (length, distance) = (found, at - before);
                    }
                }
            }
        }
        if length < 4 {
            let (code, count) = codes[usize::from(text[at])];
            out.push(code, count);
            at += 1;
        } else {
            push_match(out, &codes, length, distance);
            at += length;
        }
    }
    let (code, count) = codes[256];
    out.push(code, count);
}

fn common(before: &[u8], here: &[u8]) -> usize {
    let most = here.len().min(MATCH_MAX);
    before
        .iter()
        .zip(&here[..most])
        .take_while(|(a, b)| a == b)
        .count()
}

/// A length from 3 to 258 and a distance from 1 to 32,768: codes and extra bits.
fn push_match(out: &mut Bits, codes: &[(u32, u32)], length: usize, distance: usize) {
    let (symbol, extra, bits) = match length as u32 - 3 {
        255 => (285, 0, 0),
        short @ 0..=7 => (257 + short, 0, 0),
        long => {
            let bits = 29 - long.leading_zeros();
            (257 + 4 * bits + (long >> bits), long & ((1 << bits) - 1), bits)
        }
    };
    let (code, count) = codes[symbol as usize];
    out.push(code, count);
    out.push(extra, bits);
    let (symbol, extra, bits) = match distance as u32 - 1 {
        near @ 0..=3 => (near, 0, 0),
        far => {
            let bits = 30 - far.leading_zeros();
            (2 * bits + (far >> bits), far & ((1 << bits) - 1), bits)
        }
    };
    out.push(reversed(symbol, 5), 5);
    out.push(extra, bits);
}

fn crc32(text: &[u8]) -> u32 {
    let mut tables = [[0_u32; 256]; 4];
    for (value, entry) in (0_u32..).zip(&mut tables[0]) {
        let mut crc = value;
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        *entry = crc;
    }
    for value in 0..256 {
        for table in 1..4 {
            let before = tables[table - 1][value];
            tables[table][value] = (before >> 8) ^ tables[0][(before & 255) as usize];
        }
    }
    let mut crc = u32::MAX;
    let (fours, rest) = text.as_chunks::<4>();
    for four in fours {
        crc ^= u32::from_le_bytes(*four);
        crc = tables[3][(crc & 255) as usize]
            ^ tables[2][(crc >> 8 & 255) as usize]
            ^ tables[1][(crc >> 16 & 255) as usize]
            ^ tables[0][(crc >> 24) as usize];
    }
    for byte in rest {
        crc = (crc >> 8) ^ tables[0][((crc ^ u32::from(*byte)) & 255) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::rng::Rng;

    fn there_and_back(text: &[u8]) -> usize {
        let packed = gzip(text);
        let mut read = Vec::new();
        // It checks the checksum and the length too.
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_end(&mut read)
            .unwrap();
        assert!(read == text, "{} bytes", text.len());
        packed.len()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut rng = Rng::stream(1, "deflate", 0);
        for length in [0, 1, 3, 7, 8, 9, 100, 5000, 100_000] {
            let noise: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
            there_and_back(&noise);
            let few: Vec<u8> = (0..length).map(|_| b'0' + rng.below(3) as u8).collect();
            there_and_back(&few);
            there_and_back(&vec![b'a'; length]);
        }
    }

    #[test]
    fn every_length_and_far_distances() {
        let mut rng = Rng::stream(2, "deflate", 0);
        let base: Vec<u8> = (0..40_000).map(|_| rng.next() as u8).collect();
        let mut text = base.clone();
        for length in 3..=300 {
            let far = rng.range(300, 40_000) as usize;
            let from = text.len() - far;
            let piece = text[from..from + length].to_vec();
            text.extend_from_slice(&piece);
            text.push(rng.next() as u8);
        }
        there_and_back(&text);
    }

    #[test]
    fn log_lines_shrink() {
        let mut rng = Rng::stream(3, "deflate", 0);
        let text: String = (0..5000)
            .map(|_| {
                format!(
                    "2 491557121441 eni-06b1e94246553193b 10.20.0.24 10.20.96.{} 40300 3000 ACCEPT OK\n",
                    rng.below(200)
                )
            })
            .collect();
        let size = there_and_back(text.as_bytes());
        assert!(size * 8 < text.len(), "{size} of {}", text.len());
    }
}
