"""Revisions with online operations, run by the real command line, and by psql from what `--sql` wrote."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from psycopg import Connection, sql
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import OnlineError
from homeops_db.localdb import server
from homeops_db.settings import load
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout
from tests.fixtures.schema import dump

SHOP = """
op.execute('''
    create schema shop;
    create table shop.customers (id int primary key, email text, code varchar(10));
    create table shop.orders (
        id int primary key, customer_id int, number text, note text, state varchar(20) default 'new',
        legacy text, constraint ck_orders_number check (number <> '')
    );
    create index ix_orders_note on shop.orders (note);
    create table shop.events (id int not null, at date not null) partition by range (at);
    create table shop.events_2026 partition of shop.events for values from ('2026-01-01') to ('2027-01-01');
    create table shop.visits (id int not null, at date not null) partition by range (at);
    create table shop.visits_2027 (id int not null, at date not null);
    create table shop.lines (id int primary key, amount double precision not null default 0.5);
    create index ix_lines_amount on shop.lines (amount);
    create table shop.stock (id int primary key, price double precision default 1.5, name text not null);
    create index ix_stock_name on shop.stock (name);
    insert into shop.stock values (1, 2.5, 'Pen'), (2, null, 'Ink');
    insert into shop.lines values (1, 1.25), (2, 0.5);
    insert into shop.customers values (1, 'a@b.c', 'a'), (3, 'c@b.a', 'b');
    insert into shop.orders values (1, 1, '1', 'it''s 100%', 'new', 'l');
    alter table shop.orders add constraint ck_orders_state check (state <> '') not valid;
''')
"""
NO_SHOP = "op.execute('drop schema shop cascade')"

# The last column: online it is another one at the end of the table, in a script the same one.
CHANGE = """
        amount = online.TypeChange("lines", "amount", sa.Numeric(15, 2), schema="shop",
                                   up="amount::numeric(15,2)", down="amount::double precision")
"""
RESTRUCTURE = """
        stock = online.Restructure(
            "stock", schema="shop",
            columns=["id", sa.Column("price", sa.Numeric(10, 2)), "name",
                     sa.Column("label", sa.String(20), server_default="none", nullable=False, comment="it's 100%")],
            transform={"price": "price::numeric(10,2)", "label": "upper(name)"},
            back={"price": "price::double precision"},
        )
