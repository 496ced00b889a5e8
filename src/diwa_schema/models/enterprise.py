"""Enterprise tier: organizations and their keys, conflicts, vectors, usage and secrets."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import FetchedValue, ForeignKey, Index, event, inspect, text
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
    kept_rules,
    referred_by,
    refers_to,
)
from diwa_schema.models.core import Context, Memory
from diwa_schema.models.dossier import described, written_by
from diwa_schema.models.types import Document, Embedding, EmbeddingValue, Timestamp
from diwa_schema.models.values import ConflictOutcome, OrphanAction, UsageOperation


class Organization(Base):
    """A tenant that contexts and API keys belong to. Its name is not unique."""

    __tablename__ = "organizations"
    __table_args__ = (*kept_rules("organizations"), written_by("agent"))
    # SQLite creates the slug after it has returned the row, so the slug is loaded on access.
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - SQLAlchemy names and reads it

    id: Mapped[ServerId]
    name: Mapped[str] = mapped_column(
        **described("The name of the organization; the database does not keep it unique.", privacy="person")
    )
    tier: Mapped[str | None] = mapped_column(
        **defaulted("free"),
        **described(
            "What the organization has subscribed to; the editions are called community, team and "
            "enterprise.",
            values=("free", "enterprise"),
        ),
    )
    inserted_at: Mapped[CreatedUtcSecond]
    updated_at: Mapped[ChangedUtcSecond]
    slug: Mapped[str | None] = mapped_column(
        FetchedValue(),
        index=True,
        unique=True,
        **described(
            "The name in addresses: lower-case letters, digits and hyphens. The database derives it from the "
            "name if a writer gives none, and appends a number if it is taken.",
            writer="cloud",
            privacy="person",
        ),
    )
    custom_domain: Mapped[str | None] = mapped_column(
        index=True,
        unique=True,
        **described("The organization's own internet domain.", writer="cloud", privacy="person"),
    )

    contexts: Mapped[list["Context"]] = referred_by("organization")
    memories: Mapped[list["Memory"]] = relationship(
        back_populates="organization",
        primaryjoin="foreign(Memory.organization_id) == Organization.id",
        viewonly=True,
    )
    """Only to be read: a memory gets its organization from its context."""
    api_keys: Mapped[list["ApiKey"]] = referred_by("organization")


class ApiKey(Base):
    """A key that lets a program act for an organization; only its hash is kept."""

    __tablename__ = "api_keys"
    __table_args__ = written_by("cloud")

    id: Mapped[ClientId]
    name: Mapped[str] = mapped_column(
        **described("What the key is called, to tell it from others.", privacy="content")
    )
    key_hash: Mapped[str] = mapped_column(
        index=True,
        unique=True,
        **described("The hash of the key; the key itself is kept nowhere.", privacy="secret"),
    )
    key_prefix: Mapped[str] = mapped_column(
        index=True, **described("The first characters of the key, to recognise it by.")
    )
    organization_id: Mapped[uuid.UUID] = belongs_to(
        "organizations.id", **described("The organization that the key acts for.")
    )
    status: Mapped[str | None] = mapped_column(
        **defaulted("active"), **described("Whether the key is accepted.", values=("active",))
    )
    last_used_at: Mapped[Moment | None] = mapped_column(**described("When the key was last used."))
    expires_at: Mapped[Moment | None] = mapped_column(
        **described("When the key stops being accepted; NULL for never.")
    )
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    organization: Mapped["Organization"] = relationship(back_populates="api_keys")


class ConflictPerformance(Base):
    """The quality of conflict detection in one context, used to adjust the threshold."""

    __tablename__ = "conflict_performance"
    __table_args__ = written_by("cloud")

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", unique=True, **described("The context that is measured; each has at most one row.")
    )
    resolutions: Mapped[Json | None] = mapped_column(
        default=list,
        server_default=text("'[]'"),
        **described(
            "The latest resolutions as a JSON document, a list of objects by convention; on SQLite "
            "Ecto leaves a list of texts that are JSON.",
            privacy="content",
            many=True,
        ),
    )
    false_positive_count: Mapped[int | None] = mapped_column(
        **defaulted(0), **described("How often a reported conflict turned out to be none.", unit="conflicts")
    )
    false_negative_count: Mapped[int | None] = mapped_column(
        **defaulted(0), **described("How often a conflict was overlooked.", unit="conflicts")
    )
    total_count: Mapped[int | None] = mapped_column(
        **defaulted(0), **described("How many conflicts were decided.", unit="conflicts")
    )
    window_size: Mapped[int | None] = mapped_column(
        **defaulted(100), **described("How many of the latest resolutions count.", unit="resolutions")
    )
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond] = mapped_column(index=True)

    context: Mapped["Context"] = relationship(back_populates="conflict_performance")


class ConflictResolutionOutcome(Base):
    """The outcome of one proposed resolution of a conflict."""

    __tablename__ = "conflict_resolution_outcomes"
    __table_args__ = written_by("cloud")

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", **described("The context in which the conflict was found.")
    )
    conflict_id: Mapped[uuid.UUID] = mapped_column(
        index=True, **described("The conflict; no table holds conflicts.")
    )
    resolution_id: Mapped[uuid.UUID | None] = mapped_column(
        **described("The proposed resolution; no table holds resolutions.")
    )
    threshold_used: Mapped[float | None] = mapped_column(
        **described("The similarity from which the memories were compared.", unit="similarity, 0 to 1")
    )
    outcome: Mapped[ConflictOutcome | None] = mapped_column(**described("What became of the proposal."))
    feedback_score: Mapped[float | None] = mapped_column(
        **described("How good people found the proposal; the Elixir code names no range.", unit="score")
    )
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]

    context: Mapped["Context"] = relationship(back_populates="conflict_outcomes")


class MemoryChecksum(Base):
    """Hashes of one memory, used to find memories with the same content."""

    __tablename__ = "memory_checksums"
    __table_args__ = written_by("cloud")

    memory_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("memories.id", ondelete="CASCADE"),
        primary_key=True,
        **described("The memory that the hashes are of; it is the key of the row."),
    )
    structure_hash: Mapped[str | None] = mapped_column(**described("The hash of the memory's form."))
    semantic_hash: Mapped[str | None] = mapped_column(**described("The hash of the memory's meaning."))
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]

    memory: Mapped["Memory"] = relationship(back_populates="checksum")


class EmbeddingCache(Base):
    """The embedding of one text by one model, kept so that it is not computed again."""

    __tablename__ = "embedding_cache"
    __table_args__ = (
        Index("embedding_cache_hash_model_index", "hash", "model", unique=True),
        written_by("cloud"),
    )

    id: Mapped[ClientId]
    hash: Mapped[str] = mapped_column(**described("The hash of the text; the text itself is not kept."))
    model: Mapped[str] = mapped_column(**described("The name of the embedding model."))
    expires_at: Mapped[datetime | None] = mapped_column(
        Timestamp(0, "utc_datetime"), **described("When the entry may be dropped; NULL for never.")
    )
    embedding: Mapped[EmbeddingValue | None] = mapped_column(
        Embedding("embedding_cache.embedding"),
        **described(
            "The position of the text in the model's space; a vector or bytes, depending on the database.",
            unit="1536 numbers",
            privacy="content",
        ),
    )
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]


def _total(tokens_input: int | None, tokens_output: int | None) -> int:
    """Return the same value as the changeset of Ecto's model."""
    return (tokens_input or 0) + (tokens_output or 0)


