//! The estate over all of its days: which task runs when, on which interface,
//! with which address. Made once, before the first log line.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use crate::network::{REGION, VPC_BASE, ipv6};
use crate::options::Options;
use crate::rng::Rng;
use crate::workloads::{self, INSTANCES, Mode, Workload};

/// Zones; each has a public, a task and a data subnet.
pub(crate) const ZONES: usize = 3;
pub(crate) const CLUSTER: &str = "production";

const TASK_NET: u32 = VPC_BASE + (64 << 8);
const DATA_NET: u32 = VPC_BASE + (200 << 8);
const HOST_NET: u32 = VPC_BASE + (220 << 8);

/// Percent of the busiest hour's activity, by hour of the day.
const BY_HOUR: [u64; 24] = [
    35, 28, 24, 22, 24, 32, 48, 68, 86, 95, 98, 100, 99, 98, 97, 96, 94, 91, 88, 84, 77, 66, 54, 43,
];

/// Percent of the busiest hour's activity in the hour at `time`.
pub(crate) fn activity(time: i64) -> u64 {
    let hour = BY_HOUR[time.rem_euclid(86_400) as usize / 3600];
    if is_weekend(time) { hour * 6 / 10 } else { hour }
}

pub(crate) fn is_weekend(time: i64) -> bool {
    // The epoch began on a Thursday.
    matches!(time.div_euclid(86_400).rem_euclid(7), 2 | 3)
}

/// Who has an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Task(usize),
    Instance(usize),
    LoadBalancer,
    Nat,
    Database(usize),
    Cache(usize),
    Endpoint(usize),
}

/// AWS services that have an endpoint in the VPC, one interface each.
pub(crate) const ENDPOINTS: [&str; 4] = ["logs", "ecr.dkr", "secretsmanager", "ecs-agent"];

#[derive(Debug, Clone)]
pub(crate) struct Eni {
    pub id: String,
    pub address: u32,
    /// Goes with the IPv4 address, and so is used again with it.
    pub address6: Option<Ipv6Addr>,
    pub owner: Owner,
    pub zone: usize,
    pub public: bool,
    pub from: i64,
    pub until: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Never,
    Deployment,
    ScaledIn,
    Finished,
    Crashed,
}

#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub id: String,
    pub workload: usize,
    pub revision: u32,
    pub created: i64,
    /// The interface is attached.
    pub attached: i64,
    pub pull: (i64, i64),
    pub running: i64,
    /// Nothing new comes from here on.
    pub stopping: i64,
    /// The interface is gone.
    pub stopped: i64,
    pub stop: Stop,
    pub zone: usize,
    pub eni: usize,
    /// Of the instances that tasks in bridge mode share.
    pub instance: Option<usize>,
    pub deployment: String,
}

/// A new revision of a service goes out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deployment {
    pub at: i64,
    pub workload: usize,
    pub revision: u32,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub options: Options,
    pub account: String,
    pub vpc: String,
    pub flow_log: String,
    /// Public, task and data subnets, by zone.
    pub subnets: [[String; ZONES]; 3],
    pub workloads: Vec<Workload>,
    /// In the order in which they are asked for.
    pub tasks: Vec<Task>,
    pub enis: Vec<Eni>,
    /// Ids of the container instances, as EC2 and as ECS name them.
    pub instances: Vec<(String, String)>,
    pub deployments: Vec<Deployment>,
    /// Tasks of each workload, in the order of their start.
    pub by_workload: Vec<Vec<usize>>,
    pub balancers: Vec<usize>,
    pub nats: Vec<usize>,
    pub endpoints: Vec<usize>,
    pub databases: Vec<usize>,
    pub caches: Vec<usize>,
    pub hosts: Vec<usize>,
}

impl Plan {
    pub fn new(options: &Options) -> Plan {
        let mut rng = Rng::stream(options.seed, "plan", 0);
        let mut plan = Plan {
            options: options.clone(),
            account: format!("4{}", rng.digits(11)),
            vpc: format!("vpc-0{}", rng.hex(16)),
            flow_log: format!("fl-0{}", rng.hex(16)),
            subnets: [(); 3].map(|()| [(); ZONES].map(|()| format!("subnet-0{}", rng.hex(16)))),
            workloads: workloads::workloads(options),
            tasks: Vec::new(),
            enis: Vec::new(),
            instances: (0..INSTANCES)
                .map(|_| (format!("i-0{}", rng.hex(16)), rng.hex(32)))
                .collect(),
            deployments: Vec::new(),
            by_workload: Vec::new(),
            balancers: Vec::new(),
            nats: Vec::new(),
            endpoints: Vec::new(),
            databases: Vec::new(),
            caches: Vec::new(),
            hosts: Vec::new(),
        };
        plan.add_infrastructure(&mut rng);
        plan.add_services();
        plan.add_jobs();
        plan.tasks
            .sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        plan.assign_interfaces();
        plan.deployments
            .sort_by_key(|deployment| (deployment.at, deployment.workload));
        plan.by_workload = vec![Vec::new(); plan.workloads.len()];
        for (index, task) in plan.tasks.iter().enumerate() {
            plan.by_workload[task.workload].push(index);
        }
        plan
    }

