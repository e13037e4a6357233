//! `percent_decode(text)`

use super::{Compute, Function};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "percent_decode",
    arguments: &["text"],
    about: "Text with %XX decoded once (RFC 3986); what is not a valid escape stays, invalid UTF-8 is replaced. \
            Attackers encode several times: nest the call to look through that.",
    example: ("percent_decode('169%2e254')", "169.254"),
    compute: Compute::Text(|row| Some(decode(row[0]))),
};

fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (text, expected) in [
            ("a%2Fb", "a/b"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("%252e", "%2e"),
            ("%ff", "\u{fffd}"),
            ("é%20", "é "),
        ] {
            assert_eq!(decode(text), expected);
        }
    }
}
