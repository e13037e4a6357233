//! `TABLE=LOCATION`: where the objects of a raw table lie.
//!
//! A location is a file, a folder (read to its depth), a glob with `*`, `?`,
//! `[...]` and `**`, or an `s3://` URL of an object, a prefix or a glob.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use crate::declared::declared_named;
use crate::error::{Error, ErrorKind};
use crate::stores;

/// A raw table and where its objects lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// Name of the table: that of a log format, or `NAME:FORMAT` for a table of another name.
    pub table: String,
    /// The log format.
    pub format: String,
    /// Path, glob or URL.
    pub location: String,
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((table, location)) = text.split_once('=') else {
            return Err(format!(
                "{text:?} is not TABLE=PATH, such as vpc_flow='logs/*.log.gz'"
            ));
        };
        let (table, location) = (table.trim(), location.trim());
        if location.is_empty() {
            return Err(format!(
                "nothing follows {table}= : give a path, a glob or an s3:// URL"
            ));
        }
        // The first half of NAME:FORMAT is free, for two tables of one format.
        let (table, format) = table.split_once(':').unwrap_or((table, table));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if table.is_empty() || !table.chars().all(plain) {
            return Err(format!(
                "{table:?} is not a table name: lower-case letters, digits and _"
            ));
        }
        Ok(From {
            table: table.to_owned(),
            format: format.to_owned(),
            location: location.to_owned(),
        })
    }
}

/// The objects of a location.
#[derive(Debug, Clone)]
pub struct Objects {
    /// The object store, as DataFusion registers it: scheme and host.
    pub base: Url,
    /// What to read.
    pub files: Vec<Object>,
}

/// One object to read.
#[derive(Debug, Clone)]
pub struct Object {
    /// Where it lies in its store.
    pub meta: ObjectMeta,
    /// Its name for people: the path as the user would write it, or the URL.
    pub name: Arc<str>,
    /// `key=value` folders below the location's fixed part, in order.
    pub partitions: Vec<(String, String)>,
}

impl From {
    /// Whether it names logs, and not what people declare or an inventory.
    pub fn is_log(&self) -> bool {
        declared_named(&self.format).is_none() && self.format != "inventory"
    }

    /// Lists the objects.
    ///
    /// # Errors
    /// Nothing is there, or it cannot be listed.
    pub async fn objects(&self, stores: &stores::Stores) -> Result<Objects, Error> {
        let objects = if self.location.contains("://") {
            self.remote_objects(stores).await?
        } else {
            self.local_objects()?
        };
        if objects.files.is_empty() {
            return Err(Error::wrong_use(format!(
                "no files match {} for table {}",
                self.location, self.table
            ))
            .with_help("check the path; quote a glob so that the shell does not expand it"));
        }
        Ok(objects)
    }

    fn local_objects(&self) -> Result<Objects, Error> {
        let path = Path::new(&self.location);
        let mut files = Vec::new();
        if path.exists() {
            let metadata = path.metadata().map_err(|error| self.io_error(path, &error))?;
            if metadata.is_dir() {
                self.walk(path, &mut files)?;
            } else {
                files.push(path.to_owned());
            }
        } else if is_glob(&self.location) {
            let paths = glob::glob(&self.location)
                .map_err(|error| Error::wrong_use(format!("{}: {}", self.location, error.msg)))?;
            for path in paths {
                let path = path.map_err(|error| self.io_error(error.path(), error.error()))?;
                if path.is_dir() {
                    self.walk(&path, &mut files)?;
                } else if !hidden(&path) {
                    files.push(path);
                }
            }
        } else {
            return Err(
                Error::wrong_use(format!("there is no file or folder {}", self.location)).with_help(format!(
                    "table {} needs a path, a glob or an s3:// URL",
                    self.table
                )),
            );
        }
        files.sort();
        files.dedup();
        let fixed = fixed_part(&self.location);
        let base = Url::parse("file:///").map_err(|error| Error::wrong_use(error.to_string()))?;
        let files = files
            .iter()
            .map(|path| self.local_object(path, fixed))
            .collect::<Result<_, _>>()?;
        Ok(Objects { base, files })
    }

    fn local_object(&self, path: &Path, fixed: &str) -> Result<Object, Error> {
        let absolute = std::path::absolute(path).map_err(|error| self.io_error(path, &error))?;
        let metadata = path.metadata().map_err(|error| self.io_error(path, &error))?;
        // A name that is no object store path, such as one with control characters,
        // must not cost its neighbours: it is read as absent, and named so.
        let location = object_store::path::Path::from_absolute_path(&absolute).unwrap_or_else(|_| {
            object_store::path::Path::from(absolute.to_string_lossy().trim_start_matches('/'))
        });
        let modified = metadata
            .modified()
            .map(chrono::DateTime::from)
            .unwrap_or_default();
        let name = path.to_string_lossy();
        Ok(Object {
            meta: ObjectMeta {
                location,
                last_modified: modified,
                size: metadata.len(),
                e_tag: None,
                version: None,
            },
            partitions: partitions_of(name.strip_prefix(fixed).unwrap_or(&name)),
            name: name.into(),
        })
    }

