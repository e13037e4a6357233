//! VPC flow logs: connections in, files of records out.
//!
//! A record is not a connection. Each interface that a connection passes writes
//! a record per direction and aggregation window, so a call over the NAT gateway
//! makes six records a window. TCP flags show only in the window that saw them.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::Ipv4Addr;

use crate::network::{REGION, aws_service, ipv6};
use crate::options::FlowFormat;
use crate::output::{Output, compact, day};
use crate::plan::{CLUSTER, Owner, Plan};
use crate::rng::Rng;

const V2: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
const V3_TO_V5: &str = " vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path";
const ECS: &str = " ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id ecs-container-id ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id";

/// How long an interface is quiet before it gets a `NODATA` line.
const QUIET_SECONDS: i64 = 600;
/// ECS fields show once the event that the task runs has come through.
const ECS_FIELDS_AFTER: i64 = 20;

const FIN: u8 = 1;
const SYN: u8 = 2;
const SYN_ACK: u8 = 18;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const GRE: u8 = 47;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    /// An interface of the VPC.
    Eni(usize),
    /// A host outside the VPC.
    Outside(u32),
    /// An address of the VPC that nothing has.
    Vacant(u32),
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Served,
    /// The receiving end's security group dropped it.
    Refused,
    /// The sending end's own security group dropped it.
    Blocked,
    /// It left, and nothing came back.
    Unanswered,
    /// A last packet of a connection that the receiving end has closed already.
    Late,
}

/// One connection or attempt, as the network saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection {
    pub at: i64,
    pub seconds: i64,
    pub from: Party,
    pub to: Party,
    pub from_port: u16,
    pub to_port: u16,
    pub protocol: u8,
    /// Bytes from `from` to `to`, and back.
    pub up: u64,
    pub down: u64,
    /// Packets up, where bytes do not tell.
    pub packets: u64,
    pub fate: Fate,
    /// Percent of the windows in between that have packets.
    pub busy: u64,
}

impl Connection {
    /// A TCP connection that is served.
    pub fn tcp(at: i64, seconds: i64, from: Party, to: Party, to_port: u16, rng: &mut Rng) -> Connection {
        Connection {
            at,
            seconds,
            from,
            to,
            from_port: rng.ephemeral(),
            to_port,
            protocol: TCP,
            up: rng.size(400, 4),
            down: rng.size(800, 6),
            packets: 0,
            fate: Fate::Served,
            busy: 100,
        }
    }

    pub fn sized(self, up: u64, down: u64) -> Connection {
        Connection { up, down, ..self }
    }

    pub fn busy(self, busy: u64) -> Connection {
        Connection { busy, ..self }
    }

    pub fn protocol(self, protocol: u8) -> Connection {
        Connection { protocol, ..self }
    }

