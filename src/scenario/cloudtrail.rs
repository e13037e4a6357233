//! CloudTrail: the shape of one record, the files records are delivered in,
//! and the hourly digests over those files.
//!
//! Digests carry true SHA-256 values of the files and of each other. They are
//! not signed, because only AWS has the key: `previousDigestSignature` is null.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::estate::World;
use super::output::{Output, compact, day, format, gzip, iso};
use super::rng::Rng;
use super::{ACCOUNT, REGION};

/// AWS delivers every five minutes on average; a quarter of an hour keeps the demo's folder readable.
const FILE_SECONDS: i64 = 900;
/// From the end of a file's events to its delivery.
const DELAY_SECONDS: i64 = 250;
/// The Region where events of global services such as IAM are recorded.
pub(super) const GLOBAL_REGION: &str = "us-east-1";
pub(super) const TRAIL: &str = "org-audit";
pub(super) const TRAIL_BUCKET: &str = "example-audit-logs-111122223333";

/// A record before it has its ids.
pub(super) struct Event {
    pub time: i64,
    /// The service's short name, `ecs` for `ecs.amazonaws.com`.
    pub service: &'static str,
    pub name: &'static str,
    pub identity: Value,
    pub from: String,
    pub agent: String,
    pub request: Value,
    pub response: Value,
    pub error: Option<(&'static str, String)>,
    pub additional: Value,
    pub resources: Value,
    pub kind: &'static str,
    /// A data event, as opposed to a management event.
    pub data: bool,
    /// The VPC endpoint it came through.
    pub endpoint: Option<String>,
    pub from_console: bool,
    /// Made by an AWS service, and so without TLS details.
    pub internal: bool,
}

impl Event {
    pub fn new(time: i64, service: &'static str, name: &'static str, identity: Value) -> Event {
        Event {
            time,
            service,
            name,
            identity,
            from: String::new(),
            agent: String::new(),
            request: Value::Null,
            response: Value::Null,
            error: None,
            additional: Value::Null,
            resources: Value::Null,
            kind: "AwsApiCall",
            data: false,
            endpoint: None,
            from_console: false,
            internal: false,
        }
    }

    pub fn from(mut self, address: &str, agent: &str) -> Event {
        self.from = address.to_string();
        self.agent = agent.to_string();
        self
    }

    /// Made by an AWS service: it stands in the place of the address too.
    pub fn by_service(mut self, service: &str) -> Event {
        self.internal = true;
        self.from(service, service)
    }

    pub fn request(mut self, parameters: Value) -> Event {
        self.request = parameters;
        self
    }

    pub fn response(mut self, elements: Value) -> Event {
        self.response = elements;
        self
    }

    pub fn error(mut self, code: &'static str, message: String) -> Event {
        self.error = Some((code, message));
        self.response = Value::Null;
        self
    }

    pub fn resources(mut self, resources: Value) -> Event {
        self.resources = resources;
        self
    }

    pub fn region(&self) -> &'static str {
        if self.service == "iam" {
            GLOBAL_REGION
        } else {
            REGION
        }
    }

