"""One walk through all versions, up, down and up again, noting what every law asks for."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import URL

from homeops_db.history import scripts
from homeops_db.history.scripts import Revision
from homeops_db.settings import Settings
from tests.fixtures import schema
from tests.fixtures.databases import connect
from tests.fixtures.projects import alembic_config
from tests.history import catalog_laws, sent
from tests.history.dumps import differences
from tests.history.judge import narrowed
from tests.history.rows import Rows, lost, rows
from tests.history.seen import NOTHING, Seen, look
from tests.history.sent import Client, Statement

AGAIN: Final = sent.FOLDER / "again.sql"
CORRECTED: Final = {"v1.4.1": ["financial.transactions.currency"]}
"""What a correction of data changes, by its version."""

# A laden machine must not end a walk: how long a switch stalls its table is no law of history.
PATIENT: Final = {"lock_timeout": timedelta(seconds=2)}


@dataclass
class Note:
    """What was seen of one version. A list that is empty, or a text, is good news.

    Attributes:
        error: Why the walk ended here.
        narrowed: What the revision drops or narrows.
        below: What differs in the version below after the way down.
        again: What differs after the second way up.
        lost: Rows lost on the ways up, down and up again.
        broken: Statements of older applications that worked below, and what they meet now.
        refused: All statements that fail, of whatever version.
        own: Statements that the version's own application can't send.
        prepared: Those that fail only where they were prepared before the upgrade.
        repeated: Prepared statements that had to be repeated once.
        written: Statements that should have left rows for the ways down and up, and failed.
        unwritten: Tables that the version brings, and its application SQL leaves empty.
    """

    version: str
    change: str
    error: str = "the walk didn't come here"
    narrowed: list[str] = field(default_factory=list)
    below: str = ""
    again: str = ""
    lost: dict[str, list[str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    own: list[str] = field(default_factory=list)
    prepared: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    unwritten: list[str] = field(default_factory=list)
    unindexed: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass
class Walk:
    """A database on its way.

    Attributes:
        failing: Statements that older versions' schemas refuse already: a major may break them.
        kept: Tables whose rows a revision wrote.
    """

    url: URL
    config: Config
    seen: Seen = NOTHING
    dumped: str = ""
    rows: Rows = field(default_factory=dict)
    client: Client | None = None
    failing: set[Statement] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)

    def up(self, revision: Revision) -> None:
        command.upgrade(self.config, revision.version)

    def down(self, revision: Revision) -> None:
        command.downgrade(self.config, revision.down or "base")

    def note(self, revision: Revision, note: Note) -> None:
        """Go up to a version, down and up again."""
        below_rows, below_dump = self.rows, self.dumped
        self.up(revision)
        self._look(note, below_rows)
        self._send(revision, note)
        with closing(connect(self.url)) as db:
            before = rows(db)
        note.unwritten = [table for table in before.keys() - below_rows.keys() if not before[table][1]]
        if revision.down is not None:
            self.down(revision)
            note.below = differences(below_dump, dump(self.url))
            with closing(connect(self.url)) as db:
                below = rows(db)
            note.lost["down"] = lost(before, below)
            self.up(revision)
            with closing(connect(self.url)) as db:
                self.rows = rows(db)
            note.lost["up again"] = lost(below, self.rows, corrected=CORRECTED.get(revision.version, ()))
            note.again = differences(self.dumped, dump(self.url))
        else:
            self.rows = before
        with closing(connect(self.url)) as db:
            self.seen = look(db)
        note.error = ""

    def _look(self, note: Note, below: Rows) -> None:
        self.dumped = dump(self.url)
        with closing(connect(self.url)) as db:
            note.narrowed = narrowed(self.seen, look(db))
            now = rows(db)
            note.lost["up"] = lost(below, now, corrected=CORRECTED.get(note.version, ()))
            note.unindexed = catalog_laws.unindexed(db)
            note.unfinished = catalog_laws.unfinished(db)
            note.unproven = catalog_laws.unproven(db)
            note.left = catalog_laws.left(db)
        self.kept |= {table for table in now.keys() - below.keys() if now[table][1]}

    def _send(self, revision: Revision, note: Note) -> None:
        """Send what all applications up to this version send, in a session that is as old as the first of them.

        It goes on with the statements that it prepared at versions below; what it says of a statement that
        fails is proven by a new session.
        """
        self.client = self.client or Client(connect(self.url))
        self.client.repeated = []
        own = f"{revision.version}.sql"
        failed = self.client.send(sent.up_to(revision.version), kept=self.kept)
        note.repeated = list(map(str, self.client.repeated))
        older = {s: why for s, why in failed.items() if s.file != own and s not in self.failing}
        note.own = [f"{s}\n  {why}" for s, why in failed.items() if s.file == own]
        if older:
            with closing(connect(self.url)) as db:
                anew = Client(db).send(sent.up_to(revision.version), kept=self.kept)
            note.broken = [f"{s}\n  {why}" for s, why in older.items() if s in anew]
            note.prepared = [f"{s}\n  {why}" for s, why in older.items() if s not in anew]
        note.refused = set(map(str, failed))
        self.failing |= failed.keys()
        new = sent.FOLDER / own
        statements = [*(sent.read(new) if new.exists() else ()), *sent.read(AGAIN)]
        with closing(connect(self.url)) as db:
            note.written = [f"{s}\n  {why}" for s, why in Client(db).write(statements).items()]


def dump(url: URL) -> str:
    """Dump a schema; chunks of hypertables are rows, not schema."""
    return schema.dump(url, "--exclude-schema=_timescaledb_internal")


def walk(url: URL, folder: Path = scripts.VERSIONS_FOLDER) -> list[Note]:
    """Walk from base to head; an error ends the walk, and its note says so."""
    way = Walk(url, alembic_config(Settings(database_url=url, **PATIENT), folder))
    revisions = scripts.read(folder)
    notes = [Note(revision.version, revision.change) for revision in revisions]
    with _closed(way):
        for revision, note in zip(revisions, notes, strict=True):
            try:
                way.note(revision, note)
            except Exception as error:
                note.error = f"{type(error).__name__}: {error}"
                break
    return notes


@contextmanager
def _closed(way: Walk) -> Iterator[None]:
    try:
        yield
    finally:
        if way.client:
            way.client.db.close()
