//! `ip_asn(address)` and `ip_as_org(address)`

use std::collections::HashMap;

use super::address::parse_address;
use super::{Body, Function, Group, Type, external, text};

/// See [`Function::about`].
pub const NUMBER: Function = Function {
    name: "ip_asn",
    group: Group::Enrichment,
    arguments: &[text("address")],
    gives: Type::Int,
    about: "The number of the autonomous system that announces an address, by a MaxMind database (`asn`). NULL if the \
            database does not know, and without one.",
    example: ("ip_asn('81.2.69.160')", "20712"),
    body: Body::Enriched(|arguments, enrichment| {
        let (address, database) = (arguments.text(0), enrichment.asn().map_err(external)?);
        // A look-up costs more than a hash, and logs name the same addresses again and again.
        let mut known: HashMap<&str, Option<i64>> = HashMap::new();
        Ok(arguments.to_int(|row| {
            let (database, address) = (database?, address.at(row)?);
            *known
                .entry(address)
                .or_insert_with(|| database.number(parse_address(address)?))
        }))
    }),
};

/// See [`Function::about`].
pub const ORGANIZATION: Function = Function {
    name: "ip_as_org",
    group: Group::Enrichment,
    arguments: &[text("address")],
    gives: Type::Text,
    about: "Who runs the autonomous system that announces an address, by the same database.",
    example: ("ip_as_org('81.2.69.160')", "Andrews & Arnold Ltd"),
    body: Body::Enriched(|arguments, enrichment| {
        let (address, database) = (arguments.text(0), enrichment.asn().map_err(external)?);
        let mut known: HashMap<&str, Option<&str>> = HashMap::new();
        Ok(arguments.to_text(|row| {
            let (database, address) = (database?, address.at(row)?);
            *known
                .entry(address)
                .or_insert_with(|| database.organization(parse_address(address)?))
        }))
    }),
};
