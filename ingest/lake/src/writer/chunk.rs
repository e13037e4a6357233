//! One column of a row group to the bytes of its pages.
//!
//! The parquet crate's own column writer looks every value of every row up in
//! a hash table, compares it for the statistics and hashes it for the bloom
//! filter. Here a run knows its distinct values already: each is sorted,
//! compared and hashed once, and rows are numbers.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, Type, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::pack::Delta;
use super::run::{Column, Fixed, Picked};
use super::text::Text;
use super::values::{Bools, Deltas, Doubles, Number, Numbered, PlainTexts, Values};

/// Rows of a page: what a reader can skip inside a row group.
const PAGE_ROWS: usize = 64 << 10;

/// Bytes of a page of long texts, before compression.
const PAGE_BYTES: usize = 1 << 20;

/// Values that are packed on trial to choose an encoding.
const TRIAL: usize = 8 << 10;

/// A dictionary larger than this costs readers more than it saves.
const DICTIONARY_BYTES_MAX: usize = 4 << 20;

/// Most distinct numbers that are looked for by their place between least and most.
const SPAN_MAX: u64 = 1 << 20;

/// How many of the values that a bloom filter does not hold it seems to hold.
const BLOOM_FALSE: f64 = 0.01;

/// What is known of the least and most value after some pages.
enum Found {
    /// There was no value yet.
    Nothing,
    /// These.
    Bounds((Vec<u8>, Vec<u8>)),
    /// A page did not say.
    Unknown,
}

/// A column of a row group, ready to be put into a file.
pub(super) struct Chunk {
    /// Its pages.
    pub bytes: Bytes,
    /// What the file's footer says of it.
    pub close: ColumnCloseResult,
    /// Least and most value, as Parquet writes them; cut text is below and above.
    pub bounds: Option<(Vec<u8>, Vec<u8>)>,
    /// Rows without a value.
    pub nulls: u64,
}

/// Columns that compression makes smaller by less than one part in so many are left as they are.
const WORTHWHILE: usize = 20;

/// Below this many bytes compression costs nothing worth counting.
const PAGE_MIN: usize = 4096;

/// An encoding of a column's values, and about how many bytes it takes.
struct Chosen<'v> {
    values: &'v dyn Values,
    /// As it is.
    plain: usize,
    /// Compressed.
    packed: usize,
}

impl Chosen<'_> {
    /// Whether to compress. Ports and the like are noise that no compressor makes smaller: then
    /// neither they who write nor they who read should pay for the attempt.
    fn packs(&self) -> bool {
        self.packed + self.plain / WORTHWHILE < self.plain || self.plain < PAGE_MIN
    }
}

/// Packs columns; keeps its compressor from one to the next.
pub(super) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    level: i32,
}

impl Packer {
    /// A packer with zstd's `level`.
    pub fn new(level: i32) -> Result<Self> {
        Ok(Packer {
            compressor: zstd::bulk::Compressor::new(level)?,
            level,
        })
    }

    /// Packs the picked rows of `column`, which the file describes as `describe`.
    pub fn pack(
        &mut self,
        column: &Column,
        rows: &Picked<'_>,
        describe: &ColumnDescPtr,
        bloom: bool,
    ) -> Result<Chunk> {
        match column {
            Column::Nothing(_) => {
                let absent = vec![false; rows.len()];
                self.write(&Bools(Vec::new()), Some(&absent), rows.len(), describe, None)
            }
            Column::Text(text) => self.text(text, rows, describe, bloom),
            Column::Int(fixed) => self.numbers(fixed, rows, describe),
            Column::Long(fixed) => self.numbers(fixed, rows, describe),
            Column::Double(fixed) => {
                let (values, valid) = gather(fixed, rows);
                self.write(&Doubles(values), valid.as_deref(), rows.len(), describe, None)
            }
            Column::Bool(fixed) => {
                let (values, valid) = gather(fixed, rows);
                self.write(&Bools(values), valid.as_deref(), rows.len(), describe, None)
            }
        }
    }

