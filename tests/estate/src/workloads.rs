//! What runs in the estate: services and jobs, and whom each of them talks to.

use serde::Serialize;

use crate::network::{self, External};
use crate::options::Options;
use crate::rng::Rng;

/// How a workload's tasks are on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Each task has an interface of its own.
    Awsvpc,
    /// Tasks share their instance's interface.
    Bridge,
}

/// What a workload is for, which decides its traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Behind the load balancer.
    Web,
    /// Called by other services.
    Api,
    /// Takes work from queues.
    Worker,
    /// Tasks that run and end, started by a schedule; not a service.
    Batch,
}

/// A service, or a family of batch tasks.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    /// Of the service and of the task definition's family.
    pub name: String,
    pub mode: Mode,
    pub role: Role,
    pub fargate: bool,
    pub port: u16,
    /// Tasks at night.
    pub replicas: u64,
    /// Tasks that autoscaling adds at the busiest hour.
    pub scales: u64,
    /// Requests an hour and task at the busiest hour, before scaling.
    pub load: u64,
    /// Services it calls.
    pub peers: Vec<usize>,
    /// Numbers of its database and its cache.
    pub database: Option<usize>,
    pub cache: Option<usize>,
    pub externals: Vec<External>,
    /// It posts metrics to a vendor every five minutes.
    pub telemetry: bool,
    /// It handles card data.
    pub cde: bool,
    /// Its tasks have an IPv6 address as well.
    pub dual_stack: bool,
}

impl Workload {
    pub fn is_service(&self) -> bool {
        self.role != Role::Batch
    }
}

const NAMES: [&str; 50] = [
    "storefront",
    "catalog",
    "search",
    "cart",
    "checkout",
    "payments",
    "orders",
    "inventory",
    "pricing",
    "promotions",
    "accounts",
    "identity",
    "sessions",
    "profiles",
    "recommendations",
    "reviews",
    "media",
    "thumbnails",
    "notifications",
    "email-sender",
    "sms-gateway",
    "shipping",
    "returns",
    "warehouse",
    "suppliers",
    "invoicing",
    "tax",
    "ledger",
    "refunds",
    "fraud",
    "risk-score",
    "reporting",
    "analytics",
    "events-collector",
    "feed-builder",
    "partners-api",
    "mobile-api",
    "admin",
    "support-desk",
    "chat",
    "geo",
    "currency",
    "gift-cards",
    "loyalty",
    "wishlist",
    "webhooks",
    "scheduler",
    "exports",
    "audit-trail",
    "config-server",
];

const JOBS: [&str; 12] = [
    "nightly-warehouse-load",
    "nightly-statements",
    "stock-sync",
    "price-refresh",
    "sitemap-build",
    "session-cleanup",
    "index-rebuild",
    "invoice-batch",
    "feed-export",
    "image-resize-batch",
    "search-warmup",
    "report-mailer",
];

/// Databases and caches in the data subnets.
pub(crate) fn databases(options: &Options) -> usize {
    (options.services as usize / 5).max(2)
}

