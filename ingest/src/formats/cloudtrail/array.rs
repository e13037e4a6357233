//! Records in an array, one by one, and what comes after a broken one.

use std::ops::Range;

use super::parser::{Array, CloudTrailParser, Follow, Input, Place, Step, in_words};
use super::record::Walked;
use super::resync::{self, Resume};
use crate::formats::Refusal;
use crate::json::{self, Fault, Kind, What};

impl CloudTrailParser {
    /// Takes the next element of an array, or the array's end.
    pub(super) fn element(&mut self, array: Array, input: &mut Input<'_>) -> Result<Step, Refusal> {
        let bytes = input.bytes;
        let end = match input.next_byte() {
            None if !input.last => return Ok(Step::NeedsInput),
            None => {
                let name = if array.wrapped { "Records array" } else { "array" };
                self.reject(input.tally, format!("file ends before the {name} is closed"), b"");
                self.place = Place::Between;
                return Ok(Step::Went);
            }
            Some(b']') => {
                if !array.first {
                    self.reject(input.tally, "expected a record after ',', found ']'", b"]");
                }
                self.go_on(Follow::Close(input.pos), array, input);
                return Ok(Step::Went);
            }
            Some(b'{') => match self.record.walk(bytes, input.pos, false) {
                Ok(Walked::Whole { end }) => Ok(end),
                // These end the walk of documents only.
                Ok(Walked::Records { .. } | Walked::Foreign(_)) => json::skip_value(bytes, input.pos),
                // The place of a fault must not depend on which columns are looked for.
                Err(fault) if fault.what != What::End => {
                    Err(json::skip_value(bytes, input.pos).err().unwrap_or(fault))
                }
                Err(fault) => Err(fault),
            },
            Some(_) => json::skip_value(bytes, input.pos),
        };
        let start = input.pos;
        let end = match end {
            Ok(end) => end,
            Err(fault) if fault.what == What::End && !input.last => return Ok(Step::NeedsInput),
            Err(fault) => return Ok(self.broken_element(fault, array, input)),
        };
        let is_object = bytes[start] == b'{';
        let follow = after_element(bytes, end, is_object, input.last);
        match follow {
            Follow::Wait => return Ok(Step::NeedsInput),
            Follow::Junk(junk) => return Ok(self.element_and_junk(junk, array, input)),
            Follow::Next(_) | Follow::Close(_) | Follow::End => {}
        }
        if is_object {
            self.take(bytes, start..end, array.head, input.tally)?;
        } else {
            let raw = &bytes[start..end];
            self.reject(
                input.tally,
                format!("not a CloudTrail record but {}", Kind::of(raw).in_words()),
                raw,
            );
        }
        self.go_on(follow, array, input);
        Ok(Step::Went)
    }

    /// Goes over what separates an element from the next.
    #[inline]
    fn go_on(&mut self, follow: Follow, array: Array, input: &mut Input<'_>) {
        self.place = Place::Array(Array {
            first: false,
            head: false,
            ..array
        });
        match follow {
            Follow::Next(next) => input.pos = next,
            Follow::Close(bracket) => {
                input.pos = bracket + 1;
                self.place = match array {
                    Array { wrapped: true, .. } => Place::Wrapper,
                    Array { wrapped: false, .. } => Place::AfterArray,
                };
            }
            Follow::End | Follow::Wait | Follow::Junk(_) => input.pos = input.bytes.len(),
        }
    }

    /// Rejects the element that begins here and, at `junk`, has something behind it that no element has.
    ///
    /// The element itself is valid, but is it whole? A brace in its middle that
    /// was something else before would end it early. It is not made a row.
    fn element_and_junk(&mut self, junk: usize, array: Array, input: &mut Input<'_>) -> Step {
        let (bytes, start) = (input.bytes, input.pos);
        let fault = Fault {
            pos: junk,
            what: What::Trailing,
        };
        // Nothing but braces too many: the separator behind them is still the array's own.
        let braces = bytes[junk..]
            .iter()
            .take_while(|&&byte| byte == b'}' || byte.is_ascii_whitespace());
        let end = junk + braces.count();
        match after_element(bytes, end, true, input.last) {
            Follow::Wait => Step::NeedsInput,
            Follow::Junk(_) => self.broken_element(fault, array, input),
            follow => {
                self.reject(
                    input.tally,
                    in_words(fault, start, bytes, end),
                    &bytes[start..end],
                );
                self.go_on(follow, array, input);
                Step::Went
            }
        }
    }

