//! What files of the user say about addresses: AWS ranges, countries, networks, threat lists.
//!
//! Each is read when a query first asks for it, and never again in the session.
//! Without a file the functions that need it give NULL, and the session notes that
//! they were asked. A file that was named but cannot be used is an error: NULL
//! would pass for "unknown".

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};

use crate::error::{Error, ErrorKind};

mod aws_ranges;
mod mmdb;
mod ranges;
mod threat_list;

pub use aws_ranges::{AwsRange, AwsRanges};
pub use mmdb::{Asn, GeoIp};
pub use threat_list::ThreatList;

/// Largest file that is read. The largest of those for sale are below 1 GiB.
pub const ENRICHMENT_FILE_BYTES_MAX: u64 = 2 << 30;

/// Where the files lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnrichmentFiles {
    /// AWS's `ip-ranges.json`.
    pub aws_ranges: Option<PathBuf>,
    /// A MaxMind database of countries or cities.
    pub geoip: Option<PathBuf>,
    /// A MaxMind database of autonomous systems.
    pub asn: Option<PathBuf>,
    /// Lists of addresses and networks, one a line. The first that holds an address names it.
    pub threat_lists: Vec<PathBuf>,
}

impl EnrichmentFiles {
    /// Adds a threat list, or sets the one file of another kind.
    pub fn set(&mut self, kind: EnrichmentKind, file: PathBuf) {
        match kind {
            EnrichmentKind::AwsRanges => self.aws_ranges = Some(file),
            EnrichmentKind::GeoIp => self.geoip = Some(file),
            EnrichmentKind::Asn => self.asn = Some(file),
            EnrichmentKind::ThreatList => self.threat_lists.push(file),
        }
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        let single = [&self.aws_ranges, &self.geoip, &self.asn];
        single.into_iter().flatten().chain(&self.threat_lists)
    }
}

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrichmentKind {
    /// AWS's `ip-ranges.json`.
    AwsRanges,
    /// A MaxMind database of countries or cities.
    GeoIp,
    /// A MaxMind database of autonomous systems.
    Asn,
    /// A list of addresses.
    ThreatList,
}

impl EnrichmentKind {
    /// All of them.
    pub const ALL: [EnrichmentKind; 4] = [
        EnrichmentKind::AwsRanges,
        EnrichmentKind::GeoIp,
        EnrichmentKind::Asn,
        EnrichmentKind::ThreatList,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            EnrichmentKind::AwsRanges => "aws_ranges",
            EnrichmentKind::GeoIp => "geoip",
            EnrichmentKind::Asn => "asn",
            EnrichmentKind::ThreatList => "threat_list",
        }
    }

    /// What the file is.
    pub fn about(self) -> &'static str {
        match self {
            EnrichmentKind::AwsRanges => "AWS's ip-ranges.json",
            EnrichmentKind::GeoIp => "a MaxMind database of countries or cities (.mmdb)",
            EnrichmentKind::Asn => "a MaxMind database of autonomous systems (.mmdb)",
            EnrichmentKind::ThreatList => "a list of addresses and networks, one a line",
        }
    }
}

impl FromStr for EnrichmentKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = EnrichmentKind::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| {
            let names = EnrichmentKind::ALL.map(EnrichmentKind::name);
            format!("there is no kind {name}; there are {}", names.join(", "))
        })
    }
}

/// What people should know of the files once their query has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrichmentNote {
    /// A function gave NULL for want of such a file.
    Missing(EnrichmentKind),
    /// Lines of a threat list are no addresses, and were left out.
    LinesLeftOut {
        /// Name of the list.
        list: String,
        /// How many lines.
        lines: usize,
        /// Number of the first of them, counted from 1.
        first: usize,
    },
}

/// A file that is read when it is first needed.
type Lazy<T> = OnceLock<Result<T, Error>>;

/// The files of a session.
#[derive(Debug, Default)]
pub struct Enrichment {
    files: EnrichmentFiles,
    now: DateTime<Utc>,
    aws_ranges: Lazy<AwsRanges>,
    geoip: Lazy<GeoIp>,
    asn: Lazy<Asn>,
    threat_lists: Lazy<Vec<ThreatList>>,
    asked_in_vain: [AtomicBool; EnrichmentKind::ALL.len()],
}

