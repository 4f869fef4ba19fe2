"""The reasons for which a backfill waits, on a server with a standby: lag, slots, the WAL's rate, feedback."""

import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection, OperationalError, sql
from psycopg.pq import ExecStatus
from sqlalchemy.engine import URL

from homeops_db.locking.pace import Pace
from tests.fixtures.databases import connect
from tests.fixtures.replica import Replicated
from tests.fixtures.waiting import until
from tests.online.governing import (
    SNAPSHOT,
    Clock,
    ask,
    dead,
    governing,
    in_transaction,
    ms,
    only,
    signal,
    tell,
    text,
)

MB = 1 << 20


def write(db: Connection, megabytes: int) -> None:
    """Write so much WAL, flushed."""
    db.execute(
        sql.SQL(
            "select pg_logical_emit_message(true, 'x', repeat('x', {})) from generate_series(1, {})"
        ).format(MB, megabytes)
    )


def test_a_standby_that_does_not_replay(replicated: Replicated) -> None:
    pace, clock = only(max_replication_bytes=2 * MB), Clock()
    with (
        governing(replicated.url, clock=clock) as governor,
        connect(replicated.url) as db,
        replicated.paused(),
    ):
        write(db, 1)
        assert governor.look(pace) is None
        write(db, 3)
        until(lambda: signal(governor, pace) and "received" in text(governor, pace))
        assert text(governor, pace) == (
            "standby replica1 is 4 MB behind, received but not replayed (limit 2 MB)"
        )
        replicated.resume()
        replicated.catch_up()
        assert signal(governor, pace) == "replication lag"
        clock.now += 1
        assert governor.look(pace) is None


def test_a_standby_that_is_late(replicated: Replicated) -> None:
    """A little WAL that isn't replayed, and nothing after it: no bytes to speak of, but it gets older."""
    pace, clock = only(max_replication_lag=timedelta(seconds=10)), Clock()
    with (
        governing(replicated.url, clock=clock) as governor,
        connect(replicated.url) as db,
        replicated.paused(),
    ):
        db.execute("create table t (id int)")
        assert governor.look(pace) is None
        clock.now += 9
        assert governor.look(pace) is None
        clock.now += 2
        assert text(governor, pace) == (
            "standby replica1 is 11 s behind, received but not replayed (limit 10 s)"
        )
        clock.now += 100
        replicated.resume()
        replicated.catch_up()
        assert governor.look(pace) is None


def lag(db: Connection) -> float:
    row = db.execute(
        "select coalesce(extract(epoch from replay_lag), 0)::float8 from pg_stat_replication"
    ).fetchone()
    assert row is not None
    return row[0]


def test_a_standby_that_was_late_before_we_came(replicated: Replicated) -> None:
    with connect(replicated.url) as db, replicated.paused():
        db.execute("create table t (id int)")
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 0.2)
        until(lambda: db.execute("insert into t values (1)") and lag(db) > 0.2)
        with governing(replicated.url) as governor:
            assert signal(governor, only(max_replication_lag=ms(100))) == "replication lag"


def test_a_standby_that_is_always_a_little_behind_is_not_late(replicated: Replicated) -> None:
    pace, clock = only(max_replication_lag=timedelta(seconds=10)), Clock()
    with governing(replicated.url, clock=clock) as governor, connect(replicated.url) as db:
        for statement in ("create table t (id int)", "insert into t values (1)"):
            with replicated.paused():
                db.execute(statement.encode())
                clock.now += 11
                assert governor.look(pace) is None


def test_a_standby_that_has_everything_is_not_late_whatever_it_said_last(replicated: Replicated) -> None:
    """replay_lag goes on showing the last lag that there was."""
    with governing(replicated.url) as governor, connect(replicated.url) as db:
        with replicated.paused():
            db.execute("create table t (id int)")
            began = time.monotonic()
            until(lambda: time.monotonic() - began > 0.2)
            replicated.resume()
            replicated.catch_up()
        assert lag(db) > 0.2
        assert governor.look(only(max_replication_lag=ms(100))) is None


def test_a_receiver_of_wal_is_behind_by_what_it_was_not_sent(replicated: Replicated, tmp_path: Path) -> None:
    """pg_receivewal says every ten seconds what it has written: until then it only seems to be behind."""
    pace, clock = only(max_replication_bytes=2 * MB, max_replication_lag=timedelta(seconds=5)), Clock()
    with (
        client(replicated, "pg_receivewal", "-D", str(tmp_path)),
        governing(replicated.url, clock=clock) as governor,
        connect(replicated.url) as db,
    ):
        until(lambda: ask(db, "select count(*) = 1 from pg_stat_replication where application_name = 'pg_receivewal'"
                              " and write_lsn is not null"))  # fmt: skip
        write(db, 3)
        until(lambda: ask(db, "select sent_lsn >= pg_current_wal_flush_lsn() and pg_current_wal_lsn() - write_lsn > 2e6"
                              " from pg_stat_replication where application_name = 'pg_receivewal'"))  # fmt: skip
        replicated.catch_up()
        assert governor.look(pace) is None
        clock.now += 6
        assert governor.look(pace) is None


