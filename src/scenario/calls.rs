//! What tasks and instances ask of AWS in an hour.
//!
//! A deed becomes two records: an event in CloudTrail and a connection in the
//! flow logs. That is why it is drawn before either is written.

use super::estate::World;
use super::rng::Rng;
use super::traffic::BY_HOUR;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Caller {
    Task(usize),
    Instance(usize),
}

/// An API call by its service's short name.
pub(super) struct Api {
    pub service: &'static str,
    pub name: &'static str,
}

pub(super) struct Deed {
    pub at: i64,
    pub caller: Caller,
    pub api: &'static Api,
    /// Object bytes that came back, for S3.
    pub bytes: u64,
    /// Made with the task execution role, before the containers run.
    pub execution: bool,
}

const fn api(service: &'static str, name: &'static str) -> Api {
    Api { service, name }
}

const DECRYPT: Api = api("kms", "Decrypt");
const DATA_KEY: Api = api("kms", "GenerateDataKey");
const SECRET: Api = api("secretsmanager", "GetSecretValue");
const PARAMETERS: Api = api("ssm", "GetParametersByPath");
const QUEUE_URL: Api = api("sqs", "GetQueueUrl");
const QUEUE_STATE: Api = api("sqs", "GetQueueAttributes");
const GET_ITEM: Api = api("dynamodb", "GetItem");
const PUT_ITEM: Api = api("dynamodb", "PutItem");
const TABLE: Api = api("dynamodb", "DescribeTable");
const GET_OBJECT: Api = api("s3", "GetObject");
const PUT_OBJECT: Api = api("s3", "PutObject");
const LIST_TASKS: Api = api("ecs", "ListTasks");
const DESCRIBE_TASKS: Api = api("ecs", "DescribeTasks");
const POLL_ENDPOINT: Api = api("ecs", "DiscoverPollEndpoint");
const TASK_STATE: Api = api("ecs", "SubmitTaskStateChange");
const LOGIN: Api = api("ecr", "GetAuthorizationToken");
const IMAGE: Api = api("ecr", "BatchGetImage");
const LOG_STREAM: Api = api("logs", "CreateLogStream");
const INSTANCES: Api = api("ec2", "DescribeInstances");
const TAGS: Api = api("ec2", "DescribeTags");
const INFORMATION: Api = api("ssm", "UpdateInstanceInformation");

/// Calls of a task role and their weights.
const TASK_CALLS: &[(&str, &[(&Api, u32)])] = &[
    ("web", &[(&PARAMETERS, 5), (&SECRET, 3), (&DECRYPT, 4)]),
    (
        "api",
        &[
            (&GET_ITEM, 8),
            (&QUEUE_URL, 2),
            (&SECRET, 2),
            (&DECRYPT, 3),
            (&TABLE, 1),
        ],
    ),
    (
        "checkout",
        &[
            (&PUT_ITEM, 6),
            (&GET_ITEM, 4),
            (&QUEUE_URL, 2),
            (&SECRET, 2),
            (&DATA_KEY, 3),
        ],
    ),
    (
        "payments",
        &[(&PUT_ITEM, 4), (&DECRYPT, 4), (&DATA_KEY, 2), (&SECRET, 3)],
    ),
    (
        "worker",
        &[
            (&QUEUE_STATE, 6),
            (&GET_OBJECT, 6),
            (&PUT_OBJECT, 4),
            (&DATA_KEY, 2),
            (&SECRET, 1),
        ],
    ),
    (
        "reports",
        &[
            (&GET_OBJECT, 7),
            (&PUT_OBJECT, 5),
            (&SECRET, 2),
            (&DECRYPT, 2),
            (&LIST_TASKS, 1),
            (&DESCRIBE_TASKS, 1),
        ],
    ),
];
const OTHER_TASKS: &[(&Api, u32)] = &[(&SECRET, 2), (&DECRYPT, 3), (&GET_ITEM, 4)];

const MEMBER_CALLS: &[(&Api, u32)] = &[(&POLL_ENDPOINT, 3), (&TASK_STATE, 2), (&INFORMATION, 4)];
const OPS_CALLS: &[(&Api, u32)] = &[(&INSTANCES, 3), (&TAGS, 2), (&INFORMATION, 4)];
const LEGACY_CALLS: &[(&Api, u32)] = &[(&GET_OBJECT, 5), (&PUT_OBJECT, 3), (&TAGS, 1)];

/// All calls of the hour at `from`, in no order.
pub(super) fn hour(world: &World, from: i64) -> Vec<Deed> {
    let mut rng = Rng::stream(world.seed, "calls", (from - world.start) as u64 / 3600);
    let percent = BY_HOUR[(from.div_euclid(3600).rem_euclid(24)) as usize];
    let calls = u64::from(world.estate.calls_per_hour);
    let mut deeds = Vec::new();
    // Of a hundred events sixty come from tasks; instances do not sleep at night.
    let per_service = calls * 60 * percent / 100 / world.services.len().max(1) as u64;
    for (index, service) in world.services.iter().enumerate() {
        let apis = TASK_CALLS
            .iter()
            .find(|(name, _)| *name == service.name)
            .map_or(OTHER_TASKS, |&(_, apis)| apis);
        for _ in 0..rng.count(per_service) {
            let at = from + rng.range(0, 3600);
            let tasks: Vec<usize> = world
                .tasks_of(index, at)
                .into_iter()
                // The first call needs credentials, and they come with the start.
                .filter(|&task| world.tasks[task].started + 20 < at)
                .collect();
            if !tasks.is_empty() {
                deeds.push(deed(at, Caller::Task(*rng.pick(&tasks)), apis, &mut rng));
            }
        }
    }
    let per_instance = calls * 14 / world.instances.len().max(1) as u64;
    for (index, instance) in world.instances.iter().enumerate() {
        let apis = match (instance.cluster_member, instance.delivery) {
            (true, _) => MEMBER_CALLS,
            (false, "1.0") => LEGACY_CALLS,
            (false, _) => OPS_CALLS,
        };
        for _ in 0..rng.count(per_instance).max(1) {
            let at = from + rng.range(0, 3600);
            deeds.push(deed(at, Caller::Instance(index), apis, &mut rng));
        }
    }
    starts(world, from, &mut deeds);
    deeds
}

fn deed(at: i64, caller: Caller, apis: &[(&'static Api, u32)], rng: &mut Rng) -> Deed {
    let api = apis[rng.weighted(apis.iter().map(|&(_, weight)| weight))].0;
    let bytes = match api.name {
        "GetObject" => rng.size(20_000, 6),
        _ => 0,
    };
    Deed {
        at,
        caller,
        api,
        bytes,
        execution: false,
    }
}

/// A starting Fargate task fetches its image and opens its log stream with the
/// execution role. On EC2 the host does this, and the image is often there already.
fn starts(world: &World, from: i64, deeds: &mut Vec<Deed>) {
    for (index, task) in world.tasks.iter().enumerate() {
        if task.started < from || task.started >= from + 3600 || world.services[task.service].on_ec2 {
            continue;
        }
        for (after, api) in [(1, &LOGIN), (2, &IMAGE), (19, &LOG_STREAM)] {
            deeds.push(Deed {
                at: task.started + after,
                caller: Caller::Task(index),
                api,
                bytes: 0,
                execution: true,
            });
        }
    }
}
