//! The promises of the module, read back from the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::OnceLock;

use chrono::TimeDelta;
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;

type Files = BTreeMap<String, Vec<u8>>;

/// Small enough for a debug build, long enough for the intrusion: noon to midnight.
fn small() -> Estate {
    Estate {
        start: Estate::default().start + TimeDelta::hours(12),
        hours: 12,
        services: 3,
        flows_per_service_hour: 5,
        calls_per_hour: 30,
        log_lines_per_service_hour: 8,
        ..Estate::default()
    }
}

fn quiet() -> Estate {
    Estate {
        intrusion: false,
        ..small()
    }
}

/// Key and bytes of every file.
fn written(estate: &Estate) -> io::Result<(Written, Files)> {
    let folder = tempfile::tempdir()?;
    let written = write(estate, folder.path())?;
    let mut files = BTreeMap::new();
    collect(folder.path(), folder.path(), &mut files)?;
    Ok((written, files))
}

/// [`written`] of [`small`], once for all tests.
fn shared() -> io::Result<&'static (Written, Files)> {
    static SMALL: OnceLock<Option<(Written, Files)>> = OnceLock::new();
    let known = SMALL.get_or_init(|| written(&small()).ok());
    known
        .as_ref()
        .ok_or_else(|| Error::other("the small estate could not be written"))
}

fn collect(root: &Path, folder: &Path, files: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let key = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            files.insert(key, fs::read(&path)?);
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text)?;
    Ok(text)
}

/// The text of all files below a folder of that name.
fn texts(files: &Files, folder: &str) -> io::Result<Vec<String>> {
    files
        .iter()
        .filter(|(key, _)| key.contains(folder) && key.ends_with(".gz"))
        .map(|(_, bytes)| text(bytes))
        .collect()
}

fn events(files: &Files) -> io::Result<Vec<Value>> {
    let mut all = Vec::new();
    for text in texts(files, "/CloudTrail/")? {
        assert!(!text.contains('\n'), "a CloudTrail file is one line");
        let mut file: Value = serde_json::from_str(&text)?;
        all.extend(
            file["Records"]
                .as_array_mut()
                .map(std::mem::take)
                .unwrap_or_default(),
        );
    }
    Ok(all)
}

#[test]
fn same_estate_same_files() -> io::Result<()> {
    let (_, first) = shared()?;
    let (_, second) = written(&small())?;
    assert!(*first == second);
    let other = Estate { seed: 7, ..small() };
    assert!(*first != written(&other)?.1);
    Ok(())
}

#[test]
fn files_lie_as_aws_lays_them() -> io::Result<()> {
    let (all, files) = shared()?;
    assert_eq!(all.files, files.len() as u64);
    assert_eq!(
        all.bytes,
        files.values().map(|bytes| bytes.len() as u64).sum::<u64>()
    );
    for key in files.keys() {
        let parts: Vec<&str> = key.split('/').collect();
        let ok = match parts[..] {
            ["AWSLogs", ACCOUNT, "vpcflowlogs", REGION, "2026", "11", day, name] => {
                name.starts_with("111122223333_vpcflowlogs_eu-west-1_fl-0")
                    && name.contains(&format!("_202611{day}T"))
                    && name.ends_with(".log.gz")
            }
            [
                "AWSLogs",
                ACCOUNT,
                folder @ ("CloudTrail" | "CloudTrail-Digest"),
                region,
                "2026",
                "11",
                day,
                name,
            ] => {
                name.starts_with(&format!("111122223333_{folder}_{region}_"))
                    && name.contains(&format!("_202611{day}T"))
                    && name.ends_with(".json.gz")
            }
            ["exportedlogs", task, stream, "000000.gz"] => {
                task.len() == 36
                    && stream.starts_with("ecs-")
                    && stream.rsplit('-').next().map(str::len) == Some(32)
            }
            ["exportedlogs", "aws-logs-write-test"] => true,
            _ => false,
        };
        assert!(ok, "{key}");
    }
    Ok(())
}

