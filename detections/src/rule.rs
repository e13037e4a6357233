//! A rule: one `.sql` file, TOML front matter in its leading comments, then ordinary SQL.
//!
//! ```sql
//! -- id       = "net-scan-vertical"
//! -- title    = "One address tries many ports on one host"
//! -- severity = "high"
//! -- attack   = ["T1046"]
//! -- csf      = ["DE.CM-1", "RS.CO-3"]
//! -- reads    = ["vpc_flow"]
//! -- every    = "5m"
//! -- window   = "1h"
//! -- entity   = ["srcaddr", "dstaddr"]   # one alert per pair...
//! -- quiet    = "1h"                     # ...in this long
//! -- message  = "{srcaddr} tried {ports} ports on {dstaddr}"
//! -- misses   = "Scans slower than twenty ports an hour."
//! -- false_positives = "Vulnerability scanners."
//!
//! SELECT ...
//! ```
//!
//! # What kind of rule it is
//! Nothing says so but the rule itself: one that reads `alerts` is a *chain*, one
//! with a `window` looks back over that much time, any other is a *match* that
//! judges each record alone.
//!
//! # What the SQL sees
//! The tables of `reads`, and those of `optional`, which are empty where the user
//! has none. `$window_start` and `$window_end` (timestamps, the end not included)
//! and, where the front matter has `learn`, `$learn` (an interval).
//! Over files the window is bound once, to the whole span of the data or to
//! `--since` and `--until`. So the SQL bins time by itself where it counts
//! per window, and it does so with overlap, or a burst over the edge of a bin is lost.
//!
//! # What the SQL gives
//! One row per finding. These columns have a meaning; every other column goes
//! to the alert's `evidence.sample`, and all may be used in `message`:
//!
//! | column | meaning |
//! |---|---|
//! | `event_time`, or `first_seen` and `last_seen` | when it happened |
//! | `count` | records behind the row, 1 if absent |
//! | `severity`, `risk` | replace those of the front matter for this row |
//! | `_source`, `_line`, `event_id` | the one record behind the row |
//! | `evidence` | the records behind the row, made by the aggregate `evidence(...)` |

use std::ops::Range;

use chrono::TimeDelta;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::front_matter::FrontMatter;
use crate::message::Template;
use crate::severity::Severity;

/// Columns of a rule's output that have a meaning of their own.
pub const RESERVED: &[&str] = &[
    "event_time",
    "first_seen",
    "last_seen",
    "count",
    "severity",
    "risk",
    "event_id",
    "_source",
    "_line",
    "evidence",
];

/// A rule as its file has it, checked as far as one can without the tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// File that it came from, as errors name it.
    pub file: String,
    /// Stable name; stays, even if the file moves.
    pub id: String,
    /// What is seen, not what to do about it.
    pub title: String,
    /// Severity of its alerts, unless a row says otherwise.
    pub severity: Severity,
    /// ATT&CK technique ids.
    pub attack: Vec<String>,
    /// NIST CSF subcategories.
    pub csf: Vec<String>,
    /// Tables that it cannot do without.
    pub reads: Vec<String>,
    /// Tables that it uses where they exist.
    pub optional: Vec<String>,
    /// How often a service runs it.
    pub every: Option<TimeDelta>,
    /// How far it looks back.
    pub window: Option<TimeDelta>,
    /// How much history it needs before it judges.
    pub learn: Option<TimeDelta>,
    /// Output columns that name whom the alert is about.
    pub entity: Vec<String>,
    /// Rows of one entity this close together are one alert.
    pub quiet: TimeDelta,
    /// The alert's one line.
    pub message: Template,
    /// [`Self::message`] as written.
    pub message_text: String,
    /// Output columns that say what was or may be hurt.
    pub impact: Vec<String>,
    /// `WITH` steps that pass on few records: computed once however often they are named, as steps that
    /// group are.
    pub keep: Vec<String>,
    /// Risk of its alerts, 0 to 100, unless a row says otherwise.
    pub risk: Option<u8>,
    /// What it does not see.
    pub misses: String,
    /// What else looks like this.
    pub false_positives: String,
    /// The query.
    pub sql: String,
    /// Line of the file that the query starts on, counted from 1.
    pub sql_line: usize,
    /// Changes exactly when the file does.
    pub version: String,
    /// Line of each key of the front matter.
    key_lines: Vec<(String, usize)>,
}

/// What a rule works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One record at a time.
    Match,
    /// Many records over a stretch of time.
    Window,
    /// Alerts and tables, in order.
    Chain,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Match => "match",
            Kind::Window => "window",
            Kind::Chain => "chain",
        }
    }
}

