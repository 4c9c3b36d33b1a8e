"""What is run: holdpoint and its peers, by suite."""

import dataclasses


@dataclasses.dataclass
class Case:
    """One thing to measure. The first case of a group is the one that its ratios are told against."""

    group: str  # backup, proof, restore, production, or "table" and the name of one
    name: str
    what: str | list  # a shell line, or holdpoint's arguments
    makes: str | None = None  # a file, a key on S3 or, of holdpoint, the name by which its point is found again
    reads: str | None = None
    place: str = "local"  # or s3
    cost: float = 5.0  # seconds for 1 GB on 2 cores, for telling the time beforehand
    jobs: int | None = None  # of holdpoint, where not those asked for
    text: str | None = None  # a shell line that writes what was made as SQL text
    needs: str | None = None  # a program that may be absent
    most: int = 9  # runs at most: slow peers, whose time is steady, and those that stand for no goal
    link: bool = False  # through a link of 1 Gbit/s

    @property
    def ours(self):
        return isinstance(self.what, list)

    @property
    def table(self):
        """The one table that it brings back."""
        kind, _, name = self.group.partition(" ")
        return name if kind == "table" else None


def backup_peers(jobs, wanted):
    plain, dump = "gunzip -c {}", "pg_restore -f - {}"
    # name, line, file, text, cost, program, runs at most
    table = {
        "gzip": ("pg_dump | gzip", "pg_dump -d $SOURCE | gzip > {}", "plain.sql.gz", plain, 39, None, 2),
        "pigz": ("pg_dump | pigz -p2", "pg_dump -d $SOURCE | pigz -p2 > {}", "pigz.sql.gz", plain, 28, "pigz", 1),
        "Fc": ("pg_dump -Fc", "pg_dump -d $SOURCE -Fc -f {}", "gzip.dump", dump, 35, None, 1),
        "Fd": (f"pg_dump -Fd -j{jobs}", f"pg_dump -d $SOURCE -Fd -j{jobs} -f {{}}", "gzip.dir", dump, 21, None, 2),
        "Fc zstd": ("pg_dump -Fc zstd:3", "pg_dump -d $SOURCE -Fc --compress=zstd:3 -f {}", "zstd.dump", dump, 7.6,
                    None, 1),
        "Fd zstd": (f"pg_dump -Fd -j{jobs} zstd:3", f"pg_dump -d $SOURCE -Fd -j{jobs} --compress=zstd:3 -f {{}}",
                    "zstd.dir", dump, 6.2, None, 9),
    }
    for key in wanted:
        name, line, file, text, cost, program, most = table[key]
        yield Case("backup", name, line.format(file), makes=file, text=text.format(file), cost=cost, needs=program,
                   most=most)


def backups(codecs, jobs=None, place="local", most=9):
    costs = {"gzip": 9, "zstd": 6, "none": 5}
    for codec in codecs:
        tail = f", {jobs} jobs" if jobs else ""
        key = f"{codec}{jobs or ''}"
        read = "aws s3 cp $ARCHIVE - | pg_restore -f -" if place == "s3" else "pg_restore -f - $ARCHIVE"
        yield Case("backup", f"holdpoint backup {codec}{tail}", ["backup", "--compress", codec], makes=key,
                   place=place, jobs=jobs, text=read, cost=costs[codec],
                   most=1 if codec == "none" else most)


def proofs(codecs, levels=("full",)):
    for level in levels:
        for codec in codecs:
            yield Case("proof", f"holdpoint verify {level}, {codec}", ["verify", "--level", level], reads=codec,
                       cost=3 if level == "stored" else 15, most=1 if level == "stored" else 9)


def restores(codecs, place="local"):
    for codec in codecs:
        yield Case("restore", f"holdpoint restore {codec}", ["restore", "--into", "env:TARGET"], reads=codec,
                   place=place, cost=14)


def pg_restores(jobs, wanted):
    line = f"pg_restore -e -j{jobs} -d $TARGET {{}}"
    # name, line, input, cost, runs at most
    table = {
        "gzip": (f"pg_restore -j{jobs}, gzip", line.format("gzip.dump"), "gzip.dump", 12, 9),
        "zstd": (f"pg_restore -j{jobs}, zstd", line.format("zstd.dump"), "zstd.dump", 11, 9),
        # Of a directory, which two sessions have written: it is there sooner, and read as fast.
        "gzip.dir": (f"pg_restore -j{jobs}, gzip", line.format("gzip.dir"), "gzip.dir", 12, 9),
        "zstd.dir": (f"pg_restore -j{jobs}, zstd", line.format("zstd.dir"), "zstd.dir", 11, 9),
        "ours": (f"pg_restore -j{jobs}, holdpoint's gzip", line.format("$ARCHIVE"), "gzip", 12, 1),
        "psql": ("gunzip | psql", "gunzip -c plain.sql.gz | psql -Xq -v ON_ERROR_STOP=1 $TARGET > psql.out",
                 "plain.sql.gz", 17, 1),
    }
    for key in wanted:
        name, command, reads, cost, most = table[key]
        yield Case("restore", name, command, reads=reads, cost=cost, most=most)


