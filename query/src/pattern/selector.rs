//! `$.a.b[0]`: where a value lies in a JSON document.

use std::fmt;
use std::str::FromStr;

use super::cursor::Cursor;
use crate::error::Error;

/// Most wildcards in one selector.
const WILDCARDS_MAX: usize = 1;

/// Most wildcards in the selectors of one pattern.
const PATTERN_WILDCARDS_MAX: usize = 3;

/// A way down into a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    /// The steps from the root; at least one.
    pub(crate) steps: Vec<Step>,
}

/// One step of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A member of an object.
    Key(String),
    /// An element of an array, counted from 0.
    Index(u32),
    /// `.*`: every member of an object.
    AnyKey,
    /// `[*]`: every element of an array.
    AnyIndex,
}

impl Step {
    fn is_wildcard(&self) -> bool {
        matches!(self, Step::AnyKey | Step::AnyIndex)
    }
}

impl Selector {
    /// Whether it may hit several values.
    pub(crate) fn has_wildcard(&self) -> bool {
        self.steps.iter().any(Step::is_wildcard)
    }

    /// Reads a selector.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Selector, Error> {
        let start = cursor.at();
        if !cursor.eat("$") {
            let help = "a condition begins with what it is about, such as $.eventName";
            return Err(cursor.unexpected("a selector").with_help(help));
        }
        let mut steps = Vec::new();
        while let Some(step) = Self::step(cursor)? {
            steps.push(step);
        }
        if steps.is_empty() {
            let error = cursor.fault(start..cursor.at(), "$ alone is the whole document");
            return Err(error.with_help("name what is in it, such as $.eventName"));
        }
        let wildcards = steps.iter().filter(|step| step.is_wildcard()).count();
        cursor.wildcards += wildcards;
        if wildcards > WILDCARDS_MAX {
            return Err(cursor.fault(start..cursor.at(), "a selector takes one wildcard at most"));
        }
        if cursor.wildcards > PATTERN_WILDCARDS_MAX {
            let message =
                format!("a pattern takes {PATTERN_WILDCARDS_MAX} wildcards in its selectors at most");
            return Err(cursor.fault(start..cursor.at(), message));
        }
        Ok(Selector { steps })
    }

    fn step(cursor: &mut Cursor<'_>) -> Result<Option<Step>, Error> {
        if cursor.eat("[") || cursor.eat(".[") {
            return Self::bracket(cursor).map(Some);
        }
        if !cursor.eat(".") {
            return Ok(None);
        }
        if cursor.eat("*") {
            return Ok(Some(Step::AnyKey));
        }
        let key = cursor.take_while(|c| c.is_alphanumeric() || c == '_' || c == '-');
        if key.is_empty() {
            let help = "a name of other characters is written $.['name']";
            return Err(cursor.unexpected("the name of a member").with_help(help));
        }
        Ok(Some(Step::Key(key.to_owned())))
    }

    /// What follows `[`, up to and with `]`.
    fn bracket(cursor: &mut Cursor<'_>) -> Result<Step, Error> {
        let step = match cursor.peek() {
            Some('*') => {
                cursor.eat("*");
                Step::AnyIndex
            }
            Some(quote @ ('\'' | '"')) => Step::Key(cursor.quoted(quote)?),
            _ => {
                let start = cursor.at();
                let digits = cursor.take_while(|c| c.is_ascii_digit());
                if digits.is_empty() {
                    return Err(cursor.unexpected("a number, * or a name in quotes"));
                }
                let index = digits.parse();
                Step::Index(index.map_err(|_| cursor.fault(start..cursor.at(), "no array is that long"))?)
            }
        };
        if !cursor.eat("]") {
            return Err(cursor.unexpected("]"));
        }
        Ok(step)
    }
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut cursor = Cursor::new(text);
        let selector = Selector::parse(&mut cursor)?;
        match cursor.rest() {
            "" => Ok(selector),
            _ => Err(cursor.unexpected("the end of the selector")),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.steps {
            match step {
                Step::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Step::Key(key) => write!(f, ".['{}']", key.replace('\\', "\\\\").replace('\'', "\\'"))?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::AnyKey => f.write_str(".*")?,
                Step::AnyIndex => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}
