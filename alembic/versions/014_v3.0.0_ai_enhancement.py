"""AI enhancement: what is alike, what was said, and what is expected to happen: schema ai.

The restructure of the transactions ends here: the old table goes, and merchant categories get their index.
That is what makes the version major: the way back has to build the old table anew.

The columns of the type vector are added by a DO block, because the extension may live in another schema than
public; functions of ours find it there when they run. Foreign keys to tables in use come last, so that their
locks are held for a moment only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from homeops_db import online

revision = "v3.0.0"
down_revision = "v2.2.0"
branch_labels = None
depends_on = None
change = "major"

JSONB = postgresql.JSONB()
TIMESTAMPTZ = sa.DateTime(timezone=True)
NOW = sa.text("now()")
VALUE = sa.Numeric(20, 6)

TABLES = (
    "embedding_models",
    "item_embeddings",
    "conversations",
    "messages",
    "message_embeddings",
    "prediction_models",
    "predictions",
    "prediction_outcomes",
    "anomalies",
)

# Table, column, what it refers to, and what happens when that goes.
OUTWARD = (
    ("conversations", "user_id", "core.users", "CASCADE"),
    ("predictions", "user_id", "core.users", "CASCADE"),
    ("anomalies", "dismissed_by", "core.users", "SET NULL"),
    ("predictions", "category_id", "financial.categories", "CASCADE"),
    ("predictions", "device_id", "smart_home.devices", "CASCADE"),
    ("item_embeddings", "item_id", "media.items", "CASCADE"),
)

FUNCTIONS = (
    "ai.similar_items(uuid, integer)",
    "ai.search_messages(uuid, real[], integer)",
    "ai.conversation_context(uuid, integer)",
    "ai.activate_prediction_model(uuid)",
    "ai.note_anomalies()",
)

VIEWS = ("ai.items_to_embed", "ai.messages_to_embed", "ai.prediction_errors", "ai.prediction_accuracy")

UPDATED = ("ai.conversations", "ai.embedding_models", "ai.prediction_models")

transactions = online.Restructure(
    "transactions",
    schema="financial",
    columns=[
        *("id", "account_id", "category_id", "recurring_transaction_id", "transaction_date", "amount"),
        *("description", "merchant_name", "status", "external_id", "created_at", "updated_at"),
        *("currency", "counter_account_id"),
        sa.Column("merchant_category", sa.String(100)),
    ],
)

# 16 links a vector are enough for hundreds of thousands of 384 dimensions. A vector is written once and
# searched often, so the build looks at twice as many candidates as by default.
ADD_VECTORS = """
DO $$
DECLARE
    home name = (SELECT n.nspname
                 FROM pg_extension e
                 JOIN pg_namespace n ON n.oid = e.extnamespace
                 WHERE e.extname = 'vector');
    subject text;
BEGIN
    FOREACH subject IN ARRAY ARRAY['item_embeddings', 'message_embeddings'] LOOP
        EXECUTE format(
            'ALTER TABLE ai.%1$I
                 ADD COLUMN embedding %2$I.vector(384) NOT NULL,
                 ADD COLUMN dimensions integer NOT NULL
                     GENERATED ALWAYS AS (%2$I.vector_dims(embedding)) STORED,
                 ADD CONSTRAINT %3$I CHECK (%2$I.vector_norm(embedding) > 0),
                 ADD CONSTRAINT %4$I FOREIGN KEY (model, dimensions)
                     REFERENCES ai.embedding_models (name, dimensions) ON DELETE RESTRICT',
            subject, home, 'ck_' || subject || '_embedding', 'fk_' || subject || '_model_dimensions'
        );
        EXECUTE format(
            'CREATE INDEX %1$I ON ai.%2$I USING hnsw (embedding %3$I.vector_cosine_ops)
             WITH (m = 16, ef_construction = 128)',
            'ix_' || subject || '_embedding', subject, home
        );
        EXECUTE format(
            'CREATE INDEX %1$I ON ai.%2$I (model, dimensions)',
            'ix_' || subject || '_model_dimensions', subject
        );
    END LOOP;
