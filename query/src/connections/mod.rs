//! The table `connections`: flow records stitched together, since a record is not a connection.
//!
//! ```text
//! vpc_flow -> pack            -> sort        -> stitch          -> connections
//!             72 bytes a         by time,       open ones, by
//!             record, no text    may spill      five-tuple
//! ```
//!
//! One record says what one interface saw of one five-tuple, in one direction,
//! in one aggregation window. A connection of an hour is 120 records or more, at
//! each of its ends. Here these become one row.
//!
//! # What belongs together
//! Records of one five-tuple and its reverse, of the same `action`, whatever
//! interface logged them. Addresses are those of the packets: `pkt_srcaddr` and
//! `pkt_dstaddr` where the log has them, else `srcaddr` and `dstaddr`. So what a
//! task says to a host outside and what its NAT gateway logs on the inner side
//! are one connection; the gateway's outer side, with another address and port,
//! is one of its own, as no log says which belongs to which. NODATA and SKIPDATA
//! lines and records without address or time belong to no connection.
//!
//! # Where one ends and the next begins
//! - **Silence.** A record's `start` and `end` are its first and last packet, so
//!   the gap between two records is real silence, however long the aggregation
//!   window. The time allowed is [`Settings::idle_seconds`]; for TCP with flags, that
//!   both sides spoke and nobody ended, [`Settings::tcp_idle_seconds`]. A shorter one
//!   would cut a quiet connection into pieces that look like a perfect beacon.
//! - **FIN or RST**, and then a SYN in a later record: the port is used again.
//! - **A SYN after an established connection** that nobody was seen to end.
//!
//! What happens inside of one window cannot be told apart: the log has one
//! record of it. Without `tcp_flags` only silence tells.
//!
//! # What is counted
//! Each direction by one interface, the first that logged it: bytes and packets
//! are exact, not doubled, also where both ends log. `interfaces` names all of them.
//!
//! # Bounds
//! At most [`Settings::open_max`] connections are open at once, and no more than the
//! session's memory holds. Over that, those that would have timed out first are
//! closed early, and `ending` says `limit`; what follows of such a connection is a
//! row of its own, and if both ends log, its counts may lack a window. Names of
//! interfaces, workloads and objects are held once each.

mod address;
mod columns;
mod connection;
mod fold;
mod names;
mod pack;
mod pushdown;
mod record;
mod rows;
mod settings;
mod stitch;
mod table;
mod tracker;

pub use columns::{COLUMNS, schema};
pub use settings::Settings;
pub use table::ConnectionsTable;

/// Name of the table.
pub const NAME: &str = "connections";

/// The table that it is made of.
pub const SOURCE: &str = "vpc_flow";

/// What it is, for people.
pub const ABOUT: &str =
    "Connections, stitched from the flow records of both directions, all windows and both ends.";
