//! A quantile sketch: how often values were seen, in buckets that widen as needed.
//!
//! A value's bucket is its bit pattern, mapped so that it is ordered as the value
//! is, without its last `shift` bits. The sketch begins with no bit left out, so it
//! is exact; whenever more than [`SKETCH_BUCKETS_MAX`] buckets are in use, one more
//! bit is left out of all of them. How many that are in the end depends on which
//! values were seen and not on their order: of a set of values, no part ever needs
//! wider buckets than the whole. So sketches merge in any order, byte for byte.

use std::cmp::Ordering;

/// Most buckets of a sketch. Values within a factor of 60,000 of each other then
/// have 128 buckets to each doubling, and no estimate is off by more than 0.4%.
pub const SKETCH_BUCKETS_MAX: usize = 2048;

/// Values that wait until they are sorted into buckets together.
const PENDING_MAX: usize = 2048;

/// First byte of a sketch that is stored.
const FORMAT: u8 = 1;

/// Bits of a value: at this shift one bucket holds all of them.
const SHIFT_MAX: u32 = 63;

/// How often values were seen. NaN counts as no value; infinities are values.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    /// Bits left out.
    shift: u32,
    /// Bucket and count, in order.
    buckets: Vec<(u64, u64)>,
    /// Values that are not in the buckets yet, in their order of bits.
    pending: Vec<u64>,
    below: u64,
    above: u64,
    /// Least and greatest of the finite values, in their order of bits.
    range: Option<(u64, u64)>,
}

/// A finite value's bits in the order of values.
fn ordered(value: f64) -> u64 {
    // So that -0 and 0 are one.
    let bits = (value + 0.0).to_bits();
    match bits >> 63 {
        0 => bits | 1 << 63,
        _ => !bits,
    }
}

fn value_of(ordered: u64) -> f64 {
    f64::from_bits(match ordered >> 63 {
        0 => !ordered,
        _ => ordered & !(1 << 63),
    })
}

impl Sketch {
    /// Counts a value. NaN is left out.
    pub fn add(&mut self, value: f64) {
        match value.classify() {
            std::num::FpCategory::Nan => {}
            std::num::FpCategory::Infinite if value > 0.0 => self.above += 1,
            std::num::FpCategory::Infinite => self.below += 1,
            _ => {
                let bits = ordered(value);
                self.widen_range(bits, bits);
                self.pending.push(bits);
                if self.pending.len() >= PENDING_MAX {
                    self.settle();
                }
            }
        }
    }

    /// Counts all that another sketch has counted.
    pub fn merge(&mut self, other: &Sketch) {
        let mut other = other.clone();
        other.settle();
        self.settle();
        self.below = self.below.saturating_add(other.below);
        self.above = self.above.saturating_add(other.above);
        if let Some((least, greatest)) = other.range {
            self.widen_range(least, greatest);
        }
        let shift = self.shift.max(other.shift);
        self.shift_to(shift);
        other.shift_to(shift);
        self.join(other.buckets);
        self.limit();
    }

    /// How many values were counted.
    pub fn count(&mut self) -> u64 {
        self.settle();
        self.finite()
            .saturating_add(self.below)
            .saturating_add(self.above)
    }

    /// The quantile `q` from 0 to 1, between two values by linear interpolation;
    /// none of no values, or for another `q`.
    pub fn quantile(&mut self, q: f64) -> Option<f64> {
        if !(0.0..=1.0).contains(&q) {
            return None;
        }
        self.settle();
        let mut values: Vec<(f64, u64)> = Vec::with_capacity(self.buckets.len() + 4);
        values.push((f64::NEG_INFINITY, self.below));
        values.extend(
            self.buckets
                .iter()
                .map(|(bucket, count)| (self.middle(*bucket), *count)),
        );
        values.push((f64::INFINITY, self.above));
        // The least and the greatest are known exactly.
        let end = match q {
            0.0 => values.iter().find(|(_, count)| *count > 0),
            1.0 => values.iter().rev().find(|(_, count)| *count > 0),
            _ => return quantile_of(&values, q),
        };
        let (value, range) = (end?.0, self.range);
        let exact = range.map(|(least, greatest)| if q == 0.0 { least } else { greatest });
        Some(exact.filter(|_| value.is_finite()).map_or(value, value_of))
    }

