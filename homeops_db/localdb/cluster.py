"""A cluster's files: initdb, its configuration, its password, its TCP port."""

import os
import secrets
import shutil
import socket
import zlib
from pathlib import Path
from typing import Final

from homeops_db.errors import LocalServerError
from homeops_db.localdb.account import Account
from homeops_db.localdb.installation import Installation
from homeops_db.localdb.processes import cluster_name
from homeops_db.localdb.record import LOOPBACK, ROLE

FIRST_PORT: Final = 20000
PORTS: Final = 10000
"""Below the range that Linux gives to outgoing connections: a port once chosen stays free."""

_BUILTIN_SINCE: Final = 17
"""The first version with the builtin locale provider (https://www.postgresql.org/docs/17/app-initdb.html)."""

_CONFIGURATION: Final = """\
# Written anew at every start. What postgresql.conf says after its last line, or ALTER SYSTEM, wins.
listen_addresses = '{loopback}'
port = {port}
unix_socket_directories = {sockets}
unix_socket_permissions = 0700
cluster_name = '{name}'
update_process_title = on
shared_preload_libraries = 'timescaledb,pg_stat_statements'
timescaledb.telemetry_level = off
# The Apache edition has no jobs, and a worker in every database would only stand in the way of copying it.
timescaledb.max_background_workers = 0
max_worker_processes = 16
max_locks_per_transaction = 128
max_wal_size = '512MB'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d %a '
log_checkpoints = off
"""


def major(data: Path) -> int | None:
    """Read the major version of a data folder; None when there is none."""
    try:
        return int((data / "PG_VERSION").read_text())
    except (OSError, ValueError):
        return None


def create(data: Path, password: Path, installation: Installation, account: Account) -> None:
    """Make a new cluster; an interrupted one is thrown away and made again.

    Args:
        data: Its folder, not there yet.
        password: The file that gets the role's new password for TCP.
        installation: Whose initdb.
        account: Who owns the cluster.

    Raises:
        LocalServerError: initdb failed; its last line says why.
    """
    new = data.with_name("data.new")
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    account.own(new)
    _write_password(password, account)
    done = account.run(_initdb(new, password, installation), cwd=data.parent, timeout=120)
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.startswith("initdb: error")]
        reason = " ".join(" ".join(said or [done.stdout[-300:]]).split())
        raise LocalServerError(f"No cluster could be made in {data}: {reason}")
    with (new / "postgresql.conf").open("a") as configuration:
        configuration.write("\ninclude '../server.conf'\n")
    new.rename(data)


def _initdb(new: Path, password: Path, installation: Installation) -> list[str]:
    locale = ["--locale=C.UTF-8"]
    if installation.major >= _BUILTIN_SINCE:
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return [
        *(str(installation.bin / "initdb"), "-D", str(new), "-U", ROLE, "-E", "UTF8", *locale),
        *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}", "--no-instructions"),
    ]


def _write_password(path: Path, account: Account) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(24) + "\n")
    account.own(path)


def configure(path: Path, data: Path, sockets: Path, port: int) -> None:
    """Write the configuration that every start renews."""
    # A list of quoted names inside a quoted string.
    quoted = f'"{sockets}"'.replace("'", "''")
    path.write_text(
        _CONFIGURATION.format(loopback=LOOPBACK, port=port, sockets=f"'{quoted}'", name=cluster_name(data))
    )
    path.chmod(0o644)


def free_port(stored: int | None, folder: Path) -> int:
    """Choose the TCP port: the stored one while it is free, else the next free one.

    Args:
        stored: The port of the last start.
        folder: Its name decides where a new search begins, so that two servers rarely meet.

    Raises:
        LocalServerError: No port of the range is free.
    """
    first = zlib.crc32(os.fsencode(folder)) % PORTS
    for port in ([stored] if stored else []) + [FIRST_PORT + (first + n) % PORTS for n in range(PORTS)]:
        if is_free(port):
            return port
    last = FIRST_PORT + PORTS - 1
    raise LocalServerError(f"No TCP port from {FIRST_PORT} to {last} is free on {LOOPBACK}.")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a loopback port now."""
    with socket.socket(socket.AF_INET) as probe:
        # As the server does it: a port that only waits for old connections to fade is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
