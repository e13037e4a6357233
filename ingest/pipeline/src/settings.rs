//! What a run can be told.

use std::collections::BTreeMap;
use std::time::Duration;

use trailhound_lake::WriterSettings;

/// Settings of one pipeline.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The table that all objects belong to; none to recognise it by the source's
    /// word, the object's name and its content.
    pub table: Option<&'static str>,
    /// Settings of log formats: (table, name) to value.
    pub format_options: BTreeMap<(String, String), String>,
    /// Objects that are read at the same time.
    pub objects_at_once: usize,
    /// Rows after which a batch is committed. Large batches make few, large files.
    pub batch_rows_max: u64,
    /// Compressed bytes after which a batch is committed.
    pub batch_bytes_max: u64,
    /// A batch is committed this long after its first object was taken up, so that
    /// rows show although little comes in.
    pub batch_age_max: Duration,
    /// The same once the source has nothing more for now. Not at once: a commit for
    /// every small object would make a file for every small object.
    pub quiet_age_max: Duration,
    /// Decompressed bytes of an object that are held back until it is parsed to its
    /// end. A larger one streams into the files as it is read, and if it cannot be
    /// read to its end the batch is begun anew without it.
    pub held_bytes_max: u64,
    /// Times that an object is tried when its bytes break off.
    pub attempts_max: u32,
    /// Wait after the first attempt; it doubles with each.
    pub attempt_wait: Duration,
    /// How rows are written.
    pub writer: WriterSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            table: None,
            format_options: BTreeMap::new(),
            objects_at_once: std::thread::available_parallelism().map_or(2, usize::from),
            batch_rows_max: 16 << 20,
            batch_bytes_max: 1 << 30,
            batch_age_max: Duration::from_secs(60),
            quiet_age_max: Duration::from_secs(1),
            held_bytes_max: 16 << 20,
            attempts_max: 5,
            attempt_wait: Duration::from_millis(500),
            writer: WriterSettings::default(),
        }
    }
}

impl Settings {
    /// For a source that is followed: rows show within seconds.
    #[must_use]
    pub fn following(mut self) -> Self {
        self.batch_age_max = Duration::from_secs(5);
        self
    }

    /// Settings of the format of `table`.
    pub fn options_of(&self, table: &str) -> BTreeMap<String, String> {
        self.format_options
            .iter()
            .filter(|((of, _), _)| of == table)
            .map(|((_, name), value)| (name.clone(), value.clone()))
            .collect()
    }
}
