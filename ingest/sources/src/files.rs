//! Files of this machine: one, a folder with all below it, or a pattern.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::{BoxStream, try_unfold};
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;
use trailhound_ingest::error::{Error, ErrorKind};

use crate::keys::{Range, is_no_log, read_key};
use crate::open::SourceOptions;
use crate::source::{Delivery, Outcome, ReadVersion, Receipt, Source, Step, gone};

/// Most bytes of one piece.
const PIECE_BYTES: usize = 1 << 20;

/// Files as a source.
#[derive(Debug)]
pub struct Files {
    name: String,
    place: Place,
    follow: bool,
    poll: Duration,
    days: Range,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Folder(PathBuf),
    Pattern(String),
}

#[derive(Debug, Default)]
struct State {
    number: u64,
    was_listed: bool,
    ready: VecDeque<(PathBuf, Stamp)>,
    /// Versions that were handed out, by path.
    given: HashMap<PathBuf, Stamp>,
    /// Files as the last look found them, which may still be written to.
    growing: HashMap<PathBuf, Stamp>,
    is_idle_told: bool,
}

/// What tells one content of a path from another: length, and time of change in
/// nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    changed: i64,
}

impl Stamp {
    fn of(stat: &Metadata) -> Self {
        let changed = stat.modified().ok();
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Stamp {
            bytes: stat.len(),
            changed: changed.map_or(0, |time| time.as_nanos() as i64),
        }
    }

    fn version(&self) -> String {
        format!("{}-{}", self.bytes, self.changed)
    }

    fn time(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.changed)
    }
}

impl Files {
    /// The files of a path or a pattern.
    ///
    /// # Errors
    /// There is no such path, or the pattern is none.
    pub fn open(path: &str, options: &SourceOptions) -> Result<Self, Error> {
        let plain = Path::new(path);
        let place = match std::fs::metadata(plain) {
            Ok(stat) if stat.is_dir() => Place::Folder(plain.to_owned()),
            Ok(_) => Place::File(plain.to_owned()),
            Err(_) if path.contains(['*', '?', '[']) => {
                glob::Pattern::new(path).map_err(|error| {
                    Error::wrong_use(format!("{path}: not a pattern: {error}"))
                        .with_help("`*` matches within a folder, `**` any folders, `?` one character")
                })?;
                Place::Pattern(path.to_owned())
            }
            Err(error) => {
                return Err(
                    Error::new(ErrorKind::Unreachable, format!("cannot read {path}: {error}"))
                        .with_help("give a file, a folder, or a pattern in quotes such as 'logs/**/*.gz'"),
                );
            }
        };
        Ok(Files {
            name: path.to_owned(),
            place,
            follow: options.follow,
            poll: options.poll,
            days: Range::new(options.since, options.until),
            state: Mutex::default(),
        })
    }

    /// Looks for files that were not handed out as they are now.
    async fn look(&self, state: &mut State) -> Result<(), Error> {
        let (place, days, name) = (self.place.clone(), self.days, self.name.clone());
        let found = tokio::task::spawn_blocking(move || list(&place, &days))
            .await
            .map_err(|error| Error::new(ErrorKind::Failed, format!("cannot list {name}: {error}")))?
            .map_err(|error| {
                Error::new(
                    ErrorKind::Unreachable,
                    format!("cannot list {}: {error}", self.name),
                )
            })?;
        if !state.was_listed && !self.follow && found.is_empty() && matches!(self.place, Place::Pattern(_)) {
            return Err(
                Error::new(ErrorKind::Unreachable, format!("no file matches {}", self.name))
                    .with_help("`*` matches within a folder, `**` any folders"),
            );
        }
        state.was_listed = true;
        // What is gone need not be remembered.
        let there: HashSet<&PathBuf> = found.iter().map(|(path, _)| path).collect();
        state.given.retain(|path, _| there.contains(path));
        let mut growing = HashMap::new();
        for (path, stamp) in found {
            if state.given.get(&path) == Some(&stamp) {
                continue;
            }
            // Somebody may be writing it: it counts once two looks found it alike.
            if self.follow && state.growing.get(&path) != Some(&stamp) {
                growing.insert(path, stamp);
                continue;
            }
            state.given.insert(path.clone(), stamp);
            state.ready.push_back((path, stamp));
        }
        state.growing = growing;
        Ok(())
    }
}

#[async_trait]
impl Source for Files {
    fn name(&self) -> &str {
        &self.name
    }

    async fn next(&self) -> Result<Step, Error> {
        let mut state = self.state.lock().await;
        if !state.was_listed {
            self.look(&mut state).await?;
        }
        loop {
            if let Some((path, stamp)) = state.ready.pop_front() {
                state.number += 1;
                state.is_idle_told = false;
                return Ok(Step::Delivery(Box::new(delivery(path, stamp, state.number))));
            }
            if !self.follow {
                return Ok(Step::End);
            }
            if !state.is_idle_told {
                state.is_idle_told = true;
                return Ok(Step::Idle);
            }
            tokio::time::sleep(self.poll).await;
            self.look(&mut state).await?;
        }
    }

