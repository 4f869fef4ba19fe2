"""The `homeops-db` command: its subcommands, and what an error looks like.

A command imports its floor when it runs: `homeops-db status` must feel instant.
"""

import sys

import typer

from homeops_db.cli import (
    INTERRUPTED,
    STOPPED,
    backfill,
    deploy,
    local,
    rehearse,
    rollback,
    seed,
    status,
    stop_on_sigterm,
)
from homeops_db.cli.ending import as_ours

app = typer.Typer(
    name="homeops-db",
    help="Run and change the HomeOps database.",
    epilog="Example: homeops-db status. Exit codes: docs/operations.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(local.app, name="local")
app.add_typer(backfill.app, name="backfill")
app.command("status")(status.status)
app.command("seed")(seed.seed)
app.command("deploy")(deploy.deploy)
app.command("rollback")(rollback.rollback)
app.command("rehearse")(rehearse.rehearse)


def main() -> None:
    """Run the command line; an error of ours is one line on stderr and its own exit code."""
    stop_on_sigterm()
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print(STOPPED, file=sys.stderr)
        raise
    except Exception as raised:
        error = as_ours(raised)
        if error is None:
            raise
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
