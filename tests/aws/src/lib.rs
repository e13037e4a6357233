//! Servers for tests that speak AWS's wire protocols, in this process, reachable
//! by any other: S3, SQS, CloudWatch Logs, and a proxy that makes faults.
//!
//! ```no_run
//! let root = tempfile::tempdir().unwrap();
//! let aws = trailhound_test_aws::serve(root.path());
//! aws.queues.create("logs");
//! println!("--endpoint-url {}", aws.url());
//! ```

pub mod faults;
pub mod s3;
pub mod server;
pub mod sqs;
pub mod logs;
pub mod aws;

pub use aws::{Aws, serve};
pub use server::{Asked, Server};

/// Key id that the servers know. It is the one of AWS's own documentation.
pub const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

/// Its secret, from there too.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Region of everything here, unless a test says otherwise.
pub const REGION: &str = "eu-west-1";

/// Account that the queues belong to.
pub const ACCOUNT: &str = "111122223333";

/// What a process needs in its environment to be let in, and to look nowhere else.
pub fn credentials_env() -> Vec<(&'static str, &'static str)> {
    vec![
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ]
}

/// Sets [`credentials_env`] for this process, once.
///
/// Call it before the first client is made, and only where no other thread reads
/// the environment at that moment: first thing in each test that needs it.
pub fn credentials() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        for (name, value) in credentials_env() {
            // SAFETY: only the SDK reads the environment in these test binaries, and every test calls
            // this before it makes a client; `Once` lets none of them go on before all are set.
            unsafe { std::env::set_var(name, value) };
        }
    });
}
