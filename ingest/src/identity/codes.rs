//! Texts of columns by number: what is known of a text is looked up once, and found again without comparing.

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, DictionaryArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt32Type};

use crate::intern::Interner;

/// In place of a text's number where there is none.
pub(super) const NONE: u32 = 0;

/// Distinct texts, from number 1, and what is known of each.
#[derive(Debug)]
pub(super) struct Known<T> {
    texts: Interner,
    /// By number; first what is known where there is none.
    of: Vec<T>,
}

impl<T: Default> Default for Known<T> {
    fn default() -> Self {
        Known {
            texts: Interner::default(),
            of: vec![T::default()],
        }
    }
}

impl<T> Known<T> {
    /// Number of texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// What is known of the text with a number.
    #[inline]
    pub fn of(&self, code: u32) -> &T {
        &self.of[code as usize]
    }

    /// What is known of the text with a number, to know more.
    #[inline]
    pub fn of_mut(&mut self, code: u32) -> &mut T {
        &mut self.of[code as usize]
    }

    /// Appends the texts' numbers to `codes`; what is new is made known.
    fn number(&mut self, texts: &StringViewArray, codes: &mut Vec<u32>, know: impl FnMut(&str) -> T) {
        let start = codes.len();
        self.texts.push(texts, codes);
        for code in &mut codes[start..] {
            // The number for no text is the greatest.
            *code = code.wrapping_add(1);
        }
        let new = self.of.len() as u32 - 1..self.texts.len() as u32;
        let texts = new.filter_map(|code| self.texts.text(code));
        self.of.extend(texts.map(know));
    }
}

/// The numbers of a column's texts, row by row.
#[derive(Debug, Default)]
pub(super) struct Codes {
    rows: Vec<u32>,
    /// The texts of the dictionary before, and their numbers: many batches have the same.
    dictionary: Option<(ArrayData, Vec<u32>)>,
}

impl Codes {
    /// Takes the column of the next batch, which has `rows` rows: texts, or a dictionary of texts. Other
    /// columns have none.
    pub fn see<T>(
        &mut self,
        column: Option<&ArrayRef>,
        rows: usize,
        known: &mut Known<T>,
        know: impl FnMut(&str) -> T,
    ) {
        self.rows.clear();
        let column = column.filter(|column| column.null_count() < column.len());
        if let Some(dictionary) = column.and_then(|column| column.as_dictionary_opt::<UInt32Type>()) {
            self.see_dictionary(dictionary, known, know);
        } else if let Some(texts) = column.and_then(|column| column.as_string_view_opt()) {
            known.number(texts, &mut self.rows, know);
        }
        self.rows.resize(rows, NONE);
    }

    fn see_dictionary<T>(
        &mut self,
        column: &DictionaryArray<UInt32Type>,
        known: &mut Known<T>,
        know: impl FnMut(&str) -> T,
    ) {
        let values = column.values().to_data();
        let codes = match self.dictionary.take() {
            Some((seen, codes)) if seen.ptr_eq(&values) => codes,
            _ => {
                let mut codes = Vec::with_capacity(values.len());
                let texts = cast(column.values(), &DataType::Utf8View);
                if let Some(texts) = texts.ok().as_ref().and_then(|texts| texts.as_string_view_opt()) {
                    known.number(texts, &mut codes, know);
                }
                codes
            }
        };
        let code = |key: &u32| codes.get(*key as usize).copied().unwrap_or(NONE);
        let keys = column.keys();
        match keys.nulls().filter(|nulls| nulls.null_count() > 0) {
            // As many columns of flow logs are: one network, one account.
            None if codes.len() == 1 => self.rows.resize(keys.len(), codes[0]),
            None => self.rows.extend(keys.values().iter().map(code)),
            Some(nulls) => {
                self.rows.resize(keys.len(), NONE);
                for row in nulls.valid_indices() {
                    self.rows[row] = code(&keys.values()[row]);
                }
            }
        }
        self.dictionary = Some((values, codes));
    }

    /// The numbers of the first `count` rows.
    pub fn rows(&self, count: usize) -> &[u32] {
        &self.rows[..count]
    }
}