END
$$
"""

GRANT_APP = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'homeops_app') THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA ai TO homeops_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ai TO homeops_app;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ai TO homeops_app;

    ALTER DEFAULT PRIVILEGES IN SCHEMA ai GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO homeops_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA ai GRANT USAGE ON SEQUENCES TO homeops_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA ai GRANT EXECUTE ON FUNCTIONS TO homeops_app;
END
$$
"""

GRANT_READONLY = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'homeops_readonly') THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA ai TO homeops_readonly;
    GRANT SELECT ON ALL TABLES IN SCHEMA ai TO homeops_readonly;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ai TO homeops_readonly;

    ALTER DEFAULT PRIVILEGES IN SCHEMA ai GRANT SELECT ON TABLES TO homeops_readonly;
    ALTER DEFAULT PRIVILEGES IN SCHEMA ai GRANT EXECUTE ON FUNCTIONS TO homeops_readonly;
END
$$
"""

# Who searches names the extension's operators. Everybody may in public; elsewhere, the groups must be let in.
GRANT_VECTOR = """
DO $$
DECLARE
    home name = (SELECT n.nspname
                 FROM pg_extension e
                 JOIN pg_namespace n ON n.oid = e.extnamespace
                 WHERE e.extname = 'vector');
    reader name;
BEGIN
    FOR reader IN SELECT rolname FROM pg_roles WHERE rolname IN ('homeops_app', 'homeops_readonly') LOOP
        CONTINUE WHEN has_schema_privilege(reader, home, 'USAGE');
        BEGIN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', home, reader);
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role % may not use schema %, where the type vector is', reader, home
                    USING HINT = format('Its owner can let it: GRANT USAGE ON SCHEMA %I TO %I', home, reader);
        END;
    END LOOP;
END
$$
"""

SIMILAR_ITEMS = """
CREATE OR REPLACE FUNCTION ai.similar_items(item uuid, wanted integer DEFAULT 10)
RETURNS TABLE (item_id uuid, title text, type text, distance double precision)
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    home name = (SELECT n.nspname
                 FROM pg_extension e
                 JOIN pg_namespace n ON n.oid = e.extnamespace
                 WHERE e.extname = 'vector');
    space text = (SELECT m.name FROM ai.embedding_models m WHERE m.is_default);
    breadth text;
    iteration text;
BEGIN
    IF wanted IS NULL OR wanted NOT BETWEEN 1 AND 500 THEN
        RAISE EXCEPTION 'from 1 to 500 similar items can be wanted, not %', coalesce(wanted::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT FROM ai.item_embeddings e WHERE e.item_id = item AND e.model = space) THEN
        RETURN;
    END IF;
    -- The first use of the type loads the extension's library, which brings the settings.
    EXECUTE format('SELECT %1$I.vector_dims(''[1]''::%1$I.vector)', home);
    breadth = current_setting('hnsw.ef_search');
    iteration = current_setting('hnsw.iterative_scan', true);
    PERFORM set_config('hnsw.ef_search', greatest(breadth::integer, 100, 2 * wanted)::text, true);
    -- From pgvector 0.8 on: what the index finds of other models doesn't count.
    IF iteration IS NOT NULL THEN
        PERFORM set_config('hnsw.iterative_scan', 'strict_order', true);
    END IF;
    -- All that are as far as the last one, so that the outer order decides between them.
    RETURN QUERY EXECUTE format(
        'SELECT near.item_id, i.title, i.type, near.distance
         FROM (
             SELECT e.item_id, e.embedding OPERATOR(%1$I.<=>) this.embedding AS distance
             FROM ai.item_embeddings e
             CROSS JOIN (
                 SELECT (SELECT t.embedding FROM ai.item_embeddings t
                         WHERE t.item_id = $1 AND t.model = $2) AS embedding
             ) AS this
             WHERE e.model = $2 AND e.item_id <> $1
             ORDER BY e.embedding OPERATOR(%1$I.<=>) this.embedding
             FETCH FIRST $3 ROWS WITH TIES
         ) AS near
         JOIN media.items i ON i.id = near.item_id
         ORDER BY near.distance, near.item_id
         LIMIT $3',
        home
    ) USING item, space, wanted;
    PERFORM set_config('hnsw.ef_search', breadth, true);
    IF iteration IS NOT NULL THEN
        PERFORM set_config('hnsw.iterative_scan', iteration, true);
    END IF;
