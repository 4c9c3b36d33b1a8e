"""Runs the cases of one suite, and believes none before its result was counted."""

import json
import os
import shutil
import statistics
import subprocess
import sys

from . import cases, databases
from .link import Link
from .measure import Failed, measure, rows_of_text


REST_SECONDS = 10


def tell(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def stored_bytes(path):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def fills_target(case):
    """Whether it needs an empty database. What holdpoint brings back of one table lies beside the live one."""
    return case.group == "restore" or (case.table is not None and not case.ours)


def counted(case, chosen):
    """Whether its result is to be counted as text: what a later case reads fails there."""
    return case.text is not None and not any(other.reads == case.makes for other in chosen)


def seconds_expected(suite, arguments):
    """About how long a suite takes on two cores: filling, every case, counting what no case reads."""
    if suite.name == "guard":
        return 15 + 180 * suite.bytes / 10**9 * suite.runs
    gigabytes, chosen = suite.bytes / 10**9, cases.wanted(suite, arguments)
    tables = arguments.tables if suite.database == "many" else 70
    table = {"backup": 0.0005, "proof": 0.004, "restore": 0.006}
    each = sum((case.cost * gigabytes + 1.5 + tables * table.get(case.group, 0)) * min(suite.runs, case.most) for case in chosen)
    # pgbench alone before and after each.
    each += 2 * REST_SECONDS * len(chosen) if suite.name == "production" else 0
    read = sum(5 * gigabytes + tables * 0.0006 for case in chosen if counted(case, chosen))
    return 5 + 45 * gigabytes + tables * 0.002 + each + read


class Bench:
    """One suite's database, repository and points."""

    def __init__(self, suite, arguments, machine):
        self.suite, self.arguments, self.machine = suite, arguments, machine
        self.server, self.engine = machine.server, machine.engine if suite.place == "s3" else None
        self.name = "bench_" + suite.name.replace(" ", "_").lower()
        self.work = machine.work / self.name
        self.work.mkdir()
        self.repository = self.work / "repository"
        url = "s3://bench/holdpoint" if self.engine else f"file://{self.repository}"
        self.points, self.measured, self.failures, self.series = {}, {}, {}, []
        self.environment = {
            "PATH": ":".join(map(str, machine.path)), "HOME": os.environ.get("HOME", "/"), "TMPDIR": str(self.work),
            "LC_ALL": "C", "DATABASE_URL": self.server.url(self.name), "SOURCE": self.server.url(self.name),
            "HOLDPOINT_REPOSITORY": url, "HOLDPOINT_POSTGRESQL_DIRECTORY": str(self.server.bin.parent.parent),
            **(self.engine.environment() if self.engine else {}),
        }
        self.expected, self.data_bytes, self.contents, self.link = {}, 0, {}, None

    def run(self):
        """Fills, runs every case as often as asked, cleans up; returns what report.py tells."""
        suite = self.suite
        tell(f"{suite.name}: filling {suite.bytes / 1e6:,.0f} MB")
        self.expected = databases.fill(self.server, self.name, suite, self.arguments)
        subprocess.run([self.machine.holdpoint, "init", "--quiet"], env=self.environment, cwd=self.work, check=True,
                       stdout=subprocess.DEVNULL)
        # The first reader would pay for cold caches alone.
        subprocess.run(["bash", "-c", 'pg_dump -d "$SOURCE" > /dev/null'], env=self.environment, check=True)
        chosen = [case for case in cases.wanted(suite, self.arguments)
                  if case.needs is None or case.needs in self.machine.peers]
        self.link = Link(self.engine.port) if any(case.link for case in chosen) else None
        for number in range(1, suite.runs + 1):
            for case in chosen:
                if number <= case.most:
                    self.attempt(number, case, counted(case, chosen))
        if self.link:
            self.link.stop()
        self.server.drop(self.name)
        shutil.rmtree(self.work, ignore_errors=True)
        return {
            "suite": suite.name, "place": suite.place, "title": suite.title, "runs": suite.runs, "rows": sum(self.expected.values()),
            "tables": len(self.expected), "copy_bytes": self.data_bytes,
            "cases": [{"group": case.group, "name": case.name, "ours": case.ours, "jobs": case.jobs} for case in chosen],
            # What failed once is no result, however fast the other runs were.
            "medians": {name: median(runs) for name, runs in self.measured.items() if name not in self.failures},
            "measured": self.measured, "failures": self.failures,
        }

    def attempt(self, number, case, count):
        """A case that fails is told, and the others go on."""
        if case.name in self.failures:
            return
        try:
            taken = self.once(case, count and case.name not in self.measured)
        except (Failed, subprocess.CalledProcessError) as failure:
            self.failures[case.name] = str(failure)
            tell(f"{self.suite.name}: {case.name}: FAILED: {failure}")
            return
        finally:
            if fills_target(case):
                self.server.drop("target")
        self.measured.setdefault(case.name, []).append(taken)
        tell(f"{self.suite.name}: run {number}: {case.name}: {taken['wall_seconds']:.1f} s "
             f"(others used {taken['others_cpu_seconds']:.1f} CPU s)")

    def once(self, case, count):
        environment = dict(self.environment)
        if fills_target(case):
            self.server.create("target")
            environment["TARGET"] = self.server.url("target")
        if case.reads:
            self.must_be_there(case)
        if case.reads in self.points:
            environment["ARCHIVE"] = self.archive(case.reads)
        if case.ours:
            command = [self.machine.holdpoint, *self.words(case)]
        else:
            if case.makes:
                remove(self.work / case.makes)
            command = ["bash", "-o", "pipefail", "-c", case.what]
        if case.link:
            environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{self.link.port}"
        passed = self.link.fetched_bytes if case.link else 0
        taken, said, listener = measure(command, environment, self.work, self.server, self.engine)
        if case.link:
            taken["link_bytes"] = self.link.fetched_bytes - passed
        if case.ours:
            self.series.append({"suite": self.suite.name, "case": case.name, "jobs": case.jobs or self.arguments.jobs,
                                "events": listener.events, "wall_seconds": taken["wall_seconds"]})
        if case.group == "backup":
            self.stored(case, taken, said)
            if count:
                self.count(case, dict(environment, ARCHIVE=self.archive(case.makes) if case.ours else ""))
        elif case.group == "proof" and json.loads(said)["verification"]["verdict"] != "proved":
            raise Failed(f"not proved: {said[:2000]}")
        elif case.group == "restore":
            taken["loaded_seconds"] = (listener.phase_at("restored") if case.ours else None) or taken["wall_seconds"]
            self.match("the target", self.server.counts("target"))
        elif case.table:
            self.recovered(case, taken, said)
        return taken

    def recovered(self, case, taken, said):
        """Counts the rows of the one table; of holdpoint's also notes what had to be read for it."""
        database, table = "target", f"public.{case.table}"
        if case.ours:
            report = json.loads(said)
            database, table = self.name, report["tables"][0]["side"]
            block = report["tables"][0]["stored_bytes"]
            taken["archive_needed_bytes"] = self.contents[case.reads]["head"] + block
            taken["needed_bytes"] = sum(self.contents[case.reads].values()) + block
        rows = int(self.server.sql(f"SELECT count(*) FROM {table}", database))
        if case.ours:
            self.server.sql(f"SET client_min_messages = warning; DROP SCHEMA {report['side_schema']} CASCADE", database)
        if rows != self.expected[case.table]:
            raise Failed(f"{rows} rows of {case.table} came back, expected {self.expected[case.table]}")

    def words(self, case):
        jobs = ["--jobs", str(case.jobs or self.arguments.jobs), "--json", "--progress", "json"]
        if case.group == "proof":
            return [*case.what, self.points[case.reads], *jobs]
        if case.group == "restore" or case.table:
            return [*case.what, "--from", self.points[case.reads], *jobs]
        if case.makes in self.points and not self.engine:
            remove(self.folder(case.makes))
        return [*case.what, *jobs]

    def must_be_there(self, case):
        made = case.reads in self.points if case.ours or case.reads in ("gzip", "zstd", "none") else (
            self.engine is not None or (self.work / case.reads).exists())
        if not made:
            raise Failed(f"{case.reads} is not there to be read")

    def folder(self, key):
        return next(self.repository.glob(f"*/restore-points/{self.points[key]}"))

    def archive(self, key):
        if self.engine:
            return f"s3://bench/holdpoint/{self.name_in_repository}/restore-points/{self.points[key]}/archive.dump"
        return str(self.folder(key) / "archive.dump")

    def stored(self, case, taken, said):
        """Notes the size of what a backup made, and its point."""
        if case.ours:
            manifest = json.loads(said)["manifest"]
            self.points[case.makes], self.data_bytes = manifest["id"], manifest["totals"]["data_bytes"]
            self.name_in_repository = manifest["database"]
            if self.engine:
                self.contents[case.makes] = self.contents_of(manifest)
            taken["stored_bytes"] = (sum(manifest[part]["bytes"] for part in ("archive", "index", "globals"))
                                     if self.engine else stored_bytes(self.folder(case.makes)))
        elif self.engine:
            taken["stored_bytes"] = self.engine.size(case.makes)
        else:
            taken["stored_bytes"] = stored_bytes(self.work / case.makes)

    def contents_of(self, manifest):
        """Bytes of what says where a restore point's rows are, by object."""
        folder = f"holdpoint/{manifest['database']}/restore-points/{manifest['id']}"
        return {"manifest": self.engine.size(f"{folder}/manifest.json"), "index": manifest["index"]["bytes"],
                "head": manifest["archive"]["head_bytes"]}

    def count(self, case, environment):
        self.match("what was made", rows_of_text(case.text, environment, self.work))

    def match(self, what, counts):
        wrong = [f"{name}: {counts.get(name)} rows, expected {rows}" for name, rows in self.expected.items()
                 if counts.get(name) != rows]
        if wrong:
            raise Failed(f"{what} differs in {len(wrong)} tables: {'; '.join(wrong[:3])}")


def median(runs):
    return {key: statistics.median(one[key] for one in runs) for key in runs[0]}