impl Rule {
    /// Reads a rule from the text of its file.
    ///
    /// # Errors
    /// Front matter that is absent, broken or incomplete; the error names `file` and line.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (front, front_lines) = front_matter(text);
        if front_lines == 0 {
            return Err(Error::rule(
                file,
                1,
                "no front matter: the file must start with `-- id = \"...\"` and the other keys",
            ));
        }
        let read: FrontMatter = toml::from_str(&front).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(&front, &span));
            Error::rule(file, line, error.message().trim().replace('\n', " "))
        })?;
        let (sql, sql_line) = body(text, front_lines);
        if sql.is_empty() {
            return Err(Error::rule(file, front_lines, "no SQL after the front matter"));
        }
        let key_lines = key_lines(&front);
        let message = Template::parse(&read.message)
            .map_err(|reason| Error::rule(file, line_of(&key_lines, "message"), reason))?;
        let rule = Rule {
            file: file.to_owned(),
            id: read.id,
            title: read.title,
            severity: read.severity,
            attack: read.attack.into_iter().map(|id| id.0).collect(),
            csf: read.csf.into_iter().map(|id| id.0).collect(),
            reads: read.reads,
            optional: read.optional,
            every: read.every.map(|every| every.0),
            window: read.window.map(|window| window.0),
            learn: read.learn.map(|learn| learn.0),
            entity: read.entity,
            quiet: read.quiet.0,
            message,
            message_text: read.message,
            impact: read.impact,
            keep: read.keep,
            risk: read.risk,
            misses: one_line(&read.misses),
            false_positives: one_line(&read.false_positives),
            sql: sql.to_owned(),
            sql_line,
            version: version(text),
            key_lines,
        };
        rule.check()?;
        Ok(rule)
    }

    /// Whether it judges records, windows or alerts.
    pub fn kind(&self) -> Kind {
        if self.reads.iter().any(|table| table == "alerts") {
            Kind::Chain
        } else if self.window.is_some() {
            Kind::Window
        } else {
            Kind::Match
        }
    }

    /// The tables it names, needed ones first.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.reads.iter().chain(&self.optional).map(String::as_str)
    }

    /// Line of the file that a key of the front matter stands on; 1 if it is not
    /// there, as a missing key is the fault of the whole.
    pub fn line_of_key(&self, key: &str) -> usize {
        line_of(&self.key_lines, key)
    }

    /// Line of the file on which `word` first stands in the SQL, or where the SQL starts.
    pub fn line_in_sql(&self, word: &str) -> usize {
        self.sql_line
            + self
                .sql
                .lines()
                .position(|line| has_word(line, word))
                .unwrap_or(0)
    }

    /// What one key alone cannot tell.
    fn check(&self) -> Result<()> {
        let at = |key: &str, reason: String| Error::rule(&self.file, self.line_of_key(key), reason);
        if !is_slug(&self.id) {
            return Err(at(
                "id",
                format!("id {:?} must be lower-case words joined by hyphens", self.id),
            ));
        }
        for (key, text) in [
            ("title", &self.title),
            ("misses", &self.misses),
            ("false_positives", &self.false_positives),
        ] {
            if text.is_empty() {
                return Err(at(key, format!("{key} is empty")));
            }
        }
        for (key, list) in [
            ("attack", &self.attack),
            ("csf", &self.csf),
            ("reads", &self.reads),
            ("entity", &self.entity),
        ] {
            if list.is_empty() {
                return Err(at(key, format!("{key} is empty")));
            }
        }
        if self.window.is_some() != self.every.is_some() {
            let key = if self.window.is_some() { "window" } else { "every" };
            return Err(at(
                key,
                "every and window go together: how often, and how far back".to_owned(),
            ));
        }
        for parameter in ["window_start", "window_end"] {
            if self.window.is_some() != has_word(&self.sql, parameter) {
                return Err(at(
                    "window",
                    format!(
                        "a rule has a window exactly if its SQL uses ${parameter}, or late data is read twice"
                    ),
                ));
            }
        }
        if self.learn.is_some() != has_word(&self.sql, "learn") {
            return Err(at(
                "learn",
                "a rule has learn exactly if its SQL uses $learn".to_owned(),
            ));
        }
        if self.risk.is_some_and(|risk| risk > 100) {
            return Err(at("risk", "risk goes from 0 to 100".to_owned()));
        }
        if self.severity >= Severity::High && !self.csf.iter().any(|id| id == "RS.CO-3") {
            return Err(at(
                "csf",
                "a high or critical rule is for sharing at once: it needs RS.CO-3".to_owned(),
            ));
        }
        Ok(())
    }
}

