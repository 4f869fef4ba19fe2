"""`homeops-db rehearse`."""

from typing import Annotated

import typer


def rehearse(  # noqa: PLR0917 - options
    rows: Annotated[str, typer.Option(help="How many rows there are, as 20k or 1m.")] = "1m",
    seed: Annotated[int, typer.Option(help="Another one gives other rows.")] = 1,
    to: Annotated[str, typer.Option(help="An exact version, or head.")] = "head",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the scratch database there at the end.")
    ] = False,
    database: Annotated[
        str, typer.Option(help="The scratch database's name on the local server.")
    ] = "homeops_rehearsal",
) -> None:
    """Migrate a scratch database full of generated rows while an application works on it.

    It is made on the local server, filled at v1.0.0, and migrated revision by revision under a light mixed
    workload. The same seed and number of rows give the same rows everywhere.

    Exit codes: 0 no request failed and every row is as it should be, 1 otherwise, 2 refused.

    Example: homeops-db rehearse --rows 20k
    """
    from homeops_db import settings
    from homeops_db.cli import rehearse_shown as shown
    from homeops_db.cli.console import console, print_json
    from homeops_db.cli.ending import json_errors
    from homeops_db.cli.progress import shown_progress
    from homeops_db.rehearsal import run
    from homeops_db.rehearsal.sizes import rows_of

    with json_errors(as_json):
        order = run.Order(settings.load(), rows_of(rows), seed=seed, to=to, database=database, keep=keep)
        with shown_progress() as show:
            rehearsal = run.Rehearsal(order, show)
            run.rehearse(rehearsal, progress=show)
    if as_json:
        print_json(shown.as_json(rehearsal))
    else:
        tables = (shown.listed(rehearsal), shown.locked(rehearsal))
        console().print(*tables, *shown.findings(rehearsal), sep="\n")
    raise typer.Exit(0 if rehearsal.is_good else 1)
