//! Who had which address, interface and session, and when.
//!
//! ```text
//! batches of ecs_events, vpc_flow, cloudtrail, inventory
//!     -> Claims: what records say, a set -> rows of identity_claims
//!     -> Ledger: claims resolved into intervals -> tables, and who it was at a moment
//! ```
//!
//! Claims are a set: order, repetition and how the logs were cut into batches
//! make no difference to the ledger. `docs/reference/identity.md` has the rules.

mod claim;
mod claims;
mod cloudtrail;
mod codes;
mod ecs;
mod entity;
mod facts;
mod flow;
mod holds;
mod inventory;
mod ledger;
mod recall;
mod sessions;
mod tables;

pub use claim::{CLAIM_COLUMNS, claims_schema};
pub use claims::{Claims, SOURCES};
pub use entity::{Answer, Certainty, ENTITY_COLUMNS, Entity, Kind, METHODS, Method};
pub use inventory::INVENTORY_COLUMNS;
pub use ledger::{Ledger, Sides};
pub use recall::{FlowColumns, Recall};
pub use tables::{
    ENI_HISTORY_COLUMNS, OWN_ADDRESSES_COLUMNS, ROLE_SESSIONS_COLUMNS, TASK_HISTORY_COLUMNS,
    schema as table_schema,
};

#[cfg(test)]
mod tests;
