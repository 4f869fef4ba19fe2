"""Indexes of partitioned tables: the parent's first, each partition's CONCURRENTLY, then attached.

The server refuses CREATE INDEX CONCURRENTLY there
(https://www.postgresql.org/docs/17/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY). The parent's index
is made ONLY there, and is INVALID until one of each partition is attached to it. What becomes a partition
meanwhile gets its own by itself. It is attached from the leaves up: completing an index below another
that is attached already would take ACCESS EXCLUSIVE on the tables above.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from psycopg import sql
from psycopg.errors import NotSupportedError, ProgrammingError

from homeops_db.catalog import indexes, locks, partitions, tables
from homeops_db.catalog.indexes import Index
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.history.target import Show
from homeops_db.locking.wanted import Wanted, alone
from homeops_db.online import constraint, index_build, index_watch, subject
from homeops_db.online.index_definition import Definition
from homeops_db.online.work import Work


@dataclass
class _Job:
    """What is built, and which part of the whole work each leaf is, by its size."""

    name: str
    definition: Definition
    sizes: dict[int, int]
    show: Show
    done: int = 0
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = max(1, sum(self.sizes.values()))

    def tell(self, leaf: Table) -> index_build.Tell:
        start, size = self.done, self.sizes.get(leaf.oid, 0)
        self.done += size
        return index_watch.told(self.show, f"of {leaf}", start / self.total, size / self.total)


def ensure(work: Work, table: Table, name: str, definition: Definition, show: Show) -> None:
    """Build an index on a partitioned table and on all below it; goes on with what it finds.

    Raises:
        ObjectError: The name is taken, a partition is a foreign table or another role's, or the key of
            a unique index lacks columns that a table is partitioned by.
        LockTimeoutError: The locks weren't to be had, or a transaction didn't end.
        ViolationError: Rows of a partition have equal keys.
    """
    found = index_build.lookup(work, name, table, definition.meaning)
    if found is not None and found.is_valid:
        return
    _refuse(work, table, name, found, definition)
    parent = _ensure_only(work, table, name, definition)
    with_rows = [part for part in tables.tree(work.connection, table.oid) if not part.is_partitioned]
    sizes = {part.oid: indexes.size(work.connection, part.oid) for part in with_rows}
    _ensure_below(work, table, parent, _Job(name, definition, sizes, show))
    built = indexes.index(work.connection, name, table.schema)
    if built is None or not built.is_valid:
        raise ObjectError(
            f"Index {table.schema}.{name} is still INVALID, though each partition that was seen has its own: "
            "partitions must have come and gone meanwhile. Run the same command again; if that doesn't help, "
            "drop it with online.drop_index() first."
        )


def name_of(part: str, index_name: str) -> str:
    """Name a partition's index; a longer name begins with its hash, and is cut."""
    return subject.shortened(f"{part}_{index_name}")


def leaves(work: Work, index: Index) -> Iterator[Index]:
    """Give the indexes below a partitioned one that have rows; of any other, itself."""
    if index.kind != "I":
        yield index
        return
    for below in partitions.of_parent(work.connection, index.oid):
        found = indexes.by_oid(work.connection, below.oid)
        if found is not None:
            yield from leaves(work, found)


def _refuse(work: Work, table: Table, name: str, found: Index | None, definition: Definition) -> None:
    """Refuse what would only be met half-way."""
    if found is not None and found.definition != definition.meaning:
        raise ObjectError(
            f"There is an INVALID index {found} already, and it is another one: {found.sql}. Nothing was "
            "changed. Drop it first with online.drop_index(), or give the new one another name."
        )
    for part in tables.tree(work.connection, table.oid):
        if part.kind == "f":
            raise ObjectError(
                f"The partition {part} is a foreign table, and can't have an index. Nothing was changed. "
                f"Detach it first, or create the index on each of the other partitions of {table}."
            )
        if not part.is_ours:
            raise ObjectError(
                f"The partition {part} belongs to role {part.owner}, and only its owner may change it. "
                f"Nothing was changed. Connect as {part.owner}, or as a member of it."
            )
        if part.oid != table.oid and _of_part(work, part, 0, definition) is None:
            index_build.lookup(work, name_of(part.name, name), part, definition.meaning)


def _ensure_only(work: Work, table: Table, name: str, definition: Definition) -> Index:
    """Give the index that stands on a parent alone; made where it isn't there."""
    found = index_build.lookup(work, name, table, definition.meaning)
    if found is None:
        wants = [alone(table, locks.SHARE)]
        try:
            work.execute(wants, definition.create(name, table, "ONLY"), step=f"create on {table}")
        except (ProgrammingError, NotSupportedError) as error:
            raise constraint.refused(table, error) from error
        found = index_build.lookup(work, name, table, definition.meaning)
    assert found is not None
    return found


def _ensure_below(work: Work, table: Table, parent: Index, job: _Job) -> None:
    for part in subject.parts_of(work.connection, table):
        found = _of_part(work, part, parent.oid, job.definition)
        is_done = found is not None and found.parent_oid == parent.oid and found.is_valid
        if not is_done:
            _ensure_part(work, part, parent, found, job)


def _ensure_part(work: Work, part: Table, parent: Index, found: Index | None, job: _Job) -> None:
    name = found.name if found else name_of(part.name, job.name)
    if part.is_partitioned:
        found = found or _ensure_only(work, part, name, job.definition)
        _ensure_below(work, part, found, job)
        if found.parent_oid == parent.oid:
            return  # completing it has completed those above
    elif found is None:
        statement = job.definition.create(name, part, "CONCURRENTLY")
        index_build.ensure(work, part, name, statement, meaning=job.definition.meaning, tell=job.tell(part))
    elif not found.is_valid:
        _rebuild(work, found, job.tell(part))
    _attach(work, part, parent, name)


def _of_part(work: Work, part: Table, parent: int, definition: Definition) -> Index | None:
    """Give the partition's own index: the attached one, else a valid one that can be."""
    found = indexes.of_table(work.connection, part.oid)
    attached = next((index for index in found if parent and index.parent_oid == parent), None)
    same = (
        index
        for index in found
        if index.definition == definition.meaning
        and not index.parent_oid
        and (index.is_valid or part.is_partitioned)
    )
    return attached or next(same, None)


def _rebuild(work: Work, found: Index, tell: index_build.Tell) -> None:
    """An index that was attached while INVALID can't be dropped by itself."""
    index_build.patiently(
        work,
        sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(sql.Identifier(found.schema, found.name)),
        step=f"rebuild {found}",
        what=f"REINDEX INDEX CONCURRENTLY {found} waits for every older transaction",
        cleaned=lambda: "A transient index _ccnew may be left INVALID: online.reindex() drops it.",
        tell=tell,
    )


def _attach(work: Work, part: Table, parent: Index, name: str) -> None:
    """Attach one: ACCESS EXCLUSIVE on the partition's index, which whoever plans a query on it needs too."""
    found = indexes.index(work.connection, name, part.schema)
    if found is None:
        return  # dropped meanwhile: the parent stays INVALID, and that is told
    attach = sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
        sql.Identifier(parent.schema, parent.name), sql.Identifier(found.schema, found.name)
    )
    wants = [Wanted(part, locks.ACCESS_EXCLUSIVE, (found.oid,), may_lock=False)]
    work.execute(wants, attach, step=f"attach {part}")
