"""Payouts: from requested to paid, and never more than there is."""

from decimal import Decimal
from threading import Thread
from uuid import UUID

import pytest
from psycopg.errors import (
    CheckViolation,
    ForeignKeyViolation,
    NoDataFound,
    SerializationFailure,
    UniqueViolation,
)

from tests.schema.community import ENTRY, HELPERS, LAMP, SELLER, SELLERS, Community, uid

STATES = ("requested", "approved", "paid", "failed", "cancelled")
PAYOUT = "insert into community.payouts (account_id, profile_id, amount) values (%s, %s, %s) returning id"


@pytest.fixture
def account(town: Community) -> UUID:
    """Where the seller has earned 100.00."""
    account, cleared, event = town.account(SELLERS), town.account(None, "clearing"), town.event("earned")
    with town.connection.transaction():
        town.do(ENTRY, event, account, "USD", 100)
        town.do(ENTRY, event, cleared, "USD", -100)
    return account


def take(town: Community, account: UUID, amount: str) -> None:
    """Take earnings back, as a refund does."""
    event = town.event(f"taken {amount}")
    with town.connection.transaction():
        town.do(ENTRY, event, account, "USD", -Decimal(amount))
        town.do(
            "insert into community.ledger_entries (journal_id, account_id, amount)"
            " select %s, id, %s from community.accounts where kind = 'clearing'",
            event,
            Decimal(amount),
        )


def standing(town: Community, account: UUID) -> tuple[Decimal, ...]:
    (row,) = town.rows(
        "select balance, reserved, available from community.account_balances where account_id = %s", account
    )
    return row


def paid(town: Community, payout: UUID) -> UUID:
    town.do("update community.payouts set status = 'approved' where id = %s", payout)
    return town.one("select community.book_payout(%s, null)", payout)


def test_no_more_is_paid_out_than_there_is(town: Community, account: UUID) -> None:
    town.refuses(CheckViolation, PAYOUT, account, SELLERS, "100.01")
    first = town.one(PAYOUT, account, SELLERS, "60")
    assert standing(town, account) == (100, 60, 40)
    town.refuses(CheckViolation, PAYOUT, account, SELLERS, "40.01")
    second = town.one(PAYOUT, account, SELLERS, "40")
    town.do("update community.payouts set status = 'cancelled' where id = %s", second)
    assert standing(town, account) == (100, 60, 40)
    paid(town, first)
    assert standing(town, account) == (40, 0, 40)
    town.refuses(CheckViolation, PAYOUT, account, SELLERS, "40.01")
    for amount in ("0", "-1"):
        town.refuses(CheckViolation, PAYOUT, account, SELLERS, amount)
    town.refuses(ForeignKeyViolation, PAYOUT, account, HELPERS, "1")


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_two_payouts_at_once_do_not_share_the_same_money(
    town: Community, account: UUID, isolation: str
) -> None:
    first, second = town.another(), town.another()
    for connection in (first, second):
        connection.execute(f"set transaction isolation level {isolation}".encode())
        connection.execute("select 1 from community.accounts")
    first.execute(PAYOUT, [account, SELLERS, "70"])
    ended: list[object] = []

    def ask() -> None:
        try:
            second.execute(PAYOUT, [account, SELLERS, "70"])
            second.commit()
            ended.append(None)
        except (CheckViolation, SerializationFailure) as error:
            ended.append(type(error))

    thread = Thread(target=ask)
    thread.start()
    thread.join(0.3)
    assert ended == []
    first.commit()
    thread.join(10)
    assert ended == [CheckViolation if isolation == "read committed" else SerializationFailure]
    assert standing(town, account) == (100, 70, 30)


def test_a_payout_is_booked_once_as_it_is_paid(town: Community, account: UUID) -> None:
    payout = town.one(PAYOUT, account, SELLERS, "60")
    town.refuses(CheckViolation, "select community.book_payout(%s, null)", payout)
    journal = paid(town, payout)
    assert town.one("select community.book_payout(%s, null)", payout) == journal
    assert town.rows(
        "select a.kind, e.amount from community.ledger_entries e join community.accounts a on a.id = e.account_id"
        " where e.journal_id = %s order by 1",
        journal,
    ) == [("earnings", -60), ("payouts", 60)]
    assert town.rows("select status, journal_id, paid_at is not null from community.payouts") == [
        ("paid", journal, True)
    ]
    town.refuses(NoDataFound, "select community.book_payout(%s, null)", uid(0xFF))


