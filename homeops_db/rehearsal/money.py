"""What the application does with money."""

from datetime import date, timedelta
from typing import Any, Final

from homeops_db.rehearsal.app import PAGE, App
from homeops_db.rehearsal.owned import Row, cents, expect

_DAY: Final = date(2026, 1, 1)
_NOBODYS: Final = 0.3
"""How often a transaction is one of an account that others have."""


def spend(app: App) -> None:
    """Enter a transaction: of the own account, or of one that is full already."""
    is_ours = app.owned.random.random() > _NOBODYS
    key = app.owned.new_key()
    row: Row = {
        "id": key,
        "account_id": app.account if is_ours else app.one(app.known.accounts),
        "category_id": app.one(app.known.categories),
        "transaction_date": _DAY + timedelta(days=app.below(300)),
        "amount": _amount(app),
        "description": None if app.below(3) else f"Note {app.below(1000)}",
        "merchant_name": "Corner Market",
        "status": "pending",
        "external_id": None if app.below(2) else f"W{app.number}-{key.hex[8:]}",
    }
    app.owned.insert(app.client, "financial.transactions", row)


def correct(app: App) -> None:
    """Correct amount and note of a transaction."""
    _change(app, amount=_amount(app), description=f"corrected {app.below(1000)}", status="posted")


def recategorize(app: App) -> None:
    """Put a transaction into another category."""
    _change(app, category_id=app.one(app.known.categories))


def void(app: App) -> None:
    """Void a transaction."""
    _change(app, status="void")


def remove(app: App) -> None:
    """Delete a transaction of our own."""
    row = app.owned.some("financial.transactions")
    if row is not None:
        app.owned.delete(app.client, "financial.transactions", row)


def balance(app: App) -> None:
    """Read the account's balance, which must be what we have entered."""
    ((found,),) = app.client.run(
        "select a.opening_balance + coalesce(sum(t.amount) filter (where t.status <> 'void'), 0) "
        "from financial.accounts a left join financial.transactions t on t.account_id = a.id "
        "where a.id = :account group by a.id, a.opening_balance",
        {"account": app.account},
    )
    amounts = [row["amount"] for row in _ours(app) if row["status"] != "void"]
    expect(cents(found), cents(100 + sum(map(cents, amounts))), "the account's balance")


def statement(app: App) -> None:
    """List the last transactions of our account, which must be those that we have entered."""
    found = app.client.run(_STATEMENT, {"account": app.account, "page": PAGE})
    last = sorted(_ours(app), key=lambda row: (row["transaction_date"], row["id"].int), reverse=True)[:PAGE]
    expected = [(row["id"], cents(row["amount"]), row["description"], row["status"]) for row in last]
    expect([(row[0], cents(row[4]), row[5], row[7]) for row in found], expected, "the last transactions")


def other_statement(app: App) -> None:
    """List the last transactions of a full account."""
    app.client.run(_STATEMENT, {"account": app.one(app.known.accounts), "page": PAGE})


def budgets(app: App) -> None:
    """Show a user's budgets, and what was spent of each."""
    app.client.run(
        "select b.id, b.name, b.amount, b.alert_percent, c.name, "
        " (select coalesce(sum(t.amount), 0) from financial.transactions t "
        "  join financial.accounts a on a.id = t.account_id and a.user_id = b.user_id "
        "  where t.category_id = b.category_id and t.transaction_date >= date '2025-12-01') "
        "from financial.budgets b join financial.categories c on c.id = b.category_id "
        "where b.user_id = :user",
        {"user": app.one(app.known.users)},
    )


_STATEMENT: Final = (
    "select id, account_id, category_id, transaction_date, amount, description, merchant_name, status, "
    "external_id, recurring_transaction_id, created_at, updated_at from financial.transactions "
    "where account_id = :account order by transaction_date desc, id desc limit :page"
)


def _amount(app: App) -> float:
    return (app.below(60_000) - 50_000) / 100


def _ours(app: App) -> list[Row]:
    rows = app.owned.committed["financial.transactions"].values()
    return [row for row in rows if row["account_id"] == app.account]


def _change(app: App, **changes: Any) -> None:
    row = app.owned.some("financial.transactions")
    if row is not None:
        app.owned.update(app.client, "financial.transactions", row, **changes)
