//! Finds the fields of space-separated lines, 64 bytes at a time.

/// Marks of 64 bytes: bit `i` of the first number says that byte `i` is a space
/// or a newline, of the second that it is a newline.
#[inline]
fn marks(bytes: &[u8; 64]) -> (u64, u64) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
        let (mut spaces, mut newlines) = (0u64, 0u64);
        for lane in 0..4 {
            // SAFETY: SSE2 is part of every x86_64; the load reads 16 of the 64 bytes.
            let (space, newline) = unsafe {
                let data = _mm_loadu_si128(bytes.as_ptr().add(lane * 16).cast::<__m128i>());
                (
                    _mm_movemask_epi8(_mm_cmpeq_epi8(data, _mm_set1_epi8(b' ' as i8))),
                    _mm_movemask_epi8(_mm_cmpeq_epi8(data, _mm_set1_epi8(b'\n' as i8))),
                )
            };
            spaces |= u64::from(space as u16) << (lane * 16);
            newlines |= u64::from(newline as u16) << (lane * 16);
        }
        (spaces | newlines, newlines)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let (mut spaces, mut newlines) = (0u64, 0u64);
        for (i, &byte) in bytes.iter().enumerate() {
            spaces |= u64::from(byte == b' ') << i;
            newlines |= u64::from(byte == b'\n') << i;
        }
        (spaces | newlines, newlines)
    }
}

/// Where the fields of a run of lines end.
///
/// The field `i` of a line that begins at byte `s` with the ends `e` is
/// `s..e[0]` for `i == 0`, else `e[i - 1] + 1..e[i]`.
#[derive(Debug, Default)]
pub struct FieldEnds {
    ends: Vec<u32>,
}

impl FieldEnds {
    /// Splits whole lines of `bytes`, from `from` on, into fields.
    ///
    /// `line` is called for each with its start, the position of its newline and
    /// the number of its fields (at least 1); it says whether to go on, and
    /// whether the field ends of this line are kept. A last line without a
    /// newline counts only if `last`. Returns where the next line would start.
    ///
    /// Positions are 32 bits wide: blocks are far smaller than 4 GiB.
    pub fn split(
        &mut self,
        bytes: &[u8],
        from: usize,
        last: bool,
        mut line: impl FnMut(usize, usize, usize) -> Verdict,
    ) -> usize {
        let mut start = from;
        let mut kept = self.ends.len();
        let mut at = from;
        while at < bytes.len() {
            let (mut all, newlines) = match bytes[at..].first_chunk::<64>() {
                Some(chunk) => marks(chunk),
                None => {
                    let mut chunk = [0u8; 64];
                    chunk[..bytes.len() - at].copy_from_slice(&bytes[at..]);
                    marks(&chunk)
                }
            };
            if newlines == 0 {
                self.push_all(at, all);
            } else {
                let mut newlines = newlines;
                while newlines != 0 {
                    let bit = newlines.trailing_zeros();
                    let below = u64::MAX >> (63 - bit);
                    self.push_all(at, all & below);
                    all &= !below;
                    newlines &= newlines - 1;
                    let end = at + bit as usize;
                    let verdict = line(start, end, self.ends.len() - kept);
                    if verdict == Verdict::Stop {
                        self.ends.truncate(kept);
                        return start;
                    }
                    start = end + 1;
                    match verdict {
                        Verdict::Drop => self.ends.truncate(kept),
                        _ => kept = self.ends.len(),
                    }
                    if verdict == Verdict::KeepAndStop {
                        return start;
                    }
                }
                self.push_all(at, all);
            }
            at += 64;
        }
        if last && start < bytes.len() {
            self.ends.push(bytes.len() as u32);
            match line(start, bytes.len(), self.ends.len() - kept) {
                Verdict::Stop => {
                    self.ends.truncate(kept);
                    return start;
                }
                Verdict::Drop => self.ends.truncate(kept),
                Verdict::Keep | Verdict::KeepAndStop => kept = self.ends.len(),
            }
            start = bytes.len();
        }
        self.ends.truncate(kept);
        start
    }

    #[inline]
    fn push_all(&mut self, base: usize, mut marks: u64) {
        let count = marks.count_ones() as usize;
        self.ends.reserve(64);
        let length = self.ends.len();
        let spare = self.ends.spare_capacity_mut();
        for slot in &mut spare[..count] {
            slot.write((base as u32) + marks.trailing_zeros());
            marks &= marks.wrapping_sub(1);
        }
        // SAFETY: the loop above has written `count` values behind the old length.
        unsafe { self.ends.set_len(length + count) };
    }

