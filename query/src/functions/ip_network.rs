//! `ip_network(address)`

use std::net::IpAddr;

use super::address::parse_address;
use super::ip_prefix::prefix;
use super::{Body, Function, Group, Type, text};

/// Leading bits of a network of IPv4.
const BITS_V4: u32 = 24;

/// Leading bits of a network of IPv6: what providers give to one site.
const BITS_V6: u32 = 48;

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "ip_network",
    group: Group::Detections,
    arguments: &[text("address")],
    gives: Type::Text,
    about: "Network under which baselines know an address that has no name: its /24, or /48 of IPv6. Hosts of a \
            service come and go, their networks stay. NULL if it is no address.",
    example: ("ip_network('203.0.113.77')", "203.0.113.0/24"),
    body: Body::Scalar(|arguments| {
        let address = arguments.text(0);
        arguments.to_text(|row| network(parse_address(address.at(row)?)?))
    }),
};

fn network(address: IpAddr) -> Option<String> {
    match address {
        IpAddr::V4(_) => prefix(address, BITS_V4),
        IpAddr::V6(_) => prefix(address, BITS_V6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (address, expected) in [
            ("10.1.2.3", "10.1.2.0/24"),
            ("::ffff:10.1.2.3", "10.1.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            // The short form hides groups, which still count.
            ("2001:db8::3", "2001:db8::/48"),
        ] {
            let found = network(parse_address(address).unwrap());
            assert_eq!(found.as_deref(), Some(expected), "{address}");
        }
    }
}
