"""online.TypeChange by pairs of types: the rows of every state against a model, value by value.

The model knows of each row what either column must say. Values are written before and after every step by a
second session, in the type that the application has there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import UserDefinedType

from homeops_db import online
from homeops_db.errors import UnsafeError, ViolationError
from tests.online.columns import MOSTLY_HERE
from tests.online.filling import nobody_else_counts, rows, scalar, slowly  # noqa: F401

STEPS = (
    "expand", "switch", "undo_switch", "switch", "contract", "undo_contract", "undo_switch", "undo_expand",
    "expand", "switch",
)  # fmt: skip


class Named(UserDefinedType[Any]):
    """A type that SQLAlchemy has no class for."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: object) -> str:
        return self.name


@dataclass(frozen=True)
class Pair:
    """Two types of a column ``c``, and what values become.

    Attributes:
        old: The old type, and what else is said of the column.
        made: What must be there before the table.
        there: Values that the old type is written with: as it says them, as the new one does, and as the old
            one says what is made of that; without the last it is the first.
        back: Values that the new type is written with: as it says them, as the old one does, and as the new
            one says what is made of that.
        around: What hangs on the column.
    """

    old: str
    type_: Any
    up: str
    down: str
    there: Sequence[tuple[str, ...]]
    back: Sequence[tuple[str, ...]]
    made: str = ""
    around: str = (
        "create index ix on t (c) where c is not null; alter table t add constraint uq unique (c, id)"
    )

    @property
    def change(self) -> online.TypeChange:
        return online.TypeChange("t", "c", self.type_, up=self.up, down=self.down)


CITEXT = ([("Ann@Example.org", "Ann@Example.org"), ("", ""), ("ä", "ä")], [("BOB", "BOB"), ("bob ", "bob ")])
BERLIN = "c at time zone 'Europe/Berlin'"
DAYS = """
create function day_of(text) returns date language sql immutable strict
    return make_date(split_part($1, '-', 1)::int, split_part($1, '-', 2)::int, split_part($1, '-', 3)::int);
create function said(date) returns text language sql immutable strict
    return lpad(extract(year from $1)::text, 4, '0') || '-' || lpad(extract(month from $1)::text, 2, '0')
           || '-' || lpad(extract(day from $1)::text, 2, '0');
"""
UUID = "0b8c7c2e-9d1b-4a58-8e0d-3f1c0a6b2d11"

