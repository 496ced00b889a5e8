"""Enterprise tier: organizations and their keys, conflicts, vectors, usage and secrets."""

import uuid
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from diwa_schema.models.base import (
    Base,
    ChangedMoment,
    ChangedSecond,
    ChangedUtcSecond,
    ClientId,
    CreatedMoment,
    CreatedSecond,
    CreatedUtcSecond,
    Json,
    Moment,
    ServerId,
    belongs_to,
    defaulted,
    referred_by,
)
from diwa_schema.models.core import Context, Memory
from diwa_schema.models.types import Document, Embedding, EmbeddingValue, Timestamp
from diwa_schema.models.values import ConflictOutcome, OrphanAction, UsageOperation


class Organization(Base):
    """A tenant: whom contexts and API keys belong to. Its name is not unique."""

    __tablename__ = "organizations"

    id: Mapped[ServerId]
    name: Mapped[str]
    tier: Mapped[str | None] = mapped_column(**defaulted("free"))
    """Plain text: free and enterprise are written, the editions are community, team and enterprise."""
    inserted_at: Mapped[CreatedUtcSecond]
    updated_at: Mapped[ChangedUtcSecond]
    slug: Mapped[str | None] = mapped_column(index=True, unique=True)
    """Lower-case letters, digits and hyphens by convention. The Elixir model demands it, old rows lack it."""
    custom_domain: Mapped[str | None] = mapped_column(index=True, unique=True)

    contexts: Mapped[list["Context"]] = referred_by("organization")
    api_keys: Mapped[list["ApiKey"]] = referred_by("organization")


class ApiKey(Base):
    """A key that lets a program act for an organization; only its hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[ClientId]
    name: Mapped[str]
    key_hash: Mapped[str] = mapped_column(index=True, unique=True)
    key_prefix: Mapped[str] = mapped_column(index=True)
    """The first characters of the key, to recognise it by."""
    organization_id: Mapped[uuid.UUID] = belongs_to("organizations.id")
    status: Mapped[str | None] = mapped_column(**defaulted("active"))
    """Plain text: upstream names no value but the default."""
    last_used_at: Mapped[Moment | None]
    expires_at: Mapped[Moment | None]
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    organization: Mapped["Organization"] = relationship(back_populates="api_keys")


class ConflictPerformance(Base):
    """How well conflicts between the memories of one context are found, to adjust the threshold by."""

    __tablename__ = "conflict_performance"

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id", unique=True)
    resolutions: Mapped[Json | None] = mapped_column(default=list, server_default=text("'[]'"))
    """A list of objects by use. On SQLite, Ecto leaves a list of texts that are JSON themselves."""
    false_positive_count: Mapped[int | None] = mapped_column(**defaulted(0))
    false_negative_count: Mapped[int | None] = mapped_column(**defaulted(0))
    total_count: Mapped[int | None] = mapped_column(**defaulted(0))
    window_size: Mapped[int | None] = mapped_column(**defaulted(100))
    """How many of the latest resolutions count."""
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond] = mapped_column(index=True)

    context: Mapped["Context"] = relationship(back_populates="conflict_performance")


class ConflictResolutionOutcome(Base):
    """What came of one proposed resolution of a conflict."""

    __tablename__ = "conflict_resolution_outcomes"

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id")
    conflict_id: Mapped[uuid.UUID] = mapped_column(index=True)
    """A conflict that no table holds."""
    resolution_id: Mapped[uuid.UUID | None]
    """A resolution that no table holds."""
    threshold_used: Mapped[float | None]
    outcome: Mapped[ConflictOutcome | None]
    feedback_score: Mapped[float | None]
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]

    context: Mapped["Context"] = relationship(back_populates="conflict_outcomes")


class MemoryChecksum(Base):
    """Hashes of one memory, to find others that say the same."""

    __tablename__ = "memory_checksums"

    memory_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True
    )
    structure_hash: Mapped[str | None]
    semantic_hash: Mapped[str | None]
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]

    memory: Mapped["Memory"] = relationship(back_populates="checksum")


class EmbeddingCache(Base):
    """The embedding that a model made of one text, so that it need not be made again."""

    __tablename__ = "embedding_cache"
    __table_args__ = (Index("embedding_cache_hash_model_index", "hash", "model", unique=True),)

    id: Mapped[ClientId]
    hash: Mapped[str]
    """The hash of the text."""
    model: Mapped[str]
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp(0, "utc_datetime"))
    embedding: Mapped[EmbeddingValue | None] = mapped_column(Embedding("embedding_cache.embedding"))
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]


class UsageRecord(Base):
    """One paid call of a model. Its context cannot be deleted while it is there."""

    __tablename__ = "usage_records"

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id", ondelete=None)
    provider: Mapped[str]
    model: Mapped[str]
    operation: Mapped[UsageOperation]
    tokens_input: Mapped[int | None] = mapped_column(**defaulted(0))
    tokens_output: Mapped[int | None] = mapped_column(**defaulted(0))
    total_tokens: Mapped[int | None] = mapped_column(**defaulted(0))
    """Input and output together by convention; nothing computes it here."""
    cost_estimate: Mapped[Decimal | None]
    """Six decimal places; upstream names no currency."""
    duration_ms: Mapped[int | None]
    inserted_at: Mapped[CreatedSecond] = mapped_column(index=True)
    updated_at: Mapped[ChangedSecond]

    context: Mapped["Context"] = relationship(back_populates="usage_records")


class Secret(Base):
    """A value that is kept encrypted under a key. Keys have no tenant: one holds for the whole database."""

    __tablename__ = "secrets"

    id: Mapped[ClientId]
    key: Mapped[str] = mapped_column(index=True, unique=True)
    value_encrypted: Mapped[bytes]
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]


class OrphanReviewLog(Base):
    """What was decided about buffered operations whose session ended without a word."""

    __tablename__ = "orphan_review_logs"

    id: Mapped[ClientId]
    session_id: Mapped[uuid.UUID] = mapped_column(index=True)
    """No foreign key: the session may be gone."""
    context_id: Mapped[uuid.UUID] = mapped_column(index=True)
    """No foreign key: the context may be gone."""
    action: Mapped[OrphanAction] = mapped_column(index=True)
    actor: Mapped[str]
    reviewer_actor: Mapped[str]
    operation_count: Mapped[int | None] = mapped_column(**defaulted(0))
    metadata_: Mapped[Json | None] = mapped_column("metadata", Document("JSONB"), **defaulted({}))
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]
