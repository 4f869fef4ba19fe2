"""The ledger: what is booked balances, once, and stays."""

import pytest
from psycopg.errors import (
    CheckViolation,
    ForeignKeyViolation,
    InsufficientPrivilege,
    UniqueViolation,
)

from tests.schema.community import (
    ENTRY,
    LAMP,
    SELLER,
    SELLERS,
    Community,
)
from tests.schema.test_roles import member


def test_the_entries_of_an_event_add_up_to_zero(town: Community) -> None:
    dollars, cleared = town.account(SELLERS), town.account(None, "clearing")
    euros = town.account(SELLERS, currency="EUR")
    event = town.event("one")
    town.refuses(CheckViolation, ENTRY, event, dollars, "USD", 5)
    both = ENTRY + ", (%s, %s, %s, %s)"
    town.refuses(CheckViolation, both, *(event, dollars, "USD", 5), *(event, euros, "EUR", -5))
    town.do(both, *(event, dollars, "USD", 5), *(event, cleared, "USD", -5))
    assert (town.balance(dollars), town.balance(cleared)) == (5, -5)
    # What comes later must balance by itself, and so must what the owner of the tables corrects.
    town.refuses(CheckViolation, ENTRY, event, dollars, "USD", "0.01")
    town.refuses(
        CheckViolation, "update community.ledger_entries set amount = 6 where account_id = %s", dollars
    )
    town.refuses(CheckViolation, "delete from community.ledger_entries where account_id = %s", dollars)
    second = town.event("two")
    town.refuses(
        CheckViolation,
        "update community.ledger_entries set journal_id = %s where account_id = %s",
        second,
        dollars,
    )
    town.refuses(CheckViolation, ENTRY, event, dollars, "USD", 0)
    town.refuses(ForeignKeyViolation, ENTRY, event, dollars, "EUR", 1)


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_two_writers_of_one_event_balance_each_by_itself(town: Community, isolation: str) -> None:
    """Half of a pair each isn't enough, though the whole would add up; a pair each is."""
    one, other, event = town.account(SELLERS), town.account(None, "clearing"), town.event("shared")
    first, second = town.another(), town.another()
    for amounts, error in (((5, -5), CheckViolation), ((7, 7), None)):
        for connection in (first, second):
            connection.execute(f"set transaction isolation level {isolation}".encode())
        for connection, amount in zip((first, second), amounts, strict=True):
            connection.execute(ENTRY, [event, one, "USD", amount])
            if error is None:
                connection.execute(ENTRY, [event, other, "USD", -amount])
        for connection in (first, second):
            if error is None:
                connection.commit()
            else:
                with pytest.raises(error):
                    connection.commit()
    assert (town.balance(one), town.balance(other)) == (14, -14)


def test_the_ledger_is_written_and_never_changed_by_the_application(town: Community) -> None:
    account, cleared = town.account(SELLERS), town.account(None, "clearing")
    for app in member(town.url, "homeops_app"):
        with app.transaction():
            (event,) = app.execute(
                "insert into community.journal (kind, reference) values ('adjustment', 'app') returning id"
            ).fetchone() or (None,)
            app.execute(ENTRY, [event, account, "USD", 3])
            app.execute(ENTRY, [event, cleared, "USD", -3])
        for statement in (
            "update community.ledger_entries set amount = amount",
            "delete from community.ledger_entries",
            "truncate community.ledger_entries",
            "update community.journal set reference = 'other'",
            "delete from community.journal",
            "alter table community.ledger_entries disable trigger all",
        ):
            with pytest.raises(InsufficientPrivilege):
                app.execute(statement)
    assert town.balance(account) == 3


def test_accounts_and_events_are_there_once(town: Community) -> None:
    town.account(SELLERS)
    town.account(None, "clearing")
    for profile, kind, error in (
        (SELLERS, "earnings", UniqueViolation),
        (None, "clearing", UniqueViolation),
        (None, "earnings", CheckViolation),
        (SELLERS, "clearing", CheckViolation),
        (None, "pocket", CheckViolation),
    ):
        with pytest.raises(error):
            town.account(profile, kind)
    with pytest.raises(CheckViolation):
        town.account(SELLERS, currency="eur")
    town.refuses(
        CheckViolation, "insert into community.orders (buyer_id, currency) values (%s, 'eur')", SELLER
    )
    town.refuses(CheckViolation, "insert into community.journal (kind, reference) values ('gift', 'x')")
    event = town.event("once")
    with pytest.raises(UniqueViolation):
        town.event("once")
    town.refuses(CheckViolation, "update community.journal set kind = 'sale' where id = %s", event)
    town.refuses(
        CheckViolation,
        "insert into community.journal (kind, reference, order_id) values ('adjustment', 'x', %s)",
        town.order((LAMP, "10")),
    )
