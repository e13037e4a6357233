//! `ip_normalize(text)`

use std::net::{IpAddr, Ipv4Addr};

use super::{Body, Function, Group, Type, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "ip_normalize",
    group: Group::Addresses,
    arguments: &[text("text")],
    gives: Type::Text,
    about: "An address in its usual form, whatever the form in which it hides: decimal, hex and octal numbers, one to \
            four of them with the last one filling the rest, as `inet_aton` and so most clients read them; IPv6 in \
            brackets; IPv4 mapped into IPv6. NULL if it is no address. Any number below 2 to the 32nd is one to such \
            clients: decode percent escapes first, and look only where a host is expected.",
    example: ("ip_normalize('0xA9FEA9FE')", "169.254.169.254"),
    body: Body::Scalar(|arguments| {
        let text = arguments.text(0);
        arguments.to_text(|row| normalize(text.at(row)?).map(|address| address.to_string()))
    }),
};

fn normalize(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let host = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    if host.contains(':') {
        return host.parse().ok().map(|address: IpAddr| address.to_canonical());
    }
    // A name may end with the dot of the root.
    inet_aton(text.strip_suffix('.').unwrap_or(text)).map(IpAddr::V4)
}

fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let mut parts = [0u32; 4];
    let mut count = 0;
    for part in text.split('.') {
        *parts.get_mut(count)? = number(part)?;
        count += 1;
    }
    let (last, leading) = parts[..count].split_last()?;
    let mut bits = 0u32;
    for (place, part) in leading.iter().enumerate() {
        bits |= u32::from(u8::try_from(*part).ok()?) << (24 - 8 * place);
    }
    let free = u32::MAX.checked_shr(8 * leading.len() as u32).unwrap_or(0);
    (*last <= free).then(|| Ipv4Addr::from_bits(bits | last))
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // `from_str_radix` would take a sign.
    match digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => u32::from_str_radix(digits, radix).ok(),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms() {
        let hidden = Some("169.254.169.254");
        for (text, expected) in [
            ("169.254.169.254", hidden),
            ("169.254.169.254.", hidden),
            ("2852039166", hidden),
            ("0xA9FEA9FE", hidden),
            ("0xa9.0xfe.0xa9.0xfe", hidden),
            ("0251.0376.0251.0376", hidden),
            ("0251.254.0xa9.254", hidden),
            ("00000251.254.169.254", hidden),
            ("025177524776", hidden),
            ("169.254.43518", hidden),
            ("169.16689662", hidden),
            ("::ffff:169.254.169.254", hidden),
            ("[::ffff:a9fe:a9fe]", hidden),
            (" 169.254.169.254\n", hidden),
            ("[fd00:ec2::254]", Some("fd00:ec2::254")),
            ("FD00:0EC2:0:0::0254", Some("fd00:ec2::254")),
            ("0", Some("0.0.0.0")),
            ("4294967295", Some("255.255.255.255")),
            ("4294967296", None),
            ("256.1.1.1", None),
            ("1.256.1", None),
            ("1.1.65536", None),
            ("1.16777216", None),
            ("1.2.3.4.5", None),
            ("08.1.1.1", None),
            ("0x", None),
            ("0xg", None),
            ("+1.2.3.4", None),
            ("1..2", None),
            ("", None),
            (".", None),
            ("1.2.3.4..", None),
            ("localhost", None),
            ("[169.254.169.254", None),
        ] {
            let found = normalize(text).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn all_forms_of_an_address_are_one(bits in any::<u32>(), forms in any::<[u8; 4]>()) {
            let address = Ipv4Addr::from_bits(bits);
            let write = |number: u32, form: u8| match form % 3 {
                0 => number.to_string(),
                1 => format!("0x{number:x}"),
                _ => format!("0{number:o}"),
            };
            for count in 1..=4usize {
                let mut parts: Vec<String> = (0..count - 1)
                    .map(|at| write(u32::from(address.octets()[at]), forms[at]))
                    .collect();
                let rest = if count == 1 { bits } else { bits & (u32::MAX >> (8 * (count - 1))) };
                parts.push(write(rest, forms[3]));
                prop_assert_eq!(normalize(&parts.join(".")), Some(IpAddr::V4(address)), "{}", parts.join("."));
            }
        }
    }
}
