"""Wires Alembic to HomeOps. What a command does is in homeops_db/history/session.py."""

import sys
from contextlib import AbstractContextManager
from logging.config import fileConfig
from typing import Any

from alembic import context

from homeops_db.errors import HomeOpsError
from homeops_db.history import session

config = context.config
by_hand = config.cmd_opts is not None  # from a terminal, not from a program


def show_progress() -> AbstractContextManager[Any]:
    # Imported when the local server has to be started: nobody else waits for it.
    from homeops_db.cli.progress import shown_progress

    return shown_progress()


if by_hand and config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)

try:
    session.run(context._proxy, show_progress)  # noqa: SLF001 - Alembic keeps the command's arguments there
except HomeOpsError as error:
    if not by_hand or config.cmd_opts.raiseerr:
        raise
    print(error, file=sys.stderr)
    raise SystemExit(error.exit_code) from None
