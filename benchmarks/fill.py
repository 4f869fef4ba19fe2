"""The table of the backfill benchmark, the ways to fill its new column, and one run of one of them.

Each run is a process of its own on a copy of the same database: nobody inherits another's caches, dead rows
or statistics.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import psycopg
import sqlalchemy as sa
from psycopg import Connection

from benchmarks.revision import revision
from benchmarks.traffic import Load, connect
from homeops_db import online

TO_DO = "amount_decimal IS NULL AND amount IS NOT NULL"
FILL = "UPDATE target SET amount_decimal = amount::numeric(15,2)"
BATCH = 10_000

KEYS = {
    "integer": ("bigint", "i", "%s::bigint"),
    "uuid": ("uuid", "md5(i::text)::uuid", "md5(%s::text)::uuid"),
}
"""Of each kind of key: its type, the key of row i, and the same where i is a parameter."""

LOWEST = {"integer": "0", "uuid": "00000000-0000-0000-0000-000000000000"}

ROW = (
    "i % 1000, i % 100000 / 100.0, timestamptz '2024-01-01' + i * interval '1 s', 'category ' || i % 50, "
    "'a payment of some kind, number ' || i"
)
"""What row i has beside its key."""

# The application already writes both columns, so that every row has one right value at the end. It changes
# no column that an index covers.
WRITE = "update target set amount = amount + 1, amount_decimal = (amount + 1)::numeric(15,2) where id = {}"

FOLLOW = """
create function follow() returns trigger language plpgsql as
$$ begin new.amount_decimal := new.amount::numeric(15,2); return new; end $$;
create trigger follow before insert or update {} on target for each row execute function follow()
"""
TRIGGERS = {"ours-sync": FOLLOW.format("of amount"), "ours-trigger": FOLLOW.format("")}


def load_of(key: str, rows: int) -> Load:
    where = KEYS[key][2]
    return Load(f"select amount, description from target where id = {where}", WRITE.format(where), rows)


def fill(connection: Connection, key: str, rows: int) -> None:
    """Like financial.transactions: about 120 bytes a row, two secondary indexes, a new column that is empty.

    The primary key is there from the start, so that its pages are as full as those of a table in use.
    Autovacuum is off: it would come in the middle of one run and not of the next.
    """
    kind, number, _ = KEYS[key]
    connection.execute("create extension pg_prewarm")
    connection.execute("create schema migrations; create table migrations.alembic_version ()")
    connection.execute(
        f"create table target (id {kind} primary key, account_id bigint not null, amount double precision, "
        "happened_at timestamptz not null, category text, description text not null) "
        "with (autovacuum_enabled = off)"
    )
    connection.execute(f"insert into target select {number}, {ROW} from generate_series(1, {rows}) i")
    connection.execute("create index on target (account_id); create index on target (happened_at)")
    connection.execute("alter table target add amount_decimal numeric(15,2)")
    connection.execute("vacuum analyze target")


def prepare(connection: Connection, way: str) -> None:
    """Bring a fresh copy to where each run begins: statistics, warm caches, nothing left to write."""
    if way in TRIGGERS:
        connection.execute(TRIGGERS[way])
    # The server's counts of live and dead rows don't come with a copy.
    connection.execute("analyze target")
    connection.execute("select pg_prewarm(oid) from pg_class where relname like 'target%'")
    connection.execute("checkpoint")


# The ways ---------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What a run tells of itself: when the rows were filled, when the table was vacuumed too."""

    began: float = 0.0
    wal_at: float = 0.0
    seconds: float = 0.0
    wal: float = 0.0
    seconds_in_all: float = 0.0
    peak_mb: float = 0.0


Done = Callable[[], None]


def raw(url: sa.URL, _key: str, filled: Done) -> None:
    with connect(url) as connection:
        connection.execute(f"{FILL} WHERE {TO_DO}")
    filled()
    vacuum(url)