    fn numbers<T: Number + Delta>(
        &mut self,
        fixed: &Fixed<T>,
        rows: &Picked<'_>,
        describe: &ColumnDescPtr,
    ) -> Result<Chunk> {
        let (values, valid) = gather(fixed, rows);
        let numbered = number(&values);
        let whole = numbered.as_ref().map(Numbered::in_whole_bytes);
        let deltas = Deltas(values);
        let chosen = match (&numbered, &whole) {
            (Some(numbered), Some(whole)) => self.smallest([numbered, whole, &deltas])?,
            _ => self.trial(&deltas)?,
        };
        self.write_chosen(chosen, valid.as_deref(), rows.len(), describe, None)
    }

    fn text(
        &mut self,
        text: &Text,
        rows: &Picked<'_>,
        describe: &ColumnDescPtr,
        bloom: bool,
    ) -> Result<Chunk> {
        let mut codes = rows.gather(&text.codes);
        let valid = text.has_nulls().then(|| {
            let valid: Vec<bool> = codes.iter().map(|&code| code != super::text::NULL).collect();
            codes.retain(|&code| code != super::text::NULL);
            valid
        });
        let valid = valid.filter(|_| codes.len() < rows.len());
        // Numbers of the run's values that these rows use: all, if these are all rows.
        let mut distinct: Vec<u32> = (0..text.values() as u32).collect();
        if rows.len() < text.codes.len() {
            let mut used = vec![false; text.values()];
            for &code in &codes {
                used[code as usize] = true;
            }
            distinct.retain(|&code| used[code as usize]);
        }
        let bytes: usize = distinct.iter().map(|&code| text.value(code).len() + 4).sum();
        let filter = bloom
            .then(|| -> Result<Sbbf> {
                let mut filter = Sbbf::new_with_ndv_fpp(distinct.len().max(1) as u64, BLOOM_FALSE)?;
                for &code in &distinct {
                    filter.insert(text.value(code));
                }
                Ok(filter)
            })
            .transpose()?;
        if distinct.len() * 2 > codes.len().max(16) || bytes > DICTIONARY_BYTES_MAX {
            let plain = PlainTexts {
                text,
                codes,
                bounded: is_short(text, &distinct, bytes),
            };
            return self.write(&plain, valid.as_deref(), rows.len(), describe, filter);
        }
        sort_by_text(text, &mut distinct);
        let mut ranks = vec![0u32; text.values()];
        for (rank, &code) in (0..).zip(&distinct) {
            ranks[code as usize] = rank;
        }
        for code in &mut codes {
            *code = ranks[*code as usize];
        }
        let bounded = is_short(text, &distinct, bytes);
        let numbered = Numbered::texts(codes, distinct.iter().map(|&code| text.value(code)), bounded);
        let whole = numbered.in_whole_bytes();
        let chosen = self.smallest([&numbered, &whole])?;
        self.write_chosen(chosen, valid.as_deref(), rows.len(), describe, filter)
    }

