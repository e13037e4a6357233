//! What `who` asks of each table: SQL that an analyst can take along.

use trailhound_query::pattern::literal;

use super::risky;
use super::subject::{Kind, Subject};

/// How an answer is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    /// A table.
    Rows,
    /// A table of calls, with what the risky ones can mean.
    Calls,
    /// A line of bars over time: columns `time` and `n`.
    Timeline,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub title: String,
    /// The table that it reads.
    pub table: &'static str,
    /// Its SQL.
    pub sql: String,
    /// How its answer is drawn.
    pub drawn: Drawn,
}

/// Rows of an answer: who wants more changes the query.
const ROWS_MAX: usize = 12;

/// All questions about `subject` over the tables that are there, in the order of a first look.
pub fn questions(subject: &Subject, tables: &[String]) -> Vec<Question> {
    let has = |table: &str| tables.iter().any(|name| name == table);
    let mut all = Vec::new();
    for (table, about) in HISTORIES {
        if has(table)
            && let Some(condition) = history(table, subject)
        {
            all.push(Question {
                title: (*about).to_owned(),
                table,
                sql: format!(
                    "SELECT * FROM {table} WHERE {condition} ORDER BY valid_from DESC LIMIT {ROWS_MAX}"
                ),
                drawn: Drawn::Rows,
            });
        }
    }
    if has("cloudtrail")
        && let Some(condition) = cloudtrail(subject)
    {
        all.extend(calls(&condition));
    }
    if has("vpc_flow")
        && let Some(condition) = flows(subject)
    {
        all.extend(traffic(subject, &condition));
    }
    if has("container_logs") && subject.kind == Kind::Task {
        let task = literal(&subject.name);
        all.push(Question {
            title: "What its containers wrote".to_owned(),
            table: "container_logs",
            sql: format!(
                "SELECT log_group, container_name, min(event_time) AS first_seen, max(event_time) AS last_seen, \
                 count(*) AS lines FROM container_logs WHERE task_id = {task} \
                 GROUP BY log_group, container_name ORDER BY lines DESC LIMIT {ROWS_MAX}"
            ),
            drawn: Drawn::Rows,
        });
    }
    if has("ecs_events") && matches!(subject.kind, Kind::Task | Kind::Interface | Kind::Address) {
        let column = match subject.kind {
            Kind::Task => "task_id",
            Kind::Interface => "eni_id",
            _ => "private_ip",
        };
        all.push(Question {
            title: "What ECS said".to_owned(),
            table: "ecs_events",
            sql: format!(
                "SELECT event_time, detail_type, last_status, desired_status, service_name, task_definition_arn, stopped_reason \
                 FROM ecs_events WHERE {column} = {} ORDER BY event_time LIMIT {ROWS_MAX}",
                literal(&subject.name)
            ),
            drawn: Drawn::Rows,
        });
    }
    all
}

/// Tables of the identity ledger, and what they tell.
const HISTORIES: &[(&str, &str)] = &[
    ("eni_history", "Whose interface it was"),
    ("task_history", "The task"),
    ("role_sessions", "Sessions of its role"),
    ("own_addresses", "One of your own addresses"),
];

fn history(table: &str, subject: &Subject) -> Option<String> {
    let name = literal(&subject.name);
    let column = match (table, subject.kind) {
        ("eni_history", Kind::Interface) => "interface_id",
        ("eni_history" | "own_addresses", Kind::Address) => "address",
        ("eni_history" | "task_history" | "role_sessions", Kind::Task) => "task_id",
        ("role_sessions", Kind::AccessKey) => "access_key_id",
        ("role_sessions", Kind::Role) => "role_arn",
        ("role_sessions", Kind::Name) => "session_name",
        ("eni_history" | "role_sessions", Kind::Instance) => "instance_id",
        _ => return None,
    };
    Some(format!("{column} = {name}"))
}

/// The calls of a subject; none if CloudTrail cannot know it.
fn cloudtrail(subject: &Subject) -> Option<String> {
    let name = literal(&subject.name);
    Some(match subject.kind {
        Kind::Address => format!("source_ip_address = {name}"),
        Kind::AccessKey => format!("access_key_id = {name}"),
        // A session may carry the id of a task or instance without being of it: then others' calls are here, too.
        Kind::Task | Kind::Instance => format!("session_name = {name}"),
        Kind::Role => format!("role_arn = {name}"),
        Kind::Principal => format!("principal_arn = {name}"),
        Kind::Name => format!(
            "(session_name = {name} OR ends_with(principal_arn, {}))",
            literal(&format!("/{}", subject.name))
        ),
        Kind::Interface => {
            format!("(contains(request_parameters, {name}) OR contains(response_elements, {name}))")
        }
    })
}

/// The flow records of a subject; none if flow logs cannot know it.
fn flows(subject: &Subject) -> Option<String> {
    let name = literal(&subject.name);
    Some(match subject.kind {
        Kind::Address => {
            format!("(srcaddr = {name} OR dstaddr = {name} OR pkt_srcaddr = {name} OR pkt_dstaddr = {name})")
        }
        Kind::Interface => format!("interface_id = {name}"),
        Kind::Task => format!("ecs_task_id = {name}"),
        Kind::Instance => format!("instance_id = {name}"),
        Kind::Name => format!("ecs_service_name = {name}"),
        Kind::AccessKey | Kind::Role | Kind::Principal => return None,
    })
}

