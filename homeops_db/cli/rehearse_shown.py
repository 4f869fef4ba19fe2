"""How a rehearsal looks: a line for each revision, what was wrong, and everything as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from homeops_db.cli.console import table
from homeops_db.rehearsal.run import Rehearsal, Result

_COLUMNS: Final = ("revision", "took", "worst", "request", "sent", "failed", "retried", "checked")
_WEAK: Final = frozenset({"ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE"})
"""Locks that reads and writes take too: they are no news."""

_STRONG: Final = "ACCESS EXCLUSIVE"
_SHOWN: Final = 10


def listed(rehearsal: Rehearsal) -> Table:
    """Lay out the revisions, a line each."""
    order = rehearsal.order
    title = f"Rehearsal on {order.rows:,} rows, seed {order.seed}, PostgreSQL {rehearsal.server_version}"
    return table(title, _COLUMNS, [_line(result) for result in rehearsal.results])


def locked(rehearsal: Rehearsal) -> Table:
    """Lay out the locks that others feel: a line for each table of a revision, longest first."""
    rows = [
        (result.version, one.table, Text(one.mode, "yellow" * (one.mode == _STRONG)), f"{one.ms:.0f} ms")
        for result in rehearsal.results
        for one in sorted(result.locks, key=lambda one: -one.ms)
        if one.mode not in _WEAK
    ]
    return table("Locks", ("revision", "table", "strongest lock", "held"), rows)


def findings(rehearsal: Rehearsal) -> Iterator[Text]:
    """Say what was wrong, worst first, and how it all ended."""
    for result in rehearsal.results:
        if result.error is not None:
            yield Text(result.error, "red")
        for line in result.wrong[:_SHOWN]:
            yield Text(f"{result.version}: {line}", "red")
        for what, times in result.failed.most_common(_SHOWN):
            yield Text(f"{result.version}: {_many(times, 'time')}: {what}", "red")
        for kind, times in result.retried.most_common(_SHOWN):
            told = f"{kind} was repeated {_many(times, 'time')}, as docs/type-change.md has it"
            yield Text(f"{result.version}: {told}", "yellow")
    yield _summary(rehearsal)
    if rehearsal.order.keep:
        yield Text(f"The database is kept: {rehearsal.order.database} on the local server")


def as_json(rehearsal: Rehearsal) -> dict[str, Any]:
    """Name everything; durations are seconds, or milliseconds where the name says so."""
    order = rehearsal.order
    return {
        "rows": order.rows,
        "seed": order.seed,
        "to": order.to,
        "database": order.database if order.keep else None,
        "server_version": rehearsal.server_version,
        "filled_seconds": rehearsal.filled_seconds,
        "ok": rehearsal.is_good,
        "failed": sum(result.failed.total() for result in rehearsal.results),
        "retried": sum(result.retried.total() for result in rehearsal.results),
        "revisions": [asdict(result) | {"ok": result.is_good} for result in rehearsal.results],
    }


def _line(result: Result) -> tuple[object, ...]:
    return (
        Text(result.version, "green" if result.is_good else "red"),
        f"{result.seconds:.1f} s",
        f"{result.worst.ms:.0f} ms" if result.worst else "",
        result.worst.kind if result.worst else "",
        f"{result.requests:,}",
        _count(result.failed.total(), "red"),
        _count(result.retried.total(), "yellow"),
        Text(f"{result.rows:,}", "red" if result.wrong else "green"),
    )


def _count(number: int, style: str) -> Text:
    return Text(f"{number:,}", style if number else "")


def _summary(rehearsal: Rehearsal) -> Text:
    results = rehearsal.results
    requests, failed = sum(one.requests for one in results), sum(one.failed.total() for one in results)
    wrong = sum(len(one.wrong) for one in results)
    rows = results[-1].rows if results else rehearsal.order.rows
    text = (
        f"{_many(len(results), 'revision')}: {failed:,} of {requests:,} requests failed, "
        f"{sum(one.retried.total() for one in results):,} repeated once; {rows:,} rows compared after each, "
        f"{_many(wrong, 'finding') if wrong else 'all as they should be'}"
    )
    return Text(text, "green" if rehearsal.is_good else "red")


def _many(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"
