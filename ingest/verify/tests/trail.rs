//! A trail of six hours in a store, signed or not.

use std::io::Write;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt, PutOptions};
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use trailhound_verify::{Keys, Place, Report, Settings, Window, verify};

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "eu-west-1";
pub const BUCKET: &str = "example-audit-logs";
pub const ONE: &[u8] = include_bytes!("data/one.pk8");
pub const TWO: &[u8] = include_bytes!("data/two.pk8");

pub fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

pub fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

/// How the trail is written.
pub struct Trail {
    pub store: Arc<InMemory>,
    pub key: RsaKeyPair,
    /// Digests are signed at all.
    pub signed: bool,
    /// The signature is also in the object's metadata.
    pub metadata: bool,
    /// Hours whose digest begins the chain anew.
    pub restarts: Vec<usize>,
    /// Keys of the logs and digests, by hour.
    pub logs: Vec<Vec<String>>,
    pub digests: Vec<String>,
    pub suffix: &'static str,
    previous: Option<(String, String, Option<String>)>,
}

impl Trail {
    /// Six hours: two logs each, none in the third. Hour n ends at n + 1 o'clock, 5 minutes, 31 seconds.
    pub async fn new(signed: bool, metadata: bool) -> Trail {
        let mut trail = Trail::empty(signed, metadata);
        trail.hours(0..6).await;
        trail
    }

    pub fn empty(signed: bool, metadata: bool) -> Trail {
        Trail {
            store: Arc::new(InMemory::new()),
            key: RsaKeyPair::from_pkcs8(ONE).unwrap(),
            signed,
            metadata,
            restarts: Vec::new(),
            logs: Vec::new(),
            digests: Vec::new(),
            suffix: "",
            previous: None,
        }
    }

    pub async fn hours(&mut self, hours: std::ops::Range<usize>) {
        for hour in hours {
            let start = at("2026-11-02T00:05:31Z") + TimeDelta::hours(hour as i64);
            let mut files = Vec::new();
            for nth in 0..(if hour == 2 { 0 } else { 2 }) {
                files.push(self.log(start + TimeDelta::minutes(10 + 20 * nth)).await);
            }
            self.logs.push(
                files
                    .iter()
                    .map(|file| file["s3Object"].as_str().unwrap().to_owned())
                    .collect(),
            );
            if self.restarts.contains(&hour) {
                self.previous = None;
            }
            self.digest(start, files).await;
        }
    }

    /// Puts a log and gives what a digest says of it.
    pub async fn log(&self, time: DateTime<Utc>) -> Value {
        let key = log_key(time);
        let text = format!("{{\"Records\":[{{\"eventTime\":\"{}\"}}]}}", time.to_rfc3339());
        self.put(&key, gzip(text.as_bytes(), 6)).await;
        json!({"s3Bucket": BUCKET, "s3Object": key, "hashValue": sha256(text.as_bytes()),
            "hashAlgorithm": "SHA-256", "newestEventTime": time.to_rfc3339(), "oldestEventTime": time.to_rfc3339()})
    }

    async fn digest(&mut self, start: DateTime<Utc>, files: Vec<Value>) {
        let end = start + TimeDelta::hours(1);
        let key = format!(
            "AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/{}/{ACCOUNT}_CloudTrail-Digest_{REGION}_org-audit_{REGION}_{}{}.json.gz",
            end.format("%Y/%m/%d"),
            end.format("%Y%m%dT%H%M%SZ"),
            self.suffix,
        );
        let (previous, hash, signature) = match self.previous.take() {
            Some((key, hash, signature)) => (Some(key), Some(hash), signature),
            None => (None, None, None),
        };
        let iso = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let digest = json!({
            "awsAccountId": ACCOUNT,
            "digestStartTime": iso(start),
            "digestEndTime": iso(end),
            "digestS3Bucket": BUCKET,
            "digestS3Object": key,
            "digestPublicKeyFingerprint": "one",
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": null,
            "oldestEventTime": null,
            "previousDigestS3Bucket": previous.as_ref().map(|_| BUCKET),
            "previousDigestS3Object": previous,
            "previousDigestHashValue": hash,
            "previousDigestHashAlgorithm": hash.as_ref().map(|_| "SHA-256"),
            "previousDigestSignature": signature,
            "logFiles": files,
        })
        .to_string();
        let hash = sha256(digest.as_bytes());
        let text = format!(
            "{}\n{BUCKET}/{key}\n{hash}\n{}",
            iso(end),
            signature.as_deref().unwrap_or("null")
        );
        let signature = self.signed.then(|| self.sign(text.as_bytes()));
        let mut attributes = Attributes::new();
        if let Some(signature) = signature.clone().filter(|_| self.metadata) {
            attributes.insert(Attribute::Metadata("signature".into()), signature.into());
            attributes.insert(
                Attribute::Metadata("signature-algorithm".into()),
                "SHA256withRSA".into(),
            );
        }
        self.put_with(&key, gzip(digest.as_bytes(), 6), attributes).await;
        self.digests.push(key.clone());
        self.previous = Some((key, hash, signature));
    }

