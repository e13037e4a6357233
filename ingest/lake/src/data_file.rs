//! One Parquet file of a table: what the Delta log says of it.

use serde::{Deserialize, Serialize};

/// A finished data file. As JSON it is kept with an intent until the commit has landed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Path below the table's root, such as `event_date=2026-11-01/part-....zstd.parquet`.
    pub path: String,
    /// Value of the partition column, `2026-11-01`; none for rows without a day.
    pub event_date: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
    /// When it was written, milliseconds since the epoch.
    pub modified: i64,
    /// Delta's per-file statistics: `numRecords`, `minValues`, `maxValues`, `nullCount`, as JSON.
    pub stats: String,
}
