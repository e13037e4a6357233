//! CloudTrail events of operators, of the pipeline, and of AWS's own services.

use serde_json::{Value, json};

use super::cloudtrail::{CloudTrailLogs, Event};
use super::estate::{CLUSTER, Change, ChangeKind, World};
use super::identity::{Session, unique_id};
use super::output::{format, iso};
use super::rng::Rng;
use super::workloads;
use super::{ACCOUNT, CI_ADDRESS, OFFICE_ADDRESS, REGION};

const ADMIN_ROLE: &str = "AWSReservedSSO_admin_3f9c0d5a7e21b846";
const SSO_PATH: &str = "aws-reserved/sso.amazonaws.com/eu-west-1/";
const OPERATORS: [&str; 4] = [
    "maria.lindqvist@example.com",
    "tom.okafor@example.com",
    "jana.novakova@example.com",
    "sean.murphy@example.com",
];
const BROWSER: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36";
const CLI: &str = "aws-cli/2.31.18 md/awscrt#0.27.6 ua/2.1 os/macos#24.6.0 md/arch#arm64 lang/python#3.13.9 md/pyimpl#CPython cfg/retry-mode#standard md/installer#source md/prompt#off";
const PIPELINE_AGENT: &str = "aws-sdk-go-v2/1.38.1 ua/2.1 os/linux lang/go#1.24.5 md/GOOS#linux md/GOARCH#amd64 api/ecs#1.63.0 deployer/4.2.0";

/// What operators look at.
const LOOKS: &[(&str, &str)] = &[
    ("ecs", "ListClusters"),
    ("ecs", "DescribeClusters"),
    ("ecs", "ListServices"),
    ("ecs", "DescribeServices"),
    ("ecs", "ListTasks"),
    ("ecs", "DescribeTasks"),
    ("ecs", "DescribeTaskDefinition"),
    ("ec2", "DescribeInstances"),
    ("ec2", "DescribeSecurityGroups"),
    ("ec2", "DescribeSubnets"),
    ("ec2", "DescribeNetworkInterfaces"),
    ("ec2", "DescribeFlowLogs"),
    ("elasticloadbalancing", "DescribeTargetHealth"),
    ("elasticloadbalancing", "DescribeLoadBalancers"),
    ("logs", "DescribeLogGroups"),
    ("logs", "FilterLogEvents"),
    ("monitoring", "DescribeAlarms"),
    ("monitoring", "GetMetricData"),
    ("rds", "DescribeDBInstances"),
    ("s3", "ListBuckets"),
    ("s3", "GetBucketLocation"),
    ("cloudtrail", "LookupEvents"),
    ("cloudtrail", "DescribeTrails"),
    ("secretsmanager", "ListSecrets"),
    ("sqs", "ListQueues"),
    ("iam", "ListRoles"),
    ("iam", "GetRole"),
    ("sts", "GetCallerIdentity"),
];

/// What AWS Config and the like read all day.
const INVENTORY: &[(&str, &str)] = &[
    ("ec2", "DescribeVolumes"),
    ("ec2", "DescribeVpcs"),
    ("ec2", "DescribeRouteTables"),
    ("ec2", "DescribeNetworkAcls"),
    ("ec2", "DescribeAddresses"),
    ("ecs", "ListServices"),
    ("ecs", "ListTaskDefinitions"),
    ("ecs", "DescribeServices"),
    ("iam", "GetAccountSummary"),
    ("iam", "ListPolicies"),
    ("lambda", "ListFunctions20150331"),
    ("rds", "DescribeDBSnapshots"),
    ("s3", "GetBucketPolicyStatus"),
    ("s3", "GetBucketEncryption"),
    ("kms", "ListAliases"),
    ("sns", "ListTopics"),
];

