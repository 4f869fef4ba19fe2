"""One thing that hangs on the shadow: made there, or taken away."""

from collections.abc import Iterable, Sequence

from psycopg import sql

from homeops_db.catalog import constraints, locks, tables
from homeops_db.catalog.manifest import Item
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online.restructure import carried, cleared
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work


def sequences(work: Work, items: Iterable[Item], called: dict[str, str]) -> None:
    """Make the sequences among some items, where they are missing: defaults of columns read them."""
    for item in items:
        if item.kind == "sequence":
            text = f"CREATE SEQUENCE IF NOT EXISTS {called[item.name]} {item.words[1]}"
            work.alone(text, step="make sequence")


def is_partitioned(side: Side) -> bool:
    """Whether foreign keys must be there before the rows: NOT VALID ones can't be on a partitioned table."""
    return side.other.partition_by is not None


def clear(work: Work, side: Side, item: Item) -> None:
    """Take one away.

    Locks: ACCESS EXCLUSIVE on the table that a foreign key refers to.
    """
    statements = cleared.statements(item, side.shadow, sql.Identifier(side.schema).as_string())
    if item.kind == "foreign key":
        wants = [wanted(work.connection, one.table) for one in _referents(work, side)]
        work.execute(wants, *(statements or []), step="drop key")
    else:
        send(work, statements or [])


def make(work: Work, side: Side, item: Item, called: dict[str, str]) -> None:
    """Make one, under its name.

    Locks: SHARE ROW EXCLUSIVE on the tables that a foreign key refers to.
    """
    for statement in item.statements(side.shadow, called):
        text, _ = carried.adapted(work, statement, side.table, side.live, side.other)
        if item.kind == "foreign key" and side.other.partition_by is None and not text.endswith(" NOT VALID"):
            _key(work, side, item, f"{text} NOT VALID")
        elif item.kind == "foreign key":
            work.execute(_referents(work, side), text, step="key")
        else:
            work.alone(text, step=f"make {item.kind}")


def _key(work: Work, side: Side, item: Item, text: str) -> None:
    """Add a foreign key without looking at rows, and look at them when the lock is gone."""
    work.execute(_referents(work, side), text, step="key")
    work.alone(f"ALTER TABLE {side.shadow} VALIDATE CONSTRAINT {item.name}", step="validate key")


def _referents(work: Work, side: Side) -> list[Wanted]:
    """Name the locks on the tables that the table's foreign keys refer to."""
    both = (side.table.oid, _oid(work, side))
    found = [one for each in both for one in constraints.of_table(work.connection, each) if one.kind == "f"]
    oids = {one.referent_oid for one in found} - {*both, None}
    others = (tables.by_oid(work.connection, one) for one in sorted(oids))
    shadow = tables.by_oid(work.connection, both[1])
    return [
        wanted(work.connection, one, locks.SHARE_ROW_EXCLUSIVE)
        for one in (shadow, *others)
        if one is not None
    ]


def send(work: Work, statements: Sequence[str]) -> None:
    """Send statements as one transaction."""
    with work.connection.transaction():
        for statement in statements:
            work.connection.execute(statement.encode())


def _oid(work: Work, side: Side) -> int:
    found = tables.table(work.connection, side.table.name, side.schema)
    assert found is not None
    return found.oid
