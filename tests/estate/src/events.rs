//! ECS events, as EventBridge hands them to Firehose and Firehose writes them to S3.

use std::io;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::flow::runtime_id;
use crate::network::REGION;
use crate::output::{Output, format, iso, iso_ms};
use crate::plan::{Plan, Stop, Task};
use crate::rng::Rng;
use crate::workloads::Mode;

/// The states of a task that make an event, in their order.
const STATES: [&str; 6] = [
    "PROVISIONING",
    "PENDING",
    "RUNNING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
];

/// Writes the events hour by hour.
pub(crate) struct Events<'a> {
    plan: &'a Plan,
    /// When which task comes to which state; index into [`STATES`].
    times: Vec<(i64, usize, usize)>,
    next: usize,
    pub events: u64,
    pub dropped: u64,
}

impl<'a> Events<'a> {
    pub fn new(plan: &'a Plan) -> Events<'a> {
        let mut times = Vec::with_capacity(plan.tasks.len() * STATES.len());
        for (index, task) in plan.tasks.iter().enumerate() {
            let at = [
                task.created,
                task.attached,
                task.running,
                task.stopping,
                task.stopping.saturating_add(3),
                task.stopped,
            ];
            times.extend(
                at.into_iter()
                    .enumerate()
                    .map(|(state, time)| (time, index, state)),
            );
        }
        times.retain(|(time, ..)| *time < plan.options.end());
        times.sort_unstable();
        Events {
            plan,
            times,
            next: 0,
            events: 0,
            dropped: 0,
        }
    }

    /// Writes the events of the hour at `hour`.
    pub fn hour(&mut self, hour: i64, out: &mut Output) -> io::Result<()> {
        let plan = self.plan;
        let mut rng = Rng::stream(plan.options.seed, "events", hour as u64);
        let mut lines = Vec::new();
        if hour == plan.options.start {
            for instance in 0..plan.instances.len() {
                lines.push(instance_event(plan, instance, hour, &mut rng));
            }
        }
        while let Some(&(time, task, state)) = self.times.get(self.next) {
            if time >= hour + 3600 {
                break;
            }
            self.next += 1;
            // One draw an event, so that the same ones are missing whatever else changes.
            let number = (task * STATES.len() + state) as u64;
            if Rng::stream(plan.options.seed, "drop", number).below(100) < u64::from(plan.options.drop_events)
            {
                self.dropped += 1;
                continue;
            }
            let event = task_event(plan, &plan.tasks[task], time, state, &mut rng);
            // At least once: some come twice.
            if rng.below(200) == 0 {
                lines.push(event.clone());
            }
            lines.push(event);
        }
        for deployment in &plan.deployments {
            if (hour..hour + 3600).contains(&deployment.at) {
                lines.push(deployment_event(
                    plan,
                    deployment.workload,
                    deployment.at,
                    &mut rng,
                ));
            }
        }
        // In no order.
        for at in 1..lines.len() {
            if rng.percent(15) {
                lines.swap(at, at - 1);
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.events += lines.len() as u64;
        let mut text = String::new();
        for line in &lines {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        let name = format(hour, "%Y/%m/%d/%H/ecs-events-1-%Y-%m-%d-%H-00-00-");
        out.put_gzip(&format!("ecs-events/{name}{}.gz", rng.uuid()), text.as_bytes())
    }
}

fn envelope(plan: &Plan, kind: &str, time: i64, resource: String, detail: Value, rng: &mut Rng) -> Value {
    json!({
        "version": "0",
        "id": rng.uuid(),
        "detail-type": kind,
        "source": "aws.ecs",
        "account": plan.account,
        "time": iso(time),
        "region": REGION,
        "resources": [resource],
        "detail": detail,
    })
}

fn task_event(plan: &Plan, task: &Task, time: i64, state: usize, rng: &mut Rng) -> Value {
    let workload = &plan.workloads[task.workload];
    let arn = plan.task_arn(task);
    let bridge = workload.mode == Mode::Bridge;
    let ms = Rng::stream(plan.options.seed, &task.id, 0).below(1000);
    let stopping = state >= 3;
    let group = match workload.is_service() {
        true => format!("service:{}", workload.name),
        false => format!("family:{}", workload.name),
    };
    let container_state = match state {
        0 | 1 => "PENDING",
        2 | 3 => "RUNNING",
        _ => "STOPPED",
    };
    let eni = &plan.enis[task.eni];
    let address = Ipv4Addr::from(eni.address).to_string();
    let mut container = json!({
        "containerArn": plan.ecs_arn(&format!("container/{}/{}", crate::plan::CLUSTER, task.id)),
        "lastStatus": container_state,
        "name": workload.name,
        "image": plan.image(task.workload, task.revision),
        "taskArn": arn,
        "networkInterfaces": [],
        "cpu": "0",
    });
    if state >= 2 {
        container["imageDigest"] = json!(plan.digest(task.workload, task.revision));
        container["runtimeId"] = json!(runtime_id(&task.id));
    }
    let mut detail = json!({
        "attachments": [],
        "availabilityZone": format!("{REGION}{}", ["a", "b", "c"][task.zone]),
        "clusterArn": plan.cluster_arn(),
        "connectivity": "CONNECTED",
        "containers": [],
        "cpu": "512",
        "createdAt": iso_ms(task.created, ms),
        "desiredStatus": if stopping { "STOPPED" } else { "RUNNING" },
        "enableExecuteCommand": false,
        "group": group,
        "lastStatus": STATES[state],
        "launchType": if workload.fargate { "FARGATE" } else { "EC2" },
        "memory": "1024",
        "overrides": {"containerOverrides": [{"name": workload.name}]},
        "startedBy": task.deployment,
        "taskArn": arn,
        "taskDefinitionArn": plan.definition_arn(task.workload, task.revision),
        "updatedAt": iso_ms(time, ms),
        "version": state + 1,
    });
    if !bridge {
        let mut details = vec![json!({"name": "subnetId", "value": plan.subnets[1][eni.zone]})];
        if state > 0 {
            let [_, b, c, d] = eni.address.to_be_bytes();
            details.push(json!({"name": "networkInterfaceId", "value": eni.id}));
            details.push(json!({"name": "macAddress", "value": format!("0a:58:{b:02x}:{c:02x}:{d:02x}:9e")}));
            let name = format!("ip-{}.{REGION}.compute.internal", address.replace('.', "-"));
            details.push(json!({"name": "privateDnsName", "value": name}));
            details.push(json!({"name": "privateIPv4Address", "value": address}));
            if let Some(address6) = eni.address6 {
                details.push(json!({"name": "privateIPv6Address", "value": address6}));
            }
        }
        let id = Rng::stream(plan.options.seed, &task.id, 1).uuid();
        let status = match state {
            0 => "PRECREATED",
            1..=3 => "ATTACHED",
            _ => "DELETED",
        };
        detail["attachments"] = json!([{"id": id, "type": "eni", "status": status, "details": details}]);
        if state > 0 {
            let mut interface = json!({"attachmentId": id, "privateIpv4Address": address});
            if let Some(address6) = eni.address6 {
                interface["ipv6Address"] = json!(address6);
            }
            container["networkInterfaces"] = json!([interface]);
        }
    }
    if workload.fargate {
        detail["platformVersion"] = json!("1.4.0");
    } else {
        detail["containerInstanceArn"] = json!(plan.instance_arn(task.instance.unwrap_or(task.zone)));
    }
    if state >= 2 {
        detail["pullStartedAt"] = json!(iso_ms(task.pull.0, ms));
        detail["pullStoppedAt"] = json!(iso_ms(task.pull.1, ms));
        detail["startedAt"] = json!(iso_ms(task.running, ms));
    }
    if stopping {
        let (code, reason) = match task.stop {
            Stop::Finished => (
                "EssentialContainerExited",
                "Essential container in task exited".to_owned(),
            ),
            Stop::Crashed => (
                "EssentialContainerExited",
                "Essential container in task exited".to_owned(),
            ),
            _ => (
                "ServiceSchedulerInitiated",
                format!("Scaling activity initiated by (deployment {})", task.deployment),
            ),
        };
        detail["stopCode"] = json!(code);
        detail["stoppedReason"] = json!(reason);
        detail["stoppingAt"] = json!(iso_ms(task.stopping, ms));
    }
    if state >= 4 {
        container["exitCode"] = json!(if task.stop == Stop::Crashed { 1 } else { 0 });
        detail["executionStoppedAt"] = json!(iso_ms(task.stopping + 2, ms));
    }
    if state == 5 {
        detail["stoppedAt"] = json!(iso_ms(task.stopped, ms));
    }
    detail["containers"] = json!([container]);
    envelope(plan, "ECS Task State Change", time, arn, detail, rng)
}

fn instance_event(plan: &Plan, instance: usize, time: i64, rng: &mut Rng) -> Value {
    let arn = plan.instance_arn(instance);
    let detail = json!({
        "agentConnected": true,
        "attributes": [{"name": "ecs.instance-type", "value": "m7i.2xlarge"}],
        "clusterArn": plan.cluster_arn(),
        "containerInstanceArn": arn,
        "ec2InstanceId": plan.instances[instance].0,
        "registeredResources": [{"name": "CPU", "type": "INTEGER", "integerValue": 8192}],
        "remainingResources": [{"name": "CPU", "type": "INTEGER", "integerValue": 5120}],
        "status": "ACTIVE",
        "version": 3,
        "versionInfo": {"agentHash": "cb4d21a7", "agentVersion": "1.98.0", "dockerVersion": "25.0.8"},
        "updatedAt": iso(time),
    });
    envelope(
        plan,
        "ECS Container Instance State Change",
        time,
        arn,
        detail,
        rng,
    )
}

fn deployment_event(plan: &Plan, workload: usize, time: i64, rng: &mut Rng) -> Value {
    let name = &plan.workloads[workload].name;
    let arn = plan.ecs_arn(&format!("service/{}/{name}", crate::plan::CLUSTER));
    let detail = json!({
        "eventType": "INFO",
        "eventName": "SERVICE_DEPLOYMENT_IN_PROGRESS",
        "deploymentId": format!("ecs-svc/{}", rng.digits(19)),
        "updatedAt": iso(time),
        "reason": "ECS deployment in progress.",
    });
    envelope(plan, "ECS Deployment State Change", time, arn, detail, rng)
}
