//! The estate itself: network, services, tasks and how they change over time.
//!
//! Everything here is fixed before the first record is written, so the flow
//! logs, CloudTrail and the container logs all speak of the same task ids,
//! addresses and access keys.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::intrusion;
use super::rng::Rng;
use super::{ACCOUNT, Estate, REGION};

pub(super) const CLUSTER: &str = "prod";
/// Foreign services that the estate has always called, and their ports.
pub(super) const TELEMETRY: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 20), Ipv4Addr::new(192, 0, 2, 21)];
pub(super) const PAYMENT_PROVIDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub(super) const PACKAGE_MIRROR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 30);
pub(super) const REGISTRY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 40);
pub(super) const MAIL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);
pub(super) const TIME: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 70);

/// AWS's own end points: the name flow logs give them, and whether the VPC
/// reaches them through a gateway endpoint in place of the NAT gateway.
const AWS_ENDPOINTS: [(&str, u8, &str, bool); 11] = [
    ("s3", 160, "S3", true),
    ("dynamodb", 150, "DYNAMODB", true),
    ("kms", 140, "AMAZON", false),
    ("secretsmanager", 141, "AMAZON", false),
    ("sqs", 142, "AMAZON", false),
    ("sts", 143, "AMAZON", false),
    ("ecs", 144, "AMAZON", false),
    ("ecr", 145, "AMAZON", false),
    ("ssm", 146, "AMAZON", false),
    ("ec2", 147, "EC2", false),
    ("logs", 148, "AMAZON", false),
];

/// Name, replicas, and whether the tasks run on EC2 instances rather than Fargate.
/// `reports` renders pages in a browser that Fargate cannot give enough shared memory.
const REPORTS: (&str, u32, bool) = ("reports", 3, true);
const SERVICES: [(&str, u32, bool); 11] = [
    ("web", 3, false),
    ("api", 3, false),
    ("checkout", 2, false),
    ("payments", 2, false),
    ("worker", 4, false),
    ("search", 2, false),
    ("catalog", 2, false),
    ("notify", 2, false),
    ("billing", 2, false),
    ("media", 2, false),
    ("accounts", 2, false),
];

/// Name, third octet of its /24, index of its availability zone.
const SUBNETS: [(&str, u8, usize); 6] = [
    ("public-a", 0, 0),
    ("public-b", 1, 1),
    ("app-a", 10, 0),
    ("app-b", 11, 1),
    ("data-a", 20, 0),
    ("data-b", 21, 1),
];

/// A network interface of the VPC.
pub(super) struct Eni {
    pub id: String,
    pub address: Ipv4Addr,
    /// Only the load balancer is dual-stack.
    pub address6: Option<Ipv6Addr>,
    pub subnet: usize,
    pub from: i64,
    pub until: i64,
    /// `vpc-id subnet-id instance-id`, as every record of this interface has them.
    pub place: String,
    pub zone: &'static str,
    /// The six ECS fields; `None` for what is not a task.
    pub ecs: Option<String>,
    /// Flow logs know the ECS fields only once the task's running event has arrived.
    pub ecs_from: i64,
}

/// An ECS service.
pub(super) struct Service {
    pub name: String,
    pub role: String,
    pub on_ec2: bool,
    pub replicas: u32,
}

/// One ECS task, with the network interface it had all its life.
pub(super) struct Task {
    pub id: String,
    pub service: usize,
    pub revision: u32,
    pub role: String,
    pub eni: usize,
    pub started: i64,
    pub stopped: i64,
}

/// An EC2 instance with a role.
pub(super) struct Instance {
    pub id: String,
    pub eni: usize,
    pub role: &'static str,
    /// `ec2RoleDelivery`: "1.0" for IMDSv1, "2.0" for IMDSv2.
    pub delivery: &'static str,
    pub cluster_member: bool,
}

/// A change of a service that CloudTrail records too.
pub(super) struct Change {
    pub time: i64,
    pub service: usize,
    pub kind: ChangeKind,
}

pub(super) enum ChangeKind {
    /// The CI role brings a new task definition.
    Deploy {
        revision: u32,
        image: String,
        pipeline: u64,
    },
    /// Autoscaling sets the desired count.
    Scale { desired: u32 },
    /// The intruder's revision, with another task role.
    Foreign { revision: u32 },
}