PAIRS: dict[str, Pair] = {
    "smallint to int": Pair(
        "smallint default 7 check (c > -40000)", sa.Integer(), "c::integer", "c::smallint",
        [("-32768", "-32768"), ("0", "0"), ("32767", "32767")], [("12", "12"), ("-9", "-9")],
    ),
    "int to bigint": Pair(
        "int", sa.BigInteger(), "c::bigint", "c::integer",
        [("-2147483648", "-2147483648"), ("2147483647", "2147483647")], [("5", "5")],
    ),
    "int to numeric": Pair(
        "int default 3 check (c <> 13)", sa.Numeric(14, 2), "c::numeric(14,2)", "round(c)::integer",
        [("-2147483648", "-2147483648.00"), ("0", "0.00")],
        [("7.00", "7"), ("7.25", "7", "7.00"), ("-0.50", "-1", "-1.00")],
    ),
    "double to numeric": Pair(
        "double precision default 0.5 check (c > -1000 or c is null)", sa.Numeric(15, 2), "c::numeric(15,2)",
        "c::double precision",
        [("0.25", "0.25"), ("0.30000000000000004", "0.30", "0.3"), ("-0", "0.00", "0"), ("1e-300", "0.00", "0"),
         ("NaN", "NaN"), ("123456789012.34", "123456789012.34")],
        [("8.10", "8.1"), ("9999999999999.99", "9999999999999.99"), ("NaN", "NaN")],
    ),
    "a wider scale": Pair(
        "numeric(12,2) default 1", sa.Numeric(14, 4), "c::numeric(14,4)", "c::numeric(12,2)",
        [("1.25", "1.2500"), ("9999999999.99", "9999999999.9900")],
        [("3.1416", "3.14", "3.1400"), ("0.0050", "0.01", "0.0100")],
    ),
    "a narrower scale": Pair(
        "numeric(12,4) default 1", sa.Numeric(12, 2), "c::numeric(12,2)", "c::numeric(12,4)",
        [("1.2345", "1.23", "1.2300"), ("0.0050", "0.01", "0.0100"), ("NaN", "NaN")], [("7.10", "7.1000")],
    ),
    "text to enum": Pair(
        "text default 'sad' check (c in ('sad', 'ok', 'it''s'))",
        postgresql.ENUM("sad", "ok", "it's", name="mood"), "c::mood", "c::text",
        [("sad", "sad"), ("it's", "it's")], [("ok", "ok")],
        made="create type mood as enum ('sad', 'ok', 'it''s')",
    ),
    "enum to text": Pair(
        "mood default 'sad'", sa.Text(), "c::text", "c::mood", [("sad", "sad"), ("it's", "it's")], [("ok", "ok")],
        made="create type mood as enum ('sad', 'ok', 'it''s')",
    ),
    "varchar to text": Pair(
        "varchar(12) default 'x'", sa.Text(), "c::text", "c::varchar(12)",
        [("a", "a"), ("a  ", "a  "), ("", ""), ("12345678901\\", "12345678901\\")],
        [("b", "b"), ("much longer than twelve", "much longer ", "much longer ")],
    ),
    "text to varchar": Pair(
        "text", sa.String(5), "c::varchar(5)", "c::text",
        [("a", "a"), ("a  ", "a  "), ("longer", "longe", "longe")], [("five5", "five5")],
    ),
    "char to text": Pair(
        "char(5) default 'x'", sa.Text(), "c::text", "c::char(5)",
        [("a    ", "a"), ("abcde", "abcde"), ("     ", "")],
        [("b", "b    "), ("b  ", "b    ", "b"), ("sixsix", "sixsi", "sixsi")],
    ),
    "varchar to citext": Pair(
        "varchar(20) not null default 'Y'", Named("citext"), "c::citext", "c::varchar(20)", *CITEXT,
        made="create extension citext schema public",
    ),
    "text to citext that is elsewhere": Pair(
        "text collate \"C\" default 'Y' check (c <> 'no')", Named("extensions.citext"), "c::extensions.citext",
        "c::text", *CITEXT, made="create schema extensions; create extension citext schema extensions",
    ),
    "json to jsonb": Pair(
        "json default '{}'", postgresql.JSONB(), "c::jsonb", "c::json",
        [('{"b": 1,   "a": [1,2], "a": 3}', '{"a": 3, "b": 1}', '{"a": 3, "b": 1}'), ("null", "null"),
         ("1.50", "1.50")],
        [('{"x": "\\\\"}', '{"x": "\\\\"}')],
        around="alter table t add constraint ck check (json_typeof(to_json(c)) <> 'boolean')",
    ),
    "timestamp to timestamptz": Pair(
        "timestamp default '2024-01-01 00:00'", sa.DateTime(timezone=True), BERLIN, BERLIN,
        [("2024-07-01 12:00:00.123456", "2024-07-01 10:00:00.123456+00"),
         ("2024-03-31 02:30:00", "2024-03-31 01:30:00+00", "2024-03-31 03:30:00"),  # the hour that isn't
         ("2024-10-27 02:30:00", "2024-10-27 01:30:00+00"),  # the hour that is twice
         ("infinity", "infinity")],
        [("2024-12-24 17:00:00+00", "2024-12-24 18:00:00"),
         ("2024-10-27 00:30:00+00", "2024-10-27 02:30:00", "2024-10-27 01:30:00+00")],
    ),
    "text to uuid": Pair(
        "text default '00000000-0000-0000-0000-000000000000'", sa.Uuid(), "c::uuid", "c::text",
        [(UUID, UUID), (f"{{{UUID.upper()}}}", UUID, UUID), (UUID.replace("-", ""), UUID, UUID)],
        [(UUID[:-1] + "2", UUID[:-1] + "2")],
    ),
    "text to date": Pair(
        "text default '2000-02-29'", sa.Date(), "day_of(c)", "said(c)",
        [("2024-02-29", "2024-02-29"), ("2024-2-9", "2024-02-09", "2024-02-09")], [("1999-12-31", "1999-12-31")],
        made=DAYS,
    ),
    "varchar[] to text[]": Pair(
        "varchar(9)[] default '{a}'", postgresql.ARRAY(sa.Text()), "c::text[]", "c::varchar(9)[]",
        [("{}", "{}"), ('{a,NULL,"b c"}', '{a,NULL,"b c"}'), ("{{a,b},{c,d}}", "{{a,b},{c,d}}")],
        [("{x}", "{x}"), ("{elevenchars}", "{elevencha}", "{elevencha}")],
        around="create index ix on t using gin (c)",
    ),
    "text[] to varchar[]": Pair(
        "text[] not null default '{}'", postgresql.ARRAY(sa.String()), "c::varchar[]", "c::text[]",
        [("{}", "{}"), ("{it's,\"\",NULL}", "{it's,\"\",NULL}")],
        [("{x,y}", "{x,y}")],
        around="create index ix on t using gin (c)",
    ),
    "seconds to timestamptz": Pair(
        "bigint default 0", sa.DateTime(timezone=True), "to_timestamp(c::double precision)",
        "extract(epoch from c at time zone 'UTC')::bigint",
        [("0", "1970-01-01 00:00:00+00"), ("1711845000", "2024-03-31 00:30:00+00")],
        [("2024-12-24 17:00:00+00", "1735059600"),
         ("2024-12-24 17:00:00.75+00", "1735059601", "2024-12-24 17:00:01+00")],
    ),
}  # fmt: skip

