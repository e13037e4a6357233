//! `base64_decode(text)`

use super::{Body, Function, Group, Type, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "base64_decode",
    group: Group::Text,
    arguments: &[text("text")],
    gives: Type::Text,
    about: "The text that base64 stands for (RFC 4648): in the standard or the URL alphabet, with padding or without, \
            line breaks and blanks left out. NULL if it is not base64, or not of UTF-8 text. Many words are base64 \
            by chance: look at what comes out.",
    example: ("base64_decode('Y3VybCBodHRwOi8v')", "curl http://"),
    body: Body::Scalar(|arguments| {
        let text = arguments.text(0);
        arguments.to_text(|row| decode(text.at(row)?))
    }),
};

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut digits, mut padding) = (0u32, 0u32, 0u32);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            _ => return None,
        };
        // Padding ends the text.
        if padding > 0 {
            return None;
        }
        bits = bits << 6 | u32::from(digit);
        digits += 1;
        if digits.is_multiple_of(4) {
            bytes.extend(&bits.to_be_bytes()[1..]);
            bits = 0;
        }
    }
    let missing = match digits % 4 {
        0 => 0,
        2 => {
            bytes.push((bits >> 4) as u8);
            2
        }
        3 => {
            bytes.extend([(bits >> 10) as u8, (bits >> 2) as u8]);
            1
        }
        _ => return None,
    };
    match padding == 0 || padding == missing {
        true => String::from_utf8(bytes).ok(),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        for (text, expected) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zg", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm\r\n9v\n", Some("foo")),
            ("Pz8_", Some("???")),
            ("Pz8/", Some("???")),
            ("fn5-", Some("~~~")),
            ("Z", None),
            ("Zg=", None),
            ("Zg===", None),
            ("Zm9v=", None),
            ("Zg==Zg==", None),
            ("=", None),
            ("Zm9v!", None),
            ("/w==", None),
            ("Zé", None),
        ] {
            assert_eq!(decode(text).as_deref(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(text in "\\PC{0,60}", url in any::<bool>(), padded in any::<bool>()) {
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
            let digit = |number: u32| match number {
                62 => if url { '-' } else { '+' },
                63 => if url { '_' } else { '/' },
                _ => char::from(alphabet[number as usize]),
            };
            let mut encoded = String::new();
            for chunk in text.as_bytes().chunks(3) {
                let mut bits = 0u32;
                (0..3).for_each(|at| bits = bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
                for at in 0..4 {
                    match at <= chunk.len() {
                        true => encoded.push(digit(bits >> (18 - 6 * at) & 63)),
                        false if padded => encoded.push('='),
                        false => {}
                    }
                }
            }
            prop_assert_eq!(decode(&encoded), Some(text));
        }
    }
}
