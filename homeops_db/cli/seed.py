"""`homeops-db seed`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from homeops_db.seeding.load import FileResult


def seed(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    env: Annotated[
        Literal["development", "staging", "production"] | None,
        typer.Option(help="Whose seeds, if not those of HOMEOPS_ENVIRONMENT; never more dangerous ones."),
    ] = None,
) -> None:
    """Load the seeds: seeds/common, then those of the environment. Rows that are there stay as they are.

    Each file is all or nothing, and a second run changes nothing. Files that need a later version than the
    database's are left out.

    Exit codes: 0 done, 2 refused or failed, 7 another run holds the migration lock.

    Example: homeops-db seed
    """
    from homeops_db import settings
    from homeops_db.cli.console import console, print_json
    from homeops_db.cli.ending import json_errors
    from homeops_db.cli.progress import shown_progress
    from homeops_db.history import target
    from homeops_db.seeding import load

    with json_errors(as_json):
        given = settings.load()
        url = target.database_url(given, shown_progress)
        with _shown_file() as announce:
            results = load.seed(url, given, environment=env, announce=announce)
    if as_json:
        print_json(_as_json(results, env or given.environment))
    else:
        console().print(_table(results, env or given.environment), _summary(results))


@contextmanager
def _shown_file() -> Iterator[Callable[[str], None]]:
    """Show on stderr which file runs; where it is no terminal, nothing."""
    from rich.console import Console

    with Console(stderr=True).status("seeding …") as status:
        yield lambda file: status.update(f"seeding {file} …")


def _table(results: "list[FileResult]", environment: str) -> "Table":
    from homeops_db.cli.console import table

    rows = [
        (
            result.file,
            "unchanged" if result.unchanged else f"{result.rows_changed:,}",
            f"{result.execution_time_ms} ms",
        )
        for result in results
        if result.needs is None
    ]
    return table(f"Seeds for {environment}", ("file", "rows changed", "took"), rows)


def _summary(results: "list[FileResult]") -> str:
    ran = [result for result in results if result.needs is None]
    files = f"{len(ran)} file" if len(ran) == 1 else f"{len(ran)} files"
    later = f" {len(results) - len(ran)} more need a later version." if len(ran) < len(results) else ""
    if all(result.unchanged for result in ran):
        return f"Nothing to do: all {files} unchanged.{later}"
    return f"Seeded: {sum(result.rows_changed for result in ran):,} rows in {files}.{later}"


def _as_json(results: "list[FileResult]", environment: str) -> dict[str, Any]:
    return {
        "environment": environment,
        "rows_changed": sum(result.rows_changed for result in results),
        "files": [vars(result) | {"unchanged": result.unchanged} for result in results],
    }
