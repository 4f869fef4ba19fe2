"""The local server as its own folder records it: where it is, and how to connect to it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy.engine import URL

ROLE: Final = "homeops"
DATABASE: Final = "homeops_development"
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class LocalServer:
    """The local server of one checkout.

    Attributes:
        folder: Its state folder; everything of it is in there, but for a socket whose path is too long.
        bin: The folder of PostgreSQL's programs.
        version: The server's version.
        source: Where the programs come from, in words.
        port: The loopback TCP port, which is also in the socket's name.
        socket_folder: Only the server's user, and root, may enter it.
        pid: The postmaster's process id; None when it isn't running.
    """

    folder: Path
    bin: Path
    version: str
    source: str
    port: int
    socket_folder: Path
    pid: int | None = None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "log"

    @property
    def password_file(self) -> Path:
        """The role's password for TCP, as graphical clients want it."""
        return self.folder / "password"

    @property
    def url(self) -> URL:
        """SQLAlchemy's URL of the development database, by the socket."""
        where = {"host": str(self.socket_folder), "port": str(self.port)}
        return URL.create("postgresql+psycopg", username=ROLE, host="", database=DATABASE, query=where)

    @property
    def environment(self) -> dict[str, str]:
        """The same as libpq's variables, for psql, pg_dump and other programs: their arguments stay free."""
        return {
            "PGHOST": str(self.socket_folder),
            "PGPORT": str(self.port),
            "PGUSER": ROLE,
            "PGDATABASE": DATABASE,
        }

    @property
    def libpq(self) -> str:
        """The same as a URL of libpq."""
        host = quote(str(self.socket_folder), safe="/")
        return f"postgresql://{ROLE}@/{DATABASE}?host={host}&port={self.port}"

    @property
    def tcp(self) -> str:
        """The same over TCP, without the password."""
        return f"postgresql://{ROLE}@{LOOPBACK}:{self.port}/{DATABASE}"


def read(folder: Path) -> LocalServer | None:
    """Read what the last finished start recorded; None when there was none."""
    try:
        said = json.loads((folder / "server.json").read_text())
        return LocalServer(
            folder,
            Path(said["bin"]),
            str(said["version"]),
            str(said["source"]),
            int(said["port"]),
            Path(said["socket_folder"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(server: LocalServer) -> None:
    """Record a finished start."""
    said = {name: value for name, value in asdict(server).items() if name not in {"folder", "pid"}}
    unfinished = server.folder / "server.json.new"
    unfinished.write_text(json.dumps(said, indent=2, default=str) + "\n")
    unfinished.replace(server.folder / "server.json")
