//! What stitching costs: `connections` against the plain scan of its columns plus the sort by time.
//!
//! `cargo bench --bench connections`. `RECORDS=4000000` says how many records
//! (400,000 unless said), `ROUNDS` how often each is run; the best counts. Half of
//! the records are of connections of their own, which is what costs most; the
//! others are a hundred to a connection, both directions at both ends.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt;
use trailhound::scenario::write_flow_volume;
use trailhound_query::{From, Options, Session};

/// The columns that stitching reads.
const COLUMNS: &str = "start_time, end_time, srcaddr, dstaddr, pkt_srcaddr, pkt_dstaddr, srcport, dstport, protocol, \
                       action, log_status, flow_direction, tcp_flags, bytes, packets, interface_id, _source, _line";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Connections of 25 windows, logged both ways at both ends.
fn write_long(folder: &Path, files: u64, records: u64) {
    const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes \
                          start end action log-status tcp-flags flow-direction\n";
    for file in 0..files {
        let out = std::fs::File::create(folder.join(format!("long-{file}.log.gz"))).expect("a file");
        let mut gzip = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
        gzip.write_all(HEADER.as_bytes()).expect("gzip");
        let connections = records / files / 100;
        let mut text = String::new();
        for window in 0..25u64 {
            for nth in 0..connections {
                let number = file * connections + nth;
                let start = 1_794_873_600 + number % 80_000 + window * 60;
                let flags = [2, 0, 1][usize::from(window > 0) + usize::from(window == 24)];
                let (low, high) = (number % 250, number / 250 % 250);
                let client = format!("10.1.{high}.{low} 10.2.{low}.{high}");
                let server = format!("10.2.{low}.{high} 10.1.{high}.{low}");
                let ports = [
                    format!("{} 443", 32_768 + number % 30_000),
                    format!("443 {}", 32_768 + number % 30_000),
                ];
                for (eni, out, back) in [("a", "egress", "ingress"), ("b", "ingress", "egress")] {
                    let line = |pair: &str, port: &str, flags: u64, way: &str| {
                        format!(
                            "5 111122223333 eni-{eni}{number:016x} {pair} {port} 6 10 900 {start} {} ACCEPT OK {flags} {way}",
                            start + 59
                        )
                    };
                    let _ = writeln!(text, "{}", line(&client, &ports[0], flags, out));
                    let answer = if flags == 2 { 18 } else { flags };
                    let _ = writeln!(text, "{}", line(&server, &ports[1], answer, back));
                }
            }
            gzip.write_all(text.as_bytes()).expect("gzip");
            text.clear();
        }
        gzip.finish().expect("gzip");
    }
}

/// Runs a statement to its end, and counts its rows without keeping them.
async fn rows(folder: &Path, sql: &str) -> u64 {
    let from = vec![From {
        table: "vpc_flow".into(),
        format: "vpc_flow".into(),
        location: folder.to_string_lossy().into_owned(),
    }];
    let options = Options {
        from,
        // To sort whole records takes more than the default; to stitch them does not.
        memory_bytes: 8 << 30,
        ..Options::default()
    };
    let session = Session::open(options).await.expect("a session");
    let mut stream = session.query(sql).await.expect("a query").stream;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.expect("rows").num_rows() as u64;
    }
    rows
}

fn main() {
    let (records, rounds) = (setting("RECORDS", 400_000), setting("ROUNDS", 3));
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_flow_volume(folder.path(), 4, records / 2, 1).expect("logs are written");
    write_long(folder.path(), 4, records / 2);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let best = |sql: &str| -> (Duration, u64) {
        let runs = (0..rounds.max(1)).map(|_| {
            let begin = Instant::now();
            let rows = runtime.block_on(rows(folder.path(), sql));
            (begin.elapsed(), rows)
        });
        runs.min().expect("one run")
    };
    let scan = best(&format!("SELECT {COLUMNS} FROM vpc_flow"));
    let sorted = best(&format!(
        "SELECT {COLUMNS} FROM vpc_flow ORDER BY start_time, end_time"
    ));
    let stitched = best("SELECT * FROM connections");
    println!(
        "scan            {:>8.2} s  {:>9} records",
        scan.0.as_secs_f64(),
        scan.1
    );
    println!(
        "scan and sort   {:>8.2} s  {:>9} records",
        sorted.0.as_secs_f64(),
        sorted.1
    );
    println!(
        "connections     {:>8.2} s  {:>9} connections",
        stitched.0.as_secs_f64(),
        stitched.1
    );
    println!(
        "connections / (scan and sort) = {:.2}",
        stitched.0.as_secs_f64() / sorted.0.as_secs_f64()
    );
}
