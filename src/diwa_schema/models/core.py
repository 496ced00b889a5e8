"""Core tier: contexts, their memories, and the links between contexts."""

import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import FetchedValue, ForeignKeyConstraint, Index, event, inspect
from sqlalchemy.orm import Mapped, deferred, mapped_column, object_session, relationship

from diwa_schema.models.base import (
    Arrival,
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
    kept_rules,
    left_open,
    referred_by,
    refers_to,
)
from diwa_schema.models.dossier import described, written_by
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


# A memory's foreign key to its context also covers the organization, which the database fills in, not SQLAlchemy.
_OF_CONTEXT = "foreign(Memory.context_id) == Context.id"
_OF_ORGANIZATION = "foreign(Memory.organization_id) == Organization.id"


class Context(Base):
    """A project or topic that memories, plans and sessions belong to. Its name is not unique."""

    __tablename__ = "contexts"
    # The target of a memory's foreign key.
    __table_args__ = (Index(None, "id", "organization_id", unique=True), written_by("agent"))

    id: Mapped[ServerId]
    organization_id: Mapped[uuid.UUID] = belongs_to(
        "organizations.id", **described("The organization that the context belongs to.")
    )
    name: Mapped[str] = mapped_column(
        index=True,
        **described(
            "The name that people give the context; the database does not keep it unique.", privacy="content"
        ),
    )
    description: Mapped[Prose | None] = mapped_column(
        **described("What the context is about, in free text.", privacy="content")
    )
    health_score: Mapped[int | None] = mapped_column(
        **defaulted(100),
        **described(
            "How well the context is kept; the database does not keep the range.",
            unit="points, 0 to 100",
        ),
    )
    inserted_at: Mapped[CreatedFiner]
    updated_at: Mapped[ChangedFiner]
    conflict_domain: Mapped[str | None] = mapped_column(
        **defaulted("general"),
        **described(
            "The field of knowledge that conflict detection assumes.", values=("general",), writer="unknown"
        ),
    )
    conflict_safety_level: Mapped[str | None] = mapped_column(
        **defaulted("standard"),
        **described(
            "How careful conflict detection is; the agent's change log mentions levels 0 to 5.",
            values=("standard",),
            writer="unknown",
        ),
    )
    conflict_base_threshold: Mapped[float | None] = mapped_column(
        **defaulted(0.85),
        **described(
            "The similarity from which two memories are compared for a conflict.",
            unit="similarity, 0 to 1",
            writer="unknown",
        ),
    )
    conflict_auto_calibrate: Mapped[bool | None] = mapped_column(
        **defaulted(True),
        **described("Whether outcomes of conflicts may adjust the threshold.", writer="unknown"),
    )
    sync_origin: Mapped[SyncOrigin | None] = mapped_column(
        index=True,
        **left_open("'cloud'"),
        **described(
            "The side on which the row was made.",
            writer="unknown",
            invented=True,
        ),
    )
    remote_id: Mapped[uuid.UUID | None] = mapped_column(
        **described(
            "The id of the same context on the other side of a synchronisation; it has no foreign key.",
            writer="unknown",
        )
    )

    organization: Mapped["Organization"] = relationship(back_populates="contexts")
    memories: Mapped[list["Memory"]] = referred_by("context", primaryjoin=_OF_CONTEXT)
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


