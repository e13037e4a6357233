//! `ip_in_cidr(address, cidr)`

use std::net::IpAddr;

use super::address::parse_address;
use super::arguments::Last;
use super::{Body, Function, Group, Type, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "ip_in_cidr",
    group: Group::Addresses,
    arguments: &[text("address"), text("cidr")],
    gives: Type::Bool,
    about: "Whether an address lies in a network such as 10.0.0.0/8 or 2001:db8::/32. NULL if either is not one.",
    example: ("ip_in_cidr('10.1.2.3', '10.0.0.0/8')", "true"),
    body: Body::Scalar(|arguments| {
        let (address, cidr) = (arguments.text(0), arguments.text(1));
        let mut last = Last::default();
        arguments.to_bool(|row| {
            let (cidr, address) = (cidr.at(row)?, address.at(row)?);
            let network = (*last.of(cidr, Network::parse))?;
            Some(network.contains(parse_address(address)?))
        })
    }),
};

/// The bits that the addresses of a network share.
#[derive(Debug, Clone, Copy)]
enum Network {
    V4 { bits: u32, mask: u32 },
    V6 { bits: u128, mask: u128 },
}

impl Network {
    fn parse(cidr: &str) -> Option<Network> {
        let (network, length) = cidr.split_once('/').unwrap_or((cidr, ""));
        let network: IpAddr = network.parse().ok()?;
        let width = match network {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let length: u32 = match length {
            "" => width,
            _ => length.parse().ok().filter(|length| *length <= width)?,
        };
        Some(match (network, network.to_canonical()) {
            // A network of mapped addresses is one of IPv4 addresses.
            (IpAddr::V6(_), IpAddr::V4(v4)) if length >= 96 => Network::v4(v4.to_bits(), length - 96),
            (IpAddr::V4(v4), _) => Network::v4(v4.to_bits(), length),
            (IpAddr::V6(v6), _) => {
                let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                Network::V6 {
                    bits: v6.to_bits() & mask,
                    mask,
                }
            }
        })
    }

    fn v4(bits: u32, length: u32) -> Network {
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        Network::V4 {
            bits: bits & mask,
            mask,
        }
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Network::V4 { bits, mask }, IpAddr::V4(address)) => address.to_bits() & mask == bits,
            (Network::V6 { bits, mask }, IpAddr::V6(address)) => address.to_bits() & mask == bits,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(cidr: &str, address: &str) -> Option<bool> {
        Some(Network::parse(cidr)?.contains(parse_address(address)?))
    }

    #[test]
    fn networks() {
        for (cidr, address, inside) in [
            ("10.0.0.0/8", "10.1.2.3", Some(true)),
            ("10.0.0.0/8", "11.1.2.3", Some(false)),
            ("0.0.0.0/0", "203.0.113.1", Some(true)),
            ("::/0", "2001:db8::1", Some(true)),
            ("2001:db8::/32", "2001:db8:1::1", Some(true)),
            ("2001:db8::/32", "10.0.0.1", Some(false)),
            ("10.0.0.5", "10.0.0.5", Some(true)),
            ("10.0.0.5/31", "10.0.0.4", Some(true)),
            ("10.0.0.5/32", "10.0.0.4", Some(false)),
            ("::ffff:10.0.0.0/104", "10.9.0.1", Some(true)),
            ("::ffff:10.0.0.0/104", "11.9.0.1", Some(false)),
            ("10.0.0.0/8", "::ffff:10.9.0.1", Some(true)),
            ("2001:db8::/129", "2001:db8::1", None),
            ("10.0.0.0/-1", "10.0.0.5", None),
            ("10.0.0.0/33", "10.0.0.5", None),
            ("10.0.0.0/8", "ec2.amazonaws.com", None),
        ] {
            assert_eq!(contains(cidr, address), inside, "{cidr} {address}");
        }
    }
}
