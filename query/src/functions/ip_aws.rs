//! `ip_aws_service(address)` and `ip_aws_region(address)`

use arrow::array::ArrayRef;
use datafusion::common::Result;

use super::address::parse_address;
use super::{Arguments, Body, Function, Group, Type, external, text};
use crate::enrichment::{AwsRange, Enrichment};

/// See [`Function::about`].
pub const SERVICE: Function = Function {
    name: "ip_aws_service",
    group: Group::Enrichment,
    arguments: &[text("address")],
    gives: Type::Text,
    about: "The AWS service that an address belongs to, such as S3, EC2 or CLOUDFRONT, by AWS's `ip-ranges.json` \
            (`aws_ranges`). The narrowest range counts; AMAZON where AWS names no service in particular. EC2 is also \
            what anyone can rent. NULL if the address is not one of AWS, and without the file.",
    example: ("ip_aws_service('3.5.140.1')", "S3"),
    body: Body::Enriched(|arguments, enrichment| find(arguments, enrichment, |range| &range.service)),
};

/// See [`Function::about`].
pub const REGION: Function = Function {
    name: "ip_aws_region",
    group: Group::Enrichment,
    arguments: &[text("address")],
    gives: Type::Text,
    about: "The Region of an address of AWS by the same file, or GLOBAL.",
    example: ("ip_aws_region('3.5.140.1')", "ap-northeast-2"),
    body: Body::Enriched(|arguments, enrichment| find(arguments, enrichment, |range| &range.region)),
};

fn find(arguments: &Arguments, enrichment: &Enrichment, part: fn(&AwsRange) -> &String) -> Result<ArrayRef> {
    let (address, ranges) = (arguments.text(0), enrichment.aws_ranges().map_err(external)?);
    Ok(arguments.to_text(|row| ranges?.find(parse_address(address.at(row)?)?).map(part)))
}
