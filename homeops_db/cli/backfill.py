"""``homeops-db backfill``: the backfills of a database, seen and steered from any terminal."""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeops_db.cli.ending import json_errors
from homeops_db.cli.progress import shown_progress
from homeops_db.locking import amounts
from homeops_db.locking.pace import Pace, is_size, read

if TYPE_CHECKING:
    from psycopg import Connection

    from homeops_db.history.backfill_standing import Standing

app = typer.Typer(no_args_is_help=True, help="The backfills: look at them, pause, resume, retune, cancel.")

_Id = Annotated[int, typer.Argument(metavar="ID", help="Its number, as `backfill list` shows it.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    as_json: _Json = False,
) -> None:
    """List the backfills, newest first: state, share done, speed, and how long each will still take.

    Of a running one, "waiting" says why it waits; "interrupted" is one whose run died without a word.

    Exit codes: 0 done, 2 unusable.

    Example: homeops-db backfill list
    """
    from homeops_db.history import backfill_standing

    with _connection(as_json) as connection:
        found = backfill_standing.newest(connection, limit=limit)
    from homeops_db.cli import backfill_shown
    from homeops_db.cli.console import console, print_json

    if as_json:
        print_json({"backfills": [backfill_shown.as_json(standing) for standing in found]})
    else:
        console().print(backfill_shown.listed(found) if found else "No backfills.")


@app.command()
def show(backfill_id: _Id, as_json: _Json = False) -> None:
    """Show everything of a backfill: plan, pace, ranges, who runs it, and the rows that can't be done.

    Exit codes: 0 done, 2 unusable, 4 there is no such backfill.

    Example: homeops-db backfill show 3
    """
    from homeops_db.history import backfill_standing as standings

    with _connection(as_json) as connection:
        standing = standings.one(connection, backfill_id)
        parts = standings.parts(connection, backfill_id)
        errors = standings.errors(connection, backfill_id, limit=1000)
    from homeops_db.cli import backfill_shown
    from homeops_db.cli.console import console, print_json

    if as_json:
        every = {
            "every_range": [vars(part) for part in parts],
            "every_error": [vars(error) for error in errors],
        }
        print_json(backfill_shown.as_json(standing) | every)
    else:
        console().print(*backfill_shown.shown(standing, parts, errors))


@app.command()
def pause(backfill_id: _Id, as_json: _Json = False) -> None:
    """Let a backfill wait after the batch in hand, until it is resumed. A re-run of its revision waits too.

    Exit codes: 0 done, 2 unusable, 4 there is no such backfill, or it has ended.

    Example: homeops-db backfill pause 3
    """
    from homeops_db.history import backfill_orders

    standing = _told(as_json, backfill_orders.pause, backfill_id)
    when = "waits after the batch in hand" if standing.backend else "is paused, and nobody is at work on it"
    _say(standing, f"{when}. Let it go on: homeops-db backfill resume {backfill_id}", as_json)


@app.command()
def resume(backfill_id: _Id, as_json: _Json = False) -> None:
    """Let a paused backfill go on.

    Exit codes: 0 done, 2 unusable, 4 there is no such backfill, or it has ended.

    Example: homeops-db backfill resume 3
    """
    from homeops_db.history import backfill_orders

    standing = _told(as_json, backfill_orders.resume, backfill_id)
    nobody = "may go on, and nobody is at work on it. Run its revision again"
    _say(standing, "goes on." if standing.backend else f"{nobody}{_command(standing)}.", as_json)


@app.command()
def cancel(
    backfill_id: _Id,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: _Json = False,
) -> None:
    """End a backfill after the batch in hand; asks first. What it did stays, and its revision fails.

    A re-run of the revision goes on from there. A failed one that is cancelled is no longer shown by status.

    Exit codes: 0 done, 1 you said no, 2 unusable or nobody to ask, 4 there is no such backfill, or it has
    ended.

    Example: homeops-db backfill cancel 3 --yes
    """
    from homeops_db.errors import PolicyError
    from homeops_db.history import backfill_orders, backfills

    if not yes:
        with _connection(as_json) as connection:
            found = backfills.existing(connection, backfill_id)
            if not _is_terminal():
                raise PolicyError(
                    "cancel asks first, and here is nobody to answer. Nothing was changed. Add --yes."
                )
        question = (
            f"Cancel backfill {found.id} of {found.relation}? What it did stays, and its revision fails"
        )
        typer.confirm(question, abort=True, err=True)
    standing = _told(as_json, backfill_orders.cancel, backfill_id)
    when = "ends after the batch in hand, and its revision fails" if standing.backend else "is cancelled"
    _say(standing, f"{when}. What it did stays.", as_json)


def _of_pace(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each limit that there is: a new one can't be forgotten."""
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                str | None, typer.Option(metavar=_kind(field.name), help=_meaning(field.name))
            ],
        )
        for field in fields(Pace)
    ]
    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return command


