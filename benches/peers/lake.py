#!/usr/bin/env python3
"""Raw logs into the lake, and hunts on it, against the peers on the same files.

    benches/peers/lake.py [--data DIR] [--rounds 5] [--trailhound PATH]

Writing: `trailhound ingest` (sorted, with statistics, bloom filters, provenance columns, coverage and the commit)
against each peer's own way to zstd Parquet. Then the size of what was written, and the peak memory for ten times the
input. Hunting: the same questions on the lake's Parquet files, by trailhound and by DuckDB. Everything interleaved,
in processes of its own, start-up included; answers and counts are compared.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from run import HERE, ROOT, measure, normal, prepare

WRITES = {
    "write-flow": ("flow logs to the lake", "vpc_flow", ["polars", "chdb", "duckdb"]),
    "write-trail": ("CloudTrail to the lake", "cloudtrail", ["duckdb"]),
}
HUNTS = {
    "hunt-count": ("count, sum(bytes), count of REJECT", "vpc_flow",
                   "SELECT count(*), sum(bytes), count(*) FILTER (WHERE action = 'REJECT') FROM vpc_flow"),
    "hunt-top": ("top ten of (srcaddr, dstaddr, dstport)", "vpc_flow",
                 "SELECT srcaddr, dstaddr, dstport, sum(bytes) AS b FROM vpc_flow WHERE action = 'ACCEPT' "
                 "GROUP BY srcaddr, dstaddr, dstport ORDER BY b DESC, srcaddr, dstaddr, dstport LIMIT 10"),
    "hunt-interface": ("one interface in one day", "vpc_flow",
                       "SELECT dstaddr, dstport, sum(bytes) AS b FROM vpc_flow WHERE interface_id = '{0}' AND event_date = '{1}' "
                       "GROUP BY dstaddr, dstport ORDER BY b DESC, dstaddr, dstport LIMIT 10"),
    "hunt-key": ("one access key in thirty days", "cloudtrail",
                 "SELECT event_name, count(*) AS n FROM cloudtrail WHERE access_key_id = '{0}' AND event_date >= '{1}' "
                 "GROUP BY event_name ORDER BY n DESC, event_name"),
}


def size_of(path):
    """Bytes of all Parquet files below `path`."""
    files = [path] if path.is_file() else path.rglob("*.parquet")
    return sum(file.stat().st_size for file in files)


def table(title, results, peers):
    """Prints the lines of one task: medians, ratio to the best peer, peak memory."""
    best = min(statistics.median(seconds for seconds, _ in results[peer]) for peer in peers)
    for engine, runs in results.items():
        times = [seconds for seconds, _ in runs]
        median = statistics.median(times)
        peak = max(peak for _, peak in runs)
        print(f"| {title} | {engine} | {median:.2f} | {min(times):.2f} | {median / best:.2f} | {peak:.0f} |", flush=True)


def writes(args, trailhound, python, folders, work):
    """Times the writing; leaves trailhound's last lake in `work`/lake."""
    lake = work / "lake"
    for task, (title, name, peers) in WRITES.items():
        results = {engine: [] for engine in ["trailhound", *peers]}
        counts, sizes = {}, {}
        for round_number in range(args.rounds + 1):
            shutil.rmtree(lake / name, ignore_errors=True)
            shutil.rmtree(lake / "coverage", ignore_errors=True)
            shutil.rmtree(work / "lake.state", ignore_errors=True)
            for engine in results:
                out = work / f"{engine}.parquet"
                out.unlink(missing_ok=True)
                command = [python, HERE / "lake_peer.py", engine, task, folders[name], out]
                if engine == "trailhound":
                    command = [trailhound, "ingest", "--quiet", "--lake", lake, folders[name]]
                seconds, peak, text = measure(command)
                if round_number > 0:  # The first round warms the file cache.
                    results[engine].append((seconds, peak))
                if engine == "trailhound":
                    sizes[engine] = size_of(lake / name)
                    text = measure([trailhound, "sql", "--quiet", "--format", "ndjson", "--lake", lake,
                                    f"SELECT count(*) AS n FROM {name}"])[2]
                else:
                    sizes[engine] = size_of(out)
                counts[engine] = normal(text)
        if len({json.dumps(count) for count in counts.values()}) != 1:
            sys.exit(f"counts differ: {counts}")
        table(title, results, peers)
        print(f"| {title}: size | | " + ", ".join(f"{e} {b / 1e6:.1f} MB" for e, b in sizes.items())
              + f" | | {sizes['trailhound'] / sizes['duckdb']:.2f} of DuckDB's | |", flush=True)


def ten_times(args, trailhound, folders, work):
    """Peak memory of the same input ten times over, under other names."""
    source, lake = work / "ten", work / "ten-lake"
    source.mkdir()
    for file in folders["vpc_flow"].iterdir():
        for copy in range(10):
            os.link(file, source / f"{copy}-{file.name}")
    for title, folder in (("once", folders["vpc_flow"]), ("ten times", source)):
        shutil.rmtree(lake, ignore_errors=True)
        shutil.rmtree(work / "ten-lake.state", ignore_errors=True)
        seconds, peak, _ = measure([trailhound, "ingest", "--quiet", "--lake", lake, folder])
        print(f"| flow logs to the lake, {title} | trailhound | {seconds:.2f} | | | {peak:.0f} |", flush=True)


def hunts(args, trailhound, python, work):
    """Times the hunts on the lake that was written last."""
    lake = work / "lake"
    ask = [trailhound, "sql", "--quiet", "--format", "ndjson", "--lake", lake]
    some = lambda sql: normal(measure([*ask, sql])[2])[0]
    values = {
        "hunt-interface": some("SELECT interface_id, CAST(event_date AS VARCHAR) FROM vpc_flow GROUP BY 1, 2 ORDER BY count(*), 1 LIMIT 1"),
        "hunt-key": some("SELECT access_key_id, CAST(min(event_date) AS VARCHAR) FROM cloudtrail WHERE access_key_id IS NOT NULL "
                         "GROUP BY 1 ORDER BY count(*), 1 LIMIT 1"),
    }
    for task, (title, name, sql) in HUNTS.items():
        chosen = values.get(task, [])
        commands = {
            "trailhound": [*ask, sql.format(*chosen)],
            "duckdb": [python, HERE / "lake_peer.py", "duckdb", task, f"{lake / name}/**/*.parquet", json.dumps(chosen)],
        }
        results = {engine: [] for engine in commands}
        answers = {}
        for round_number in range(args.rounds + 1):
            for engine, command in commands.items():
                seconds, peak, text = measure(command)
                if round_number > 0:
                    results[engine].append((seconds, peak))
                answers[engine] = normal(text)
        if answers["duckdb"] != answers["trailhound"]:
            sys.exit(f"{task}: answers differ: {answers['duckdb'][:3]} and {answers['trailhound'][:3]}")
        table(f"hunt: {title}", results, ["duckdb"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "trailhound-peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trailhound", type=pathlib.Path, help="default: the release build of this checkout")
    args = parser.parse_args()
    trailhound, python, folders, versions = prepare(args)
    print(f"{versions}; {os.cpu_count()} cores; {args.rounds} rounds, interleaved, whole process\n")
    print("| task | engine | median s | min s | ratio to best peer | peak MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=args.data) as folder:
        work = pathlib.Path(folder)
        writes(args, trailhound, python, folders, work)
        hunts(args, trailhound, python, work)
        ten_times(args, trailhound, folders, work)


if __name__ == "__main__":
    main()
