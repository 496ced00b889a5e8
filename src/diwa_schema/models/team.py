"""Team tier: plans and sessions, agents that share work, and people's workspaces."""

import uuid
from typing import Any

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
    kept_rules,
    new_key,
    referred_by,
    refers_to,
)
from diwa_schema.models.core import Context, Memory
from diwa_schema.models.dossier import described, written_by
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
    """The progress of the work on a context, one per context; PostgreSQL enforces this unless a context had two."""

    __tablename__ = "plans"
    __table_args__ = (*kept_rules("plans"), written_by("agent"))

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", **described("The context that the plan belongs to.")
    )
    status: Mapped[PlanStatus] = mapped_column(**described("The stage of the work."))
    completion_pct: Mapped[int | None] = mapped_column(
        **defaulted(0),
        **described(
            "How much of the work is done; PostgreSQL keeps the range where no older row breaks it.",
            unit="percent, 0 to 100",
        ),
    )
    notes: Mapped[Prose | None] = mapped_column(
        **described("Remarks on the plan, in free text.", privacy="content")
    )
    inserted_at: Mapped[CreatedFiner]
    updated_at: Mapped[ChangedFiner]

    context: Mapped["Context"] = relationship(back_populates="plans")


class Task(Base):
    """A piece of work to do in a context."""

    __tablename__ = "tasks"
    __table_args__ = (*kept_rules("tasks"), written_by("agent"))

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", **described("The context that the task belongs to.")
    )
    title: Mapped[str] = mapped_column(**described("What is to be done, in a few words.", privacy="content"))
    description: Mapped[Prose | None] = mapped_column(
        **described("What is to be done, in detail.", privacy="content")
    )
    priority: Mapped[TaskPriority | None] = mapped_column(
        **defaulted("Medium"),
        **described("How urgent the task is, capitalised, unlike the priority of a memory."),
    )
    status: Mapped[TaskStatus | None] = mapped_column(
        index=True, **defaulted("pending"), **described("Whether the task is done.")
    )
    inserted_at: Mapped[CreatedFiner]
    updated_at: Mapped[ChangedFiner]

    context: Mapped["Context"] = relationship(back_populates="tasks")


class HitlEscalation(Base):
    """A conflict between two memories that a person has to decide."""

    __tablename__ = "hitl_escalations"
    __table_args__ = (
        Index(None, "context_id", "status"),
        *kept_rules("hitl_escalations"),
        written_by("cloud"),
    )

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", index=False, **described("The context in which the conflict was found.")
    )
    conflict_id: Mapped[uuid.UUID] = mapped_column(
        **described("The conflict to be decided; no table holds conflicts.")
    )
    status: Mapped[EscalationStatus | None] = mapped_column(
        **defaulted("pending"), **described("Whether a person has decided.")
    )
    assigned_to: Mapped[str | None] = mapped_column(
        **described("The person who is to decide.", privacy="person")
    )
    resolution_notes: Mapped[Prose | None] = mapped_column(
        **described("How and why the person decided, in free text.", privacy="content")
    )
    inserted_at: Mapped[CreatedFiner]
    updated_at: Mapped[ChangedFiner]
    memory_a_id: Mapped[uuid.UUID | None] = refers_to(
        "memories.id", **described("The first of the two memories.")
    )
    memory_b_id: Mapped[uuid.UUID | None] = refers_to(
        "memories.id", **described("The second of the two memories.")
    )
    score: Mapped[float | None] = mapped_column(
        **described("How much the two memories contradict each other.", unit="share, 0 to 1")
    )

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
    __table_args__ = written_by("agent")

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id", **described("The context that was worked in."))
    actor: Mapped[str | None] = mapped_column(
        index=True,
        **described("The person or program that worked; the Elixir model demands it.", privacy="person"),
    )
    started_at: Mapped[Moment | None] = mapped_column(
        **described("When the work began; the Elixir model demands it.")
    )
    ended_at: Mapped[Moment | None] = mapped_column(
        **described("When the work ended; NULL while it goes on.")
    )
    summary: Mapped[Prose | None] = mapped_column(
        **described("What was done, in free text.", privacy="content")
    )
    metadata_: Mapped[Json | None] = mapped_column(
        "metadata",
        **defaulted({}),
        **described("Further facts about the session as a JSON object.", privacy="content"),
    )
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    context: Mapped["Context"] = relationship(back_populates="sessions")
    checkpoints: Mapped[list["Checkpoint"]] = referred_by("session")

    def __init__(self, *given: Any, **values: Any) -> None:
        """Make a row, and refuse an engine: the name is also that of SQLAlchemy's session."""
        if given:
            raise TypeError(
                "This Session is a row of the table sessions. SQLAlchemy's Session is in sqlalchemy.orm: import one of"
                " them under another name."
            )
        super().__init__(**values)


