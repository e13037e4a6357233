//! The reference pages are made from the code, and these tests notice drift.
//!
//! `BLESS=1 cargo test --test main docs` writes the pages anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use datafusion::common::config::ExtensionOptions as _;
use trailhound_detections::Catalog;
use trailhound_detections::baseline::{self, Definition};
use trailhound_ingest::baselines;
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
    for name in trailhound_lake::spec::table_names().filter(|name| baselines::table_named(name).is_none()) {
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
        "\nThe tables of baselines are in [baselines.md](baselines.md).\n\n\
         A record that has no time of its own lies in the day in which it was read. Rows that agree in the columns \
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
fn baselines_page() {
    let mut text = BASELINES_INTRODUCTION.to_owned();
    for definition in Definition::all().unwrap() {
        let _ = write!(
            text,
            "\n## {} `{}`: {}\n\n{} From {}. {}\n\n| measure | what it is | unit |\n|---|---|---|\n",
            definition.code,
            definition.name,
            definition.title,
            cell(&definition.about),
            definition
                .reads
                .iter()
                .map(|table| format!("`{table}`"))
                .collect::<Vec<_>>()
                .join(", "),
            match definition.kind {
                baseline::Kind::Seen => format!(
                    "Ripe after {} days; what was not seen for {} days counts as new again.",
                    definition.ripe_days, definition.expire_days
                ),
                baseline::Kind::Measured => format!(
                    "Measured {}; ripe after {} days and {} samples.",
                    match definition.hours {
                        true => "by hour of week",
                        false => "over all hours",
                    },
                    definition.ripe_days,
                    definition.samples_min
                ),
            }
        );
        for (name, measure) in &definition.measures {
            let unit = match definition.kind {
                baseline::Kind::Seen => String::new(),
                baseline::Kind::Measured => format!("{}", measure.unit),
            };
            let _ = writeln!(text, "| `{name}` | {} | {unit} |", cell(&measure.about));
        }
    }
    text.push_str("\n## Tables\n");
    let named = [
        ("`baseline_NAME`, norms", baselines::BASELINES[0].norms),
        ("`baseline_NAME_samples`", baselines::BASELINES[0].samples),
        (
            "`baseline_versions`, one row a build and baseline",
            baselines::VERSIONS,
        ),
        ("`baseline_days`, what was sampled", baselines::DAYS),
        (
            "`baseline_exceptions`, hours that do not train",
            baselines::EXCEPTIONS,
        ),
        ("`baseline_approvals`", baselines::APPROVALS),
    ];
    for (title, table) in named {
        let _ = write!(
            text,
            "\n### {title}\n\n| column | type | meaning |\n|---|---|---|\n"
        );
        for (name, kind, about) in baselines::columns(table) {
            let _ = writeln!(text, "| `{name}` | {kind} | {} |", cell(about));
        }
    }
    check("baselines.md", &text);
}

const BASELINES_INTRODUCTION: &str = "# Baselines\n\n\
`trailhound baseline build` learns from the lake what is normal, one day at a time, and keeps it as tables of the lake. \
`list`, `show`, `diff`, `explain`, `approve` and `report` read them; so do rules and `trailhound sql`.\n\n\
**Samples** are rows of one hour (what is measured) or day (what is only seen) of one entity: a workload or a \
principal, never the bare address of a peer. A day's samples are replaced as a whole when logs of that day arrive, when \
an exception is added to it, or when the baseline's file changed; so late logs merge, and a day costs what reading that day costs.\n\n\
**Norms** are made from the samples of up to 90 days, up to the last day that has logs. Each build with news makes a \
version; a build without makes none. Rules see the latest version, or the one that was frozen with `approve --freeze`. \
In SQL all versions are rows of one table. The last 30 versions are kept, and those that were approved, frozen or reported.\n\n\
**What does not train:** hours with an alert of medium or above (`build --alerts`, kept for good), hours of flow logs of \
which fewer than 45 minutes were seen, hours with SKIPDATA on an interface of the workload. What was *seen* stays seen \
in a blind hour; only alerts take it out.\n\n\
**How far off is a value?** On the scale ln(1 + value / unit) the distance from `center`, in units of `spread` / 0.6745. \
A value is *unusual* outside of p05 to p95 and at z 3, *extreme* at z 6 and three times p95. A fifth of the samples may be \
anything at all without a value of the middle half becoming unusual. An hour is compared with the same hour of the week \
and its two neighbours; under four weeks of history with that hour of every day; with too few samples with all hours. `grain` \
says which.\n\n\
**Defined:** No samples: no row. One sample or no variance: the spread is that of a tenth, never 0. Nothing is NaN or infinite. \
A gap: days are counted that were looked at, so an entity does not ripen by itself. A service under a new name is a new \
entity, and learns. Days after today by the clock wait, and are said. Tables of an older form are not read by \
rules, which say that they learn, and are built anew by the next build. Times are UTC.\n\n\
Over files (`--from`) baselines are empty, and rules that need one say that they are learning.\n";

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
