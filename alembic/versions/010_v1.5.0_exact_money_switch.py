"""Exact money, second step: amounts are numeric(15,2).

The double goes on being kept beside it until v2.0.0, so the way back loses nothing.
"""

import sqlalchemy as sa

from homeops_db import online

revision = "v1.5.0"
down_revision = "v1.4.2"
branch_labels = None
depends_on = None
change = "minor"

amount = online.TypeChange(
    "transactions",
    "amount",
    sa.Numeric(15, 2),
    schema="financial",
    up="amount::numeric(15,2)",
    down="amount::double precision",
)


def upgrade() -> None:
    amount.switch()


def downgrade() -> None:
    amount.undo_switch()
