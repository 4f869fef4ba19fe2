"""Operations for revisions on tables in use: write ``online.`` where ``op.`` would hurt the traffic."""

from homeops_db.locking.pace import pace
from homeops_db.locking.policy import policy
from homeops_db.online.alter_column import alter_column
from homeops_db.online.backfill.delete import batched_delete
from homeops_db.online.backfill.insert import batched_insert
from homeops_db.online.backfill.operation import backfill
from homeops_db.online.backfill.result import Backfilled
from homeops_db.online.check import create_check_constraint
from homeops_db.online.column import add_column
from homeops_db.online.drop_column import drop_column
from homeops_db.online.drop_constraint import drop_constraint
from homeops_db.online.drop_index import drop_index
from homeops_db.online.exclude import create_exclude_constraint
from homeops_db.online.foreign_key import create_foreign_key
from homeops_db.online.index import create_index
from homeops_db.online.partition import attach_partition, detach_partition
from homeops_db.online.reindex import reindex
from homeops_db.online.restructure.operation import Restructure
from homeops_db.online.type_change.operation import TypeChange
from homeops_db.online.unique import create_unique_constraint
from homeops_db.online.validation import validate_constraint
from homeops_db.online.work import Done

__all__ = [
    "Backfilled",
    "Done",
    "Restructure",
    "TypeChange",
    "add_column",
    "alter_column",
    "attach_partition",
    "backfill",
    "batched_delete",
    "batched_insert",
    "create_check_constraint",
    "create_exclude_constraint",
    "create_foreign_key",
    "create_index",
    "create_unique_constraint",
    "detach_partition",
    "drop_column",
    "drop_constraint",
    "drop_index",
    "pace",
    "policy",
    "reindex",
    "validate_constraint",
]
