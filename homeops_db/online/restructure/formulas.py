"""The expressions of a restructure: read by the server once, so that nobody's search path matters later."""

from collections.abc import Mapping, Sequence

from psycopg import Connection, sql
from psycopg.errors import DataError, NotSupportedError, ProgrammingError

from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online.backfill import syntax
from homeops_db.online.restructure.sides import Field
from homeops_db.online.type_change import expressions
from homeops_db.online.type_change.expressions import Written
from homeops_db.online.work import Work


def canonical(
    work: Work,
    table: Table,
    what: str,
    written: Mapping[str, str],
    *,
    reads: Sequence[Field],
    gives: Sequence[Field],
) -> dict[str, str]:
    """Have the server read expressions, and give them back with full names.

    Args:
        work: The operation. Takes no lock on a table in use.
        table: Names what the expressions may call the table.
        what: The argument that they come from.
        written: They, by the column that they make.
        reads: The columns that they read.
        gives: The columns that they make.

    Raises:
        ObjectError: One can't be read, or makes a column that isn't there.
        UnsafeError: The value of one may change by itself.
    """
    types = {field.name: field.type for field in gives}
    unknown = [name for name in written if name not in types]
    if unknown:
        raise ObjectError(
            f"{what}= makes {', '.join(unknown)}, and the shape that it makes has no such column. Nothing "
            "was changed. Check the names in the revision."
        )
    found: dict[str, str] = {}
    there = sql.Identifier("pg_temp", table.name).as_string()
    with work.connection.transaction(force_rollback=True):
        columns = ", ".join(f"{sql.Identifier(one.name).as_string()} {one.type}" for one in reads)
        work.connection.execute(f"CREATE TEMPORARY TABLE {there} ({columns})".encode())
        for name, text in written.items():
            argument = f"{what}[{name!r}]"
            expressions.refuse_odd(syntax.expression(text, argument), argument)
            found[name] = _said(
                work.connection, there, Written(argument, text, name, types[name], types[name])
            )
    return found


def _said(connection: Connection, there: str, written: Written) -> str:
    try:
        with connection.transaction(force_rollback=True):
            return expressions.said(connection, there, written)
    except (ProgrammingError, NotSupportedError, DataError) as error:
        raise ObjectError(
            f"{written.what} can't be read: {error.diag.message_primary}. Nothing was changed. Check the "
            "revision."
        ) from error


def plain(name: str) -> str:
    """Write the formula of a column that both shapes have."""
    return sql.Identifier(name).as_string()
