//! `entropy(text)`

use std::collections::HashMap;

use super::{Body, Function, Group, Type, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "entropy",
    group: Group::Text,
    arguments: &[text("text")],
    gives: Type::Double,
    about: "Shannon entropy of a text's characters, in bits a character: 0 for one character repeated, near 4 for hex \
            keys, near 6 for long base64. At most log2 of the length, so compare texts of like length. 0 for empty \
            text.",
    example: ("entropy('aabb')", "1.0"),
    body: Body::Scalar(|arguments| {
        let text = arguments.text(0);
        arguments.to_double(|row| text.at(row).map(entropy))
    }),
};

fn entropy(text: &str) -> f64 {
    if text.is_ascii() {
        let mut counts = [0u32; 128];
        text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
        return of_counts(counts.iter().copied().filter(|count| *count > 0), text.len());
    }
    let mut counts: HashMap<char, u32> = HashMap::new();
    text.chars().for_each(|c| *counts.entry(c).or_default() += 1);
    // In order, so that the sum is the same in each run to the last bit.
    let mut counts: Vec<u32> = counts.into_values().collect();
    counts.sort_unstable();
    of_counts(counts.into_iter(), text.chars().count())
}

/// log2(n) - sum(c log2 c) / n: one logarithm for each character that occurs.
fn of_counts(counts: impl Iterator<Item = u32>, length: usize) -> f64 {
    if length == 0 {
        return 0.0;
    }
    let length = length as f64;
    let sum: f64 = counts
        .map(|count| f64::from(count) * f64::from(count).log2())
        .sum();
    (length.log2() - sum / length).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        for (text, expected) in [
            ("", 0.0),
            ("aaaa", 0.0),
            ("ab", 1.0),
            ("abcd", 2.0),
            ("0123456789abcdef", 4.0),
            ("éàéà", 1.0),
            ("aab", 0.918_295_834_054_489_6),
        ] {
            assert!(
                (entropy(text) - expected).abs() < 1e-12,
                "{text:?}: {}",
                entropy(text)
            );
        }
    }

    proptest! {
        #[test]
        fn by_definition(text in "\\PC{1,80}|[a-f]{1,80}") {
            let length = text.chars().count() as f64;
            let mut seen: Vec<char> = text.chars().collect();
            seen.sort_unstable();
            let expected: f64 = seen
                .chunk_by(|a, b| a == b)
                .map(|same| same.len() as f64 / length)
                .map(|p| -p * p.log2())
                .sum();
            prop_assert!((entropy(&text) - expected).abs() < 1e-9);
        }
    }
}
