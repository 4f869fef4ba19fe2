"""A restructure under clients that write in every way: nothing is lost, stale or a ghost, and no write fails."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from tests.online.filling import LIMITS_OFF, rows, scalar, slowly
from tests.online.living import APART, RETRIED, Clients

STEPS = (
    "expand", "switch", "undo_switch", "switch", "contract", "undo_contract", "undo_switch", "undo_expand",
)  # fmt: skip

# A new column, one that is split, one that gets another type, one that goes; rows without the bloat.
SHAPE = online.Restructure(
    "t",
    schema="shop",
    columns=(
        "id",
        sa.Column("amount", sa.Numeric(15, 2), nullable=True),
        sa.Column("first", sa.Text),
        sa.Column("last", sa.Text),
        ...,
        sa.Column("size", sa.Text, server_default="none"),
    ),
    drop=("name", "mark"),
    transform={
        "amount": "amount::numeric(15,2)",
        "first": "split_part(name, ' ', 1)",
        "last": "split_part(name, ' ', 2)",
        "size": "case when amount > 100 then 'large' else 'small' end",
    },
    back={"amount": "amount::double precision", "name": "first || ' ' || last"},
)

TABLE = """
create schema shop;
create table shop.t (id int primary key, name text default 'Ann Lee', mark text default 'm', amount double precision default 0,
                     note text, constraint ck check (amount < 5000), constraint uq unique (id, amount) deferrable);
create index ix on shop.t (amount) where amount > 0;
create table shop.child (id int references shop.t on update cascade on delete cascade);
do $$ begin if to_regrole('stranger') is null then create role stranger; end if; end $$;
grant usage on schema shop to stranger;
grant select, insert, update, delete on shop.t to stranger;
insert into shop.t (id, amount, note) select n, n / 4.0, 'old' from generate_series(1, 3000) n;
insert into shop.child select n from generate_series(1, 3000) n;
"""
DOCUMENTED = {error.__name__ for error in RETRIED}


@pytest.mark.parametrize(
    ("any_url", "workers", "steps"),
    [
        ("local server", 1, STEPS[:3]),
        slowly("local server", 1, STEPS),
        slowly("local server", 2, STEPS),
        slowly("stock 15", 1, STEPS),
        slowly("stock 15", 2, STEPS),
        slowly("stock 18", 1, STEPS),
        slowly("stock 18", 2, STEPS),
    ],
    indirect=["any_url"],
)
def test_clients_go_on_through_all_steps(
    run: Callable, db: Connection, any_url: URL, workers: int, steps: Sequence[str]
) -> None:
    db.prepare_threshold = None  # what the clients may meet, this session need not
    db.execute(TABLE)
    shape = replace(SHAPE, workers=workers)
    before = rows(db, "select id, amount, note from shop.t order by id")
    with Clients(any_url, "shop.t", role="stranger", seed=workers) as clients:
        for step in steps:
            clients.until_committed(10)
            with online.pace(**LIMITS_OFF):
                run(getattr(shape, step))
            clients.until_committed(10)
            clients.compare(db)
            assert rows(db, f"select id, amount, note from shop.t where id < {APART} order by id") == before
            assert scalar(db, "select count(*) from shop.child") == 3000
            assert scalar(db, "select count(*) from migrations.change_errors") == 0
    met = sum((Counter(one.retries) for one in clients.all), Counter[str]())
    assert set(met) <= DOCUMENTED
    assert sum(met.values()) < sum(one.commits for one in clients.all) / 5, met