class Checkpoint(Base):
    """A snapshot of the operations that a session has buffered."""

    __tablename__ = "checkpoints"
    __table_args__ = (Index(None, "session_id", "sequence_number", unique=True), written_by("cloud"))

    id: Mapped[ClientId]
    session_id: Mapped[uuid.UUID] = belongs_to(
        "sessions.id",
        index=False,
        **described("The session whose operations are kept; deleting it deletes its checkpoints."),
    )
    sequence_number: Mapped[int] = mapped_column(
        **described("Counts the checkpoints of a session.", unit="position")
    )
    buffer_snapshot: Mapped[Json] = mapped_column(
        Document("JSONB"),
        **described(
            "The buffered operations as a JSON document, a list by convention.", privacy="content", many=True
        ),
    )
    operation_count: Mapped[int] = mapped_column(
        **described("How many operations the snapshot holds.", unit="operations")
    )
    byte_size: Mapped[int] = mapped_column(**described("The size of the snapshot.", unit="bytes"))
    checksum: Mapped[str] = mapped_column(
        ShortText(64), **described("The checksum of the snapshot, as 64 hexadecimal digits by convention.")
    )
    created_at: Mapped[CreatedSecond] = mapped_column(index=True)

    session: Mapped["Session"] = relationship(back_populates="checkpoints")


class IngestJob(Base):
    """One import of memories from files or a repository."""

    __tablename__ = "ingest_jobs"
    __table_args__ = written_by("agent")

    id: Mapped[ClientId]
    context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", **described("The context that takes the memories.")
    )
    status: Mapped[IngestStatus | None] = mapped_column(
        index=True, **described("How far the import is; the agent does not write pending.")
    )
    source_type: Mapped[str | None] = mapped_column(
        **described(
            "What kind of source is read; the list of the Elixir model lacks the agent's filesystem.",
            values=("agent_dir", "cursor_dir", "git", "custom", "filesystem"),
        )
    )
    source_path: Mapped[str | None] = mapped_column(
        **described("Where the source is; a path can contain the name of an account.", privacy="person")
    )
    stats: Mapped[Json | None] = mapped_column(
        **defaulted({}), **described("The counts of the import as a JSON object.")
    )
    metadata_: Mapped[Json | None] = mapped_column(
        "metadata",
        **defaulted({}),
        **described("Further facts about the import as a JSON object.", privacy="content"),
    )
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]

    context: Mapped["Context"] = relationship(back_populates="ingest_jobs")


class ShortcutAlias(Base):
    """A short name for a tool. Names have no tenant: they are unique in the whole database."""

    __tablename__ = "shortcut_aliases"
    __table_args__ = written_by("agent")

    id: Mapped[ClientId]
    alias_name: Mapped[str] = mapped_column(
        index=True, unique=True, **described("The short name; it is unique in the whole database.")
    )
    target_tool: Mapped[str] = mapped_column(**described("The tool that the short name calls."))
    args_schema: Mapped[list[str] | None] = mapped_column(
        **defaulted([]), **described("The names of the tool's arguments, in order.")
    )
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]


