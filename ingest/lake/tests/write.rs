//! The writer: what was pushed comes out once, sorted, in its day, and as the statistics say.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::PageIndexPolicy;
use proptest::prelude::*;
use trailhound_lake::{DataFile, TableSpec, Writer, WriterSettings, spec};

const DAY: i64 = 86_400_000_000;

fn table() -> TableSpec {
    let time = trailhound_ingest::column::timestamp_type();
    TableSpec {
        name: "vpc_flow",
        schema: Arc::new(Schema::new(vec![
            Field::new("event_time", time.clone(), true),
            Field::new("name", DataType::Utf8View, true),
            Field::new("port", DataType::Int32, true),
            Field::new("bytes", DataType::Int64, true),
            Field::new("share", DataType::Float64, true),
            Field::new("yes", DataType::Boolean, true),
            Field::new("never", DataType::Utf8View, true),
            Field::new("_source", DataType::Utf8View, true),
            Field::new("_line", DataType::Int64, true),
            Field::new("_ingested_at", time, true),
        ])),
        time: "event_time",
        bloom: &["name"],
        key: &["_source", "_line"],
    }
}

/// One row, `_line` apart.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    time: Option<i64>,
    name: Option<String>,
    port: Option<i32>,
    bytes: Option<i64>,
    share: Option<f64>,
    yes: Option<bool>,
    ingested_at: i64,
}

fn batch(spec: &TableSpec, rows: &[Row], first_line: i64) -> RecordBatch {
    let times = |values: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
    };
    let names: StringViewArray = rows.iter().map(|row| row.name.as_deref()).collect();
    RecordBatch::try_new(
        spec.schema.clone(),
        vec![
            times(rows.iter().map(|row| row.time).collect()),
            Arc::new(names),
            Arc::new(rows.iter().map(|row| row.port).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|row| row.bytes).collect::<Int64Array>()),
            Arc::new(
                rows.iter()
                    .map(|row| row.share)
                    .collect::<arrow::array::Float64Array>(),
            ),
            Arc::new(
                rows.iter()
                    .map(|row| row.yes)
                    .collect::<arrow::array::BooleanArray>(),
            ),
            arrow::array::new_null_array(&DataType::Utf8View, rows.len()),
            Arc::new(StringViewArray::from_iter_values(
                rows.iter().map(|_| "s3://bucket/a/long/name/of/an/object"),
            )),
            Arc::new(Int64Array::from_iter_values(
                first_line..first_line + rows.len() as i64,
            )),
            times(rows.iter().map(|row| Some(row.ingested_at)).collect()),
        ],
    )
    .unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

async fn write(store: &Arc<InMemory>, settings: WriterSettings, batches: Vec<RecordBatch>) -> Vec<DataFile> {
    let mut writer = Writer::new(table(), settings, store.clone(), Path::from("t"));
    for batch in batches {
        writer.push(batch).await.unwrap();
    }
    writer.finish().await.unwrap()
}

async fn bytes(store: &InMemory, file: &DataFile) -> Bytes {
    let path = file
        .path
        .split('/')
        .fold(Path::from("t"), |path, part| path.join(part));
    store.get(&path).await.unwrap().bytes().await.unwrap()
}

