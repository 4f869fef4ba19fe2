"""How a command ends when it doesn't end well: one line, or one JSON document, and an exit code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from homeops_db.errors import HomeOpsError


@contextmanager
def json_errors(as_json: bool, more: Callable[[], dict[str, Any]] = dict) -> Iterator[None]:
    """Print an error of ours as a JSON document where JSON was asked for; else let it pass.

    Args:
        as_json: Whether it was.
        more: What else belongs into the document.
    """
    try:
        yield
    except Exception as raised:
        error = as_ours(raised)
        if not as_json or error is None:
            raise
        from homeops_db.cli.console import print_json

        print_json({"error": str(error), **more()})
        raise typer.Exit(error.exit_code) from None


def as_ours(error: Exception) -> HomeOpsError | None:
    """Give an error of ours, or what the server refused as one; None for a defect of the program."""
    if isinstance(error, HomeOpsError):
        return error
    from homeops_db import database

    return database.as_error(error)
