"""Accounts are found by their user and type.

The new index begins with user_id, so it serves the foreign key too, and the old one goes.
"""

from homeops_db import online

revision = "v1.3.1"
down_revision = "v1.3.0"
branch_labels = None
depends_on = None
change = "patch"


def upgrade() -> None:
    online.create_index(
        "ix_accounts_user_id_account_type", "accounts", ["user_id", "account_type"], schema="financial"
    )
    online.drop_index("ix_accounts_user_id", table_name="accounts", schema="financial")


def downgrade() -> None:
    online.create_index("ix_accounts_user_id", "accounts", ["user_id"], schema="financial")
    online.drop_index("ix_accounts_user_id_account_type", table_name="accounts", schema="financial")
