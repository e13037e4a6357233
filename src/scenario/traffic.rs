//! Ordinary traffic: what the estate does all day, and the noise at its edge.
//!
//! Every service calls every peer it has at least once an hour from the first
//! hour on, so that what is new later is new.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::calls::{Caller, Deed};
use super::estate::{MAIL, PACKAGE_MIRROR, PAYMENT_PROVIDER, REGISTRY, TELEMETRY, TIME, World, aws_endpoint};
use super::flow::{Connection, Fate, ICMP, Party, TCP, UDP};
use super::rng::Rng;

/// Traffic over the day in percent of its mean, by hour.
pub(super) const BY_HOUR: [u64; 24] = [
    45, 38, 34, 32, 36, 48, 68, 92, 118, 138, 148, 152, 146, 150, 152, 146, 138, 130, 126, 122, 112, 96, 76,
    57,
];

/// Who calls whom, on which port, and how often relative to the service's other calls.
/// `*` is every service.
const EDGES: &[(&str, &str, u16, u32)] = &[
    ("web", "api", 8080, 40),
    ("web", "cache", 6379, 12),
    ("api", "checkout", 8080, 18),
    ("api", "reports", 8080, 5),
    ("api", "search", 8080, 10),
    ("api", "catalog", 8080, 10),
    ("api", "accounts", 8080, 8),
    ("api", "cache", 6379, 14),
    ("checkout", "payments", 8080, 20),
    ("checkout", "billing", 8080, 6),
    ("checkout", "cache", 6379, 8),
    ("payments", "provider", 443, 30),
    ("worker", "cache", 6379, 10),
    ("worker", "mail", 587, 10),
    ("*", "database", 5432, 16),
    ("*", "telemetry", 443, 5),
    ("*", "mirror", 443, 1),
];

/// What foreign hosts try at any public address, all day long.
const PROBED_PORTS: [u16; 24] = [
    22, 23, 25, 81, 110, 139, 445, 1433, 1723, 2323, 3306, 3389, 5060, 5432, 5555, 5900, 6379, 7547, 8080,
    8081, 8443, 8888, 9200, 27017,
];

/// All connections that begin in the hour at `from`.
pub(super) fn hour(world: &World, from: i64, deeds: &[Deed]) -> Vec<Connection> {
    let number = (from - world.start) as u64 / 3600;
    let percent = BY_HOUR[(from.div_euclid(3600).rem_euclid(24)) as usize];
    let mut all = Vec::new();
    let mut rng = Rng::stream(world.seed, "traffic", number);
    for service in 0..world.services.len() {
        between_services(world, service, from, percent, &mut rng, &mut all);
    }
    visitors(world, from, percent, &mut rng, &mut all);
    log_shipping(
        world,
        from,
        &mut Rng::stream(world.seed, "log shipping", number),
        &mut all,
    );
    let mut rng = Rng::stream(world.seed, "hosts", number);
    instances(world, from, &mut rng, &mut all);
    image_pulls(world, from, &mut rng, &mut all);
    api_calls(world, deeds, &mut rng, &mut all);
    let mut rng = Rng::stream(world.seed, "noise", number);
    scanners(world, from, &mut rng, &mut all);
    late_packets(world, from, &mut rng, &mut all);
    all
}

/// A request and its answer over TCP.
pub(super) fn request(at: i64, from: Party, to: Party, to_port: u16, rng: &mut Rng) -> Connection {
    Connection {
        at,
        seconds: rng.range(0, 5),
        from,
        to,
        // Linux's default range.
        from_port: rng.range(32_768, 61_000) as u16,
        to_port,
        protocol: TCP,
        up: rng.size(700, 3),
        down: rng.size(900, 5),
        fate: Fate::Served,
        reset: rng.percent(3),
    }
}

pub(super) fn outside(address: Ipv4Addr) -> Party {
    Party::Outside(IpAddr::V4(address))
}

fn between_services(
    world: &World,
    service: usize,
    from: i64,
    percent: u64,
    rng: &mut Rng,
    all: &mut Vec<Connection>,
) {
    let name = world.services[service].name.as_str();
    let edges: Vec<_> = EDGES
        .iter()
        .filter(|(caller, callee, ..)| {
            (*caller == name || *caller == "*")
                && *callee != name
                && (is_fixed(callee) || world.service(callee).is_some())
        })
        .collect();
    let weights: u64 = edges.iter().map(|edge| u64::from(edge.3)).sum();
    let total = u64::from(world.estate.flows_per_service_hour) * percent;
    for &&(_, callee, port, weight) in &edges {
        let count = rng.count(total * u64::from(weight) / weights.max(1)).max(1);
        for _ in 0..count {
            let at = from + rng.range(0, 3600);
            let callers = world.tasks_of(service, at);
            if callers.is_empty() {
                continue;
            }
            let caller = Party::Eni(world.tasks[*rng.pick(&callers)].eni);
            let Some(target) = target(world, callee, at, rng) else {
                continue;
            };
            let mut connection = request(at, caller, target, port, rng);
            shape(&mut connection, callee, rng);
            all.push(connection);
        }
    }
}

