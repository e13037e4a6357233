//! SQL over raw logs: a DataFusion session whose tables are log files.
//!
//! ```text
//! From (TABLE=LOCATION) -> location: objects -> log_table -> log_source: ingest::Reader -> batches
//!                                                                 \-> ledger: what was read
//! ```
//!
//! [`Session::open`] is the one place where DataFusion is set up.

pub mod session;
pub mod error;
mod depth;
mod dictionaries;
mod build_side;
pub mod location;
pub mod stores;
pub mod log_table;
pub mod log_format;
pub mod log_source;
mod parquet;
mod written;
pub mod declared;
pub mod lake_table;
mod lake_coverage;
pub mod connections;
pub mod rejects;
pub mod ledger;
pub mod enrichment;
pub mod functions;
pub mod identity;
pub mod pattern;

pub use enrichment::{EnrichmentFiles, EnrichmentKind, EnrichmentNote};
pub use error::{Error, ErrorKind, Span};
pub use ledger::{ObjectReport, Outcome, Report, TableReport};
pub use location::From;
pub use session::{Answer, ColumnInfo, Options, Session, TableInfo};
