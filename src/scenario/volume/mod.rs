//! Volume without a story, for benchmarks: as many records as asked for, in
//! memory that does not grow with them.

mod names;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::cloudtrail::{Event, is_read};
use super::identity::{Session, service};
use super::output::compact;
use super::rng::Rng;
use super::workloads::object_access;
use super::{ACCOUNT, NAT_ADDRESS, REGION};

use self::names::NAMES;

const DEFAULT_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";
/// 2026-11-17T00:00:00Z
const START: i64 = 1_794_873_600;
const INTERFACES: u64 = 2_000;
const BUCKET: &str = "example-shared-data-111122223333";
/// How much text goes to the compressor at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Writes `records` flow records of the default format into `files` files below
/// `dir`, and returns the bytes of text.
///
/// Nearly every record has a source address, target address and target port of
/// its own, 8 in 100 are rejected, and 1 in 250 has no data or was skipped. A
/// record takes about 115 bytes. Foreign addresses are drawn from all of the
/// public space: the documentation ranges are too small for millions of pairs.
pub fn write_flow_volume(dir: &Path, files: u32, records: u64, seed: u64) -> io::Result<u64> {
    fs::create_dir_all(dir)?;
    let interfaces: Vec<(String, Ipv4Addr)> = (0..INTERFACES)
        .map(|number| {
            let id = format!("eni-0{}", Rng::stream(seed, "interface", number).hex(16));
            (id, Ipv4Addr::from(0x0a14_0000 + 257 + number as u32 * 7))
        })
        .collect();
    let mut total = 0;
    for file in 0..files {
        let mut rng = Rng::stream(seed, "flow volume", u64::from(file));
        let (count, begin) = share(records, files, file);
        let name = format!(
            "{ACCOUNT}_vpcflowlogs_{REGION}_fl-0{}_{}_{}.log.gz",
            Rng::stream(seed, "flow log", 0).hex(16),
            compact(begin),
            rng.hex(8)
        );
        let mut out = TextFile::create(&dir.join(name))?;
        out.text.extend_from_slice(DEFAULT_HEADER.as_bytes());
        for nth in 0..count {
            // Records of one file end within its share of the day, in order.
            let time = begin + (nth * seconds_of(files) / count.max(1)) as i64;
            flow_line(&interfaces, time, &mut rng, &mut out.text);
            out.flush_full()?;
        }
        total += out.finish()?;
    }
    Ok(total)
}

/// Writes `events` CloudTrail records into `files` files below `dir`, each one
/// line of `{"Records":[...]}`, and returns the bytes of text.
///
/// About 150 event names over all kinds of callers; a record takes about 1,400 bytes.
pub fn write_cloudtrail_volume(dir: &Path, files: u32, events: u64, seed: u64) -> io::Result<u64> {
    fs::create_dir_all(dir)?;
    let mut total = 0;
    for file in 0..files {
        let mut rng = Rng::stream(seed, "cloudtrail volume", u64::from(file));
        let (count, begin) = share(events, files, file);
        let name = format!(
            "{ACCOUNT}_CloudTrail_{REGION}_{}_{}.json.gz",
            compact(begin + seconds_of(files) as i64),
            rng.letters(16)
        );
        let mut out = TextFile::create(&dir.join(name))?;
        out.text.extend_from_slice(b"{\"Records\":[");
        for nth in 0..count {
            if nth > 0 {
                out.text.push(b',');
            }
            let time = begin + rng.below(seconds_of(files)) as i64;
            let record = event(seed, time, &mut rng).record(&mut rng);
            serde_json::to_writer(&mut out.text, &record)?;
            out.flush_full()?;
        }
        out.text.extend_from_slice(b"]}");
        total += out.finish()?;
    }
    Ok(total)
}

/// Records of this file, and the time it begins: the files divide one day.
fn share(records: u64, files: u32, file: u32) -> (u64, i64) {
    let upto = |file: u32| records * u64::from(file) / u64::from(files.max(1));
    let begin = START + (seconds_of(files) * u64::from(file)) as i64;
    (upto(file + 1) - upto(file), begin)
}

fn seconds_of(files: u32) -> u64 {
    86_400 / u64::from(files.clamp(1, 86_400))
}

/// A gzip file that is written in chunks and counts its text.
struct TextFile {
    text: Vec<u8>,
    gzip: GzEncoder<BufWriter<File>>,
    bytes: u64,
}