fn calls(condition: &str) -> Vec<Question> {
    let question = |title: &str, drawn, sql: String| Question {
        title: title.to_owned(),
        table: "cloudtrail",
        sql,
        drawn,
    };
    let by = |columns: &str| {
        format!(
            "SELECT {columns}, count(*) AS calls, count(error_code) AS failed, min(event_time) AS first_seen, \
             max(event_time) AS last_seen FROM cloudtrail WHERE {condition} GROUP BY {columns} \
             ORDER BY calls DESC, {columns} LIMIT {ROWS_MAX}"
        )
    };
    vec![
        question(
            "API calls",
            Drawn::Rows,
            format!(
                "SELECT min(event_time) AS first_seen, max(event_time) AS last_seen, count(*) AS calls, \
                 count(error_code) AS failed, count(DISTINCT event_name) AS names, \
                 count(DISTINCT source_ip_address) AS addresses, count(DISTINCT aws_region) AS regions \
                 FROM cloudtrail WHERE {condition} HAVING count(*) > 0"
            ),
        ),
        question(
            "Calls over time",
            Drawn::Timeline,
            format!(
                "SELECT date_trunc('hour', event_time) AS time, count(*) AS n FROM cloudtrail WHERE {condition} \
                 GROUP BY time ORDER BY time"
            ),
        ),
        question("What was called", Drawn::Calls, by("event_name, event_source")),
        question(
            "The risky ones of them",
            Drawn::Calls,
            format!(
                "SELECT event_time, event_name, error_code, source_ip_address, principal_arn, event_id FROM cloudtrail \
                 WHERE {condition} AND event_name IN ({}) ORDER BY event_time DESC LIMIT {ROWS_MAX}",
                risky::names().map(literal).collect::<Vec<_>>().join(", ")
            ),
        ),
        question(
            "From where",
            Drawn::Rows,
            by("source_ip_address, vpc_endpoint_id"),
        ),
        question("With what", Drawn::Rows, by("user_agent")),
        question(
            "With which keys, as whom",
            Drawn::Rows,
            by("access_key_id, principal_arn"),
        ),
    ]
}

fn traffic(subject: &Subject, condition: &str) -> Vec<Question> {
    let question = |title: &str, drawn, sql: String| Question {
        title: title.to_owned(),
        table: "vpc_flow",
        sql,
        drawn,
    };
    // Of an address, the peer is the other end; of an interface the end that is not at it.
    let peer = match subject.kind {
        Kind::Address => format!(
            "CASE WHEN {name} IN (srcaddr, pkt_srcaddr) THEN dstaddr ELSE srcaddr END",
            name = literal(&subject.name)
        ),
        _ => "CASE WHEN flow_direction = 'ingress' THEN srcaddr ELSE dstaddr END".to_owned(),
    };
    vec![
        question(
            "Traffic",
            Drawn::Rows,
            format!(
                "SELECT min(start_time) AS first_seen, max(end_time) AS last_seen, count(*) AS records, \
                 sum(bytes) AS bytes, count(*) FILTER (WHERE action = 'REJECT') AS refused, \
                 count(DISTINCT interface_id) AS interfaces FROM vpc_flow WHERE {condition} HAVING count(*) > 0"
            ),
        ),
        question(
            "Bytes over time",
            Drawn::Timeline,
            format!(
                "SELECT date_trunc('hour', start_time) AS time, sum(bytes) AS n FROM vpc_flow WHERE {condition} \
                 AND start_time IS NOT NULL GROUP BY time ORDER BY time"
            ),
        ),
        question(
            "With whom",
            Drawn::Rows,
            format!(
                "SELECT {peer} AS peer, least(srcport, dstport) AS port, protocol, action, count(*) AS records, \
                 sum(bytes) AS bytes, min(start_time) AS first_seen, max(end_time) AS last_seen \
                 FROM vpc_flow WHERE {condition} AND srcaddr IS NOT NULL GROUP BY peer, port, protocol, action \
                 ORDER BY bytes DESC, peer, port LIMIT {ROWS_MAX}"
            ),
        ),
        question(
            "As whom",
            Drawn::Rows,
            format!(
                "SELECT interface_id, instance_id, ecs_service_name, ecs_task_id, min(start_time) AS first_seen, \
                 max(end_time) AS last_seen, count(*) AS records FROM vpc_flow WHERE {condition} \
                 GROUP BY interface_id, instance_id, ecs_service_name, ecs_task_id ORDER BY records DESC LIMIT {ROWS_MAX}"
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_known_is_not_asked() {
        let tables = ["cloudtrail".to_owned(), "vpc_flow".to_owned()];
        let key = questions(&Subject::of("AKIAQNZGKIQY56JQ7WML"), &tables);
        assert!(key.iter().all(|question| question.table == "cloudtrail") && !key.is_empty());
        assert!(questions(&Subject::of("10.0.0.1"), &[]).is_empty());
    }

    #[test]
    fn a_name_stays_a_name() {
        let tables = ["cloudtrail".to_owned()];
        for question in questions(&Subject::of("x' OR '1'='1"), &tables) {
            assert!(question.sql.contains("'x'' OR ''1''=''1'"), "{}", question.sql);
        }
    }
}
