#!/usr/bin/env python3
"""The same questions, over the same generated raw logs, to trailhound and its peers.

    benches/peers/run.py [--data DIR] [--rounds 7] [--trailhound PATH]

Generates the data (4 million flow records in 16 gzip files; 200,000 CloudTrail
events in 40), installs DuckDB, chdb and Polars in a virtual environment, then
asks each engine each question, interleaved, each time in a process of its own:
start-up is included. Prints medians, ratios to the best peer, and peak memory of
that one run. Answers are compared, so nobody is fast by being wrong.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = ["duckdb", "chdb", "polars"]

# Question -> what to run. The peers' side is in peer.py, told by the same names.
QUESTIONS = {
    "flow-count": (
        "flow logs: count, sum(bytes), count of REJECT",
        "vpc_flow",
        "SELECT count(*) AS n, sum(bytes) AS b, count(*) FILTER (WHERE action = 'REJECT') AS r FROM vpc_flow",
    ),
    "flow-top": (
        "flow logs: top ten of (srcaddr, dstaddr, dstport) by bytes, ACCEPT only",
        "vpc_flow",
        "SELECT srcaddr, dstaddr, dstport, sum(bytes) AS b FROM vpc_flow WHERE action = 'ACCEPT' "
        "GROUP BY srcaddr, dstaddr, dstport ORDER BY b DESC, srcaddr, dstaddr, dstport LIMIT 10",
    ),
    "trail-names": (
        "CloudTrail: events by eventName",
        "cloudtrail",
        "SELECT event_name AS name, count(*) AS n FROM cloudtrail GROUP BY event_name ORDER BY n DESC, name",
    ),
}


def measure(command):
    """Wall seconds, peak memory in MB and standard output of one process."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}\nfailed: {err.read().decode(errors='replace')}")
        return seconds, usage.ru_maxrss / 1024, out.read().decode()


def normal(text):
    """An answer as lists of values, whatever the names of the columns."""
    rows = [list(json.loads(line).values()) for line in text.splitlines() if line.strip()]
    return [[int(v) if isinstance(v, float) and v.is_integer() else v for v in row] for row in rows]


def prepare(args):
    """Builds trailhound, generates the logs, installs the peers: (trailhound, python, folders by table, versions)."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    if not args.trailhound or not args.data.exists():
        subprocess.run(["cargo", "build", "--release", "--bins", "--example", "generate"], cwd=ROOT, check=True)
    trailhound = args.trailhound or target / "release" / "trailhound"
    folders = {"vpc_flow": args.data / "flow", "cloudtrail": args.data / "cloudtrail"}
    for kind, folder in (("flow", folders["vpc_flow"]), ("cloudtrail", folders["cloudtrail"])):
        if not folder.exists():
            print(f"generating {folder}", file=sys.stderr)
            subprocess.run([target / "release" / "examples" / "generate", kind, folder], check=True)
    environment = args.data / "venv"
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
    versions = subprocess.run(
        [python, "-c", f"import importlib.metadata as m; print(*(p + ' ' + m.version(p) for p in {PEERS}), sep=', ')"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()
    return trailhound, python, folders, versions


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "trailhound-peers")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--trailhound", type=pathlib.Path, help="default: the release build of this checkout")
    parser.add_argument("--only", choices=QUESTIONS, action="append")
    args = parser.parse_args()

    trailhound, python, folders, versions = prepare(args)
    print(f"{versions}; {os.cpu_count()} cores; {args.rounds} rounds, interleaved, whole process\n")

    print("| question | engine | median s | min s | ratio to best peer | peak MB |")
    print("|---|---|---|---|---|---|")
    for name in args.only or QUESTIONS:
        title, table, sql = QUESTIONS[name]
        folder = folders[table]
        commands = {"trailhound": [trailhound, "sql", "--quiet", "--format", "ndjson", "--from", f"{table}={folder}", sql]}
        for peer in PEERS:
            commands[peer] = [python, HERE / "peer.py", peer, name, folder]
        times = {engine: [] for engine in commands}
        peaks = {engine: [] for engine in commands}
        answers = {}
        for round_number in range(args.rounds + 1):
            for engine, command in commands.items():
                seconds, peak, text = measure(command)
                if round_number > 0:  # The first round warms the file cache.
                    times[engine].append(seconds)
                    peaks[engine].append(peak)
                answers[engine] = normal(text)
        for engine, answer in answers.items():
            if answer != answers["trailhound"]:
                print(f"answers differ: {engine} says {answer[:3]}, trailhound {answers['trailhound'][:3]}", file=sys.stderr)
                sys.exit(1)
        best = min(statistics.median(times[peer]) for peer in PEERS)
        for engine in commands:
            median = statistics.median(times[engine])
            print(f"| {title} | {engine} | {median:.2f} | {min(times[engine]):.2f} | {median / best:.2f} | {max(peaks[engine]):.0f} |", flush=True)


if __name__ == "__main__":
    main()
