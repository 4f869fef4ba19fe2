"""VACUUM of what a backfill has filled: at its end, and on the way where the table would grow too much."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import Connection, sql
from psycopg.errors import InsufficientPrivilege, LockNotAvailable, UndefinedTable

from homeops_db.catalog import heap
from homeops_db.catalog.tables import Table
from homeops_db.online.backfill.job import relation
from homeops_db.online.backfill.plan import Plan
from homeops_db.online.backfill.worker import Shared
from homeops_db.online.work import lifted_timeouts


def of(connection: Connection, tables: Sequence[Table], *, analyze: bool = True) -> None:
    """VACUUM tables: dead rows make room, and the planner learns of the new values.

    Pages at the end are not given back: that would take ACCESS EXCLUSIVE. SHARE UPDATE EXCLUSIVE on one table
    after the other, reads and writes go on.

    Args:
        connection: In autocommit. A role that may not VACUUM a table leaves it out, with a warning.
        tables: The leaves.
        analyze: Whether to ANALYZE too.
    """
    words = sql.SQL("ANALYZE, TRUNCATE FALSE" if analyze else "TRUNCATE FALSE")
    for table in tables:
        try:
            with lifted_timeouts(connection):
                connection.execute(sql.SQL("VACUUM ({}) {}").format(words, relation(table)))
        except (InsufficientPrivilege, LockNotAvailable, UndefinedTable) as error:
            logging.getLogger(__name__).warning("%s was not vacuumed: %s", table, error.diag.message_primary)


@dataclass
class Growth:
    """Watches how much tables have grown, and vacuums those whose dead rows may be used again.

    Attributes:
        sizes: Pages at the beginning, or after the last VACUUM, by oid.
    """

    sizes: dict[int, int] = field(default_factory=dict)

    def check(self, connection: Connection, shared: Shared) -> None:
        """Vacuum the tables of plain windows that have grown too much, while the workers wait.

        What they did meanwhile, it would not see. Striped windows make room by themselves.
        """
        if shared.job.operation != "backfill":
            return
        plain = [made for made in shared.plans.values() if made.stripes.is_plain]
        try:
            large = self._too_large(connection, plain, shared.control.pace.max_growth)
        except LockNotAvailable:  # somebody changes a table: it is looked at again with the next beat
            return
        if large:
            shared.control.set_hold(f"vacuum of {', '.join(map(str, large))}")
            of(connection, large, analyze=False)
            shared.control.set_hold(None)

    def _too_large(self, connection: Connection, plans: Sequence[Plan], most: float) -> list[Table]:
        """Name the tables that have grown beyond ``most`` since they were looked at first, or vacuumed."""
        found = []
        for plan in plans:
            before = self.sizes.setdefault(plan.table.oid, max(1, plan.blocks))
            now = heap.blocks(connection, plan.table.oid)
            if most and now > before * most:
                self.sizes[plan.table.oid] = now
                found.append(plan.table)
        return found
