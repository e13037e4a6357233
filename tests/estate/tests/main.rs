//! The generated files, read by the program's own parsers, against the truth beside them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use tempfile::TempDir;
use trailhound_ingest::formats::{Setup, format_named};
use trailhound_ingest::reader::{Limits, read_all};
use trailhound_test_estate::truth::{Attack, Owner, Truth};
use trailhound_test_estate::{FlowFormat, Options, Summary, generate};

struct Estate {
    folder: TempDir,
    summary: Summary,
    truth: Truth,
}

fn small() -> Options {
    Options {
        days: 3,
        services: 8,
        tasks_a_day: 80,
        flow_records_a_day: 100_000,
        seed: 11,
        ..Options::default()
    }
}

fn estate(options: &Options) -> Estate {
    let folder = TempDir::new().unwrap();
    let summary = generate(folder.path(), options).unwrap();
    let truth = Truth::read(folder.path()).unwrap();
    Estate {
        folder,
        summary,
        truth,
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path)
            } else {
                found.push(path)
            }
        }
    }
    found.sort();
    found
}

/// All rows of a table, and how many of them there are. Nothing may be rejected.
fn rows(estate: &Estate, table: &str, folder: &str) -> (Vec<RecordBatch>, u64) {
    let format = format_named(table).unwrap();
    let (mut all, mut count) = (Vec::new(), 0);
    for path in files(estate.folder.path()) {
        let name = path.to_string_lossy().into_owned();
        if !name.contains(folder) {
            continue;
        }
        let parser = format.parser(Setup::whole(format, &name)).unwrap();
        let bytes = fs::read(&path).unwrap();
        let (batches, tally) = read_all(parser, Limits::default(), bytes).unwrap();
        assert_eq!(tally.rejected, 0, "{name}: {:?}", tally.rejects.first());
        count += tally.rows;
        all.extend(batches);
    }
    (all, count)
}

fn text<'a>(batch: &'a RecordBatch, column: &str, row: usize) -> Option<&'a str> {
    let column = batch.column_by_name(column).unwrap().as_string_view();
    column.is_valid(row).then(|| column.value(row))
}

fn long(batch: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    let column = batch.column_by_name(column).unwrap().as_primitive::<Int64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn int(batch: &RecordBatch, column: &str, row: usize) -> Option<i32> {
    let column = batch.column_by_name(column).unwrap().as_primitive::<Int32Type>();
    column.is_valid(row).then(|| column.value(row))
}

struct Flow {
    interface: String,
    ends: [String; 2],
    ports: (i32, i32),
    protocol: i32,
    packets: i64,
    bytes: i64,
    span: (i64, i64),
    accepted: bool,
    flags: Option<i32>,
    egress: Option<bool>,
    ecs_service: Option<String>,
    ecs_task: Option<String>,
}

fn flows(estate: &Estate) -> (Vec<Flow>, u64) {
    let (batches, _) = rows(estate, "vpc_flow", "vpcflowlogs");
    let (mut all, mut idle) = (Vec::new(), 0);
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let owned = |column: &str| text(batch, column, row).map(str::to_owned);
            if owned("log_status").unwrap() != "OK" {
                idle += 1;
                continue;
            }
            all.push(Flow {
                interface: owned("interface_id").unwrap(),
                ends: [owned("srcaddr").unwrap(), owned("dstaddr").unwrap()],
                ports: (
                    int(batch, "srcport", row).unwrap(),
                    int(batch, "dstport", row).unwrap(),
                ),
                protocol: int(batch, "protocol", row).unwrap(),
                packets: long(batch, "packets", row).unwrap(),
                bytes: long(batch, "bytes", row).unwrap(),
                span: (
                    long(batch, "start", row).unwrap(),
                    long(batch, "end", row).unwrap(),
                ),
                accepted: text(batch, "action", row) == Some("ACCEPT"),
                flags: int(batch, "tcp_flags", row),
                egress: text(batch, "flow_direction", row).map(|direction| direction == "egress"),
                ecs_service: owned("ecs_service_name"),
                ecs_task: owned("ecs_task_id"),
            });
        }
    }
    (all, idle)
}

fn by_interface(truth: &Truth) -> HashMap<&str, &Owner> {
    truth
        .owners
        .iter()
        .map(|owner| (owner.interface.as_str(), owner))
        .collect()
}

