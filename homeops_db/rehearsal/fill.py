"""Rows for v1.0.0, made by the server: the same seed and number give the same rows everywhere."""

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from psycopg import Connection

from homeops_db.history.target import Show

FOLDER: Final = Path(__file__).parent / "sql"


def fill(connection: Connection, sizes: Mapping[str, int], *, seed: int, show: Show) -> None:
    """Fill the tables of v1.0.0 in one transaction, and analyze them.

    Triggers don't fire: they would write what an application has done, with today's time, and keys are
    right because of how they are made.

    Args:
        connection: In autocommit, as a superuser, to a database at v1.0.0 without rows.
        sizes: How many rows each table gets.
        seed: Another one gives other rows.
        show: Told how far it is.
    """
    values = {"seed": seed, **{path.replace(".", "_"): rows for path, rows in sizes.items()}}
    statements = [
        Template(text).substitute(values)
        for path in sorted(FOLDER.glob("*.sql"))
        for text in path.read_text(encoding="utf-8").split(";\n")
        if text.strip()
    ]
    rows = sum(sizes.values())
    done = 0
    with connection.transaction():
        connection.execute("set local session_replication_role = replica")
        connection.execute("set local timezone = 'UTC'")
        for statement in statements:
            show(f"filling: {rows:,} rows", done / rows, f"{done:,} rows")
            cursor = connection.execute(statement.encode())
            done += cursor.rowcount if (cursor.statusmessage or "").startswith("INSERT") else 0
    show(f"filling: {rows:,} rows", 1.0, "ANALYZE")
    connection.execute("vacuum (analyze)")
