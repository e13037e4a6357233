//! Walks JSON text without building a tree.
//!
//! Bytes in, spans out: a value is where it begins and ends, and nobody pays
//! for what they do not look at. What is walked is checked as strictly as
//! `serde_json` does it, with three deliberate differences:
//!
//! - At most [`DEPTH_MAX`] levels, told by a reason of its own.
//! - A lone surrogate (`\ud800`) passes, and [`unescape`] turns it into U+FFFD:
//!   a log record must not be lost over one character in a user agent.
//! - UTF-8 is the caller's to check: doing that for a whole block at once costs
//!   next to nothing, doing it string by string does.
//!
//! Nothing recurses, so no input can overflow the stack, and every function
//! ends in time linear in the bytes that it is given.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Most levels of arrays and objects inside each other. CloudTrail stays below 20.
pub const DEPTH_MAX: u32 = 128;

/// From this many digits on a number may be beyond what 64-bit floats hold.
const NUMBER_BYTES_SAFE: usize = 300;

/// Where and why a text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The byte that should not be there, or the end of the text.
    pub pos: usize,
    /// What is wrong with it.
    pub what: What,
}

/// What is wrong with a text that is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The text ends inside a value. More text could make it right; of all
    /// other faults none can be mended that way.
    End,
    /// No value begins here.
    Value,
    /// A key has to begin here.
    Key,
    /// A key without a colon.
    Colon,
    /// Neither the next member nor the end of the object.
    CommaOrBrace,
    /// Neither the next element nor the end of the array.
    CommaOrBracket,
    /// A byte below 0x20 in a string.
    Control,
    /// A backslash with something that it does not go with.
    Escape,
    /// A number that breaks off, or begins with a zero too many.
    Number,
    /// A number beyond the range of a 64-bit float.
    Range,
    /// More than [`DEPTH_MAX`] levels.
    Depth,
    /// Something follows the value.
    Trailing,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::End => "the text ends inside a value",
            What::Value => "expected a value",
            What::Key => "expected a key in double quotes",
            What::Colon => "expected ':' after a key",
            What::CommaOrBrace => "expected ',' or '}' after a member",
            What::CommaOrBracket => "expected ',' or ']' after an element",
            What::Control => "control character in a string",
            What::Escape => "invalid escape in a string",
            What::Number => "malformed number",
            What::Range => "number out of range",
            What::Depth => return write!(f, "nested deeper than {DEPTH_MAX} levels"),
            What::Trailing => "unexpected text after the value",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.pos)
    }
}

/// Type of a value, told by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{...}`
    Object,
    /// `[...]`
    Array,
    /// `"..."`
    String,
    /// `-1.5e3`
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

impl Kind {
    /// Type of the valid value `raw`.
    #[inline]
    pub fn of(raw: &[u8]) -> Kind {
        match raw.first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The type in words, for reasons.
    pub fn in_words(self) -> &'static str {
        match self {
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::String => "a string",
            Kind::Number => "a number",
            Kind::Bool => "a boolean",
            Kind::Null => "null",
        }
    }
}

/// Byte at `pos`; past the end 0, which is nothing in JSON.
#[inline(always)]
fn at(bytes: &[u8], pos: usize) -> u8 {
    bytes.get(pos).copied().unwrap_or(0)
}

/// A fault at `pos`: `what`, or the end of the text if that is where `pos` is.
#[cold]
#[inline(never)]
fn fault(bytes: &[u8], pos: usize, what: What) -> Fault {
    if pos >= bytes.len() {
        Fault {
            pos: bytes.len(),
            what: What::End,
        }
    } else {
        Fault { pos, what }
    }
}

/// First byte from `pos` on that is not white space.
#[inline(always)]
pub fn skip_space(bytes: &[u8], mut pos: usize) -> usize {
    // Compact JSON has none at all, most printed JSON one space or a newline and a run of spaces.
    while matches!(at(bytes, pos), b' ' | b'\n' | b'\t' | b'\r') {
        pos += 1;
    }
    pos
}

/// Skips the value that begins at `pos` (white space before it is not skipped).
/// Returns where it ends.
///
/// # Errors
/// The first fault, if the value is not valid.
pub fn skip_value(bytes: &[u8], pos: usize) -> Result<usize, Fault> {
    skip_inner(bytes, pos, 0)
}

