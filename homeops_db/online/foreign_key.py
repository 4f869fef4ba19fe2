"""Foreign keys: added NOT VALID, then validated in a transaction of their own."""

import logging
from collections.abc import Sequence
from typing import Any

from psycopg.errors import NotSupportedError, ProgrammingError

from homeops_db.catalog import constraints, locks
from homeops_db.errors import UnsafeError
from homeops_db.online import constraint, foreign_key_by_leaf, foreign_key_script, subject, validation
from homeops_db.online.foreign_key_definition import Asked, ForeignKey, defined, refuse_misread
from homeops_db.online.work import Done, Work, at_work, is_offline, script


def create_foreign_key(
    constraint_name: str | None,
    source_table: str,
    referent_table: str,
    local_cols: Sequence[str],
    remote_cols: Sequence[str],
    *,
    onupdate: str | None = None,
    ondelete: str | None = None,
    deferrable: bool | None = None,
    initially: str | None = None,
    match: str | None = None,
    source_schema: str | None = None,
    referent_schema: str | None = None,
    postgresql_not_valid: bool = False,
    **dialect_kw: Any,
) -> Done:
    """Add a foreign key while reads and writes go on; twin of ``op.create_foreign_key``.

    It is added NOT VALID, which checks new rows from then on, and then validated in a transaction of
    its own, which checks the old ones. PostgreSQL before 18 can't do that to a partitioned table: there
    each leaf gets its key so, and the parent's then adopts them without reading a row.

    Args:
        constraint_name: Its name; None is refused.
        source_table: The table that refers.
        referent_table: The table that is referred to.
        local_cols: Columns of the first.
        remote_cols: Columns of the second; a unique constraint or index on just these is needed.
        onupdate: As in ``op``, and so are the next four.
        ondelete: CASCADE, SET NULL (column), …
        deferrable: Whether the check may wait for the commit.
        initially: DEFERRED or IMMEDIATE.
        match: FULL or SIMPLE.
        source_schema: The first table's schema; by the search path when None.
        referent_schema: The second table's schema; by the search path when None.
        postgresql_not_valid: Leave it NOT VALID: `validate_constraint` may follow in a later revision.
        **dialect_kw: What Alembic's takes else.

    Returns:
        What was done. ``changed`` is False when everything was there already.

    Raises:
        ObjectError: No name or too long a one, no such table or column, another role's table, columns
            that aren't unique or of unlike types, or another constraint by that name.
        UnsafeError: A partitioned table's key can't be left NOT VALID before PostgreSQL 18.
        ViolationError: Rows refer to nothing: their count, up to 10 keys with the values, and the query
            that finds them. It stays NOT VALID; mend the rows and run the same command again.
        LockTimeoutError: The locks weren't to be had.

    Locks: SHARE ROW EXCLUSIVE on both tables for some milliseconds to add it (writes wait, reads don't);
    then SHARE UPDATE EXCLUSIVE on the first and ROW SHARE on the second for the scan, which stop neither.
    For a partitioned table before 18 the last step takes ACCESS EXCLUSIVE on the second, for some
    milliseconds. A re-run goes on with what it finds, if it means the same. Its downgrade is
    `drop_constraint`. Without an index on ``local_cols``, a warning is logged.
    Method: https://www.postgresql.org/docs/17/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    name = constraint.named(constraint_name)
    what = constraint.label(name, source_table, source_schema)
    refuse_misread((referent_table, referent_schema), local_cols, remote_cols)
    options: dict[str, Any] = {"onupdate": onupdate, "ondelete": ondelete, "match": match}
    options |= {"deferrable": deferrable, "initially": initially, **dialect_kw}
    asked = Asked(name, local_cols, remote_cols, options)
    if is_offline():
        with script("create_foreign_key", what) as out:
            source_name, referent_name = (source_table, source_schema), (referent_table, referent_schema)
            foreign_key_script.write(out, asked, source_name, referent_name, not_valid=postgresql_not_valid)
        return Done("create_foreign_key", what, changed=True)
    with at_work("create_foreign_key", what) as work:
        source = subject.table_of(work.connection, source_table, source_schema)
        referent = subject.table_of(work.connection, referent_table, referent_schema, must_own=False)
        key = defined(work, asked, source, referent)
        ensure(work, key, not_valid=postgresql_not_valid)
        if not constraints.has_index(work.connection, source.oid, local_cols):
            _warn_without_index(key)
        return work.done()


def ensure(work: Work, key: ForeignKey, *, not_valid: bool) -> None:
    """Add a foreign key and validate it, unless one that means the same is there by that name.

    Raises:
        ObjectError: There is another constraint by that name.
        UnsafeError: It can't be left NOT VALID.
    """
    key.refuse_taken(work.connection, key.source)
    if constraints.constraint(work.connection, key.source.oid, key.name) is None:
        if not constraints.keeps_not_valid(work.connection, key.source):
            if not_valid:
                raise UnsafeError(
                    f"Table {key.source} is partitioned, and before PostgreSQL 18 its foreign keys can't be "
                    "NOT VALID. Nothing was changed. Leave postgresql_not_valid out: each partition's key "
                    "is then added NOT VALID and validated by itself."
                )
            foreign_key_by_leaf.ensure(work, key)
            return
        _add(work, key)
    if not not_valid:
        validation.validate(work, key.source, key.name)


def _add(work: Work, key: ForeignKey) -> None:
    wants = key.wants(work.connection, key.source, locks.SHARE_ROW_EXCLUSIVE)
    try:
        work.execute(wants, key.sql(key.source, not_valid=True), step="add")
    except (ProgrammingError, NotSupportedError) as error:
        raise constraint.refused(key.source, error) from error


def _warn_without_index(key: ForeignKey) -> None:
    """Every DELETE and key UPDATE of the other table reads this one whole, where it has no index."""
    columns = list(key.asked.local_cols)
    index = f"ix_{key.source.name}_{'_'.join(columns)}".encode()[: subject.LONGEST_NAME]
    logging.getLogger(__name__).warning(
        "foreign key %s of %s has no index on %s: each DELETE in %s reads the whole table. Make one before: "
        "online.create_index(%r, %r, %r, schema=%r)",
        key.name,
        key.source,
        ", ".join(columns),
        key.referent,
        index.decode(errors="ignore"),
        key.source.name,
        columns,
        key.source.schema,
    )
