//! The rows of a run, by column, and the order in which they are written.
//!
//! Batches are taken apart as they come, so that no block of log text is held
//! for the few values that point into it.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType,
};
use trailhound_ingest::error::Error;

use super::text::{NULL, Text};

/// Rows that are written together.
#[derive(Debug)]
pub(crate) struct Run {
    schema: SchemaRef,
    /// In the order of the schema.
    pub(super) columns: Vec<Column>,
    rows: usize,
    /// Rows that there will be, if this run is like the last one.
    room: usize,
}

/// The values of one column, in the order in which they came.
#[derive(Debug)]
pub(super) enum Column {
    /// Nothing but NULL so far. True: text of which hardly a value repeats.
    Nothing(bool),
    Text(Text),
    Int(Fixed<i32>),
    /// Times too, in microseconds.
    Long(Fixed<i64>),
    Double(Fixed<f64>),
    Bool(Fixed<bool>),
}

/// Values of a fixed width.
#[derive(Debug)]
pub(super) struct Fixed<T> {
    /// One a row; where there is none, anything.
    pub values: Vec<T>,
    /// Whether the row has a value; none if all have.
    pub valid: Option<Vec<bool>>,
}

impl<T: Copy + Default> Fixed<T> {
    /// Of `rows` NULLs, with room for `room` rows.
    fn nulls(rows: usize, room: usize) -> Self {
        let mut values = Vec::with_capacity(room.max(rows));
        values.resize(rows, T::default());
        Fixed {
            values,
            valid: (rows > 0).then(|| vec![false; rows]),
        }
    }

    fn push(&mut self, values: impl Iterator<Item = T>, array: &dyn Array) {
        let before = self.values.len();
        self.values.extend(values);
        if array.null_count() > 0 || self.valid.is_some() {
            let valid = self.valid.get_or_insert_with(|| vec![true; before]);
            let start = valid.len();
            valid.resize(self.values.len(), true);
            if let Some(nulls) = array.nulls() {
                // Few rows lack what most have.
                let nulls = !nulls.inner();
                nulls.set_indices().for_each(|row| valid[start + row] = false);
            }
        }
    }

    fn push_nulls(&mut self, rows: usize) {
        let before = self.values.len();
        let valid = self.valid.get_or_insert_with(|| vec![true; before]);
        valid.resize(before + rows, false);
        self.values.resize(before + rows, T::default());
    }

    fn clear(&mut self) {
        self.values.clear();
        self.valid = None;
    }

    fn held(&self) -> usize {
        self.values.len() * size_of::<T>() + self.valid.as_ref().map_or(0, Vec::len)
    }
}

fn push_primitive<P: ArrowPrimitiveType>(fixed: &mut Fixed<P::Native>, array: &ArrayRef) {
    let array = array.as_primitive::<P>();
    fixed.push(array.values().iter().copied(), array);
}

