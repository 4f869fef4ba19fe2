"""A column whose default is another value in every row: added empty, and its old rows filled in batches."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from psycopg import sql
from psycopg.errors import LockNotAvailable

from homeops_db.catalog import columns, tables
from homeops_db.catalog.columns import Column
from homeops_db.catalog.tables import Table
from homeops_db.locking.wanted import wanted
from homeops_db.locking.watch import Cost
from homeops_db.online import not_null, probe, rendered, script_guard
from homeops_db.online.backfill import operation
from homeops_db.online.backfill.asked import Asked
from homeops_db.online.subject import Named
from homeops_db.online.work import Done, Script, Work

_FILLED: Final = {"until": "filled"}
"""Marks in the ledger that nothing is left to do: NULLs that come later are somebody's own."""


def may_be(column: sa.Column[Any]) -> bool:
    """Tell whether only the server knows if the default is the same in every row."""
    default = column.server_default
    return isinstance(default, sa.DefaultClause) and not isinstance(default.arg, str)


def can_be_filled(work: Work, table: Table, column: sa.Column[Any], *, anew: bool) -> bool:
    """Try out whether the column without its default, and then its default, hurt nobody.

    Args:
        work: The operation.
        table: The table.
        column: The column.
        anew: The column is there already, and is tried as if it weren't.

    Raises:
        ObjectError: The server refuses the column.
    """
    if not isinstance(column.server_default, sa.DefaultClause):
        return False

    return probe.effect(work, table, str(column.name), change(column), anew=anew).hurts is None


def change(column: sa.Column[Any]) -> probe.Change:
    """Give what is done at once: the column without its default, and the default for new rows."""
    bare: sa.Column[Any] = sa.Column(column.name, column.type, comment=column.comment)

    def write(table: str, schema: str | None) -> list[str]:
        add = rendered.statements(lambda ops: ops.add_column(table, bare, schema=schema))
        return [*add, *_set_default(column, table, schema)]

    return write


def refuse_unfillable(work: Work, table: Table) -> None:
    """Refuse, before the column is added, what would keep its rows from being filled.

    Takes ROW EXCLUSIVE on one leaf after the other while an update of it is planned.

    Raises:
        ObjectError: A leaf isn't a table of this server, or our role may not update it.
        UnsafeError: Rows would be hidden, or updates would be turned away.
    """
    from homeops_db.online.backfill import before  # noqa: PLC0415 - the engine is loaded when it is needed
    from homeops_db.online.backfill.job import Job, relation  # noqa: PLC0415

    found = columns.names(work.connection, table.oid)
    if not found:
        return
    leaves = [part for part in tables.tree(work.connection, table.oid) if not part.is_partitioned]

    def update(leaf: Table, condition: sql.Composable) -> sql.Composable:
        # Every column can be set to DEFAULT, generated or not; the new one isn't there yet.
        query = sql.SQL("UPDATE ONLY {} AS {} SET {} = DEFAULT WHERE {}")
        named = (sql.Identifier(name) for name in (table.name, found[0]))
        return query.format(relation(leaf), *named, condition)

    planned = Job("backfill", str(table), {}, update, table.name)
    with suppress(LockNotAvailable):  # it is looked at again before the rows are filled
        before.refuse(work.connection, planned, table, leaves)


def is_filled(work: Work) -> bool:
    """Whether an interrupted run of this same revision has come to the end."""
    return work.began_before(**_FILLED)


def fill(work: Work, table: Table, column: sa.Column[Any], meant: Column) -> Done:
    """Fill the rows where the column is NULL, each with a value of its own, and make it NOT NULL if asked to.

    Args:
        work: The operation, which has added the column, now or in a run before.
        table: The table.
        column: The column as the author wants it.
        meant: The same as the server understands it.

    Returns:
        What the filling cost. It is in the ledger, and ``work`` doesn't count it.

    Raises:
        ViolationError: A row can't be filled, or has NULL where the column is to be NOT NULL.
        LockTimeoutError: Something made it wait for too long.
    """
    name = str(column.name)
    found = columns.column(work.connection, table.oid, name)
    assert found is not None
    assert meant.default is not None
    if found.default != meant.default:
        again = _set_default(column, table.name, table.schema)
        work.execute([wanted(work.connection, table)], *again, step="default")
    part = replace(work, operation="backfill", changed=False, tries=0, waited_ms=0.0, cost=Cost())
    filled = operation.fill(part, table, {name: meant.default}, _is_null(name), Asked())
    if not column.nullable:
        not_null.ensure(work, table, name)
    work.announce(**_FILLED)
    return filled


def write(out: Script, what: str, table: Named, column: sa.Column[Any], at_once: probe.Change) -> None:
    """Write both ways for a script: psql asks the server which one it is, and takes that.

    Args:
        out: The script.
        what: The subject of the operation.
        table: The table.
        column: The column.
        at_once: The statements of the short way.
    """
    from homeops_db.online.backfill import script  # noqa: PLC0415 - loads PostgreSQL's parser

    name = str(column.name)
    out.write(script_guard.judging(table, at_once(script_guard.CLONE, None)))
    out.write_psql(script_guard.JUDGED, r"\if :homeops_hurts")
    out.write(script_guard.probing(what, *table, change(column)(script_guard.CLONE, None)))
    out.write_together(*_announced(what), *change(column)(*table))
    script.write_backfill(out, table, {name: rendered.default(column)}, _is_null(name))
    if not column.nullable:
        not_null.write(out, table, name)
    out.write_psql(r"\else")
    out.write_together(*at_once(*table))
    out.write_psql(r"\endif")


def both(added: Done, filled: Done) -> Done:
    """Add up what the two parts cost."""
    return replace(
        added,
        changed=added.changed or filled.changed,
        tries=added.tries + filled.tries,
        waited_ms=added.waited_ms + filled.waited_ms,
        cost=added.cost + filled.cost,
    )


def _announced(what: str) -> list[str]:
    """Write into the ledger what `Work.announce` does: the command goes on where a script stopped."""
    recorder = op.get_context().opts.get("homeops_recorder")
    if recorder is None or recorder.current is None:
        return []
    detail = json.dumps({"operation": "add_column", "begins": what})
    direction = "upgrade" if recorder.current.info.is_upgrade else "downgrade"
    values = map(sql.Literal, (recorder.current_revision.version, direction, "step", detail))
    insert = "INSERT INTO migrations.schema_events (version, direction, event, detail) VALUES ({})"
    return [sql.SQL(insert).format(sql.SQL(", ").join(values)).as_string()]


def _set_default(column: sa.Column[Any], table: str, schema: str | None) -> list[str]:
    assert isinstance(column.server_default, sa.DefaultClause)
    default: Any = column.server_default.arg
    return rendered.statements(
        lambda ops: ops.alter_column(table, str(column.name), schema=schema, server_default=default)
    )


def _is_null(name: str) -> str:
    return f"{sql.Identifier(name).as_string()} IS NULL"
