//! Ordinary days: what the tasks, the load balancer and strangers do in an hour.

use crate::flow::{Connection, Fate, GRE, ICMP, Party, UDP};
use crate::network;
use crate::plan::{Plan, Stop, Task, activity, is_weekend};
use crate::rng::Rng;
use crate::workloads::{Mode, Role, Workload};

/// Seconds between two health checks of one load balancer node at one task.
const HEALTH_SECONDS: i64 = 300;
const TELEMETRY_SECONDS: i64 = 300;
pub(crate) const MYSQL: u16 = 3306;
pub(crate) const REDIS: u16 = 6379;
pub(crate) const HTTPS: u16 = 443;

/// Ports that strangers try at every public address, day and night.
const STRANGERS_TRY: [u16; 16] = [
    22, 23, 80, 443, 445, 1433, 2375, 3306, 3389, 5060, 5432, 6379, 8080, 8443, 9200, 27017,
];

/// Makes the connections of ordinary hours.
pub(crate) struct Traffic<'a> {
    plan: &'a Plan,
    /// Factor on everything that grows with load, in thousandths.
    pub scale: u64,
}

/// One task's share of an hour.
struct Share<'a> {
    plan: &'a Plan,
    task: &'a Task,
    workload: &'a Workload,
    party: Party,
    from: i64,
    until: i64,
    /// Percent of the busiest hour's load, times the factor on everything, in thousandths.
    load: u64,
    scale: u64,
}

impl<'a> Traffic<'a> {
    pub fn new(plan: &'a Plan, scale: u64) -> Traffic<'a> {
        Traffic { plan, scale }
    }

    /// All connections that begin in the hour at `hour`.
    pub fn hour(&self, hour: i64, out: &mut impl FnMut(Connection)) {
        let plan = self.plan;
        let seed = plan.options.seed;
        for (number, workload) in plan.workloads.iter().enumerate() {
            let salt = ((number as u64) << 32) | (hour as u64 / 3600);
            let noise = 82 + Rng::stream(seed, "noise", salt).below(37);
            let activity = match workload.role {
                Role::Batch => 100,
                _ => activity(hour),
            };
            for &task in &plan.by_workload[number] {
                let known = &plan.tasks[task];
                if known.created >= hour + 3600 {
                    break;
                }
                if known.stopped <= hour {
                    continue;
                }
                let mut rng = Rng::stream(
                    seed,
                    "task",
                    ((task as u64) << 24) | ((hour as u64 / 3600) & 0xff_ffff),
                );
                let share = Share {
                    plan,
                    task: known,
                    workload,
                    party: Party::Eni(known.eni),
                    from: known.running.max(hour),
                    until: known.stopping.min(hour + 3600),
                    load: activity * noise * self.scale / 10_000,
                    scale: self.scale,
                };
                if (hour..hour + 3600).contains(&known.pull.0) {
                    share.pull_image(&mut rng, out);
                }
                if share.from < share.until {
                    share.work(&mut rng, out);
                }
            }
        }
        let mut rng = Rng::stream(seed, "strangers", hour as u64);
        self.visitors(hour, &mut rng, out);
        self.noise(hour, &mut rng, out);
        self.hosts(hour, &mut rng, out);
    }

    /// People who use the shop, from anywhere.
    fn visitors(&self, hour: i64, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        for &balancer in &self.plan.balancers {
            for _ in 0..rng.count(150 * activity(hour) * self.scale / 100) {
                let from = Party::Outside(network::stranger(rng));
                let seconds = rng.range(1, 90);
                let at = hour + rng.range(0, 3600);
                let visit = Connection::tcp(at, seconds, from, Party::Eni(balancer), HTTPS, rng);
                let (up, down) = (rng.size(600, 4), rng.size(4000, 8));
                out(visit.sized(up, down));
            }
        }
    }

    /// Background noise of the internet at all public interfaces: refused.
    fn noise(&self, hour: i64, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        for &eni in self.plan.balancers.iter().chain(&self.plan.nats) {
            for _ in 0..30 + rng.below(20) {
                let port = match rng.percent(70) {
                    true => *rng.pick(&STRANGERS_TRY),
                    false => rng.range(1, 65_535) as u16,
                };
                let open = port == HTTPS && self.plan.balancers.contains(&eni);
                let from = Party::Outside(network::stranger(rng));
                let at = hour + rng.range(0, 3600);
                let knock = Connection::tcp(at, 0, from, Party::Eni(eni), port, rng);
                out(match port {
                    _ if open => knock.sized(500, 3000),
                    5060 => knock.attempt(Fate::Refused).protocol(UDP).sized(420, 0),
                    _ => knock.attempt(Fate::Refused),
                });
            }
            for _ in 0..rng.below(3) {
                let from = Party::Outside(network::stranger(rng));
                let at = hour + rng.range(0, 3600);
                let ping = Connection::tcp(at, 2, from, Party::Eni(eni), 0, rng).attempt(Fate::Refused);
                out(Connection {
                    from_port: 0,
                    protocol: ICMP,
                    up: 84,
                    ..ping
                });
            }
        }
    }

    /// The agents on the container instances.
    fn hosts(&self, hour: i64, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        for &host in &self.plan.hosts {
            let agent = Party::Eni(self.plan.endpoints[3]);
            let long = Connection::tcp(hour + 3, 3580, Party::Eni(host), agent, HTTPS, rng);
            out(long.sized(60_000, 40_000).busy(30));
        }
    }
}

impl Share<'_> {
    /// How many of something happen in this share that happen `an_hour` times a full hour.
    fn times(&self, an_hour: u64, rng: &mut Rng) -> u64 {
        let seconds = (self.until - self.from) as u64;
        rng.count(an_hour * self.load * seconds / 3600)
    }