    /// The median of the distances from the median; none of no values, or if
    /// the median is infinite.
    pub fn median_abs_dev(&mut self) -> Option<f64> {
        let median = self.quantile(0.5).filter(|median| median.is_finite())?;
        let mut distances: Vec<(f64, u64)> = self
            .buckets
            .iter()
            .map(|(bucket, count)| ((self.middle(*bucket) - median).abs(), *count))
            .collect();
        distances.sort_by(|a, b| a.0.total_cmp(&b.0));
        distances.push((f64::INFINITY, self.below.saturating_add(self.above)));
        quantile_of(&distances, 0.5)
    }

    /// (Q3 + Q1 - 2 Q2) / (Q3 - Q1): from -1 to 1, 0 if the quartiles lie evenly
    /// or are one value; none of no values.
    pub fn bowley_skew(&mut self) -> Option<f64> {
        let (first, second, third) = (self.quantile(0.25)?, self.quantile(0.5)?, self.quantile(0.75)?);
        // Halves, as the difference of two finite numbers may be greater than any.
        let distance = |low: f64, high: f64| if low == high { 0.0 } else { high / 2.0 - low / 2.0 };
        let (low, high) = (distance(first, second), distance(second, third));
        Some(match (low.is_infinite(), high.is_infinite()) {
            (false, false) if low + high == 0.0 => 0.0,
            (false, false) => (high - low) / (high + low),
            (true, true) => 0.0,
            (true, false) => -1.0,
            (false, true) => 1.0,
        })
    }

    /// Bytes of memory behind it.
    pub fn size(&self) -> usize {
        self.buckets.capacity() * size_of::<(u64, u64)>() + self.pending.capacity() * size_of::<u64>()
    }

    /// The sketch as bytes: the same ones for the same values, whatever their order.
    pub fn to_bytes(&mut self) -> Vec<u8> {
        self.settle();
        let mut bytes = Vec::with_capacity(32 + 4 * self.buckets.len());
        bytes.extend([FORMAT, self.shift as u8]);
        put(&mut bytes, self.below);
        put(&mut bytes, self.above);
        put(&mut bytes, self.buckets.len() as u64);
        if let Some((least, greatest)) = self.range {
            bytes.extend(least.to_le_bytes());
            bytes.extend(greatest.to_le_bytes());
        }
        let mut last = 0;
        for (bucket, count) in &self.buckets {
            put(&mut bytes, bucket - last);
            put(&mut bytes, *count);
            last = *bucket;
        }
        bytes
    }