fn is_fixed(callee: &str) -> bool {
    matches!(
        callee,
        "cache" | "database" | "telemetry" | "provider" | "mail" | "mirror"
    )
}

fn target(world: &World, callee: &str, at: i64, rng: &mut Rng) -> Option<Party> {
    Some(match callee {
        "database" => Party::Eni(world.database),
        "cache" => Party::Eni(*rng.pick(&world.caches)),
        "telemetry" => outside(*rng.pick(&TELEMETRY)),
        "provider" => outside(PAYMENT_PROVIDER),
        "mail" => outside(MAIL),
        "mirror" => outside(PACKAGE_MIRROR),
        service => {
            let tasks = world.tasks_of(world.service(service)?, at);
            (!tasks.is_empty()).then(|| Party::Eni(world.tasks[*rng.pick(&tasks)].eni))?
        }
    })
}

fn shape(connection: &mut Connection, callee: &str, rng: &mut Rng) {
    match callee {
        // Pools keep some connections open for minutes.
        "database" | "cache" => {
            if rng.percent(4) {
                connection.seconds = rng.range(180, 1500);
                connection.up = rng.size(60_000, 3);
                connection.down = rng.size(200_000, 4);
                connection.reset = false;
            } else {
                connection.seconds = rng.range(0, 20);
                connection.down = rng.size(2_000, 5);
            }
        }
        "telemetry" => {
            connection.seconds = rng.range(1, 15);
            connection.up = rng.size(5_000, 3);
            connection.down = rng.size(1_100, 1);
        }
        "mirror" => connection.down = rng.size(20_000, 6),
        "provider" | "mail" => {
            connection.up = rng.size(3_000, 2);
            connection.down = rng.size(4_000, 1);
        }
        _ => {}
    }
}

/// Visitors of the public load balancer, and its calls to `web` behind it.
fn visitors(world: &World, from: i64, percent: u64, rng: &mut Rng, all: &mut Vec<Connection>) {
    let count = rng.count(u64::from(world.estate.flows_per_service_hour) * percent);
    for _ in 0..count {
        let at = from + rng.range(0, 3600);
        let visitor = if rng.percent(8) {
            let host = rng.range(1, 200) as u16;
            Party::Outside(IpAddr::V6(Ipv6Addr::new(
                0x2001,
                0xdb8,
                0xa100 + host,
                0,
                0,
                0,
                0,
                host,
            )))
        } else {
            outside(Ipv4Addr::new(198, 51, 100, 128 + rng.below(126) as u8))
        };
        let service = if rng.percent(3) { "reports" } else { "web" };
        all.extend(visit(world, at, visitor, service, rng));
    }
}

/// A visitor's connection to the load balancer, and the one it opens to a service.
pub(super) fn visit(world: &World, at: i64, visitor: Party, service: &str, rng: &mut Rng) -> Vec<Connection> {
    let balancer = Party::Eni(*rng.pick(&world.load_balancers));
    let mut outer = request(at, visitor, balancer, 443, rng);
    outer.from_port = rng.range(1024, 65_535) as u16;
    outer.seconds = rng.range(0, 75);
    outer.down = rng.size(6_000, 4);
    let tasks = world.service(service).map(|service| world.tasks_of(service, at));
    let inner = tasks.filter(|tasks| !tasks.is_empty()).map(|tasks| {
        let task = Party::Eni(world.tasks[*rng.pick(&tasks)].eni);
        let mut inner = request(at, balancer, task, 8080, rng);
        inner.from_port = rng.range(1024, 65_535) as u16;
        inner.up = outer.up;
        inner.down = outer.down;
        inner
    });
    [Some(outer), inner].into_iter().flatten().collect()
}

/// The log driver of every task sends what it has to the endpoint in its subnet.
fn log_shipping(world: &World, from: i64, rng: &mut Rng, all: &mut Vec<Connection>) {
    // Fewer lines, fewer batches; a running task is never silent for long.
    let lines = i64::from(world.estate.log_lines_per_service_hour).max(1);
    let pause = (60 * 500 / lines).clamp(60, 600);
    for task in &world.tasks {
        let mut at = from + rng.range(0, 120);
        while at < from + 3600 {
            if task.started < at && at < task.stopped {
                let zone = world.enis[task.eni].subnet % 2;
                let endpoint = Party::Eni(world.log_endpoints[zone]);
                let mut connection = request(at, Party::Eni(task.eni), endpoint, 443, rng);
                connection.up = rng.size(2_500, 3);
                connection.down = rng.size(700, 1);
                all.push(connection);
            }
            at += rng.range(pause, 4 * pause + 20);
        }
    }
}

