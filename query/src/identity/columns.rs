//! The columns that identity adds to each table, and how a batch of them is made.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int32Type, TimestampMicrosecondType};
use datafusion::common::Result;
use trailhound_ingest::identity::{Answer, ENTITY_COLUMNS, FlowColumns, Recall};

use super::resolved::Resolved;
use crate::dictionaries::dictionary_type;

/// Columns that `vpc_flow_identified` adds, with their meaning.
pub const FLOW_COLUMNS: &[(&str, &str)] = &[
    ("src_task_id", "ECS task that had the source address."),
    ("src_service", "Service of that task."),
    ("src_cluster", "Cluster of that task."),
    (
        "src_task_definition",
        "Task definition of that task, `family:revision`.",
    ),
    ("src_image", "Images of that task."),
    ("src_role", "Role of that task."),
    (
        "src_instance_id",
        "EC2 instance that had the source address, or that the task ran on.",
    ),
    (
        "src_kind",
        "What had the source address: `task`, `instance`, `shared`, `nat`, `endpoint`, `load_balancer`, `interface`, `aws_service`, `private`, `public`.",
    ),
    (
        "src_certainty",
        "How sure that is: `certain`, `likely`, `ambiguous`, `unknown`.",
    ),
    ("src_method", "Why."),
    ("dst_task_id", "ECS task that had the destination address."),
    ("dst_service", "Service of that task."),
    ("dst_cluster", "Cluster of that task."),
    (
        "dst_task_definition",
        "Task definition of that task, `family:revision`.",
    ),
    ("dst_image", "Images of that task."),
    ("dst_role", "Role of that task."),
    (
        "dst_instance_id",
        "EC2 instance that had the destination address, or that the task ran on.",
    ),
    ("dst_kind", "What had the destination address."),
    ("dst_certainty", "How sure that is."),
    ("dst_method", "Why."),
    ("initiator", "Which side started the connection: `src` or `dst`."),
    (
        "initiator_method",
        "How that is known: `tcp_flags`, or guessed by `ports`.",
    ),
];

/// Columns that `cloudtrail_identified` adds, with their meaning.
pub const CLOUDTRAIL_COLUMNS: &[(&str, &str)] = &[
    ("session_task_id", "ECS task whose session made the call."),
    ("session_service", "Service of that task."),
    ("session_instance_id", "EC2 instance whose session made the call."),
    ("session_role", "Role of the session."),
    ("session_certainty", "How sure it is whose session it was."),
    ("session_method", "Why."),
    (
        "source_kind",
        "Where the call came from: `own`, `nat`, `endpoint`, `aws_service`, `foreign`, `unknown`.",
    ),
    ("source_method", "Why."),
];

/// Columns that `container_logs_identified` adds, with their meaning.
pub const CONTAINER_LOGS_COLUMNS: &[(&str, &str)] = &[
    ("task_service", "Service of the task that wrote."),
    ("task_cluster", "Cluster of that task."),
    (
        "task_definition",
        "Task definition of that task, `family:revision`.",
    ),
    ("task_image", "Images of that task."),
    ("task_certainty", "How sure it is which task it was."),
    ("task_method", "Why."),
];

/// All columns that identity adds to some table.
pub(super) fn all() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    FLOW_COLUMNS
        .iter()
        .chain(CLOUDTRAIL_COLUMNS)
        .chain(CONTAINER_LOGS_COLUMNS)
}

/// Columns of one side of a flow record: those of the entity, certainty and method.
const SIDE: usize = ENTITY_COLUMNS.len() + 2;
const INITIATOR: usize = 2 * SIDE;

/// Columns of a flow record that tell who its sides were.
const FLOW_SIDES: &[&str] = &[
    "event_time",
    "interface_id",
    "srcaddr",
    "dstaddr",
    "flow_direction",
    "vpc_id",
    "ecs_task_id",
    "pkt_src_aws_service",
    "pkt_dst_aws_service",
];

/// Ports from here on are handed out to clients, by default of Linux.
const EPHEMERAL_FROM: i32 = 32_768;

const SYN: i32 = 2;
const SYN_ACK: i32 = 18;

/// The logs that can be identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logs {
    Flows,
    Calls,
    Lines,
}

impl Logs {
    /// The logs of this format; none if they cannot be identified.
    pub fn of(format: &str) -> Option<Logs> {
        match format {
            "vpc_flow" => Some(Logs::Flows),
            "cloudtrail" => Some(Logs::Calls),
            "container_logs" => Some(Logs::Lines),
            _ => None,
        }
    }

