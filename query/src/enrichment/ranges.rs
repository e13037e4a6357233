//! Ranges of addresses, sorted and apart from each other, so that a search finds the one.

use std::net::IpAddr;

/// A value for each of many ranges, IPv4 and IPv6.
#[derive(Debug, Clone)]
pub struct Ranges<V> {
    v4: Sorted<u32, V>,
    v6: Sorted<u128, V>,
}

/// Both ends of a range are in it.
#[derive(Debug, Clone)]
struct Sorted<T, V> {
    first: Vec<T>,
    last: Vec<T>,
    values: Vec<V>,
}

/// Ranges as they come, first and last address of each.
#[derive(Debug, Clone)]
pub struct Unsorted<V> {
    v4: Vec<(u32, u32, V)>,
    v6: Vec<(u128, u128, V)>,
}

impl<V> Default for Unsorted<V> {
    fn default() -> Self {
        Unsorted {
            v4: Vec::new(),
            v6: Vec::new(),
        }
    }
}

impl<V: Copy + PartialEq> Unsorted<V> {
    /// Adds a range; false if the ends are of two families or the wrong way round.
    pub fn add(&mut self, first: IpAddr, last: IpAddr, value: V) -> bool {
        match (first.to_canonical(), last.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                self.v4.push((first.to_bits(), last.to_bits(), value));
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                self.v6.push((first.to_bits(), last.to_bits(), value));
            }
            _ => return false,
        }
        true
    }

    /// Adds the network of an address; false if it has fewer bits.
    pub fn add_network(&mut self, address: IpAddr, bits: u32, value: V) -> bool {
        match address {
            IpAddr::V4(address) if bits <= 32 => {
                let hosts = u32::MAX.checked_shr(bits).unwrap_or(0);
                let first = address.to_bits() & !hosts;
                self.v4.push((first, first | hosts, value));
            }
            IpAddr::V6(address) if bits <= 128 => {
                let hosts = u128::MAX.checked_shr(bits).unwrap_or(0);
                let first = address.to_bits() & !hosts;
                self.v6.push((first, first | hosts, value));
            }
            _ => return false,
        }
        true
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Sorts them. Where one lies in another, the inner one counts; of two equal
    /// ones the one added later.
    pub fn sort(self) -> Ranges<V> {
        Ranges {
            v4: Sorted::of(self.v4),
            v6: Sorted::of(self.v6),
        }
    }
}

impl<V: Copy> Ranges<V> {
    /// The value of the range that holds an address.
    pub fn find(&self, address: IpAddr) -> Option<V> {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        }
    }
}

/// Numbers with neighbours.
trait Bits: Copy + Ord {
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

impl Bits for u32 {
    fn next(self) -> Option<u32> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<u32> {
        self.checked_sub(1)
    }
}

impl Bits for u128 {
    fn next(self) -> Option<u128> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<u128> {
        self.checked_sub(1)
    }
}

impl<T: Bits, V: Copy> Sorted<T, V> {
    fn find(&self, address: T) -> Option<V> {
        let behind = self.first.partition_point(|first| *first <= address);
        let place = behind.checked_sub(1)?;
        (address <= self.last[place]).then(|| self.values[place])
    }
}

impl<T: Bits, V: Copy + PartialEq> Sorted<T, V> {
    fn of(mut ranges: Vec<(T, T, V)>) -> Self {
        // Outer ranges before inner ones. Stable: of equal ones the last stays last.
        ranges.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut sorted = Sorted {
            first: Vec::new(),
            last: Vec::new(),
            values: Vec::new(),
        };
        // Ranges that began and have not ended, each over the one that it lies in.
        let mut open: Vec<(T, V)> = Vec::new();
        // The first address that has no value yet.
        let mut at: Option<T> = None;
        for (first, last, value) in ranges {
            sorted.close(&mut open, &mut at, Some(first));
            if let (Some((_, outer)), Some(from), Some(to)) = (open.last(), at, first.previous())
                && from <= to
            {
                sorted.push(from, to, *outer);
            }
            at = Some(first);
            open.push((last, value));
        }
        sorted.close(&mut open, &mut at, None);
        sorted
    }

    /// Ends the open ranges that end before `before`, or all.
    fn close(&mut self, open: &mut Vec<(T, V)>, at: &mut Option<T>, before: Option<T>) {
        while let Some((last, value)) = open.pop_if(|(last, _)| before.is_none_or(|before| *last < before)) {
            if let Some(from) = *at
                && from <= last
            {
                self.push(from, last, value);
                *at = last.next();
            }
        }
    }

    fn push(&mut self, first: T, last: T, value: V) {
        let joins = match (self.last.last_mut(), self.values.last()) {
            (Some(end), Some(known)) if *known == value && end.next() == Some(first) => Some(end),
            _ => None,
        };
        match joins {
            Some(end) => *end = last,
            None => {
                self.first.push(first);
                self.last.push(last);
                self.values.push(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Networks nest or lie apart: the narrowest one that holds an address, by trying all.
        #[test]
        fn the_narrowest_network_wins(
            networks in vec((0..256u32, 24..=32u32), 0..40),
            base in prop_oneof![Just(0u32), Just(u32::MAX << 8), Just(0x0A00_0000)],
        ) {
            let mut unsorted = Unsorted::default();
            for (value, (host, bits)) in networks.iter().enumerate() {
                prop_assert!(unsorted.add_network(IpAddr::V4(Ipv4Addr::from_bits(base | host)), *bits, value));
            }
            let ranges = unsorted.sort();
            for host in 0..256u32 {
                let expected = networks
                    .iter()
                    .enumerate()
                    .filter(|(_, (network, bits))| (network ^ host).checked_shr(32 - bits).unwrap_or(0) == 0)
                    .max_by_key(|(value, (_, bits))| (*bits, *value))
                    .map(|(value, _)| value);
                prop_assert_eq!(ranges.find(IpAddr::V4(Ipv4Addr::from_bits(base | host))), expected);
            }
        }

        /// Ranges of one kind may overlap in any way: an address is in them or not.
        #[test]
        fn overlapping_ranges_are_one_set(ends in vec((0..200u32, 0..60u32), 0..30)) {
            let mut unsorted = Unsorted::default();
            let address = |bits: u32| IpAddr::V4(Ipv4Addr::from_bits(bits));
            for (first, length) in &ends {
                unsorted.add(address(*first), address(first + length), ());
            }
            let ranges = unsorted.sort();
            for bits in 0..300 {
                let expected = ends.iter().any(|(first, length)| (*first..=first + length).contains(&bits));
                prop_assert_eq!(ranges.find(address(bits)).is_some(), expected, "{}", bits);
            }
        }
    }

    #[test]
    fn families_are_apart() {
        let mut unsorted = Unsorted::default();
        unsorted.add_network("::".parse().unwrap(), 0, 6);
        unsorted.add_network("0.0.0.0".parse().unwrap(), 0, 4);
        assert!(!unsorted.add_network("10.0.0.0".parse().unwrap(), 33, 4));
        assert!(!unsorted.add("10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap(), 4));
        assert!(!unsorted.add("10.0.0.2".parse().unwrap(), "::1".parse().unwrap(), 4));
        let ranges = unsorted.sort();
        for (address, value) in [
            ("255.255.255.255", 4),
            ("::ffff:1.2.3.4", 4),
            ("ffff::", 6),
            ("::", 6),
        ] {
            assert_eq!(ranges.find(address.parse().unwrap()), Some(value), "{address}");
        }
    }
}