    fn moment(&self, rng: &mut Rng) -> i64 {
        rng.range(self.from, self.until)
    }

    /// A connection from this task that does not outlive it.
    fn open(&self, at: i64, seconds: i64, to: Party, port: u16, rng: &mut Rng) -> Connection {
        let seconds = seconds.min(self.task.stopping - at).max(0);
        Connection::tcp(at, seconds, self.party, to, port, rng)
    }

    /// Layers come from S3, what they are from the registry's endpoint.
    fn pull_image(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        let (from, until) = self.task.pull;
        let registry = Party::Eni(self.plan.endpoints[1]);
        let ask = Connection::tcp(from, 1, self.party, registry, HTTPS, rng);
        out(ask.sized(9_000, 24_000));
        let size = 60_000_000 + (self.task.workload as u64 * 7_919 % 40) * 9_000_000;
        for _ in 0..2 {
            let store = Party::Outside(network::s3(rng));
            let layers = Connection::tcp(from + 1, until - from - 1, self.party, store, HTTPS, rng);
            out(layers.sized(size / 90, size / 2));
        }
        let secrets = Party::Eni(self.plan.endpoints[2]);
        let settings = Connection::tcp(until, 1, self.party, secrets, HTTPS, rng);
        out(settings.sized(2_600, 6_100));
    }

    fn work(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        self.ship_logs(rng, out);
        self.data(rng, out);
        match self.workload.role {
            Role::Web => self.serve(rng, out),
            Role::Worker => self.poll(rng, out),
            Role::Batch => self.batch(rng, out),
            Role::Api => {}
        }
        self.call_peers(rng, out);
        self.call_outside(rng, out);
        if self.workload.telemetry {
            self.report_metrics(rng, out);
        }
        self.strays(rng, out);
    }

    /// One long connection an hour to CloudWatch's endpoint.
    fn ship_logs(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        let to = Party::Eni(self.plan.endpoints[0]);
        let long = self.open(self.from, self.until - self.from - 1, to, HTTPS, rng);
        let up = rng.size(40_000, 3);
        out(long
            .sized(up, up / 20)
            .busy((4 * self.scale / 1000).clamp(1, 100)));
    }

    /// Pools renew their connections after a while.
    fn data(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        let stores = [
            (
                self.workload.database.map(|number| self.plan.databases[number]),
                MYSQL,
            ),
            (self.workload.cache.map(|number| self.plan.caches[number]), REDIS),
        ];
        for (store, port) in stores {
            let Some(store) = store else { continue };
            let mut at = self.from + rng.range(0, 30);
            while at < self.until {
                // A pool with little to do keeps its connections longer.
                let seconds = if self.scale < 700 {
                    rng.range(3000, 3500)
                } else {
                    rng.range(1200, 1750)
                };
                let (up, down) = (rng.size(20_000, 3), rng.size(90_000, 4));
                let pooled = self.open(at, seconds, Party::Eni(store), port, rng);
                out(pooled.sized(up, down).busy((4 * self.scale / 1000).clamp(1, 100)));
                at += seconds + rng.range(1, 20);
            }
        }
    }

    fn serve(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        let port = self.port();
        for (number, &balancer) in self.plan.balancers.iter().enumerate() {
            let from = Party::Eni(balancer);
            for _ in 0..self.times(self.workload.load / 2, rng) {
                let at = self.moment(rng);
                let seconds = rng.range(5, 70).min(self.task.stopping - at);
                let request = Connection::tcp(at, seconds, from, self.party, port, rng);
                let (up, down) = (rng.size(900, 4), rng.size(3_000, 7));
                out(request.sized(up, down));
            }
            let phase = (self.task.running + number as i64 * 97).rem_euclid(HEALTH_SECONDS);
            let mut at = self.from - (self.from - phase).rem_euclid(HEALTH_SECONDS) + HEALTH_SECONDS;
            while at < self.until {
                let check = Connection::tcp(at, 0, from, self.party, port, rng);
                out(check.sized(340, 280));
                at += HEALTH_SECONDS;
            }
        }
    }

