//! Baselines: what is normal, as tables.
//!
//! ```text
//! baselines/x.sql -> definition                     one query a baseline: hours of entities
//! coverage        -> days that have news            build: the only place that decides what to do
//!   -> samples of a day (query over that day only)  replaced as a whole, so late logs merge
//!   -> norms of the window (median, MAD, quantiles) a version, committed when all of it is there
//! ```
//!
//! A day's samples cost what reading that day costs. Norms are made from samples alone.

pub mod definition;
pub mod statistics;
mod columns;
pub mod samples;
pub mod norms;
pub mod store;
pub mod books;
pub mod exceptions;
pub mod build;
pub mod read;

pub use books::{Approval, InForce, Version};
pub use build::{BuildOptions, Built, build};
pub use definition::{Definition, Kind, Measure};
pub use statistics::{Level, Norm};
