//! Columns of a table, each made of one member of its rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewArray, TimestampMicrosecondArray};
use trailhound_ingest::column::TIMESTAMP;

/// A column of times, microseconds since the epoch.
pub fn times(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone(TIMESTAMP))
}

/// The rows.
pub struct Columns<'a, T>(pub &'a [T]);

impl<T> Columns<'_, T> {
    /// A column of whole numbers.
    pub fn numbers(&self, of: impl Fn(&T) -> i64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(self.0.iter().map(of)))
    }

    /// A column of text.
    pub fn texts(&self, of: impl Fn(&T) -> &str) -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(self.0.iter().map(of)))
    }

    /// A column of times, microseconds since the epoch.
    pub fn times(&self, of: impl Fn(&T) -> i64) -> ArrayRef {
        times(self.0.iter().map(|row| Some(of(row))).collect())
    }
}