/// The hour's events that no task and no instance made.
pub(super) fn hour(world: &World, from: i64, logs: &mut CloudTrailLogs) {
    let number = (from - world.start) as u64 / 3600;
    operators(
        world,
        from,
        logs,
        &mut Rng::stream(world.seed, "operators", number),
    );
    let mut rng = Rng::stream(world.seed, "services' events", number);
    inventory(world, from, logs, &mut rng);
    service_events(world, from, logs, &mut rng);
    for minute in (3..60).step_by(15) {
        workloads::delivery(world, from + minute * 60 + rng.range(0, 40), logs, &mut rng);
    }
    for (nth, change) in world.changes.iter().enumerate() {
        // A deployment begins before its change and ends after it.
        if (from..from + 3600).contains(&change.time) {
            let mut rng = Rng::stream(world.seed, "changes", nth as u64);
            match &change.kind {
                ChangeKind::Deploy {
                    revision,
                    image,
                    pipeline,
                } => {
                    deployment(world, change, *revision, image, *pipeline, logs, &mut rng);
                }
                ChangeKind::Scale { desired } => scaling(world, change, *desired, logs, &mut rng),
                ChangeKind::Foreign { .. } => {}
            }
        }
    }
}

fn operators(world: &World, from: i64, logs: &mut CloudTrailLogs, rng: &mut Rng) {
    let clock = from.div_euclid(3600).rem_euclid(24);
    if !(7..18).contains(&clock) {
        return;
    }
    for (nth, name) in OPERATORS.iter().enumerate() {
        // They begin at seven, eight, nine and ten.
        let begins = 7 + nth as i64;
        if clock < begins {
            continue;
        }
        let day = from - clock * 3600;
        let signed_in = day + begins * 3600 + 240 + 60 * nth as i64;
        let session = Session {
            path: SSO_PATH,
            mfa: false,
            ..Session::new(world.seed, ADMIN_ROLE, name, signed_in)
        };
        if clock == begins {
            sign_in(world, &session, logs, rng);
        }
        for _ in 0..rng.count(u64::from(world.estate.calls_per_hour) * 4) {
            let &(service, api) = rng.pick(LOOKS);
            let at = rng.range(from.max(signed_in + 30), from + 3600);
            let console = rng.percent(60);
            let mut event = Event::new(at, service, api, session.identity(world.seed))
                .from(OFFICE_ADDRESS, if console { BROWSER } else { CLI })
                .request(look(world, api, at, rng));
            event.from_console = console;
            logs.add(event, rng);
        }
    }
}

/// The portal's own events, and the console's.
fn sign_in(world: &World, session: &Session, logs: &mut CloudTrailLogs, rng: &mut Rng) {
    let user = Rng::stream(world.seed, &session.name, 1).uuid();
    let identity = json!({
        "type": "IdentityCenterUser",
        "accountId": ACCOUNT,
        "onBehalfOf": {
            "userId": user,
            "identityStoreArn": format!("arn:aws:identitystore::{ACCOUNT}:identitystore/d-9367{}", Rng::stream(world.seed, "identity store", 0).hex(6)),
        },
        "credentialId": rng.uuid(),
    });
    for (before, name) in [
        (40, "CredentialChallenge"),
        (31, "CredentialVerification"),
        (30, "UserAuthentication"),
    ] {
        let mut event = Event::new(session.created - before, "signin", name, identity.clone())
            .from(OFFICE_ADDRESS, BROWSER);
        event.kind = "AwsServiceEvent";
        event.additional =
            json!({"CredentialType": "WEBAUTHN", "LoginTo": "https://example.awsapps.com/start"});
        logs.add(event, rng);
    }
    let mut event = Event::new(
        session.created,
        "signin",
        "ConsoleLogin",
        session.identity(world.seed),
    )
    .from(OFFICE_ADDRESS, BROWSER)
    .response(json!({"ConsoleLogin": "Success"}));
    event.kind = "AwsConsoleSignIn";
    // Federated sign-in always says "No" here; the portal asked for the second factor.
    event.additional = json!({"MobileVersion": "No", "MFAUsed": "No"});
    logs.add(event, rng);
}

