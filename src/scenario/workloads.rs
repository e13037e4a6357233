//! CloudTrail events of tasks and instances, and of the services that run them.

use serde_json::{Value, json};

use super::calls::{Caller, Deed};
use super::cloudtrail::{CloudTrailLogs, Event, TRAIL_BUCKET};
use super::estate::{CLUSTER, World, aws_endpoint};
use super::identity::{Session, issues, service};
use super::output::iso;
use super::rng::Rng;
use super::{ACCOUNT, NAT_ADDRESS, REGION};

const ECS_ROLE: &str = "AWSServiceRoleForECS";
const ECS_PATH: &str = "aws-service-role/ecs.amazonaws.com/";
const EXECUTION_ROLE: &str = "ecs-execution";

/// The hour's events of tasks, instances, and what ECS does around them.
pub(super) fn hour(world: &World, from: i64, deeds: &[Deed], logs: &mut CloudTrailLogs) {
    let mut rng = Rng::stream(world.seed, "workload events", (from - world.start) as u64 / 3600);
    for deed in deeds {
        let event = event(world, deed, &mut rng);
        logs.add(event, &mut rng);
    }
    credentials(world, from, logs, &mut rng);
    network_interfaces(world, from, logs, &mut rng);
}

fn event(world: &World, deed: &Deed, rng: &mut Rng) -> Event {
    let mut session = Session::of(world, deed.caller, deed.at);
    if let (true, Caller::Task(task)) = (deed.execution, deed.caller) {
        session = Session::new(
            world.seed,
            EXECUTION_ROLE,
            &session.name,
            world.tasks[task].started,
        );
    }
    let eni = match deed.caller {
        Caller::Task(task) => &world.enis[world.tasks[task].eni],
        Caller::Instance(instance) => &world.enis[world.instances[instance].eni],
    };
    let (_, by_gateway) = aws_endpoint(deed.api.service);
    let address = if by_gateway {
        eni.address.to_string()
    } else {
        NAT_ADDRESS.to_string()
    };
    let mut agent = agent(world, deed);
    if deed.api.service == "s3" {
        agent = format!("[{agent}]");
    }
    let event = Event::new(
        deed.at,
        deed.api.service,
        deed.api.name,
        session.identity(world.seed),
    )
    .from(&address, &agent);
    let mut event = with_parameters(world, deed, event, rng);
    event.endpoint = by_gateway.then(|| world.s3_gateway.clone());
    event
}

fn agent(world: &World, deed: &Deed) -> String {
    let api = deed.api.service;
    match deed.caller {
        Caller::Task(_) if deed.execution => "AWS ECS Fargate Agent".to_string(),
        Caller::Task(task) => match world.services[world.tasks[task].service].name.as_str() {
            "web" => format!("aws-sdk-js/3.901.0 ua/2.1 os/linux#5.10.245 lang/js md/nodejs#22.20.0 api/{api}#3.901.0 m/E"),
            "checkout" | "payments" => format!("aws-sdk-java/2.35.4 md/io#sync md/http#Apache ua/2.1 api/{api}#2.35.x os/Linux#5.10.245 lang/java#21.0.8 exec-env/AWS_ECS_FARGATE m/D"),
            "reports" => "Boto3/1.40.51 md/Botocore#1.40.51 ua/2.1 os/linux#6.1.155 md/arch#x86_64 lang/python#3.13.8 md/pyimpl#CPython exec-env/AWS_ECS_EC2 cfg/retry-mode#legacy".to_string(),
            _ => format!("aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.25.2 md/GOOS#linux md/GOARCH#arm64 api/{api}#1.58.2 exec-env/AWS_ECS_FARGATE m/g"),
        },
        Caller::Instance(instance) => match (&world.instances[instance], deed.api.name) {
            (_, "UpdateInstanceInformation") => "aws-sdk-go/1.55.8 (go1.24.6; linux; amd64) amazon-ssm-agent/".to_string(),
            (instance, _) if instance.cluster_member => "Amazon ECS Agent - v1.99.1 (3c1a9b2f) (linux) (+http://aws.amazon.com/ecs/)".to_string(),
            (instance, _) if instance.delivery == "1.0" => "Boto/2.49.0 Python/2.7.18 Linux/4.14.355".to_string(),
            _ => "aws-cli/2.31.13 md/awscrt#0.27.6 ua/2.1 os/linux#6.1.155 md/arch#x86_64 lang/python#3.13.7 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe md/prompt#off".to_string(),
        },
    }
}

