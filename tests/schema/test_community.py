"""The marketplace: listings, licences, reviews and bookings."""

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

from tests.schema.community import (
    BUYER,
    FREE,
    HELPER,
    HELPERS,
    HOUR,
    LAMP,
    SELLERS,
    Community,
)
from tests.schema.test_roles import member


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


def test_a_licence_does_not_move_to_what_nobody_has_paid(town: Community) -> None:
    grant = town.grant(town.pay(town.order((LAMP, "10.00"))))
    unpaid = town.one("select id from community.order_items where order_id = %s", town.order((LAMP, "10.00")))
    move = "update community.licence_grants set order_item_id = %s where id = %s"
    town.refuses(CheckViolation, move, unpaid, grant)
    town.do("update community.orders set status = 'refunded' where status = 'paid'")
    town.do("update community.licence_grants set revoked_at = now() where id = %s", grant)


def test_a_price_is_a_number(town: Community) -> None:
    town.refuses(CheckViolation, "update community.listings set price = 'NaN' where id = %s", LAMP)


def test_no_licence_comes_of_an_order_that_is_taken_back_meanwhile(town: Community) -> None:
    order = town.pay(town.order((LAMP, "10.00")))
    refunder, granter = town.another(), town.another()
    refunder.execute("update community.orders set status = 'refunded' where id = %s", [order])
    ended: list[type[Exception] | None] = []

    def grant() -> None:
        try:
            granter.execute(
                "insert into community.licence_grants (order_item_id, listing_id, user_id, licence_code)"
                " select id, listing_id, buyer_id, 'house' from community.order_items where order_id = %s",
                [order],
            )
            granter.commit()
            ended.append(None)
        except CheckViolation:
            ended.append(CheckViolation)

    thread = Thread(target=grant)
    thread.start()
    thread.join(0.3)
    assert ended == []
    refunder.commit()
    thread.join(10)
    assert ended == [CheckViolation]


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
