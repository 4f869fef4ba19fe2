"""Writers that work on a table while it is filled, and a model of what every row must be in the end.

Each writer has rows of its own, so what it committed is what its model says; the backfill is the only one it
meets. A trigger writes down every row that the backfill updates.
"""

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from psycopg import Connection, IsolationLevel
from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure
from sqlalchemy.engine import URL

from tests.fixtures.databases import connect

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Kind:
    """A key: its columns, and the key of the n-th row; neighbours in number are far apart in order.

    The first ``stays`` columns are never changed: a hypertable doesn't let a row go into another chunk.
    """

    columns: str
    key: Callable[[int], Key]
    names: tuple[str, ...] = ("id",)
    primary: str | None = "id"
    after: str = ""
    stays: int = 0

    def create(self, db: Connection, table: str) -> None:
        primary = f", primary key ({self.primary})" if self.primary else ""
        db.execute(
            f"create table {table} ({self.columns}, rid int not null, amount int not null, target bigint,"
            f" token uuid, n int, pad text{primary}) {self.after}".encode()
        )


def scrambled(number: int) -> int:
    """A bijection of 0 to 65520 that leaves no two neighbours together."""
    return number * 40503 % 65521


_DAY = datetime(2024, 1, 1, tzinfo=UTC)

KINDS = {
    "bigint": Kind("id bigint", lambda n: (scrambled(n) * 10_000_000_000,)),
    "serial": Kind("id int", lambda n: (n,)),
    "negative smallint": Kind("id smallint", lambda n: (scrambled(n) - 32760,)),
    "uuid": Kind("id uuid", lambda n: (uuid.uuid5(uuid.NAMESPACE_OID, str(n)),)),
    "text": Kind(
        'id text collate "C"', lambda n: (f"{'aAüÜ%_'[n % 6]}{scrambled(n)} '\"\\{n}",)
    ),
    "text by language": Kind(
        'id text collate "de-x-icu"', lambda n: (f"{'aAüÜ%-'[n % 6]}{scrambled(n)} '\"\\{n}",)
    ),
    "composite": Kind(
        "a smallint, b text, c date",
        lambda n: (scrambled(n) % 7, f"ü{scrambled(n) % 97}", (_DAY + timedelta(days=n)).date()),
        ("a", "b", "c"),
        "a, b, c",
    ),
    "timestamptz": Kind("id timestamptz", lambda n: (_DAY + timedelta(microseconds=scrambled(n) * 7),)),
    "numeric": Kind("id numeric", lambda n: (Decimal(scrambled(n)) / 8 - 4000,)),
    "no key": Kind("id int", lambda n: (scrambled(n),), primary=None),
    "partitioned": Kind(
        "part int, id int", lambda n: (scrambled(n) % 4, n), ("part", "id"), "part, id", "partition by list (part)"
    ),
}  # fmt: skip
HYPERTABLE = Kind(
    "t timestamptz, id int",
    lambda n: (_DAY + timedelta(hours=scrambled(n) % 96), n),
    ("t", "id"),
    "t, id",
    stays=1,
)


@dataclass(frozen=True)
class Row:
    """What a row must be. ``target`` and ``token`` are None where the backfill is to fill them."""

    key: Key
    amount: int
    target: int | None = None
    token: uuid.UUID | None = None
    n: int | None = 0
    pad: int = 100
    is_old: bool = True
    is_touched: bool = False


def filled(amount: int) -> int:
    """What the backfill fills in: ``amount::bigint * 2 + 1``."""
    return amount * 2 + 1


FILLED = "amount::bigint * 2 + 1"


@dataclass(frozen=True)
class Mode:
    """What is filled, and what writers do about it.

    Attributes:
        values: For ``online.backfill``.
        where: The same.
        may_move: Whether writers change keys.
        is_synced: Whether writers fill in what the backfill would; else they write values of their own.
    """

    values: dict[str, str]
    where: str | None = None
    may_move: bool = True
    is_synced: bool = True


MODES = {
    "told by value": Mode({"target": FILLED}),
    "told by null": Mode({"target": FILLED}, "target IS NULL", is_synced=False),
    "told by null, never the same": Mode({"token": "gen_random_uuid()"}, "token IS NULL", is_synced=False),
    "not told": Mode({"n": "n + 1"}, may_move=False),
}


