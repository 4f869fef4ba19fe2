"""EXCLUDE constraints: there is no way to make one online, and this says so."""

from typing import Any, NoReturn

from homeops_db.errors import UnsafeError
from homeops_db.online import constraint


def create_exclude_constraint(
    constraint_name: str | None,
    table_name: str,
    *elements: Any,  # noqa: ARG001 - Alembic's own arguments
    schema: str | None = None,
    **kw: Any,  # noqa: ARG001
) -> NoReturn:
    """Refuse: an EXCLUDE constraint can't be made online; twin of ``op.create_exclude_constraint``.

    The server builds its index and reads the whole table under ACCESS EXCLUSIVE: there is neither a
    CONCURRENTLY, nor a USING INDEX, nor a NOT VALID for it.

    Args:
        constraint_name: Its name.
        table_name: The table.
        *elements: As in ``op``.
        schema: The table's schema.
        **kw: As in ``op``.

    Raises:
        UnsafeError: Always, with what can be done instead.

    Takes no lock. Method: https://www.postgresql.org/docs/17/sql-altertable.html (ADD table_constraint
    USING INDEX: "PRIMARY KEY or UNIQUE"; NOT VALID: foreign key and CHECK constraints).
    """
    what = constraint.label(constraint.named(constraint_name), table_name, schema)
    raise UnsafeError(
        f"The EXCLUDE constraint {what} can't be made online: the server reads the whole table and builds "
        "the index while it stops reads and writes. Nothing was changed. Make a new table that has it, copy "
        "the rows and switch over; or, in a maintenance window or on a small table, use "
        "op.create_exclude_constraint()."
    )
