"""`homeops-db deploy` and `rollback`: what a failure at each step leaves behind."""

import hashlib
import json
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from homeops_db.backup import dump
from homeops_db.deploy import run
from homeops_db.errors import BackupError
from homeops_db.history import ledger, lock
from homeops_db.localdb import machine, server
from homeops_db.settings import Settings, load
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout
from tests.fixtures.waiting import until


def deploy(checkout: Checkout, url: URL, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return checkout.run(
        "homeops-db", "deploy", "--env", "production", *words, check=False, HOMEOPS_DATABASE_URL=libpq(url), **environment
    )  # fmt: skip


def backups(checkout: Checkout) -> list[Path]:
    return sorted((checkout.root / "backups").iterdir())


def current(url: URL) -> str | None:
    with connect(url) as connection:
        return ledger.current(connection)


@pytest.fixture(scope="module")
def bin_folder() -> Path:
    return server.ensure_running(load()).bin


def test_a_deploy_backs_up_applies_and_validates(checkout: Checkout, empty_url: URL) -> None:
    ended = deploy(checkout, empty_url, "--json")
    assert ended.returncode == 0, ended.stderr
    steps = [step["name"] for step in json.loads(ended.stdout)["steps"]]
    assert steps[0] == "backup"
    assert steps[1] == "apply v1.0.0"
    assert steps[-1] == "validate"
    assert current(empty_url) is not None
    with connect(empty_url) as connection:
        assert lock.holder(connection) is None


def test_a_backup_is_listed_summed_up_and_private(
    checkout: Checkout, database_url: URL, bin_folder: Path
) -> None:
    assert deploy(checkout, database_url).returncode == 0
    (backup,) = backups(checkout)
    text = (backup / "manifest.json").read_text()
    assert (backup / "manifest.json.sha256").read_text().startswith(hashlib.sha256(text.encode()).hexdigest())
    manifest = dump.verify(backup, bin_folder=bin_folder)
    assert (manifest.database, manifest.version) == (database_url.database, "v1.0.0")
    assert manifest.entries > 100
    assert "toc.dat" in manifest.files
    modes = {stat.S_IMODE(path.stat().st_mode) for path in backup.rglob("*") if path.is_file()}
    assert modes == {0o600}


def contents(url: URL) -> dict[str, str]:
    """Sum up every row of our tables, and of the ledger."""
    with connect(url) as connection:
        names = connection.execute(
            "select format('%I.%I', table_schema, table_name) from information_schema.tables"
            " where table_schema in ('core', 'financial', 'media', 'smart_home', 'migrations') and table_type = 'BASE TABLE'"
        ).fetchall()
        sums = {
            name: connection.execute(
                f"select md5(string_agg(t::text, '|' order by t::text)) from {name} t"
            ).fetchone()[0]
            for (name,) in names
        }
    del sums["migrations.migration_locks"]  # the deploy held the lock while it took the backup
    return sums


def test_a_backup_restores_every_row(
    checkout: Checkout, database_url: URL, second_url: URL, bin_folder: Path
) -> None:
    checkout.run("homeops-db", "seed", HOMEOPS_DATABASE_URL=libpq(database_url))
    checkout.run("homeops-db", "deploy", "--env", "development", HOMEOPS_DATABASE_URL=libpq(database_url))
    with connect(second_url) as connection:
        connection.execute("create extension timescaledb")
        connection.execute("select timescaledb_pre_restore()")
    restore = [bin_folder / "pg_restore", "-d", libpq(second_url), backups(checkout)[0] / "data"]
    ended = subprocess.run(restore, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with connect(second_url) as connection:
        connection.execute("select timescaledb_post_restore()")
    assert contents(second_url) == contents(database_url)


@pytest.mark.parametrize("victim", ["manifest.json", "data/toc.dat"])
def test_a_changed_backup_is_not_believed(
    checkout: Checkout, database_url: URL, bin_folder: Path, victim: str
) -> None:
    deploy(checkout, database_url)
    (backup,) = backups(checkout)
    with (backup / victim).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(BackupError, match="Use another backup"):
        dump.verify(backup, bin_folder=bin_folder)


def test_a_revision_that_fails_in_the_middle_leaves_backup_ledger_and_exit_code_true(
    checkout: Checkout, add_revision: Callable[..., Path], database_url: URL
) -> None:
    add_revision("v7.0.0", 'op.execute("create table public.kept (id int)")', change="major")
    broken = add_revision(
        "v7.1.0", 'op.execute("create table public.lost (id int)")\nop.execute("select 1/0")', change="minor"
    )
    ended = deploy(checkout, database_url)
    assert ended.returncode == 4
    assert "v7.1.0 failed: division by zero" in ended.stderr.splitlines()[-1]
    assert current(database_url) == "v7.0.0"
    with connect(database_url) as connection:
        assert {row.version: row.status for row in ledger.versions(connection)}["v7.1.0"] == "failed"
        assert connection.execute(
            "select to_regclass('public.kept') is null, to_regclass('public.lost') is null"
        ).fetchone() == (False, True)
        assert lock.holder(connection) is None
    assert len(backups(checkout)) == 1
    broken.write_text(broken.read_text().replace("1/0", "10 / 10"))
    again = deploy(checkout, database_url)
    assert again.returncode == 0, again.stderr
    assert current(database_url) == "v7.1.0"
    assert len(backups(checkout)) == 2


def test_without_a_backup_nothing_is_changed(checkout: Checkout, empty_url: URL) -> None:
    (checkout.root / "backups").write_text("a file where the folder should be")
    ended = deploy(checkout, empty_url)
    assert ended.returncode == 6
    assert "Nothing was changed" in ended.stderr.splitlines()[-1]
    assert current(empty_url) is None


WAITING_DUMP = """
    select count(*) > 0 from pg_stat_activity
    where datname = current_database() and application_name like 'homeops-db migrate %' and wait_event_type = 'Lock'
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_deploy_that_was_ended_in_its_backup_leaves_nothing_at_work(
    checkout: Checkout, database_url: URL, stop: signal.Signals
) -> None:
    where = {"HOMEOPS_DATABASE_URL": libpq(database_url)}
    with connect(database_url) as other, connect(database_url) as watcher:
        with other.transaction():
            other.execute("lock table core.users")
            started = checkout.start("homeops-db", "deploy", "--env", "production", **where)
            until(lambda: watcher.execute(WAITING_DUMP).fetchone() == (True,))
            started.send_signal(stop)
            started.communicate(timeout=20)
            if stop == signal.SIGKILL:
                assert [path.suffix for path in backups(checkout)] == [".partial"]
                checkout.run("alembic", "upgrade", "head", **where)  # the next holder of the lock
            assert watcher.execute(WAITING_DUMP).fetchone() == (False,)
        assert deploy(checkout, database_url).returncode == 0
    assert [path.suffix == ".partial" for path in backups(checkout)] == [False]


def test_a_second_deploy_is_told_who_holds_the_lock(checkout: Checkout, database_url: URL) -> None:
    with lock.held(database_url, Settings(), reason="the first deploy"):
        ended = deploy(checkout, database_url, HOMEOPS_MIGRATION_LOCK_WAIT="100ms")
    assert ended.returncode == 7
    assert "the first deploy" in ended.stderr


def test_validation_finds_an_invalid_index(checkout: Checkout, database_url: URL) -> None:
    with connect(database_url) as connection:
        connection.execute(
            "insert into smart_home.rooms (name, type, floor) values ('a', 'other', 1), ('b', 'other', 1)"
        )
        with pytest.raises(Exception, match="could not create unique index"):
            connection.execute("create unique index concurrently broken on smart_home.rooms (floor)")
    ended = deploy(checkout, database_url)
    assert ended.returncode == 4
    assert "smart_home.broken on smart_home.rooms is INVALID" in ended.stderr


def test_deploy_to_an_exact_version_only(
    checkout: Checkout, add_revision: Callable[..., Path], database_url: URL
) -> None:
    add_revision("v7.0.0", change="major")
    add_revision("v7.1.0", change="minor")
    assert deploy(checkout, database_url, "--to", "v7").returncode == 2
    assert deploy(checkout, database_url, "--to", "v7.0.0").returncode == 0
    assert current(database_url) == "v7.0.0"


def test_only_an_exact_version_or_head_is_deployed(checkout: Checkout, database_url: URL) -> None:
    for to in ("heads", "+1", "head-1", "base", "v1", "v7.0"):
        ended = deploy(checkout, database_url, "--to", to)
        assert (ended.returncode, f"{to} is neither head nor a version" in ended.stderr) == (2, True)


def test_a_version_that_lies_behind_is_not_deployed(
    checkout: Checkout, add_revision: Callable[..., Path], database_url: URL
) -> None:
    add_revision("v7.0.0", change="major")
    deploy(checkout, database_url)
    ended = deploy(checkout, database_url, "--to", "v1.0.0")
    assert ended.returncode == 2
    assert "lies the other way" in ended.stderr.splitlines()[-1]
    assert len(backups(checkout)) == 1


def test_a_database_that_runs_as_another_environment_is_refused(
    checkout: Checkout, database_url: URL
) -> None:
    with connect(database_url) as connection:
        connection.execute(
            "insert into core.system_config (key, value, category) values ('system.environment', '\"development\"', 'core')"
        )
    ended = deploy(checkout, database_url)
    assert ended.returncode == 2
    assert "runs as development" in ended.stderr.splitlines()[-1]
    assert not (checkout.root / "backups").exists()


def test_drift_is_found_before_anything_is_changed(
    checkout: Checkout, add_revision: Callable[..., Path], database_url: URL
) -> None:
    path = next((checkout.root / "alembic" / "versions").glob("001_*.py"))
    path.write_text(path.read_text().replace("financial", "finances"))
    add_revision("v7.0.0", change="major")
    ended = deploy(checkout, database_url)
    assert ended.returncode == 5
    assert "edited after it was applied" in ended.stderr.splitlines()[-1]
    assert current(database_url) == "v1.0.0"
    assert not (checkout.root / "backups").exists()


def test_a_failed_deploy_says_where_the_backup_is_in_json_too(
    checkout: Checkout, add_revision: Callable[..., Path], database_url: URL
) -> None:
    add_revision("v7.0.0", 'op.execute("select 1/0")', change="major")
    plain = deploy(checkout, database_url)
    assert f"backup: {backups(checkout)[0]}" in plain.stderr
    found = json.loads(deploy(checkout, database_url, "--json").stdout)
    assert "division by zero" in found["error"]
    assert Path(found["steps"][0]["result"]).is_dir()


def test_without_pg_dump_there_is_no_deploy(
    database_url: URL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "PATTERNS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Settings(environment="production", cache_folder=tmp_path)
    with pytest.raises(BackupError, match="no pg_dump for this server"):
        run.deploy(run.Deploy(settings, database_url, [], print))
