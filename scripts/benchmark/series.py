"""What progress said during each run, for the test of the remaining time (crates/core/tests/forecast.rs)."""

import json


def phases(events):
    """Splits the events of one run into its phases that count bytes: (name, announced bytes, seconds, points)."""
    found, current = [], None
    for at, event in events:
        if event["event"] == "phase":
            close(found, current, at)
            total = event.get("total_bytes", event.get("expected_bytes"))
            current = {"phase": event["phase"], "total_bytes": total, "began": at, "points": []}
        elif event["event"] == "moved" and current:
            current["points"].append([round((at - current["began"]) * 1000), event["bytes"]])
    close(found, current, None)
    return found


def close(found, current, at):
    if current and current["points"] and at is not None:
        current["took_ms"] = round((at - current.pop("began")) * 1000)
        found.append(current)


def write(path, series, facts):
    """The command first, and whether the machine was quiet; then one line a phase, oldest first."""
    with open(path, "w") as out:
        print(json.dumps({key: facts[key] for key in ("command", "date", "quiet", "machine", "holdpoint")}), file=out)
        for run in series:
            for phase in phases(run["events"]):
                head = {"suite": run["suite"], "case": run["case"], "jobs": run["jobs"]}
                print(json.dumps(head | phase), file=out)
