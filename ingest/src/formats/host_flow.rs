//! Flow records of hosts: what an eBPF agent or a proxy saw, in whatever words it uses.
//!
//! VPC flow logs do not show traffic to the metadata addresses (169.254.169.254 of
//! instances, 169.254.170.2 of tasks); only the host itself sees that. There is no
//! one format for it, so any JSON objects are taken and each column has a list of
//! paths to look for, the first that is there wins. The lists know our own names,
//! those of Elastic (`source.ip`, `process.name`), Hubble and Tetragon, and a few that
//! agents have in common (`src_ip`, `saddr`, `comm`).
//!
//! For other shapes there is the option `mapping`: columns with paths of their own.
//! This reads the connection log of Zeek:
//!
//! ```text
//! event_time=ts,srcaddr=id\.orig_h,srcport=id\.orig_p,dstaddr=id\.resp_h,dstport=id\.resp_p,protocol=proto,bytes=orig_bytes
//! ```
//!
//! Without a mapping an object must have an address to be a flow record. With one
//! that names an address column, any object is taken, and those without a time are rejects.

use std::collections::BTreeMap;

use crate::column::{Column, Kind};
use crate::formats::documents::{self, Class, Object, Shape, Spec, Take, Value, quoted};
use crate::formats::{Format, OptionError, OptionInfo, Parser, Setup, Timeline};
use crate::json;

use Kind::{Int, Long, Text, Time};

/// Longest path of a mapping, in keys. What is deeper is not what it is meant to be.
const PATH_KEYS_MAX: usize = 16;

/// Paths in order of preference: where one agent has an object (`process`) and
/// another a name under the same key, what is inside the object comes first.
#[rustfmt::skip]
const SPECS: &[Spec] = &[
    Spec::first("event_time", Time, &["event_time", "@timestamp", "flow.time", "timestamp", "time", "ts", "start_time", "start"], "When the flow was seen: RFC 3339, or seconds, milliseconds, microseconds or nanoseconds since the epoch."),
    Spec::first("account_id", Text, &["account_id", "cloud.account.id"], "Account of the host."),
    Spec::first("region", Text, &["region", "cloud.region"], "Region of the host."),
    Spec::first("instance_id", Text, &["instance_id", "cloud.instance.id"], "EC2 instance that the host is."),
    Spec::first("host", Text, &["host.name", "host.hostname", "hostname", "node_name", "flow.node_name", "agent.hostname", "host"], "Name of the host."),
    Spec::first("container_id", Text, &["container_id", "container.id", "process_kprobe.process.pod.container.id", "process_kprobe.process.docker"], "Container, as its runtime calls it; some agents put `containerd://` before it."),
    Spec::first("container_name", Text, &["container_name", "container.name", "process_kprobe.process.pod.container.name", "container"], "Name of the container."),
    Spec::made("task_id", Text, &["task_id", "ecs_task_id", "aws.ecs.task.id", "task_arn", "aws.ecs.task.arn", r"container.labels.com_amazonaws_ecs_task-arn", r"container.labels.com\.amazonaws\.ecs\.task-arn"], task_id, "ECS task, by itself or as the last part of its ARN; joins with the other tables."),
    Spec::first("pid", Int, &["process.pid", "pid", "process_id", "process_kprobe.process.pid"], "Process, by the number that the agent sees."),
    Spec::first("process", Text, &["process.executable", "process.name", "process_name", "comm", "exe", "process_kprobe.process.binary", "process"], "Process, by its path or name."),
    Spec::first("srcaddr", Text, SRCADDR, "Source address."),
    Spec::first("srcport", Int, &["srcport", "source.port", "src_port", "sport", "flow.l4.TCP.source_port", "flow.l4.UDP.source_port", "flow.l4.SCTP.source_port", "l4.TCP.source_port", "l4.UDP.source_port", "process_kprobe.args[0].sock_arg.sport", "source_port"], "Source port."),
    Spec::first("dstaddr", Text, DSTADDR, "Destination address; 169.254.169.254 and 169.254.170.2 hand out credentials."),
    Spec::first("dstport", Int, &["dstport", "destination.port", "dst_port", "dport", "flow.l4.TCP.destination_port", "flow.l4.UDP.destination_port", "flow.l4.SCTP.destination_port", "l4.TCP.destination_port", "l4.UDP.destination_port", "process_kprobe.args[0].sock_arg.dport", "destination_port"], "Destination port."),
    Spec::made("protocol", Int, &["protocol", "network.iana_number", "network.transport", "proto", "ip_proto", "flow.l4", "l4", "process_kprobe.args[0].sock_arg.protocol"], protocol, "IANA number of the protocol, also where the log has its name."),
    Spec::first("direction", Text, &["direction", "network.direction", "flow.traffic_direction", "traffic_direction"], "Direction, in the agent's words."),
    Spec::first("bytes", Long, &["bytes", "network.bytes", "source.bytes"], "Bytes of the flow; what is counted depends on the agent."),
    Spec::first("packets", Long, &["packets", "network.packets", "source.packets"], "Packets of the flow."),
    Spec::first("verdict", Text, &["verdict", "flow.verdict", "action", "process_kprobe.action"], "What became of it, in the agent's words: `FORWARDED`, `DROPPED`, `ACCEPT`."),
    Spec::first("http_method", Text, &["http_method", "http.request.method", "flow.l7.http.method", "l7.http.method", "method"], "Method of the HTTP request, from agents and proxies that look inside."),
    Spec::first("http_path", Text, &["http_path", "url.path", "flow.l7.http.url", "l7.http.url", "url.original", "path"], "Path of the HTTP request, or all of its URL."),
    Spec::extra("All other members of the record as one JSON object, as they were written."),
];