QUICK = {"double to numeric"}


OURS = "select attname from pg_attribute where attrelid = 't'::regclass and attname ~ 'homeops'"
Row = tuple[str | None, str | None]


class Model:
    """What either column must say of each row, by key; and writes in the type that is the application's."""

    def __init__(self, pair: Pair, db: Connection) -> None:
        self.pair, self.db = pair, db
        self.rows: dict[int, Row] = {}
        self.is_new = False
        self._next = 0

    def write(self) -> None:
        """Insert every value, set one row to each, upsert, and delete a row."""
        for value in self._values:
            self._next += 1
            self._put(self._next, value)
        for key, value in zip(
            [key for key in self.rows if key % 3 == 0], reversed(self._values), strict=False
        ):
            self._put(key, value)
        gone = min(self.rows)
        self.db.execute("delete from t where id = %s", (gone,))
        del self.rows[gone]
        self.db.execute("update t set note = 'touched', c = c where id = %s", (max(self.rows),))

    def passed(self, step: str) -> None:
        """Say what a step makes of the rows: only building anew makes values of others."""
        self.is_new = {"switch": True, "undo_switch": False}.get(step, self.is_new)
        if step == "undo_contract":
            self.rows = {key: (_made(self.pair.there, row), row[1]) for key, row in self.rows.items()}
        if step == "expand":
            swapped = {key: (new, old) for key, (old, new) in self.rows.items()}
            self.rows = {key: (row[1], _made(self.pair.back, row)) for key, row in swapped.items()}

    def compare(self) -> None:
        """Compare what the application reads, row by row, as the type itself says it."""
        said = "select id, case when c is not null then format('%s', c) end from t order by id"
        assert dict(rows(self.db, said)) == {key: row[self.is_new] for key, row in self.rows.items()}

    @property
    def _values(self) -> list[Row]:
        """What is written in the present type, with what the other column says of it."""
        found: list[Row] = [(one[0], one[1]) for one in self.pair.there]
        if self.is_new:
            found = [(one[1], one[0]) for one in self.pair.back]
        return found if "not null" in self.pair.old else [*found, (None, None)]

    def _put(self, key: int, value: Row) -> None:
        statement = "insert into t (id, c) values (%s, %s) on conflict (id) do update set c = excluded.c"
        self.db.execute(statement.encode(), (key, value[self.is_new]))
        # To write what is there already changes neither column.
        if key not in self.rows or self.rows[key][self.is_new] != value[self.is_new]:
            self.rows[key] = value


def _made(values: Sequence[tuple[str, ...]], row: Row) -> str | None:
    """Say what comes back of a value that has gone over to the other type: row is this value, and the other."""
    found = (one[-1] for one in values if len(one) > 2 and one[:2] == row)
    return next(found, row[0])


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    """On a busy machine a switch takes longer than it may; how long it takes is measured elsewhere."""
    with online.policy(lock_timeout="2s"):
        yield


@MOSTLY_HERE
@pytest.mark.parametrize("name", [one if one in QUICK else slowly(one) for one in PAIRS])
def test_rows_are_what_a_model_says_in_every_state(run: Callable, db: Connection, name: str) -> None:
    pair = PAIRS[name]
    db.prepare_threshold = None
    db.execute("set timezone = 'UTC'")
    if pair.made:
        db.execute(pair.made.encode())
    db.execute(f"create table t (id int primary key, note text, c {pair.old}); {pair.around}".encode())
    model = Model(pair, db)
    model.write()
    for step in STEPS:
        assert run(getattr(pair.change, step)).changed, step
        model.passed(step)
        model.compare()
        model.write()
        model.compare()
        if step in ("contract", "undo_expand"):
            assert rows(db, OURS) == []
        assert scalar(db, "select count(*) from migrations.change_errors") == 0


# Keys ---------------------------------------------------------------------------------------------------

KEYED = """
create table people (tenant int not null, id int primary key, boss int references people on delete set null,
                     unique (tenant, id));
create table notes (id int primary key, person int not null references people on update cascade on delete cascade);
create table badges (tenant int, person int, what text, constraint fk_both foreign key (tenant, person)
                     references people (tenant, id) match full on update cascade on delete cascade);
create table far (person bigint references people on update cascade on delete cascade deferrable initially deferred);
"""
PERSON = online.TypeChange("people", "id", sa.BigInteger(), up="id::bigint", down="id::integer")
NOTED = online.TypeChange("notes", "person", sa.BigInteger(), up="person::bigint", down="person::integer")


