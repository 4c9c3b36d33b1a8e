"""What scripts/bench is asked to do."""

import argparse
import dataclasses
from pathlib import Path

MB = 10**6
LARGE_TABLE_BYTES = 600 * MB
ROOT = Path(__file__).resolve().parent.parent.parent

DESCRIPTION = """Measures backup, proof and restore against PostgreSQL's own programs, in one run on one machine.

Starts a private PostgreSQL 18 (and the S3 engine), fills the databases of the suites asked for, runs every case in
turn as often as asked, prints medians with ratios and the goals they stand for, and removes everything again. What it
will take is printed before it begins. How to read the result: docs/performance.md."""

SUITES = """suites:
  main    one database of many kinds of rows: every peer, backup, proof and restore
  huge    one table: what cutting it into pieces brings
  many    10,000 tiny tables: what a table costs
  wide    rows of 1 to 8 MB, and one of --wide-row: whether memory keeps to the formula
  s3      to and from the S3 engine: the client's CPU, and the bytes it moves
  table   one table back from S3 through a link of 1 Gbit/s: small ones, and one of 600M
  growth  the main database at 250M and 4G: whether cost grows evenly and memory does not grow
  guard   holding a migration: nothing pending, a preparation and where its time goes, the run after it
  production  pgbench runs all the time: how many of its transactions a backup costs
  all     all of these, in this order"""


@dataclasses.dataclass
class Suite:
    """One database with its cases."""

    name: str
    database: str  # what fills it: benchmark.databases
    bytes: int  # of COPY text
    runs: int
    title: str
    place: str = "local"  # of the repository: or s3


def size(text):
    """Reads 1.2G, 300M (powers of 1000)."""
    factor = {"K": 10**3, "M": MB, "G": 10**9}.get(text[-1:].upper())
    value = int(float(text[:-1]) * factor) if factor else int(text)
    if value < MB:
        raise argparse.ArgumentTypeError("at least 1M")
    return value


def read():
    parser = argparse.ArgumentParser(description=DESCRIPTION, epilog=SUITES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", metavar="NAME", default=None,
                        choices=["main", "huge", "many", "wide", "s3", "table", "growth", "guard", "production", "all"],
                        help="run this suite (again for more; default: main)")
    parser.add_argument("--size", type=size, default=10**9, help="COPY text of the main database (default: 1G)")
    parser.add_argument("--growth", type=size, nargs="+", default=[250 * MB, 4000 * MB], metavar="SIZE",
                        help="sizes of the suite growth, beside the main one's (default: 250M 4G)")
    parser.add_argument("--tables", type=int, default=10_000, help="tables of the suite many (default: 10000)")
    parser.add_argument("--wide-row", type=size, default=None, metavar="SIZE",
                        help="one row of this size in the suite wide, such as 120M")
    parser.add_argument("--runs", type=int, default=None,
                        help="runs of a case, fewer of slow peers; medians are shown (default: 3 of main and table, huge 2, others 1)")
    parser.add_argument("--jobs", type=int, default=2, help="jobs for every program that has them (default: 2)")
    parser.add_argument("--quick", action="store_true", help="tiny databases, one run: whether it works, not how fast")
    parser.add_argument("--only", metavar="TEXT", action="append",
                        help="run only cases whose name has TEXT (again for more), and those they need")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, for docs/performance.md")
    parser.add_argument("--record", type=Path, metavar="FILE",
                        help="write there what holdpoint's progress said of each run: (milliseconds, bytes) by phase")
    parser.add_argument("--holdpoint", type=Path, metavar="FILE", help="measure this program instead of building one")
    parser.add_argument("--offline", action="store_true", help="download no peers (pigz, pgcopydb)")
    parser.add_argument("--directory", type=Path, default="/var/tmp",
                        help="where server, dumps and repository go; about 8 times the size (default: /var/tmp)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.size, arguments.growth, arguments.tables = 8 * MB, [4 * MB, 8 * MB], 100
        arguments.runs = arguments.runs or 1
    arguments.suites = list(suites(arguments))
    return arguments


def suites(arguments):
    names = arguments.suite or ["main"]
    if "all" in names:
        names = ["main", "huge", "many", "wide", "s3", "table", "growth", "guard", "production"]
    runs = arguments.runs
    half, small = arguments.size // 2, min(arguments.size, 300 * MB)
    for name in dict.fromkeys(names):
        if name == "main":
            yield Suite(name, "mixed", arguments.size, runs or 3, "Many kinds of rows")
        elif name == "huge":
            yield Suite(name, "huge", half, runs or 2, "One huge table")
        elif name == "many":
            yield Suite(name, "many", arguments.tables * 6_000, runs or 1, f"{arguments.tables:,} tiny tables")
        elif name == "wide":
            yield Suite(name, "wide", small, runs or 1, "Rows of 1 to 8 MB")
        elif name == "s3":
            yield Suite(name, "mixed", half, runs or 1, "To and from S3", "s3")
        elif name == "table":
            yield Suite(name, "mixed", arguments.size, runs or 3, "One small table back from S3", "s3")
            large = arguments.size if arguments.quick else LARGE_TABLE_BYTES
            yield Suite(f"{name} large", "huge", large, runs or 1, "One large table back from S3", "s3")
        elif name == "guard":
            yield Suite(name, "mixed", arguments.size, runs or 1, "Holding a migration")
        elif name == "production":
            yield Suite(name, "pgbench", half, runs or 1, "A database at work")
        else:
            for each in arguments.growth:
                yield Suite(f"growth {each // MB}M", "mixed", each, runs or 1, f"Growth: {each / 10**9:g} GB")
