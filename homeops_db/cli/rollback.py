"""`homeops-db rollback`."""

import sys
from typing import Annotated, Literal

import typer


def rollback(
    to: Annotated[str, typer.Option(help="The version to go back to: an exact one, or base.")],
    env: Annotated[
        Literal["development", "staging", "production"] | None,
        typer.Option(help="The environment that is meant, if not that of HOMEOPS_ENVIRONMENT."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    accept_data_loss: Annotated[
        bool, typer.Option("--accept-data-loss", help="Needed in production: a downgrade may lose data.")
    ] = False,
) -> None:
    """Take revisions back: `alembic downgrade` with the lock, the ledger and a question.

    Example: homeops-db rollback --to v1.0.0
    """
    from homeops_db import database, settings
    from homeops_db.cli.progress import shown_progress
    from homeops_db.deploy import run
    from homeops_db.errors import PolicyError
    from homeops_db.history import target
    from homeops_db.urls import masked

    given = settings.load(environment=env)
    url = target.database_url(given, shown_progress)
    with database.connect(url, given, application="homeops-db rollback") as connection:
        planned = run.to_take_back(connection, to)
    if not planned:
        print(f"Nothing to take back: no applied version is newer than {to}.")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise PolicyError(
                "rollback asks first, and here is nobody to answer. Nothing was changed. Add --yes."
            )
        typer.confirm(f"Take back {', '.join(planned)} from {masked(url)}? Their data goes", abort=True)
    run.roll_back(given, url, to=to, planned=planned, accept_data_loss=accept_data_loss)
    print(f"Taken back: {', '.join(planned)}. The database is at {to}.")
