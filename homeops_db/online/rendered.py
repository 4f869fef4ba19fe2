"""The SQL that Alembic sends for a plain operation: what makes each ``online`` one its twin."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext


def statements(operation: Callable[[Operations], object]) -> list[str]:
    """Write out what Alembic would send, one statement an item, without their semicolons.

    Args:
        operation: Is handed the operations, and calls one: ``lambda op: op.create_index(...)``.
    """
    written: list[str] = []
    with _silence():
        context = MigrationContext.configure(
            dialect_name="postgresql",
            # Named parameters: the driver's own style would double every % in an expression.
            dialect_opts={"paramstyle": "named"},
            opts={
                "as_sql": True,
                "literal_binds": True,
                "target_metadata": op.get_context().opts.get("target_metadata"),
            },
        )
    context.impl.static_output = written.append  # type: ignore[assignment,method-assign]
    operation(Operations(context))
    return [statement.strip().removesuffix(";") for statement in written]


def statement(operation: Callable[[Operations], object]) -> str:
    """Write out an operation that is one statement."""
    (only,) = statements(operation)
    return only


@contextmanager
def _silence() -> Iterator[None]:
    """Alembic logs three lines about every context: they would drown what it says of the run itself."""
    logger = logging.getLogger("alembic.runtime.migration")
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was
