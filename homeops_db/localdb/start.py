"""One start of a server that isn't running: programs, cluster, port, launch, database."""

from pathlib import Path
from typing import Final

from homeops_db.errors import LocalServerError
from homeops_db.localdb import cluster, postmaster, processes
from homeops_db.localdb.account import Account, server_account
from homeops_db.localdb.folders import make_private, socket_folder
from homeops_db.localdb.installation import Installation, inspect
from homeops_db.localdb.packages import find_or_fetch
from homeops_db.localdb.progress import Progress
from homeops_db.localdb.record import DATABASE, LocalServer
from homeops_db.settings import Settings

START_WITHIN: Final = 120
"""Seconds for a start, which after a crash replays the log first."""

LOG_BYTES: Final = 10_000_000
"""A longer log is set aside at the next start."""

ATTEMPTS: Final = 3
"""Another process may take the port between our look at it and the server's."""

_UNQUOTABLE: Final = frozenset('"$`\\\n')
"""What pg_ctl hands to a shell without quoting it."""


def start(folder: Path, last: LocalServer | None, settings: Settings, progress: Progress) -> LocalServer:
    """Start the server; whatever a killed or interrupted one left is cleared away first.

    The caller holds the folder's lock.

    Args:
        folder: The state folder, made.
        last: What the last finished start recorded.
        settings: Names the cache folder.
        progress: Told about what takes time.

    Raises:
        LocalServerError: Says what failed, with the last lines of the server's log.
    """
    data = folder / "data"
    if set(str(folder)) & _UNQUOTABLE:
        raise LocalServerError(f"{folder!s} has a character in its path that pg_ctl can't take.")
    account = server_account(data)
    processes.end(data)
    postmaster.disown_pid(data)
    installation = _installation(data, last, settings, progress)
    account.demand_reach(folder, "HOMEOPS_LOCAL_FOLDER")
    account.demand_reach(installation.bin, "HOMEOPS_CACHE_FOLDER")
    if not data.exists():
        progress("Making a new cluster", 0.0)
        cluster.create(data, folder / "password", installation, account)
    progress(f"Starting PostgreSQL {installation.version}", 0.0)
    server = _launch(folder, installation, account, last)
    _create_database(server)
    progress(f"Starting PostgreSQL {installation.version}", 1.0)
    return server


def _installation(
    data: Path, last: LocalServer | None, settings: Settings, progress: Progress
) -> Installation:
    """Choose the programs: those of the last start while they are there, since the data fits them."""
    major = cluster.major(data)
    found = inspect(last.bin, last.source) if last and major else None
    if found is None or found.major != major:
        found = find_or_fetch(settings, progress, major=major)
    if major not in {None, found.major}:
        raise LocalServerError(
            f"{data} is of PostgreSQL {major}, and the server here is {found.version}, {found.source}. "
            "`homeops-db local destroy` removes the data, and the next start makes new ones."
        )
    return found


def _launch(
    folder: Path, installation: Installation, account: Account, last: LocalServer | None
) -> LocalServer:
    sockets = socket_folder(folder, account.uid)
    make_private(sockets, account.uid, account.gid)
    for leftover in sockets.glob(".s.PGSQL.*"):
        leftover.unlink()
    log = _open_log(folder, account)
    for _ in range(ATTEMPTS):
        port = cluster.free_port(last.port if last else None, folder)
        cluster.configure(folder / "server.conf", folder / "data", sockets, port)
        before = log.stat().st_size
        if _pg_ctl(folder, installation, account, log):
            found = postmaster.pid_file(folder / "data")
            return LocalServer(
                folder,
                installation.bin,
                installation.version,
                installation.source,
                port,
                sockets,
                found.pid if found else None,
            )
        if cluster.is_free(port):
            break
    raise LocalServerError(f"The local PostgreSQL did not start: {_reason(log, before)} (log: {log})")


def _pg_ctl(folder: Path, installation: Installation, account: Account, log: Path) -> bool:
    command = [
        *(str(installation.bin / "pg_ctl"), "start", "-D", str(folder / "data"), "-l", str(log)),
        *("--silent", "--wait", "--timeout", str(START_WITHIN)),
    ]
    done = account.run(command, cwd=folder, timeout=START_WITHIN + 10)
    return done.returncode == 0


def _open_log(folder: Path, account: Account) -> Path:
    log = folder / "log"
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(folder / "log.1")
    log.touch(mode=0o600)
    account.own(log)
    return log


def _reason(log: Path, before: int) -> str:
    """Put into one line what the server logged since the byte ``before``: its fatal errors, else the end."""
    with log.open("rb") as file:
        file.seek(before)
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    fatal = [line[line.index(mark) :] for line in lines for mark in ("FATAL:", "PANIC:") if mark in line]
    return " ".join(" ".join(fatal or lines[-2:] or ["it logged nothing"]).split())


def _create_database(server: LocalServer) -> None:
    import psycopg  # noqa: PLC0415 - a tenth of a second, needed only by a start

    where = server.libpq.replace(f"/{DATABASE}?", "/postgres?")
    try:
        # Every start but the first meets DuplicateDatabase: that is no error for the log.
        with psycopg.connect(where, options="-c log_min_messages=panic", autocommit=True) as connection:
            # template0: nobody is ever connected to it, and CREATE DATABASE would wait for that.
            connection.execute(f"create database {DATABASE} template template0")
    except psycopg.errors.DuplicateDatabase:
        pass
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise LocalServerError(f"The local PostgreSQL runs, but: {said} (log: {server.log})") from None
