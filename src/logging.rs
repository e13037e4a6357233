//! Log lines on standard error: what happens in the background, for whoever runs a service.
//!
//! Names of objects and streams are written by others, so control characters in
//! them are escaped by the formatter.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable that sets what is logged: `debug`, or `trailhound_sources=debug`.
pub const VARIABLE: &str = "TRAILHOUND_LOG";

/// Starts to log. By default our own crates from INFO on, and nothing of libraries:
/// they report as errors to us what they cannot mend.
pub fn start() {
    let default = || {
        Targets::new()
            .with_default(LevelFilter::OFF)
            .with_target("trailhound", LevelFilter::INFO)
    };
    let filter = std::env::var(VARIABLE)
        .ok()
        .and_then(|text| text.parse::<Targets>().ok())
        .unwrap_or_else(default);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false);
    // A second start, as in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}
