//! One claim: what one record, or several alike, says about an address, an
//! interface, a task or a session; and the table `identity_claims`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Builder, RecordBatch, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{
    DataType, Field as ArrowField, Int64Type, Schema, SchemaRef, TimestampMicrosecondType,
};

use crate::column::{TIMESTAMP, timestamp_type};

/// The text columns of a claim, by their place in [`Claim::texts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Field {
    /// Account that owns it.
    Account,
    /// Region that it is in.
    Region,
    /// VPC of the interface.
    Vpc,
    /// Subnet of the interface.
    Subnet,
    /// Network interface.
    Interface,
    /// Kind of interface.
    InterfaceType,
    /// Private address.
    Address,
    /// Second candidate for the address, if one record cannot tell which is the interface's.
    OtherAddress,
    /// Public address.
    PublicAddress,
    /// Allocation of an Elastic IP address.
    Allocation,
    /// NAT gateway, VPC endpoint or load balancer.
    Resource,
    /// Task id.
    Task,
    /// Name of the cluster.
    Cluster,
    /// Name of the service.
    Service,
    /// ARN of the task definition with its revision.
    TaskDefinition,
    /// Image of a container.
    Image,
    /// Digest of a container's image.
    ImageDigest,
    /// Name of a container in the task.
    Container,
    /// Role: of the task, the instance or the session.
    Role,
    /// What the task runs on.
    LaunchType,
    /// Container instance that the task runs on.
    ContainerInstance,
    /// EC2 instance.
    Instance,
    /// Access key of a session.
    AccessKey,
    /// Name of a session.
    SessionName,
    /// Who opened the session: a service, or the ARN of a principal.
    IssuedBy,
    /// Version of the instance metadata service that gave the session out.
    RoleDelivery,
}

/// Number of text columns.
pub const FIELDS: usize = 26;

/// Columns of `identity_claims` with their meaning, in order.
pub const CLAIM_COLUMNS: &[(&str, &str)] = &[
    ("event_time", "Earliest moment at which the records say so."),
    (
        "claim",
        "What it is about: `task`, `interface`, `address`, `session`, `definition` or `container_instance`.",
    ),
    ("method", "Which log, and which call of it, says so."),
    ("account_id", "Account that owns it."),
    ("region", "Region that it is in."),
    ("vpc_id", "VPC of the interface."),
    ("subnet_id", "Subnet of the interface."),
    ("interface_id", "Network interface."),
    ("interface_type", "Kind of interface, as the log names it."),
    ("address", "Private address of the interface or the task."),
    (
        "other_address",
        "Second candidate, where the record does not tell which of two addresses is the interface's.",
    ),
    ("public_address", "Public address."),
    ("allocation_id", "Allocation of the Elastic IP address."),
    ("resource_id", "NAT gateway, VPC endpoint or load balancer."),
    ("task_id", "ECS task."),
    ("cluster", "Name of its cluster."),
    ("service", "Name of its service."),
    ("task_definition_arn", "Task definition with its revision."),
    ("image", "Image of one of its containers: a claim for each."),
    ("image_digest", "Digest of that image."),
    ("container_name", "Name of that container."),
    ("role_arn", "Role of the task, the instance or the session."),
    ("launch_type", "What the task runs on."),
    (
        "container_instance_arn",
        "Container instance that the task runs on.",
    ),
    ("instance_id", "EC2 instance."),
    ("access_key_id", "Access key of the session."),
    ("session_name", "Name of the session."),
    (
        "issued_by",
        "Who opened the session: a service, or the ARN of a principal.",
    ),
    (
        "ec2_role_delivery",
        "Version of the instance metadata service that gave the session out.",
    ),
    ("valid_from", "When it began to hold, if the record tells."),
    ("valid_to", "When it ceased to hold, if the record tells."),
    ("last_seen", "Latest moment at which the records say so."),
    ("_source", "Object of the earliest of these records."),
    ("_line", "Line or number of that record in its object."),
    ("_ingested_at", "When trailhound read it."),
];

/// Place of the first text column in the table.
const TEXTS_FROM: usize = 3;

