//! ECS events of EventBridge: what tasks, container instances, services and deployments do.
//!
//! Documents as EventBridge hands them on: one per line, concatenated (as
//! Firehose writes them to S3), printed, in arrays, and in envelopes of
//! CloudWatch Logs and SNS. Detail types that are new, and members that are
//! unknown, are kept: `detail` holds all of the event's own text.
//!
//! Events are delivered at least once and in no order: of two with one resource
//! and one `detail_version` one is a duplicate, and the higher version is the
//! later state. Events that a service sends about its own API calls are
//! CloudTrail records and belong to that table.

use std::borrow::Cow;

use super::documents::{self, Class, Object, Shape, Spec, Value, columns, quoted};
use super::{Format, OptionError, Parser, Setup, Timeline};
use crate::column::Column;
use crate::column::Kind::{Bool, Json, Long, Text, Time};
use crate::json::{self, Elements};

#[rustfmt::skip]
const SPECS: &[Spec] = &[
    Spec::first("event_time", Time, &["time", "detail.updatedAt", "detail.createdAt"], "When the event was sent, to the second; `updated_at` is more exact."),
    Spec::at("event_id", Text, "id", "Id of the event, the same however often it is delivered."),
    Spec::at("account_id", Text, "account", "Account that the resources belong to."),
    Spec::at("region", Text, "region", "Region of the event."),
    Spec::at("detail_type", Text, "detail-type", "What it is about: `ECS Task State Change`, `ECS Container Instance State Change`, `ECS Service Action`, `ECS Deployment State Change`, `ECS Daemon Service Action`, or a newer one."),
    Spec::at("source", Text, "source", "Who sent it, always `aws.ecs`.").one_of(&["aws.ecs"]),
    Spec::at("resources", Json, "resources", "ARNs of what it is about."),
    Spec::made("cluster_arn", Text, &["detail.clusterArn", "resources"], cluster_arn, "Cluster. Deployment events do not name it: there it comes from the service's ARN."),
    Spec::made("task_arn", Text, &["detail.taskArn", "resources"], task_arn, "Task."),
    Spec::made("task_id", Text, &["detail.taskArn", "resources"], task_id, "End of the task's ARN, which is what log streams, flow logs and Container Insights call a task."),
    Spec::at("task_definition_arn", Text, "detail.taskDefinitionArn", "Task definition with its revision."),
    Spec::made("container_instance_arn", Text, &["detail.containerInstanceArn", "resources"], container_instance_arn, "Container instance; tasks on Fargate have none."),
    Spec::at("instance_id", Text, "detail.ec2InstanceId", "EC2 instance of a container instance. Task events do not tell it."),
    Spec::made("service_name", Text, &["detail.group", "detail.service", "detail.serviceName", "resources"], service_name, "Service, from `group`, `service` or `serviceName`, or the ARN of the resource."),
    Spec::at("group_name", Text, "detail.group", "`service:name` or `family:name`, or what RunTask was told."),
    Spec::at("launch_type", Text, "detail.launchType", "What the task runs on.").one_of(&["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"]),
    Spec::first("last_status", Text, &["detail.lastStatus", "detail.status"], "State of the task, such as `RUNNING`; of a container instance its `status`, such as `DRAINING`."),
    Spec::at("desired_status", Text, "detail.desiredStatus", "State that the task is to come to."),
    Spec::at("started_by", Text, "detail.startedBy", "Deployment that started the task (`ecs-svc/...`), or what the caller of RunTask wrote there."),
    Spec::at("stop_code", Text, "detail.stopCode", "Why the task stopped: `TaskFailedToStart`, `EssentialContainerExited`, `UserInitiated`, `ServiceSchedulerInitiated`, `SpotInterruption`, `TerminationNotice`, `InfrastructureHealth`."),
    Spec::at("stopped_reason", Text, "detail.stoppedReason", "The same in words; what a user wrote, if a user stopped it."),
    Spec::at("created_at", Time, "detail.createdAt", "When the task was asked for; of service actions, when the action was taken."),
    Spec::at("started_at", Time, "detail.startedAt", "When the task came to `RUNNING`."),
    Spec::at("stopped_at", Time, "detail.stoppedAt", "When the task came to `STOPPED`."),
    Spec::at("updated_at", Time, "detail.updatedAt", "When the resource changed."),
    Spec::at("task_role_arn", Text, "detail.overrides.taskRoleArn", "Role that RunTask gave the task in place of its definition's: more rights without a new definition."),
    Spec::at("execution_role_arn", Text, "detail.overrides.executionRoleArn", "The same for the role of the agent."),
    Spec::at("enable_execute_command", Bool, "detail.enableExecuteCommand", "Whether ECS Exec may open a shell, which is root's, in the task."),
    Spec::made("eni_id", Text, &["detail.attachments"], eni_id, "Network interface of the task, as flow logs have it. Tasks in bridge or host mode have none."),
    Spec::made("private_ip", Text, &["detail.attachments", "detail.containers"], private_ip, "Private IPv4 address of that interface. Addresses are used again: join by time too."),
    Spec::made("mac_address", Text, &["detail.attachments"], mac_address, "MAC address of that interface."),
    Spec::made("subnet_id", Text, &["detail.attachments"], subnet_id, "Subnet of that interface."),
    Spec::at("availability_zone", Text, "detail.availabilityZone", "Availability zone of the task."),
    Spec::at("containers", Json, "detail.containers", "Containers of the task: `name`, `image`, `imageDigest`, `runtimeId`, `lastStatus`, `exitCode` and more. What GuardDuty adds has no `image`."),
    Spec::at("event_name", Text, "detail.eventName", "What a service or deployment did, such as `SERVICE_STEADY_STATE`."),
    Spec::at("event_type", Text, "detail.eventType", "How bad that is.").one_of(&["INFO", "WARN", "ERROR"]),
    Spec::at("reason", Text, "detail.reason", "Why. That a deployment rolls back shows only here."),
    Spec::at("deployment_id", Text, "detail.deploymentId", "Deployment, `ecs-svc/...`."),
    Spec::at("agent_connected", Bool, "detail.agentConnected", "Whether the agent of a container instance is connected. It reconnects every hour or so."),
    Spec::at("detail_version", Long, "detail.version", "Version of the resource's state, which rises with every change. Service actions and deployments have none."),
    Spec::at("detail", Json, "detail", "All of the event's own members. Overrides show environment variables in clear."),
    Spec::extra("Members next to `detail` that are not known."),
];

