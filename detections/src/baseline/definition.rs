//! A baseline as its file has it: TOML front matter in the leading comments, then one query.
//!
//! The query gives a row an hour, entity, subject and measure: `event_time`,
//! `entity`, `subject`, `measure`, `value`, `count`, `first_seen`, `last_seen`, and
//! where it knows why an hour must not train, `excluded`. It sees one day at a time.
//! `{name}` stands for the text of `fragments/name.sql`.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use trailhound_ingest::baselines::{BASELINES, Tables};
use trailhound_ingest::error::Error;

use crate::rule::{body, front_matter, hex};

/// Raised when samples are made or norms are computed in another way: everything is built anew.
const FORM: u32 = 1;

/// Fragments within fragments that are resolved.
const DEPTH_MAX: usize = 4;

struct Embedded {
    name: &'static str,
    sql: &'static str,
}

const EMBEDDED: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/baselines.rs"));
const FRAGMENTS: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/fragments.rs"));

/// What is done with samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// That it was there is what counts: days, first and last time.
    Seen,
    /// How much it was is what counts: median, MAD, quantiles.
    Measured,
}

/// One quantity of a baseline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// What it is.
    pub about: String,
    /// Amount below which differences do not count.
    #[serde(default = "one")]
    pub unit: f64,
    /// `bytes` if it is an amount of bytes.
    pub shown: Option<String>,
}

fn one() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    name: String,
    code: String,
    title: String,
    kind: Kind,
    reads: Vec<String>,
    about: String,
    #[serde(default)]
    hours: bool,
    #[serde(default)]
    fill: bool,
    #[serde(default = "ripe_days")]
    ripe_days: u32,
    #[serde(default = "expire_days")]
    expire_days: u32,
    #[serde(default = "window_days")]
    window_days: u32,
    #[serde(default = "samples_min")]
    samples_min: usize,
    measures: BTreeMap<String, Measure>,
}

fn ripe_days() -> u32 {
    14
}

fn expire_days() -> u32 {
    45
}

fn window_days() -> u32 {
    90
}

fn samples_min() -> usize {
    8
}

/// A baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Table of its norms.
    pub norms: &'static str,
    /// Table of its samples.
    pub samples: &'static str,
    /// Its number in the catalogue, `B1` to `B8`.
    pub code: String,
    /// What it is about, in a few words.
    pub title: String,
    /// What is done with its samples.
    pub kind: Kind,
    /// Tables that the query reads; those that a lake does not have are empty.
    pub reads: Vec<String>,
    /// What it is about, at length.
    pub about: String,
    /// Whether each hour of the week has a norm of its own.
    pub hours: bool,
    /// Whether an hour without a row, of an entity that had one that day, is 0.
    pub fill: bool,
    /// Days after which an entity is known well enough.
    pub ripe_days: u32,
    /// Days after which what was not seen again no longer counts.
    pub expire_days: u32,
    /// Days that norms are made from.
    pub window_days: u32,
    /// Samples that a norm needs.
    pub samples_min: usize,
    /// Its quantities by name.
    pub measures: BTreeMap<String, Measure>,
    /// The query, with its fragments in place.
    pub sql: String,
    /// Changes exactly when the file or one of its fragments does.
    pub hash: String,
}