    /// A single SYN, or a few, that come to nothing.
    pub fn attempt(self, fate: Fate) -> Connection {
        Connection {
            up: 60,
            down: 0,
            seconds: 0,
            fate,
            ..self
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Record {
    eni: u32,
    /// Source, target, and the packet's own, where a NAT gateway made them differ.
    ends: [u32; 4],
    /// The IPv6 addresses that go with these are written.
    v6: bool,
    ports: (u16, u16),
    protocol: u8,
    flags: u8,
    accepted: bool,
    egress: bool,
    /// `traffic-path`; 0 where AWS writes `-`.
    path: u8,
    packets: u64,
    bytes: u64,
    start: i64,
    end: i64,
}

/// Records that are not written: of one interface, or of all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mute {
    pub eni: Option<usize>,
    pub from: i64,
    pub until: i64,
}

/// Collects records and writes them file by file.
pub(crate) struct FlowLogs<'a> {
    plan: &'a Plan,
    files: BTreeMap<i64, Vec<Record>>,
    /// Windows that AWS skipped: interface, from, to.
    pub skips: Vec<(usize, i64, i64)>,
    pub mutes: Vec<Mute>,
    rng: Rng,
    window: i64,
    file: i64,
    /// Parts of lines that are the same for all records of an interface.
    texts: Vec<Option<EniText>>,
    pub records: u64,
    pub nodata: u64,
    pub text_bytes: u64,
    /// Only count.
    dry: bool,
}

#[derive(Clone)]
struct EniText {
    address: String,
    place: String,
    zone: String,
    ecs: Option<(i64, String)>,
}

impl<'a> FlowLogs<'a> {
    pub fn new(plan: &'a Plan, dry: bool) -> FlowLogs<'a> {
        FlowLogs {
            plan,
            files: BTreeMap::new(),
            skips: Vec::new(),
            mutes: Vec::new(),
            rng: Rng::stream(plan.options.seed, "flow files", 0),
            window: plan.options.aggregation,
            file: (plan.options.file_minutes * 60).max(plan.options.aggregation),
            texts: vec![None; plan.enis.len()],
            records: 0,
            nodata: 0,
            text_bytes: 0,
            dry,
        }
    }

    /// Writes down a connection at every interface that it passes.
    pub fn add(&mut self, connection: &Connection) {
        if connection.from == connection.to {
            // What stays on an instance crosses no interface.
            return;
        }
        let plan = self.plan;
        let address = |party: Party| match party {
            Party::Eni(eni) => plan.enis[eni].address,
            Party::Outside(address) | Party::Vacant(address) => address,
        };
        let Connection {
            from, to, from_port, ..
        } = *connection;
        let (source, target) = (address(from), address(to));
        let straight = [source, target, source, target];
        if let Party::Eni(eni) = from {
            let outside = matches!(to, Party::Outside(_));
            let gateway = outside && matches!(aws_service(target), "S3" | "DYNAMODB");
            let to_nat = outside && !gateway && !plan.enis[eni].public;
            let path = match outside {
                true if gateway => 7,
                true if !to_nat => 8,
                _ => 1,
            };
            self.record(connection, eni, true, path, straight, from_port);
            if to_nat && connection.fate != Fate::Blocked {
                let nat = plan.nats[plan.enis[eni].zone];
                let own = plan.enis[nat].address;
                // The gateway puts a port of its own in place of the client's.
                let port = 1024 + ((connection.at as u64 * 31 + u64::from(from_port) * 7) % 64_000) as u16;
                self.record(
                    connection,
                    nat,
                    false,
                    1,
                    [source, own, source, target],
                    from_port,
                );
                self.record(connection, nat, true, 8, [own, target, own, target], port);
            }
        }
        if let Party::Eni(eni) = to
            && connection.fate != Fate::Blocked
        {
            let path = if matches!(from, Party::Outside(_)) { 8 } else { 1 };
            self.record(connection, eni, false, path, straight, from_port);
        }
    }

    /// Whether a connection goes over IPv6: half of those between interfaces that have it.
    fn over_v6(&self, connection: &Connection) -> bool {
        let has = |party: Party| matches!(party, Party::Eni(eni) if self.plan.enis[eni].address6.is_some());
        // Who sweeps addresses sweeps those of IPv4.
        connection.fate == Fate::Served && has(connection.from) && has(connection.to) && {
            let ports = u64::from(connection.from_port) << 16 | u64::from(connection.to_port);
            let number = (connection.at as u64) << 32 ^ ports;
            Rng::stream(self.plan.options.seed, "over ipv6", number).percent(50)
        }
    }

    /// The records of both directions at one interface. `outward` is true where
    /// the request leaves through it, `path` is the egress direction's.
    fn record(
        &mut self,
        connection: &Connection,
        eni: usize,
        outward: bool,
        path: u8,
        ends: [u32; 4],
        from_port: u16,
    ) {
        let Connection {
            at,
            seconds,
            to_port,
            protocol,
            fate,
            ..
        } = *connection;
        let window = self.window;
        // Windows of different interfaces do not begin together.
        let phase = (eni as i64 * 7) % window;
        let last = at + seconds;
        let answered = fate == Fate::Served;
        let v6 = self.over_v6(connection);
        let tcp = protocol == TCP;
        // Which windows have packets is the connection's own affair, not the interface's.
        let salt = at as u64 ^ (u64::from(from_port) << 32) ^ u64::from(to_port) << 48;
        let windows = (last - phase).div_euclid(window) - (at - phase).div_euclid(window) + 1;
        let share = |total: u64, nth: i64| (u128::from(total) * nth as u128 / windows as u128) as u64;
        let (mut start, mut nth, mut counted) = (at, 0, 0);
        while start <= last {
            let until = start - (start - phase).rem_euclid(window) + window - 1;
            let end = last.min(until);
            let (first, closing) = (start == at, end == last);
            nth += 1;
            let minute = start.div_euclid(window) as u64;
            let quiet = !first
                && !closing
                && connection.busy < 100
                && (salt ^ minute).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57 >= connection.busy * 128 / 100;
            if quiet {
                start = end + 1;
                continue;
            }
            for request in [true, false] {
                if !request && !answered {
                    continue;
                }
                let total = if request { connection.up } else { connection.down };
                let bytes = share(total, nth) - share(total, counted);
                let opening = if request { SYN } else { SYN_ACK };
                let flags = match (tcp, fate) {
                    (false, _) => 0,
                    (true, Fate::Late) => FIN,
                    (true, Fate::Served) => (u8::from(first) * opening) | (u8::from(closing) * FIN),
                    (true, _) => SYN,
                };
                let mut packets = bytes.div_ceil(1400).max(1);
                if answered && tcp && (first || closing) {
                    packets += 2;
                }
                if !answered {
                    packets = (bytes / 60).max(1);
                }
                if request && connection.packets > 0 {
                    packets = (share(connection.packets, nth) - share(connection.packets, counted)).max(1);
                }
                let egress = request == outward;
                let [a, b, c, d] = ends;
                self.push(Record {
                    eni: eni as u32,
                    ends: if request { ends } else { [b, a, d, c] },
                    v6,
                    ports: if request {
                        (from_port, to_port)
                    } else {
                        (to_port, from_port)
                    },
                    protocol,
                    flags,
                    accepted: match fate {
                        Fate::Served => true,
                        Fate::Blocked => false,
                        Fate::Refused | Fate::Unanswered | Fate::Late => egress,
                    },
                    egress,
                    path: if egress { path } else { 0 },
                    packets,
                    bytes: bytes.max(packets * 40),
                    start,
                    end,
                });
            }
            counted = nth;
            start = end + 1;
        }
    }

    fn push(&mut self, record: Record) {
        if record.end >= self.plan.options.end() {
            return;
        }
        if self.dry {
            self.records += 1;
            return;
        }
        let muted = |mute: &Mute| {
            mute.eni.is_none_or(|eni| eni == record.eni as usize)
                && record.end >= mute.from
                && record.start < mute.until
        };
        if self.mutes.iter().any(muted) {
            return;
        }
        let slot = record.end - record.end.rem_euclid(self.file);
        self.files.entry(slot).or_default().push(record);
    }

    /// Writes every file that ends by `before`.
    pub fn close(&mut self, before: i64, out: &mut Output) -> io::Result<()> {
        let slots = self.plan.options.start.div_euclid(self.file)..before.div_euclid(self.file);
        while let Some(entry) = self.files.first_entry() {
            let slot = *entry.key();
            if slot.div_euclid(self.file) >= slots.end {
                break;
            }
            let records = entry.remove();
            self.write(slot, records, out)?;
        }
        Ok(())
    }

    fn write(&mut self, slot: i64, mut records: Vec<Record>, out: &mut Output) -> io::Result<()> {
        records.sort_by_key(|record| (record.end.div_euclid(self.window), record.eni, record.start));
        let header = self.header();
        let mut text = Vec::with_capacity(records.len() * 330 + 1000);
        text.extend_from_slice(header.as_bytes());
        text.push(b'\n');
        for record in &records {
            self.line(record, &mut text);
        }
        let idle = self.idle_lines(slot, &records, header.split(' ').count(), &mut text);
        self.records += records.len() as u64;
        self.nodata += idle;
        self.text_bytes += text.len() as u64;
        let account = &self.plan.account;
        let key = format!(
            "AWSLogs/{account}/vpcflowlogs/{REGION}/{}/{account}_vpcflowlogs_{REGION}_{}_{}_{}.log.gz",
            day(slot),
            self.plan.flow_log,
            compact(slot),
            self.rng.hex(8),
        );
        out.put_gzip(&key, &text)
    }

    fn header(&self) -> String {
        match self.plan.options.flow_format {
            FlowFormat::V2 => V2.to_owned(),
            FlowFormat::V5 => format!("{V2}{V3_TO_V5}"),
            FlowFormat::Ecs => format!("{V2}{V3_TO_V5}{ECS}"),
        }
    }

    fn version(&self) -> &'static str {
        match self.plan.options.flow_format {
            FlowFormat::V2 => "2 ",
            FlowFormat::V5 => "5 ",
            FlowFormat::Ecs => "7 ",
        }
    }

