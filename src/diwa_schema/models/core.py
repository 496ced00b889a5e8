"""Core tier: contexts, what is remembered in them, and how they belong together."""

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import FetchedValue, Index
from sqlalchemy.orm import Mapped, deferred, mapped_column, relationship

from diwa_schema.models.base import (
    Base,
    ChangedFiner,
    ChangedMoment,
    ChangedSecond,
    ClientId,
    CreatedFiner,
    CreatedMoment,
    CreatedSecond,
    Json,
    Moment,
    PostgresColumn,
    Prose,
    ServerId,
    belongs_to,
    defaulted,
    referred_by,
    refers_to,
)
from diwa_schema.models.types import Embedding, EmbeddingValue, SearchVector
from diwa_schema.models.values import (
    MemoryClass,
    MemoryLifecycle,
    MemoryOperation,
    MemoryPriority,
    SyncOrigin,
)

if TYPE_CHECKING:
    from diwa_schema.models.enterprise import (
        ConflictPerformance,
        ConflictResolutionOutcome,
        MemoryChecksum,
        Organization,
        UsageRecord,
    )
    from diwa_schema.models.queues import IdempotencyLog
    from diwa_schema.models.team import Agent, Delegation, HitlEscalation, IngestJob, Plan, Session, Task


class Context(Base):
    """A project or topic that memories, plans and sessions belong to. Its name is not unique."""

    __tablename__ = "contexts"

    id: Mapped[ServerId]
    organization_id: Mapped[uuid.UUID] = belongs_to("organizations.id")
    name: Mapped[str] = mapped_column(index=True)
    description: Mapped[Prose | None]
    health_score: Mapped[int | None] = mapped_column(**defaulted(100))
    """0 to 100; nothing keeps it in that range."""
    inserted_at: Mapped[CreatedFiner]
    updated_at: Mapped[ChangedFiner]
    conflict_domain: Mapped[str | None] = mapped_column(**defaulted("general"))
    """Plain text: upstream names no value but the default."""
    conflict_safety_level: Mapped[str | None] = mapped_column(**defaulted("standard"))
    """Plain text: upstream names no value but the default, and speaks of levels 0 to 5 elsewhere."""
    conflict_base_threshold: Mapped[float | None] = mapped_column(**defaulted(0.85))
    conflict_auto_calibrate: Mapped[bool | None] = mapped_column(**defaulted(True))
    sync_origin: Mapped[SyncOrigin | None] = mapped_column(index=True, **defaulted("cloud"))
    """Where the row was made; rows older than the column say ``cloud`` whether they were or not."""
    remote_id: Mapped[uuid.UUID | None]
    """The id of the same context on the other side of a synchronisation; no foreign key."""

    organization: Mapped["Organization"] = relationship(back_populates="contexts")
    memories: Mapped[list["Memory"]] = referred_by("context")
    bindings: Mapped[list["ContextBinding"]] = referred_by("context")
    outgoing_relationships: Mapped[list["ContextRelationship"]] = referred_by(
        "source_context", foreign_keys="ContextRelationship.source_context_id"
    )
    incoming_relationships: Mapped[list["ContextRelationship"]] = referred_by(
        "target_context", foreign_keys="ContextRelationship.target_context_id"
    )
    registry_entries: Mapped[list["ContextRegistry"]] = referred_by("context")
    commits: Mapped[list["ContextCommit"]] = referred_by("context")
    idempotency_entries: Mapped[list["IdempotencyLog"]] = referred_by("context")
    plans: Mapped[list["Plan"]] = referred_by("context")
    tasks: Mapped[list["Task"]] = referred_by("context")
    sessions: Mapped[list["Session"]] = referred_by("context")
    ingest_jobs: Mapped[list["IngestJob"]] = referred_by("context")
    escalations: Mapped[list["HitlEscalation"]] = referred_by("context")
    agents: Mapped[list["Agent"]] = referred_by("context")
    delegations: Mapped[list["Delegation"]] = referred_by("context")
    conflict_performance: Mapped["ConflictPerformance | None"] = referred_by("context")
    conflict_outcomes: Mapped[list["ConflictResolutionOutcome"]] = referred_by("context")
    usage_records: Mapped[list["UsageRecord"]] = referred_by("context")
    """A context that has any cannot be deleted: their foreign key forbids it."""


