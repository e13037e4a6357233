//! Values as text: one cell at a time, the same for tables, CSV and text columns.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, LargeStringArray, RecordBatch, StringArray, StringViewArray, UnionArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::json::UnionEncoding;

/// A value as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// A number or a truth value: never cut, never quoted.
    Number(Cow<'a, str>),
    /// Anything else, as it is: control characters included.
    Text(Cow<'a, str>),
}

impl Cell<'_> {
    /// The text; empty for NULL.
    pub fn text(&self) -> &str {
        match self {
            Cell::Null => "",
            Cell::Number(text) | Cell::Text(text) => text,
        }
    }
}

const FORMAT: FormatOptions<'static> = FormatOptions::new().with_display_error(true);

/// What a column needs to become text.
pub struct Cells<'a> {
    column: &'a dyn Array,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Number(ArrayFormatter<'a>),
    Other(ArrayFormatter<'a>),
    /// One entry per type id.
    Union(&'a UnionArray, Vec<(i8, Cells<'a>)>),
    /// Lists, structs and maps, shown as JSON.
    Nested(NullableEncoder<'a>),
}

/// What the JSON encoders of nested columns need to live as long as the column.
pub struct NestedOptions {
    field: FieldRef,
    options: EncoderOptions,
}

impl NestedOptions {
    /// Options for columns of this type.
    pub fn new(data_type: &DataType) -> Self {
        NestedOptions {
            field: Arc::new(Field::new("value", data_type.clone(), true)),
            options: EncoderOptions::default()
                .with_explicit_nulls(true)
                .with_encoder_factory(Arc::new(UnionEncoding)),
        }
    }
}

impl<'a> Cells<'a> {
    /// Cells of `column`, which [`tidy`] has been over.
    ///
    /// # Errors
    /// The type has no text form.
    pub fn new(column: &'a dyn Array, nested: &'a NestedOptions) -> Result<Self, ArrowError> {
        let kind = match column.data_type() {
            DataType::Utf8 => Kind::Utf8(column.as_string()),
            DataType::LargeUtf8 => Kind::LargeUtf8(column.as_string()),
            DataType::Utf8View => Kind::Utf8View(column.as_string_view()),
            DataType::Union(fields, _) => {
                let union = column.as_union();
                let children = fields.iter().map(|(id, _)| {
                    let child = union.child(id);
                    // Lists inside a union would need options of their own; the
                    // unions that queries make hold scalars only.
                    Ok((id, Cells::new(child.as_ref(), nested)?))
                });
                Kind::Union(union, children.collect::<Result<_, ArrowError>>()?)
            }
            data_type if data_type.is_nested() => {
                Kind::Nested(make_encoder(&nested.field, column, &nested.options)?)
            }
            data_type if is_number(data_type) => Kind::Number(ArrayFormatter::try_new(column, &FORMAT)?),
            _ => Kind::Other(ArrayFormatter::try_new(column, &FORMAT)?),
        };
        Ok(Cells { column, kind })
    }

    /// The cell of one row.
    pub fn cell(&mut self, row: usize) -> Cell<'_> {
        if self.column.is_null(row) {
            return Cell::Null;
        }
        match &mut self.kind {
            Kind::Utf8(texts) => Cell::Text(texts.value(row).into()),
            Kind::LargeUtf8(texts) => Cell::Text(texts.value(row).into()),
            Kind::Utf8View(texts) => Cell::Text(texts.value(row).into()),
            Kind::Number(formatter) => Cell::Number(formatter.value(row).to_string().into()),
            Kind::Other(formatter) => match formatter.value(row).to_string() {
                // A column of type NULL has no null buffer.
                text if self.column.data_type() == &DataType::Null && text.is_empty() => Cell::Null,
                text => Cell::Text(text.into()),
            },
            Kind::Union(union, children) => {
                let (id, offset) = (union.type_id(row), union.value_offset(row));
                match children.iter_mut().find(|(child, _)| *child == id) {
                    Some((_, child)) => child.cell(offset),
                    None => Cell::Null,
                }
            }
            Kind::Nested(encoder) => {
                let mut json = Vec::new();
                encoder.encode(row, &mut json);
                Cell::Text(String::from_utf8_lossy(&json).into_owned().into())
            }
        }
    }
}

/// Whether values of this type are numbers or truth values to a reader.
pub fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type == &DataType::Boolean
}

/// The schema that [`tidy`] gives batches of `schema`: every column name once,
/// every timestamp with a zone, no dictionaries.
pub fn tidy_schema(schema: &Schema) -> SchemaRef {
    let mut names: Vec<String> = Vec::new();
    let mut fields = Vec::new();
    for field in schema.fields() {
        // `SELECT a.*, b.*` may name a column twice, and then a JSON object
        // would lose one of them.
        let mut name = field.name().clone();
        let mut copy = 2;
        while names.contains(&name) {
            name = format!("{}_{copy}", field.name());
            copy += 1;
        }
        names.push(name.clone());
        fields.push(Field::new(name, tidy_type(field.data_type()), true));
    }
    Arc::new(Schema::new(fields))
}

