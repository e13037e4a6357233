//! Small files about addresses, made by the tests: ranges of AWS, MaxMind databases, threat lists.

use std::path::{Path, PathBuf};

use trailhound_query::EnrichmentFiles;

/// Ranges as AWS publishes them.
pub const AWS_RANGES: &str = r#"{
  "syncToken": "1763622000",
  "createDate": "2025-11-20-07-00-00",
  "prefixes": [
    {"ip_prefix": "3.5.140.0/22", "region": "ap-northeast-2", "service": "AMAZON", "network_border_group": "ap-northeast-2"},
    {"ip_prefix": "3.5.140.0/22", "region": "ap-northeast-2", "service": "S3", "network_border_group": "ap-northeast-2"},
    {"ip_prefix": "3.5.140.0/22", "region": "ap-northeast-2", "service": "EC2", "network_border_group": "ap-northeast-2"},
    {"ip_prefix": "52.94.76.0/22", "region": "us-west-2", "service": "AMAZON", "network_border_group": "us-west-2"},
    {"ip_prefix": "13.32.0.0/15", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"}
  ],
  "ipv6_prefixes": [
    {"ipv6_prefix": "2600:1f18::/33", "region": "us-east-1", "service": "EC2", "network_border_group": "us-east-1"}
  ]
}"#;

/// A threat list with comments, addresses, networks, and a line that is nothing.
pub const TOR_EXITS: &str = "# Exits\n# Last updated: 2026-11-10 00:00:00 UTC\n198.51.100.7\n203.0.113.0/28 ; some\n\
                             2001:db8:bad::/48\nnot an address\n";

/// Writes a file and gives its path.
pub fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// One file of each kind, and two lists.
pub fn files(folder: &Path) -> EnrichmentFiles {
    let country = |code: &str| Data::Map(vec![("country", Data::Map(vec![("iso_code", Data::text(code))]))]);
    let registered = Data::Map(vec![(
        "registered_country",
        Data::Map(vec![("iso_code", Data::text("SE"))]),
    )]);
    let system = |number: u32, name: &str| {
        Data::Map(vec![
            ("autonomous_system_number", Data::Number(number)),
            ("autonomous_system_organization", Data::text(name)),
        ])
    };
    let geoip = [
        ("81.2.69.0/24", country("GB")),
        ("89.160.20.112/28", registered),
        ("2001:218::/32", country("JP")),
    ];
    let asn = [
        ("81.2.69.0/24", system(20712, "Andrews & Arnold Ltd")),
        ("2001:218::/32", system(2914, "NTT America, Inc.")),
    ];
    EnrichmentFiles {
        aws_ranges: Some(write(folder, "ip-ranges.json", AWS_RANGES)),
        geoip: Some(write(
            folder,
            "country.mmdb",
            database("GeoLite2-Country", &geoip),
        )),
        asn: Some(write(folder, "asn.mmdb", database("GeoLite2-ASN", &asn))),
        threat_lists: vec![
            write(folder, "tor-exits.txt", TOR_EXITS),
            write(folder, "scanners.txt", "# updated 2026-11-19\n198.51.100.0/24\n"),
        ],
    }
}

/// A value in a MaxMind database.
#[derive(Debug, Clone)]
pub enum Data {
    Map(Vec<(&'static str, Data)>),
    Text(String),
    Number(u32),
}

impl Data {
    pub fn text(text: &str) -> Data {
        Data::Text(text.to_owned())
    }

    /// See <https://maxmind.github.io/MaxMind-DB/>, "Data Field Format".
    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Data::Map(members) => {
                control(bytes, 7, members.len());
                for (key, value) in members {
                    Data::text(key).encode(bytes);
                    value.encode(bytes);
                }
            }
            Data::Text(text) => {
                control(bytes, 2, text.len());
                bytes.extend(text.as_bytes());
            }
            Data::Number(number) => {
                control(bytes, 6, 4);
                bytes.extend(number.to_be_bytes());
            }
        }
    }
}

fn control(bytes: &mut Vec<u8>, kind: u8, size: usize) {
    match size {
        0..29 => bytes.push(kind << 5 | size as u8),
        _ => bytes.extend([kind << 5 | 29, u8::try_from(size - 29).unwrap()]),
    }
}

/// Where a bit of an address leads.
#[derive(Clone, Copy)]
enum Edge {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A MaxMind database of these networks, IPv4 in `::/96` of an IPv6 tree.
pub fn database(kind: &str, networks: &[(&str, Data)]) -> Vec<u8> {
    let (mut tree, mut data) = (vec![[Edge::Nothing; 2]], Vec::new());
    for (cidr, value) in networks {
        let (address, bits) = cidr.split_once('/').unwrap();
        let bits: u32 = bits.parse().unwrap();
        let (address, bits) = match address.parse().unwrap() {
            std::net::IpAddr::V4(address) => (u128::from(address.to_bits()), bits + 96),
            std::net::IpAddr::V6(address) => (address.to_bits(), bits),
        };
        let mut node = 0;
        for place in 0..bits {
            let side = usize::from(address >> (127 - place) & 1 == 1);
            if place + 1 == bits {
                tree[node][side] = Edge::Data(data.len());
                break;
            }
            node = match tree[node][side] {
                Edge::Node(next) => next,
                _ => {
                    tree.push([Edge::Nothing; 2]);
                    let next = tree.len() - 1;
                    tree[node][side] = Edge::Node(next);
                    next
                }
            };
        }
        value.encode(&mut data);
    }
    let nodes = tree.len();
    let mut file = Vec::new();
    for edge in tree.into_iter().flatten() {
        let record = match edge {
            Edge::Nothing => nodes,
            Edge::Node(node) => node,
            Edge::Data(offset) => nodes + 16 + offset,
        };
        file.extend(u32::try_from(record).unwrap().to_be_bytes());
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xAB\xCD\xEFMaxMind.com");
    let small = |bytes: &mut Vec<u8>, key: &str, value: u16| {
        Data::text(key).encode(bytes);
        control(bytes, 5, 2);
        bytes.extend(value.to_be_bytes());
    };
    control(&mut file, 7, 9);
    Data::text("node_count").encode(&mut file);
    Data::Number(u32::try_from(nodes).unwrap()).encode(&mut file);
    small(&mut file, "record_size", 32);
    small(&mut file, "ip_version", 6);
    small(&mut file, "binary_format_major_version", 2);
    small(&mut file, "binary_format_minor_version", 0);
    Data::text("database_type").encode(&mut file);
    Data::text(kind).encode(&mut file);
    Data::text("languages").encode(&mut file);
    // An empty array, and a number of 64 bits: types beyond the first seven.
    file.extend([0, 11 - 7]);
    Data::text("build_epoch").encode(&mut file);
    file.extend([8, 9 - 7]);
    file.extend(1_763_622_000u64.to_be_bytes());
    Data::text("description").encode(&mut file);
    Data::Map(vec![("en", Data::text("made by a test"))]).encode(&mut file);
    file
}
