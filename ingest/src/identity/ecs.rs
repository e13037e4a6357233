//! Claims of ECS: task and container instance events, and the tasks in answers of RunTask.

use arrow::array::RecordBatch;
use chrono::{DateTime, NaiveDateTime};
use serde_json::Value;

use super::claim::{About, Claim, Field, Seen, Texts, Times};
use super::claims::{Claims, Origins};

/// Columns of `ecs_events` that are looked at.
pub(super) const COLUMNS: &[&str] = &[
    "event_time",
    "account_id",
    "region",
    "detail_type",
    "detail",
    "_source",
    "_line",
];

/// Adds what events claim.
pub(super) fn see(batch: &RecordBatch, claims: &mut Claims) {
    let times = Times::new(batch, "event_time");
    let text = |name| Texts::new(batch, name);
    let (accounts, regions, details) = (text("account_id"), text("region"), text("detail"));
    let mut origins = Origins::new(batch);
    for row in 0..batch.num_rows() {
        let (Some(time), Some(detail)) = (times.at(row), details.at(row)) else {
            continue;
        };
        let Ok(detail) = serde_json::from_str::<Value>(detail) else {
            continue;
        };
        let context = Context {
            method: "ecs_event",
            account: accounts.at(row),
            region: regions.at(row),
            seen: origins.seen(row, time, time),
        };
        if detail["taskArn"].is_string() {
            task(&detail, &context, claims);
        } else if detail["ec2InstanceId"].is_string() {
            container_instance(&detail, &context, claims);
        }
    }
}

/// What all claims of one record share.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// Which log, and which call of it.
    pub method: &'a str,
    /// Account of the resources.
    pub account: Option<&'a str>,
    /// Region of the resources.
    pub region: Option<&'a str>,
    /// The record.
    pub seen: Seen,
}

impl Context<'_> {
    /// A claim with the account and Region of the record.
    pub fn claim(&self, about: About) -> Claim {
        Claim::new(about, self.method)
            .with(Field::Account, self.account)
            .with(Field::Region, self.region)
    }
}

/// A task as events and answers of the API describe it.
pub(super) fn task(task: &Value, context: &Context<'_>, claims: &mut Claims) {
    let text = |name: &str| task[name].as_str();
    let Some(id) = text("taskArn").and_then(last_part) else {
        return;
    };
    let time = |name: &str| text(name).and_then(time_of);
    let mut seen = context.seen.clone();
    let stopped = (text("lastStatus") == Some("STOPPED"))
        .then(|| time("stoppedAt").or(time("updatedAt")).unwrap_or(seen.last))
        .or(time("stoppedAt"));
    if let Some(stopped) = stopped {
        // That it stopped was told later: the task was not there any more.
        seen.first = seen.first.min(stopped);
        seen.last = seen.last.min(stopped);
    }
    // It has been running since then, with its interface.
    if let Some(started) = time("startedAt").filter(|started| *started < seen.last) {
        seen.first = seen.first.min(started);
    }
    let attachment = Attachment::of(task);
    let mut claim = context
        .claim(About::Task)
        .with(Field::Task, Some(id))
        .with(Field::Cluster, text("clusterArn").and_then(last_part))
        .with(
            Field::Service,
            text("group").and_then(|group| group.strip_prefix("service:")),
        )
        .with(Field::TaskDefinition, text("taskDefinitionArn"))
        .with(Field::Role, task["overrides"]["taskRoleArn"].as_str())
        .with(Field::LaunchType, text("launchType"))
        .with(Field::ContainerInstance, text("containerInstanceArn"))
        .with(Field::Interface, attachment.interface)
        .with(Field::Subnet, attachment.subnet);
    claim.valid_from = time("createdAt");
    claim.valid_to = stopped;
    claims.add(claim, seen.clone());
    for address in &attachment.addresses {
        let claim = context
            .claim(About::Interface)
            .with(Field::Task, Some(id))
            .with(Field::Interface, attachment.interface)
            .with(Field::Subnet, attachment.subnet)
            .with(Field::Address, Some(address));
        claims.add(claim, seen.clone());
    }
    for container in list(&task["containers"]) {
        // What GuardDuty adds to a task has no image, and is none of the task's own.
        if let Some(image) = container["image"].as_str() {
            let claim = context
                .claim(About::Task)
                .with(Field::Task, Some(id))
                .with(Field::Image, Some(image))
                .with(Field::ImageDigest, container["imageDigest"].as_str())
                .with(Field::Container, container["name"].as_str());
            claims.add(claim, seen.clone());
        }
    }
}

/// A container instance as events and answers of the API describe it.
pub(super) fn container_instance(value: &Value, context: &Context<'_>, claims: &mut Claims) {
    let claim = context
        .claim(About::ContainerInstance)
        .with(Field::ContainerInstance, value["containerInstanceArn"].as_str())
        .with(Field::Instance, value["ec2InstanceId"].as_str());
    claims.add(claim, context.seen.clone());
}

/// The interface of a task.
#[derive(Debug, Default)]
struct Attachment<'a> {
    interface: Option<&'a str>,
    subnet: Option<&'a str>,
    addresses: Vec<&'a str>,
}

impl<'a> Attachment<'a> {
    fn of(task: &'a Value) -> Self {
        let mut found = Attachment::default();
        for attachment in list(&task["attachments"]) {
            for detail in list(&attachment["details"]) {
                let Some(value) = detail["value"].as_str() else {
                    continue;
                };
                let name = detail["name"].as_str().unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "networkinterfaceid" => found.interface = found.interface.or(Some(value)),
                    "subnetid" => found.subnet = found.subnet.or(Some(value)),
                    "privateipv4address" | "privateipv6address" | "ipv6address" => {
                        found.addresses.push(value)
                    }
                    _ => {}
                }
            }
        }
        for container in list(&task["containers"]) {
            for interface in list(&container["networkInterfaces"]) {
                let names = ["privateIpv4Address", "privateIPv4Address", "ipv6Address"];
                found
                    .addresses
                    .extend(names.iter().filter_map(|name| interface[*name].as_str()));
            }
        }
        found.addresses.sort_unstable();
        found.addresses.dedup();
        found
    }
}

/// The elements of an array; of anything else none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What follows the last slash of an ARN.
pub(super) fn last_part(arn: &str) -> Option<&str> {
    arn.rsplit('/').next().filter(|part| !part.is_empty())
}

/// A time as logs of AWS write it: ISO 8601, or `Nov 20, 2025 7:00:00 AM` in UTC.
pub(super) fn time_of(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    let time = NaiveDateTime::parse_from_str(text, "%b %d, %Y, %I:%M:%S %p")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%b %d, %Y %I:%M:%S %p"))
        .ok()?;
    Some(time.and_utc().timestamp_micros())
}
