"""The community's money: who shares it, and how orders are booked."""

import random
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from threading import Thread
from uuid import UUID

import pytest
from psycopg import Connection
from psycopg.errors import (
    CheckViolation,
    ExclusionViolation,
    ForeignKeyViolation,
    NoDataFound,
    RestrictViolation,
    SerializationFailure,
)

from tests.schema.community import (
    FREE,
    HELPERS,
    HOUR,
    LAMP,
    SELLERS,
    Community,
    uid,
)


def split(amount: Decimal, shares: dict[UUID, Decimal]) -> dict[UUID, Decimal]:
    """Share by the largest remainder, in whole cents; among equal ones the smaller id comes first."""
    cents = int(abs(amount) * 100)
    exact = {profile: Fraction(cents) * Fraction(percent) / 100 for profile, percent in shares.items()}
    whole = {profile: int(part) for profile, part in exact.items()}
    first = sorted(exact, key=lambda profile: (whole[profile] - exact[profile], profile))
    for profile in first[: cents - sum(whole.values())]:
        whole[profile] += 1
    sign = 1 if amount >= 0 else -1
    return {profile: sign * Decimal(number) / 100 for profile, number in whole.items()}


def shares_at_random(chance: random.Random, profiles: list[UUID]) -> dict[UUID, Decimal]:
    chosen = chance.sample(profiles, chance.randint(1, len(profiles)))
    cuts = sorted(chance.sample(range(1, 10_000), len(chosen) - 1))
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    if chance.random() < 0.3 and len(chosen) == 3:
        parts = [3333, 3333, 3334]
    return {profile: Decimal(part) / 100 for profile, part in zip(chosen, parts, strict=True)}


def test_revenue_is_split_to_the_cent(town: Community) -> None:
    chance = random.Random(20)  # noqa: S311 - no secret
    users = [
        town.one(
            "insert into core.users (email, password_hash, full_name) values (%s, 'x', 'P') returning id", e
        )
        for e in ("a@x.example", "b@x.example", "c@x.example", "d@x.example")
    ]
    profiles = [
        town.one(
            "insert into community.profiles (user_id, name) values (%s, %s) returning id", user, str(user)
        )
        for user in users
    ] + [SELLERS, HELPERS]
    for day in range(40):
        shares = shares_at_random(chance, profiles)
        start = date(2026, 1, 1) + timedelta(days=day)
        during = f"[{start},{start + timedelta(days=1)})"
        plan = town.share(LAMP, during, [(profile, str(percent)) for profile, percent in shares.items()])
        amounts = [Decimal(chance.randint(-(10**top), 10**top)) / 100 for top in (1, 2, 3, 5, 9, 15)]
        amounts += [Decimal(chance.randint(-(10**6), 10**6)) / 10_000 for _ in range(3)]
        found = town.rows(
            "select a.amount, s.profile_id, s.amount from unnest(%s::numeric[]) a (amount)"
            " cross join lateral community.revenue_split(%s, a.amount, %s) s",
            *(amounts, LAMP, start),
        )
        for amount in amounts:
            got = {profile: part for whole, profile, part in found if whole == amount}
            rounded = amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
            assert got == split(rounded, shares), (plan, amount, shares)
            assert sum(got.values()) == rounded


def test_without_a_plan_for_the_day_all_is_the_sellers(town: Community) -> None:
    town.share(LAMP, "[2026-01-10,2026-02-01)", [(HELPERS, "100")])
    query = "select profile_id, amount from community.revenue_split(%s, %s, %s::date)"
    assert town.rows(query, LAMP, Decimal("10.01"), "2026-01-09") == [(SELLERS, Decimal("10.01"))]
    assert town.rows(query, LAMP, Decimal("10.01"), "2026-01-10") == [(HELPERS, Decimal("10.01"))]
    assert town.rows(query, LAMP, Decimal("10.01"), "2026-01-31") == [(HELPERS, Decimal("10.01"))]
    assert town.rows(query, LAMP, Decimal("10.01"), "2026-02-01") == [(SELLERS, Decimal("10.01"))]
    assert town.rows(query, LAMP, Decimal("0.005"), "2026-02-01") == [(SELLERS, Decimal("0.01"))]
    assert town.rows(query, uid(0xFF), Decimal(1), "2026-02-01") == []


def test_the_shares_of_a_plan_add_up_to_a_hundred_percent(town: Community) -> None:
    for shares in ([], [(SELLERS, "99.99")], [(SELLERS, "60"), (HELPERS, "40.01")]):
        with pytest.raises(CheckViolation):
            town.share(LAMP, "[2026-01-01,)", shares)
    for percent in ("0", "-1", "100.01"):
        with pytest.raises(CheckViolation):
            town.share(LAMP, "[2026-01-01,)", [(SELLERS, percent), (HELPERS, "100")])
    plan = town.share(LAMP, "[2026-01-01,2026-02-01)", [(SELLERS, "60"), (HELPERS, "40")])
    town.refuses(CheckViolation, "delete from community.revenue_shares where profile_id = %s", HELPERS)
    town.refuses(
        CheckViolation,
        "update community.revenue_shares set share_percent = 50 where profile_id = %s",
        HELPERS,
    )
    town.do("update community.revenue_shares set share_percent = 50 where plan_id = %s", plan)
    town.refuses(
        CheckViolation,
        "insert into community.revenue_plans (listing_id, during) values (%s, '[2026-03-01,)')",
        LAMP,
    )
    other = town.share(FREE, "[2026-01-01,2026-02-01)", [(SELLERS, "100")])
    town.refuses(
        CheckViolation,
        "update community.revenue_shares set plan_id = %s where plan_id = %s and profile_id = %s",
        *(other, plan, HELPERS),
    )
    town.do("delete from community.revenue_plans where id = %s", plan)


