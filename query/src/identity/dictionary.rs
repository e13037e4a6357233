//! Columns that were read as dictionaries, as texts again.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, UInt32Type};
use datafusion::common::Result;

/// The texts of one column, batch by batch.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The dictionary before and its texts: many batches have the same.
    dictionary: Option<(ArrayData, ArrayRef)>,
}

impl Texts {
    /// A column of the next batch: a dictionary as its texts, others as they are.
    ///
    /// # Errors
    /// Its values are no texts.
    pub fn of(&mut self, column: &ArrayRef) -> Result<ArrayRef> {
        let Some(column) = column.as_dictionary_opt::<UInt32Type>() else {
            return Ok(Arc::clone(column));
        };
        let values = column.values().to_data();
        let texts = match self.dictionary.take() {
            Some((seen, texts)) if seen.ptr_eq(&values) => texts,
            _ => cast(column.values(), &DataType::Utf8View)?,
        };
        let taken = take(&texts, column.keys(), None)?;
        self.dictionary = Some((values, texts));
        Ok(taken)
    }
}