/// Rows of a file by `_line`, in the order of the file.
fn read(bytes: Bytes) -> Vec<(i64, Row)> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)
        .unwrap()
        .with_batch_size(1000)
        .build()
        .unwrap()
    {
        let batch = batch.unwrap();
        let at = |name: &str| batch.column_by_name(name);
        let times = at("event_time").map(|column| column.as_primitive::<TimestampMicrosecondType>());
        let names = at("name").map(|column| column.as_string::<i32>());
        let ports = at("port").map(|column| column.as_primitive::<arrow::datatypes::Int32Type>());
        let sizes = at("bytes").map(|column| column.as_primitive::<Int64Type>());
        let shares = at("share").map(|column| column.as_primitive::<arrow::datatypes::Float64Type>());
        let yes = at("yes").map(|column| column.as_boolean());
        let lines = at("_line").unwrap().as_primitive::<Int64Type>();
        let ingested = at("_ingested_at")
            .unwrap()
            .as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            rows.push((
                lines.value(row),
                Row {
                    time: times.filter(|a| a.is_valid(row)).map(|a| a.value(row)),
                    name: names.filter(|a| a.is_valid(row)).map(|a| a.value(row).to_owned()),
                    port: ports.filter(|a| a.is_valid(row)).map(|a| a.value(row)),
                    bytes: sizes.filter(|a| a.is_valid(row)).map(|a| a.value(row)),
                    share: shares.filter(|a| a.is_valid(row)).map(|a| a.value(row)),
                    yes: yes.filter(|a| a.is_valid(row)).map(|a| a.value(row)),
                    ingested_at: ingested.value(row),
                },
            ));
        }
    }
    rows
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    // Few values, many values, long and short, far apart and close together.
    let time = prop_oneof![
        5 => (0i64..200).prop_map(|second| Some(1_793_491_200_000_000 + second * 1_000_000)),
        3 => (0i64..3 * DAY).prop_map(|micros| Some(1_793_491_200_000_000 + micros)),
        1 => Just(None),
        1 => prop_oneof![Just(0i64), Just(253_402_300_799_999_999), Just(i64::MAX), Just(i64::MIN), Just(-1)].prop_map(Some),
    ];
    let name = prop_oneof![
        6 => (0..5u8).prop_map(|n| Some(format!("eni-{n}"))),
        3 => "\\PC{0,30}".prop_map(Some),
        1 => "[a-zé\u{10ffff}]{60,90}".prop_map(Some),
        1 => Just(None),
    ];
    let bytes =
        prop_oneof![4 => (0..40i64).prop_map(Some), 1 => any::<i64>().prop_map(Some), 1 => Just(None)];
    let port =
        prop_oneof![4 => (0..70_000i32).prop_map(Some), 1 => any::<i32>().prop_map(Some), 1 => Just(None)];
    let share = proptest::option::of(-1e9..1e9f64);
    let row = (time, name, port, bytes, share, any::<Option<bool>>(), 0..2 * DAY).prop_map(
        |(time, name, port, bytes, share, yes, later)| Row {
            time,
            name,
            port,
            bytes,
            share,
            yes,
            ingested_at: 1_793_500_000_000_000 + later,
        },
    );
    proptest::collection::vec(row, 0..400)
}

/// The day that a row belongs to.
fn day(row: &Row) -> String {
    let micros = row.time.unwrap_or(row.ingested_at);
    match chrono::DateTime::from_timestamp_micros(micros).map(|time| time.format("%Y-%m-%d").to_string()) {
        Some(day) if day.len() == 10 => day,
        _ if micros > 0 => "9999-12-31".to_owned(),
        _ => "0001-01-01".to_owned(),
    }
}

