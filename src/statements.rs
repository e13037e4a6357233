//! SQL text cut into tokens and statements, as far as a prompt needs it.
//!
//! This is not a parser: it only has to know where strings, names and comments
//! end, so that a `;` inside one does not end a statement, and a cursor inside
//! one is completed as what it stands in. Any text is accepted, half-typed too.

/// What a stretch of SQL text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a plain name.
    Word,
    /// A name in double quotes; `closed` says whether the second one is there.
    QuotedName {
        /// Whether the closing quote is there.
        closed: bool,
    },
    /// A string in single quotes or between dollar tags.
    Text {
        /// Whether its end is there.
        closed: bool,
    },
    /// A number.
    Number,
    /// `-- to the end of the line` or `/* up to here */`.
    Comment {
        /// Whether its end is there; a line comment always ends.
        closed: bool,
    },
    /// An operator or a mark, one character each.
    Mark(char),
}

/// A token: what it is and where it stands, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Token {
    /// The token's text.
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.start..self.end]
    }

    /// The name that a word or a quoted name stands for.
    pub fn name(&self, sql: &str) -> Option<String> {
        let text = self.text(sql);
        match self.kind {
            Kind::Word => Some(text.to_lowercase()),
            Kind::QuotedName { closed } => {
                let inner = if closed {
                    &text[1..text.len() - 1]
                } else {
                    &text[1..]
                };
                Some(inner.replace("\"\"", "\""))
            }
            _ => None,
        }
    }

    /// Whether the token is this keyword, in any case.
    pub fn is(&self, sql: &str, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text(sql).eq_ignore_ascii_case(keyword)
    }
}

/// All tokens of `sql`, blanks left out.
pub fn tokens(sql: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(first) = sql[start..].chars().next() {
        if first.is_whitespace() {
            start += first.len_utf8();
            continue;
        }
        let (kind, length) = token(&sql[start..], first);
        found.push(Token {
            kind,
            start,
            end: start + length,
        });
        start += length;
    }
    found
}

/// Kind and length of the token that `rest` begins with.
fn token(rest: &str, first: char) -> (Kind, usize) {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || c == '@';
    let run = |accept: &dyn Fn(char) -> bool| rest.find(|c| !accept(c)).unwrap_or(rest.len());
    if rest.starts_with("--") {
        let length = rest.find('\n').unwrap_or(rest.len());
        return (Kind::Comment { closed: true }, length);
    }
    if rest.starts_with("/*") {
        let (length, closed) = block_comment(rest);
        return (Kind::Comment { closed }, length);
    }
    match first {
        '\'' => {
            let (length, closed) = quoted(rest, b'\'');
            (Kind::Text { closed }, length)
        }
        '"' => {
            let (length, closed) = quoted(rest, b'"');
            (Kind::QuotedName { closed }, length)
        }
        '$' => match dollar_quoted(rest) {
            Some((length, closed)) => (Kind::Text { closed }, length),
            None => (Kind::Word, run(&is_word)),
        },
        _ if first.is_ascii_digit() => (
            Kind::Number,
            run(&|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'),
        ),
        _ if is_word(first) => (Kind::Word, run(&is_word)),
        mark => (Kind::Mark(mark), mark.len_utf8()),
    }
}

/// Length of a text in `quote`s, a doubled one being part of it.
fn quoted(rest: &str, quote: u8) -> (usize, bool) {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return (at + 1, true);
            }
            at += 1;
        }
        at += 1;
    }
    (rest.len(), false)
}

/// Length of `/* ... */`; such comments nest.
fn block_comment(rest: &str) -> (usize, bool) {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return (at, true);
                }
            }
            _ => at += 1,
        }
    }
    (rest.len(), false)
}

/// Length of `$tag$ ... $tag$`, if `rest` begins with such a tag.
fn dollar_quoted(rest: &str) -> Option<(usize, bool)> {
    let tag_end = 1 + rest[1..].find('$')? + 1;
    let tag = &rest[..tag_end];
    let inner = &tag[1..tag_end - 1];
    if !inner.chars().all(|c| c.is_alphanumeric() || c == '_')
        || inner.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    Some(match rest[tag_end..].find(tag) {
        Some(at) => (tag_end + at + tag.len(), true),
        None => (rest.len(), false),
    })
}

/// One statement of a longer text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The statement without its `;`.
    pub text: &'a str,
    /// The line of the whole text that it begins on, counted from 1.
    pub line: usize,
}