    /// All field ends that were kept, line after line.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Removes the `fields` ends of the kept lines for which `drop` says so.
    pub fn remove_lines(&mut self, fields: usize, mut drop: impl FnMut(usize) -> bool) {
        let mut index = 0;
        self.ends.retain(|_| {
            let dropped = drop(index / fields);
            index += 1;
            !dropped
        });
    }

    /// Forgets all lines.
    pub fn clear(&mut self) {
        self.ends.clear();
    }
}

/// What to do with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Keep its field ends.
    Keep,
    /// Keep its field ends, and return after it.
    KeepAndStop,
    /// Forget its field ends.
    Drop,
    /// Return before it: it comes again next time.
    Stop,
}

/// Parses an unsigned decimal of 1 to 19 digits that fits 63 bits.
#[inline]
pub fn parse_digits(bytes: &[u8], start: usize, end: usize) -> Option<i64> {
    let length = end - start;
    if length.wrapping_sub(1) < 8 && end >= 8 {
        return eight_digits(&bytes[end - 8..end], length).map(i64::from);
    }
    if length.wrapping_sub(9) < 8 && end >= 16 {
        let low = eight_digits(&bytes[end - 8..end], 8)?;
        let high = eight_digits(&bytes[end - 16..end - 8], length - 8)?;
        return Some(i64::from(high) * 100_000_000 + i64::from(low));
    }
    if length == 0 || length > 19 {
        return None;
    }
    // 19 digits cannot overflow 64 bits, but 63.
    let value = bytes[start..end].iter().try_fold(0u64, |value, &byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| value * 10 + u64::from(digit))
    })?;
    i64::try_from(value).ok()
}

/// Value of the last `length` (1 to 8) of eight ASCII digits.
#[inline]
fn eight_digits(bytes: &[u8], length: usize) -> Option<u32> {
    let loaded = u64::from_le_bytes(bytes.try_into().ok()?);
    // What stands before the number becomes leading zeros.
    let shift = 64 - 8 * length as u32;
    let zeros = 0x3030_3030_3030_3030u64;
    let digits = ((loaded >> shift) << shift) | (zeros & !(u64::MAX << shift));
    let values = digits ^ zeros;
    if (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    // Pairs, then fours, then all eight: three multiplications for eight digits.
    let pairs = (values.wrapping_mul(10)).wrapping_add(values >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100)).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split_plainly(text: &str) -> Vec<Vec<&str>> {
        text.lines().map(|line| line.split(' ').collect()).collect()
    }

    fn split_fast(text: &str, last: bool) -> Vec<Vec<&str>> {
        let mut ends = FieldEnds::default();
        let mut lines = Vec::new();
        ends.split(text.as_bytes(), 0, last, |start, _, fields| {
            lines.push((start, fields));
            Verdict::Keep
        });
        let mut at = 0;
        lines
            .iter()
            .map(|&(start, fields)| {
                let mut begin = start;
                let values = ends.ends()[at..at + fields]
                    .iter()
                    .map(|&end| {
                        let value = &text[begin..end as usize];
                        begin = end as usize + 1;
                        value
                    })
                    .collect();
                at += fields;
                values
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn splitting_fast_and_plainly_agree(lines in prop::collection::vec("[a-z ]{1,90}", 0..12)) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            prop_assert_eq!(split_fast(&text, true), split_plainly(&text));
            prop_assert_eq!(split_fast(&text, false), split_plainly(&text));
        }

        #[test]
        fn digits_parse_as_the_standard_library_does(
            before in "[0-9a-z ]{0,20}", number in "[0-9:/a]{0,20}", after in "[0-9 ]{0,4}",
        ) {
            let text = format!("{before}{number}{after}");
            let (start, end) = (before.len(), before.len() + number.len());
            let expected = number.parse::<i64>().ok().filter(|_| number.len() <= 19);
            prop_assert_eq!(parse_digits(text.as_bytes(), start, end), expected);
        }
    }

    #[test]
    fn an_unfinished_line_waits_unless_it_is_the_last() {
        assert_eq!(split_fast("a b\nc d", false), [["a", "b"]]);
        assert_eq!(split_fast("a b\nc d", true), [["a", "b"], ["c", "d"]]);
    }
}
