//! The lake: one Delta table per table of records, written exactly once, read by anyone.
//!
//! ```text
//! batches -> writer: sorted Parquet files -> commit: one Delta commit with a transaction number
//!               state: what is intended, what was taken, how far each source is (SQLite)
//! ```
//!
//! Nothing here knows DataFusion or AWS: an object store is handed in.

pub mod spec;
pub mod data_file;
pub mod store;
pub mod lake;
mod head;
mod table;
pub mod commit;
mod upkeep;
pub mod state;
pub mod recover;
pub mod failpoint;
pub mod writer;
pub mod compact;
pub mod expire;
pub mod stats;

pub use commit::{Committed, Replaced, Retry, Txn};
pub use compact::{CompactOptions, Compacted, compact};
pub use data_file::DataFile;
pub use expire::{ExpireOptions, Expired, expire};
pub use lake::{Lake, Snapshot};
pub use recover::{Recovered, publish, recover};
pub use spec::TableSpec;
pub use state::{Intent, Prepared, Resumed, Settlement, State};
pub use stats::{TableStats, stats};
pub use store::Durable;
pub use writer::{Writer, WriterSettings};
