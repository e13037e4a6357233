//! The first records of each group, for [`super::evidence`].
//!
//! A rule groups millions of records into many groups, most of them small: texts are held once and told by
//! number, and a group is a short list of numbers.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use trailhound_ingest::intern::{Interner, NULL};

use super::evidence::{EVIDENCE_RECORDS_MAX, fields, item_field};
use super::groups;

/// Records of a group at which those beyond the first [`EVIDENCE_RECORDS_MAX`] are dropped.
const DROP_AT: usize = 2 * EVIDENCE_RECORDS_MAX;

/// A record: its table, object and event id by number of the text. In the order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    table: u32,
    source: u32,
    line: i64,
    event_id: u32,
}

/// The records of many groups.
#[derive(Debug, Default)]
pub struct FirstRecords {
    texts: Interner,
    groups: Vec<Group>,
    /// Bytes of the groups' lists.
    held: usize,
}

#[derive(Debug, Default)]
struct Group {
    records: Vec<Record>,
    /// The last that can still be among the first, once there are enough.
    last: Option<Record>,
}

impl FirstRecords {
    /// Adds rows of table, object, line and event id; those without a place are left out.
    fn insert(
        &mut self,
        columns: &[ArrayRef],
        mut group_of: impl FnMut(usize) -> Option<usize>,
    ) -> Result<()> {
        let mut codes: [Vec<u32>; 3] = Default::default();
        for (codes, column) in codes.iter_mut().zip([0, 1, 3]) {
            if let Some(column) = columns.get(column) {
                let texts = cast(column, &DataType::Utf8View)?;
                self.texts.push(texts.as_string_view(), codes);
            }
        }
        let [tables, sources, ids] = &codes;
        let lines = cast(&columns[2], &DataType::Int64)?;
        let lines = lines.as_primitive::<Int64Type>();
        for row in 0..lines.len() {
            let (table, source) = (tables[row], sources[row]);
            if table == NULL || source == NULL || lines.is_null(row) {
                continue;
            }
            let record = Record {
                table,
                source,
                line: lines.value(row),
                event_id: ids.get(row).copied().unwrap_or(NULL),
            };
            if let Some(group) = group_of(row) {
                self.add(group, record);
            }
        }
        Ok(())
    }

    fn add(&mut self, group: usize, record: Record) {
        let FirstRecords { texts, groups, held } = self;
        let group = &mut groups[group];
        if group
            .last
            .is_some_and(|last| order(texts, &record, &last).is_ge())
        {
            return;
        }
        let before = group.records.capacity();
        group.records.push(record);
        *held += (group.records.capacity() - before) * size_of::<Record>();
        if group.records.len() >= DROP_AT {
            group.settle(texts);
        }
    }

    fn resize(&mut self, groups: usize) {
        if self.groups.len() < groups {
            self.groups.resize_with(groups, Group::default);
        }
    }

    /// The lists of some groups, which are forgotten.
    fn emit(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut groups = emit_to.take_needed(&mut self.groups);
        let mut records = Vec::new();
        let mut lengths = Vec::with_capacity(groups.len());
        for group in &mut groups {
            group.settle(&self.texts);
            self.held -= group.records.capacity() * size_of::<Record>();
            lengths.push(group.records.len());
            records.append(&mut group.records);
        }
        // Each text once, however many records have it.
        let texts = self.texts.array();
        let column = |code: fn(&Record) -> u32| -> Result<ArrayRef> {
            let codes: UInt32Array = records
                .iter()
                .map(|record| Some(code(record)).filter(|code| *code != NULL))
                .collect();
            Ok(take(&texts, &codes, None)?)
        };
        let columns: Vec<ArrayRef> = vec![
            column(|record| record.table)?,
            column(|record| record.source)?,
            Arc::new(Int64Array::from_iter_values(
                records.iter().map(|record| record.line),
            )),
            column(|record| record.event_id)?,
        ];
        if self.groups.is_empty() {
            self.texts = Interner::default();
        }
        Ok(Arc::new(ListArray::new(
            item_field(),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(StructArray::new(fields(), columns, None)),
            None,
        )))
    }
}

impl Group {
    /// Sorts the records, drops those that stand twice or too far behind.
    fn settle(&mut self, texts: &Interner) {
        self.records.sort_unstable_by(|a, b| order(texts, a, b));
        self.records.dedup();
        if self.records.len() >= EVIDENCE_RECORDS_MAX {
            self.records.truncate(EVIDENCE_RECORDS_MAX);
            self.last = self.records.last().copied();
        }
    }
}

