"""How old the oldest snapshot is that keeps dead rows from being removed."""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

from psycopg import Connection

from homeops_db.catalog import pressure
from homeops_db.catalog.pressure import Snapshot
from homeops_db.catalog.replication import Now
from homeops_db.locking.amounts import span
from homeops_db.locking.pace import Pace
from homeops_db.online.backfill.signals import Level, Look

_REMEMBERED: Final = 1000


@dataclass
class Horizon:
    """Old snapshots, by age.

    What a snapshot keeps is told by a transaction's number, and only some of them show since when. So each
    look notes the next number: a snapshot that still keeps an earlier one is at least as old as that look.
    This needs no privilege. What was there before the first look is as old as the server shows it to be.

    Attributes:
        age: Of the oldest one at the last look, in seconds.
    """

    name: str = "old snapshot"
    age: float = 0.0
    _clocks: list[float] = field(default_factory=list)
    _xids: list[int] = field(default_factory=list)

    def is_off(self, pace: Pace) -> bool:
        """See `Signal`. It is looked at anyway: stripes don't pay while an old snapshot is held."""
        return not pace.max_snapshot_age

    def level(self, connection: Connection, look: Look) -> Level:
        """See `Signal`."""
        self._note(look.server, look.clock)
        ages = [(self._age(one, look.clock), one) for one in pressure.snapshots(connection, look.ours)]
        self.age, oldest = max(ages, key=lambda found: found[0], default=(0.0, None))
        limit = look.pace.max_snapshot_age.total_seconds()
        if oldest is None or not limit:
            return Level()
        text = f"{_who(oldest)} keeps dead rows from being removed, for {span(self.age)} now"
        return Level(self.age / limit, f"{text} (limit {span(limit)})")

    def _note(self, server: Now, clock: float) -> None:
        if self._xids and server.next_xid < self._xids[-1]:  # another server
            self._clocks, self._xids = [], []
        if not self._xids or server.next_xid > self._xids[-1]:
            self._clocks.append(clock)
            self._xids.append(server.next_xid)
        if len(self._xids) > _REMEMBERED:  # the first one stays
            self._clocks, self._xids = self._clocks[::2], self._xids[::2]

    def _age(self, snapshot: Snapshot, clock: float) -> float:
        place = bisect_right(self._xids, snapshot.xid)
        seen = clock - self._clocks[place] if place < len(self._clocks) else 0.0
        return max(seen, snapshot.known_s or 0.0) if snapshot.xid <= self._xids[0] else seen


def _who(holder: Snapshot) -> str:
    if holder.kind == "prepared":
        return f"prepared transaction {holder.name!r} of {holder.role}"
    if holder.kind == "slot":
        why = "a query on its standby" if holder.pid else "nobody reads it"
        return f"replication slot {holder.name} ({why})"
    if holder.kind == "standby":
        return f"standby {holder.name or 'without a name'} (a query there)"
    words = [holder.name or "no application_name"]
    words += [f"role {holder.role}"] if holder.role else []
    words += [holder.state] if holder.state else []
    return f"pid {holder.pid} ({', '.join(words)})"