"""
OPERATIONS: dict[str, tuple[str, str]] = {
    "create_index": (
        """
        online.create_index("ix_orders_open", "orders", [sa.text("lower(number)"), "customer_id"], schema="shop",
                            postgresql_where="note like '100%' or note = 'a:b'", postgresql_include=["state"])
        online.create_index(op.f("uq_customers_email"), "customers", ["email"], unique=True, schema="shop")
        online.create_index("ix_events_id", "events", ["id"], schema="shop")
        """,
        """
        online.drop_index("ix_events_id", table_name="events", schema="shop")
        online.drop_index(op.f("uq_customers_email"), table_name="customers", schema="shop")
        online.drop_index("ix_orders_open", schema="shop")
        """,
    ),
    "drop_index": (
        'online.drop_index("ix_orders_note", table_name="orders", schema="shop")',
        'online.create_index("ix_orders_note", "orders", ["note"], schema="shop")',
    ),
    "reindex": ('online.reindex("orders_pkey", schema="shop")',) * 2,
    "create_check_constraint": (
        """
        online.create_check_constraint("ck_orders_note", "orders", "note ~ '^[^:]*$' and note <> '%'", schema="shop")
        online.create_check_constraint("ck_events_id", "events", sa.column("id") > 0, schema="shop")
        """,
        """
        online.drop_constraint("ck_events_id", "events", type_="check", schema="shop")
        online.drop_constraint("ck_orders_note", "orders", type_="check", schema="shop")
        """,
    ),
    "create_foreign_key": (
        """
        online.create_foreign_key("fk_orders_customer_id", "orders", "customers", ["customer_id"], ["id"],
                                  source_schema="shop", referent_schema="shop", ondelete="CASCADE",
                                  deferrable=True, initially="DEFERRED")
        """,
        'online.drop_constraint("fk_orders_customer_id", "orders", type_="foreignkey", schema="shop")',
    ),
    "create_unique_constraint": (
        'online.create_unique_constraint("uq_orders_number", "orders", ["number", "id"], schema="shop", deferrable=True)',
        'online.drop_constraint("uq_orders_number", "orders", type_="unique", schema="shop")',
    ),
    "validate_constraint": (
        'online.validate_constraint("ck_orders_state", "orders", schema="shop")',
        """
        online.drop_constraint("ck_orders_state", "orders", schema="shop")
        online.create_check_constraint("ck_orders_state", "orders", "state <> ''", schema="shop", postgresql_not_valid=True)
        """,
    ),
    "drop_constraint": (
        'online.drop_constraint("ck_orders_number", "orders", schema="shop")',
        """online.create_check_constraint("ck_orders_number", "orders", "number <> ''", schema="shop")""",
    ),
    "add_column": (
        """
        online.add_column("orders", sa.Column("paid", sa.Boolean, server_default=sa.false(), nullable=False,
                                              comment="whether it's 100% paid"), schema="shop")
        online.add_column("orders", sa.Column("parent_id", sa.Integer), schema="shop")
        """,
        """
        online.drop_column("orders", "parent_id", schema="shop")
        online.drop_column("orders", "paid", schema="shop")
        """,
    ),
    "add_column with a volatile default": (
        """
        online.add_column("orders", sa.Column("lot", sa.Integer, server_default=sa.text("floor(random())::int"),
                                              nullable=False, comment="it's 100% of:them"), schema="shop")
        online.add_column("events", sa.Column("lot", sa.Uuid, server_default=sa.func.gen_random_uuid()), schema="shop")
        """,
        """
        online.drop_column("events", "lot", schema="shop")
        online.drop_column("orders", "lot", schema="shop")
        """,
    ),
    "backfill": (
        """
        online.backfill("orders", {"legacy": "legacy || ':a%'", "note": "number"}, schema="shop", where="legacy NOT LIKE '%:a%'")
        online.backfill("customers", {"code": "upper(code)"}, schema="shop")
        """,
        """
        online.backfill("customers", {"code": "lower(code)"}, schema="shop")
        online.backfill("orders", {"legacy": "replace(legacy, ':a%', '')", "note": "'it''s 100%'"}, schema="shop",
                        where="legacy LIKE '%:a%'")
        """,
    ),
    "batched_insert": (
        """
        op.execute("create table if not exists shop.archive (id int, note text, at date)")
        online.batched_insert("archive", "SELECT id, note FROM shop.orders WHERE note <> 'a:b'", schema="shop")
        """,
        'op.execute("drop table shop.archive")',
    ),
    "batched_delete": (
        """
        online.batched_delete("customers", schema="shop",
                              where="NOT EXISTS (SELECT FROM shop.orders o WHERE o.customer_id = customers.id)")
        """,
        """
        online.batched_insert("customers", "SELECT id + 2 AS id, 'c@b.a' AS email, 'b' AS code FROM shop.orders",
                              schema="shop", on_conflict="nothing")
        """,
    ),
    "drop_column": (
        'online.drop_column("orders", "legacy", schema="shop")',
        'online.add_column("orders", sa.Column("legacy", sa.Text), schema="shop")',
    ),
    "alter_column": (
        """
        online.alter_column("orders", "number", nullable=False, schema="shop")
        online.alter_column("customers", "code", type_=sa.Text, existing_type=sa.String(10), schema="shop")
        online.alter_column("orders", "state", server_default="open", comment="it's 'open': 100%", schema="shop")
        """,
        """
        online.alter_column("orders", "state", server_default="new", comment=None, schema="shop")
        online.alter_column("orders", "number", nullable=True, schema="shop")
        """,
    ),
    "attach_partition": (
        """
        online.attach_partition("visits", "visits_2027", "FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')", schema="shop")
        """,
        'online.detach_partition("visits", "visits_2027", schema="shop")',
    ),
    "TypeChange": (
        f"""
        {CHANGE}
        amount.expand(); amount.switch(); amount.contract()
        """,
        f"""
        {CHANGE}
        amount.undo_contract(); amount.undo_switch(); amount.undo_expand()
        """,
    ),
    "Restructure": (
        f"""
        {RESTRUCTURE}
        stock.expand(); stock.switch(); stock.contract()
        """,
        f"""
        {RESTRUCTURE}
        stock.undo_contract(); stock.undo_switch(); stock.undo_expand()
        """,
    ),
    "detach_partition": (
        'online.detach_partition("events", "events_2026", schema="shop")',
        """
        online.attach_partition("events", "events_2026", "FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')", schema="shop")
        """,
    ),
}  # fmt: skip
"""An upgrade and a downgrade for each; a dump of the schema tells whether they end alike by every way."""

NO_OPERATIONS = {"Backfilled", "Done", "create_exclude_constraint", "pace", "policy"}

IMPORTS = "import sqlalchemy as sa\nfrom homeops_db import online\n"
Add = Callable[..., Path]


def add(add_revision: Add, version: str, upgrade: str, downgrade: str = "pass") -> Path:
    path = add_revision(version, upgrade, downgrade)
    path.write_text(
        path.read_text().replace("from alembic import op\n", f"from alembic import op\n{IMPORTS}")
    )
    return path


@pytest.fixture
def database_url(first_url: URL) -> URL:
    """A database at the first version, as the checkout is."""
    return first_url


@pytest.fixture
def shop(checkout: Checkout, add_revision: Add, database_url: URL) -> Iterator[Connection]:
    """A database at v1.1.0, which made a shop, and a session in it."""
    add_revision("v1.1.0", SHOP, NO_SHOP)
    checkout.run("alembic", "upgrade", "v1.1.0", HOMEOPS_DATABASE_URL=libpq(database_url))
    with connect(database_url) as connection:
        yield connection


@pytest.fixture
def alembic(checkout: Checkout, database_url: URL) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `alembic …` on the shop's database."""

    def run(*words: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"HOMEOPS_DATABASE_URL": libpq(database_url), **environment}
        return checkout.run("alembic", *words, check=check, **given)

    return run


