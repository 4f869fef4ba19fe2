"""What the applications of all versions send (application/), and sessions that send it as they would."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, LiteralString

from psycopg import Connection, sql
from psycopg.pq import DiagnosticField, ExecStatus, PGresult

from homeops_db.history.versions import parse

FOLDER: Final = Path(__file__).parent / "application"
CHANGED_RESULT: Final = "0A000"
_GOOD: Final = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
# Every table of the application; chunks and the parts of a partitioned table come with theirs.
TABLES: LiteralString = """
select format('%I.%I', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition
  and n.nspname !~ '^(pg_|homeops_(new|old)_|_?timescaledb)' and n.nspname not in ('information_schema', 'migrations')
  and not exists (
      select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by 1
"""


@dataclass(frozen=True)
class Statement:
    """One statement of one file."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        head = " ".join(self.text.split())
        return f"{self.file}, line {self.line}: {head[:90]}"


def versions(folder: Path = FOLDER) -> list[str]:
    """List the versions whose application sent something new, oldest first."""
    return sorted((path.stem for path in folder.glob("v*.sql")), key=parse)


def up_to(version: str, folder: Path = FOLDER) -> list[Statement]:
    """Give what the application of a version sends: its own file behind those of all versions before it."""
    wanted = [known for known in versions(folder) if parse(known) <= parse(version)]
    return [statement for known in wanted for statement in read(folder / f"{known}.sql")]


def read(path: Path) -> Iterator[Statement]:
    """Read a file: a statement a paragraph, with comments before it, or paragraphs of them."""
    for paragraph in re.finditer(
        r"(?:^[^\n]*\S[^\n]*(?:\n|\Z))+", path.read_text(encoding="utf-8"), re.MULTILINE
    ):
        lines = paragraph[0].splitlines()
        comments = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
        if text := "\n".join(lines[comments:]).strip():
            line = path.read_text(encoding="utf-8").count("\n", 0, paragraph.start()) + comments + 1
            yield Statement(path.name, line, text)


def tables(db: Connection) -> list[str]:
    """List the application's tables, quoted."""
    return [name for (name,) in db.execute(TABLES).fetchall()]


def clear(db: Connection, kept: Iterable[str] = ()) -> None:
    """Empty all tables but those whose rows a revision wrote; what a restructure keeps of them comes along."""
    listed = sql.SQL(", ").join(sql.SQL(name) for name in tables(db) if name not in set(kept))
    db.execute(sql.SQL("truncate {} cascade").format(listed))


@dataclass
class Client:
    """A session of the application that never forgets a prepared statement by itself."""

    db: Connection
    names: dict[Statement, bytes] = field(default_factory=dict)
    repeated: list[Statement] = field(default_factory=list)

    def send(
        self, statements: Iterable[Statement], *, kept: Iterable[str] = (), role: str = "homeops_app"
    ) -> dict[Statement, str]:
        """Send statements from the top in one transaction, on empty tables, and roll it back; say what failed."""
        self._plain("begin")
        try:
            clear(self.db, kept)
            return self._all(statements, role)
        finally:
            self._plain("rollback")

    def write(self, statements: Iterable[Statement], *, role: str = "homeops_app") -> dict[Statement, str]:
        """Send statements and keep what they write; say what failed."""
        self._plain("begin")
        failed = self._all(statements, role)
        self._plain("commit")
        return failed

    def _all(self, statements: Iterable[Statement], role: str) -> dict[Statement, str]:
        self._plain(f"set local role {role}")
        answers = ((statement, self._one(statement)) for statement in statements)
        return {statement: reason for statement, reason in answers if reason}

    def _one(self, statement: Statement) -> str | None:
        self._plain("savepoint s")
        result = self._sent(statement)
        if _state(result) == CHANGED_RESULT and b"cached plan" in result.error_message:
            self._plain("rollback to s")
            del self.names[statement]
            self.repeated.append(statement)
            result = self._sent(statement)
        self._plain("rollback to s" if _state(result) else "release s")
        return f"{_state(result)} {result.error_message.decode().splitlines()[0]}" if _state(result) else None

    def _sent(self, statement: Statement) -> PGresult:
        if statement not in self.names:
            name = f"s{len(self.names)}_{len(self.repeated)}".encode()
            result = self.db.pgconn.prepare(name, statement.text.encode())
            if _state(result):
                return result
            self.names[statement] = name
        return self.db.pgconn.exec_prepared(self.names[statement], [])

    def _plain(self, command: str) -> None:
        result = self.db.pgconn.exec_(command.encode())
        assert result.status in _GOOD, result.error_message.decode()


def _state(result: PGresult) -> str | None:
    if result.status in _GOOD:
        return None
    return (result.error_field(DiagnosticField.SQLSTATE) or b"?????").decode()
