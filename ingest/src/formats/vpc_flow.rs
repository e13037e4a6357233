//! VPC flow logs: one line for each flow seen at a network interface in a window.
//!
//! The header line of each object names its fields, so custom layouts work in
//! any order and nothing is guessed from the number of columns. Fields are those
//! of versions 2 to 11, and of transit gateway flow logs; a name that is in
//! neither lands in `extra`.
//!
//! A field that the log gives as `-` is NULL, which is not zero. NODATA and
//! SKIPDATA lines are rows too: they say what was *not* seen.
//!
//! Every numeric field of a line is checked, asked for or not, so the same lines
//! are rejected whatever a query selects. See
//! <https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html>.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::block::Block;
use crate::column::Kind::{Int, Json, Long, Text, Time};
use crate::column::{Column, Kind, TIMESTAMP};
use crate::formats::{Format, OptionError, OptionInfo, Parser, Progress, Refusal, Setup, Timeline};
use crate::lines::{FieldEnds, Verdict, parse_digits};
use crate::tally::Tally;
use crate::text::{Stretches, TextColumn, constant_text};

mod columnar;
mod delivered;

const fn text(name: &'static str, from: &'static str, about: &'static str) -> Column {
    Column::new(name, Text, from, about)
}
const fn int(name: &'static str, from: &'static str, about: &'static str) -> Column {
    Column::new(name, Int, from, about)
}
const fn long(name: &'static str, from: &'static str, about: &'static str) -> Column {
    Column::new(name, Long, from, about)
}

