"""The roll-up of viewing events, against a model of it, and the views over it."""

import datetime as dt
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest
from psycopg import Connection
from psycopg.errors import Error, InvalidParameterValue, SerializationFailure
from pytest_postgresql.executors import NoopExecutor
from sqlalchemy.engine import URL

from tests.fixtures.databases import connect
from tests.schema.media import (
    GENRES,
    ITEMS,
    SESSIONS,
    USERS,
    chance_of,
    fill,
    filled,
    insert,
    rolled_back,
    uid,
)

DAYS = [dt.date(2024, 2, 27) + dt.timedelta(days=n) for n in range(6)]  # over a leap day
DAILY = "select user_id, item_id, viewed_on, seconds_watched, sessions, completions from media.viewing_daily"
WAITING = (
    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
)


@pytest.fixture(scope="module")
def url(migrated_server: NoopExecutor) -> Iterator[URL]:
    with filled(migrated_server) as made:
        yield made


@pytest.fixture
def database(url: URL) -> Iterator[Connection]:
    with rolled_back(url) as connection:
        yield connection


@pytest.fixture
def committed(database_url: URL) -> Iterator[Connection]:
    """A database of its own, for what other connections must see."""
    with connect(database_url) as connection:
        fill(connection)
        yield connection


Event = tuple[uuid.UUID, dt.datetime, str, int]
Key = tuple[uuid.UUID, uuid.UUID, dt.date]


def random_events(chance: random.Random, wanted: int) -> list[Event]:
    """Make events on all days, many of them within a second of midnight in UTC."""
    made: dict[tuple[uuid.UUID, dt.datetime, str], Event] = {}
    for _ in range(wanted):
        midnight = dt.datetime.combine(chance.choice(DAYS), dt.time(), dt.UTC)
        offset = chance.choice([0, 1, 86_400_000_000 - 1, chance.randrange(86_400_000_000)])
        at = midnight + dt.timedelta(microseconds=offset)
        kind = chance.choice(["play", "pause", "seek", "progress", "stop", "finish"])
        session = chance.choice(SESSIONS)
        made[session, at, kind] = (session, at, kind, chance.randrange(900))
    return list(made.values())


def write(database: Connection, events: list[Event]) -> None:
    rows: list[tuple[object, ...]] = [(*event, 0) for event in events]
    insert(
        database, "viewing_events", "session_id, occurred_at, type, watched_seconds, position_seconds", rows
    )


