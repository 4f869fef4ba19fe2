"""``homeops-db local``: this checkout's own PostgreSQL."""

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from homeops_db.cli.progress import shown_progress
from homeops_db.errors import LocalServerError

if TYPE_CHECKING:
    from homeops_db.localdb.record import LocalServer

app = typer.Typer(no_args_is_help=True, help="This checkout's own PostgreSQL, with all six extensions.")


@app.command()
def start() -> None:
    """Start it; the first time, download PostgreSQL and make a cluster.

    Example: homeops-db local start
    """
    print(_describe(_ensure_running()))


@app.command()
def stop() -> None:
    """Stop it; the data stay.

    Example: homeops-db local stop
    """
    from homeops_db import settings
    from homeops_db.localdb import server

    print("stopped" if server.stop(settings.load()) else "it was not running")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show where it is; exit 0 when it runs, 1 when it doesn't.

    Example: homeops-db local status --json
    """
    from homeops_db import settings
    from homeops_db.localdb import server

    found = server.status(settings.load())
    if as_json:
        print(json.dumps(_facts(found), indent=2))
    else:
        print(_describe(found) if found else "never started")
    raise typer.Exit(0 if found and found.pid else 1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context) -> None:
    """Open psql on the development database; further arguments are psql's.

    Example: homeops-db local psql -c 'select version()'
    """
    server = _ensure_running()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LD_"))}
    program = str(server.bin / "psql")
    os.execve(program, [program, *context.args], kept | server.environment)  # noqa: S606 - becomes psql


@app.command()
def destroy(
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Stop it and remove its data for good; asks first.

    Example: homeops-db local destroy --yes
    """
    from homeops_db import settings
    from homeops_db.localdb import folders, server

    loaded = settings.load()
    folder = folders.state_folder(loaded)
    if not yes:
        if not sys.stdin.isatty():
            raise LocalServerError(f"{folder} was not removed: without a terminal, say --yes.")
        typer.confirm(f"Remove {folder} with all its databases?", abort=True)
    print(f"removed {folder}" if server.destroy(loaded) else "there was none")


def _ensure_running() -> "LocalServer":
    from homeops_db import settings
    from homeops_db.localdb import server

    with shown_progress() as progress:
        return server.ensure_running(settings.load(), progress)


def _describe(server: "LocalServer") -> str:
    state = f"runs (process {server.pid})" if server.pid else "is stopped"
    return "\n".join(
        (
            f"PostgreSQL {server.version} {state}",
            f"  programs  {server.bin}",
            f"  from      {server.source}",
            f"  data      {server.data}",
            f"  url       {server.libpq}",
            f"  tcp       {server.tcp}  (password in {server.password_file})",
            f"  log       {server.log}",
        )
    )


def _facts(server: "LocalServer | None") -> dict[str, object]:
    return {
        "running": bool(server and server.pid),
        "version": server and server.version,
        "source": server and server.source,
        "pid": server and server.pid,
        "bin": server and str(server.bin),
        "data_folder": server and str(server.data),
        "url": server and server.libpq,
        "tcp_url": server and server.tcp,
        "password_file": server and str(server.password_file),
        "log": server and str(server.log),
    }