    pub fn cluster_arn(&self) -> String {
        self.ecs_arn(&format!("cluster/{CLUSTER}"))
    }

    pub fn task_arn(&self, task: &Task) -> String {
        self.ecs_arn(&format!("task/{CLUSTER}/{}", task.id))
    }

    pub fn definition_arn(&self, workload: usize, revision: u32) -> String {
        let name = &self.workloads[workload].name;
        self.ecs_arn(&format!("task-definition/{name}:{revision}"))
    }

    pub fn instance_arn(&self, instance: usize) -> String {
        self.ecs_arn(&format!(
            "container-instance/{CLUSTER}/{}",
            self.instances[instance].1
        ))
    }

    pub fn ecs_arn(&self, rest: &str) -> String {
        format!("arn:aws:ecs:{REGION}:{}:{rest}", self.account)
    }

    pub fn image(&self, workload: usize, revision: u32) -> String {
        let name = &self.workloads[workload].name;
        format!(
            "{}.dkr.ecr.{REGION}.amazonaws.com/{name}:1.{revision}.0",
            self.account
        )
    }

    pub fn digest(&self, workload: usize, revision: u32) -> String {
        let number = workload as u64 * 100_000 + u64::from(revision);
        format!(
            "sha256:{}",
            Rng::stream(self.options.seed, "digest", number).hex(64)
        )
    }

    /// A task of `workload` that takes requests at `time`.
    pub fn any_task(&self, workload: usize, time: i64, rng: &mut Rng) -> Option<usize> {
        let all = &self.by_workload[workload];
        // Tasks are in the order of their start: none after this one can be the one.
        let started = all.partition_point(|&task| self.tasks[task].created <= time);
        let first = started.saturating_sub(64);
        let live = |task: usize| self.tasks[task].running <= time && time < self.tasks[task].stopping;
        let from = first + rng.below((started - first) as u64) as usize;
        (from..started)
            .chain(first..from)
            .map(|at| all[at])
            .find(|&task| live(task))
    }

    /// The task of `workload` that has run longest at `time`.
    pub fn oldest_task(&self, workload: usize, time: i64) -> Option<usize> {
        self.by_workload[workload]
            .iter()
            .copied()
            .find(|&task| self.tasks[task].running <= time && time < self.tasks[task].stopping)
    }

    fn add_infrastructure(&mut self, rng: &mut Rng) {
        let mut add = |owner, address, zone, public| {
            self.enis.push(Eni {
                id: format!("eni-0{}", rng.hex(16)),
                address,
                address6: None,
                owner,
                zone,
                public,
                from: self.options.start,
                until: i64::MAX,
            });
            self.enis.len() - 1
        };
        let zone_net = |zone: usize| VPC_BASE + ((zone as u32) << 8);
        for zone in 0..2 {
            self.balancers.push(add(
                Owner::LoadBalancer,
                zone_net(zone) + 24 + zone as u32 * 31,
                zone,
                true,
            ));
        }
        for zone in 0..ZONES {
            self.nats
                .push(add(Owner::Nat, zone_net(zone) + 7 + zone as u32 * 5, zone, true));
        }
        for number in 0..ENDPOINTS.len() {
            let zone = number % ZONES;
            let address = DATA_NET + ((zone as u32) << 8) + 200 + number as u32;
            self.endpoints
                .push(add(Owner::Endpoint(number), address, zone, false));
        }
        for number in 0..workloads::databases(&self.options) {
            let zone = number % ZONES;
            let address = DATA_NET + ((zone as u32) << 8) + 10 + number as u32;
            self.databases
                .push(add(Owner::Database(number), address, zone, false));
            self.caches
                .push(add(Owner::Cache(number), address + 90, zone, false));
        }
        for number in 0..INSTANCES {
            let zone = number % ZONES;
            let address = HOST_NET + ((zone as u32) << 8) + 40 + number as u32 * 17;
            self.hosts
                .push(add(Owner::Instance(number), address, zone, false));
        }
    }

