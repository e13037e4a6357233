"""One question to one engine: `peer.py ENGINE QUESTION FOLDER`. Prints rows as JSON lines.

Each is written as that engine's own documentation would have it for speed.
"""

import json
import sys

engine, question, folder = sys.argv[1:]
FLOW = [
    ("version", "INTEGER"), ("account_id", "VARCHAR"), ("interface_id", "VARCHAR"), ("srcaddr", "VARCHAR"),
    ("dstaddr", "VARCHAR"), ("srcport", "INTEGER"), ("dstport", "INTEGER"), ("protocol", "INTEGER"),
    ("packets", "BIGINT"), ("bytes", "BIGINT"), ("start", "BIGINT"), ("end", "BIGINT"), ("action", "VARCHAR"),
    ("log_status", "VARCHAR"),
]


def show(rows):
    for row in rows:
        print(json.dumps({str(i): value for i, value in enumerate(row)}))


def duckdb_rows():
    import duckdb

    columns = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in FLOW) + "}"
    flow = f"read_csv('{folder}/*.gz', delim=' ', header=true, nullstr='-', columns={columns})"
    trail = (
        f"(SELECT unnest(Records) AS r FROM read_json('{folder}/*.gz', format='unstructured', "
        "columns={'Records': 'JSON[]'}, maximum_object_size=100000000))"
    )
    sql = {
        "flow-count": f"SELECT count(*), sum(bytes), count(*) FILTER (WHERE action = 'REJECT') FROM {flow}",
        "flow-top": f"SELECT srcaddr, dstaddr, dstport, sum(bytes) b FROM {flow} WHERE action = 'ACCEPT' "
        "GROUP BY ALL ORDER BY b DESC, srcaddr, dstaddr, dstport LIMIT 10",
        "trail-names": f"SELECT r->>'$.eventName' name, count(*) n FROM {trail} GROUP BY name ORDER BY n DESC, name",
    }[question]
    show([[int(v) if hasattr(v, "as_integer_ratio") else v for v in row] for row in duckdb.sql(sql).fetchall()])


def chdb_rows():
    import chdb

    kinds = {"INTEGER": "Nullable(Int32)", "BIGINT": "Nullable(Int64)", "VARCHAR": "String"}
    columns = ", ".join(f"`{name}` {kinds[kind]}" for name, kind in FLOW)
    flow = f"file('{folder}/*.gz', 'CustomSeparatedWithNames', '{columns}')"
    settings = (
        " SETTINGS format_custom_field_delimiter=' ', format_custom_escaping_rule='CSV', "
        "format_csv_null_representation='-', input_format_with_names_use_header=0"
    )
    # Text extraction: the fastest that it has for one key of all records of a line.
    trail = f"file('{folder}/*.gz', 'LineAsString', 'line String')"
    sql = {
        "flow-count": f"SELECT count(), sum(bytes), countIf(action = 'REJECT') FROM {flow}" + settings,
        "flow-top": f"SELECT srcaddr, dstaddr, dstport, sum(bytes) b FROM {flow} WHERE action = 'ACCEPT' "
        "GROUP BY srcaddr, dstaddr, dstport ORDER BY b DESC, srcaddr, dstaddr, dstport LIMIT 10" + settings,
        "trail-names": "SELECT arrayJoin(extractAll(line, '\"eventName\":\"([^\"]*)\"')) name, count() n "
        f"FROM {trail} GROUP BY name ORDER BY n DESC, name",
    }[question]
    text = chdb.query(sql, "JSONCompactEachRow")
    rows = [json.loads(line) for line in str(text).splitlines() if line.strip()]
    show([[int(v) if isinstance(v, str) and v.isdigit() else v for v in row] for row in rows])


def polars_rows():
    import glob

    import polars as pl

    if question == "trail-names":
        import gzip

        counts = None
        for file in sorted(glob.glob(f"{folder}/*.gz")):
            with gzip.open(file) as text:
                schema = {"Records": pl.List(pl.Struct({"eventName": pl.String}))}
                names = pl.read_json(text.read(), schema=schema).explode("Records").unnest("Records")
            part = names.group_by("eventName").len()
            counts = part if counts is None else pl.concat([counts, part])
        result = counts.group_by("eventName").agg(pl.col("len").sum()).sort(["len", "eventName"], descending=[True, False])
        show(result.rows())
        return
    kinds = {"INTEGER": pl.Int32, "BIGINT": pl.Int64, "VARCHAR": pl.String}
    schema = {name.replace("_", "-"): kinds[kind] for name, kind in FLOW}  # As the header has them.
    flow = pl.scan_csv(f"{folder}/*.gz", separator=" ", has_header=True, schema=schema, null_values="-")
    if question == "flow-count":
        result = flow.select(pl.len(), pl.col("bytes").sum(), (pl.col("action") == "REJECT").sum().alias("r"))
    else:
        keys = ["srcaddr", "dstaddr", "dstport"]
        result = (
            flow.filter(pl.col("action") == "ACCEPT").group_by(keys).agg(pl.col("bytes").sum().alias("b"))
            .sort(["b", *keys], descending=[True, False, False, False]).head(10)
        )
    show(result.collect(engine="streaming").rows())


{"duckdb": duckdb_rows, "chdb": chdb_rows, "polars": polars_rows}[engine]()