    /// Which of several encodings of the same values takes least, told from some values in their middle.
    fn smallest<'v, const N: usize>(&mut self, encodings: [&'v dyn Values; N]) -> Result<Chosen<'v>> {
        let mut best = self.trial(encodings[0])?;
        for &values in &encodings[1..] {
            let other = self.trial(values)?;
            if other.packed < best.packed {
                best = other;
            }
        }
        Ok(best)
    }

    /// About how many bytes the values take, told from some in their middle.
    fn trial<'v>(&mut self, values: &'v dyn Values) -> Result<Chosen<'v>> {
        let count = values.len();
        let some = count.min(TRIAL);
        let (mut plain, mut packed) = (0, 0);
        if some > 0 {
            let start = (count - some) / 2;
            let mut page = Vec::new();
            values.encode(start..start + some, &mut page);
            let dictionary = values.dictionary().map_or(0, |(bytes, _)| bytes.len());
            let all = |bytes: usize| (bytes as u64 * count as u64 / some as u64) as usize;
            plain = all(page.len()) + dictionary;
            packed = all(self.compressor.compress(&page)?.len()) + dictionary / 2;
        }
        Ok(Chosen {
            values,
            plain,
            packed,
        })
    }

    fn packed(&mut self, bytes: &[u8], packs: bool) -> Result<Vec<u8>> {
        match packs {
            true => Ok(self.compressor.compress(bytes)?),
            false => Ok(bytes.to_vec()),
        }
    }

    fn write(
        &mut self,
        values: &dyn Values,
        valid: Option<&[bool]>,
        rows: usize,
        describe: &ColumnDescPtr,
        bloom_filter: Option<Sbbf>,
    ) -> Result<Chunk> {
        let only = self.trial(values)?;
        self.write_chosen(only, valid, rows, describe, bloom_filter)
    }

    fn write_chosen(
        &mut self,
        chosen: Chosen<'_>,
        valid: Option<&[bool]>,
        rows: usize,
        describe: &ColumnDescPtr,
        bloom_filter: Option<Sbbf>,
    ) -> Result<Chunk> {
        let packs = chosen.packs();
        let values = chosen.values;
        let mut sink = TrackedWrite::new(Vec::new());
        let mut pages = SerializedPageWriter::new(&mut sink);
        let mut index = ColumnIndexBuilder::new(describe.physical_type());
        let mut offsets = OffsetIndexBuilder::new();
        let mut uncompressed = 0;
        let mut first_data_page = None;
        let mut last: Option<(Vec<u8>, Vec<u8>)> = None;
        let mut ascending = true;
        let mut bounds = Found::Nothing;
        if let Some((bytes, count)) = values.dictionary() {
            let page = Page::DictionaryPage {
                buf: self.packed(bytes, packs)?.into(),
                num_values: count as u32,
                encoding: Encoding::PLAIN,
                is_sorted: true,
            };
            let spec = pages.write_page(CompressedPage::new(page, bytes.len()))?;
            uncompressed += spec.uncompressed_size;
        }
        let levels = describe.max_def_level() > 0;
        let mut buffer = Vec::new();
        let (mut row, mut value) = (0, 0);
        while row < rows || first_data_page.is_none() {
            let (end_row, end_value) = page_end(values, valid, row, value, rows);
            buffer.clear();
            if levels {
                definition_levels(
                    valid.map(|valid| &valid[row..end_row]),
                    end_row - row,
                    &mut buffer,
                );
            }
            values.encode(value..end_value, &mut buffer);
            let page = Page::DataPage {
                buf: self.packed(&buffer, packs)?.into(),
                num_values: (end_row - row) as u32,
                encoding: values.encoding(),
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            };
            let spec = pages.write_page(CompressedPage::new(page, buffer.len()))?;
            uncompressed += spec.uncompressed_size;
            first_data_page.get_or_insert(spec.offset);
            offsets.append_row_count((end_row - row) as i64);
            offsets.append_offset_and_size(spec.offset as i64, spec.compressed_size as i32);
            let nulls = (end_row - row) - (end_value - value);
            let page_bounds = values.bounds(value..end_value);
            if value < end_value {
                bounds = match (bounds, &page_bounds) {
                    (Found::Nothing, Some(page)) => Found::Bounds(page.clone()),
                    (Found::Bounds((least, most)), Some(page)) => Found::Bounds((
                        if values.ordered(&page.0, &least) {
                            page.0.clone()
                        } else {
                            least
                        },
                        if values.ordered(&most, &page.1) {
                            page.1.clone()
                        } else {
                            most
                        },
                    )),
                    _ => Found::Unknown,
                };
            }
            match page_bounds.and_then(short_bounds) {
                Some((least, most)) => {
                    ascending &= last
                        .as_ref()
                        .is_none_or(|last| values.ordered(&last.0, &least) && values.ordered(&last.1, &most));
                    index.append(false, least.clone(), most.clone(), nulls as i64);
                    last = Some((least, most));
                }
                None if value == end_value => index.append(true, Vec::new(), Vec::new(), nulls as i64),
                None => index.to_invalid(),
            }
            (row, value) = (end_row, end_value);
        }
        let bytes = Bytes::from(sink.into_inner()?);
        let bounds = match bounds {
            Found::Bounds(bounds) => Some(bounds),
            _ => None,
        };
        let nulls = (rows - values.len()) as u64;
        let compression = match packs {
            true => Compression::ZSTD(ZstdLevel::try_new(self.level)?),
            false => Compression::UNCOMPRESSED,
        };
        let mut meta = ColumnChunkMetaData::builder(describe.clone())
            .set_compression(compression)
            .set_num_values(rows as i64)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(uncompressed as i64)
            .set_data_page_offset(first_data_page.unwrap_or(0) as i64)
            .set_statistics(statistics(describe.physical_type(), bounds.as_ref(), nulls)?);
        meta = match values.dictionary() {
            Some(_) => meta.set_dictionary_page_offset(Some(0)).set_encodings(vec![
                Encoding::PLAIN,
                Encoding::RLE,
                values.encoding(),
            ]),
            None => meta.set_encodings(vec![Encoding::RLE, values.encoding()]),
        };
        let column_index = if index.valid() {
            if ascending {
                index.set_boundary_order(BoundaryOrder::ASCENDING);
            }
            Some(index.build()?)
        } else {
            None
        };
        Ok(Chunk {
            close: ColumnCloseResult {
                bytes_written: bytes.len() as u64,
                rows_written: rows as u64,
                metadata: meta.build()?,
                bloom_filter,
                column_index,
                offset_index: Some(offsets.build()),
            },
            bytes,
            bounds: bounds.and_then(short_bounds),
            nulls,
        })
    }
}

