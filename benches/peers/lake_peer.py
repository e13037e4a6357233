"""One task on Parquet to one engine: `lake_peer.py ENGINE TASK SOURCE MORE`. Prints rows as JSON lines.

`write-*` turns the raw logs in the folder SOURCE into the zstd Parquet file MORE and prints how many records it
holds; `hunt-*` asks the Parquet files that SOURCE, a glob, names, with the values in MORE. Each is written as that
engine's own documentation would have it for speed.
"""

import json
import sys

engine, task, source, more = sys.argv[1:]
FLOW = [
    ("version", "INTEGER"), ("account_id", "VARCHAR"), ("interface_id", "VARCHAR"), ("srcaddr", "VARCHAR"),
    ("dstaddr", "VARCHAR"), ("srcport", "INTEGER"), ("dstport", "INTEGER"), ("protocol", "INTEGER"),
    ("packets", "BIGINT"), ("bytes", "BIGINT"), ("start", "BIGINT"), ("end", "BIGINT"), ("action", "VARCHAR"),
    ("log_status", "VARCHAR"),
]
# A flat column each, and the whole record as text beside them: nothing of it is lost.
TRAIL = [
    "eventTime", "eventName", "eventSource", "awsRegion", "sourceIPAddress", "userAgent", "errorCode", "errorMessage",
    "eventID", "eventType", "recipientAccountId", "requestID", "readOnly", "userIdentity.type", "userIdentity.arn",
    "userIdentity.principalId", "userIdentity.accountId", "userIdentity.accessKeyId",
]


def show(rows):
    for row in rows:
        print(json.dumps({str(i): value for i, value in enumerate(row)}))


def duckdb_rows():
    import duckdb

    if task == "write-flow":
        columns = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in FLOW) + "}"
        rows = f"FROM read_csv('{source}/*.gz', delim=' ', header=true, nullstr='-', columns={columns})"
    elif task == "write-trail":
        picked = ", ".join(f"r->>'$.{name}' AS \"{name}\"" for name in TRAIL)
        rows = (
            f"SELECT {picked}, r AS record FROM (SELECT unnest(Records) AS r FROM read_json('{source}/*.gz', "
            "format='unstructured', columns={'Records': 'JSON[]'}, maximum_object_size=100000000))"
        )
    else:
        values = json.loads(more)
        table = f"read_parquet('{source}', hive_partitioning=true)"
        sql = {
            "hunt-count": f"SELECT count(*), sum(bytes), count(*) FILTER (WHERE action = 'REJECT') FROM {table}",
            "hunt-top": f"SELECT srcaddr, dstaddr, dstport, sum(bytes) b FROM {table} WHERE action = 'ACCEPT' "
            "GROUP BY ALL ORDER BY b DESC, srcaddr, dstaddr, dstport LIMIT 10",
            "hunt-interface": f"SELECT dstaddr, dstport, sum(bytes) b FROM {table} WHERE interface_id = $1 "
            "AND event_date = $2 GROUP BY ALL ORDER BY b DESC, dstaddr, dstport LIMIT 10",
            "hunt-key": f"SELECT event_name, count(*) n FROM {table} WHERE access_key_id = $1 AND event_date >= $2 "
            "GROUP BY ALL ORDER BY n DESC, event_name",
        }[task]
        found = duckdb.execute(sql, values).fetchall()
        show([[int(v) if hasattr(v, "as_integer_ratio") else v for v in row] for row in found])
        return
    show([[duckdb.execute(f"COPY ({rows}) TO '{more}' (FORMAT parquet, COMPRESSION zstd)").fetchone()[0]]])


def chdb_rows():
    import chdb

    kinds = {"INTEGER": "Nullable(Int32)", "BIGINT": "Nullable(Int64)", "VARCHAR": "Nullable(String)"}
    columns = ", ".join(f"`{name}` {kinds[kind]}" for name, kind in FLOW)
    chdb.query(
        f"INSERT INTO FUNCTION file('{more}', 'Parquet') SELECT * FROM file('{source}/*.gz', "
        f"'CustomSeparatedWithNames', '{columns}') SETTINGS format_custom_field_delimiter=' ', "
        "format_custom_escaping_rule='CSV', format_csv_null_representation='-', input_format_with_names_use_header=0, "
        "output_format_parquet_compression_method='zstd', engine_file_truncate_on_insert=1"
    )
    show([[int(str(chdb.query(f"SELECT count() FROM file('{more}', 'Parquet')", "TabSeparated")))]])


def polars_rows():
    import polars as pl

    kinds = {"INTEGER": pl.Int32, "BIGINT": pl.Int64, "VARCHAR": pl.String}
    schema = {name.replace("_", "-"): kinds[kind] for name, kind in FLOW}  # As the header has them.
    flow = pl.scan_csv(f"{source}/*.gz", separator=" ", has_header=True, schema=schema, null_values="-")
    flow.sink_parquet(more, compression="zstd")
    show([[pl.scan_parquet(more).select(pl.len()).collect().item()]])


{"duckdb": duckdb_rows, "chdb": chdb_rows, "polars": polars_rows}[engine]()
