//! `is_private_ip(address)`

use std::net::IpAddr;

use super::address::parse_address;
use super::{Body, Function, Group, Type, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "is_private_ip",
    group: Group::Addresses,
    arguments: &[text("address")],
    gives: Type::Bool,
    about: "Whether an IPv4 or IPv6 address is not reachable from the internet: private (RFC 1918, RFC 4193), \
            shared (RFC 6598), loopback or link-local. NULL if it is not an address, such as an AWS service name.",
    example: ("is_private_ip('10.0.0.5')", "true"),
    body: Body::Scalar(|arguments| {
        let address = arguments.text(0);
        arguments.to_bool(|row| parse_address(address.at(row)?).map(is_private))
    }),
};

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (a == 100 && b & 0xC0 == 64)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (address, private) in [
            ("10.255.0.1", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("169.254.169.254", true),
            ("127.0.0.1", true),
            ("203.0.113.5", false),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
            ("::ffff:10.0.0.1", true),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }
}
