"""What the checks against other people's programs share: packages, the program under test, and a tally."""

import json
import os
import pathlib
import subprocess
import sys
import venv

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "trailhound"

# One question a table, whose answer changes when a row is lost, doubled or altered.
FACTS = {
    "vpc_flow": "SELECT count(*) AS n, sum(bytes) AS bytes, count(DISTINCT interface_id) AS interfaces, "
    "count(DISTINCT srcaddr) AS sources FROM vpc_flow",
    "cloudtrail": "SELECT count(*) AS n, count(DISTINCT event_id) AS ids, "
    "sum(length(request_parameters)) AS characters FROM cloudtrail",
    "container_logs": "SELECT count(*) AS n, count(DISTINCT task_id) AS tasks, "
    "sum(length(message)) AS characters FROM container_logs",
}

# Where the demo's logs of each table lie.
FOLDERS = {
    "vpc_flow": "AWSLogs/*/vpcflowlogs",
    "cloudtrail": "AWSLogs/*/CloudTrail",
    "container_logs": "exportedlogs/*/*",
}


def with_packages(*packages):
    """Runs the script anew in a virtual environment that has the packages. Exits with 77 if they cannot be had."""
    home = CACHE / "venv"
    if pathlib.Path(sys.prefix).resolve() == home.resolve():
        return
    python = home / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        if not python.exists():
            venv.create(home, with_pip=True)
        subprocess.run([*pip, *packages], check=True, timeout=900)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{error}", file=sys.stderr)
        sys.exit(77)
    os.execv(python, [str(python), *sys.argv])


class Trailhound:
    """The program under test."""

    def __init__(self, binary, **environment):
        self.binary = pathlib.Path(binary).resolve()
        self.environment = {**os.environ, **environment}
        self.said = ""

    def run(self, *arguments, exits=(0,), timeout=600):
        """Standard output of one command; what it says on standard error is kept in `said`."""
        done = subprocess.run(
            [self.binary, *map(str, arguments)],
            env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
        )
        self.said = done.stderr
        if done.returncode not in exits:
            sys.exit(f"trailhound {' '.join(map(str, arguments))}\nexit code {done.returncode}: {done.stderr}")
        return done.stdout

    def rows(self, sql, *where):
        """A query's rows, as dictionaries."""
        text = self.run("sql", "--quiet", "--format", "ndjson", *where, sql)
        return [json.loads(line) for line in text.splitlines()]

    def raw_facts(self, logs, table):
        """The facts of one table, from raw logs."""
        return self.rows(FACTS[table], "--from", f"{table}={logs}/{FOLDERS[table]}")[0]

    def facts(self, table, *where):
        """The same facts from a lake."""
        return self.rows(FACTS[table], *where)[0]


class Tally:
    """Prints one line a check."""

    def __init__(self):
        self.checks = 0
        self.failures = 0

    def equal(self, what, found, expected):
        """One check."""
        self.checks += 1
        if found == expected:
            print(f"ok      {what}: {shown(found)}", flush=True)
        else:
            self.failures += 1
            print(f"FAILED  {what}: {shown(found)}, expected {shown(expected)}", flush=True)

    def end(self):
        """Says how it went, and ends the program."""
        print(f"{self.checks} checks, {self.failures} failed")
        sys.exit(1 if self.failures else 0)


def shown(value):
    """A value in few words."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(one)}" for key, one in value.items())
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
