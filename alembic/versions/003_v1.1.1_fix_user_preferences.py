"""Fix user preferences: not written yet."""

from alembic import op

from homeops_db import online

revision = "v1.1.1"
down_revision = "v1.1.0"
branch_labels = None
depends_on = None
change = "patch"


def upgrade() -> None:
    op.execute("SELECT 1")


def downgrade() -> None:
    op.execute("SELECT 1")
