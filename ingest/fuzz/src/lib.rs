//! What every fuzz target of a format checks: no panic, no lost record, and the
//! same rows and rejects whatever the size of the blocks and batches.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use trailhound_ingest::decode::Compression;
use trailhound_ingest::formats::{Format, Refusal, Setup, format_named};
use trailhound_ingest::reader::{Limits, read_all};
use trailhound_ingest::tally::Tally;

/// Reads `data` with the format `name` in one block and in blocks of a size that
/// the data itself chooses, and compares.
///
/// # Panics
/// The two readings differ.
pub fn check_format(name: &str, data: &[u8]) {
    let Some((&choice, body)) = data.split_first() else { return };
    // How much of damaged gzip or zstd can be saved depends on the buffers; that has a target of its own.
    if Compression::of(body) != Compression::Plain {
        return;
    }
    let format = format_named(name).expect("the format exists");
    let whole = read(format, body, Limits { whole_bytes_max: 1 << 20, ..Limits::default() }, 8192);
    let small = Limits { block_bytes: usize::from(choice) + 1, record_bytes_max: 1 << 20, whole_bytes_max: 0 };
    let pieces = read(format, body, small, usize::from(choice % 7) + 1);
    match (whole, pieces) {
        (Ok((batch, tally)), Ok((other, again))) => {
            assert_eq!(batch.num_rows() as u64, tally.rows);
            assert_eq!((tally.rows, tally.rejected, tally.passed), (again.rows, again.rejected, again.passed));
            assert_eq!(batch, other);
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(refusal)) => panic!("refused in small blocks only: {refusal}"),
        (Err(refusal), Ok(_)) => panic!("refused as a whole only: {refusal}"),
    }
}

fn read(format: &dyn Format, data: &[u8], limits: Limits, batch_rows: usize) -> Result<(RecordBatch, Tally), Refusal> {
    let mut setup = Setup::whole(format, "fuzz");
    setup.batch_rows = batch_rows;
    let parser = format.parser(setup).expect("default options are right");
    let (batches, tally) = read_all(parser, limits, data.to_vec())?;
    Ok((concat_batches(&format.schema(), &batches).expect("batches of one schema"), tally))
}
