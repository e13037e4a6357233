//! AWS access: one way to find credentials, Region and endpoint, for all clients.

mod config;
mod store;

pub use config::{Aws, chain_of};
pub use store::store;
