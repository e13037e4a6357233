//! The power is cut before every sync of an ingest, one after the other: what
//! was not synced is gone. Simulated on a model of the disk, not by a process
//! kill, which loses nothing that the operating system holds.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use trailhound_lake::store::Disk;
use trailhound_lake::{Durable, Lake, Settlement, State, publish, recover};
use url::Url;

use crate::common::{contents, put, spec};

const SOURCE: &str = "test://cut";
const OBJECTS: usize = 5;

/// Which file it is, whatever its name; a number alone is used again.
type FileId = (u64, SystemTime);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File(FileId),
    Folder,
}

/// What would be left: content by file, names by folder.
#[derive(Debug, Default)]
struct Left {
    contents: HashMap<FileId, Vec<u8>>,
    names: HashMap<PathBuf, BTreeMap<String, Entry>>,
}

/// Which syncs reach the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syncs {
    All,
    /// Planted.
    None,
    /// Planted: names last, content does not.
    FoldersOnly,
    /// Planted: content lasts, names do not.
    FilesOnly,
}

/// What the disk and the source know at a cut.
struct Image {
    folder: PathBuf,
    told: Vec<String>,
}

#[derive(Debug)]
struct CutDisk {
    syncs: Syncs,
    lake: PathBuf,
    state: PathBuf,
    images: PathBuf,
    left: Mutex<Left>,
    told: Mutex<Vec<String>>,
    taken: Mutex<Vec<Vec<String>>>,
}

fn id(path: &FsPath) -> FileId {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(path).unwrap();
    (meta.ino(), meta.created().unwrap_or(SystemTime::UNIX_EPOCH))
}

impl CutDisk {
    /// Writes down what a cut would leave now.
    fn image(&self) {
        let mut taken = self.taken.lock().unwrap();
        let folder = self.images.join(format!("{:04}", taken.len()));
        let left = self.left.lock().unwrap();
        rebuild(&left, &self.lake, &folder.join("lake"));
        // SQLite syncs by itself, at each commit. It is at rest when the lake syncs.
        fs::create_dir_all(folder.join("state")).unwrap();
        for name in ["ingest.sqlite", "ingest.sqlite-wal"] {
            let from = self.state.join(name);
            if from.exists() {
                fs::copy(&from, folder.join("state").join(name)).unwrap();
            }
        }
        taken.push(self.told.lock().unwrap().clone());
    }
}

fn rebuild(left: &Left, from: &FsPath, to: &FsPath) {
    fs::create_dir_all(to).unwrap();
    for (name, entry) in left.names.get(from).into_iter().flatten() {
        match entry {
            Entry::Folder => rebuild(left, &from.join(name), &to.join(name)),
            // A name that lasts with content that does not: the file is empty.
            Entry::File(id) => {
                fs::write(
                    to.join(name),
                    left.contents.get(id).map_or(&[][..], Vec::as_slice),
                )
                .unwrap();
            }
        }
    }
}

impl Disk for CutDisk {
    fn sync_file(&self, path: &FsPath) -> std::io::Result<()> {
        self.image();
        let content = fs::read(path)?;
        if matches!(self.syncs, Syncs::All | Syncs::FilesOnly) {
            self.left.lock().unwrap().contents.insert(id(path), content);
        }
        Ok(())
    }

    fn sync_folder(&self, path: &FsPath) -> std::io::Result<()> {
        self.image();
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let entry = match path.is_dir() {
                true => Entry::Folder,
                false => Entry::File(id(&path)),
            };
            names.insert(name, entry);
        }
        if matches!(self.syncs, Syncs::All | Syncs::FoldersOnly) {
            self.left.lock().unwrap().names.insert(path.to_owned(), names);
        }
        Ok(())
    }
}

/// Brings the objects into the lake that were not taken; tells the source of each.
async fn ingest(lake: &Lake, state: &Arc<State>, told: impl Fn(String)) {
    for number in 0..OBJECTS {
        let object = format!("object-{number}");
        if state.is_taken(&object, "1").unwrap() {
            continue;
        }
        let intent = state.begin(SOURCE).unwrap();
        let name = format!("part-{}", uuid::Uuid::new_v4());
        let tables = vec![
            (
                spec("vpc_flow"),
                vec![put(lake, "vpc_flow", &name, &format!("rows of {object}")).await],
            ),
            (
                spec("rejects"),
                vec![put(lake, "rejects", &name, &format!("rejects of {object}")).await],
            ),
        ];
        let settlement = Settlement {
            takes: vec![(object.clone(), "1".to_owned())],
            position: Some(number.to_string()),
            ..Settlement::default()
        };
        publish(lake, state, intent, tables, settlement).await.unwrap();
        told(object);
    }
}

/// What is wrong with an image; nothing if it can go on without loss.
async fn check(image: &Image) -> Result<(), String> {
    let text = |error: trailhound_ingest::error::Error| error.to_string();
    let state = Arc::new(State::open(&image.folder.join("state")).map_err(text)?);
    let lake = Lake::local(&image.folder.join("lake")).map_err(text)?;
    recover(&lake, &state, SOURCE).await.map_err(text)?;
    for object in &image.told {
        if !state.is_taken(object, "1").map_err(text)? {
            return Err(format!("{object} was acknowledged, and is not taken"));
        }
    }
    ingest(&lake, &state, |_| {}).await;
    for (table, what) in [("vpc_flow", "rows"), ("rejects", "rejects")] {
        let expected: BTreeMap<String, usize> = (0..OBJECTS)
            .map(|number| (format!("{what} of object-{number}"), 1))
            .collect();
        let found = contents(&lake, table).await;
        if found != expected {
            return Err(format!("{table}: {found:?}"));
        }
    }
    Ok(())
}

/// Runs an ingest and checks what each cut would leave. Returns the number of
/// cuts, and what was wrong.
async fn run(syncs: Syncs) -> (usize, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    let path = base.join("lake");
    fs::create_dir(&path).unwrap();
    let disk = Arc::new(CutDisk {
        syncs,
        lake: path.clone(),
        state: base.join("state"),
        images: base.join("images"),
        left: Mutex::default(),
        told: Mutex::default(),
        taken: Mutex::default(),
    });
    let state = Arc::new(State::open(&base.join("state")).unwrap());
    let store = Durable::with_disk(Arc::clone(&disk) as Arc<dyn Disk>);
    let lake = Lake::new(Url::from_directory_path(&path).unwrap(), Arc::new(store));
    ingest(&lake, &state, |object| disk.told.lock().unwrap().push(object)).await;
    disk.image();
    drop(state);

    let told = disk.taken.lock().unwrap().clone();
    let mut wrong = Vec::new();
    for (number, told) in told.iter().enumerate() {
        let image = Image {
            folder: disk.images.join(format!("{number:04}")),
            told: told.clone(),
        };
        // A panic counts too: a planted bug may leave what cannot be opened.
        match tokio::spawn(async move { check(&image).await }).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => wrong.push(format!("cut {number}: {fault}")),
            Err(panic) => wrong.push(format!("cut {number}: {panic}")),
        }
    }
    eprintln!("{syncs:?}: {} cuts, {} left damage", told.len(), wrong.len());
    (told.len(), wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cut_loses_or_doubles() {
    let (cuts, wrong) = run(Syncs::All).await;
    assert!(cuts > 30, "{cuts} cuts");
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_harness_sees_missing_syncs() {
    for syncs in [Syncs::None, Syncs::FoldersOnly, Syncs::FilesOnly] {
        let (_, wrong) = run(syncs).await;
        assert!(!wrong.is_empty(), "{syncs:?} did no harm");
    }
}