impl Run {
    /// No rows yet, of a table with `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        Run {
            columns: schema.fields().iter().map(|_| Column::Nothing(false)).collect(),
            schema,
            rows: 0,
            room: 0,
        }
    }

    /// The run after this one: empty, but it knows which columns hardly repeat a value.
    pub fn next(&self) -> Self {
        let unique = |column: &Column| match column {
            Column::Nothing(unique) => *unique,
            Column::Text(text) => text.is_unique(),
            _ => false,
        };
        Run {
            columns: self
                .columns
                .iter()
                .map(|column| Column::Nothing(unique(column)))
                .collect(),
            schema: SchemaRef::clone(&self.schema),
            rows: 0,
            room: self.rows,
        }
    }

    /// A run of no rows in the room of this one: fresh memory costs a fault for every page.
    pub fn cleared(mut self) -> Self {
        for column in &mut self.columns {
            match column {
                Column::Nothing(_) => {}
                Column::Text(text) => text.clear(),
                Column::Int(fixed) => fixed.clear(),
                Column::Long(fixed) => fixed.clear(),
                Column::Double(fixed) => fixed.clear(),
                Column::Bool(fixed) => fixed.clear(),
            }
        }
        self.rows = 0;
        self
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of memory.
    pub fn held(&self) -> usize {
        self.columns
            .iter()
            .map(|column| match column {
                Column::Nothing(_) => 0,
                Column::Text(text) => text.held(),
                Column::Int(fixed) => fixed.held(),
                Column::Long(fixed) => fixed.held(),
                Column::Double(fixed) => fixed.held(),
                Column::Bool(fixed) => fixed.held(),
            })
            .sum()
    }

    /// Whether column number `column` has no value in any of the rows.
    pub fn is_nothing(&self, column: usize, rows: &Picked<'_>) -> bool {
        fn none<T>(fixed: &Fixed<T>, rows: &Picked<'_>) -> bool {
            fixed
                .valid
                .as_ref()
                .is_some_and(|valid| !rows.any(|row| valid[row]))
        }
        match &self.columns[column] {
            Column::Nothing(_) => true,
            Column::Text(text) => !rows.any(|row| text.codes[row] != NULL),
            Column::Int(fixed) => none(fixed, rows),
            Column::Long(fixed) => none(fixed, rows),
            Column::Double(fixed) => none(fixed, rows),
            Column::Bool(fixed) => none(fixed, rows),
        }
    }

    /// Takes the rows of `batch`.
    ///
    /// # Errors
    /// A column has another type than in the table, or the table has no such column.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let theirs = batch.schema_ref();
        if theirs != &self.schema {
            self.check(theirs)?;
        }
        let schema = SchemaRef::clone(&self.schema);
        for (index, field) in schema.fields().iter().enumerate() {
            let column = if theirs == &schema {
                Some(batch.column(index))
            } else {
                batch.column_by_name(field.name())
            };
            let column = column.filter(|column| column.null_count() < column.len());
            match column {
                Some(column) => self.push_column(index, column),
                None => self.push_nulls(index, batch.num_rows()),
            }
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    fn check(&self, theirs: &SchemaRef) -> Result<(), Error> {
        for field in theirs.fields() {
            match self.schema.field_with_name(field.name()) {
                Ok(ours) if ours.data_type() == field.data_type() => {}
                Ok(ours) => {
                    return Err(Error::wrong_use(format!(
                        "cannot write rows: column {} is {}, and {} in the table",
                        field.name(),
                        field.data_type(),
                        ours.data_type(),
                    )));
                }
                Err(_) => {
                    return Err(Error::wrong_use(format!(
                        "cannot write rows: the table has no column {}",
                        field.name()
                    )));
                }
            }
        }
        Ok(())
    }

    fn push_column(&mut self, index: usize, array: &ArrayRef) {
        let (rows, room) = (self.rows, self.room);
        let column = &mut self.columns[index];
        if let Column::Nothing(unique) = column {
            *column = match array.data_type() {
                DataType::Int32 => Column::Int(Fixed::nulls(rows, room)),
                DataType::Float64 => Column::Double(Fixed::nulls(rows, room)),
                DataType::Boolean => Column::Bool(Fixed::nulls(rows, room)),
                DataType::Utf8View => Column::Text(Text::nulls(rows, room, *unique)),
                _ => Column::Long(Fixed::nulls(rows, room)),
            };
        }
        match column {
            Column::Nothing(_) => {}
            Column::Text(text) => text.push(array.as_string_view()),
            Column::Int(fixed) => push_primitive::<Int32Type>(fixed, array),
            Column::Long(fixed) if array.data_type() == &DataType::Int64 => {
                push_primitive::<Int64Type>(fixed, array);
            }
            Column::Long(fixed) => push_primitive::<TimestampMicrosecondType>(fixed, array),
            Column::Double(fixed) => push_primitive::<Float64Type>(fixed, array),
            Column::Bool(fixed) => fixed.push(array.as_boolean().values().iter(), array),
        }
    }

    fn push_nulls(&mut self, index: usize, rows: usize) {
        match &mut self.columns[index] {
            Column::Nothing(_) => {}
            Column::Text(text) => text.push_nulls(rows),
            Column::Int(fixed) => fixed.push_nulls(rows),
            Column::Long(fixed) => fixed.push_nulls(rows),
            Column::Double(fixed) => fixed.push_nulls(rows),
            Column::Bool(fixed) => fixed.push_nulls(rows),
        }
    }

    fn time(&self, column: usize, row: usize) -> Option<i64> {
        let Column::Long(fixed) = &self.columns[column] else {
            return None;
        };
        let valid = fixed.valid.as_ref().is_none_or(|valid| valid[row]);
        valid.then(|| fixed.values[row])
    }

    /// The order of time, and which stretch of it belongs to which day. Rows
    /// without a time come last in the day of column `ingested`.
    pub fn order(&self, time: usize, ingested: usize) -> Order {
        let whole = match &self.columns[time] {
            Column::Long(Fixed { values, valid: None }) => Some(values.as_slice()),
            _ => None,
        };
        match whole {
            Some(times) if times.is_sorted() => Order {
                days: days(self.rows, |at| day(times[at])),
                rows: None,
            },
            Some(times) => {
                let rows = sorted(times);
                Order {
                    days: days(self.rows, |at| day(times[rows[at] as usize])),
                    rows: Some(rows),
                }
            }
            None => self.order_with_nulls(time, ingested),
        }
    }

    fn order_with_nulls(&self, time: usize, ingested: usize) -> Order {
        let mut keys: Vec<(i32, bool, i64, u32)> = (0..self.rows)
            .map(|row| match self.time(time, row) {
                Some(time) => (day(time), false, time, row as u32),
                None => (day(self.time(ingested, row).unwrap_or(0)), true, 0, row as u32),
            })
            .collect();
        keys.sort_unstable();
        Order {
            days: days(self.rows, |at| keys[at].0),
            rows: Some(keys.into_iter().map(|(.., row)| row).collect()),
        }
    }
}

/// The order in which the rows of a run are written.
#[derive(Debug)]
pub(crate) struct Order {
    /// Rows by time; none if they came in that order.
    pub rows: Option<Vec<u32>>,
    /// Days since 1970-01-01, ascending, and the stretch of the order that is theirs.
    pub days: Vec<(i32, std::ops::Range<usize>)>,
}

impl Order {
    /// The rows of a stretch of the order.
    pub fn pick(&self, stretch: std::ops::Range<usize>) -> Picked<'_> {
        match &self.rows {
            Some(rows) => Picked::Rows(&rows[stretch]),
            None => Picked::Stretch(stretch),
        }
    }
}

