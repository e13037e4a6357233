//! SQL functions: one file each, one line each in [`FUNCTIONS`].
//!
//! The reference page, the prompt's list and the tests of the examples are all
//! made from that list. NULL in gives NULL out, and so does a value that a
//! function cannot read: a bad value in one row never fails a query.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::AggregateUDF;
use datafusion::prelude::SessionContext;

use crate::enrichment::Enrichment;
use crate::error::Error;

mod address;
mod arguments;
mod count;
mod distinct_texts;
mod first_records;
mod groups;
mod scalar;
mod sketch;
mod sketch_aggregate;

mod arn_part;
mod base64_decode;
mod bit_count;
mod bowley_skew;
mod entropy;
mod evidence;
mod geo_country;
mod hour_of_week;
mod ip_as;
mod ip_aws;
mod ip_family;
mod ip_in_cidr;
mod ip_network;
mod ip_normalize;
mod ip_prefix;
mod is_private_ip;
mod json_any;
mod log_field;
mod luhn;
mod median_abs_dev;
mod percent_decode;
mod port_name;
mod protocol_name;
mod quantile_sketch;
mod robust_z;
mod role_name;
mod threat_list;
mod workload;

pub use address::parse_address;
pub use arguments::Arguments;
pub use evidence::EVIDENCE_RECORDS_MAX;
pub use sketch::{SKETCH_BUCKETS_MAX, Sketch};

/// Every function, in the order of the reference page.
pub const FUNCTIONS: &[&Function] = &[
    &is_private_ip::FUNCTION,
    &ip_in_cidr::FUNCTION,
    &ip_prefix::FUNCTION,
    &ip_family::FUNCTION,
    &ip_normalize::FUNCTION,
    &ip_aws::SERVICE,
    &ip_aws::REGION,
    &geo_country::FUNCTION,
    &ip_as::NUMBER,
    &ip_as::ORGANIZATION,
    &threat_list::NAME,
    &threat_list::AGE,
    &port_name::NAME,
    &port_name::NUMBER,
    &protocol_name::NAME,
    &protocol_name::NUMBER,
    &arn_part::FUNCTION,
    &role_name::FUNCTION,
    &percent_decode::FUNCTION,
    &base64_decode::FUNCTION,
    &entropy::FUNCTION,
    &luhn::FUNCTION,
    &log_field::FIELD,
    &log_field::COUNT,
    &json_any::FUNCTION,
    &hour_of_week::FUNCTION,
    &median_abs_dev::FUNCTION,
    &robust_z::FUNCTION,
    &bowley_skew::FUNCTION,
    &quantile_sketch::SKETCH,
    &quantile_sketch::MERGE,
    &quantile_sketch::QUANTILE,
    &quantile_sketch::COUNT,
    &quantile_sketch::MEDIAN_ABS_DEV,
    &bit_count::FUNCTION,
    &workload::FUNCTION,
    &ip_network::FUNCTION,
    &evidence::FUNCTION,
];

/// A function, with all that its page in the reference says.
#[derive(Debug)]
pub struct Function {
    /// Its name in SQL.
    pub name: &'static str,
    /// What it is about: the heading under which the reference has it.
    pub group: Group,
    /// Its arguments; the last ones may be optional.
    pub arguments: &'static [Argument],
    /// The type of its result.
    pub gives: Type,
    /// What it computes, for the reference page.
    pub about: &'static str,
    /// What can follow `SELECT`, and what it gives.
    pub example: (&'static str, &'static str),
    /// How it computes.
    pub body: Body,
}

impl Function {
    /// A call of it with the names of its arguments: `ip_in_cidr(address, cidr)`.
    pub fn call(&self) -> String {
        self.written(|argument| argument.name.to_owned())
    }

    /// The call with types: `ip_in_cidr(address text, cidr text) -> boolean`.
    pub fn signature(&self) -> String {
        let call = self.written(|argument| format!("{} {}", argument.name, argument.type_.name()));
        format!("{call} -> {}", self.gives.name())
    }

    /// Whether it computes one value from many rows.
    pub fn is_aggregate(&self) -> bool {
        matches!(self.body, Body::Aggregate(_))
    }

    fn written(&self, show: impl Fn(&Argument) -> String) -> String {
        let mut text = format!("{}(", self.name);
        for (number, argument) in self.arguments.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            match (argument.optional, number) {
                (true, 0) => text.push_str(&format!("[{}]", show(argument))),
                (true, _) => text.push_str(&format!(" [, {}]", show(argument))),
                (false, _) => text.push_str(&format!("{comma}{}", show(argument))),
            }
        }
        text.push(')');
        text
    }
}

