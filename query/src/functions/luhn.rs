//! `luhn(text)`

use super::{Body, Function, Group, Type, text};

/// Lengths of card numbers (ISO/IEC 7812).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "luhn",
    group: Group::Text,
    arguments: &[text("text")],
    gives: Type::Bool,
    about: "Whether a text can be the number of a payment card: 13 to 19 digits, not beginning with 0, with single \
            blanks or hyphens between them or none, and a right check digit by Luhn. One number in ten of that form \
            passes by chance.",
    example: ("luhn('4111 1111 1111 1111')", "true"),
    body: Body::Scalar(|arguments| {
        let text = arguments.text(0);
        arguments.to_bool(|row| text.at(row).map(is_card_number))
    }),
};

fn is_card_number(text: &str) -> bool {
    let (mut sum, mut count, mut after_digit) = (0u32, 0usize, false);
    // From the right, as every second digit from there counts double.
    for byte in text.bytes().rev() {
        match byte {
            b'0'..=b'9' => {
                let digit = u32::from(byte - b'0') << (count % 2);
                sum += if digit > 9 { digit - 9 } else { digit };
                count += 1;
                after_digit = true;
            }
            b' ' | b'-' if after_digit => after_digit = false,
            _ => return false,
        }
    }
    after_digit && DIGITS.contains(&count) && !text.starts_with('0') && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("4111111111111111", true),
            ("4111-1111-1111-1111", true),
            ("5500 0000 0000 0004", true),
            ("378282246310005", true),
            ("6304000000000000000", true),
            ("41111111111111111111", false),
            ("63040000000000000000", false),
            ("4111111111111112", false),
            ("4111  1111 1111 1111", false),
            (" 4111111111111111", false),
            ("4111111111111111 ", false),
            ("0000000000000000", false),
            ("79927398713", false),
            ("", false),
            ("four", false),
        ] {
            assert_eq!(is_card_number(text), expected, "{text:?}");
        }
    }

    proptest! {
        /// What the check digit is for: a slip in one digit, and two neighbours exchanged.
        #[test]
        fn slips_are_noticed(digits in "[1-9][0-9]{11,17}", at in any::<usize>(), slip in 1..10u8) {
            let valid: Vec<String> = (0..10)
                .map(|check| format!("{digits}{check}"))
                .filter(|number| is_card_number(number))
                .collect();
            prop_assert_eq!(valid.len(), 1);
            let mut bytes = valid[0].clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = b'0' + (bytes[at] - b'0' + slip) % 10;
            prop_assert!(!is_card_number(&String::from_utf8(bytes).unwrap()));
        }
    }
}
