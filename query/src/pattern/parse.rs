//! The text of a pattern -> what it says.

use super::PATTERN_CHARS_MAX;
use super::cursor::{Cursor, fault};
use super::regex;
use super::selector::Selector;
use super::syntax::{Check, Comparison, Expr, Field, FieldKind, JsonTest, Op, Pattern, Terms, Value, number};
use crate::error::Error;

/// Most parentheses inside each other; nobody writes more, and parsing takes
/// stack for each.
const DEPTH_MAX: usize = 32;

/// Most regular expressions in one pattern.
const REGEXES_MAX: usize = 2;

/// What `pattern` says.
pub(super) fn parse(pattern: &str) -> Result<Pattern, Error> {
    let length = pattern.chars().count();
    if length > PATTERN_CHARS_MAX {
        let message = format!("the pattern is {length} characters long; the most is {PATTERN_CHARS_MAX}");
        return Err(Error::wrong_use(message));
    }
    let mut cursor = Cursor::new(pattern);
    cursor.skip_blank();
    let parsed = match cursor.peek() {
        None => return Ok(Pattern::All),
        Some('[') => Pattern::Fields(fields(&mut cursor)?),
        Some('{') => Pattern::Json(json(&mut cursor)?),
        Some(_) => return terms(pattern, &mut cursor),
    };
    cursor.skip_blank();
    match cursor.peek() {
        None => Ok(parsed),
        Some(_) => Err(cursor.unexpected("the end of the pattern")),
    }
}

/// `ERROR -timeout`, `?A ?B`, `%regex%`.
fn terms(pattern: &str, cursor: &mut Cursor<'_>) -> Result<Pattern, Error> {
    if cursor.peek() == Some('%') {
        let regex = regular_expression(cursor)?;
        cursor.skip_blank();
        return match cursor.peek() {
            None => Ok(Pattern::Terms(Terms::Regex(regex))),
            Some(_) => Err(cursor.unexpected(
                "the end of the pattern: outside of [...] and {...} a regular expression stands alone",
            )),
        };
    }
    let (mut all, mut any, mut none) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        cursor.skip_blank();
        let start = cursor.at();
        let list = match cursor.peek() {
            None => break,
            Some('?') => &mut any,
            Some('-') => &mut none,
            Some(_) => &mut all,
        };
        let _ = cursor.eat("?") || cursor.eat("-");
        let term = match cursor.peek() {
            Some('"') => cursor.quoted('"')?,
            Some('%') => return Err(cursor.unexpected("a term: a regular expression stands alone")),
            _ => cursor.take_while(|c| c.is_alphanumeric() || c == '_').to_owned(),
        };
        if let Some(wrong) = cursor.peek().filter(|c| !c.is_whitespace()) {
            let end = cursor.at() + wrong.len_utf8();
            let word = pattern[start..].split_whitespace().next().unwrap_or_default();
            let bare = word.trim_start_matches(['?', '-']).replace('"', "\\\"");
            let error = fault(
                pattern,
                cursor.at()..end,
                format!("{wrong} has to stand in double quotes"),
            );
            return Err(error.with_help(format!("write \"{bare}\"")));
        }
        if term.is_empty() && cursor.at() == start + 1 {
            return Err(fault(pattern, start..start + 1, "nothing follows this mark"));
        }
        list.push(term);
    }
    // AWS ignores optional terms as soon as there are others.
    if !all.is_empty() || !none.is_empty() {
        any.clear();
    }
    let is_blank = all.iter().all(|term| term.trim().is_empty());
    if is_blank && any.is_empty() && none.is_empty() {
        return Ok(Pattern::All);
    }
    Ok(Pattern::Terms(Terms::Words { all, any, none }))
}