    async fn settle(&self, _outcomes: Vec<(Receipt, Outcome)>) -> Result<(), Error> {
        Ok(()) // Nobody waits to be told: what was taken is remembered by path and stamp.
    }
}

/// The files of a place, in the order of their paths.
fn list(place: &Place, days: &Range) -> std::io::Result<Vec<(PathBuf, Stamp)>> {
    let mut found = Vec::new();
    let mut add = |path: PathBuf, stat: &Metadata| {
        let stamp = Stamp::of(stat);
        if !is_unfinished(&path) {
            let text = path.to_string_lossy();
            if !is_no_log(&text) && days.has_key(&text, Some(stamp.time())) {
                found.push((path, stamp));
            }
        }
    };
    match place {
        Place::File(path) => found.push((path.clone(), Stamp::of(&std::fs::metadata(path)?))),
        Place::Folder(path) => walk(path, &mut HashSet::new(), &mut add)?,
        Place::Pattern(pattern) => {
            let rules = glob::MatchOptions {
                require_literal_leading_dot: true,
                ..glob::MatchOptions::new()
            };
            let mut seen = HashSet::new();
            let paths = glob::glob_with(pattern, rules).map_err(std::io::Error::other)?;
            let mut paths: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
            // Links that lead back give a file many paths: the shortest is taken.
            paths.sort_by_key(|path| path.as_os_str().len());
            for path in paths {
                match (std::fs::metadata(&path), path.canonicalize()) {
                    // `**` matches folders too; their files match by themselves.
                    (Ok(stat), _) if stat.is_dir() && pattern.contains("**") => {}
                    (Ok(stat), _) if stat.is_dir() => walk(&path, &mut seen, &mut add)?,
                    (Ok(stat), Ok(real)) if seen.insert(real.clone()) => add(path, &stat),
                    // Known by another path, or it was there a moment ago.
                    _ => {}
                }
            }
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found.dedup_by(|one, other| one.0 == other.0);
    Ok(found)
}

/// Adds the files of a folder. Links are followed, but no folder is entered twice:
/// a link to a folder above would never end.
fn walk(
    folder: &Path,
    entered: &mut HashSet<PathBuf>,
    add: &mut impl FnMut(PathBuf, &Metadata),
) -> std::io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(real) = folder.canonicalize() else { continue };
        if !entered.insert(real) {
            continue;
        }
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if is_hidden(&path) {
                continue;
            }
            match std::fs::metadata(&path) {
                Ok(stat) if stat.is_dir() => folders.push(path),
                Ok(stat) if stat.is_file() => add(path, &stat),
                // A pipe, a link to nowhere, or a file that is gone by now.
                _ => {}
            }
        }
    }
    Ok(())
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.')
}

/// Whether the name says that somebody is still writing the file.
fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.')
        || [".tmp", ".part", ".partial", ".crdownload", ".swp", "~"]
            .iter()
            .any(|ending| name.ends_with(ending))
}

fn delivery(path: PathBuf, stamp: Stamp, number: u64) -> Delivery {
    let name: Arc<str> = path.to_string_lossy().into();
    let version = stamp.version();
    let read_version = ReadVersion::default();
    let table = read_key(&name).table();
    let (shared, expected, said) = (name.clone(), version.clone(), read_version.clone());
    Delivery {
        name,
        version: Some(version),
        read_version,
        table,
        options: BTreeMap::new(),
        lines_before: 0,
        bytes: Some(stamp.bytes),
        delivered_at: Some(stamp.changed / 1000),
        body: Arc::new(move || {
            let (path, name, expected, said) = (path.clone(), shared.clone(), expected.clone(), said.clone());
            Box::pin(async move { read(&path, &name, &expected, &said).await })
        }),
        receipt: Receipt {
            number,
            ..Receipt::default()
        },
    }
}

async fn read(
    path: &Path,
    name: &str,
    expected: &str,
    said: &ReadVersion,
) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => gone(name),
        _ => Error::new(ErrorKind::Unreachable, format!("cannot read {name}: {error}")),
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let version = Stamp::of(&file.metadata().await.map_err(failed)?).version();
    said.set((version != expected).then(|| version.clone()));
    let name: Arc<str> = name.into();
    let pieces = try_unfold(file, move |mut file| {
        let (name, version) = (name.clone(), version.clone());
        async move {
            let failed =
                |error: std::io::Error| Error::new(ErrorKind::Failed, format!("cannot read {name}: {error}"));
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            while piece.len() < PIECE_BYTES {
                if file.read_buf(&mut piece).await.map_err(failed)? == 0 {
                    break;
                }
            }
            if piece.is_empty() {
                if Stamp::of(&file.metadata().await.map_err(failed)?).version() != version {
                    return Err(Error::new(
                        ErrorKind::Failed,
                        format!("{name} was changed while it was read"),
                    ));
                }
                return Ok(None);
            }
            Ok(Some((piece.freeze(), file)))
        }
    });
    Ok(pieces.boxed())
}