/// Checks that `bytes` is one value, with white space around it or none.
/// Returns where the value lies.
///
/// # Errors
/// The first fault, if it is not.
pub fn whole_value(bytes: &[u8]) -> Result<Range<usize>, Fault> {
    let start = skip_space(bytes, 0);
    let end = skip_value(bytes, start)?;
    match skip_space(bytes, end) {
        rest if rest < bytes.len() => Err(Fault {
            pos: rest,
            what: What::Trailing,
        }),
        _ => Ok(start..end),
    }
}

/// Skips the value at `pos`, which lies inside `outside` open arrays and objects.
fn skip_inner(bytes: &[u8], mut pos: usize, outside: u32) -> Result<usize, Fault> {
    // One bit for each level that is open here, the innermost lowest: 1 for an object.
    let mut objects = 0u128;
    let mut levels = 0u32;
    loop {
        match at(bytes, pos) {
            b'"' => pos = skip_string(bytes, pos)?,
            b'{' => {
                if outside + levels >= DEPTH_MAX {
                    return Err(fault(bytes, pos, What::Depth));
                }
                pos = skip_space(bytes, pos + 1);
                if at(bytes, pos) == b'}' {
                    pos += 1;
                } else {
                    objects = objects << 1 | 1;
                    levels += 1;
                    pos = skip_key(bytes, pos)?;
                    continue;
                }
            }
            b'[' => {
                if outside + levels >= DEPTH_MAX {
                    return Err(fault(bytes, pos, What::Depth));
                }
                pos = skip_space(bytes, pos + 1);
                if at(bytes, pos) == b']' {
                    pos += 1;
                } else {
                    objects <<= 1;
                    levels += 1;
                    continue;
                }
            }
            b't' => pos = skip_word(bytes, pos, b"true")?,
            b'f' => pos = skip_word(bytes, pos, b"false")?,
            b'n' => pos = skip_word(bytes, pos, b"null")?,
            b'-' | b'0'..=b'9' => pos = skip_number(bytes, pos)?,
            _ => return Err(fault(bytes, pos, What::Value)),
        }
        loop {
            if levels == 0 {
                return Ok(pos);
            }
            pos = skip_space(bytes, pos);
            let in_object = objects & 1 == 1;
            match at(bytes, pos) {
                b',' => {
                    pos = skip_space(bytes, pos + 1);
                    if in_object {
                        pos = skip_key(bytes, pos)?;
                    }
                    break;
                }
                b'}' if in_object => {}
                b']' if !in_object => {}
                _ if in_object => return Err(fault(bytes, pos, What::CommaOrBrace)),
                _ => return Err(fault(bytes, pos, What::CommaOrBracket)),
            }
            pos += 1;
            objects >>= 1;
            levels -= 1;
        }
    }
}

/// Skips a key, its colon and the white space around that.
#[inline(always)]
fn skip_key(bytes: &[u8], pos: usize) -> Result<usize, Fault> {
    if at(bytes, pos) != b'"' {
        return Err(fault(bytes, pos, What::Key));
    }
    let pos = skip_string(bytes, pos)?;
    skip_colon(bytes, pos)
}

/// Skips a colon and the white space around it.
#[inline(always)]
fn skip_colon(bytes: &[u8], pos: usize) -> Result<usize, Fault> {
    let pos = skip_space(bytes, pos);
    if at(bytes, pos) != b':' {
        return Err(fault(bytes, pos, What::Colon));
    }
    Ok(skip_space(bytes, pos + 1))
}

/// Skips the string whose opening quote is at `pos`.
#[inline(always)]
fn skip_string(bytes: &[u8], pos: usize) -> Result<usize, Fault> {
    let stop = string_stop(bytes, pos + 1);
    if at(bytes, stop) == b'"' {
        Ok(stop + 1)
    } else {
        skip_string_slow(bytes, stop)
    }
}

