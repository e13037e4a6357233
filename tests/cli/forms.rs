//! The forms of results: exact where programs read them, harmless where people do.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use serde_json::{Value, json};

use super::Desk;

#[test]
fn ndjson_is_exact() {
    let sql = "SELECT 9007199254740993 AS i, -9223372036854775808 AS least, 0.1 AS f, NULL AS nothing, true AS b, \
               to_timestamp_micros(1793491200250000) AS fraction, \
               arrow_cast(1793491200000000, 'Timestamp(Microsecond, Some(\"UTC\"))') AS t, \
               '{\"a\":1}' AS j, json_get('{\"a\":[1]}', 'a') AS part, json_get('{\"a\":7}', 'a') AS number";
    let run = Desk::new().run(&["sql", sql]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(
        run.out,
        "{\"i\":9007199254740993,\"least\":-9223372036854775808,\"f\":0.1,\"nothing\":null,\"b\":true,\
         \"fraction\":\"2026-11-01T00:00:00.250Z\",\"t\":\"2026-11-01T00:00:00Z\",\
         \"j\":\"{\\\"a\\\":1}\",\"part\":\"[1]\",\"number\":7}\n"
    );
}

#[test]
fn every_key_is_there_and_none_twice() {
    let rows = Desk::new().sql(&["SELECT * FROM vpc_flow ORDER BY _line"]).rows();
    let keys = |row: &Value| row.as_object().unwrap().len();
    assert!(rows.iter().all(|row| keys(row) == keys(&rows[0])));
    assert_eq!(rows[2]["bytes"], 9_007_199_254_740_993_i64);
    assert_eq!(rows[0]["event_time"], "2026-11-01T00:00:00Z");

    let rows = Desk::new()
        .run(&["sql", "SELECT * FROM (SELECT 1 AS a) x, (SELECT 2 AS a) y"])
        .rows();
    assert_eq!(rows, [json!({"a": 1, "a_2": 2})]);
}

#[test]
fn json_is_one_array_even_of_nothing() {
    let desk = Desk::new();
    let all = |sql: &str| serde_json::from_str::<Value>(&desk.sql(&["--format", "json", sql]).out).unwrap();
    assert_eq!(
        all("SELECT dstport FROM vpc_flow WHERE action = 'REJECT' ORDER BY 1"),
        json!([{"dstport": 22}, {"dstport": 23}])
    );
    assert_eq!(all("SELECT 1 AS a WHERE false"), json!([]));
}

#[test]
fn csv_is_safe_from_formulas() {
    let sql = "SELECT * FROM (VALUES (1, -5, '=1+1'), (2, 5, '+1'), (3, 5, '-1'), (4, 5, '@x'), (5, 5, chr(9) || 'x'), \
               (6, 5, chr(13) || 'x'), (7, 5, 'a,\"b\"'), (8, 5, ''), (9, NULL, NULL)) AS t(\"=id\", n, s) ORDER BY 1";
    let run = Desk::new().run(&["sql", "--format", "csv", sql]);
    assert_eq!(
        run.out,
        "'=id,n,s\n1,-5,'=1+1\n2,5,'+1\n3,5,'-1\n4,5,'@x\n5,5,\"'\tx\"\n6,5,\"'\rx\"\n7,5,\"a,\"\"b\"\"\"\n8,5,\"\"\n9,,\n"
    );
}

#[test]
fn tables_show_control_characters() {
    let sql = "SELECT chr(27) || '[2J' || chr(8238) || 'x' AS evil, 'two' || chr(10) || 'lines' AS s, 5 AS n";
    let desk = Desk::new();
    assert_eq!(
        desk.run(&["sql", "--format", "table", sql]).out,
        "evil           s          n\n─────────────  ─────────  ─\n␛[2J\\u{202e}x  two␊lines  5\n1 row\n"
    );
    let pages = desk.run(&["sql", "--format", "table", "-x", sql]).out;
    assert!(
        pages.contains("evil  ␛[2J\\u{202e}x\ns     two\n      lines\nn     5\n"),
        "{pages}"
    );
}

#[test]
fn control_characters_in_json_are_escaped_and_exact() {
    let run = Desk::new().run(&["sql", "SELECT chr(27) || chr(155) || chr(8238) AS evil"]);
    assert_eq!(run.out, "{\"evil\":\"\\u001b\\u009b\\u202e\"}\n");
    assert_eq!(run.rows()[0]["evil"], "\u{1b}\u{9b}\u{202e}");
}

#[test]
fn the_file_name_chooses_the_form_and_appears_when_complete() {
    let desk = Desk::new();
    for (file, start) in [
        ("r.csv", "dstport\n"),
        ("r.json", "["),
        ("r.ndjson", "{\"dstport\""),
        ("r.txt", "dstport\n─"),
        ("r.parquet", "PAR1"),
        ("r.arrow", "ARROW1"),
    ] {
        let run = desk.sql(&[
            "--output",
            file,
            "SELECT dstport FROM vpc_flow WHERE dstport IS NOT NULL",
        ]);
        assert_eq!((run.code, run.out.as_str()), (0, ""), "{}", run.err);
        let bytes = std::fs::read(desk.path(file)).unwrap();
        assert!(bytes.starts_with(start.as_bytes()), "{file}");
    }
    desk.sql(&["--output", "r.csv", "SELECT nonsense FROM vpc_flow"])
        .refuses(2, &["nonsense"]);
    desk.sql(&["--output", "new.csv", "SELECT 1 / (dstport - 22) FROM vpc_flow"])
        .refuses(2, &["ivide by zero"]);
    assert_eq!(
        desk.names("."),
        [
            "logs",
            "r.arrow",
            "r.csv",
            "r.json",
            "r.ndjson",
            "r.parquet",
            "r.txt"
        ]
    );
}

#[test]
fn columnar_files_read_back() {
    let desk = Desk::new();
    let sql = "SELECT srcaddr, bytes, event_time, _source FROM vpc_flow ORDER BY _line";
    let check = |batch: RecordBatch| {
        assert_eq!(batch.num_rows(), 4);
        assert_eq!(batch.schema().field(0).data_type(), &DataType::Utf8);
        assert_eq!(batch.column(0).as_string::<i32>().value(2), "10.0.0.5");
        assert_eq!(
            batch.column(1).as_primitive::<Int64Type>().value(2),
            9_007_199_254_740_993
        );
    };
    assert_eq!(desk.sql(&["-o", "r.parquet", sql]).code, 0);
    let file = std::fs::File::open(desk.path("r.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    check(reader.build().unwrap().next().unwrap().unwrap());

    assert_eq!(desk.sql(&["-o", "r.arrow", sql]).code, 0);
    let file = std::fs::File::open(desk.path("r.arrow")).unwrap();
    check(
        arrow::ipc::reader::FileReader::try_new(file, None)
            .unwrap()
            .next()
            .unwrap()
            .unwrap(),
    );
    // One batch of a large log must not carry the whole log along.
    assert!(std::fs::metadata(desk.path("r.arrow")).unwrap().len() < 10_000);
}

#[test]
fn one_columnar_file_holds_one_result() {
    let desk = Desk::new();
    desk.sql(&["-o", "r.parquet", "SELECT 1 AS a; SELECT 2 AS b"])
        .refuses(2, &["one parquet file holds one result"]);
    let run = desk.sql(&[
        "-o",
        "r.parquet",
        "CREATE VIEW v AS SELECT 1 AS a; SELECT a FROM v",
    ]);
    assert_eq!(run.code, 0, "{}", run.err);
}