    fn line(&mut self, record: &Record, text: &mut Vec<u8>) {
        let plan = self.plan;
        let eni = &plan.enis[record.eni as usize];
        if self.texts[record.eni as usize].is_none() {
            self.texts[record.eni as usize] = Some(eni_text(plan, record.eni as usize));
        }
        let Some(known) = &self.texts[record.eni as usize] else {
            return;
        };
        let address = |of: u32, text: &mut Vec<u8>| match of == eni.address {
            _ if record.v6 => text.extend_from_slice(ipv6(of).to_string().as_bytes()),
            true => text.extend_from_slice(known.address.as_bytes()),
            false => push_address(text, of),
        };
        text.extend_from_slice(self.version().as_bytes());
        push(text, &plan.account);
        push(text, &eni.id);
        address(record.ends[0], text);
        text.push(b' ');
        address(record.ends[1], text);
        for number in [
            u64::from(record.ports.0),
            u64::from(record.ports.1),
            u64::from(record.protocol),
            record.packets,
            record.bytes,
            record.start as u64,
            record.end as u64,
        ] {
            text.push(b' ');
            push_number(text, number);
        }
        text.extend_from_slice(if record.accepted {
            b" ACCEPT OK"
        } else {
            b" REJECT OK"
        });
        if plan.options.flow_format != FlowFormat::V2 {
            text.push(b' ');
            push(text, &known.place);
            push_number(text, u64::from(record.flags));
            text.extend_from_slice(if record.v6 { b" IPv6 " } else { b" IPv4 " });
            address(record.ends[2], text);
            text.push(b' ');
            address(record.ends[3], text);
            text.push(b' ');
            push(text, &known.zone);
            push(text, aws_service(record.ends[2]));
            push(text, aws_service(record.ends[3]));
            text.extend_from_slice(if record.egress { b"egress " } else { b"ingress " });
            match record.path {
                0 => text.push(b'-'),
                path => push_number(text, u64::from(path)),
            }
        }
        if plan.options.flow_format == FlowFormat::Ecs {
            match &known.ecs {
                Some((from, ecs)) if record.start >= *from => text.extend_from_slice(ecs.as_bytes()),
                _ => text.extend_from_slice(b" - - - - - - - - - -"),
            }
        }
        text.push(b'\n');
    }