    fn walk(&self, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
        let entries = folder.read_dir().map_err(|error| self.io_error(folder, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| self.io_error(folder, &error))?.path();
            if hidden(&path) {
                continue;
            }
            // Links to folders are not followed: they can form circles.
            if path.is_dir() && !path.is_symlink() {
                self.walk(&path, files)?;
            } else if path.is_file() {
                files.push(path);
            }
        }
        Ok(())
    }

    fn io_error(&self, path: &Path, error: &std::io::Error) -> Error {
        Error::new(
            ErrorKind::Unreachable,
            format!("cannot read {} for table {}: {error}", path.display(), self.table),
        )
    }

    async fn remote_objects(&self, stores: &stores::Stores) -> Result<Objects, Error> {
        let url = Url::parse(&self.location)
            .map_err(|error| Error::wrong_use(format!("{} is not a URL: {error}", self.location)))?;
        let store = stores.of(&url).await?;
        let mut base = url.clone();
        base.set_path("");
        base.set_query(None);
        // `?` and `#` have a meaning in URLs, but keys and globs may hold them: read the text as it is.
        let key = self.location.splitn(4, '/').nth(3).unwrap_or_default();
        let unreachable = |error: object_store::Error| {
            Error::new(
                ErrorKind::Unreachable,
                format!("cannot list {}: {}", self.location, root_cause(&error)),
            )
        };
        let mut metas: Vec<ObjectMeta> = Vec::new();
        let fixed = fixed_part(key).to_owned();
        if is_glob(key) {
            let pattern = glob::Pattern::new(key)
                .map_err(|error| Error::wrong_use(format!("{}: {}", self.location, error.msg)))?;
            let options = glob::MatchOptions {
                require_literal_separator: true,
                ..Default::default()
            };
            let mut listing = store.list(Some(&object_store::path::Path::from(fixed.as_str())));
            while let Some(meta) = listing.try_next().await.map_err(unreachable)? {
                if pattern.matches_with(meta.location.as_ref(), options) {
                    metas.push(meta);
                }
            }
        } else {
            let path = object_store::path::Path::parse(key)
                .map_err(|error| Error::wrong_use(format!("{}: {error}", self.location)))?;
            let exact = if key.ends_with('/') || key.is_empty() {
                None
            } else {
                store.head(&path).await.ok()
            };
            match exact {
                Some(meta) => metas.push(meta),
                None => {
                    let prefix = (!key.is_empty()).then_some(&path);
                    metas = store.list(prefix).try_collect().await.map_err(unreachable)?;
                }
            }
        }
        metas.retain(|meta| meta.size > 0);
        metas.sort_by(|a, b| a.location.cmp(&b.location));
        let files = metas
            .into_iter()
            .map(|meta| {
                let key = meta.location.as_ref();
                let partitions = partitions_of(key.strip_prefix(fixed.as_str()).unwrap_or(key));
                let name = format!("{}/{key}", base.as_str().trim_end_matches('/')).into();
                Object {
                    meta,
                    name,
                    partitions,
                }
            })
            .collect();
        Ok(Objects { base, files })
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The folders before the first wildcard.
fn fixed_part(location: &str) -> &str {
    let wild = location.find(['*', '?', '[']).unwrap_or(location.len());
    location[..wild]
        .rfind('/')
        .map_or("", |slash| &location[..=slash])
}

/// Whether tools leave such files beside data: `.crc`, `_SUCCESS`.
fn hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']))
}

/// The `key=value` folders of a path, Hive style.
fn partitions_of(path: &str) -> Vec<(String, String)> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders
        .split('/')
        .filter_map(|folder| folder.split_once('='))
        .map(|(key, value)| (key.replace('-', "_").to_lowercase(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_locations_are_told_apart() {
        let from: From = "vpc_flow=logs/a=b/*.gz".parse().unwrap();
        assert_eq!(
            (from.table.as_str(), from.location.as_str()),
            ("vpc_flow", "logs/a=b/*.gz")
        );
        let from: From = "yesterday:vpc_flow=x".parse().unwrap();
        assert_eq!(
            (from.table.as_str(), from.format.as_str()),
            ("yesterday", "vpc_flow")
        );
        for bad in ["logs", "vpc_flow=", "VPC Flow=x", "=x"] {
            assert!(bad.parse::<From>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hive_folders_become_partitions() {
        assert_eq!(
            partitions_of("aws-region=eu-west-1/year=2026/x=y.gz"),
            [
                ("aws_region".into(), "eu-west-1".into()),
                ("year".into(), "2026".into())
            ]
        );
        assert_eq!(fixed_part("a/b*/c"), "a/");
        assert_eq!(fixed_part("*.gz"), "");
    }
}
