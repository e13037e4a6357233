//! Writes generated logs of any size, for benchmarks and for trying things out.
//!
//! ```text
//! cargo run --release --example generate -- flow DIR [RECORDS] [FILES]
//! cargo run --release --example generate -- cloudtrail DIR [EVENTS] [FILES]
//! ```

use std::path::Path;
use std::process::ExitCode;

use trailhound::scenario::{write_cloudtrail_volume, write_flow_volume};

/// Any seed will do; this one makes runs comparable.
const SEED: u64 = 1;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: u64| arguments.get(at).map_or(Ok(otherwise), |text| text.parse());
    let written = match (arguments.first().map(String::as_str), arguments.get(1)) {
        (Some("flow"), Some(folder)) => match (number(2, 4_000_000), number(3, 16)) {
            (Ok(records), Ok(files)) => write_flow_volume(Path::new(folder), files as u32, records, SEED),
            _ => return usage(),
        },
        (Some("cloudtrail"), Some(folder)) => match (number(2, 200_000), number(3, 40)) {
            (Ok(events), Ok(files)) => write_cloudtrail_volume(Path::new(folder), files as u32, events, SEED),
            _ => return usage(),
        },
        _ => return usage(),
    };
    match written {
        Ok(bytes) => {
            println!("{bytes} bytes of text");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: generate flow|cloudtrail DIR [RECORDS] [FILES]");
    ExitCode::from(2)
}