/// Parameters of a look around.
pub(super) fn look(world: &World, api: &str, at: i64, rng: &mut Rng) -> Value {
    let service = rng.below(world.services.len() as u64) as usize;
    let name = &world.services[service].name;
    let tasks = world.tasks_of(service, at);
    match api {
        "DescribeClusters" => json!({"clusters": [CLUSTER], "include": ["STATISTICS", "SETTINGS"]}),
        "ListServices" => json!({"cluster": CLUSTER, "maxResults": 100}),
        "DescribeServices" => json!({"cluster": CLUSTER, "services": [name]}),
        "ListTasks" => json!({"cluster": CLUSTER, "serviceName": name, "desiredStatus": "RUNNING"}),
        "DescribeTasks" => {
            json!({"cluster": CLUSTER, "tasks": tasks.iter().map(|&task| world.task_arn(task)).collect::<Vec<_>>()})
        }
        "DescribeTaskDefinition" => match tasks.first() {
            Some(&task) => {
                json!({"taskDefinition": format!("{name}:{}", world.tasks[task].revision), "include": ["TAGS"]})
            }
            None => json!({"taskDefinition": name}),
        },
        "DescribeSecurityGroups" | "DescribeSubnets" | "DescribeVpcs" => json!({
            "maxResults": 200,
            "filterSet": {"items": [{"name": "vpc-id", "valueSet": {"items": [{"value": world.vpc}]}}]},
        }),
        "FilterLogEvents" => json!({
            "logGroupName": format!("/ecs/{CLUSTER}/{name}"),
            "startTime": (at - 3600) * 1000,
            "filterPattern": "\"ERROR\" -\"health\"",
        }),
        "DescribeAlarms" => json!({"alarmNamePrefix": format!("{CLUSTER}-{name}"), "stateValue": "ALARM"}),
        "GetBucketLocation" | "GetBucketPolicyStatus" | "GetBucketEncryption" => {
            json!({"bucketName": format!("example-{name}-data-{ACCOUNT}"), "Host": format!("s3.{REGION}.amazonaws.com")})
        }
        "LookupEvents" => {
            json!({"lookupAttributes": [{"attributeKey": "EventSource", "attributeValue": "ecs.amazonaws.com"}], "maxResults": 50})
        }
        "GetRole" => json!({"roleName": format!("{name}-task")}),
        "DescribeTrails" => json!({"trailNameList": [], "includeShadowTrails": true}),
        _ => Value::Null,
    }
}

fn inventory(world: &World, from: i64, logs: &mut CloudTrailLogs, rng: &mut Rng) {
    let by = "config.amazonaws.com";
    for _ in 0..rng.count(u64::from(world.estate.calls_per_hour) * 12) {
        let at = from + rng.range(0, 3600);
        let &(service, api) = rng.pick(INVENTORY);
        let session = Session::of_service(
            world,
            "AWSServiceRoleForConfig",
            "aws-service-role/config.amazonaws.com/",
            "AWSConfig-Describe",
            by,
            at,
        );
        let event = Event::new(at, service, api, session.identity(world.seed))
            .by_service(by)
            .request(look(world, api, at, rng));
        logs.add(event, rng);
    }
    for _ in 0..rng.count(u64::from(world.estate.calls_per_hour) * 3) {
        let at = from + rng.range(0, 3600);
        let request = look(world, "DescribeServices", at, rng);
        autoscaling(
            world,
            at,
            "ecs",
            "DescribeServices",
            request,
            Value::Null,
            logs,
            rng,
        );
    }
}