fn in_vpc(address: &str) -> bool {
    address.parse::<Ipv4Addr>().unwrap().octets()[..2] == [10, 20]
}

#[test]
fn flow_records_are_true_and_none_is_lost() {
    let estate = estate(&Options {
        flow_format: FlowFormat::Ecs,
        ..small()
    });
    let (flows, idle) = flows(&estate);
    assert_eq!(flows.len() as u64, estate.summary.flow_records);
    assert_eq!(idle, estate.summary.idle_lines);
    let per_day = flows.len() / 3;
    assert!(
        (75_000..115_000).contains(&per_day),
        "{per_day} a day, 100,000 on weekdays wanted"
    );
    let per_record = estate.summary.flow_bytes / estate.summary.flow_records;
    assert!((300..750).contains(&per_record), "{per_record} bytes a record");

    let own = by_interface(&estate.truth);
    let (mut named, mut peers) = (0, 0);
    for flow in &flows {
        let owner = own[flow.interface.as_str()];
        let (start, end) = flow.span;
        assert!(start <= end && end - start < 60, "{start} to {end}");
        assert!(
            owner.from <= start && owner.to.is_none_or(|to| end <= to),
            "{} at {start}",
            flow.interface
        );
        let outgoing = flow.ends[0] == owner.address;
        assert!(outgoing || flow.ends[1] == owner.address);
        assert_eq!(flow.egress, Some(outgoing));
        let size = flow.bytes as f64 / flow.packets as f64;
        assert!((28.0..=9001.0).contains(&size), "{size} bytes a packet");
        assert!([1, 6, 17].contains(&flow.protocol));
        assert!(
            flow.flags
                .is_some_and(|flags| [0, 1, 2, 3, 18, 19].contains(&flags))
        );
        // The other end is somebody, if it is in the VPC at all.
        let other = &flow.ends[usize::from(outgoing)];
        if in_vpc(other) {
            assert!(estate.truth.owner(other, start).is_some(), "{other} at {start}");
            peers += 1;
        }
        if let Some(task) = &flow.ecs_task {
            assert_eq!(Some(task), owner.task.as_ref());
            let service = owner.workload.as_ref().filter(|_| owner.service);
            assert_eq!(flow.ecs_service.as_ref(), service);
            named += 1;
        }
    }
    assert!(
        named * 10 > flows.len() * 3 && peers * 2 > flows.len(),
        "{named} and {peers} of {}",
        flows.len()
    );
    let refused = flows.iter().filter(|flow| !flow.accepted).count();
    assert!(refused > 10_000, "{refused} of the internet's noise");
}

#[test]
fn both_ends_of_a_connection_tell_the_same() {
    let estate = estate(&Options { days: 1, ..small() });
    let own = by_interface(&estate.truth);
    let (flows, _) = flows(&estate);
    // Bytes of each direction of each five-tuple, by the interface that saw them.
    type Tuple<'a> = (&'a [String; 2], (i32, i32), i32);
    let mut sums: HashMap<Tuple<'_>, BTreeMap<&str, (i64, i64)>> = HashMap::new();
    for flow in flows.iter().filter(|flow| flow.accepted) {
        let owner = own[flow.interface.as_str()];
        let ends_late = flow.span.1 > estate.truth.estate.end - 7200;
        if flow.ends.iter().all(|address| in_vpc(address)) && owner.owner != "nat" && !ends_late {
            let sum = sums.entry((&flow.ends, flow.ports, flow.protocol)).or_default();
            let sum = sum.entry(flow.interface.as_str()).or_default();
            sum.0 += flow.bytes;
            sum.1 += 1;
        }
    }
    let mut compared = 0;
    for (tuple, sides) in &sums {
        // One window's bytes may be rounded up to whole packets on one side only.
        if let [a, b] = sides.values().copied().collect::<Vec<_>>()[..] {
            let slack = (a.1 + b.1) * 200 + a.0 / 5;
            assert!((a.0 - b.0).abs() <= slack, "{tuple:?}: {sides:?}");
            compared += 1;
        }
    }
    assert!(compared > 1000, "{compared} connections logged at both ends");
}

