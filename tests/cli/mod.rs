//! The program as its users meet it: arguments in; output, messages and exit code out.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

mod bad_input;
mod baseline;
mod detect;
mod forms;
mod help;
mod identified;
mod ingest;
mod pattern;
mod report;
mod who;

/// A folder of logs, and the program run in it.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Desk {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Logs of a day of the demo's estate in the folder `estate`, intrusion and all, but quieter.
    pub(crate) fn estate(&self) {
        let estate = trailhound::scenario::Estate {
            flows_per_service_hour: 60,
            calls_per_hour: 200,
            log_lines_per_service_hour: 120,
            ..Default::default()
        };
        trailhound::scenario::write(&estate, &self.path("estate")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn write_gz(&self, name: &str, text: &str) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        self.write(name, encoder.finish().unwrap());
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailhound"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        // Nothing of the developer's own settings may change what is tested.
        for name in ["PAGER", "EDITOR", "COLUMNS", "XDG_STATE_HOME", "AWS_PROFILE"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command().args(arguments))
    }

    /// `trailhound sql` over the logs of [`flows`].
    pub(crate) fn sql(&self, arguments: &[&str]) -> Run {
        self.write_gz("logs/flows.log.gz", &flows());
        self.run(&[&["sql", "--from", "vpc_flow=logs"], arguments].concat())
    }

    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Run {
    fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The rows of NDJSON output.
    pub(crate) fn rows(&self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{}", self.err);
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Fails unless the run ended with `code` and said each of `words`.
    #[track_caller]
    pub(crate) fn refuses(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in:\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

pub(crate) const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

/// Four good lines: two refused, one without traffic.
pub(crate) fn flows() -> String {
    format!(
        "{HEADER}\n\
         2 123456789012 eni-1 203.0.113.12 10.0.0.5 40000 22 6 1 40 1793491200 1793491260 REJECT OK\n\
         2 123456789012 eni-1 203.0.113.12 10.0.0.5 40001 23 6 1 40 1793491210 1793491270 REJECT OK\n\
         2 123456789012 eni-1 10.0.0.5 198.51.100.7 50000 443 6 9 9007199254740993 1793491220 1793491280 ACCEPT OK\n\
         2 123456789012 eni-2 - - - - - - - 1793491800 1793491860 - NODATA\n"
    )
}

#[test]
fn a_query_answers_in_ndjson_where_no_terminal_is() {
    let run =
        Desk::new().sql(&["SELECT action, count(*) AS n FROM vpc_flow GROUP BY action ORDER BY action"]);
    assert_eq!(
        run.rows(),
        [
            json!({"action": "ACCEPT", "n": 1}),
            json!({"action": "REJECT", "n": 2}),
            json!({"action": null, "n": 1})
        ]
    );
}

#[test]
fn statements_may_come_from_a_file_or_standard_input() {
    let desk = Desk::new();
    desk.write(
        "q.sql",
        "-- two; of them\nCREATE VIEW v AS SELECT 1 AS a;\nSELECT a + 1 AS b FROM v;\n",
    );
    assert_eq!(desk.run(&["sql", "-f", "q.sql"]).rows(), [json!({"b": 2})]);

    let mut child = desk
        .command()
        .arg("sql")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"SELECT ';' AS c; SELECT 2 AS d")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "{\"c\":\";\"}\n{\"d\":2}\n"
    );

    desk.run(&["sql"]).refuses(2, &["there is no statement to run"]);
    desk.run(&["sql", "-f", "none.sql"])
        .refuses(4, &["cannot read none.sql", "No such file"]);
    desk.run(&["sql", "-f", "q.sql", "SELECT 1"])
        .refuses(2, &["cannot be used with"]);
}

#[test]
fn since_and_until_bound_the_records() {
    let desk = Desk::new();
    let count = |arguments: &[&str]| {
        desk.sql(&[arguments, &["SELECT count(*) AS n FROM vpc_flow"]].concat())
            .rows()[0]["n"]
            .clone()
    };
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&["--since", "2026-11-01T00:00:10Z"]), 3);
    assert_eq!(count(&["--until", "2026-11-01T00:00:10Z"]), 1);
    assert_eq!(
        count(&["--since", "2026-11-01", "--until", "2026-11-01T00:05"]),
        3
    );
    desk.sql(&["--since", "1h", "--until", "2h", "SELECT 1"])
        .refuses(2, &["--since", "is not before --until"]);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let desk = Desk::new();
    let sql = "SELECT a.value AS x FROM generate_series(1, 10000000) AS a";
    let mut child = desk
        .command()
        .args(["sql", sql])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "{\"x\":1}");
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_and_leaves_no_half_file() {
    let desk = Desk::new();
    let sql = "SELECT count(*) AS n FROM generate_series(1, 1000000) AS a, generate_series(1, 1000000) AS b";
    let mut child = desk
        .command()
        .args(["sql", "-o", "r.csv", sql])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its signal handler is there once the file is.
    while desk.names(".").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(desk.names("."), [""; 0]);
}

#[test]
fn every_column_of_a_table_or_query_is_profiled() {
    let desk = Desk::new();
    for sql in [
        "SUMMARIZE vpc_flow",
        "summarize (SELECT * FROM vpc_flow)",
        "SUMMARIZE SELECT * FROM vpc_flow;",
    ] {
        let rows = desk.sql(&[sql]).rows();
        let column = |name: &str| rows.iter().find(|row| row["column"] == name).unwrap();
        assert_eq!(column("action")["common"], r#"{"REJECT":2,"ACCEPT":1}"#);
        assert_eq!(column("action")["nulls_pct"], 25.0);
        assert_eq!(column("srcport")["min"], "40000");
        assert_eq!(column("dstport")["mean"], 162.667);
        assert_eq!(column("event_time")["min"], "2026-11-01T00:00:00Z");
        assert_eq!(column("interface_id")["distinct"], 2);
    }
    desk.sql(&["SUMMARIZE vpc_flw"])
        .refuses(2, &["there is no table vpc_flw", "did you mean vpc_flow?"]);
}

#[test]
fn scripts_for_shells_and_manual_pages_are_made() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = desk.run(&["completions", shell]);
        assert_eq!(run.code, 0, "{}", run.err);
        // fish and others write long options without their dashes.
        assert!(run.out.contains("endpoint-url"), "{shell}");
    }
    assert!(desk.run(&["man"]).out.starts_with(".ie"));
    assert_eq!(desk.run(&["man", "--dir", "pages/man1"]).code, 0);
    let pages = desk.names("pages/man1");
    for page in [
        "trailhound.1",
        "trailhound-sql.1",
        "trailhound-detect.1",
        "trailhound-rules.1",
        "trailhound-demo.1",
    ] {
        assert!(pages.iter().any(|name| name == page), "no {page} in {pages:?}");
    }
    assert!(!pages.iter().any(|name| name.contains("help")));
    let page = std::fs::read_to_string(desk.path("pages/man1/trailhound-sql.1")).unwrap();
    assert!(
        page.contains("trailhound\\-sql") && page.contains("\\-\\-from"),
        "{page}"
    );
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
