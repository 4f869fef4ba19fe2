"""How far an index build is, and whose it is (pg_stat_progress_create_index)."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

BUILD: LiteralString = """
select p.phase, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total,
       coalesce(format('%%I.%%I', n.nspname, c.relname), '') as table
from pg_stat_progress_create_index p
left join pg_class c on c.oid = p.relid
left join pg_namespace n on n.oid = c.relnamespace
where p.pid = %(pid)s
"""

# Of another role's build only its pid is shown; whoever builds on the table holds this lock on it.
BUILDERS: LiteralString = """
select p.pid
from pg_stat_progress_create_index p
where p.pid <> %(pid)s
  and (p.index_relid = %(index)s
       or p.relid = %(table)s and p.command like 'REINDEX%%'
       or p.relid is null and exists (
           select from pg_locks l
           where l.pid = p.pid and l.relation = %(table)s and l.granted
             and l.mode = 'ShareUpdateExclusiveLock'
             and l.database = (select oid from pg_database where datname = current_database())))
order by p.pid
"""


@dataclass(frozen=True)
class Build:
    """An index build under way: which phase of it, and how much of that phase is done."""

    phase: str
    blocks_done: int
    blocks_total: int
    tuples_done: int
    tuples_total: int
    table: str

    @property
    def share(self) -> float:
        """How much of the phase is done, 0 to 1; 0 where the server doesn't count."""
        done, total = (
            (self.blocks_done, self.blocks_total)
            if self.blocks_total
            else (self.tuples_done, self.tuples_total)
        )
        return min(1.0, done / total) if total else 0.0


def build(connection: Connection, pid: int) -> Build | None:
    """Read how far the build of a session is; None while it builds no index. Takes no lock."""
    with connection.cursor(row_factory=class_row(Build)) as cursor:
        return cursor.execute(BUILD, {"pid": pid}).fetchone()


def builders(connection: Connection, *, index: int, table: int, ours: int) -> list[int]:
    """Read which other sessions build this index now, or rebuild one of its table. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(BUILDERS, {"index": index, "table": table, "pid": ours}).fetchall()
