"""Which functions alembic-utils compares: those that somebody wrote.

A range type brings constructors along. They have no text that could be parsed, and alembic-utils would
stop at the first one.
"""

from alembic_utils.pg_function import PGFunction
from sqlalchemy import text
from sqlalchemy.orm import Session

from homeops_db.catalog import functions


def _from_database(cls: type[PGFunction], sess: Session, schema: str) -> list[PGFunction]:
    return [cls.from_sql(body) for body in sess.scalars(text(functions.WRITTEN), {"schema": schema})]


def leave_constructors_out() -> None:
    """Let alembic-utils pass over the functions that belong to a type."""
    PGFunction.from_database = classmethod(_from_database)  # type: ignore[method-assign,assignment]
