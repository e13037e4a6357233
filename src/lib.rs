//! The program: what the command line asks for, done with the crates below.
//!
//! ```text
//! main -> cli: arguments -> commands: one module each -> execute / prompt -> output, render -> out
//!                                                                \-> summary, progress -> standard error
//! ```
//!
//! A library only so that tests and benches reach the modules; nothing else
//! depends on it.

pub mod cli;
pub mod config;
pub mod enrich;
pub mod lakes;
pub mod lock;
pub mod memory;
pub mod logging;
pub mod commands;
pub mod execute;
pub mod interrupt;
pub mod prompt;
pub mod statements;
pub mod profile;
pub mod output;
pub mod render;
pub mod progress;
pub mod summary;
pub mod failure;
pub mod when;
pub mod text;
pub mod scenario;
