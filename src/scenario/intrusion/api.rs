//! What CloudTrail shows: calls with taken credentials, from outside and from the new task.

use serde_json::{Value, json};

use super::super::calls::Caller;
use super::super::cloudtrail::{Event, TRAIL};
use super::super::estate::{CLUSTER, ChangeKind, World, aws_endpoint};
use super::super::identity::Session;
use super::super::people::{registered, service_response, task_definition};
use super::super::traffic::{outside, request};
use super::super::workloads::object_access;
use super::super::{ACCOUNT, REGION};
use super::{API_SOURCE, Story, TAKEN_ROLE, UPLOADED_BYTES, recon, service_change_time};

const FOREIGN_IMAGE: &str = "docker.io/library/alpine:latest";

impl Story<'_> {
    pub(super) fn reconnaissance(&mut self) {
        let from = self.world.at(16, 2, 11);
        let session = self.stolen();
        let mut until = from;
        for look in recon::LOOKS {
            until = from + look.after;
            let event = recon::event(self.world, look, until, &session, &API_SOURCE.to_string());
            self.told.events.push(event);
        }
        let entities = self.session_entities(&session);
        self.step(
            "task credentials used from outside",
            "cloudtrail",
            (from, until),
            &[
                "cred-offnet",
                "cred-two-networks",
                "cred-role-recon",
                "recon-burst",
            ],
            entities,
        );
    }

    /// A second container in the definition of `reports`, another role, and the service set to it.
    pub(super) fn foreign_revision(&mut self) {
        let world = self.world;
        let session = self.stolen();
        let change = service_change_time(world);
        let revision = world.tasks[self.held].revision;
        let image = world.changes.iter().rev().find_map(|change| match &change.kind {
            ChangeKind::Deploy { image, .. } if change.service == self.reports => Some(image.clone()),
            _ => None,
        });
        let image =
            image.unwrap_or_else(|| format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/reports:2.14.3"));
        let mut definition = task_definition(world, self.reports, &image);
        definition["taskRoleArn"] = json!(format!("arn:aws:iam::{ACCOUNT}:role/{TAKEN_ROLE}"));
        if let Some(containers) = definition["containerDefinitions"].as_array_mut() {
            containers.push(json!({
                "name": "metrics",
                "image": FOREIGN_IMAGE,
                "cpu": 128,
                "memory": 256,
                "essential": false,
                "privileged": true,
                "user": "0",
                "command": ["/bin/sh", "-c", "apk add --no-cache curl socat && sleep 2147483647"],
            }));
        }
        let register = change - 102;
        let response = registered(&definition, revision, register, &session.arn());
        self.call(
            register,
            "ecs",
            "RegisterTaskDefinition",
            &session,
            definition,
            response,
        );
        let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/reports:{revision}");
        let update = json!({
            "cluster": CLUSTER,
            "service": "reports",
            "taskDefinition": arn,
            "enableExecuteCommand": true,
            "forceNewDeployment": true,
        });
        let desired = world.services[self.reports].replicas;
        let deployment = self.rng.token(12);
        let response = service_response(world, self.reports, change, desired, revision, &deployment);
        self.call(change, "ecs", "UpdateService", &session, update, response);
        for after in [45, 140, 290] {
            let services = json!({"cluster": CLUSTER, "services": ["reports"]});
            self.call(
                change + after,
                "ecs",
                "DescribeServices",
                &session,
                services,
                Value::Null,
            );
        }
        let mut entities = self.session_entities(&session);
        entities.extend([("task_definition", arn), ("image", FOREIGN_IMAGE.to_string())]);
        self.step(
            "foreign privileged container registered",
            "cloudtrail",
            (register, register),
            &[
                "ecs-td-privileged",
                "ecs-td-image",
                "ecs-td-role-swap",
                "ecs-td-nolog",
            ],
            entities.clone(),
        );
        self.step(
            "service set to the foreign revision",
            "cloudtrail",
            (change, change),
            &["ecs-change-unexpected", "ecs-exec-enabled"],
            entities,
        );
    }

    pub(super) fn shells(&mut self) {
        let session = self.stolen();
        let times = [self.world.at(16, 57, 30), self.world.at(17, 38, 5)];
        let task = self.world.task_arn(self.held);
        for at in times {
            let tasks = json!({"cluster": CLUSTER, "tasks": [task]});
            self.call(at - 12, "ecs", "DescribeTasks", &session, tasks, Value::Null);
            let ask = json!({"cluster": CLUSTER, "task": task, "container": "metrics", "command": "/bin/sh", "interactive": true});
            let shell = format!("ecs-execute-command-{}", self.rng.hex(17));
            let answer = json!({
                "clusterArn": World::cluster_arn(),
                "containerArn": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:container/{CLUSTER}/{}/{}", self.world.tasks[self.held].id, self.rng.uuid()),
                "containerName": "metrics",
                "interactive": true,
                "session": {
                    "sessionId": shell,
                    "streamUrl": format!("wss://ssmmessages.{REGION}.amazonaws.com/v1/data-channel/{shell}?role=publish_subscribe"),
                    "tokenValue": "HIDDEN_DUE_TO_SECURITY_REASONS",
                },
                "taskArn": task,
            });
            self.call(at, "ecs", "ExecuteCommand", &session, ask, answer);
        }
        let mut entities = self.session_entities(&session);
        entities.extend([("task_id", self.held_id()), ("command", "/bin/sh".to_string())]);
        self.step(
            "shell in the new task",
            "cloudtrail",
            (times[0], times[1]),
            &["ecs-exec"],
            entities,
        );
    }

    /// Reports of all customers, read with the new role through the VPC's S3 endpoint.
    pub(super) fn collection(&mut self) {
        const OBJECTS: u64 = 90;
        let world = self.world;
        let from = world.at(19, 48, 2);
        let bucket = format!("example-reports-data-{ACCOUNT}");
        let mut at = from;
        for nth in 0..OBJECTS {
            at += self.rng.range(4, 13);
            let session = Session::of(world, Caller::Task(self.held), at);
            let address = world.enis[world.tasks[self.held].eni].address.to_string();
            let bytes = UPLOADED_BYTES / OBJECTS;
            let event = Event::new(at, "s3", "GetObject", session.identity(world.seed))
                .from(&address, &format!("[{}]", recon::AGENT));
            let key = format!("archive/2026-{:02}/customers-{:03}.parquet", 1 + nth % 10, nth);
            let mut event = object_access(event, &bucket, &key, bytes, &mut self.rng);
            event.endpoint = Some(world.s3_gateway.clone());
            self.told.events.push(event);
            let mut load = request(
                at - 3,
                self.own(),
                outside(aws_endpoint("s3").0),
                443,
                &mut self.rng,
            );
            (load.seconds, load.up, load.down) = (4, bytes / 90, bytes + bytes / 40);
            self.told.connections.push(load);
        }
        let session = Session::of(world, Caller::Task(self.held), from);
        let mut entities = self.session_entities(&session);
        // Unlike the calls of before, these come from the task itself.
        entities.retain(|(name, _)| *name != "source_ip_address");
        entities.push(("bucket", bucket));
        self.step("customer reports read", "cloudtrail", (from, at), &[], entities);
    }

    pub(super) fn logs_off(&mut self) {
        let world = self.world;
        let (flow_off, trail_off) = (self.told.flow_until, self.told.trail_until);
        let session = Session::of(world, Caller::Task(self.held), flow_off);
        let trail = format!("arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{TRAIL}");
        let looks: [(i64, &'static str, &'static str, Value); 4] = [
            (flow_off - 340, "sts", "GetCallerIdentity", Value::Null),
            (
                flow_off - 310,
                "ec2",
                "DescribeFlowLogs",
                json!({"maxResults": 100}),
            ),
            (
                flow_off - 260,
                "cloudtrail",
                "DescribeTrails",
                json!({"includeShadowTrails": true}),
            ),
            (
                trail_off - 60,
                "cloudtrail",
                "GetTrailStatus",
                json!({"name": TRAIL}),
            ),
        ];
        for (at, service, name, parameters) in looks {
            self.call(at, service, name, &session, parameters, Value::Null);
        }
        let request = json!({"DeleteFlowLogsRequest": {"FlowLogId": {"tag": 1, "content": world.flow_log}}});
        let response = json!({"DeleteFlowLogsResponse": {
            "xmlns": "http://ec2.amazonaws.com/doc/2016-11-15/",
            "unsuccessful": "",
            "requestId": self.rng.uuid(),
        }});
        self.call(flow_off, "ec2", "DeleteFlowLogs", &session, request, response);
        self.call(
            trail_off,
            "cloudtrail",
            "StopLogging",
            &session,
            json!({"name": trail}),
            Value::Null,
        );
        let entities = self.session_entities(&session);
        let and = |entity| [entities.clone(), vec![entity]].concat();
        let flow_entities = and(("flow_log_id", world.flow_log.clone()));
        let trail_entities = and(("trail", trail));
        let flow_span = (flow_off, flow_off);
        self.step(
            "flow log deleted",
            "cloudtrail",
            flow_span,
            &["flowlog-delete"],
            flow_entities,
        );
        let trail_span = (trail_off, trail_off);
        self.step(
            "trail stopped",
            "cloudtrail",
            trail_span,
            &["trail-stop"],
            trail_entities,
        );
    }
}
