//! The whole way, day by day: memory does not grow with the days.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::attacks::{self, Implant};
use crate::cloudtrail::{Trail, elastic_ip};
use crate::events::Events;
use crate::flow::FlowLogs;
use crate::network::{AWS_RANGES, VPC_BASE, VPC_BASE_V6, published_ranges, stranger};
use crate::options::Options;
use crate::output::Output;
use crate::plan::{self, Plan, is_weekend};
use crate::rng::Rng;
use crate::traffic::Traffic;
use crate::truth::{Estate, Line, Owner, WorkloadTruth, Writer};
use crate::workloads::{Mode, Role};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Tasks that started.
    pub tasks: u64,
    /// Flow records with data.
    pub flow_records: u64,
    /// `NODATA` and `SKIPDATA` lines.
    pub idle_lines: u64,
    /// Bytes of flow log text, before compression.
    pub flow_bytes: u64,
    /// ECS events, those that come twice counted twice.
    pub ecs_events: u64,
    /// ECS events that never arrive.
    pub dropped_events: u64,
    /// CloudTrail records.
    pub cloudtrail: u64,
    /// Attacks.
    pub attacks: u64,
    /// Files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Writes the estate that `options` describes into `folder`, which must be empty or absent.
///
/// # Errors
/// The folder is not empty, or cannot be written.
pub fn generate(folder: &Path, options: &Options) -> Result<Summary> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let empty = fs::read_dir(folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .next()
        .is_none();
    ensure!(empty, "{} is not empty: name a new folder", folder.display());
    let plan = Plan::new(options);
    let implants = attacks::implants(&plan);
    write_truth(folder, &plan, &implants)?;
    write_declarations(folder, &plan, &implants)?;

    let mut out = Output::new(folder);
    let traffic = Traffic::new(&plan, scale(&plan));
    let mut flows = FlowLogs::new(&plan, false);
    for implant in &implants {
        flows.skips.extend(&implant.skips);
        flows.mutes.extend(&implant.mutes);
    }
    let mut events = Events::new(&plan);
    let mut trail = Trail::new(&plan);
    let writing = || format!("writing below {}", folder.display());
    for hour in (options.start..options.end()).step_by(3600) {
        traffic.hour(hour, &mut |connection| flows.add(&connection));
        for implant in &implants {
            let from = implant
                .connections
                .partition_point(|connection| connection.at < hour);
            let to = implant
                .connections
                .partition_point(|connection| connection.at < hour + 3600);
            for connection in &implant.connections[from..to] {
                flows.add(connection);
            }
        }
        flows.close(hour + 3600, &mut out).with_context(writing)?;
        events.hour(hour, &mut out).with_context(writing)?;
        trail.hour(hour, &mut out).with_context(writing)?;
    }
    Ok(Summary {
        tasks: plan.tasks.len() as u64,
        flow_records: flows.records,
        idle_lines: flows.nodata,
        flow_bytes: flows.text_bytes,
        ecs_events: events.events,
        dropped_events: events.dropped,
        cloudtrail: trail.events,
        attacks: implants.len() as u64,
        files: out.files,
        bytes: out.bytes,
    })
}

/// The factor on load, in thousandths, that makes about as many records as
/// asked for: found by counting some hours of the first weekday.
fn scale(plan: &Plan) -> u64 {
    let options = &plan.options;
    let days = 0..i64::from(options.days);
    let midnights = days.map(|day| options.start + day * 86_400);
    // Not the first day: it begins with nothing.
    let day = midnights
        .clone()
        .skip(1)
        .find(|midnight| !is_weekend(*midnight))
        .or(midnights.clone().next_back())
        .unwrap_or(options.start);
    let count = |scale: u64| {
        let traffic = Traffic::new(plan, scale);
        let mut counted = 0;
        for hour in [3, 9, 15, 21] {
            let mut flows = FlowLogs::new(plan, true);
            traffic.hour(day + hour * 3600, &mut |connection| flows.add(&connection));
            counted += flows.records;
        }
        counted * 6
    };
    let wanted = options.flow_records_a_day;
    let (mut scale, mut low, mut high) = (1000_u64, 10_u64, 1_000_000_u64);
    for _ in 0..6 {
        let found = count(scale);
        if found.abs_diff(wanted) * 50 < wanted {
            break;
        }
        if found > wanted {
            high = scale;
        } else {
            low = scale;
        }
        let guess = scale * wanted / found.max(1);
        scale = if guess > low && guess < high {
            guess
        } else {
            (low + high) / 2
        };
    }
    scale
}