/// Fields in the order of the versions that brought them, then what is derived.
#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    int("version", "version", "Highest version among the record's fields."),
    text("account_id", "account-id", "Account that owns the interface; `unknown` for some managed ones. From the object's path if the line has no such field."),
    text("interface_id", "interface-id", "Interface that saw the flow; NULL for a regional NAT gateway."),
    text("srcaddr", "srcaddr", "Source address. On the interface's own side its primary private address."),
    text("dstaddr", "dstaddr", "Destination address. On the interface's own side its primary private address."),
    int("srcport", "srcport", "Source port, 0 to 65535."),
    int("dstport", "dstport", "Destination port, 0 to 65535."),
    int("protocol", "protocol", "IANA protocol number: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6."),
    long("packets", "packets", "Packets in the window."),
    long("bytes", "bytes", "Bytes in the window."),
    long("start", "start", "First packet of the window, seconds since the epoch."),
    long("end", "end", "Last packet of the window, seconds since the epoch."),
    text("action", "action", "ACCEPT or REJECT; NULL on NODATA and SKIPDATA.").one_of(&["ACCEPT", "REJECT"]),
    text("log_status", "log-status", "OK, NODATA (nothing to record) or SKIPDATA (records were lost).").one_of(&["OK", "NODATA", "SKIPDATA"]),
    text("vpc_id", "vpc-id", "VPC of the interface."),
    text("subnet_id", "subnet-id", "Subnet of the interface."),
    text("instance_id", "instance-id", "Instance of the interface, if it is one of yours."),
    int("tcp_flags", "tcp-flags", "Flags of the window, ORed: FIN 1, SYN 2, RST 4, SYN-ACK 18. Bare ACK gives 0."),
    text("type", "type", "IPv4, IPv6 or EFA.").one_of(&["IPv4", "IPv6", "EFA"]),
    text("pkt_srcaddr", "pkt-srcaddr", "Source address in the packet, where it differs behind a NAT or transit gateway."),
    text("pkt_dstaddr", "pkt-dstaddr", "Destination address in the packet."),
    text("region", "region", "Region of the interface. From the object's path if the line has no such field."),
    text("az_id", "az-id", "Availability Zone id."),
    text("sublocation_type", "sublocation-type", "wavelength, outpost or localzone.").one_of(&["wavelength", "outpost", "localzone"]),
    text("sublocation_id", "sublocation-id", "Id of the sublocation."),
    text("pkt_src_aws_service", "pkt-src-aws-service", "AWS range that the source address is in. EC2 can be any customer."),
    text("pkt_dst_aws_service", "pkt-dst-aws-service", "AWS range that the destination address is in. EC2 can be any customer."),
    text("flow_direction", "flow-direction", "ingress or egress, as the interface sees it.").one_of(&["ingress", "egress"]),
    int("traffic_path", "traffic-path", "Way out, egress only: 1 same VPC, 2 or 8 internet gateway, 3 virtual private gateway, 4 and 5 peering, 6 Local Zone, 7 gateway endpoint."),
    text("ecs_cluster_arn", "ecs-cluster-arn", "ECS cluster (awsvpc tasks only)."),
    text("ecs_cluster_name", "ecs-cluster-name", "Name of the ECS cluster."),
    text("ecs_container_instance_arn", "ecs-container-instance-arn", "Container instance; NULL on Fargate."),
    text("ecs_container_instance_id", "ecs-container-instance-id", "Id of the container instance; NULL on Fargate."),
    text("ecs_container_id", "ecs-container-id", "Runtime id of the first container."),
    text("ecs_second_container_id", "ecs-second-container-id", "Runtime id of the second container."),
    text("ecs_service_name", "ecs-service-name", "ECS service, if one started the task."),
    text("ecs_task_definition_arn", "ecs-task-definition-arn", "Task definition with its revision."),
    text("ecs_task_arn", "ecs-task-arn", "ECS task."),
    text("ecs_task_id", "ecs-task-id", "Id of the ECS task."),
    text("reject_reason", "reject-reason", "BPA (Block Public Access) or EC (encryption controls).").one_of(&["BPA", "EC"]),
    text("resource_id", "resource-id", "Regional NAT gateway."),
    int("encryption_status", "encryption-status", "0 none, 1 Nitro, 2 application (guessed from port 443), 3 both."),
    text("instance_tag", "instance-tag", "Value of the chosen instance tag, percent-encoded."),
    text("instance_tag_2", "instance-tag-2", "Value of the second instance tag, percent-encoded."),
    text("interface_tag", "interface-tag", "Value of the chosen interface tag, percent-encoded."),
    text("interface_tag_2", "interface-tag-2", "Value of the second interface tag, percent-encoded."),
    text("asg_tag", "asg-tag", "Value of the chosen Auto Scaling tag, percent-encoded."),
    text("asg_tag_2", "asg-tag-2", "Value of the second Auto Scaling tag, percent-encoded."),
    text("interface_type", "interface-type", "Kind of a managed interface, such as nat_gateway."),
    text("next_hop_interface_id", "next-hop-interface-id", "Interface at the other end of the hop."),
    text("next_hop_subnet_id", "next-hop-subnet-id", "Subnet at the other end of the hop."),
    text("next_hop_az_id", "next-hop-az-id", "Availability Zone at the other end of the hop."),
    text("next_hop_vpc_id", "next-hop-vpc-id", "VPC at the other end of the hop."),
    text("next_hop_interface_type", "next-hop-interface-type", "Kind of interface at the other end of the hop."),
    text("resource_type", "resource-type", "TransitGateway, in transit gateway flow logs."),
    text("tgw_id", "tgw-id", "Transit gateway."),
    text("tgw_attachment_id", "tgw-attachment-id", "Attachment that saw the flow."),
    text("tgw_src_vpc_account_id", "tgw-src-vpc-account-id", "Account of the source VPC."),
    text("tgw_dst_vpc_account_id", "tgw-dst-vpc-account-id", "Account of the destination VPC."),
    text("tgw_src_vpc_id", "tgw-src-vpc-id", "Source VPC."),
    text("tgw_dst_vpc_id", "tgw-dst-vpc-id", "Destination VPC."),
    text("tgw_src_subnet_id", "tgw-src-subnet-id", "Source subnet."),
    text("tgw_dst_subnet_id", "tgw-dst-subnet-id", "Destination subnet."),
    text("tgw_src_eni", "tgw-src-eni", "Source attachment interface."),
    text("tgw_dst_eni", "tgw-dst-eni", "Destination attachment interface."),
    text("tgw_src_az_id", "tgw-src-az-id", "Source Availability Zone."),
    text("tgw_dst_az_id", "tgw-dst-az-id", "Destination Availability Zone."),
    text("tgw_pair_attachment_id", "tgw-pair-attachment-id", "Attachment at the other end."),
    long("packets_lost_no_route", "packets-lost-no-route", "Packets lost for want of a route."),
    long("packets_lost_blackhole", "packets-lost-blackhole", "Packets lost in a blackhole route."),
    long("packets_lost_mtu_exceeded", "packets-lost-mtu-exceeded", "Packets lost for their size."),
    long("packets_lost_ttl_expired", "packets-lost-ttl-expired", "Packets lost for their time to live."),
    Column::new("start_time", Time, "start", "`start` as a timestamp."),
    Column::new("end_time", Time, "end", "`end` as a timestamp."),
    Column::new("event_time", Time, "start", "The same as `start_time`."),
    Column::new("extra", Json, "", "Fields that this table does not know, by their header names."),
];

