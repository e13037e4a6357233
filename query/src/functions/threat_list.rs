//! `threat_list(address)` and `threat_list_age_days(address)`

use std::net::IpAddr;

use super::address::parse_address;
use super::{Body, Function, Group, Type, external, text};
use crate::enrichment::ThreatList;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// See [`Function::about`].
pub const NAME: Function = Function {
    name: "threat_list",
    group: Group::Enrichment,
    arguments: &[text("address")],
    gives: Type::Text,
    about: "The name of the first threat list that holds an address (`threat_lists`, in their order): that of its \
            file without the ending. A list has an address, a network or a range at the start of each line; # and ; \
            begin comments. NULL if none holds it, and without lists.",
    example: ("threat_list('198.51.100.7')", "tor-exits"),
    body: Body::Enriched(|arguments, enrichment| {
        let (address, lists) = (arguments.text(0), enrichment.threat_lists().map_err(external)?);
        Ok(arguments.to_text(|row| find(lists?, parse_address(address.at(row)?)?).map(ThreatList::name)))
    }),
};

/// See [`Function::about`].
pub const AGE: Function = Function {
    name: "threat_list_age_days",
    group: Group::Enrichment,
    arguments: &[text("address")],
    gives: Type::Double,
    about: "The age in days of the list that `threat_list` names: since the date that a comment at its top says \
            (updated, modified, generated), else since its file was changed. Addresses change hands: a list older \
            than a week proves little.",
    example: ("threat_list_age_days('198.51.100.7') < 1e6", "true"),
    body: Body::Enriched(|arguments, enrichment| {
        let (address, lists) = (arguments.text(0), enrichment.threat_lists().map_err(external)?);
        Ok(arguments.to_double(|row| {
            let list = find(lists?, parse_address(address.at(row)?)?)?;
            // A list from the future is new.
            let age = (enrichment.now() - list.as_of()).num_seconds().max(0);
            Some(age as f64 / SECONDS_PER_DAY)
        }))
    }),
};

fn find(lists: &[ThreatList], address: IpAddr) -> Option<&ThreatList> {
    lists.iter().find(|list| list.holds(address))
}
