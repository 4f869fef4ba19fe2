"""The marketplace: listings, orders, licences, reviews and bookings."""

from collections.abc import Iterator
from decimal import Decimal
from threading import Thread
from uuid import UUID

import pytest
from psycopg.errors import (
    CheckViolation,
    ExclusionViolation,
    ForeignKeyViolation,
    GeneratedAlways,
    InsufficientPrivilege,
    UniqueViolation,
)
from pytest_postgresql.executors import NoopExecutor
from sqlalchemy.engine import URL

from tests.schema.community import (
    BUYER,
    EURO,
    FREE,
    HELPER,
    HELPERS,
    HOUR,
    LAMP,
    SELLERS,
    Community,
    community,
    kept,
)
from tests.schema.test_roles import member


@pytest.fixture(scope="module")
def url(migrated_server: NoopExecutor) -> Iterator[URL]:
    with kept(migrated_server, "community") as made:
        yield made


@pytest.fixture
def town(url: URL) -> Iterator[Community]:
    with community(url) as built:
        yield built


def test_a_listing_is_what_it_says(town: Community) -> None:
    town.refuses(CheckViolation, "update community.listings set kind = 'spell' where id = %s", LAMP)
    for change in (
        "price = -0.01",
        "currency = 'usd'",
        "title = ' '",
        "status = 'published'",
        "status = 'gone'",
    ):
        town.refuses(CheckViolation, f"update community.listings set {change} where id = %s", LAMP)
    town.do("update community.listings set status = 'published', published_at = now() where id = %s", LAMP)
    town.refuses(GeneratedAlways, "update community.listings set is_free = true where id = %s", LAMP)
    assert town.rows(
        "select is_free from community.listings where id in (%s, %s) order by id", LAMP, FREE
    ) == [
        (False,),
        (True,),
    ]
    town.refuses(
        ForeignKeyViolation, "update community.listings set licence_code = 'none' where id = %s", LAMP
    )


def test_a_listing_points_to_what_it_is_of(town: Community) -> None:
    town.do("insert into smart_home.automations (id, name) values (%s, 'Evening')", LAMP)
    town.do("update community.listings set automation_id = %s where id = %s", LAMP, LAMP)
    town.refuses(CheckViolation, "update community.listings set automation_id = %s where id = %s", LAMP, FREE)
    town.do("delete from smart_home.automations")
    assert town.one("select automation_id from community.listings where id = %s", LAMP) is None
    town.do("insert into smart_home.scenes (id, name) values (%s, 'Night')", LAMP)
    town.do("insert into media.playlists (id, user_id, name) values (%s, %s, 'Rain')", LAMP, BUYER)
    for column in ("scene_id", "playlist_id"):
        town.refuses(CheckViolation, f"update community.listings set {column} = %s where id = %s", LAMP, LAMP)


def test_names_of_profiles_differ_in_more_than_case(town: Community) -> None:
    town.refuses(
        UniqueViolation, "insert into community.profiles (user_id, name) values (%s, 'SELLER')", BUYER
    )
    town.refuses(UniqueViolation, "insert into community.profiles (user_id, name) values (%s, 'New')", HELPER)
    town.refuses(CheckViolation, "insert into community.profiles (user_id, name) values (%s, '  ')", BUYER)
    town.refuses(CheckViolation, "update community.profiles set status = 'lost' where id = %s", SELLERS)


def test_a_version_is_a_version_and_is_there_once(town: Community) -> None:
    release = (
        "insert into community.listing_versions (listing_id, version, content) values (%s, %s, %s::jsonb)"
    )
    town.do(release, LAMP, "1.0.0", "{}")
    town.refuses(UniqueViolation, release, LAMP, "1.0.0", "{}")
    town.refuses(CheckViolation, release, LAMP, "1.0", "{}")
    town.refuses(CheckViolation, release, LAMP, "1.0.1", "[]")


def test_the_total_of_an_order_is_the_sum_of_its_items(town: Community) -> None:
    order = town.order((LAMP, "10.00"), (HOUR, "40.00"))
    town.refuses(CheckViolation, "update community.orders set total = 50.01 where id = %s", order)
    town.refuses(CheckViolation, "update community.order_items set quantity = 2 where order_id = %s", order)
    town.refuses(
        CheckViolation,
        "delete from community.order_items where order_id = %s and listing_id = %s",
        order,
        LAMP,
    )
    with town.connection.transaction():
        town.do("update community.order_items set quantity = 2 where order_id = %s", order)
        town.do("update community.orders set total = 100 where id = %s", order)
    town.do("delete from community.orders where id = %s", order)
    assert town.one("select count(*) from community.order_items") == 0