@dataclass(eq=False)
class Writer:
    """One session that inserts, updates, moves and deletes rows of its own until it is told to end."""

    url: URL
    table: str
    kind: Kind
    mode: Mode
    rows: dict[int, Row] = field(repr=False)
    numbers: Iterator[int] = field(repr=False)
    random: Random = field(repr=False)
    ending: threading.Event = field(repr=False)
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED
    holds: float = 0.0
    commits: int = 0
    retries: int = 0
    failure: BaseException | None = None
    thread: threading.Thread | None = field(default=None, repr=False)
    _pending: dict[int, Row | None] = field(default_factory=dict, repr=False)

    def start(self) -> None:
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            with connect(self.url, options="-c homeops.writer=yes", application_name="writer") as db:
                db.autocommit = False
                db.isolation_level = self.isolation
                while not self.ending.is_set():
                    self._transact(db)
        except BaseException as error:  # a thread has nobody else to tell
            self.failure = error

    def _transact(self, db: Connection) -> None:
        self._pending = {}
        try:
            for _ in range(self.random.choice((1, 1, 1, 4, 12))):
                self._act(db)
            if self.holds:
                self.ending.wait(self.random.uniform(0, self.holds))
            if self.random.random() < 0.1:
                db.rollback()
                return
            db.commit()
        except (SerializationFailure, DeadlockDetected, LockNotAvailable):
            db.rollback()
            self.retries += 1
            return
        self.commits += 1
        for rid, row in self._pending.items():
            if row is None:
                del self.rows[rid]
            else:
                self.rows[rid] = row

    def _act(self, db: Connection) -> None:
        acts = [self._insert, self._set, self._set, self._grow, self._grow, self._add, self._delete]
        acts += [self._move] if self.mode.may_move else []
        self.random.choice(acts)(db)

    def _some(self) -> tuple[int, Row] | None:
        if not self.rows:
            return None
        rid = self.random.choice(list(self.rows))
        row = self._pending.get(rid, self.rows[rid])
        return None if row is None else (rid, row)

    def _insert(self, db: Connection) -> None:
        rid = next(self.numbers)
        amount = self.random.randrange(1000)
        row = self._filled_in(Row(self.kind.key(rid), amount, n=None, is_old=False))
        names = ", ".join(self.kind.names)
        values = ", ".join(["%s"] * len(self.kind.names))
        db.execute(
            f"insert into {self.table} ({names}, rid, amount, target, token, n, pad)"
            f" values ({values}, %s, %s, %s, %s, %s, repeat('x', %s))".encode(),
            (*row.key, rid, row.amount, row.target, row.token, row.n, row.pad),
        )
        self._pending[rid] = row

    def _set(self, db: Connection) -> None:
        """A newer source, and what belongs to it."""
        if (found := self._some()) is not None:
            rid, row = found
            row = self._filled_in(replace(row, amount=self.random.randrange(1000), is_touched=True))
            self._update(
                db, rid, row, "amount = %s, target = %s, token = %s", row.amount, row.target, row.token
            )

    def _grow(self, db: Connection) -> None:
        """The row no longer fits on its page."""
        if (found := self._some()) is not None:
            rid, row = found
            row = replace(row, pad=self.random.choice((10, 300, 900)))
            self._update(db, rid, row, "pad = repeat('y', %s)", row.pad)

    def _add(self, db: Connection) -> None:
        """What the backfill adds to, and must not take back."""
        if (found := self._some()) is not None:
            rid, row = found
            row = replace(row, n=None if row.n is None else row.n + 100)
            self._update(db, rid, row, "n = n + %s", 100)

    def _move(self, db: Connection) -> None:
        if (found := self._some()) is not None:
            rid, row = found
            stays = self.kind.stays
            row = replace(row, key=row.key[:stays] + self.kind.key(next(self.numbers))[stays:])
            names = ", ".join(f"{name} = %s" for name in self.kind.names)
            self._update(db, rid, row, names, *row.key)

    def _delete(self, db: Connection) -> None:
        if len(self.rows) > 20 and (found := self._some()) is not None:
            rid, row = found
            if rid in self.rows:
                done = db.execute(f"delete from {self.table} where {self._where()}".encode(), (*row.key, rid))
                assert done.rowcount == 1, (rid, row)
                self._pending[rid] = None

    def _update(self, db: Connection, rid: int, row: Row, what: str, *values: Any) -> None:
        key = (self._pending.get(rid) or self.rows[rid]).key
        done = db.execute(
            f"update {self.table} set {what} where {self._where()}".encode(), (*values, *key, rid)
        )
        assert done.rowcount == 1, (rid, row)
        self._pending[rid] = row

    def _where(self) -> str:
        return " and ".join(f"{name} = %s" for name in (*self.kind.names, "rid"))

    def _filled_in(self, row: Row) -> Row:
        if self.mode.is_synced:
            return replace(row, target=filled(row.amount))
        return replace(
            row, target=-self.random.randrange(1, 1 << 40), token=uuid.UUID(int=self.random.getrandbits(128))
        )


