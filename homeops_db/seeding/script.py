"""SQL seed files: taken apart by PostgreSQL's own parser, run statement by statement."""

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from pglast import ast, parser
from psycopg import Connection

from homeops_db.catalog import server
from homeops_db.errors import SeedError
from homeops_db.seeding.failure import failure, server_reason
from homeops_db.seeding.files import SeedFile

HEAD_LENGTH: Final = 60
"""Characters of a statement that a message shows."""

_COUNTED: Final = (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)
_REFUSED: Final[dict[type, str]] = {
    ast.TransactionStmt: "the loader makes each file one transaction: take this statement out",
    ast.CopyStmt: "bulk rows belong into a file NNN_schema.table.csv beside this one",
    ast.TruncateStmt: "a second run would empty the table again, and a seed must change nothing then",
}


@dataclass(frozen=True)
class Statement:
    """One statement of a file.

    ``line`` is that of its first word, counted from 1. ``is_counted`` when its command tag says how
    many rows it changed.
    """

    text: str
    line: int
    is_counted: bool

    @property
    def head(self) -> str:
        """The beginning, with white space folded."""
        folded = " ".join(self.text.split())
        return folded if len(folded) <= HEAD_LENGTH else folded[: HEAD_LENGTH - 1].rstrip() + "…"


def read(file: SeedFile) -> list[Statement]:
    """Take a file apart without running anything.

    Raises:
        SeedError: It isn't UTF-8, isn't SQL, or holds a statement that a seed must not; with the line.
    """
    try:
        source = file.path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise failure(file, None, "", f"the file isn't UTF-8 (byte {error.start})") from None
    try:
        return [_statement(file, source, raw) for raw in parser.parse_sql(source)]
    except parser.ParseError as error:
        raise _not_sql(file, source, error) from None


def run(connection: Connection, file: SeedFile, statements: list[Statement]) -> int:
    """Run a file's statements in the transaction that is open, and count the rows they changed.

    INSERT, UPDATE, DELETE and MERGE say themselves how many; what DO, CALL or a WITH below SELECT
    did is counted by the server's statistics, with the rows that triggers wrote beside it.

    Raises:
        SeedError: A statement failed; the caller's transaction is to be rolled back.
    """
    return sum(_run_one(connection, file, statement) for statement in statements)


def _statement(file: SeedFile, source: str, raw: Any) -> Statement:
    end = raw.stmt_location + raw.stmt_len if raw.stmt_len else None
    statement = Statement(
        source[raw.stmt_location : end].rstrip(),
        _line(source, raw.stmt_location),
        isinstance(raw.stmt, _COUNTED),
    )
    if (reason := _REFUSED.get(type(raw.stmt))) is not None:
        raise failure(file, statement.line, statement.head, reason)
    return statement


def _not_sql(file: SeedFile, source: str, error: parser.ParseError) -> SeedError:
    reason, position = error.args
    place = len(source.rstrip()) if position is None else position
    line = _line(source, place)
    if source.startswith("\\", place):
        command = source[place:].splitlines()[0].strip()
        return failure(file, line, command, "psql's own commands aren't SQL, and a seed may hold only SQL")
    return failure(file, line, "", reason)


def _line(source: str, position: int) -> int:
    return source.count("\n", 0, position) + 1


def _run_one(connection: Connection, file: SeedFile, statement: Statement) -> int:
    try:
        before = 0 if statement.is_counted else server.rows_changed_here(connection)
        # Without parameters psycopg sends the text as it is: % and : mean nothing.
        cursor = connection.execute(statement.text.encode(), prepare=False)
        return cursor.rowcount if statement.is_counted else server.rows_changed_here(connection) - before
    except psycopg.Error as error:
        raise failure(file, statement.line, statement.head, server_reason(error)) from error