@pytest.fixture
def twin(shop: Connection, database_url: URL) -> Iterator[URL]:
    """A second database like the shop's."""
    name = f"{database_url.database}_twin"
    shop.close()
    with connect(database_url.set(database="postgres")) as admin:
        admin.execute(f"create database {name} template {database_url.database}")
        yield database_url.set(database=name)
        admin.execute(f"drop database {name} with (force)")


def psql(url: URL, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [server.ensure_running(load()).bin / "psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-d", libpq(url)],
        input=script, text=True, capture_output=True, check=False,
    )  # fmt: skip


def steps(connection: Connection, version: str) -> list[dict[str, object]]:
    found = connection.execute(
        "select detail from migrations.schema_events where version = %s and event = 'step' order by id",
        (version,),
    )
    return [json.loads(detail) for (detail,) in found]


def events(connection: Connection, version: str) -> list[str]:
    found = connection.execute(
        "select event from migrations.schema_events where version = %s and event <> 'step' order by id",
        (version,),
    )
    return [event for (event,) in found]


def standing(connection: Connection) -> tuple[str, str]:
    row = connection.execute(
        "select version_num, status from migrations.alembic_version"
        " join migrations.schema_versions on version = version_num"
    ).fetchone()
    assert row is not None
    return row


def contents(connection: Connection) -> dict[str, list[str]]:
    """The rows of the shop's tables; of a random column no more than whether it is NULL."""
    tables = connection.execute(
        "select tablename from pg_tables where schemaname = 'shop' order by 1"
    ).fetchall()
    query = "select regexp_replace(t::text, '[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}', 'uuid') from shop.{} t order by 1"
    return {
        table: [row for (row,) in connection.execute(sql.SQL(query).format(sql.Identifier(table)))]
        for (table,) in tables
    }


def test_every_operation_has_its_way_here() -> None:
    assert {name.split()[0] for name in OPERATIONS} == set(online.__all__) - NO_OPERATIONS