const SRCADDR: &[&str] = &[
    "srcaddr",
    "source.ip",
    "src_ip",
    "src_addr",
    "saddr",
    "flow.IP.source",
    "IP.source",
    "process_kprobe.args[0].sock_arg.saddr",
    "client.ip",
    "source_ip",
    "src.ip",
];

const DSTADDR: &[&str] = &[
    "dstaddr",
    "destination.ip",
    "dst_ip",
    "dst_addr",
    "daddr",
    "flow.IP.destination",
    "IP.destination",
    "process_kprobe.args[0].sock_arg.daddr",
    "server.ip",
    "destination_ip",
    "dst.ip",
];

const COLUMNS: [Column; SPECS.len()] = documents::columns(SPECS);

/// Objects with an address at one of the paths above.
static KNOWN: Shape = Shape {
    noun: "a flow record of a host",
    specs: SPECS,
    class: |object| match class_of_agents(object) {
        Some(class) => class,
        None if SRCADDR
            .iter()
            .chain(DSTADDR)
            .any(|path| object.at(path).is_some()) =>
        {
            Class::Record
        }
        None => Class::Unknown,
    },
    marks: &[
        "srcaddr",
        "dstaddr",
        "destination",
        "src_ip",
        "dst_ip",
        "src_addr",
        "dst_addr",
        "saddr",
        "daddr",
        "flow",
        "IP",
        "process_kprobe",
        "destination_ip",
    ],
    lists: &["events"],
    constants: &[],
};

/// Any objects but known envelopes: their addresses are where a mapping says.
static MAPPED: Shape = Shape {
    class: |object| match class_of_agents(object) {
        Some(class) => class,
        None if is_envelope(object) => Class::Unknown,
        None => Class::Record,
    },
    ..KNOWN
};

/// Flow records of hosts.
#[derive(Debug, Clone, Copy)]
pub struct HostFlow;

impl Format for HostFlow {
    fn name(&self) -> &'static str {
        "host_flow"
    }

    fn about(&self) -> &'static str {
        "Flow records of hosts, as JSON of an eBPF agent or a proxy: the only source that sees traffic to the metadata \
         addresses 169.254.169.254 and 169.254.170.2, and the process behind a flow. Knows the names of Elastic, Hubble, \
         Tetragon and some others; the option mapping says where other agents put things. Other events of Tetragon and \
         Hubble are passed over, their messages of lost events are rejects. What root on the host writes, root can forge."
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn options(&self) -> &'static [OptionInfo] {
        &[OptionInfo {
            name: "mapping",
            about: "Where columns find their values, in place of the known names: `dstaddr=net.dst.ip,dstport=net.dst.port`. \
                    Paths are keys with dots between them, `[0]` for the first element of an array, `\\.` for a dot \
                    that is part of a key, `|` between paths of which the first that is there counts.",
        }]
    }

    fn timeline(&self) -> Timeline {
        Timeline {
            who: "coalesce(task_id, container_name, container_id, process, host)",
            what: "concat_ws(' ', coalesce(verdict, direction), http_method, http_path, 'protocol', protocol, 'port', dstport)",
            place: "dstaddr",
            from: "srcaddr",
        }
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        let mut mapping = BTreeMap::new();
        for (name, value) in &setup.options {
            let refuse = |reason| OptionError {
                format: "host_flow",
                name: name.clone(),
                reason,
            };
            if name != "mapping" {
                return Err(refuse("there is no such option; there is `mapping`".to_owned()));
            }
            mapping = parse_mapping(value).map_err(refuse)?;
        }
        let names_address = mapping.contains_key("srcaddr") || mapping.contains_key("dstaddr");
        let shape = if names_address { &MAPPED } else { &KNOWN };
        Ok(documents::parser_with_paths(shape, &setup, |column| {
            mapping.get(column.name).cloned()
        }))
    }
}