#[test]
fn addresses_are_used_again_by_other_services() {
    let estate = estate(&small());
    let reused = estate
        .truth
        .reuse()
        .into_iter()
        .filter(|(_, owners)| *owners > 1)
        .count();
    let tasks = estate
        .truth
        .owners
        .iter()
        .filter(|owner| owner.owner == "task")
        .count();
    let addresses: HashSet<_> = estate
        .truth
        .owners
        .iter()
        .filter(|owner| owner.owner == "task")
        .map(|owner| &owner.address)
        .collect();
    // Fewer than a third as many addresses as tasks.
    assert!(tasks > 180, "{tasks} tasks");
    assert!(
        addresses.len() * 3 < tasks,
        "{tasks} tasks on {} addresses",
        addresses.len()
    );
    assert!(
        reused * 2 > addresses.len(),
        "{reused} of {} used again",
        addresses.len()
    );
    // Never two at a time, and often soon after each other.
    let mut by_address: BTreeMap<&str, Vec<&Owner>> = BTreeMap::new();
    for owner in &estate.truth.owners {
        by_address.entry(&owner.address).or_default().push(owner);
    }
    let (mut soon, mut others) = (0, 0);
    for owners in by_address.values_mut() {
        owners.sort_by_key(|owner| owner.from);
        for pair in owners.windows(2) {
            let gone = pair[0].to.unwrap();
            assert!(gone < pair[1].from, "{pair:?}");
            soon += usize::from(pair[1].from - gone < 300);
            others += usize::from(pair[0].workload != pair[1].workload);
        }
    }
    assert!(soon > 8, "{soon} within five minutes");
    assert!(others > 100, "{others} by another workload");
}

#[test]
fn ecs_events_tell_the_truth_and_lose_what_they_are_told_to() {
    let whole = estate(&small());
    let (batches, count) = rows(&whole, "ecs_events", "ecs-events");
    assert_eq!(count, whole.summary.ecs_events);
    let own: HashMap<_, _> = whole
        .truth
        .owners
        .iter()
        .filter_map(|owner| Some((owner.task.as_deref()?, owner)))
        .collect();
    let (mut running, mut stopped, mut bridge) = (HashSet::new(), HashSet::new(), 0);
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let (Some(task), Some(status)) = (text(batch, "task_id", row), text(batch, "last_status", row))
            else {
                continue;
            };
            let Some(owner) = own.get(task) else {
                assert_eq!(text(batch, "eni_id", row), None);
                bridge += 1;
                continue;
            };
            if status != "PROVISIONING" {
                assert_eq!(text(batch, "eni_id", row), Some(owner.interface.as_str()));
                assert_eq!(text(batch, "private_ip", row), Some(owner.address.as_str()));
            }
            let service = owner.workload.as_deref().filter(|_| owner.service);
            assert_eq!(text(batch, "service_name", row), service);
            assert_eq!(
                text(batch, "task_definition_arn", row),
                owner.task_definition.as_deref()
            );
            match status {
                "RUNNING" => running.insert(task.to_owned()),
                "STOPPED" => stopped.insert(task.to_owned()),
                _ => false,
            };
        }
    }
    assert_eq!(running.len(), own.len(), "every task came to run");
    let ended = whole
        .truth
        .owners
        .iter()
        .filter(|owner| owner.task.is_some() && owner.to.is_some())
        .count();
    assert_eq!(stopped.len(), ended);
    assert!(bridge > 30, "{bridge} events of tasks in bridge mode");

    let lossy = estate(&Options {
        drop_events: 5,
        ..small()
    });
    let all = lossy.summary.ecs_events + lossy.summary.dropped_events;
    let percent = lossy.summary.dropped_events as f64 * 100.0 / all as f64;
    assert!((3.5..6.5).contains(&percent), "{percent}% dropped");
    assert_eq!(
        rows(&lossy, "ecs_events", "ecs-events").1,
        lossy.summary.ecs_events
    );
    assert_eq!(lossy.truth.owners, whole.truth.owners);
}