fn check_stats(file: &DataFile, rows: &[(i64, Row)]) {
    let stats: serde_json::Value = serde_json::from_str(&file.stats).unwrap();
    assert_eq!(stats["numRecords"], rows.len());
    let nulls = |name: &str| stats["nullCount"][name].as_u64();
    let count = rows.iter().filter(|(_, row)| row.name.is_none()).count() as u64;
    assert_eq!(nulls("name"), (count < rows.len() as u64).then_some(count));
    let ports: Vec<i32> = rows.iter().filter_map(|(_, row)| row.port).collect();
    assert_eq!(
        stats["minValues"]["port"].as_i64(),
        ports.iter().min().map(|&port| i64::from(port))
    );
    assert_eq!(
        stats["maxValues"]["port"].as_i64(),
        ports.iter().max().map(|&port| i64::from(port))
    );
    for (_, row) in rows {
        if let (Some(name), Some(least), Some(most)) = (
            &row.name,
            stats["minValues"]["name"].as_str(),
            stats["maxValues"]["name"].as_str(),
        ) {
            assert!(
                least <= name.as_str() && name.as_str() <= most,
                "{least} <= {name} <= {most}"
            );
            assert!(least.len() <= 64 && most.len() <= 64);
        }
        if let (Some(time), Some(least), Some(most)) = (
            row.time,
            stats["minValues"]["event_time"].as_str(),
            stats["maxValues"]["event_time"].as_str(),
        ) {
            let micros = |text: &str| {
                chrono::DateTime::parse_from_rfc3339(text)
                    .unwrap()
                    .timestamp_micros()
            };
            assert!(
                micros(least) <= time && time <= micros(most),
                "{least} <= {time} <= {most}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_pushed_comes_out_once_sorted_in_its_day(
        rows in rows(),
        batch_rows in 1usize..200,
        run_rows_max in 1usize..700,
        row_group_rows_max in 50usize..400,
        encode_threads in 1usize..3,
    ) {
        let settings = WriterSettings { run_rows_max, row_group_rows_max, encode_threads, encodes_max: 2, ..WriterSettings::default() };
        let store = Arc::new(InMemory::new());
        let spec = table();
        let batches = rows.chunks(batch_rows).enumerate().map(|(at, part)| batch(&spec, part, (at * batch_rows) as i64)).collect();
        run(async {
            let files = write(&store, settings, batches).await;
            let mut found = BTreeMap::new();
            for file in &files {
                let bytes = bytes(&store, file).await;
                assert_eq!(bytes.len() as u64, file.size);
                let theirs = read(bytes);
                assert_eq!(theirs.len() as u64, file.rows);
                check_stats(file, &theirs);
                let event_date = file.event_date.clone().unwrap();
                assert!(file.path.starts_with(&format!("event_date={event_date}/part-")) && file.path.ends_with(".zstd.parquet"));
                // Stable: rows of one time stand as they came, and rows without one come last.
                let order: Vec<_> = theirs.iter().map(|(line, row)| (row.time.is_none(), row.time, *line)).collect();
                assert!(order.is_sorted(), "{order:?}");
                for (line, row) in theirs {
                    assert_eq!(day(&row), event_date);
                    assert!(found.insert(line, row).is_none(), "line {line} twice");
                }
            }
            assert_eq!(found.into_values().collect::<Vec<_>>(), rows);
        });
    }
}

fn some_rows(count: usize) -> Vec<Row> {
    (0..count as i64)
        .map(|n| Row {
            time: Some(1_793_491_200_000_000 + (n * 7919 % 80_000) * 1_000_000),
            name: Some(format!("i-{:016x}", n % 5000)),
            port: Some((n % 1000) as i32),
            bytes: Some(n * n % 100_003),
            share: None,
            yes: None,
            ingested_at: 1_793_500_000_000_000,
        })
        .collect()
}

#[test]
fn a_file_of_many_pages_reads_back_and_its_footer_tells_what_readers_skip_by() {
    let rows = some_rows(200_000);
    run(async {
        let store = Arc::new(InMemory::new());
        let files = write(&store, WriterSettings::default(), vec![batch(&table(), &rows, 0)]).await;
        assert_eq!(files.len(), 1);
        let bytes = bytes(&store, &files[0]).await;
        let mut back = read(bytes.clone());
        assert!(back.is_sorted_by_key(|(line, row)| (row.time, *line)));
        back.sort_by_key(|(line, _)| *line);
        assert_eq!(back.into_iter().map(|(_, row)| row).collect::<Vec<_>>(), rows);

        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options).unwrap();
        let metadata = builder.metadata();
        let names: Vec<&str> = metadata
            .file_metadata()
            .schema_descr()
            .columns()
            .iter()
            .map(|column| column.name())
            .collect();
        // Columns without a value are not there.
        assert_eq!(
            names,
            [
                "event_time",
                "name",
                "port",
                "bytes",
                "_source",
                "_line",
                "_ingested_at"
            ]
        );
        let group = metadata.row_group(0);
        let sorting = group.sorting_columns().unwrap();
        assert_eq!((sorting[0].column_idx, sorting[0].descending), (0, false));
        assert_eq!(metadata.column_index().unwrap()[0][0].num_pages(), 4);
        let statistics = group.column(2).statistics().unwrap();
        assert_eq!(statistics.min_bytes_opt(), Some(&0i32.to_le_bytes()[..]));
        assert_eq!(statistics.max_bytes_opt(), Some(&999i32.to_le_bytes()[..]));

        let filter = Sbbf::read_from_column_chunk(group.column(1), &bytes)
            .unwrap()
            .expect("a bloom filter");
        assert!((0..5000).all(|n| filter.check(&format!("i-{n:016x}").as_str())));
        let false_hits = (5000..105_000)
            .filter(|n| filter.check(&format!("i-{n:016x}").as_str()))
            .count();
        assert!(false_hits < 2000, "{false_hits} of 100,000");
        assert!(
            Sbbf::read_from_column_chunk(group.column(4), &bytes)
                .unwrap()
                .is_none()
        );
    });
}

#[test]
fn no_rows_make_no_file() {
    run(async {
        let store = Arc::new(InMemory::new());
        assert_eq!(write(&store, WriterSettings::default(), Vec::new()).await, []);
        assert_eq!(
            write(&store, WriterSettings::default(), vec![batch(&table(), &[], 0)]).await,
            []
        );
    });
}

#[test]
fn a_batch_of_another_shape_is_refused_and_named() {
    run(async {
        let mut writer = Writer::new(
            table(),
            WriterSettings::default(),
            Arc::new(InMemory::new()),
            Path::from("t"),
        );
        let port: ArrayRef = Arc::new(StringViewArray::from(vec!["80"]));
        let error = writer
            .push(RecordBatch::try_from_iter([("port", port)]).unwrap())
            .await
            .unwrap_err();
        assert_eq!(
            error.message(),
            "cannot write rows: column port is Utf8View, and Int32 in the table"
        );
        let other: ArrayRef = Arc::new(StringViewArray::from(vec!["80"]));
        let error = writer
            .push(RecordBatch::try_from_iter([("prot", other)]).unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.message(), "cannot write rows: the table has no column prot");
    });
}

#[test]
fn giving_up_leaves_nothing_behind() {
    run(async {
        let store = Arc::new(InMemory::new());
        let settings = WriterSettings {
            run_rows_max: 100,
            ..WriterSettings::default()
        };
        let mut writer = Writer::new(table(), settings, store.clone(), Path::from("t"));
        for part in some_rows(1000).chunks(50) {
            writer.push(batch(&table(), part, 0)).await.unwrap();
        }
        assert_eq!(writer.rows_held(), 0);
        writer.abort().await;
        assert_eq!(
            futures::TryStreamExt::try_collect::<Vec<_>>(store.list(None))
                .await
                .unwrap(),
            []
        );
    });
}

/// A row for each of very many days: as many files, but one at a time.
#[test]
fn a_run_over_thousands_of_days_is_written_day_by_day() {
    let rows: Vec<Row> = some_rows(2000)
        .into_iter()
        .enumerate()
        .map(|(n, row)| Row {
            time: Some(n as i64 * 31 * DAY),
            ..row
        })
        .collect();
    run(async {
        let store = Arc::new(InMemory::new());
        let files = write(&store, WriterSettings::default(), vec![batch(&table(), &rows, 0)]).await;
        assert_eq!(files.len(), 2000);
        assert_eq!(files[0].event_date.as_deref(), Some("1970-01-01"));
        assert_eq!(files[1999].event_date.as_deref(), Some("2139-09-01"));
        assert!(files.iter().all(|file| file.rows == 1));
    });
}

/// Every column of every table of ours can be written.
#[test]
fn every_table_has_the_columns_that_its_files_are_sorted_by() {
    for name in spec::table_names() {
        let spec = spec::spec(name).unwrap();
        for column in [spec.time, "_ingested_at"]
            .iter()
            .chain(spec.bloom)
            .chain(spec.key)
        {
            assert!(spec.schema.index_of(column).is_ok(), "{name} has no {column}");
        }
    }
}
