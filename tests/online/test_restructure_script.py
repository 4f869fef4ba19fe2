"""online.Restructure in a ``--sql`` script: psql ends where the steps do, but for the order of columns."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.catalog import manifest
from homeops_db.errors import OnlineError
from tests.online.columns import MOSTLY_HERE, psql, script_of
from tests.online.filling import nobody_else_counts, rows, scalar  # noqa: F401
from tests.online.reshaping import unhurried  # noqa: F401

MADE = """
create schema {s};
create table {s}.other (id int primary key); insert into {s}.other values (1), (2), (3);
create table {s}.t (id int primary key references {s}.other deferrable initially deferred, amount double precision default 0.5,
    name text not null default 'Ann', gone text, n int check (n < 100));
create index ix_gone on {s}.t (gone); create index ix on {s}.t (amount desc) include (name); create statistics {s}.st_gone on gone, n from {s}.t;
create function {s}.touch() returns trigger language plpgsql as 'begin raise exception ''fired''; end';
insert into {s}.t values (1, 1.25, 'A B', 'x: 1%', 5), (2, null, 'C', null, null);
create trigger tr before update on {s}.t for each row execute function {s}.touch();
create trigger tr_gone before truncate on {s}.t execute function {s}.touch();
comment on column {s}.t.amount is 'how much'
"""


def changed(schema: str) -> online.Restructure:
    return online.Restructure(
        "t",
        schema=schema,
        columns=(
            ...,
            sa.Column("amount", sa.Numeric(12, 2)),
            sa.Column("half", sa.Numeric(12, 3), server_default="7"),
            sa.Column("label", sa.String(20), server_default="it's: 100%", nullable=False, comment="a:b {c}"),
            sa.Column("upper", sa.Text, sa.Computed("upper(name)", persisted=True)),
            sa.Column("plain", sa.Integer, server_default=sa.text("40 + 2"), nullable=False),
        ),
        drop=("gone", "ix_gone", "st_gone", "tr_gone"),
        transform={
            "amount": "amount::numeric(12,2)",
            "half": "(amount / 2)::numeric(12,3)",
            "label": "coalesce(gone, 'none: 5%')::varchar(20)",
        },
        back={"amount": "amount::double precision", "gone": "nullif(label, 'none: 5%')::text"},
    )


@MOSTLY_HERE
def test_a_script_ends_where_the_steps_do(run: Callable[..., Any], db: Connection, any_url: URL) -> None:
    for schema in ("by_steps", "by_script"):
        db.execute(MADE.replace("{s}", schema).encode())
    steps, script = changed("by_steps"), changed("by_script")
    before = described(db, "by_script")

    def both(step: str) -> None:
        run(getattr(steps, step))
        psql(any_url, script_of(getattr(script, step)))

    both("expand"), both("switch")  # what goes is dropped by contract() in a script
    kept = [
        {name: value for name, value in row.items() if name != "gone"} for row in content(db, "by_script")
    ]
    assert kept == content(db, "by_steps") != []
    both("undo_switch"), both("undo_expand")
    assert content(db, "by_script") == content(db, "by_steps")
    assert manifest.differences(before, described(db, "by_script")) == []
    both("expand"), both("switch"), both("contract")
    assert content(db, "by_script") == content(db, "by_steps")
    assert manifest.differences(described(db, "by_steps"), described(db, "by_script"), ordered=False) == []
    assert content(db, "by_script")[0] == {
        "id": 1, "amount": 1.25, "name": "A B", "n": 5, "half": 0.625, "label": "x: 1%", "upper": "A B", "plain": 42,
    }  # fmt: skip
    with pytest.raises(OnlineError, match="can't bring back what t has dropped"):
        script_of(script.undo_contract)


@MOSTLY_HERE
def test_a_script_leaves_what_was_begun_online(run: Callable[..., Any], db: Connection, any_url: URL) -> None:
    db.execute(MADE.replace("{s}", "by_steps").encode())
    change = changed("by_steps")
    run(change.expand)
    for step in ("switch", "contract", "undo_switch"):
        said = psql(any_url, script_of(getattr(change, step)), fails=True)
        assert "Table t is getting another shape online. Nothing was changed." in said
    run(change.undo_expand)
    psql(any_url, script_of(change.switch)), psql(any_url, script_of(change.contract))
    assert not run(change.expand).changed, "it is there already"


def test_a_script_that_would_have_to_look_is_refused() -> None:
    for asked in ({"partition_by": "RANGE (id)"}, {"primary_key": ["id", "at"]}):
        with pytest.raises(OnlineError, match="A script can't give t partitions or another primary key"):
            script_of(online.Restructure("t", **asked).expand)  # type: ignore[arg-type]


def content(db: Connection, schema: str) -> list[Any]:
    return [row for (row,) in rows(db, f"select to_jsonb(t) from {schema}.t order by id")]


def described(db: Connection, schema: str) -> manifest.Manifest:
    """Everything that hangs on the table, said as if the schemas had one name."""
    db.execute(f"alter schema {schema} rename to one".encode())
    try:
        return manifest.read(db, scalar(db, "select 'one.t'::regclass::oid"))
    finally:
        db.execute(f"alter schema one rename to {schema}".encode())
