"""How backfills look: one line each, everything of one, and both as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from homeops_db.cli.console import moment, table
from homeops_db.history.backfill_standing import Part, RowError, Standing
from homeops_db.history.backfills import Backfill
from homeops_db.locking import amounts
from homeops_db.locking.pace import Pace, changed

SHOWN: Final = 20
"""Tables and failed rows that `backfill show` lists; with --json it lists more."""

_STYLES: Final = {
    "running": "green",
    "waiting": "yellow",
    "paused": "yellow",
    "interrupted": "red",
    "failed": "red",
}
_NEXT: Final = {
    "paused": "let it go on: homeops-db backfill resume {id}",
    "interrupted": "its run died; run its revision again, and it goes on from there",
    "failed": "mend that, then run its revision again; or give it up: homeops-db backfill cancel {id}",
    "cancelled": "nothing; if its revision is run again, it goes on from there",
}


def listed(found: Sequence[Standing]) -> Table:
    """Lay out backfills, a line each."""
    columns = ("id", "table", "state", "done", "rows", "rows/s", "left", "revision")
    return table("Backfills", columns, [_line(standing) for standing in found])


def summary(found: Sequence[Standing]) -> Text:
    """Say in a line for each state how many there are, and of which tables."""
    by_state: dict[str, list[str]] = {}
    for standing in found:
        told = f"{standing.backfill.relation}, {percent(standing)}"
        by_state.setdefault(standing.state, []).append(told + _reason(standing))
    lines = [
        Text(f"{len(told)} {state}: {'; '.join(told)}", _STYLES.get(state, ""))
        for state, told in by_state.items()
    ]
    return Text("\n").join(lines)


def shown(standing: Standing, parts: Sequence[Part], errors: Sequence[RowError]) -> list[Table]:
    """Lay out everything that is known of one backfill."""
    tables = [
        table(standing.name, ("what", "state"), list(_facts(standing))),
        table("Pace", ("limit", "in force", "by default"), list(_limits(standing.backfill))),
    ]
    if parts:
        rows = list(_by_table(parts))
        tables.append(
            table(f"Tables{_of(len(rows))}", ("table", "by", "ranges", "done", "rows"), rows[:SHOWN])
        )
    if errors:
        columns = ("table", "key", "SQLSTATE", "what the server said", "then")
        title = f"Rows that could not be done{_of(standing.backfill.errors)}"
        tables.append(table(title, columns, [_error(error) for error in errors[:SHOWN]]))
    return tables


def as_json(standing: Standing) -> dict[str, Any]:
    """Name everything of a backfill but its ranges and rows; durations of the pace are milliseconds."""
    found = standing.backfill
    given = vars(found) | {
        "state": standing.state,
        "table": found.relation,
        "revision": found.version,
        "pace": _pace(found).as_json(),
        "share": standing.share,
        "seconds_left": standing.seconds_left,
        "at_work": standing.backend is not None,
        "pid": standing.backend and standing.backend.pid,
    }
    left_out = {"relation", "version", "share_done", "seconds_left_low", "seconds_left_high", "epoch"}
    return {name: value for name, value in given.items() if name not in left_out}


def percent(standing: Standing) -> str:
    """Show how much is done; 100 % only when it is."""
    whole = int(standing.share * 100)
    return f"{whole if standing.state == 'done' else min(whole, 99)} %"


def _line(standing: Standing) -> tuple[object, ...]:
    found = standing.backfill
    name = found.relation if found.operation == "backfill" else f"{found.relation} ({found.operation})"
    speed = f"{found.rows_per_second:,.0f}" if standing.is_moving and found.rows_per_second else ""
    first = (found.id, name, _state(standing), percent(standing), _rows(found))
    return (*first, speed, _left(standing), found.version or "")


def _state(standing: Standing) -> Text:
    phase = standing.backfill.phase
    doing = f": {phase}" if standing.is_moving and phase not in {"", "filling"} else ""
    return Text(standing.state + (_reason(standing) or doing), _STYLES.get(standing.state, ""))


def _reason(standing: Standing) -> str:
    return f": {standing.backfill.waiting_for}" if standing.state == "waiting" else ""


def _rows(found: Backfill) -> str:
    estimated = found.estimated_rows
    about = f" of ~{amounts.count(estimated)}" if estimated and found.state != "done" else ""
    return f"{found.rows_done:,}{about}"


def _left(standing: Standing) -> str:
    return amounts.between(*standing.seconds_left) if standing.seconds_left else ""


def _facts(standing: Standing) -> Iterator[tuple[str, object]]:
    found = standing.backfill
    yield "operation", found.operation
    yield "state", _state(standing)
    if found.detail:
        yield "error", found.detail
    if standing.state in _NEXT:
        yield "next", _NEXT[standing.state].format(id=found.id)
    yield "revision", found.version or "none: it was not run by a revision"
    yield from ((name, text) for name, value in found.definition.items() if (text := _in_words(value)))
    ranges = f"{found.ranges_done:,} of {found.ranges:,} ranges"
    yield "done", f"{percent(standing)}, {_rows(found)} rows, {ranges}"
    if standing.is_moving and found.rows_per_second:
        yield "speed", f"{found.rows_per_second:,.0f} rows/s"
    if standing.seconds_left:
        yield "left", _left(standing)
    yield "failed rows", found.errors
    yield "plan", _plan(found.plan.splitlines())
    yield "workers", found.workers
    yield "run by", _runner(standing)
    yield "since", moment(found.started_at)
    yield (
        ("ended", moment(found.finished_at))
        if found.finished_at
        else ("heartbeat", _age(found.heartbeat_age))
    )


def _runner(standing: Standing) -> str:
    found, backend = standing.backfill, standing.backend
    who = f"{found.client or 'unknown'}, role {found.run_by}"
    return f"{who}, server process {backend.pid}" if backend else f"nobody now; last {who}"


def _plan(lines: Sequence[str]) -> str:
    """The plan has a line for each table, and a hypertable a thousand of them."""
    more = f"\n… and {len(lines) - SHOWN:,} more: they are shown with --json" if len(lines) > SHOWN else ""
    return "\n".join(lines[:SHOWN]) + more or "not made yet"


def _age(seconds: float) -> str:
    return f"{amounts.between(seconds, seconds)} ago"


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{name} = {part}" for name, part in value.items())
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _limits(found: Backfill) -> Iterator[tuple[object, ...]]:
    asked, default = _pace(found), Pace()
    for field in fields(Pace):
        value, usual = getattr(asked, field.name), getattr(default, field.name)
        shown = amounts.limit(field.name, value)
        name = field.name.replace("_", "-")
        if value == usual:
            yield name, shown, ""
        else:
            who = "retuned" if field.name in found.retuned else "by its revision"
            yield Text(name, "yellow"), Text(shown, "yellow"), f"{amounts.limit(field.name, usual)} ({who})"


def _pace(found: Backfill) -> Pace:
    """The limits in force; those that only another release of ours knows are left out."""
    known = {field.name for field in fields(Pace)}
    return changed(Pace(), {name: value for name, value in found.pace.items() if name in known})


def _by_table(parts: Sequence[Part]) -> Iterator[tuple[object, ...]]:
    """One line for each table, those that aren't done first."""
    tables: dict[str, list[Part]] = {}
    for part in parts:
        if not part.is_closing:
            tables.setdefault(part.relation, []).append(part)
    for name, of in sorted(tables.items(), key=lambda item: all(part.is_done for part in item[1])):
        done = sum(part.is_done for part in of)
        share = 100 if done == len(of) else min(99, int(100 * sum(part.share_done for part in of) / len(of)))
        by = ", ".join(of[0].axis.get("columns", []))
        yield name, by, f"{done} of {len(of)}", f"{share} %", f"{sum(part.rows_done for part in of):,}"


def _error(error: RowError) -> tuple[object, ...]:
    then = "passed over" if error.was_skipped else "ended the run"
    return error.relation, _in_words(error.key).replace("\n", ", "), error.sqlstate, error.message, then


def _of(number: int) -> str:
    return f" (the first {SHOWN} of {number:,}; more with --json)" if number > SHOWN else ""