    /// Long polls of a queue, and objects read and written.
    fn poll(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        for _ in 0..self.times(1 + self.workload.load / 3, rng) {
            let at = self.moment(rng);
            let queue = Party::Outside(network::amazon(rng));
            let seconds = rng.range(18, 22);
            out(self.open(at, seconds, queue, HTTPS, rng));
            if rng.percent(40) {
                let store = Party::Outside(network::s3(rng));
                let (up, down) = (rng.size(20_000, 5), rng.size(4_000, 4));
                out(self.open(at + 1, 2, store, HTTPS, rng).sized(up, down));
            }
            if rng.percent(20) {
                let table = Party::Outside(network::dynamodb(rng));
                out(self.open(at + 1, 1, table, HTTPS, rng));
            }
        }
    }

    /// A batch task reads a database and writes to S3; the nightly ones much of it.
    fn batch(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        let nightly = self.workload.name.starts_with("nightly");
        let volume = if nightly { 40_000_000 } else { 500_000 };
        let runs = self.task.stopping.saturating_sub(self.task.running).max(60) as u64;
        let pieces = (runs / 200).clamp(1, 16);
        for _ in 0..pieces {
            let at = self.moment(rng);
            let seconds = rng.range(5, 120).min(self.until - at).max(1);
            let size = rng.size(volume / 4, 2);
            if let Some(database) = self.workload.database {
                let store = Party::Eni(self.plan.databases[database]);
                out(self.open(at, seconds, store, MYSQL, rng).sized(size / 300, size));
            }
            let store = Party::Outside(network::s3(rng));
            out(self
                .open(at, seconds, store, HTTPS, rng)
                .sized(size / 2, size / 400));
        }
    }

    fn call_peers(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        for &peer in &self.workload.peers {
            for _ in 0..self.times(1 + self.workload.load / 2, rng) {
                let at = self.moment(rng);
                let Some(other) = self.plan.any_task(peer, at, rng) else {
                    continue;
                };
                let other = &self.plan.tasks[other];
                let seconds = rng.range(0, 45).min(other.stopping - at);
                let port = self.plan.workloads[peer].port;
                out(self.open(at, seconds, Party::Eni(other.eni), port, rng));
            }
        }
    }

    fn call_outside(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        for external in &self.workload.externals {
            for _ in 0..self.times(1 + self.workload.load / 4, rng) {
                let at = self.moment(rng);
                let to = Party::Outside(external.address(self.plan.options.seed, at, rng));
                let seconds = rng.range(0, 20);
                out(self.open(at, seconds, to, HTTPS, rng));
            }
        }
    }

    /// Every five minutes, give or take a second, to the vendor that all use.
    fn report_metrics(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        let vendor = Rng::stream(self.plan.options.seed, "telemetry", 0).next();
        let mut place = Rng::stream(vendor, "address", 0);
        let base = network::stranger(&mut place) & 0xffff_ff00;
        let phase = self.task.running.rem_euclid(TELEMETRY_SECONDS);
        let mut at = self.from - (self.from - phase).rem_euclid(TELEMETRY_SECONDS) + TELEMETRY_SECONDS;
        while at < self.until {
            let to = Party::Outside(base + 20 + rng.below(4) as u32);
            let (up, down) = (2_000 + rng.below(900), 700 + rng.below(40));
            out(self.open(at + rng.range(0, 2), 1, to, HTTPS, rng).sized(up, down));
            at += TELEMETRY_SECONDS;
        }
    }

    /// Last packets to connections that are closed already, and a mistaken port now and then.
    fn strays(&self, rng: &mut Rng, out: &mut impl FnMut(Connection)) {
        if rng.percent(4) {
            let at = self.moment(rng);
            let balancer = Party::Eni(*rng.pick(&self.plan.balancers));
            let late = Connection::tcp(at, 0, balancer, self.party, self.port(), rng).attempt(Fate::Late);
            out(late.sized(40, 0));
        }
        if rng.below(400) == 0 {
            let at = self.moment(rng);
            let host = Party::Eni(*rng.pick(&self.plan.hosts));
            out(self.open(at, 0, host, 8125, rng).attempt(Fate::Refused));
        }
        // A release is smoked out by a probe of what it depends on.
        if self.task.stop == Stop::Deployment && !is_weekend(self.from) && rng.below(900) == 0 {
            let at = self.moment(rng);
            let nat = Party::Outside(network::amazon(rng));
            out(self.open(at, 1, nat, HTTPS, rng));
        }
    }

    /// Where the task listens: in bridge mode, on a port of the instance's.
    fn port(&self) -> u16 {
        match self.workload.mode {
            Mode::Awsvpc => self.workload.port,
            Mode::Bridge => {
                let id = u32::from_str_radix(&self.task.id[..6], 16).unwrap_or_default();
                32_768 + (id % 28_000) as u16
            }
        }
    }
}

/// A protocol that ordinary days do not have.
pub(crate) const STRANGE_PROTOCOL: u8 = GRE;