class Memory(Base):
    """Something worth remembering about a context: a decision, a lesson, a requirement."""

    __tablename__ = "memories"
    __table_args__ = (
        Index("memories_fts_idx", "tsv_content"),
        Index("memories_metadata_index", "metadata"),
        Index("memories_tags_index", "tags"),
    )
    # The search words are PostgreSQL's own affair: nothing asks for them after a write.
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - SQLAlchemy names and reads it

    id: Mapped[ServerId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id")
    content: Mapped[Prose]
    metadata_: Mapped[Json] = mapped_column("metadata", **defaulted({}))
    """An object by use; keys type, status and severity repeat or contradict columns."""
    actor: Mapped[str | None]
    project: Mapped[str | None]
    tags: Mapped[list[str] | None] = mapped_column(default=list)
    parent_id: Mapped[uuid.UUID | None] = refers_to("memories.id")
    external_ref: Mapped[str | None]
    severity: Mapped[str | None]
    """Plain text: the lists upstream do not agree. Blockers keep theirs in `metadata_`."""
    inserted_at: Mapped[CreatedFiner]
    updated_at: Mapped[ChangedFiner]
    tsv_content: Mapped[str | None] = deferred(
        PostgresColumn("tsv_content", SearchVector(), FetchedValue(), FetchedValue(for_update=True))
    )
    """The words of `content` for full-text search, kept by a trigger. PostgreSQL only; read when asked."""
    deleted_at: Mapped[Moment | None]
    """When it was deleted for the applications; the row stays."""
    embedding: Mapped[EmbeddingValue | None] = mapped_column(Embedding("memories.embedding"))
    memory_class: Mapped[MemoryClass | None] = mapped_column(index=True)
    priority: Mapped[MemoryPriority | None] = mapped_column(index=True)
    lifecycle: Mapped[MemoryLifecycle | None]
    confidence: Mapped[float | None]
    source: Mapped[str | None]
    occurrence_count: Mapped[int | None] = mapped_column(**defaulted(1))
    last_accessed_at: Mapped[Moment | None]
    expires_at: Mapped[Moment | None] = mapped_column(index=True)
    sync_origin: Mapped[SyncOrigin | None] = mapped_column(index=True, **defaulted("cloud"))
    """As in `Context`."""
    remote_id: Mapped[uuid.UUID | None]
    """As in `Context`."""

    context: Mapped["Context"] = relationship(back_populates="memories")
    parent: Mapped["Memory | None"] = relationship(back_populates="children", remote_side="Memory.id")
    children: Mapped[list["Memory"]] = referred_by("parent")
    versions: Mapped[list["MemoryVersion"]] = referred_by("memory")
    checksum: Mapped["MemoryChecksum | None"] = referred_by("memory")
    escalations_as_a: Mapped[list["HitlEscalation"]] = referred_by(
        "memory_a", foreign_keys="HitlEscalation.memory_a_id"
    )
    escalations_as_b: Mapped[list["HitlEscalation"]] = referred_by(
        "memory_b", foreign_keys="HitlEscalation.memory_b_id"
    )


class MemoryVersion(Base):
    """What a memory held after one change to it."""

    __tablename__ = "memory_versions"

    id: Mapped[ServerId]
    memory_id: Mapped[uuid.UUID] = belongs_to("memories.id")
    content: Mapped[Prose]
    tags: Mapped[list[str] | None] = mapped_column(**defaulted([]))
    metadata_: Mapped[Json | None] = mapped_column("metadata", **defaulted({}))
    operation: Mapped[MemoryOperation]
    actor: Mapped[str | None]
    reason: Mapped[Prose | None]
    parent_version_id: Mapped[uuid.UUID | None]
    """The version before; no foreign key, and it may name a row that is not there."""
    inserted_at: Mapped[CreatedSecond] = mapped_column(index=True)
    updated_at: Mapped[ChangedSecond]
    version_number: Mapped[int | None]
    """Counts from 1 per memory. Old rows all say 1, and rows of older agents say nothing."""

    memory: Mapped["Memory"] = relationship(back_populates="versions")


class ContextBinding(Base):
    """What tells that a working directory belongs to a context: a path, a git remote, a variable."""

    __tablename__ = "context_bindings"
    __table_args__ = (Index(None, "context_id", "binding_type", "value", unique=True),)

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id")
    binding_type: Mapped[str]
    """Plain text: git_remote, path or env_var in one list, without env_var in another."""
    value: Mapped[str]
    metadata_: Mapped[Json | None] = mapped_column("metadata", **defaulted({}))
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    context: Mapped["Context"] = relationship(back_populates="bindings")


class ContextRelationship(Base):
    """A directed link from one context to another. Links to itself and circles are possible."""

    __tablename__ = "context_relationships"
    __table_args__ = (
        Index(
            "context_relationships_source_context_id_target_context_id_relat",
            "source_context_id",
            "target_context_id",
            "relationship_type",
            unique=True,
        ),
    )

    id: Mapped[ClientId]
    source_context_id: Mapped[uuid.UUID] = belongs_to("contexts.id")
    target_context_id: Mapped[uuid.UUID] = belongs_to("contexts.id")
    relationship_type: Mapped[str]
    """Plain text: three lists upstream do not agree; depends_on, child_of and contains have behaviour."""
    metadata_: Mapped[Json | None] = mapped_column("metadata", **defaulted({}))
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    source_context: Mapped["Context"] = relationship(
        back_populates="outgoing_relationships", foreign_keys=[source_context_id]
    )
    target_context: Mapped["Context"] = relationship(
        back_populates="incoming_relationships", foreign_keys=[target_context_id]
    )


class ContextRegistry(Base):
    """A name under which other platforms know a context."""

    __tablename__ = "context_registry"

    id: Mapped[ClientId]
    name: Mapped[str] = mapped_column(index=True, unique=True)
    context_id: Mapped[uuid.UUID | None] = belongs_to("contexts.id")
    platform_ref: Mapped[Json | None] = mapped_column(**defaulted({}))
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]

    context: Mapped["Context | None"] = relationship(back_populates="registry_entries")


class ContextCommit(Base):
    """A point in the signed history of a context."""

    __tablename__ = "context_commits"

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID | None] = belongs_to("contexts.id")
    hash: Mapped[str] = mapped_column(index=True)
    parent_hash: Mapped[str | None]
    """The hash of the commit before; no foreign key."""
    platform: Mapped[str]
    message: Mapped[Prose | None]
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]
    signature: Mapped[Prose | None]
    signer_pubkey: Mapped[str | None]

    context: Mapped["Context | None"] = relationship(back_populates="commits")
