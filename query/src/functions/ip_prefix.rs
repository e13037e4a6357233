//! `ip_prefix(address, bits)`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::parse_address;
use super::{Body, Function, Group, Type, int, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "ip_prefix",
    group: Group::Addresses,
    arguments: &[text("address"), int("bits")],
    gives: Type::Text,
    about: "The network of an address with so many leading bits, to group neighbours: 0 to 32 for IPv4, to 128 for \
            IPv6. NULL if it is no address or has fewer bits.",
    example: ("ip_prefix('10.1.2.3', 16)", "10.1.0.0/16"),
    body: Body::Scalar(|arguments| {
        let (address, bits) = (arguments.text(0), arguments.int(1));
        arguments.to_text(|row| {
            let bits = u32::try_from(bits.at(row)?).ok()?;
            prefix(parse_address(address.at(row)?)?, bits)
        })
    }),
};

pub(super) fn prefix(address: IpAddr, length: u32) -> Option<String> {
    let network = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32u32.checked_sub(length)?).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128u32.checked_sub(length)?).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    };
    Some(format!("{network}/{length}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (address, length, expected) in [
            ("10.1.2.3", 24, Some("10.1.2.0/24")),
            ("10.1.2.3", 32, Some("10.1.2.3/32")),
            ("10.1.2.3", 0, Some("0.0.0.0/0")),
            ("10.1.2.3", 33, None),
            ("::ffff:10.1.2.3", 8, Some("10.0.0.0/8")),
            ("2001:db8:1:2::3", 48, Some("2001:db8:1::/48")),
            ("2001:db8:1:2::3", 0, Some("::/0")),
            ("2001:db8:1:2::3", 129, None),
        ] {
            let found = prefix(parse_address(address).unwrap(), length);
            assert_eq!(found.as_deref(), expected, "{address}/{length}");
        }
    }
}
