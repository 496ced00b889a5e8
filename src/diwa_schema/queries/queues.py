"""Core tier: the outgoing queue."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Select, select

from diwa_schema.models import SyncQueue
from diwa_schema.models.served import READY
from diwa_schema.queries.pages import at_most


def ready_to_sync(moment: datetime | None = None, *, limit: int = 10) -> Select[SyncQueue]:
    """Return the next rows to send: greatest priority first, then oldest first.

    On PostgreSQL the query locks the rows until the end of the transaction and skips rows that another worker has
    locked, so that several workers can share the queue. Send the rows and change their status in that transaction.
    SQLite has one writer, and the query locks nothing there.

    Args:
        moment: The time to compare with, with a time zone; now by default.
        limit: The maximum number of rows.
    """
    due = SyncQueue.scheduled_at <= (datetime.now(UTC) if moment is None else moment)
    in_turn = (SyncQueue.priority.desc(), SyncQueue.inserted_at, SyncQueue.id)
    return (
        select(SyncQueue)
        .where(READY, due)
        .order_by(*in_turn)
        .limit(at_most(limit))
        .with_for_update(skip_locked=True)
    )
