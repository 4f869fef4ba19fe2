"""Functions, views and triggers as alembic-utils entities: what ``alembic check`` compares besides models."""

from pathlib import Path
from typing import Final

from alembic_utils.pg_function import PGFunction
from alembic_utils.pg_view import PGView
from alembic_utils.replaceable_entity import ReplaceableEntity

from homeops_db.entities import ai, community, core, financial, media, smart_home
from homeops_db.entities.functions import leave_constructors_out
from homeops_db.entities.triggers import audit, row_trigger, updated

SQL: Final = Path(__file__).with_name("sql")
"""The bodies: ``<schema>/<name>.sql``, each one CREATE OR REPLACE statement."""

_SCHEMAS: Final = (core, financial, media, smart_home, community, ai)

UPDATED: Final = tuple(table for schema in _SCHEMAS for table in schema.UPDATED)
"""Tables whose column updated_at is kept by a trigger."""

AUDITED: Final[dict[str, tuple[str, ...]]] = {
    table: secrets for schema in _SCHEMAS for table, secrets in schema.AUDITED.items()
}
"""Tables whose changes go to core.audit_log, and their secret columns, which never do."""


def _body(path: Path) -> ReplaceableEntity:
    is_view = path.read_text(encoding="utf-8").startswith("CREATE OR REPLACE VIEW")
    return (PGView if is_view else PGFunction).from_path(path)


leave_constructors_out()

ENTITIES: Final[list[ReplaceableEntity]] = [
    *(_body(path) for path in sorted(SQL.glob("*/*.sql"))),
    *(updated(table) for table in UPDATED),
    *(audit(table, secrets) for table, secrets in AUDITED.items()),
    *(trigger for schema in _SCHEMAS for trigger in schema.TRIGGERS),
    row_trigger(
        "migrations.health_samples",
        "check_migration_health",
        "BEFORE INSERT",
        "migrations.check_migration_health()",
    ),
]

__all__ = ["AUDITED", "ENTITIES", "SQL", "UPDATED"]
