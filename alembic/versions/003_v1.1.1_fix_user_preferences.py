"""Fix user preferences: what isn't an object becomes one, and the column gets its index.

Early clients stored whatever is JSON: null, a list, a text with JSON in it. Whatever isn't an
object becomes one: what a text holds, else an empty one, with the stored value beside it as ``_stored_as``.
So nothing is lost, and the way back is exact for every row that nobody has changed since; a changed one
keeps its object. The application may drop ``_stored_as`` where it needs it no longer; then the row stays
as it is. Clients can still store other forms: core.mended_preferences() stays for what comes later.

The index is GIN with the default operator class: preferences are asked for by ``@>`` (who chose dark?) and
by ``?`` (who chose at all?), and jsonb_path_ops, though smaller, knows the first alone.
"""

from alembic import op

from homeops_db import online

revision = "v1.1.1"
down_revision = "v1.1.0"
branch_labels = None
depends_on = None
change = "patch"

MENDED_PREFERENCES = """
CREATE OR REPLACE FUNCTION core.mended_preferences(stored jsonb)
RETURNS jsonb
LANGUAGE plpgsql
IMMUTABLE
STRICT
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    read jsonb = stored;
BEGIN
    IF jsonb_typeof(stored) = 'object' THEN
        RETURN stored;
    END IF;
    -- A client that encoded what was encoded already stored a text with JSON in it, once or more often.
    BEGIN
        WHILE jsonb_typeof(read) = 'string' LOOP
            read = (read #>> '{}')::jsonb;
        END LOOP;
    EXCEPTION
        WHEN data_exception OR statement_too_complex THEN
            read = '{}';
    END;
    IF jsonb_typeof(read) <> 'object' THEN
        read = '{}';
    END IF;
    -- What was stored stays beside it, so that nothing is lost and the way back is exact.
    RETURN read || jsonb_build_object('_stored_as', stored);
END
$$
"""


def upgrade() -> None:
    # The backfill runs on connections of its own, so what it calls is committed first; again does no harm.
    with op.get_context().autocommit_block():
        op.execute(MENDED_PREFERENCES)
        op.execute("REVOKE EXECUTE ON FUNCTION core.mended_preferences(jsonb) FROM PUBLIC")
    online.backfill(
        "users",
        {"preferences": "core.mended_preferences(preferences)"},
        schema="core",
        where="jsonb_typeof(preferences) <> 'object'",
    )
    online.create_index(
        "ix_users_preferences", "users", ["preferences"], schema="core", postgresql_using="gin"
    )


def downgrade() -> None:
    online.drop_index("ix_users_preferences", table_name="users", schema="core")
    online.backfill(
        "users",
        {"preferences": "preferences -> '_stored_as'"},
        schema="core",
        where="jsonb_typeof(preferences -> '_stored_as') <> 'object'"
        " AND preferences = core.mended_preferences(preferences -> '_stored_as')",
    )
    op.execute("DROP FUNCTION core.mended_preferences(jsonb)")
