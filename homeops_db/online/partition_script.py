"""Attaching and detaching in ``--sql``: psql asks the server what to write, as the operations do."""

from typing import Final

from psycopg import sql

from homeops_db.catalog import partitions
from homeops_db.online.subject import Named, quoted
from homeops_db.online.work import Script

_ADD: Final = "ALTER TABLE {} ADD CONSTRAINT homeops_attach CHECK ({}) NOT VALID"
_VALIDATE: Final = "ALTER TABLE {} VALIDATE CONSTRAINT homeops_attach"
_DROP: Final = "ALTER TABLE {} DROP CONSTRAINT homeops_attach"
_DEFAULT: Final = ":homeops_default"


def attach(out: Script, parent: Named, partition: Named, bound: str) -> None:
    """Write the checks that stand in for the scans, and the attaching. Nothing is refused beforehand."""
    table = quoted(partition)
    out.write_psql(*_filled(partitions.SCRIPTED_BOUND, parent, partition, bound=sql.SQL(bound)))
    out.write_psql(r"\if :{?homeops_own}")
    out.write(_ADD.format(table, "(:homeops_own) AND (:homeops_above)"))
    out.write_alone(_VALIDATE.format(table))
    out.write_psql(r"\if :{?homeops_default}")
    out.write(_ADD.format(_DEFAULT, "NOT (:homeops_own)"))
    out.write_alone(_VALIDATE.format(_DEFAULT))
    out.write_psql(r"\endif", r"\endif")
    out.write("BEGIN", f"ALTER TABLE {quoted(parent)} ATTACH PARTITION {table} {bound}")
    out.write_psql(r"\if :{?homeops_own}")
    out.write(_DROP.format(table))
    out.write_psql(r"\if :{?homeops_default}")
    out.write(_DROP.format(_DEFAULT))
    out.write_psql(r"\endif", r"\endif")
    out.write("COMMIT")


def detach(out: Script, parent: Named, partition: Named) -> None:
    """Write the detaching, concurrently where no DEFAULT partition forbids that."""
    statement = f"ALTER TABLE {quoted(parent)} DETACH PARTITION {quoted(partition)}"
    out.write_psql(*_filled(partitions.SCRIPTED_DETACH, parent, partition))
    out.write(statement)
    out.write_psql(r"\else")
    out.write_alone(f"{statement} CONCURRENTLY")
    out.write_psql(*_filled(partitions.SCRIPTED_LEFT_CHECK, parent, partition), r"\endif")


def _filled(template: str, parent: Named, partition: Named, **more: sql.Composable) -> list[str]:
    names = {
        "parent": sql.Literal(quoted(parent)),
        "table": sql.Literal(quoted(partition)),
    }
    parts = {f"{which}_name": literal for which, literal in names.items()}
    oids = {f"{which}_oid": literal + sql.SQL("::regclass") for which, literal in names.items()}
    return [sql.SQL(template.strip()).format(**parts, **oids, **more).as_string()]
