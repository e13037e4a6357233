//! The arguments of a call: columns and constants, read by row without copies.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BooleanArray, Float64Array, Int64Array,
    PrimitiveArray, StringViewArray,
};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// The arguments of a call for a batch of rows.
#[derive(Debug)]
pub struct Arguments {
    columns: Vec<Column>,
    rows: usize,
}

#[derive(Debug)]
struct Column {
    values: ArrayRef,
    is_constant: bool,
}

impl Arguments {
    /// The arguments as the engine gives them; constants stay one value.
    pub(super) fn new(args: &ScalarFunctionArgs) -> Result<Self> {
        let column = |argument: &ColumnarValue| {
            Ok(match argument {
                ColumnarValue::Array(values) => Column {
                    values: Arc::clone(values),
                    is_constant: false,
                },
                ColumnarValue::Scalar(value) => Column {
                    values: value.to_array_of_size(1)?,
                    is_constant: true,
                },
            })
        };
        let columns: Vec<Column> = args.args.iter().map(column).collect::<Result<_>>()?;
        let all_constant = columns.iter().all(|column| column.is_constant);
        Ok(Arguments {
            columns,
            rows: if all_constant { 1 } else { args.number_rows },
        })
    }

    /// Columns and constants by hand.
    #[cfg(test)]
    pub(super) fn of(columns: Vec<(ArrayRef, bool)>, rows: usize) -> Self {
        let columns = columns
            .into_iter()
            .map(|(values, is_constant)| Column { values, is_constant })
            .collect();
        Arguments { columns, rows }
    }

    /// Whether each argument is a constant, so that one row says it all.
    pub(super) fn are_constant(&self) -> bool {
        self.columns.iter().all(|column| column.is_constant)
    }

    /// How many arguments the call has.
    pub fn count(&self) -> usize {
        self.columns.len()
    }

    /// Text argument `index`.
    pub fn text(&self, index: usize) -> Texts<'_> {
        let column = &self.columns[index];
        Texts {
            values: column.values.as_string_view(),
            is_constant: column.is_constant,
        }
    }

    /// Whole-number argument `index`.
    pub fn int(&self, index: usize) -> Numbers<'_, Int64Type> {
        self.numbers(index)
    }

    /// Number argument `index`.
    pub fn double(&self, index: usize) -> Numbers<'_, Float64Type> {
        self.numbers(index)
    }

    /// Time argument `index`, in microseconds.
    pub fn time(&self, index: usize) -> Numbers<'_, TimestampMicrosecondType> {
        self.numbers(index)
    }

    /// Sketch argument `index`.
    pub fn bytes(&self, index: usize) -> Bytes<'_> {
        let column = &self.columns[index];
        Bytes {
            values: column.values.as_binary_view(),
            is_constant: column.is_constant,
        }
    }

    fn numbers<T: ArrowPrimitiveType>(&self, index: usize) -> Numbers<'_, T> {
        let column = &self.columns[index];
        Numbers {
            values: column.values.as_primitive::<T>(),
            is_constant: column.is_constant,
        }
    }

    /// A truth value for each row.
    pub fn to_bool(&self, value: impl FnMut(usize) -> Option<bool>) -> ArrayRef {
        Arc::new((0..self.rows).map(value).collect::<BooleanArray>())
    }

    /// A whole number for each row.
    pub fn to_int(&self, value: impl FnMut(usize) -> Option<i64>) -> ArrayRef {
        Arc::new((0..self.rows).map(value).collect::<Int64Array>())
    }

    /// A number for each row.
    pub fn to_double(&self, value: impl FnMut(usize) -> Option<f64>) -> ArrayRef {
        Arc::new((0..self.rows).map(value).collect::<Float64Array>())
    }

    /// Text for each row.
    pub fn to_text<T: AsRef<str>>(&self, value: impl FnMut(usize) -> Option<T>) -> ArrayRef {
        Arc::new((0..self.rows).map(value).collect::<StringViewArray>())
    }
}

/// A text argument.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    values: &'a StringViewArray,
    is_constant: bool,
}

impl<'a> Texts<'a> {
    /// Its value in a row; none if it is NULL.
    pub fn at(self, row: usize) -> Option<&'a str> {
        let row = if self.is_constant { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}

/// An argument of numbers.
#[derive(Debug)]
pub struct Numbers<'a, T: ArrowPrimitiveType> {
    values: &'a PrimitiveArray<T>,
    is_constant: bool,
}

impl<T: ArrowPrimitiveType> Numbers<'_, T> {
    /// Its value in a row; none if it is NULL.
    pub fn at(&self, row: usize) -> Option<T::Native> {
        let row = if self.is_constant { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}

/// An argument of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a> {
    values: &'a BinaryViewArray,
    is_constant: bool,
}

impl<'a> Bytes<'a> {
    /// Its value in a row; none if it is NULL.
    pub fn at(self, row: usize) -> Option<&'a [u8]> {
        let row = if self.is_constant { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}

/// What was made of the last value, for arguments that are the same in row after
/// row: networks, regular expressions, names of parts.
#[derive(Debug)]
pub struct Last<K, V>(Option<(K, V)>);

impl<K, V> Default for Last<K, V> {
    fn default() -> Self {
        Last(None)
    }
}

impl<K: PartialEq + Copy, V> Last<K, V> {
    /// What `make` makes of `key`, made anew only if the key is another one.
    pub fn of(&mut self, key: K, make: impl FnOnce(K) -> V) -> &V {
        if self.0.as_ref().is_some_and(|(known, _)| *known != key) {
            self.0 = None;
        }
        &self.0.get_or_insert_with(|| (key, make(key))).1
    }
}
