//! The reference pages are made from the code, and these tests notice drift.
//!
//! `BLESS=1 cargo test --test main docs` writes the pages anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use datafusion::common::config::ExtensionOptions as _;
use trailhound_detections::Catalog;
use trailhound_ingest::column::{Column, Kind, PROVENANCE};
use trailhound_ingest::formats::FORMATS;
use trailhound_query::connections;
use trailhound_query::functions::FUNCTIONS;

const MADE: &str = "<!-- Made from the code by `BLESS=1 cargo test --test main docs`. Do not edit. -->\n\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn check(name: &str, text: &str) {
    let path = root().join("docs/reference").join(name);
    let text = format!("{MADE}{text}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let on_disk = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        on_disk == text,
        "docs/reference/{name} does not match the code; run: BLESS=1 cargo test --test main docs"
    );
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Json => "JSON text",
        Kind::Int => "int",
        Kind::Long => "bigint",
        Kind::Double => "double",
        Kind::Bool => "boolean",
        Kind::Time => "timestamp",
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn columns_table(text: &mut String, columns: &[Column]) {
    text.push_str("| column | type | from | meaning |\n|---|---|---|---|\n");
    for column in columns {
        let from = if column.from.is_empty() {
            String::new()
        } else {
            format!("`{}`", column.from)
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {from} | {} |",
            column.name,
            type_name(column.kind),
            cell(column.about)
        );
    }
}

#[test]
fn formats_page() {
    let mut text = String::from(
        "# Log formats\n\nEach is a table for `--from TABLE=WHERE` and for `CREATE EXTERNAL TABLE ... STORED AS TABLE`.\n\
         All are read plain, gzip or zstd, told by their first bytes.\n\nEvery table ends with these columns:\n\n",
    );
    columns_table(&mut text, PROVENANCE);
    for format in FORMATS {
        let _ = write!(text, "\n## `{}`\n\n{}\n\n", format.name(), format.about());
        for option in format.options() {
            let _ = write!(text, "Option `{}`: {}\n\n", option.name, option.about);
        }
        columns_table(&mut text, format.columns());
    }
    let _ = write!(
        text,
        "\n## `{}`\n\n{} Made of `{}` where that is there, raw or in the lake. The settings, each for \
         `SET connections.NAME = VALUE`:\n\n",
        connections::NAME,
        connections::ABOUT,
        connections::SOURCE
    );
    for entry in connections::Settings::default().entries() {
        let value = entry.value.unwrap_or_default();
        let _ = writeln!(text, "- `{}` ({value}): {}", entry.key, entry.description);
    }
    text.push('\n');
    columns_table(&mut text, connections::COLUMNS);
    check("formats.md", &text);
}

/// The lake's tables, their layout, and those that no log has.
#[test]
fn lake_page() {
    let mut text = String::from(
        "# The lake\n\nA folder or an S3 prefix with one Delta table for each kind of log \
         ([formats.md](formats.md)) and for those below. Each has one column more, `event_date`, the UTC day: \
         it is the partition.\n\n\
         | table | sorted by, and its day | bloom filters | one record, by |\n|---|---|---|---|\n",
    );
    let list = |names: &[&str]| match names.is_empty() {
        true => "none".to_owned(),
        false => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    };
    for name in trailhound_lake::spec::table_names() {
        let spec = trailhound_lake::spec::spec(name).unwrap();
        let _ = writeln!(
            text,
            "| `{name}` | `{}` | {} | {} |",
            spec.time,
            list(spec.bloom),
            list(spec.key)
        );
    }
    text.push_str(
        "\nA record that has no time of its own lies in the day in which it was read. Rows that agree in the columns \
         by which a record is known are one record, delivered several times: `trailhound lake compact` leaves one.\n\n\
         ## `coverage`\n\nWhich minutes were seen: a row for each hour of each source, table, account, Region and, for \
         flow logs, interface, as far as one commit brought it. Join rows of several commits with `bit_or(minutes)`. A \
         minute without a record may be quiet or unseen: these logs cannot tell.\n\n| column | meaning |\n|---|---|\n",
    );
    let schema = trailhound_ingest::coverage::coverage_schema();
    let documented: Vec<&str> = trailhound_ingest::coverage::COVERAGE_COLUMNS
        .iter()
        .map(|(name, _)| *name)
        .collect();
    let columns: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(
        documented, columns,
        "every column of coverage is documented, in order"
    );
    for (name, about) in trailhound_ingest::coverage::COVERAGE_COLUMNS {
        let _ = writeln!(text, "| `{name}` | {about} |");
    }
    check("lake.md", &text);
}

#[test]
fn functions_page() {
    let mut text = String::from(
        "# SQL functions\n\nBeside those of [DataFusion](https://datafusion.apache.org/user-guide/sql/index.html) \
         and the JSON operators `->` and `->>`. NULL in, NULL out; a value that a function cannot read gives NULL.\n",
    );
    let mut group = None;
    for function in FUNCTIONS {
        if group != Some(function.group) {
            let _ = write!(text, "\n## {}\n", function.group.title());
            group = Some(function.group);
        }
        let (call, gives) = function.example;
        let _ = write!(
            text,
            "\n### `{}`\n\n{}\n\n`SELECT {call}` gives `{gives}`.\n",
            function.signature(),
            function.about,
        );
    }
    check("functions.md", &text);
}

#[test]
fn detections_page() {
    let catalog = Catalog::embedded().unwrap();
    let mut text = String::from(
        "# Detections\n\n`trailhound rules show ID` prints one with its triage notes and its cases.\n\n\
         | id | severity | reads | ATT&CK | NIST CSF | what it finds |\n|---|---|---|---|---|---|\n",
    );
    for entry in catalog.entries() {
        let rule = &entry.rule;
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            rule.id,
            rule.severity,
            rule.reads.join(", "),
            rule.attack.join(", "),
            rule.csf.join(", "),
            cell(&rule.title)
        );
    }
    text.push_str("\n## What they miss\n\n");
    for entry in catalog.entries() {
        let misses: Vec<&str> = entry.rule.misses.split_whitespace().collect();
        let _ = writeln!(text, "- `{}`: {}", entry.rule.id, misses.join(" "));
    }
    check("detections.md", &text);
}