impl Enrichment {
    /// These files; the age of lists is that at `now`.
    ///
    /// # Errors
    /// A file is not there or may not be read, or two threat lists have one name.
    pub fn new(files: EnrichmentFiles, now: DateTime<Utc>) -> Result<Self, Error> {
        for file in files.all() {
            File::open(file).map_err(|error| unusable(file, error))?;
        }
        let mut names: Vec<String> = files
            .threat_lists
            .iter()
            .map(|file| threat_list::name(file))
            .collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("two threat lists are named {}", twice[0]);
            return Err(Error::wrong_use(message).with_help("a list has the name of its file: rename one"));
        }
        Ok(Enrichment {
            files,
            now,
            ..Enrichment::default()
        })
    }

    /// The moment at which lists have their age.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// AWS's ranges; none without a file.
    ///
    /// # Errors
    /// The file cannot be read, or is something else.
    pub fn aws_ranges(&self) -> Result<Option<&AwsRanges>, Error> {
        self.one(
            EnrichmentKind::AwsRanges,
            &self.files.aws_ranges,
            &self.aws_ranges,
            AwsRanges::read,
        )
    }

    /// Countries; none without a file.
    ///
    /// # Errors
    /// The file cannot be read, or is something else.
    pub fn geoip(&self) -> Result<Option<&GeoIp>, Error> {
        self.one(EnrichmentKind::GeoIp, &self.files.geoip, &self.geoip, GeoIp::read)
    }

    /// Autonomous systems; none without a file.
    ///
    /// # Errors
    /// The file cannot be read, or is something else.
    pub fn asn(&self) -> Result<Option<&Asn>, Error> {
        self.one(EnrichmentKind::Asn, &self.files.asn, &self.asn, Asn::read)
    }

    /// The threat lists; none if there is not one.
    ///
    /// # Errors
    /// A list cannot be read, or holds no address at all.
    pub fn threat_lists(&self) -> Result<Option<&[ThreatList]>, Error> {
        if self.files.threat_lists.is_empty() {
            return Ok(self.in_vain(EnrichmentKind::ThreatList));
        }
        let read = || {
            let lists = self.files.threat_lists.iter();
            lists.map(|file| ThreatList::read(file)).collect()
        };
        let lists = self.threat_lists.get_or_init(read);
        lists
            .as_ref()
            .map(|lists| Some(lists.as_slice()))
            .map_err(Error::clone)
    }

    /// What queries asked of the files so far, and did not get.
    pub fn notes(&self) -> Vec<EnrichmentNote> {
        let missing = EnrichmentKind::ALL
            .into_iter()
            .filter(|kind| self.asked_in_vain[*kind as usize].load(Ordering::Relaxed))
            .map(EnrichmentNote::Missing);
        let lists = self.threat_lists.get().and_then(|lists| lists.as_ref().ok());
        let left_out = lists.into_iter().flatten().filter_map(|list| {
            let (lines, first) = list.left_out()?;
            Some(EnrichmentNote::LinesLeftOut {
                list: list.name().to_owned(),
                lines,
                first,
            })
        });
        missing.chain(left_out).collect()
    }

    fn one<'a, T>(
        &self,
        kind: EnrichmentKind,
        file: &Option<PathBuf>,
        place: &'a Lazy<T>,
        read: fn(&Path) -> Result<T, Error>,
    ) -> Result<Option<&'a T>, Error> {
        let Some(file) = file else {
            return Ok(self.in_vain(kind));
        };
        place
            .get_or_init(|| read(file))
            .as_ref()
            .map(Some)
            .map_err(Error::clone)
    }

    fn in_vain<T>(&self, kind: EnrichmentKind) -> Option<T> {
        self.asked_in_vain[kind as usize].store(true, Ordering::Relaxed);
        None
    }
}

/// The bytes of a file, if there are not too many.
fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let bytes = std::fs::metadata(file)
        .map_err(|error| unusable(file, error))?
        .len();
    if bytes > ENRICHMENT_FILE_BYTES_MAX {
        let message = format!(
            "{}: it has {bytes} bytes; the most is {ENRICHMENT_FILE_BYTES_MAX}",
            file.display()
        );
        return Err(Error::new(ErrorKind::Limit, message));
    }
    std::fs::read(file).map_err(|error| unusable(file, error))
}

fn unusable(file: &Path, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Unreachable,
        format!("{}: cannot read it: {error}", file.display()),
    )
    .with_help("files about addresses are named with --enrich or in [enrich] of trailhound.toml")
}