def clone(jobs):
    line = ("rm -rf clone.dir && pgcopydb clone --source $SOURCE --target $TARGET --dir clone.dir --no-comments "
            f"--table-jobs {jobs} --index-jobs {jobs} > clone.out 2>&1 || {{ tail -n 20 clone.out >&2; exit 1; }}")
    yield Case("restore", "pgcopydb clone (nothing stored)", line, cost=14, needs="pgcopydb", most=1)


def cases(suite, jobs):
    """The cases of a suite, in the order in which each run takes them."""
    name = suite.name.split()[0]
    if name == "main":
        return [*backup_peers(jobs, ["gzip", "pigz", "Fc", "Fd", "Fc zstd", "Fd zstd"]),
                *backups(["gzip", "zstd", "none"]), *backups(["gzip"], jobs=4, most=1),
                *proofs(["gzip", "zstd"], ["stored", "full"]),
                *pg_restores(jobs, ["gzip", "zstd", "ours", "psql"]),
                *clone(jobs), *restores(["gzip", "zstd"])]
    if name == "huge":
        return [*backup_peers(jobs, ["Fd", "Fd zstd"]), *backups(["gzip", "zstd"]),
                *pg_restores(jobs, ["gzip.dir", "zstd.dir"]), *restores(["gzip", "zstd"])]
    if name == "many":
        return [*backup_peers(jobs, ["gzip", "Fc", "Fd"]), *backups(["gzip"]), *proofs(["gzip"]),
                *pg_restores(jobs, ["gzip"]), *restores(["gzip"])]
    if name == "wide":
        return [*backup_peers(jobs, ["Fc", "Fc zstd"]), *backups(["gzip", "zstd"], jobs=4), *backups(["gzip"]),
                *proofs(["gzip"]), *pg_restores(jobs, ["zstd"]), *restores(["gzip"])]
    if name == "s3":
        return s3(jobs)
    if name == "table":
        large = suite.database == "huge"
        direct = [recovery("orders", link=False)] if large else []
        tables = ["orders"] if large else ["lookup_7", "counters_1"]
        return [*backups(["zstd"], place="s3"), *(case for table in tables for case in one_table(table)), *direct]
    if name == "production":
        return list(production(suite, jobs))
    return [*backup_peers(jobs, ["Fd zstd"]), *backups(["gzip", "zstd"]), *backups(["gzip"], jobs=4),
            *restores(["zstd"])]


def s3(jobs):
    plain = "s3://bench/plain.sql.gz"
    return [
        Case("backup", "pg_dump | gzip | aws s3 cp", f"pg_dump -d $SOURCE | gzip | aws s3 cp --no-progress - {plain}",
             makes="plain.sql.gz", place="s3", text=f"aws s3 cp {plain} - | gunzip", cost=45),
        Case("backup", "pg_dump -Fc zstd:3 | aws s3 cp",
             "pg_dump -d $SOURCE -Fc --compress=zstd:3 | aws s3 cp --no-progress - s3://bench/zstd.dump",
             makes="zstd.dump", place="s3", text="aws s3 cp s3://bench/zstd.dump - | pg_restore -f -", cost=14),
        *backups(["gzip", "zstd"], place="s3"),
        Case("restore", f"aws s3 cp, pg_restore -j{jobs} zstd",
             "aws s3 cp --no-progress s3://bench/zstd.dump fetched.dump > fetched.out && "
             f"pg_restore -e -j{jobs} -d $TARGET fetched.dump", reads="zstd.dump", place="s3", cost=18),
        *restores(["gzip", "zstd"], place="s3"),
    ]


def one_table(table):
    """The whole archive fetched for one table of it, and the table alone."""
    line = (f"aws s3 cp --no-progress $ARCHIVE fetched.dump > fetched.out && "
            f"pg_restore -e -n public -t {table} -d $TARGET fetched.dump")
    yield Case(f"table {table}", f"aws s3 cp, pg_restore -t {table}", line, reads="zstd", place="s3", cost=12, link=True)
    yield recovery(table, link=True)


def recovery(table, link):
    name = f"holdpoint recover-table {table}" + ("" if link else ", without the link")
    return Case(f"table {table}", name, ["recover-table", f"public.{table}"], reads="zstd", place="s3", cost=8, link=link)


def production(suite, jobs):
    """Backups of a database at work; the rate is one that makes a backup take about 20 seconds."""
    for key in ("Fc", "Fc zstd", "Fd zstd"):
        case = next(backup_peers(jobs, [key]))
        yield Case("production", case.name, case.what, makes=case.makes, cost=case.cost)
    rate = f"{max(1, suite.bytes // 2**20 // 20)}M"
    for codec, name, flags, cost in [("gzip", f"{jobs} jobs", ["--jobs", str(jobs)], 9),
                                     ("zstd", f"{jobs} jobs", ["--jobs", str(jobs)], 6), ("zstd", "auto", [], 6),
                                     ("zstd", f"auto, {rate} a second", ["--max-rate", rate], 40)]:
        yield Case("production", f"holdpoint backup {codec}, {name}", ["backup", "--quiet", "--compress", codec, *flags],
                   cost=cost)


def wanted(suite, arguments):
    """The cases asked for, and those that make what they read."""
    every = cases(suite, arguments.jobs)
    if not arguments.only:
        return every
    named = [case for case in every if any(text in case.name for text in arguments.only)]
    needed = {case.reads for case in named}
    return [case for case in every if case in named or (case.makes and case.makes in needed)]
