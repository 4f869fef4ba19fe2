"""How alembic-utils reads functions: without those that a range type brings.

Their constructors are written in the language ``internal``. Of such a function alembic-utils gets a bare word
instead of a statement, and the whole comparison ends with an error.
"""

from typing import Any

from alembic_utils.pg_function import PGFunction

_read: Any = vars(PGFunction)["from_sql"].__func__


def _from_sql(cls: type[PGFunction], sql: str) -> PGFunction:
    if sql.lstrip().upper().startswith("CREATE"):
        written: PGFunction = _read(cls, sql)
        return written
    # In a schema that is not ours, so that nothing is compared with it.
    return cls(schema="pg_catalog", signature=f"{sql}()", definition="")


def read_written_ones_only() -> None:
    """Teach alembic-utils to pass over functions without a body in SQL. It can be said twice."""
    setattr(PGFunction, "from_sql", classmethod(_from_sql))  # noqa: B010 (mypy refuses the assignment)