def _total_of_insert(context: Any) -> int:
    given = context.get_current_parameters()
    return _total(given.get("tokens_input"), given.get("tokens_output"))


class UsageRecord(Base):
    """One paid call of a model. The record outlives its context and organization, because the call is still billed."""

    __tablename__ = "usage_records"
    __table_args__ = (
        Index("usage_records_organization_id_inserted_at_index", "organization_id", "inserted_at"),
        *kept_rules("usage_records"),
        written_by("cloud"),
    )
    # SQLite fills the organization after it has returned the row, so it is loaded on access.
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - SQLAlchemy names and reads it

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID | None] = refers_to(
        "contexts.id",
        **described("The context that the call was made for; NULL if that has been deleted."),
    )
    provider: Mapped[str] = mapped_column(**described("The company or service that was paid."))
    model: Mapped[str] = mapped_column(**described("The name of the model that was called."))
    operation: Mapped[UsageOperation] = mapped_column(**described("What the model was asked to do."))
    tokens_input: Mapped[int | None] = mapped_column(
        **defaulted(0), **described("How much was sent to the model.", unit="tokens")
    )
    tokens_output: Mapped[int | None] = mapped_column(
        **defaulted(0), **described("How much the model answered.", unit="tokens")
    )
    total_tokens: Mapped[int | None] = mapped_column(
        **{**defaulted(0), "default": _total_of_insert},
        **described(
            "Input and output together; the writer computes it, and PostgreSQL refuses another number where no older "
            "row has one.",
            unit="tokens",
        ),
    )
    cost_estimate: Mapped[Decimal | None] = mapped_column(
        **described(
            "The estimated price of the call, with six decimal places.",
            unit="money; the Elixir code names no currency",
        )
    )
    duration_ms: Mapped[int | None] = mapped_column(
        **described("How long the call took.", unit="milliseconds")
    )
    inserted_at: Mapped[CreatedSecond] = mapped_column(index=True)
    updated_at: Mapped[ChangedSecond]
    organization_id: Mapped[uuid.UUID | None] = mapped_column(
        FetchedValue(),
        **described(
            "The organization that the context belonged to when the call was made. It has no foreign key, because "
            "the organization may be gone; the database fills it from the context.",
            writer="database",
        ),
    )

    context: Mapped["Context | None"] = relationship(back_populates="usage_records")


