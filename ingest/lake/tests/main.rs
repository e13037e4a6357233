//! Tests from outside.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;
mod ambiguous;
mod power_cut;
mod recovery;
mod tables;
mod write;
mod compact;
