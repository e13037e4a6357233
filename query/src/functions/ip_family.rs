//! `ip_family(address)`

use super::address::parse_address;
use super::{Body, Function, Group, Type, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "ip_family",
    group: Group::Addresses,
    arguments: &[text("address")],
    gives: Type::Int,
    about: "4 for an IPv4 address, also one mapped into IPv6; 6 for any other IPv6 address. NULL if it is no address.",
    example: ("ip_family('2001:db8::1')", "6"),
    body: Body::Scalar(|arguments| {
        let address = arguments.text(0);
        arguments.to_int(|row| {
            Some(if parse_address(address.at(row)?)?.is_ipv4() {
                4
            } else {
                6
            })
        })
    }),
};
