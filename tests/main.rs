//! The program from outside: one test binary, its modules in reading order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod cli;
mod corpus;
mod crash;
mod docs;
mod tidy;
