//! Whose a role session is. Its name alone proves nothing: who opens a session chooses it.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::HashMap;

use super::entity::{Answer, Certainty, Entity, Kind, Method};
use super::facts::{Facts, SessionFacts, SessionKey};
use super::holds::SLACK_MICROS;
use super::ledger::Ledger;

const BY_ECS: &str = "ecs-tasks.amazonaws.com";
const BY_EC2: &str = "ec2.amazonaws.com";

fn issued_only_by(session: &SessionFacts, service: &str) -> bool {
    !session.issuers.is_empty() && session.issuers.iter().all(|issuer| &**issuer == service)
}

/// Roles of tasks by the sessions that ECS opened for them.
pub(super) fn roles_by_ecs(facts: &Facts) -> HashMap<Arc<str>, Arc<str>> {
    let mut roles: HashMap<Arc<str>, Arc<str>> = HashMap::default();
    for session in facts.sessions.values() {
        let (Some(name), Some(role)) = (session.name.get(), session.role.get()) else {
            continue;
        };
        if issued_only_by(session, BY_ECS) && is_task_id(name) {
            let known = roles.entry(Arc::clone(name)).or_insert_with(|| Arc::clone(role));
            if *role < *known {
                *known = Arc::clone(role);
            }
        }
    }
    roles
}

/// Entities that sessions prove, whether other logs know them or not: the instances
/// and tasks that AWS itself opened a session for.
pub(super) fn entities(facts: &Facts) -> BTreeSet<Entity> {
    let of_session = |session: &SessionFacts| {
        let name = session.name.get()?;
        let by_ecs = issued_only_by(session, BY_ECS) && is_task_id(name);
        match (is_instance_id(name), by_ecs && !facts.tasks.contains_key(name)) {
            (true, _) => Some(instance(name)),
            (false, true) => Some(lone_task(name, session)),
            (false, false) => None,
        }
    };
    facts.sessions.values().filter_map(of_session).collect()
}

fn instance(id: &Arc<str>) -> Entity {
    Entity {
        instance_id: Some(Arc::clone(id)),
        ..Entity::of_kind(Kind::Instance)
    }
}

/// A task that only its session knows.
fn lone_task(id: &Arc<str>, session: &SessionFacts) -> Entity {
    Entity {
        task_id: Some(Arc::clone(id)),
        role: session.role.get().cloned(),
        ..Entity::of_kind(Kind::Task)
    }
}

/// Resolves every session.
pub(super) fn resolve(ledger: &Ledger) -> HashMap<SessionKey, Answer> {
    ledger
        .facts
        .sessions
        .iter()
        .map(|(key, session)| (key.clone(), answer(ledger, session)))
        .collect()
}

fn answer(ledger: &Ledger, session: &SessionFacts) -> Answer {
    let nobody = |method| Answer {
        entity: 0,
        certainty: Certainty::Unknown,
        method,
    };
    let Some(name) = session.name.get() else {
        return nobody(Method::NoWorkload);
    };
    if is_instance_id(name) {
        let certain = |method| Answer {
            entity: ledger.entities.get(&instance(name)).unwrap_or(0),
            certainty: Certainty::Certain,
            method,
        };
        return match () {
            () if session.delivery.get().is_some() => certain(Method::RoleDelivery),
            () if issued_only_by(session, BY_EC2) => certain(Method::IssuedByEc2),
            () if !session.issuers.is_empty() => nobody(Method::OpenedByAnother),
            () => nobody(Method::NameAlone),
        };
    }
    if !is_task_id(name) {
        return nobody(Method::NoWorkload);
    }
    let Some(task) = ledger.tasks.get(name) else {
        return match () {
            () if session.issuers.is_empty() => nobody(Method::NameAlone),
            () if issued_only_by(session, BY_ECS) => Answer {
                entity: ledger.entities.get(&lone_task(name, session)).unwrap_or(0),
                certainty: Certainty::Certain,
                method: Method::IssuedByEcs,
            },
            () => nobody(Method::OpenedByAnother),
        };
    };
    let found = |certainty, method| Answer {
        entity: task.entity,
        certainty,
        method,
    };
    if issued_only_by(session, BY_ECS) {
        return found(Certainty::Certain, Method::IssuedByEcs);
    }
    if !session.issuers.is_empty() {
        return nobody(Method::OpenedByAnother);
    }
    match (&task.role, session.role.get()) {
        (Some(role), Some(own)) if role == own => {}
        (Some(_), Some(_)) => return nobody(Method::RoleDiffers),
        _ => return nobody(Method::NameAlone),
    }
    let opened = session
        .span
        .valid_from
        .or(session.span.range().map(|(first, _)| first));
    let alive = opened.is_some_and(|opened| {
        opened >= task.hold.can_from.saturating_sub(SLACK_MICROS)
            && opened <= task.hold.can_to.saturating_add(SLACK_MICROS)
    });
    match alive {
        true => found(Certainty::Likely, Method::RoleAndName),
        false => nobody(Method::TaskOutsideLife),
    }
}

/// 32 hexadecimal digits, or the older form with dashes.
pub(super) fn is_task_id(name: &str) -> bool {
    let hex = name.bytes().filter(u8::is_ascii_hexdigit).count();
    match name.len() {
        32 => hex == 32,
        36 => hex == 32 && name.bytes().filter(|byte| *byte == b'-').count() == 4,
        _ => false,
    }
}

/// `i-` and 8 or 17 hexadecimal digits.
pub(super) fn is_instance_id(name: &str) -> bool {
    name.strip_prefix("i-")
        .is_some_and(|id| matches!(id.len(), 8 | 17) && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
