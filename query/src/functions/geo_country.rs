//! `geo_country(address)`

use std::collections::HashMap;

use super::address::parse_address;
use super::{Body, Function, Group, Type, external, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "geo_country",
    group: Group::Enrichment,
    arguments: &[text("address")],
    gives: Type::Text,
    about: "The country of an address as two letters (ISO 3166-1), by a MaxMind database of countries or cities \
            (`geoip`): where it is used, or if that is unknown, where it is registered. An estimate. NULL if the \
            database does not know, and without one.",
    example: ("geo_country('81.2.69.160')", "GB"),
    body: Body::Enriched(|arguments, enrichment| {
        let (address, database) = (arguments.text(0), enrichment.geoip().map_err(external)?);
        // A look-up costs more than a hash, and logs name the same addresses again and again.
        let mut known: HashMap<&str, Option<&str>> = HashMap::new();
        Ok(arguments.to_text(|row| {
            let (database, address) = (database?, address.at(row)?);
            *known
                .entry(address)
                .or_insert_with(|| database.country(parse_address(address)?))
        }))
    }),
};
