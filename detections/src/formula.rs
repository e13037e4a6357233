//! Arithmetic in the log blocks of pages: `{n}`, `{1763622000+n*60}`, `{n:02}`.

/// `line` with every `{...}` that is arithmetic on `n` worked out. Other braces stay: JSON has many.
///
/// # Errors
/// Braces that look like arithmetic but are none, or leave the range of numbers.
pub fn fill(line: &str, n: i64) -> Result<String, String> {
    let mut filled = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('{') {
        let (before, after) = rest.split_at(start);
        filled.push_str(before);
        let inside = after[1..].split_once('}').map(|(inside, _)| inside);
        match inside.filter(|inside| is_formula(inside)) {
            Some(inside) => {
                let (formula, width) = match inside.split_once(':') {
                    Some((formula, width)) => (
                        formula,
                        width.parse().map_err(|_| format!("bad width in {{{inside}}}"))?,
                    ),
                    None => (inside, 0),
                };
                let value = Formula {
                    text: formula.as_bytes(),
                    at: 0,
                    n,
                }
                .value()
                .ok_or_else(|| format!("cannot work out {{{inside}}}"))?;
                filled.push_str(&format!("{value:0width$}"));
                rest = &after[inside.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &after[1..];
            }
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

fn is_formula(text: &str) -> bool {
    text.contains('n')
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"n+-*/%() :".contains(&b))
}

/// Whole numbers, `n`, `+ - * / %` and brackets.
struct Formula<'a> {
    text: &'a [u8],
    at: usize,
    n: i64,
}

impl Formula<'_> {
    fn value(mut self) -> Option<i64> {
        let value = self.sum()?;
        (self.peek().is_none()).then_some(value)
    }

    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn sum(&mut self) -> Option<i64> {
        let mut value = self.product()?;
        while let Some(sign @ (b'+' | b'-')) = self.peek() {
            self.at += 1;
            let next = self.product()?;
            value = if sign == b'+' {
                value.checked_add(next)?
            } else {
                value.checked_sub(next)?
            };
        }
        Some(value)
    }

    fn product(&mut self) -> Option<i64> {
        let mut value = self.atom()?;
        while let Some(sign @ (b'*' | b'/' | b'%')) = self.peek() {
            self.at += 1;
            let next = self.atom()?;
            value = match sign {
                b'*' => value.checked_mul(next)?,
                b'/' => value.checked_div(next)?,
                _ => value.checked_rem(next)?,
            };
        }
        Some(value)
    }

    fn atom(&mut self) -> Option<i64> {
        match self.peek()? {
            b'n' => {
                self.at += 1;
                Some(self.n)
            }
            b'(' => {
                self.at += 1;
                let value = self.sum()?;
                (self.peek()? == b')').then(|| self.at += 1)?;
                Some(value)
            }
            _ => {
                let digits = self.text[self.at..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit())
                    .count();
                let number = std::str::from_utf8(&self.text[self.at..self.at + digits])
                    .ok()?
                    .parse()
                    .ok()?;
                self.at += digits;
                Some(number)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_worked_out_and_other_braces_stay() {
        for (line, filled) in [
            ("{n} {n+1} {2*n-1} {(n+1)*10} {n/2} {n%2}", "3 4 5 40 1 1"),
            ("15:{n:02}:00 {n*100:05}", "15:03:00 00300"),
            ("{\"name\":{n},\"id\":{}}", "{\"name\":3,\"id\":{}}"),
            ("{name} {5} { {n", "{name} {5} { {n"),
        ] {
            assert_eq!(fill(line, 3).unwrap(), filled);
        }
        for wrong in [
            "{n/0}",
            "{n+}",
            "{nn}",
            "{n*9223372036854775807}",
            "{n:x}".replace('x', "+").as_str(),
        ] {
            assert!(fill(wrong, 3).is_err(), "{wrong}");
        }
    }
}
