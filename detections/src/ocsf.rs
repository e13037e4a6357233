//! An alert as an OCSF Detection Finding, version 1.5.0.
//!
//! Evidence, actor, endpoints and resources come from the columns of the row
//! behind the alert, by the names that AWS gives them: a rule that selects
//! `srcaddr` gets a source endpoint, one that selects `principal_arn` an actor.
//! What has no place of its own goes to `unmapped`, so nothing is lost on the way.
//! Times are those of the records: the same alert is the same finding, byte for byte.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::alert::Alert;
use crate::attack;
use crate::message::plain;
use crate::severity::Severity;

/// Version of the schema that the findings follow.
pub const SCHEMA_VERSION: &str = "1.5.0";

const CATEGORY_FINDINGS: u32 = 2;
const CLASS_DETECTION_FINDING: u32 = 2004;
const ACTIVITY_CREATE: u32 = 1;
const STATUS_NEW: u32 = 1;
const ANALYTIC_RULE: u32 = 1;

const OBSERVABLE_IP: u32 = 2;
const OBSERVABLE_RESOURCE: u32 = 10;
const OBSERVABLE_USER_AGENT: u32 = 16;
const OBSERVABLE_CREDENTIAL: u32 = 19;
const OBSERVABLE_USER_UID: u32 = 31;

/// Columns that name an AWS resource, and what kind it is.
const RESOURCES: &[(&str, &str)] = &[
    ("workload", "Workload"),
    ("cluster", "AWS::ECS::Cluster"),
    ("service", "AWS::ECS::Service"),
    ("ecs_service_name", "AWS::ECS::Service"),
    ("family", "AWS::ECS::TaskDefinition"),
    ("task_definition", "AWS::ECS::TaskDefinition"),
    ("task_id", "AWS::ECS::Task"),
    ("container_name", "AWS::ECS::Container"),
    ("image", "AWS::ECR::Image"),
    ("instance_id", "AWS::EC2::Instance"),
    ("interface_id", "AWS::EC2::NetworkInterface"),
    ("flow_log", "AWS::EC2::FlowLog"),
    ("trail", "AWS::CloudTrail::Trail"),
    ("role_arn", "AWS::IAM::Role"),
    ("log_group", "AWS::Logs::LogGroup"),
];

/// The finding for `alert`.
pub fn finding(alert: &Alert) -> Value {
    let columns = Columns(&alert.evidence.sample);
    let mut finding = json!({
        "activity_id": ACTIVITY_CREATE,
        "activity_name": "Create",
        "category_name": "Findings",
        "category_uid": CATEGORY_FINDINGS,
        "class_name": "Detection Finding",
        "class_uid": CLASS_DETECTION_FINDING,
        "type_name": "Detection Finding: Create",
        "type_uid": CLASS_DETECTION_FINDING * 100 + ACTIVITY_CREATE,
        "time": millis(alert.last_seen),
        "start_time": millis(alert.first_seen),
        "end_time": millis(alert.last_seen),
        "severity": capitalised(alert.severity.name()),
        "severity_id": severity_id(alert.severity),
        "status": "New",
        "status_id": STATUS_NEW,
        "is_alert": true,
        "message": alert.message,
        "count": i32::try_from(alert.count).unwrap_or(i32::MAX),
        "risk_level": risk_level(alert.severity).1,
        "risk_level_id": risk_level(alert.severity).0,
        "risk_score": alert.risk,
        "metadata": {
            "version": SCHEMA_VERSION,
            "product": {
                "name": "trailhound",
                "vendor_name": "trailhound",
                "version": env!("CARGO_PKG_VERSION"),
            },
            "profiles": ["cloud", "security_control"],
            "uid": alert.id,
            "event_code": alert.rule,
        },
        "finding_info": finding_info(alert),
        "cloud": cloud(&columns),
        "resources": resources(alert, &columns),
        "evidences": [evidence(alert, &columns)],
        "observables": observables(&columns),
        "unmapped": {
            "csf": alert.csf,
            "entity": alert.entity,
            "impact": alert.impact,
            "coverage": alert.coverage,
        },
    });
    if let (Some(map), Some(api)) = (finding.as_object_mut(), api(&columns)) {
        map.insert("api".to_owned(), api);
    }
    finding
}

fn finding_info(alert: &Alert) -> Value {
    json!({
        "uid": alert.id,
        "title": alert.title,
        "desc": alert.message,
        "created_time": millis(alert.last_seen),
        "first_seen_time": millis(alert.first_seen),
        "last_seen_time": millis(alert.last_seen),
        "types": [alert.rule],
        "data_sources": data_sources(alert),
        "analytic": {
            "uid": alert.rule,
            "name": alert.title,
            "type": "Rule",
            "type_id": ANALYTIC_RULE,
            "version": alert.rule_version,
        },
        "attacks": alert.attack.iter().map(|id| technique(id)).collect::<Vec<_>>(),
        "related_events_count": i32::try_from(alert.count).unwrap_or(i32::MAX),
    })
}

/// A technique with its tactics; a sub-technique with its parent.
fn technique(id: &str) -> Value {
    let named = |id: &str| json!({ "uid": id, "name": attack::technique(id).map(|known| &known.name) });
    let tactics: Vec<Value> = attack::technique(id)
        .into_iter()
        .flat_map(|known| &known.tactics)
        .map(|tactic| json!({ "uid": tactic, "name": attack::tactic(tactic) }))
        .collect();
    let mut attack = json!({ "version": attack::version(), "technique": named(attack::parent(id)) });
    if attack::parent(id) != id {
        attack["sub_technique"] = named(id);
    }
    // `tactic` is what older readers know; `tactics` takes all of them.
    if let Some(first) = tactics.first() {
        attack["tactic"] = first.clone();
        attack["tactics"] = tactics.into();
    }
    attack
}