    /// The columns that identity adds to them.
    pub fn columns(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Logs::Flows => FLOW_COLUMNS,
            Logs::Calls => CLOUDTRAIL_COLUMNS,
            Logs::Lines => CONTAINER_LOGS_COLUMNS,
        }
    }

    /// Columns of the table that these columns of identity are made from.
    pub fn needs(self, asked: &[usize]) -> impl Iterator<Item = &'static str> {
        let any = |wanted: std::ops::Range<usize>| asked.iter().any(|column| wanted.contains(column));
        let groups: [&'static [&'static str]; 2] = match self {
            Logs::Flows => [
                match any(0..INITIATOR) {
                    true => FLOW_SIDES,
                    false => &[],
                },
                match any(INITIATOR..INITIATOR + 2) {
                    true => &["protocol", "tcp_flags", "srcport", "dstport"],
                    false => &[],
                },
            ],
            Logs::Calls => [
                match any(0..6) {
                    true => &[
                        "principal_type",
                        "access_key_id",
                        "account_id",
                        "role_arn",
                        "session_name",
                    ],
                    false => &[],
                },
                match any(6..8) {
                    true => &["event_time", "source_ip_address", "vpc_endpoint_id"],
                    false => &[],
                },
            ],
            Logs::Lines => [&["event_time", "task_id"], &[]],
        };
        groups.into_iter().flatten().copied()
    }

    /// Columns that [`Logs::compute`] takes as dictionaries as well, where they are texts.
    pub fn dictionaries(self) -> &'static [&'static str] {
        match self {
            Logs::Flows => FLOW_SIDES,
            Logs::Calls | Logs::Lines => &[],
        }
    }

    /// These columns of identity for the records of a batch.
    ///
    /// # Errors
    /// A column of the batch is of another type than its format has.
    pub fn compute(
        self,
        batch: &RecordBatch,
        asked: &[usize],
        resolved: &Resolved,
        recall: &mut Recall,
    ) -> Result<Vec<ArrayRef>> {
        match self {
            Logs::Flows => flows(batch, asked, resolved, recall),
            Logs::Calls => calls(batch, asked, resolved),
            Logs::Lines => lines(batch, asked, resolved),
        }
    }
}

/// A column that may be missing.
struct Texts(Option<StringViewArray>);

impl Texts {
    fn new(batch: &RecordBatch, name: &str) -> Result<Self> {
        let Some(column) = batch.column_by_name(name) else {
            return Ok(Texts(None));
        };
        let column = match column.data_type() {
            DataType::Utf8View => Arc::clone(column),
            _ => cast(column, &DataType::Utf8View)?,
        };
        Ok(Texts(Some(column.as_string_view().clone())))
    }

    fn at(&self, row: usize) -> Option<&str> {
        let column = self.0.as_ref()?;
        column.is_valid(row).then(|| column.value(row))
    }
}

/// A column that may be missing, as `Utf8View` or as the dictionary that it is.
fn texts_or_dictionary(batch: &RecordBatch, name: &str) -> Result<Option<ArrayRef>> {
    let column = batch.column_by_name(name);
    let column = column.map(|column| match column.data_type() {
        DataType::Utf8View => Ok(Arc::clone(column)),
        other if *other == dictionary_type() => Ok(Arc::clone(column)),
        _ => cast(column, &DataType::Utf8View),
    });
    Ok(column.transpose()?)
}