pub(super) struct World {
    pub seed: u64,
    pub start: i64,
    pub end: i64,
    pub estate: Estate,
    pub vpc: String,
    pub subnets: Vec<String>,
    pub flow_log: String,
    pub s3_gateway: String,
    pub enis: Vec<Eni>,
    pub services: Vec<Service>,
    pub tasks: Vec<Task>,
    pub instances: Vec<Instance>,
    pub changes: Vec<Change>,
    pub load_balancers: Vec<usize>,
    pub nat: usize,
    pub log_endpoints: Vec<usize>,
    pub database: usize,
    pub caches: Vec<usize>,
}

impl World {
    pub fn new(estate: &Estate) -> World {
        let mut rng = Rng::stream(estate.seed, "network", 0);
        let start = estate.start.timestamp();
        let mut world = World {
            seed: estate.seed,
            start,
            end: start + i64::from(estate.hours) * 3600,
            estate: estate.clone(),
            vpc: format!("vpc-0{}", rng.hex(16)),
            subnets: SUBNETS
                .iter()
                .map(|_| format!("subnet-0{}", rng.hex(16)))
                .collect(),
            flow_log: format!("fl-0{}", rng.hex(16)),
            s3_gateway: format!("vpce-0{}", rng.hex(16)),
            enis: Vec::new(),
            services: services(estate.services),
            tasks: Vec::new(),
            instances: Vec::new(),
            changes: Vec::new(),
            load_balancers: Vec::new(),
            nat: 0,
            log_endpoints: Vec::new(),
            database: 0,
            caches: Vec::new(),
        };
        world.add_network(&mut rng);
        let mut rng = Rng::stream(estate.seed, "services", 0);
        for service in 0..world.services.len() {
            world.add_tasks(service, &mut rng);
        }
        world.changes.sort_by_key(|change| change.time);
        world
    }

    /// A time of the last 24 hours of the scenario, as if it began at midnight.
    pub fn at(&self, hour: i64, minute: i64, second: i64) -> i64 {
        self.end - 86_400 + hour * 3600 + minute * 60 + second
    }

    pub fn service(&self, name: &str) -> Option<usize> {
        self.services.iter().position(|service| service.name == name)
    }

    pub fn tasks_of(&self, service: usize, time: i64) -> Vec<usize> {
        (0..self.tasks.len())
            .filter(|&index| {
                let task = &self.tasks[index];
                task.service == service && task.started <= time && time < task.stopped
            })
            .collect()
    }

    pub fn cluster_arn() -> String {
        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{CLUSTER}")
    }

    pub fn task_arn(&self, task: usize) -> String {
        format!(
            "arn:aws:ecs:{REGION}:{ACCOUNT}:task/{CLUSTER}/{}",
            self.tasks[task].id
        )
    }

    fn add_network(&mut self, rng: &mut Rng) {
        for (subnet, host) in [(0, 21), (1, 34)] {
            let eni = self.add_fixed(rng, subnet, host, None);
            self.enis[eni].address6 = Some(Ipv6Addr::new(
                0x2001,
                0xdb8,
                0x20,
                subnet as u16,
                0,
                0,
                0,
                u16::from(host),
            ));
            self.load_balancers.push(eni);
        }
        self.nat = self.add_fixed(rng, 0, 11, None);
        self.log_endpoints = vec![self.add_fixed(rng, 2, 5, None), self.add_fixed(rng, 3, 5, None)];
        self.database = self.add_fixed(rng, 4, 17, None);
        self.caches = vec![self.add_fixed(rng, 4, 30, None), self.add_fixed(rng, 5, 30, None)];
        // Quiet ones, so that the flow logs have NODATA lines: a standby
        // database and the mount targets of a file system.
        for (subnet, host) in [(5, 17), (4, 44), (5, 44)] {
            self.add_fixed(rng, subnet, host, None);
        }
        for (subnet, host, role, delivery, cluster_member) in [
            (2, 6, "ecs-instance", "2.0", true),
            (3, 6, "ecs-instance", "2.0", true),
            (2, 7, "ops-tools", "2.0", false),
            (3, 8, "legacy-batch", "1.0", false),
        ] {
            let id = format!("i-0{}", rng.hex(16));
            let eni = self.add_fixed(rng, subnet, host, Some(&id));
            self.instances.push(Instance {
                id,
                eni,
                role,
                delivery,
                cluster_member,
            });
        }
    }

