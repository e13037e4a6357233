//! `port_name(port [, protocol])` and `port_number(name)`

use super::{Body, Function, Group, Type, int, text};

/// See [`Function::about`].
pub const NAME: Function = Function {
    name: "port_name",
    group: Group::Ports,
    arguments: &[int("port"), int("protocol").optional()],
    gives: Type::Text,
    about: "The service that is usually found at a port, by the name that people use: https for 443, postgresql for \
            5432. With a protocol (6 is TCP, 17 is UDP) only if it is found there under that one. It says nothing of \
            what really speaks there. NULL for ports without a name.",
    example: ("port_name(443)", "https"),
    body: Body::Scalar(|arguments| {
        let port = arguments.int(0);
        if arguments.count() == 1 {
            return arguments.to_text(|row| name(port.at(row)?, None));
        }
        let protocol = arguments.int(1);
        arguments.to_text(|row| name(port.at(row)?, Some(protocol.at(row)?)))
    }),
};

/// See [`Function::about`].
pub const NUMBER: Function = Function {
    name: "port_number",
    group: Group::Ports,
    arguments: &[text("name")],
    gives: Type::Int,
    about: "The port of a service by the name that `port_name` gives it, in any case; the first of several.",
    example: ("port_number('rdp')", "3389"),
    body: Body::Scalar(|arguments| {
        let name = arguments.text(0);
        arguments.to_int(|row| number(name.at(row)?))
    }),
};

fn name(port: i64, protocol: Option<i64>) -> Option<&'static str> {
    let port = u16::try_from(port).ok()?;
    // The ports of one number stand together, TCP first.
    let first = PORTS.partition_point(|(known, ..)| *known < port);
    PORTS[first..]
        .iter()
        .take_while(|(known, ..)| *known == port)
        .find(|(_, _, protocols)| protocol.is_none_or(|protocol| protocols.contains(&protocol)))
        .map(|(_, name, _)| *name)
}

fn number(name: &str) -> Option<i64> {
    let found = PORTS
        .iter()
        .find(|(_, known, _)| known.eq_ignore_ascii_case(name))?;
    Some(i64::from(found.0))
}

const TCP: &[i64] = &[6];
const UDP: &[i64] = &[17];
const BOTH: &[i64] = &[6, 17];