fn times(batch: &RecordBatch) -> Option<&TimestampMicrosecondArray> {
    let column = batch.column_by_name("event_time")?;
    column.as_primitive_opt::<TimestampMicrosecondType>()
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a Int32Array> {
    batch.column_by_name(name)?.as_primitive_opt::<Int32Type>()
}

fn number(column: Option<&Int32Array>, row: usize) -> Option<i32> {
    column.and_then(|column| column.is_valid(row).then(|| column.value(row)))
}

/// Answers for the rows of a batch.
struct Answers(Vec<Option<Answer>>);

impl Answers {
    fn with_capacity(rows: usize) -> Self {
        Answers(Vec::with_capacity(rows))
    }

    fn push(&mut self, answer: Option<Answer>) {
        self.0.push(answer);
    }

    /// A column of [`ENTITY_COLUMNS`], then certainty, then method.
    fn column(&self, column: usize, resolved: &Resolved) -> Result<ArrayRef> {
        let places = |place: fn(&Answer) -> u32| -> UInt32Array {
            self.0.iter().map(|answer| answer.as_ref().map(place)).collect()
        };
        let (values, places) = match column.checked_sub(ENTITY_COLUMNS.len()) {
            // Nobody is the first of them.
            None => {
                let places = self
                    .0
                    .iter()
                    .map(|answer| answer.map_or(0, |answer| answer.entity));
                (&resolved.entities[column], UInt32Array::from_iter_values(places))
            }
            Some(0) => (&resolved.certainties, places(|answer| answer.certainty as u32)),
            Some(_) => (&resolved.methods, places(|answer| answer.method as u32)),
        };
        Ok(take(values, &places, None)?)
    }
}

/// The place of a column in [`ENTITY_COLUMNS`].
fn entity_column(name: &str) -> usize {
    ENTITY_COLUMNS
        .iter()
        .position(|other| *other == name)
        .unwrap_or(0)
}

const CERTAINTY: usize = ENTITY_COLUMNS.len();
const METHOD: usize = CERTAINTY + 1;

fn flows(
    batch: &RecordBatch,
    asked: &[usize],
    resolved: &Resolved,
    recall: &mut Recall,
) -> Result<Vec<ArrayRef>> {
    let rows = batch.num_rows();
    let (mut sources, mut targets) = (Answers::with_capacity(rows), Answers::with_capacity(rows));
    if asked.iter().any(|column| *column < INITIATOR) {
        let text = |name| texts_or_dictionary(batch, name);
        let (interface, vpc, task) = (text("interface_id")?, text("vpc_id")?, text("ecs_task_id")?);
        let (source, target, direction) = (text("srcaddr")?, text("dstaddr")?, text("flow_direction")?);
        let (source_range, target_range) = (text("pkt_src_aws_service")?, text("pkt_dst_aws_service")?);
        match times(batch) {
            Some(time) => recall.sides(
                &resolved.ledger,
                &FlowColumns {
                    time,
                    interface: interface.as_ref(),
                    source: source.as_ref(),
                    target: target.as_ref(),
                    direction: direction.as_ref(),
                    vpc: vpc.as_ref(),
                    task: task.as_ref(),
                    source_range: source_range.as_ref(),
                    target_range: target_range.as_ref(),
                },
                |sides| {
                    sources.push(sides.source);
                    targets.push(sides.target);
                },
            ),
            None => (0..rows).for_each(|_| {
                sources.push(None);
                targets.push(None);
            }),
        }
    }
    let initiators: Vec<(Option<&str>, Option<&str>)> = match asked.iter().any(|column| *column >= INITIATOR)
    {
        true => initiators(batch),
        false => Vec::new(),
    };
    asked
        .iter()
        .map(|&column| match column {
            column if column < SIDE => sources.column(column, resolved),
            column if column < INITIATOR => targets.column(column - SIDE, resolved),
            INITIATOR => Ok(texts(initiators.iter().map(|(side, _)| *side))),
            _ => Ok(texts(initiators.iter().map(|(_, method)| *method))),
        })
        .collect()
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}

/// Who started each record's connection, and how that is known.
fn initiators(batch: &RecordBatch) -> Vec<(Option<&'static str>, Option<&'static str>)> {
    let column = |name| numbers(batch, name);
    let (protocols, flags) = (column("protocol"), column("tcp_flags"));
    let (from, to) = (column("srcport"), column("dstport"));
    (0..batch.num_rows())
        .map(|row| {
            initiator(
                number(protocols, row),
                number(flags, row),
                number(from, row).zip(number(to, row)),
            )
        })
        .collect()
}

fn initiator(
    protocol: Option<i32>,
    flags: Option<i32>,
    ports: Option<(i32, i32)>,
) -> (Option<&'static str>, Option<&'static str>) {
    let by_flags = match flags {
        Some(flags) if flags & SYN_ACK == SYN_ACK => Some("dst"),
        Some(flags) if flags & SYN == SYN => Some("src"),
        _ => None,
    };
    if by_flags.is_some() && protocol == Some(6) {
        return (by_flags, Some("tcp_flags"));
    }
    // Only TCP and UDP have ports, and only a port of each kind tells a side.
    let by_ports = match (protocol, ports) {
        (Some(6 | 17), Some((from, to))) if from >= EPHEMERAL_FROM && to < EPHEMERAL_FROM => Some("src"),
        (Some(6 | 17), Some((from, to))) if from < EPHEMERAL_FROM && to >= EPHEMERAL_FROM => Some("dst"),
        _ => None,
    };
    (by_ports, by_ports.map(|_| "ports"))
}

fn calls(batch: &RecordBatch, asked: &[usize], resolved: &Resolved) -> Result<Vec<ArrayRef>> {
    let rows = batch.num_rows();
    let text = |name| Texts::new(batch, name);
    let mut answers = Answers::with_capacity(rows);
    let (kinds, keys, accounts) = (
        text("principal_type")?,
        text("access_key_id")?,
        text("account_id")?,
    );
    let (roles, names) = (text("role_arn")?, text("session_name")?);
    let is_session = |row| kinds.at(row) == Some("AssumedRole");
    if asked.iter().any(|column| *column < 6) {
        for row in 0..rows {
            let session = is_session(row).then(|| {
                resolved
                    .ledger
                    .session(keys.at(row), accounts.at(row), roles.at(row), names.at(row))
            });
            answers.push(session.flatten());
        }
    }
    let (mut source_kinds, mut source_methods) = (StringViewBuilder::new(), StringViewBuilder::new());
    if asked.iter().any(|column| *column >= 6) {
        let (sources, endpoints) = (text("source_ip_address")?, text("vpc_endpoint_id")?);
        let times = times(batch);
        for row in 0..rows {
            let time = times.map_or(0, |times| times.value(row));
            let (kind, method) = resolved
                .ledger
                .call_source(sources.at(row), endpoints.at(row), time);
            source_kinds.append_value(kind);
            source_methods.append_value(method.name());
        }
    }
    let source: [ArrayRef; 2] = [Arc::new(source_kinds.finish()), Arc::new(source_methods.finish())];
    asked
        .iter()
        .map(|&column| match CLOUDTRAIL_COLUMNS[column].0 {
            "session_task_id" => answers.column(entity_column("task_id"), resolved),
            "session_service" => answers.column(entity_column("service"), resolved),
            "session_instance_id" => answers.column(entity_column("instance_id"), resolved),
            "session_role" => Ok(texts(
                (0..rows).map(|row| roles.at(row).filter(|_| is_session(row))),
            )),
            "session_certainty" => answers.column(CERTAINTY, resolved),
            "session_method" => answers.column(METHOD, resolved),
            "source_kind" => Ok(Arc::clone(&source[0])),
            _ => Ok(Arc::clone(&source[1])),
        })
        .collect()
}

fn lines(batch: &RecordBatch, asked: &[usize], resolved: &Resolved) -> Result<Vec<ArrayRef>> {
    let (tasks, times) = (Texts::new(batch, "task_id")?, times(batch));
    let mut answers = Answers::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let time = times.map_or(0, |times| times.value(row));
        answers.push(tasks.at(row).map(|task| resolved.ledger.task(task, time)));
    }
    asked
        .iter()
        .map(|&column| match CONTAINER_LOGS_COLUMNS[column].0 {
            "task_service" => answers.column(entity_column("service"), resolved),
            "task_cluster" => answers.column(entity_column("cluster"), resolved),
            "task_definition" => answers.column(entity_column("task_definition"), resolved),
            "task_image" => answers.column(entity_column("image"), resolved),
            "task_certainty" => answers.column(CERTAINTY, resolved),
            _ => answers.column(METHOD, resolved),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_tell_who_began_and_ports_are_a_guess() {
        let tcp = |flags, ports| initiator(Some(6), flags, Some(ports));
        let (flags, ports) = (Some("tcp_flags"), Some("ports"));
        assert_eq!(tcp(Some(2), (443, 50_000)), (Some("src"), flags));
        assert_eq!(tcp(Some(3), (50_000, 443)), (Some("src"), flags));
        assert_eq!(tcp(Some(19), (443, 50_000)), (Some("dst"), flags));
        assert_eq!(tcp(Some(0), (443, 50_000)), (Some("dst"), ports));
        assert_eq!(tcp(None, (50_000, 443)), (Some("src"), ports));
        assert_eq!(tcp(None, (50_000, 50_001)), (None, None));
        assert_eq!(initiator(Some(1), None, Some((0, 0))), (None, None));
        assert_eq!(
            initiator(Some(17), Some(2), Some((40_000, 53))),
            (Some("src"), ports)
        );
    }

    #[test]
    fn columns_of_a_side_are_those_of_an_entity() {
        for (side, names) in [
            ("src_", &FLOW_COLUMNS[..SIDE]),
            ("dst_", &FLOW_COLUMNS[SIDE..INITIATOR]),
        ] {
            let expected: Vec<String> = ENTITY_COLUMNS
                .iter()
                .chain(&["certainty", "method"])
                .map(|name| format!("{side}{name}"))
                .collect();
            let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, expected);
        }
    }
}