    fn add_fixed(&mut self, rng: &mut Rng, subnet: usize, host: u8, instance: Option<&str>) -> usize {
        self.add_eni(rng, subnet, host, instance, i64::MIN, i64::MAX)
    }

    fn add_eni(
        &mut self,
        rng: &mut Rng,
        subnet: usize,
        host: u8,
        instance: Option<&str>,
        from: i64,
        until: i64,
    ) -> usize {
        let (_, octet, zone) = SUBNETS[subnet];
        self.enis.push(Eni {
            id: format!("eni-0{}", rng.hex(16)),
            address: Ipv4Addr::new(10, 20, octet, host),
            address6: None,
            subnet,
            from,
            until,
            place: format!(
                "{} {} {}",
                self.vpc,
                self.subnets[subnet],
                instance.unwrap_or("-")
            ),
            zone: ["euw1-az1", "euw1-az2"][zone],
            ecs: None,
            ecs_from: from,
        });
        self.enis.len() - 1
    }

    /// Every task that one service has in all the hours, change by change.
    fn add_tasks(&mut self, service: usize, rng: &mut Rng) {
        let replicas = self.services[service].replicas;
        let mut revision = 20 + rng.below(90) as u32;
        let mut role = self.services[service].role.clone();
        let mut alive: Vec<usize> = (0..replicas)
            .map(|_| {
                let started = self.start - rng.range(3 * 3600, 60 * 3600);
                self.add_task(service, revision, &role, started, rng)
            })
            .collect();
        for mut change in self.planned_changes(service, rng) {
            match &mut change.kind {
                ChangeKind::Scale { desired } => {
                    while (alive.len() as u32) < *desired {
                        let started = change.time + rng.range(35, 60);
                        alive.push(self.add_task(service, revision, &role, started, rng));
                    }
                    for task in alive.drain(*desired as usize..) {
                        self.stop(task, change.time + rng.range(30, 90));
                    }
                }
                ChangeKind::Deploy { revision: next, .. } | ChangeKind::Foreign { revision: next } => {
                    revision += 1;
                    *next = revision;
                    if let ChangeKind::Foreign { .. } = change.kind {
                        role = intrusion::TAKEN_ROLE.to_string();
                    }
                    for (nth, task) in alive.iter_mut().enumerate() {
                        // A rolling deployment: the old task drains while the new one starts.
                        let started = change.time + 70 + 20 * nth as i64 + rng.range(0, 15);
                        self.stop(*task, started + rng.range(120, 180));
                        *task = self.add_task(service, revision, &role, started, rng);
                    }
                }
            }
            self.changes.push(change);
        }
    }

