//! CloudTrail: deployments, jobs, the credentials and calls of tasks, and people.

use std::io;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::network::{REGION, stranger};
use crate::output::{Output, compact, day, iso};
use crate::plan::{CLUSTER, Plan, Task, activity};
use crate::rng::Rng;
use crate::workloads::{Mode, Role};

/// From the end of a file's events to its delivery.
const DELAY_SECONDS: i64 = 250;
/// Task credentials are renewed after somewhat less than their six hours.
const RENEWED_AFTER_SECONDS: i64 = 20_700;
const CI_ROLE: &str = "deploy-pipeline";
const SCHEDULER_ROLE: &str = "job-scheduler";
const AGENT: &str = "aws-sdk-go-v2/1.38.1 os/linux lang/go#1.25.1";

/// Writes trail files, day by day.
pub(crate) struct Trail<'a> {
    plan: &'a Plan,
    pub events: u64,
}

/// A record before it has its ids.
struct Call<'a> {
    time: i64,
    service: &'a str,
    name: &'a str,
    identity: Value,
    from: String,
    agent: &'a str,
    request: Value,
    response: Value,
}

impl<'a> Trail<'a> {
    pub fn new(plan: &'a Plan) -> Trail<'a> {
        Trail { plan, events: 0 }
    }

    /// Writes the files of the hour at `hour`.
    pub fn hour(&mut self, hour: i64, out: &mut Output) -> io::Result<()> {
        let plan = self.plan;
        let end = hour + 3600;
        let mut rng = Rng::stream(plan.options.seed, "trail", hour as u64);
        let mut calls = Vec::new();
        for deployment in &plan.deployments {
            if (hour..end).contains(&deployment.at) {
                self.deploy(
                    deployment.workload,
                    deployment.revision,
                    deployment.at,
                    &mut calls,
                );
            }
        }
        for task in &plan.tasks {
            if task.created >= end {
                break;
            }
            if task.stopped > hour {
                self.task(task, hour, &mut rng, &mut calls);
            }
        }
        self.people(hour, &mut rng, &mut calls);
        let seconds = (plan.options.file_minutes * 60).min(3600);
        for call in &mut calls {
            // What led to something in this hour may have begun seconds before it.
            call.time = call.time.max(hour);
        }
        calls.sort_by_key(|call| call.time);
        let mut calls = calls.into_iter().peekable();
        for slot in (hour..end).step_by(seconds as usize) {
            let mut records = Vec::new();
            while let Some(call) = calls.next_if(|call| call.time < slot + seconds) {
                records.push(self.record(call, &mut rng).to_string());
            }
            if records.is_empty() {
                continue;
            }
            // Records of a file are in no order.
            rng.shuffle(&mut records);
            self.events += records.len() as u64;
            let account = &plan.account;
            let delivered = slot + seconds + DELAY_SECONDS;
            let key = format!(
                "AWSLogs/{account}/CloudTrail/{REGION}/{}/{account}_CloudTrail_{REGION}_{}_{}.json.gz",
                day(delivered),
                compact(delivered),
                rng.letters(16),
            );
            let text = format!("{{\"Records\":[{}]}}", records.join(","));
            out.put_gzip(&key, text.as_bytes())?;
        }
        Ok(())
    }

    /// The pipeline registers a revision and points the service at it.
    fn deploy<'c>(&self, workload: usize, revision: u32, at: i64, calls: &mut Vec<Call<'c>>) {
        let plan = self.plan;
        let known = &plan.workloads[workload];
        let definition = plan.definition_arn(workload, revision);
        let mut number = Rng::stream(plan.options.seed, "ci run", at as u64);
        let identity = self.session(CI_ROLE, &format!("run-{}", number.digits(9)), at - 90, None);
        let runner = Ipv4Addr::from(stranger(&mut Rng::stream(plan.options.seed, "runner", 0))).to_string();
        let mode = if known.mode == Mode::Bridge {
            "bridge"
        } else {
            "awsvpc"
        };
        let request = json!({
            "family": known.name,
            "taskRoleArn": self.role_arn(&task_role(&known.name)),
            "executionRoleArn": self.role_arn("ecs-task-execution"),
            "networkMode": mode,
            "requiresCompatibilities": [if known.fargate { "FARGATE" } else { "EC2" }],
            "cpu": "512",
            "memory": "1024",
            "containerDefinitions": [{
                "name": known.name,
                "image": plan.image(workload, revision),
                "essential": true,
                "portMappings": [{"containerPort": known.port, "protocol": "tcp"}],
                "logConfiguration": {"logDriver": "awslogs", "options": {
                    "awslogs-group": format!("/ecs/{}", known.name),
                    "awslogs-region": REGION,
                    "awslogs-stream-prefix": "ecs",
                }},
            }],
        });
        let response = json!({"taskDefinition": {
            "taskDefinitionArn": definition,
            "family": known.name,
            "revision": revision,
            "status": "ACTIVE",
        }});
        calls.push(Call {
            time: at - 12,
            service: "ecs",
            name: "RegisterTaskDefinition",
            identity: identity.clone(),
            from: runner.clone(),
            agent: AGENT,
            request,
            response,
        });
        let request = json!({"cluster": CLUSTER, "service": known.name, "taskDefinition": definition});
        calls.push(Call {
            time: at,
            service: "ecs",
            name: "UpdateService",
            identity,
            from: runner,
            agent: AGENT,
            request,
            response: json!({"service": {"serviceName": known.name, "clusterArn": plan.cluster_arn()}}),
        });
    }

