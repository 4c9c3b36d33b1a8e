"""What a backup does to a database at work: transactions a second of pgbench, without and with it."""

import os
import shutil
import statistics
import subprocess
import time

from . import cases
from .suite import REST_SECONDS, remove, tell

ROW_BYTES = 97  # of pgbench_accounts, as COPY writes it; 100,000 rows a scale
CLIENTS = 4


class Application:
    """pgbench, which goes on until it is stopped."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        command = [server.bin / "pgbench", "--no-vacuum", "--client", str(CLIENTS), "--jobs", "2", "--time", "86400",
                   server.url(name)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def mark(self):
        """The time, and how many transactions there have been: each takes an id, and a backup takes none."""
        text = self.server.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())", self.name)
        return time.monotonic(), int(text)

    def stop(self):
        # Not SIGINT: whoever is started in the background of a script inherits that it is ignored, and so does pgbench.
        self.process.terminate()
        self.process.wait(60)


def rate(since, until):
    """Transactions a second between two marks."""
    return (until[1] - since[1]) / (until[0] - since[0])


class Production:
    """The suite `production`."""

    def __init__(self, suite, arguments, machine):
        self.suite, self.arguments, self.machine, self.series = suite, arguments, machine, []
        self.server, self.name = machine.server, "bench_production"
        self.work = machine.work / self.name
        self.work.mkdir()
        self.environment = {
            "PATH": ":".join(map(str, machine.path)), "HOME": os.environ.get("HOME", "/"), "TMPDIR": str(self.work),
            "LC_ALL": "C", "DATABASE_URL": self.server.url(self.name), "SOURCE": self.server.url(self.name),
            "HOLDPOINT_REPOSITORY": f"file://{self.work / 'repository'}",
            "HOLDPOINT_POSTGRESQL_DIRECTORY": str(self.server.bin.parent.parent),
        }
        self.rest = 2 if arguments.quick else REST_SECONDS  # seconds without a backup, before and after each
        self.chosen = cases.wanted(suite, arguments)

    def run(self):
        scale = max(1, self.suite.bytes // (ROW_BYTES * 100_000))
        tell(f"production: filling scale {scale}")
        self.server.create(self.name)
        subprocess.run([self.server.bin / "pgbench", "--initialize", "--quiet", "--scale", str(scale),
                        self.server.url(self.name)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run([self.machine.holdpoint, "init", "--quiet"], env=self.environment, cwd=self.work, check=True,
                       stdout=subprocess.DEVNULL)
        application = Application(self.server, self.name)
        measured, failures = {}, {}
        try:
            time.sleep(1)
            for _ in range(self.suite.runs):
                for case in self.chosen:
                    if case.name not in failures:
                        self.once(application, case, measured, failures)
        finally:
            application.stop()
        self.server.drop(self.name)
        shutil.rmtree(self.work, ignore_errors=True)
        return {
            "suite": self.suite.name, "title": self.suite.title, "runs": self.suite.runs, "rows": scale * 100_000,
            "tables": 4, "copy_bytes": scale * 100_000 * ROW_BYTES, "clients": CLIENTS,
            "cases": [{"group": case.group, "name": case.name, "ours": case.ours, "jobs": case.jobs}
                      for case in self.chosen],
            "medians": {name: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
                        for name, runs in measured.items() if name not in failures},
            "measured": measured, "failures": failures,
        }

    def once(self, application, case, measured, failures):
        name = case.name
        command = [self.machine.holdpoint, *case.what] if case.ours else ["bash", "-o", "pipefail", "-c", case.what]
        if case.makes:
            remove(self.work / case.makes)
        before = application.mark()
        time.sleep(self.rest)
        began = application.mark()
        done = subprocess.run(command, env=self.environment, cwd=self.work, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        ended = application.mark()
        time.sleep(self.rest)
        if done.returncode != 0 or application.process.poll() is not None:
            failures[name] = done.stderr.decode(errors="replace")[-2000:] or "pgbench ended"
            tell(f"production: {name}: FAILED: {failures[name]}")
            return
        usual, during = (rate(before, began) + rate(ended, application.mark())) / 2, rate(began, ended)
        seconds = ended[0] - began[0]
        taken = {"wall_seconds": seconds, "others_cpu_seconds": 0.0, "usual_tps": usual, "during_tps": during,
                 "lost": max(0.0, usual - during) * seconds}
        measured.setdefault(name, []).append(taken)
        tell(f"production: {name}: {during:.0f} of {usual:.0f} transactions a second, for {seconds:.1f} s")


def table(result):
    """The suite's result as a table."""
    yield f"pgbench with {result['clients']} clients (its own mix, which writes) ran all the time."
    yield ""
    yield "| backup | wall s | tps without | tps with | ratio | transactions lost |"
    yield "|---|---:|---:|---:|---:|---:|"
    for case in result["cases"]:
        name = "`" + case["name"] + "`"
        one = result["medians"].get(case["name"])
        if one is None:
            yield f"| {name} | failed: {result['failures'].get(case['name'], 'not run').splitlines()[0][:100]} | | | | |"
        else:
            yield (f"| {name} | {one['wall_seconds']:.1f} | {one['usual_tps']:,.0f} | {one['during_tps']:,.0f} | "
                   f"{one['during_tps'] / one['usual_tps']:.2f} | {one['lost']:,.0f} |")
