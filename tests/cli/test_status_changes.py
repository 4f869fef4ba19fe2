"""`homeops-db status` says which type changes stand open, and what going back would cost."""

import json

import sqlalchemy as sa
from sqlalchemy.engine import URL

from homeops_db import online
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout
from tests.online.conftest import revision

AMOUNT = online.TypeChange(
    "transactions",
    "amount",
    sa.Numeric(15, 2),
    schema="financial",
    up="amount::numeric(15,2)",
    down="amount::double precision",
)


def test_an_open_change_is_lossless_until_contract(checkout: Checkout, database_url: URL) -> None:
    def status(*words: str) -> str:
        return checkout.run("homeops-db", "status", *words, HOMEOPS_DATABASE_URL=libpq(database_url)).stdout

    assert json.loads(status("--json"))["changes"] == []
    with revision(database_url):
        AMOUNT.expand()
    with revision(database_url):
        AMOUNT.switch()
    said = " ".join(status().split())
    assert "type change of financial.transactions.amount: switched, lossless until contract" in said
    (found,) = json.loads(status("--json"))["changes"]
    assert (found["table"], found["subject"], found["state"], found["errors"]) == (
        "financial.transactions", "amount", "switched", 0,
    )  # fmt: skip
    assert found["way_back"] == "lossless until contract"

    with connect(database_url) as db:
        db.execute(
            "insert into migrations.change_errors (change_id, relation, message)"
            " select id, relation, 'out of range' from migrations.changes"
        )
    said = " ".join(status().split())
    assert "1 row has a value that the other type can't hold" in said
    with revision(database_url):
        AMOUNT.contract()
    assert "type change" not in status()


def test_a_restructure_is_a_change_of_the_whole_table(checkout: Checkout, database_url: URL) -> None:
    with revision(database_url):
        online.Restructure(
            "transactions", schema="financial", columns=[..., sa.Column("mcc", sa.Text)]
        ).expand()
    said = checkout.run("homeops-db", "status", HOMEOPS_DATABASE_URL=libpq(database_url)).stdout
    assert "restructure of financial.transactions: expanded, lossless until contract" in " ".join(
        said.split()
    )
