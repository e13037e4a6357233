//! A fast hash for packed keys: one multiplication for eight bytes, folded.
//!
//! The standard hash takes longer than all else that is done for a record.
//! Addresses and ports are an attacker's to choose, so every table has a seed
//! that nobody knows.

use std::hash::{BuildHasher, Hasher, RandomState};

const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// Makes hashers that share one random seed.
#[derive(Debug, Clone)]
pub struct Fold(u64);

impl Default for Fold {
    fn default() -> Self {
        Fold(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for Fold {
    type Hasher = FoldHasher;

    fn build_hasher(&self) -> FoldHasher {
        FoldHasher(self.0)
    }
}

/// The state of one hash.
#[derive(Debug)]
pub struct FoldHasher(u64);

impl Hasher for FoldHasher {
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value).wrapping_mul(FACTOR);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut parts = bytes.chunks_exact(8);
        for part in &mut parts {
            let mut eight = [0; 8];
            eight.copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(eight));
        }
        let rest = parts.remainder();
        let mut eight = [0; 8];
        eight[..rest.len()].copy_from_slice(rest);
        // The length, or a text and the same with zeros behind it would be one.
        self.write_u64(u64::from_le_bytes(eight) ^ ((bytes.len() as u64) << 56));
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
