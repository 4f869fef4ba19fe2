"""AI enhancement: not written yet."""

import sqlalchemy as sa
from alembic import op

from homeops_db import online

revision = "v3.0.0"
down_revision = "v2.2.0"
branch_labels = None
depends_on = None
change = "major"

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
    transactions.contract()
    online.create_index(
        "ix_transactions_merchant_category", "transactions", ["merchant_category"], schema="financial"
    )


def downgrade() -> None:
    online.drop_index("ix_transactions_merchant_category", table_name="transactions", schema="financial")
    transactions.undo_contract()
