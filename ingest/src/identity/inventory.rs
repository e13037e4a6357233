//! Claims of an inventory file: what the user knows of addresses and interfaces.

use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field as ArrowField, Schema};

use super::claim::{About, Claim, Field, Texts};
use super::claims::{Claims, Origins};
use super::ecs::{last_part, time_of};

/// Columns of an inventory file with their meaning. All but the first may be left out.
pub const INVENTORY_COLUMNS: &[(&str, &str)] = &[
    ("address", "Private or public address."),
    ("interface_id", "Network interface that has it."),
    ("account_id", "Account of the interface."),
    ("region", "Region of the interface."),
    (
        "vpc_id",
        "VPC of the interface. Without it an address answers at most `likely`.",
    ),
    ("subnet_id", "Subnet of the interface."),
    (
        "interface_type",
        "`nat_gateway`, `vpc_endpoint`, `network_load_balancer` or another, as in flow logs.",
    ),
    ("instance_id", "EC2 instance."),
    ("task_id", "ECS task, or its ARN."),
    ("cluster", "Cluster of the task, or its ARN."),
    ("service", "Service of the task."),
    ("task_definition_arn", "Task definition of the task."),
    ("role_arn", "Role of the task."),
    ("resource_id", "NAT gateway, VPC endpoint or load balancer."),
    (
        "valid_from",
        "When it began to hold, ISO 8601 with an offset or `Z`. Empty: always.",
    ),
    ("valid_to", "When it ceased to hold. Empty: it still does."),
];

/// The same, by name.
pub(super) const COLUMNS: &[&str] = &[
    "address",
    "interface_id",
    "account_id",
    "region",
    "vpc_id",
    "subnet_id",
    "interface_type",
    "instance_id",
    "task_id",
    "cluster",
    "service",
    "task_definition_arn",
    "role_arn",
    "resource_id",
    "valid_from",
    "valid_to",
];

/// Far enough back that all logs are later: 1970.
const ALWAYS: i64 = 0;

/// The last second of the year 9999.
pub(super) const FOREVER: i64 = 253_402_300_799_000_000;

/// Adds what the rows of an inventory claim. Columns may be of any type that reads as text.
pub(super) fn see(batch: &RecordBatch, claims: &mut Claims) {
    let batch = &as_text(batch);
    let columns = COLUMNS.map_each(batch);
    let mut origins = Origins::new(batch);
    for row in 0..batch.num_rows() {
        let text = |name: &str| {
            let place = COLUMNS.iter().position(|other| *other == name)?;
            columns[place]
                .at(row)
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        let time = |name: &str| text(name).and_then(time_of);
        let (from, to) = (time("valid_from"), time("valid_to"));
        let first = from.unwrap_or(ALWAYS);
        let seen = origins.seen(row, first, to.unwrap_or(FOREVER).max(first));
        let task = text("task_id").and_then(last_part);
        let claim = |about| {
            let mut claim = Claim::new(about, "inventory")
                .with(Field::Account, text("account_id"))
                .with(Field::Region, text("region"));
            (claim.valid_from, claim.valid_to) = (Some(first), to);
            claim
        };
        if let Some(task) = task {
            let claim = claim(About::Task)
                .with(Field::Task, Some(task))
                .with(Field::Cluster, text("cluster").and_then(last_part))
                .with(Field::Service, text("service"))
                .with(Field::TaskDefinition, text("task_definition_arn"))
                .with(Field::Role, text("role_arn"))
                .with(Field::Subnet, text("subnet_id"))
                .with(Field::Interface, text("interface_id"));
            claims.add(claim, seen.clone());
        }
        // An interface's own address of version 6 is a global one.
        let is_inside = text("interface_id").is_some() || task.is_some();
        let public = text("address")
            .and_then(|address| address.parse().ok())
            .is_some_and(|address: IpAddr| match address {
                IpAddr::V6(_) if is_inside => false,
                address => !super::entity::is_private(address),
            });
        let (address, public_address) = match public {
            true => (None, text("address")),
            false => (text("address"), None),
        };
        let about = match public {
            true => About::Address,
            false => About::Interface,
        };
        let claim = claim(about)
            .with(Field::Address, address)
            .with(Field::PublicAddress, public_address)
            .with(Field::Interface, text("interface_id"))
            .with(Field::InterfaceType, text("interface_type"))
            .with(Field::Vpc, text("vpc_id"))
            .with(Field::Subnet, text("subnet_id"))
            .with(Field::Instance, text("instance_id"))
            .with(Field::Task, task)
            .with(Field::Resource, text("resource_id"));
        claims.add(claim, seen);
    }
}

trait MapEach {
    fn map_each<'a>(&self, batch: &'a RecordBatch) -> Vec<Texts<'a>>;
}

impl MapEach for [&str] {
    fn map_each<'a>(&self, batch: &'a RecordBatch) -> Vec<Texts<'a>> {
        self.iter().map(|name| Texts::new(batch, name)).collect()
    }
}

/// The known columns as text; times as ISO 8601.
fn as_text(batch: &RecordBatch) -> RecordBatch {
    let (mut fields, mut columns): (Vec<ArrowField>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let text = match column.data_type() {
            DataType::Int64 if field.name() == "_line" => Ok(Arc::clone(column)),
            DataType::Timestamp(..) => cast(column, &crate::column::timestamp_type()).map(|times| {
                let times = times.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
                let texts: arrow::array::StringViewArray = times
                    .iter()
                    .map(|time| Some(chrono::DateTime::from_timestamp_micros(time?)?.to_rfc3339()))
                    .collect();
                Arc::new(texts) as ArrayRef
            }),
            _ => cast(column, &DataType::Utf8View),
        };
        if let Ok(text) = text {
            fields.push(ArrowField::new(field.name(), text.data_type().clone(), true));
            columns.push(text);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap_or_else(|_| batch.slice(0, 0))
}