    /// Services: brought up in the first minutes, deployed, scaled, crashed, replaced.
    fn add_services(&mut self) {
        let Options {
            seed,
            start,
            days,
            services,
            tasks_a_day,
            ..
        } = self.options;
        let replicas: u64 = (0..services as usize)
            .map(|service| self.workloads[service].replicas)
            .sum();
        // Half of a day's tasks come from deployments.
        let deployed_permille = (u64::from(tasks_a_day) * 500 / replicas.max(1)).min(3000);
        for workload in 0..services as usize {
            let mut rng = Rng::stream(seed, "service", workload as u64);
            let mut life = Life {
                rng: Rng::stream(seed, "tasks of service", workload as u64),
                plan: self,
                workload,
                revision: 1 + rng.below(60) as u32,
                live: Vec::new(),
                deployment: String::new(),
            };
            life.deploy(start + rng.range(5, 400));
            let mut happenings: BTreeMap<(i64, u64), Happening> = BTreeMap::new();
            for hour in 1..i64::from(days) * 24 {
                let time = start + hour * 3600;
                let scales = life.plan.workloads[workload].scales;
                if scales > 0 {
                    let wanted = (scales * activity(time) + 50) / 100;
                    happenings.insert((time + rng.range(0, 900), 0), Happening::Scale(wanted));
                }
                // One task in five hundred ends by itself in an hour.
                if rng.below(500) < life.plan.workloads[workload].replicas {
                    happenings.insert((time + rng.range(1800, 3600), 1), Happening::Crash);
                }
            }
            for day in 0..i64::from(days) {
                let midnight = start + day * 86_400;
                let rate = if is_weekend(midnight) {
                    deployed_permille / 6
                } else {
                    deployed_permille * 6 / 5
                };
                for nth in 0..rng.count(rate) {
                    let time = midnight + rng.range(8 * 3600, 18 * 3600);
                    if time > start + 3600 {
                        happenings.insert((time, 2 + nth), Happening::Deploy);
                    }
                }
            }
            for ((time, _), happening) in happenings {
                match happening {
                    Happening::Deploy => life.deploy(time),
                    Happening::Scale(more) => life.scale(time, more),
                    Happening::Crash => life.crash(time),
                }
            }
        }
    }

    /// Batch tasks: the nightly ones, and the rest of a day's tasks at fixed intervals.
    fn add_jobs(&mut self) {
        let Options {
            seed,
            start,
            days,
            services,
            tasks_a_day,
            ..
        } = self.options;
        let first = services as usize;
        let families = self.workloads.len() - first;
        let mut by_day = vec![0_u64; days as usize];
        for task in &self.tasks {
            let day = (task.created - start).div_euclid(86_400);
            if let Some(count) = by_day.get_mut(day.max(0) as usize) {
                *count += 1;
            }
        }
        for (day, started) in by_day.into_iter().enumerate() {
            let mut rng = Rng::stream(seed, "jobs", day as u64);
            let midnight = start + day as i64 * 86_400;
            let count = u64::from(tasks_a_day)
                .saturating_sub(started)
                .max(u64::from(tasks_a_day) / 5)
                .max(2);
            for nth in 0..count {
                let nightly = nth < (count / 10).max(2);
                let family = match nightly {
                    true => nth as usize % 2,
                    false => 2 + nth as usize % (families - 2).max(1),
                };
                let (at, seconds) = match nightly {
                    true => (
                        3600 * (1 + nth as i64 % 2) + rng.range(0, 120),
                        rng.range(1200, 4800),
                    ),
                    false => (
                        nth as i64 * 86_000 / count as i64 + rng.range(0, 40),
                        rng.range(90, 900),
                    ),
                };
                let zone = rng.below(ZONES as u64) as usize;
                let revision = 3 + day as u32 / 5;
                let workload = first + family.min(families - 1);
                let started_by = format!("schedule/{}", self.workloads[workload].name);
                let mut task = new_task(&mut rng, workload, revision, midnight + at, zone, started_by);
                end_task(&mut task, &mut rng, midnight + at + seconds, Stop::Finished);
                self.tasks.push(task);
            }
        }
    }

