"""A small community for the tests of its schema: three people, what one of them sells, what another buys."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection
from psycopg.errors import Error
from pytest_postgresql.executors import NoopExecutor
from sqlalchemy.engine import URL

from tests.fixtures.databases import connect


def uid(number: int) -> UUID:
    return UUID(int=number)


SELLER, HELPER, BUYER = uid(1), uid(2), uid(3)
SELLERS, HELPERS = uid(0x11), uid(0x12)
LAMP, FREE, HOUR, EURO = uid(0x21), uid(0x22), uid(0x23), uid(0x24)

PEOPLE = """
insert into core.users (id, email, password_hash, full_name)
select ('00000000-0000-0000-0000-00000000000' || n)::uuid, n || '@community.example', 'x', 'Person ' || n
from generate_series(1, 3) n
"""
OFFERS = """
insert into community.licences (code, name, description) values ('house', 'House', 'For the house.');
insert into community.report_reasons (code, name, description) values ('rude', 'Rude', 'Not nice.');
insert into community.profiles (id, user_id, name) values
    ('00000000-0000-0000-0000-000000000011', '00000000-0000-0000-0000-000000000001', 'Seller'),
    ('00000000-0000-0000-0000-000000000012', '00000000-0000-0000-0000-000000000002', 'Helper');
insert into community.listings (id, profile_id, licence_code, kind, title, price, currency) values
    ('00000000-0000-0000-0000-000000000021', '00000000-0000-0000-0000-000000000011', 'house', 'automation', 'Lamp', 10, 'USD'),
    ('00000000-0000-0000-0000-000000000022', '00000000-0000-0000-0000-000000000011', 'house', 'scene', 'Free', 0, 'USD'),
    ('00000000-0000-0000-0000-000000000023', '00000000-0000-0000-0000-000000000011', 'house', 'service', 'Hour', 40, 'USD'),
    ('00000000-0000-0000-0000-000000000024', '00000000-0000-0000-0000-000000000011', 'house', 'scene', 'Euro', 5, 'EUR');
"""

EMPTY = """
do $$
declare
    found text;
begin
    for found in
        select format('%I.%I', schemaname, tablename)
        from pg_tables
        where schemaname = 'community'
           or tablename in ('users', 'audit_log', 'transactions', 'accounts', 'institutions', 'automations', 'scenes', 'playlists')
          and schemaname in ('core', 'financial', 'media', 'smart_home')
    loop
        execute 'delete from ' || found;
    end loop;
end
$$
"""


@dataclass
class Community:
    """A connection to it, and what tests do again and again."""

    url: URL
    connection: Connection
    opened: list[Connection] = field(default_factory=list)

    def do(self, statement: str, *values: object) -> None:
        self.connection.execute(statement.encode(), values)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode(), values).fetchall()

    def one(self, query: str, *values: object) -> Any:
        ((value,),) = self.rows(query, *values)
        return value

    def refuses(self, error: type[Error] | tuple[type[Error], ...], statement: str, *values: object) -> None:
        """Try a statement in a transaction of its own, to its end."""
        with pytest.raises(error), self.connection.transaction():
            self.connection.execute(statement.encode(), values)

    def another(self) -> Connection:
        """Open a second connection, in transactions that end when they are told."""
        connection = connect(self.url)
        connection.autocommit = False
        self.opened.append(connection)
        return connection

    def order(self, *bought: tuple[UUID, str], currency: str = "USD") -> UUID:
        """Order listings at prices; the order is open."""
        total = sum(Decimal(price) for _, price in bought)
        with self.connection.transaction():
            order = self.one(
                "insert into community.orders (buyer_id, currency, total) values (%s, %s, %s) returning id",
                *(BUYER, currency, total),
            )
            for listing, price in bought:
                self.do(
                    "insert into community.order_items (order_id, buyer_id, listing_id, currency, unit_price)"
                    " values (%s, %s, %s, %s, %s)",
                    *(order, BUYER, listing, currency, price),
                )
        return order

    def pay(self, order: UUID) -> UUID:
        self.do("update community.orders set status = 'paid', paid_at = now() where id = %s", order)
        return order

    def grant(self, order: UUID) -> UUID:
        return self.one(
            "insert into community.licence_grants (order_item_id, listing_id, user_id, licence_code)"
            " select id, listing_id, buyer_id, 'house' from community.order_items where order_id = %s returning id",
            order,
        )

    def share(self, listing: UUID, during: str, shares: Sequence[tuple[UUID, str]]) -> UUID:
        """Make a plan of revenue with its shares."""
        with self.connection.transaction():
            plan = self.one(
                "insert into community.revenue_plans (listing_id, during) values (%s, %s::daterange) returning id",
                *(listing, during),
            )
            for profile, percent in shares:
                self.do("insert into community.revenue_shares values (%s, %s, %s)", plan, profile, percent)
        return plan

    def account(self, profile: UUID | None, kind: str = "earnings", currency: str = "USD") -> UUID:
        return self.one(
            "insert into community.accounts (profile_id, kind, currency) values (%s, %s, %s) returning id",
            *(profile, kind, currency),
        )

    def event(self, reference: str) -> UUID:
        """Write a row of the journal, without entries."""
        return self.one(
            "insert into community.journal (kind, reference) values ('adjustment', %s) returning id",
            reference,
        )

    def balance(self, account: UUID) -> Decimal:
        return self.one("select balance from community.account_balances where account_id = %s", account)


@contextmanager
def kept(executor: NoopExecutor, name: str) -> Iterator[URL]:
    """Keep a database at the head for the tests of a module: to make one takes longer than a test."""
    where = {"host": executor.host, "port": str(executor.port)}
    admin = URL.create("postgresql+psycopg", executor.user, host="", database="postgres", query=where)
    name = f"{name}_{os.getpid()}"
    with connect(admin) as connection:
        connection.execute(f"drop database if exists {name} with (force)".encode())
        connection.execute(f"create database {name} template {executor.template_dbname}".encode())
        yield admin.set(database=name)
        connection.execute(f"drop database {name} with (force)".encode())


@contextmanager
def community(url: URL) -> Iterator[Community]:
    """Build it anew; what an earlier test left is taken away, with no trigger in its way."""
    with connect(url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(EMPTY)
        connection.execute("reset session_replication_role")
        connection.execute(PEOPLE)
        connection.execute(OFFERS)
        built = Community(url, connection)
        try:
            yield built
        finally:
            for other in built.opened:
                other.close()


ENTRY = (
    "insert into community.ledger_entries (journal_id, account_id, currency, amount) values (%s, %s, %s, %s)"
)
