"""Traffic that keeps what it has committed, and the comparison of a table with that.

The clients read, raise amounts, insert, delete, and give rows other keys. Raising is what several of them may do
to one row in any order; everything else a client does to rows that no other one does it to. So what all of
them have committed says what each row must be, whatever was done to the table meanwhile.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from psycopg import errors

from benchmarks.fill import KEYS, ROW
from benchmarks.traffic import CLIENTS, Load, Sender

APART = 100_000_000  # numbers of the rows that one client inserts
STRICT = 1  # this client's transactions are REPEATABLE READ
READS = 0.5
OFTEN = 6  # of nine writes, and one each of the others
TRIES = 3
REPEATED = (errors.FeatureNotSupported, errors.DatatypeMismatch, errors.SerializationFailure)
"""What docs/type-change.md tells clients to repeat: a cached plan, a cached type, a conflict."""

TABLES = """
create table recorded (number bigint, raised bigint, made_as bigint, is_gone boolean);
create table met (name text, is_failed boolean, times bigint);
"""
"""Rows that a client has written: by how much each was raised, as which one it was inserted; what it met."""

_IS_OTHER = """
(t.account_id, t.amount::numeric(15,2), t.happened_at, t.category, t.description)
is distinct from (e.account_id, (e.amount + e.raised)::numeric(15,2), e.happened_at, e.category, e.description)
"""
_COMPARED = """
with said as (
    select number, sum(raised) as raised, max(made_as) as made_as, bool_or(is_gone) as is_gone
    from recorded group by number
), expected (id, account_id, amount, happened_at, category, description, raised, is_made) as (
    select {key}, {row}, raised, is_made
    from (select number, coalesce(made_as, number) as i, coalesce(raised, 0) as raised,
                 made_as is not null as is_made
          from generate_series(1, {rows}::bigint) number full join said using (number)
          where is_gone is not true) numbered
)
select count(*) filter (where t.id is null) as lost,
       count(*) filter (where t.id is not null and e.id is not null and ({is_other} or {is_wrong})) as stale,
       count(*) filter (where e.id is null) as ghost
from expected e full join {table} t on t.id = e.id
"""


@dataclass(frozen=True)
class Compared:
    """Rows that aren't there, that have another value than they must have, that may not be there."""

    lost: int
    stale: int
    ghost: int


@dataclass(frozen=True)
class Met:
    """What the clients met: requests that failed, and those that were repeated as documented, by class."""

    failed: Counter[str]
    repeated: Counter[str]


def compare(db: psycopg.Connection, key: str, rows: int, table: str, is_wrong: str) -> Compared:
    """Compare every row with what the clients have recorded.

    Args:
        db: A connection.
        key: Kind of the table's key.
        rows: How many it had before.
        table: Its name.
        is_wrong: What else is wrong of row t, where e is what it must be.
    """
    query = _COMPARED.format(
        key=KEYS[key][2].replace("%s", "number"),
        row=ROW,
        rows=rows,
        table=table,
        is_other=_IS_OTHER,
        is_wrong=is_wrong,
    )
    found = db.execute(query).fetchone()
    assert found is not None
    return Compared(*found)


def met(db: psycopg.Connection) -> Met:
    found: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for name, is_failed, times in db.execute("select name, is_failed, times from met"):
        found[is_failed][name] += times
    return Met(found[True], found[False])


# The clients ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorded(Load):
    """Requests that are recorded."""

    key: str

    def sender(self, connection: psycopg.Connection, number: int) -> "Recorder":
        if number == STRICT:
            connection.execute("set default_transaction_isolation = 'repeatable read'")
        return Recorder(self, connection, random.Random(number), number)  # noqa: S311 - no secret


def load_of(key: str, rows: int) -> Recorded:
    where = KEYS[key][2]
    return Recorded(
        f"select amount, description from target where id = {where}",
        f"update target set amount = amount + 1 where id = {where}",
        rows,
        key,
    )


@dataclass
class Own:
    """A row that a client has inserted: as which one, and by how much it was raised."""

    made_as: int
    raised: int = 0


@dataclass
class Recorder(Sender):
    """Sends one client's requests, and keeps what they came to."""

    load: Recorded
    number: int
    raised: Counter[int] = field(default_factory=Counter)
    gone: set[int] = field(default_factory=set)
    own: dict[int, Own] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.next = (self.number + 1) * APART
        where = KEYS[self.load.key][2]
        self.inserts = (
            "insert into target (id, account_id, amount, happened_at, category, description) "
            f"select {where.replace('%s', 'i')}, {ROW.replace('%', '%%')} from (select %s::bigint as i) numbered"
        )
        self.deletes = f"delete from target where id = {where}"
        self.moves = f"update target set id = {where} where id = {where}"

    def send(self) -> None:
        act = self.read if self.chance.random() < READS else self.chance.choice(self.writes())
        for _ in range(TRIES):
            try:
                return act()
            except REPEATED as error:
                self.repeated[type(error).__name__] += 1
                # Nothing is rolled back in autocommit, so nothing tells the driver to forget its statements.
                self.connection.execute("deallocate all")
            except psycopg.Error as error:
                self.failed[f"{type(error).__name__}: {error}"] += 1
                return None
        self.failed[f"still after {TRIES} tries"] += 1
        return None

    def writes(self) -> list[Callable[[], None]]:
        return [*[self.change] * OFTEN, self.insert, self.delete, self.move]

    def read(self) -> None:
        self.connection.execute(self.load.read, (self.chance.randint(1, self.load.rows),))

    def change(self) -> None:
        """Raise any row that there was at the beginning."""
        number = self.chance.randint(1, self.load.rows)
        self.raised[number] += self.connection.execute(self.load.write, (number,)).rowcount

    def insert(self) -> None:
        number = self.unused()
        self.connection.execute(self.inserts, (number,))
        self.own[number] = Own(number)

    def delete(self) -> None:
        """Delete a row: half of the time one of those that only this client deletes, else one of its own."""
        if self.own and self.chance.random() < READS:
            number = self.chance.choice(list(self.own))
            self.connection.execute(self.deletes, (number,))
            del self.own[number]
        else:
            number = self.chance.randrange(CLIENTS - self.number, self.load.rows + 1, CLIENTS)
            self.connection.execute(self.deletes, (number,))
            self.gone.add(number)

    def move(self) -> None:
        """Give a row of its own another key, and raise it by its new one."""
        if not self.own:
            return self.insert()
        old, new = self.chance.choice(list(self.own)), self.unused()
        self.connection.execute(self.moves, (new, old))
        self.own[new] = self.own.pop(old)
        self.connection.execute(self.load.write, (new,))
        self.own[new].raised += 1
        return None

    def unused(self) -> int:
        self.next += 1
        return self.next

    def end(self) -> None:
        """Write it down where it can be compared."""
        rows = [(number, times, None, False) for number, times in self.raised.items() if times]
        rows += [(number, one.raised, one.made_as, False) for number, one in self.own.items()]
        rows += [(number, None, None, True) for number in self.gone]
        met = [(name, True, times) for name, times in self.failed.items()]
        met += [(name, False, times) for name, times in self.repeated.items()]
        for table, some in (("recorded", rows), ("met", met)):
            with self.connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as copy:
                for row in some:
                    copy.write_row(row)