/// The headings of the reference page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Addresses by themselves.
    Addresses,
    /// Addresses, by files that the user supplies.
    Enrichment,
    /// Numbers of flow logs by name.
    Ports,
    /// Names of AWS.
    Arns,
    /// Text and how it is hidden.
    Text,
    /// Lines and documents.
    Records,
    /// Times.
    Time,
    /// Statistics that outliers do not move.
    Statistics,
    /// What detections are made with.
    Detections,
}

impl Group {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Addresses => "Addresses",
            Group::Enrichment => "Addresses, by files of yours",
            Group::Ports => "Ports and protocols",
            Group::Arns => "ARNs",
            Group::Text => "Text",
            Group::Records => "Lines and documents",
            Group::Time => "Time",
            Group::Statistics => "Robust statistics",
            Group::Detections => "For detections",
        }
    }
}

/// An argument of a function.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Its name, for people.
    pub name: &'static str,
    /// Its type.
    pub type_: Type,
    /// Whether a call may leave it out.
    pub optional: bool,
}

impl Argument {
    /// An argument that every call has.
    pub const fn new(name: &'static str, type_: Type) -> Self {
        Argument {
            name,
            type_,
            optional: false,
        }
    }

    /// The same, but a call may leave it out.
    pub const fn optional(self) -> Self {
        Argument {
            optional: true,
            ..self
        }
    }
}

/// A text argument.
const fn text(name: &'static str) -> Argument {
    Argument::new(name, Type::Text)
}

/// A whole number as an argument.
const fn int(name: &'static str) -> Argument {
    Argument::new(name, Type::Int)
}

/// A number as an argument.
const fn double(name: &'static str) -> Argument {
    Argument::new(name, Type::Double)
}

/// The types of arguments and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Int,
    /// A number with a point.
    Double,
    /// True or false.
    Bool,
    /// A moment, in microseconds UTC.
    Time,
    /// A quantile sketch: bytes.
    Sketch,
    /// The records of `evidence`.
    Records,
}

impl Type {
    /// Its name in SQL, or what it is.
    pub fn name(self) -> &'static str {
        match self {
            Type::Text => "text",
            Type::Int => "bigint",
            Type::Double => "double",
            Type::Bool => "boolean",
            Type::Time => "timestamp",
            Type::Sketch => "binary",
            Type::Records => "list of structures",
        }
    }

    /// Its type in Arrow.
    pub fn arrow(self) -> DataType {
        match self {
            Type::Text => DataType::Utf8View,
            Type::Int => DataType::Int64,
            Type::Double => DataType::Float64,
            Type::Bool => DataType::Boolean,
            Type::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Type::Sketch => DataType::BinaryView,
            Type::Records => evidence::list_type(),
        }
    }
}

/// How a function computes.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// One value a row, from the arguments of the row.
    Scalar(fn(&Arguments) -> ArrayRef),
    /// One value a row, with files that the user supplied.
    Enriched(fn(&Arguments, &Enrichment) -> Result<ArrayRef>),
    /// One value a group of rows.
    Aggregate(fn() -> AggregateUDF),
}

/// An error of ours on its way through the engine.
fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Registers all functions of ours, without files, and those for JSON, in a session.
///
/// # Errors
/// Two functions share a name.
pub fn register_all(context: &mut SessionContext) -> Result<()> {
    register_with(context, &Arc::new(Enrichment::default()))
}

/// Like [`register_all`], with files about addresses.
///
/// # Errors
/// Two functions share a name.
pub fn register_with(context: &mut SessionContext, enrichment: &Arc<Enrichment>) -> Result<()> {
    datafusion_functions_json::register_all(context)?;
    context.register_udaf(count::count());
    for function in FUNCTIONS {
        match function.body {
            Body::Aggregate(make) => context.register_udaf(make()),
            Body::Scalar(_) | Body::Enriched(_) => {
                context.register_udf(scalar::udf(function, Arc::clone(enrichment)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    /// The engine knows an aggregate by the name that it gives itself.
    #[test]
    fn aggregates_have_the_name_of_their_entry() {
        for function in FUNCTIONS {
            if let Body::Aggregate(make) = function.body {
                assert_eq!(make().name(), function.name);
            }
        }
    }

    #[test]
    fn optional_arguments_come_last() {
        for function in FUNCTIONS {
            assert!(
                function.arguments.is_sorted_by_key(|argument| argument.optional),
                "{}",
                function.name
            );
        }
    }

    #[test]
    fn calls_and_signatures() {
        assert_eq!(port_name::NAME.call(), "port_name(port [, protocol])");
        assert_eq!(
            ip_in_cidr::FUNCTION.signature(),
            "ip_in_cidr(address text, cidr text) -> boolean"
        );
    }
}