fn tidy_type(data_type: &DataType) -> DataType {
    match data_type {
        // Times without a zone come out of functions; all logs are UTC.
        DataType::Timestamp(unit, None) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::Dictionary(_, values) => tidy_type(values),
        DataType::RunEndEncoded(_, values) => tidy_type(values.data_type()),
        other => other.clone(),
    }
}

/// A batch in the shape of `schema`, which is the [`tidy_schema`] of its own.
///
/// # Errors
/// A column cannot be converted.
pub fn tidy(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast_if_other(column, field.data_type()));
    with_rows(schema, columns.collect::<Result<_, _>>()?, batch.num_rows())
}

fn cast_if_other(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type {
        Ok(Arc::clone(column))
    } else {
        cast(column, data_type)
    }
}

/// Plain types for files that other programs open: views and unions become
/// ordinary strings. Also keeps a small result from dragging along the whole
/// blocks of log text that its string views point into.
pub fn portable_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Utf8View | DataType::Union(..) => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A tidy batch in the shape of `schema`, which is the [`portable_schema`] of its own.
///
/// # Errors
/// A column cannot be converted.
pub fn portable(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| match column.data_type() {
            DataType::Union(..) => as_text(column),
            _ => cast_if_other(column, field.data_type()),
        });
    with_rows(schema, columns.collect::<Result<_, _>>()?, batch.num_rows())
}

fn with_rows(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    // A batch may have rows and no columns.
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn as_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let nested = NestedOptions::new(column.data_type());
    let mut cells = Cells::new(column.as_ref(), &nested)?;
    let mut texts = arrow::array::StringBuilder::new();
    for row in 0..column.len() {
        match cells.cell(row) {
            Cell::Null => texts.append_null(),
            cell => texts.append_value(cell.text()),
        }
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use arrow::array::*;
    use arrow::buffer::ScalarBuffer;
    use arrow::datatypes::*;

    /// As the `->` operator makes them: null, number, text, object.
    pub(crate) fn union() -> ArrayRef {
        let fields = UnionFields::from_iter([
            (0, Arc::new(Field::new("null", DataType::Null, true))),
            (2, Arc::new(Field::new("int", DataType::Int64, false))),
            (4, Arc::new(Field::new("str", DataType::Utf8, false))),
            (6, Arc::new(Field::new("object", DataType::Utf8, false))),
        ]);
        let children: Vec<ArrayRef> = vec![
            Arc::new(NullArray::new(4)),
            Arc::new(Int64Array::from(vec![
                None,
                Some(9_007_199_254_740_993),
                None,
                None,
            ])),
            Arc::new(StringArray::from(vec![None, None, Some("=a"), None])),
            Arc::new(StringArray::from(vec![None, None, None, Some(r#"{"b":1}"#)])),
        ];
        let ids = ScalarBuffer::from(vec![0i8, 2, 4, 6]);
        Arc::new(UnionArray::try_new(fields, ids, None, children).unwrap())
    }

    fn texts(column: &ArrayRef) -> Vec<String> {
        let schema = Schema::new(vec![Field::new("c", column.data_type().clone(), true)]);
        let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![Arc::clone(column)]).unwrap();
        let batch = tidy(&batch, &tidy_schema(&schema)).unwrap();
        let nested = NestedOptions::new(batch.column(0).data_type());
        let mut cells = Cells::new(batch.column(0).as_ref(), &nested).unwrap();
        (0..column.len())
            .map(|row| format!("{:?}", cells.cell(row)))
            .collect()
    }

    #[test]
    fn every_kind_of_value_has_a_text() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), None]));
        assert_eq!(texts(&column), [r#"Number("-9223372036854775808")"#, "Null"]);
        let column: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        assert_eq!(texts(&column), [r#"Number("true")"#]);
        let column: ArrayRef = Arc::new(NullArray::new(1));
        assert_eq!(texts(&column), ["Null"]);
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("a\""), None]);
        let column: ArrayRef = Arc::new(lists.finish());
        assert_eq!(texts(&column), [r#"Text("[\"a\\\"\",null]")"#]);
        assert_eq!(
            texts(&union()),
            [
                "Null",
                r#"Number("9007199254740993")"#,
                r#"Text("=a")"#,
                r#"Text("{\"b\":1}")"#
            ]
        );
        let column: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("x"), None]));
        assert_eq!(texts(&column), [r#"Text("x")"#, "Null"]);
    }

    #[test]
    fn times_are_utc() {
        let micros = 1_793_491_200_000_000;
        let plain: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![micros * 1000 + 250_000_000]));
        assert_eq!(texts(&plain), [r#"Text("2026-11-01T00:00:00.250Z")"#]);
        let zoned: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"));
        assert_eq!(texts(&zoned), [r#"Text("2026-11-01T00:00:00Z")"#]);
        let zoned: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("+00:00"));
        assert_eq!(texts(&zoned), [r#"Text("2026-11-01T00:00:00Z")"#]);
    }

    #[test]
    fn names_are_unique() {
        let field = |name: &str| Field::new(name, DataType::Int32, true);
        let schema = tidy_schema(&Schema::new(vec![
            field("a"),
            field("a_2"),
            field("a"),
            field("a"),
        ]));
        let names: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        assert_eq!(names, ["a", "a_2", "a_3", "a_4"]);
    }
}
