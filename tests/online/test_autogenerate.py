"""What `alembic revision --autogenerate` writes: online for tables in use, op for new ones, and it runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import op
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from psycopg import Connection
from sqlalchemy import Column, ForeignKeyConstraint, Index, MetaData, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from homeops_db import online
from homeops_db.naming import CONVENTION
from homeops_db.online.autogenerate import render_online
from homeops_db.settings import PROJECT_ROOT
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout
from tests.online.conftest import revision

OPTIONS = {"include_schemas": True, "compare_type": True, "compare_server_default": True}


def before() -> MetaData:
    metadata = MetaData(naming_convention=CONVENTION, schema="shop")
    Table("customers", metadata, Column("id", sa.Integer, primary_key=True), Column("email", sa.Text))
    orders = Table(
        "orders",
        metadata,
        Column("id", sa.Integer, primary_key=True),
        Column("customer_id", sa.Integer),
        Column("parent_id", sa.Integer),
        Column("number", sa.Text, nullable=False),
        Column("note", sa.String, nullable=True),
        Column("state", sa.Text, server_default="new"),
        Column("legacy", sa.Text, comment="to go"),
        UniqueConstraint("note", "number"),
        ForeignKeyConstraint(["parent_id"], ["shop.orders.id"]),
    )
    Index("ix_orders_old", orders.c.number, postgresql_where=sa.text("state = 'it''s 100%'"), unique=True)
    legacy = Table("legacy", metadata, Column("id", sa.Integer, primary_key=True), Column("a", sa.Text))
    Index("ix_legacy_a", legacy.c.a)
    return metadata


def after() -> MetaData:
    metadata = MetaData(naming_convention=CONVENTION, schema="shop")
    Table("customers", metadata, Column("id", sa.Integer, primary_key=True), Column("email", sa.Text))
    orders = Table(
        "orders",
        metadata,
        Column("id", sa.Integer, primary_key=True, comment="its number"),
        Column("customer_id", sa.Integer),
        Column("parent_id", sa.Integer),
        Column("number", sa.Text, nullable=False),
        Column("note", sa.Text, nullable=False),
        Column("state", sa.Text, server_default="open", comment="where it stands: 'open' or op.f(it)"),
        Column("paid", sa.Boolean, server_default=sa.text("false"), nullable=False),
        Column("shelf_id", sa.Integer),
        Column("token", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        UniqueConstraint("number", deferrable=True, initially="DEFERRED"),
        ForeignKeyConstraint(["customer_id"], ["shop.customers.id"], ondelete="CASCADE", onupdate="RESTRICT"),
        ForeignKeyConstraint(["shelf_id"], ["shop.shelves.id"], deferrable=True, initially="DEFERRED"),
    )
    Index(
        "ix_orders_open",
        sa.text("lower(number)"),
        orders.c.id.desc(),
        postgresql_where=orders.c.state == "open",
        postgresql_include=["note"],
    )
    Index("ix_orders_note", orders.c.note, postgresql_using="hash", postgresql_with={"fillfactor": 50})
    shelves = Table(
        "shelves",
        metadata,
        Column("id", sa.Integer, primary_key=True),
        Column("order_id", sa.Integer, sa.ForeignKey("shop.customers.id"), index=True),
    )
    Index("ix_shelves_pattern", shelves.c.id, unique=True)
    return metadata


def compared(connection: sa.Connection, metadata: MetaData) -> MigrationContext:
    return MigrationContext.configure(
        connection,
        opts={**OPTIONS, "target_metadata": metadata, "include_name": lambda name, kind, _: kind != "schema" or name == "shop"},
    )  # fmt: skip


def differences(url: URL, metadata: MetaData) -> list[object]:
    with sa.create_engine(url, poolclass=NullPool).connect() as connection:
        return compare_metadata(compared(connection, metadata), metadata)


def written(url: URL, metadata: MetaData) -> tuple[str, str]:
    """The bodies of upgrade and downgrade that lead to the metadata."""
    with sa.create_engine(url, poolclass=NullPool).connect() as connection:
        context = compared(connection, metadata)
        script = produce_migrations(context, metadata)
        render_online(context, (), [script])
        bodies = [
            render_python_code(direction, migration_context=context, imports=set())
            for direction in (script.upgrade_ops, script.downgrade_ops)
        ]
        return bodies[0], bodies[1]


def run(url: URL, body: str) -> None:
    with revision(url):
        exec(f"if True:\n    {body}", {"sa": sa, "op": op, "online": online, "postgresql": postgresql})  # noqa: S102


def called(body: str) -> list[str]:
    return re.findall(r"^ *((?:op|online)\.\w{2,})\(", body, re.MULTILINE)


def test_every_kind_of_change_runs_up_and_down_and_up(any_url: URL, db: Connection) -> None:
    db.execute("drop schema if exists shop cascade; create schema shop")
    engine = sa.create_engine(any_url, poolclass=NullPool)
    before().create_all(engine)
    db.execute("insert into shop.customers values (1, 'a@b.c')")
    db.execute("insert into shop.orders (id, customer_id, number, note) values (1, 1, 'x', 'y')")
    upgrade, downgrade = written(any_url, after())
    plain = {word for body in (upgrade, downgrade) for word in called(body) if word.startswith("op.")}
    assert plain == {"op.create_table", "op.create_index", "op.drop_index", "op.drop_table"}
    assert {word for word in called(upgrade) if word.startswith("online.")} == {
        "online.add_column", "online.alter_column", "online.create_foreign_key", "online.create_index",
        "online.create_unique_constraint", "online.drop_column", "online.drop_constraint", "online.drop_index",
    }  # fmt: skip
    for body, metadata in ((upgrade, after()), (downgrade, before()), (upgrade, after())):
        run(any_url, body)
        assert differences(any_url, metadata) == []
    db.execute("drop schema shop cascade")


def test_a_check_constraint_is_written_online_too() -> None:
    found = ops.UpgradeOps(
        [
            ops.ModifyTableOps(
                "orders",
                [
                    ops.CreateCheckConstraintOp("ck_orders_number", "orders", sa.text("number <> ''"), schema="shop"),
                    ops.DropConstraintOp("ck_orders_old", "orders", type_="check", schema="shop"),
                ],
                schema="shop",
            )
        ]
    )  # fmt: skip
    script = ops.MigrationScript("v1.1.0", found, ops.DowngradeOps([]))
    render_online(None, (), [script])
    body = render_python_code(
        script.upgrade_ops, migration_context=MigrationContext.configure(dialect_name="postgresql")
    )
    assert called(body) == ["online.create_check_constraint", "online.drop_constraint"]


def test_a_revision_of_new_tables_alone_stays_plain(any_url: URL, db: Connection) -> None:
    db.execute("drop schema if exists shop cascade; create schema shop")
    for body in written(any_url, before()):
        assert "online." not in body
        assert "if_" not in body, "one transaction: nothing is left to get past"
    db.execute("drop schema shop cascade")


COLUMNS = """
    device: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    household_id: Mapped[uuid.UUID | None] = reference("core.households.id", ondelete="CASCADE")
    trusted_by: Mapped[uuid.UUID | None] = mapped_column(unique=True)
