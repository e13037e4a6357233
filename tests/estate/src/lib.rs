//! A generated estate that knows the truth.
//!
//! [`generate`] writes the logs of an ECS estate as AWS lays them out, day by
//! day: VPC flow logs, ECS events and CloudTrail. Tasks come and go, addresses
//! are used again, and `truth.jsonl` beside the logs says who had which address
//! when. On request there are attacks in it, one for each network detection.
//! [`check`] holds answers and alerts against that truth.

pub mod check;
pub mod truth;

mod attacks;
mod cloudtrail;
mod deflate;
mod events;
mod flow;
mod generate;
mod network;
mod options;
mod output;
mod plan;
mod rng;
mod traffic;
mod workloads;

pub use generate::{Summary, generate};
pub use options::{FlowFormat, Options};
