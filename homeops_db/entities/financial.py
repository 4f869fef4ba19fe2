"""What is kept and logged in schema financial."""

from typing import Final

from alembic_utils.pg_trigger import PGTrigger

from homeops_db.entities.triggers import row_trigger

UPDATED: Final = (
    *("financial.accounts", "financial.budgets", "financial.categories", "financial.crypto_assets"),
    *("financial.crypto_positions", "financial.crypto_wallets", "financial.holdings"),
    *("financial.institutions", "financial.recurring_transactions", "financial.securities"),
    *("financial.trading_alerts", "financial.transactions"),
)

AUDITED: Final[dict[str, tuple[str, ...]]] = {
    "financial.accounts": (),
    "financial.budgets": (),
    "financial.crypto_positions": (),
    "financial.crypto_wallets": (),
    "financial.institutions": ("api_config",),
    "financial.transactions": (),
}

TRIGGERS: Final[list[PGTrigger]] = [
    row_trigger(
        "financial.transactions",
        "fill_currency",
        "BEFORE INSERT OR UPDATE",
        "financial.fill_currency()",
    ),
]