    /// The sketch that these bytes are; none if they are not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Sketch> {
        let (&[format, shift], mut rest) = bytes.split_first_chunk::<2>()?;
        let shift = u32::from(shift);
        if format != FORMAT || shift > SHIFT_MAX {
            return None;
        }
        let (below, above) = (take(&mut rest)?, take(&mut rest)?);
        let length = usize::try_from(take(&mut rest)?).ok()?;
        if length > SKETCH_BUCKETS_MAX {
            return None;
        }
        let mut sketch = Sketch {
            shift,
            below,
            above,
            ..Sketch::default()
        };
        if length > 0 {
            let mut bound = || {
                let (bound, behind) = rest.split_first_chunk::<8>()?;
                rest = behind;
                let bound = u64::from_le_bytes(*bound);
                value_of(bound).is_finite().then_some(bound)
            };
            sketch.range = Some((bound()?, bound()?));
        }
        let mut bucket = 0u64;
        for number in 0..length {
            let step = take(&mut rest)?;
            bucket = bucket.checked_add(step)?;
            let count = take(&mut rest)?;
            if (number > 0 && step == 0) || count == 0 || bucket > u64::MAX >> shift {
                return None;
            }
            sketch.buckets.push((bucket, count));
        }
        let holds =
            |bound: u64, bucket: Option<&(u64, u64)>| bucket.is_none_or(|(b, _)| bound >> shift == *b);
        let bounded = sketch.range.is_none_or(|(least, greatest)| {
            least <= greatest
                && holds(least, sketch.buckets.first())
                && holds(greatest, sketch.buckets.last())
        });
        (rest.is_empty() && bounded).then_some(sketch)
    }

    fn finite(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum: u64, (_, count)| sum.saturating_add(*count))
    }

    fn widen_range(&mut self, least: u64, greatest: u64) {
        self.range = Some(match self.range {
            Some((l, g)) => (l.min(least), g.max(greatest)),
            None => (least, greatest),
        });
    }

    /// The middle of a bucket, but nothing beyond the least and greatest value.
    fn middle(&self, bucket: u64) -> f64 {
        let low = bucket << self.shift;
        let (least, greatest) = self.range.unwrap_or((low, low));
        let high = (low | ((1u64 << self.shift) - 1)).clamp(least, greatest);
        let low = low.clamp(least, greatest);
        match low == high {
            true => value_of(low),
            false => value_of(low) / 2.0 + value_of(high) / 2.0,
        }
    }

    /// Sorts the values that wait into buckets.
    fn settle(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_unstable();
        let mut buckets: Vec<(u64, u64)> = Vec::with_capacity(pending.len());
        for bits in pending.drain(..) {
            count_in(&mut buckets, bits >> self.shift, 1);
        }
        self.pending = pending;
        self.join(buckets);
        self.limit();
    }

    /// Adds buckets of the same width.
    fn join(&mut self, others: Vec<(u64, u64)>) {
        if self.buckets.is_empty() {
            self.buckets = others;
            return;
        }
        let mut joined = Vec::with_capacity(self.buckets.len() + others.len());
        let (mut ours, mut others) = (self.buckets.iter().peekable(), others.iter().peekable());
        while let (Some(our), Some(other)) = (ours.peek(), others.peek()) {
            let (bucket, count) = match our.0.cmp(&other.0) {
                Ordering::Less | Ordering::Equal => *our,
                Ordering::Greater => other,
            };
            count_in(&mut joined, *bucket, *count);
            match our.0.cmp(&other.0) {
                Ordering::Less | Ordering::Equal => ours.next(),
                Ordering::Greater => others.next(),
            };
        }
        for (bucket, count) in ours.chain(others) {
            count_in(&mut joined, *bucket, *count);
        }
        self.buckets = joined;
    }

    fn limit(&mut self) {
        while self.buckets.len() > SKETCH_BUCKETS_MAX {
            self.shift_to(self.shift + 1);
        }
    }

    fn shift_to(&mut self, shift: u32) {
        let more = shift - self.shift;
        if more == 0 {
            return;
        }
        let mut wider = Vec::with_capacity(self.buckets.len());
        for (bucket, count) in &self.buckets {
            count_in(&mut wider, bucket >> more, *count);
        }
        (self.buckets, self.shift) = (wider, shift);
    }
}

/// Counts in the last bucket, or in a new one behind it.
fn count_in(buckets: &mut Vec<(u64, u64)>, bucket: u64, count: u64) {
    match buckets.last_mut() {
        Some((last, sum)) if *last == bucket => *sum = sum.saturating_add(count),
        _ => buckets.push((bucket, count)),
    }
}

/// The quantile of values in order with their counts, interpolated as SQL's
/// `percentile_cont` does. Between a finite and an infinite value it is the finite one.
fn quantile_of(values: &[(f64, u64)], q: f64) -> Option<f64> {
    let count: u64 = values
        .iter()
        .fold(0, |sum, (_, count)| sum.saturating_add(*count));
    let rank = q * count.checked_sub(1)? as f64;
    let (low, part) = (rank.floor(), rank.fract());
    let (mut seen, mut lower) = (0u64, None);
    for (value, count) in values.iter().filter(|(_, count)| *count > 0) {
        seen = seen.saturating_add(*count);
        if lower.is_none() && seen as f64 > low {
            lower = Some(*value);
        }
        if let Some(lower) = lower
            && (part == 0.0 || seen as f64 > low + 1.0)
        {
            return Some(between(lower, *value, part));
        }
    }
    // Only where counts are too great for whole numbers of a double.
    lower.or_else(|| {
        values
            .iter()
            .rev()
            .find(|(_, count)| *count > 0)
            .map(|(value, _)| *value)
    })
}

fn between(low: f64, high: f64, part: f64) -> f64 {
    match (low.is_finite(), high.is_finite()) {
        (true, true) if low == high => low,
        (true, true) => low * (1.0 - part) + high * part,
        (false, true) if part > 0.0 => high,
        _ => low,
    }
}

/// Seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if place == 9 && bits > 1 {
            return None;
        }
        number |= bits << (7 * place);
        if byte < 0x80 {
            // One number has one form.
            return (byte > 0 || place == 0).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests;
