"""Drops the shadow's foreign keys: that locks the tables they refer to, which are in use."""

from psycopg import sql

from homeops_db.catalog import constraints, tables
from homeops_db.catalog.tables import Table
from homeops_db.locking.wanted import wanted
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work


def drop(work: Work, side: Side) -> None:
    """Drop them one after the other.

    Locks: ACCESS EXCLUSIVE on the table that a key refers to, for some milliseconds each.
    """
    shadow = tables.table(work.connection, side.table.name, side.schema)
    if shadow is None:
        return
    for key in constraints.of_table(work.connection, shadow.oid):
        if key.kind != constraints.FOREIGN_KEY or key.parent_oid:
            continue
        statement = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
            sql.Identifier(shadow.schema, shadow.name), sql.Identifier(key.name)
        )
        both = [shadow, *_referent(work, key.referent_oid, shadow)]
        work.execute([wanted(work.connection, table) for table in both], statement, step="drop key")


def _referent(work: Work, oid: int, shadow: Table) -> list[Table]:
    found = tables.by_oid(work.connection, oid)
    return [found] if found is not None and found.oid != shadow.oid else []
