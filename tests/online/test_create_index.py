from collections.abc import Callable

from psycopg import Connection

from homeops_db import online


def test_it_is_built(run: Callable, db: Connection) -> None:
    db.execute("create table t (a int, b text)")
    assert run(online.create_index, "ix_t_a", "t", ["a"], postgresql_where="b is not null").changed
    assert not run(online.create_index, "ix_t_a", "t", ["a"], postgresql_where="b is not null").changed
