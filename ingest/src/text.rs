//! String columns whose values point into the decompressed block.

use arrow::array::{ArrayRef, NullBufferBuilder, StringViewArray, make_view};
use arrow::buffer::{Buffer, ScalarBuffer};
use std::sync::Arc;

use crate::block::Block;

/// The stretches of blocks that the rows of one batch were parsed from.
///
/// All text columns of a batch share them. A stretch counts its own length
/// only, so a batch of a large object does not weigh the whole object.
#[derive(Debug, Default)]
pub struct Stretches {
    closed: Vec<Buffer>,
    base: usize,
}

impl Stretches {
    /// Starts a stretch at the block's position.
    pub fn open(&mut self, block: &Block) {
        self.base = block.pos;
    }

    /// Ends the stretch at the block's position.
    pub fn close(&mut self, block: &Block) {
        if block.pos > self.base {
            self.closed.push(Buffer::from(block.share(self.base..block.pos)));
        }
        self.base = block.pos;
    }

    /// Forgets all stretches: the next rows belong to a new batch.
    pub fn clear(&mut self) {
        self.closed.clear();
    }

    /// Index that the open stretch will have among a column's buffers.
    /// Index 0 is the column's own buffer.
    fn index(&self) -> u32 {
        self.closed.len() as u32 + 1
    }
}

/// Builds one string column.
#[derive(Debug, Default)]
pub struct TextColumn {
    views: Vec<u128>,
    nulls: Nulls,
    own: Vec<u8>,
}

#[derive(Debug)]
struct Nulls(NullBufferBuilder);

impl Default for Nulls {
    fn default() -> Self {
        Nulls(NullBufferBuilder::new(0))
    }
}

impl TextColumn {
    /// Values so far.
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// Whether there are no values yet.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// Appends NULL.
    #[inline]
    pub fn push_null(&mut self) {
        self.views.push(0);
        self.nulls.0.append_null();
    }

    /// Appends NULL `count` times.
    pub fn push_nulls(&mut self, count: usize) {
        self.views.resize(self.views.len() + count, 0);
        self.nulls.0.append_n_nulls(count);
    }

    /// Appends `bytes[start..end]` without copying more than 12 bytes of it.
    /// `bytes` is the block that `stretches` is open on, and the span is valid
    /// UTF-8: the caller has checked the whole record.
    #[inline]
    pub fn push_span(&mut self, stretches: &Stretches, bytes: &[u8], start: usize, end: usize) {
        debug_assert!(std::str::from_utf8(&bytes[start..end]).is_ok());
        self.views.push(make_view(
            &bytes[start..end],
            stretches.index(),
            (start - stretches.base) as u32,
        ));
        self.nulls.0.append_non_null();
    }

    /// Appends text that does not lie in the block, such as unescaped strings.
    pub fn push_owned(&mut self, text: &str) {
        let offset = self.own.len() as u32;
        if text.len() > 12 {
            self.own.extend_from_slice(text.as_bytes());
        }
        self.views.push(make_view(text.as_bytes(), 0, offset));
        self.nulls.0.append_non_null();
    }

    /// Takes back the last value.
    pub fn pop(&mut self) {
        self.views.pop();
        let left = self.views.len();
        self.nulls.0.truncate(left);
    }

    /// The column, ready for a batch; the builder starts anew.
    pub fn finish(&mut self, stretches: &Stretches) -> ArrayRef {
        let mut buffers = Vec::with_capacity(stretches.closed.len() + 1);
        buffers.push(Buffer::from_vec(std::mem::take(&mut self.own)));
        buffers.extend(stretches.closed.iter().cloned());
        let views = ScalarBuffer::from(std::mem::take(&mut self.views));
        let nulls = self.nulls.0.finish();
        // SAFETY: every view was made by make_view from text inside the buffer
        // that it names, and that text was checked to be UTF-8.
        Arc::new(unsafe { StringViewArray::new_unchecked(views, buffers, nulls) })
    }
}

/// A column that holds `value` (or NULL) `rows` times.
pub fn constant_text(value: Option<&str>, rows: usize) -> ArrayRef {
    let Some(value) = value else {
        return arrow::array::new_null_array(&arrow::datatypes::DataType::Utf8View, rows);
    };
    let buffer = Buffer::from(value.as_bytes());
    let views = vec![make_view(value.as_bytes(), 0, 0); rows];
    // SAFETY: all views name the one buffer, which holds the valid UTF-8 of `value`.
    Arc::new(unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(views), vec![buffer], None) })
}
