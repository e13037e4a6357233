//! `userIdentity`, in the shape each kind of caller has.

use serde_json::{Value, json};

use super::ACCOUNT;
use super::calls::Caller;
use super::estate::World;
use super::output::iso;
use super::rng::Rng;

/// ECS and EC2 renew role credentials after somewhat less than their six hours.
const RENEWED_AFTER_SECONDS: i64 = 20_700;

/// Role credentials: who holds them, since when, and under which key.
#[derive(Clone)]
pub(super) struct Session {
    pub role: String,
    /// The role's path, which only `sessionIssuer.arn` keeps.
    pub path: &'static str,
    pub name: String,
    pub key: String,
    pub created: i64,
    /// `ec2RoleDelivery`, on credentials of an instance profile only.
    pub delivery: Option<&'static str>,
    pub invoked_by: Option<&'static str>,
    pub mfa: bool,
}

impl Session {
    pub fn new(seed: u64, role: &str, name: &str, created: i64) -> Session {
        Session {
            role: role.to_string(),
            path: "",
            name: name.to_string(),
            key: access_key(seed, role, name, created),
            created,
            delivery: None,
            invoked_by: None,
            mfa: false,
        }
    }

    /// The role session of a task or an instance, with the key it has at this time.
    pub fn of(world: &World, caller: Caller, time: i64) -> Session {
        let (role, name, started, delivery) = match caller {
            Caller::Task(task) => {
                let task = &world.tasks[task];
                (task.role.as_str(), &task.id, task.started, None)
            }
            Caller::Instance(instance) => {
                let instance = &world.instances[instance];
                // Running for long: any time before the first hour will do.
                (
                    instance.role,
                    &instance.id,
                    world.start - 90_000,
                    Some(instance.delivery),
                )
            }
        };
        let created = started + renewals(started, time) * RENEWED_AFTER_SECONDS;
        Session {
            delivery,
            ..Session::new(world.seed, role, name, created)
        }
    }

    /// A session of a role that only an AWS service may take.
    pub fn of_service(
        world: &World,
        role: &str,
        path: &'static str,
        name: &str,
        by: &'static str,
        time: i64,
    ) -> Session {
        Session {
            path,
            invoked_by: Some(by),
            ..Session::new(world.seed, role, name, time)
        }
    }

    pub fn arn(&self) -> String {
        format!("arn:aws:sts::{ACCOUNT}:assumed-role/{}/{}", self.role, self.name)
    }

    pub fn identity(&self, seed: u64) -> Value {
        let role_id = unique_id(seed, "AROA", &self.role);
        let mut context = json!({
            "sessionIssuer": {
                "type": "Role",
                "principalId": role_id,
                "arn": format!("arn:aws:iam::{ACCOUNT}:role/{}{}", self.path, self.role),
                "accountId": ACCOUNT,
                "userName": self.role,
            },
        });
        if self.delivery.is_some() {
            context["webIdFederationData"] = json!({});
        }
        context["attributes"] = json!({
            "creationDate": iso(self.created),
            "mfaAuthenticated": if self.mfa { "true" } else { "false" },
        });
        if let Some(delivery) = self.delivery {
            context["ec2RoleDelivery"] = json!(delivery);
        }
        let mut identity = json!({
            "type": "AssumedRole",
            "principalId": format!("{role_id}:{}", self.name),
            "arn": self.arn(),
            "accountId": ACCOUNT,
        });
        // Calls that a service makes by itself carry no key.
        if self.invoked_by.is_none() {
            identity["accessKeyId"] = json!(self.key);
        }
        identity["sessionContext"] = context;
        if let Some(service) = self.invoked_by {
            identity["invokedBy"] = json!(service);
        }
        identity
    }
}

/// Times at which a task's role credentials are issued, from its start on.
pub(super) fn issues(started: i64, stopped: i64, from: i64, to: i64) -> impl Iterator<Item = i64> {
    let first = renewals(started, from).max(0);
    (first..)
        .map(move |nth| started + nth * RENEWED_AFTER_SECONDS)
        .skip_while(move |&time| time < from)
        .take_while(move |&time| time < to && time < stopped)
}

/// An AWS service acting for itself.
pub(super) fn service(name: &str) -> Value {
    json!({"type": "AWSService", "invokedBy": name})
}

/// A unique id as IAM gives them. The ending marks it as made up, as in AWS's own documentation.
pub(super) fn unique_id(seed: u64, kind: &str, name: &str) -> String {
    format!("{kind}{}EXAMPLE", Rng::stream(seed, name, 1).token(10))
}

fn access_key(seed: u64, role: &str, name: &str, created: i64) -> String {
    let number = created as u64 ^ Rng::stream(seed, role, 2).next();
    format!("ASIA{}EXAMPLE", Rng::stream(seed, name, number).token(9))
}

fn renewals(started: i64, time: i64) -> i64 {
    (time - started).div_euclid(RENEWED_AFTER_SECONDS)
}
