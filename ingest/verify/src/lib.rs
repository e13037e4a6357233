//! CloudTrail log file integrity: was anything changed, removed or forged since AWS delivered it?
//!
//! ```text
//! listing -> chains of digests -> newest to oldest: signature, hash, hour -> logs: hash -> Report
//! ```
//!
//! Every hour CloudTrail writes a digest: the names and hashes of the log files
//! it delivered, the hash and signature of the digest before, all signed with a
//! key of AWS. `trailhound verify` walks these chains, one for each account,
//! Region and trail, and reads every log that they name. It does what `aws
//! cloudtrail validate-logs` does, for all accounts and Regions at once, and
//! beyond that:
//!
//! - **Copies can be checked.** A signature lies in the metadata of the S3
//!   object, which a copy loses. The next digest has it too, so only the newest
//!   digest of a copy stays `unsigned`. Logs are found by the last part of their
//!   key, in whatever folder they lie. Compressing a log anew changes nothing:
//!   the hash is over its content.
//! - **Hours are counted.** Where a digest is missing, its successor names it;
//!   where several are, the time between the ones that are left tells how many.
//! - **Logs that no digest names** are listed: `pending` if the next digest is
//!   to name them, else `not-covered`. A log that someone put there is one of these.
//! - **Without keys** (`--keys FILE`, or from AWS) hashes and chains are checked
//!   all the same; the best state is then `no-key`, or `unsigned`.
//!
//! States, per object: `valid`; `modified`, `missing`, `wrong-signature`,
//! `unreadable` and `unproven` (it agrees with a digest that was itself changed)
//! are alarms; `unsigned`, `no-key` and `not-covered` lack proof; `pending`
//! waits for it. A beginning or a restart of a chain is told, and is no alarm:
//! that logging was stopped is an event in the log itself.
//!
//! What it cannot see: logs delivered while validation was off; and in a copy
//! without later logs, that the newest digests were left out.

mod digest;
mod keys;
mod list;
mod read;
mod chain;
mod uncovered;
mod report;

pub use chain::{Progress, Settings, verify, verify_found};
pub use digest::{ChainId, Digest, DigestName, LogFile, LogName};
pub use keys::Keys;
pub use list::{Found, Place, Window};
pub use report::{Chain, Gap, GapKind, Kind, ObjectState, Report, State, object_states_batch};
