"""What the agent remembers of a context."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from diwa_schema.models import Memory


def newest(session: Session, context_id: UUID, limit: int = 10) -> Sequence[Memory]:
    """Return the newest memories of a context that are not deleted, newest first."""
    query = (
        select(Memory)
        .where(Memory.context_id == context_id, Memory.deleted_at.is_(None))
        .order_by(Memory.inserted_at.desc(), Memory.id)
        .limit(limit)
    )
    return session.scalars(query).all()
