//! A digest file: what it says, how it is named, and what its signature is over.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer};

/// A digest file, as far as checking needs it. Fields that are not listed are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    /// Account whose log files it names.
    pub aws_account_id: String,
    /// Log files delivered after this time...
    #[serde(deserialize_with = "time")]
    pub digest_start_time: DateTime<Utc>,
    /// ...up to this one, in the digest's own spelling: the signature is over the text.
    pub digest_end_time: String,
    /// Bucket it was written to.
    pub digest_s3_bucket: String,
    /// Key it was written under.
    pub digest_s3_object: String,
    /// Which key signed it.
    pub digest_public_key_fingerprint: String,
    /// `SHA256withRSA`.
    pub digest_signature_algorithm: Option<String>,
    /// Bucket of the digest before; none where a chain begins.
    pub previous_digest_s3_bucket: Option<String>,
    /// Key of the digest before; none where a chain begins.
    pub previous_digest_s3_object: Option<String>,
    /// Hex SHA-256 of the digest before, uncompressed.
    pub previous_digest_hash_value: Option<String>,
    /// Hex signature of the digest before.
    pub previous_digest_signature: Option<String>,
    /// The files delivered in this time. None in a quiet hour.
    pub log_files: Vec<LogFile>,
}

/// A log file that a digest names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFile {
    /// Bucket it was delivered to.
    pub s3_bucket: String,
    /// Key it was delivered under.
    pub s3_object: String,
    /// Hex SHA-256 of its uncompressed content.
    pub hash_value: String,
    /// `SHA-256`.
    pub hash_algorithm: String,
}

impl Digest {
    /// Reads the uncompressed content of a digest file.
    ///
    /// # Errors
    /// Says why it is no digest: not JSON, a field missing or twice, a time that is none.
    pub fn parse(content: &[u8]) -> Result<Digest, String> {
        let digest: Digest =
            serde_json::from_slice(content).map_err(|error| format!("not a digest: {error}"))?;
        let end = parse_time(&digest.digest_end_time)
            .ok_or_else(|| format!("not a digest: digestEndTime is {:?}", digest.digest_end_time))?;
        if end < digest.digest_start_time {
            return Err("not a digest: it ends before it starts".to_owned());
        }
        Ok(digest)
    }

    /// The end as a time.
    pub fn end(&self) -> DateTime<Utc> {
        // `parse` has checked it.
        parse_time(&self.digest_end_time).unwrap_or(self.digest_start_time)
    }

    /// What the signature is over; `hash` is the hex SHA-256 of the digest's uncompressed content.
    pub fn signed_text(&self, hash: &str) -> String {
        format!(
            "{}\n{}/{}\n{hash}\n{}",
            self.digest_end_time,
            self.digest_s3_bucket,
            self.digest_s3_object,
            // The first digest of a chain has none, and Java wrote that out.
            self.previous_digest_signature.as_deref().unwrap_or("null"),
        )
    }
}

fn time<'de, D: Deserializer<'de>>(input: D) -> Result<DateTime<Utc>, D::Error> {
    let text = String::deserialize(input)?;
    parse_time(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no time")))
}

pub(crate) fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// The chain that a digest belongs to, as its name tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId {
    /// Account, 12 digits.
    pub account: String,
    /// Region of the log files.
    pub region: String,
    /// Name of the trail.
    pub trail: String,
    /// Region that the trail was made in: its keys sign.
    pub home_region: String,
    /// Digests over files that were delivered late. They form a chain of their own.
    pub backfill: bool,
}

/// Name of a digest file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestName {
    /// The chain.
    pub chain: ChainId,
    /// Its end.
    pub end: DateTime<Utc>,
}

impl DigestName {
    /// Reads the last part of a key:
    /// `ACCOUNT_CloudTrail-Digest_REGION_TRAIL_HOMEREGION_YYYYMMDDThhmmssZ[_backfill].json.gz`.
    /// Folders do not count: an organization's trail has one more, a copy may have none.
    /// None if it is something else.
    pub fn parse(key: &str) -> Option<DigestName> {
        let name = file_name(key);
        let name = name
            .strip_suffix(".json.gz")
            .or_else(|| name.strip_suffix(".json"))?;
        let (name, backfill) = match name.strip_suffix("_backfill") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (account, rest) = name.split_once("_CloudTrail-Digest_")?;
        let (region, rest) = rest.split_once('_')?;
        // A trail's name may hold underscores, a Region's never.
        let (rest, end) = rest.rsplit_once('_')?;
        let (trail, home_region) = rest.rsplit_once('_')?;
        Some(DigestName {
            chain: ChainId {
                account: account_id(account)?.to_owned(),
                region: region.to_owned(),
                trail: trail.to_owned(),
                home_region: home_region.to_owned(),
                backfill,
            },
            end: compact_time(end, "%Y%m%dT%H%M%SZ")?,
        })
    }
}