#[test]
fn counts_are_those_of_the_files() -> io::Result<()> {
    let (all, files) = shared()?;
    let flows = texts(files, "/vpcflowlogs/")?;
    let lines: usize = flows.iter().map(|text| text.lines().count() - 1).sum();
    assert_eq!(all.vpc_flow, lines as u64);
    assert_eq!(all.cloudtrail, events(files)?.len() as u64);
    let logs = texts(files, "exportedlogs/")?;
    // Only an event's first line begins with its time.
    let begins = |line: &&str| line.starts_with("2026-") && line.as_bytes().get(23) == Some(&b'Z');
    let events: usize = logs.iter().map(|text| text.lines().filter(begins).count()).sum();
    assert_eq!(all.container_logs, events as u64);
    assert_eq!(all.digests, texts(files, "/CloudTrail-Digest/")?.len() as u64);
    Ok(())
}

#[test]
fn flow_lines_match_their_header() -> io::Result<()> {
    let (_, files) = shared()?;
    let mut statuses = BTreeSet::new();
    for text in texts(files, "/vpcflowlogs/")? {
        assert!(!text.contains("169.254."), "link-local traffic is never captured");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(FLOW_LOG_HEADER));
        for line in lines {
            let fields: Vec<&str> = line.split(' ').collect();
            assert_eq!(fields.len(), FLOW_LOG_HEADER.split(' ').count(), "{line}");
            let number = |index: usize| fields[index].parse::<i64>().unwrap_or_default();
            assert!(number(11) - number(10) <= 600, "{line}");
            if fields[13] == "OK" {
                assert!(number(11) - number(10) < 60, "{line}");
                assert!(number(9) >= number(8) * 40, "{line}");
            }
            statuses.insert(format!("{} {}", fields[12], fields[13]));
        }
    }
    assert!(
        statuses.iter().eq(["- NODATA", "ACCEPT OK", "REJECT OK"]),
        "{statuses:?}"
    );
    Ok(())
}

#[test]
fn events_are_whole_and_distinct() -> io::Result<()> {
    let (_, files) = shared()?;
    let events = events(files)?;
    let ids: BTreeSet<&str> = events
        .iter()
        .filter_map(|event| event["eventID"].as_str())
        .collect();
    assert_eq!(ids.len(), events.len());
    for event in &events {
        for field in [
            "eventVersion",
            "eventTime",
            "eventSource",
            "eventName",
            "awsRegion",
            "sourceIPAddress",
        ] {
            assert!(event[field].is_string(), "{field} in {event}");
        }
    }
    let delivery = |of: &str| {
        let count = |event: &&Value| event["userIdentity"]["sessionContext"]["ec2RoleDelivery"] == of;
        events.iter().filter(count).count()
    };
    assert!(delivery("1.0") > 10 && delivery("2.0") > 10);
    Ok(())
}