const COLUMNS: [Column; SPECS.len()] = columns(SPECS);

static SHAPE: Shape = Shape {
    noun: "an ECS event",
    specs: SPECS,
    class,
    marks: &["detail-type"],
    lists: &["events"],
    constants: &[("version", "\"0\"")],
};

/// ECS events of EventBridge.
#[derive(Debug, Clone, Copy)]
pub struct EcsEvents;

impl Format for EcsEvents {
    fn name(&self) -> &'static str {
        "ecs_events"
    }

    fn about(&self) -> &'static str {
        "ECS events of EventBridge: state changes of tasks and container instances, actions of services, deployments. \
         One row per event; `_line` is its number in the object. They tell which task had which address when. \
         Delivered at least once and in no order: `event_id` tells duplicates, `detail_version` the later state. \
         Health of containers is not in them. Events of other sources on the same bus are rejects."
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn timeline(&self) -> Timeline {
        Timeline {
            who: "coalesce(group_name, service_name, instance_id)",
            what: "coalesce(event_name, detail_type || coalesce(' ' || last_status, ''))",
            place: "coalesce(task_arn, container_instance_arn, cluster_arn)",
            from: "private_ip",
        }
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        Ok(documents::parser(&SHAPE, &setup))
    }
}

fn class(object: &Object<'_>) -> Class {
    let (Some(source), Some(kind)) = (object.text("source"), object.text("detail-type")) else {
        return Class::Unknown;
    };
    if kind.ends_with("via CloudTrail") {
        return Class::Reject("an API call that CloudTrail recorded: read it as cloudtrail".to_owned());
    }
    if source != "aws.ecs" {
        // A rule may send all of a bus to one place, so that ours are among others.
        let (kind, source) = (quoted(&kind), quoted(&source));
        return Class::Reject(format!("EventBridge event {kind} of {source}, not an ECS event"));
    }
    match object.raw("detail").map(json::Kind::of) {
        Some(json::Kind::Object) => Class::Record,
        Some(other) => Class::Reject(format!("the detail of this ECS event is {}", other.in_words())),
        None => Class::Reject("this ECS event has no detail".to_owned()),
    }
}

/// The first ARN among `resources` of this kind of resource.
fn resource<'a>(resources: Option<&'a [u8]>, kind: &str) -> Option<&'a str> {
    let mut elements = Elements::new(resources?, 0).ok()?;
    while let Ok(Some(element)) = elements.next_element() {
        let arn = json::between_quotes(&resources?[element]).and_then(|arn| std::str::from_utf8(arn).ok());
        if let Some(arn) = arn.filter(|arn| part_of_arn(arn).is_some_and(|part| part.starts_with(kind))) {
            return Some(arn);
        }
    }
    None
}