def _kind(name: str) -> str:
    default = getattr(Pace(), name)
    return "TIME" if isinstance(default, timedelta) else "SIZE" if is_size(name) else "NUMBER"


def _meaning(name: str) -> str:
    """Take the words from where the limit is described."""
    described = re.search(rf"^ *{name}: (.+?)(?=^ *\w+: |\Z)", Pace.__doc__ or "", re.DOTALL | re.MULTILINE)
    words = " ".join(described[1].split()) if described else ""
    return f"{words} By default {amounts.limit(name, getattr(Pace(), name))}."


@app.command()
@_of_pace
def retune(backfill_id: _Id, as_json: _Json = False, **limits: str | None) -> None:
    """Change limits of a backfill while it runs; it sees them within seconds, and so does a re-run.

    A time is written like 20ms, 10s or 1h, a size like 64MB or 2GB. 0 switches a max- limit off;
    with --max-errors 0 no row may fail.

    Exit codes: 0 done, 2 unusable, 4 no limit or a malformed one, there is no such backfill, or it has ended.

    Example: homeops-db backfill retune 3 --target 10ms --max-batch-rows 5000 --max-replication-bytes 64MB
    """
    from homeops_db.errors import OnlineError
    from homeops_db.history import backfill_orders

    with json_errors(as_json):
        given = {name: read(name, text) for name, text in limits.items() if text is not None}
        if not given:
            raise OnlineError(
                "No limit is named. Nothing was changed. Name one or more: homeops-db backfill retune --help"
            )
    values = {name: _in_json(value) for name, value in given.items()}
    standing = _told(as_json, backfill_orders.retune, backfill_id, values)
    words = ", ".join(
        f"{name.replace('_', '-')} {amounts.limit(name, value)}" for name, value in given.items()
    )
    when = "" if standing.backend else "; nobody is at work on it now, its next run will see that"
    _say(standing, f"has {words}{when}.", as_json)


def _in_json(value: Any) -> Any:
    return value / timedelta(milliseconds=1) if isinstance(value, timedelta) else value


@contextmanager
def _connection(as_json: bool) -> "Iterator[Connection]":
    from homeops_db import database, settings
    from homeops_db.history import target

    with json_errors(as_json):
        given = settings.load()
        url = target.database_url(given, shown_progress)
        with database.connect(
            url, given, application="homeops-db backfill", load_timescaledb=False
        ) as connection:
            yield connection


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _told(as_json: bool, tell: Callable[..., Any], backfill_id: int, *values: Any) -> "Standing":
    from homeops_db.history import backfill_standing

    with _connection(as_json) as connection:
        return backfill_standing.of(connection, tell(connection, backfill_id, *values))


def _say(standing: "Standing", words: str, as_json: bool) -> None:
    if as_json:
        from homeops_db.cli.backfill_shown import as_json as document
        from homeops_db.cli.console import print_json

        print_json(document(standing))
    else:
        print(f"{standing.name} {words}")


def _command(standing: "Standing") -> str:
    return f": alembic upgrade {standing.backfill.version}" if standing.backfill.version else ""
