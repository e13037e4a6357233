//! The SQL session from outside: one test binary, its modules in reading order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod connections;
mod files;
mod functions;
mod identity;
mod pattern;
mod s3;