    /// Two ordinary deployments every day, and autoscaling over office hours.
    fn planned_changes(&self, service: usize, rng: &mut Rng) -> Vec<Change> {
        let name = &self.services[service].name;
        let replicas = self.services[service].replicas;
        let mut changes = Vec::new();
        let mut add = |time, kind| {
            // Not in the very first minutes: a change needs a time before it.
            if time > self.start + 600 && time < self.end {
                changes.push(Change { time, service, kind });
            }
        };
        for day in (0..=i64::from(self.estate.hours / 24)).rev() {
            let at = |hour, minute, second| self.at(hour, minute, second) - day * 86_400;
            if matches!(name.as_str(), "web" | "api" | "checkout") {
                add(
                    at(8, 40, rng.range(0, 900)),
                    ChangeKind::Scale {
                        desired: replicas + 1,
                    },
                );
                add(
                    at(18, 20, rng.range(0, 900)),
                    ChangeKind::Scale { desired: replicas },
                );
            }
            // On the last day the second deployment renews `reports`, so that the
            // credentials of its tasks are fresh in the afternoon.
            let deployed = match (service + day as usize) % 3 {
                _ if day == 0 && name == REPORTS.0 => Some(at(13, 8, 20)),
                _ if name == REPORTS.0 => None,
                0 => Some(at(9, 12, 40 + 50 * service as i64)),
                1 => Some(at(13, 8, 40 + 50 * service as i64)),
                _ => None,
            };
            if let Some(time) = deployed {
                let digest = rng.hex(64);
                let image = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}@sha256:{digest}");
                // The last two runs are 1234 and 1235.
                let pipeline = (1234 - 2 * day).max(0) as u64 + u64::from(at(12, 0, 0) < time);
                add(
                    time,
                    ChangeKind::Deploy {
                        revision: 0,
                        image,
                        pipeline,
                    },
                );
            }
        }
        if self.estate.intrusion && name == REPORTS.0 {
            add(
                intrusion::service_change_time(self),
                ChangeKind::Foreign { revision: 0 },
            );
        }
        changes.sort_by_key(|change| change.time);
        changes
    }

    fn add_task(&mut self, service: usize, revision: u32, role: &str, started: i64, rng: &mut Rng) -> usize {
        let on_ec2 = self.services[service].on_ec2;
        let hosts: Vec<(String, usize)> = self
            .instances
            .iter()
            .filter(|instance| instance.cluster_member)
            .map(|instance| (instance.id.clone(), self.enis[instance.eni].subnet))
            .collect();
        let (host, subnet) = rng.pick(&hosts).clone();
        let address = loop {
            let host = 20 + rng.below(220) as u8;
            // Addresses are used again, but only some time after their last owner has gone.
            if !self.enis.iter().any(|eni| {
                eni.subnet == subnet && eni.address.octets()[3] == host && eni.until > started - 900
            }) {
                break host;
            }
        };
        let eni = self.add_eni(
            rng,
            subnet,
            address,
            on_ec2.then_some(host.as_str()),
            started,
            i64::MAX,
        );
        let id = rng.hex(32);
        let name = &self.services[service].name;
        self.enis[eni].ecs = Some(format!(
            "{} {CLUSTER} {name} arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{name}:{revision} \
             arn:aws:ecs:{REGION}:{ACCOUNT}:task/{CLUSTER}/{id} {id}",
            World::cluster_arn(),
        ));
        self.enis[eni].ecs_from = started + rng.range(20, 50);
        self.tasks.push(Task {
            id,
            service,
            revision,
            role: role.to_string(),
            eni,
            started,
            stopped: i64::MAX,
        });
        self.tasks.len() - 1
    }

    fn stop(&mut self, task: usize, time: i64) {
        self.tasks[task].stopped = time;
        let eni = self.tasks[task].eni;
        self.enis[eni].until = time;
    }
}

/// `reports` always, and as many others as asked for.
fn services(count: u32) -> Vec<Service> {
    let mut services: Vec<Service> = (0..count.saturating_sub(1) as usize)
        .map(|index| match SERVICES.get(index) {
            Some(&(name, replicas, on_ec2)) => (name.to_string(), replicas, on_ec2),
            None => (format!("svc-{:02}", index + 1), 2, false),
        })
        .chain([(REPORTS.0.to_string(), REPORTS.1, REPORTS.2)])
        .map(|(name, replicas, on_ec2)| Service {
            role: format!("{name}-task"),
            name,
            on_ec2,
            replicas,
        })
        .collect();
    services.truncate(count as usize);
    services
}

/// The address of an AWS service, and whether a gateway endpoint leads there.
pub(super) fn aws_endpoint(service: &str) -> (Ipv4Addr, bool) {
    AWS_ENDPOINTS.iter().find(|(name, ..)| *name == service).map_or(
        (Ipv4Addr::new(192, 0, 2, 149), false),
        |&(_, host, _, gateway)| (Ipv4Addr::new(192, 0, 2, host), gateway),
    )
}

/// What `pkt-src-aws-service` and `pkt-dst-aws-service` say of an address.
pub(super) fn aws_service(address: Ipv4Addr) -> &'static str {
    match address.octets() {
        [192, 0, 2, host] if host >= 128 => AWS_ENDPOINTS
            .iter()
            .find(|&&(_, own, ..)| own == host)
            .map_or("AMAZON", |&(_, _, name, _)| name),
        _ => "-",
    }
}