/// `task/cluster/id` of `arn:aws:ecs:region:account:task/cluster/id`.
fn part_of_arn(arn: &str) -> Option<&str> {
    arn.splitn(6, ':').nth(5)
}

fn text(arn: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(arn))
}

fn cluster_arn<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    if let Some(arn) = found[0] {
        return Some(Value::Raw(arn));
    }
    // The newer, longer ARNs have the cluster's name in them.
    ["service/", "task/", "container-instance/"]
        .iter()
        .find_map(|kind| {
            let arn = resource(found[1], kind)?;
            let part = part_of_arn(arn)?;
            let (cluster, _) = part[kind.len()..].split_once('/')?;
            let before = &arn[..arn.len() - part.len()];
            Some(Value::Text(Cow::Owned(format!("{before}cluster/{cluster}"))))
        })
}

fn task_arn<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    found[0]
        .map(Value::Raw)
        .or_else(|| resource(found[1], "task/").map(text))
}

fn task_id<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    let own = found[0].and_then(json::string);
    let arn = own.or_else(|| resource(found[1], "task/").map(Cow::Borrowed))?;
    let (_, id) = arn.rsplit_once('/')?;
    (!id.is_empty()).then(|| Value::Text(Cow::Owned(id.to_owned())))
}

fn container_instance_arn<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    found[0]
        .map(Value::Raw)
        .or_else(|| resource(found[1], "container-instance/").map(text))
}

fn service_name<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    let group = found[0].and_then(json::string);
    if let Some(name) = group.as_deref().and_then(|group| group.strip_prefix("service:")) {
        return Some(Value::Text(Cow::Owned(name.to_owned())));
    }
    if let Some(name) = found[1].or(found[2]).filter(|raw| raw.starts_with(b"\"")) {
        return Some(Value::Raw(name));
    }
    let (_, name) = resource(found[3], "service/")?.rsplit_once('/')?;
    Some(text(name))
}

/// The detail of this name of the first attachment that has it. The case of the
/// names differs: `privateIPv4Address` here is `privateIpv4Address` elsewhere.
fn attached<'a>(attachments: Option<&'a [u8]>, name: &str) -> Option<&'a [u8]> {
    let attachments = attachments?;
    let mut each = Elements::new(attachments, 0).ok()?;
    while let Ok(Some(attachment)) = each.next_element() {
        let Some(details) = json::member(attachments, attachment.start, b"details") else {
            continue;
        };
        let details = &attachments[details];
        let Ok(mut pairs) = Elements::new(details, 0) else {
            continue;
        };
        while let Ok(Some(pair)) = pairs.next_element() {
            let named =
                json::member(details, pair.start, b"name").and_then(|name| json::string(&details[name]));
            if named.is_some_and(|named| named.eq_ignore_ascii_case(name))
                && let Some(value) = json::member(details, pair.start, b"value")
                && details[value.start] == b'"'
            {
                return Some(&details[value]);
            }
        }
    }
    None
}

fn eni_id<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    attached(found[0], "networkInterfaceId").map(Value::Raw)
}

fn mac_address<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    attached(found[0], "macAddress").map(Value::Raw)
}

fn subnet_id<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    attached(found[0], "subnetId").map(Value::Raw)
}

fn private_ip<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    let address = attached(found[0], "privateIPv4Address").or_else(|| address_of_containers(found[1]?));
    address.map(Value::Raw)
}

/// The address of the first container that has one.
fn address_of_containers(containers: &[u8]) -> Option<&[u8]> {
    let mut each = Elements::new(containers, 0).ok()?;
    while let Ok(Some(container)) = each.next_element() {
        let Some(interfaces) = json::member(containers, container.start, b"networkInterfaces") else {
            continue;
        };
        let interfaces = &containers[interfaces];
        let Ok(mut each) = Elements::new(interfaces, 0) else {
            continue;
        };
        while let Ok(Some(interface)) = each.next_element() {
            let address = json::member(interfaces, interface.start, b"privateIpv4Address")
                .or_else(|| json::member(interfaces, interface.start, b"privateIPv4Address"));
            if let Some(address) = address.filter(|address| interfaces[address.start] == b'"') {
                return Some(&interfaces[address]);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