/// `[a, b = 80 || b = 8080, ...]`.
fn fields(cursor: &mut Cursor<'_>) -> Result<Vec<Field>, Error> {
    cursor.eat("[");
    let mut fields = Vec::new();
    loop {
        cursor.skip_blank();
        let start = cursor.at();
        let field = match cursor.eat("...") {
            true => Field {
                at: start..cursor.at(),
                kind: FieldKind::Rest,
            },
            false => named_field(cursor)?,
        };
        if field.kind == FieldKind::Rest && fields.iter().any(|other: &Field| other.kind == FieldKind::Rest) {
            let error = cursor.fault(field.at, "a second ... leaves open which field is which");
            return Err(error.with_help("name the fields between the two, or ask in two patterns"));
        }
        fields.push(field);
        cursor.skip_blank();
        if cursor.eat("]") {
            return Ok(fields);
        }
        if !cursor.eat(",") {
            return Err(cursor.unexpected("a comma, && or ||, or ]"));
        }
    }
}

fn named_field(cursor: &mut Cursor<'_>) -> Result<Field, Error> {
    let mut known = None;
    let mut has_test = false;
    let mut test = |cursor: &mut Cursor<'_>| {
        let start = cursor.at();
        let name = cursor.take_while(|c| c.is_alphanumeric() || c == '_' || c == '-');
        if name.is_empty() {
            return Err(cursor.unexpected("the name of a field, or ..."));
        }
        let (known, _) = known.get_or_insert((name.to_owned(), start..cursor.at()));
        if known != name {
            let error = cursor.fault(start..cursor.at(), format!("{name} is another field"));
            return Err(error
                .with_help("conditions of different fields stand at their own places, with commas between"));
        }
        cursor.skip_blank();
        // Without an operator this is a bare name, if nothing else was said before.
        if !has_test && matches!(cursor.peek(), Some(',' | ']')) {
            return Ok(None);
        }
        has_test = true;
        comparison(cursor, ",])&|").map(Some)
    };
    let tests = expression(cursor, 0, &mut test)?;
    let (name, at) = known.unwrap_or_default();
    Ok(Field {
        at,
        kind: FieldKind::Named {
            name,
            test: tests.complete(),
        },
    })
}

/// `{ $.a = "x" && $.b NOT EXISTS }`.
fn json(cursor: &mut Cursor<'_>) -> Result<Expr<JsonTest>, Error> {
    cursor.eat("{");
    let tests = expression(cursor, 0, &mut json_test)?;
    if !cursor.eat("}") {
        return Err(cursor.unexpected("&& or ||, or }"));
    }
    Ok(tests)
}

fn json_test(cursor: &mut Cursor<'_>) -> Result<JsonTest, Error> {
    let start = cursor.at();
    let selector = Selector::parse(cursor)?;
    let at = start..cursor.at();
    cursor.skip_blank();
    let word = cursor.at();
    let check = if cursor.eat_word("NOT") {
        cursor.skip_blank();
        if !cursor.eat_word("EXISTS") {
            return Err(cursor.unexpected("EXISTS"));
        }
        Check::NotExists
    } else if cursor.eat_word("EXISTS") {
        let error = cursor.fault(word..cursor.at(), "patterns have NOT EXISTS, but no EXISTS");
        return Err(error.with_help(format!("write {selector} = \"*\" for a value that is there")));
    } else if cursor.eat_word("IS") {
        cursor.skip_blank();
        if cursor.eat_word("NULL") {
            Check::IsNull
        } else if cursor.eat_word("TRUE") {
            Check::IsBool(true)
        } else if cursor.eat_word("FALSE") {
            Check::IsBool(false)
        } else if cursor.eat_word("NOT") {
            let error = cursor.fault(word..cursor.at(), "patterns have IS, but no IS NOT");
            return Err(error.with_help(format!(
                "write {selector} = \"*\" for a value that is there and not null"
            )));
        } else {
            return Err(cursor.unexpected("NULL, TRUE or FALSE"));
        }
    } else {
        Check::Compare(comparison(cursor, ")&|}")?)
    };
    Ok(JsonTest { selector, at, check })
}

