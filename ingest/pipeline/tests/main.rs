//! Tests from outside: real servers in this process, real files in a lake.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod yard;
mod stand_in;
mod whole_way;
mod faults;
mod objects;
mod pressure;
mod rivals;
