//! `protocol_name(number)` and `protocol_number(name)`

use super::{Body, Function, Group, Type, int, text};

/// See [`Function::about`].
pub const NAME: Function = Function {
    name: "protocol_name",
    group: Group::Ports,
    arguments: &[int("number")],
    gives: Type::Text,
    about: "The name of an IP protocol by its number, as IANA has it, in lower case: tcp for 6, udp for 17, icmp for \
            1. NULL for numbers without a name.",
    example: ("protocol_name(6)", "tcp"),
    body: Body::Scalar(|arguments| {
        let number = arguments.int(0);
        arguments.to_text(|row| name(number.at(row)?))
    }),
};

/// See [`Function::about`].
pub const NUMBER: Function = Function {
    name: "protocol_number",
    group: Group::Ports,
    arguments: &[text("name")],
    gives: Type::Int,
    about: "The number of an IP protocol by the name that `protocol_name` gives it, in any case.",
    example: ("protocol_number('TCP')", "6"),
    body: Body::Scalar(|arguments| {
        let name = arguments.text(0);
        arguments.to_int(|row| number(name.at(row)?))
    }),
};

fn name(number: i64) -> Option<&'static str> {
    let name = PROTOCOLS.get(usize::try_from(number).ok()?)?;
    (!name.is_empty()).then_some(*name)
}

fn number(name: &str) -> Option<i64> {
    let place = PROTOCOLS
        .iter()
        .position(|known| !known.is_empty() && known.eq_ignore_ascii_case(name))?;
    i64::try_from(place).ok()
}

/// By number, from <https://www.iana.org/assignments/protocol-numbers>. 61, 63, 68, 99 and
/// 114 stand for "any" of a kind and have no name.
#[rustfmt::skip]
const PROTOCOLS: &[&str] = &[
    "hopopt", "icmp", "igmp", "ggp", "ipv4", "st", "tcp", "cbt", "egp", "igp",
    "bbn-rcc-mon", "nvp-ii", "pup", "argus", "emcon", "xnet", "chaos", "udp", "mux", "dcn-meas",
    "hmp", "prm", "xns-idp", "trunk-1", "trunk-2", "leaf-1", "leaf-2", "rdp", "irtp", "iso-tp4",
    "netblt", "mfe-nsp", "merit-inp", "dccp", "3pc", "idpr", "xtp", "ddp", "idpr-cmtp", "tp++",
    "il", "ipv6", "sdrp", "ipv6-route", "ipv6-frag", "idrp", "rsvp", "gre", "dsr", "bna",
    "esp", "ah", "i-nlsp", "swipe", "narp", "min-ipv4", "tlsp", "skip", "ipv6-icmp", "ipv6-nonxt",
    "ipv6-opts", "", "cftp", "", "sat-expak", "kryptolan", "rvd", "ippc", "", "sat-mon",
    "visa", "ipcv", "cpnx", "cphb", "wsn", "pvp", "br-sat-mon", "sun-nd", "wb-mon", "wb-expak",
    "iso-ip", "vmtp", "secure-vmtp", "vines", "iptm", "nsfnet-igp", "dgp", "tcf", "eigrp", "ospf",
    "sprite-rpc", "larp", "mtp", "ax.25", "ipip", "micp", "scc-sp", "etherip", "encap", "",
    "gmtp", "ifmp", "pnni", "pim", "aris", "scps", "qnx", "a/n", "ipcomp", "snp",
    "compaq-peer", "ipx-in-ip", "vrrp", "pgm", "", "l2tp", "ddx", "iatp", "stp", "srp",
    "uti", "smp", "sm", "ptp", "isis-over-ipv4", "fire", "crtp", "crudp", "sscopmce", "iplt",
    "sps", "pipe", "sctp", "fc", "rsvp-e2e-ignore", "mobility-header", "udplite", "mpls-in-ip", "manet", "hip",
    "shim6", "wesp", "rohc", "ethernet", "aggfrag", "nsh", "homa",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Some of each ten, so that a name left out is noticed.
    #[test]
    fn numbers_and_names() {
        for (value, expected) in [
            (0, "hopopt"),
            (1, "icmp"),
            (4, "ipv4"),
            (6, "tcp"),
            (17, "udp"),
            (27, "rdp"),
            (33, "dccp"),
            (41, "ipv6"),
            (47, "gre"),
            (50, "esp"),
            (51, "ah"),
            (58, "ipv6-icmp"),
            (60, "ipv6-opts"),
            (73, "cphb"),
            (81, "vmtp"),
            (89, "ospf"),
            (97, "etherip"),
            (103, "pim"),
            (108, "ipcomp"),
            (112, "vrrp"),
            (115, "l2tp"),
            (124, "isis-over-ipv4"),
            (132, "sctp"),
            (137, "mpls-in-ip"),
            (139, "hip"),
            (142, "rohc"),
            (143, "ethernet"),
            (145, "nsh"),
        ] {
            assert_eq!(name(value), Some(expected), "{value}");
            assert_eq!(number(expected), Some(value), "{expected}");
        }
        for value in [-1, 61, 114, 200, 255, 256, i64::MAX] {
            assert_eq!(name(value), None, "{value}");
        }
        assert_eq!(number(""), None);
        assert_eq!(number("quic"), None);
    }

    /// The list that many systems bring along, where this one does.
    #[test]
    fn as_the_system_has_them() {
        let Ok(list) = std::fs::read_to_string("/etc/protocols") else {
            return;
        };
        let mut compared = 0;
        for line in list.lines() {
            let mut words = line.split('#').next().unwrap().split_whitespace();
            let (Some(word), Some(value)) = (words.next(), words.next()) else {
                continue;
            };
            let value: i64 = value.parse().unwrap();
            // Older names for some of them, and one number that is none of IP.
            if !["ip", "ipencap", "isis", "rspf", "mptcp"].contains(&word) {
                assert_eq!(name(value), Some(word.to_lowercase().as_str()), "{value}");
                compared += 1;
            }
        }
        assert!(compared > 0 || list.trim().is_empty());
    }
}
