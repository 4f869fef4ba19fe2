"""What can't get another shape online, found before anything is changed."""

from collections.abc import Iterator
from typing import Final

from homeops_db.catalog import tables, unmovable
from homeops_db.errors import ObjectError
from homeops_db.online.restructure import proof
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work

_WHYS: Final = {
    "temporary": "it is temporary",
    "system": "it is the server's own",
    "extension": "it belongs to the extension {name}",
    "subscription": "the subscription {name} fills it, which would not know the new table",
    "publication": (
        "the publication {name} is FOR ALL TABLES, so subscribers would be sent the rows of a table that "
        "they don't have (name its tables, or their schemas, instead)"
    ),
    "right": "our role may not make a schema (GRANT CREATE ON DATABASE {name} TO it; {role} owns the table)",
}


def refuse(work: Work, side: Side) -> None:
    """Refuse what can't be carried over; the trial finds the rest.

    Raises:
        ObjectError: The table is of a kind that this can't be done to, or rows are hidden from our role.
    """
    proof.refuse_hiding(work.connection, side)
    reasons = list(_reasons(work, side))
    if reasons:
        raise ObjectError(
            f"{side.table} can't get another shape online: {'; '.join(reasons)}. Nothing was changed. Take "
            "that away in a revision before, or change the table in parts."
        )


def _reasons(work: Work, side: Side) -> Iterator[str]:
    if tables.is_hypertable(work.connection, side.table):
        yield "it is a hypertable, whose chunks are TimescaleDB's own"
    if side.table.is_partitioned and not side.is_switched:
        yield "it is partitioned already"
    if side.table.is_partition:
        yield "it is a partition"
    for one in unmovable.stuck(work.connection, side.table.oid):
        yield _WHYS[one.kind].format(name=one.name, role=side.table.owner)