class Memory(Base):
    """Something worth remembering about a context: a decision, a lesson, a requirement."""

    __tablename__ = "memories"
    __table_args__ = (
        Index("memories_tags_index", "tags"),
        ForeignKeyConstraint(
            ["context_id", "organization_id"],
            ["contexts.id", "contexts.organization_id"],
            name="memories_context_id_fkey",
            onupdate="CASCADE",
            ondelete="CASCADE",
            match="FULL",
        ),
        written_by("agent"),
    )
    # PostgreSQL manages the search words: no write reads them back.
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - SQLAlchemy names and reads it

    id: Mapped[ServerId]
    context_id: Mapped[uuid.UUID] = mapped_column(
        index=True, **described("The context that the memory belongs to.")
    )
    content: Mapped[Prose] = mapped_column(
        **described("What is remembered, in free text.", privacy="content")
    )
    metadata_: Mapped[Json] = mapped_column(
        "metadata",
        **defaulted({}),
        **described(
            "Further facts as a JSON document, an object by convention; its keys type, status and "
            "severity repeat or contradict columns.",
            privacy="content",
        ),
    )
    actor: Mapped[str | None] = mapped_column(
        **described("The person or program that added the memory.", privacy="person")
    )
    project: Mapped[str | None] = mapped_column(
        **described("The name of the project that the memory comes from.")
    )
    tags: Mapped[list[str] | None] = mapped_column(
        default=list,
        **described("Words to find the memory by; each has at most 255 characters.", privacy="content"),
    )
    parent_id: Mapped[uuid.UUID | None] = refers_to(
        "memories.id", index=False, **described("The memory that this one continues or refines.")
    )
    external_ref: Mapped[str | None] = mapped_column(
        **described("Where the memory comes from outside: a ticket, an address or a file.", privacy="content")
    )
    severity: Mapped[str | None] = mapped_column(
        **described(
            "How serious the matter is; the lists in the Elixir code disagree, and blockers keep "
            "theirs in the metadata.",
            values=("critical", "high", "moderate", "low", "info"),
        )
    )
    inserted_at: Mapped[CreatedFiner]
    updated_at: Mapped[ChangedFiner]
    tsv_content: Mapped[str | None] = deferred(
        PostgresColumn(
            "tsv_content",
            SearchVector(),
            FetchedValue(),
            FetchedValue(for_update=True),
            **described(
                "The words of the content for full-text search in English; PostgreSQL only, read "
                "when asked for.",
                writer="database",
                privacy="content",
            ),
        )
    )
    deleted_at: Mapped[Moment | None] = mapped_column(
        **described(
            "When the applications deleted the memory; the row stays, and NULL means that it is alive."
        )
    )
    embedding: Mapped[EmbeddingValue | None] = mapped_column(
        Embedding("memories.embedding"),
        **described(
            "The position of the content in the space of an embedding model; a vector or bytes, "
            "depending on the database.",
            unit="1536 numbers",
            privacy="content",
        ),
    )
    memory_class: Mapped[MemoryClass | None] = mapped_column(
        **described("What kind of knowledge the memory is.")
    )
    priority: Mapped[MemoryPriority | None] = mapped_column(
        **described("How important the memory is, in lower case, unlike the priority of a task.")
    )
    lifecycle: Mapped[MemoryLifecycle | None] = mapped_column(
        **described(
            "How long the memory is meant to be kept; after ten uses the agent turns ephemeral into project."
        )
    )
    confidence: Mapped[float | None] = mapped_column(
        **described("How certain the classification of the memory is.", unit="share, 0 to 1")
    )
    source: Mapped[str | None] = mapped_column(
        **described("Where the memory came from: a tool, an import or a file.", privacy="content")
    )
    occurrence_count: Mapped[int | None] = mapped_column(
        **defaulted(1),
        **described("How often the same thing was remembered.", unit="occurrences", invented=True),
    )
    last_accessed_at: Mapped[Moment | None] = mapped_column(**described("When the memory was last used."))
    expires_at: Mapped[Moment | None] = mapped_column(
        **described("When the memory loses its validity; the row is not deleted at that time.")
    )
    sync_origin: Mapped[SyncOrigin | None] = mapped_column(
        **left_open("'cloud'"),
        **described(
            "The side on which the row was made.",
            writer="unknown",
            invented=True,
        ),
    )
    remote_id: Mapped[uuid.UUID | None] = mapped_column(
        **described(
            "The id of the same memory on the other side of a synchronisation; it has no foreign key.",
            writer="unknown",
        )
    )

    arrived_at: Mapped[Arrival | None] = mapped_column(
        **described(
            "When the database took the row in, which orders memories within a second; rows older than the column "
            "have the time at which they were made.",
            writer="database",
        )
    )
    organization_id: Mapped[uuid.UUID | None] = mapped_column(
        server_default=FetchedValue(),
        index=True,
        **described(
            "The organization of the memory's context. The database fills it, changes it with the context's and "
            "refuses any other.",
            writer="database",
        ),
    )

    context: Mapped["Context"] = relationship(back_populates="memories", primaryjoin=_OF_CONTEXT)
    organization: Mapped["Organization"] = relationship(
        back_populates="memories", primaryjoin=_OF_ORGANIZATION, viewonly=True
    )
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


@event.listens_for(Memory, "after_update")
def _read_organization_again(_: Any, __: Any, memory: Memory) -> None:
    """Expire the organization of a moved memory: the database has changed it together with the context."""
    session = object_session(memory)
    if session is not None and inspect(memory).attrs.context_id.history.has_changes():
        session.expire(memory, ["organization_id"])


