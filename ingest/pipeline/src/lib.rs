//! From a source to the lake.
//!
//! ```text
//! Source::next -> object: decode, recognise, parse -> batch: one Writer a table -> publish -> Source::settle
//!  (bounded)        several at once                      sorted Parquet files        one commit a table
//! ```
//!
//! Back-pressure runs the other way: a full writer holds up the parsers, parsers
//! that wait hold up the source. Memory is a few objects and a few runs of rows,
//! whatever the input.

pub mod settings;
pub mod pipeline;
mod batch;
mod claims;
mod object;
mod columnar;
mod feed;
pub mod watch;

pub use pipeline::run;
pub use settings::Settings;
pub use watch::{Counts, Summary, Watch};
