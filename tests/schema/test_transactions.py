"""Money of transactions: exact, with a currency, and with both ends of a transfer, from v1.4.0 to the head."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from alembic import command
from psycopg import Connection
from psycopg.errors import CheckViolation, ForeignKeyViolation, NotNullViolation
from sqlalchemy.engine import URL

from homeops_db.settings import Settings
from tests.fixtures.databases import connect
from tests.fixtures.projects import alembic_config

PEOPLE = """
insert into core.users (id, email, password_hash, full_name)
values ('00000000-0000-4000-8000-000000000001', 'a@b.c', 'x', 'A');
insert into financial.accounts (id, user_id, name, account_type, currency) values
    ('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-000000000001', 'Dollars', 'checking', 'USD'),
    ('00000000-0000-4000-8000-00000000000e', '00000000-0000-4000-8000-000000000001', 'Euros', 'checking', 'EUR');
"""
USD, EUR = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000e"
INSERT = "insert into financial.transactions (account_id, transaction_date, amount, external_id) values (%s, '2026-01-01', %s, %s)"


@pytest.fixture
def db(database_url: URL) -> Iterator[Connection]:
    with connect(database_url) as connection:
        connection.execute(PEOPLE)
        yield connection


def test_cents_add_up(db: Connection) -> None:
    for number in range(10):
        db.execute(INSERT, (USD, Decimal("0.10"), str(number)))
    assert db.execute("select sum(amount) = 1 from financial.transactions").fetchone() == (True,)


def test_a_transaction_has_its_accounts_currency_unless_it_says_another(db: Connection) -> None:
    for account in (USD, EUR):
        db.execute(INSERT, (account, 5, account))
    db.execute(
        "insert into financial.transactions (account_id, transaction_date, amount, currency) values (%s, '2026-01-02', 5, 'CHF')",
        (EUR,),
    )
    found = db.execute("select currency from financial.transactions order by transaction_date, currency")
    assert found.fetchall() == [("EUR",), ("USD",), ("CHF",)]
    db.execute("update financial.transactions set currency = null")
    found = db.execute("select currency, count(*) from financial.transactions group by 1 order by 1")
    assert found.fetchall() == [("EUR", 2), ("USD", 1)]


def test_an_account_that_is_not_there_is_refused_as_before(db: Connection) -> None:
    nobody = "00000000-0000-4000-8000-00000000000f"
    with pytest.raises(ForeignKeyViolation) as refusal:
        db.execute(INSERT, (nobody, 5, "nobody"))
    assert refusal.value.diag.constraint_name == "fk_transactions_account_id"


@pytest.mark.parametrize(
    ("column", "value", "refusal"),
    [
        ("currency", "euro", CheckViolation),
        ("counter_account_id", USD, CheckViolation),
        ("counter_account_id", "00000000-0000-4000-8000-00000000000f", ForeignKeyViolation),
        ("amount", None, NotNullViolation),
    ],
)
def test_what_is_no_transaction_is_refused(
    db: Connection, column: str, value: str | None, refusal: type[Exception]
) -> None:
    db.execute(INSERT, (USD, 5, "x"))
    with pytest.raises(refusal):
        db.execute(f"update financial.transactions set {column} = %s".encode(), (value,))


def test_the_other_account_of_a_transfer_may_be_closed(db: Connection) -> None:
    db.execute(INSERT, (USD, -5, "x"))
    db.execute("update financial.transactions set counter_account_id = %s", (EUR,))
    db.execute("delete from financial.accounts where id = %s", (EUR,))
    assert db.execute("select counter_account_id from financial.transactions").fetchone() == (None,)


def test_rows_keep_their_cents_up_to_the_head_and_back(empty_url: URL) -> None:
    """Each step on rows of its own version, which the application of v1.0.0 has written."""
    config = alembic_config(Settings(database_url=empty_url, lock_timeout=timedelta(seconds=2)))
    command.upgrade(config, "v1.3.1")
    amounts = {str(n): Decimal(n * 1_000_003 % 99_999_999) / 100 for n in range(-40, 40)}
    read = "select external_id, round(amount::numeric, 2), amount::text from financial.transactions"
    with connect(empty_url) as db:
        db.execute(PEOPLE)

        def write(*numbers: int) -> None:
            for n in numbers:
                db.execute(INSERT, ((USD, EUR)[n % 2], float(amounts[str(n)]), str(n)))

        def stand(numbers: range) -> None:
            wanted = {str(n): amounts[str(n)] for n in numbers}
            found = db.execute(read).fetchall()
            assert {name: amount for name, amount, _ in found} == wanted
            texts = {name: text for name, _, text in found}
            assert texts == ({n: f"{a:.2f}" for n, a in wanted.items()} if is_exact() else texts)

        def is_exact() -> bool:
            kind = "select atttypid = 'numeric'::regtype from pg_attribute where attrelid = 'financial.transactions'::regclass and attname = 'amount'"
            return bool((db.execute(kind).fetchone() or [False])[0])

        write(*range(-40, -20))
        command.upgrade(config, "v1.4.0")
        count = "select count(*), count(currency) from financial.transactions"
        assert db.execute(count).fetchone() == (20, 0)
        write(*range(-20, 0))
        assert db.execute(count).fetchone() == (40, 20)
        command.upgrade(config, "v1.4.1")
        of_account = "select count(*) from financial.transactions t join financial.accounts a on a.id = t.account_id and a.currency = t.currency"
        assert db.execute(of_account).fetchone() == (40,)
        command.upgrade(config, "v1.5.0")
        assert is_exact()
        write(*range(20))
        stand(range(-40, 20))
        command.upgrade(config, "head")
        write(*range(20, 40))
        stand(range(-40, 40))
        assert db.execute("select count(merchant_category) from financial.transactions").fetchone() == (0,)
        command.downgrade(config, "v1.3.1")
        assert not is_exact()
        stand(range(-40, 40))
