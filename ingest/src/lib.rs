//! Raw log bytes in, Arrow batches and rejects out.
//!
//! ```text
//! compressed bytes -> decode -> block -> formats::Parser -> RecordBatch
//!                                               \-> Tally { rejects, minutes seen }
//! ```
//!
//! Nothing here does I/O, owns a clock or knows DataFusion: bytes are pushed in
//! by whoever holds them (the SQL layer, a test, a fuzzer), and batches come out.

pub mod reader;
pub mod decode;
pub mod block;
pub mod formats;
pub mod json;
pub mod lines;
pub mod intern;
pub mod column;
pub mod rows;
pub mod text;
pub mod reject;
pub mod tally;
pub mod notices;
pub mod recognise;
pub mod coverage;
pub mod baselines;
pub mod object_digests;
pub mod identity;
pub mod error;