@contextmanager
def client(replicated: Replicated, program: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of PostgreSQL's own programs, connected to the primary for the block."""
    primary = replicated.primary
    command = [primary.programs / program, "-h", primary.folder, "-U", "homeops", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        with connect(replicated.url) as db:
            until(
                lambda: ask(
                    db, f"select count(*) = 0 from pg_stat_replication where application_name = '{program}'"
                )
            )


@contextmanager
def slot(replicated: Replicated, name: str, *, logical: bool = False) -> Iterator[None]:
    """A replication slot that keeps WAL from now on."""
    with connect(replicated.url) as db:
        db.execute("checkpoint")  # a physical slot begins at the last one
        made = (
            "logical_replication_slot(%s, 'test_decoding')"
            if logical
            else "physical_replication_slot(%s, true)"
        )
        db.execute(f"select pg_create_{made}".encode(), (name,))
        try:
            yield
        finally:
            db.execute("select pg_drop_replication_slot(%s)", (name,))


def test_a_slot_that_nobody_reads(replicated: Replicated) -> None:
    pace, clock = only(max_slot_bytes=2 * MB), Clock()
    with governing(replicated.url, clock=clock) as governor, connect(replicated.url) as db:
        with slot(replicated, "old_replica"):
            assert governor.look(pace) is None
            write(db, 3)
            assert text(governor, pace) == (
                "replication slot old_replica keeps back 3 MB of WAL (limit 2 MB), and nobody reads it"
            )
        clock.now += 1
        assert governor.look(pace) is None


def test_a_slot_is_not_driven_to_its_loss(replicated: Replicated) -> None:
    """With max_slot_wal_keep_size the server gives slots up: our own limit must come before that."""
    pace = only(max_slot_bytes=1 << 40)
    with (
        governing(replicated.url) as governor,
        connect(replicated.url) as db,
        slot(replicated, "old_replica"),
    ):
        write(db, 27)
        assert governor.look(pace) is None
        db.execute("alter system set max_slot_wal_keep_size = '32MB'")
        db.execute("select pg_reload_conf()")
        try:
            until(lambda: signal(governor, pace))
            assert "old_replica keeps back 27 MB of WAL (limit 26 MB, for it is lost at 32 MB)" in text(
                governor, pace
            )
        finally:
            db.execute("alter system reset max_slot_wal_keep_size")
            db.execute("select pg_reload_conf()")
            until(lambda: ask(db, "show max_slot_wal_keep_size") == "-1")


def test_a_reader_of_a_logical_slot_that_confirms_nothing(replicated: Replicated) -> None:
    """It is sent everything, so it isn't late; but its slot keeps WAL back, and says for whom."""
    lags, clock = only(max_replication_bytes=2 * MB, max_replication_lag=timedelta(seconds=5)), Clock()
    mine = " from pg_stat_replication where application_name = 'events reader'"
    with (
        slot(replicated, "events", logical=True),
        reading(replicated, "events"),
        governing(replicated.url, clock=clock) as governor,
        connect(replicated.url) as db,
    ):
        until(lambda: ask(db, f"select state = 'streaming' and replay_lsn is not null {mine}"))
        write(db, 3)
        until(lambda: ask(db, f"select sent_lsn >= pg_current_wal_flush_lsn() {mine}"))
        assert ask(db, f"select pg_current_wal_lsn() - replay_lsn > 3e6 {mine}")
        replicated.catch_up()
        assert governor.look(lags) is None
        clock.now += 6
        assert governor.look(lags) is None
        assert text(governor, only(max_slot_bytes=2 * MB)).endswith("read by events reader")


@contextmanager
def reading(replicated: Replicated, name: str) -> Iterator[None]:
    """A reader of a logical slot that says once how far it is, and then only reads."""
    with (
        connect(replicated.url, replication="database", application_name="events reader") as connection,
        connect(replicated.url) as db,
    ):
        begin = int(
            ask(
                db,
                "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where slot_type = 'logical'",
            )
        )
        wire = connection.pgconn
        assert (
            wire.exec_(f"START_REPLICATION SLOT {name} LOGICAL 0/0".encode()).status == ExecStatus.COPY_BOTH
        )
        wire.put_copy_data(struct.pack(">cQQQq?", b"r", begin, begin, begin, 0, False))
        wire.flush()

        def read() -> None:
            with suppress(psycopg.Error):
                while select.select([wire.socket], [], [], 20)[0]:
                    wire.consume_input()
                    while wire.get_copy_data(1)[0] > 0:
                        pass

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield
        finally:
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_replication where application_name = 'events reader'"
            )
            thread.join(20)
            until(lambda: ask(db, f"select not active from pg_replication_slots where slot_name = '{name}'"))


def test_wal_above_the_limit_is_made_up_for(replicated: Replicated) -> None:
    pace, clock = only(max_wal_rate=MB), Clock()
    with governing(replicated.url, clock=clock) as governor, connect(replicated.url) as db:
        assert governor.look(pace) is None
        write(db, 4)
        clock.now += 0.1
        assert governor.look(pace) is None  # too soon to tell
        clock.now += 0.9
        assert text(governor, pace) == "the server writes 4 MB of WAL a second (limit 1 MB)"
        clock.now += 1
        assert (
            text(governor, pace) == "the server has written 2 MB of WAL above its limit (limit 1 MB a second)"
        )
        clock.now += 1
        assert signal(governor, pace) == "WAL rate"
        clock.now += 2
        assert governor.look(pace) is None
        write(db, 4)
        clock.now += 60  # nobody looked for a minute: what the rate is now, nobody knows
        assert governor.look(only(max_wal_rate=1 << 10)) is None


def test_another_server_behind_the_same_address_is_no_reason(replicated: Replicated, stock15: URL) -> None:
    """After a failover positions and numbers may go back, and a standby has no WAL of its own."""
    pace, clock = Pace(max_wal_rate=1), Clock()
    with (
        governing(replicated.url, clock=clock) as governor,
        governing(stock15) as elsewhere,
        governing(replicated.standby.url) as standby,
    ):
        here = governor.observer
        for other in (here, standby.observer, elsewhere.observer, here, elsewhere.observer):
            clock.now += 1
            governor.observer = other
            governor.look(replace(pace, max_wal_rate=1 << 60))
            assert "WAL rate" not in [reason.signal for reason in governor.reasons]


def test_numbers_of_transactions_that_go_back_make_no_snapshot_old(
    replicated: Replicated, stock15: URL
) -> None:
    pace, clock = only(max_snapshot_age=timedelta(seconds=60)), Clock()
    with connect(replicated.url) as here, connect(stock15) as there:
        next_xid = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        ahead = max(0, ask(there, next_xid) - ask(here, next_xid)) + 100
        here.execute(
            f"do 'begin for i in 1..{ahead} loop perform pg_current_xact_id(); commit; end loop; end'".encode()
        )
    with (
        governing(replicated.url, clock=clock) as governor,
        in_transaction(stock15, "set transaction isolation level repeatable read", "select 1"),
        governing(stock15) as elsewhere,
    ):
        clock.now += 3600
        governor.observer = elsewhere.observer
        assert governor.look(pace) is None


@pytest.mark.parametrize(
    ("slot_name", "who"),
    [
        ("replica1", "replication slot replica1 (a query on its standby)"),
        ("", "standby replica1 (a query there)"),
    ],
)
def test_a_query_on_the_standby_keeps_rows_on_the_primary(
    replicated: Replicated, slot_name: str, who: str
) -> None:
    pace, clock = only(max_snapshot_age=timedelta(seconds=60)), Clock()
    with connect(replicated.url) as db:
        db.execute("create table t (id int); insert into t values (1)")
        try:
            configure(replicated, primary_slot_name=slot_name)
            until(lambda: ask(db, f"select active = ('{slot_name}' <> '') from pg_replication_slots"))
            replicated.catch_up()
            configure(replicated, hot_standby_feedback="on", wal_receiver_status_interval="1")
            with (
                in_transaction(replicated.standby.url, *SNAPSHOT),
                governing(replicated.url, clock=clock) as governor,
            ):
                until(lambda: ask(db, KEPT))
                db.execute("insert into t values (2)")
                assert governor.look(pace) is None
                clock.now += 61
                assert text(governor, pace) == (
                    f"{who} keeps dead rows from being removed, for 61 s now (limit 60 s)"
                )
        finally:
            configure(
                replicated,
                hot_standby_feedback="off",
                wal_receiver_status_interval="10",
                primary_slot_name="replica1",
            )
            until(lambda: ask(db, "select active and xmin is null from pg_replication_slots"))


KEPT = """
select exists (select from pg_replication_slots where xmin is not null)
    or exists (select from pg_stat_replication where backend_xmin is not null)
"""


def configure(replicated: Replicated, **settings: str) -> None:
    """Change settings of the standby."""
    with connect(replicated.standby.url) as there:
        for name, value in settings.items():
            there.execute(f"alter system set {name} = '{value}'".encode())
        there.execute("select pg_reload_conf()")


def test_a_logical_slot_keeps_rows_of_catalogs_alone(replicated: Replicated) -> None:
    pace, clock = only(max_snapshot_age=timedelta(seconds=60)), Clock()
    with (
        slot(replicated, "events", logical=True),
        governing(replicated.url, clock=clock) as governor,
        connect(replicated.url) as db,
    ):
        db.execute("create table t (id int)")
        governor.look(pace)
        clock.now += 61
        assert ask(db, "select age(catalog_xmin) > 0 from pg_replication_slots where slot_name = 'events'")
        assert governor.look(pace) is None


def test_a_prepared_transaction_that_was_forgotten(replicated: Replicated) -> None:
    pace, clock = only(max_snapshot_age=timedelta(seconds=60)), Clock()
    with connect(replicated.url) as db, governing(replicated.url, clock=clock) as governor:
        db.execute("begin; create table t (id int); prepare transaction 'of a coordinator'")
        try:
            db.execute("create table u (id int)")
            assert governor.look(pace) is None
            clock.now += 61
            assert text(governor, pace).startswith(
                "prepared transaction 'of a coordinator' of homeops keeps dead rows from being removed, for "
            )
        finally:
            db.execute("rollback prepared 'of a coordinator'")


def test_a_plain_role_is_not_shown_how_far_standbys_are(replicated: Replicated) -> None:
    with connect(replicated.url) as db, replicated.paused():
        db.execute("drop role if exists homeops_plain; create role homeops_plain login")
        write(db, 3)
        with governing(replicated.url.set(username="homeops_plain")) as governor:
            pace = only(
                max_replication_bytes=1, max_replication_lag=ms(1), max_slot_bytes=MB, max_wal_rate=1 << 40
            )
            governor.look(pace)
            assert "replication lag" not in [reason.signal for reason in governor.reasons]
            assert any("how far standbys are behind" in said for said in governor.unseen)
            db.execute("grant pg_read_all_stats to homeops_plain")
            assert signal(governor, pace) == "replication lag"
            assert list(governor.unseen) == []
        db.execute("drop role homeops_plain")


def test_what_a_server_refuses_is_said_and_the_rest_is_looked_at(replicated: Replicated) -> None:
    with connect(replicated.url) as db:
        db.execute("drop role if exists homeops_plain; create role homeops_plain login")
        db.execute("revoke execute on function pg_blocking_pids(int) from public")
        try:
            with (
                governing(replicated.url.set(username="homeops_plain")) as governor,
                slot(replicated, "old_replica"),
            ):
                write(db, 3)
                assert signal(governor, only(max_queue=1, max_slot_bytes=2 * MB)) == "replication slot"
                assert "queue: permission denied for function pg_blocking_pids" in governor.unseen
        finally:
            db.execute("grant execute on function pg_blocking_pids(int) to public; drop role homeops_plain")


@pytest.mark.slow
def test_autovacuum_that_comes_and_helps_nothing_is_not_waited_for(replicated: Replicated) -> None:
    """The rows are dead, and somebody keeps them: that has a limit of its own."""
    pace, clock = only(max_dead_share=0.5), Clock()
    with connect(replicated.url) as db:
        db.execute(
            "create table t (id int) with (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0)"
        )
        db.execute("insert into t select generate_series(1, 100)")
        with (
            in_transaction(replicated.url, *SNAPSHOT),
            governing(replicated.url, names=["t"], clock=clock) as governor,
        ):
            db.execute("delete from t where id > 20")
            tell(db)
            assert signal(governor, pace) == "dead rows"
            clock.now += 1
            assert signal(governor, pace) == "dead rows"
            ended = ask(db, "select pg_stat_get_autovacuum_count('t'::regclass)")
            until(lambda: ask(db, "select pg_stat_get_autovacuum_count('t'::regclass)") >= ended + 2)
            assert dead(db, "t") == 80
            clock.now += 1
            assert governor.look(pace) is None
            assert governor.look(pace) is None


def test_a_server_that_is_away_and_comes_back(replicated: Replicated) -> None:
    pace = only(max_replication_bytes=MB, max_snapshot_age=timedelta(seconds=60))
    with governing(replicated.url) as governor:
        replicated.primary.stop()
        try:
            with pytest.raises(OperationalError):
                governor.look(pace)
        finally:
            replicated.primary.start()
        assert governor.look(pace) is None
