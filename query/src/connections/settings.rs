//! The settings of `connections`, as `SET connections.NAME = VALUE` knows them.

use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;

extensions_options! {
    /// How records become connections.
    pub struct Settings {
        /// Seconds of silence that end a connection: what a NAT gateway and a load balancer allow.
        pub idle_seconds: u64, default = 350
        /// The same for TCP with flags, once both sides spoke and before one ended. Keepalives come every two hours at worst, mostly every few minutes.
        pub tcp_idle_seconds: u64, default = 3600
        /// Seconds in which records of an ended connection are still added to it.
        pub linger_seconds: u64, default = 120
        /// Most connections that are open at once. The session's memory may allow fewer.
        pub open_max: usize, default = 1_000_000
    }
}

impl ConfigExtension for Settings {
    const PREFIX: &'static str = "connections";
}