def test_items_are_of_their_orders_buyer_and_currency(town: Community) -> None:
    order = town.order((LAMP, "10.00"))
    item = "insert into community.order_items (order_id, buyer_id, listing_id, currency, unit_price) values (%s, %s, %s, %s, 0)"
    town.refuses(ForeignKeyViolation, item, order, HELPER, FREE, "USD")
    town.refuses(ForeignKeyViolation, item, order, BUYER, EURO, "USD")
    town.refuses(ForeignKeyViolation, item, order, BUYER, EURO, "EUR")
    town.refuses(UniqueViolation, item, order, BUYER, LAMP, "USD")
    town.do(item, order, BUYER, FREE, "USD")
    town.refuses(ForeignKeyViolation, "update community.listings set currency = 'EUR' where id = %s", LAMP)


def test_no_item_is_less_than_nothing(town: Community) -> None:
    """Even where the sum would be right."""
    free, two = town.order((FREE, "0")), town.order((LAMP, "5"), (HOUR, "5"))
    for quantity in (0, -1):
        town.refuses(
            CheckViolation,
            "update community.order_items set quantity = %s where order_id = %s",
            quantity,
            free,
        )
    town.refuses(
        CheckViolation,
        "update community.order_items set unit_price = case listing_id when %s then -5 else 15 end where order_id = %s",
        *(LAMP, two),
    )


def test_orders_move_one_way(town: Community) -> None:
    pay = "update community.orders set status = 'paid', paid_at = %s where id = %s"
    town.refuses(
        CheckViolation,
        "insert into community.orders (buyer_id, status, paid_at) values (%s, 'paid', now())",
        BUYER,
    )
    town.refuses(CheckViolation, pay, None, town.order((LAMP, "10")))
    town.refuses(CheckViolation, pay, "2026-01-01", town.order())
    for seen, goes in (
        ("open", {"open", "paid", "cancelled"}),
        ("paid", {"paid", "refunded"}),
        ("cancelled", {"cancelled"}),
        ("refunded", {"refunded"}),
    ):
        for wanted in ("open", "paid", "cancelled", "refunded"):
            order = town.order((LAMP, "10"))
            if seen in {"paid", "refunded"}:
                town.pay(order)
            if seen in {"refunded", "cancelled"}:
                town.do("update community.orders set status = %s where id = %s", seen, order)
            move = (
                "update community.orders set status = %s, paid_at = case when %s in ('paid', 'refunded')"
                " then coalesce(paid_at, now()) end where id = %s"
            )
            if wanted in goes:
                town.do(move, wanted, wanted, order)
            else:
                town.refuses(CheckViolation, move, wanted, wanted, order)


def test_a_paid_order_does_not_change(town: Community) -> None:
    order = town.pay(town.order((LAMP, "10.00")))
    for change in (
        "total = 0",
        "currency = 'EUR'",
        "paid_at = now() + interval '1 s'",
        f"buyer_id = '{HELPER}'",
    ):
        town.refuses(CheckViolation, f"update community.orders set {change} where id = %s", order)
    town.refuses(CheckViolation, "delete from community.orders where id = %s", order)
    town.refuses(
        CheckViolation, "update community.order_items set unit_price = 10 where order_id = %s", order
    )
    town.refuses(CheckViolation, "delete from community.order_items where order_id = %s", order)
    town.refuses(
        CheckViolation,
        "insert into community.order_items (order_id, buyer_id, listing_id, unit_price) values (%s, %s, %s, 0)",
        *(order, BUYER, FREE),
    )
    other = town.order((LAMP, "10.00"))
    town.refuses(
        CheckViolation, "update community.order_items set order_id = %s where order_id = %s", order, other
    )
    town.do("update community.orders set updated_at = now() where id = %s", order)