/// Ports that matter in a cloud network: port, name, protocols. In order of the ports.
#[rustfmt::skip]
const PORTS: &[(u16, &str, &[i64])] = &[
    (7, "echo", BOTH), (9, "discard", BOTH), (13, "daytime", BOTH), (17, "qotd", BOTH), (19, "chargen", BOTH),
    (20, "ftp-data", TCP), (21, "ftp", TCP), (22, "ssh", TCP), (23, "telnet", TCP), (25, "smtp", TCP),
    (37, "time", BOTH), (43, "whois", TCP), (49, "tacacs", BOTH), (53, "dns", BOTH), (67, "dhcp-server", UDP),
    (68, "dhcp-client", UDP), (69, "tftp", UDP), (79, "finger", TCP), (80, "http", BOTH), (88, "kerberos", BOTH),
    (110, "pop3", TCP), (111, "rpcbind", BOTH), (113, "ident", TCP), (119, "nntp", TCP), (123, "ntp", UDP),
    (135, "msrpc", TCP), (137, "netbios-ns", UDP), (138, "netbios-dgm", UDP), (139, "netbios-ssn", TCP),
    (143, "imap", TCP), (161, "snmp", BOTH), (162, "snmp-trap", BOTH), (179, "bgp", TCP), (194, "irc", TCP),
    (389, "ldap", BOTH), (427, "svrloc", BOTH), (443, "https", BOTH), (445, "smb", TCP), (464, "kpasswd", BOTH),
    (465, "smtps", TCP), (500, "ike", UDP), (502, "modbus", TCP), (512, "rexec", TCP), (513, "rlogin", TCP),
    (514, "rsh", TCP), (514, "syslog", UDP), (515, "lpd", TCP), (520, "rip", UDP), (546, "dhcpv6-client", UDP),
    (547, "dhcpv6-server", UDP), (548, "afp", TCP), (554, "rtsp", BOTH), (587, "submission", TCP),
    (593, "msrpc-http", TCP), (623, "ipmi", UDP), (631, "ipp", BOTH), (636, "ldaps", TCP), (749, "kerberos-adm", TCP),
    (853, "dns-tls", BOTH), (873, "rsync", TCP), (989, "ftps-data", TCP), (990, "ftps", TCP), (992, "telnets", TCP),
    (993, "imaps", TCP), (995, "pop3s", TCP), (1080, "socks", TCP), (1099, "rmi", TCP), (1194, "openvpn", BOTH),
    (1433, "mssql", TCP), (1434, "mssql-browser", UDP), (1521, "oracle", TCP), (1701, "l2tp", UDP),
    (1723, "pptp", TCP), (1812, "radius", BOTH), (1813, "radius-acct", BOTH), (1883, "mqtt", TCP),
    (1900, "ssdp", UDP), (2049, "nfs", BOTH), (2181, "zookeeper", TCP), (2375, "docker", TCP),
    (2376, "docker-tls", TCP), (2377, "docker-swarm", TCP), (2379, "etcd", TCP), (2380, "etcd-peer", TCP),
    (3000, "grafana", TCP), (3128, "http-proxy", TCP), (3260, "iscsi", TCP), (3268, "ldap-gc", TCP),
    (3269, "ldaps-gc", TCP), (3306, "mysql", TCP), (3389, "rdp", BOTH), (3478, "stun", BOTH), (3690, "svn", TCP),
    (4190, "sieve", TCP), (4369, "epmd", TCP), (4500, "ipsec-nat-t", UDP),
    (4646, "nomad", TCP), (4789, "vxlan", UDP), (5000, "docker-registry", TCP), (5060, "sip", BOTH),
    (5061, "sip-tls", TCP), (5222, "xmpp-client", TCP), (5269, "xmpp-server", TCP), (5353, "mdns", UDP),
    (5355, "llmnr", BOTH), (5432, "postgresql", TCP), (5439, "redshift", TCP), (5601, "kibana", TCP),
    (5671, "amqps", TCP), (5672, "amqp", TCP), (5683, "coap", UDP), (5900, "vnc", TCP), (5938, "teamviewer", BOTH),
    (5984, "couchdb", TCP), (5985, "winrm", TCP), (5986, "winrm-https", TCP), (6000, "x11", TCP),
    (6081, "geneve", UDP), (6379, "redis", TCP), (6443, "kubernetes-api", TCP), (6514, "syslog-tls", TCP),
    (6667, "irc", TCP), (6697, "ircs", TCP), (7000, "cassandra", TCP), (7001, "weblogic", TCP), (7077, "spark", TCP),
    (7474, "neo4j", TCP), (7687, "neo4j-bolt", TCP), (8000, "http-alt", TCP), (8008, "http-alt", TCP),
    (8080, "http-alt", TCP), (8086, "influxdb", TCP), (8088, "yarn", TCP), (8200, "vault", TCP),
    (8300, "consul-rpc", TCP), (8333, "bitcoin", TCP), (8443, "https-alt", TCP), (8472, "vxlan-linux", UDP),
    (8500, "consul", TCP), (8883, "mqtts", TCP), (8888, "jupyter", TCP), (9000, "minio", TCP),
    (9001, "tor-orport", TCP), (9042, "cassandra-cql", TCP), (9050, "tor-socks", TCP), (9090, "prometheus", TCP),
    (9092, "kafka", TCP), (9093, "kafka-tls", TCP), (9100, "node-exporter", TCP), (9160, "cassandra-thrift", TCP),
    (9200, "elasticsearch", TCP), (9300, "elasticsearch-peer", TCP), (9418, "git", TCP),
    (10000, "webmin", TCP), (10050, "zabbix-agent", TCP), (10051, "zabbix", TCP), (10250, "kubelet", TCP),
    (10255, "kubelet-read-only", TCP), (11211, "memcached", BOTH), (11434, "ollama", TCP), (15672, "rabbitmq", TCP),
    (25565, "minecraft", TCP), (27017, "mongodb", TCP), (27018, "mongodb-shard", TCP), (27019, "mongodb-config", TCP),
    (47808, "bacnet", UDP), (50000, "db2", TCP), (50070, "hdfs", TCP), (51678, "ecs-agent", TCP),
    (51820, "wireguard", UDP), (61616, "activemq", TCP),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_for_the_search() {
        assert!(PORTS.is_sorted_by_key(|(port, ..)| *port));
    }

    #[test]
    fn ports() {
        for (port, protocol, expected) in [
            (22, None, Some("ssh")),
            (443, Some(6), Some("https")),
            (443, Some(17), Some("https")),
            (514, None, Some("rsh")),
            (514, Some(6), Some("rsh")),
            (514, Some(17), Some("syslog")),
            (22, Some(17), None),
            (443, Some(1), None),
            (61616, None, Some("activemq")),
            (7, None, Some("echo")),
            (4, None, None),
            (65535, None, None),
            (65536 + 22, None, None),
            (-1, None, None),
        ] {
            assert_eq!(name(port, protocol), expected, "{port} {protocol:?}");
        }
    }

    /// The registered names and ours are one service: what the system's list, where
    /// there is one, calls by the same name stands at the same port.
    #[test]
    fn as_the_system_has_them() {
        let Ok(list) = std::fs::read_to_string("/etc/services") else {
            return;
        };
        for line in list.lines() {
            let mut words = line.split('#').next().unwrap().split_whitespace();
            let (Some(word), Some(at)) = (words.next(), words.next()) else {
                continue;
            };
            if !at.ends_with("/tcp") && !at.ends_with("/udp") {
                continue;
            }
            let port: i64 = at.split('/').next().unwrap().parse().unwrap();
            let ours: Vec<i64> = PORTS
                .iter()
                .filter(|(_, name, _)| *name == word)
                .map(|(port, ..)| i64::from(*port))
                .collect();
            assert!(ours.is_empty() || ours.contains(&port), "{word} {port} {ours:?}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number("SSH"), Some(22));
        assert_eq!(number("syslog"), Some(514));
        assert_eq!(number("irc"), Some(194));
        assert_eq!(number("nothing"), None);
    }
}
