"""The only reader of the environment: ``HOMEOPS_*`` variables, and ``.env`` beside alembic.ini.

Plain dataclass and python-dotenv rather than pydantic-settings: that library's import and model
building were measured at 76 ms, a fifth of a whole ``alembic upgrade head`` (docs/architecture.md).
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from dotenv import dotenv_values
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from homeops_db.errors import SettingsError

Environment = Literal["development", "staging", "production"]

PREFIX: Final = "HOMEOPS_"
PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
"""The checkout: where alembic.ini, alembic/, seeds/ and .env are."""

_UNITS: Final = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
_POSTGRES: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
_URL_ACCEPTS: Final = "a PostgreSQL URL like postgresql://user:password@host:5432/database"


def _url(text: str) -> URL:
    url = make_url(text)
    if url.drivername not in _POSTGRES or not url.database:
        raise ValueError
    return url.set(drivername="postgresql+psycopg")


def _environment(text: str) -> Environment:
    match text:
        case "development" | "staging" | "production":
            return text
    raise ValueError


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)", text.strip())
    if match is None:
        if text.strip() == "0":
            return timedelta(0)
        raise ValueError
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def _switch(text: str) -> bool:
    return {"on": True, "off": False}[text.lower()]


def _folder(text: str) -> Path:
    return (PROJECT_ROOT / Path(text).expanduser()).resolve()


def _setting(default: object, parse: Callable[[str], object], accepts: str, about: str) -> Any:  # noqa: ANN401
    return field(default=default, metadata={"parse": parse, "accepts": accepts, "about": about})


_DURATION: Final = "a duration with its unit, like 500ms, 4s or 2min (0 switches it off)"
_FOLDER: Final = "a folder"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says, checked. Field ``lock_timeout`` is ``HOMEOPS_LOCK_TIMEOUT``, and so on."""

    environment: Environment = _setting(
        "development", _environment, "development, staging or production", "decides the policy"
    )
    database_url: URL | None = field(
        default=None,
        repr=False,
        metadata={
            "parse": _url,
            "accepts": _URL_ACCEPTS,
            "about": "the server; without it, development uses the local one",
        },
    )
    connect_timeout: timedelta = _setting(
        timedelta(seconds=10), _duration, _DURATION, "wait for the server's answer"
    )
    lock_timeout: timedelta = _setting(
        timedelta(seconds=4), _duration, _DURATION, "wait of one statement for a lock"
    )
    statement_timeout: timedelta = _setting(
        timedelta(0), _duration, _DURATION, "longest statement of a revision"
    )
    migration_lock_wait: timedelta = _setting(
        timedelta(seconds=60), _duration, _DURATION, "wait for another run to end"
    )
    timescaledb: bool = _setting(
        True, _switch, "on or off", "off: hypertables are plain tables, for servers without TimescaleDB"
    )
    backup_folder: Path = _setting(
        PROJECT_ROOT / "backups", _folder, _FOLDER, "where deploy keeps its backups"
    )
    local_folder: Path | None = _setting(
        None, _folder, _FOLDER, "where the local server keeps its data"
    )
    cache_folder: Path | None = _setting(
        None, _folder, _FOLDER, "where the local server's packages are unpacked"
    )


def load(environ: Mapping[str, str] | None = None, *, dotenv: Path = PROJECT_ROOT / ".env") -> Settings:
    """Read the settings; a variable of the process wins over the same one in ``.env``.

    Args:
        environ: The process environment; ``os.environ`` when left out.
        dotenv: The file of defaults; need not exist.

    Raises:
        SettingsError: A variable is malformed, or is misspelt. The text names it and what is
            accepted, and never repeats a value: it may hold a password.
    """
    environ = os.environ if environ is None else environ
    values = {name: value for name, value in dotenv_values(dotenv).items() if value is not None} | dict(environ)
    known = {PREFIX + f.name.upper(): f for f in fields(Settings)}
    _refuse_misspelt(values, known)
    read = {}
    for name, spec in known.items():
        if text := values.get(name, "").strip():
            try:
                read[spec.name] = spec.metadata["parse"](text)
            except (ValueError, KeyError, ArgumentError):
                accepts = spec.metadata["accepts"]
                raise SettingsError(f"{name} is malformed: it must be {accepts}.") from None
    return Settings(**read)


def _refuse_misspelt(values: Mapping[str, str], known: Mapping[str, object]) -> None:
    """A misspelt HOMEOPS_ENVIRONMENT would silently mean development: that must not pass."""
    for name in values:
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.88)
            if near:
                raise SettingsError(f"{name} is not a setting: did you mean {near[0]}?")