/// Tests joined by `||` and, binding closer, `&&`, with parentheses.
fn expression<T>(
    cursor: &mut Cursor<'_>,
    depth: usize,
    test: &mut dyn FnMut(&mut Cursor<'_>) -> Result<T, Error>,
) -> Result<Expr<T>, Error> {
    let mut either = Vec::new();
    loop {
        let mut both = Vec::new();
        loop {
            cursor.skip_blank();
            let start = cursor.at();
            if cursor.eat("(") {
                if depth == DEPTH_MAX {
                    return Err(cursor.fault(
                        start..start + 1,
                        format!("more than {DEPTH_MAX} parentheses inside each other"),
                    ));
                }
                both.push(expression(cursor, depth + 1, test)?);
                if !cursor.eat(")") {
                    return Err(cursor.unexpected("&& or ||, or )"));
                }
            } else {
                both.push(Expr::Test(test(cursor)?));
            }
            cursor.skip_blank();
            if !cursor.eat("&&") {
                break;
            }
        }
        either.push(one_or(both, Expr::And));
        if !cursor.eat("||") {
            return Ok(one_or(either, Expr::Or));
        }
    }
}

fn one_or<T>(mut parts: Vec<Expr<T>>, join: fn(Vec<Expr<T>>) -> Expr<T>) -> Expr<T> {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

/// An operator and a value, which ends before any of `ends` unless it is quoted.
fn comparison(cursor: &mut Cursor<'_>, ends: &str) -> Result<Comparison, Error> {
    let start = cursor.at();
    // The longer operators first: < would take the first half of <=.
    let found = [Op::Le, Op::Ge, Op::Ne, Op::Eq, Op::Lt, Op::Gt]
        .into_iter()
        .find(|op| cursor.eat(op.text()));
    let Some(op) = found else {
        return Err(cursor.unexpected("one of = != < > <= >="));
    };
    if matches!(cursor.peek(), Some('=' | '>')) {
        cursor.take_while(|c| c == '=' || c == '>');
        let error = cursor.fault(start..cursor.at(), "there is no such operator");
        return Err(error.with_help("there are = != < > <= >="));
    }
    cursor.skip_blank();
    let start = cursor.at();
    let value = value(cursor, ends)?;
    if op.is_order() && !matches!(value, Value::Number(_)) {
        let error = cursor.fault(
            start..cursor.at(),
            format!("{} compares numbers, and this is none", op.text()),
        );
        return Err(match &value {
            Value::Text(text) if number(text).is_some() => {
                error.with_help(format!("without quotes it is: {text}"))
            }
            _ => error,
        });
    }
    Ok(Comparison { op, value })
}

fn value(cursor: &mut Cursor<'_>, ends: &str) -> Result<Value, Error> {
    match cursor.peek() {
        Some('"') => Ok(Value::Text(cursor.quoted('"')?)),
        Some('%') => Ok(Value::Regex(regular_expression(cursor)?)),
        Some('\'') => {
            let at = cursor.at()..cursor.at() + 1;
            Err(cursor.fault(at, "text of patterns stands in double quotes"))
        }
        _ => {
            let text = cursor.take_while(|c| !c.is_whitespace() && c != '"' && !ends.contains(c));
            match text {
                "" => Err(cursor.unexpected("a value")),
                text if number(text).is_some() => Ok(Value::Number(text.to_owned())),
                text => Ok(Value::Text(text.to_owned())),
            }
        }
    }
}

fn regular_expression(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let start = cursor.at();
    cursor.eat("%");
    let inner = cursor.at();
    let Some(text) = cursor.take_until('%') else {
        return Err(cursor.fault(
            start..inner,
            "the regular expression that begins here has no closing %",
        ));
    };
    if text.is_empty() {
        return Err(cursor.fault(start..cursor.at(), "nothing stands between the two %"));
    }
    cursor.regexes += 1;
    if cursor.regexes > REGEXES_MAX {
        let message = format!("a pattern takes {REGEXES_MAX} regular expressions at most");
        return Err(cursor.fault(start..cursor.at(), message));
    }
    regex::translate(text).map_err(|(at, message)| cursor.fault(inner + at.start..inner + at.end, message))
}

impl Expr<Option<Comparison>> {
    /// The conditions, if there are any; a bare name is none.
    fn complete(self) -> Option<Expr<Comparison>> {
        let all = |parts: Vec<Self>| parts.into_iter().map(Self::complete).collect::<Option<Vec<_>>>();
        match self {
            Expr::Test(test) => test.map(Expr::Test),
            Expr::And(parts) => all(parts).map(Expr::And),
            Expr::Or(parts) => all(parts).map(Expr::Or),
        }
    }
}
