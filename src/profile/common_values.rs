//! `common_values(text)`, an aggregate: the most common values, in bounded memory.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, UInt64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::VALUE_CHARS_MAX;

/// How many common values a profile shows.
const COMMON_SHOWN: usize = 5;

/// Distinct values that are counted for each column; above twice as many the
/// rarest are dropped. Five thousand hosts fit, a million request ids need not.
const COMMON_COUNTED: usize = 4096;

/// The aggregate `common_values(text)`: the most common values with their
/// counts, as a JSON object, most common first.
///
/// Exact up to [`COMMON_COUNTED`] distinct values; beyond, counts are lower
/// bounds, and only values certain to be common are named.
pub fn common_values() -> AggregateUDF {
    let texts = vec![DataType::Utf8View, DataType::Utf8, DataType::LargeUtf8];
    let signature = Signature::uniform(1, texts, Volatility::Immutable);
    AggregateUDF::from(CommonValues { signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CommonValues {
    signature: Signature,
}

impl AggregateUDFImpl for CommonValues {
    fn name(&self) -> &str {
        "common_values"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Counter::default()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let count = Arc::new(Field::new_list_field(DataType::UInt64, true));
        Ok(vec![
            Arc::new(Field::new(
                format!("{}[values]", args.name),
                DataType::List(item),
                true,
            )),
            Arc::new(Field::new(
                format!("{}[counts]", args.name),
                DataType::List(count),
                true,
            )),
            Arc::new(Field::new(
                format!("{}[missed]", args.name),
                DataType::UInt64,
                true,
            )),
        ])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Counts values, forgetting rare ones when there are too many: the algorithm
/// of Misra and Gries, with the forgetting done in bulk.
#[derive(Debug, Default)]
struct Counter {
    counts: HashMap<Box<str>, u64>,
    /// How often any one value may have been seen and not counted.
    missed: u64,
    text_bytes: usize,
}

impl Counter {
    fn add(&mut self, value: &str, count: u64) {
        let end = value
            .char_indices()
            .nth(VALUE_CHARS_MAX)
            .map_or(value.len(), |(end, _)| end);
        let value = &value[..end];
        match self.counts.get_mut(value) {
            Some(counted) => *counted += count,
            None => {
                self.text_bytes += value.len();
                self.counts.insert(value.into(), count);
                if self.counts.len() > 2 * COMMON_COUNTED {
                    self.forget_rare();
                }
            }
        }
    }

    /// Takes the count of the first value that does not fit from all.
    fn forget_rare(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let (_, cut, _) = counts.select_nth_unstable_by(COMMON_COUNTED, |a, b| b.cmp(a));
        let cut = *cut;
        self.missed += cut;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(cut);
            *count > 0
        });
        self.text_bytes = self.counts.keys().map(|value| value.len()).sum();
    }

    /// The most common values, or `None` if none stands out.
    fn common(&self) -> Option<String> {
        // What was counted less often than may have been missed can be chance.
        let mut found: Vec<_> = self
            .counts
            .iter()
            .filter(|(_, count)| **count > self.missed)
            .collect();
        found.sort_unstable_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let all_differ = found.first().is_none_or(|(_, count)| **count == 1);
        if found.is_empty() || all_differ && found.len() > COMMON_SHOWN {
            return None;
        }
        let shown = found.into_iter().take(COMMON_SHOWN);
        let object: serde_json::Map<_, _> = shown
            .map(|(value, count)| (value.to_string(), (*count).into()))
            .collect();
        Some(serde_json::Value::Object(object).to_string())
    }
}

impl Accumulator for Counter {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = cast(&values[0], &DataType::Utf8View)?;
        values
            .as_string_view()
            .iter()
            .flatten()
            .for_each(|value| self.add(value, 1));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        let missed = states[2].as_primitive::<UInt64Type>();
        for row in 0..values.len() {
            let (values, counts) = (values.value(row), counts.value(row));
            let counts = counts.as_primitive::<UInt64Type>();
            for (value, count) in values.as_string::<i32>().iter().zip(counts.values()) {
                self.add(value.unwrap_or_default(), *count);
            }
            self.missed += missed.value(row);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, counts): (Vec<ScalarValue>, Vec<ScalarValue>) = self
            .counts
            .iter()
            .map(|(value, count)| {
                (
                    ScalarValue::Utf8(Some(value.to_string())),
                    ScalarValue::UInt64(Some(*count)),
                )
            })
            .unzip();
        Ok(vec![
            ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Utf8)),
            ScalarValue::List(ScalarValue::new_list_nullable(&counts, &DataType::UInt64)),
            ScalarValue::UInt64(Some(self.missed)),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Utf8(self.common()))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.text_bytes + self.counts.capacity() * size_of::<(Box<str>, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_values_are_exact_while_they_fit() {
        let mut counter = Counter::default();
        for (value, count) in [("a", 3), ("b", 7), ("c", 1), ("d", 1), ("e", 1), ("f", 1)] {
            counter.add(value, count);
        }
        assert_eq!(
            counter.common().as_deref(),
            Some(r#"{"b":7,"a":3,"c":1,"d":1,"e":1}"#)
        );
    }

    #[test]
    fn columns_of_unique_values_have_no_common_ones() {
        let mut counter = Counter::default();
        (0..100).for_each(|i| counter.add(&i.to_string(), 1));
        assert_eq!(counter.common(), None);
        let mut counter = Counter::default();
        (0..100_000).for_each(|i| counter.add(&i.to_string(), 1));
        assert_eq!(counter.common(), None);
        assert!(counter.counts.len() <= 2 * COMMON_COUNTED);
    }

    #[test]
    fn what_is_common_survives_the_forgetting() {
        let mut counter = Counter::default();
        for i in 0..200_000 {
            counter.add(&i.to_string(), 1);
            counter.add(["often", "too"][i % 2], 1);
        }
        let common = counter.common().unwrap();
        assert!(
            common.starts_with("{\"often\":") && common.contains("\"too\":"),
            "{common}"
        );
        let lower: u64 = common.split([':', ',']).nth(1).unwrap().parse().unwrap();
        assert!(
            lower <= 100_000 && lower + counter.missed >= 100_000,
            "{lower} {}",
            counter.missed
        );
    }

    #[test]
    fn states_merge() {
        let (mut one, mut two) = (Counter::default(), Counter::default());
        one.add("a", 2);
        two.add("a", 3);
        two.add("b", 4);
        let state: Vec<ArrayRef> = two
            .state()
            .unwrap()
            .iter()
            .map(|value| value.to_array().unwrap())
            .collect();
        one.merge_batch(&state).unwrap();
        assert_eq!(one.common().as_deref(), Some(r#"{"a":5,"b":4}"#));
    }
}
