"""The SQL that Alembic sends for a plain operation: what makes each ``online`` one its twin."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from homeops_db.errors import ObjectError


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
    _refuse_valueless(context.impl.dialect)

    def write(construct: sa.Executable | str, **_: object) -> None:
        # As Alembic's own, which makes four spaces of every tab, in a default or a condition too.
        clause: Any = sa.text(construct) if isinstance(construct, str) else construct
        literal = {} if isinstance(clause, sa.DDLElement) else {"compile_kwargs": {"literal_binds": True}}
        written.append(str(clause.compile(dialect=context.impl.dialect, **literal)).strip())

    context.impl._exec = write  # type: ignore[assignment,method-assign]  # noqa: SLF001
    operation(Operations(context))
    return written


def statement(operation: Callable[[Operations], object]) -> str:
    """Write out an operation that is one statement."""
    (only,) = statements(operation)
    return only


def default(column: sa.Column[Any]) -> str:
    """Write out the default of a column.

    Raises:
        ObjectError: A parameter has no value.
    """
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    _refuse_valueless(dialect)
    compiler: Any = dialect.ddl_compiler
    return str(compiler(dialect, None).get_column_default_string(column))


def query(clause: sa.ClauseElement) -> str:
    """Write out a query of SQLAlchemy's, with its values in it.

    Raises:
        ObjectError: A parameter has no value.
    """
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    _refuse_valueless(dialect)
    return str(clause.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _refuse_valueless(dialect: Dialect) -> None:
    """Refuse a colon that SQLAlchemy reads as a parameter: without a value, it writes NULL in its place."""

    class Compiler(dialect.statement_compiler):  # type: ignore[name-defined,misc]
        def render_literal_bindparam(self, bindparam: sa.BindParameter[Any], **options: Any) -> str:
            if bindparam.required:
                raise ObjectError(
                    f"The SQL text has :{bindparam.key}, which SQLAlchemy reads as a parameter without a "
                    f"value. Nothing was changed. Write \\:{bindparam.key} for the text itself, or give a "
                    f"value: sa.text(...).bindparams({bindparam.key}=...)."
                )
            return str(super().render_literal_bindparam(bindparam, **options))

    dialect.statement_compiler = Compiler


@contextmanager
def _silence() -> Iterator[None]:
    """Alembic logs three lines about every context: they would drown what it says of the run itself."""
    logger = logging.getLogger("alembic.runtime.migration")
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was