def test_up_and_down_end_alike_online_and_by_psql(
    alembic: Callable[..., subprocess.CompletedProcess[str]], add_revision: Add, database_url: URL, twin: URL
) -> None:
    versions = [f"v1.{number}.0" for number in range(2, 2 + len(OPERATIONS))]
    for version, code in zip(versions, OPERATIONS.values(), strict=True):
        add(add_revision, version, *code)
    before, head = dump(database_url), versions[-1]
    for words, path in ((("upgrade", head), f"v1.1.0:{head}"), (("downgrade", "v1.1.0"), f"{head}:v1.1.0")):
        alembic(*words, HOMEOPS_LOCK_TIMEOUT="2s")  # a busy machine takes its time for a switch
        script = alembic(words[0], path, "--sql").stdout
        ended = psql(twin, script)
        assert ended.returncode == 0, f"{ended.stderr}\n{script}"
        assert dump(twin) == dump(database_url)
        with connect(database_url) as online_run, connect(twin) as by_psql:
            assert contents(by_psql) == contents(online_run)
            assert contents(online_run)["orders"] != [], "there is something to compare"
    # Text was varchar(10), and going back would scan under a lock: it stays as it is.
    assert dump(database_url).replace("code text", "code character varying(10)") == before
    alembic("upgrade", head)
    with connect(database_url) as online_run, connect(twin) as by_psql:
        assert standing(online_run) == (head, "applied")
        assert standing(by_psql) == ("v1.1.0", "applied")
        for version, operation in zip(versions, OPERATIONS, strict=True):
            assert events(by_psql, version) == ["finished"] * 2
            objects = {"TypeChange": "type_change_switch", "Restructure": "restructure_switch"}
            named = objects.get(operation, operation.split()[0])
            assert named in {step["operation"] for step in steps(online_run, version)}


def test_a_script_is_transactions_around_operations_and_sets_back_its_timeouts(
    alembic: Callable[..., subprocess.CompletedProcess[str]], shop: Connection, add_revision: Add, twin: URL
) -> None:
    code = """
    op.execute("create table shop.first (id int)")
    online.create_check_constraint("ck_orders_note", "orders", "note <> ''", schema="shop")
    op.execute("create table shop.last as select current_setting('lock_timeout') l, current_setting('statement_timeout') s")
    """
    add(add_revision, "v1.2.0", code)
    script = alembic("upgrade", "v1.1.0:v1.2.0", "--sql", HOMEOPS_STATEMENT_TIMEOUT="7min").stdout
    told = re.findall(
        r"^(?:BEGIN|COMMIT|ALTER TABLE \"?shop|INSERT|UPDATE|CREATE TABLE shop|-- online|SET \w+_timeout = \S+)",
        script,
        re.MULTILINE | re.IGNORECASE,
    )
    opening = told.index("create table shop") - 1
    assert [word.upper() for word in told[opening:]] == [
        "BEGIN", "CREATE TABLE SHOP", "COMMIT",
        "-- ONLINE", "ALTER TABLE SHOP",
        "SET LOCK_TIMEOUT = 0;", "SET STATEMENT_TIMEOUT = 0;", 'ALTER TABLE "SHOP',
        "SET LOCK_TIMEOUT = '4000MS';", "SET STATEMENT_TIMEOUT = '420000MS';",
        "BEGIN", "CREATE TABLE SHOP", "UPDATE", "INSERT", "INSERT", "COMMIT",
    ]  # fmt: skip
    assert psql(twin, script).returncode == 0
    with connect(twin) as connection:
        assert connection.execute("select l, s from shop.last").fetchone() == ("4s", "7min")


def test_where_a_script_stopped_the_command_goes_on(
    alembic: Callable[..., subprocess.CompletedProcess[str]], add_revision: Add, twin: URL
) -> None:
    add(
        add_revision,
        "v1.2.0",
        'online.create_index("uq_c", "customers", ["email"], unique=True, schema="shop")',
    )
    script = alembic("upgrade", "v1.1.0:v1.2.0", "--sql").stdout
    with connect(twin) as connection:
        connection.execute("insert into shop.customers values (2, 'a@b.c')")
        assert psql(twin, script).returncode == 3, "a statement failed, and psql stopped there"
        assert standing(connection) == ("v1.1.0", "applied")
        connection.execute("delete from shop.customers where id = 2")
        alembic("upgrade", "head", HOMEOPS_DATABASE_URL=libpq(twin))
        assert standing(connection) == ("v1.2.0", "applied")
        assert connection.execute(
            "select indisvalid from pg_index where indexrelid = 'shop.uq_c'::regclass"
        ).fetchone() == (True,)


