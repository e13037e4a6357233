//! The crate from outside: a trail is written as CloudTrail does, something is
//! done to it, and the report says exactly that.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod trail;
mod report;