    fn sign(&self, text: &[u8]) -> String {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &ring::rand::SystemRandom::new(),
                text,
                &mut signature,
            )
            .unwrap();
        hex(&signature)
    }

    pub async fn put(&self, key: &str, bytes: Vec<u8>) {
        self.put_with(key, bytes, Attributes::new()).await;
    }

    async fn put_with(&self, key: &str, bytes: Vec<u8>, attributes: Attributes) {
        let options = PutOptions::from(attributes);
        self.store
            .put_opts(&Path::from(key), bytes.into(), options)
            .await
            .unwrap();
    }

    pub async fn delete(&self, key: &str) {
        self.store.delete(&Path::from(key)).await.unwrap();
    }

    /// Uncompressed content and metadata.
    pub async fn get(&self, key: &str) -> (Vec<u8>, Attributes) {
        let result = self.store.get(&Path::from(key)).await.unwrap();
        let attributes = result.attributes.clone();
        let bytes = result.bytes().await.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut content).unwrap();
        (content, attributes)
    }

    /// Changes the text of an object and keeps its metadata.
    pub async fn edit(&self, key: &str, from: &str, to: &str) {
        let (content, attributes) = self.get(key).await;
        let text = String::from_utf8(content).unwrap();
        assert!(text.contains(from), "{text}");
        self.put_with(key, gzip(text.replacen(from, to, 1).as_bytes(), 6), attributes)
            .await;
    }

    /// Exchanges two objects, with their metadata.
    pub async fn swap(&self, a: &str, b: &str) {
        let (first, second) = (self.get(a).await, self.get(b).await);
        self.put_with(a, gzip(&second.0, 6), second.1).await;
        self.put_with(b, gzip(&first.0, 6), first.1).await;
    }

    pub async fn check(&self, keys: Option<&Keys>) -> Report {
        self.check_in(keys, Window::default()).await
    }

    pub async fn check_in(&self, keys: Option<&Keys>, window: Window) -> Report {
        let store: Arc<dyn ObjectStore> = Arc::clone(&self.store) as _;
        let place = Place {
            store,
            prefix: Path::default(),
            root: format!("s3://{BUCKET}"),
        };
        verify(&place, keys, window, &Settings::default(), &|_| {})
            .await
            .unwrap()
    }
}

pub fn log_key(time: DateTime<Utc>) -> String {
    format!(
        "AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/{}/{ACCOUNT}_CloudTrail_{REGION}_{}_abcdefgh12345678.json.gz",
        time.format("%Y/%m/%d"),
        time.format("%Y%m%dT%H%MZ"),
    )
}

/// The list of keys as the AWS CLI prints it, with the public half of `pkcs8` under the name `one`.
pub fn keys(fingerprint: &str, pkcs8: &[u8], from: &str, until: &str) -> Keys {
    use base64::Engine;
    let pair = RsaKeyPair::from_pkcs8(pkcs8).unwrap();
    let value = base64::engine::general_purpose::STANDARD.encode(pair.public_key().as_ref());
    let list = json!({"PublicKeyList": [{"Value": value, "ValidityStartTime": from,
        "ValidityEndTime": until, "Fingerprint": fingerprint}]});
    Keys::from_json(list.to_string().as_bytes(), "keys.json").unwrap()
}

pub fn good_keys() -> Keys {
    keys("one", ONE, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
}
