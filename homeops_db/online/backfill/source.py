"""The select of a batched insert: read by PostgreSQL's own parser, and narrowed to a piece of its table.

The first table of FROM drives it: each of its rows gives the same output whatever other rows of it are looked
at. So the outputs of all pieces are those of the whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from pglast import ast, parser
from psycopg import Connection, sql
from psycopg.errors import DataError, GroupingError, NotSupportedError, ProgrammingError

from homeops_db.errors import ObjectError
from homeops_db.online import rendered
from homeops_db.online.backfill import selectable, syntax

_COMMENTS: Final = frozenset({"SQL_COMMENT", "C_COMMENT"})
_SEMICOLON: Final = "ASCII_59"
_ASTERISK: Final = "ASCII_42"


@dataclass(frozen=True)
class Source:
    """A select whose first table can be looked at piece by piece.

    Attributes:
        schema: That table's schema as it is written.
        name: Its name.
        alias: What the select calls it, if by another name.
        columns: The names of the outputs, if each is a column or has a name of its own; else None.
        is_only: Written ``ONLY t``: its partitions and children aren't meant.
        text: The select, without comments and semicolons around it.
        head: What comes before the table.
        tail: What comes behind it, from its alias on.
    """

    schema: str | None
    name: str
    alias: str | None
    columns: Sequence[str] | None
    is_only: bool
    text: str
    head: str
    tail: str

    @property
    def called(self) -> str:
        """What conditions call the first table."""
        return self.alias or self.name

    def narrowed(self, relation: str, condition: str, columns: Sequence[str] | None = None) -> str:
        """Write the select with a condition on its first table alone, everything else as it stands.

        Args:
            relation: What stands in for the table: itself, a partition, a chunk; as SQL.
            condition: SQL; may name columns by `called`.
            columns: The table's columns in its own order. A partition may have another order, and a child
                more of them: then ``SELECT *`` and ``t AS x (a, b)`` would mean other columns.
        """
        called = sql.Identifier(self.called).as_string()
        outputs = "*" if columns is None else ", ".join(sql.Identifier(name).as_string() for name in columns)
        piece = f"(SELECT {outputs} FROM ONLY {relation} AS {called} WHERE {condition})"  # noqa: S608
        return self.head + piece + ("" if self.alias else f" AS {called}") + self.tail


def read(select: str | sa.Select[Any]) -> Source:
    """Read a select; nothing is sent.

    Args:
        select: SQL, or a select of SQLAlchemy's.

    Raises:
        ObjectError: It isn't one SELECT, or begins with no table.
        UnsafeError: In batches it would give other rows than at once.
    """
    text = select if isinstance(select, str) else rendered.query(select)
    statement = _parsed(text)
    selectable.refuse(statement)
    driving = selectable.driving(statement)
    selectable.refuse_references(statement, driving)
    source = _cut(text, statement, driving)
    if not _is_well_cut(source):
        raise _unclear(driving)
    return source


def check(connection: Connection, source: Source) -> None:
    """Have the server read the select, and say whether it has an aggregate that only the server knows.

    Beside an aggregate, nothing can be ordered by the place of a single row. The first table must be one,
    and not a view. Takes ACCESS SHARE on the tables of the select for as long as it is planned.

    Raises:
        ObjectError: The server can't read it.
        UnsafeError: It aggregates.
    """
    place = sql.Identifier(source.called, "ctid").as_string()
    try:
        connection.execute(f"EXPLAIN {source.text} ORDER BY {place}".encode())
    except GroupingError as error:
        raise selectable.aggregates() from error
    except (ProgrammingError, NotSupportedError, DataError) as error:
        told = " ".join(str(error.diag.message_primary).split())
        raise ObjectError(f"The select: {told}. Nothing was changed. Check the revision.") from error


def _parsed(text: str) -> ast.SelectStmt:
    try:
        statements: Any = parser.parse_sql(text)
    except parser.ParseError as error:
        told = " ".join(str(error.args[0]).split())
        raise ObjectError(f"The select: {told}. Nothing was changed. Check the revision.") from None
    if len(statements) != 1 or not isinstance(statements[0].stmt, ast.SelectStmt):
        what = "another statement" if len(statements) == 1 else f"{len(statements)} statements"
        raise ObjectError(
            f"The select is {what}. Nothing was changed. Give one SELECT that yields the rows to insert."
        )
    return statements[0].stmt


def _cut(text: str, statement: ast.SelectStmt, driving: ast.RangeVar) -> Source:
    tokens = [token for token in parser.scan(text) if token.name not in _COMMENTS]
    while tokens[-1].name == _SEMICOLON:
        tokens.pop()
    first, last = tokens[0].start, tokens[-1].end + 1
    begin, end = _extent(tokens, driving)
    alias: Any = driving.alias
    schemas = [] if alias else sorted(_schemas(tokens, statement, driving))
    return Source(
        schema=driving.schemaname,
        name=str(driving.relname),
        alias=alias.aliasname if alias else None,
        columns=_outputs(statement),
        is_only=not driving.inh,
        text=text[first:last],
        head=_without(schemas, text, first, begin),
        tail=_without(schemas, text, end, last),
    )


def _is_well_cut(source: Source) -> bool:
    """Tell whether the table was found where it was looked for: a name may be written as nobody expects."""
    try:
        again: Any = _parsed(source.narrowed("t", "true")).fromClause
    except ObjectError:
        return False
    return isinstance(syntax.leftmost(again[0]), ast.RangeSubselect)


def _extent(tokens: Sequence[Any], driving: ast.RangeVar) -> tuple[int, int]:
    """Find from where to where the table is written, with ONLY and its parentheses, or its asterisk."""
    first = _at(tokens, driving.location, driving)
    last = first + 2 * sum(map(bool, (driving.catalogname, driving.schemaname)))
    if driving.inh:
        last += last + 1 < len(tokens) and tokens[last + 1].name == _ASTERISK
    elif tokens[first - 1].name == "ONLY":
        first -= 1
    else:
        first, last = first - 2, last + 1
    return tokens[first].start, tokens[last].end + 1


def _schemas(
    tokens: Sequence[Any], statement: ast.SelectStmt, driving: ast.RangeVar
) -> Iterator[tuple[int, int]]:
    """Find the ``schema.`` of every ``schema.table.column``: a sub-select has no schema."""
    for node in syntax.nodes(statement):
        *tables, _ = syntax.column_path(node) or [""]
        if tables[1:] and tables[-1] == driving.relname:
            first = _at(tokens, node.location, driving)
            yield tokens[first].start, tokens[first + 2 * (len(tables) - 1)].start


def _without(cuts: Sequence[tuple[int, int]], text: str, begin: int, end: int) -> str:
    kept = []
    for first, last in cuts:
        if begin <= first < end:
            kept.append(text[begin:first])
            begin = last
    return "".join([*kept, text[begin:end]])


def _outputs(statement: ast.SelectStmt) -> list[str] | None:
    targets: Any = statement.targetList or ()
    names = [target.name or (syntax.column_path(target.val) or [""])[-1] for target in targets]
    return names if names and all(names) else None


def _at(tokens: Sequence[Any], place: int | None, driving: ast.RangeVar) -> int:
    for index, token in enumerate(tokens):
        if token.start == place:
            return index
    raise _unclear(driving)


def _unclear(driving: ast.RangeVar) -> ObjectError:
    return ObjectError(
        f"Where the select names table {driving.relname} isn't clear. Nothing was changed. Write the "
        "select with its word SELECT, and the name plainly or in double quotes."
    )