/// The rest of a string from `stop` on, where something other than its end is.
#[inline(never)]
fn skip_string_slow(bytes: &[u8], mut stop: usize) -> Result<usize, Fault> {
    loop {
        match at(bytes, stop) {
            b'"' => return Ok(stop + 1),
            b'\\' => stop = string_stop(bytes, skip_escape(bytes, stop)?),
            _ => return Err(fault(bytes, stop, What::Control)),
        }
    }
}

/// Skips the escape whose backslash is at `pos`.
#[inline(always)]
fn skip_escape(bytes: &[u8], pos: usize) -> Result<usize, Fault> {
    match at(bytes, pos + 1) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(pos + 2),
        b'u' => {
            for digit in pos + 2..pos + 6 {
                if !at(bytes, digit).is_ascii_hexdigit() {
                    return Err(fault(bytes, digit, What::Escape));
                }
            }
            Ok(pos + 6)
        }
        _ => Err(fault(bytes, pos + 1, What::Escape)),
    }
}

/// Bytes that [`stops`] looks at in one go. Most keys and values of logs are
/// shorter, so that one look finds their end without a branch to mispredict.
const STRIDE: usize = 32;

/// First byte from `pos` on that is a quote, a backslash or a control
/// character, or the end of `bytes`.
#[inline(always)]
fn string_stop(bytes: &[u8], mut pos: usize) -> usize {
    while let Some(chunk) = bytes.get(pos..).and_then(|rest| rest.first_chunk::<STRIDE>()) {
        let found = stops(chunk);
        if found != 0 {
            return pos + found.trailing_zeros() as usize;
        }
        pos += STRIDE;
    }
    string_stop_at_end(bytes, pos)
}

/// [`string_stop`] for the last few bytes.
#[cold]
#[inline(never)]
fn string_stop_at_end(bytes: &[u8], pos: usize) -> usize {
    let tail = bytes.get(pos..).unwrap_or_default();
    let found = tail
        .iter()
        .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
    found.map_or(bytes.len(), |offset| pos + offset)
}

/// Bit `i` says whether byte `i` is a quote, a backslash or a control character.
#[inline(always)]
fn stops(chunk: &[u8; STRIDE]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{
            __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
            _mm_set1_epi8,
        };
        // SAFETY: SSE2 is part of every x86_64; the two loads read 16 of the 32 bytes each.
        unsafe {
            let quote = _mm_set1_epi8(b'"' as i8);
            let backslash = _mm_set1_epi8(b'\\' as i8);
            let highest_control = _mm_set1_epi8(0x1f);
            let half = |offset: usize| {
                let data = _mm_loadu_si128(chunk.as_ptr().add(offset).cast::<__m128i>());
                let ends = _mm_or_si128(_mm_cmpeq_epi8(data, quote), _mm_cmpeq_epi8(data, backslash));
                let control = _mm_cmpeq_epi8(_mm_min_epu8(data, highest_control), data);
                _mm_movemask_epi8(_mm_or_si128(ends, control)) as u32
            };
            half(0) | half(16) << 16
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        stops_portable(chunk)
    }
}

/// [`stops`] for processors without SSE2; written so that compilers can vectorise it.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn stops_portable(chunk: &[u8; STRIDE]) -> u32 {
    let mut found = 0;
    for (i, &byte) in chunk.iter().enumerate() {
        found |= u32::from(byte == b'"' || byte == b'\\' || byte < 0x20) << i;
    }
    found
}

/// Skips `true`, `false` or `null`.
#[inline(always)]
fn skip_word(bytes: &[u8], pos: usize, word: &[u8]) -> Result<usize, Fault> {
    let end = pos + word.len();
    if bytes.get(pos..end) == Some(word) {
        Ok(end)
    } else {
        Err(word_fault(bytes, pos, word))
    }
}

#[cold]
fn word_fault(bytes: &[u8], pos: usize, word: &[u8]) -> Fault {
    let same = bytes[pos..]
        .iter()
        .zip(word)
        .take_while(|(byte, expected)| byte == expected)
        .count();
    fault(bytes, pos + same, What::Value)
}