    /// `NODATA` for interfaces that passed nothing in ten minutes, and `SKIPDATA`.
    fn idle_lines(&mut self, slot: i64, records: &[Record], fields: usize, text: &mut Vec<u8>) -> u64 {
        let step = QUIET_SECONDS.min(self.file);
        let busy: HashSet<(u32, i64)> = records
            .iter()
            .flat_map(|record| [record.start, record.end].map(|time| (record.eni, time.div_euclid(step))))
            .collect();
        let absent = " -".repeat(fields - 14);
        let mut idle = Vec::new();
        for from in (slot..slot + self.file).step_by(step as usize) {
            let until = from + step;
            for (index, eni) in self.plan.enis.iter().enumerate() {
                let muted = |mute: &Mute| {
                    mute.eni.is_none_or(|muted| muted == index) && until >= mute.from && from < mute.until
                };
                if eni.from < from
                    && eni.until > until
                    && !busy.contains(&(index as u32, from.div_euclid(step)))
                    && !self.mutes.iter().any(muted)
                {
                    idle.push((index, from, until - 1, "NODATA"));
                }
            }
        }
        let end = slot + self.file;
        for &(eni, from, until) in &self.skips {
            if (slot..end).contains(&until) {
                idle.push((eni, from, until, "SKIPDATA"));
            }
        }
        for (eni, from, until, status) in &idle {
            let id = &self.plan.enis[*eni].id;
            let account = &self.plan.account;
            let version = self.version();
            let line = format!("{version}{account} {id} - - - - - - - {from} {until} - {status}{absent}\n");
            text.extend_from_slice(line.as_bytes());
        }
        idle.len() as u64
    }
}

fn eni_text(plan: &Plan, index: usize) -> EniText {
    let eni = &plan.enis[index];
    let kind = match eni.owner {
        _ if eni.public => 0,
        Owner::Database(_) | Owner::Cache(_) | Owner::Endpoint(_) => 2,
        _ => 1,
    };
    let instance = match eni.owner {
        Owner::Instance(number) => plan.instances[number].0.as_str(),
        _ => "-",
    };
    let ecs = match eni.owner {
        Owner::Task(task) => {
            let task = &plan.tasks[task];
            let workload = &plan.workloads[task.workload];
            let service = if workload.is_service() {
                workload.name.as_str()
            } else {
                "-"
            };
            let host = match workload.fargate {
                true => "- -".to_owned(),
                false => format!("{} {}", plan.instance_arn(task.zone), plan.instances[task.zone].1),
            };
            Some((
                task.running + ECS_FIELDS_AFTER,
                format!(
                    " {} {CLUSTER} {host} {} - {service} {} {} {}",
                    plan.cluster_arn(),
                    runtime_id(&task.id),
                    plan.definition_arn(task.workload, task.revision),
                    plan.task_arn(task),
                    task.id,
                ),
            ))
        }
        _ => None,
    };
    EniText {
        address: Ipv4Addr::from(eni.address).to_string(),
        place: format!("{} {} {instance}", plan.vpc, plan.subnets[kind][eni.zone]),
        zone: format!("{REGION} euc1-az{} - -", eni.zone + 1),
        ecs,
    }
}

/// The first container of a task, as Fargate names it.
pub(crate) fn runtime_id(task: &str) -> String {
    let number = task
        .bytes()
        .fold(7_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    format!("{task}-{:010}", number % 10_000_000_000)
}

fn push(text: &mut Vec<u8>, word: &str) {
    text.extend_from_slice(word.as_bytes());
    text.push(b' ');
}

fn push_number(text: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at..]);
}

fn push_address(text: &mut Vec<u8>, address: u32) {
    for (nth, byte) in address.to_be_bytes().into_iter().enumerate() {
        if nth > 0 {
            text.push(b'.');
        }
        push_number(text, u64::from(byte));
    }
}