#[test]
fn digests_are_true() -> io::Result<()> {
    let (_, files) = shared()?;
    let hash = |text: &str| -> String {
        Sha256::digest(text.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    let mut listed = 0;
    for region in [REGION, "us-east-1"] {
        let mut previous = Value::Null;
        for digest in texts(files, &format!("/CloudTrail-Digest/{region}/"))? {
            let fields: Value = serde_json::from_str(&digest)?;
            assert_eq!(fields["previousDigestHashValue"], previous);
            previous = hash(&digest).into();
            for file in fields["logFiles"].as_array().into_iter().flatten() {
                let key = file["s3Object"].as_str().unwrap_or_default();
                assert_eq!(file["hashValue"], hash(&text(&files[key])?));
                listed += 1;
            }
        }
    }
    assert_eq!(listed, texts(files, "/CloudTrail/")?.len());
    Ok(())
}

#[test]
fn the_truth_is_in_the_files() -> io::Result<()> {
    let (all, files) = shared()?;
    assert_eq!(all.truth.len(), 12);
    assert!(all.truth.is_sorted_by_key(|step| step.from));
    for step in &all.truth {
        let folder = match step.table {
            "vpc_flow" => "/vpcflowlogs/",
            "cloudtrail" => "/CloudTrail/",
            _ => "exportedlogs/",
        };
        let text = texts(files, folder)?.concat();
        for (name, value) in &step.entities {
            // Sizes and the name of a stream are not themselves in the text.
            if matches!(*name, "ports" | "hosts" | "bytes" | "log_stream")
                || folder == "exportedlogs/" && *name == "task_id"
            {
                continue;
            }
            for part in value.split(',') {
                assert!(text.contains(part), "{}: {name} {part}", step.what);
            }
        }
        let stream = step.entity("log_stream").unwrap_or_default();
        assert!(files.keys().any(|key| key.contains(stream)));
    }
    let stop = all
        .truth
        .last()
        .map(|step| step.until.format("%FT%TZ").to_string());
    let last = events(files)?
        .iter()
        .filter_map(|event| event["eventTime"].as_str().map(str::to_string))
        .max();
    assert_eq!(last, stop);
    Ok(())
}

#[test]
fn without_the_intrusion_nothing_of_it_shows() -> io::Result<()> {
    let (all, files) = written(&quiet())?;
    assert!(all.truth.is_empty());
    let text = texts(&files, "")?.concat();
    for trace in [
        "203.0.113.146",
        "203.0.113.177",
        "203.0.113.214",
        "169.254.",
        "2852039",
        "ExecuteCommand",
        "StopLogging",
        "DeleteFlowLogs",
        "alpine",
        "platform-ops",
        "AccessDenied",
    ] {
        assert!(!text.contains(trace), "{trace}");
    }
    Ok(())
}

#[test]
fn ordinary_life_is_the_same_until_then() -> io::Result<()> {
    let (_, with) = shared()?;
    let (_, without) = written(&quiet())?;
    let mut compared = 0;
    for (key, bytes) in with {
        // The half hours and quarters that end before the first step.
        if key.contains("T12") || key.contains("T13") || key.contains("T1430") && key.contains("vpcflow") {
            assert!(without.get(key) == Some(bytes), "{key}");
            compared += 1;
        }
    }
    assert!(compared > 10);
    Ok(())
}

#[test]
fn impossible_estates_are_refused() {
    for estate in [
        Estate { hours: 11, ..small() },
        Estate {
            services: 0,
            ..small()
        },
        Estate {
            services: SERVICES_MAX + 1,
            ..small()
        },
    ] {
        let folder = Path::new("never written");
        assert_eq!(
            write(&estate, folder).err().map(|error| error.kind()),
            Some(ErrorKind::InvalidInput)
        );
        assert!(!folder.exists());
    }
}

#[test]
fn every_size_works() -> io::Result<()> {
    for (hours, services) in [(1, 1), (3, 8), (50, 2)] {
        let estate = Estate {
            hours,
            services,
            intrusion: hours > 12,
            ..small()
        };
        let (all, _) = written(&estate)?;
        assert!(all.vpc_flow > 0 && all.cloudtrail > 0 && all.container_logs > 0);
    }
    Ok(())
}

#[test]
fn volumes_have_what_was_asked_for() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let flows = folder.path().join("flow");
    let trail = folder.path().join("trail");
    let flow_bytes = write_flow_volume(&flows, 3, 1_000, 1)?;
    let trail_bytes = write_cloudtrail_volume(&trail, 2, 501, 1)?;
    let mut files = BTreeMap::new();
    collect(&flows, &flows, &mut files)?;
    let lines: Vec<String> = texts(&files, "")?.concat().lines().map(str::to_string).collect();
    assert_eq!(files.len(), 3);
    assert_eq!(lines.len(), 1_003);
    assert!(lines.iter().all(|line| line.split(' ').count() == 14));
    assert_eq!(
        lines.iter().map(|line| line.len() as u64 + 1).sum::<u64>(),
        flow_bytes
    );
    files.clear();
    collect(&trail, &trail, &mut files)?;
    let mut events = 0;
    let mut bytes = 0;
    for text in texts(&files, "")? {
        let file: Value = serde_json::from_str(&text)?;
        events += file["Records"].as_array().map_or(0, Vec::len);
        bytes += text.len() as u64;
    }
    assert_eq!((files.len(), events, bytes), (2, 501, trail_bytes));
    Ok(())
}
