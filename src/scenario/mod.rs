//! A small AWS estate that never was, with one intrusion in it.
//!
//! In: an [`Estate`], which is a seed, a start and a few sizes. Out: a folder of
//! raw gzip files laid out as AWS delivers them, and the truth about what the
//! intruder did. The demo, the tests and the benchmarks read these files like
//! any others; only keys and ids that end in EXAMPLE show that they are made up.
//!
//! ```text
//! AWSLogs/111122223333/vpcflowlogs/eu-west-1/2026/11/17/..._vpcflowlogs_..._.log.gz
//! AWSLogs/111122223333/CloudTrail/{eu-west-1,us-east-1}/2026/11/17/..._CloudTrail_..._.json.gz
//! AWSLogs/111122223333/CloudTrail-Digest/{eu-west-1,us-east-1}/2026/11/17/..._CloudTrail-Digest_..._.json.gz
//! exportedlogs/<export task>/ecs-<service>-<task id>/000000.gz
//! exportedlogs/aws-logs-write-test
//! ```
//!
//! The same estate gives the same files, byte for byte. Ordinary life is the
//! same with and without the intrusion, up to the point where it changes
//! things: its task definition replaces tasks, and it ends the logs.
//!
//! Every foreign address lies in the ranges reserved for documentation. Own
//! addresses outside the VPC are [`NAT_ADDRESS`], [`OFFICE_ADDRESS`] and [`CI_ADDRESS`].
//!
//! For benchmarks, [`write_flow_volume`] and [`write_cloudtrail_volume`] write
//! large files without a story.

mod rng;

mod estate;
mod identity;

mod calls;
mod cloudtrail;
mod container_logs;
mod flow;
mod people;
mod traffic;
mod workloads;

mod intrusion;

mod output;
mod volume;

#[cfg(test)]
mod tests;

use std::io::{self, Error, ErrorKind};
use std::path::Path;

use chrono::{DateTime, Utc};

pub use volume::{write_cloudtrail_volume, write_flow_volume};

use self::cloudtrail::CloudTrailLogs;
use self::container_logs::ContainerLogs;
use self::estate::World;
use self::flow::FlowLogs;
use self::intrusion::Intrusion;
use self::output::Output;

/// The estate's account, one of those that AWS keeps for documentation.
pub const ACCOUNT: &str = "111122223333";
/// The Region of everything but global services.
pub const REGION: &str = "eu-west-1";
/// The VPC's address range.
pub const VPC_CIDR: &str = "10.20.0.0/16";
/// The public address of the NAT gateway: where tasks' API calls come from.
pub const NAT_ADDRESS: &str = "198.51.100.10";
/// Where the operators sit.
pub const OFFICE_ADDRESS: &str = "198.51.100.20";
/// Where the pipeline runs.
pub const CI_ADDRESS: &str = "198.51.100.40";

/// The flow log's format: its first line in every file.
pub const FLOW_LOG_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path ecs-cluster-arn ecs-cluster-name ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id";

/// The subnets have room for this many services, deployments included.
const SERVICES_MAX: u32 = 40;
/// The first ordinary deployment that the intrusion builds on is this long before the end.
const INTRUSION_HOURS_MIN: u32 = 12;

/// What to make up. The default is the demo: a day with an intrusion in its second half.
#[derive(Debug, Clone)]
pub struct Estate {
    /// The same seed gives the same files.
    pub seed: u64,
    /// Time of the first record.
    pub start: DateTime<Utc>,
    /// How many hours the logs cover. The intrusion takes place in the last nine of them.
    pub hours: u32,
    /// ECS services, from 1 to 40. One of them is always `reports`.
    pub services: u32,
    /// Connections that each service opens in an average hour. A connection makes four to six flow records, and a long one more.
    pub flows_per_service_hour: u32,
    /// CloudTrail events in an average hour, roughly.
    pub calls_per_hour: u32,
    /// Container log events of each service in an average hour.
    pub log_lines_per_service_hour: u32,
    /// Whether anybody breaks in. Needs 12 hours or more.
    pub intrusion: bool,
}

impl Default for Estate {
    fn default() -> Estate {
        Estate {
            seed: 20_261_117,
            // A Tuesday.
            start: DateTime::from_timestamp(1_794_873_600, 0).unwrap_or_default(),
            hours: 24,
            services: 6,
            flows_per_service_hour: 160,
            calls_per_hour: 600,
            log_lines_per_service_hour: 500,
            intrusion: true,
        }
    }
}

