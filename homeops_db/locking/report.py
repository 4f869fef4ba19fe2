"""What is said when a lock can't be had: who is in the way, what was tried, how to go on."""

from collections.abc import Sequence
from datetime import timedelta

from homeops_db.catalog.locks import Holder
from homeops_db.errors import LockTimeoutError
from homeops_db.locking.policy import Policy
from homeops_db.locking.watch import Cost


def gave_up(
    *,
    lock: str,
    tables: Sequence[str],
    blockers: Sequence[Holder],
    tries: int,
    waited: timedelta,
    cost: Cost,
    policy: Policy,
) -> LockTimeoutError:
    """Make the report of a wait that lasted longer than ``policy.give_up_after``."""
    patience = f"{policy.give_up_after.total_seconds():g} s"
    lines = [
        f"Gave up after {waited.total_seconds():.1f} s: {lock} on {', '.join(tables)} was not to be had.",
        *(f"  in the way: {described(holder)}" for holder in blockers),
        *([] if blockers else ["  in the way: nobody for long; the table is never free for a whole try"]),
        (
            f"  tried: {tries} times for {policy.lock_timeout / timedelta(milliseconds=1):g} ms each, within "
            f"{patience}; {cost.victims} sessions waited behind us for {cost.victim_ms:.0f} ms in all"
        ),
        "The try was rolled back; steps that ended before it stay, and a re-run goes on after them. "
        + _next(blockers)
        + "then run the same command again, or allow more time with HOMEOPS_LOCK_GIVE_UP_AFTER.",
    ]
    return LockTimeoutError("\n".join(lines))


def endless(*, lock: str, tables: Sequence[str], blocker: Holder) -> LockTimeoutError:
    """Make the report of a wait that would not end, or not today."""
    why = (
        "a prepared transaction holds its locks until it is told to commit or roll back"
        if blocker.prepared is not None
        else "a VACUUM against wraparound yields to nobody"
    )
    lines = [
        f"{lock} on {', '.join(tables)} can't be had now: {why}. Nothing was tried.",
        f"  in the way: {described(blocker)}",
        _next([blocker]) + "then run the same command again.",
    ]
    return LockTimeoutError("\n".join(lines))


def described(holder: Holder) -> str:
    """Describe a session that is in the way, in one line."""
    age = "" if holder.age_ms is None else f", transaction open for {holder.age_ms / 1000:.1f} s"
    if holder.prepared is not None:
        held = f"{holder.lock} on {holder.object}"
        return f"prepared transaction {holder.prepared!r} of {holder.role}{age}: {held}"
    who = f"{holder.application or 'no application_name'}, role {holder.role or 'unknown'}"
    who = "autovacuum" if holder.is_autovacuum else who
    state = f", {holder.state}" if holder.state else ""
    held = f": {holder.lock} on {holder.object}" if holder.object else ""
    query = f" ({holder.query})" if holder.query else ""
    return f"pid {holder.pid}, {who}{state}{age}{held}{query}"


def _next(blockers: Sequence[Holder]) -> str:
    """Say how the first one in the way is removed."""
    if not blockers:
        return "Choose a quieter time, "
    first = blockers[0]
    if first.prepared is not None:
        return f"Run ROLLBACK PREPARED '{first.prepared}' (or COMMIT PREPARED), "
    if first.is_wraparound:
        return "Let it finish (pg_stat_progress_vacuum shows how far it is), "
    return f"Let it end, or end it: SELECT pg_terminate_backend({first.pid}); "
