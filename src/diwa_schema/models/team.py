"""Team tier: plans and sessions, agents that share work, and the workspaces people sit at."""

import uuid

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from diwa_schema.models.base import (
    Base,
    ChangedFiner,
    ChangedMoment,
    ChangedSecond,
    ChangedUtcSecond,
    ClientId,
    CreatedFiner,
    CreatedMoment,
    CreatedSecond,
    CreatedUtcSecond,
    Json,
    Moment,
    Prose,
    belongs_to,
    defaulted,
    new_key,
    referred_by,
    refers_to,
)
from diwa_schema.models.core import Context, Memory
from diwa_schema.models.types import Document, ShortText
from diwa_schema.models.values import (
    DelegationStatus,
    EscalationStatus,
    IngestStatus,
    PlanStatus,
    TaskPriority,
    TaskStatus,
)


class Plan(Base):
    """How far the work on a context is. Meant to be one per context, which nothing keeps."""

    __tablename__ = "plans"

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id")
    status: Mapped[PlanStatus]
    completion_pct: Mapped[int | None] = mapped_column(**defaulted(0))
    """Percent, 0 to 100; nothing keeps it in that range."""
    notes: Mapped[Prose | None]
    inserted_at: Mapped[CreatedFiner]
    updated_at: Mapped[ChangedFiner]

    context: Mapped["Context"] = relationship(back_populates="plans")


class Task(Base):
    """Something to be done in a context."""

    __tablename__ = "tasks"

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id")
    title: Mapped[str]
    description: Mapped[Prose | None]
    priority: Mapped[TaskPriority | None] = mapped_column(**defaulted("Medium"))
    status: Mapped[TaskStatus | None] = mapped_column(index=True, **defaulted("pending"))
    inserted_at: Mapped[CreatedFiner]
    updated_at: Mapped[ChangedFiner]

    context: Mapped["Context"] = relationship(back_populates="tasks")


class HitlEscalation(Base):
    """A conflict between two memories that a person has to decide."""

    __tablename__ = "hitl_escalations"
    __table_args__ = (Index(None, "context_id", "status"),)

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id", index=False)
    conflict_id: Mapped[uuid.UUID]
    """A conflict that no table holds."""
    status: Mapped[EscalationStatus | None] = mapped_column(**defaulted("pending"))
    assigned_to: Mapped[str | None]
    resolution_notes: Mapped[Prose | None]
    inserted_at: Mapped[CreatedFiner]
    updated_at: Mapped[ChangedFiner]
    memory_a_id: Mapped[uuid.UUID | None] = refers_to("memories.id")
    memory_b_id: Mapped[uuid.UUID | None] = refers_to("memories.id")
    score: Mapped[float | None]
    """How much the two contradict each other, 0 to 1 by convention."""

    context: Mapped["Context"] = relationship(back_populates="escalations")
    memory_a: Mapped["Memory | None"] = relationship(
        back_populates="escalations_as_a", foreign_keys=[memory_a_id]
    )
    memory_b: Mapped["Memory | None"] = relationship(
        back_populates="escalations_as_b", foreign_keys=[memory_b_id]
    )


class Session(Base):
    """A stretch of work of one actor in a context."""

    __tablename__ = "sessions"

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id")
    actor: Mapped[str | None] = mapped_column(index=True)
    started_at: Mapped[Moment | None]
    ended_at: Mapped[Moment | None]
    summary: Mapped[Prose | None]
    metadata_: Mapped[Json | None] = mapped_column("metadata", **defaulted({}))
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    context: Mapped["Context"] = relationship(back_populates="sessions")
    checkpoints: Mapped[list["Checkpoint"]] = referred_by("session")


class Checkpoint(Base):
    """A snapshot of the operations that a session has buffered."""

    __tablename__ = "checkpoints"
    __table_args__ = (Index(None, "session_id", "sequence_number", unique=True),)

    id: Mapped[ClientId]
    session_id: Mapped[uuid.UUID] = belongs_to("sessions.id")
    sequence_number: Mapped[int]
    buffer_snapshot: Mapped[Json] = mapped_column(Document("JSONB"))
    """A list of operations by use."""
    operation_count: Mapped[int]
    byte_size: Mapped[int]
    checksum: Mapped[str] = mapped_column(ShortText(64))
    created_at: Mapped[CreatedSecond] = mapped_column(index=True)

    session: Mapped["Session"] = relationship(back_populates="checkpoints")


