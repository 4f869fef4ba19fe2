"""Waits until no transaction of the whole server is older than this moment: snapshots from now on are new."""

import time

import pytest
from psycopg import Connection

from tests.online.filling import scalar


def settled(db: Connection) -> None:
    """Wait; other tests may have transactions open on the same server, which make every snapshot look old.

    The longest ones last for less than a minute; with one that doesn't end, nothing can be told here.
    """
    now = scalar(db, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    ends = time.monotonic() + 90
    while scalar(db, "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint") < now:
        if time.monotonic() > ends:
            pytest.skip("somebody else has a transaction open on this server")
        time.sleep(0.02)
