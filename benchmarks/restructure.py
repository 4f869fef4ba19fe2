"""online.Restructure and online.TypeChange against the same at once, with one interleaved run.

``python -m benchmarks.restructure [--rows N] [--key integer|uuid] [--rounds R] [--workers 1,2]
[--only restructure,type] [--series speed] [--json]`` starts a server of its own, makes the table once, and gives
each run a copy of it, as ``benchmarks.backfill`` does. Speed and traffic are measured apart. Each value is the
median of the rounds, with the smallest and the largest beside it; of the worst request, of lost rows and of
failed requests it is the worst of all rounds.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from benchmarks import backfill, recorded, reshape
from benchmarks import restructure_report as report
from benchmarks.backfill import BYTES_A_ROW, LARGE, NO_CHECKPOINT, QUIET, SETTINGS, SPARE, UNTUNED, tell
from benchmarks.backfill_report import verdict
from benchmarks.fill import KEYS, Run
from benchmarks.recorded import Compared
from benchmarks.reshape import MADE, THERE_AND_BACK, Told, kind_of, named
from benchmarks.restructure_report import Measured, Row, Watched
from benchmarks.server import of_its_own
from benchmarks.traffic import Felt, Traffic, connect, pooled

PARTS = ("restructure", "type")
BASES = {"restructure": "at-once", "type": "alter"}
STOPPING = {"restructure": "lock", "type": "alter"}
LEAST_ROWS = 1000

# What else is wrong of a row that has another shape. The application doesn't know of the new column: of a row
# that it inserts after the switch, that is empty.
OF_SHAPE = f"t.{MADE} is distinct from upper(t.category) and not (e.is_made and t.{MADE} is null)"


def main() -> None:
    given = arguments()
    settings = {**SETTINGS, **(NO_CHECKPOINT if given.rows < LARGE else UNTUNED)}
    try:
        with of_its_own(settings, given.rows * BYTES_A_ROW + SPARE) as server:
            about = {**backfill.describe(server, given), "settings": settings}
            rows = Bench(server.url, given).measure()
    except KeyboardInterrupt:
        sys.exit(130)
    if given.json:
        print(json.dumps({"about": about, "rows": rows}, indent=2, ensure_ascii=False))
    else:
        print(*[f"{name}: {value}" for name, value in about.items()], *report.tables(rows), sep="\n")
        print("", verdict(rows), sep="\n")
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (default 1000000)")
    parser.add_argument("--key", choices=KEYS, default="integer", help="kind of its key (default integer)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way (default 3)")
    parser.add_argument(
        "--workers",
        type=numbers,
        default=[1, 2],
        help="how many connections copy, one way for each number (default 1,2)",
    )
    parser.add_argument("--series", choices=["speed", "traffic"], help="only one of the two")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(PARTS), help=f"some of {','.join(PARTS)}"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.only) - set(PARTS):
        parser.error(f"--only knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    if given.rows < LEAST_ROWS:
        parser.error(f"--rows {given.rows} is too few to say anything: give {LEAST_ROWS} at least")
    if given.rounds < 1 or min(given.workers) < 1:
        parser.error("--rounds and --workers begin at 1")
    return given


def numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


# Measurements -----------------------------------------------------------------------------------------


class Bench(backfill.Bench):
    def measure(self) -> list[Row]:
        self.make(self.given.rows)
        rows: list[Row] = []
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
            reshape.make(connection, self.given.key, rows)

    def ways(self, bases: dict[str, str]) -> list[str]:
        """What is compared with what: of each part the way by hand, and ours with each number of workers."""
        parts = [part for part in PARTS if part in self.given.only]
        return [
            way
            for part in parts
            for way in (bases[part], *(f"{part}:{workers}" for workers in self.given.workers))
        ]

    def compared(self, way: str) -> Compared:
        """Compare the table with what it must be; without traffic, that is what it was."""
        kind = kind_of(way)
        table = "made" if kind == "at-once" else "target"
        is_wrong = "false" if kind in {"type", "alter"} else OF_SHAPE
        with connect(self.copy) as connection:
            return recorded.compare(connection, self.given.key, self.given.rows, table, is_wrong)

    def speed(self) -> Iterator[Row]:
        found: dict[str, list[Measured]] = defaultdict(list)
        ways = self.ways(BASES)
        for number, way in self.turns(ways):
            self.fresh(way, self.given.rows)
            told = Run(way, self.copy, self.given.key, reshape.run).finish()
            if (compared := self.compared(way)) != Compared(0, 0, 0):
                sys.exit(f"{named(way)}: without any traffic {compared} of {self.given.rows} rows.")
            found[way].append(Measured(told, self.given.rows))
            tell(f"round {number + 1}, {way}: {found[way][-1].seconds:.2f} s")
        for way in ways:
            yield from report.speed_rows(way, found)

    def traffic(self) -> Iterator[Row]:
        found: dict[str, list[Watched]] = defaultdict(list)
        idle: dict[int, list[Felt]] = defaultdict(list)
        for number, way in self.turns(self.ways(STOPPING)):
            self.fresh(way, self.given.rows)
            quiet, watched = self.watch(way)
            found[way].append(watched)
            idle[number].append(quiet)
            tell(f"round {number + 1}, traffic and {way}: {watched}")
        yield from report.traffic_rows(found, [pooled(idle[number]) for number in sorted(idle)])

    def watch(self, way: str) -> tuple[Felt, Watched]:
        """Run it with traffic, which is stopped before the rows are compared."""
        reshaping = partial(reshape.run, steps=THERE_AND_BACK)
        run = Run(way, self.copy, self.given.key, reshaping)
        traffic = Traffic(self.copy, recorded.load_of(self.given.key, self.given.rows))
        traffic.quiet(QUIET)
        told: Told = run.finish()
        traffic.windows += told.steps
        felt = {name: pooled(some) for name, some in traffic.end().items()}
        idle = felt.pop("idle")
        with connect(self.copy) as connection:
            met = recorded.met(connection)
        return idle, Watched(told, pooled(list(felt.values())), felt, met, self.compared(way))


if __name__ == "__main__":
    main()
