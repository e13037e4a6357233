//! The page beside a rule: what the analyst reads, and the rule's own tests.
//!
//! ````markdown
//! # Title of the rule
//! ## First look
//! ...
//! ## Twenty ports fire once
//!
//! ```vpc_flow repeat=20
//! 2 123456789012 eni-0a1b 203.0.113.12 10.0.0.5 49152 {n} 6 1 40 {1763622000+n} 1763622060 REJECT OK
//! ```
//! ```alerts
//! high: 203.0.113.12 tried 20 ports on 10.0.0.5
//! ```
//! ````
//!
//! A section with an `alerts` block is a case: the log blocks above it are what
//! goes in, as raw text, and the lines of `alerts` are what must come out, one
//! `severity: message` a line, none for silence.
//!
//! A log block is named after its table. `repeat=20` writes it twenty times, with
//! `n` from 1 to 20; `{n}`, `{n*60}`, `{n:02}` and the like are filled in.
//! `path=a/b.log` gives the file a name, where the name says something.
//! `learnt` takes it into a lake instead, whose baselines are built from it; the rule
//! runs over the other blocks.
//! Flow logs without a header line get that of the default format; CloudTrail
//! records may be spread over lines.

use crate::error::{Error, Result};
use crate::formula;
use crate::severity::Severity;

/// Most copies of a block: enough for any threshold, little enough to run often.
const REPEAT_MAX: i64 = 10_000;

/// Header of the default flow log format.
const FLOW_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets \
                           bytes start end action log-status";

/// A page, as far as programs care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// File that it came from, as errors name it.
    pub file: String,
    /// The whole text.
    pub text: String,
    /// Text of the first heading.
    pub title: String,
    /// Second-level headings, in order.
    pub sections: Vec<String>,
    /// The sections that are tests.
    pub cases: Vec<Case>,
}

/// A test: logs in, alerts out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its heading.
    pub name: String,
    /// Line of the heading, counted from 1.
    pub line: usize,
    /// What goes in.
    pub logs: Vec<Log>,
    /// What must come out.
    pub alerts: Vec<Expected>,
    /// Lines of the page between the fences of the `alerts` block, from 0, the end not included.
    alert_lines: std::ops::Range<usize>,
}

/// One file of logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Table that it is read as.
    pub table: String,
    /// Name of the file, relative.
    pub path: String,
    /// Its content.
    pub text: String,
    /// Baselines are made of it, and the rule does not see it itself.
    pub learnt: bool,
}

/// An alert as pages write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// Its severity.
    pub severity: Severity,
    /// Its message.
    pub message: String,
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.severity, self.message)
    }
}

impl Page {
    /// Reads a page. `tables` are the names that make a block a log block.
    ///
    /// # Errors
    /// A block that is not closed, an attribute that means nothing, a case without
    /// logs, an alert line without severity; the error names `file` and line.
    pub fn parse(file: &str, text: &str, tables: &[&str]) -> Result<Self> {
        let mut page = Page {
            file: file.to_owned(),
            text: text.to_owned(),
            title: String::new(),
            sections: Vec::new(),
            cases: Vec::new(),
        };
        let mut heading: (usize, &str) = (1, "");
        let mut logs: Vec<Log> = Vec::new();
        let lines: Vec<&str> = text.lines().collect();
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at];
            if let Some(info) = line.strip_prefix("```") {
                let end = lines[at + 1..].iter().position(|line| line.trim_end() == "```");
                let Some(end) = end.map(|end| at + 1 + end) else {
                    return Err(Error::rule(file, at + 1, "this block is not closed"));
                };
                let block = &lines[at + 1..end];
                let name = info.split_whitespace().next().unwrap_or("");
                if name == "alerts" {
                    if logs.is_empty() {
                        return Err(Error::rule(
                            file,
                            at + 1,
                            "alerts without a log block before them",
                        ));
                    }
                    page.cases.push(Case {
                        name: heading.1.to_owned(),
                        line: heading.0,
                        logs: std::mem::take(&mut logs),
                        alerts: expected(file, at + 2, block)?,
                        alert_lines: at + 1..end,
                    });
                } else if tables.contains(&name) {
                    logs.push(log(file, at + 1, info, block, logs.len())?);
                }
                at = end;
            } else if let Some(title) = line.strip_prefix("# ") {
                page.title = title.trim().to_owned();
            } else if let Some(section) = line.strip_prefix("## ") {
                if !logs.is_empty() {
                    return Err(Error::rule(
                        file,
                        heading.0,
                        "this section has logs but no alerts block",
                    ));
                }
                heading = (at + 1, section.trim());
                page.sections.push(section.trim().to_owned());
            }
            at += 1;
        }
        if !logs.is_empty() {
            return Err(Error::rule(
                file,
                heading.0,
                "this section has logs but no alerts block",
            ));
        }
        Ok(page)
    }

    /// The page with the alerts of its cases replaced by `alerts`, one list for each case.
    pub fn with_alerts(&self, alerts: &[Vec<Expected>]) -> String {
        let mut lines: Vec<String> = self.text.lines().map(str::to_owned).collect();
        for (case, alerts) in self.cases.iter().zip(alerts).rev() {
            lines.splice(case.alert_lines.clone(), alerts.iter().map(Expected::to_string));
        }
        lines.join("\n") + "\n"
    }
}

