"""Team tier: tasks."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Select, or_, select

from diwa_schema.models import Task
from diwa_schema.models.served import PENDING, urgency, urgency_of
from diwa_schema.queries import given
from diwa_schema.queries.pages import at_most, read, rows_before


def pending_tasks(context: UUID, *, limit: int = 50, after: Task | None = None) -> Select[Task]:
    """Return the unfinished tasks of a context: High before Medium before Low, then newest first.

    Args:
        context: The context.
        limit: The maximum number of rows.
        after: The last row of the page before; by default the first page is returned.
    """
    found = select(Task).where(Task.context_id == given.identity(context, "context"), PENDING)
    if after is not None:
        place = urgency_of(read(after, "priority"))
        found = found.where(
            urgency >= place, or_(urgency > place, rows_before((Task.inserted_at, Task.id), after))
        )
    return found.order_by(urgency, Task.inserted_at.desc(), Task.id.desc()).limit(at_most(limit))
