"""Exact money, first step: amounts get a numeric twin, transactions a currency and a counter account.

The application goes on writing double precision, which adds up cents wrongly; v1.5.0 switches. A transaction
has its account's currency unless it says another: a trigger sees to that, so the CHECK for it can stand from
the first moment, NOT VALID as long as old rows are empty (v1.4.1 fills them, v1.4.2 validates).
"""

import sqlalchemy as sa
from alembic import op

from homeops_db import online

revision = "v1.4.0"
down_revision = "v1.3.1"
branch_labels = None
depends_on = None
change = "minor"

FILL_CURRENCY = """
CREATE OR REPLACE FUNCTION financial.fill_currency()
RETURNS trigger
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.currency IS NULL THEN
        SELECT a.currency INTO NEW.currency FROM financial.accounts a WHERE a.id = NEW.account_id;
        -- The words of the foreign key, which is asked only after the currency's own constraint.
        IF NOT FOUND AND NEW.account_id IS NOT NULL THEN
            RAISE EXCEPTION 'there is no account %', NEW.account_id
                USING ERRCODE = 'foreign_key_violation',
                      SCHEMA = TG_TABLE_SCHEMA,
                      TABLE = TG_TABLE_NAME,
                      CONSTRAINT = 'fk_transactions_account_id';
        END IF;
    END IF;
    RETURN NEW;
END
$$
"""

CREATE_TRIGGER = """
CREATE TRIGGER fill_currency BEFORE INSERT OR UPDATE ON financial.transactions
FOR EACH ROW EXECUTE FUNCTION financial.fill_currency()
"""

amount = online.TypeChange(
    "transactions",
    "amount",
    sa.Numeric(15, 2),
    schema="financial",
    up="amount::numeric(15,2)",
    down="amount::double precision",
)


def upgrade() -> None:
    amount.expand()
    online.add_column("transactions", sa.Column("currency", sa.Text()), schema="financial")
    online.add_column("transactions", sa.Column("counter_account_id", sa.Uuid()), schema="financial")
    online.create_index(
        "ix_transactions_counter_account_id", "transactions", ["counter_account_id"], schema="financial"
    )
    online.create_foreign_key(
        "fk_transactions_counter_account_id",
        "transactions",
        "accounts",
        ["counter_account_id"],
        ["id"],
        source_schema="financial",
        referent_schema="financial",
        ondelete="SET NULL",
        postgresql_not_valid=True,
    )
    online.create_check_constraint(
        "ck_transactions_counter_account_id",
        "transactions",
        "counter_account_id <> account_id",
        schema="financial",
        postgresql_not_valid=True,
    )
    online.create_check_constraint(
        "ck_transactions_currency",
        "transactions",
        "currency ~ '^[A-Z]{3}$'",
        schema="financial",
        postgresql_not_valid=True,
    )
    # The trigger first: from the moment of the CHECK on it has to fill what the application leaves out.
    op.execute("LOCK TABLE financial.transactions IN ACCESS EXCLUSIVE MODE")
    op.execute(FILL_CURRENCY)
    op.execute("REVOKE EXECUTE ON FUNCTION financial.fill_currency() FROM PUBLIC")
    op.execute(CREATE_TRIGGER)
    op.create_check_constraint(
        "ck_transactions_currency_not_null",
        "transactions",
        "currency IS NOT NULL",
        schema="financial",
        postgresql_not_valid=True,
    )


def downgrade() -> None:
    for name in (
        "ck_transactions_currency_not_null",
        "ck_transactions_currency",
        "ck_transactions_counter_account_id",
    ):
        online.drop_constraint(name, "transactions", schema="financial", type_="check")
    online.drop_constraint(
        "fk_transactions_counter_account_id", "transactions", schema="financial", type_="foreignkey"
    )
    online.drop_index("ix_transactions_counter_account_id", table_name="transactions", schema="financial")
    amount.undo_expand()
    # One transaction: a trigger without its column would refuse every write.
    op.execute("LOCK TABLE financial.transactions IN ACCESS EXCLUSIVE MODE")
    op.execute("DROP TRIGGER fill_currency ON financial.transactions")
    op.execute("DROP FUNCTION financial.fill_currency()")
    op.drop_column("transactions", "counter_account_id", schema="financial")
    op.drop_column("transactions", "currency", schema="financial")
