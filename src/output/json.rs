//! JSON and NDJSON: numbers exact, every key present, safe on a terminal.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UnionArray};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{
    Encoder, EncoderFactory, EncoderOptions, JsonArray, JsonFormat, LineDelimited, NullableEncoder, Writer,
    WriterBuilder, make_encoder,
};

use super::cells::{tidy, tidy_schema};
use crate::text::is_hidden;

/// Writes rows as JSON objects: one per line, or all in one array.
pub struct JsonWriter<W: Write, F: JsonFormat> {
    writer: Writer<Escaping<W>, F>,
    schema: SchemaRef,
}

/// One object per line.
pub type Ndjson<W> = JsonWriter<W, LineDelimited>;
/// One array of objects.
pub type Json<W> = JsonWriter<W, JsonArray>;

impl<W: Write, F: JsonFormat> JsonWriter<W, F> {
    /// A writer for batches of `schema`.
    pub fn new(schema: &SchemaRef, out: W) -> Self {
        let writer = WriterBuilder::new()
            .with_explicit_nulls(true)
            .with_encoder_factory(Arc::new(UnionEncoding))
            .build(Escaping {
                out,
                held: Vec::new(),
            });
        JsonWriter {
            writer,
            schema: tidy_schema(schema),
        }
    }
}

impl<W: Write, F: JsonFormat> super::Writer for JsonWriter<W, F> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.writer.write(&tidy(batch, &self.schema)?)
    }

    fn finish(&mut self) -> Result<(), ArrowError> {
        self.writer.finish()?;
        self.writer.get_mut().end_text()
    }
}

/// Writes characters that steer a terminal or hide as `\u` escapes.
///
/// Outside strings JSON has none of them, and inside one the escape means the
/// same character: the text stays exact, and printing it stays harmless.
struct Escaping<W> {
    out: W,
    /// The first bytes of a character whose rest is still to come.
    held: Vec<u8>,
}

impl<W: Write> Escaping<W> {
    fn end_text(&mut self) -> Result<(), ArrowError> {
        self.out.write_all(&std::mem::take(&mut self.held))?;
        Ok(self.out.flush()?)
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.held.is_empty() && bytes.iter().all(|byte| *byte < 0x7f) {
            self.out.write_all(bytes)?;
            return Ok(bytes.len());
        }
        self.held.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.held) {
            Ok(_) => self.held.len(),
            Err(error) => error.valid_up_to(),
        };
        let rest = self.held.split_off(whole);
        let text = String::from_utf8(std::mem::replace(&mut self.held, rest)).unwrap_or_default();
        let mut plain = 0;
        for (at, character) in text.char_indices().filter(|(_, c)| *c >= '\x7f' && is_hidden(*c)) {
            self.out.write_all(&text.as_bytes()[plain..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(self.out, "\\u{unit:04x}")?;
            }
            plain = at + character.len_utf8();
        }
        self.out.write_all(&text.as_bytes()[plain..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Encodes unions, as the JSON operators `->` and `->>` make them, as the value
/// that each row holds.
#[derive(Debug)]
pub struct UnionEncoding;

impl EncoderFactory for UnionEncoding {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let DataType::Union(fields, _) = array.data_type() else {
            return Ok(None);
        };
        let union = array.as_union();
        let children = fields
            .iter()
            .map(|(id, field)| Ok((id, make_encoder(field, union.child(id).as_ref(), options)?)))
            .collect::<Result<_, ArrowError>>()?;
        let nulls = union.logical_nulls();
        Ok(Some(NullableEncoder::new(
            Box::new(UnionEncoder { union, children }),
            nulls,
        )))
    }
}

struct UnionEncoder<'a> {
    union: &'a UnionArray,
    children: Vec<(i8, NullableEncoder<'a>)>,
}

impl Encoder for UnionEncoder<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let (id, offset) = (self.union.type_id(row), self.union.value_offset(row));
        match self.children.iter_mut().find(|(child, _)| *child == id) {
            Some((_, child)) if !child.is_null(offset) => child.encode(offset, out),
            _ => out.extend_from_slice(b"null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Writer as _;
    use arrow::array::{
        ArrayRef, Float64Array, Int64Array, StringViewArray, TimestampMicrosecondArray, UInt64Array,
    };

    fn ndjson(columns: Vec<(&str, ArrayRef)>) -> String {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut out = Vec::new();
        let mut writer = Ndjson::new(&batch.schema(), &mut out);
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        drop(writer);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_exact_and_keys_all_there() {
        let text = ndjson(vec![
            (
                "i",
                Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None])),
            ),
            ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
            ("f", Arc::new(Float64Array::from(vec![0.1, f64::NAN]))),
            (
                "t",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![1_793_491_200_000_000, 1]).with_timezone("UTC"),
                ),
            ),
        ]);
        assert_eq!(
            text,
            "{\"i\":9007199254740993,\"u\":18446744073709551615,\"f\":0.1,\"t\":\"2026-11-01T00:00:00Z\"}\n\
             {\"i\":null,\"u\":0,\"f\":null,\"t\":\"1970-01-01T00:00:00.000001Z\"}\n"
        );
    }

    #[test]
    fn unions_are_the_values_they_hold() {
        let text = ndjson(vec![("v", crate::output::cells::tests::union())]);
        assert_eq!(
            text,
            "{\"v\":null}\n{\"v\":9007199254740993}\n{\"v\":\"=a\"}\n{\"v\":\"{\\\"b\\\":1}\"}\n"
        );
    }

    #[test]
    fn hidden_characters_are_escaped_and_stay_the_same() {
        let evil = "\x1b[2J \u{9b}31m \u{202e}txt.exe \u{7f} \u{e0041} ünï漢";
        let text = ndjson(vec![("s", Arc::new(StringViewArray::from(vec![evil])))]);
        assert!(!text.trim_end().chars().any(is_hidden), "{text}");
        assert!(text.contains("ünï漢"));
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["s"], evil);
    }

    #[test]
    fn characters_may_come_in_pieces() {
        let text = "a漢\u{202e}b";
        for size in 1..text.len() {
            let mut escaping = Escaping {
                out: Vec::new(),
                held: Vec::new(),
            };
            for piece in text.as_bytes().chunks(size) {
                escaping.write_all(piece).unwrap();
            }
            escaping.end_text().unwrap();
            assert_eq!(String::from_utf8(escaping.out).unwrap(), "a漢\\u202eb", "{size}");
        }
    }

    #[test]
    fn nothing_is_still_an_array() {
        let batch =
            RecordBatch::try_from_iter([("i", Arc::new(Int64Array::from(vec![0i64; 0])) as ArrayRef)])
                .unwrap();
        let mut out = Vec::new();
        let mut writer = Json::new(&batch.schema(), &mut out);
        writer.finish().unwrap();
        drop(writer);
        assert_eq!(String::from_utf8(out).unwrap(), "[]");
    }
}