/// Paths for columns, as the option says: `column=path|path,column=path`.
fn parse_mapping(text: &str) -> Result<BTreeMap<&'static str, Vec<String>>, String> {
    let mut mapping = BTreeMap::new();
    for part in split(text, ',') {
        if part.trim().is_empty() {
            continue;
        }
        let (name, paths) = part
            .split_once('=')
            .ok_or_else(|| format!("{} is not `column=path`", quoted(part)))?;
        let name = name.trim();
        let spec = SPECS
            .iter()
            .find(|spec| spec.column.name == name && !matches!(spec.take, Take::Extra))
            .ok_or_else(|| {
                format!(
                    "{} is not a column to map; there are {}",
                    quoted(name),
                    mappable()
                )
            })?;
        let paths: Vec<String> = split(paths, '|').map(|path| path.trim().to_owned()).collect();
        for path in &paths {
            if path.is_empty() {
                return Err(format!("`{name}` has an empty path"));
            }
            if path.matches(['.', '[']).count() >= PATH_KEYS_MAX {
                return Err(format!("{} has more than {PATH_KEYS_MAX} keys", quoted(path)));
            }
        }
        if mapping.insert(spec.column.name, paths).is_some() {
            return Err(format!("`{name}` is mapped twice; put `|` between several paths"));
        }
    }
    if mapping.is_empty() {
        return Err("maps no column; an example is `dstaddr=net.dst.ip,dstport=net.dst.port`".to_owned());
    }
    Ok(mapping)
}

/// Splits at `separator`, but not where a backslash is before it.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    text.split(move |char| {
        let splits = char == separator && !is_escaped;
        is_escaped = char == '\\' && !is_escaped;
        splits
    })
}

fn mappable() -> String {
    let names: Vec<&str> = COLUMNS
        .iter()
        .map(|column| column.name)
        .filter(|&name| name != "extra")
        .collect();
    names.join(", ")
}

/// What Hubble and Tetragon write besides flows.
fn class_of_agents(object: &Object<'_>) -> Option<Class> {
    if object.has("lost_events") {
        return Some(Class::Reject(
            "the agent says that it lost events here".to_owned(),
        ));
    }
    let of_hubble = ["node_status", "agent_event", "debug_event"];
    let of_tetragon = [
        "process_exec",
        "process_exit",
        "process_tracepoint",
        "process_uprobe",
        "process_lsm",
        "process_loader",
    ];
    if of_hubble.iter().chain(&of_tetragon).any(|key| object.has(key)) {
        return Some(Class::Pass);
    }
    // A probe of a function with a socket, or of another one.
    let arguments = object.at("process_kprobe.args")?;
    let has_socket = memchr::memmem::find(arguments, b"\"sock_arg\"").is_some();
    Some(if has_socket { Class::Record } else { Class::Pass })
}

/// What all formats know to look into, or to be another kind of log.
fn is_envelope(object: &Object<'_>) -> bool {
    let has_all = |keys: &[&str]| keys.iter().all(|key| object.has(key));
    object.has("messageType")
        || object.has("detail-type")
        || has_all(&["message", "timestamp", "ingestionTime"])
        || has_all(&["id", "timestamp", "message"])
        || has_all(&["events", "searchedLogStreams"])
        || has_all(&["Type", "Message"])
        || has_all(&["eventVersion", "eventSource"])
}

fn task_id<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    let text = found.iter().flatten().find_map(|raw| json::string(raw))?;
    let id = text.rsplit('/').next().filter(|id| !id.is_empty())?;
    Some(Value::Text(id.to_owned().into()))
}

/// The first of the values that is a protocol: its number, its name, or Hubble's object with its name as key.
fn protocol<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    found
        .iter()
        .flatten()
        .find_map(|raw| protocol_number(raw))
        .map(Value::Int)
}

