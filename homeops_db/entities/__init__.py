"""Functions and triggers, as alembic-utils entities: what ``alembic check`` compares beside the models."""

from pathlib import Path
from typing import Final

from alembic_utils.pg_function import PGFunction
from alembic_utils.pg_trigger import PGTrigger
from alembic_utils.replaceable_entity import ReplaceableEntity

SQL: Final = Path(__file__).with_name("sql")
"""The bodies: ``<schema>/<name>.sql``, each one CREATE OR REPLACE statement."""

UPDATED: Final = (
    *("core.api_keys", "core.households", "core.system_config", "core.users"),
    *("financial.accounts", "financial.budgets", "financial.categories", "financial.holdings"),
    *("financial.institutions", "financial.recurring_transactions", "financial.securities"),
    *("financial.transactions", "media.items", "media.libraries", "media.people", "media.playlists"),
    *("smart_home.automations", "smart_home.devices", "smart_home.rooms", "smart_home.scenes"),
)
"""Tables whose column updated_at is kept by a trigger."""

AUDITED: Final[dict[str, tuple[str, ...]]] = {
    "core.api_keys": ("key_hash",),
    "core.household_members": (),
    "core.system_config": (),
    "core.users": ("password_hash",),
    "financial.accounts": (),
    "financial.budgets": (),
    "financial.institutions": ("api_config",),
    "financial.transactions": (),
    "smart_home.automations": (),
    "smart_home.devices": ("credentials",),
}
"""Tables whose changes go to core.audit_log, and their secret columns, which never do."""


def _trigger(table: str, name: str, event: str, call: str) -> PGTrigger:
    return PGTrigger(
        schema=table.partition(".")[0],
        signature=name,
        on_entity=table,
        definition=f"{event} ON {table} FOR EACH ROW EXECUTE FUNCTION {call}",
    )


def _audit(table: str, secrets: tuple[str, ...]) -> PGTrigger:
    arguments = ", ".join(f"'{column}'" for column in secrets)
    return _trigger(
        table, "record_audit", "AFTER INSERT OR DELETE OR UPDATE", f"core.record_audit({arguments})"
    )


ENTITIES: Final[list[ReplaceableEntity]] = [
    *(PGFunction.from_path(path) for path in sorted(SQL.glob("*/*.sql"))),
    *(_trigger(table, "set_updated_at", "BEFORE UPDATE", "core.set_updated_at()") for table in UPDATED),
    *(_audit(table, secrets) for table, secrets in AUDITED.items()),
    _trigger(
        "migrations.health_samples",
        "check_migration_health",
        "BEFORE INSERT",
        "migrations.check_migration_health()",
    ),
]

__all__ = ["AUDITED", "ENTITIES", "SQL", "UPDATED"]