"""


@pytest.fixture
def changed(whole_checkout: Checkout) -> Checkout:
    """A checkout whose sessions have three columns more, with an index, a foreign key and a unique constraint."""
    model = whole_checkout.root / "homeops_db" / "models" / "core.py"
    text = model.read_text()
    last = "    revoked_at: Mapped[dt.datetime | None]\n"
    assert text.count(f"{last}\n\nclass ApiKey") == 1
    shutil.copy(PROJECT_ROOT / "pyproject.toml", whole_checkout.root)  # the formatter's rules
    model.write_text(text.replace(f"{last}\n\nclass ApiKey", f"{last}{COLUMNS}\n\nclass ApiKey"))
    return whole_checkout


def test_the_command_line_writes_a_revision_that_runs_as_it_is(changed: Checkout, database_url: URL) -> None:
    url = {"HOMEOPS_DATABASE_URL": libpq(database_url)}
    changed.run("alembic", "revision", "--autogenerate", "-m", "session devices", **url)
    path = max((changed.root / "alembic" / "versions").glob("*.py"))
    body = path.read_text()
    assert called(body) == [
        *("online.add_column",) * 3, "online.create_index", "online.create_unique_constraint",
        "online.create_foreign_key", "online.drop_constraint", "online.drop_constraint", "online.drop_index",
        *("online.drop_column",) * 3,
    ]  # fmt: skip
    assert_clean(path)
    with connect(database_url) as traffic:
        traffic.execute(
            "insert into core.users (email, password_hash, full_name) values ('a@b.c', 'x', 'A');"
            "insert into core.sessions (user_id, token_hash, expires_at) select id, 't', now() + '1 day' from core.users"
        )
        for words in (["upgrade", "head"], ["check"], ["downgrade", "-1"], ["upgrade", "head"]):
            changed.run("alembic", *words, **url)
        assert traffic.execute("select device, household_id from core.sessions").fetchall() == [({}, None)]


def assert_clean(path: Path) -> None:
    """The linter and the formatter have nothing to say, as `make check` runs them."""
    for check in (["check"], ["format", "--check"]):
        ended = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--stdin-filename", f"alembic/versions/{path.name}", "-"],
            input=path.read_text(), text=True, cwd=PROJECT_ROOT, check=False, capture_output=True,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