/// Skips a number.
#[inline(always)]
fn skip_number(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut pos = start + usize::from(at(bytes, start) == b'-');
    match at(bytes, pos) {
        b'0' => pos += 1,
        b'1'..=b'9' => pos = skip_digits(bytes, pos + 1),
        _ => return Err(fault(bytes, pos, What::Number)),
    }
    let mut exponent = false;
    if at(bytes, pos) == b'.' {
        if !at(bytes, pos + 1).is_ascii_digit() {
            return Err(fault(bytes, pos + 1, What::Number));
        }
        pos = skip_digits(bytes, pos + 2);
    }
    if matches!(at(bytes, pos), b'e' | b'E') {
        exponent = true;
        pos += 1;
        pos += usize::from(matches!(at(bytes, pos), b'+' | b'-'));
        if !at(bytes, pos).is_ascii_digit() {
            return Err(fault(bytes, pos, What::Number));
        }
        pos = skip_digits(bytes, pos + 1);
    }
    if (exponent || pos - start > NUMBER_BYTES_SAFE) && !in_range(&bytes[start..pos]) {
        return Err(Fault {
            pos: start,
            what: What::Range,
        });
    }
    Ok(pos)
}

#[inline(always)]
fn skip_digits(bytes: &[u8], mut pos: usize) -> usize {
    while at(bytes, pos).is_ascii_digit() {
        pos += 1;
    }
    pos
}

/// Whether a number fits a 64-bit float. `serde_json` itself is asked: its
/// rounding at the very edge is not the standard library's.
#[cold]
#[inline(never)]
fn in_range(number: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(number).is_ok()
}

/// The members of one object, in the order of the text.
///
/// After [`Members::next_key`] the value has to be taken, by [`Members::skip`]
/// or by [`Members::enter`] and [`Members::leave`].
#[derive(Debug)]
pub struct Members<'a> {
    bytes: &'a [u8],
    pos: usize,
    level: u32,
    first: bool,
}

impl<'a> Members<'a> {
    /// The members of the object whose brace is at `pos`.
    ///
    /// # Errors
    /// There is no object.
    #[inline(always)]
    pub fn new(bytes: &'a [u8], pos: usize) -> Result<Self, Fault> {
        Members::inside(bytes, pos, 0)
    }

    #[inline(always)]
    fn inside(bytes: &'a [u8], pos: usize, outside: u32) -> Result<Self, Fault> {
        if at(bytes, pos) != b'{' {
            return Err(fault(bytes, pos, What::Value));
        }
        if outside >= DEPTH_MAX {
            return Err(fault(bytes, pos, What::Depth));
        }
        Ok(Members {
            bytes,
            pos: pos + 1,
            level: outside + 1,
            first: true,
        })
    }

    /// The next key, as the span between its quotes; None after the last.
    ///
    /// # Errors
    /// The text is not valid up to the value of this key.
    #[inline(always)]
    pub fn next_key(&mut self) -> Result<Option<Range<usize>>, Fault> {
        let mut pos = skip_space(self.bytes, self.pos);
        match at(self.bytes, pos) {
            b'}' => {
                self.pos = pos + 1;
                return Ok(None);
            }
            _ if self.first => self.first = false,
            b',' => pos = skip_space(self.bytes, pos + 1),
            _ => return Err(fault(self.bytes, pos, What::CommaOrBrace)),
        }
        if at(self.bytes, pos) != b'"' {
            return Err(fault(self.bytes, pos, What::Key));
        }
        let end = skip_string(self.bytes, pos)?;
        self.pos = skip_colon(self.bytes, end)?;
        Ok(Some(pos + 1..end - 1))
    }

    /// After a key: where its value begins. After the last: where the object ends.
    #[inline(always)]
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// First byte of the value; 0 at the end of the text.
    #[inline(always)]
    pub fn peek(&self) -> u8 {
        at(self.bytes, self.pos)
    }

    /// Skips the value. Returns where it lies.
    ///
    /// # Errors
    /// The value is not valid.
    #[inline(always)]
    pub fn skip(&mut self) -> Result<Range<usize>, Fault> {
        let start = self.pos;
        // Half of all values are strings: they do not need the loop over levels.
        self.pos = match at(self.bytes, start) {
            b'"' => skip_string(self.bytes, start)?,
            _ => skip_inner(self.bytes, start, self.level)?,
        };
        Ok(start..self.pos)
    }