/// Request, response and resources of one API call.
fn with_parameters(world: &World, deed: &Deed, mut event: Event, rng: &mut Rng) -> Event {
    let owner = owner(world, deed.caller);
    let key_arn = format!(
        "arn:aws:kms:{REGION}:{ACCOUNT}:key/{}",
        Rng::stream(world.seed, &owner, 4).uuid()
    );
    let kms_key = json!([{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key_arn}]);
    match deed.api.name {
        "Decrypt" => {
            let context = json!({"SecretARN": secret_arn(world, &owner, rng), "SecretVersionId": rng.uuid()});
            event
                .request(json!({"encryptionContext": context, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"}))
                .resources(kms_key)
        }
        "GenerateDataKey" => event
            .request(json!({"keyId": format!("alias/{owner}"), "keySpec": "AES_256"}))
            .resources(kms_key),
        "GetSecretValue" => {
            let secret = secret_arn(world, &owner, rng);
            event.request(json!({"secretId": secret}))
        }
        "GetParametersByPath" => event.request(
            json!({"path": format!("/{CLUSTER}/{owner}/"), "recursive": true, "withDecryption": true}),
        ),
        "GetQueueUrl" => event.request(json!({"queueName": format!("{owner}-jobs")})),
        "GetQueueAttributes" => event.request(json!({
            "attributeNames": ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            "queueUrl": format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{owner}-jobs"),
        })),
        "DescribeTable" => event.request(json!({"tableName": format!("{owner}-orders")})),
        "GetItem" | "PutItem" => {
            event.data = true;
            let table = format!("{owner}-orders");
            let arn = format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}");
            let id = format!("order#{}", 40_000 + rng.below(9_000));
            event
                .request(json!({"tableName": table, "key": {"pk": id}}))
                .resources(json!([{"accountId": ACCOUNT, "type": "AWS::DynamoDB::Table", "ARN": arn}]))
        }
        "GetObject" | "PutObject" => {
            let bucket = format!("example-{owner}-data-{ACCOUNT}");
            let key = format!("{}/part-{:05}.parquet", &iso(deed.at)[..10], rng.below(4_000));
            let event = object_access(event, &bucket, &key, deed.bytes, rng);
            if event.name == "GetObject" && rng.percent(2) {
                let message = "The specified key does not exist.".to_string();
                return event.error("NoSuchKey", message);
            }
            event
        }
        "ListTasks" => event.request(json!({"cluster": CLUSTER, "serviceName": owner})),
        "DescribeTasks" => {
            let task = match deed.caller {
                Caller::Task(task) => world.task_arn(task),
                Caller::Instance(_) => String::new(),
            };
            event.request(json!({"cluster": CLUSTER, "tasks": [task]}))
        }
        "DiscoverPollEndpoint" => event.request(json!({
            "cluster": World::cluster_arn(),
            "containerInstance": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:container-instance/{CLUSTER}/{}",
                Rng::stream(world.seed, &owner, 5).hex(32)),
        })),
        "SubmitTaskStateChange" => {
            let tasks = world.service("reports").map(|service| world.tasks_of(service, deed.at));
            let task = tasks.and_then(|tasks| tasks.first().map(|&task| world.task_arn(task)));
            event
                .request(json!({"cluster": CLUSTER, "task": task, "status": "RUNNING"}))
                .response(json!({"acknowledgment": rng.uuid()}))
        }
        "BatchGetImage" => {
            let tag = format!("sha256:{}", rng.hex(64));
            event.request(json!({
                "registryId": ACCOUNT,
                "repositoryName": owner,
                "imageIds": [{"imageDigest": tag}],
                "acceptedMediaTypes": ["application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"],
            }))
        }
        "CreateLogStream" => {
            let id = match deed.caller {
                Caller::Task(task) => world.tasks[task].id.as_str(),
                Caller::Instance(_) => "",
            };
            event.request(json!({
                "logGroupName": format!("/ecs/{CLUSTER}/{owner}"),
                "logStreamName": format!("ecs/{owner}/{id}"),
            }))
        }
        "DescribeInstances" => event.request(json!({
            "instancesSet": {},
            "filterSet": {"items": [{"name": "instance-state-name", "valueSet": {"items": [{"value": "running"}]}}]},
        })),
        "DescribeTags" => event.request(json!({
            "maxResults": 100,
            "filterSet": {"items": [{"name": "resource-id", "valueSet": {"items": [{"value": owner}]}}]},
        })),
        "UpdateInstanceInformation" => {
            let address = match deed.caller {
                Caller::Instance(instance) => world.enis[world.instances[instance].eni].address.to_string(),
                Caller::Task(_) => String::new(),
            };
            event.request(json!({
                "instanceId": owner,
                "agentVersion": "3.3.3050.0",
                "agentStatus": "Active",
                "platformType": "Linux",
                "platformName": "Amazon Linux",
                "platformVersion": "2023",
                "iPAddress": address,
                "computerName": format!("ip-{}.{REGION}.compute.internal", address.replace('.', "-")),
                "agentName": "amazon-ssm-agent",
            }))
        }
        _ => event,
    }
}

/// An S3 data event.
pub(super) fn object_access(mut event: Event, bucket: &str, key: &str, bytes: u64, rng: &mut Rng) -> Event {
    event.data = true;
    event.additional = json!({
        "SignatureVersion": "SigV4",
        "CipherSuite": "TLS_AES_128_GCM_SHA256",
        "bytesTransferredIn": if event.name == "PutObject" { rng.size(9_000, 6) } else { 0 },
        "SSEApplied": "SSE_KMS",
        "AuthenticationMethod": "AuthHeader",
        "x-amz-id-2": format!("{}=", rng.letters(75)),
        "bytesTransferredOut": bytes,
    });
    let arn = format!("arn:aws:s3:::{bucket}");
    event
        .request(json!({
            "bucketName": bucket,
            "Host": format!("{bucket}.s3.{REGION}.amazonaws.com"),
            "key": key,
        }))
        .resources(json!([
            {"type": "AWS::S3::Object", "ARN": format!("{arn}/{key}")},
            {"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": arn},
        ]))
}

/// The name that a caller's keys, queues and buckets bear.
fn owner(world: &World, caller: Caller) -> String {
    match caller {
        Caller::Task(task) => world.services[world.tasks[task].service].name.clone(),
        Caller::Instance(instance) => match &world.instances[instance] {
            instance if instance.delivery == "1.0" => "legacy-batch".to_string(),
            instance => instance.id.clone(),
        },
    }
}

/// One of the two secrets every service has.
fn secret_arn(world: &World, owner: &str, rng: &mut Rng) -> String {
    let nth = rng.below(2);
    let name = ["database", "signing"][nth as usize];
    let ending = Rng::stream(world.seed, owner, 6 + nth).letters(6);
    format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{CLUSTER}/{owner}/{name}-{ending}")
}

/// ECS and EC2 fetch the role credentials of every task and instance.
fn credentials(world: &World, from: i64, logs: &mut CloudTrailLogs, rng: &mut Rng) {
    let to = from + 3600;
    let mut issued = Vec::new();
    for (index, task) in world.tasks.iter().enumerate() {
        for time in issues(task.started, task.stopped, from, to) {
            let session = Session::of(world, Caller::Task(index), time);
            issued.push((time, "ecs-tasks.amazonaws.com", session));
        }
        if (from..to).contains(&task.started) && !world.services[task.service].on_ec2 {
            let session = Session::new(world.seed, EXECUTION_ROLE, &task.id, task.started);
            issued.push((task.started, "ecs-tasks.amazonaws.com", session));
        }
    }
    for index in 0..world.instances.len() {
        for time in issues(world.start - 90_000, i64::MAX, from, to) {
            let session = Session::of(world, Caller::Instance(index), time);
            issued.push((time, "ec2.amazonaws.com", session));
        }
    }
    for (time, by, session) in issued {
        let role_id = session.identity(world.seed)["principalId"].clone();
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{}", session.role);
        let event = Event::new(time, "sts", "AssumeRole", service(by))
            .by_service(by)
            .request(json!({"roleArn": arn, "roleSessionName": session.name}))
            .response(json!({
                "credentials": {
                    "accessKeyId": session.key,
                    "sessionToken": "HIDDEN_DUE_TO_SECURITY_REASONS",
                    "expiration": iso(time + 21_600),
                },
                "assumedRoleUser": {"assumedRoleId": role_id, "arn": session.arn()},
            }))
            .resources(json!([{"accountId": ACCOUNT, "type": "AWS::IAM::Role", "ARN": arn}]));
        logs.add(event, rng);
    }
}

/// ECS makes a network interface for every task, and deletes it afterwards.
fn network_interfaces(world: &World, from: i64, logs: &mut CloudTrailLogs, rng: &mut Rng) {
    let to = from + 3600;
    for task in &world.tasks {
        let eni = &world.enis[task.eni];
        let attachment = format!(
            "arn:aws:ecs:{REGION}:{ACCOUNT}:attachment/{}",
            Rng::stream(world.seed, &task.id, 7).uuid()
        );
        let mut add = |time, name, request: Value, response: Value| {
            let by = "ecs.amazonaws.com";
            let session = Session::of_service(world, ECS_ROLE, ECS_PATH, "ecs-eni-provisioning", by, time);
            let event = Event::new(time, "ec2", name, session.identity(world.seed))
                .by_service(by)
                .request(request)
                .response(response);
            logs.add(event, rng);
        };
        if (from..to).contains(&task.started) {
            add(
                task.started - 6,
                "CreateNetworkInterface",
                json!({
                    "subnetId": world.subnets[eni.subnet],
                    "description": attachment,
                    "groupSet": {"items": [{"groupId": format!("sg-0{}", Rng::stream(world.seed, &task.role, 8).hex(16))}]},
                    "privateIpAddressesSet": {},
                }),
                json!({"networkInterface": {
                    "networkInterfaceId": eni.id,
                    "subnetId": world.subnets[eni.subnet],
                    "vpcId": world.vpc,
                    "description": attachment,
                    "ownerId": ACCOUNT,
                    "requesterManaged": false,
                    "status": "pending",
                    "privateIpAddress": eni.address.to_string(),
                }}),
            );
        }
        if (from..to).contains(&task.stopped) {
            add(
                task.stopped + 20,
                "DeleteNetworkInterface",
                json!({"networkInterfaceId": eni.id}),
                json!({"_return": true}),
            );
        }
    }
}

/// What CloudTrail itself does when it delivers: a key and a look at the bucket.
pub(super) fn delivery(world: &World, time: i64, logs: &mut CloudTrailLogs, rng: &mut Rng) {
    let by = "cloudtrail.amazonaws.com";
    let key = Rng::stream(world.seed, TRAIL_BUCKET, 4).uuid();
    let event = Event::new(time, "kms", "GenerateDataKey", service(by))
        .by_service(by)
        .request(json!({
            "keySpec": "AES_256",
            "keyId": format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}"),
            "encryptionContext": {
                "aws:cloudtrail:arn": format!("arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{}", super::cloudtrail::TRAIL),
                "aws:s3:arn": format!("arn:aws:s3:::{TRAIL_BUCKET}/AWSLogs/{ACCOUNT}/CloudTrail/{REGION}"),
            },
        }))
        .resources(json!([{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}")}]));
    logs.add(event, rng);
    let event = Event::new(time + 1, "s3", "GetBucketAcl", service(by))
        .by_service(by)
        .request(json!({"bucketName": TRAIL_BUCKET, "Host": format!("s3.{REGION}.amazonaws.com"), "acl": ""}))
        .resources(json!([{"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": format!("arn:aws:s3:::{TRAIL_BUCKET}")}]));
    logs.add(event, rng);
}
