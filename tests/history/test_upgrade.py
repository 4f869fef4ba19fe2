"""Upgrade, downgrade and stamp: what stands in the database, and what the ledger says of it."""

import pytest
from alembic import command
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.engine import URL

from homeops_db.errors import DatabaseError, PolicyError, RevisionFailedError, TargetError
from homeops_db.history import ledger
from homeops_db.history.ledger import Event, VersionRow
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy

SECOND = 'op.execute("create table public.t2 (id int)")'
NO_SECOND = 'op.execute("drop table public.t2")'


def rows(url: URL) -> dict[str, VersionRow]:
    with connect(url) as connection:
        return {row.version: row for row in ledger.versions(connection)}


def events(url: URL) -> list[tuple[str, str, str]]:
    with connect(url) as connection:
        found: list[Event] = ledger.events(connection, limit=100)
    return [(event.version, event.direction, event.event) for event in reversed(found)]


def current(url: URL) -> str | None:
    with connect(url) as connection:
        return ledger.current(connection)


def tables(url: URL) -> set[str]:
    with connect(url) as connection:
        found = connection.execute("select tablename from pg_tables where schemaname = 'public'")
        return {name for (name,) in found}


def test_an_upgrade_is_recorded_in_its_own_transaction(toy: Toy, any_url: URL) -> None:
    toy.add("v1.1.0", SECOND, NO_SECOND)
    command.upgrade(toy.config(any_url), "head")
    assert current(any_url) == "v1.1.0"
    assert tables(any_url) == {"t1", "t2"}
    row = rows(any_url)["v1.1.0"]
    assert (row.status, row.description, row.migration_file) == ("applied", "Toy v1.1.0", "002_v1.1.0_toy.py")
    assert row.rollback_file == row.migration_file
    assert row.applied_by == any_url.username
    assert row.execution_time_ms is not None
    assert len(row.checksum) == 64


def test_a_downgrade_keeps_its_row_and_says_rolled_back(toy: Toy, any_url: URL) -> None:
    command.upgrade(toy.config(any_url), "head")
    command.downgrade(toy.config(any_url), "base")
    assert (current(any_url), tables(any_url)) == (None, set())
    assert rows(any_url)["v1.0.0"].status == "rolled_back"


def test_a_version_applied_again_updates_its_row_and_adds_events(toy: Toy, any_url: URL) -> None:
    for _ in range(2):
        command.upgrade(toy.config(any_url), "head")
        first = rows(any_url)["v1.0.0"].applied_at
        command.downgrade(toy.config(any_url), "base")
    command.upgrade(toy.config(any_url), "head")
    assert len(rows(any_url)) == 1
    assert rows(any_url)["v1.0.0"].status == "applied"
    assert rows(any_url)["v1.0.0"].applied_at > first
    up = [("v1.0.0", "upgrade", "started"), ("v1.0.0", "upgrade", "finished")]
    down = [("v1.0.0", "downgrade", "started"), ("v1.0.0", "downgrade", "finished")]
    assert events(any_url) == up + down + up + down + up


def test_a_failed_revision_is_rolled_back_and_recorded(toy: Toy, any_url: URL) -> None:
    toy.add("v1.1.0", SECOND + '\nop.execute("select 1/0")')
    with pytest.raises(RevisionFailedError, match=r"v1\.1\.0 failed: division by zero \(SQLSTATE 22012\)"):
        command.upgrade(toy.config(any_url), "head")
    assert (current(any_url), tables(any_url)) == ("v1.0.0", {"t1"})
    assert rows(any_url)["v1.1.0"].status == "failed"
    assert events(any_url)[-1] == ("v1.1.0", "upgrade", "failed")


def test_a_failed_revision_is_mended_and_run_again(toy: Toy, any_url: URL) -> None:
    path = toy.add("v1.1.0", 'op.execute("select 1/0")')
    with pytest.raises(RevisionFailedError):
        command.upgrade(toy.config(any_url), "head")
    broken = rows(any_url)["v1.1.0"].checksum
    # Another length: within a second, Python tells its compiled file by that alone.
    path.write_text(path.read_text().replace("1/0", "10 / 10"))
    command.upgrade(toy.config(any_url), "head")
    assert rows(any_url)["v1.1.0"].status == "applied"
    assert rows(any_url)["v1.1.0"].checksum != broken


