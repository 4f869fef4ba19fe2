"""Old transactions get their account's currency.

What is filled in stays on the way back: v1.4.0 fills it too, with the next change of a row.
"""

from homeops_db import online

revision = "v1.4.1"
down_revision = "v1.4.0"
branch_labels = None
depends_on = None
change = "patch"


def upgrade() -> None:
    online.backfill(
        "transactions",
        {"currency": "(SELECT a.currency FROM financial.accounts a WHERE a.id = account_id)"},
        schema="financial",
        where="currency IS NULL",
    )


def downgrade() -> None:
    """Keep the currencies: nothing of v1.4.0 minds them."""
