"""Builds the shadow's indexes on several connections at once: nobody uses it yet, so plain builds do."""

import re
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Final

from psycopg import Connection

from homeops_db import faults
from homeops_db.catalog import manifest
from homeops_db.catalog.manifest import Item
from homeops_db.online.backfill import session
from homeops_db.online.restructure import carried, parts
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work, lifted_timeouts

_KEYS: Final = ("primary key", "unique constraint")

# What can be given to a table as a constraint when its index is there; others are built with their
# constraint.
_KEY: Final = re.compile(
    r"(?:PRIMARY KEY|UNIQUE) (?P<index>\(.*?\)(?: INCLUDE \(.*?\))?)(?P<late> DEFERRABLE.*)?"
)


@dataclass(frozen=True)
class _Build:
    """One index: what builds it, and what makes a constraint of it."""

    build: str
    attach: str | None = None


def build(work: Work, side: Side, workers: int) -> None:
    """Build the indexes that the shadow lacks; those of its primary key and unique constraints too.

    Args:
        work: The operation.
        side: The side.
        workers: How many connections build at once. With one, the server's own parallel builds do it.

    Locks: SHARE on the shadow. What is left by a run that was broken off is built again.
    """
    builds = _lacking(work, side) if workers > 1 else []
    if not builds:
        return
    todo: SimpleQueue[str] = SimpleQueue()
    for one in builds:
        todo.put(one.build)
    sessions = session.like(work.connection)
    connections = [sessions.open(lock_timeout=timedelta()) for _ in range(min(workers, len(builds)))]
    try:
        with ThreadPoolExecutor(len(connections)) as pool:
            running = [pool.submit(_work, connection, todo) for connection in connections]
            try:
                done, _ = wait(running, return_when=FIRST_EXCEPTION)
            except BaseException:
                for connection in connections:
                    connection.cancel_safe()
                raise
            for ended in done:
                ended.result()
    finally:
        for connection in connections:
            connection.close()
    faults.point("restructure: indexes built")
    with lifted_timeouts(work.connection):
        for one in builds:
            if one.attach is not None:
                work.connection.execute(one.attach.encode())


def _work(connection: Connection, todo: "SimpleQueue[str]") -> None:
    while True:
        try:
            statement = todo.get_nowait()
        except Empty:
            return
        connection.execute(statement.encode())


def _lacking(work: Work, side: Side) -> list[_Build]:
    live = manifest.read(work.connection, side.table.oid)
    there = {one.name for one in manifest.read(work.connection, parts.oid(work, side)).items}
    wanted = parts.wanted_items(live, side, late=False)
    return [made for one in wanted if one.name not in there and (made := _made(work, side, one)) is not None]


def _made(work: Work, side: Side, item: Item) -> _Build | None:
    if item.kind == "index":
        (statement,) = _said(work, side, item)
        return _Build(statement)
    found = _KEY.fullmatch(item.words[0]) if item.kind in _KEYS and not side.other.partition_by else None
    if found is None:
        return None
    kind = item.kind.removesuffix(" constraint").upper()
    return _Build(
        f"CREATE UNIQUE INDEX {item.name} ON {side.shadow} {found['index']}",
        f"ALTER TABLE {side.shadow} ADD CONSTRAINT {item.name} {kind} USING INDEX "
        f"{item.name}{found['late'] or ''}",
    )


def _said(work: Work, side: Side, item: Item) -> Sequence[str]:
    return [
        carried.adapted(work, one, side.table, side.live, side.other)[0]
        for one in item.statements(side.shadow)
    ]
