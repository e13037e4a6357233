//! One object, from its first byte to its last batch.
//!
//! Bytes are pushed in as they arrive; batches are pulled out. Memory is one
//! block and one batch, whatever the size of the object, except for a record
//! that spans blocks: then the block grows up to [`Limits::record_bytes_max`].

use arrow::array::RecordBatch;
use bytes::Bytes;
use std::collections::VecDeque;

use crate::block::Block;
use crate::decode::{Damage, Decoder, HEAD_BYTES, inflate_whole};
use crate::formats::{Parser, Progress, Refusal};
use crate::tally::Tally;

/// How much memory one object may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes decompressed before the parser is called. Small enough to stay in
    /// the second-level cache, large enough that a block holds many records.
    pub block_bytes: usize,
    /// Largest record that is held. CloudWatch events end at 1 MB and CloudTrail
    /// records at 256 kB, so what is larger is not a log record.
    pub record_bytes_max: usize,
    /// Largest object that is inflated in one go, which is nearly twice as fast.
    pub whole_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            block_bytes: 1 << 20,
            record_bytes_max: 8 << 20,
            whole_bytes_max: 64 << 20,
        }
    }
}

/// A byte order mark, as editors on Windows leave one. No format has a use for it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads one object.
pub struct Reader {
    parser: Box<dyn Parser>,
    limits: Limits,
    /// Counts so far; complete once [`Reader::next_batch`] says that it is done.
    pub tally: Tally,
    input: VecDeque<Bytes>,
    /// Nothing more will be pushed.
    ended: bool,
    decoder: Option<Decoder>,
    /// Set when the compressed bytes turned out broken.
    damage: Option<Damage>,
    /// All bytes of the object have been decompressed into `block` or `filling`.
    exhausted: bool,
    filling: Vec<u8>,
    block: Block,
    /// The first block has been made.
    begun: bool,
    done: bool,
}

/// What [`Reader::next_batch`] came to.
#[derive(Debug)]
pub enum Step {
    /// Rows.
    Batch(RecordBatch),
    /// No rows, but rejects: take them before the next block brings more.
    /// Only for a reader of [`Reader::for_rejects`].
    Rejects,
    /// Push more bytes, or say that there are none.
    NeedsInput,
    /// The object is read to its end.
    Done,
}

impl Reader {
    /// A reader that feeds `parser`.
    pub fn new(parser: Box<dyn Parser>, limits: Limits) -> Self {
        Reader {
            parser,
            limits,
            tally: Tally::default(),
            input: VecDeque::new(),
            ended: false,
            decoder: None,
            damage: None,
            exhausted: false,
            filling: Vec::new(),
            block: Block::default(),
            begun: false,
            done: false,
        }
    }

    /// A reader for whoever wants every reject with its text: it works block by
    /// block, and stops after each that has some, so that they never pile up.
    pub fn for_rejects(parser: Box<dyn Parser>, limits: Limits) -> Self {
        let mut reader = Reader::new(
            parser,
            Limits {
                whole_bytes_max: 0,
                ..limits
            },
        );
        reader.tally.keep_all_rejects = true;
        reader
    }

    /// Gives the next bytes of the object, compressed as they lie.
    pub fn push(&mut self, bytes: Bytes) {
        self.tally.bytes_in += bytes.len() as u64;
        if !bytes.is_empty() {
            self.input.push_back(bytes);
        }
    }

    /// Says that all bytes have been pushed.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next batch, as far as the bytes so far allow.
    ///
    /// # Errors
    /// The object holds another kind of data.
    pub fn next_batch(&mut self) -> Result<Step, Refusal> {
        while !self.done {
            let last = self.exhausted && self.damage.is_none();
            if self.block.pos < self.block.bytes().len() || last {
                match self.parser.parse(&mut self.block, last, &mut self.tally)? {
                    Progress::BatchFull => return Ok(Step::Batch(self.parser.flush())),
                    Progress::NeedsInput => {}
                }
            }
            if self.tally.keep_all_rejects && !self.tally.rejects.is_empty() && !self.exhausted {
                return Ok(Step::Rejects);
            }
            if self.exhausted {
                self.done = true;
                self.reject_damaged_end();
            } else if !self.refill() {
                return Ok(Step::NeedsInput);
            }
        }
        if self.parser.rows() > 0 {
            return Ok(Step::Batch(self.parser.flush()));
        }
        Ok(Step::Done)
    }

    /// A cut-off object costs one reject: the record in which it ends.
    fn reject_damaged_end(&mut self) {
        if let Some(damage) = &self.damage {
            let reason = format!("{damage} after {} decompressed bytes", self.tally.bytes_out);
            self.tally
                .reject(self.parser.line() + 1, reason, self.block.rest());
        }
    }

