//! The ledger as tables: `task_history`, `eni_history`, `role_sessions`, `own_addresses`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::claim::Seen;
use super::entity::{Certainty, Entity, Kind};
use super::facts::Span;
use super::holds::Hold;
use super::inventory::FOREVER;
use super::ledger::{Ledger, joined};
use crate::column::{TIMESTAMP, timestamp_type};

/// Columns that all tables of the ledger end with.
const ENDING: [(&str, &str); 7] = [
    (
        "valid_from",
        "From when on. The record's own time of it if one tells, else the first sighting.",
    ),
    (
        "valid_to",
        "Until when. NULL: no record tells the end, and nobody else was seen to have it.",
    ),
    ("last_seen", "Latest moment at which records show it."),
    (
        "certainty",
        "`certain` if records tell both beginning and end, else `likely`.",
    ),
    ("method", "Logs and calls that tell of it."),
    ("_source", "Object of the earliest record that proves it."),
    ("_line", "Line or number of that record in its object."),
];

macro_rules! columns {
    ($(#[$doc:meta])* $name:ident: $($column:literal $about:literal,)*) => {
        $(#[$doc])*
        pub const $name: &[(&str, &str)] = &[
            $(($column, $about),)*
            ENDING[0], ENDING[1], ENDING[2], ENDING[3], ENDING[4], ENDING[5], ENDING[6],
        ];
    };
}

columns! {
    /// Columns of `task_history` with their meaning.
    TASK_HISTORY_COLUMNS:
    "task_id" "ECS task.",
    "cluster" "Name of its cluster.",
    "service" "Name of its service, if one started it.",
    "task_definition" "Task definition, `family:revision`.",
    "task_definition_arn" "The same as an ARN.",
    "image" "Images of its containers, separated by `, `.",
    "image_digest" "Digests of these images.",
    "role_arn" "Role of the task: what RunTask set, what its definition has, or whose session ECS opened for it.",
    "launch_type" "What it runs on.",
    "container_instance_arn" "Container instance that it runs on.",
    "instance_id" "EC2 instance that this is.",
    "interface_id" "Its own network interface. NULL in bridge and host mode.",
    "account_id" "Account of the task.",
    "region" "Region of the task.",
}

columns! {
    /// Columns of `eni_history` with their meaning.
    ENI_HISTORY_COLUMNS:
    "interface_id" "Network interface. `task/ID` and `address/ADDRESS` where no record names it.",
    "address" "Private address that it had.",
    "kind" "What it belonged to.",
    "task_id" "ECS task that it belonged to. NULL where several did one after the other: see `task_history`.",
    "service" "Service of the task.",
    "instance_id" "EC2 instance that it was attached to.",
    "resource_id" "NAT gateway or VPC endpoint that it belonged to.",
    "vpc_id" "Its VPC.",
    "subnet_id" "Its subnet.",
    "account_id" "Its account.",
    "region" "Its Region.",
}

columns! {
    /// Columns of `own_addresses` with their meaning.
    OWN_ADDRESSES_COLUMNS:
    "address" "Address of the account.",
    "scope" "`private` or `public`.",
    "kind" "What has it.",
    "interface_id" "Network interface that has it.",
    "resource_id" "NAT gateway or VPC endpoint that has it.",
    "vpc_id" "VPC of the interface.",
    "account_id" "Account that owns it.",
    "region" "Region that it is in.",
}

/// Columns of `role_sessions` with their meaning.
pub const ROLE_SESSIONS_COLUMNS: &[(&str, &str)] = &[
    (
        "access_key_id",
        "Access key of the session. NULL where no record has it.",
    ),
    ("session_name", "Its name, which who opens it chooses."),
    ("role_arn", "Its role."),
    ("account_id", "Account of the role."),
    (
        "issued_by",
        "Who opened it: a service, or the ARN of a principal.",
    ),
    (
        "ec2_role_delivery",
        "Version of the instance metadata service that gave it out.",
    ),
    ("task_id", "Task that it belongs to."),
    ("service", "Service of the task."),
    ("instance_id", "Instance that it belongs to."),
    ("valid_from", "When it was opened."),
    ("valid_to", "When its credentials expire, if a record tells."),
    ("last_seen", "Its latest call."),
    ("certainty", "How sure it is whose it is."),
    ("method", "Why: see the methods."),
    ("_source", "Object of the earliest record that proves it."),
    ("_line", "Line or number of that record in its object."),
];

/// The schema of one of the ledger's tables.
pub fn schema(columns: &[(&str, &str)]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, _)| {
            let data_type = match *name {
                "valid_from" | "valid_to" | "last_seen" => timestamp_type(),
                "_line" => DataType::Int64,
                _ => DataType::Utf8View,
            };
            Field::new(*name, data_type, true)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// A row: text columns up to `valid_from`, then what all tables end with.
struct Row {
    texts: Vec<Option<Arc<str>>>,
    from: Option<i64>,
    to: Option<i64>,
    seen: Option<Seen>,
    certainty: Certainty,
    method: Option<Arc<str>>,
}

fn batch(columns: &'static [(&'static str, &'static str)], mut rows: Vec<Row>) -> RecordBatch {
    rows.sort_by(|row, other| {
        let key = |row: &Row| (row.from, row.to, row.seen.clone());
        key(row)
            .cmp(&key(other))
            .then_with(|| row.texts.cmp(&other.texts))
    });
    let text = |value: &dyn Fn(&Row) -> Option<Arc<str>>| -> ArrayRef {
        let mut builder = StringViewBuilder::new();
        rows.iter().for_each(|row| builder.append_option(value(row)));
        Arc::new(builder.finish())
    };
    let time = |value: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef {
        // What an inventory says to hold still has no end.
        let known = |time: &i64| *time < FOREVER;
        let times: TimestampMicrosecondArray = rows.iter().map(|row| value(row).filter(known)).collect();
        Arc::new(times.with_timezone(TIMESTAMP))
    };
    let texts = columns.len() - ENDING.len();
    let mut arrays: Vec<ArrayRef> = (0..texts)
        .map(|place| text(&|row| row.texts[place].clone()))
        .collect();
    arrays.extend([
        time(&|row| row.from),
        time(&|row| row.to),
        time(&|row| row.seen.as_ref().map(|seen| seen.last)),
        text(&|row| Some(row.certainty.name().into())),
        text(&|row| row.method.clone()),
        text(&|row| row.seen.as_ref().map(|seen| Arc::clone(&seen.source))),
    ]);
    let lines: Int64Array = rows
        .iter()
        .map(|row| row.seen.as_ref().map(|seen| seen.line))
        .collect();
    arrays.push(Arc::new(lines));
    RecordBatch::try_new(schema(columns), arrays).expect("columns are built to this schema")
}

/// `certain` if records tell both ends.
fn both_ends(span: &Span) -> Certainty {
    match (span.valid_from, span.valid_to) {
        (Some(_), Some(_)) => Certainty::Certain,
        _ => Certainty::Likely,
    }
}

/// End of a hold: its own, or the beginning of the next one.
fn end_of(hold: &Hold) -> Option<i64> {
    match hold.ended {
        true => Some(hold.known_to),
        false => (hold.can_to != i64::MAX).then_some(hold.can_to),
    }
}

impl Ledger {
    /// The table `task_history`: one row a task.
    pub fn task_history(&self) -> RecordBatch {
        let rows = self.facts.tasks.iter().filter_map(|(id, facts)| {
            let task = self.tasks.get(id)?;
            let entity = self.entity(task.entity);
            let own = facts.interfaces.iter().filter(|id| !id.starts_with("task/"));
            Some(Row {
                texts: vec![
                    Some(Arc::clone(id)),
                    entity.cluster.clone(),
                    entity.service.clone(),
                    entity.task_definition.clone(),
                    facts.definition.get().cloned(),
                    entity.image.clone(),
                    joined(&facts.digests),
                    task.role.clone(),
                    facts.launch_type.get().cloned(),
                    facts.container_instance.get().cloned(),
                    task.instance.clone(),
                    joined(&own.cloned().collect()),
                    facts.account.get().cloned(),
                    facts.region.get().cloned(),
                ],
                from: Some(task.hold.can_from),
                to: facts.span.valid_to,
                seen: facts.span.seen.clone(),
                certainty: both_ends(&facts.span),
                method: joined(&facts.methods),
            })
        });
        batch(TASK_HISTORY_COLUMNS, rows.collect())
    }

    /// The table `eni_history`: one row for each interface and each of its addresses.
    pub fn eni_history(&self) -> RecordBatch {
        let mut rows = Vec::new();
        for (place, interface) in self.interfaces.iter().enumerate() {
            let facts = &self.facts.interfaces[&interface.id];
            let row = |address: Option<&IpAddr>, hold: Option<&Hold>| {
                let seen = facts.span.range().map_or(0, |(first, _)| first);
                let owner =
                    self.entity(self.interface_owner(place as u32, hold.map_or(seen, |hold| hold.from)));
                Row {
                    texts: vec![
                        Some(Arc::clone(&interface.id)),
                        address.map(|address| address.to_string().into()),
                        owner.kind.map(|kind| kind.name().into()),
                        owner.task_id.clone().filter(|_| facts.tasks.len() == 1),
                        owner.service.clone(),
                        owner.instance_id.clone(),
                        facts.resource.get().cloned(),
                        self.vpc(facts.vpc.get(), facts.subnet.get()),
                        facts.subnet.get().cloned(),
                        facts.account.get().cloned(),
                        facts.region.get().cloned(),
                    ],
                    from: hold
                        .map(|hold| hold.can_from)
                        .or(facts.span.valid_from)
                        .or(Some(seen)),
                    to: hold.and_then(end_of).or(facts.span.valid_to),
                    seen: facts.span.seen.clone(),
                    certainty: match hold.is_some_and(|hold| hold.ended)
                        && both_begin(facts.span.valid_from, hold)
                    {
                        true => Certainty::Certain,
                        false => Certainty::Likely,
                    },
                    method: joined(&facts.methods),
                }
            };
            let mut addressless = true;
            for address in &interface.addresses {
                let holds = self
                    .addresses
                    .get(address)
                    .into_iter()
                    .flat_map(|holds| holds.all());
                for hold in holds.filter(|hold| hold.owner == place as u32) {
                    rows.push(row(Some(address), Some(hold)));
                    addressless = false;
                }
            }
            if addressless {
                rows.push(row(None, None));
            }
        }
        batch(ENI_HISTORY_COLUMNS, rows)
    }

    /// The table `own_addresses`: one row for each address and each that had it.
    pub fn own_addresses(&self) -> RecordBatch {
        let mut rows = Vec::new();
        for (address, holds) in &self.addresses {
            for hold in holds.all() {
                let interface = &self.interfaces[hold.owner as usize];
                let facts = &self.facts.interfaces[&interface.id];
                let owner = self.entity(self.interface_owner(hold.owner, hold.from));
                rows.push(Row {
                    texts: vec![
                        Some(address.to_string().into()),
                        Some("private".into()),
                        owner.kind.map(|kind| kind.name().into()),
                        Some(Arc::clone(&interface.id)),
                        facts.resource.get().cloned(),
                        self.vpc(facts.vpc.get(), facts.subnet.get()),
                        facts.account.get().cloned(),
                        facts.region.get().cloned(),
                    ],
                    from: Some(hold.can_from),
                    to: end_of(hold),
                    seen: facts.span.seen.clone(),
                    certainty: match hold.ended && both_begin(facts.span.valid_from, Some(hold)) {
                        true => Certainty::Certain,
                        false => Certainty::Likely,
                    },
                    method: joined(&facts.methods),
                });
            }
        }
        for address in self.public.keys() {
            let facts = self.facts.public.get(address).cloned().unwrap_or_default();
            let seen = facts.span.range().map_or(0, |(first, _)| first);
            let owner = self.address_at(*address, None, facts.span.valid_from.unwrap_or(seen));
            let (span, methods) = match facts.span.seen.is_some() {
                true => (facts.span.clone(), facts.methods.clone()),
                false => self.span_of_public(*address),
            };
            rows.push(Row {
                texts: vec![
                    Some(address.to_string().into()),
                    Some("public".into()),
                    self.entity(owner.entity)
                        .kind
                        .map(|kind: Kind| kind.name().into()),
                    facts.interface.get().cloned(),
                    facts.resource.get().cloned(),
                    None,
                    facts.account.get().cloned(),
                    facts.region.get().cloned(),
                ],
                from: span.valid_from.or(span.range().map(|(first, _)| first)),
                to: span.valid_to,
                certainty: both_ends(&span),
                seen: span.seen,
                method: joined(&methods),
            });
        }
        batch(OWN_ADDRESSES_COLUMNS, rows)
    }

    /// The table `role_sessions`: one row a session.
    pub fn role_sessions(&self) -> RecordBatch {
        let nobody = Entity::default();
        let rows = self.facts.sessions.iter().map(|(key, facts)| {
            let answer = self.sessions.get(key);
            let owner = answer.map_or(&nobody, |answer| self.entity(answer.entity));
            Row {
                texts: vec![
                    key[0].clone(),
                    facts.name.get().cloned(),
                    facts.role.get().cloned(),
                    facts.account.get().cloned(),
                    joined(&facts.issuers),
                    facts.delivery.get().cloned(),
                    owner.task_id.clone(),
                    owner.service.clone(),
                    owner.instance_id.clone(),
                ],
                from: facts
                    .span
                    .valid_from
                    .or(facts.span.range().map(|(first, _)| first)),
                to: facts.span.valid_to,
                seen: facts.span.seen.clone(),
                certainty: answer.map_or(Certainty::Unknown, |answer| answer.certainty),
                method: answer.map(|answer| answer.method.name().into()),
            }
        });
        batch(ROLE_SESSIONS_COLUMNS, rows.collect())
    }

    fn interface_owner(&self, place: u32, time: i64) -> u32 {
        let id = &self.interfaces[place as usize].id;
        self.interface_at(id, time).map_or(0, |answer| answer.entity)
    }

    fn vpc(&self, vpc: Option<&Arc<str>>, subnet: Option<&Arc<str>>) -> Option<Arc<str>> {
        let known = || self.facts.subnets.get(subnet?)?.get().cloned();
        vpc.cloned().or_else(known)
    }

    /// Span and methods of the interfaces that have this public address.
    fn span_of_public(&self, address: IpAddr) -> (Span, BTreeSet<Arc<str>>) {
        let mut interfaces: Vec<_> = self
            .facts
            .interfaces
            .iter()
            .filter(|(_, facts)| facts.public.contains(&address))
            .collect();
        interfaces.sort_by_key(|(id, _)| Arc::clone(id));
        interfaces
            .first()
            .map(|(_, facts)| (facts.span.clone(), facts.methods.clone()))
            .unwrap_or_default()
    }
}

/// Whether a record tells when it began, and not only a sighting.
fn both_begin(valid_from: Option<i64>, hold: Option<&Hold>) -> bool {
    valid_from.is_some() || hold.is_some_and(|hold| hold.can_from < hold.from)
}