def test_a_day_has_one_plan(town: Community) -> None:
    town.share(LAMP, "[2026-01-01,2026-02-01)", [(SELLERS, "100")])
    for during in ("[2026-01-31,2026-03-01)", "(,)", "[2026-01-05,2026-01-06)"):
        with pytest.raises(ExclusionViolation):
            town.share(LAMP, during, [(SELLERS, "100")])
    with pytest.raises(CheckViolation):
        town.share(LAMP, "empty", [(SELLERS, "100")])
    town.share(LAMP, "[2026-02-01,)", [(SELLERS, "100")])
    town.share(FREE, "(,)", [(SELLERS, "100")])


def entries(town: Community, journal: UUID) -> dict[UUID | None, Decimal]:
    return dict(
        town.rows(
            "select a.profile_id, sum(e.amount) from community.ledger_entries e"
            " join community.accounts a on a.id = e.account_id where e.journal_id = %s group by 1",
            journal,
        )
    )


def test_an_order_is_booked_as_it_is_shared(town: Community) -> None:
    shares = {SELLERS: Decimal("66.67"), HELPERS: Decimal("33.33")}
    town.share(LAMP, "(,)", [(profile, str(percent)) for profile, percent in shares.items()])
    order = town.pay(town.order((LAMP, "10.01"), (HOUR, "40.00"), (FREE, "0")))
    journal = town.one("select community.book_order(%s)", order)
    parts = split(Decimal("10.01"), shares)
    assert entries(town, journal) == {
        SELLERS: parts[SELLERS] + 40,
        HELPERS: parts[HELPERS],
        None: Decimal("-50.01"),
    }
    assert town.rows("select kind, order_id, reference from community.journal") == [
        ("sale", order, f"sale:{order}")
    ]
    assert town.rows(
        "select profile_id, balance, reserved, available from community.account_balances where kind = 'earnings' order by 1"
    ) == [(p, entries(town, journal)[p], 0, entries(town, journal)[p]) for p in (SELLERS, HELPERS)]


def test_only_a_paid_order_is_booked(town: Community) -> None:
    order = town.order((LAMP, "10"))
    town.refuses(CheckViolation, "select community.book_order(%s)", order)
    town.refuses(NoDataFound, "select community.book_order(%s)", uid(0xFF))
    free = town.one("select community.book_order(%s)", town.pay(town.order((FREE, "0"))))
    assert entries(town, free) == {}


def book(connection: Connection, order: UUID, ended: list[object]) -> None:
    try:
        (journal,) = connection.execute("select community.book_order(%s)", [order]).fetchone() or (None,)
        connection.commit()
        ended.append(journal)
    except SerializationFailure:
        connection.rollback()
        ended.append(SerializationFailure)


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_nothing_is_booked_twice(town: Community, isolation: str) -> None:
    order = town.pay(town.order((LAMP, "10.01")))
    first, second = town.another(), town.another()
    for connection in (first, second):
        connection.execute(f"set transaction isolation level {isolation}".encode())
        connection.execute("select 1 from community.orders")
    (journal,) = first.execute("select community.book_order(%s)", [order]).fetchone() or (None,)
    ended: list[object] = []
    thread = Thread(target=book, args=(second, order, ended))
    thread.start()
    thread.join(0.3)
    assert ended == []
    first.commit()
    thread.join(10)
    assert ended == [journal if isolation == "read committed" else SerializationFailure]
    assert town.one("select community.book_order(%s)", order) == journal
    assert town.rows("select count(*), sum(amount), max(amount) from community.ledger_entries") == [
        (2, 0, Decimal("10.01"))
    ]


def test_a_refund_takes_back_what_was_booked(town: Community) -> None:
    town.share(LAMP, "(,)", [(SELLERS, "66.67"), (HELPERS, "33.33")])
    order = town.pay(town.order((LAMP, "10.01")))
    town.refuses(CheckViolation, "select community.book_refund(%s)", order)
    sale = town.one("select community.book_order(%s)", order)
    town.refuses(CheckViolation, "select community.book_refund(%s)", order)
    town.do("update community.orders set status = 'refunded' where id = %s", order)
    # Shares that changed since don't matter: what was booked is taken back.
    town.do("update community.revenue_shares set share_percent = 50")
    refund = town.one("select community.book_refund(%s)", order)
    assert refund == town.one("select community.book_refund(%s)", order) != sale
    assert entries(town, refund) == {profile: -amount for profile, amount in entries(town, sale).items()}
    assert town.one("select community.book_order(%s)", order) == sale
    assert town.one("select count(*) from community.account_balances where balance <> 0") == 0
    town.refuses(NoDataFound, "select community.book_refund(%s)", uid(0xFF))
    unbooked = town.pay(town.order((LAMP, "10.01")))
    town.do("update community.orders set status = 'refunded' where id = %s", unbooked)
    town.refuses(CheckViolation, "select community.book_refund(%s)", unbooked)
    town.refuses(
        (ForeignKeyViolation, RestrictViolation), "delete from community.journal where id = %s", sale
    )
