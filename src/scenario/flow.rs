//! VPC flow logs: connections in, lines of a custom format out.
//!
//! A record is not a connection. Each interface a connection passes writes a
//! record per direction and aggregation window of at most 60 seconds, so one
//! call over the NAT gateway makes six records a minute, and TCP flags show
//! only in the window that saw them. Addresses of 169.254.0.0/16 never appear:
//! flow logs do not capture them.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use super::estate::{World, aws_service};
use super::output::{Output, compact, day, gzip};
use super::rng::Rng;
use super::{ACCOUNT, FLOW_LOG_HEADER, REGION};

/// AWS writes a file every five minutes; half an hour keeps the demo's folder readable.
const FILE_SECONDS: i64 = 1800;
const WINDOW_SECONDS: i64 = 60;
/// How long an interface must be quiet before it gets a `NODATA` line here.
const QUIET_SECONDS: i64 = 600;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const SYN_ACK: u8 = 18;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// One end of a connection.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Party {
    Eni(usize),
    /// Any host outside the VPC.
    Outside(IpAddr),
    /// An address of the VPC that nothing has.
    Vacant(Ipv4Addr),
}

/// What became of a connection.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fate {
    Served,
    /// A security group at the receiving end dropped it.
    Refused,
    /// It left, and nothing came back.
    Unanswered,
    /// A last packet of a connection that the receiving end has closed already.
    Late,
}

/// One connection or attempt, as the network saw it.
pub(super) struct Connection {
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
    pub fate: Fate,
    /// Ended by RST, not FIN.
    pub reset: bool,
}

struct Record {
    eni: usize,
    source: IpAddr,
    target: IpAddr,
    /// The packet's own addresses, where a NAT gateway made them differ.
    packet_source: IpAddr,
    packet_target: IpAddr,
    source_port: u16,
    target_port: u16,
    protocol: u8,
    packets: u64,
    bytes: u64,
    start: i64,
    end: i64,
    accepted: bool,
    flags: u8,
    egress: bool,
    /// `traffic-path`; 0 where AWS writes `-`.
    path: u8,
}

/// Collects records and writes them file by file.
pub(super) struct FlowLogs<'a> {
    world: &'a World,
    /// The flow log is deleted at this time.
    until: i64,
    files: BTreeMap<i64, Vec<Record>>,
    rng: Rng,
    pub records: u64,
}