class MemoryVersion(Base):
    """The state of a memory after one change to it."""

    __tablename__ = "memory_versions"
    __table_args__ = (
        Index("memory_versions_memory_id_version_number_index", "memory_id", "version_number", unique=True),
        written_by("agent"),
    )
    # SQLite numbers a version after it has returned the row, so the number is loaded on access.
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - SQLAlchemy names and reads it

    id: Mapped[ServerId]
    memory_id: Mapped[uuid.UUID] = belongs_to(
        "memories.id",
        **described("The memory whose content this version is; deleting the memory deletes its versions."),
    )
    content: Mapped[Prose] = mapped_column(**described("The content after the change.", privacy="content"))
    tags: Mapped[list[str] | None] = mapped_column(
        **defaulted([]), **described("The tags after the change.", privacy="content")
    )
    metadata_: Mapped[Json | None] = mapped_column(
        "metadata", **defaulted({}), **described("The metadata after the change.", privacy="content")
    )
    operation: Mapped[MemoryOperation] = mapped_column(**described("What was done to the memory."))
    actor: Mapped[str | None] = mapped_column(
        **described("The person or program that made the change.", privacy="person")
    )
    reason: Mapped[Prose | None] = mapped_column(
        **described("Why the change was made, in free text.", privacy="content")
    )
    parent_version_id: Mapped[uuid.UUID | None] = mapped_column(
        **described(
            "The version before this one; it has no foreign key and may name a row that does not exist."
        )
    )
    inserted_at: Mapped[CreatedSecond] = mapped_column(index=True)
    updated_at: Mapped[ChangedSecond]
    version_number: Mapped[int | None] = mapped_column(
        FetchedValue(),
        **described(
            "Counts from 1 within a memory, in the order of the times; the database gives the next number to a "
            "version that comes without one or with one that is taken.",
            writer="database",
        ),
    )

    memory: Mapped["Memory"] = relationship(back_populates="versions")


class ContextBinding(Base):
    """A trace that ties a working directory to a context: a path, a git remote or a variable."""

    __tablename__ = "context_bindings"
    __table_args__ = (Index(None, "context_id", "binding_type", "value", unique=True), written_by("agent"))

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", index=False, **described("The context that the binding leads to.")
    )
    binding_type: Mapped[str] = mapped_column(
        **described("What kind of trace the value is.", values=("git_remote", "path", "env_var"))
    )
    value: Mapped[str] = mapped_column(
        **described(
            "The trace itself: a path, the address of a git remote or the value of a variable.",
            privacy="person",
        )
    )
    metadata_: Mapped[Json | None] = mapped_column(
        "metadata",
        **defaulted({}),
        **described("Further facts about the binding as a JSON object.", privacy="content"),
    )
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    context: Mapped["Context"] = relationship(back_populates="bindings")


class ContextRelationship(Base):
    """A directed link from one context to another. Circles are possible."""

    __tablename__ = "context_relationships"
    __table_args__ = (
        Index(
            "context_relationships_source_context_id_target_context_id_relat",
            "source_context_id",
            "target_context_id",
            "relationship_type",
            unique=True,
        ),
        *kept_rules("context_relationships"),
        written_by("agent"),
    )

    id: Mapped[ClientId]
    source_context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", index=False, **described("The context from which the link starts.")
    )
    target_context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", **described("The context to which the link leads.")
    )
    relationship_type: Mapped[str] = mapped_column(
        **described(
            "What the link means; the lists in the Elixir code disagree, and only depends_on, "
            "child_of and contains have behaviour.",
            values=(
                "depends_on",
                "relates_to",
                "child_of",
                "blocks",
                "extends",
                "implements",
                "complements",
                "supersedes",
                "contains",
            ),
        )
    )
    metadata_: Mapped[Json | None] = mapped_column(
        "metadata",
        **defaulted({}),
        **described("Further facts about the link as a JSON object.", privacy="content"),
    )
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
    __table_args__ = written_by("cloud")

    id: Mapped[ClientId]
    name: Mapped[str] = mapped_column(
        index=True,
        unique=True,
        **described(
            "The name under which the context is registered; it is unique in the whole database.",
            privacy="content",
        ),
    )
    context_id: Mapped[uuid.UUID | None] = belongs_to(
        "contexts.id", **described("The context that the name stands for.")
    )
    platform_ref: Mapped[Json | None] = mapped_column(
        **defaulted({}),
        **described("How other platforms refer to the context, as a JSON object.", privacy="content"),
    )
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]

    context: Mapped["Context | None"] = relationship(back_populates="registry_entries")


class ContextCommit(Base):
    """A point in the signed history of a context."""

    __tablename__ = "context_commits"
    __table_args__ = written_by("cloud")

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID | None] = belongs_to(
        "contexts.id", **described("The context whose state was committed.")
    )
    hash: Mapped[str] = mapped_column(
        index=True, **described("The hash that identifies the commit; the database does not keep it unique.")
    )
    parent_hash: Mapped[str | None] = mapped_column(
        **described("The hash of the commit before this one; it has no foreign key.")
    )
    platform: Mapped[str] = mapped_column(**described("The platform on which the commit was made."))
    message: Mapped[Prose | None] = mapped_column(
        **described("What the commit is about, in free text.", privacy="content")
    )
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]
    signature: Mapped[Prose | None] = mapped_column(**described("The signature over the commit."))
    signer_pubkey: Mapped[str | None] = mapped_column(
        **described(
            "The public key that the signature is checked with; it identifies the signer.", privacy="person"
        )
    )

    context: Mapped["Context | None"] = relationship(back_populates="commits")
