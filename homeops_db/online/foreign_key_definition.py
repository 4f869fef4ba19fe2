"""A foreign key as a revision asks for it, and as the server reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alembic.operations import Operations
from psycopg import Connection, sql
from psycopg.errors import DataError, InvalidForeignKey, NotSupportedError, ProgrammingError
from sqlalchemy.sql.elements import conv

from homeops_db.catalog import constraints, locks, tables
from homeops_db.catalog.constraints import Constraint
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online import constraint, rendered, subject
from homeops_db.online.subject import Named
from homeops_db.online.work import Work

_REFERENT_CLONE: Final = "homeops_clone_referent"


@dataclass(frozen=True)
class Asked:
    """What stands in the revision, apart from the two tables."""

    name: str
    local_cols: Sequence[str]
    remote_cols: Sequence[str]
    options: Mapping[str, Any]

    def sql(self, source: Named, referent: Named, *, not_valid: bool) -> str:
        """Write the statement that adds the key to ``source``."""

        def create(op: Operations) -> None:
            op.create_foreign_key(
                conv(self.name),
                source[0],
                referent[0],
                list(self.local_cols),
                list(self.remote_cols),
                source_schema=source[1],
                referent_schema=referent[1],
                **{**self.options, **({"postgresql_not_valid": True} if not_valid else {})},
            )

        return rendered.statement(create)


@dataclass(frozen=True)
class ForeignKey:
    """The same, between two tables that are there. ``meaning`` is how the server reads it."""

    asked: Asked
    source: Table
    referent: Table
    meaning: Constraint

    @property
    def name(self) -> str:
        """The constraint's name."""
        return self.asked.name

    def sql(self, table: Table, *, not_valid: bool) -> str:
        """Write the statement that adds the key to ``table``: the source, or a partition of it."""
        referent = (self.referent.name, self.referent.schema)
        return self.asked.sql((table.name, table.schema), referent, not_valid=not_valid)

    def is_same(self, found: Constraint) -> bool:
        """Whether a constraint means what is asked for."""
        return found.referent_oid == self.referent.oid and found.means_the_same(self.meaning)

    def wants(self, connection: Connection, table: Table, mode_of_referent: str) -> list[Wanted]:
        """Name the locks to add the key to ``table``."""
        if self.referent.oid == table.oid:
            return [wanted(connection, table, mode_of_referent)]
        return [
            wanted(connection, table, locks.SHARE_ROW_EXCLUSIVE),
            wanted(connection, self.referent, mode_of_referent),
        ]

    def refuse_taken(self, connection: Connection, table: Table) -> None:
        """Refuse a table that has another constraint by this name.

        Raises:
            ObjectError: It has.
        """
        found = constraints.constraint(connection, table.oid, self.name)
        if found is not None and not self.is_same(found):
            raise constraint.another(table, found)


def defined(work: Work, asked: Asked, source: Table, referent: Table) -> ForeignKey:
    """Have the server read a foreign key, between empty clones of the two tables.

    Raises:
        ObjectError: The server refuses it: a column is missing, those referred to aren't unique, types
            that can't be compared.
    """

    def ask(connection: Connection, clone: str) -> Constraint:
        like = sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {} INCLUDING INDEXES)")
        original = sql.Identifier(referent.schema, referent.name)
        connection.execute(like.format(sql.Identifier(_REFERENT_CLONE), original))
        connection.execute(
            asked.sql((clone, "pg_temp"), (_REFERENT_CLONE, "pg_temp"), not_valid=False).encode()
        )
        table = tables.table(connection, clone, "pg_temp")
        assert table is not None
        made = constraints.constraint(connection, table.oid, asked.name)
        assert made is not None
        return made

    try:
        meaning = subject.on_clone(work, source, ask, like="INCLUDING GENERATED")
    except InvalidForeignKey as error:
        raise ObjectError(
            f"No unique constraint of {referent} is on just these columns: {', '.join(asked.remote_cols)}. "
            "Nothing was changed. Make one before, with online.create_unique_constraint()."
        ) from error
    except (ProgrammingError, NotSupportedError, DataError) as error:
        raise constraint.refused(source, error) from error
    return ForeignKey(asked, source, referent, meaning)


def refuse_misread(referent: Named, local_cols: Sequence[str], remote_cols: Sequence[str]) -> None:
    """Refuse what Alembic couldn't write down.

    Raises:
        ObjectError: The columns don't pair, or a name of the referenced table has a dot in it.
    """
    if len(local_cols) != len(remote_cols) or not local_cols:
        raise ObjectError(
            f"local_cols has {len(local_cols)} columns and remote_cols {len(remote_cols)}. Nothing was "
            "changed. Name one of each for every pair."
        )
    for name in (*referent, *remote_cols):
        if name is not None and "." in name:
            raise ObjectError(
                f"The name {name!r} has a dot, and Alembic would read a schema before it. Nothing was "
                "changed. Name the schema in referent_schema=, or write the statement with op.execute()."
            )