def test_where_a_script_that_adds_a_volatile_column_stopped_the_command_goes_on(
    alembic: Callable[..., subprocess.CompletedProcess[str]], add_revision: Add, twin: URL
) -> None:
    add(
        add_revision,
        "v1.2.0",
        """
        online.add_column("orders", sa.Column("lot", sa.Uuid, server_default=sa.func.gen_random_uuid()), schema="shop")
        """,
    )
    script = alembic("upgrade", "v1.1.0:v1.2.0", "--sql").stdout
    with connect(twin) as connection:
        connection.execute("""
            create function shop.refuse() returns trigger language plpgsql as $$ begin raise 'not now'; end $$;
            create trigger refuse before update on shop.orders for each row execute function shop.refuse()
        """)
        assert psql(twin, script).returncode == 3, "a statement failed, and psql stopped there"
        assert connection.execute("select lot from shop.orders").fetchall() == [(None,)]
        connection.execute("drop trigger refuse on shop.orders")
        alembic("upgrade", "head", HOMEOPS_DATABASE_URL=libpq(twin))
        assert standing(connection) == ("v1.2.0", "applied")
        assert connection.execute("select lot is null from shop.orders").fetchall() == [(False,)]


def test_a_backfill_is_seen_while_it_runs_and_afterwards(
    alembic: Callable[..., subprocess.CompletedProcess[str]],
    checkout: Checkout,
    shop: Connection,
    add_revision: Add,
    database_url: URL,
) -> None:
    shop.execute("insert into shop.orders (id, number) select g, g from generate_series(2, 3000) g")
    shop.execute("""
        create function shop.slowly() returns trigger language plpgsql as $$
        begin if new.id % 100 = 0 then perform pg_sleep(0.05); end if; return new; end $$;
        create trigger slowly before update on shop.orders for each row execute function shop.slowly()
    """)
    add(
        add_revision,
        "v1.2.0",
        """online.backfill("orders", {"note": "'n' || number"}, schema="shop", where="note IS NULL")""",
    )
    ended = alembic("upgrade", "head")
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("INFO")]
    assert "backfill shop.orders: filling" in lines
    assert "backfill shop.orders: proving" in lines
    assert "backfill shop.orders: vacuum" in lines
    assert "trigger slowly (shop.slowly) fires on each row" in ended.stderr
    assert shop.execute("select count(*) from shop.orders where note = 'n' || number").fetchone() == (2999,)
    begun, done = steps(shop, "v1.2.0")
    assert (begun["operation"], begun["backfill"]) == ("backfill", 1)
    assert (done["operation"], done["subject"], done["victims"]) == ("backfill", "shop.orders", 0)
    url = {"HOMEOPS_DATABASE_URL": libpq(database_url)}
    (listed,) = json.loads(checkout.run("homeops-db", "backfill", "list", "--json", **url).stdout)[
        "backfills"
    ]
    told = {name: listed[name] for name in ("id", "operation", "table", "revision", "state", "rows_done")}
    assert told == {
        "id": 1, "operation": "backfill", "table": "shop.orders", "revision": "v1.2.0", "state": "done",
        "rows_done": 2999,
    }  # fmt: skip
    assert "done" in checkout.run("homeops-db", "backfill", "list", **url).stdout


