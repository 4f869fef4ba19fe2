"""Schema ai: what is alike, what was said, and what is expected to happen.

Vectors have 384 dimensions: as many as small models for search have that run at home.
"""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Numeric,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from homeops_db.models.base import NOW, Base, Keyed, Timestamped, one_of, reference

DIMENSIONS = 384
VALUE = Numeric(20, 6)


class EmbeddingModel(Timestamped, Base):
    """What makes vectors of texts. Vectors of one model can be compared, those of two can't."""

    __tablename__ = "embedding_models"
    __table_args__ = (
        UniqueConstraint("name", "dimensions"),
        # What an HNSW index can hold.
        CheckConstraint("dimensions BETWEEN 1 AND 2000", name="dimensions"),
        one_of("distance", "cosine", "inner_product", "l2"),
        # The functions compare by cosine distance what the columns can hold.
        CheckConstraint(
            f"NOT is_default OR (dimensions = {DIMENSIONS} AND distance = 'cosine')", name="is_default"
        ),
        Index("uq_embedding_models_is_default", "is_default", unique=True, postgresql_where="is_default"),
        {"schema": "ai"},
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    dimensions: Mapped[int]
    distance: Mapped[str] = mapped_column(server_default="cosine")
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    description: Mapped[str | None]


class Embedded:
    """A vector, whose it is, and of which content it was made: unchanged content isn't embedded again.

    The key to the model holds the vector's own number of dimensions.
    """

    @declared_attr
    @classmethod
    def model(cls) -> Mapped[str]:
        """Name the model that made the vector."""
        return mapped_column(primary_key=True, sort_order=10)

    content_digest: Mapped[str] = mapped_column(sort_order=11)
    embedded_at: Mapped[dt.datetime] = mapped_column(server_default=NOW, sort_order=12)
    embedding: Mapped[Any] = mapped_column(VECTOR(DIMENSIONS), nullable=False, sort_order=13)
    dimensions: Mapped[int] = mapped_column(Computed("vector_dims(embedding)", persisted=True), sort_order=14)


def _of_a_model(table: str) -> tuple[ForeignKeyConstraint | CheckConstraint | Index, ...]:
    return (
        ForeignKeyConstraint(
            ["model", "dimensions"],
            ["ai.embedding_models.name", "ai.embedding_models.dimensions"],
            ondelete="RESTRICT",
        ),
        Index(None, "model", "dimensions"),
        CheckConstraint("content_digest ~ '^[0-9a-f]{64}$'", name="content_digest"),
        # A vector of zeros has no direction: no cosine distance, and no place in the index.
        CheckConstraint("vector_norm(embedding) > 0", name="embedding"),
        # 16 links a vector are enough for hundreds of thousands of 384 dimensions. A vector is written
        # once and searched often, so the build looks at twice as many candidates as by default.
        Index(
            f"ix_{table}_embedding",
            "embedding",
            postgresql_using="hnsw",
            postgresql_with={"m": 16, "ef_construction": 128},
            postgresql_ops={"embedding": "vector_cosine_ops"},
        ),
    )


class ItemEmbedding(Embedded, Base):
    """What a work is about, as a vector."""

    __tablename__ = "item_embeddings"
    __table_args__ = (*_of_a_model("item_embeddings"), {"schema": "ai"})

    item_id: Mapped[uuid.UUID] = reference(
        "media.items.id", ondelete="CASCADE", index=False, primary_key=True
    )


class Conversation(Keyed, Timestamped, Base):
    """What one person and the assistant say to each other."""

    __tablename__ = "conversations"
    __table_args__ = (
        Index("ix_conversations_user_id_created_at", "user_id", text("created_at DESC")),
        {"schema": "ai"},
    )

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE", index=False)
    title: Mapped[str] = mapped_column(server_default="")
    model: Mapped[str]
    archived_at: Mapped[dt.datetime | None]


class Message(Keyed, Base):
    """One thing that was said. Who takes it back takes back what was answered to it."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("conversation_id", "position"),
        UniqueConstraint("conversation_id", "id"),
        ForeignKeyConstraint(
            ["conversation_id", "reply_to_id"],
            ["ai.messages.conversation_id", "ai.messages.id"],
            ondelete="CASCADE",
        ),
        Index(None, "conversation_id", "reply_to_id"),
        one_of("role", "system", "user", "assistant", "tool"),
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("tokens >= 0", name="tokens"),
        CheckConstraint(
            "prompt_tokens IS NULL OR (prompt_tokens >= 0 AND role = 'assistant')", name="prompt_tokens"
        ),
        CheckConstraint(
            "tool_calls IS NULL OR (jsonb_typeof(tool_calls) = 'array' AND role = 'assistant')",
            name="tool_calls",
        ),
        # The result of a tool answers the message that called it.
        CheckConstraint("role <> 'tool' OR reply_to_id IS NOT NULL", name="reply_to_id"),
        CheckConstraint("reply_to_id <> id", name="reply_to_itself"),
        {"schema": "ai"},
    )

    conversation_id: Mapped[uuid.UUID] = reference("ai.conversations.id", ondelete="CASCADE", index=False)
    position: Mapped[int]
    role: Mapped[str]
    content: Mapped[str]
    tokens: Mapped[int]
    prompt_tokens: Mapped[int | None]
    tool_calls: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    reply_to_id: Mapped[uuid.UUID | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class MessageEmbedding(Embedded, Base):
    """What a message is about, as a vector."""

    __tablename__ = "message_embeddings"
    __table_args__ = (*_of_a_model("message_embeddings"), {"schema": "ai"})

    message_id: Mapped[uuid.UUID] = reference(
        "ai.messages.id", ondelete="CASCADE", index=False, primary_key=True
    )


class PredictionModel(Keyed, Timestamped, Base):
    """What makes predictions of one kind; one version of each kind is active."""

    __tablename__ = "prediction_models"
    __table_args__ = (
        UniqueConstraint("kind", "version"),
        UniqueConstraint("id", "kind"),
        Index("uq_prediction_models_kind_active", "kind", unique=True, postgresql_where="is_active"),
        one_of("kind", "spending", "income", "energy", "climate", "maintenance"),
        CheckConstraint("interval_level > 0 AND interval_level < 1", name="interval_level"),
        CheckConstraint("NOT is_active OR trained_at IS NOT NULL", name="is_active"),
        {"schema": "ai"},
    )

    kind: Mapped[str]
    version: Mapped[str]
    algorithm: Mapped[str]
    parameters: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    interval_level: Mapped[Decimal] = mapped_column(Numeric(4, 3), server_default=text("0.9"))
    trained_at: Mapped[dt.datetime | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("false"))


class Prediction(Keyed, Base):
    """A value that a model expects at a moment, and the interval in which it expects it.

    A plain table: outcomes refer to single predictions, and a house has thousands of them, not millions.
    """

    __tablename__ = "predictions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model_id", "kind"],
            ["ai.prediction_models.id", "ai.prediction_models.kind"],
            ondelete="CASCADE",
        ),
        UniqueConstraint(
            *("model_id", "kind", "user_id", "category_id", "device_id", "target_at", "made_at"),
            name="uq_predictions_model_id_kind_subject_target_at_made_at",
            postgresql_nulls_not_distinct=True,
        ),
        CheckConstraint(
            "CASE WHEN kind IN ('spending', 'income') THEN user_id IS NOT NULL AND device_id IS NULL"
            " ELSE device_id IS NOT NULL AND user_id IS NULL AND category_id IS NULL END",
            name="subject",
        ),
        CheckConstraint("made_at <= target_at", name="target_at"),
        # NaN is greater than every number.
        CheckConstraint("lower <= value AND value <= upper AND upper < 'NaN'", name="value"),
        Index("ix_predictions_target_at", "target_at"),
        {"schema": "ai"},
    )

    model_id: Mapped[uuid.UUID]
    kind: Mapped[str]
    user_id: Mapped[uuid.UUID | None] = reference("core.users.id", ondelete="CASCADE")
    category_id: Mapped[uuid.UUID | None] = reference("financial.categories.id", ondelete="CASCADE")
    device_id: Mapped[uuid.UUID | None] = reference("smart_home.devices.id", ondelete="CASCADE")
    made_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)
    target_at: Mapped[dt.datetime]
    unit: Mapped[str]
    value: Mapped[Decimal] = mapped_column(VALUE)
    lower: Mapped[Decimal] = mapped_column(VALUE)
    upper: Mapped[Decimal] = mapped_column(VALUE)


class PredictionOutcome(Base):
    """What came true of a prediction. The view prediction_errors has the difference."""

    __tablename__ = "prediction_outcomes"
    __table_args__ = (CheckConstraint("actual < 'NaN'", name="actual"), {"schema": "ai"})

    prediction_id: Mapped[uuid.UUID] = reference(
        "ai.predictions.id", ondelete="CASCADE", index=False, primary_key=True
    )
    actual: Mapped[Decimal] = mapped_column(VALUE)
    observed_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class Anomaly(Base):
    """An outcome outside the interval in which it was expected, until somebody dismisses it."""

    __tablename__ = "anomalies"
    __table_args__ = (
        one_of("severity", "info", "warning", "critical"),
        CheckConstraint("dismissed_by IS NULL OR dismissed_at IS NOT NULL", name="dismissed_by"),
        CheckConstraint("dismissed_at >= noted_at", name="dismissed_at"),
        {"schema": "ai"},
    )

    prediction_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("ai.prediction_outcomes.prediction_id", ondelete="CASCADE"), primary_key=True
    )
    severity: Mapped[str]
    noted_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)
    dismissed_at: Mapped[dt.datetime | None]
    dismissed_by: Mapped[uuid.UUID | None] = reference("core.users.id", ondelete="SET NULL")