    /// Rejects the element that begins here and finds where the next one does.
    fn broken_element(&mut self, fault: Fault, array: Array, input: &mut Input<'_>) -> Step {
        let (bytes, start) = (input.bytes, input.pos);
        let between = Place::Array(Array {
            first: false,
            head: false,
            ..array
        });
        let (end, place) = if fault.what == What::End {
            // Cut off. A record without an end is not searched for records: what
            // is inside may be text that the caller of an API has chosen.
            (bytes.len(), Place::Between)
        } else {
            match resync::next_element(bytes, start + 1, input.last) {
                Resume::Object(next) => (next, between),
                Resume::Document(next) => (next, Place::Between),
                Resume::Nowhere if input.last => (bytes.len(), Place::Between),
                Resume::Wait(_) | Resume::Nowhere => return Step::NeedsInput,
            }
        };
        let mut raw = bytes[start..end].trim_ascii_end();
        if place == between {
            raw = raw.strip_suffix(b",").unwrap_or(raw);
        }
        self.reject(input.tally, in_words(fault, start, bytes, end), raw);
        self.place = place;
        input.pos = end;
        Step::Went
    }

    /// Goes over one member behind `Records`, or the end of the object around it.
    pub(super) fn member_behind(&mut self, input: &mut Input<'_>) -> Step {
        let bytes = input.bytes;
        let fault = match input.next_byte() {
            None if !input.last => return Step::NeedsInput,
            None => {
                self.reject(
                    input.tally,
                    "file ends before the object around Records is closed",
                    b"",
                );
                self.place = Place::Between;
                return Step::Went;
            }
            Some(b'}') => {
                input.pos += 1;
                self.place = Place::AfterArray;
                return Step::Went;
            }
            Some(b',') => match member_after(bytes, input.pos) {
                Ok((key, value)) if &bytes[key.clone()] == b"Records" && bytes.get(value) == Some(&b'[') => {
                    input.pos = value + 1;
                    self.place = Place::Array(Array {
                        wrapped: true,
                        first: true,
                        head: false,
                    });
                    return Step::Went;
                }
                Ok((_, value)) => match json::skip_value(bytes, value) {
                    Ok(end) if end < bytes.len() || input.last => {
                        input.pos = end;
                        return Step::Went;
                    }
                    // A number could go on in the next block.
                    Ok(_) => return Step::NeedsInput,
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            },
            Some(_) => Fault {
                pos: input.pos,
                what: What::CommaOrBrace,
            },
        };
        if fault.what == What::End && !input.last {
            return Step::NeedsInput;
        }
        let start = input.pos;
        let Some(end) = resync::next_line_with_value(bytes, start, input.last) else {
            return Step::NeedsInput;
        };
        self.reject(
            input.tally,
            in_words(fault, start, bytes, end),
            &bytes[start..end],
        );
        self.place = Place::Between;
        input.pos = end;
        Step::Went
    }

    /// Looks for the end of an element that is too large.
    pub(super) fn skip_element(&mut self, array: Array, input: &mut Input<'_>) -> Step {
        let bytes = input.bytes;
        match resync::next_element(bytes, input.pos, input.last) {
            Resume::Object(next) => {
                input.pos = next;
                self.place = Place::Array(Array {
                    first: false,
                    head: false,
                    ..array
                });
            }
            Resume::Document(next) => {
                input.pos = next;
                self.place = Place::Between;
            }
            Resume::Wait(separator) => {
                input.pos = separator;
                return Step::NeedsInput;
            }
            Resume::Nowhere if input.last => {
                input.pos = bytes.len();
                self.place = Place::Between;
            }
            Resume::Nowhere => {
                // A separator at the very end may come before the element that is looked for.
                let end = input.pos + bytes[input.pos..].trim_ascii_end().len();
                input.pos = end.saturating_sub(1).max(input.pos);
                return Step::NeedsInput;
            }
        }
        Step::Went
    }
}

/// What comes after the element that ends at `end`.
#[inline]
fn after_element(bytes: &[u8], end: usize, is_object: bool, last: bool) -> Follow {
    let next = json::skip_space(bytes, end);
    match bytes.get(next) {
        None if last => Follow::End,
        None => Follow::Wait,
        Some(b']') => Follow::Close(next),
        Some(b',') => {
            let element = json::skip_space(bytes, next + 1);
            match bytes.get(element) {
                None if !last => Follow::Wait,
                // A key: the object was closed too early, and its members go on.
                Some(b'"') if is_object => Follow::Junk(next),
                _ => Follow::Next(element),
            }
        }
        Some(_) => Follow::Junk(next),
    }
}

/// The key behind the comma at `comma`, and where its value begins.
fn member_after(bytes: &[u8], comma: usize) -> Result<(Range<usize>, usize), Fault> {
    let expect = |pos: usize, byte: u8, what: What| match bytes.get(pos) {
        Some(&found) if found == byte => Ok(pos),
        Some(_) => Err(Fault { pos, what }),
        None => Err(Fault { pos, what: What::End }),
    };
    let quote = expect(json::skip_space(bytes, comma + 1), b'"', What::Key)?;
    let end = json::skip_value(bytes, quote)?;
    let colon = expect(json::skip_space(bytes, end), b':', What::Colon)?;
    Ok((quote + 1..end - 1, json::skip_space(bytes, colon + 1)))
}