@dataclass
class Stress:
    """A table, its writers, and the model."""

    db: Connection
    url: URL
    table: str
    kind: Kind
    mode: Mode
    writers: list[Writer] = field(default_factory=list)

    def create(self, rows: int, *, writers: int, seed: int, holds: float) -> None:
        """Make the table with old rows, and the writers, who share them."""
        self.kind.create(self.db, self.table)
        if self.kind.after:
            for part in range(4):
                self.db.execute(
                    f"create table {self.table}_{part} partition of {self.table} for values in ({part})".encode()
                )
        if self.kind is HYPERTABLE:
            self.db.execute(
                f"select create_hypertable('{self.table}', 't', chunk_time_interval => interval '1 day')".encode()
            )
        old = {rid: Row(self.kind.key(rid), rid % 1000) for rid in range(rows)}
        names = ", ".join((*self.kind.names, "rid", "amount", "n", "pad"))
        with (
            self.db.cursor() as cursor,
            cursor.copy(f"copy {self.table} ({names}) from stdin".encode()) as copy,
        ):
            for rid, row in old.items():
                copy.write_row((*row.key, rid, row.amount, row.n, "x" * row.pad))
        self._watch()
        self.db.execute(f"analyze {self.table}".encode())
        ending = threading.Event()
        for number in range(writers):
            random = Random(seed * 1000 + number)  # noqa: S311 - no secret
            mine = {rid: row for rid, row in old.items() if rid % writers == number}
            self.writers.append(
                Writer(
                    self.url, self.table, self.kind, self.mode, mine,
                    iter(range(rows + number, 65521, writers)), random, ending,
                    IsolationLevel.REPEATABLE_READ if number % 2 else IsolationLevel.READ_COMMITTED,
                    holds if number % 3 == 2 else 0.0,
                )
            )  # fmt: skip

    def _watch(self) -> None:
        self.db.execute(f"create table {self.table}_log (rid int not null)".encode())
        self.db.execute(
            f"create function {self.table}_logged() returns trigger language plpgsql as $$begin"
            f" insert into {self.table}_log values (new.rid); return null; end$$".encode()
        )
        self.db.execute(
            f"create trigger logged after update on {self.table} for each row"
            " when (current_setting('homeops.writer', true) is null)"
            f" execute function {self.table}_logged()".encode()
        )

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let the writers work during the block."""
        for writer in self.writers:
            writer.start()
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        for writer in self.writers:
            writer.ending.set()
        for writer in self.writers:
            if writer.thread is not None:
                writer.thread.join()

    def check(self) -> None:
        """Hold every row against the model, and what the backfill did to each."""
        for writer in self.writers:
            if writer.failure is not None:
                raise writer.failure
        model = {rid: row for writer in self.writers for rid, row in writer.rows.items()}
        names = ", ".join(self.kind.names)
        found = self.db.execute(
            f"select rid, amount, target, token, n, length(pad), {names} from {self.table}".encode()
        ).fetchall()
        done = Counter(rid for (rid,) in self.db.execute(f"select rid from {self.table}_log".encode()))
        assert sorted(row[0] for row in found) == sorted(model), "rows are lost or twice"
        wrong = [
            f"{rid}: {problem}; {values}, done {done[rid]} times, must be {model[rid]}"
            for rid, *values in found
            if (problem := self._problem(model[rid], done[rid], *values))
        ]
        twice = [rid for rid, times in done.items() if times > 1]
        assert not wrong, f"{len(wrong)} of {len(found)} rows:\n" + "\n".join(wrong[:10])
        assert not twice, f"done more than once: {twice[:10]}"
        assert sum(done.values()) > 0
        assert all(writer.commits for writer in self.writers), "a writer never got to work"

    def _problem(  # noqa: PLR0917 - the columns of one row
        self,
        row: Row,
        done: int,
        amount: int,
        target: int,
        token: uuid.UUID | None,
        n: int | None,
        pad: int,
        *key: Any,
    ) -> str | None:
        sets = set(self.mode.values)
        if (amount, pad, tuple(key)) != (row.amount, row.pad, row.key):
            return "a writer's value is lost"
        if row.is_old and not row.is_touched and done != 1:
            return "it was done another number of times than once"
        if "n" in sets:
            return "lost or doubled" if row.n is not None and n != row.n + 1 else None
        if n != row.n:
            return "a writer's addition is lost"
        if "target" in sets:
            expected = filled(row.amount) if row.target is None else row.target
            return "stale or overwritten" if target != expected else None
        return "not filled or overwritten" if token is None or token != (row.token or token) else None