    /// The members of the value, which is an object.
    ///
    /// # Errors
    /// It is not.
    #[inline(always)]
    pub fn enter(&self) -> Result<Members<'a>, Fault> {
        Members::inside(self.bytes, self.pos, self.level)
    }

    /// Goes on behind the value, once `inside` has come to its end.
    #[inline(always)]
    pub fn leave(&mut self, inside: &Members<'a>) {
        self.pos = inside.pos;
    }
}

/// The elements of one array, in the order of the text.
#[derive(Debug)]
pub struct Elements<'a> {
    bytes: &'a [u8],
    pos: usize,
    first: bool,
}

impl<'a> Elements<'a> {
    /// The elements of the array whose bracket is at `pos`.
    ///
    /// # Errors
    /// There is no array.
    pub fn new(bytes: &'a [u8], pos: usize) -> Result<Self, Fault> {
        match at(bytes, pos) {
            b'[' => Ok(Elements {
                bytes,
                pos: pos + 1,
                first: true,
            }),
            _ => Err(fault(bytes, pos, What::Value)),
        }
    }

    /// Skips the next element and returns where it lies; None after the last.
    ///
    /// # Errors
    /// The element is not valid.
    pub fn next_element(&mut self) -> Result<Option<Range<usize>>, Fault> {
        let mut pos = skip_space(self.bytes, self.pos);
        match at(self.bytes, pos) {
            b']' => {
                self.pos = pos + 1;
                return Ok(None);
            }
            _ if self.first => self.first = false,
            b',' => pos = skip_space(self.bytes, pos + 1),
            _ => return Err(fault(self.bytes, pos, What::CommaOrBracket)),
        }
        self.pos = skip_inner(self.bytes, pos, 1)?;
        Ok(Some(pos..self.pos))
    }
}

/// Where the value of the first member `key` lies in the object at `object`,
/// if the text up to there is valid. `key` is compared as it is written.
pub fn member(bytes: &[u8], object: usize, key: &[u8]) -> Option<Range<usize>> {
    let mut members = Members::new(bytes, object).ok()?;
    while let Some(found) = members.next_key().ok()? {
        let value = members.skip().ok()?;
        if &bytes[found] == key {
            return Some(value);
        }
    }
    None
}

/// The text between the quotes of the valid string `raw`, still escaped; None for other values.
#[inline]
pub fn between_quotes(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The text of the valid string `raw`; None for other values.
pub fn string(raw: &[u8]) -> Option<Cow<'_, str>> {
    between_quotes(raw).map(unescape)
}

/// A boolean, also one that the log has put in quotes.
#[inline]
pub fn boolean(raw: &[u8]) -> Option<bool> {
    match raw {
        b"true" | b"\"true\"" => Some(true),
        b"false" | b"\"false\"" => Some(false),
        _ => None,
    }
}

