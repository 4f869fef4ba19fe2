"""Community platform: not written yet."""

import sqlalchemy as sa
from alembic import op

from homeops_db import online

revision = "v2.0.0"
down_revision = "v1.5.0"
branch_labels = None
depends_on = None
change = "major"

amount = online.TypeChange(
    "transactions",
    "amount",
    sa.Numeric(15, 2),
    schema="financial",
    up="amount::numeric(15,2)",
    down="amount::double precision",
)


def upgrade() -> None:
    amount.contract()


def downgrade() -> None:
    amount.undo_contract()
