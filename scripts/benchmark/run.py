"""scripts/bench from its arguments to its result."""

import dataclasses
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from . import arguments as asked
from . import goals, peers, report, series
from .guarding import Guarding
from .production import Production
from .server import MAJOR, SETTINGS, Server
from .suite import Bench, seconds_expected, tell

KINDS = {"guard": Guarding, "production": Production}
QUIET_LOAD = 1.2  # above it others are at work, and the figures say little
QUIET_SHARE = 0.05


@dataclasses.dataclass
class Machine:
    """What every suite uses."""

    holdpoint: Path
    server: Server
    engine: peers.Engine | None
    peers: dict
    path: list
    cache: Path
    work: Path


def build(parts):
    subprocess.run([asked.ROOT / "scripts/setup", *parts], check=True, stdout=sys.stderr)
    subprocess.run(["cargo", "build", "--release", "--locked", "--package", "holdpoint"], cwd=asked.ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", asked.ROOT / "target")) / "release/holdpoint"


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine


def main():
    arguments = asked.read()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for program in ("bash", "gzip", "gunzip"):
        if not shutil.which(program):
            raise SystemExit(f"bench: {program} is missing")
    to_s3 = any(suite.place == "s3" for suite in arguments.suites)
    parts = [f"postgresql-{MAJOR}", *(["seaweedfs", "awscli"] if to_s3 else []),
             *(part for suite in arguments.suites for part in getattr(KINDS.get(suite.name), "PARTS", []))]
    holdpoint = (arguments.holdpoint or build(parts)).resolve()
    cache = Path(os.environ.get("HOLDPOINT_CACHE", asked.ROOT / ".cache")).resolve()
    found = peers.find(cache, arguments.offline or arguments.quick)
    expected = {suite.name: seconds_expected(suite, arguments) for suite in arguments.suites}
    tell("expected on two cores: " + ", ".join(f"{name} {seconds / 60:.1f} min" for name, seconds in expected.items())
         + f"; {sum(expected.values()) / 60:.0f} minutes together")
    load_before = os.getloadavg()[0]
    work = Path(tempfile.mkdtemp(prefix="hp-bench-", dir=arguments.directory))
    work.chmod(0o711)  # the server's user must pass
    server = Server(cache / f"postgresql/{MAJOR}/bin", work)
    engine = peers.Engine(cache, work) if to_s3 else None
    path = [server.bin, cache / "awscli/bin", *{Path(one).parent for one in found.values()}, os.environ["PATH"]]
    machine = Machine(holdpoint, server, engine, found, path, cache, work)
    results, recorded = [], []
    try:
        server.start()
        if engine:
            engine.start()
        versions = [server.sql("SHOW server_version", "postgres"),
                    subprocess.run([holdpoint, "--version"], stdout=subprocess.PIPE).stdout.decode().strip()]
        for suite in arguments.suites:
            bench = KINDS.get(suite.name, Bench)(suite, arguments, machine)
            results.append(bench.run())
            recorded += bench.series
    finally:
        server.stop()
        if engine:
            engine.stop()
        shutil.rmtree(work, ignore_errors=True)
    runs = [one for result in results for each in result["measured"].values() for one in each]
    wall = sum(one["wall_seconds"] for one in runs) or 1.0
    share = sum(one["others_cpu_seconds"] for one in runs) / (wall * os.cpu_count())
    facts = {
        "date": datetime.date.today().isoformat(), "machine": f"{os.cpu_count()} × {processor()}",
        "command": " ".join(["scripts/bench", *sys.argv[1:]]), "postgresql": versions[0], "holdpoint": versions[1],
        "jobs": arguments.jobs, "load_before": round(load_before, 2), "others_share": round(share, 3),
        "quiet": load_before <= QUIET_LOAD and share <= QUIET_SHARE, "settings": SETTINGS,
        "missing": [name for name in ("pigz", "pgcopydb") if name not in found],
    }
    reached = goals.judged(results, arguments.jobs)
    text = report.markdown(facts, results, reached)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text)
    if arguments.json:
        arguments.json.write_text(json.dumps({"facts": facts, "goals": reached, "suites": results}, indent=1) + "\n")
    if arguments.record:
        series.write(arguments.record, recorded, facts)
    failed = [f"{result['suite']}: {name}" for result in results for name in result["failures"]]
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0
