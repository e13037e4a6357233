//! `ip_in_cidr(address, cidr)`

use std::net::IpAddr;

use super::{Compute, Function};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "ip_in_cidr",
    arguments: &["address", "cidr"],
    about: "Whether an address lies in a network such as 10.0.0.0/8 or 2001:db8::/32. NULL if either is not one.",
    example: ("ip_in_cidr('10.1.2.3', '10.0.0.0/8')", "true"),
    compute: Compute::Bool(|row| contains(row[1], row[0])),
};

fn contains(cidr: &str, address: &str) -> Option<bool> {
    let (network, length) = cidr.split_once('/').unwrap_or((cidr, ""));
    let network: IpAddr = network.parse().ok()?;
    let address: IpAddr = address.parse::<IpAddr>().ok()?.to_canonical();
    let (network_bits, address_bits, width) = match (network.to_canonical(), address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        _ => return Some(false),
    };
    let length: u32 = if length.is_empty() {
        width
    } else {
        length.parse().ok().filter(|length| *length <= width)?
    };
    let shift = width - length;
    Some(shift == 128 || network_bits >> shift == address_bits >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("10.0.0.0/33", "10.0.0.5", None),
            ("10.0.0.0/8", "ec2.amazonaws.com", None),
        ] {
            assert_eq!(contains(cidr, address), inside, "{cidr} {address}");
        }
    }
}