def loop(url: sa.URL, _key: str, filled: Done) -> None:
    """The loop of the migration strategy, without its pg_sleep(0.1), which would only make it slower."""
    with connect(url) as connection:
        connection.execute(
            f"""
            DO $$
            DECLARE rows_affected INTEGER;
            BEGIN
                LOOP
                    {FILL} WHERE id IN (SELECT id FROM target WHERE amount_decimal IS NULL LIMIT {BATCH});
                    GET DIAGNOSTICS rows_affected = ROW_COUNT;
                    EXIT WHEN rows_affected = 0;
                    COMMIT;
                END LOOP;
            END $$
            """
        )
    filled()
    vacuum(url)


def keyset(url: sa.URL, key: str, filled: Done) -> None:
    """By hand: the next 10,000 keys, a commit each."""
    low = LOWEST[key]
    with connect(url) as connection:
        while True:
            high = connection.execute(
                f"select id from target where id > %s order by id limit 1 offset {BATCH - 1}", (low,)
            ).fetchone()
            if high is None:
                break
            connection.execute(f"{FILL} WHERE id > %s AND id <= %s AND {TO_DO}", (low, high[0]))
            low = high[0]
        connection.execute(f"{FILL} WHERE id > %s AND {TO_DO}", (low,))
    filled()
    vacuum(url)


def ours(url: sa.URL, _key: str, filled: Done, **options: object) -> None:
    """The closing pass is inside; the VACUUM at the end is sent by us, so that it is timed as everybody's."""
    values = {"amount_decimal": "amount::numeric(15,2)"}
    with revision(url):
        online.backfill("target", values, where=TO_DO, vacuum=False, **options)
    filled()
    vacuum(url)


def ours_with_two(url: sa.URL, key: str, filled: Done) -> None:
    ours(url, key, filled, workers=2)


def fallback(url: sa.URL, key: str, filled: Done) -> None:
    """What the engine does where stripes don't pay, at the size of batch that the others have."""
    sizes = dict.fromkeys(("batch_rows", "min_batch_rows", "max_batch_rows"), BATCH)
    with online.pace(**sizes, max_growth=0):
        ours(url, key, filled, by="key", stripes=1)


WAYS: dict[str, tuple[str, Callable[[sa.URL, str, Done], None]]] = {
    "raw": ("raw UPDATE", raw),
    "loop": ("the strategy's loop", loop),
    "keyset": ("plain keyset of 10,000, by hand", keyset),
    "fallback": ("plain keyset of 10,000, online.backfill", fallback),
    "ours": ("online.backfill", ours),
    "ours-2": ("online.backfill, 2 workers", ours_with_two),
    "ours-sync": ("online.backfill, sync trigger", ours),
    "ours-trigger": ("online.backfill, trigger on each row", ours),
}


def vacuum(url: sa.URL) -> None:
    """As online.backfill ends: giving pages back would stop the table for a moment."""
    with connect(url) as connection:
        connection.execute("vacuum (analyze, truncate false) target")


# One run ----------------------------------------------------------------------------------------------


def run(way: str, url: sa.URL, key: str, pipe: Pipe) -> None:
    """Run one way, in a process of its own; wait for the word before it begins."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    with connect(url) as watch:

        def now() -> tuple[float, float]:
            return time.perf_counter(), float(scalar(watch, "select pg_current_wal_insert_lsn() - '0/0'"))

        told = Told()

        def filled() -> None:
            seconds, wal = now()
            told.seconds, told.wal = seconds - told.began, wal - told.wal_at

        pipe.send(None)
        pipe.recv()
        told.began, told.wal_at = now()
        WAYS[way][1](url, key, filled)
        told.seconds_in_all = time.perf_counter() - told.began
        told.peak_mb = peak_mb()
    pipe.send(told)


def scalar(connection: psycopg.Connection, query: str) -> object:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def peak_mb() -> float:
    """The most memory that this process ever had. getrusage would also count who started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Run:
    """A run that waits for its start."""

    def __init__(self, way: str, url: sa.URL, key: str, run: Callable = run) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=run, args=(way, url, key, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.way = way
        self._receive()

    def finish(self) -> Told:
        """Let it run, and wait until it is through."""
        self.pipe.send(None)
        told = self._receive()
        self.process.join()
        return told

    def _receive(self) -> Told:
        try:
            return self.pipe.recv()
        except EOFError:
            raise SystemExit(f"{self.way} failed: see above.") from None