def test_a_failure_at_commit_is_recorded_too(toy: Toy, any_url: URL) -> None:
    toy.add(
        "v1.1.0",
        """
        op.execute("create table public.p (id int primary key)")
        op.execute("create table public.c (id int references public.p deferrable initially deferred)")
        op.execute("insert into public.c values (1)")
        """,
    )
    with pytest.raises(RevisionFailedError, match="23503"):
        command.upgrade(toy.config(any_url), "head")
    assert current(any_url) == "v1.0.0"
    assert rows(any_url)["v1.1.0"].status == "failed"


def test_a_failed_downgrade_leaves_the_version_applied(toy: Toy, any_url: URL) -> None:
    toy.add("v1.1.0", SECOND, 'op.execute("drop table public.nowhere")')
    command.upgrade(toy.config(any_url), "head")
    with pytest.raises(RevisionFailedError):
        command.downgrade(toy.config(any_url), "v1.0.0")
    assert current(any_url) == "v1.1.0"
    assert rows(any_url)["v1.1.0"].status == "applied"
    assert events(any_url)[-1] == ("v1.1.0", "downgrade", "failed")


def test_the_prefix_of_a_failed_autocommit_block_stays_and_the_version_does_not_move(
    toy: Toy, any_url: URL
) -> None:
    block = SECOND + '\nwith op.get_context().autocommit_block():\n    op.execute("select 1/0")'
    toy.add("v1.1.0", block)
    with pytest.raises(RevisionFailedError):
        command.upgrade(toy.config(any_url), "head")
    assert tables(any_url) == {"t1", "t2"}
    assert current(any_url) == "v1.0.0"
    assert rows(any_url)["v1.1.0"].status == "failed"


def test_events_are_append_only(toy: Toy, any_url: URL) -> None:
    command.upgrade(toy.config(any_url), "head")
    with connect(any_url) as connection:
        for statement in ("update {} set event = 'failed'", "delete from {}", "truncate {}"):
            with pytest.raises(InsufficientPrivilege, match="append-only"):
                connection.execute(statement.format("migrations.schema_events"))


def test_stamping_records_every_version_it_passes(toy: Toy, any_url: URL) -> None:
    toy.add("v1.1.0")
    toy.add("v1.2.0")
    command.stamp(toy.config(any_url), "head")
    assert {row.status for row in rows(any_url).values()} == {"applied"}
    assert events(any_url) == [(v, "upgrade", "stamped") for v in ("v1.0.0", "v1.1.0", "v1.2.0")]
    command.stamp(toy.config(any_url), "v1.0.0")
    assert [row.status for row in rows(any_url).values()] == ["applied", "rolled_back", "rolled_back"]
    assert events(any_url)[3:] == [(v, "downgrade", "stamped") for v in ("v1.2.0", "v1.1.0")]
    command.stamp(toy.config(any_url), "base")
    assert {row.status for row in rows(any_url).values()} == {"rolled_back"}


@pytest.mark.parametrize(("target", "standing"), [("base", set()), ("v1.0.0", {"v1.0.0"})])
def test_a_purge_leaves_the_ledger_true(toy: Toy, any_url: URL, target: str, standing: set[str]) -> None:
    toy.add("v1.1.0")
    command.upgrade(toy.config(any_url), "head")
    command.stamp(toy.config(any_url), target, purge=True)
    assert {v for v, row in rows(any_url).items() if row.status == "applied"} == standing


def test_an_older_checkout_does_not_touch_the_ledger(toy: Toy, any_url: URL) -> None:
    newest = toy.add("v1.1.0")
    command.upgrade(toy.config(any_url), "head")
    newest.unlink()
    for change in (command.upgrade, command.downgrade, command.stamp):
        with pytest.raises(TargetError, match=r"at v1\.1\.0.*this checkout is older"):
            change(toy.config(any_url), "v1.0.0")
    assert {row.status for row in rows(any_url).values()} == {"applied"}


def test_an_inexact_target_is_refused(toy: Toy, any_url: URL) -> None:
    toy.add("v1.1.10", SECOND)
    with pytest.raises(TargetError, match=r"no revision v1\.1\.1\."):
        command.upgrade(toy.config(any_url), "v1.1.1")
    with connect(any_url) as connection:
        assert not ledger.is_ready(connection)


@pytest.mark.parametrize("target", ["+1", "v1.0.0", "heads", "head-1"])
def test_alembics_own_ways_to_name_a_target_work(toy: Toy, any_url: URL, target: str) -> None:
    toy.add("v1.1.0")
    command.upgrade(toy.config(any_url), target)
    assert current(any_url) == ("v1.1.0" if target == "heads" else "v1.0.0")


