//! All rules: those in the program, and those of a folder that replace or join them.
//!
//! An id is unique within one set, and a folder's rule takes the place of the
//! program's rule with the same id. That is how a rule is adapted: copy, change, `--rules`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use trailhound_ingest::formats::FORMATS;
use trailhound_query::declared::DECLARED;

use crate::cases::THREAT_LIST;
use crate::error::{Error, Result};
use crate::page::Page;
use crate::rule::Rule;

/// Most bytes of a rule file or page. Nobody writes more by hand.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A rule with its page.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The rule.
    pub rule: Rule,
    /// Its page, if there is one beside it.
    pub page: Option<Page>,
}

/// Rules by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    entries: BTreeMap<String, Entry>,
}

struct Embedded {
    path: &'static str,
    sql: &'static str,
    page: Option<&'static str>,
}

const EMBEDDED: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/rules.rs"));

impl Catalog {
    /// The rules that are part of the program.
    ///
    /// # Errors
    /// One of them is wrong; the tests see to it that none is.
    pub fn embedded() -> Result<Self> {
        let mut catalog = Catalog::default();
        for file in EMBEDDED {
            catalog.add(
                file.path,
                file.sql,
                file.page.map(|page| (page_name(file.path), page.to_owned())),
            )?;
        }
        Ok(catalog)
    }

    /// The program's rules, with those of `folder` added, or put in their place.
    ///
    /// # Errors
    /// The folder cannot be read or has no rules, a rule is wrong, or two of its files have one id.
    pub fn with_folder(folder: &Path) -> Result<Self> {
        let mut catalog = Catalog::embedded()?;
        catalog.entries.extend(Catalog::folder(folder)?.entries);
        Ok(catalog)
    }

    /// The rules of `folder` alone.
    ///
    /// # Errors
    /// As [`Catalog::with_folder`].
    pub fn folder(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(folder, &mut files).map_err(|error| Error::io(folder.display(), error))?;
        if files.is_empty() {
            return Err(Error::io(
                folder.display(),
                "no .sql file in this folder or below it",
            ));
        }
        files.sort();
        let mut catalog = Catalog::default();
        for path in files {
            let name = path.display().to_string();
            let page_path = path.with_extension("md");
            let page = match page_path.exists() {
                true => Some((page_path.display().to_string(), read(&page_path)?)),
                false => None,
            };
            catalog.add(&name, &read(&path)?, page)?;
        }
        Ok(catalog)
    }

    /// All entries, in order of their ids.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The entry of a rule.
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// The entries with these ids, or all if none is given.
    ///
    /// # Errors
    /// There is no rule with one of the ids.
    pub fn select(&self, ids: &[String]) -> Result<Vec<&Entry>> {
        if ids.is_empty() {
            return Ok(self.entries().collect());
        }
        let mut selected = BTreeMap::new();
        for id in ids {
            let Some(entry) = self.get(id) else {
                let known: Vec<&str> = self.entries.keys().map(String::as_str).collect();
                return Err(Error::catalog(
                    match trailhound_query::error::nearest(id, &known) {
                        Some(near) => format!("there is no rule {id}; did you mean {near}?"),
                        None => format!("there is no rule {id}; `trailhound rules list` shows all"),
                    },
                ));
            };
            selected.insert(id, entry);
        }
        Ok(selected.into_values().collect())
    }

    fn add(&mut self, file: &str, sql: &str, page: Option<(String, String)>) -> Result<()> {
        let rule = Rule::parse(file, sql)?;
        if let Some(other) = self.entries.get(&rule.id) {
            return Err(Error::rule(
                file,
                1,
                format!("the id {} is taken: {} has it too", rule.id, other.rule.file),
            ));
        }
        let page = page
            .map(|(name, text)| Page::parse(&name, &text, &log_tables()))
            .transpose()?;
        self.entries.insert(rule.id.clone(), Entry { rule, page });
        Ok(())
    }
}

/// Tables that a page's blocks can be read as, and the one kind of list that they can be.
pub fn log_tables() -> Vec<&'static str> {
    let declared = DECLARED.iter().map(|declared| declared.name);
    FORMATS
        .iter()
        .map(|format| format.name())
        .chain(declared)
        .chain([THREAT_LIST])
        .collect()
}

fn page_name(sql: &str) -> String {
    format!("{}.md", sql.trim_end_matches(".sql"))
}

fn read(path: &PathBuf) -> Result<String> {
    let failed = |reason: String| Error::io(path.display(), reason);
    let bytes = fs::metadata(path)
        .map_err(|error| failed(error.to_string()))?
        .len();
    if bytes > FILE_BYTES_MAX {
        return Err(failed(format!(
            "{bytes} bytes are too many for a rule; the most is {FILE_BYTES_MAX}"
        )));
    }
    fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // Links are not followed into folders: a loop would never end.
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
    Ok(())
}