fn write_truth(folder: &Path, plan: &Plan, implants: &[Implant]) -> Result<()> {
    let options = &plan.options;
    let mut out = Writer::create(folder)?;
    out.line(&Line::Estate(Estate {
        start: options.start,
        end: options.end(),
        attacks_from: options.attacks_from(),
        services: options.services,
        aggregation: options.aggregation,
        seed: options.seed,
        account: plan.account.clone(),
    }))?;
    for workload in &plan.workloads {
        out.line(&Line::Workload(WorkloadTruth {
            name: workload.name.clone(),
            service: workload.is_service(),
            mode: if workload.mode == Mode::Awsvpc {
                "awsvpc"
            } else {
                "bridge"
            }
            .to_owned(),
            role: format!("{:?}", workload.role).to_lowercase(),
            cde: workload.cde,
        }))?;
    }
    for eni in &plan.enis {
        let kind = match eni.owner {
            plan::Owner::Task(_) => "task",
            plan::Owner::Instance(_) => "instance",
            plan::Owner::LoadBalancer => "load_balancer",
            plan::Owner::Nat => "nat",
            plan::Owner::Database(_) => "database",
            plan::Owner::Cache(_) => "cache",
            plan::Owner::Endpoint(_) => "endpoint",
        };
        let mut owner = Owner {
            interface: eni.id.clone(),
            address: Ipv4Addr::from(eni.address).to_string(),
            address6: eni.address6.map(|address| address.to_string()),
            from: eni.from,
            to: (eni.until < options.end()).then_some(eni.until),
            owner: kind.to_owned(),
            workload: None,
            service: false,
            task: None,
            task_definition: None,
        };
        if let plan::Owner::Task(task) = eni.owner {
            let task = &plan.tasks[task];
            let workload = &plan.workloads[task.workload];
            owner.workload = Some(workload.name.clone());
            owner.service = workload.is_service();
            owner.task = Some(task.id.clone());
            owner.task_definition = Some(plan.definition_arn(task.workload, task.revision));
        }
        out.line(&Line::Owner(owner))?;
    }
    for implant in implants {
        out.line(&Line::Attack(implant.truth.clone()))?;
    }
    out.finish()
}

/// What an owner of the estate would declare: AWS's ranges, own public
/// addresses, a threat list, allowed edges, workloads with card data.
fn write_declarations(folder: &Path, plan: &Plan, implants: &[Implant]) -> Result<()> {
    let mut out = Output::new(folder);
    let mut rng = Rng::stream(plan.options.seed, "declarations", 0);
    out.put(
        "declared/ip-ranges.json",
        published_ranges().to_string().as_bytes(),
    )?;

    let mut listed: BTreeSet<u32> = implants
        .iter()
        .flat_map(|implant| implant.listed.clone())
        .collect();
    while listed.len() < 500 {
        listed.insert(stranger(&mut rng));
    }
    let mut text = String::from("# Addresses reported by the sharing group\n");
    for address in listed {
        text.push_str(&format!("{}\n", Ipv4Addr::from(address)));
    }
    out.put("declared/threat-list.txt", text.as_bytes())?;

    let mut text = String::from("kind,value\n");
    text.push_str(&format!("cidr,{}/16\n", Ipv4Addr::from(VPC_BASE)));
    let inside6 = (plan.options.dual_stack > 0).then(|| format!("{VPC_BASE_V6}/56"));
    if let Some(inside6) = &inside6 {
        text.push_str(&format!("cidr,{inside6}\n"));
    }
    for &nat in &plan.nats {
        text.push_str(&format!("nat,{}\n", Ipv4Addr::from(elastic_ip(plan, nat))));
    }
    out.put("declared/own-addresses.csv", text.as_bytes())?;

    let mut profiles = String::from("service,direction,peer,port,protocol\n");
    let mut flows = String::from("source,destination,port,protocol,owner,reason,expires\n");
    let mut regulated = String::from("member,class\n");
    let inside = format!("{}/16", Ipv4Addr::from(VPC_BASE));
    let mut edge = |from: &str, to: &str, port: u16| {
        if from != inside {
            profiles.push_str(&format!("{from},out,{to},{port},tcp\n"));
        }
        flows.push_str(&format!("{from},{to},{port},tcp,platform,as designed,\n"));
    };
    let mut called = BTreeSet::new();
    for workload in &plan.workloads {
        let name = workload.name.as_str();
        if workload.cde {
            regulated.push_str(&format!("{name},CDE\n"));
        }
        for (base, bits, _) in AWS_RANGES {
            edge(
                name,
                &format!("{}/{bits}", Ipv4Addr::from(*base)),
                crate::traffic::HTTPS,
            );
        }
        for &endpoint in &plan.endpoints {
            let address = Ipv4Addr::from(plan.enis[endpoint].address);
            edge(name, &address.to_string(), crate::traffic::HTTPS);
        }
        for &peer in &workload.peers {
            let peer = &plan.workloads[peer];
            edge(name, &peer.name, peer.port);
            called.insert((peer.name.as_str(), peer.port));
        }
        if workload.role == Role::Web && workload.mode == Mode::Awsvpc {
            edge(&inside, name, workload.port);
            called.insert((name, workload.port));
        }
        let stores = [
            (workload.database, &plan.databases, crate::traffic::MYSQL),
            (workload.cache, &plan.caches, crate::traffic::REDIS),
        ];
        for (number, interfaces, port) in stores {
            if let Some(number) = number {
                let address = plan.enis[interfaces[number]].address;
                edge(name, &Ipv4Addr::from(address).to_string(), port);
            }
        }
        if !workload.externals.is_empty() || workload.telemetry {
            edge(name, "*", crate::traffic::HTTPS);
        }
    }
    for (name, port) in called {
        profiles.push_str(&format!("{name},in,private,{port},tcp\n"));
        // What IPv6 has inside of a VPC is no private address.
        if let Some(inside6) = &inside6 {
            profiles.push_str(&format!("{name},in,{inside6},{port},tcp\n"));
        }
    }
    out.put("declared/service_profiles.csv", profiles.as_bytes())?;
    out.put("declared/declared_flows.csv", flows.as_bytes())?;
    out.put("declared/regulated.csv", regulated.as_bytes())?;
    Ok(())
}