/// The default format, version 2, in its fixed order.
const DEFAULT_FIELDS: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets \
                              bytes start end action log-status";

/// Epoch seconds above this are milliseconds, as some senders write them.
/// As seconds it is the year 5138.
const SECONDS_MAX: i64 = 100_000_000_000;

/// The format `vpc_flow`.
#[derive(Debug)]
pub struct VpcFlow;

impl Format for VpcFlow {
    fn name(&self) -> &'static str {
        "vpc_flow"
    }

    fn about(&self) -> &'static str {
        "VPC and transit gateway flow logs as text, one record per interface, five-tuple, direction and window. \
         A record is not a connection: a connection spans many records, and both ends log it. Never in these \
         logs: traffic to 169.254.169.254 and 169.254.170.2, to the Amazon DNS and time servers, and DHCP."
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn timeline(&self) -> Timeline {
        Timeline {
            who: "coalesce(ecs_service_name, instance_id, interface_id)",
            what: "concat_ws(' ', coalesce(action, log_status), 'protocol', protocol, 'port', dstport)",
            place: "dstaddr",
            from: "srcaddr",
        }
    }

    fn options(&self) -> &'static [OptionInfo] {
        &[OptionInfo {
            name: "fields",
            about: "Fields of objects that have no header line: names in order, separated by spaces, with or \
                    without `${}`, as in the flow log's own format; or `default` for the 14 fields of version 2.",
        }]
    }

    fn columnar(
        &self,
        batch: &RecordBatch,
        lines_before: u64,
        setup: &Setup,
        tally: &mut Tally,
    ) -> Result<RecordBatch, Refusal> {
        columnar::rows(batch, lines_before, setup, tally)
    }

    fn columnar_wants(&self, name: &str, setup: &Setup) -> bool {
        columnar::wants(name, setup)
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        let refuse = |name: &str, reason: String| OptionError {
            format: "vpc_flow",
            name: name.into(),
            reason,
        };
        let mut given = None;
        for (name, value) in &setup.options {
            if name != "fields" {
                return Err(refuse(name, "there is no such option; there is `fields`".into()));
            }
            let fields = if value.trim() == "default" {
                DEFAULT_FIELDS
            } else {
                value
            };
            let header = Header::of_names(fields.split_whitespace().map(bare_name));
            given = Some(header.map_err(|reason| refuse(name, reason))?);
        }
        Ok(Box::new(delivered::AnyDelivery::new(VpcFlowParser::new(
            setup, given,
        ))))
    }
}

/// `${srcaddr}` as `srcaddr`.
fn bare_name(name: &str) -> &str {
    name.strip_prefix("${")
        .and_then(|name| name.strip_suffix('}'))
        .unwrap_or(name)
}

/// The column that a header name stands for, or none. Parquet and some tools
/// write underscores for hyphens.
fn column_of(name: &str) -> Option<usize> {
    COLUMNS
        .iter()
        .position(|column| {
            column.from.len() == name.len()
                && column
                    .from
                    .bytes()
                    .zip(name.bytes())
                    .all(|(a, b)| a == b || (a == b'-' && b == b'_'))
        })
        .filter(|&index| !matches!(COLUMNS[index].kind, Time | Json))
}

/// Largest value that a numeric column can hold.
fn value_max(column: usize) -> i64 {
    match COLUMNS[column].name {
        "srcport" | "dstport" => 65_535,
        "protocol" => 255,
        _ if COLUMNS[column].kind == Int => i64::from(i32::MAX),
        _ => i64::MAX,
    }
}