@event.listens_for(UsageRecord, "before_update")
def _total_of_update(_: Any, __: Any, record: UsageRecord) -> None:
    """Compute the total again where a count changes and nobody gives another total."""
    changed = {each.key for each in inspect(record).attrs if each.history.has_changes()}
    if changed & {"tokens_input", "tokens_output"} and "total_tokens" not in changed:
        record.total_tokens = _total(record.tokens_input, record.tokens_output)


class Secret(Base):
    """A value that is stored encrypted under a key. Keys are unique in the whole database: they have no tenant."""

    __tablename__ = "secrets"
    __table_args__ = written_by("cloud")

    id: Mapped[ClientId]
    key: Mapped[str] = mapped_column(
        index=True, unique=True, **described("The name of the secret; it is unique in the whole database.")
    )
    value_encrypted: Mapped[bytes] = mapped_column(
        **described("The encrypted value.", unit="bytes", privacy="secret")
    )
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]


class OrphanReviewLog(Base):
    """A decision about buffered operations whose session ended without committing or discarding them."""

    __tablename__ = "orphan_review_logs"
    __table_args__ = written_by("cloud")

    id: Mapped[ClientId]
    session_id: Mapped[uuid.UUID] = mapped_column(
        index=True,
        **described(
            "The session that ended without deciding about its operations; it has no foreign key, "
            "because the session may be gone."
        ),
    )
    context_id: Mapped[uuid.UUID] = mapped_column(
        index=True,
        **described("The context of the session; it has no foreign key, because the context may be gone."),
    )
    action: Mapped[OrphanAction] = mapped_column(
        index=True, **described("What was decided about the operations.")
    )
    actor: Mapped[str] = mapped_column(
        **described("The person or program that made the operations.", privacy="person")
    )
    reviewer_actor: Mapped[str] = mapped_column(
        **described("The person or program that decided.", privacy="person")
    )
    operation_count: Mapped[int | None] = mapped_column(
        **defaulted(0), **described("How many operations were decided about.", unit="operations")
    )
    metadata_: Mapped[Json | None] = mapped_column(
        "metadata",
        Document("JSONB"),
        **defaulted({}),
        **described("Further facts about the decision as a JSON object.", privacy="content"),
    )
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]
