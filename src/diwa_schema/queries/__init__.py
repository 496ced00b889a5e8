"""The queries of both applications, each in the form that the indexes serve.

    >>> from diwa_schema import queries
    >>> page = session.scalars(queries.newest_memories(context, limit=100)).all()
    >>> more = session.scalars(queries.newest_memories(context, limit=100, before=page[-1])).all()

Each function returns a `Select` of the models and sends nothing. A `Session`, an `AsyncSession` or a connection
executes it, on PostgreSQL and on SQLite, and callers can add conditions. A page continues after the last row of the
page before and is as fast as the first: OFFSET would read all rows before it.
"""

from __future__ import annotations

from diwa_schema.queries.core import (
    bound_context,
    context_named,
    count_memories,
    expired_memories,
    memories_alike,
    memories_containing,
    memories_of_type,
    memories_saying,
    memories_tagged,
    nearest_memories,
    newest_memories,
    rules_of,
    versions_of,
)
from diwa_schema.queries.queues import ready_to_sync
from diwa_schema.queries.team import pending_tasks

__all__ = [
    "bound_context",
    "context_named",
    "count_memories",
    "expired_memories",
    "memories_alike",
    "memories_containing",
    "memories_of_type",
    "memories_saying",
    "memories_tagged",
    "nearest_memories",
    "newest_memories",
    "pending_tasks",
    "ready_to_sync",
    "rules_of",
    "versions_of",
]