/// The fields of a line, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    names: Vec<String>,
    /// Field of each numeric column: (field, column).
    numbers: Vec<(usize, usize)>,
    /// Field of each column of the table, where the header has it.
    field_of: Vec<Option<usize>>,
    /// Fields that no column stands for.
    unknown: Vec<usize>,
}

impl Header {
    fn of_line(line: &[u8]) -> Result<Self, String> {
        let line = String::from_utf8_lossy(line);
        Header::of_names(line.split(' ').filter(|name| !name.is_empty()))
    }

    fn of_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let names: Vec<String> = names.map(str::to_owned).collect();
        let mut header = Header {
            names,
            numbers: Vec::new(),
            field_of: vec![None; COLUMNS.len()],
            unknown: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for (field, name) in header.names.iter().enumerate() {
            if !seen.insert(name.replace('_', "-")) {
                return Err(format!("the header names {name} twice"));
            }
            match column_of(name) {
                Some(column) => {
                    header.field_of[column] = Some(field);
                    if matches!(COLUMNS[column].kind, Int | Long) {
                        header.numbers.push((field, column));
                    }
                }
                None => header.unknown.push(field),
            }
        }
        if header.unknown.len() == header.names.len() {
            return Err("none of these is a flow log field".into());
        }
        Ok(header)
    }

    /// Whether a line is a header: names only, and at least half of them known.
    /// No record is: `version`, `start` and the addresses begin with digits, and
    /// what is absent is `-`.
    fn looks_like(line: &[u8]) -> bool {
        let Ok(line) = std::str::from_utf8(line) else {
            return false;
        };
        let (mut names, mut known) = (0, 0);
        for name in line.split(' ').filter(|name| !name.is_empty()) {
            let mut bytes = name.bytes();
            if !bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
                || !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            {
                return false;
            }
            names += 1;
            known += usize::from(column_of(name).is_some());
        }
        known > 0 && known * 2 >= names
    }
}

struct VpcFlowParser {
    setup: Setup,
    schema: SchemaRef,
    header: Option<Header>,
    /// The header line was unusable: its lines are rejects until the next one.
    bad_header: Option<String>,
    from_path: PathHints,
    line: u64,
    skipping: bool,
    rows: usize,
    /// Lines of this batch that wait to become columns: (number, start, end).
    pending: Vec<(u64, u32, u32)>,
    /// Lines that are not records, with the reason, until they are counted.
    misfits: Vec<(u64, u32, u32, String)>,
    fields: FieldEnds,
    columns: Vec<Building>,
    lines: Vec<i64>,
    stretches: Stretches,
    scratch: Vec<i64>,
    absent: Absent,
}

/// Why [`VpcFlowParser::take_lines`] stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    NoLineLeft,
    BatchIsFull,
    HeaderFollows,
}

/// A projected column under construction.
enum Building {
    Text(TextColumn),
    Number(Vec<i64>),
    Line,
    Source,
    IngestedAt,
}

/// Columns of nothing but NULL, made once a type and shared by the batches.
#[derive(Default)]
struct Absent(Vec<ArrayRef>);

impl Absent {
    fn column(&mut self, kind: &DataType, rows: usize) -> ArrayRef {
        let fits = |column: &ArrayRef| column.data_type() == kind && column.len() >= rows;
        if !self.0.iter().any(fits) {
            self.0.push(new_null_array(kind, rows));
        }
        let found = self.0.iter().find(|column| fits(column));
        found.map_or_else(|| new_null_array(kind, rows), |column| column.slice(0, rows))
    }
}

/// Stands for NULL in a column of numbers under construction. No field can hold
/// it: numbers in flow logs have no sign.
const NULL: i64 = i64::MIN;

/// What the object's path tells about all of its records, as AWS lays it out.
#[derive(Debug, Default)]
struct PathHints {
    account_id: Option<String>,
    region: Option<String>,
}