impl TextFile {
    fn create(path: &Path) -> io::Result<TextFile> {
        let file = BufWriter::new(File::create(path)?);
        Ok(TextFile {
            text: Vec::with_capacity(CHUNK_BYTES * 2),
            // The usual setting, as readers' speed depends on it.
            gzip: GzEncoder::new(file, Compression::default()),
            bytes: 0,
        })
    }

    fn flush_full(&mut self) -> io::Result<()> {
        if self.text.len() >= CHUNK_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.gzip.write_all(&self.text)?;
        self.bytes += self.text.len() as u64;
        self.text.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        self.gzip.finish()?.flush()?;
        Ok(self.bytes)
    }
}

fn flow_line(interfaces: &[(String, Ipv4Addr)], time: i64, rng: &mut Rng, text: &mut Vec<u8>) {
    let (eni, own) = rng.pick(interfaces);
    let start = time - 60 + rng.range(0, 10);
    if rng.below(250) == 0 {
        let status = if rng.percent(90) { "NODATA" } else { "SKIPDATA" };
        let _ = writeln!(text, "2 {ACCOUNT} {eni} - - - - - - - {start} {time} - {status}");
        return;
    }
    let foreign = public_address(rng);
    let ephemeral = 32_768 + rng.below(28_232);
    let known = *rng.pick(&[
        443, 443, 443, 443, 443, 80, 80, 53, 5432, 6379, 8080, 22, 25, 123, 3389, 8443,
    ]);
    let protocol = if matches!(known, 53 | 123) { 17 } else { 6 };
    let rejected = rng.percent(8);
    // A foreign request and its answer, or ours: only where the known port stands differs.
    let inward = rejected || rng.percent(50);
    let (from, to) = if inward { (foreign, *own) } else { (*own, foreign) };
    let (from_port, to_port) = if rejected || rng.percent(50) {
        (ephemeral, known)
    } else {
        (known, ephemeral)
    };
    let (packets, bytes) = if rejected {
        (1, 40 + rng.below(20))
    } else {
        let packets = rng.size(1, 5);
        (packets, packets * (52 + rng.below(600)))
    };
    let action = if rejected { "REJECT" } else { "ACCEPT" };
    // Writing to a Vec cannot fail.
    let _ = writeln!(
        text,
        "2 {ACCOUNT} {eni} {from} {to} {from_port} {to_port} {protocol} {packets} {bytes} {start} {time} {action} OK"
    );
}

fn public_address(rng: &mut Rng) -> Ipv4Addr {
    loop {
        let address = Ipv4Addr::from(rng.next() as u32);
        let [first, second, ..] = address.octets();
        let special = matches!(first, 0 | 10 | 127 | 224..) || (first == 100 && second & 0xc0 == 64);
        if !special && !address.is_private() && !address.is_link_local() {
            return address;
        }
    }
}

fn event(seed: u64, time: i64, rng: &mut Rng) -> Event {
    // A few names make most of the events.
    let rank = rng.below(NAMES.len() as u64) * rng.below(NAMES.len() as u64) / NAMES.len() as u64;
    let (service, name) = NAMES[rank as usize];
    let (identity, from) = identity(seed, time, rng);
    let internal = from.ends_with(".amazonaws.com");
    let agent = if internal {
        from.clone()
    } else {
        (*rng.pick(&AGENTS)).to_string()
    };
    let mut event = Event::new(time, service, name, identity).from(&from, &agent);
    event.internal = internal;
    event.data = matches!(service, "s3" | "dynamodb") && name.ends_with("Object") | name.ends_with("Item");
    event = with_parameters(event, rng);
    if event.data && rng.percent(60) {
        event.endpoint = Some(format!(
            "vpce-0{}",
            Rng::stream(seed, "endpoint", rng.below(6)).hex(16)
        ));
    }
    if rng.percent(6) {
        let code = *rng.pick(&[
            "AccessDenied",
            "ThrottlingException",
            "ResourceNotFoundException",
            "Client.UnauthorizedOperation",
        ]);
        let message = format!(
            "User is not authorized to perform: {service}:{name} because no identity-based policy allows the {service}:{name} action"
        );
        event = event.error(code, message);
    }
    event
}

