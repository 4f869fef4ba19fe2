"""Bulk seed files: CSV copied into a staging table, then moved in batches; rows that are there stay."""

import csv
import re
from itertools import islice
from typing import Final

import psycopg
from psycopg import Connection, sql
from psycopg.errors import UndefinedTable

from homeops_db.seeding.failure import failure, server_reason
from homeops_db.seeding.files import SeedFile

BATCH_ROWS: Final = 1000
"""Rows that one INSERT moves."""

_CHUNK: Final = 1 << 16  # bytes
_STAGING: Final = sql.Identifier("pg_temp", "seed_staging")
# CONTEXT is translated with lc_messages, but its order is not: relation, line, column.
_PLACE: Final = re.compile(r"COPY seed_staging, \D*(?P<line>\d+)(?:, \S+ (?P<column>[^:]+):)?")
_BLAME_A_ROW: Final = ("22", "23", "P0")
"""SQLSTATE classes that one row can cause: bad data, a broken constraint, a trigger's RAISE."""


def columns(file: SeedFile) -> list[str]:
    """Read the header: the columns that the file fills.

    Raises:
        SeedError: The file is empty, isn't UTF-8, or names a column twice or not at all.
    """
    try:
        with file.path.open(encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream), [])
    except UnicodeDecodeError as error:
        raise failure(file, None, "", f"the file isn't UTF-8 (byte {error.start})") from None
    if not header or not all(header):
        raise failure(file, 1, "", "the first line must name the columns")
    if doubled := [name for name in header if header.count(name) > 1]:
        raise failure(file, 1, "", f"column {doubled[0]} is named twice")
    return header


def run(connection: Connection, file: SeedFile, *, batch_rows: int = BATCH_ROWS) -> int:
    """Load a bulk file in the transaction that is open, and count the rows that were not there yet.

    Only the header's columns are filled; the others get their defaults. A row that conflicts with
    a key of the table is passed over. A row that refers to another of its own table comes after it.

    Args:
        connection: In a transaction that is rolled back when this raises.
        file: Its name says which table.
        batch_rows: Rows that one INSERT moves.

    Raises:
        SeedError: No such table or column, or a bad value or row, with its line.
    """
    names = columns(file)
    _make_staging(connection, file, names)
    copied = _copy(connection, file, names)
    return sum(
        _move(connection, file, names, first, min(first + batch_rows - 1, copied))
        for first in range(1, copied + 1, batch_rows)
    )


def _make_staging(connection: Connection, file: SeedFile, names: list[str]) -> None:
    """Types come from the target, constraints don't: they are checked when rows are moved."""
    target = sql.Identifier(*(file.table or ()))
    try:
        probe = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(target))
    except UndefinedTable as error:
        raise failure(file, None, "", f"there is no table {'.'.join(file.table or ())}") from error
    known = [column.name for column in probe.description or ()]
    if unknown := [name for name in names if name not in known]:
        raise failure(
            file, 1, "", f"{'.'.join(file.table or ())} has no column {unknown[0]}; it has {', '.join(known)}"
        )
    connection.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            _STAGING, _listed(names), target
        )
    )
    connection.execute(
        sql.SQL("ALTER TABLE {} ADD {} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY").format(
            _STAGING, sql.Identifier(_ordinal(names))
        )
    )


def _copy(connection: Connection, file: SeedFile, names: list[str]) -> int:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER true, ENCODING 'UTF8')")
    try:
        with file.path.open("rb") as stream, connection.cursor() as cursor:
            with cursor.copy(statement.format(_STAGING, _listed(names))) as copy:
                while chunk := stream.read(_CHUNK):
                    copy.write(chunk)
            return cursor.rowcount
    except psycopg.Error as error:
        place = _PLACE.match(error.diag.context or "")
        line = int(place["line"]) if place else None
        column = f"column {place['column']}" if place and place["column"] else ""
        raise failure(file, line, column, server_reason(error)) from error


def _move(connection: Connection, file: SeedFile, names: list[str], first: int, last: int) -> int:
    """Move rows ``first`` to ``last``; where that fails, halve them until the row at fault is alone."""
    try:
        with connection.transaction():
            return connection.execute(_insert(file, names), (first, last)).rowcount
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in _BLAME_A_ROW:
            raise
        if first == last:
            raise failure(file, _line(file, first), "", server_reason(error)) from error
    middle = (first + last) // 2
    return _move(connection, file, names, first, middle) + _move(connection, file, names, middle + 1, last)


def _insert(file: SeedFile, names: list[str]) -> sql.Composed:
    return sql.SQL(
        "INSERT INTO {target} ({columns}) SELECT {columns} FROM {staging} "
        "WHERE {ordinal} BETWEEN %s AND %s ORDER BY {ordinal} ON CONFLICT DO NOTHING"
    ).format(
        target=sql.Identifier(*(file.table or ())),
        columns=_listed(names),
        staging=_STAGING,
        ordinal=sql.Identifier(_ordinal(names)),
    )


def _line(file: SeedFile, row: int) -> int:
    """Find the line on which a row begins: a quoted value may itself hold line breaks."""
    with file.path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        # The header and the rows before this one: as many records as its own number.
        for _ in islice(reader, row):
            pass
        return reader.line_num + 1


def _listed(names: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _ordinal(names: list[str]) -> str:
    """Name the staging table's own column unlike every column of the file."""
    return "_".join(["ordinal", *(name for name in names if name.startswith("ordinal"))])
