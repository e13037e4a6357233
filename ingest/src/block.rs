//! A run of decompressed bytes, and how far a parser has come in it.

use bytes::Bytes;

/// Decompressed bytes that a parser consumes from the front.
///
/// String columns point into these bytes, so they are shared and never change.
#[derive(Debug, Clone, Default)]
pub struct Block {
    bytes: Bytes,
    /// First byte that no record has taken yet.
    pub pos: usize,
}

impl Block {
    /// A block that starts unconsumed.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Block {
            bytes: bytes.into(),
            pos: 0,
        }
    }

    /// All bytes of the block, consumed ones too.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes that are not consumed yet.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.pos..]
    }

    /// A shared handle on `range`, for string columns.
    ///
    /// Each handle counts only its own length towards memory limits, although
    /// all handles of a block share one allocation.
    pub fn share(&self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }
}
