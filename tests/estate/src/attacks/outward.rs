//! Attacks that talk to the world outside: new peers, data that leaves, mining, spam.

use super::{Kind, Needs, Stage};
use crate::flow::Party;
use crate::network;

const HOUR: i64 = 3600;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        rule: "net-new-external-peer",
        seconds: [HOUR, HOUR, 2 * HOUR],
        needs: Needs::Any,
        act: new_peer,
    },
    Kind {
        rule: "net-volume-anomaly",
        seconds: [2 * HOUR, 2 * HOUR, 3 * HOUR],
        needs: Needs::Worker,
        act: volume,
    },
    Kind {
        rule: "net-exfil-new-dest",
        seconds: [HOUR, HOUR, HOUR],
        needs: Needs::Any,
        act: exfil,
    },
    Kind {
        rule: "net-slow-exfil",
        seconds: [HOUR, HOUR, HOUR],
        needs: Needs::Any,
        act: slow_exfil,
    },
    Kind {
        rule: "net-long-conn",
        seconds: [32_000, 44_000, 72_000],
        needs: Needs::Any,
        act: long,
    },
    Kind {
        rule: "net-mining",
        seconds: [3000, 4 * HOUR, 10 * HOUR],
        needs: Needs::Any,
        act: mining,
    },
    Kind {
        rule: "net-threat-ip",
        seconds: [HOUR, HOUR, HOUR],
        needs: Needs::Any,
        act: threat,
    },
    Kind {
        rule: "net-spam-fanout",
        seconds: [HOUR, HOUR, HOUR],
        needs: Needs::Any,
        act: spam,
    },
];

/// A first contact, with little data at an ordinary port, or more at an odd one.
fn new_peer(stage: &mut Stage<'_>) {
    let to = stage.foreign();
    let (flows, port, up) = stage.by([(3, 443, 15_000), (12, 8443, 60_000), (40, 9443, 250_000)]);
    for nth in 0..flows {
        let at = stage.at + nth * 3000 / flows;
        let seconds = stage.rng.range(1, 20);
        stage.send(at, seconds, to, port, (up, 12_000));
    }
    stage.detail = format!("{flows} connections to a host never seen, port {port}");
}

/// Far more to S3 than at this hour of any week, for two hours or more.
fn volume(stage: &mut Stage<'_>) {
    let an_hour = stage.by([400_000_000_u64, 2_000_000_000, 12_000_000_000]);
    let hours = stage.by([2, 2, 3]);
    let begins = stage.at - stage.at.rem_euclid(HOUR) + HOUR;
    for nth in 0..hours * 20 {
        let to = Party::Outside(network::s3(&mut stage.rng));
        stage.send(
            begins + nth * 180 + 5,
            150,
            to,
            443,
            (an_hour / 20, an_hour / 900),
        );
    }
    stage.detail = format!("{an_hour} bytes an hour to S3 for {hours} hours");
}

/// Much out and little back, to a host first seen now.
fn exfil(stage: &mut Stage<'_>) {
    let to = stage.foreign();
    let total = stage.by([130_000_000_u64, 1_000_000_000, 10_000_000_000]);
    let parts = 6;
    for nth in 0..parts {
        stage.send(stage.at + nth * 500, 420, to, 443, (total / 6, total / 400));
    }
    stage.detail = format!("{total} bytes to a host never seen");
}

/// A little every hour for a week, never enough to stand out in one.
fn slow_exfil(stage: &mut Stage<'_>) {
    let to = stage.foreign();
    let total = stage.by([1_200_000_000_u64, 3_000_000_000, 10_000_000_000]);
    let from = stage.plan.options.attacks_from() + 1800;
    let hours = ((stage.plan.options.end() - from) / HOUR - 1).clamp(1, 7 * 24);
    for hour in 0..hours {
        let at = from + hour * HOUR + stage.rng.range(0, 3000);
        let up = total / hours as u64 * (90 + stage.rng.below(20)) / 100;
        stage.send(at, 300, to, 443, (up, up / 60));
    }
    stage.detail = format!("{total} bytes to one host over {hours} hours");
}

/// One connection that does not end.
fn long(stage: &mut Stage<'_>) {
    let to = stage.foreign();
    let seconds = stage.by([31_000, 43_000, 71_000]);
    if let Some(tunnel) = stage.open(stage.at, seconds, to, 443) {
        stage.add(tunnel.sized(2_500_000, 3_000_000).busy(90));
    }
    stage.detail = format!("one connection of {seconds} s");
}

/// Steady small traffic to a pool.
fn mining(stage: &mut Stage<'_>) {
    let to = stage.foreign();
    let (port, seconds) = stage.by([
        (3333_u16, 2700_i64),
        (14_444, 4 * HOUR - 60),
        (45_700, 10 * HOUR - 60),
    ]);
    let minutes = seconds as u64 / 60;
    if let Some(pool) = stage.open(stage.at, seconds, to, port) {
        stage.add(pool.sized(minutes * 2_400, minutes * 3_900));
    }
    stage.detail = format!("{minutes} minutes at port {port}");
}

/// A host on the threat list answers.
fn threat(stage: &mut Stage<'_>) {
    let to = stage.foreign();
    if let Party::Outside(address) = to {
        stage.listed.push(address);
    }
    let flows = stage.by([1, 10, 60]);
    for nth in 0..flows {
        stage.send(stage.at + nth * 50, 3, to, 443, (1_800, 5_200));
    }
    stage.detail = format!("{flows} connections to a listed host");
}

/// Mail to many servers.
fn spam(stage: &mut Stage<'_>) {
    let servers = stage.by([14, 60, 400]);
    for nth in 0..servers {
        let to = stage.foreign();
        stage.send(stage.at + nth * 3300 / servers, 4, to, 25, (14_000, 1_900));
    }
    stage.detail = format!("{servers} mail servers in an hour");
}