fn order(texts: &Interner, a: &Record, b: &Record) -> Ordering {
    let by_text = |a: u32, b: u32| match a == b {
        true => Ordering::Equal,
        false => texts.text(a).cmp(&texts.text(b)),
    };
    by_text(a.table, b.table)
        .then_with(|| by_text(a.source, b.source))
        .then_with(|| a.line.cmp(&b.line))
        .then_with(|| by_text(a.event_id, b.event_id))
}

impl GroupsAccumulator for FirstRecords {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let counts = groups::counts(opt_filter);
        self.insert(values, |row| counts(row).then(|| group_indices[row]))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emit(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)?])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let (records, groups) = groups::elements(values[0].as_list(), group_indices);
        self.insert(records.as_struct().columns(), |row| groups[row])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        groups::state_of_rows(FirstRecords::default(), values, opt_filter)
    }

    fn size(&self) -> usize {
        self.texts.held() + self.held + self.groups.capacity() * size_of::<Group>()
    }
}

/// All rows are one group.
#[derive(Debug, Default)]
pub struct OneGroup(FirstRecords);

impl OneGroup {
    fn list(&mut self) -> Result<ScalarValue> {
        self.0.resize(1);
        let list = self.0.emit(EmitTo::All)?;
        // What was told may go on: a running total over a window.
        self.merge_batch(std::slice::from_ref(&list))?;
        ScalarValue::try_from_array(&list, 0)
    }
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; values[0].len()];
        GroupsAccumulator::update_batch(&mut self.0, values, &groups, None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states[0].len()];
        GroupsAccumulator::merge_batch(&mut self.0, states, &groups, 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.list()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.list()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;
    use proptest::prelude::*;

    use super::*;

    /// Object (none for a row without), line, group.
    type Row = (Option<u8>, i64, usize);

    fn columns(rows: &[Row]) -> Vec<ArrayRef> {
        let source = |row: &Row| {
            row.0
                .map(|source| format!("an object with a long name, {source}"))
        };
        vec![
            Arc::new(StringViewArray::from(vec!["vpc_flow"; rows.len()])),
            Arc::new(rows.iter().map(source).collect::<StringViewArray>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        ]
    }

    /// Each group's objects and lines.
    fn told(list: &ArrayRef) -> Vec<Vec<(String, i64)>> {
        let of = |records: ArrayRef| -> Vec<(String, i64)> {
            let records = records.as_struct();
            let sources = records.column(1).as_string_view().iter().flatten();
            let lines = records.column(2).as_primitive::<Int64Type>().values();
            sources.map(str::to_owned).zip(lines.iter().copied()).collect()
        };
        list.as_list::<i32>().iter().flatten().map(of).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// However the rows are cut, merged and emitted, a group has its first records in order, each once.
        #[test]
        fn the_first_of_each_group(
            rows in prop::collection::vec((prop::option::weighted(0.9, 0u8..4), 0i64..400, 0usize..3), 0..900),
            cut in 1usize..200,
            early in 0usize..3,
        ) {
            let expected: Vec<Vec<(String, i64)>> = (0..3)
                .map(|group| {
                    let mut records: Vec<(String, i64)> = rows
                        .iter()
                        .filter(|row| row.2 == group)
                        .filter_map(|row| Some((format!("an object with a long name, {}", row.0?), row.1)))
                        .collect();
                    records.sort();
                    records.dedup();
                    records.truncate(EVIDENCE_RECORDS_MAX);
                    records
                })
                .collect();
            let new = FirstRecords::default;
            let (mut whole, mut merged) = groups::fed(new, &rows, cut, |row| row.2, columns).unwrap();
            let mut emitted = told(&whole.evaluate(EmitTo::First(early)).unwrap());
            emitted.extend(told(&whole.evaluate(EmitTo::All).unwrap()));
            prop_assert_eq!(&emitted, &expected);
            prop_assert_eq!(&told(&merged.evaluate(EmitTo::All).unwrap()), &expected);
            prop_assert_eq!((whole.held, merged.held), (0, 0));
        }
    }

    #[test]
    fn rows_that_a_filter_leaves_out_are_not_told() {
        let rows: Vec<Row> = vec![(Some(1), 1, 0), (Some(1), 2, 0), (Some(1), 3, 0)];
        let filter = BooleanArray::from(vec![Some(true), Some(false), None]);
        let mut records = FirstRecords::default();
        records
            .update_batch(&columns(&rows), &[0; 3], Some(&filter), 1)
            .unwrap();
        let lines: Vec<i64> = told(&records.evaluate(EmitTo::All).unwrap())[0]
            .iter()
            .map(|record| record.1)
            .collect();
        assert_eq!(lines, [1]);
    }
}