fn data_sources(alert: &Alert) -> Vec<&str> {
    let mut tables: Vec<&str> = alert
        .evidence
        .records
        .iter()
        .map(|record| record.table.as_str())
        .collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}

fn cloud(columns: &Columns) -> Value {
    let mut cloud = json!({ "provider": "AWS" });
    if let Some(account) = columns
        .text("account_id")
        .or_else(|| columns.text("recipient_account_id"))
    {
        cloud["account"] = json!({ "uid": account });
    }
    if let Some(region) = columns.text("aws_region").or_else(|| columns.text("region")) {
        cloud["region"] = region.into();
    }
    cloud
}

fn resources(alert: &Alert, columns: &Columns) -> Vec<Value> {
    let mut resources: Vec<Value> = RESOURCES
        .iter()
        .filter_map(|(column, kind)| Some(json!({ "uid": columns.text(column)?, "type": kind })))
        .collect();
    if resources.is_empty() {
        resources.push(json!({ "uid": alert.entity.id, "type": alert.entity.kind }));
    }
    resources
}

/// The one evidence object: who did what from where to where, and all of the row as it is.
fn evidence(alert: &Alert, columns: &Columns) -> Value {
    let mut evidence = Map::new();
    if let Some(actor) = actor(columns) {
        evidence.insert("actor".to_owned(), actor);
    }
    if let Some(api) = api(columns) {
        evidence.insert("api".to_owned(), api);
    }
    let source = endpoint(columns, &["srcaddr", "source_ip_address"], "srcport");
    if let Some(source) = source {
        evidence.insert("src_endpoint".to_owned(), source);
    }
    if let Some(destination) = endpoint(columns, &["dstaddr"], "dstport") {
        evidence.insert("dst_endpoint".to_owned(), destination);
    }
    evidence.insert("data".to_owned(), json!(alert.evidence));
    evidence.into()
}

fn actor(columns: &Columns) -> Option<Value> {
    let uid = columns
        .text("principal_arn")
        .or_else(|| columns.text("principal"))?;
    let mut user = json!({ "uid": uid });
    if let Some(name) = columns.text("session_name").or_else(|| columns.text("user_name")) {
        user["name"] = name.into();
    }
    if let Some(key) = columns.text("access_key_id") {
        user["credential_uid"] = key.into();
    }
    Some(json!({ "user": user }))
}

fn api(columns: &Columns) -> Option<Value> {
    let operation = columns.text("event_name")?;
    Some(match columns.text("event_source") {
        Some(service) => json!({ "operation": operation, "service": { "name": service } }),
        None => json!({ "operation": operation }),
    })
}

/// CloudTrail's source is an address or the name of an AWS service.
fn endpoint(columns: &Columns, addresses: &[&str], port: &str) -> Option<Value> {
    let address = addresses.iter().find_map(|column| columns.text(column))?;
    let mut endpoint = match address.parse::<IpAddr>() {
        Ok(_) => json!({ "ip": address }),
        Err(_) => json!({ "svc_name": address }),
    };
    if let Some(port) = columns.0.get(port).and_then(Value::as_i64) {
        endpoint["port"] = port.into();
    }
    Some(endpoint)
}

fn observables(columns: &Columns) -> Vec<Value> {
    let mut observables = Vec::new();
    let mut observe = |column: &str, kind: u32, label: &str, name: &str| {
        if let Some(value) = columns.text(column) {
            observables.push(json!({ "name": name, "type": label, "type_id": kind, "value": value }));
        }
    };
    for (column, name) in [
        ("srcaddr", "evidences[].src_endpoint.ip"),
        ("source_ip_address", "evidences[].src_endpoint.ip"),
        ("dstaddr", "evidences[].dst_endpoint.ip"),
    ] {
        if columns
            .text(column)
            .is_some_and(|address| address.parse::<IpAddr>().is_ok())
        {
            observe(column, OBSERVABLE_IP, "IP Address", name);
        }
    }
    observe(
        "principal_arn",
        OBSERVABLE_USER_UID,
        "User Object: uid",
        "evidences[].actor.user.uid",
    );
    observe(
        "access_key_id",
        OBSERVABLE_CREDENTIAL,
        "User Credential ID",
        "evidences[].actor.user.credential_uid",
    );
    observe(
        "user_agent",
        OBSERVABLE_USER_AGENT,
        "HTTP User-Agent",
        "evidences[].data.sample.user_agent",
    );
    for (column, _) in RESOURCES {
        observe(column, OBSERVABLE_RESOURCE, "Resource UID", "resources[].uid");
    }
    observables
}

/// The row's columns by name; empty and NULL count as absent.
struct Columns<'a>(&'a Map<String, Value>);

impl Columns<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let value = self.0.get(name).filter(|value| !value.is_null())?;
        Some(plain(value)).filter(|text| !text.is_empty())
    }
}

fn severity_id(severity: Severity) -> u32 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}

fn risk_level(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Informational => (0, "Info"),
        Severity::Low => (1, "Low"),
        Severity::Medium => (2, "Medium"),
        Severity::High => (3, "High"),
        Severity::Critical => (4, "Critical"),
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}

fn millis(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}
