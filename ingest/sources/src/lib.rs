//! Where logs come from: files, standard input, S3, SQS, CloudWatch Logs.
//!
//! ```text
//! address: "s3://bucket/prefix" -> a Source -> Delivery { origin, body, receipt } -> the pipeline
//!                                     ^--------------- acknowledge(receipts), once committed
//! ```
//!
//! A source hands out deliveries and is told which of them are safe in the lake.
//! It keeps nothing on disk itself: its position travels with the receipts, and
//! is given back to it at the next start.

pub mod source;
pub mod open;
pub mod keys;
pub mod files;
pub mod stdin;
mod calls;
mod object;
pub mod s3;
pub mod sqs;
pub mod cloudwatch;

pub use open::{SOURCES, SourceAddress, SourceInfo, SourceOptions, open};
pub use source::{
    Body, Delivery, Outcome, Position, ReadVersion, Receipt, Recent, Resume, Source, Step, gone, is_gone,
};
