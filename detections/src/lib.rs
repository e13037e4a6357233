//! Detections: SQL files in, alerts out.
//!
//! ```text
//! rules/x.sql -> rule -> catalog -> planning -> needs -> held -> evaluate -> row -> dedup -> alert
//! rules/x.md  -> page -> cases                                       \-> coverage          \-> ocsf
//! ```
//!
//! The rules are content, not code: adding one means writing two files, and the
//! folder is the list. Nothing here owns a clock: the same logs give the same alerts.

pub mod error;
pub mod severity;

pub mod attack;
mod front_matter;
pub mod message;
pub mod rule;

mod formula;
pub mod page;

pub mod catalog;
pub mod planning;

pub mod needs;

pub mod held;
pub mod shared;

pub mod evaluate;
pub mod row;

pub mod coverage;
pub mod dedup;

pub mod alert;
pub mod ocsf;

pub mod baseline;

pub mod cases;
mod learnt;
pub mod lint;

pub use alert::Alert;
pub use catalog::{Catalog, Entry};
pub use error::{Error, ErrorKind, Result};
pub use evaluate::{Asked, NotRun, Outcome, Ran};
pub use rule::Rule;
pub use severity::Severity;