/// The text that `inner`, the inside of a valid string, stands for.
///
/// Lone surrogates become U+FFFD, and so does invalid UTF-8.
pub fn unescape(inner: &[u8]) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', inner) else {
        return String::from_utf8_lossy(inner);
    };
    let mut text = Vec::with_capacity(inner.len());
    text.extend_from_slice(&inner[..first]);
    let mut rest = &inner[first..];
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'\\' {
            let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            text.extend_from_slice(&rest[..plain]);
            rest = &rest[plain..];
            continue;
        }
        let (&escape, mut after) = after.split_first().unwrap_or((&b'\\', after));
        match escape {
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => {
                let (character, used) = unescape_unicode(after);
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                after = &after[used..];
            }
            other => text.push(other),
        }
        rest = after;
    }
    Cow::Owned(match String::from_utf8(text) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// The character behind `\u`, and how many bytes of `after` it takes.
fn unescape_unicode(after: &[u8]) -> (char, usize) {
    let unit = |from: usize| {
        let digits = std::str::from_utf8(after.get(from..from + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(high) = unit(0) else {
        return (char::REPLACEMENT_CHARACTER, 0);
    };
    if (0xD800..0xDC00).contains(&high)
        && after.get(4..6) == Some(b"\\u")
        && let Some(low) = unit(6).filter(|low| (0xDC00..0xE000).contains(low))
    {
        let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn faults_tell_place_and_reason() {
        for (text, pos, what) in [
            ("", 0, What::End),
            ("tru", 3, What::End),
            ("trux", 3, What::Value),
            ("nul}", 3, What::Value),
            ("x", 0, What::Value),
            ("\"a", 2, What::End),
            ("\"a\n\"", 2, What::Control),
            ("\"\\x\"", 2, What::Escape),
            ("\"\\u12g4\"", 5, What::Escape),
            ("\"\\u12", 5, What::End),
            ("-", 1, What::End),
            ("-a", 1, What::Number),
            ("1.", 2, What::End),
            ("1.x", 2, What::Number),
            ("1e+", 3, What::End),
            ("1e999", 0, What::Range),
            ("01", 1, What::Trailing),
            ("[1,]", 3, What::Value),
            ("[1 2]", 3, What::CommaOrBracket),
            ("[1}", 2, What::CommaOrBracket),
            ("{\"a\":1]", 6, What::CommaOrBrace),
            ("{\"a\":1,}", 7, What::Key),
            ("{1:1}", 1, What::Key),
            ("{\"a\" 1}", 5, What::Colon),
            ("{\"a\":}", 5, What::Value),
            ("{\"a\":[{\"b\":1},", 14, What::End),
            ("{} {}", 3, What::Trailing),
        ] {
            assert_eq!(whole_value(text.as_bytes()), Err(Fault { pos, what }), "{text}");
            if text.starts_with('{') && what != What::Trailing {
                assert_eq!(walk(text.as_bytes()), Err(Fault { pos, what }), "{text}");
            }
        }
    }

    #[test]
    fn depth_is_limited_and_needs_no_stack() {
        for times in [1, 63, 64, 65, 127, 128, 129, 100_000] {
            for (open, close, levels) in [
                ("[", "]", times),
                ("{\"a\":", "}", times),
                ("{\"a\":[", "]}", 2 * times),
            ] {
                let text = format!("{}1{}", open.repeat(times), close.repeat(times));
                let found = whole_value(text.as_bytes()).map_err(|fault| fault.what);
                let expected = if levels <= 128 {
                    Ok(0..text.len())
                } else {
                    Err(What::Depth)
                };
                assert_eq!(found, expected, "{levels} levels of {open}");
                if open.starts_with('{') {
                    assert_eq!(walk(text.as_bytes()), skip_value(text.as_bytes(), 0));
                }
            }
        }
    }

    #[test]
    fn escapes_come_off() {
        for (inner, text) in [
            ("plain", "plain"),
            ("", ""),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u0041\u00e9\u20ac\ud83d\ude00", "A\u{e9}\u{20ac}\u{1f600}"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ude00x", "\u{fffd}x"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
            ("\u{e9}\\n\u{1f600}", "\u{e9}\n\u{1f600}"),
            // Not valid, but nothing to panic about.
            ("\\", "\\"),
            ("\\u12", "\u{fffd}12"),
        ] {
            assert_eq!(unescape(inner.as_bytes()), text, "{inner}");
        }
        assert_eq!(unescape(b"a\xff"), "a\u{fffd}");
        assert_eq!(unescape(b"\\n\xff"), "\n\u{fffd}");
    }

    #[test]
    fn members_and_elements_tell_where_values_lie() {
        let text = br#"{ "a" : 1 , "b":{"c":[true]},"a":"x" }"#;
        assert_eq!(member(text, 0, b"a").map(|span| &text[span]), Some(&b"1"[..]));
        let inside = member(text, 0, b"b").unwrap();
        assert_eq!(
            member(text, inside.start, b"c").map(|span| &text[span]),
            Some(&b"[true]"[..])
        );
        assert_eq!(member(text, 0, b"c"), None);
        let text = br#"[1, "a" ,{}]"#;
        let mut elements = Elements::new(text, 0).unwrap();
        let mut found = Vec::new();
        while let Some(span) = elements.next_element().unwrap() {
            found.push(&text[span]);
        }
        assert_eq!(found, [&b"1"[..], b"\"a\"", b"{}"]);
    }

    /// Walks the object `bytes` with [`Members`], entering all objects.
    fn walk(bytes: &[u8]) -> Result<usize, Fault> {
        let mut open = vec![Members::new(bytes, 0)?];
        loop {
            let Some(members) = open.last_mut() else {
                unreachable!("the outermost object returns")
            };
            if members.next_key()?.is_some() {
                if members.peek() == b'{' {
                    let inside = members.enter()?;
                    open.push(inside);
                } else {
                    members.skip()?;
                }
                continue;
            }
            let inside = open.pop().unwrap();
            match open.last_mut() {
                Some(outside) => outside.leave(&inside),
                None => return Ok(inside.pos()),
            }
        }
    }

    /// What serde_json says, with lone surrogates out of its sight.
    fn serde_accepts(bytes: &[u8]) -> bool {
        let mut bytes = bytes.to_vec();
        for at in 0..bytes.len().saturating_sub(5) {
            let surrogate = matches!(&bytes[at..at + 6], [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', c, d]
                if c.is_ascii_hexdigit() && d.is_ascii_hexdigit());
            if surrogate {
                bytes[at + 2..at + 6].copy_from_slice(b"0041");
            }
        }
        serde_json::from_slice::<serde_json::Value>(&bytes).is_ok()
    }

    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|value| value.to_string()),
            any::<f64>().prop_map(|value| serde_json::to_string(&value).unwrap()),
            any::<i64>().prop_map(|value| value.to_string()),
            "-?[0-9]{1,3}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,3})?",
            any::<String>().prop_map(|value| serde_json::to_string(&value).unwrap()),
            "\"([a-z]{0,40}|\\\\[\"\\\\/bfnrtx]|\\\\u[dD0][89c0-9a-f]{3}){0,4}\"",
        ];
        leaf.prop_recursive(4, 40, 6, |inside| {
            let space = prop::sample::select(vec!["", " ", "\n  ", "\t\r"]);
            prop_oneof![
                (prop::collection::vec(inside.clone(), 0..6), space.clone()).prop_map(
                    |(elements, space)| format!(
                        "[{space}{}{space}]",
                        elements.join(&format!("{space},{space}"))
                    )
                ),
                (prop::collection::vec(("\"[a-z]{0,20}\"", inside), 0..6), space).prop_map(
                    |(members, space)| {
                        let members: Vec<String> = members
                            .iter()
                            .map(|(key, value)| format!("{key}{space}:{space}{value}"))
                            .collect();
                        format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
                    }
                ),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_serde_json_accepts_passes_and_nothing_else(
            json in any_json(),
            mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 0..3),
        ) {
            let mut bytes = json.into_bytes();
            for (index, byte, how) in mutations {
                if bytes.is_empty() {
                    continue;
                }
                let at = index.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes[at] = b"{}[],:\"\\0e-. tu"[usize::from(byte) % 15],
                    2 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at),
                }
            }
            let accepted = whole_value(&bytes).is_ok() && std::str::from_utf8(&bytes).is_ok();
            prop_assert_eq!(accepted, serde_accepts(&bytes), "{}", String::from_utf8_lossy(&bytes));
            // Walking member by member comes to the same end, or to the same fault.
            if bytes.first() == Some(&b'{') {
                prop_assert_eq!(walk(&bytes), skip_value(&bytes, 0));
            }
        }

        #[test]
        fn a_fault_that_more_text_could_mend_is_called_end(json in any_json(), cut in any::<prop::sample::Index>()) {
            let whole = skip_value(json.as_bytes(), 0);
            let cut = cut.index(json.len().max(1)).min(json.len());
            match skip_value(&json.as_bytes()[..cut], 0) {
                Err(fault) if fault.what == What::End => prop_assert_eq!(fault.pos, cut),
                // A fault that is there already, or a number that could go on.
                other => prop_assert!(other == whole || json.starts_with(|c: char| c == '-' || c.is_ascii_digit())),
            }
        }

        #[test]
        fn unescaping_agrees_with_serde_json(text in any::<String>()) {
            let raw = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(string(raw.as_bytes()).unwrap(), text);
        }

        #[test]
        fn both_ways_to_find_the_end_of_a_string_agree(bytes in prop::array::uniform32(any::<u8>())) {
            prop_assert_eq!(stops(&bytes), stops_portable(&bytes));
        }
    }
}