class IngestJob(Base):
    """One run that takes memories over from files or a repository."""

    __tablename__ = "ingest_jobs"

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id")
    status: Mapped[IngestStatus | None] = mapped_column(index=True)
    source_type: Mapped[str | None]
    """Plain text: the list of the model and what the agent writes do not agree."""
    source_path: Mapped[str | None]
    stats: Mapped[Json | None] = mapped_column(**defaulted({}))
    metadata_: Mapped[Json | None] = mapped_column("metadata", **defaulted({}))
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    context: Mapped["Context"] = relationship(back_populates="ingest_jobs")


class ShortcutAlias(Base):
    """A short name for a tool. Names have no tenant: they are unique in the whole database."""

    __tablename__ = "shortcut_aliases"

    id: Mapped[ClientId]
    alias_name: Mapped[str] = mapped_column(index=True, unique=True)
    target_tool: Mapped[str]
    args_schema: Mapped[list[str] | None] = mapped_column(**defaulted([]))
    """The names of the arguments, in order."""
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]


class Agent(Base):
    """A program that takes part in the work, with what it can do."""

    __tablename__ = "agents"

    id: Mapped[ClientId]
    name: Mapped[str]
    role: Mapped[str] = mapped_column(index=True)
    """Plain text: the lists upstream do not agree."""
    capabilities: Mapped[Prose | None]
    """A JSON list by convention, kept as text: rows hold other text as well."""
    status: Mapped[str | None] = mapped_column(index=True, **defaulted("active"))
    """Plain text: the default is in none of the two lists upstream."""
    context_id: Mapped[uuid.UUID | None] = belongs_to("contexts.id")
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    context: Mapped["Context | None"] = relationship(back_populates="agents")
    sent_delegations: Mapped[list["Delegation"]] = referred_by(
        "from_agent", foreign_keys="Delegation.from_agent_id"
    )
    received_delegations: Mapped[list["Delegation"]] = referred_by(
        "to_agent", foreign_keys="Delegation.to_agent_id"
    )


class Delegation(Base):
    """Work that one agent hands to another, or to whoever takes it. It goes with either agent."""

    __tablename__ = "delegations"

    id: Mapped[ClientId]
    task_definition: Mapped[Prose]
    status: Mapped[DelegationStatus | None] = mapped_column(index=True, **defaulted("pending"))
    result_summary: Mapped[Prose | None]
    artifacts: Mapped[Prose | None]
    """A JSON list by convention, kept as text: rows hold other text as well."""
    constraints: Mapped[Prose | None]
    """A JSON object by convention, kept as text: rows hold other text as well."""
    from_agent_id: Mapped[uuid.UUID] = belongs_to("agents.id")
    to_agent_id: Mapped[uuid.UUID | None] = belongs_to("agents.id")
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id")
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    from_agent: Mapped["Agent"] = relationship(
        back_populates="sent_delegations", foreign_keys=[from_agent_id]
    )
    to_agent: Mapped["Agent | None"] = relationship(
        back_populates="received_delegations", foreign_keys=[to_agent_id]
    )
    context: Mapped["Context"] = relationship(back_populates="delegations")


class Workspace(Base):
    """An arrangement of panels on a screen."""

    __tablename__ = "workspaces"

    id: Mapped[ClientId]
    name: Mapped[str] = mapped_column(index=True)
    layout_type: Mapped[str | None] = mapped_column(**defaulted("single"))
    """Plain text: upstream names no value but the default."""
    ide_panel_order: Mapped[list[str] | None] = mapped_column(**defaulted(["explorer", "chat", "code"]))
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]

    panels: Mapped[list["Panel"]] = referred_by("workspace")


class Panel(Base):
    """One conversation with a model in a workspace. Its id is text of the client's choice."""

    __tablename__ = "panels"
    __table_args__ = (Index(None, "workspace_id", "position"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_key)
    provider: Mapped[str]
    model: Mapped[str | None]
    preset_role: Mapped[str | None]
    """Plain text: upstream names no value."""
    position: Mapped[int | None]
    """Counts from 0 within the workspace; nothing keeps it unique."""
    workspace_id: Mapped[uuid.UUID | None] = belongs_to("workspaces.id")
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]

    workspace: Mapped["Workspace | None"] = relationship(back_populates="panels")
    messages: Mapped[list["Message"]] = referred_by("panel")


class Message(Base):
    """One message in a panel. Its id is text of the client's choice."""

    __tablename__ = "messages"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_key)
    role: Mapped[str | None]
    """Plain text: upstream names no value."""
    content: Mapped[Prose | None]
    panel_id: Mapped[str | None] = belongs_to("panels.id")
    inserted_at: Mapped[CreatedUtcSecond] = mapped_column(index=True)
    updated_at: Mapped[ChangedUtcSecond]

    panel: Mapped["Panel | None"] = relationship(back_populates="messages")