class People:
    """Persons with all that refers to them: what is in the tables, and writes of every kind."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        self.boss: dict[int, int | None] = {}
        self._next = 0

    def write(self) -> None:
        """Insert three, give one another key, and delete another."""
        first = self._next + 1
        for key in range(first, first + 3):
            self._insert(key, key - 1 if key > first else None)
        self._next = first + 2
        self._move(first, first + 1000)
        self.db.execute("delete from people where id = %s", (first + 1,))
        del self.boss[first + 1]
        self.boss[first + 2] = None

    def _insert(self, key: int, boss: int | None) -> None:
        with self.db.transaction():
            self.db.execute("insert into far (person) values (%s)", (key,))
            self.db.execute("insert into people (tenant, id, boss) values (7, %s, %s)", (key, boss))
            self.db.execute("insert into notes (id, person) values (%s, %s)", (key, key))
            self.db.execute("insert into badges (tenant, person, what) values (7, %s, 'x')", (key,))
        self.boss[key] = boss

    def _move(self, key: int, new: int) -> None:
        """Whoever has it as a boss must not: that key has no ON UPDATE."""
        self.db.execute("update people set boss = null where boss = %s", (key,))
        self.db.execute("update people set id = %s where id = %s", (new, key))
        self.boss = {who: None if boss == key else boss for who, boss in self.boss.items()}
        self.boss[new] = self.boss.pop(key)

    def compare(self) -> None:
        """Everything refers to those that are there, and nobody else is."""
        assert dict(rows(self.db, "select id, boss from people")) == self.boss
        for query in (
            "select person from notes",
            "select person from badges where tenant = 7 and what = 'x'",
            "select person from far",
        ):
            assert sorted(row[0] for row in rows(self.db, query)) == sorted(self.boss)


@MOSTLY_HERE
@pytest.mark.parametrize("change", [PERSON, slowly(NOTED)], ids=["the key itself", "what refers to it"])
def test_a_key_with_keys_to_it(run: Callable, db: Connection, change: online.TypeChange) -> None:
    db.prepare_threshold = None
    db.execute(KEYED)
    people = People(db)
    people.write()
    for step in STEPS:
        assert run(getattr(change, step)).changed
        people.compare()
        people.write()
        people.compare()


@MOSTLY_HERE
def test_a_key_beyond_the_old_type_keeps_the_way_back(run: Callable, db: Connection) -> None:
    """It is written all the same, and named when somebody wants to go back."""
    db.prepare_threshold = None
    db.execute(KEYED)
    People(db).write()
    run(PERSON.expand)
    run(PERSON.switch)
    db.execute("insert into people (tenant, id) values (7, 3000000000)")
    with pytest.raises(ViolationError, match=r"public\.people .*3000000000"):
        run(PERSON.undo_switch)
    db.execute("update people set id = 30 where id = 3000000000")
    run(PERSON.undo_switch)
    assert rows(db, "select id, boss from people order by id") == [(3, None), (30, None), (1001, None)]


# What does not fit, and what changes by itself -------------------------------------------------------------


@MOSTLY_HERE
def test_a_document_that_the_other_type_refuses(run: Callable, db: Connection) -> None:
    """Text in json may have a zero character, in jsonb not: the write goes through, the switch waits."""
    db.execute("create table t (id int primary key, c json)")
    run(PAIRS["json to jsonb"].change.expand)
    db.execute("""insert into t values (1, '{"a": "\\u0000"}'), (2, '{}')""")
    with pytest.raises(ViolationError, match='"id": "1"'):
        run(PAIRS["json to jsonb"].change.switch)
    assert scalar(db, "select c::text from t where id = 1") == '{"a": "\\u0000"}'
    db.execute("delete from t where id = 1")
    run(PAIRS["json to jsonb"].change.switch)


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("type_", "up", "down"),
    [
        (sa.Date(), "c::date", "c::text"),
        (sa.Date(), "to_date(c, 'YYYY-MM-DD')", "to_char(c, 'YYYY-MM-DD')"),
        slowly(sa.DateTime(timezone=True), "c::timestamptz", "c::text"),
        slowly(sa.Float(), "c::double precision + random()", "c::text"),
    ],
    ids=["a cast", "a function", "a moment", "chance"],
)
def test_what_depends_on_a_setting_is_refused(
    run: Callable, db: Connection, type_: Any, up: str, down: str
) -> None:
    db.execute("create table t (id int primary key, c text)")
    with pytest.raises(UnsafeError, match=r"Nothing was changed\."):
        run(online.TypeChange("t", "c", type_, up=up, down=down).expand)
    assert rows(db, OURS) == []
