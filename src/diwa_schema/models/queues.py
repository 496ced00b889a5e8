"""Core tier: waiting work, and the log of completed work."""

import uuid

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from diwa_schema.models.base import (
    Base,
    ChangedMoment,
    ClientId,
    CreatedMoment,
    CreatedSecond,
    Json,
    Moment,
    Prose,
    ServerId,
    belongs_to,
    defaulted,
    left_open,
    utc_now,
)
from diwa_schema.models.core import Context
from diwa_schema.models.dossier import described, written_by
from diwa_schema.models.types import LooseId, ServerDefault
from diwa_schema.models.values import OperationStatus, SyncStatus, SyncType


class SyncQueue(Base):
    """A change that waits to be sent to the cloud."""

    __tablename__ = "sync_queue"
    __table_args__ = (Index(None, "status", "priority", "scheduled_at"), written_by("agent"))

    id: Mapped[ClientId]
    type: Mapped[SyncType] = mapped_column(
        **described("What the payload is; the agent's worker crashes on any other word.")
    )
    payload: Mapped[Json] = mapped_column(
        **described("The row to be sent, as a JSON object.", privacy="content")
    )
    status: Mapped[SyncStatus | None] = mapped_column(
        **defaulted("pending"), **described("How far the transfer is; no known program writes processing.")
    )
    priority: Mapped[int | None] = mapped_column(
        **defaulted(0), **described("The order of transfer: the greatest number goes first.", unit="rank")
    )
    attempts: Mapped[int | None] = mapped_column(
        **defaulted(0), **described("How often the transfer was tried.", unit="attempts")
    )
    last_error: Mapped[Prose | None] = mapped_column(
        **described("What went wrong at the last attempt, in free text.", privacy="content")
    )
    scheduled_at: Mapped[Moment | None] = mapped_column(
        default=utc_now,
        **described("The earliest time of the next attempt; a row without one is never sent."),
    )
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]


class TalaOperation(Base):
    """A call of a tool that is buffered until its session commits or discards it."""

    __tablename__ = "tala_operations"
    __table_args__ = written_by("agent")

    id: Mapped[ClientId]
    session_id: Mapped[str | None] = mapped_column(
        LooseId,
        index=True,
        **described(
            "The session whose operation waits; it has no foreign key, and a database before head "
            "can hold any text."
        ),
    )
    context_id: Mapped[str | None] = mapped_column(
        LooseId,
        index=True,
        **described(
            "The context that the operation concerns; it has no foreign key, and a database before "
            "head can hold any text."
        ),
    )
    tool_name: Mapped[str | None] = mapped_column(**described("The tool that was called."))
    params: Mapped[Json | None] = mapped_column(
        **described("The arguments of the call as a JSON object.", privacy="content")
    )
    actor: Mapped[str | None] = mapped_column(
        **described("The person or program that called the tool.", privacy="person")
    )
    status: Mapped[OperationStatus | None] = mapped_column(
        index=True,
        **defaulted("pending"),
        **described(
            "What became of the operation; the agent deletes discarded rows instead of marking them."
        ),
    )
    inserted_at: Mapped[CreatedSecond]
    capability_token: Mapped[Prose | None] = mapped_column(
        **described("The token that permits the call.", writer="unknown", privacy="secret")
    )
    phi_flag: Mapped[bool | None] = mapped_column(
        **left_open("false"),
        **described(
            "Whether the call carries protected health data.",
            writer="unknown",
            invented=True,
        ),
    )
    merkle_root: Mapped[str | None] = mapped_column(
        **described("The root of the hash tree that the operation is part of.", writer="unknown")
    )
    audit_hash: Mapped[str | None] = mapped_column(
        index=True,
        **described(
            "The hash of the operation for the audit; the database does not tie it to the row.",
            writer="unknown",
        ),
    )
    degradation_tier: Mapped[str | None] = mapped_column(
        **defaulted("online"),
        **described(
            "How much of the system was available at the call.",
            values=("online",),
            writer="unknown",
            invented=True,
        ),
    )


class IdempotencyLog(Base):
    """A call that has been answered; a repeated call gets the same answer."""

    __tablename__ = "idempotency_log"
    __table_args__ = (Index(None, "context_id", "client_id", unique=True), written_by("unknown"))

    id: Mapped[ServerId]
    context_id: Mapped[uuid.UUID] = belongs_to(
        "contexts.id", index=False, **described("The context in which the call was made.")
    )
    client_id: Mapped[str] = mapped_column(
        **described("The name that the client gives the call; it is unique within a context.")
    )
    tool_name: Mapped[str] = mapped_column(**described("The tool that was called."))
    result_id: Mapped[uuid.UUID | None] = mapped_column(
        **described("The id of the row that the call made; it has no foreign key.")
    )
    status: Mapped[str] = mapped_column(**described("How the call ended; the Elixir code names no value."))
    error_reason: Mapped[Prose | None] = mapped_column(
        **described("Why the call failed, in free text.", privacy="content")
    )
    processed_at: Mapped[CreatedSecond] = mapped_column(
        index=True,
        server_default=ServerDefault(postgresql="now()", sqlite="CURRENT_TIMESTAMP"),
        **described(
            "When the call was answered: UTC from a client, the connection's local time from the "
            "default of PostgreSQL."
        ),
    )

    context: Mapped["Context"] = relationship(back_populates="idempotency_entries")