fn protocol_number(raw: &[u8]) -> Option<i64> {
    if json::Kind::of(raw) == json::Kind::Object {
        let key = json::Members::new(raw, 0).ok()?.next_key().ok()??;
        return protocol_named(&json::unescape(&raw[key]));
    }
    let text = json::string(raw).unwrap_or_else(|| String::from_utf8_lossy(raw));
    match text.parse::<u8>() {
        Ok(number) => Some(number.into()),
        Err(_) => protocol_named(&text),
    }
}

/// The number of a protocol that flows have, by the names that agents use.
fn protocol_named(name: &str) -> Option<i64> {
    let name = name.to_ascii_lowercase();
    Some(match name.strip_prefix("ipproto_").unwrap_or(&name) {
        "icmp" | "icmpv4" | "icmp4" => 1,
        "igmp" => 2,
        "tcp" | "tcp4" | "tcp6" => 6,
        "udp" | "udp4" | "udp6" => 17,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "icmpv6" | "icmp6" | "ipv6-icmp" | "ipv6_icmp" => 58,
        "sctp" => 132,
        "udplite" | "udp-lite" => 136,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::documents::testing::{
        Outcome, Way, any_stream, check_documents, check_stream, column_names, read, read_as, refusal,
    };
    use proptest::prelude::*;

    const OURS: &str = r#"{"event_time":"2025-11-20T07:05:09.5Z","account_id":"111122223333","host":"ip-10-0-0-5","container_id":"c0ffee","container_name":"web","task_id":"0123456789abcdef0123456789abcdef","pid":4242,"process":"/usr/bin/curl","srcaddr":"10.0.0.5","srcport":49152,"dstaddr":"169.254.170.2","dstport":80,"protocol":6,"direction":"egress","bytes":812,"packets":9,"verdict":"ACCEPT","http_method":"GET","http_path":"/v2/credentials/x","cgroup":7}"#;
    const ELASTIC: &str = r#"{"@timestamp":"2025-11-20T07:05:10Z","source":{"ip":"10.0.0.5","port":49153,"bytes":100},"destination":{"ip":"169.254.169.254","port":80},"network":{"transport":"tcp","direction":"egress","bytes":300,"packets":4},"process":{"name":"python3","pid":17},"host":{"name":"web-1"},"container":{"id":"beef","name":"app","labels":{"com_amazonaws_ecs_task-arn":"arn:aws:ecs:eu-west-1:111122223333:task/prod/abc"}},"cloud":{"account":{"id":"111122223333"},"region":"eu-west-1","instance":{"id":"i-0abc"}},"http":{"request":{"method":"PUT"}},"url":{"path":"/latest/api/token"}}"#;
    const HUBBLE: &str = r#"{"flow":{"time":"2025-11-20T07:05:11.000000001Z","verdict":"DROPPED","IP":{"source":"10.0.0.5","destination":"192.0.2.9","ipVersion":"IPv4"},"l4":{"UDP":{"source_port":5353,"destination_port":53}},"source":{"pod_name":"web"},"node_name":"n1","traffic_direction":"EGRESS"},"node_name":"n1","time":"2025-11-20T07:05:11Z"}"#;
    const TETRAGON: &str = r#"{"process_kprobe":{"process":{"pid":99,"binary":"/usr/bin/wget","docker":"c0ffee"},"function_name":"tcp_connect","args":[{"sock_arg":{"family":"AF_INET","type":"SOCK_STREAM","protocol":"IPPROTO_TCP","saddr":"10.0.0.5","daddr":"169.254.169.254","sport":41000,"dport":80}}],"action":"KPROBE_ACTION_POST"},"node_name":"n2","time":"2025-11-20T07:05:12Z"}"#;
    const AGENT: &str = r#"{"ts":1763622309123456789,"saddr":"2001:db8::1","daddr":"2001:db8::2","sport":"1","dport":"2","proto":"UDP","comm":"dig","pid":1}"#;
    const RECORDS: &[&str] = &[OURS, ELASTIC, HUBBLE, TETRAGON, AGENT];

    fn with_mapping(text: &str, mapping: &str) -> Result<Outcome, String> {
        let options = [("mapping", mapping)];
        let way = Way {
            options: &options,
            ..Way::default()
        };
        read_as(&HostFlow, text.as_bytes(), &way)
    }

    #[test]
    fn known_shapes_fill_the_columns() {
        let outcome = read(&HostFlow, &RECORDS.join("\n"));
        assert_eq!(outcome.rejects, []);
        for (column, expected) in [
            (
                "event_time",
                [
                    "2025-11-20T07:05:09.500Z",
                    "2025-11-20T07:05:10Z",
                    "2025-11-20T07:05:11Z",
                    "2025-11-20T07:05:12Z",
                    "2025-11-20T07:05:09.123456Z",
                ],
            ),
            (
                "account_id",
                ["111122223333", "111122223333", "NULL", "NULL", "NULL"],
            ),
            ("instance_id", ["NULL", "i-0abc", "NULL", "NULL", "NULL"]),
            ("host", ["ip-10-0-0-5", "web-1", "n1", "n2", "NULL"]),
            ("container_id", ["c0ffee", "beef", "NULL", "c0ffee", "NULL"]),
            ("container_name", ["web", "app", "NULL", "NULL", "NULL"]),
            (
                "task_id",
                ["0123456789abcdef0123456789abcdef", "abc", "NULL", "NULL", "NULL"],
            ),
            ("pid", ["4242", "17", "NULL", "99", "1"]),
            (
                "process",
                ["/usr/bin/curl", "python3", "NULL", "/usr/bin/wget", "dig"],
            ),
            (
                "srcaddr",
                ["10.0.0.5", "10.0.0.5", "10.0.0.5", "10.0.0.5", "2001:db8::1"],
            ),
            ("srcport", ["49152", "49153", "5353", "41000", "1"]),
            (
                "dstaddr",
                [
                    "169.254.170.2",
                    "169.254.169.254",
                    "192.0.2.9",
                    "169.254.169.254",
                    "2001:db8::2",
                ],
            ),
            ("dstport", ["80", "80", "53", "80", "2"]),
            ("protocol", ["6", "6", "17", "6", "17"]),
            ("direction", ["egress", "egress", "EGRESS", "NULL", "NULL"]),
            ("bytes", ["812", "300", "NULL", "NULL", "NULL"]),
            ("packets", ["9", "4", "NULL", "NULL", "NULL"]),
            (
                "verdict",
                ["ACCEPT", "NULL", "DROPPED", "KPROBE_ACTION_POST", "NULL"],
            ),
            ("http_method", ["GET", "PUT", "NULL", "NULL", "NULL"]),
            (
                "http_path",
                ["/v2/credentials/x", "/latest/api/token", "NULL", "NULL", "NULL"],
            ),
        ] {
            assert_eq!(outcome.column(column), expected, "{column}");
        }
        assert!(outcome.column("extra")[0].contains(r#""cgroup":7"#));
        assert!(outcome.column("extra")[2].contains(r#""pod_name":"web""#));
    }

    #[test]
    fn records_read_the_same_in_every_shape() {
        check_documents(&HostFlow, RECORDS);
    }

    #[test]
    fn a_mapping_puts_columns_elsewhere() {
        let zeek = r#"{"ts":1763622309.25,"uid":"C1","id.orig_h":"10.0.0.5","id.orig_p":49152,"id.resp_h":"169.254.169.254","id.resp_p":80,"proto":"tcp","orig_bytes":70}"#;
        let mapping = r"event_time=ts, srcaddr=id\.orig_h,srcport=id\.orig_p,dstaddr=id\.resp_h|x,dstport=x|id\.resp_p,protocol=x|proto,bytes=orig_bytes,";
        let outcome = with_mapping(zeek, mapping).unwrap();
        assert_eq!(
            outcome.cells(0),
            [
                "bytes=70",
                "dstaddr=169.254.169.254",
                "dstport=80",
                "event_time=2025-11-20T07:05:09.250Z",
                r#"extra={"uid":"C1","proto":"tcp"}"#,
                "protocol=6",
                "srcaddr=10.0.0.5",
                "srcport=49152",
            ]
        );
        // Known names stay where nothing is mapped, and the envelopes with them.
        let outcome = with_mapping(
            r#"{"t":1763622309,"a":["192.0.2.1"],"dport":"443"}"#,
            "event_time=t,dstaddr=a[0]",
        )
        .unwrap();
        assert_eq!(outcome.column("dstaddr"), ["192.0.2.1"]);
        assert_eq!(outcome.column("dstport"), ["443"]);
        let outcome = with_mapping(
            r#"{"Type":"Notification","Message":"{\"t\":1,\"a\":\"192.0.2.1\"}"}"#,
            "event_time=t,dstaddr=a",
        )
        .unwrap();
        assert_eq!(outcome.column("dstaddr"), ["192.0.2.1"]);
        let outcome = with_mapping("{\"a\":1}\n{\"t\":1}", "event_time=t,dstaddr=a").unwrap();
        assert_eq!((outcome.rows.len(), outcome.reasons()), (1, vec!["t is missing"]));
    }

    #[test]
    fn mappings_that_make_no_sense_are_refused() {
        for (mapping, reason) in [
            ("", "maps no column"),
            ("dstaddr", "\"dstaddr\" is not `column=path`"),
            (
                "dst=a",
                "\"dst\" is not a column to map; there are event_time, account_id",
            ),
            ("extra=a", "\"extra\" is not a column to map"),
            ("dstaddr=", "`dstaddr` has an empty path"),
            ("dstaddr=a|", "`dstaddr` has an empty path"),
            ("dstaddr=a,dstaddr=b", "`dstaddr` is mapped twice"),
            (
                "dstaddr=a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a",
                "\"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a\" has more than 16 keys",
            ),
        ] {
            let mut setup = Setup::whole(&HostFlow, "test");
            setup.options.insert("mapping".to_owned(), mapping.to_owned());
            let error = HostFlow.parser(setup).err().expect(mapping);
            assert!(error.reason.starts_with(reason), "{mapping}: {error}");
        }
        let mut setup = Setup::whole(&HostFlow, "test");
        setup.options.insert("map".to_owned(), "dstaddr=a".to_owned());
        assert!(HostFlow.parser(setup).is_err());
    }

    #[test]
    fn other_events_of_agents_are_passed_over_and_losses_are_not() {
        let text = format!(
            "{HUBBLE}\n{}\n{}\n{}\n{}\n",
            r#"{"node_status":{"state_change":"NODE_CONNECTED"},"time":"2025-11-20T07:05:11Z"}"#,
            r#"{"process_exec":{"process":{"pid":1}},"time":"2025-11-20T07:05:11Z"}"#,
            r#"{"process_kprobe":{"function_name":"fd_install","args":[{"int_arg":1}]},"time":"2025-11-20T07:05:11Z"}"#,
            r#"{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"5"},"time":"2025-11-20T07:05:11Z"}"#,
        );
        let outcome = read(&HostFlow, &text);
        assert_eq!((outcome.rows.len(), outcome.passed), (1, 3));
        assert_eq!(outcome.reasons(), ["the agent says that it lost events here"]);
    }

    #[test]
    fn other_logs_are_refused() {
        for (text, reason) in [
            (
                r#"{"timestamp":1763622309123,"level":"info","msg":"x"}"#,
                "not a flow record of a host: it has the keys",
            ),
            (
                r#"{"Records":[{"eventVersion":"1.08","eventName":"A"}]}"#,
                "CloudTrail records",
            ),
            (
                "version account-id interface-id srcaddr\n2 1 2 3",
                "not JSON with a flow record of a host in it but a VPC flow log",
            ),
        ] {
            assert!(
                refusal(&HostFlow, text).starts_with(reason),
                "{}",
                refusal(&HostFlow, text)
            );
        }
    }

    #[test]
    fn protocols_have_numbers_by_any_name() {
        for (raw, expected) in [
            ("6", Some(6)),
            ("\"6\"", Some(6)),
            ("\"TCP\"", Some(6)),
            ("\"IPPROTO_UDP\"", Some(17)),
            ("\"ipv6-icmp\"", Some(58)),
            ("{\"ICMPv6\":{}}", Some(58)),
            ("{}", None),
            ("256", None),
            ("-1", None),
            ("\"http\"", None),
            ("[6]", None),
        ] {
            assert_eq!(protocol_number(raw.as_bytes()), expected, "{raw}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn splits_and_projections_change_nothing(
            stream in any_stream(RECORDS),
            sizes in prop::collection::vec(1usize..300, 1..4),
            batch_rows in 1usize..4,
            columns in prop::sample::subsequence(column_names(&HostFlow), 0..6),
        ) {
            check_stream(&HostFlow, &stream, &sizes, batch_rows, &columns);
        }

        #[test]
        fn any_mapping_is_taken_or_refused(mapping in "[a-z=,|\\\\.\\[\\]0-9]{0,40}", column in prop::sample::select(vec!["dstaddr", "protocol", "event_time", "task_id"])) {
            let _ = parse_mapping(&mapping);
            let mapping = format!("{column}={mapping}");
            if parse_mapping(&mapping).is_ok() {
                let _ = with_mapping(&RECORDS.join("\n"), &mapping);
            }
        }
    }
}