def test_an_item_that_comes_while_its_order_is_paid_is_refused(town: Community) -> None:
    """Neither one that costs nothing, which the sum wouldn't show."""
    order = town.order((LAMP, "10.00"))
    payer, buyer = town.another(), town.another()
    payer.execute("update community.orders set status = 'paid', paid_at = now() where id = %s", [order])
    ended: list[BaseException | None] = []

    def buy() -> None:
        try:
            buyer.execute(
                "insert into community.order_items (order_id, buyer_id, listing_id, unit_price) values (%s, %s, %s, 0)",
                [order, BUYER, FREE],
            )
            buyer.commit()
            ended.append(None)
        except CheckViolation as error:
            ended.append(error)

    thread = Thread(target=buy)
    thread.start()
    thread.join(0.3)
    assert ended == []
    payer.commit()
    thread.join(10)
    assert [type(error) for error in ended] == [CheckViolation]
    assert town.one("select count(*) from community.order_items where order_id = %s", order) == 1


def test_the_bank_transaction_of_an_order_may_go(town: Community) -> None:
    order = town.pay(town.order((LAMP, "10.00")))
    town.do("insert into financial.institutions (id, name, type) values (%s, 'Bank', 'bank')", LAMP)
    town.do(
        "insert into financial.accounts (id, user_id, institution_id, name, account_type)"
        " values (%s, %s, %s, 'A', 'checking')",
        *(LAMP, BUYER, LAMP),
    )
    town.do(
        "insert into financial.transactions (id, account_id, transaction_date, amount) values (%s, %s, now(), -10)",
        *(LAMP, LAMP),
    )
    town.do("update community.orders set transaction_id = %s where id = %s", LAMP, order)
    town.refuses(
        ForeignKeyViolation, "update community.orders set transaction_id = %s where id = %s", FREE, order
    )
    town.do("delete from financial.transactions")
    assert town.one("select transaction_id from community.orders where id = %s", order) is None


def test_a_licence_is_granted_for_what_the_buyer_has_paid(town: Community) -> None:
    order = town.order((LAMP, "10.00"))
    with pytest.raises(CheckViolation):
        town.grant(order)
    grant = town.grant(town.pay(order))
    with pytest.raises(UniqueViolation):
        town.grant(order)
    for column, value in (("user_id", HELPER), ("listing_id", FREE)):
        town.refuses(
            ForeignKeyViolation,
            f"update community.licence_grants set {column} = %s where id = %s",
            value,
            grant,
        )
    town.refuses(
        CheckViolation,
        "update community.licence_grants set revoked_at = granted_at - interval '1 s' where id = %s",
        grant,
    )
    town.do("update community.licence_grants set key_hash = 'S3CRET' where id = %s", grant)
    other = town.grant(town.pay(town.order((HOUR, "40.00"))))
    town.refuses(
        UniqueViolation, "update community.licence_grants set key_hash = 'S3CRET' where id = %s", other
    )
    assert town.one("select count(*) from core.audit_log where new_row::text like '%%S3CRET%%'") == 0


REVIEW = (
    "insert into community.reviews (licence_grant_id, listing_id, reviewer_id, stars) values (%s, %s, %s, %s)"
)


def test_only_who_bought_it_reviews_a_listing_and_once(town: Community) -> None:
    grant = town.grant(town.pay(town.order((LAMP, "10.00"))))
    again = town.grant(town.pay(town.order((LAMP, "10.00"))))
    town.refuses(ForeignKeyViolation, REVIEW, grant, FREE, BUYER, 5)
    town.refuses(ForeignKeyViolation, REVIEW, grant, LAMP, HELPER, 5)
    town.refuses(ForeignKeyViolation, REVIEW, LAMP, LAMP, BUYER, 5)
    for stars in (0, 6):
        town.refuses(CheckViolation, REVIEW, grant, LAMP, BUYER, stars)
    town.do(REVIEW, grant, LAMP, BUYER, 5)
    town.refuses(UniqueViolation, REVIEW, again, LAMP, BUYER, 1)


