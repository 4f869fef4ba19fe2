"""A rehearsal finds nothing in the project's own history, and finds the harm that is planted."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from homeops_db.errors import PolicyError, TargetError
from homeops_db.history import scripts
from homeops_db.localdb import server
from homeops_db.naming import SCHEMAS
from homeops_db.rehearsal import scratch
from homeops_db.rehearsal.acts import ROUND
from homeops_db.rehearsal.run import Rehearsal
from homeops_db.rehearsal.workload import WORKERS
from homeops_db.settings import Settings
from homeops_db.urls import parse
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy

FEW = 2000
OWN = "'ffffffff-0000-0000-0000-000000000000'"


def exists(settings: Settings, name: str) -> bool:
    with connect(server.ensure_running(settings).url) as connection:
        return bool(connection.execute("select from pg_database where datname = %s", (name,)).rowcount)


def test_no_request_fails_and_no_row_changes_from_the_first_version_to_the_last(
    rehearse: Callable[..., Rehearsal], settings: Settings, name: str
) -> None:
    # A switch that would stop its table for longer than lock_timeout is refused: a busy machine isn't the point.
    found = rehearse(20_000, settings=replace(settings, lock_timeout=timedelta(seconds=2)))
    for result in found.results:
        assert (result.error, result.failed, result.wrong) == (None, {}, []), result.version
        assert result.requests >= WORKERS * len(ROUND)
        assert result.rows > 20_000
        assert {one.table.partition(".")[0] for one in result.locks} <= set(SCHEMAS)
    assert [result.version for result in found.results] == [one.version for one in scripts.read()[1:]]
    assert found.is_good
    # The new type of the amount is met by statements that clients have prepared.
    (switched,) = [result for result in found.results if result.version == "v1.5.0"]
    assert sum(switched.retried.values()) > 0
    assert not exists(settings, name)


HARM = {
    "v1.1.0": """
        op.execute("alter table financial.transactions alter column description type varchar(100)")
        op.execute("select pg_sleep(1)")
        """,
    "v1.2.0": "update financial.transactions set amount = amount + 0.01 where external_id = 'TX-7'",
    "v1.3.0": "delete from core.notifications where details ->> 'number' = '7' and created_at < '2026-01-01'",
    "v1.4.0": f"update core.users set email = 'mallory@example.com' where email = 'worker1@example.com' and id > {OWN}",
    "v1.5.0": "insert into core.notifications (id, user_id, title)"
    " select 'ffffffff-1111-0000-0000-000000000000', id, 'ghost' from core.users limit 1",
    "v1.6.0": f"update financial.accounts set opening_balance = 0 where id > {OWN}",
    "v1.7.0": f"delete from media.playlists where id = (select id from media.playlists where id > {OWN} limit 1)",
    "v1.8.0": 'op.drop_column("notifications", "body", schema="core")',
    "v1.9.0": 'op.execute("select 1/0")',
    "v1.10.0": "pass",
}


def test_planted_harm_is_found_at_its_revision(planted: Toy, rehearse: Callable[..., Rehearsal]) -> None:
    for version, harm in HARM.items():
        is_code = "op." in harm or harm == "pass"
        planted.add(
            version, harm if is_code else f'op.execute("""set session_replication_role = replica; {harm}""")'
        )
    rehearsal = rehearse(FEW, folder=planted.folder)
    found = {result.version: result for result in rehearsal.results}

    result = found["v1.1.0"]  # it holds a lock, and a type is another one: slow, but nothing fails
    (held,) = [one for one in result.locks if one.table == "financial.transactions"]
    assert held.mode == "ACCESS EXCLUSIVE"
    assert held.ms > 500
    assert result.worst is not None
    assert result.worst.ms > 500
    assert sum(result.retried.values()) > 0
    assert result.is_good

    assert found["v1.2.0"].wrong == [
        "financial.transactions: among 260 generated rows there are some with other values"
    ]
    assert found["v1.3.0"].wrong == ["core.notifications: 119 generated rows instead of 120"]
    (said,) = found["v1.4.0"].wrong
    assert said.startswith("core.users: 1 row with other values than were written (ffffffff-")
    assert any(
        one.startswith(
            "core.notifications: 1 row that nobody has written, or that was deleted (ffffffff-1111-"
        )
        for one in found["v1.5.0"].wrong
    )
    assert any("balance: the account's balance: " in what for what in found["v1.6.0"].failed)
    assert any(one.startswith("media.playlists: 1 row lost (ffffffff-") for one in found["v1.7.0"].wrong)
    assert any('column "body" does not exist' in what for what in found["v1.8.0"].failed)
    assert 'core.notifications: column "body" does not exist' in found["v1.8.0"].wrong
    assert "v1.9.0 failed: division by zero" in (found["v1.9.0"].error or "")
    assert "v1.10.0" not in found
    assert [version for version, result in found.items() if result.is_good] == ["v1.1.0"]
    assert not rehearsal.is_good


def test_it_stops_at_a_version_and_keeps_its_database(
    planted: Toy, rehearse: Callable[..., Rehearsal], settings: Settings, name: str
) -> None:
    planted.add("v1.1.0", "pass")
    planted.add("v1.2.0", "pass")
    (result,) = rehearse(FEW, folder=planted.folder, to="v1.1.0", keep=True).results
    assert result.version == "v1.1.0"
    with connect(server.ensure_running(settings).url.set(database=name)) as connection:
        assert connection.execute("select count(*) from core.sessions").fetchone() == (20,)
    with scratch.made(settings, name, keep=False) as url, connect(url) as connection:
        assert connection.execute("select to_regclass('core.sessions')").fetchone() == (None,)
    assert not exists(settings, name)
    with pytest.raises(TargetError, match=r"v1\.1 is neither head nor a version on disk"):
        rehearse(FEW, folder=planted.folder, to="v1.1")


def test_a_database_of_others_is_refused(
    planted: Toy, rehearse: Callable[..., Rehearsal], settings: Settings, name: str
) -> None:
    with connect(server.ensure_running(settings).url) as connection:
        connection.execute(f"create database {name}")
        with pytest.raises(PolicyError, match=f"There is a database {name} that no rehearsal made"):
            rehearse(FEW, folder=planted.folder)
        assert exists(settings, name)
        connection.execute(f"drop database {name}")


def test_two_rehearsals_do_not_share_a_database(
    rehearse: Callable[..., Rehearsal], settings: Settings, name: str
) -> None:
    with (
        scratch.made(settings, name, keep=False),
        pytest.raises(PolicyError, match=f"Another rehearsal is at work in {name}"),
    ):
        rehearse(FEW)


def test_a_named_database_is_refused(rehearse: Callable[..., Rehearsal]) -> None:
    named = Settings(database_url=parse("postgresql://homeops@localhost/homeops"))
    with pytest.raises(PolicyError, match="HOMEOPS_DATABASE_URL is set"):
        rehearse(FEW, settings=named)
