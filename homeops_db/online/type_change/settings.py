"""The settings under which the server's words are read and said again: a role may have others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, LiteralString

from psycopg import Connection

# With others, values in conditions would lose digits or swap day and month, and text be read another way.
PLAIN: Final = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    "bytea_output": "hex",
}

_READ: Final[LiteralString] = "select current_setting(%s)"
_SET: Final[LiteralString] = "select set_config(%s, %s, false)"


@contextmanager
def plain(connection: Connection) -> Iterator[None]:
    """Have the server speak plainly for the block."""
    before = {name: (connection.execute(_READ, (name,)).fetchone() or ("",))[0] for name in PLAIN}
    for name, value in PLAIN.items():
        connection.execute(_SET, (name, value))
    try:
        yield
    finally:
        if not connection.closed:
            for name, value in before.items():
                connection.execute(_SET, (name, value))
