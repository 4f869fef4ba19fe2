"""What is said when a lock can't be had: who is in the way, what was tried, how to go on."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from homeops_db.catalog.locks import Holder
from homeops_db.errors import LockTimeoutError
from homeops_db.locking.policy import Policy
from homeops_db.locking.watch import Cost

_LISTED: Final = 10


def gave_up(
    *, what: str, blockers: Sequence[Holder], tries: int, waited: timedelta, cost: Cost, policy: Policy
) -> LockTimeoutError:
    """Make the report of a wait that lasted longer than ``policy.give_up_after``."""
    asked = f"asked {_times(tries)} for {_ms(policy.lock_timeout)}" if tries else "looked on, and never asked"
    lines = [
        f"Gave up after {waited.total_seconds():.1f} s: {what} was not to be had.",
        *_listed(blockers),
        *([] if blockers else ["  in the way: nobody for long; it is never free for a whole try"]),
        f"  tried: {asked}, within {policy.give_up_after.total_seconds():g} s; {_cost(cost)}",
        ("The try was rolled back" if tries else "Nothing was tried")
        + "; steps that ended before it stay, and a re-run goes on after them. "
        + _next(blockers)
        + "then run the same command again, or allow more time with HOMEOPS_LOCK_GIVE_UP_AFTER.",
    ]
    return LockTimeoutError("\n".join(lines), tries=tries, victims=cost.victims, victim_ms=cost.victim_ms)


def endless(*, what: str, blocker: Holder, tries: int) -> LockTimeoutError:
    """Make the report of a wait that would not end, or not today."""
    why = (
        "a prepared transaction holds its locks until it is told to commit or roll back"
        if blocker.prepared is not None
        else "a VACUUM against wraparound yields to nobody"
    )
    tried = f"What was tried {_times(tries)} was rolled back" if tries else "Nothing was tried"
    lines = [
        f"{what} can't be had now: {why}. {tried}; steps that ended before it stay.",
        *_listed([blocker]),
        _next([blocker]) + "then run the same command again.",
    ]
    return LockTimeoutError("\n".join(lines))


def not_again(*, what: str, blockers: Sequence[Holder], cost: Cost, policy: Policy) -> LockTimeoutError:
    """Make the report of a revision that can't be tried again as a whole."""
    lines = [
        f"{what} was not to be had, and the revision isn't tried again by itself: it has committed a part.",
        *_listed(blockers),
        f"  tried: asked once for {_ms(policy.lock_timeout)}; {_cost(cost)}",
        "What it committed (autocommit_block(), an online operation) stays, a re-run must go on from there. "
        + _next(blockers)
        + "then run the same command again. Put op before that, or use its online twin: it waits.",
    ]
    return LockTimeoutError("\n".join(lines))


def stalled(
    *, what: str, blockers: Sequence[Holder], waited: timedelta, cost: Cost, left: str
) -> LockTimeoutError:
    """Make the report of a statement that waited for others' transactions to end, and was broken off.

    Args:
        what: What waited for what.
        blockers: Who was waited for last.
        waited: How long.
        cost: Who waited behind it.
        left: What is left of it.
    """
    lines = [
        f"Gave up after {waited.total_seconds():.1f} s: {what}.",
        *_listed(blockers),
        *([] if blockers else ["  in the way: one after the other, and the last has just ended"]),
        f"{_cost(cost).capitalize()}. {left} "
        + _next(blockers)
        + "then run the same command again, or allow more time with HOMEOPS_LOCK_GIVE_UP_AFTER.",
    ]
    return LockTimeoutError("\n".join(lines))


def described(holder: Holder) -> str:
    """Describe a session that is in the way, in one line."""
    age = "" if holder.age_ms is None else f", transaction open for {holder.age_ms / 1000:.1f} s"
    held = f"{'' if holder.granted else 'waits for '}{holder.lock} on {holder.object}"
    held = f": {held}" if holder.object else ""
    if holder.prepared is not None:
        return f"prepared transaction {holder.prepared!r} of {holder.role}{age}{held}"
    who = f"{holder.application or 'no application_name'}, role {holder.role or 'unknown'}"
    who = "autovacuum" if holder.is_autovacuum else who
    state = f", {holder.state}" if holder.state else ""
    query = f" ({holder.query})" if holder.query else ""
    return f"pid {holder.pid}, {who}{state}{age}{held}{query}"


def _listed(blockers: Sequence[Holder]) -> list[str]:
    once: dict[str, Holder] = {}
    for blocker in blockers:  # the first of a transaction says most
        once.setdefault(blocker.transaction, blocker)
    rest = len(once) - _LISTED
    lines = [f"  in the way: {described(holder)}" for holder in list(once.values())[:_LISTED]]
    return [*lines, f"  … and {rest} more"] if rest > 0 else lines


def _times(tries: int) -> str:
    return "once" if tries == 1 else f"{tries} times"


def _ms(duration: timedelta) -> str:
    return f"{duration / timedelta(milliseconds=1):g} ms"


def _cost(cost: Cost) -> str:
    sessions = "nobody" if not cost.victims else f"{cost.victims} session{'s' if cost.victims > 1 else ''}"
    return f"{sessions} waited behind us" + (f", {cost.victim_ms:.0f} ms in all" if cost.victims else "")


def _next(blockers: Sequence[Holder]) -> str:
    """Say how the first one in the way is removed."""
    if not blockers:
        return "Choose a quieter time, "
    first = blockers[0]
    if first.prepared is not None:
        gid = first.prepared.replace("'", "''")
        return f"Run ROLLBACK PREPARED '{gid}' (or COMMIT PREPARED), "
    if first.is_wraparound:
        return "Let it finish (pg_stat_progress_vacuum shows how far it is), "
    if first.is_autovacuum:
        return "Let it finish, "
    return f"Let it end, or end it: SELECT pg_terminate_backend({first.pid}); "