def test_an_upgrade_that_would_do_nothing_because_it_lies_behind_is_refused(toy: Toy, any_url: URL) -> None:
    toy.add("v1.1.0")
    command.upgrade(toy.config(any_url), "head")
    with pytest.raises(TargetError, match=r"alembic downgrade v1\.0\.0"):
        command.upgrade(toy.config(any_url), "v1.0.0")
    command.upgrade(toy.config(any_url), "v1.1.0")


def test_production_refuses_a_downgrade_that_was_not_told_of_its_price(toy: Toy, any_url: URL) -> None:
    command.upgrade(toy.config(any_url), "head")
    config = toy.config(any_url, environment="production")
    with pytest.raises(PolicyError, match="accept-data-loss"):
        command.downgrade(config, "base")
    assert current(any_url) == "v1.0.0"
    config.attributes["accept_data_loss"] = True
    command.downgrade(config, "base")
    assert current(any_url) is None


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_comparing_models_is_refused_outside_development(toy: Toy, any_url: URL, environment: str) -> None:
    with pytest.raises(PolicyError, match="real DDL"):
        command.check(toy.config(any_url, environment=environment))


@pytest.mark.parametrize(
    "setting",
    [
        "datestyle = 'SQL, DMY'",
        "search_path = ''",
        "search_path = 'nowhere'",
        "client_encoding = 'SQL_ASCII'",
        "idle_in_transaction_session_timeout = '50ms'",
        "standard_conforming_strings = off",
        "timezone = 'Pacific/Auckland'",
        "default_transaction_isolation = 'repeatable read'",
    ],
)
def test_a_databases_own_settings_change_nothing(toy: Toy, any_url: URL, setting: str) -> None:
    toy.add("v1.1.0", SECOND + ("\ntime.sleep(0.2)" if "idle" in setting else ""))
    with connect(any_url) as connection:
        connection.execute(f"alter database {any_url.database} set {setting}")
    command.upgrade(toy.config(any_url), "head")
    with connect(any_url) as connection:
        connection.execute(f"alter database {any_url.database} reset all")
    assert tables(any_url) == {"t1", "t2"}
    assert rows(any_url)["v1.1.0"].status == "applied"


@pytest.mark.parametrize(
    ("code", "error", "reason"),
    [
        ("raise SystemExit(0)", RevisionFailedError, "SystemExit"),
        ("raise KeyboardInterrupt('by hand')", KeyboardInterrupt, "by hand"),
        ("raise ValueError('x')", RevisionFailedError, "ValueError: x"),
        ("op.get_bind().commit()\nop.execute('select 1')", PolicyError, "must not commit"),
    ],
)
def test_whatever_ends_a_revision_is_recorded(
    toy: Toy, any_url: URL, code: str, error: type[BaseException], reason: str
) -> None:
    toy.add("v1.1.0", code)
    with pytest.raises(error, match=reason):
        command.upgrade(toy.config(any_url), "head")
    assert current(any_url) == "v1.0.0"
    assert rows(any_url)["v1.1.0"].status == "failed"
    assert events(any_url)[-1] == ("v1.1.0", "upgrade", "failed")


def test_several_places_on_one_line_are_refused(toy: Toy, any_url: URL) -> None:
    toy.add("v1.1.0")
    with pytest.raises(TargetError, match="several places"):
        command.stamp(toy.config(any_url), ["v1.1.0", "v1.0.0"])
    command.upgrade(toy.config(any_url), "v1.0.0")
    with connect(any_url) as connection:
        connection.execute("insert into migrations.alembic_version values ('v1.1.0')")
        with pytest.raises(DatabaseError, match=r"names v1\.0\.0, v1\.1\.0"):
            ledger.current(connection)


def test_sql_mode_runs_in_psql_to_the_same_end(
    toy: Toy, any_url: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.add("v1.1.0", SECOND, NO_SECOND)
    command.upgrade(toy.config(any_url), "head", sql=True)
    with connect(any_url) as connection:
        connection.execute(capsys.readouterr().out.encode())
    assert current(any_url) == "v1.1.0"
    assert tables(any_url) == {"t1", "t2"}
    assert [row.status for row in rows(any_url).values()] == ["applied", "applied"]
    assert rows(any_url)["v1.1.0"].execution_time_ms is not None
    command.downgrade(toy.config(any_url), "v1.1.0:v1.0.0", sql=True)
    with connect(any_url) as connection:
        connection.execute(capsys.readouterr().out.encode())
    assert (current(any_url), tables(any_url)) == ("v1.0.0", {"t1"})
    assert rows(any_url)["v1.1.0"].status == "rolled_back"