    /// Gives every task an interface and an address: one that another task has
    /// given back, if there is one, so that addresses are used again and again.
    fn assign_interfaces(&mut self) {
        let mut rng = Rng::stream(self.options.seed, "addresses", 0);
        let mut free: [Vec<u32>; ZONES] = Default::default();
        let mut fresh = [0_u32; ZONES];
        let mut taken: BTreeMap<(i64, u32), usize> = BTreeMap::new();
        // Tasks get their interfaces in the order in which these are attached.
        let mut order: Vec<usize> = (0..self.tasks.len()).collect();
        order.sort_by_key(|&task| (self.tasks[task].attached, task));
        for index in order {
            let task = &self.tasks[index];
            if let Some(instance) = task.instance {
                self.tasks[index].eni = self.hosts[instance];
                continue;
            }
            // An address is free again seconds after its interface is gone.
            while let Some((&(until, address), &zone)) = taken.first_key_value() {
                if until.saturating_add(5) > task.attached {
                    break;
                }
                free[zone].push(address);
                taken.pop_first();
            }
            let pool = &mut free[task.zone];
            let address = if pool.is_empty() || rng.percent(1) && fresh[task.zone] < 4000 {
                fresh[task.zone] += 1;
                let host = fresh[task.zone];
                TASK_NET + ((task.zone as u32) << 12) + host + 10
            } else if rng.percent(40) {
                // The one that came back last, which is the hardest to tell apart.
                pool.pop().unwrap_or_default()
            } else {
                let at = rng.below(pool.len() as u64) as usize;
                pool.remove(at)
            };
            taken.insert((task.stopped, address), task.zone);
            let eni = Eni {
                id: format!("eni-0{}", rng.hex(16)),
                address,
                address6: self.workloads[task.workload].dual_stack.then(|| ipv6(address)),
                owner: Owner::Task(index),
                zone: task.zone,
                public: false,
                from: task.attached,
                until: task.stopped,
            };
            self.enis.push(eni);
            self.tasks[index].eni = self.enis.len() - 1;
        }
    }
}

enum Happening {
    Deploy,
    Scale(u64),
    Crash,
}

/// One service while its tasks are planned.
struct Life<'a> {
    plan: &'a mut Plan,
    rng: Rng,
    workload: usize,
    revision: u32,
    live: Vec<usize>,
    deployment: String,
}

impl Life<'_> {
    fn start(&mut self, at: i64, slot: usize) -> usize {
        let bridge = self.plan.workloads[self.workload].mode == Mode::Bridge;
        let zone = slot % ZONES;
        let mut task = new_task(
            &mut self.rng,
            self.workload,
            self.revision,
            at,
            zone,
            self.deployment.clone(),
        );
        task.instance = bridge.then_some(slot % INSTANCES);
        self.plan.tasks.push(task);
        self.plan.tasks.len() - 1
    }

    fn stop(&mut self, task: usize, at: i64, why: Stop) {
        let task = &mut self.plan.tasks[task];
        let at = at.max(task.running + 20);
        end_task(task, &mut self.rng, at, why);
    }

    /// New tasks of a new revision start; once each runs, an old one goes.
    fn deploy(&mut self, at: i64) {
        self.revision += 1;
        self.deployment = format!("ecs-svc/{}", self.rng.digits(19));
        self.plan.deployments.push(Deployment {
            at,
            workload: self.workload,
            revision: self.revision,
        });
        let old = std::mem::take(&mut self.live);
        let count = old
            .len()
            .max(self.plan.workloads[self.workload].replicas as usize);
        for slot in 0..count {
            let begun = at + 3 + slot as i64 / 2 * self.rng.range(8, 40);
            let new = self.start(begun, slot);
            let runs = self.plan.tasks[new].running;
            if let Some(&old) = old.get(slot) {
                let drained = runs + self.rng.range(20, 140);
                self.stop(old, drained, Stop::Deployment);
            }
            self.live.push(new);
        }
    }

    fn scale(&mut self, at: i64, more: u64) {
        let wanted = (self.plan.workloads[self.workload].replicas + more) as usize;
        while self.live.len() < wanted {
            let slot = self.live.len();
            let new = self.start(at, slot);
            self.live.push(new);
        }
        while self.live.len() > wanted {
            if let Some(last) = self.live.pop() {
                self.stop(last, at, Stop::ScaledIn);
            }
        }
    }

    fn crash(&mut self, at: i64) {
        let slot = self.rng.below(self.live.len() as u64) as usize;
        let old = self.live[slot];
        self.stop(old, at, Stop::Crashed);
        let gone = self.plan.tasks[old].stopping;
        let delay = self.rng.range(4, 25);
        self.live[slot] = self.start(gone + delay, slot);
    }
}

fn new_task(rng: &mut Rng, workload: usize, revision: u32, at: i64, zone: usize, deployment: String) -> Task {
    let attached = at + rng.range(5, 14);
    let pull = attached + rng.range(2, 6);
    let pulled = pull + rng.range(5, 45);
    Task {
        id: rng.hex(32),
        workload,
        revision,
        created: at,
        attached,
        pull: (pull, pulled),
        running: pulled + rng.range(2, 9),
        stopping: i64::MAX,
        stopped: i64::MAX,
        stop: Stop::Never,
        zone,
        eni: 0,
        instance: None,
        deployment,
    }
}

fn end_task(task: &mut Task, rng: &mut Rng, at: i64, why: Stop) {
    task.stopping = at;
    task.stopped = at + rng.range(12, 50);
    task.stop = why;
}