END
$$
"""

SEARCH_MESSAGES = """
CREATE OR REPLACE FUNCTION ai.search_messages(of_user uuid, query real[], wanted integer DEFAULT 10)
RETURNS TABLE (
    message_id uuid,
    conversation_id uuid,
    role text,
    content text,
    created_at timestamptz,
    distance double precision
)
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    home name = (SELECT n.nspname
                 FROM pg_extension e
                 JOIN pg_namespace n ON n.oid = e.extnamespace
                 WHERE e.extname = 'vector');
    space text = (SELECT m.name FROM ai.embedding_models m WHERE m.is_default);
    few CONSTANT integer = 2000;
    is_few boolean;
    breadth text;
    iteration text;
BEGIN
    IF wanted IS NULL OR wanted NOT BETWEEN 1 AND 500 THEN
        RAISE EXCEPTION 'from 1 to 500 messages can be wanted, not %', coalesce(wanted::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF query IS NULL OR 0 = ALL (query) THEN
        RAISE EXCEPTION 'a vector of zeros has no direction to search in'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The index holds everybody's messages. Of a person with few, it may find none among the nearest,
    -- so few are compared one by one.
    SELECT count(*) <= few INTO is_few
    FROM (
        SELECT
        FROM ai.conversations c
        JOIN ai.messages m ON m.conversation_id = c.id
        WHERE c.user_id = of_user
        LIMIT few + 1
    ) AS said;
    -- The first use of the type loads the extension's library, which brings the settings.
    EXECUTE format('SELECT %1$I.vector_dims(''[1]''::%1$I.vector)', home);
    breadth = current_setting('hnsw.ef_search');
    iteration = current_setting('hnsw.iterative_scan', true);
    PERFORM set_config('hnsw.ef_search', greatest(breadth::integer, 100, 2 * wanted)::text, true);
    IF iteration IS NOT NULL THEN
        PERFORM set_config('hnsw.iterative_scan', 'strict_order', true);
    END IF;
    -- All that are as far as the last one, so that the outer order decides between them.
    RETURN QUERY EXECUTE format(
        CASE WHEN is_few THEN
            'WITH near AS MATERIALIZED (
                 SELECT m.id, e.embedding OPERATOR(%1$I.<=>) $2::%1$I.vector AS distance
                 FROM ai.conversations c
                 JOIN ai.messages m ON m.conversation_id = c.id
                 JOIN ai.message_embeddings e ON e.message_id = m.id
                 WHERE c.user_id = $1 AND e.model = $3
             )'
        ELSE
            'WITH near AS (
                 SELECT m.id, e.embedding OPERATOR(%1$I.<=>) $2::%1$I.vector AS distance
                 FROM ai.message_embeddings e
                 JOIN ai.messages m ON m.id = e.message_id
                 JOIN ai.conversations c ON c.id = m.conversation_id
                 WHERE c.user_id = $1 AND e.model = $3
                 ORDER BY e.embedding OPERATOR(%1$I.<=>) $2::%1$I.vector
                 FETCH FIRST $4 ROWS WITH TIES
             )'
        END
        || 'SELECT m.id, m.conversation_id, m.role, m.content, m.created_at, near.distance
            FROM near
            JOIN ai.messages m ON m.id = near.id
            ORDER BY near.distance, m.id
            LIMIT $4',
        home
    ) USING of_user, query, space, wanted;
    PERFORM set_config('hnsw.ef_search', breadth, true);
    IF iteration IS NOT NULL THEN
        PERFORM set_config('hnsw.iterative_scan', iteration, true);
    END IF;
