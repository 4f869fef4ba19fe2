"""Orders: their sums, their states, and what no longer changes."""

from threading import Thread

from psycopg.errors import (
    CheckViolation,
    ForeignKeyViolation,
    UniqueViolation,
)

from tests.schema.community import (
    BUYER,
    EURO,
    FREE,
    HELPER,
    HOUR,
    LAMP,
    Community,
)


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
    town.refuses(
        CheckViolation, "update community.order_items set unit_price = 'NaN' where order_id = %s", free
    )
    town.refuses(CheckViolation, "update community.orders set total = 'NaN' where id = %s", free)
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
    order = town.pay(town.order((LAMP, "10.00"), (HOUR, "0")))
    other = town.order((LAMP, "10.00"))
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
    # What costs nothing doesn't show in the sum.
    for change in (
        "delete from community.order_items",
        f"update community.order_items set order_id = '{other}'",
    ):
        town.refuses(CheckViolation, f"{change} where order_id = %s and listing_id = %s", order, HOUR)
    town.refuses(
        CheckViolation,
        "insert into community.order_items (order_id, buyer_id, listing_id, unit_price) values (%s, %s, %s, 0)",
        *(order, BUYER, FREE),
    )
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
