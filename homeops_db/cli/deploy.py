"""`homeops-db deploy`."""

from typing import Annotated, Literal

import typer


def deploy(
    env: Annotated[
        Literal["development", "staging", "production"], typer.Option(help="The environment that is meant.")
    ],
    to: Annotated[str, typer.Option(help="An exact version, or head.")] = "head",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Change a database: lock, backup, apply what is pending, validate, unlock.

    Exit codes: 0 done, 2 unusable, 4 a revision failed or the check found something, 5 not fit to be
    changed, 6 no backup, 7 another run holds the lock. Whatever fails, backup and ledger stay true.

    Example: HOMEOPS_DATABASE_URL=postgresql://… homeops-db deploy --env production
    """
    from homeops_db import settings
    from homeops_db.cli.console import console, print_json, table
    from homeops_db.cli.ending import json_errors
    from homeops_db.cli.progress import shown_progress
    from homeops_db.deploy import run
    from homeops_db.history import target

    steps: list[run.Step] = []
    with json_errors(as_json, lambda: {"steps": [vars(step) for step in steps]}):
        given = settings.load(environment=env)
        url = target.database_url(given, shown_progress)
        with shown_progress() as progress:
            started = run.Deploy(given, url, steps, lambda text: typer.echo(text, err=True))
            run.deploy(started, to=to, progress=progress)
    if as_json:
        print_json({"steps": [vars(step) for step in steps]})
        return
    rows = [(step.name, f"{step.seconds:.1f} s", step.result) for step in steps]
    console().print(table(f"Deployed to {env}", ("step", "took", "result"), rows))