/// Service events come with hardly any identity: no type, no principal.
fn service_events(world: &World, from: i64, logs: &mut CloudTrailLogs, rng: &mut Rng) {
    let key = Rng::stream(world.seed, "rotated key", from as u64).uuid();
    let (service, name, details) = match from.div_euclid(3600).rem_euclid(24) {
        2 | 11 => (
            "kms",
            "RotateKey",
            json!({"keyId": key, "rotationType": "AUTOMATIC"}),
        ),
        5 | 16 | 21 => (
            "acm",
            "RenewCertificate",
            json!({"certificateArn": format!("arn:aws:acm:{REGION}:{ACCOUNT}:certificate/{key}"), "renewalStatus": "SUCCESS"}),
        ),
        _ => return,
    };
    let identity = json!({"accountId": ACCOUNT, "invokedBy": "AWS Internal"});
    let mut event = Event::new(from + rng.range(0, 3600), service, name, identity).by_service("AWS Internal");
    event.kind = "AwsServiceEvent";
    event.additional = json!({"serviceEvent": details});
    logs.add(event, rng);
}

#[expect(clippy::too_many_arguments, reason = "one call's parts, used twice")]
fn autoscaling(
    world: &World,
    at: i64,
    service: &'static str,
    api: &'static str,
    request: Value,
    response: Value,
    logs: &mut CloudTrailLogs,
    rng: &mut Rng,
) {
    let by = "ecs.application-autoscaling.amazonaws.com";
    let session = Session::of_service(
        world,
        "AWSServiceRoleForApplicationAutoScaling_ECSService",
        "aws-service-role/ecs.application-autoscaling.amazonaws.com/",
        "AutoScaling-UpdateDesiredCapacity",
        by,
        at,
    );
    let event = Event::new(at, service, api, session.identity(world.seed))
        .by_service(by)
        .request(request)
        .response(response);
    logs.add(event, rng);
}

fn scaling(world: &World, change: &Change, desired: u32, logs: &mut CloudTrailLogs, rng: &mut Rng) {
    let name = &world.services[change.service].name;
    let request = json!({"service": name, "cluster": CLUSTER, "desiredCount": desired});
    let task = world
        .tasks_of(change.service, change.time)
        .first()
        .map_or(0, |&task| world.tasks[task].revision);
    let response = service_response(
        world,
        change.service,
        change.time,
        desired,
        task,
        &unique_id(world.seed, "", name),
    );
    autoscaling(
        world,
        change.time,
        "ecs",
        "UpdateService",
        request,
        response,
        logs,
        rng,
    );
}

/// One service's part of a pipeline run: image, task definition, service, and a look at the result.
fn deployment(
    world: &World,
    change: &Change,
    revision: u32,
    image: &str,
    pipeline: u64,
    logs: &mut CloudTrailLogs,
    rng: &mut Rng,
) {
    let name = &world.services[change.service].name;
    let time = change.time;
    // All services of a run share one session: it begins on the hour's fourth minute.
    let begun = time - time.rem_euclid(3600) + 240;
    let session = Session::new(world.seed, "ci-deploy", &format!("pipeline-{pipeline}"), begun);
    let definition = task_definition(world, change.service, image);
    let registered = registered(&definition, revision, time - 4, &session.arn());
    let desired = world.tasks_of(change.service, time).len() as u32;
    let (_, digest) = image.split_once('@').unwrap_or_default();
    let steps: [(i64, &'static str, &'static str, Value, Value); 7] = [
        (-31, "ecr", "GetAuthorizationToken", Value::Null, Value::Null),
        (
            -22,
            "ecr",
            "PutImage",
            json!({"registryId": ACCOUNT, "repositoryName": name, "imageTag": format!("build-{pipeline}"), "imageDigest": digest}),
            json!({"image": {"registryId": ACCOUNT, "repositoryName": name, "imageId": {"imageDigest": digest, "imageTag": format!("build-{pipeline}")}}}),
        ),
        (
            -9,
            "ecs",
            "DescribeTaskDefinition",
            json!({"taskDefinition": name}),
            Value::Null,
        ),
        (-4, "ecs", "RegisterTaskDefinition", definition, registered),
        (
            0,
            "ecs",
            "UpdateService",
            json!({
                "cluster": CLUSTER,
                "service": name,
                "taskDefinition": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{name}:{revision}"),
            }),
            service_response(world, change.service, time, desired, revision, &rng.token(12)),
        ),
        (
            15,
            "ecs",
            "DescribeServices",
            json!({"cluster": CLUSTER, "services": [name]}),
            Value::Null,
        ),
        (
            180,
            "ecs",
            "DescribeServices",
            json!({"cluster": CLUSTER, "services": [name]}),
            Value::Null,
        ),
    ];
    for (after, service, api, request, response) in steps {
        let event = Event::new(time + after, service, api, session.identity(world.seed))
            .from(CI_ADDRESS, PIPELINE_AGENT)
            .request(request)
            .response(response);
        logs.add(event, rng);
    }
}

