"""The connections of a backfill: like the revision's own, with what was SET there, and more."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, LiteralString

import psycopg
from psycopg import Connection

from homeops_db.catalog import heap
from homeops_db.locking.observer import parameters_of

# With row_security off the server refuses what a policy would hide. A generic plan would not know how
# small a window is.
_OURS: Final = {
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "jit": "off",
    "enable_tidscan": "on",
    "plan_cache_mode": "force_custom_plan",
    "max_parallel_workers_per_gather": "0",
    "statement_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "client_connection_check_interval": "1000",
}

_SET: LiteralString = """
select set_config(name, value, false)
from unnest(%s::text[], %s::text[]) with ordinality given (name, value, place) order by place
"""
_WAIT: LiteralString = """
select set_config('synchronous_commit', 'local', false) where current_setting('synchronous_commit') = 'off'
"""


@dataclass(frozen=True)
class Sessions:
    """Opens connections for one run.

    Attributes:
        parameters: Of the revision's own connection.
        settings: What was SET in it.
    """

    parameters: Mapping[str, Any] = field(repr=False)
    settings: Mapping[str, str]

    def open(self, *, lock_timeout: timedelta, waits_for_disk: bool = True) -> Connection:
        """Open a connection in autocommit.

        Args:
            lock_timeout: Of a statement.
            waits_for_disk: False for batches. A crash of the server may then take the last ones back, rows
                and position alike: they are done again. Whatever is committed later by a session that
                waits makes them last (https://www.postgresql.org/docs/17/wal-async-commit.html).

        Raises:
            psycopg.OperationalError: It can't be had.
        """
        ours = {**_OURS, "lock_timeout": f"{max(1, round(lock_timeout / timedelta(milliseconds=1)))}"}
        if not waits_for_disk:
            ours["synchronous_commit"] = "off"
        connection = psycopg.connect(**self.parameters, autocommit=True)
        # By statements: a pooler that keeps sessions may drop connect options all the same.
        settings = {**self.settings, **ours}
        names, values = list(settings), list(settings.values())
        connection.execute(_SET, (names, values))
        if waits_for_disk:
            connection.execute(_WAIT)
        return connection


def like(connection: Connection) -> Sessions:
    """Look what connections like this one need."""
    return Sessions(parameters_of(connection), heap.session_settings(connection))
