"""Advanced media features: not written yet."""

from alembic import op

from homeops_db import online

revision = "v1.2.0"
down_revision = "v1.1.1"
branch_labels = None
depends_on = None
change = "minor"


def upgrade() -> None:
    op.execute("SELECT 1")


def downgrade() -> None:
    op.execute("SELECT 1")
