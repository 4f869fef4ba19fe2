"""Transactions get a merchant category, first step: the table of the new shape.

The table is written anew on the way, without the bloat of its last type change; v2.2.0 switches.
"""

import sqlalchemy as sa

from homeops_db import online

revision = "v2.1.0"
down_revision = "v2.0.0"
branch_labels = None
depends_on = None
change = "minor"

transactions = online.Restructure(
    "transactions",
    schema="financial",
    columns=[
        *("id", "account_id", "category_id", "recurring_transaction_id", "transaction_date", "amount"),
        *("description", "merchant_name", "status", "external_id", "created_at", "updated_at"),
        *("currency", "counter_account_id"),
        sa.Column("merchant_category", sa.String(100)),
    ],
)


def upgrade() -> None:
    transactions.expand()


def downgrade() -> None:
    transactions.undo_expand()
