"""`homeops-db backfill`: what it shows and does to the state that a run reads; the run itself isn't needed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL
from typer.main import get_command
from typer.testing import CliRunner

from homeops_db import online
from homeops_db.cli import backfill
from homeops_db.cli.main import app
from homeops_db.errors import PolicyError, ViolationError
from homeops_db.history import backfills
from homeops_db.locking import amounts
from homeops_db.locking.pace import Pace, read
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout
from tests.online.conftest import revision

TABLE = "financial.transactions"
ORDERS = ("pause", "resume", "retune", "cancel")
NEEDED = {"retune": ["--target", "5ms"], "cancel": ["--yes"]}


@pytest.fixture
def db(database_url: URL) -> Iterator[Connection]:
    with connect(database_url) as connection:
        yield connection


class Commands:
    """`homeops-db …` on one database."""

    def __init__(self, checkout: Checkout, url: URL) -> None:
        self.checkout, self.url = checkout, libpq(url)

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.checkout.run("homeops-db", *words, check=False, HOMEOPS_DATABASE_URL=self.url)

    def text(self, *words: str) -> str:
        ended = self(*words)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    def json(self, *words: str) -> dict[str, Any]:
        found = json.loads(self.text(*words, "--json"))
        assert isinstance(found, dict)
        return found

    def refused(self, code: int, *words: str) -> str:
        """The one line that a refusal has."""
        ended = self(*words)
        assert (ended.returncode, ended.stdout) == (code, "")
        (line,) = ended.stderr.splitlines()
        return line

    def refused_in_json(self, code: int, *words: str) -> str:
        """The same in the one document that there is then."""
        ended = self(*words, "--json")
        assert (ended.returncode, ended.stderr) == (code, "")
        found = json.loads(ended.stdout)
        assert found.keys() == {"error"}
        return str(found["error"])


@pytest.fixture
def homeops(checkout: Checkout, database_url: URL) -> Commands:
    return Commands(checkout, database_url)


def begin(connection: Connection, relation: str = TABLE, state: str = "running", **beat: Any) -> int:
    """Write a backfill down as its run does: 43 % of about three million rows."""
    pace = {"target": 10.0, "max_queue": 5}
    fingerprint = f"{hash((relation, state)) & (2**63 - 1):064x}"[::-1]
    number = backfills.begin(
        connection, operation="backfill", relation=relation, version="v1.1.0", fingerprint=fingerprint,
        definition={"values": {"amount_decimal": "amount::numeric(15,2)"}, "where": None}, pace=pace,
        workers=2, client="ann@laptop pid 7",
    )  # fmt: skip
    epoch = backfills.take_over(connection, number, client="ann@laptop pid 7", pace=pace, workers=2)
    connection.execute(
        "insert into migrations.backfill_ranges (backfill_id, relation, axis, epoch, rows_done, share_done)"
        """ values (%s, %s, '{"columns": ["ctid"]}', %s, 1200345, 0.437)""",
        (number, relation, epoch),
    )
    given = {
        "phase": "filling", "waiting_for": None, "plan": f"{TABLE}: striped ctid, S=8, because nothing else",
        "estimated_rows": 3_000_000, "rows_per_second": 152_000.0, "seconds_left_low": 12.0,
        "seconds_left_high": 15.0,
    }  # fmt: skip
    backfills.beat(connection, number, epoch, **given | beat)
    if state in {"failed", "done"}:
        backfills.end(connection, number, epoch, state, "row 7 can't be done" if state == "failed" else None)
    else:
        connection.execute("update migrations.backfills set state = %s where id = %s", (state, number))
    return number


def hold(connection: Connection, number: int) -> None:
    """Be at work on it."""
    found = backfills.existing(connection, number)
    connection.execute("select pg_advisory_lock(%s)", (backfills.lock_key(found.fingerprint),))


def stored(connection: Connection, number: int) -> backfills.Backfill:
    return backfills.existing(connection, number)


# Seen -------------------------------------------------------------------------------------------------


def test_every_state_is_seen(homeops: Commands, db: Connection) -> None:
    hold(db, begin(db, "core.a"))
    hold(db, begin(db, "core.b", waiting_for="a standby is 312 MB behind"))
    for state in ("paused", "failed", "cancelled", "replaced", "done"):
        begin(db, f"core.{state}", state)
    begin(db, "core.interrupted")
    found = {each["table"]: each for each in homeops.json("backfill", "list")["backfills"]}
    states = {table: each["state"] for table, each in found.items()}
    assert states == {
        "core.a": "running", "core.b": "waiting",
        **{f"core.{state}": state for state in ("paused", "failed", "cancelled", "replaced", "done", "interrupted")},
    }  # fmt: skip
    assert {table for table, each in found.items() if each["seconds_left"]} == {"core.a"}
    assert {table for table, each in found.items() if each["at_work"]} == {"core.a", "core.b"}
    lines = {
        line.split()[1]: line.split()
        for line in homeops.text("backfill", "list").splitlines()
        if "core." in line
    }
    assert " ".join(lines["core.a"][2:]) == "running 43 % 1,200,345 of ~3M 152,000 12 to 15 s v1.1.0"
    assert " ".join(lines["core.b"]).startswith("2 core.b waiting: a standby is 312 MB behind 43 %")
    assert " ".join(lines["core.done"][2:]) == "done 100 % 1,200,345 v1.1.0"
    assert " ".join(lines["core.interrupted"][2:]) == "interrupted 43 % 1,200,345 of ~3M v1.1.0"


def test_the_newest_first(homeops: Commands, db: Connection) -> None:
    numbers = [begin(db, f"core.t{place}") for place in range(3)]
    found = homeops.json("backfill", "list", "--limit", "2")["backfills"]
    assert [each["id"] for each in found] == numbers[:0:-1]


def test_everything_of_one(homeops: Commands, db: Connection) -> None:
    number = begin(db)
    hold(db, number)
    homeops.text("backfill", "retune", str(number), "--max-errors", "3")
    db.execute(
        "insert into migrations.backfill_errors (backfill_id, relation, key, sqlstate, message, was_skipped)"
        """ values (%s, %s, '{"id": "7", "at": "x"}', '22012', 'division by [zero]', true)""",
        (number, TABLE),
    )
    lines = [" ".join(line.split()) for line in homeops.text("backfill", "show", str(number)).splitlines()]
    for line in (
        f"Backfill {number} of {TABLE}",
        "state running",
        "values amount_decimal = amount::numeric(15,2)",
        "done 43 %, 1,200,345 of ~3M rows, 0 of 1 ranges",
        "left 12 to 15 s",
        f"plan {TABLE}: striped ctid, S=8, because nothing else",
        "workers 2",
        f"run by ann@laptop pid 7, role {db.info.user}, server process {db.info.backend_pid}",
        "target 10 ms 20 ms (by its revision)",
        "max-errors 3 0 (retuned)",
        "max-queue 5",
        "max-wal-rate off",
        f"{TABLE} ctid 0 of 1 43 % 1,200,345",
        f"{TABLE} at = x, id = 7 22012 division by [zero] passed over",
    ):
        assert line in lines, lines
    assert any(line.startswith("heartbeat") and line.endswith("s ago") for line in lines)
    found = homeops.json("backfill", "show", str(number))
    assert (found["state"], found["share"], found["seconds_left"]) == ("running", 0.437, [12.0, 15.0])
    assert found["pace"] == Pace().as_json() | {"target": 10.0, "max_errors": 3}
    assert found["retuned"] == {"max_errors": 3}
    assert found["every_range"][0]["relation"] == TABLE
    assert found["every_error"][0]["key"] == {"id": "7", "at": "x"}


def test_a_thousand_chunks_do_not_fill_the_screen(homeops: Commands, db: Connection) -> None:
    number = begin(db, plan="\n".join(f"chunk_{place}: plain" for place in range(1000)))
    db.execute(
        "insert into migrations.backfill_ranges (backfill_id, relation, axis, epoch)"
        " select %s, 'chunk_' || g, '{}', 1 from generate_series(1, 100) g",
        (number,),
    )
    text = homeops.text("backfill", "show", str(number))
    assert "chunk_19: plain" in text
    assert "chunk_20: plain" not in text
    assert "… and 980 more" in text
    assert len(text.splitlines()) < 100
    assert len(homeops.json("backfill", "show", str(number))["every_range"]) == 101


def test_what_to_do_next_is_said(homeops: Commands, db: Connection) -> None:
    for state, words in {
        "paused": "homeops-db backfill resume",
        "running": "its run died",
        "failed": "row 7 can't be done",
    }.items():
        text = homeops.text("backfill", "show", str(begin(db, f"core.{state}", state)))
        assert words in text
        assert "nobody now; last ann@laptop" in text


def test_without_the_tables_there_are_none(
    checkout: Checkout, empty_url: URL, homeops: Commands, db: Connection
) -> None:
    db.execute(
        "drop table migrations.backfill_errors, migrations.backfill_ranges, migrations.backfills;"
        "comment on schema migrations is 'HomeOps ledger, format 2'"
    )
    for commands in (Commands(checkout, empty_url), homeops):
        assert commands.text("backfill", "list") == "No backfills.\n"
        assert commands.json("backfill", "list") == {"backfills": []}
        assert "There is no backfill 1. Nothing was changed." in commands.refused(4, "backfill", "show", "1")
        status = commands("status", "--json")
        assert json.loads(status.stdout)["backfills"] == []


# Steered ----------------------------------------------------------------------------------------------


def test_pause_and_resume(homeops: Commands, db: Connection) -> None:
    number = begin(db)
    hold(db, number)
    said = homeops.text("backfill", "pause", str(number))
    assert said == (
        f"Backfill {number} of {TABLE} waits after the batch in hand. "
        f"Let it go on: homeops-db backfill resume {number}\n"
    )
    assert stored(db, number).state == "paused"
    assert homeops.text("backfill", "resume", str(number)) == f"Backfill {number} of {TABLE} goes on.\n"
    assert stored(db, number).state == "running"
    assert homeops.json("backfill", "pause", str(number))["state"] == "paused"


def test_nobody_at_work_is_said(homeops: Commands, db: Connection) -> None:
    number = str(begin(db))
    assert "is paused, and nobody is at work on it" in homeops.text("backfill", "pause", number)
    assert "Run its revision again: alembic upgrade v1.1.0." in homeops.text("backfill", "resume", number)
    assert "its next run will see that" in homeops.text("backfill", "retune", number, "--target", "5ms")
    assert "is cancelled. What it did stays." in homeops.text("backfill", "cancel", number, "--yes")


def test_retune(homeops: Commands, db: Connection) -> None:
    number = begin(db)
    hold(db, number)
    said = homeops.text(
        "backfill", "retune", str(number), "--target", "5 ms", "--max-replication-bytes", "64MB",
        "--max-active-p95", "0", "--max-dead-share", "0.25", "--max-batch-rows", "5000",
    )  # fmt: skip
    assert said == (
        f"Backfill {number} of {TABLE} has target 5 ms, max-batch-rows 5000, max-replication-bytes 64 MB, "
        "max-active-p95 off, max-dead-share 0.25.\n"
    )
    assert stored(db, number).retuned == {
        "target": 5.0, "max_replication_bytes": 64 << 20, "max_active_p95": 0.0, "max_dead_share": 0.25,
        "max_batch_rows": 5000,
    }  # fmt: skip


NONSENSE = {
    "--target soon": "target is 'soon'",
    "--target 0": "target is '0'",
    "--target 10": "a text with its unit",
    "--max-queue -1": "max_queue is '-1'",
    "--max-queue 5MB": "max_queue is '5MB'",
    "--batch-rows 0": "1 or more",
    "--max-dead-share nan": "max_dead_share is 'nan'",
    "--max-replication-bytes 64XB": "a size like '64MB'",
    "--max-batch-rows 50": "min_batch_rows is 100 and max_batch_rows is 50",
    "--max-errors 1 --target none": "target is 'none'",
    "": "No limit is named",
}


def test_nonsense_changes_nothing(homeops: Commands, db: Connection) -> None:
    number = begin(db)
    for words, reason in NONSENSE.items():
        line = homeops.refused(4, "backfill", "retune", str(number), *words.split())
        assert reason in line
        assert "Nothing was changed." in line
    assert homeops.refused_in_json(4, "backfill", "retune", str(number)) == line
    assert stored(db, number).retuned == {}


def test_every_limit_can_be_retuned() -> None:
    command = get_command(backfill.app).commands["retune"]  # type: ignore[attr-defined]
    options = {option.name: option for option in command.params}
    assert options.keys() == {"backfill_id", "as_json", *(field.name for field in fields(Pace))}
    for field in fields(Pace):
        name, default = field.name, getattr(Pace(), field.name)
        option = options[name]
        assert option.opts == ["--" + name.replace("_", "-")]
        meaning, _, usual = option.help.rpartition(" By default ")
        assert len(meaning) > 15, f"{name} isn't described in Pace"
        assert not any(f"{other.name}:" in meaning for other in fields(Pace)), f"{name} has other words too"
        # What is shown can be typed.
        assert read(name, "0" if usual == "off." else usual.removesuffix(".")) == default
        assert amounts.limit(name, default) + "." == usual


@pytest.mark.parametrize("state", ["done", "cancelled"])
def test_what_has_ended_is_left_alone(homeops: Commands, db: Connection, state: str) -> None:
    number = begin(db, state=state)
    for order in ORDERS:
        line = homeops.refused(4, "backfill", order, str(number), *NEEDED.get(order, []))
        assert f"Backfill {number} of {TABLE} is {state}, and can't be" in line
        assert f"homeops-db backfill show {number}" in line
    assert homeops.refused_in_json(4, "backfill", order, str(number), *NEEDED[order]) == line
    assert (stored(db, number).state, stored(db, number).retuned) == (state, {})


def test_one_that_is_not_there(homeops: Commands) -> None:
    for order in ("show", "pause", "resume", "cancel"):
        line = homeops.refused(4, "backfill", order, "9" * 20, *NEEDED.get(order, []))
        assert f"There is no backfill {'9' * 20}." in line


def test_cancel_asks(database_url: URL, db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEOPS_DATABASE_URL", libpq(database_url))
    number = begin(db)
    words = ["backfill", "cancel", str(number), "--json"]
    ended = CliRunner().invoke(app, words[:-1], input="y\n")
    assert isinstance(ended.exception, PolicyError)
    assert "Add --yes" in str(ended.exception)
    monkeypatch.setattr(backfill, "_is_terminal", lambda: True)
    refused = CliRunner().invoke(app, words, input="n\n")
    assert refused.exit_code == 1
    assert "{" not in refused.stdout  # the runner shows there what was typed
    assert f"Cancel backfill {number} of {TABLE}? What it did stays" in refused.stderr
    assert stored(db, number).state == "running"
    ended = CliRunner().invoke(app, words, input="y\n")
    assert json.loads("{" + ended.stdout.partition("{")[2])["state"] == "cancelled"
    assert stored(db, number).state == "cancelled"


# A real one -------------------------------------------------------------------------------------------


def test_what_the_engine_stores_can_be_shown(homeops: Commands, database_url: URL, db: Connection) -> None:
    db.execute(
        "create table public.t (id bigint primary key, a text, b int);"
        "insert into public.t select g, case g when 7 then 'seven' else g::text end, null from generate_series(1, 500) g"
    )

    def fill() -> None:
        # What the first run rolls back are dead rows; the second one would wait for an autovacuum.
        with revision(database_url), online.pace(max_dead_share=0):
            online.backfill("t", {"b": "a::int"}, schema="public", where="b is null")

    with pytest.raises(ViolationError):
        fill()
    lines = [" ".join(line.split()) for line in homeops.text("backfill", "show", "1").splitlines()]
    assert "state failed" in lines
    assert "values b = a::int" in lines
    assert "where b is null" in lines
    assert any(
        line.startswith("public.t id = 7 22P02 invalid input syntax for type integer") for line in lines
    )
    found = homeops.json("backfill", "show", "1")
    assert (found["table"], found["state"], found["errors"], found["at_work"]) == (
        "public.t",
        "failed",
        1,
        False,
    )
    assert {part["relation"] for part in found["every_range"]} == {"public.t"}
    db.execute("update public.t set a = '7' where id = 7")
    fill()
    found = homeops.json("backfill", "show", "1")
    assert (found["state"], found["share"], found["rows_done"], found["errors"]) == ("done", 1, 500, 0)
    assert "public.t: " in found["plan"]
    assert "100 % 500" in " ".join(homeops.text("backfill", "show", "1").split())


# By whom ----------------------------------------------------------------------------------------------


@pytest.fixture
def reader(database_url: URL, db: Connection) -> Iterator[URL]:
    """A login that may read the schema `migrations`, as it was before there were backfills."""
    name = f"tests_reader_{os.getpid()}"  # the server may serve other runs of these tests
    db.execute(
        f"create role {name} login; grant usage on schema migrations to {name};"
        f"grant select on all tables in schema migrations to {name};"
        f"revoke all on migrations.backfills, migrations.backfill_ranges, migrations.backfill_errors from {name}"
    )
    yield database_url.set(username=name)
    db.execute(f"drop owned by {name}; drop role {name}")


def test_who_may_read_may_look(checkout: Checkout, reader: URL, db: Connection) -> None:
    number = begin(db)
    hold(db, number)
    commands = Commands(checkout, reader)
    for words in (["list"], ["show", str(number)]):
        assert "permission denied for table backfill" in commands.refused(2, "backfill", *words)
    assert "may not see them" in commands.text("status")
    assert commands.json("status")["backfills"] is None
    db.execute(f"grant select on all tables in schema migrations to {reader.username}")
    assert commands.json("backfill", "list")["backfills"][0]["state"] == "running"
    assert f"server process {db.info.backend_pid}" in commands.text("backfill", "show", str(number))
    for order in ORDERS:
        line = commands.refused(2, "backfill", order, str(number), *NEEDED.get(order, []))
        assert "permission denied for table backfills (SQLSTATE 42501)" in line
    assert (stored(db, number).state, stored(db, number).retuned) == ("running", {})


def test_the_application_sees_none_of_it(checkout: Checkout, database_url: URL, db: Connection) -> None:
    name = f"tests_app_{os.getpid()}"
    db.execute(f"create role {name} login in role homeops_app, homeops_readonly")
    try:
        commands = Commands(checkout, database_url.set(username=name))
        assert "permission denied for schema migrations" in commands.refused(2, "backfill", "list")
    finally:
        db.execute(f"drop role {name}")


# status -----------------------------------------------------------------------------------------------


def test_status_names_those_that_are_open(homeops: Commands, db: Connection) -> None:
    assert "backfills" not in homeops.text("status")
    assert homeops.json("status")["backfills"] == []
    begin(db, "core.over", "done")
    begin(db, "core.given_up", "cancelled")
    assert "backfills" not in homeops.text("status")
    hold(db, begin(db))
    hold(db, begin(db, "core.users", waiting_for="the server has 9 slow statements"))
    begin(db, "core.sessions", "failed")
    lines = [" ".join(line.split()) for line in homeops.text("status").splitlines()]
    place = lines.index(f"backfills 1 running: {TABLE}, 43 %")
    assert lines[place + 1 : place + 3] == [
        "1 waiting: core.users, 43 %: the server has 9 slow statements",
        "1 failed: core.sessions, 43 %",
    ]
    found = homeops.json("status")["backfills"]
    assert [(each["table"], each["state"]) for each in found] == [
        (TABLE, "running"), ("core.users", "waiting"), ("core.sessions", "failed"),
    ]  # fmt: skip


# The command itself -----------------------------------------------------------------------------------


def test_it_loads_only_what_it_needs(database_url: URL) -> None:
    program = (
        "import sys\n"
        "from homeops_db.cli.main import main\n"
        "sys.argv = ['homeops-db', 'backfill', 'list']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('alembic', 'pglast', 'alembic_utils', 'homeops_db.online', 'homeops_db.deploy',"
        " 'homeops_db.localdb', 'homeops_db.models', 'homeops_db.history.scripts') if name in sys.modules])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env=os.environ | {"HOMEOPS_DATABASE_URL": libpq(database_url)},
    )  # fmt: skip
    assert ended.stdout == "No backfills.\n[]\n"


@pytest.mark.parametrize("name", ["list", "show", *ORDERS])
def test_every_help_says_how(name: str) -> None:
    text = CliRunner().invoke(app, ["backfill", name, "--help"], env={"COLUMNS": "200"}).stdout
    assert f"Example: homeops-db backfill {name}" in text
    assert "Exit codes: 0 done, " in text
    assert "--json" in text
    assert name in CliRunner().invoke(app, ["backfill", "--help"]).stdout


def test_an_unreachable_server_is_one_line(checkout: Checkout) -> None:
    ended = checkout.run(
        "homeops-db", "backfill", "list", check=False, HOMEOPS_DATABASE_URL="postgresql://u@127.0.0.1:1/d"
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("Cannot connect to")
