"""What was measured, as tables for people."""

from . import guarding, production

MIB = 2**20


def mebibytes(count):
    return f"{count / MIB:,.0f}" if count else ""


def code(name):
    return "`" + name.replace("|", "\\|") + "`"


def suite_tables(result):
    """One Markdown table a group; ratios are against the group's first case: above 1 is faster, below 1 is smaller."""
    own = {"production": production, "guard": guarding}.get(result["suite"])
    if own:
        return ["", *own.table(result)]
    lines = []
    for group in dict.fromkeys(case["group"] for case in result["cases"]):
        members = [case for case in result["cases"] if case["group"] == group]
        lines += ["", *group_table(group, members, result)]
    return lines


COLUMNS = {
    "wall s": lambda one, base: f"{one['wall_seconds']:.1f}",
    "loaded s": lambda one, base: f"{one['loaded_seconds']:.1f}",
    "× faster": lambda one, base: f"{base['wall_seconds'] / one['wall_seconds']:.2f}",
    "× faster, loaded": lambda one, base: f"{base['loaded_seconds'] / one['loaded_seconds']:.2f}",
    "client CPU s": lambda one, base: f"{one['client_cpu_seconds']:.1f}",
    "server CPU s": lambda one, base: f"{one['server_cpu_seconds']:.1f}",
    "sent MiB": lambda one, base: mebibytes(one["sent_bytes"]),
    "fetched MiB": lambda one, base: mebibytes(one["fetched_bytes"]),
    "requests": lambda one, base: f"{one['requests']:.0f}",
    "over the link KiB": lambda one, base: f"{one['link_bytes'] / 1024:,.0f}" if "link_bytes" in one else "",
    "peak MiB": lambda one, base: mebibytes(one["peak_tree_bytes"]),
    "stored MiB": lambda one, base: mebibytes(one["stored_bytes"]),
    "size ratio": lambda one, base: f"{one['stored_bytes'] / base['stored_bytes']:.2f}",
}


def columns_of(group, s3):
    engine = ["sent MiB" if group == "backup" else "fetched MiB", "requests"] if s3 else []
    cost = ["client CPU s", "server CPU s", *engine, "peak MiB"]
    return {
        "backup": ["wall s", "× faster", *cost, "stored MiB", "size ratio"],
        "proof": ["wall s", *cost],
        "table": ["wall s", "× faster", "client CPU s", "server CPU s", "over the link KiB", "requests", "peak MiB"],
        "restore": ["loaded s", "× faster, loaded", "wall s", "× faster", *cost],
    }[group.split()[0]]


def group_table(group, members, result):
    names = columns_of(group, result["place"] == "s3")
    yield f"| {group} | " + " | ".join(names) + " |"
    yield "|---|" + "---:|" * len(names)
    medians = result["medians"]
    base = next((medians[case["name"]] for case in members if case["name"] in medians), None)
    for case in members:
        one = medians.get(case["name"])
        if one is None:
            failure = result["failures"].get(case["name"], "not run").splitlines()[0][:100]
            yield f"| {code(case['name'])} | failed: {failure.replace('|', '/')} |" + " |" * (len(names) - 1)
        else:
            own = f" ({mebibytes(one['peak_own_bytes'])})" if case["ours"] else ""
            cells = [COLUMNS[name](one, base) + (own if name == "peak MiB" else "") for name in names]
            runs = len(result["measured"][case["name"]])
            fewer = f", {runs} run{'s' if runs > 1 else ''}" if runs < result["runs"] else ""
            yield f"| {code(case['name'])}{fewer} | " + " | ".join(cells) + " |"


def markdown(facts, results, goals):
    """The whole result, as it goes into docs/performance.md."""
    lines = [f"{facts['date']}, {facts['machine']}, PostgreSQL {facts['postgresql']}, {facts['holdpoint']}, "
             f"{facts['jobs']} jobs unless said; load before {facts['load_before']}, others took "
             f"{facts['others_share']:.1%} of the machine. `{facts['command']}`"]
    if facts["missing"]:
        lines += ["", f"Not on this machine, so left out: {', '.join(facts['missing'])}."]
    if not facts["quiet"]:
        lines += ["", "**Not to be published: others were at work on this machine.** Repeat it when it is quiet."]
    if goals:
        lines += ["", "| goal | measured | wanted | |", "|---|---:|---:|---|"]
        lines += [f"| {goal['what']} | {goal['measured']} | {goal['wanted']} | {goal['verdict']} |" for goal in goals]
    for result in results:
        lines += ["", f"### {result['title']}", "",
                  f"{result['tables']:,} tables, {result['rows']:,} rows, {result['copy_bytes'] / 1e6:,.0f} MB of COPY "
                  f"text, {'median of ' + str(result['runs']) + ' runs' if result['runs'] > 1 else 'one run'}."]
        lines += suite_tables(result)
    lines += growth(results)
    return "\n".join(lines) + "\n"


def growth(results):
    """Cost by size: a row a case, a column a size."""
    sizes = [result for result in results if result["suite"].startswith("growth")]
    if not sizes:
        return
    # The main suite has the same database at its own size, and the same cases.
    sizes = sorted(sizes + [one for one in results if one["suite"] == "main"], key=lambda one: one["copy_bytes"])
    cases = next(one for one in sizes if one["suite"] != "main")["cases"]
    yield from ["", "### Cost by size", "", "Seconds, CPU seconds of the client and peak MiB, each for 1 GB of COPY "
                "text (peak as it is).", ""]
    yield "| case | " + " | ".join(f"{result['copy_bytes'] / 10**9:.2f} GB" for result in sizes) + " |"
    yield "|---|" + "---:|" * len(sizes)
    for case in cases:
        cells = []
        for result in sizes:
            one, scale = result["medians"].get(case["name"]), (result["copy_bytes"] or 1) / 10**9
            cells.append(f"{one['wall_seconds'] / scale:.1f} s, {one['client_cpu_seconds'] / scale:.1f} s, "
                         f"{mebibytes(one['peak_tree_bytes'])} MiB" if one else "failed")
        yield f"| {code(case['name'])} | " + " | ".join(cells) + " |"
