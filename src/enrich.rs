//! Files about addresses: `--enrich KIND=FILE`, `[enrich]` of the settings, and
//! what is said when a query wanted one that is not there.

use std::path::PathBuf;
use std::str::FromStr;

use trailhound_query::{EnrichmentFiles, EnrichmentKind, EnrichmentNote};

use crate::config::EnrichSection;
use crate::summary::plural;
use crate::text::visible;

/// `--enrich KIND=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrichArg {
    /// What the file is.
    pub kind: EnrichmentKind,
    /// Where it lies.
    pub file: PathBuf,
}

impl FromStr for EnrichArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, file) = text
            .split_once('=')
            .filter(|(_, file)| !file.is_empty())
            .ok_or("expected KIND=FILE, such as geoip=GeoLite2-Country.mmdb")?;
        Ok(EnrichArg {
            kind: kind.parse()?,
            file: file.into(),
        })
    }
}

/// The long help of `--enrich`: one line for each kind.
pub fn help() -> String {
    let kinds: Vec<String> = EnrichmentKind::ALL
        .iter()
        .map(|kind| format!("{}: {}", kind.name(), kind.about()))
        .collect();
    format!(
        "Use a file that says more about addresses; may be given several times\n\n\
         KIND is one of\n{}\n\nA threat list is added to those of the settings; another kind takes the place of \
         the settings' file. Functions that have no file give NULL, and the report says so.",
        kinds.join("\n")
    )
}

/// The files of the settings, and those of the command line over them.
pub fn files(section: &EnrichSection, args: &[EnrichArg]) -> EnrichmentFiles {
    let mut files = EnrichmentFiles {
        aws_ranges: section.aws_ranges.clone(),
        geoip: section.geoip.clone(),
        asn: section.asn.clone(),
        threat_lists: section.threat_lists.clone(),
    };
    for arg in args {
        files.set(arg.kind, arg.file.clone());
    }
    files
}

/// A note in words.
pub fn words(note: &EnrichmentNote) -> String {
    match note {
        EnrichmentNote::Missing(kind) => {
            let functions = match kind {
                EnrichmentKind::AwsRanges => "ip_aws_service and ip_aws_region",
                EnrichmentKind::GeoIp => "geo_country",
                EnrichmentKind::Asn => "ip_asn and ip_as_org",
                EnrichmentKind::ThreatList => "threat_list and threat_list_age_days",
            };
            format!(
                "{functions} gave NULL: they need {}; name it with --enrich {}=FILE or in [enrich] of the settings",
                kind.about(),
                kind.name()
            )
        }
        EnrichmentNote::LinesLeftOut { list, lines, first } => format!(
            "threat list {}: {} left out, not an address; the first is line {first}",
            visible(list),
            plural(*lines as u64, "line")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_go_over_the_settings() {
        let section = EnrichSection {
            geoip: Some("a.mmdb".into()),
            threat_lists: vec!["a.txt".into()],
            ..EnrichSection::default()
        };
        let args = ["geoip=b.mmdb", "threat_list=b.txt", "asn=c=d.mmdb"].map(|text| text.parse().unwrap());
        let files = files(&section, &args);
        assert_eq!(files.geoip, Some("b.mmdb".into()));
        assert_eq!(files.asn, Some("c=d.mmdb".into()));
        assert_eq!(files.aws_ranges, None);
        assert_eq!(files.threat_lists, [PathBuf::from("a.txt"), "b.txt".into()]);
    }

    #[test]
    fn what_is_no_argument_is_refused() {
        for text in ["geoip", "geoip=", "", "=x"] {
            assert!(text.parse::<EnrichArg>().is_err(), "{text}");
        }
        let error = "colour=x".parse::<EnrichArg>().unwrap_err();
        assert!(error.contains("aws_ranges, geoip, asn, threat_list"), "{error}");
    }
}
