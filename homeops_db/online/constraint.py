"""What all operations on constraints share: a name, and the way they speak of one."""

import psycopg
from psycopg.errors import InsufficientPrivilege

from homeops_db.catalog.constraints import Constraint
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online import subject


def named(constraint_name: str | None) -> str:
    """Give the constraint's name, which can't be left to the server.

    Raises:
        ObjectError: There is none, or it has more than 63 bytes.
    """
    if constraint_name is None:
        raise ObjectError(
            "The constraint has no name. Nothing was changed. Give it one: a re-run finds it again by its "
            "name, and so does its downgrade."
        )
    subject.refuse_long(constraint_name)
    return constraint_name


def label(constraint_name: str, table_name: str, schema: str | None) -> str:
    """Name a constraint in messages and in the ledger, alike in every run of a revision."""
    return f"{constraint_name} on {schema}.{table_name}" if schema else f"{constraint_name} on {table_name}"


def another(table: Table, found: Constraint) -> ObjectError:
    """Make the error of a name that is taken."""
    return ObjectError(
        f"There is a constraint {found.name} of {table} already, and it is another one: {found.definition}. "
        "Nothing was changed. Give the new one another name, or drop the old one first with "
        "online.drop_constraint()."
    )


def refused(table: Table, error: psycopg.Error) -> Exception:
    """Make the error of a definition that the server can't read, before anything was changed.

    A privilege that is missing is told as it is anywhere else.
    """
    if isinstance(error, InsufficientPrivilege):
        return error
    detail = f" ({error.diag.message_detail.rstrip('.')})" if error.diag.message_detail else ""
    return ObjectError(
        f"Table {table}: {error.diag.message_primary}{detail}. Nothing was changed. Check the revision."
    )
