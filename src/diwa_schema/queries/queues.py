"""Core tier: work that waits."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Select, select

from diwa_schema.models import SyncQueue
from diwa_schema.models.served import READY


def ready_to_sync(moment: datetime | None = None, *, limit: int = 10) -> Select[SyncQueue]:
    """Return the rows that are to be sent next, the greatest priority first and the oldest of each first.

    On PostgreSQL the rows are locked until the end of the transaction, and rows that another worker has locked are
    passed over, so that several workers share the queue: send the rows and change their status in that transaction.
    SQLite has one writer and locks nothing here.

    Args:
        moment: The time that counts, with a zone; now by default.
        limit: How many rows at most.
    """
    due = SyncQueue.scheduled_at <= (moment or datetime.now(UTC))
    in_turn = (SyncQueue.priority.desc(), SyncQueue.inserted_at, SyncQueue.id)
    return (
        select(SyncQueue).where(READY, due).order_by(*in_turn).limit(limit).with_for_update(skip_locked=True)
    )