fn expected(file: &str, first_line: usize, block: &[&str]) -> Result<Vec<Expected>> {
    let mut alerts = Vec::new();
    for (offset, line) in block
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let wrong = |reason: String| Error::rule(file, first_line + offset, reason);
        let (severity, message) = line
            .split_once(": ")
            .ok_or_else(|| wrong("an alert is written `severity: message`".to_owned()))?;
        let severity = severity.trim().parse().map_err(wrong)?;
        alerts.push(Expected {
            severity,
            message: message.trim().to_owned(),
        });
    }
    Ok(alerts)
}

fn log(file: &str, line: usize, info: &str, block: &[&str], index: usize) -> Result<Log> {
    let wrong = |reason: String| Error::rule(file, line, reason);
    let mut words = info.split_whitespace();
    let table = words.next().unwrap_or_default().to_owned();
    let mut repeat = None;
    let mut path = None;
    let mut learnt = false;
    for word in words {
        match word.split_once('=') {
            Some(("repeat", count)) => {
                let count = count
                    .parse()
                    .ok()
                    .filter(|count| (1..=REPEAT_MAX).contains(count));
                repeat = Some(count.ok_or_else(|| wrong(format!("repeat goes from 1 to {REPEAT_MAX}")))?);
            }
            Some(("path", name)) => {
                if name.split('/').any(|part| part.is_empty() || part == "..") {
                    return Err(wrong(format!("path {name:?} must stay below the case's folder")));
                }
                path = Some(name.to_owned());
            }
            None if word == "learnt" => learnt = true,
            _ => {
                return Err(wrong(format!(
                    "unknown attribute {word:?}; there are repeat=N, path=NAME and learnt"
                )));
            }
        }
    }
    let mut text = String::new();
    // A header line stands once above all of the records.
    let header = block
        .iter()
        .take(1)
        .filter(|line| table == "vpc_flow" && !starts_with_digit(line))
        .count();
    for line in &block[..header] {
        text.push_str(line);
        text.push('\n');
    }
    for n in 1..=repeat.unwrap_or(1) {
        for raw in &block[header..] {
            let filled = match repeat {
                Some(_) => formula::fill(raw, n).map_err(wrong)?,
                None => (*raw).to_owned(),
            };
            text.push_str(&filled);
            text.push('\n');
        }
    }
    let (text, path) = match table.as_str() {
        "vpc_flow" => (
            with_header(text),
            path.unwrap_or_else(|| format!("flow-{index}.log")),
        ),
        "cloudtrail" => (
            one_record_a_line(text),
            path.unwrap_or_else(|| format!("trail-{index}.json")),
        ),
        // The stream's name is that of the folder, and is prefix, container and task id.
        "container_logs" => (
            text,
            path.unwrap_or_else(|| {
                format!(
                    "exportedlogs/0a1b2c3d/web-app-{:032x}/{index:06}",
                    0x1234_5678_9abc_def0_u64
                )
            }),
        ),
        _ => (text, path.unwrap_or_else(|| format!("{table}-{index}.log"))),
    };
    Ok(Log {
        table,
        path,
        text,
        learnt,
    })
}