impl PathHints {
    /// Reads `AWSLogs/<account>/vpcflowlogs/<region>/` and the Hive layout of it.
    fn of(path: &str) -> Self {
        let mut hints = PathHints::default();
        let folders: Vec<&str> = path.split('/').collect();
        for (index, folder) in folders.iter().enumerate() {
            if let Some(account) = folder.strip_prefix("aws-account-id=") {
                hints.account_id = Some(account.to_owned());
            } else if let Some(region) = folder.strip_prefix("aws-region=") {
                hints.region = Some(region.to_owned());
            } else if *folder == "vpcflowlogs" && index > 0 {
                let account = folders[index - 1];
                if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) {
                    hints.account_id = Some(account.to_owned());
                    hints.region = folders.get(index + 1).map(|&region| region.to_owned());
                }
            }
        }
        hints
    }
}

impl VpcFlowParser {
    fn new(setup: Setup, header: Option<Header>) -> Self {
        let whole = VpcFlow.schema();
        let fields: Vec<_> = setup
            .projection
            .iter()
            .map(|&index| Arc::clone(&whole.fields()[index]))
            .collect();
        let columns = setup
            .projection
            .iter()
            .map(|&index| match COLUMNS.get(index).map(|column| column.kind) {
                Some(Text | Json) => Building::Text(TextColumn::default()),
                Some(_) => Building::Number(Vec::new()),
                None => match whole.field(index).name().as_str() {
                    "_line" => Building::Line,
                    "_source" => Building::Source,
                    _ => Building::IngestedAt,
                },
            })
            .collect();
        VpcFlowParser {
            schema: Arc::new(Schema::new(fields)),
            from_path: PathHints::of(&setup.source),
            setup,
            header,
            bad_header: None,
            line: 0,
            skipping: false,
            rows: 0,
            pending: Vec::new(),
            misfits: Vec::new(),
            fields: FieldEnds::default(),
            columns,
            lines: Vec::new(),
            stretches: Stretches::default(),
            scratch: Vec::new(),
            absent: Absent::default(),
        }
    }

    /// Takes the fields of version 2 where none are given: what follows has no header.
    fn assume_default_fields(&mut self) {
        if self.header.is_none() {
            self.header = Header::of_names(DEFAULT_FIELDS.split_whitespace()).ok();
        }
    }

    /// Counts a record that does not reach this parser, and returns its number.
    fn count_line(&mut self) -> u64 {
        self.line += 1;
        self.line
    }

    /// What was too large has been skipped by somebody else.
    fn skip_nothing(&mut self) {
        self.skipping = false;
    }