    /// The record as CloudTrail writes it, keys in its order.
    pub fn record(self, rng: &mut Rng) -> Value {
        let region = self.region();
        let mut record = json!({
            "eventVersion": version(self.service),
            "userIdentity": self.identity,
            "eventTime": iso(self.time),
            "eventSource": format!("{}.amazonaws.com", self.service),
            "eventName": self.name,
            "awsRegion": region,
            "sourceIPAddress": self.from,
            "userAgent": self.agent,
        });
        if let Some((code, message)) = self.error {
            record["errorCode"] = json!(code);
            record["errorMessage"] = json!(message);
        }
        record["requestParameters"] = self.request;
        record["responseElements"] = self.response;
        if !self.additional.is_null() {
            record["additionalEventData"] = self.additional;
        }
        record["requestID"] = match self.service {
            "s3" => json!(rng.token(16)),
            _ => json!(rng.uuid()),
        };
        record["eventID"] = json!(rng.uuid());
        record["readOnly"] = json!(is_read(self.name));
        if !self.resources.is_null() {
            record["resources"] = self.resources;
        }
        record["eventType"] = json!(self.kind);
        record["managementEvent"] = json!(!self.data);
        record["recipientAccountId"] = json!(ACCOUNT);
        if let Some(endpoint) = self.endpoint {
            record["vpcEndpointId"] = json!(endpoint);
            record["vpcEndpointAccountId"] = json!(ACCOUNT);
        }
        record["eventCategory"] = json!(if self.data { "Data" } else { "Management" });
        if !self.internal && self.kind == "AwsApiCall" {
            record["tlsDetails"] = json!({
                "tlsVersion": "TLSv1.3",
                "cipherSuite": "TLS_AES_128_GCM_SHA256",
                "clientProvidedHostHeader": host(self.service, region),
            });
        }
        if self.from_console {
            record["sessionCredentialFromConsole"] = json!("true");
        }
        record
    }
}

/// Collects records and writes them file by file, with a digest every hour.
pub(super) struct CloudTrailLogs<'a> {
    world: &'a World,
    /// The trail stops at this time; the event that stops it is still recorded.
    until: i64,
    files: BTreeMap<(i64, &'static str), Vec<(i64, String)>>,
    chains: BTreeMap<&'static str, Chain>,
    rng: Rng,
    pub events: u64,
    pub digests: u64,
}

/// The digests of one Region so far.
struct Chain {
    /// Files delivered since the last digest.
    delivered: Vec<Value>,
    next: i64,
    previous: Option<(String, String)>,
}