/// Some rows of a run.
#[derive(Debug, Clone)]
pub(crate) enum Picked<'a> {
    /// These, in this order.
    Rows(&'a [u32]),
    /// These, as they came.
    Stretch(std::ops::Range<usize>),
}

impl Picked<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Picked::Rows(rows) => rows.len(),
            Picked::Stretch(stretch) => stretch.len(),
        }
    }

    /// Whether something holds for one of them.
    fn any(&self, holds: impl Fn(usize) -> bool) -> bool {
        match self {
            Picked::Rows(rows) => rows.iter().any(|&row| holds(row as usize)),
            Picked::Stretch(stretch) => stretch.clone().any(holds),
        }
    }

    /// The same rows in parts of about the same size, `rows_max` at most.
    pub fn parts(&self, rows_max: usize) -> Vec<Self> {
        let parts = self.len().div_ceil(rows_max.max(1)).max(1);
        let rows = self.len().div_ceil(parts);
        (0..parts)
            .map(|part| (part * rows).min(self.len())..((part + 1) * rows).min(self.len()))
            .filter(|part| !part.is_empty())
            .map(|part| match self {
                Picked::Rows(rows) => Picked::Rows(&rows[part]),
                Picked::Stretch(stretch) => {
                    Picked::Stretch(stretch.start + part.start..stretch.start + part.end)
                }
            })
            .collect()
    }

    /// Their values.
    pub(super) fn gather<T: Copy>(&self, values: &[T]) -> Vec<T> {
        match self {
            Picked::Rows(rows) => rows.iter().map(|&row| values[row as usize]).collect(),
            Picked::Stretch(stretch) => values[stretch.clone()].to_vec(),
        }
    }
}

/// Numbers of `times` by time, and of equal times in the order in which they came.
fn sorted(times: &[i64]) -> Vec<u32> {
    let least = times.iter().copied().min().unwrap_or(0);
    let most = times.iter().copied().max().unwrap_or(0);
    // Time and number in one word sort several times faster, and days of microseconds fit.
    let number_bits = usize::BITS - times.len().leading_zeros();
    if (most.abs_diff(least)).leading_zeros() >= number_bits {
        let mut keys: Vec<u64> = times
            .iter()
            .zip(0..)
            .map(|(time, row)| time.abs_diff(least) << number_bits | row)
            .collect();
        keys.sort_unstable();
        let mask = (1 << number_bits) - 1;
        return keys.into_iter().map(|key| (key & mask) as u32).collect();
    }
    let mut rows: Vec<u32> = (0..times.len() as u32).collect();
    rows.sort_by_key(|&row| times[row as usize]);
    rows
}

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Days since 1970-01-01 of a time; times outside the years 1 to 9999 count to
/// the first and last day that every reader can write as a date.
pub(crate) fn day(micros: i64) -> i32 {
    micros.div_euclid(DAY).clamp(-719_162, 2_932_896) as i32
}

/// Stretches of `rows` rows with the same day, which does not descend.
fn days(rows: usize, day: impl Fn(usize) -> i32) -> Vec<(i32, std::ops::Range<usize>)> {
    let mut days = Vec::new();
    let mut start = 0;
    while start < rows {
        let today = day(start);
        let (mut low, mut high) = (start + 1, rows);
        while low < high {
            let middle = low + (high - low) / 2;
            if day(middle) > today {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        days.push((today, start..low));
        start = low;
    }
    days
}
