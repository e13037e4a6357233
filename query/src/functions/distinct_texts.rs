//! The distinct texts of each group, for [`super::count`].
//!
//! Texts are held once for all groups and told by number, and a group is a short list of numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use trailhound_ingest::intern::{Interner, NULL};

use super::groups;

/// Numbers that a group takes before it is looked through for repetitions.
const SETTLE_AT: usize = 16;

/// The distinct texts of many groups.
#[derive(Debug)]
pub struct DistinctTexts {
    /// The type in which they come and go.
    data_type: DataType,
    texts: Interner,
    groups: Vec<Group>,
    /// Bytes of the groups' lists.
    held: usize,
}

/// Numbers of texts, and at how many of them it is time to look for repetitions: those never outnumber the
/// different ones by more than a few.
#[derive(Debug, Default)]
struct Group {
    codes: Vec<u32>,
    settle_at: usize,
}

impl Group {
    fn add(&mut self, code: u32) {
        if self.codes.last() == Some(&code) {
            return;
        }
        self.codes.push(code);
        if self.codes.len() >= self.settle_at.max(SETTLE_AT) {
            self.settle();
        }
    }

    /// Leaves each number once.
    fn settle(&mut self) {
        self.codes.sort_unstable();
        self.codes.dedup();
        self.settle_at = 2 * self.codes.len();
    }
}

impl DistinctTexts {
    /// Of texts of this type.
    pub fn new(data_type: DataType) -> Self {
        DistinctTexts {
            data_type,
            texts: Interner::default(),
            groups: Vec::new(),
            held: 0,
        }
    }

    fn insert(&mut self, texts: &ArrayRef, mut group_of: impl FnMut(usize) -> Option<usize>) -> Result<()> {
        let mut codes = Vec::with_capacity(texts.len());
        let texts = cast(texts, &DataType::Utf8View)?;
        self.texts.push(texts.as_string_view(), &mut codes);
        for (row, code) in codes.into_iter().enumerate() {
            let Some(group) = group_of(row).filter(|_| code != NULL) else {
                continue;
            };
            let group = &mut self.groups[group];
            let before = group.codes.capacity();
            group.add(code);
            self.held += (group.codes.capacity() - before) * size_of::<u32>();
        }
        Ok(())
    }

    fn resize(&mut self, groups: usize) {
        if self.groups.len() < groups {
            self.groups.resize_with(groups, Group::default);
        }
    }

    /// Some groups, which are forgotten, with each number once.
    fn take(&mut self, emit_to: EmitTo) -> Vec<Group> {
        let mut groups = emit_to.take_needed(&mut self.groups);
        for group in &mut groups {
            self.held -= group.codes.capacity() * size_of::<u32>();
            group.settle();
        }
        groups
    }

    fn forget_texts(&mut self) {
        if self.groups.is_empty() {
            self.texts = Interner::default();
        }
    }
}

impl GroupsAccumulator for DistinctTexts {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let counts = groups::counts(opt_filter);
        self.insert(&values[0], |row| counts(row).then(|| group_indices[row]))
    }

    /// The number of texts of each group.
    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.take(emit_to);
        self.forget_texts();
        let counts = groups.iter().map(|group| group.codes.len() as i64);
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }

    /// The texts of each group, as a list.
    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        let codes = groups.iter().flat_map(|group| &group.codes).copied();
        let texts = take(&self.texts.array(), &UInt32Array::from_iter_values(codes), None)?;
        self.forget_texts();
        Ok(vec![Arc::new(ListArray::new(
            Arc::new(Field::new_list_field(self.data_type.clone(), true)),
            OffsetBuffer::from_lengths(groups.iter().map(|group| group.codes.len())),
            cast(&texts, &self.data_type)?,
            None,
        ))])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let (texts, groups) = groups::elements(values[0].as_list(), group_indices);
        self.insert(&texts, |row| groups[row])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        groups::state_of_rows(DistinctTexts::new(self.data_type.clone()), values, opt_filter)
    }

    fn size(&self) -> usize {
        self.texts.held() + self.held + self.groups.capacity() * size_of::<Group>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::StringViewArray;
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    /// A text, if there is one, and a group.
    type Row = (Option<u8>, usize);

    fn column(rows: &[Row], data_type: &DataType) -> ArrayRef {
        let text = |row: &Row| row.0.map(|text| format!("a text that no view holds: {text}"));
        let texts: ArrayRef = Arc::new(rows.iter().map(text).collect::<StringViewArray>());
        cast(&texts, data_type).unwrap()
    }

    fn counts(array: &ArrayRef) -> Vec<i64> {
        array.as_primitive::<Int64Type>().values().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// However the rows are cut, merged and emitted, a group has as many as it has different texts.
        #[test]
        fn as_many_as_there_are(
            rows in prop::collection::vec((prop::option::weighted(0.9, 0u8..60), 0usize..3), 0..900),
            cut in 1usize..200,
            early in 0usize..3,
            view in any::<bool>(),
        ) {
            let data_type = if view { DataType::Utf8View } else { DataType::Utf8 };
            let expected: Vec<i64> = (0..3)
                .map(|group| {
                    let texts = rows.iter().filter(|row| row.1 == group).filter_map(|row| row.0);
                    texts.collect::<BTreeSet<u8>>().len() as i64
                })
                .collect();
            let new = || DistinctTexts::new(data_type.clone());
            let columns = |rows: &[Row]| vec![column(rows, &data_type)];
            let (mut whole, mut merged) = groups::fed(new, &rows, cut, |row| row.1, columns).unwrap();
            let mut emitted = counts(&whole.evaluate(EmitTo::First(early)).unwrap());
            emitted.extend(counts(&whole.evaluate(EmitTo::All).unwrap()));
            prop_assert_eq!(&emitted, &expected);
            prop_assert_eq!(&counts(&merged.evaluate(EmitTo::All).unwrap()), &expected);
            prop_assert_eq!((whole.held, merged.held), (0, 0));
        }
    }

    #[test]
    fn rows_that_a_filter_leaves_out_do_not_count() {
        let rows: Vec<Row> = vec![(Some(1), 0), (Some(2), 0), (Some(3), 0)];
        let filter = BooleanArray::from(vec![Some(true), Some(false), None]);
        let mut texts = DistinctTexts::new(DataType::Utf8View);
        let values = [column(&rows, &DataType::Utf8View)];
        texts.update_batch(&values, &[0; 3], Some(&filter), 1).unwrap();
        assert_eq!(counts(&texts.evaluate(EmitTo::All).unwrap()), [1]);
    }
}