#[test]
fn cloudtrail_knows_the_tasks_by_their_sessions() {
    let estate = estate(&small());
    let (batches, count) = rows(&estate, "cloudtrail", "/CloudTrail/");
    assert_eq!(count, estate.summary.cloudtrail);
    let own: HashMap<_, _> = estate
        .truth
        .owners
        .iter()
        .map(|owner| (owner.interface.as_str(), owner))
        .collect();
    let mut names: BTreeMap<String, u64> = BTreeMap::new();
    let mut made = 0;
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let name = text(batch, "event_name", row).unwrap();
            *names.entry(name.to_owned()).or_default() += 1;
            if name == "CreateNetworkInterface" {
                let response: serde_json::Value =
                    serde_json::from_str(text(batch, "response_elements", row).unwrap()).unwrap();
                let made_one = &response["networkInterface"];
                let owner = own[made_one["networkInterfaceId"].as_str().unwrap()];
                assert_eq!(made_one["privateIpAddress"], owner.address.as_str());
                made += 1;
            }
        }
    }
    let tasks = estate
        .truth
        .owners
        .iter()
        .filter(|owner| owner.owner == "task")
        .count();
    assert_eq!(made, tasks, "an interface for each task");
    for name in ["RegisterTaskDefinition", "UpdateService", "RunTask", "AssumeRole"] {
        assert!(
            names.get(name).is_some_and(|count| *count > 10),
            "{name}: {names:?}"
        );
    }
    assert_eq!(names["RegisterTaskDefinition"], names["UpdateService"]);
}

#[test]
fn dual_stack_changes_addresses_and_nothing_else() {
    let options = Options {
        days: 1,
        flow_format: FlowFormat::V5,
        ..small()
    };
    let plain = estate(&options);
    let dual = estate(&Options {
        dual_stack: 100,
        ..options
    });
    let without = |owner: &Owner| Owner {
        address6: None,
        ..owner.clone()
    };
    assert!(plain.truth.owners.iter().all(|owner| owner.address6.is_none()));
    assert_eq!(
        plain.truth.owners,
        dual.truth.owners.iter().map(without).collect::<Vec<_>>()
    );
    for owner in &dual.truth.owners {
        let is_service = owner.owner == "task" && owner.service;
        assert_eq!(owner.address6.is_some(), is_service, "{owner:?}");
    }
    // Used again as the IPv4 addresses are.
    let reuse: HashMap<_, _> = dual.truth.reuse().into_iter().collect();
    assert!(
        reuse
            .iter()
            .any(|(address, owners)| address.contains(':') && *owners > 1)
    );

    let own = by_interface(&dual.truth);
    let is_dual = |address: &str, time: i64| {
        let owner = dual.truth.owner(address, time);
        owner.is_some_and(|owner| owner.address6.is_some())
    };
    let ((before, _), (after, _)) = (flows(&plain), flows(&dual));
    assert_eq!(before.len(), after.len());
    let (mut over_v6, mut could) = (0, 0);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (&before.interface, before.ports, before.span),
            (&after.interface, after.ports, after.span)
        );
        let start = after.span.0;
        let both = before.ends.iter().all(|address| is_dual(address, start));
        could += usize::from(both);
        if before.ends == after.ends {
            continue;
        }
        assert!(both, "{:?} is {:?}", before.ends, after.ends);
        over_v6 += 1;
        for (before, after) in before.ends.iter().zip(&after.ends) {
            assert_eq!(dual.truth.owner(after, start).unwrap().address, *before);
        }
        let address = own[after.interface.as_str()].address6.as_ref().unwrap();
        assert_eq!(after.egress, Some(after.ends[0] == *address));
    }
    assert!(
        over_v6 * 10 > could * 4 && over_v6 * 10 < could * 6 && could > 1000,
        "{over_v6} of {could} that could go over IPv6"
    );

    let (batches, _) = rows(&dual, "vpc_flow", "vpcflowlogs");
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let Some(source) = text(batch, "srcaddr", row) else {
                continue;
            };
            let is_v6 = source.contains(':');
            assert_eq!(
                text(batch, "type", row),
                Some(if is_v6 { "IPv6" } else { "IPv4" })
            );
            let of_packets = ["pkt_srcaddr", "pkt_dstaddr"].map(|column| text(batch, column, row).unwrap());
            assert!(of_packets.iter().all(|address| address.contains(':') == is_v6));
        }
    }
}

