//! Seeded chance: the same seed gives the same files on every machine.
//!
//! SplitMix64, and whole numbers only: `ln` and `exp` may differ in the last
//! bit between C libraries, and then the files would differ too.

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The stream with this name and number. Every part draws from its own, so
    /// that a change in one leaves the others as they were.
    pub fn stream(seed: u64, name: &str, number: u64) -> Rng {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0xff51_afd7_ed55_8ccd);
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut rng = Rng(hash ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17));
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

    /// A number from `low` up to, not including, `high`; `low` if that is empty.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(0) as u64) as i64
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// How many times something happens that happens `thousandths / 1000` times on average.
    pub fn count(&mut self, thousandths: u64) -> u64 {
        thousandths / 1000 + u64::from(self.below(1000) < thousandths % 1000)
    }

    /// A size between `low` and `low << (doublings + 1)`, small ones far more
    /// often than large ones, as sizes of requests and replies are.
    pub fn size(&mut self, low: u64, doublings: u64) -> u64 {
        let base = low << self.below(doublings + 1);
        base + self.below(base)
    }

    pub fn ephemeral(&mut self) -> u16 {
        self.range(32_768, 61_000) as u16
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

    pub fn digits(&mut self, digits: usize) -> String {
        self.text(digits, b"0123456789")
    }

    pub fn uuid(&mut self) -> String {
        let text = self.hex(32);
        format!(
            "{}-{}-4{}-{}{}-{}",
            &text[..8],
            &text[8..12],
            &text[13..16],
            self.pick(&['8', '9', 'a', 'b']),
            &text[17..20],
            &text[20..]
        )
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
        let first = |seed, name, number| Rng::stream(seed, name, number).next();
        assert_eq!(first(7, "flow", 3), first(7, "flow", 3));
        assert_ne!(first(7, "flow", 3), first(7, "flow", 4));
        assert_ne!(first(7, "flow", 3), first(8, "flow", 3));
        assert_ne!(first(7, "flow", 3), first(7, "calls", 3));
    }

    #[test]
    fn counts_have_their_mean() {
        let mut rng = Rng::stream(1, "test", 0);
        let sum: u64 = (0..20_000).map(|_| rng.count(1250)).sum();
        assert!((24_500..25_500).contains(&sum), "{sum}");
    }

    #[test]
    fn uuids_look_like_version_four() {
        let uuid = Rng::stream(1, "test", 0).uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert_eq!(uuid.matches('-').count(), 4);
    }
}