    /// Makes the next block: the rest of this one, and more. False: needs input.
    fn refill(&mut self) -> bool {
        if self.decoder.is_none() && !self.start() {
            return false;
        }
        if self.exhausted {
            return true;
        }
        if self.filling.capacity() == 0 {
            if self.block.rest().len() >= self.limits.record_bytes_max {
                self.parser.skip_oversized(&mut self.block, &mut self.tally);
            }
            let rest = self.block.rest();
            // Twice the rest: a record that spans many blocks must not be copied once for each.
            let capacity = (rest.len() * 2).max(rest.len() + self.limits.block_bytes);
            // The first block holds a byte order mark whole.
            let capacity = capacity.max(BYTE_ORDER_MARK.len());
            self.filling = Vec::with_capacity(capacity.min(rest.len() + self.limits.record_bytes_max));
            self.filling.extend_from_slice(rest);
            // It comes again at the front of the next block, and must not be parsed twice meanwhile.
            self.block = Block::default();
        }
        let before = self.filling.len();
        let full = self.fill();
        self.tally.bytes_out += (self.filling.len() - before) as u64;
        if full || self.exhausted {
            let bytes = std::mem::take(&mut self.filling);
            self.begin_block(bytes);
        }
        full || self.exhausted
    }

    /// Hands `bytes` to the parser; a byte order mark at the object's start is left out.
    fn begin_block(&mut self, bytes: Vec<u8>) {
        let marked = !self.begun && bytes.starts_with(BYTE_ORDER_MARK);
        self.begun = true;
        self.block = Block::new(bytes);
        if marked {
            self.block.pos = BYTE_ORDER_MARK.len();
        }
    }

    /// Tells the compression, and inflates in one go what fits. False: needs input.
    fn start(&mut self) -> bool {
        let held: usize = self.input.iter().map(Bytes::len).sum();
        if held < HEAD_BYTES && !self.ended {
            return false;
        }
        if self.ended
            && self.input.len() == 1
            && let Some(bytes) = inflate_whole(&self.input[0], self.limits.whole_bytes_max)
        {
            self.input.clear();
            self.tally.bytes_out = bytes.len() as u64;
            self.begin_block(bytes);
            self.exhausted = true;
            return true;
        }
        let head: Vec<u8> = self.input.iter().flatten().copied().take(HEAD_BYTES).collect();
        match Decoder::new(&head) {
            Ok(decoder) => self.decoder = Some(decoder),
            Err(damage) => {
                self.damage = Some(damage);
                self.exhausted = true;
            }
        }
        true
    }

    /// Decompresses into `filling` until it is full (true) or the input is used up.
    fn fill(&mut self) -> bool {
        let Some(decoder) = &mut self.decoder else {
            return false;
        };
        while let Some(front) = self.input.front_mut() {
            match decoder.decode(front, &mut self.filling) {
                Ok(taken) => {
                    let _ = front.split_to(taken);
                }
                Err(damage) => {
                    self.damage = Some(damage);
                    self.exhausted = true;
                    return false;
                }
            }
            if front.is_empty() {
                self.input.pop_front();
            } else if self.filling.len() == self.filling.capacity() {
                return true;
            }
        }
        if self.filling.len() == self.filling.capacity() {
            return true; // The decompressor may hold more: it is asked once there is room.
        }
        if self.ended {
            match decoder.finish(&mut self.filling) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(damage) => self.damage = Some(damage),
            }
            self.exhausted = true;
        }
        false
    }
}

/// Reads all of `bytes` with `parser`: for tests, and for objects in memory.
///
/// # Errors
/// The object holds another kind of data.
pub fn read_all(
    parser: Box<dyn Parser>,
    limits: Limits,
    bytes: impl Into<Bytes>,
) -> Result<(Vec<RecordBatch>, Tally), Refusal> {
    let mut reader = Reader::new(parser, limits);
    reader.push(bytes.into());
    reader.end();
    let mut batches = Vec::new();
    while let Step::Batch(batch) = reader.next_batch()? {
        batches.push(batch);
    }
    Ok((batches, reader.tally))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Setup, format_named};

    #[test]
    fn a_byte_order_mark_is_left_out_once_whatever_the_blocks() {
        for format in [
            "vpc_flow",
            "cloudtrail",
            "container_logs",
            "ecs_audit",
            "guardduty",
        ] {
            let format = format_named(format).expect("a format");
            for (marks, body) in [("\u{feff}", ""), ("\u{feff}\u{feff}", "x\n"), ("", "x\n")] {
                let read = |text: String, block_bytes| {
                    let parser = format.parser(Setup::whole(format, "")).expect("default options");
                    read_all(
                        parser,
                        Limits {
                            block_bytes,
                            ..Limits::default()
                        },
                        text.into_bytes(),
                    )
                    .map(|(_, tally)| (tally.rows, tally.rejected, tally.passed))
                };
                let expected = read(format!("{}{body}", &marks[marks.len().min(3)..]), 1 << 20);
                for block_bytes in [1, 2, 3, 4, 1 << 20] {
                    let found = read(format!("{marks}{body}"), block_bytes);
                    assert_eq!(
                        found.is_ok(),
                        expected.is_ok(),
                        "{} {marks:?} {block_bytes}",
                        format.name()
                    );
                    if let (Ok(found), Ok(expected)) = (&found, &expected) {
                        assert_eq!(found, expected, "{} {marks:?} {block_bytes}", format.name());
                    }
                }
            }
        }
    }
}
