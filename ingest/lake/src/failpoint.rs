//! Places where a test lets the process die.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable: `STEP`, or `STEP:N` for the N-th time.
pub const VARIABLE: &str = "TRAILHOUND_FAILPOINT";

/// The named steps of a commit, in their order.
pub const STEPS: &[&str] = &[
    // The state knows that files will be written.
    "intent-begun",
    // The files are in the store; nobody refers to them yet.
    "files-written",
    // The state knows the files, and what they stand for. From here on they will be committed.
    "intent-prepared",
    // One table shows them. Reached once a table.
    "commit-landed",
    // All tables show them.
    "commits-done",
    // The state knows that they do.
    "intent-finished",
    // The source was told.
    "settled",
];

/// Dies here, without clean-up, if the environment says so. `name` is one of [`STEPS`].
pub fn reach(name: &str) {
    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let value = std::env::var(VARIABLE).ok()?;
        let (step, times) = match value.split_once(':') {
            Some((step, times)) => (step, times.parse().ok()?),
            None => (value.as_str(), 1),
        };
        Some((step.to_owned(), AtomicU64::new(times)))
    });
    if let Some((step, left)) = armed
        && step == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}
