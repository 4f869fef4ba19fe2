"""Which database a command means, and which revision: both exact, or refused."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from sqlalchemy.engine import URL

from homeops_db.errors import SettingsError, TargetError
from homeops_db.settings import Settings

WAITS: Final = "waits: "
"""How a note begins that says why work stands still."""


class Show(Protocol):
    """Shows how far long work is; called as often as there is something new."""

    def __call__(self, stage: str, share: float, note: str = "", /) -> None:
        """Tell how far it is.

        Args:
            stage: What is done, in words: the same ones as long as it is the same.
            share: How much of it is done, 0 to 1.
            note: What else there is to know, which changes: rows, speed, how long it will still take.
                With it, the display makes no guess of its own. One that begins with `WAITS` says why the
                work stands still at this moment: that, and that it goes on, is told at once.
        """


ShowProgress = Callable[[], AbstractContextManager[Show]]
"""Opens a progress display, and closes it."""

_SYMBOLIC: Final = frozenset({"base", "head", "heads", "current"})


def database_url(settings: Settings, show_progress: ShowProgress | None = None) -> URL:
    """Give the URL that is set; in development without one, start the local server and give its own.

    Raises:
        SettingsError: Staging or production, and no URL.
        LocalServerError: The local server can't be had or started.
    """
    if settings.database_url is not None:
        return settings.database_url
    if settings.environment != "development":
        raise SettingsError(
            f"HOMEOPS_DATABASE_URL is not set, and HOMEOPS_ENVIRONMENT is {settings.environment}: only "
            "development has a local server. Set it to a URL like postgresql://user:password@host:5432/database."
        )
    from homeops_db.localdb import server  # noqa: PLC0415 - not needed where a URL is set

    if show_progress is None:
        return server.ensure_running(settings).url
    with show_progress() as progress:
        return server.ensure_running(settings, progress).url


def refuse_inexact(targets: Sequence[str], versions: Sequence[str]) -> None:
    """Refuse a revision that isn't there: Alembic would take ``v1.1.1`` for ``v1.1.10``.

    Args:
        targets: What the user typed: a version, head, base, +1, head-1 or a range of two for --sql.
        versions: All versions on disk.

    Raises:
        TargetError: A target names a version that doesn't exist, or there are several.
    """
    if len(targets) > 1:
        raise TargetError(
            f"The history is one line, and {' '.join(targets)} are several places on it. Nothing was "
            "changed. Name one."
        )
    for part in (part for target in targets for part in target.split(":")):
        name = re.sub(r"[+-]\d+$", "", part)
        if name and name not in _SYMBOLIC and name not in versions:
            known = ", ".join(versions[-5:]) or "none"
            raise TargetError(f"There is no revision {name}. Nothing was changed. The newest are {known}.")


def refuse_unknown_head(head: str | None, versions: Sequence[str]) -> None:
    """Refuse to work on a database that is ahead of the revisions on disk.

    Args:
        head: The version that stands; None in an empty database.
        versions: All versions on disk.

    Raises:
        TargetError: The version that stands has no file here.
    """
    if head is not None and head not in versions:
        raise TargetError(
            f"The database is at {head}, and there is no file of that version here: this checkout is older. "
            "Nothing was changed. Update it, or go back with the one that has it."
        )


def refuse_unreached(target: str, reached: str | None, versions: Sequence[str]) -> None:
    """Refuse to pass over in silence an upgrade that did nothing because its target lies behind.

    Args:
        target: What the user typed.
        reached: The version that stands after the run.
        versions: All versions on disk.

    Raises:
        TargetError: The target is a version, and the database is at another one.
    """
    if target in versions and target != reached:
        verb = "downgrade" if reached in versions[versions.index(target) :] else "upgrade"
        raise TargetError(
            f"The database is at {reached or 'base'}, and {target} lies the other way. Nothing was changed. "
            f"Run: alembic {verb} {target}"
        )
