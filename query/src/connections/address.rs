//! Addresses as sixteen bytes, from text and back.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An address in packed form. IPv4 is held as the IPv6 that stands for it.
pub type Address = [u8; 16];

/// Reads an address; none if it is neither IPv4 nor IPv6.
pub fn parse(text: &[u8]) -> Option<Address> {
    if let Some(four) = parse_v4(text) {
        let mut address = [0; 16];
        address[10..12].copy_from_slice(&[0xff, 0xff]);
        address[12..].copy_from_slice(&four);
        return Some(address);
    }
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<Ipv6Addr>().ok().map(|six| six.octets())
}

/// The standard parser's rules, several times as fast: four numbers up to 255
/// without leading zeros.
fn parse_v4(text: &[u8]) -> Option<[u8; 4]> {
    if text.len() > 15 {
        return None;
    }
    let mut four = [0; 4];
    let (mut part, mut value, mut digits) = (0, 0u32, 0);
    for &byte in text {
        match byte {
            b'0'..=b'9' if digits < 3 && (digits == 0 || value > 0) => {
                value = value * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && part < 3 => {
                four[part] = u8::try_from(value).ok()?;
                (part, value, digits) = (part + 1, 0, 0);
            }
            _ => return None,
        }
    }
    if part != 3 || digits == 0 {
        return None;
    }
    four[3] = u8::try_from(value).ok()?;
    Some(four)
}

/// Appends an address as text.
pub fn write(address: &Address, text: &mut String) {
    let written = match address {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => {
            write!(text, "{}", Ipv4Addr::new(*a, *b, *c, *d))
        }
        six => write!(text, "{}", Ipv6Addr::from(*six)),
    };
    // Writing to a string cannot fail.
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were() {
        for text in [
            "10.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "fd00:12::7",
            "2001:db8::1:0:0:1",
        ] {
            let mut back = String::new();
            write(&parse(text.as_bytes()).unwrap(), &mut back);
            assert_eq!(back, text);
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            "-",
            "10.0.0",
            "10.0.0.256",
            "10.0.0.1.2",
            "010.0.0.1",
            "1..2.3",
            "10.0.0.1 ",
            "eni-1",
            "1.2.3.",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
            assert!(text.parse::<std::net::IpAddr>().is_err(), "{text:?}");
        }
    }
}