/// EC2 instances: the ECS agent's long poll, updates, and the clock of the old one.
fn instances(world: &World, from: i64, rng: &mut Rng, all: &mut Vec<Connection>) {
    for instance in &world.instances {
        let own = Party::Eni(instance.eni);
        let mut peers = vec![(PACKAGE_MIRROR, 20_000), (TELEMETRY[0], 1_500)];
        if instance.cluster_member {
            peers.push((REGISTRY, 8_000));
            let mut poll = request(
                from + rng.range(0, 3000),
                own,
                outside(aws_endpoint("ecs").0),
                443,
                rng,
            );
            poll.seconds = rng.range(1500, 2600);
            poll.up = rng.size(30_000, 1);
            poll.down = rng.size(40_000, 1);
            all.push(poll);
        }
        for (peer, low) in peers {
            for _ in 0..rng.range(1, 4) {
                let mut connection = request(from + rng.range(0, 3600), own, outside(peer), 443, rng);
                connection.down = rng.size(low, 3);
                all.push(connection);
            }
        }
        if instance.delivery == "1.0" {
            for quarter in 0..3 {
                let at = from + quarter * 1200 + rng.range(0, 1200);
                let mut query = request(at, own, outside(TIME), 123, rng);
                query.protocol = UDP;
                (query.seconds, query.up, query.down) = (0, 76, 76);
                all.push(query);
            }
        }
    }
}

/// A starting task on Fargate pulls its image through its own interface.
fn image_pulls(world: &World, from: i64, rng: &mut Rng, all: &mut Vec<Connection>) {
    for task in &world.tasks {
        if task.started < from || task.started >= from + 3600 {
            continue;
        }
        let own = if world.services[task.service].on_ec2 {
            let member = world.instances.iter().find(|instance| instance.cluster_member);
            Party::Eni(member.map_or(task.eni, |instance| instance.eni))
        } else {
            Party::Eni(task.eni)
        };
        all.push(request(
            task.started + 2,
            own,
            outside(aws_endpoint("ecr").0),
            443,
            rng,
        ));
        let mut layers = request(task.started + 4, own, outside(aws_endpoint("s3").0), 443, rng);
        layers.seconds = rng.range(8, 18);
        layers.down = rng.size(45_000_000, 1);
        layers.up = layers.down / 60;
        all.push(layers);
    }
}

/// Each API call that CloudTrail shows from inside also left its host as a connection.
fn api_calls(world: &World, deeds: &[Deed], rng: &mut Rng, all: &mut Vec<Connection>) {
    for deed in deeds {
        let eni = match deed.caller {
            Caller::Task(task) => world.tasks[task].eni,
            Caller::Instance(instance) => world.instances[instance].eni,
        };
        let (address, _) = aws_endpoint(deed.api.service);
        let mut connection = request(
            deed.at - rng.range(0, 2),
            Party::Eni(eni),
            outside(address),
            443,
            rng,
        );
        connection.seconds = rng.range(1, 8);
        connection.up += 1_800;
        connection.down += deed.bytes + 4_500;
        all.push(connection);
    }
}

/// Background noise of the internet: many hosts, each with a few ports an hour.
fn scanners(world: &World, from: i64, rng: &mut Rng, all: &mut Vec<Connection>) {
    for _ in 0..rng.range(10, 18) {
        let scanner = outside(Ipv4Addr::new(203, 0, 113, 1 + rng.below(120) as u8));
        let at = from + rng.range(0, 3500);
        let from_port = rng.range(1024, 65_535) as u16;
        for nth in 0..rng.range(1, 5) {
            let ping = rng.percent(4);
            let mut probe = request(
                at + nth * rng.range(1, 9),
                scanner,
                Party::Eni(*rng.pick(&world.load_balancers)),
                if ping { 0 } else { *rng.pick(&PROBED_PORTS) },
                rng,
            );
            probe.from_port = if ping { 0 } else { from_port };
            probe.protocol = if ping { ICMP } else { TCP };
            probe.fate = Fate::Refused;
            probe.seconds = 0;
            probe.up = 60 * rng.range(1, 3) as u64;
            all.push(probe);
        }
    }
}

/// Visitors who say goodbye after the load balancer has forgotten them: a
/// REJECT too, but nobody's scan.
fn late_packets(world: &World, from: i64, rng: &mut Rng, all: &mut Vec<Connection>) {
    for _ in 0..rng.range(2, 7) {
        let visitor = outside(Ipv4Addr::new(198, 51, 100, 128 + rng.below(126) as u8));
        let balancer = Party::Eni(*rng.pick(&world.load_balancers));
        let mut late = request(from + rng.range(0, 3600), visitor, balancer, 443, rng);
        (late.seconds, late.up, late.fate) = (0, 52, Fate::Late);
        all.push(late);
    }
}
