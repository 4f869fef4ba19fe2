"""What the runs of the backfill benchmark come to: ratios, goals, tables."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.fill import WAYS, Told
from benchmarks.traffic import Felt

FEWER = "ours at fewer rows"
RATE, WAL, HEAP, INDEXES = "rows/s ÷ raw", "WAL ÷ raw", "heap ÷ before", "indexes ÷ before"
P99, WORST = "p99 ÷ idle", "worst request, ms"
TABLES = {
    "without traffic": (RATE, WAL, HEAP, INDEXES, "rows/s", "s", "s with VACUUM", "WAL, MB", "client, MB"),
    "traffic meanwhile": (P99, WORST, "p99, ms"),
}
LEAST = {
    ("ours", RATE): 1.5,
    ("ours-2", RATE): 2.3,
    ("ours-sync", RATE): 1.35,
    ("ours-trigger", RATE): 1.35,
    ("ours", "rows/s ÷ the loop"): 2.2,
    ("fallback", RATE): 0.95,
    ("ours", "rows/s ÷ those at fewer rows"): 0.95,
}
MOST = {
    ("ours", WAL): 0.6,
    ("ours", HEAP): 1.3,
    ("ours", INDEXES): 1.25,
    ("ours", "client memory ÷ that at fewer rows"): 1.05,
    **{(way, P99): 3.0 for way in ("ours", "ours-sync", "ours-trigger")},
    **{(way, WORST): 50.0 for way in ("ours", "ours-sync", "ours-trigger")},
}


@dataclass(frozen=True)
class Size:
    """Bytes of the table and of its indexes together."""

    heap: int
    indexes: int


@dataclass(frozen=True)
class Measured:
    """One run without traffic."""

    told: Told
    rows: int
    before: Size
    after: Size

    @property
    def rate(self) -> float:
        return self.rows / self.told.seconds


def speed_rows(way: str, found: dict[str, list[Measured]]) -> Iterator[dict]:
    runs, raw = found[way], found["raw"]
    yield row(way, RATE, [one.rate / base.rate for one, base in zip(runs, raw, strict=True)])
    yield row(way, WAL, [one.told.wal / base.told.wal for one, base in zip(runs, raw, strict=True)])
    yield row(way, HEAP, [one.after.heap / one.before.heap for one in runs])
    yield row(way, INDEXES, [one.after.indexes / one.before.indexes for one in runs])
    yield row(way, "rows/s", [one.rate for one in runs])
    yield row(way, "s", [one.told.seconds for one in runs])
    yield row(way, "s with VACUUM", [one.told.seconds_in_all for one in runs])
    yield row(way, "WAL, MB", [one.told.wal / 1e6 for one in runs])
    yield row(way, "client, MB", [one.told.peak_mb for one in runs])
    if way == "ours" and "loop" in found:
        pairs = zip(runs, found["loop"], strict=True)
        yield row(way, "rows/s ÷ the loop", [one.rate / other.rate for one, other in pairs])


def fewer_rows(found: dict[str, list[Measured]]) -> list[dict]:
    if FEWER not in found:
        return []
    pairs = list(zip(found["ours"], found[FEWER], strict=True))
    return [
        row("ours", "rows/s ÷ those at fewer rows", [one.rate / other.rate for one, other in pairs]),
        row(
            "ours",
            "client memory ÷ that at fewer rows",
            [one.told.peak_mb / other.told.peak_mb for one, other in pairs],
        ),
    ]


def traffic_rows(found: dict[str, list[Felt]], idle: list[Felt]) -> list[dict]:
    rows = [
        row("idle", "p99, ms", [felt.p99() for felt in idle]),
        row("idle", WORST, [felt.worst() for felt in idle], of=max),
    ]
    for way, runs in found.items():
        rows += [
            row(way, P99, [felt.p99() / quiet.p99() for felt, quiet in zip(runs, idle, strict=True)]),
            row(way, "p99, ms", [felt.p99() for felt in runs]),
            row(way, WORST, [felt.worst() for felt in runs], of=max),
        ]
    return rows


def row(way: str, measure: str, values: list[float], of=statistics.median) -> dict:
    value, least, most = of(values), LEAST.get((way, measure)), MOST.get((way, measure))
    return {
        "way": way,
        "what": f"{named(way)}: {measure}",
        "measure": measure,
        "value": round(value, 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
        "goal": least if most is None else most,
        "is_least": least is not None,
        "met": (least is None or value >= least) and (most is None or value <= most),
    }


def tables(rows: list[dict]) -> Iterator[str]:
    """The results as Markdown has tables: ways down, measures across; what only one way has, as lines."""
    for title, measures in TABLES.items():
        some = [one for one in rows if one["measure"] in measures]
        if some:
            yield from ["", *table(title, some, measures)]
    in_tables = {measure for measures in TABLES.values() for measure in measures}
    apart = [f"{one['what']}: {cell(one)}" for one in rows if one["measure"] not in in_tables]
    yield from ["", *apart] if apart else []


def table(title: str, rows: list[dict], measures: tuple[str, ...]) -> Iterator[str]:
    yield f"| {title} | {' | '.join(measures)} |"
    yield "|---" * (len(measures) + 1) + "|"
    for way in dict.fromkeys(one["way"] for one in rows):
        cells = {one["measure"]: cell(one) for one in rows if one["way"] == way}
        yield f"| {named(way)} | {' | '.join(cells.get(measure, '') for measure in measures)} |"


def verdict(rows: list[dict]) -> str:
    missed = [f"{one['what']}: {cell(one)}" for one in rows if not one["met"]]
    goals = sum(one["goal"] is not None for one in rows)
    return "\n".join(
        [f"{goals - len(missed)} of {goals} goals are met.", *(f"MISSED {one}" for one in missed)]
    )


def named(way: str) -> str:
    return WAYS[way][0] if way in WAYS else way


def cell(one: dict) -> str:
    value, low, high = (number(one[name]) for name in ("value", "low", "high"))
    spread = "" if low == high else f" ({low} to {high})"
    goal = "" if one["goal"] is None else f", goal {'≥' if one['is_least'] else '≤'} {one['goal']:g}"
    return value + spread + goal


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - as many digits as say something
