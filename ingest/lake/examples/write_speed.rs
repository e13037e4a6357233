//! Measures the writer alone: batches of a generated flow log in, files out.
//!
//! ```text
//! cargo run --release -p trailhound-lake --example write_speed -- [RECORDS] [DIR] [LEVEL] [RUN_ROWS] [THREADS] [ENCODES]
//! ```
//!
//! The text is made and parsed part by part outside the clock, so that the
//! peak of memory is the writer's and one part's.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use trailhound_ingest::formats::{Setup, format_named};
use trailhound_ingest::reader::{Limits, read_all};
use trailhound_lake::{Writer, WriterSettings, spec};

/// Records of one object, about as many as AWS puts into a large one.
const PART: usize = 50_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, or: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(or);
    let records = number(0, 4_000_000);
    let folder = arguments
        .get(1)
        .cloned()
        .unwrap_or_else(|| "target/write_speed".into());
    let settings = WriterSettings {
        zstd_level: number(2, 1) as i32,
        run_rows_max: number(3, WriterSettings::default().run_rows_max),
        encode_threads: number(4, WriterSettings::default().encode_threads),
        encodes_max: number(5, WriterSettings::default().encodes_max),
        ..WriterSettings::default()
    };
    std::fs::create_dir_all(&folder)?;
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(&folder)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let spec = spec::spec("vpc_flow").ok_or("no such table")?;
        let mut writer = Writer::new(spec, settings, store, Path::from("vpc_flow"));
        let mut random = Random(42);
        let (mut pushing, mut parsing) = (Duration::ZERO, 0.0);
        let mut ours = 0.0;
        for part in 0..records.div_ceil(PART) {
            let before = thread_seconds();
            let rows = PART.min(records - part * PART);
            let batches = parse(text(&mut random, part, rows, records), part);
            parsing += thread_seconds() - before;
            let (began, cpu) = (Instant::now(), thread_seconds());
            for batch in batches {
                writer.push(batch).await?;
            }
            pushing += began.elapsed();
            ours += thread_seconds() - cpu;
        }
        let began = Instant::now();
        let files = writer.finish().await?;
        let finishing = began.elapsed();
        let bytes: u64 = files.iter().map(|file| file.size).sum();
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        println!(
            "{rows} rows in {} files, {bytes} bytes, {:.2} a row",
            files.len(),
            bytes as f64 / rows as f64
        );
        println!("made and parsed in {parsing:.3} core-seconds, outside the clock");
        println!(
            "pushed in {:.3} s ({ours:.3} core-seconds on this thread), finished in {:.3} s",
            pushing.as_secs_f64(),
            finishing.as_secs_f64()
        );
        println!(
            "writer in all {:.3} core-seconds; peak memory {} MB",
            process_seconds() - parsing,
            peak_megabytes()
        );
        Ok(())
    })
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Small numbers far more often than large ones.
    fn skewed(&mut self, end: u64) -> u64 {
        let share = self.below(1 << 20) as f64 / f64::from(1 << 20);
        (share.powi(3) * end as f64) as u64
    }
}

/// One object of a flow log: some minutes of a day, as several interfaces saw them.
fn text(random: &mut Random, part: usize, rows: usize, records: usize) -> Vec<u8> {
    const DAY: u64 = 86_400;
    let parts = records.div_ceil(PART) as u64;
    let mut text = String::from(
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n",
    );
    for _ in 0..rows {
        let start = 1_793_491_200 + part as u64 * DAY / parts + random.below(DAY / parts + 60).min(DAY - 1);
        let start = start.min(1_793_491_200 + DAY - 61);
        let host = random.skewed(1000);
        let peer = random.skewed(1000);
        let service = [443, 443, 443, 80, 53, 22, 3306, 5432, 6379, 8080][random.below(10) as usize];
        let ephemeral = 32_768 + random.below(28_232);
        let outgoing = random.below(2) == 0;
        let (from, to) = if outgoing {
            (ephemeral, service)
        } else {
            (service, ephemeral)
        };
        let packets = 1 + random.skewed(400);
        let bytes = packets * (40 + random.below(1400));
        if random.below(500) == 0 {
            let _ = writeln!(
                text,
                "2 123456789012 eni-{:017x} - - - - - - - {start} {} - NODATA",
                host * 7_919_113,
                start + 60
            );
            continue;
        }
        let _ = writeln!(
            text,
            "2 123456789012 eni-{:017x} 10.{}.{}.{} {}.{}.{}.{} {from} {to} {} {packets} {bytes} {start} {} {} OK",
            host * 7_919_113,
            host % 3,
            host / 256,
            host % 256,
            20 + peer % 180,
            peer % 251,
            peer / 16,
            peer % 199,
            [6, 6, 6, 17][random.below(4) as usize],
            start + 1 + random.below(60),
            if random.below(20) == 0 { "REJECT" } else { "ACCEPT" },
        );
    }
    text.into_bytes()
}

fn parse(text: Vec<u8>, part: usize) -> Vec<RecordBatch> {
    let format = format_named("vpc_flow").expect("a format");
    let source = format!(
        "s3://logs/AWSLogs/123456789012/vpcflowlogs/eu-west-1/2026/11/01/123456789012_vpcflowlogs_eu-west-1_fl-0123456789abcdef0_20261101T{part:04}Z_0a1b2c3d.log.gz"
    );
    let mut setup = Setup::whole(format, &source);
    setup.ingested_at = 1_793_600_000_000_000 + part as i64 * 12_345;
    let parser = format.parser(setup).expect("default options");
    read_all(parser, Limits::default(), text).expect("a flow log").0
}

/// Core-seconds of this thread.
fn thread_seconds() -> f64 {
    let nanoseconds = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = nanoseconds
        .split(' ')
        .next()
        .and_then(|text| text.parse::<f64>().ok());
    first.unwrap_or(0.0) / 1e9
}

/// Core-seconds of all threads, ended ones too.
fn process_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}