    /// Reads on to the next usable header line. False: it is not in the block yet.
    fn find_header(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Result<bool, Refusal> {
        while self.header.is_none() {
            let (line, taken) = match memchr::memchr(b'\n', block.rest()) {
                Some(length) => (&block.rest()[..length], length + 1),
                None if last && !block.rest().is_empty() => (block.rest(), block.rest().len()),
                None => return Ok(false),
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.line += 1;
            if line.is_empty() {
                tally.passed += 1;
            } else if Header::looks_like(line) {
                match Header::of_line(line) {
                    Ok(header) => {
                        tally.passed += 1;
                        self.header = Some(header);
                        self.bad_header = None;
                    }
                    Err(reason) => {
                        tally.reject(self.line, reason.as_str(), line);
                        self.bad_header = Some(reason);
                    }
                }
            } else if let Some(reason) = &self.bad_header {
                tally.reject(self.line, format!("its header line is unusable: {reason}"), line);
            } else {
                return Err(refusal(line));
            }
            block.pos += taken;
        }
        Ok(true)
    }

    /// Takes the lines up to the end of the block, the batch, or the next
    /// header, which it does not take.
    fn take_lines(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Stopped {
        let width = self.header.as_ref().map_or(0, |header| header.names.len());
        let room = self.setup.batch_rows - self.rows;
        let bytes = block.bytes();
        let mut stopped = Stopped::NoLineLeft;
        let (pending, misfits, line_number) = (&mut self.pending, &mut self.misfits, &mut self.line);
        let pos = self.fields.split(bytes, block.pos, last, |start, end, fields| {
            let trimmed = if end > start && bytes[end - 1] == b'\r' {
                end - 1
            } else {
                end
            };
            let line = &bytes[start..trimmed];
            // Only a line that begins like a name can be another header.
            if line.first().is_some_and(u8::is_ascii_lowercase) && Header::looks_like(line) {
                stopped = Stopped::HeaderFollows;
                return Verdict::Stop;
            }
            *line_number += 1;
            if fields == width {
                pending.push((*line_number, start as u32, trimmed as u32));
                if pending.len() < room {
                    return Verdict::Keep;
                }
                stopped = Stopped::BatchIsFull;
                return Verdict::KeepAndStop;
            }
            if line.is_empty() {
                tally.passed += 1;
            } else {
                let reason = format!("expected {width} fields, found {fields}");
                misfits.push((*line_number, start as u32, trimmed as u32, reason));
            }
            Verdict::Drop
        });
        self.stretches.open(block);
        block.pos = pos;
        self.settle(block, tally);
        stopped
    }

    /// Turns the pending lines into column values, dropping those that do not parse.
    fn settle(&mut self, block: &Block, tally: &mut Tally) {
        let Some(header) = &self.header else { return };
        let bytes = block.bytes();
        let width = header.names.len();
        let count = self.pending.len();
        // One reason each for the lines that are not records after all.
        let mut bad: Vec<(usize, String)> = Vec::new();
        let (first, end) = (
            self.pending.first().map_or(0, |line| line.1),
            self.pending.last().map_or(0, |line| line.2),
        );
        if simdutf8::basic::from_utf8(&bytes[first as usize..end as usize]).is_err() {
            for (row, &(_, start, end)) in self.pending.iter().enumerate() {
                if std::str::from_utf8(&bytes[start as usize..end as usize]).is_err() {
                    bad.push((row, "not valid UTF-8".to_owned()));
                }
            }
        }
        let ends = self.fields.ends();
        let span = |row: usize, field: usize| {
            let at = row * width + field;
            let start = if field == 0 {
                self.pending[row].1
            } else {
                ends[at - 1] + 1
            };
            // A carriage return before the newline belongs to neither.
            let end = if field + 1 == width {
                self.pending[row].2
            } else {
                ends[at]
            };
            (start as usize, end as usize)
        };

        let start_column = header
            .field_of
            .iter()
            .zip(COLUMNS)
            .position(|(f, c)| f.is_some() && c.name == "start");
        let mut start_values = Vec::new();
        let mut numbers: Vec<(usize, Vec<i64>)> = Vec::new();
        for &(field, column) in &header.numbers {
            let wanted = Some(column) == start_column
                || self
                    .setup
                    .projection
                    .iter()
                    .any(|&index| source_of(index) == Some(column));
            let values = &mut self.scratch;
            values.clear();
            values.reserve(count);
            let most = value_max(column);
            for row in 0..count {
                let (start, end) = span(row, field);
                let value = match parse_digits(bytes, start, end) {
                    Some(value) if value <= most => value,
                    _ if end - start == 1 && bytes[start] == b'-' => NULL,
                    _ => {
                        bad.push((row, number_fault(&header.names[field], &bytes[start..end], most)));
                        NULL
                    }
                };
                values.push(value);
            }
            if Some(column) == start_column {
                start_values.clone_from(values);
            }
            if wanted {
                numbers.push((column, std::mem::take(values)));
            }
        }
        bad.sort_by_key(|(row, _)| *row);
        bad.dedup_by_key(|(row, _)| *row);
        self.misfits.extend(bad.iter().map(|(row, reason)| {
            let (line, start, end) = self.pending[*row];
            (line, start, end, reason.clone())
        }));
        self.misfits.sort_by_key(|misfit| misfit.0);
        for (line, start, end, reason) in self.misfits.drain(..) {
            tally.reject(line, reason, &bytes[start as usize..end as usize]);
        }
        if !bad.is_empty() {
            let dropped: BTreeSet<usize> = bad.iter().map(|(row, _)| *row).collect();
            let keep = |values: &mut Vec<i64>| {
                let mut row = 0;
                values.retain(|_| {
                    row += 1;
                    !dropped.contains(&(row - 1))
                });
            };
            keep(&mut start_values);
            numbers.iter_mut().for_each(|(_, values)| keep(values));
            self.fields.remove_lines(width, |row| dropped.contains(&row));
            let mut row = 0;
            self.pending.retain(|_| {
                row += 1;
                !dropped.contains(&(row - 1))
            });
        }

        let count = self.pending.len();
        tally.rows += count as u64;
        see_starts(&start_values, tally);
        let ends = self.fields.ends();
        let span = |row: usize, field: usize| {
            let at = row * width + field;
            let start = if field == 0 {
                self.pending[row].1
            } else {
                ends[at - 1] + 1
            };
            let end = if field + 1 == width {
                self.pending[row].2
            } else {
                ends[at]
            };
            (start as usize, end as usize)
        };
        // Columns that no header names are not filled at all: most are not, in most logs.
        let before = self.rows;
        for (building, &index) in self.columns.iter_mut().zip(self.setup.projection.iter()) {
            match building {
                Building::Text(column) => match (header.field_of[index], COLUMNS[index].name) {
                    (Some(field), _) => {
                        column.push_nulls(before - column.len());
                        for row in 0..count {
                            let (start, end) = span(row, field);
                            if end - start == 1 && bytes[start] == b'-' {
                                column.push_null();
                            } else {
                                column.push_span(&self.stretches, bytes, start, end);
                            }
                        }
                    }
                    (None, "extra") if !header.unknown.is_empty() => {
                        column.push_nulls(before - column.len());
                        for row in 0..count {
                            match extra_of(header, bytes, |field| span(row, field)) {
                                Some(extra) => column.push_owned(&extra),
                                None => column.push_null(),
                            }
                        }
                    }
                    (None, name) => {
                        let hint = match name {
                            "account_id" => self.from_path.account_id.as_deref(),
                            "region" => self.from_path.region.as_deref(),
                            _ => None,
                        };
                        if let Some(value) = hint {
                            column.push_nulls(before - column.len());
                            (0..count).for_each(|_| column.push_owned(value));
                        }
                    }
                },
                Building::Number(built) => {
                    let from = source_of(index);
                    if let Some((_, values)) = numbers.iter().find(|(column, _)| Some(*column) == from) {
                        built.resize(before, NULL);
                        match COLUMNS[index].kind {
                            Time => built.extend(values.iter().map(|&value| micros(value))),
                            _ => built.extend_from_slice(values),
                        }
                    }
                }
                Building::Line => self
                    .lines
                    .extend(self.pending.iter().map(|&(line, ..)| line as i64)),
                Building::Source | Building::IngestedAt => {}
            }
        }
        // Give one column's memory back for the next block.
        if let Some((_, values)) = numbers.pop() {
            self.scratch = values;
        }
        self.rows += count;
        self.pending.clear();
        self.fields.clear();
        self.stretches.close(block);
    }
}

/// What an object without a usable first line seems to be.
fn refusal(line: &[u8]) -> Refusal {
    let shown = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
    let fields = line.split(|&byte| byte == b' ').count();
    let data_line = fields >= 3
        && line
            .first()
            .is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-');
    Refusal::new(
        if line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff]) {
            "not a flow log: it begins with a UTF-16 byte order mark; flow logs are UTF-8".to_owned()
        } else if line.starts_with(b"{") || line.starts_with(b"[") {
            "not a flow log: it begins like JSON".to_owned()
        } else if line.starts_with(b"PAR1") {
            "a Parquet file: its name must end in .parquet".to_owned()
        } else if data_line {
            format!(
                "no header line names its {fields} fields: give them with --option vpc_flow.fields='version \
             account-id ...' (or 'default' for the 14 fields of version 2), in SQL with OPTIONS \
             ('format.fields' '...')"
            )
        } else {
            format!("not a flow log: the first line names no flow log fields: {shown:?}")
        },
    )
}

/// The column whose field gives the values of column `index`.
fn source_of(index: usize) -> Option<usize> {
    let column = COLUMNS.get(index)?;
    match column.kind {
        Int | Long => Some(index),
        Time => COLUMNS.iter().position(|other| other.name == column.from),
        _ => None,
    }
}

/// Epoch seconds (or milliseconds, see [`SECONDS_MAX`]) as microseconds.
fn micros(value: i64) -> i64 {
    match value {
        NULL => NULL,
        // Beyond the calendar: such a number is no time.
        value if value > SECONDS_MAX * 1000 => NULL,
        value if value > SECONDS_MAX => value * 1000,
        value => value * 1_000_000,
    }
}

fn see_starts(starts: &[i64], tally: &mut Tally) {
    // Lines of an object are nearly in order and many share a second.
    let mut previous = NULL;
    for &start in starts {
        if start != previous && start != NULL {
            previous = start;
            let time = micros(start);
            if time != NULL {
                tally.see(time);
            }
        }
    }
}

fn number_fault(name: &str, value: &[u8], most: i64) -> String {
    let shown = String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned();
    if value.is_empty() {
        format!("{name} is empty")
    } else if value.iter().all(u8::is_ascii_digit) {
        format!("{name} is {shown}, above the most that it can be, {most}")
    } else {
        format!("{name} is {shown:?}, not a number")
    }
}

/// The unknown fields of a line as a JSON object; none if all are `-`.
fn extra_of(header: &Header, bytes: &[u8], span: impl Fn(usize) -> (usize, usize)) -> Option<String> {
    let mut object = serde_json::Map::new();
    for &field in &header.unknown {
        let (start, end) = span(field);
        let value = &bytes[start..end];
        if value != b"-" {
            object.insert(header.names[field].clone(), String::from_utf8_lossy(value).into());
        }
    }
    (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
}

impl Parser for VpcFlowParser {
    fn parse(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Result<Progress, Refusal> {
        if self.skipping {
            match memchr::memchr(b'\n', block.rest()) {
                Some(length) => {
                    block.pos += length + 1;
                    self.skipping = false;
                }
                None => {
                    block.pos = block.bytes().len();
                    return Ok(Progress::NeedsInput);
                }
            }
        }
        loop {
            if self.header.is_none() && !self.find_header(block, last, tally)? {
                return Ok(Progress::NeedsInput);
            }
            let stopped = self.take_lines(block, last, tally);
            if self.rows >= self.setup.batch_rows {
                return Ok(Progress::BatchFull);
            }
            match stopped {
                // Some of the lines were no records: there is room for more.
                Stopped::BatchIsFull => {}
                // Another file was appended to this one: its header counts from here on.
                Stopped::HeaderFollows => self.header = None,
                Stopped::NoLineLeft => return Ok(Progress::NeedsInput),
            }
        }
    }

    fn skip_oversized(&mut self, block: &mut Block, tally: &mut Tally) {
        self.line += 1;
        let reason = format!("a line of more than {} bytes", block.rest().len());
        tally.reject(self.line, reason, block.rest());
        block.pos = block.bytes().len();
        self.skipping = true;
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn flush(&mut self) -> RecordBatch {
        let rows = self.rows;
        let absent = &mut self.absent;
        let arrays: Vec<ArrayRef> = self
            .columns
            .iter_mut()
            .zip(self.setup.projection.iter())
            .zip(self.schema.fields())
            .map(|((building, &index), field)| match building {
                Building::Text(column) if column.is_empty() => absent.column(field.data_type(), rows),
                Building::Number(values) if values.is_empty() => absent.column(field.data_type(), rows),
                Building::Text(column) => {
                    column.push_nulls(rows - column.len());
                    column.finish(&self.stretches)
                }
                Building::Number(values) => {
                    values.resize(rows, NULL);
                    number_array(COLUMNS[index].kind, std::mem::take(values))
                }
                Building::Line => Arc::new(Int64Array::from(std::mem::take(&mut self.lines))),
                Building::Source => constant_text(Some(&self.setup.source), rows),
                Building::IngestedAt => number_array(Time, vec![self.setup.ingested_at; rows]),
            })
            .collect();
        self.rows = 0;
        self.stretches.clear();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .expect("columns are built to the schema, one value a row")
    }

    fn line(&self) -> u64 {
        self.line
    }
}

/// Values with [`NULL`] in them as an Arrow column.
fn number_array(kind: Kind, mut values: Vec<i64>) -> ArrayRef {
    let nulls = values
        .contains(&NULL)
        .then(|| values.iter().map(|&value| value != NULL).collect::<NullBuffer>());
    match kind {
        Int => Arc::new(Int32Array::new(
            values.iter().map(|&value| value as i32).collect(),
            nulls,
        )),
        kind => {
            values
                .iter_mut()
                .filter(|value| **value == NULL)
                .for_each(|value| *value = 0);
            match kind {
                Time => {
                    Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone(TIMESTAMP))
                }
                _ => Arc::new(Int64Array::new(values.into(), nulls)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
