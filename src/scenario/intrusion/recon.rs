//! What is asked with taken credentials: whatever a stranger needs to know,
//! allowed or not.

use serde_json::{Value, json};

use super::super::cloudtrail::Event;
use super::super::estate::{CLUSTER, World};
use super::super::identity::Session;
use super::super::{ACCOUNT, REGION};

pub(super) const AGENT: &str = "aws-cli/2.30.7 md/awscrt#0.27.6 ua/2.1 os/linux#6.12.43 md/arch#x86_64 lang/python#3.13.7 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe md/prompt#off";

/// One call of the look around.
pub(super) struct Look {
    /// Seconds after the first.
    pub after: i64,
    service: &'static str,
    name: &'static str,
    /// The error code where the role may not.
    denied: Option<&'static str>,
}

const fn allowed(after: i64, service: &'static str, name: &'static str) -> Look {
    Look {
        after,
        service,
        name,
        denied: None,
    }
}

const fn denied(after: i64, service: &'static str, name: &'static str, code: &'static str) -> Look {
    Look {
        after,
        service,
        name,
        denied: Some(code),
    }
}

const SHORT: &str = "AccessDenied";
const LONG: &str = "AccessDeniedException";
const EC2: &str = "Client.UnauthorizedOperation";

/// In order. The role may do anything in ECS and read its own secrets, no more.
pub(super) const LOOKS: &[Look] = &[
    allowed(0, "sts", "GetCallerIdentity"),
    denied(21, "iam", "GetRole", SHORT),
    denied(26, "iam", "ListAttachedRolePolicies", SHORT),
    denied(33, "iam", "ListRolePolicies", SHORT),
    denied(58, "s3", "ListBuckets", SHORT),
    denied(84, "ec2", "DescribeInstances", EC2),
    denied(97, "ec2", "DescribeVpcs", EC2),
    denied(131, "secretsmanager", "ListSecrets", LONG),
    allowed(166, "ecs", "ListClusters"),
    allowed(172, "ecs", "DescribeClusters"),
    allowed(183, "ecs", "ListServices"),
    allowed(195, "ecs", "DescribeServices"),
    denied(214, "lambda", "ListFunctions20150331", LONG),
    denied(229, "rds", "DescribeDBInstances", SHORT),
    denied(241, "dynamodb", "ListTables", LONG),
    denied(260, "ssm", "DescribeParameters", LONG),
    denied(272, "kms", "ListAliases", LONG),
    denied(290, "logs", "DescribeLogGroups", LONG),
    denied(318, "cloudtrail", "DescribeTrails", LONG),
    denied(334, "ec2", "DescribeFlowLogs", EC2),
    denied(359, "ecr", "DescribeRepositories", LONG),
    denied(377, "sqs", "ListQueues", SHORT),
    denied(402, "iam", "ListRoles", SHORT),
    denied(420, "iam", "ListUsers", SHORT),
    denied(447, "iam", "GetAccountAuthorizationDetails", SHORT),
    allowed(611, "ecs", "ListTaskDefinitions"),
    allowed(640, "ecs", "DescribeTaskDefinition"),
    allowed(702, "secretsmanager", "GetSecretValue"),
    denied(731, "secretsmanager", "GetSecretValue", LONG),
    allowed(1290, "ecs", "ListTasks"),
    allowed(1301, "ecs", "DescribeTasks"),
];

/// The user agent of the AWS CLI names the command.
pub(super) fn agent(service: &str, name: &str) -> String {
    let mut command = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !command.is_empty() {
            command.push('-');
        }
        command.push(letter.to_ascii_lowercase());
    }
    format!("{AGENT} md/command#{service}.{command}")
}

pub(super) fn event(world: &World, look: &Look, at: i64, session: &Session, from: &str) -> Event {
    let Look { service, name, .. } = *look;
    let event = Event::new(at, service, name, session.identity(world.seed))
        .from(from, &agent(service, name))
        .request(parameters(look, session));
    let Some(code) = look.denied else {
        return event;
    };
    let message = if service == "ec2" {
        "You are not authorized to perform this operation.".to_string()
    } else {
        let action = match name {
            "ListBuckets" => "ListAllMyBuckets",
            "ListFunctions20150331" => "ListFunctions",
            name => name,
        };
        format!(
            "User: {} is not authorized to perform: {service}:{action} on resource: {} because no identity-based policy allows the {service}:{action} action",
            session.arn(),
            resource(look, session),
        )
    };
    event.error(code, message)
}

fn parameters(look: &Look, session: &Session) -> Value {
    // A denied IAM call is recorded without its parameters.
    match (look.service, look.name) {
        ("ec2", "DescribeInstances") => json!({"instancesSet": {}, "filterSet": {}}),
        ("ec2", "DescribeVpcs") => json!({"vpcSet": {}, "filterSet": {}}),
        ("s3", _) => json!({"Host": format!("s3.{REGION}.amazonaws.com")}),
        ("ecs", "DescribeClusters") => json!({"clusters": [CLUSTER], "include": ["CONFIGURATIONS"]}),
        ("ecs", "ListServices") => json!({"cluster": CLUSTER}),
        ("ecs", "DescribeServices") => json!({"cluster": CLUSTER, "services": ["reports"]}),
        ("ecs", "DescribeTaskDefinition") => json!({"taskDefinition": "maintenance:6"}),
        ("ecs", "ListTasks") => json!({"cluster": CLUSTER, "serviceName": "reports"}),
        ("ecs", "DescribeTasks") => json!({"cluster": CLUSTER, "tasks": [session.name]}),
        ("secretsmanager", "GetSecretValue") => {
            let owner = if look.denied.is_some() {
                "payments"
            } else {
                "reports"
            };
            json!({"secretId": format!("{CLUSTER}/{owner}/database")})
        }
        _ => Value::Null,
    }
}

fn resource(look: &Look, session: &Session) -> String {
    match (look.service, look.name) {
        ("iam", "ListUsers") => format!("arn:aws:iam::{ACCOUNT}:user/"),
        ("iam", "ListRoles") => format!("arn:aws:iam::{ACCOUNT}:role/"),
        ("iam", "GetAccountAuthorizationDetails") | ("s3", _) => "*".to_string(),
        ("iam", _) => format!("role {}", session.role),
        ("secretsmanager", "GetSecretValue") => format!("{CLUSTER}/payments/database"),
        (service, _) => format!("arn:aws:{service}:{REGION}:{ACCOUNT}:*"),
    }
}
