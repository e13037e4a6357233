//! The identity ledger in SQL: its tables, the `*_identified` views, `is_own_address`.
//!
//! ```text
//! ecs_events, vpc_flow, cloudtrail, inventory -> Claims ---\
//! the lake's identity_claims ------------------------------> Ledger, once a session
//!                                                             |-> histories as tables
//!                              scan of vpc_flow, ... --------> operator -> vpc_flow_identified, ...
//! ```
//!
//! Nothing is read until a query asks for one of these.

mod columns;
mod dictionary;
mod histories;
mod inventory;
mod operator;
mod own_address;
mod page;
mod resolved;
mod view;

pub use columns::{CLOUDTRAIL_COLUMNS, CONTAINER_LOGS_COLUMNS, FLOW_COLUMNS};
pub(crate) use inventory::open as open_inventory;
pub use page::reference_page;
pub use resolved::{Identity, Resolved};

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::prelude::SessionContext;

use columns::Logs;

/// The table of claims, and its format.
const CLAIMS: &str = "identity_claims";

/// A table that claims come from, or that a view is made over.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Name of the table.
    pub table: String,
    /// Its log format, `inventory` or `identity_claims`.
    pub format: String,
    /// All of it, whatever time the session is limited to: a task may have started long before.
    pub whole: Arc<dyn TableProvider>,
    /// Whether claims are to be read from its records.
    pub claims: bool,
}

/// Registers the ledger's tables, the views over the tables that are there, and the function. `in_time` gives
/// a table without what lies outside of the session's time.
///
/// # Errors
/// The engine refuses a table.
pub(crate) fn register(
    context: &SessionContext,
    sources: Vec<Source>,
    now: i64,
    in_time: impl Fn(Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>>,
) -> Result<Arc<Identity>> {
    let is_source = |format: &str| {
        trailhound_ingest::identity::SOURCES
            .iter()
            .any(|(name, _)| *name == format)
    };
    let written = sources.iter().any(|source| source.format == CLAIMS);
    let viewed: Vec<(Source, Logs)> = sources
        .iter()
        .filter_map(|source| Some((source.clone(), Logs::of(&source.format)?)))
        .collect();
    let claiming: Vec<Source> = sources
        .into_iter()
        .filter(|source| source.format == CLAIMS || (source.claims && is_source(&source.format)))
        .collect();
    let without = claiming.is_empty();
    let state = context.state_weak_ref();
    let state = move || state.upgrade().map(|state| state.read().clone());
    let identity = Arc::new(Identity::new(Box::new(state), claiming, now));
    own_address::register(context, Arc::clone(&identity));
    if without {
        return Ok(identity);
    }
    for history in histories::all(&identity, !written) {
        if !context.table_exist(history.name())? {
            let name = history.name();
            context.register_table(name, Arc::new(history))?;
        }
    }
    for (source, logs) in viewed {
        let name = format!("{}_identified", source.table);
        if context.table_exist(name.as_str())? {
            continue;
        }
        let view = view::Identified::new(source.whole, logs, Arc::clone(&identity));
        context.register_table(name.as_str(), in_time(Arc::new(view))?)?;
    }
    Ok(identity)
}

/// What a table of the ledger is; none for other tables.
pub(crate) fn about(table: &str) -> Option<&'static str> {
    match table {
        CLAIMS => Some("What records say about addresses, interfaces, tasks and sessions."),
        _ if table.ends_with("_identified") => Some("The table's records, with who it was at that moment."),
        _ => histories::about(table),
    }
}

/// What a column that identity adds or has means; none for others.
pub(crate) fn about_column(table: &str, column: &str) -> Option<&'static str> {
    let columns = match table {
        CLAIMS => trailhound_ingest::identity::CLAIM_COLUMNS,
        _ => match histories::columns(table) {
            Some(columns) => columns,
            None if table.ends_with("_identified") => {
                return columns::all()
                    .find(|(name, _)| *name == column)
                    .map(|(_, about)| *about);
            }
            None => return None,
        },
    };
    columns
        .iter()
        .find(|(name, _)| *name == column)
        .map(|(_, about)| *about)
}
