"""What the runs of the restructure benchmark come to: ratios, goals, tables."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.backfill_report import table
from benchmarks.recorded import Compared, Met
from benchmarks.reshape import OURS, STAGES, Told, kind_of, named
from benchmarks.traffic import Felt

RATE, BARE, WAL = "rows/s ÷ at once", "bare copy ÷ at once", "WAL ÷ at once"
TYPE_RATE, TYPE_WAL = "rows/s ÷ ALTER TYPE", "WAL ÷ ALTER TYPE"
P99, WORST, TYPE_P99 = "p99 ÷ idle", "worst request, ms", "p99 ÷ ALTER TYPE"
LOST, FAILED = ("lost", "stale", "ghost"), "failed requests"
BARE_STAGES = ("copied", "indexed")
STEPS = ("expand", "switch", "undo_switch", "contract")
TABLES = {
    "without traffic": (RATE, BARE, WAL, TYPE_RATE, TYPE_WAL, "rows/s", "s", "s of contract"),
    "seconds of each stage": (*STAGES.values(), "rest"),
    "traffic meanwhile": (P99, TYPE_P99, WORST, "p99, ms", "s in all"),
    "worst request at each step, ms": STEPS,
    "what came of the traffic": ("requests", *LOST, FAILED, "repeated requests"),
}
LEAST = {
    ("restructure:1", RATE): 0.8,
    ("restructure:2", RATE): 1.1,
    ("restructure:1", BARE): 0.9,
    ("restructure:2", BARE): 1.2,
}
MOST = {WORST: 50.0, FAILED: 0.0, **dict.fromkeys(LOST, 0.0)}
"""Of every way that is ours."""


@dataclass(frozen=True)
class Measured:
    """One run without traffic."""

    told: Told
    rows: int

    @property
    def seconds(self) -> float:
        """Until the other shape is the application's."""
        return self.told.seconds("expand", "switch", "copy", "alter")

    @property
    def rate(self) -> float:
        return self.rows / self.seconds

    @property
    def bare_rate(self) -> float:
        taken = self.told.stages()
        return self.rows / sum(taken.get(name, 0.0) for name in BARE_STAGES)


@dataclass(frozen=True)
class Watched:
    """One run with traffic: what that felt in all and at each step, what it met, what came of its rows."""

    told: Told
    felt: Felt
    steps: dict[str, Felt]
    met: Met
    compared: Compared

    @property
    def seconds(self) -> float:
        return sum(ended - began for _, began, ended in self.told.steps)

    def __str__(self) -> str:
        found = f"{self.compared}, failed {dict(self.met.failed)}, repeated {dict(self.met.repeated)}"
        worst = max(self.felt.requests, key=lambda one: one.ms, default=None)
        if worst is None:
            return found
        after, until = (self.told.last(at) for at in (worst.due, worst.due + worst.ms / 1000))
        return f"worst {worst.ms:.1f} ms, from “{after}” to “{until}”; {found}"


Row = dict[str, object]


def speed_rows(way: str, found: dict[str, list[Measured]]) -> Iterator[Row]:
    runs = found[way]
    yield row(way, "rows/s", [one.rate for one in runs])
    yield row(way, "s", [one.seconds for one in runs])
    is_type = kind_of(way) in {"type", "alter"}
    pairs = list(zip(runs, found["alter" if is_type else "at-once"], strict=True))
    yield row(way, TYPE_RATE if is_type else RATE, [one.rate / other.rate for one, other in pairs])
    yield row(way, TYPE_WAL if is_type else WAL, [one.told.wal / other.told.wal for one, other in pairs])
    if is_ours(way):
        yield row(way, "s of contract", [one.told.seconds("contract") for one in runs])
    if kind_of(way) == "restructure":
        yield row(way, BARE, [one.bare_rate / other.rate for one, other in pairs])
    if not is_type:
        yield from stage_rows(way, [one.told.stages() for one in runs])


def stage_rows(way: str, taken: list[dict[str, float]]) -> Iterator[Row]:
    for name, title in STAGES.items():
        if name in taken[0]:
            yield row(way, title, [one.get(name, 0.0) for one in taken])
    rest = ("rest of expand", "rest of switch", "rest of copy")
    yield row(way, "rest", [sum(one.get(name, 0.0) for name in rest) for one in taken])


def traffic_rows(found: dict[str, list[Watched]], idle: list[Felt]) -> Iterator[Row]:
    yield row("idle", "p99, ms", [felt.p99() for felt in idle])
    yield row("idle", WORST, [felt.worst() for felt in idle], of=max)
    for way, runs in found.items():
        p99 = [one.felt.p99() for one in runs]
        yield row(way, P99, [ms / quiet.p99() for ms, quiet in zip(p99, idle, strict=True)])
        yield row(way, "p99, ms", p99)
        yield row(way, WORST, [one.felt.worst() for one in runs], of=max)
        yield row(way, "s in all", [one.seconds for one in runs])
        if kind_of(way) == "type" and "alter" in found:
            pairs = zip(p99, found["alter"], strict=True)
            yield row(way, TYPE_P99, [ms / other.felt.p99() for ms, other in pairs])
        for step in STEPS if is_ours(way) else ():
            yield row(way, step, [one.steps[step].worst() for one in runs if step in one.steps], of=max)
        yield row(way, "requests", [float(len(one.felt.requests)) for one in runs])
        for what in LOST:
            yield row(way, what, [float(getattr(one.compared, what)) for one in runs], of=max)
        yield row(way, FAILED, [float(one.met.failed.total()) for one in runs], of=max)
        yield row(way, "repeated requests", [float(one.met.repeated.total()) for one in runs], of=max)


def is_ours(way: str) -> bool:
    return kind_of(way) in OURS


def row(way: str, measure: str, values: list[float], of=statistics.median) -> Row:
    value, least = of(values), LEAST.get((way, measure))
    most = MOST.get(measure) if is_ours(way) else None
    return {
        "way": way if way == "idle" else named(way),
        "what": f"{way if way == 'idle' else named(way)}: {measure}",
        "measure": measure,
        "value": round(value, 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
        "goal": least if most is None else most,
        "is_least": least is not None,
        "met": (least is None or value >= least) and (most is None or value <= most),
    }


def tables(rows: list[Row]) -> Iterator[str]:
    """The results as Markdown has tables: ways down, measures across."""
    for title, measures in TABLES.items():
        ways = {one["way"] for one in rows if one["measure"] in measures}
        some = [one for one in rows if one["way"] in ways and one["measure"] in measures]
        if some:
            there = {one["measure"] for one in some}
            yield from ["", *table(title, some, tuple(one for one in measures if one in there))]
