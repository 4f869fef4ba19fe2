"""Names of constraints and indexes: one convention for models, revisions and checks."""

CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
"""SQLAlchemy's naming convention (https://docs.sqlalchemy.org/en/20/core/constraints.html#naming)."""

SCHEMAS = ("core", "financial", "media", "smart_home", "community", "ai")
"""The schemas that models describe. ``migrations`` is the ledger's own and stands beside them."""

LEDGER_SCHEMA = "migrations"

EXTENSIONS = ("uuid-ossp", "pgcrypto", "timescaledb", "vector", "pg_stat_statements", "pg_trgm")

GROUPS = ("homeops_app", "homeops_readonly")
"""Roles without login: logins are made members of them."""