#[test]
fn ecs_and_cloudtrail_know_both_addresses() {
    let estate = estate(&Options {
        days: 1,
        dual_stack: 100,
        ..small()
    });
    let own = by_interface(&estate.truth);
    let json = |text: Option<&str>| serde_json::from_str::<serde_json::Value>(text.unwrap()).unwrap();
    let (mut dual, mut single) = (0, 0);
    for batch in &rows(&estate, "ecs_events", "ecs-events").0 {
        for row in 0..batch.num_rows() {
            let Some(interface) = text(batch, "eni_id", row) else {
                continue;
            };
            let detail = json(text(batch, "detail", row));
            let attached = detail["attachments"][0]["details"].as_array().unwrap();
            let attached = attached
                .iter()
                .find(|pair| pair["name"] == "privateIPv6Address")
                .map(|pair| &pair["value"]);
            let expected = own[interface].address6.as_deref();
            assert_eq!(attached.and_then(|value| value.as_str()), expected);
            let container = &detail["containers"][0]["networkInterfaces"][0];
            assert_eq!(container["ipv6Address"].as_str(), expected);
            match expected {
                Some(_) => dual += 1,
                None => single += 1,
            }
        }
    }
    assert!(dual > 100 && single > 50, "{dual} and {single}");
    let mut made = 0;
    for batch in &rows(&estate, "cloudtrail", "/CloudTrail/").0 {
        for row in 0..batch.num_rows() {
            if text(batch, "event_name", row) != Some("CreateNetworkInterface") {
                continue;
            }
            let made_one = &json(text(batch, "response_elements", row))["networkInterface"];
            let owner = own[made_one["networkInterfaceId"].as_str().unwrap()];
            let address = &made_one["ipv6AddressesSet"]["item"][0]["ipv6Address"];
            assert_eq!(address.as_str(), owner.address6.as_deref());
            made += usize::from(address.is_string());
        }
    }
    assert!(made > 20, "{made} interfaces with IPv6");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let options = Options {
        days: 2,
        attacks: true,
        beacons: true,
        ..small()
    };
    let bytes = |estate: &Estate| -> BTreeMap<PathBuf, Vec<u8>> {
        let root = estate.folder.path();
        let relative = |path: PathBuf| {
            (
                path.strip_prefix(root).unwrap().to_path_buf(),
                fs::read(path).unwrap(),
            )
        };
        files(root).into_iter().map(relative).collect()
    };
    let first = bytes(&estate(&options));
    assert!(first == bytes(&estate(&options)));
    let other = bytes(&estate(&Options { seed: 12, ..options }));
    assert!(first.keys().collect::<BTreeSet<_>>() != other.keys().collect());
}

#[test]
fn default_fields_and_wide_windows() {
    let options = Options {
        flow_format: FlowFormat::V2,
        aggregation: 600,
        days: 2,
        ..small()
    };
    let estate = estate(&options);
    let (flows, _) = flows(&estate);
    assert!(
        flows
            .iter()
            .all(|flow| flow.flags.is_none() && flow.egress.is_none() && flow.ecs_task.is_none())
    );
    let longest = flows.iter().map(|flow| flow.span.1 - flow.span.0).max().unwrap();
    assert_eq!(longest, 599);
    let per_record = estate.summary.flow_bytes / estate.summary.flow_records;
    assert!((90..130).contains(&per_record), "{per_record} bytes a record");
}

/// Flow lines, without those of attacked interfaces at muted times.
fn lines(estate: &Estate) -> HashSet<String> {
    use std::io::Read;
    let mut all = HashSet::new();
    for path in files(estate.folder.path()) {
        if path.to_string_lossy().contains("vpcflowlogs") {
            let mut text = String::new();
            let file = fs::File::open(path).unwrap();
            flate2::read::GzDecoder::new(file)
                .read_to_string(&mut text)
                .unwrap();
            all.extend(
                text.lines()
                    .filter(|line| line.ends_with(char::is_numeric) || line.contains(" OK "))
                    .map(str::to_owned),
            );
        }
    }
    all
}

#[test]
fn attacks_leave_ordinary_days_as_they_are() {
    let quiet = estate(&small());
    let loud = estate(&Options {
        attacks: true,
        ..small()
    });
    assert_eq!(loud.summary.attacks, 75);
    assert_eq!(quiet.truth.owners, loud.truth.owners);
    let (before, after) = (lines(&quiet), lines(&loud));
    let silenced: Vec<&Attack> = loud
        .truth
        .attacks
        .iter()
        .filter(|attack| ["net-eni-silent", "net-skipdata"].contains(&attack.rule.as_str()))
        .collect();
    for gone in before.difference(&after) {
        let interface = gone.split(' ').nth(2).unwrap();
        assert!(
            silenced
                .iter()
                .any(|attack| attack.entities.iter().any(|entity| entity == interface)),
            "gone without a reason: {gone}"
        );
    }
    assert!(after.difference(&before).count() > 20_000);
}

