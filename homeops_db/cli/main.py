"""The `homeops-db` command: its subcommands, and what an error looks like.

A command imports its floor when it runs: `homeops-db status` must feel instant.
"""

import sys

import typer

from homeops_db.cli import deploy, local, rollback, seed, status
from homeops_db.errors import HomeOpsError

app = typer.Typer(
    name="homeops-db",
    help="Run and change the HomeOps database.",
    epilog="Example: homeops-db status. Exit codes: docs/operations.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(local.app, name="local")
app.command("status")(status.status)
app.command("seed")(seed.seed)
app.command("deploy")(deploy.deploy)
app.command("rollback")(rollback.rollback)


def main() -> None:
    """Run the command line; an error of ours is one line on stderr and its own exit code."""
    try:
        app()
    except HomeOpsError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(
            "Stopped by Ctrl-C. What was committed stays; run the same command again to go on.",
            file=sys.stderr,
        )
        sys.exit(130)