END
$$
"""

CONVERSATION_CONTEXT = """
CREATE OR REPLACE FUNCTION ai.conversation_context(of_conversation uuid, budget integer)
RETURNS TABLE (message_id uuid, "position" integer, role text, content text, tokens integer)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    -- What the system says comes first out of the budget, then the newest messages, without a gap.
    WITH counted AS (
        SELECT m.id, m.position, m.role, m.content, m.tokens, m.reply_to_id,
               sum(m.tokens) OVER (ORDER BY m.role = 'system' DESC, m.position DESC) AS used
        FROM ai.messages m
        WHERE m.conversation_id = of_conversation
    ), kept AS (
        SELECT * FROM counted WHERE counted.used <= budget
    )
    SELECT k.id, k.position, k.role, k.content, k.tokens
    FROM kept k
    -- The result of a tool means nothing without the message that called it.
    WHERE k.role <> 'tool' OR EXISTS (SELECT FROM kept caller WHERE caller.id = k.reply_to_id)
    ORDER BY k.position
$$
"""

ACTIVATE_PREDICTION_MODEL = """
CREATE OR REPLACE FUNCTION ai.activate_prediction_model(model uuid)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_kind text = (SELECT m.kind FROM ai.prediction_models m WHERE m.id = model);
BEGIN
    IF of_kind IS NULL THEN
        RAISE EXCEPTION 'there is no prediction model %', model USING ERRCODE = 'no_data_found';
    END IF;
    -- In two steps: one active model a kind is a law at every moment.
    UPDATE ai.prediction_models m SET is_active = false
    WHERE m.kind = of_kind AND m.is_active AND m.id <> model;
    UPDATE ai.prediction_models m SET is_active = true
    WHERE m.id = model AND NOT m.is_active;
END
$$
"""

NOTE_ANOMALIES = """
CREATE OR REPLACE FUNCTION ai.note_anomalies()
RETURNS integer
LANGUAGE sql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    -- How far outside the interval, measured by its width.
    WITH noted AS (
        INSERT INTO ai.anomalies (prediction_id, severity)
        SELECT o.prediction_id,
               CASE
                   WHEN outside.by <= (p.upper - p.lower) / 2 THEN 'info'
                   WHEN outside.by <= p.upper - p.lower THEN 'warning'
                   ELSE 'critical'
               END
        FROM ai.prediction_outcomes o
        JOIN ai.predictions p ON p.id = o.prediction_id
        CROSS JOIN LATERAL (SELECT greatest(p.lower - o.actual, o.actual - p.upper) AS by) AS outside
        WHERE outside.by > 0
        ON CONFLICT (prediction_id) DO NOTHING
        RETURNING 1
    )
    SELECT count(*)::integer FROM noted
$$
"""

ITEMS_TO_EMBED = r"""
CREATE OR REPLACE VIEW ai.items_to_embed AS
SELECT i.id AS item_id, d.name AS model, described.content, digested.content_digest
FROM media.items i
CROSS JOIN ai.embedding_models d
CROSS JOIN LATERAL (
    SELECT concat_ws(
        E'\n',
        i.title,
        i.type,
        (SELECT string_agg(g.name, ', ' ORDER BY g.name COLLATE "C")
         FROM media.item_genres ig
         JOIN media.genres g ON g.id = ig.genre_id
         WHERE ig.item_id = i.id),
        i.details ->> 'description'
    ) AS content
) AS described
CROSS JOIN LATERAL (
    SELECT encode(sha256(convert_to(described.content, 'UTF8')), 'hex') AS content_digest
) AS digested
WHERE d.is_default
  AND NOT EXISTS (
      SELECT FROM ai.item_embeddings e
      WHERE e.item_id = i.id AND e.model = d.name AND e.content_digest = digested.content_digest
  )
