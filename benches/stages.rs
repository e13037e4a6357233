//! Bytes a second of each stage, on one core: decode, parse, and a whole query.
//!
//! `cargo bench --bench stages`. The logs come from the generators that
//! `benches/peers` uses, a tenth of their size. Throughput counts decompressed bytes.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trailhound::scenario::{write_cloudtrail_volume, write_flow_volume};
use trailhound_ingest::block::Block;
use trailhound_ingest::decode::{Decoder, inflate_whole};
use trailhound_ingest::formats::{Format, Progress, Setup, format_named};
use trailhound_ingest::tally::Tally;
use trailhound_query::{From, Options, Session};

/// A format with its sample, the columns of a typical question, and the question.
struct Case {
    format: &'static dyn Format,
    folder: tempfile::TempDir,
    columns: &'static [&'static str],
    sql: &'static str,
}

fn cases() -> Vec<Case> {
    let folder = || tempfile::tempdir().expect("a temporary folder");
    let flow = Case {
        format: format_named("vpc_flow").expect("a format"),
        folder: folder(),
        columns: &["bytes", "action"],
        sql: "SELECT count(*), sum(bytes), count(*) FILTER (WHERE action = 'REJECT') FROM vpc_flow",
    };
    write_flow_volume(flow.folder.path(), 2, 400_000, 1).expect("logs are written");
    let cloudtrail = Case {
        format: format_named("cloudtrail").expect("a format"),
        folder: folder(),
        columns: &["event_name"],
        sql: "SELECT event_name, count(*) FROM cloudtrail GROUP BY event_name",
    };
    write_cloudtrail_volume(cloudtrail.folder.path(), 4, 20_000, 1).expect("logs are written");
    vec![flow, cloudtrail]
}

fn objects(folder: &Path) -> Vec<Bytes> {
    let mut files: Vec<_> = folder
        .read_dir()
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| Bytes::from(std::fs::read(file).expect("a file")))
        .collect()
}

fn stream(object: &[u8]) -> usize {
    let mut decoder = Decoder::new(object).expect("a decoder");
    let (mut taken, mut bytes) = (0, 0);
    let mut out = Vec::with_capacity(1 << 20);
    while taken < object.len() {
        out.clear();
        taken += decoder.decode(&object[taken..], &mut out).expect("sound gzip");
        bytes += out.len();
    }
    bytes
}

fn parse(format: &dyn Format, projection: &Arc<[usize]>, text: &Bytes) -> u64 {
    let mut setup = Setup::whole(format, "bench");
    setup.projection = Arc::clone(projection);
    let mut parser = format.parser(setup).expect("a parser");
    let mut block = Block::new(text.clone());
    let mut tally = Tally::default();
    while parser.parse(&mut block, true, &mut tally).expect("this format") == Progress::BatchFull {
        parser.flush();
    }
    parser.flush();
    tally.rows
}

fn stages(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for case in cases() {
        let name = case.format.name();
        let objects = objects(case.folder.path());
        let texts: Vec<Bytes> = objects
            .iter()
            .map(|object| Bytes::from(inflate_whole(object, 1 << 30).expect("one gzip member")))
            .collect();
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        group.throughput(Throughput::Bytes(
            texts.iter().map(|text| text.len() as u64).sum(),
        ));

        group.bench_function("decode/whole", |bencher| {
            bencher.iter(|| {
                objects
                    .iter()
                    .filter_map(|object| inflate_whole(object, 1 << 30))
                    .count()
            });
        });
        group.bench_function("decode/streamed", |bencher| {
            bencher.iter(|| objects.iter().map(|object| stream(object)).sum::<usize>());
        });
        let schema = case.format.schema();
        let some: Arc<[usize]> = case
            .columns
            .iter()
            .map(|column| schema.index_of(column).expect("a column"))
            .collect();
        let all: Arc<[usize]> = (0..schema.fields().len()).collect();
        for (columns, projection) in [("some columns", &some), ("all columns", &all)] {
            group.bench_function(format!("parse/{columns}"), |bencher| {
                bencher.iter(|| {
                    texts
                        .iter()
                        .map(|text| parse(case.format, projection, text))
                        .sum::<u64>()
                });
            });
        }
        group.bench_function("query/one core", |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let location = case.folder.path().to_string_lossy().into_owned();
                    let from = vec![From {
                        table: name.into(),
                        format: name.into(),
                        location,
                    }];
                    let options = Options {
                        from,
                        partitions: Some(1),
                        ..Options::default()
                    };
                    let session = Session::open(options).await.expect("a session");
                    session
                        .query(case.sql)
                        .await
                        .expect("a query")
                        .collect()
                        .await
                        .expect("rows")
                })
            });
        });
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