#[test]
fn attacks_are_what_they_say() {
    let estate = estate(&Options {
        attacks: true,
        days: 5,
        ..small()
    });
    let (flows, _) = flows(&estate);
    let own = by_interface(&estate.truth);
    let attack = |rule: &str, strength: u8| {
        let found = estate
            .truth
            .attacks
            .iter()
            .find(|attack| attack.rule == rule && attack.strength == strength);
        found.unwrap_or_else(|| panic!("{rule} at strength {strength}"))
    };
    let rules: BTreeSet<_> = estate
        .truth
        .attacks
        .iter()
        .map(|attack| attack.rule.as_str())
        .collect();
    assert_eq!(rules.len(), 25);
    let during = |attack: &Attack| {
        let names: HashSet<String> = attack.entities.iter().cloned().collect();
        let (from, to) = (attack.from, attack.to);
        flows
            .iter()
            .filter(|flow| flow.span.0 >= from && flow.span.1 <= to)
            .filter(|flow| names.contains(&flow.interface) && own[flow.interface.as_str()].owner == "task")
            .collect::<Vec<_>>()
    };
    for strength in 1..=3 {
        for attack in estate
            .truth
            .attacks
            .iter()
            .filter(|attack| attack.strength == strength)
        {
            assert!(attack.from >= estate.truth.estate.attacks_from, "{attack:?}");
            assert!(attack.entities.contains(&attack.workload), "{attack:?}");
        }
        // Out to one foreign host, far more than comes back.
        let exfil = attack("net-exfil-new-dest", strength);
        let peers: Vec<_> = exfil
            .entities
            .iter()
            .filter(|entity| entity.parse::<Ipv4Addr>().is_ok_and(|_| !in_vpc(entity)))
            .collect();
        let [peer] = peers[..] else { panic!("{peers:?}") };
        let sum = |end: usize| {
            during(exfil)
                .iter()
                .filter(|flow| flow.ends[end] == *peer)
                .map(|flow| flow.bytes)
                .sum::<i64>()
        };
        assert!(
            sum(1) >= 100_000_000 && sum(1) > 50 * sum(0),
            "{} out, {} back",
            sum(1),
            sum(0)
        );

        let beacon = attack("net-beacon", strength);
        let calls = during(beacon)
            .iter()
            .filter(|flow| flow.flags.is_some_and(|flags| flags & 18 == 2) && flow.egress == Some(true))
            .filter(|flow| beacon.entities.contains(&flow.ends[1]) && !in_vpc(&flow.ends[1]))
            .count();
        assert!(calls >= 24, "{calls} calls of a beacon of strength {strength}");

        let sweep = attack("net-scan-horizontal", strength);
        let tried: HashSet<_> = during(sweep)
            .iter()
            .filter(|flow| flow.flags == Some(2) && flow.egress == Some(true) && in_vpc(&flow.ends[1]))
            .map(|flow| &flow.ends[1])
            .collect();
        assert!(tried.len() >= 15, "{} hosts tried", tried.len());

        let ports = attack("net-scan-vertical", strength);
        let tried: HashSet<_> = during(ports)
            .iter()
            .filter(|flow| flow.flags == Some(2))
            .map(|flow| flow.ports.1)
            .collect();
        assert!(tried.len() >= 20, "{} ports tried", tried.len());

        let silent = attack("net-eni-silent", strength);
        assert!(silent.to - silent.from >= 5400 && during(silent).is_empty());
    }
    let (batches, _) = rows(&estate, "vpc_flow", "vpcflowlogs");
    let skipped: usize = batches
        .iter()
        .map(|batch| {
            (0..batch.num_rows())
                .filter(|row| text(batch, "log_status", *row) == Some("SKIPDATA"))
                .count()
        })
        .sum();
    assert_eq!(skipped, 3 + 8 + 25);
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("mine"), "x").unwrap();
    let refused = generate(folder.path(), &small()).unwrap_err().to_string();
    assert!(refused.contains("is not empty"), "{refused}");
    assert_eq!(files(folder.path()).len(), 1);
}
