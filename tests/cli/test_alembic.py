"""The `alembic` command as its users type it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from homeops_db.history import scripts
from homeops_db.settings import PROJECT_ROOT
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def revisions(checkout: Checkout) -> list[Path]:
    return sorted((checkout.root / "alembic" / "versions").glob("*.py"))


@pytest.mark.parametrize(
    ("words", "name", "change"),
    [
        (["revision", "-m", "add trading alerts", "-x", "bump=minor"], "v1.1.0_add_trading_alerts", "minor"),
        (["-x", "bump=patch", "revision", "-m", "Mend it"], "v1.0.1_mend_it", "patch"),
        (["revision", "-m", "add more"], "v1.1.0_add_more", "minor"),
        (["revision", "-m", "x", "-x", "version=v2.0.0"], "v2.0.0_x", "major"),
        (["revision", "-m", "x", "--rev-id", "v1.0.7"], "v1.0.7_x", "patch"),
    ],
)
def test_revision_fills_sequence_version_and_change_without_a_server(
    checkout: Checkout, words: list[str], name: str, change: str
) -> None:
    before = revisions(checkout)
    checkout.run("alembic", *words, HOMEOPS_DATABASE_URL=NOWHERE)
    (path,) = set(revisions(checkout)) - set(before)
    assert path.stem == f"{len(before) + 1:03d}_{name}"
    found = scripts.read(path.parent)
    assert (found[-1].change, found[-1].down) == (change, found[-2].version)
    assert scripts.broken_laws(found) == []
    ruff = [sys.executable, "-m", "ruff"]
    for check in (["check"], ["format", "--check"]):
        subprocess.run(
            [*ruff, *check, "--stdin-filename", f"alembic/versions/{path.name}", "-"],
            input=path.read_text(), text=True, cwd=PROJECT_ROOT, check=True, capture_output=True,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-x", "version=v1.0.0"], "is taken"),
        (["-x", "version=v0.9.0"], "not larger"),
        (["-x", "version=latest"], "is no version"),
        (["-x", "version=v1.1.0-rc1"], "is no version"),
        (["-x", "bump=huge"], "is no bump"),
    ],
)
def test_a_bad_version_is_refused_before_a_file_is_written(
    checkout: Checkout, words: list[str], reason: str
) -> None:
    before = revisions(checkout)
    ended = checkout.run("alembic", "revision", "-m", "x", *words, check=False)
    assert ended.returncode == 2
    assert reason in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert revisions(checkout) == before


ODD_MESSAGES = ('a """quoted""" thing', "C:\\temp 100 % ${x} <%y%>", "zwei\nZeilen " + "ü" * 300)


def test_any_message_makes_a_revision_that_can_be_read(checkout: Checkout) -> None:
    for message in ODD_MESSAGES:
        checkout.run("alembic", "revision", "-m", message, HOMEOPS_DATABASE_URL=NOWHERE)
    found = scripts.read(checkout.root / "alembic" / "versions")
    assert scripts.broken_laws(found) == []
    for revision in found[-len(ODD_MESSAGES) :]:
        compile(revision.path.read_text(), "revision", "exec")


@pytest.mark.parametrize(
    "words",
    [["-m", "!!!"], ["-m", "x", "--splice", "--head", "base"], ["-m", "x", "--branch-label", "b"], []],
)
def test_what_would_break_the_line_is_refused(checkout: Checkout, words: list[str]) -> None:
    before = revisions(checkout)
    ended = checkout.run("alembic", "revision", *words, check=False, HOMEOPS_DATABASE_URL=NOWHERE)
    assert (ended.returncode, revisions(checkout)) == (2, before)
    assert "Nothing was written" in ended.stderr.splitlines()[-1]


def test_autogenerate_writes_what_the_models_have_more(whole_checkout: Checkout, head_url: URL) -> None:
    checkout = whole_checkout
    model = checkout.root / "homeops_db" / "models" / "media.py"
    model.write_text(
        model.read_text()
        + "\n\nclass Shelf(Base):\n"
        + '    __tablename__ = "shelves"\n    __table_args__ = {"schema": "media"}\n'
        + "    name: Mapped[str] = mapped_column(primary_key=True)\n"
    )
    checkout.run(
        "alembic", "revision", "--autogenerate", "-m", "add shelves", HOMEOPS_DATABASE_URL=libpq(head_url)
    )
    written = revisions(checkout)[-1].read_text()
    assert '"shelves"' in written or "'shelves'" in written
    assert re.findall(r"op\.(\w+)_table\(", written) == ["create", "drop"], (
        "one table up, one down, and nothing else"
    )


def test_current_history_and_check(whole_checkout: Checkout, head_url: URL) -> None:
    checkout, url = whole_checkout, libpq(head_url)
    head = scripts.read()[-1].version
    assert checkout.run("alembic", "current", HOMEOPS_DATABASE_URL=url).stdout == f"{head} (head)\n"
    assert f"{head} (head)" in checkout.run("alembic", "history").stdout
    assert "(current)" in checkout.run("alembic", "history", "-i", HOMEOPS_DATABASE_URL=url).stdout
    assert "No new upgrade operations" in checkout.run("alembic", "check", HOMEOPS_DATABASE_URL=url).stdout


def test_reading_an_empty_database_changes_nothing(checkout: Checkout, empty_url: URL) -> None:
    url = libpq(empty_url)
    assert checkout.run("alembic", "current", HOMEOPS_DATABASE_URL=url).stdout == ""
    ended = checkout.run("alembic", "check", HOMEOPS_DATABASE_URL=url, check=False)
    assert "not up to date" in ended.stdout + ended.stderr
    assert checkout.run("homeops-db", "status", HOMEOPS_DATABASE_URL=url, check=False).returncode == 1
    with connect(empty_url) as connection:
        assert connection.execute("select to_regnamespace('migrations')").fetchone() == (None,)


def test_sql_mode_prints_sql_and_nothing_else_and_needs_no_server(checkout: Checkout) -> None:
    ended = checkout.run("alembic", "upgrade", "head", "--sql", HOMEOPS_DATABASE_URL=NOWHERE)
    assert ended.stdout.startswith("SET ")
    assert "CREATE SCHEMA IF NOT EXISTS migrations" in ended.stdout
    assert ended.stdout.rstrip().endswith("COMMIT;")


def test_it_says_which_way_it_goes(checkout: Checkout, database_url: URL) -> None:
    url = libpq(database_url)
    down = checkout.run("alembic", "downgrade", "base", HOMEOPS_DATABASE_URL=url).stderr
    assert "Running downgrade v1.0.0 -> , Initial schema" in down
    up = checkout.run("alembic", "upgrade", "head", HOMEOPS_DATABASE_URL=url).stderr
    assert "Running upgrade  -> v1.0.0, Initial schema" in up


def test_raiseerr_shows_the_whole_error(checkout: Checkout) -> None:
    ended = checkout.run("alembic", "--raiseerr", "upgrade", "v9.9.9", "--sql", check=False)
    assert "Traceback" in ended.stderr
    assert "TargetError" in ended.stderr