fn gather<T: Copy>(fixed: &Fixed<T>, rows: &Picked<'_>) -> (Vec<T>, Option<Vec<bool>>) {
    let values = rows.gather(&fixed.values);
    let Some(valid) = &fixed.valid else {
        return (values, None);
    };
    let valid = rows.gather(valid);
    if !valid.contains(&false) {
        return (values, None);
    }
    let values = values
        .into_iter()
        .zip(&valid)
        .filter(|(_, valid)| **valid)
        .map(|(value, _)| value);
    (values.collect(), Some(valid))
}

/// Sorts a column's values, given by their numbers. Most differ in their first 16 bytes, and to look
/// only at those spares a jump through memory for each comparison.
fn sort_by_text(text: &Text, codes: &mut [u32]) {
    let start = |code: u32| {
        let value = text.value(code);
        let mut start = [0; 16];
        let length = value.len().min(start.len());
        start[..length].copy_from_slice(&value[..length]);
        u128::from_be_bytes(start)
    };
    let mut keys: Vec<(u128, u32)> = codes.iter().map(|&code| (start(code), code)).collect();
    keys.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| text.value(a.1).cmp(text.value(b.1))));
    for (code, key) in codes.iter_mut().zip(keys) {
        *code = key.1;
    }
}

/// Numbers of the distinct values, in order; none if there are too many, or too far apart.
fn number<T: Number>(values: &[T]) -> Option<Numbered<'static>> {
    // Times mostly are whole seconds. The unit is known when this is compiled: a division that is
    // not takes longer than all the rest.
    if values.iter().all(|value| value.wide() % 1_000_000 == 0) {
        number_in::<T, 1_000_000>(values)
    } else if values.iter().all(|value| value.wide() % 1_000 == 0) {
        number_in::<T, 1_000>(values)
    } else {
        number_in::<T, 1>(values)
    }
}

fn number_in<T: Number, const UNIT: u64>(values: &[T]) -> Option<Numbered<'static>> {
    let (mut least, mut most) = (*values.first()?, *values.first()?);
    for &value in values {
        least = least.min(value);
        most = most.max(value);
    }
    let least = least.wide();
    let span = most.wide().abs_diff(least) / UNIT;
    if span >= SPAN_MAX {
        return None;
    }
    let mut ranks = vec![0u32; span as usize + 1];
    let mut codes = Vec::with_capacity(values.len());
    codes.extend(values.iter().map(|value| {
        let code = (value.wide().wrapping_sub(least) as u64 / UNIT) as u32;
        ranks[code as usize] = 1;
        code
    }));
    let mut distinct = Vec::new();
    for (place, rank) in ranks.iter_mut().enumerate() {
        if *rank == 1 {
            *rank = distinct.len() as u32;
            distinct.push(T::narrow(least + (place as u64 * UNIT) as i64));
        }
    }
    if distinct.len() * 4 > values.len().max(16) {
        return None;
    }
    for code in &mut codes {
        *code = ranks[*code as usize];
    }
    Some(Numbered::numbers(codes, &distinct))
}