/// All workloads: services first, then families of batch tasks.
pub(crate) fn workloads(options: &Options) -> Vec<Workload> {
    let services = options.services as usize;
    let bridge = (services / 10).max(2);
    let web = (services * 3 / 10).max(1);
    let databases = databases(options);
    let mut rng = Rng::stream(options.seed, "workloads", 0);
    // Half of the tasks come from deployments of services: so many replicas, about.
    let replicas = u64::from(options.tasks_a_day / 2 / options.services).clamp(2, 8);
    let mut all: Vec<Workload> = (0..services)
        .map(|number| {
            let name = match number / NAMES.len() {
                0 => NAMES[number].to_owned(),
                round => format!("{}-{}", NAMES[number % NAMES.len()], round + 1),
            };
            let role = match number {
                _ if number < web => Role::Web,
                _ if number % 3 == 0 => Role::Worker,
                _ => Role::Api,
            };
            let mode = if number >= services - bridge {
                Mode::Bridge
            } else {
                Mode::Awsvpc
            };
            let spread = replicas / 2 + rng.below(replicas);
            // By name, so that a larger share only adds services, and other services change nothing.
            let mut family = Rng::stream(options.seed, &format!("dual stack of {name}"), 0);
            Workload {
                name,
                mode,
                role,
                fargate: mode == Mode::Awsvpc && rng.percent(60),
                port: *rng.pick(&[8080, 8080, 8080, 3000, 5000, 9090]),
                replicas: if mode == Mode::Bridge {
                    INSTANCES as u64
                } else {
                    spread.max(2)
                },
                scales: if mode == Mode::Awsvpc && rng.percent(50) {
                    1 + rng.below(4)
                } else {
                    0
                },
                load: 2 + rng.size(1, 3),
                peers: Vec::new(),
                database: rng.percent(60).then(|| rng.below(databases as u64) as usize),
                cache: rng.percent(40).then(|| rng.below(databases as u64) as usize),
                externals: externals(&mut rng),
                telemetry: rng.percent(15),
                cde: false,
                dual_stack: mode == Mode::Awsvpc && family.percent(u64::from(options.dual_stack)),
            }
        })
        .collect();
    // Calls go to services of a higher number that listen, so nothing calls in circles.
    for number in 0..services {
        let listening: Vec<usize> = (number + 1..services)
            .filter(|&other| matches!(all[other].role, Role::Api) && all[other].mode == Mode::Awsvpc)
            .collect();
        if !listening.is_empty() {
            let mut peers: Vec<usize> = (0..1 + rng.below(3)).map(|_| *rng.pick(&listening)).collect();
            peers.sort_unstable();
            peers.dedup();
            all[number].peers = peers;
        }
    }
    for index in [services / 3, services / 3 + 1] {
        all[index].cde = all[index].mode == Mode::Awsvpc;
    }
    for number in 0..(services / 6).max(3) {
        let name = match number / JOBS.len() {
            0 => JOBS[number].to_owned(),
            round => format!("{}-{}", JOBS[number % JOBS.len()], round + 1),
        };
        all.push(Workload {
            name,
            mode: Mode::Awsvpc,
            role: Role::Batch,
            fargate: true,
            port: 0,
            replicas: 0,
            scales: 0,
            load: 20,
            peers: Vec::new(),
            database: Some(number % databases),
            cache: None,
            externals: externals(&mut rng),
            telemetry: false,
            cde: false,
            dual_stack: false,
        });
    }
    all
}

/// Instances that tasks in bridge mode share.
pub(crate) const INSTANCES: usize = 3;

fn externals(rng: &mut Rng) -> Vec<External> {
    (0..rng.below(4))
        .map(|_| {
            if rng.percent(50) {
                let base = network::stranger(rng) & 0xffff_ff00;
                let count = 1 + rng.below(4);
                External::Stable((0..count).map(|_| base + 10 + rng.below(200) as u32).collect())
            } else {
                External::Delivery {
                    network: rng.below(4) as usize,
                    salt: rng.below(1000),
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_share_of_the_services_is_dual_stack_and_stays_so_in_a_larger_one() {
        let dual = |dual_stack, services| -> BTreeSet<String> {
            let options = Options {
                dual_stack,
                services,
                ..Options::default()
            };
            let all = workloads(&options).into_iter();
            all.filter(|workload| workload.dual_stack)
                .map(|workload| workload.name)
                .collect()
        };
        assert!(dual(0, 400).is_empty());
        // A tenth is in bridge mode, and has no interfaces of its own.
        assert_eq!(dual(100, 400).len(), 360);
        let some = dual(40, 400);
        assert!((110..180).contains(&some.len()), "{} of 360", some.len());
        assert!(some.is_subset(&dual(70, 400)));
        let fewer = dual(40, 50);
        assert!(!fewer.is_empty() && fewer.is_subset(&some));
    }
}
