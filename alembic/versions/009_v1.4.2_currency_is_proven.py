"""Every transaction has a currency, and every counter account is one: the constraints of v1.4.0 are proven.

All were enforced for new rows from the start, so no writer meets anything new. Back, they stay validated,
which means the same.
"""

from homeops_db import online

revision = "v1.4.2"
down_revision = "v1.4.1"
branch_labels = None
depends_on = None
change = "patch"

PROVEN = (
    "ck_transactions_currency",
    "ck_transactions_counter_account_id",
    "fk_transactions_counter_account_id",
)
NOT_NULL = "ck_transactions_currency_not_null"


def upgrade() -> None:
    for name in PROVEN:
        online.validate_constraint(name, "transactions", schema="financial")
    # The operation proves it by a CHECK of its own: a run after one that was killed at the end finds ours
    # gone, and couldn't validate it.
    online.alter_column("transactions", "currency", nullable=False, schema="financial")
    online.drop_constraint(NOT_NULL, "transactions", schema="financial", type_="check")


def downgrade() -> None:
    online.create_check_constraint(
        NOT_NULL, "transactions", "currency IS NOT NULL", schema="financial", postgresql_not_valid=True
    )
    online.alter_column("transactions", "currency", nullable=True, schema="financial")
