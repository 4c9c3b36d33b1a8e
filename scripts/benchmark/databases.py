"""The databases that are measured. Values follow from row numbers, so every run makes the same rows."""

import concurrent.futures
import os

MB = 10**6

WORDS = """able about account after again amount answer apple area arrow backup basket before below bottle bridge
calm candle carbon cargo castle change clear cloud copper corner cotton course credit daily delta desert detail
direct double dozen early eight energy engine equal error evening example factor family figure final flower
forest frame garden general gentle glass gravel harbour height honest island ledger market""".split()[:64]


def words(count, salt):
    """SQL that picks words by the row's number."""
    array = "ARRAY[" + ",".join(f"'{word}'" for word in WORDS) + "]"
    picks = (f"({array})[1 + (hashint8(i * 64 + {salt + n}) & 63)]" for n in range(count))
    return "concat_ws(' ', " + ", ".join(picks) + ")"


SEEN = "timestamptz '2021-01-01' + i * interval '17.25 seconds'"
JSON = f"""jsonb_build_object('sku', 'A-' || i % 9973, 'price', (i * 37 % 100000) / 100.0, 'active', i % 3 = 0,
 'tags', jsonb_build_array({words(1, 70)}, {words(1, 71)}), 'size', jsonb_build_object('w', i % 211, 'h', i % 83))"""
ORDERS = ("id bigint, customer bigint, token uuid, status text, total numeric(12,2), created timestamptz, "
          "note text, payload jsonb",
          f"i, i * 7919 % 100003, md5('o' || i)::uuid, {words(1, 3)}, (i * 104729 % 10000000) / 100.0, {SEEN}, "
          f"{words(6, 30)}, {JSON}", "customer")

# kind: columns, the row of number i, the column of a second index, share of the data, number of tables
KINDS = {
    "counters": ("id bigint, a int, b int, c smallint, d smallint",
                 "i, i * 7919 % 100003, hashint8(i) & 16777215, i % 97, i * 31 % 5", "a", 0.10, 8),
    "notes": ("id bigint, title text, body text", f"i, {words(3, 1)}, {words(14, 10)}", "title", 0.10, 8),
    "tokens": ("id uuid, owner int, hash bytea",
               "md5(i::text)::uuid, i % 50021, sha256(i::text::bytea)", "owner", 0.25, 8),
    "documents": ("id bigint, body jsonb", f"i, {JSON}", "(body ->> 'sku')", 0.10, 8),
    "visits": ("id bigint, started timestamptz, ended timestamptz, seconds numeric(10,3)",
               f"i, {SEEN}, {SEEN} + (i % 5400) * interval '1 second', (i * 7919 % 5400000) / 1000.0", "started", 0.10, 8),
    "orders": (*ORDERS, 0.35, 1),
}

# A column of a middling table, with values in every row.
COLUMN_TO_DROP = ("public.notes_4", "body")


def fill(server, name, suite, arguments):
    """Makes the suite's database; returns rows by table."""
    server.create(name)
    {"mixed": mixed, "huge": huge, "many": many, "wide": wide}[suite.database](server, name, suite, arguments)
    server.sql("VACUUM (FREEZE, ANALYZE)", name)
    return server.counts(name)


def row_bytes(server, name, columns, row):
    """The length of one row as COPY writes it, by a sample."""
    insert = f"INSERT INTO sample SELECT {row} FROM generate_series(1, 2000::bigint) i;"
    text = server.sql(f"CREATE TEMP TABLE sample ({columns}); {insert} COPY sample TO STDOUT;", name)
    return len(text.encode()) / 2000


def run_all(server, name, jobs):
    """Runs (weight, SQL), the heaviest first."""
    jobs.sort(reverse=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda job: server.sql(job[1], name), jobs))


def mixed(server, name, suite, arguments):
    """Eight tables of each kind, small to large; a larger one of all kinds; thirty small ones and an empty one."""
    jobs = []
    for kind, (columns, row, second, share, tables) in KINDS.items():
        each = row_bytes(server, name, columns, row)
        weights = range(1, tables + 1)
        for weight in weights:
            table = f"{kind}_{weight}" if tables > 1 else kind
            rows = max(1, int(suite.bytes * share * weight / sum(weights) / each))
            jobs.append((rows, f"BEGIN; CREATE TABLE {table} ({columns}); INSERT INTO {table} SELECT {row} FROM "
                               f"generate_series(1, {rows}::bigint) i; ALTER TABLE {table} ADD PRIMARY KEY (id); "
                               f"CREATE INDEX ON {table} ({second}); COMMIT;"))
    small = "".join(f"CREATE TABLE lookup_{n} (id int PRIMARY KEY, name text); INSERT INTO lookup_{n} "
                    f"SELECT i, {words(2, 5)} FROM generate_series(1, 100) i;" for n in range(1, 31))
    server.sql("CREATE TABLE nothing (id int PRIMARY KEY, name text);" + small, name)
    run_all(server, name, jobs)


def huge(server, name, suite, arguments):
    """One table, filled by several sessions."""
    columns, row, second = ORDERS
    rows = int(suite.bytes / row_bytes(server, name, columns, row))
    server.sql(f"CREATE TABLE orders ({columns})", name)
    parts = os.cpu_count()
    run_all(server, name, [(rows // parts, f"INSERT INTO orders SELECT {row} FROM generate_series("
                            f"{rows * part // parts + 1}::bigint, {rows * (part + 1) // parts}::bigint) i")
                           for part in range(parts)])
    server.sql(f"ALTER TABLE orders ADD PRIMARY KEY (id); CREATE INDEX ON orders ({second})", name)


def many(server, name, suite, arguments):
    """Tiny tables, each with a key, an index, a default of a sequence and fifty rows; one in ten is empty."""
    step, total = 250, arguments.tables
    jobs = []
    for first in range(0, total, step):
        parts = []
        for number in range(first, min(first + step, total)):
            parts.append(f"CREATE TABLE t_{number} (id serial PRIMARY KEY, name text NOT NULL, at timestamptz); "
                         f"CREATE INDEX ON t_{number} (name);")
            if number % 10:
                parts.append(f"INSERT INTO t_{number} (name, at) SELECT {words(2, number % 40)}, {SEEN} "
                             "FROM generate_series(1, 50::bigint) i;")
        # A transaction each: not every statement is to be waited for.
        jobs.append((len(parts), "BEGIN;" + "".join(parts) + "COMMIT;"))
    run_all(server, name, jobs)


def wide(server, name, suite, arguments):
    """Rows of 1 to 8 MB of text that compresses to about half; stored as they are, so that COPY reads them all."""
    block = "(SELECT string_agg(md5(n::text || '-' || {salt}), '') FROM generate_series(1, 3125) n)"  # 100 kB
    server.sql("CREATE TABLE wide (id bigint PRIMARY KEY, body text); "
               "ALTER TABLE wide ALTER COLUMN body SET STORAGE EXTERNAL", name)
    ids, total = [], 0
    while total < suite.bytes:
        ids.append(len(ids))
        total += (10 + ids[-1] * 7 % 71) * 100_000
    parts = os.cpu_count()
    jobs = [(len(ids), f"INSERT INTO wide SELECT i, repeat({block.format(salt='i')}, (10 + i * 7 % 71)::int) "
             f"FROM generate_series({part}, {len(ids) - 1}::bigint, {parts}) i") for part in range(parts)]
    run_all(server, name, jobs)
    if arguments.wide_row:
        server.sql(f"INSERT INTO wide SELECT -1, repeat({block.format(salt=0)}, {arguments.wide_row // 100_000})", name)