/// Cuts `sql` at each `;` outside strings, names and comments; empty statements
/// and lone comments are left out.
pub fn statements(sql: &str) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let (mut first, mut last) = (None, 0);
    let mut close = |first: &mut Option<usize>, last: usize| {
        if let Some(start) = first.take() {
            let line = 1 + sql[..start].matches('\n').count();
            found.push(Statement {
                text: &sql[start..last],
                line,
            });
        }
    };
    for token in tokens(sql) {
        match token.kind {
            Kind::Mark(';') => close(&mut first, last),
            Kind::Comment { .. } => last = token.end,
            _ => {
                first.get_or_insert(token.start);
                last = token.end;
            }
        }
    }
    close(&mut first, last);
    found
}

/// Whether a prompt may run `input` when Enter is pressed: it ends with `;`, or
/// with an empty line, and no string, comment or bracket is open.
pub fn is_complete(input: &str) -> bool {
    let tokens = tokens(input);
    let mut depth = 0i64;
    for token in &tokens {
        match token.kind {
            Kind::Text { closed: false }
            | Kind::QuotedName { closed: false }
            | Kind::Comment { closed: false } => {
                return false;
            }
            Kind::Mark('(' | '[') => depth += 1,
            Kind::Mark(')' | ']') => depth -= 1,
            _ => {}
        }
    }
    let code = tokens
        .iter()
        .rev()
        .find(|token| !matches!(token.kind, Kind::Comment { .. }));
    match code.map(|token| token.kind) {
        // A `;` ends a statement even with a bracket open: the refusal of the
        // SQL says more than a prompt that goes on asking.
        Some(Kind::Mark(';')) | None => true,
        _ => {
            depth <= 0
                && input
                    .rsplit('\n')
                    .next()
                    .is_some_and(|line| line.trim().is_empty())
                && input.contains('\n')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        statements(sql)
            .into_iter()
            .map(|statement| statement.text)
            .collect()
    }

    #[test]
    fn statements_end_at_semicolons_that_are_code() {
        assert_eq!(texts("SELECT 1; SELECT 2 ;\n"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(
            texts("SELECT ';' AS \"a;b\" -- c;d\n, 2"),
            ["SELECT ';' AS \"a;b\" -- c;d\n, 2"]
        );
        assert_eq!(
            texts("SELECT 'it''s; ok'; /* a; /* b; */ c; */ SELECT 2"),
            ["SELECT 'it''s; ok'", "SELECT 2"]
        );
        assert_eq!(
            texts("SELECT $$a;b$$; SELECT $t$ ; $$ ; $t$"),
            ["SELECT $$a;b$$", "SELECT $t$ ; $$ ; $t$"]
        );
        assert_eq!(texts(" ;; -- nothing\n;"), [""; 0]);
        assert_eq!(texts("SELECT 'open; end"), ["SELECT 'open; end"]);
        assert_eq!(texts("SELECT '漢;字'; SELECT 2"), ["SELECT '漢;字'", "SELECT 2"]);
    }

    #[test]
    fn statements_know_their_line() {
        let lines: Vec<_> = statements("-- head\n\nSELECT 1;\n\nSELECT\n2;")
            .iter()
            .map(|s| s.line)
            .collect();
        assert_eq!(lines, [3, 5]);
    }

    #[test]
    fn complete_with_a_semicolon_or_an_empty_line() {
        for input in [
            "SELECT 1;",
            "SELECT 1; -- so",
            "SELECT 1\n",
            "SELECT 1\n  ",
            "",
            "-- note",
            "SELECT (1;",
        ] {
            assert!(is_complete(input), "{input:?}");
        }
        for input in [
            "SELECT 1",
            "SELECT ';",
            "SELECT ';'",
            "SELECT (1\n",
            "SELECT /* ;",
            "SELECT \"a;",
            "SELECT 1\nFROM t",
        ] {
            assert!(!is_complete(input), "{input:?}");
        }
    }

    #[test]
    fn any_text_has_tokens() {
        for input in [
            "'",
            "\"",
            "$",
            "$$",
            "$a",
            "/*",
            "*/",
            "-",
            "--",
            "\u{0}é$é$",
            "1.5e3;",
            "''''",
            "/*/",
            "$1",
        ] {
            let tokens = tokens(input);
            assert!(
                tokens.windows(2).all(|pair| pair[0].end <= pair[1].start),
                "{input:?}"
            );
            statements(input);
            is_complete(input);
        }
    }
}
