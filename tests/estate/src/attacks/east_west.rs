//! Attacks between workloads: new edges, administration ports, guessing, scope.

use super::{Kind, Needs, Stage};
use crate::flow::{Connection, Party};
use crate::traffic::MYSQL;
use crate::workloads::{Mode, Role};

const HOUR: i64 = 3600;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        rule: "net-new-listen-port",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: listen,
    },
    Kind {
        rule: "net-new-internal-edge",
        seconds: [HOUR; 3],
        needs: Needs::NotCde,
        act: edge,
    },
    Kind {
        rule: "net-admin-port-lateral",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: lateral,
    },
    Kind {
        rule: "net-bruteforce-port",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: guess,
    },
    Kind {
        rule: "net-profile-breach",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: breach,
    },
    Kind {
        rule: "net-cde-scope-drift",
        seconds: [HOUR; 3],
        needs: Needs::NotCde,
        act: drift,
    },
    Kind {
        rule: "net-cleartext-regulated",
        seconds: [HOUR; 3],
        needs: Needs::Cde,
        act: clear,
    },
];

/// A service that this workload never calls, and that runs at `time`: its
/// number and the interface of one of its tasks.
fn stranger(stage: &mut Stage<'_>, cde: bool, time: i64) -> Option<(usize, usize)> {
    let plan = stage.plan;
    let known = &plan.workloads[stage.workload].peers;
    let mut others: Vec<usize> = (0..plan.workloads.len())
        .filter(|&other| {
            let workload = &plan.workloads[other];
            workload.role == Role::Api
                && workload.mode == Mode::Awsvpc
                && workload.cde == cde
                && other != stage.workload
                && !known.contains(&other)
        })
        .collect();
    if others.is_empty() {
        // A small estate: any of the right kind will do.
        others = (0..plan.workloads.len())
            .filter(|&other| {
                let workload = &plan.workloads[other];
                workload.is_service()
                    && workload.mode == Mode::Awsvpc
                    && workload.cde == cde
                    && other != stage.workload
            })
            .collect();
    }
    let other = *others.get(stage.rng.below(others.len() as u64) as usize)?;
    let task = plan.oldest_task(other, time)?;
    Some((other, plan.tasks[task].eni))
}

/// Connections to an unused port of the workload: from inside, or from the internet.
fn listen(stage: &mut Stage<'_>) {
    let count = stage.by([3_i64, 20, 20]);
    let port = stage.by([9999, 4545, 31_337]);
    let outside = stage.foreign();
    let inside = stranger(stage, false, stage.at).map(|(_, eni)| Party::Eni(eni));
    let from = if stage.strength == 3 {
        outside
    } else {
        inside.unwrap_or(outside)
    };
    for nth in 0..count {
        let at = stage.at + nth * 3000 / count;
        let Some(host) = stage.host(at) else { continue };
        let visit = Connection::tcp(at, 4, from, Party::Eni(host), port, &mut stage.rng);
        stage.add(visit.sized(3_000, 9_000));
    }
    stage.detail = format!("{count} connections in to port {port}");
}

/// A service that it never called, or a database that is not its own.
fn edge(stage: &mut Stage<'_>) {
    let count = stage.by([3_i64, 15, 25]);
    let own = stage.plan.workloads[stage.workload].database;
    let other = (0..stage.plan.databases.len()).find(|number| Some(*number) != own);
    let target = match (stage.strength, other) {
        (3, Some(number)) => Some((Party::Eni(stage.plan.databases[number]), MYSQL)),
        _ => stranger(stage, false, stage.at)
            .map(|(other, eni)| (Party::Eni(eni), stage.plan.workloads[other].port)),
    };
    let Some((to, port)) = target else { return };
    for nth in 0..count {
        stage.send(stage.at + nth * 3000 / count, 5, to, port, (9_000, 60_000));
    }
    stage.detail = format!("{count} connections to a peer that it never had, port {port}");
}

/// Shells, desktops and daemons of the instances.
fn lateral(stage: &mut Stage<'_>) {
    let ports = stage.by([&[22_u16][..], &[22, 2375], &[22, 3389, 445, 2375, 10_250]]);
    let targets: Vec<Party> = stage.plan.hosts.iter().map(|&host| Party::Eni(host)).collect();
    let reached = stage.by([1, 3, 3]);
    for (nth, &to) in targets.iter().take(reached).enumerate() {
        for (step, &port) in ports.iter().enumerate() {
            let at = stage.at + nth as i64 * 400 + step as i64 * 60;
            stage.send(at, 50, to, port, (18_000, 40_000));
        }
    }
    stage.detail = format!("ports {ports:?} of {reached} instances");
}

/// Many short connections to a login port; at the highest strength one goes through.
fn guess(stage: &mut Stage<'_>) {
    let count = stage.by([36_i64, 200, 600]);
    let to = Party::Eni(stage.plan.hosts[1]);
    for nth in 0..count {
        stage.send(stage.at + nth * 560 / count, 2, to, 22, (1_900, 2_400));
    }
    if stage.strength == 3 {
        stage.send(stage.at + 700, 300, to, 22, (90_000, 400_000));
    }
    stage.detail = format!("{count} attempts at port 22 in ten minutes");
}

/// A port that the workload's declared profile does not have.
fn breach(stage: &mut Stage<'_>) {
    let count = stage.by([1_i64, 10, 80]);
    let Some((_, eni)) = stranger(stage, false, stage.at) else {
        return;
    };
    for nth in 0..count {
        stage.send(stage.at + nth * 40, 5, Party::Eni(eni), 9443, (5_000, 20_000));
    }
    stage.detail = format!("{count} connections that the profile does not allow");
}

/// A workload out of scope talks to one that handles card data.
fn drift(stage: &mut Stage<'_>) {
    let count = stage.by([1_i64, 8, 50]);
    let Some((other, eni)) = stranger(stage, true, stage.at) else {
        return;
    };
    let port = stage.plan.workloads[other].port;
    for nth in 0..count {
        stage.send(stage.at + nth * 60, 5, Party::Eni(eni), port, (5_000, 20_000));
    }
    stage.detail = format!("{count} connections to a workload that handles card data");
}

/// Card data's workload speaks a clear-text protocol.
fn clear(stage: &mut Stage<'_>) {
    let count = stage.by([1_i64, 10, 100]);
    let port = stage.by([21, 80, 389]);
    let Some((_, eni)) = stranger(stage, true, stage.at).or_else(|| stranger(stage, false, stage.at)) else {
        return;
    };
    for nth in 0..count {
        stage.send(stage.at + nth * 30, 3, Party::Eni(eni), port, (4_000, 8_000));
    }
    stage.detail = format!("{count} connections in clear text to port {port}");
}
