"""Core tier: work that waits, and the memory of work that was done."""

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
)
from diwa_schema.models.core import Context
from diwa_schema.models.types import LooseId, ServerDefault
from diwa_schema.models.values import OperationStatus, SyncStatus, SyncType


class SyncQueue(Base):
    """A change that waits to be sent to the cloud."""

    __tablename__ = "sync_queue"
    __table_args__ = (Index(None, "status", "priority", "scheduled_at"),)

    id: Mapped[ClientId]
    type: Mapped[SyncType]
    """What the payload is. The agent's worker crashes on any other."""
    payload: Mapped[Json]
    status: Mapped[SyncStatus | None] = mapped_column(**defaulted("pending"))
    priority: Mapped[int | None] = mapped_column(**defaulted(0))
    """A number, other than everywhere else: the greatest goes first."""
    attempts: Mapped[int | None] = mapped_column(**defaulted(0))
    last_error: Mapped[Prose | None]
    scheduled_at: Mapped[Moment | None]
    inserted_at: Mapped[CreatedMoment]
    updated_at: Mapped[ChangedMoment]


class TalaOperation(Base):
    """A call of a tool that is buffered until its session commits or discards it."""

    __tablename__ = "tala_operations"

    id: Mapped[ClientId]
    session_id: Mapped[str | None] = mapped_column(LooseId, index=True)
    """The id of a session; no foreign key. A database before head can hold any text here."""
    context_id: Mapped[str | None] = mapped_column(LooseId, index=True)
    """The id of a context; no foreign key. A database before head can hold any text here."""
    tool_name: Mapped[str | None]
    params: Mapped[Json | None]
    actor: Mapped[str | None]
    status: Mapped[OperationStatus | None] = mapped_column(index=True, **defaulted("pending"))
    inserted_at: Mapped[CreatedSecond]
    capability_token: Mapped[Prose | None]
    phi_flag: Mapped[bool | None] = mapped_column(index=True, **defaulted(False))
    """Whether the call carries health data; rows older than the column say false, unasked."""
    merkle_root: Mapped[str | None]
    audit_hash: Mapped[str | None] = mapped_column(index=True)
    degradation_tier: Mapped[str | None] = mapped_column(**defaulted("online"))
    """Plain text: upstream names no value but the default."""


class IdempotencyLog(Base):
    """A call that was answered already, so that the same call again gets the same answer."""

    __tablename__ = "idempotency_log"
    __table_args__ = (Index(None, "context_id", "client_id", unique=True),)

    id: Mapped[ServerId]
    context_id: Mapped[uuid.UUID] = belongs_to("contexts.id", index=False)
    client_id: Mapped[str]
    """What the client calls this call."""
    tool_name: Mapped[str]
    result_id: Mapped[uuid.UUID | None]
    status: Mapped[str]
    """Plain text: upstream names no value."""
    error_reason: Mapped[Prose | None]
    processed_at: Mapped[CreatedSecond] = mapped_column(
        index=True, server_default=ServerDefault(postgresql="now()", sqlite="CURRENT_TIMESTAMP")
    )
    """UTC where a client wrote it; the default of PostgreSQL is the session's local time."""

    context: Mapped["Context"] = relationship(back_populates="idempotency_entries")
