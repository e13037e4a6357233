//! Tests from outside.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod servers;
mod s3;
mod sqs;
mod files;
mod cloudwatch;