/// Whether a text column's least and most value say something: not those of JSON, nor of messages.
fn is_short(text: &Text, distinct: &[u32], bytes: usize) -> bool {
    const LENGTH_MAX: usize = 64;
    let json = |&code: &u32| matches!(text.value(code).first(), Some(b'{' | b'['));
    bytes <= (LENGTH_MAX + 4) * distinct.len().max(1) && !distinct.first().is_some_and(json)
}

/// End of a page that starts at a row and its value.
fn page_end(
    values: &dyn Values,
    valid: Option<&[bool]>,
    row: usize,
    value: usize,
    rows: usize,
) -> (usize, usize) {
    let mut end_row = (row + PAGE_ROWS).min(rows);
    let count = |end: usize| match valid {
        Some(valid) => valid[row..end].iter().filter(|valid| **valid).count(),
        None => end - row,
    };
    let mut end_value = value + count(end_row);
    while end_row - row > 1 && values.plain_bytes(value..end_value) > PAGE_BYTES {
        end_row = row + (end_row - row) / 2;
        end_value = value + count(end_row);
    }
    (end_row, end_value)
}

/// Length, then for each row whether it has a value, as runs and bits.
fn definition_levels(valid: Option<&[bool]>, rows: usize, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    match valid {
        Some(valid) => {
            let levels: Vec<u32> = valid.iter().map(|&valid| u32::from(valid)).collect();
            super::pack::runs_and_bits(&levels, 1, out);
        }
        None => super::pack::run(1, rows, 1, out),
    }
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

/// Bytes of a text that statistics hold.
const BOUND_MAX: usize = 64;

/// Bounds cut to size: the least is cut, the most is cut and counted up.
fn short_bounds((mut least, most): (Vec<u8>, Vec<u8>)) -> Option<(Vec<u8>, Vec<u8>)> {
    if least.len() > BOUND_MAX {
        let text = str::from_utf8(&least).ok()?;
        let end = text.floor_char_boundary(BOUND_MAX);
        least.truncate(end);
    }
    let most = if most.len() > BOUND_MAX {
        counted_up(&most)?
    } else {
        most
    };
    Some((least, most))
}

/// The shortest start of a text, its last character counted up: after every text that starts like it.
fn counted_up(text: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(text).ok()?;
    let mut start: Vec<char> = text[..text.floor_char_boundary(BOUND_MAX)].chars().collect();
    while let Some(last) = start.pop() {
        if let Some(next) = (last as u32 + 1..=last as u32 + 0x801).find_map(char::from_u32)
            && next.len_utf8() == last.len_utf8()
        {
            start.push(next);
            return Some(start.into_iter().collect::<String>().into_bytes());
        }
    }
    None
}

fn statistics(kind: Type, bounds: Option<&(Vec<u8>, Vec<u8>)>, nulls: u64) -> Result<Statistics> {
    fn read<T, const N: usize>(bytes: &[u8], from: fn([u8; N]) -> T) -> Option<T> {
        Some(from(bytes.try_into().ok()?))
    }
    macro_rules! fixed {
        ($from:expr) => {
            ValueStatistics::new(
                bounds.and_then(|(least, _)| read(least, $from)),
                bounds.and_then(|(_, most)| read(most, $from)),
                None,
                Some(nulls),
                false,
            )
        };
    }
    Ok(match kind {
        Type::BOOLEAN => Statistics::Boolean(fixed!(|[byte]: [u8; 1]| byte != 0)),
        Type::INT32 => Statistics::Int32(fixed!(i32::from_le_bytes)),
        Type::INT64 => Statistics::Int64(fixed!(i64::from_le_bytes)),
        Type::DOUBLE => Statistics::Double(fixed!(f64::from_le_bytes)),
        Type::BYTE_ARRAY => {
            let cut = bounds.cloned().and_then(short_bounds);
            let exact = cut.as_ref() == bounds;
            let (least, most) = cut.unzip();
            Statistics::ByteArray(
                ValueStatistics::new(
                    least.map(ByteArray::from),
                    most.map(ByteArray::from),
                    None,
                    Some(nulls),
                    false,
                )
                .with_min_is_exact(exact)
                .with_max_is_exact(exact),
            )
        }
        other => return Err(ParquetError::General(format!("no column is {other}"))),
    })
}