/// What [`write`] wrote.
#[derive(Debug, Clone)]
pub struct Written {
    /// Files, digests and the exports' test object included.
    pub files: u64,
    /// Their size on disk.
    pub bytes: u64,
    /// Records of `vpc_flow`, `NODATA` lines included, headers not.
    pub vpc_flow: u64,
    /// Records of `cloudtrail`.
    pub cloudtrail: u64,
    /// Events of `container_logs`; one with a stack trace counts once.
    pub container_logs: u64,
    /// CloudTrail digest files.
    pub digests: u64,
    /// The intrusion, in order of time. Empty without one.
    pub truth: Vec<Step>,
}

/// One step of the intrusion.
#[derive(Debug, Clone)]
pub struct Step {
    /// What was done, in a few words.
    pub what: &'static str,
    /// The table that shows it.
    pub table: &'static str,
    /// Time of its first record.
    pub from: DateTime<Utc>,
    /// Time of its last record.
    pub until: DateTime<Utc>,
    /// Catalogue ids of the detections that can see it in these tables.
    pub rules: &'static [&'static str],
    /// Column or concept and value, such as `("session_name", "<task id>")`.
    pub entities: Vec<(&'static str, String)>,
}

impl Step {
    /// The value of one entity of this step.
    pub fn entity(&self, name: &str) -> Option<&str> {
        self.entities
            .iter()
            .find(|(entity, _)| *entity == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Writes the logs of an estate below `root`.
///
/// Files already there stay; those of the same name are replaced.
pub fn write(estate: &Estate, root: &Path) -> io::Result<Written> {
    check(estate)?;
    let world = World::new(estate);
    let mut out = Output::new(root);
    let (told, flow_until, trail_until) = match Intrusion::plan(&world) {
        Some(mut told) => {
            told.steps.sort_by_key(|step| step.from);
            let (flow_until, trail_until) = (told.flow_until, told.trail_until);
            (Some(told), flow_until, trail_until)
        }
        None => (None, i64::MAX, i64::MAX),
    };
    let mut flow = FlowLogs::new(&world, flow_until);
    let mut trail = CloudTrailLogs::new(&world, trail_until);
    let mut lines = Vec::new();
    let mut truth = Vec::new();
    if let Some(told) = told {
        let mut rng = rng::Rng::stream(world.seed, "intrusion events", 0);
        told.connections
            .iter()
            .for_each(|connection| flow.add(connection));
        told.events
            .into_iter()
            .for_each(|event| trail.add(event, &mut rng));
        lines = told.lines;
        truth = told.steps;
    }
    let mut logs = ContainerLogs::new(&world, lines);
    for from in (world.start..world.end).step_by(3600) {
        let to = from + 3600;
        let deeds = calls::hour(&world, from);
        for connection in traffic::hour(&world, from, &deeds) {
            flow.add(&connection);
        }
        workloads::hour(&world, from, &deeds, &mut trail);
        people::hour(&world, from, &mut trail);
        logs.hour(from, &mut out)?;
        // The next hour may still add to the last minutes of this one.
        flow.close(to - 60, &mut out)?;
        trail.close(to - 60, &mut out)?;
    }
    flow.close(i64::MAX, &mut out)?;
    trail.finish(&mut out)?;
    logs.finish(&mut out)?;
    Ok(Written {
        files: out.files,
        bytes: out.bytes,
        vpc_flow: flow.records,
        cloudtrail: trail.events,
        container_logs: logs.events,
        digests: trail.digests,
        truth,
    })
}

fn check(estate: &Estate) -> io::Result<()> {
    let refuse = |why: String| Err(Error::new(ErrorKind::InvalidInput, why));
    if !(1..=SERVICES_MAX).contains(&estate.services) {
        return refuse(format!(
            "an estate has 1 to {SERVICES_MAX} services, not {}",
            estate.services
        ));
    }
    if estate.intrusion && estate.hours < INTRUSION_HOURS_MIN {
        return refuse(format!(
            "the intrusion needs {INTRUSION_HOURS_MIN} hours, the estate has {}",
            estate.hours
        ));
    }
    Ok(())
}