impl<'a> FlowLogs<'a> {
    pub fn new(world: &'a World, until: i64) -> FlowLogs<'a> {
        FlowLogs {
            world,
            until,
            files: (world.start.div_euclid(FILE_SECONDS)..=(world.end - 1).div_euclid(FILE_SECONDS))
                .map(|slot| (slot * FILE_SECONDS, Vec::new()))
                .collect(),
            rng: Rng::stream(world.seed, "flow files", 0),
            records: 0,
        }
    }

    /// Writes down a connection at every interface it passes.
    pub fn add(&mut self, connection: &Connection) {
        let world = self.world;
        let Connection { from, to, .. } = *connection;
        let over_ipv6 = matches!(from, Party::Outside(IpAddr::V6(_)));
        let address = |party: Party| match party {
            Party::Eni(eni) => match world.enis[eni].address6 {
                Some(address) if over_ipv6 => IpAddr::V6(address),
                _ => IpAddr::V4(world.enis[eni].address),
            },
            Party::Outside(address) => address,
            Party::Vacant(address) => IpAddr::V4(address),
        };
        let (source, target) = (address(from), address(to));
        let straight = [source, target, source, target];
        if let Party::Eni(eni) = from {
            let to_nat = matches!(to, Party::Outside(_)) && self.is_private(eni) && !by_gateway(target);
            let path = match to {
                Party::Outside(_) if by_gateway(target) => 7,
                Party::Outside(_) if !to_nat => 8,
                _ => 1,
            };
            self.record(connection, eni, true, path, straight, connection.from_port);
            if to_nat {
                let nat = IpAddr::V4(world.enis[world.nat].address);
                // The gateway puts a port of its own in place of the client's.
                let port = 1024
                    + ((connection.at as u64 * 31 + u64::from(connection.from_port) * 7) % 64_000) as u16;
                self.record(
                    connection,
                    world.nat,
                    false,
                    1,
                    [source, nat, source, target],
                    connection.from_port,
                );
                self.record(connection, world.nat, true, 8, [nat, target, nat, target], port);
            }
        }
        if let Party::Eni(eni) = to {
            let path = if matches!(from, Party::Outside(_)) { 8 } else { 1 };
            self.record(connection, eni, false, path, straight, connection.from_port);
        }
    }

    /// Writes every file that ends by `before`.
    pub fn close(&mut self, before: i64, out: &mut Output) -> io::Result<()> {
        while let Some(entry) = self.files.first_entry() {
            let slot = *entry.key();
            if slot + FILE_SECONDS > before {
                break;
            }
            let records = entry.remove();
            self.write(slot, records, out)?;
        }
        Ok(())
    }

    /// The records of both directions at one interface. `outward` is true where
    /// the request leaves through it, `path` is the egress direction's.
    fn record(
        &mut self,
        connection: &Connection,
        eni: usize,
        outward: bool,
        path: u8,
        [source, target, packet_source, packet_target]: [IpAddr; 4],
        from_port: u16,
    ) {
        let Connection {
            at,
            seconds,
            to_port,
            protocol,
            up,
            down,
            fate,
            ..
        } = *connection;
        let answered = fate == Fate::Served;
        let last = at + seconds;
        let length = (seconds + 1) as u64;
        // Windows of different interfaces do not begin together.
        let phase = (eni as i64 * 7) % WINDOW_SECONDS;
        let share = |total: u64, until: i64| total * (until - at) as u64 / length;
        let mut start = at;
        while start <= last {
            let end = last.min(start - (start - phase).rem_euclid(WINDOW_SECONDS) + WINDOW_SECONDS - 1);
            let (first, closing) = (start == at, end == last);
            for request in [true, false] {
                if !request && !answered {
                    continue;
                }
                let total = if request { up } else { down };
                let bytes = share(total, end + 1) - share(total, start);
                let opening = if request { SYN } else { SYN_ACK };
                let ending = match (answered, connection.reset) {
                    (false, _) => 0,
                    (true, false) => FIN,
                    (true, true) if request => RST,
                    (true, true) => 0,
                };
                let flags = match protocol {
                    TCP if fate == Fate::Late => FIN,
                    TCP => (u8::from(first) * opening) | (u8::from(closing) * ending),
                    _ => 0,
                };
                let packets = if answered {
                    // A handshake and a farewell, and full segments in between.
                    bytes.div_ceil(1400).max(1) + 2 * u64::from(protocol == TCP && (first || closing))
                } else {
                    (bytes / 60).max(1)
                };
                let egress = request == outward;
                let (ends, ports) = if request {
                    (
                        [source, target, packet_source, packet_target],
                        (from_port, to_port),
                    )
                } else {
                    (
                        [target, source, packet_target, packet_source],
                        (to_port, from_port),
                    )
                };
                self.push(Record {
                    eni,
                    source: ends[0],
                    target: ends[1],
                    packet_source: ends[2],
                    packet_target: ends[3],
                    source_port: ports.0,
                    target_port: ports.1,
                    protocol,
                    packets,
                    bytes: bytes.max(packets * 40),
                    start,
                    end,
                    accepted: egress || matches!(fate, Fate::Served),
                    flags,
                    egress,
                    path: if egress { path } else { 0 },
                });
            }
            start = end + 1;
        }
    }

    fn push(&mut self, record: Record) {
        if record.end >= self.until {
            return;
        }
        // Nothing is kept of what lies outside the hours of the scenario.
        if let Some(file) = self
            .files
            .get_mut(&(record.end - record.end.rem_euclid(FILE_SECONDS)))
        {
            file.push(record);
        }
    }

    fn is_private(&self, eni: usize) -> bool {
        let eni = &self.world.enis[eni];
        eni.address.octets()[2] >= 10
    }

    fn write(&mut self, slot: i64, mut records: Vec<Record>, out: &mut Output) -> io::Result<()> {
        records.sort_by_key(|record| (record.end.div_euclid(WINDOW_SECONDS), record.eni, record.start));
        let mut text = String::with_capacity((records.len() + 100) * 600);
        text.push_str(FLOW_LOG_HEADER);
        text.push('\n');
        for record in &records {
            self.line(record, &mut text);
        }
        let quiet = self.quiet_lines(slot, &records, &mut text);
        let lines = records.len() as u64 + quiet;
        if lines == 0 {
            return Ok(());
        }
        self.records += lines;
        let key = format!(
            "AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{}/{ACCOUNT}_vpcflowlogs_{REGION}_{}_{}_{}.log.gz",
            day(slot),
            self.world.flow_log,
            compact(slot),
            self.rng.hex(8),
        );
        out.put(&key, &gzip(text.as_bytes())?)
    }

    fn line(&self, record: &Record, text: &mut String) {
        let eni = &self.world.enis[record.eni];
        let service = |address| match address {
            IpAddr::V4(address) => aws_service(address),
            IpAddr::V6(_) => "-",
        };
        let kind = if record.source.is_ipv6() { "IPv6" } else { "IPv4" };
        let action = if record.accepted { "ACCEPT" } else { "REJECT" };
        let ecs = match &eni.ecs {
            Some(ecs) if record.start >= eni.ecs_from => ecs.as_str(),
            _ => "- - - - - -",
        };
        let direction = if record.egress { "egress" } else { "ingress" };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "7 {ACCOUNT} {} {} {} {} {} {} {} {} {} {} {action} OK {} {} {kind} {} {} {REGION} {} {} {} {direction} ",
            eni.id,
            record.source,
            record.target,
            record.source_port,
            record.target_port,
            record.protocol,
            record.packets,
            record.bytes,
            record.start,
            record.end,
            eni.place,
            record.flags,
            record.packet_source,
            record.packet_target,
            eni.zone,
            service(record.packet_source),
            service(record.packet_target),
        );
        let _ = match record.path {
            0 => writeln!(text, "- {ecs}"),
            path => writeln!(text, "{path} {ecs}"),
        };
    }

    /// A `NODATA` line for each interface that passed nothing for ten minutes.
    fn quiet_lines(&self, slot: i64, records: &[Record], text: &mut String) -> u64 {
        let busy: HashSet<(usize, i64)> = records
            .iter()
            .map(|record| (record.eni, record.end.div_euclid(QUIET_SECONDS)))
            .collect();
        let mut lines = 0;
        for from in (slot..slot + FILE_SECONDS).step_by(QUIET_SECONDS as usize) {
            let until = from + QUIET_SECONDS;
            if until > self.until {
                break;
            }
            for (index, eni) in self.world.enis.iter().enumerate() {
                let alive = eni.from < from && eni.until > until;
                if alive && !busy.contains(&(index, from.div_euclid(QUIET_SECONDS))) {
                    let absent = "- ".repeat(FLOW_LOG_HEADER.split(' ').count() - 14);
                    let _ = writeln!(
                        text,
                        "7 {ACCOUNT} {} - - - - - - - {from} {until} - NODATA {}",
                        eni.id,
                        absent.trim_end(),
                    );
                    lines += 1;
                }
            }
        }
        lines
    }
}

fn by_gateway(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if matches!(aws_service(v4), "S3" | "DYNAMODB"))
}
