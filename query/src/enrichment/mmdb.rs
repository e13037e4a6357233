//! MaxMind databases: countries, and autonomous systems.

use std::net::IpAddr;
use std::path::Path;

use maxminddb::{MaxMindDbError, PathElement, Reader};

use crate::error::Error;

/// Paths to the country's code: where it is, and else where it is registered; then
/// the forms of other vendors.
const COUNTRY: &[&[&str]] = &[
    &["country", "iso_code"],
    &["registered_country", "iso_code"],
    &["country_code"],
    &["country"],
];

/// Paths to the number of the system; other vendors write it as `AS64500`.
const NUMBER: &[&[&str]] = &[
    &["autonomous_system_number"],
    &["traits", "autonomous_system_number"],
    &["asn"],
];

/// Paths to the name of who runs the system.
const ORGANIZATION: &[&[&str]] = &[
    &["autonomous_system_organization"],
    &["traits", "autonomous_system_organization"],
    &["as_name"],
    &["name"],
];

/// A database of countries or cities.
#[derive(Debug)]
pub struct GeoIp(Reader<Vec<u8>>);

impl GeoIp {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let is_other =
            |kind: &str| kind.contains("asn") && !kind.contains("country") && !kind.contains("city");
        Ok(GeoIp(open(file, is_other, "countries", "asn")?))
    }

    /// The country of an address, as two letters (ISO 3166-1).
    pub fn country(&self, address: IpAddr) -> Option<&str> {
        text(&self.0, address, COUNTRY)
    }
}

/// A database of autonomous systems.
#[derive(Debug)]
pub struct Asn(Reader<Vec<u8>>);

impl Asn {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let is_other =
            |kind: &str| (kind.contains("country") || kind.contains("city")) && !kind.contains("asn");
        Ok(Asn(open(file, is_other, "autonomous systems", "geoip")?))
    }

    /// The number of the system that announces an address.
    pub fn number(&self, address: IpAddr) -> Option<i64> {
        let found = self.0.lookup(address).ok()?;
        NUMBER.iter().find_map(|path| {
            let path = elements(path);
            match found.decode_path::<u32>(&path) {
                Ok(number) => number.map(i64::from),
                Err(_) => {
                    let text = found.decode_path::<&str>(&path).ok()??;
                    text.strip_prefix("AS")
                        .unwrap_or(text)
                        .parse::<u32>()
                        .ok()
                        .map(i64::from)
                }
            }
        })
    }

    /// Who runs that system.
    pub fn organization(&self, address: IpAddr) -> Option<&str> {
        text(&self.0, address, ORGANIZATION)
    }
}

fn open(file: &Path, is_other: fn(&str) -> bool, of: &str, other: &str) -> Result<Reader<Vec<u8>>, Error> {
    let refused = |reason: String| Error::wrong_use(format!("{}: {reason}", file.display()));
    let reader = Reader::from_source(super::read(file)?).map_err(|error: MaxMindDbError| {
        refused(format!("not a MaxMind database: {error}"))
            .with_help("give the .mmdb file itself, not the archive that it comes in")
    })?;
    let kind = &reader.metadata().database_type;
    if is_other(&kind.to_lowercase()) {
        return Err(refused(format!("it is a {kind} database, not one of {of}"))
            .with_help(format!("give it as {other}")));
    }
    Ok(reader)
}

fn elements<'a>(path: &[&'a str]) -> Vec<PathElement<'a>> {
    path.iter().map(|key| PathElement::Key(key)).collect()
}

/// The first of the paths at which the entry of an address has text. What is damaged
/// in the file counts as no entry.
fn text<'a>(reader: &'a Reader<Vec<u8>>, address: IpAddr, paths: &[&[&str]]) -> Option<&'a str> {
    let found = reader.lookup(address).ok()?;
    paths
        .iter()
        .find_map(|path| found.decode_path::<&'a str>(&elements(path)).ok().flatten())
        .filter(|text| !text.is_empty())
}