def rolled_up(events: list[Event], days: list[dt.date]) -> dict[Key, tuple[int, int, int]]:
    """Say what the days' rows must be."""
    found: dict[Key, list[Event]] = defaultdict(list)
    for event in events:
        number = SESSIONS.index(event[0])
        day = event[1].astimezone(dt.UTC).date()
        if day in days:
            found[USERS[number // 6], ITEMS[number % 6], day].append(event)
    return {
        key: (
            sum(seconds for *_, seconds in some),
            len({session for session, *_ in some}),
            len({session for session, _, kind, _ in some if kind == "finish"}),
        )
        for key, some in found.items()
    }


def stored(database: Connection) -> dict[Key, tuple[int, int, int]]:
    return {(row[0], row[1], row[2]): (row[3], row[4], row[5]) for row in database.execute(DAILY.encode())}


def roll_up(database: Connection, first: dt.date | str | None, last: dt.date | str | None) -> int:
    (written,) = database.execute("select media.roll_up_viewing(%s, %s)", [first, last]).fetchone()
    return written


def test_a_roll_up_recomputes_exactly_its_days_and_says_how_many_rows_it_wrote(database: Connection) -> None:
    chance = chance_of(12)
    events: list[Event] = []
    expected: dict[Key, tuple[int, int, int]] = {}
    touched = 0
    for _ in range(12):
        new = [event for event in random_events(chance, 40) if event[:3] not in {e[:3] for e in events}]
        write(database, new)
        events += new
        gone, events = events[:25], events[25:]
        for session, at, kind, _ in gone:
            database.execute(
                "delete from media.viewing_events where (session_id, occurred_at, type) = (%s, %s, %s)",
                [session, at, kind],
            )
        first, last = sorted(chance.choices(range(len(DAYS)), k=2))
        days = DAYS[first : last + 1]
        wanted = {key: row for key, row in expected.items() if key[2] not in days} | rolled_up(events, days)
        differing = {key for key in expected.keys() | wanted.keys() if expected.get(key) != wanted.get(key)}
        assert roll_up(database, days[0], days[-1]) == len(differing)
        assert stored(database) == wanted
        touched += len(expected.keys() - wanted.keys())
        expected = wanted
        assert roll_up(database, days[0], days[-1]) == 0
        assert stored(database) == wanted
    assert touched > 5  # rows did go


def test_two_sessions_of_a_day_are_counted_apart(database: Connection) -> None:
    second = uid(0x799)
    insert(database, "playback_sessions", "id, user_id, item_id", [(second, USERS[0], ITEMS[0])])
    noon = dt.datetime(2024, 2, 27, 12, tzinfo=dt.UTC)
    write(
        database, [(SESSIONS[0], noon, "finish", 5), (second, noon, "finish", 7), (second, noon, "stop", 1)]
    )
    assert roll_up(database, DAYS[0], DAYS[0]) == 1
    assert stored(database) == {(USERS[0], ITEMS[0], DAYS[0]): (13, 2, 2)}


def test_a_roll_up_notes_its_days(database: Connection) -> None:
    query = "select viewed_on, rolled_up_at from media.viewing_rollups order by 1"
    roll_up(database, DAYS[1], DAYS[3])
    before = dict(database.execute(query.encode()).fetchall())
    assert list(before) == DAYS[1:4]
    roll_up(database, DAYS[3], DAYS[4])
    after = dict(database.execute(query.encode()).fetchall())
    assert list(after) == DAYS[1:5]
    assert [day for day in before if after[day] > before[day]] == [DAYS[3]]


@pytest.mark.parametrize(
    ("first", "last"),
    [("2024-01-02", "2024-01-01"), (None, "2024-01-01"), ("2024-01-01", None), ("2024-01-01", "infinity"),
     ("-infinity", "2024-01-01")],
)  # fmt: skip
def test_a_roll_up_of_no_days_is_refused(database: Connection, first: str | None, last: str | None) -> None:
    with pytest.raises(InvalidParameterValue, match="there are no days from"), database.transaction():
        roll_up(database, first, last)


def until_waiting(database: Connection, sessions: int) -> None:
    deadline = time.monotonic() + 10
    while database.execute(WAITING.encode()).fetchone() != (sessions,):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def running(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_late_roll_up_never_writes_old_numbers_over_new_ones(
    committed: Connection, database_url: URL
) -> None:
    """The first has read its events and is held up while it writes; then events come, and a second roll-up."""
    noon = [dt.datetime.combine(day, dt.time(12), dt.UTC) for day in DAYS]
    events: list[Event] = [(SESSIONS[0], noon[0], "play", 10), (SESSIONS[0], noon[1], "play", 10)]
    write(committed, events)
    roll_up(committed, DAYS[0], DAYS[1])
    more: list[Event] = [(SESSIONS[0], noon[n], "pause", 1) for n in (0, 1)]
    write(committed, more)
    with connect(database_url) as first, connect(database_url) as second, connect(database_url) as holder:
        holder.execute("begin")
        holder.execute("select from media.viewing_daily where viewed_on = %s for update", [DAYS[0]])
        one = running(lambda: roll_up(first, DAYS[0], DAYS[1]))
        until_waiting(committed, 1)
        last: list[Event] = [(SESSIONS[0], noon[1], "finish", 5)]
        write(committed, last)
        other = running(lambda: roll_up(second, DAYS[1], DAYS[1]))
        other.join(timeout=0.3)
        holder.execute("commit")
        one.join(timeout=10)
        other.join(timeout=10)
    assert stored(committed) == rolled_up(events + more + last, DAYS)


def test_a_snapshot_older_than_another_roll_up_fails_instead(
    committed: Connection, database_url: URL
) -> None:
    write(committed, random_events(chance_of(3), 50))
    with connect(database_url) as late:
        late.execute("begin isolation level repeatable read")
        late.execute("select from media.viewing_events limit 1")
        roll_up(committed, DAYS[0], DAYS[-1])
        with pytest.raises(SerializationFailure):
            roll_up(late, DAYS[0], DAYS[0])


def test_two_roll_ups_at_once_and_a_writer_end_in_the_same_rows(
    committed: Connection, database_url: URL
) -> None:
    events = random_events(chance_of(4), 400)
    written = threading.Event()
    failures: list[Exception] = []

    def roll(seed: int) -> None:
        chance = chance_of(seed)
        try:
            with connect(database_url) as connection:
                while not written.is_set():
                    first, last = sorted(chance.choices(DAYS, k=2))
                    roll_up(connection, first, last)
                roll_up(connection, DAYS[0], DAYS[-1])
        except Error as error:
            failures.append(error)

    threads = [running(lambda seed=seed: roll(seed)) for seed in (5, 6)]
    for start in range(0, len(events), 20):
        write(committed, events[start : start + 20])
    written.set()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []
    assert stored(committed) == rolled_up(events, DAYS)
    assert roll_up(committed, DAYS[0], DAYS[-1]) == 0


def test_statistics_and_history_of_viewing(database: Connection) -> None:
    insert(
        database,
        "item_genres",
        "item_id, genre_id",
        [(ITEMS[0], GENRES[1]), (ITEMS[1], GENRES[0]), (ITEMS[2], GENRES[2])],
    )
    noon = [dt.datetime.combine(day, dt.time(12), dt.UTC) for day in DAYS]
    write(
        database,
        [
            (SESSIONS[0], noon[0], "play", 0),
            (SESSIONS[0], noon[1], "finish", 100),
            (SESSIONS[1], noon[1], "stop", 60),
            (SESSIONS[1], noon[3], "stop", 40),
            (SESSIONS[6], noon[2], "stop", 7),
            (SESSIONS[7], noon[2], "stop", 3),
        ],
    )
    roll_up(database, DAYS[0], DAYS[-1])
    # The first has watched 100 s of each genre: the name decides.
    assert database.execute("select * from media.viewing_statistics order by user_id").fetchall() == [
        (USERS[0], 3, 2, 4, 1, 200, DAYS[0], DAYS[3], "G0"),
        (USERS[1], 1, 2, 2, 0, 10, DAYS[2], DAYS[2], "G1"),
        (USERS[2], 0, 0, 0, 0, 0, None, None, None),
    ]
    assert database.execute(
        "select user_id, item_id, session_id, occurred_at, type, watched_seconds from media.viewing_history"
        " where user_id = %s order by occurred_at, type",
        [USERS[0]],
    ).fetchall() == [
        (USERS[0], ITEMS[0], SESSIONS[0], noon[0], "play", 0),
        (USERS[0], ITEMS[0], SESSIONS[0], noon[1], "finish", 100),
        (USERS[0], ITEMS[1], SESSIONS[1], noon[1], "stop", 60),
        (USERS[0], ITEMS[1], SESSIONS[1], noon[3], "stop", 40),
    ]
