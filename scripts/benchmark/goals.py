"""The goals of the project, as ratios within one run."""

MIB = 2**20
# docs/performance.md, "Memory": at up to 4 jobs, however large a row is.
ALLOWED_BYTES = 256 * MIB


def judged(results, jobs):
    """Every goal whose cases were run."""
    by_suite = {result["suite"]: result for result in results}
    goals = []
    if "main" in by_suite:
        main(by_suite["main"]["medians"], jobs, goals)
    if "huge" in by_suite:
        medians = by_suite["huge"]["medians"]
        for codec in ("gzip", "zstd"):
            faster(goals, medians, f"pg_restore -j{jobs}, {codec}", f"holdpoint restore {codec}", 1.7, "one huge table: ",
                   "loaded_seconds", ", until loaded")
    if "many" in by_suite:
        medians = by_suite["many"]["medians"]
        for peer in ("pg_dump | gzip", "pg_dump -Fc"):
            faster(goals, medians, peer, "holdpoint backup gzip", 1.0, f"{by_suite['many']['title']}: ")
    for result in results:
        if result["suite"].startswith("table"):
            one_table(result, goals)
    if "guard" in by_suite:
        held(by_suite["guard"]["medians"], goals)
    for result in results:
        if result["suite"] not in ("guard", "production"):
            memory(result, goals)
    return goals


def main(medians, jobs, goals):
    wall = "wall_seconds"
    faster(goals, medians, "pg_dump | gzip", "holdpoint backup gzip", 6.0, least=4.5)
    faster(goals, medians, f"pg_dump -Fd -j{jobs}", "holdpoint backup gzip", 3.0, least=2.2)
    smaller(goals, medians, "pg_dump | gzip", "holdpoint backup gzip")
    faster(goals, medians, f"pg_dump -Fd -j{jobs} zstd:3", "holdpoint backup zstd", 1.3)
    smaller(goals, medians, "pg_dump | gzip", "holdpoint backup zstd")
    for codec in ("gzip", "zstd"):
        for key, what in (("loaded_seconds", ", until loaded"), (wall, ", until matched")):
            faster(goals, medians, f"pg_restore -j{jobs}, {codec}", f"holdpoint restore {codec}", 1.3, key=key, tail=what)
    for codec in ("gzip", "zstd"):
        parts = [medians.get(name) for name in (f"holdpoint backup {codec}", f"holdpoint verify full, {codec}")]
        plain = medians.get("pg_dump | gzip")
        if plain and all(parts):
            both = sum(part[wall] for part in parts)
            share = both / plain[wall]
            add(goals, f"backup and full proof, {codec} ({both:.1f} s), against `pg_dump \\| gzip` alone "
                f"({plain[wall]:.1f} s)", f"{share:.2f}", "≤ 0.50", share <= 0.5)


def held(medians, goals):
    """Nothing pending costs nobody a break."""
    ours = medians.get("holdpoint guard, nothing pending")
    if ours:
        seconds = ours["wall_seconds"]
        add(goals, "`holdpoint guard`, nothing pending", f"{seconds:.2f} s", "< 3 s", seconds < 3)


def one_table(result, goals):
    """Reads no more than it needs; is done long before everything is fetched; waits for the server, not for the link."""
    medians = result["medians"]
    for case in result["cases"]:
        name, ours = case["name"], medians.get(case["name"])
        direct = medians.get(f"{name}, without the link")
        if not case["ours"] or not ours or "link_bytes" not in ours or "needed_bytes" not in ours:
            continue
        share = ours["link_bytes"] / ours["needed_bytes"]
        of_archive = f"{ours['archive_needed_bytes'] / 1024:,.0f} KiB of it the archive's own"
        add(goals, f"`{name}`: bytes over the link against contents and block ({ours['needed_bytes'] / 1024:,.0f} KiB, "
            f"{of_archive})", f"{share:.3f}", "≤ 1.05", share <= 1.05)
        if direct:
            ratio = ours["wall_seconds"] / direct["wall_seconds"]
            add(goals, f"`{name}`: time through the link against time without it", f"{ratio:.2f}", "≤ 1.10", ratio <= 1.1)
        else:
            faster(goals, medians, name.replace("holdpoint recover-table", "aws s3 cp, pg_restore -t"), name, 50.0)


def add(goals, what, measured, wanted, met, partly=False):
    goals.append({"what": what, "measured": measured, "wanted": wanted,
                  "verdict": "met" if met else "least met" if partly else "MISSED"})


def faster(goals, medians, peer, ours, wanted, head="", key="wall_seconds", tail="", least=None):
    if peer in medians and ours in medians:
        ratio = medians[peer]["wall_seconds"] / medians[ours][key]
        shown = peer.replace("|", "\\|")
        floor = f" (never under {least})" if least else ""
        add(goals, f"{head}`{ours}` against `{shown}`{tail}", f"{ratio:.2f}×", f"≥ {wanted}×{floor}", ratio >= wanted,
            least is not None and ratio >= least)


def smaller(goals, medians, peer, ours):
    if peer in medians and ours in medians:
        ratio = medians[ours]["stored_bytes"] / medians[peer]["stored_bytes"]
        shown = peer.replace("|", "\\|")
        # The restore point is more than its archive: index, manifest, globals.
        add(goals, f"size of `{ours}` against `{shown}`", f"{ratio:.3f}", "≤ 1.00", ratio <= 1.0)


def memory(result, goals):
    """The largest peak of any of holdpoint's cases, against what is allowed."""
    peaks = [(result["medians"][case["name"]]["peak_tree_bytes"], case["name"]) for case in result["cases"]
             if case["ours"] and case["name"] in result["medians"]]
    if peaks:
        peak, name = max(peaks)
        add(goals, f"{result['title']}: greatest peak memory, `{name}`", f"{peak / MIB:.0f} MiB",
            f"≤ {ALLOWED_BYTES / MIB:.0f} MiB", peak <= ALLOWED_BYTES)