/// The leading comment lines without their dashes, one line for one line, and how many.
pub(crate) fn front_matter(text: &str) -> (String, usize) {
    let lines: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("--"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    (lines.join("\n"), lines.len())
}

/// The text after the front matter without blank ends, and the line it starts on.
pub(crate) fn body(text: &str, front_lines: usize) -> (&str, usize) {
    let mut start = 0;
    let mut number = 1;
    for line in text.split_inclusive('\n') {
        if number > front_lines && !line.trim().is_empty() {
            break;
        }
        start += line.len();
        number += 1;
    }
    (text[start..].trim_end().trim_end_matches(';'), number)
}

fn line_at(text: &str, span: &Range<usize>) -> usize {
    text[..span.start.min(text.len())].matches('\n').count() + 1
}

fn key_lines(front: &str) -> Vec<(String, usize)> {
    let is_key = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    front
        .lines()
        .zip(1..)
        .filter_map(|(line, number)| Some((line.split_once('=')?.0.trim().to_owned(), number)))
        .filter(|(key, _)| is_key(key))
        .collect()
}

fn line_of(lines: &[(String, usize)], key: &str) -> usize {
    lines
        .iter()
        .find(|(known, _)| known == key)
        .map_or(1, |(_, line)| *line)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        !text[..start].chars().next_back().is_some_and(is_part)
            && !text[start + word.len()..].chars().next().is_some_and(is_part)
    })
}

fn is_slug(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.split('-').all(|word| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Twelve hex digits are plenty: they tell versions of one rule apart, not strangers.
fn version(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..6])
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
-- id = \"a-rule\"
-- title = \"Something\"   # a remark
-- severity = \"medium\"
-- attack = [\"T1046\"]
-- csf = [\"DE.CM-1\"]
-- reads = [\"vpc_flow\"]
-- entity = [\"srcaddr\"]
-- quiet = \"1h\"
-- message = \"{srcaddr} did it\"
-- misses = \"\"\"
--   Much,
--   sadly.\"\"\"
-- false_positives = \"Few.\"

-- An ordinary comment.
SELECT event_time, srcaddr
FROM vpc_flow;
";

    #[track_caller]
    fn refused(from: &str, to: &str) -> String {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD);
        Rule::parse("rules/x.sql", &text).unwrap_err().to_string()
    }

    #[test]
    fn a_good_rule_is_read() {
        let rule = Rule::parse("rules/x.sql", GOOD).unwrap();
        assert_eq!((rule.id.as_str(), rule.kind()), ("a-rule", Kind::Match));
        assert_eq!(rule.misses, "Much, sadly.");
        assert_eq!(
            rule.sql,
            "-- An ordinary comment.\nSELECT event_time, srcaddr\nFROM vpc_flow"
        );
        assert_eq!((rule.sql_line, rule.line_in_sql("vpc_flow")), (15, 17));
        assert_eq!(rule.version.len(), 12);
    }

    #[test]
    fn refusals_name_file_and_line() {
        assert_eq!(
            refused("severity = \"medium\"", "severity = \"bad\""),
            "rules/x.sql:3: unknown variant `bad`, expected one of `informational`, `low`, `medium`, `high`, `critical`"
        );
        let unknown = refused("-- quiet =", "-- colour = 1\n-- quiet =");
        assert!(
            unknown.starts_with("rules/x.sql:8: unknown field `colour`"),
            "{unknown}"
        );
        assert_eq!(
            refused("\"1h\"", "\"1 hour\""),
            "rules/x.sql:8: \"1 hour\" is no duration; write 90s, 15m, 24h or 7d"
        );
        assert_eq!(
            refused("T1046", "T46"),
            "rules/x.sql:4: \"T46\" is no ATT&CK technique id such as T1046 or T1552.005"
        );
        assert_eq!(
            refused("T1046", "T9999"),
            "rules/x.sql:4: T9999 is not in attack.toml: add its name and tactics there"
        );
        assert!(refused("DE.CM-1", "DE.AE-5").starts_with("rules/x.sql:5: \"DE.AE-5\" is not one of"));
        assert!(refused("a-rule", "A rule").starts_with("rules/x.sql:1: id \"A rule\" must be"));
        assert!(refused("{srcaddr} did", "{srcaddr did").starts_with("rules/x.sql:9: message"));
        assert!(
            refused("-- misses", "-- window = \"1h\"\n-- misses").starts_with("rules/x.sql:10: every and")
        );
        assert!(refused("= \"medium\"", "= \"high\"").starts_with("rules/x.sql:5: a high or critical rule"));
        let missing = refused("-- title = \"Something\"   # a remark\n", "");
        assert!(
            missing.starts_with("rules/x.sql:1: missing field `title`"),
            "{missing}"
        );
        let broken = refused("[\"T1046\"]", "[\"T1046\"");
        assert!(broken.starts_with("rules/x.sql:"), "{broken}");
    }

    #[test]
    fn a_file_without_front_matter_or_sql_is_refused() {
        let none = Rule::parse("x.sql", "SELECT 1").unwrap_err().to_string();
        assert!(none.starts_with("x.sql:1: no front matter"), "{none}");
        let front: String = GOOD.lines().take(13).map(|line| format!("{line}\n")).collect();
        let empty = Rule::parse("x.sql", &front).unwrap_err().to_string();
        assert_eq!(empty, "x.sql:13: no SQL after the front matter");
    }
}