/// Schema of the table `identity_claims`.
pub fn claims_schema() -> SchemaRef {
    let fields: Vec<ArrowField> = CLAIM_COLUMNS
        .iter()
        .map(|(name, _)| {
            let data_type = match *name {
                "event_time" | "valid_from" | "valid_to" | "last_seen" | "_ingested_at" => timestamp_type(),
                "_line" => DataType::Int64,
                _ => DataType::Utf8View,
            };
            ArrowField::new(*name, data_type, true)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// What a claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum About {
    /// A task: its names, its life, its interface.
    Task,
    /// An interface: its addresses, whom it is attached to.
    Interface,
    /// A public address of the account.
    Address,
    /// A role session.
    Session,
    /// A task definition: its role.
    Definition,
    /// Which EC2 instance a container instance is.
    ContainerInstance,
}

impl About {
    const ALL: &[(About, &str)] = &[
        (About::Task, "task"),
        (About::Interface, "interface"),
        (About::Address, "address"),
        (About::Session, "session"),
        (About::Definition, "definition"),
        (About::ContainerInstance, "container_instance"),
    ];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        About::ALL
            .iter()
            .find(|(about, _)| *about == self)
            .map_or("", |(_, name)| name)
    }

    fn named(name: &str) -> Option<About> {
        About::ALL
            .iter()
            .find(|(_, other)| *other == name)
            .map(|(about, _)| *about)
    }
}

/// What makes two claims the same, apart from when and where they were seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim<T = Box<str>> {
    /// What it is about.
    pub about: About,
    /// Which log, and which call of it, says so.
    pub method: T,
    /// The text columns, by [`Field`].
    pub texts: [Option<T>; FIELDS],
    /// When it began to hold, microseconds since the epoch.
    pub valid_from: Option<i64>,
    /// When it ceased to hold.
    pub valid_to: Option<i64>,
}

impl Claim {
    /// A claim without facts.
    pub fn new(about: About, method: &str) -> Self {
        Claim {
            about,
            method: method.into(),
            texts: Default::default(),
            valid_from: None,
            valid_to: None,
        }
    }

    /// The same claim with this fact; an empty text is none.
    pub fn with(mut self, field: Field, value: Option<&str>) -> Self {
        self.texts[field as usize] = value.filter(|value| !value.is_empty()).map(Box::from);
        self
    }
}

impl<T: AsRef<str>> Claim<T> {
    /// A fact.
    pub fn text(&self, field: Field) -> Option<&str> {
        self.texts[field as usize].as_ref().map(T::as_ref)
    }

    /// The same claim with texts of its own.
    pub fn owned(&self) -> Claim {
        Claim {
            about: self.about,
            method: self.method.as_ref().into(),
            texts: self
                .texts
                .each_ref()
                .map(|text| text.as_ref().map(|text| text.as_ref().into())),
            valid_from: self.valid_from,
            valid_to: self.valid_to,
        }
    }
}

/// When and where a claim was seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Earliest moment, microseconds since the epoch.
    pub first: i64,
    /// Object of the earliest record; of several at one time the least.
    pub source: Arc<str>,
    /// Line of that record.
    pub line: i64,
    /// Latest moment.
    pub last: i64,
}

impl Seen {
    /// Joins another sighting of the same claim. Order and repetition make no difference.
    pub fn join(&mut self, other: &Seen) {
        self.last = self.last.max(other.last);
        if (other.first, &other.source, other.line) < (self.first, &self.source, self.line) {
            (self.first, self.line) = (other.first, other.line);
            self.source = Arc::clone(&other.source);
        }
    }
}

/// The rows of `identity_claims` that these claims make.
pub(super) fn to_batch(claims: &[(&Claim, &Seen)], ingested_at: i64) -> RecordBatch {
    let texts = |text: &dyn Fn(&Claim) -> Option<&str>| -> ArrayRef {
        let mut builder = StringViewBuilder::new().with_deduplicate_strings();
        claims
            .iter()
            .for_each(|(claim, _)| builder.append_option(text(claim)));
        Arc::new(builder.finish())
    };
    let times = |time: &dyn Fn(&Claim, &Seen) -> Option<i64>| -> ArrayRef {
        let mut builder = TimestampMicrosecondBuilder::new().with_timezone(TIMESTAMP);
        claims
            .iter()
            .for_each(|(claim, seen)| builder.append_option(time(claim, seen)));
        Arc::new(builder.finish())
    };
    let mut lines = Int64Builder::new();
    let mut sources = StringViewBuilder::new().with_deduplicate_strings();
    for (_, seen) in claims {
        lines.append_value(seen.line);
        sources.append_value(&seen.source);
    }
    let mut columns: Vec<ArrayRef> = vec![
        times(&|_, seen| Some(seen.first)),
        texts(&|claim| Some(claim.about.name())),
        texts(&|claim| Some(&claim.method)),
    ];
    columns.extend((0..FIELDS).map(|field| texts(&|claim| claim.texts[field].as_deref())));
    columns.extend([
        times(&|claim, _| claim.valid_from),
        times(&|claim, _| claim.valid_to),
        times(&|_, seen| Some(seen.last)),
        Arc::new(sources.finish()) as ArrayRef,
        Arc::new(lines.finish()),
        times(&|_, _| Some(ingested_at)),
    ]);
    RecordBatch::try_new(claims_schema(), columns).expect("columns are built to this schema")
}