def test_op_and_online_in_one_revision_go_up_and_down_and_up(
    alembic: Callable[..., subprocess.CompletedProcess[str]], shop: Connection, add_revision: Add
) -> None:
    add(
        add_revision,
        "v1.2.0",
        """
        online.create_index("ix_orders_number", "orders", ["number"], schema="shop")
        op.create_table("shelves", sa.Column("id", sa.Integer), schema="shop")
        with op.get_context().autocommit_block():
            online.create_check_constraint("ck_orders_legacy", "orders", "legacy <> ''", schema="shop")
            op.execute("create index concurrently if not exists ix_orders_legacy on shop.orders (legacy)")
        op.execute("insert into shop.shelves values (1)")
        """,
        """
        op.execute("drop table shop.shelves")
        op.execute("drop index shop.ix_orders_legacy")
        online.drop_constraint("ck_orders_legacy", "orders", schema="shop")
        online.drop_index("ix_orders_number", schema="shop")
        """,
    )
    for words in (["upgrade", "head"], ["downgrade", "-1"], ["upgrade", "head"]):
        assert alembic(*words).stderr.count("Context impl") == 1, "Alembic speaks of the run, once"
    assert standing(shop) == ("v1.2.0", "applied")
    assert shop.execute("select count(*) from shop.shelves").fetchone() == (1,)
    assert events(shop, "v1.2.0") == ["started", "finished"] * 3


def test_an_error_is_one_line_and_the_same_command_goes_on_after_it_is_mended(
    alembic: Callable[..., subprocess.CompletedProcess[str]], shop: Connection, add_revision: Add
) -> None:
    add(
        add_revision,
        "v1.2.0",
        """
        online.create_index("ix_orders_number", "orders", ["number"], schema="shop")
        online.create_index("uq_customers_email", "customers", ["email"], unique=True, schema="shop")
        """,
    )
    shop.execute("insert into shop.customers values (2, 'a@b.c')")
    ended = alembic("upgrade", "head", check=False)
    assert ended.returncode == 4
    assert "Traceback" not in ended.stderr
    (told,) = [line for line in ended.stderr.splitlines() if not line.startswith("INFO")]
    assert "a@b.c" in told
    assert standing(shop) == ("v1.1.0", "applied")
    assert events(shop, "v1.2.0") == ["started", "failed"]
    detail = shop.execute("select detail from migrations.schema_events where event = 'failed'").fetchone()
    assert detail is not None
    assert "uq_customers_email" in detail[0]
    assert shop.execute(
        "select status from migrations.schema_versions where version = 'v1.2.0'"
    ).fetchone() == ("failed",)
    shop.execute("delete from shop.customers where id = 2")
    alembic("upgrade", "head")
    assert standing(shop) == ("v1.2.0", "applied")


def test_a_lock_that_cannot_be_had_is_a_report_and_exit_code_8(
    alembic: Callable[..., subprocess.CompletedProcess[str]], shop: Connection, add_revision: Add
) -> None:
    add(add_revision, "v1.2.0", 'online.drop_constraint("ck_orders_number", "orders", schema="shop")')
    shop.execute("set application_name = 'the old report'")
    shop.execute("begin; select from shop.orders")
    ended = alembic(
        "upgrade", "head", check=False, HOMEOPS_LOCK_TIMEOUT="10ms", HOMEOPS_LOCK_GIVE_UP_AFTER="300ms"
    )
    shop.execute("commit")
    assert ended.returncode == 8
    assert "Traceback" not in ended.stderr
    for word in (
        *("Gave up", "ACCESS EXCLUSIVE", "shop.orders", "the old report", f"pid {shop.info.backend_pid}"),
        *("within 0.3 s", "HOMEOPS_LOCK_GIVE_UP_AFTER"),
    ):
        assert word in ended.stderr
    assert events(shop, "v1.2.0") == ["started", "failed"]
    alembic("upgrade", "head")
    assert standing(shop) == ("v1.2.0", "applied")


@pytest.mark.parametrize(
    "call",
    [
        'online.create_index("i", "t", ["a"])',
        'online.drop_column("t", "a")',
        'online.add_column("t", sa.Column("a", sa.Text))',
        'online.backfill("t", {"a": "1"})',
        'online.batched_insert("t", "SELECT 1 AS a FROM u")',
        'online.batched_delete("t", "a = 1")',
    ],
)
def test_outside_a_revision_an_operation_says_where_it_belongs(call: str) -> None:
    with pytest.raises(OnlineError, match=r"upgrade\(\) or downgrade\(\).* Nothing was changed"):
        eval(call, {"online": online, "sa": sa})  # noqa: S307
