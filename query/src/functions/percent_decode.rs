//! `percent_decode(text)`

use std::borrow::Cow;

use super::{Body, Function, Group, Type, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "percent_decode",
    group: Group::Text,
    arguments: &[text("text")],
    gives: Type::Text,
    about: "Text with %XX decoded once (RFC 3986); what is not a valid escape stays, invalid UTF-8 is replaced. \
            Attackers encode several times: nest the call to look through that.",
    example: ("percent_decode('169%2e254')", "169.254"),
    body: Body::Scalar(|arguments| {
        let text = arguments.text(0);
        arguments.to_text(|row| text.at(row).map(decode))
    }),
};

/// Decodes once.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
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
    Cow::Owned(match String::from_utf8(decoded) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
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