    fn task<'c>(&self, task: &Task, hour: i64, rng: &mut Rng, calls: &mut Vec<Call<'c>>) {
        let plan = self.plan;
        let known = &plan.workloads[task.workload];
        let end = hour + 3600;
        let role = task_role(&known.name);
        if known.role == Role::Batch && (hour..end).contains(&task.created) {
            let identity = self.session(SCHEDULER_ROLE, &task.id[..16], task.created - 1, None);
            let request = json!({
                "cluster": CLUSTER,
                "taskDefinition": format!("{}:{}", known.name, task.revision),
                "count": 1,
                "launchType": "FARGATE",
                "startedBy": task.deployment,
            });
            let response = json!({
                "tasks": [{"taskArn": plan.task_arn(task), "clusterArn": plan.cluster_arn(), "lastStatus": "PROVISIONING",
                    "taskDefinitionArn": plan.definition_arn(task.workload, task.revision)}],
                "failures": [],
            });
            calls.push(Call {
                time: task.created,
                service: "ecs",
                name: "RunTask",
                identity,
                from: "scheduler.amazonaws.com".to_owned(),
                agent: "scheduler.amazonaws.com",
                request,
                response,
            });
        }
        if known.mode == Mode::Awsvpc && (hour..end).contains(&task.attached) {
            calls.push(self.new_interface(task));
        }
        // Credentials at the start, then renewed.
        let mut issued = task.running - 2;
        let mut key = 0;
        while issued < task.stopping.min(end) {
            if issued >= hour {
                calls.push(self.credentials(task, &role, issued));
            }
            key = issued;
            issued += RENEWED_AFTER_SECONDS;
        }
        let (from, until) = (task.running.max(hour), task.stopping.min(end));
        if from >= until || key == 0 {
            return;
        }
        let own = match known.role {
            Role::Worker => [
                ("sqs", "GetQueueAttributes"),
                ("s3", "ListBuckets"),
                ("kms", "Decrypt"),
            ],
            Role::Batch => [
                ("s3", "GetBucketLocation"),
                ("kms", "GenerateDataKey"),
                ("ssm", "GetParameters"),
            ],
            _ => [
                ("secretsmanager", "GetSecretValue"),
                ("kms", "Decrypt"),
                ("dynamodb", "DescribeTable"),
            ],
        };
        for _ in 0..rng.count(15 * activity(hour)) {
            let time = rng.range(from, until);
            let (service, name) = *rng.pick(&own);
            let created = task.running - 2
                + (time - task.running + 2).div_euclid(RENEWED_AFTER_SECONDS) * RENEWED_AFTER_SECONDS;
            let nat = plan.nats[task.zone];
            calls.push(Call {
                time,
                service,
                name,
                identity: self.session(&role, &task.id, created, None),
                from: Ipv4Addr::from(elastic_ip(plan, nat)).to_string(),
                agent: AGENT,
                request: json!({"id": format!("{}/{name}", known.name)}),
                response: Value::Null,
            });
        }
    }

    /// ECS makes the interface of a task.
    fn new_interface<'c>(&self, task: &Task) -> Call<'c> {
        let plan = self.plan;
        let eni = &plan.enis[task.eni];
        let subnet = &plan.subnets[1][eni.zone];
        let mut request = json!({
            "description": plan.task_arn(task).replace(":task/", ":attachment/"),
            "subnetId": subnet,
        });
        let address = Ipv4Addr::from(eni.address).to_string();
        let mut response = json!({"networkInterface": {
            "networkInterfaceId": eni.id,
            "subnetId": subnet,
            "vpcId": plan.vpc,
            "availabilityZone": format!("{REGION}{}", ["a", "b", "c"][eni.zone]),
            "ownerId": plan.account,
            "requesterManaged": true,
            "status": "pending",
            "privateIpAddress": address,
            "privateIpAddressesSet": {"item": [{"privateIpAddress": address, "primary": true}]},
        }});
        if let Some(address6) = eni.address6 {
            request["ipv6AddressCount"] = json!(1);
            response["networkInterface"]["ipv6AddressesSet"] = json!({"item": [{"ipv6Address": address6}]});
        }
        Call {
            time: task.attached - 1,
            service: "ec2",
            name: "CreateNetworkInterface",
            identity: self.session(
                "AWSServiceRoleForECS",
                "ecs-eni-provisioning",
                task.attached - 60,
                Some("ecs"),
            ),
            from: "ecs.amazonaws.com".to_owned(),
            agent: "ecs.amazonaws.com",
            request,
            response,
        }
    }

    fn credentials<'c>(&self, task: &Task, role: &str, time: i64) -> Call<'c> {
        let session = self.session(role, &task.id, time, None);
        let request = json!({"roleArn": self.role_arn(role), "roleSessionName": task.id});
        let response = json!({
            "credentials": {"accessKeyId": session["accessKeyId"], "expiration": iso(time + 21_600)},
            "assumedRoleUser": {"assumedRoleId": session["principalId"], "arn": session["arn"]},
        });
        Call {
            time,
            service: "sts",
            name: "AssumeRole",
            identity: json!({"type": "AWSService", "invokedBy": "ecs-tasks.amazonaws.com"}),
            from: "ecs-tasks.amazonaws.com".to_owned(),
            agent: "ecs-tasks.amazonaws.com",
            request,
            response,
        }
    }

    /// A few people look around in working hours.
    fn people<'c>(&self, hour: i64, rng: &mut Rng, calls: &mut Vec<Call<'c>>) {
        let seed = self.plan.options.seed;
        for person in 0..6_u64 {
            if !rng.percent(activity(hour) / 4) {
                continue;
            }
            let mut of = Rng::stream(seed, "person", person);
            let from = Ipv4Addr::from(stranger(&mut of)).to_string();
            let name = format!(
                "{}@example.com",
                ["ana", "ben", "chloe", "dmitri", "eve", "farid"][person as usize]
            );
            let identity = self.session("engineer", &name, hour - 600, None);
            for _ in 0..2 + rng.below(12) {
                let (service, name) = *rng.pick(&[
                    ("ecs", "DescribeServices"),
                    ("ecs", "ListTasks"),
                    ("logs", "FilterLogEvents"),
                    ("cloudwatch", "GetMetricData"),
                    ("ec2", "DescribeInstances"),
                    ("rds", "DescribeDBInstances"),
                ]);
                calls.push(Call {
                    time: hour + rng.range(0, 3600),
                    service,
                    name,
                    identity: identity.clone(),
                    from: from.clone(),
                    agent: "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
                    request: Value::Null,
                    response: Value::Null,
                });
            }
        }
    }

    fn role_arn(&self, role: &str) -> String {
        format!("arn:aws:iam::{}:role/{role}", self.plan.account)
    }

    fn session(&self, role: &str, name: &str, created: i64, service: Option<&str>) -> Value {
        let Plan { account, options, .. } = self.plan;
        let role_id = format!("AROA{}", Rng::stream(options.seed, role, 1).token(17));
        let mut identity = json!({
            "type": "AssumedRole",
            "principalId": format!("{role_id}:{name}"),
            "arn": format!("arn:aws:sts::{account}:assumed-role/{role}/{name}"),
            "accountId": account,
        });
        if service.is_none() {
            let number = created as u64 ^ Rng::stream(options.seed, role, 2).next();
            let key = Rng::stream(options.seed, name, number).token(16);
            identity["accessKeyId"] = json!(format!("ASIA{key}"));
        }
        identity["sessionContext"] = json!({
            "sessionIssuer": {
                "type": "Role",
                "principalId": role_id,
                "arn": self.role_arn(role),
                "accountId": account,
                "userName": role,
            },
            "attributes": {"creationDate": iso(created), "mfaAuthenticated": "false"},
        });
        if let Some(service) = service {
            identity["invokedBy"] = json!(format!("{service}.amazonaws.com"));
        }
        identity
    }

    fn record(&self, call: Call<'_>, rng: &mut Rng) -> Value {
        let host = format!("{}.{REGION}.amazonaws.com", call.service);
        let read = ["Describe", "Get", "List", "Filter"]
            .iter()
            .any(|verb| call.name.starts_with(verb));
        let mut record = json!({
            "eventVersion": "1.11",
            "userIdentity": call.identity,
            "eventTime": iso(call.time),
            "eventSource": format!("{}.amazonaws.com", call.service),
            "eventName": call.name,
            "awsRegion": REGION,
            "sourceIPAddress": call.from,
            "userAgent": call.agent,
            "requestParameters": call.request,
            "responseElements": call.response,
            "requestID": rng.uuid(),
            "eventID": rng.uuid(),
            "readOnly": read,
            "eventType": "AwsApiCall",
            "managementEvent": true,
            "recipientAccountId": self.plan.account,
            "eventCategory": "Management",
        });
        if !call.from.ends_with(".amazonaws.com") {
            record["tlsDetails"] = json!({
                "tlsVersion": "TLSv1.3",
                "cipherSuite": "TLS_AES_128_GCM_SHA256",
                "clientProvidedHostHeader": host,
            });
        }
        record
    }
}

/// The role of a workload's tasks.
pub(crate) fn task_role(workload: &str) -> String {
    format!("{workload}-task")
}

/// The public address of a NAT gateway.
pub(crate) fn elastic_ip(plan: &Plan, nat: usize) -> u32 {
    crate::network::ip(3, 120, 0, 0)
        + Rng::stream(plan.options.seed, "elastic ip", nat as u64).below(60_000) as u32
}