/// Flow records start with their version; a line that does not is taken for a header.
fn with_header(text: String) -> String {
    if starts_with_digit(&text) {
        format!("{FLOW_HEADER}\n{text}")
    } else {
        text
    }
}

fn starts_with_digit(text: &str) -> bool {
    text.trim_start().starts_with(|c: char| c.is_ascii_digit())
}

/// CloudTrail records spread over lines, for people, as one a line, for the parser.
/// Text that is no JSON stays as it is: bad input may be what the case is about.
fn one_record_a_line(text: String) -> String {
    let records: Result<Vec<serde_json::Value>, _> =
        serde_json::Deserializer::from_str(&text).into_iter().collect();
    match records {
        Ok(records) => records.iter().map(|record| format!("{record}\n")).collect(),
        Err(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# A title

## First look

Read it.

```sql
SELECT 1
```

## Two fire

```vpc_flow repeat=2
2 1 eni {n} {n*60+1} {(n+1)%2} {n:03}
```
```alerts
high: a: b
```

## Silence

```cloudtrail path=a/b.json
{
  \"eventName\": \"{n}\"
}
```
```alerts
```
";

    fn parse(text: &str) -> Result<Page> {
        Page::parse("x.md", text, &["vpc_flow", "cloudtrail"])
    }

    #[test]
    fn cases_are_found() {
        let page = parse(PAGE).unwrap();
        assert_eq!(page.title, "A title");
        assert_eq!(page.sections, ["First look", "Two fire", "Silence"]);
        let [two, silence] = &page.cases[..] else {
            panic!("{page:?}")
        };
        assert_eq!((two.name.as_str(), two.line), ("Two fire", 11));
        assert_eq!(
            two.logs[0].text,
            format!("{FLOW_HEADER}\n2 1 eni 1 61 0 001\n2 1 eni 2 121 1 002\n")
        );
        assert_eq!(
            two.alerts,
            [Expected {
                severity: Severity::High,
                message: "a: b".into()
            }]
        );
        assert_eq!(silence.logs[0].path, "a/b.json");
        assert_eq!(silence.logs[0].text, "{\"eventName\":\"{n}\"}\n");
        assert_eq!(silence.alerts, []);
    }

    #[test]
    fn expectations_can_be_rewritten() {
        let page = parse(PAGE).unwrap();
        let low = Expected {
            severity: Severity::Low,
            message: "new".into(),
        };
        let wanted = [vec![], vec![low.clone(), low]];
        let text = page.with_alerts(&wanted);
        let again = parse(&text).unwrap();
        assert_eq!(
            again
                .cases
                .iter()
                .map(|case| case.alerts.clone())
                .collect::<Vec<_>>(),
            wanted
        );
        assert_eq!(
            again.with_alerts(
                &page
                    .cases
                    .iter()
                    .map(|case| case.alerts.clone())
                    .collect::<Vec<_>>()
            ),
            PAGE
        );
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (from, to, error) in [
            ("repeat=2", "repeat=0", "x.md:13: repeat goes from 1 to 10000"),
            (
                "repeat=2",
                "copies=2",
                "x.md:13: unknown attribute \"copies=2\"; there are repeat=N, path=NAME and learnt",
            ),
            (
                "a/b.json",
                "../b.json",
                "x.md:22: path \"../b.json\" must stay below the case's folder",
            ),
            (
                "high: a",
                "huge: a",
                "x.md:17: unknown severity \"huge\", expected informational, low, medium, high or critical",
            ),
            ("{n:03}", "{n/0}", "x.md:13: cannot work out {n/0}"),
            (
                "```alerts\nhigh: a: b\n```\n",
                "",
                "x.md:11: this section has logs but no alerts block",
            ),
            ("}\n```\n```alerts\n```", "}", "x.md:22: this block is not closed"),
        ] {
            assert!(PAGE.contains(from), "{from}");
            assert_eq!(parse(&PAGE.replace(from, to)).unwrap_err().to_string(), error);
        }
    }
}
