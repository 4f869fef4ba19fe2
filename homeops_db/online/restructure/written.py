"""A restructure as its author wrote it: three revisions say it, and must say the same."""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from homeops_db.online.restructure import declared
from homeops_db.online.restructure.operation import Restructure

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


def as_json(asked: Restructure) -> dict[str, Any]:
    """Give what tells one restructure of a table from another; how many work at it doesn't."""
    return {
        "columns": [_column(one) for one in asked.columns],
        "drop": list(asked.drop),
        "transform": dict(asked.transform),
        "back": dict(asked.back),
        "primary_key": None if asked.primary_key is None else list(asked.primary_key),
        "partition_by": asked.partition_by,
        "partitions": dict(asked.partitions),
    }


def _column(one: Any) -> Any:
    if one is ...:
        return "..."
    if isinstance(one, str):
        return [one]
    assert isinstance(one, sa.Column)
    computed = "" if one.computed is None else str(one.computed.sqltext)
    type_ = one.type.compile(dialect=_DIALECT)
    return [one.name, type_, bool(one.nullable), declared.default_of(one), one.comment, computed]