/// `RegisterTaskDefinition` as the pipeline sends it.
pub(super) fn task_definition(world: &World, service: usize, image: &str) -> Value {
    let service = &world.services[service];
    let name = &service.name;
    let launch = if service.on_ec2 { "EC2" } else { "FARGATE" };
    json!({
        "family": name,
        "taskRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/{}", service.role),
        "executionRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/ecs-execution"),
        "networkMode": "awsvpc",
        "requiresCompatibilities": [launch],
        "cpu": "512",
        "memory": "1024",
        "containerDefinitions": [{
            "name": name,
            "image": image,
            "cpu": 512,
            "memory": 1024,
            "essential": true,
            "user": "1000",
            "readonlyRootFilesystem": true,
            "portMappings": [{"containerPort": 8080, "protocol": "tcp"}],
            "environment": [{"name": "STAGE", "value": CLUSTER}, {"name": "LOG_LEVEL", "value": "info"}],
            "secrets": [{"name": "DATABASE_URL", "valueFrom": format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{CLUSTER}/{name}/database")}],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": format!("/ecs/{CLUSTER}/{name}"),
                    "awslogs-region": REGION,
                    "awslogs-stream-prefix": "ecs",
                },
            },
        }],
    })
}

/// The response to `RegisterTaskDefinition`.
pub(super) fn registered(definition: &Value, revision: u32, time: i64, by: &str) -> Value {
    let privileged = |container: &Value| container["privileged"] == json!(true);
    let containers = definition["containerDefinitions"].as_array();
    let compatibilities = match containers {
        // Fargate has no privileged containers.
        Some(containers) if containers.iter().any(privileged) => ["EXTERNAL", "EC2"],
        _ => ["EC2", "FARGATE"],
    };
    let mut echo = json!({
        "taskDefinitionArn": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{}:{revision}", definition["family"].as_str().unwrap_or_default()),
        "revision": revision,
        "status": "ACTIVE",
        "compatibilities": compatibilities,
        "registeredAt": format(time, "%b %-d, %Y, %-I:%M:%S %p"),
        "registeredBy": by,
    });
    if let (Some(echo), Some(definition)) = (echo.as_object_mut(), definition.as_object()) {
        echo.extend(definition.clone());
    }
    json!({"taskDefinition": echo})
}

/// The response to `UpdateService`, shortened as far as readers need it.
pub(super) fn service_response(
    world: &World,
    service: usize,
    time: i64,
    desired: u32,
    revision: u32,
    deployment: &str,
) -> Value {
    let name = &world.services[service].name;
    json!({"service": {
        "serviceArn": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/{CLUSTER}/{name}"),
        "serviceName": name,
        "clusterArn": World::cluster_arn(),
        "status": "ACTIVE",
        "desiredCount": desired,
        "runningCount": world.tasks_of(service, time).len(),
        "pendingCount": 0,
        "taskDefinition": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{name}:{revision}"),
        "deployments": [{
            "id": format!("ecs-svc/{}", deployment.to_lowercase()),
            "status": "PRIMARY",
            "desiredCount": desired,
            "rolloutState": "IN_PROGRESS",
            "updatedAt": iso(time),
        }],
    }})
}