"""

MESSAGES_TO_EMBED = """
CREATE OR REPLACE VIEW ai.messages_to_embed AS
SELECT m.id AS message_id, d.name AS model, m.content, digested.content_digest
FROM ai.messages m
CROSS JOIN ai.embedding_models d
CROSS JOIN LATERAL (
    SELECT encode(sha256(convert_to(m.content, 'UTF8')), 'hex') AS content_digest
) AS digested
WHERE d.is_default
  AND m.role IN ('user', 'assistant')
  AND m.content <> ''
  AND NOT EXISTS (
      SELECT FROM ai.message_embeddings e
      WHERE e.message_id = m.id AND e.model = d.name AND e.content_digest = digested.content_digest
  )
"""

PREDICTION_ERRORS = """
CREATE OR REPLACE VIEW ai.prediction_errors AS
SELECT p.id AS prediction_id,
       p.model_id,
       p.kind,
       p.target_at,
       p.value AS predicted,
       o.actual,
       o.actual - p.value AS error,
       abs(o.actual - p.value) AS absolute_error,
       -- Of nothing there is no share.
       100 * abs(o.actual - p.value) / nullif(abs(o.actual), 0) AS absolute_error_percent,
       o.actual BETWEEN p.lower AND p.upper AS is_within
FROM ai.prediction_outcomes o
JOIN ai.predictions p ON p.id = o.prediction_id
"""

PREDICTION_ACCURACY = """
CREATE OR REPLACE VIEW ai.prediction_accuracy AS
SELECT m.id AS model_id,
       m.kind,
       m.version,
       m.is_active,
       count(e.prediction_id) AS outcomes,
       avg(e.error) AS bias,
       avg(e.absolute_error) AS mae,
       avg(e.absolute_error_percent) AS mape,
       m.interval_level,
       avg(e.is_within::integer) AS coverage
