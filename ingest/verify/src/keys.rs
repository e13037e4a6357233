//! The public keys that AWS signs digests with: from a file, or asked for.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;
use trailhound_ingest::error::Error;

use crate::digest::parse_time;

/// Public keys by their fingerprints.
#[derive(Debug, Clone, Default)]
pub struct Keys(HashMap<String, Key>);

/// A key, and when AWS signed with it.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// DER, PKCS#1.
    der: Vec<u8>,
    pub(crate) from: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
}

impl Key {
    /// Whether `signature` is this key's over `text`.
    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.der)
            .verify(text, signature)
            .is_ok()
    }

    /// Whether it was in use at some time between `from` and `until`.
    pub(crate) fn was_in_use(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> bool {
        self.from.is_none_or(|start| start <= until) && self.until.is_none_or(|end| end >= from)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    public_key_list: Vec<FileKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FileKey {
    value: String,
    validity_start_time: Option<FileTime>,
    validity_end_time: Option<FileTime>,
    fingerprint: String,
}

/// The AWS CLI prints ISO 8601, or seconds since the epoch if it is told to.
#[derive(Deserialize)]
#[serde(untagged)]
enum FileTime {
    Text(String),
    Seconds(f64),
}

impl FileTime {
    fn time(self) -> Option<DateTime<Utc>> {
        match self {
            FileTime::Text(text) => parse_time(&text),
            FileTime::Seconds(seconds) => DateTime::from_timestamp_micros((seconds * 1e6) as i64),
        }
    }
}

impl Keys {
    /// Keys as `aws cloudtrail list-public-keys` prints them; `name` is the file's, for errors.
    ///
    /// # Errors
    /// It is no such list, or a key in it is not base64.
    pub fn from_json(content: &[u8], name: &str) -> Result<Keys, Error> {
        let help = "write it with: aws cloudtrail list-public-keys --region REGION > keys.json";
        let wrong = |why: String| {
            Error::wrong_use(format!("{name}: not a list of CloudTrail public keys: {why}")).with_help(help)
        };
        let file: File = serde_json::from_slice(content).map_err(|error| wrong(error.to_string()))?;
        let mut keys = Keys::default();
        for key in file.public_key_list {
            let der = STANDARD
                .decode(key.value.trim())
                .map_err(|error| wrong(format!("the key {}: {error}", key.fingerprint)))?;
            keys.add(
                key.fingerprint,
                der,
                key.validity_start_time.and_then(FileTime::time),
                key.validity_end_time.and_then(FileTime::time),
            );
        }
        Ok(keys)
    }

    /// Adds a key: DER as PKCS#1 has it, and the time in which AWS signed with it.
    pub fn add(
        &mut self,
        fingerprint: String,
        der: Vec<u8>,
        from: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
    ) {
        self.0.insert(fingerprint, Key { der, from, until });
    }

    /// Puts the keys of another list to these.
    pub fn extend(&mut self, others: Keys) {
        self.0.extend(others.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, fingerprint: &str) -> Option<&Key> {
        self.0.get(fingerprint)
    }

    /// Asks AWS (ListPublicKeys) for the keys in use since `since`, in each of `regions`:
    /// the home Regions of the trails, since keys differ between Regions.
    ///
    /// # Errors
    /// A Region could not be asked.
    #[cfg(feature = "list-public-keys")]
    pub async fn from_aws(
        aws: &trailhound_aws::Aws,
        regions: &[String],
        since: DateTime<Utc>,
    ) -> Result<Keys, Error> {
        use aws_smithy_types::DateTime as AwsTime;
        use trailhound_ingest::error::ErrorKind;

        let time = |time: &AwsTime| DateTime::from_timestamp(time.secs(), time.subsec_nanos());
        let mut keys = Keys::default();
        for region in regions {
            let config = aws_sdk_cloudtrail::config::Builder::from(aws.sdk())
                .region(aws_sdk_cloudtrail::config::Region::new(region.clone()))
                .build();
            let client = aws_sdk_cloudtrail::Client::from_conf(config);
            let mut pages = client
                .list_public_keys()
                .start_time(AwsTime::from_secs(since.timestamp()))
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| {
                    Error::new(
                        ErrorKind::Unreachable,
                        format!(
                            "listing CloudTrail's public keys in {region}: {}",
                            trailhound_aws::chain_of(&error)
                        ),
                    )
                    .with_help(
                        "allow cloudtrail:ListPublicKeys, or hand in a file: \
                         aws cloudtrail list-public-keys > keys.json",
                    )
                })?;
                for key in page.public_key_list.unwrap_or_default() {
                    if let (Some(fingerprint), Some(value)) = (key.fingerprint, key.value) {
                        keys.add(
                            fingerprint,
                            value.into_inner(),
                            key.validity_start_time.as_ref().and_then(time),
                            key.validity_end_time.as_ref().and_then(time),
                        );
                    }
                }
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_as_the_aws_cli_prints_it() {
        let text = r#"{"PublicKeyList":[
            {"Value":"MAMC","ValidityStartTime":"2026-11-01T00:00:00.5+00:00","ValidityEndTime":"2026-12-01T00:00:00Z","Fingerprint":"a"},
            {"Value":"MAMC","ValidityStartTime":1793491200.0,"ValidityEndTime":1796083200,"Fingerprint":"b"}]}"#;
        let keys = Keys::from_json(text.as_bytes(), "keys.json").unwrap();
        assert_eq!(keys.len(), 2);
        let (a, b) = (keys.get("a").unwrap(), keys.get("b").unwrap());
        assert_eq!(a.der, [0x30, 3, 2]);
        assert_eq!(a.from.unwrap().timestamp_millis(), 1_793_491_200_500);
        assert_eq!(b.from.unwrap().to_rfc3339(), "2026-11-01T00:00:00+00:00");
        assert_eq!(a.until, b.until);
    }

    #[test]
    fn what_is_no_list_is_said() {
        let error = Keys::from_json(b"{}", "keys.json").unwrap_err();
        assert!(
            error
                .message()
                .starts_with("keys.json: not a list of CloudTrail public keys: missing field")
        );
        assert!(error.help().unwrap().contains("list-public-keys"));
        let broken = br#"{"PublicKeyList":[{"Value":"%","Fingerprint":"abc"}]}"#;
        assert!(
            Keys::from_json(broken, "k")
                .unwrap_err()
                .message()
                .contains("the key abc")
        );
    }
}