class Agent(Base):
    """A program that takes part in the work, with what it can do."""

    __tablename__ = "agents"
    __table_args__ = written_by("unknown")

    id: Mapped[ClientId]
    name: Mapped[str] = mapped_column(**described("The name of the program."))
    role: Mapped[str] = mapped_column(
        index=True,
        **described(
            "The part that the program plays; the lists in the Elixir code disagree.",
            values=("planner", "coder", "qa", "architect", "general"),
        ),
    )
    capabilities: Mapped[Prose | None] = mapped_column(
        **described(
            "What the program can do: a JSON list by convention, kept as text because some rows "
            "hold other text."
        )
    )
    status: Mapped[str | None] = mapped_column(
        index=True,
        **defaulted("active"),
        **described(
            "Whether the program is available; the default is in neither of the two lists in the "
            "Elixir code.",
            values=("active", "online", "idle", "busy", "offline"),
        ),
    )
    context_id: Mapped[uuid.UUID | None] = belongs_to(
        "contexts.id", **described("The context that the program works in.")
    )
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
    """Work that one agent hands to another or offers to any. Deleting either agent deletes it."""

    __tablename__ = "delegations"
    __table_args__ = written_by("unknown")

    id: Mapped[ClientId]
    task_definition: Mapped[Prose] = mapped_column(
        **described("What is to be done, in free text.", privacy="content")
    )
    status: Mapped[DelegationStatus | None] = mapped_column(
        index=True, **defaulted("pending"), **described("How far the work is.")
    )
    result_summary: Mapped[Prose | None] = mapped_column(
        **described("What came of the work, in free text.", privacy="content")
    )
    artifacts: Mapped[Prose | None] = mapped_column(
        **described(
            "What the work produced: a JSON list by convention, kept as text because some rows "
            "hold other text.",
            privacy="content",
        )
    )
    constraints: Mapped[Prose | None] = mapped_column(
        **described(
            "What the work must respect: a JSON object by convention, kept as text because some "
            "rows hold other text.",
            privacy="content",
        )
    )
    from_agent_id: Mapped[uuid.UUID] = belongs_to(
        "agents.id", **described("The program that hands the work over; deleting it deletes the delegation.")
    )
    to_agent_id: Mapped[uuid.UUID | None] = belongs_to(
        "agents.id",
        **described(
            "The program that takes the work; NULL leaves it to any. Deleting it deletes the delegation."
        ),
    )
    context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", **described("The context that the work belongs to.")
    )
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
    __table_args__ = written_by("cloud")

    id: Mapped[ClientId]
    name: Mapped[str] = mapped_column(
        index=True, **described("The name of the arrangement.", privacy="content")
    )
    layout_type: Mapped[str | None] = mapped_column(
        **defaulted("single"), **described("How the panels are laid out.", values=("single",))
    )
    ide_panel_order: Mapped[list[str] | None] = mapped_column(
        **defaulted(["explorer", "chat", "code"]),
        **described("The names of the editor's panels, from first to last."),
    )
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]

    panels: Mapped[list["Panel"]] = referred_by("workspace")


class Panel(Base):
    """One conversation with a model in a workspace. Its id is text of the client's choice."""

    __tablename__ = "panels"
    __table_args__ = (Index(None, "workspace_id", "position"), written_by("cloud"))

    id: Mapped[str] = mapped_column(
        primary_key=True,
        default=new_key,
        **described(
            "The key of the row: text of the client's choice, or a UUID where the client names none."
        ),
    )
    provider: Mapped[str] = mapped_column(
        **described("The company or service that runs the model; the Elixir code names no value.")
    )
    model: Mapped[str | None] = mapped_column(**described("The name of the language model."))
    preset_role: Mapped[str | None] = mapped_column(
        **described("The part that the model is told to play; the Elixir code names no value.")
    )
    position: Mapped[int | None] = mapped_column(
        **described(
            "The place within the workspace, from 0; the database does not keep it unique.", unit="position"
        )
    )
    workspace_id: Mapped[uuid.UUID | None] = belongs_to(
        "workspaces.id", index=False, **described("The workspace that shows the panel.")
    )
    inserted_at: Mapped[CreatedSecond]
    updated_at: Mapped[ChangedSecond]

    workspace: Mapped["Workspace | None"] = relationship(back_populates="panels")
    messages: Mapped[list["Message"]] = referred_by("panel")


class Message(Base):
    """One message in a panel. Its id is text of the client's choice."""

    __tablename__ = "messages"
    __table_args__ = written_by("cloud")

    id: Mapped[str] = mapped_column(
        primary_key=True,
        default=new_key,
        **described(
            "The key of the row: text of the client's choice, or a UUID where the client names none."
        ),
    )
    role: Mapped[str | None] = mapped_column(
        **described("The author's part in the conversation; the Elixir code names no value.")
    )
    content: Mapped[Prose | None] = mapped_column(**described("The text of the message.", privacy="content"))
    panel_id: Mapped[str | None] = belongs_to(
        "panels.id", **described("The panel in which the message stands.")
    )
    inserted_at: Mapped[CreatedUtcSecond] = mapped_column(index=True)
    updated_at: Mapped[ChangedUtcSecond]

    panel: Mapped["Panel | None"] = relationship(back_populates="messages")