FROM ai.prediction_models m
LEFT JOIN ai.prediction_errors e ON e.model_id = m.id
GROUP BY m.id
"""


def upgrade() -> None:
    transactions.contract()
    online.create_index(
        "ix_transactions_merchant_category", "transactions", ["merchant_category"], schema="financial"
    )
    op.execute("CREATE SCHEMA ai")
    _create_similarity()
    _create_conversations()
    op.execute(ADD_VECTORS)
    _create_predictions()
    _create_functions()
    for statement in (GRANT_APP, GRANT_READONLY, GRANT_VECTOR):
        op.execute(statement)
    _refer_to_tables_in_use()


def downgrade() -> None:
    online.drop_index("ix_transactions_merchant_category", table_name="transactions", schema="financial")
    transactions.undo_contract()
    op.execute(f"DROP VIEW {', '.join(reversed(VIEWS))}")
    op.execute(f"DROP FUNCTION {', '.join(FUNCTIONS)}")
    for name in reversed(TABLES):
        op.drop_table(name, schema="ai")
    # All grants and the default privileges of the schema go with it. The right to use the extension's
    # schema stays: others may need it by now, and it gives no more than names.
    op.execute("DROP SCHEMA ai")


def _create_similarity() -> None:
    _table(
        "embedding_models",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("distance", sa.Text(), server_default="cosine", nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("description", sa.Text()),
        *_timestamps(),
        unique=["name, dimensions"],
        choices={"distance": "cosine inner_product l2"},
        checks={
            "dimensions": "dimensions BETWEEN 1 AND 2000",
            "is_default": "NOT is_default OR (dimensions = 384 AND distance = 'cosine')",
        },
    )
    op.create_index(
        op.f("uq_embedding_models_is_default"),
        "embedding_models",
        ["is_default"],
        unique=True,
        schema="ai",
        postgresql_where=sa.text("is_default"),
    )
    _embeddings("item_embeddings", sa.Column("item_id", sa.Uuid(), primary_key=True))


def _create_conversations() -> None:
    _table(
        "conversations",
        _key(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("archived_at", TIMESTAMPTZ),
        *_timestamps(),
        indexes=["user_id, created_at DESC"],
    )
    _table(
        "messages",
        _key(),
        _reference("conversation_id", "ai.conversations.id", "CASCADE"),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer()),
        sa.Column("tool_calls", JSONB),
        sa.Column("reply_to_id", sa.Uuid()),
        sa.Column("created_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        unique=["conversation_id, position", "conversation_id, id"],
        choices={"role": "system user assistant tool"},
        checks={
            "position": "position >= 0",
            "tokens": "tokens >= 0",
            "prompt_tokens": "prompt_tokens IS NULL OR (prompt_tokens >= 0 AND role = 'assistant')",
            "tool_calls": "tool_calls IS NULL OR (jsonb_typeof(tool_calls) = 'array' AND role = 'assistant')",
            "reply_to_id": "role <> 'tool' OR reply_to_id IS NOT NULL",
            "reply_to_itself": "reply_to_id <> id",
        },
        keys={"conversation_id, reply_to_id": "ai.messages.conversation_id, ai.messages.id"},
        indexes=["conversation_id, reply_to_id"],
    )
    _embeddings("message_embeddings", _reference("message_id", "ai.messages.id", "CASCADE", primary_key=True))


def _create_predictions() -> None:
    _table(
        "prediction_models",
        _key(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("parameters", JSONB, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("metrics", JSONB, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("interval_level", sa.Numeric(4, 3), server_default=sa.text("0.9"), nullable=False),
        sa.Column("trained_at", TIMESTAMPTZ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        *_timestamps(),
        unique=["kind, version", "id, kind"],
        choices={"kind": "spending income energy climate maintenance"},
        checks={
            "interval_level": "interval_level > 0 AND interval_level < 1",
            "is_active": "NOT is_active OR trained_at IS NOT NULL",
        },
    )
    op.create_index(
        op.f("uq_prediction_models_kind_active"),
        "prediction_models",
        ["kind"],
        unique=True,
        schema="ai",
        postgresql_where=sa.text("is_active"),
    )
    _table(
        "predictions",
        _key(),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("category_id", sa.Uuid()),
        sa.Column("device_id", sa.Uuid()),
        sa.Column("made_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.Column("target_at", TIMESTAMPTZ, nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("value", VALUE, nullable=False),
        sa.Column("lower", VALUE, nullable=False),
        sa.Column("upper", VALUE, nullable=False),
        checks={
            "subject": "CASE WHEN kind IN ('spending', 'income')"
            " THEN user_id IS NOT NULL AND device_id IS NULL"
            " ELSE device_id IS NOT NULL AND user_id IS NULL AND category_id IS NULL END",
            "target_at": "made_at <= target_at",
            "value": "lower <= value AND value <= upper AND upper < 'NaN'",
        },
        keys={"model_id, kind": "ai.prediction_models.id, ai.prediction_models.kind"},
        indexes=["user_id", "category_id", "device_id", "target_at"],
    )
    op.create_unique_constraint(
        op.f("uq_predictions_model_id_kind_subject_target_at_made_at"),
        "predictions",
        ["model_id", "kind", "user_id", "category_id", "device_id", "target_at", "made_at"],
        schema="ai",
        postgresql_nulls_not_distinct=True,
    )
    _table(
        "prediction_outcomes",
        _reference("prediction_id", "ai.predictions.id", "CASCADE", primary_key=True),
        sa.Column("actual", VALUE, nullable=False),
        sa.Column("observed_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        checks={"actual": "actual < 'NaN'"},
    )
    _table(
        "anomalies",
        _reference("prediction_id", "ai.prediction_outcomes.prediction_id", "CASCADE", primary_key=True),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("noted_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.Column("dismissed_at", TIMESTAMPTZ),
        sa.Column("dismissed_by", sa.Uuid()),
        choices={"severity": "info warning critical"},
        checks={
            "dismissed_by": "dismissed_by IS NULL OR dismissed_at IS NOT NULL",
            "dismissed_at": "dismissed_at >= noted_at",
        },
        indexes=["dismissed_by"],
    )


def _create_functions() -> None:
    for statement in (
        *(SIMILAR_ITEMS, SEARCH_MESSAGES, CONVERSATION_CONTEXT, ACTIVATE_PREDICTION_MODEL, NOTE_ANOMALIES),
        *(ITEMS_TO_EMBED, MESSAGES_TO_EMBED, PREDICTION_ERRORS, PREDICTION_ACCURACY),
    ):
        op.execute(statement)
    # A view reads with its owner's rights unless it is told to use the reader's.
    for view in VIEWS:
        op.execute(f"ALTER VIEW {view} SET (security_invoker = true)")
    op.execute(f"REVOKE EXECUTE ON FUNCTION {', '.join(FUNCTIONS)} FROM PUBLIC")
    for path in UPDATED:
        op.execute(
            f"CREATE TRIGGER set_updated_at BEFORE UPDATE ON {path}"
            " FOR EACH ROW EXECUTE FUNCTION core.set_updated_at()"
        )


def _refer_to_tables_in_use() -> None:
    for table, column, target, ondelete in OUTWARD:
        schema, _, name = target.partition(".")
        op.create_foreign_key(
            op.f(f"fk_{table}_{column}"),
            table,
            name,
            [column],
            ["id"],
            source_schema="ai",
            referent_schema=schema,
            ondelete=ondelete,
        )


def _embeddings(table: str, subject: sa.Column[Any]) -> None:
    """Create a table of vectors but for the vector: ADD_VECTORS adds that."""
    _table(
        table,
        subject,
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("content_digest", sa.Text(), nullable=False),
        sa.Column("embedded_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        checks={"content_digest": "content_digest ~ '^[0-9a-f]{64}$'"},
    )


def _table(
    table: str,
    *columns: sa.Column[Any],
    unique: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    checks: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    indexes: Sequence[str] = (),
) -> None:
    """Create a table whose constraints and indexes carry the project's names.

    op.f() keeps a naming convention of the environment from changing them.
    """
    for column in columns:
        for key in column.foreign_keys:
            key.name = op.f(f"fk_{table}_{column.name}")
    op.create_table(
        table,
        *columns,
        sa.PrimaryKeyConstraint(*(c.name for c in columns if c.primary_key), name=op.f(f"pk_{table}")),
        *(_unique(table, terms.split(", ")) for terms in unique),
        *(
            _check(table, name, f"{name} IN {tuple(listed.split())}")
            for name, listed in (choices or {}).items()
        ),
        *(_check(table, name, condition) for name, condition in (checks or {}).items()),
        *(_cascade(table, own.split(", "), targets.split(", ")) for own, targets in (keys or {}).items()),
        schema="ai",
    )
    for terms in indexes:
        names = "_".join(terms.replace(" DESC", "").split(", "))
        op.create_index(op.f(f"ix_{table}_{names}"), table, [sa.text(terms)], schema="ai")


def _unique(table: str, columns: Sequence[str]) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _cascade(table: str, columns: Sequence[str], targets: Sequence[str]) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{'_'.join(columns)}")
    return sa.ForeignKeyConstraint(columns, targets, name=name, ondelete="CASCADE")


def _key() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.text("gen_random_uuid()"))


def _reference(name: str, target: str, ondelete: str, *, primary_key: bool = False) -> sa.Column[Any]:
    key = sa.ForeignKey(target, ondelete=ondelete)
    return sa.Column(name, sa.Uuid(), key, nullable=False, primary_key=primary_key)


def _timestamps() -> tuple[sa.Column[Any], ...]:
    return tuple(
        sa.Column(name, TIMESTAMPTZ, server_default=NOW, nullable=False)
        for name in ("created_at", "updated_at")
    )
