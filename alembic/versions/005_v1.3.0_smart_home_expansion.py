"""Smart home expansion: not written yet."""

from alembic import op

from homeops_db import online

revision = "v1.3.0"
down_revision = "v1.2.0"
branch_labels = None
depends_on = None
change = "minor"


def upgrade() -> None:
    op.execute("SELECT 1")


def downgrade() -> None:
    op.execute("SELECT 1")
