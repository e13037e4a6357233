//! Attacks that try many doors, or push against one.

use super::{Kind, Needs, Stage};
use crate::flow::{Connection, Fate, ICMP, Party, UDP};
use crate::network::VPC_BASE;
use crate::traffic::STRANGE_PROTOCOL;

const HOUR: i64 = 3600;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        rule: "net-scan-horizontal",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: hosts,
    },
    Kind {
        rule: "net-scan-vertical",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: ports,
    },
    Kind {
        rule: "net-fanout-entropy",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: fan_out,
    },
    Kind {
        rule: "net-reject-spike",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: rejects,
    },
    Kind {
        rule: "net-dns-bypass",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: dns,
    },
    Kind {
        rule: "net-unusual-proto",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: protocol,
    },
    Kind {
        rule: "net-asymmetric",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: flood,
    },
];

/// The interface at an address of the VPC, or that nothing has it.
fn at_address(stage: &Stage<'_>, address: u32, time: i64) -> Party {
    stage
        .plan
        .enis
        .iter()
        .position(|eni| eni.address == address && eni.from <= time && time < eni.until)
        .map_or(Party::Vacant(address), Party::Eni)
}

/// One port at many hosts of the VPC.
fn hosts(stage: &mut Stage<'_>) {
    let hosts = stage.by([15_u32, 90, 240]);
    let port = stage.by([5432, 22, 445]);
    let mut tried = Vec::new();
    for nth in 0..i64::from(hosts) {
        let at = stage.at + nth * 3000 / i64::from(hosts);
        let address = VPC_BASE + ((64 + stage.rng.below(3) as u32 * 16) << 8) + 2 + nth as u32;
        tried.push(address);
        let to = at_address(stage, address, at);
        let fate = if matches!(to, Party::Eni(_)) {
            Fate::Refused
        } else {
            Fate::Unanswered
        };
        if let Some(knock) = stage.open(at, 0, to, port) {
            stage.add(knock.attempt(fate));
        }
    }
    stage.detail = format!("port {port} at {} addresses of the VPC in an hour", tried.len());
}

/// Many ports of one host.
fn ports(stage: &mut Stage<'_>) {
    let ports = stage.by([30_u16, 200, 1000]);
    let target = Party::Eni(stage.plan.hosts[0]);
    for nth in 0..ports {
        let at = stage.at + i64::from(nth) * 2400 / i64::from(ports);
        let port = 20 + nth * 7;
        if let Some(knock) = stage.open(at, 0, target, port) {
            stage.add(knock.attempt(Fate::Refused));
        }
    }
    stage.detail = format!("{ports} ports of one host");
}

/// Successful calls to many hosts, where there are few on other days.
fn fan_out(stage: &mut Stage<'_>) {
    let hosts = stage.by([80, 250, 900]);
    let begins = stage.at - stage.at.rem_euclid(HOUR) + HOUR;
    for nth in 0..hosts {
        let to = stage.foreign();
        stage.send(begins + nth * 3500 / hosts, 1, to, 443, (1_500, 9_000));
    }
    stage.detail = format!("{hosts} hosts in an hour");
}

/// Calls that its own security group refuses.
fn rejects(stage: &mut Stage<'_>) {
    let count = stage.by([260, 1000, 4000]);
    let begins = stage.at - stage.at.rem_euclid(HOUR) + HOUR;
    let targets = [stage.foreign(), stage.foreign(), stage.foreign()];
    for nth in 0..count {
        let to = targets[nth as usize % targets.len()];
        if let Some(knock) = stage.open(begins + nth * 3500 / count, 0, to, 4444) {
            stage.add(knock.attempt(Fate::Blocked));
        }
    }
    stage.detail = format!("{count} refused attempts at three hosts in an hour");
}

/// Name service at a public resolver, or what looks like it.
fn dns(stage: &mut Stage<'_>) {
    let (flows, up, down) = stage.by([(60, 80, 160), (1300, 180, 260), (3000, 2100, 900)]);
    let to = stage.foreign();
    for nth in 0..flows {
        if let Some(query) = stage.open(stage.at + nth * 3300 / flows, 0, to, 53) {
            stage.add(query.protocol(UDP).sized(up, down));
        }
    }
    stage.detail = format!("{flows} queries of {up} bytes to a public resolver in an hour");
}

/// A tunnel in a protocol that nothing else uses, or in ICMP.
fn protocol(stage: &mut Stage<'_>) {
    let to = stage.foreign();
    let (number, size) = stage.by([
        (STRANGE_PROTOCOL, 90_000),
        (ICMP, 4_000_000),
        (STRANGE_PROTOCOL, 90_000_000),
    ]);
    for nth in 0..10 {
        if let Some(tunnel) = stage.open(stage.at + nth * 300, 280, to, 0) {
            stage.add(Connection {
                from_port: 0,
                ..tunnel.protocol(number).sized(size / 10, size / 12)
            });
        }
    }
    stage.detail = format!("{size} bytes of protocol {number}");
}

/// One-sided traffic against one host.
fn flood(stage: &mut Stage<'_>) {
    let to = stage.foreign();
    let count = stage.by([80_i64, 700, 60]);
    for nth in 0..count {
        let at = stage.at + nth * 3000 / count;
        let Some(packet) = stage.open(at, 0, to, 443) else {
            continue;
        };
        stage.add(match stage.strength {
            3 => Connection {
                seconds: 30,
                packets: 250_000,
                ..packet
                    .protocol(UDP)
                    .attempt(Fate::Unanswered)
                    .sized(15_000_000, 0)
            },
            _ => packet.attempt(Fate::Unanswered),
        });
    }
    stage.detail = match stage.strength {
        3 => format!("{count} times 250,000 packets at one host"),
        _ => format!("{count} connections that one host never answers"),
    };
}
