"""Operations for revisions on tables in use: write ``online.`` where ``op.`` would hurt the traffic."""

from homeops_db.locking.policy import policy
from homeops_db.online.index import create_index
from homeops_db.online.work import Done

__all__ = ["Done", "create_index", "policy"]
