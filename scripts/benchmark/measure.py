"""What a command takes: time, CPU, memory; and what it says on the way."""

import contextlib
import json
import os
import subprocess
import threading
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def stat_fields(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_of(pid):
    """CPU seconds of a process and of the children it has reaped."""
    with contextlib.suppress(OSError):
        return sum(int(field) for field in stat_fields(pid)[11:15]) / TICKS
    return 0.0


def descendants(root):
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(stat_fields(entry)[1]), []).append(int(entry))
    found, waiting = [], [root]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found


def cpu_of_tree(root):
    return sum(cpu_of(pid) for pid in [root, *descendants(root)])


def proportional_bytes(pid):
    """Its memory, shared pages divided by those who share them."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def is_server(pid):
    """Whether it belongs to a scratch server: PostgreSQL itself is nobody's cost of a backup program."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    return False


def machine_busy_seconds():
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


class Sampler(threading.Thread):
    """Peak memory of a process and of its tree without servers; peaks between two samples are missed."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.own, self.tree, self.ended = pid, 0, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.2):
            own = proportional_bytes(self.pid)
            others = [pid for pid in descendants(self.pid) if not is_server(pid)]
            self.own = max(self.own, own)
            self.tree = max(self.tree, own + sum(map(proportional_bytes, others)))


class Listener(threading.Thread):
    """Reads what a command says on stderr: progress events with their time, and the last of everything else."""

    def __init__(self, pipe, began):
        super().__init__(daemon=True)
        self.pipe, self.began, self.events, self.tail = pipe, began, [], []

    def run(self):
        for line in self.pipe:
            at = time.monotonic() - self.began
            event = None
            if line.startswith(b"{"):
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
            if event is not None and "event" in event:
                self.events.append((at, event))
            else:
                self.tail = [*self.tail[-30:], line.decode(errors="replace")]

    def phase_at(self, name):
        """Seconds until a phase began."""
        return next((at for at, event in self.events if event["event"] == "phase" and event["phase"] == name), None)


class Failed(Exception):
    """A case did not do what it is measured for."""


def measure(command, environment, work, server, engine=None):
    """Runs a command; returns what it took, its stdout and its listener."""
    server.sql("CHECKPOINT", "postgres")
    os.sync()
    said = work / "said"
    busy, served, own = machine_busy_seconds(), cpu_of_tree(server.process.pid), time.process_time()
    stored = cpu_of_tree(engine.process.pid) if engine else 0.0
    moved = engine.moved() if engine else {}
    with open(said, "wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(command, env=environment, cwd=work, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.PIPE)
        sampler, listener = Sampler(process.pid), Listener(process.stderr, began)
        sampler.start()
        listener.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    sampler.ended.set()
    sampler.join()
    listener.join(5)
    if process.returncode != 0:
        text = "".join(listener.tail)[-2000:] + said.read_text(errors="replace")[-2000:]
        raise Failed(f"ended with {process.returncode}: {text.strip()}")
    time.sleep(0.2)  # the server reaps the sessions
    client, served = used.ru_utime + used.ru_stime, cpu_of_tree(server.process.pid) - served
    stored = cpu_of_tree(engine.process.pid) - stored if engine else 0.0
    # What this script takes, as its link does, is nobody else's.
    own = time.process_time() - own
    others = max(0.0, machine_busy_seconds() - busy - client - served - stored - own)
    taken = {"wall_seconds": wall, "client_cpu_seconds": client, "server_cpu_seconds": served,
             "others_cpu_seconds": others, "peak_tree_bytes": sampler.tree, "peak_own_bytes": sampler.own}
    if engine:
        now = engine.moved()
        taken |= {"engine_cpu_seconds": stored, **{key: now[key] - before for key, before in moved.items()}}
    return taken, said.read_text(errors="replace"), listener


def rows_of_text(command, environment, work):
    """Counts the rows of SQL text by table."""
    counts, table, rows = {}, None, 0
    process = subprocess.Popen(["bash", "-o", "pipefail", "-c", command], env=environment, cwd=work,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    for line in process.stdout:
        if table is not None and line != b"\\.\n":
            rows += 1
        elif table is not None:
            counts[table], table = rows, None
        elif line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
            table, rows = line.split()[1].decode().removeprefix("public."), 0
    if process.wait() != 0:
        raise Failed(f"{command}: ended with {process.returncode}")
    return counts
