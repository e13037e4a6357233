//! The addresses of the world outside: AWS's own ranges, delivery networks, strangers.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use crate::rng::Rng;

/// The Region that everything runs in.
pub(crate) const REGION: &str = "eu-central-1";
/// The VPC's network, /16.
pub(crate) const VPC_BASE: u32 = ip(10, 20, 0, 0);

/// The VPC's network of IPv6, /56: documentation's, so that it is nobody's.
pub(crate) const VPC_BASE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x14, 0x5a00, 0, 0, 0, 0);

/// The IPv6 address that goes with an IPv4 address of the VPC: in a /64 of its
/// subnet, and past that as random to the eye as AWS's.
pub(crate) fn ipv6(address: u32) -> Ipv6Addr {
    let subnet = u128::from(address >> 12 & 0xf) << 64;
    // The first draws of streams that differ in their number only are all different.
    let host = Rng::stream(0, "ipv6", u64::from(address)).next();
    Ipv6Addr::from(u128::from(VPC_BASE_V6) | subnet | u128::from(host))
}

pub(crate) const fn ip(a: u8, b: u8, c: u8, d: u8) -> u32 {
    u32::from_be_bytes([a, b, c, d])
}

/// Ranges that belong to AWS services, as the published list has them: network, bits, service.
pub(crate) const AWS_RANGES: &[(u32, u32, &str)] = &[
    (ip(3, 5, 136, 0), 22, "S3"),
    (ip(52, 219, 44, 0), 22, "S3"),
    (ip(52, 119, 188, 0), 22, "DYNAMODB"),
    (ip(52, 46, 184, 0), 22, "AMAZON"),
    (ip(54, 239, 4, 0), 22, "AMAZON"),
    (ip(13, 224, 0, 0), 14, "CLOUDFRONT"),
    (ip(18, 64, 0, 0), 14, "CLOUDFRONT"),
];

/// Networks of content delivery: the first is also in AWS's list.
const DELIVERY: [(u32, u32); 4] = [
    (ip(13, 224, 0, 0), 14),
    (ip(104, 16, 0, 0), 13),
    (ip(151, 101, 0, 0), 16),
    (ip(23, 32, 0, 0), 11),
];
/// /24 networks that a delivery network answers from, and how many of them on one day.
const DELIVERY_NETWORKS: u64 = 48;
const DELIVERY_A_DAY: u64 = 8;

/// Where a workload's calls to the outside go.
#[derive(Debug, Clone)]
pub(crate) enum External {
    /// A few addresses that stay.
    Stable(Vec<u32>),
    /// Whatever address a delivery network's DNS gives at the time.
    Delivery { network: usize, salt: u64 },
}

impl External {
    /// An address to call at `time`.
    pub fn address(&self, seed: u64, time: i64, rng: &mut Rng) -> u32 {
        match self {
            External::Stable(addresses) => *rng.pick(addresses),
            External::Delivery { network, salt } => {
                let day = time.div_euclid(86_400) as u64;
                let slot = rng.below(DELIVERY_A_DAY);
                let mut today = Rng::stream(seed, "delivery today", day * 64 + *network as u64 * 16 + slot);
                let which = today.below(DELIVERY_NETWORKS);
                delivery_network(seed, *network, which) + 1 + (salt % 20) as u32 * 8 + rng.below(4) as u32
            }
        }
    }
}

fn delivery_network(seed: u64, network: usize, which: u64) -> u32 {
    let (base, bits) = DELIVERY[network];
    let mut rng = Rng::stream(seed, "delivery network", network as u64 * 1000 + which);
    base + (rng.below(1 << (24 - bits)) as u32) * 256
}

fn within(address: u32, base: u32, bits: u32) -> bool {
    (address ^ base) >> (32 - bits) == 0
}

/// AWS's name for the range that an address is in, as flow logs write it.
pub(crate) fn aws_service(address: u32) -> &'static str {
    AWS_RANGES
        .iter()
        .find(|(base, bits, _)| within(address, *base, *bits))
        .map_or("-", |(_, _, service)| service)
}

/// An address of S3 (through the gateway endpoint).
pub(crate) fn s3(rng: &mut Rng) -> u32 {
    *rng.pick(&[ip(3, 5, 136, 0), ip(52, 219, 44, 0)]) + rng.below(1000) as u32
}

/// An address of DynamoDB (through the gateway endpoint).
pub(crate) fn dynamodb(rng: &mut Rng) -> u32 {
    ip(52, 119, 188, 0) + rng.below(1000) as u32
}

/// An address of an API of AWS that has no endpoint in the VPC: SQS, SNS, STS.
pub(crate) fn amazon(rng: &mut Rng) -> u32 {
    *rng.pick(&[ip(52, 46, 184, 0), ip(54, 239, 4, 0)]) + rng.below(240) as u32 * 4
}

/// Any public address that belongs to nobody above.
pub(crate) fn stranger(rng: &mut Rng) -> u32 {
    loop {
        let address = rng.next() as u32;
        let parsed = Ipv4Addr::from(address);
        let [a, b, ..] = parsed.octets();
        let special = a == 0
            || a >= 224
            || parsed.is_private()
            || parsed.is_loopback()
            || parsed.is_link_local()
            || parsed.is_documentation()
            || (a == 100 && (64..128).contains(&b))
            || (a == 198 && (b & 0xfe) == 18)
            || (a == 192 && b == 0);
        let known = DELIVERY.iter().any(|(base, bits)| within(address, *base, *bits));
        if !special && !known && aws_service(address) == "-" {
            return address;
        }
    }
}

/// The ranges above in the form of the list that AWS publishes.
pub(crate) fn published_ranges() -> Value {
    let prefixes: Vec<Value> = AWS_RANGES
        .iter()
        .flat_map(|(base, bits, service)| {
            let row = |service: &str| {
                json!({
                    "ip_prefix": format!("{}/{bits}", Ipv4Addr::from(*base)),
                    "region": if service == "CLOUDFRONT" { "GLOBAL" } else { REGION },
                    "service": service,
                    "network_border_group": if service == "CLOUDFRONT" { "GLOBAL" } else { REGION },
                })
            };
            // A service's range is in the list a second time, as AMAZON's.
            let twice = (*service != "AMAZON").then(|| row("AMAZON"));
            [Some(row(service)), twice].into_iter().flatten()
        })
        .collect();
    json!({
        "syncToken": "1790000000",
        "createDate": "2026-09-21-14-13-20",
        "prefixes": prefixes,
        "ipv6_prefixes": [],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_addresses_of_the_vpc_have_one_of_ipv6() {
        let all: BTreeSet<Ipv6Addr> = (VPC_BASE..=VPC_BASE + 0xffff).map(ipv6).collect();
        assert_eq!(all.len(), 0x1_0000);
        let network = |address: &Ipv6Addr| u128::from(*address) >> 72 << 72;
        assert!(
            all.iter()
                .all(|address| network(address) == u128::from(VPC_BASE_V6))
        );
    }
}
