//! Refuses SQL that would nest too deeply, before it is planned.
//!
//! Thousands of operators in one expression become a tree as deep, and planners
//! walk trees by recursion: some such statements overflow the stack, which ends
//! the process (DataFusion #22229). The parser bounds parentheses by itself, so
//! what is left to bound are chains such as `1+1+1...`.

use datafusion::logical_expr::sqlparser::dialect::GenericDialect;
use datafusion::logical_expr::sqlparser::keywords::Keyword;
use datafusion::logical_expr::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::Error;

/// Most binary operators in one expression, counted between commas at one depth
/// of parentheses. A condition written by hand has a dozen; a list of values
/// belongs in `IN (...)`, which does not nest.
pub const OPERATORS_MAX: usize = 500;

/// Checks a statement.
///
/// # Errors
/// An expression has more than [`OPERATORS_MAX`] operators.
pub fn check(sql: &str) -> Result<(), Error> {
    // What is no SQL at all is for the parser to explain.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return Ok(());
    };
    let mut counts = vec![0usize];
    for token in &tokens {
        match token {
            Token::LParen | Token::LBracket => counts.push(0),
            Token::RParen | Token::RBracket if counts.len() > 1 => {
                counts.pop();
            }
            Token::Comma | Token::SemiColon => {
                if let Some(count) = counts.last_mut() {
                    *count = 0;
                }
            }
            token if is_operator(token) => {
                if let Some(count) = counts.last_mut() {
                    *count += 1;
                    if *count > OPERATORS_MAX {
                        let message = format!("an expression has more than {OPERATORS_MAX} operators");
                        return Err(Error::wrong_use(message).with_help(
                            "write a long list of values as column IN (...), or put them in a table",
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::JOIN
                | Keyword::CASE
        ),
        Token::Whitespace(_) | Token::Number(..) | Token::Period | Token::Colon | Token::EOF => false,
        Token::LBrace | Token::RBrace | Token::RParen | Token::RBracket => false,
        // String literals in their many kinds are values; what remains is punctuation that joins values.
        other => {
            let text = other.to_string();
            !text.is_empty()
                && text.len() <= 4
                && text
                    .chars()
                    .all(|c| c.is_ascii_punctuation() && !matches!(c, '\'' | '"'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_bounded_and_lists_are_not() {
        assert!(check(&format!("SELECT 1{}", "+1".repeat(OPERATORS_MAX))).is_ok());
        assert!(check(&format!("SELECT 1{}", "+1".repeat(OPERATORS_MAX + 1))).is_err());
        assert!(
            check(&format!(
                "SELECT 1 WHERE a = 1{}",
                " OR a = 1".repeat(OPERATORS_MAX)
            ))
            .is_err()
        );
        assert!(check(&format!("SELECT {}", "- ".repeat(OPERATORS_MAX + 1))).is_err());
        assert!(check(&format!("SELECT a IN (1{})", ",1".repeat(10_000))).is_ok());
        assert!(check(&format!("SELECT 1{}", ", a = b AND c".repeat(1_000))).is_ok());
        assert!(check("SELECT 'unfinished").is_ok());
    }
}
