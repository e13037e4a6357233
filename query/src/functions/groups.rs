//! What accumulators over many groups share: which rows count, lists that others made, and rows as groups.

use arrow::array::{Array, ArrayRef, BooleanArray, ListArray};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

/// Whether a row counts, by the aggregate's `FILTER`.
pub fn counts(filter: Option<&BooleanArray>) -> impl Fn(usize) -> bool {
    move |row| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// The elements of lists, of which each belongs to a group, and the group of each element: none if its list
/// is NULL.
pub fn elements(lists: &ListArray, group_indices: &[usize]) -> (ArrayRef, Vec<Option<usize>>) {
    // Of a slice, the values are still those of the whole.
    let offsets = lists.value_offsets();
    let (first, end) = (offsets[0] as usize, offsets[lists.len()] as usize);
    let mut groups = Vec::with_capacity(end - first);
    for (row, group) in group_indices.iter().enumerate() {
        let length = (offsets[row + 1] - offsets[row]) as usize;
        let group = lists.is_valid(row).then_some(*group);
        groups.extend(std::iter::repeat_n(group, length));
    }
    (lists.values().slice(first, end - first), groups)
}

/// The state of every row as a group of its own; `each` has no rows yet.
pub fn state_of_rows(
    mut each: impl GroupsAccumulator,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<Vec<ArrayRef>> {
    let rows: Vec<usize> = (0..values[0].len()).collect();
    each.update_batch(values, &rows, filter, rows.len())?;
    each.state(EmitTo::All)
}

/// Two accumulators that were fed the same rows of three groups, a part of `cut` rows at a time: one the rows,
/// one what others made of them, as a list for each row or for each group, a slice of it at a time.
#[cfg(test)]
pub fn fed<A: GroupsAccumulator, R>(
    new: impl Fn() -> A,
    rows: &[R],
    cut: usize,
    group_of: impl Fn(&R) -> usize,
    columns: impl Fn(&[R]) -> Vec<ArrayRef>,
) -> Result<(A, A)> {
    let (mut whole, mut merged) = (new(), new());
    for accumulator in [&mut whole, &mut merged] {
        accumulator.update_batch(&columns(&[]), &[], None, 3)?;
    }
    for (nth, part) in rows.chunks(cut).enumerate() {
        let groups: Vec<usize> = part.iter().map(&group_of).collect();
        whole.update_batch(&columns(part), &groups, None, 3)?;
        if nth % 2 == 0 {
            let state = whole.convert_to_state(&columns(part), None)?;
            merged.merge_batch(&state, &groups, 3)?;
        } else {
            let mut some = new();
            some.update_batch(&columns(part), &groups, None, 3)?;
            let state = some.state(EmitTo::All)?.remove(0);
            for group in 0..3 {
                merged.merge_batch(&[state.slice(group, 1)], &[group], 3)?;
            }
        }
    }
    Ok((whole, merged))
}
