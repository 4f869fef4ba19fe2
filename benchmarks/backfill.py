"""online.backfill against one UPDATE, the strategy's loop and plain keyset, with one interleaved run.

``python -m benchmarks.backfill [--rows N] [--key integer|uuid] [--rounds R] [--against M] [--series speed]
[--only ours,loop] [--json]`` starts a server of its own, makes the table once, and gives each run a copy of
it: same bytes, warm caches, a checkpoint before. Speed and traffic are measured apart, since traffic disturbs
speed. Each value is the median of the rounds, with the smallest and the largest beside it.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psycopg
import sqlalchemy as sa

from benchmarks import backfill_report as report
from benchmarks import fill
from benchmarks.backfill_report import FEWER, Measured, Size
from benchmarks.fill import KEYS, WAYS, Run, load_of, scalar
from benchmarks.server import of_its_own
from benchmarks.traffic import Felt, Traffic, connect, pooled
from homeops_db.localdb.record import LocalServer

LARGE = 2_000_000  # rows; from here on the server checkpoints as one does that nobody has tuned
SETTINGS = {"shared_buffers": "1GB", "wal_compression": "off"}
UNTUNED = {"max_wal_size": "1GB", "checkpoint_timeout": "5min"}
NO_CHECKPOINT = {"max_wal_size": "4GB", "checkpoint_timeout": "1h"}
BYTES_A_ROW = 900  # of the table with its indexes, once as it was and once as large as it gets
SPARE = 7_000_000_000  # bytes, for WAL
QUIET = 8.0  # seconds of traffic alone before each run


def main() -> None:
    given = arguments()
    settings = {**SETTINGS, **(NO_CHECKPOINT if given.rows < LARGE else UNTUNED)}
    try:
        with of_its_own(settings, given.rows * BYTES_A_ROW + SPARE) as server:
            about = {**describe(server, given), "settings": settings}
            rows = Bench(server.url, given).measure()
    except KeyboardInterrupt:
        sys.exit(130)
    if given.json:
        print(json.dumps({"about": about, "rows": rows}, indent=2, ensure_ascii=False))
    else:
        print(*[f"{name}: {value}" for name, value in about.items()], *report.tables(rows), sep="\n")
        print("", report.verdict(rows), sep="\n")
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (default 1000000)")
    parser.add_argument("--key", choices=KEYS, default="integer", help="kind of its key (default integer)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way (default 3)")
    parser.add_argument(
        "--against", type=int, metavar="M", help="fewer rows, for the ratios of rows/s and client memory"
    )
    parser.add_argument("--series", choices=["speed", "traffic"], help="only one of the two")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(WAYS), help=f"some of {','.join(WAYS)}"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.only) - set(WAYS):
        parser.error(f"--only knows {', '.join(WAYS)}, not {', '.join(sorted(unknown))}")
    return given


def describe(server: LocalServer, given: argparse.Namespace) -> dict:
    return {
        "machine": f"{os.cpu_count()} cores of {processor()}, {memory_gb():.0f} GB, {platform.system()} {platform.release()}",
        "flush": f"{flush_ms(Path(tempfile.gettempdir())):.2f} ms for 8 kB, median",
        "load before": round(os.getloadavg()[0], 2),
        "server": f"PostgreSQL {server.version}",
        "rows": given.rows,
        "key": given.key,
        "rounds": given.rounds,
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((text.split(":")[1].strip() for text in lines if text.startswith("model name")), "processor")


def memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def flush_ms(folder: Path) -> float:
    """How long a commit waits for the disk at least: where that is long, batches cost more than one UPDATE."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(50):
            file.write(os.urandom(8192))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


# Measurements -----------------------------------------------------------------------------------------


class Bench:
    def __init__(self, url: sa.URL, given: argparse.Namespace) -> None:
        self.url, self.given = url, given
        self.copy = url.set(database="copy")

    def measure(self) -> list[dict]:
        sizes = [self.given.rows, *([self.given.against] if self.given.against else [])]
        for rows in sizes:
            self.make(rows)
        rows = []
        if self.given.series != "traffic":
            rows += self.speed()
        if self.given.series != "speed":
            rows += self.traffic()
        return rows

    def make(self, rows: int) -> None:
        """Make the database that every run begins from."""
        tell(f"{rows:,} rows")
        with connect(self.url) as admin:
            admin.execute(f"create database pristine_{rows}")
        with connect(self.url.set(database=f"pristine_{rows}")) as connection:
            fill.fill(connection, self.given.key, rows)

    def fresh(self, way: str, rows: int) -> Size:
        """Give a run its copy."""
        with connect(self.url) as admin:
            admin.execute("drop database if exists copy (force)")
            # Byte by byte, and without a word of it in the WAL.
            admin.execute(f"create database copy template pristine_{rows} strategy file_copy")
        with connect(self.copy) as connection:
            fill.prepare(connection, way)
            return size(connection)

    def verify(self, way: str, rows: int) -> Size:
        """Every row is there, and has the value that it must have."""
        with connect(self.copy) as connection:
            there = scalar(connection, "select count(*) from target")
            is_wrong = "amount_decimal is distinct from amount::numeric(15,2)"
            wrong = scalar(connection, f"select count(*) from target where {is_wrong}")
            if (there, wrong) != (rows, 0):
                sys.exit(f"{WAYS[way][0]}: {there} of {rows} rows are there, {wrong} have a wrong value.")
            return size(connection)

    def turns(self, ways: list[str]) -> Iterator[tuple[int, str]]:
        """Each way once a round, and none always behind the same one."""
        for number in range(self.given.rounds):
            first = number % len(ways)
            for way in [*ways[first:], *ways[:first]]:
                yield number, way

    def speed(self) -> list[dict]:
        only, against = self.given.only, self.given.against
        found: dict[str, list[Measured]] = defaultdict(list)
        ways = [way for way in WAYS if way in only or way == "raw"]
        fewer = [FEWER] if against and "ours" in only else []
        for number, name in self.turns(ways + fewer):
            way, rows = ("ours", against) if name == FEWER else (name, self.given.rows)
            before = self.fresh(way, rows)
            told = Run(way, self.copy, self.given.key).finish()
            found[name].append(Measured(told, rows, before, self.verify(way, rows)))
            tell(f"round {number + 1}, {name}: {told.seconds:.2f} s, {told.seconds_in_all:.2f} s with VACUUM")
        return [row for way in ways for row in report.speed_rows(way, found)] + report.fewer_rows(found)

    def traffic(self) -> list[dict]:
        found: dict[str, list[Felt]] = defaultdict(list)
        idle: dict[int, list[Felt]] = defaultdict(list)
        for number, way in self.turns([way for way in WAYS if way in self.given.only]):
            self.fresh(way, self.given.rows)
            run = Run(way, self.copy, self.given.key)
            traffic = Traffic(self.copy, load_of(self.given.key, self.given.rows))
            traffic.quiet(QUIET)
            with traffic.window("busy"):
                run.finish()
            felt = traffic.end()
            self.verify(way, self.given.rows)
            found[way].append(felt["busy"][0])
            idle[number].append(felt["idle"][0])
            tell(f"round {number + 1}, traffic and {way}: p99 {felt['busy'][0].p99():.1f} ms")
        return report.traffic_rows(found, [pooled(idle[number]) for number in sorted(idle)])


def size(connection: psycopg.Connection) -> Size:
    heap = scalar(connection, "select pg_relation_size('target')")
    indexes = scalar(
        connection,
        "select sum(pg_relation_size(indexrelid)) from pg_index where indrelid = 'target'::regclass",
    )
    return Size(int(heap), int(indexes))


def tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
