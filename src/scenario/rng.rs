//! Seeded chance: the same seed gives the same numbers on every machine.
//!
//! SplitMix64 is enough here, because nothing secret hangs on it. Only whole
//! numbers are used to draw sizes: `ln` and `exp` may differ in the last bit
//! between C libraries, and then the files would differ too.

/// A stream of pseudo-random numbers.
#[derive(Clone)]
pub(super) struct Rng(u64);

impl Rng {
    /// The stream with this name and number. Every part of the scenario draws
    /// from its own, so a change in one leaves the others as they were.
    pub fn stream(seed: u64, name: &str, number: u64) -> Rng {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut rng = Rng(hash ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        rng.next();
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, or 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A number from `low` up to, not including, `high`.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(0) as u64) as i64
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// An index, each as likely as its weight. The weights must not all be 0.
    pub fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let sum: u64 = weights.clone().map(u64::from).sum();
        let mut left = self.below(sum);
        for (index, weight) in weights.enumerate() {
            match left.checked_sub(u64::from(weight)) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }

    /// How many times something happens that happens `hundredths / 100` times on average.
    pub fn count(&mut self, hundredths: u64) -> u64 {
        hundredths / 100 + u64::from(self.below(100) < hundredths % 100)
    }

    /// A size between `low` and `low << (doublings + 1)`, small ones far more
    /// often than large ones, as sizes of requests and replies are.
    pub fn size(&mut self, low: u64, doublings: u64) -> u64 {
        let base = low << self.below(doublings + 1);
        base + self.below(base)
    }

    pub fn hex(&mut self, digits: usize) -> String {
        self.text(digits, b"0123456789abcdef")
    }

    /// Capital letters and digits, as in AWS's unique identifiers.
    pub fn token(&mut self, digits: usize) -> String {
        self.text(digits, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    }

    /// Letters and digits, as at the end of a CloudTrail file's name.
    pub fn letters(&mut self, digits: usize) -> String {
        self.text(
            digits,
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        )
    }

    pub fn uuid(&mut self) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bits = (u128::from(self.next()) << 64 | u128::from(self.next())) & !(0xf000 << 64 | 0xc000 << 48)
            | 0x4000 << 64
            | 0x8000 << 48;
        let mut out = String::with_capacity(36);
        for digit in 0..32 {
            if matches!(digit, 8 | 12 | 16 | 20) {
                out.push('-');
            }
            out.push(char::from(HEX[(bits >> (124 - 4 * digit)) as usize & 15]));
        }
        out
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end as u64 + 1) as usize);
        }
    }

    fn text(&mut self, digits: usize, alphabet: &[u8]) -> String {
        (0..digits).map(|_| char::from(*self.pick(alphabet))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        assert_eq!(Rng::stream(7, "flow", 3).next(), Rng::stream(7, "flow", 3).next());
        assert_ne!(Rng::stream(7, "flow", 3).next(), Rng::stream(7, "flow", 4).next());
        assert_ne!(
            Rng::stream(7, "flow", 3).next(),
            Rng::stream(7, "calls", 3).next()
        );
    }

    #[test]
    fn numbers_stay_in_range() {
        let mut rng = Rng::stream(1, "test", 0);
        for _ in 0..1000 {
            assert!(rng.below(10) < 10);
            assert!((-5..5).contains(&rng.range(-5, 5)));
            assert!((100..1600).contains(&rng.size(100, 3)));
            assert_ne!(rng.weighted([1, 0, 3].into_iter()), 1);
        }
    }

    #[test]
    fn uuids_look_like_version_four() {
        let uuid = Rng::stream(1, "test", 0).uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
    }
}