impl<'a> CloudTrailLogs<'a> {
    pub fn new(world: &'a World, until: i64) -> CloudTrailLogs<'a> {
        let chain = |region| {
            let chain = Chain {
                delivered: Vec::new(),
                next: world.start + 3600 + 331,
                previous: None,
            };
            (region, chain)
        };
        CloudTrailLogs {
            world,
            until,
            files: BTreeMap::new(),
            chains: [REGION, GLOBAL_REGION].map(chain).into(),
            rng: Rng::stream(world.seed, "cloudtrail files", 0),
            events: 0,
            digests: 0,
        }
    }

    pub fn add(&mut self, event: Event, rng: &mut Rng) {
        if event.time < self.world.start || event.time >= self.world.end || event.time > self.until {
            return;
        }
        let (time, region) = (event.time, event.region());
        let slot = time - time.rem_euclid(FILE_SECONDS);
        let record = event.record(rng).to_string();
        self.files.entry((slot, region)).or_default().push((time, record));
    }

    /// Writes every file whose events all lie before `before`.
    pub fn close(&mut self, before: i64, out: &mut Output) -> io::Result<()> {
        while let Some(entry) = self.files.first_entry() {
            let (slot, region) = *entry.key();
            if slot + FILE_SECONDS > before {
                break;
            }
            let records = entry.remove();
            self.write(slot, region, records, out)?;
        }
        Ok(())
    }

    /// The last digests, once nothing more comes.
    pub fn finish(&mut self, out: &mut Output) -> io::Result<()> {
        self.close(i64::MAX, out)?;
        let last = self.world.end.min(self.until) + FILE_SECONDS + DELAY_SECONDS;
        for region in [REGION, GLOBAL_REGION] {
            self.digest(region, last + 3600, out)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        slot: i64,
        region: &'static str,
        mut records: Vec<(i64, String)>,
        out: &mut Output,
    ) -> io::Result<()> {
        let delivered = slot + FILE_SECONDS + DELAY_SECONDS;
        self.digest(region, delivered, out)?;
        // Records of a file are in no order.
        self.rng.shuffle(&mut records);
        let mut text = String::from("{\"Records\":[");
        for (nth, (_, record)) in records.iter().enumerate() {
            if nth > 0 {
                text.push(',');
            }
            text.push_str(record);
        }
        text.push_str("]}");
        let key = format!(
            "AWSLogs/{ACCOUNT}/CloudTrail/{region}/{}/{ACCOUNT}_CloudTrail_{region}_{}_{}.json.gz",
            day(delivered),
            compact(delivered),
            self.rng.letters(16),
        );
        out.put(&key, &gzip(text.as_bytes())?)?;
        self.events += records.len() as u64;
        let times = || records.iter().map(|&(time, _)| time);
        let file = json!({
            "s3Bucket": TRAIL_BUCKET,
            "s3Object": key,
            "hashValue": sha256(text.as_bytes()),
            "hashAlgorithm": "SHA-256",
            "newestEventTime": times().max().map(iso),
            "oldestEventTime": times().min().map(iso),
        });
        if let Some(chain) = self.chains.get_mut(region) {
            chain.delivered.push(file);
        }
        Ok(())
    }

    /// Writes the digests due by `now`: one every hour, even over no file.
    fn digest(&mut self, region: &'static str, now: i64, out: &mut Output) -> io::Result<()> {
        let Some(chain) = self.chains.get_mut(region) else {
            return Ok(());
        };
        while chain.next <= now {
            let end = chain.next;
            let key = format!(
                "AWSLogs/{ACCOUNT}/CloudTrail-Digest/{region}/{}/\
                 {ACCOUNT}_CloudTrail-Digest_{region}_{TRAIL}_{REGION}_{}.json.gz",
                day(end),
                format(end, "%Y%m%dT%H%M%SZ"),
            );
            let files = std::mem::take(&mut chain.delivered);
            let limits = |field: &str| -> Vec<String> {
                let text = |file: &Value| file[field].as_str().map(str::to_string);
                files.iter().filter_map(text).collect()
            };
            let (previous_key, previous_hash) = chain.previous.take().unzip();
            let digest = json!({
                "awsAccountId": ACCOUNT,
                "digestStartTime": iso(end - 3600),
                "digestEndTime": iso(end),
                "digestS3Bucket": TRAIL_BUCKET,
                "digestS3Object": key,
                "digestPublicKeyFingerprint": Rng::stream(self.world.seed, region, 3).hex(32),
                "digestSignatureAlgorithm": "SHA256withRSA",
                "newestEventTime": limits("newestEventTime").iter().max(),
                "oldestEventTime": limits("oldestEventTime").iter().min(),
                "previousDigestS3Bucket": previous_key.as_ref().map(|_| TRAIL_BUCKET),
                "previousDigestS3Object": previous_key,
                "previousDigestHashValue": previous_hash,
                "previousDigestHashAlgorithm": previous_hash.as_ref().map(|_| "SHA-256"),
                "previousDigestSignature": null,
                "logFiles": files,
            })
            .to_string();
            out.put(&key, &gzip(digest.as_bytes())?)?;
            self.digests += 1;
            chain.previous = Some((key, sha256(digest.as_bytes())));
            chain.next += 3600;
        }
        Ok(())
    }
}

/// Whether an API only reads, by the names AWS gives them.
pub(super) fn is_read(name: &str) -> bool {
    [
        "Get",
        "List",
        "Describe",
        "BatchGet",
        "Head",
        "Assume",
        "Discover",
        "Decrypt",
        "GenerateDataKey",
        "Lookup",
        "Query",
        "Scan",
        "Simulate",
    ]
    .iter()
    .any(|verb| name.starts_with(verb))
}

/// Services move to newer versions of the record one by one.
fn version(service: &str) -> &'static str {
    match service {
        "s3" | "kms" | "ecs" | "dynamodb" => "1.11",
        "ec2" | "iam" | "ecr" => "1.10",
        "secretsmanager" | "ssm" | "cloudtrail" => "1.09",
        _ => "1.08",
    }
}

fn host(service: &str, region: &str) -> String {
    match service {
        "iam" => "iam.amazonaws.com".to_string(),
        "ecr" => format!("api.ecr.{region}.amazonaws.com"),
        service => format!("{service}.{region}.amazonaws.com"),
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