/// The claims of rows of `identity_claims`. Rows that tell no claim are left out.
pub(super) fn from_batch(batch: &RecordBatch) -> impl Iterator<Item = (Claim<&str>, Seen)> {
    let column = |name: &str| Texts::new(batch, name);
    let time = |name: &str| Times::new(batch, name);
    let (firsts, lasts) = (time("event_time"), time("last_seen"));
    let (froms, tos) = (time("valid_from"), time("valid_to"));
    let (abouts, methods, sources) = (column("claim"), column("method"), column("_source"));
    // Most columns say nothing.
    let texts: Vec<(usize, Texts<'_>)> = CLAIM_COLUMNS[TEXTS_FROM..TEXTS_FROM + FIELDS]
        .iter()
        .map(|(name, _)| column(name))
        .enumerate()
        .filter(|(_, texts)| texts.column().is_some())
        .collect();
    let lines = batch
        .column_by_name("_line")
        .and_then(|column| column.as_primitive_opt::<Int64Type>());
    let mut last_source: Arc<str> = Arc::from("");
    (0..batch.num_rows()).filter_map(move |row| {
        let about = About::named(abouts.at(row)?)?;
        let mut claim = Claim {
            about,
            method: methods.at(row).unwrap_or_default(),
            texts: [None; FIELDS],
            valid_from: froms.at(row),
            valid_to: tos.at(row),
        };
        for (field, values) in &texts {
            claim.texts[*field] = values.at(row);
        }
        let first = firsts.at(row)?;
        let source = sources.at(row).unwrap_or_default();
        if *last_source != *source {
            last_source = Arc::from(source);
        }
        let seen = Seen {
            first,
            last: lasts.at(row).unwrap_or(first).max(first),
            source: Arc::clone(&last_source),
            line: lines
                .filter(|lines| lines.is_valid(row))
                .map_or(0, |lines| lines.value(row)),
        };
        Some((claim, seen))
    })
}

/// A text column that may be missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'a>(Option<&'a StringViewArray>);

impl<'a> Texts<'a> {
    /// The column of this name.
    pub fn new(batch: &'a RecordBatch, name: &str) -> Self {
        Texts(
            batch
                .column_by_name(name)
                .and_then(|column| column.as_string_view_opt()),
        )
    }

    /// The column, if it is there and says anything.
    pub fn column(&self) -> Option<&'a StringViewArray> {
        self.0.filter(|column| column.null_count() < column.len())
    }

    /// The value in this row.
    pub fn at(&self, row: usize) -> Option<&'a str> {
        self.0
            .and_then(|column| column.is_valid(row).then(|| column.value(row)))
    }
}

/// A time column that may be missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times<'a>(Option<&'a TimestampMicrosecondArray>);

impl<'a> Times<'a> {
    /// The column of this name.
    pub fn new(batch: &'a RecordBatch, name: &str) -> Self {
        Times(
            batch
                .column_by_name(name)
                .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>()),
        )
    }

    /// Microseconds since the epoch in this row.
    pub fn at(&self, row: usize) -> Option<i64> {
        self.0
            .and_then(|column| column.is_valid(row).then(|| column.value(row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_give_the_claims_that_made_them() {
        let mut claim = Claim::new(About::Session, "vpc_flow");
        for (place, text) in claim.texts.iter_mut().enumerate() {
            *text = (place % 3 != 0).then(|| format!("value {place}").into());
        }
        claim.valid_to = Some(9);
        let seen = Seen {
            first: 1,
            last: 5,
            source: "a".into(),
            line: 7,
        };
        let rows = to_batch(&[(&claim, &seen)], 3);
        assert_eq!(rows.num_columns(), CLAIM_COLUMNS.len());
        let read: Vec<_> = from_batch(&rows)
            .map(|(claim, seen)| (claim.owned(), seen))
            .collect();
        assert_eq!(read, [(claim, seen)]);
    }
}