def test_ratings_are_the_average_of_the_stars(town: Community) -> None:
    given = [5, 4, 2]
    for number, stars in enumerate(given):
        grant = town.grant(town.pay(town.order((LAMP, "10.00"))))
        user = town.one(
            "insert into core.users (email, password_hash, full_name) values (%s, 'x', 'R') returning id",
            f"r{number}@community.example",
        )
        # Somebody else's purchase: buyers are fixed once it is paid, so the rows are written as they would be.
        with town.connection.transaction():
            town.do("set local session_replication_role = replica")
            town.do("update community.licence_grants set user_id = %s where id = %s", user, grant)
            town.do(REVIEW, grant, LAMP, user, stars)
    query = "select reviews, average_stars, satisfied from community.listing_ratings where listing_id = %s"
    assert town.rows(query, LAMP) == [(3, Decimal("3.67"), 2)]
    assert town.rows(query, FREE) == [(0, None, 0)]


BOOKING = (
    "insert into community.bookings (listing_id, profile_id, customer_id, during, status)"
    " values (%s, %s, %s, %s::tstzrange, %s) returning id"
)


def test_a_provider_is_booked_once_at_a_time(town: Community) -> None:
    def book(during: str, status: str = "confirmed", listing: UUID = HOUR, profile: UUID = SELLERS) -> UUID:
        return town.one(BOOKING, listing, profile, BUYER, during, status)

    first = book("[2026-03-01 09:00+00,2026-03-01 10:00+00)")
    book("[2026-03-01 10:00+00,2026-03-01 11:00+00)")
    for during in (
        "[2026-03-01 09:59+00,2026-03-01 10:00+00)",
        "[2026-03-01 08:00+00,2026-03-01 12:00+00)",
        "[2026-03-01 09:00+00,2026-03-01 09:00+00]",
    ):
        town.refuses(ExclusionViolation, BOOKING, HOUR, SELLERS, BUYER, during, "requested")
    book("[2026-03-01 09:00+00,2026-03-01 10:00+00)", "cancelled")
    town.do("update community.bookings set status = 'cancelled' where id = %s", first)
    book("[2026-03-01 09:00+00,2026-03-01 10:00+00)")
    other = town.one(
        "insert into community.listings (profile_id, licence_code, kind, title)"
        " values (%s, 'house', 'service', 'Help') returning id",
        HELPERS,
    )
    book("[2026-03-01 09:00+00,2026-03-01 10:00+00)", listing=other, profile=HELPERS)
    town.refuses(
        ExclusionViolation, "update community.bookings set status = 'confirmed' where id = %s", first
    )


def test_a_booking_is_of_its_providers_service_and_has_an_end(town: Community) -> None:
    hour = "[2026-03-01 09:00+00,2026-03-01 10:00+00)"
    town.refuses(ForeignKeyViolation, BOOKING, HOUR, HELPERS, BUYER, hour, "requested")
    town.refuses(ForeignKeyViolation, BOOKING, LAMP, SELLERS, BUYER, hour, "requested")
    for during in ("empty", "[2026-03-01 09:00+00,)", "(,2026-03-01 09:00+00)", "[2026-03-01,infinity)"):
        town.refuses(CheckViolation, BOOKING, HOUR, SELLERS, BUYER, during, "requested")
    booking = town.one(BOOKING, HOUR, SELLERS, BUYER, hour, "requested")
    for change in ("kind = 'scene'", "status = 'lost'"):
        town.refuses(CheckViolation, f"update community.bookings set {change} where id = %s", booking)
    town.refuses(ForeignKeyViolation, "update community.listings set kind = 'scene' where id = %s", HOUR)


def test_the_application_can_book_and_only_read_where_it_may_only_read(town: Community) -> None:
    hour = "[2026-03-01 09:00+00,2026-03-01 10:00+00)"
    for app in member(town.url, "homeops_app"):
        app.execute(BOOKING, [HOUR, SELLERS, BUYER, hour, "requested"])
    for readonly in member(town.url, "homeops_readonly"):
        assert readonly.execute("select status from community.bookings").fetchall() == [("requested",)]
        readonly.execute("select balance from community.account_balances")
        readonly.execute("select * from community.revenue_split(%s, 10, current_date)", [LAMP])
        for query in ("select * from community.licence_grants", "delete from community.bookings"):
            with pytest.raises(InsufficientPrivilege):
                readonly.execute(query)


def test_preferences_are_an_object(town: Community) -> None:
    town.do('update core.users set preferences = \'{"theme": "dark"}\'')
    for value in ("[]", '"dark"', "1", "null"):
        town.refuses(CheckViolation, "update core.users set preferences = %s::jsonb", value)
