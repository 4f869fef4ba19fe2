"""`homeops-db status`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from homeops_db.history.status import Status


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show the database: version, pending revisions, drift, extensions, last runs, who holds the lock.

    Exit codes: 0 clean, 1 revisions pending, 2 unusable, 3 drift or a failed revision.

    Example: homeops-db status --json
    """
    from homeops_db import database, settings
    from homeops_db.cli.console import console, print_json
    from homeops_db.cli.ending import json_errors
    from homeops_db.cli.progress import shown_progress
    from homeops_db.history import scripts, target
    from homeops_db.history import status as history_status

    with json_errors(as_json):
        given = settings.load()
        url = target.database_url(given, shown_progress)
        with database.connect(url, given, application="homeops-db status") as connection:
            found = history_status.read(connection, scripts.read())
    if as_json:
        print_json(_as_json(found, given.environment))
    else:
        console().print(*_tables(found, given.environment))
    raise typer.Exit(found.exit_code)


def _as_json(found: "Status", environment: str) -> dict[str, Any]:
    return {
        "server_version": found.server.version,
        "database": found.server.database,
        "role": found.server.role,
        "environment": environment,
        "current": found.current,
        "head": found.head,
        "pending": [revision.version for revision in found.pending],
        "drift": [{"version": drift.version, "reason": drift.reason} for drift in found.drift],
        "failed": found.failed,
        "extensions": found.extensions,
        "timescaledb": found.timescaledb,
        "missing_roles": found.missing_roles,
        "lock": vars(found.lock) if found.lock else None,
        "runs": [vars(run) for run in found.runs],
        "backfills": _backfills(found),
        "changes": _changes(found),
    }


def _backfills(found: "Status") -> list[dict[str, Any]] | None:
    from homeops_db.cli import backfill_shown

    return None if found.backfills is None else [backfill_shown.as_json(each) for each in found.backfills]


def _changes(found: "Status") -> list[dict[str, Any]] | None:
    if found.changes is None:
        return None
    return [
        {
            "operation": change.operation,
            "table": change.relation,
            "subject": change.subject,
            "state": change.state,
            "way_back": change.way_back,
            "errors": change.errors,
            "version": change.version,
            "switched_at": change.switched_at,
        }
        for change in found.changes
    ]


def _tables(found: "Status", environment: str) -> list[object]:
    from rich.text import Text

    from homeops_db.cli.console import moment, table

    extensions = [
        (name, version or Text("not installed", "yellow")) for name, version in found.extensions.items()
    ]
    shown: list[object] = [
        table("HomeOps DB", ("what", "state"), _lines(found, environment)),
        table("Extensions", ("name", "version"), extensions),
    ]
    if found.runs:
        rows = [
            (
                moment(run.occurred_at),
                run.version,
                f"{run.direction} {run.event}",
                _duration(run.execution_time_ms),
                run.actor,
            )
            for run in found.runs
        ]
        shown.append(table("Last runs", ("when", "version", "what", "took", "by"), rows))
    return shown


def _lines(found: "Status", environment: str) -> list[tuple[str, object]]:
    from rich.text import Text

    from homeops_db.cli.backfill_shown import summary

    here = found.server
    failed = ", ".join(found.failed)
    drift = "\n".join(map(str, found.drift))
    lines: list[tuple[str, object]] = [
        ("environment", environment),
        ("server", f"PostgreSQL {here.version} at {here.address}{_edition(found)}"),
        ("database", f"{here.database} as {here.role}"),
        ("version", Text(found.current, "bold green") if found.current else Text("none: empty", "yellow")),
        ("pending", ", ".join(revision.version for revision in found.pending) or "nothing"),
        ("drift", Text(drift, "red") if drift else "none"),
        ("failed", Text(failed, "red") if failed else "none"),
        ("lock", _lock(found)),
    ]
    if found.backfills:
        lines.append(("backfills", summary(found.backfills)))
    elif found.backfills is None:
        lines.append(("backfills", Text(f"role {here.role} may not see them", "yellow")))
    for change in found.changes or ():
        what = f"{change.operation.replace('_', ' ')} of {change.what}"
        colour = "red" if change.errors else "yellow"
        lines.append(("changes", Text(f"{what}: {change.state}, {change.way_back}", colour)))
    if found.missing_roles:
        names = ", ".join(found.missing_roles)
        lines.append(("roles", Text(f"{names}: missing, or without the privileges of v1.0.0", "yellow")))
    return lines


def _edition(found: "Status") -> str:
    if found.current is None:
        return ""
    if found.extensions["timescaledb"] is None:
        return ", no TimescaleDB: its tables are plain tables"
    return f", TimescaleDB {found.timescaledb} edition"


def _lock(found: "Status") -> str:
    if found.lock is None:
        return "free"
    return f"held by {found.lock}" if found.lock.alive else f"free (left behind by {found.lock})"


def _duration(ms: int | None) -> str:
    return "" if ms is None else f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms} ms"  # noqa: PLR2004
