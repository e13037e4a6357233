//! AWS's published address ranges: which service, in which Region.
//!
//! See <https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-ranges.html>.

use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;

use super::ranges::{Ranges, Unsorted};
use crate::error::Error;

/// The service that stands for all of AWS: every range of the others is one of its too.
const ANY_SERVICE: &str = "AMAZON";

/// What AWS says of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsRange {
    /// Service, such as `S3`; `AMAZON` where AWS names none in particular.
    pub service: String,
    /// Region, such as `eu-west-1`, or `GLOBAL`.
    pub region: String,
}

/// The ranges of `ip-ranges.json`.
#[derive(Debug)]
pub struct AwsRanges {
    about: Vec<AwsRange>,
    services: Ranges<u32>,
    any: Ranges<u32>,
}

impl AwsRanges {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is not that file.
    pub fn read(file: &Path) -> Result<Self, Error> {
        AwsRanges::parse(&super::read(file)?).map_err(|reason| {
            Error::wrong_use(format!("{}: not AWS's ip-ranges.json: {reason}", file.display()))
                .with_help("get it from https://ip-ranges.amazonaws.com/ip-ranges.json")
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut about: Vec<AwsRange> = Vec::new();
        let (mut services, mut any) = (Vec::new(), Unsorted::default());
        for (list, prefix) in [("prefixes", "ip_prefix"), ("ipv6_prefixes", "ipv6_prefix")] {
            let entries = document[list]
                .as_array()
                .ok_or_else(|| format!("it has no list {list}"))?;
            for (number, entry) in entries.iter().enumerate() {
                let member = |name: &str| {
                    entry[name]
                        .as_str()
                        .ok_or_else(|| format!("{list}[{number}] has no text {name}"))
                };
                let (cidr, service, region) = (member(prefix)?, member("service")?, member("region")?);
                let parsed = cidr.split_once('/').and_then(|(address, bits)| {
                    Some((address.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?))
                });
                let (address, bits) =
                    parsed.ok_or_else(|| format!("{list}[{number}]: {cidr:?} is no network"))?;
                let place = match about
                    .iter()
                    .position(|known| known.service == service && known.region == region)
                {
                    Some(place) => place,
                    None => {
                        about.push(AwsRange {
                            service: service.to_owned(),
                            region: region.to_owned(),
                        });
                        about.len() - 1
                    }
                };
                match service {
                    ANY_SERVICE => drop(any.add_network(address, bits, place as u32)),
                    _ => services.push((address, bits, place as u32)),
                }
            }
        }
        // One range may be that of several services. What is called EC2 is often another's too.
        services.sort_by_key(|(_, _, place)| {
            let service = about[*place as usize].service.as_str();
            (service != "EC2", service.to_owned())
        });
        let mut sorted = Unsorted::default();
        for (address, bits, place) in services {
            sorted.add_network(address, bits, place);
        }
        Ok(AwsRanges {
            about,
            services: sorted.sort(),
            any: any.sort(),
        })
    }

    /// What AWS says of an address; none if it is not one of AWS.
    pub fn find(&self, address: IpAddr) -> Option<&AwsRange> {
        let place = self.services.find(address).or_else(|| self.any.find(address))?;
        self.about.get(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_in_particular_and_the_narrowest_range_win() {
        let file = br#"{"syncToken": "1763622000", "createDate": "2025-11-20-07-00-00", "prefixes": [
            {"ip_prefix": "3.5.0.0/16", "region": "eu-west-1", "service": "S3", "network_border_group": "eu-west-1"},
            {"ip_prefix": "3.5.0.0/16", "region": "eu-west-1", "service": "EC2", "network_border_group": "eu-west-1"},
            {"ip_prefix": "3.5.0.0/16", "region": "eu-west-1", "service": "AMAZON", "network_border_group": "eu-west-1"},
            {"ip_prefix": "3.5.9.0/24", "region": "eu-west-2", "service": "AMAZON", "network_border_group": "eu-west-2"},
            {"ip_prefix": "3.5.8.0/24", "region": "us-east-1", "service": "EC2", "network_border_group": "us-east-1"},
            {"ip_prefix": "52.94.0.0/22", "region": "us-east-1", "service": "AMAZON", "network_border_group": "us-east-1"}
        ], "ipv6_prefixes": [
            {"ipv6_prefix": "2600:9000::/28", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"}
        ]}"#;
        let ranges = AwsRanges::parse(file).unwrap();
        let found = |address: &str| {
            let found = ranges.find(address.parse().unwrap())?;
            Some((found.service.as_str(), found.region.as_str()))
        };
        assert_eq!(found("3.5.1.1"), Some(("S3", "eu-west-1")));
        assert_eq!(found("3.5.9.1"), Some(("S3", "eu-west-1")));
        assert_eq!(found("3.5.8.1"), Some(("EC2", "us-east-1")));
        assert_eq!(found("52.94.3.255"), Some(("AMAZON", "us-east-1")));
        assert_eq!(found("52.94.4.0"), None);
        assert_eq!(found("2600:9000::1"), Some(("CLOUDFRONT", "GLOBAL")));
        assert_eq!(found("10.0.0.1"), None);
    }

    #[test]
    fn other_files_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "EOF"),
            ("[]", "it has no list prefixes"),
            (
                r#"{"prefixes": [], "ipv6_prefixes": {}}"#,
                "it has no list ipv6_prefixes",
            ),
            (
                r#"{"prefixes": [{"ip_prefix": "1.2.3.4"}]}"#,
                "prefixes[0] has no text service",
            ),
            (
                r#"{"prefixes": [{"ip_prefix": "1.2.3", "service": "S3", "region": "x"}]}"#,
                "prefixes[0]: \"1.2.3\" is no network",
            ),
        ] {
            let error = AwsRanges::parse(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