/// Name of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogName {
    /// Account, 12 digits.
    pub account: String,
    /// Region.
    pub region: String,
    /// `CloudTrail`, `CloudTrail-Insight` and so on.
    pub kind: String,
    /// When it was delivered; names give the minute.
    pub delivered: DateTime<Utc>,
}

impl LogName {
    /// Reads the last part of a key: `ACCOUNT_CloudTrail_REGION_YYYYMMDDThhmmZ_RANDOM.json.gz`.
    /// None if it is something else, a digest included.
    pub fn parse(key: &str) -> Option<LogName> {
        let name = file_name(key);
        let name = name
            .strip_suffix(".json.gz")
            .or_else(|| name.strip_suffix(".json"))?;
        let mut parts = name.splitn(4, '_');
        let account = account_id(parts.next()?)?;
        let kind = parts.next()?;
        let region = parts.next()?;
        // The oldest files have nothing between the time and the random part.
        let delivered = compact_time(parts.next()?.get(..14)?, "%Y%m%dT%H%MZ")?;
        if !kind.starts_with("CloudTrail") || kind == "CloudTrail-Digest" {
            return None;
        }
        Some(LogName {
            account: account.to_owned(),
            region: region.to_owned(),
            kind: kind.to_owned(),
            delivered,
        })
    }
}

/// The part of a key after its last slash.
pub(crate) fn file_name(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, name)| name)
}

fn account_id(text: &str) -> Option<&str> {
    (text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn compact_time(text: &str, format: &str) -> Option<DateTime<Utc>> {
    Some(NaiveDateTime::parse_from_str(text, format).ok()?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_digests_in_all_layouts() {
        let plain = "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/11/02/\
            111122223333_CloudTrail-Digest_eu-west-1_my_trail_us-east-1_20261102T140531Z.json.gz";
        let name = DigestName::parse(plain).unwrap();
        assert_eq!(
            (
                name.chain.trail.as_str(),
                name.chain.home_region.as_str(),
                name.chain.backfill
            ),
            ("my_trail", "us-east-1", false)
        );
        assert_eq!(name.end.to_rfc3339(), "2026-11-02T14:05:31+00:00");
        let organization = plain.replace("AWSLogs/", "deep/AWSLogs/o-abc123/");
        assert_eq!(DigestName::parse(&organization), Some(name.clone()));
        let backfill = DigestName::parse(&plain.replace("Z.json", "Z_backfill.json")).unwrap();
        assert!(backfill.chain.backfill);
        assert_eq!(backfill.end, name.end);
        for other in [
            "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/",
            "111122223333_CloudTrail_eu-west-1_20261102T1405Z_abcdefgh12345678.json.gz",
            "11_CloudTrail-Digest_eu-west-1_t_us-east-1_20261102T140531Z.json.gz",
            "111122223333_CloudTrail-Digest_eu-west-1_t_us-east-1_20261302T140531Z.json.gz",
        ] {
            assert_eq!(DigestName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_logs() {
        let name =
            LogName::parse("x/111122223333_CloudTrail_eu-west-1_20261102T1405Z_abcdefgh12345678.json.gz")
                .unwrap();
        assert_eq!(
            (name.account.as_str(), name.region.as_str(), name.kind.as_str()),
            ("111122223333", "eu-west-1", "CloudTrail")
        );
        assert_eq!(name.delivered.to_rfc3339(), "2026-11-02T14:05:00+00:00");
        let old = "111122223333_CloudTrail_eu-west-1_20261102T1405Zabcdefgh12345678.json.gz";
        assert_eq!(LogName::parse(old), Some(name));
        let digest = "111122223333_CloudTrail-Digest_eu-west-1_t_us-east-1_20261102T140531Z.json.gz";
        assert_eq!(LogName::parse(digest), None);
        assert_eq!(LogName::parse("readme.txt"), None);
    }

    #[test]
    fn what_is_needed_is_asked_for_and_the_rest_is_passed_over() {
        let text = r#"{"awsAccountId":"111122223333","digestStartTime":"2026-11-02T13:05:31Z",
            "digestEndTime":"2026-11-02T14:05:31Z","digestS3Bucket":"b","digestS3Object":"k",
            "digestPublicKeyFingerprint":"f","somethingNew":{"a":1},"previousDigestSignature":null,
            "logFiles":[]}"#;
        let digest = Digest::parse(text.as_bytes()).unwrap();
        assert_eq!(
            digest.signed_text("cafe"),
            "2026-11-02T14:05:31Z\nb/k\ncafe\nnull"
        );
        for (what, broken) in [
            ("missing field `logFiles`", text.replace("logFiles", "files")),
            ("digestEndTime is", text.replace("2026-11-02T14:05:31Z", "soon")),
            ("ends before", text.replace("02T14", "01T14")),
            (
                "duplicate field",
                text.replace("\"somethingNew\":{\"a\":1}", "\"logFiles\":[]"),
            ),
        ] {
            let error = Digest::parse(broken.as_bytes()).unwrap_err();
            assert!(error.contains(what), "{what}: {error}");
        }
    }
}
