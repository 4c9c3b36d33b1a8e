"""What it takes to hold a migration: nothing pending, a preparation and where its time goes, a run that relies on it."""

import json
import os
import shutil
import statistics
import subprocess
import sys

from . import databases
from .measure import Failed, measure
from .suite import tell

# What takes a column with its values, so that a restore point of its own is asked for, and rewrites nothing.
MIGRATION = """-- Up Migration
ALTER TABLE {table} DROP COLUMN {column};
-- Down Migration
ALTER TABLE {table} ADD COLUMN {column} text;
"""
NAME = "20261121090000000_drop"
FIRST = "-- Up Migration\nCREATE TABLE first_migration (id int PRIMARY KEY);\n-- Down Migration\nDROP TABLE first_migration;\n"
# The real tool, as a team calls it; its own program and not `npx`, whose start would hide what is measured.
UP = ["node_modules/.bin/node-pg-migrate", "up"]


class Guarding:
    """The suite `guard`."""

    PARTS = ["migration-tools"]  # what scripts/setup must install for it

    def __init__(self, suite, arguments, machine):
        self.suite, self.arguments, self.machine, self.series = suite, arguments, machine, []
        self.server, self.name = machine.server, "bench_guard"
        self.work = machine.work / self.name
        (self.work / "migrations").mkdir(parents=True)
        (self.work / "package.json").write_text(json.dumps({"private": True, "dependencies": {"node-pg-migrate": "*"}}))
        (self.work / "node_modules").symlink_to(machine.cache / "migration-tools/node-pg-migrate/node_modules")
        url = self.server.url(self.name)
        self.environment = {
            "PATH": ":".join(map(str, machine.path)), "HOME": os.environ.get("HOME", "/"), "TMPDIR": str(self.work),
            "LC_ALL": "C", "DATABASE_URL": url, "SOURCE": url,
            "HOLDPOINT_REPOSITORY": f"file://{self.work / 'repository'}",
            "HOLDPOINT_POSTGRESQL_DIRECTORY": str(self.server.bin.parent.parent),
        }

    def run(self):
        tell(f"guard: filling {self.suite.bytes / 1e6:,.0f} MB")
        expected = databases.fill(self.server, self.name, self.suite, self.arguments)
        subprocess.run([self.machine.holdpoint, "init", "--quiet"], env=self.environment, cwd=self.work, check=True,
                       stdout=subprocess.DEVNULL)
        (self.work / "migrations/20261120090000000_first.sql").write_text(FIRST)
        subprocess.run(UP, env=self.environment, cwd=self.work, check=True, stdout=sys.stderr)
        measured, phases, failures = {}, {}, {}
        for _ in range(self.suite.runs):
            try:
                self.once(measured, phases)
            except (Failed, subprocess.CalledProcessError) as failure:
                failures["guard"] = str(failure)
                tell(f"guard: FAILED: {failure}")
                break
        self.server.drop(self.name)
        shutil.rmtree(self.work, ignore_errors=True)
        names = list(measured)
        return {
            "suite": "guard", "place": "local", "title": self.suite.title, "runs": self.suite.runs,
            "rows": sum(expected.values()), "tables": len(expected), "copy_bytes": self.suite.bytes,
            "cases": [{"group": "guard", "name": name, "ours": name.startswith("holdpoint"), "jobs": None}
                      for name in names],
            "medians": {name: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
                        for name, runs in measured.items() if not failures},
            "phases": {name: statistics.median(each) for name, each in phases.items()},
            "measured": measured, "failures": failures,
        }

    def once(self, measured, phases):
        """One round, with nothing pending and with one migration; the column is there again afterwards."""
        line = ["bash", "-o", "pipefail", "-c", "pg_dump -d $SOURCE | gzip > plain.sql.gz"]
        self.note(measured, "pg_dump | gzip", self.take(line)[0])
        self.note(measured, "node-pg-migrate up, nothing pending", self.take(UP)[0])
        self.guard(measured, "holdpoint guard, nothing pending", relies=False)
        file = self.work / "migrations" / f"{NAME}.sql"
        file.write_text(MIGRATION.format(table=databases.COLUMN_TO_DROP[0], column=databases.COLUMN_TO_DROP[1]))
        try:
            self.note(measured, "node-pg-migrate up, one migration", self.take(UP)[0])
            self.as_before()
            self.guard(measured, "holdpoint guard, one migration", relies=False)
            self.as_before()
            taken, report, listener = self.holdpoint("prepare")
            if report["rehearsal"]["outcome"] != "as_planned" or report["verification"]["verdict"] != "proved":
                raise Failed(f"not as planned: {json.dumps(report)[:2000]}")
            for phase, seconds in spent(listener.events, taken["wall_seconds"]):
                phases.setdefault(phase, []).append(seconds)
            self.note(measured, "holdpoint prepare", taken)
            self.guard(measured, "holdpoint guard, prepared", relies=True)
            self.as_before()
        finally:
            file.unlink()

    def take(self, command):
        return measure(command, self.environment, self.work, self.server)

    def holdpoint(self, verb):
        words = [verb, "--jobs", str(self.arguments.jobs), "--json", "--progress", "json", "--", *UP]
        taken, said, listener = self.take([self.machine.holdpoint, *words])
        return taken, json.loads(said), listener

    def guard(self, measured, name, relies):
        taken, report, _ = self.holdpoint("guard")
        if report["state"] != "succeeded" or bool(report["prepared_by"]) != relies:
            raise Failed(f"{name}: {json.dumps(report)[:2000]}")
        taken["command_seconds"] = report["command_took_ms"] / 1000
        self.note(measured, name, taken)

    def as_before(self):
        """Takes the migration back, which must have been applied."""
        table, column = databases.COLUMN_TO_DROP
        gone = self.server.sql(f"DELETE FROM pgmigrations WHERE name = '{NAME}' RETURNING name", self.name)
        if gone != NAME:
            raise Failed("the migration was not applied")
        self.server.sql(f"ALTER TABLE {table} ADD COLUMN {column} text", self.name)

    @staticmethod
    def note(measured, name, taken):
        measured.setdefault(name, []).append(taken)
        tell(f"guard: {name}: {taken['wall_seconds']:.1f} s (others used {taken['others_cpu_seconds']:.1f} CPU s)")


