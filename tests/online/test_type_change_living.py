"""A type change under clients that write in every way: nothing is lost, stale or a ghost, and no write fails."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from tests.online.columns import MOSTLY_HERE
from tests.online.filling import LIMITS_OFF, rows, scalar
from tests.online.living import Clients

AMOUNT = online.TypeChange(
    "t",
    "amount",
    sa.Numeric(15, 2),
    schema="shop",
    up="amount::numeric(15,2)",
    down="amount::double precision",
)
KEY = online.TypeChange("t", "id", sa.BigInteger(), schema="shop", up="id::bigint", down="id::int")
STEPS = (
    "expand",
    "switch",
    "undo_switch",
    "switch",
    "contract",
    "undo_contract",
    "undo_switch",
    "undo_expand",
)

TABLE = """
create schema shop;
create table shop.t (id int primary key, amount double precision default 0, note text,
                     constraint ck check (amount < 5000), constraint uq unique (id, amount) deferrable);
create index ix on shop.t (amount) where amount > 0;
create table shop.child (id int references shop.t on update cascade on delete cascade);
do $$ begin if to_regrole('stranger') is null then create role stranger; end if; end $$;
grant usage on schema shop to stranger;
grant select, insert, update, delete on shop.t to stranger;
insert into shop.t select n, n / 4.0, 'old' from generate_series(1, 3000) n;
insert into shop.child select n from generate_series(1, 3000) n;
"""


@MOSTLY_HERE
@pytest.mark.parametrize("change", [AMOUNT, KEY], ids=["a value", "a key that another table refers to"])
def test_clients_go_on_through_all_steps(
    run: Callable, db: Connection, any_url: URL, change: online.TypeChange
) -> None:
    db.prepare_threshold = None  # what the clients may meet, this session need not
    db.execute(TABLE)
    before = rows(db, "select id, amount, note from shop.t order by id")
    with Clients(any_url, "shop.t", role="stranger") as clients:
        for step in STEPS:
            clients.until_committed(10)
            with online.pace(**LIMITS_OFF):
                run(getattr(change, step))
            clients.until_committed(10)
            clients.compare(db)
            assert rows(db, "select id, amount, note from shop.t where id < 1000000 order by id") == before
            assert scalar(db, "select count(*) from shop.child") == 3000
            assert scalar(db, "select count(*) from migrations.change_errors") == 0