impl Definition {
    /// Reads the baseline in the text of a file.
    ///
    /// # Errors
    /// Front matter that is broken or incomplete, or a fragment that does not exist.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::wrong_use(format!("{file}: {reason}"));
        let (front, lines) = front_matter(text);
        let read: FrontMatter =
            toml::from_str(&front).map_err(|error| wrong(error.message().trim().replace('\n', " ")))?;
        let tables: &Tables = BASELINES
            .iter()
            .find(|tables| tables.name == read.name)
            .ok_or_else(|| wrong(format!("there is no table for a baseline {:?}", read.name)))?;
        if read.reads.is_empty() || read.measures.is_empty() {
            return Err(wrong(
                "it needs `reads` and at least one of [measures.NAME]".to_owned(),
            ));
        }
        if let Some((name, _)) = read
            .measures
            .iter()
            .find(|(_, measure)| !(measure.unit.is_finite() && measure.unit > 0.0))
        {
            return Err(wrong(format!("the unit of {name} must be above 0")));
        }
        let (sql, _) = body(text, lines);
        let sql = expand(sql, 0).map_err(wrong)?;
        let hash = hex(&Sha256::digest(format!("{FORM}\n{front}\n{sql}")))[..12].to_owned();
        Ok(Definition {
            name: tables.name,
            norms: tables.norms,
            samples: tables.samples,
            code: read.code,
            title: read.title,
            kind: read.kind,
            reads: read.reads,
            about: read.about.split_whitespace().collect::<Vec<_>>().join(" "),
            hours: read.hours,
            fill: read.fill,
            ripe_days: read.ripe_days.max(1),
            expire_days: read.expire_days.max(1),
            window_days: read.window_days.max(1),
            samples_min: read.samples_min.max(1),
            measures: read.measures,
            sql,
            hash,
        })
    }

    /// All baselines, in the order of their codes.
    ///
    /// # Errors
    /// One of the program's files is wrong; a test sees to it that none is.
    pub fn all() -> Result<Vec<Self>, Error> {
        let mut all = EMBEDDED
            .iter()
            .map(|file| Definition::parse(&format!("baselines/{}.sql", file.name), file.sql))
            .collect::<Result<Vec<_>, Error>>()?;
        all.sort_by(|a, b| a.code.cmp(&b.code));
        Ok(all)
    }

    /// The baseline called `name`, by name, code or table.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, Error> {
        let all = Definition::all()?;
        let wanted = name.to_lowercase();
        let wanted = wanted.strip_prefix("baseline_").unwrap_or(&wanted);
        if let Some(found) = all
            .iter()
            .find(|definition| definition.name == wanted || definition.code.to_lowercase() == wanted)
        {
            return Ok(found.clone());
        }
        let names: Vec<&str> = all.iter().map(|definition| definition.name).collect();
        let error = Error::wrong_use(format!("there is no baseline {name}"));
        Err(error.with_help(trailhound_query::error::meant(wanted, &names)))
    }

    /// The unit of one of its measures.
    pub fn unit(&self, measure: &str) -> f64 {
        self.measures.get(measure).map_or(1.0, |measure| measure.unit)
    }
}

/// Puts fragments in the place of their names.
fn expand(sql: &str, depth: usize) -> Result<String, String> {
    if depth > DEPTH_MAX {
        return Err("fragments refer to each other in a circle".to_owned());
    }
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find('{') {
        let after = &rest[at + 1..];
        let name = after
            .split_once('}')
            .map(|(name, _)| name)
            .filter(|name| !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'));
        let Some(name) = name else {
            // A brace of a regular expression.
            out.push_str(&rest[..=at]);
            rest = after;
            continue;
        };
        let fragment = FRAGMENTS
            .iter()
            .find(|fragment| fragment.name == name)
            .ok_or_else(|| format!("there is no fragment {name}"))?;
        out.push_str(&rest[..at]);
        out.push_str(&expand(fragment.sql.trim_end(), depth + 1)?);
        rest = &after[name.len() + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_file() {
        let all = Definition::all().unwrap();
        let names: Vec<&str> = all.iter().map(|definition| definition.name).collect();
        let tables: Vec<&str> = BASELINES.iter().map(|tables| tables.name).collect();
        assert_eq!(names, tables);
        for definition in &all {
            for fragment in FRAGMENTS {
                let named = format!("{{{}}}", fragment.name);
                assert!(!definition.sql.contains(&named), "{}: {named}", definition.name);
            }
            for table in &definition.reads {
                assert!(
                    trailhound_ingest::formats::format_named(table).is_some(),
                    "{table}"
                );
            }
        }
    }

    #[test]
    fn braces_of_expressions_are_left_alone() {
        assert_eq!(expand("'[0-9]{8,17}' {", 0).unwrap(), "'[0-9]{8,17}' {");
        assert!(
            expand("{nothing}", 0)
                .unwrap_err()
                .contains("no fragment nothing")
        );
    }

    #[test]
    fn wrong_files_are_refused_by_name() {
        let error = Definition::parse("x.sql", "-- name = \"edges\"\n\nSELECT 1").unwrap_err();
        assert!(error.message().starts_with("x.sql: missing field"), "{error}");
        let error = Definition::named("edgs").unwrap_err();
        assert_eq!(error.help(), Some("did you mean edges?"));
    }
}