def spent(events, wall):
    """Seconds of each phase, by what progress said; before the first one lies what is read to begin with."""
    marks = [(at, event["phase"]) for at, event in events if event["event"] == "phase"]
    found = {"reading what is pending": marks[0][0] if marks else wall}
    for (at, phase), (until, _) in zip(marks, [*marks[1:], (wall, None)]):
        found[phase] = found.get(phase, 0.0) + until - at
    return found.items()


def table(result):
    """The suite's result: the cases, and where a preparation's time goes."""
    medians = result["medians"]
    base = medians.get("pg_dump | gzip")
    if not base:
        yield f"failed: {'; '.join(result['failures'].values())[:200]}"
        return
    yield "| | wall s | of it the command s | share of `pg_dump \\| gzip` | client CPU s | server CPU s | peak MiB |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, one in medians.items():
        name = "`" + name.replace("|", "\\|") + "`"
        yield (f"| {name} | {one['wall_seconds']:.2f} | {one.get('command_seconds', 0.0):.2f} | "
               f"{one['wall_seconds'] / base['wall_seconds']:.2f} | {one['client_cpu_seconds']:.1f} | "
               f"{one['server_cpu_seconds']:.1f} | {one['peak_tree_bytes'] / 2**20:,.0f} |")
    yield ""
    yield "| where the time of `prepare` goes | seconds | share |"
    yield "|---|---:|---:|"
    whole = sum(result["phases"].values()) or 1.0
    for phase, seconds in result["phases"].items():
        yield f"| {phase.replace('_', ' ')} | {seconds:.2f} | {seconds / whole:.0%} |"