const AGENTS: [&str; 7] = [
    "Boto3/1.40.51 md/Botocore#1.40.51 ua/2.1 os/linux#6.1.155 md/arch#x86_64 lang/python#3.13.8 md/pyimpl#CPython exec-env/AWS_ECS_FARGATE cfg/retry-mode#legacy",
    "aws-sdk-java/2.35.4 md/io#sync md/http#Apache ua/2.1 os/Linux#5.10.245 lang/java#21.0.8 exec-env/AWS_Lambda_java21 m/D",
    "aws-cli/2.31.18 md/awscrt#0.27.6 ua/2.1 os/macos#24.6.0 md/arch#arm64 lang/python#3.13.9 md/pyimpl#CPython",
    "aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.25.2 md/GOOS#linux md/GOARCH#arm64",
    "APN/1.0 HashiCorp/1.0 Terraform/1.13.3 (+https://www.terraform.io) terraform-provider-aws/6.15.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "[S3Console/0.4, aws-internal/3 aws-sdk-java/1.12.750 Linux/5.10.220 OpenJDK_64-Bit_Server_VM/17.0.11 java/17.0.11 vendor/N/A cfg/retry-mode/standard]",
];

/// A caller of any kind, and the address it calls from.
fn identity(seed: u64, time: i64, rng: &mut Rng) -> (Value, String) {
    let public = format!("198.51.100.{}", rng.below(255));
    let nth = rng.below(400);
    let mut known = Rng::stream(seed, "caller", nth);
    let role = *known.pick(&[
        "checkout-task",
        "payments-task",
        "worker-task",
        "etl",
        "ci-deploy",
        "auditor",
    ]);
    match rng.below(100) {
        0..50 => {
            let session = Session::new(seed, role, &known.hex(32), time - rng.range(60, 20_000));
            (session.identity(seed), NAT_ADDRESS.to_string())
        }
        50..64 => {
            let name = format!("i-0{}", known.hex(16));
            let mut session = Session::new(seed, "ecs-instance", &name, time - rng.range(60, 20_000));
            session.delivery = Some(if known.percent(5) { "1.0" } else { "2.0" });
            (
                session.identity(seed),
                format!("10.20.{}.{}", nth % 200, 1 + nth % 250),
            )
        }
        64..82 => {
            let by = *rng.pick(&[
                "ecs.amazonaws.com",
                "config.amazonaws.com",
                "autoscaling.amazonaws.com",
                "cloudtrail.amazonaws.com",
            ]);
            (service(by), by.to_string())
        }
        82..90 => {
            let user = ["anna", "bjorn", "deploy", "backup"][(nth % 4) as usize];
            let identity = json!({
                "type": "IAMUser",
                "principalId": format!("AIDA{}EXAMPLE", known.token(10)),
                "arn": format!("arn:aws:iam::{ACCOUNT}:user/{user}"),
                "accountId": ACCOUNT,
                "accessKeyId": format!("AKIA{}EXAMPLE", known.token(9)),
                "userName": user,
            });
            (identity, public)
        }
        90..95 => {
            let provider = "token.actions.githubusercontent.com";
            let identity = json!({
                "type": "WebIdentityUser",
                "principalId": format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{provider}:sts.amazonaws.com:repo:example/shop:ref:refs/heads/main"),
                "userName": "repo:example/shop:ref:refs/heads/main",
                "identityProvider": format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{provider}"),
            });
            (identity, public)
        }
        95..97 => (
            json!({"type": "AWSAccount", "principalId": format!("AIDA{}EXAMPLE", known.token(10)), "accountId": "444455556666"}),
            public,
        ),
        97..99 => (
            json!({"accountId": ACCOUNT, "invokedBy": "AWS Internal"}),
            "AWS Internal".to_string(),
        ),
        _ => (
            json!({"type": "Root", "principalId": ACCOUNT, "arn": format!("arn:aws:iam::{ACCOUNT}:root"), "accountId": ACCOUNT, "accessKeyId": ""}),
            public,
        ),
    }
}

