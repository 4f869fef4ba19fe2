"""Who may do what: the two groups, and PUBLIC."""

import json
import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.engine import URL

from homeops_db.naming import EXTENSIONS
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout

SECRETS = [
    ("core.users", "password_hash"),
    ("core.sessions", "token_hash"),
    ("core.api_keys", "key_hash"),
    ("financial.institutions", "api_config"),
    ("smart_home.devices", "credentials"),
    ("community.licence_grants", "key_hash"),
]


def member(url: URL, group: str) -> Iterator[Connection]:
    """Log in as a role that has nothing but its membership, as an application would."""
    name = f"tests_{group}_{os.getpid()}"
    with connect(url) as admin:
        admin.execute(f"create role {name} login in role {group}")
        try:
            with psycopg.connect(libpq(url.set(username=name)), autocommit=True) as connection:
                yield connection
        finally:
            admin.execute(f"drop role {name}")


@pytest.fixture
def app(database_url: URL) -> Iterator[Connection]:
    yield from member(database_url, "homeops_app")


@pytest.fixture
def readonly(database_url: URL) -> Iterator[Connection]:
    with connect(database_url) as admin:
        admin.execute(
            "insert into core.users (email, password_hash, full_name, role) values ('a@b.c', 'h', 'A', 'user')"
        )
    yield from member(database_url, "homeops_readonly")


def refused(connection: Connection, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        connection.execute(statement)


def test_the_application_reads_and_writes_rows(app: Connection) -> None:
    app.execute(
        "insert into core.users (email, password_hash, full_name, role) values ('a@b.c', 'h', 'A', 'user')"
    )
    app.execute("update core.users set full_name = 'B'")
    assert app.execute("select full_name, password_hash from core.users").fetchall() == [("B", "h")]
    app.execute("delete from core.users")


BEYOND = [
    "create table core.mine (id int)",
    "create schema mine",
    "alter table core.users add x int",
    "drop table core.users",
    "truncate core.users",
    "select * from migrations.schema_versions",
    "update core.audit_log set actor = 'nobody'",
    "delete from core.audit_log",
]


def test_the_application_may_do_no_more(app: Connection) -> None:
    for statement in BEYOND:
        refused(app, statement)


def test_readonly_reads_everything_but_secrets(readonly: Connection) -> None:
    assert readonly.execute("select email, full_name from core.users").fetchall() == [("a@b.c", "A")]
    assert readonly.execute(
        "select count(*) from core.audit_log where new_row::text like '%password_hash%'"
    ).fetchone() == (0,)
    refused(readonly, "select * from core.users")
    refused(readonly, "update core.users set full_name = 'x'")
    refused(readonly, "select * from migrations.schema_versions")


def test_readonly_sees_no_secret(readonly: Connection) -> None:
    for table, column in SECRETS:
        refused(readonly, f"select {column} from {table}")


def test_tables_of_later_revisions_follow(database_url: URL) -> None:
    with connect(database_url) as admin:
        admin.execute("create table media.later (id int generated always as identity, name text)")
        admin.execute("create sequence media.numbers")
    for connection in member(database_url, "homeops_app"):
        connection.execute("insert into media.later (name) values ('a')")
        connection.execute("select nextval('media.numbers')")
    for connection in member(database_url, "homeops_readonly"):
        assert connection.execute("select name from media.later").fetchall() == [("a",)]
        refused(connection, "insert into media.later (name) values ('b')")


def test_nothing_of_ours_is_granted_to_public(database_url: URL) -> None:
    query = """
        select format('%s %s', kind, name) from (
            select 'schema' kind, nspname name, coalesce(nspacl, acldefault('n', nspowner)) acl, oid namespace from pg_namespace
            union all
            select 'relation', relname, coalesce(relacl, acldefault('r', relowner)), relnamespace from pg_class where relkind in ('r', 'v', 'p')
            union all
            select 'function', proname, coalesce(proacl, acldefault('f', proowner)), pronamespace from pg_proc
        ) everything, aclexplode(acl) granted
        where granted.grantee = 0
          and namespace in (select oid from pg_namespace where nspname in ('core', 'financial', 'media', 'smart_home', 'community', 'migrations'))
    """
    with connect(database_url) as connection:
        assert connection.execute(query).fetchall() == []


def test_functions_are_invokers_with_a_fixed_search_path(database_url: URL) -> None:
    query = """
        select p.proname, p.prosecdef, p.proconfig from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in ('core', 'financial', 'media', 'smart_home', 'community', 'migrations')
          -- A range type's constructors belong to the type.
          and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i')
    """
    with connect(database_url) as connection:
        found = connection.execute(query).fetchall()
    assert {name for name, _, _ in found} >= {"set_updated_at", "record_audit", "check_migration_health"}
    assert {(definer, tuple(config)) for _, definer, config in found} == {
        (False, ("search_path=pg_catalog, pg_temp",))
    }


def test_views_read_with_the_rights_of_who_asks(database_url: URL) -> None:
    query = """
        select c.oid::regclass::text, coalesce(c.reloptions, '{}')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'v' and n.nspname in ('core', 'financial', 'media', 'smart_home', 'community', 'ai')
    """
    with connect(database_url) as connection:
        found = dict(connection.execute(query).fetchall())
    assert len(found) >= 12
    assert [name for name, options in found.items() if "security_invoker=true" not in options] == []


def test_a_migrator_that_may_not_make_roles_goes_on_and_status_says_so(
    checkout: Checkout, empty_url: URL
) -> None:
    """The groups exist in every cluster that was migrated once, so this copy's groups have other names."""
    owner = f"tests_owner_{os.getpid()}"
    for path in (
        checkout.root / "homeops_db" / "naming.py",
        *(checkout.root / "alembic" / "versions").glob("*.py"),
    ):
        path.write_text(
            path.read_text().replace("homeops_app", "absent_app").replace("homeops_readonly", "absent_ro")
        )
    with connect(empty_url) as admin:
        for name in EXTENSIONS:
            admin.execute(f'create extension if not exists "{name}"')
        admin.execute(f"create role {owner} login")
        admin.execute(f"grant create on database {empty_url.database} to {owner}")
        try:
            url = libpq(empty_url.set(username=owner))
            checkout.run("alembic", "upgrade", "head", HOMEOPS_DATABASE_URL=url)
            found = json.loads(
                checkout.run("homeops-db", "status", "--json", HOMEOPS_DATABASE_URL=url).stdout
            )
            assert found["missing_roles"] == ["absent_app", "absent_ro"]
            assert "absent_app" in checkout.run("homeops-db", "status", HOMEOPS_DATABASE_URL=url).stdout
            checkout.run("alembic", "downgrade", "base", HOMEOPS_DATABASE_URL=url)
        finally:
            admin.execute(f"drop owned by {owner}")
            admin.execute(f"drop role {owner}")
