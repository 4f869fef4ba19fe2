"""The only reader of the environment: ``HOMEOPS_*`` variables, and ``.env`` beside alembic.ini.

Plain dataclass and python-dotenv rather than pydantic-settings: that library's import and model
building were measured at 76 ms, a fifth of a whole ``alembic upgrade head`` (docs/architecture.md).
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from dotenv import dotenv_values
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from homeops_db import urls
from homeops_db.errors import SettingsError

Environment = Literal["development", "staging", "production"]

PREFIX: Final = "HOMEOPS_"
PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
"""The checkout: where alembic.ini, alembic/, seeds/ and .env are."""

_UNITS: Final = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
_LONGEST: Final = timedelta(days=24)
"""PostgreSQL counts its timeouts as milliseconds in 31 bits."""


def _environment(text: str) -> Environment:
    match text:
        case "development" | "staging" | "production":
            return text
    raise ValueError


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)|0", text.strip())
    if match is None:
        raise ValueError
    duration = timedelta(seconds=float(match[1]) * _UNITS[match[2]]) if match[1] else timedelta(0)
    if duration > _LONGEST:
        raise ValueError
    return duration


def _wait(text: str) -> timedelta:
    duration = _duration(text)
    if not duration:
        raise ValueError
    return duration


def _switch(text: str) -> bool:
    return {"on": True, "off": False}[text.lower()]


def _folder(text: str) -> Path:
    return (PROJECT_ROOT / Path(text).expanduser()).resolve()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says, checked: ``lock_timeout`` is ``HOMEOPS_LOCK_TIMEOUT``, and so on.

    Attributes:
        environment: Decides the policy.
        database_url: The server; without it, development uses the local one.
        connect_timeout: How long to wait for the server's answer.
        lock_timeout: How long one try of a revision waits for a lock, and stalls the traffic at most.
        lock_give_up_after: How long all tries together may take.
        statement_timeout: The longest statement of a revision; 0 is without end.
        migration_lock_wait: How long to wait for another run to end.
        timescaledb: Off where the server lacks it: hypertables are then plain tables.
        backup_folder: Where deploy keeps its backups.
        local_folder: Where the local server keeps its data; chosen by localdb when None.
        cache_folder: Where the local server's packages are unpacked; chosen by localdb when None.
    """

    environment: Environment = "development"
    database_url: URL | None = field(default=None, repr=False)
    connect_timeout: timedelta = timedelta(seconds=10)
    lock_timeout: timedelta = timedelta(milliseconds=50)
    lock_give_up_after: timedelta = timedelta(minutes=5)
    statement_timeout: timedelta = timedelta(0)
    migration_lock_wait: timedelta = timedelta(seconds=60)
    timescaledb: bool = True
    backup_folder: Path = PROJECT_ROOT / "backups"
    local_folder: Path | None = None
    cache_folder: Path | None = None


_TIMEOUT: Final = (_duration, "a duration with its unit, up to 24 days, like 500ms or 4s; 0 is without end")
_WAIT: Final = (_wait, "a duration with its unit, above zero, like 50ms or 5s")
_FOLDER: Final = (_folder, "a folder")

_URL: Final = (
    urls.parse,
    "a PostgreSQL URL like postgresql://user:password@host:5432/database (%40 for an @ in a password)",
)

_READERS: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    "environment": (_environment, "development, staging or production"),
    "database_url": _URL,
    "connect_timeout": _WAIT,
    "lock_timeout": _WAIT,
    "lock_give_up_after": _WAIT,
    "statement_timeout": _TIMEOUT,
    "migration_lock_wait": (_duration, "a duration with its unit, like 90s or 5min; 0 is not to wait"),
    "timescaledb": (_switch, "on or off"),
    "backup_folder": _FOLDER,
    "local_folder": _FOLDER,
    "cache_folder": _FOLDER,
}
"""How each setting is read, and what a malformed one is told."""


def load(
    environ: Mapping[str, str] | None = None,
    *,
    environment: str | None = None,
    dotenv: Path = PROJECT_ROOT / ".env",
) -> Settings:
    """Read the settings; a variable of the process wins over the same one in ``.env``.

    Args:
        environ: The process environment; ``os.environ`` when left out.
        environment: What a command line says by ``--env``; must not contradict HOMEOPS_ENVIRONMENT.
        dotenv: The file of defaults; need not exist.

    Raises:
        SettingsError: A variable is malformed, or isn't known. The text names it and what is
            accepted, and never repeats a value: it may hold a password.
    """
    environ = os.environ if environ is None else environ
    values = {**_dotenv(dotenv), **environ}
    known = {PREFIX + name.upper(): name for name in _READERS}
    _refuse_unknown(values, known)
    if environment is not None:
        _refuse_contradiction(environment, (values.get("HOMEOPS_ENVIRONMENT") or "").strip())
        values["HOMEOPS_ENVIRONMENT"] = environment
    read: dict[str, Any] = {}
    for variable, name in known.items():
        if text := (values.get(variable) or "").strip():
            parse, accepts = _READERS[name]
            try:
                read[name] = parse(text)
            except (ValueError, KeyError, OverflowError, RuntimeError, ArgumentError):
                raise SettingsError(f"{variable} is malformed: it must be {accepts}.") from None
    return Settings(**read)


def _dotenv(path: Path) -> Mapping[str, str | None]:
    try:
        return dotenv_values(path, interpolate=False)  # a password may hold a ${
    except UnicodeDecodeError:
        raise SettingsError(f"{path} isn't UTF-8. Nothing was changed. Write it anew.") from None


def _refuse_contradiction(asked: str, set_to: str) -> None:
    """The URL belongs to the environment that is set: another one on the command line is a mistake."""
    if set_to and set_to != asked:
        raise SettingsError(
            f"--env says {asked}, HOMEOPS_ENVIRONMENT says {set_to}. Nothing was changed. Make them agree."
        )


def _refuse_unknown(values: Mapping[str, object], known: Mapping[str, object]) -> None:
    """HOMEOPS_ENV=production would silently mean development: the prefix is ours, and nothing else passes."""
    for name in sorted(values):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"Did you mean {near[0]}?" if near else "They are listed in docs/operations.md."
            raise SettingsError(f"{name} is no setting of HomeOps DB. Nothing was changed. {meant}")
