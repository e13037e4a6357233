//! SQL functions: one file each, one line each in [`FUNCTIONS`].
//!
//! All take text and give NULL for NULL and for values they cannot read: a bad
//! value in one row never fails a query.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;

mod arn_part;
mod bit_count;
mod evidence;
mod ip_in_cidr;
mod is_private_ip;
mod json_any;
mod log_field;
mod percent_decode;
mod role_name;

pub use evidence::{EVIDENCE_RECORDS_MAX, evidence};

/// Every scalar function, in the order of the reference page.
pub const FUNCTIONS: &[&Function] = &[
    &is_private_ip::FUNCTION,
    &ip_in_cidr::FUNCTION,
    &arn_part::FUNCTION,
    &role_name::FUNCTION,
    &percent_decode::FUNCTION,
    &log_field::FIELD,
    &log_field::COUNT,
    &json_any::FUNCTION,
];

/// A function of text arguments.
#[derive(Debug)]
pub struct Function {
    /// Its name in SQL.
    pub name: &'static str,
    /// Names of its arguments.
    pub arguments: &'static [&'static str],
    /// What it computes, for the reference page.
    pub about: &'static str,
    /// A call, and what it gives.
    pub example: (&'static str, &'static str),
    /// How it computes a row.
    pub compute: Compute,
}

/// The kinds of results, with the computation of one row from its arguments.
#[derive(Debug, Clone, Copy)]
pub enum Compute {
    /// To boolean.
    Bool(fn(&[&str]) -> Option<bool>),
    /// To a whole number.
    Int(fn(&[&str]) -> Option<i64>),
    /// To text.
    Text(fn(&[&str]) -> Option<String>),
}

/// Registers all functions of ours, and those for JSON, in a session.
///
/// # Errors
/// Two functions share a name.
pub fn register_all(context: &mut SessionContext) -> Result<()> {
    datafusion_functions_json::register_all(context)?;
    for function in FUNCTIONS {
        context.register_udf(ScalarUDF::new_from_impl(TextFunction::new(function)));
    }
    context.register_udf(bit_count::bit_count());
    context.register_udaf(evidence());
    Ok(())
}

/// A [`Function`] as DataFusion calls it.
#[derive(Debug)]
struct TextFunction {
    function: &'static Function,
    signature: Signature,
}

impl TextFunction {
    fn new(function: &'static Function) -> Self {
        let types = vec![DataType::Utf8View; function.arguments.len()];
        TextFunction {
            function,
            signature: Signature::exact(types, Volatility::Immutable),
        }
    }
}

// Two functions are the same if they have one name: a test below sees to that.
impl PartialEq for TextFunction {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for TextFunction {}

impl Hash for TextFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(match self.function.compute {
            Compute::Bool(_) => DataType::Boolean,
            Compute::Int(_) => DataType::Int64,
            Compute::Text(_) => DataType::Utf8View,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar = args
            .args
            .iter()
            .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let arrays: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|argument| argument.to_array(rows))
            .collect::<Result<_>>()?;
        let columns: Vec<&StringViewArray> = arrays.iter().map(|array| array.as_string_view()).collect();
        let mut values: Vec<&str> = Vec::with_capacity(columns.len());
        let mut row_of = |row: usize| -> Option<Vec<&str>> {
            values.clear();
            for column in &columns {
                if column.is_null(row) {
                    return None;
                }
                values.push(column.value(row));
            }
            Some(values.clone())
        };
        let result: ArrayRef = match self.function.compute {
            Compute::Bool(compute) => Arc::new(
                (0..rows)
                    .map(|row| row_of(row).and_then(|row| compute(&row)))
                    .collect::<BooleanArray>(),
            ),
            Compute::Int(compute) => Arc::new(
                (0..rows)
                    .map(|row| row_of(row).and_then(|row| compute(&row)))
                    .collect::<Int64Array>(),
            ),
            Compute::Text(compute) => Arc::new(
                (0..rows)
                    .map(|row| row_of(row).and_then(|row| compute(&row)))
                    .collect::<StringViewArray>(),
            ),
        };
        if all_scalar {
            return Ok(ColumnarValue::Scalar(
                datafusion::common::ScalarValue::try_from_array(&result, 0)?,
            ));
        }
        Ok(ColumnarValue::Array(result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
