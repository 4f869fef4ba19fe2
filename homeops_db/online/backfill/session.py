"""The connections of a backfill: like the revision's own, with what was SET there, and more."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import psycopg
from psycopg import Connection

from homeops_db.catalog import heap
from homeops_db.locking.observer import parameters_of

# With row_security off the server refuses what a policy would hide. A generic plan would not know how
# small a window is.
_OPTIONS: Final = (
    "-c row_security=off -c jit=off -c enable_tidscan=on -c plan_cache_mode=force_custom_plan "
    "-c max_parallel_workers_per_gather=0 -c statement_timeout=0 -c idle_session_timeout=0 "
    "-c idle_in_transaction_session_timeout=0 -c client_connection_check_interval=1000"
)


@dataclass(frozen=True)
class Sessions:
    """Opens connections for one run.

    Attributes:
        parameters: Of the revision's own connection.
        settings: What was SET in it.
    """

    parameters: Mapping[str, Any] = field(repr=False)
    settings: Mapping[str, str]

    def open(self, *, lock_timeout: timedelta) -> Connection:
        """Open a connection in autocommit.

        Raises:
            psycopg.OperationalError: It can't be had.
        """
        ms = max(1, round(lock_timeout / timedelta(milliseconds=1)))
        options = f"{self.parameters['options'] or ''} {_OPTIONS} -c lock_timeout={ms}"
        connection = psycopg.connect(**{**self.parameters, "options": options}, autocommit=True)
        for name, value in self.settings.items():
            if name not in _OPTIONS and name != "lock_timeout":
                connection.execute("select set_config(%s, %s, false)", (name, value))
        return connection


def like(connection: Connection) -> Sessions:
    """Look what connections like this one need."""
    return Sessions(parameters_of(connection), heap.session_settings(connection))
