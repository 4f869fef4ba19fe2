"""Attaching and detaching in ``--sql``: psql asks the server what to write, as the operations do."""

from typing import Final

from psycopg import sql

from homeops_db.online.work import Script

Name = tuple[str, str | None]

# In a transaction that is rolled back; psql keeps what the server made of the bound.
_LOOK: Final = r"""
BEGIN;
SELECT format('CREATE TEMPORARY TABLE homeops_parent (LIKE %s) PARTITION BY %s',
              {parent_name}, pg_get_partkeydef({parent_oid})) \gexec
SELECT format('CREATE TEMPORARY TABLE %I PARTITION OF pg_temp.homeops_parent %s',
              'homeops_partition_' || row_number() OVER (), pg_get_expr(c.relpartbound, c.oid))
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = {parent_oid} \gexec
CREATE TEMPORARY TABLE homeops_partition PARTITION OF pg_temp.homeops_parent {bound};
SELECT replace(pg_get_partition_constraintdef('pg_temp.homeops_partition'::regclass),
               quote_literal('pg_temp.homeops_parent'::regclass::oid) || '::oid',
               quote_literal({parent_oid}::oid) || '::oid') AS homeops_own,
       coalesce(pg_get_partition_constraintdef({parent_oid}), 'true') AS homeops_above,
       (SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE i.inhparent = {parent_oid}
          AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT') AS homeops_default \gset
ROLLBACK;
"""
_DETACH: Final = r"""
SELECT array(SELECT conname FROM pg_constraint
             WHERE conrelid = {table_oid} AND contype = 'c')::text AS homeops_checks,
       exists (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = {parent_oid}
                 AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT') AS homeops_has_default \gset
\if :homeops_has_default
"""
# What DETACH CONCURRENTLY left.
_DROP_CHECK: Final = r"""
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', {table_name}, conname)
FROM pg_constraint
WHERE conrelid = {table_oid} AND contype = 'c' AND conname <> ALL (:'homeops_checks'::name[]) \gexec
"""
_ADD: Final = "ALTER TABLE {} ADD CONSTRAINT homeops_attach CHECK ({}) NOT VALID"
_VALIDATE: Final = "ALTER TABLE {} VALIDATE CONSTRAINT homeops_attach"
_DROP: Final = "ALTER TABLE {} DROP CONSTRAINT homeops_attach"
_DEFAULT: Final = ":homeops_default"


def attach(out: Script, parent: Name, partition: Name, bound: str) -> None:
    """Write the checks that stand in for the scans, and the attaching. Nothing is refused beforehand."""
    table = _quoted(partition)
    out.write_psql(*_filled(_LOOK, parent, partition, bound=sql.SQL(bound)))
    out.write_psql(r"\if :{?homeops_own}")
    out.write(_ADD.format(table, "(:homeops_own) AND (:homeops_above)"))
    out.write_alone(_VALIDATE.format(table))
    out.write_psql(r"\if :{?homeops_default}")
    out.write(_ADD.format(_DEFAULT, "NOT (:homeops_own)"))
    out.write_alone(_VALIDATE.format(_DEFAULT))
    out.write_psql(r"\endif", r"\endif")
    out.write("BEGIN", f"ALTER TABLE {_quoted(parent)} ATTACH PARTITION {table} {bound}")
    out.write_psql(r"\if :{?homeops_own}")
    out.write(_DROP.format(table))
    out.write_psql(r"\if :{?homeops_default}")
    out.write(_DROP.format(_DEFAULT))
    out.write_psql(r"\endif", r"\endif")
    out.write("COMMIT")


def detach(out: Script, parent: Name, partition: Name) -> None:
    """Write the detaching, concurrently where no DEFAULT partition forbids that."""
    statement = f"ALTER TABLE {_quoted(parent)} DETACH PARTITION {_quoted(partition)}"
    out.write_psql(*_filled(_DETACH, parent, partition))
    out.write(statement)
    out.write_psql(r"\else")
    out.write_alone(f"{statement} CONCURRENTLY")
    out.write_psql(*_filled(_DROP_CHECK, parent, partition), r"\endif")


def _quoted(name: Name) -> str:
    table, schema = name
    return (sql.Identifier(schema, table) if schema else sql.Identifier(table)).as_string()


def _filled(template: str, parent: Name, partition: Name, **more: sql.Composable) -> list[str]:
    names = {"parent": sql.Literal(_quoted(parent)), "table": sql.Literal(_quoted(partition))}
    parts = {f"{which}_name": literal for which, literal in names.items()}
    oids = {f"{which}_oid": literal + sql.SQL("::regclass") for which, literal in names.items()}
    return [sql.SQL(template.strip()).format(**parts, **oids, **more).as_string()]
