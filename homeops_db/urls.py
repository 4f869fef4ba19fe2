"""URLs of databases: read, shown without secrets, and handed to libpq."""

from typing import Any, Final

from sqlalchemy.engine import URL, make_url

_POSTGRESQL: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg"})


def parse(text: str) -> URL:
    """Read a URL of PostgreSQL, in any of its spellings, as one for psycopg.

    Raises:
        ValueError: It is of another database, or names no database.
        sqlalchemy.exc.ArgumentError: It is no URL.
    """
    url = make_url(text)
    # An @ in the host is the rest of a password whose own @ was not written as %40.
    if url.drivername not in _POSTGRESQL or not url.database or "@" in (url.host or ""):
        raise ValueError
    return url.set(drivername="postgresql+psycopg")


def masked(url: URL) -> str:
    """Show where a URL points, without its secrets."""
    shown = {name: value for name, value in url.query.items() if "password" not in name}
    return url.set(drivername="postgresql", query=shown).render_as_string(hide_password=True)


def libpq(url: URL) -> dict[str, Any]:
    """Name what a URL says as libpq's connection parameters, its query string included."""
    given = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "dbname": url.database,
        **url.query,
    }
    return {
        name: ",".join(value) if isinstance(value, tuple) else value for name, value in given.items() if value
    }