/// Parameters of the sizes and shapes that real ones have.
fn with_parameters(event: Event, rng: &mut Rng) -> Event {
    let id = rng.hex(17);
    let mut event = match (event.service, event.name) {
        ("ecs", "RegisterTaskDefinition") => {
            let definition = definition(rng);
            let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/checkout:{}", rng.below(400));
            let answer = json!({"taskDefinition": {"taskDefinitionArn": arn, "status": "ACTIVE", "containerDefinitions": definition["containerDefinitions"], "registeredAt": "Nov 17, 2026, 9:12:35 AM"}});
            event.request(definition).response(answer)
        }
        ("ecs", _) => event.request(json!({
            "cluster": "prod",
            "service": *rng.pick(&["web", "api", "checkout", "search"]),
            "tasks": [format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/{}", rng.hex(32))],
            "include": ["TAGS"],
        })),
        ("ec2", _) => event.request(json!({
            "instancesSet": {"items": [{"instanceId": format!("i-0{}", rng.hex(16))}]},
            "filterSet": {"items": [
                {"name": "tag:Name", "valueSet": {"items": [{"value": format!("prod-{}", rng.below(90))}, {"value": "Straße \"7\"\\C"}]}},
                {"name": "vpc-id", "valueSet": {"items": [{"value": format!("vpc-0{}", rng.hex(16))}]}},
            ]},
        })),
        ("iam", _) => event.request(json!({
            "roleName": format!("app-{}", rng.below(60)),
            "policyDocument": "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{\n    \"Effect\": \"Allow\",\n    \"Action\": [\"s3:GetObject\", \"kms:Decrypt\"],\n    \"Resource\": \"arn:aws:s3:::example-data/*\"\n  }]\n}",
        })),
        ("s3", _) if event.data => {
            let key = format!("2026/11/17/export {} – naïve.csv", rng.below(100_000));
            object_access(event, BUCKET, &key, 4_096, rng)
        }
        ("s3", _) => event.request(json!({"bucketName": BUCKET, "Host": format!("s3.{REGION}.amazonaws.com"), "acl": ""})),
        ("sts", _) => event
            .request(json!({"roleArn": format!("arn:aws:iam::{ACCOUNT}:role/etl"), "roleSessionName": id, "durationSeconds": 3600}))
            .response(json!({
                "credentials": {"accessKeyId": format!("ASIA{}EXAMPLE", rng.token(9)), "sessionToken": rng.letters(300), "expiration": "Nov 17, 2026, 10:12:35 AM"},
                "assumedRoleUser": {"assumedRoleId": format!("AROA{}EXAMPLE:{id}", rng.token(10)), "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/etl/{id}")},
            })),
        ("kms", _) => event.request(json!({
            "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "encryptionContext": {"aws:s3:arn": format!("arn:aws:s3:::example-data/{}", rng.hex(12)), "note": "tab\there"},
        })),
        ("logs", _) => event.request(json!({
            "logGroupName": format!("/ecs/prod/{}", rng.below(40)),
            "filterPattern": "{ $.level = \"ERROR\" && $.ms > 500 }",
            "logStreamNames": [format!("ecs/web/{}", rng.hex(32)), format!("ecs/web/{}", rng.hex(32))],
        })),
        _ if rng.percent(30) => event,
        _ => event.request(json!({
            "name": format!("resource-{id}"),
            "maxResults": 100,
            "nextToken": rng.letters(64),
            "tags": [{"key": "Team", "value": *rng.pick(&["payments", "Größe", "платформа", "検索"])}],
        })),
    };
    if !is_read(event.name) && event.response.is_null() {
        event.response = json!({"requestId": rng.uuid(), "_return": true, "status": "ACTIVE", "arn": format!("arn:aws:{}:{REGION}:{ACCOUNT}:{}", event.service, rng.hex(24))});
    }
    if event.resources.is_null() && rng.percent(25) {
        event.resources = json!([{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{}", rng.uuid())}]);
    }
    event
}

/// A task definition with one to three containers.
fn definition(rng: &mut Rng) -> Value {
    let container = |rng: &mut Rng, nth: u64| {
        json!({
            "name": format!("container-{nth}"),
            "image": format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/checkout@sha256:{}", rng.hex(64)),
            "cpu": 256 << rng.below(3),
            "essential": nth == 0,
            "privileged": rng.below(500) == 0,
            "command": ["/bin/sh", "-c", "exec java -jar \"/srv/app.jar\" --opts='-Xmx512m'\n"],
            "environment": [
                {"name": "STAGE", "value": "prod"},
                {"name": "GREETING", "value": "Grüß Gott"},
                {"name": "PATTERN", "value": "C:\\logs\\*.txt"},
            ],
            "portMappings": [{"containerPort": 8080, "protocol": "tcp"}],
            "linuxParameters": {"capabilities": {"add": [], "drop": ["ALL"]}},
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/prod/checkout", "awslogs-region": REGION, "awslogs-stream-prefix": "ecs"}},
        })
    };
    let containers: Vec<Value> = (0..1 + rng.below(3)).map(|nth| container(rng, nth)).collect();
    json!({
        "family": "checkout",
        "taskRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/checkout-task"),
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "512",
        "memory": "1024",
        "containerDefinitions": containers,
    })
}
