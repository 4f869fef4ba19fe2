"""Laws of the models and entities that need no database to be checked."""

import re
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, Index, Table, UniqueConstraint

from homeops_db.entities import AUDITED, SQL, UPDATED
from homeops_db.models import metadata
from homeops_db.naming import SCHEMAS

TABLES = list(metadata.tables.values())
NAME_LIMIT = 63  # bytes; PostgreSQL cuts longer names in silence

STRATEGY = {
    "core.users": {"email", "password_hash", "full_name", "role", "created_at"},
    "core.system_config": {"key", "value", "category", "description"},
    "financial.institutions": {"name", "type", "api_config"},
    "financial.accounts": {"user_id", "account_type"},
    "financial.transactions": {"account_id", "amount", "transaction_date"},
    "media.items": {"title", "type", "library_id"},
    "smart_home.rooms": {"name", "type", "floor"},
}

# What the INSERT statements of the strategy give; all other columns must fill themselves.
GIVEN = {
    "core.users": {"email", "password_hash", "full_name", "role"},
    "core.system_config": {"key", "value", "category"},
    "financial.institutions": {"name", "type"},
    "media.items": {"title", "type", "library_id"},
    "smart_home.rooms": {"name", "type", "floor"},
}

SECRET = re.compile(r"_hash$|^api_config$|^credentials$|secret|token|password")


def index_columns(table: Table) -> list[list[str]]:
    """List the columns of every plain btree, in order: primary key, unique constraints, indexes."""
    unique = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    plain = [
        index
        for index in table.indexes
        if all(index.dialect_options["postgresql"][k] in {None, False} for k in ("using", "where"))
    ]
    keys = [[column.name for column in c.columns] for c in (table.primary_key, *unique)]
    return keys + [[str(term).split(".")[-1].split()[0] for term in index.expressions] for index in plain]


def names(table: Table) -> list[tuple[str, str]]:
    kinds = [(c.__visit_name__, str(c.name)) for c in table.constraints]
    return kinds + [("index", str(index.name)) for index in table.indexes]


def test_there_are_as_many_tables_as_a_house_needs() -> None:
    assert len(TABLES) >= 25
    assert {table.schema for table in TABLES} == set(SCHEMAS)


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_every_table_has_a_primary_key(table: Table) -> None:
    assert list(table.primary_key.columns)


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_every_foreign_key_has_an_index_that_begins_with_it(table: Table) -> None:
    indexes = index_columns(table)
    for key in table.foreign_key_constraints:
        wanted = [column.name for column in key.columns]
        assert any(columns[: len(wanted)] == wanted for columns in indexes), key.name
        # SET NULL may name the columns: the others are part of another key.
        assert str(key.ondelete).partition(" (")[0] in {"CASCADE", "RESTRICT", "SET NULL"}, key.name


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_names_follow_the_convention_and_fit(table: Table) -> None:
    prefixes = {
        "primary_key_constraint": "pk",
        "foreign_key_constraint": "fk",
        "unique_constraint": "uq",
        "check_constraint": "ck",
        "table_or_column_check_constraint": "ck",
        "exclude_constraint": "ex",
        "index": "ix|uq",
    }
    for kind, name in names(table):
        assert re.match(f"({prefixes[kind]})_{table.name}(_|$)", name), name
        assert len(name.encode()) <= NAME_LIMIT, name


def test_no_two_constraints_of_a_table_share_a_name() -> None:
    for table in TABLES:
        found = [name for _, name in names(table)]
        assert len(found) == len(set(found)), table.fullname


@pytest.mark.parametrize(("path", "columns"), STRATEGY.items())
def test_the_columns_of_the_strategy_are_there(path: str, columns: set[str]) -> None:
    assert columns <= set(metadata.tables[path].columns.keys())


@pytest.mark.parametrize(("path", "given"), GIVEN.items())
def test_the_strategy_can_insert(path: str, given: set[str]) -> None:
    demanding = {
        column.name
        for column in metadata.tables[path].columns
        if not column.nullable and column.server_default is None and column.identity is None
    }
    assert demanding <= given


def test_emails_are_unique_whatever_their_case() -> None:
    (index,) = (i for i in metadata.tables["core.users"].indexes if i.unique)
    assert isinstance(index, Index)
    assert str(index.expressions[0]) == "lower(email)"


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_every_currency_and_percentage_is_checked(table: Table) -> None:
    checks = {str(c.name) for c in table.constraints if isinstance(c, CheckConstraint)}
    for column in table.columns:
        if column.name == "currency" or column.name.endswith("_percent"):
            assert f"ck_{table.name}_{column.name}" in checks


def test_updated_at_is_kept_wherever_it_stands() -> None:
    assert set(UPDATED) == {table.fullname for table in TABLES if "updated_at" in table.columns}


@pytest.mark.parametrize("path", AUDITED)
def test_the_audit_trail_leaves_every_secret_out(path: str) -> None:
    columns = metadata.tables[path].columns
    assert set(AUDITED[path]) == {column.name for column in columns if SECRET.search(column.name)}


def files_of(kind: str) -> list[Path]:
    return [p for p in sorted(SQL.glob("*/*.sql")) if p.read_text().startswith(f"CREATE OR REPLACE {kind} ")]


def test_every_file_of_sql_is_a_function_or_a_view() -> None:
    assert sorted(files_of("FUNCTION") + files_of("VIEW")) == sorted(SQL.glob("*/*.sql"))


@pytest.mark.parametrize("path", files_of("VIEW"), ids=lambda path: path.stem)
def test_views_are_called_like_their_files(path: Path) -> None:
    assert path.read_text().startswith(f"CREATE OR REPLACE VIEW {path.parent.name}.{path.stem} AS\n")


@pytest.mark.parametrize("path", files_of("FUNCTION"), ids=lambda path: path.stem)
def test_functions_run_as_their_caller_with_a_fixed_search_path(path: Path) -> None:
    text = path.read_text()
    if text.startswith(f"CREATE OR REPLACE VIEW {path.parent.name}.{path.stem} AS\n"):
        return
    assert f"CREATE OR REPLACE FUNCTION {path.parent.name}.{path.stem}(" in text
    assert "SECURITY INVOKER\nSET search_path = pg_catalog, pg_temp\n" in text
