"""`homeops-db deploy`."""

from typing import Annotated

import typer


def deploy(
    env: Annotated[
        str, typer.Option(help="The environment that is meant: development, staging or production.")
    ],
    to: Annotated[str, typer.Option(help="An exact version, or head.")] = "head",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Change a database: lock, backup, apply what is pending, validate, unlock.

    Exit codes: 0 done, 2 unusable, 4 a revision failed or the check found something, 6 no backup,
    7 another run holds the lock. Whatever fails, the backup and the ledger stay true.

    Example: HOMEOPS_DATABASE_URL=postgresql://… homeops-db deploy --env production
    """
    from homeops_db import settings
    from homeops_db.cli.console import console, print_json, table
    from homeops_db.cli.local import shown_progress
    from homeops_db.deploy import run
    from homeops_db.history import target

    given = settings.load(environment=env)
    url = target.database_url(given, shown_progress)
    done = run.deploy(given, url, to=to, announce=lambda step: typer.echo(f"{step} …", err=True))
    if as_json:
        print_json({"backup": done.backup, "steps": [vars(step) for step in done.steps]})
        return
    rows = [(step.name, f"{step.seconds:.1f} s", step.result) for step in done.steps]
    console().print(table(f"Deployed to {env}", ("step", "took", "result"), rows))
