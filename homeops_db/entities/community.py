"""What is kept, logged and guarded in schema community."""

from typing import Final

from alembic_utils.pg_trigger import PGTrigger

from homeops_db.entities.triggers import row_trigger

UPDATED: Final = (
    *("community.accounts", "community.bookings", "community.comments", "community.listings"),
    *("community.orders", "community.payouts", "community.posts", "community.profiles", "community.reviews"),
)

AUDITED: Final[dict[str, tuple[str, ...]]] = {
    "community.licence_grants": ("key_hash",),
    "community.listings": (),
    "community.orders": (),
    "community.payouts": (),
    "community.profiles": (),
    "community.revenue_plans": (),
    "community.revenue_shares": (),
}

_CHANGED = "BEFORE INSERT OR DELETE OR UPDATE"


def _at_commit(table: str, name: str, argument: str = "") -> PGTrigger:
    """Make a trigger that looks at the rows when the transaction ends."""
    return PGTrigger(
        schema="community",
        signature=name,
        on_entity=f"community.{table}",
        definition=(
            f"AFTER INSERT OR DELETE OR UPDATE ON community.{table} DEFERRABLE INITIALLY DEFERRED"
            f" FOR EACH ROW EXECUTE FUNCTION community.{name}({argument})"
        ),
        is_constraint=True,
    )


TRIGGERS: Final[list[PGTrigger]] = [
    row_trigger("community.orders", "guard_order", _CHANGED, "community.guard_order()"),
    row_trigger("community.order_items", "guard_order_item", _CHANGED, "community.guard_order_item()"),
    row_trigger(
        "community.licence_grants",
        "guard_licence_grant",
        "BEFORE INSERT OR UPDATE",
        "community.guard_licence_grant()",
    ),
    row_trigger("community.payouts", "guard_payout", _CHANGED, "community.guard_payout()"),
    row_trigger(
        "community.moderation_actions", "apply_moderation", "AFTER INSERT", "community.apply_moderation()"
    ),
    *(
        row_trigger(
            f"community.{table}",
            "guard_moderation",
            "BEFORE INSERT OR UPDATE",
            f"community.guard_moderation('{column}')",
        )
        for table, column in (("posts", "post_id"), ("comments", "comment_id"))
    ),
    _at_commit("orders", "check_order_total", "'id'"),
    _at_commit("order_items", "check_order_total", "'order_id'"),
    _at_commit("revenue_plans", "check_revenue_plan", "'id'"),
    _at_commit("revenue_shares", "check_revenue_plan", "'plan_id'"),
    _at_commit("ledger_entries", "check_journal_balance"),
]
