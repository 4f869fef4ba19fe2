"""Changes of shape that go over several revisions: found again by what their author has asked for."""

from collections.abc import Mapping
from typing import Any

from homeops_db.errors import ObjectError
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.online.work import Work


def find(work: Work, operation: str, relation: str, subject: str, asked: Mapping[str, Any]) -> Change | None:
    """Find the change that a revision goes on with, or takes back; None where nothing is known of one.

    Args:
        work: The operation.
        operation: type_change or restructure.
        relation: The table.
        subject: What of it.
        asked: What the author has asked for: the same in all revisions of a change.

    Raises:
        ObjectError: Another one is open.
    """
    if not changes.is_ready(work.connection):
        return None
    found = changes.last(work.connection, operation, relation, subject, asked)
    if found is not None and found.definition["asked"] != asked:
        begun: Mapping[str, Any] = found.definition["asked"]
        others = [f"{name}=" for name in asked if begun.get(name) != asked[name]]
        where = f" (it was begun in {found.version})" if found.version else ""
        raise ObjectError(
            f"The {operation.replace('_', ' ')} of {found.what} was begun with other {', '.join(others)} "
            f"than this revision says{where}. Nothing was changed. Say the same in all its revisions, or "
            "take back what was begun first."
        )
    return found


def is_over(work: Work, change: Change) -> bool:
    """Whether a change has come to its end, so that the same may begin again; not so in a re-run."""
    if change.state == changes.CONTRACTED:
        return change.version != _version(work)
    return change.state == changes.UNDONE


def begin(
    work: Work, operation: str, relation: str, subject: str, asked: Mapping[str, Any], **found: Any
) -> Change:
    """Write down that a change begins, with what was found.

    Raises:
        ObjectError: The table is getting another shape by another change, or would under it.
    """
    changes.ensure(work.connection)
    for one in changes.still_open(work.connection):
        if one.relation == relation and changes.RESTRUCTURE in {operation, one.operation}:
            raise ObjectError(
                f"{relation} can't begin another change while the {one.operation.replace('_', ' ')} of "
                f"{one.what} is open. Nothing was changed. Contract that first, or take it back: homeops-db "
                "status shows it."
            )
    changes.begin(
        work.connection,
        operation,
        relation,
        subject,
        version=_version(work),
        definition={"asked": dict(asked), **found},
    )
    begun = changes.last(work.connection, operation, relation, subject, asked)
    assert begun is not None
    return begun


def _version(work: Work) -> str | None:
    revision = work.recorder.current_revision if work.recorder is not None else None
    return None if revision is None else revision.version