def test_what_was_taken_back_meanwhile_is_not_paid_out(town: Community, account: UUID) -> None:
    payout = town.one(PAYOUT, account, SELLERS, "60")
    town.do("update community.payouts set status = 'approved' where id = %s", payout)
    take(town, account, "40.01")
    town.refuses(CheckViolation, "select community.book_payout(%s, null)", payout)
    assert standing(town, account) == (Decimal("59.99"), 60, Decimal("-0.01"))
    town.do("update community.payouts set status = 'failed' where id = %s", payout)
    assert standing(town, account) == (Decimal("59.99"), 0, Decimal("59.99"))


def test_a_payout_moves_one_way(town: Community, account: UUID) -> None:
    goes = {
        "requested": {"approved", "cancelled"},
        "approved": {"failed", "cancelled"},
        "failed": set(),
        "cancelled": set(),
    }
    town.refuses(
        CheckViolation,
        "insert into community.payouts (account_id, profile_id, amount, status) values (%s, %s, 1, 'approved')",
        *(account, SELLERS),
    )
    for state, next_ones in goes.items():
        for wanted in STATES:
            payout = town.one(PAYOUT, account, SELLERS, "1")
            if state in {"approved", "failed"}:
                town.do("update community.payouts set status = 'approved' where id = %s", payout)
            if state in {"failed", "cancelled"}:
                town.do("update community.payouts set status = %s where id = %s", state, payout)
            change = "update community.payouts set status = %s where id = %s"
            if wanted == state or wanted in next_ones:
                town.do(change, wanted, payout)
            else:
                town.refuses(CheckViolation, change, wanted, payout)


def test_nothing_is_paid_without_its_own_booking(town: Community, account: UUID) -> None:
    payout, other = (town.one(PAYOUT, account, SELLERS, "10") for _ in range(2))
    town.do("update community.payouts set status = 'approved'")
    journal = town.one("select community.book_payout(%s, null)", other)
    pay = "update community.payouts set status = 'paid', paid_at = now(), journal_id = %s where id = %s"
    town.refuses(UniqueViolation, pay, journal, payout)
    town.refuses(CheckViolation, pay, town.event("nothing in it"), payout)
    take(town, account, "5")
    less = town.one("select id from community.journal where reference = 'taken 5'")
    town.refuses(CheckViolation, pay, less, payout)


def test_a_paid_payout_stays_as_it_is(town: Community, account: UUID) -> None:
    payout = town.one(PAYOUT, account, SELLERS, "10")
    other = town.event("another")
    for change in (
        "amount = 9",
        "amount = 11",
        "currency = 'EUR'",
        "paid_at = now()",
        f"journal_id = '{other}'",
    ):
        town.refuses(CheckViolation, f"update community.payouts set {change} where id = %s", payout)
    paid(town, payout)
    for change in (
        "amount = 9",
        "paid_at = now() + interval '1 s'",
        f"journal_id = '{other}'",
        "status = 'failed'",
    ):
        town.refuses(CheckViolation, f"update community.payouts set {change} where id = %s", payout)
    town.refuses(CheckViolation, "delete from community.payouts where id = %s", payout)


def test_a_payout_knows_its_transaction_as_long_as_there_is_one(town: Community, account: UUID) -> None:
    town.do("insert into financial.institutions (id, name, type) values (%s, 'Bank', 'bank')", LAMP)
    town.do(
        "insert into financial.accounts (id, user_id, institution_id, name, account_type)"
        " values (%s, %s, %s, 'A', 'checking')",
        *(LAMP, SELLER, LAMP),
    )
    town.do(
        "insert into financial.transactions (id, account_id, transaction_date, amount) values (%s, %s, now(), 10)",
        *(LAMP, LAMP),
    )
    payout = town.one(PAYOUT, account, SELLERS, "10")
    town.do("update community.payouts set status = 'approved' where id = %s", payout)
    town.refuses(ForeignKeyViolation, "select community.book_payout(%s, %s)", payout, SELLER)
    town.do("select community.book_payout(%s, %s)", payout, LAMP)
    assert town.one("select transaction_id from community.payouts") == LAMP
    town.do("delete from financial.transactions")
    assert town.rows("select status, transaction_id from community.payouts") == [("paid", None)]
